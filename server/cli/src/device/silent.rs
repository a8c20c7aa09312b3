//! `device silent`: machines without a sign of life, with whom and where they were last.

use chasqui_proto::v1;
use serde_json::{Value, json};

use super::device_json;
use super::search::PAGE;
use crate::client::{Client, call};
use crate::failure::Outcome;
use crate::output::{Screen, Tone};

/// Devices without a sign of life, and apart from them those that never gave one.
pub async fn show(client: &Client, screen: &Screen, days: u32) -> Outcome {
    let mut kinds = Vec::new();
    for never_seen in [false, true] {
        let mut devices = Vec::new();
        let mut token = String::new();
        loop {
            let request = v1::ListSilentDevicesRequest {
                page: Some(v1::PageRequest {
                    page_size: PAGE,
                    page_token: token,
                }),
                days,
                never_seen,
            };
            let answer = call(|| {
                let (mut devices, request) = (client.devices(), request.clone());
                async move { devices.list_silent_devices(request).await }
            })
            .await?;
            devices.extend(answer.devices);
            token = answer.page.unwrap_or_default().next_page_token;
            if token.is_empty() {
                break;
            }
        }
        kinds.push(devices);
    }
    let never = kinds.pop().unwrap_or_default();
    let silent = kinds.pop().unwrap_or_default();
    let value = json!({
        "silent": silent.iter().map(silent_json).collect::<Vec<_>>(),
        "never_seen": never.iter().map(silent_json).collect::<Vec<_>>(),
    });
    screen.show(&value, |s| silent_text(s, &silent, &never));
    Ok(())
}

fn silent_json(one: &v1::SilentDevice) -> Value {
    let mut value = device_json(&one.device.clone().unwrap_or_default());
    if let Some(object) = value.as_object_mut() {
        object.insert("silent_ms".to_owned(), json!(one.silent_ms));
        object.insert(
            "last_log_on".to_owned(),
            json!(one.last_log_on.as_ref().map(
                |last| json!({ "login": last.login, "at_ms": last.at_ms, "place": last.place })
            )),
        );
        object.insert(
            "logged_in".to_owned(),
            json!(
                one.logged_in
                    .iter()
                    .map(|user| &user.login)
                    .collect::<Vec<_>>()
            ),
        );
        object.insert("last_address".to_owned(), json!(one.last_address));
    }
    value
}

fn silent_text(screen: &Screen, silent: &[v1::SilentDevice], never: &[v1::SilentDevice]) -> String {
    const DAY_MS: i64 = 86_400_000;
    let unknown = || screen.say("no observado", "not observed").to_owned();
    let heading = [
        screen.say("EQUIPO", "HOST"),
        screen.say("DÍAS", "DAYS"),
        screen.say("VISTO", "SEEN"),
        screen.say("USUARIO", "USER"),
        screen.say("DEPENDENCIA", "UNIT"),
        screen.say("PUESTO", "SEAT"),
        screen.say("CUENTADANTE", "RESPONSIBLE"),
        screen.say("DIRECCIÓN", "ADDRESS"),
        screen.say("PLACA", "PLATE"),
    ];
    let row = |one: &v1::SilentDevice| {
        let device = one.device.clone().unwrap_or_default();
        let facts = device.administrative.unwrap_or_default();
        let mut users: Vec<&str> = one
            .logged_in
            .iter()
            .map(|user| user.login.as_str())
            .collect();
        users.extend(one.last_log_on.as_ref().map(|last| last.login.as_str()));
        users.dedup();
        let or_unknown = |text: String| if text.is_empty() { unknown() } else { text };
        vec![
            device.host_name,
            one.silent_ms
                .map_or_else(String::new, |ms| (ms / DAY_MS).to_string()),
            screen.time(device.last_seen_at_ms),
            or_unknown(users.join(", ")),
            facts.dependency,
            facts.seat,
            facts.responsible,
            or_unknown(one.last_address.clone()),
            facts.plate,
        ]
    };
    let mut out = screen.table(&heading, silent.iter().map(row).collect());
    out.push('\n');
    out.push_str(&screen.tone(
        Tone::Strong,
        &format!("{} {}", silent.len(), screen.say("callados", "silent")),
    ));
    if !never.is_empty() {
        let heading = [
            screen.say("EQUIPO", "HOST"),
            screen.say("INSCRITO", "ENROLLED"),
            screen.say("DEPENDENCIA", "UNIT"),
            screen.say("PUESTO", "SEAT"),
            screen.say("PLACA", "PLATE"),
        ];
        let rows = never
            .iter()
            .map(|one| {
                let device = one.device.clone().unwrap_or_default();
                let facts = device.administrative.unwrap_or_default();
                vec![
                    device.host_name,
                    screen.time(device.enrolled_at_ms),
                    facts.dependency,
                    facts.seat,
                    facts.plate,
                ]
            })
            .collect();
        let title = screen.say("nunca vistos", "never seen");
        out.push_str(&format!(
            "\n\n{}\n{}",
            screen.tone(Tone::Strong, &format!("{} {title}", never.len())),
            screen.table(&heading, rows)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    #[test]
    fn silent_devices_in_both_languages() {
        let device = |name: &str| v1::Device {
            host_name: name.into(),
            enrolled_at_ms: 1_767_330_000_000,
            ..Default::default()
        };
        let silent = v1::SilentDevice {
            device: Some(v1::Device {
                last_seen_at_ms: 1_767_330_000_000,
                administrative: Some(v1::AdministrativeFacts {
                    dependency: "Oficina Jurídica".into(),
                    seat: "Piso 3".into(),
                    ..Default::default()
                }),
                ..device("pc-1")
            }),
            silent_ms: Some(40 * 86_400_000),
            last_log_on: Some(v1::LastLogOn {
                login: "ana".into(),
                ..Default::default()
            }),
            logged_in: vec![],
            last_address: String::new(),
        };
        let never = v1::SilentDevice {
            device: Some(device("pc-2")),
            ..Default::default()
        };
        for (lang, name) in [(Lang::Es, "es"), (Lang::En, "en")] {
            let screen = Screen::plain(lang);
            let text = silent_text(
                &screen,
                std::slice::from_ref(&silent),
                std::slice::from_ref(&never),
            );
            insta::assert_snapshot!(format!("silent_{name}"), text);
        }
    }
}
