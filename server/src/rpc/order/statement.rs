//! Approvals, refusals and withdrawals. Each is a paper of its own, signed by one person about one order by its digest.
//! The coordinator counts as a machine would count: distinct persons of the people document in force, nobody for their
//! own order.

use std::collections::BTreeSet;

use chasqui_base::clock::{new_id, now_ms};
use chasqui_base::fault_point;
use chasqui_domain::order::{OrderEvent, OrderState, transition};
use chasqui_proto::error::bad_field;
use chasqui_proto::v1;
use chasqui_store::Tx;
use chasqui_store::order::{self as store, Order};
use chasqui_store::request::idempotent;
use chasqui_trust::people::People;
use chasqui_trust::{
    Decision, Document, Envelope, Refusal, Statement, TrustState, effective_now, judge_statement,
};
use serde_json::json;
use tonic::Status;

use super::create::refused;
use super::state::{Happened, call_off, move_order, queue, record};
use super::{deliver, find, whole};
use crate::auth::Person;
use crate::context::Context;
use crate::error::{Failure, denied, precondition};
use crate::rpc::trust::standing;
use crate::rpc::wire::malformed;
use crate::rpc::{check, request_key};

/// Most bytes of a statement's envelope.
const MAX_ENVELOPE_BYTES: usize = 16 * 1024;
/// Most statements of one order: as many as a bundle carries.
const MAX_STATEMENTS: usize = 32;

/// The call.
pub async fn add(
    ctx: &Context,
    who: Person,
    body: v1::AddStatementRequest,
) -> Result<v1::Order, Status> {
    let now_ms = now_ms();
    let actor = who.id.to_string();
    let key = request_key(
        &actor,
        "OrderService/AddStatement",
        &body,
        |body| &mut body.request_id,
        now_ms,
    )?;
    let order_id: chasqui_domain::ids::OrderId = check::id("order_id", &body.order_id)?;
    if body.envelope.len() > MAX_ENVELOPE_BYTES {
        return Err(bad_field(
            "envelope",
            "is over 16 KiB: no statement is that large",
        ));
    }
    let bytes = Vec::from(body.envelope);
    let envelope = Envelope::from_json(&bytes).map_err(|error| malformed(&error))?;
    let statement = Statement::decode(&envelope).map_err(|error| malformed(&error))?;
    if statement.person != actor {
        return Err(denied(
            "STATEMENT_PERSON_MISMATCH",
            "only the person who signed a statement may hand it in: log in as that person",
        ));
    }
    let row_id = new_id().to_string();
    let answer = ctx
        .store
        .write(move |tx| {
            idempotent(tx, &key, |tx| {
                let order = find(tx, &order_id.to_string())?;
                let signed = Signed {
                    statement: &statement,
                    envelope: &envelope,
                    bytes: &bytes,
                    row_id: &row_id,
                };
                let held_by = store_statement(tx, &order, &signed, now_ms)?;
                Ok::<_, Failure>(held_by.join(" ").into_bytes())
            })
        })
        .await?;
    fault_point!("server.statement.stored");
    let order = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let order = find(tx, &order_id.to_string())?;
            Ok(whole(tx, &order)?)
        })
        .await?;
    let held_by: Vec<String> = String::from_utf8_lossy(&answer.response)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    deliver::stop(ctx, order_id, &order.digest, &held_by);
    deliver::nudge(ctx, &order);
    deliver::changed(ctx, order_id);
    Ok(order)
}

struct Signed<'a> {
    statement: &'a Statement,
    envelope: &'a Envelope,
    bytes: &'a [u8],
    row_id: &'a str,
}

/// Stores a statement and draws its consequence.
///
/// # Returns
/// Machines to be asked to stop.
fn store_statement(
    tx: &mut Tx,
    order: &Order,
    signed: &Signed<'_>,
    now_ms: i64,
) -> Result<Vec<String>, Failure> {
    let statement = signed.statement;
    let trust = standing(tx)?
        .ok_or_else(|| {
            precondition(
                "ROOT_MISSING",
                "no root is published yet: an administrator publishes it first",
            )
        })?
        .trust;
    if statement.org != trust.org() {
        return Err(refused(&Refusal::StatementOrgMismatch).into());
    }
    if statement.order_digest.to_hex() != order.digest {
        return Err(refused(&Refusal::StatementOtherOrder).into());
    }
    judge(&trust, signed.envelope, statement, order, now_ms)
        .map_err(|refusal| refused(&refusal))?;
    let before = store::statements(tx, &order.id)?;
    if before.len() >= MAX_STATEMENTS {
        return Err(precondition(
            "STATEMENTS_TOO_MANY",
            "this order has as many statements as machines accept: sign a new order",
        )
        .into());
    }
    // Approving what is over is refused before it is stored; saying no never comes too late to be heard.
    if statement.decision == Decision::Approve {
        transition(order.state, OrderEvent::Approve)?;
    } else if order.state.is_final() {
        transition(order.state, OrderEvent::Reject)?;
    }
    let key_id = signed
        .envelope
        .signatures
        .first()
        .map(|signature| signature.key_id.0.to_hex())
        .unwrap_or_default();
    let new = store::Statement {
        id: signed.row_id.to_owned(),
        person_id: statement.person.clone(),
        person_name: String::new(),
        key_id,
        decision: name(statement.decision).to_owned(),
        digest: signed.envelope.payload_digest().to_hex(),
        envelope: signed.bytes.to_vec(),
        at_ms: statement.at_ms,
        expires_at_ms: Some(statement.expires_at_ms),
    };
    if !store::insert_statement(tx, &order.id, &new)? {
        return Err(refused(&Refusal::ApprovalSamePerson(statement.person.clone())).into());
    }
    store::touch(tx, &order.id, now_ms)?;
    let comment =
        (!statement.comment.is_empty()).then(|| json!({"comment": statement.comment}).to_string());
    let happened = |kind, data| Happened {
        kind,
        actor: &statement.person,
        data,
        personal: comment.as_deref(),
        at_ms: now_ms,
    };
    match statement.decision {
        Decision::Approve => {
            let have = count(tx, &trust, order, now_ms)?;
            let need = order.required_approvals;
            let data = json!({"have": have, "need": need, "statement": new.digest});
            if have < need {
                record(tx, &order.id, None, None, &happened("order.approved", data))?;
                return Ok(Vec::new());
            }
            let state = move_order(
                tx,
                order,
                OrderEvent::Approve,
                &happened("order.approved", data),
            )?;
            queue(tx, &order.id, state, &statement.person, now_ms)?;
            Ok(Vec::new())
        }
        decision => {
            let kind = if decision == Decision::Reject {
                "order.rejected"
            } else {
                "order.withdrawn"
            };
            let data = json!({"statement": new.digest});
            if order.state.is_undecided() {
                // A machine refuses an order with a withdrawal for good, so the order is over here too.
                move_order(tx, order, OrderEvent::Reject, &happened(kind, data))?;
                return Ok(Vec::new());
            }
            record(tx, &order.id, None, None, &happened(kind, data))?;
            call_off(
                tx,
                order,
                &statement.person,
                comment.as_deref().unwrap_or("{}"),
                now_ms,
            )
        }
    }
}

/// How many distinct persons' approvals count now.
pub fn count(tx: &mut Tx, trust: &TrustState, order: &Order, now_ms: i64) -> Result<u32, Failure> {
    let mut persons = BTreeSet::new();
    for stored in store::statements(tx, &order.id)? {
        let Ok(envelope) = Envelope::from_json(&stored.envelope) else {
            continue;
        };
        let Ok(statement) = Statement::decode(&envelope) else {
            continue;
        };
        if statement.decision == Decision::Approve
            && statement.order_digest.to_hex() == order.digest
            && judge(trust, &envelope, &statement, order, now_ms).is_ok()
        {
            persons.insert(statement.person);
        }
    }
    Ok(u32::try_from(persons.len()).unwrap_or(u32::MAX))
}

/// Whether a statement counts: the rules of `verify_order`, each with its own refusal.
fn judge(
    trust: &TrustState,
    envelope: &Envelope,
    statement: &Statement,
    order: &Order,
    now_ms: i64,
) -> Result<(), Refusal> {
    let now = effective_now(now_ms, trust.floor());
    let people: &People = trust.people().ok_or(Refusal::PeopleMissing)?;
    if now >= people.expires_at_ms {
        return Err(Refusal::PeopleExpired);
    }
    let risk = u8::try_from(order.risk).unwrap_or(u8::MAX);
    match judge_statement(envelope, statement, &order.requester_id, people, risk, now) {
        // A word against the order needs no more than a listed person's signature.
        Err(Refusal::Rejected(_) | Refusal::Withdrawn(_)) => Ok(()),
        Err(refusal) => Err(refusal),
        Ok(counts) => counts.map(drop),
    }
}

/// Ends a queued order whose approvals lapsed before every machine had it.
///
/// # Returns
/// Whether it was ended.
pub fn expire_lapsed(tx: &mut Tx, order_id: &str, at_ms: i64) -> Result<bool, Failure> {
    let order = find(tx, order_id)?;
    if order.state != OrderState::Queued {
        return Ok(false);
    }
    let Some(standing) = standing(tx)? else {
        return Ok(false);
    };
    // Without people in force nothing counts for now, and nothing is delivered; that is no lapse.
    if standing
        .trust
        .people()
        .is_none_or(|people| at_ms >= people.expires_at_ms)
        || count(tx, &standing.trust, &order, at_ms)? >= order.required_approvals
    {
        return Ok(false);
    }
    let why = json!({"reason": "approvals lapsed before a machine had the order"}).to_string();
    call_off(tx, &order, crate::rpc::ticket::SYSTEM, &why, at_ms)?;
    Ok(true)
}

fn name(decision: Decision) -> &'static str {
    match decision {
        Decision::Approve => "approve",
        Decision::Reject => "reject",
        Decision::Withdraw => "withdraw",
    }
}
