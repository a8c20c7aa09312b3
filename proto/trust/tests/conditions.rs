//! What a definition may say around its steps: every bound broken once.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use chasqui_trust::Document as _;
use chasqui_trust::definition::{
    Consent, Definition, Interruption, Lock, Precondition, StopPolicy, WhenAbsent,
};

#[test]
fn each_bound_of_a_definition_is_named_when_it_is_broken() {
    type Bend = fn(&mut Definition);
    let rows: &[(&str, Bend)] = &[
        ("plan", |d| d.plan.es = "borra {dyas}".into()),
        ("if_it_fails", |d| d.if_it_fails.en = String::new()),
        ("when_absent", |d| {
            d.consent = Consent::AskAlways;
            d.when_absent = WhenAbsent::Proceed;
        }),
        ("approvals", |d| d.approvals = 17),
        ("preconditions", |d| {
            d.preconditions.push(Precondition::NoPendingReboot);
        }),
        ("preconditions", |d| {
            d.preconditions.push(Precondition::NobodyLoggedIn);
            d.preconditions.push(Precondition::SomebodyLoggedIn);
        }),
        ("preconditions.battery_at_least", |d| {
            d.preconditions = vec![Precondition::BatteryAtLeast { percent: 101 }];
        }),
        ("preconditions.free_disk", |d| {
            d.preconditions = vec![Precondition::FreeDisk {
                path: "/tmp/../etc".into(),
                bytes: 1,
            }];
        }),
        ("locks", |d| {
            let again = d.locks[0].clone();
            d.locks.push(again);
        }),
        ("locks.parameter", |d| {
            d.locks.push(Lock {
                resource: "x".into(),
                parameter: Some("unknown".into()),
            });
        }),
        ("interrupts", |d| d.interrupts.push(Interruption::Network)),
        ("stop.end_tree", |d| {
            d.stop = StopPolicy::EndTree { grace_ms: 600_001 };
        }),
        ("limits.memory_bytes", |d| d.limits.memory_bytes = Some(1)),
        ("limits.cpu_percent", |d| d.limits.cpu_percent = Some(0)),
        ("limits.processes", |d| d.limits.processes = Some(0)),
        ("undo.steps", |d| {
            d.undo.as_mut().unwrap().steps.clear();
        }),
        ("undo", |d| {
            let undo = d.undo.as_mut().unwrap();
            undo.when_check_fails = false;
            undo.when_unreachable_ms = None;
        }),
        ("undo.when_unreachable_ms", |d| {
            d.undo.as_mut().unwrap().when_unreachable_ms = Some(3_600_001);
        }),
    ];
    common::definition().validate().unwrap();
    for (field, bend) in rows {
        let mut definition = common::definition();
        bend(&mut definition);
        let said = definition.validate().unwrap_err().to_string();
        assert!(said.contains(field), "{field}: {said}");
    }
}
