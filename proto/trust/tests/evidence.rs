//! Evidence verified offline with the root alone; results and receipts of machines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chasqui_trust::definition::Consent;
use chasqui_trust::evidence::{Checkpoint, Evidence, LogEvidence};
use chasqui_trust::result::{ActionResult, ConsentAnswer, ConsentReceipt, Outcome, RefusalNote};
use chasqui_trust::{
    Digest, Document, Text, consent_suffices, merkle, sign, verify_evidence, verify_result,
};
use common::{Case, DAY, HOUR, T0, key};

fn pinned() -> Vec<u8> {
    Case::good().root_envelope().to_json()
}

fn verify(evidence: &Evidence) -> Result<chasqui_trust::EvidenceReport, &'static str> {
    verify_evidence(&evidence.encode().unwrap(), &pinned()).map_err(|e| {
        assert_ne!(e.text().es, "");
        e.code()
    })
}

fn with_result(case: &Case, change: impl Fn(&mut ActionResult), by: &str) -> Evidence {
    let mut result = case.result();
    change(&mut result);
    let mut evidence = case.evidence();
    evidence.result = Some(sign(&result, &[&key(by)]).unwrap());
    evidence
}

#[test]
fn good_evidence_tells_the_whole_case_in_both_languages() {
    let report = verify(&Case::good().evidence()).unwrap();
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    assert_eq!(report.check_holds, Some(true));
    assert!(report.authorised);
    assert_eq!(report.approvers, ["bruno", "carla"]);
    let spanish = report.to_lines(true).join("\n");
    let english = report.to_lines(false).join("\n");
    for words in [
        "Ana Gómez solicitó disk.clean.temp v3, MA-2026-000123",
        "Bruno Díaz",
        "2 aprobaciones de 2 necesarias",
        "equipo-1 (MUS-001)",
        "aceptado mrojas",
        "se cumple: 8000 bytes más libres",
    ] {
        assert!(spanish.contains(words), "{words} is not in\n{spanish}");
    }
    for words in [
        "Ana Gómez requested disk.clean.temp v3",
        "granted mrojas",
        "holds: 8000 more bytes free",
    ] {
        assert!(english.contains(words), "{words} is not in\n{english}");
    }
}

#[test]
fn evidence_is_judged_by_the_time_of_its_papers_not_of_the_auditor() {
    let case = Case::good();
    // Began before and after the order's end.
    let in_time = with_result(
        &case,
        |r| r.started_at_ms = Some(T0 + 20 * HOUR),
        "device-1",
    );
    assert!(verify(&in_time).is_ok());
    let late = with_result(
        &case,
        |r| {
            r.started_at_ms = Some(T0 + 2 * DAY);
            r.finished_at_ms = T0 + 2 * DAY;
        },
        "device-1",
    );
    assert_eq!(verify(&late).unwrap_err(), "ORDER_EXPIRED");
}

#[test]
fn a_result_of_another_machine_key_or_order_is_refused() {
    let case = Case::good();
    let digest = case.bundle().order_digest();
    let device = key("device-1").public_key();
    let bytes = |change: &dyn Fn(&mut ActionResult), by: &str| {
        let mut result = case.result();
        change(&mut result);
        sign(&result, &[&key(by)]).unwrap().to_json()
    };
    let code = |bytes: &[u8]| {
        verify_result(bytes, &digest, &device)
            .map(|_| ())
            .map_err(|e| e.code())
    };
    assert_eq!(code(&bytes(&|_| {}, "device-1")), Ok(()));
    assert_eq!(
        code(&bytes(&|_| {}, "device-2")),
        Err("RESULT_SIGNATURE_INVALID")
    );
    assert_eq!(
        code(&bytes(
            &|r| r.device_fingerprint = Digest::of(b"x"),
            "device-1"
        )),
        Err("RESULT_DEVICE_MISMATCH")
    );
    assert_eq!(
        code(&bytes(&|r| r.order_digest = Digest::of(b"x"), "device-1")),
        Err("RESULT_ORDER_MISMATCH")
    );
    let mut two = sign(&case.result(), &[&key("device-1")]).unwrap();
    two.add_signature(&key("device-2"));
    assert_eq!(code(&two.to_json()), Err("RESULT_SIGNATURE_INVALID"));
}

#[test]
fn a_result_cannot_claim_success_without_the_check() {
    let mut result = Case::good().result();
    result.check.as_mut().unwrap().holds = false;
    assert!(result.encode().is_err());
    result.outcome = Outcome::Failed;
    assert!(result.encode().is_ok());
    result.outcome = Outcome::Succeeded;
    result.check = None;
    assert!(result.encode().is_err());
}

#[test]
fn evidence_of_a_machine_with_another_key_is_refused() {
    let mut evidence = Case::good().evidence();
    evidence.device_key = key("device-2").public_key();
    assert_eq!(verify(&evidence).unwrap_err(), "EVIDENCE_DEVICE_KEY");
}

#[test]
fn an_order_that_was_not_authorised_proves_only_its_refusal() {
    let mut case = Case::good();
    case.statements.pop();
    assert_eq!(verify(&case.evidence()).unwrap_err(), "APPROVALS_MISSING");

    let refused = with_result(
        &case,
        |r| {
            r.outcome = Outcome::Refused;
            r.refusal = Some(RefusalNote {
                rule: "APPROVALS_MISSING".into(),
                detail: Text::new("falta una", "one missing"),
            });
            r.started_at_ms = None;
            r.started_boot_id = None;
            r.steps.clear();
            r.check = None;
        },
        "device-1",
    );
    let report = verify(&refused).unwrap();
    assert!(!report.authorised);
    assert_eq!(report.outcome, Some(Outcome::Refused));
    assert!(report.approvers.is_empty());
}

#[test]
fn consent_is_part_of_the_proof() {
    let case = Case::good();
    let mut evidence = case.evidence();
    evidence.consent = None;
    assert_eq!(verify(&evidence).unwrap_err(), "CONSENT_MISMATCH");

    let answered = |answer: ConsentAnswer, asked: Consent| {
        let mut case = Case::good();
        case.order.consent = asked;
        let receipt = ConsentReceipt {
            answer,
            by: None,
            ..case.consent_receipt()
        };
        let receipt = sign(&receipt, &[&key("device-1")]).unwrap();
        let digest = receipt.payload_digest();
        let mut evidence = with_result(&case, |r| r.consent_digest = Some(digest), "device-1");
        evidence.consent = Some(receipt);
        verify(&evidence).map(|_| ())
    };
    assert_eq!(answered(ConsentAnswer::Granted, Consent::AskAlways), Ok(()));
    for (answer, asked) in [
        (ConsentAnswer::Denied, Consent::Notify),
        (ConsentAnswer::TimedOut, Consent::Ask),
        (ConsentAnswer::Notified, Consent::Ask),
        (ConsentAnswer::NobodyPresent, Consent::Ask),
        (ConsentAnswer::Locked, Consent::Ask),
        (ConsentAnswer::NobodyPresent, Consent::AskAlways),
    ] {
        assert_eq!(answered(answer, asked), Err("CONSENT_NOT_GIVEN"));
        assert!(!consent_suffices(asked, Some(answer)));
    }
    assert!(!consent_suffices(Consent::Ask, None));
    assert!(consent_suffices(Consent::None, None));
}

#[test]
fn a_later_root_is_reached_through_its_chain_alone() {
    let case = Case::good();
    let mut next = case.root.clone();
    next.version = 2;
    next.trust_admins.key_ids = vec![key("admin-2").key_id()];
    let next = sign(&next, &[&key("root-1"), &key("root-2")]).unwrap();
    let mut evidence = case.evidence();
    evidence.people = sign(&case.people, &[&key("admin-2")]).unwrap();
    // Both administrators are in root 1; take the first away there too, so only root 2 lets the document count.
    let mut first = case.root.clone();
    first.trust_admins.key_ids = vec![key("admin-1").key_id()];
    let first = sign(&first, &[&key("root-1"), &key("root-2")]).unwrap();
    let judge = |e: &Evidence| {
        verify_evidence(&e.encode().unwrap(), &first.to_json()).map_err(|e| e.code())
    };
    assert_eq!(judge(&evidence).unwrap_err(), "TRUST_SIGNATURES_MISSING");
    evidence.roots = vec![first.clone(), next.clone()];
    assert_eq!(judge(&evidence).unwrap().root_version, 2);
    // Papers of the root before stay provable after a later root came.
    let mut evidence = case.evidence();
    evidence.roots = vec![next];
    assert_eq!(judge(&evidence).unwrap().root_version, 1);
    // A root nobody signed leads nowhere.
    let mut forged = case.root.clone();
    forged.version = 2;
    evidence.roots = vec![sign(&forged, &[&key("stranger")]).unwrap()];
    assert_eq!(judge(&evidence).unwrap_err(), "TRUST_SIGNATURES_MISSING");
}

#[test]
fn papers_stay_provable_after_the_root_is_renewed() {
    let case = Case::good();
    let mut next = case.root.clone();
    next.version = 2;
    // Past the end of the order, the people document and the catalogue.
    next.issued_at_ms = T0 + 100 * DAY;
    next.expires_at_ms = T0 + 465 * DAY;
    assert!(next.issued_at_ms > case.order.not_after_ms);
    assert!(next.issued_at_ms > case.people.expires_at_ms);
    assert!(next.issued_at_ms > case.catalogue_expires_at_ms);
    let next = sign(&next, &[&key("root-1"), &key("root-2")]).unwrap();
    let first = case.root_envelope();
    let late = |change: fn(&mut ActionResult)| with_result(&case, change, "device-1");
    let mut without_result = case.evidence();
    without_result.result = None;
    without_result.consent = None;
    for mut evidence in [case.evidence(), without_result] {
        evidence.roots = vec![first.clone(), next.clone()];
        let bytes = evidence.encode().unwrap();
        for pinned in [&first, &next] {
            let report = verify_evidence(&bytes, &pinned.to_json()).unwrap();
            assert_eq!(report.root_version, 2);
            assert!(report.authorised);
            assert!(report.judged_at_ms < case.order.not_after_ms);
        }
    }
    // What began after the order's end is still refused, and the machine itself still judges by the floor.
    let mut evidence = late(|r| {
        r.started_at_ms = Some(T0 + 3 * DAY);
        r.finished_at_ms = T0 + 3 * DAY;
    });
    evidence.roots = vec![first.clone(), next.clone()];
    let bytes = evidence.encode().unwrap();
    for pinned in [&first, &next] {
        let error = verify_evidence(&bytes, &pinned.to_json()).unwrap_err();
        assert_eq!(error.code(), "ORDER_EXPIRED");
    }
    let mut state = chasqui_trust::TrustState::from_root(&next.to_json()).unwrap();
    state
        .restore_people(&case.evidence().people.to_json())
        .unwrap();
    let catalogue = state
        .restore_catalogue(&case.evidence().catalogue.to_json())
        .unwrap();
    let refusal =
        chasqui_trust::verify_order(&case.bytes(), &state, &catalogue, &case.device, case.now_ms)
            .unwrap_err();
    assert_eq!(refusal.code(), "PEOPLE_EXPIRED");
}

#[test]
fn a_root_renewed_since_that_asks_for_more_approvals_does_not_unprove_old_papers() {
    let case = Case::good();
    let first = case.root_envelope();
    let renewed = |issued_at_ms: i64| {
        let mut next = case.root.clone();
        next.version = 2;
        next.issued_at_ms = issued_at_ms;
        next.expires_at_ms = issued_at_ms + 365 * DAY;
        for row in &mut next.thresholds {
            row.approvals += 1;
        }
        sign(&next, &[&key("root-1"), &key("root-2")]).unwrap()
    };
    let judge = |next| {
        let mut evidence = case.evidence();
        evidence.roots = vec![first.clone(), next];
        verify_evidence(&evidence.encode().unwrap(), &first.to_json()).map_err(|e| e.code())
    };
    let report = judge(renewed(T0 + 100 * DAY)).unwrap();
    assert_eq!(report.root_version, 1);
    assert!(report.authorised);
    // A root that was in force when the machine began is the measure; the one it had replaced is not asked.
    let in_force = judge(renewed(case.root.issued_at_ms));
    assert_eq!(in_force.unwrap_err(), "APPROVALS_MISSING");
}

#[test]
fn papers_are_not_judged_before_the_documents_held_were_issued() {
    let mut case = Case::good();
    case.people.issued_at_ms = case.order.not_after_ms;
    assert_eq!(verify(&case.evidence()).unwrap_err(), "ORDER_EXPIRED");
}

#[test]
fn a_log_entry_is_proved_under_its_checkpoint() {
    let case = Case::good();
    let entries: Vec<Vec<u8>> = (0..11u8).map(|i| vec![i; 3]).collect();
    let hashes: Vec<Digest> = entries.iter().map(|e| merkle::leaf_hash(e)).collect();
    let checkpoint = Checkpoint {
        critical: vec![],
        org: common::ORG.into(),
        size: 11,
        root: merkle::root(&hashes),
        at_ms: T0 + DAY,
    };
    let mut evidence = case.evidence();
    evidence.log = Some(LogEvidence {
        checkpoint: sign(&checkpoint, &[&key("log")]).unwrap(),
        log_key: key("log").public_key(),
        entry: entries[4].clone(),
        index: 4,
        proof: merkle::proof(&hashes, 4).unwrap(),
    });
    let report = verify(&evidence).unwrap();
    assert!(report.to_lines(false).join("\n").contains("log of 11"));
    let bends: [fn(&mut LogEvidence); 4] = [
        |l| l.index = 5,
        |l| l.entry[0] ^= 1,
        |l| l.log_key = key("stranger").public_key(),
        |l| {
            l.proof.pop();
        },
    ];
    for (n, bend) in bends.iter().enumerate() {
        let mut bent = evidence.clone();
        bend(bent.log.as_mut().unwrap());
        assert_eq!(verify(&bent).unwrap_err(), "LOG_PROOF_INVALID", "bend {n}");
    }
}

#[test]
fn a_single_signer_is_stamped_on_evidence() {
    let mut case = Case::good();
    case.root.root.threshold = 1;
    let evidence = case.evidence().encode().unwrap();
    let report = verify_evidence(&evidence, &case.root_envelope().to_json()).unwrap();
    assert!(report.single_signer);
    assert!(report.to_lines(true).join("\n").contains("UNA SOLA CLAVE"));
}
