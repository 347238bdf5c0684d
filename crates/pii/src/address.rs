//! Addresses of persons: with building and room, beside a label, or beside a person's name. A road and a number alone
//! are a place that anybody may name.

use crate::digits::{Digit, Digits};
use crate::kind::Kind;
use crate::labels::{Cue, Label};
use crate::text::{Text, windows};
use crate::window::Candidate;
use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

const REGION: &str = r"(?:(?:서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주)시? ?)?(?:[가-힣]{1,6}(?:특별시|광역시|특별자치시|특별자치도|도|시|군|구|읍|면|동|리) ?){0,5}";
const ROAD: &str =
    r"[가-힣0-9]{1,15}(?:로|길)(?: ?[0-9]{1,4}(?:번|가|나|다)?길)? ?(?:지하 ?)?[0-9]{1,4}(?:-[0-9]{1,4})?(?:번지)?";
const LOT: &str = r"[가-힣0-9]{1,8}(?:동|리|가) ?(?:산 ?)?[0-9]{1,4}(?:-[0-9]{1,4})?(?:번지)?";
const BETWEEN: &str = r"[ ,.\n-]{1,3}(?:\([^()\n]{1,30}\)[ ,]{0,3})?(?:[가-힣A-Za-z0-9]{1,20}(?:아파트|빌라|오피스텔|맨션|타운|빌|주택|연립|하이츠|파크|캐슬|자이|힐스테이트|푸르지오|빌딩|타워|원룸|고시원|고시텔|마을|하우스|레지던스|상가|래미안|이편한세상|더샵|롯데|팰리스|힐|뷰|스퀘어|센트럴|APT|apt|A)[ ,]{0,3}(?:[0-9]{1,2}(?:차|단지) ?)?)?";
const UNIT: &str = r"(?:(?:제 ?)?(?:[0-9]{1,4}|에이|[비씨디이]|[가-힣A-Za-z]) ?동[ ,-]{0,3}(?:제 ?)?(?:(?:반?지하 ?|B)?[0-9]{1,2}층 ?|반?지하 ?)?(?:제 ?)?[0-9]{1,5} ?호|(?:반지하|옥탑방?) ?(?:[0-9]{2,4} ?호)?|(?:(?:지하 ?|B)?[0-9]{1,2}층[ ,]?)?(?:B|b|지하 ?)?[0-9]{2,5} ?호|[0-9]{3,4} ?[-/] ?[0-9]{3,4})";

/// Bytes before and after a unit's number in which its address stands.
const REACH: (usize, usize) = (240, 60);
/// Bytes around a name or behind a label in which an address stands.
const NEAR: (usize, usize) = (200, 260);
/// Characters between a name and the address beside it.
const BESIDE: usize = 20;

macro_rules! patterns {
    ($($name:ident = $pattern:expr;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new(&$pattern).expect("tested below"));)*
        #[cfg(test)]
        fn compile_all() { $(LazyLock::force(&$name);)* }
    };
}

patterns! {
    ADDRESS = format!("{REGION}(?:{ROAD}|{LOT}){BETWEEN}{UNIT}");
    BARE_UNIT = r"(?:[가-힣A-Za-z0-9]{1,20}(?:아파트|빌라|오피스텔|맨션|연립|APT|apt) ?)?(?:[0-9]{3,4}|[가나다라마바사아자차카타파하A-Z]) ?동 ?(?:[0-9]{1,2}층 ?)?[0-9]{3,5} ?호";
    HOUSING_UNIT = r"[가-힣A-Za-z0-9]{1,20}(?:아파트|빌라|오피스텔|맨션|연립|APT|apt)[ ,]{0,3}(?:[0-9]{1,2}(?:차|단지) ?)?(?:[0-9]{2,4} ?[-/] ?[0-9]{3,4}|[0-9]{2,5} ?호)";
    POST_BOX = r"(?:[가-힣]{1,10}우체국 ?)?사서함 ?(?:제 ?)?[0-9]{1,5}(?:-[0-9]{1,5})? ?호";
    PLACE = format!("{REGION}(?:{ROAD}|{LOT})");
    LABELLED_PLACE = format!(r"^(?:지)? ?(?:\([^()\n]{{1,12}}\) ?)?(?:입니다)? ?[:=|는은\t>)-]? ?(?:[(\[]?[0-9]{{5}}[)\]]? ?)?({REGION}(?:{ROAD}|{LOT})(?:{BETWEEN}{UNIT})?)");
}

/// Every personal address; `people` are the names found in the text, in order.
pub(crate) fn find(text: &Text, digits: &Digits, people: &[Candidate]) -> Vec<Candidate> {
    let mut out = Vec::new();
    for window in windows(text.str(), units(text, digits), REACH.0, REACH.1) {
        let part = text.slice(window.clone());
        for (pattern, confidence) in [(&*ADDRESS, 0.85), (&*BARE_UNIT, 0.6), (&*HOUSING_UNIT, 0.7), (&*POST_BOX, 0.7)] {
            for m in pattern.find_iter(part) {
                let range = window.start + m.start()..window.start + m.end();
                out.extend(whole(text, range).map(|range| Candidate { kind: Kind::Address, range, confidence }));
            }
        }
    }
    for label in text.cues.iter().filter(|f| f.cue == Cue::AddressLabel) {
        let rest = text.ahead(label.range.end, 300);
        if let Some(place) = LABELLED_PLACE.captures(rest).and_then(|c| c.get(1)) {
            let range = label.range.end + place.start()..label.range.end + place.end();
            out.push(Candidate { kind: Kind::Address, range, confidence: 0.8 });
        }
    }
    beside_people(text, people, &mut out);
    out
}

/// The range, unless it is cut out of a longer number, holds a token or is a body's place.
fn whole(text: &Text, range: Range<usize>) -> Option<Range<usize>> {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let cut = digit(text.after(range.end)) || digit(text.before(range.start)) && digit(text.after(range.start));
    let rest = text.str().as_bytes().get(range.end..).unwrap_or_default();
    // "2호선" is a line, "031-940-1234" a telephone.
    let cut = cut || matches!(rest, [b'-', b'0'..=b'9', ..]);
    let line = matches!(text.after(range.end), Some('선' | '봉' | '관' | '기'));
    let office =
        text.slice(range.clone()).contains('층') && text.has_label_near(range.start, range.end, 10, Label::Agency);
    // "A동 5층 136호실에서": a room of an office, where no road and no house is named.
    let hall = text.after(range.end) == Some('실') && !text.slice(range.clone()).contains(['로', '길', '원', '아']);
    (!cut && !line && !hall && !office && !text.touches_token(&range)).then_some(range)
}

/// Places of numbers that may be of a room: before 호, or behind a dash as in "101-1203".
fn units<'t>(text: &'t Text, digits: &'t Digits) -> impl Iterator<Item = Range<usize>> + 't {
    let bytes = text.str().as_bytes();
    digits.runs.iter().filter_map(move |run| {
        let run = digits.run(run);
        let (first, last) = (run.first()?, run.last()?);
        let after = bytes.get(last.end()..).unwrap_or_default();
        let after = after.strip_prefix(b" ").unwrap_or(after);
        let room = after.starts_with("호".as_bytes()) || run.len() <= 4 && after.starts_with("동".as_bytes());
        let dashed = || [3, 4].into_iter().any(|n| ends_in_a_room(run, n));
        // "제1234호" is a law's; "제101동 제1203호" is a room's.
        let of_a_law = || {
            text.before(first.at) == Some('제') && {
                let article = first.at - '제'.len_utf8();
                !text.slice(text.back(article, 2)..article).contains(['동', '층'])
            }
        };
        let unit = room && !of_a_law() || run.len() >= 6 && dashed();
        unit.then_some(first.at..last.end())
    })
}

/// The last `n` digits stand together behind a dash or a slash, and three before it: "101-1203", not "2026-11-22".
fn ends_in_a_room(run: &[Digit], n: usize) -> bool {
    let Some((front, room)) = run.len().checked_sub(n).and_then(|at| run.split_at_checked(at)) else { return false };
    let together = |digits: &[Digit]| digits.iter().skip(1).all(|d| d.gap.is_none());
    let building = front.len().checked_sub(3).and_then(|at| front.get(at..));
    let dashed = room.first().is_some_and(|d| d.gap.has_dash() || d.gap.count == 1 && !d.gap.is_blank());
    dashed && together(room) && building.is_some_and(together)
}

fn beside_people(text: &Text, people: &[Candidate], out: &mut Vec<Candidate>) {
    let near = windows(text.str(), people.iter().map(|p| p.range.clone()), NEAR.0, NEAR.1);
    for window in near {
        for m in PLACE.find_iter(text.slice(window.clone())) {
            let range = window.start + m.start()..window.start + m.end();
            // People are in order: only the last before and the first after can be near.
            let after = people.partition_point(|p| p.range.start < range.start);
            let distance = |from: usize, to: usize| text.slice(from..to).chars().take(BESIDE + 1).count();
            let left = after.checked_sub(1).and_then(|i| people.get(i));
            let left = left.is_some_and(|p| p.range.end <= range.start && distance(p.range.end, range.start) <= BESIDE);
            let right = people
                .get(after)
                .is_some_and(|p| range.end <= p.range.start && distance(range.end, p.range.start) <= BESIDE);
            if (left || right) && !text.touches_token(&range) {
                out.extend(whole(text, range).map(|range| Candidate { kind: Kind::Address, range, confidence: 0.6 }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn patterns_compile() {
        super::compile_all();
    }
}
