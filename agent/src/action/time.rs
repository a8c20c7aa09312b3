//! `time.sync` and `time.synced`: the clock by chrony or systemd-timesyncd. A clock that is off by more than a day is a
//! person's matter: certificates, orders and logs hang on it.

use std::path::Path;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builtin::{
    Args, Boxed, Check, Ended, Finding, Making, Step, Work, fact, not_applicable,
};
use super::{program, service, tool};
use crate::policy::Refused;

/// Most that is put right without another person.
const MAX_OFFSET_US: i64 = 24 * 60 * 60 * 1_000_000;
/// Less than this is right.
const RIGHT_US: i64 = 1_000_000;
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Keeper {
    Chrony(String),
    Timesyncd {
        timedatectl: String,
        systemctl: String,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// This clock minus the true time, microseconds.
    offset_us: Option<i64>,
    synchronised: bool,
}

/// `time.sync`.
pub fn step(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    Ok(Box::new(find(&making.setting.root)?))
}

/// `time.synced`.
pub fn check(_: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(find(&making.setting.root)?))
}

fn find(root: &Path) -> Result<Keeper, Refused> {
    if let Some(chronyc) = tool::find(root, &["/usr/bin/chronyc", "/bin/chronyc"]) {
        return Ok(Keeper::Chrony(chronyc));
    }
    tool::find(root, &["/usr/bin/timedatectl", "/bin/timedatectl"])
        .zip(service::systemctl(root))
        .map(|(timedatectl, systemctl)| Keeper::Timesyncd {
            timedatectl,
            systemctl,
        })
        .ok_or_else(|| {
            not_applicable(
                "este equipo no tiene quien ponga su reloj en hora: ni chrony ni systemd-timesyncd",
                "nothing keeps this machine's clock: neither chrony nor systemd-timesyncd",
            )
        })
}

impl Keeper {
    async fn look(&self) -> Seen {
        match self {
            Self::Chrony(tool) => match tool::words(tool, &["-n", "-c", "tracking"]).await {
                Some(text) => chrony(&text),
                None => Seen::default(),
            },
            Self::Timesyncd { timedatectl, .. } => {
                let shown = tool::words(timedatectl, &["show", "--property=NTPSynchronized"]).await;
                let status = tool::words(timedatectl, &["timesync-status", "--no-pager"]).await;
                Seen {
                    offset_us: status.as_deref().and_then(timesyncd_offset_us),
                    synchronised: shown
                        .as_deref()
                        .and_then(|text| tool::value_of(text, "NTPSynchronized"))
                        == Some("yes"),
                }
            }
        }
    }
}

impl Step for Keeper {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let seen = self.look().await;
            if seen
                .offset_us
                .is_some_and(|offset| offset.saturating_abs() > MAX_OFFSET_US)
            {
                return Ended::badly(
                    "the clock is off by more than a day: a person must look first",
                );
            }
            let (tool, args): (&str, &[&str]) = match self {
                Self::Chrony(tool) => (tool, &["makestep"]),
                Self::Timesyncd { systemctl, .. } => (
                    systemctl,
                    &[
                        "--no-ask-password",
                        "restart",
                        "--",
                        "systemd-timesyncd.service",
                    ],
                ),
            };
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let limits = work.control.limits(work.limit);
            tool::step_end(program::run(tool, &args, &limits, &work.control.output).await)
        })
    }
}

impl Check for Keeper {
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
            let before: Seen = serde_json::from_value(before.clone()).unwrap_or_default();
            let began = clock::monotonic();
            // It asks its sources anew, which takes some seconds.
            let after = loop {
                let seen = self.look().await;
                if judge(before, seen).holds || began.elapsed() + LOOK_AGAIN >= work.limit {
                    break seen;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            };
            judge(before, after)
        })
    }
}

fn judge(before: Seen, after: Seen) -> Finding {
    let (holds, es, en) = match after {
        Seen {
            offset_us: Some(offset),
            synchronised: true,
        } if offset.saturating_abs() < RIGHT_US => (
            true,
            "el reloj está sincronizado, a menos de un segundo de la hora",
            "the clock is synchronised, less than a second off",
        ),
        Seen {
            synchronised: false,
            ..
        } => (
            false,
            "el reloj no está sincronizado: revise la red y los servidores de hora",
            "the clock is not synchronised: look at the network and the time servers",
        ),
        Seen {
            offset_us: None, ..
        } => (
            false,
            "no se pudo medir la diferencia con la hora",
            "how far the clock is off could not be measured",
        ),
        Seen { .. } => (
            false,
            "el reloj sigue a más de un segundo de la hora",
            "the clock is still more than a second off",
        ),
    };
    let seconds = |seen: Seen| seen.offset_us.map(as_seconds);
    Finding {
        holds,
        facts: vec![
            fact("offset", seconds(before), seconds(after), "s"),
            fact(
                "synchronised",
                Some(before.synchronised),
                Some(after.synchronised),
                "",
            ),
        ],
        explanation: Text::new(es, en),
    }
}

/// `-1.000002` of microseconds.
fn as_seconds(us: i64) -> String {
    let sign = if us < 0 { "-" } else { "" };
    let size = us.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

/// Of `chronyc -c tracking`: the fifth value is the offset of the system clock (positive is fast), the last the leap state.
fn chrony(text: &str) -> Seen {
    let values: Vec<&str> = text.trim().split(',').collect();
    Seen {
        offset_us: values.get(4).and_then(|value| seconds_to_us(value)),
        synchronised: values.len() >= 14
            && values
                .last()
                .is_some_and(|leap| matches!(*leap, "Normal" | "Insert second" | "Delete second")),
    }
}

/// A decimal number of seconds, exactly.
fn seconds_to_us(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let us = whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(digits.parse().ok()?)?;
    Some(if negative { -us } else { us })
}

/// Of `timedatectl timesync-status`: `Offset: -1.234ms`, what is to be added to this clock.
fn timesyncd_offset_us(text: &str) -> Option<i64> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Offset:"))?
        .trim();
    let (negative, value) = match value.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, value.strip_prefix('+').unwrap_or(value)),
    };
    let mut us = 0_i64;
    for word in value.split(' ') {
        let at = word.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = word.split_at(at);
        // Seconds of a millionth as large, and so on: the digits are those of the number.
        let scaled = seconds_to_us(number)?;
        us = us.checked_add(match unit {
            "us" => scaled / 1_000_000,
            "ms" => scaled / 1_000,
            "s" => scaled,
            "min" => scaled.checked_mul(60)?,
            "h" => scaled.checked_mul(3600)?,
            "d" => scaled.checked_mul(86_400)?,
            _ => scaled.checked_mul(86_400 * 7)?,
        })?;
    }
    Some(if negative { us } else { -us })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_exactly() {
        let tracking = "C0A80101,192.168.1.1,3,1700000000.123456789,-0.000012345,0.000001,0.00002,-1.5,0.001,0.02,0.03,0.001,64.5,Normal\n";
        assert_eq!(
            chrony(tracking),
            Seen {
                offset_us: Some(-12),
                synchronised: true
            }
        );
        let lost = tracking.replace("Normal", "Not synchronised");
        assert!(!chrony(&lost).synchronised);
        assert_eq!(chrony("506 Cannot talk to daemon"), Seen::default());
        for (text, us) in [
            ("       Offset: +1.234ms\n", Some(-1_234)),
            ("       Offset: -350us\n", Some(350)),
            ("       Offset: +1min 2.5s\n", Some(-62_500_000)),
            ("       Offset: n/a\n", None),
            ("", None),
        ] {
            assert_eq!(timesyncd_offset_us(text), us, "{text}");
        }
        assert_eq!(as_seconds(-12), "-0.000012");
        assert_eq!(as_seconds(62_500_000), "62.500000");
    }

    #[test]
    fn right_means_measured_synchronised_and_under_a_second() {
        let seen = |offset_us, synchronised| Seen {
            offset_us,
            synchronised,
        };
        for (after, holds) in [
            (seen(Some(0), true), true),
            (seen(Some(-999_999), true), true),
            (seen(Some(1_000_000), true), false),
            (seen(Some(0), false), false),
            (seen(None, true), false),
        ] {
            assert_eq!(judge(Seen::default(), after).holds, holds, "{after:?}");
        }
    }
}
