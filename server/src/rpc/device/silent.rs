//! Devices that give no sign of life, with who used them last and where. Those that were never seen are told apart: they
//! did not fall silent.

use chasqui_base::clock;
use chasqui_domain::device_search::{Query, parse};
use chasqui_proto::error::bad_field;
use chasqui_proto::v1::{
    ListSilentDevicesRequest, ListSilentDevicesResponse, SilentDevice, VolatileFacts,
};
use chasqui_store::device_search::{self as store, Found};
use chasqui_store::device_term;
use prost::Message;
use tonic::{Request, Response, Status};

use super::search::find;
use super::{encode, page};
use crate::auth;
use crate::context::Context;
use crate::error::{Failure, internal};

/// Days when nobody says.
const DEFAULT_DAYS: u32 = 30;
/// Most days.
const MAX_DAYS: u32 = 3_650;

pub(super) async fn list(
    ctx: &Context,
    request: Request<ListSilentDevicesRequest>,
) -> Result<Response<ListSilentDevicesResponse>, Status> {
    let now_ms = clock::now_ms();
    let person = auth::person(&request)?.id;
    let request = request.into_inner();
    let days = match request.days {
        0 => DEFAULT_DAYS,
        days if days <= MAX_DAYS => days,
        _ => return Err(bad_field("days", format!("at most {MAX_DAYS} are allowed"))),
    };
    // Machines that were revoked or retired are meant to be silent.
    let silent = query(&format!("seen>{days}d (state=active o state=quarantined)"))?;
    let never = query("seen:? (state=active o state=quarantined)")?;
    let filter = format!("{days} {}", request.never_seen);
    let page = page(&request.page, "ListSilentDevices", &filter)?;
    let after = page
        .after_parts::<2>()?
        .map_or_else(Default::default, |[host, id]| {
            (host.to_owned(), id.to_owned())
        });
    let limit = usize::try_from(page.limit()).unwrap_or(usize::MAX);
    let (mut rows, silent_total, never_total) = ctx
        .store
        .read(move |tx| {
            let silent = find(tx, &silent, person, now_ms)?;
            let never = find(tx, &never, person, now_ms)?;
            let wanted = if request.never_seen { &never } else { &silent };
            let mut rows = Vec::new();
            for row in store::page(tx, wanted, (&after.0, &after.1), limit)? {
                let address = device_term::of_device(tx, &row.device.id)?
                    .into_iter()
                    .filter(|(kind, _)| kind == "ip")
                    .map(|(_, term)| term)
                    // IPv4 first, as people look for it; never the one every link has.
                    .filter(|term| !term.starts_with("fe80:"))
                    .min_by_key(|term| term.contains(':'));
                rows.push((row, address.unwrap_or_default()));
            }
            Ok::<_, Failure>((rows, silent.len(), never.len()))
        })
        .await?;
    let info = page.cut(&mut rows, |(row, _)| {
        vec![row.device.host_name.clone(), row.device.id.clone()]
    });
    Ok(Response::new(ListSilentDevicesResponse {
        devices: rows
            .into_iter()
            .map(|(row, address)| shown(ctx, &row, address, now_ms))
            .collect(),
        page: Some(info),
        silent_total: u64::try_from(silent_total).unwrap_or(u64::MAX),
        never_seen_total: u64::try_from(never_total).unwrap_or(u64::MAX),
    }))
}

fn query(text: &str) -> Result<Query, Status> {
    parse(text).map_err(|cause| internal("query of silent devices", &cause))
}

fn shown(ctx: &Context, row: &Found, last_address: String, now_ms: i64) -> SilentDevice {
    let volatile = row
        .volatile
        .as_deref()
        .and_then(|bytes| VolatileFacts::decode(bytes).ok())
        .unwrap_or_default();
    SilentDevice {
        device: Some(encode(ctx, &row.device)),
        silent_ms: row
            .device
            .last_seen_at_ms
            .map(|seen| now_ms.saturating_sub(seen).max(0)),
        // An empty name was left out by the agent's setting.
        last_log_on: volatile.last_log_on.filter(|one| !one.login.is_empty()),
        logged_in: volatile
            .logged_in
            .into_iter()
            .filter(|one| !one.login.is_empty())
            .collect(),
        last_address,
    }
}
