//! Snaps: each mounted revision tells its name and version in `meta/snap.yaml`; the `current` link says which one is used.
//! What snapd itself keeps (`state.json`) has no versions and is root's alone.

use chasqui_proto::v1;

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

/// Where revisions are mounted: everywhere but on Fedora and its kin, and there.
const FOLDERS: &[&str] = &["/snap", "/var/lib/snapd/snap"];
const FILES: &str = "/var/lib/snapd/snaps";

/// The installed snaps.
pub fn list(source: &Source) -> Listed {
    if source.exists(FILES) == Ok(false) {
        return None;
    }
    for folder in FOLDERS {
        match source.list(folder) {
            Ok(names) => return Some(((*folder).to_owned(), Ok(read(source, folder, &names)))),
            Err(why) if why.is_no_source() => {}
            Err(why) => return Some(((*folder).to_owned(), Err(why))),
        }
    }
    None
}

fn read(source: &Source, folder: &str, names: &[String]) -> Found {
    let mut found = Found {
        dates_from: Some("last change of the files in /var/lib/snapd/snaps"),
        ..Found::default()
    };
    for name in names {
        if found.is_full() {
            break;
        }
        let path = format!("{folder}/{name}/current/meta/snap.yaml");
        match source.text(&path, 1 << 20) {
            Ok(text) => found.add(
                parse(name, &text)
                    .map(|item| v1::Software {
                        installed_at_ms: installed_at_ms(source, folder, name),
                        ..item
                    })
                    .ok_or_else(|| Unreadable::malformed(format!("{path}: no version"))),
            ),
            // `bin`, the readme, and snaps that are switched off.
            Err(why) if why.is_no_source() => {}
            Err(why) => found.add(Err(why)),
        }
    }
    found
}

/// snapd writes the file of a revision when it installs it.
fn installed_at_ms(source: &Source, folder: &str, name: &str) -> Option<i64> {
    let revision = source.link(&format!("{folder}/{name}/current")).ok()?;
    let times = source.times(&format!("{FILES}/{name}_{revision}.snap"));
    times.ok()?.modified_ms
}

/// The snap of a `snap.yaml`; `name` is the folder's, which tells instances of one snap apart.
pub(crate) fn parse(name: &str, text: &str) -> Option<v1::Software> {
    let version = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| *field == "version")
        .map(|(_, value)| value.trim().trim_matches(['\'', '"']))?;
    let mut item = super::item("snap", name, version)?;
    item.architecture = architecture(text);
    Some(item)
}

/// The first of the list under `architectures:`, in either form of YAML lists.
fn architecture(text: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("architectures:"));
    let (_, inline) = lines.next()?.split_once(':')?;
    let inline = inline.trim().trim_start_matches('[').trim_end_matches(']');
    let first = if inline.is_empty() {
        lines.next()?.trim().strip_prefix('-')?
    } else {
        inline.split(',').next()?
    };
    bounds::some_text(first.trim().trim_matches(['\'', '"']))
}
