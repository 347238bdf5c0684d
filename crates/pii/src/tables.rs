//! Tables written as text: what the head of a column says is said of every cell below it. Which words are labels is in
//! `labels`; what a label decides is in the detectors.

use crate::labels::{Cue, Label};
use crate::text::Found;
use std::ops::Range;

/// Longest cell of a head, in bytes.
const LONGEST_HEAD: usize = 40;
/// Longest line of a head, in bytes.
const LONGEST_LINE: usize = 300;
/// Columns looked at.
const MAX_COLUMNS: usize = 64;

/// What the heads of a table say of the cells below, each at the first byte of its cell.
#[derive(Default)]
pub(crate) struct Cells {
    pub labels: Vec<(Range<usize>, Label)>,
    pub cues: Vec<Found>,
}

/// What the head of one column says.
#[derive(Default, Clone, Copy)]
struct Column {
    label: Option<Label>,
    cue: Option<Cue>,
}

struct Head {
    sign: u8,
    columns: Vec<Column>,
}

/// Finds the tables and labels their cells. Each line is read as a head at most once and as a row at most once.
pub(crate) fn find(text: &str, labels: &[(Range<usize>, Label)], cues: &[Found]) -> Cells {
    let mut out = Cells::default();
    let (mut label, mut cue, mut read) = (0, 0, 0);
    loop {
        while labels.get(label).is_some_and(|(r, _)| r.start < read) {
            label += 1;
        }
        while cues.get(cue).is_some_and(|f| f.range.start < read || column_cue(f.cue).is_none()) {
            cue += 1;
        }
        let next = [labels.get(label).map(|(r, _)| r.start), cues.get(cue).map(|f| f.range.start)];
        let Some(at) = next.into_iter().flatten().min() else { return out };
        if !is_in_a_short_cell(text, at) {
            read = at + 1;
            continue;
        }
        let line = line_at(text, at);
        read = line.end + 1;
        let Some(head) = head(text, line, labels.get(label..).unwrap_or_default(), cues.get(cue..).unwrap_or_default())
        else {
            continue;
        };
        while let Some(row) = row(text, read, &head) {
            let cells = head.columns.iter().zip(cells(text, row.clone(), head.sign));
            cells.for_each(|(column, cell)| column.say(cell.start, &mut out));
            read = row.end + 1;
        }
    }
}

impl Column {
    fn say(self, at: usize, out: &mut Cells) {
        out.labels.extend(self.label.map(|label| (at..at, label)));
        out.cues.extend(self.cue.map(|cue| Found { cue, range: at..at }));
    }
}

/// What a cue in the head of a column says of the cells.
fn column_cue(cue: Cue) -> Option<Cue> {
    match cue {
        Cue::NameLabel => Some(Cue::NameCell),
        Cue::AddressLabel => Some(Cue::AddressLabel),
        _ => None,
    }
}

/// A border of a cell or a line stands near before byte `at` and near behind it, as hardly ever in prose.
fn is_in_a_short_cell(text: &str, at: usize) -> bool {
    let border = |b: &u8| matches!(b, b'|' | b'\t' | b',' | b'\n');
    let bytes = text.as_bytes();
    let after = bytes.get(at..).unwrap_or_default();
    let before = bytes.get(at.saturating_sub(LONGEST_HEAD)..at).unwrap_or_default();
    let near = |bytes: &[u8]| bytes.len() < LONGEST_HEAD || bytes.iter().any(border);
    near(before) && near(after.get(..LONGEST_HEAD).unwrap_or(after))
}

/// The line around byte `at`, without its end.
fn line_at(text: &str, at: usize) -> Range<usize> {
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    start..line_end(text, at)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length)
}

/// The cells of a line, without the blanks and quotes around.
fn cells(text: &str, line: Range<usize>, sign: u8) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = line.start;
    text.get(line).unwrap_or_default().split(char::from(sign)).take(MAX_COLUMNS).map(move |cell| {
        let around = |c: char| matches!(c, ' ' | '"' | '\'' | '*');
        let start = at + (cell.len() - cell.trim_start_matches(around).len());
        let end = start + cell.trim_matches(around).len();
        at += cell.len() + 1;
        start..end
    })
}

/// Reads the line as the head of a table: short cells without figures, one of them with a label.
fn head(text: &str, line: Range<usize>, labels: &[(Range<usize>, Label)], cues: &[Found]) -> Option<Head> {
    let words = text.get(line.clone()).filter(|w| w.len() < LONGEST_LINE && !w.bytes().any(|b| b.is_ascii_digit()))?;
    let sign = *[b'|', b'\t', b','].iter().find(|sign| words.bytes().any(|b| b == **sign))?;
    // Without another line there is no table.
    text.as_bytes().get(line.end + 1)?;
    let mut columns = Vec::new();
    for cell in cells(text, line, sign) {
        if cell.len() > LONGEST_HEAD {
            return None;
        }
        let inside = |r: &Range<usize>| cell.start <= r.start && r.end <= cell.end;
        // Offices and banks are no heads of columns of numbers.
        let label = labels.iter().take_while(|(r, _)| r.start < cell.end).filter(|(r, _)| inside(r)).map(|(_, l)| *l);
        let label = label.filter(|l| !matches!(l, Label::Agency | Label::Bank)).last();
        let mut said = cues.iter().take_while(|f| f.range.start < cell.end).filter(|f| inside(&f.range));
        columns.push(Column { label, cue: said.find_map(|f| column_cue(f.cue)) });
    }
    Some(Head { sign, columns })
}

/// The line at `from`, where it has as many cells as the head.
fn row(text: &str, from: usize, head: &Head) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    bytes.get(from)?;
    let line = from..line_end(text, from);
    let signs = bytes.get(line.clone())?.iter().filter(|b| **b == head.sign).count();
    (signs + 1 == head.columns.len()).then_some(line)
}

#[cfg(test)]
mod tests {
    use crate::{Kind, scan};

    fn kinds(text: &str) -> Vec<Kind> {
        scan(text).findings.into_iter().map(|f| f.kind).collect()
    }

    #[test]
    fn heads_speak_for_the_cells_below() {
        let rows = "|---|---|---|\n| 심나래 | 하나 | 123-456789-01234 |\n| 노라온 | 신한 | 110-222-333444 |";
        let text = format!("| 성명 | 은행 | 계좌번호 |\n{rows}");
        assert_eq!(kinds(&text), [Kind::Name, Kind::Account, Kind::Name, Kind::Account]);
        assert_eq!(kinds("부서,이름\n총무과,심나래\n예산과,노라온\n"), [Kind::Name, Kind::Name]);
        assert_eq!(kinds("성명\t건강보험증번호\n심나래\t80000000001\n"), [Kind::Name, Kind::HealthInsurance]);
        assert_eq!(kinds("성명, 주소를 적는다.\n심나래, 총무과, 파주\n"), []);
    }
}
