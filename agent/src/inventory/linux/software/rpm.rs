//! The rpm database in its SQLite form (rpm 4.16 and later), read without rpm: table `Packages`, a header blob a row.
//! The older Berkeley and ndb forms are said to be unread.

use std::os::fd::AsRawFd;

use chasqui_proto::v1;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const FOLDERS: &[&str] = &["/usr/lib/sysimage/rpm", "/var/lib/rpm"];
const OLDER: &[&str] = &["Packages.db", "Packages"];
const MAX_BLOB: i32 = 64 << 20;

/// Tags of a header, from rpm's rpmtag.h.
mod tag {
    pub const NAME: u32 = 1_000;
    pub const VERSION: u32 = 1_001;
    pub const RELEASE: u32 = 1_002;
    pub const EPOCH: u32 = 1_003;
    pub const INSTALL_TIME: u32 = 1_008;
    pub const SIZE: u32 = 1_009;
    pub const VENDOR: u32 = 1_011;
    pub const ARCH: u32 = 1_022;
    pub const LONG_SIZE: u32 = 5_009;
}

/// The installed packages.
pub fn list(source: &Source) -> Listed {
    for folder in FOLDERS {
        let path = format!("{folder}/rpmdb.sqlite");
        match source.file(&path) {
            Ok(file) => {
                let read = read(source, &path, &file);
                return Some((path, read));
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => return Some((path, Err(why))),
        }
        for older in OLDER {
            let path = format!("{folder}/{older}");
            if source.exists(&path) == Ok(true) {
                let why = format!("{path}: an older form of the rpm database, which is not read");
                return Some((path, Err(Unreadable::malformed(why))));
            }
        }
    }
    None
}

fn read(source: &Source, path: &str, file: &std::fs::File) -> Result<Found, Unreadable> {
    let fail = |error: rusqlite::Error| Unreadable::malformed(format!("{path}: {error}"));
    let mut found = Found::default();
    let connection = open(source, path, file, &mut found).map_err(fail)?;
    // The file may be anybody's: no functions from its schema, short values, and a real table under the name.
    connection
        .execute_batch(
            "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON",
        )
        .map_err(fail)?;
    connection
        .set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_BLOB)
        .map_err(fail)?;
    let form: String = connection
        .query_row(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'Packages'",
            [],
            |row| row.get(0),
        )
        .map_err(fail)?;
    if !form.to_ascii_uppercase().starts_with("CREATE TABLE") {
        return Err(Unreadable::malformed(format!(
            "{path}: Packages is no table"
        )));
    }
    let mut statement = connection
        .prepare("SELECT blob FROM Packages")
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    while !found.is_full() {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            // A damaged page ends the list; what was read before it stands.
            Err(error) => {
                found.faults.push(fail(error));
                break;
            }
        };
        let item = row
            .get_ref(0)
            .ok()
            .and_then(|value| value.as_blob().ok())
            .and_then(Header::parse)
            .and_then(|header| header.item())
            .ok_or_else(|| Unreadable::malformed(format!("{path}: a header makes no sense")));
        // Imported signing keys are kept as if they were packages.
        if item.as_ref().is_ok_and(|item| item.name == "gpg-pubkey") {
            continue;
        }
        found.add(item);
    }
    Ok(found)
}

/// Opens the database read only. With changes still in a write-ahead log SQLite must see that log as well, which takes a
/// right to its shared-memory file; without it the last state that was checkpointed is read, and that is said.
fn open(
    source: &Source,
    path: &str,
    file: &std::fs::File,
    found: &mut Found,
) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let log = source.file(&format!("{path}-wal")).and_then(|log| {
        log.metadata()
            .map(|meta| meta.len())
            .map_err(|error| Unreadable::of_error(path, &error))
    });
    let pending = match log {
        Ok(length) => length > 0,
        Err(why) => !why.is_no_source(),
    };
    if pending {
        if source.is_live() {
            let opened = Connection::open_with_flags(path, flags).and_then(|connection| {
                connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
                Ok(connection)
            });
            if opened.is_ok() {
                return opened;
            }
        }
        let why = format!("{path}: the changes in its write-ahead log are not read");
        found.faults.push(Unreadable::no_source(why));
    }
    // By descriptor, so that what is read is the file that was opened inside the tree.
    let descriptor = file.as_raw_fd();
    Connection::open_with_flags(
        format!("file:/proc/self/fd/{descriptor}?immutable=1"),
        flags,
    )
}

/// A header: index entries of 16 bytes, then the store they point into; numbers are big-endian.
struct Header<'a> {
    index: &'a [u8],
    store: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(blob: &'a [u8]) -> Option<Self> {
        let entries = usize::try_from(be32(blob, 0)?).ok()?;
        let length = usize::try_from(be32(blob, 4)?).ok()?;
        let index_end = entries.checked_mul(16)?.checked_add(8)?;
        Some(Self {
            index: blob.get(8..index_end)?,
            store: blob.get(index_end..index_end.checked_add(length)?)?,
        })
    }

    fn item(&self) -> Option<v1::Software> {
        let mut version = self.text(tag::VERSION)?;
        if let Some(release) = self.text(tag::RELEASE) {
            version = format!("{version}-{release}");
        }
        if let Some(epoch) = self.number(tag::EPOCH).filter(|epoch| *epoch != 0) {
            version = format!("{epoch}:{version}");
        }
        let mut item = super::item("rpm", &self.text(tag::NAME)?, &version)?;
        item.architecture = self.text(tag::ARCH);
        item.publisher = self.text(tag::VENDOR);
        item.size_bytes = self
            .number(tag::LONG_SIZE)
            .or_else(|| self.number(tag::SIZE));
        item.installed_at_ms = self
            .number(tag::INSTALL_TIME)
            .and_then(|seconds| i64::try_from(seconds).ok())
            .and_then(|seconds| seconds.checked_mul(1_000));
        Some(item)
    }

    /// Type and place of a tag's first value.
    fn find(&self, tag: u32) -> Option<(u32, usize)> {
        self.index
            .chunks_exact(16)
            .find(|entry| be32(entry, 0) == Some(tag))
            .and_then(|entry| Some((be32(entry, 4)?, usize::try_from(be32(entry, 8)?).ok()?)))
    }

    fn text(&self, tag: u32) -> Option<String> {
        // 6: a string; 9: strings in several languages, the first of which is plain.
        let (6 | 9, at) = self.find(tag)? else {
            return None;
        };
        let text = self.store.get(at..)?.split(|byte| *byte == 0).next()?;
        bounds::some_text(&String::from_utf8_lossy(text))
    }

    fn number(&self, tag: u32) -> Option<u64> {
        match self.find(tag)? {
            (4, at) => be32(self.store, at).map(u64::from),
            (5, at) => {
                let bytes = self.store.get(at..at.checked_add(8)?)?;
                bytes.try_into().ok().map(u64::from_be_bytes)
            }
            _ => None,
        }
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_be_bytes)
}
