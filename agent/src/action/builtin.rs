//! What steps and checks are to the runner, and which of them this agent has built in. A builtin is one file beside this
//! one; it is made from a definition's arguments before anything begins, and refuses there what it cannot do.

use std::fmt::Debug;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use chasqui_base::text::Text;
use chasqui_trust::Authorised;
use chasqui_trust::definition::{NamedArg, resolve_named_args};
use chasqui_trust::order::{Parameter, ParameterValue};
use chasqui_trust::result::CheckFact;
use serde_json::Value;

use super::runner::Control;
use super::{Setting, dns, files, inventory, message, packages, process, reboot, service, time};
use crate::policy::Refused;

/// A future of a step or check.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a step or check works with.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// Where it prints, and how it is called off.
    pub control: &'a Control,
    /// How long it may take.
    pub limit: Duration,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// None when it did not come to an end by itself.
    pub exit_code: Option<i64>,
    /// Why, in a word or two; empty when there is nothing to say.
    pub note: String,
    /// False ends the action.
    pub worked: bool,
    /// What it found or did, for the check; null for nothing.
    pub said: Value,
}

impl Ended {
    /// It did what it should.
    pub fn well(said: Value) -> Self {
        Self {
            exit_code: Some(0),
            note: String::new(),
            worked: true,
            said,
        }
    }

    /// It did not.
    pub fn badly(note: impl Into<String>) -> Self {
        Self {
            exit_code: None,
            note: note.into(),
            worked: false,
            said: Value::Null,
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// True is success.
    pub holds: bool,
    /// Before and after.
    pub facts: Vec<CheckFact>,
    /// In words.
    pub explanation: Text,
}

/// A fact with both sides.
pub fn fact(
    name: &str,
    before: Option<impl ToString>,
    after: Option<impl ToString>,
    unit: &str,
) -> CheckFact {
    CheckFact {
        name: name.to_owned(),
        before: before.map(|value| value.to_string()),
        after: after.map(|value| value.to_string()),
        unit: unit.to_owned(),
    }
}

/// What runs.
pub trait Step: Debug + Send + Sync {
    /// Does it. Ends early when called off or out of time.
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended>;
}

/// What must hold afterwards.
pub trait Check: Debug + Send + Sync {
    /// What it will compare with, before the first step. Has no effects; it is kept in the journal, so that the check can
    /// be made after a restart. Null when there is nothing to keep.
    fn observe<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Value>;

    /// The answer. `said` are the last words of the steps, null when they said nothing or were interrupted.
    fn judge<'a>(
        &'a self,
        before: &'a Value,
        said: &'a Value,
        work: &'a Work<'a>,
    ) -> Boxed<'a, Finding>;
}

/// What a builtin is made from.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// This machine.
    pub setting: &'a Setting<'a>,
    /// What people signed.
    pub authorised: &'a Authorised,
}

impl Making<'_> {
    /// A path of the system, below the root that the setting names.
    pub fn path(&self, path: &str) -> PathBuf {
        below(&self.setting.root, path)
    }
}

/// `/usr/bin/x` below a root.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

type MakeStep = fn(&mut Args, &Making<'_>) -> Result<Box<dyn Step>, Refused>;
type MakeCheck = fn(&mut Args, &Making<'_>) -> Result<Box<dyn Check>, Refused>;

/// Every built-in step.
pub const STEPS: &[(&str, MakeStep)] = &[
    ("dns.flush", dns::step),
    ("files.clean", files::clean),
    ("inventory.collect", inventory::step),
    ("packages.install", packages::install),
    ("packages.remove", packages::remove),
    ("packages.update", packages::update),
    ("power.reboot", reboot::step),
    ("process.end", process::step),
    ("service.control", service::step),
    ("session.message", message::step),
    ("time.sync", time::step),
];

/// Every built-in check.
pub const CHECKS: &[(&str, MakeCheck)] = &[
    ("dns.flushed", dns::check),
    ("file.renewed", files::renewed),
    ("files.cleaned", files::cleaned),
    ("inventory.accepted", inventory::check),
    ("packages.state", packages::check),
    ("power.rebooted", reboot::check),
    ("process.gone", process::check),
    ("service.state", service::check),
    ("session.delivered", message::check),
    ("time.synced", time::check),
];

/// Makes the built-in step of this name.
pub fn make_step(
    name: &str,
    args: &[NamedArg],
    making: &Making<'_>,
) -> Result<Box<dyn Step>, Refused> {
    make(STEPS, name, args, making)
}

/// Makes the built-in check of this name.
pub fn make_check(
    name: &str,
    args: &[NamedArg],
    making: &Making<'_>,
) -> Result<Box<dyn Check>, Refused> {
    make(CHECKS, name, args, making)
}

type Make<T> = fn(&mut Args, &Making<'_>) -> Result<T, Refused>;

fn make<T>(
    table: &[(&str, Make<T>)],
    name: &str,
    args: &[NamedArg],
    making: &Making<'_>,
) -> Result<T, Refused> {
    let Some((_, make)) = table.iter().find(|(known, _)| *known == name) else {
        return Err(unknown_builtin(name));
    };
    let mut args = Args::resolve(name, args, making.authorised.parameters())?;
    let made = make(&mut args, making)?;
    args.end()?;
    Ok(made)
}

fn unknown_builtin(name: &str) -> Refused {
    Refused::new(
        "DEFINITION_UNSUPPORTED",
        format!("este agente no conoce la función {name}; actualícelo"),
        format!("this agent does not know the function {name}; update it"),
    )
}

/// The machine has nothing this action could work on.
pub fn not_applicable(es: impl Into<String>, en: impl Into<String>) -> Refused {
    Refused::new("NOT_APPLICABLE", es, en)
}

/// The arguments of a builtin, taken one by one; what is left over is a mistake or something this agent is too old for.
#[derive(Debug)]
pub struct Args {
    builtin: String,
    given: Vec<Parameter>,
}

impl Args {
    fn resolve(
        builtin: &str,
        args: &[NamedArg],
        parameters: &[Parameter],
    ) -> Result<Self, Refused> {
        let given = resolve_named_args(args, parameters).ok_or_else(|| unknown_builtin(builtin))?;
        Ok(Self {
            builtin: builtin.to_owned(),
            given,
        })
    }

    fn take(&mut self, name: &str) -> Option<ParameterValue> {
        let at = self.given.iter().position(|arg| arg.name == name)?;
        Some(self.given.remove(at).value)
    }

    /// A number, if it is given.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(ParameterValue::Integer(number)) => Ok(Some(number)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    /// A text, if it is given.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(ParameterValue::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    /// A list, if it is given.
    pub fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(ParameterValue::List(items)) => Ok(Some(items)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    /// A text that must be given.
    pub fn needed(&mut self, name: &str) -> Result<String, Refused> {
        self.text(name)?.ok_or_else(|| self.wrong(name))
    }

    /// A number that must be given, within these bounds.
    pub fn between(&mut self, name: &str, least: i64, most: i64) -> Result<i64, Refused> {
        self.integer(name)?
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(name))
    }

    fn end(&self) -> Result<(), Refused> {
        match self.given.first() {
            None => Ok(()),
            Some(arg) => Err(self.wrong(&arg.name)),
        }
    }

    /// The argument is not as this agent knows it.
    pub fn wrong(&self, name: &str) -> Refused {
        let builtin = &self.builtin;
        Refused::new(
            "DEFINITION_UNSUPPORTED",
            format!(
                "{builtin}: el argumento {name} falta, sobra o no es como este agente lo conoce"
            ),
            format!(
                "{builtin}: the argument {name} is missing, unknown to this agent or not of its kind"
            ),
        )
    }
}
