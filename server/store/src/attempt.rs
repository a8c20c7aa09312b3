//! Counts of failed tries, by what is limited and in a window. Which limit holds is the caller's to say.

use crate::{StoreError, Tx, params, sql};

sql!(
    ATTEMPT_FIND,
    "SELECT failures, window_start_ms, blocked_until_ms FROM attempt_limits WHERE scope = $1 AND subject = $2"
);
sql!(
    ATTEMPT_SET,
    "INSERT INTO attempt_limits (scope, subject, failures, window_start_ms, blocked_until_ms) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (scope, subject) DO UPDATE SET failures = excluded.failures,
        window_start_ms = excluded.window_start_ms, blocked_until_ms = excluded.blocked_until_ms"
);
sql!(
    ATTEMPT_CLEAR,
    "DELETE FROM attempt_limits WHERE scope = $1 AND subject = $2"
);
sql!(
    ATTEMPT_TAKE_BACK,
    "UPDATE attempt_limits SET failures = failures - 1 WHERE scope = $1 AND subject = $2 AND failures > 0"
);
sql!(
    ATTEMPT_PRUNE,
    "DELETE FROM attempt_limits WHERE window_start_ms < $1 AND blocked_until_ms < $1"
);

/// Counts one try of a subject. `most` tries fit in `window_ms`; the next one blocks the subject for as long again.
///
/// # Returns
/// Until when the subject is blocked, if it is (UTC milliseconds); then nothing was counted.
///
/// # Errors
/// As [`Tx::execute`].
pub fn count(
    tx: &mut Tx,
    scope: &str,
    subject: &str,
    most: i64,
    now_ms: i64,
    window_ms: i64,
) -> Result<Option<i64>, StoreError> {
    let found: Option<(i64, i64, i64)> =
        tx.query_opt(&ATTEMPT_FIND, params![scope, subject], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let (failures, start_ms, blocked_until_ms) = found.unwrap_or((0, now_ms, 0));
    if blocked_until_ms > now_ms {
        return Ok(Some(blocked_until_ms));
    }
    // A window from the future means that the clock went back; it must not count for ever.
    let running = blocked_until_ms == 0 && start_ms <= now_ms && now_ms - start_ms < window_ms;
    let (failures, start_ms) = if running {
        (failures + 1, start_ms)
    } else {
        (1, now_ms)
    };
    let blocked_until_ms = if failures > most {
        now_ms.saturating_add(window_ms)
    } else {
        0
    };
    tx.execute(
        &ATTEMPT_SET,
        params![scope, subject, failures, start_ms, blocked_until_ms],
    )?;
    Ok((blocked_until_ms > 0).then_some(blocked_until_ms))
}

/// Forgets a subject's tries.
///
/// # Errors
/// As [`Tx::execute`].
pub fn clear(tx: &mut Tx, scope: &str, subject: &str) -> Result<(), StoreError> {
    tx.execute(&ATTEMPT_CLEAR, params![scope, subject])
        .map(|_| ())
}

/// Takes one counted try back.
///
/// # Errors
/// As [`Tx::execute`].
pub fn take_back(tx: &mut Tx, scope: &str, subject: &str) -> Result<(), StoreError> {
    tx.execute(&ATTEMPT_TAKE_BACK, params![scope, subject])
        .map(|_| ())
}

/// Forgets windows that began, and blocks that ended, before a moment.
///
/// # Errors
/// As [`Tx::execute`].
pub fn prune(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    tx.execute(&ATTEMPT_PRUNE, params![before_ms])
}
