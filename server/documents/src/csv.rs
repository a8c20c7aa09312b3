//! CSV as RFC 4180 has it: commas, CRLF, quotes where they are needed, UTF-8.
//!
//! Spreadsheet programs run a cell that begins with `=`, `+`, `-` or `@` as a formula, and some strip blanks before they
//! look. A machine chooses its own host name, so such text gets an apostrophe in front, which they show as text. Numbers
//! of ours are left alone.

use std::io::{self, Write};

use crate::Cell;

/// Writes one row.
///
/// # Errors
/// Those of the writer.
pub fn row(out: &mut impl Write, cells: &[Cell]) -> io::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        match cell {
            Cell::Empty => {}
            Cell::Number(number) => write!(out, "{number}")?,
            Cell::Text(text) => out.write_all(quoted(&defused(text)).as_bytes())?,
        }
    }
    out.write_all(b"\r\n")
}

/// The text, with an apostrophe in front where a spreadsheet would run it.
pub fn defused(text: &str) -> String {
    let first = text
        .trim_start_matches(|ch: char| ch.is_whitespace() || ch.is_control() || ch == '\u{feff}')
        .chars()
        .next();
    // The wide forms are folded to these by some programs.
    let runs =
        first.is_some_and(|ch| matches!(ch, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠'));
    // A tab or line end in front moves the rest into the next cell there.
    if runs || text.starts_with(['\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
