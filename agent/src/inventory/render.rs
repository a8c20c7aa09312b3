//! The inventory as JSON: field names as in the API, with where each group came from and what could not be read. A
//! missing field was not observed; `unread` says why.

use chasqui_proto::v1;
use serde_json::{Map, Value, json};
use v1::section_facts::Facts;

use super::{Inventory, kind_name};

/// The whole inventory.
pub fn render_json(inventory: &Inventory) -> Value {
    let sections: Vec<Value> = inventory.sections.iter().map(section).collect();
    let volatile = &inventory.volatile;
    let free_space: Vec<Value> = volatile
        .free_space
        .iter()
        .map(|space| json!({"mount_point": space.mount_point, "free_bytes": space.free_bytes}))
        .collect();
    let mut moving = Map::new();
    moving.insert("observed_at_ms".into(), volatile.observed_at_ms.into());
    put(&mut moving, "boot_id", &volatile.boot_id);
    put(&mut moving, "uptime_s", &volatile.uptime_s);
    put(
        &mut moving,
        "memory_available_bytes",
        &volatile.memory_available_bytes,
    );
    moving.insert("free_space".into(), free_space.into());
    json!({"sections": sections, "volatile": moving})
}

/// The facts and gaps of one section, without digest, provenance and times.
pub fn render_facts(section: &v1::SectionFacts) -> Value {
    let unread: Vec<Value> = section
        .unread
        .iter()
        .map(|unread| {
            json!({
                "group": unread.group,
                "reason": reason_name(unread.reason()),
                "detail": unread.detail,
            })
        })
        .collect();
    json!({"facts": section.facts.as_ref().map(facts), "unread": unread})
}

/// `permission`, as the API names it without its prefix.
pub fn reason_name(reason: v1::UnreadReason) -> String {
    short(reason.as_str_name(), "UNREAD_REASON_")
}

fn section(section: &v1::Section) -> Value {
    let decoded = <v1::SectionFacts as prost::Message>::decode(section.facts.clone());
    let body = decoded.as_ref().map(render_facts).unwrap_or_default();
    let provenance: Vec<Value> = section
        .provenance
        .iter()
        .map(|entry| json!({"group": entry.group, "source": entry.source}))
        .collect();
    json!({
        "kind": kind_name(section.kind()),
        "digest": hex::encode(&section.digest),
        "observed_at_ms": section.observed_at_ms,
        "collector_version": section.collector_version,
        "facts": body.get("facts"),
        "unread": body.get("unread"),
        "provenance": provenance,
    })
}

fn put<T: Clone + Into<Value>>(map: &mut Map<String, Value>, name: &str, value: &Option<T>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value.clone().into());
    }
}

fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// Writes a message's fields by name: optional ones where observed, then those that are always there.
macro_rules! fields {
    ($message:expr, optional [$($optional:ident),* $(,)?] $(, always { $($name:literal: $value:expr),* $(,)? })?) => {{
        let mut map = Map::new();
        $(put(&mut map, stringify!($optional).trim_start_matches("r#"), &$message.$optional);)*
        $($(map.insert($name.to_owned(), $value.into());)*)?
        Value::Object(map)
    }};
}

fn all<T>(list: &[T], one: impl Fn(&T) -> Value) -> Value {
    list.iter().map(one).collect::<Vec<_>>().into()
}

fn facts(facts: &Facts) -> Value {
    match facts {
        Facts::Identity(f) => fields!(f, optional [
            smbios_uuid, system_serial, board_serial, chassis_serial, asset_tag, machine_id_sha256, host_name,
            domain_name,
        ]),
        Facts::Hardware(f) => fields!(f, optional [
            manufacturer, model, product_version, product_family, sku, board_manufacturer, board_model, chassis_type,
            firmware_vendor, firmware_version, firmware_date, uefi, virtualization,
        ]),
        Facts::Cpu(f) => fields!(f, optional [sockets, cores, threads, architecture], always {
            "cpus": all(&f.cpus, |c| fields!(c, optional [
                vendor, model_name, family, model, stepping, cores, threads, max_mhz,
            ], always { "features": c.features.clone() })),
        }),
        Facts::Memory(f) => {
            fields!(f, optional [visible_bytes, installed_bytes, slots, swap_bytes], always {
                "modules": all(&f.modules, |m| fields!(m, optional [
                    slot, size_bytes, r#type, speed_mts, manufacturer, part_number, serial,
                ])),
            })
        }
        Facts::Disks(f) => fields!(f, optional [], always {
            "disks": all(&f.disks, |d| fields!(d, optional [
                model, serial, firmware, size_bytes, bus, removable, system,
            ], always {
                "name": d.name.clone(),
                "kind": short(d.kind().as_str_name(), "DISK_KIND_"),
            })),
            "file_systems": all(&f.file_systems, |s| fields!(s, optional [size_bytes], always {
                "mount_point": s.mount_point.clone(),
                "device": s.device.clone(),
                "type": s.r#type.clone(),
            })),
        }),
        Facts::Network(f) => fields!(f, optional [], always {
            "interfaces": all(&f.interfaces, |i| fields!(i, optional [
                mac, r#type, mtu, up, speed_mbps,
            ], always { "name": i.name.clone(), "addresses": i.addresses.clone() })),
            "dns_servers": f.dns_servers.clone(),
            "default_gateways": f.default_gateways.clone(),
        }),
        Facts::OperatingSystem(f) => fields!(f, optional [
            family, product, name, version, codename, edition, kernel, architecture, installed_on,
        ]),
        Facts::Software(f) => fields!(f, optional [], always {
            "items": all(&f.items, |s| fields!(s, optional [
                architecture, publisher, size_bytes, installed_at_ms,
            ], always {
                "name": s.name.clone(),
                "version": s.version.clone(),
                "source": s.source.clone(),
            })),
        }),
    }
}
