//! The demo as a stranger runs it, and what it says when somebody tampers: a stored order is altered and the machine
//! refuses it; an after-check asks for what is not so and success is not claimed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use chasqui_tests::fleet::shipped_definitions;
use chasqui_tests::programs;
use chasqui_trust::definition::{ArgValue, Run};
use chasqui_trust::order::ParameterValue;
use chasqui_trust::{Document, Envelope};
use rusqlite::Connection;
use serde_json::Value;

fn demo(data: &Path) -> Command {
    let mut command = programs::command("chasqui").unwrap();
    command
        .args(["demo", "--once", "--json", "--lang", "en", "--data"])
        .arg(data);
    command
}

/// Every line of the demo that is JSON.
fn lines(output: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(output)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn steps(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter(|line| line["ok"] == true)
        .filter_map(|line| line["step"].as_str())
        .collect()
}

fn show(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Fails unless the demo ended badly at this step; answers the code it gave.
fn failed_at(output: &Output, step: &str) -> String {
    assert!(!output.status.success(), "{}", show(output));
    let lines = lines(&output.stdout);
    let failure = lines
        .iter()
        .find(|line| line["demo"] == "failed")
        .unwrap_or_else(|| panic!("no failure told: {}", show(output)));
    assert_eq!(failure["step"], step, "{}", show(output));
    assert!(!steps(&lines).contains(&step), "{}", show(output));
    failure["code"].as_str().unwrap().to_owned()
}

#[test]
fn the_demo_plays_every_step_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let output = demo(&data).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", show(&output));
    let lines = lines(&output.stdout);
    assert_eq!(
        steps(&lines),
        [
            "setup",
            "enrol",
            "inventory",
            "ticket",
            "classify",
            "request",
            "approve",
            "verify",
            "run",
            "check",
            "timeline",
            "solve",
            "close",
            "retirement",
            "evidence"
        ]
    );
    let evidence = fs::read(data.join("evidence.json")).unwrap();
    assert!(evidence.len() > 1_000);
    // The children name the folder on their command lines; none may be left.
    let needle = data.to_string_lossy().into_owned();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains(&needle), "still runs: {line}");
    }
}

#[test]
fn the_demo_refuses_a_folder_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("thesis.txt");
    fs::write(&file, "years of work").unwrap();
    let output = demo(folder.path()).stdin(Stdio::null()).output().unwrap();
    failed_at(&output, "setup");
    assert_eq!(fs::read(&file).unwrap(), b"years of work");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Plays until before `verify`, lets `tamper` at the coordinator's database, and goes on.
fn demo_with(tamper: impl FnOnce(&Connection)) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let mut child = demo(&data)
        .args(["--pause-before", "verify"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    loop {
        let from = told.len();
        let read = stdout.read_line(&mut told).unwrap();
        assert_ne!(read, 0, "it ended before the pause:\n{told}");
        if told[from..].trim() == "paused before verify" {
            break;
        }
    }
    let database = Connection::open(data.join("server/chasqui.db")).unwrap();
    database
        .busy_timeout(std::time::Duration::from_secs(20))
        .unwrap();
    tamper(&database);
    drop(database);
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stdout, &mut rest).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = told.into_bytes();
    output.stdout.extend(rest);
    output
}

/// Rewrites the stored order's payload.
fn alter_order(database: &Connection, from: &str, to: &str) {
    let envelope: Vec<u8> = database
        .query_row("SELECT envelope FROM orders", [], |row| row.get(0))
        .unwrap();
    let mut envelope = Envelope::from_json(&envelope).unwrap();
    let payload = String::from_utf8(envelope.payload).unwrap();
    assert!(payload.contains(from), "{payload}");
    envelope.payload = payload.replace(from, to).into_bytes();
    let changed = database
        .execute("UPDATE orders SET envelope = ?1", [envelope.to_json()])
        .unwrap();
    assert_eq!(changed, 1);
}

const DAYS: &str = r#""older_than_days","value":{"integer":30}"#;

#[test]
fn an_altered_parameter_of_the_stored_order_fails_at_verify() {
    let output = demo_with(|database| {
        alter_order(database, DAYS, r#""older_than_days","value":{"integer":1}"#);
    });
    assert_eq!(failed_at(&output, "verify"), "ORDER_SIGNATURE_INVALID");
}

#[test]
fn the_same_pause_without_tampering_holds() {
    let output = demo_with(|database| alter_order(database, DAYS, DAYS));
    assert!(output.status.success(), "{}", show(&output));
}

/// The shipped definitions as a catalogue folder, with the after-check of `disk.clean.temp` asking for this many bytes.
fn catalogue_asking_for(bytes: i64, folder: &Path) {
    for mut definition in shipped_definitions().unwrap() {
        if definition.id == "disk.clean.temp" {
            let Run::Builtin { args, .. } = &mut definition.check.run else {
                panic!("the check is a built-in")
            };
            let asked = args
                .iter_mut()
                .find(|arg| arg.name == "freed_at_least_bytes")
                .unwrap();
            asked.value = ArgValue::Literal(ParameterValue::Integer(bytes));
        }
        let file = folder.join(format!("{}.json", definition.id));
        fs::write(file, definition.encode().unwrap()).unwrap();
    }
}

#[test]
fn an_after_check_that_does_not_hold_fails_at_check_though_the_program_ended_well() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, holds) in [(1_i64 << 50, false), (1, true)] {
        let catalogue = folder.path().join(format!("catalogue-{bytes}"));
        fs::create_dir(&catalogue).unwrap();
        catalogue_asking_for(bytes, &catalogue);
        let output = demo(&folder.path().join(format!("demo-{bytes}")))
            .arg("--catalogue")
            .arg(&catalogue)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if holds {
            assert!(output.status.success(), "{}", show(&output));
        } else {
            failed_at(&output, "check");
            assert!(
                steps(&lines(&output.stdout)).contains(&"run"),
                "{}",
                show(&output)
            );
        }
    }
}
