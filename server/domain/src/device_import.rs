//! Administrative facts of many devices from the rows of a spreadsheet: what each column is, what each cell says, which
//! device a row means. Rows come as text; how a file becomes rows, and where devices are looked up, is for others.

mod column;

use crate::Text;
use crate::device_facts::{Facts, Field};

pub use column::{Column, columns};

/// Rows of one call at most.
pub const MOST_ROWS: usize = 10_000;
/// Columns at most.
pub const MOST_COLUMNS: usize = 100;

/// Something wrong with a row or a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file; 0 for the headings.
    pub line: u32,
    /// Heading; empty for the whole row.
    pub column: String,
    /// Stable code.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub text: Text,
    /// Ids among which a person has to choose.
    pub candidates: Vec<String>,
}

/// A row as read: how to find its device and what to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Line in the file.
    pub line: u32,
    /// Empty when not given.
    pub id: String,
    /// Empty when not given.
    pub serial: String,
    /// Empty when not given.
    pub host_name: String,
    /// What the row says, by field and heading; empty cells say nothing.
    pub values: Vec<(Field, String, String)>,
}

impl Row {
    /// The plate it names; empty when none.
    pub fn plate(&self) -> &str {
        self.values
            .iter()
            .find(|(field, ..)| *field == Field::Plate)
            .map_or("", |(.., text)| text)
    }

    /// Nothing but white space: spreadsheets end in such rows.
    pub fn is_blank(&self) -> bool {
        self.id.is_empty()
            && self.serial.is_empty()
            && self.host_name.is_empty()
            && self.values.is_empty()
    }

    /// The facts of a device after this row.
    ///
    /// # Errors
    /// One problem for each cell that cannot be read.
    pub fn apply(&self, before: &Facts, now_ms: i64) -> Result<Facts, Vec<Problem>> {
        let mut facts = before.clone();
        let mut problems = Vec::new();
        // A currency goes by its cost, in whichever order the columns stand.
        let mut values: Vec<_> = self.values.iter().collect();
        values.sort_by_key(|(field, ..)| *field == Field::Currency);
        for (field, heading, text) in values {
            if let Err(text) = facts.set(*field, text, now_ms) {
                problems.push(Problem {
                    line: self.line,
                    column: heading.clone(),
                    code: "VALUE_INVALID",
                    text,
                    candidates: Vec::new(),
                });
            }
        }
        if problems.is_empty() {
            Ok(facts)
        } else {
            Err(problems)
        }
    }
}

/// Reads a row by its columns. Cells beyond the headings must be blank.
///
/// # Errors
/// ROW_TOO_LONG when they are not: its cells would be taken for others'.
pub fn row(
    line: u32,
    cells: &[String],
    headings: &[String],
    columns: &[Column],
) -> Result<Row, Problem> {
    if cells
        .iter()
        .skip(headings.len())
        .any(|cell| !cell.trim().is_empty())
    {
        return Err(Problem {
            line,
            column: String::new(),
            code: "ROW_TOO_LONG",
            text: Text::new(
                "la fila tiene más celdas que títulos: revise comillas y separadores",
                "the row has more cells than headings: check quotes and separators",
            ),
            candidates: Vec::new(),
        });
    }
    let mut row = Row {
        line,
        ..Row::default()
    };
    for ((cell, heading), column) in cells.iter().zip(headings).zip(columns) {
        let cell = cell.trim();
        if cell.is_empty() {
            continue;
        }
        match column {
            Column::Id => row.id = cell.to_owned(),
            Column::Serial => row.serial = cell.to_owned(),
            Column::HostName => row.host_name = cell.to_owned(),
            Column::Fact(field) => row.values.push((*field, heading.clone(), cell.to_owned())),
            Column::Ignored => {}
        }
    }
    Ok(row)
}

/// Devices that each key of a row finds; nothing where the row does not give it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// By id.
    pub id: Option<Vec<String>>,
    /// By serial number.
    pub serial: Option<Vec<String>>,
    /// By host name.
    pub host_name: Option<Vec<String>>,
    /// By the plate that devices have now.
    pub plate: Option<Vec<String>>,
}

/// Which device a row means. Id, serial number and host name must agree; the plate finds a device only where they are not
/// given, for otherwise it is what the row says of the device.
///
/// # Errors
/// Why a person has to say more.
pub fn choose(line: u32, found: &Found) -> Result<String, Problem> {
    let problem = |code, es: &str, en: &str, candidates: &[String]| Problem {
        line,
        column: String::new(),
        code,
        text: Text::new(es, en),
        candidates: candidates.to_vec(),
    };
    let keys: Vec<&Vec<String>> = [&found.id, &found.serial, &found.host_name]
        .into_iter()
        .flatten()
        .collect();
    let keys = if keys.is_empty() {
        found.plate.iter().collect()
    } else {
        keys
    };
    let Some((first, rest)) = keys.split_first() else {
        return Err(problem(
            "ROW_WITHOUT_KEY",
            "la fila no dice qué equipo es: escriba id, equipo, serial o placa",
            "the row does not say which device: write id, host name, serial number or plate",
            &[],
        ));
    };
    if keys.iter().any(|ids| ids.is_empty()) {
        return Err(problem(
            "DEVICE_UNKNOWN",
            "no hay un equipo activo con ese id, serial, nombre o placa: revise la celda o inscriba el equipo",
            "no active device has this id, serial number, name or plate: check the cell or enrol the device",
            &[],
        ));
    }
    let common: Vec<String> = first
        .iter()
        .filter(|id| rest.iter().all(|ids| ids.contains(id)))
        .cloned()
        .collect();
    match common.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let mut all: Vec<String> = keys.iter().flat_map(|ids| ids.iter().cloned()).collect();
            all.sort();
            all.dedup();
            Err(problem(
                "DEVICE_CONTRADICTION",
                "el serial y el nombre son de equipos distintos: corrija la fila o deje solo uno",
                "serial number and name are of different devices: correct the row or leave one of them",
                &all,
            ))
        }
        several => Err(problem(
            "DEVICE_AMBIGUOUS",
            "la fila corresponde a varios equipos: agregue una columna id con uno de los candidatos",
            "the row fits several devices: add an id column with one of the candidates",
            several,
        )),
    }
}

#[cfg(test)]
mod tests;
