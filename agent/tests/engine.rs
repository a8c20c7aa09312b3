//! What the engine does around the steps of an order, in the real agent process: conditions, locks, what is out of reach,
//! taking back, restarts of the machine, starts that wait, bounds, and what is let finish.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use chasqui_proto::v1::server_message::Message as FromServer;
use chasqui_proto::v1::{self, ProgressState};
use chasqui_trust::definition::*;
use chasqui_trust::order::Start;
use chasqui_trust::result::{Outcome, UndoCause};
use chasqui_trust::{ActionResult, Document as _, Order, OrderBundle, Statement, Text, sign};
use support::*;

struct Case {
    coordinator: Coordinator,
    machine: Machine,
}

impl Case {
    fn new() -> Self {
        let coordinator = Coordinator::start(Organisation::new());
        let machine = Machine::new(&coordinator);
        machine.enrol();
        Self {
            coordinator,
            machine,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.machine.folder.path().join(name)
    }

    fn order(&self, definition: &Definition) -> (String, OrderBundle) {
        self.coordinator
            .organisation
            .order(definition, vec![], &self.machine.public_key())
    }

    fn result(&self, (id, bundle): &(String, OrderBundle)) -> ActionResult {
        until("a result", || self.coordinator.results(id, bundle).pop())
    }

    fn reached(&self, id: &str, state: ProgressState) -> bool {
        self.coordinator
            .book()
            .progress
            .iter()
            .any(|progress| progress.order_id == id && progress.state() == state)
    }

    /// Publishes, delivers and waits.
    fn carry_out(&self, definition: &Definition) -> ActionResult {
        self.coordinator.publish(std::slice::from_ref(definition));
        self.carry_out_published(definition)
    }

    fn carry_out_published(&self, definition: &Definition) -> ActionResult {
        let order = self.order(definition);
        self.coordinator.deliver(&order.0, &order.1);
        self.result(&order)
    }

    /// A step that waits until the gate with this name is opened.
    fn waiting(&self, id: &str, lock: &str) -> (Definition, PathBuf) {
        let gate = self.path(&format!("{id}.gate"));
        rustix::fs::mkfifoat(
            rustix::fs::CWD,
            &gate,
            rustix::fs::Mode::from_raw_mode(0o600),
        )
        .unwrap();
        let run = program(
            "/usr/bin/dd",
            &[&format!("if={}", gate.display()), "of=/dev/null"],
        );
        let definition = Definition {
            consent: Consent::None,
            locks: vec![Lock {
                resource: lock.into(),
                parameter: None,
            }],
            ..definition(id, run, program("/usr/bin/true", &[]))
        };
        (definition, gate)
    }
}

fn open_gate(gate: &PathBuf) {
    fs::OpenOptions::new().write(true).open(gate).unwrap();
}

fn harmless(id: &str) -> Definition {
    definition(
        id,
        program("/usr/bin/true", &[]),
        program("/usr/bin/true", &[]),
    )
}

#[test]
fn orders_that_lock_nothing_in_common_work_together_and_others_wait() {
    let case = Case::new();
    let _agent = case.machine.run();
    let (first, first_gate) = case.waiting("test.first", "printer");
    let (same, same_gate) = case.waiting("test.same", "printer");
    let (other, other_gate) = case.waiting("test.other", "clock");
    case.coordinator
        .publish(&[first.clone(), same.clone(), other.clone()]);
    let orders = [&first, &same, &other].map(|definition| {
        let order = case.order(definition);
        case.coordinator.deliver(&order.0, &order.1);
        until("accepted", || {
            case.reached(&order.0, ProgressState::Accepted)
                .then_some(())
        });
        order
    });
    for at in [0, 2] {
        until("running", || {
            case.reached(&orders[at].0, ProgressState::Running)
                .then_some(())
        });
    }
    assert!(!case.reached(&orders[1].0, ProgressState::Running));
    open_gate(&other_gate);
    assert_eq!(case.result(&orders[2]).outcome, Outcome::Succeeded);
    assert!(!case.reached(&orders[1].0, ProgressState::Running));
    open_gate(&first_gate);
    assert_eq!(case.result(&orders[0]).outcome, Outcome::Succeeded);
    until("the second", || {
        case.reached(&orders[1].0, ProgressState::Running)
            .then_some(())
    });
    open_gate(&same_gate);
    assert_eq!(case.result(&orders[1]).outcome, Outcome::Succeeded);
}

#[test]
fn a_condition_that_does_not_hold_refuses_before_anything_begins() {
    let case = Case::new();
    let marker = case.path("marker");
    let _agent = case.machine.run();
    let full = Definition {
        preconditions: vec![Precondition::FreeDisk {
            path: "/usr".into(),
            bytes: u64::MAX >> 1,
        }],
        ..marking("test.room", &marker)
    };
    let result = case.carry_out(&full);
    assert_eq!(result.outcome, Outcome::Refused);
    let refusal = result.refusal.unwrap();
    assert_eq!(refusal.rule, "PRECONDITION");
    assert!(refusal.detail.en.contains("bytes free"), "{refusal:?}");
    assert_eq!(marks(&marker), 0);
}

#[test]
fn the_agents_own_files_are_out_of_reach_of_a_signed_action() {
    let case = Case::new();
    let _agent = case.machine.run();
    let key = case.machine.state().join("device.key");
    let reads = definition(
        "test.key",
        program("/usr/bin/cat", &[&key.display().to_string()]),
        program("/usr/bin/true", &[]),
    );
    let result = case.carry_out(&reads);
    assert_eq!(result.refusal.unwrap().rule, "PROTECTED");
    assert_eq!(result.output.bytes, 0);
}

fn undoing(case: &Case, check: Run, undo: impl FnOnce(Undo) -> Undo) -> (Definition, PathBuf) {
    let (marker, undone) = (case.path("marker"), case.path("undone"));
    let back = marking("unused", &undone).steps.remove(0);
    let plain = marking("test.undo", &marker);
    let definition = Definition {
        check: Check {
            run: check,
            ..plain.check.clone()
        },
        undo: Some(undo(Undo {
            summary: Text::same("Se devuelve"),
            steps: vec![back],
            when_check_fails: true,
            when_unreachable_ms: None,
        })),
        ..plain
    };
    (definition, undone)
}

#[test]
fn what_did_not_help_is_taken_back_and_the_result_says_so() {
    let case = Case::new();
    let _agent = case.machine.run();
    let (fails, undone) = undoing(&case, program("/usr/bin/false", &[]), |undo| undo);
    let result = case.carry_out(&fails);
    assert_eq!(result.outcome, Outcome::Failed);
    let undo = result.undo.unwrap();
    assert_eq!(undo.cause, UndoCause::CheckFailed);
    assert!(undo.complete && undo.steps.len() == 1);
    assert_eq!(marks(&undone), 1);
    assert_eq!(marks(&case.path("marker")), 1);
}

#[test]
fn what_helped_is_not_taken_back() {
    let case = Case::new();
    let _agent = case.machine.run();
    let (helps, undone) = undoing(&case, program("/usr/bin/true", &[]), |undo| Undo {
        when_unreachable_ms: Some(60_000),
        ..undo
    });
    let result = case.carry_out(&helps);
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert!(result.undo.is_none());
    assert_eq!(marks(&undone), 0);
}

#[test]
fn what_cuts_the_machine_off_is_taken_back_also_after_a_restart_of_the_agent() {
    for restart in [false, true] {
        let case = Case::new();
        let (mut cuts, undone) = undoing(&case, program("/usr/bin/true", &[]), |undo| Undo {
            when_unreachable_ms: Some(if restart { 4_000 } else { 1_500 }),
            when_check_fails: false,
            ..undo
        });
        // It "cuts the network" when the gate opens: the coordinator is gone by then.
        let (waits, gate) = case.waiting("unused", "unused");
        cuts.steps.extend(waits.steps.into_iter().map(|step| Step {
            id: "gate".into(),
            ..step
        }));
        case.coordinator.publish(std::slice::from_ref(&cuts));
        let order = case.order(&cuts);
        let agent = case.machine.run();
        case.coordinator.deliver(&order.0, &order.1);
        until("running", || {
            case.reached(&order.0, ProgressState::Running).then_some(())
        });
        case.coordinator.set_reachable(false);
        open_gate(&gate);
        let agent = if restart {
            until("the end of the steps", || {
                journal_says(&case, "stepped").then_some(())
            });
            drop(agent);
            assert_eq!(marks(&undone), 0);
            case.machine.run()
        } else {
            agent
        };
        until("taken back", || (marks(&undone) == 1).then_some(()));
        case.coordinator.set_reachable(true);
        let result = case.result(&order);
        assert_eq!(result.outcome, Outcome::Failed, "restart {restart}");
        let undo = result.undo.unwrap();
        assert_eq!(undo.cause, UndoCause::Unreachable);
        assert!(undo.complete);
        assert_eq!(marks(&case.path("marker")), 1, "the step ran once");
        drop(agent);
    }
}

fn journal_says(case: &Case, word: &str) -> bool {
    fs::read_dir(case.machine.state().join("journal"))
        .unwrap()
        .flatten()
        .any(|file| {
            fs::read_to_string(file.path()).is_ok_and(|text| text.contains(&format!("{word:?}")))
        })
}

fn shipped(id: &str) -> Definition {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../server/catalogue")
        .join(format!("{id}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A machine of files that can be restarted: its boot id, and a systemd that changes it.
fn restartable(case: &Case) -> PathBuf {
    let root = case.path("root");
    let write = |path: &str, text: &str| {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    };
    write("proc/sys/kernel/random/boot_id", "boot-one\n");
    write(
        "usr/bin/systemctl",
        &format!(
            "#!/bin/sh\nroot={}\ncase $1 in is-system-running) echo running;; \
             *) echo \"$@\" >> $root/calls; echo boot-two > $root/proc/sys/kernel/random/boot_id;; esac\n",
            root.display()
        ),
    );
    fs::set_permissions(
        root.join("usr/bin/systemctl"),
        fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    root
}

fn reboot() -> Definition {
    let mut definition = Definition {
        consent: Consent::None,
        when_absent: WhenAbsent::Proceed,
        parameters: vec![],
        preconditions: vec![],
        plan: Text::same("Se reinicia"),
        ..shipped("power.reboot")
    };
    let text = serde_json::to_string(&definition.steps).unwrap();
    let text = text.replace(
        "{\"parameter\":\"notice_seconds\"}",
        "{\"literal\":{\"integer\":0}}",
    );
    definition.steps = serde_json::from_str(&text).unwrap();
    definition
}

#[test]
fn a_restart_is_proved_by_another_boot_and_the_machine_is_restarted_once() {
    let case = Case::new();
    let root = restartable(&case);
    let env = [("CHASQUI_SYSTEM_ROOT", root.to_str().unwrap())];
    let definition = reboot();
    case.coordinator.publish(std::slice::from_ref(&definition));
    let order = case.order(&definition);
    let agent = case.machine.run_with(&env);
    case.coordinator.deliver(&order.0, &order.1);
    until("the restart", || root.join("calls").exists().then_some(()));
    // As systemd does when the machine goes down.
    assert!(agent.stop().success());
    assert!(case.coordinator.results(&order.0, &order.1).is_empty());
    let _agent = case.machine.run_with(&env);
    let result = case.result(&order);
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    assert_eq!(result.started_boot_id.as_deref(), Some("boot-one"));
    assert_eq!(result.boot_id, "boot-two");
    let facts = result.check.unwrap().facts;
    assert_eq!(facts[0].before.as_deref(), Some("boot-one"));
    assert_eq!(facts[0].after.as_deref(), Some("boot-two"));
    let calls = fs::read_to_string(root.join("calls")).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
}

#[test]
fn a_restart_that_kills_the_agent_at_once_is_known_all_the_same() {
    let case = Case::new();
    let root = restartable(&case);
    let env = [("CHASQUI_SYSTEM_ROOT", root.to_str().unwrap())];
    let definition = reboot();
    case.coordinator.publish(std::slice::from_ref(&definition));
    let order = case.order(&definition);
    let agent = case.machine.run_with(&env);
    case.coordinator.deliver(&order.0, &order.1);
    until("the restart", || root.join("calls").exists().then_some(()));
    drop(agent);
    let _agent = case.machine.run_with(&env);
    let result = case.result(&order);
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    assert_eq!(
        fs::read_to_string(root.join("calls"))
            .unwrap()
            .lines()
            .count(),
        1
    );
}

#[test]
fn an_order_for_the_next_start_waits_for_it() {
    let case = Case::new();
    let root = restartable(&case);
    let env = [("CHASQUI_SYSTEM_ROOT", root.to_str().unwrap())];
    let marker = case.path("marker");
    let definition = marking("test.boot", &marker);
    let quick = Definition {
        locks: vec![],
        ..harmless("test.quick")
    };
    case.coordinator
        .publish(&[definition.clone(), quick.clone()]);
    let (id, mut bundle) = case.order(&definition);
    let organisation = &case.coordinator.organisation;
    let order = Order {
        start: Start::NextBoot,
        ..bundle.read_order().unwrap()
    };
    bundle.order = sign(&order, &[&organisation.requester_key]).unwrap();
    let mut statement = Statement::decode(&bundle.statements[0]).unwrap();
    statement.order_digest = bundle.order.payload_digest();
    bundle.statements = vec![sign(&statement, &[&organisation.approver_key]).unwrap()];
    let agent = case.machine.run_with(&env);
    case.coordinator.deliver(&id, &bundle);
    until("accepted", || {
        case.reached(&id, ProgressState::Accepted).then_some(())
    });
    // A restart of the agent is none of the machine.
    drop(agent);
    let agent = case.machine.run_with(&env);
    assert_eq!(case.carry_out_published(&quick).outcome, Outcome::Succeeded);
    assert_eq!(marks(&marker), 0);
    drop(agent);
    fs::write(root.join("proc/sys/kernel/random/boot_id"), "boot-two\n").unwrap();
    let _agent = case.machine.run_with(&env);
    let result = case.result(&(id, bundle));
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    assert_eq!(marks(&marker), 1);
}

#[test]
fn what_must_be_let_finish_is_not_ended_by_a_person_and_both_are_said() {
    let case = Case::new();
    let _agent = case.machine.run();
    let (waits, gate) = case.waiting("test.finish", "packages");
    let marker = case.path("marker");
    let mut definition = Definition {
        stop: StopPolicy::LetFinish,
        ..waits
    };
    definition.steps.push(Step {
        id: "next".into(),
        ..marking("unused", &marker).steps.remove(0)
    });
    let beside = harmless("test.beside");
    case.coordinator
        .publish(&[definition.clone(), beside.clone()]);
    let order = case.order(&definition);
    case.coordinator.deliver(&order.0, &order.1);
    until("running", || {
        case.reached(&order.0, ProgressState::Running).then_some(())
    });
    case.coordinator.push(FromServer::Stop(v1::OrderStop {
        order_id: order.0.clone(),
        order_digest: order.1.order_digest().as_bytes().to_vec().into(),
        reason: "not needed".into(),
    }));
    // Whatever else is asked of the agent meanwhile is done: the calling off was heard, and nothing ended.
    assert_eq!(
        case.carry_out_published(&beside).outcome,
        Outcome::Succeeded
    );
    assert!(case.coordinator.results(&order.0, &order.1).is_empty());
    open_gate(&gate);
    let result = case.result(&order);
    assert_eq!(result.outcome, Outcome::Cancelled);
    assert_eq!(result.steps.len(), 1, "no further step begins");
    assert_eq!(result.steps[0].exit_code, Some(0));
    assert_eq!(result.steps[0].note, "cancelled, let finish");
    assert!(result.check.is_some(), "what it did is looked at");
    assert_eq!(marks(&marker), 0);
}

#[test]
fn a_program_is_held_to_its_memory_and_gives_way() {
    let case = Case::new();
    let _agent = case.machine.run();
    let nice = case.path("nice");
    let greedy = Definition {
        limits: Limits {
            memory_bytes: Some(64 << 20),
            priority: Priority::Low,
            ..Limits::default()
        },
        ..definition(
            "test.greedy",
            // One block of 512 MiB.
            program(
                "/usr/bin/dd",
                &["if=/dev/zero", "of=/dev/null", "bs=536870912", "count=1"],
            ),
            program("/usr/bin/true", &[]),
        )
    };
    // The niceness is the nineteenth value of a process's stat file.
    let mut polite = Definition {
        id: "test.polite".into(),
        ..greedy.clone()
    };
    polite.steps[0].run = program(
        "/usr/bin/dd",
        &["if=/proc/self/stat", &format!("of={}", nice.display())],
    );
    case.coordinator.publish(&[greedy.clone(), polite.clone()]);
    let result = case.carry_out_published(&greedy);
    assert_ne!(result.steps[0].exit_code, Some(0), "{result:?}");
    let result = case.carry_out_published(&polite);
    assert_eq!(result.steps[0].exit_code, Some(0), "{result:?}");
    let stat = fs::read_to_string(nice).unwrap();
    let values = stat.rsplit_once(')').unwrap().1;
    assert_eq!(values.split_whitespace().nth(16), Some("10"), "{stat}");
}
