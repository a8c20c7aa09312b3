//! What is on the board: processors, memory, slots, firmware, batteries, and the network.

use std::collections::BTreeMap;

use chasqui_proto::v1::{self, SectionKind, SecureBoot, section_facts::Facts};

use super::super::values::{self, Item};
use super::machine::named;
use super::{MAX_ITEMS, Maker, Notes};

pub(super) fn map(maker: &mut Maker<'_>) {
    cpu(maker);
    memory(maker);
    slots(maker);
    firmware(maker);
    batteries(maker);
    network(maker);
}

fn cpu(maker: &mut Maker<'_>) {
    let Some(items) = maker.list("cpus") else {
        return;
    };
    let mut notes = Notes::default();
    let items = notes.bounded("cpu.cpus", items, 256);
    let cpus: Vec<v1::Cpu> = items
        .iter()
        .map(|item| {
            let cores = item.small("core").or_else(|| item.small("corecount"));
            // Some agents count threads of the whole, others of one core.
            let threads = match (item.small("thread"), cores) {
                (Some(threads), Some(cores)) if threads < cores => threads.checked_mul(cores),
                (threads, _) => threads,
            };
            v1::Cpu {
                vendor: item.text("manufacturer"),
                model_name: item.text("name"),
                family: item.small("familynumber"),
                model: item.small("model"),
                stepping: item.small("stepping"),
                cores,
                threads,
                max_mhz: item.small("speed").filter(|mhz| *mhz > 0),
                features: Vec::new(),
                socket: None,
            }
        })
        .collect();
    let sum = |of: fn(&v1::Cpu) -> Option<u32>| {
        cpus.iter()
            .map(of)
            .try_fold(0_u32, |sum, count| sum.checked_add(count?))
            .filter(|sum| *sum > 0)
    };
    let it = v1::CpuFacts {
        sockets: u32::try_from(cpus.len()).ok().filter(|count| *count > 0),
        cores: sum(|cpu| cpu.cores),
        threads: sum(|cpu| cpu.threads),
        architecture: items.first().and_then(|item| item.text("arch")),
        cpus,
    };
    maker.add(&[("cpus", "cpu")], Facts::Cpu(it), notes);
}

fn memory(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Memory) {
        Some(Facts::Memory(it)) => it,
        _ => v1::MemoryFacts::default(),
    };
    if let Some(hardware) = maker.object("hardware") {
        it.visible_bytes = hardware.mebibytes("memory");
        // No swap is said with a zero.
        it.swap_bytes = hardware
            .number("swap")
            .and_then(|mib| mib.checked_mul(1 << 20));
    }
    if let Some(slots) = maker.list("memories") {
        let slots = notes.bounded("memory.modules", slots, 1_024);
        let kind = |item: Item<'_>| {
            item.text("type")
                .filter(|text| !text.eq_ignore_ascii_case("empty slot"))
        };
        it.modules = slots
            .iter()
            .filter(|item| item.mebibytes("capacity").is_some())
            .map(|item| v1::MemoryModule {
                slot: item.any(&["numslots", "caption"]),
                size_bytes: item.mebibytes("capacity"),
                r#type: kind(*item).map(|text| named(&text)),
                speed_mts: item.leading("speed").filter(|speed| *speed > 0),
                manufacturer: item
                    .text("manufacturer")
                    .filter(|text| !values::is_filler(text)),
                part_number: item.text("model"),
                serial: notes.serial("memory.modules.serial", item.text("serialnumber")),
                form_factor: item.text("formfactor").map(|text| named(&text)),
            })
            .collect();
        it.installed_bytes = it
            .modules
            .iter()
            .try_fold(0_u64, |sum, module| sum.checked_add(module.size_bytes?))
            .filter(|sum| *sum > 0);
        let used = it.modules.len();
        it.slots = u32::try_from(slots.len()).ok();
        it.free_slots = u32::try_from(slots.len().saturating_sub(used)).ok();
        it.error_correction = slots
            .first()
            .and_then(|item| item.text("memorycorrection"))
            .map(|text| named(&text));
    }
    let keys = [
        ("hardware", "memory.visible_bytes"),
        ("memories", "memory.modules"),
    ];
    maker.add(&keys, Facts::Memory(it), notes);
}

fn slots(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Slots) {
        Some(Facts::Slots(it)) => it,
        _ => v1::SlotsFacts::default(),
    };
    if let Some(items) = maker.list("slots") {
        let mut slots: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                let used = match item.text("status")?.to_lowercase().as_str() {
                    "used" | "in use" => Some(true),
                    "free" | "available" => Some(false),
                    _ => None,
                };
                Some(v1::Slot {
                    name: item.any(&["designation", "name"])?,
                    r#type: item.text("description").map(|text| named(&text)),
                    used,
                    pci_slot: None,
                })
            })
            .collect();
        slots.sort_by(|a, b| (&a.name, &a.r#type).cmp(&(&b.name, &b.r#type)));
        it.slots = notes.bounded("slots.slots", slots, MAX_ITEMS);
    }
    if let Some(items) = maker.list("ports") {
        let mut ports: Vec<_> = items
            .into_iter()
            .map(|item| v1::Port {
                name: item.any(&["name", "caption"]).unwrap_or_default(),
                r#type: item.text("type").map(|text| named(&text)),
                // On the outside, else within.
                connector: item
                    .text("caption")
                    .filter(|text| !text.eq_ignore_ascii_case("none"))
                    .or_else(|| item.text("description"))
                    .map(|text| named(&text)),
            })
            .collect();
        ports.sort_by(|a, b| (&a.name, &a.r#type).cmp(&(&b.name, &b.r#type)));
        it.ports = notes.bounded("slots.ports", ports, MAX_ITEMS);
    }
    let keys = [("slots", "slots.slots"), ("ports", "slots.ports")];
    maker.add(&keys, Facts::Slots(it), notes);
}

fn firmware(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Firmware) {
        Some(Facts::Firmware(it)) => it,
        _ => v1::FirmwareFacts::default(),
    };
    let secure_boot = maker
        .object("bios")
        .and_then(|bios| bios.text("secure_boot"));
    if maker.has("bios") {
        it.secure_boot = match secure_boot.as_deref() {
            Some("enabled") => SecureBoot::Enabled,
            Some("disabled") => SecureBoot::Disabled,
            Some("unsupported") => SecureBoot::Unsupported,
            _ => SecureBoot::Unspecified,
        }
        .into();
    }
    if let Some(items) = maker.list("firmwares") {
        let mut components: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                Some(v1::FirmwareComponent {
                    name: item.any(&["name", "description"])?,
                    version: item.text("version"),
                    r#type: item.text("type"),
                })
            })
            .collect();
        components.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        it.components = notes.bounded("firmware.components", components, MAX_ITEMS);
    }
    if secure_boot.is_none()
        && !maker.has("firmwares")
        && maker.before(SectionKind::Firmware).is_none()
    {
        return;
    }
    let keys = [
        ("bios", "firmware.secure_boot"),
        ("firmwares", "firmware.components"),
    ];
    maker.add(&keys, Facts::Firmware(it), notes);
}

fn batteries(maker: &mut Maker<'_>) {
    let Some(items) = maker.list("batteries") else {
        return;
    };
    let mut notes = Notes::default();
    let mut found: Vec<_> = items
        .into_iter()
        .map(|item| v1::Battery {
            name: item.text("name").unwrap_or_default(),
            manufacturer: item.text("manufacturer"),
            model: None,
            serial: notes.serial("batteries.batteries.serial", item.text("serial")),
            technology: item.text("chemistry").map(|text| text.to_lowercase()),
            design_mwh: item.number("capacity").filter(|mwh| *mwh > 0),
            full_mwh: item.number("real_capacity").filter(|mwh| *mwh > 0),
            design_mv: item.number("voltage").filter(|mv| *mv > 0),
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.serial).cmp(&(&b.name, &b.serial)));
    let it = v1::BatteriesFacts {
        batteries: notes.bounded("batteries.batteries", found, 100),
        none_expected: None,
    };
    maker.add(&[("batteries", "batteries")], Facts::Batteries(it), notes);
}

fn network(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Network) {
        Some(Facts::Network(it)) => it,
        _ => v1::NetworkFacts::default(),
    };
    let split = |text: String| -> Vec<String> {
        text.split([' ', '/', ',', ';'])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .take(50)
            .collect()
    };
    if let Some(hardware) = maker.object("hardware") {
        it.default_gateways = hardware
            .text("defaultgateway")
            .map(split)
            .unwrap_or_default();
        it.dns_servers = hardware.text("dns").map(split).unwrap_or_default();
    }
    if let Some(entries) = maker.list("networks") {
        let entries = notes.bounded("network.interfaces", entries, 2 * MAX_ITEMS);
        let mut interfaces: BTreeMap<String, v1::NetworkInterface> = BTreeMap::new();
        for entry in entries {
            let Some(name) = entry.text("description") else {
                continue;
            };
            let interface =
                interfaces
                    .entry(name.clone())
                    .or_insert_with(|| v1::NetworkInterface {
                        name,
                        ..v1::NetworkInterface::default()
                    });
            join(interface, entry);
        }
        for interface in interfaces.values_mut() {
            interface.addresses.sort();
            interface.addresses.dedup();
        }
        it.interfaces = interfaces.into_values().collect();
    }
    let keys = [
        ("hardware", "network.default_gateways"),
        ("networks", "network.interfaces"),
    ];
    maker.add(&keys, Facts::Network(it), notes);
}

/// One entry stands for one address: several are one interface.
fn join(interface: &mut v1::NetworkInterface, entry: Item<'_>) {
    fn keep<T>(old: &mut Option<T>, new: Option<T>) {
        if old.is_none() {
            *old = new;
        }
    }
    let mac = entry
        .text("mac")
        .map(|mac| mac.to_lowercase())
        .filter(|mac| mac != "00:00:00:00:00:00");
    keep(&mut interface.mac, mac);
    keep(
        &mut interface.r#type,
        entry.text("type").map(|text| match text.as_str() {
            "local" => "loopback".to_owned(),
            "aggregate" => "bond".to_owned(),
            _ => text,
        }),
    );
    for (address, mask) in [("ipaddress", "ipmask"), ("ipaddress6", "ipmask6")] {
        let Some(address) = entry
            .text(address)
            .filter(|text| text.parse::<std::net::IpAddr>().is_ok())
        else {
            continue;
        };
        let width = entry.text(mask).and_then(|mask| values::prefix(&mask));
        interface.addresses.push(match width {
            Some(width) => format!("{address}/{width}"),
            None => address,
        });
    }
    keep(&mut interface.mtu, entry.small("mtu"));
    let up = match entry
        .text("status")
        .map(|text| text.to_lowercase())
        .as_deref()
    {
        Some("up") => Some(true),
        Some("down") => Some(false),
        _ => None,
    };
    keep(&mut interface.up, up);
    keep(
        &mut interface.speed_mbps,
        entry.leading("speed").filter(|speed| *speed > 0),
    );
    keep(&mut interface.driver, entry.text("driver"));
    keep(
        &mut interface.pci_slot,
        entry.text("pcislot").map(super::parts::slot),
    );
    keep(&mut interface.manufacturer, entry.text("manufacturer"));
    keep(&mut interface.model, entry.text("model"));
    keep(&mut interface.r#virtual, entry.flag("virtualdev"));
    if let Some(server) = entry.text("ipdhcp") {
        keep(&mut interface.dhcp, Some(true));
        keep(&mut interface.dhcp_server, Some(server));
    }
    keep(&mut interface.ssid, entry.text("wifi_ssid"));
    if let Some(slaves) = entry.text("slaves") {
        interface.members = slaves
            .split([',', ' '])
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        interface.members.sort();
    }
}
