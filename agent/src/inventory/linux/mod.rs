//! Collectors for Linux: `/proc`, `/sys`, the firmware's tables, the package managers' databases. No commands are run, but
//! smartctl for disks that only it reaches, and what an ordinary account may not read (a disk's health, say) is unread.

pub mod block;
pub mod cpu;
pub mod disk_health;
pub mod disks;
pub mod filesystems;
pub mod firmware;
pub mod hardware;
pub mod identity;
mod ioctl;
pub mod lvm;
pub mod memory;
pub mod network;
pub mod operating_system;
pub mod placeholder;
pub mod smart;
pub mod smbios;
pub mod software;
pub mod storage;
pub mod superblock;
pub mod table;
pub mod udev;
pub mod virtualization;
pub mod volatile;

use super::Collector;

/// Every collector of this system, in the order of section kinds.
pub static COLLECTORS: &[&dyn Collector] = &[
    &identity::Identity,
    &hardware::Hardware,
    &cpu::Cpu,
    &memory::Memory,
    &disks::Disks,
    &network::Network,
    &operating_system::OperatingSystem,
    &software::Software,
    &disk_health::DiskHealth,
    &storage::Storage,
];
