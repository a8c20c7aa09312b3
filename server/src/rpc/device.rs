//! Devices as people handle them: lists, what people know of a machine, revocation, and identities seen twice.

use chasqui_base::clock;
use chasqui_domain::ids::DeviceId;
use chasqui_domain::role::Role;
use chasqui_domain::search;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::device_service_server::DeviceService;
use chasqui_proto::v1::{
    AdministrativeFacts, Device, DeviceState, GetDeviceRequest, GetDeviceResponse, GoodbyeReason,
    ListDevicesRequest, ListDevicesResponse, ListQuarantineRequest, ListQuarantineResponse,
    Quarantine, QuarantineDecision, ResolveQuarantineRequest, ResolveQuarantineResponse,
    RevokeDeviceRequest, RevokeDeviceResponse, SetAdministrativeFactsRequest,
    SetAdministrativeFactsResponse,
};
use chasqui_store::Tx;
use chasqui_store::device::{self, Facts, State};
use chasqui_store::event::{self, NewEvent};
use serde_json::json;
use tonic::{Code, Request, Response, Status};

use super::{check, page};
use crate::auth;
use crate::context::Context;
use crate::error::{self, Failure, not_found};
use crate::fleet::End;

/// Devices.
pub struct Service(pub Context);

/// Candidates named when a name fits several devices.
const CANDIDATES: u32 = 10;

#[tonic::async_trait]
impl DeviceService for Service {
    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        let request = request.into_inner();
        check::line("text", &request.text, 0, 200)?;
        let state = decode_state(request.state)?;
        let filter = format!("{} {:?}", request.state, request.text);
        let page = page(&request.page, "ListDevices", &filter)?;
        let after = page
            .after_parts::<2>()?
            .map(|[host, id]| (host.to_owned(), id.to_owned()));
        let folded = search::fold(&request.text);
        let limit = page.limit();
        let mut rows = self
            .0
            .store
            .read(move |tx| {
                let after = after
                    .as_ref()
                    .map(|(host, id)| (host.as_str(), id.as_str()));
                Ok::<_, Failure>(device::list(tx, after, &folded, state, limit)?)
            })
            .await?;
        let info = page.cut(&mut rows, |row| vec![row.host_name.clone(), row.id.clone()]);
        Ok(Response::new(ListDevicesResponse {
            devices: rows.iter().map(|row| encode(&self.0, row)).collect(),
            page: Some(info),
        }))
    }

    async fn get_device(
        &self,
        request: Request<GetDeviceRequest>,
    ) -> Result<Response<GetDeviceResponse>, Status> {
        let caller = auth::person(&request)?;
        let name = request.into_inner().device;
        check::line("device", &name, 1, 253)?;
        let found = self.0.store.read(move |tx| find(tx, &name)).await?;
        let mut device = encode(&self.0, &found);
        let staff = [
            Role::Technician,
            Role::Lead,
            Role::Coordinator,
            Role::Administrator,
            Role::Auditor,
        ];
        if !caller.roles.has_any(&staff) {
            device = Device {
                id: device.id,
                host_name: device.host_name,
                state: device.state,
                model: device.model,
                administrative: Some(AdministrativeFacts {
                    plate: found.facts.plate,
                    ..AdministrativeFacts::default()
                }),
                ..Device::default()
            };
        }
        Ok(Response::new(GetDeviceResponse {
            device: Some(device),
        }))
    }

    async fn set_administrative_facts(
        &self,
        request: Request<SetAdministrativeFactsRequest>,
    ) -> Result<Response<SetAdministrativeFactsResponse>, Status> {
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let request = request.into_inner();
        let id: DeviceId = check::id("device_id", &request.device_id)?;
        let facts = decode_facts(request.facts.unwrap_or_default(), now_ms)?;
        let found = self
            .0
            .store
            .write(move |tx| {
                let mut found = get(tx, id)?;
                if found.facts != facts {
                    device::set_facts(tx, &found, &facts, now_ms)?;
                    append(
                        tx,
                        id,
                        "device.facts_set",
                        &actor,
                        now_ms,
                        None,
                        changed_facts(&found.facts, &facts),
                        None,
                    )?;
                    found.facts = facts.clone();
                }
                Ok::<_, Failure>(found)
            })
            .await?;
        Ok(Response::new(SetAdministrativeFactsResponse {
            device: Some(encode(&self.0, &found)),
        }))
    }

    async fn revoke_device(
        &self,
        request: Request<RevokeDeviceRequest>,
    ) -> Result<Response<RevokeDeviceResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let RevokeDeviceRequest { device_id, reason } = request.into_inner();
        let id: DeviceId = check::id("device_id", &device_id)?;
        check::text("reason", &reason, 3, 1_000)?;
        let found = ctx
            .store
            .write(move |tx| {
                let mut found = get(tx, id)?;
                if found.state != State::Revoked {
                    set_state(
                        tx,
                        id,
                        State::Revoked,
                        "device.revoked",
                        &actor,
                        now_ms,
                        &reason,
                    )?;
                    device::resolve_quarantines(tx, &device_id, "revoke", &actor, now_ms)?;
                    found.state = State::Revoked;
                }
                Ok::<_, Failure>(found)
            })
            .await?;
        shut_out(ctx, id, GoodbyeReason::Revoked, auth::revoked(id));
        Ok(Response::new(RevokeDeviceResponse {
            device: Some(encode(ctx, &found)),
        }))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        let page = page(&request.into_inner().page, "ListQuarantine", "")?;
        let after = match page.after_parts::<2>()? {
            Some([at, id]) => (at.parse().unwrap_or(0), id.to_owned()),
            None => (i64::MIN, String::new()),
        };
        let limit = page.limit();
        let mut rows = self
            .0
            .store
            .read(move |tx| {
                Ok::<_, Failure>(device::open_quarantines(tx, (after.0, &after.1), limit)?)
            })
            .await?;
        let info = page.cut(&mut rows, |row| {
            vec![row.seen_at_ms.to_string(), row.id.clone()]
        });
        Ok(Response::new(ListQuarantineResponse {
            items: rows.into_iter().map(encode_quarantine).collect(),
            page: Some(info),
        }))
    }

    async fn resolve_quarantine(
        &self,
        request: Request<ResolveQuarantineRequest>,
    ) -> Result<Response<ResolveQuarantineResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let request = request.into_inner();
        let quarantine_id =
            check::id::<chasqui_domain::ids::EventId>("quarantine_id", &request.quarantine_id)?;
        check::text("reason", &request.reason, 3, 1_000)?;
        let (state, kind, resolution) = match request.decision() {
            QuarantineDecision::Release => (State::Active, "device.released", "release"),
            QuarantineDecision::Revoke => (State::Revoked, "device.revoked", "revoke"),
            QuarantineDecision::Unspecified => {
                return Err(bad_field("decision", "say release or revoke"));
            }
        };
        let found = ctx
            .store
            .write(move |tx| {
                let id = quarantine_id.to_string();
                let sighting =
                    device::quarantine(tx, &id)?.ok_or_else(|| not_found("quarantine", &id))?;
                let device_id: DeviceId = check::id("device_id", &sighting.device_id)?;
                let mut found = get(tx, device_id)?;
                if sighting.resolved || found.state != State::Quarantined {
                    return Err(Failure::from(error::precondition(
                        "QUARANTINE_RESOLVED",
                        "this was decided before: list the quarantine again",
                    )));
                }
                device::resolve_quarantines(tx, &sighting.device_id, resolution, &actor, now_ms)?;
                set_state(tx, device_id, state, kind, &actor, now_ms, &request.reason)?;
                found.state = state;
                Ok((device_id, found))
            })
            .await?;
        let (id, found) = found;
        if found.state == State::Revoked {
            shut_out(ctx, id, GoodbyeReason::Revoked, auth::revoked(id));
        } else {
            ctx.auth.devices.changed(id);
        }
        Ok(Response::new(ResolveQuarantineResponse {
            device: Some(encode(ctx, &found)),
        }))
    }
}

/// A device's row.
pub(crate) fn get(tx: &mut Tx, id: DeviceId) -> Result<device::Device, Failure> {
    let id = id.to_string();
    device::get(tx, &id)?.ok_or_else(|| not_found("device", &id).into())
}

/// Changes a device's state with its event. After the commit, [`shut_out`] or `auth.devices.changed` must follow.
pub(crate) fn set_state(
    tx: &mut Tx,
    id: DeviceId,
    state: State,
    kind: &str,
    actor: &str,
    now_ms: i64,
    reason: &str,
) -> Result<(), Failure> {
    device::set_state(tx, &id.to_string(), state, reason, now_ms)?;
    append(
        tx,
        id,
        kind,
        actor,
        now_ms,
        Some(state),
        json!({}),
        Some(reason),
    )
}

/// Makes a changed standing count at once: forgets what was remembered and ends the stream before anything that waits in
/// it.
pub(crate) fn shut_out(ctx: &Context, id: DeviceId, reason: GoodbyeReason, status: Status) {
    ctx.auth.devices.changed(id);
    ctx.fleet.end(
        id,
        End {
            reason,
            retry_after_ms: i64::from(ctx.config.devices.reconnect_cap_seconds) * clock::SECOND_MS,
            status: Some(status),
        },
    );
}

/// By id, host name or plate.
fn find(tx: &mut Tx, name: &str) -> Result<device::Device, Failure> {
    if name.parse::<DeviceId>().is_ok()
        && let Some(found) = device::get(tx, name)?
    {
        return Ok(found);
    }
    let mut found = device::by_name(tx, name, CANDIDATES)?;
    if found.len() > 1 {
        // Two rows of one machine that enrolled anew: the revoked one is not meant.
        let active: Vec<_> = found
            .iter()
            .filter(|device| device.state == State::Active)
            .cloned()
            .collect();
        if active.len() == 1 {
            found = active;
        }
    }
    if found.len() > 1 {
        let candidates: Vec<_> = found
            .iter()
            .map(|device| format!("{} ({})", device.id, device.host_name))
            .collect();
        let candidates = candidates.join(", ");
        return Err(status(
            Code::FailedPrecondition,
            "DEVICE_AMBIGUOUS",
            format!("this name fits several devices, use the id: {candidates}"),
            &[("candidates", &candidates)],
        )
        .into());
    }
    found.pop().ok_or_else(|| not_found("device", name).into())
}

#[allow(clippy::too_many_arguments)] // one event with everything that varies
fn append(
    tx: &mut Tx,
    id: DeviceId,
    kind: &str,
    actor: &str,
    now_ms: i64,
    state: Option<State>,
    data: serde_json::Value,
    personal: Option<&str>,
) -> Result<(), Failure> {
    event::append(
        tx,
        NewEvent {
            subject_kind: "device",
            subject_id: &id.to_string(),
            part: None,
            kind,
            actor,
            at_ms: now_ms,
            state: state.map(State::as_str),
            data,
            personal,
        },
    )?;
    Ok(())
}

/// Which facts changed. The officer's name is personal: that it changed is recorded, not to what.
fn changed_facts(old: &Facts, new: &Facts) -> serde_json::Value {
    let mut data = serde_json::Map::new();
    if old.plate != new.plate {
        data.insert("plate".into(), json!(new.plate));
    }
    if old.purchase_date != new.purchase_date {
        data.insert("purchase_date".into(), json!(new.purchase_date));
    }
    if old.dependency != new.dependency {
        data.insert("dependency".into(), json!(new.dependency));
    }
    if old.responsible != new.responsible {
        data.insert("responsible_changed".into(), json!(true));
    }
    data.into()
}

fn decode_facts(facts: AdministrativeFacts, now_ms: i64) -> Result<Facts, Status> {
    for (field, value) in [
        ("facts.plate", &facts.plate),
        ("facts.dependency", &facts.dependency),
        ("facts.responsible", &facts.responsible),
    ] {
        check::line(field, value, 0, 200)?;
    }
    let purchase_date = match facts.purchase_date.as_str() {
        "" => None,
        text => Some(check_purchase_date(text, now_ms)?),
    };
    Ok(Facts {
        plate: facts.plate.trim().to_owned(),
        purchase_date,
        dependency: facts.dependency.trim().to_owned(),
        responsible: facts.responsible.trim().to_owned(),
    })
}

/// A calendar day between 1980 and tomorrow (of any time zone).
fn check_purchase_date(text: &str, now_ms: i64) -> Result<String, Status> {
    let wrong = |problem: &str| bad_field("facts.purchase_date", problem.to_owned());
    let date: jiff::civil::Date = text
        .parse()
        .ok()
        .filter(|_| text.len() == 10)
        .ok_or_else(|| wrong("is no calendar day: write YYYY-MM-DD"))?;
    let tomorrow = jiff::Timestamp::from_millisecond(now_ms.saturating_add(clock::DAY_MS))
        .map(|moment| jiff::tz::TimeZone::UTC.to_datetime(moment).date())
        .map_err(|cause| error::internal("clock", &cause))?;
    if date.year() < 1980 || date > tomorrow {
        return Err(wrong("must lie between 1980 and today"));
    }
    Ok(date.to_string())
}

fn encode(ctx: &Context, device: &device::Device) -> Device {
    let id: Option<DeviceId> = device.id.parse().ok();
    let connected = id.is_some_and(|id| ctx.fleet.is_connected(id));
    let heard_at_ms = id.and_then(|id| ctx.fleet.last_seen_ms(id));
    let model = match (device.manufacturer.as_str(), device.model.as_str()) {
        ("", model) => model.to_owned(),
        (maker, model) if model.starts_with(maker) => model.to_owned(),
        (maker, model) => format!("{maker} {model}").trim().to_owned(),
    };
    Device {
        id: device.id.clone(),
        // What a third party's agent reports has no key: its column holds no fingerprint.
        fingerprint: if device.public_key.is_empty() {
            bytes::Bytes::new()
        } else {
            hex::decode(&device.fingerprint).unwrap_or_default().into()
        },
        host_name: device.host_name.clone(),
        state: encode_state(device.state).into(),
        connected,
        last_seen_at_ms: device.last_seen_at_ms.max(heard_at_ms).unwrap_or(0),
        enrolled_at_ms: device.enrolled_at_ms,
        agent_version: device.agent_version.clone(),
        clock_offset_ms: device.clock_offset_ms,
        administrative: Some(AdministrativeFacts {
            plate: device.facts.plate.clone(),
            purchase_date: device.facts.purchase_date.clone().unwrap_or_default(),
            dependency: device.facts.dependency.clone(),
            responsible: device.facts.responsible.clone(),
        }),
        model,
        operating_system: device.platform.clone(),
        public_key: device.public_key.clone().into(),
        origin: device.origin.clone(),
    }
}

fn encode_state(state: State) -> DeviceState {
    match state {
        State::Active => DeviceState::Active,
        State::Quarantined => DeviceState::Quarantined,
        State::Revoked | State::Retired => DeviceState::Revoked,
    }
}

fn decode_state(state: i32) -> Result<Option<State>, Status> {
    match DeviceState::try_from(state) {
        Ok(DeviceState::Unspecified) => Ok(None),
        Ok(DeviceState::Active) => Ok(Some(State::Active)),
        Ok(DeviceState::Revoked) => Ok(Some(State::Revoked)),
        Ok(DeviceState::Quarantined) => Ok(Some(State::Quarantined)),
        Err(_) => Err(bad_field(
            "state",
            "is a state this coordinator does not know",
        )),
    }
}

fn encode_quarantine(sighting: device::Quarantine) -> Quarantine {
    Quarantine {
        id: sighting.id,
        device_id: sighting.device_id,
        host_name: sighting.host_name,
        seen_at_ms: sighting.seen_at_ms,
        first_boot_id: sighting.known.boot_id,
        second_boot_id: sighting.other.boot_id,
        first_host_name: sighting.known.host_name,
        second_host_name: sighting.other.host_name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purchase_date_is_a_day_that_was() {
        let now_ms = 1_800_000_000_000; // 2027-01-15
        assert_eq!(
            check_purchase_date("2021-02-28", now_ms).unwrap(),
            "2021-02-28"
        );
        for bad in [
            "2021-02-29",
            "2021-2-28",
            "28/02/2021",
            "1979-12-31",
            "2027-02-01",
            "2021-02-28T00:00",
            "x",
        ] {
            assert!(check_purchase_date(bad, now_ms).is_err(), "{bad}");
        }
    }
}
