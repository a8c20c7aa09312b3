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

/// The package of a `desc` file.
pub(crate) fn parse(text: &str) -> Option<v1::Software> {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        // Of a block with several lines the first one counts; an empty one ends a block without any.
        if let Some(name) = line
            .strip_prefix('%')
            .and_then(|rest| rest.strip_suffix('%'))
            && let Some(value) = lines.next()
        {
            fields.entry(name).or_insert(value);
        }
    }
    let mut item = super::item("pacman", fields.get("NAME")?, fields.get("VERSION")?)?;
    let text = |name: &str| fields.get(name).and_then(|text| bounds::some_text(text));
    item.architecture = text("ARCH");
    item.publisher = text("PACKAGER").filter(|packager| packager != "Unknown Packager");
    item.size_bytes = text("SIZE").and_then(|size| size.parse().ok());
    item.category = text("GROUPS");
    item.installed_at_ms = text("INSTALLDATE")
        .and_then(|seconds| seconds.parse::<i64>().ok())
        .and_then(|seconds| seconds.checked_mul(1_000));
    Some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESC: &str = "%NAME%\nbash\n\n%VERSION%\n5.2.026-2\n\n%BASE%\nbash\n\n%ARCH%\nx86_64\n\n\
        %INSTALLDATE%\n1714564800\n\n%PACKAGER%\nTaller <taller@example.org>\n\n%SIZE%\n9445000\n\n\
        %GROUPS%\nbase-devel\nshells\n\n%VALIDATION%\npgp\n\n";

    #[test]
    fn a_desc_file_is_read() {
        let item = parse(DESC).unwrap();
        assert_eq!(
            (item.name.as_str(), item.version.as_str()),
            ("bash", "5.2.026-2")
        );
        assert_eq!(item.category.as_deref(), Some("base-devel"));
        assert_eq!(item.installed_at_ms, Some(1_714_564_800_000));
        assert_eq!(item.size_bytes, Some(9_445_000));
    }

    #[test]
    fn a_desc_file_cut_anywhere_gives_a_package_or_nothing() {
        for cut in 0..DESC.len() {
            let item = parse(&DESC[..cut]);
            // Name and version stand at the front; a version cut in two cannot be told from a short one.
            assert_eq!(
                item.is_some(),
                cut > "%NAME%\nbash\n\n%VERSION%\n".len(),
                "{cut}"
            );
        }
    }
}
