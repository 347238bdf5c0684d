//! XLSX, XLS and ODS through calamine: each sheet a heading and a table of its filled cells, dates as dates.

use super::push_sheet;
use crate::{
    Limits, ReadError, archive,
    blocks::{Body, Builder},
    xml,
};
use calamine::{Data, Dimensions, Ods, OdsError, Reader, SheetVisible, Xls, XlsError, Xlsx, XlsxError};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
};

pub(super) fn read_xlsx(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|e| match e {
        XlsxError::Password => ReadError::PasswordProtected,
        _ => ReadError::Damaged,
    })?;
    let mut builder = Builder::new(limits.text_chars);
    let mut left = limits.cells;
    let sheets: Vec<_> = book.sheets_metadata().to_vec();
    let mut unreadable = 0;
    for sheet in &sheets {
        if sheet.visible != SheetVisible::Visible {
            continue;
        }
        let merged = book.merge_cells_by_sheet_name(&sheet.name).unwrap_or_default();
        // Streamed cell by cell: a dense range would be allocated by the farthest cell, however empty.
        let Ok(mut cells) = book.worksheet_cells_reader(&sheet.name) else {
            unreadable += 1;
            continue;
        };
        let mut grid = Grid::default();
        loop {
            let cell = cells.next_cell();
            let Ok(Some(cell)) = cell else {
                unreadable += usize::from(cell.is_err());
                break;
            };
            let text = shown(&Data::from(cell.get_value().clone()));
            grid.put(cell.get_position(), text, &mut left)?;
        }
        grid.push(&mut builder, &sheet.name, &merged, sheets.len());
    }
    finish(builder, unreadable, sheets.len())
}

pub(super) fn read_xls(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    let mut book: Xls<_> = Xls::new(Cursor::new(bytes)).map_err(|e| match e {
        XlsError::Password => ReadError::PasswordProtected,
        _ => ReadError::Damaged,
    })?;
    read_ranges(&mut book, limits, |book, sheet| book.merge_cells_by_sheet_name(sheet).unwrap_or_default())
}

pub(super) fn read_ods(bytes: &[u8], limits: &Limits) -> Result<Body, ReadError> {
    // The library reads on for ever where a table is not closed.
    let content = archive::zip_text(bytes, "content.xml", limits.inflated_bytes).ok_or(ReadError::Damaged)?;
    if !xml::is_well_formed(&content) {
        return Err(ReadError::Damaged);
    }
    drop(content);
    let mut book: Ods<_> = Ods::new(Cursor::new(bytes)).map_err(|e| match e {
        OdsError::Password => ReadError::PasswordProtected,
        OdsError::CellLimitExceeded { .. } => ReadError::TooLarge,
        _ => ReadError::Damaged,
    })?;
    read_ranges(&mut book, limits, |_, _| Vec::new())
}

/// Sheets that the library gives whole.
fn read_ranges<'a, R: Reader<Cursor<&'a [u8]>>>(
    book: &mut R,
    limits: &Limits,
    merged: impl Fn(&mut R, &str) -> Vec<Dimensions>,
) -> Result<Body, ReadError> {
    let mut builder = Builder::new(limits.text_chars);
    let mut left = limits.cells;
    let sheets: Vec<_> = book.sheets_metadata().to_vec();
    let mut unreadable = 0;
    for sheet in &sheets {
        if sheet.visible != SheetVisible::Visible {
            continue;
        }
        let Ok(range) = book.worksheet_range(&sheet.name) else {
            unreadable += 1;
            continue;
        };
        let (top, first) = range.start().unwrap_or_default();
        let mut grid = Grid::default();
        for (row, column, value) in range.used_cells() {
            grid.put((top + row as u32, first + column as u32), shown(value), &mut left)?;
        }
        let merged = merged(book, &sheet.name);
        grid.push(&mut builder, &sheet.name, &merged, sheets.len());
    }
    finish(builder, unreadable, sheets.len())
}

fn finish(mut builder: Builder, unreadable: usize, sheets: usize) -> Result<Body, ReadError> {
    if unreadable > 0 {
        if builder.is_empty() {
            return Err(ReadError::Damaged);
        }
        builder.warnings.push(format!("시트 {sheets}개 가운데 {unreadable}개는 손상되어 다 읽지 못했습니다."));
    }
    builder.finish()
}

/// Filled cells of one sheet by row and column.
#[derive(Default)]
struct Grid {
    rows: BTreeMap<u32, BTreeMap<u32, String>>,
}

impl Grid {
    fn put(&mut self, (row, column): (u32, u32), text: String, left: &mut usize) -> Result<(), ReadError> {
        if !text.trim().is_empty() {
            *left = left.checked_sub(1).ok_or(ReadError::TooLarge)?;
            self.rows.entry(row).or_default().insert(column, text);
        }
        Ok(())
    }

    /// A short label merged down several rows is repeated in each filled one.
    fn fill_down(&mut self, merged: &[Dimensions]) {
        for area in merged {
            let (top, column) = area.start;
            let label = self.rows.get(&top).and_then(|r| r.get(&column)).filter(|l| l.chars().count() <= 40).cloned();
            if let Some(label) = label
                && area.end.0 > top
            {
                for (_, row) in self.rows.range_mut(top + 1..=area.end.0) {
                    row.entry(column).or_insert_with(|| label.clone());
                }
            }
        }
    }

    fn push(mut self, builder: &mut Builder, name: &str, merged: &[Dimensions], sheets: usize) {
        if self.rows.is_empty() {
            return;
        }
        self.fill_down(merged);
        if sheets > 1 {
            builder.heading(2, name);
        }
        let columns: BTreeSet<u32> = self.rows.values().flat_map(|r| r.keys().copied()).collect();
        let dense =
            |mut row: BTreeMap<u32, String>| columns.iter().map(|c| row.remove(c).unwrap_or_default()).collect();
        push_sheet(builder, self.rows.into_values().map(dense).collect());
    }
}

/// A value as people read it.
fn shown(value: &Data) -> String {
    match value {
        Data::Empty => String::new(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => shown_number(*number),
        Data::Bool(true) => "예".to_owned(),
        Data::Bool(false) => "아니요".to_owned(),
        Data::DateTime(when) if when.is_datetime() => {
            let (year, month, day, hour, minute, _, _) = when.to_ymd_hms_milli();
            match (when.as_f64() < 1.0, hour, minute) {
                (true, ..) => format!("{hour:02}:{minute:02}"),
                (_, 0, 0) => format!("{year}-{month:02}-{day:02}"),
                _ => format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}"),
            }
        }
        Data::DateTime(when) => {
            let minutes = (when.as_f64() * 1440.0).round() as i64;
            format!("{}:{:02}", minutes / 60, minutes.rem_euclid(60))
        }
        Data::Error(error) => error.to_string(),
    }
}

/// Without the noise of binary fractions (0.1 + 0.2).
fn shown_number(number: f64) -> String {
    let rounded = (number * 1e9).round() / 1e9;
    if rounded.is_finite() && number.abs() < 1e15 { format!("{rounded}") } else { format!("{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(shown_number(0.1 + 0.2), "0.3");
        assert_eq!(shown_number(441_000_000.0), "441000000");
        assert_eq!(shown_number(-2.5), "-2.5");
    }
}
