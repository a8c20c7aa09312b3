//! Canonical form: whatever an order holds, there is exactly one way to write it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use chasqui_trust::order::{Order, Parameter, ParameterValue};
use chasqui_trust::{Document, describe_order};
use common::Case;
use proptest::prelude::*;

fn value() -> impl Strategy<Value = ParameterValue> {
    prop_oneof![
        any::<i64>().prop_map(ParameterValue::Integer),
        ".{0,40}".prop_map(ParameterValue::Text),
        prop::collection::vec(".{0,10}", 0..5).prop_map(ParameterValue::List),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    (
        prop::collection::btree_map("[a-z][a-z0-9_]{0,12}", value(), 0..8),
        "[a-zA-Z ñáéíóú\"\\\\/<>&\u{1f600}]{1,60}",
        0i64..4_000_000_000_000,
        1i64..4_000_000_000_000,
        any::<u64>(),
    )
        .prop_map(|(parameters, reason, begin, length, people)| {
            let mut order = Case::good().order;
            order.definition.id = "dns.flush".into();
            order.targets.count = 1;
            order.parameters = parameters
                .into_iter()
                .map(|(name, value)| Parameter { name, value })
                .collect();
            order.reason = format!("x{reason}");
            order.created_at_ms = begin;
            order.not_before_ms = begin;
            order.not_after_ms = begin + length;
            order.min_people_version = people;
            order
        })
}

proptest! {
    #[test]
    fn an_order_survives_its_bytes(order in order()) {
        let bytes = order.encode().unwrap();
        let back = Order::decode_payload(&bytes).unwrap();
        prop_assert_eq!(&back, &order);
        prop_assert_eq!(back.encode().unwrap(), bytes);
    }

    /// Independent oracle: a general JSON reader sees the same value, and its own ways of writing it are refused unless
    /// they are ours.
    #[test]
    fn another_spelling_of_the_same_json_is_refused(order in order()) {
        let bytes = order.encode().unwrap();
        let general: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for other in [
            serde_json::to_vec_pretty(&general).unwrap(),
            serde_json::to_vec(&general).unwrap(),
            String::from_utf8(bytes.clone()).unwrap().replacen('o', "\\u006f", 1).into_bytes(),
            String::from_utf8(bytes.clone()).unwrap().replacen("\"version\":3", "\"version\":3.0", 1).into_bytes(),
        ] {
            if other != bytes {
                let same: Result<serde_json::Value, _> = serde_json::from_slice(&other);
                prop_assert!(same.is_ok());
                prop_assert!(Order::decode_payload(&other).is_err());
            }
        }
    }

    /// No bytes at all make a reader panic.
    #[test]
    fn readers_do_not_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = chasqui_trust::OrderBundle::decode(&bytes);
        let _ = chasqui_trust::Envelope::from_json(&bytes);
        let _ = chasqui_trust::Evidence::decode(&bytes);
        let _ = Order::decode_payload(&bytes);
        let _ = chasqui_trust::Definition::decode_payload(&bytes);
        let _ = chasqui_trust::SigningKey::from_pkcs8_der(&bytes);
        let _ = chasqui_trust::SigningKey::from_encrypted_pem(&String::from_utf8_lossy(&bytes), b"x");
    }
}

#[test]
fn a_field_twice_and_a_missing_field_are_refused() {
    let mut order = Case::good().order;
    order.definition.id = "dns.flush".into();
    order.targets.count = 1;
    let text = String::from_utf8(order.encode().unwrap()).unwrap();
    assert!(Order::decode_payload(text.as_bytes()).is_ok());
    let twice = text.replacen("\"critical\":[],", "\"critical\":[],\"critical\":[],", 1);
    assert_eq!(
        Order::decode_payload(twice.as_bytes()).unwrap_err().code(),
        "PAPER_UNREADABLE"
    );
    let missing = text.replacen("\"consent\":\"notify\",", "", 1);
    assert_eq!(
        Order::decode_payload(missing.as_bytes())
            .unwrap_err()
            .code(),
        "PAPER_UNREADABLE"
    );
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let deep = format!("{{\"critical\":{}", "[".repeat(100_000));
    assert!(Order::decode_payload(deep.as_bytes()).is_err());
    let hidden = format!(
        "{{\"x\":{}{},\"critical\":[]}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(Order::decode_payload(hidden.as_bytes()).is_err());
}

fn signed_parts(case: &Case) -> (Order, chasqui_trust::Definition) {
    let bundle = case.bundle();
    (
        bundle.read_order().unwrap(),
        bundle.read_definition().unwrap(),
    )
}

#[test]
fn the_description_names_everything_the_signature_covers() {
    let case = Case::good();
    let (order, definition) = signed_parts(&case);
    let text = describe_order(&order, &definition, &case.leaves, None).unwrap();
    for words in [
        "Limpiar archivos temporales (disk.clean.temp v3)",
        "Riesgo: 2",
        "Solicita: ana",
        "Tiquete: MA-2026-000123",
        "El disco está al 97 %.",
        "Días de antigüedad (days): 30",
        "cache, sesión 1",
        "Equipos: 3",
        "equipo-0, placa MUS-000",
        "equipo-2:",
        "/usr/bin/sync --file-system",
        "Hay más espacio libre",
        "2026-11-02 12:00:00 UTC — 2026-11-04 12:00:00 UTC",
    ] {
        assert!(text.es.contains(words), "{words} is not in\n{}", text.es);
    }
    assert!(
        text.en
            .contains("Clean temporary files (disk.clean.temp v3)")
    );
    assert!(text.en.contains("Age in days (days): 30"));
    let named = describe_order(&order, &definition, &case.leaves, Some(&case.people)).unwrap();
    assert!(named.es.contains("Solicita: Ana Gómez (ana)"));
}

#[test]
fn other_machines_or_another_definition_are_not_described() {
    let case = Case::good();
    let (order, definition) = signed_parts(&case);
    let mut leaves = case.leaves.clone();
    leaves[2].host_name = "servidor".into();
    assert!(describe_order(&order, &definition, &leaves, None).is_err());
    assert!(describe_order(&order, &definition, &case.leaves[..2], None).is_err());
    let mut other = definition.clone();
    other.risk = 0;
    assert!(describe_order(&order, &other, &case.leaves, None).is_err());
}

#[test]
fn a_reason_cannot_pose_as_lines_of_the_description_or_as_markup() {
    let mut case = Case::good();
    case.order.reason = "urgente\nRiesgo: 0 (solo lectura)\n<script>".into();
    let (order, definition) = signed_parts(&case);
    let text = describe_order(&order, &definition, &case.leaves, None).unwrap();
    assert!(!text.es.lines().any(|line| line.starts_with("Riesgo: 0")));
    assert!(!text.es.contains("<script>"));
    // A terminal's escape does not even get signed.
    case.order.reason = "a\u{1b}[2J".into();
    assert!(case.order.encode().is_err());
}
