//! Personal data in the text, found by the detector that also guards outside calls.

use super::{Looked, Place};
use madang_pii::Action;

/// Looks for personal data; quotes are masked, so that the result can be passed around.
pub(super) fn personal(text: &str) -> Looked {
    let chars: Vec<char> = text.chars().collect();
    let places = madang_pii::scan(text)
        .findings
        .iter()
        .filter(|f| f.kind.action() != Action::Pass)
        .map(|f| {
            let before = chars.get(..f.start).unwrap_or(&chars);
            let found = chars.get(f.start..f.end).unwrap_or(&[]);
            let name = f.kind.korean();
            let fix = match f.kind.action() {
                Action::Block => format!("{name}: 법으로 보호되는 고유식별정보입니다. 지웁니다."),
                _ => format!("{name}: 꼭 필요하지 않으면 지우거나 일부를 ‘*’로 가립니다."),
            };
            Place { line: before.iter().filter(|c| **c == '\n').count() + 1, quote: masked(found), fix }
        })
        .collect();
    // The whole text was scanned, whatever was found.
    Looked { seen: 1, places }
}

/// The text with tokens in place of personal data, with a sentence on what was found of each kind; `None` without any. The
/// body's own dictionary is not known here.
pub(super) fn without(text: &str) -> Option<(String, String)> {
    let report = madang_pii::scan(text);
    if report.action == Action::Pass {
        return None;
    }
    let counts = report.counts();
    let found = counts.iter().filter(|(kind, _)| kind.action() != Action::Pass);
    let found: Vec<String> = found.map(|(kind, n)| format!("{} {n}곳", kind.korean())).collect();
    let note = format!("{}을 표시로 바꾼 글입니다. 놓친 것이 없는지 한 번 더 읽어 주세요.", found.join(", "));
    Some((note, madang_pii::mask(text, &report).text))
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

    #[test]
    fn personal_data_is_found_and_masked() {
        let looked = personal("신청 현황\n연락처 010-0000-1234\n문의 민원 02-120");
        assert_eq!(looked.places.len(), 1, "{:?}", looked.places);
        let place = &looked.places[0];
        assert_eq!(place.line, 2);
        assert!(place.quote.starts_with("01*-****"), "{place:?}");
        assert!(place.fix.contains("전화번호"));
        assert!(personal("900101-1970000").places[0].fix.contains("고유식별정보"));
        assert!(personal("예산 1,234천원").places.is_empty());
    }
}
