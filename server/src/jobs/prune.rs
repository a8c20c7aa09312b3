//! Forgets what has served: answers kept for a repeated request_id, marks of jobs long done, ended sessions, old tries.

use chasqui_base::clock::{DAY_MS, now_ms};
use chasqui_store::{attempt, lease, request, session};

use crate::context::Context;
use crate::error::Failure;

/// Clients repeat within minutes; a machine that was switched off over the holidays still finds its answer.
const KEEP_ANSWERS_MS: i64 = 30 * DAY_MS;
/// Who comes back with an ended session is told that it has ended, for so long.
const KEEP_SESSIONS_MS: i64 = 30 * DAY_MS;
/// Longer than any window of tries.
const KEEP_TRIES_MS: i64 = DAY_MS;
/// Longer than any job is due late.
const KEEP_MARKS_MS: i64 = 400 * DAY_MS;

/// One round.
pub async fn run(ctx: Context) -> Result<(), Failure> {
    let now_ms = now_ms();
    ctx.store
        .write(move |tx| -> Result<(), Failure> {
            request::prune(tx, now_ms.saturating_sub(KEEP_ANSWERS_MS))?;
            lease::prune_done(tx, now_ms.saturating_sub(KEEP_MARKS_MS))?;
            session::prune(tx, now_ms.saturating_sub(KEEP_SESSIONS_MS))?;
            attempt::prune(tx, now_ms.saturating_sub(KEEP_TRIES_MS))?;
            Ok(())
        })
        .await
}
