//! Papers made of values. Spreadsheets so far: CSV for programs and for whoever has no other, XLSX for people. The same
//! rows give the same bytes. This crate knows values and layouts; it must never know where they come from.

pub mod csv;
pub mod xlsx;

/// One value of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known.
    Empty,
    /// Text of any origin.
    Text(String),
    /// A number.
    Number(f64),
}
