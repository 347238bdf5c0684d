//! What leaves after masking: no identifier, no six digits of one, the same after masking again, and restored in full.

use crate::identifiers::{Identifier, structured, unique, worded};
use crate::mutations::{ANY, DIGITS};
use crate::random::Random;
use madang_pii::{Action, Masker, mask, restore, scan};

/// Sentences of the sort that prompts are made of, around an identifier.
const AROUND: [(&str, &str); 6] = [
    ("민원 내용을 요약해 줘. ", " 이 분이 두 번 신청했습니다."),
    ("1. 접수: ", "\n2. 처리: 3일"),
    ("신청인: 김민수, 연락처 010-2345-6789, ", " 계좌 농협 301-1234-5678-91"),
    ("", ""),
    ("주소: 가람시 행복로 12, 101동 1203호 / ", " / 2026. 11. 22."),
    ("아래 표를 정리한다.\n| 이름 | 번호 |\n| 박지훈 | ", " |"),
];

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).collect()
}

/// Runs of digits in the outgoing text, however they are separated there.
fn holds_six_of(outgoing: &str, value: &str) -> bool {
    let value = digits(value);
    let outgoing: Vec<Vec<u8>> = outgoing.split(|c: char| c.is_alphabetic()).map(digits).collect();
    value.windows(6).any(|six| outgoing.iter().any(|run| run.windows(6).any(|w| w == six)))
}

fn each_text(seed: u64, mut look: impl FnMut(&Identifier, &str)) {
    let mut random = Random::new(seed);
    for round in 0..12 {
        let ids = unique(&mut random).into_iter().chain(structured(&mut random)).chain(worded(&mut random));
        for id in ids {
            for (_, mutate) in ANY.iter().chain(DIGITS) {
                let Some(text) = mutate(&id, &mut random) else { continue };
                let (before, after) = AROUND[round % AROUND.len()];
                look(&id, &format!("{before}{text}{after}"));
            }
        }
    }
}

#[test]
fn masking_twice_is_masking_once() {
    each_text(21, |_, text| {
        let once = mask(text, &scan(text));
        let again = scan(&once.text);
        assert_eq!(again.action, Action::Pass, "{text:?} → {:?}: {:?}", once.text, again.findings);
        assert_eq!(mask(&once.text, &again).text, once.text);
    });
}

#[test]
fn what_is_not_blocked_comes_back() {
    each_text(22, |_, text| {
        let report = scan(text);
        if report.action != Action::Block {
            let masked = mask(text, &report);
            assert_eq!(restore(&masked.text, &masked.tokens), text, "{:?}", masked.text);
        }
    });
}

#[test]
fn no_six_digits_of_an_identifier_leave() {
    let mut told = 0;
    let mut all = 0;
    each_text(23, |id, text| {
        let masked = mask(text, &scan(text));
        all += 1;
        // What was missed is counted by the tests of recall.
        if holds_six_of(&masked.text, &id.value)
            && scan(text).action >= id.kind.action()
            && id.kind.action() == Action::Block
        {
            told += 1;
            eprintln!("{:?} left in {:?}", id.value, masked.text);
        }
    });
    eprintln!("{told} of {all} leave six digits");
    assert_eq!(told, 0);
}

#[test]
fn one_request_has_one_token_for_one_value() {
    let texts = ["연락처 010-2345-6789", "다시 010-2345-6789와 010-9876-5432", "신청인: 김민수"];
    let mut masker = Masker::new();
    texts.iter().for_each(|text| masker.reserve(text));
    let masked: Vec<String> = texts.iter().map(|text| masker.mask(text, &scan(text))).collect();
    assert_eq!(masked, ["연락처 [전화번호-1]", "다시 [전화번호-1]와 [전화번호-2]", "신청인: [이름-1]"]);
    assert_eq!(restore(&masked.join("\n"), masker.tokens()), texts.join("\n"));
}
