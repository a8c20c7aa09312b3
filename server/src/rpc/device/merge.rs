//! What people decide about devices that may be one machine: merged, kept apart, split again. Each with its event on both
//! devices; nothing of either is deleted.

use chasqui_base::clock::{self, new_id};
use chasqui_base::fault_point;
use chasqui_domain::device_facts::{Facts, Field};
use chasqui_domain::device_match::Machine;
use chasqui_domain::ids::{DeviceId, EventId};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::{
    ContinuedDevice, DeviceMatch, DeviceMatchDecision, DeviceMatchFinding, DeviceMatchRow,
    DeviceMatchSide, DeviceMatchState, DeviceMatchVerdict, GoodbyeReason, ListDeviceMatchesRequest,
    ListDeviceMatchesResponse, ResolveDeviceMatchRequest, ResolveDeviceMatchResponse,
    SplitDeviceRequest, SplitDeviceResponse, Text,
};
use chasqui_store::Tx;
use chasqui_store::device::{self, State};
use chasqui_store::device_match::{self as store, Match, Merge};
use serde::Deserialize;
use serde_json::json;
use tonic::{Code, Request, Response, Status};

use super::convert::encode;
use super::{append, facts, get, matching, shut_out};
use crate::auth;
use crate::context::Context;
use crate::error::{self, Failure, not_found};
use crate::rpc::order::{self, Retired};
use crate::rpc::{check, page};

/// Devices in one line of merges.
const MOST_CONTINUED: usize = 50;

/// Proposals with both devices side by side.
pub async fn list(
    ctx: &Context,
    request: ListDeviceMatchesRequest,
) -> Result<Response<ListDeviceMatchesResponse>, Status> {
    let state = match DeviceMatchState::try_from(request.state) {
        Ok(DeviceMatchState::Unspecified | DeviceMatchState::Open) => store::State::Open,
        Ok(DeviceMatchState::Merged) => store::State::Merged,
        Ok(DeviceMatchState::Apart) => store::State::Apart,
        Ok(DeviceMatchState::Withdrawn) => store::State::Withdrawn,
        Err(_) => {
            return Err(bad_field(
                "state",
                "is a state this coordinator does not know",
            ));
        }
    };
    let one = match request.match_id.as_str() {
        "" => None,
        id => Some(check::id::<EventId>("match_id", id)?.to_string()),
    };
    let filter = format!("{} {}", state.as_str(), request.match_id);
    let page = page(&request.page, "ListDeviceMatches", &filter)?;
    let after = match page.after_parts::<2>()? {
        Some([at, id]) => (at.parse().unwrap_or(0), id.to_owned()),
        None => (i64::MIN, String::new()),
    };
    let limit = page.limit();
    let inner = ctx.clone();
    let (mut rows, mut shown) = ctx
        .store
        .read(move |tx| {
            let rows = match &one {
                Some(id) => vec![store::get(tx, id)?.ok_or_else(|| not_found("match", id))?],
                None => store::list(tx, state, (after.0, &after.1), limit)?,
            };
            let mut shown = Vec::with_capacity(rows.len());
            for row in &rows {
                shown.push(encode_match(&inner, tx, row)?);
            }
            Ok::<_, Failure>((rows, shown))
        })
        .await?;
    let info = page.cut(&mut rows, |row| {
        vec![row.proposed_at_ms.to_string(), row.id.clone()]
    });
    shown.truncate(rows.len());
    Ok(Response::new(ListDeviceMatchesResponse {
        matches: shown,
        page: Some(info),
    }))
}

/// A person's decision.
pub async fn resolve(
    ctx: &Context,
    request: Request<ResolveDeviceMatchRequest>,
) -> Result<Response<ResolveDeviceMatchResponse>, Status> {
    let now_ms = clock::now_ms();
    let actor = auth::person(&request)?.id.to_string();
    let request = request.into_inner();
    let match_id = check::id::<EventId>("match_id", &request.match_id)?.to_string();
    check::text("reason", &request.reason, 3, 1_000)?;
    let decision = request.decision();
    let side = request.keep_facts_of();
    if decision == DeviceMatchDecision::Unspecified {
        return Err(bad_field("decision", "say merge or keep apart"));
    }
    let inner = ctx.clone();
    let (found, shown, retired) = ctx
        .store
        .write(move |tx| {
            let found = store::get(tx, &match_id)?.ok_or_else(|| not_found("match", &match_id))?;
            if found.state != store::State::Open {
                return Err(Failure::from(error::precondition(
                    "DEVICE_MATCH_RESOLVED",
                    "this was decided or withdrawn before: list the matches again",
                )));
            }
            let by = By {
                actor: &actor,
                reason: &request.reason,
                now_ms,
            };
            let retired = if decision == DeviceMatchDecision::Merge {
                merge(&inner, tx, &found, side, &by)?
            } else {
                keep_apart(tx, &found, &by)?;
                Retired::default()
            };
            let found = store::get(tx, &match_id)?.ok_or_else(|| not_found("match", &match_id))?;
            let shown = encode_match(&inner, tx, &found)?;
            Ok((found, shown, retired))
        })
        .await?;
    fault_point!("server.device.merge.written");
    if decision == DeviceMatchDecision::Merge {
        let id: DeviceId = check::id("device_id", &found.other_id)?;
        shut_out(ctx, id, GoodbyeReason::Revoked, auth::revoked(id));
    }
    for order_id in &retired.cancelled {
        if let Ok(order_id) = order_id.parse() {
            order::changed(ctx, order_id);
        }
    }
    Ok(Response::new(ResolveDeviceMatchResponse {
        r#match: Some(shown),
        cancelled_order_ids: retired.cancelled,
        remaining_order_ids: retired.remaining,
    }))
}

/// Who decided, why and when.
struct By<'a> {
    actor: &'a str,
    reason: &'a str,
    now_ms: i64,
}

fn keep_apart(tx: &mut Tx, found: &Match, by: &By<'_>) -> Result<(), Failure> {
    store::resolve(
        tx,
        &found.id,
        store::State::Apart,
        by.actor,
        by.reason,
        by.now_ms,
    )?;
    for (id, other) in [
        (&found.device_id, &found.other_id),
        (&found.other_id, &found.device_id),
    ] {
        let id: DeviceId = check::id("device_id", id)?;
        let data = json!({"match": found.id, "other": other});
        append(
            tx,
            id,
            "device.kept_apart",
            by.actor,
            by.now_ms,
            None,
            data,
            Some(by.reason),
        )?;
    }
    Ok(())
}

fn merge(
    ctx: &Context,
    tx: &mut Tx,
    found: &Match,
    side: DeviceMatchSide,
    by: &By<'_>,
) -> Result<Retired, Failure> {
    let (id, other_id): (DeviceId, DeviceId) = (
        check::id("device_id", &found.device_id)?,
        check::id("device_id", &found.other_id)?,
    );
    let (device, other) = (get(tx, id)?, get(tx, other_id)?);
    if device.state != State::Active || other.state == State::Retired {
        return Err(error::precondition(
            "DEVICE_MATCH_STATE",
            "the device that goes on must be active and the other not yet retired: look at both first",
        )
        .into());
    }
    if ctx.fleet.is_connected(other_id) {
        return Err(status(
            Code::FailedPrecondition,
            "DEVICE_MATCH_ALIVE",
            "the known device is connected now: keep the two apart, or wait until it is silent",
            &[("device", &found.other_id)],
        )
        .into());
    }
    let facts_after = joined(&device.facts, &other.facts, side)?;
    device::set_state(tx, &other.id, State::Retired, by.reason, by.now_ms)?;
    device::resolve_quarantines(tx, &other.id, "merge", by.actor, by.now_ms)?;
    let record = Merge {
        id: new_id().to_string(),
        match_id: found.id.clone(),
        device_id: device.id.clone(),
        retired_id: other.id.clone(),
        state_before: other.state,
        facts_before: device.facts.clone(),
        facts_after: facts_after.clone(),
        at_ms: by.now_ms,
    };
    store::insert_merge(tx, &record)?;
    fault_point!("server.device.merge.retired");
    store::set_due(tx, &other.id, None)?;
    let data = json!({"match": found.id, "into": device.id});
    append(
        tx,
        other_id,
        "device.merged",
        by.actor,
        by.now_ms,
        Some(State::Retired),
        data,
        Some(by.reason),
    )?;
    let data = json!({"match": found.id, "other": other.id});
    append(
        tx,
        id,
        "device.continues",
        by.actor,
        by.now_ms,
        None,
        data,
        Some(by.reason),
    )?;
    facts::write(tx, &device, &facts_after, by.actor, by.now_ms)?;
    store::resolve(
        tx,
        &found.id,
        store::State::Merged,
        by.actor,
        by.reason,
        by.now_ms,
    )?;
    for open in store::open_of(tx, &other.id)? {
        store::update(
            tx,
            &Match {
                state: store::State::Withdrawn,
                ..open.clone()
            },
        )?;
        let about: DeviceId = check::id("device_id", &open.device_id)?;
        let data = json!({"match": open.id, "other": open.other_id});
        append(
            tx,
            about,
            "device.match_withdrawn",
            by.actor,
            by.now_ms,
            None,
            data,
            None,
        )?;
    }
    order::retire(tx, &other.id, by.actor, by.reason, by.now_ms)
}

/// The facts of both, by the side a person chose where they contradict each other.
fn joined(device: &Facts, other: &Facts, side: DeviceMatchSide) -> Result<Facts, Failure> {
    let conflicts = device.conflicts(other);
    match side {
        DeviceMatchSide::Unspecified if !conflicts.is_empty() => {
            let names: Vec<&str> = conflicts.iter().map(|field| field.name()).collect();
            let names = names.join(", ");
            Err(status(
                Code::FailedPrecondition,
                "DEVICE_MATCH_CONFLICT",
                format!("both devices have other facts ({names}): say whose count, A or B"),
                &[
                    ("fields", &names),
                    ("es", &format!("los datos de los dos equipos no coinciden ({names}): diga cuáles valen, los de A o los de B")),
                ],
            )
            .into())
        }
        DeviceMatchSide::Unspecified | DeviceMatchSide::A => Ok(device.or(other)),
        DeviceMatchSide::B => Ok(other.or(device)),
    }
}

/// Undoes a merge.
pub async fn split(
    ctx: &Context,
    request: Request<SplitDeviceRequest>,
) -> Result<Response<SplitDeviceResponse>, Status> {
    let now_ms = clock::now_ms();
    let actor = auth::person(&request)?.id.to_string();
    let SplitDeviceRequest { device_id, reason } = request.into_inner();
    let id: DeviceId = check::id("device_id", &device_id)?;
    check::text("reason", &reason, 3, 1_000)?;
    let (found, kept) = ctx
        .store
        .write(move |tx| {
            let retired = get(tx, id)?;
            let merge = store::merge_of(tx, &retired.id)?
                .filter(|_| retired.state == State::Retired)
                .ok_or_else(|| {
                    error::precondition(
                        "DEVICE_NOT_MERGED",
                        "this device is merged into no other: name the retired one",
                    )
                })?;
            let into: DeviceId = check::id("device_id", &merge.device_id)?;
            let survivor = get(tx, into)?;
            if survivor.state == State::Retired {
                return Err(Failure::from(status(
                    Code::FailedPrecondition,
                    "DEVICE_MERGED_ON",
                    "the device that goes on was merged itself: split that one first",
                    &[("device", &merge.device_id)],
                )));
            }
            let (undone, kept) = survivor.facts.undo(&merge.facts_before, &merge.facts_after);
            facts::write(tx, &survivor, &undone, &actor, now_ms)?;
            fault_point!("server.device.split.undone");
            if !matches!(merge.state_before, State::Revoked) {
                facts::refuse_taken(tx, &retired.facts.plate, &retired.id)?;
            }
            store::split(tx, &merge, now_ms)?;
            device::set_state(tx, &retired.id, merge.state_before, &reason, now_ms)?;
            let data = json!({"match": merge.match_id, "from": merge.device_id});
            append(
                tx,
                id,
                "device.split",
                &actor,
                now_ms,
                Some(merge.state_before),
                data,
                Some(&reason),
            )?;
            let names: Vec<&str> = kept.iter().map(|field| field.name()).collect();
            let data = json!({"match": merge.match_id, "other": retired.id, "kept": names});
            append(
                tx,
                into,
                "device.split",
                &actor,
                now_ms,
                None,
                data,
                Some(&reason),
            )?;
            store::resolve(
                tx,
                &merge.match_id,
                store::State::Apart,
                &actor,
                &reason,
                now_ms,
            )?;
            Ok((get(tx, id)?, kept))
        })
        .await?;
    fault_point!("server.device.split.written");
    ctx.auth.devices.changed(id);
    Ok(Response::new(SplitDeviceResponse {
        device: Some(encode(ctx, &found)),
        kept_fields: kept.iter().map(|field| field.name().to_owned()).collect(),
    }))
}

/// Every device that this one goes on with, newest merge first.
pub fn continued(tx: &mut Tx, device_id: &str) -> Result<Vec<ContinuedDevice>, Failure> {
    let limit = u32::try_from(MOST_CONTINUED).unwrap_or(u32::MAX);
    let mut found: Vec<ContinuedDevice> = Vec::new();
    let mut next = vec![device_id.to_owned()];
    while let Some(id) = next.pop() {
        for (id, host_name, merged_at_ms) in store::continued(tx, &id, limit)? {
            if found.len() >= MOST_CONTINUED || found.iter().any(|one| one.id == id) {
                continue;
            }
            next.push(id.clone());
            found.push(ContinuedDevice {
                id,
                host_name,
                merged_at_ms,
            });
        }
    }
    found.sort_by(|one, two| (two.merged_at_ms, &two.id).cmp(&(one.merged_at_ms, &one.id)));
    Ok(found)
}

#[derive(Deserialize)]
struct StoredFinding {
    code: String,
    weight: i32,
    es: String,
    en: String,
}

fn encode_match(ctx: &Context, tx: &mut Tx, found: &Match) -> Result<DeviceMatch, Failure> {
    let (a, b) = (
        get(tx, check::id("device_id", &found.device_id)?)?,
        get(tx, check::id("device_id", &found.other_id)?)?,
    );
    let rows = rows(
        (&a.facts, &matching::machine(ctx, tx, &a)?),
        (&b.facts, &matching::machine(ctx, tx, &b)?),
    );
    let findings: Vec<StoredFinding> = serde_json::from_str(&found.findings)
        .map_err(|cause| error::internal("stored findings", &cause))?;
    let verdict = if found.certain {
        DeviceMatchVerdict::Same
    } else {
        DeviceMatchVerdict::Ambiguous
    };
    let state = match found.state {
        store::State::Open => DeviceMatchState::Open,
        store::State::Merged => DeviceMatchState::Merged,
        store::State::Apart => DeviceMatchState::Apart,
        store::State::Withdrawn => DeviceMatchState::Withdrawn,
    };
    Ok(DeviceMatch {
        id: found.id.clone(),
        verdict: verdict.into(),
        state: state.into(),
        kind: found.kind.clone(),
        a: Some(encode(ctx, &a)),
        b: Some(encode(ctx, &b)),
        findings: findings
            .into_iter()
            .map(|finding| DeviceMatchFinding {
                code: finding.code,
                weight: finding.weight,
                text: Some(Text {
                    es: finding.es,
                    en: finding.en,
                }),
            })
            .collect(),
        rows,
        proposed_at_ms: found.proposed_at_ms,
        resolved_at_ms: found.resolved_at_ms.unwrap_or(0),
        resolved_by: found.resolved_by.clone().unwrap_or_default(),
        reason: found.reason.clone(),
    })
}

/// Both side by side: what identifies, then what people typed.
fn rows(a: (&Facts, &Machine), b: (&Facts, &Machine)) -> Vec<DeviceMatchRow> {
    let list = |texts: Vec<String>| texts.join(", ");
    let macs = |machine: &Machine| {
        list(
            machine
                .addresses
                .iter()
                .map(|one| one.mac.clone())
                .collect(),
        )
    };
    let maybe = |text: &Option<String>| text.clone().unwrap_or_default();
    let kind = |machine: &Machine| match machine.is_virtual {
        Some(true) => "virtual",
        Some(false) => "physical",
        None => "",
    };
    let (one, two) = (a.1, b.1);
    let mut rows: Vec<DeviceMatchRow> = [
        ("host_name", one.host_name.clone(), two.host_name.clone()),
        ("model", maybe(&one.model), maybe(&two.model)),
        ("machine_kind", kind(one).to_owned(), kind(two).to_owned()),
        (
            "smbios_uuid",
            maybe(&one.smbios_uuid),
            maybe(&two.smbios_uuid),
        ),
        (
            "system_serial",
            maybe(&one.system_serial),
            maybe(&two.system_serial),
        ),
        (
            "board_serial",
            maybe(&one.board_serial),
            maybe(&two.board_serial),
        ),
        (
            "chassis_serial",
            maybe(&one.chassis_serial),
            maybe(&two.chassis_serial),
        ),
        (
            "disk_serials",
            list(one.disk_serials.clone()),
            list(two.disk_serials.clone()),
        ),
        ("macs", macs(one), macs(two)),
        ("machine_id", maybe(&one.machine_id), maybe(&two.machine_id)),
    ]
    .into_iter()
    .map(|(name, a, b)| DeviceMatchRow {
        name: name.to_owned(),
        a,
        b,
        conflict: false,
    })
    .collect();
    let conflicts = a.0.conflicts(b.0);
    for field in Field::ALL {
        let (one, two) = (a.0.text(*field), b.0.text(*field));
        if one.is_empty() && two.is_empty() {
            continue;
        }
        rows.push(DeviceMatchRow {
            name: field.name().to_owned(),
            a: one,
            b: two,
            conflict: conflicts.contains(field),
        });
    }
    rows
}
