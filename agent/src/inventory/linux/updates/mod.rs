//! What waits to be installed, out of what the machine fetched already: no package manager is run and nothing is fetched.

mod apt;
pub mod paragraphs;
mod reboot;
mod remembered;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, date};
use super::enablement::Enablement;

const APT_CONFIGURATION: &str = "/etc/apt/apt.conf.d";
/// Folders whose time moves with every fetch; the lists themselves bear the archive's times.
const FETCHED: &[&str] = &[
    "/var/lib/apt/periodic/update-success-stamp",
    "/var/lib/apt/lists/partial",
    "/var/lib/apt/lists",
];
const DNF_TIMERS: &[&str] = &[
    "dnf-automatic.timer",
    "dnf-automatic-install.timer",
    "dnf5-automatic.timer",
];

const VERSION: u32 = 1;

/// Makes the updates section.
#[derive(Clone, Copy, Debug)]
pub struct Updates;

impl Collector for Updates {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Updates
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let with_apt = apt::is_used(source);
        let (pending, lists_date) = if with_apt {
            (remembered::pending(source, &mut notes), lists_date(source))
        } else {
            let why =
                "apt keeps no lists here, and those of dnf, zypper and pacman are not compared";
            notes.unread("pending", Unreadable::no_source(why));
            (Vec::new(), Err(Unreadable::no_source(why)))
        };
        let lists_date = match lists_date {
            Ok((path, day)) => notes.take("lists_date", path, Ok(day)),
            Err(why) => notes.part("lists_date", Err(why)),
        };
        let (reboot_pending, reboot_reasons) = reboot::read(source, &mut notes);
        let automatic = match automatic(source, with_apt) {
            Ok((path, yes)) => notes.take("automatic", path, Ok(yes)),
            Err(why) => notes.part("automatic", Err(why)),
        };
        if pending.iter().any(|update| update.architecture.is_none()) {
            let why = "a package without an architecture in dpkg's status";
            notes.unread("pending.architecture", Unreadable::malformed(why));
        }
        let facts = v1::UpdatesFacts {
            pending,
            reboot_pending,
            reboot_reasons,
            lists_date,
            automatic,
        };
        Observation::new(Facts::Updates(facts), notes)
    }
}

fn lists_date(source: &Source) -> Result<(&'static str, String), Unreadable> {
    let newest = FETCHED
        .iter()
        .filter_map(|path| Some((source.times(path).ok()?.modified_ms?, *path)))
        .max();
    let (at_ms, path) = newest
        .ok_or_else(|| Unreadable::no_source(format!("no times of {}", FETCHED.join(", "))))?;
    let day = date::day_of(at_ms)
        .ok_or_else(|| Unreadable::malformed(format!("{path}: {at_ms} ms is no day")))?;
    Ok((path, day))
}

/// Whether updates are installed without anybody asking.
fn automatic(source: &Source, with_apt: bool) -> Result<(&'static str, bool), Unreadable> {
    if with_apt {
        let mut yes = false;
        // apt reads them in this order, and the last word counts.
        for name in source.list(APT_CONFIGURATION)? {
            let text = source.text(&format!("{APT_CONFIGURATION}/{name}"), 1 << 20)?;
            yes = unattended(&text).unwrap_or(yes);
        }
        return Ok((APT_CONFIGURATION, yes));
    }
    let units = Enablement::read(source)?;
    let installed = DNF_TIMERS.iter().any(|timer| {
        super::enablement::unit(source, timer, 1 << 16).is_ok() || units.is_enabled(timer)
    });
    if installed {
        let yes = DNF_TIMERS.iter().any(|timer| units.is_enabled(timer));
        return Ok((super::enablement::ADMINISTRATOR, yes));
    }
    let why = "neither apt's periodic settings nor dnf-automatic are here";
    Err(Unreadable::no_source(why))
}

/// The last word of one file of apt's configuration: `APT::Periodic::Unattended-Upgrade "1";`, also inside braces.
fn unattended(text: &str) -> Option<bool> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//") && !line.starts_with('#'))
        .filter_map(|line| {
            let (_, value) = line.split_once("Unattended-Upgrade")?;
            // `Unattended-Upgrade::Origins-Pattern` is another setting.
            let value = value.strip_prefix([' ', '\t'])?;
            let value = super::ini::bare(value.split(';').next()?);
            // A number of days, or `always`.
            Some(!matches!(value, "0" | "" | "false" | "no"))
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_of_apt() {
        let on = "APT::Periodic::Update-Package-Lists \"1\";\nAPT::Periodic::Unattended-Upgrade \"1\";\n";
        assert_eq!(unattended(on), Some(true));
        assert_eq!(
            unattended("APT::Periodic::Unattended-Upgrade \"0\";"),
            Some(false)
        );
        let braces = "APT::Periodic { Unattended-Upgrade \"0\"; };";
        assert_eq!(unattended(braces), Some(false));
        assert_eq!(
            unattended("// APT::Periodic::Unattended-Upgrade \"1\";"),
            None
        );
        assert_eq!(unattended("Unattended-Upgrade::Allowed-Origins {"), None);
    }
}
