//! What a machine is given: its waiting orders, built from the database each time. Nothing is kept beside the stored
//! bytes, so what somebody altered there is what the machine gets, and refuses.

use std::collections::HashSet;

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_domain::ids::{DeviceId, OrderId};
use chasqui_domain::order::{TargetEvent, TargetState};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::{
    self, OrderDelivery, OrderState, OrderStop, ProgressState, ServerMessage, server_message,
};
use chasqui_store::order::{self as store, Order, Target};
use chasqui_store::{Tx, trust_document};
use chasqui_trust::{Envelope, Leaf, OrderBundle, merkle};
use serde_json::json;
use tonic::{Code, Status};

use super::find;
use super::state::{Happened, move_target, refresh};
use crate::auth;
use crate::context::Context;
use crate::error::{Failure, internal};
use crate::fleet::{self, Live};
use crate::rpc::check;
use crate::rpc::ticket::SYSTEM;

/// Orders handed to a machine at once.
const MOST: u32 = 100;

/// The orders that wait for a device, oldest first, at most 100. That they are sent is recorded before this returns,
/// so an order called expired or cancelled never reached a machine. The device is asked again to stop what it should.
///
/// # Errors
/// Those of the store.
pub async fn pending(ctx: &Context, device: DeviceId) -> Result<Vec<OrderDelivery>, Status> {
    let device_id = device.to_string();
    let now_ms = now_ms();
    let (due, to_stop) = ctx
        .store
        .read({
            let device_id = device_id.clone();
            move |tx| -> Result<_, Failure> {
                Ok((
                    store::due(tx, &device_id, now_ms, MOST)?,
                    store::to_stop(tx, &device_id, MOST)?,
                ))
            }
        })
        .await?;
    for (order_id, digest) in to_stop {
        if let Ok(order_id) = order_id.parse() {
            stop(
                ctx,
                order_id,
                &hex::decode(digest).unwrap_or_default(),
                std::slice::from_ref(&device_id),
            );
        }
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let (orders, sent) = ctx
        .store
        .write(move |tx| -> Result<_, Failure> {
            let (mut orders, mut sent) = (Vec::new(), Vec::new());
            for order_id in store::due(tx, &device_id, now_ms, MOST)? {
                if let Some((delivery, first)) = take(tx, &order_id, &device_id, now_ms)? {
                    orders.push(delivery);
                    if first {
                        sent.push(order_id);
                    }
                }
            }
            Ok((orders, sent))
        })
        .await?;
    fault_point!("server.order.sent");
    for order_id in sent {
        if let Ok(order_id) = order_id.parse() {
            changed(ctx, order_id);
        }
    }
    Ok(orders)
}

/// One order for one machine, recorded as sent. Nothing while the machine's wave has not begun.
fn take(
    tx: &mut Tx,
    order_id: &str,
    device_id: &str,
    now_ms: i64,
) -> Result<Option<(OrderDelivery, bool)>, Failure> {
    let order = find(tx, order_id)?;
    let Some(target) = store::target(tx, order_id, device_id)? else {
        return Ok(None);
    };
    if store::device(tx, device_id)?.is_none_or(|device| device.state != "active") {
        return Ok(None);
    }
    let Ok(leaf) = Leaf::decode(&target.leaf) else {
        internal(
            "stored leaf",
            &format!("order {order_id}, device {device_id}"),
        );
        return Ok(None);
    };
    if now_ms < leaf.not_before_ms {
        return Ok(None);
    }
    let bundle = match bundle(tx, &order, &target) {
        Ok(bundle) => bundle,
        Err(why) => {
            // What cannot even be read is not sent; it expires, and the log says why.
            internal("stored order", &format!("order {order_id}: {why}"));
            return Ok(None);
        }
    };
    let bytes = match bundle.encode() {
        Ok(bytes) => bytes,
        Err(why) => {
            internal("stored order", &format!("order {order_id}: {why}"));
            return Ok(None);
        }
    };
    let happened = Happened {
        kind: "order.sent",
        actor: SYSTEM,
        data: json!({ "host_name": target.host_name }),
        personal: None,
        at_ms: now_ms,
    };
    let first = move_target(
        tx,
        order_id,
        &target,
        TargetEvent::Send,
        ("", ""),
        &happened,
    )?;
    if first {
        refresh(tx, order_id, SYSTEM, now_ms)?;
    }
    Ok(Some((
        OrderDelivery {
            order_id: order_id.to_owned(),
            bundle: bytes.into(),
        },
        first,
    )))
}

/// Everything a machine needs to judge an order, out of the stored bytes.
///
/// # Errors
/// In words, when stored bytes cannot be read.
pub fn bundle(tx: &mut Tx, order: &Order, target: &Target) -> Result<OrderBundle, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let envelope = Envelope::from_json(&order.envelope).map_err(|error| text(&error))?;
    let mut statements = Vec::new();
    for statement in store::statements(tx, &order.id).map_err(|error| text(&error))? {
        statements.push(Envelope::from_json(&statement.envelope).map_err(|error| text(&error))?);
    }
    let definition = trust_document::definition(tx, &order.definition_digest)
        .map_err(|error| text(&error))?
        .ok_or_else(|| format!("definition {} is gone", order.definition_digest))?;
    let leaf = Leaf::decode(&target.leaf).map_err(|error| text(&error))?;
    // The leaves were canonical when they were stored: hashing their bytes is hashing the leaves.
    let hashes: Vec<_> = store::leaves(tx, &order.id)
        .map_err(|error| text(&error))?
        .iter()
        .map(|leaf| merkle::leaf_hash(leaf))
        .collect();
    let index = usize::try_from(target.leaf_index).unwrap_or(usize::MAX);
    let proof = merkle::proof(&hashes, index).ok_or_else(|| format!("no leaf {index}"))?;
    Ok(OrderBundle {
        order: envelope,
        statements,
        definition,
        leaf,
        leaf_index: target.leaf_index,
        proof,
    })
}

/// How far a machine is: a hint for those who watch.
///
/// # Errors
/// ORDER_OTHER_DEVICE when the order is not this machine's; ORDER_STATE when it cannot be there.
pub async fn progress(
    ctx: &Context,
    device: &auth::Device,
    progress: v1::OrderProgress,
) -> Result<(), Status> {
    let order_id: OrderId = check::id("order_id", &progress.order_id)?;
    let (what, kind) = match ProgressState::try_from(progress.state).unwrap_or_default() {
        ProgressState::Accepted => (TargetEvent::Accept, "order.accepted"),
        ProgressState::AwaitingConsent => (TargetEvent::AskConsent, "order.awaiting_consent"),
        ProgressState::Running => (TargetEvent::Run, "order.running"),
        ProgressState::Checking => (TargetEvent::Check, "order.checking"),
        ProgressState::Unspecified => return Err(bad_field("state", "names no step")),
    };
    let (device_id, now_ms) = (device.id.to_string(), now_ms());
    let moved = ctx
        .store
        .write(move |tx| -> Result<bool, Failure> {
            let order_id = order_id.to_string();
            let target = own_target(tx, &order_id, &device_id)?;
            let happened = Happened {
                kind,
                actor: &device_id,
                data: json!({ "host_name": target.host_name }),
                personal: None,
                at_ms: now_ms,
            };
            let moved = move_target(
                tx,
                &order_id,
                &target,
                what,
                (&target.refusal, &target.detail),
                &happened,
            )?;
            if moved {
                refresh(tx, &order_id, &device_id, now_ms)?;
            }
            Ok(moved)
        })
        .await?;
    if moved {
        fault_point!("server.order.progress");
        changed(ctx, order_id);
    }
    Ok(())
}

/// The machine's part of an order, when it has one.
pub fn own_target(tx: &mut Tx, order_id: &str, device_id: &str) -> Result<Target, Failure> {
    find(tx, order_id)?;
    store::target(tx, order_id, device_id)?.ok_or_else(|| {
        status(
            Code::PermissionDenied,
            "ORDER_OTHER_DEVICE",
            "this order is not for this machine: look which key it was signed for",
            &[("order", order_id)],
        )
        .into()
    })
}

/// Brings the order to those of its machines that are connected and wait for it.
pub fn nudge(ctx: &Context, order: &v1::Order) {
    if order.state() != OrderState::Queued {
        return;
    }
    let mut nudged = HashSet::new();
    for target in &order.targets {
        if target.state() == OrderState::Queued
            && let Ok(device) = target.device_id.parse::<DeviceId>()
            && nudged.insert(device)
        {
            fleet::nudge_orders(ctx, device);
        }
    }
}

/// Tells those who watch.
pub fn changed(ctx: &Context, order_id: OrderId) {
    ctx.bus.publish(order_id, Live::Changed);
}

/// Asks machines to stop, or not to begin. Who is not connected is asked when it connects.
pub fn stop(ctx: &Context, order_id: OrderId, digest: &[u8], devices: &[String]) {
    for device in devices {
        if let Ok(device) = device.parse::<DeviceId>() {
            let message = OrderStop {
                order_id: order_id.to_string(),
                order_digest: digest.to_vec().into(),
                reason: "called off by a person".to_owned(),
            };
            // Not connected or full: the sweep finds it in the database.
            let _ = ctx.fleet.send(
                device,
                ServerMessage {
                    message: Some(server_message::Message::Stop(message)),
                },
            );
        }
    }
}

/// Whether a state is one in which a machine prints.
pub fn may_print(state: Option<TargetState>) -> bool {
    state.is_some_and(|state| !matches!(state, TargetState::Expired | TargetState::Queued))
}
