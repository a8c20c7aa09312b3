//! The machine's own policy, `/etc/chasqui/policy.toml`: it can only narrow what signed orders may do here. A file that
//! cannot be understood refuses everything: whoever wrote it wanted some limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chasqui_base::clock::{DAY_MS, MINUTE_MS};
use chasqui_base::text::Text;
use serde::Deserialize;

const MAX_FILE: u64 = 64 * 1024;
const MAX_LIST: usize = 1_000;

/// Which rule of the policy refuses, in words for everyone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// SCREAMING_SNAKE.
    pub rule: &'static str,
    /// Why, and what to do.
    pub text: Text,
}

impl Refused {
    /// A refusal by this machine's own rules.
    pub fn new(rule: &'static str, es: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            rule,
            text: Text::new(es, en),
        }
    }
}

/// The policy, checked. The default narrows nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    max_risk: Option<u8>,
    denied: Vec<String>,
    temp_folders: Option<Vec<PathBuf>>,
    untouched_only: bool,
    always_ask: bool,
    hours: Option<Hours>,
}

#[derive(Clone, Debug)]
struct Hours {
    from_minute: i64,
    to_minute: i64,
    offset_minutes: i64,
    /// Monday is 0.
    days: Vec<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Highest risk, 0 to 4.
    max_risk: Option<u8>,
    /// Ids of definitions; a trailing `.*` covers a family.
    #[serde(default)]
    denied: Vec<String>,
    /// `disk.clean.temp` works in these alone; each at or below /tmp or /var/tmp.
    temp_folders: Option<Vec<String>>,
    /// `disk.clean.temp` leaves what was read or changed in any way, not only what was modified.
    #[serde(default)]
    untouched_only: bool,
    /// The person here is asked before every action above risk 0, whatever was signed.
    #[serde(default)]
    always_ask: bool,
    /// Actions above risk 0 run only in these hours.
    hours: Option<HoursFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoursFile {
    /// `HH:MM`.
    from: String,
    /// `HH:MM`; earlier than `from` means over midnight.
    to: String,
    /// Of the place, `-05:00`.
    utc_offset: String,
    /// `mon` to `sun`; all when absent. The day on which the hours begin.
    days: Option<Vec<String>>,
}

impl Policy {
    /// Reads the policy. No file narrows nothing; a file that cannot be read or understood is a refusal of everything.
    pub fn load(path: &Path) -> Result<Self, Refused> {
        let refuse = |problem: String| {
            Err(Refused::new(
                "POLICY_UNREADABLE",
                format!(
                    "la política local {} no se entiende, por eso no se ejecuta nada: {problem}",
                    path.display()
                ),
                format!(
                    "the local policy {} cannot be understood, so nothing runs: {problem}",
                    path.display()
                ),
            ))
        };
        let text = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(meta) if meta.len() > MAX_FILE => {
                return refuse(format!("more than {MAX_FILE} bytes"));
            }
            Ok(_) | Err(_) => match fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) => return refuse(error.to_string()),
            },
        };
        match toml::from_str::<File>(&text) {
            Ok(file) => Self::check(file).or_else(refuse),
            Err(error) => refuse(error.message().to_owned()),
        }
    }

    fn check(file: File) -> Result<Self, String> {
        if file.max_risk.is_some_and(|risk| risk > 4) {
            return Err("max_risk is 0 to 4".into());
        }
        if file.denied.len() > MAX_LIST {
            return Err(format!("denied has more than {MAX_LIST} entries"));
        }
        let temp_folders = match file.temp_folders {
            None => None,
            Some(list) if list.len() > MAX_LIST => {
                return Err(format!("temp_folders has more than {MAX_LIST} entries"));
            }
            Some(list) => {
                let folders: Vec<PathBuf> = list.into_iter().map(PathBuf::from).collect();
                for folder in &folders {
                    let plain = folder.is_absolute()
                        && !folder
                            .components()
                            .any(|part| matches!(part, std::path::Component::ParentDir));
                    if !plain || !TEMP_ROOTS.iter().any(|root| folder.starts_with(root)) {
                        return Err(format!(
                            "temp_folders: {} is not at or below /tmp or /var/tmp",
                            folder.display()
                        ));
                    }
                }
                Some(folders)
            }
        };
        let hours = file.hours.map(Hours::check).transpose()?;
        Ok(Self {
            max_risk: file.max_risk,
            denied: file.denied,
            temp_folders,
            untouched_only: file.untouched_only,
            always_ask: file.always_ask,
            hours,
        })
    }

    /// Whether this action may run here now.
    pub fn allows(&self, definition_id: &str, risk: u8, now_ms: i64) -> Result<(), Refused> {
        if let Some(max) = self.max_risk
            && risk > max
        {
            return Err(Refused::new(
                "POLICY_MAX_RISK",
                format!(
                    "la política de este equipo permite hasta riesgo {max} y la acción tiene riesgo {risk}"
                ),
                format!(
                    "this machine's policy allows risk up to {max} and the action has risk {risk}"
                ),
            ));
        }
        let denies = |rule: &String| {
            rule == definition_id
                || rule
                    .strip_suffix('*')
                    .filter(|family| family.ends_with('.'))
                    .is_some_and(|family| definition_id.starts_with(family))
        };
        if self.denied.iter().any(denies) {
            return Err(Refused::new(
                "POLICY_ACTION_DENIED",
                format!("la política de este equipo no permite {definition_id}"),
                format!("this machine's policy does not allow {definition_id}"),
            ));
        }
        match &self.hours {
            Some(hours) if risk > 0 && !hours.contain(now_ms) => Err(Refused::new(
                "POLICY_HOURS",
                "la política de este equipo no permite acciones a esta hora; solicítela de nuevo dentro del horario",
                "this machine's policy allows no action at this hour; request it again within the hours",
            )),
            _ => Ok(()),
        }
    }

    /// The folders of a definition, narrowed: a folder of the policy counts where it lies at or below one of them.
    pub fn narrow_folders(&self, wanted: &[PathBuf]) -> Vec<PathBuf> {
        match &self.temp_folders {
            None => wanted.to_vec(),
            Some(allowed) => {
                let mut folders: Vec<PathBuf> = wanted
                    .iter()
                    .flat_map(|want| {
                        allowed.iter().filter_map(move |allow| {
                            if allow.starts_with(want) {
                                Some(allow.clone())
                            } else if want.starts_with(allow) {
                                Some(want.clone())
                            } else {
                                None
                            }
                        })
                    })
                    .collect();
                folders.sort();
                folders.dedup();
                folders
            }
        }
    }

    /// True when the person here must say yes to an action of this risk.
    pub fn asks(&self, risk: u8) -> bool {
        self.always_ask && risk > 0
    }

    /// True when files that were read or changed in any way must stay.
    pub fn untouched_only(&self) -> bool {
        self.untouched_only
    }
}

/// What `disk.clean.temp` can ever touch, whatever is signed or written in a policy.
pub const TEMP_ROOTS: [&str; 2] = ["/tmp", "/var/tmp"];

impl Hours {
    fn check(file: HoursFile) -> Result<Self, String> {
        let from_minute = minute_of(&file.from).ok_or("hours.from is HH:MM")?;
        let to_minute = minute_of(&file.to).ok_or("hours.to is HH:MM")?;
        let (sign, rest) = match file.utc_offset.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (
                1,
                file.utc_offset
                    .strip_prefix('+')
                    .ok_or("hours.utc_offset is like -05:00")?,
            ),
        };
        let offset_minutes = sign * minute_of(rest).ok_or("hours.utc_offset is like -05:00")?;
        let days = match file.days {
            None => (0..7).collect(),
            Some(names) => names
                .iter()
                .map(|name| {
                    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
                        .iter()
                        .position(|day| day == name)
                        .and_then(|at| i64::try_from(at).ok())
                        .ok_or_else(|| format!("hours.days: {name:?} is not mon to sun"))
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            from_minute,
            to_minute,
            offset_minutes,
            days,
        })
    }

    fn contain(&self, now_ms: i64) -> bool {
        let local = now_ms.saturating_add(self.offset_minutes.saturating_mul(MINUTE_MS));
        // 1970-01-01 was a Thursday.
        let day = (local.div_euclid(DAY_MS) + 3).rem_euclid(7);
        let minute = local.rem_euclid(DAY_MS) / MINUTE_MS;
        if self.from_minute <= self.to_minute {
            self.days.contains(&day) && (self.from_minute..self.to_minute).contains(&minute)
        } else {
            let yesterday = (day + 6).rem_euclid(7);
            (self.days.contains(&day) && minute >= self.from_minute)
                || (self.days.contains(&yesterday) && minute < self.to_minute)
        }
    }
}

fn minute_of(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let hours: i64 = hours.parse().ok().filter(|hours| (0..24).contains(hours))?;
    let minutes: i64 = minutes
        .parse()
        .ok()
        .filter(|minutes| (0..60).contains(minutes))?;
    Some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Policy, Refused> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        fs::write(&path, text).unwrap();
        Policy::load(&path)
    }

    #[test]
    fn no_file_narrows_nothing_and_a_bad_one_refuses_everything() {
        let none = Policy::load(Path::new("/nonexistent/policy.toml")).unwrap();
        assert!(none.allows("power.reboot", 4, 0).is_ok());
        for bad in [
            "max_risk = 9",
            "max_risk = \"low\"",
            "max_rsik = 1",
            "temp_folders = [\"/home\"]",
            "temp_folders = [\"/tmp/../etc\"]",
            "hours = { from = \"25:00\", to = \"10:00\", utc_offset = \"-05:00\" }",
            "[[",
        ] {
            assert_eq!(policy(bad).unwrap_err().rule, "POLICY_UNREADABLE", "{bad}");
        }
    }

    #[test]
    fn risk_and_denied_actions_are_refused_by_name() {
        let policy = policy("max_risk = 1\ndenied = [\"disk.*\", \"dns.flush\"]").unwrap();
        assert_eq!(
            policy.allows("a.b", 2, 0).unwrap_err().rule,
            "POLICY_MAX_RISK"
        );
        assert_eq!(
            policy.allows("disk.clean.temp", 1, 0).unwrap_err().rule,
            "POLICY_ACTION_DENIED"
        );
        assert!(policy.allows("dns.flush", 1, 0).is_err());
        assert!(policy.allows("dns.flush.all", 1, 0).is_ok());
    }

    #[test]
    fn a_machine_may_want_to_be_asked() {
        assert!(!Policy::default().asks(4));
        let policy = policy("always_ask = true").unwrap();
        assert!(policy.asks(1) && !policy.asks(0));
    }

    #[test]
    fn hours_are_those_of_the_place() {
        let day = policy(
            "hours = { from = \"07:00\", to = \"19:00\", utc_offset = \"-05:00\", days = [\"mon\"] }",
        )
        .unwrap();
        // Monday 2026-11-23, 12:00 UTC is 07:00 in Bogotá.
        let monday_noon = 1_795_435_200_000;
        assert!(day.allows("a", 1, monday_noon).is_ok());
        assert!(day.allows("a", 1, monday_noon - 1).is_err());
        assert!(day.allows("a", 0, monday_noon - 1).is_ok());
        assert!(day.allows("a", 1, monday_noon + DAY_MS).is_err());
        let night =
            policy("hours = { from = \"22:00\", to = \"06:00\", utc_offset = \"-05:00\", days = [\"mon\"] }")
                .unwrap();
        // 23:00 on Monday and 05:00 on Tuesday belong to Monday's night; 23:00 on Tuesday does not.
        assert!(night.allows("a", 1, monday_noon + 16 * 3_600_000).is_ok());
        assert!(night.allows("a", 1, monday_noon + 22 * 3_600_000).is_ok());
        assert!(night.allows("a", 1, monday_noon + 40 * 3_600_000).is_err());
    }

    #[test]
    fn folders_only_narrow() {
        let wanted = vec![PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
        let none = Policy::default();
        assert_eq!(none.narrow_folders(&wanted), wanted);
        let some = policy("temp_folders = [\"/tmp/cache\"]").unwrap();
        assert_eq!(some.narrow_folders(&wanted), [PathBuf::from("/tmp/cache")]);
        assert_eq!(
            some.narrow_folders(&[PathBuf::from("/var/tmp")]),
            Vec::<PathBuf>::new()
        );
        // A definition below the policy's folder stays as it is.
        assert_eq!(
            some.narrow_folders(&[PathBuf::from("/tmp/cache/deep")]),
            [PathBuf::from("/tmp/cache/deep")]
        );
        assert!(
            policy("temp_folders = []")
                .unwrap()
                .narrow_folders(&wanted)
                .is_empty()
        );
    }
}
