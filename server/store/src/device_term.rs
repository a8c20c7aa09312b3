//! What devices can be found by besides their own row: serial numbers of parts, addresses, users, printers. Terms are
//! stored as the caller folded them.

use crate::{StoreError, Tx, params, sql};

/// One thing a device can be found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// `disk_serial`, `mac`, ...
    pub kind: &'static str,
    /// Folded text.
    pub term: String,
}

sql!(
    FORGET,
    "DELETE FROM device_terms WHERE device_id = $1 AND section = $2"
);
sql!(
    INSERT,
    "INSERT INTO device_terms (kind, term, device_id, section) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
);

/// The terms of one section of a device, in the place of those it had.
///
/// # Errors
/// As [`Tx::execute`].
pub fn replace(
    tx: &mut Tx,
    device_id: &str,
    section: &str,
    terms: &[Term],
) -> Result<(), StoreError> {
    tx.execute(&FORGET, params![device_id, section])?;
    for term in terms {
        tx.execute(
            &INSERT,
            params![term.kind, term.term.as_str(), device_id, section],
        )?;
    }
    Ok(())
}

sql!(
    DEVICES,
    "SELECT DISTINCT device_id FROM device_terms WHERE kind = $1 AND term = $2 ORDER BY device_id LIMIT $3"
);

/// Devices that have a term, by id; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn devices(tx: &mut Tx, kind: &str, term: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(&DEVICES, params![kind, term, limit], |row| row.get(0))
}

sql!(
    OF_DEVICE,
    "SELECT DISTINCT kind, term FROM device_terms WHERE device_id = $1 ORDER BY kind, term"
);

/// Kind and text of everything a device can be found by.
///
/// # Errors
/// As [`Tx::query`].
pub fn of_device(tx: &mut Tx, device_id: &str) -> Result<Vec<(String, String)>, StoreError> {
    tx.query(&OF_DEVICE, params![device_id], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}
