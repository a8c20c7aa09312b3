//! The published test vectors: this program still produces exactly these bytes and accepts them. They change only when
//! CHASQUI_WRITE_VECTORS=1 asks for it, and a change means a new format for everybody.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::path::PathBuf;

use chasqui_trust::evidence::{Checkpoint, LogEvidence};
use chasqui_trust::{
    DeviceIdentity, Digest, Envelope, OrderBundle, TrustState, dsse, merkle, sign, verify_evidence,
    verify_order, verify_result,
};
use common::{Case, DAY, KEY_NAMES, ORG, T0, approval, key, seed};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap();
    bytes.push(b'\n');
    bytes
}

fn keys() -> Vec<u8> {
    let list: Vec<Value> = KEY_NAMES
        .iter()
        .map(|name| {
            let public = key(name).public_key();
            json!({
                "name": name,
                "seed": hex::encode(seed(name)),
                "public": hex::encode(public.as_bytes()),
                "keyid": public.id().to_string(),
                "fingerprint": public.fingerprint().to_hex(),
            })
        })
        .collect();
    pretty(&json!({ "scheme": "ed25519", "keys": list }))
}

fn encodings() -> Vec<u8> {
    let case = Case::good();
    let bundle = case.bundle();
    let order = &bundle.order;
    let pae = dsse::pae(&order.payload_type, &order.payload);
    let leaves: Vec<Value> = case
        .leaves
        .iter()
        .enumerate()
        .map(|(i, leaf)| {
            let hashes = chasqui_trust::order::leaf_hashes(&case.leaves).unwrap();
            json!({
                "json": text(leaf.encode().unwrap()),
                "hash": leaf.hash().unwrap().to_hex(),
                "proof": merkle::proof(&hashes, i).unwrap().iter().map(Digest::to_hex).collect::<Vec<_>>(),
            })
        })
        .collect();
    let log: Vec<Digest> = (0..7u8).map(|i| merkle::leaf_hash(&[i])).collect();
    let hexes = |list: Vec<Digest>| list.iter().map(Digest::to_hex).collect::<Vec<_>>();
    pretty(&json!({
        "order_payload": text(order.payload.clone()),
        "order_pae_sha256": Digest::of(&pae).to_hex(),
        "order_digest": bundle.order_digest().to_hex(),
        "definition": text(bundle.definition.clone()),
        "definition_digest": Digest::of(&bundle.definition).to_hex(),
        "leaves": leaves,
        "merkle_root": bundle.read_order().unwrap().targets.merkle_root.to_hex(),
        "log": {
            "note": "entries are the single bytes 0 to 6",
            "leaf_hashes": hexes(log.clone()),
            "roots_of_first": (0..=7).map(|n| merkle::log_root(&log, n).unwrap().to_hex()).collect::<Vec<_>>(),
            "inclusion_of_entry_4_in_7": hexes(merkle::inclusion_proof(&log, 4, 7).unwrap()),
            "consistency_3_to_7": hexes(merkle::consistency_proof(&log, 3, 7).unwrap()),
            "consistency_4_to_7": hexes(merkle::consistency_proof(&log, 4, 7).unwrap()),
        },
    }))
}

fn log_evidence() -> LogEvidence {
    let entries: Vec<Vec<u8>> = (0..7u8).map(|i| vec![i]).collect();
    let hashes: Vec<Digest> = entries.iter().map(|e| merkle::leaf_hash(e)).collect();
    let checkpoint = Checkpoint {
        critical: vec![],
        org: ORG.into(),
        size: 7,
        root: merkle::root(&hashes),
        at_ms: T0 + DAY,
    };
    LogEvidence {
        checkpoint: sign(&checkpoint, &[&key("log")]).unwrap(),
        log_key: key("log").public_key(),
        entry: entries[4].clone(),
        index: 4,
        proof: merkle::proof(&hashes, 4).unwrap(),
    }
}

/// Name, code, and how the case is bent.
fn refused_cases() -> Vec<(&'static str, &'static str, Case)> {
    let bent = |bend: fn(&mut Case)| {
        let mut case = Case::good();
        bend(&mut case);
        case
    };
    vec![
        (
            "a parameter changed after signing",
            "ORDER_SIGNATURE_INVALID",
            bent(|c| {
                c.edit_bundle = Some(Box::new(|b| {
                    let payload = text(b.order.payload.clone());
                    b.order.payload = payload
                        .replacen("{\"integer\":30}", "{\"integer\":1}", 1)
                        .into_bytes();
                }));
            }),
        ),
        (
            "spare space in the signed payload",
            "ORDER_MALFORMED",
            bent(|c| c.edit_order_payload = Some(Box::new(|p| *p = p.replacen(':', ": ", 1)))),
        ),
        (
            "an unknown critical field",
            "UNKNOWN_CRITICAL",
            bent(|c| {
                c.edit_order_payload = Some(Box::new(|p| {
                    *p = p.replacen("\"critical\":[]", "\"critical\":[\"locks\"]", 1);
                }));
            }),
        ),
        (
            "one approval too few",
            "APPROVALS_MISSING",
            bent(|c| {
                c.statements.pop();
            }),
        ),
        (
            "two keys of one person",
            "APPROVAL_SAME_PERSON",
            bent(|c| c.statements[1] = approval("bruno", "bruno-token")),
        ),
        (
            "requester = approver",
            "APPROVAL_OWN_ORDER",
            bent(|c| c.statements[1] = approval("ana", "ana")),
        ),
        (
            "a browser's key at risk 2",
            "ORDER_BROWSER_KEY",
            bent(|c| c.order_key = "ana-browser"),
        ),
        (
            "a leaf of another machine",
            "ORDER_OTHER_DEVICE",
            bent(|c| c.index = 0),
        ),
        (
            "a wave brought forward",
            "ORDER_LEAF_PROOF_INVALID",
            bent(|c| c.edit_bundle = Some(Box::new(|b| b.leaf.not_before_ms = 0))),
        ),
        (
            "expired",
            "ORDER_EXPIRED",
            bent(|c| c.order.not_after_ms = c.now_ms),
        ),
    ]
}

fn refused() -> Vec<u8> {
    let list: Vec<Value> = refused_cases()
        .iter()
        .map(|(name, code, case)| {
            json!({ "name": name, "code": code, "bundle": text(case.bytes()) })
        })
        .collect();
    pretty(&json!({
        "note": "each judged under root.json, people.json and catalogue.json, by the machine of key device-1, at now_ms",
        "now_ms": Case::good().now_ms,
        "cases": list,
    }))
}

fn produced() -> Vec<(&'static str, Vec<u8>)> {
    let case = Case::good();
    let device = key("device-1");
    let mut evidence = case.evidence();
    evidence.log = Some(log_evidence());
    let mut next = case.root.clone();
    next.version = 2;
    let next = sign(&next, &[&key("root-2"), &key("root-3")]).unwrap();
    vec![
        ("keys.json", keys()),
        ("root.json", case.root_envelope().to_json()),
        ("root-2.json", next.to_json()),
        ("people.json", case.people_envelope().to_json()),
        ("catalogue.json", case.catalogue_envelope().to_json()),
        ("definition.json", case.definition_bytes()),
        ("bundle.json", case.bytes()),
        (
            "consent.json",
            sign(&case.consent_receipt(), &[&device]).unwrap().to_json(),
        ),
        (
            "result.json",
            sign(&case.result(), &[&device]).unwrap().to_json(),
        ),
        ("evidence.json", evidence.encode().unwrap()),
        ("encodings.json", encodings()),
        ("refused.json", refused()),
    ]
}

#[test]
fn the_program_still_produces_exactly_these_bytes() {
    let write = std::env::var("CHASQUI_WRITE_VECTORS").is_ok_and(|v| v == "1");
    for (name, bytes) in produced() {
        if write {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(folder().join(name), &bytes).unwrap();
        }
        assert!(
            read(name) == bytes,
            "{name} is no longer what the program produces; if the format was meant to change, set CHASQUI_WRITE_VECTORS=1"
        );
    }
}

/// Reads the files alone, without the code that made them.
#[test]
fn the_program_accepts_these_bytes() {
    let mut trust = TrustState::from_root(&read("root.json")).unwrap();
    let refused: Value = serde_json::from_slice(&read("refused.json")).unwrap();
    let now = refused["now_ms"].as_i64().unwrap();
    trust.accept_people(&read("people.json"), now).unwrap();
    let catalogue = trust
        .accept_catalogue(&read("catalogue.json"), now)
        .unwrap();

    let bytes = read("bundle.json");
    let bundle = OrderBundle::decode(&bytes).unwrap();
    assert_eq!(bundle.definition, read("definition.json"));
    let evidence = read("evidence.json");
    let evidence = chasqui_trust::Evidence::decode(&evidence).unwrap();
    let device = DeviceIdentity::of(&evidence.device_key, None);
    let authorised = verify_order(&bytes, &trust, &catalogue, &device, now).unwrap();
    let result = read("result.json");
    let result = verify_result(&result, &authorised.digest(), &evidence.device_key).unwrap();
    assert_eq!(
        result.consent_digest,
        Some(
            Envelope::from_json(&read("consent.json"))
                .unwrap()
                .payload_digest()
        )
    );
    let report = verify_evidence(&read("evidence.json"), &read("root.json")).unwrap();
    assert_eq!(report.check_holds, Some(true));

    for case in refused["cases"].as_array().unwrap() {
        let bundle = case["bundle"].as_str().unwrap().as_bytes();
        let refusal = verify_order(bundle, &trust, &catalogue, &device, now).unwrap_err();
        assert_eq!(refusal.code(), case["code"], "{}", case["name"]);
    }
    trust.accept_root(&read("root-2.json")).unwrap();
    assert_eq!(trust.root().version, 2);
}
