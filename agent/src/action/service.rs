//! `service.control` and `service.state`: services of systemd. What protects the machine, and this agent, is out of reach
//! under whatever name it is called.

use chasqui_base::clock;
use chasqui_base::text::Text;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builtin::{
    Args, Boxed, Check, Ended, Finding, Making, Step, Work, fact, not_applicable,
};
use super::{program, protected, tool};
use crate::policy::Refused;

/// How long a service must stay up before it counts as up.
const STEADY: std::time::Duration = std::time::Duration::from_secs(2);
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Restart,
    Start,
    Stop,
}

#[derive(Debug)]
struct Service {
    systemctl: String,
    unit: String,
    verb: Verb,
}

/// `service.control`: `unit`, and `verb` restart, start or stop.
pub fn step(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    Ok(Box::new(service(args, making)?))
}

/// `service.state`: the same arguments; holds when the unit is as the verb leaves it.
pub fn check(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(service(args, making)?))
}

fn service(args: &mut Args, making: &Making<'_>) -> Result<Service, Refused> {
    let verb = match args.needed("verb")?.as_str() {
        "restart" => Verb::Restart,
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        _ => return Err(args.wrong("verb")),
    };
    let unit = unit_name(&args.needed("unit")?);
    if protected::is_unit(&unit) {
        return Err(protected::refuse(&unit));
    }
    let Some(systemctl) = systemctl(&making.setting.root) else {
        return Err(not_applicable(
            "este equipo no usa systemd: no se pueden manejar sus servicios",
            "this machine does not use systemd: its services cannot be controlled",
        ));
    };
    Ok(Service {
        systemctl,
        unit,
        verb,
    })
}

/// The program that controls systemd, if it is here.
pub fn systemctl(root: &std::path::Path) -> Option<String> {
    tool::find(root, &["/usr/bin/systemctl", "/bin/systemctl"])
}

/// A name without a type is a service's.
pub fn unit_name(given: &str) -> String {
    let typed = [
        ".service", ".socket", ".timer", ".path", ".target", ".mount",
    ]
    .iter()
    .any(|kind| given.ends_with(kind));
    if typed {
        given.to_owned()
    } else {
        format!("{given}.service")
    }
}

/// What systemd says of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its own name, whatever it was asked by.
    pub id: String,
    /// All its names.
    pub names: Vec<String>,
    /// `loaded`, `not-found`, `masked`.
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`.
    pub active: String,
    /// Changes with each start.
    pub invocation: String,
    /// How often it was started again by itself.
    pub restarts: u64,
    /// Of its main process; 0 for none.
    pub main_pid: u64,
}

/// Asks systemd. None when it does not answer.
pub async fn show(systemctl: &str, unit: &str) -> Option<Unit> {
    let args = [
        "show",
        "--no-pager",
        "--property=Id,Names,LoadState,ActiveState,InvocationID,NRestarts,MainPID",
        "--",
        unit,
    ];
    let text = tool::words(systemctl, &args).await?;
    let value = |key| tool::value_of(&text, key).unwrap_or_default().to_owned();
    Some(Unit {
        id: value("Id"),
        names: value("Names").split(' ').map(str::to_owned).collect(),
        load: value("LoadState"),
        active: value("ActiveState"),
        invocation: value("InvocationID"),
        restarts: value("NRestarts").parse().unwrap_or(0),
        main_pid: value("MainPID").parse().unwrap_or(0),
    })
}

impl Step for Service {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            // Another name of a protected unit is found out only here.
            let Some(unit) = show(&self.systemctl, &self.unit).await else {
                return Ended::badly("systemd does not answer");
            };
            let names = unit.names.iter().chain([&unit.id]);
            if let Some(name) = names.into_iter().find(|name| protected::is_unit(name)) {
                return Ended::badly(format!("protected: {name}"));
            }
            if unit.load != "loaded" {
                return Ended::badly(format!("{} is {}", self.unit, unit.load));
            }
            let verb = match self.verb {
                Verb::Restart => "restart",
                Verb::Start => "start",
                Verb::Stop => "stop",
            };
            let args = ["--no-ask-password", "--quiet", verb, "--", &self.unit].map(str::to_owned);
            let limits = work.control.limits(work.limit);
            let output = &work.control.output;
            tool::step_end(program::run(&self.systemctl, &args, &limits, output).await)
        })
    }
}

impl Check for Service {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async {
            let unit = show(&self.systemctl, &self.unit).await;
            serde_json::to_value(unit).unwrap_or(Value::Null)
        })
    }

    fn judge<'a>(
        &'a self,
        before: &'a Value,
        _: &'a Value,
        work: &'a Work<'a>,
    ) -> Boxed<'a, Finding> {
        Box::pin(async {
            let before: Option<Unit> = serde_json::from_value(before.clone()).unwrap_or(None);
            let began = clock::monotonic();
            // A service may take its time to come up; one that falls over at once must not count.
            let (first, after) = loop {
                let first = show(&self.systemctl, &self.unit).await;
                let coming = first.as_ref().is_some_and(|unit| {
                    matches!(unit.active.as_str(), "activating" | "deactivating")
                });
                if !coming || began.elapsed() + STEADY >= work.limit {
                    tokio::time::sleep(STEADY.min(work.limit)).await;
                    break (first, show(&self.systemctl, &self.unit).await);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            judge(self.verb, before.as_ref(), first.as_ref(), after.as_ref())
        })
    }
}

fn judge(verb: Verb, before: Option<&Unit>, first: Option<&Unit>, after: Option<&Unit>) -> Finding {
    let (holds, es, en) = match (first, after) {
        (Some(first), Some(after)) => {
            let steady = first.invocation == after.invocation && first.restarts == after.restarts;
            let renewed = before.is_some_and(|before| before.invocation != after.invocation);
            match verb {
                Verb::Stop if after.active == "inactive" => {
                    (true, "el servicio está detenido", "the service is stopped")
                }
                Verb::Stop => (
                    false,
                    "el servicio no se detuvo",
                    "the service did not stop",
                ),
                _ if after.active != "active" => (
                    false,
                    "el servicio no quedó activo",
                    "the service is not active",
                ),
                _ if !steady => (
                    false,
                    "el servicio arranca y se cae una y otra vez",
                    "the service starts and falls over again and again",
                ),
                Verb::Restart if !renewed => (
                    false,
                    "el servicio es el de antes: no se reinició",
                    "the service is the one from before: it was not restarted",
                ),
                Verb::Restart => (
                    true,
                    "el servicio arrancó de nuevo y sigue activo",
                    "the service started anew and stays active",
                ),
                Verb::Start => (
                    true,
                    "el servicio está activo y se mantiene",
                    "the service is active and stays so",
                ),
            }
        }
        _ => (
            false,
            "systemd no responde por el servicio",
            "systemd does not answer about the service",
        ),
    };
    let side = |unit: Option<&Unit>, value: fn(&Unit) -> String| unit.map(value);
    Finding {
        holds,
        facts: vec![
            fact(
                "state",
                side(before, |unit| unit.active.clone()),
                side(after, |unit| unit.active.clone()),
                "",
            ),
            fact(
                "main_pid",
                side(before, |unit| unit.main_pid.to_string()),
                side(after, |unit| unit.main_pid.to_string()),
                "",
            ),
            fact(
                "invocation",
                side(before, |unit| unit.invocation.clone()),
                side(after, |unit| unit.invocation.clone()),
                "",
            ),
        ],
        explanation: Text::new(es, en),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, invocation: &str, restarts: u64) -> Unit {
        Unit {
            id: "cups.service".to_owned(),
            load: "loaded".to_owned(),
            active: active.to_owned(),
            invocation: invocation.to_owned(),
            restarts,
            ..Unit::default()
        }
    }

    #[test]
    fn a_restart_holds_only_for_a_new_service_that_stays_up() {
        let old = unit("active", "a", 0);
        let new = unit("active", "b", 0);
        let fell = unit("active", "c", 1);
        let failed = unit("failed", "b", 0);
        let stopped = unit("inactive", "", 0);
        for (verb, before, first, after, holds) in [
            (Verb::Restart, Some(&old), Some(&new), Some(&new), true),
            (Verb::Restart, Some(&old), Some(&old), Some(&old), false),
            (Verb::Restart, Some(&old), Some(&new), Some(&fell), false),
            (Verb::Restart, Some(&old), Some(&new), Some(&failed), false),
            (Verb::Restart, None, Some(&new), Some(&new), false),
            (Verb::Restart, Some(&old), Some(&new), None, false),
            (Verb::Start, Some(&stopped), Some(&new), Some(&new), true),
            (Verb::Stop, Some(&old), Some(&stopped), Some(&stopped), true),
            (Verb::Stop, Some(&old), Some(&old), Some(&old), false),
        ] {
            let finding = judge(verb, before, first, after);
            assert_eq!(finding.holds, holds, "{verb:?} {}", finding.explanation.en);
        }
    }
}
