//! Times as officials read them: Asia/Seoul, `2026. 11. 22. 15:20`, and "3분 전" for what is recent.

use crate::views::Lang;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Korea's time zone.
pub fn korea() -> TimeZone {
    // Korea has kept UTC+9 without summer time since 1988: right even where no zone database is found.
    TimeZone::get("Asia/Seoul").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(9)))
}

fn seoul(ms: i64) -> jiff::Zoned {
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(korea())
}

/// `2026. 11. 22.`
pub fn date(ms: i64) -> String {
    let z = seoul(ms);
    format!("{}. {}. {}.", z.year(), z.month(), z.day())
}

/// `2026. 11. 22. 15:20`
pub fn date_time(ms: i64) -> String {
    let z = seoul(ms);
    format!("{} {:02}:{:02}", date(ms), z.hour(), z.minute())
}

/// "방금", "3분 전", "2시간 전", else the date.
pub fn ago(ms: i64, now: i64, l: Lang) -> String {
    let minutes = (now - ms).max(0) / 60_000;
    match minutes {
        0 => l.t("방금").to_owned(),
        1..60 => l.f("{}분 전", minutes),
        60..1440 => l.f("{}시간 전", minutes / 60),
        _ => date(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seoul_time_in_official_form() {
        // 2026-11-22T06:20:00Z
        assert_eq!(date_time(1_795_328_400_000), "2026. 11. 22. 15:20");
        assert_eq!(ago(1_795_328_400_000, 1_795_328_400_000 + 180_000, Lang::Ko), "3분 전");
    }
}
