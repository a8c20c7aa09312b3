//! XLSX, one sheet: a heading that stays in view with a filter on it, text as text (never as a formula), numbers as numbers.

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, XlsxError};

use crate::Cell;

/// Most rows of a sheet below its heading; the format ends there.
pub const MAX_ROWS: usize = 1_048_575;
/// Most characters of a cell, by the format.
const MAX_CHARS: usize = 32_767;

/// Why no sheet could be made.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// More rows than a sheet holds.
    #[error("a sheet holds at most {MAX_ROWS} rows: narrow the query or write CSV")]
    TooManyRows,
    /// The name or a value does not fit the format.
    #[error("the sheet cannot be made: {0}")]
    Format(#[from] XlsxError),
}

/// The bytes of a workbook with one sheet.
///
/// # Errors
/// [`SheetError`].
pub fn sheet(name: &str, heading: &[String], rows: &[Vec<Cell>]) -> Result<Vec<u8>, SheetError> {
    if rows.len() > MAX_ROWS {
        return Err(SheetError::TooManyRows);
    }
    let mut book = Workbook::new();
    // The library would write the present time: the same rows must give the same bytes.
    let created = ExcelDateTime::from_ymd(2000, 1, 1)?;
    book.set_properties(&DocProperties::new().set_creation_datetime(&created));
    let bold = Format::new().set_bold();
    let sheet = book.add_worksheet();
    sheet.set_name(name)?;
    for (column, title) in (0_u16..).zip(heading) {
        sheet.write_string_with_format(0, column, cut(title), &bold)?;
        sheet.set_column_width(column, 22)?;
    }
    for (line, cells) in (1_u32..).zip(rows) {
        for (column, cell) in (0_u16..).zip(cells) {
            match cell {
                Cell::Empty => {}
                Cell::Text(text) => {
                    sheet.write_string(line, column, cut(text))?;
                }
                Cell::Number(number) => {
                    sheet.write_number(line, column, *number)?;
                }
            }
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    if let (Some(last), Ok(lines)) = (
        u16::try_from(heading.len())
            .ok()
            .and_then(|n| n.checked_sub(1)),
        u32::try_from(rows.len()),
    ) {
        sheet.autofilter(0, 0, lines, last)?;
    }
    Ok(book.save_to_buffer()?)
}

/// What fits into a cell, without characters that XML has not.
fn cut(text: &str) -> String {
    text.chars()
        .map(|ch| {
            if ch.is_control() && !matches!(ch, '\t' | '\n') {
                ' '
            } else {
                ch
            }
        })
        .take(MAX_CHARS)
        .collect()
}
