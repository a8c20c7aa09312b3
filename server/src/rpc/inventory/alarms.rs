//! Alarms about parts that left a machine or turned up in another one: raised with the report that shows it.

use chasqui_base::clock::{new_id, now_ms};
use chasqui_domain::ids::DeviceId;
use chasqui_domain::inventory_swap::{self as rule, Part};
use chasqui_domain::search::fold;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::{self, InventoryAlarmLevel};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::inventory_alarm::{self as store, Alarm};
use chasqui_store::{Tx, device_term, inventory};
use serde_json::json;
use tonic::{Code, Status};

use super::history::Seen;
use crate::context::Context;
use crate::error::{Failure, not_found};
use crate::rpc::{check, page};

/// A serial that more machines than this have names no part: makers that write the same one everywhere.
const SHARED: u32 = 3;
/// Most alarms of one report.
const MOST: usize = 64;

/// Compares a section with what it was and raises what is worth it.
pub(super) fn raise(
    tx: &mut Tx,
    device_id: &str,
    kind: &str,
    (was, is): (&str, &str),
    now_ms: i64,
) -> Result<(), Failure> {
    if !rule::has_parts(kind) {
        return Ok(());
    }
    let old = Seen::read(&inventory::content(tx, kind, was)?.unwrap_or_default());
    let new = Seen::read(&inventory::content(tx, kind, is)?.unwrap_or_default());
    let moves = rule::moves(kind, old.view(), new.view());
    for part in moves.left.iter().take(MOST) {
        let elsewhere = elsewhere(tx, device_id, part)?;
        alarm(tx, device_id, elsewhere, part, "left", now_ms)?;
    }
    for part in moves.came.iter().take(MOST) {
        let from = match elsewhere(tx, device_id, part)? {
            Some(other) => Some(other),
            None => store::left_elsewhere(tx, (part.kind, &part.serial), device_id)?,
        };
        if let Some(from) = from {
            alarm(tx, device_id, Some(from), part, "turned_up", now_ms)?;
        }
    }
    Ok(())
}

/// Another device that shows the part now.
fn elsewhere(tx: &mut Tx, device_id: &str, part: &Part) -> Result<Option<String>, Failure> {
    let found = device_term::devices(tx, part.term, &fold(&part.serial), SHARED + 1)?;
    if found.len() > SHARED as usize {
        return Ok(None);
    }
    Ok(found.into_iter().find(|other| other != device_id))
}

fn alarm(
    tx: &mut Tx,
    device_id: &str,
    other_device_id: Option<String>,
    part: &Part,
    happened: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    let alarm = Alarm {
        id: new_id().to_string(),
        device_id: device_id.to_owned(),
        other_device_id,
        part: part.kind.to_owned(),
        serial: part.serial.clone(),
        name: part.name.clone(),
        happened: happened.to_owned(),
        level: if part.carried { "low" } else { "high" }.to_owned(),
        at_ms: now_ms,
        ..Alarm::default()
    };
    store::insert(tx, &alarm)?;
    let subjects = std::iter::once(device_id).chain(alarm.other_device_id.as_deref());
    for subject_id in subjects {
        event::append(
            tx,
            NewEvent {
                subject_kind: "device",
                subject_id,
                part: None,
                kind: "device.inventory_alarm",
                actor: device_id,
                at_ms: now_ms,
                state: None,
                data: json!({
                    "alarm_id": alarm.id, "device_id": device_id, "part": alarm.part, "serial": alarm.serial,
                    "happened": happened, "level": alarm.level,
                }),
                personal: None,
            },
        )?;
    }
    Ok(())
}

pub(super) async fn list(
    ctx: &Context,
    request: v1::ListInventoryAlarmsRequest,
) -> Result<v1::ListInventoryAlarmsResponse, Status> {
    let device = match request.device_id.as_str() {
        "" => None,
        id => Some(check::id::<DeviceId>("device_id", id)?.to_string()),
    };
    let too = request.acknowledged_too;
    let filter = format!("{device:?} {too}");
    let page = page(&request.page, "ListInventoryAlarms", &filter)?;
    let after = page.after_parts::<1>()?.map(|[id]| id.to_owned());
    let (mut alarms, page) = ctx
        .store
        .read(move |tx| -> Result<_, Failure> {
            let found = store::list(tx, device.as_deref(), too, after.as_deref(), page.limit())?;
            Ok((found, page.clone()))
        })
        .await?;
    let next = page.cut(&mut alarms, |alarm| vec![alarm.id.clone()]);
    Ok(v1::ListInventoryAlarmsResponse {
        alarms: alarms.into_iter().map(encode).collect(),
        page: Some(next),
    })
}

pub(super) async fn acknowledge(
    ctx: &Context,
    person: String,
    request: v1::AcknowledgeInventoryAlarmRequest,
) -> Result<v1::AcknowledgeInventoryAlarmResponse, Status> {
    let v1::AcknowledgeInventoryAlarmRequest { alarm_id, reason } = request;
    if alarm_id.len() > 64 {
        return Err(bad_field("alarm_id", "is no id of an alarm"));
    }
    check::text("reason", &reason, 1, 500)?;
    let now_ms = now_ms();
    let alarm = ctx
        .store
        .write(move |tx| -> Result<_, Failure> {
            let said = (person.as_str(), reason.as_str());
            let first = store::acknowledge(tx, &alarm_id, said, now_ms)?;
            let alarm = store::get(tx, &alarm_id)?.ok_or_else(|| not_found("alarm", &alarm_id))?;
            if first {
                event::append(
                    tx,
                    NewEvent {
                        subject_kind: "device",
                        subject_id: &alarm.device_id,
                        part: None,
                        kind: "device.inventory_alarm_acknowledged",
                        actor: &person,
                        at_ms: now_ms,
                        state: None,
                        data: json!({ "alarm_id": alarm.id }),
                        personal: None,
                    },
                )?;
            } else if alarm.acknowledged_by.as_deref() != Some(person.as_str())
                || alarm.reason.as_deref() != Some(reason.as_str())
            {
                return Err(status(
                    Code::FailedPrecondition,
                    "ALARM_ALREADY_ACKNOWLEDGED",
                    "somebody has said before what this alarm was about: read it",
                    &[("alarm_id", &alarm_id)],
                )
                .into());
            }
            Ok(alarm)
        })
        .await?;
    Ok(v1::AcknowledgeInventoryAlarmResponse {
        alarm: Some(encode(alarm)),
    })
}

fn encode(alarm: Alarm) -> v1::InventoryAlarm {
    let level = match alarm.level.as_str() {
        "low" => InventoryAlarmLevel::Low,
        "high" => InventoryAlarmLevel::High,
        _ => InventoryAlarmLevel::Unspecified,
    };
    v1::InventoryAlarm {
        id: alarm.id,
        device_id: alarm.device_id,
        other_device_id: alarm.other_device_id.unwrap_or_default(),
        part: alarm.part,
        serial: alarm.serial,
        name: alarm.name,
        happened: alarm.happened,
        level: level.into(),
        at_ms: alarm.at_ms,
        acknowledged_at_ms: alarm.acknowledged_at_ms.unwrap_or_default(),
        acknowledged_by: alarm.acknowledged_by.unwrap_or_default(),
        reason: alarm.reason.unwrap_or_default(),
    }
}
