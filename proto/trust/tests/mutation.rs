//! Whatever one byte of a bundle, an evidence file or a root becomes, the verifier refuses it or means the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chasqui_trust::{Authorised, TrustState, verify_evidence, verify_order};
use common::Case;

/// Everything a runner or auditor reads of an authorisation.
fn meaning(a: &Authorised) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {} {} {}",
        a.order(),
        a.definition(),
        a.leaf(),
        a.requester(),
        a.approvers(),
        a.digest(),
        a.required_approvals(),
        a.single_signer(),
    )
}

/// Calls `check` with each byte of `bytes` with one bit turned, with another turned, and left out.
fn mutate(bytes: &[u8], mut check: impl FnMut(&[u8], usize)) {
    for at in 0..bytes.len() {
        let old = bytes[at];
        let replacements = [old ^ 1, old ^ (2 << (at % 7))];
        for new in replacements {
            if new != old {
                let mut changed = bytes.to_vec();
                changed[at] = new;
                check(&changed, at);
            }
        }
        let mut shorter = bytes.to_vec();
        shorter.remove(at);
        check(&shorter, at);
    }
}

#[test]
fn no_changed_byte_of_a_bundle_changes_what_runs() {
    let case = Case::good();
    let (trust, catalogue) = case.trust();
    let bytes = case.bytes();
    let expected = meaning(&case.run().unwrap());
    let (mut tried, mut same) = (0u32, 0u32);
    mutate(&bytes, |changed, at| {
        tried += 1;
        if let Ok(a) = verify_order(changed, &trust, &catalogue, &case.device, case.now_ms) {
            same += 1;
            assert_eq!(meaning(&a), expected, "byte {at}");
        }
    });
    assert!(tried > 10_000, "only {tried} variants");
    // Every byte is canonical and every part bound: nothing but the original passes at all.
    assert_eq!(same, 0);
}

#[test]
fn no_changed_byte_of_a_root_is_trusted() {
    let bytes = Case::good().root_envelope().to_json();
    assert!(TrustState::from_root(&bytes).is_ok());
    mutate(&bytes, |changed, at| {
        assert!(TrustState::from_root(changed).is_err(), "byte {at}");
    });
}

/// Unlike a bundle, an evidence file may hold a second root signature that is not needed, and so on: what is asked is
/// that the report stays the same.
#[test]
fn no_changed_byte_of_evidence_changes_the_report() {
    let case = Case::good();
    let pinned = case.root_envelope().to_json();
    let bytes = case.evidence().encode().unwrap();
    let expected = format!("{:?}", verify_evidence(&bytes, &pinned).unwrap());
    // Every third byte: each judgement here checks a dozen signatures.
    for at in (0..bytes.len()).step_by(3) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 7);
        if let Ok(report) = verify_evidence(&changed, &pinned) {
            assert_eq!(format!("{report:?}"), expected, "byte {at}");
        }
    }
}

#[test]
fn swapped_parts_of_two_good_bundles_are_refused() {
    let (one, mut other) = (Case::good(), Case::good());
    other.order.id = "019e4a00-0000-7000-8000-000000000002".into();
    other.leaves[0].host_name = "equipo-9".into();
    let (trust, catalogue) = one.trust();
    let b = other.bundle();
    let swaps: [fn(&mut chasqui_trust::OrderBundle, &chasqui_trust::OrderBundle); 3] = [
        |a, b| a.order = b.order.clone(),
        |a, b| a.statements = b.statements.clone(),
        |a, b| a.proof = b.proof.clone(),
    ];
    for (n, swap) in swaps.iter().enumerate() {
        let mut a = one.bundle();
        swap(&mut a, &b);
        let judged = verify_order(
            &a.encode().unwrap(),
            &trust,
            &catalogue,
            &one.device,
            one.now_ms,
        );
        assert!(judged.is_err(), "swap {n}");
    }
}
