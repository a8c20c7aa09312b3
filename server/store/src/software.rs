//! Lists of programs. Every program is stored once; a list is whole, or a difference to a whole one that is close to it,
//! so that machines with nearly the same programs cost little more than one. What comes back is the section byte for
//! byte: its digest is checked on reading, and what does not agree is never served.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_base::item_list;
use chasqui_domain::search::fold;
use sha2::{Digest, Sha256};

use crate::{StoreError, Tx, params, sql};

/// Lists looked at in search of a close one, and programs by which they are found.
const SAMPLES: usize = 24;
const LISTS_PER_SAMPLE: u32 = 24;
/// A difference of more than this part of the items is no saving: the list becomes whole.
const MOST_PERCENT: usize = 30;
/// Fewer items are not worth a difference.
const LEAST_ITEMS: usize = 20;

/// One program as a list holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    /// `dpkg`, `rpm`, ...
    pub source: String,
    /// Name.
    pub name: String,
    /// Architecture; empty when not observed.
    pub architecture: String,
    /// Version.
    pub version: String,
    /// The encoded item, exactly as it stands in the list.
    pub facts: Vec<u8>,
    /// Publisher; empty when not observed.
    pub publisher: String,
}

impl Program {
    fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.facts))
    }

    /// The order of lists.
    fn key(&self) -> (&str, &str, &str, &str, &[u8]) {
        (
            &self.source,
            &self.name,
            &self.architecture,
            &self.version,
            &self.facts,
        )
    }
}

/// Whether a list with these programs can be put together again from rows: they stand in the order of lists, each once.
fn is_ordered(programs: &[Program]) -> bool {
    programs
        .windows(2)
        .all(|pair| matches!(pair, [one, two] if one.key() < two.key()))
}

sql!(
    LIST,
    "SELECT id, base_id FROM software_lists WHERE digest = $1"
);
sql!(
    INSERT_LIST,
    "INSERT INTO software_lists (digest, base_id, item_count, shell) VALUES ($1, $2, $3, $4) RETURNING id"
);
sql!(
    INSERT_MEMBER,
    "INSERT INTO software_list_programs (program_id, list_id, added) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
);
sql!(PROGRAM, "SELECT id FROM programs WHERE digest = $1");
sql!(
    INSERT_PROGRAM,
    "INSERT INTO programs (digest, name, name_key, version, architecture, source, publisher, facts) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id"
);

/// Stores the programs of a list of which the section has this digest. `near` is a list that is likely close (the one
/// the device had before). Answers whether the section can be put together from the rows alone; if not, its bytes have
/// to be kept, and the rows serve finding.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(
    tx: &mut Tx,
    digest: &str,
    shell: &[u8],
    programs: &[Program],
    near: Option<&str>,
) -> Result<bool, StoreError> {
    let whole_again = is_ordered(programs);
    if list(tx, digest)?.is_some() {
        return Ok(whole_again);
    }
    let wanted: BTreeMap<String, &Program> =
        programs.iter().map(|one| (one.digest(), one)).collect();
    let base = base_for(tx, &wanted, near)?;
    let list_id: i64 = tx.query_one(
        &INSERT_LIST,
        params![
            digest,
            base.as_ref().map(|base| base.id),
            i64::try_from(programs.len()).unwrap_or(i64::MAX),
            shell
        ],
        |row| row.get(0),
    )?;
    let has = base.map(|base| base.programs).unwrap_or_default();
    for (program_digest, program) in &wanted {
        if has.contains_key(program_digest) {
            continue;
        }
        let id = program_id(tx, program_digest, program)?;
        tx.execute(&INSERT_MEMBER, params![id, list_id, true])?;
    }
    for (program_digest, id) in &has {
        if !wanted.contains_key(program_digest) {
            tx.execute(&INSERT_MEMBER, params![*id, list_id, false])?;
        }
    }
    Ok(whole_again)
}

fn list(tx: &mut Tx, digest: &str) -> Result<Option<(i64, Option<i64>)>, StoreError> {
    tx.query_opt(&LIST, params![digest], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn program_id(tx: &mut Tx, digest: &str, program: &Program) -> Result<i64, StoreError> {
    if let Some(id) = tx.query_opt(&PROGRAM, params![digest], |row| row.get(0))? {
        return Ok(id);
    }
    tx.query_one(
        &INSERT_PROGRAM,
        params![
            digest,
            program.name.as_str(),
            fold(&program.name),
            program.version.as_str(),
            program.architecture.as_str(),
            program.source.as_str(),
            program.publisher.as_str(),
            program.facts.as_slice()
        ],
        |row| row.get(0),
    )
}

/// A whole list and its programs, by digest.
struct Base {
    id: i64,
    programs: BTreeMap<String, i64>,
}

sql!(
    MEMBERS,
    "SELECT p.digest, p.id FROM software_list_programs m JOIN programs p ON p.id = m.program_id WHERE m.list_id = $1"
);
sql!(
    WHOLE_WITH,
    "SELECT l.id FROM programs p JOIN software_list_programs m ON m.program_id = p.id \
    JOIN software_lists l ON l.id = m.list_id WHERE p.digest = $1 AND l.base_id IS NULL ORDER BY l.id DESC LIMIT $2"
);

/// The whole list to which the difference is small, if there is one: the device's own, else the one that shares most of
/// a sample. The sample is of the lowest digests, so close lists draw the same one.
fn base_for(
    tx: &mut Tx,
    wanted: &BTreeMap<String, &Program>,
    near: Option<&str>,
) -> Result<Option<Base>, StoreError> {
    if wanted.len() < LEAST_ITEMS {
        return Ok(None);
    }
    let mut tried = BTreeSet::new();
    if let Some(near) = near
        && let Some((id, base_id)) = list(tx, near)?
    {
        let id = base_id.unwrap_or(id);
        tried.insert(id);
        if let Some(base) = close_enough(tx, id, wanted)? {
            return Ok(Some(base));
        }
    }
    let mut votes: BTreeMap<i64, usize> = BTreeMap::new();
    for digest in wanted.keys().take(SAMPLES) {
        let lists: Vec<i64> = tx.query(&WHOLE_WITH, params![digest, LISTS_PER_SAMPLE], |row| {
            row.get(0)
        })?;
        for id in lists {
            *votes.entry(id).or_default() += 1;
        }
    }
    let best = votes
        .into_iter()
        .filter(|(id, _)| !tried.contains(id))
        .max_by_key(|(id, count)| (*count, *id));
    match best {
        Some((id, _)) => close_enough(tx, id, wanted),
        None => Ok(None),
    }
}

fn close_enough(
    tx: &mut Tx,
    id: i64,
    wanted: &BTreeMap<String, &Program>,
) -> Result<Option<Base>, StoreError> {
    let programs: BTreeMap<String, i64> = tx
        .query(&MEMBERS, params![id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .into_iter()
        .collect();
    let shared = programs
        .keys()
        .filter(|digest| wanted.contains_key(*digest))
        .count();
    let differ = wanted.len() + programs.len() - 2 * shared;
    Ok((differ * 100 <= wanted.len() * MOST_PERCENT).then_some(Base { id, programs }))
}

sql!(
    READ,
    "SELECT id, base_id, item_count, shell FROM software_lists WHERE digest = $1"
);
sql!(
    ROWS,
    "SELECT m.added, p.id, p.source, p.name, p.architecture, p.version, p.publisher, p.facts \
    FROM software_list_programs m JOIN programs p ON p.id = m.program_id WHERE m.list_id = $1"
);

/// The section of a list, byte for byte; nothing when no such list is kept.
///
/// # Errors
/// [`StoreError::Corrupt`] when what comes together has another digest.
pub fn read(tx: &mut Tx, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
    type Head = (i64, Option<i64>, i64, Vec<u8>);
    let head: Option<Head> = tx.query_opt(&READ, params![digest], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let Some((id, base_id, count, shell)) = head else {
        return Ok(None);
    };
    let mut programs: BTreeMap<i64, Program> = BTreeMap::new();
    if let Some(base_id) = base_id {
        collect(tx, base_id, &mut programs)?;
    }
    collect(tx, id, &mut programs)?;
    let mut programs: Vec<Program> = programs.into_values().collect();
    programs.sort_by(|one, two| one.key().cmp(&two.key()));
    let items: Vec<&[u8]> = programs.iter().map(|one| one.facts.as_slice()).collect();
    let bytes = item_list::join(&shell, &items)
        .filter(|_| usize::try_from(count) == Ok(items.len()))
        .filter(|bytes| hex::encode(Sha256::digest(bytes)) == digest);
    match bytes {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(StoreError::Corrupt(format!(
            "the software list {digest} does not come together: restore a backup, or let the machine report again"
        ))),
    }
}

fn collect(
    tx: &mut Tx,
    list_id: i64,
    programs: &mut BTreeMap<i64, Program>,
) -> Result<(), StoreError> {
    tx.each(&ROWS, params![list_id], |row| {
        let (added, id): (bool, i64) = (row.get(0)?, row.get(1)?);
        if added {
            let program = Program {
                source: row.get(2)?,
                name: row.get(3)?,
                architecture: row.get(4)?,
                version: row.get(5)?,
                publisher: row.get(6)?,
                facts: row.get(7)?,
            };
            programs.insert(id, program);
        } else {
            programs.remove(&id);
        }
        Ok(())
    })
}

sql!(
    IS_BASE,
    "SELECT COUNT(*) FROM software_lists WHERE base_id = $1"
);
sql!(
    DELETE_MEMBERS,
    "DELETE FROM software_list_programs WHERE list_id = $1"
);
sql!(DELETE_LIST, "DELETE FROM software_lists WHERE id = $1");

/// Forgets a list. Answers false, and keeps it, while other lists are differences to it.
///
/// # Errors
/// As [`Tx::execute`].
pub fn forget(tx: &mut Tx, digest: &str) -> Result<bool, StoreError> {
    let Some((id, _)) = list(tx, digest)? else {
        return Ok(true);
    };
    let used: i64 = tx.query_one(&IS_BASE, params![id], |row| row.get(0))?;
    if used > 0 {
        return Ok(false);
    }
    tx.execute(&DELETE_MEMBERS, params![id])?;
    tx.execute(&DELETE_LIST, params![id])?;
    Ok(true)
}

sql!(
    DELETE_PROGRAMS,
    "DELETE FROM programs WHERE id IN (SELECT p.id FROM programs p WHERE NOT EXISTS \
    (SELECT 1 FROM software_list_programs m WHERE m.program_id = p.id) ORDER BY p.id LIMIT $1)"
);

/// Forgets programs that no list holds, at most `limit`. Answers how many.
///
/// # Errors
/// As [`Tx::execute`].
pub fn forget_unused_programs(tx: &mut Tx, limit: u32) -> Result<u64, StoreError> {
    tx.execute(&DELETE_PROGRAMS, params![limit])
}
