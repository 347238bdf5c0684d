//! A normalised view with its string form and the labels in it: what every detector reads.

use crate::view::View;
use aho_corasick::{AhoCorasick, MatchKind};
use std::ops::Range;
use std::sync::LazyLock;

/// What a word in the text says about the number near it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Account,
    Health,
    License,
    Passport,
    Business,
    Corporate,
    Phone,
    Agency,
    Ip,
    Vehicle,
    /// Before the number of a case, which is written like a plate.
    Court,
    /// A number of a thing or a paper, or an amount: never personal.
    Reference,
}

const LABELS: &[(Label, &[&str])] = &[
    (
        Label::Account,
        &[
            "계좌",
            "은행",
            "농협",
            "수협",
            "신협",
            "새마을금고",
            "우체국",
            "뱅크",
            "신한",
            "입금",
            "송금",
            "예금주",
            "이체",
            "통장",
            "KB",
            "IBK",
        ],
    ),
    (Label::Health, &["건강보험", "건강 보험", "보험증", "건보"]),
    (Label::License, &["면허", "운전", "license"]),
    (Label::Passport, &["여권", "passport"]),
    (Label::Business, &["사업자", "BRN"]),
    (Label::Corporate, &["법인", "등기번호", "회사번호"]),
    (Label::Phone, &["전화", "연락처", "휴대폰", "핸드폰", "휴대 전화", "팩스", "tel", "phone", "fax", "☎", "☏"]),
    (
        Label::Agency,
        &[
            "대표전화",
            "대표번호",
            "민원실",
            "민원팀",
            "콜센터",
            "상담실",
            "고객센터",
            "문의",
            "담당부서",
            "시청",
            "구청",
            "군청",
            "도청",
            "주민센터",
            "복지센터",
            "보건소",
            "담당과",
            "부서",
            "사무소",
            "교육청",
            "경찰서",
            "소방서",
        ],
    ),
    (Label::Ip, &["IP", "아이피", "서버", "host", "호스트"]),
    (Label::Vehicle, &["차량", "번호판", "차번호", "자동차", "주차"]),
    (Label::Court, &["대법원", "법원", "선고", "판결", "고법", "지법", "헌법재판소", "헌재"]),
    (
        Label::Reference,
        &[
            "접수번호",
            "접수",
            "문서번호",
            "물품",
            "관리번호",
            "고지번호",
            "납부번호",
            "영수증",
            "일련번호",
            "제품",
            "모델",
            "상품",
            "송장",
            "주문번호",
            "승인번호",
            "공고",
            "예산",
            "입찰",
            "사건번호",
            "허가번호",
        ],
    ),
];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .ascii_case_insensitive(true)
        .build(LABELS.iter().flat_map(|(_, words)| words.iter()))
        .expect("the labels above build")
});

/// [`Label`] of each pattern number of [`FINDER`].
static LABEL_OF: LazyLock<Vec<Label>> =
    LazyLock::new(|| LABELS.iter().flat_map(|(label, words)| words.iter().map(move |_| *label)).collect());

/// A normalised view, the same as a string, and where its labels stand.
pub(crate) struct Text {
    pub view: View,
    pub string: String,
    /// Byte offset in `string` of each character.
    bytes: Vec<usize>,
    /// Character ranges of labels, in order, not overlapping.
    labels: Vec<(Range<usize>, Label)>,
}

impl Text {
    /// Reads a view that is normalised already.
    pub fn new(view: View) -> Self {
        let mut string = String::with_capacity(view.chars().len());
        let mut bytes = Vec::with_capacity(view.chars().len());
        for &c in view.chars() {
            bytes.push(string.len());
            string.push(c);
        }
        let mut text = Text { view, string, bytes, labels: Vec::new() };
        text.labels = FINDER
            .find_iter(&text.string)
            .filter_map(|m| Some((text.chars(m.range()), *LABEL_OF.get(m.pattern().as_usize())?)))
            .collect();
        text
    }

    /// Character positions of a byte range of `string`.
    pub fn chars(&self, bytes: Range<usize>) -> Range<usize> {
        let position = |byte| self.bytes.partition_point(|&b| b < byte);
        position(bytes.start)..position(bytes.end)
    }

    /// The label that ends last before `at`, no more than `window` characters away.
    pub fn label_before(&self, at: usize, window: usize) -> Option<Label> {
        let before = self.labels.partition_point(|(range, _)| range.end <= at);
        let (range, label) = self.labels.get(before.checked_sub(1)?)?;
        (at - range.end <= window).then_some(*label)
    }

    /// `label` stands within `window` characters before `start` or after `end`.
    ///
    /// Labels do not overlap, so at most `window` of them are looked at on each side.
    pub fn has_label_near(&self, start: usize, end: usize, window: usize, label: Label) -> bool {
        let before = self.labels.partition_point(|(range, _)| range.end <= start);
        let left = self.labels.get(..before).unwrap_or_default().iter().rev();
        let right = self.labels.get(before..).unwrap_or_default().iter();
        left.take_while(|(range, _)| start - range.end <= window).any(|(_, l)| *l == label)
            || right
                .skip_while(|(range, _)| range.start < end)
                .take_while(|(range, _)| range.start - end <= window)
                .any(|(_, l)| *l == label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_label_wins() {
        let text = Text::new(View::of("농협 접수번호 2026").normalised());
        assert_eq!(text.label_before(8, 30), Some(Label::Reference));
        assert!(text.has_label_near(8, 12, 30, Label::Account));
        assert!(!text.has_label_near(8, 12, 3, Label::Account));
        assert_eq!(text.label_before(1, 30), None);
    }

    #[test]
    fn characters_of_bytes() {
        let text = Text::new(View::of("가나12").normalised());
        assert_eq!(text.chars(3..7), 1..3);
    }
}
