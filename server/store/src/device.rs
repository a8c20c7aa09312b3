//! Devices as rows: their identity and state, their certificates, what people typed about them, and identities seen on
//! two machines at once. What was observed of them is in [`inventory`](crate::inventory).

use std::str::FromStr;

use chasqui_domain::search;

use crate::{Row, StoreError, Tx, params, sql, text};

/// Whether a device may take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may.
    Active,
    /// Two machines answered with its identity.
    Quarantined,
    /// A person revoked it.
    Revoked,
    /// The machine was retired.
    Retired,
}

impl State {
    /// The name in the column and in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Revoked => "revoked",
            Self::Retired => "retired",
        }
    }
}

impl FromStr for State {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [
            Self::Active,
            Self::Quarantined,
            Self::Revoked,
            Self::Retired,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| StoreError::Corrupt(format!("devices.state {text:?} is no state")))
    }
}

/// What decides whether a certificate's holder gets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// SHA-256 over the 32 bytes of the device key, lower-case hex.
    pub fingerprint: String,
    /// Where it stands.
    pub state: State,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// UUIDv7.
    pub id: String,
    /// SHA-256 over the public key, lower-case hex.
    pub fingerprint: String,
    /// 32 bytes.
    pub public_key: Vec<u8>,
    /// As the machine last called itself.
    pub host_name: String,
    /// Where it stands.
    pub state: State,
    /// UTC milliseconds.
    pub enrolled_at_ms: i64,
    /// Nothing when it never connected.
    pub last_seen_at_ms: Option<i64>,
    /// `1.2.3`; empty before the first connection.
    pub agent_version: String,
    /// Agent's clock minus the coordinator's.
    pub clock_offset_ms: Option<i64>,
    /// What people typed.
    pub facts: Facts,
    /// Maker, as observed.
    pub manufacturer: String,
    /// Model, as observed.
    pub model: String,
    /// Operating system, as observed.
    pub platform: String,
    /// Grows with each change by people.
    pub version: i64,
    /// `agent`: our own; `glpi_agent`, `fusioninventory`: a third party's, read only.
    pub origin: String,
}

/// Administrative facts. Empty or nothing means not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Inventory plate.
    pub plate: String,
    /// `YYYY-MM-DD`.
    pub purchase_date: Option<String>,
    /// Organisational unit.
    pub dependency: String,
    /// Officer answerable.
    pub responsible: String,
}

/// A device about to enrol.
#[derive(Clone, Debug)]
pub struct NewDevice<'a> {
    /// UUIDv7.
    pub id: &'a str,
    /// Lower-case hex.
    pub fingerprint: &'a str,
    /// 32 bytes.
    pub public_key: &'a [u8],
    /// As it calls itself.
    pub host_name: &'a str,
    /// The token it came with.
    pub token_id: &'a str,
    /// `1.2.3`.
    pub agent_version: &'a str,
}

/// What a device says when it connects.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Kernel's boot id.
    pub boot_id: String,
    /// As it calls itself.
    pub host_name: String,
    /// `1.2.3`.
    pub agent_version: String,
    /// JSON list of names.
    pub capabilities: String,
    /// Agent's clock minus the coordinator's.
    pub clock_offset_ms: i64,
}

sql!(
    DEVICE_STANDING,
    "SELECT fingerprint, state FROM devices WHERE id = $1"
);
sql!(
    DEVICE_GET,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        origin
     FROM devices WHERE id = $1"
);
sql!(
    DEVICE_BY_FINGERPRINT,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        origin
     FROM devices WHERE fingerprint = $1"
);
sql!(
    DEVICE_BY_NAME,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        origin
     FROM devices WHERE host_name = $1 OR plate = $1 ORDER BY host_name, id LIMIT $2"
);
sql!(
    DEVICE_LIST,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        origin
     FROM devices
     WHERE (host_name, id) > ($1, $2)
       AND (CAST($3 AS TEXT) = '' OR search_key LIKE CAST($3 AS TEXT) ESCAPE '!')
       AND (CAST($4 AS TEXT) = '' OR state = CAST($4 AS TEXT))
     ORDER BY host_name, id LIMIT $5"
);
sql!(
    DEVICE_INSERT,
    "INSERT INTO devices (id, fingerprint, public_key, host_name, state, token_id, enrolled_at_ms, updated_at_ms,
        agent_version, search_key)
     VALUES ($1, $2, $3, $4, 'active', $5, $6, $6, $7, $8)"
);
sql!(
    DEVICE_ENROLLED_AGAIN,
    "UPDATE devices SET host_name = $2, token_id = $3, agent_version = $4, search_key = $5, updated_at_ms = $6,
        version = version + 1 WHERE id = $1"
);
sql!(
    DEVICE_SET_STATE,
    "UPDATE devices SET state = $2, state_reason = $3, updated_at_ms = $4, version = version + 1 WHERE id = $1"
);
sql!(
    DEVICE_SET_FACTS,
    "UPDATE devices SET plate = $2, purchase_date = $3, dependency = $4, responsible = $5, search_key = $6,
        updated_at_ms = $7, version = version + 1 WHERE id = $1"
);
sql!(
    DEVICE_HELLO,
    "UPDATE devices SET last_boot_id = $2, host_name = $3, agent_version = $4, capabilities = $5,
        clock_offset_ms = $6, last_seen_at_ms = $7, search_key = $8 WHERE id = $1"
);
sql!(
    DEVICE_SEEN,
    "UPDATE devices SET last_seen_at_ms = $2 WHERE id = $1 AND (last_seen_at_ms IS NULL OR last_seen_at_ms < $2)"
);
sql!(
    CERTIFICATE_INSERT,
    "INSERT INTO device_certificates (serial, device_id, fingerprint, not_before_ms, not_after_ms)
     VALUES ($1, $2, $3, $4, $5)"
);
sql!(
    CERTIFICATE_PRUNE,
    "DELETE FROM device_certificates WHERE device_id = $1 AND not_after_ms < $2"
);
sql!(
    CERTIFICATE_REVOKE,
    "UPDATE device_certificates SET revoked_at_ms = $2 WHERE device_id = $1 AND revoked_at_ms IS NULL"
);

/// What decides whether a certificate's holder gets in.
///
/// # Errors
/// As [`Tx::query`].
pub fn standing(tx: &mut Tx, id: &str) -> Result<Option<Standing>, StoreError> {
    tx.query_opt(&DEVICE_STANDING, params![id], |row| {
        Ok(Standing {
            fingerprint: row.get(0)?,
            state: row.get::<String>(1)?.parse()?,
        })
    })
}

/// A device by id.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Device>, StoreError> {
    tx.query_opt(&DEVICE_GET, params![id], read)
}

/// A device by the fingerprint of its key.
///
/// # Errors
/// As [`Tx::query`].
pub fn by_fingerprint(tx: &mut Tx, fingerprint: &str) -> Result<Option<Device>, StoreError> {
    tx.query_opt(&DEVICE_BY_FINGERPRINT, params![fingerprint], read)
}

/// Devices whose host name or plate is this one: exactly, or else without case and accents; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn by_name(tx: &mut Tx, name: &str, limit: u32) -> Result<Vec<Device>, StoreError> {
    let exact = tx.query(&DEVICE_BY_NAME, params![name, limit], read)?;
    if !exact.is_empty() {
        return Ok(exact);
    }
    let folded = search::fold(name);
    let same = |device: &Device| {
        search::fold(&device.host_name) == folded || search::fold(&device.facts.plate) == folded
    };
    let mut found = Vec::new();
    let mut after = (String::new(), String::new());
    loop {
        let page = list(tx, Some((&after.0, &after.1)), &folded, None, 500)?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = (last.host_name.clone(), last.id.clone());
        found.extend(page.into_iter().filter(&same));
        if found.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
            return Ok(found);
        }
    }
}

/// Devices by host name, after (`host_name`, `id`), whose search key contains a folded text, in a state; at most
/// `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(
    tx: &mut Tx,
    after: Option<(&str, &str)>,
    folded: &str,
    state: Option<State>,
    limit: u32,
) -> Result<Vec<Device>, StoreError> {
    let (host_name, id) = after.unwrap_or(("", ""));
    tx.query(
        &DEVICE_LIST,
        params![
            host_name,
            id,
            text::contains(folded),
            state.map_or("", State::as_str),
            limit
        ],
        read,
    )
}

/// Stores a new device, active.
///
/// # Errors
/// As [`Tx::execute`]; [`StoreError::Duplicate`] when the key is known.
pub fn insert(tx: &mut Tx, device: &NewDevice<'_>, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(
        &DEVICE_INSERT,
        params![
            device.id,
            device.fingerprint,
            device.public_key,
            device.host_name,
            device.token_id,
            now_ms,
            device.agent_version,
            search_key(device.host_name, "", "")
        ],
    )
    .map(|_| ())
}

/// A known device came with a token again.
///
/// # Errors
/// As [`Tx::execute`].
pub fn enrolled_again(
    tx: &mut Tx,
    known: &Device,
    new: &NewDevice<'_>,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &DEVICE_ENROLLED_AGAIN,
        params![
            &known.id,
            new.host_name,
            new.token_id,
            new.agent_version,
            search_key(new.host_name, &known.facts.plate, &known.model),
            now_ms
        ],
    )
    .map(|_| ())
}

/// Changes the state. The caller appends the event that says so.
///
/// # Errors
/// As [`Tx::execute`].
pub fn set_state(
    tx: &mut Tx,
    id: &str,
    state: State,
    reason: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &DEVICE_SET_STATE,
        params![id, state.as_str(), reason, now_ms],
    )?;
    if state == State::Revoked {
        tx.execute(&CERTIFICATE_REVOKE, params![id, now_ms])?;
    }
    Ok(())
}

/// Writes what people typed.
///
/// # Errors
/// As [`Tx::execute`].
pub fn set_facts(
    tx: &mut Tx,
    device: &Device,
    facts: &Facts,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &DEVICE_SET_FACTS,
        params![
            &device.id,
            &facts.plate,
            facts.purchase_date.clone(),
            &facts.dependency,
            &facts.responsible,
            search_key(&device.host_name, &facts.plate, &device.model),
            now_ms
        ],
    )
    .map(|_| ())
}

/// Writes what a device said when it connected.
///
/// # Errors
/// As [`Tx::execute`].
pub fn hello(tx: &mut Tx, device: &Device, hello: &Hello, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(
        &DEVICE_HELLO,
        params![
            &device.id,
            &hello.boot_id,
            &hello.host_name,
            &hello.agent_version,
            &hello.capabilities,
            hello.clock_offset_ms,
            now_ms,
            search_key(&hello.host_name, &device.facts.plate, &device.model)
        ],
    )
    .map(|_| ())
}

/// Writes signs of life: device ids with UTC milliseconds, in the order of the ids so that rows lie together.
///
/// # Errors
/// As [`Tx::execute`].
pub fn seen(tx: &mut Tx, devices: &[(String, i64)]) -> Result<(), StoreError> {
    for (id, at_ms) in devices {
        tx.execute(&DEVICE_SEEN, params![id, *at_ms])?;
    }
    Ok(())
}

/// Stores a certificate given to a device and forgets its ended ones.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert_certificate(
    tx: &mut Tx,
    device_id: &str,
    serial: &str,
    fingerprint: &str,
    (not_before_ms, not_after_ms): (i64, i64),
) -> Result<(), StoreError> {
    tx.execute(&CERTIFICATE_PRUNE, params![device_id, not_before_ms])?;
    tx.execute(
        &CERTIFICATE_INSERT,
        params![serial, device_id, fingerprint, not_before_ms, not_after_ms],
    )
    .map(|_| ())
}

/// What a device is searched by.
pub fn search_key(host_name: &str, plate: &str, model: &str) -> String {
    search::fold(&format!("{host_name} {plate} {model}"))
}

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

fn read(row: &Row<'_>) -> Result<Device, StoreError> {
    Ok(Device {
        id: row.get(0)?,
        fingerprint: row.get(1)?,
        public_key: row.get(2)?,
        host_name: row.get(3)?,
        state: row.get::<String>(4)?.parse()?,
        enrolled_at_ms: row.get(5)?,
        last_seen_at_ms: row.get(6)?,
        agent_version: row.get(7)?,
        clock_offset_ms: row.get(8)?,
        facts: Facts {
            plate: row.get(9)?,
            purchase_date: row.get(10)?,
            dependency: row.get(11)?,
            responsible: row.get(12)?,
        },
        manufacturer: row.get(13)?,
        model: row.get(14)?,
        platform: row.get(15)?,
        version: row.get(16)?,
        origin: row.get(17)?,
    })
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
