//! Ends orders whose validity is over, and queued ones whose approvals lapsed before a machine had them.

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_domain::ids::OrderId;
use chasqui_store::order as store;

use crate::context::Context;
use crate::error::Failure;
use crate::fleet::Live;
use crate::rpc::order;

/// Orders looked at in one round.
const MOST: u32 = 2_000;

/// One round.
pub async fn run(ctx: Context) -> Result<(), Failure> {
    let now_ms = now_ms();
    let (overdue, lapsed) = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            Ok((
                store::overdue(tx, now_ms, MOST)?,
                store::with_lapsed_approvals(tx, now_ms, MOST)?,
            ))
        })
        .await?;
    for order_id in overdue {
        let id = order_id.clone();
        let changed = ctx
            .store
            .write(move |tx| order::expire_due(tx, &id, now_ms))
            .await?;
        told(&ctx, &order_id, changed);
    }
    for order_id in lapsed {
        let id = order_id.clone();
        let changed = ctx
            .store
            .write(move |tx| order::expire_lapsed(tx, &id, now_ms))
            .await?;
        told(&ctx, &order_id, changed);
    }
    Ok(())
}

fn told(ctx: &Context, order_id: &str, changed: bool) {
    if changed {
        fault_point!("server.order.expired");
        if let Ok(order_id) = order_id.parse::<OrderId>() {
            ctx.bus.publish(order_id, Live::Changed);
        }
    }
}
