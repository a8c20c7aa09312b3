//! Disk health and storage of captured machines: what disks, headers and tables say, what a sleeping or hanging disk costs,
//! and what cut or lying bytes do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use chasqui_agent::inventory::linux::smart::ask::{Ask, Page};
use chasqui_agent::inventory::linux::smart::{ata, nvme, smartctl};
use chasqui_agent::inventory::linux::{disk_health, lvm, superblock, table};
use chasqui_agent::inventory::{self, Inventory, Source, Unreadable};
use chasqui_proto::v1::{self, UnreadReason};
use inventory_support::disk_pages::{self as pages, Row};
use inventory_support::{self as support, Machine, reason};
use proptest::prelude::*;

const HEALTHY: &[Row] = &[
    (5, 0x0033, 100, 100, 0, 10),
    (9, 0x0032, 97, 97, 0x7b3d_0000_30f2, 0),
    (12, 0x0032, 99, 99, 812, 0),
    (177, 0x0013, 95, 95, 60, 0),
    (194, 0x0022, 66, 50, 34, 0),
    (199, 0x003e, 100, 100, 2, 0),
];
const FAILING: &[Row] = &[
    (1, 0x000f, 114, 99, 0x3_1234_5678, 6),
    (5, 0x0033, 8, 8, 2_480, 36),
    (9, 0x0032, 40, 40, 52_600, 0),
    (194, 0x0022, 41, 52, 0x0011_0000_0029, 0),
    (197, 0x0012, 92, 92, 48, 0),
];

/// A disk at its place on a bus.
fn disk(machine: &Machine, name: &str, number: &str, place: &str) -> String {
    let folder = format!("/sys/devices/{place}/block/{name}");
    machine.write(&format!("{folder}/dev"), format!("{number}\n"));
    machine.write(&format!("{folder}/removable"), "0\n");
    machine.write(&format!("{folder}/size"), "976773168\n");
    machine.write(&format!("{folder}/queue/rotational"), "1\n");
    machine.write(&format!("{folder}/device/model"), "ST500DM002-1BD14\n");
    machine.write(&format!("{folder}/device/vendor"), "ATA     \n");
    machine.write(&format!("{folder}/device/serial"), format!("SER-{name}\n"));
    for class in ["/sys/block", "/sys/class/block"] {
        std::fs::create_dir_all(machine.path(class)).unwrap();
        let up = "../".repeat(class.matches('/').count() - 1);
        let target = format!("{up}devices/{place}/block/{name}");
        std::os::unix::fs::symlink(target, machine.path(&format!("{class}/{name}"))).unwrap();
    }
    folder
}

fn partition(machine: &Machine, folder: &str, name: &str, number: u32, dev: &str) {
    let path = format!("{folder}/{name}");
    machine.write(&format!("{path}/dev"), format!("{dev}\n"));
    machine.write(&format!("{path}/partition"), format!("{number}\n"));
    machine.write(&format!("{path}/size"), "2048000\n");
    machine.write(&format!("{path}/start"), "2048\n");
    machine.write(&format!("{path}/ro"), "0\n");
    let target = folder.replace("/sys/", "../../");
    let link = machine.path(&format!("/sys/class/block/{name}"));
    std::os::unix::fs::symlink(format!("{target}/{name}"), link).unwrap();
}

fn answers(machine: &Machine, disk: &str, rows: &[Row], turns: u16, verdict: [u8; 2]) {
    let put = |page: Page, bytes: Vec<u8>| {
        machine.write(&format!("/smart/{disk}/{}", page.file_name()), bytes);
    };
    put(Page::PowerMode, vec![0xff]);
    let identify = pages::identify("ST500DM002-1BD142", &format!("SER-{disk}"), "HP74", turns);
    put(Page::Identify, identify);
    put(Page::SmartData, pages::smart_data(rows));
    put(Page::SmartThresholds, pages::smart_thresholds(rows));
    put(Page::SmartStatus, verdict.to_vec());
    put(Page::ErrorLog, pages::error_log(3));
    put(Page::SelfTestLog, pages::self_test_log(&[0, 7, 1, 15, 5]));
}

const GOOD: [u8; 2] = [0x4f, 0xc2];
const BAD: [u8; 2] = [0xf4, 0x2c];
const SATA: &str = "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0";
const SATA_2: &str = "pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0";
const USB: &str = "pci0000:00/0000:00:14.0/usb3/3-1/3-1:1.0/host4/target4:0:0/4:0:0:0";

fn one(inventory: &Inventory) -> v1::DiskHealth {
    support::disk_health(inventory).disks[0].clone()
}

fn attribute(disk: &v1::DiskHealth, id: u32) -> v1::AtaAttribute {
    *disk.attributes.iter().find(|row| row.id == id).unwrap()
}

#[test]
fn a_healthy_ssd_and_what_of_it_counts_by_itself() {
    let machine = Machine::empty();
    disk(&machine, "sda", "8:0", SATA);
    answers(&machine, "sda", HEALTHY, 1, GOOD);
    let inventory = machine.collect();
    let health = one(&inventory);
    assert_eq!(health.passed, Some(true));
    assert_eq!((health.supported, health.enabled), (Some(true), Some(true)));
    assert_eq!(health.rotation_rpm, Some(0));
    assert_eq!(health.serial.as_deref(), Some("SER-sda"));
    assert_eq!(health.error_log_entries, Some(3));
    // Two failed; the others went well, were broken off, or run.
    assert_eq!(health.failed_self_tests, Some(2));
    let crc = attribute(&health, 199);
    assert_eq!(
        (crc.raw, crc.value, crc.threshold),
        (Some(2), Some(100), Some(0))
    );
    let heat = attribute(&health, 194);
    assert_eq!((heat.raw, heat.value, heat.worst), (None, None, Some(50)));
    let counters = &inventory.volatile.disks[0];
    assert_eq!(counters.power_on_hours, Some(0x30f2));
    assert_eq!(counters.temperature_celsius, Some(34));
    assert_eq!(counters.power_cycles, Some(812));
    assert_eq!(
        counters.raw.iter().map(|raw| raw.id).collect::<Vec<_>>(),
        [9, 12, 177, 194]
    );
    // An hour later: warmer and older.
    let mut later = HEALTHY.to_vec();
    later[1].4 += 1;
    later[4].2 = 61;
    later[4].4 = 39;
    answers(&machine, "sda", &later, 1, GOOD);
    let after = machine.collect();
    assert_eq!(after.sections, inventory.sections);
    assert_ne!(after.volatile.disks, inventory.volatile.disks);
}

#[test]
fn a_failing_disk_says_so_in_its_counters_and_its_verdict() {
    let machine = Machine::empty();
    disk(&machine, "sda", "8:0", SATA);
    answers(&machine, "sda", FAILING, 7_200, BAD);
    let health = one(&machine.collect());
    assert_eq!(health.passed, Some(false));
    assert_eq!(health.rotation_rpm, Some(7_200));
    let moved = attribute(&health, 5);
    assert_eq!(
        (moved.raw, moved.value, moved.threshold),
        (Some(2_480), Some(8), Some(36))
    );
    assert_eq!(moved.prefailure, Some(true));
    assert_eq!(attribute(&health, 197).raw, Some(48));
    let rate = attribute(&health, 1);
    assert_eq!((rate.value, rate.raw, rate.worst), (None, None, Some(99)));
    // A rate that falls to its threshold is a fact.
    let mut worse = FAILING.to_vec();
    worse[0].2 = 6;
    answers(&machine, "sda", &worse, 7_200, BAD);
    assert_eq!(attribute(&one(&machine.collect()), 1).value, Some(6));
}

fn nvme_machine() -> Machine {
    let machine = Machine::empty();
    let folder = disk(
        &machine,
        "nvme0n1",
        "259:0",
        "pci0000:00/0000:01:00.0/nvme/nvme0",
    );
    machine.write(&format!("{folder}/device/model"), "Samsung SSD 970 EVO\n");
    machine
}

#[test]
fn an_nvme_disk_with_media_errors_that_calls_itself_well() {
    let machine = nvme_machine();
    let mut log = pages::Nvme {
        warning: 0,
        kelvin: 309,
        spare: 92,
        used: 104,
        units_written: 7_773_431,
        hours: 2_401,
        media_errors: 7,
    };
    machine.write("/smart/nvme0n1/nvme_health", pages::nvme_health(&log));
    let inventory = machine.collect();
    let health = one(&inventory);
    let nvme = health.nvme.unwrap();
    assert_eq!(health.passed, Some(true));
    assert_eq!(nvme.media_errors, Some(7));
    assert_eq!(nvme.percentage_used, Some(104));
    assert_eq!(nvme.available_spare_percent, Some(92));
    assert_eq!(nvme.available_spare_threshold_percent, Some(10));
    let counters = &inventory.volatile.disks[0];
    assert_eq!(counters.temperature_celsius, Some(36));
    assert_eq!(counters.bytes_written, Some(7_773_431 * 512_000));
    assert_eq!(counters.power_on_hours, Some(2_401));
    assert_eq!(
        (counters.power_cycles, counters.unsafe_shutdowns),
        (Some(900), Some(43))
    );
    assert_eq!(counters.error_log_entries, Some(77));
    log.hours += 1;
    log.kelvin += 20;
    machine.write("/smart/nvme0n1/nvme_health", pages::nvme_health(&log));
    assert_eq!(machine.collect().sections, inventory.sections);
    log.warning = 4;
    machine.write("/smart/nvme0n1/nvme_health", pages::nvme_health(&log));
    assert_eq!(one(&machine.collect()).passed, Some(false));
}

/// Notes which pages are asked for.
struct Listening(Source, Mutex<Vec<Page>>);

impl Ask for Listening {
    fn page(&self, disk: &str, page: Page) -> Result<Vec<u8>, Unreadable> {
        self.1.lock().unwrap().push(page);
        self.0.page(disk, page)
    }
}

#[test]
fn a_sleeping_disk_is_asked_nothing_more_and_its_row_does_not_flip() {
    let machine = Machine::empty();
    let memory = tempfile::tempdir().unwrap();
    disk(&machine, "sda", "8:0", SATA);
    answers(&machine, "sda", FAILING, 7_200, BAD);
    let source = || {
        machine
            .source()
            .with_memory(&memory.path().join("inventory"))
    };
    let awake = inventory::collect(&source(), 1);
    assert_eq!(one(&awake).passed, Some(false));
    for sleep in [0x00, 0x01, 0x40] {
        machine.write("/smart/sda/power_mode", [sleep]);
        let asleep = inventory::collect(&source(), 2);
        for (a, b) in awake.sections.iter().zip(&asleep.sections) {
            assert_eq!(a.digest, b.digest, "{:?}", a.kind());
        }
        let counters = &asleep.volatile.disks[0];
        assert_eq!(counters.not_asked.as_deref(), Some("asleep"));
        assert_eq!(counters.power_on_hours, None);
    }
    let listening = Arc::new(Listening(machine.source(), Mutex::default()));
    disk_health::read(&source(), listening.clone(), Duration::from_secs(60));
    assert_eq!(*listening.1.lock().unwrap(), [Page::PowerMode]);
    // Another disk in its place does not wear its row.
    machine.write(
        &format!("/sys/devices/{SATA}/block/sda/device/serial"),
        "OTHER\n",
    );
    let other = inventory::collect(&source(), 3);
    assert_eq!(one(&other).passed, None);
    assert_eq!(
        reason(&other, "disk_health.disks.sda.passed"),
        Some(UnreadReason::Io)
    );
    // Without a memory the row is unread, and says why.
    let bare = machine.collect();
    assert_eq!(one(&bare).attributes, []);
    assert_eq!(
        reason(&bare, "disk_health.disks.sda.attributes"),
        Some(UnreadReason::Io)
    );
    // A disk that the kernel suspended is not spoken to at all.
    machine.write("/smart/sda/power_mode", [0xff]);
    let status = format!("/sys/devices/{SATA}/block/sda/device/power/runtime_status");
    machine.write(&status, "suspended\n");
    let listening = Arc::new(Listening(machine.source(), Mutex::default()));
    let seen = disk_health::read(
        &machine.source(),
        listening.clone(),
        Duration::from_secs(60),
    );
    assert_eq!(*listening.1.lock().unwrap(), []);
    assert_eq!(seen.volatile.disks[0].not_asked.as_deref(), Some("asleep"));
}

#[test]
fn a_usb_bridge_that_answers_nothing_is_unread_and_a_stick_is_not_asked() {
    let machine = Machine::empty();
    let folder = disk(&machine, "sdb", "8:16", USB);
    let inventory = machine.collect();
    let health = one(&inventory);
    assert_eq!((health.supported, health.passed), (None, None));
    for field in ["supported", "passed", "attributes", "rotation_rpm"] {
        let group = format!("disk_health.disks.sdb.{field}");
        assert_eq!(
            reason(&inventory, &group),
            Some(UnreadReason::NoSource),
            "{field}"
        );
    }
    // Through a bridge that translates, the same pages come.
    answers(&machine, "sdb", HEALTHY, 5_400, GOOD);
    assert_eq!(one(&machine.collect()).passed, Some(true));
    machine.write(&format!("{folder}/removable"), "1\n");
    let listening = Arc::new(Listening(machine.source(), Mutex::default()));
    disk_health::read(
        &machine.source(),
        listening.clone(),
        Duration::from_secs(60),
    );
    assert_eq!(*listening.1.lock().unwrap(), []);
}

#[test]
fn a_suspended_nvme_disk_is_not_resumed_and_its_row_does_not_flip() {
    let machine = nvme_machine();
    let memory = tempfile::tempdir().unwrap();
    let mut log = pages::Nvme {
        warning: 0,
        kelvin: 309,
        spare: 92,
        used: 3,
        units_written: 7_773_431,
        hours: 2_401,
        media_errors: 7,
    };
    machine.write("/smart/nvme0n1/nvme_health", pages::nvme_health(&log));
    let source = || {
        machine
            .source()
            .with_memory(&memory.path().join("inventory"))
    };
    let awake = inventory::collect(&source(), 1);
    assert_eq!(one(&awake).nvme.unwrap().media_errors, Some(7));
    // The controller's PCI function sleeps; what it would say now is not asked for.
    let pci = "/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/block/nvme0n1/device/device/power";
    machine.write(&format!("{pci}/runtime_status"), "suspended\n");
    log.media_errors = 9;
    machine.write("/smart/nvme0n1/nvme_health", pages::nvme_health(&log));
    let listening = Arc::new(Listening(machine.source(), Mutex::default()));
    let seen = disk_health::read(&source(), listening.clone(), Duration::from_secs(60));
    assert_eq!(*listening.1.lock().unwrap(), []);
    assert_eq!(seen.volatile.disks[0].not_asked.as_deref(), Some("asleep"));
    let asleep = inventory::collect(&source(), 2);
    for (a, b) in awake.sections.iter().zip(&asleep.sections) {
        assert_eq!(a.digest, b.digest, "{:?}", a.kind());
    }
    // Awake again, it says what happened meanwhile.
    machine.write(&format!("{pci}/runtime_status"), "active\n");
    let later = inventory::collect(&source(), 3);
    assert_eq!(one(&later).nvme.unwrap().media_errors, Some(9));
}

/// Never answers for one disk, until it is let go.
struct Hanging(Source, Mutex<mpsc::Receiver<()>>);

impl Ask for Hanging {
    fn page(&self, disk: &str, page: Page) -> Result<Vec<u8>, Unreadable> {
        if disk == "sda" {
            let _ = self.1.lock().unwrap().recv();
        }
        self.0.page(disk, page)
    }
}

#[test]
fn a_disk_that_hangs_costs_its_own_row() {
    let machine = Machine::empty();
    disk(&machine, "sda", "8:0", SATA);
    disk(&machine, "sdb", "8:16", SATA_2);
    answers(&machine, "sdb", HEALTHY, 1, GOOD);
    let (hold, held) = mpsc::channel();
    let ask = Arc::new(Hanging(machine.source(), Mutex::new(held)));
    let seen = disk_health::read(&machine.source(), ask, Duration::from_secs(3));
    drop(hold);
    let v1::section_facts::Facts::DiskHealth(facts) = &seen.facts else {
        panic!("{:?}", seen.facts);
    };
    assert_eq!(facts.disks[0].name, "sda");
    assert_eq!(facts.disks[0].passed, None);
    assert_eq!(facts.disks[1].passed, Some(true));
    assert_eq!(seen.volatile.disks[0].name, "sdb");
    let told = format!("{:?}", seen.notes);
    assert!(told.contains("disk_health.disks.sda.passed"), "{told}");
    assert!(told.contains("sda: no answer in 3 s"), "{told}");
}

#[test]
fn spoiled_pages_cost_their_own_facts() {
    let machine = Machine::empty();
    disk(&machine, "sda", "8:0", SATA);
    answers(&machine, "sda", FAILING, 7_200, BAD);
    let mut data = pages::smart_data(FAILING);
    data[40] ^= 1;
    for bad in [data, vec![0; 512], vec![0xff; 100], vec![]] {
        machine.write("/smart/sda/smart_data", bad);
        let inventory = machine.collect();
        let health = one(&inventory);
        assert_eq!((health.passed, health.attributes.len()), (Some(false), 0));
        assert_eq!(
            reason(&inventory, "disk_health.disks.sda.attributes"),
            Some(UnreadReason::Malformed)
        );
    }
    answers(&machine, "sda", FAILING, 7_200, [0, 0]);
    machine.write("/smart/sda/smart_thresholds", [1, 2, 3]);
    let inventory = machine.collect();
    assert_eq!(attribute(&one(&inventory), 5).raw, Some(2_480));
    for group in [
        "disk_health.disks.attributes.threshold",
        "disk_health.disks.sda.passed",
    ] {
        assert_eq!(
            reason(&inventory, group),
            Some(UnreadReason::Malformed),
            "{group}"
        );
    }
}

fn megaraid_json() -> String {
    r#"{"smartctl":{"exit_status":12,"messages":[{"string":"Warning: an Attribute check"}]},
        "serial_number":"WD-1","rotation_rate":7200,"smart_status":{"passed":false},
        "ata_smart_attributes":{"table":[
          {"id":197,"value":200,"worst":199,"thresh":0,"flags":{"value":50,"prefailure":false},"raw":{"value":9,"string":"9"}},
          {"id":5,"value":1,"worst":1,"thresh":140,"flags":{"value":51},"raw":{"value":1999}}]},
        "power_on_time":{"hours":37787},"power_cycle_count":70,"temperature":{"current":36},
        "ata_smart_error_log":{"summary":{"revision":1,"count":4}},
        "ata_smart_self_test_log":{"standard":{"table":[{"status":{"value":121}},{"status":{"value":0}}]}}}"#
        .to_owned()
}

#[test]
fn members_behind_a_raid_controller_come_from_smartctl() {
    let machine = Machine::empty();
    machine.write("/sys/block/.keep", "");
    std::fs::remove_file(machine.path("/sys/block/.keep")).unwrap();
    machine.write("/sys/class/scsi_host/host0/proc_name", "megaraid_sas\n");
    let scan = r#"{"devices":[{"name":"/dev/bus/0","type":"megaraid,1","protocol":"SCSI"},
        {"name":"/dev/sda","type":"scsi"},{"name":"/dev/../etc","type":"megaraid,2"},
        {"name":"/dev/bus/0","type":"sat+megaraid,0"},{"name":"/dev/bus/0 -x","type":"megaraid,3"}]}"#;
    machine.write("/smart/smartctl_scan.json", scan);
    machine.write("/smart/bus/0/sat+megaraid,0/smartctl.json", megaraid_json());
    let asleep = r#"{"smartctl":{"exit_status":2,"messages":[{"string":"Device is in STANDBY mode, exit(2)"}]}}"#;
    machine.write("/smart/bus/0/megaraid,1/smartctl.json", asleep);
    let inventory = machine.collect();
    let health = support::disk_health(&inventory);
    let names: Vec<&str> = health.disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["bus/0/megaraid,1", "bus/0/sat+megaraid,0"]);
    let member = &health.disks[1];
    assert_eq!(
        (member.passed, member.serial.as_deref()),
        (Some(false), Some("WD-1"))
    );
    assert_eq!(attribute(member, 5).raw, Some(1_999));
    assert_eq!(
        (member.error_log_entries, member.failed_self_tests),
        (Some(4), Some(1))
    );
    let counters = &inventory.volatile.disks;
    assert_eq!(counters[0].not_asked.as_deref(), Some("asleep"));
    assert_eq!(counters[1].power_on_hours, Some(37_787));
}

const GROUP: &str = r#"# Generated by LVM2 version 2.03.16(2)
contents = "Text Format Volume Group"
version = 1
description = "Created *after* executing 'vgcreate # x'"
ubuntu-vg {
	id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
	seqno = 2
	status = ["RESIZEABLE", "READ",
	 "WRITE"]
	extent_size = 8192		# 4 Megabytes
	physical_volumes {
		pv0 {
			id = "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG"
			device = "/dev/mapper/cifrado"	# Hint only
			dev_size = 1000215216
			pe_count = 1000
		}
	}
	logical_volumes {
		ubuntu-lv {
			id = "hhhhhh-bbbb-cccc-dddd-eeee-ffff-gggggg"
			segment_count = 2
			segment1 {
				start_extent = 0
				extent_count = 500
				type = "striped"
				stripe_count = 1
				stripes = [
					"pv0", 0
				]
			}
			segment2 {
				start_extent = 500
				extent_count = 100
				stripes = ["pv0", 500]
			}
		}
	}
}
"#;

fn laptop() -> Machine {
    let machine = nvme_machine();
    let folder = "/sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/block/nvme0n1";
    partition(&machine, folder, "nvme0n1p1", 1, "259:1");
    machine.write(
        "/run/udev/data/b259:1",
        "E:ID_PART_ENTRY_NUMBER=1\nE:ID_PART_ENTRY_TYPE=ca7d7ccb-63ed-4c53-861c-1742536059cc\n\
         E:ID_PART_ENTRY_UUID=11111111-2222-4333-8444-555555555555\nE:ID_PART_ENTRY_NAME=Datos\\x20cifrados\n\
         E:ID_FS_TYPE=crypto_LUKS\nE:ID_FS_VERSION=2\nE:ID_FS_UUID=9f2b7c31-0001-4000-8000-000000000001\n",
    );
    machine.write(
        "/head/nvme0n1p1",
        pages::luks2("9f2b7c31-0001-4000-8000-000000000001", "datos"),
    );
    for (name, number, uuid, label, below) in [
        (
            "dm-0",
            "252:0",
            "CRYPT-LUKS2-9f2b7c31000140008000000000000001-cifrado",
            "cifrado",
            "nvme0n1p1",
        ),
        (
            "dm-1",
            "252:1",
            "LVM-aaaaaabbbbccccddddeeeeffffgggggghhhhhhbbbbccccddddeeeeffffgggggg",
            "ubuntu--vg-ubuntu--lv",
            "dm-0",
        ),
    ] {
        let path = format!("/sys/devices/virtual/block/{name}");
        machine.write(&format!("{path}/dev"), format!("{number}\n"));
        machine.write(&format!("{path}/dm/uuid"), format!("{uuid}\n"));
        machine.write(&format!("{path}/dm/name"), format!("{label}\n"));
        machine.write(&format!("{path}/size"), "4915200\n");
        machine.write(&format!("{path}/slaves/{below}/dev"), "x\n");
        for class in ["/sys/block", "/sys/class/block"] {
            let up = "../".repeat(class.matches('/').count() - 1);
            let link = machine.path(&format!("{class}/{name}"));
            std::os::unix::fs::symlink(format!("{up}devices/virtual/block/{name}"), link).unwrap();
        }
    }
    machine.write(
        "/proc/self/mountinfo",
        "30 1 252:1 / / rw - ext4 /dev/mapper/ubuntu--vg-ubuntu--lv rw\n",
    );
    machine.write("/etc/lvm/backup/ubuntu-vg", GROUP);
    machine
}

#[test]
fn a_laptop_with_luks_and_lvm() {
    let machine = laptop();
    let storage = support::storage(&machine.collect());
    let partition = &storage.partitions[0];
    assert_eq!(
        (partition.name.as_str(), partition.disk.as_str()),
        ("nvme0n1p1", "nvme0n1")
    );
    assert_eq!(partition.label.as_deref(), Some("Datos cifrados"));
    assert_eq!(partition.content.as_deref(), Some("crypto_LUKS"));
    assert_eq!(
        (partition.start_bytes, partition.number),
        (Some(1 << 20), Some(1))
    );
    let encryption = &storage.encryptions[0];
    assert_eq!(encryption.device, "nvme0n1p1");
    assert_eq!(encryption.r#type.as_deref(), Some("luks2"));
    assert_eq!(encryption.cipher.as_deref(), Some("aes-xts-plain64"));
    assert_eq!(
        (encryption.key_bits, encryption.unlocked),
        (Some(512), Some(true))
    );
    assert_eq!(encryption.mount_points, ["/"]);
    let group = &storage.volume_groups[0];
    assert_eq!(
        (group.name.as_str(), group.extent_bytes),
        ("ubuntu-vg", Some(4 << 20))
    );
    assert_eq!(
        (group.size_bytes, group.free_bytes),
        (Some(1000 << 22), Some(400 << 22))
    );
    assert_eq!(group.physical_volumes[0].device, "/dev/mapper/cifrado");
    let volume = &group.logical_volumes[0];
    assert_eq!(
        (volume.size_bytes, volume.segments),
        (Some(600 << 22), Some(2))
    );
    // Without the text, the kernel's own ids tell the group and its volumes.
    std::fs::remove_dir_all(machine.path("/etc/lvm")).unwrap();
    let inventory = machine.collect();
    let group = &support::storage(&inventory).volume_groups[0];
    assert_eq!(group.name, "ubuntu-vg");
    assert_eq!(
        group.uuid.as_deref(),
        Some("aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg")
    );
    assert_eq!(group.logical_volumes[0].size_bytes, Some(4_915_200 * 512));
    assert_eq!(group.size_bytes, None);
    assert_eq!(
        reason(&inventory, "storage.volume_groups.size_bytes"),
        Some(UnreadReason::NoSource)
    );
}

#[test]
fn a_header_that_cannot_be_read_now_is_the_one_read_before() {
    let machine = laptop();
    let memory = tempfile::tempdir().unwrap();
    let source = || machine.source().with_memory(memory.path());
    let before = inventory::collect(&source(), 1);
    std::fs::remove_file(machine.path("/head/nvme0n1p1")).unwrap();
    let after = inventory::collect(&source(), 2);
    assert_eq!(support::storage(&before), support::storage(&after));
    let bare = machine.collect();
    assert_eq!(support::storage(&bare).encryptions[0].cipher, None);
    assert_ne!(reason(&bare, "storage.encryptions.cipher"), None);
}

#[test]
fn a_machine_without_a_device_manager_reads_tables_and_superblocks() {
    let machine = Machine::empty();
    let folder = disk(&machine, "sda", "8:0", SATA);
    partition(&machine, &folder, "sda1", 1, "8:1");
    let kind = "0fc63daf-8483-4772-8e79-3d69d8477de4";
    let uuid = "11111111-2222-4333-8444-555555555555";
    machine.write("/head/sda", pages::gpt(kind, uuid, "raíz"));
    machine.write("/head/sda1", pages::ext4([7; 16], "datos"));
    machine.write(
        "/proc/self/mountinfo",
        "30 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
    );
    let inventory = machine.collect();
    let partition = &support::storage(&inventory).partitions[0];
    assert_eq!(partition.r#type.as_deref(), Some(kind));
    assert_eq!(partition.uuid.as_deref(), Some(uuid));
    assert_eq!(partition.label.as_deref(), Some("raíz"));
    assert_eq!(partition.content.as_deref(), Some("ext4"));
    let system = &support::disks(&inventory).file_systems[0];
    assert_eq!(system.label.as_deref(), Some("datos"));
    assert_eq!(
        system.uuid.as_deref(),
        Some("07070707-0707-0707-0707-070707070707")
    );
    // What is not readable is not called unencrypted.
    std::fs::remove_file(machine.path("/head/sda1")).unwrap();
    assert_ne!(reason(&machine.collect(), "storage.encryptions"), None);
}

#[test]
fn a_mirror_that_lost_a_disk_is_degraded() {
    let machine = Machine::empty();
    disk(&machine, "sda", "8:0", SATA);
    let path = "/sys/block/md0";
    machine.write(&format!("{path}/dev"), "9:0\n");
    machine.write(&format!("{path}/md/level"), "raid1\n");
    machine.write(&format!("{path}/md/raid_disks"), "2\n");
    machine.write(&format!("{path}/md/degraded"), "1\n");
    machine.write(&format!("{path}/md/dev-sda2/state"), "in_sync\n");
    let arrays = support::storage(&machine.collect()).arrays;
    assert_eq!(arrays.len(), 1);
    assert_eq!(
        (arrays[0].level.as_deref(), arrays[0].degraded),
        (Some("raid1"), Some(true))
    );
    assert_eq!(arrays[0].wanted_members, Some(2));
    assert_eq!(arrays[0].members, ["sda2"]);
}

#[test]
fn cut_anywhere_every_page_and_header_is_refused_or_says_less() {
    let log = pages::nvme_health(&pages::Nvme {
        warning: 0,
        kelvin: 300,
        spare: 100,
        used: 0,
        units_written: 1,
        hours: 1,
        media_errors: 0,
    });
    let identify = pages::identify("M", "S", "F", 1);
    let data = pages::smart_data(FAILING);
    for cut in 0..512 {
        assert!(ata::Identify::parse(&identify[..cut]).is_err(), "{cut}");
        assert!(ata::attributes(&data[..cut]).is_err(), "{cut}");
        assert!(ata::thresholds(&data[..cut]).is_err(), "{cut}");
        assert!(ata::error_count(&data[..cut]).is_err(), "{cut}");
        assert!(ata::failed_self_tests(&data[..cut]).is_err(), "{cut}");
        assert!(nvme::Health::parse(&log[..cut]).is_err(), "{cut}");
    }
    assert!(nvme::Health::parse(&[0xff; 512]).is_err());
    assert!(nvme::Health::parse(&[0; 512]).is_err());
    assert!(ata::Identify::parse(&[0xff; 512]).is_err());
    let (one, two) = (pages::luks1("u"), pages::luks2("u", "l"));
    let luks = superblock::luks(&one).unwrap();
    assert_eq!((luks.version, luks.key_bits), (1, Some(256)));
    assert_eq!(luks.cipher.as_deref(), Some("aes-xts-plain64"));
    for cut in 0..208 {
        assert!(superblock::luks(&one[..cut]).is_err(), "{cut}");
    }
    for cut in 0..two.len() {
        assert!(superblock::luks(&two[..cut]).is_err(), "{cut}");
        let _ = superblock::content(&two[..cut]);
    }
    let mut lying = two.clone();
    for size in [0, 1, 5_000, u64::MAX, 1 << 40, 4 << 20] {
        pages::put(&mut lying, 8, &size.to_be_bytes());
        assert!(superblock::luks(&lying).is_err(), "{size}");
    }
    let head = pages::gpt(
        "0fc63daf-8483-4772-8e79-3d69d8477de4",
        "11111111-2222-4333-8444-555555555555",
        "x",
    );
    for cut in 0..1_024 + 128 {
        assert_eq!(table::entry(&head[..cut], 1), None, "{cut}");
    }
    for number in [0, 2, 128, 129, u32::MAX] {
        assert_eq!(table::entry(&head, number), None, "{number}");
    }
    let mut lying = head.clone();
    for (start, size) in [
        (u64::MAX, 128),
        (2, u32::MAX),
        (2, 0),
        (u64::MAX / 512, 4_096),
    ] {
        pages::put(&mut lying, 512 + 72, &start.to_le_bytes());
        pages::put(&mut lying, 512 + 84, &u32::to_le_bytes(size));
        assert_eq!(table::entry(&lying, 1), None, "{start} {size}");
    }
    let end = GROUP.trim_end().len();
    for cut in (0..end).filter(|cut| GROUP.is_char_boundary(*cut)) {
        assert!(lvm::parse(&GROUP[..cut]).is_err(), "{cut}");
    }
    assert!(lvm::parse(&"a {\n".repeat(100_000)).is_err());
    assert!(lvm::parse(&"}\n".repeat(10)).is_err());
    let json = megaraid_json();
    for cut in 0..json.len() {
        assert!(smartctl::parse(&json.as_bytes()[..cut]).is_err(), "{cut}");
    }
    assert!(smartctl::parse("[".repeat(1 << 20).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..1_400), number in 0_u32..200) {
        let _ = (ata::Identify::parse(&bytes), ata::attributes(&bytes), ata::registers(&bytes));
        let _ = (nvme::Health::parse(&bytes), superblock::content(&bytes), superblock::luks(&bytes));
        let _ = (table::entry(&bytes, number), smartctl::parse(&bytes), smartctl::members(&bytes));
        let _ = lvm::parse(&String::from_utf8_lossy(&bytes));
    }
}

/// A program in smartctl's place.
fn stub(folder: &std::path::Path, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join("smartctl");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn smartctl_runs_with_nothing_of_ours_and_its_answer_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"printf '{"smartctl":{"exit_status":4},"serial_number":"%s|%s|%s","smart_status":{"passed":true}}' "$(env | sort | grep -v '^_=' | tr '\n' ' ')" "$(pwd)" "$*"; cat; exit 4"#;
    let program = stub(folder.path(), script);
    let arguments = ["--json", "--all", "/dev/x; echo y"];
    let json = smartctl::answer_of(&program, &arguments, PATIENCE).unwrap();
    let told = smartctl::parse(&json).unwrap();
    assert_eq!(told.passed, Some(true));
    // A shell sets PWD by itself. Nothing is inherited, the arguments are no shell's, and its input is at its end.
    assert_eq!(
        told.serial.as_deref(),
        Some("LC_ALL=C PWD=/ |/|--json --all /dev/x; echo y")
    );
}

#[test]
fn a_smartctl_that_answers_nonsense_too_much_or_nothing_is_unread() {
    let folder = tempfile::tempdir().unwrap();
    for (script, reason) in [
        (
            "echo 'smartctl: command failed'; exit 1",
            UnreadReason::Malformed,
        ),
        ("exit 1", UnreadReason::Malformed),
        (
            r#"printf '{"smartctl":{"exit_status":2},"ser'; kill -9 $$"#,
            UnreadReason::Malformed,
        ),
        (r"printf '\377\376{}'", UnreadReason::Malformed),
        ("exec yes", UnreadReason::TooLarge),
    ] {
        let program = stub(folder.path(), script);
        let read =
            smartctl::answer_of(&program, &[], PATIENCE).and_then(|json| smartctl::parse(&json));
        assert_eq!(read.unwrap_err().reason, reason, "{script}");
    }
    let gone = smartctl::answer_of("/nowhere/smartctl", &[], PATIENCE);
    assert_eq!(gone.unwrap_err().reason, UnreadReason::NoSource);
}

#[test]
fn a_smartctl_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    // A child of its own keeps the pipe open; both note who they are.
    let script = format!(
        "cd {}; sleep 1000 & echo $! >child; echo $$ >own; printf '{{'; wait",
        folder.path().display()
    );
    let program = stub(folder.path(), &script);
    // Long enough for both to be noted on any machine; only the hanging one takes the whole time.
    let read = smartctl::answer_of(&program, &[], Duration::from_secs(2));
    assert_eq!(read.unwrap_err().reason, UnreadReason::TimeLimit);
    for name in ["child", "own"] {
        let pid = std::fs::read_to_string(folder.path().join(name)).unwrap();
        // Killed, and at most waiting to be collected.
        let ended = || {
            std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
                .ok()
                .is_none_or(|stat| {
                    stat.rsplit(')')
                        .next()
                        .is_some_and(|rest| rest.starts_with(" Z"))
                })
        };
        let mut looks = 0;
        while !ended() {
            looks += 1;
            assert!(looks < 6_000, "{name} {pid} goes on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
