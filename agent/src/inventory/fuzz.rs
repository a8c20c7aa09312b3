//! Every parser that takes bytes somebody else wrote, by name, for the fuzzers: the bounded run of every build and
//! cargo-fuzz under `tests/fuzz` both walk [`targets`]. A parser passes when it neither panics nor hangs.
//!
//! Parsers that stand alone take the bytes themselves ([`bytes`]); those that are a part of their collector are reached
//! as on a machine, by a captured tree in which one file is changed ([`files`]). By source, the targets that cover it:
//!
//! | what is read | targets |
//! |---|---|
//! | firmware: SMBIOS, EFI variables | `smbios`, `efi_secure_boot` |
//! | monitors | `edid` |
//! | disks: ATA, NVMe, sense data, smartctl | `ata_*`, `nvme_health`, `smartctl`, `smartctl_scan` |
//! | what lies on disks: LUKS, GPT and MBR, superblocks, LVM2 | `luks`, `partition_table`, `superblock`, `lvm` |
//! | the kernel's tables | `asound_cards`, `cpuinfo`, `input_devices`, `meminfo`, `mountinfo`, `net_*`, `pci_windows` |
//! | names of devices | `device_ids`, `device_classes`, `monitor_makers`, `udev_block` |
//! | packages | `dpkg_*`, `apt_*`, `flatpak_*`, `snap_yaml`, `pacman_desc`, `rpm_*` (rpm's SQLite is SQLite's to read) |
//! | leases, name servers, Wi-Fi | `lease_*`, `resolv_conf`, `wifi_*` |
//! | units, timers, start-up programs | `unit_*`, `crontab`, `init_script`, `autostart` |
//! | certificates and host keys | `certificate_pem`, `certificate_der`, `ssh_host_key` |
//! | printers | `cups_*` |
//! | accounts, sessions, directories | `passwd`, `group`, `shadow`, `session`, `utmp`, `wtmp`, `directory_*` |
//! | firewalls, antivirus, access control | `firewall_*`, `clamav_database`, `selinux` |
//! | guests and remote tools | `guest_*`, `remote_*` |
//! | the system's names | `os_release`, `hosts` |
//! | an inventory from the collecting child | `report` |

mod bytes;
mod files;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::{Collector, Source, linux};

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names it to the fuzzer.
    pub name: &'static str,
    /// Something it reads.
    pub sample: &'static [u8],
    /// Ends of paths in captured trees, and of what tests build, that are its seeds besides.
    pub seeds: &'static [&'static str],
    reads: Reads,
}

#[derive(Clone, Copy, Debug)]
enum Reads {
    /// The parser itself.
    Bytes(fn(&[u8])),
    /// A file of a machine, by the collector of a section.
    File {
        path: &'static str,
        section: &'static str,
        /// Files without which it would not be looked at.
        beside: &'static [(&'static str, &'static str)],
    },
}

/// All of them, sorted by name.
pub fn targets() -> Vec<Target> {
    let mut all: Vec<Target> = bytes::TARGETS
        .iter()
        .chain(files::TARGETS)
        .copied()
        .collect();
    all.sort_by_key(|target| target.name);
    all
}

/// A target ready to run.
#[derive(Debug)]
pub enum Bench {
    /// With the bytes alone.
    Bytes(fn(&[u8])),
    /// On a machine of its own.
    Machine(Machine),
}

/// A captured tree in which one file changes.
pub struct Machine {
    file: PathBuf,
    source: Source,
    collector: &'static dyn Collector,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Makes it ready in an empty folder.
    pub fn bench(&self, folder: &Path) -> io::Result<Bench> {
        let (path, section, beside) = match self.reads {
            Reads::Bytes(run) => return Ok(Bench::Bytes(run)),
            Reads::File {
                path,
                section,
                beside,
            } => (path, section, beside),
        };
        let inside = |path: &str| folder.join(path.trim_start_matches('/'));
        for (path, content) in beside.iter().copied().chain([(path, "")]) {
            let path = inside(path);
            fs::create_dir_all(path.parent().unwrap_or(folder))?;
            fs::write(path, content)?;
        }
        let collector = linux::COLLECTORS
            .iter()
            .find(|collector| super::kind_name(collector.kind()) == section)
            .ok_or_else(|| io::Error::other(format!("{section}: no such section")))?;
        Ok(Bench::Machine(Machine {
            file: inside(path),
            source: Source::captured(folder)?,
            collector: *collector,
        }))
    }
}

impl Bench {
    /// Reads the bytes. Of a machine a digest and the volatile facts that were made of them, so that a test sees whether
    /// they were looked at.
    pub fn run(&self, bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Bytes(run) => {
                run(bytes);
                Ok(None)
            }
            Self::Machine(machine) => {
                fs::write(&machine.file, bytes)?;
                // Not through the inventory's own guard, which would hide a panic.
                let seen = machine.collector.collect(&machine.source);
                let mut made = seen.digest();
                made.extend(seen.volatile.encode_to_vec());
                Ok(Some(made))
            }
        }
    }
}
