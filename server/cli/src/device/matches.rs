//! `device matches` and `device split`: devices that may be one machine, side by side, and what people decide.

use chasqui_proto::v1;
use serde_json::{Value, json};

use super::args::{MatchCommand, MatchStateName, MatchesArgs, SideName};
use super::{device_json, show_one};
use crate::client::{Client, call};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone, clean, enum_name};
use crate::ticket::more;

pub async fn run(client: &Client, screen: &Screen, args: MatchesArgs) -> Outcome {
    match args.command {
        None => {
            let state = match args.state {
                None | Some(MatchStateName::Open) => v1::DeviceMatchState::Open,
                Some(MatchStateName::Merged) => v1::DeviceMatchState::Merged,
                Some(MatchStateName::Apart) => v1::DeviceMatchState::Apart,
                Some(MatchStateName::Withdrawn) => v1::DeviceMatchState::Withdrawn,
            };
            let request = v1::ListDeviceMatchesRequest {
                page: Some(v1::PageRequest {
                    page_size: args.page.limit,
                    page_token: args.page.page,
                }),
                state: state as i32,
                match_id: String::new(),
            };
            let answer = list(client, request).await?;
            let next = answer.page.unwrap_or_default().next_page_token;
            let value = json!({
                "matches": answer.matches.iter().map(match_json).collect::<Vec<_>>(),
                "next_page": next,
            });
            screen.show(&value, |s| {
                format!("{}{}", table(s, &answer.matches), more(s, &next))
            });
        }
        Some(MatchCommand::Show { id }) => {
            let found = one(client, &id).await?;
            screen.show(&match_json(&found), |s| render(s, &found));
        }
        Some(MatchCommand::Merge {
            id,
            keep_facts_of,
            reason,
            yes,
        }) => {
            let found = one(client, &id).await?;
            if !screen.json {
                screen.note(render(screen, &found).trim_end());
            }
            let (a, b) = (host_name(&found.a), host_name(&found.b));
            screen.confirm(
                &format!(
                    "¿Fusionar? B ({}) se retira y A ({}) continúa con él.",
                    clean(&b),
                    clean(&a)
                ),
                &format!(
                    "Merge? B ({}) is retired and A ({}) goes on with it.",
                    clean(&b),
                    clean(&a)
                ),
                yes,
            )?;
            let side = match keep_facts_of {
                None => v1::DeviceMatchSide::Unspecified,
                Some(SideName::A) => v1::DeviceMatchSide::A,
                Some(SideName::B) => v1::DeviceMatchSide::B,
            };
            let decision = v1::DeviceMatchDecision::Merge;
            resolve(client, screen, request(id, decision, reason, side)).await?;
        }
        Some(MatchCommand::Apart { id, reason }) => {
            let decision = v1::DeviceMatchDecision::KeepApart;
            let side = v1::DeviceMatchSide::Unspecified;
            resolve(client, screen, request(id, decision, reason, side)).await?;
        }
    }
    Ok(())
}

/// Undoes a merge.
pub async fn split(client: &Client, screen: &Screen, device_id: String, reason: String) -> Outcome {
    let request = v1::SplitDeviceRequest { device_id, reason };
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.split_device(request).await }
    })
    .await?;
    if !answer.kept_fields.is_empty() {
        let names = answer.kept_fields.join(", ");
        screen.warn(
            &format!("el otro equipo conserva lo que se cambió después de la fusión: {names}"),
            &format!("the other device keeps what was changed after the merge: {names}"),
        );
    }
    show_one(screen, &answer.device.unwrap_or_default());
    Ok(())
}

fn host_name(device: &Option<v1::Device>) -> String {
    device.clone().unwrap_or_default().host_name
}

async fn list(
    client: &Client,
    request: v1::ListDeviceMatchesRequest,
) -> Outcome<v1::ListDeviceMatchesResponse> {
    call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.list_device_matches(request).await }
    })
    .await
}

async fn one(client: &Client, id: &str) -> Outcome<v1::DeviceMatch> {
    let request = v1::ListDeviceMatchesRequest {
        match_id: id.to_owned(),
        ..Default::default()
    };
    let answer = list(client, request).await?;
    answer.matches.into_iter().next().ok_or_else(|| {
        Failure::new(
            Exit::NotFound,
            "MATCH_UNKNOWN",
            "no existe esa coincidencia",
            "there is no such match",
        )
    })
}

fn request(
    match_id: String,
    decision: v1::DeviceMatchDecision,
    reason: String,
    side: v1::DeviceMatchSide,
) -> v1::ResolveDeviceMatchRequest {
    v1::ResolveDeviceMatchRequest {
        match_id,
        decision: decision as i32,
        reason,
        keep_facts_of: side as i32,
    }
}

async fn resolve(
    client: &Client,
    screen: &Screen,
    request: v1::ResolveDeviceMatchRequest,
) -> Outcome {
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.resolve_device_match(request).await }
    })
    .await?;
    let found = answer.r#match.unwrap_or_default();
    let (cancelled, remaining) = (answer.cancelled_order_ids, answer.remaining_order_ids);
    let mut value = match_json(&found);
    if let Some(object) = value.as_object_mut() {
        object.insert("cancelled_order_ids".to_owned(), json!(cancelled));
        object.insert("remaining_order_ids".to_owned(), json!(remaining));
    }
    screen.show(&value, |s| {
        let mut out = format!("{}\n", state_text(s, found.state()));
        let late = ("órdenes que terminan por tiempo", "orders that end by time");
        for ((es, en), ids) in [
            (("órdenes canceladas", "orders called off"), &cancelled),
            (late, &remaining),
        ] {
            if !ids.is_empty() {
                out.push_str(&format!("{}: {}\n", s.say(es, en), ids.join(", ")));
            }
        }
        out
    });
    Ok(())
}

fn state_text(screen: &Screen, state: v1::DeviceMatchState) -> &'static str {
    let (es, en) = match state {
        v1::DeviceMatchState::Unspecified => ("sin estado", "no state"),
        v1::DeviceMatchState::Open => ("espera una decisión", "waits for a decision"),
        v1::DeviceMatchState::Merged => ("fusionados", "merged"),
        v1::DeviceMatchState::Apart => ("separados", "kept apart"),
        v1::DeviceMatchState::Withdrawn => (
            "descartada por lo observado después",
            "withdrawn by what was observed since",
        ),
    };
    screen.lang.pick(es, en)
}

fn verdict_text(screen: &Screen, verdict: v1::DeviceMatchVerdict) -> &'static str {
    let (es, en) = match verdict {
        v1::DeviceMatchVerdict::Unspecified => ("sin dictamen", "no verdict"),
        v1::DeviceMatchVerdict::Same => ("el mismo equipo", "one machine"),
        v1::DeviceMatchVerdict::Ambiguous => ("ambiguo", "ambiguous"),
    };
    screen.lang.pick(es, en)
}

fn kind_text<'a>(screen: &Screen, kind: &'a str) -> &'a str {
    let (es, en) = match kind {
        "reimaged" => ("reinstalado", "installed anew"),
        "board_replaced" => ("tarjeta madre cambiada", "board replaced"),
        "virtual_again" => (
            "máquina virtual inscrita de nuevo",
            "virtual machine enrolled anew",
        ),
        "alive_in_turns" => ("activos por turnos", "alive in turns"),
        "unclear" => ("no está claro", "not clear"),
        other => return other,
    };
    screen.lang.pick(es, en)
}

fn row_name<'a>(screen: &Screen, name: &'a str) -> &'a str {
    let (es, en) = match name {
        "host_name" => ("equipo", "host"),
        "model" => ("modelo", "model"),
        "machine_kind" => ("tipo", "kind"),
        "smbios_uuid" => ("UUID", "UUID"),
        "system_serial" => ("serial del equipo", "system serial"),
        "board_serial" => ("serial de la tarjeta", "board serial"),
        "chassis_serial" => ("serial del chasis", "chassis serial"),
        "disk_serials" => ("discos", "disks"),
        "macs" => ("red", "network"),
        "machine_id" => ("instalación", "installation"),
        "plate" => ("placa", "plate"),
        "dependency" => ("dependencia", "unit"),
        "seat" => ("puesto", "seat"),
        "responsible" => ("cuentadante", "responsible"),
        "purchase_date" => ("compra", "purchased"),
        "cost" => ("costo", "cost"),
        "currency" => ("moneda", "currency"),
        "contract" => ("contrato", "contract"),
        "invoice" => ("factura", "invoice"),
        "supplier" => ("proveedor", "supplier"),
        "warranty_end" => ("garantía hasta", "warranty until"),
        "note" => ("nota", "note"),
        other => return other,
    };
    screen.lang.pick(es, en)
}

fn match_json(found: &v1::DeviceMatch) -> Value {
    json!({
        "id": found.id,
        "verdict": enum_name(found.verdict().as_str_name(), "DEVICE_MATCH_VERDICT_"),
        "state": enum_name(found.state().as_str_name(), "DEVICE_MATCH_STATE_"),
        "kind": found.kind,
        "a": found.a.as_ref().map(device_json),
        "b": found.b.as_ref().map(device_json),
        "findings": found.findings.iter().map(|finding| {
            let text = finding.text.clone().unwrap_or_default();
            json!({
                "code": finding.code,
                "weight": finding.weight,
                "text": { "es": text.es, "en": text.en },
            })
        }).collect::<Vec<_>>(),
        "rows": found.rows.iter().map(|row| json!({
            "name": row.name, "a": row.a, "b": row.b, "conflict": row.conflict,
        })).collect::<Vec<_>>(),
        "proposed_at_ms": found.proposed_at_ms,
        "resolved_at_ms": found.resolved_at_ms,
        "resolved_by": found.resolved_by,
        "reason": found.reason,
    })
}

fn table(screen: &Screen, matches: &[v1::DeviceMatch]) -> String {
    let heading = [
        "ID",
        screen.say("DICTAMEN", "VERDICT"),
        screen.say("QUÉ PASÓ", "WHAT HAPPENED"),
        "A",
        "B",
        screen.say("PROPUESTA", "PROPOSED"),
    ];
    let rows = matches
        .iter()
        .map(|found| {
            vec![
                found.id.clone(),
                verdict_text(screen, found.verdict()).to_owned(),
                kind_text(screen, &found.kind).to_owned(),
                host_name(&found.a),
                host_name(&found.b),
                screen.time(found.proposed_at_ms),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}

/// Both devices side by side with what led to the proposal.
fn render(screen: &Screen, found: &v1::DeviceMatch) -> String {
    let (a, b) = (
        found.a.clone().unwrap_or_default(),
        found.b.clone().unwrap_or_default(),
    );
    let seen = |device: &v1::Device| {
        if device.connected {
            screen.say("ahora", "now").to_owned()
        } else {
            screen.time(device.last_seen_at_ms)
        }
    };
    let missing = |text: &str| {
        if text.is_empty() {
            "—".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut rows: Vec<Vec<String>> = found
        .rows
        .iter()
        .map(|row| {
            let mark = match (row.a.is_empty() || row.b.is_empty(), row.conflict) {
                (true, _) => "",
                (_, true) => "!",
                _ if row.a == row.b => "=",
                _ => "≠",
            };
            let name = row_name(screen, &row.name).to_owned();
            vec![name, missing(&row.a), mark.to_owned(), missing(&row.b)]
        })
        .collect();
    let enrolled = |device: &v1::Device| screen.time(device.enrolled_at_ms);
    for (name, one, two) in [
        (
            screen.say("inscrito", "enrolled"),
            enrolled(&a),
            enrolled(&b),
        ),
        (screen.say("visto", "seen"), seen(&a), seen(&b)),
        ("id", a.id.clone(), b.id.clone()),
    ] {
        rows.push(vec![name.to_owned(), one, String::new(), two]);
    }
    let heading = [
        "",
        screen.say("A (continúa)", "A (goes on)"),
        "",
        screen.say("B (conocido)", "B (known before)"),
    ];
    let mut out = format!(
        "{} — {}, {}\n{}\n\n{}\n",
        screen.tone(Tone::Strong, verdict_text(screen, found.verdict())),
        clean(kind_text(screen, &found.kind)),
        state_text(screen, found.state()),
        screen.table(&heading, rows),
        screen.say("Evidencia:", "Evidence:")
    );
    for finding in &found.findings {
        let text = finding.text.clone().unwrap_or_default();
        let sign = match finding.weight {
            0 => "·",
            weight if weight > 0 => "+",
            _ => "-",
        };
        let words = clean(screen.say(&text.es, &text.en));
        out.push_str(&format!("  {sign} {words}\n"));
    }
    if found.resolved_at_ms > 0 {
        let reason = clean(&found.reason);
        out.push_str(&format!("{}: {reason}\n", screen.say("motivo", "reason")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    #[test]
    fn two_devices_stand_side_by_side_in_both_languages() {
        let device = |id: &str, host_name: &str| v1::Device {
            id: id.into(),
            host_name: host_name.into(),
            enrolled_at_ms: 1_767_330_000_000,
            ..Default::default()
        };
        let row = |name: &str, a: &str, b: &str, conflict| v1::DeviceMatchRow {
            name: name.into(),
            a: a.into(),
            b: b.into(),
            conflict,
        };
        let finding = |code: &str, weight, es: &str, en: &str| v1::DeviceMatchFinding {
            code: code.into(),
            weight,
            text: Some(v1::Text {
                es: es.into(),
                en: en.into(),
            }),
        };
        let found = v1::DeviceMatch {
            id: "01976000-0000-7000-8000-000000000009".into(),
            verdict: v1::DeviceMatchVerdict::Same as i32,
            state: v1::DeviceMatchState::Open as i32,
            kind: "reimaged".into(),
            a: Some(device("01976000-0000-7000-8000-000000000003", "pc-nuevo")),
            b: Some(device("01976000-0000-7000-8000-000000000001", "pc-07")),
            findings: vec![
                finding(
                    "uuid_equal",
                    40,
                    "UUID de SMBIOS: igual",
                    "SMBIOS UUID: equal",
                ),
                finding(
                    "nics_differs",
                    -10,
                    "tarjetas de red: distinto",
                    "network hardware: different",
                ),
                finding(
                    "rule_uuid_and_serial",
                    0,
                    "Identifican un equipo físico.",
                    "They identify a physical machine.",
                ),
            ],
            rows: vec![
                row("host_name", "pc-nuevo", "pc-07", false),
                row("system_serial", "BTQ4D33", "BTQ4D33", false),
                row("board_serial", "", "X-1", false),
                row("plate", "100-8", "100-7", true),
            ],
            proposed_at_ms: 1_767_330_000_000,
            ..Default::default()
        };
        let (es, en) = (Screen::plain(Lang::Es), Screen::plain(Lang::En));
        insta::assert_snapshot!("match_es", render(&es, &found));
        insta::assert_snapshot!("match_en", render(&en, &found));
        insta::assert_snapshot!("matches_es", table(&es, std::slice::from_ref(&found)));
        insta::assert_json_snapshot!("match_json", match_json(&found));
    }
}
