//! Snaps: each mounted revision tells its name and version in `meta/snap.yaml`; the `current` link says which one is used.

use chasqui_proto::v1;

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const SNAPS: &str = "/snap";

/// The installed snaps.
pub fn list(source: &Source) -> Listed {
    if source.exists("/var/lib/snapd/snaps") == Ok(false) {
        return None;
    }
    match source.list(SNAPS) {
        Ok(names) => Some((SNAPS.to_owned(), Ok(read(source, &names)))),
        Err(why) if why.is_no_source() => None,
        Err(why) => Some((SNAPS.to_owned(), Err(why))),
    }
}

fn read(source: &Source, names: &[String]) -> Found {
    let mut found = Found::default();
    for name in names {
        if found.is_full() {
            break;
        }
        let path = format!("{SNAPS}/{name}/current/meta/snap.yaml");
        match source.text(&path, 1 << 20) {
            Ok(text) => found.add(
                parse(name, &text)
                    .ok_or_else(|| Unreadable::malformed(format!("{path}: no version"))),
            ),
            // `bin`, the readme, and snaps that are switched off.
            Err(why) if why.is_no_source() => {}
            Err(why) => found.add(Err(why)),
        }
    }
    found
}

fn parse(name: &str, text: &str) -> Option<v1::Software> {
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
