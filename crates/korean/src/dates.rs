//! Korean dates and times of day in text: "2026. 11. 22.", "2026년 11월 22일", "'26. 6. 3.(수)", "오전 9시 30분".
//!
//! Finds and reads what is written; no calendar arithmetic, no "내일" relative to a clock.

use jiff::civil::{Date, Time};
use regex::{Captures, Regex};
use std::ops::Range;
use std::sync::LazyLock;

/// Something found, with the byte range of its words in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention<T> {
    pub range: Range<usize>,
    pub value: T,
}

// A day of the week in brackets belongs to the date.
static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:(?P<y>[0-9]{4})|['‘’`](?P<yy>[0-9]{2}))",
        r"(?:\s?년\s?(?P<m1>[0-9]{1,2})\s?월\s?(?P<d1>[0-9]{1,2})\s?일",
        r"|\.\s?(?P<m2>[0-9]{1,2})\.\s?(?P<d2>[0-9]{1,2})\.?",
        r"|-(?P<m3>[0-9]{1,2})-(?P<d3>[0-9]{1,2})",
        r"|/(?P<m4>[0-9]{1,2})/(?P<d4>[0-9]{1,2}))",
        r"(?:\s?\([월화수목금토일]\))?",
        r"|(?P<m5>[0-9]{1,2})\s?월\s?(?P<d5>[0-9]{1,2})\s?일(?:\s?\([월화수목금토일]\))?",
    ))
    .ok()
});

static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:(?P<half>오전|오후|아침|저녁|밤|새벽|낮)\s?)?",
        r"(?:(?P<h>[0-9]{1,2})\s?시(?:\s?(?P<m>[0-9]{1,2})\s?분|\s?(?P<thirty>반))?",
        r"|(?P<h2>[0-9]{1,2}):(?P<m2>[0-9]{2})(?::[0-9]{2})?)",
        r"|(?P<noon>정오)|(?P<midnight>자정)",
    ))
    .ok()
});

/// All dates of a text, in order. `year` completes a month and day written without one ("11월 22일"); with `None`
/// those are left out. Dates that no calendar has (2월 30일) are left out.
pub fn find_dates(text: &str, year: Option<i16>) -> Vec<Mention<Date>> {
    find(&DATE, text, |c| read_date(c, year))
}

/// All times of day of a text, in order, to the minute. "9시간" is a length of time, not a time.
pub fn find_times(text: &str) -> Vec<Mention<Time>> {
    find(&TIME, text, read_time)
        .into_iter()
        .filter(|m| !text.get(m.range.end..).is_some_and(|rest| rest.starts_with('간') || rest.starts_with('군')))
        .collect()
}

/// The first date of a text; see [`find_dates`].
pub fn parse_date(text: &str, year: Option<i16>) -> Option<Date> {
    find_dates(text, year).into_iter().next().map(|m| m.value)
}

/// The first time of day of a text; see [`find_times`].
pub fn parse_time(text: &str) -> Option<Time> {
    find_times(text).into_iter().next().map(|m| m.value)
}

fn find<T>(
    pattern: &LazyLock<Option<Regex>>,
    text: &str,
    read: impl Fn(&Captures<'_>) -> Option<T>,
) -> Vec<Mention<T>> {
    let Some(pattern) = pattern.as_ref() else {
        return Vec::new();
    };
    pattern
        .captures_iter(text)
        .filter_map(|captures| {
            let range = captures.get(0)?.range();
            // Part of a longer number: a telephone, a file number.
            let digit_before = text.get(..range.start)?.ends_with(|c: char| c.is_ascii_digit());
            let digit_after = text.get(range.end..)?.starts_with(|c: char| c.is_ascii_digit());
            if digit_before || digit_after {
                return None;
            }
            read(&captures).map(|value| Mention { range, value })
        })
        .collect()
}

fn number<T: std::str::FromStr>(captures: &Captures<'_>, names: &[&str]) -> Option<T> {
    names.iter().find_map(|name| captures.name(name))?.as_str().parse().ok()
}

fn read_date(captures: &Captures<'_>, year: Option<i16>) -> Option<Date> {
    let full: Option<i16> = number(captures, &["y"]);
    let short: Option<i16> = number(captures, &["yy"]);
    let year = full.or(short.map(|yy| 2000 + yy)).or(year)?;
    let month: i8 = number(captures, &["m1", "m2", "m3", "m4", "m5"])?;
    let day: i8 = number(captures, &["d1", "d2", "d3", "d4", "d5"])?;
    Date::new(year, month, day).ok()
}

fn read_time(captures: &Captures<'_>) -> Option<Time> {
    if captures.name("noon").is_some() {
        return Time::new(12, 0, 0, 0).ok();
    }
    if captures.name("midnight").is_some() {
        return Time::new(0, 0, 0, 0).ok();
    }
    let hour: i8 = number(captures, &["h", "h2"])?;
    let minute: i8 = if captures.name("thirty").is_some() { 30 } else { number(captures, &["m", "m2"]).unwrap_or(0) };
    let half = captures.name("half").map_or("", |m| m.as_str());
    Time::new(hour_of_day(hour, half), minute, 0, 0).ok()
}

/// Hour 0–23 of an hour said with a part of the day; out-of-range hours are passed on for the caller to refuse.
fn hour_of_day(hour: i8, half: &str) -> i8 {
    match (half, hour) {
        ("오전" | "새벽", 12) => 0,
        ("밤", 12) => 0,
        ("오후" | "저녁", 1..=11) => hour + 12,
        ("밤", 6..=11) => hour + 12,
        ("낮", 1..=5) => hour + 12,
        ("", 24) => 0,
        _ => hour,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    #[test]
    fn dates_as_officials_write_them() {
        for text in ["2026. 11. 22.", "2026.11.22", "2026년 11월 22일", "'26. 11. 22.(일)", "2026-11-22", "’26.11.22."]
        {
            assert_eq!(parse_date(text, None), Some(date(2026, 11, 22)), "{text}");
        }
        assert_eq!(parse_date("11월 22일까지", Some(2027)), Some(date(2027, 11, 22)));
        assert_eq!(parse_date("11월 22일까지", None), None);
    }

    #[test]
    fn what_is_no_date() {
        for text in ["2026. 13. 1.", "2월 30일", "12026-11-22", "031-940-1234", "3.5%"] {
            assert_eq!(parse_date(text, Some(2026)), None, "{text}");
        }
    }

    #[test]
    fn ranges_cover_the_words() {
        let text = "기간: 2026. 3. 2.(월) ~ 2026. 3. 6.(금)";
        let words: Vec<_> = find_dates(text, None).into_iter().filter_map(|m| text.get(m.range)).collect();
        assert_eq!(words, ["2026. 3. 2.(월)", "2026. 3. 6.(금)"]);
    }

    #[test]
    fn times() {
        for (text, expected) in [
            ("오전 9시 30분", time(9, 30, 0, 0)),
            ("오후 2시", time(14, 0, 0, 0)),
            ("아침 9시", time(9, 0, 0, 0)),
            ("오후 3시 반", time(15, 30, 0, 0)),
            ("15:20", time(15, 20, 0, 0)),
            ("오전 12시", time(0, 0, 0, 0)),
            ("낮 12시", time(12, 0, 0, 0)),
            ("정오", time(12, 0, 0, 0)),
        ] {
            assert_eq!(parse_time(text), Some(expected), "{text}");
        }
        assert_eq!(parse_time("9시간 근무"), None);
        assert_eq!(parse_time("25시"), None);
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_on_boundaries(text in "([0-9.:'년월일시분반 ()-]|오전|오후|\\PC){0,60}") {
            for m in find_dates(&text, Some(2026)) { prop_assert!(text.get(m.range).is_some()); }
            for m in find_times(&text) { prop_assert!(text.get(m.range).is_some()); }
        }
    }
}
