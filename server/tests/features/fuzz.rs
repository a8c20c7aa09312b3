//! A bounded run of every reader in the fuzzers' table over changed copies of what it reads: nothing panics, nothing hangs.
//! The same changes in every run; cargo-fuzz goes further (`tests/fuzz/run`).

use std::panic::{AssertUnwindSafe, catch_unwind};

use chasqui_server::fuzz::TARGETS;

use crate::change::{Dice, change};

const ROUNDS: usize = 300;

#[test]
fn changed_messages_break_no_reader() {
    for (number, target) in TARGETS.iter().enumerate() {
        let mut dice = Dice::of(number);
        for round in 0..ROUNDS {
            let mut bytes = target.samples[round % target.samples.len()].to_vec();
            // First the true ones.
            if round >= target.samples.len() {
                change(&mut bytes, &mut dice);
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
            assert!(
                outcome.is_ok(),
                "{}, round {round}: {}",
                target.name,
                bytes.escape_ascii()
            );
        }
    }
    let names: std::collections::BTreeSet<&str> = TARGETS.iter().map(|one| one.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "two readers of one name");
}

/// Seeds for cargo-fuzz: a folder per target.
#[test]
#[ignore = "writes the corpus of tests/fuzz/run into CHASQUI_FUZZ_CORPUS"]
fn corpus() {
    let folder = std::path::PathBuf::from(std::env::var_os("CHASQUI_FUZZ_CORPUS").unwrap());
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, bytes) in target.samples.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), bytes).unwrap();
        }
    }
}
