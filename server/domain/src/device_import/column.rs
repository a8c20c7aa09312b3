//! What the columns of a spreadsheet hold: by their headings, as people write them, or as people say.

use std::collections::BTreeMap;

use super::Problem;
use crate::Text;
use crate::device_facts::Field;
use crate::search::fold;

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
