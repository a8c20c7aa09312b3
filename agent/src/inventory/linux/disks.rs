//! Disks: kind, bus, size, maker's data, and which of them holds the system. Nothing here speaks to a disk, so none is
//! woken: all comes from what the kernel and the device manager learnt when the disk appeared.

use std::collections::BTreeSet;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use super::smart::ata::Identify;
use super::udev::Properties;
use super::{block, filesystems, placeholder};

const BLOCK: &str = "/sys/block";
const MAX_DISKS: usize = 512;
const SECTOR: u64 = 512;

/// Names of what is no disk: memory, images, and layers over disks.
const LAYERS: &[&str] = &[
    "loop", "ram", "zram", "dm-", "md", "nbd", "zd", "bcache", "drbd", "fd", "pmem", "rbd",
];
/// Models and makers of virtual disks on buses that real disks use as well.
const VIRTUAL: &[&str] = &[
    "QEMU",
    "VBOX",
    "VMware",
    "Virtual",
    "Msft",
    "Google",
    "Amazon Elastic Block Store",
    "BHYVE",
    "Xen",
];

/// Makes the disks section.
#[derive(Clone, Copy, Debug)]
pub struct Disks;

impl Collector for Disks {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Disks
    }

    fn version(&self) -> u32 {
        2
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let system = notes.take("system", block::MOUNTS, system_disks(source));
        let mut disks = Vec::new();
        if let Some(names) = notes.take("disks", BLOCK, source.list(BLOCK)) {
            let names: Vec<String> = names
                .into_iter()
                .filter(|name| is_disk(source, name))
                .collect();
            if names.len() > MAX_DISKS {
                let why = Unreadable::too_large(format!("{} disks", names.len()));
                notes.unread("disks", why);
            }
            for name in names.into_iter().take(MAX_DISKS) {
                disks.push(disk(source, name, system.as_ref(), &mut notes));
            }
        }
        let facts = v1::DisksFacts {
            disks,
            file_systems: filesystems::read(source, &mut notes),
        };
        Observation::new(Facts::Disks(facts), notes)
    }
}

/// What the health section must know of a disk before it is asked.
#[derive(Clone, Debug)]
pub struct Known {
    /// Kernel name, or the path of a member behind a RAID controller.
    pub name: String,
    /// As [`bus`] gives it.
    pub bus: Option<&'static str>,
    /// `None` where it is not told.
    pub kind: Option<v1::DiskKind>,
    /// Model.
    pub model: Option<String>,
    /// Serial, or why there is none.
    pub serial: Result<String, Unreadable>,
    /// The medium can be taken out.
    pub removable: Option<bool>,
    /// A drive for discs.
    pub optical: bool,
    /// A member behind a RAID controller.
    pub member: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            name: String::new(),
            bus: None,
            kind: None,
            model: None,
            serial: Err(Unreadable::no_source("the disk does not tell")),
            removable: None,
            optical: false,
            member: false,
        }
    }
}

/// The disks of [`Disks`], sorted by name.
pub fn known(source: &Source) -> Result<Vec<Known>, Unreadable> {
    let names = source.list(BLOCK)?;
    let disks = names.into_iter().filter(|name| is_disk(source, name));
    Ok(disks
        .take(MAX_DISKS)
        .map(|name| {
            let path = format!("{BLOCK}/{name}");
            let told = Told::of(source, &path);
            let bus = bus(source, &name);
            let model = model(source, &path, &told).ok();
            Known {
                bus,
                kind: kind(source, &name, bus, model.as_deref(), &told).ok(),
                serial: placeholder::refuse(serial(source, &path, &told)),
                removable: source
                    .number::<u8>(&format!("{path}/removable"))
                    .ok()
                    .map(|flag| flag != 0),
                optical: name.starts_with("sr"),
                member: false,
                name,
                model,
            }
        })
        .collect())
}

/// The bus a disk hangs on, from its place in the device tree; `None` where that does not tell.
pub fn bus(source: &Source, disk: &str) -> Option<&'static str> {
    // Order matters: a USB box holds a SCSI host, and so does a SATA port.
    const MARKS: &[(&str, &str)] = &[
        ("/usb", "usb"),
        ("/nvme", "nvme"),
        ("/virtio", "virtio"),
        ("/mmc_host/", "mmc"),
        ("/vbd-", "xen"),
        ("/vmbus", "vmbus"),
        ("/VMBUS", "vmbus"),
        ("/firewire", "firewire"),
        ("/session", "iscsi"),
        ("/rport-", "fibre_channel"),
        ("/end_device-", "sas"),
        ("/ata", "sata"),
        ("/host", "scsi"),
    ];
    let target = source.link(&format!("{BLOCK}/{disk}")).ok()?;
    MARKS
        .iter()
        .find(|(mark, _)| target.contains(mark))
        .map(|(_, bus)| *bus)
}

fn system_disks(source: &Source) -> Result<BTreeSet<String>, Unreadable> {
    let root = block::root_mount(source)?;
    let disks: BTreeSet<String> = block::devices_of(source, &root)
        .iter()
        .flat_map(|device| block::disks_under(source, device))
        .collect();
    if disks.is_empty() {
        return Err(Unreadable::no_source(format!(
            "the root file system ({} {}) lies on no disk that the kernel names",
            root.fs_type, root.device
        )));
    }
    Ok(disks)
}

fn is_disk(source: &Source, name: &str) -> bool {
    if LAYERS.iter().any(|layer| name.starts_with(layer)) {
        return false;
    }
    // Boot areas of an eMMC, and the single paths of a disk reached by several.
    if name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb")) {
        return false;
    }
    source.line(&format!("{BLOCK}/{name}/hidden")) != Ok("1".to_owned())
}

/// What the disk told when it appeared.
struct Told {
    udev: Option<Properties>,
    identify: Option<Identify>,
}

impl Told {
    fn of(source: &Source, path: &str) -> Self {
        Self {
            udev: Properties::of_block(source, path).ok(),
            identify: source
                .bytes(&format!("{path}/device/vpd_pg89"), 4_096)
                .ok()
                .and_then(|page| identify(&page)),
        }
    }
}

fn disk(
    source: &Source,
    name: String,
    system: Option<&BTreeSet<String>>,
    notes: &mut Notes,
) -> v1::Disk {
    let path = format!("{BLOCK}/{name}");
    notes.from(&format!("disks.{name}"), &path);
    let told = Told::of(source, &path);
    let removable = source.number::<u8>(&format!("{path}/removable"));
    let removable = notes
        .part(&format!("disks.{name}.removable"), removable)
        .map(|flag| flag != 0);
    let bus = bus(source, &name).map(str::to_owned);
    if bus.is_none() {
        notes.unread(
            &format!("disks.{name}.bus"),
            Unreadable::no_source(format!("{path}: its place does not tell")),
        );
    }
    let model = model(source, &path, &told);
    let model = notes.part(&format!("disks.{name}.model"), model);
    let kind = kind(source, &name, bus.as_deref(), model.as_deref(), &told);
    let kind = notes.part(&format!("disks.{name}.kind"), kind);
    let serial = placeholder::refuse(serial(source, &path, &told));
    let firmware = firmware(source, &path, &told);
    let size = size(source, &name, &path);
    v1::Disk {
        serial: notes.part(&format!("disks.{name}.serial"), serial),
        firmware: notes.part(&format!("disks.{name}.firmware"), firmware),
        wwn: notes.part(&format!("disks.{name}.wwn"), wwn(source, &path, &told)),
        manufacturer: notes.part(
            &format!("disks.{name}.manufacturer"),
            manufacturer(source, &path),
        ),
        size_bytes: notes.part(&format!("disks.{name}.size_bytes"), size),
        kind: kind.unwrap_or(v1::DiskKind::Unspecified).into(),
        system: system.map(|disks| disks.contains(&name)),
        name,
        model,
        bus,
        removable,
    }
}

fn size(source: &Source, name: &str, path: &str) -> Result<u64, Unreadable> {
    // The size of an optical drive is that of the disc in it.
    if name.starts_with("sr") {
        return Err(Unreadable::no_source(format!("{path}: an optical drive")));
    }
    let sectors: u64 = source.number(&format!("{path}/size"))?;
    if sectors == 0 {
        return Err(Unreadable::no_source(format!("{path}: no medium")));
    }
    sectors
        .checked_mul(SECTOR)
        .ok_or_else(|| Unreadable::malformed(format!("{path}/size: {sectors} sectors")))
}

fn model(source: &Source, path: &str, told: &Told) -> Result<String, Unreadable> {
    if let Some(model) = told.identify.as_ref().and_then(|page| page.model.clone()) {
        return Ok(model);
    }
    if let Some(model) = told
        .udev
        .as_ref()
        .and_then(|udev| udev.unescaped("ID_MODEL_ENC"))
    {
        return Ok(model);
    }
    source
        .line(&format!("{path}/device/model"))
        .or_else(|why| source.line(&format!("{path}/device/name")).map_err(|_| why))
}

fn serial(source: &Source, path: &str, told: &Told) -> Result<String, Unreadable> {
    if let Some(serial) = told.identify.as_ref().and_then(|page| page.serial.clone()) {
        return Ok(serial);
    }
    // Vital product data, page 80h: four bytes of header, then the unit's serial.
    if let Some(serial) = source
        .bytes(&format!("{path}/device/vpd_pg80"), 512)
        .ok()
        .as_deref()
        .and_then(|page| page.get(4..))
        .and_then(|serial| bounds::some_text(&String::from_utf8_lossy(serial)))
    {
        return Ok(serial);
    }
    source
        .line(&format!("{path}/device/serial"))
        .or_else(|_| source.line(&format!("{path}/serial")))
        .or_else(|why| {
            told.udev
                .as_ref()
                .and_then(|udev| udev.get("ID_SERIAL_SHORT").and_then(bounds::some_text))
                .ok_or(why)
        })
}

fn firmware(source: &Source, path: &str, told: &Told) -> Result<String, Unreadable> {
    if let Some(firmware) = told
        .identify
        .as_ref()
        .and_then(|page| page.firmware.clone())
    {
        return Ok(firmware);
    }
    ["firmware_rev", "rev", "fwrev"]
        .iter()
        .find_map(|name| source.line(&format!("{path}/device/{name}")).ok())
        .or_else(|| {
            told.udev
                .as_ref()
                .and_then(|udev| udev.get("ID_REVISION").and_then(bounds::some_text))
        })
        .ok_or_else(|| Unreadable::no_source(format!("{path}: no firmware revision")))
}

fn wwn(source: &Source, path: &str, told: &Told) -> Result<String, Unreadable> {
    if let Some(wwn) = told.identify.as_ref().and_then(|page| page.wwn.clone()) {
        return Ok(wwn);
    }
    // The kernel writes `naa.5000c500...`, the device manager `0x5000c500...`: one form for both.
    let of_kernel = ["wwid", "device/wwid"].iter().find_map(|file| {
        let wwid = source.line(&format!("{path}/{file}")).ok()?;
        match wwid.strip_prefix("naa.") {
            Some(name) => Some(format!("0x{name}")),
            // The others (`t10.`, `nvme.`) only repeat maker, model and serial.
            None => (wwid.starts_with("eui.") || wwid.starts_with("uuid.")).then_some(wwid),
        }
    });
    of_kernel
        .or_else(|| {
            let udev = told.udev.as_ref()?;
            udev.get("ID_WWN_WITH_EXTENSION")
                .or_else(|| udev.get("ID_WWN"))
                .and_then(bounds::some_text)
        })
        .ok_or_else(|| Unreadable::no_source(format!("{path}: no world wide name")))
}

fn manufacturer(source: &Source, path: &str) -> Result<String, Unreadable> {
    let maker = source.line(&format!("{path}/device/vendor"))?;
    // The SCSI layer gives every ATA disk this maker; virtio gives a PCI number.
    if maker == "ATA" || maker.starts_with("0x") {
        return Err(Unreadable::no_source(format!(
            "{path}: the maker is not told apart from the model"
        )));
    }
    placeholder::refuse(Ok(maker))
}

fn kind(
    source: &Source,
    name: &str,
    bus: Option<&str>,
    model: Option<&str>,
    told: &Told,
) -> Result<v1::DiskKind, Unreadable> {
    let path = format!("{BLOCK}/{name}");
    let maker = source.line(&format!("{path}/device/vendor")).ok();
    let virtual_name = |text: &str| VIRTUAL.iter().any(|mark| text.starts_with(mark));
    if matches!(bus, Some("virtio" | "xen" | "vmbus"))
        || model.is_some_and(virtual_name)
        || maker.as_deref().is_some_and(virtual_name)
    {
        return Ok(v1::DiskKind::Virtual);
    }
    if name.starts_with("sr") {
        return Err(Unreadable::no_source(format!("{path}: an optical drive")));
    }
    match bus {
        Some("nvme") => return Ok(v1::DiskKind::Nvme),
        Some("mmc") => {
            let card = source.line(&format!("{path}/device/type"))?;
            return if card == "MMC" {
                Ok(v1::DiskKind::Emmc)
            } else {
                Err(Unreadable::no_source(format!(
                    "{path}: a card of type {card}"
                )))
            };
        }
        _ => {}
    }
    let turns = told
        .identify
        .as_ref()
        .and_then(|page| page.rotation_rpm.map(|turns| turns > 0))
        .or_else(|| {
            let rate: u32 = told
                .udev
                .as_ref()?
                .get("ID_ATA_ROTATION_RATE_RPM")?
                .parse()
                .ok()?;
            Some(rate > 0)
        });
    if let Some(turns) = turns {
        return Ok(if turns {
            v1::DiskKind::Hdd
        } else {
            v1::DiskKind::Ssd
        });
    }
    match source.number::<u8>(&format!("{path}/queue/rotational"))? {
        0 => Ok(v1::DiskKind::Ssd),
        // The kernel assumes a turning disk when a USB bridge tells nothing.
        _ if bus == Some("usb") => Err(Unreadable::no_source(format!(
            "{path}: the USB bridge does not tell"
        ))),
        _ => Ok(v1::DiskKind::Hdd),
    }
}

/// ATA IDENTIFY DEVICE data, as the SCSI layer keeps it in vital product data page 89h (SAT). It has the full model,
/// where the SCSI inquiry has room for 16 characters.
fn identify(page: &[u8]) -> Option<Identify> {
    if page.get(1) != Some(&0x89) {
        return None;
    }
    Identify::parse(page.get(60..572)?).ok()
}
