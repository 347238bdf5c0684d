//! When an app runs by itself: "매월 6일", "평일 오전 8시 30분", "마감 하루 전".

use crate::phrases::count_word;
use madang_domain::Schedule;

/// A schedule found in a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub schedule: Schedule,
    /// The prompt said no time of day: 09:00 was taken.
    pub time_guessed: bool,
    /// The prompt said no day (매주, 매달): the first was taken.
    pub day_guessed: bool,
    /// Label of the date field that a deadline needs.
    pub deadline: Option<String>,
}

pattern!(
    BEFORE,
    r"([가-힣]{2,10}?)?(?:일|날)?(?:의|이|가|까지)?\s*(하루|이틀|사흘|나흘|닷새|엿새|일주일|열흘|보름|한\s*달|[0-9]{1,3}\s*일|[0-9]{1,2}\s*주일?|[한두세네]\s*주일?)\s*전(?:에|까지|마다|이면|날|\s|$|[^가-힣])"
);
pattern!(D_MINUS, r"(?i)([가-힣]{2,10}?)?\s*d\s*-\s*([0-9]{1,3})");
pattern!(YEARLY, r"(?:매년|해마다|매해|연례)\s*([0-9]{1,2})\s*월\s*(?:([0-9]{1,2})\s*일|(초|말))?");
pattern!(
    MONTHLY,
    r"(?:매월|매달|달마다|월마다|다달이)\s*(?:(?:의\s*)?([0-9]{1,2})\s*일|(초|첫날|첫째\s*날)|(말일|말|마지막\s*날))?"
);
pattern!(ONCE_A_MONTH, r"(?:한\s*달에|월)\s*(?:한|1)\s*(?:번|회)");
pattern!(EACH_DAY_OF_MONTH, r"([0-9]{1,2})\s*일\s*마다");
pattern!(WEEKLY, r"(?:매주|주마다|격주)\s*([월화수목금토일])?(?:요일)?");
pattern!(WEEKDAY_EACH, r"([월화수목금토일])요일\s*(?:마다|아침마다|오전마다)");
pattern!(ONCE_A_WEEK, r"(?:일주일에|주)\s*(?:한|1)\s*(?:번|회)");
pattern!(WEEKDAYS, r"평일|주중|근무일|업무일");
pattern!(DAILY, r"매일|날마다|하루에\s*한\s*번|일마다|아침마다|저녁마다|출근길마다|일\s*1\s*회");
pattern!(
    CLOCK,
    r"(오전|아침|새벽|오후|저녁|밤|낮|점심)?\s*([0-9]{1,2})\s*(?:시(?:\s*([0-9]{1,2})\s*분|\s*(반))?|:([0-9]{2}))"
);
pattern!(
    CLOCK_WORDS,
    r"(오전|아침|새벽|오후|저녁|밤|낮)?\s*(열두|열한|열|아홉|여덟|일곱|여섯|다섯|네|세|두|한)\s*시(?:\s*(반))?"
);
pattern!(HOUR_LENGTH, r"^\s*(?:간|군|도|범|청|장|의회|민|정)");

/// Finds the schedule that a prompt names; `None` where it names none.
pub(crate) fn find(text: &str) -> Option<Found> {
    let time = time_of_day(text);
    let (hour, minute) = time.unwrap_or((9, 0));
    let found = |schedule, day_guessed| Found { schedule, time_guessed: time.is_none(), day_guessed, deadline: None };
    if let Some(found) = before_date(text, hour, minute, time.is_none()) {
        return Some(found);
    }
    if let Some(c) = YEARLY.captures(text) {
        let month = number(&c, 1).filter(|m| (1..=12).contains(m))?;
        let last = c.get(3).is_some_and(|m| m.as_str() == "말");
        let day = number(&c, 2).unwrap_or(if last { 31 } else { 1 });
        let exact = c.get(2).is_some() || c.get(3).is_some();
        return (1..=31).contains(&day).then(|| found(Schedule::Yearly { month, day, hour, minute }, !exact));
    }
    if let Some(c) = MONTHLY.captures(text) {
        let day = if c.get(3).is_some() { 31 } else { number(&c, 1).unwrap_or(1) };
        let exact = c.get(1).or(c.get(2)).or(c.get(3)).is_some();
        return (1..=31).contains(&day).then(|| found(Schedule::Monthly { day, hour, minute }, !exact));
    }
    if let Some(day) = EACH_DAY_OF_MONTH.captures(text).and_then(|c| number(&c, 1)).filter(|d| (1..=31).contains(d)) {
        return Some(found(Schedule::Monthly { day, hour, minute }, false));
    }
    if let Some(c) = WEEKDAY_EACH.captures(text).or_else(|| WEEKLY.captures(text)) {
        let day = c.get(1).and_then(|m| weekday(m.as_str()));
        return Some(found(Schedule::Weekly { weekday: day.unwrap_or(1), hour, minute }, day.is_none()));
    }
    if WEEKDAYS.is_match(text) && (time.is_some() || text.contains("마다") || text.contains("매일")) {
        return Some(found(Schedule::Daily { hour, minute, weekdays_only: true }, false));
    }
    if DAILY.is_match(text) {
        return Some(found(Schedule::Daily { hour, minute, weekdays_only: false }, false));
    }
    if ONCE_A_WEEK.is_match(text) {
        return Some(found(Schedule::Weekly { weekday: 1, hour, minute }, true));
    }
    ONCE_A_MONTH.is_match(text).then(|| found(Schedule::Monthly { day: 1, hour, minute }, true))
}

/// Is the word part of how a schedule is said?
pub(crate) fn is_schedule_word(word: &str) -> bool {
    const WORDS: [&str; 18] = [
        "매월",
        "매달",
        "매주",
        "매일",
        "매년",
        "해마다",
        "평일",
        "주중",
        "격주",
        "하루",
        "이틀",
        "사흘",
        "일주일",
        "요일",
        "날마다",
        "아침마다",
        "한달",
        "보름",
    ];
    // "9시에", "30분", "6일": what is left without the figure names nothing.
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let clock = unit.len() < word.len() && ["시", "분", "일"].iter().any(|u| unit.starts_with(u));
    clock || WORDS.iter().any(|w| word.starts_with(w)) || word.contains("요일")
}

fn before_date(text: &str, hour: u8, minute: u8, time_guessed: bool) -> Option<Found> {
    let (label, days) = match (BEFORE.captures(text), D_MINUS.captures(text)) {
        (Some(c), _) => (c.get(1).map(|m| m.as_str().to_owned()), days(c.get(2)?.as_str())?),
        (None, Some(c)) => (c.get(1).map(|m| m.as_str().to_owned()), c.get(2)?.as_str().parse().ok()?),
        (None, None) => return None,
    };
    // "3일 전 회의" speaks of the past: without a date word before it only a deadline counts.
    let known = [
        "마감", "기한", "제출", "행사", "회의", "만료", "시작", "종료", "당직", "심의", "점검", "납부", "접수", "개최",
        "교육", "시험",
    ];
    let named = label.filter(|l| known.iter().any(|k| l.contains(k)));
    let named = named.or_else(|| known.iter().find(|k| text.contains(**k)).map(|k| (*k).to_owned()))?;
    let bare = named.trim_end_matches("일").to_owned();
    let label = match bare.as_str() {
        b if b.ends_with("기한") => b.to_owned(),
        b => format!("{b}일"),
    };
    Some(Found {
        schedule: Schedule::BeforeDate { days, field: "deadline".into(), hour, minute },
        time_guessed,
        day_guessed: false,
        deadline: Some(label),
    })
}

fn days(words: &str) -> Option<u16> {
    let flat = crate::phrases::unspaced(words);
    Some(match flat.as_str() {
        "하루" => 1,
        "이틀" => 2,
        "사흘" => 3,
        "나흘" => 4,
        "닷새" => 5,
        "엿새" => 6,
        "일주일" => 7,
        "열흘" => 10,
        "보름" => 15,
        "한달" => 30,
        other => {
            let weeks = other.contains('주');
            let figure = other.trim_end_matches("주일").trim_end_matches(['주', '일']);
            let n = u16::try_from(count_word(figure)?).ok()?;
            if weeks { n.checked_mul(7)? } else { n }
        }
    })
}

fn number(c: &regex::Captures<'_>, group: usize) -> Option<u8> {
    c.get(group)?.as_str().parse().ok()
}

fn weekday(day: &str) -> Option<u8> {
    "월화수목금토일".chars().position(|c| day.starts_with(c)).and_then(|i| u8::try_from(i + 1).ok())
}

/// First time of day of the prompt; "3시간" is a length and no time. Morning and evening words alone give an hour.
fn time_of_day(text: &str) -> Option<(u8, u8)> {
    let figures = CLOCK.captures_iter(text).find_map(|c| {
        let rest = text.get(c.get(0)?.end()..)?;
        if HOUR_LENGTH.is_match(rest) {
            return None;
        }
        let minute = number(&c, 3).or(number(&c, 5)).unwrap_or(if c.get(4).is_some() { 30 } else { 0 });
        on_clock(c.get(1).map(|m| m.as_str()), number(&c, 2)?, minute)
    });
    let words = || {
        CLOCK_WORDS.captures_iter(text).find_map(|c| {
            let rest = text.get(c.get(0)?.end()..)?;
            if HOUR_LENGTH.is_match(rest) {
                return None;
            }
            let hour = match c.get(2)?.as_str() {
                "열두" => 12,
                "열한" => 11,
                other => u8::try_from(count_word(other)?).ok()?,
            };
            on_clock(c.get(1).map(|m| m.as_str()), hour, if c.get(3).is_some() { 30 } else { 0 })
        })
    };
    figures.or_else(words)
}

fn on_clock(half: Option<&str>, hour: u8, minute: u8) -> Option<(u8, u8)> {
    let hour = match half {
        Some("오후" | "저녁" | "밤" | "낮" | "점심") if hour < 12 => hour + 12,
        Some("오전" | "아침" | "새벽") if hour == 12 => 0,
        // Offices run by day: "5시" without a half is the afternoon, "8시" the morning.
        None if (1..=6).contains(&hour) => hour + 12,
        _ => hour,
    };
    (hour < 24 && minute < 60).then_some((hour, minute))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schedules_as_officials_say_them() {
        let daily = |hour, minute, weekdays_only| Schedule::Daily { hour, minute, weekdays_only };
        let before = |days| Schedule::BeforeDate { days, field: "deadline".into(), hour: 9, minute: 0 };
        let cases = [
            ("매월 6일 초과근무수당을 정리해 줘", Schedule::Monthly { day: 6, hour: 9, minute: 0 }),
            ("매달 말일에 실적 요약", Schedule::Monthly { day: 31, hour: 9, minute: 0 }),
            ("매일 아침 9시 민원 요약", daily(9, 0, false)),
            ("평일 오전 8시 30분에 알려줘", daily(8, 30, true)),
            ("평일마다 정리", daily(9, 0, true)),
            ("매일 아침 여덟시 반에", daily(8, 30, false)),
            ("매주 금요일 오후 5시", Schedule::Weekly { weekday: 5, hour: 17, minute: 0 }),
            ("월요일마다 회의자료", Schedule::Weekly { weekday: 1, hour: 9, minute: 0 }),
            ("마감 하루 전에 알림", before(1)),
            ("제출기한 3일 전에 알려줘", before(3)),
            ("행사 일주일 전에 안내문", before(7)),
            ("마감 D-2에 점검", before(2)),
            ("매년 3월 2일 점검", Schedule::Yearly { month: 3, day: 2, hour: 9, minute: 0 }),
            ("매일 18:30에", daily(18, 30, false)),
        ];
        for (text, expected) in cases {
            assert_eq!(find(text).map(|f| f.schedule), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule() {
        for text in [
            "3일 전 게시물을 요약",
            "하루 3시간 교육 자료",
            "매출 분석",
            "2026. 3. 2. 회의 요약",
            "평일 주차 요금 알려줘",
            "매년 99월 1일",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
        assert!(find("매주 보고").is_some_and(|f| f.day_guessed && f.time_guessed));
        assert_eq!(find("제출 마감일 이틀 전").and_then(|f| f.deadline).as_deref(), Some("마감일"));
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_in_range(text in "[매월주일년평오전후시분 0-9하루전마감]{0,40}") {
            if let Some(f) = find(&text) {
                match f.schedule {
                    Schedule::Monthly { day, hour, .. } => prop_assert!((1..=31).contains(&day) && hour < 24),
                    Schedule::Yearly { month, day, .. } => prop_assert!((1..=12).contains(&month) && (1..=31).contains(&day)),
                    Schedule::Daily { hour, minute, .. } => prop_assert!(hour < 24 && minute < 60),
                    Schedule::Weekly { weekday, .. } => prop_assert!((1..=7).contains(&weekday)),
                    Schedule::BeforeDate { .. } => {}
                }
            }
        }
    }
}
