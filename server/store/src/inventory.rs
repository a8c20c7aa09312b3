//! What machines reported of themselves: facts stored once by digest, which device shows which since when, and what
//! changes by the minute. It knows bytes and digests, not what is in them.

use crate::{StoreError, Tx, params, sql};

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
pub fn content(tx: &mut Tx, kind: &str, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
    tx.query_opt(&CONTENT, params![digest, kind], |row| row.get(0))
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
    tx.query(&SECTIONS, params![device_id], |row| {
        Ok(DeviceSection {
            kind: row.get(0)?,
            digest: row.get(1)?,
            facts: row.get(2)?,
            provenance: row.get(3)?,
            observed_at_ms: row.get(4)?,
            changed_at_ms: row.get(5)?,
        })
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
    tx.query(&SECTIONS_AT, params![device_id, at_ms], |row| {
        Ok(DeviceSection {
            kind: row.get(0)?,
            digest: row.get(1)?,
            facts: row.get(2)?,
            provenance: row.get(3)?,
            observed_at_ms: row.get(4)?,
            changed_at_ms: row.get(4)?,
        })
    })
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
