//! CSV and kin: one table of all rows.

use super::push_sheet;
use crate::{
    Limits, ReadError,
    blocks::{Body, Builder},
    text,
};

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let decoded = text::decode(bytes).ok_or_else(|| ReadError::unsupported("알 수 없는 이진 파일"))?;
    let decoded = decoded.trim_start_matches('\u{FEFF}');
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(decoded))
        .from_reader(decoded.as_bytes());
    let mut rows = Vec::new();
    let mut cells = 0;
    for record in reader.records() {
        let record = record.map_err(|_| ReadError::Damaged)?;
        cells += record.len();
        if cells > limits.cells {
            return Err(ReadError::TooLarge);
        }
        rows.push(record.iter().map(str::to_owned).collect());
    }
    let mut builder = Builder::new(limits.text_chars);
    push_sheet(&mut builder, rows);
    builder.finish()
}

/// The separator that the first lines hold most evenly: the largest least count per line, comma on a draw.
fn delimiter(text: &str) -> u8 {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).take(20).collect();
    let count = |sign: char| {
        let counts = lines.iter().map(|l| l.matches(sign).count());
        (counts.clone().filter(|n| *n > 0).count(), counts.sum::<usize>())
    };
    let mut best = (',', count(','));
    for sign in ['\t', ';', '|'] {
        let found = count(sign);
        if found > best.1 {
            best = (sign, found);
        }
    }
    best.0 as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_stand_above_the_table_and_cp949_is_read() {
        let source = "2026년 예산 현황,,\n\n부서,사업,금액\n정보통신과,\"망, 개선\",100\n";
        let (bytes, _, _) = encoding_rs::EUC_KR.encode(source);
        let body = read(&bytes, &Limits::default()).expect("a table");
        assert_eq!(
            body.text,
            "2026년 예산 현황\n\n| 부서 | 사업 | 금액 |\n| --- | --- | --- |\n| 정보통신과 | 망, 개선 | 100 |"
        );
    }

    #[test]
    fn separators() {
        assert_eq!(delimiter("a\tb\nc\td"), b'\t');
        assert_eq!(delimiter("a;b,c\n1;2"), b';');
        assert_eq!(delimiter("하나\n둘"), b',');
    }
}
