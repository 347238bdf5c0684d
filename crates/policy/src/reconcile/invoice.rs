//! A provider's usage file: CSV, read tolerantly as to headings, times and numbers, and strictly as to everything else;
//! a row that cannot be read is named by its line and never guessed.

use super::columns::{Column, Columns};
use crate::money::{MICRO_PER_WON, MicroWon};
use crate::time::unix_ms;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use serde::Serialize;
use std::collections::BTreeMap;

/// Most rows of a bill.
pub const MAX_ROWS: usize = 1_000_000;
/// Longest cell, bytes.
const MAX_CELL: usize = 1000;

/// How to read a bill.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Headings of columns that are not found by themselves.
    pub columns: BTreeMap<Column, String>,
    /// Hours from UTC of times that name no zone. Default 0: providers bill in UTC.
    pub zone_hours: i8,
    /// Micro-won in one unit of the cost column. Default one won; for a bill in dollars, the rate of the bill.
    pub micro_won_per_unit: i64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { columns: BTreeMap::new(), zone_hours: 0, micro_won_per_unit: MICRO_PER_WON }
    }
}

/// A row of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceRow {
    /// In the file, from 1, the heading included.
    pub line: u64,
    /// Unix milliseconds.
    pub at_ms: Option<i64>,
    /// The bill names the day alone.
    pub day_only: bool,
    pub model: String,
    pub tokens_in: Option<u64>,
    pub tokens_out: Option<u64>,
    pub won: Option<MicroWon>,
    pub request_id: Option<String>,
}

/// A row that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    pub line: u64,
    /// Korean.
    pub reason: String,
}

/// A bill.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invoice {
    pub rows: Vec<InvoiceRow>,
    pub bad: Vec<BadRow>,
}

/// Why a file is no bill at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    #[error("청구서의 첫 줄에서 열 이름을 읽지 못했습니다. UTF-8로 저장한 CSV인지 확인해 주세요.")]
    NoHeadings,
    #[error("청구서에 {0} 열이 없습니다. 열 이름을 지정해 주세요.")]
    Missing(&'static str),
    #[error("청구서가 너무 깁니다. {MAX_ROWS}줄까지 나누어 비교해 주세요.")]
    TooLong,
}

/// Reads a bill from its bytes: UTF-8, with or without a byte order mark.
///
/// # Errors
/// Only for the file as a whole; bad rows are in the result.
pub fn read(bytes: &[u8], options: &ReadOptions) -> Result<Invoice, InvoiceError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = if first.contains(&b'\t') && !first.contains(&b',') { b'\t' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(bytes);
    let headings = reader.headers().map_err(|_| InvoiceError::NoHeadings)?.clone();
    let columns = Columns::of(headings.iter(), &options.columns);
    let has = |column| columns.0.contains_key(&column);
    if ![Column::RequestId, Column::Time, Column::Date].into_iter().any(has) {
        return Err(InvoiceError::Missing("요청 번호나 일시"));
    }
    if !has(Column::RequestId) && !has(Column::Model) {
        return Err(InvoiceError::Missing("모델"));
    }
    let mut out = Invoice::default();
    let mut record = csv::ByteRecord::new();
    loop {
        if out.rows.len() + out.bad.len() >= MAX_ROWS {
            return Err(InvoiceError::TooLong);
        }
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(out),
            Ok(true) => {}
            // From memory and flexible: nothing else can go wrong, and nothing can be read past it.
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                out.bad.push(BadRow { line, reason: "줄을 읽을 수 없습니다.".to_owned() });
                return Ok(out);
            }
        }
        let line = record.position().map_or(0, |p| line_of(bytes, p));
        if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            continue;
        }
        match row(&record, &columns, headings.len(), line, options) {
            Ok(row) => out.rows.push(row),
            Err(reason) => out.bad.push(BadRow { line, reason }),
        }
    }
}

/// Line on which a record begins: its position is that of blank lines before it.
fn line_of(bytes: &[u8], position: &csv::Position) -> u64 {
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let blank = rest.iter().take_while(|b| matches!(b, b'\n' | b'\r')).filter(|b| **b == b'\n').count();
    position.line().saturating_add(blank as u64)
}

fn row(
    record: &csv::ByteRecord,
    columns: &Columns,
    width: usize,
    line: u64,
    options: &ReadOptions,
) -> Result<InvoiceRow, String> {
    if record.len() != width {
        return Err(format!("칸이 {}개인데 열은 {width}개입니다.", record.len()));
    }
    let record =
        csv::StringRecord::from_byte_record(record.clone()).map_err(|_| "UTF-8 글자가 아닙니다.".to_owned())?;
    if record.iter().any(|cell| cell.len() > MAX_CELL) {
        return Err("칸의 내용이 너무 깁니다.".to_owned());
    }
    let cell = |column| columns.get(column, &record);
    if cell(Column::Requests).is_some_and(|n| n != "1") {
        return Err("여러 호출을 합친 줄입니다. 호출마다 한 줄인 내역으로 받아 주세요.".to_owned());
    }
    let tokens = |column, name| {
        cell(column).map(|t| count(t).ok_or(format!("{name} '{t}'을(를) 읽을 수 없습니다."))).transpose()
    };
    let (at_ms, day_only) = time(cell(Column::Date), cell(Column::Time), options.zone_hours)?;
    let won = match cell(Column::Cost) {
        None => None,
        Some(text) => {
            Some(money(text, options.micro_won_per_unit).ok_or(format!("금액 '{text}'을(를) 읽을 수 없습니다."))?)
        }
    };
    let row = InvoiceRow {
        line,
        at_ms,
        day_only,
        model: cell(Column::Model).unwrap_or_default().to_owned(),
        tokens_in: tokens(Column::TokensIn, "입력 토큰")?,
        tokens_out: tokens(Column::TokensOut, "출력 토큰")?,
        won,
        request_id: cell(Column::RequestId).map(str::to_owned),
    };
    if row.request_id.is_none() && (row.at_ms.is_none() || row.model.is_empty()) {
        return Err("요청 번호도, 일시와 모델도 없습니다.".to_owned());
    }
    Ok(row)
}

/// A whole number, thousands separated or not; `12.0` too, as spreadsheets write it.
fn count(text: &str) -> Option<u64> {
    let bare: String = text.chars().filter(|c| !matches!(c, ',' | '_' | ' ')).collect();
    let (whole, fraction) = bare.split_once('.').unwrap_or((&bare, ""));
    (fraction.bytes().all(|b| b == b'0') && whole.bytes().all(|b| b.is_ascii_digit())).then(|| whole.parse().ok())?
}

/// A decimal amount with or without a sign of currency, exactly; digits beyond a micro-won are rounded to the nearest.
fn money(text: &str, micro_per_unit: i64) -> Option<MicroWon> {
    let bare: String = text.chars().filter(|c| !matches!(c, ',' | ' ' | '₩' | '￦' | '$' | '원')).collect();
    let bare = bare.trim_start_matches("KRW").trim_start_matches("USD").trim_end_matches("KRW").trim_end_matches("USD");
    let (negative, digits) = bare.strip_prefix('-').map_or((false, bare), |rest| (true, rest));
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || all.len() > 24 || !all.bytes().all(|b| b.is_ascii_digit()) || exponent.unsigned_abs() > 12 {
        return None;
    }
    let scale = i32::try_from(fraction.len()).ok()? - exponent;
    let scaled = all.parse::<i128>().ok()?.checked_mul(i128::from(micro_per_unit))?;
    let power = 10i128.checked_pow(scale.unsigned_abs())?;
    let micro = if scale < 0 { scaled.checked_mul(power)? } else { scaled.checked_add(power / 2)? / power };
    let micro = i64::try_from(micro).ok()?;
    Some(MicroWon(if negative { -micro } else { micro }))
}

/// Unix milliseconds, and whether only the day is known. `None` where the row has neither date nor time.
fn time(date: Option<&str>, time: Option<&str>, zone_hours: i8) -> Result<(Option<i64>, bool), String> {
    let text = match (date, time) {
        (None, None) => return Ok((None, false)),
        // A clock time beside its date.
        (Some(date), Some(time)) if time.len() <= 12 && time.contains(':') => format!("{date} {time}"),
        (_, Some(time)) => time.to_owned(),
        (Some(date), None) => date.to_owned(),
    };
    let read = instant(&text).map(|ms| (ms, false)).or_else(|| local(&text, zone_hours));
    let (ms, day_only) = read.ok_or(format!("일시 '{text}'을(를) 읽을 수 없습니다."))?;
    Ok((Some(ms), day_only))
}

/// A time with its zone, or Unix seconds or milliseconds.
fn instant(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) && (9..=13).contains(&text.len()) {
        let number: i64 = text.parse().ok()?;
        return if text.len() >= 12 { Some(number) } else { number.checked_mul(1000) };
    }
    let text = text.strip_suffix(" UTC").map_or_else(|| text.to_owned(), |t| format!("{t}Z"));
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// A date with or without a time, in any of the orders that put the year first.
fn local(text: &str, zone_hours: i8) -> Option<(i64, bool)> {
    let (date, time) = text.split_once([' ', 'T']).map_or((text, ""), |(d, t)| (d, t.trim()));
    let date: String =
        date.trim_end_matches('.').chars().map(|c| if matches!(c, '.' | '/') { '-' } else { c }).collect();
    let date: Date = date.parse().ok()?;
    if time.is_empty() {
        return Some((unix_ms(date.at(0, 0, 0, 0), zone_hours)?, true));
    }
    let time = if time.matches(':').count() == 1 { format!("{time}:00") } else { time.to_owned() };
    let whole: DateTime = format!("{date}T{time}").parse().ok()?;
    Some((unix_ms(whole, zone_hours)?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_of_several_providers_are_read() {
        let files = [
            "timestamp,model,input_tokens,output_tokens,cost,request_id\n2026-11-02T01:00:00Z,m,10,5,1.5,r1\n",
            "\u{feff}사용일시,모델명,입력 토큰(개),출력 토큰(개),청구 금액(원),요청 번호\n2026-11-02 01:00,m,10,5,\"₩1.5\",r1\n",
            "Created At\tModel\tPrompt Tokens\tCompletion Tokens\tAmount\tID\n1793581200\tm\t10\t5.0\t1.5\tr1\n",
            "date,time,model,n_context_tokens_total,n_generated_tokens_total,cost,id,requests\n2026.11.02,01:00:00,m,10,5,15e-1,r1,1\n",
        ];
        for file in files {
            let invoice = read(file.as_bytes(), &ReadOptions::default()).unwrap_or_else(|e| panic!("{file}: {e}"));
            let row = &invoice.rows.first().unwrap_or_else(|| panic!("{file}: {:?}", invoice.bad));
            assert_eq!((row.line, row.at_ms, row.model.as_str()), (2, Some(1_793_581_200_000), "m"), "{file}");
            assert_eq!(
                (row.tokens_in, row.tokens_out, row.won),
                (Some(10), Some(5), Some(MicroWon(1_500_000))),
                "{file}"
            );
            assert_eq!(row.request_id.as_deref(), Some("r1"), "{file}");
        }
    }

    #[test]
    fn bad_rows_are_named_by_their_lines_and_the_rest_is_read() {
        let file = b"time,model,input_tokens,output_tokens,cost,requests\n\
            2026-11-02 01:00:00,m,10,5,1,1\n\
            2026-11-02 01:00:00,m,ten,5,1,1\n\
            yesterday,m,10,5,1,1\n\
            2026-11-02 01:00:00,m,10,5,1\n\
            \n\
            2026-11-02 01:00:00,\xFF,10,5,1,1\n\
            2026-11-02 01:00:00,m,10,5,1e,1\n\
            2026-11-02 01:00:00,m,10,5,1,12\n\
            2026-11-02 01:00:00,,10,5,1,1\n\
            2026-11-02,m,10,5,,1\n";
        let invoice = read(file, &ReadOptions::default()).unwrap();
        assert_eq!(invoice.rows.iter().map(|r| (r.line, r.day_only)).collect::<Vec<_>>(), [(2, false), (11, true)]);
        assert_eq!(invoice.bad.iter().map(|b| b.line).collect::<Vec<_>>(), [3, 4, 5, 7, 8, 9, 10]);
    }

    #[test]
    fn money_is_exact() {
        let won = |text: &str| money(text, MICRO_PER_WON).map(|m| m.0);
        assert_eq!(won("1,234.567891"), Some(1_234_567_891));
        assert_eq!(won("0.0000005"), Some(1));
        assert_eq!(won("-2원"), Some(-2_000_000));
        for bad in ["", ".", "1.2.3", "abc", "1e99", "99999999999999999999", "1e12345678901"] {
            assert_eq!(won(bad), None, "{bad}");
        }
        assert_eq!(money("$0.002", 1_400 * MICRO_PER_WON), Some(MicroWon(2_800_000)));
    }

    #[test]
    fn a_file_that_is_no_bill_is_refused() {
        let refused = |file: &[u8]| read(file, &ReadOptions::default()).unwrap_err();
        assert_eq!(refused(b""), InvoiceError::Missing("요청 번호나 일시"));
        assert_eq!(refused(b"name,amount\na,1\n"), InvoiceError::Missing("요청 번호나 일시"));
        assert_eq!(refused(b"date,amount\n2026-01-01,1\n"), InvoiceError::Missing("모델"));
        assert_eq!(refused(b"\xFF,\xFE\n"), InvoiceError::NoHeadings);
    }
}
