//! `power.reboot` and `power.rebooted`: the machine starts anew. The step counts down where people see it and can be called
//! off until then; the check runs after the start and proves it by another boot id.

use std::path::PathBuf;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builtin::{
    Args, Boxed, Check, Ended, Finding, Making, Step, Work, below, fact, not_applicable,
};
use super::{program, service, tool};
use crate::policy::Refused;

/// Between two words about the time left.
const SAY_EVERY: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Reboot {
    systemctl: String,
    notice: Duration,
}

/// `power.reboot`: `notice_seconds`, 0 to 86,400.
pub fn step(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    let seconds = args.between("notice_seconds", 0, 86_400)?;
    let Some(systemctl) = service::systemctl(&making.setting.root) else {
        return Err(not_applicable(
            "este equipo no usa systemd: Chasqui no sabe reiniciarlo",
            "this machine does not use systemd: Chasqui does not know how to restart it",
        ));
    };
    Ok(Box::new(Reboot {
        systemctl,
        notice: Duration::from_secs(seconds.unsigned_abs()),
    }))
}

impl Step for Reboot {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let began = clock::monotonic();
            loop {
                let left = self.notice.saturating_sub(began.elapsed());
                if left.is_zero() {
                    break;
                }
                work.control
                    .output
                    .line(&format!("restart in {} s", left.as_secs()));
                tokio::select! {
                    () = tokio::time::sleep(left.min(SAY_EVERY)) => {}
                    () = work.control.cancel.cancelled() => return Ended::badly("cancelled"),
                }
            }
            let args = ["--no-ask-password", "reboot"].map(str::to_owned);
            let left = work.limit.saturating_sub(began.elapsed());
            let limits = work.control.limits(left);
            tool::step_end(
                program::run(&self.systemctl, &args, &limits, &work.control.output).await,
            )
        })
    }
}

#[derive(Debug)]
struct Rebooted {
    boot_id: PathBuf,
    systemctl: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Boot {
    id: Option<String>,
    /// `running`, `degraded`: whether services that start by themselves did.
    system: Option<String>,
}

/// `power.rebooted`.
pub fn check(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(Rebooted {
        boot_id: below(&making.setting.root, "/proc/sys/kernel/random/boot_id"),
        systemctl: service::systemctl(&making.setting.root),
    }))
}

impl Rebooted {
    async fn look(&self) -> Boot {
        let id = std::fs::read_to_string(&self.boot_id)
            .ok()
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty());
        let system = match &self.systemctl {
            // Answers by exit code too, which is not zero for a degraded system.
            Some(systemctl) => {
                let (_, text) = program::ask(systemctl, &["is-system-running"], tool::QUICK).await;
                Some(text.trim().chars().take(32).collect())
            }
            None => None,
        };
        Boot { id, system }
    }
}

impl Check for Rebooted {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { serde_json::to_value(self.look().await).unwrap_or(Value::Null) })
    }

    fn judge<'a>(
        &'a self,
        before: &'a Value,
        _: &'a Value,
        work: &'a Work<'a>,
    ) -> Boxed<'a, Finding> {
        Box::pin(async {
            let before: Boot = serde_json::from_value(before.clone()).unwrap_or_default();
            let began = clock::monotonic();
            let after = loop {
                let after = self.look().await;
                let coming = matches!(
                    after.system.as_deref(),
                    Some("initializing" | "starting" | "stopping" | "")
                );
                if !coming || began.elapsed() + LOOK_AGAIN >= work.limit {
                    break after;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            judge(&before, &after)
        })
    }
}

fn judge(before: &Boot, after: &Boot) -> Finding {
    let (holds, es, en) = match (&before.id, &after.id) {
        (Some(before), Some(now)) if before != now => match after.system.as_deref() {
            None | Some("running") => (
                true,
                "el equipo se reinició y sus servicios arrancaron".to_owned(),
                "the machine started anew and its services came up".to_owned(),
            ),
            // A service that does not come up is worth a look and no reason to call the restart a failure.
            Some(state) => (
                true,
                format!("el equipo se reinició; systemd dice {state}: revise los servicios"),
                format!("the machine started anew; systemd says {state}: look at the services"),
            ),
        },
        (Some(_), Some(_)) => (
            false,
            "el equipo no se reinició".to_owned(),
            "the machine did not start anew".to_owned(),
        ),
        _ => (
            false,
            "el sistema no dice en qué arranque está".to_owned(),
            "the system does not say which start it is in".to_owned(),
        ),
    };
    Finding {
        holds,
        facts: vec![
            fact("boot", before.id.clone(), after.id.clone(), ""),
            fact("system", before.system.clone(), after.system.clone(), ""),
        ],
        explanation: Text::new(es, en),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_boot_id_is_a_restart() {
        let boot = |id: Option<&str>, system: Option<&str>| Boot {
            id: id.map(str::to_owned),
            system: system.map(str::to_owned),
        };
        let before = boot(Some("a"), Some("running"));
        assert!(judge(&before, &boot(Some("b"), Some("running"))).holds);
        assert!(judge(&before, &boot(Some("b"), Some("degraded"))).holds);
        assert!(!judge(&before, &boot(Some("a"), Some("running"))).holds);
        assert!(!judge(&before, &boot(None, None)).holds);
        assert!(!judge(&Boot::default(), &boot(Some("b"), None)).holds);
    }
}
