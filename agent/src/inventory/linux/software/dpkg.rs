//! Debian's dpkg: one text file with a paragraph per package (deb822). dpkg keeps no time of installation, so none is
//! given: the times of its files change when images are copied.

use chasqui_proto::v1;

use super::super::super::{Source, Unreadable, bounds};
use super::Listed;

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

fn from_folder(source: &Source, names: &[String]) -> Result<Vec<v1::Software>, Unreadable> {
    let mut items = Vec::new();
    for name in names.iter().filter(|name| !name.ends_with(".md5sums")) {
        let bytes = source.bytes(&format!("{STATUS_FOLDER}/{name}"), 1 << 20)?;
        let mut paragraph = Paragraph::default();
        bytes
            .split(|b| *b == b'\n')
            .for_each(|line| paragraph.line(line));
        // These paragraphs carry no status: what lies here is installed.
        items.extend(paragraph.item());
    }
    Ok(items)
}

fn parse(bytes: &[u8]) -> Result<Vec<v1::Software>, Unreadable> {
    let mut items = Vec::new();
    let mut paragraphs = 0_usize;
    let mut paragraph = Paragraph::default();
    // The empty line after the last one closes the last paragraph.
    for line in bytes.split(|b| *b == b'\n').chain([&b""[..]]) {
        if !line.is_empty() {
            paragraph.line(line);
            continue;
        }
        let done = std::mem::take(&mut paragraph);
        if done.seen {
            paragraphs += 1;
            if paragraphs > MAX_PARAGRAPHS {
                return Err(Unreadable::too_large(format!(
                    "{STATUS}: over {MAX_PARAGRAPHS} packages"
                )));
            }
            if done.name.is_none() {
                return Err(Unreadable::malformed(format!(
                    "{STATUS}: paragraph {paragraphs} names no package"
                )));
            }
            if done.is_installed() {
                let named = done.name.map(bounds::clean_bytes).unwrap_or_default();
                let Some(item) = done.item() else {
                    return Err(Unreadable::malformed(format!(
                        "{STATUS}: {named} is installed without a version"
                    )));
                };
                items.push(item);
            }
        }
    }
    Ok(items)
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

    #[test]
    fn only_what_is_installed_is_listed() {
        let text = b"Package: bash\nStatus: install ok installed\nVersion: 5.2\nArchitecture: amd64\n\
            Description: x\n Package: not me\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: held\nStatus: hold ok installed\nVersion: 2\nMaintainer: Jos\xe9\nInstalled-Size: 3";
        let items = parse(text).unwrap();
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].name, "bash");
        assert_eq!(items[1].publisher.as_deref(), Some("Jos\u{fffd}"));
        assert_eq!(items[1].size_bytes, Some(3_072));
    }

    #[test]
    fn a_paragraph_cut_short_is_named() {
        let cut = parse(b"Package: bash\nStatus: install ok installed\n").unwrap_err();
        assert_eq!(cut.reason, v1::UnreadReason::Malformed);
        let nameless = parse(b"\x00\x01garbage").unwrap_err();
        assert_eq!(nameless.reason, v1::UnreadReason::Malformed);
        assert_eq!(parse(b"").unwrap(), vec![]);
    }
}
