//! From stored sections and what people typed to the facts of the retirement rule. A field that is absent becomes an
//! unknown with the reason the agent gave; it never becomes a no.

use chasqui_domain::retirement::{DeviceFacts, DiskKind, Fact, OperatingSystem, WhyUnknown};
use chasqui_proto::v1::{self, UnreadReason, section_facts::Facts};
use chasqui_store::device::Device;
use chasqui_store::inventory::{self as store, DeviceSection};
use chasqui_store::{StoreError, Tx};
use prost::Message;

/// Said as source of what people typed.
const PEOPLE: &str = "administrative facts";

/// What was known of a device at a moment.
pub fn of(tx: &mut Tx, device: &Device, as_of_ms: i64) -> Result<DeviceFacts, StoreError> {
    let mut facts = DeviceFacts::default();
    if let Some((day, at_ms)) = purchase_date(tx, device, as_of_ms)? {
        facts.purchase_date = Fact::known(day, PEOPLE, at_ms);
    }
    for section in store::sections_at(tx, &device.id, as_of_ms)? {
        let Some(seen) = Seen::read(section) else {
            continue;
        };
        match seen.facts.facts.clone() {
            Some(Facts::Hardware(hardware)) => {
                facts.virtual_machine =
                    seen.fact("hardware.virtualization", virtual_machine(&hardware));
                facts.firmware_date = seen.fact("hardware.firmware_date", hardware.firmware_date);
            }
            Some(Facts::Memory(memory)) => {
                facts.memory_modules_bytes = seen.fact("memory.modules", modules(&memory));
                facts.memory_visible_bytes =
                    seen.fact("memory.visible_bytes", memory.visible_bytes);
            }
            Some(Facts::Disks(disks)) => {
                facts.system_disk = seen.fact("disks.disks", system_disk(&disks))
            }
            Some(Facts::OperatingSystem(system)) => {
                facts.operating_system =
                    seen.fact("operating_system.product", operating_system(system));
            }
            Some(_) => {}
            None => seen.nothing_read(&mut facts),
        }
    }
    Ok(facts)
}

/// The purchase date people had typed by then, with when they typed it.
fn purchase_date(
    tx: &mut Tx,
    device: &Device,
    as_of_ms: i64,
) -> Result<Option<(String, i64)>, StoreError> {
    if let Some((data, at_ms)) = store::purchase_typed_at(tx, &device.id, as_of_ms)? {
        let typed: serde_json::Value = serde_json::from_str(&data).unwrap_or_default();
        let day = typed
            .get("purchase_date")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        return Ok((!day.is_empty()).then(|| (day.to_owned(), at_ms)));
    }
    Ok(None)
}

/// One section as it stood.
struct Seen {
    kind: String,
    facts: v1::SectionFacts,
    provenance: Vec<v1::Provenance>,
    observed_at_ms: i64,
}

impl Seen {
    fn read(section: DeviceSection) -> Option<Self> {
        let from = v1::Section::decode(section.provenance.as_slice()).unwrap_or_default();
        Some(Self {
            facts: v1::SectionFacts::decode(section.facts.as_slice()).ok()?,
            kind: section.kind,
            provenance: from.provenance,
            observed_at_ms: section.observed_at_ms,
        })
    }

    /// A value with its source, or why it is missing.
    fn fact<T>(&self, group: &str, value: Option<T>) -> Fact<T> {
        match value {
            Some(value) => Fact::known(value, self.source(group), self.observed_at_ms),
            None => self.unknown(group),
        }
    }

    fn unknown<T>(&self, group: &str) -> Fact<T> {
        // The reason nearest to the field; else any of the section, for one fault (no SMBIOS) empties many fields.
        let nearest = self
            .facts
            .unread
            .iter()
            .filter(|unread| covers(&unread.group, group))
            .max_by_key(|unread| unread.group.len())
            .or_else(|| {
                self.facts
                    .unread
                    .iter()
                    .find(|unread| is_common(&unread.group))
            });
        match nearest {
            Some(unread) => Fact::unknown(why(unread.reason()), unread.detail.clone()),
            None => Fact::unknown(WhyUnknown::NotAvailable, ""),
        }
    }

    /// The path or call the group came from; the section's name when the agent did not say.
    fn source(&self, group: &str) -> String {
        self.provenance
            .iter()
            .filter(|from| covers(&from.group, group))
            .max_by_key(|from| from.group.len())
            .or_else(|| self.provenance.iter().find(|from| is_common(&from.group)))
            .map_or_else(
                || format!("agent, section {}", self.kind),
                |from| from.source.clone(),
            )
    }

    /// A section of which nothing could be read.
    fn nothing_read(&self, facts: &mut DeviceFacts) {
        match self.kind.as_str() {
            "hardware" => {
                facts.virtual_machine = self.unknown("hardware");
                facts.firmware_date = self.unknown("hardware");
            }
            "memory" => {
                facts.memory_modules_bytes = self.unknown("memory");
                facts.memory_visible_bytes = self.unknown("memory");
            }
            "disks" => facts.system_disk = self.unknown("disks"),
            "operating_system" => facts.operating_system = self.unknown("operating_system"),
            _ => {}
        }
    }
}

/// Sources from which several fields of a section come at once: the SMBIOS table, os-release.
fn is_common(group: &str) -> bool {
    group.ends_with(".smbios") || group.ends_with(".release")
}

/// Whether a group is the field's own, or one it lies in.
fn covers(group: &str, field: &str) -> bool {
    field == group
        || field
            .strip_prefix(group)
            .is_some_and(|rest| rest.starts_with('.'))
}

fn why(reason: UnreadReason) -> WhyUnknown {
    match reason {
        UnreadReason::Permission => WhyUnknown::NotPermitted,
        UnreadReason::NoSource => WhyUnknown::NotAvailable,
        UnreadReason::Unspecified => WhyUnknown::NotCollected,
        UnreadReason::Malformed
        | UnreadReason::Io
        | UnreadReason::TimeLimit
        | UnreadReason::TooLarge
        | UnreadReason::Placeholder => WhyUnknown::Unreadable,
    }
}

fn virtual_machine(hardware: &v1::HardwareFacts) -> Option<bool> {
    hardware
        .virtualization
        .as_deref()
        .map(|what| what != "none")
}

/// Sizes of the modules that are plugged in. A module whose size could not be read makes the list unknown: a sum without
/// it would be a number nobody measured.
fn modules(memory: &v1::MemoryFacts) -> Option<Vec<u64>> {
    if memory.modules.is_empty() {
        return None;
    }
    let mut sizes = Vec::new();
    for module in &memory.modules {
        match module.size_bytes {
            Some(0) => {}
            Some(size) => sizes.push(size),
            None => return None,
        }
    }
    (!sizes.is_empty()).then_some(sizes)
}

/// The kind of the disk with the system on it. With several of them, the slowest decides.
fn system_disk(disks: &v1::DisksFacts) -> Option<DiskKind> {
    let mut kinds = Vec::new();
    for disk in disks.disks.iter().filter(|disk| disk.system == Some(true)) {
        kinds.push(match disk.kind() {
            v1::DiskKind::Unspecified => return None,
            v1::DiskKind::Hdd => DiskKind::Hdd,
            v1::DiskKind::Ssd => DiskKind::Ssd,
            v1::DiskKind::Nvme => DiskKind::Nvme,
            v1::DiskKind::Emmc => DiskKind::Emmc,
            v1::DiskKind::Virtual => DiskKind::Virtual,
        });
    }
    [
        DiskKind::Hdd,
        DiskKind::Emmc,
        DiskKind::Virtual,
        DiskKind::Ssd,
        DiskKind::Nvme,
    ]
    .into_iter()
    .find(|kind| kinds.contains(kind))
}

fn operating_system(system: v1::OperatingSystemFacts) -> Option<OperatingSystem> {
    let product = system.product?;
    let version = system.version.unwrap_or_default();
    let name = system.name.unwrap_or_default();
    if system.family.as_deref() == Some("windows") {
        // `10.0.19045`: the third part is the build.
        let build = version
            .split('.')
            .nth(2)
            .and_then(|build| build.parse().ok());
        let edition = system.edition.unwrap_or_default();
        let installation = if name.contains("Server") {
            "Server"
        } else {
            "Client"
        };
        return Some(OperatingSystem::from_windows(
            &name,
            build,
            &edition,
            installation,
        ));
    }
    Some(OperatingSystem::from_os_release(
        &product, &version, &name, &name,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(unread: Vec<v1::Unread>) -> Seen {
        Seen {
            kind: "memory".to_owned(),
            facts: v1::SectionFacts {
                facts: None,
                unread,
            },
            provenance: vec![v1::Provenance {
                group: "memory".into(),
                source: "/proc/meminfo".into(),
            }],
            observed_at_ms: 7,
        }
    }

    #[test]
    fn a_missing_field_is_unknown_for_the_reason_nearest_to_it() {
        let unread = |group: &str, reason: UnreadReason| v1::Unread {
            group: group.into(),
            reason: reason.into(),
            detail: group.into(),
        };
        let seen = seen(vec![
            unread("memory", UnreadReason::Io),
            unread("memory.modules", UnreadReason::Permission),
            unread("memory.modulesX", UnreadReason::NoSource),
        ]);
        assert_eq!(
            seen.fact::<u64>("memory.modules", None),
            Fact::unknown(WhyUnknown::NotPermitted, "memory.modules")
        );
        assert_eq!(
            seen.fact::<u64>("memory.visible_bytes", None),
            Fact::unknown(WhyUnknown::Unreadable, "memory")
        );
        assert_eq!(
            seen.fact("memory.visible_bytes", Some(5)),
            Fact::known(5, "/proc/meminfo", 7)
        );
    }

    #[test]
    fn a_module_of_unknown_size_makes_the_sum_unknown() {
        let module = |size_bytes| v1::MemoryModule {
            size_bytes,
            ..v1::MemoryModule::default()
        };
        let memory = |modules| v1::MemoryFacts {
            modules,
            ..v1::MemoryFacts::default()
        };
        assert_eq!(
            modules(&memory(vec![module(Some(4)), module(Some(0))])),
            Some(vec![4])
        );
        assert_eq!(modules(&memory(vec![module(Some(4)), module(None)])), None);
        assert_eq!(modules(&memory(vec![])), None);
    }

    #[test]
    fn a_system_disk_of_unknown_kind_stays_unknown() {
        let disk = |kind: v1::DiskKind, system| v1::Disk {
            kind: kind.into(),
            system,
            ..v1::Disk::default()
        };
        let disks = |disks| v1::DisksFacts {
            disks,
            file_systems: Vec::new(),
        };
        assert_eq!(
            system_disk(&disks(vec![
                disk(v1::DiskKind::Hdd, Some(false)),
                disk(v1::DiskKind::Nvme, Some(true))
            ])),
            Some(DiskKind::Nvme)
        );
        assert_eq!(
            system_disk(&disks(vec![disk(v1::DiskKind::Unspecified, Some(true))])),
            None
        );
        assert_eq!(
            system_disk(&disks(vec![disk(v1::DiskKind::Ssd, None)])),
            None
        );
    }
}
