//! The columns of the search row, one statement each: what a condition finds comes as one text of numbers, because a
//! hundred thousand rows cost more on their way than in the index. A column without an index is read by scanning the
//! narrow table. Columns of few values are walked from value to value, and the values that fit are asked for, so that the text
//! of a hundred thousand rows is not looked at. Static texts, so that both engines are known to take them.

use chasqui_domain::device_search::Column;

use crate::{Statement, sql};

/// Columns of facts in the order of the row, texts before numbers.
#[rustfmt::skip]
pub(super) const TEXTS: &[Column] = &[
    Column::Plate, Column::Dependency, Column::Responsible, Column::Seat, Column::Contract, Column::Supplier, Column::Manufacturer, Column::Model, Column::Chassis,
    Column::Virtualization, Column::Firmware, Column::Cpu, Column::Architecture, Column::DiskKind, Column::Os,
    Column::OsFamily, Column::OsVersion, Column::Kernel, Column::SecureBoot, Column::Tpm, Column::Antivirus,
    Column::Domain, Column::Agent,
];
/// Columns of numbers, after the texts.
#[rustfmt::skip]
pub(super) const NUMBERS: &[Column] = &[
    Column::Purchase, Column::Warranty, Column::FirmwareDate, Column::Uefi, Column::Sockets, Column::Cores, Column::Threads,
    Column::CpuMhz, Column::Ram, Column::RamInstalled, Column::RamFreeSlots, Column::RamMax, Column::Disk,
    Column::Disks, Column::DiskFailing, Column::DiskUsed, Column::Encrypted, Column::OsInstalled, Column::Monitors,
    Column::Battery, Column::Updates, Column::SecurityUpdates, Column::Reboot, Column::ListsDate, Column::AntivirusOn,
    Column::AntivirusDate, Column::Firewall, Column::Programs,
];
sql!(
    pub(super) UPSERT,
    "INSERT INTO device_search (ordinal, device_id, extractor, host_name, sections, words, host_key, plate_key, dependency_key,
        responsible_key, seat_key, contract_key, supplier_key, manufacturer_key, model_key, chassis, virtualization,
        firmware_version, cpu_key, architecture, disk_kind, os_key, os_family, os_version, kernel, secure_boot,
        tpm_version, antivirus_key, domain_key, agent_version, purchase_day, warranty_day, firmware_day, uefi,
        sockets, cores, threads, cpu_mhz, ram_bytes, ram_installed, ram_free_slots, ram_max_bytes, disk_bytes, disks,
        disk_failing, disk_used_percent, encrypted, os_installed_day, monitors, battery_percent, updates,
        security_updates, reboot, lists_day, antivirus_on, antivirus_day, firewall, programs, software_list,
        software_base, software_left_out)
     VALUES ($1..$61)
     ON CONFLICT (device_id) DO UPDATE SET
        extractor = excluded.extractor, host_name = excluded.host_name, sections = excluded.sections,
        words = excluded.words, host_key = excluded.host_key, plate_key = excluded.plate_key,
        dependency_key = excluded.dependency_key, responsible_key = excluded.responsible_key,
        seat_key = excluded.seat_key, contract_key = excluded.contract_key, supplier_key = excluded.supplier_key,
        manufacturer_key = excluded.manufacturer_key, model_key = excluded.model_key, chassis = excluded.chassis,
        virtualization = excluded.virtualization, firmware_version = excluded.firmware_version,
        cpu_key = excluded.cpu_key, architecture = excluded.architecture, disk_kind = excluded.disk_kind,
        os_key = excluded.os_key, os_family = excluded.os_family, os_version = excluded.os_version,
        kernel = excluded.kernel, secure_boot = excluded.secure_boot, tpm_version = excluded.tpm_version,
        antivirus_key = excluded.antivirus_key, domain_key = excluded.domain_key,
        agent_version = excluded.agent_version, purchase_day = excluded.purchase_day,
        warranty_day = excluded.warranty_day, firmware_day = excluded.firmware_day, uefi = excluded.uefi,
        sockets = excluded.sockets, cores = excluded.cores, threads = excluded.threads, cpu_mhz = excluded.cpu_mhz,
        ram_bytes = excluded.ram_bytes, ram_installed = excluded.ram_installed,
        ram_free_slots = excluded.ram_free_slots, ram_max_bytes = excluded.ram_max_bytes,
        disk_bytes = excluded.disk_bytes, disks = excluded.disks, disk_failing = excluded.disk_failing,
        disk_used_percent = excluded.disk_used_percent, encrypted = excluded.encrypted,
        os_installed_day = excluded.os_installed_day, monitors = excluded.monitors,
        battery_percent = excluded.battery_percent, updates = excluded.updates,
        security_updates = excluded.security_updates, reboot = excluded.reboot, lists_day = excluded.lists_day,
        antivirus_on = excluded.antivirus_on, antivirus_day = excluded.antivirus_day, firewall = excluded.firewall,
        programs = excluded.programs, software_list = excluded.software_list, software_base = excluded.software_base,
        software_left_out = excluded.software_left_out"
);
sql!(
    pub(super) ROWS,
    "SELECT d.id, d.fingerprint, d.public_key, d.host_name, d.state, d.enrolled_at_ms, d.last_seen_at_ms, d.agent_version,
        d.clock_offset_ms, d.plate, d.purchase_date, d.dependency, d.responsible, d.manufacturer, d.model, d.platform,
        d.version, d.seat, d.contract, d.warranty_end, d.supplier, d.invoice, d.note, d.cost_minor, d.currency,
        d.facts_version, d.merged_into, d.origin, v.facts, s.ordinal,
        s.plate_key, s.dependency_key, s.responsible_key, s.seat_key, s.contract_key, s.supplier_key,
        s.manufacturer_key, s.model_key, s.chassis, s.virtualization, s.firmware_version, s.cpu_key, s.architecture,
        s.disk_kind, s.os_key, s.os_family, s.os_version, s.kernel, s.secure_boot, s.tpm_version, s.antivirus_key,
        s.domain_key, s.agent_version, s.purchase_day, s.warranty_day, s.firmware_day, s.uefi, s.sockets, s.cores,
        s.threads, s.cpu_mhz, s.ram_bytes, s.ram_installed, s.ram_free_slots, s.ram_max_bytes, s.disk_bytes, s.disks,
        s.disk_failing, s.disk_used_percent, s.encrypted, s.os_installed_day, s.monitors, s.battery_percent,
        s.updates, s.security_updates, s.reboot, s.lists_day, s.antivirus_on, s.antivirus_day, s.firewall, s.programs
     FROM device_search s JOIN devices d ON d.id = s.device_id LEFT JOIN device_volatile v ON v.device_id = s.device_id
     WHERE s.ordinal IN ($1..$64)"
);
sql!(
    PLATE_KEY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE plate_key IS NOT NULL
        AND CASE WHEN plate_key LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    DEPENDENCY_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(dependency_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(dependency_key) FROM device_search WHERE dependency_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.dependency_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    RESPONSIBLE_KEY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE responsible_key IS NOT NULL
        AND CASE WHEN responsible_key LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    SEAT_KEY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE seat_key IS NOT NULL
        AND CASE WHEN seat_key LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    CONTRACT_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(contract_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(contract_key) FROM device_search WHERE contract_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.contract_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    SUPPLIER_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(supplier_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(supplier_key) FROM device_search WHERE supplier_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.supplier_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    MANUFACTURER_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(manufacturer_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(manufacturer_key) FROM device_search WHERE manufacturer_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.manufacturer_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    MODEL_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(model_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(model_key) FROM device_search WHERE model_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.model_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    CHASSIS,
    "WITH RECURSIVE v(x) AS (SELECT MIN(chassis) FROM device_search UNION ALL
        SELECT (SELECT MIN(chassis) FROM device_search WHERE chassis > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.chassis = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    VIRTUALIZATION,
    "WITH RECURSIVE v(x) AS (SELECT MIN(virtualization) FROM device_search UNION ALL
        SELECT (SELECT MIN(virtualization) FROM device_search WHERE virtualization > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.virtualization = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    FIRMWARE_VERSION_GROUPS,
    "SELECT firmware_version, string_agg(CAST(ordinal AS TEXT), ',') FROM device_search
     WHERE firmware_version IS NOT NULL GROUP BY firmware_version"
);
sql!(
    FIRMWARE_VERSION,
    "WITH RECURSIVE v(x) AS (SELECT MIN(firmware_version) FROM device_search UNION ALL
        SELECT (SELECT MIN(firmware_version) FROM device_search WHERE firmware_version > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.firmware_version = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    CPU_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(cpu_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(cpu_key) FROM device_search WHERE cpu_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.cpu_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    ARCHITECTURE,
    "WITH RECURSIVE v(x) AS (SELECT MIN(architecture) FROM device_search UNION ALL
        SELECT (SELECT MIN(architecture) FROM device_search WHERE architecture > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.architecture = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    DISK_KIND,
    "WITH RECURSIVE v(x) AS (SELECT MIN(disk_kind) FROM device_search UNION ALL
        SELECT (SELECT MIN(disk_kind) FROM device_search WHERE disk_kind > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.disk_kind = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    OS_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(os_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(os_key) FROM device_search WHERE os_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.os_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    OS_FAMILY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(os_family) FROM device_search UNION ALL
        SELECT (SELECT MIN(os_family) FROM device_search WHERE os_family > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.os_family = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    OS_VERSION_GROUPS,
    "SELECT os_version, string_agg(CAST(ordinal AS TEXT), ',') FROM device_search
     WHERE os_version IS NOT NULL GROUP BY os_version"
);
sql!(
    OS_VERSION,
    "WITH RECURSIVE v(x) AS (SELECT MIN(os_version) FROM device_search UNION ALL
        SELECT (SELECT MIN(os_version) FROM device_search WHERE os_version > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.os_version = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    KERNEL_GROUPS,
    "SELECT kernel, string_agg(CAST(ordinal AS TEXT), ',') FROM device_search
     WHERE kernel IS NOT NULL GROUP BY kernel"
);
sql!(
    KERNEL,
    "WITH RECURSIVE v(x) AS (SELECT MIN(kernel) FROM device_search UNION ALL
        SELECT (SELECT MIN(kernel) FROM device_search WHERE kernel > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.kernel = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    SECURE_BOOT,
    "WITH RECURSIVE v(x) AS (SELECT MIN(secure_boot) FROM device_search UNION ALL
        SELECT (SELECT MIN(secure_boot) FROM device_search WHERE secure_boot > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.secure_boot = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    TPM_VERSION_GROUPS,
    "SELECT tpm_version, string_agg(CAST(ordinal AS TEXT), ',') FROM device_search
     WHERE tpm_version IS NOT NULL GROUP BY tpm_version"
);
sql!(
    TPM_VERSION,
    "WITH RECURSIVE v(x) AS (SELECT MIN(tpm_version) FROM device_search UNION ALL
        SELECT (SELECT MIN(tpm_version) FROM device_search WHERE tpm_version > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.tpm_version = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    ANTIVIRUS_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(antivirus_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(antivirus_key) FROM device_search WHERE antivirus_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.antivirus_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    DOMAIN_KEY,
    "WITH RECURSIVE v(x) AS (SELECT MIN(domain_key) FROM device_search UNION ALL
        SELECT (SELECT MIN(domain_key) FROM device_search WHERE domain_key > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.domain_key = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    AGENT_VERSION_GROUPS,
    "SELECT agent_version, string_agg(CAST(ordinal AS TEXT), ',') FROM device_search
     WHERE agent_version IS NOT NULL GROUP BY agent_version"
);
sql!(
    AGENT_VERSION,
    "WITH RECURSIVE v(x) AS (SELECT MIN(agent_version) FROM device_search UNION ALL
        SELECT (SELECT MIN(agent_version) FROM device_search WHERE agent_version > v.x) FROM v WHERE v.x IS NOT NULL)
     SELECT string_agg(CAST(s.ordinal AS TEXT), ',') FROM v CROSS JOIN device_search s
     WHERE s.agent_version = v.x AND CASE WHEN v.x LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    HOST_KEY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE host_key IS NOT NULL
        AND CASE WHEN host_key LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    pub(super) WORDS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE words IS NOT NULL
        AND CASE WHEN words LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);
sql!(
    PURCHASE_DAY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE purchase_day BETWEEN $1 AND $2"
);
sql!(
    WARRANTY_DAY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE warranty_day BETWEEN $1 AND $2"
);
sql!(
    FIRMWARE_DAY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE firmware_day BETWEEN $1 AND $2"
);
sql!(
    UEFI,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE uefi BETWEEN $1 AND $2"
);
sql!(
    SOCKETS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE sockets BETWEEN $1 AND $2"
);
sql!(
    CORES,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE cores BETWEEN $1 AND $2"
);
sql!(
    THREADS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE threads BETWEEN $1 AND $2"
);
sql!(
    CPU_MHZ,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE cpu_mhz BETWEEN $1 AND $2"
);
sql!(
    RAM_BYTES,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE ram_bytes BETWEEN $1 AND $2"
);
sql!(
    RAM_INSTALLED,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE ram_installed BETWEEN $1 AND $2"
);
sql!(
    RAM_FREE_SLOTS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE ram_free_slots BETWEEN $1 AND $2"
);
sql!(
    RAM_MAX_BYTES,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE ram_max_bytes BETWEEN $1 AND $2"
);
sql!(
    DISK_BYTES,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE disk_bytes BETWEEN $1 AND $2"
);
sql!(
    DISKS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE disks BETWEEN $1 AND $2"
);
sql!(
    DISK_FAILING,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE disk_failing BETWEEN $1 AND $2"
);
sql!(
    DISK_USED_PERCENT,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE disk_used_percent BETWEEN $1 AND $2"
);
sql!(
    ENCRYPTED,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE encrypted BETWEEN $1 AND $2"
);
sql!(
    OS_INSTALLED_DAY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE os_installed_day BETWEEN $1 AND $2"
);
sql!(
    MONITORS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE monitors BETWEEN $1 AND $2"
);
sql!(
    BATTERY_PERCENT,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE battery_percent BETWEEN $1 AND $2"
);
sql!(
    UPDATES,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE updates BETWEEN $1 AND $2"
);
sql!(
    SECURITY_UPDATES,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE security_updates BETWEEN $1 AND $2"
);
sql!(
    REBOOT,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE reboot BETWEEN $1 AND $2"
);
sql!(
    LISTS_DAY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE lists_day BETWEEN $1 AND $2"
);
sql!(
    ANTIVIRUS_ON,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE antivirus_on BETWEEN $1 AND $2"
);
sql!(
    ANTIVIRUS_DAY,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE antivirus_day BETWEEN $1 AND $2"
);
sql!(
    FIREWALL,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE firewall BETWEEN $1 AND $2"
);
sql!(
    PROGRAMS,
    "SELECT string_agg(CAST(ordinal AS TEXT), ',') FROM device_search WHERE programs BETWEEN $1 AND $2"
);
sql!(
    LAST_SEEN_AT_MS,
    "SELECT string_agg(CAST(search_ordinal AS TEXT), ',') FROM devices WHERE last_seen_at_ms BETWEEN $1 AND $2"
);
sql!(
    ENROLLED_AT_MS,
    "SELECT string_agg(CAST(search_ordinal AS TEXT), ',') FROM devices WHERE enrolled_at_ms BETWEEN $1 AND $2"
);
sql!(
    STATE,
    "SELECT string_agg(CAST(search_ordinal AS TEXT), ',') FROM devices WHERE state IS NOT NULL
        AND CASE WHEN state LIKE $1 ESCAPE '!' THEN 1 ELSE 0 END = CAST($2 AS BIGINT)"
);

/// The statement of a text column; its parameters are a LIKE pattern and whether it fits (1) or the column is known and
/// it does not (0).
pub(super) fn text(column: Column) -> Option<&'static Statement> {
    Some(match column {
        Column::Host => &HOST_KEY,
        Column::State => &STATE,
        Column::Plate => &PLATE_KEY,
        Column::Dependency => &DEPENDENCY_KEY,
        Column::Responsible => &RESPONSIBLE_KEY,
        Column::Seat => &SEAT_KEY,
        Column::Contract => &CONTRACT_KEY,
        Column::Supplier => &SUPPLIER_KEY,
        Column::Manufacturer => &MANUFACTURER_KEY,
        Column::Model => &MODEL_KEY,
        Column::Chassis => &CHASSIS,
        Column::Virtualization => &VIRTUALIZATION,
        Column::Firmware => &FIRMWARE_VERSION,
        Column::Cpu => &CPU_KEY,
        Column::Architecture => &ARCHITECTURE,
        Column::DiskKind => &DISK_KIND,
        Column::Os => &OS_KEY,
        Column::OsFamily => &OS_FAMILY,
        Column::OsVersion => &OS_VERSION,
        Column::Kernel => &KERNEL,
        Column::SecureBoot => &SECURE_BOOT,
        Column::Tpm => &TPM_VERSION,
        Column::Antivirus => &ANTIVIRUS_KEY,
        Column::Domain => &DOMAIN_KEY,
        Column::Agent => &AGENT_VERSION,
        _ => return None,
    })
}

/// The statement of a column of numbers; its parameters are the least and the most.
pub(super) fn number(column: Column) -> Option<&'static Statement> {
    Some(match column {
        Column::Seen => &LAST_SEEN_AT_MS,
        Column::Enrolled => &ENROLLED_AT_MS,
        Column::Purchase => &PURCHASE_DAY,
        Column::Warranty => &WARRANTY_DAY,
        Column::FirmwareDate => &FIRMWARE_DAY,
        Column::Uefi => &UEFI,
        Column::Sockets => &SOCKETS,
        Column::Cores => &CORES,
        Column::Threads => &THREADS,
        Column::CpuMhz => &CPU_MHZ,
        Column::Ram => &RAM_BYTES,
        Column::RamInstalled => &RAM_INSTALLED,
        Column::RamFreeSlots => &RAM_FREE_SLOTS,
        Column::RamMax => &RAM_MAX_BYTES,
        Column::Disk => &DISK_BYTES,
        Column::Disks => &DISKS,
        Column::DiskFailing => &DISK_FAILING,
        Column::DiskUsed => &DISK_USED_PERCENT,
        Column::Encrypted => &ENCRYPTED,
        Column::OsInstalled => &OS_INSTALLED_DAY,
        Column::Monitors => &MONITORS,
        Column::Battery => &BATTERY_PERCENT,
        Column::Updates => &UPDATES,
        Column::SecurityUpdates => &SECURITY_UPDATES,
        Column::Reboot => &REBOOT,
        Column::ListsDate => &LISTS_DAY,
        Column::AntivirusOn => &ANTIVIRUS_ON,
        Column::AntivirusDate => &ANTIVIRUS_DAY,
        Column::Firewall => &FIREWALL,
        Column::Programs => &PROGRAMS,
        _ => return None,
    })
}

/// The statement that gives every value of a column of versions with the devices that have it.
pub(super) fn versions(column: Column) -> Option<&'static Statement> {
    Some(match column {
        Column::Firmware => &FIRMWARE_VERSION_GROUPS,
        Column::OsVersion => &OS_VERSION_GROUPS,
        Column::Kernel => &KERNEL_GROUPS,
        Column::Tpm => &TPM_VERSION_GROUPS,
        Column::Agent => &AGENT_VERSION_GROUPS,
        _ => return None,
    })
}
