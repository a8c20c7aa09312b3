//! What disks say of their own health. Each disk is asked in a thread of its own with a limit, so one that hangs costs its
//! own row.
//!
//! **A sleeping disk is not woken**, be it in standby or suspended by the kernel, and its row does not flip with its sleep
//! either: a section holds stable facts, and an unchanged machine must send none. So the last row that a disk answered is kept in the agent's state folder
//! ([`Source::remember`]) under the disk's serial, and stands for it while it sleeps; the provenance says so, and the volatile
//! facts say `asleep`. Where nothing is remembered (no state folder, never seen awake), each fact of the row is unread. Nothing
//! is remembered of a disk without a serial: another one could wear its row.

use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, patience};
use super::disks::{self, Known};
use super::smart::ask::{Ask, Page};
use super::smart::ata::{self, Attribute};
use super::smart::{nvme, smartctl};

/// Longest time for one disk.
pub const DISK_LIMIT: Duration = Duration::from_secs(15);
const SCSI_HOSTS: &str = "/sys/class/scsi_host";
/// Drivers of controllers that hide their disks.
const RAID_DRIVERS: &[&str] = &[
    "megaraid_sas",
    "megaraid",
    "hpsa",
    "smartpqi",
    "aacraid",
    "3w-9xxx",
    "3w-sas",
    "arcmsr",
];
const FIELDS: &[&str] = &[
    "supported",
    "enabled",
    "passed",
    "attributes",
    "nvme",
    "rotation_rpm",
    "error_log_entries",
    "failed_self_tests",
];

/// Makes the disk health section.
#[derive(Clone, Copy, Debug)]
pub struct DiskHealth;

impl Collector for DiskHealth {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::DiskHealth
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        read(source, Arc::new(source.clone()), DISK_LIMIT)
    }
}

/// The section, with the disks asked through `ask`, each for at most `limit`.
pub fn read(source: &Source, ask: Arc<dyn Ask>, limit: Duration) -> Observation {
    let mut notes = Notes::new(v1::SectionKind::DiskHealth);
    let mut subjects = Vec::new();
    let known = disks::known(source);
    for disk in notes.take("disks", "/sys/block", known).unwrap_or_default() {
        if disk.optical {
            continue;
        }
        if disk.kind == Some(v1::DiskKind::Virtual) {
            let why = "a virtual disk: what lies under it keeps the SMART data";
            notes.unread(&format!("disks.{}", disk.name), Unreadable::no_source(why));
            continue;
        }
        subjects.push(disk);
    }
    subjects.extend(members(source, &mut notes));
    let since = clock::monotonic();
    let begun: Vec<_> = subjects
        .into_iter()
        .map(|disk| {
            let (source, ask, known) = (source.clone(), Arc::clone(&ask), disk.clone());
            let work = move || row(&source, &*ask, &known);
            (patience::begin(&disk.name, work), disk)
        })
        .collect();
    let mut facts = v1::DiskHealthFacts::default();
    let mut volatile = v1::VolatileFacts::default();
    for (begun, disk) in begun {
        let row = begun
            .end(since, limit)
            .unwrap_or_else(|why| Row::unanswered(&disk, &why));
        let name = &disk.name;
        if let Some(from) = &row.from {
            notes.from(&format!("disks.{name}"), from);
        }
        for (field, why) in row.gaps {
            // An attribute has no name of its own, so what is missing of some is told for all.
            let group = if field.starts_with("attributes.") {
                format!("disks.{field}")
            } else {
                format!("disks.{name}.{field}")
            };
            notes.unread(&group, why);
        }
        let empty = v1::DiskCounters {
            name: name.clone(),
            ..v1::DiskCounters::default()
        };
        if row.counters != empty {
            volatile.disks.push(row.counters);
        }
        facts.disks.push(row.health);
    }
    facts.disks.sort_by(|a, b| a.name.cmp(&b.name));
    Observation {
        volatile,
        ..Observation::new(Facts::DiskHealth(facts), notes)
    }
}

/// Members of RAID controllers, where there is such a controller and smartctl knows the way.
fn members(source: &Source, notes: &mut Notes) -> Vec<Known> {
    let hosts = source.list(SCSI_HOSTS).unwrap_or_default();
    let driver = hosts.iter().find_map(|host| {
        let driver = source
            .line(&format!("{SCSI_HOSTS}/{host}/proc_name"))
            .ok()?;
        RAID_DRIVERS.contains(&driver.as_str()).then_some(driver)
    });
    let Some(driver) = driver else {
        return Vec::new();
    };
    let scanned = if source.is_live() {
        smartctl::scan(source)
    } else {
        source.bytes("/smart/smartctl_scan.json", smartctl::MAX_BYTES)
    };
    match scanned.and_then(|json| smartctl::members(&json)) {
        Ok(members) => members
            .into_iter()
            .map(|name| Known {
                name,
                member: true,
                ..Known::default()
            })
            .collect(),
        Err(why) => {
            let detail = format!("disks behind {driver}: {}", why.detail);
            notes.unread("disks.members", Unreadable { detail, ..why });
            Vec::new()
        }
    }
}

/// One disk's answer.
struct Row {
    health: v1::DiskHealth,
    /// Fields without the disk's name.
    gaps: Vec<(String, Unreadable)>,
    counters: v1::DiskCounters,
    from: Option<String>,
}

impl Row {
    fn new(disk: &Known) -> Self {
        let mut row = Self {
            health: v1::DiskHealth {
                name: disk.name.clone(),
                serial: disk.serial.clone().ok(),
                ..v1::DiskHealth::default()
            },
            gaps: Vec::new(),
            counters: v1::DiskCounters {
                name: disk.name.clone(),
                ..v1::DiskCounters::default()
            },
            from: None,
        };
        if let Err(why) = &disk.serial {
            row.gap("serial", why.clone());
        }
        row
    }

    /// A row of which nothing was answered, for one reason.
    fn unanswered(disk: &Known, why: &Unreadable) -> Self {
        let mut row = Self::new(disk);
        row.all_gaps(why);
        row
    }

    fn gap(&mut self, field: &str, why: Unreadable) {
        self.gaps.push((field.to_owned(), why));
    }

    fn all_gaps(&mut self, why: &Unreadable) {
        for field in FIELDS {
            self.gap(field, why.clone());
        }
    }

    fn part<T>(&mut self, field: &str, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|why| self.gap(field, why)).ok()
    }
}

fn row(source: &Source, ask: &dyn Ask, disk: &Known) -> Row {
    if disk.member {
        return by_smartctl(source, ask, disk);
    }
    if disk.bus == Some("mmc") {
        let why = Unreadable::no_source("a memory card or eMMC keeps no SMART data");
        let mut row = Row::unanswered(disk, &why);
        row.gaps
            .retain(|(field, _)| field != "supported" && field != "enabled");
        row.health.supported = Some(false);
        row.health.enabled = Some(false);
        return row;
    }
    // Speaking to a device that the kernel suspended would resume it.
    if suspended(source, &disk.name) {
        return asleep(source, disk);
    }
    if disk.bus == Some("nvme") {
        return by_nvme(source, ask, disk);
    }
    // Sticks and card readers have been seen to hang on an ATA command. The device manager holds to the same rule.
    if disk.bus == Some("usb") && disk.removable != Some(false) {
        let why = Unreadable::no_source("a removable USB medium is not asked");
        return Row::unanswered(disk, &why);
    }
    match ask.page(&disk.name, Page::PowerMode) {
        Ok(mode) => match mode.first() {
            Some(count) if ata::sleeps(*count) => asleep(source, disk),
            Some(_) => by_ata(source, ask, disk),
            None => Row::unanswered(disk, &Unreadable::malformed("CHECK POWER MODE: no byte")),
        },
        // No ATA disk, or one behind a controller: whether it sleeps must be told before anything else is asked.
        Err(why) if why.is_no_source() && !matches!(disk.bus, Some("sata" | "usb")) => {
            by_smartctl(source, ask, disk)
        }
        Err(why) => Row::unanswered(disk, &why),
    }
}

/// Whether the kernel put the disk to sleep.
pub fn suspended(source: &Source, disk: &str) -> bool {
    // The SCSI device; and of an NVMe disk the controller and its PCI function.
    ["device", "device/device"].iter().any(|level| {
        let path = format!("/sys/block/{disk}/{level}/power/runtime_status");
        source
            .line(&path)
            .is_ok_and(|status| matches!(status.as_str(), "suspended" | "suspending"))
    })
}

fn asleep(source: &Source, disk: &Known) -> Row {
    let mut row = recall(source, disk).unwrap_or_else(|| {
        // No reason of the list fits better: the reading did not come about.
        let why = Unreadable::io(
            "the disk sleeps and is not woken for an inventory; no earlier answer is kept",
        );
        Row::unanswered(disk, &why)
    });
    row.counters.not_asked = Some("asleep".to_owned());
    row
}

fn by_nvme(source: &Source, ask: &dyn Ask, disk: &Known) -> Row {
    let read = ask
        .page(&disk.name, Page::NvmeHealth)
        .and_then(|page| nvme::Health::parse(&page));
    let health = match read {
        Ok(health) => health,
        Err(why) => return Row::unanswered(disk, &why),
    };
    let mut row = Row::new(disk);
    row.from = Some("NVMe SMART/Health log (02h)".to_owned());
    row.gap(
        "attributes",
        Unreadable::no_source("NVMe disks have no ATA attributes"),
    );
    row.gap(
        "error_log_entries",
        Unreadable::no_source("NVMe disks count refused commands here too: see the counters"),
    );
    row.gap(
        "failed_self_tests",
        Unreadable::no_source("the self-test log of NVMe disks is not asked for"),
    );
    row.health = v1::DiskHealth {
        // The log is part of every NVMe controller and cannot be switched off.
        supported: Some(true),
        enabled: Some(true),
        passed: Some(health.critical_warning == 0),
        nvme: Some(v1::NvmeHealth {
            critical_warning: Some(u32::from(health.critical_warning)),
            available_spare_percent: Some(u32::from(health.available_spare)),
            available_spare_threshold_percent: Some(u32::from(health.available_spare_threshold)),
            percentage_used: Some(u32::from(health.percentage_used)),
            media_errors: Some(health.media_errors),
        }),
        rotation_rpm: Some(0),
        ..row.health
    };
    row.counters = v1::DiskCounters {
        power_on_hours: Some(health.power_on_hours),
        temperature_celsius: health.temperature_celsius,
        power_cycles: Some(health.power_cycles),
        bytes_written: Some(health.bytes_written),
        bytes_read: Some(health.bytes_read),
        unsafe_shutdowns: Some(health.unsafe_shutdowns),
        error_log_entries: Some(health.error_log_entries),
        ..row.counters
    };
    remember(source, disk, &row);
    row
}

fn by_ata(source: &Source, ask: &dyn Ask, disk: &Known) -> Row {
    let page = |page| ask.page(&disk.name, page);
    let identify = match page(Page::Identify).and_then(|page| ata::Identify::parse(&page)) {
        Ok(identify) => identify,
        Err(why) => return Row::unanswered(disk, &why),
    };
    let mut row = Row::new(disk);
    row.from = Some("ATA IDENTIFY DEVICE and SMART".to_owned());
    row.gap(
        "nvme",
        Unreadable::no_source("only NVMe disks keep this log"),
    );
    if row.health.serial.is_none() && identify.serial.is_some() {
        row.health.serial.clone_from(&identify.serial);
        row.gaps.retain(|(field, _)| field != "serial");
    }
    row.health.supported = Some(identify.smart_supported);
    row.health.enabled = Some(identify.smart_enabled);
    let turns = identify
        .rotation_rpm
        .ok_or_else(|| Unreadable::no_source("the disk does not tell its turns"));
    row.health.rotation_rpm = row.part("rotation_rpm", turns);
    if !identify.smart_supported || !identify.smart_enabled {
        let why = if identify.smart_supported {
            "SMART is switched off in the disk"
        } else {
            "the disk keeps no SMART data"
        };
        for field in [
            "passed",
            "attributes",
            "error_log_entries",
            "failed_self_tests",
        ] {
            row.gap(field, Unreadable::no_source(why));
        }
        return row;
    }
    let passed = page(Page::SmartStatus).and_then(|bytes| match *bytes {
        [mid, high] => ata::verdict(mid, high),
        _ => Err(Unreadable::malformed("SMART RETURN STATUS: not two bytes")),
    });
    row.health.passed = row.part("passed", passed);
    let attributes = page(Page::SmartData).and_then(|page| ata::attributes(&page));
    if let Some(attributes) = row.part("attributes", attributes) {
        let thresholds = page(Page::SmartThresholds).and_then(|page| ata::thresholds(&page));
        let thresholds = row.part("attributes.threshold", thresholds);
        let rows = attributes
            .into_iter()
            .map(|attribute| {
                let threshold = thresholds
                    .as_ref()
                    .and_then(|all| all.iter().find(|(id, _)| *id == attribute.id));
                (attribute, threshold.map(|(_, threshold)| *threshold))
            })
            .collect();
        take_attributes(&mut row, rows);
        if thresholds.is_some() && row.health.attributes.iter().any(|a| a.threshold.is_none()) {
            let why = Unreadable::no_source("attributes without a threshold");
            row.gap("attributes.threshold", why);
        }
    }
    let kept = |kept: bool, what: &str| {
        kept.then_some(())
            .ok_or_else(|| Unreadable::no_source(format!("the disk keeps no {what}")))
    };
    let errors = kept(identify.error_log, "error log")
        .and_then(|()| page(Page::ErrorLog))
        .and_then(|page| ata::error_count(&page));
    row.health.error_log_entries = row.part("error_log_entries", errors);
    let failed = kept(identify.self_tests, "self-test log")
        .and_then(|()| page(Page::SelfTestLog))
        .and_then(|page| ata::failed_self_tests(&page));
    row.health.failed_self_tests = row.part("failed_self_tests", failed);
    remember(source, disk, &row);
    row
}

fn by_smartctl(source: &Source, ask: &dyn Ask, disk: &Known) -> Row {
    let read = ask
        .page(&disk.name, Page::Smartctl)
        .and_then(|json| smartctl::parse(&json));
    let told = match read {
        Ok(told) if told.asleep => return asleep(source, disk),
        Ok(told) => told,
        Err(why) => return Row::unanswered(disk, &why),
    };
    let mut row = Row::new(disk);
    row.from = Some("smartctl --json --all".to_owned());
    row.gap(
        "nvme",
        Unreadable::no_source("only NVMe disks keep this log"),
    );
    if row.health.serial.is_none() && told.serial.is_some() {
        row.health.serial = told.serial;
        row.gaps.retain(|(field, _)| field != "serial");
    }
    let silent = || Unreadable::no_source("smartctl does not tell");
    row.health.supported = row.part("supported", told.supported.ok_or_else(silent));
    row.health.enabled = row.part("enabled", told.enabled.ok_or_else(silent));
    row.health.passed = row.part("passed", told.passed.ok_or_else(silent));
    row.health.rotation_rpm = row.part("rotation_rpm", told.rotation_rpm.ok_or_else(silent));
    row.health.error_log_entries = row.part(
        "error_log_entries",
        told.error_log_entries.ok_or_else(silent),
    );
    row.health.failed_self_tests = row.part(
        "failed_self_tests",
        told.failed_self_tests.ok_or_else(silent),
    );
    if let Some(attributes) = row.part("attributes", told.attributes.ok_or_else(silent)) {
        let rows = attributes
            .into_iter()
            .map(|(attribute, threshold)| (attribute, Some(threshold)))
            .collect();
        take_attributes(&mut row, rows);
    }
    row.counters.power_on_hours = told.power_on_hours.or(row.counters.power_on_hours);
    row.counters.temperature_celsius = told
        .temperature_celsius
        .or(row.counters.temperature_celsius);
    row.counters.power_cycles = told.power_cycles.or(row.counters.power_cycles);
    remember(source, disk, &row);
    row
}

fn take_attributes(row: &mut Row, attributes: Vec<(Attribute, Option<u8>)>) {
    for (attribute, threshold) in &attributes {
        let id = u32::from(attribute.id);
        let counts_faults = ata::FAULT_COUNTERS.contains(&attribute.id);
        if !counts_faults {
            row.counters.raw.push(v1::RawAttribute {
                id,
                raw: attribute.raw,
            });
        }
        // A rate or temperature is a fact of this minute, until it falls to its threshold.
        let crossed = threshold.is_some_and(|least| least > 0 && attribute.value <= least);
        let value = (!attribute.moves() || crossed).then_some(u32::from(attribute.value));
        row.health.attributes.push(v1::AtaAttribute {
            id,
            value,
            worst: Some(u32::from(attribute.worst)),
            threshold: threshold.map(u32::from),
            raw: counts_faults.then_some(attribute.raw),
            prefailure: Some(attribute.prefailure()),
        });
    }
    if row.health.attributes.iter().any(|a| a.value.is_none()) {
        let why = "rates and temperatures go up and down by themselves; their worst value stays";
        row.gap("attributes.value", Unreadable::no_source(why));
    }
    if row.health.attributes.iter().any(|a| a.raw.is_none()) {
        let why = "what counts by itself is among the counters";
        row.gap("attributes.raw", Unreadable::no_source(why));
    }
    let raw = |id: u8| {
        let found = attributes.iter().find(|(attribute, _)| attribute.id == id);
        found.map(|(attribute, _)| attribute.raw)
    };
    // Makers put minutes, or the lowest and highest, above the bits that all agree on.
    row.counters.power_on_hours = raw(9).map(|raw| raw & 0xff_ffff);
    row.counters.power_cycles = raw(12).map(|raw| raw & 0xffff_ffff);
    row.counters.temperature_celsius = raw(194)
        .or(raw(190))
        .and_then(|raw| i8::try_from(raw & 0xff).ok())
        .map(i32::from);
}

/// Where the row of a disk is kept; `None` for a disk that cannot be told from another.
fn key(disk: &Known) -> Option<String> {
    let serial = disk.serial.as_ref().ok()?;
    let digest = Sha256::digest(format!("{}\n{serial}", disk.model.as_deref().unwrap_or("")));
    let short = digest.get(..16).unwrap_or_default();
    Some(format!("disk-health-{}", hex::encode(short)))
}

fn remember(source: &Source, disk: &Known, row: &Row) {
    let Some(key) = key(disk) else { return };
    let unread = row
        .gaps
        .iter()
        .map(|(field, why)| v1::Unread {
            group: field.clone(),
            reason: why.reason.into(),
            detail: why.detail.clone(),
        })
        .collect();
    let kept = v1::SectionFacts {
        facts: Some(Facts::DiskHealth(v1::DiskHealthFacts {
            disks: vec![row.health.clone()],
        })),
        unread,
    };
    source.remember(&key, &kept.encode_to_vec());
}

fn recall(source: &Source, disk: &Known) -> Option<Row> {
    let kept = v1::SectionFacts::decode(&*source.recall(&key(disk)?)?).ok()?;
    let Some(Facts::DiskHealth(mut facts)) = kept.facts else {
        return None;
    };
    let health = facts.disks.pop()?;
    let mut row = Row::new(disk);
    // The disk may have another name since.
    row.health = v1::DiskHealth {
        name: disk.name.clone(),
        ..health
    };
    row.gaps = kept
        .unread
        .into_iter()
        .map(|gap| {
            let why = Unreadable {
                reason: gap.reason(),
                detail: gap.detail,
            };
            (gap.group, why)
        })
        .collect();
    row.from = Some("the disk's last answer before it fell asleep, kept by the agent".to_owned());
    Some(row)
}
