//! Captured machines: what the collectors say of each, and that nothing of the reading machine gets into it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use chasqui_agent::inventory::linux::smbios;
use chasqui_agent::inventory::{self, Source, archive};
use chasqui_base::text::Lang;
use chasqui_proto::v1::{DiskKind, UnreadReason};
use inventory_support::{self as support, MACHINES, Machine, reason};
use serde_json::Value;

#[test]
fn captured_tables_are_those_of_the_builder() {
    let mut wrong = String::new();
    for name in MACHINES {
        let captured = std::fs::read(Machine::new(name).path(smbios::TABLE));
        let Some(built) = support::smbios::of(name) else {
            continue;
        };
        if captured.is_ok_and(|bytes| bytes == built) {
            continue;
        }
        wrong.push_str(&format!("{name}.capture\nbytes {}\n", smbios::TABLE));
        for line in hex::encode(&built).as_bytes().chunks(96) {
            wrong.push_str(&format!("| {}\n", std::str::from_utf8(line).unwrap()));
        }
    }
    assert!(wrong.is_empty(), "captures should hold\n{wrong}");
}

#[test]
fn captured_monitors_are_those_of_the_builder() {
    let mut wrong = String::new();
    for (name, connector, built) in support::edid::all() {
        let path = format!("/sys/class/drm/{connector}/edid");
        if std::fs::read(Machine::new(name).path(&path)).is_ok_and(|bytes| bytes == built) {
            continue;
        }
        wrong.push_str(&format!("{name}.capture\nbytes {path}\n"));
        for line in hex::encode(&built).as_bytes().chunks(96) {
            wrong.push_str(&format!("| {}\n", std::str::from_utf8(line).unwrap()));
        }
    }
    assert!(wrong.is_empty(), "captures should hold\n{wrong}");
}

#[test]
fn every_machine_as_it_is_seen() {
    for name in MACHINES {
        let inventory = Machine::new(name).collect();
        insta::assert_json_snapshot!(*name, support::sections(&inventory));
    }
}

#[test]
fn a_machine_in_words() {
    let inventory = Machine::new("hp-compaq-6300").collect();
    insta::assert_snapshot!("words_es", inventory::render_text(&inventory, Lang::Es));
    insta::assert_snapshot!("words_en", inventory::render_text(&inventory, Lang::En));
}

#[test]
fn the_same_tree_gives_the_same_digests() {
    for name in MACHINES {
        let (one, two) = (Machine::new(name).collect(), Machine::new(name).collect());
        assert_eq!(one, two, "{name}");
    }
}

#[test]
fn what_changes_by_itself_changes_no_digest() {
    let machine = Machine::new("dell-latitude-5440");
    let before = machine.collect();
    machine.write("/proc/uptime", "93811.50 900123.00\n");
    let meminfo = std::fs::read_to_string(machine.path("/proc/meminfo")).unwrap();
    machine.write(
        "/proc/meminfo",
        meminfo
            .replace("MemAvailable:   11000000", "MemAvailable:    9000000")
            // Another start of the same kernel reserves some KiB more.
            .replace("16070144", "16070096"),
    );
    let cpuinfo = std::fs::read_to_string(machine.path("/proc/cpuinfo")).unwrap();
    machine.write("/proc/cpuinfo", cpuinfo.replace("1596.401", "4401.007"));
    let notes = std::fs::read_to_string(machine.path("/capture.json")).unwrap();
    machine.write(
        "/capture.json",
        notes.replace("420000000000", "410000000000"),
    );
    let mounts = std::fs::read_to_string(machine.path("/proc/self/mountinfo")).unwrap();
    machine.write(
        "/proc/self/mountinfo",
        mounts
            + "200 30 8:17 / /media/ana/USB rw - vfat /dev/sdb1 rw\n\
               201 30 252:1 /var/tmp/private /var/tmp rw - ext4 /dev/mapper/ubuntu--vg-ubuntu--lv rw\n\
               202 30 7:9 / /snap/firefox/5500 ro - squashfs /dev/loop9 ro\n",
    );
    // A container starts, and the IPv6 privacy address rolls over.
    machine.write("/sys/devices/virtual/net/veth9/type", "1\n");
    std::os::unix::fs::symlink(
        "../../devices/virtual/net/veth9",
        machine.path("/sys/class/net/veth9"),
    )
    .unwrap();
    let ipv6 = std::fs::read_to_string(machine.path("/proc/net/if_inet6")).unwrap();
    machine.write("/proc/net/if_inet6", ipv6.replace("e5f60718", "00000007"));
    let after = inventory::collect(&machine.source(), support::OBSERVED_AT_MS + 3_600_000);
    for (a, b) in before.sections.iter().zip(&after.sections) {
        assert_eq!(a.digest, b.digest, "{:?}", a.kind());
    }
    assert_ne!(before.volatile.uptime_s, after.volatile.uptime_s);
    assert_ne!(before.volatile.free_space, after.volatile.free_space);
}

#[test]
fn a_changed_fact_changes_its_section_alone() {
    let machine = Machine::new("hp-compaq-6300");
    let before = machine.collect();
    let status = std::fs::read_to_string(machine.path("/var/lib/dpkg/status")).unwrap();
    machine.write(
        "/var/lib/dpkg/status",
        status.replace("5.0-4", "5.0-4+deb10u1"),
    );
    let after = machine.collect();
    let changed: Vec<_> = before
        .sections
        .iter()
        .zip(&after.sections)
        .filter(|(a, b)| a.digest != b.digest)
        .map(|(a, _)| a.kind().as_str_name())
        .collect();
    // The dates name the list whose positions they count.
    assert_eq!(
        changed,
        ["SECTION_KIND_SOFTWARE", "SECTION_KIND_SOFTWARE_DATES"]
    );
}

#[test]
fn an_empty_tree_has_no_facts_of_the_machine_that_reads_it() {
    let inventory = Machine::empty().collect();
    for (kind, section) in support::sections(&inventory).as_object().unwrap() {
        let mut facts = section["facts"].clone();
        // Of an empty list, which is no fact of any machine.
        facts
            .as_object_mut()
            .and_then(|facts| facts.remove("software_digest"));
        assert!(no_leaf(&facts), "{kind}: {facts}");
        assert_ne!(section["unread"].as_array().unwrap().len(), 0, "{kind}");
        assert_eq!(section["sources"], serde_json::json!([]), "{kind}");
    }
    assert_eq!(inventory.volatile.boot_id, None);
    assert_eq!(inventory.volatile.uptime_s, None);
    assert_eq!(inventory.volatile.free_space, vec![]);
}

fn no_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(no_leaf),
        Value::Array(list) => list.iter().all(no_leaf),
        // An enumeration that was not observed.
        Value::String(text) => text == "unspecified",
        _ => false,
    }
}

#[test]
fn links_do_not_lead_out_of_the_tree() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "ID=outside\nNAME=outside\n").unwrap();
    let name = outside.path().file_name().unwrap().to_str().unwrap();
    let machine = Machine::empty();
    std::fs::create_dir_all(machine.path("/etc")).unwrap();
    let climb = format!("../../../../../../../..{}", secret.to_str().unwrap());
    let sibling = format!("../../{name}/secret");
    for target in [secret.to_str().unwrap(), &climb, &sibling] {
        let link = machine.path("/etc/os-release");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, &link).unwrap();
        assert_eq!(
            support::operating_system(&machine.collect()).name,
            None,
            "{target}"
        );
    }
    // The same link with the target inside is followed as the captured machine would.
    machine.write(secret.to_str().unwrap(), "ID=inside\nNAME=inside\n");
    let link = machine.path("/etc/os-release");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    let system = support::operating_system(&machine.collect());
    assert_eq!(system.name.as_deref(), Some("inside"));
}

#[test]
fn a_pipe_or_a_loop_of_links_in_place_of_a_file_holds_nobody() {
    let machine = Machine::new("hp-compaq-6300");
    let pipe = machine.path("/proc/cpuinfo");
    std::fs::remove_file(&pipe).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let link = machine.path("/proc/meminfo");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("meminfo", &link).unwrap();
    let inventory = machine.collect();
    assert_eq!(
        reason(&inventory, "cpu.cores"),
        Some(UnreadReason::Malformed)
    );
    assert_eq!(
        reason(&inventory, "memory.visible_bytes"),
        Some(UnreadReason::Malformed)
    );
    assert_eq!(support::memory(&inventory).installed_bytes, Some(4 << 30));
}

#[test]
fn without_the_right_to_read_the_reason_is_permission() {
    let inventory = Machine::new("lenovo-without-root").collect();
    for group in [
        "identity.smbios_uuid",
        "identity.system_serial",
        "identity.board_serial",
        "identity.chassis_serial",
        "software.flatpak",
    ] {
        assert_eq!(
            reason(&inventory, group),
            Some(UnreadReason::Permission),
            "{group}"
        );
    }
    // What the device manager learnt as root is there for everybody.
    assert_eq!(support::memory(&inventory).installed_bytes, Some(8 << 30));
    assert_eq!(support::memory(&inventory).slots, Some(2));
}

/// The kernel's own permission check, by an account without rights on a thread of its own.
#[test]
fn a_file_that_is_not_ours_to_read_is_said_to_be() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new("hp-compaq-6300");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(machine.root(), open).unwrap();
    let table = machine.path("/sys/firmware/dmi/tables/DMI");
    std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o000)).unwrap();
    let root = machine.root().to_owned();
    let inventory = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        inventory::collect(&Source::captured(&root).unwrap(), 1)
    })
    .join()
    .unwrap();
    assert_eq!(
        reason(&inventory, "identity.system_serial"),
        Some(UnreadReason::Permission)
    );
    assert_eq!(
        reason(&inventory, "memory.modules"),
        Some(UnreadReason::Permission)
    );
    let hardware = support::hardware(&inventory);
    assert_eq!(hardware.model.as_deref(), Some("HP Compaq Pro 6300 SFF"));
}

#[test]
fn the_system_disk_is_found_under_layers() {
    let system = |name: &str| -> Vec<(String, DiskKind)> {
        support::disks(&Machine::new(name).collect())
            .disks
            .iter()
            .filter(|disk| disk.system == Some(true))
            .map(|disk| (disk.name.clone(), disk.kind()))
            .collect()
    };
    let one = |name: &str, kind| vec![(name.to_owned(), kind)];
    assert_eq!(system("hp-compaq-6300"), one("sda", DiskKind::Hdd));
    assert_eq!(system("dell-latitude-5440"), one("nvme0n1", DiskKind::Nvme));
    assert_eq!(system("lenovo-without-root"), one("sda", DiskKind::Ssd));
    assert_eq!(system("qemu-placeholders"), one("sda", DiskKind::Virtual));
    assert_eq!(system("raspberry-cm4"), one("mmcblk0", DiskKind::Emmc));
    assert_eq!(
        system("fedora-raid"),
        [
            ("sda".to_owned(), DiskKind::Ssd),
            ("sdb".to_owned(), DiskKind::Ssd)
        ]
    );
}

#[test]
fn a_machine_in_a_few_lines() {
    let summary = inventory::summary(&Machine::new("hp-compaq-6300").collect());
    assert_eq!(summary.model.as_deref(), Some("HP Compaq Pro 6300 SFF"));
    assert_eq!(summary.serial.as_deref(), Some("MXL3231ABC"));
    assert_eq!(summary.memory_bytes, Some(4 << 30));
    assert_eq!(summary.programs, 5);
    assert_eq!(summary.system_disks.len(), 1);
    assert_eq!(summary.system_disks[0].size_bytes, Some(500_107_862_016));
}

#[test]
fn an_archive_writes_nothing_outside_its_folder() {
    for (bad, line) in [
        ("file /../x\n| y\n", 1),
        ("file etc/x\n", 1),
        ("file /a\n|b\n", 2),
        ("bytes /a\n| 0g\n", 1),
        ("device /a\n", 1),
        ("link /a\n", 1),
        ("file\n", 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let error = archive::unpack(bad, folder.path()).unwrap_err();
        assert!(
            error.to_string().contains(&format!("line {line}:")),
            "{bad:?}: {error}"
        );
    }
    // A link is made after every file, so a file is never written through one.
    let outside = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = format!("link /a {}\nfile /a/b\n| c\n", outside.path().display());
    assert!(archive::unpack(&text, folder.path()).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}
