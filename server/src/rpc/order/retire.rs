//! What becomes of the orders of a device that another goes on with: nothing more is given to it.

use chasqui_domain::order::{OrderState, TargetEvent, TargetState};
use chasqui_store::Tx;
use chasqui_store::order::{self as store, OrderQuery};
use serde_json::json;

use super::state::{Happened, call_off, move_target, refresh};
use crate::error::Failure;

/// Orders looked at; a silent machine has a few.
const MOST: u32 = 500;

/// Orders of a retired device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Called off there.
    pub cancelled: Vec<String>,
    /// Begun perhaps, or undecided for several machines: they end by time.
    pub remaining: Vec<String>,
}

/// Calls off what waits for a device. An undecided order for it alone is cancelled; one for several machines stays with
/// the people who decide, and this device is not given it.
///
/// # Errors
/// Those of the store.
pub fn retire(
    tx: &mut Tx,
    device_id: &str,
    actor: &str,
    reason: &str,
    now_ms: i64,
) -> Result<Retired, Failure> {
    let open: Vec<OrderState> = OrderState::ALL
        .iter()
        .copied()
        .filter(|state| !state.is_final())
        .collect();
    let query = OrderQuery {
        states: open,
        device_id: device_id.to_owned(),
        limit: MOST,
        ..OrderQuery::default()
    };
    let personal = json!({"reason": reason}).to_string();
    let mut retired = Retired::default();
    for order in store::list(tx, &query)? {
        if order.state.is_undecided() {
            if order.target_count == 1 {
                call_off(tx, &order, actor, &personal, now_ms)?;
                retired.cancelled.push(order.id);
            } else {
                retired.remaining.push(order.id);
            }
            continue;
        }
        let Some(target) = store::target(tx, &order.id, device_id)? else {
            continue;
        };
        match target.state {
            Some(TargetState::Queued) => {
                let happened = Happened {
                    kind: "order.cancelled",
                    actor,
                    data: json!({"device_retired": device_id}),
                    personal: Some(&personal),
                    at_ms: now_ms,
                };
                move_target(
                    tx,
                    &order.id,
                    &target,
                    TargetEvent::Cancel,
                    ("", ""),
                    &happened,
                )?;
                refresh(tx, &order.id, actor, now_ms)?;
                retired.cancelled.push(order.id);
            }
            Some(state) if !state.is_final() => retired.remaining.push(order.id),
            _ => {}
        }
    }
    Ok(retired)
}
