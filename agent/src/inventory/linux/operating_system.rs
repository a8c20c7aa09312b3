//! The operating system: os-release, the kernel, and the day it was installed.

use std::collections::BTreeMap;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds, date, first_of};
use super::system;

const OS_RELEASE: &str = "/etc/os-release";
const OS_RELEASE_OF_VENDOR: &str = "/usr/lib/os-release";
const KERNEL: &str = "/proc/sys/kernel/osrelease";

/// What installers write once and nobody touches again: their logs. Then the birth of the root folder, which is the day
/// the file system was made; images and machines without a clock give themselves away by an impossible day.
const INSTALL_LOGS: &[&str] = &[
    "/var/log/installer/syslog",
    "/var/log/installer/media-info",
    "/var/log/installer/initial-status.gz",
    "/var/log/anaconda/anaconda.log",
    "/var/log/anaconda/program.log",
    "/root/anaconda-ks.cfg",
    "/var/log/YaST2/y2start.log",
];
/// 2001-01-01: nothing that runs this program was installed before.
const EARLIEST_INSTALL_MS: i64 = 978_307_200_000;

/// Makes the operating system section.
#[derive(Clone, Copy, Debug)]
pub struct OperatingSystem;

impl Collector for OperatingSystem {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::OperatingSystem
    }

    fn version(&self) -> u32 {
        2
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let release = first_of([
            (OS_RELEASE, read_release(source, OS_RELEASE)),
            (
                OS_RELEASE_OF_VENDOR,
                read_release(source, OS_RELEASE_OF_VENDOR),
            ),
        ]);
        if let Ok((path, _)) = &release {
            notes.from("release", path);
        }
        let mut field = |group: &str, names: &[&str]| {
            let read = match &release {
                Ok((path, fields)) => names
                    .iter()
                    .find_map(|name| fields.get(*name).and_then(|text| bounds::some_text(text)))
                    .ok_or_else(|| {
                        Unreadable::no_source(format!("{path}: no {}", names.join(" or ")))
                    }),
                Err(why) => Err(why.clone()),
            };
            notes.part(group, read)
        };
        let product = field("product", &["ID"]);
        let name = field("name", &["PRETTY_NAME", "NAME"]);
        // Rolling distributions have none of these.
        let version = field("version", &["VERSION_ID"]);
        let codename = field("codename", &["VERSION_CODENAME"]);
        let edition = field("edition", &["VARIANT", "VARIANT_ID"]);
        let kernel = notes.take("kernel", KERNEL, source.line(KERNEL));
        // These collectors read Linux; a folder without a kernel's files is no system at all.
        let family = match (&kernel, &release) {
            (None, Err(why)) => {
                notes.unread("family", why.clone());
                None
            }
            _ => Some("linux".to_owned()),
        };
        let mut whole = |group: &str, read: Result<(&'static str, String), Unreadable>| {
            notes.first(
                group,
                [match read {
                    Ok((path, value)) => (path, Ok(value)),
                    Err(why) => ("", Err(why)),
                }],
            )
        };
        let time_zone = whole("time_zone", system::time_zone(source));
        let locale = whole("locale", system::locale(source));
        let ssh_host_key = whole("ssh_host_key", system::ssh_host_key(source));
        let facts = v1::OperatingSystemFacts {
            time_zone,
            locale,
            ssh_host_key,
            desktops: system::desktops(source, &mut notes),
            family,
            product,
            name,
            version,
            codename,
            edition,
            kernel,
            architecture: notes.take("architecture", "uname(2)", source.machine()),
            installed_on: installed_on(source, &mut notes),
        };
        Observation::new(Facts::OperatingSystem(facts), notes)
    }
}

/// The assignments of an os-release file (os-release(5)).
fn read_release(source: &Source, path: &str) -> Result<BTreeMap<String, String>, Unreadable> {
    let text = source.text(path, 1 << 16)?;
    let fields: BTreeMap<String, String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), unquote(value)))
        .collect();
    if fields.contains_key("ID") || fields.contains_key("NAME") {
        Ok(fields)
    } else {
        Err(Unreadable::malformed(format!(
            "{path}: neither ID nor NAME"
        )))
    }
}

/// A shell value: quotes removed, and the backslashes that double quotes keep.
fn unquote(value: &str) -> String {
    let value = value.trim();
    let single = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    if let Some(inner) = single {
        return inner.to_owned();
    }
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(value);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            c => text.push(c),
        }
    }
    text
}

fn installed_on(source: &Source, notes: &mut Notes) -> Option<String> {
    let log = INSTALL_LOGS.iter().find_map(|path| {
        let modified = source.times(path).ok()?.modified_ms?;
        plausible(path, modified).ok().map(|day| (*path, day))
    });
    if let Some((path, day)) = log {
        notes.from("installed_on", path);
        return Some(day);
    }
    let born = source.times("/").and_then(|times| {
        let born = times
            .born_ms
            .ok_or_else(|| Unreadable::no_source("/: the file system keeps no birth times"))?;
        plausible("/", born)
    });
    notes.take("installed_on", "birth of / (statx(2))", born)
}

fn plausible(path: &str, at_ms: i64) -> Result<String, Unreadable> {
    let day = date::day_of(at_ms)
        .ok_or_else(|| Unreadable::malformed(format!("{path}: {at_ms} ms is no day")))?;
    if at_ms < EARLIEST_INSTALL_MS {
        return Err(Unreadable::placeholder(format!("{path}: {day}")));
    }
    Ok(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted() {
        assert_eq!(unquote("debian"), "debian");
        assert_eq!(unquote("\"Debian GNU/Linux 12\""), "Debian GNU/Linux 12");
        assert_eq!(unquote(r#""a \"b\" \$c""#), r#"a "b" $c"#);
        assert_eq!(unquote("'a \\ b'"), r"a \ b");
        assert_eq!(unquote("\""), "\"");
    }
}
