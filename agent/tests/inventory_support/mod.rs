//! Machines for the inventory tests: captures unpacked into folders, with the parts that are built here (SMBIOS tables,
//! an rpm database). The builders know the formats' standards and nothing of the collectors.
#![allow(dead_code)]

pub mod disk_pages;
pub mod edid;
pub mod rpm;
pub mod smbios;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chasqui_agent::inventory::{self, Inventory, Source};
use chasqui_proto::v1;
use serde_json::{Value, json};

pub const MACHINES: &[&str] = &[
    "dell-latitude-5440",
    "fedora-raid",
    "hp-compaq-6300",
    "lenovo-without-root",
    "qemu-placeholders",
    "raspberry-cm4",
];

/// Trees with databases that the real tools made (`captures/make.sh`): software alone.
pub const TOOLS: &[&str] = &[
    "centos-bdb-bigendian",
    "centos7-bdb",
    "debian-debootstrap",
    "fedora-sqlite",
    "flatpak-real",
    "opensuse-ndb",
];

pub const KINDS: &[v1::SectionKind] = &chasqui_proto::facts::KINDS;

pub const OBSERVED_AT_MS: i64 = 1_780_000_000_000;

/// A captured machine in a folder of its own.
pub struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    pub fn new(name: &str) -> Self {
        let archive = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/captures")
            .join(format!("{name}.capture"));
        let machine = Self::empty();
        let text = fs::read_to_string(archive).unwrap();
        inventory::archive::unpack(&text, machine.root()).unwrap();
        if name == "fedora-raid" {
            rpm::write(
                &machine.path("/usr/lib/sysimage/rpm/rpmdb.sqlite"),
                &rpm::fedora(),
            );
        }
        machine
    }

    pub fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn source(&self) -> Source {
        Source::captured(self.root()).unwrap()
    }

    pub fn collect(&self) -> Inventory {
        inventory::collect(&self.source(), OBSERVED_AT_MS)
    }

    /// Regular files below the root, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.push(entry.path());
                }
            }
        }
        files.sort();
        files
    }
}

/// Facts, gaps and sources of every section, by the section's name.
pub fn sections(inventory: &Inventory) -> Value {
    let mut all = BTreeMap::new();
    for section in &inventory.sections {
        let mut body = inventory::render_facts(&inventory.facts(section.kind()).unwrap());
        let sources: Vec<String> = section
            .provenance
            .iter()
            .map(|entry| format!("{}: {}", entry.group, entry.source))
            .collect();
        let unread: Vec<String> = body["unread"]
            .as_array()
            .unwrap()
            .iter()
            .map(|gap| {
                let text = |name: &str| gap[name].as_str().unwrap().to_owned();
                format!("{}: {}: {}", text("group"), text("reason"), text("detail"))
            })
            .collect();
        body["unread"] = json!(unread);
        body["sources"] = json!(sources);
        all.insert(inventory::kind_name(section.kind()), body);
    }
    json!(all)
}

/// The reason a group is missing, by its full name.
pub fn reason(inventory: &Inventory, group: &str) -> Option<v1::UnreadReason> {
    inventory
        .sections
        .iter()
        .filter_map(|section| inventory.facts(section.kind()))
        .flat_map(|section| section.unread)
        .find(|gap| gap.group == group)
        .map(|gap| gap.reason())
}

macro_rules! facts {
    ($name:ident, $kind:ident, $facts:ty) => {
        pub fn $name(inventory: &Inventory) -> $facts {
            match inventory.facts(v1::SectionKind::$kind).unwrap().facts {
                Some(v1::section_facts::Facts::$kind(facts)) => facts,
                other => panic!("{other:?}"),
            }
        }
    };
}
facts!(identity, Identity, v1::IdentityFacts);
facts!(hardware, Hardware, v1::HardwareFacts);
facts!(cpu, Cpu, v1::CpuFacts);
facts!(memory, Memory, v1::MemoryFacts);
facts!(disks, Disks, v1::DisksFacts);
facts!(network, Network, v1::NetworkFacts);
facts!(operating_system, OperatingSystem, v1::OperatingSystemFacts);
facts!(software, Software, v1::SoftwareFacts);
facts!(firmware, Firmware, v1::FirmwareFacts);
facts!(slots, Slots, v1::SlotsFacts);
facts!(devices, Devices, v1::DevicesFacts);
facts!(displays, Displays, v1::DisplaysFacts);
facts!(batteries, Batteries, v1::BatteriesFacts);
facts!(disk_health, DiskHealth, v1::DiskHealthFacts);
facts!(storage, Storage, v1::StorageFacts);
facts!(printers, Printers, v1::PrintersFacts);
facts!(security, Security, v1::SecurityFacts);
facts!(updates, Updates, v1::UpdatesFacts);
facts!(accounts, Accounts, v1::AccountsFacts);
facts!(services, Services, v1::ServicesFacts);
facts!(certificates, Certificates, v1::CertificatesFacts);
facts!(directory, Directory, v1::DirectoryFacts);
facts!(guests, Guests, v1::GuestsFacts);
