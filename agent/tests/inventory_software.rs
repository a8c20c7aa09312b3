//! Software from databases that the real tools made, and from ones that are cut, lie or have no end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use std::io::Write;

use chasqui_agent::inventory::{self, Inventory};
use chasqui_proto::facts::dates;
use chasqui_proto::v1::{self, SectionKind, UnreadReason};
use inventory_support::{self as support, Machine, TOOLS, reason};

const PACKAGES: &str = "/var/lib/rpm/Packages";
const NDB: &str = "/usr/lib/sysimage/rpm/Packages.db";

fn items(inventory: &Inventory) -> Vec<v1::Software> {
    support::software(inventory).items
}

/// Name, version and day of each program.
fn dated(inventory: &Inventory) -> Vec<(String, String, Option<String>)> {
    let facts: Vec<_> = inventory
        .sections
        .iter()
        .map(|section| inventory.facts(section.kind()).unwrap())
        .collect();
    let days = dates::of_sections(inventory.sections.iter().zip(&facts));
    items(inventory)
        .into_iter()
        .zip(days)
        .map(|(item, day)| (item.name, item.version, day.and_then(dates::day_text)))
        .collect()
}

fn seen(inventory: &Inventory) -> serde_json::Value {
    let sections = support::sections(inventory);
    serde_json::json!({"software": sections["software"], "software_dates": sections["software_dates"]})
}

#[test]
fn every_real_database_as_it_is_seen() {
    for name in TOOLS {
        insta::assert_json_snapshot!(*name, seen(&Machine::new(name).collect()));
    }
}

/// One set of headers in four databases, which four programs wrote.
#[test]
fn the_forms_of_the_rpm_database_tell_the_same() {
    let sqlite = dated(&Machine::new("fedora-sqlite").collect());
    assert_eq!(sqlite.len(), 4);
    assert_eq!(dated(&Machine::new("centos7-bdb").collect()), sqlite);
    assert_eq!(
        dated(&Machine::new("centos-bdb-bigendian").collect()),
        sqlite
    );
    // There the first package was removed again.
    let ndb = dated(&Machine::new("opensuse-ndb").collect());
    assert_eq!(ndb.len(), 3);
    assert!(ndb.iter().all(|item| sqlite.contains(item)));
}

#[test]
fn machines_with_the_same_programs_share_one_list() {
    let machine = Machine::new("debian-debootstrap");
    let before = machine.collect();
    let log = std::fs::read_to_string(machine.path("/var/log/dpkg.log")).unwrap();
    let log = log + "2021-03-04 05:06:07 install bash:amd64 <none> 5.2.15-2+b13\n";
    machine.write("/var/log/dpkg.log", log);
    let after = machine.collect();
    let digest = |inventory: &Inventory, kind| inventory.section(kind).unwrap().digest.clone();
    let both = |kind| (digest(&before, kind), digest(&after, kind));
    let (one, other) = both(SectionKind::Software);
    assert_eq!(one, other);
    let (one, other) = both(SectionKind::SoftwareDates);
    assert_ne!(one, other);
    let bash = dated(&after)
        .into_iter()
        .find(|item| item.0 == "bash")
        .unwrap();
    assert_eq!(bash.2.as_deref(), Some("2021-03-04"));
    assert!(
        items(&after)
            .iter()
            .all(|item| item.installed_at_ms.is_none())
    );
    // What people and scripts are shown has both.
    let shown = inventory::render_json(&after);
    let software = shown["sections"].as_array().unwrap().iter();
    let software = software
        .clone()
        .find(|section| section["kind"] == "software")
        .unwrap();
    let list = software["facts"]["items"].as_array().unwrap();
    let bash = list.iter().find(|item| item["name"] == "bash").unwrap();
    assert_eq!(bash["installed_on"], "2021-03-04");
}

#[test]
fn a_package_is_dated_by_the_newest_log_that_knows_its_version() {
    let machine = Machine::empty();
    let package = |name: &str, version: &str| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        )
    };
    let status: String = [("a", "2"), ("b", "1"), ("c", "1"), ("d", "1")]
        .map(|(name, version)| package(name, version))
        .concat();
    machine.write("/var/lib/dpkg/status", status);
    // Of `a` another version came and went; `c` was configured again by a trigger, which dates nothing.
    machine.write(
        "/var/log/dpkg.log",
        "2024-05-02 10:00:00 upgrade a:amd64 2 3\n2024-05-03 10:00:00 status installed c:amd64 1\n",
    );
    machine.write(
        "/var/log/dpkg.log.1",
        "2024-04-02 10:00:00 upgrade a:amd64 1 2\n",
    );
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(b"2024-03-02 10:00:00 install a:amd64 <none> 2\n2024-03-02 10:00:00 install b:amd64 <none> 1\n").unwrap();
    machine.write("/var/log/dpkg.log.2.gz", packed.finish().unwrap());
    machine.write("/var/log/dpkg.log.3.gz", b"\x1f\x8b cut");
    machine.write(
        "/capture.json",
        r#"{"times": {"/var/lib/dpkg/info/c:amd64.list": {"modified_ms": 1704067200000}}}"#,
    );
    let inventory = machine.collect();
    let days: Vec<_> = dated(&inventory).into_iter().map(|item| item.2).collect();
    let day = |text: &str| Some(text.to_owned());
    assert_eq!(
        days,
        [
            day("2024-04-02"),
            day("2024-03-02"),
            day("2024-01-01"),
            None
        ]
    );
    // The log that could not be read and the package without a day are both told.
    assert!(reason(&inventory, "software_dates.dpkg").is_some());
    let section = inventory.facts(SectionKind::SoftwareDates).unwrap();
    let told: Vec<_> = section
        .unread
        .iter()
        .map(|unread| unread.detail.as_str())
        .collect();
    assert!(
        told.iter().any(|detail| detail.contains("dpkg.log.3.gz")),
        "{told:?}"
    );
    assert!(told.contains(&"1 of 4 programs"), "{told:?}");
}

/// Each database cut at many places: what is whole is kept, and a cut is told.
#[test]
fn a_cut_rpm_database_keeps_what_is_whole_and_says_so() {
    for (name, path) in [
        ("opensuse-ndb", NDB),
        ("centos7-bdb", PACKAGES),
        ("centos-bdb-bigendian", PACKAGES),
    ] {
        let machine = Machine::new(name);
        let all = items(&machine.collect());
        let bytes = std::fs::read(machine.path(path)).unwrap();
        let mut kept_some = false;
        for cut in (0..bytes.len()).step_by(509) {
            machine.write(path, &bytes[..cut]);
            let inventory = machine.collect();
            let items = items(&inventory);
            assert!(items.iter().all(|item| all.contains(item)), "{name}, {cut}");
            // Berkeley's last pages, and ndb's last block, may be of nothing.
            let complete = items.len() == all.len();
            assert!(
                complete || reason(&inventory, "software.rpm") == Some(UnreadReason::Malformed),
                "{name}, {cut}"
            );
            kept_some |= !items.is_empty() && !complete;
        }
        assert!(kept_some, "{name}");
    }
}

/// Where a package's own pages begin: the first value of the first hash page that lies on pages of its own.
fn off_page(bytes: &[u8]) -> usize {
    let size = 4_096;
    for page in 1..bytes.len() / size {
        let at = page * size;
        let page = &bytes[at..at + size];
        if !matches!(page[25], 2 | 13) {
            continue;
        }
        let short = |at: usize| usize::from(u16::from_le_bytes([page[at], page[at + 1]]));
        for index in (1..short(20)).step_by(2) {
            let item = short(26 + 2 * index);
            if page[item] == 3 {
                return at + item;
            }
        }
    }
    panic!("no value off its page");
}

#[test]
fn a_loop_in_a_chain_of_pages_ends() {
    let machine = Machine::new("centos7-bdb");
    let whole = items(&machine.collect()).len();
    let mut bytes = std::fs::read(machine.path(PACKAGES)).unwrap();
    let item = off_page(&bytes);
    let long = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let first = usize::try_from(long(&bytes, item + 4)).unwrap() * 4_096;
    // The first page of the chain follows itself, and the value claims more than the pages there are.
    let own: [u8; 4] = bytes[first + 8..first + 12].try_into().unwrap();
    bytes[first + 16..first + 20].copy_from_slice(&own);
    for claim in [u32::MAX, 60 << 20, u32::try_from(bytes.len()).unwrap() - 1] {
        bytes[item + 8..item + 12].copy_from_slice(&claim.to_le_bytes());
        machine.write(PACKAGES, &bytes);
        let inventory = machine.collect();
        assert_eq!(
            reason(&inventory, "software.rpm"),
            Some(UnreadReason::Malformed)
        );
        assert!(items(&inventory).len() < whole);
    }
    // An empty page that follows itself makes no headway at all.
    bytes[first + 22..first + 24].fill(0);
    machine.write(PACKAGES, &bytes);
    let inventory = machine.collect();
    assert_eq!(
        reason(&inventory, "software.rpm"),
        Some(UnreadReason::Malformed)
    );
}

#[test]
fn an_ndb_database_that_claims_the_impossible_is_told() {
    let machine = Machine::new("opensuse-ndb");
    let whole = std::fs::read(machine.path(NDB)).unwrap();
    let told = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        machine.write(NDB, &bytes);
        reason(&machine.collect(), "software.rpm")
    };
    assert_eq!(told(&|_| {}), None);
    // Number of pages of slots; version; a slot's number of blocks; a slot's mark.
    let slots: Vec<usize> = (32..4_096)
        .step_by(16)
        .filter(|at| whole[at + 8..at + 12] != [0; 4])
        .collect();
    assert_eq!(
        told(&|bytes| bytes[12..16].fill(0xff)),
        Some(UnreadReason::Malformed)
    );
    assert_eq!(told(&|bytes| bytes[4] = 9), Some(UnreadReason::Malformed));
    assert_eq!(
        told(&|bytes| bytes[slots[0] + 12..slots[0] + 16].fill(0xff)),
        Some(UnreadReason::Malformed)
    );
    assert_eq!(
        told(&|bytes| bytes[slots[0]] = 0),
        Some(UnreadReason::Malformed)
    );
    // Every slot on one package.
    let one: [u8; 16] = whole[slots[0]..slots[0] + 16].try_into().unwrap();
    let same = told(&|bytes| {
        (32..4_096)
            .step_by(16)
            .for_each(|at| bytes[at..at + 16].copy_from_slice(&one))
    });
    assert_eq!(same, Some(UnreadReason::Malformed));
}

/// A real 100 MB: the memory stays that of the list's bound, and what is kept is kept in order.
#[test]
fn a_list_of_100_megabytes_is_cut_and_said_to_be() {
    let machine = Machine::empty();
    let path = machine.path("/var/lib/dpkg/status");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    let filler = " ".to_owned() + &"x".repeat(400) + "\n";
    let mut bytes = 0;
    for number in 0.. {
        let text = format!(
            "Package: p{number:07}\nStatus: install ok installed\nVersion: 1\nDescription: x\n{filler}\n"
        );
        bytes += text.len();
        file.write_all(text.as_bytes()).unwrap();
        if bytes > 100 << 20 {
            break;
        }
    }
    file.into_inner().unwrap().sync_all().unwrap();
    let inventory = machine.collect();
    let items = items(&inventory);
    assert_eq!(items.len(), 20_000);
    assert_eq!(items[19_999].name, "p0019999");
    assert_eq!(
        reason(&inventory, "software.items"),
        Some(UnreadReason::TooLarge)
    );
    assert_eq!(
        reason(&inventory, "software.dpkg"),
        Some(UnreadReason::TooLarge)
    );
}

/// Names of the greatest length in the most bytes: the section stays within its bound, with a part of the list.
#[test]
fn a_list_of_endless_names_is_cut_and_not_lost() {
    let machine = Machine::empty();
    let long = "😀".repeat(300);
    let status: String = (0..8_000)
        .map(|n| format!("Package: {n:05}{long}\nStatus: install ok installed\nVersion: {long}\nMaintainer: {long}\n\n"))
        .collect();
    machine.write("/var/lib/dpkg/status", status);
    let inventory = machine.collect();
    let items = items(&inventory);
    assert!(
        items.len() > 1_000 && items.len() < 8_000,
        "{}",
        items.len()
    );
    assert!(items.iter().all(|item| item.name.chars().count() == 256));
    assert_eq!(
        reason(&inventory, "software.items"),
        Some(UnreadReason::TooLarge)
    );
    assert!(
        inventory
            .section(SectionKind::Software)
            .unwrap()
            .facts
            .len()
            <= inventory::MAX_FACTS_BYTES
    );
}

#[test]
fn a_program_listed_twice_is_one() {
    let machine = Machine::empty();
    let one = b"Package: caf\xe9\nStatus: install ok installed\nVersion: 1\n\n";
    machine.write("/var/lib/dpkg/status", [&one[..], &one[..]].concat());
    let items = items(&machine.collect());
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].name, "caf\u{fffd}");
}

#[test]
fn snaps_and_programs_of_users_are_listed_without_their_owners() {
    let machine = Machine::new("flatpak-real");
    let home = "/home/ana/.local/share/flatpak";
    std::fs::create_dir_all(machine.path(home)).unwrap();
    std::fs::rename(
        machine.path("/var/lib/flatpak/app"),
        machine.path(&format!("{home}/app")),
    )
    .unwrap();
    machine.write("/var/lib/snapd/snaps/firefox_5500.snap", "");
    machine.write(
        "/var/lib/snapd/snap/firefox/5500/meta/snap.yaml",
        "name: firefox\nversion: '126.0-2'\narchitectures: [amd64]\n",
    );
    std::os::unix::fs::symlink("5500", machine.path("/var/lib/snapd/snap/firefox/current"))
        .unwrap();
    machine.write(
        "/capture.json",
        r#"{"times": {"/var/lib/snapd/snaps/firefox_5500.snap": {"modified_ms": 1714564800000}}}"#,
    );
    let inventory = machine.collect();
    let seen = dated(&inventory);
    let names: Vec<_> = seen
        .iter()
        .map(|item| (item.0.as_str(), item.1.as_str()))
        .collect();
    assert_eq!(
        names,
        [("org.ejemplo.Editor", "4.2.1"), ("firefox", "126.0-2")]
    );
    assert_eq!(seen[1].2.as_deref(), Some("2024-05-01"));
    let shown = inventory::render_json(&inventory).to_string();
    assert!(!shown.contains("/home/ana"), "{shown}");
}
