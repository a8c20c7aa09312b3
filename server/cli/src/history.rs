//! `device history`, `device diff`, `device alarms`: what changed of a machine, in words.

use chasqui_base::clock::{DAY_MS, now_ms};
use chasqui_proto::facts::{kind_name, kind_of_name, words};
use chasqui_proto::v1::{self, InventoryChangeKind as Kind};
use serde_json::{Value, json};

use crate::client::{Client, call};
use crate::failure::Outcome;
use crate::output::{Screen, Tone, clean};
use crate::ticket::more;

/// Longest value shown in a table, characters.
const MAX_SHOWN: usize = 60;
/// How far back is compared when nobody says.
const COMPARED_MS: i64 = 30 * DAY_MS;

/// The number of a section by its name.
pub fn section(name: &str) -> Result<i32, String> {
    kind_of_name(name)
        .map(i32::from)
        .ok_or_else(|| format!("{name:?} is no section: memory, disks, software, ..."))
}

/// What changed of a device.
pub async fn list(
    client: &Client,
    screen: &Screen,
    device: &v1::Device,
    (since_ms, kinds): (Option<i64>, Vec<i32>),
    page: v1::PageRequest,
) -> Outcome {
    let request = v1::ListInventoryChangesRequest {
        device_id: device.id.clone(),
        since_ms: since_ms.map_or(0, |span| now_ms().saturating_sub(span)),
        until_ms: 0,
        kinds,
        page: Some(page),
    };
    let answer = call(|| {
        let (mut inventory, request) = (client.inventory(), request.clone());
        async move { inventory.list_inventory_changes(request).await }
    })
    .await?;
    let next = answer.page.unwrap_or_default().next_page_token;
    let value = json!({
        "device_id": device.id,
        "changes": answer.changes.iter().map(change_json).collect::<Vec<_>>(),
        "left_out": answer.left_out,
        "next_page": next,
    });
    screen.show(&value, |s| {
        let table = table(s, &answer.changes, answer.left_out, true);
        format!("{table}{}", more(s, &next))
    });
    Ok(())
}

/// What differs between two moments of a device, or between two devices.
pub async fn compare(
    client: &Client,
    screen: &Screen,
    (device, other): (v1::Device, Option<v1::Device>),
    (from_ms, to_ms): (Option<i64>, Option<i64>),
) -> Outcome {
    let ago = |span: i64| now_ms().saturating_sub(span);
    let from_ms = match (from_ms, &other) {
        (None, None) => Some(COMPARED_MS),
        (from_ms, _) => from_ms,
    };
    let request = v1::CompareInventoryRequest {
        from: Some(v1::InventoryMoment {
            device_id: device.id.clone(),
            at_ms: from_ms.map(ago),
        }),
        to: Some(v1::InventoryMoment {
            device_id: other.map_or_else(|| device.id.clone(), |other| other.id),
            at_ms: to_ms.map(ago),
        }),
        kinds: Vec::new(),
    };
    let answer = call(|| {
        let (mut inventory, request) = (client.inventory(), request.clone());
        async move { inventory.compare_inventory(request).await }
    })
    .await?;
    let value = json!({
        "changes": answer.changes.iter().map(change_json).collect::<Vec<_>>(),
        "left_out": answer.left_out,
    });
    screen.show(&value, |s| {
        table(s, &answer.changes, answer.left_out, false)
    });
    Ok(())
}

/// Parts that left or turned up.
pub async fn alarms(
    client: &Client,
    screen: &Screen,
    request: v1::ListInventoryAlarmsRequest,
) -> Outcome {
    let answer = call(|| {
        let (mut inventory, request) = (client.inventory(), request.clone());
        async move { inventory.list_inventory_alarms(request).await }
    })
    .await?;
    let next = answer.page.unwrap_or_default().next_page_token;
    let value = json!({
        "alarms": answer.alarms.iter().map(alarm_json).collect::<Vec<_>>(),
        "next_page": next,
    });
    screen.show(&value, |s| {
        format!("{}{}", alarm_table(s, &answer.alarms), more(s, &next))
    });
    Ok(())
}

/// Says what an alarm was about.
pub async fn acknowledge(
    client: &Client,
    screen: &Screen,
    alarm_id: String,
    reason: String,
) -> Outcome {
    let request = v1::AcknowledgeInventoryAlarmRequest { alarm_id, reason };
    let answer = call(|| {
        let (mut inventory, request) = (client.inventory(), request.clone());
        async move { inventory.acknowledge_inventory_alarm(request).await }
    })
    .await?;
    let alarm = answer.alarm.unwrap_or_default();
    screen.show(&alarm_json(&alarm), |s| {
        alarm_table(s, std::slice::from_ref(&alarm))
    });
    Ok(())
}

fn kind_text(screen: &Screen, kind: Kind) -> String {
    let (tone, es, en) = match kind {
        Kind::Unspecified => (Tone::Dim, "otro", "other"),
        Kind::Added => (Tone::Good, "nuevo", "added"),
        Kind::Removed => (Tone::Bad, "ya no está", "removed"),
        Kind::Changed => (Tone::Warn, "cambió", "changed"),
        Kind::Unreadable => (Tone::Dim, "no se pudo leer", "could not be read"),
        Kind::ReadableAgain => (Tone::Dim, "se lee de nuevo", "readable again"),
        Kind::FirstObserved => (Tone::Dim, "primera vez", "first observed"),
    };
    screen.tone(tone, screen.lang.pick(es, en))
}

fn kind_name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "unspecified",
        Kind::Added => "added",
        Kind::Removed => "removed",
        Kind::Changed => "changed",
        Kind::Unreadable => "unreadable",
        Kind::ReadableAgain => "readable_again",
        Kind::FirstObserved => "first_observed",
    }
}

/// `modules.serial` in words.
fn path_text(screen: &Screen, path: &str) -> String {
    let words: Vec<&str> = path
        .split('.')
        .filter(|name| !name.is_empty())
        .map(|name| words::field(name, screen.lang))
        .collect();
    clean(&words.join(" › "))
}

fn value_text(text: &str) -> String {
    let shown = match serde_json::from_str::<Value>(text) {
        Ok(Value::String(text)) => text,
        Ok(value) => value.to_string(),
        Err(_) => text.to_owned(),
    };
    let shown = clean(&shown);
    if shown.chars().count() <= MAX_SHOWN {
        return shown;
    }
    let mut cut: String = shown.chars().take(MAX_SHOWN - 1).collect();
    cut.push('…');
    cut
}

fn table(screen: &Screen, changes: &[v1::InventoryChange], left_out: u32, times: bool) -> String {
    if changes.is_empty() {
        return screen.say("sin cambios\n", "no changes\n").to_owned();
    }
    let rows = changes
        .iter()
        .map(|change| {
            let mut row = Vec::with_capacity(7);
            if times {
                row.push(screen.time(change.at_ms));
            }
            row.extend([
                words::section(change.section(), screen.lang).to_owned(),
                kind_text(screen, change.kind()),
                clean(&change.item),
                path_text(screen, &change.path),
                value_text(&change.before),
                value_text(&change.after),
            ]);
            row
        })
        .collect();
    let mut heading = Vec::with_capacity(7);
    if times {
        heading.push(screen.say("CUÁNDO", "WHEN"));
    }
    heading.extend([
        screen.say("SECCIÓN", "SECTION"),
        screen.say("QUÉ", "WHAT"),
        screen.say("DE", "OF"),
        screen.say("CAMPO", "FIELD"),
        screen.say("ANTES", "BEFORE"),
        screen.say("DESPUÉS", "AFTER"),
    ]);
    let mut out = screen.table(&heading, rows);
    out.push('\n');
    if left_out > 0 {
        out.push_str(&format!(
            "{} {left_out}\n",
            screen.say("cambios que no se muestran:", "changes not shown:")
        ));
    }
    out
}

fn change_json(change: &v1::InventoryChange) -> Value {
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({
        "section": kind_name(change.section()),
        "at_ms": change.at_ms,
        "kind": kind_name_of(change.kind()),
        "path": change.path,
        "item": change.item,
        "before": value(&change.before),
        "after": value(&change.after),
    })
}

fn alarm_table(screen: &Screen, alarms: &[v1::InventoryAlarm]) -> String {
    if alarms.is_empty() {
        return screen.say("sin alarmas\n", "no alarms\n").to_owned();
    }
    let rows = alarms
        .iter()
        .map(|alarm| {
            let part = match alarm.part.as_str() {
                "memory_module" => screen.say("módulo de memoria", "memory module"),
                "disk" => screen.say("disco", "disk"),
                "monitor" => screen.say("monitor", "monitor"),
                "battery" => screen.say("batería", "battery"),
                other => other,
            };
            let happened = match alarm.happened.as_str() {
                "left" => screen.say("salió del equipo", "left the device"),
                "turned_up" => screen.say("apareció en el equipo", "turned up in the device"),
                other => other,
            };
            let level = match alarm.level() {
                v1::InventoryAlarmLevel::High => screen.tone(Tone::Bad, screen.say("alta", "high")),
                v1::InventoryAlarmLevel::Low => screen.tone(Tone::Dim, screen.say("baja", "low")),
                v1::InventoryAlarmLevel::Unspecified => String::new(),
            };
            vec![
                alarm.id.clone(),
                screen.time(alarm.at_ms),
                level,
                clean(part),
                clean(&alarm.name),
                clean(&alarm.serial),
                clean(happened),
                alarm.device_id.clone(),
                alarm.other_device_id.clone(),
                clean(&alarm.reason),
            ]
        })
        .collect();
    let mut out = screen.table(
        &[
            "ID",
            screen.say("CUÁNDO", "WHEN"),
            screen.say("NIVEL", "LEVEL"),
            screen.say("PARTE", "PART"),
            screen.say("NOMBRE", "NAME"),
            screen.say("SERIE", "SERIAL"),
            screen.say("QUÉ PASÓ", "HAPPENED"),
            screen.say("EQUIPO", "DEVICE"),
            screen.say("OTRO EQUIPO", "OTHER DEVICE"),
            screen.say("EXPLICACIÓN", "EXPLANATION"),
        ],
        rows,
    );
    out.push('\n');
    out
}

fn alarm_json(alarm: &v1::InventoryAlarm) -> Value {
    let level = match alarm.level() {
        v1::InventoryAlarmLevel::High => "high",
        v1::InventoryAlarmLevel::Low => "low",
        v1::InventoryAlarmLevel::Unspecified => "unspecified",
    };
    json!({
        "id": alarm.id,
        "device_id": alarm.device_id,
        "other_device_id": alarm.other_device_id,
        "part": alarm.part,
        "serial": alarm.serial,
        "name": alarm.name,
        "happened": alarm.happened,
        "level": level,
        "at_ms": alarm.at_ms,
        "acknowledged_at_ms": alarm.acknowledged_at_ms,
        "acknowledged_by": alarm.acknowledged_by,
        "reason": alarm.reason,
    })
}

#[cfg(test)]
mod tests {
    use chasqui_base::text::Lang;

    use super::*;

    #[test]
    fn a_change_reads_in_both_languages() {
        let change = v1::InventoryChange {
            section: v1::SectionKind::Memory.into(),
            at_ms: 1_767_330_000_000,
            kind: Kind::Changed.into(),
            path: "modules.serial".into(),
            item: "DIMM A1".into(),
            before: "\"111\"".into(),
            after: "\"222\"".into(),
        };
        let es = table(
            &Screen::plain(Lang::Es),
            std::slice::from_ref(&change),
            3,
            true,
        );
        for word in [
            "Memoria",
            "cambió",
            "DIMM A1",
            "serie",
            "111",
            "222",
            "no se muestran: 3",
        ] {
            assert!(es.contains(word), "{word}: {es}");
        }
        let en = table(
            &Screen::plain(Lang::En),
            std::slice::from_ref(&change),
            0,
            false,
        );
        for word in ["Memory", "changed", "serial", "AFTER"] {
            assert!(en.contains(word), "{word}: {en}");
        }
        let value = change_json(&change);
        assert_eq!(
            (&value["kind"], &value["before"]),
            (&json!("changed"), &json!("111"))
        );
    }
}
