//! Cells with spans → rows of plain text under one header row: labels merged over rows are repeated, header rows that
//! stand over one another are joined, a title across the whole table is taken out. Writing Markdown is for `blocks`.

use crate::text::one_line;

/// A table cell as its format gives it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cell {
    pub text: String,
    pub rows: usize,
    pub columns: usize,
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), rows: 1, columns: 1 }
    }

    pub fn spanning(text: impl Into<String>, rows: usize, columns: usize) -> Self {
        Self { text: text.into(), rows: rows.max(1), columns: columns.max(1) }
    }
}

/// Widest grid kept: an honest table has fewer columns.
const MAX_COLUMNS: usize = 512;
/// Most places laid out; spans beyond are cut to one column.
const MAX_PLACES: usize = 8_000_000;
/// A label merged over several rows is repeated in each, so that a row says all by itself; longer text is not.
const MAX_REPEATED: usize = 40;
/// Most rows that are taken for a header where the document does not say.
const MAX_HEADER: usize = 4;

/// A table ready to be written.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Laid {
    /// Lines that stood across the whole width above the header.
    pub titles: Vec<String>,
    /// The first is the header. All are as wide as the widest, at least two columns, or there are none.
    pub rows: Vec<Vec<String>>,
}

/// What stands at a place of the grid.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place {
    /// Index of the cell; `None` where nothing is.
    cell: Option<usize>,
    /// Row and column within the cell.
    down: usize,
    across: usize,
}

const NOTHING: Place = Place { cell: None, down: 0, across: 0 };

/// Lays out a table. `header`: rows that the document calls its header.
pub(crate) fn lay(rows: &[Vec<Cell>], header: Option<usize>) -> Laid {
    let cells: Vec<&Cell> = rows.iter().flatten().collect();
    let texts: Vec<String> = cells.iter().map(|c| one_line(&c.text)).collect();
    let mut grid = places(rows);
    let filled = |place: &Place| place.cell.is_some_and(|c| texts.get(c).is_some_and(|t| !t.is_empty()));
    // Rows without any text go, but for those that the header counts on.
    let marked = header.unwrap_or(0);
    let mut kept_of_header = 0;
    let mut index = 0;
    grid.retain(|row| {
        let keep = row.iter().any(|p| filled(p) && (p.across == 0));
        kept_of_header += usize::from(keep && index < marked);
        index += 1;
        keep
    });
    let width = grid.iter().map(|r| r.iter().rposition(filled).map_or(0, |i| i + 1)).max().unwrap_or(0);
    for row in &mut grid {
        row.resize(width, NOTHING);
    }
    let mut laid = Laid::default();
    if width < 2 {
        return laid;
    }
    let titles = title_rows(&grid);
    for row in grid.drain(..titles) {
        let text = row.first().and_then(|p| texts.get(p.cell?)).cloned();
        laid.titles.extend(text);
    }
    let head = match kept_of_header.saturating_sub(titles) {
        0 => inferred_header(&grid, &cells),
        marked if marked < grid.len() => marked,
        _ => 1,
    };
    let body = grid.split_off(head.min(grid.len()));
    laid.rows.push((0..width).map(|column| header_label(&grid, column, &texts)).collect());
    laid.rows.extend(body.iter().map(|row| row.iter().map(|place| shown(place, &texts)).collect()));
    drop_idle_columns(&mut laid.rows);
    laid
}

/// Takes out columns that say nothing in any row, which fine grids of forms are full of. Two always stay.
fn drop_idle_columns(rows: &mut [Vec<String>]) {
    let Some((header, body)) = rows.split_first() else { return };
    let mut keep: Vec<bool> = Vec::with_capacity(header.len());
    let mut before = "";
    for (column, label) in header.iter().enumerate() {
        let said = body.iter().any(|row| row.get(column).is_some_and(|c| !c.is_empty()));
        keep.push(said || !label.is_empty() && label != before);
        before = label;
    }
    if keep.iter().filter(|k| **k).count() < 2 {
        return;
    }
    for row in rows {
        let mut kept = keep.iter();
        row.retain(|_| kept.next().copied().unwrap_or(true));
    }
}

/// Follows row and column spans.
fn places(rows: &[Vec<Cell>]) -> Vec<Vec<Place>> {
    let mut grid: Vec<Vec<Place>> = Vec::with_capacity(rows.len());
    // Per column: rows still covered by a cell from above, and its place in the row just passed.
    let mut covered: Vec<(usize, Place)> = Vec::new();
    let (mut index, mut used) = (0, 0);
    for row in rows {
        let mut line: Vec<Place> = Vec::new();
        let mut cells = row.iter();
        loop {
            if let Some((left, place)) = covered.get_mut(line.len())
                && *left > 0
            {
                *left -= 1;
                place.down += 1;
                line.push(*place);
            } else if let Some(cell) = cells.next() {
                let columns = if used > MAX_PLACES { 1 } else { cell.columns.min(MAX_COLUMNS) };
                for across in 0..columns {
                    let place = Place { cell: Some(index), down: 0, across };
                    if cell.rows > 1 {
                        cover(&mut covered, line.len(), (cell.rows - 1, place));
                    }
                    line.push(place);
                }
                index += 1;
            } else if covered.iter().skip(line.len()).any(|(left, _)| *left > 0) {
                line.push(NOTHING);
            } else {
                break;
            }
            if line.len() >= MAX_COLUMNS {
                break;
            }
        }
        index += cells.len();
        used += line.len();
        grid.push(line);
    }
    grid
}

fn cover(covered: &mut Vec<(usize, Place)>, at: usize, value: (usize, Place)) {
    if covered.len() <= at {
        covered.resize(at + 1, (0, NOTHING));
    }
    if let Some(slot) = covered.get_mut(at) {
        *slot = value;
    }
}

/// Leading rows that one cell fills from side to side, with a table left below them.
fn title_rows(grid: &[Vec<Place>]) -> usize {
    let across = |row: &&Vec<Place>| {
        let first = row.first().and_then(|p| p.cell);
        first.is_some() && row.iter().all(|p| p.cell == first)
    };
    let titles = grid.iter().take_while(across).count();
    if titles + 2 <= grid.len() { titles } else { 0 }
}

/// A first row whose cells reach down to the same row, or are split up below, heads the table together with the rows
/// that they reach.
fn inferred_header(grid: &[Vec<Place>], cells: &[&Cell]) -> usize {
    let Some(first) = grid.first() else { return 0 };
    let of_first: Vec<&Cell> = first.iter().filter_map(|p| cells.get(p.cell?).copied()).collect();
    let deep = of_first.iter().map(|c| c.rows).max().unwrap_or(1);
    let split = of_first.iter().any(|c| c.columns > 1 && c.rows < deep);
    let fits = (2..=MAX_HEADER).contains(&deep) && deep < grid.len();
    // A label at the left that spans its group of rows looks alike, but has single cells beside it.
    if fits && split && of_first.iter().all(|c| c.rows == deep || c.columns > 1) { deep } else { 1 }
}

/// Labels over a column, outermost first, each once.
fn header_label(grid: &[Vec<Place>], column: usize, texts: &[String]) -> String {
    let mut cells: Vec<usize> = grid.iter().filter_map(|row| row.get(column)?.cell).collect();
    cells.dedup();
    // In a header of one row a wide label stands once, as in the rows below it.
    let single = grid.len() == 1;
    if single && grid.first().and_then(|r| r.get(column)).is_some_and(|p| p.across > 0) {
        return String::new();
    }
    let labels = cells.iter().filter_map(|c| texts.get(*c)).filter(|t| !t.is_empty());
    labels.cloned().collect::<Vec<_>>().join(" ")
}

fn shown(place: &Place, texts: &[String]) -> String {
    let Some(text) = place.cell.and_then(|c| texts.get(c)) else { return String::new() };
    let own = place.down == 0 || text.chars().count() <= MAX_REPEATED;
    if place.across == 0 && own { text.clone() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(rows: &[&[(&str, usize, usize)]], header: Option<usize>) -> Laid {
        let cells: Vec<Vec<Cell>> = rows
            .iter()
            .map(|r| r.iter().map(|(t, down, across)| Cell::spanning(*t, *down, *across)).collect())
            .collect();
        lay(&cells, header)
    }

    #[test]
    fn labels_over_one_another_become_one_header() {
        let table = laid(
            &[
                &[("(단위: 천원)", 1, 4)],
                &[("부서", 2, 1), ("예산", 1, 2), ("비고", 2, 1)],
                &[("2025", 1, 1), ("2026", 1, 1)],
                &[("정보통신과", 1, 1), ("10", 1, 1), ("20", 1, 1), ("", 1, 1)],
            ],
            None,
        );
        assert_eq!(table.titles, ["(단위: 천원)"]);
        assert_eq!(table.rows, [["부서", "예산 2025", "예산 2026", "비고"], ["정보통신과", "10", "20", ""]]);
    }

    #[test]
    fn a_group_label_is_no_header() {
        let table = laid(&[&[("가", 2, 1), ("1", 1, 1)], &[("2", 1, 1)], &[("나", 1, 1), ("3", 1, 1)]], None);
        assert_eq!(table.rows, [["가", "1"], ["가", "2"], ["나", "3"]]);
    }

    #[test]
    fn what_the_document_calls_a_header_is_one() {
        let rows: &[&[(&str, usize, usize)]] =
            &[&[("구분", 1, 1), ("실적", 1, 1)], &[("(가)", 1, 1), ("(나)", 1, 1)], &[("x", 1, 1), ("1", 1, 1)]];
        assert_eq!(laid(rows, Some(2)).rows, [["구분 (가)", "실적 (나)"], ["x", "1"]]);
        assert_eq!(laid(rows, Some(3)).rows.len(), 3);
        assert_eq!(laid(rows, None).rows.len(), 3);
    }

    #[test]
    fn columns_that_say_nothing_go() {
        let rows: &[&[(&str, usize, usize)]] = &[
            &[("구분", 2, 2), ("예산", 1, 4)],
            &[("2025", 1, 2), ("2026", 1, 2)],
            &[("가", 1, 2), ("10", 1, 2), ("20", 1, 2)],
            &[("나", 1, 2), ("30", 1, 2), ("40", 1, 2)],
        ];
        assert_eq!(laid(rows, None).rows, [["구분", "예산 2025", "예산 2026"], ["가", "10", "20"], ["나", "30", "40"]]);
    }

    #[test]
    fn spans_beyond_reason_stay_small() {
        let wide = vec![vec![Cell::spanning("가", 65_535, 65_535), Cell::new("나")]; 50];
        assert!(lay(&wide, None).rows.iter().all(|r| r.len() <= MAX_COLUMNS));
        assert_eq!(lay(&[], Some(5)), Laid::default());
    }
}
