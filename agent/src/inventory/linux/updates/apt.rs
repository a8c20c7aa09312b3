//! Pending updates of apt, out of dpkg's status and the package lists that were fetched already. The rule is apt's own
//! (apt_preferences(5)) without pins: of the versions that are no downgrade the one of the highest priority, then the newest.
//! Lists have priority 500, or 1 when their Release says NotAutomatic, or 100 with ButAutomaticUpgrades; what is installed 100.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use chasqui_proto::v1;
use chasqui_version as version;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::paragraphs::{self, Stop};

const STATUS: &str = "/var/lib/dpkg/status";
const LISTS: &str = "/var/lib/apt/lists";
const PREFERENCES: &str = "/etc/apt/preferences";
const PREFERENCES_FOLDER: &str = "/etc/apt/preferences.d";
/// Files, and folders of files, that [`pending`] reads.
pub const READ_FROM: [&str; 4] = [STATUS, LISTS, PREFERENCES, PREFERENCES_FOLDER];
const MAX_STATUS_BYTES: u64 = 128 << 20;
/// Of one list, after decompression; Debian's largest has 60 MB.
const MAX_LIST_BYTES: u64 = 512 << 20;
const MAX_LISTS: usize = 200;
const MAX_INSTALLED: usize = 50_000;
const MAX_PENDING: usize = 5_000;

const PRIORITY_INSTALLED: i32 = 100;
const PRIORITY_LIST: i32 = 500;

/// One installed package and the best that the lists offer.
#[derive(Debug)]
struct Installed {
    architecture: String,
    version: String,
    /// Priority of the installed version: higher when a list has the same.
    priority: i32,
    newer: Option<(i32, String)>,
    security: bool,
}

type Packages = HashMap<String, Vec<Installed>>;

/// What a list is, as its Release file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Archive {
    priority: i32,
    security: bool,
}

/// True when apt keeps its lists here.
pub fn is_used(source: &Source) -> bool {
    source.exists(LISTS) == Ok(true) && source.exists(STATUS) == Ok(true)
}

/// The updates, sorted by name and architecture.
pub fn pending(source: &Source, notes: &mut Notes) -> Vec<v1::PendingUpdate> {
    let mut packages = match installed(source, notes) {
        Ok(packages) => packages,
        Err(why) => {
            notes.unread("pending", why);
            return Vec::new();
        }
    };
    let names = match source.list(LISTS) {
        Ok(names) => names,
        Err(why) => {
            notes.unread("pending", why);
            return Vec::new();
        }
    };
    notes.from("pending", LISTS);
    pins(source, notes);
    let mut lists = 0_usize;
    for name in names.iter().filter(|name| is_list(name)) {
        lists = lists.saturating_add(1);
        if lists > MAX_LISTS {
            let why = format!("{LISTS}: over {MAX_LISTS} lists of packages");
            notes.unread("pending", Unreadable::too_large(why));
            break;
        }
        let archive = archive(source, name, &names, notes);
        if let Err(why) = read_list(source, name, archive, &mut packages) {
            notes.unread("pending", why);
        }
    }
    if lists == 0 {
        let why = format!("{LISTS}: no list of packages was fetched");
        notes.unread("pending", Unreadable::no_source(why));
    }
    let mut found: Vec<_> = packages.into_iter().flat_map(updates).collect();
    found.sort_by(|a, b| {
        (&a.name, &a.architecture, &a.installed_version).cmp(&(
            &b.name,
            &b.architecture,
            &b.installed_version,
        ))
    });
    if found.len() > MAX_PENDING {
        let why = format!("{} updates, at most {MAX_PENDING} are kept", found.len());
        notes.unread("pending", Unreadable::too_large(why));
        found.truncate(MAX_PENDING);
    }
    found
}

fn updates((name, installed): (String, Vec<Installed>)) -> Vec<v1::PendingUpdate> {
    installed
        .into_iter()
        .filter_map(|package| {
            let (priority, version) = package.newer?;
            (priority >= package.priority).then(|| v1::PendingUpdate {
                name: bounds::clean(&name),
                source: "apt".to_owned(),
                architecture: bounds::some_text(&package.architecture),
                installed_version: bounds::some_text(&package.version),
                available_version: bounds::clean(&version),
                security: Some(package.security),
            })
        })
        .collect()
}

/// Every installed package. `all` counts as the machine's own architecture, as it does for apt.
fn installed(source: &Source, notes: &mut Notes) -> Result<Packages, Unreadable> {
    let mut packages = Packages::new();
    let mut count = 0_usize;
    let cut = paragraphs::each(source.file(STATUS)?, MAX_STATUS_BYTES, |paragraph| {
        let field = |name| paragraphs::field(paragraph, name);
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else {
            return;
        };
        // `config-files` and the like are no longer there.
        let there = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if !there || version.is_empty() || count >= MAX_INSTALLED {
            return;
        }
        count = count.saturating_add(1);
        packages
            .entry(name.to_owned())
            .or_default()
            .push(Installed {
                architecture: field("Architecture").unwrap_or_default().to_owned(),
                version: version.to_owned(),
                priority: PRIORITY_INSTALLED,
                newer: None,
                security: false,
            });
    })
    .map_err(|stop| stopped(STATUS, stop))?;
    if count == 0 {
        return Err(Unreadable::malformed(format!("{STATUS}: no packages")));
    }
    if cut {
        let why = format!("{STATUS}: cut short; what it would say further is not compared");
        notes.unread("pending", Unreadable::malformed(why));
    }
    Ok(packages)
}

fn read_list(
    source: &Source,
    name: &str,
    archive: Archive,
    packages: &mut Packages,
) -> Result<(), Unreadable> {
    let path = format!("{LISTS}/{name}");
    let stream = open(source, &path)?;
    let mut seen = 0_usize;
    let cut = paragraphs::each(stream, MAX_LIST_BYTES, |paragraph| {
        // Archives put the name first; the others are looked for.
        let package = match paragraph.strip_prefix(b"Package: ") {
            Some(rest) => memchr::memchr(b'\n', rest)
                .and_then(|end| rest.get(..end))
                .and_then(|name| std::str::from_utf8(name).ok()),
            None => paragraphs::field(paragraph, "Package"),
        };
        let Some(package) = package else { return };
        seen = seen.saturating_add(1);
        if let Some(installed) = packages.get_mut(package) {
            offer(paragraph, archive, installed);
        }
    })
    .map_err(|stop| stopped(&path, stop))?;
    // apt keeps empty lists of empty components.
    if seen == 0 && !cut && source.bytes(&path, 0).is_ok() {
        return Err(Unreadable::no_source(format!("{path}: empty")));
    }
    if seen == 0 {
        return Err(Unreadable::malformed(format!("{path}: no packages")));
    }
    if cut {
        let why = format!("{path}: cut short after {seen} packages");
        return Err(Unreadable::malformed(why));
    }
    Ok(())
}

fn offer(paragraph: &[u8], archive: Archive, installed: &mut [Installed]) {
    let field = |name| paragraphs::field(paragraph, name);
    let (Some(version), Some(architecture)) = (field("Version"), field("Architecture")) else {
        return;
    };
    for package in installed {
        // A package may become independent of the architecture, or cease to be.
        let same = package.architecture == architecture
            || package.architecture == "all"
            || architecture == "all";
        if !same {
            continue;
        }
        match version::deb(version, &package.version) {
            Ordering::Less => {}
            Ordering::Equal => package.priority = package.priority.max(archive.priority),
            Ordering::Greater => {
                package.security |= archive.security;
                let better = package.newer.as_ref().is_none_or(|(priority, old)| {
                    priority
                        .cmp(&archive.priority)
                        .then_with(|| version::deb(old, version))
                        .is_lt()
                });
                if better {
                    package.newer = Some((archive.priority, version.to_owned()));
                }
            }
        }
    }
}

/// `HOST_debian_dists_bookworm_main_binary-amd64_Packages`, also compressed.
fn is_list(name: &str) -> bool {
    let plain = [".lz4", ".gz", ".xz", ".bz2", ".zst", ".lzma"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    plain.ends_with("_Packages")
}

fn open(source: &Source, path: &str) -> Result<Box<dyn Read>, Unreadable> {
    let file: File = source.file(path)?;
    let form = path.rsplit_once('.').map_or("", |(_, form)| form);
    Ok(match form {
        "lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(file)),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(file)),
        "xz" | "bz2" | "zst" | "lzma" => {
            let why = format!("{path}: this form of compression is not read");
            return Err(Unreadable::malformed(why));
        }
        _ => Box::new(file),
    })
}

/// The Release file of a list is the one whose name the list's name goes on from.
fn archive(source: &Source, list: &str, names: &[String], notes: &mut Notes) -> Archive {
    let release = names
        .iter()
        .filter(|name| name.ends_with("_InRelease") || name.ends_with("_Release"))
        .filter_map(|name| Some((name, name.rsplit_once('_')?.0)))
        .filter(|(_, head)| {
            list.strip_prefix(*head)
                .is_some_and(|rest| rest.starts_with('_'))
        })
        .max_by_key(|(_, head)| head.len());
    let text = match release {
        Some((name, _)) => source.text(&format!("{LISTS}/{name}"), 4 << 20),
        // A repository of one's own may go without.
        None => Ok(String::new()),
    };
    match text {
        Ok(text) => archive_of(list, &text),
        Err(why) => {
            notes.unread("pending.archives", why);
            archive_of(list, "")
        }
    }
}

fn archive_of(list: &str, release: &str) -> Archive {
    let field = |name: &str| paragraphs::field(release.as_bytes(), name).unwrap_or_default();
    let yes = |name: &str| field(name).eq_ignore_ascii_case("yes");
    let priority = match (yes("NotAutomatic"), yes("ButAutomaticUpgrades")) {
        (true, true) => 100,
        (true, false) => 1,
        (false, _) => PRIORITY_LIST,
    };
    let security = [field("Label"), field("Suite"), field("Codename"), list]
        .iter()
        .any(|text| text.to_ascii_lowercase().contains("-security"));
    Archive { priority, security }
}

/// With pins apt may choose otherwise: then the list is what there would be without them.
fn pins(source: &Source, notes: &mut Notes) {
    let mut files = vec![PREFERENCES.to_owned()];
    let folder = PREFERENCES_FOLDER;
    match source.list(folder) {
        Ok(names) => files.extend(
            names
                .iter()
                .filter(|name| !name.contains('.') || name.ends_with(".pref"))
                .take(200)
                .map(|name| format!("{folder}/{name}")),
        ),
        Err(why) if why.is_no_source() => {}
        Err(why) => notes.unread("pending.pins", why),
    }
    for path in files {
        match source.text(&path, 1 << 20) {
            Ok(text) if text.lines().any(|line| line.trim().starts_with("Pin")) => {
                let why = format!("{path}: pins are not weighed; apt may choose other versions");
                notes.unread("pending.pins", Unreadable::malformed(why));
            }
            Ok(_) => {}
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("pending.pins", why),
        }
    }
}

fn stopped(path: &str, stop: Stop) -> Unreadable {
    match stop {
        Stop::Failed(error) if error.raw_os_error().is_some() => Unreadable::of_error(path, &error),
        Stop::Failed(error) => Unreadable::malformed(format!("{path}: {error}")),
        Stop::TooLarge => Unreadable::too_large(format!("{path}: more than is read of a list")),
        Stop::NoParagraphs => Unreadable::malformed(format!("{path}: no list of packages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str) -> Vec<Installed> {
        vec![Installed {
            architecture: "amd64".into(),
            version: version.into(),
            priority: PRIORITY_INSTALLED,
            newer: None,
            security: false,
        }]
    }

    fn choose(installed: &str, offers: &[(&str, i32, bool)]) -> Option<(String, bool)> {
        let mut packages = package(installed);
        for (version, priority, security) in offers {
            let text = format!("Package: p\nArchitecture: amd64\nVersion: {version}");
            let archive = Archive {
                priority: *priority,
                security: *security,
            };
            offer(text.as_bytes(), archive, &mut packages);
        }
        let found = updates(("p".into(), packages));
        found
            .into_iter()
            .next()
            .map(|update| (update.available_version, update.security == Some(true)))
    }

    #[test]
    fn the_rule_of_apt() {
        let some = |version: &str, security| Some((version.to_owned(), security));
        assert_eq!(choose("1", &[("1", 500, false)]), None);
        assert_eq!(choose("1", &[("0", 500, true)]), None);
        assert_eq!(choose("1", &[("2", 500, false)]), some("2", false));
        assert_eq!(
            choose("1", &[("2", 500, true), ("3", 500, false)]),
            some("3", true)
        );
        // Backports are not taken while the release has the installed version.
        assert_eq!(
            choose("1", &[("1", 500, false), ("2~bpo", 100, false)]),
            None
        );
        assert_eq!(
            choose("2~bpo1", &[("1", 500, false), ("2~bpo2", 100, false)]),
            some("2~bpo2", false)
        );
        assert_eq!(choose("1", &[("2", 1, false)]), None);
        assert_eq!(
            choose("1", &[("9", 1, false), ("2", 500, false)]),
            some("2", false)
        );
    }

    #[test]
    fn archives_say_what_they_are() {
        let security = archive_of(
            "h_dists_b_main_binary-amd64_Packages",
            "Origin: Debian\nLabel: Debian-Security\n",
        );
        assert!(security.security);
        let backports = archive_of(
            "x",
            "Suite: b\nNotAutomatic: yes\nButAutomaticUpgrades: yes\n",
        );
        assert_eq!(
            backports,
            Archive {
                priority: 100,
                security: false
            }
        );
        assert_eq!(archive_of("x", "NotAutomatic: yes").priority, 1);
        assert!(
            archive_of(
                "h_ubuntu_dists_jammy-security_main_binary-amd64_Packages",
                ""
            )
            .security
        );
        assert!(
            is_list("a_Packages.lz4") && is_list("a_Packages") && !is_list("a_Packages.diff_Index")
        );
    }
}
