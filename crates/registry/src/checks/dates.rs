//! Dates as `2026. 11. 22.` and times as `15:20`.

use super::{Looked, place_at};
use jiff::civil::Date;

pattern!(DATE, r"(['’]?)([0-9]{4}|[0-9]{2})\s*([.\-/년])\s*([0-9]{1,2})\s*([.\-/월])\s*([0-9]{1,2})(\.|일)?");
pattern!(GOOD_DATE, r"^[0-9]{4}\. [1-9][0-9]?\. [1-9][0-9]?\.$");
pattern!(CLOCK, r"([0-9]{1,2}):([0-9]{1,2})");
pattern!(SPOKEN, r"(오전|오후|새벽|저녁|밤|낮|아침)?\s*([0-9]{1,2})\s*시\s*(?:([0-9]{1,2})\s*분|(반))?");

/// Looks at every full date written with figures.
pub(super) fn dates(text: &str) -> Looked {
    let mut looked = Looked { seen: 0, places: vec![] };
    for found in DATE.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        let number = |n: usize| found.get(n).and_then(|m| m.as_str().parse::<i16>().ok()).unwrap_or(0);
        let sep = |n: usize| found.get(n).map_or("", |m| m.as_str());
        let (year, month, day) = (number(2), number(4), number(6));
        if touches_digit(text, whole.start(), whole.end()) || !same_style(sep(3), sep(5)) || month == 0 || day == 0 {
            continue;
        }
        // Two figures and dots or hyphens may be a version, a score or a phone number: only a real date counts.
        let full_year = if year < 100 { year + 2000 } else { year };
        let (Ok(m), Ok(d)) = (i8::try_from(month), i8::try_from(day)) else {
            continue;
        };
        let real = Date::new(full_year, m, d).is_ok();
        if !real && year < 100 {
            continue;
        }
        looked.seen += 1;
        let quote = whole.as_str();
        if !real {
            looked.places.push(place_at(
                text,
                whole.start(),
                quote,
                "달력에 없는 날짜입니다. 날짜를 확인해 주세요.".into(),
            ));
        } else if !GOOD_DATE.is_match(quote) {
            let fix = format!("‘{full_year}. {month}. {day}.’로 적습니다.");
            looked.places.push(place_at(text, whole.start(), quote, fix));
        }
    }
    looked
}

/// `.` with `.`, 년 with 월, and so on: `3.5-2` is no date.
fn same_style(first: &str, second: &str) -> bool {
    matches!((first, second), (".", ".") | ("-", "-") | ("/", "/") | ("년", "월"))
}

fn touches_digit(text: &str, start: usize, end: usize) -> bool {
    let before = text.get(..start).and_then(|t| t.chars().next_back());
    let after = text.get(end..).and_then(|t| t.chars().next());
    before.is_some_and(|c| c.is_ascii_digit() || c == '.' || c == '-')
        || after.is_some_and(|c| c.is_ascii_digit() || c == '-')
}

/// Looks at every time of day.
pub(super) fn times(text: &str) -> Looked {
    let mut looked = Looked { seen: 0, places: vec![] };
    for found in CLOCK.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        if touches_digit(text, whole.start(), whole.end()) || touches_colon(text, whole.start(), whole.end()) {
            continue;
        }
        let (h, m) = (figure(&found, 1), figure(&found, 2));
        let minutes_written = found.get(2).map_or(0, |g| g.len());
        looked.seen += 1;
        if h > 24 || m > 59 || (h == 24 && m > 0) {
            let fix = "없는 시각입니다. 24시각제로 다시 적습니다.".to_owned();
            looked.places.push(place_at(text, whole.start(), whole.as_str(), fix));
        } else if found.get(1).map_or(0, |g| g.len()) == 1 || minutes_written == 1 {
            looked.places.push(place_at(text, whole.start(), whole.as_str(), format!("‘{h:02}:{m:02}’로 적습니다.")));
        }
    }
    for found in SPOKEN.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        let (h, m) = (figure(&found, 2), if found.get(4).is_some() { 30 } else { figure(&found, 3) });
        if h > 24 || m > 59 || !is_time_of_day(text, whole.start(), whole.end(), found.get(3).is_some()) {
            continue;
        }
        let hour = match found.get(1).map(|g| g.as_str()) {
            Some("오후" | "저녁" | "밤" | "낮") if h < 12 => h + 12,
            Some("오전" | "새벽" | "아침") if h == 12 => 0,
            _ => h,
        };
        looked.seen += 1;
        looked.places.push(place_at(text, whole.start(), whole.as_str(), format!("‘{hour:02}:{m:02}’로 적습니다.")));
    }
    looked
}

fn figure(found: &regex::Captures<'_>, group: usize) -> u32 {
    found.get(group).and_then(|m| m.as_str().parse().ok()).unwrap_or(0)
}

fn touches_colon(text: &str, start: usize, end: usize) -> bool {
    text.get(..start).is_some_and(|t| t.ends_with(':')) || text.get(end..).is_some_and(|t| t.starts_with(':'))
}

/// "3시에", "3시부터" but not "3시간", "5시군".
fn is_time_of_day(text: &str, start: usize, end: usize, has_minutes: bool) -> bool {
    const AFTER: [&str; 14] =
        ["부터", "까지", "에", "경", "이후", "이전", "로", "쯤", "반", "이며", "이고", "이다", "정각", "입"];
    if touches_digit(text, start, end) {
        return false;
    }
    let rest = text.get(end..).unwrap_or("");
    has_minutes || rest.chars().next().is_none_or(|c| !c.is_alphanumeric()) || AFTER.iter().any(|p| rest.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fixes(looked: &Looked) -> Vec<(&str, &str)> {
        looked.places.iter().map(|p| (p.quote.as_str(), p.fix.as_str())).collect()
    }

    #[test]
    fn only_the_official_form_passes() {
        let good = dates("2026. 11. 22. ~ 2026. 12. 1.(화)");
        assert_eq!((good.seen, good.places.len()), (2, 0));
        let bad = dates("2026.11.22. 또는 2026년 3월 2일, 2026-03-02, '26. 3. 2.");
        assert_eq!(
            fixes(&bad),
            [
                ("2026.11.22.", "‘2026. 11. 22.’로 적습니다."),
                ("2026년 3월 2일", "‘2026. 3. 2.’로 적습니다."),
                ("2026-03-02", "‘2026. 3. 2.’로 적습니다."),
                ("'26. 3. 2.", "‘2026. 3. 2.’로 적습니다."),
            ]
        );
    }

    #[test]
    fn impossible_dates_are_named_and_other_numbers_left() {
        assert!(dates("2026. 2. 30.").places[0].fix.contains("달력에 없는"));
        for text in ["010-1234-5678", "버전 1.2.3", "점수 3.5-2", "99. 99. 99."] {
            assert!(dates(text).places.is_empty(), "{text}");
        }
    }

    #[test]
    fn times_use_the_24_hour_clock() {
        assert_eq!(times("15:20부터 18:00까지").places.len(), 0);
        let bad = times("오후 3시 20분, 9:05, 오전 12시에, 25:10, 7시 반");
        assert_eq!(
            fixes(&bad).iter().map(|f| f.1).collect::<Vec<_>>(),
            [
                "‘09:05’로 적습니다.",
                "없는 시각입니다. 24시각제로 다시 적습니다.",
                "‘15:20’로 적습니다.",
                "‘00:00’로 적습니다.",
                "‘07:30’로 적습니다."
            ]
        );
        assert_eq!(times("3시간 동안, 31개 시군, 1:2:3, 24시간").seen, 0);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            dates(&text);
            times(&text);
        }

        #[test]
        fn every_real_date_in_the_official_form_passes(y in 1900i16..2100, m in 1i8..=12, d in 1i8..=28) {
            let looked = dates(&format!("{y}. {m}. {d}."));
            prop_assert_eq!((looked.seen, looked.places.len()), (1, 0));
        }
    }
}
