//! Stores what a third party's agent reported, in one transaction: the device (made by its first full inventory), its
//! sections, what is gone, and what changes by itself.

use chasqui_base::clock;
use chasqui_domain::ids::DeviceId;
use chasqui_proto::error::status;
use chasqui_proto::facts::kind_of_name;
use chasqui_proto::v1;
use chasqui_store::device::State;
use chasqui_store::event::{self, NewEvent};
use chasqui_store::inventory_source::{self, InventorySource, Reporter};
use chasqui_store::{Tx, inventory};
use http::StatusCode;
use prost::Message as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use super::Problem;
use crate::context::Context;
use crate::error::{Failure, precondition};
use crate::glpi::{self, Before, Inventory};
use crate::rpc;
use crate::rpc::inventory::{check_sections, store_sections};

/// Stores one inventory whole, or nothing of it.
pub async fn store(
    ctx: &Context,
    source: &InventorySource,
    external_id: &str,
    agent_id: &str,
    inventory: Inventory,
) -> Result<(), Problem> {
    let now_ms = clock::now_ms();
    let inventory = std::sync::Arc::new(inventory);
    let (source, external_id, agent_id) =
        (source.clone(), external_id.to_owned(), agent_id.to_owned());
    // What a partial inventory leaves unsaid is as it was: read first, so that the mapping happens outside the writer.
    let (of, by) = (source.id.clone(), external_id.clone());
    let (known, before, volatile_before) = ctx
        .store
        .read(move |tx| {
            let known = inventory_source::device_of(tx, &of, &by)?;
            let (before, volatile) = match &known {
                Some(id) => (before(tx, id)?, inventory::volatile(tx, id)?),
                None => (Before::new(), None),
            };
            Ok::<_, Failure>((known, before, volatile))
        })
        .await?;
    if known.is_none() && inventory.partial {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "a partial inventory makes no device: send a full one first",
        ));
    }
    let client = glpi::client(&inventory.content);
    let marked = format!(
        "{} (source {})",
        client.replacen("GLPI-Agent", "GLPI Agent", 1),
        source.name
    );
    let mapped = {
        let (inventory, marked) = (inventory.clone(), marked.clone());
        move || {
            glpi::report(
                &inventory.content,
                inventory.partial,
                &before,
                &marked,
                now_ms,
            )
        }
    };
    let mut report = tokio::task::spawn_blocking(mapped)
        .await
        .map_err(|cause| Problem::from(crate::error::internal("glpi", &cause)))?;
    if inventory.partial
        && let Some(volatile) = &mut report.volatile
        && let Some(Ok(before)) = volatile_before.map(|it| v1::VolatileFacts::decode(&it[..]))
    {
        glpi::still(&inventory.content, volatile, before);
    }
    let host_name = host_name(&report.host_name, &external_id);
    let sections = check_sections(report.sections, 0, now_ms).await?;
    let volatile = report.volatile.map(|volatile| volatile.encode_to_vec());
    ctx.store
        .write(move |tx| {
            let reporter = Reporter {
                source_id: &source.id,
                external_id: &external_id,
                agent_id: &agent_id,
                tag: &inventory.tag,
                host_name: &host_name,
                agent_version: &client,
                origin: glpi::origin(&client),
            };
            let id = match inventory_source::device_of(tx, &source.id, &external_id)? {
                Some(id) => id,
                None => make(tx, &reporter, now_ms)?,
            };
            let known = rpc::device::get(tx, parsed(&id)?)?;
            if known.state != State::Active {
                return Err(Failure::from(status(
                    Code::PermissionDenied,
                    "DEVICE_REVOKED",
                    "this device is revoked and takes no more inventories",
                    &[],
                )));
            }
            inventory_source::heard_device(tx, &known, &reporter, now_ms)?;
            inventory_source::used(tx, &source.id, now_ms)?;
            store_sections(tx, (&id, &source.id), &sections, &report.gone, now_ms)?;
            if let Some(volatile) = &volatile {
                inventory::set_volatile(tx, &id, volatile, now_ms)?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

fn before(tx: &mut Tx, device_id: &str) -> Result<Before, Failure> {
    let mut before = Before::new();
    for section in inventory::sections(tx, device_id)? {
        if let (Some(kind), Ok(facts)) = (
            kind_of_name(&section.kind),
            v1::SectionFacts::decode(section.facts.as_slice()),
        ) {
            before.insert(kind, facts);
        }
    }
    Ok(before)
}

fn make(tx: &mut Tx, reporter: &Reporter<'_>, now_ms: i64) -> Result<String, Failure> {
    let id = clock::new_id().to_string();
    // No key has this fingerprint: no certificate is given for it and no leaf of an order can be signed for it in earnest.
    let fingerprint = hex::encode(Sha256::digest(format!("third-party device {id}")));
    inventory_source::insert_device(tx, &id, &fingerprint, reporter, now_ms)?;
    event::append(
        tx,
        NewEvent {
            subject_kind: "device",
            subject_id: &id,
            part: None,
            kind: "device.reported",
            actor: reporter.source_id,
            at_ms: now_ms,
            state: Some(State::Active.as_str()),
            data: json!({"origin": reporter.origin, "external_id": reporter.external_id}),
            personal: None,
        },
    )?;
    Ok(id)
}

fn parsed(id: &str) -> Result<DeviceId, Failure> {
    id.parse()
        .map_err(|_| Failure::from(precondition("DEVICE_ID", "a device has an id that is none")))
}

/// As the machine calls itself, else its name in the agent's own id (`host-2018-07-09-09-07-13`).
fn host_name(said: &str, external_id: &str) -> String {
    if !said.is_empty() {
        return said.chars().take(253).collect();
    }
    let parts: Vec<&str> = external_id.rsplitn(7, '-').collect();
    let host = match parts.as_slice() {
        [.., host] if parts.len() == 7 => host,
        _ => external_id,
    };
    host.chars().filter(|c| !c.is_control()).take(253).collect()
}
