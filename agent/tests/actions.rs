//! Programs under their limits, plans narrowed by policy, and the journal in every state it can be left in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chasqui_agent::action::program::{Limits, check_file, run};
use chasqui_agent::action::{Setting, plan};
use chasqui_agent::journal::{Accepted, Done, Journal, Started, State};
use chasqui_agent::output::Output;
use chasqui_agent::policy::Policy;
use chasqui_base::clock;
use chasqui_base::text::Text;
use chasqui_trust::definition::Definition;
use chasqui_trust::order::{Parameter, ParameterValue};
use chasqui_trust::result::{StepResult, UndoCause};
use chasqui_trust::{Authorised, DeviceIdentity, Digest, Document as _, TrustState, verify_order};
use support::{Organisation, definition, program};
use tokio_util::sync::CancellationToken;

fn limits(time: Duration) -> Limits {
    Limits::new(time, CancellationToken::new())
}

/// Processes whose command line holds this word.
fn alive(word: &str) -> usize {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
                line.split(|byte| *byte == 0)
                    .any(|arg| arg == word.as_bytes())
            })
        })
        .count()
}

#[tokio::test]
async fn a_time_limit_ends_the_whole_tree_also_what_left_the_group() {
    // The library runs what it is told; that a definition may not name a shell is judged before.
    let script = "setsid sleep 71.25 & sleep 71.25 & trap '' TERM; sleep 71.25; sleep 71.25";
    let args = ["-c".to_owned(), script.to_owned()];
    let output = Output::default();
    let ended = run("/bin/sh", &args, &limits(Duration::from_secs(1)), &output).await;
    assert_eq!((ended.exit_code, ended.note.as_str()), (None, "time limit"));
    assert_eq!(alive("71.25"), 0);
}

#[tokio::test]
async fn what_a_program_left_behind_does_not_hold_the_action_open() {
    let args = [
        "-c".to_owned(),
        "echo begun; setsid sleep 72.25 & exit 4".to_owned(),
    ];
    let output = Output::default();
    let ended = run("/bin/sh", &args, &limits(Duration::from_secs(60)), &output).await;
    assert_eq!(ended.exit_code, Some(4));
    assert_eq!(output.written(), 6);
    let _ = std::process::Command::new("/usr/bin/pkill")
        .args(["-f", "^sleep 72.25$"])
        .status();
}

#[tokio::test]
async fn a_program_gets_an_empty_environment_and_no_input() {
    let output = Output::default();
    let ended = run(
        "/usr/bin/env",
        &[],
        &limits(Duration::from_secs(10)),
        &output,
    )
    .await;
    assert_eq!(ended.exit_code, Some(0));
    let text = String::from_utf8(output.next(0).await.data).unwrap();
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        .collect();
    assert_eq!(names, ["CHASQUI_STEP", "LANG", "LC_ALL", "PATH"]);
    let ended = run(
        "/usr/bin/cat",
        &[],
        &limits(Duration::from_secs(10)),
        &output,
    )
    .await;
    assert_eq!(ended.exit_code, Some(0), "no input means its end");
    let ended = run(
        "/nonexistent",
        &[],
        &limits(Duration::from_secs(1)),
        &output,
    )
    .await;
    assert!(ended.note.contains("could not be started"));
}

#[test]
fn a_program_that_others_can_change_or_that_hides_a_shell_is_unfit() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tool");
    fs::copy("/usr/bin/true", &path).unwrap();
    let shown = path.display().to_string();
    assert!(check_file(&shown).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(
        check_file(&shown)
            .unwrap_err()
            .contains("changed by others")
    );
    let link = folder.path().join("harmless");
    std::os::unix::fs::symlink("/bin/sh", &link).unwrap();
    assert!(
        check_file(&link.display().to_string())
            .unwrap_err()
            .contains("interpreter")
    );
    assert!(check_file("/etc/passwd").is_err());
    assert!(check_file("/nonexistent").is_err());
}

fn catalogue_file(name: &str) -> Definition {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../server/catalogue")
        .join(name);
    let definition: Definition = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    // It keeps every rule of its format, and comes back from its canonical bytes.
    let bytes = definition.encode().unwrap();
    assert_eq!(Definition::decode_payload(&bytes).unwrap(), definition);
    definition
}

fn authorise(definition: &Definition, parameters: Vec<Parameter>) -> Authorised {
    let organisation = Organisation::new();
    let device = chasqui_trust::SigningKey::generate([9; 32]).public_key();
    let (_, bundle) = organisation.order(definition, parameters, &device);
    let mut trust = TrustState::from_root(&organisation.root.to_json()).unwrap();
    let now = clock::now_ms();
    trust
        .accept_people(&organisation.people(1).to_json(), now)
        .unwrap();
    let catalogue = organisation.catalogue(1, std::slice::from_ref(definition));
    let catalogue = trust.accept_catalogue(&catalogue.to_json(), now).unwrap();
    verify_order(
        &bundle.encode().unwrap(),
        &trust,
        &catalogue,
        &DeviceIdentity::of(&device, None),
        now,
    )
    .unwrap()
}

fn days(days: i64) -> Vec<Parameter> {
    vec![Parameter {
        name: "older_than_days".into(),
        value: ParameterValue::Integer(days),
    }]
}

#[test]
fn the_catalogue_can_be_planned_on_this_agent() {
    let policy = Policy::default();
    let setting = Setting::new(&policy, clock::now_ms(), vec![]);
    plan(
        authorise(&catalogue_file("disk.clean.temp.json"), days(30)),
        &setting,
    )
    .unwrap();
    let rebuild = authorise(&catalogue_file("system.library-cache.rebuild.json"), vec![]);
    match plan(rebuild, &setting) {
        Ok(_) => {}
        // Where there is no glibc.
        Err(refused) => assert_eq!(refused.rule, "PROGRAM_UNFIT"),
    }
}

#[test]
fn a_cleaning_outside_the_temporary_folders_is_refused_whoever_signed_it() {
    let policy = Policy::default();
    let setting = Setting::new(&policy, clock::now_ms(), vec![]);
    for folder in ["/home", "/", "/tmp/../etc", "/tmpx"] {
        let mut definition = catalogue_file("disk.clean.temp.json");
        let text = serde_json::to_string(&definition).unwrap();
        let text = text.replace("\"/tmp\",\"/var/tmp\"", &format!("{folder:?}"));
        definition = serde_json::from_str(&text).unwrap();
        let refused = plan(authorise(&definition, days(30)), &setting).unwrap_err();
        assert_eq!(refused.rule, "FOLDER_OUT_OF_REACH", "{folder}");
    }
}

#[test]
fn what_this_agent_does_not_know_is_refused_before_it_begins() {
    let policy = Policy::default();
    let setting = Setting::new(&policy, clock::now_ms(), vec![]);
    let text = serde_json::to_string(&catalogue_file("disk.clean.temp.json")).unwrap();
    for (from, to) in [
        ("files.clean\"", "files.shred\""),
        ("freed_at_least_bytes", "freed_at_most_bytes"),
        ("{\"text\":\"modified\"}", "{\"text\":\"guessed\"}"),
        ("{\"text\":\"modified\"}", "{\"integer\":1}"),
    ] {
        let definition: Definition = serde_json::from_str(&text.replace(from, to)).unwrap();
        let refused = plan(authorise(&definition, days(30)), &setting).unwrap_err();
        assert_eq!(refused.rule, "DEFINITION_UNSUPPORTED", "{to}");
    }
}

#[test]
fn a_policy_narrows_a_plan_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    fs::write(&path, "temp_folders = []").unwrap();
    let policy = Policy::load(&path).unwrap();
    let setting = Setting::new(&policy, clock::now_ms(), vec![]);
    let clean = authorise(&catalogue_file("disk.clean.temp.json"), days(30));
    assert_eq!(plan(clean, &setting).unwrap_err().rule, "POLICY_FOLDERS");
    let harmless = definition(
        "a.b",
        program("/usr/bin/true", &[]),
        program("/usr/bin/true", &[]),
    );
    plan(authorise(&harmless, vec![]), &setting).unwrap();
}

fn accepted() -> Accepted {
    Accepted {
        at_ms: 10,
        definition_id: "a.b".into(),
        definition_version: 1,
        title: Text::new("Hacer", "Do"),
        risk: 1,
        ticket: "MA-2026-000001".into(),
        requester: "Ana".into(),
        reason: "prueba".into(),
        not_after_ms: 1_000,
        boot_id: "boot".into(),
        bundle: "AAAA".into(),
    }
}

fn begin(journal: &mut Journal, digest: &Digest, at_ms: i64) -> std::io::Result<()> {
    let started = Started {
        at_ms,
        boot_id: "boot".into(),
    };
    let before = serde_json::json!({"seen": 1});
    journal.start(digest, &started, &before, Some("{}"))
}

fn done() -> Done {
    Done {
        at_ms: 30,
        request_id: "r".into(),
        outcome: "succeeded".into(),
        explanation: Text::default(),
        envelope: "{}".into(),
        consent: None,
    }
}

fn file_of(folder: &Path) -> PathBuf {
    fs::read_dir(folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path()
}

const ID: &str = "0192f0c1-0000-7000-8000-000000000001";

#[test]
fn the_journal_comes_back_in_the_state_it_was_left_in() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(b"order");
    let state = || {
        Journal::open(folder.path())
            .unwrap()
            .entry(&digest)
            .map(|entry| (entry.state, entry.delivered))
    };
    let step = StepResult {
        id: "step".into(),
        exit_code: Some(0),
        duration_ms: 4,
        note: String::new(),
    };
    let mut journal = Journal::open(folder.path()).unwrap();
    assert!(
        begin(&mut journal, &digest, 20).is_err(),
        "nothing is begun that was not accepted"
    );
    journal.accept(ID, digest, accepted()).unwrap();
    assert_eq!(state(), Some((State::Accepted, false)));
    assert!(journal.accept(ID, digest, accepted()).is_err());
    assert_eq!(journal.bundle(&digest).unwrap(), [0, 0, 0]);
    begin(&mut journal, &digest, 20).unwrap();
    assert_eq!(state(), Some((State::Started, false)));
    assert!(begin(&mut journal, &digest, 21).is_err(), "at most once");
    journal.step(&digest, 25, &step).unwrap();
    journal
        .undoing(&digest, 26, UndoCause::CheckFailed)
        .unwrap();
    let progress = journal.progress(&digest);
    assert_eq!(progress.steps, [step]);
    assert_eq!(progress.before, serde_json::json!({"seen": 1}));
    assert_eq!(progress.consent.as_deref(), Some("{}"));
    assert_eq!(progress.undoing, Some(UndoCause::CheckFailed));
    assert_eq!(progress.stepped, None);
    journal.finish(&digest, &done()).unwrap();
    assert_eq!(state(), Some((State::Done, false)));
    assert!(journal.finish(&digest, &done()).is_err());
    assert_eq!(journal.done(&digest).unwrap(), done());
    // Kept while a clock could make the order acceptable again, or the coordinator does not have the result.
    journal.prune(2_000, |_| false);
    assert!(journal.entry(&digest).is_some());
    journal.delivered(&digest, 40).unwrap();
    assert_eq!(state(), Some((State::Done, true)));
    journal.prune(1_000, |_| false);
    assert!(journal.entry(&digest).is_some());
    journal.prune(1_001, |_| false);
    assert!(journal.entry(&digest).is_none());
    assert_eq!(state(), None);
}

#[test]
fn a_journal_cut_at_any_byte_never_lets_an_order_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(b"order");
    let mut journal = Journal::open(folder.path()).unwrap();
    journal.accept(ID, digest, accepted()).unwrap();
    let accepted_length = fs::metadata(file_of(folder.path())).unwrap().len();
    begin(&mut journal, &digest, 20).unwrap();
    journal.finish(&digest, &done()).unwrap();
    let path = file_of(folder.path());
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
        let entry = journal.entry(&digest).unwrap();
        assert_eq!(entry.order_id, ID);
        // The one cut that cannot be told from an order that was never begun is the end of its first line.
        let expected = if length as u64 == accepted_length {
            State::Accepted
        } else {
            State::Started
        };
        assert_eq!(entry.state, expected, "cut at {length}");
        assert!(journal.accept(ID, digest, accepted()).is_err());
        // The answer that follows is kept whatever the file looks like.
        if expected == State::Started {
            journal.finish(&digest, &done()).unwrap();
            let journal = Journal::open(folder.path()).unwrap();
            assert_eq!(journal.entry(&digest).unwrap().state, State::Done);
            assert_eq!(journal.done(&digest).unwrap(), done());
        }
    }
    // A changed byte anywhere is noticed.
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        assert_ne!(journal.entry(&digest).unwrap().state, State::Accepted);
    }
}
