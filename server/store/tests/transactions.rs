//! What a transaction promises: durability in groups, isolation of closures, retries, readers that do not wait.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use chasqui_store::{Engine, StoreError, Tx, Value, params, sql};
use common::{Db, add_ticket, count_tickets, id, run};

both_engines!(
    what_is_written_is_read_again_after_reopening,
    every_kind_of_value_comes_back_as_it_went_in,
    an_error_rolls_back_its_own_closure_alone,
    a_closure_that_hides_an_engine_error_is_rolled_back,
    a_panic_rolls_back_and_the_store_goes_on,
    writing_in_a_read_is_refused,
    readers_do_not_wait_for_a_long_write,
    a_read_is_one_snapshot,
    conflicting_counters_lose_no_step,
    quick_writers_do_not_starve_a_slow_one,
    a_write_that_hangs_holds_up_none_but_itself,
    a_write_that_hangs_after_losing_holds_up_none_for_long,
    wrong_parameters_and_columns_are_named,
    more_rows_than_wanted_is_an_error,
    constraints_are_told_apart,
    nul_in_text_is_refused,
    order_of_text_is_by_bytes,
    a_store_may_be_opened_and_dropped_on_an_async_thread,
    the_database_clock_is_near_ours,
);

fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), StoreError> {
    chasqui_store::meta::set(tx, name, value)
}

fn get(tx: &mut Tx, name: &str) -> Result<Option<String>, StoreError> {
    chasqui_store::meta::get(tx, name)
}

fn what_is_written_is_read_again_after_reopening(db: &Db) {
    let store = db.open();
    run(async {
        store
            .write(|tx| add_ticket(tx, "t-1", 1, "hola"))
            .await
            .unwrap();
    });
    drop(store);
    let store = db.open();
    assert_eq!(count_tickets(&store), 1);
    assert_eq!(
        store.engine(),
        if db.is_postgres() {
            Engine::Postgres
        } else {
            Engine::Sqlite
        }
    );
}

fn every_kind_of_value_comes_back_as_it_went_in(db: &Db) {
    let store = db.open();
    let back = store
        .write_blocking(|tx| {
            tx.execute(
                sql!("INSERT INTO section_contents (digest, kind, facts, first_seen_at_ms) VALUES ($1, $2, $3, $4)"),
                params!["d", "ñandú 🦙", vec![0_u8, 255, 1], i64::MIN],
            )?;
            // Used out of order: a parameter's number means the same on both engines.
            tx.query_one(
                sql!(
                    "SELECT digest, kind, facts, first_seen_at_ms, CAST(NULL AS TEXT) FROM section_contents
                     WHERE kind = $2 AND digest = $1"
                ),
                params!["d", "ñandú 🦙"],
                |row| {
                    Ok((
                        row.get::<String>(0)?,
                        row.get::<String>(1)?,
                        row.get::<Vec<u8>>(2)?,
                        row.get::<i64>(3)?,
                        row.value(4)?,
                    ))
                },
            )
        })
        .map_err(|error: StoreError| error)
        .unwrap();
    assert_eq!(
        back,
        (
            "d".to_owned(),
            "ñandú 🦙".to_owned(),
            vec![0, 255, 1],
            i64::MIN,
            Value::Null
        )
    );
}

fn an_error_rolls_back_its_own_closure_alone(db: &Db) {
    let store = db.open();
    run(async {
        // A slow first closure makes the others wait, so that on SQLite they share one transaction.
        let gate = Arc::new(std::sync::Barrier::new(2));
        let theirs = Arc::clone(&gate);
        let slow = tokio::spawn({
            let store = store.clone();
            async move {
                let passed = AtomicU32::new(0);
                store
                    .write(move |tx| {
                        if passed.fetch_add(1, Ordering::SeqCst) == 0 {
                            theirs.wait();
                        }
                        set(tx, "slow", "1")
                    })
                    .await
            }
        });
        tokio::task::yield_now().await;
        let mut waiting = Vec::new();
        for n in 0..10 {
            let store = store.clone();
            waiting.push(tokio::spawn(async move {
                store
                    .write(move |tx| {
                        set(tx, &format!("n{n}"), "1")?;
                        if n % 2 == 1 {
                            return Err(StoreError::Invalid(format!("no {n}")));
                        }
                        Ok(())
                    })
                    .await
            }));
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(move || gate.wait())
            .await
            .unwrap();
        slow.await.unwrap().unwrap();
        for (n, answer) in waiting.into_iter().enumerate() {
            let answer = answer.await.unwrap();
            if n % 2 == 1 {
                assert_eq!(answer, Err(StoreError::Invalid(format!("no {n}"))));
            } else {
                answer.unwrap();
            }
        }
        for n in 0..10 {
            let found = store
                .read(move |tx| get(tx, &format!("n{n}")))
                .await
                .unwrap();
            assert_eq!(found.is_some(), n % 2 == 0, "n{n}");
        }
    });
}

fn a_closure_that_hides_an_engine_error_is_rolled_back(db: &Db) {
    let store = db.open();
    let answer = store.write_blocking(|tx| {
        set(tx, "half", "1")?;
        let sql = sql!("INSERT INTO store_meta (name, value) VALUES ($1, 'again')");
        let duplicate = tx.execute(sql, params!["half"]);
        assert!(
            matches!(duplicate, Err(StoreError::Duplicate(_))),
            "{duplicate:?}"
        );
        let after = set(tx, "after", "1");
        assert!(matches!(after, Err(StoreError::Aborted(_))), "{after:?}");
        Ok::<_, StoreError>(())
    });
    assert!(matches!(answer, Err(StoreError::Aborted(_))), "{answer:?}");
    assert_eq!(store.read_blocking(|tx| get(tx, "half")), Ok(None));
    store.write_blocking(|tx| set(tx, "half", "2")).unwrap();
}

fn a_panic_rolls_back_and_the_store_goes_on(db: &Db) {
    let store = db.open();
    let answer: Result<(), StoreError> = store.write_blocking(|tx| {
        set(tx, "panicked", "1")?;
        panic!("on purpose");
    });
    assert_eq!(answer, Err(StoreError::Panicked("on purpose".to_owned())));
    let answer: Result<(), StoreError> = store.read_blocking(|_| panic!("on purpose"));
    assert_eq!(answer, Err(StoreError::Panicked("on purpose".to_owned())));
    assert_eq!(store.read_blocking(|tx| get(tx, "panicked")), Ok(None));
    store.write_blocking(|tx| set(tx, "next", "1")).unwrap();
}

fn writing_in_a_read_is_refused(db: &Db) {
    let store = db.open();
    let answer = store.read_blocking(|tx| set(tx, "sneaked", "1"));
    assert!(
        matches!(answer, Err(StoreError::Statement { .. })),
        "{answer:?}"
    );
    assert_eq!(store.read_blocking(|tx| get(tx, "sneaked")), Ok(None));
}

fn readers_do_not_wait_for_a_long_write(db: &Db) {
    let store = db.open();
    store.write_blocking(|tx| set(tx, "k", "old")).unwrap();
    let (inside, entered) = mpsc::sync_channel(1);
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let writer = {
        let store = store.clone();
        std::thread::spawn(move || {
            store.write_blocking(move |tx| {
                set(tx, "k", "new")?;
                let _ = inside.try_send(());
                let _ = released.lock().unwrap().recv();
                Ok::<_, StoreError>(())
            })
        })
    };
    entered.recv().unwrap();
    // The write is open now and stays open until these reads are done.
    for _ in 0..20 {
        assert_eq!(
            store.read_blocking(|tx| get(tx, "k")).unwrap().as_deref(),
            Some("old")
        );
    }
    run(async {
        assert_eq!(
            store.read(|tx| get(tx, "k")).await.unwrap().as_deref(),
            Some("old")
        );
    });
    drop(release);
    writer.join().unwrap().unwrap();
    assert_eq!(
        store.read_blocking(|tx| get(tx, "k")).unwrap().as_deref(),
        Some("new")
    );
}

fn a_read_is_one_snapshot(db: &Db) {
    let store = db.open();
    let other = store.clone();
    let (before, after) = store
        .read_blocking(move |tx| {
            let before = get(tx, "k")?;
            let other = other.clone();
            std::thread::spawn(move || other.write_blocking(|tx| set(tx, "k", "late")))
                .join()
                .unwrap()?;
            Ok::<_, StoreError>((before, get(tx, "k")?))
        })
        .unwrap();
    assert_eq!((before, after), (None, None));
    assert_eq!(
        store.read_blocking(|tx| get(tx, "k")).unwrap().as_deref(),
        Some("late")
    );
}

fn conflicting_counters_lose_no_step(db: &Db) {
    const THREADS: i64 = 64;
    const STEPS: i64 = 8;
    let store = db.open();
    store.write_blocking(|tx| set(tx, "n", "0")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..STEPS {
                    // Nobody is told of a conflict: who lost often gets a turn.
                    store
                        .write_blocking(|tx| {
                            let n: i64 = get(tx, "n")?.unwrap().parse().unwrap();
                            std::thread::sleep(Duration::from_millis(2));
                            set(tx, "n", &(n + 1).to_string())
                        })
                        .unwrap();
                }
            });
        }
    });
    let n = store.read_blocking(|tx| get(tx, "n")).unwrap().unwrap();
    assert_eq!(n, (THREADS * STEPS).to_string());
    if db.is_postgres() {
        assert!(store.stats().retries > 0, "{:?}", store.stats());
    }
}

fn quick_writers_do_not_starve_a_slow_one(db: &Db) {
    let store = db.open();
    store.write_blocking(|tx| set(tx, "n", "0")).unwrap();
    let add = |tx: &mut Tx, pause_ms: u64| {
        let n: i64 = get(tx, "n")?.unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_millis(pause_ms));
        set(tx, "n", &(n + 1).to_string())
    };
    let (done, quick) = (AtomicBool::new(false), AtomicU32::new(0));
    let slow = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    store.write_blocking(move |tx| add(tx, 0)).unwrap();
                    quick.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Whenever it comes to its end, a quick one has changed what it read.
        let slow = store.write_blocking(move |tx| add(tx, 50));
        done.store(true, Ordering::Relaxed);
        slow
    });
    slow.unwrap();
    let n = store.read_blocking(|tx| get(tx, "n")).unwrap().unwrap();
    assert_eq!(n, (quick.load(Ordering::Relaxed) + 1).to_string());
}

fn a_write_that_hangs_holds_up_none_but_itself(db: &Db) {
    if !db.is_postgres() {
        return; // SQLite has one writer: there is nobody beside it.
    }
    let store = db.open();
    store.write_blocking(|tx| set(tx, "n", "0")).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| {
            let released = std::sync::Mutex::new(released);
            store.write_blocking(move |tx| {
                set(tx, "hanging", "1")?;
                let _ = begun.send(());
                let _ = released.lock().unwrap().recv();
                Ok::<_, StoreError>(())
            })
        });
        has_begun.recv().unwrap();
        // One that loses each of its first attempts, and must get its turn while the other hangs.
        let attempts = Arc::new(AtomicU32::new(0));
        let (loser, other) = (Arc::clone(&attempts), store.clone());
        store
            .write_blocking(move |tx| {
                let n: i64 = get(tx, "n")?.unwrap().parse().unwrap();
                if loser.fetch_add(1, Ordering::Relaxed) < 4 {
                    other.write_blocking(|tx| set(tx, "n", "7"))?;
                }
                set(tx, "n", &(n + 1).to_string())
            })
            .unwrap();
        assert_eq!(attempts.load(Ordering::Relaxed), 5);
        store.write_blocking(|tx| set(tx, "after", "1")).unwrap();
        release.send(()).unwrap();
        hanging.join().unwrap().unwrap();
    });
}

fn a_write_that_hangs_after_losing_holds_up_none_for_long(db: &Db) {
    if !db.is_postgres() {
        return; // As above.
    }
    let store = db.open();
    store.write_blocking(|tx| set(tx, "n", "0")).unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (fifth, is_fifth) = mpsc::channel();
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| {
            let (attempts, released) = (AtomicU32::new(0), std::sync::Mutex::new(released));
            let other = store.clone();
            store.write_blocking(move |tx| {
                let n: i64 = get(tx, "n")?.unwrap().parse().unwrap();
                if attempts.fetch_add(1, Ordering::Relaxed) < 4 {
                    other.write_blocking(|tx| set(tx, "n", "7"))?;
                } else {
                    let _ = fifth.send(());
                    let _ = released.lock().unwrap().recv();
                }
                set(tx, "n", &(n + 1).to_string())
            })
        });
        is_fifth.recv().unwrap();
        store.write_blocking(|tx| set(tx, "beside", "1")).unwrap();
        release.send(()).unwrap();
        hanging.join().unwrap().unwrap();
    });
}

fn wrong_parameters_and_columns_are_named(db: &Db) {
    let store = db.open();
    let answer: Result<Vec<()>, StoreError> = store.read_blocking(|tx| {
        tx.query(
            sql!("SELECT value FROM store_meta WHERE name = $1"),
            params!["a", "b"],
            |_| Ok(()),
        )
    });
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("wants 1 parameters, got 2"), "{error}");

    store.write_blocking(|tx| set(tx, "k", "text")).unwrap();
    let answer: Result<i64, StoreError> = store.read_blocking(|tx| {
        tx.query_one(sql!("SELECT value FROM store_meta"), &[], |row| row.get(0))
    });
    let error = answer.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.contains("text where an integer is expected")),
        "{error}"
    );
    let answer: Result<String, StoreError> = store.read_blocking(|tx| {
        tx.query_one(sql!("SELECT name FROM store_meta"), &[], |row| row.get(3))
    });
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("column 3"), "{error}");
}

fn more_rows_than_wanted_is_an_error(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| {
            set(tx, "a", "1")?;
            set(tx, "b", "1")
        })
        .unwrap();
    let answer: Result<Option<String>, StoreError> = store.read_blocking(|tx| {
        tx.query_opt(sql!("SELECT name FROM store_meta"), &[], |row| row.get(0))
    });
    assert!(
        matches!(answer, Err(StoreError::TooMany { bound: 1, .. })),
        "{answer:?}"
    );
    let answer: Result<String, StoreError> = store.read_blocking(|tx| {
        tx.query_one(
            sql!("SELECT name FROM store_meta WHERE name = 'c'"),
            &[],
            |row| row.get(0),
        )
    });
    assert!(matches!(answer, Err(StoreError::NoRow(_))), "{answer:?}");
}

fn constraints_are_told_apart(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| add_ticket(tx, "t-1", 1, "x"))
        .unwrap();
    let answer = store.write_blocking(|tx| add_ticket(tx, "t-1", 2, "x"));
    assert!(
        matches!(answer, Err(StoreError::Duplicate(_))),
        "{answer:?}"
    );
    let answer = store.write_blocking(|tx| {
        tx.execute(
            sql!("INSERT INTO device_volatile (device_id, facts, at_ms) VALUES ('nobody', $1, 0)"),
            params![vec![1_u8]],
        )
    });
    assert!(
        matches!(answer, Err(StoreError::Constraint(_))),
        "{answer:?}"
    );
}

fn nul_in_text_is_refused(db: &Db) {
    let store = db.open();
    let answer = store.write_blocking(|tx| set(tx, "k", "a\0b"));
    assert!(
        matches!(&answer, Err(StoreError::Invalid(text)) if text.contains("NUL")),
        "{answer:?}"
    );
}

fn order_of_text_is_by_bytes(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| {
            ["b", "a-b", "ab", "B", "á", "_"]
                .iter()
                .try_for_each(|name| set(tx, name, "1"))
        })
        .unwrap();
    let names: Vec<String> = store
        .read_blocking(|tx| {
            tx.query(
                sql!("SELECT name FROM store_meta ORDER BY name"),
                &[],
                |row| row.get(0),
            )
        })
        .map_err(|error: StoreError| error)
        .unwrap();
    assert_eq!(names, ["B", "_", "a-b", "ab", "b", "á"]);
}

fn a_store_may_be_opened_and_dropped_on_an_async_thread(db: &Db) {
    run(async {
        let store = db.open();
        store.write(|tx| set(tx, "k", &id())).await.unwrap();
        drop(store);
        let store = db.open();
        assert!(store.read(|tx| get(tx, "k")).await.unwrap().is_some());
    });
}

fn the_database_clock_is_near_ours(db: &Db) {
    let store = db.open();
    let theirs = store.read_blocking(Tx::now_db_ms).unwrap();
    assert!(
        (chasqui_base::clock::now_ms() - theirs).abs() < 600_000,
        "{theirs}"
    );
}

/// SQLite's writer takes everybody who waits into one commit.
#[test]
fn closures_that_wait_together_share_one_commit() {
    let db = Db::sqlite();
    let store = db.open();
    run(async {
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let first = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .write(move |tx| {
                        let _ = released.lock().unwrap().recv();
                        set(tx, "first", "1")
                    })
                    .await
            }
        });
        let mut waiting = Vec::new();
        for n in 0..100 {
            let store = store.clone();
            waiting.push(tokio::spawn(async move {
                store.write(move |tx| set(tx, &format!("n{n}"), "1")).await
            }));
        }
        // On this one-threaded runtime each spawned task runs up to its place in the queue before this one goes on.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(release);
        first.await.unwrap().unwrap();
        for answer in waiting {
            answer.await.unwrap().unwrap();
        }
    });
    let stats = store.stats();
    assert_eq!(stats.closures, 101);
    assert!(stats.commits <= 3, "{stats:?}");
}
