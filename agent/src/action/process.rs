//! `process.end` and `process.gone`: programs of people that hang. A process is held by handle from the moment it is judged,
//! so that its number cannot be given to another in between; one that began after the order was signed is not the one that
//! was meant.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builtin::{Args, Boxed, Check, Ended, Finding, Making, Step, Work, below, fact};
use super::protected;
use crate::policy::Refused;

/// Between asking and ending by force.
const GRACE: Duration = Duration::from_secs(10);
/// How long it must stay away.
const AWAY: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Users below are the system's (login.defs); nobody is 65534.
const FIRST_PERSON: u32 = 1000;
const NOBODY: u32 = 65_534;
/// Most processes that one order ends.
const MAX_ENDED: usize = 64;
const MAX_PROCESSES: usize = 100_000;
/// The kernel keeps this many bytes of a name.
const NAME_BYTES: usize = 15;
/// Clock ticks a second in /proc/PID/stat, for every program (USER_HZ).
const TICKS: u64 = 100;

#[derive(Clone, Debug)]
struct Hunt {
    proc: PathBuf,
    name: String,
    /// None for every process of that name.
    pid: Option<i32>,
    /// Began no later, milliseconds since the machine's start; None when that cannot be told.
    before_ms: Option<u64>,
}

/// A process as it is known afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    pid: i32,
    /// Since the machine's start, ticks: with the number it names one process.
    start: u64,
    uid: u32,
}

/// `process.end`: `name`, and `pid`, 0 for every process of that name.
pub fn step(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Step>, Refused> {
    Ok(Box::new(hunt(args, making)?))
}

/// `process.gone`: the same arguments.
pub fn check(args: &mut Args, making: &Making<'_>) -> Result<Box<dyn Check>, Refused> {
    Ok(Box::new(hunt(args, making)?))
}

fn hunt(args: &mut Args, making: &Making<'_>) -> Result<Hunt, Refused> {
    let name = args.needed("name")?;
    let pid = args.between("pid", 0, i64::from(i32::MAX))?;
    if (1..=4).contains(&pid) || protected::is_program(&name) {
        return Err(protected::refuse(&name));
    }
    let proc = below(&making.setting.root, "/proc");
    // Both by this machine's clocks: what began after the order was made was not seen by who made it.
    let age_ms = making
        .setting
        .now_ms
        .saturating_sub(making.authorised.order().created_at_ms)
        .max(0);
    let before_ms =
        uptime_ms(&proc).map(|up| up.saturating_sub(u64::try_from(age_ms).unwrap_or(0)));
    Ok(Hunt {
        proc,
        name,
        pid: i32::try_from(pid).ok().filter(|pid| *pid != 0),
        before_ms,
    })
}

fn uptime_ms(proc: &Path) -> Option<u64> {
    let text = fs::read_to_string(proc.join("uptime")).ok()?;
    let (seconds, hundredths) = text.split(' ').next()?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let hundredths: u64 = hundredths.parse().ok()?;
    Some(seconds * 1000 + hundredths * 10)
}

impl Hunt {
    /// The processes that are meant, as they are now.
    fn find(&self) -> Vec<Found> {
        self.all()
            .into_iter()
            .filter(|found| self.pid.is_none_or(|pid| pid == found.pid))
            .filter(|found| {
                // A tick more: the kernel rounds down.
                self.before_ms
                    .is_none_or(|before| found.start * 1000 / TICKS <= before + 1000 / TICKS)
            })
            .take(MAX_ENDED)
            .collect()
    }

    /// Every process of the name that a person runs.
    fn all(&self) -> Vec<Found> {
        let own = std::process::id();
        fs::read_dir(&self.proc)
            .into_iter()
            .flatten()
            .take(MAX_PROCESSES)
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| u32::try_from(*pid).is_ok_and(|pid| pid != own))
            .filter_map(|pid| self.look(pid))
            .collect()
    }

    fn look(&self, pid: i32) -> Option<Found> {
        use std::os::unix::fs::MetadataExt as _;
        let folder = self.proc.join(pid.to_string());
        let uid = fs::metadata(&folder).ok()?.uid();
        if uid < FIRST_PERSON || uid == NOBODY {
            return None;
        }
        let stat = fs::read(folder.join("stat")).ok()?;
        let (name, start) = name_and_start(&stat)?;
        is_name(&self.name, &name).then_some(Found { pid, start, uid })
    }

    /// Holds the process if it still is the one that was found.
    fn hold(&self, found: &Found) -> Option<OwnedFd> {
        let pid = Pid::from_raw(found.pid)?;
        let held = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Looked at again with the handle open: from here on the number is its own.
        (self.look(found.pid).as_ref() == Some(found)).then_some(held)
    }

    fn left(&self, which: &[Found]) -> usize {
        which
            .iter()
            .filter(|found| self.look(found.pid).as_ref() == Some(found))
            .count()
    }
}

/// The kernel cuts names.
fn is_name(wanted: &str, name: &[u8]) -> bool {
    let wanted = wanted.as_bytes();
    name == wanted.get(..NAME_BYTES).unwrap_or(wanted)
}

/// The name, which may hold anything, ends at the last parenthesis; the start is the twentieth word after it.
fn name_and_start(stat: &[u8]) -> Option<(Vec<u8>, u64)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = stat.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let mut words = rest.split_ascii_whitespace();
    // A zombie has ended; only its parent has not looked.
    if words.next()? == "Z" {
        return None;
    }
    let start = words.nth(18)?.parse().ok()?;
    Some((name, start))
}

impl Step for Hunt {
    fn run<'a>(&'a self, work: &'a Work<'a>) -> Boxed<'a, Ended> {
        Box::pin(async {
            let found = self.find();
            let held: Vec<_> = found.iter().filter_map(|one| self.hold(one)).collect();
            if held.is_empty() {
                return Ended::badly(format!(
                    "no process {} of a person that ran when this was ordered",
                    self.name
                ));
            }
            work.control
                .output
                .line(&format!("{}: {} processes", self.name, held.len()));
            let send = |signal| {
                for handle in &held {
                    // It may have ended meanwhile.
                    let _ = rustix::process::pidfd_send_signal(handle, signal);
                }
            };
            send(Signal::TERM);
            let began = clock::monotonic();
            let grace = GRACE.min(work.limit / 2);
            while self.left(&found) > 0 && began.elapsed() < grace {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            if self.left(&found) > 0 {
                work.control
                    .output
                    .line("asked and still there: ended by force");
                send(Signal::KILL);
                while self.left(&found) > 0 && began.elapsed() < work.limit {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            Ended::well(Value::Null)
        })
    }
}

impl Check for Hunt {
    fn observe<'a>(&'a self, _: &'a Work<'a>) -> Boxed<'a, Value> {
        Box::pin(async { serde_json::to_value(self.find()).unwrap_or(Value::Null) })
    }

    fn judge<'a>(
        &'a self,
        before: &'a Value,
        _: &'a Value,
        work: &'a Work<'a>,
    ) -> Boxed<'a, Finding> {
        Box::pin(async {
            let before: Vec<Found> = serde_json::from_value(before.clone()).unwrap_or_default();
            let began = clock::monotonic();
            let away = AWAY.min(work.limit);
            // Whoever starts it again is seen, also between two looks: a newer one stays or is found by its start.
            let mut again = 0;
            loop {
                let newest = before.iter().map(|found| found.start).max().unwrap_or(0);
                again = again.max(
                    self.all()
                        .iter()
                        .filter(|found| {
                            found.start > newest && before.iter().any(|old| old.uid == found.uid)
                        })
                        .count(),
                );
                if began.elapsed() >= away || self.left(&before) > 0 {
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            judge(before.len(), self.left(&before), again)
        })
    }
}

fn judge(before: usize, left: usize, again: usize) -> Finding {
    let (holds, es, en) = match (before, left, again) {
        (0, _, _) => (
            false,
            "no había ningún proceso así antes".to_owned(),
            "there was no such process before".to_owned(),
        ),
        (_, 0, 0) => (
            true,
            format!("los {before} procesos terminaron y no volvieron en 10 segundos"),
            format!("the {before} processes ended and did not come back in 10 seconds"),
        ),
        (_, 0, again) => (
            false,
            format!("terminaron, pero algo los volvió a abrir ({again})"),
            format!("they ended, but something started them again ({again})"),
        ),
        (_, left, _) => (
            false,
            format!("{left} procesos siguen abiertos"),
            format!("{left} processes are still there"),
        ),
    };
    Finding {
        holds,
        facts: vec![
            fact("processes", Some(before), Some(left), ""),
            fact("started_again", None::<usize>, Some(again), ""),
        ],
        explanation: Text::new(es, en),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything_and_a_zombie_is_none() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let stat = format!("42 (a) b (c) {rest}");
        assert_eq!(
            name_and_start(stat.as_bytes()),
            Some((b"a) b (c".to_vec(), 777))
        );
        assert_eq!(name_and_start(stat.replace(" S ", " Z ").as_bytes()), None);
        assert_eq!(name_and_start(b"42 (x"), None);
        assert!(is_name("a-name-longer-than-fifteen", b"a-name-longer-t"));
        assert!(!is_name("a-name", b"a-name-longer-t"));
    }

    #[test]
    fn gone_means_gone_and_not_back() {
        for (before, left, again, holds) in [
            (2, 0, 0, true),
            (2, 1, 0, false),
            (2, 0, 1, false),
            (0, 0, 0, false),
        ] {
            assert_eq!(judge(before, left, again).holds, holds);
        }
    }
}
