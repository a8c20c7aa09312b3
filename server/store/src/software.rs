//! Lists of programs. Every program is stored once; a list is whole, or a difference to a whole one that is close to it,
//! so that machines with nearly the same programs cost little more than one. What comes back is the section byte for
//! byte: its digest is checked on reading, and what does not agree is never served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chasqui_base::item_list;
use chasqui_domain::search::fold;
use sha2::{Digest, Sha256};

pub(crate) use self::bases::Bases;
use crate::{StoreError, Tx, Value, params, sql};

mod bases;

/// Lists looked at in search of a close one, and programs by which they are found.
const SAMPLES: usize = 24;
const LISTS_PER_SAMPLE: u32 = 24;
/// A difference of more than this part of the items is no saving: the list becomes whole.
const MOST_PERCENT: usize = 30;
/// A list at hand that is this close is taken without asking for a closer one.
const CLOSE_PERCENT: usize = 5;
/// Fewer items are not worth a difference.
const LEAST_ITEMS: usize = 20;
/// Programs of one statement that finds them, and of one that adds them.
const FOUND_AT_ONCE: usize = 256;
const ADDED_AT_ONCE: usize = 16;

/// SHA-256 of an encoded item.
type ItemDigest = [u8; 32];

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

/// A list taken apart, ready to be stored: all that needs no database is done once, when it is made.
#[derive(Clone, Debug)]
pub struct List {
    shell: Vec<u8>,
    programs: Vec<Program>,
    /// Place of a program in `programs` by its digest; one of them when it stands in the list more than once.
    places: BTreeMap<ItemDigest, usize>,
    ordered: bool,
}

impl List {
    /// The programs in the order of the section, and what of the section is around them.
    pub fn new(shell: Vec<u8>, programs: Vec<Program>) -> Self {
        let places = programs
            .iter()
            .enumerate()
            .map(|(at, one)| (Sha256::digest(&one.facts).into(), at))
            .collect();
        // A list can be put together again from rows when its programs stand in the order of lists, each once.
        let ordered = programs
            .windows(2)
            .all(|pair| matches!(pair, [one, two] if one.key() < two.key()));
        Self {
            shell,
            programs,
            places,
            ordered,
        }
    }

    fn has(&self, digest: &ItemDigest) -> bool {
        self.places.contains_key(digest)
    }

    /// How many programs are in one of both lists alone.
    fn distance(&self, other: &Self) -> usize {
        let shared = self.places.keys().filter(|one| other.has(one)).count();
        self.places.len() + other.places.len() - 2 * shared
    }

    /// Whether a difference to `base` is worth it.
    fn is_within(&self, percent: usize, base: &Self) -> bool {
        self.distance(base) * 100 <= self.places.len() * percent
    }

    /// The programs that draw close lists together: those of the lowest digests, so close lists have the same ones.
    fn sample(&self) -> impl Iterator<Item = &ItemDigest> {
        self.places.keys().take(SAMPLES)
    }
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
    HOLD_LIST,
    "UPDATE software_lists SET item_count = item_count WHERE id = $1"
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
    list: &List,
    near: Option<&str>,
) -> Result<bool, StoreError> {
    if let Some((id, _)) = find(tx, digest)? {
        // The sweep may be about to forget a list that nothing shows any more: one of both is then repeated.
        tx.execute(&HOLD_LIST, params![id])?;
        return Ok(list.ordered);
    }
    let base = base_for(tx, list, near)?;
    let list_id: i64 = tx.query_one(
        &INSERT_LIST,
        params![
            digest,
            base.as_ref().map(|(id, _)| *id),
            i64::try_from(list.programs.len()).unwrap_or(i64::MAX),
            list.shell.as_slice()
        ],
        |row| row.get(0),
    )?;
    let (added, left_out): (Vec<ItemDigest>, Vec<ItemDigest>) = match &base {
        None => (list.places.keys().copied().collect(), Vec::new()),
        Some((_, base)) => (
            (list.places.keys().filter(|one| !base.has(one)).copied()).collect(),
            (base.places.keys().filter(|one| !list.has(one)).copied()).collect(),
        ),
    };
    insert_programs(tx, list, &added)?;
    insert_members(tx, list_id, true, &added)?;
    insert_members(tx, list_id, false, &left_out)?;
    Ok(list.ordered)
}

fn find(tx: &mut Tx, digest: &str) -> Result<Option<(i64, Option<i64>)>, StoreError> {
    tx.query_opt(&LIST, params![digest], |row| Ok((row.get(0)?, row.get(1)?)))
}

sql!(
    KNOWN,
    "SELECT digest FROM programs WHERE digest IN ($1..$256)"
);
sql!(
    INSERT_PROGRAM,
    "INSERT INTO programs (digest, name, name_key, version, architecture, source, publisher, facts) \
    VALUES ($1..$8) ON CONFLICT (digest) DO NOTHING"
);
sql!(
    INSERT_PROGRAMS,
    "INSERT INTO programs (digest, name, name_key, version, architecture, source, publisher, facts) \
    VALUES ($1..$8), ($9..$16), ($17..$24), ($25..$32), ($33..$40), ($41..$48), ($49..$56), ($57..$64),
        ($65..$72), ($73..$80), ($81..$88), ($89..$96), ($97..$104), ($105..$112), ($113..$120), ($121..$128) ON CONFLICT (digest) DO NOTHING"
);

/// Stores those of the programs that no list had yet.
fn insert_programs(tx: &mut Tx, list: &List, digests: &[ItemDigest]) -> Result<(), StoreError> {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for batch in digests.chunks(FOUND_AT_ONCE) {
        known.extend(tx.query(&KNOWN, &filled(Vec::new(), batch), |row| row.get(0))?);
    }
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for digest in digests {
        let name = hex::encode(digest);
        if known.contains(&name) {
            continue;
        }
        let place = list.places.get(digest);
        let Some(program) = place.and_then(|at| list.programs.get(*at)) else {
            continue;
        };
        rows.push(vec![
            Value::from(name),
            Value::from(program.name.as_str()),
            Value::from(fold(&program.name)),
            Value::from(program.version.as_str()),
            Value::from(program.architecture.as_str()),
            Value::from(program.source.as_str()),
            Value::from(program.publisher.as_str()),
            Value::from(program.facts.as_slice()),
        ]);
    }
    for batch in rows.chunks(ADDED_AT_ONCE) {
        if batch.len() == ADDED_AT_ONCE {
            tx.execute(&INSERT_PROGRAMS, &batch.concat())?;
            continue;
        }
        for row in batch {
            tx.execute(&INSERT_PROGRAM, row)?;
        }
    }
    Ok(())
}

sql!(
    INSERT_MEMBERS,
    "INSERT INTO software_list_programs (program_id, list_id, added) \
    SELECT id, CAST($1 AS BIGINT), CAST($2 AS BIGINT) FROM programs WHERE digest IN ($3..$258)"
);

fn insert_members(
    tx: &mut Tx,
    list_id: i64,
    added: bool,
    digests: &[ItemDigest],
) -> Result<(), StoreError> {
    let mut written = 0;
    for batch in digests.chunks(FOUND_AT_ONCE) {
        let first = vec![Value::from(list_id), Value::from(added)];
        written += tx.execute(&INSERT_MEMBERS, &filled(first, batch))?;
    }
    if written != digests.len() as u64 {
        return Err(StoreError::Corrupt(format!(
            "{written} of {} programs of a list are there: restore a backup",
            digests.len()
        )));
    }
    Ok(())
}

/// Values before, then a batch of digests and, up to its length, digests that nothing has.
fn filled(mut values: Vec<Value>, batch: &[ItemDigest]) -> Vec<Value> {
    values.extend(batch.iter().map(|digest| Value::from(hex::encode(digest))));
    values.extend((batch.len()..FOUND_AT_ONCE).map(|_| Value::from("")));
    values
}

sql!(
    WHOLE_WITH,
    "SELECT l.id, l.digest FROM programs p JOIN software_list_programs m ON m.program_id = p.id \
    JOIN software_lists l ON l.id = m.list_id WHERE p.digest = $1 AND l.base_id IS NULL ORDER BY l.id DESC LIMIT $2"
);
sql!(DIGEST, "SELECT digest FROM software_lists WHERE id = $1");

/// The whole list to which the difference is small, if there is one: the device's own, else the one that shares most of
/// a sample, looked for first among those at hand.
fn base_for(
    tx: &mut Tx,
    list: &List,
    near: Option<&str>,
) -> Result<Option<(i64, Arc<List>)>, StoreError> {
    if list.places.len() < LEAST_ITEMS {
        return Ok(None);
    }
    if let Some(near) = near
        && let Some((id, base_id)) = find(tx, near)?
    {
        let (id, digest) = match base_id {
            None => (id, near.to_owned()),
            Some(base) => (
                base,
                tx.query_one(&DIGEST, params![base], |row| row.get(0))?,
            ),
        };
        if let Some(base) = whole(tx, id, &digest)?
            && list.is_within(MOST_PERCENT, &base)
        {
            return Ok(Some((id, base)));
        }
    }
    let at_hand = tx.bases.closest(list.sample());
    if let Some((digest, base)) = at_hand
        && list.is_within(CLOSE_PERCENT, &base)
        // What is at hand may have been forgotten, or never have been committed.
        && let Some((id, None)) = find(tx, &digest)?
    {
        return Ok(Some((id, base)));
    }
    let mut votes: BTreeMap<(i64, String), usize> = BTreeMap::new();
    for digest in list.sample() {
        let digest = hex::encode(digest);
        let lists: Vec<(i64, String)> =
            tx.query(&WHOLE_WITH, params![digest, LISTS_PER_SAMPLE], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        for found in lists {
            *votes.entry(found).or_default() += 1;
        }
    }
    let best = votes
        .into_iter()
        .max_by(|((one, _), a), ((two, _), b)| (a, one).cmp(&(b, two)));
    let Some(((id, digest), _)) = best else {
        return Ok(None);
    };
    Ok(whole(tx, id, &digest)?
        .filter(|base| list.is_within(MOST_PERCENT, base))
        .map(|base| (id, base)))
}

/// A whole list as it is stored, when it is what its digest says; kept at hand.
fn whole(tx: &mut Tx, id: i64, digest: &str) -> Result<Option<Arc<List>>, StoreError> {
    if let Some(list) = tx.bases.get(digest) {
        return Ok(Some(list));
    }
    let mut programs = BTreeMap::new();
    collect(tx, id, &mut programs)?;
    let mut programs: Vec<Program> = programs.into_values().collect();
    programs.sort_by(|one, two| one.key().cmp(&two.key()));
    let head = tx.query_opt(&READ, params![digest], |row| {
        Ok((row.get::<i64>(2)?, row.get::<Vec<u8>>(3)?))
    })?;
    let Some((count, shell)) = head else {
        return Ok(None);
    };
    let items: Vec<&Program> = programs.iter().collect();
    if joined(&shell, &items, count, digest).is_none() {
        return Ok(None);
    }
    let list = Arc::new(List::new(shell, programs));
    tx.bases.keep(digest, &list);
    Ok(Some(list))
}

/// The section, if these programs give the one of this digest.
fn joined(shell: &[u8], programs: &[&Program], count: i64, digest: &str) -> Option<Vec<u8>> {
    let items: Vec<&[u8]> = programs.iter().map(|one| one.facts.as_slice()).collect();
    item_list::join(shell, &items)
        .filter(|_| usize::try_from(count) == Ok(items.len()))
        .filter(|bytes| hex::encode(Sha256::digest(bytes)) == digest)
}

sql!(
    READ,
    "SELECT l.id, l.base_id, l.item_count, l.shell, b.digest FROM software_lists l \
    LEFT JOIN software_lists b ON b.id = l.base_id WHERE l.digest = $1"
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
    type Head = (i64, Option<i64>, i64, Vec<u8>, Option<String>);
    let head: Option<Head> = tx.query_opt(&READ, params![digest], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    })?;
    let Some((id, base_id, count, shell, base_digest)) = head else {
        return Ok(None);
    };
    let base = match (base_id, base_digest) {
        (Some(base_id), Some(base_digest)) => whole(tx, base_id, &base_digest)?,
        _ => None,
    };
    let mut own: BTreeMap<i64, Program> = BTreeMap::new();
    let mut left_out: BTreeSet<ItemDigest> = BTreeSet::new();
    let rows = match (base_id, &base) {
        // A base that does not come together by itself: its rows are taken as they are, and the digest decides.
        (Some(base_id), None) => {
            collect(tx, base_id, &mut own)?;
            collect(tx, id, &mut own)
        }
        (_, None) => collect(tx, id, &mut own),
        (_, Some(_)) => each(tx, id, |added, id, program| {
            if added {
                own.insert(id, program);
            } else {
                left_out.insert(Sha256::digest(&program.facts).into());
            }
        }),
    };
    rows?;
    let mut programs: Vec<&Program> = match &base {
        Some(base) => (base.places.iter())
            .filter(|(digest, _)| !left_out.contains(*digest))
            .filter_map(|(_, at)| base.programs.get(*at))
            .collect(),
        None => Vec::new(),
    };
    programs.extend(own.values());
    programs.sort_by(|one, two| one.key().cmp(&two.key()));
    match joined(&shell, &programs, count, digest) {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(StoreError::Corrupt(format!(
            "the software list {digest} does not come together: restore a backup, or let the machine report again"
        ))),
    }
}

/// Applies the rows of a list to what is there.
fn collect(
    tx: &mut Tx,
    list_id: i64,
    programs: &mut BTreeMap<i64, Program>,
) -> Result<(), StoreError> {
    each(tx, list_id, |added, id, program| {
        if added {
            programs.insert(id, program);
        } else {
            programs.remove(&id);
        }
    })
}

fn each(
    tx: &mut Tx,
    list_id: i64,
    mut found: impl FnMut(bool, i64, Program),
) -> Result<(), StoreError> {
    tx.each(&ROWS, params![list_id], |row| {
        let program = Program {
            source: row.get(2)?,
            name: row.get(3)?,
            architecture: row.get(4)?,
            version: row.get(5)?,
            publisher: row.get(6)?,
            facts: row.get(7)?,
        };
        found(row.get(0)?, row.get(1)?, program);
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
    let Some((id, _)) = find(tx, digest)? else {
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
