//! What changed of a device when, and what differs between two moments or two devices.

use std::collections::BTreeMap;

use chasqui_domain::ids::DeviceId;
use chasqui_domain::inventory_change::{self as rule, Kind, View};
use chasqui_proto::error::bad_field;
use chasqui_proto::facts::{self, kind_name, kind_of_name};
use chasqui_proto::v1::{self, InventoryChangeKind, SectionKind};
use chasqui_store::{Tx, inventory as store};
use prost::Message;
use serde_json::Value;
use tonic::Status;

use super::known;
use crate::context::Context;
use crate::error::{Failure, not_found};
use crate::rpc::{check, page};

/// Most changes of one answer.
const MAX_CHANGES: usize = 5_000;
/// Longest value shown in one change, bytes of JSON.
const MAX_VALUE: usize = 16 * 1024;

/// A section as the rule wants it.
pub(super) struct Seen {
    facts: Value,
    unread: Vec<String>,
}

impl Seen {
    /// From an encoded SectionFacts.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let read = v1::SectionFacts::decode(bytes).unwrap_or_default();
        Self {
            facts: facts::facts_json(&read),
            unread: read.unread.into_iter().map(|one| one.group).collect(),
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View {
            facts: &self.facts,
            unread: &self.unread,
        }
    }
}

pub(super) async fn list(
    ctx: &Context,
    request: v1::ListInventoryChangesRequest,
) -> Result<v1::ListInventoryChangesResponse, Status> {
    let device: DeviceId = check::id("device_id", &request.device_id)?;
    let kinds = kinds(&request.kinds)?;
    let until_ms = match request.until_ms {
        0 => i64::MAX,
        until_ms => until_ms,
    };
    let since_ms = request.since_ms.max(0);
    let filter = format!("{device} {since_ms} {until_ms} {:?}", request.kinds);
    let page = page(&request.page, "ListInventoryChanges", &filter)?;
    let after = match page.after_parts::<2>()? {
        Some([at_ms, kind]) => {
            let at_ms: i64 = at_ms
                .parse()
                .map_err(|_| bad_field("page.page_token", "is damaged: begin again without one"))?;
            (at_ms, kind.to_owned())
        }
        None => (i64::MAX, String::new()),
    };
    let answer = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let device_id = device.to_string();
            if chasqui_store::device::get(tx, &device_id)?.is_none() {
                return Err(not_found("device", &device_id).into());
            }
            let span = (since_ms, until_ms);
            let from = (after.0, after.1.as_str());
            let mut steps = store::steps(tx, &device_id, span, from, page.limit())?;
            let next = page.cut(&mut steps, |step| {
                vec![step.at_ms.to_string(), step.kind.clone()]
            });
            let mut bounded = Bounded::default();
            for step in steps {
                let Some(kind) = kind_of_name(&step.kind) else {
                    continue;
                };
                if !kinds.is_empty() && !kinds.contains(&kind) {
                    continue;
                }
                let Some(before) = &step.before else {
                    bounded.push(v1::InventoryChange {
                        section: kind.into(),
                        at_ms: step.at_ms,
                        kind: InventoryChangeKind::FirstObserved.into(),
                        ..Default::default()
                    });
                    continue;
                };
                let read = |tx: &mut Tx, digest: &str| -> Result<Seen, Failure> {
                    let bytes = store::content(tx, &step.kind, digest)?;
                    Ok(Seen::read(&bytes.unwrap_or_default()))
                };
                let (old, new) = (read(tx, before)?, read(tx, &step.digest)?);
                bounded.differences(kind, step.at_ms, &old, &new);
            }
            Ok(v1::ListInventoryChangesResponse {
                changes: bounded.changes,
                page: Some(next),
                left_out: bounded.left_out,
            })
        })
        .await?;
    Ok(answer)
}

pub(super) async fn compare(
    ctx: &Context,
    request: v1::CompareInventoryRequest,
) -> Result<v1::CompareInventoryResponse, Status> {
    let kinds = kinds(&request.kinds)?;
    let (from, to) = (moment("from", request.from)?, moment("to", request.to)?);
    let answer = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let (old, new) = (at(tx, from)?, at(tx, to)?);
            let mut bounded = Bounded::default();
            for kind in facts::KINDS {
                if !kinds.is_empty() && !kinds.contains(&kind) {
                    continue;
                }
                match (old.get(kind_name(kind)), new.get(kind_name(kind))) {
                    (None, None) => {}
                    (Some((one, _)), Some((two, _))) if one == two => {}
                    (Some((_, one)), Some((_, two))) => {
                        bounded.differences(kind, 0, &Seen::read(one), &Seen::read(two));
                    }
                    // A machine whose agent never sent a section is not one without those things.
                    (Some(_), None) => bounded.whole(kind, InventoryChangeKind::Unreadable),
                    (None, Some(_)) => bounded.whole(kind, InventoryChangeKind::FirstObserved),
                }
            }
            Ok(v1::CompareInventoryResponse {
                changes: bounded.changes,
                left_out: bounded.left_out,
            })
        })
        .await?;
    Ok(answer)
}

type Moment = (DeviceId, Option<i64>);

fn moment(field: &str, moment: Option<v1::InventoryMoment>) -> Result<Moment, Status> {
    let moment = moment.unwrap_or_default();
    let device = check::id(&format!("{field}.device_id"), &moment.device_id)?;
    Ok((device, moment.at_ms))
}

/// Digest and facts by the name of the section.
fn at(
    tx: &mut Tx,
    (device, at_ms): Moment,
) -> Result<BTreeMap<String, (String, Vec<u8>)>, Failure> {
    let device_id = device.to_string();
    if chasqui_store::device::get(tx, &device_id)?.is_none() {
        return Err(not_found("device", &device_id).into());
    }
    let sections = match at_ms {
        None => store::sections(tx, &device_id)?,
        Some(at_ms) => store::sections_at(tx, &device_id, at_ms)?,
    };
    Ok(sections
        .into_iter()
        .map(|section| (section.kind, (section.digest, section.facts)))
        .collect())
}

fn kinds(numbers: &[i32]) -> Result<Vec<SectionKind>, Status> {
    numbers
        .iter()
        .map(|kind| known(*kind).ok_or_else(|| bad_field("kinds", "names no section")))
        .collect()
}

#[derive(Default)]
struct Bounded {
    changes: Vec<v1::InventoryChange>,
    left_out: u32,
}

impl Bounded {
    fn push(&mut self, change: v1::InventoryChange) {
        if self.changes.len() < MAX_CHANGES {
            self.changes.push(change);
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    fn whole(&mut self, section: SectionKind, kind: InventoryChangeKind) {
        self.push(v1::InventoryChange {
            section: section.into(),
            kind: kind.into(),
            ..Default::default()
        });
    }

    fn differences(&mut self, section: SectionKind, at_ms: i64, old: &Seen, new: &Seen) {
        for change in rule::differences(kind_name(section), old.view(), new.view()) {
            self.push(v1::InventoryChange {
                section: section.into(),
                at_ms,
                kind: kind(change.kind).into(),
                path: change.path,
                item: change.item,
                before: json(change.before),
                after: json(change.after),
            });
        }
    }
}

fn kind(kind: Kind) -> InventoryChangeKind {
    match kind {
        Kind::Added => InventoryChangeKind::Added,
        Kind::Removed => InventoryChangeKind::Removed,
        Kind::Changed => InventoryChangeKind::Changed,
        Kind::Unreadable => InventoryChangeKind::Unreadable,
        Kind::ReadableAgain => InventoryChangeKind::ReadableAgain,
    }
}

fn json(value: Option<Value>) -> String {
    let Some(value) = value else {
        return String::new();
    };
    let text = value.to_string();
    if text.len() <= MAX_VALUE {
        return text;
    }
    // Valid JSON all the same, and it says what it stands for.
    Value::String(format!("({} bytes of JSON)", text.len())).to_string()
}
