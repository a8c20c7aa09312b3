//! A machine's signed result: verified against the key its order was signed for, stored exactly once, and told in the
//! ticket's timeline with what the check afterwards measured.

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_domain::Text;
use chasqui_domain::ids::OrderId;
use chasqui_domain::order::{TargetEvent, TargetState, target_transition};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1;
use chasqui_store::Tx;
use chasqui_store::order::{self as store, Order, OrderResult, Target};
use chasqui_trust::result::{CheckFact, Outcome};
use chasqui_trust::{
    ActionResult, Digest, Document, Envelope, PublicKey, ResultError, verify_consent, verify_result,
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::deliver::{changed, own_target};
use super::find;
use super::state::{Happened, move_target, not_released, refresh};
use crate::auth;
use crate::context::Context;
use crate::error::{Failure, internal, precondition};
use crate::rpc::check;
use crate::rpc::wire::trust_refusal;

/// Most bytes of a result's envelope.
const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;
/// Most bytes of a consent receipt's envelope.
const MAX_CONSENT_BYTES: usize = 64 * 1024;
/// Facts of a check that the record repeats; all of them are in the signed result.
const RECORDED_FACTS: usize = 16;
/// Characters of a fact or text that the record repeats.
const RECORDED_CHARS: usize = 500;

/// Stores a result. The same one again is answered as the first time.
///
/// # Errors
/// ORDER_OTHER_DEVICE, DEVICE_REVOKED, RESULT_SIGNATURE_INVALID, RESULT_DEVICE_MISMATCH, RESULT_ORDER_MISMATCH,
/// CONSENT_MISMATCH, ORDER_STATE, ORDER_RESULT_CONFLICT; each without a change.
pub async fn submit(
    ctx: &Context,
    device: &auth::Device,
    request: v1::SubmitResultRequest,
) -> Result<v1::SubmitResultResponse, Status> {
    let order_id: OrderId = check::id("order_id", &request.order_id)?;
    check::request_id(&request.request_id)?;
    if request.envelope.len() > MAX_ENVELOPE_BYTES {
        return Err(bad_field(
            "envelope",
            "is over 1 MiB: no result is that large",
        ));
    }
    if request.consent.len() > MAX_CONSENT_BYTES {
        return Err(bad_field(
            "consent",
            "is over 64 KiB: no consent receipt is that large",
        ));
    }
    fault_point!("server.result.received");
    let (device_id, now_ms) = (device.id.to_string(), now_ms());
    let (envelope, consent) = (Vec::from(request.envelope), Vec::from(request.consent));
    let already_stored = ctx
        .store
        .write(move |tx| {
            let order = find(tx, &order_id.to_string())?;
            let target = own_target(tx, &order.id, &device_id)?;
            let consent = (!consent.is_empty()).then_some(consent.as_slice());
            take(tx, &order, &target, (&envelope, consent), now_ms)
        })
        .await?;
    fault_point!("server.result.stored");
    if !already_stored {
        changed(ctx, order_id);
    }
    Ok(v1::SubmitResultResponse { already_stored })
}

/// # Returns
/// Whether it was there already.
fn take(
    tx: &mut Tx,
    order: &Order,
    target: &Target,
    (envelope, consent): (&[u8], Option<&[u8]>),
    now_ms: i64,
) -> Result<bool, Failure> {
    let device = store::device(tx, &target.device_id)?.ok_or_else(|| {
        internal(
            "device",
            &format!("{} has a target and no row", target.device_id),
        )
    })?;
    if device.state == "revoked" {
        return Err(status(
            Code::PermissionDenied,
            "DEVICE_REVOKED",
            "this machine's identity was revoked: nothing it signs counts any more",
            &[("device", &device.id)],
        )
        .into());
    }
    let key = PublicKey::from_slice(&device.public_key)
        .map_err(|error| internal("device key", &error))?;
    let (result, digest) = verify(order, envelope, &key)?;
    let ours = Envelope::from_json(&order.envelope)
        .and_then(|stored| <chasqui_trust::Order as Document>::decode(&stored))
        .is_ok_and(|stored| stored.org == result.org);
    // An order whose stored bytes were altered is refused by its machine, which is believed all the same.
    if !ours && result.outcome != Outcome::Refused {
        return Err(refused(&ResultError::Organisation).into());
    }
    let consent = check_consent(&result, consent, &key, &digest)?;
    let paper =
        Envelope::from_json(envelope).map_err(|error| refused(&ResultError::Format(error)))?;
    let outcome = outcome(result.outcome);
    let stored = OrderResult {
        digest: paper.payload_digest().to_hex(),
        envelope: envelope.to_vec(),
        consent,
        outcome: outcome.as_str().to_owned(),
    };
    if store::result(tx, &order.id, &target.device_id)?
        .is_some_and(|kept| kept.digest == stored.digest)
    {
        return Ok(true);
    }
    let event = event(result.outcome);
    let Some(state) = target.state else {
        return Err(not_released().into());
    };
    let next = target_transition(state, event)?;
    if !store::store_result(tx, (&order.id, &target.device_id), &stored, now_ms)? {
        // Another result of the same outcome: the rules see nothing new in it, but the first is the one that stays.
        return Err(precondition(
            "ORDER_RESULT_CONFLICT",
            "another result of this machine for this order is stored; the first stays: look into the machine's journal",
        )
        .into());
    }
    let refusal = result.refusal.as_ref();
    let code = refusal.map(|note| note.rule.clone()).unwrap_or_default();
    let detail = refusal
        .map(|note| {
            serde_json::to_string(&Text::new(cut(&note.detail.es), cut(&note.detail.en)))
                .unwrap_or_default()
        })
        .unwrap_or_default();
    let happened = Happened {
        kind: "order.result",
        actor: &target.device_id,
        data: facts(&result, outcome, &target.host_name, &stored.digest),
        personal: None,
        at_ms: now_ms,
    };
    if next == state {
        // Contact was lost before the machine itself said "unknown": the state stands, the paper is new.
        super::state::record(
            tx,
            &order.id,
            Some(&target.device_id),
            Some(state.as_str()),
            &happened,
        )?;
    } else {
        move_target(tx, &order.id, target, event, (&code, &detail), &happened)?;
    }
    refresh(tx, &order.id, &target.device_id, now_ms)?;
    Ok(false)
}

/// Verifies a result about this order. A machine that was handed an altered order refuses it under the digest of what it
/// got: such a refusal is believed of the stored bytes too, and of nothing but a refusal.
fn verify(
    order: &Order,
    envelope: &[u8],
    key: &PublicKey,
) -> Result<(ActionResult, Digest), Failure> {
    let digest: Digest = order
        .digest
        .parse()
        .map_err(|error: String| internal("order digest", &error))?;
    match verify_result(envelope, &digest, key) {
        Ok(result) => Ok((result, digest)),
        Err(ResultError::Order) => {
            let stored = Envelope::from_json(&order.envelope).map(|stored| stored.payload_digest());
            if let Ok(stored) = stored
                && let Ok(result) = verify_result(envelope, &stored, key)
                && result.outcome == Outcome::Refused
            {
                tracing::error!(
                    order = order.id,
                    "the stored order is not the one that was registered; a machine refused it"
                );
                return Ok((result, stored));
            }
            Err(refused(&ResultError::Order).into())
        }
        Err(error) => Err(refused(&error).into()),
    }
}

fn check_consent(
    result: &ActionResult,
    consent: Option<&[u8]>,
    key: &PublicKey,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, Failure> {
    let Some(bytes) = consent else {
        // A result that names a receipt may come without it; the evidence then says that it is missing.
        return Ok(None);
    };
    verify_consent(bytes, digest, key).map_err(|error| refused(&error))?;
    let paper = Envelope::from_json(bytes).map_err(|error| refused(&ResultError::Format(error)))?;
    if result.consent_digest != Some(paper.payload_digest()) {
        return Err(status(
            Code::InvalidArgument,
            "CONSENT_MISMATCH",
            "the consent receipt is not the one the result names: send that one",
            &[],
        )
        .into());
    }
    Ok(Some(bytes.to_vec()))
}

fn refused(error: &ResultError) -> Status {
    let code = match error {
        ResultError::Format(_) => Code::InvalidArgument,
        _ => Code::PermissionDenied,
    };
    trust_refusal(code, error.code(), &error.text())
}

fn outcome(outcome: Outcome) -> TargetState {
    match outcome {
        Outcome::Succeeded => TargetState::Succeeded,
        Outcome::Failed => TargetState::Failed,
        Outcome::Partly => TargetState::Partly,
        Outcome::Refused => TargetState::Refused,
        Outcome::Unknown => TargetState::Unknown,
        Outcome::Cancelled => TargetState::Cancelled,
    }
}

fn event(outcome: Outcome) -> TargetEvent {
    match outcome {
        Outcome::Succeeded => TargetEvent::Succeed,
        Outcome::Failed => TargetEvent::Fail,
        Outcome::Partly => TargetEvent::Partly,
        Outcome::Refused => TargetEvent::Refuse,
        Outcome::Unknown => TargetEvent::ReportUnknown,
        Outcome::Cancelled => TargetEvent::ReportCancelled,
    }
}

/// What the record says of a result, bounded.
fn facts(result: &ActionResult, outcome: TargetState, host_name: &str, digest: &str) -> Value {
    let both = |text: &chasqui_trust::Text| json!({"es": cut(&text.es), "en": cut(&text.en)});
    let fact = |fact: &CheckFact| {
        json!({
            "name": fact.name,
            "before": fact.before.as_deref().map(cut),
            "after": fact.after.as_deref().map(cut),
            "unit": fact.unit,
        })
    };
    let check = result.check.as_ref().map(|check| {
        json!({
            "holds": check.holds,
            "facts": check.facts.iter().take(RECORDED_FACTS).map(fact).collect::<Vec<_>>(),
            "explanation": both(&check.explanation),
        })
    });
    let refusal = result
        .refusal
        .as_ref()
        .map(|note| json!({"rule": note.rule, "detail": both(&note.detail)}));
    let undo = result
        .undo
        .as_ref()
        .map(|undo| json!({"cause": undo.cause, "complete": undo.complete}));
    let restarted = result
        .started_boot_id
        .as_ref()
        .is_some_and(|started| *started != result.boot_id);
    json!({
        "undo": undo,
        "restarted": restarted,
        "host_name": host_name,
        "outcome": outcome.as_str(),
        "result": digest,
        "attempt": result.attempt,
        "started_at_ms": result.started_at_ms,
        "finished_at_ms": result.finished_at_ms,
        "check": check,
        "refusal": refusal,
    })
}

fn cut(text: &str) -> String {
    text.chars().take(RECORDED_CHARS).collect()
}
