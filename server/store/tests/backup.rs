//! A backup holds everything answered before it began, restores into either engine, and passes the log check.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use chasqui_store::log::{self, Signature};
use chasqui_store::request::{self, Request};
use chasqui_store::{Options, Store, StoreError, backup, meta, sql};
use common::{Db, add_ticket, count_tickets};

both_engines!(
    a_backup_under_load_holds_every_request_answered_before_it,
    every_table_and_value_comes_back_on_either_engine,
    a_damaged_backup_is_refused_and_nothing_is_restored,
    a_store_that_is_not_empty_is_not_restored_into,
    a_backup_is_never_written_over_another,
    a_newer_backup_is_refused,
);

fn requests(store: &Store) -> BTreeSet<String> {
    store
        .read_blocking(|tx| {
            tx.query(sql!("SELECT request_id FROM requests"), &[], |row| {
                row.get(0)
            })
        })
        .map_err(|error: StoreError| error)
        .unwrap()
        .into_iter()
        .collect()
}

fn a_backup_under_load_holds_every_request_answered_before_it(db: &Db) {
    let store = db.open();
    let answered = Mutex::new(BTreeSet::new());
    let stop = AtomicBool::new(false);
    let sealings = AtomicU32::new(0);
    let file = db.folder.path().join("a.backup");
    let (before, summary) = std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, answered, stop) = (&store, &answered, &stop);
            scope.spawn(move || {
                let mut n = 0;
                while !stop.load(Ordering::SeqCst) {
                    n += 1;
                    let number = thread * 1_000_000 + n;
                    let name = format!("r-{number}");
                    let request = Request {
                        actor: "person-1".to_owned(),
                        request_id: name.clone(),
                        method: "TicketService/CreateTicket".to_owned(),
                        body_digest: "b".to_owned(),
                        at_ms: 1,
                    };
                    let done = store.write_blocking(move |tx| {
                        request::idempotent(tx, &request, |tx| {
                            add_ticket(tx, &format!("t-{number}"), number, "texto")?;
                            Ok::<_, StoreError>(Vec::new())
                        })
                    });
                    match done {
                        Ok(_) => {
                            answered.lock().unwrap().insert(name);
                        }
                        Err(error) if error.is_transient() => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let (store, stop, sealings) = (&store, &stop, &sealings);
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let sealed = store.write_snapshot_blocking(|tx| {
                    log::seal(tx, 2, 50, |_| {
                        Ok(Signature {
                            bytes: vec![1],
                            key_id: "k".to_owned(),
                        })
                    })
                });
                match sealed {
                    Ok(checkpoint) => {
                        sealings.fetch_add(u32::from(checkpoint.is_some()), Ordering::SeqCst);
                    }
                    Err(error) if error.is_transient() => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        // The load runs, and goes on while the backup is taken.
        while answered.lock().unwrap().len() < 100 || sealings.load(Ordering::SeqCst) < 3 {
            std::thread::yield_now();
        }
        let before = answered.lock().unwrap().clone();
        let summary = backup::write(store, &file);
        let written_meanwhile = answered.lock().unwrap().len();
        stop.store(true, Ordering::SeqCst);
        assert!(written_meanwhile >= before.len());
        (before, summary.unwrap())
    });
    assert!(summary.rows > 200, "{summary:?}");

    for target in [Some(Db::sqlite()), Db::postgres()].into_iter().flatten() {
        let restored = backup::restore(&file, &target.url).unwrap();
        assert_eq!(restored.report.findings, Vec::<String>::new());
        assert!(
            restored.report.sealed > 0 && restored.report.states > 0,
            "{:?}",
            restored.report
        );
        assert_eq!(restored.epoch, 2);
        let store = target.open();
        let found = requests(&store);
        let lost: Vec<_> = before.difference(&found).collect();
        assert!(
            lost.is_empty(),
            "answered before the backup, but not in it: {lost:?}"
        );
        assert_eq!(store.read_blocking(meta::epoch), Ok(2));
        // Half a change never shows: a ticket for each request.
        assert_eq!(count_tickets(&store), i64::try_from(found.len()).unwrap());
    }
}

fn every_table_and_value_comes_back_on_either_engine(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| {
            meta::set(tx, "org", "Alcaldía \"X\" 🦙\n")?;
            add_ticket(tx, "t-1", i64::MAX, "ñandú")?;
            tx.execute(
                sql!("INSERT INTO section_contents (digest, kind, facts, first_seen_at_ms) VALUES ('d', '', $1, $2)"),
                &[vec![0_u8, 1, 255].into(), i64::MIN.into()],
            )?;
            tx.execute(
                sql!("INSERT INTO section_contents (digest, kind, facts, first_seen_at_ms) VALUES ('e', 'k', $1, 0)"),
                &[vec![9_u8; 1_000_000].into()],
            )
        })
        .unwrap();
    let first = db.folder.path().join("first.backup");
    let written = backup::write(&store, &first).unwrap();
    assert_eq!(backup::verify(&first).unwrap(), written);
    // There and back over both engines, the content stays the same to the byte but for the epoch.
    let mut file = first;
    for (round, target) in [Db::postgres(), Some(Db::sqlite()), Db::postgres()]
        .into_iter()
        .flatten()
        .enumerate()
    {
        let restored = backup::restore(&file, &target.url).unwrap();
        assert_eq!(restored.epoch, i64::try_from(round).unwrap() + 2);
        let store = Store::open(&target.url, &Options::existing()).unwrap();
        file = db.folder.path().join(format!("round-{round}.backup"));
        let again = backup::write(&store, &file).unwrap();
        // One row more: the epoch, written by the first restore.
        assert_eq!(
            (again.tables, again.rows),
            (written.tables, written.rows + 1)
        );
        let row = store
            .read_blocking(|tx| {
                assert_eq!(
                    meta::get(tx, "org")?.as_deref(),
                    Some("Alcaldía \"X\" 🦙\n")
                );
                tx.query_one(
                    sql!("SELECT facts, first_seen_at_ms FROM section_contents WHERE digest = 'd'"),
                    &[],
                    |row| Ok((row.get::<Vec<u8>>(0)?, row.get::<i64>(1)?)),
                )
            })
            .map_err(|error: StoreError| error)
            .unwrap();
        assert_eq!(row, (vec![0, 1, 255], i64::MIN));
    }
}

fn a_damaged_backup_is_refused_and_nothing_is_restored(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| add_ticket(tx, "t-1", 1, "x"))
        .unwrap();
    let file = db.folder.path().join("a.backup");
    backup::write(&store, &file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let target = db.another();
    let mut damages = vec![
        whole[..whole.len() - 1].to_vec(),
        whole[..20].to_vec(),
        Vec::new(),
    ];
    for at in [3, 18, 40, whole.len() / 2, whole.len() - 10] {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        damages.push(flipped);
    }
    let mut longer = whole.clone();
    longer.push(0);
    damages.push(longer);
    for (n, damaged) in damages.into_iter().enumerate() {
        std::fs::write(&file, &damaged).unwrap();
        let refused = backup::restore(&file, &target.url).err();
        assert!(
            matches!(refused, Some(StoreError::Backup(_))),
            "damage {n}: {refused:?}"
        );
    }
    // Still fresh: the good one goes in.
    std::fs::write(&file, &whole).unwrap();
    backup::restore(&file, &target.url).unwrap();
}

fn a_store_that_is_not_empty_is_not_restored_into(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| add_ticket(tx, "t-1", 1, "x"))
        .unwrap();
    let file = db.folder.path().join("a.backup");
    backup::write(&store, &file).unwrap();
    let refused = backup::restore(&file, &db.url).err().unwrap();
    assert!(
        matches!(&refused, StoreError::Backup(text) if text.contains("not empty")),
        "{refused}"
    );
    assert_eq!(store.read_blocking(meta::epoch), Ok(1));
    // A store with a schema and no rows is empty.
    let other = db.another();
    drop(other.open());
    backup::restore(&file, &other.url).unwrap();
}

fn a_backup_is_never_written_over_another(db: &Db) {
    let store = db.open();
    let file = db.folder.path().join("a.backup");
    std::fs::write(&file, b"mine").unwrap();
    let refused = backup::write(&store, &file).err().unwrap();
    assert!(refused.to_string().contains("already there"), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let nowhere = db.folder.path().join("no/such/folder/a.backup");
    assert!(matches!(
        backup::write(&store, &nowhere),
        Err(StoreError::Backup(_))
    ));
}

fn a_newer_backup_is_refused(db: &Db) {
    drop(db.open());
    db.raw("UPDATE schema_migrations SET applied_at_ms = 1");
    let store = db.open();
    db.raw("INSERT INTO schema_migrations (version, name, checksum, applied_at_ms) VALUES (9000, '9000_later', 'x', 1)");
    let file = db.folder.path().join("a.backup");
    backup::write(&store, &file).unwrap();
    let refused = backup::restore(&file, &db.another().url).err();
    assert!(
        matches!(refused, Some(StoreError::TooNew { found: 9000, .. })),
        "{refused:?}"
    );
}
