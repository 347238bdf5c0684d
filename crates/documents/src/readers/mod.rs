//! One reader per format: bytes that passed `archive::check` → stored text. Cutting into passages is not here.

mod delimited;
mod hangul;
mod letter;
mod markup;
mod office;
mod opentext;
mod pdf;
mod plain;
mod workbook;

use crate::{
    Format, Limits, ReadError,
    blocks::{Body, Builder, Cell},
};

pub(crate) use letter::looks_like_one as is_letter;

/// Reads `bytes` as `format`.
pub(crate) fn read(bytes: &[u8], format: Format, limits: &Limits) -> Result<Body, ReadError> {
    match format {
        Format::Txt | Format::Markdown => plain::read(bytes, limits),
        Format::Html => markup::read(bytes, limits),
        Format::Csv => delimited::read(bytes, limits),
        Format::Pdf => pdf::read(bytes, limits),
        Format::Docx => office::read_docx(bytes, limits),
        Format::Pptx => office::read_pptx(bytes, limits),
        Format::Xlsx => workbook::read_xlsx(bytes, limits),
        Format::Xls => workbook::read_xls(bytes, limits),
        Format::Ods => workbook::read_ods(bytes, limits),
        Format::Odt => opentext::read(bytes, limits),
        Format::Eml => letter::read(bytes, limits),
        Format::Hwp => hangul::read_hwp(bytes, limits),
        Format::Hwpx => hangul::read_hwpx(bytes, limits),
    }
}

/// Writes a sheet: title lines above the table become paragraphs, the first row with two filled cells its header.
fn push_sheet(builder: &mut Builder, rows: Vec<Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.into_iter().filter(|r| r.iter().any(|c| !c.trim().is_empty())).collect();
    let filled = |row: &Vec<String>| row.iter().filter(|c| !c.trim().is_empty()).count();
    let header = rows.iter().position(|r| filled(r) > 1).unwrap_or(rows.len());
    let (titles, table) = rows.split_at(header);
    for title in titles {
        builder.paragraph(&title.join(" "));
    }
    // Leading columns that stay empty in every row only make each row longer.
    let lead = table.iter().filter_map(|r| r.iter().position(|c| !c.trim().is_empty())).min().unwrap_or(0);
    let cells: Vec<Vec<Cell>> = table.iter().map(|row| row.iter().skip(lead).map(Cell::new).collect()).collect();
    builder.table(&cells);
}
