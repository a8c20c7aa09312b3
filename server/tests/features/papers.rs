//! The papers of the organisation under test.

use chasqui_base::clock::{DAY_MS, HOUR_MS, now_ms};
use chasqui_proto::v1;
use chasqui_trust::definition::*;
use chasqui_trust::result::{ActionResult, CheckFact, CheckResult, Outcome, Output, RefusalNote};
use chasqui_trust::root::{Role as RootRole, Root, Threshold};
use chasqui_trust::{Digest, SigningKey, Text};

use crate::world::{Machine, ORG};

/// The same in all documents of one run, so that a document made twice is one document.
pub fn start_ms() -> i64 {
    static START: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *START.get_or_init(now_ms)
}

pub fn root_key() -> SigningKey {
    SigningKey::generate([1; 32])
}

/// Risk 2 on up to 2 machines takes one approval, on up to 10 two; nothing else fits.
pub fn root(version: u64) -> Root {
    let key = root_key().public_key();
    let role = RootRole {
        key_ids: vec![key.id()],
        threshold: 1,
    };
    Root {
        critical: vec![],
        org: ORG.to_owned(),
        version,
        issued_at_ms: start_ms() - HOUR_MS,
        expires_at_ms: start_ms() + 365 * DAY_MS,
        keys: vec![key],
        root: role.clone(),
        trust_admins: role.clone(),
        publishers: role,
        release: None,
        coordinators: vec![],
        thresholds: vec![
            Threshold {
                max_risk: 2,
                max_targets: 2,
                approvals: 1,
            },
            Threshold {
                max_risk: 2,
                max_targets: 10,
                approvals: 2,
            },
        ],
        break_glass: Some(Threshold {
            max_risk: 2,
            max_targets: 1,
            approvals: 1,
        }),
    }
}

pub fn definition() -> Definition {
    let days = || NamedArg {
        name: "days".to_owned(),
        value: ArgValue::Parameter("days".to_owned()),
    };
    let run = |name: &str| Run::Builtin {
        name: name.to_owned(),
        args: vec![days()],
    };
    Definition {
        title: Text::new("Limpiar archivos temporales", "Clean temporary files"),
        summary: Text::new("Borra archivos viejos", "Removes old files"),
        plan: Text::new(
            "Borrará los archivos de más de {days} días",
            "Will remove files older than {days} days",
        ),
        if_it_fails: Text::new("Quedan archivos", "Files are left"),
        risk: 2,
        consent: Consent::None,
        when_absent: WhenAbsent::Proceed,
        approvals: 0,
        parameters: vec![ParameterSpec {
            name: "days".to_owned(),
            title: Text::new("Días", "Days"),
            kind: ParameterKind::Integer { min: 1, max: 90 },
        }],
        time_limit_ms: 60_000,
        check_time_limit_ms: 10_000,
        steps: vec![Step {
            id: "clean".to_owned(),
            title: Text::new("Borrar", "Remove"),
            run: run("files.clean"),
        }],
        check: Check {
            summary: Text::new("No quedan", "None are left"),
            run: run("files.count"),
        },
        ..Definition::draft("disk.clean.temp")
    }
}

/// A result of this machine about this order.
pub fn result(machine: &Machine, order: &v1::Order, outcome: Outcome) -> ActionResult {
    let refused = outcome == Outcome::Refused;
    ActionResult {
        critical: vec![],
        org: ORG.to_owned(),
        order_digest: Digest::from_slice(&order.digest).unwrap(),
        device_fingerprint: machine.key().public_key().fingerprint(),
        attempt: 1,
        outcome,
        refusal: refused.then(|| RefusalNote {
            rule: "ORDER_SIGNATURE_INVALID".to_owned(),
            detail: Text::new("la firma no es válida", "the signature does not match"),
        }),
        started_at_ms: (!refused).then(now_ms),
        finished_at_ms: now_ms(),
        steps: vec![],
        output: Output::of(b"", false),
        check: (!refused).then(|| CheckResult {
            holds: outcome == Outcome::Succeeded,
            facts: vec![CheckFact {
                name: "bytes".to_owned(),
                before: Some("4096".to_owned()),
                after: Some("0".to_owned()),
                unit: "B".to_owned(),
            }],
            explanation: Text::new("no quedan archivos viejos", "no old files are left"),
        }),
        consent_digest: None,
        undo: None,
        started_boot_id: (!refused).then(|| "boot".to_owned()),
        boot_id: "boot".to_owned(),
        agent_version: "1.0.0".to_owned(),
        clock_offset_ms: None,
    }
}
