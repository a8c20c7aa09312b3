//! Collectors for Linux: `/proc`, `/sys`, the firmware's tables, the package managers' databases. No commands are run, but
//! smartctl for disks that only it reaches, and what an ordinary account may not read (a disk's health, say) is unread.

pub mod accounts;
pub mod batteries;
pub mod block;
pub mod certificates;
pub mod cpu;
pub mod devices;
pub mod directory;
pub mod disk_health;
pub mod disks;
pub mod displays;
pub mod edid;
pub mod enablement;
pub mod filesystems;
pub mod firmware;
pub mod firmware_security;
pub mod guests;
pub mod hardware;
pub mod identity;
pub mod ids;
pub mod ini;
pub mod inputs;
mod ioctl;
pub mod lvm;
pub mod memory;
pub mod network;
pub mod operating_system;
pub mod packages;
pub mod pci;
pub mod placeholder;
pub mod printers;
pub mod security;
pub mod services;
pub mod slots;
pub mod smart;
pub mod smbios;
pub mod software;
pub mod storage;
pub mod superblock;
pub mod system;
pub mod table;
pub mod udev;
pub mod updates;
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
    &disk_health::DiskHealth,
    &storage::Storage,
    &devices::Devices,
    &displays::Displays,
    &batteries::Batteries,
    &printers::Printers,
    &security::Security,
    &updates::Updates,
    &accounts::Accounts,
    &services::Services,
    &certificates::Certificates,
    &directory::Directory,
    &guests::Guests,
];
