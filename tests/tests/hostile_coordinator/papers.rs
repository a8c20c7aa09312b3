//! Attacks with root, people document and catalogue, and with what the coordinator says of itself.

use chasqui_base::clock::{self, DAY_MS, HOUR_MS};
use chasqui_proto::v1::{FetchTrustDocumentsResponse as Papers, Welcome};
use chasqui_trust::definition::Definition;
use chasqui_trust::people::Custody;
use chasqui_trust::result::Outcome;
use chasqui_trust::{Envelope, Root, sign};

use crate::draft::Draft;
use crate::orders::expect;
use crate::stage::{Attack, Stage, entry, newer_papers};
use crate::support::{until, welcome_at};

fn people(envelope: &Envelope) -> Papers {
    Papers {
        people: envelope.to_json().into(),
        ..Papers::default()
    }
}

fn catalogue(envelope: &Envelope) -> Papers {
    Papers {
        catalogue: envelope.to_json().into(),
        ..Papers::default()
    }
}

fn root(envelope: &Envelope) -> Papers {
    Papers {
        roots: vec![envelope.to_json().into()],
        ..Papers::default()
    }
}

/// All papers the attacker would need, signed by the attacker, and the order they would authorise.
#[test]
fn the_coordinator_cannot_make_itself_the_organisation() {
    let stage = Stage::new();
    stage.good("before");
    let held = stage.papers_held();
    let mine = &stage.stolen.fresh;
    let mut own_root: Root = stage.root(2);
    own_root.keys.push(mine.public_key());
    for role in [
        &mut own_root.root,
        &mut own_root.trust_admins,
        &mut own_root.publishers,
    ] {
        role.key_ids = vec![mine.key_id()];
        role.threshold = 1;
    }
    let mut weaker = stage.root(2);
    for row in &mut weaker.thresholds {
        row.approvals = 0;
    }
    let mut own_people = stage.people(2);
    own_people.persons[0].keys[0].key = mine.public_key();
    own_people.persons[1].keys[0].custody = Custody::File;
    let mut own_catalogue = stage.catalogue(2);
    let other = Definition {
        risk: 0,
        approvals: 0,
        ..stage.definition.clone()
    };
    own_catalogue.definitions = vec![entry(&other)];
    let organisation = stage.organisation();
    let mut offers = Vec::new();
    for key in [mine, &stage.stolen.authority, &stage.stolen.ana] {
        offers.push(root(&sign(&own_root, &[key]).unwrap()));
        offers.push(root(&sign(&weaker, &[key]).unwrap()));
        offers.push(people(&sign(&own_people, &[key]).unwrap()));
        offers.push(catalogue(&sign(&own_catalogue, &[key]).unwrap()));
        // All at once.
        offers.push(Papers {
            roots: vec![sign(&own_root, &[key]).unwrap().to_json().into()],
            people: sign(&own_people, &[key]).unwrap().to_json().into(),
            catalogue: sign(&own_catalogue, &[key]).unwrap().to_json().into(),
        });
    }
    // One paper's genuine signatures, in the role of another; the right kind of key for the wrong paper.
    offers.push(people(
        &sign(&own_people, &[&organisation.publisher_key]).unwrap(),
    ));
    offers.push(people(
        &sign(&own_people, &[&organisation.root_key]).unwrap(),
    ));
    offers.push(people(
        &sign(&own_people, &[&organisation.requester_key]).unwrap(),
    ));
    offers.push(catalogue(
        &sign(&own_catalogue, &[&organisation.admin_key]).unwrap(),
    ));
    offers.push(root(
        &sign(
            &weaker,
            &[&organisation.admin_key, &organisation.publisher_key],
        )
        .unwrap(),
    ));
    offers.push(root(&sign(&stage.people(2), &[stage.admin()]).unwrap()));
    offers.push(people(&stage.sign_catalogue(&stage.catalogue(2))));
    let count = offers.len();
    let codes = stage.offer(offers);
    assert_eq!(codes.values().sum::<usize>(), count, "{codes:?}");
    assert_eq!(stage.papers_held(), held);

    let mut draft = Draft::new(&stage);
    draft.requester = mine;
    let one = Attack::of("under the attacker's people document", &draft.bundle());
    let mut draft = Draft::of(&stage, &other);
    draft.requester = mine;
    draft.order.min_people_version = 2;
    let two = Attack::of("asking for the attacker's people document", &draft.bundle());
    let three = Attack::of(
        "under the attacker's catalogue",
        &Draft::of(&stage, &other).bundle(),
    );
    expect(
        &stage,
        vec![
            ("ORDER_KEY_UNKNOWN", one),
            ("PEOPLE_TOO_OLD", two),
            ("DEFINITION_NOT_IN_CATALOGUE", three),
        ],
    );
    stage.good("after");
}

/// Genuine papers of yesterday, and papers that were genuine and are over.
#[test]
fn papers_do_not_go_back() {
    let stage = Stage::new();
    stage.good("before");
    let organisation = stage.organisation();
    let signed_root = |version| sign(&stage.root(version), &[&organisation.root_key]).unwrap();
    let signed_people = |version| sign(&stage.people(version), &[stage.admin()]).unwrap();
    // In version 3 beto left: what he approves counts no more.
    let mut without_beto = stage.people(3);
    without_beto.persons.retain(|person| person.id != "beto");
    let without_beto = sign(&without_beto, &[stage.admin()]).unwrap();
    let signed_catalogue = |version| stage.sign_catalogue(&stage.catalogue(version));
    let before_it = Draft::new(&stage).bundle();
    for papers in [
        root(&signed_root(2)),
        people(&signed_people(2)),
        people(&without_beto),
        catalogue(&signed_catalogue(3)),
    ] {
        assert!(stage.offer(vec![papers]).is_empty());
    }
    until("the new papers", || {
        (stage.versions() == (2, 3, 3)).then_some(())
    });
    let held = stage.papers_held();
    expect(
        &stage,
        vec![("APPROVAL_UNKNOWN_KEY", Attack::of("beto left", &before_it))],
    );

    let mut same_version = stage.people(3);
    same_version.persons[0].name = "Otra persona".into();
    let mut over = stage.people(4);
    over.expires_at_ms = clock::now_ms() - 1;
    let mut forever = stage.root(3);
    forever.org = "otra.example".into();
    let mut catalogue_over = stage.catalogue(4);
    catalogue_over.expires_at_ms = clock::now_ms() - 1;
    let offers = vec![
        people(&signed_people(1)),
        people(&signed_people(2)),
        people(&sign(&same_version, &[stage.admin()]).unwrap()),
        people(&sign(&over, &[stage.admin()]).unwrap()),
        catalogue(&signed_catalogue(1)),
        catalogue(&signed_catalogue(2)),
        catalogue(&stage.sign_catalogue(&catalogue_over)),
        root(&organisation.root),
        root(&sign(&forever, &[&organisation.root_key]).unwrap()),
        // Genuine, but one in between is withheld.
        root(&signed_root(4)),
    ];
    let count = offers.len();
    let codes = stage.offer(offers);
    assert_eq!(codes.values().sum::<usize>(), count, "{codes:?}");
    assert_eq!(stage.papers_held(), held);
    expect(
        &stage,
        vec![(
            "APPROVAL_UNKNOWN_KEY",
            Attack::of("beto is still gone", &Draft::new(&stage).bundle()),
        )],
    );

    // A restart forgets none of it, and the coordinator goes on offering the old ones.
    let mut stage = stage;
    stage.restart(0);
    expect(
        &stage,
        vec![(
            "APPROVAL_UNKNOWN_KEY",
            Attack::of("after a restart", &Draft::new(&stage).bundle()),
        )],
    );
    assert_eq!(stage.papers_held(), held);
}

/// The coordinator keeps newer papers to itself and lies about the time.
#[test]
fn frozen_papers_expire_whatever_the_coordinator_says_the_time_is() {
    let later = 25 * DAY_MS;
    for told in [-later, 0, 400 * DAY_MS] {
        let mut stage = Stage::new();
        stage.good("before");
        let stale = Draft::new(&stage).bundle();
        stage.coordinator.book().welcome = Some(welcome_at(clock::now_ms() + later + told, 7));
        stage.restart(later);
        let label = |what: &str| format!("{what}, told a time {told} ms off");
        let frozen = Draft::new(&stage).bundle();
        expect(
            &stage,
            vec![("PEOPLE_EXPIRED", Attack::of(label("frozen"), &frozen))],
        );
        let mut fresh = stage.people(2);
        fresh.issued_at_ms = stage.now_ms() - HOUR_MS;
        fresh.expires_at_ms = stage.now_ms() + DAY_MS;
        let fresh = sign(&fresh, &[stage.admin()]).unwrap();
        stage.coordinator.book().people = fresh.to_json();
        stage.coordinator.push_all([newer_papers()]);
        until("fresh papers", || (stage.versions().1 == 2).then_some(()));
        // Neither yesterday's order, which the told time would make valid, nor tomorrow's.
        expect(
            &stage,
            vec![("ORDER_EXPIRED", Attack::of(label("yesterday's"), &stale))],
        );
        let mut early = Draft::new(&stage);
        early.order.not_before_ms = early.order.not_after_ms - 1;
        stage.push(
            &clock::new_id().to_string(),
            early.bundle().encode().unwrap(),
        );
        // It was the frozen paper that stopped it.
        stage.good(&label("after"));
    }
}

/// Two publishers signed, and the coordinator first handed out what one of them signed. No action of high risk runs under
/// that; once the machine has both signatures it keeps both.
#[test]
fn a_second_publishers_signature_is_kept() {
    let mut stage = Stage::new();
    stage.good("before");
    let risky = Definition {
        id: "test.risky".into(),
        risk: 3,
        ..stage.definition.clone()
    };
    let mut next = stage.catalogue(2);
    next.definitions.push(entry(&risky));
    let one = sign(&next, &[&stage.organisation().publisher_key]).unwrap();
    assert!(stage.offer(vec![catalogue(&one)]).is_empty());
    until("the new catalogue", || {
        (stage.versions().2 == 2).then_some(())
    });
    let attack = Attack::of("one publisher", &Draft::of(&stage, &risky).bundle());
    expect(&stage, vec![("DEFINITION_PUBLISHERS", attack)]);

    stage.coordinator.book().catalogue = stage.sign_catalogue(&next).to_json();
    let before = stage.coordinator.book().fetches;
    stage.coordinator.push_all([newer_papers()]);
    until("papers", || {
        (stage.coordinator.book().fetches > before).then_some(())
    });
    stage.good("between");
    let result = stage.run("two publishers", &Draft::of(&stage, &risky));
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    stage.expect_mark();
    // A coordinator hands out a catalogue only where it is newer than what the machine has.
    stage.coordinator.book().catalogue.clear();
    stage.restart(0);
    let result = stage.run("after a restart", &Draft::of(&stage, &risky));
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
}

/// Numbers nobody would send.
#[test]
fn a_welcome_of_nonsense_is_lived_with() {
    let mut stage = Stage::new();
    stage.good("before");
    for (now_ms, number) in [
        (i64::MIN, i64::MIN),
        (i64::MAX, i64::MAX),
        (0, 0),
        (-1, -1),
        (clock::now_ms(), 1),
    ] {
        stage.coordinator.book().welcome = Some(Welcome {
            now_ms,
            store_epoch: now_ms.cast_unsigned(),
            beat_every_ms: number,
            inventory_every_ms: number,
            reconnect_cap_ms: number,
            server_version: "\u{1b}[31m\u{202e}".repeat(10_000),
        });
        stage.restart(0);
        stage.good(&format!("told {now_ms} and {number}"));
    }
}
