//! Which units of systemd start: decided from the links that `systemctl enable` and `mask` leave, without asking systemd.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{Source, Unreadable};

/// Where an administrator's decisions stand.
pub const ADMINISTRATOR: &str = "/etc/systemd/system";
/// Decisions until the next start of the machine.
const RUNTIME: &str = "/run/systemd/system";
/// Folders of unit files; the first that has a name wins.
pub const FOLDERS: &[&str] = &[
    ADMINISTRATOR,
    RUNTIME,
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
const MAX_LINKS: usize = 20_000;

/// The links of one machine.
#[derive(Debug, Default)]
pub struct Enablement {
    /// Units that others want or require, with whether that lasts.
    wanted: BTreeMap<String, bool>,
    /// Units with a second name in the administrator's folder.
    aliased: BTreeSet<String>,
    masked: BTreeSet<String>,
}

impl Enablement {
    /// Reads the links; a machine without the folder runs no systemd.
    pub fn read(source: &Source) -> Result<Self, Unreadable> {
        let mut all = Self::default();
        let mut left = MAX_LINKS;
        all.folder(source, ADMINISTRATOR, true, &mut left)?;
        match all.folder(source, RUNTIME, false, &mut left) {
            Err(why) if !why.is_no_source() => return Err(why),
            _ => {}
        }
        Ok(all)
    }

    fn folder(
        &mut self,
        source: &Source,
        folder: &str,
        lasting: bool,
        left: &mut usize,
    ) -> Result<(), Unreadable> {
        for name in source.list(folder)? {
            let path = format!("{folder}/{name}");
            if name.ends_with(".wants") || name.ends_with(".requires") || name.ends_with(".upholds")
            {
                for unit in source.list(&path)? {
                    *left = left.checked_sub(1).ok_or_else(|| {
                        Unreadable::too_large(format!("{folder}: over {MAX_LINKS} links"))
                    })?;
                    let entry = self.wanted.entry(unit).or_default();
                    *entry |= lasting;
                }
            } else if let Ok(target) = source.link(&path) {
                let unit = target.rsplit('/').next().unwrap_or_default();
                if target == "/dev/null" {
                    self.masked.insert(name);
                } else if unit != name && unit.contains('.') {
                    self.aliased.insert(unit.to_owned());
                }
            }
        }
        Ok(())
    }

    /// What `systemctl is-enabled` would say of a unit whose file asks to be wanted (`installable`) or does not.
    pub fn state(&self, unit: &str, installable: bool) -> &'static str {
        if self.masked.contains(unit) {
            "masked"
        } else if self.aliased.contains(unit) {
            "enabled"
        } else {
            match self.wanted.get(unit) {
                Some(true) => "enabled",
                Some(false) => "enabled_runtime",
                None if installable => "disabled",
                None => "static",
            }
        }
    }

    /// True when the unit starts with the machine or with what wants it.
    pub fn is_enabled(&self, unit: &str) -> bool {
        matches!(self.state(unit, true), "enabled" | "enabled_runtime")
    }

    /// Units that are wanted, also instances of templates, which have no file of their own.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.wanted.keys().map(String::as_str)
    }

    /// Units that were masked; they may have no other file.
    pub fn masked(&self) -> impl Iterator<Item = &str> {
        self.masked.iter().map(String::as_str)
    }
}

/// The file of a unit with its path, from the first folder that has it.
pub fn unit(source: &Source, name: &str, max: usize) -> Result<(String, String), Unreadable> {
    let mut failure = None;
    for folder in FOLDERS {
        let path = format!("{folder}/{name}");
        match source.text(&path, max) {
            Ok(text) => return Ok((path, text)),
            Err(why) if why.is_no_source() => {}
            Err(why) => {
                failure.get_or_insert(why);
            }
        }
    }
    Err(failure.unwrap_or_else(|| Unreadable::no_source(format!("no unit file {name}"))))
}
