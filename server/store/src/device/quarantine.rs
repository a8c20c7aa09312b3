//! Identities seen on two machines at once, as rows.

use crate::{Row, StoreError, Tx, params, sql};

/// An identity seen on two machines at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// UUIDv7.
    pub id: String,
    /// The identity.
    pub device_id: String,
    /// As the device is called.
    pub host_name: String,
    /// UTC milliseconds.
    pub seen_at_ms: i64,
    /// What the machine that was connected said.
    pub known: Claim,
    /// What the machine that came said.
    pub other: Claim,
    /// Already decided.
    pub resolved: bool,
}

/// What one machine said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Kernel's boot id.
    pub boot_id: String,
    /// As it calls itself.
    pub host_name: String,
    /// Where it came from.
    pub address: String,
}

sql!(
    QUARANTINE_INSERT,
    "INSERT INTO device_quarantine (id, device_id, known_boot_id, other_boot_id, known_address, other_address,
        known_host_name, other_host_name, seen_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
);
sql!(
    QUARANTINE_GET,
    "SELECT q.id, q.device_id, d.host_name, q.seen_at_ms, q.known_boot_id, q.known_host_name, q.known_address,
        q.other_boot_id, q.other_host_name, q.other_address, q.resolved_at_ms
     FROM device_quarantine q JOIN devices d ON d.id = q.device_id WHERE q.id = $1"
);
sql!(
    QUARANTINE_OPEN,
    "SELECT q.id, q.device_id, d.host_name, q.seen_at_ms, q.known_boot_id, q.known_host_name, q.known_address,
        q.other_boot_id, q.other_host_name, q.other_address, q.resolved_at_ms
     FROM device_quarantine q JOIN devices d ON d.id = q.device_id
     WHERE q.resolved_at_ms IS NULL AND (q.seen_at_ms, q.id) > ($1, $2)
     ORDER BY q.seen_at_ms, q.id LIMIT $3"
);
sql!(
    QUARANTINE_RESOLVE,
    "UPDATE device_quarantine SET resolution = $2, resolved_by = $3, resolved_at_ms = $4
     WHERE device_id = $1 AND resolved_at_ms IS NULL"
);

/// Stores a sighting.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert_quarantine(
    tx: &mut Tx,
    id: &str,
    device_id: &str,
    known: &Claim,
    other: &Claim,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &QUARANTINE_INSERT,
        params![
            id,
            device_id,
            &known.boot_id,
            &other.boot_id,
            &known.address,
            &other.address,
            &known.host_name,
            &other.host_name,
            now_ms
        ],
    )
    .map(|_| ())
}

/// A sighting by id.
///
/// # Errors
/// As [`Tx::query`].
pub fn quarantine(tx: &mut Tx, id: &str) -> Result<Option<Quarantine>, StoreError> {
    tx.query_opt(&QUARANTINE_GET, params![id], read_quarantine)
}

/// Sightings that wait for a person, oldest first, after (`seen_at_ms`, `id`), at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn open_quarantines(
    tx: &mut Tx,
    after: (i64, &str),
    limit: u32,
) -> Result<Vec<Quarantine>, StoreError> {
    tx.query(
        &QUARANTINE_OPEN,
        params![after.0, after.1, limit],
        read_quarantine,
    )
}

/// Marks every open sighting of a device as decided.
///
/// # Errors
/// As [`Tx::execute`].
pub fn resolve_quarantines(
    tx: &mut Tx,
    device_id: &str,
    resolution: &str,
    by: &str,
    now_ms: i64,
) -> Result<u64, StoreError> {
    tx.execute(
        &QUARANTINE_RESOLVE,
        params![device_id, resolution, by, now_ms],
    )
}

fn read_quarantine(row: &Row<'_>) -> Result<Quarantine, StoreError> {
    Ok(Quarantine {
        id: row.get(0)?,
        device_id: row.get(1)?,
        host_name: row.get(2)?,
        seen_at_ms: row.get(3)?,
        known: Claim {
            boot_id: row.get(4)?,
            host_name: row.get(5)?,
            address: row.get(6)?,
        },
        other: Claim {
            boot_id: row.get(7)?,
            host_name: row.get(8)?,
            address: row.get(9)?,
        },
        resolved: row.get::<Option<i64>>(10)?.is_some(),
    })
}
