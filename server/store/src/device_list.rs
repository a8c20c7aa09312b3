//! Queries that people saved under a name. Names are one for the organisation; a list that is not shared is shown to its
//! owner alone.

use crate::{Row, StoreError, Tx, params, sql};

/// A saved query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList {
    /// UUIDv7.
    pub id: String,
    /// As its owner wrote it.
    pub name: String,
    /// The query's text.
    pub query: String,
    /// Person.
    pub owner_id: String,
    /// For everybody, not for its owner alone.
    pub shared: bool,
    /// UTC milliseconds.
    pub created_at_ms: i64,
}

sql!(
    INSERT,
    "INSERT INTO device_lists (id, name, name_key, query, owner_id, shared, created_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
);
sql!(
    BY_KEY,
    "SELECT id, name, query, owner_id, shared, created_at_ms FROM device_lists WHERE name_key = $1"
);
sql!(
    VISIBLE,
    "SELECT id, name, query, owner_id, shared, created_at_ms FROM device_lists
     WHERE name_key > $1 AND (shared = 1 OR owner_id = $2) ORDER BY name_key LIMIT $3"
);
sql!(DELETE, "DELETE FROM device_lists WHERE name_key = $1");

/// Stores a list under the folded name; false when the name is taken.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(tx: &mut Tx, list: &DeviceList, name_key: &str) -> Result<bool, StoreError> {
    let done = tx.execute(
        &INSERT,
        params![
            &list.id,
            &list.name,
            name_key,
            &list.query,
            &list.owner_id,
            list.shared,
            list.created_at_ms
        ],
    )?;
    Ok(done == 1)
}

/// A list by its folded name.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, name_key: &str) -> Result<Option<DeviceList>, StoreError> {
    tx.query_opt(&BY_KEY, params![name_key], read)
}

/// Lists a person may see, by folded name after one; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn visible(
    tx: &mut Tx,
    person_id: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<DeviceList>, StoreError> {
    tx.query(&VISIBLE, params![after, person_id, limit], read)
}

/// Forgets a list; false when there was none.
///
/// # Errors
/// As [`Tx::execute`].
pub fn delete(tx: &mut Tx, name_key: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(&DELETE, params![name_key])? == 1)
}

fn read(row: &Row<'_>) -> Result<DeviceList, StoreError> {
    Ok(DeviceList {
        id: row.get(0)?,
        name: row.get(1)?,
        query: row.get(2)?,
        owner_id: row.get(3)?,
        shared: row.get(4)?,
        created_at_ms: row.get(5)?,
    })
}
