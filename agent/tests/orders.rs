//! The path of an order through the real agent process, against a coordinator in the test's hands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::path::PathBuf;

use chasqui_proto::v1::server_message::Message as FromServer;
use chasqui_proto::v1::{self, ProgressState};
use chasqui_trust::OrderBundle;
use chasqui_trust::result::Outcome;
use support::*;

struct Case {
    coordinator: Coordinator,
    machine: Machine,
    marker: PathBuf,
    id: String,
    bundle: OrderBundle,
}

/// An enrolled machine and an order for it that leaves a mark; not delivered yet.
fn case() -> Case {
    let coordinator = Coordinator::start(Organisation::new());
    let machine = Machine::new(&coordinator);
    machine.enrol();
    let marker = machine.folder.path().join("marker");
    let definition = marking("test.mark", &marker);
    coordinator.publish(std::slice::from_ref(&definition));
    let (id, bundle) = coordinator
        .organisation
        .order(&definition, vec![], &machine.public_key());
    Case {
        coordinator,
        machine,
        marker,
        id,
        bundle,
    }
}

impl Case {
    fn deliver(&self) {
        self.coordinator.deliver(&self.id, &self.bundle);
    }

    fn result(&self) -> chasqui_trust::ActionResult {
        until("a result", || {
            self.coordinator.results(&self.id, &self.bundle).pop()
        })
    }
}

#[test]
fn an_approved_order_runs_once_and_its_result_is_told() {
    let case = case();
    let agent = case.machine.run();
    until("a link", || {
        (!case.coordinator.book().hellos.is_empty()).then_some(())
    });
    case.deliver();
    let result = case.result();
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    assert!(result.check.unwrap().holds);
    assert_eq!(result.steps[0].exit_code, Some(0));
    assert_eq!(marks(&case.marker), 1);
    let states: Vec<_> = case
        .coordinator
        .book()
        .progress
        .iter()
        .map(|progress| progress.state())
        .collect();
    assert_eq!(
        states,
        [
            ProgressState::Accepted,
            ProgressState::Running,
            ProgressState::Checking
        ]
    );
    let output = until("live output", || {
        case.coordinator.book().output.get(&case.id).cloned()
    });
    assert!(String::from_utf8_lossy(&output).starts_with("== step: "));
    // The receipt that the person was told travels with the result.
    let submitted = case.coordinator.book().results[0].clone();
    let receipt = chasqui_trust::verify_consent(
        &submitted.consent,
        &case.bundle.order_digest(),
        &case.machine.public_key(),
    )
    .unwrap();
    assert!(receipt.shown.contains("MA-2026-000001"));

    // The same bytes again: the same answer, no second run.
    case.deliver();
    until("the answer again", || {
        (case.coordinator.book().results.len() > 1).then_some(())
    });
    assert_eq!(case.coordinator.results(&case.id, &case.bundle).len(), 1);
    assert_eq!(marks(&case.marker), 1);

    // A restored coordinator gets it once more.
    let before = case.coordinator.book().results.len();
    case.coordinator.book().store_epoch = 8;
    case.coordinator.hang_up();
    until("the answer for the new epoch", || {
        (case.coordinator.book().results.len() > before).then_some(())
    });
    assert_eq!(case.coordinator.results(&case.id, &case.bundle).len(), 1);

    assert!(agent.stop().success());
    let history = case.machine.command(&["history"]).output().unwrap();
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(
        history.contains("done") && history.contains("Persona ana"),
        "{history}"
    );
}

#[test]
fn an_abort_at_any_point_runs_nothing_twice_and_loses_no_result() {
    let names = {
        let case = case();
        let names = case.machine.command(&["fault-points"]).output().unwrap();
        String::from_utf8(names.stdout).unwrap()
    };
    let on_the_way: Vec<&str> = names
        .lines()
        .filter(|name| name.starts_with("agent."))
        .filter(|name| !name.starts_with("agent.enrol") && !name.starts_with("agent.renewal"))
        .filter(|name| {
            // Other tests pass these: a second root, a file that is cleaned.
            !["agent.trust.root.written", "agent.action.file.removed"].contains(name)
        })
        .collect();
    assert!(on_the_way.len() >= 10, "{on_the_way:?}");
    for name in on_the_way {
        let case = case();
        case.deliver();
        let mut agent = case.machine.run_with(&[("CHASQUI_FAULT", name)]);
        let ended = until(name, || agent.child.try_wait().unwrap());
        assert!(!ended.success(), "{name}");
        let agent = case.machine.run();
        case.result();
        // Everything is handed over and nothing comes after it.
        until("an empty outbox", || {
            let status = case.machine.status();
            (status.results_waiting == 0
                && status.link == chasqui_agent::status::Link::Connected
                && status.running.is_none())
            .then_some(())
        });
        agent.stop();
        let results = case.coordinator.results(&case.id, &case.bundle);
        assert_eq!(results.len(), 1, "{name}: {results:?}");
        assert!(marks(&case.marker) <= 1, "{name}");
        let succeeded = results[0].outcome == Outcome::Succeeded;
        let unknown = results[0].outcome == Outcome::Unknown;
        assert!(succeeded || unknown, "{name}: {results:?}");
        assert!(!succeeded || marks(&case.marker) == 1, "{name}");
    }
}

#[test]
fn a_full_disk_refuses_the_order_and_the_agent_stays_up() {
    let case = case();
    // Documents first, as on any machine whose disk fills later.
    let agent = case.machine.run();
    until("documents", || {
        (case.machine.status().catalogue_version == 1).then_some(())
    });
    agent.stop();
    let mut command = std::process::Command::new("/usr/bin/prlimit");
    command
        .arg("--fsize=0")
        .arg(env!("CARGO_BIN_EXE_chasqui-agent"))
        .arg("run");
    case.machine.dress(&mut command);
    // Its log goes to a pipe's end: files take nothing.
    command.env("CHASQUI_AGENT_LOG", "error");
    let mut agent = Running::spawn(&mut command, "/dev/null".into());
    let hellos = case.coordinator.book().hellos.len();
    until("a link", || {
        (case.coordinator.book().hellos.len() > hellos).then_some(())
    });
    case.deliver();
    let result = case.result();
    assert_eq!(result.outcome, Outcome::Refused);
    assert_eq!(result.refusal.unwrap().rule, "JOURNAL_UNAVAILABLE");
    assert_eq!(marks(&case.marker), 0);
    assert!(
        agent.child.try_wait().unwrap().is_none(),
        "the agent stays up"
    );
}

#[test]
fn an_order_refused_for_a_full_disk_does_not_begin_after_a_restart() {
    let case = case();
    // How long the journal's first line is, from an order of the same shape.
    case.deliver();
    let agent = case.machine.run();
    case.result();
    agent.stop();
    let file = std::fs::read_dir(case.machine.state().join("journal"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let journal = std::fs::read_to_string(file).unwrap();
    let first_line = journal.lines().next().unwrap().len() + 1;
    std::fs::remove_file(&case.marker).unwrap();

    let definition = case.bundle.read_definition().unwrap();
    let (id, bundle) =
        case.coordinator
            .organisation
            .order(&definition, vec![], &case.machine.public_key());
    let mut command = std::process::Command::new("/usr/bin/prlimit");
    command
        // Room for the order, none for its beginning.
        .arg(format!("--fsize={}", first_line + 30))
        .arg(env!("CARGO_BIN_EXE_chasqui-agent"))
        .arg("run");
    case.machine.dress(&mut command);
    command.env("CHASQUI_AGENT_LOG", "error");
    let mut agent = Running::spawn(&mut command, "/dev/null".into());
    case.coordinator.deliver(&id, &bundle);
    let result = until("a refusal", || case.coordinator.results(&id, &bundle).pop());
    assert_eq!(result.refusal.unwrap().rule, "JOURNAL_UNAVAILABLE");
    let accepted = case
        .coordinator
        .book()
        .progress
        .iter()
        .any(|p| p.order_id == id);
    assert!(
        accepted,
        "the order was written down, its beginning was not"
    );
    // As in a power cut: no chance to tidy up.
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();

    let agent = case.machine.run();
    let hellos = case.coordinator.book().hellos.len();
    until("a link", || {
        (case.coordinator.book().hellos.len() > hellos).then_some(())
    });
    agent.stop();
    assert_eq!(marks(&case.marker), 0);
    assert_eq!(case.coordinator.results(&id, &bundle).len(), 1);
}

#[test]
fn an_agent_that_is_stopped_finishes_what_runs_and_leaves_the_rest() {
    let case = case();
    let slow = definition(
        "test.slow",
        program("/usr/bin/sleep", &["3"]),
        program("/usr/bin/true", &[]),
    );
    case.coordinator
        .publish(&[slow.clone(), case.bundle.read_definition().unwrap()]);
    let (id, bundle) =
        case.coordinator
            .organisation
            .order(&slow, vec![], &case.machine.public_key());
    let agent = case.machine.run();
    case.coordinator.deliver(&id, &bundle);
    until("running", || {
        case.coordinator
            .book()
            .progress
            .iter()
            .any(|progress| progress.state() == ProgressState::Running)
            .then_some(())
    });
    case.deliver();
    until("the second accepted", || {
        case.coordinator
            .book()
            .progress
            .iter()
            .any(|progress| progress.order_id == case.id)
            .then_some(())
    });
    assert!(agent.stop().success());
    // Handed over before the link closed.
    let results = case.coordinator.results(&id, &bundle);
    assert_eq!(results[0].outcome, Outcome::Succeeded);
    assert_eq!(marks(&case.marker), 0);
    let _agent = case.machine.run();
    assert_eq!(case.result().outcome, Outcome::Succeeded);
    assert_eq!(marks(&case.marker), 1);
}

#[test]
fn a_wrong_clock_is_said_and_obeyed_by_nobody() {
    let case = case();
    case.deliver();
    let _agent = case
        .machine
        .run_with(&[("CHASQUI_CLOCK_OFFSET_MS", "86400000")]);
    let result = case.result();
    assert_eq!(result.outcome, Outcome::Refused);
    let refusal = result.refusal.unwrap();
    assert_eq!(refusal.rule, "ORDER_EXPIRED");
    assert!(refusal.detail.en.contains("clock"), "{refusal:?}");
    assert!(result.clock_offset_ms.unwrap() > 86_000_000);
    let status = case.machine.status();
    assert!(status.clock_wrong);
    assert_eq!(marks(&case.marker), 0);
}

#[test]
fn a_clock_that_is_behind_refuses_too() {
    let case = case();
    case.deliver();
    let _agent = case
        .machine
        .run_with(&[("CHASQUI_CLOCK_OFFSET_MS", "-86400000")]);
    let result = case.result();
    let refusal = result.refusal.unwrap();
    assert_eq!(refusal.rule, "ORDER_NOT_YET_VALID");
    assert!(refusal.detail.es.contains("reloj"), "{refusal:?}");
    assert_eq!(marks(&case.marker), 0);
}

#[test]
fn an_order_whose_time_comes_later_waits_for_it() {
    let case = case();
    let definition = case.bundle.read_definition().unwrap();
    let now = chasqui_base::clock::now_ms();
    let (id, bundle) = case.coordinator.organisation.order_valid(
        &definition,
        vec![],
        &case.machine.public_key(),
        now + 3_000,
        now + 600_000,
    );
    case.coordinator.deliver(&id, &bundle);
    let _agent = case.machine.run();
    let result = until("a result", || case.coordinator.results(&id, &bundle).pop());
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert!(result.started_at_ms.unwrap() >= now + 3_000);
}

#[test]
fn altered_orders_are_refused_and_named() {
    let case = case();
    let mut altered = case.bundle.clone();
    // One changed word of what was signed.
    let text = String::from_utf8(altered.order.payload.clone()).unwrap();
    altered.order.payload = text.replace("prueba", "pruebo").into_bytes();
    case.coordinator.deliver(&case.id, &altered);
    let _agent = case.machine.run();
    let result = until("a refusal", || {
        case.coordinator.results(&case.id, &altered).pop()
    });
    assert_eq!(result.refusal.unwrap().rule, "ORDER_SIGNATURE_INVALID");
    // The refusal of the altered bytes stands in nobody's way.
    case.deliver();
    let result = until("a result", || {
        let book = case.coordinator.book();
        let key = case.machine.public_key();
        book.results.iter().find_map(|result| {
            chasqui_trust::verify_result(&result.envelope, &case.bundle.order_digest(), &key).ok()
        })
    });
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert_eq!(marks(&case.marker), 1);
}

#[test]
fn a_stop_ends_the_whole_tree_and_says_cancelled() {
    let case = case();
    let definition = definition(
        "test.sleep",
        program("/usr/bin/sleep", &["61.5"]),
        program("/usr/bin/true", &[]),
    );
    case.coordinator.publish(std::slice::from_ref(&definition));
    let (id, bundle) =
        case.coordinator
            .organisation
            .order(&definition, vec![], &case.machine.public_key());
    let _agent = case.machine.run();
    until("a link", || {
        (!case.coordinator.book().hellos.is_empty()).then_some(())
    });
    case.coordinator.deliver(&id, &bundle);
    until("running", || {
        case.coordinator
            .book()
            .progress
            .iter()
            .any(|progress| progress.state() == ProgressState::Running)
            .then_some(())
    });
    case.coordinator.push(FromServer::Stop(v1::OrderStop {
        order_id: id.clone(),
        order_digest: bundle.order_digest().as_bytes().to_vec().into(),
        reason: "not needed".into(),
    }));
    let result = until("a result", || case.coordinator.results(&id, &bundle).pop());
    assert_eq!(result.outcome, Outcome::Cancelled);
    assert_eq!(result.steps[0].note, "cancelled");
}

#[test]
fn the_local_policy_refuses_and_a_broken_one_refuses_everything() {
    let case = case();
    let policy = case.machine.folder.path().join("policy.toml");
    for (text, rule) in [
        ("max_risk = 0", "POLICY_MAX_RISK"),
        ("max_risk = \"none\"", "POLICY_UNREADABLE"),
        ("denied = [\"test.*\"]", "POLICY_ACTION_DENIED"),
    ] {
        std::fs::write(&policy, text).unwrap();
        let definition = case.bundle.read_definition().unwrap();
        let (id, bundle) =
            case.coordinator
                .organisation
                .order(&definition, vec![], &case.machine.public_key());
        case.coordinator.deliver(&id, &bundle);
        let agent = case.machine.run();
        let result = until("a result", || case.coordinator.results(&id, &bundle).pop());
        assert_eq!(result.refusal.unwrap().rule, rule);
        agent.stop();
    }
    assert_eq!(marks(&case.marker), 0);
}

#[test]
fn a_step_that_prints_without_end_fills_nothing() {
    let case = case();
    let mut definition = definition(
        "test.flood",
        program(
            "/usr/bin/dd",
            &["if=/dev/zero", "bs=1M", "count=100", "status=none"],
        ),
        program("/usr/bin/true", &[]),
    );
    definition.consent = chasqui_trust::definition::Consent::None;
    case.coordinator.publish(std::slice::from_ref(&definition));
    let (id, bundle) =
        case.coordinator
            .organisation
            .order(&definition, vec![], &case.machine.public_key());
    let agent = case.machine.run();
    case.coordinator.deliver(&id, &bundle);
    let result = until("a result", || case.coordinator.results(&id, &bundle).pop());
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert!(result.output.truncated);
    assert_eq!(result.output.bytes, 1024 * 1024);
    assert_eq!(result.consent_digest, None);
    let memory = std::fs::read_to_string(format!("/proc/{}/status", agent.child.id())).unwrap();
    let peak: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(peak < 60_000, "{peak} KiB");
}
