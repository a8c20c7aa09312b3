//! `device …`: machines that enrolled, what was observed of them, and identities seen twice.

pub mod args;
mod import;
mod lists;
mod matches;
mod search;
mod sheet;
mod silent;

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::{DeviceCommand, DeviceStateName, QuarantineCommand, QuarantineDecisionName};
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::history;
use crate::inventory;
use crate::output::{Screen, Tone, clean, enum_name};
use crate::ticket::more;

pub async fn run(context: &Context, command: DeviceCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let screen = &context.screen;
    match command {
        DeviceCommand::List { text, state, page } => {
            let state = match state {
                None => v1::DeviceState::Unspecified,
                Some(DeviceStateName::Active) => v1::DeviceState::Active,
                Some(DeviceStateName::Revoked) => v1::DeviceState::Revoked,
                Some(DeviceStateName::Quarantined) => v1::DeviceState::Quarantined,
                Some(DeviceStateName::Retired) => v1::DeviceState::Retired,
            };
            let request = v1::ListDevicesRequest {
                page: Some(v1::PageRequest {
                    page_size: page.limit,
                    page_token: page.page,
                }),
                text,
                state: state as i32,
            };
            let answer = call(|| {
                let (mut devices, request) = (client.devices(), request.clone());
                async move { devices.list_devices(request).await }
            })
            .await?;
            let next = answer.page.unwrap_or_default().next_page_token;
            let value = json!({
                "devices": answer.devices.iter().map(device_json).collect::<Vec<_>>(),
                "next_page": next,
            });
            screen.show(&value, |s| {
                format!("{}{}", table(s, &answer.devices), more(s, &next))
            });
        }
        DeviceCommand::Show { device, software } => {
            let device = get(&client, &device).await?;
            let inventory = inventory::fetch(&client, &device.id).await?;
            let mut value = device_json(&device);
            if let Some(object) = value.as_object_mut() {
                object.insert(
                    "inventory".to_owned(),
                    inventory::to_json(&inventory, software),
                );
            }
            screen.show(&value, |s| {
                format!(
                    "{}\n{}",
                    render(s, &device),
                    inventory::render(s, &inventory, software)
                )
            });
        }
        DeviceCommand::Revoke {
            device,
            reason,
            yes,
        } => {
            let device = get(&client, &device).await?;
            screen.confirm(
                &format!(
                    "¿Revocar {}? Tendrá que inscribirse de nuevo.",
                    clean(&device.host_name)
                ),
                &format!(
                    "Revoke {}? It will have to enrol anew.",
                    clean(&device.host_name)
                ),
                yes,
            )?;
            let request = v1::RevokeDeviceRequest {
                device_id: device.id,
                reason,
            };
            let answer = call(|| {
                let (mut devices, request) = (client.devices(), request.clone());
                async move { devices.revoke_device(request).await }
            })
            .await?;
            show_one(screen, &answer.device.unwrap_or_default());
        }
        DeviceCommand::Facts {
            device,
            plate,
            purchase_date,
            dependency,
            responsible,
            more,
        } => {
            let device = get(&client, &device).await?;
            let typed = [
                ("plate", plate),
                ("purchase_date", purchase_date),
                ("dependency", dependency),
                ("responsible", responsible),
                ("seat", more.seat),
                ("contract", more.contract),
                ("warranty_end", more.warranty_end),
                ("supplier", more.supplier),
                ("invoice", more.invoice),
                ("note", more.note),
                ("cost", more.cost),
                ("currency", more.currency),
            ];
            let mut facts = v1::AdministrativeFacts::default();
            let mut fields = Vec::new();
            for (name, text) in typed {
                if let (Some(text), Some(place)) = (text, fact_mut(&mut facts, name)) {
                    *place = text;
                    fields.push(name);
                }
            }
            if fields.is_empty() {
                return Err(Failure::usage(
                    "no se dio ningún dato: indique al menos uno, como --plate",
                    "no fact was given: name at least one, as --plate",
                ));
            }
            // What was read just now is what the person changes: another's change in between is not overwritten.
            let version = Some(device.facts_version).filter(|version| *version > 0);
            let device = set_facts(&client, &device.id, facts, &fields, version).await?;
            show_one(screen, &device);
        }
        DeviceCommand::Import(args) => import::run(&client, screen, args).await?,
        DeviceCommand::Matches(args) => matches::run(&client, screen, args).await?,
        DeviceCommand::Split { device, reason } => {
            matches::split(&client, screen, device, reason).await?;
        }
        DeviceCommand::Search(args) => search::search(&client, screen, args).await?,
        DeviceCommand::Fields => search::fields(&client, screen).await?,
        DeviceCommand::Silent { days } => silent::show(&client, screen, days).await?,
        DeviceCommand::ListSave {
            name,
            query,
            shared,
        } => lists::save(&client, screen, name, query, shared).await?,
        DeviceCommand::ListAll => lists::all(&client, screen).await?,
        DeviceCommand::ListShow { name } => lists::show(&client, screen, name).await?,
        DeviceCommand::ListDelete { name } => lists::delete(&client, screen, name).await?,
        DeviceCommand::History {
            device,
            since_ms,
            sections,
            page,
        } => {
            let device = get(&client, &device).await?;
            let page = v1::PageRequest {
                page_size: page.limit,
                page_token: page.page,
            };
            history::list(&client, screen, &device, (since_ms, sections), page).await?;
        }
        DeviceCommand::Diff {
            device,
            from_ms,
            to_ms,
            with,
        } => {
            let device = get(&client, &device).await?;
            let other = match with {
                Some(with) => Some(get(&client, &with).await?),
                None => None,
            };
            history::compare(&client, screen, (device, other), (from_ms, to_ms)).await?;
        }
        DeviceCommand::Alarms { device, all, page } => {
            let device = match device {
                Some(device) => get(&client, &device).await?.id,
                None => String::new(),
            };
            let request = v1::ListInventoryAlarmsRequest {
                device_id: device,
                acknowledged_too: all,
                page: Some(v1::PageRequest {
                    page_size: page.limit,
                    page_token: page.page,
                }),
            };
            history::alarms(&client, screen, request).await?;
        }
        DeviceCommand::Acknowledge { alarm, reason } => {
            history::acknowledge(&client, screen, alarm, reason).await?;
        }
        DeviceCommand::Quarantine(command) => quarantine(&client, screen, command).await?,
    }
    Ok(())
}

/// By id, host name or plate.
pub async fn get(client: &Client, device: &str) -> Outcome<v1::Device> {
    let request = v1::GetDeviceRequest {
        device: device.to_owned(),
    };
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.get_device(request).await }
    })
    .await?;
    Ok(answer.device.unwrap_or_default())
}

/// The place of a fact by its name in the API.
fn fact_mut<'a>(facts: &'a mut v1::AdministrativeFacts, name: &str) -> Option<&'a mut String> {
    Some(match name {
        "plate" => &mut facts.plate,
        "purchase_date" => &mut facts.purchase_date,
        "dependency" => &mut facts.dependency,
        "responsible" => &mut facts.responsible,
        "seat" => &mut facts.seat,
        "contract" => &mut facts.contract,
        "warranty_end" => &mut facts.warranty_end,
        "supplier" => &mut facts.supplier,
        "invoice" => &mut facts.invoice,
        "note" => &mut facts.note,
        "cost" => &mut facts.cost,
        "currency" => &mut facts.currency,
        _ => return None,
    })
}

/// Writes the named facts of a device, made from a version of them where one is given.
pub async fn set_facts(
    client: &Client,
    device_id: &str,
    facts: v1::AdministrativeFacts,
    fields: &[&str],
    expected_version: Option<i64>,
) -> Outcome<v1::Device> {
    let request = v1::SetAdministrativeFactsRequest {
        device_id: device_id.to_owned(),
        facts: Some(facts),
        fields: fields.iter().map(|name| (*name).to_owned()).collect(),
        expected_version,
    };
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.set_administrative_facts(request).await }
    })
    .await?;
    Ok(answer.device.unwrap_or_default())
}

async fn quarantine(client: &Client, screen: &Screen, command: QuarantineCommand) -> Outcome {
    match command {
        QuarantineCommand::List => {
            let request = v1::ListQuarantineRequest {
                page: Some(v1::PageRequest {
                    page_size: 500,
                    page_token: String::new(),
                }),
            };
            let answer = call(|| {
                let (mut devices, request) = (client.devices(), request.clone());
                async move { devices.list_quarantine(request).await }
            })
            .await?;
            let value = json!({
                "items": answer.items.iter().map(quarantine_json).collect::<Vec<_>>(),
            });
            screen.show(&value, |s| quarantine_table(s, &answer.items));
        }
        QuarantineCommand::Resolve {
            quarantine,
            decision,
            reason,
        } => {
            let decision = match decision {
                QuarantineDecisionName::Release => v1::QuarantineDecision::Release,
                QuarantineDecisionName::Revoke => v1::QuarantineDecision::Revoke,
            };
            let request = v1::ResolveQuarantineRequest {
                quarantine_id: quarantine,
                decision: decision as i32,
                reason,
            };
            let answer = call(|| {
                let (mut devices, request) = (client.devices(), request.clone());
                async move { devices.resolve_quarantine(request).await }
            })
            .await?;
            show_one(screen, &answer.device.unwrap_or_default());
        }
    }
    Ok(())
}

fn show_one(screen: &Screen, device: &v1::Device) {
    screen.show(&device_json(device), |s| render(s, device));
}

fn state_text(screen: &Screen, state: v1::DeviceState) -> String {
    let (tone, es, en) = match state {
        v1::DeviceState::Unspecified => (Tone::Dim, "sin estado", "no state"),
        v1::DeviceState::Active => (Tone::Good, "activo", "active"),
        v1::DeviceState::Revoked => (Tone::Bad, "revocado", "revoked"),
        v1::DeviceState::Quarantined => (Tone::Warn, "en cuarentena", "quarantined"),
        v1::DeviceState::Retired => (Tone::Dim, "retirado", "retired"),
    };
    screen.tone(tone, screen.lang.pick(es, en))
}

/// The stable JSON of a device.
pub fn device_json(device: &v1::Device) -> Value {
    let facts = device.administrative.clone().unwrap_or_default();
    json!({
        "id": device.id,
        "fingerprint": hex::encode(&device.fingerprint),
        "public_key": hex::encode(&device.public_key),
        "host_name": device.host_name,
        "state": enum_name(device.state().as_str_name(), "DEVICE_STATE_"),
        "connected": device.connected,
        "last_seen_at_ms": device.last_seen_at_ms,
        "enrolled_at_ms": device.enrolled_at_ms,
        "agent_version": device.agent_version,
        "clock_offset_ms": device.clock_offset_ms,
        "model": device.model,
        "operating_system": device.operating_system,
        "origin": device.origin,
        "plate": facts.plate,
        "purchase_date": facts.purchase_date,
        "dependency": facts.dependency,
        "responsible": facts.responsible,
        "seat": facts.seat,
        "contract": facts.contract,
        "warranty_end": facts.warranty_end,
        "supplier": facts.supplier,
        "invoice": facts.invoice,
        "note": facts.note,
        "cost": facts.cost,
        "currency": facts.currency,
        "facts_version": device.facts_version,
        "merged_into": device.merged_into,
        "continues": device.continues.iter().map(|one| json!({
            "id": one.id, "host_name": one.host_name, "merged_at_ms": one.merged_at_ms,
        })).collect::<Vec<_>>(),
    })
}

fn quarantine_json(item: &v1::Quarantine) -> Value {
    json!({
        "id": item.id,
        "device_id": item.device_id,
        "host_name": item.host_name,
        "seen_at_ms": item.seen_at_ms,
        "first": { "boot_id": item.first_boot_id, "host_name": item.first_host_name },
        "second": { "boot_id": item.second_boot_id, "host_name": item.second_host_name },
    })
}

fn table(screen: &Screen, devices: &[v1::Device]) -> String {
    let heading = [
        screen.say("EQUIPO", "HOST"),
        screen.say("PLACA", "PLATE"),
        screen.say("ESTADO", "STATE"),
        screen.say("CONECTADO", "CONNECTED"),
        screen.say("MODELO", "MODEL"),
        screen.say("SISTEMA", "SYSTEM"),
        screen.say("VISTO", "SEEN"),
        "ID",
    ];
    let rows = devices
        .iter()
        .map(|d| {
            let facts = d.administrative.clone().unwrap_or_default();
            // Cells are neutralised later: no colours of ours in them.
            let plain = Screen {
                color: false,
                ..screen.clone()
            };
            let connected = if d.connected {
                screen.say("sí", "yes")
            } else {
                screen.say("no", "no")
            };
            vec![
                if third_party(d) {
                    format!("{} *", d.host_name)
                } else {
                    d.host_name.clone()
                },
                facts.plate,
                state_text(&plain, d.state()),
                connected.to_owned(),
                observed(screen, &d.model),
                observed(screen, &d.operating_system),
                screen.time(d.last_seen_at_ms),
                d.id.clone(),
            ]
        })
        .collect();
    let table = screen.table(&heading, rows);
    if devices.iter().any(third_party) {
        let why = screen.say(
            "* lo informa un agente de terceros: solo lectura",
            "* reported by a third-party agent: read only",
        );
        format!("{}\n{why}", table.trim_end())
    } else {
        table
    }
}

/// Reported by another program than ours.
fn third_party(device: &v1::Device) -> bool {
    !matches!(device.origin.as_str(), "" | "agent")
}

fn observed(screen: &Screen, text: &str) -> String {
    if text.is_empty() {
        screen.say("no observado", "not observed").to_owned()
    } else {
        text.to_owned()
    }
}

/// A device without its inventory.
pub fn render(screen: &Screen, device: &v1::Device) -> String {
    let facts = device.administrative.clone().unwrap_or_default();
    let connected = if third_party(device) {
        format!(
            "{}; {} {}",
            screen.say(
                "lo informa un agente de terceros, solo lectura",
                "reported by a third-party agent, read only"
            ),
            screen.say("visto:", "seen:"),
            screen.time(device.last_seen_at_ms)
        )
    } else if device.connected {
        screen.say("conectado", "connected").to_owned()
    } else {
        format!(
            "{}, {} {}",
            screen.say("no conectado", "not connected"),
            screen.say("visto:", "seen:"),
            screen.time(device.last_seen_at_ms)
        )
    };
    let clock = device
        .clock_offset_ms
        .map(|ms| format!("{ms} ms"))
        .unwrap_or_default();
    format!(
        "{} — {}\n{}",
        screen.tone(Tone::Strong, &clean(&device.host_name)),
        state_text(screen, device.state()),
        screen.fields(&[
            (screen.say("enlace", "link"), connected),
            (
                screen.say("modelo", "model"),
                observed(screen, &device.model)
            ),
            (
                screen.say("sistema", "system"),
                observed(screen, &device.operating_system),
            ),
            (screen.say("placa", "plate"), facts.plate),
            (screen.say("dependencia", "unit"), facts.dependency),
            (screen.say("puesto", "seat"), facts.seat),
            (screen.say("cuentadante", "responsible"), facts.responsible),
            (screen.say("compra", "purchased"), facts.purchase_date),
            (
                screen.say("costo", "cost"),
                money(screen, &facts.cost, &facts.currency),
            ),
            (screen.say("contrato", "contract"), facts.contract),
            (screen.say("factura", "invoice"), facts.invoice),
            (screen.say("proveedor", "supplier"), facts.supplier),
            (
                screen.say("garantía hasta", "warranty until"),
                facts.warranty_end
            ),
            (screen.say("nota", "note"), facts.note),
            (screen.say("agente", "agent"), device.agent_version.clone()),
            (screen.say("desfase de reloj", "clock offset"), clock),
            (
                screen.say("inscrito", "enrolled"),
                screen.time(device.enrolled_at_ms)
            ),
            (
                screen.say("huella de la clave", "key fingerprint"),
                hex::encode(&device.fingerprint),
            ),
            (
                screen.say("fusionado en", "merged into"),
                device.merged_into.clone(),
            ),
            (
                screen.say("continúa a", "goes on with"),
                device
                    .continues
                    .iter()
                    .map(|one| format!("{} ({})", one.host_name, one.id))
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            ("id", device.id.clone()),
        ])
    )
}

/// `COP 1.234.567,89` in Spanish, `COP 1,234,567.89` in English.
fn money(screen: &Screen, cost: &str, currency: &str) -> String {
    if cost.is_empty() {
        return String::new();
    }
    let (whole, cents) = cost.split_once('.').unwrap_or((cost, ""));
    let mut grouped = String::new();
    let digits = whole.chars().count();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (digits - place) % 3 == 0 {
            grouped.push_str(screen.say(".", ","));
        }
        grouped.push(digit);
    }
    let mark = if cents.is_empty() {
        ""
    } else {
        screen.say(",", ".")
    };
    format!("{currency} {grouped}{mark}{cents}")
        .trim()
        .to_owned()
}

fn quarantine_table(screen: &Screen, items: &[v1::Quarantine]) -> String {
    let heading = [
        "ID",
        screen.say("EQUIPO", "HOST"),
        screen.say("VISTO", "SEEN"),
        screen.say("PRIMERO", "FIRST"),
        screen.say("SEGUNDO", "SECOND"),
    ];
    let rows = items
        .iter()
        .map(|q| {
            vec![
                q.id.clone(),
                q.host_name.clone(),
                screen.time(q.seen_at_ms),
                format!("{} {}", q.first_host_name, q.first_boot_id),
                format!("{} {}", q.second_host_name, q.second_boot_id),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    #[test]
    fn a_device_reads_well_in_both_languages() {
        let device = v1::Device {
            id: "01976000-0000-7000-8000-000000000003".into(),
            fingerprint: vec![7; 32].into(),
            host_name: "pc-07".into(),
            state: v1::DeviceState::Quarantined as i32,
            agent_version: "0.1.0".into(),
            clock_offset_ms: Some(-12),
            enrolled_at_ms: 1_767_330_000_000,
            administrative: Some(v1::AdministrativeFacts {
                plate: "100-7".into(),
                seat: "Piso 3, puesto 12".into(),
                cost: "3450000.50".into(),
                currency: "COP".into(),
                warranty_end: "2028-03-31".into(),
                ..Default::default()
            }),
            facts_version: 3,
            continues: vec![v1::ContinuedDevice {
                id: "01976000-0000-7000-8000-000000000001".into(),
                host_name: "pc-07-viejo".into(),
                merged_at_ms: 1_767_330_000_000,
            }],
            ..Default::default()
        };
        insta::assert_snapshot!("device_es", render(&Screen::plain(Lang::Es), &device));
        insta::assert_snapshot!("device_en", render(&Screen::plain(Lang::En), &device));
        insta::assert_json_snapshot!("device_json", device_json(&device));
    }
}
