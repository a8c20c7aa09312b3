//! Collectors for Linux: `/proc`, `/sys`, the firmware's tables, the package managers' databases. No commands are run
//! and no right beyond an ordinary account's is asked for.

pub mod batteries;
pub mod block;
pub mod cpu;
pub mod devices;
pub mod disk_health;
pub mod disks;
pub mod displays;
pub mod edid;
pub mod filesystems;
pub mod firmware;
pub mod firmware_security;
pub mod hardware;
pub mod identity;
pub mod ids;
pub mod inputs;
mod ioctl;
pub mod lvm;
pub mod memory;
pub mod network;
pub mod operating_system;
pub mod pci;
pub mod placeholder;
pub mod slots;
pub mod smart;
pub mod smbios;
pub mod software;
pub mod storage;
pub mod superblock;
pub mod table;
pub mod udev;
pub mod usb;
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
    &firmware_security::FirmwareSecurity,
    &slots::Slots,
    &devices::Devices,
    &displays::Displays,
    &batteries::Batteries,
    &disk_health::DiskHealth,
    &storage::Storage,
];
