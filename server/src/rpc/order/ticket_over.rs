//! What becomes of the orders of a ticket that ends: what nobody has begun is called off, because nobody waits for it any
//! more; what a machine is at is let end, and its result still lands in the record.

use chasqui_domain::order::{OrderState, TargetEvent, TargetState};
use chasqui_store::Tx;
use chasqui_store::order::{self as store, OrderQuery};
use serde_json::json;

use super::MAX_TARGETS;
use super::state::{Happened, call_off, move_target, refresh};
use crate::error::Failure;

/// Orders looked at at once; a ticket has a few.
const MOST: u32 = 500;

/// Calls off what waits.
///
/// # Errors
/// Those of the store.
pub fn ticket_over(tx: &mut Tx, ticket_id: &str, actor: &str, at_ms: i64) -> Result<(), Failure> {
    let query = OrderQuery {
        states: OrderState::ALL
            .iter()
            .copied()
            .filter(|state| !state.is_final())
            .collect(),
        ticket_id: ticket_id.to_owned(),
        limit: MOST,
        ..OrderQuery::default()
    };
    let personal = json!({"reason": "el tiquete terminó / the ticket is over"}).to_string();
    for order in store::list(tx, &query)? {
        let targets = store::targets(tx, &order.id, MAX_TARGETS)?;
        let at_work = |state: TargetState| {
            matches!(
                state,
                TargetState::Running | TargetState::Checking | TargetState::Unknown
            )
        };
        if !targets
            .iter()
            .filter_map(|target| target.state)
            .any(at_work)
        {
            // Machines that hold it without having begun are asked to stop, now and with every sweep.
            call_off(tx, &order, actor, &personal, at_ms)?;
            continue;
        }
        for target in &targets {
            if target.state == Some(TargetState::Queued) {
                let happened = Happened {
                    kind: "order.cancelled",
                    actor,
                    data: json!({}),
                    personal: Some(&personal),
                    at_ms,
                };
                move_target(
                    tx,
                    &order.id,
                    target,
                    TargetEvent::Cancel,
                    ("", ""),
                    &happened,
                )?;
            }
        }
        refresh(tx, &order.id, actor, at_ms)?;
    }
    Ok(())
}
