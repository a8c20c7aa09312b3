//! What a full disk, a lost database and a killed process leave behind: a clear error, nothing half done, and a store
//! that works again when the trouble is mended. Real processes, real limits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use chasqui_store::{Options, Store, StoreError, Tx, log, meta, params, sql};
use common::{Db, add_ticket, count_tickets, run};

both_engines!(
    a_killed_process_loses_nothing_it_answered,
    the_commit_is_where_a_change_becomes_true,
);

/// The other process of these tests: this same program, told by the environment what to do.
#[test]
#[ignore = "runs only as the child of the other tests"]
fn child() {
    let Ok(url) = std::env::var("CHASQUI_TEST_CHILD_URL") else {
        return;
    };
    match std::env::var("CHASQUI_TEST_CHILD").unwrap().as_str() {
        "answer" => child_answers_until_killed(&url),
        "once" => {
            let store = Store::open(&url, &Options::default()).unwrap();
            // Named in the environment, a fault point ends the process in here; the schema's own steps have none.
            store
                .write_blocking(|tx| add_ticket(tx, "t-1", 1, "x"))
                .unwrap();
        }
        "full" => child_fills_the_disk(&url),
        other => panic!("{other}"),
    }
}

fn start(task: &str, url: &str) -> Command {
    // SIGXFSZ must not end the process, as the server sees to for itself.
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "trap '' XFSZ; exec \"$0\" child --exact --ignored --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env("CHASQUI_TEST_CHILD", task)
        .env("CHASQUI_TEST_CHILD_URL", url)
        .stdout(Stdio::piped());
    command
}

fn child_answers_until_killed(url: &str) {
    let store = Store::open(url, &Options::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    let number = thread * 1_000_000 + n;
                    let done = store.write_blocking(move |tx| {
                        add_ticket(tx, &format!("t-{number}"), number, "x")
                    });
                    match done {
                        Ok(()) => println!("answered t-{number}"),
                        Err(error) if error.is_transient() => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

fn a_killed_process_loses_nothing_it_answered(db: &Db) {
    let mut child = start("answer", &db.url).spawn().unwrap();
    let mut answered = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(id) = line.unwrap().strip_prefix("answered ") {
            answered.push(id.to_owned());
        }
        if answered.len() == 50 {
            child.kill().unwrap();
            // What was printed before the kill still stands in the pipe and was answered too.
        }
    }
    child.wait().unwrap();
    assert!(answered.len() >= 50);
    let store = db.open();
    let lost = store
        .read_blocking(|tx| {
            let mut lost = Vec::new();
            for id in &answered {
                let found: Option<String> = tx.query_opt(
                    sql!("SELECT id FROM tickets WHERE id = $1"),
                    params![id],
                    |row| row.get(0),
                )?;
                if found.is_none() {
                    lost.push(id.clone());
                }
            }
            Ok::<_, StoreError>(lost)
        })
        .unwrap();
    assert!(lost.is_empty(), "{lost:?}");
    let report = store.read_blocking(|tx| log::check(tx, None)).unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
    store
        .write_blocking(|tx| meta::set(tx, "after", "1"))
        .unwrap();
}

fn the_commit_is_where_a_change_becomes_true(db: &Db) {
    drop(db.open());
    for (point, tickets) in [("store.commit.before", 0), ("store.commit.after", 1)] {
        assert!(chasqui_base::fault::names().contains(&point));
        let child = start("once", &db.url)
            .env("CHASQUI_FAULT", point)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(!child.status.success(), "{point} was not passed");
        let told = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(told.contains(&format!("fault point {point}")), "{told}");
        let store = db.open();
        assert_eq!(count_tickets(&store), tickets, "{point}");
        let report = store.read_blocking(|tx| log::check(tx, None)).unwrap();
        assert_eq!(report.findings, Vec::<String>::new(), "{point}");
    }
}

#[cfg(unix)]
fn child_fills_the_disk(url: &str) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = |bytes: Option<u64>| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(
            Resource::Fsize,
            Rlimit {
                current: bytes.or(maximum),
                maximum,
            },
        )
        .unwrap();
    };
    let put = |tx: &mut Tx, digest: &str, size: usize| {
        tx.execute(
            sql!("INSERT INTO section_contents (digest, kind, facts, first_seen_at_ms) VALUES ($1, 'k', $2, 0)"),
            params![digest, vec![1_u8; size]],
        )
    };
    let store = Store::open(url, &Options::default()).unwrap();
    let log_file = chasqui_store::sqlite_path(url)
        .unwrap()
        .with_extension("db-wal");
    let now = std::fs::metadata(log_file).unwrap().len();
    limit(Some(now + 400_000));

    let answer = store.write_blocking(move |tx| put(tx, "big", 4_000_000));
    assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
    assert_eq!(count_tickets(&store), 0, "reading goes on");
    store
        .write_blocking(|tx| meta::set(tx, "small", "1"))
        .unwrap();

    // Small changes that share a commit with one that does not fit are stored all the same.
    run(async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let first = store.clone();
        let first = tokio::spawn(async move {
            first
                .write(move |tx| {
                    let _ = released.lock().unwrap().recv();
                    meta::set(tx, "first", "1")
                })
                .await
        });
        let mut small = Vec::new();
        for n in 0..5 {
            let store = store.clone();
            small.push(tokio::spawn(async move {
                store
                    .write(move |tx| meta::set(tx, &format!("n{n}"), "1"))
                    .await
            }));
        }
        let big = store.clone();
        let big = tokio::spawn(async move { big.write(move |tx| put(tx, "big", 4_000_000)).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        drop(release);
        first.await.unwrap().unwrap();
        for answer in small {
            answer.await.unwrap().unwrap();
        }
        let answer = big.await.unwrap();
        assert!(matches!(answer, Err(StoreError::Full(_))), "{answer:?}");
    });
    assert_eq!(
        store
            .read_blocking(|tx| meta::get(tx, "n4"))
            .unwrap()
            .as_deref(),
        Some("1")
    );

    limit(None);
    store
        .write_blocking(move |tx| put(tx, "big", 4_000_000))
        .unwrap();
    println!("mended");
}

#[cfg(not(unix))]
fn child_fills_the_disk(_: &str) {}

#[cfg(unix)]
#[test]
fn a_full_disk_is_said_and_the_next_write_works_when_there_is_room() {
    let db = Db::sqlite();
    let child = start("full", &db.url)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(
        child.status.success() && told.contains("mended"),
        "{told}\n{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let store = db.open();
    assert_eq!(
        store
            .read_blocking(|tx| meta::get(tx, "small"))
            .unwrap()
            .as_deref(),
        Some("1")
    );
}

/// PostgreSQL's own "disk full" code, raised by a trigger on a real server.
#[test]
fn a_full_postgres_is_said_and_the_next_write_works_when_there_is_room() {
    let Some(db) = Db::postgres() else { return };
    let store = db.open();
    db.raw(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON store_meta EXECUTE FUNCTION full_disk()",
    );
    let answer = store.write_blocking(|tx| meta::set(tx, "k", "1"));
    assert!(
        matches!(&answer, Err(StoreError::Full(text)) if text.contains("No space left")),
        "{answer:?}"
    );
    db.raw("DROP TRIGGER full_disk ON store_meta");
    store.write_blocking(|tx| meta::set(tx, "k", "1")).unwrap();
}

#[test]
fn a_database_that_went_away_is_used_again_when_it_is_back() {
    let Some(db) = Db::postgres() else { return };
    let store = db.open();
    store.write_blocking(|tx| meta::set(tx, "k", "1")).unwrap();
    let (mut admin, name) = db.admin();
    let drop_all =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");

    // Connections cut once: callers do not even notice, unless they were inside.
    admin.batch_execute(&drop_all).unwrap();
    assert_eq!(
        store
            .read_blocking(|tx| meta::get(tx, "k"))
            .unwrap()
            .as_deref(),
        Some("1")
    );
    admin.batch_execute(&drop_all).unwrap();
    store.write_blocking(|tx| meta::set(tx, "k", "2")).unwrap();

    // Gone for a while: said as such, on both ways in.
    admin
        .batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        .unwrap();
    admin.batch_execute(&drop_all).unwrap();
    let answer = store.write_blocking(|tx| meta::set(tx, "k", "3"));
    assert!(
        matches!(answer, Err(StoreError::Unavailable(_))),
        "{answer:?}"
    );
    let answer = store.read_blocking(|tx| meta::get(tx, "k"));
    assert!(
        matches!(answer, Err(StoreError::Unavailable(_))),
        "{answer:?}"
    );

    admin
        .batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
        .unwrap();
    assert_eq!(
        store
            .read_blocking(|tx| meta::get(tx, "k"))
            .unwrap()
            .as_deref(),
        Some("2")
    );
    store.write_blocking(|tx| meta::set(tx, "k", "4")).unwrap();
}

#[test]
fn a_connection_lost_inside_a_write_is_said_and_nothing_is_half_done() {
    let Some(db) = Db::postgres() else { return };
    let store = db.open();
    let (admin, name) = db.admin();
    let cut =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let admin = std::sync::Mutex::new(admin);
    let answer = store.write_blocking(move |tx| {
        meta::set(tx, "half", "1")?;
        admin.lock().unwrap().batch_execute(&cut).unwrap();
        meta::set(tx, "other half", "1")
    });
    assert!(
        matches!(answer, Err(StoreError::Unavailable(_))),
        "{answer:?}"
    );
    assert_eq!(store.read_blocking(|tx| meta::get(tx, "half")), Ok(None));
}

#[test]
fn an_address_nobody_listens_on_is_said() {
    let error = Store::open("postgresql://u@127.0.0.1:1/d", &Options::default())
        .err()
        .unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
}
