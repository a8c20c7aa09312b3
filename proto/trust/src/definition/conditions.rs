//! What a definition says around its steps: when it may begin, what it holds while it runs, how it may be ended, and how
//! it is taken back.

use serde::{Deserialize, Serialize};

use super::{Definition, ParameterSpec, Step};
use crate::canonical::{Document as _, FormatError, check_distinct, check_len};
use crate::order::Parameter;
use crate::text::{Text, check_identifier, check_line, check_text};

/// Longest time an undo waits for the coordinator: one hour.
const MAX_UNREACHABLE_MS: i64 = 60 * 60 * 1000;

/// What must be so before the first step. What cannot be observed is not so: the machine refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Precondition {
    /// On mains, or without a battery, or with at least this much left.
    BatteryAtLeast {
        /// 1 to 100.
        percent: u32,
    },
    /// The file system that holds this folder has at least this much free.
    FreeDisk {
        /// Absolute.
        path: String,
        /// Bytes.
        bytes: u64,
    },
    /// The system does not wait for a restart.
    NoPendingReboot,
    /// Nobody has a session.
    NobodyLoggedIn,
    /// Somebody has a session.
    SomebodyLoggedIn,
}

/// Something of the machine that only one order at a time may work on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// For example `package-manager` or `service`.
    pub resource: String,
    /// Its value tells one such thing from another; None locks all of them.
    pub parameter: Option<String>,
}

/// What the steps take away for a while: the machine writes down first what it is about to do, and reports afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The connection to the coordinator.
    Network,
    /// The machine starts anew; the check runs after that.
    Reboot,
}

/// What happens to a running step when its time is over or a person calls it off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum StopPolicy {
    /// Every process of it is asked to end, and after the grace is ended.
    EndTree {
        /// 0 to 600,000 milliseconds.
        grace_ms: i64,
    },
    /// It is let run to its end (a package manager in the middle of a transaction); no further step begins.
    LetFinish,
}

/// Bounds on the programs of a definition. None leaves the system's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of all processes together, at least 16 MiB.
    pub memory_bytes: Option<u64>,
    /// Processor time, percent of one processor, 1 to 6,400.
    pub cpu_percent: Option<u32>,
    /// Processes and threads together, 1 to 32,768.
    pub processes: Option<u32>,
    /// Low gives way to the person's programs.
    pub priority: Priority,
}

/// How the programs compete with the person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Give way.
    Low,
    /// As any other.
    Normal,
}

/// How the effects are taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// What it brings back, in words.
    pub summary: Text,
    /// In this order; each is tried, whatever became of the one before.
    pub steps: Vec<Step>,
    /// Runs when the check does not hold.
    pub when_check_fails: bool,
    /// Runs when the coordinator cannot be reached for this long after the steps, milliseconds; even after a restart.
    pub when_unreachable_ms: Option<i64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            cpu_percent: None,
            processes: None,
            priority: Priority::Low,
        }
    }
}

impl Lock {
    /// `resource`, or `resource:value` with the parameter's value filled in.
    pub fn key(&self, parameters: &[Parameter]) -> String {
        let value = self.parameter.as_ref().and_then(|name| {
            parameters
                .iter()
                .find(|p| p.name == *name)
                .map(|p| &p.value)
        });
        match value {
            Some(value) => format!("{}:{value}", self.resource),
            None => self.resource.clone(),
        }
    }
}

/// A text with `{name}` where a parameter's value goes.
///
/// # Errors
/// In words, when a brace is not closed or names no parameter.
pub(super) fn check_template(text: &str, parameters: &[ParameterSpec]) -> Result<(), String> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        if before.contains('}') {
            return Err("has a } without a {".to_owned());
        }
        let Some((name, after)) = after.split_once('}') else {
            return Err("has a { without a }".to_owned());
        };
        if !parameters.iter().any(|p| p.name == name) {
            return Err(format!("names the undefined parameter {name:?}"));
        }
        rest = after;
    }
    if rest.contains('}') {
        return Err("has a } without a {".to_owned());
    }
    Ok(())
}

/// The text with values filled in; a value is never read as a template.
pub(super) fn fill(text: &str, parameters: &[Parameter]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            break;
        };
        if let Some(parameter) = parameters.iter().find(|p| p.name == name) {
            out.push_str(&parameter.value.to_string());
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

pub(super) fn check(definition: &Definition) -> Result<(), FormatError> {
    let what = Definition::NAME;
    let bad = |field: &str, why: &str| Err(FormatError::invalid(what, field, why));
    for (field, text) in [
        ("plan", &definition.plan),
        ("if_it_fails", &definition.if_it_fails),
    ] {
        check_text(what, field, text, 2000)?;
        for words in [&text.es, &text.en] {
            check_template(words, &definition.parameters)
                .map_err(|why| FormatError::invalid(what, field, why))?;
        }
    }
    if definition.approvals > 16 {
        return bad("approvals", "is at most 16");
    }
    check_len(what, "preconditions", &definition.preconditions, 16)?;
    for (at, condition) in definition.preconditions.iter().enumerate() {
        if definition
            .preconditions
            .iter()
            .skip(at + 1)
            .any(|other| other == condition)
        {
            return bad("preconditions", "repeats a condition");
        }
        match condition {
            Precondition::BatteryAtLeast { percent } if !(1..=100).contains(percent) => {
                return bad("preconditions.battery_at_least", "is 1 to 100 percent");
            }
            Precondition::FreeDisk { path, .. } if !super::program::is_plain_absolute(path) => {
                return bad("preconditions.free_disk", "needs an absolute path");
            }
            _ => {}
        }
    }
    if definition
        .preconditions
        .contains(&Precondition::NobodyLoggedIn)
        && definition
            .preconditions
            .contains(&Precondition::SomebodyLoggedIn)
    {
        return bad("preconditions", "can never hold: nobody and somebody");
    }
    check_len(what, "locks", &definition.locks, 16)?;
    check_distinct(what, "locks", &definition.locks, 16, |lock: &Lock| {
        (lock.resource.as_str(), lock.parameter.as_deref())
    })?;
    for lock in &definition.locks {
        check_identifier(what, "locks.resource", &lock.resource, 64)?;
        if let Some(name) = &lock.parameter
            && !definition.parameters.iter().any(|p| p.name == *name)
        {
            return bad("locks.parameter", "names an undefined parameter");
        }
    }
    check_distinct(what, "interrupts", &definition.interrupts, 2, |i| *i)?;
    if let StopPolicy::EndTree { grace_ms } = definition.stop
        && !(0..=600_000).contains(&grace_ms)
    {
        return bad("stop.end_tree", "has a grace of 0 to 600000");
    }
    let limits = &definition.limits;
    if limits.memory_bytes.is_some_and(|bytes| bytes < 16 << 20) {
        return bad("limits.memory_bytes", "is at least 16777216");
    }
    if limits
        .cpu_percent
        .is_some_and(|percent| !(1..=6400).contains(&percent))
    {
        return bad("limits.cpu_percent", "is 1 to 6400");
    }
    if limits
        .processes
        .is_some_and(|count| !(1..=32_768).contains(&count))
    {
        return bad("limits.processes", "is 1 to 32768");
    }
    let Some(undo) = &definition.undo else {
        return Ok(());
    };
    check_line(what, "undo.summary.es", &undo.summary.es, 2000)?;
    check_line(what, "undo.summary.en", &undo.summary.en, 2000)?;
    if undo.steps.is_empty() {
        return bad("undo.steps", "is empty");
    }
    if !undo.when_check_fails && undo.when_unreachable_ms.is_none() {
        return bad("undo", "never runs: neither of its occasions is set");
    }
    if undo
        .when_unreachable_ms
        .is_some_and(|ms| !(1..=MAX_UNREACHABLE_MS).contains(&ms))
    {
        return bad("undo.when_unreachable_ms", "is 1 to 3600000");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::definition::{CharClass, ParameterKind};
    use crate::order::ParameterValue;

    fn given(name: &str, value: &str) -> Parameter {
        Parameter {
            name: name.to_owned(),
            value: ParameterValue::Text(value.to_owned()),
        }
    }

    #[test]
    fn words_are_filled_once_and_a_value_is_never_a_template() {
        let parameters = [given("service", "{reason}"), given("reason", "secret")];
        assert_eq!(
            fill("restarts {service} ({reason})", &parameters),
            "restarts {reason} (secret)"
        );
        assert_eq!(fill("no braces", &parameters), "no braces");
    }

    #[test]
    fn words_that_cannot_be_filled_are_refused_when_written() {
        let specs = [ParameterSpec {
            name: "unit".to_owned(),
            title: Text::new("Servicio", "Service"),
            kind: ParameterKind::Text {
                max_length: 10,
                class: CharClass::Identifier,
                leading_dash: false,
            },
        }];
        for (text, why) in [
            ("restarts {unit}", None),
            ("{unit}{unit}", None),
            ("restarts {unti}", Some("undefined parameter \"unti\"")),
            ("restarts {unit", Some("a { without a }")),
            ("restarts unit}", Some("a } without a {")),
            ("} {unit}", Some("a } without a {")),
        ] {
            let answer = check_template(text, &specs);
            match why {
                None => assert_eq!(answer, Ok(()), "{text}"),
                Some(why) => assert!(answer.unwrap_err().contains(why), "{text}"),
            }
        }
    }

    #[test]
    fn a_lock_is_as_narrow_as_its_parameter() {
        let lock = |parameter: Option<&str>| Lock {
            resource: "service".to_owned(),
            parameter: parameter.map(str::to_owned),
        };
        let parameters = [given("unit", "cups.service")];
        assert_eq!(lock(None).key(&parameters), "service");
        assert_eq!(lock(Some("unit")).key(&parameters), "service:cups.service");
    }
}
