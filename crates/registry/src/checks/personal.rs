//! Personal data in the text, found by the detector that also guards outside calls.

use super::{Looked, Place};
use madang_pii::{Action, Rules, mask_with, scan_with};
use std::collections::BTreeMap;

/// Looks for personal data and the words of the body's dictionary; quotes are masked, so that the result can be passed
/// around.
pub(super) fn personal(text: &str, dictionary: &Rules) -> Looked {
    let chars: Vec<char> = text.chars().collect();
    let places = scan_with(text, dictionary)
        .findings
        .iter()
        .filter(|f| f.action != Action::Pass)
        .map(|f| {
            let before = chars.get(..f.start).unwrap_or(&chars);
            let found = chars.get(f.start..f.end).unwrap_or(&[]);
            let name = f.kind.korean();
            let fix = match (&f.rule, f.action) {
                (Some(_), _) => format!("{name}: 기관 사전에 있는 말입니다. 지우거나 다른 말로 바꿉니다."),
                (None, Action::Block) => format!("{name}: 법으로 보호되는 고유식별정보입니다. 지웁니다."),
                _ => format!("{name}: 꼭 필요하지 않으면 지우거나 일부를 ‘*’로 가립니다."),
            };
            Place { line: before.iter().filter(|c| **c == '\n').count() + 1, quote: masked(found), fix }
        })
        .collect();
    // The whole text was scanned, whatever was found.
    Looked { seen: 1, places }
}

/// The text with tokens in place of personal data and of the words of the body's dictionary, with a sentence on what was
/// found of each kind; `None` without any. Rules of the dictionary are not named: their names are the officers' own.
pub(super) fn without(text: &str, dictionary: &Rules) -> Option<(String, String)> {
    let report = scan_with(text, dictionary);
    if report.action == Action::Pass {
        return None;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in report.findings.iter().filter(|f| f.action != Action::Pass) {
        *counts.entry(finding.kind.korean()).or_default() += 1;
    }
    let found: Vec<String> = counts.iter().map(|(name, n)| format!("{name} {n}곳")).collect();
    let note = format!("{}을 표시로 바꾼 글입니다. 놓친 것이 없는지 한 번 더 읽어 주세요.", found.join(", "));
    let again = |text: &str| scan_with(text, dictionary);
    Some((note, mask_with(text, &report, again).text))
}

/// First two characters, the rest as stars; white space stays.
fn masked(found: &[char]) -> String {
    let hide = |(i, c): (usize, &char)| {
        if i < 2 || c.is_whitespace() || *c == '-' { *c } else { '*' }
    };
    found.iter().enumerate().map(hide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_pii::Kind;

    #[test]
    fn personal_data_is_found_and_masked() {
        let looked = personal("신청 현황\n연락처 010-0000-1234\n문의 민원 02-120", &Rules::default());
        assert_eq!(looked.places.len(), 1, "{:?}", looked.places);
        let place = &looked.places[0];
        assert_eq!(place.line, 2);
        assert!(place.quote.starts_with("01*-****"), "{place:?}");
        assert!(place.fix.contains("전화번호"));
        assert!(personal("900101-1970000", &Rules::default()).places[0].fix.contains("고유식별정보"));
        assert!(personal("예산 1,234천원", &Rules::default()).places.is_empty());
    }

    #[test]
    fn words_of_the_bodys_dictionary_are_found_and_replaced() {
        let dictionary = "[[rule]]\nname = \"비공개 사업명\"\nterms = [\"한울 신도시\"]\naction = \"block\"\n";
        let rules = Rules::from_toml(dictionary).unwrap();
        let text = "한울 신도시 담당은 010-0000-1234입니다.";
        let (note, made) = without(text, &rules).unwrap();
        assert!(note.contains(&format!("{} 1곳", Kind::Custom.korean())) && note.contains("전화번호 1곳"), "{note}");
        assert!(!made.contains("한울") && !made.contains("0000"), "{made}");
        assert!(!note.contains("비공개 사업명"), "the names of the rules are the officers' own: {note}");
        assert!(without(text, &Rules::default()).unwrap().1.contains("한울 신도시"), "not known without it");
        let looked = personal(text, &rules);
        assert!(
            looked.places.iter().any(|p| p.fix.contains("기관 사전") && !p.quote.contains("신도시")),
            "{:?}",
            looked.places
        );
    }
}
