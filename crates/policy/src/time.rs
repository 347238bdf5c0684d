//! Korean time for rules and budgets: a fixed +09:00, days, clock times, windows and holidays. Knows no clock; every
//! time comes in as Unix milliseconds.

use crate::model::Name;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

const MINUTES_PER_DAY: u16 = 24 * 60;

/// Local date and time in Korea, which keeps +09:00 all year; `None` for a time out of range.
pub fn korean_time(at_ms: i64) -> Option<DateTime> {
    Some(Offset::constant(9).to_datetime(Timestamp::from_millisecond(at_ms).ok()?))
}

/// Unix milliseconds of a local date and time at `offset_hours` from UTC.
pub(crate) fn unix_ms(local: DateTime, offset_hours: i8) -> Option<i64> {
    Some(Offset::from_hours(offset_hours).ok()?.to_timestamp(local).ok()?.as_millisecond())
}

/// Date and time in Korea, for sentences.
pub fn shown(at_ms: i64) -> String {
    korean_time(at_ms).map_or_else(|| "알 수 없는 때".to_owned(), |t| format!("{}", t.strftime("%Y-%m-%d %H:%M")))
}

/// Day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    #[serde(alias = "월")]
    Mon,
    #[serde(alias = "화")]
    Tue,
    #[serde(alias = "수")]
    Wed,
    #[serde(alias = "목")]
    Thu,
    #[serde(alias = "금")]
    Fri,
    #[serde(alias = "토")]
    Sat,
    #[serde(alias = "일")]
    Sun,
}

impl Day {
    pub fn korean(self) -> &'static str {
        match self {
            Day::Mon => "월",
            Day::Tue => "화",
            Day::Wed => "수",
            Day::Thu => "목",
            Day::Fri => "금",
            Day::Sat => "토",
            Day::Sun => "일",
        }
    }

    fn of(date: Date) -> Self {
        match date.weekday() {
            Weekday::Monday => Day::Mon,
            Weekday::Tuesday => Day::Tue,
            Weekday::Wednesday => Day::Wed,
            Weekday::Thursday => Day::Thu,
            Weekday::Friday => Day::Fri,
            Weekday::Saturday => Day::Sat,
            Weekday::Sunday => Day::Sun,
        }
    }
}

/// Minutes since midnight, written `09:00`; `24:00` is the end of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime(u16);

impl TryFrom<String> for ClockTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read =
            |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse::<u16>());
        let parts = text.trim().split_once(':').and_then(|(h, m)| Some((read(h)?.ok()?, read(m)?.ok()?)));
        match parts {
            Some((h, m)) if m < 60 && h * 60 + m <= MINUTES_PER_DAY => Ok(Self(h * 60 + m)),
            _ => Err(format!("'{text}'은(는) 시각이 아닙니다. 09:00처럼 00:00부터 24:00 사이로 적어 주세요.")),
        }
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> String {
        time.to_string()
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A calendar day, written `2026-12-31`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CalendarDay(pub Date);

impl CalendarDay {
    /// First millisecond after the day in Korea; the day itself is inside.
    pub fn ends_ms(self) -> i64 {
        self.starts_ms().saturating_add(i64::from(MINUTES_PER_DAY) * 60_000)
    }

    /// First millisecond of the day in Korea.
    pub fn starts_ms(self) -> i64 {
        // Only the last day of all is out of a timestamp's range.
        unix_ms(self.0.at(0, 0, 0, 0), 9).unwrap_or(i64::MAX)
    }
}

impl TryFrom<String> for CalendarDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim();
        let whole = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match text.parse() {
            Ok(date) if whole => Ok(Self(date)),
            _ => Err(format!("'{text}'은(는) 날짜가 아닙니다. \"2026-12-31\"처럼 따옴표를 붙여 적어 주세요.")),
        }
    }
}

impl From<CalendarDay> for String {
    fn from(day: CalendarDay) -> String {
        day.to_string()
    }
}

impl fmt::Display for CalendarDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a window does on the holidays of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHolidays {
    /// Closed on holidays.
    #[default]
    Skip,
    /// A holiday is a day like any other.
    Include,
    /// Open on holidays alone.
    Only,
}

/// A named span of the week, such as working hours.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    pub name: Name,
    pub days: BTreeSet<Day>,
    pub from: ClockTime,
    /// Not in the window any more. Before `from`: past midnight, and the window belongs to the day on which it opens.
    pub to: ClockTime,
    #[serde(default)]
    pub holidays: OnHolidays,
}

impl Window {
    /// Is this moment inside?
    pub fn contains(&self, local: DateTime, holidays: &BTreeSet<CalendarDay>) -> bool {
        let minute = ClockTime(u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs()));
        let opens = |date: Date| self.opens_on(date, holidays);
        if self.from < self.to {
            return self.from <= minute && minute < self.to && opens(local.date());
        }
        let since_yesterday = minute < self.to && local.date().yesterday().is_ok_and(opens);
        minute >= self.from && opens(local.date()) || since_yesterday
    }

    fn opens_on(&self, date: Date, holidays: &BTreeSet<CalendarDay>) -> bool {
        let holiday = holidays.contains(&CalendarDay(date));
        let kept = match self.holidays {
            OnHolidays::Skip => !holiday,
            OnHolidays::Include => true,
            OnHolidays::Only => holiday,
        };
        kept && self.days.contains(&Day::of(date))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Day], from: &str, to: &str, holidays: OnHolidays) -> Window {
        let time = |text: &str| ClockTime::try_from(text.to_owned()).unwrap();
        let name = Name::try_from("창".to_owned()).unwrap();
        Window { name, days: days.iter().copied().collect(), from: time(from), to: time(to), holidays }
    }

    fn day(text: &str) -> CalendarDay {
        CalendarDay::try_from(text.to_owned()).unwrap()
    }

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    #[test]
    fn korea_is_nine_hours_ahead() {
        assert_eq!(korean_time(0).unwrap(), at("1970-01-01T09:00:00"));
        assert_eq!(korean_time(i64::MAX), None);
        assert_eq!(day("1970-01-01").ends_ms(), 15 * 3_600_000);
        assert!(day("9999-12-31").ends_ms() > day("2026-12-31").ends_ms());
    }

    #[test]
    fn times_and_days_are_read_strictly() {
        for bad in ["9:00", "24:01", "12:60", "aa:bb", "12", "+9:00"] {
            assert!(ClockTime::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        assert_eq!(ClockTime::try_from("24:00".to_owned()).unwrap().to_string(), "24:00");
        for bad in ["2026-02-30", "2026/01/01", "20260101", "2026-01-01T00"] {
            assert!(CalendarDay::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn working_hours_end_at_their_end_and_rest_on_holidays() {
        let office = window(&[Day::Mon, Day::Fri], "09:00", "18:00", OnHolidays::Skip);
        let holidays = BTreeSet::from([day("2026-11-27")]);
        assert!(office.contains(at("2026-11-23T09:00"), &holidays));
        assert!(!office.contains(at("2026-11-23T18:00"), &holidays));
        assert!(!office.contains(at("2026-11-24T10:00"), &holidays), "Tuesday");
        assert!(!office.contains(at("2026-11-27T10:00"), &holidays), "holiday");
        let only = window(&[Day::Fri], "00:00", "24:00", OnHolidays::Only);
        assert!(only.contains(at("2026-11-27T23:59"), &holidays) && !only.contains(at("2026-11-20T10:00"), &holidays));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        let night = window(&[Day::Fri], "22:00", "06:00", OnHolidays::Skip);
        assert!(night.contains(at("2026-11-27T23:00"), &BTreeSet::new()));
        assert!(night.contains(at("2026-11-28T05:59"), &BTreeSet::new()));
        assert!(!night.contains(at("2026-11-27T05:00"), &BTreeSet::new()));
        assert!(!night.contains(at("2026-11-28T23:00"), &BTreeSet::new()));
    }
}
