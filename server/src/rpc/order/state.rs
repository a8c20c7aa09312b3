//! The one place where the state of an order or of one of its machines changes: by the rules, with its event, in the
//! caller's transaction. What the order shows as a whole follows from its machines.

use chasqui_base::clock::{DAY_MS, MINUTE_MS};
use chasqui_domain::order::{
    OrderEvent, OrderState, TargetEvent, TargetState, aggregate, target_transition, transition,
};
use chasqui_store::Tx;
use chasqui_store::event::{self, NewEvent};
use chasqui_store::order::{self as store, Order, Target};
use serde_json::{Value, json};

use crate::error::{Failure, precondition};
use crate::rpc::ticket::SYSTEM;

/// How long after the end of its validity an order that was sent may still be confirmed.
const CONFIRM_GRACE_MS: i64 = 10 * MINUTE_MS;
/// How long after the end of its validity a machine that began may still report.
const REPORT_GRACE_MS: i64 = DAY_MS;

/// What happened, for the record.
pub struct Happened<'a> {
    /// `order.sent`.
    pub kind: &'a str,
    /// Who did it.
    pub actor: &'a str,
    /// Facts.
    pub data: Value,
    /// What a person wrote, JSON.
    pub personal: Option<&'a str>,
    /// UTC milliseconds.
    pub at_ms: i64,
}

/// Appends an event of an order; `state` where it changes the order's (no part) or one machine's (its id as part).
pub fn record(
    tx: &mut Tx,
    order_id: &str,
    part: Option<&str>,
    state: Option<&str>,
    happened: &Happened<'_>,
) -> Result<(), Failure> {
    event::append(
        tx,
        NewEvent {
            subject_kind: "order",
            subject_id: order_id,
            part,
            kind: happened.kind,
            actor: happened.actor,
            at_ms: happened.at_ms,
            state,
            data: happened.data.clone(),
            personal: happened.personal,
        },
    )?;
    Ok(())
}

/// Moves the order as a whole by a person's decision.
pub fn move_order(
    tx: &mut Tx,
    order: &Order,
    what: OrderEvent,
    happened: &Happened<'_>,
) -> Result<OrderState, Failure> {
    let state = transition(order.state, what)?;
    store::set_state(tx, &order.id, state, happened.at_ms)?;
    record(tx, &order.id, None, Some(state.as_str()), happened)?;
    Ok(state)
}

/// Queues an approved order: every machine now waits for delivery. `from` is the order's state.
pub fn queue(
    tx: &mut Tx,
    order_id: &str,
    from: OrderState,
    actor: &str,
    at_ms: i64,
) -> Result<(), Failure> {
    let state = transition(from, OrderEvent::Queue)?;
    store::queue_targets(tx, order_id, at_ms)?;
    let quiet = |kind| Happened {
        kind,
        actor,
        data: json!({}),
        personal: None,
        at_ms,
    };
    for device_id in store::device_ids(tx, order_id)? {
        record(
            tx,
            order_id,
            Some(&device_id),
            Some(TargetState::Queued.as_str()),
            &quiet("order.target"),
        )?;
    }
    store::set_state(tx, order_id, state, at_ms)?;
    record(
        tx,
        order_id,
        None,
        Some(state.as_str()),
        &quiet("order.state"),
    )
}

/// Moves one machine. Nothing is written when it says nothing new.
///
/// # Returns
/// Whether something changed.
pub fn move_target(
    tx: &mut Tx,
    order_id: &str,
    target: &Target,
    what: TargetEvent,
    (refusal, detail): (&str, &str),
    happened: &Happened<'_>,
) -> Result<bool, Failure> {
    let Some(state) = target.state else {
        return Err(not_released().into());
    };
    let next = target_transition(state, what)?;
    if next == state {
        return Ok(false);
    }
    store::set_target(
        tx,
        (order_id, &target.device_id),
        next,
        (refusal, detail),
        happened.at_ms,
    )?;
    record(
        tx,
        order_id,
        Some(&target.device_id),
        Some(next.as_str()),
        happened,
    )?;
    Ok(true)
}

/// Writes what the order shows as a whole, after its machines moved.
pub fn refresh(tx: &mut Tx, order_id: &str, actor: &str, at_ms: i64) -> Result<(), Failure> {
    let order = super::find(tx, order_id)?;
    let Some(state) = aggregate(&store::target_states(tx, order_id)?) else {
        return Ok(());
    };
    if state == order.state {
        store::touch(tx, order_id, at_ms)?;
        return Ok(());
    }
    store::set_state(tx, order_id, state, at_ms)?;
    let happened = Happened {
        kind: "order.state",
        actor,
        data: json!({}),
        personal: None,
        at_ms,
    };
    record(tx, order_id, None, Some(state.as_str()), &happened)
}

/// The machine reports on an order that people have not released.
pub fn not_released() -> tonic::Status {
    precondition(
        "ORDER_STATE",
        "people have not released this order; no machine should have it: look where it came from",
    )
}

/// Calls an order off: undecided it ends; queued machines never get it; the others are asked to stop.
///
/// # Returns
/// The machines that may hold it.
pub fn call_off(
    tx: &mut Tx,
    order: &Order,
    actor: &str,
    personal: &str,
    at_ms: i64,
) -> Result<Vec<String>, Failure> {
    if order.state == OrderState::Cancelled {
        return Ok(Vec::new());
    }
    let happened = |kind, personal| Happened {
        kind,
        actor,
        data: json!({}),
        personal,
        at_ms,
    };
    if order.state.is_undecided() {
        move_order(
            tx,
            order,
            OrderEvent::Cancel,
            &happened("order.cancelled", Some(personal)),
        )?;
        return Ok(Vec::new());
    }
    if order.state.is_final() {
        // Says why not, and what to do instead.
        transition(order.state, OrderEvent::Cancel)?;
    }
    let mut held_by = Vec::new();
    let mut told = false;
    for target in store::targets(tx, &order.id, super::MAX_TARGETS)? {
        match target.state {
            Some(TargetState::Queued) => {
                let why = (!told).then_some(personal);
                let kind = if told {
                    "order.target"
                } else {
                    "order.cancelled"
                };
                told = true;
                move_target(
                    tx,
                    &order.id,
                    &target,
                    TargetEvent::Cancel,
                    ("", ""),
                    &happened(kind, why),
                )?;
            }
            Some(state) if !state.is_final() => held_by.push(target.device_id),
            _ => {}
        }
    }
    if !held_by.is_empty() && store::ask_cancel(tx, &order.id, at_ms)? {
        record(
            tx,
            &order.id,
            None,
            None,
            &happened("order.cancel_requested", Some(personal)),
        )?;
    }
    refresh(tx, &order.id, actor, at_ms)?;
    Ok(held_by)
}

/// Ends what is over by time. Undecided and undelivered orders expire; what a machine may have begun becomes unknown
/// when the time to report is over, and is never sent again.
///
/// # Returns
/// Whether something changed.
pub fn expire_due(tx: &mut Tx, order_id: &str, at_ms: i64) -> Result<bool, Failure> {
    let order = super::find(tx, order_id)?;
    if at_ms < order.not_after_ms || order.state.is_final() {
        return Ok(false);
    }
    let happened = |kind, host_name: &str| Happened {
        kind,
        actor: SYSTEM,
        data: json!({ "host_name": host_name }),
        personal: None,
        at_ms,
    };
    if order.state.is_undecided() {
        move_order(
            tx,
            &order,
            OrderEvent::Expire,
            &happened("order.expired", ""),
        )?;
        return Ok(true);
    }
    let mut changed = false;
    for target in store::targets(tx, order_id, super::MAX_TARGETS)? {
        let late_by_ms = at_ms.saturating_sub(order.not_after_ms);
        let (what, kind) = match target.state {
            Some(TargetState::Queued) => (TargetEvent::Expire, "order.expired"),
            Some(TargetState::Sent) if late_by_ms >= CONFIRM_GRACE_MS => {
                (TargetEvent::Expire, "order.unknown")
            }
            Some(
                TargetState::Accepted
                | TargetState::AwaitingConsent
                | TargetState::Running
                | TargetState::Checking,
            ) if late_by_ms >= REPORT_GRACE_MS => (TargetEvent::LoseContact, "order.unknown"),
            _ => continue,
        };
        changed |= move_target(
            tx,
            order_id,
            &target,
            what,
            ("", ""),
            &happened(kind, &target.host_name),
        )?;
    }
    if changed {
        refresh(tx, order_id, SYSTEM, at_ms)?;
    }
    Ok(changed)
}
