//! Looks whether devices whose identity was reported are machines known before, and proposes it to people.

use chasqui_base::clock::now_ms;
use chasqui_store::device_match as store;

use crate::context::Context;
use crate::error::Failure;
use crate::rpc::device;

/// Devices looked at in one round.
const MOST: u32 = 500;

/// One round.
pub async fn run(ctx: Context) -> Result<(), Failure> {
    let now_ms = now_ms();
    let due = ctx
        .store
        .read(move |tx| -> Result<_, Failure> { Ok(store::due(tx, now_ms, MOST)?) })
        .await?;
    for device_id in due {
        let inner = ctx.clone();
        ctx.store
            .write(move |tx| device::look_at_due(&inner, tx, &device_id, now_ms))
            .await?;
    }
    Ok(())
}
