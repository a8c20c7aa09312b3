//! Few facts about the store itself, by name: its epoch, the organisation.

use crate::{StoreError, Tx, params, sql};

sql!(META_GET, "SELECT value FROM store_meta WHERE name = $1");
sql!(
    META_SET,
    "INSERT INTO store_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
);

/// A fact by name.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, name: &str) -> Result<Option<String>, StoreError> {
    tx.query_opt(&META_GET, params![name], |row| row.get(0))
}

/// Sets a fact.
///
/// # Errors
/// As [`Tx::execute`].
pub fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), StoreError> {
    tx.execute(&META_SET, params![name, value]).map(|_| ())
}

/// The store's epoch: 1 for a new store, raised by every restore, so that agents learn that the coordinator may have
/// forgotten results it once confirmed.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is no number.
pub fn epoch(tx: &mut Tx) -> Result<i64, StoreError> {
    match get(tx, "epoch")? {
        None => Ok(1),
        Some(text) => text
            .parse()
            .map_err(|_| StoreError::Corrupt(format!("store_meta: epoch {text:?} is no number"))),
    }
}

pub(crate) fn raise_epoch(tx: &mut Tx) -> Result<i64, StoreError> {
    let raised = epoch(tx)? + 1;
    set(tx, "epoch", &raised.to_string())?;
    Ok(raised)
}
