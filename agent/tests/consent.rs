//! Asking the person at the machine, through the real agent process: by a stand-in for the window, whose answers the test
//! writes, and on a real terminal. Nothing but a genuine yes lets an action run that must ask.
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
use std::time::Duration;

use chasqui_proto::v1::ProgressState;
use chasqui_trust::definition::*;
use chasqui_trust::result::{AnsweredBy, ConsentAnswer, Outcome};
use chasqui_trust::{ActionResult, ConsentReceipt, OrderBundle};
use support::*;

const ACCEPTED: &str = r#"{"version":1,"answer":"accepted","shown_ms":900,"input":"pointer"}"#;
const LATER: &str = r#"{"version":1,"answer":"later","shown_ms":900,"input":"keyboard"}"#;

struct Case {
    coordinator: Coordinator,
    machine: Machine,
    root: PathBuf,
}

impl Case {
    /// A machine of files with a desktop on its seat, owned by the account of this test.
    fn new() -> Self {
        let coordinator = Coordinator::start(Organisation::new());
        let machine = Machine::new(&coordinator);
        machine.enrol();
        let root = machine.folder.path().join("root");
        fs::create_dir_all(root.join("run/systemd/sessions")).unwrap();
        fs::create_dir_all(root.join("proc/sys/kernel/random")).unwrap();
        fs::write(root.join("proc/sys/kernel/random/boot_id"), "boot\n").unwrap();
        let case = Self {
            coordinator,
            machine,
            root,
        };
        case.session("TYPE=x11\nDISPLAY=:77\n");
        case
    }

    fn session(&self, more: &str) {
        let uid = rustix::process::getuid().as_raw();
        fs::write(
            self.root.join("run/systemd/sessions/2"),
            format!("UID={uid}\nUSER=mrojas\nACTIVE=1\nSTATE=active\nREMOTE=0\nCLASS=user\nSEAT=seat0\n{more}"),
        )
        .unwrap();
    }

    fn nobody(&self) {
        fs::remove_file(self.root.join("run/systemd/sessions/2")).unwrap();
    }

    fn tool(&self, path: &str, script: &str) -> PathBuf {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            &path,
            format!("#!/bin/sh\nroot={}\n{script}\n", self.root.display()),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A window that gives these answers, one after the other, and keeps what it was asked.
    fn window(&self, answers: &[&str]) -> PathBuf {
        for (n, answer) in (1..).zip(answers) {
            fs::write(self.root.join(format!("answer.{n}")), answer).unwrap();
        }
        self.tool(
            "window",
            "n=$(( $(cat $root/asked 2>/dev/null || echo 0) + 1 )); echo $n > $root/asked; cat > $root/request.$n; cat $root/answer.$n",
        )
    }

    fn request(&self, n: u32) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.root.join(format!("request.{n}"))).unwrap()).unwrap()
    }

    fn run(&self, window: &std::path::Path, more: &[(&str, &str)]) -> Running {
        let mut env = vec![
            ("CHASQUI_SYSTEM_ROOT", self.root.to_str().unwrap()),
            ("CHASQUI_CONSENT_PROGRAM", window.to_str().unwrap()),
            ("CHASQUI_CONSENT_DEFER_MS", "100"),
        ];
        env.extend_from_slice(more);
        self.machine.run_with(&env)
    }

    fn marker(&self) -> PathBuf {
        self.machine.folder.path().join("marker")
    }

    fn order(&self, consent: Consent, when_absent: WhenAbsent) -> (String, OrderBundle) {
        let definition = Definition {
            consent,
            when_absent,
            ..marking("test.ask", &self.marker())
        };
        self.coordinator.publish(std::slice::from_ref(&definition));
        let order =
            self.coordinator
                .organisation
                .order(&definition, vec![], &self.machine.public_key());
        self.coordinator.deliver(&order.0, &order.1);
        order
    }

    fn result(
        &self,
        (id, bundle): &(String, OrderBundle),
    ) -> (ActionResult, Option<ConsentReceipt>) {
        let result = until("a result", || self.coordinator.results(id, bundle).pop());
        let submitted = self.coordinator.book().results[0].clone();
        let receipt = (!submitted.consent.is_empty()).then(|| {
            chasqui_trust::verify_consent(
                &submitted.consent,
                &bundle.order_digest(),
                &self.machine.public_key(),
            )
            .unwrap()
        });
        (result, receipt)
    }
}

fn rule(result: &ActionResult) -> &str {
    result.refusal.as_ref().map_or("", |note| &note.rule)
}

#[test]
fn a_yes_in_the_window_runs_the_action_and_is_part_of_the_result() {
    let case = Case::new();
    let window = case.window(&[ACCEPTED]);
    let _agent = case.run(&window, &[]);
    let order = case.order(Consent::Ask, WhenAbsent::Refuse);
    let (result, receipt) = case.result(&order);
    assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
    let receipt = receipt.unwrap();
    assert_eq!(receipt.answer, ConsentAnswer::Granted);
    assert_eq!(receipt.by, Some(AnsweredBy::Pointer));
    assert_eq!(receipt.user.as_deref(), Some("mrojas"));
    assert!(receipt.answered_at_ms >= receipt.asked_at_ms);
    for words in [
        "MA-2026-000001",
        "Persona ana",
        "Hará algo",
        "Queda como estaba",
        "prueba",
    ] {
        assert!(receipt.shown.contains(words), "{words}: {}", receipt.shown);
    }
    let request = case.request(1);
    assert_eq!(request["may_defer"], true);
    assert_eq!(request["defers_left"], 3);
    assert_eq!(request["answers"], "accept");
    assert!(case.coordinator.book().progress.iter().any(|progress| {
        progress.order_id == order.0 && progress.state() == ProgressState::AwaitingConsent
    }));
    assert_eq!(marks(&case.marker()), 1);
}

#[test]
fn nothing_but_a_genuine_yes_is_one() {
    for (answer, wanted) in [
        (
            r#"{"version":1,"answer":"denied","shown_ms":900,"input":"pointer"}"#,
            "CONSENT_DENIED",
        ),
        (
            r#"{"version":1,"answer":"timed_out","shown_ms":900,"input":null}"#,
            "CONSENT_TIMED_OUT",
        ),
        (
            r#"{"version":1,"answer":"seen","shown_ms":900,"input":"pointer"}"#,
            "CONSENT_DENIED",
        ),
        (
            r#"{"version":1,"answer":"yes","shown_ms":900,"input":"pointer"}"#,
            "CONSENT_DENIED",
        ),
        // Of another version, with more members, not JSON, nothing at all: no window, and no terminal either.
        (
            r#"{"version":2,"answer":"accepted","shown_ms":900,"input":"pointer"}"#,
            "CONSENT_NOT_POSSIBLE",
        ),
        (
            r#"{"version":1,"answer":"accepted","shown_ms":900,"input":"pointer","x":1}"#,
            "CONSENT_NOT_POSSIBLE",
        ),
        ("accepted", "CONSENT_NOT_POSSIBLE"),
        ("", "CONSENT_NOT_POSSIBLE"),
    ] {
        let case = Case::new();
        let window = case.window(&[answer]);
        let _agent = case.run(&window, &[]);
        let order = case.order(Consent::Ask, WhenAbsent::Refuse);
        let (result, receipt) = case.result(&order);
        assert_eq!(result.outcome, Outcome::Refused, "{answer}");
        assert_eq!(rule(&result), wanted, "{answer}");
        assert_eq!(
            receipt.is_some(),
            wanted != "CONSENT_NOT_POSSIBLE",
            "{answer}"
        );
        assert_eq!(marks(&case.marker()), 0, "{answer}");
    }
}

#[test]
fn it_may_be_put_off_three_times_also_over_a_restart_and_then_it_is_yes_or_no() {
    let case = Case::new();
    // A yes that came too quickly, or that nobody gave, is no decision: as if the window had been closed.
    let quick = r#"{"version":1,"answer":"accepted","shown_ms":300,"input":"pointer"}"#;
    let ghost = r#"{"version":1,"answer":"accepted","shown_ms":900,"input":null}"#;
    let window = case.window(&[quick, ghost, LATER, LATER]);
    let agent = case.run(&window, &[("CHASQUI_CONSENT_DEFER_MS", "1500")]);
    let order = case.order(Consent::Ask, WhenAbsent::Refuse);
    let asked = |n: u32| {
        until("asked", || {
            fs::read_to_string(case.root.join("asked"))
                .is_ok_and(|text| text.trim() == n.to_string())
                .then_some(())
        });
    };
    asked(2);
    // Put off twice; what a restart forgets would be asked once too often.
    std::thread::sleep(Duration::from_millis(300));
    drop(agent);
    let _agent = case.run(&window, &[]);
    let (result, receipt) = case.result(&order);
    assert_eq!(rule(&result), "CONSENT_DENIED");
    assert_eq!(receipt.unwrap().deferred, 3);
    let last = case.request(4);
    assert_eq!(
        (&last["may_defer"], &last["defers_left"]),
        (&false.into(), &0.into())
    );
    assert_eq!(marks(&case.marker()), 0);
}

#[test]
fn an_empty_chair_or_a_locked_screen_is_no_yes() {
    for locked in [false, true] {
        let case = Case::new();
        let window = case.window(&[ACCEPTED]);
        if locked {
            case.tool("usr/bin/loginctl", "echo LockedHint=yes");
        } else {
            case.nobody();
        }
        let _agent = case.run(&window, &[]);
        let order = case.order(Consent::Ask, WhenAbsent::Refuse);
        let (result, receipt) = case.result(&order);
        let (wanted, answer) = if locked {
            ("SCREEN_LOCKED", ConsentAnswer::Locked)
        } else {
            ("NOBODY_PRESENT", ConsentAnswer::NobodyPresent)
        };
        assert_eq!(rule(&result), wanted);
        assert_eq!(receipt.unwrap().answer, answer);
        assert_eq!(marks(&case.marker()), 0);
        assert!(!case.root.join("asked").exists(), "nobody was asked");
    }
}

#[test]
fn an_action_that_only_tells_goes_on_where_nobody_is_and_says_so() {
    let case = Case::new();
    case.nobody();
    let window = case.window(&[]);
    let _agent = case.run(&window, &[]);
    let order = case.order(Consent::Notify, WhenAbsent::Proceed);
    let (result, receipt) = case.result(&order);
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert_eq!(receipt.unwrap().answer, ConsentAnswer::NobodyPresent);
}

#[test]
fn a_notice_counts_when_its_window_is_up() {
    for (script, told) in [("sleep 30", true), ("exit 3", false)] {
        let case = Case::new();
        let window = case.tool("window", &format!("cat > $root/request.1; {script}"));
        let _agent = case.run(&window, &[]);
        let order = case.order(Consent::Notify, WhenAbsent::Proceed);
        let (result, receipt) = case.result(&order);
        if told {
            assert_eq!(result.outcome, Outcome::Succeeded, "{result:?}");
            assert_eq!(receipt.unwrap().answer, ConsentAnswer::Notified);
        } else {
            assert_eq!(rule(&result), "CONSENT_NOT_POSSIBLE");
        }
    }
}

#[test]
fn a_machine_may_want_to_be_asked_whatever_was_signed() {
    let case = Case::new();
    fs::write(
        case.machine.folder.path().join("policy.toml"),
        "always_ask = true",
    )
    .unwrap();
    let denied = r#"{"version":1,"answer":"denied","shown_ms":900,"input":"keyboard"}"#;
    let window = case.window(&[denied]);
    let _agent = case.run(&window, &[]);
    let order = case.order(Consent::None, WhenAbsent::Proceed);
    let (result, receipt) = case.result(&order);
    assert_eq!(rule(&result), "CONSENT_DENIED");
    assert_eq!(receipt.unwrap().by, Some(AnsweredBy::Keyboard));
    assert_eq!(marks(&case.marker()), 0);
}

/// The real window on a real X server, found beside the agent as it is installed.
#[test]
fn the_real_window_is_shown_and_silence_in_it_is_no() {
    use std::io::BufRead as _;
    let mut server = std::process::Command::new("Xvfb")
        .args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1024x768x24",
            "-nolisten",
            "tcp",
        ])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("Xvfb is missing: install the package xvfb");
    let mut number = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut number)
        .unwrap();
    let case = Case::new();
    case.session(&format!("TYPE=x11\nDISPLAY=:{}\n", number.trim()));
    let agent = case.machine.run_with(&[
        ("CHASQUI_SYSTEM_ROOT", case.root.to_str().unwrap()),
        ("CHASQUI_CONSENT_WAIT_MS", "1500"),
    ]);
    let order = case.order(Consent::AskAlways, WhenAbsent::Refuse);
    let (result, receipt) = case.result(&order);
    drop(agent);
    let _ = server.kill();
    let _ = server.wait();
    assert_eq!(rule(&result), "CONSENT_TIMED_OUT");
    assert_eq!(receipt.unwrap().answer, ConsentAnswer::TimedOut);
    assert_eq!(marks(&case.marker()), 0);
}

#[test]
fn a_cancel_takes_the_question_away() {
    use chasqui_proto::v1::{OrderStop, server_message::Message};
    let case = Case::new();
    let window = case.tool(
        "window",
        "cat > $root/request.1; echo $$ > $root/pid; exec sleep 100",
    );
    let _agent = case.run(&window, &[]);
    let order = case.order(Consent::Ask, WhenAbsent::Refuse);
    let pid = until("the window", || {
        fs::read_to_string(case.root.join("pid"))
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    });
    case.coordinator.push(Message::Stop(OrderStop {
        order_id: order.0.clone(),
        order_digest: order.1.order_digest().as_bytes().to_vec().into(),
        reason: String::new(),
    }));
    let (result, _) = case.result(&order);
    assert_eq!(result.outcome, Outcome::Cancelled);
    until("the window gone", || {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z")).then_some(())
    });
}

/// A terminal of this account among those of the real machine, which the machine of files then has too: the kernel opens
/// terminals in their own file system alone.
fn terminal(case: &Case) -> (fs::File, fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    rustix::io::ioctl_fionbio(&master, true).unwrap();
    std::os::unix::fs::symlink("/dev", case.root.join("dev")).unwrap();
    // Held open, as a shell does: else the other end has nobody.
    let slave = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    (fs::File::from(master), slave)
}

#[test]
fn a_terminal_is_asked_and_its_owner_answers() {
    use std::io::Read as _;
    for (word, wanted) in [("accept", Outcome::Succeeded), ("no", Outcome::Refused)] {
        let case = Case::new();
        case.nobody();
        let (mut master, _slave) = terminal(&case);
        let window = case.window(&[]);
        let _agent = case.run(&window, &[]);
        let order = case.order(Consent::Ask, WhenAbsent::Refuse);
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        until("the question on the terminal", || {
            if let Ok(count) = master.read(&mut buffer) {
                shown.extend_from_slice(&buffer[..count]);
            }
            String::from_utf8_lossy(&shown)
                .contains("chasqui-agent answer accept")
                .then_some(())
        });
        assert!(String::from_utf8_lossy(&shown).contains("MA-2026-000001"));
        let output = case
            .machine
            .command(&["answer", word])
            .env("CHASQUI_SYSTEM_ROOT", &case.root)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let (result, receipt) = case.result(&order);
        assert_eq!(result.outcome, wanted);
        let receipt = receipt.unwrap();
        assert_eq!(receipt.by, Some(AnsweredBy::Terminal));
        assert!(receipt.user.is_some());
        // A second word finds no question.
        let output = case
            .machine
            .command(&["answer", word])
            .env("CHASQUI_SYSTEM_ROOT", &case.root)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("no question waits"));
    }
}

#[test]
fn what_must_always_be_asked_is_not_asked_on_a_terminal() {
    let case = Case::new();
    case.nobody();
    let _terminal = terminal(&case);
    let window = case.window(&[]);
    let _agent = case.run(&window, &[]);
    let order = case.order(Consent::AskAlways, WhenAbsent::Refuse);
    let (result, _) = case.result(&order);
    assert_eq!(rule(&result), "CONSENT_NOT_POSSIBLE");
    assert_eq!(marks(&case.marker()), 0);
}
