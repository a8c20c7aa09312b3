//! Lists of programs under writers beside each other: inventories are written in snapshots, so that what one refers to and
//! another forgets is held by keys alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};

use chasqui_base::item_list;
use chasqui_store::software::{self, List, Program};
use chasqui_store::{Store, StoreError, Tx, inventory};
use common::Db;
use sha2::{Digest, Sha256};

both_engines!(
    a_list_that_is_swept_meanwhile_is_no_base,
    a_list_that_is_swept_meanwhile_is_stored_again,
);

/// A section with the programs of these numbers.
fn section(numbers: std::ops::Range<u32>) -> (String, Vec<u8>, List) {
    let shell = vec![0x42, 0];
    let programs: Vec<Program> = numbers
        .map(|number| {
            let name = format!("program-{number:04}");
            Program {
                source: "dpkg".to_owned(),
                architecture: "amd64".to_owned(),
                version: "1.0".to_owned(),
                facts: name.clone().into_bytes(),
                name,
                publisher: String::new(),
            }
        })
        .collect();
    let items: Vec<&[u8]> = programs.iter().map(|one| one.facts.as_slice()).collect();
    let bytes = item_list::join(&shell, &items).unwrap();
    let digest = hex::encode(Sha256::digest(&bytes));
    (digest, bytes, List::new(shell, programs))
}

fn put(tx: &mut Tx, (digest, _, list): &(String, Vec<u8>, List)) -> Result<(), StoreError> {
    assert!(software::insert(tx, digest, list, None)?);
    inventory::insert_content(tx, "software", digest, &[], 1)
}

fn sweep(store: &Store) -> u64 {
    let swept = store.write_blocking(|tx| inventory::forget_unused(tx, 2, "", 100));
    swept.unwrap().0
}

/// Stores `report` in a snapshot, while the sweep runs between its list and what refers to that.
fn stored_while_swept(store: &Store, report: &(String, Vec<u8>, List)) {
    let (stored, is_stored) = mpsc::channel();
    let (swept, is_swept) = mpsc::channel::<()>();
    let (tries, is_swept) = (AtomicU32::new(0), Mutex::new(is_swept));
    std::thread::scope(|scope| {
        let (writer, section) = (store.clone(), report.clone());
        let writing = scope.spawn(move || {
            writer.write_snapshot_blocking(move |tx| {
                assert!(software::insert(tx, &section.0, &section.2, None)?);
                if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                    stored.send(()).unwrap();
                    is_swept.lock().unwrap().recv().unwrap();
                }
                inventory::insert_content(tx, "software", &section.0, &[], 1)?;
                Ok::<_, StoreError>(())
            })
        });
        is_stored.recv().unwrap();
        let sweeping = scope.spawn(|| sweep(store));
        // Where the sweep waits for the other, it is not waited for.
        std::thread::sleep(std::time::Duration::from_millis(300));
        swept.send(()).unwrap();
        writing.join().unwrap().unwrap();
        sweeping.join().unwrap();
    });
}

fn is_there(store: &Store, (digest, bytes, _): &(String, Vec<u8>, List)) -> bool {
    let digest = digest.clone();
    let found = store
        .read_blocking(move |tx| inventory::content(tx, "software", &digest))
        .unwrap();
    found.is_some_and(|found| found == *bytes)
}

fn a_list_that_is_swept_meanwhile_is_no_base(db: &Db) {
    if !db.is_postgres() {
        return; // One writer: the sweep comes before or after.
    }
    let store = db.open();
    let (base, near) = (section(0..100), section(0..101));
    let first = base.clone();
    store.write_blocking(move |tx| put(tx, &first)).unwrap();
    assert!(is_there(&store, &base));
    stored_while_swept(&store, &near);
    assert!(is_there(&store, &near));
}

fn a_list_that_is_swept_meanwhile_is_stored_again(db: &Db) {
    if !db.is_postgres() {
        return; // As above.
    }
    let store = db.open();
    let list = section(0..100);
    let first = list.clone();
    store.write_blocking(move |tx| put(tx, &first)).unwrap();
    stored_while_swept(&store, &list);
    let again = list.clone();
    let here = is_there(&store, &list);
    // Whoever came last: it is there whole, or gone so that it can be reported again.
    if !here {
        let known = store.read_blocking({
            let digest = list.0.clone();
            move |tx| inventory::is_known(tx, "software", &digest)
        });
        assert!(!known.unwrap());
        store.write_blocking(move |tx| put(tx, &again)).unwrap();
        assert!(is_there(&store, &list));
    }
}
