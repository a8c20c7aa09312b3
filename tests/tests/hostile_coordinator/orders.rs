//! Attacks with orders that have a name: known tricks with papers that are all genuine, or nearly.

use chasqui_base::clock::{self, DAY_MS, HOUR_MS};
use chasqui_trust::definition::Definition;
use chasqui_trust::result::Outcome;
use chasqui_trust::{Decision, Envelope, sign};

use crate::draft::Draft;
use crate::stage::{Attack, Stage};
use crate::support::{definition, program, until};

/// Delivers these and holds each answer against the code it must have.
pub fn expect(stage: &Stage, attacks: Vec<(&'static str, Attack)>) {
    let (expected, attacks): (Vec<_>, Vec<_>) = attacks.into_iter().unzip();
    let labels: Vec<String> = attacks.iter().map(|attack| attack.label.clone()).collect();
    let codes = stage.attack(attacks);
    for ((code, expected), label) in codes.iter().zip(expected).zip(labels) {
        assert_eq!(code.as_deref(), Some(expected), "{label}");
    }
}

#[test]
fn an_order_stays_with_its_machine() {
    let stage = Stage::new();
    stage.good("before");
    let draft = Draft::new(&stage);
    let mut attacks = Vec::new();

    let mut other = draft.bundle();
    other.leaf = draft.leaves[0].clone();
    other.leaf_index = 0;
    other.proof = draft.proof(0);
    attacks.push((
        "ORDER_OTHER_DEVICE",
        Attack::of("another machine's leaf", &other),
    ));

    let draft = Draft::new(&stage);
    let mut other = draft.bundle();
    other.leaf_index = 0;
    other.proof = draft.proof(0);
    attacks.push((
        "ORDER_LEAF_PROOF_INVALID",
        Attack::of("this machine's leaf at another's place", &other),
    ));

    // An order for another machine alone, with this machine's fingerprint put into its leaf.
    let mut draft = Draft::new(&stage);
    draft.leaves[1].device_fingerprint = stage.stolen.carla.public_key().fingerprint();
    draft.aim();
    let mut other = draft.bundle();
    other.leaf.device_fingerprint = stage.device.fingerprint();
    attacks.push((
        "ORDER_LEAF_PROOF_INVALID",
        Attack::of("an order for others, aimed here", &other),
    ));

    // The leaf and proof of an order that is for this machine, on one that is not.
    let mut draft = Draft::new(&stage);
    draft.leaves.truncate(1);
    draft.leaves.push(draft.leaves[0].clone());
    draft.leaves[1].device_fingerprint = stage.stolen.carla.public_key().fingerprint();
    draft.aim();
    let mut other = draft.bundle();
    let ours = Draft::new(&stage).bundle();
    (other.leaf, other.proof) = (ours.leaf, ours.proof);
    attacks.push((
        "ORDER_LEAF_PROOF_INVALID",
        Attack::of("the leaf of another order", &other),
    ));
    expect(&stage, attacks);
    stage.good("after");
}

/// Another action under the name and version of the one people saw.
#[test]
fn a_name_is_no_definition() {
    let stage = Stage::new();
    stage.good("before");
    let other = Definition {
        steps: definition(
            "x",
            program("/usr/bin/touch", &["/tmp/x"]),
            program("/usr/bin/true", &[]),
        )
        .steps,
        ..stage.definition.clone()
    };
    let mut attacks = Vec::new();
    let mut bundle = Draft::new(&stage).bundle();
    bundle.definition = chasqui_trust::Document::encode(&other).unwrap();
    attacks.push((
        "DEFINITION_DIGEST",
        Attack::of("same name, other steps", &bundle),
    ));
    attacks.push((
        "DEFINITION_NOT_IN_CATALOGUE",
        Attack::of(
            "same name, other steps, signed by people",
            &Draft::of(&stage, &other).bundle(),
        ),
    ));
    // The bytes of one released action under the name of another: approvals asked for one, run for the other.
    let mut draft = Draft::of(&stage, &stage.harmless());
    draft.order.definition.id = stage.definition.id.clone();
    attacks.push((
        "DEFINITION_NOT_IN_CATALOGUE",
        Attack::of("a released action under another's name", &draft.bundle()),
    ));
    expect(&stage, attacks);
    stage.good("after");
}

/// The keys in browsers serve for what they may, and for nothing else.
#[test]
fn browser_held_keys_reach_no_further_than_their_risk() {
    let stage = Stage::new();
    stage.good("before");
    let browser = |definition: &Definition, requester: &'static str| {
        let mut draft = Draft::of(&stage, definition);
        draft.order.requester = requester.into();
        draft.requester = match requester {
            "ana" => &stage.stolen.ana,
            _ => &stage.stolen.carla,
        };
        draft.approver = &stage.stolen.beto;
        draft
    };
    // That they work where they may is what makes the refusals say something.
    let result = stage.run("the harmless order", &browser(&stage.harmless(), "carla"));
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    stage.expect_mark();

    let risky = stage.definition.clone();
    let approved_by = |key, person| {
        let mut draft = Draft::new(&stage);
        (draft.approver, draft.person) = (key, person);
        draft
    };
    let mut itself = browser(&stage.harmless(), "carla");
    (itself.approver, itself.person) = (&stage.stolen.carla, "carla");
    let mut nobody = browser(&stage.harmless(), "ana");
    (nobody.approver, nobody.person) = (&stage.stolen.ana, "ana");
    let mut twice = browser(&stage.harmless(), "beto");
    twice.requester = &stage.stolen.beto;
    // With the risk written smaller than what was released.
    let smaller = Definition {
        risk: 1,
        ..stage.definition.clone()
    };
    expect(
        &stage,
        vec![
            (
                "ORDER_BROWSER_KEY",
                Attack::of("ana's browser", &browser(&risky, "ana").bundle()),
            ),
            (
                "ORDER_BROWSER_KEY",
                Attack::of("carla's browser", &browser(&risky, "carla").bundle()),
            ),
            (
                "APPROVAL_BROWSER_KEY",
                Attack::of(
                    "beto's browser",
                    &approved_by(&stage.stolen.beto, "beto").bundle(),
                ),
            ),
            (
                "APPROVAL_BROWSER_KEY",
                Attack::of(
                    "carla approves",
                    &approved_by(&stage.stolen.carla, "carla").bundle(),
                ),
            ),
            (
                "APPROVAL_OWN_ORDER",
                Attack::of("carla alone", &itself.bundle()),
            ),
            (
                "APPROVAL_OWN_ORDER",
                Attack::of("ana alone", &nobody.bundle()),
            ),
            (
                "REQUESTER_NO_DUTY",
                Attack::of("beto asks", &twice.bundle()),
            ),
            (
                "DEFINITION_NOT_IN_CATALOGUE",
                Attack::of("the risk made small", &browser(&smaller, "carla").bundle()),
            ),
        ],
    );
    stage.good("after");
}

#[test]
fn statements_count_for_their_order_alone() {
    let stage = Stage::new();
    stage.good("before");
    let with = |label: &str, statements: &dyn Fn(&Draft<'_>, &Envelope) -> Vec<Envelope>| {
        let draft = Draft::new(&stage);
        let order = draft.signed();
        let statements = statements(&draft, &order);
        Attack::of(label, &draft.bundle_of(order, statements))
    };
    let said = |draft: &Draft<'_>, order: &Envelope, decision| {
        let mut statement = draft.statement(order);
        statement.decision = decision;
        sign(&statement, &[draft.approver]).unwrap()
    };
    let (one, two) = (Draft::new(&stage), Draft::new(&stage));
    let (first, second) = (one.signed(), two.signed());
    let (for_first, for_second) = (one.approval(&first), two.approval(&second));
    let attacks = vec![
        ("APPROVALS_MISSING", with("no statement", &|_, _| vec![])),
        (
            "STATEMENT_OTHER_ORDER",
            Attack::of(
                "swapped, one",
                &one.bundle_of(first.clone(), vec![for_second.clone()]),
            ),
        ),
        (
            "STATEMENT_OTHER_ORDER",
            Attack::of("swapped, other", &two.bundle_of(second, vec![for_first])),
        ),
        (
            "STATEMENT_OTHER_ORDER",
            with("one of its own and one of another", &|draft, order| {
                vec![draft.approval(order), for_second.clone()]
            }),
        ),
        (
            "ORDER_REJECTED",
            with("approved and rejected", &|draft, order| {
                vec![draft.approval(order), said(draft, order, Decision::Reject)]
            }),
        ),
        (
            "ORDER_WITHDRAWN",
            with("withdrawn, then approved", &|draft, order| {
                vec![
                    said(draft, order, Decision::Withdraw),
                    draft.approval(order),
                ]
            }),
        ),
        (
            "APPROVAL_EXPIRED",
            with("an approval that lapsed", &|draft, order| {
                let mut statement = draft.statement(order);
                statement.expires_at_ms = clock::now_ms() - 1;
                vec![sign(&statement, &[draft.approver]).unwrap()]
            }),
        ),
        (
            "STATEMENT_MALFORMED",
            // What a person signed as one kind of paper is no other kind.
            with("an order as a statement", &|_, order| vec![order.clone()]),
        ),
    ];
    expect(&stage, attacks);
    // The same approval many times is one approval, and one is what this order needs: dropped are repetitions, not orders.
    let draft = Draft::new(&stage);
    let order = draft.signed();
    let approval = draft.approval(&order);
    let bundle = draft.bundle_of(order, vec![approval; 5]);
    stage.push(&draft.order.id, bundle.encode().unwrap());
    let result = until("repeated approvals", || {
        stage.result_of(&draft.order.id, &bundle.order_digest())
    });
    assert_eq!(result.outcome, Outcome::Succeeded);
    stage.expect_mark();
    stage.good("after");
}

#[test]
fn times_and_limits_people_signed_hold() {
    let stage = Stage::new();
    stage.good("before");
    let now = clock::now_ms();
    let changed = |change: &dyn Fn(&mut Draft<'_>)| {
        let mut draft = Draft::new(&stage);
        change(&mut draft);
        draft.aim();
        draft.bundle()
    };
    let expired = changed(&|draft| {
        draft.order.created_at_ms = now - 3 * HOUR_MS;
        draft.order.not_before_ms = now - 3 * HOUR_MS;
        draft.order.not_after_ms = now - 1;
    });
    let endless = changed(&|draft| draft.order.not_after_ms = now + 31 * DAY_MS);
    let emergency = changed(&|draft| draft.order.break_glass = true);
    let many = changed(&|draft| {
        for n in 0..100u8 {
            let mut leaf = draft.leaves[0].clone();
            leaf.device_fingerprint = chasqui_trust::Digest::of(&[n]);
            draft.leaves.push(leaf);
        }
    });
    let newer = changed(&|draft| draft.order.min_people_version = 2);
    let newest = changed(&|draft| draft.order.min_catalogue_version = 2);
    expect(
        &stage,
        vec![
            ("ORDER_EXPIRED", Attack::of("expired", &expired)),
            (
                "ORDER_VALIDITY_TOO_LONG",
                Attack::of("valid for long", &endless),
            ),
            (
                "BREAK_GLASS_NOT_ALLOWED",
                Attack::of("break glass", &emergency),
            ),
            (
                "ORDER_NO_THRESHOLD_FITS",
                Attack::of("many machines", &many),
            ),
            (
                "PEOPLE_TOO_OLD",
                Attack::of("a people document withheld", &newer),
            ),
            (
                "CATALOGUE_TOO_OLD",
                Attack::of("a catalogue withheld", &newest),
            ),
        ],
    );

    // What is too early is kept in silence, under however many names it comes, and never begins before its time.
    let early = changed(&|draft| draft.order.not_before_ms = now + HOUR_MS - 1);
    let wave = changed(&|draft| draft.leaves[1].not_before_ms = now + HOUR_MS - 1);
    stage.coordinator.book().results.clear();
    for bundle in [&early, &wave] {
        for _ in 0..50 {
            stage.push(&clock::new_id().to_string(), bundle.encode().unwrap());
        }
        stage.good("too early");
    }
    let answered = stage.coordinator.book().results.len();
    // Two good orders may be there, nothing else.
    assert!(answered <= 2, "{answered} answers");
    // The time of a wave can be taken from its leaf no more than it can be moved there.
    let mut moved = wave;
    moved.leaf.not_before_ms = now - 1000;
    expect(
        &stage,
        vec![(
            "ORDER_LEAF_PROOF_INVALID",
            Attack::of("the wave's time moved", &moved),
        )],
    );
    stage.good("after");
}

/// A future order under many names begins once when its time comes.
#[test]
fn an_order_kept_many_times_runs_once() {
    let stage = Stage::new();
    let mut draft = Draft::new(&stage);
    draft.order.not_before_ms = clock::now_ms() + 3_000;
    let bundle = draft.bundle();
    for _ in 0..50 {
        stage.push(&clock::new_id().to_string(), bundle.encode().unwrap());
    }
    until("its time", || {
        (crate::support::marks(&stage.marker) > 0).then_some(())
    });
    stage.expect_mark();
    stage.good("after");
}

#[test]
fn a_finished_order_does_not_run_again() {
    let stage = Stage::new();
    let draft = Draft::new(&stage);
    let bundle = draft.bundle();
    let bytes = bundle.encode().unwrap();
    let id = draft.order.id.clone();
    stage.push(&id, bytes.clone());
    let digest = bundle.order_digest();
    let first = until("a result", || stage.result_of(&id, &digest));
    assert_eq!(first.outcome, Outcome::Succeeded, "{first:?}");
    stage.expect_mark();

    // The same bytes, under its id and others, and with another approval of the same order.
    let mut again = draft.bundle_of(bundle.order.clone(), vec![]);
    again.statements = vec![draft.approval(&bundle.order)];
    for n in 0..25 {
        stage.push(&id, bytes.clone());
        let other = clock::new_id().to_string();
        let bundle = if n % 2 == 0 {
            bytes.clone()
        } else {
            again.encode().unwrap()
        };
        stage.push(&other, bundle);
    }
    stage.good("the same order again");
    let same = stage.result_of(&id, &digest).unwrap();
    assert_eq!(same, first, "one order, one result");

    // Another order under its id, properly signed and approved, delivered under that id and under another.
    let mut other = Draft::new(&stage);
    other.order.id = id.clone();
    let attack = Attack::of("the id again", &other.bundle());
    let mut third = Draft::new(&stage);
    third.order.id = id.clone();
    third.order.reason = "otra".into();
    let under_its_id = Attack {
        id: id.clone(),
        ..Attack::of("the id again, under it", &third.bundle())
    };
    expect(
        &stage,
        vec![
            ("ORDER_ID_REUSED", attack),
            ("ORDER_ID_REUSED", under_its_id),
        ],
    );
    stage.good("after");
    // A coordinator that says its memory is new gets the same answers, and no new effects.
    stage.coordinator.book().store_epoch = 99;
    stage.coordinator.hang_up();
    let count = |stage: &Stage| stage.coordinator.book().hellos.len();
    let before = count(&stage);
    until("a link", || (count(&stage) > before).then_some(()));
    until("connected", || {
        (stage.machine.status().link == chasqui_agent::status::Link::Connected).then_some(())
    });
    stage.push(&id, bytes);
    stage.good("after a new epoch");
}
