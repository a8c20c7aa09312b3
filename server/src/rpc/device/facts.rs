//! Administrative facts: what people type of a device. An agent never comes here.

use chasqui_base::clock;
use chasqui_domain::device_facts::{Facts, Field};
use chasqui_domain::ids::DeviceId;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::{SetAdministrativeFactsRequest, SetAdministrativeFactsResponse};
use chasqui_store::{Tx, device};
use serde_json::{Map, Value, json};
use tonic::{Code, Request, Response, Status};

use super::convert::{encode, typed};
use super::{append, get};
use crate::auth;
use crate::context::Context;
use crate::error::Failure;
use crate::rpc::check;

/// Changes looked back on to tell what is stale.
const LOOKED_BACK: u32 = 100;

/// Writes the facts that the request names.
pub async fn set(
    ctx: &Context,
    request: Request<SetAdministrativeFactsRequest>,
) -> Result<Response<SetAdministrativeFactsResponse>, Status> {
    let now_ms = clock::now_ms();
    let actor = auth::person(&request)?.id.to_string();
    let request = request.into_inner();
    let id: DeviceId = check::id("device_id", &request.device_id)?;
    let mut fields = Vec::new();
    for name in &request.fields {
        let field = Field::of_name(name)
            .ok_or_else(|| bad_field("fields", "names a fact this coordinator does not know"))?;
        fields.push(field);
    }
    if fields.is_empty() {
        fields = Field::FIRST.to_vec();
    }
    // A currency goes by its cost, in whichever order they are named.
    fields.sort_by_key(|field| *field == Field::Currency);
    fields.dedup();
    let typed_facts = request.facts.unwrap_or_default();
    let expected = request.expected_version;
    let found = ctx
        .store
        .write(move |tx| {
            let found = get(tx, id)?;
            if let Some(expected) = expected.filter(|expected| *expected != found.facts_version) {
                return Err(stale(tx, &found, expected)?.into());
            }
            let mut facts = found.facts.clone();
            for field in &fields {
                facts
                    .set(*field, typed(&typed_facts, *field), now_ms)
                    .map_err(|why| {
                        let name = format!("facts.{}", field.name());
                        status(
                            Code::InvalidArgument,
                            "INVALID_FIELD",
                            format!("{name}: {}", why.en),
                            &[("field", &name), ("es", &format!("{name}: {}", why.es))],
                        )
                    })?;
            }
            write(tx, &found, &facts, &actor, now_ms)?;
            get(tx, id)
        })
        .await?;
    Ok(Response::new(SetAdministrativeFactsResponse {
        device: Some(encode(ctx, &found)),
    }))
}

/// Writes facts with their event, when they say something new.
///
/// # Errors
/// PLATE_TAKEN naming the device in use that carries the plate.
pub fn write(
    tx: &mut Tx,
    device: &device::Device,
    facts: &Facts,
    actor: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    if device.facts.plate != facts.plate {
        refuse_taken(tx, &facts.plate, &device.id)?;
    }
    write_checked(tx, device, facts, actor, now_ms)
}

/// As [`write`], for a caller that has compared the plates.
pub fn write_checked(
    tx: &mut Tx,
    device: &device::Device,
    facts: &Facts,
    actor: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    let changes = device.facts.changes(facts);
    if changes.is_empty() {
        return Ok(());
    }
    device::set_facts(tx, device, facts, now_ms)?;
    super::super::inventory::search_row::refresh(tx, &device.id)?;
    let (data, personal) = record(&changes, device.facts_version.saturating_add(1));
    let id: DeviceId = check::id("device_id", &device.id)?;
    append(
        tx,
        id,
        "device.facts_set",
        actor,
        now_ms,
        None,
        data,
        personal.as_deref(),
    )
}

/// PLATE_TAKEN when another device in use carries a plate.
pub fn refuse_taken(tx: &mut Tx, plate: &str, but: &str) -> Result<(), Failure> {
    let owners = device::with_plate(tx, plate, 2)?;
    let Some(owner) = owners.iter().find(|id| *id != but) else {
        return Ok(());
    };
    let host_name = device::get(tx, owner)?.map_or_else(String::new, |device| device.host_name);
    Err(status(
        Code::FailedPrecondition,
        "PLATE_TAKEN",
        format!(
            "plate {plate:?} is on device {host_name} ({owner}): correct one of them, or empty it there first"
        ),
        &[
            ("device", owner),
            ("host_name", &host_name),
            (
                "es",
                &format!(
                    "la placa «{plate}» la tiene el equipo {host_name} ({owner}): corrija una de las dos o vacíela allá primero"
                ),
            ),
        ],
    )
    .into())
}

/// What changed, for the record: before and after of each fact. What names a person is told apart, where it can be erased.
fn record(changes: &[(Field, String, String)], version: i64) -> (Value, Option<String>) {
    let (mut fields, mut personal) = (Map::new(), Map::new());
    let mut data = Map::new();
    for (field, before, after) in changes {
        let both = json!({"before": before, "after": after});
        if field.is_personal() {
            fields.insert(field.name().to_owned(), json!({"changed": true}));
            personal.insert(field.name().to_owned(), both);
        } else {
            fields.insert(field.name().to_owned(), both);
        }
        if *field == Field::PurchaseDate {
            // What retirement looks for: the day, or nothing.
            let day = (!after.is_empty()).then_some(after);
            data.insert("purchase_date".to_owned(), json!(day));
        }
    }
    data.insert("version".to_owned(), json!(version));
    data.insert("fields".to_owned(), fields.into());
    let personal = (!personal.is_empty()).then(|| Value::from(personal).to_string());
    (data.into(), personal)
}

/// Says what changed since the version that the caller saw.
fn stale(tx: &mut Tx, device: &device::Device, expected: i64) -> Result<Status, Failure> {
    let mut names: Vec<String> = Vec::new();
    for data in device::facts_events(tx, &device.id, LOOKED_BACK)? {
        let data: Value = serde_json::from_str(&data).unwrap_or_default();
        if data
            .get("version")
            .and_then(Value::as_i64)
            .is_some_and(|version| version > expected)
            && let Some(fields) = data.get("fields").and_then(Value::as_object)
        {
            names.extend(fields.keys().cloned());
        }
    }
    names.sort();
    names.dedup();
    let names = names.join(", ");
    Ok(status(
        Code::Aborted,
        "FACTS_STALE",
        format!(
            "somebody changed this device's facts meanwhile ({names}): read them again and repeat the change on version {}",
            device.facts_version
        ),
        &[
            ("changed", &names),
            ("version", &device.facts_version.to_string()),
            (
                "es",
                &format!(
                    "alguien cambió estos datos mientras tanto ({names}): vuelva a leerlos y repita el cambio sobre la versión {}",
                    device.facts_version
                ),
            ),
        ],
    ))
}
