//! Registers what a person signed. Everything an agent would refuse later is refused here first, with the same codes;
//! what only the coordinator can see is checked besides: that the caller is the one who signed, that the ticket is open,
//! and that the leaves are exactly those signed, each a machine known here under the name the signer read.

use std::collections::HashSet;

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_domain::order::{OrderEvent, OrderState, transition};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1;
use chasqui_store::order::{self as store, NewOrder};
use chasqui_store::request::idempotent;
use chasqui_store::{Tx, ticket, trust_document};
use chasqui_trust::{
    Definition, Digest, Document, Envelope, Leaf, Order, Refusal, order, verify_request,
};
use serde_json::json;
use tonic::{Code, Status};

use super::state::{Happened, queue, record};
use super::{MAX_TARGETS, deliver, find, whole};
use crate::auth::Person;
use crate::context::Context;
use crate::error::{Failure, denied, not_found, precondition};
use crate::rpc::trust::standing;
use crate::rpc::wire::{malformed, trust_refusal};
use crate::rpc::{check, request_key};

/// Most bytes of an order's envelope.
const MAX_ENVELOPE_BYTES: usize = 64 * 1024;
/// Most bytes of a leaf.
const MAX_LEAF_BYTES: usize = 2 * 1024;

/// What was signed, read and bounded, not yet verified.
struct Signed {
    envelope_bytes: Vec<u8>,
    envelope: Envelope,
    order: Order,
    leaves: Vec<Leaf>,
    leaf_bytes: Vec<Vec<u8>>,
}

/// The call.
pub async fn create(
    ctx: &Context,
    who: Person,
    body: v1::CreateOrderRequest,
) -> Result<v1::Order, Status> {
    let now_ms = now_ms();
    let actor = who.id.to_string();
    let key = request_key(
        &actor,
        "OrderService/CreateOrder",
        &body,
        |body| &mut body.request_id,
        now_ms,
    )?;
    let signed = read(body)?;
    if signed.order.requester != actor {
        return Err(denied(
            "ORDER_REQUESTER_MISMATCH",
            "only the person who signed an order may register it: log in as its requester",
        ));
    }
    let order_id: chasqui_domain::ids::OrderId = check::id("envelope", &signed.order.id)?;
    let answer = ctx
        .store
        .write(move |tx| {
            idempotent(tx, &key, |tx| {
                store_order(tx, &signed, now_ms)?;
                // The order itself may be large and will change: the kept answer is its id.
                Ok::<_, Failure>(signed.order.id.clone().into_bytes())
            })
        })
        .await?;
    fault_point!("server.order.created");
    let id = String::from_utf8(answer.response).unwrap_or_default();
    let order = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let order = find(tx, &id)?;
            Ok(whole(tx, &order)?)
        })
        .await?;
    if !answer.replayed {
        deliver::nudge(ctx, &order);
        deliver::changed(ctx, order_id);
    }
    Ok(order)
}

fn read(body: v1::CreateOrderRequest) -> Result<Signed, Status> {
    if body.envelope.len() > MAX_ENVELOPE_BYTES {
        return Err(bad_field(
            "envelope",
            "is over 64 KiB: no order is that large",
        ));
    }
    let most = usize::try_from(MAX_TARGETS).unwrap_or(usize::MAX);
    if body.leaves.is_empty() || body.leaves.len() > most {
        return Err(bad_field(
            "leaves",
            format!("1 to {MAX_TARGETS} machines are allowed"),
        ));
    }
    if body.leaves.iter().any(|leaf| leaf.len() > MAX_LEAF_BYTES) {
        return Err(bad_field(
            "leaves",
            "holds one over 2 KiB: no leaf is that large",
        ));
    }
    let envelope_bytes = Vec::from(body.envelope);
    let envelope = Envelope::from_json(&envelope_bytes).map_err(|error| malformed(&error))?;
    let order = Order::decode(&envelope).map_err(|error| malformed(&error))?;
    let leaf_bytes: Vec<Vec<u8>> = body.leaves.into_iter().map(Vec::from).collect();
    let leaves: Vec<Leaf> = leaf_bytes
        .iter()
        .map(|bytes| Leaf::decode(bytes))
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(&error))?;
    let targets = order::Targets::of(&leaves).map_err(|error| malformed(&error))?;
    if targets != order.targets {
        return Err(status(
            Code::InvalidArgument,
            "ORDER_TARGETS_MISMATCH",
            "the leaves are not the machines that were signed: send exactly those, in the order of the signed tree",
            &[("order", &order.id)],
        ));
    }
    if leaves
        .iter()
        .any(|leaf| leaf.not_before_ms >= order.not_after_ms)
    {
        return Err(bad_field(
            "leaves",
            "holds a wave that begins after the order ends",
        ));
    }
    Ok(Signed {
        envelope_bytes,
        envelope,
        order,
        leaves,
        leaf_bytes,
    })
}

fn store_order(tx: &mut Tx, signed: &Signed, now_ms: i64) -> Result<(), Failure> {
    let order = &signed.order;
    let digest = signed.envelope.payload_digest().to_hex();
    if store::is_known(tx, &order.id, &digest)? {
        return Err(status(
            Code::AlreadyExists,
            "ORDER_EXISTS",
            "this order is registered already: sign a new one for a new action",
            &[("order", &order.id)],
        )
        .into());
    }
    check_ticket(tx, order)?;
    let (definition, need) = verify(tx, signed, now_ms)?;
    let devices = check_devices(tx, &signed.leaves)?;
    let state = if need == 0 {
        transition(OrderState::Requested, OrderEvent::Approve)?
    } else {
        transition(OrderState::Requested, OrderEvent::AskApproval)?
    };
    store::insert(
        tx,
        &NewOrder {
            order: store::Order {
                id: order.id.clone(),
                digest: digest.clone(),
                envelope: signed.envelope_bytes.clone(),
                definition_id: order.definition.id.clone(),
                definition_version: order.definition.version,
                definition_digest: order.definition.digest.to_hex(),
                risk: u32::from(definition.risk),
                reason: order.reason.clone(),
                ticket_id: Some(order.ticket.id.clone()),
                ticket_number: String::new(),
                requester_id: order.requester.clone(),
                requester_name: String::new(),
                state,
                required_approvals: need,
                target_count: order.targets.count,
                not_before_ms: order.not_before_ms,
                not_after_ms: order.not_after_ms,
                created_at_ms: now_ms,
                updated_at_ms: now_ms,
                version: 1,
                cancel_asked_at_ms: None,
            },
            targets: devices
                .iter()
                .cloned()
                .zip(signed.leaf_bytes.iter().cloned())
                .collect(),
        },
    )?;
    let personal = json!({"reason": order.reason}).to_string();
    let happened = |kind, data, personal| Happened {
        kind,
        actor: &order.requester,
        data,
        personal,
        at_ms: now_ms,
    };
    let data = json!({
        "digest": digest,
        "definition": order.definition.id,
        "definition_version": order.definition.version,
        "definition_digest": order.definition.digest.to_hex(),
        "title": {"es": definition.title.es, "en": definition.title.en},
        "risk": definition.risk,
        "targets": order.targets.count,
        "required_approvals": need,
        "ticket": order.ticket.number,
        "start": order.start,
        "break_glass": order.break_glass,
    });
    if order.break_glass {
        tracing::warn!(
            order = order.id,
            action = definition.id,
            requester = order.requester,
            ticket = order.ticket.number,
            targets = order.targets.count,
            "BREAK GLASS: an order asks to run under the emergency rule"
        );
    }
    record(
        tx,
        &order.id,
        None,
        Some(state.as_str()),
        &happened("order.requested", data, Some(&personal)),
    )?;
    for device in &devices {
        record(
            tx,
            &order.id,
            Some(device),
            Some(store::WAITING),
            &happened("order.target", json!({}), None),
        )?;
    }
    if state == OrderState::Approved {
        queue(tx, &order.id, state, &order.requester, now_ms)?;
    }
    Ok(())
}

fn check_ticket(tx: &mut Tx, order: &Order) -> Result<(), Failure> {
    let ticket = ticket::by_id(tx, &order.ticket.id)?
        .ok_or_else(|| not_found("ticket", &order.ticket.id))?;
    if ticket.number != order.ticket.number {
        return Err(precondition(
            "ORDER_TICKET_MISMATCH",
            format!(
                "the order names ticket {} but that id is {}: sign it anew",
                order.ticket.number, ticket.number
            ),
        )
        .into());
    }
    if !ticket.state.is_open() {
        return Err(precondition(
            "TICKET_CLOSED",
            format!(
                "ticket {} is over: reopen it or register a new one before asking for an action",
                ticket.number
            ),
        )
        .into());
    }
    Ok(())
}

/// Judges the order as its machines will, short of approvals and of the beginning of its validity: it waits for both.
fn verify(tx: &mut Tx, signed: &Signed, now_ms: i64) -> Result<(Definition, u32), Failure> {
    let order = &signed.order;
    let standing = standing(tx)?.ok_or_else(|| {
        precondition(
            "ROOT_MISSING",
            "no root is published yet: an administrator publishes it first",
        )
    })?;
    let catalogue = standing.catalogue.ok_or_else(|| {
        precondition(
            "CATALOGUE_MISSING",
            "no catalogue in force is published: publish it first",
        )
    })?;
    let bytes =
        trust_document::definition(tx, &order.definition.digest.to_hex())?.ok_or_else(|| {
            precondition(
                "DEFINITION_UNKNOWN",
                format!(
                    "the definition {} that was signed is not published here: publish it first",
                    order.definition.id
                ),
            )
        })?;
    let request = verify_request(
        &signed.envelope_bytes,
        &bytes,
        &signed.leaves,
        &standing.trust,
        &catalogue,
        now_ms,
    )
    .map_err(|refusal| refused(&refusal))?;
    Ok((request.definition().clone(), request.required_approvals()))
}

/// A judgement of the trust crate as a status, with its own code and words.
pub fn refused(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::BundleMalformed(_)
        | Refusal::OrderMalformed(_)
        | Refusal::StatementMalformed(_)
        | Refusal::UnknownCritical { .. }
        | Refusal::ParameterInvalid(_) => Code::InvalidArgument,
        _ => Code::FailedPrecondition,
    };
    trust_refusal(code, refusal.code(), &refusal.text())
}

/// Every leaf is a machine in force, under the name and plate the signer read.
///
/// # Returns
/// Device ids in the order of the leaves.
fn check_devices(tx: &mut Tx, leaves: &[Leaf]) -> Result<Vec<String>, Failure> {
    let mut seen: HashSet<Digest> = HashSet::with_capacity(leaves.len());
    let mut ids = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let name = leaf.host_name.as_str();
        let refuse = |reason: &str, message: String| {
            Err(Failure::from(status(
                Code::FailedPrecondition,
                reason,
                message,
                &[("host_name", name)],
            )))
        };
        if !seen.insert(leaf.device_fingerprint) {
            return refuse(
                "ORDER_DEVICE_TWICE",
                format!("{name} is named twice: sign each machine once"),
            );
        }
        let Some(device) = store::device_by_fingerprint(tx, &leaf.device_fingerprint.to_hex())?
        else {
            return refuse(
                "ORDER_DEVICE_UNKNOWN",
                format!("no enrolled machine has the key signed for {name}"),
            );
        };
        if device.origin != "agent" {
            return refuse(
                "DEVICE_READ_ONLY",
                format!(
                    "{name} is reported by a third-party agent and takes no orders: install the Chasqui agent there first"
                ),
            );
        }
        match device.state.as_str() {
            "active" => {}
            "revoked" => {
                return refuse(
                    "DEVICE_REVOKED",
                    format!("{name} is revoked: leave it out and sign anew"),
                );
            }
            "quarantined" => {
                return refuse(
                    "DEVICE_QUARANTINED",
                    format!("{name} is in quarantine: resolve that first"),
                );
            }
            _ => {
                return refuse(
                    "DEVICE_NOT_ACTIVE",
                    format!("{name} is not in service: leave it out and sign anew"),
                );
            }
        }
        if device.host_name != leaf.host_name {
            return refuse(
                "ORDER_HOST_NAME_MISMATCH",
                format!(
                    "the machine signed as {name} is called {} here: look which one is meant",
                    device.host_name
                ),
            );
        }
        if leaf
            .plate
            .as_ref()
            .is_some_and(|plate| *plate != device.plate)
        {
            return refuse(
                "ORDER_PLATE_MISMATCH",
                format!(
                    "the plate signed for {name} is not the one known here: look which one is meant"
                ),
            );
        }
        ids.push(device.id);
    }
    Ok(ids)
}
