//! Units of systemd and scripts of System V.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::super::enablement::{Enablement, FOLDERS};
use super::super::ini;

const MAX_UNIT_BYTES: usize = 256 << 10;
const MAX_UNITS: usize = 3_000;
const SCRIPTS: &str = "/etc/init.d";
/// Levels that a machine is used in; 0, 1 and 6 are for ending and mending.
const LEVELS: &[&str] = &["/etc/rc2.d", "/etc/rc3.d", "/etc/rc4.d", "/etc/rc5.d"];

/// Services of both kinds.
pub fn services(
    source: &Source,
    enablement: Option<&Enablement>,
    notes: &mut Notes,
) -> Vec<v1::Service> {
    let units = names(source, ".service", notes);
    let mut services = Vec::new();
    for (name, folder) in &units {
        let path = format!("{folder}/{name}");
        let read = source.text(&path, MAX_UNIT_BYTES);
        let text = match &read {
            Ok(text) => Some(text.as_str()),
            // A masked unit is a link to the null device.
            Err(_) if is_masked(enablement, name) => None,
            // A link whose file went away with its package.
            Err(why) if why.is_no_source() => continue,
            Err(why) => {
                notes.unread("services", why.clone());
                None
            }
        };
        // Instances are started, not their templates; a unit with an alias is listed under its own name.
        if name.ends_with("@.service") || is_second_name(source, &path, name) {
            continue;
        }
        services.push(service(name, &path, text, enablement));
    }
    for name in instances(enablement, &units) {
        let template = template(&name).and_then(|template| units.get_key_value(&template));
        let path = template.map(|(name, folder)| format!("{folder}/{name}"));
        let text = path
            .as_ref()
            .and_then(|path| source.text(path, MAX_UNIT_BYTES).ok());
        let path = path.unwrap_or_default();
        services.push(service(&name, &path, text.as_deref(), enablement));
    }
    services.extend(scripts(source, &services, notes));
    services
}

fn is_masked(enablement: Option<&Enablement>, name: &str) -> bool {
    enablement.is_some_and(|all| all.state(name, false) == "masked")
}

/// Units by name with the first folder that has them.
fn names(source: &Source, ending: &str, notes: &mut Notes) -> BTreeMap<String, &'static str> {
    let group = if ending == ".timer" {
        "timers"
    } else {
        "services"
    };
    let mut units = BTreeMap::new();
    for folder in FOLDERS {
        match source.list(folder) {
            Ok(names) => {
                notes.from(group, folder);
                for name in names.into_iter().filter(|name| name.ends_with(ending)) {
                    units.entry(name).or_insert(*folder);
                }
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread(group, why),
        }
    }
    if units.len() > MAX_UNITS {
        let why = format!("{} units, at most {MAX_UNITS} are read", units.len());
        notes.unread(group, Unreadable::too_large(why));
        units = units.into_iter().take(MAX_UNITS).collect();
    }
    units
}

fn is_second_name(source: &Source, path: &str, name: &str) -> bool {
    source.link(path).is_ok_and(|target| {
        target != "/dev/null" && target.rsplit('/').next().is_some_and(|own| own != name)
    })
}

/// Wanted services without a file of their own: instances of templates. Per-user ones come and go.
fn instances(
    enablement: Option<&Enablement>,
    units: &BTreeMap<String, &'static str>,
) -> BTreeSet<String> {
    let Some(enablement) = enablement else {
        return BTreeSet::new();
    };
    let mut found: BTreeSet<String> = enablement
        .wanted()
        .filter(|name| name.ends_with(".service") && name.contains('@'))
        .filter(|name| !name.ends_with("@.service") && !units.contains_key(*name))
        .take(MAX_UNITS)
        .map(str::to_owned)
        .collect();
    found.extend(
        enablement
            .masked()
            .filter(|name| name.ends_with(".service") && !units.contains_key(*name))
            .take(MAX_UNITS)
            .map(str::to_owned),
    );
    found
}

/// `getty@.service` of `getty@tty1.service`.
fn template(name: &str) -> Option<String> {
    let (head, rest) = name.split_once('@')?;
    let (_, ending) = rest.rsplit_once('.')?;
    Some(format!("{head}@.{ending}"))
}

fn service(
    name: &str,
    path: &str,
    text: Option<&str>,
    enablement: Option<&Enablement>,
) -> v1::Service {
    let text = text.unwrap_or_default();
    let field = |section: &str, key: &str| ini::value(text, section, key);
    v1::Service {
        name: bounds::clean(name),
        description: field("Unit", "Description").and_then(bounds::some_text),
        start: enablement.map(|all| all.state(name, installable(text)).to_owned()),
        program: field("Service", "ExecStart").and_then(super::program),
        path: bounds::some_text(path),
    }
}

/// The unit can be enabled: it says who would want it.
fn installable(text: &str) -> bool {
    ini::entries(text).any(|entry| {
        entry.section == "Install"
            && matches!(
                entry.key,
                "WantedBy" | "RequiredBy" | "UpheldBy" | "Alias" | "Also"
            )
    })
}

/// Scripts of System V that no unit stands for.
fn scripts(source: &Source, units: &[v1::Service], notes: &mut Notes) -> Vec<v1::Service> {
    let names = match source.list(SCRIPTS) {
        Ok(names) => names,
        Err(why) if why.is_no_source() => return Vec::new(),
        Err(why) => {
            notes.unread("services", why);
            return Vec::new();
        }
    };
    let mut started = BTreeSet::new();
    for level in LEVELS {
        for name in source.list(level).unwrap_or_default() {
            // `S01cron`.
            if let Some(script) = name.strip_prefix('S').and_then(|rest| rest.get(2..)) {
                started.insert(script.to_owned());
            }
        }
    }
    names
        .into_iter()
        .filter(|name| {
            !matches!(
                name.as_str(),
                "README" | "skeleton" | "functions" | "rc" | "rcS"
            )
        })
        .filter(|name| {
            let unit = format!("{name}.service");
            !units.iter().any(|service| service.name == unit)
        })
        .take(MAX_UNITS)
        .filter_map(|name| {
            let path = format!("{SCRIPTS}/{name}");
            let text = source.text(&path, MAX_UNIT_BYTES).ok()?;
            Some(v1::Service {
                description: description(&text),
                start: Some(
                    if started.contains(&name) {
                        "enabled"
                    } else {
                        "disabled"
                    }
                    .to_owned(),
                ),
                program: Some(path.clone()),
                path: Some(path),
                name: bounds::clean(&name),
            })
        })
        .collect()
}

/// `# Short-Description: ...` of the comment that the Linux Standard Base asks for.
fn description(script: &str) -> Option<String> {
    script
        .lines()
        .take(60)
        .find_map(|line| line.strip_prefix("# Short-Description:"))
        .and_then(bounds::some_text)
}

/// Timers of systemd that are not switched off.
pub fn timers(
    source: &Source,
    enablement: Option<&Enablement>,
    notes: &mut Notes,
) -> Vec<v1::Timer> {
    let mut timers = Vec::new();
    for (name, folder) in names(source, ".timer", notes) {
        if name.ends_with("@.timer") || is_masked(enablement, &name) {
            continue;
        }
        let path = format!("{folder}/{name}");
        let text = match source.text(&path, MAX_UNIT_BYTES) {
            Ok(text) => text,
            Err(why) if why.is_no_source() => continue,
            Err(why) => {
                notes.unread("timers", why);
                continue;
            }
        };
        let off = enablement
            .is_some_and(|all| matches!(all.state(&name, installable(&text)), "disabled"));
        if off {
            continue;
        }
        let unit = ini::value(&text, "Timer", "Unit")
            .map_or_else(|| name.replace(".timer", ".service"), str::to_owned);
        let started = super::super::enablement::unit(source, &unit, MAX_UNIT_BYTES);
        let started = started.map_or_else(|_| String::new(), |(_, text)| text);
        timers.push(v1::Timer {
            schedule: schedule(&text),
            program: ini::value(&started, "Service", "ExecStart").and_then(super::program),
            user: Some(
                ini::value(&started, "Service", "User")
                    .map_or_else(|| "root".to_owned(), bounds::clean),
            )
            .filter(|_| !started.is_empty() && source.with_names()),
            name: bounds::clean(&name),
            path,
        });
    }
    timers
}

/// `OnCalendar=daily` and its like, in the file's order.
fn schedule(text: &str) -> Vec<String> {
    ini::entries(text)
        .filter(|entry| entry.section == "Timer" && entry.key.starts_with("On"))
        .filter(|entry| {
            !entry.key.starts_with("OnClockChange") && !entry.key.starts_with("OnTimezone")
        })
        .filter(|entry| !entry.value.is_empty())
        .take(20)
        .map(|entry| bounds::clean(&format!("{}={}", entry.key, entry.value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_cut_anywhere_is_read_as_far_as_it_goes() {
        let text = "[Unit]\nDescription=X\n[Timer]\nOnCalendar=daily\nOnBootSec=5\n[Service]\nExecStart=-/bin/x -y\n[Install]\nWantedBy=a.target\n";
        assert_eq!(schedule(text), ["OnCalendar=daily", "OnBootSec=5"]);
        let found = service("x.service", "/p", Some(text), None);
        assert_eq!(found.program.as_deref(), Some("/bin/x"));
        assert_eq!(found.start, None);
        assert!(installable(text));
        for cut in 0..text.len() {
            let _ = service("x.service", "/p", Some(&text[..cut]), None);
        }
        assert_eq!(
            template("getty@tty1.service").as_deref(),
            Some("getty@.service")
        );
        assert_eq!(template("x.service"), None);
    }
}
