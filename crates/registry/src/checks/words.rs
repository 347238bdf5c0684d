//! Words that should not stand in an official text.

use super::{Looked, place_at};

/// Loan words and stiff words with a plain word for each; our own short list, to be extended by rule sentences.
const PLAIN: [(&str, &str); 44] = [
    ("니즈", "필요, 요구"),
    ("이슈", "쟁점, 문제"),
    ("런칭", "시작, 출시"),
    ("론칭", "시작, 출시"),
    ("가이드라인", "지침"),
    ("가이드북", "안내서"),
    ("매뉴얼", "안내서, 지침"),
    ("인프라", "기반 시설"),
    ("컨설팅", "상담, 자문"),
    ("리스크", "위험"),
    ("피드백", "의견, 평가"),
    ("모니터링", "점검, 관찰"),
    ("로드맵", "단계별 계획"),
    ("벤치마킹", "본따르기, 견학"),
    ("바우처", "이용권"),
    ("이벤트", "행사"),
    ("캠페인", "홍보 활동"),
    ("컨트롤타워", "지휘 본부"),
    ("테스트베드", "시험장"),
    ("거버넌스", "민관 협력"),
    ("시너지", "상승효과"),
    ("핫라인", "직통 전화"),
    ("패러다임", "틀, 체계"),
    ("솔루션", "해결책"),
    ("워크숍", "공동 연수"),
    ("팸플릿", "소책자"),
    ("인센티브", "혜택, 장려금"),
    ("아웃소싱", "외부 용역"),
    ("홈페이지", "누리집"),
    ("스타트업", "새싹 기업"),
    ("금번", "이번"),
    ("익일", "다음 날"),
    ("익월", "다음 달"),
    ("명일", "내일"),
    ("작일", "어제"),
    ("필히", "반드시"),
    ("구좌", "계좌"),
    ("지득", "알게 됨"),
    ("수범사례", "모범 사례"),
    ("시건", "잠금"),
    ("불입", "납입"),
    ("가료", "치료"),
    ("금회", "이번"),
    ("기 제출", "이미 낸"),
];

pattern!(BRACKETED, r"\([^()\n]*\)|\[[^\[\]\n]*\]|「[^」\n]*」|https?://\S+|\S+@\S+");
pattern!(LATIN, r"[A-Za-z][A-Za-z&'.-]*[A-Za-z]|[A-Za-z]{2,}");

/// Units and signs that are written in Latin letters everywhere.
const UNITS: [&str; 16] =
    ["km", "cm", "mm", "kg", "mg", "ha", "kW", "kWh", "MW", "GB", "MB", "TB", "ml", "km/h", "dB", "ppm"];

/// Looks for the words a rule names.
pub(super) fn forbidden(text: &str, words: &[String]) -> Looked {
    let mut places = Vec::new();
    for word in words {
        for (at, _) in text.match_indices(word.as_str()) {
            if starts_a_word(text, at) {
                places.push(place_at(
                    text,
                    at,
                    word,
                    format!("‘{word}’은(는) 쓰지 않기로 한 말입니다. 다른 말로 바꿉니다."),
                ));
            }
        }
    }
    // The whole text was looked through, whatever was found.
    Looked { seen: words.len(), places }
}

/// Looks for the words of the built-in list.
pub(super) fn plain(text: &str) -> Looked {
    let mut places = Vec::new();
    for (word, plainer) in PLAIN {
        for (at, _) in text.match_indices(word) {
            if starts_a_word(text, at) {
                places.push(place_at(text, at, word, format!("쉬운 말로 바꿉니다: {plainer}")));
            }
        }
    }
    Looked { seen: PLAIN.len(), places }
}

/// Looks for words in Latin letters outside brackets: official texts are written in Hangul, other letters in brackets.
pub(super) fn foreign(text: &str) -> Looked {
    let hidden: Vec<_> = BRACKETED.find_iter(text).map(|m| m.range()).collect();
    let places = LATIN
        .find_iter(text)
        .filter(|m| !hidden.iter().any(|h| h.start <= m.start() && m.end() <= h.end))
        .filter(|m| !UNITS.contains(&m.as_str()))
        .map(|m| {
            let fix = format!("한글로 쓰고 괄호 안에 적습니다: 한글({})", m.as_str());
            place_at(text, m.start(), m.as_str(), fix)
        })
        .collect();
    Looked { seen: 1, places }
}

/// "부당해고" holds no "당해": the word must not follow a letter.
fn starts_a_word(text: &str, at: usize) -> bool {
    text.get(..at).and_then(|t| t.chars().next_back()).is_none_or(|c| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_at_their_start_only() {
        let words = ["당해".to_owned()];
        assert_eq!(forbidden("당해 연도\n부당해고", &words).places.iter().map(|p| p.line).collect::<Vec<_>>(), [1]);
        let found = plain("금번 워크숍은 익일 연다.");
        assert_eq!(found.places.len(), 3);
        assert!(found.places.iter().any(|p| p.fix.contains("다음 날")));
    }

    #[test]
    fn latin_letters_belong_in_brackets() {
        let found = foreign("업무협약(MOU)을 맺고 TF를 꾸려 5 km를 걷는다. https://example.kr/a");
        assert_eq!(found.places.iter().map(|p| p.quote.as_str()).collect::<Vec<_>>(), ["TF"]);
    }
}
