//! Searching devices: one narrow row a device, and what a query finds in it as sets of small numbers. Conditions on one
//! field are answered by the engine, each by its own statement; how they are combined is the domain's
//! ([`evaluate`](chasqui_domain::device_search::evaluate)).

mod columns;
mod software;

use chasqui_domain::device_search::{Column, Field, Kind, Set, Source, Test, field, version_fits};

use crate::device::{self, Device};
use crate::{Row, Statement, StoreError, Tx, Value, params, sql, text};

/// Numbers of one statement that asks for rows.
const BATCH: usize = 64;
/// Up to so many found devices are all looked up and sorted; more are met on a walk through the list by name.
const SORTED: usize = 512;
/// Rows of one step of that walk.
const STEP: u32 = 2_000;

/// One value of a search row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Not observed.
    Unknown,
    /// Folded text.
    Text(String),
    /// A number, day, size, flag or moment.
    Number(i64),
}

/// Which list of programs a device shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListKey {
    /// The list.
    pub list: i64,
    /// The whole list it is a difference to; itself when it is whole.
    pub base: i64,
    /// How many programs of the base it has not.
    pub left_out: i64,
}

/// What a device is searched by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchRow {
    /// As the machine calls itself; the order of lists.
    pub host_name: String,
    /// Folded host name.
    pub host_key: String,
    /// Folded text in which a word without a field is looked for.
    pub words: String,
    /// One bit a kind of section that was read, by its number.
    pub sections: i64,
    /// The list of programs shown, if one is kept.
    pub software: Option<ListKey>,
    cells: Vec<(Column, Cell)>,
}

impl SearchRow {
    /// Sets a text; nothing is not observed.
    pub fn text(&mut self, column: Column, value: Option<String>) {
        if let Some(value) = value {
            self.cells.push((column, Cell::Text(value)));
        }
    }

    /// Sets a number; nothing is not observed.
    pub fn number(&mut self, column: Column, value: Option<i64>) {
        if let Some(value) = value {
            self.cells.push((column, Cell::Number(value)));
        }
    }

    fn value(&self, column: Column) -> Value {
        match self.cells.iter().rev().find(|(of, _)| *of == column) {
            Some((_, Cell::Text(text))) => Value::Text(text.clone()),
            Some((_, Cell::Number(number))) => Value::Int(*number),
            _ => Value::Null,
        }
    }
}

sql!(
    ORDINAL,
    "SELECT ordinal FROM device_search WHERE device_id = $1"
);
sql!(
    NEXT_ORDINAL,
    "SELECT COALESCE(MAX(ordinal), 0) + 1 FROM device_search"
);
sql!(
    SET_ORDINAL,
    "UPDATE devices SET search_ordinal = $2 WHERE id = $1"
);

/// Writes the row of a device. `extractor` is the version of the code that made it.
///
/// # Errors
/// As [`Tx::execute`].
pub fn put(
    tx: &mut Tx,
    device_id: &str,
    row: &SearchRow,
    extractor: i64,
) -> Result<(), StoreError> {
    let known: Option<i64> = tx.query_opt(&ORDINAL, params![device_id], |row| row.get(0))?;
    let ordinal = match known {
        Some(ordinal) => ordinal,
        None => tx.query_one(&NEXT_ORDINAL, &[], |row| row.get(0))?,
    };
    let mut values = vec![
        Value::from(ordinal),
        Value::from(device_id),
        Value::from(extractor),
        Value::from(&row.host_name),
        Value::from(row.sections),
        Value::from(&row.words),
        Value::from(&row.host_key),
    ];
    values.extend(
        columns::TEXTS
            .iter()
            .chain(columns::NUMBERS)
            .map(|column| row.value(*column)),
    );
    values.extend([
        Value::from(row.software.map(|key| key.list)),
        Value::from(row.software.map(|key| key.base)),
        Value::from(row.software.map(|key| key.left_out)),
    ]);
    tx.execute(&columns::UPSERT, &values)?;
    if known.is_none() {
        tx.execute(&SET_ORDINAL, params![device_id, ordinal])?;
    }
    Ok(())
}

sql!(
    MISSING,
    "SELECT id FROM devices WHERE search_ordinal IS NULL ORDER BY id LIMIT $1"
);
sql!(
    STALE,
    "SELECT device_id FROM device_search WHERE extractor < $1 ORDER BY extractor, ordinal LIMIT $2"
);

/// Devices without a row, then those whose row an older extractor made; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn to_fill(tx: &mut Tx, extractor: i64, limit: u32) -> Result<Vec<String>, StoreError> {
    let missing = tx.query(&MISSING, params![limit], |row| row.get(0))?;
    if !missing.is_empty() {
        return Ok(missing);
    }
    tx.query(&STALE, params![extractor, limit], |row| row.get(0))
}

sql!(
    SOFTWARE_LIST,
    "SELECT l.item_count, l.shell, l.id, COALESCE(l.base_id, l.id), (SELECT COUNT(*) FROM software_list_programs m
        WHERE m.list_id = l.id AND m.added = 0) FROM software_lists l WHERE l.digest = $1"
);

/// Length of a list of programs, what of its section is not a program, and by what it is searched.
///
/// # Errors
/// As [`Tx::query`].
pub fn software_list(
    tx: &mut Tx,
    digest: &str,
) -> Result<Option<(i64, Vec<u8>, ListKey)>, StoreError> {
    tx.query_opt(&SOFTWARE_LIST, params![digest], |row| {
        let key = ListKey {
            list: row.get(2)?,
            base: row.get(3)?,
            left_out: row.get(4)?,
        };
        Ok((row.get(0)?, row.get(1)?, key))
    })
}

sql!(
    EVERY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search"
);
sql!(
    READ_SECTION,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE (sections & $1) <> 0"
);
sql!(
    TERMS_LIKE,
    "SELECT string_agg(CAST(d.search_ordinal AS TEXT), ',') FROM device_terms t JOIN devices d ON d.id = t.device_id
     WHERE t.kind = $1 AND t.term LIKE $2 ESCAPE '!'"
);
sql!(
    TERM,
    "SELECT string_agg(CAST(d.search_ordinal AS TEXT), ',') FROM device_terms t JOIN devices d ON d.id = t.device_id
     WHERE t.kind = $1 AND t.term = $2"
);

/// What conditions find, asked of the database.
pub struct Searcher<'a> {
    tx: &'a mut Tx,
    /// Bit of the section a kind of terms comes from.
    section_of_terms: fn(Column) -> i64,
}

impl<'a> Searcher<'a> {
    /// A source over a transaction. `section_of_terms` gives the bits of the sections that say something of a field
    /// without a column of its own.
    pub fn new(tx: &'a mut Tx, section_of_terms: fn(Column) -> i64) -> Self {
        Self {
            tx,
            section_of_terms,
        }
    }

    fn set(&mut self, statement: &'static Statement, values: &[Value]) -> Result<Set, StoreError> {
        let mut set = Set::default();
        self.tx.each(statement, values, |row| {
            if let Some(numbers) = row.get::<Option<String>>(0)? {
                add(&numbers, &mut |number| set.insert(number))?;
            }
            Ok(())
        })?;
        Ok(set)
    }
}

/// Hands on each number of a text of numbers.
fn add(numbers: &str, found: &mut dyn FnMut(i64)) -> Result<(), StoreError> {
    for number in numbers.split(',') {
        let number = number
            .parse()
            .map_err(|_| StoreError::Corrupt(format!("device_search.ordinal {number:?}")))?;
        found(number);
    }
    Ok(())
}

impl Source for Searcher<'_> {
    type Error = StoreError;

    fn all(&mut self) -> Result<Set, StoreError> {
        self.set(&EVERY, &[])
    }

    fn known(&mut self, field: &'static Field) -> Result<Set, StoreError> {
        if let Some(statement) = columns::number(field.column) {
            return self.set(statement, params![i64::MIN, i64::MAX]);
        }
        if let Some(statement) = columns::text(field.column) {
            return self.set(statement, params!["%", true]);
        }
        let bits = (self.section_of_terms)(field.column);
        self.set(&READ_SECTION, params![bits])
    }

    fn matching(&mut self, field: &'static Field, test: &Test) -> Result<Set, StoreError> {
        let column = field.column;
        match (test, field.kind) {
            (Test::Contains(part), Kind::Terms(kinds)) => {
                let mut set = Set::default();
                for kind in kinds {
                    set.unite(&self.set(&TERMS_LIKE, params![*kind, text::contains(part)])?);
                }
                Ok(set)
            }
            (Test::Is(whole), Kind::Terms(kinds)) => {
                let mut set = Set::default();
                for kind in kinds {
                    set.unite(&self.set(&TERM, params![*kind, whole])?);
                }
                Ok(set)
            }
            (Test::Contains(part), _) => match columns::text(column) {
                Some(statement) => self.set(statement, params![text::contains(part), true]),
                None => Ok(Set::default()),
            },
            (Test::Is(whole), _) => match columns::text(column) {
                Some(statement) => self.set(statement, params![text::exactly(whole), true]),
                None => Ok(Set::default()),
            },
            (Test::Within(low, high), _) => match columns::number(column) {
                Some(statement) => self.set(statement, params![*low, *high]),
                None => Ok(Set::default()),
            },
            (Test::Version(op, typed), _) => {
                let mut set = Set::default();
                if let Some(statement) = columns::versions(column) {
                    self.tx.each(statement, &[], |row| {
                        let version: String = row.get(0)?;
                        if version_fits(*op, &version, typed) {
                            add(&row.get::<String>(1)?, &mut |number| set.insert(number))?;
                        }
                        Ok(())
                    })?;
                }
                Ok(set)
            }
            (Test::Program(wanted), _) => software::devices(self.tx, wanted),
            (Test::Observed | Test::Unobserved | Test::Outside(..) | Test::IsNot(_), _) => {
                Ok(Set::default())
            }
        }
    }

    fn excluding(&mut self, field: &'static Field, test: &Test) -> Result<Set, StoreError> {
        let pattern = match test {
            Test::Contains(part) => Some(text::contains(part)),
            Test::Is(whole) => Some(text::exactly(whole)),
            _ => None,
        };
        if let (Some(pattern), Some(statement)) = (pattern, columns::text(field.column)) {
            return self.set(statement, params![pattern, false]);
        }
        if let (Test::Within(low, high), Some(statement)) = (test, columns::number(field.column)) {
            let mut set = Set::default();
            if let Some(below) = low.checked_sub(1) {
                set.unite(&self.set(statement, params![i64::MIN, below])?);
            }
            if let Some(above) = high.checked_add(1) {
                set.unite(&self.set(statement, params![above, i64::MAX])?);
            }
            return Ok(set);
        }
        let found = self.matching(field, test)?;
        let mut known = self.known(field)?;
        known.subtract(&found);
        Ok(known)
    }

    fn word(&mut self, word: &str) -> Result<Set, StoreError> {
        let mut set = self.set(&columns::WORDS, params![text::contains(word), true])?;
        for kind in field::WORD_TERMS {
            set.unite(&self.set(&TERM, params![*kind, word])?);
        }
        Ok(set)
    }
}

/// A device that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its row.
    pub device: Device,
    /// Its last word on what changes by the minute, encoded.
    pub volatile: Option<Vec<u8>>,
    cells: Vec<(Column, Cell)>,
}

impl Found {
    /// What the search row holds of a field.
    pub fn cell(&self, column: Column) -> &Cell {
        self.cells
            .iter()
            .find(|(of, _)| *of == column)
            .map_or(&Cell::Unknown, |(_, cell)| cell)
    }
}

sql!(
    WALK,
    "SELECT host_name, device_id, ordinal FROM device_search
     WHERE (host_name, device_id) > ($1, $2) ORDER BY host_name, device_id LIMIT $3"
);

/// The found devices after (`host_name`, `id`) in that order; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn page(
    tx: &mut Tx,
    found: &Set,
    after: (&str, &str),
    limit: usize,
) -> Result<Vec<Found>, StoreError> {
    if found.len() <= SORTED {
        let mut rows = rows(tx, &found.iter().collect::<Vec<_>>())?;
        rows.retain(|row| (row.device.host_name.as_str(), row.device.id.as_str()) > after);
        rows.truncate(limit);
        return Ok(rows);
    }
    let mut ordinals = Vec::new();
    let mut after = (after.0.to_owned(), after.1.to_owned());
    loop {
        let step = tx.query(&WALK, params![&after.0, &after.1, STEP], |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get(2)?))
        })?;
        ordinals.extend(
            step.iter()
                .map(|(.., ordinal)| *ordinal)
                .filter(|ordinal| found.contains(*ordinal)),
        );
        match step.last() {
            Some((host, id, _)) if ordinals.len() < limit => after = (host.clone(), id.clone()),
            _ => break,
        }
    }
    ordinals.truncate(limit);
    rows(tx, &ordinals)
}

/// Devices by number, by (`host_name`, `id`).
fn rows(tx: &mut Tx, ordinals: &[i64]) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::with_capacity(ordinals.len());
    for batch in ordinals.chunks(BATCH) {
        found.extend(tx.query(&columns::ROWS, &filled(batch, BATCH), read)?);
    }
    found.sort_by(|a, b| {
        (&a.device.host_name, &a.device.id).cmp(&(&b.device.host_name, &b.device.id))
    });
    Ok(found)
}

/// A batch's numbers, and after them numbers that no row has, up to the statement's length.
fn filled(batch: &[i64], size: usize) -> Vec<Value> {
    let mut values: Vec<Value> = batch.iter().map(|number| Value::Int(*number)).collect();
    values.resize(size, Value::Int(-1));
    values
}

fn read(row: &Row<'_>) -> Result<Found, StoreError> {
    // After the device's own columns come what changes by itself, the row's number and the cells.
    const VOLATILE: usize = 28;
    const FIRST: usize = VOLATILE + 2;
    let device = device::read(row)?;
    let mut cells = Vec::new();
    let all = columns::TEXTS.iter().chain(columns::NUMBERS);
    for (index, column) in all.enumerate() {
        let cell = match row.value(FIRST + index)? {
            Value::Text(text) => Cell::Text(text),
            Value::Int(number) => Cell::Number(number),
            _ => continue,
        };
        cells.push((*column, cell));
    }
    Ok(Found {
        device,
        volatile: row.get(VOLATILE)?,
        cells,
    })
}
