//! What starts by itself: units of systemd and scripts of System V, programs of the graphical session, timers and cron
//! tables. Decided from files; what runs at the moment is no stable fact.

mod startup;
mod timers;
mod units;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable};
use super::enablement::Enablement;

/// Makes the services section.
#[derive(Clone, Copy, Debug)]
pub struct Services;

impl Collector for Services {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Services
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let enablement = match Enablement::read(source) {
            Ok(enablement) => Some(enablement),
            Err(why) => {
                notes.unread("services.start", why);
                None
            }
        };
        let mut services = units::services(source, enablement.as_ref(), &mut notes);
        services.sort_by(|a, b| a.name.cmp(&b.name));
        let mut startup = startup::programs(source, &mut notes);
        startup.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
        let mut timers = units::timers(source, enablement.as_ref(), &mut notes);
        timers.extend(timers::cron(source, &mut notes));
        timers.sort_by(|a, b| {
            (&a.name, &a.path, &a.schedule, &a.program, &a.user).cmp(&(
                &b.name,
                &b.path,
                &b.schedule,
                &b.program,
                &b.user,
            ))
        });
        if !source.with_names() {
            without_homes(&mut services, &mut timers);
        }
        explain(&services, &startup, &timers, &mut notes);
        let facts = v1::ServicesFacts {
            services,
            startup,
            timers,
        };
        Observation::new(Facts::Services(facts), notes)
    }
}

/// The path of a program in a home bears the name of its owner.
fn without_homes(services: &mut [v1::Service], timers: &mut [v1::Timer]) {
    let programs = services
        .iter_mut()
        .map(|service| &mut service.program)
        .chain(timers.iter_mut().map(|timer| &mut timer.program));
    for program in programs {
        if program
            .as_deref()
            .is_some_and(|path| path.starts_with("/home/"))
        {
            *program = None;
        }
    }
}

fn explain(
    services: &[v1::Service],
    startup: &[v1::StartupProgram],
    timers: &[v1::Timer],
    notes: &mut Notes,
) {
    let of_services = |lacks: fn(&v1::Service) -> bool| services.iter().any(lacks);
    let of_startup = |lacks: fn(&v1::StartupProgram) -> bool| startup.iter().any(lacks);
    let of_timers = |lacks: fn(&v1::Timer) -> bool| timers.iter().any(lacks);
    for (field, lacking, why) in [
        (
            "services.description",
            of_services(|s| s.description.is_none()),
            "the unit has none",
        ),
        (
            "services.program",
            of_services(|s| s.program.is_none()),
            "the unit runs none, or another unit's",
        ),
        (
            "services.path",
            of_services(|s| s.path.is_none()),
            "wanted or masked without a file of its own",
        ),
        (
            "startup.program",
            of_startup(|s| s.program.is_none()),
            "the entry names none",
        ),
        (
            "startup.hidden",
            of_startup(|s| s.hidden.is_none()),
            "the entry could not be read",
        ),
        (
            "timers.program",
            of_timers(|t| t.program.is_none()),
            "the timer starts a unit that names none",
        ),
        (
            "timers.user",
            of_timers(|t| t.user.is_none()),
            "the unit names no account, or names are left out",
        ),
    ] {
        if lacking {
            notes.unread(field, Unreadable::no_source(why));
        }
    }
    for (group, empty, why) in [
        (
            "services",
            services.is_empty(),
            "no units of systemd and no scripts of System V",
        ),
        (
            "startup",
            startup.is_empty(),
            "no entries in /etc/xdg/autostart",
        ),
        (
            "timers",
            timers.is_empty(),
            "neither timers of systemd nor cron tables",
        ),
    ] {
        if empty {
            notes.unread(group, Unreadable::no_source(why));
        }
    }
}

/// The program of a command line: its first word, without what systemd puts before it and without arguments, which may hold
/// secrets.
fn program(command: &str) -> Option<String> {
    let word = command
        .trim_start_matches(['@', '-', ':', '+', '!', '|'])
        .trim_start();
    let word = match word.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => word.split_whitespace().next(),
    };
    word.and_then(super::super::bounds::some_text)
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn arguments_stay_where_they_are() {
        assert_eq!(
            program("-/usr/sbin/x --password=1").as_deref(),
            Some("/usr/sbin/x")
        );
        assert_eq!(program("@-/bin/a a -b").as_deref(), Some("/bin/a"));
        assert_eq!(program("\"/opt/a b/c\" d").as_deref(), Some("/opt/a b/c"));
        assert_eq!(program(" "), None);
        assert_eq!(program("\""), None);
    }
}
