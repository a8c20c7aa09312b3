//! The rpm database in its SQLite form (rpm 4.16 and later): table `Packages`, a header blob a row.

use std::os::fd::AsRawFd;

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use super::super::super::super::{Source, Unreadable};
use super::super::Found;

const MAX_BLOB: i32 = 64 << 20;

/// The packages of a database.
pub fn read(source: &Source, path: &str, file: &std::fs::File) -> Result<Found, Unreadable> {
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
        let blob = row.get_ref(0).ok().and_then(|value| value.as_blob().ok());
        super::add(&mut found, path, blob.unwrap_or_default());
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
