//! Devices that have a program. A device shows one list of programs; a list may be another, whole one with some programs
//! added and some left out. A fleet has few whole lists, so those are asked first: a device has a wanted program when its
//! own list adds one, or when its whole list has more of the wanted ones than its own leaves out.

use std::collections::{BTreeMap, HashMap};

use chasqui_domain::device_search::{Set, program};

use super::{BATCH, add, filled};
use crate::{StoreError, Tx, Value, params, sql, text};

/// Most programs (each version is one) that a name may mean.
const MOST: usize = 20_000;
/// Programs of one statement when a name means more than [`BATCH`]. A library in a hundred versions on five sources does; the
/// short statement stays the usual one, since the planner thinks by the length.
const MANY: usize = 512;

// The names alone are looked at, each once, and then the versions of those that fit.
sql!(
    PROGRAMS,
    "WITH RECURSIVE v(x) AS (SELECT MIN(name_key) FROM programs UNION ALL
        SELECT (SELECT MIN(name_key) FROM programs WHERE name_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT p.id, p.name_key, p.version, p.source FROM v CROSS JOIN programs p
     WHERE p.name_key = v.x AND v.x LIKE $1 ESCAPE '!'"
);
sql!(
    IN_WHOLE_LISTS,
    "SELECT m.list_id, COUNT(*) FROM software_list_programs m WHERE m.added = 1
        AND m.list_id IN (SELECT l.id FROM software_lists l WHERE l.base_id IS NULL)
        AND m.program_id IN ($1..$64)
     GROUP BY m.list_id"
);
sql!(
    MANY_IN_WHOLE_LISTS,
    "SELECT m.list_id, COUNT(*) FROM software_list_programs m WHERE m.added = 1
        AND m.list_id IN (SELECT l.id FROM software_lists l WHERE l.base_id IS NULL)
        AND m.program_id IN ($1..$512)
     GROUP BY m.list_id"
);
sql!(
    WITH_LIST,
    "SELECT COUNT(*) FROM device_search WHERE software_list IS NOT NULL"
);
sql!(
    SHOWING,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search
     WHERE software_base = $1 AND software_left_out BETWEEN $2 AND $3"
);
// CROSS JOIN keeps SQLite in the order written, from the program on: without statistics it begins with the devices.
sql!(
    OWN,
    "SELECT string_agg(CAST(s.ordinal AS TEXT), ',')
     FROM software_list_programs m CROSS JOIN device_search s
     WHERE s.software_list = m.list_id AND m.added = $65 AND m.program_id IN ($1..$64)"
);
sql!(
    MANY_OWN,
    "SELECT string_agg(CAST(s.ordinal AS TEXT), ',')
     FROM software_list_programs m CROSS JOIN device_search s
     WHERE s.software_list = m.list_id AND m.added = $513 AND m.program_id IN ($1..$512)"
);

/// Devices that have a wanted program.
pub(super) fn devices(tx: &mut Tx, wanted: &program::Wanted) -> Result<Set, StoreError> {
    let mut programs = Vec::new();
    tx.each(&PROGRAMS, params![text::contains(&wanted.name)], |row| {
        let (name, version, source): (String, String, String) =
            (row.get(1)?, row.get(2)?, row.get(3)?);
        if program::fits(wanted, &name, &version, &source) {
            programs.push(row.get::<i64>(0)?);
        }
        if programs.len() > MOST {
            return Err(StoreError::TooMany {
                statement: PROGRAMS.full_name(),
                bound: MOST,
            });
        }
        Ok(())
    })?;
    programs.sort_unstable();
    let mut in_base: BTreeMap<i64, i64> = BTreeMap::new();
    let (asked, size) = match programs.len() > BATCH {
        true => (&MANY_IN_WHOLE_LISTS, MANY),
        false => (&IN_WHOLE_LISTS, BATCH),
    };
    for batch in programs.chunks(size) {
        tx.each(asked, &filled(batch, size), |row| {
            *in_base.entry(row.get(0)?).or_default() += row.get::<i64>(1)?;
            Ok(())
        })?;
    }
    let mut found = Set::default();
    // Devices of each whole list that may have left out all of the wanted ones.
    let mut doubtful: Vec<(i64, Set)> = Vec::new();
    for (base, count) in in_base {
        found.unite(&showing(tx, base, 0, count - 1)?);
        let rest = showing(tx, base, count, i64::MAX)?;
        if !rest.is_empty() {
            doubtful.push((count, rest));
        }
    }
    // Asking for what lists add costs with the number of programs; it is left when there is no device to be found.
    if programs.len() > BATCH
        && found.len() as u64 >= tx.query_one(&WITH_LIST, &[], |row| row.get(0))?
    {
        return Ok(found);
    }
    let mut left_out: HashMap<i64, i64> = HashMap::new();
    for batch in programs.chunks(size) {
        own(tx, batch, true, |ordinal| found.insert(ordinal))?;
        if !doubtful.is_empty() {
            own(tx, batch, false, |ordinal| {
                *left_out.entry(ordinal).or_default() += 1
            })?;
        }
    }
    for (count, mut rest) in doubtful {
        let without: Set = (left_out.iter())
            .filter(|(_, left_out)| **left_out >= count)
            .map(|(ordinal, _)| *ordinal)
            .collect();
        rest.subtract(&without);
        found.unite(&rest);
    }
    Ok(found)
}

/// Devices that show a whole list or a difference to it, by how many of its programs they have not.
fn showing(tx: &mut Tx, base: i64, least: i64, most: i64) -> Result<Set, StoreError> {
    let mut set = Set::default();
    tx.each(&SHOWING, params![base, least, most], |row| {
        match row.get::<Option<String>>(0)? {
            Some(numbers) => add(&numbers, &mut |number| set.insert(number)),
            None => Ok(()),
        }
    })?;
    Ok(set)
}

/// Devices whose own list adds (or leaves out) programs of a batch, one time for each.
fn own(
    tx: &mut Tx,
    batch: &[i64],
    added: bool,
    mut found: impl FnMut(i64),
) -> Result<(), StoreError> {
    let (asked, size) = match batch.len() > BATCH {
        true => (&MANY_OWN, MANY),
        false => (&OWN, BATCH),
    };
    let mut values = filled(batch, size);
    values.push(Value::from(added));
    tx.each(asked, &values, |row| {
        match row.get::<Option<String>>(0)? {
            Some(numbers) => add(&numbers, &mut found),
            None => Ok(()),
        }
    })
}
