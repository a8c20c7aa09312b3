//! The evidence file of one order on one machine: every paper, as signed, to be verified with the root alone. The
//! coordinator vouches for nothing in it; it only chooses which published versions belong together.

use chasqui_domain::ids::{DeviceId, OrderId};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1;
use chasqui_store::order::{self as store, Order, Target};
use chasqui_store::trust_document::{self, TrustDocument};
use chasqui_store::{Tx, event, log};
use chasqui_trust::evidence::LogEvidence;
use chasqui_trust::order::Order as SignedOrder;
use chasqui_trust::result::ActionResult;
use chasqui_trust::{Digest, Document as _, Envelope, Evidence, PublicKey, verify_evidence};
use tonic::{Code, Status};

use super::check;
use super::order::{bundle, find};
use super::trust::{CATALOGUE, PEOPLE, ROOT};
use super::wire::optional_id;
use crate::context::Context;
use crate::error::{Failure, internal, precondition};
use crate::jobs;

/// Most bytes of an exported file, as the API promises.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Versions of people document and catalogue that are tried: 400 pairs at most. Both live for weeks, so a machine
/// cannot have held one much further from the day it judged.
const TRIED: usize = 20;
/// Roots of one file.
const ROOTS: u32 = 64;

/// The call.
///
/// # Errors
/// ORDER_UNKNOWN, ORDER_OTHER_DEVICE, DEVICE_REQUIRED, EVIDENCE_INCOMPLETE.
pub async fn export(
    ctx: &Context,
    request: v1::ExportEvidenceRequest,
) -> Result<v1::ExportEvidenceResponse, Status> {
    let order_id: OrderId = check::id("order_id", &request.order_id)?;
    let device: Option<DeviceId> = optional_id("device_id", &request.device_id)?;
    let log_key = ctx.log_key.public_key();
    // What just happened is to be in the log already. When another coordinator seals at this moment, it will be.
    if let Err(failure) = jobs::seal_now(ctx.clone()).await {
        tracing::debug!(cause = %failure.status(), "the record was not sealed before an export");
    }
    let (bytes, file_name) = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let order = find(tx, &order_id.to_string())?;
            let target = choose(tx, &order, device)?;
            let bytes = build(tx, &order, &target, &log_key)?;
            let name = format!(
                "chasqui-{}-{}.json",
                order.ticket_number,
                file_part(&target.host_name)
            );
            Ok((bytes, name))
        })
        .await?;
    Ok(v1::ExportEvidenceResponse {
        evidence: bytes.into(),
        file_name,
    })
}

fn choose(tx: &mut Tx, order: &Order, device: Option<DeviceId>) -> Result<Target, Failure> {
    match device {
        Some(device) => store::target(tx, &order.id, &device.to_string())?.ok_or_else(|| {
            let message = "the order is not for this machine: choose one of its targets";
            status(
                Code::FailedPrecondition,
                "ORDER_OTHER_DEVICE",
                message,
                &[("order", &order.id)],
            )
            .into()
        }),
        None => {
            let mut targets = store::targets(tx, &order.id, 2)?;
            match (targets.pop(), targets.is_empty()) {
                (Some(only), true) => Ok(only),
                _ => {
                    Err(bad_field("device_id", "is needed: the order has several machines").into())
                }
            }
        }
    }
}

fn build(
    tx: &mut Tx,
    order: &Order,
    target: &Target,
    log_key: &PublicKey,
) -> Result<Vec<u8>, Failure> {
    let roots = envelopes(&trust_document::above(tx, ROOT, 0, ROOTS)?)?;
    let incomplete =
        |what: &str| precondition("EVIDENCE_INCOMPLETE", format!("{what}: publish it first"));
    let first_root = roots
        .first()
        .ok_or_else(|| incomplete("no root is published"))?
        .to_json();
    let stored = store::result(tx, &order.id, &target.device_id)?;
    let device = store::device(tx, &target.device_id)?.ok_or_else(|| {
        internal(
            "device",
            &format!("{} has a target and no row", target.device_id),
        )
    })?;
    let bundle = bundle(tx, order, target).map_err(|why| internal("stored order", &why))?;
    let result = match &stored {
        Some(stored) => Some(envelope(&stored.envelope)?),
        None => None,
    };
    let signed = bundle
        .read_order()
        .map_err(|error| internal("stored order", &error))?;
    let at_ms = judged_at_ms(&signed, result.as_ref())?;
    let people = trust_document::around(tx, PEOPLE, signed.min_people_version, at_ms, TRIED)?;
    let catalogues =
        trust_document::around(tx, CATALOGUE, signed.min_catalogue_version, at_ms, TRIED)?;
    let (people, catalogues) = (envelopes(&people)?, envelopes(&catalogues)?);
    let mut evidence = Evidence {
        roots,
        people: people
            .first()
            .cloned()
            .ok_or_else(|| incomplete("no people document the order accepts is published"))?,
        catalogue: catalogues
            .first()
            .cloned()
            .ok_or_else(|| incomplete("no catalogue the order accepts is published"))?,
        bundle,
        device_key: PublicKey::from_slice(&device.public_key)
            .map_err(|error| internal("device key", &error))?,
        consent: match stored.as_ref().and_then(|stored| stored.consent.as_deref()) {
            Some(bytes) => Some(envelope(bytes)?),
            None => None,
        },
        result,
        log: log_evidence(tx, order, target, log_key)?,
    };
    // The machine judged under the documents of its day: the likeliest pair under which the papers verify is taken. A
    // file that proves nothing is never handed out as evidence.
    let mut likeliest = None;
    for people in &people {
        for catalogue in &catalogues {
            evidence.people = people.clone();
            evidence.catalogue = catalogue.clone();
            let bytes = encode(&evidence)?;
            match verify_evidence(&bytes, &first_root) {
                Ok(_) => return Ok(bytes),
                Err(error) => {
                    likeliest.get_or_insert(error);
                }
            }
        }
    }
    let why = likeliest.map_or_else(String::new, |why| format!(" ({}: {why})", why.code()));
    Err(precondition(
        "EVIDENCE_INCOMPLETE",
        format!(
            "under no published people document and catalogue do the order's papers verify{why}: wait for the \
            approvals and the result that are missing, or publish the documents the machine held"
        ),
    )
    .into())
}

/// About when the machine judged, UTC milliseconds: by its result, else when the order was made.
fn judged_at_ms(order: &SignedOrder, result: Option<&Envelope>) -> Result<i64, Failure> {
    let Some(envelope) = result else {
        return Ok(order.created_at_ms);
    };
    let result =
        ActionResult::decode(envelope).map_err(|error| internal("stored result", &error))?;
    Ok(result.started_at_ms.unwrap_or(result.finished_at_ms))
}

/// The machine's result, or else the order's registration, in the sealed log. Nothing while it is not sealed.
fn log_evidence(
    tx: &mut Tx,
    order: &Order,
    target: &Target,
    log_key: &PublicKey,
) -> Result<Option<LogEvidence>, Failure> {
    let Some(signed) = log::latest(tx)? else {
        return Ok(None);
    };
    let size = signed.checkpoint.size;
    let Some(event) = chosen_event(tx, order, target)?
        .filter(|event| event.leaf_index.is_some_and(|at| at < size))
    else {
        return Ok(None);
    };
    let proof = log::prove(tx, &event, size)?;
    Ok(Some(LogEvidence {
        checkpoint: envelope(&signed.signature.bytes)?,
        log_key: *log_key,
        entry: event::leaf_bytes(&event),
        index: event
            .leaf_index
            .and_then(|at| u64::try_from(at).ok())
            .unwrap_or(0),
        proof: proof.into_iter().map(Digest).collect(),
    }))
}

fn chosen_event(
    tx: &mut Tx,
    order: &Order,
    target: &Target,
) -> Result<Option<event::Event>, Failure> {
    let (mut after, mut chosen) = (0, None);
    loop {
        let page = event::list(tx, "order", &order.id, after, event::MAX_PAGE)?;
        let Some(last) = page.last() else {
            return Ok(chosen);
        };
        after = last.seq;
        for event in page {
            let result =
                event.kind == "order.result" && event.part.as_deref() == Some(&target.device_id);
            if result || (chosen.is_none() && event.kind == "order.requested") {
                chosen = Some(event);
            }
        }
    }
}

fn encode(evidence: &Evidence) -> Result<Vec<u8>, Failure> {
    let bytes = evidence
        .encode()
        .map_err(|error| internal("evidence", &error))?;
    if bytes.len() > MAX_BYTES {
        return Err(status(
            Code::ResourceExhausted,
            "EVIDENCE_TOO_LARGE",
            "the evidence is over 4 MiB",
            &[],
        )
        .into());
    }
    Ok(bytes)
}

fn envelopes(documents: &[TrustDocument]) -> Result<Vec<Envelope>, Failure> {
    documents
        .iter()
        .map(|document| envelope(&document.envelope))
        .collect()
}

fn envelope(bytes: &[u8]) -> Result<Envelope, Failure> {
    Envelope::from_json(bytes).map_err(|error| internal("stored envelope", &error).into())
}

/// A host name as a part of a file name.
fn file_part(name: &str) -> String {
    name.chars()
        .map(|ch| {
            if ch.is_ascii_alphanumeric() || ch == '-' {
                ch
            } else {
                '_'
            }
        })
        .take(64)
        .collect()
}
