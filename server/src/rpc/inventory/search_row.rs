//! What a device is searched by, taken out of its sections. What was not observed gives nothing; what is known to be
//! absent gives a value that says so (no antivirus is an empty name, no TPM is version 0).

use chasqui_domain::device_search::{self, Column};
use chasqui_domain::search::fold;
use chasqui_proto::facts::{kind_name, kind_of_name};
use chasqui_proto::v1::{self, SectionKind, section_facts::Facts};
use chasqui_store::device_search::{SearchRow, put, software_list, to_fill};
use chasqui_store::{StoreError, Tx, device, inventory as store};
use prost::Message;

use crate::error::Failure;

/// Rises when this file takes out more or other things; the job then makes every row anew.
pub const EXTRACTOR: i64 = 2;

/// Most bytes of a key: indexes of PostgreSQL take 2,700.
const MAX_KEY: usize = 400;
/// Most bytes of the text for words without a field.
const MAX_WORDS: usize = 1_500;

/// Makes rows that are missing or old, at most `limit`; how many there were.
///
/// # Errors
/// Those of the store.
pub fn fill(tx: &mut Tx, limit: u32) -> Result<usize, Failure> {
    let ids = to_fill(tx, EXTRACTOR, limit)?;
    for id in &ids {
        refresh(tx, id)?;
    }
    Ok(ids.len())
}

/// Makes the row of a device from what it shows now.
///
/// # Errors
/// Those of the store.
pub fn refresh(tx: &mut Tx, device_id: &str) -> Result<(), StoreError> {
    let Some(device) = device::get(tx, device_id)? else {
        return Ok(());
    };
    let mut row = SearchRow::default();
    row.host_name.clone_from(&device.host_name);
    row.host_key = key(&device.host_name);
    let typed = |text: &str| (!text.is_empty()).then(|| key(text));
    row.text(Column::Plate, typed(&device.facts.plate));
    row.text(Column::Dependency, typed(&device.facts.dependency));
    row.text(Column::Responsible, typed(&device.facts.responsible));
    row.text(Column::Seat, typed(&device.facts.seat));
    row.text(Column::Contract, typed(&device.facts.contract));
    row.text(Column::Supplier, typed(&device.facts.supplier));
    row.text(Column::Agent, typed(&device.agent_version));
    let day = |text: &Option<String>| text.as_deref().and_then(device_search::day);
    row.number(Column::Purchase, day(&device.facts.purchase_date));
    row.number(Column::Warranty, day(&device.facts.warranty_end));
    for (kind, digest) in store::current(tx, device_id)? {
        if kind != kind_name(SectionKind::Software) {
            continue;
        }
        if let Some((programs, shell, key)) = software_list(tx, &digest)? {
            row.number(Column::Programs, Some(programs));
            row.software = Some(key);
            let shell = v1::SectionFacts::decode(shell.as_slice());
            if shell.is_ok_and(|shell| no_part_unread("software", &shell)) {
                row.sections |= bit(SectionKind::Software);
            }
        }
    }
    for (kind, facts) in store::sections_for_search(tx, device_id)? {
        let Ok(section) = v1::SectionFacts::decode(facts.as_slice()) else {
            continue;
        };
        if let Some(facts) = &section.facts {
            take(&mut row, facts);
            if let Some(kind) = kind_of_name(&kind).filter(|_| is_whole(&section, facts)) {
                row.sections |= bit(kind);
            }
        }
    }
    let words = [
        device.host_name.as_str(),
        &device.facts.plate,
        &device.facts.dependency,
        &device.facts.responsible,
        &device.facts.seat,
        &device.manufacturer,
        &device.model,
        &device.platform,
    ]
    .join(" ");
    row.words = cut(fold(&words), MAX_WORDS);
    put(tx, device_id, &row, EXTRACTOR)
}

/// Whether "has not" may be said of what the section lists. A package database or an interface that was not read might
/// hold what is asked for.
fn is_whole(section: &v1::SectionFacts, facts: &Facts) -> bool {
    match facts {
        Facts::Identity(it) => [
            &it.system_serial,
            &it.board_serial,
            &it.chassis_serial,
            &it.smbios_uuid,
        ]
        .into_iter()
        .any(Option::is_some),
        Facts::Network(_) => {
            no_part_unread("network", section)
                && !section
                    .unread
                    .iter()
                    .any(|one| one.group.contains("addresses"))
        }
        Facts::Accounts(it) => {
            it.names_left_out != Some(true) && no_part_unread("accounts", section)
        }
        Facts::Printers(_) => no_part_unread("printers", section),
        _ => true,
    }
}

/// No list of the section is missing as a whole: reasons for fields within its things have longer names.
fn no_part_unread(kind: &str, section: &v1::SectionFacts) -> bool {
    let lists = ["software", "items", "interfaces", "accounts", "printers"];
    !section.unread.iter().any(|one| {
        let part = one.group.strip_prefix(kind).unwrap_or(&one.group);
        let part = part.trim_start_matches('.');
        part.is_empty()
            || lists.contains(&part)
            // `software.rpm`: one of the package databases.
            || (kind == "software" && !part.contains('.'))
    })
}

fn bit(kind: SectionKind) -> i64 {
    1_i64
        .checked_shl(u32::try_from(i32::from(kind)).unwrap_or(63))
        .unwrap_or(0)
}

/// Bits of the sections that say something of a field without a column.
pub fn section_bits(column: Column) -> i64 {
    match column {
        Column::Software => bit(SectionKind::Software),
        Column::Serial | Column::Uuid => bit(SectionKind::Identity),
        Column::Ip | Column::Mac => bit(SectionKind::Network),
        Column::User => bit(SectionKind::Accounts),
        Column::Printer => bit(SectionKind::Printers),
        _ => 0,
    }
}

fn cut(mut text: String, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    text.truncate(end);
    text.truncate(text.trim_end().len());
    text
}

fn key(text: &str) -> String {
    cut(fold(text), MAX_KEY)
}

fn joined<'a>(texts: impl IntoIterator<Item = &'a Option<String>>) -> Option<String> {
    let known: Vec<&str> = texts.into_iter().flatten().map(String::as_str).collect();
    (!known.is_empty()).then(|| key(&known.join(" ")))
}

fn count(number: usize) -> Option<i64> {
    i64::try_from(number).ok()
}

fn bytes(number: Option<u64>) -> Option<i64> {
    number.and_then(|number| i64::try_from(number).ok())
}

fn day(text: &Option<String>) -> Option<i64> {
    text.as_deref().and_then(device_search::day)
}

/// True when one is, false when all are known and none is, nothing otherwise.
fn any_of(flags: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut unknown = false;
    for flag in flags {
        match flag {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

fn take(row: &mut SearchRow, facts: &Facts) {
    match facts {
        Facts::Hardware(it) => {
            row.text(Column::Manufacturer, it.manufacturer.as_deref().map(key));
            row.text(Column::Model, joined([&it.model, &it.product_family]));
            row.text(Column::Chassis, it.chassis_type.as_deref().map(key));
            row.text(
                Column::Virtualization,
                it.virtualization.as_deref().map(key),
            );
            row.text(Column::Firmware, it.firmware_version.as_deref().map(key));
            row.number(Column::FirmwareDate, day(&it.firmware_date));
            row.number(Column::Uefi, it.uefi.map(i64::from));
        }
        Facts::Cpu(it) => {
            row.text(
                Column::Cpu,
                joined(it.cpus.iter().map(|cpu| &cpu.model_name)),
            );
            row.text(Column::Architecture, it.architecture.as_deref().map(key));
            row.number(Column::Sockets, it.sockets.map(i64::from));
            row.number(Column::Cores, it.cores.map(i64::from));
            row.number(Column::Threads, it.threads.map(i64::from));
            row.number(
                Column::CpuMhz,
                it.cpus
                    .iter()
                    .filter_map(|cpu| cpu.max_mhz)
                    .max()
                    .map(i64::from),
            );
        }
        Facts::Memory(it) => {
            row.number(Column::Ram, bytes(it.installed_bytes.or(it.visible_bytes)));
            if it.installed_bytes.or(it.visible_bytes).is_some() {
                row.number(
                    Column::RamInstalled,
                    Some(it.installed_bytes.is_some().into()),
                );
            }
            row.number(Column::RamFreeSlots, it.free_slots.map(i64::from));
            row.number(Column::RamMax, bytes(it.max_bytes));
        }
        Facts::Disks(it) => {
            let fixed = || it.disks.iter().filter(|disk| disk.removable != Some(true));
            row.number(Column::Disks, count(fixed().count()));
            // With one disk there is no other that the system could be on.
            let system = it
                .disks
                .iter()
                .find(|disk| disk.system == Some(true))
                .or_else(|| fixed().next().filter(|_| fixed().count() == 1));
            if let Some(disk) = system {
                row.number(Column::Disk, bytes(disk.size_bytes));
                let kind = match disk.kind() {
                    v1::DiskKind::Unspecified => None,
                    v1::DiskKind::Hdd => Some("hdd"),
                    v1::DiskKind::Ssd => Some("ssd"),
                    v1::DiskKind::Nvme => Some("nvme"),
                    v1::DiskKind::Emmc => Some("emmc"),
                    v1::DiskKind::Virtual => Some("virtual"),
                };
                row.text(Column::DiskKind, kind.map(str::to_owned));
            }
        }
        Facts::DiskHealth(it) => {
            let failing = it
                .disks
                .iter()
                .map(|disk| disk.passed.map(|passed| !passed));
            if !it.disks.is_empty() {
                row.number(Column::DiskFailing, any_of(failing).map(i64::from));
            }
            let used = it.disks.iter().filter_map(|disk| disk.nvme.as_ref());
            row.number(
                Column::DiskUsed,
                used.filter_map(|nvme| nvme.percentage_used)
                    .max()
                    .map(i64::from),
            );
        }
        Facts::Storage(it) => {
            row.number(Column::Encrypted, Some((!it.encryptions.is_empty()).into()));
        }
        Facts::OperatingSystem(it) => {
            let name = joined([
                &it.name,
                &it.product,
                &it.version,
                &it.edition,
                &it.codename,
            ]);
            row.text(Column::Os, name);
            row.text(Column::OsFamily, it.family.as_deref().map(key));
            row.text(Column::OsVersion, it.version.as_deref().map(key));
            row.text(Column::Kernel, it.kernel.as_deref().map(key));
            row.number(Column::OsInstalled, day(&it.installed_on));
        }
        Facts::Firmware(it) => {
            let secure = match it.secure_boot() {
                v1::SecureBoot::Unspecified => None,
                v1::SecureBoot::Enabled => Some("enabled"),
                v1::SecureBoot::Disabled => Some("disabled"),
                v1::SecureBoot::Unsupported => Some("unsupported"),
                v1::SecureBoot::SetupMode => Some("setup_mode"),
            };
            row.text(Column::SecureBoot, secure.map(str::to_owned));
            if let Some(tpm) = &it.tpm {
                let version = match tpm.present {
                    Some(false) => Some("0".to_owned()),
                    _ => tpm.version.as_deref().map(key),
                };
                row.text(Column::Tpm, version);
            }
        }
        Facts::Displays(it) => row.number(Column::Monitors, count(it.displays.len())),
        Facts::Batteries(it) => {
            let worst = it
                .batteries
                .iter()
                .filter_map(|battery| match (battery.full_mwh, battery.design_mwh) {
                    (Some(full), Some(design)) if design > 0 => {
                        full.checked_mul(100).map(|full| full / design)
                    }
                    _ => None,
                })
                .min();
            row.number(Column::Battery, bytes(worst));
        }
        Facts::Security(it) => {
            let names: Vec<_> = it.antivirus.iter().map(|one| one.name.as_str()).collect();
            row.text(Column::Antivirus, Some(key(&names.join(" "))));
            let on = any_of(it.antivirus.iter().map(|one| one.enabled));
            row.number(Column::AntivirusOn, on.map(i64::from));
            let newest = it
                .antivirus
                .iter()
                .filter_map(|one| day(&one.definitions_date))
                .max();
            row.number(Column::AntivirusDate, newest);
            let on = any_of(it.firewalls.iter().map(|one| one.enabled));
            row.number(Column::Firewall, on.map(i64::from));
        }
        Facts::Updates(it) => {
            row.number(Column::Updates, count(it.pending.len()));
            let security = it.pending.iter().filter(|one| one.security == Some(true));
            row.number(Column::SecurityUpdates, count(security.count()));
            row.number(Column::Reboot, it.reboot_pending.map(i64::from));
            row.number(Column::ListsDate, day(&it.lists_date));
        }
        Facts::Directory(it) => {
            let domain = match it.joined {
                Some(false) => Some(String::new()),
                _ => joined([&it.domain, &it.realm, &it.workgroup]),
            };
            row.text(Column::Domain, domain);
        }
        _ => {}
    }
}
