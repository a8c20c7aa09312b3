//! Devices as people handle them: lists, what people know of a machine, revocation, identities seen twice, and devices that
//! may be one machine.

mod convert;
mod facts;
mod import;
mod matching;
mod merge;

mod list;
mod search;
mod silent;

use chasqui_base::clock;
use chasqui_domain::ids::DeviceId;
use chasqui_domain::role::Role;
use chasqui_domain::search::fold;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::device_service_server::DeviceService;
use chasqui_proto::v1::{
    self, AdministrativeFacts, Device, GetDeviceRequest, GetDeviceResponse, GoodbyeReason,
    ImportAdministrativeFactsRequest, ImportAdministrativeFactsResponse, ListDeviceMatchesRequest,
    ListDeviceMatchesResponse, ListDevicesRequest, ListDevicesResponse, ListQuarantineRequest,
    ListQuarantineResponse, QuarantineDecision, ResolveDeviceMatchRequest,
    ResolveDeviceMatchResponse, ResolveQuarantineRequest, ResolveQuarantineResponse,
    RevokeDeviceRequest, RevokeDeviceResponse, SetAdministrativeFactsRequest,
    SetAdministrativeFactsResponse, SplitDeviceRequest, SplitDeviceResponse,
};
use chasqui_store::Tx;
use chasqui_store::device::{self, State};
use chasqui_store::event::{self, NewEvent};
use serde_json::json;
use tonic::{Code, Request, Response, Status};

use super::{check, page};
use crate::auth;
use crate::context::Context;
use crate::error::{self, Failure, not_found};
use crate::fleet::End;

use convert::{decode_state, encode, encode_quarantine};
pub(crate) use matching::{look_again, look_at_due};

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
        let folded = fold(&request.text);
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
        let (found, continues) = self
            .0
            .store
            .read(move |tx| {
                let found = find(tx, &name)?;
                let continues = merge::continued(tx, &found.id)?;
                Ok::<_, Failure>((found, continues))
            })
            .await?;
        let mut device = encode(&self.0, &found);
        device.continues = continues;
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
                    plate: found.facts.plate.clone(),
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
        facts::set(&self.0, request).await
    }

    async fn import_administrative_facts(
        &self,
        request: Request<ImportAdministrativeFactsRequest>,
    ) -> Result<Response<ImportAdministrativeFactsResponse>, Status> {
        import::import(&self.0, request).await
    }

    async fn list_device_matches(
        &self,
        request: Request<ListDeviceMatchesRequest>,
    ) -> Result<Response<ListDeviceMatchesResponse>, Status> {
        merge::list(&self.0, request.into_inner()).await
    }

    async fn resolve_device_match(
        &self,
        request: Request<ResolveDeviceMatchRequest>,
    ) -> Result<Response<ResolveDeviceMatchResponse>, Status> {
        merge::resolve(&self.0, request).await
    }

    async fn split_device(
        &self,
        request: Request<SplitDeviceRequest>,
    ) -> Result<Response<SplitDeviceResponse>, Status> {
        merge::split(&self.0, request).await
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
                if found.state == State::Retired {
                    return Err(Failure::from(error::precondition(
                        "DEVICE_RETIRED",
                        "this device was retired and its certificate is refused already",
                    )));
                }
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

    async fn search_devices(
        &self,
        request: Request<v1::SearchDevicesRequest>,
    ) -> Result<Response<v1::SearchDevicesResponse>, Status> {
        search::search(&self.0, request).await
    }

    async fn get_search_fields(
        &self,
        _: Request<v1::GetSearchFieldsRequest>,
    ) -> Result<Response<v1::GetSearchFieldsResponse>, Status> {
        Ok(Response::new(search::fields()))
    }

    async fn list_silent_devices(
        &self,
        request: Request<v1::ListSilentDevicesRequest>,
    ) -> Result<Response<v1::ListSilentDevicesResponse>, Status> {
        silent::list(&self.0, request).await
    }

    async fn create_device_list(
        &self,
        request: Request<v1::CreateDeviceListRequest>,
    ) -> Result<Response<v1::CreateDeviceListResponse>, Status> {
        list::create(&self.0, request).await
    }

    async fn list_device_lists(
        &self,
        request: Request<v1::ListDeviceListsRequest>,
    ) -> Result<Response<v1::ListDeviceListsResponse>, Status> {
        list::visible(&self.0, request).await
    }

    async fn get_device_list(
        &self,
        request: Request<v1::GetDeviceListRequest>,
    ) -> Result<Response<v1::GetDeviceListResponse>, Status> {
        list::get(&self.0, request).await
    }

    async fn delete_device_list(
        &self,
        request: Request<v1::DeleteDeviceListRequest>,
    ) -> Result<Response<v1::DeleteDeviceListResponse>, Status> {
        list::delete(&self.0, request).await
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
