//! What machines reported of themselves: facts stored once by digest, which device shows which since when, and what
//! changes by the minute. It knows bytes and digests, not what is in them.

use crate::{StoreError, Tx, params, software, sql};

/// The kind whose contents are lists of programs.
const SOFTWARE: &str = "software";

/// One section of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSection {
    /// `identity`, `memory`, ...
    pub kind: String,
    /// SHA-256 of the facts, lower-case hex.
    pub digest: String,
    /// Encoded SectionFacts.
    pub facts: Vec<u8>,
    /// Encoded provenance and collector version.
    pub provenance: Vec<u8>,
    /// Last observed, UTC milliseconds.
    pub observed_at_ms: i64,
    /// Since when these facts stand, UTC milliseconds.
    pub changed_at_ms: i64,
}

sql!(
    HOLD,
    "UPDATE devices SET updated_at_ms = updated_at_ms WHERE id = $1"
);

/// From here to the end of the transaction nobody else changes what this device shows: inventories are written in
/// [`Store::write_snapshot`](crate::Store::write_snapshot), where two changes exclude each other only by rows they both write.
pub fn hold(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    tx.execute(&HOLD, params![device_id]).map(|_| ())
}

sql!(
    CURRENT,
    "SELECT kind, digest FROM device_sections WHERE device_id = $1 ORDER BY kind"
);

/// Kind and digest of what a device shows now.
pub fn current(tx: &mut Tx, device_id: &str) -> Result<Vec<(String, String)>, StoreError> {
    tx.query(&CURRENT, params![device_id], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

sql!(
    CONTENT,
    "SELECT facts FROM section_contents WHERE digest = $1 AND kind = $2"
);

/// Facts by digest, whoever reported them.
///
/// # Errors
/// [`StoreError::Corrupt`] when a list of programs does not come together as it was reported.
pub fn content(tx: &mut Tx, kind: &str, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
    match tx.query_opt(&CONTENT, params![digest, kind], |row| row.get(0))? {
        Some(facts) => whole(tx, kind, digest, facts).map(Some),
        None => Ok(None),
    }
}

/// Contents without bytes of their own are lists of programs, kept as rows.
fn whole(tx: &mut Tx, kind: &str, digest: &str, facts: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if !facts.is_empty() || kind != SOFTWARE {
        return Ok(facts);
    }
    software::read(tx, digest)?.ok_or_else(|| {
        StoreError::Corrupt(format!(
            "the software list {digest} is referred to but not there"
        ))
    })
}

sql!(
    IS_KNOWN,
    "SELECT COUNT(*) FROM section_contents WHERE digest = $1 AND kind = $2"
);

/// Whether facts are known, without reading them.
pub fn is_known(tx: &mut Tx, kind: &str, digest: &str) -> Result<bool, StoreError> {
    let count: i64 = tx.query_one(&IS_KNOWN, params![digest, kind], |row| row.get(0))?;
    Ok(count > 0)
}

sql!(
    INSERT_CONTENT,
    "INSERT INTO section_contents (digest, kind, facts, first_seen_at_ms) VALUES ($1, $2, $3, $4) \
    ON CONFLICT DO NOTHING"
);

/// Stores facts by digest, once.
pub fn insert_content(
    tx: &mut Tx,
    kind: &str,
    digest: &str,
    facts: &[u8],
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(&INSERT_CONTENT, params![digest, kind, facts, now_ms])
        .map(|_| ())
}

sql!(
    SET_CURRENT,
    "INSERT INTO device_sections (device_id, kind, digest, provenance, observed_at_ms, changed_at_ms) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (device_id, kind) DO UPDATE SET digest = excluded.digest, \
    provenance = excluded.provenance, observed_at_ms = excluded.observed_at_ms, \
    changed_at_ms = excluded.changed_at_ms"
);

sql!(
    END_HISTORY,
    "UPDATE device_section_history SET to_ms = $3 WHERE device_id = $1 AND kind = $2 AND to_ms IS NULL"
);

sql!(
    BEGIN_HISTORY,
    "INSERT INTO device_section_history (device_id, kind, from_ms, to_ms, digest, provenance) \
    VALUES ($1, $2, $3, NULL, $4, $5) ON CONFLICT (device_id, kind, from_ms) \
    DO UPDATE SET digest = excluded.digest, provenance = excluded.provenance, to_ms = NULL"
);

/// From `now_ms` on the device shows these facts; what it showed before goes into its history.
pub fn show(
    tx: &mut Tx,
    (device_id, kind): (&str, &str),
    digest: &str,
    provenance: &[u8],
    (observed_at_ms, now_ms): (i64, i64),
) -> Result<(), StoreError> {
    tx.execute(
        &SET_CURRENT,
        params![device_id, kind, digest, provenance, observed_at_ms, now_ms],
    )?;
    tx.execute(&END_HISTORY, params![device_id, kind, now_ms])?;
    tx.execute(
        &BEGIN_HISTORY,
        params![device_id, kind, now_ms, digest, provenance],
    )?;
    Ok(())
}

sql!(
    FORGET_CURRENT,
    "DELETE FROM device_sections WHERE device_id = $1 AND kind = $2"
);

/// From `now_ms` on the device shows nothing of this kind; its history keeps what it showed.
pub fn gone(tx: &mut Tx, device_id: &str, kind: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&FORGET_CURRENT, params![device_id, kind])?;
    tx.execute(&END_HISTORY, params![device_id, kind, now_ms])?;
    Ok(())
}

sql!(
    SEEN_AGAIN,
    "UPDATE device_sections SET observed_at_ms = $3 \
    WHERE device_id = $1 AND kind = $2 AND observed_at_ms < $3"
);

/// The same facts were observed again.
pub fn seen_again(
    tx: &mut Tx,
    device_id: &str,
    kind: &str,
    observed_at_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(&SEEN_AGAIN, params![device_id, kind, observed_at_ms])
        .map(|_| ())
}

sql!(
    SET_PROVENANCE,
    "UPDATE device_sections SET provenance = $3 WHERE device_id = $1 AND kind = $2"
);

/// The same facts came from elsewhere, or by a newer collector: no change of the machine.
pub fn set_provenance(
    tx: &mut Tx,
    device_id: &str,
    kind: &str,
    provenance: &[u8],
) -> Result<(), StoreError> {
    tx.execute(&SET_PROVENANCE, params![device_id, kind, provenance])
        .map(|_| ())
}

sql!(
    SECTIONS,
    "SELECT s.kind, s.digest, c.facts, s.provenance, s.observed_at_ms, s.changed_at_ms \
    FROM device_sections s JOIN section_contents c ON c.digest = s.digest WHERE s.device_id = $1 ORDER BY s.kind"
);

/// What a device shows now.
pub fn sections(tx: &mut Tx, device_id: &str) -> Result<Vec<DeviceSection>, StoreError> {
    let sections = tx.query(&SECTIONS, params![device_id], |row| {
        Ok(DeviceSection {
            kind: row.get(0)?,
            digest: row.get(1)?,
            facts: row.get(2)?,
            provenance: row.get(3)?,
            observed_at_ms: row.get(4)?,
            changed_at_ms: row.get(5)?,
        })
    })?;
    all_whole(tx, sections)
}

fn all_whole(
    tx: &mut Tx,
    mut sections: Vec<DeviceSection>,
) -> Result<Vec<DeviceSection>, StoreError> {
    for section in &mut sections {
        let facts = std::mem::take(&mut section.facts);
        section.facts = whole(tx, &section.kind, &section.digest, facts)?;
    }
    Ok(sections)
}

sql!(
    SECTIONS_FOR_SEARCH,
    "SELECT s.kind, c.facts FROM device_sections s JOIN section_contents c ON c.digest = s.digest \
    WHERE s.device_id = $1 AND s.kind IN ('hardware', 'cpu', 'memory', 'disks', 'operating_system', 'firmware', \
    'disk_health', 'storage', 'displays', 'batteries', 'security', 'updates', 'directory', 'identity', 'network', \
    'accounts', 'printers') ORDER BY s.kind"
);

/// Kind and facts of what a device shows now and is searched by; the long sections stay where they are.
pub fn sections_for_search(
    tx: &mut Tx,
    device_id: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    tx.query(&SECTIONS_FOR_SEARCH, params![device_id], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

sql!(
    SECTIONS_AT,
    "SELECT h.kind, h.digest, c.facts, h.provenance, h.from_ms FROM device_section_history h \
    JOIN section_contents c ON c.digest = h.digest \
    WHERE h.device_id = $1 AND h.from_ms <= $2 AND (h.to_ms IS NULL OR h.to_ms > $2) ORDER BY h.kind, h.from_ms"
);

/// What a device showed at a moment. As time of observation stands the first one, and as provenance the one that came
/// with it: later observations of the same facts do not change what was true at that moment.
pub fn sections_at(
    tx: &mut Tx,
    device_id: &str,
    at_ms: i64,
) -> Result<Vec<DeviceSection>, StoreError> {
    let sections = tx.query(&SECTIONS_AT, params![device_id, at_ms], |row| {
        Ok(DeviceSection {
            kind: row.get(0)?,
            digest: row.get(1)?,
            facts: row.get(2)?,
            provenance: row.get(3)?,
            observed_at_ms: row.get(4)?,
            changed_at_ms: row.get(4)?,
        })
    })?;
    all_whole(tx, sections)
}

/// One change of a section: from these facts to those.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `memory`, ...
    pub kind: String,
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// Digest from then on.
    pub digest: String,
    /// Digest until then; nothing when it was the first observation of this section, or what was before is forgotten.
    pub before: Option<String>,
}

sql!(
    STEPS,
    "SELECT h.kind, h.from_ms, h.digest, b.digest FROM device_section_history h LEFT JOIN device_section_history b \
    ON b.device_id = h.device_id AND b.kind = h.kind AND b.to_ms = h.from_ms \
    WHERE h.device_id = $1 AND h.from_ms >= $2 AND h.from_ms < $3 \
    AND (h.from_ms < $4 OR (h.from_ms = $4 AND h.kind > $5)) ORDER BY h.from_ms DESC, h.kind LIMIT $6"
);

/// Changes of a device's sections in a span, newest first, after a place (moment and kind) in that order.
pub fn steps(
    tx: &mut Tx,
    device_id: &str,
    (since_ms, until_ms): (i64, i64),
    (after_ms, after_kind): (i64, &str),
    limit: u32,
) -> Result<Vec<Step>, StoreError> {
    tx.query(
        &STEPS,
        params![device_id, since_ms, until_ms, after_ms, after_kind, limit],
        |row| {
            Ok(Step {
                kind: row.get(0)?,
                at_ms: row.get(1)?,
                digest: row.get(2)?,
                before: row.get(3)?,
            })
        },
    )
}

sql!(
    CUT_HISTORY,
    "DELETE FROM device_section_history WHERE (device_id, kind, from_ms) IN (SELECT device_id, kind, from_ms \
    FROM device_section_history WHERE to_ms IS NOT NULL AND to_ms < $1 ORDER BY to_ms LIMIT $2)"
);

/// Forgets what ended before a moment, at most `limit` rows. Answers how many.
pub fn cut_history(tx: &mut Tx, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
    tx.execute(&CUT_HISTORY, params![before_ms, limit])
}

sql!(
    UNUSED,
    "SELECT c.digest, c.kind FROM section_contents c WHERE c.first_seen_at_ms < $1 AND c.digest > $2 \
    AND NOT EXISTS (SELECT 1 FROM device_sections s WHERE s.digest = c.digest) \
    AND NOT EXISTS (SELECT 1 FROM device_section_history h WHERE h.digest = c.digest) ORDER BY c.digest LIMIT $3"
);
sql!(
    DELETE_CONTENT,
    "DELETE FROM section_contents WHERE digest = $1 \
    AND NOT EXISTS (SELECT 1 FROM device_sections s WHERE s.digest = $1) \
    AND NOT EXISTS (SELECT 1 FROM device_section_history h WHERE h.digest = $1)"
);

/// Forgets contents first seen before a moment that no device shows or showed, at most `limit` after a digest. Lists of
/// programs that others are differences to stay until those are gone.
///
/// # Returns
/// How many were forgotten, and the digest to go on after; nothing when the end was reached.
pub fn forget_unused(
    tx: &mut Tx,
    seen_before_ms: i64,
    after: &str,
    limit: u32,
) -> Result<(u64, Option<String>), StoreError> {
    let unused: Vec<(String, String)> =
        tx.query(&UNUSED, params![seen_before_ms, after, limit], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let mut forgotten = 0;
    for (digest, kind) in &unused {
        if kind == SOFTWARE && !software::forget(tx, digest)? {
            continue;
        }
        forgotten += tx.execute(&DELETE_CONTENT, params![digest])?;
    }
    let full = unused.len() as u64 >= u64::from(limit);
    let last = unused.into_iter().next_back().map(|(digest, _)| digest);
    Ok((forgotten, last.filter(|_| full)))
}

sql!(
    PROVENANCE_OF,
    "SELECT provenance FROM device_sections WHERE digest = $1 AND kind = $2 \
    ORDER BY device_id LIMIT 1"
);

sql!(
    PROVENANCE_BEFORE,
    "SELECT provenance FROM device_section_history \
    WHERE device_id = $3 AND digest = $1 AND kind = $2 ORDER BY from_ms DESC LIMIT 1"
);

/// Where facts came from when they are known already: as this device reported them before, else as another one did.
pub fn known_provenance(
    tx: &mut Tx,
    (device_id, kind): (&str, &str),
    digest: &str,
) -> Result<Vec<u8>, StoreError> {
    let own = tx.query_opt(
        &PROVENANCE_BEFORE,
        params![digest, kind, device_id],
        |row| row.get(0),
    )?;
    match own {
        Some(own) => Ok(own),
        None => Ok(tx
            .query_opt(&PROVENANCE_OF, params![digest, kind], |row| row.get(0))?
            .unwrap_or_default()),
    }
}

sql!(
    SET_VOLATILE,
    "INSERT INTO device_volatile (device_id, facts, at_ms) VALUES ($1, $2, $3) \
    ON CONFLICT (device_id) DO UPDATE SET facts = excluded.facts, at_ms = excluded.at_ms"
);

/// The last word on what changes by the minute.
pub fn set_volatile(
    tx: &mut Tx,
    device_id: &str,
    facts: &[u8],
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(&SET_VOLATILE, params![device_id, facts, now_ms])
        .map(|_| ())
}

sql!(
    VOLATILE,
    "SELECT facts FROM device_volatile WHERE device_id = $1"
);

/// The last word on what changes by the minute.
pub fn volatile(tx: &mut Tx, device_id: &str) -> Result<Option<Vec<u8>>, StoreError> {
    tx.query_opt(&VOLATILE, params![device_id], |row| row.get(0))
}

sql!(
    HARDWARE,
    "UPDATE devices SET manufacturer = $2, model = $3, serial_number = $4, platform = $5, search_key = $6, \
    updated_at_ms = $7 WHERE id = $1"
);

/// What lists show of a machine, taken from its facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListColumns {
    /// Maker.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial_number: String,
    /// Operating system for people.
    pub platform: String,
    /// Folded host name, plate and model.
    pub search_key: String,
}

/// Writes what lists show.
pub fn set_list_columns(
    tx: &mut Tx,
    device_id: &str,
    columns: &ListColumns,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &HARDWARE,
        params![
            device_id,
            columns.manufacturer.as_str(),
            columns.model.as_str(),
            columns.serial_number.as_str(),
            columns.platform.as_str(),
            columns.search_key.as_str(),
            now_ms
        ],
    )
    .map(|_| ())
}

sql!(
    PURCHASE_TYPED_AT,
    "SELECT data, at_ms FROM events WHERE subject_kind = 'device' AND subject_id = $1 \
    AND data LIKE '%\"purchase_date\":%' AND at_ms <= $2 ORDER BY seq DESC LIMIT 1"
);

/// The event by which people typed a device's purchase date last by a moment: its data and time.
pub fn purchase_typed_at(
    tx: &mut Tx,
    device_id: &str,
    at_ms: i64,
) -> Result<Option<(String, i64)>, StoreError> {
    tx.query_opt(&PURCHASE_TYPED_AT, params![device_id, at_ms], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}
