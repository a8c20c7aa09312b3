//! Debian's dpkg: one text file with a paragraph per package (deb822). It keeps no time of installation. Its log tells when
//! the version in use was unpacked; of what the log has lost by rotation, the last change of the package's list of files
//! does, which dpkg writes anew with each version. A copy that does not keep times makes the latter lie, so the provenance
//! names both.

use std::collections::HashMap;
use std::io::Read;

use chasqui_proto::facts::dates;
use chasqui_proto::v1;
use flate2::read::MultiGzDecoder;

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const STATUS: &str = "/var/lib/dpkg/status";
const STATUS_FOLDER: &str = "/var/lib/dpkg/status.d";
const INFO: &str = "/var/lib/dpkg/info";
const LOG: &str = "/var/log/dpkg.log";
/// Holds more packages than are kept, and bounds the memory that a lying file takes.
const MAX_BYTES: usize = 32 << 20;
/// Above this many the list is cut anyway; it bounds what a lying file can make us hold.
const MAX_PARAGRAPHS: usize = 200_000;
/// Debian keeps a year of logs, one a month.
const MAX_LOGS: usize = 13;
/// Of one log, unpacked; a new installation of a whole desktop writes 2 MiB.
const MAX_LOG_BYTES: usize = 8 << 20;
const DAY_MS: i64 = 86_400_000;
/// Length of `2024-05-02 10:00:00 `, which begins each line of the log.
const DAY_AND_TIME: usize = 20;

/// The installed packages.
pub fn list(source: &Source) -> Listed {
    match source.beginning(STATUS, MAX_BYTES) {
        Ok((bytes, more)) => {
            let mut found = parse(&bytes, more);
            date(source, &mut found);
            Some((STATUS.to_owned(), Ok(found)))
        }
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
        if found.is_full() {
            break;
        }
        let path = format!("{STATUS_FOLDER}/{name}");
        let item = source.bytes(&path, 1 << 20).and_then(|bytes| {
            let mut paragraph = Paragraph::default();
            bounds::lines(&bytes).for_each(|line| paragraph.line(line));
            // These paragraphs carry no status: what lies here is installed.
            paragraph
                .item()
                .ok_or_else(|| Unreadable::malformed(format!("{path}: no package or version")))
        });
        found.add(item);
    }
    found
}

/// The installed packages of a status file; `more` when only its beginning was read.
pub(crate) fn parse(bytes: &[u8], more: bool) -> Found {
    let mut found = Found::default();
    let mut paragraphs = 0_usize;
    let mut paragraph = Paragraph::default();
    if more {
        let why = format!("{STATUS}: only its first {MAX_BYTES} bytes are read");
        found.faults.push(Unreadable::too_large(why));
    } else if !bytes.ends_with(b"\n\n") {
        // dpkg ends every paragraph with an empty line; without the last one the file was cut.
        found
            .faults
            .push(Unreadable::malformed(format!("{STATUS}: cut short")));
    }
    for line in bounds::lines(bytes).chain([&b""[..]]) {
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
            let named = bounds::clean_bytes(done.name.unwrap_or_default());
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
    name: Option<&'a [u8]>,
    status: Option<&'a [u8]>,
    version: Option<&'a [u8]>,
    architecture: Option<&'a [u8]>,
    maintainer: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    section: Option<&'a [u8]>,
}

impl<'a> Paragraph<'a> {
    fn line(&mut self, line: &'a [u8]) {
        self.seen = true;
        let (name, field): (&[u8], _) = match line {
            [b'P', ..] => (b"Package:", &mut self.name),
            [b'S', b't', ..] => (b"Status:", &mut self.status),
            [b'S', b'e', ..] => (b"Section:", &mut self.section),
            [b'V', ..] => (b"Version:", &mut self.version),
            [b'A', ..] => (b"Architecture:", &mut self.architecture),
            [b'M', ..] => (b"Maintainer:", &mut self.maintainer),
            [b'I', ..] => (b"Installed-Size:", &mut self.size),
            _ => return,
        };
        if let Some(value) = line.strip_prefix(name) {
            *field = Some(value.trim_ascii());
        }
    }

    /// Files of the package are on the disk; `config-files` and `not-installed` ones are not programs.
    fn is_installed(&self) -> bool {
        let state = self
            .status
            .and_then(|status| status.rsplit(|byte| *byte == b' ').next());
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
        let text = |bytes: &[u8]| Some(bounds::clean_bytes(bytes)).filter(|text| !text.is_empty());
        let name = bounds::clean_bytes(self.name?);
        let mut item = super::item("dpkg", &name, &bounds::clean_bytes(self.version?))?;
        item.architecture = self.architecture.and_then(text);
        item.publisher = self.maintainer.and_then(text);
        item.category = self.section.and_then(text);
        item.size_bytes = self
            .size
            .and_then(|size| std::str::from_utf8(size).ok()?.parse::<u64>().ok())
            .and_then(|kib| kib.checked_mul(1_024));
        Some(item)
    }
}

/// Fills in the days on which the versions in use were installed.
fn date(source: &Source, found: &mut Found) {
    let logged = date_by_logs(source, found);
    let mut listed = false;
    for item in found
        .items
        .iter_mut()
        .filter(|item| item.installed_at_ms.is_none())
    {
        let name = &item.name;
        let changed = |file: &str| {
            source
                .times(&format!("{INFO}/{file}.list"))
                .ok()?
                .modified_ms
        };
        // Packages that may be there for several architectures at once carry theirs in the name.
        item.installed_at_ms =
            changed(name).or_else(|| changed(&format!("{name}:{}", item.architecture.as_deref()?)));
        listed |= item.installed_at_ms.is_some();
    }
    found.dates_from = match (logged, listed) {
        (true, true) => Some("/var/log/dpkg.log*, else last change of /var/lib/dpkg/info/*.list"),
        (true, false) => Some("/var/log/dpkg.log*"),
        (false, _) => Some("last change of /var/lib/dpkg/info/*.list"),
    };
}

/// Reads the logs from the newest on, for as long as there is a package without a day. True when one got its day.
fn date_by_logs(source: &Source, found: &mut Found) -> bool {
    let items = found.items.iter().enumerate();
    let numbers: HashMap<(&str, &str), usize> = items
        .map(|(number, item)| {
            (
                (&*item.name, item.architecture.as_deref().unwrap_or("")),
                number,
            )
        })
        .collect();
    // The day with the number of the log that told it: in one log the last word counts, and an older log has none.
    let mut days: Vec<Option<(usize, i64)>> = vec![None; found.items.len()];
    for number in 0..MAX_LOGS {
        if days.iter().all(Option::is_some) {
            break;
        }
        let read = match number {
            0 => source.beginning(LOG, MAX_LOG_BYTES),
            1 => source.beginning(&format!("{LOG}.1"), MAX_LOG_BYTES),
            _ => unpacked(source, &format!("{LOG}.{number}.gz")),
        };
        let (bytes, more) = match read {
            Ok(read) => read,
            Err(why) if why.is_no_source() => continue,
            Err(why) => {
                found.date_faults.push(why);
                continue;
            }
        };
        if more {
            let why =
                format!("{LOG}, number {number}: only its first {MAX_LOG_BYTES} bytes are read");
            found.date_faults.push(Unreadable::too_large(why));
        }
        for unpacked in unpackings(&bytes) {
            let key = (unpacked.name, unpacked.architecture);
            let Some(item) = numbers.get(&key).copied() else {
                continue;
            };
            let same = |item: &v1::Software| item.version == unpacked.version;
            if let (Some(true), Some(day)) = (found.items.get(item).map(same), days.get_mut(item))
                && day.is_none_or(|(log, _)| log == number)
            {
                *day = Some((number, i64::from(unpacked.day).saturating_mul(DAY_MS)));
            }
        }
    }
    let mut dated = false;
    for (item, (_, at_ms)) in found
        .items
        .iter_mut()
        .zip(days)
        .filter_map(|(item, day)| Some((item, day?)))
    {
        item.installed_at_ms = Some(at_ms);
        dated = true;
    }
    dated
}

fn unpacked(source: &Source, path: &str) -> Result<(Vec<u8>, bool), Unreadable> {
    unpack(&source.bytes(path, MAX_LOG_BYTES)?).map_err(|error| Unreadable::of_error(path, &error))
}

/// The first bytes of what a gzip file holds, at most [`MAX_LOG_BYTES`], and whether there are more.
pub(crate) fn unpack(packed: &[u8]) -> std::io::Result<(Vec<u8>, bool)> {
    let limit = u64::try_from(MAX_LOG_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed)
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    let more = bytes.len() > MAX_LOG_BYTES;
    bytes.truncate(MAX_LOG_BYTES);
    Ok((bytes, more))
}

/// A line of the log that says that a version of a package was put on the disk.
#[derive(Debug, PartialEq)]
pub(crate) struct Unpacking<'a> {
    /// As the machine's own calendar had it.
    day: i32,
    name: &'a str,
    architecture: &'a str,
    version: &'a str,
}

/// `2024-05-02 10:00:00 upgrade bash:amd64 5.1 5.2` and the same with `install`. The state `installed` is logged again
/// whenever a trigger runs, so it dates nothing.
pub(crate) fn unpackings(log: &[u8]) -> impl Iterator<Item = Unpacking<'_>> {
    bounds::lines(log).filter_map(|line| {
        // Most lines tell of states; they need not be looked at as text.
        let action = line.get(DAY_AND_TIME..)?;
        if !(action.starts_with(b"install ") || action.starts_with(b"upgrade ")) {
            return None;
        }
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split(' ');
        let (day, _time, _action) = (words.next()?, words.next()?, words.next()?);
        let (name, architecture) = words.next()?.split_once(':')?;
        let (_old, version) = (words.next()?, words.next()?);
        Some(Unpacking {
            day: dates::day_of_text(day).filter(|_| day.len() == 10)?,
            name,
            architecture,
            version,
        })
    })
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
        let found = parse(text.as_bytes(), false);
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
            let found = parse(&whole.as_bytes()[..cut], false);
            let at_the_border = cut == INSTALLED.len() + 1;
            assert_eq!(found.faults.is_empty(), at_the_border, "{cut}");
        }
        assert!(!parse(b"", false).faults.is_empty());
        assert!(!parse(b"\0\x01garbage\n\n", false).faults.is_empty());
    }

    #[test]
    fn the_log_tells_when_the_version_in_use_was_put_on_the_disk() {
        let log = b"2024-05-02 10:00:00 startup archives unpack\n\
            2024-05-02 10:00:01 install bash:amd64 <none> 5.1\n\
            2024-05-02 10:00:02 status installed bash:amd64 5.1\n\
            2024-05-03 10:00:01 upgrade bash:amd64 5.1 5.2\n\
            2024-05-03 10:00:01 upgrade bash:amd64\n\
            2024-02-30 10:00:01 install dash:all <none> 1\n\
            \xff\xfe\n2024-05-04 1";
        let seen: Vec<_> = unpackings(log)
            .map(|it| (dates::day_text(it.day).unwrap(), it.name, it.version))
            .collect();
        assert_eq!(
            seen,
            [
                ("2024-05-02".to_owned(), "bash", "5.1"),
                ("2024-05-03".to_owned(), "bash", "5.2")
            ]
        );
    }

    #[test]
    fn a_packed_log_that_swells_is_cut() {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&vec![b'\n'; MAX_LOG_BYTES + 1]).unwrap();
        let packed = packer.finish().unwrap();
        assert!(packed.len() < 100_000);
        let (bytes, more) = unpack(&packed).unwrap();
        assert_eq!((bytes.len(), more), (MAX_LOG_BYTES, true));
        assert!(unpack(&packed[..packed.len() / 2]).is_err());
    }
}
