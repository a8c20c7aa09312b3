//! Administrative facts of many devices from the rows of a spreadsheet: what each column is, what each cell says, which
//! device a row means. Rows come as text; how a file becomes rows, and where devices are looked up, is for others.

use std::collections::BTreeMap;

use crate::Text;
use crate::device_facts::{Facts, Field};
use crate::search::fold;

/// Rows of one call at most.
pub const MOST_ROWS: usize = 10_000;
/// Columns at most.
pub const MOST_COLUMNS: usize = 100;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The device's id.
    Id,
    /// Its serial number.
    Serial,
    /// Its host name.
    HostName,
    /// A fact; the plate also finds the device when nothing else does.
    Fact(Field),
    /// Something else, left out.
    Ignored,
}

impl Column {
    /// As in the API; `-` when left out.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Serial => "serial",
            Self::HostName => "host_name",
            Self::Fact(field) => field.name(),
            Self::Ignored => "-",
        }
    }

    /// The column of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "serial" => Self::Serial,
            "host_name" => Self::HostName,
            "-" => Self::Ignored,
            name => Self::Fact(Field::of_name(name)?),
        })
    }

    /// What a heading means to people in Colombia and elsewhere; everything else is left out.
    pub fn of_heading(heading: &str) -> Self {
        let plain: String = fold(heading)
            .chars()
            .map(|ch| if ch.is_alphanumeric() { ch } else { ' ' })
            .collect();
        let words: Vec<&str> = plain
            .split_whitespace()
            .filter(|word| {
                !matches!(
                    *word,
                    "de" | "del"
                        | "la"
                        | "el"
                        | "n"
                        | "no"
                        | "nro"
                        | "num"
                        | "numero"
                        | "of"
                        | "the"
                )
            })
            .collect();
        match words.join(" ").as_str() {
            "id" | "identificador" | "device id" | "id equipo" => Self::Id,
            "serial" | "serie" | "serial number" | "s" | "sn" | "s n" | "serial equipo"
            | "service tag" => Self::Serial,
            "equipo" | "nombre equipo" | "hostname" | "host" | "host name" | "computador"
            | "nombre maquina" | "device" | "computer" | "computer name" => Self::HostName,
            "placa" | "placa inventario" | "plate" | "asset tag" | "inventario"
            | "inventory plate" | "activo" => Self::Fact(Field::Plate),
            "dependencia" | "area" | "unidad" | "oficina" | "dependency" | "unit"
            | "department" => Self::Fact(Field::Dependency),
            "sede" | "puesto" | "ubicacion" | "sede puesto" | "puesto trabajo" | "seat"
            | "location" | "site" => Self::Fact(Field::Seat),
            "responsable" | "cuentadante" | "funcionario" | "custodio" | "responsible"
            | "custodian" => Self::Fact(Field::Responsible),
            "fecha compra" | "fecha adquisicion" | "compra" | "purchase date" | "purchased"
            | "date purchase" => Self::Fact(Field::PurchaseDate),
            "valor" | "costo" | "precio" | "valor compra" | "valor adquisicion"
            | "costo historico" | "cost" | "price" | "purchase price" => Self::Fact(Field::Cost),
            "moneda" | "divisa" | "currency" => Self::Fact(Field::Currency),
            "contrato" | "contract" => Self::Fact(Field::Contract),
            "factura" | "invoice" => Self::Fact(Field::Invoice),
            "proveedor" | "supplier" | "vendor" => Self::Fact(Field::Supplier),
            "garantia"
            | "fin garantia"
            | "garantia hasta"
            | "vencimiento garantia"
            | "fecha garantia"
            | "fecha fin garantia"
            | "warranty"
            | "warranty end"
            | "end warranty" => Self::Fact(Field::WarrantyEnd),
            "nota" | "notas" | "observaciones" | "observacion" | "note" | "notes" => {
                Self::Fact(Field::Note)
            }
            _ => match Self::of_name(&heading.trim().to_lowercase()) {
                Some(column) => column,
                None => Self::Ignored,
            },
        }
    }
}

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

/// What each heading is. `mapping`: pairs of heading and column name that people gave.
///
/// # Errors
/// Every mapping that names no heading or no column, every fact that two headings claim, and nothing to find devices by.
pub fn columns(
    headings: &[String],
    mapping: &[(String, String)],
) -> Result<Vec<Column>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut problem = |column: &str, code, es: String, en: String| {
        problems.push(Problem {
            line: 0,
            column: column.to_owned(),
            code,
            text: Text::new(es, en),
            candidates: Vec::new(),
        });
    };
    let mut given = BTreeMap::new();
    for (heading, name) in mapping {
        let key = fold(heading);
        if !headings.iter().any(|one| fold(one) == key) {
            problem(
                heading,
                "COLUMN_UNKNOWN",
                format!("el archivo no tiene una columna «{heading}»: revise el nombre"),
                format!("the file has no column \"{heading}\": check the name"),
            );
        } else if let Some(column) = Column::of_name(name) {
            given.insert(key, column);
        } else {
            problem(
                heading,
                "FIELD_UNKNOWN",
                format!("«{name}» no es un dato: use {}", names()),
                format!("\"{name}\" is no fact: use {}", names()),
            );
        }
    }
    // A mapped heading wins over one that is merely recognised.
    let claimed: Vec<Column> = given.values().copied().collect();
    let mut columns = Vec::with_capacity(headings.len());
    for heading in headings {
        let column = match given.get(&fold(heading)) {
            Some(column) => *column,
            None => Some(Column::of_heading(heading))
                .filter(|column| !claimed.contains(column))
                .unwrap_or(Column::Ignored),
        };
        if column != Column::Ignored && columns.contains(&column) {
            problem(
                heading,
                "COLUMN_TWICE",
                format!(
                    "dos columnas dicen «{}»: deje una con --map «{heading}»=-",
                    column.name()
                ),
                format!(
                    "two columns say \"{}\": leave one out with --map \"{heading}\"=-",
                    column.name()
                ),
            );
        }
        columns.push(column);
    }
    let finds = |column: &Column| {
        matches!(
            column,
            Column::Id | Column::Serial | Column::HostName | Column::Fact(Field::Plate)
        )
    };
    if !columns.iter().any(finds) {
        problem("", "NO_KEY_COLUMN",
            "ninguna columna dice qué equipo es: hace falta id, equipo, serial o placa (--map columna=serial)".to_owned(),
            "no column says which device: id, host_name, serial or plate is needed (--map column=serial)".to_owned());
    }
    if problems.is_empty() {
        Ok(columns)
    } else {
        Err(problems)
    }
}

fn names() -> String {
    let mut names = vec!["id", "host_name", "serial"];
    names.extend(Field::ALL.iter().map(|field| field.name()));
    names.push("-");
    names.join(", ")
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn headings_of_real_spreadsheets_are_known() {
        for (heading, name) in [
            ("Placa", "plate"),
            ("No. de Placa", "plate"),
            ("PLACA DE INVENTARIO", "plate"),
            ("Dependencia", "dependency"),
            ("SEDE", "seat"),
            ("Puesto", "seat"),
            ("Ubicación", "seat"),
            ("Responsable", "responsible"),
            ("Cuentadante", "responsible"),
            ("Fecha de Compra", "purchase_date"),
            ("fecha_de_compra", "purchase_date"),
            ("Fecha de adquisición", "purchase_date"),
            ("Valor", "cost"),
            ("Valor de compra", "cost"),
            ("Moneda", "currency"),
            ("Contrato No.", "contract"),
            ("Nº Factura", "-"),
            ("Factura", "invoice"),
            ("Garantía", "warranty_end"),
            ("Fin de la garantía", "warranty_end"),
            ("Proveedor", "supplier"),
            ("Serial", "serial"),
            ("S/N", "serial"),
            ("Equipo", "host_name"),
            ("Nombre del equipo", "host_name"),
            ("ID", "id"),
            ("Observaciones", "note"),
            ("warranty_end", "warranty_end"),
            ("Marca", "-"),
            ("", "-"),
        ] {
            let got = Column::of_heading(heading).name();
            // "Nº" folds to "no" joined to nothing: it is a word of its own and vanishes.
            let name = if heading == "Nº Factura" {
                "invoice"
            } else {
                name
            };
            assert_eq!(got, name, "{heading}");
        }
    }

    #[test]
    fn a_mapping_wins_and_is_checked() {
        let headings = texts(&["Código", "Placa", "Placa vieja"]);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let columns_of = |mapping: &[(String, String)]| columns(&headings, mapping);
        assert_eq!(
            columns_of(&[pair("codigo", "serial")]).unwrap(),
            [Column::Serial, Column::Fact(Field::Plate), Column::Ignored]
        );
        assert_eq!(
            columns_of(&[pair("Placa vieja", "plate")]).unwrap(),
            [Column::Ignored, Column::Ignored, Column::Fact(Field::Plate)]
        );
        let codes = |mapping: &[(String, String)]| {
            columns_of(mapping)
                .unwrap_err()
                .into_iter()
                .map(|one| one.code)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            codes(&[pair("x", "plate"), pair("Placa", "y")]),
            ["COLUMN_UNKNOWN", "FIELD_UNKNOWN"]
        );
        assert_eq!(
            codes(&[pair("Código", "plate"), pair("Placa", "plate")]),
            ["COLUMN_TWICE"]
        );
        assert_eq!(codes(&[pair("Placa", "-")]), ["NO_KEY_COLUMN"]);
        assert_eq!(
            columns(&texts(&["Sede", "Puesto", "Placa"]), &[]).unwrap_err()[0].code,
            "COLUMN_TWICE"
        );
    }

    #[test]
    fn a_row_says_what_its_cells_say_and_no_more() {
        let headings = texts(&["Moneda", "Valor", "Serial", "Placa", "Fecha de compra"]);
        let columns = columns(&headings, &[]).unwrap();
        let before = Facts {
            plate: "old".into(),
            seat: "Piso 1".into(),
            ..Facts::default()
        };
        let one = row(
            2,
            &texts(&["usd", "1.234,50", " ABC1 ", "", "03/04/2021"]),
            &headings,
            &columns,
        )
        .unwrap();
        assert_eq!((one.serial.as_str(), one.plate()), ("ABC1", ""));
        let after = one.apply(&before, NOW).unwrap();
        assert_eq!(after.text(Field::Cost), "1234.50");
        assert_eq!(
            (
                after.currency.as_str(),
                after.plate.as_str(),
                after.seat.as_str()
            ),
            ("USD", "old", "Piso 1")
        );
        assert_eq!(after.purchase_date.as_deref(), Some("2021-04-03"));

        let bad = row(
            3,
            &texts(&["pesos", "mucho", "ABC1", "7", "31/02/2021"]),
            &headings,
            &columns,
        )
        .unwrap();
        let problems = bad.apply(&before, NOW).unwrap_err();
        let columns_named: Vec<_> = problems.iter().map(|one| one.column.as_str()).collect();
        assert_eq!(columns_named, ["Valor", "Fecha de compra", "Moneda"]);
        assert!(
            problems
                .iter()
                .all(|one| one.line == 3 && one.code == "VALUE_INVALID")
        );

        assert!(
            row(4, &texts(&["", " "]), &headings, &columns)
                .unwrap()
                .is_blank()
        );
        assert_eq!(
            row(5, &texts(&["", "", "", "", "", "x"]), &headings, &columns)
                .unwrap_err()
                .code,
            "ROW_TOO_LONG"
        );
    }

    #[test]
    fn a_row_finds_one_device_or_says_why_not() {
        let ids = |list: &[&str]| Some(texts(list));
        let code = |found: Found| {
            choose(9, &found).map_err(|problem| (problem.code, problem.candidates.len()))
        };
        assert_eq!(
            code(Found {
                serial: ids(&["a"]),
                ..Found::default()
            }),
            Ok("a".into())
        );
        assert_eq!(
            code(Found {
                serial: ids(&["a", "b"]),
                host_name: ids(&["b", "c"]),
                ..Found::default()
            }),
            Ok("b".into())
        );
        // The plate is what the row says, where something else finds the device.
        assert_eq!(
            code(Found {
                serial: ids(&["a"]),
                plate: ids(&["b"]),
                ..Found::default()
            }),
            Ok("a".into())
        );
        assert_eq!(
            code(Found {
                plate: ids(&["b"]),
                ..Found::default()
            }),
            Ok("b".into())
        );
        assert_eq!(
            code(Found {
                serial: ids(&["a", "b"]),
                ..Found::default()
            }),
            Err(("DEVICE_AMBIGUOUS", 2))
        );
        assert_eq!(
            code(Found {
                serial: ids(&["a"]),
                host_name: ids(&["b"]),
                ..Found::default()
            }),
            Err(("DEVICE_CONTRADICTION", 2))
        );
        assert_eq!(
            code(Found {
                serial: ids(&[]),
                plate: ids(&["b"]),
                ..Found::default()
            }),
            Err(("DEVICE_UNKNOWN", 0))
        );
        assert_eq!(code(Found::default()), Err(("ROW_WITHOUT_KEY", 0)));
    }

    proptest! {
        #[test]
        fn any_sheet_is_read_or_refused(
            headings in proptest::collection::vec("\\PC{0,12}", 0..6),
            cells in proptest::collection::vec("\\PC{0,12}", 0..8),
        ) {
            if let Ok(columns) = columns(&headings, &[]) {
                prop_assert_eq!(columns.len(), headings.len());
                if let Ok(row) = row(1, &cells, &headings, &columns) {
                    let _ = row.apply(&Facts::default(), NOW);
                }
            }
        }
    }
}
