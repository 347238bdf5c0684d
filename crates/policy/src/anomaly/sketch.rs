//! A keyed 64-bit sketch of a text: near texts have near sketches, and without the key it says nothing about the text.
//!
//! One-permutation MinHash (Li, Owen & Zhang 2012) over character trigrams with densification by rotation (Shrivastava
//! & Li 2014), one bit kept of each of 64 bins (b-bit MinHash, Li & König 2010). The hash is SipHash-2-4 under a secret
//! 128-bit key: whoever lacks the key cannot test guesses against a sketch. Equal texts have equal sketches, which is
//! what they are for; keep them where the records are kept.

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;
use unicode_normalization::UnicodeNormalization;

const BINS: usize = 64;
/// Characters in a shingle.
const SHINGLE: usize = 3;
/// Fewest shingles that a sketch says anything about.
pub const MIN_SHINGLES: usize = 12;

/// Secret of the sketches. Change it and old sketches compare with nothing new.
#[derive(Clone)]
pub struct SketchKey([u8; 16]);

impl SketchKey {
    pub fn new(key: [u8; 16]) -> Self {
        Self(key)
    }
}

/// 64 bits about a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch(pub u64);

impl Sketch {
    /// Sketch of a text; `None` where it is too short to tell.
    ///
    /// Blanks, punctuation and case do not count, and neither do digits as such: `010-1234` and `010 5678` look alike,
    /// since a retry with another number is what is looked for.
    pub fn of(key: &SketchKey, text: &str) -> Option<Self> {
        let mut window = [0u32; SHINGLE];
        let mut seen = 0usize;
        let mut bins: [Option<u64>; BINS] = [None; BINS];
        let hasher = SipHasher24::new_with_key(&key.0);
        for c in text.nfkc().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()) {
            window.rotate_left(1);
            window[SHINGLE - 1] = u32::from(if c.is_ascii_digit() { '0' } else { c });
            seen += 1;
            if seen < SHINGLE {
                continue;
            }
            let mut bytes = [0u8; SHINGLE * 4];
            for (slot, c) in bytes.chunks_exact_mut(4).zip(window) {
                slot.copy_from_slice(&c.to_le_bytes());
            }
            let hash = hasher.hash(&bytes);
            if let Some(bin) = bins.get_mut((hash >> 58) as usize) {
                *bin = Some(bin.map_or(hash, |least| least.min(hash)));
            }
        }
        (seen >= MIN_SHINGLES + SHINGLE - 1).then(|| Self(densified(&bins)))
    }

    /// Estimated share of shingles that both texts have (Jaccard), in percent; unrelated texts give about 0, with a
    /// standard deviation of 12.
    pub fn likeness(self, other: Self) -> u8 {
        let equal = (self.0 ^ other.0).count_zeros();
        // One bit per bin agrees by chance half the time: P = (1 + J) / 2.
        let percent = (2 * equal).saturating_sub(64) * 100 / 64;
        u8::try_from(percent).unwrap_or(100)
    }
}

/// One bit of each bin; an empty bin takes the least hash of the next one that has any, mixed with the distance.
fn densified(bins: &[Option<u64>; BINS]) -> u64 {
    let bit = |start: usize| {
        let found = (0..BINS).find_map(|step| Some((step, (*bins.get((start + step) % BINS)?)?)));
        let (step, hash) = found.unwrap_or((0, 0));
        // The low bits are independent of the six that chose the bin; the distance keeps copies apart.
        (hash.rotate_right(u32::try_from(step % 32).unwrap_or(0))) & 1
    };
    (0..BINS).fold(0, |out, start| out | (bit(start) << start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "행복로 일대의 불법 주정차 민원을 정리하여 담당 부서의 처리 현황과 다음 달 단속 계획을 두 문단으로 요약해 주세요. \
                        민원인의 연락처는 010-1234-5678 입니다. 지난달보다 늘어난 까닭도 함께 적어 주세요.";

    fn key(n: u8) -> SketchKey {
        SketchKey::new([n; 16])
    }

    fn sketch(text: &str) -> Sketch {
        Sketch::of(&key(7), text).unwrap()
    }

    #[test]
    fn an_altered_retry_is_near_and_another_text_is_far() {
        let first = sketch(TEXT);
        assert_eq!(first.likeness(sketch(&TEXT.replace("010-1234-5678", "010 9999 0000"))), 100);
        let altered = sketch(&TEXT.replace("010-1234-5678", "공일공 일이삼사 오육칠팔").replace("두 문단", "세 문단"));
        assert!(first.likeness(altered) >= 50, "{}", first.likeness(altered));
        let other = sketch(
            "내년도 도서관 운영 예산안을 검토하고 자료 구입비와 인건비의 증감 사유를 표로 만들어 의회에 낼 답변을 써 주세요.",
        );
        assert!(first.likeness(other) < 40, "{}", first.likeness(other));
    }

    #[test]
    fn unrelated_texts_are_rarely_taken_for_alike() {
        // Hangul syllables from a linear congruential generator: texts that share nothing but the alphabet.
        let text = |seed: u64| -> String {
            let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from_u32(0xAC00 + ((state >> 33) % 11_172) as u32).unwrap()
            };
            (0..300).map(|_| next()).collect()
        };
        let sketches: Vec<_> = (1..200).map(|seed| sketch(&text(seed))).collect();
        let mut alike = 0;
        for (i, a) in sketches.iter().enumerate() {
            alike += sketches[..i].iter().filter(|b| a.likeness(**b) >= 50).count();
        }
        // 19,701 pairs; 50 % needs 48 of 64 bits, four standard deviations out.
        assert!(alike <= 5, "{alike}");
    }

    #[test]
    fn short_texts_have_none_and_the_key_decides() {
        assert_eq!(Sketch::of(&key(7), "짧은 글 010-1234"), None);
        assert_eq!(Sketch::of(&key(7), ""), None);
        let (a, b) = (sketch(TEXT), Sketch::of(&key(8), TEXT).unwrap());
        assert!(a.likeness(b) < 50, "{}", a.likeness(b));
    }
}
