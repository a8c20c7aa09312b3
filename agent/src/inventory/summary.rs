//! The few facts that tell a person which machine this is.

use chasqui_proto::v1;

use v1::section_facts::Facts;

use super::Inventory;

/// A machine in a few lines. A missing value was not observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Without the domain.
    pub host_name: Option<String>,
    /// Of the system.
    pub manufacturer: Option<String>,
    /// Of the system.
    pub model: Option<String>,
    /// Of the system.
    pub serial: Option<String>,
    /// `none` on real hardware.
    pub virtualization: Option<String>,
    /// Name of the first processor.
    pub cpu: Option<String>,
    /// Cores of all sockets.
    pub cores: Option<u32>,
    /// Sum of the modules where they could be read, else what the system can use.
    pub memory_bytes: Option<u64>,
    /// The disks that hold the root file system.
    pub system_disks: Vec<SystemDisk>,
    /// All disks.
    pub disks: usize,
    /// Name for people.
    pub operating_system: Option<String>,
    /// Installed programs.
    pub programs: usize,
    /// Groups of facts that could not be read.
    pub unread: usize,
}

/// A disk of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemDisk {
    /// Kernel name.
    pub name: String,
    /// Unspecified when not observed.
    pub kind: v1::DiskKind,
    /// Whole disk.
    pub size_bytes: Option<u64>,
    /// As the disk tells it.
    pub model: Option<String>,
}

/// Picks the summary out of an inventory.
pub fn summary(inventory: &Inventory) -> Summary {
    let mut summary = Summary::default();
    for kind in chasqui_proto::facts::KINDS {
        let Some(section) = inventory.facts(kind) else {
            continue;
        };
        summary.unread += section.unread.len();
        match section.facts {
            Some(Facts::Identity(facts)) => {
                summary.host_name = facts.host_name;
                summary.serial = facts.system_serial;
            }
            Some(Facts::Hardware(facts)) => {
                summary.manufacturer = facts.manufacturer;
                summary.model = facts.model;
                summary.virtualization = facts.virtualization;
            }
            Some(Facts::Cpu(facts)) => {
                summary.cores = facts.cores;
                summary.cpu = facts.cpus.into_iter().next().and_then(|cpu| cpu.model_name);
            }
            Some(Facts::Memory(facts)) => {
                summary.memory_bytes = facts.installed_bytes.or(facts.visible_bytes);
            }
            Some(Facts::Disks(facts)) => {
                summary.disks = facts.disks.len();
                summary.system_disks = facts
                    .disks
                    .into_iter()
                    .filter(|disk| disk.system == Some(true))
                    .map(|disk| SystemDisk {
                        kind: disk.kind(),
                        name: disk.name,
                        size_bytes: disk.size_bytes,
                        model: disk.model,
                    })
                    .collect();
            }
            Some(Facts::OperatingSystem(facts)) => summary.operating_system = facts.name,
            Some(Facts::Software(facts)) => summary.programs = facts.items.len(),
            // Of use in full alone.
            Some(_) | None => {}
        }
    }
    summary
}
