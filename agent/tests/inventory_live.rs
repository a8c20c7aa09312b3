//! The running machine, whatever it is: what must hold on any.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chasqui_agent::inventory::{self, Source};

#[test]
fn an_unchanged_machine_has_unchanged_digests() {
    let first = inventory::collect(&Source::live(), 1);
    let later = inventory::collect(&Source::live(), 3_600_001);
    assert_eq!(first.sections.len(), 8);
    for (a, b) in first.sections.iter().zip(&later.sections) {
        assert_eq!(a.digest, b.digest, "{:?} changed", a.kind());
        assert_eq!(a.facts, b.facts);
        assert_eq!(b.observed_at_ms, 3_600_001);
    }
}

#[test]
#[ignore = "prints this machine's inventory, for people"]
fn show() {
    let start = chasqui_base::clock::monotonic();
    let inventory = inventory::collect(&Source::live(), chasqui_base::clock::now_ms());
    eprintln!("{:?}", start.elapsed());
    let mut json = inventory::render_json(&inventory);
    let items = json["sections"][7]["facts"]["items"]
        .as_array_mut()
        .unwrap();
    eprintln!("{} programs", items.len());
    items.truncate(2);
    println!("{json:#}");
}
