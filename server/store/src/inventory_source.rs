//! Sources of inventories that other programs send, as rows: a name with the digest of its secret; and the devices that
//! came by them.

use crate::{Row, StoreError, Tx, device, params, sql};

/// A source without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventorySource {
    /// UUIDv7.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// SHA-256 of the secret, lower-case hex.
    pub secret_digest: String,
    /// Who made it.
    pub created_by: String,
    /// UTC milliseconds.
    pub created_at_ms: i64,
    /// UTC milliseconds; nothing before the first inventory.
    pub last_used_at_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

sql!(
    SOURCE_INSERT,
    "INSERT INTO inventory_sources (id, name, secret_digest, created_by, created_at_ms)
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING"
);
sql!(
    SOURCE_GET,
    "SELECT id, name, secret_digest, created_by, created_at_ms, last_used_at_ms, revoked_at_ms
     FROM inventory_sources WHERE id = $1"
);
sql!(
    SOURCE_BY_NAME,
    "SELECT id, name, secret_digest, created_by, created_at_ms, last_used_at_ms, revoked_at_ms
     FROM inventory_sources WHERE name = $1"
);
sql!(
    SOURCE_BY_DIGEST,
    "SELECT id, name, secret_digest, created_by, created_at_ms, last_used_at_ms, revoked_at_ms
     FROM inventory_sources WHERE secret_digest = $1"
);
sql!(
    SOURCE_LIST,
    "SELECT id, name, secret_digest, created_by, created_at_ms, last_used_at_ms, revoked_at_ms
     FROM inventory_sources WHERE id < $1 ORDER BY id DESC LIMIT $2"
);
sql!(
    SOURCE_USED,
    "UPDATE inventory_sources SET last_used_at_ms = $2 WHERE id = $1"
);
sql!(
    SOURCE_REVOKE,
    "UPDATE inventory_sources SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL"
);

/// Stores a source.
///
/// # Returns
/// False when the name is taken.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(tx: &mut Tx, source: &InventorySource) -> Result<bool, StoreError> {
    Ok(tx.execute(
        &SOURCE_INSERT,
        params![
            &source.id,
            &source.name,
            &source.secret_digest,
            &source.created_by,
            source.created_at_ms
        ],
    )? > 0)
}

/// A source by id.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<InventorySource>, StoreError> {
    tx.query_opt(&SOURCE_GET, params![id], read)
}

/// A source by name.
///
/// # Errors
/// As [`Tx::query`].
pub fn by_name(tx: &mut Tx, name: &str) -> Result<Option<InventorySource>, StoreError> {
    tx.query_opt(&SOURCE_BY_NAME, params![name], read)
}

/// A source by the digest of its secret.
///
/// # Errors
/// As [`Tx::query`].
pub fn by_digest(tx: &mut Tx, digest: &str) -> Result<Option<InventorySource>, StoreError> {
    tx.query_opt(&SOURCE_BY_DIGEST, params![digest], read)
}

/// Sources, newest first, before one of these ids (nothing: from the newest), at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(
    tx: &mut Tx,
    before_id: Option<&str>,
    limit: i64,
) -> Result<Vec<InventorySource>, StoreError> {
    // Ids are hex digits and dashes: everything sorts before a tilde.
    tx.query(&SOURCE_LIST, params![before_id.unwrap_or("~"), limit], read)
}

/// Notes that an inventory came by a source.
///
/// # Errors
/// As [`Tx::execute`].
pub fn used(tx: &mut Tx, id: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&SOURCE_USED, params![id, now_ms]).map(|_| ())
}

/// Revokes a source.
///
/// # Returns
/// False when it was revoked before.
///
/// # Errors
/// As [`Tx::execute`].
pub fn revoke(tx: &mut Tx, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(&SOURCE_REVOKE, params![id, now_ms])? > 0)
}

fn read(row: &Row<'_>) -> Result<InventorySource, StoreError> {
    Ok(InventorySource {
        id: row.get(0)?,
        name: row.get(1)?,
        secret_digest: row.get(2)?,
        created_by: row.get(3)?,
        created_at_ms: row.get(4)?,
        last_used_at_ms: row.get(5)?,
        revoked_at_ms: row.get(6)?,
    })
}

sql!(
    DEVICE_OF,
    "SELECT device_id FROM third_party_devices WHERE source_id = $1 AND external_id = $2"
);
sql!(
    DEVICE_INSERT,
    "INSERT INTO devices (id, fingerprint, public_key, host_name, state, enrolled_at_ms, updated_at_ms,
        agent_version, search_key, origin)
     VALUES ($1, $2, $3, $4, 'active', $5, $5, $6, $7, $8)"
);
sql!(
    LINK_INSERT,
    "INSERT INTO third_party_devices (source_id, external_id, device_id, agent_id, tag) VALUES ($1, $2, $3, $4, $5)"
);
sql!(
    LINK_UPDATE,
    "UPDATE third_party_devices SET agent_id = $2, tag = $3 WHERE device_id = $1 AND (agent_id <> $2 OR tag <> $3)"
);
sql!(
    DEVICE_UPDATE,
    "UPDATE devices SET host_name = $2, agent_version = $3, search_key = $4, last_seen_at_ms = $5, origin = $6
     WHERE id = $1"
);

/// What a third party's agent says of itself with each inventory.
#[derive(Clone, Debug)]
pub struct Reporter<'a> {
    /// The source it came by.
    pub source_id: &'a str,
    /// Its own name for the machine, `deviceid`.
    pub external_id: &'a str,
    /// `GLPI-Agent-ID`, or nothing.
    pub agent_id: &'a str,
    /// Tag that its administrator gave it.
    pub tag: &'a str,
    /// As the machine calls itself.
    pub host_name: &'a str,
    /// Program and version.
    pub agent_version: &'a str,
    /// `glpi_agent`, `fusioninventory`.
    pub origin: &'a str,
}

/// The device that a source knows by this name.
///
/// # Errors
/// As [`Tx::query`].
pub fn device_of(
    tx: &mut Tx,
    source_id: &str,
    external_id: &str,
) -> Result<Option<String>, StoreError> {
    tx.query_opt(&DEVICE_OF, params![source_id, external_id], |row| {
        row.get(0)
    })
}

/// Stores a device that a third party's agent reports. It has no key: `fingerprint` only keeps the column unique.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert_device(
    tx: &mut Tx,
    id: &str,
    fingerprint: &str,
    reporter: &Reporter<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &DEVICE_INSERT,
        params![
            id,
            fingerprint,
            Vec::<u8>::new(),
            reporter.host_name,
            now_ms,
            reporter.agent_version,
            device::search_key(reporter.host_name, "", ""),
            reporter.origin
        ],
    )?;
    tx.execute(
        &LINK_INSERT,
        params![
            reporter.source_id,
            reporter.external_id,
            id,
            reporter.agent_id,
            reporter.tag
        ],
    )
    .map(|_| ())
}

/// Writes what a third party's agent says of itself and the machine, and that it was heard.
///
/// # Errors
/// As [`Tx::execute`].
pub fn heard_device(
    tx: &mut Tx,
    known: &device::Device,
    reporter: &Reporter<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &LINK_UPDATE,
        params![&known.id, reporter.agent_id, reporter.tag],
    )?;
    tx.execute(
        &DEVICE_UPDATE,
        params![
            &known.id,
            reporter.host_name,
            reporter.agent_version,
            device::search_key(reporter.host_name, &known.facts.plate, &known.model),
            now_ms,
            reporter.origin
        ],
    )
    .map(|_| ())
}
