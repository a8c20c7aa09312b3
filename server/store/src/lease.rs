//! Leases and done-marks for work that several coordinators could do. A lease only saves work; that a thing happens
//! once comes from the mark, which is written in the transaction of the thing itself.

use crate::{StoreError, Tx, params, sql};

sql!(
    LEASE_TAKE,
    "INSERT INTO leases (name, holder, until_ms) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_ms = excluded.until_ms
     WHERE leases.holder = excluded.holder OR leases.until_ms <= $4"
);
sql!(
    LEASE_GIVE_BACK,
    "DELETE FROM leases WHERE name = $1 AND holder = $2"
);
sql!(
    JOB_MARK,
    "INSERT INTO jobs_done (job, subject, due_ms, done_at_ms) VALUES ($1, $2, $3, $4)
     ON CONFLICT (job, subject, due_ms) DO NOTHING"
);
sql!(JOB_PRUNE, "DELETE FROM jobs_done WHERE done_at_ms < $1");

/// Takes or extends a lease by the database's clock.
///
/// # Returns
/// Whether `holder` has it now.
///
/// # Errors
/// As [`Tx::execute`].
pub fn take(tx: &mut Tx, name: &str, holder: &str, length_ms: i64) -> Result<bool, StoreError> {
    let now_ms = tx.now_db_ms()?;
    let until_ms = now_ms.saturating_add(length_ms);
    Ok(tx.execute(&LEASE_TAKE, params![name, holder, until_ms, now_ms])? > 0)
}

/// Gives a lease back early, at shutdown.
///
/// # Errors
/// As [`Tx::execute`].
pub fn give_back(tx: &mut Tx, name: &str, holder: &str) -> Result<(), StoreError> {
    tx.execute(&LEASE_GIVE_BACK, params![name, holder])
        .map(|_| ())
}

/// Marks a job done for a subject and due time.
///
/// # Returns
/// False when it was done before: then do nothing.
///
/// # Errors
/// As [`Tx::execute`].
pub fn mark_done(
    tx: &mut Tx,
    job: &str,
    subject: &str,
    due_ms: i64,
    now_ms: i64,
) -> Result<bool, StoreError> {
    Ok(tx.execute(&JOB_MARK, params![job, subject, due_ms, now_ms])? > 0)
}

/// Forgets marks older than a moment.
///
/// # Errors
/// As [`Tx::execute`].
pub fn prune_done(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    tx.execute(&JOB_PRUNE, params![before_ms])
}
