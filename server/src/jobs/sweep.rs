//! Inventory that nothing refers to any more: history past its time is cut, then contents, lists and programs go. What was
//! first seen lately stays, whoever shows it: a report in flight may be about to.

use chasqui_base::clock::{DAY_MS, now_ms};
use chasqui_store::{inventory, software};

use crate::context::Context;
use crate::error::Failure;

/// Longer than any report is on its way.
const GRACE_MS: i64 = DAY_MS;
/// Rows of one transaction, so that reports do not wait.
const BATCH: u32 = 500;
/// Transactions of one round of each kind.
const ROUNDS: usize = 200;

/// One round.
pub async fn run(ctx: Context) -> Result<(), Failure> {
    let days = i64::from(ctx.config.devices.history_days);
    round(&ctx, now_ms(), days.saturating_mul(DAY_MS)).await
}

/// One round as of a moment, with history kept for a span.
///
/// # Errors
/// As the store's.
pub async fn round(ctx: &Context, now_ms: i64, keep_ms: i64) -> Result<(), Failure> {
    let before_ms = now_ms.saturating_sub(keep_ms);
    for _ in 0..ROUNDS {
        let cut = ctx
            .store
            .write(move |tx| Ok::<_, Failure>(inventory::cut_history(tx, before_ms, BATCH)?))
            .await?;
        if cut < u64::from(BATCH) || ctx.stop.is_cancelled() {
            break;
        }
    }
    let seen_before_ms = now_ms.saturating_sub(GRACE_MS);
    let mut after = String::new();
    for _ in 0..ROUNDS {
        let from = after.clone();
        let (_, next) = ctx
            .store
            .write(move |tx| -> Result<_, Failure> {
                Ok(inventory::forget_unused(tx, seen_before_ms, &from, BATCH)?)
            })
            .await?;
        match next {
            Some(next) if !ctx.stop.is_cancelled() => after = next,
            _ => break,
        }
    }
    for _ in 0..ROUNDS {
        let gone = ctx
            .store
            .write(move |tx| Ok::<_, Failure>(software::forget_unused_programs(tx, BATCH)?))
            .await?;
        if gone < u64::from(BATCH) || ctx.stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}
