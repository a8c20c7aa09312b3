//! A bounded run of every parser in the fuzzers' table over changed copies of true files: nothing panics, nothing hangs. The
//! same changes in every run, so that a failure can be repeated; cargo-fuzz goes further (`tests/fuzz/run`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chasqui_agent::inventory;
use chasqui_agent::inventory::fuzz::TARGETS;
use inventory_support::{MACHINES, Machine, TOOLS, rpm};

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
    files
}

/// xorshift: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides.max(1)
    }
}

/// A few changes of the kinds that break parsers: bits, extreme numbers, cuts, copies of other places.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.roll(6) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.roll(bytes.len());
        let end = (at + 1 + dice.roll(8)).min(bytes.len());
        match dice.roll(6) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at..end].fill([0, 0xff, 0x7f, 0x80][dice.roll(4)]),
            2 => bytes.truncate(at),
            3 => {
                let from = dice.roll(bytes.len() - (end - at) + 1);
                bytes.copy_within(from..from + (end - at), at);
            }
            4 => drop(bytes.drain(at..end)),
            _ => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
        }
    }
}

#[test]
fn changed_files_break_no_parser() {
    let files = files();
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    for (number, target) in TARGETS.iter().enumerate() {
        let seeds: Vec<&Vec<u8>> = files
            .iter()
            .filter(|(path, _)| target.seeds.iter().any(|end| path.ends_with(end)))
            .map(|(_, bytes)| bytes)
            .collect();
        assert!(
            !seeds.is_empty(),
            "no capture has a file for {}",
            target.name
        );
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        for round in 0..ROUNDS {
            let mut bytes = seeds[round % seeds.len()].clone();
            bytes.truncate(MAX_SEED_BYTES);
            // First the true ones.
            if round >= seeds.len() {
                change(&mut bytes, &mut dice);
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
            assert!(
                outcome.is_ok(),
                "{}, round {round}: {}",
                target.name,
                hex::encode(&bytes)
            );
        }
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len(), "two parsers of one name");
}

/// Seeds for cargo-fuzz: a folder per target.
#[test]
#[ignore = "writes the corpus of tests/fuzz/run into CHASQUI_FUZZ_CORPUS"]
fn corpus() {
    let folder = std::path::PathBuf::from(std::env::var_os("CHASQUI_FUZZ_CORPUS").unwrap());
    let files = files();
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        let seeds = files
            .iter()
            .filter(|(path, _)| target.seeds.iter().any(|end| path.ends_with(end)));
        for (number, (_, bytes)) in seeds.enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), bytes).unwrap();
        }
    }
}
