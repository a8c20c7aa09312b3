//! Alarms about parts that left a machine or turned up in another one.

use crate::{StoreError, Tx, params, sql};

/// One alarm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// UUIDv7.
    pub id: String,
    /// The machine it is about.
    pub device_id: String,
    /// The machine where the part was or is as well.
    pub other_device_id: Option<String>,
    /// `memory_module`, `disk`, `monitor`, `battery`.
    pub part: String,
    /// The part's serial number.
    pub serial: String,
    /// What people call it.
    pub name: String,
    /// `left` or `turned_up`.
    pub happened: String,
    /// `low` or `high`.
    pub level: String,
    /// When it was noticed, UTC milliseconds.
    pub at_ms: i64,
    /// When somebody said what it was.
    pub acknowledged_at_ms: Option<i64>,
    /// Who.
    pub acknowledged_by: Option<String>,
    /// What it was.
    pub reason: Option<String>,
}

sql!(
    INSERT,
    "INSERT INTO inventory_alarms (id, device_id, other_device_id, part, serial, name, happened, level, at_ms) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
);

/// Stores a new alarm.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(tx: &mut Tx, alarm: &Alarm) -> Result<(), StoreError> {
    tx.execute(
        &INSERT,
        params![
            alarm.id.as_str(),
            alarm.device_id.as_str(),
            alarm.other_device_id.as_deref(),
            alarm.part.as_str(),
            alarm.serial.as_str(),
            alarm.name.as_str(),
            alarm.happened.as_str(),
            alarm.level.as_str(),
            alarm.at_ms
        ],
    )
    .map(|_| ())
}

sql!(
    LIST,
    "SELECT id, device_id, other_device_id, part, serial, name, happened, level, at_ms, acknowledged_at_ms, \
    acknowledged_by, reason FROM inventory_alarms WHERE (CAST($1 AS TEXT) IS NULL OR device_id = $1) \
    AND (CAST($2 AS BIGINT) = 1 OR acknowledged_at_ms IS NULL) AND (CAST($3 AS TEXT) IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"
);

/// Alarms, newest first: of one device or of all, open ones alone or also those that were explained, after an id.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(
    tx: &mut Tx,
    device_id: Option<&str>,
    acknowledged_too: bool,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Alarm>, StoreError> {
    tx.query(
        &LIST,
        params![device_id, acknowledged_too, after, limit],
        alarm,
    )
}

sql!(
    GET,
    "SELECT id, device_id, other_device_id, part, serial, name, happened, level, at_ms, acknowledged_at_ms, \
    acknowledged_by, reason FROM inventory_alarms WHERE id = $1"
);

/// One alarm.
///
/// # Errors
/// As [`Tx::query_opt`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Alarm>, StoreError> {
    tx.query_opt(&GET, params![id], alarm)
}

sql!(
    ACKNOWLEDGE,
    "UPDATE inventory_alarms SET acknowledged_at_ms = $2, acknowledged_by = $3, reason = $4 \
    WHERE id = $1 AND acknowledged_at_ms IS NULL"
);

/// Notes who said what it was. Answers false when somebody had before.
///
/// # Errors
/// As [`Tx::execute`].
pub fn acknowledge(
    tx: &mut Tx,
    id: &str,
    (person_id, reason): (&str, &str),
    now_ms: i64,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&ACKNOWLEDGE, params![id, now_ms, person_id, reason])? > 0)
}

sql!(
    LEFT_ELSEWHERE,
    "SELECT device_id FROM inventory_alarms WHERE part = $1 AND serial = $2 AND happened = 'left' \
    AND device_id <> $3 ORDER BY id DESC LIMIT 1"
);

/// The machine that a part left last, other than this one.
///
/// # Errors
/// As [`Tx::query_opt`].
pub fn left_elsewhere(
    tx: &mut Tx,
    (part, serial): (&str, &str),
    device_id: &str,
) -> Result<Option<String>, StoreError> {
    tx.query_opt(&LEFT_ELSEWHERE, params![part, serial, device_id], |row| {
        row.get(0)
    })
}

fn alarm(row: &crate::Row<'_>) -> Result<Alarm, StoreError> {
    Ok(Alarm {
        id: row.get(0)?,
        device_id: row.get(1)?,
        other_device_id: row.get(2)?,
        part: row.get(3)?,
        serial: row.get(4)?,
        name: row.get(5)?,
        happened: row.get(6)?,
        level: row.get(7)?,
        at_ms: row.get(8)?,
        acknowledged_at_ms: row.get(9)?,
        acknowledged_by: row.get(10)?,
        reason: row.get(11)?,
    })
}
