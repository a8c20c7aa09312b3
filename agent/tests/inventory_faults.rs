//! Sources that are cut, emptied or lie: no panic, no hang, and a missing fact is never left unexplained.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use std::collections::BTreeSet;

use chasqui_agent::inventory::linux::smbios::{self, Smbios, kind};
use chasqui_agent::inventory::{self, Inventory};
use chasqui_proto::facts;
use chasqui_proto::v1::{self, UnreadReason};
use inventory_support::{self as support, MACHINES, Machine, reason, rpm};
use proptest::prelude::*;
use prost::Message;
use prost_reflect::{Kind, MessageDescriptor};
use serde_json::Value;

/// Every optional field (and every enumeration that says "unspecified") without an `unread` entry of its name. An entry
/// for a field of a thing in a list names the thing (`disks.disks.sda.serial`), or speaks for all of them
/// (`devices.pci.driver`).
fn unexplained(inventory: &Inventory) -> Vec<String> {
    let sections = support::sections(inventory);
    let whole = facts::descriptor("SectionFacts").unwrap();
    let mut missing = Vec::new();
    for (section, body) in sections.as_object().unwrap() {
        let told: BTreeSet<&str> = body["unread"]
            .as_array()
            .unwrap()
            .iter()
            .map(|gap| gap.as_str().unwrap().split(": ").next().unwrap())
            .collect();
        // What a package manager does not record is told once for the manager, not for each of its programs.
        if told.contains(section.as_str()) || section == "software" {
            continue;
        }
        let Kind::Message(message) = whole.get_field_by_name(section).unwrap().kind() else {
            panic!("{section} is no message");
        };
        let place = Place {
            full: section.clone(),
            bare: section.clone(),
        };
        absent(&message, &body["facts"], &place, &mut |place| {
            if !told.contains(place.full.as_str()) && !told.contains(place.bare.as_str()) {
                missing.push(place.full.clone());
            }
        });
    }
    // Which disk is the system's is one question for all of them.
    let system_told = reason(inventory, "disks.system").is_some();
    missing.retain(|group| !(group.ends_with(".system") && system_told));
    missing
}

/// A group's name with the names of things, and without.
struct Place {
    full: String,
    bare: String,
}

impl Place {
    fn field(&self, name: &str) -> Self {
        Self {
            full: format!("{}.{name}", self.full),
            bare: format!("{}.{name}", self.bare),
        }
    }

    fn thing(&self, name: &str) -> Self {
        Self {
            full: format!("{}.{name}", self.full),
            bare: self.bare.clone(),
        }
    }
}

fn absent(message: &MessageDescriptor, facts: &Value, at: &Place, found: &mut dyn FnMut(&Place)) {
    const NAMES: &[&str] = &[
        "name",
        "slot",
        "mount_point",
        "connector",
        "path",
        "login",
        "device",
    ];
    for field in message.fields() {
        let place = at.field(field.name());
        let value = facts.get(field.name());
        match (field.kind(), value) {
            (Kind::Message(inner), Some(Value::Array(things))) => {
                for (number, thing) in things.iter().enumerate() {
                    let name = NAMES.iter().find_map(|name| thing.get(*name)?.as_str());
                    let name = name.map_or_else(|| number.to_string(), str::to_owned);
                    absent(&inner, thing, &place.thing(&name), found);
                }
            }
            (Kind::Message(inner), Some(one)) => absent(&inner, one, &place, found),
            (Kind::Enum(_), Some(Value::String(text))) if text == "unspecified" => found(&place),
            (_, None) if field.supports_presence() => found(&place),
            _ => {}
        }
    }
}

/// Lists that had entries before and have none now, without a gap that names them.
fn vanished(before: &Value, after: &Value) -> Vec<String> {
    // An empty list of these is an ordinary answer of the same source.
    const MAY_BE_EMPTY: &[&str] = &["dns_servers", "default_gateways", "inputs"];
    let mut lost = Vec::new();
    for (section, body) in before.as_object().unwrap() {
        for (field, value) in body["facts"].as_object().unwrap() {
            let had = value.as_array().is_some_and(|list| !list.is_empty());
            let has = after[section]["facts"][field]
                .as_array()
                .is_some_and(|list| !list.is_empty());
            let explained = after[section]["unread"]
                .as_array()
                .unwrap()
                .iter()
                .any(|gap| {
                    let gap = gap.as_str().unwrap();
                    gap.starts_with(&format!("{section}.{field}"))
                        || (section.starts_with("software") && !gap.contains("no_source"))
                });
            if had && !has && !explained && !MAY_BE_EMPTY.contains(&field.as_str()) {
                lost.push(format!("{section}.{field}"));
            }
        }
    }
    lost
}

fn no_collector_failed(inventory: &Inventory) -> bool {
    inventory.sections.iter().all(|section| {
        let facts = v1::SectionFacts::decode(section.facts.clone()).unwrap();
        facts.facts.is_some()
    })
}

#[test]
fn every_absent_field_says_why() {
    for name in MACHINES {
        assert_eq!(
            unexplained(&Machine::new(name).collect()),
            [""; 0],
            "{name}"
        );
    }
    assert_eq!(unexplained(&Machine::empty().collect()), [""; 0]);
    let live = inventory::collect(&inventory::Source::live(), 1);
    assert_eq!(unexplained(&live), [""; 0]);
}

fn each_file_spoiled_is_survived_and_told(name: &str) {
    let machine = Machine::new(name);
    let whole = support::sections(&machine.collect());
    for path in machine.files() {
        let shown = path
            .strip_prefix(machine.root())
            .unwrap()
            .display()
            .to_string();
        // One processor stands for all, and the notes are no source of the machine.
        let other_cpu = shown.contains("/cpu/cpu") && !shown.contains("/cpu/cpu0/");
        if shown == inventory::CAPTURE_NOTES || other_cpu {
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        let mut swapped = content.clone();
        swapped.reverse();
        let spoiled: [(&str, Vec<u8>); 4] = [
            ("cut", content[..content.len() / 2].to_vec()),
            ("emptied", Vec::new()),
            ("filled with 0xff", vec![0xff; content.len().max(16)]),
            ("turned round", swapped),
        ];
        for (how, bytes) in spoiled {
            std::fs::write(&path, bytes).unwrap();
            let inventory = machine.collect();
            assert!(no_collector_failed(&inventory), "{name}: {shown} {how}");
            assert_eq!(unexplained(&inventory), [""; 0], "{name}: {shown} {how}");
            let lost = vanished(&whole, &support::sections(&inventory));
            assert_eq!(lost, [""; 0], "{name}: {shown} {how}");
        }
        std::fs::write(&path, content).unwrap();
    }
    assert_eq!(support::sections(&machine.collect()), whole, "{name}");
}

macro_rules! spoiled {
    ($($test:ident: $name:literal),* $(,)?) => {$(
        #[test]
        fn $test() {
            each_file_spoiled_is_survived_and_told($name);
        }
    )*};
}
spoiled! {
    a_spoiled_dell: "dell-latitude-5440",
    a_spoiled_fedora: "fedora-raid",
    a_spoiled_hp: "hp-compaq-6300",
    a_spoiled_lenovo: "lenovo-without-root",
    a_spoiled_qemu: "qemu-placeholders",
    a_spoiled_raspberry: "raspberry-cm4",
}

#[test]
fn a_cut_smbios_table_does_not_read_as_a_machine_without_memory() {
    let machine = Machine::new("hp-compaq-6300");
    let table = support::smbios::of("hp-compaq-6300").unwrap();
    for cut in [table.len() - 3, table.len() / 2, 100, 30] {
        machine.write(smbios::TABLE, &table[..cut]);
        let inventory = machine.collect();
        for group in ["memory.modules", "memory.installed_bytes", "memory.slots"] {
            assert_eq!(
                reason(&inventory, group),
                Some(UnreadReason::Malformed),
                "{cut}"
            );
        }
        assert_eq!(
            reason(&inventory, "identity.smbios"),
            Some(UnreadReason::Malformed)
        );
        assert_eq!(support::memory(&inventory).installed_bytes, None);
    }
    // The kernel's copies still tell the model.
    let model = support::hardware(&machine.collect()).model;
    assert_eq!(model.as_deref(), Some("HP Compaq Pro 6300 SFF"));
}

#[test]
fn a_cut_package_list_keeps_what_is_whole() {
    let machine = Machine::new("hp-compaq-6300");
    let status = std::fs::read(machine.path("/var/lib/dpkg/status")).unwrap();
    machine.write("/var/lib/dpkg/status", &status[..status.len() * 2 / 3]);
    let inventory = machine.collect();
    assert_eq!(
        reason(&inventory, "software.dpkg"),
        Some(UnreadReason::Malformed)
    );
    let items = support::software(&inventory).items;
    assert!(items.iter().any(|item| item.name == "bash"));
    assert!(items.len() < 5);
}

#[test]
fn one_broken_rpm_header_does_not_hide_the_others() {
    let machine = Machine::new("fedora-raid");
    let database = machine.path("/usr/lib/sysimage/rpm/rpmdb.sqlite");
    std::fs::remove_file(&database).unwrap();
    let mut headers = rpm::fedora();
    headers.insert(1, vec![0xff; 40]);
    headers.push(vec![]);
    rpm::write(&database, &headers);
    let inventory = machine.collect();
    assert_eq!(support::software(&inventory).items.len(), 3);
    assert_eq!(
        reason(&inventory, "software.rpm"),
        Some(UnreadReason::Malformed)
    );
}

#[test]
fn a_file_that_is_no_rpm_database_is_unread_and_not_empty() {
    let machine = Machine::empty();
    machine.write("/var/lib/rpm/Packages", b"\x00\x00\x00\x00berkeley");
    let inventory = machine.collect();
    assert_eq!(
        reason(&inventory, "software.rpm"),
        Some(UnreadReason::Malformed)
    );
    // A view or a virtual table under the name would run what the file's author likes.
    let machine = Machine::empty();
    let path = machine.path("/var/lib/rpm/rpmdb.sqlite");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let view = "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT blob FROM n";
    connection.execute_batch(view).unwrap();
    connection.close().unwrap();
    assert_eq!(
        reason(&machine.collect(), "software.rpm"),
        Some(UnreadReason::Malformed)
    );
}

#[test]
fn changes_in_the_rpm_log_are_said_to_be_unread() {
    let machine = Machine::new("fedora-raid");
    machine.write(
        "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
        b"not checkpointed",
    );
    let inventory = machine.collect();
    assert_eq!(support::software(&inventory).items.len(), 3);
    assert_eq!(
        reason(&inventory, "software.rpm"),
        Some(UnreadReason::NoSource)
    );
}

#[test]
fn lists_and_files_over_their_bounds_are_cut_and_said_to_be() {
    let machine = Machine::empty();
    let status: String = (0..20_010)
        .map(|n| format!("Package: p{n:05}\nStatus: install ok installed\nVersion: 1\n\n"))
        .collect();
    machine.write("/var/lib/dpkg/status", status);
    machine.write("/proc/cpuinfo", vec![b'x'; (16 << 20) + 1]);
    machine.write("/etc/os-release", format!("ID={}\n", "d".repeat(5_000)));
    let inventory = machine.collect();
    let items = support::software(&inventory).items;
    assert_eq!(items.len(), 20_000);
    assert_eq!(items[19_999].name, "p19999");
    assert_eq!(
        reason(&inventory, "software.items"),
        Some(UnreadReason::TooLarge)
    );
    assert_eq!(
        reason(&inventory, "cpu.cores"),
        Some(UnreadReason::TooLarge)
    );
    let product = support::operating_system(&inventory).product.unwrap();
    assert_eq!(product.len(), 256);
}

#[test]
fn text_that_is_not_utf_8_is_shown_and_not_lost() {
    let machine = Machine::empty();
    machine.write(
        "/var/lib/dpkg/status",
        b"Package: caf\xe9\nStatus: install ok installed\nVersion: 1\x07\n\n",
    );
    let items = support::software(&machine.collect()).items;
    assert_eq!(
        (items[0].name.as_str(), items[0].version.as_str()),
        ("caf\u{fffd}", "1")
    );
}

#[test]
fn an_inventory_survives_the_pipe_and_a_spoiled_one_is_refused() {
    let inventory = Machine::new("dell-latitude-5440").collect();
    let bytes = inventory::encode(&inventory);
    assert_eq!(inventory::decode(&bytes).unwrap(), inventory);
    assert!(inventory::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(inventory::decode(&vec![0; (32 << 20) + 1]).is_err());
    let mut twice = inventory.clone();
    twice.sections.push(inventory.sections[0].clone());
    let error = inventory::decode(&inventory::encode(&twice)).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let mut forged = inventory;
    forged.sections[2].digest = vec![0; 32].into();
    let error = inventory::decode(&inventory::encode(&forged)).unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
}

/// A capture, and its files with the kinds of section each costs.
type Sources<'a> = (&'a str, &'a [(&'a str, &'a [&'a str])]);

/// Each source spoiled in each way: a named error in the sections that come from it, and every other section as it was, but
/// for which of two sources told it.
#[test]
fn a_spoiled_source_costs_its_own_sections_alone() {
    let firmware: &[&str] = &["cpu", "firmware", "hardware", "identity", "memory", "slots"];
    let packages: &[&str] = &[
        "guests",
        "security",
        "software",
        "software_dates",
        "updates",
    ];
    let machines: [Sources<'_>; 2] = [
        (
            "hp-compaq-6300",
            &[
                ("/sys/firmware/dmi/tables/DMI", firmware),
                ("/smart/sda/smart_data", &["disk_health"]),
                ("/smart/sda/identify", &["disk_health"]),
                ("/smart/sda/smart_thresholds", &["disk_health"]),
                ("/var/lib/dpkg/status", packages),
                (
                    "/sys/devices/pci0000:00/0000:00:02.0/drm/card0/card0-DP-1/edid",
                    &["displays"],
                ),
            ],
        ),
        (
            "dell-latitude-5440",
            &[
                ("/sys/firmware/dmi/tables/DMI", firmware),
                ("/smart/nvme0n1/nvme_health", &["disk_health"]),
                ("/head/nvme0n1p3", &["storage"]),
                ("/etc/cups/printers.conf", &["printers"]),
                ("/etc/ssl/certs/planeacion-11.pem", &["certificates"]),
                (
                    "/sys/devices/pci0000:00/0000:00:02.0/drm/card1/card1-eDP-1/edid",
                    &["displays"],
                ),
                ("/etc/passwd", &["accounts", "directory"]),
            ],
        ),
    ];
    let mut tried = 0;
    for (name, sources) in machines {
        let machine = Machine::new(name);
        let whole = support::sections(&machine.collect());
        for (path, own) in sources {
            let Ok(content) = std::fs::read(machine.path(path)) else {
                continue;
            };
            tried += 1;
            let mut lying = content.clone();
            lying.fill(0xff);
            for spoiled in [&content[..content.len() / 2], &[], &lying] {
                machine.write(path, spoiled);
                let seen = support::sections(&machine.collect());
                for (section, body) in whole.as_object().unwrap() {
                    if own.contains(&section.as_str()) {
                        continue;
                    }
                    for part in ["facts", "unread"] {
                        let (seen, before) = (&seen[section][part], &body[part]);
                        assert_eq!(seen, before, "{name}: {path} cost {section}");
                    }
                }
                let gaps = |of: &Value| {
                    let of = own.iter().map(|section| of[section]["unread"].clone());
                    of.collect::<Vec<_>>()
                };
                assert_ne!(
                    gaps(&seen),
                    gaps(&whole),
                    "{name}: {path} went without a word"
                );
            }
            machine.write(path, content);
        }
    }
    assert_eq!(tried, 13, "a capture lost a source");
}

proptest! {
    /// Any bytes at all: the walk ends, and what it found can be asked for.
    #[test]
    fn any_bytes_are_walked(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        ask_everything(&Smbios::parse(&bytes));
    }

    /// A true table with some bytes changed and a cut: either the walk says that it stopped early, or it saw an end.
    #[test]
    fn a_lying_table_is_walked(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = support::smbios::of("fedora-raid").unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let table = Smbios::parse(&bytes);
        ask_everything(&table);
        let again = Smbios::parse(&bytes);
        prop_assert_eq!(table, again);
    }

    /// Cut anywhere, a true table says so, unless the cut lies between two structures.
    #[test]
    fn a_cut_table_says_so(cut in any::<prop::sample::Index>()) {
        let bytes = support::smbios::of("fedora-raid").unwrap();
        let cut = 1 + cut.index(bytes.len() - 1);
        let table = Smbios::parse(&bytes[..cut]);
        // Two zeroes end a structure; a third one may belong to the same end.
        let between = bytes[..cut].ends_with(&[0, 0]);
        prop_assert!(table.fault().is_some() || between, "{}", cut);
    }

    /// Any header blob in the database.
    #[test]
    fn any_rpm_header_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), entries in 0..4_u32) {
        let mut blob = entries.to_be_bytes().to_vec();
        blob.extend(100_u32.to_be_bytes());
        blob.extend(bytes);
        let machine = Machine::empty();
        rpm::write(&machine.path("/var/lib/rpm/rpmdb.sqlite"), &[blob]);
        prop_assert!(no_collector_failed(&machine.collect()));
    }
}

fn ask_everything(table: &Smbios) {
    for number in 0..=255 {
        for structure in table.all(number) {
            for offset in 0..=300 {
                let _ = (
                    structure.byte(offset),
                    structure.word(offset),
                    structure.dword(offset),
                );
                if let Ok(text) = structure.text(offset) {
                    assert!(text.chars().count() <= 256 && !text.contains('\0'));
                }
            }
        }
    }
    let _ = (
        table.uuid(),
        table.fault(),
        table.first(kind::SYSTEM).is_ok(),
    );
}
