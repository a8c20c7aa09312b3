//! `device …`: machines that enrolled, what was observed of them, and identities seen twice.

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::{DeviceCommand, DeviceStateName, QuarantineCommand, QuarantineDecisionName};
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::Outcome;
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
        } => {
            let device = get(&client, &device).await?;
            let old = device.administrative.unwrap_or_default();
            let facts = v1::AdministrativeFacts {
                plate: plate.unwrap_or(old.plate),
                purchase_date: purchase_date.unwrap_or(old.purchase_date),
                dependency: dependency.unwrap_or(old.dependency),
                responsible: responsible.unwrap_or(old.responsible),
            };
            let device = set_facts(&client, &device.id, facts).await?;
            show_one(screen, &device);
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

/// Replaces what people typed about a device.
pub async fn set_facts(
    client: &Client,
    device_id: &str,
    facts: v1::AdministrativeFacts,
) -> Outcome<v1::Device> {
    let request = v1::SetAdministrativeFactsRequest {
        device_id: device_id.to_owned(),
        facts: Some(facts),
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
            (screen.say("compra", "purchased"), facts.purchase_date),
            (screen.say("dependencia", "unit"), facts.dependency),
            (screen.say("cuentadante", "responsible"), facts.responsible),
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
            ("id", device.id.clone()),
        ])
    )
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
                ..Default::default()
            }),
            ..Default::default()
        };
        insta::assert_snapshot!("device_es", render(&Screen::plain(Lang::Es), &device));
        insta::assert_snapshot!("device_en", render(&Screen::plain(Lang::En), &device));
        insta::assert_json_snapshot!("device_json", device_json(&device));
    }
}
