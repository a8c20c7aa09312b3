//! Partitions, encryption, volume groups and arrays. From sysfs and the device manager's database; the first bytes of a
//! device are read only for what neither tells (a cipher, a machine without udev), and never of a disk that sleeps. In a
//! captured tree the first bytes of a device are the file `/head/DEVICE`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use chasqui_proto::v1;
use prost::Message;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds, patience};
use super::smart::ask::{Ask, Page};
use super::smart::ata;
use super::superblock::{self, HEAD_BYTES, Luks};
use super::udev::Properties;
use super::{block, disk_health, disks, filesystems, lvm, table};

const BLOCK: &str = "/sys/block";
const LVM_BACKUP: &str = "/etc/lvm/backup";
const SECTOR: u64 = 512;
const MAX_ITEMS: usize = 2_000;
const MAX_WALK: usize = 256;
const HEAD_LIMIT: Duration = Duration::from_secs(10);
/// What has no partitions worth a word.
const PASSING: &[&str] = &["loop", "ram", "zram", "dm-", "fd", "sr", "nbd"];

/// Makes the storage section.
#[derive(Clone, Copy, Debug)]
pub struct Storage;

impl Collector for Storage {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Storage
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut reader = Reader {
            source,
            notes: Notes::new(self.kind()),
            gaps: BTreeMap::new(),
            heads: BTreeMap::new(),
        };
        let mut facts = v1::StorageFacts::default();
        let listed = reader.source.list(BLOCK);
        if let Some(devices) = reader.notes.take("partitions", BLOCK, listed) {
            let layers = reader.layers(&devices);
            facts.partitions = reader.partitions(&devices);
            facts.encryptions = reader.encryptions(&devices, &facts.partitions, &layers);
            facts.volume_groups = reader.volume_groups(&layers);
            facts.arrays = reader.arrays(&devices);
        }
        let mut notes = reader.notes;
        for ((field, _), why) in reader.gaps {
            notes.unread(&field, why);
        }
        Observation::new(Facts::Storage(facts), notes)
    }
}

/// A device of the device mapper.
struct Layer {
    /// `dm-0`.
    name: String,
    /// What made it, with its own id: `CRYPT-LUKS2-...`, `LVM-...`.
    uuid: String,
    /// The mapper's name for it.
    label: Option<String>,
    below: Vec<String>,
    size_bytes: Option<u64>,
}

struct Reader<'a> {
    source: &'a Source,
    notes: Notes,
    /// One word for each field and reason: partitions are many, and most lack the same things.
    gaps: BTreeMap<(String, i32), Unreadable>,
    /// First bytes that were read, by device.
    heads: BTreeMap<String, Result<Vec<u8>, Unreadable>>,
}

impl Reader<'_> {
    fn gap(&mut self, field: &str, why: Unreadable) {
        let key = (field.to_owned(), why.reason.into());
        self.gaps.entry(key).or_insert(why);
    }

    fn part<T>(&mut self, field: &str, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|why| self.gap(field, why)).ok()
    }

    fn layers(&mut self, devices: &[String]) -> Vec<Layer> {
        let mut layers = Vec::new();
        for name in devices.iter().filter(|name| name.starts_with("dm-")) {
            let path = format!("{BLOCK}/{name}");
            match self.source.line(&format!("{path}/dm/uuid")) {
                Ok(uuid) => layers.push(Layer {
                    name: name.clone(),
                    uuid,
                    label: self.source.line(&format!("{path}/dm/name")).ok(),
                    below: self
                        .source
                        .list(&format!("{path}/slaves"))
                        .unwrap_or_default(),
                    size_bytes: self.sectors(&format!("{path}/size")).ok(),
                }),
                Err(why) => {
                    for field in ["encryptions", "volume_groups"] {
                        let detail = format!("what {name} is: {}", why.detail);
                        self.gap(
                            field,
                            Unreadable {
                                detail,
                                ..why.clone()
                            },
                        );
                    }
                }
            }
        }
        layers
    }

    fn sectors(&self, path: &str) -> Result<u64, Unreadable> {
        let sectors: u64 = self.source.number(path)?;
        sectors
            .checked_mul(SECTOR)
            .ok_or_else(|| Unreadable::malformed(format!("{path}: {sectors} sectors")))
    }

    fn partitions(&mut self, devices: &[String]) -> Vec<v1::Partition> {
        let mut partitions = Vec::new();
        for disk in devices {
            if PASSING.iter().any(|prefix| disk.starts_with(prefix)) {
                continue;
            }
            let names = match self.source.list(&format!("{BLOCK}/{disk}")) {
                Ok(names) => names,
                Err(why) => {
                    self.gap("partitions", why);
                    continue;
                }
            };
            for name in names
                .into_iter()
                .filter(|name| name.starts_with(disk.as_str()))
            {
                let path = format!("{BLOCK}/{disk}/{name}");
                if self.source.exists(&format!("{path}/partition")) != Ok(true) {
                    continue;
                }
                if partitions.len() >= MAX_ITEMS {
                    self.gap(
                        "partitions",
                        Unreadable::too_large(format!("over {MAX_ITEMS} partitions")),
                    );
                    return partitions;
                }
                partitions.push(self.partition(disk, name, &path));
            }
        }
        partitions.sort_by(|a, b| a.name.cmp(&b.name));
        partitions
    }

    fn partition(&mut self, disk: &str, name: String, path: &str) -> v1::Partition {
        let number: Result<u32, _> = self.source.number(&format!("{path}/partition"));
        let (size, start) = (
            self.sectors(&format!("{path}/size")),
            self.sectors(&format!("{path}/start")),
        );
        let read_only: Result<u8, _> = self.source.number(&format!("{path}/ro"));
        let number = self.part("partitions.number", number);
        let mut partition = v1::Partition {
            name: name.clone(),
            disk: disk.to_owned(),
            number,
            size_bytes: self.part("partitions.size_bytes", size),
            start_bytes: self.part("partitions.start_bytes", start),
            read_only: self
                .part("partitions.read_only", read_only)
                .map(|flag| flag != 0),
            ..v1::Partition::default()
        };
        let udev = Properties::of_block(self.source, path);
        // The loader of udev's rules has not looked at a device whose entry has no partition.
        let told = udev
            .as_ref()
            .is_ok_and(|udev| udev.get("ID_PART_ENTRY_NUMBER").is_some());
        if let (true, Ok(udev)) = (told, &udev) {
            self.notes
                .from(&format!("partitions.{name}"), "/run/udev/data");
            let get = |key: &str| udev.get(key).and_then(bounds::some_text);
            partition.r#type = get("ID_PART_ENTRY_TYPE");
            partition.uuid = get("ID_PART_ENTRY_UUID");
            partition.label = udev.unescaped("ID_PART_ENTRY_NAME");
            partition.content = get("ID_FS_TYPE");
        } else {
            let entry = self.head(disk).map(|head| {
                number
                    .and_then(|number| table::entry(&head, number))
                    .unwrap_or_default()
            });
            match entry {
                Ok(entry) => {
                    partition.r#type = entry.kind;
                    partition.uuid = entry.uuid;
                    partition.label = entry.label;
                }
                Err(why) => {
                    for field in ["type", "uuid", "label"] {
                        self.gap(&format!("partitions.{field}"), why.clone());
                    }
                }
            }
            match self.head(&name) {
                Ok(head) => {
                    partition.content =
                        superblock::content(&head).map(|found| found.kind.to_owned());
                }
                Err(why) => {
                    self.gap("partitions.content", why.clone());
                    let detail = format!("what is on {name}: {}", why.detail);
                    self.gap("encryptions", Unreadable { detail, ..why });
                }
            }
        }
        for (field, absent, what) in [
            ("partitions.type", partition.r#type.is_none(), "a type"),
            ("partitions.uuid", partition.uuid.is_none(), "a UUID"),
            ("partitions.label", partition.label.is_none(), "a name"),
            (
                "partitions.content",
                partition.content.is_none(),
                "known content",
            ),
        ] {
            if absent {
                let why = format!("partitions without {what} in the table or on them");
                self.gap(field, Unreadable::no_source(why));
            }
        }
        partition
    }

    fn encryptions(
        &mut self,
        devices: &[String],
        partitions: &[v1::Partition],
        layers: &[Layer],
    ) -> Vec<v1::Encryption> {
        let mut found: BTreeMap<String, Option<&Layer>> = BTreeMap::new();
        for partition in partitions {
            if matches!(
                partition.content.as_deref(),
                Some("crypto_LUKS" | "BitLocker")
            ) {
                found.insert(partition.name.clone(), None);
            }
        }
        // Whole disks, arrays and volumes may be encrypted as well.
        for device in devices.iter().filter(|name| !name.starts_with("loop")) {
            let udev = Properties::of_block(self.source, &format!("{BLOCK}/{device}"));
            if udev.is_ok_and(|udev| {
                matches!(udev.get("ID_FS_TYPE"), Some("crypto_LUKS" | "BitLocker"))
            }) {
                found.insert(device.clone(), None);
            }
        }
        for layer in layers
            .iter()
            .filter(|layer| layer.uuid.starts_with("CRYPT-"))
        {
            if layer.below.is_empty() {
                let why = Unreadable::no_source(format!("{}: nothing below it", layer.name));
                self.gap("encryptions", why);
            }
            for device in &layer.below {
                found.insert(device.clone(), Some(layer));
            }
        }
        let mounts = match filesystems::local(self.source) {
            Ok(mounts) => mounts,
            Err(why) => {
                if !found.is_empty() {
                    self.gap("encryptions.mount_points", why);
                }
                Vec::new()
            }
        };
        found
            .into_iter()
            .take(MAX_ITEMS)
            .map(|(device, layer)| self.encryption(device, layer, &mounts))
            .collect()
    }

    fn encryption(
        &mut self,
        device: String,
        layer: Option<&Layer>,
        mounts: &[block::Mount],
    ) -> v1::Encryption {
        let udev = Properties::of_block(self.source, &format!("/sys/class/block/{device}")).ok();
        let property = |name: &str| udev.as_ref()?.get(name).and_then(bounds::some_text);
        let mut mount_points: Vec<String> = mounts
            .iter()
            .filter(|mount| {
                layer.is_some_and(|layer| {
                    block::devices_of(self.source, mount)
                        .iter()
                        .any(|top| lies_on(self.source, top, &layer.name))
                })
            })
            .map(|mount| bounds::clean(&mount.mount_point))
            .collect();
        mount_points.sort();
        let of_layer = layer.and_then(|layer| crypt(&layer.uuid));
        let of_udev = match (
            property("ID_FS_TYPE").as_deref(),
            property("ID_FS_VERSION").as_deref(),
        ) {
            (Some("crypto_LUKS"), Some("1")) => Some("luks1"),
            (Some("crypto_LUKS"), Some("2")) => Some("luks2"),
            (Some("BitLocker"), _) => Some("bitlocker"),
            _ => None,
        };
        let mut encryption = v1::Encryption {
            r#type: of_udev
                .or(of_layer.as_ref().map(|(kind, _)| *kind))
                .map(str::to_owned),
            uuid: property("ID_FS_UUID").or(of_layer.and_then(|(_, uuid)| uuid)),
            unlocked: Some(layer.is_some()),
            mount_points,
            device,
            ..v1::Encryption::default()
        };
        if matches!(encryption.r#type.as_deref(), None | Some("luks1" | "luks2")) {
            self.header(&mut encryption);
        } else {
            let why = Unreadable::no_source("only LUKS headers tell the cipher");
            self.gap("encryptions.cipher", why.clone());
            self.gap("encryptions.key_bits", why);
        }
        if encryption.r#type.is_none() || encryption.uuid.is_none() {
            let why = Unreadable::no_source("neither header nor mapper tells");
            for field in ["encryptions.type", "encryptions.uuid"] {
                self.gap(field, why.clone());
            }
        }
        encryption
    }

    /// What the LUKS header adds. The header stands still for years, so while its disk sleeps the last one read stands for
    /// it.
    fn header(&mut self, encryption: &mut v1::Encryption) {
        let read = self
            .head(&encryption.device)
            .and_then(|head| superblock::luks(&head));
        let key = |uuid: &str| {
            let uuid: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
            format!("luks-{uuid:.64}")
        };
        match read {
            Ok(Luks {
                version,
                uuid,
                cipher,
                key_bits,
            }) => {
                encryption.r#type = Some(format!("luks{version}"));
                encryption.uuid = uuid.or(encryption.uuid.take());
                encryption.cipher = cipher;
                encryption.key_bits = key_bits;
                if let Some(uuid) = &encryption.uuid {
                    let kept = v1::Encryption {
                        cipher: encryption.cipher.clone(),
                        key_bits,
                        ..v1::Encryption::default()
                    };
                    self.source.remember(&key(uuid), &kept.encode_to_vec());
                }
            }
            Err(why) => {
                let kept = encryption
                    .uuid
                    .as_ref()
                    .and_then(|uuid| self.source.recall(&key(uuid)))
                    .and_then(|bytes| v1::Encryption::decode(&*bytes).ok());
                match kept {
                    Some(kept) => {
                        encryption.cipher = kept.cipher;
                        encryption.key_bits = kept.key_bits;
                    }
                    None => {
                        self.gap("encryptions.cipher", why.clone());
                        self.gap("encryptions.key_bits", why);
                        return;
                    }
                }
            }
        }
        for (field, absent) in [
            ("encryptions.cipher", encryption.cipher.is_none()),
            ("encryptions.key_bits", encryption.key_bits.is_none()),
        ] {
            if absent {
                self.gap(
                    field,
                    Unreadable::no_source("the LUKS header does not tell"),
                );
            }
        }
    }

    fn volume_groups(&mut self, layers: &[Layer]) -> Vec<v1::VolumeGroup> {
        let mut groups: BTreeMap<String, v1::VolumeGroup> = BTreeMap::new();
        let listed = match self.source.list(LVM_BACKUP) {
            Ok(names) => names,
            Err(why) => {
                if !why.is_no_source() {
                    self.gap("volume_groups", why);
                }
                Vec::new()
            }
        };
        for name in listed.into_iter().take(MAX_ITEMS) {
            let path = format!("{LVM_BACKUP}/{name}");
            let read = self
                .source
                .text(&path, lvm::MAX_BYTES)
                .and_then(|text| lvm::parse(&text));
            match read {
                Ok(group) => {
                    self.notes
                        .from(&format!("volume_groups.{}", group.name), &path);
                    groups.insert(group.name.clone(), group);
                }
                Err(why) => {
                    let detail = format!("{path}: {}", why.detail);
                    self.gap("volume_groups", Unreadable { detail, ..why });
                }
            }
        }
        // Groups that no text tells of, by the volumes that are in use.
        let mut seen: BTreeMap<String, v1::VolumeGroup> = BTreeMap::new();
        for layer in layers {
            let Some((group, volume)) = logical_volume(layer) else {
                continue;
            };
            if groups.contains_key(&group.name) {
                continue;
            }
            let known = seen.entry(group.name.clone()).or_insert(group);
            known.logical_volumes.push(volume);
            for device in &layer.below {
                let device = format!("/dev/{device}");
                // Volumes over volumes (snapshots, mirrors) lie on no physical one.
                if !device.starts_with("/dev/dm-")
                    && !known.physical_volumes.iter().any(|pv| pv.device == device)
                {
                    known.physical_volumes.push(v1::PhysicalVolume {
                        device,
                        ..v1::PhysicalVolume::default()
                    });
                }
            }
        }
        for group in seen.values_mut() {
            group.logical_volumes.sort_by(|a, b| a.name.cmp(&b.name));
            group
                .physical_volumes
                .sort_by(|a, b| a.device.cmp(&b.device));
        }
        groups.extend(seen);
        let groups: Vec<v1::VolumeGroup> = groups.into_values().collect();
        for group in &groups {
            self.group_gaps(group);
        }
        groups
    }

    fn group_gaps(&mut self, group: &v1::VolumeGroup) {
        let volumes = &group.physical_volumes;
        let logical = &group.logical_volumes;
        for (field, absent) in [
            ("uuid", group.uuid.is_none()),
            ("size_bytes", group.size_bytes.is_none()),
            ("free_bytes", group.free_bytes.is_none()),
            ("extent_bytes", group.extent_bytes.is_none()),
            (
                "physical_volumes.uuid",
                volumes.iter().any(|pv| pv.uuid.is_none()),
            ),
            (
                "physical_volumes.size_bytes",
                volumes.iter().any(|pv| pv.size_bytes.is_none()),
            ),
            (
                "logical_volumes.uuid",
                logical.iter().any(|lv| lv.uuid.is_none()),
            ),
            (
                "logical_volumes.size_bytes",
                logical.iter().any(|lv| lv.size_bytes.is_none()),
            ),
            (
                "logical_volumes.segments",
                logical.iter().any(|lv| lv.segments.is_none()),
            ),
        ] {
            if absent {
                let why = format!("{LVM_BACKUP} does not tell, and the kernel does not know");
                self.gap(
                    &format!("volume_groups.{field}"),
                    Unreadable::no_source(why),
                );
            }
        }
    }

    fn arrays(&mut self, devices: &[String]) -> Vec<v1::Array> {
        let mut arrays = Vec::new();
        for name in devices
            .iter()
            .filter(|name| name.starts_with("md"))
            .take(MAX_ITEMS)
        {
            let path = format!("{BLOCK}/{name}");
            let members = self
                .source
                .list(&format!("{path}/md"))
                .map(|files| {
                    let members = files.iter().filter_map(|file| file.strip_prefix("dev-"));
                    members.map(str::to_owned).collect::<Vec<_>>()
                })
                .ok()
                .filter(|members| !members.is_empty())
                .map_or_else(|| self.source.list(&format!("{path}/slaves")), Ok);
            let level = self.source.line(&format!("{path}/md/level"));
            let wanted: Result<u32, _> = self.source.number(&format!("{path}/md/raid_disks"));
            let missing: Result<u32, _> = match level.as_deref() {
                // These keep nothing twice, so the kernel has no such file: a member less and they are gone.
                Ok("linear" | "raid0") => Ok(0),
                _ => self.source.number(&format!("{path}/md/degraded")),
            };
            arrays.push(v1::Array {
                name: name.clone(),
                level: self.part("arrays.level", level),
                members: self.part("arrays.members", members).unwrap_or_default(),
                wanted_members: self.part("arrays.wanted_members", wanted),
                degraded: self
                    .part("arrays.degraded", missing)
                    .map(|missing| missing > 0),
            });
        }
        arrays
    }

    fn head(&mut self, device: &str) -> Result<Vec<u8>, Unreadable> {
        if let Some(read) = self.heads.get(device) {
            return read.clone();
        }
        let read = head(self.source, device);
        self.heads.insert(device.to_owned(), read.clone());
        read
    }
}

/// The first bytes of a device, at most [`HEAD_BYTES`], unless a disk under it sleeps.
pub fn head(source: &Source, device: &str) -> Result<Vec<u8>, Unreadable> {
    if !source.is_live() {
        return source.bytes(&format!("/head/{device}"), HEAD_BYTES);
    }
    let (source, device) = (source.clone(), device.to_owned());
    patience::within("head of a disk", HEAD_LIMIT, move || {
        live_head(&source, &device)
    })
    .and_then(|read| read)
}

fn live_head(source: &Source, device: &str) -> Result<Vec<u8>, Unreadable> {
    for disk in block::disks_under(source, device) {
        let asleep = || Unreadable::io(format!("{disk} sleeps and is not woken"));
        if disk_health::suspended(source, &disk) {
            return Err(asleep());
        }
        if matches!(disks::bus(source, &disk), Some("sata" | "usb")) {
            let mode = source.page(&disk, Page::PowerMode)?;
            if mode.first().is_none_or(|count| ata::sleeps(*count)) {
                return Err(asleep());
            }
        }
    }
    let path = format!("/dev/{device}");
    let fail = |error: std::io::Error| Unreadable::of_error(&path, &error);
    let file = std::fs::File::open(&path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(HEAD_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(bytes)
}

/// Kind and UUID in the mapper's id of an open volume: `CRYPT-LUKS2-32 hex digits-name`.
fn crypt(id: &str) -> Option<(&'static str, Option<String>)> {
    let (kind, rest) = id.strip_prefix("CRYPT-")?.split_once('-')?;
    let kind = match kind {
        "LUKS1" => "luks1",
        "LUKS2" => "luks2",
        "PLAIN" => "plain",
        "BITLK" => "bitlocker",
        _ => return None,
    };
    let uuid = rest
        .split('-')
        .next()
        .and_then(|digits| uuid::Uuid::parse_str(digits).ok())
        .map(|uuid| uuid.to_string());
    Some((kind, uuid))
}

/// Group and volume of the mapper's id `LVM-` + 32 letters + 32 letters, and its name `group-volume` with doubled dashes.
fn logical_volume(layer: &Layer) -> Option<(v1::VolumeGroup, v1::LogicalVolume)> {
    let ids = layer.uuid.strip_prefix("LVM-")?;
    let (group, rest) = ids.split_at_checked(32)?;
    let (volume, inner) = rest.split_at_checked(32)?;
    // A suffix marks the inner parts of pools and snapshots.
    if !inner.is_empty() {
        return None;
    }
    let (group_name, volume_name) = mapped_names(layer.label.as_deref()?)?;
    Some((
        v1::VolumeGroup {
            name: group_name,
            uuid: superblock::lvm_id(group),
            ..v1::VolumeGroup::default()
        },
        v1::LogicalVolume {
            name: volume_name,
            uuid: superblock::lvm_id(volume),
            size_bytes: layer.size_bytes,
            segments: None,
        },
    ))
}

fn mapped_names(label: &str) -> Option<(String, String)> {
    // A single dash parts the names; two stand for one.
    let hidden = label.replace("--", "\u{0}");
    let (group, volume) = hidden.split_once('-')?;
    let shown = |text: &str| bounds::clean(&text.replace('\u{0}', "-"));
    Some((shown(group), shown(volume)))
}

fn lies_on(source: &Source, top: &str, layer: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(name) = waiting.pop() {
        if name == layer {
            return true;
        }
        if seen.len() >= MAX_WALK || !seen.insert(name.clone()) {
            continue;
        }
        waiting.extend(
            source
                .list(&format!("/sys/class/block/{name}/slaves"))
                .unwrap_or_default(),
        );
    }
    false
}
