//! Fills the rows that devices are searched by: of devices that were there before the table, and of all when the code
//! that takes facts out of sections has changed.

use crate::context::Context;
use crate::error::Failure;
use crate::rpc::inventory::search_row;

/// Devices of one transaction.
const BATCH: u32 = 200;
/// Transactions of one round: the lease and other writers get their turn.
const BATCHES: usize = 25;

/// One round.
pub async fn run(ctx: Context) -> Result<(), Failure> {
    for _ in 0..BATCHES {
        let filled = ctx.store.write(|tx| search_row::fill(tx, BATCH)).await?;
        if filled == 0 || ctx.stop.is_cancelled() {
            break;
        }
    }
    Ok(())
}
