//! Every refusal of an order, each reached by bending one thing in a good case, and gone when that one thing is mended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::collections::BTreeSet;

use chasqui_trust::definition::{Consent, Platform, WhenAbsent};
use chasqui_trust::order::Leaf;
use chasqui_trust::order::ParameterValue;
use chasqui_trust::people::Duty;
use chasqui_trust::statement::Decision;
use chasqui_trust::{Digest, verify_approvals, verify_request};
use common::{Case, DAY, HOUR, T0, approval, device};

struct Row {
    code: &'static str,
    what: &'static str,
    bend: fn(&mut Case),
    mend: fn(&mut Case),
}

fn table() -> Vec<Row> {
    let row = |code, what, bend: fn(&mut Case), mend: fn(&mut Case)| Row {
        code,
        what,
        bend,
        mend,
    };
    vec![
        row(
            "BUNDLE_MALFORMED",
            "spare space after the JSON",
            |c| c.edit_bytes = Some(Box::new(|b| b.push(b' '))),
            |c| c.edit_bytes = None,
        ),
        row(
            "ORDER_MALFORMED",
            "spare space in the signed payload",
            |c| c.edit_order_payload = Some(Box::new(|p| *p = p.replacen(':', ": ", 1))),
            |c| c.edit_order_payload = None,
        ),
        row(
            "ORDER_MALFORMED",
            "a field this program does not know",
            |c| {
                c.edit_order_payload = Some(Box::new(|p| {
                    *p = p.replacen("\"org\"", "\"only_on_sundays\":true,\"org\"", 1);
                }));
            },
            |c| c.edit_order_payload = None,
        ),
        row(
            "ORDER_MALFORMED",
            "the payload type of another paper",
            |c| {
                c.edit_bundle = Some(Box::new(|b| {
                    b.order.payload_type = "application/vnd.chasqui.statement.v1+json".into();
                }));
            },
            |c| c.edit_bundle = None,
        ),
        row(
            "UNKNOWN_CRITICAL",
            "an order that needs what this program does not know",
            |c| {
                c.edit_order_payload = Some(Box::new(|p| {
                    *p = p.replacen("\"critical\":[]", "\"critical\":[\"locks\"]", 1);
                }));
            },
            |c| c.edit_order_payload = None,
        ),
        row(
            "UNKNOWN_CRITICAL",
            "a definition that needs what this program does not know",
            |c| {
                c.edit_definition = Some(Box::new(|p| {
                    *p = p.replacen("\"critical\":[]", "\"critical\":[\"preconditions\"]", 1);
                }));
            },
            |c| c.edit_definition = None,
        ),
        row(
            "DEFINITION_MALFORMED",
            "a published definition whose step is a shell",
            |c| {
                c.edit_definition =
                    Some(Box::new(|p| *p = p.replacen("/usr/bin/sync", "/bin/sh", 1)));
            },
            |c| c.edit_definition = None,
        ),
        row(
            "STATEMENT_MALFORMED",
            "spare space in a signed statement",
            |c| c.edit_statement_payload = Some(Box::new(|p| *p = p.replacen(':', ": ", 1))),
            |c| c.edit_statement_payload = None,
        ),
        row(
            "ORDER_ORG_MISMATCH",
            "an order of another organisation",
            |c| c.order.org = "otro.example".into(),
            |c| c.order.org = common::ORG.into(),
        ),
        row(
            "ROOT_EXPIRED",
            "an expired root",
            |c| c.root.expires_at_ms = c.now_ms,
            |c| c.root.expires_at_ms = c.now_ms + 1,
        ),
        row(
            "PEOPLE_MISSING",
            "no people document",
            |c| c.hold_people = false,
            |c| c.hold_people = true,
        ),
        row(
            "PEOPLE_EXPIRED",
            "an expired people document",
            |c| c.people.expires_at_ms = c.now_ms,
            |c| c.people.expires_at_ms = c.now_ms + 1,
        ),
        row(
            "PEOPLE_TOO_OLD",
            "an order under a newer people document",
            |c| c.order.min_people_version = 8,
            |c| c.people.version = 8,
        ),
        row(
            "CATALOGUE_NOT_TRUSTED",
            "a catalogue verified under the root before",
            |c| c.rotate_root = true,
            |c| c.offer_catalogue_again = true,
        ),
        row(
            "CATALOGUE_EXPIRED",
            "an expired catalogue",
            |c| c.catalogue_expires_at_ms = c.now_ms,
            |c| c.catalogue_expires_at_ms = c.now_ms + 1,
        ),
        row(
            "CATALOGUE_TOO_OLD",
            "an order under a newer catalogue",
            |c| c.order.min_catalogue_version = 5,
            |c| c.order.min_catalogue_version = 4,
        ),
        row(
            "REQUESTER_UNKNOWN",
            "a requester whom nobody named",
            |c| c.order.requester = "zoe".into(),
            |c| c.people.persons[0].id = "zoe".into(),
        ),
        row(
            "REQUESTER_NO_DUTY",
            "a requester without the duty",
            |c| c.people.persons[0].duties = vec![Duty::Approve],
            |c| c.people.persons[0].duties = vec![Duty::Request],
        ),
        row(
            "ORDER_KEY_UNKNOWN",
            "an order signed by a stranger",
            |c| c.order_key = "stranger",
            |c| c.order_key = "ana",
        ),
        row(
            "ORDER_KEY_UNKNOWN",
            "an order signed by another person's key",
            |c| c.order_key = "carla",
            |c| c.order_key = "ana",
        ),
        row(
            "ORDER_KEY_UNKNOWN",
            "an order with a second signature",
            |c| {
                c.edit_bundle = Some(Box::new(|b| b.order.add_signature(&common::key("carla"))));
            },
            |c| c.edit_bundle = None,
        ),
        row(
            "ORDER_SIGNATURE_INVALID",
            "one bit of the signature",
            |c| {
                c.edit_bundle = Some(Box::new(|b| b.order.signatures[0].signature[0] ^= 1));
            },
            |c| c.edit_bundle = None,
        ),
        row(
            "ORDER_SIGNATURE_INVALID",
            "a parameter changed after signing",
            |c| {
                c.edit_bundle = Some(Box::new(|b| {
                    let payload = String::from_utf8(b.order.payload.clone()).unwrap();
                    b.order.payload = payload
                        .replacen("{\"integer\":30}", "{\"integer\":1}", 1)
                        .into_bytes();
                }));
            },
            |c| c.edit_bundle = None,
        ),
        row(
            "ORDER_KEY_NOT_VALID",
            "an order signed by an expired key",
            |c| c.order_key = "ana-old",
            |c| c.people.persons[0].keys[2].not_after_ms = c.now_ms + 1,
        ),
        row(
            "ORDER_BROWSER_KEY",
            "risk 2 signed by a browser's key",
            |c| c.order_key = "ana-browser",
            |c| c.order_key = "ana",
        ),
        row(
            "ORDER_KEY_RISK",
            "a key that may not sign for this risk",
            |c| c.people.persons[0].keys[0].max_risk = 1,
            |c| c.people.persons[0].keys[0].max_risk = 2,
        ),
        row(
            "DEFINITION_DIGEST",
            "another definition than the one signed",
            |c| {
                c.edit_bundle = Some(Box::new(|b| b.definition[20] ^= 1));
            },
            |c| c.edit_bundle = None,
        ),
        row(
            "DEFINITION_MISMATCH",
            "a definition published under another id",
            |c| c.named = "dns.renew".into(),
            |c| c.definition.id = "dns.renew".into(),
        ),
        row(
            "DEFINITION_NOT_IN_CATALOGUE",
            "a definition the catalogue has with another digest",
            |c| c.catalogue_digest = Some(Digest::of(b"other")),
            |c| c.catalogue_digest = None,
        ),
        row(
            "DEFINITION_NOT_IN_CATALOGUE",
            "a version the catalogue does not have",
            |c| c.order.definition.version = 2,
            |c| c.order.definition.version = 3,
        ),
        row(
            "PLATFORM_UNSUPPORTED",
            "a machine of another system",
            |c| c.device.platform = Some(Platform::Windows),
            |c| c.definition.platforms = vec![Platform::Linux, Platform::Windows],
        ),
        row(
            "PARAMETER_INVALID",
            "a number out of range",
            |c| c.order.parameters[0].value = ParameterValue::Integer(91),
            |c| c.order.parameters[0].value = ParameterValue::Integer(90),
        ),
        row(
            "PARAMETER_INVALID",
            "a missing parameter",
            |c| {
                c.order.parameters.pop();
            },
            |c| c.order = Case::good().order,
        ),
        row(
            "PARAMETER_INVALID",
            "a parameter too many",
            |c| {
                let mut extra = c.order.parameters[0].clone();
                extra.name = "force".into();
                c.order.parameters.push(extra);
            },
            |c| {
                c.order.parameters.pop();
            },
        ),
        row(
            "PARAMETER_INVALID",
            "a shell's metacharacter",
            |c| c.order.parameters[2].value = ParameterValue::Text("a; rm".into()),
            |c| c.order.parameters[2].value = ParameterValue::Text("a rm".into()),
        ),
        row(
            "PARAMETER_INVALID",
            "a leading dash",
            |c| c.order.parameters[1].value = ParameterValue::List(vec!["-rf".into()]),
            |c| c.order.parameters[1].value = ParameterValue::List(vec!["rf".into()]),
        ),
        row(
            "PARAMETER_INVALID",
            "a value of another type",
            |c| c.order.parameters[0].value = ParameterValue::Text("30".into()),
            |c| c.order.parameters[0].value = ParameterValue::Integer(30),
        ),
        row(
            "CONSENT_TOO_WEAK",
            "less consent than the definition asks for",
            |c| {
                c.definition.consent = Consent::Ask;
                c.definition.when_absent = WhenAbsent::Wait;
            },
            |c| c.order.consent = Consent::AskAlways,
        ),
        row(
            "ORDER_VALIDITY_TOO_LONG",
            "valid one millisecond too long",
            |c| c.order.not_after_ms = T0 + 30 * DAY + 1,
            |c| c.order.not_after_ms = T0 + 30 * DAY,
        ),
        row(
            "ORDER_NOT_YET_VALID",
            "not valid yet",
            |c| c.order.not_before_ms = c.now_ms + 1,
            |c| c.now_ms += 1,
        ),
        row(
            "ORDER_EXPIRED",
            "expired",
            |c| c.order.not_after_ms = c.now_ms,
            |c| c.order.not_after_ms = c.now_ms + 1,
        ),
        row(
            "ORDER_EXPIRED",
            "expired by the floor of time, with the clock set back",
            |c| {
                c.order.not_after_ms = T0 + HOUR;
                c.people.issued_at_ms = T0 + HOUR;
                c.now_ms = T0;
            },
            |c| c.people.issued_at_ms = T0,
        ),
        row(
            "ORDER_OTHER_DEVICE",
            "delivered to another machine",
            |c| c.device = device(2),
            |c| c.index = 2,
        ),
        row(
            "ORDER_OTHER_DEVICE",
            "delivered to a machine that is no target",
            |c| c.device.fingerprint = Digest::of(b"elsewhere"),
            |c| c.device = device(1),
        ),
        row(
            "ORDER_LEAF_PROOF_INVALID",
            "a leaf written for this machine",
            |c| {
                c.device.fingerprint = Digest::of(b"elsewhere");
                c.edit_bundle = Some(Box::new(|b| {
                    b.leaf.device_fingerprint = Digest::of(b"elsewhere")
                }));
            },
            |c| {
                c.edit_bundle = None;
                c.leaves[1].device_fingerprint = Digest::of(b"elsewhere");
            },
        ),
        row(
            "ORDER_LEAF_PROOF_INVALID",
            "a wave brought forward",
            |c| {
                c.leaves[1].not_before_ms = c.now_ms + 1;
                c.edit_bundle = Some(Box::new(|b| b.leaf.not_before_ms = T0));
            },
            |c| c.leaves[1].not_before_ms = T0,
        ),
        row(
            "ORDER_LEAF_PROOF_INVALID",
            "another place among the leaves",
            |c| c.edit_bundle = Some(Box::new(|b| b.leaf_index = 0)),
            |c| c.edit_bundle = None,
        ),
        row(
            "ORDER_WAVE_NOT_YET",
            "a wave that has not begun",
            |c| c.leaves[1].not_before_ms = c.now_ms + 1,
            |c| c.now_ms += 1,
        ),
        row(
            "ORDER_NO_THRESHOLD_FITS",
            "a risk no row allows",
            |c| c.root.thresholds[1].max_risk = 1,
            |c| c.root.thresholds[1].max_risk = 2,
        ),
        row(
            "ORDER_NO_THRESHOLD_FITS",
            "more machines than any row allows",
            |c| c.root.thresholds[1].max_targets = 2,
            |c| c.root.thresholds[1].max_targets = 3,
        ),
        row(
            "DEFINITION_PUBLISHERS",
            "risk 3 that one publisher signed alone",
            |c| c.definition.risk = 3,
            |c| c.publishers = vec!["publisher", "publisher-2"],
        ),
        row(
            "BREAK_GLASS_NOT_ALLOWED",
            "an emergency the root knows nothing of",
            |c| {
                c.root.break_glass = None;
                c.order.break_glass = true;
            },
            |c| c.order.break_glass = false,
        ),
        row(
            "BREAK_GLASS_NOT_ALLOWED",
            "an emergency on more machines than the root allows",
            |c| {
                c.root.break_glass.as_mut().unwrap().max_targets = 2;
                c.order.break_glass = true;
            },
            |c| c.root.break_glass.as_mut().unwrap().max_targets = 3,
        ),
        row(
            "APPROVALS_MISSING",
            "fewer than the definition itself asks for",
            |c| c.definition.approvals = 3,
            |c| c.definition.approvals = 2,
        ),
        row(
            "APPROVALS_MISSING",
            "an emergency that nobody else knows of",
            |c| {
                c.order.break_glass = true;
                c.statements.clear();
            },
            |c| c.statements = vec![approval("bruno", "bruno")],
        ),
        row(
            "STATEMENT_OTHER_ORDER",
            "an approval of another order",
            |c| c.statements[0].0.order_digest = Digest::of(b"another order"),
            |c| c.statements[0].0.order_digest = Digest([0; 32]),
        ),
        row(
            "STATEMENT_ORG_MISMATCH",
            "an approval of another organisation",
            |c| c.statements[0].0.org = "otro.example".into(),
            |c| c.statements[0].0.org = common::ORG.into(),
        ),
        row(
            "STATEMENT_SIGNATURE_INVALID",
            "one bit of an approval's signature",
            |c| {
                c.edit_bundle = Some(Box::new(|b| {
                    b.statements[1].signatures[0].signature[63] ^= 1
                }));
            },
            |c| c.edit_bundle = None,
        ),
        row(
            "ORDER_REJECTED",
            "a rejection beside enough approvals",
            |c| {
                let mut no = approval("diego", "diego");
                no.0.decision = Decision::Reject;
                c.statements.push(no);
            },
            |c| {
                c.statements.pop();
            },
        ),
        row(
            "ORDER_WITHDRAWN",
            "the requester took the order back",
            |c| {
                let mut no = approval("ana", "ana");
                no.0.decision = Decision::Withdraw;
                c.statements.push(no);
            },
            |c| {
                c.statements.pop();
            },
        ),
        row(
            "APPROVALS_MISSING",
            "one signature too few",
            |c| {
                c.statements.pop();
            },
            |c| c.statements.push(approval("carla", "carla")),
        ),
        row(
            "APPROVAL_SAME_PERSON",
            "two keys of one person",
            |c| c.statements[1] = approval("bruno", "bruno-token"),
            |c| c.statements.push(approval("carla", "carla")),
        ),
        row(
            "APPROVAL_OWN_ORDER",
            "requester = approver",
            |c| c.statements[1] = approval("ana", "ana"),
            |c| c.statements.push(approval("carla", "carla")),
        ),
        row(
            "APPROVAL_EXPIRED",
            "an approval that lapsed",
            |c| c.statements[1].0.expires_at_ms = c.now_ms,
            |c| c.statements[1].0.expires_at_ms = c.now_ms + 1,
        ),
        row(
            "APPROVAL_UNKNOWN_KEY",
            "an approval with a key that is not the person's",
            |c| c.statements[1].1 = "stranger",
            |c| c.statements[1].1 = "carla",
        ),
        row(
            "APPROVAL_UNKNOWN_KEY",
            "an approval of a person who left",
            |c| c.people.persons[2].id = "carla-2".into(),
            |c| c.people.persons[2].id = "carla".into(),
        ),
        row(
            "APPROVAL_NO_DUTY",
            "an approval without the duty",
            |c| c.statements[1] = approval("diego", "diego"),
            |c| c.people.persons[3].duties = vec![Duty::Request, Duty::Approve],
        ),
        row(
            "APPROVAL_KEY_NOT_VALID",
            "an approval with an expired key",
            |c| c.statements[0].1 = "bruno-old",
            |c| c.statements[0].1 = "bruno",
        ),
        row(
            "APPROVAL_BROWSER_KEY",
            "an approval by a browser's key at risk 2",
            |c| c.statements[0].1 = "bruno-browser",
            |c| c.statements[0].1 = "bruno",
        ),
        row(
            "APPROVAL_KEY_RISK",
            "an approval with a key for lower risk",
            |c| c.statements[0].1 = "bruno-low",
            |c| c.people.persons[1].keys[4].max_risk = 2,
        ),
    ]
}

#[test]
fn the_good_case_is_authorised() {
    let authorised = Case::good().run().unwrap();
    assert_eq!(authorised.integer("days"), Some(30));
    assert_eq!(authorised.text("note"), Some("disco lleno"));
    assert_eq!(authorised.leaf().host_name, "equipo-1");
    assert_eq!(authorised.requester().name, "Ana Gómez");
    let approvers: Vec<_> = authorised
        .approvers()
        .iter()
        .map(|a| a.person.as_str())
        .collect();
    assert_eq!(approvers, ["bruno", "carla"]);
    assert_eq!(authorised.required_approvals(), 2);
    assert!(!authorised.single_signer());
}

#[test]
fn each_refusal_is_reached_by_one_defect_and_gone_when_it_is_mended() {
    let mut wrong = Vec::new();
    for row in table() {
        let mut case = Case::good();
        (row.bend)(&mut case);
        match case.run() {
            Ok(_) => wrong.push(format!("{}: {} was authorised", row.code, row.what)),
            Err(refusal) if refusal.code() != row.code => wrong.push(format!(
                "{}: {} was refused as {}",
                row.code,
                row.what,
                refusal.code()
            )),
            Err(refusal) => {
                let text = refusal.text();
                assert!(!text.es.is_empty() && !text.en.is_empty());
                assert_ne!(text.es, text.en, "{}", row.code);
            }
        }
        (row.mend)(&mut case);
        if let Err(refusal) = case.run() {
            wrong.push(format!(
                "{}: {} mended, still refused as {}",
                row.code,
                row.what,
                refusal.code()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The codes are read from the source, so a new one without a row here fails.
#[test]
fn the_table_has_every_code() {
    let source = include_str!("../src/refusal.rs");
    let codes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| line.split_once("=> \"")?.1.split('"').next())
        .collect();
    assert!(codes.len() > 40, "the source was not read");
    let rows: BTreeSet<&str> = table().iter().map(|row| row.code).collect();
    assert_eq!(codes, rows);
}

#[test]
fn an_approval_that_does_not_count_does_no_harm_beside_enough_others() {
    let mut case = Case::good();
    case.statements.push(approval("ana", "ana"));
    case.statements.push(approval("bruno", "bruno-token"));
    case.statements.push(approval("diego", "diego"));
    let authorised = case.run().unwrap();
    assert_eq!(authorised.approvers().len(), 2);
}

#[test]
fn a_browser_key_may_sign_for_risk_1() {
    let mut case = Case::good();
    case.order_key = "ana-browser";
    assert!(case.run().is_err());
    case.definition.risk = 1;
    case.definition.approvals = 0;
    case.statements.clear();
    assert_eq!(case.run().unwrap().required_approvals(), 0);
}

#[test]
fn a_rejection_never_lapses() {
    let mut case = Case::good();
    let mut no = approval("diego", "diego");
    no.0.decision = Decision::Reject;
    no.0.expires_at_ms = no.0.at_ms + 1;
    case.statements.push(no);
    assert_eq!(case.run().unwrap_err().code(), "ORDER_REJECTED");
}

#[test]
fn one_key_for_the_root_is_stamped() {
    let mut case = Case::good();
    case.root.root.threshold = 1;
    assert!(case.run().unwrap().single_signer());
}

#[test]
fn a_coordinator_takes_an_order_in_before_it_is_approved() {
    let case = Case::good();
    let (trust, catalogue) = case.trust();
    let order = case.order_envelope().to_json();
    let definition = case.definition_bytes();
    let judge =
        |leaves: &[Leaf], now| verify_request(&order, &definition, leaves, &trust, &catalogue, now);
    // Before it is valid, too: waves are planned ahead.
    let request = judge(&case.leaves, T0 - HOUR).unwrap();
    assert_eq!(request.required_approvals(), 2);
    assert_eq!(
        judge(&case.leaves[..2], case.now_ms).unwrap_err().code(),
        "ORDER_LEAF_PROOF_INVALID"
    );
    assert_eq!(
        judge(&case.leaves, T0 + 2 * DAY).unwrap_err().code(),
        "ORDER_EXPIRED"
    );
    let statements = case.bundle().statements;
    let approved = |n: usize| {
        verify_approvals(&request, &statements[..n], &trust, case.now_ms)
            .map(|a| a.len())
            .map_err(|e| e.code())
    };
    assert_eq!(approved(0), Err("APPROVALS_MISSING"));
    assert_eq!(approved(1), Err("APPROVALS_MISSING"));
    assert_eq!(approved(2), Ok(2));
}
