//! Requests answered once, events and their log, leases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chasqui_store::event::{self, NewEvent};
use chasqui_store::log::{self, Checkpoint, Report, Signature, SignedCheckpoint};
use chasqui_store::request::{self, Answer, Request};
use chasqui_store::{Store, StoreError, Tx, lease, merkle, params, sql};
use common::{Db, add_ticket, count_tickets, id, run};

both_engines!(
    the_same_request_is_done_once,
    a_request_id_with_another_body_is_refused,
    a_failed_request_may_be_sent_again,
    the_same_request_from_many_sides_makes_one_ticket,
    events_are_numbered_and_paged_within_their_subject,
    concurrent_events_of_one_subject_are_all_numbered,
    oversized_events_are_refused,
    sealed_events_are_proved_and_survive_erasure,
    sealing_in_batches_gives_the_same_tree,
    the_check_finds_what_was_changed_behind_the_store,
    a_lease_is_one_holders_until_it_ends,
    a_job_is_marked_done_once,
);

fn request(id: &str, body: &str) -> Request {
    Request {
        actor: "person-1".to_owned(),
        request_id: id.to_owned(),
        method: "TicketService/CreateTicket".to_owned(),
        body_digest: body.to_owned(),
        at_ms: 5,
    }
}

fn create(
    store: &Store,
    request: &Request,
    ticket: &str,
    number: i64,
) -> Result<Answer, StoreError> {
    let (request, ticket) = (request.clone(), ticket.to_owned());
    store.write_blocking(move |tx| {
        request::idempotent(tx, &request, |tx| {
            add_ticket(tx, &ticket, number, "x")?;
            Ok::<_, StoreError>(ticket.clone().into_bytes())
        })
    })
}

fn the_same_request_is_done_once(db: &Db) {
    let store = db.open();
    let first = create(&store, &request("r-1", "body"), "t-1", 1).unwrap();
    assert_eq!(
        (first.response.as_slice(), first.replayed),
        (b"t-1".as_slice(), false)
    );
    let again = create(&store, &request("r-1", "body"), "t-2", 2).unwrap();
    assert_eq!(
        (again.response.as_slice(), again.replayed),
        (b"t-1".as_slice(), true)
    );
    assert_eq!(count_tickets(&store), 1);
    // Another actor's id is another request.
    let mut theirs = request("r-1", "body");
    theirs.actor = "person-2".to_owned();
    assert!(!create(&store, &theirs, "t-3", 3).unwrap().replayed);
    assert_eq!(store.write_blocking(|tx| request::prune(tx, 6)), Ok(2));
}

fn a_request_id_with_another_body_is_refused(db: &Db) {
    let store = db.open();
    create(&store, &request("r-1", "body"), "t-1", 1).unwrap();
    let other = create(&store, &request("r-1", "other body"), "t-2", 2);
    assert_eq!(other, Err(StoreError::RequestIdReused("r-1".to_owned())));
    let mut method = request("r-1", "body");
    method.method = "OrderService/CreateOrder".to_owned();
    let other = create(&store, &method, "t-2", 2);
    assert_eq!(other, Err(StoreError::RequestIdReused("r-1".to_owned())));
    assert_eq!(count_tickets(&store), 1);
}

fn a_failed_request_may_be_sent_again(db: &Db) {
    let store = db.open();
    let failed = store.write_blocking(|tx| {
        request::idempotent(tx, &request("r-1", "body"), |_| {
            Err::<Vec<u8>, _>(StoreError::Invalid("not now".to_owned()))
        })
    });
    assert_eq!(failed, Err(StoreError::Invalid("not now".to_owned())));
    assert!(
        !create(&store, &request("r-1", "body"), "t-1", 1)
            .unwrap()
            .replayed
    );
}

fn the_same_request_from_many_sides_makes_one_ticket(db: &Db) {
    let store = db.open();
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..8)
            .map(|n| {
                let store = &store;
                scope.spawn(move || {
                    create(store, &request("r-1", "body"), &format!("t-{n}"), n).unwrap()
                })
            })
            .collect();
        let answers: Vec<Answer> = answers
            .into_iter()
            .map(|answer| answer.join().unwrap())
            .collect();
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(
            answers
                .iter()
                .all(|answer| answer.response == answers[0].response)
        );
    });
    assert_eq!(count_tickets(&store), 1);
}

fn note<'a>(subject: &'a str, text: Option<&'a str>) -> NewEvent<'a> {
    NewEvent {
        subject_kind: "note",
        subject_id: subject,
        part: None,
        kind: "note.added",
        actor: "person-1",
        at_ms: 7,
        state: None,
        data: serde_json::json!({"b": 1, "a": ["ñ", null]}),
        personal: text,
    }
}

fn events_are_numbered_and_paged_within_their_subject(db: &Db) {
    let store = db.open();
    store
        .write_blocking(|tx| {
            for n in 0..5 {
                event::append(tx, note("a", Some(&format!("text {n}"))))?;
                event::append(tx, note("b", None))?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let page = |after, limit| {
        store
            .read_blocking(|tx| event::list(tx, "note", "a", after, limit))
            .unwrap()
    };
    let first = page(0, 3);
    assert_eq!(
        first.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert_eq!(first[2].personal.as_deref(), Some("text 2"));
    assert_eq!(first[0].data, r#"{"a":["ñ",null],"b":1}"#);
    let rest = page(3, 3);
    assert_eq!(
        rest.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [4, 5]
    );
    assert!(page(5, 3).is_empty());
    let latest = store
        .read_blocking(|tx| event::latest(tx, i64::MAX, "", 4))
        .unwrap();
    let older = store
        .read_blocking(|tx| event::latest(tx, latest[3].at_ms, &latest[3].id, 100))
        .unwrap();
    assert_eq!((latest.len(), older.len()), (4, 6));
}

fn concurrent_events_of_one_subject_are_all_numbered(db: &Db) {
    let store = db.open();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..10 {
                    loop {
                        match store.write_blocking(|tx| event::append(tx, note("a", None))) {
                            Ok(_) => break,
                            Err(StoreError::Conflict(_) | StoreError::Duplicate(_)) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                }
            });
        }
    });
    let seqs: Vec<i64> = store
        .read_blocking(|tx| event::list(tx, "note", "a", 0, 1000))
        .unwrap()
        .iter()
        .map(|event| event.seq)
        .collect();
    assert_eq!(seqs, (1..=60).collect::<Vec<_>>());
}

fn oversized_events_are_refused(db: &Db) {
    let store = db.open();
    let long = "x".repeat(event::MAX_TEXT + 1);
    let answer = store.write_blocking(move |tx| event::append(tx, note("a", Some(&long))));
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
}

/// A stand-in for a signature: the root itself, so that a changed root or size does not verify.
fn sign(checkpoint: &Checkpoint) -> Result<Signature, StoreError> {
    Ok(Signature {
        bytes: format!("{}:{}", checkpoint.size, hex::encode(checkpoint.root_hash)).into_bytes(),
        key_id: "key-1".to_owned(),
    })
}

fn verify(signed: &SignedCheckpoint) -> bool {
    sign(&signed.checkpoint).unwrap() == signed.signature
}

fn check(store: &Store) -> Report {
    store
        .read_blocking(|tx| log::check(tx, Some(&verify)))
        .unwrap()
}

fn seal_all(store: &Store, batch: i64) -> usize {
    let mut batches = 0;
    while store
        .write_snapshot_blocking(move |tx| log::seal(tx, 9, batch, sign))
        .unwrap()
        .is_some()
    {
        batches += 1;
    }
    batches
}

fn sealed_events_are_proved_and_survive_erasure(db: &Db) {
    let store = db.open();
    let ticket = id();
    store
        .write_blocking(move |tx| {
            add_ticket(tx, &ticket, 1, "mi teléfono es 300")?;
            for n in 0..12 {
                event::append(tx, note("a", Some(&format!("text {n}"))))?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    assert_eq!(seal_all(&store, 1_000), 1);
    let report = check(&store);
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!(
        (
            report.events,
            report.sealed,
            report.checkpoints,
            report.states
        ),
        (13, 13, 1, 1)
    );

    let events = store
        .read_blocking(|tx| event::list(tx, "note", "a", 0, 100))
        .unwrap();
    let victim = events[4].id.clone();
    assert_eq!(
        store.write_blocking(move |tx| event::erase_personal(tx, &victim)),
        Ok(true)
    );
    let erased = store
        .read_blocking(|tx| event::list(tx, "note", "a", 4, 1))
        .unwrap()
        .remove(0);
    assert_eq!(
        (erased.personal.as_deref(), erased.personal_salt.as_deref()),
        (None, None)
    );
    assert!(erased.personal_digest.is_some());
    assert!(check(&store).holds());

    for event in events {
        let (path, signed) = store
            .read_blocking(|tx| {
                let signed = log::latest(tx)?.unwrap();
                Ok::<_, StoreError>((log::prove(tx, &event, signed.checkpoint.size)?, signed))
            })
            .unwrap();
        let root = merkle::root_of_inclusion(
            merkle::leaf_hash(&event::leaf_bytes(&event)),
            u64::try_from(event.leaf_index.unwrap()).unwrap(),
            u64::try_from(signed.checkpoint.size).unwrap(),
            &path,
        );
        assert_eq!(root, Some(signed.checkpoint.root_hash));
        let mut changed = event;
        changed.actor.push('x');
        let root = merkle::root_of_inclusion(
            merkle::leaf_hash(&event::leaf_bytes(&changed)),
            u64::try_from(changed.leaf_index.unwrap()).unwrap(),
            u64::try_from(signed.checkpoint.size).unwrap(),
            &path,
        );
        assert_ne!(root, Some(signed.checkpoint.root_hash));
    }
}

fn sealing_in_batches_gives_the_same_tree(db: &Db) {
    let store = db.open();
    for round in 0..4 {
        store
            .write_blocking(move |tx| {
                (0..7).try_for_each(|_| {
                    event::append(tx, note(&format!("s{round}"), None)).map(|_| ())
                })
            })
            .unwrap();
        seal_all(&store, 3);
    }
    // 7 events in threes: 3, 3, 1.
    let report = check(&store);
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!((report.sealed, report.checkpoints), (28, 12));
    let mut all = store
        .read_blocking(|tx| event::latest(tx, i64::MAX, "", 1000))
        .unwrap();
    all.sort_by_key(|event| event.leaf_index);
    let mut tree = merkle::Frontier::default();
    for event in &all {
        tree.push(merkle::leaf_hash(&event::leaf_bytes(event)));
    }
    let last = store.read_blocking(log::latest).unwrap().unwrap();
    assert_eq!(last.checkpoint.root_hash, tree.root());
    assert_eq!(
        store.write_blocking(|tx| log::seal(tx, 9, 10, sign)),
        Ok(None)
    );
}

fn the_check_finds_what_was_changed_behind_the_store(db: &Db) {
    let other_hash = "00".repeat(32);
    let tamperings = [
        (
            "UPDATE events SET actor = 'nobody' WHERE leaf_index = 2",
            "checkpoint of",
        ),
        (
            "UPDATE events SET data = '{}' WHERE leaf_index = 0",
            "node 0 of level 0",
        ),
        (
            "DELETE FROM event_personal; UPDATE events SET personal_digest = NULL WHERE leaf_index = 3",
            "checkpoint of",
        ),
        (
            "UPDATE event_personal SET body = 'he never said that'",
            "personal text",
        ),
        (
            "UPDATE log_nodes SET hash = '{hash}' WHERE level = 1 AND idx = 1",
            "node 1 of level 1",
        ),
        (
            "UPDATE log_checkpoints SET root_hash = '{hash}'",
            "its root is",
        ),
        (
            "UPDATE log_checkpoints SET signature = root_hash_bytes",
            "signature of key",
        ),
        ("DELETE FROM log_checkpoints", "last good checkpoint"),
        (
            "UPDATE events SET leaf_index = NULL WHERE leaf_index = 1",
            "has no leaf 1",
        ),
        (
            "UPDATE tickets SET state = 'closed'",
            "the events say registered",
        ),
        ("DELETE FROM tickets", "which has no row"),
        (
            "DELETE FROM event_personal; DELETE FROM events WHERE seq = 2",
            "events, but the last is number",
        ),
    ];
    for (tampering, finding) in tamperings {
        let db = db.another();
        let store = db.open();
        store
            .write_blocking(|tx| {
                add_ticket(tx, "t-1", 1, "hola")?;
                (0..5).try_for_each(|_| event::append(tx, note("a", Some("x"))).map(|_| ()))
            })
            .unwrap();
        seal_all(&store, 1_000);
        assert!(check(&store).holds());
        let bytes = if db.is_postgres() {
            r"'\x00'::bytea"
        } else {
            "x'00'"
        };
        db.raw(
            &tampering
                .replace("{hash}", &other_hash)
                .replace("root_hash_bytes", bytes),
        );
        let report = check(&store);
        assert!(
            report.findings.iter().any(|found| found.contains(finding)),
            "{tampering}: {:?}",
            report.findings
        );
    }
}

fn a_lease_is_one_holders_until_it_ends(db: &Db) {
    let store = db.open();
    let take = |holder: &'static str, length| {
        store.write_blocking(move |tx| lease::take(tx, "seal", holder, length))
    };
    assert_eq!(take("a", 600_000), Ok(true));
    assert_eq!(take("b", 600_000), Ok(false));
    assert_eq!(take("a", 600_000), Ok(true));
    store
        .write_blocking(|tx| lease::give_back(tx, "seal", "b"))
        .unwrap();
    assert_eq!(take("b", 600_000), Ok(false));
    store
        .write_blocking(|tx| lease::give_back(tx, "seal", "a"))
        .unwrap();
    // A lease that is over is anybody's.
    assert_eq!(take("b", -1), Ok(true));
    assert_eq!(take("a", 600_000), Ok(true));
}

fn a_job_is_marked_done_once(db: &Db) {
    let store = db.open();
    let mark =
        |due| store.write_blocking(move |tx| lease::mark_done(tx, "sla.warn", "t-1", due, 50));
    assert_eq!(
        (mark(10), mark(10), mark(11)),
        (Ok(true), Ok(false), Ok(true))
    );
    assert_eq!(store.write_blocking(|tx| lease::prune_done(tx, 51)), Ok(2));
}

/// The registry's own test database is not needed for this: `RETURNING` gives rows on both engines.
#[test]
fn returning_gives_rows() {
    for db in [Some(Db::sqlite()), Db::postgres()].into_iter().flatten() {
        let store = db.open();
        let number = run(store.write(|tx: &mut Tx| {
            tx.query_one(
                sql!(
                    "INSERT INTO ticket_numbers (year, last) VALUES ($1, 1)
                     ON CONFLICT (year) DO UPDATE SET last = ticket_numbers.last + 1 RETURNING last"
                ),
                params![2026],
                |row| row.get::<i64>(0),
            )
        }))
        .map_err(|error: StoreError| error);
        assert_eq!(number, Ok(1));
    }
}
