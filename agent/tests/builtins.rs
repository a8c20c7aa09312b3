//! The actions of the catalogue, each planned, run and checked on a machine made of files and of stand-ins for the system's
//! programs: what they do when all goes well, and that the check does not hold when it does not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use chasqui_agent::action::runner::{self, Control, Stepped};
use chasqui_agent::action::{Setting, conditions, plan};
use chasqui_agent::policy::{Policy, Refused};
use chasqui_base::clock;
use chasqui_trust::definition::Definition;
use chasqui_trust::order::{Parameter, ParameterValue};
use chasqui_trust::result::CheckResult;
use chasqui_trust::{Authorised, DeviceIdentity, Document as _, TrustState, verify_order};
use support::Organisation;

/// A machine of files.
struct Machine {
    root: tempfile::TempDir,
}

struct Ran {
    stepped: Stepped,
    check: CheckResult,
    output: String,
}

impl Ran {
    fn fact(&self, name: &str) -> (Option<&str>, Option<&str>) {
        let fact = self
            .check
            .facts
            .iter()
            .find(|fact| fact.name == name)
            .unwrap_or_else(|| panic!("no fact {name} in {:?}", self.check.facts));
        (fact.before.as_deref(), fact.after.as_deref())
    }

    fn note(&self) -> &str {
        &self.stepped.steps.last().unwrap().note
    }
}

impl Machine {
    fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn file(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    /// A program of the system, written for the test; `$root` is the machine.
    fn tool(&self, path: &str, script: &str) {
        let text = format!("#!/bin/sh\nroot={}\n{script}\n", self.root.path().display());
        self.file(path, &text);
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn plan(
        &self,
        id: &str,
        parameters: Vec<Parameter>,
    ) -> Result<chasqui_agent::action::Plan, Refused> {
        let policy = Policy::default();
        let setting = Setting {
            root: self.root.path().to_owned(),
            ..Setting::new(&policy, clock::now_ms(), vec![])
        };
        plan(authorise(&shipped(id), parameters), &setting)
    }

    async fn run(&self, id: &str, parameters: Vec<Parameter>) -> Ran {
        let plan = self.plan(id, parameters).unwrap();
        let control = Control::new(plan.bounds().clone());
        let before = runner::observe(&plan, &control).await;
        // As the journal keeps it.
        let before = serde_json::from_str(&before.to_string()).unwrap();
        let stepped = runner::run(&plan, &control, &mut |_| {}).await;
        let check = runner::check(&plan, &before, &stepped.said, &control).await;
        Ran {
            stepped,
            check,
            output: String::from_utf8_lossy(&control.output.kept()).into_owned(),
        }
    }
}

fn shipped(id: &str) -> Definition {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../server/catalogue")
        .join(format!("{id}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
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
    let device = DeviceIdentity::of(&device, None);
    verify_order(&bundle.encode().unwrap(), &trust, &catalogue, &device, now).unwrap()
}

fn text(name: &str, value: &str) -> Parameter {
    Parameter {
        name: name.into(),
        value: ParameterValue::Text(value.into()),
    }
}

fn number(name: &str, value: i64) -> Parameter {
    Parameter {
        name: name.into(),
        value: ParameterValue::Integer(value),
    }
}

#[test]
fn every_shipped_action_keeps_its_format_and_is_known_here() {
    use chasqui_agent::action::builtin::{CHECKS, STEPS};
    use chasqui_trust::definition::Run;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/catalogue");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Some(id) = name
            .strip_suffix(".json")
            .filter(|id| !id.starts_with("schema"))
        else {
            continue;
        };
        let definition = shipped(id);
        assert_eq!(definition.id, id);
        let bytes = definition
            .encode()
            .unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(Definition::decode_payload(&bytes).unwrap(), definition);
        for step in &definition.steps {
            if let Run::Builtin { name, .. } = &step.run {
                assert!(STEPS.iter().any(|(known, _)| known == name), "{id}: {name}");
            }
        }
        if let Run::Builtin { name, .. } = &definition.check.run {
            assert!(
                CHECKS.iter().any(|(known, _)| known == name),
                "{id}: {name}"
            );
        }
        seen += 1;
    }
    assert!(seen >= 11, "{seen}");
}

#[tokio::test]
async fn names_are_forgotten() {
    let machine = Machine::new();
    let refused = machine.plan("dns.flush", vec![]).unwrap_err();
    assert_eq!(refused.rule, "NOT_APPLICABLE");
    fs::create_dir_all(machine.path("/run/systemd/resolve")).unwrap();
    machine.file("count", "47");
    machine.tool(
        "/usr/bin/resolvectl",
        "case $1 in statistics) echo \"  Current Cache Size: $(cat $root/count)\";; \
         flush-caches) echo 0 > $root/count;; esac",
    );
    let ran = machine.run("dns.flush", vec![]).await;
    assert!(ran.check.holds, "{:?}", ran.check);
    assert_eq!(ran.fact("cached_names"), (Some("47"), Some("0")));

    machine.file("count", "47");
    machine.tool(
        "/usr/bin/resolvectl",
        "[ $1 = statistics ] && echo \"  Current Cache Size: 47\"; exit 0",
    );
    let ran = machine.run("dns.flush", vec![]).await;
    assert!(
        ran.stepped.worked && !ran.check.holds,
        "exit 0 is no success"
    );
}

const SHOW: &str =
    "Id=cups.service\nNames=cups.service printing.service\nLoadState=loaded\nActiveState=active\n";

fn systemctl(machine: &Machine) {
    machine.tool(
        "/usr/bin/systemctl",
        "case $1 in show) cat $root/unit;; is-system-running) echo running;; \
         *) echo \"$@\" >> $root/calls; cp $root/unit.next $root/unit;; esac",
    );
}

#[tokio::test]
async fn a_service_is_another_one_afterwards_and_stays_up() {
    let machine = Machine::new();
    let service = || vec![text("service", "cups")];
    assert_eq!(
        machine.plan("service.restart", service()).unwrap_err().rule,
        "NOT_APPLICABLE"
    );
    systemctl(&machine);
    let unit = |invocation: &str, pid: u32| {
        format!("{SHOW}InvocationID={invocation}\nNRestarts=0\nMainPID={pid}\n")
    };
    machine.file("unit", &unit("aa", 10));
    machine.file("unit.next", &unit("bb", 11));
    let ran = machine.run("service.restart", service()).await;
    assert!(ran.check.holds, "{:?}", ran.check);
    assert_eq!(ran.fact("main_pid"), (Some("10"), Some("11")));
    assert_eq!(
        machine.calls(),
        "--no-ask-password --quiet restart -- cups.service\n"
    );

    machine.file("unit.next", &unit("bb", 11).replace("=active", "=failed"));
    let ran = machine.run("service.restart", service()).await;
    assert!(ran.stepped.worked && !ran.check.holds);
    assert_eq!(ran.fact("state"), (Some("active"), Some("failed")));
}

#[tokio::test]
async fn a_service_that_guards_the_machine_is_out_of_reach_under_any_name() {
    let machine = Machine::new();
    systemctl(&machine);
    for name in [
        "chasqui-agent",
        "AuditD.service",
        "falcon-sensor",
        "dbus.socket",
    ] {
        let refused = machine
            .plan("service.restart", vec![text("service", name)])
            .unwrap_err();
        assert_eq!(refused.rule, "PROTECTED", "{name}");
    }
    // An alias is known only to systemd.
    machine.file(
        "unit",
        "Id=auditd.service\nNames=auditd.service innocent.service\nLoadState=loaded\nActiveState=active\n",
    );
    let ran = machine
        .run("service.restart", vec![text("service", "innocent")])
        .await;
    assert_eq!(ran.note(), "protected: auditd.service");
    assert_eq!(machine.calls(), "");
    // One that is not there is no parameter of this machine.
    machine.file(
        "unit",
        "Id=x.service\nLoadState=not-found\nActiveState=inactive\n",
    );
    let plan = machine
        .plan("service.restart", vec![text("service", "x")])
        .unwrap();
    let refused = conditions::check(plan.authorised(), machine.root.path())
        .await
        .unwrap_err();
    assert_eq!(refused.rule, "PARAMETER_NOT_ON_MACHINE");
}

/// A sleeping program under a name of its own, as somebody who is no part of the system; ended with the test.
struct Sleeper {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Sleeper {
    fn new(name: &str, ignores_term: bool) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join(name);
        fs::copy("/usr/bin/sleep", &path).unwrap();
        let mut command = if ignores_term {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &format!("trap '' TERM; exec {} 100", path.display())]);
            command
        } else {
            let mut command = Command::new(&path);
            command.arg("100");
            command
        };
        match rustix::process::getuid().as_raw() {
            0 => {
                command.uid(12_345).gid(12_345);
            }
            1000.. => {}
            _ => {
                eprintln!("SKIPPED ending a program: this account is the system's");
                return None;
            }
        }
        Some(Self {
            child: command.spawn().unwrap(),
            _folder: folder,
        })
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn end(name: &str, pid: i64) -> Ran {
    let policy = Policy::default();
    let authorised = authorise(
        &shipped("process.kill"),
        vec![text("name", name), number("pid", pid)],
    );
    let setting = Setting::new(&policy, clock::now_ms(), vec![]);
    let plan = plan(authorised, &setting).unwrap();
    let control = Control::new(plan.bounds().clone());
    let before = runner::observe(&plan, &control).await;
    let stepped = runner::run(&plan, &control, &mut |_| {}).await;
    let check = runner::check(&plan, &before, &stepped.said, &control).await;
    Ran {
        stepped,
        check,
        output: String::from_utf8_lossy(&control.output.kept()).into_owned(),
    }
}

#[tokio::test]
async fn a_program_that_hangs_is_ended_and_no_other() {
    let Some(mut hangs) = Sleeper::new("chq-hangs", true) else {
        return;
    };
    let Some(mut other) = Sleeper::new("chq-other", false) else {
        return;
    };
    // Orders are made a second ago in these tests; what is meant ran then.
    std::thread::sleep(Duration::from_millis(1_300));
    let pid = i64::from(hangs.child.id());
    // The number of one and the name of another is neither.
    let ran = end("chq-other", pid).await;
    assert!(!ran.stepped.worked, "{:?}", ran.stepped);
    let reaped = std::thread::spawn(move || {
        let _ = hangs.child.wait();
        hangs
    });
    let Some(mut young) = Sleeper::new("chq-hangs", false) else {
        return;
    };
    let ran = end("chq-hangs", 0).await;
    assert!(ran.stepped.worked, "{:?}", ran.stepped);
    assert!(ran.output.contains("ended by force"), "{}", ran.output);
    assert_eq!(ran.fact("processes"), (Some("1"), Some("0")));
    // The younger one was there before the check and began after the order: it counts as opened again.
    assert_eq!(ran.fact("started_again").1, Some("1"));
    assert!(!ran.check.holds);
    assert!(young.child.try_wait().unwrap().is_none());
    assert!(other.child.try_wait().unwrap().is_none());
    drop(reaped.join().unwrap());
}

#[test]
fn programs_of_the_system_are_not_ended() {
    let machine = Machine::new();
    for (name, pid) in [
        ("systemd", 0),
        ("sshd", 0),
        ("chasqui-agent", 0),
        ("anything", 1),
    ] {
        let parameters = vec![text("name", name), number("pid", pid)];
        assert_eq!(
            machine.plan("process.kill", parameters).unwrap_err().rule,
            "PROTECTED",
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_clock_is_put_right_unless_it_is_off_by_more_than_a_day() {
    let machine = Machine::new();
    let tracking = |offset: &str, leap: &str| {
        format!("C0A80101,x,3,1.0,{offset},0.0,0.0,0.0,0.0,0.0,0.0,0.0,64.5,{leap}\n")
    };
    machine.file("tracking", &tracking("95.5", "Normal"));
    machine.file("tracking.next", &tracking("0.000012", "Normal"));
    machine.tool(
        "/usr/bin/chronyc",
        "case $1 in -n) cat $root/tracking;; makestep) echo makestep >> $root/calls; cp $root/tracking.next $root/tracking;; esac",
    );
    let ran = machine.run("time.sync", vec![]).await;
    assert!(ran.check.holds, "{:?}", ran.check);
    assert_eq!(ran.fact("offset"), (Some("95.500000"), Some("0.000012")));
    machine.file("tracking", &tracking("-86401", "Normal"));
    let plan = machine.plan("time.sync", vec![]).unwrap();
    let control = Control::new(plan.bounds().clone());
    let stepped = runner::run(&plan, &control, &mut |_| {}).await;
    assert!(!stepped.worked);
    assert_eq!(machine.calls(), "makestep\n");
}

fn apt(machine: &Machine, simulated: &str, installs: &str) {
    machine.file("simulated", simulated);
    machine.tool(
        "/usr/bin/apt-get",
        &format!(
            "case \" $* \" in *' update '*) exit 0;; *--simulate*) cat $root/simulated;; \
             *) echo \"$DEBIAN_FRONTEND $@\" >> $root/calls; {installs};; esac"
        ),
    );
    machine.tool(
        "/usr/bin/dpkg-query",
        "[ -s $root/version ] || exit 1; echo \"installed $(cat $root/version)\"",
    );
}

#[tokio::test]
async fn a_package_is_there_in_the_signed_version_and_signatures_are_never_passed_over() {
    let machine = Machine::new();
    let wanted = || vec![text("name", "hello"), text("version", "2.10-3")];
    assert_eq!(
        machine.plan("software.install", wanted()).unwrap_err().rule,
        "NOT_APPLICABLE"
    );
    apt(
        &machine,
        "Inst hello (2.10-3)\n",
        "echo 2.10-3 > $root/version",
    );
    let ran = machine.run("software.install", wanted()).await;
    assert!(ran.check.holds, "{:?} {:?}", ran.check, ran.stepped);
    assert_eq!(ran.fact("version"), (None, Some("2.10-3")));
    let call = machine.calls();
    assert!(call.starts_with("noninteractive "), "{call}");
    assert!(call.contains("AllowUnauthenticated=false"), "{call}");
    assert!(call.contains("AllowInsecureRepositories=false"), "{call}");
    assert!(call.ends_with("install -- hello=2.10-3\n"), "{call}");
    for word in ["--allow", "--force-yes", "nogpg"] {
        assert!(!call.contains(word), "{call}");
    }
    // Another version than the one signed is no success, whatever the exit code.
    apt(
        &machine,
        "Inst hello (2.10-3)\n",
        "echo 2.10-4 > $root/version",
    );
    let ran = machine.run("software.update", wanted()).await;
    assert!(ran.stepped.worked && !ran.check.holds);
}

#[tokio::test]
async fn where_there_is_systemd_a_package_manager_is_a_service_of_its_own() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("/run/systemd/system")).unwrap();
    apt(
        &machine,
        "Inst hello (2.10-3)\n",
        "echo 2.10-3 > $root/version",
    );
    machine.tool(
        "/usr/bin/systemd-run",
        "echo \"$@\" >> $root/services; while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"",
    );
    let wanted = vec![text("name", "hello"), text("version", "2.10-3")];
    let ran = machine.run("software.install", wanted).await;
    assert!(ran.check.holds, "{:?} {:?}", ran.check, ran.stepped);
    let services = fs::read_to_string(machine.path("services")).unwrap();
    let mut lines = services.lines();
    assert!(lines.next().unwrap().ends_with(" update"), "{services}");
    let last = lines.next().unwrap();
    assert!(last.contains("--wait") && last.contains("--pipe"), "{last}");
    assert!(last.ends_with("install -- hello=2.10-3"), "{last}");
    assert_eq!(lines.next(), None);
}

#[tokio::test]
async fn a_package_does_not_take_others_along() {
    let machine = Machine::new();
    machine.file("version", "1");
    apt(
        &machine,
        "Remv hello [1]\nRemv desktop [3]\n",
        "rm $root/version",
    );
    let ran = machine
        .run("software.remove", vec![text("name", "hello")])
        .await;
    assert_eq!(ran.note(), "it would remove desktop");
    assert_eq!(machine.calls(), "");
    assert!(!ran.check.holds);
    apt(&machine, "Remv hello [1]\n", ": > $root/version");
    let ran = machine
        .run("software.remove", vec![text("name", "hello")])
        .await;
    assert!(ran.check.holds, "{:?}", ran.stepped);
    for name in ["sudo", "chasqui-agent", "libc6"] {
        let refused = machine
            .plan("software.remove", vec![text("name", name)])
            .unwrap_err();
        assert_eq!(refused.rule, "PROTECTED", "{name}");
    }
}

#[test]
fn a_package_action_that_may_be_ended_in_the_middle_is_refused() {
    let machine = Machine::new();
    apt(&machine, "", ":");
    let mut definition = shipped("software.install");
    definition.stop = chasqui_trust::definition::StopPolicy::EndTree { grace_ms: 1 };
    let policy = Policy::default();
    let setting = Setting {
        root: machine.root.path().to_owned(),
        ..Setting::new(&policy, clock::now_ms(), vec![])
    };
    let parameters = vec![text("name", "hello"), text("version", "1")];
    let refused = plan(authorise(&definition, parameters), &setting).unwrap_err();
    assert_eq!(refused.rule, "DEFINITION_UNSUPPORTED");
}

/// `cargo nextest run --workspace --run-ignored only -E 'test(a_real_package)'`, as root on Debian with its archive in reach.
#[tokio::test]
#[ignore = "changes the machine it runs on"]
async fn a_real_package_is_installed_and_removed() {
    let candidate = Command::new("/usr/bin/apt-cache")
        .args(["policy", "hello"])
        .output()
        .unwrap();
    let candidate = String::from_utf8(candidate.stdout).unwrap();
    let version = candidate
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .unwrap()
        .to_owned();
    let run = async |id: &str, parameters| {
        let policy = Policy::default();
        let setting = Setting::new(&policy, clock::now_ms(), vec![]);
        let plan = plan(authorise(&shipped(id), parameters), &setting).unwrap();
        let control = Control::new(plan.bounds().clone());
        let before = runner::observe(&plan, &control).await;
        let stepped = runner::run(&plan, &control, &mut |_| {}).await;
        let check = runner::check(&plan, &before, &stepped.said, &control).await;
        println!("{}", String::from_utf8_lossy(&control.output.kept()));
        assert!(check.holds, "{check:?} {stepped:?}");
        check
    };
    let wanted = vec![text("name", "hello"), text("version", &version)];
    let check = run("software.install", wanted).await;
    assert_eq!(check.facts[0].after.as_deref(), Some(version.as_str()));
    let check = run("software.remove", vec![text("name", "hello")]).await;
    assert_eq!(check.facts[0].after, None);
}

#[tokio::test]
async fn fedoras_packages_are_asked_of_rpm() {
    let machine = Machine::new();
    machine.tool(
        "/usr/bin/dnf",
        "echo \"$@\" >> $root/calls; echo '(none):1.2-3.fc41' > $root/version",
    );
    machine.tool(
        "/usr/bin/rpm",
        "case $1 in -e) echo 'error: needed by other'; exit 1;; esac; cat $root/version 2>/dev/null || exit 1",
    );
    let wanted = vec![text("name", "hello"), text("version", "1.2-3.fc41")];
    let ran = machine.run("software.install", wanted).await;
    assert!(ran.check.holds, "{:?}", ran.check);
    assert!(
        machine.calls().contains("gpgcheck=1"),
        "{}",
        machine.calls()
    );
    let ran = machine
        .run("software.remove", vec![text("name", "hello")])
        .await;
    assert_eq!(ran.note(), "rpm: error: needed by other");
}

#[tokio::test]
async fn facts_that_the_definition_does_not_name_stay_on_the_machine() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("/run/systemd/resolve")).unwrap();
    machine.tool(
        "/usr/bin/resolvectl",
        "[ $1 = statistics ] && echo '  Current Cache Size: 0'; exit 0",
    );
    let mut definition = shipped("dns.flush");
    definition.evidence.clear();
    let policy = Policy::default();
    let setting = Setting {
        root: machine.root.path().to_owned(),
        ..Setting::new(&policy, clock::now_ms(), vec![])
    };
    let plan = plan(authorise(&definition, vec![]), &setting).unwrap();
    let control = Control::new(plan.bounds().clone());
    let before = runner::observe(&plan, &control).await;
    let check = runner::check(&plan, &before, &serde_json::Value::Null, &control).await;
    assert!(check.holds && check.facts.is_empty());
}
