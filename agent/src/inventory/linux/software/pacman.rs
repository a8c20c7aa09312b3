//! Arch's pacman: a folder per package with a `desc` file of `%FIELD%` blocks.

use std::collections::BTreeMap;

use chasqui_proto::v1;

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const LOCAL: &str = "/var/lib/pacman/local";

/// The installed packages.
pub fn list(source: &Source) -> Listed {
    match source.list(LOCAL) {
        Ok(names) => Some((LOCAL.to_owned(), Ok(read(source, &names)))),
        Err(why) if why.is_no_source() => None,
        Err(why) => Some((LOCAL.to_owned(), Err(why))),
    }
}

fn read(source: &Source, names: &[String]) -> Found {
    let mut found = Found::default();
    for name in names.iter().filter(|name| *name != "ALPM_DB_VERSION") {
        if found.is_full() {
            break;
        }
        let path = format!("{LOCAL}/{name}/desc");
        found.add(source.text(&path, 1 << 20).and_then(|text| {
            parse(&text).ok_or_else(|| Unreadable::malformed(format!("{path}: no name or version")))
        }));
    }
    found
}

fn parse(text: &str) -> Option<v1::Software> {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line
            .strip_prefix('%')
            .and_then(|rest| rest.strip_suffix('%'))
            && let Some(value) = lines.next()
        {
            fields.insert(name, value);
        }
    }
    let mut item = super::item("pacman", fields.get("NAME")?, fields.get("VERSION")?)?;
    let text = |name: &str| fields.get(name).and_then(|text| bounds::some_text(text));
    item.architecture = text("ARCH");
    item.publisher = text("PACKAGER").filter(|packager| packager != "Unknown Packager");
    item.size_bytes = text("SIZE").and_then(|size| size.parse().ok());
    item.installed_at_ms = text("INSTALLDATE")
        .and_then(|seconds| seconds.parse::<i64>().ok())
        .and_then(|seconds| seconds.checked_mul(1_000));
    Some(item)
}
