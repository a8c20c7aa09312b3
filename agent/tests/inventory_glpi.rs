//! The inventory in GLPI's official JSON: held against our own table of the schema's rules everywhere, and against the
//! official schema where it lies beside the project.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use std::path::Path;

use chasqui_agent::inventory::glpi::{self, render_glpi};
use inventory_support::{MACHINES, Machine};
use serde_json::Value;

/// Section, fields that must be there, fields that are whole numbers, fields that are true or false. All others are text.
#[rustfmt::skip]
type Rule = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);
const RULES: &[Rule] = &[
    ("antivirus", &[], &[], &["enabled", "uptodate"]),
    (
        "batteries",
        &[],
        &["capacity", "real_capacity", "voltage"],
        &[],
    ),
    ("cameras", &[], &[], &[]),
    ("controllers", &[], &[], &[]),
    (
        "cpus",
        &[],
        &[
            "core",
            "corecount",
            "external_clock",
            "speed",
            "stepping",
            "thread",
        ],
        &[],
    ),
    ("drives", &[], &["free", "total"], &["systemdrive"]),
    ("firewalls", &["status"], &[], &[]),
    ("firmwares", &[], &[], &[]),
    ("inputs", &[], &[], &[]),
    (
        "logical_volumes",
        &["lv_name", "lv_uuid", "size"],
        &["size", "seg_count"],
        &[],
    ),
    ("memories", &[], &["capacity", "numslots"], &["removable"]),
    ("modems", &[], &[], &[]),
    ("monitors", &[], &[], &[]),
    (
        "networks",
        &["description"],
        &["mtu"],
        &["virtualdev", "management"],
    ),
    ("ports", &["type"], &[], &[]),
    ("printers", &["name"], &[], &["network", "shared"]),
    ("remote_mgmt", &["id", "type"], &[], &[]),
    ("slots", &["name"], &[], &[]),
    ("softwares", &["name"], &["filesize"], &["no_remove"]),
    ("sounds", &[], &[], &[]),
    ("storages", &[], &["disksize"], &[]),
    ("usbdevices", &[], &[], &[]),
    ("users", &[], &[], &[]),
    ("videos", &[], &["memory"], &[]),
    ("virtualmachines", &["name"], &["memory", "vcpu"], &[]),
    (
        "volume_groups",
        &[
            "free",
            "lv_count",
            "pv_count",
            "size",
            "vg_extent_size",
            "vg_name",
            "vg_uuid",
        ],
        &["free", "lv_count", "pv_count", "size"],
        &[],
    ),
];

fn check(what: &str, message: &Value) {
    let root = message.as_object().unwrap();
    let known = ["action", "deviceid", "itemtype", "content", "partial"];
    assert!(
        root.keys().all(|key| known.contains(&key.as_str())),
        "{what}"
    );
    assert!(
        root["deviceid"].is_string() && root["itemtype"] == "Computer",
        "{what}"
    );
    let content = root["content"].as_object().unwrap();
    assert!(content["versionclient"].is_string(), "{what}");
    for (section, required, numbers, flags) in RULES {
        for item in content
            .get(*section)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let item = item.as_object().unwrap();
            for field in *required {
                assert!(
                    item.contains_key(*field),
                    "{what}: {section} without {field}"
                );
            }
            for (field, value) in item {
                let right = if numbers.contains(&field.as_str()) {
                    value.is_u64()
                } else if flags.contains(&field.as_str()) {
                    value.is_boolean()
                } else {
                    value.is_string()
                };
                assert!(right, "{what}: {section}.{field} is {value}");
            }
        }
    }
    for network in content
        .get("networks")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if let Some(status) = network.get("status") {
            assert!(status == "up" || status == "down", "{what}: {status}");
        }
        if let Some(address) = network.get("ipaddress") {
            assert!(
                address
                    .as_str()
                    .unwrap()
                    .parse::<std::net::Ipv4Addr>()
                    .is_ok(),
                "{what}"
            );
        }
    }
}

#[test]
fn every_machine_keeps_the_rules_of_the_schema() {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/domain/inventory_format/inventory.schema.json");
    let official = std::fs::read(schema)
        .ok()
        .map(|bytes| jsonschema::validator_for(&serde_json::from_slice(&bytes).unwrap()).unwrap());
    for name in MACHINES {
        let inventory = Machine::new(name).collect();
        let part = [
            glpi::find("software").unwrap(),
            glpi::find("network").unwrap(),
        ];
        for message in [
            render_glpi(&inventory, "pc-1970-01-01-00-00-00", &[]),
            render_glpi(&inventory, "pc-1970-01-01-00-00-00", &part),
        ] {
            check(name, &message);
            if let Some(official) = &official {
                let wrong: Vec<_> = official
                    .iter_errors(&message)
                    .map(|e| e.to_string())
                    .collect();
                assert!(wrong.is_empty(), "{name}: {wrong:?}");
            }
        }
    }
}

#[test]
fn a_partial_inventory_holds_what_was_asked_and_who_the_machine_is() {
    let inventory = Machine::new("dell-latitude-5440").collect();
    let part = [glpi::find("software").unwrap()];
    let message = render_glpi(&inventory, "pc", &part);
    assert_eq!(message["partial"], true);
    let content = message["content"].as_object().unwrap();
    for key in [
        "bios",
        "hardware",
        "softwares",
        "operatingsystem",
        "chasqui_identity",
    ] {
        assert!(content.contains_key(key), "{key}");
    }
    for key in ["networks", "storages", "cpus", "chasqui_network"] {
        assert!(!content.contains_key(key), "{key}");
    }
}

/// What GLPI's own agents write: a model that people know, makers by their names, numbers of classes, a name and a version.
#[test]
fn values_are_in_the_protocols_words() {
    let content = |name: &str| {
        let inventory = Machine::new(name).collect();
        render_glpi(&inventory, "pc", &[])["content"].clone()
    };
    let lenovo = content("lenovo-without-root");
    assert_eq!(lenovo["bios"]["smodel"], "ThinkCentre M710q");
    let hp = content("hp-compaq-6300");
    assert_eq!(hp["storages"][0]["manufacturer"], "Seagate");
    let dell = content("dell-latitude-5440");
    assert_eq!(dell["cpus"][0]["manufacturer"], "Intel");
    assert_eq!(dell["bios"]["smodel"], "Latitude 5440");
    let system = &dell["operatingsystem"];
    assert_eq!(
        (&system["name"], &system["version"]),
        (&"Ubuntu".into(), &"24.04".into())
    );
    let usb = dell["usbdevices"].as_array().unwrap();
    let classes: Vec<&str> = usb.iter().filter_map(|one| one["class"].as_str()).collect();
    assert!(!classes.is_empty());
    assert!(
        classes.iter().all(|class| class.parse::<u8>().is_ok()),
        "{classes:?}"
    );
    let networks = dell["networks"].as_array().unwrap();
    let near = networks
        .iter()
        .find(|one| one["ipgateway"].is_string())
        .unwrap();
    assert_eq!(near["ipgateway"], dell["hardware"]["defaultgateway"]);
    assert!(networks.iter().any(|one| one["ipgateway"].is_null()));
}
