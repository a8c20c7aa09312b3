//! Root, people document and catalogue: who may sign, never going back, and the floor of time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chasqui_trust::people::Custody;
use chasqui_trust::{Document, Root, SigningKey, TrustState, sign};
use common::{Case, DAY, ORG, T0, key};

fn trust() -> TrustState {
    TrustState::from_root(&Case::good().root_envelope().to_json()).unwrap()
}

fn root_signed(root: &Root, by: &[&str]) -> Vec<u8> {
    let keys: Vec<SigningKey> = by.iter().map(|n| key(n)).collect();
    sign(root, &keys.iter().collect::<Vec<_>>())
        .unwrap()
        .to_json()
}

#[test]
fn a_root_needs_its_threshold_of_distinct_keys() {
    let root = common::root();
    for (by, good) in [
        (vec!["root-1"], false),
        (vec!["root-1", "root-1"], false),
        (vec!["root-1", "admin-1"], false),
        (vec!["root-1", "stranger"], false),
        (vec!["root-1", "root-3"], true),
        (vec!["root-1", "root-2", "root-3"], true),
    ] {
        let made = TrustState::from_root(&root_signed(&root, &by));
        assert_eq!(made.is_ok(), good, "{by:?}");
        if let Err(error) = made {
            assert_eq!(error.code(), "TRUST_SIGNATURES_MISSING");
        }
    }
}

#[test]
fn a_ceremony_may_add_signatures_one_by_one() {
    let mut envelope = sign(&common::root(), &[&key("root-3")]).unwrap();
    assert!(TrustState::from_root(&envelope.to_json()).is_err());
    envelope.add_signature(&key("root-1"));
    assert!(TrustState::from_root(&envelope.to_json()).is_ok());
}

#[test]
fn a_new_root_is_signed_by_the_old_threshold_and_its_own() {
    let mut next = common::root();
    next.version = 2;
    // All root keys change hands.
    next.keys
        .extend(["stranger", "ana"].map(|n| key(n).public_key()));
    next.root.key_ids = vec![key("stranger").key_id(), key("ana").key_id()];
    for (by, good) in [
        (vec!["stranger", "ana"], false),
        (vec!["root-1", "root-2"], false),
        (vec!["root-1", "root-2", "ana"], false),
        (vec!["root-1", "stranger", "ana"], false),
        (vec!["root-1", "root-2", "stranger", "ana"], true),
    ] {
        let mut state = trust();
        let accepted = state.accept_root(&root_signed(&next, &by));
        assert_eq!(accepted.is_ok(), good, "{by:?}");
        assert_eq!(state.root().version, if good { 2 } else { 1 });
    }
}

#[test]
fn an_expired_root_still_verifies_its_successor() {
    let mut root = common::root();
    root.issued_at_ms = T0 - 400 * DAY;
    root.expires_at_ms = T0 - DAY;
    let mut state = TrustState::from_root(&root_signed(&root, &["root-1", "root-2"])).unwrap();
    let mut next = common::root();
    next.version = 5;
    state
        .accept_root(&root_signed(&next, &["root-2", "root-3"]))
        .unwrap();
    assert_eq!(state.root().version, 5);
}

#[test]
fn nothing_goes_back_and_nothing_forks() {
    let mut state = trust();
    let case = Case::good();
    let held = case.people_envelope().to_json();
    state.accept_people(&held, T0).unwrap();
    state.accept_people(&held, T0).unwrap();

    let mut older = case.people.clone();
    older.version = 6;
    let older = sign(&older, &[&key("admin-1")]).unwrap().to_json();
    assert_eq!(
        state.accept_people(&older, T0).unwrap_err().code(),
        "TRUST_ROLLBACK"
    );
    assert_eq!(
        state.restore_people(&older).unwrap_err().code(),
        "TRUST_ROLLBACK"
    );

    let mut fork = case.people.clone();
    fork.persons.pop();
    let fork = sign(&fork, &[&key("admin-1")]).unwrap().to_json();
    assert_eq!(
        state.accept_people(&fork, T0).unwrap_err().code(),
        "TRUST_FORK"
    );

    let mut catalogue = case.catalogue();
    let offer = |c: &chasqui_trust::Catalogue| sign(c, &[&key("publisher")]).unwrap().to_json();
    state.accept_catalogue(&offer(&catalogue), T0).unwrap();
    catalogue.version = 3;
    assert_eq!(
        state
            .accept_catalogue(&offer(&catalogue), T0)
            .unwrap_err()
            .code(),
        "TRUST_ROLLBACK"
    );
    catalogue.version = 4;
    catalogue.definitions.pop();
    assert_eq!(
        state
            .accept_catalogue(&offer(&catalogue), T0)
            .unwrap_err()
            .code(),
        "TRUST_FORK"
    );

    let mut root = common::root();
    root.thresholds.clear();
    assert_eq!(
        state
            .accept_root(&root_signed(&root, &["root-1", "root-2"]))
            .unwrap_err()
            .code(),
        "TRUST_FORK"
    );
}

#[test]
fn papers_of_others_and_expired_papers_are_refused() {
    let case = Case::good();
    let people = |change: fn(&mut chasqui_trust::People), by: &str| {
        let mut people = case.people.clone();
        change(&mut people);
        sign(&people, &[&key(by)]).unwrap().to_json()
    };
    for (code, bytes, now) in [
        ("TRUST_SIGNATURES_MISSING", people(|_| {}, "publisher"), T0),
        (
            "TRUST_ORG_MISMATCH",
            people(|p| p.org = "otro.example".into(), "admin-1"),
            T0,
        ),
        ("TRUST_EXPIRED", people(|_| {}, "admin-1"), T0 + 20 * DAY),
        ("PAPER_WRONG_TYPE", case.catalogue_envelope().to_json(), T0),
    ] {
        assert_eq!(trust().accept_people(&bytes, now).unwrap_err().code(), code);
    }
    let mut root = common::root();
    root.version = 2;
    root.org = "otro.example".into();
    assert_eq!(
        trust()
            .accept_root(&root_signed(&root, &["root-1", "root-2"]))
            .unwrap_err()
            .code(),
        "TRUST_ORG_MISMATCH"
    );
}

#[test]
fn a_people_document_lasts_30_days_and_a_browser_key_signs_for_risk_1() {
    let mut people = common::people();
    people.expires_at_ms = people.issued_at_ms + 30 * DAY;
    assert!(people.encode().is_ok());
    people.expires_at_ms += 1;
    assert!(people.encode().is_err());

    let mut people = common::people();
    people.persons[0].keys[1].max_risk = 2;
    assert_eq!(people.persons[0].keys[1].custody, Custody::Browser);
    assert!(people.encode().is_err());
}

#[test]
fn one_key_has_one_holder() {
    let mut people = common::people();
    people.persons[3].keys = people.persons[2].keys.clone();
    assert!(people.encode().is_err());
}

/// An expired document taken back from disk keeps its version: an older one that is not expired cannot come instead.
#[test]
fn an_expired_people_document_still_bars_older_ones() {
    let mut short = common::people();
    short.version = 8;
    short.expires_at_ms = T0 + DAY;
    let short = sign(&short, &[&key("admin-1")]).unwrap().to_json();
    let older = Case::good().people_envelope().to_json();
    let mut state = trust();
    let now = T0 + 2 * DAY;
    assert_eq!(
        state.accept_people(&short, now).unwrap_err().code(),
        "TRUST_EXPIRED"
    );
    state.restore_people(&short).unwrap();
    assert_eq!(
        state.accept_people(&older, now).unwrap_err().code(),
        "TRUST_ROLLBACK"
    );
}

#[test]
fn a_new_root_drops_people_its_administrators_did_not_sign_and_keeps_their_version() {
    let mut state = trust();
    let people = Case::good().people_envelope().to_json();
    state.accept_people(&people, T0).unwrap();
    let mut next = common::root();
    next.version = 2;
    next.trust_admins.key_ids = vec![key("admin-2").key_id()];
    state
        .accept_root(&root_signed(&next, &["root-1", "root-2"]))
        .unwrap();
    assert!(state.people().is_none());
    let mut older = common::people();
    older.version = 6;
    let older = sign(&older, &[&key("admin-2")]).unwrap().to_json();
    assert_eq!(
        state.accept_people(&older, T0).unwrap_err().code(),
        "TRUST_ROLLBACK"
    );
    let mut newer = common::people();
    newer.version = 8;
    let newer = sign(&newer, &[&key("admin-2")]).unwrap().to_json();
    state.accept_people(&newer, T0).unwrap();
}

#[test]
fn signed_papers_raise_the_floor_of_time_and_nothing_lowers_it() {
    let mut state = trust();
    assert_eq!(state.floor().at_ms(), T0 - 30 * DAY);
    // The clock stands a year behind: the paper is accepted, and the clock no longer believed.
    state
        .accept_people(&Case::good().people_envelope().to_json(), T0 - 365 * DAY)
        .unwrap();
    assert_eq!(state.floor().at_ms(), T0 - DAY);
    state.raise_floor(chasqui_trust::TimeFloor::new(0));
    assert_eq!(state.floor().at_ms(), T0 - DAY);
    assert_eq!(
        chasqui_trust::effective_now(T0 - 365 * DAY, state.floor()),
        T0 - DAY
    );
    assert_eq!(chasqui_trust::effective_now(T0, state.floor()), T0);
}

#[test]
fn a_root_with_impossible_roles_cannot_be_signed() {
    let bends: [fn(&mut Root); 6] = [
        |r| r.root.threshold = 0,
        |r| r.root.threshold = 4,
        |r| r.root.key_ids[1] = r.root.key_ids[0],
        |r| r.publishers.key_ids = vec![key("stranger").key_id()],
        |r| r.org = "Con Mayúsculas".into(),
        |r| r.coordinators[0].agents_url = "http://a".into(),
    ];
    for (n, bend) in bends.iter().enumerate() {
        let mut root = common::root();
        assert_eq!(root.org, ORG);
        bend(&mut root);
        assert!(root.encode().is_err(), "bend {n}");
    }
}
