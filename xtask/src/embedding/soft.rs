//! Soft matching of a question's words with a passage's: an exact match counts 1, any other word its cosine with the
//! nearest word of the passage (Khattab & Zaharia, "ColBERT", 2020, with static vectors), saturated and held back in long
//! passages as BM25 does with frequencies, since a long passage has a near word for everything.

use super::table::dot;

/// How fast a match saturates.
const K: f32 = 0.5;
/// How strongly long passages are held back. Milder than in BM25: distinct words are counted, not all.
const B: f32 = 0.4;

/// What one word of the question finds in the passage.
#[derive(Clone, Copy)]
pub struct Near {
    /// Word of the question and of the passage; the same word for an exact match.
    pub asked: u32,
    pub found: u32,
    pub cosine: f32,
    /// What this match adds to the score, and how that grows with the cosine.
    pub gain: f32,
    pub slope: f32,
}

/// The passage's share in the damping of its matches: k·(1 − b + b·length/average), lengths in distinct words.
pub fn damping(length: usize, average: f32) -> f32 {
    K * (1.0 - B + B * length as f32 / average.max(1.0))
}

/// Matches of the question's words (weighted) in a passage's (ascending). `vector` gives a word's unit vector.
pub fn matches<'v>(
    question: &[(u32, f32)],
    passage: &[u32],
    damping: f32,
    vector: impl Fn(u32) -> &'v [f32],
) -> Vec<Near> {
    let all: f32 = question.iter().map(|q| q.1).sum::<f32>().max(1e-6);
    let near = question.iter().filter_map(|(asked, weight)| {
        let (found, cosine) = if passage.binary_search(asked).is_ok() {
            (*asked, 1.0)
        } else {
            let own = vector(*asked);
            let cosines = passage.iter().map(|word| (*word, dot(own, vector(*word))));
            cosines.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, cosine)| *cosine > 0.0)?
        };
        let share = weight / all * (K + 1.0);
        let gain = share * cosine / (cosine + damping);
        Some(Near { asked: *asked, found, cosine, gain, slope: share * damping / (cosine + damping).powi(2) })
    });
    near.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_count_less_than_the_same_and_more_than_none() {
        let mut vectors = vec![vec![0.0_f32; 16]; 3];
        vectors[0][0] = 1.0;
        vectors[1][0] = 0.6;
        vectors[1][1] = 0.8;
        vectors[2][2] = 1.0;
        let score = |passage: &[u32], length: usize| -> f32 {
            let found = matches(&[(0, 2.0)], passage, damping(length, 10.0), |w| &vectors[w as usize]);
            found.iter().map(|n| n.gain).sum()
        };
        assert!(score(&[0], 1) > score(&[1], 1) && score(&[1], 1) > score(&[2], 1));
        assert_eq!(score(&[2], 1), 0.0);
        assert!(score(&[1], 40) < score(&[1], 1), "long passages are held back");
    }
}
