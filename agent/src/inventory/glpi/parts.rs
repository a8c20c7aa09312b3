//! Disks, file systems, volumes, devices on the buses, monitors and printers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chasqui_proto::v1::{self, DiskKind};

use super::super::linux::usb;
use super::{Content, Fields, Seen, mebibytes, megabytes};

pub(super) fn fill(content: &mut Content, seen: &Seen, volatile: &v1::VolatileFacts) {
    disks(content, seen, volatile);
    volumes(content, seen);
    if let Some(devices) = seen.devices() {
        self::devices(content, devices);
    }
    if let Some(displays) = seen.displays() {
        content.list("monitors", displays.displays.iter().map(monitor));
    }
    if let Some(printers) = seen.printers() {
        content.list(
            "printers",
            printers.printers.iter().map(|one| {
                Fields::default()
                    .text("name", &one.name)
                    .text("description", &one.description)
                    .text("driver", &one.driver)
                    .text("port", &one.uri)
                    .text("serial", &one.serial)
                    .text("status", &one.state)
                    .flag("network", one.network)
                    .flag("shared", one.shared)
            }),
        );
    }
}

fn disks(content: &mut Content, seen: &Seen, volatile: &v1::VolatileFacts) {
    let Some(disks) = seen.disks() else {
        return;
    };
    content.list(
        "storages",
        disks.disks.iter().map(|one| {
            let kind = match one.kind() {
                DiskKind::Hdd => Some("hdd"),
                DiskKind::Ssd => Some("ssd"),
                DiskKind::Nvme => Some("nvme"),
                DiskKind::Emmc => Some("emmc"),
                DiskKind::Virtual => Some("disk"),
                DiskKind::Unspecified => None,
            };
            Fields::default()
                .text("name", &one.name)
                .text("model", &one.model)
                .text("serial", &one.serial)
                .text("firmware", &one.firmware)
                .text(
                    "manufacturer",
                    one.manufacturer.clone().or_else(|| maker(one)),
                )
                .number("disksize", megabytes(one.size_bytes))
                .text("interface", one.bus.as_ref().map(|bus| bus.to_uppercase()))
                .text("type", kind)
                .text("wwn", &one.wwn)
        }),
    );
    let encryption = |mount: &str| {
        let all = seen.storage().map(|storage| storage.encryptions.as_slice());
        all.unwrap_or_default()
            .iter()
            .find(|one| one.mount_points.iter().any(|point| point == mount))
    };
    content.list(
        "drives",
        disks.file_systems.iter().map(|one| {
            let free = volatile
                .free_space
                .iter()
                .find(|free| free.mount_point == one.mount_point)
                .map(|free| free.free_bytes);
            let fields = Fields::default()
                .text("type", &one.mount_point)
                .text("volumn", &one.device)
                .text("filesystem", &one.r#type)
                .number("total", mebibytes(one.size_bytes))
                .number("free", mebibytes(free))
                .text("label", &one.label)
                .text("serial", &one.uuid);
            match encryption(&one.mount_point) {
                Some(found) => fields
                    .text(
                        "encrypt_name",
                        found.r#type.as_ref().map(|kind| kind.to_uppercase()),
                    )
                    .text("encrypt_algo", &found.cipher)
                    .text("encrypt_status", "Yes"),
                None => fields,
            }
        }),
    );
}

/// The maker by how the model begins: ATA has no field for it.
fn maker(disk: &v1::Disk) -> Option<String> {
    let model = disk.model.as_deref()?.to_ascii_lowercase();
    let first = model.split([' ', '-', '_']).next()?;
    let name = match first {
        "crucial" => "Crucial",
        "hgst" => "HGST",
        "hitachi" => "Hitachi",
        "intel" => "Intel",
        "kingston" => "Kingston",
        "maxtor" => "Maxtor",
        "micron" => "Micron",
        "samsung" => "Samsung",
        "sandisk" => "SanDisk",
        "toshiba" => "Toshiba",
        "wdc" => "Western Digital",
        _ => {
            // Numbers of models: ST500DM002, CT500MX500SSD1.
            let rest = |prefix| first.strip_prefix(prefix);
            let numbered = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
            if rest("st").is_some_and(numbered) {
                "Seagate"
            } else if rest("ct").is_some_and(numbered) {
                "Crucial"
            } else {
                return None;
            }
        }
    };
    Some(name.to_owned())
}

/// Groups, and their parts, of which the protocol's required fields are all known.
fn volumes(content: &mut Content, seen: &Seen) {
    let Some(storage) = seen.storage() else {
        return;
    };
    let groups = storage.volume_groups.iter();
    content.list(
        "volume_groups",
        groups.clone().filter_map(|one| {
            let (uuid, size, free) = (one.uuid.as_ref()?, one.size_bytes?, one.free_bytes?);
            let extent = one.extent_bytes?;
            Some(
                Fields::default()
                    .text("vg_name", &one.name)
                    .text("vg_uuid", uuid)
                    .number("size", megabytes(Some(size)))
                    .number("free", megabytes(Some(free)))
                    .text("vg_extent_size", Some((extent / 1_000_000).to_string()))
                    .number("lv_count", u64::try_from(one.logical_volumes.len()).ok())
                    .number("pv_count", u64::try_from(one.physical_volumes.len()).ok()),
            )
        }),
    );
    content.list(
        "logical_volumes",
        groups.flat_map(|group| {
            group.logical_volumes.iter().filter_map(|one| {
                let (uuid, size) = (one.uuid.as_ref()?, one.size_bytes?);
                Some(
                    Fields::default()
                        .text("lv_name", &one.name)
                        .text("lv_uuid", uuid)
                        .number("size", megabytes(Some(size)))
                        .number("seg_count", one.segments.map(u64::from))
                        .text("vg_name", &group.name)
                        .text("vg_uuid", &group.uuid),
                )
            })
        }),
    );
}

fn devices(content: &mut Content, devices: &v1::DevicesFacts) {
    let pci = devices.pci.iter();
    content.list(
        "controllers",
        pci.map(|one| {
            let subsystem = match (&one.subsystem_vendor_id, &one.subsystem_device_id) {
                (Some(vendor), Some(device)) => Some(format!("{vendor}:{device}")),
                _ => None,
            };
            // The protocol's class is without the interface.
            let class = one
                .class_code
                .as_ref()
                .map(|class| class.chars().take(4).collect::<String>());
            Fields::default()
                .text("pcislot", &one.slot)
                .text("vendorid", &one.vendor_id)
                .text("productid", &one.device_id)
                .text("pcisubsystemid", subsystem)
                .text("pciclass", class)
                .text("type", &one.class_name)
                .text("manufacturer", &one.vendor)
                .text("name", &one.device)
                .text("caption", &one.device)
                .text("driver", &one.driver)
                .text(
                    "rev",
                    one.revision.map(|revision| format!("{revision:02x}")),
                )
        }),
    );
    content.list(
        "usbdevices",
        devices.usb.iter().map(|one| {
            Fields::default()
                .text("vendorid", &one.vendor_id)
                .text("productid", &one.product_id)
                .text("manufacturer", &one.vendor)
                .text("name", &one.product)
                .text("caption", &one.product)
                .text("serial", &one.serial)
                .text(
                    "class",
                    one.classes.first().and_then(|name| usb::number(name)),
                )
        }),
    );
    content.list(
        "videos",
        devices.gpus.iter().map(|one| {
            Fields::default()
                .text("name", one.model.clone().or(one.vendor.clone()))
                .number("memory", mebibytes(one.memory_bytes))
                .text("pcislot", &one.pci_slot)
        }),
    );
    content.list(
        "inputs",
        devices.inputs.iter().map(|one| {
            Fields::default()
                .text("name", &one.name)
                .text("caption", &one.name)
                .text("type", &one.r#type)
                .text("interface", &one.bus)
        }),
    );
    content.list(
        "sounds",
        devices.sounds.iter().map(|one| {
            Fields::default()
                .text("name", &one.name)
                .text("caption", &one.name)
        }),
    );
    content.list(
        "modems",
        devices.modems.iter().map(|one| {
            Fields::default()
                .text("name", &one.name)
                .text("manufacturer", &one.manufacturer)
        }),
    );
    content.list(
        "cameras",
        devices
            .cameras
            .iter()
            .map(|one| Fields::default().text("designation", &one.name)),
    );
}

fn monitor(one: &v1::Display) -> Fields {
    let made = match (one.week, one.year) {
        (Some(week), Some(year)) => Some(format!("{week}/{year}")),
        (None, Some(year)) => Some(year.to_string()),
        _ => None,
    };
    Fields::default()
        .text("name", &one.model)
        .text("caption", &one.model)
        .text(
            "manufacturer",
            one.manufacturer.clone().or(one.manufacturer_id.clone()),
        )
        .text("serial", &one.serial)
        .text("description", made)
        .text("port", &one.connector)
        .text(
            "base64",
            one.edid.as_ref().map(|edid| STANDARD.encode(edid)),
        )
}
