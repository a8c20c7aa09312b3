//! Collectors for Linux: `/proc`, `/sys`, the firmware's tables, the package managers' databases. No commands are run
//! and no right beyond an ordinary account's is asked for.

pub mod accounts;
pub mod block;
pub mod certificates;
pub mod cpu;
pub mod directory;
pub mod disks;
pub mod enablement;
pub mod filesystems;
pub mod firmware;
pub mod guests;
pub mod hardware;
pub mod identity;
pub mod ini;
pub mod memory;
pub mod network;
pub mod operating_system;
pub mod packages;
pub mod placeholder;
pub mod printers;
pub mod security;
pub mod services;
pub mod smbios;
pub mod software;
pub mod system;
pub mod udev;
pub mod updates;
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
    &printers::Printers,
    &security::Security,
    &updates::Updates,
    &accounts::Accounts,
    &services::Services,
    &certificates::Certificates,
    &directory::Directory,
    &guests::Guests,
];
