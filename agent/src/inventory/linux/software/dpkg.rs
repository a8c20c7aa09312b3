//! Debian's dpkg: one text file with a paragraph per package (deb822). dpkg keeps no time of installation, so none is
//! given: the times of its files change when images are copied.

use chasqui_proto::v1;

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const STATUS: &str = "/var/lib/dpkg/status";
const STATUS_FOLDER: &str = "/var/lib/dpkg/status.d";
const MAX_BYTES: usize = 128 << 20;
/// Above this many the list is cut anyway; it bounds what a lying file can make us hold.
const MAX_PARAGRAPHS: usize = 200_000;

/// The installed packages.
pub fn list(source: &Source) -> Listed {
    match source.text(STATUS, MAX_BYTES) {
        Ok(text) => Some((STATUS.to_owned(), Ok(parse(&text)))),
        // Minimal images have one file per package instead.
        Err(why) if why.is_no_source() => match source.list(STATUS_FOLDER) {
            Ok(names) => Some((STATUS_FOLDER.to_owned(), Ok(from_folder(source, &names)))),
            Err(why) if why.is_no_source() => None,
            Err(why) => Some((STATUS_FOLDER.to_owned(), Err(why))),
        },
        Err(why) => Some((STATUS.to_owned(), Err(why))),
    }
}

fn from_folder(source: &Source, names: &[String]) -> Found {
    let mut found = Found::default();
    for name in names.iter().filter(|name| !name.ends_with(".md5sums")) {
        let path = format!("{STATUS_FOLDER}/{name}");
        let item = source.text(&path, 1 << 20).and_then(|text| {
            let mut paragraph = Paragraph::default();
            text.split('\n').for_each(|line| paragraph.line(line));
            // These paragraphs carry no status: what lies here is installed.
            paragraph
                .item()
                .ok_or_else(|| Unreadable::malformed(format!("{path}: no package or version")))
        });
        found.add(item);
    }
    found
}

fn parse(text: &str) -> Found {
    let mut found = Found::default();
    let mut paragraphs = 0_usize;
    let mut paragraph = Paragraph::default();
    // dpkg ends every paragraph with an empty line; without the last one the file was cut.
    if !text.ends_with("\n\n") {
        found
            .faults
            .push(Unreadable::malformed(format!("{STATUS}: cut short")));
    }
    for line in text.split('\n').chain([""]) {
        if !line.is_empty() {
            paragraph.line(line);
            continue;
        }
        let done = std::mem::take(&mut paragraph);
        if !done.seen {
            continue;
        }
        paragraphs += 1;
        if paragraphs > MAX_PARAGRAPHS || found.is_full() {
            let why = format!("{STATUS}: the packages after number {paragraphs} are not read");
            found.faults.push(Unreadable::too_large(why));
            break;
        }
        if done.name.is_some() && done.status.is_some() && !done.is_installed() {
            continue;
        }
        found.add(done.item().filter(|_| done.status.is_some()).ok_or_else(|| {
            let named = done.name.unwrap_or_default();
            Unreadable::malformed(format!(
                "{STATUS}: paragraph {paragraphs} ({named:.60}) has no package, status or version"
            ))
        }));
    }
    found
}

/// The fields of one paragraph that matter here.
#[derive(Clone, Copy, Default)]
struct Paragraph<'a> {
    seen: bool,
    name: Option<&'a str>,
    status: Option<&'a str>,
    version: Option<&'a str>,
    architecture: Option<&'a str>,
    maintainer: Option<&'a str>,
    size: Option<&'a str>,
}

impl<'a> Paragraph<'a> {
    fn line(&mut self, line: &'a str) {
        self.seen = true;
        let field = match line.as_bytes().first() {
            Some(b'P') => ("Package:", &mut self.name),
            Some(b'S') => ("Status:", &mut self.status),
            Some(b'V') => ("Version:", &mut self.version),
            Some(b'A') => ("Architecture:", &mut self.architecture),
            Some(b'M') => ("Maintainer:", &mut self.maintainer),
            Some(b'I') => ("Installed-Size:", &mut self.size),
            _ => return,
        };
        if let Some(value) = line.strip_prefix(field.0) {
            *field.1 = Some(value.trim());
        }
    }

    /// Files of the package are on the disk; `config-files` and `not-installed` ones are not programs.
    fn is_installed(&self) -> bool {
        let state = self.status.and_then(|status| status.rsplit(' ').next());
        matches!(
            state,
            Some(
                "installed"
                    | "unpacked"
                    | "half-configured"
                    | "half-installed"
                    | "triggers-awaited"
                    | "triggers-pending"
            )
        )
    }

    fn item(&self) -> Option<v1::Software> {
        let mut item = super::item("dpkg", self.name?, self.version?)?;
        item.architecture = self.architecture.and_then(bounds::some_text);
        item.publisher = self.maintainer.and_then(bounds::some_text);
        item.size_bytes = self
            .size
            .and_then(|size| size.parse::<u64>().ok())
            .and_then(|kib| kib.checked_mul(1_024));
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALLED: &str = "Package: bash\nStatus: install ok installed\nVersion: 5.2\n";

    #[test]
    fn only_what_is_installed_is_listed() {
        let text = "Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\n\
            Description: x\n Package: not me\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: held\nStatus: hold ok installed\nVersion: 2\nMaintainer: José\nInstalled-Size: 3\n\n";
        let found = parse(text);
        assert_eq!(found.faults, vec![]);
        assert_eq!(found.items.len(), 2);
        assert_eq!(found.items[0].name, "bash");
        assert_eq!(found.items[1].publisher.as_deref(), Some("José"));
        assert_eq!(found.items[1].size_bytes, Some(3_072));
    }

    #[test]
    fn a_file_cut_short_keeps_what_is_whole_and_says_so() {
        let whole =
            format!("{INSTALLED}\nPackage: dash\nStatus: install ok installed\nVersion: 1\n\n");
        for cut in 1..whole.len() {
            let found = parse(&whole[..cut]);
            let at_the_border = cut == INSTALLED.len() + 1;
            assert_eq!(found.faults.is_empty(), at_the_border, "{cut}");
        }
        assert!(!parse("").faults.is_empty());
        assert!(!parse("\0\u{1}garbage\n\n").faults.is_empty());
    }
}
