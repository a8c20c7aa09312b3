//! The rpm database, read without rpm, in the three forms it has had: SQLite (since 4.16), ndb (openSUSE) and a Berkeley DB
//! hash (before, so CentOS 7 and 8). Each holds the same package headers.

pub(crate) mod bdb;
pub(crate) mod header;
pub(crate) mod ndb;
mod sqlite;

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::super::super::{Source, Unreadable};
use super::{Found, Listed};

const FOLDERS: &[&str] = &["/usr/lib/sysimage/rpm", "/var/lib/rpm"];

/// Reads one form of the database.
type Reader = fn(&Source, &str, &File) -> Result<Found, Unreadable>;

/// By file name, the form in use first: rpm leaves the old file behind when it changes the form.
const FORMS: &[(&str, Reader)] = &[
    ("rpmdb.sqlite", sqlite::read),
    ("Packages.db", |_, path, file| ndb::read(path, file)),
    ("Packages", |_, path, file| bdb::read(path, file)),
];

/// The installed packages.
pub fn list(source: &Source) -> Listed {
    for folder in FOLDERS {
        for (name, read) in FORMS {
            let path = format!("{folder}/{name}");
            match source.file(&path) {
                Ok(file) => {
                    let read = read(source, &path, &file);
                    return Some((path, read));
                }
                Err(why) if why.is_no_source() => {}
                Err(why) => return Some((path, Err(why))),
            }
        }
    }
    None
}

/// Bytes at places: a database is far larger than what is wanted of it.
pub(crate) trait ReadAt {
    /// Length in bytes.
    fn length(&self) -> std::io::Result<u64>;
    /// Fills the whole buffer from a place on, or fails.
    fn fill(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()>;

    /// Some bytes at a place; `None` when the database has no such place or cannot be read there.
    fn bytes(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        let end = at.checked_add(u64::try_from(length).ok()?)?;
        // Before the memory is taken: the length is what the database claims.
        if end > self.length().ok()? {
            return None;
        }
        let mut bytes = vec![0; length];
        self.fill(at, &mut bytes).ok().map(|()| bytes)
    }
}

impl ReadAt for File {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn fill(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}

impl ReadAt for &[u8] {
    fn length(&self) -> std::io::Result<u64> {
        Ok(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }

    fn fill(&self, at: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let end = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let at = usize::try_from(at).map_err(|_| end())?;
        let from = self.get(at..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or_else(end)?);
        Ok(())
    }
}

/// Adds the package of a header.
fn add(found: &mut Found, path: &str, blob: &[u8]) {
    let item = header::package(blob);
    // Imported signing keys are kept as if they were packages.
    if item.as_ref().is_some_and(|item| item.name == "gpg-pubkey") {
        return;
    }
    let why = || Unreadable::malformed(format!("{path}: a header makes no sense"));
    found.add(item.ok_or_else(why));
}
