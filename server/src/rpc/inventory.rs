//! Inventory: sections of stable facts, stored once by digest however many machines show them. The agent offers digests;
//! it is asked only for content nobody has reported yet. What changes by the minute travels apart and has no history.

mod alarms;
mod columns;
mod history;
pub(crate) mod search_row;
mod software;
mod terms;

use std::collections::BTreeMap;

use chasqui_base::clock::now_ms;
use chasqui_base::fault_point;
use chasqui_domain::ids::DeviceId;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::facts::{self, kind_name, kind_of_name};
use chasqui_proto::v1::{self, SectionKind, section_facts::Facts};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::request::idempotent;
use chasqui_store::software::List;
use chasqui_store::{Tx, inventory as store};
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use tonic::{Code, Request, Response, Status};

use super::check;
use crate::auth;
use crate::context::Context;
use crate::error::{self, Failure, not_found};

/// Most sections of one call.
const MAX_SECTIONS: usize = 64;
/// Most bytes of the facts of one section.
const MAX_FACTS_BYTES: usize = 8 * 1024 * 1024;
/// Most bytes of all facts of one call.
const MAX_CALL_BYTES: usize = 16 * 1024 * 1024;
/// Most bytes of what changes by the minute.
const MAX_VOLATILE_BYTES: usize = 64 * 1024;
/// Most entries of provenance, and of what could not be read.
const MAX_GROUPS: usize = 500;
/// Most programs of the software section.
const MAX_SOFTWARE: usize = 20_000;

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

/// A kind this coordinator knows.
fn known(kind: i32) -> Option<SectionKind> {
    SectionKind::try_from(kind)
        .ok()
        .filter(|kind| facts::KINDS.contains(kind))
}

/// Takes note of what a device shows now, and says which sections it has to send: those whose facts nobody has
/// reported. Facts known from another machine are linked without asking.
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub async fn offer(
    ctx: &Context,
    device: &auth::Device,
    request: v1::OfferInventoryRequest,
) -> Result<v1::OfferInventoryResponse, Status> {
    if request.sections.len() > MAX_SECTIONS {
        return Err(bad_field(
            "sections",
            format!("at most {MAX_SECTIONS} are allowed"),
        ));
    }
    let now_ms = now_ms();
    let mut offered = BTreeMap::new();
    for section in &request.sections {
        // A newer agent may have sections this coordinator does not know: it is not asked for them.
        let Some(name) = known(section.kind).map(kind_name) else {
            continue;
        };
        if section.digest.len() != 32 {
            return Err(bad_field(
                "sections.digest",
                format!("of {name} is no SHA-256 digest"),
            ));
        }
        let seen = (
            hex::encode(&section.digest),
            section.observed_at_ms.clamp(0, now_ms),
        );
        if offered.insert(name, seen).is_some() {
            return Err(bad_field("sections", format!("{name} is offered twice")));
        }
    }
    let volatile = request.volatile.map(|volatile| volatile.encode_to_vec());
    if volatile
        .as_ref()
        .is_some_and(|bytes| bytes.len() > MAX_VOLATILE_BYTES)
    {
        return Err(bad_field("volatile", "is over 64 KiB"));
    }
    let device_id = device.id.to_string();
    let wanted = ctx
        .store
        .write_snapshot(move |tx| -> Result<_, Failure> {
            let current: BTreeMap<String, String> =
                store::current(tx, &device_id)?.into_iter().collect();
            let (mut wanted, mut changed) = (Vec::new(), Vec::new());
            for (kind, (digest, observed_at_ms)) in &offered {
                if current.get(*kind) == Some(digest) {
                    store::seen_again(tx, &device_id, kind, *observed_at_ms)?;
                } else if store::is_known(tx, kind, digest)? {
                    let provenance = store::known_provenance(tx, (&device_id, kind), digest)?;
                    store::show(
                        tx,
                        (&device_id, kind),
                        digest,
                        &provenance,
                        (*observed_at_ms, now_ms),
                    )?;
                    changed.push((*kind, digest.clone()));
                } else {
                    wanted.push(i32::from(kind_of_name(kind).unwrap_or_default()));
                }
            }
            record(
                tx,
                (&device_id, &device_id),
                &changed,
                &[],
                &current,
                now_ms,
            )?;
            if let Some(volatile) = &volatile {
                store::set_volatile(tx, &device_id, volatile, now_ms)?;
            }
            // A long list need not come whole from a machine that still has the one held here.
            let software = i32::from(SectionKind::Software);
            let base = current
                .get(kind_name(SectionKind::Software))
                .filter(|_| wanted.contains(&software))
                .and_then(|digest| hex::decode(digest).ok());
            let bases = base
                .map(|digest| v1::SectionBase {
                    kind: software,
                    digest: digest.into(),
                })
                .into_iter()
                .collect();
            Ok(v1::OfferInventoryResponse { wanted, bases })
        })
        .await?;
    fault_point!("server.inventory.offered");
    Ok(wanted)
}

/// A section that was checked.
pub(crate) struct Checked {
    kind: &'static str,
    digest: String,
    facts: Vec<u8>,
    /// The facts taken apart, where they are a list of programs.
    list: Option<List>,
    /// Digest of the list that this one came as a difference to.
    base: Option<String>,
    provenance: Vec<u8>,
    observed_at_ms: i64,
}

/// Stores the sections a device sends.
///
/// # Errors
/// SECTION_DIGEST_MISMATCH and SECTION_MALFORMED naming the section; INVALID_ARGUMENT for bounds. Nothing is stored then.
pub async fn report(
    ctx: &Context,
    device: &auth::Device,
    request: v1::ReportInventoryRequest,
) -> Result<v1::ReportInventoryResponse, Status> {
    let now_ms = now_ms();
    let device_id = device.id.to_string();
    let key = check::request_key(
        &device_id,
        "LinkService/ReportInventory",
        &request,
        |request| &mut request.request_id,
        now_ms,
    )?;
    let differences = request.differences;
    let checked = check_sections(request.sections, differences.len(), now_ms).await?;
    // What a difference gives is worked out before the write, which others wait for. A list is what its digest says; that
    // it is still the one shown is asked again in the write. A refusal is kept: the same report may have been taken before.
    let sections = match differences.is_empty() {
        true => Ok(checked),
        false => with_differences(ctx, &device_id, checked, differences, now_ms).await,
    };
    ctx.store
        .write_snapshot(move |tx| {
            idempotent(tx, &key, |tx| {
                let sections = sections.as_ref().map_err(Clone::clone)?;
                store_sections(tx, (&device_id, &device_id), sections, &[], now_ms)?;
                Ok::<_, Failure>(v1::ReportInventoryResponse {}.encode_to_vec())
            })
        })
        .await?;
    fault_point!("server.inventory.stored");
    Ok(v1::ReportInventoryResponse {})
}

/// Adds to checked sections those that differences to what the device shows give.
async fn with_differences(
    ctx: &Context,
    device_id: &str,
    mut checked: Vec<Checked>,
    differences: Vec<v1::SectionDifference>,
    now_ms: i64,
) -> Result<Vec<Checked>, Failure> {
    let device_id = device_id.to_owned();
    let applied = ctx
        .store
        .read(move |tx| {
            (differences.iter())
                .map(|difference| {
                    let base = hex::encode(&difference.base_digest);
                    Ok((base, software::apply(tx, &device_id, difference.clone())?))
                })
                .collect::<Result<Vec<_>, Failure>>()
        })
        .await?;
    for (base, section) in applied {
        let checking = move || check_section(section, now_ms);
        let mut section = off_the_async_threads(checking).await?;
        section.base = Some(base);
        if checked.iter().any(|other| other.kind == section.kind) {
            let problem = format!("{} is sent twice", section.kind);
            return Err(bad_field("differences", problem).into());
        }
        checked.push(section);
    }
    Ok(checked)
}

/// Checks sections whoever sends them, each of another kind; `besides` more come in another form.
///
/// # Errors
/// As [`report`].
pub(crate) async fn check_sections(
    sections: Vec<v1::Section>,
    besides: usize,
    now_ms: i64,
) -> Result<Vec<Checked>, Status> {
    if sections.len().saturating_add(besides) > MAX_SECTIONS {
        return Err(bad_field(
            "sections",
            format!("at most {MAX_SECTIONS} are allowed"),
        ));
    }
    let total: usize = sections.iter().map(|section| section.facts.len()).sum();
    if total > MAX_CALL_BYTES {
        return Err(bad_field(
            "sections",
            "are over 16 MiB together: send them in several calls",
        ));
    }
    let check_all = move || {
        let mut checked: Vec<Checked> = Vec::with_capacity(sections.len());
        for section in sections {
            let section = check_section(section, now_ms)?;
            if checked.iter().any(|other| other.kind == section.kind) {
                return Err(bad_field(
                    "sections",
                    format!("{} is sent twice", section.kind),
                ));
            }
            checked.push(section);
        }
        Ok(checked)
    };
    off_the_async_threads(check_all).await
}

/// Digests of megabytes and thousands of programs take milliseconds that other calls need not wait for.
async fn off_the_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|cause| error::internal("inventory", &cause))?
}

/// Stores what a device shows from now on, as `actor` reported it, and that it shows nothing more of the kinds `gone`.
pub(crate) fn store_sections<'a>(
    tx: &mut Tx,
    (device_id, actor): (&str, &str),
    sections: impl IntoIterator<Item = &'a Checked>,
    gone: &[&'static str],
    now_ms: i64,
) -> Result<(), Failure> {
    let current: BTreeMap<String, String> = store::current(tx, device_id)?.into_iter().collect();
    let mut changed = Vec::new();
    for section in sections {
        let at = (device_id, section.kind);
        if current.get(section.kind) == Some(&section.digest) {
            // The machine is as it was; only how it was seen may be new.
            store::seen_again(tx, device_id, section.kind, section.observed_at_ms)?;
            store::set_provenance(tx, device_id, section.kind, &section.provenance)?;
            continue;
        }
        // Another report may have come between: the later list stays.
        if section.base.is_some() && section.base.as_ref() != current.get(section.kind) {
            return Err(software::base_unknown());
        }
        software::insert_content(
            tx,
            (section.kind, &section.digest),
            (&section.facts, section.list.as_ref()),
            current.get(section.kind).map(String::as_str),
            now_ms,
        )?;
        let times = (section.observed_at_ms, now_ms);
        store::show(tx, at, &section.digest, &section.provenance, times)?;
        changed.push((section.kind, section.digest.clone()));
    }
    let mut left = Vec::new();
    for kind in gone {
        if current.contains_key(*kind) {
            store::gone(tx, device_id, kind, now_ms)?;
            left.push(*kind);
        }
    }
    record(tx, (device_id, actor), &changed, &left, &current, now_ms)
}

/// Appends what changed, and brings the columns that lists show up to date.
fn record(
    tx: &mut Tx,
    (device_id, actor): (&str, &str),
    changed: &[(&'static str, String)],
    gone: &[&'static str],
    before: &BTreeMap<String, String>,
    now_ms: i64,
) -> Result<(), Failure> {
    if changed.is_empty() && gone.is_empty() {
        return Ok(());
    }
    store::hold(tx, device_id)?;
    let sections: Vec<_> = changed
        .iter()
        .map(|(kind, digest)| json!({"kind": kind, "digest": digest}))
        .collect();
    let mut data = json!({ "sections": sections });
    if let (Some(data), false) = (data.as_object_mut(), gone.is_empty()) {
        data.insert("gone".to_owned(), json!(gone));
    }
    event::append(
        tx,
        NewEvent {
            subject_kind: "device",
            subject_id: device_id,
            part: None,
            kind: "device.inventory_changed",
            actor,
            at_ms: now_ms,
            state: None,
            data,
            personal: None,
        },
    )?;
    for (kind, digest) in changed {
        let Some(section) = kind_of_name(kind).filter(|kind| terms::has_terms(*kind)) else {
            continue;
        };
        let content = store::content(tx, kind, digest)?;
        let facts = content.and_then(|bytes| v1::SectionFacts::decode(bytes.as_slice()).ok());
        let facts = facts.and_then(|facts| facts.facts);
        terms::refresh(tx, device_id, section, facts.as_ref())?;
    }
    for kind in gone {
        if let Some(section) = kind_of_name(kind).filter(|kind| terms::has_terms(*kind)) {
            terms::refresh(tx, device_id, section, None)?;
        }
    }
    for (kind, digest) in changed {
        if let Some(was) = before.get(*kind) {
            alarms::raise(tx, device_id, kind, (was, digest), now_ms)?;
        }
    }
    let touches = |kinds: &[&str]| {
        let mut touched = changed.iter().map(|(kind, _)| kind).chain(gone);
        touched.any(|kind| kinds.contains(kind))
    };
    if touches(&["identity", "hardware", "disks", "network"]) {
        super::device::look_again(tx, device_id, now_ms)?;
    }
    if touches(&["identity", "hardware", "operating_system"]) {
        columns::refresh(tx, device_id, now_ms)?;
    }
    search_row::refresh(tx, device_id)?;
    Ok(())
}

fn check_section(section: v1::Section, now_ms: i64) -> Result<Checked, Status> {
    let kind = known(section.kind)
        .map(kind_name)
        .ok_or_else(|| bad_field("sections.kind", "names no section this coordinator knows"))?;
    let refuse = |reason: &str, problem: String| {
        Err(status(
            Code::InvalidArgument,
            reason,
            format!("section {kind}: {problem}"),
            &[("section", kind)],
        ))
    };
    if section.facts.len() > MAX_FACTS_BYTES {
        return refuse("SECTION_TOO_LARGE", "the facts are over 8 MiB".to_owned());
    }
    if Sha256::digest(&section.facts).as_slice() != &section.digest[..] {
        return refuse(
            "SECTION_DIGEST_MISMATCH",
            "the digest is not the SHA-256 of the facts: observe and send again".to_owned(),
        );
    }
    let read = match v1::SectionFacts::decode(section.facts.clone()) {
        Ok(read) => read,
        Err(error) => {
            return refuse(
                "SECTION_MALFORMED",
                format!("the facts cannot be read ({error})"),
            );
        }
    };
    match read.facts.as_ref().map(facts::kind_of) {
        Some(of) if kind_name(of) == kind => {}
        Some(_) => {
            return refuse(
                "SECTION_MALFORMED",
                "the facts are of another section".to_owned(),
            );
        }
        // Nothing at all could be read; `unread` says why.
        None if !read.unread.is_empty() => {}
        None => {
            return refuse(
                "SECTION_MALFORMED",
                "there are neither facts nor reasons".to_owned(),
            );
        }
    }
    if let Some(problem) = out_of_bounds(&read, &section.provenance) {
        return refuse("SECTION_MALFORMED", problem.to_owned());
    }
    let provenance = v1::Section {
        provenance: section.provenance,
        collector_version: section.collector_version,
        ..v1::Section::default()
    };
    Ok(Checked {
        kind,
        digest: hex::encode(&section.digest),
        list: software::list(kind, &section.facts),
        base: None,
        facts: section.facts.to_vec(),
        provenance: provenance.encode_to_vec(),
        observed_at_ms: section.observed_at_ms.clamp(0, now_ms),
    })
}

fn out_of_bounds(facts: &v1::SectionFacts, provenance: &[v1::Provenance]) -> Option<&'static str> {
    let long = |text: &str, most: usize| text.len() > 4 * most || text.chars().count() > most;
    if facts.unread.len() > MAX_GROUPS
        || facts
            .unread
            .iter()
            .any(|one| long(&one.group, 100) || long(&one.detail, 500))
    {
        return Some("too many or too long reasons for what was not read");
    }
    if provenance.len() > MAX_GROUPS
        || provenance
            .iter()
            .any(|one| long(&one.group, 100) || long(&one.source, 500))
    {
        return Some("too many or too long sources");
    }
    match &facts.facts {
        Some(Facts::Software(software)) if software.items.len() > MAX_SOFTWARE => {
            Some("more than 20,000 programs")
        }
        _ => None,
    }
}

#[tonic::async_trait]
impl v1::inventory_service_server::InventoryService for Service {
    async fn get_inventory(
        &self,
        request: Request<v1::GetInventoryRequest>,
    ) -> Result<Response<v1::GetInventoryResponse>, Status> {
        let body = request.into_inner();
        let device: DeviceId = check::id("device_id", &body.device_id)?;
        let mut kinds = Vec::new();
        for kind in &body.kinds {
            kinds.push(known(*kind).ok_or_else(|| bad_field("kinds", "names no section"))?);
        }
        let answer = self
            .0
            .store
            .read(move |tx| -> Result<_, Failure> {
                let device_id = device.to_string();
                if chasqui_store::device::get(tx, &device_id)?.is_none() {
                    return Err(not_found("device", &device_id).into());
                }
                let found = match body.at_ms {
                    None => store::sections(tx, &device_id)?,
                    Some(at_ms) => store::sections_at(tx, &device_id, at_ms)?,
                };
                let mut sections: Vec<v1::Section> = found
                    .into_iter()
                    .map(shown)
                    .filter(|section| kinds.is_empty() || kinds.contains(&section.kind()))
                    .collect();
                sections.sort_by_key(|section| section.kind);
                let volatile = match body.at_ms {
                    None => store::volatile(tx, &device_id)?,
                    Some(_) => None,
                };
                let volatile =
                    volatile.and_then(|bytes| v1::VolatileFacts::decode(bytes.as_slice()).ok());
                Ok(v1::GetInventoryResponse {
                    device_id,
                    sections,
                    volatile,
                })
            })
            .await?;
        Ok(Response::new(answer))
    }

    async fn list_inventory_changes(
        &self,
        request: Request<v1::ListInventoryChangesRequest>,
    ) -> Result<Response<v1::ListInventoryChangesResponse>, Status> {
        history::list(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn compare_inventory(
        &self,
        request: Request<v1::CompareInventoryRequest>,
    ) -> Result<Response<v1::CompareInventoryResponse>, Status> {
        history::compare(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_inventory_alarms(
        &self,
        request: Request<v1::ListInventoryAlarmsRequest>,
    ) -> Result<Response<v1::ListInventoryAlarmsResponse>, Status> {
        alarms::list(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn acknowledge_inventory_alarm(
        &self,
        request: Request<v1::AcknowledgeInventoryAlarmRequest>,
    ) -> Result<Response<v1::AcknowledgeInventoryAlarmResponse>, Status> {
        let person = auth::person(&request)?.id.to_string();
        alarms::acknowledge(&self.0, person, request.into_inner())
            .await
            .map(Response::new)
    }
}

fn shown(section: store::DeviceSection) -> v1::Section {
    let from = v1::Section::decode(section.provenance.as_slice()).unwrap_or_default();
    v1::Section {
        kind: kind_of_name(&section.kind).unwrap_or_default().into(),
        digest: hex::decode(&section.digest).unwrap_or_default().into(),
        facts: section.facts.into(),
        provenance: from.provenance,
        observed_at_ms: section.observed_at_ms,
        collector_version: from.collector_version,
        changed_at_ms: section.changed_at_ms,
    }
}
