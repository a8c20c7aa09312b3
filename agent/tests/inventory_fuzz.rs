//! A bounded run of every parser in the fuzzers' table over changed copies of true files: nothing panics, nothing hangs. The
//! same changes in every run, so that a failure can be repeated; cargo-fuzz goes further (`tests/fuzz/run`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "../../tests/fuzz/change.rs"]
mod change;
mod inventory_support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use change::{Dice, change};
use chasqui_agent::inventory;
use chasqui_agent::inventory::fuzz::{Target, targets};
use inventory_support::disk_pages::{self as pages, Nvme};
use inventory_support::{MACHINES, Machine, TOOLS, edid, rpm};

const ROUNDS: usize = 200;
/// Changed copies of large files cost time and show nothing that small ones do not.
const MAX_SEED_BYTES: usize = 64 << 10;

/// True files by path, from the captures, and what is built here.
fn files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in MACHINES.iter().chain(TOOLS) {
        let machine = Machine::new(name);
        for path in machine.files() {
            let inside = path.strip_prefix(machine.root()).unwrap();
            let key = format!("{name}/{}", inside.display());
            files.insert(key, std::fs::read(&path).unwrap());
        }
    }
    let report = inventory::encode(&Machine::new("hp-compaq-6300").collect());
    files.insert("report".to_owned(), report);
    for (number, header) in rpm::fedora().into_iter().enumerate() {
        files.insert(format!("{number}-rpm-header"), header);
    }
    for (number, (.., bytes)) in edid::all().into_iter().enumerate() {
        files.insert(format!("built-{number}/edid"), bytes);
    }
    for (name, bytes) in built() {
        files.insert(format!("built/{name}"), bytes);
    }
    files
}

/// What no capture has.
fn built() -> Vec<(&'static str, Vec<u8>)> {
    const UUID: &str = "4d0a5f3c-5d57-44f2-a6a7-3a1f7b8c9d0e";
    let rows = [
        (5, 0x0033, 100, 100, 0, 10),
        (9, 0x0032, 97, 97, 0x7b3d_0000_30f2, 0),
        (194, 0x0022, 66, 50, 34, 0),
    ];
    let nvme = Nvme {
        warning: 0,
        kelvin: 309,
        spare: 92,
        used: 104,
        units_written: 7_773_431,
        hours: 2_401,
        media_errors: 7,
    };
    let signature = |length: usize, at: usize, magic: &[u8]| {
        let mut head = vec![0; length];
        pages::put(&mut head, at, magic);
        head
    };
    let mut table = signature(512, 510, &[0x55, 0xaa]);
    pages::put(&mut table, 446, &[0x80, 0, 0, 0, 0x83]);
    pages::put(&mut table, 454, &2_048_u32.to_le_bytes());
    pages::put(&mut table, 440, &[1, 2, 3, 4]);
    let mut lvm2 = signature(2_048, 512, b"LABELONE");
    pages::put(&mut lvm2, 512 + 24, b"LVM2 001");
    pages::put(&mut lvm2, 512 + 32, &[b'a'; 32]);
    let mut vfat = signature(512, 510, &[0x55, 0xaa]);
    pages::put(&mut vfat, 82, b"FAT32   ");
    let list = b"Package: bash\nArchitecture: amd64\nVersion: 5.1-1\n\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(list).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(list).unwrap();
    vec![
        ("smart_data", pages::smart_data(&rows)),
        ("smart_thresholds", pages::smart_thresholds(&rows)),
        ("error_log", pages::error_log(3)),
        ("self_test_log", pages::self_test_log(&[0, 7, 1, 15, 5])),
        (
            "identify",
            pages::identify("ST500DM002", "Z3TA", "HP74", 7_200),
        ),
        ("nvme_health", pages::nvme_health(&nvme)),
        ("smartctl.json", SMARTCTL.into()),
        ("luks1", pages::luks1(UUID)),
        ("luks2", pages::luks2(UUID, "casa")),
        ("ext4", pages::ext4([7; 16], "raiz")),
        (
            "gpt",
            pages::gpt("0fc63daf-8483-4772-8e79-3d69d8477de4", UUID, "raíz"),
        ),
        ("mbr", table),
        ("xfs", signature(512, 0, b"XFSB")),
        ("btrfs", signature(66_560, 65_536 + 64, b"_BHRfS_M")),
        ("swap", signature(4_096, 4_086, b"SWAPSPACE2")),
        ("vfat", vfat),
        ("lvm2", lvm2),
        ("md", signature(4_352, 4_096, &[0xfc, 0x4e, 0x2b, 0xa9])),
        (
            "resource",
            b"0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n".to_vec(),
        ),
        ("Packages.gz", gz.finish().unwrap()),
        ("Packages.lz4", lz4.finish().unwrap()),
        ("certificate.der", certificate()),
        ("utmp", record(7, "ana", "tty2", 1_700_000_000)),
        ("flatpak/deploy", Vec::new()),
    ]
}

const SMARTCTL: &[u8] = br#"{"smartctl":{"exit_status":4,"messages":[{"string":"x"}]},"serial_number":"S1",
"smart_support":{"available":true,"enabled":true},"smart_status":{"passed":true},
"rotation_rate":7200,"ata_smart_attributes":{"table":[{"id":5,"value":100,
"worst":100,"thresh":10,"flags":{"value":51},"raw":{"value":0}}]},"ata_smart_error_log":{"summary":{"count":3}},
"ata_smart_self_test_log":{"standard":{"table":[{"status":{"value":112}}]}},
"power_on_time":{"hours":9},"temperature":{"current":34},"power_cycle_count":8}"#;

fn certificate() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["pc-03.min.example".to_owned(), "10.0.0.5".to_owned()];
    let made = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(&key)
        .unwrap();
    made.der().to_vec()
}

/// A record of utmp(5), in its form of 384 bytes.
fn record(kind: u16, user: &str, line: &str, at_s: u32) -> Vec<u8> {
    let mut record = vec![0; 384];
    pages::put(&mut record, 0, &kind.to_le_bytes());
    pages::put(&mut record, 8, line.as_bytes());
    pages::put(&mut record, 44, user.as_bytes());
    pages::put(&mut record, 340, &at_s.to_le_bytes());
    record
}

fn seeds<'a>(target: &'a Target, files: &'a BTreeMap<String, Vec<u8>>) -> Vec<&'a [u8]> {
    let sample = Some(target.sample).filter(|sample| !sample.is_empty());
    let found = files
        .iter()
        .filter(|(path, _)| target.seeds.iter().any(|end| path.ends_with(end)))
        .map(|(_, bytes)| bytes.as_slice());
    let seeds: Vec<&[u8]> = sample.into_iter().chain(found).collect();
    assert!(
        !seeds.is_empty(),
        "nothing to begin with for {}",
        target.name
    );
    seeds
}

#[test]
fn changed_files_break_no_parser() {
    let files = files();
    let targets = targets();
    for (number, target) in targets.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let bench = target.bench(folder.path()).unwrap();
        let seeds = seeds(target, &files);
        let mut dice = Dice::of(number);
        for round in 0..ROUNDS.max(seeds.len()) {
            let mut bytes = seeds[round % seeds.len()].to_vec();
            bytes.truncate(MAX_SEED_BYTES);
            // First the true ones.
            if round >= seeds.len() {
                change(&mut bytes, &mut dice);
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| bench.run(&bytes)));
            assert!(
                outcome.is_ok_and(|ran| ran.is_ok()),
                "{}, round {round}: {}",
                target.name,
                hex::encode(&bytes)
            );
        }
    }
    let mut names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    names.dedup();
    assert_eq!(names.len(), targets.len(), "two parsers of one name");
}

/// A target whose file its collector never opens would find nothing for ever.
#[test]
fn every_target_looks_at_its_bytes() {
    let files = files();
    let mut blind = Vec::new();
    for target in targets() {
        let folder = tempfile::tempdir().unwrap();
        let bench = target.bench(folder.path()).unwrap();
        let Some(empty) = bench.run(b"").unwrap() else {
            continue;
        };
        let seeds = seeds(&target, &files);
        let seen = |bytes: &[u8]| bench.run(bytes).unwrap().as_ref() != Some(&empty);
        // A capture may say the same as an empty file; what stands in the table may not.
        let sample = target.sample.is_empty() || seen(target.sample);
        if !sample || !seeds.iter().any(|seed| seen(seed)) {
            blind.push(target.name);
        }
    }
    assert_eq!(blind, [""; 0]);
}

/// Seeds for cargo-fuzz: a folder per target.
#[test]
#[ignore = "writes the corpus of tests/fuzz/run into CHASQUI_FUZZ_CORPUS"]
fn corpus() {
    let folder = std::path::PathBuf::from(std::env::var_os("CHASQUI_FUZZ_CORPUS").unwrap());
    let files = files();
    for target in targets() {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, bytes) in seeds(&target, &files).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), bytes).unwrap();
        }
    }
}
