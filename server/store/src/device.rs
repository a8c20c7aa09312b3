//! Devices as rows: their identity and state, their certificates, what people typed about them, and identities seen on
//! two machines at once. What was observed of them is in [`inventory`](crate::inventory).

mod quarantine;

use std::str::FromStr;

use chasqui_domain::search;

pub use chasqui_domain::device_facts::Facts;
pub use quarantine::{
    Claim, Quarantine, insert_quarantine, open_quarantines, quarantine, resolve_quarantines,
};

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
    /// Grows with each change of what people typed.
    pub facts_version: i64,
    /// The device that goes on with this one.
    pub merged_into: Option<String>,
    /// `agent`: our own; `glpi_agent`, `fusioninventory`: a third party's, read only.
    pub origin: String,
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
        seat, contract, warranty_end, supplier, invoice, note, cost_minor, currency, facts_version, merged_into, origin
     FROM devices WHERE id = $1"
);
sql!(
    DEVICE_BY_FINGERPRINT,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        seat, contract, warranty_end, supplier, invoice, note, cost_minor, currency, facts_version, merged_into, origin
     FROM devices WHERE fingerprint = $1"
);
sql!(
    DEVICE_BY_NAME,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        seat, contract, warranty_end, supplier, invoice, note, cost_minor, currency, facts_version, merged_into, origin
     FROM devices WHERE host_name = $1 OR plate = $1 ORDER BY host_name, id LIMIT $2"
);
sql!(
    DEVICE_LIST,
    "SELECT id, fingerprint, public_key, host_name, state, enrolled_at_ms, last_seen_at_ms, agent_version,
        clock_offset_ms, plate, purchase_date, dependency, responsible, manufacturer, model, platform, version,
        seat, contract, warranty_end, supplier, invoice, note, cost_minor, currency, facts_version, merged_into, origin
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
        updated_at_ms = $7, seat = $8, contract = $9, warranty_end = $10, supplier = $11, invoice = $12, note = $13,
        cost_minor = $14, currency = $15, plate_key = $16, facts_version = facts_version + 1, version = version + 1
     WHERE id = $1"
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
            now_ms,
            &facts.seat,
            &facts.contract,
            facts.warranty_end.clone(),
            &facts.supplier,
            &facts.invoice,
            &facts.note,
            facts.cost_minor,
            &facts.currency,
            search::fold(&facts.plate)
        ],
    )
    .map(|_| ())
}

sql!(
    FACTS_EVENTS,
    "SELECT data FROM events WHERE subject_kind = 'device' AND subject_id = $1 AND kind = 'device.facts_set'
     ORDER BY seq DESC LIMIT $2"
);

/// What the latest changes of administrative facts recorded, JSON, newest first; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn facts_events(tx: &mut Tx, id: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(&FACTS_EVENTS, params![id, limit], |row| row.get(0))
}

sql!(
    DEVICE_BY_PLATE,
    "SELECT id FROM devices WHERE plate_key = $1 AND plate_key <> '' AND state IN ('active', 'quarantined') ORDER BY id LIMIT $2"
);
sql!(
    DEVICE_BY_HOST,
    "SELECT id FROM devices WHERE host_name = $1 AND state IN ('active', 'quarantined') ORDER BY id LIMIT $2"
);

/// Devices in use that carry a plate, compared without case and accents; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn with_plate(tx: &mut Tx, plate: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(
        &DEVICE_BY_PLATE,
        params![search::fold(plate), limit],
        |row| row.get(0),
    )
}

/// Devices in use that are called so, exactly; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn with_host_name(tx: &mut Tx, host_name: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(&DEVICE_BY_HOST, params![host_name, limit], |row| row.get(0))
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

/// A device from the first columns of a row, in the order of [`DEVICE_GET`].
pub(crate) fn read(row: &Row<'_>) -> Result<Device, StoreError> {
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
            seat: row.get(17)?,
            contract: row.get(18)?,
            warranty_end: row.get(19)?,
            supplier: row.get(20)?,
            invoice: row.get(21)?,
            note: row.get(22)?,
            cost_minor: row.get(23)?,
            currency: row.get(24)?,
        },
        manufacturer: row.get(13)?,
        model: row.get(14)?,
        platform: row.get(15)?,
        version: row.get(16)?,
        facts_version: row.get(25)?,
        merged_into: row.get(26)?,
        origin: row.get(27)?,
    })
}
