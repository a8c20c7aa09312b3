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
    match source.bytes(STATUS, MAX_BYTES) {
        Ok(bytes) => Some((STATUS.to_owned(), parse(&bytes))),
        // Minimal images have one file per package instead.
        Err(why) if why.is_no_source() => source
            .list(STATUS_FOLDER)
            .ok()
            .map(|names| (STATUS_FOLDER.to_owned(), from_folder(source, &names))),
        Err(why) => Some((STATUS.to_owned(), Err(why))),
    }
}

fn from_folder(source: &Source, names: &[String]) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    for name in names.iter().filter(|name| !name.ends_with(".md5sums")) {
        let path = format!("{STATUS_FOLDER}/{name}");
        let item = source.bytes(&path, 1 << 20).and_then(|bytes| {
            let mut paragraph = Paragraph::default();
            bytes
                .split(|b| *b == b'\n')
                .for_each(|line| paragraph.line(line));
            // These paragraphs carry no status: what lies here is installed.
            paragraph
                .item()
                .ok_or_else(|| Unreadable::malformed(format!("{path}: no package or version")))
        });
        found.add(item);
    }
    Ok(found)
}

fn parse(bytes: &[u8]) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    let mut paragraphs = 0_usize;
    let mut paragraph = Paragraph::default();
    // dpkg ends every paragraph with an empty line; without the last one the file was cut.
    if !bytes.ends_with(b"\n\n") {
        found
            .faults
            .push(Unreadable::malformed(format!("{STATUS}: cut short")));
    }
    for line in bytes.split(|b| *b == b'\n').chain([&b""[..]]) {
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
            let named = done.name.map(bounds::clean_bytes).unwrap_or_default();
            Unreadable::malformed(format!(
                "{STATUS}: paragraph {paragraphs} ({named:.60}) has no package, status or version"
            ))
        }));
    }
    Ok(found)
}

/// The fields of one paragraph that matter here.
#[derive(Clone, Copy, Default)]
struct Paragraph<'a> {
    seen: bool,
    name: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    maintainer: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
}

impl<'a> Paragraph<'a> {
    fn line(&mut self, line: &'a [u8]) {
        self.seen = true;
        let field = match line.first() {
            Some(b'P') => (&b"Package:"[..], &mut self.name),
            Some(b'S') => (&b"Status:"[..], &mut self.status),
            Some(b'V') => (&b"Version:"[..], &mut self.version),
            Some(b'A') => (&b"Architecture:"[..], &mut self.architecture),
            Some(b'M') => (&b"Maintainer:"[..], &mut self.maintainer),
            Some(b'I') => (&b"Installed-Size:"[..], &mut self.size),
            _ => return,
        };
        if let Some(value) = line.strip_prefix(field.0) {
            *field.1 = Some(value.trim_ascii());
        }
    }

    /// Files of the package are on the disk; `config-files` and `not-installed` ones are not programs.
    fn is_installed(&self) -> bool {
        let state = self
            .status
            .and_then(|status| status.rsplit(|b| *b == b' ').next());
        matches!(
            state,
            Some(
                b"installed"
                    | b"unpacked"
                    | b"half-configured"
                    | b"half-installed"
                    | b"triggers-awaited"
                    | b"triggers-pending"
            )
        )
    }

    fn item(&self) -> Option<v1::Software> {
        let name = bounds::clean_bytes(self.name?);
        let version = bounds::clean_bytes(self.version?);
        let mut item = super::item("dpkg", &name, &version)?;
        item.architecture = self.architecture.map(bounds::clean_bytes);
        item.publisher = self.maintainer.map(bounds::clean_bytes);
        item.size_bytes = self
            .size
            .and_then(|size| std::str::from_utf8(size).ok())
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
        let text = b"Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\n\
            Description: x\n Package: not me\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: held\nStatus: hold ok installed\nVersion: 2\nMaintainer: Jos\xe9\nInstalled-Size: 3\n\n";
        let found = parse(text).unwrap();
        assert_eq!(found.faults, vec![]);
        assert_eq!(found.items.len(), 2);
        assert_eq!(found.items[0].name, "bash");
        assert_eq!(found.items[1].publisher.as_deref(), Some("Jos\u{fffd}"));
        assert_eq!(found.items[1].size_bytes, Some(3_072));
    }

    #[test]
    fn a_file_cut_short_keeps_what_is_whole_and_says_so() {
        let whole =
            format!("{INSTALLED}\nPackage: dash\nStatus: install ok installed\nVersion: 1\n\n");
        for cut in 1..whole.len() {
            let found = parse(&whole.as_bytes()[..cut]).unwrap();
            let at_the_border = cut == INSTALLED.len() + 1;
            assert_eq!(found.faults.is_empty(), at_the_border, "{cut}");
        }
        assert!(!parse(b"").unwrap().faults.is_empty());
        assert!(!parse(b"\x00\x01garbage\n\n").unwrap().faults.is_empty());
    }
}
