//! `packages.install`, `packages.update`, `packages.remove` and `packages.state`: by apt or dnf, which check the signatures of
//! what they install; never past them. The version is the one that people signed. What the package manager would do is
//! looked at first: an action that would remove or downgrade anything else does not begin. A transaction is never ended
//! in the middle (the definitions say `let_finish`).

use std::path::Path;

use chasqui_base::text::Text;
use chasqui_trust::definition::StopPolicy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builtin::{
    Args, Boxed, Check, Ended, Finding, Making, Step, Work, below, fact, not_applicable,
};
use super::{program, protected, tool};
use crate::output::Output;
use crate::policy::Refused;

/// Nobody is there to answer apt's questions.
const APT_ENV: &[(&str, &str)] = &[("DEBIAN_FRONTEND", "noninteractive")];
/// A package manager as a service of its own, where there is systemd: it goes on when the agent ends, and the scripts of
/// packages meet the system as they expect it, without the agent's confinement. Its words and its end come back.
const AS_SERVICE: [&str; 9] = [
    "--quiet",
    "--pipe",
    "--wait",
    "--collect",
    "--service-type=exec",
    "--description=Chasqui: packages",
    "--setenv=DEBIAN_FRONTEND=noninteractive",
    "--setenv=LC_ALL=C.UTF-8",
    "--nice=10",
];
/// Whatever the machine's own settings say: signatures are checked, files that people changed stay, another package
/// manager is waited for.
const APT_OPTIONS: [&str; 10] = [
    "-oAPT::Get::AllowUnauthenticated=false",
    "-oAcquire::AllowInsecureRepositories=false",
    "-oAcquire::AllowWeakRepositories=false",
    "-oAcquire::AllowDowngradeToInsecureRepositories=false",
    "-oAPT::Get::Assume-Yes=true",
    "-oAPT::Get::AutomaticRemove=false",
    "-oDPkg::Lock::Timeout=120",
    "-oDpkg::Options::=--force-confold",
    "-oDpkg::Options::=--force-confdef",
    "-oDpkg::Use-Pty=0",
];
const DNF_OPTIONS: [&str; 6] = [
    "--assumeyes",
    "--setopt=gpgcheck=1",
    "--setopt=localpkg_gpgcheck=1",
    "--setopt=install_weak_deps=False",
    "--setopt=clean_requirements_on_remove=False",
    "--setopt=exit_on_lock=False",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Install,
    Update,
    Remove,
}

#[derive(Clone, Debug)]
enum Manager {
    Apt { apt_get: String, dpkg_query: String },
    Dnf { dnf: String, rpm: String },
}

#[derive(Debug)]
struct Change {
    manager: Manager,
    /// The program that starts services, where there is systemd.
    launcher: Option<String>,
    verb: Verb,
    name: String,
    version: String,
}

/// `packages.install`: `name`, `version`.
pub fn install(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    change(args, making, Verb::Install)
}

/// `packages.update`: `name`, `version`.
pub fn update(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    change(args, making, Verb::Update)
}

/// `packages.remove`: `name`.
pub fn remove(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    change(args, making, Verb::Remove)
}

fn change(args: &mut Args, making: &Making<'_>, verb: Verb) -> Result<Box<dyn Step>, Refused> {
    let name = package_name(args)?;
    let version = match verb {
        Verb::Remove => String::new(),
        Verb::Install | Verb::Update => args.needed("version")?,
    };
    if making.authorised.definition().stop != StopPolicy::LetFinish {
        return Err(Refused::new(
            "DEFINITION_UNSUPPORTED",
            "una acción con paquetes debe dejar terminar a su gestor (stop: let_finish): corrija la definición",
            "an action on packages must let their manager finish (stop: let_finish): mend the definition",
        ));
    }
    let root = &making.setting.root;
    let launcher = below(root, "/run/systemd/system")
        .is_dir()
        .then(|| tool::find(root, &["/usr/bin/systemd-run", "/bin/systemd-run"]))
        .flatten();
    Ok(Box::new(Change {
        manager: manager(root)?,
        launcher,
        verb,
        name,
        version,
    }))
}

fn package_name(args: &mut Args) -> Result<String, Refused> {
    let name = args.needed("name")?;
    // By words alone, so that nothing in it is a version, a wildcard, a file or an option.
    let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_'));
    if !plain {
        return Err(args.wrong("name"));
    }
    if protected::is_package(&name) {
        return Err(protected::refuse(&name));
    }
    Ok(name)
}

fn manager(root: &Path) -> Result<Manager, Refused> {
    let find = |path| tool::find(root, &[path]);
    if let Some((apt_get, dpkg_query)) = find("/usr/bin/apt-get").zip(find("/usr/bin/dpkg-query")) {
        return Ok(Manager::Apt {
            apt_get,
            dpkg_query,
        });
    }
    find("/usr/bin/dnf")
        .zip(find("/usr/bin/rpm"))
        .map(|(dnf, rpm)| Manager::Dnf { dnf, rpm })
        .ok_or_else(|| {
            not_applicable(
                "este equipo no tiene apt ni dnf",
                "this machine has neither apt nor dnf",
            )
        })
}

impl Manager {
    /// The version installed; None inside when it is not. None outside when that could not be seen.
    async fn installed(&self, name: &str) -> Option<Option<String>> {
        match self {
            Self::Apt { dpkg_query, .. } => {
                let args = ["-W", "-f=${db:Status-Status} ${Version}\\n", "--", name];
                let (ended, text) = program::ask(dpkg_query, &args, tool::QUICK).await;
                match ended.exit_code? {
                    0 => Some(
                        text.lines()
                            .find_map(|line| line.strip_prefix("installed "))
                            .map(|version| version.trim().to_owned()),
                    ),
                    1 => Some(None),
                    _ => None,
                }
            }
            Self::Dnf { rpm, .. } => {
                let format = "%{EPOCH}:%{VERSION}-%{RELEASE}\\n";
                let args = ["-q", "--qf", format, "--", name];
                let (ended, text) = program::ask(rpm, &args, tool::QUICK).await;
                match ended.exit_code? {
                    0 => Some(text.lines().next().map(|line| {
                        line.trim()
                            .strip_prefix("(none):")
                            .unwrap_or(line.trim())
                            .to_owned()
                    })),
                    1 => Some(None),
                    _ => None,
                }
            }
        }
    }
}

impl Change {
    fn args(&self, simulate: bool) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        let mut add = |text: &str| args.push(text.to_owned());
        match &self.manager {
            Manager::Apt { .. } => {
                APT_OPTIONS.into_iter().for_each(&mut add);
                if simulate {
                    add("--simulate");
                }
                match self.verb {
                    Verb::Install => ["--no-install-recommends", "install"]
                        .into_iter()
                        .for_each(&mut add),
                    Verb::Update => ["--only-upgrade", "install"].into_iter().for_each(&mut add),
                    Verb::Remove => add("remove"),
                }
                add("--");
                match self.verb {
                    Verb::Remove => add(&self.name),
                    Verb::Install | Verb::Update => add(&format!("{}={}", self.name, self.version)),
                }
            }
            Manager::Dnf { .. } => {
                DNF_OPTIONS.into_iter().for_each(&mut add);
                if simulate {
                    add("--assumeno");
                }
                match self.verb {
                    Verb::Install => add("install"),
                    Verb::Update => add("upgrade"),
                    Verb::Remove => add("remove"),
                }
                match self.verb {
                    Verb::Remove => add(&self.name),
                    Verb::Install | Verb::Update => add(&format!("{}-{}", self.name, self.version)),
                }
            }
        }
        args
    }

    /// Why it must not begin, after asking the package manager what it would do.
    async fn objection(&self, limit: std::time::Duration) -> Option<String> {
        match &self.manager {
            Manager::Apt { apt_get, .. } => {
                let args = self.args(true);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let (ended, text) = program::ask(apt_get, &args, limit).await;
                if ended.exit_code != Some(0) {
                    return Some(format!("apt-get would not: {}", last_words(&text)));
                }
                apt_objection(&text, &self.name, self.verb)
            }
            Manager::Dnf { rpm, .. } if self.verb == Verb::Remove => {
                // dnf removes whatever needs the package with it; rpm refuses.
                let (ended, text) =
                    program::ask(rpm, &["-e", "--test", "--", &self.name], limit).await;
                (ended.exit_code != Some(0)).then(|| format!("rpm: {}", last_words(&text)))
            }
            Manager::Dnf { .. } => None,
        }
    }
}

/// Of a simulation: nothing but the package may be removed, and nothing may become older.
fn apt_objection(text: &str, name: &str, verb: Verb) -> Option<String> {
    let removed: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("Remv ").or(line.strip_prefix("Purg "))?;
            line.split(' ').next()
        })
        .filter(|removed| !(verb == Verb::Remove && *removed == name))
        .take(20)
        .collect();
    if !removed.is_empty() {
        return Some(format!("it would remove {}", removed.join(", ")));
    }
    text.contains("will be DOWNGRADED")
        .then(|| "it would make packages older".to_owned())
}

fn last_words(text: &str) -> String {
    let words = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no reason given");
    words.chars().take(300).collect()
}

impl Change {
    /// Runs the package manager, as a service where that can be.
    async fn run_manager(
        &self,
        tool: &str,
        args: Vec<String>,
        limits: &program::Limits,
        output: &Output,
    ) -> program::Ended {
        let Some(launcher) = &self.launcher else {
            return program::run(tool, &args, limits, output).await;
        };
        let words: Vec<String> = AS_SERVICE
            .iter()
            .map(|arg| (*arg).to_owned())
            .chain(["--".to_owned(), tool.to_owned()])
            .chain(args)
            .collect();
        program::run(launcher, &words, limits, output).await
    }
}

impl Step for Change {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let output = &work.control.output;
            let mut limits = work.control.limits(work.limit);
            let tool = match &self.manager {
                Manager::Apt { apt_get, .. } => {
                    limits.env = APT_ENV;
                    if self.verb != Verb::Remove {
                        // Without fresh lists the version may not be known; its failure shows in what follows.
                        let mut args: Vec<String> =
                            APT_OPTIONS.iter().map(|arg| (*arg).to_owned()).collect();
                        args.push("update".to_owned());
                        self.run_manager(apt_get, args, &limits, output).await;
                    }
                    apt_get
                }
                Manager::Dnf { dnf, .. } => dnf,
            };
            if self.verb == Verb::Update && self.manager.installed(&self.name).await == Some(None) {
                return Ended::badly(format!("{} is not installed", self.name));
            }
            if let Some(why) = self.objection(work.limit).await {
                return Ended::badly(why);
            }
            if work.control.cancel.is_cancelled() {
                return Ended::badly("cancelled");
            }
            let ended = self
                .run_manager(tool, self.args(false), &limits, output)
                .await;
            tool::step_end(ended)
        })
    }
}

#[derive(Debug)]
struct State {
    manager: Manager,
    name: String,
    /// None: it must not be there.
    version: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// False when it could not be looked at.
    known: bool,
    version: Option<String>,
}

/// `packages.state`: `name`, and `version` when it must be there; without one it must be absent.
pub fn check(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(State {
        name: package_name(args)?,
        version: args.text("version")?,
        manager: manager(&making.setting.root)?,
    }))
}

impl State {
    async fn look(&self) -> Seen {
        match self.manager.installed(&self.name).await {
            Some(version) => Seen {
                known: true,
                version,
            },
            None => Seen::default(),
        }
    }
}

impl Check for State {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { serde_json::to_value(self.look().await).unwrap_or(Value::Null) })
    }

    fn judge<'a>(&'a self, before: &'a Value, _: &'a Value, _: &'a Work<'a>) -> Boxed<'a, Finding> {
        Box::pin(async {
            let before: Seen = serde_json::from_value(before.clone()).unwrap_or_default();
            judge(
                &self.name,
                self.version.as_deref(),
                &before,
                &self.look().await,
            )
        })
    }
}

fn judge(name: &str, wanted: Option<&str>, before: &Seen, after: &Seen) -> Finding {
    let (holds, es, en) = match (after.known, after.version.as_deref(), wanted) {
        (false, _, _) => (
            false,
            format!("el gestor de paquetes no dice si {name} está instalado"),
            format!("the package manager does not say whether {name} is installed"),
        ),
        (_, None, None) => (
            true,
            format!("{name} ya no está instalado"),
            format!("{name} is not installed any more"),
        ),
        (_, Some(version), Some(wanted)) if is_version(version, wanted) => (
            true,
            format!("{name} está instalado en la versión {version}"),
            format!("{name} is installed in version {version}"),
        ),
        (_, Some(version), Some(wanted)) => (
            false,
            format!("{name} está en la versión {version} y se firmó {wanted}"),
            format!("{name} is in version {version} and {wanted} was signed"),
        ),
        (_, Some(version), None) => (
            false,
            format!("{name} sigue instalado ({version})"),
            format!("{name} is still installed ({version})"),
        ),
        (_, None, Some(_)) => (
            false,
            format!("{name} no está instalado"),
            format!("{name} is not installed"),
        ),
    };
    Finding {
        holds,
        facts: vec![fact(
            "version",
            before.version.clone(),
            after.version.clone(),
            "",
        )],
        explanation: Text::new(es, en),
    }
}

/// An epoch of rpm may be left out by who signs.
fn is_version(installed: &str, wanted: &str) -> bool {
    installed == wanted
        || (!wanted.contains(':')
            && installed
                .split_once(':')
                .is_some_and(|(_, version)| version == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_take_other_packages_along_is_objected_to() {
        let text = "Reading package lists...\nRemv gimp-plugins [1.0]\nRemv gimp [2.10]\n";
        assert_eq!(
            apt_objection(text, "gimp", Verb::Remove).as_deref(),
            Some("it would remove gimp-plugins")
        );
        assert_eq!(
            apt_objection("Remv gimp [2.10]\n", "gimp", Verb::Remove),
            None
        );
        assert!(apt_objection("Remv gimp [2.10]\n", "gimp", Verb::Install).is_some());
        assert!(
            apt_objection(
                "The following packages will be DOWNGRADED:\n",
                "x",
                Verb::Install
            )
            .is_some()
        );
        assert_eq!(
            apt_objection("Inst x (1.0)\nConf x\n", "x", Verb::Install),
            None
        );
    }

    #[test]
    fn the_state_is_the_signed_version_and_no_other() {
        let seen = |version: Option<&str>| Seen {
            known: true,
            version: version.map(str::to_owned),
        };
        for (wanted, after, holds) in [
            (Some("1.2-3"), seen(Some("1.2-3")), true),
            (Some("1.2-3"), seen(Some("1:1.2-3")), true),
            (Some("1:1.2-3"), seen(Some("1.2-3")), false),
            (Some("1.2-3"), seen(Some("1.2-4")), false),
            (Some("1.2-3"), seen(None), false),
            (None, seen(None), true),
            (None, seen(Some("1")), false),
            (None, Seen::default(), false),
        ] {
            assert_eq!(judge("x", wanted, &seen(None), &after).holds, holds);
        }
    }
}
