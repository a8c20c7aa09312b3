//! What is in and on the machine: disks, volumes, devices on the buses, monitors, printers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chasqui_proto::v1::{self, DiskKind, SectionKind, section_facts::Facts};

use super::super::values::Item;
use super::machine::named;
use super::{MAX_ITEMS, Maker, Notes};

/// Most bytes of a monitor's EDID.
const MAX_EDID: usize = 32 << 10;

pub(super) fn map(maker: &mut Maker<'_>) {
    disks(maker);
    storage(maker);
    devices(maker);
    displays(maker);
    printers(maker);
}

fn disks(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Disks) {
        Some(Facts::Disks(it)) => it,
        _ => v1::DisksFacts::default(),
    };
    if let Some(items) = maker.list("storages") {
        let items = notes.bounded("disks.disks", items, MAX_ITEMS);
        let mut disks: Vec<_> = items
            .into_iter()
            .filter(|item| !optical(*item))
            .map(|item| disk(item, &mut notes))
            .collect();
        disks.sort_by(|a, b| (&a.name, &a.serial).cmp(&(&b.name, &b.serial)));
        it.disks = disks;
    }
    if let Some(items) = maker.list("drives") {
        let mut systems: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                Some(v1::FileSystem {
                    mount_point: item.any(&["type", "letter"])?,
                    device: item.text("volumn").unwrap_or_default(),
                    r#type: item.text("filesystem").unwrap_or_default(),
                    size_bytes: item.mebibytes("total"),
                    label: item.text("label"),
                    uuid: item.text("serial"),
                })
            })
            .collect();
        systems.sort_by(|a, b| (&a.mount_point, &a.device).cmp(&(&b.mount_point, &b.device)));
        it.file_systems = notes.bounded("disks.file_systems", systems, MAX_ITEMS);
    }
    let keys = [
        ("storages", "disks.disks"),
        ("drives", "disks.file_systems"),
    ];
    maker.add(&keys, Facts::Disks(it), notes);
}

fn optical(item: Item<'_>) -> bool {
    item.any(&["type", "description"])
        .map(|text| named(&text))
        .is_some_and(|text| {
            ["cdrom", "cd_rom", "dvd", "cd", "floppy"]
                .iter()
                .any(|kind| text.contains(kind))
        })
}

fn disk(item: Item<'_>, notes: &mut Notes) -> v1::Disk {
    let name = item.any(&["name", "model"]).unwrap_or_default();
    let all = format!(
        "{} {} {}",
        item.text("type").unwrap_or_default(),
        item.text("interface").unwrap_or_default(),
        item.text("description").unwrap_or_default()
    )
    .to_lowercase();
    let kind = if name.starts_with("nvme") || all.contains("nvme") {
        DiskKind::Nvme
    } else if all.contains("ssd") {
        DiskKind::Ssd
    } else if all.contains("hdd") || all.contains("rotational") {
        DiskKind::Hdd
    } else {
        // `disk` alone does not say what it is made of.
        DiskKind::Unspecified
    };
    let bus =
        item.any(&["interface", "description"])
            .map(|text| match text.to_lowercase().as_str() {
                "serial-ata" | "sata" => "sata".to_owned(),
                _ if kind == DiskKind::Nvme => "nvme".to_owned(),
                other => named(other),
            });
    v1::Disk {
        name,
        model: item.text("model"),
        serial: notes.serial("disks.disks.serial", item.text("serial")),
        firmware: item.text("firmware"),
        size_bytes: item.megabytes("disksize"),
        bus,
        kind: kind.into(),
        removable: None,
        system: None,
        wwn: item.text("wwn"),
        manufacturer: item.text("manufacturer"),
    }
}

fn storage(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Storage) {
        Some(Facts::Storage(it)) => it,
        _ => v1::StorageFacts::default(),
    };
    let mut encrypted = false;
    if let Some(drives) = maker.list("drives") {
        let mut by_device: BTreeMap<String, v1::Encryption> = BTreeMap::new();
        for item in drives {
            let Some(kind) = item.any(&["encrypt_name", "encrypt_type"]) else {
                continue;
            };
            let device = item.any(&["volumn", "letter"]).unwrap_or_default();
            let entry = by_device
                .entry(device.clone())
                .or_insert_with(|| v1::Encryption {
                    device,
                    r#type: Some(kind.to_lowercase()),
                    cipher: item.text("encrypt_algo"),
                    // Its file system is mounted, else it would not be in this list.
                    unlocked: item.flag("encrypt_status"),
                    ..v1::Encryption::default()
                });
            entry.mount_points.extend(item.any(&["type", "letter"]));
            entry.mount_points.sort();
        }
        encrypted = !by_device.is_empty();
        it.encryptions = notes.bounded(
            "storage.encryptions",
            by_device.into_values().collect(),
            MAX_ITEMS,
        );
    }
    if maker.has("volume_groups") {
        it.volume_groups = volume_groups(maker, &mut notes);
    }
    let before = maker.before(SectionKind::Storage).is_some();
    if !encrypted && !before && !maker.has("volume_groups") {
        return;
    }
    let keys = [
        ("drives", "storage.encryptions"),
        ("volume_groups", "storage.volume_groups"),
    ];
    maker.add(&keys, Facts::Storage(it), notes);
}

fn volume_groups(maker: &Maker<'_>, notes: &mut Notes) -> Vec<v1::VolumeGroup> {
    let list = |key| maker.list(key).unwrap_or_default();
    let groups = notes.bounded("storage.volume_groups", list("volume_groups"), 500);
    let (physical, logical) = (list("physical_volumes"), list("logical_volumes"));
    let mut found: Vec<_> = groups
        .into_iter()
        .filter_map(|group| {
            let (name, uuid) = (group.text("vg_name")?, group.text("vg_uuid"));
            let mine = |item: &&Item<'_>| {
                uuid.is_some() && item.text("vg_uuid") == uuid
                    || item.text("vg_name").as_deref() == Some(name.as_str())
            };
            let mut physical_volumes: Vec<_> = physical
                .iter()
                .filter(mine)
                .take(MAX_ITEMS)
                .map(|item| v1::PhysicalVolume {
                    device: item.text("device").unwrap_or_default(),
                    uuid: item.text("pv_uuid"),
                    size_bytes: item.megabytes("size"),
                })
                .collect();
            physical_volumes.sort_by(|a, b| a.device.cmp(&b.device));
            let mut logical_volumes: Vec<_> = logical
                .iter()
                .filter(mine)
                .take(MAX_ITEMS)
                .map(|item| v1::LogicalVolume {
                    name: item.text("lv_name").unwrap_or_default(),
                    uuid: item.text("lv_uuid"),
                    size_bytes: item.megabytes("size"),
                    segments: item.small("seg_count"),
                })
                .collect();
            logical_volumes.sort_by(|a, b| a.name.cmp(&b.name));
            Some(v1::VolumeGroup {
                name,
                uuid,
                size_bytes: group.megabytes("size"),
                free_bytes: group
                    .number("free")
                    .and_then(|mb| mb.checked_mul(1_000_000)),
                extent_bytes: group.decimal_megabytes("vg_extent_size"),
                physical_volumes,
                logical_volumes,
            })
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// A place on the PCI bus with its domain, which agents leave out where it is the first.
pub(super) fn slot(text: String) -> String {
    if text.matches(':').count() == 1 {
        format!("0000:{text}")
    } else {
        text
    }
}

fn devices(maker: &mut Maker<'_>) {
    let mut notes = Notes::default();
    let mut it = match maker.before(SectionKind::Devices) {
        Some(Facts::Devices(it)) => it,
        _ => v1::DevicesFacts::default(),
    };
    if let Some(items) = maker.list("controllers") {
        let mut pci: Vec<_> = items.into_iter().map(pci).collect();
        pci.sort_by(|a, b| (&a.slot, &a.device_id).cmp(&(&b.slot, &b.device_id)));
        it.pci = notes.bounded("devices.pci", pci, MAX_ITEMS);
    }
    if let Some(items) = maker.list("usbdevices") {
        let mut usb: Vec<_> = items
            .into_iter()
            .map(|item| v1::UsbDevice {
                path: String::new(),
                vendor_id: item.text("vendorid").unwrap_or_default().to_lowercase(),
                product_id: item.text("productid").unwrap_or_default().to_lowercase(),
                vendor: item.text("manufacturer"),
                product: item.any(&["name", "caption"]),
                serial: item.text("serial"),
                classes: item
                    .text("class")
                    .map(|class| usb_class(&class))
                    .into_iter()
                    .collect(),
                speed_mbps: None,
            })
            .collect();
        usb.sort_by(|a, b| {
            (&a.vendor_id, &a.product_id, &a.serial).cmp(&(&b.vendor_id, &b.product_id, &b.serial))
        });
        it.usb = notes.bounded("devices.usb", usb, MAX_ITEMS);
    }
    if let Some(items) = maker.list("videos") {
        let mut gpus: Vec<_> = items
            .into_iter()
            .map(|item| v1::Gpu {
                pci_slot: item.text("pcislot").map(slot),
                vendor: None,
                model: item.any(&["name", "chipset"]),
                driver: None,
                memory_bytes: item.mebibytes("memory"),
            })
            .collect();
        gpus.sort_by(|a, b| (&a.pci_slot, &a.model).cmp(&(&b.pci_slot, &b.model)));
        it.gpus = notes.bounded("devices.gpus", gpus, MAX_ITEMS);
    }
    if let Some(items) = maker.list("inputs") {
        let mut inputs: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                Some(v1::InputDevice {
                    name: item.any(&["name", "caption", "description"])?,
                    r#type: item.any(&["type", "pointingtype"]).map(|text| named(&text)),
                    bus: item.text("interface").map(|text| named(&text)),
                })
            })
            .collect();
        inputs.sort_by(|a, b| (&a.name, &a.r#type).cmp(&(&b.name, &b.r#type)));
        it.inputs = notes.bounded("devices.inputs", inputs, MAX_ITEMS);
    }
    if let Some(items) = maker.list("sounds") {
        let mut sounds: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                Some(v1::SoundCard {
                    name: item.any(&["manufacturer", "name", "caption"])?,
                    driver: None,
                    pci_slot: None,
                })
            })
            .collect();
        sounds.sort_by(|a, b| a.name.cmp(&b.name));
        it.sounds = notes.bounded("devices.sounds", sounds, MAX_ITEMS);
    }
    if let Some(items) = maker.list("modems") {
        let mut modems: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                Some(v1::Modem {
                    name: item.any(&["name", "model", "description"])?,
                    manufacturer: item.text("manufacturer"),
                    ports: Vec::new(),
                })
            })
            .collect();
        modems.sort_by(|a, b| a.name.cmp(&b.name));
        it.modems = notes.bounded("devices.modems", modems, MAX_ITEMS);
    }
    if let Some(items) = maker.list("cameras") {
        let mut cameras: Vec<_> = items
            .into_iter()
            .filter_map(|item| {
                Some(v1::Camera {
                    name: item.any(&["designation", "model", "manufacturer"])?,
                })
            })
            .collect();
        cameras.sort_by(|a, b| a.name.cmp(&b.name));
        it.cameras = notes.bounded("devices.cameras", cameras, MAX_ITEMS);
    }
    let keys = [
        ("controllers", "devices.pci"),
        ("usbdevices", "devices.usb"),
        ("videos", "devices.gpus"),
        ("inputs", "devices.inputs"),
        ("sounds", "devices.sounds"),
        ("modems", "devices.modems"),
        ("cameras", "devices.cameras"),
    ];
    maker.add(&keys, Facts::Devices(it), notes);
}

fn pci(item: Item<'_>) -> v1::PciDevice {
    let subsystem = item
        .text("pcisubsystemid")
        .unwrap_or_default()
        .to_lowercase();
    let (subsystem_vendor_id, subsystem_device_id) = match subsystem.split_once(':') {
        Some((vendor, device)) => (Some(vendor.to_owned()), Some(device.to_owned())),
        None => (None, None),
    };
    let four = |key| {
        let text = item.text(key).unwrap_or_default().to_lowercase();
        text.split(':').next().unwrap_or_default().to_owned()
    };
    v1::PciDevice {
        slot: item.text("pcislot").map(slot).unwrap_or_default(),
        vendor_id: four("vendorid"),
        device_id: four("productid"),
        subsystem_vendor_id,
        subsystem_device_id,
        class_code: item.text("pciclass").map(|text| text.to_lowercase()),
        class_name: item.text("type"),
        vendor: item.text("manufacturer"),
        device: item.any(&["name", "caption"]),
        driver: item.text("driver"),
        revision: item
            .text("rev")
            .and_then(|text| u32::from_str_radix(&text, 16).ok()),
    }
}

/// The name of a USB class. Agents write its number in decimal, as `lsusb -v` does; older ones and ours as well.
fn usb_class(class: &str) -> String {
    match class.parse::<u8>() {
        Ok(1) => "audio",
        Ok(2) => "communications",
        Ok(3) => "hid",
        Ok(5) => "physical",
        Ok(6) => "image",
        Ok(7) => "printer",
        Ok(8) => "mass_storage",
        Ok(9) => "hub",
        Ok(10) => "cdc_data",
        Ok(11) => "smart_card",
        Ok(13) => "content_security",
        Ok(14) => "video",
        Ok(15) => "personal_healthcare",
        Ok(16) => "audio_video",
        Ok(17) => "billboard",
        Ok(18) => "usb_type_c_bridge",
        Ok(220) => "diagnostic",
        Ok(224) => "wireless_controller",
        Ok(239) => "miscellaneous",
        Ok(254) => "application_specific",
        Ok(255) => "vendor_specific",
        Ok(other) => return format!("0x{other:02x}"),
        Err(_) => return named(class),
    }
    .to_owned()
}

fn displays(maker: &mut Maker<'_>) {
    let Some(items) = maker.list("monitors") else {
        return;
    };
    let mut notes = Notes::default();
    let mut displays: Vec<_> = items
        .into_iter()
        .map(|item| {
            // Week and year as `32/2015`.
            let made = item.text("description").unwrap_or_default();
            let (week, year) = made.split_once('/').unwrap_or(("", made.as_str()));
            let edid = item
                .0
                .get("base64")
                .and_then(serde_json::Value::as_str)
                .filter(|text| text.len() <= 2 * MAX_EDID)
                .map(|text| text.split_whitespace().collect::<String>())
                .and_then(|text| STANDARD.decode(text).ok())
                .filter(|bytes| (128..=MAX_EDID).contains(&bytes.len()));
            v1::Display {
                connector: item.text("port").unwrap_or_default(),
                manufacturer: item.text("manufacturer"),
                model: item.any(&["name", "caption"]),
                serial: notes.serial("displays.displays.serial", item.text("serial")),
                week: week
                    .trim()
                    .parse()
                    .ok()
                    .filter(|week| (1..=54).contains(week)),
                year: year
                    .trim()
                    .parse()
                    .ok()
                    .filter(|year| (1990..=2200).contains(year)),
                edid: edid.map(Into::into),
                ..v1::Display::default()
            }
        })
        .collect();
    displays.sort_by(|a, b| {
        (&a.connector, &a.model, &a.serial).cmp(&(&b.connector, &b.model, &b.serial))
    });
    let it = v1::DisplaysFacts {
        displays: notes.bounded("displays.displays", displays, 100),
    };
    maker.add(&[("monitors", "displays")], Facts::Displays(it), notes);
}

fn printers(maker: &mut Maker<'_>) {
    let Some(items) = maker.list("printers") else {
        return;
    };
    let mut notes = Notes::default();
    let mut printers: Vec<_> = items
        .into_iter()
        .filter_map(|item| {
            Some(v1::Printer {
                name: item.text("name")?,
                description: item.any(&["description", "comment"]),
                location: None,
                uri: item.text("port").map(|uri| without_password(&uri)),
                driver: item.text("driver"),
                shared: item.flag("shared"),
                network: item.flag("network"),
                state: item.text("status").map(|text| named(&text)),
                accepting: None,
                serial: notes.serial("printers.printers.serial", item.text("serial")),
            })
        })
        .collect();
    printers.sort_by(|a, b| a.name.cmp(&b.name));
    let it = v1::PrintersFacts {
        printers: notes.bounded("printers.printers", printers, MAX_ITEMS),
        ..v1::PrintersFacts::default()
    };
    maker.add(&[("printers", "printers")], Facts::Printers(it), notes);
}

/// An address without the name and password that may stand before its host.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.split_at_checked(end) {
        Some((host, path)) => match host.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{host}{path}"),
            None => uri.to_owned(),
        },
        None => uri.to_owned(),
    }
}
