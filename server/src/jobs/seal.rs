//! Seals what was recorded since the last round into the Merkle log, under a checkpoint signed with the log key.

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_store::log;

use crate::context::Context;
use crate::error::Failure;
use crate::rpc::log::sign_checkpoint;

/// Events of one transaction: few enough not to keep other writers waiting.
const BATCH: i64 = 1_000;

/// One round.
pub async fn run(ctx: Context) -> Result<(), Failure> {
    loop {
        // A look first: while nothing happens, nothing is written.
        if ctx
            .store
            .read(|tx| log::unsealed(tx).map_err(Failure::from))
            .await?
            == 0
        {
            return Ok(());
        }
        let (org, key, now_ms) = (ctx.config.organisation.clone(), ctx.clone(), now_ms());
        let sealed = ctx
            .store
            .write(move |tx| {
                log::seal(tx, now_ms, BATCH, |checkpoint| {
                    sign_checkpoint(&org, &key.log_key, checkpoint)
                })
                .map_err(Failure::from)
            })
            .await?;
        fault_point!("server.log.sealed");
        if sealed.is_none() || ctx.stop.is_cancelled() {
            return Ok(());
        }
    }
}
