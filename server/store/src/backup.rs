//! Backups: one file format for both engines, taken while the store is in use, restorable into either. A backup is one
//! snapshot, so it holds every request that was answered before it began and no half of any change.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

pub use format::Header;
use format::{FrameReader, FrameWriter, Part, read_failed, write_failed};

use crate::store::Address;
use crate::tx::{Conn, Tx};
use crate::{Engine, Store, StoreError, catalogue, engine, log, meta, migrate};

mod format;

/// What a backup file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// What it says about itself.
    pub header: Header,
    /// Number of tables.
    pub tables: u64,
    /// Number of rows.
    pub rows: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 over its content, lower-case hex.
    pub digest: String,
}

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The backup it came from.
    pub summary: Summary,
    /// The store's epoch from now on.
    pub epoch: i64,
    /// The check of the record as restored, signatures aside.
    pub report: log::Report,
}

/// Takes a backup of a store in use into a new file (0600), and reads it back. Blocking: not for an async thread.
///
/// # Errors
/// [`StoreError::Backup`] when the file is already there, cannot be written, or does not read back; nothing is left
/// under its name then. Else as [`Store::read`].
pub fn write(store: &Store, path: &Path) -> Result<Summary, StoreError> {
    if path.exists() {
        return Err(StoreError::Backup(format!(
            "{} is already there: choose another name, backups are never written over",
            path.display()
        )));
    }
    let beside = beside(path)?;
    let written = store
        .read_blocking(|tx| dump(tx, &beside))
        .and_then(|written: Summary| {
            let read = verify(&beside)?;
            if read != written {
                return Err(StoreError::Backup(format!(
                    "reads back differently than it was written ({} rows of {}): check the disk",
                    read.rows, written.rows
                )));
            }
            std::fs::rename(&beside, path).map_err(|error| write_failed(&error))?;
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            chasqui_base::durable::sync_dir(folder.unwrap_or(Path::new(".")))
                .map_err(|error| write_failed(&error))?;
            Ok(written)
        });
    if written.is_err() {
        // Half a backup is of no use; that it could not be removed adds nothing to the first error.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// Reads a backup from end to end.
///
/// # Errors
/// [`StoreError::Backup`] when it is damaged, cut off, or no backup.
pub fn verify(path: &Path) -> Result<Summary, StoreError> {
    let mut reader = FrameReader::new(open(path)?)?;
    let (mut tables, mut rows) = (0, 0);
    loop {
        match reader.next()? {
            Part::Table { .. } => tables += 1,
            Part::Row(_) => rows += 1,
            Part::End { digest } => {
                return Ok(Summary {
                    tables,
                    rows,
                    bytes: reader.bytes,
                    digest,
                    header: reader.header,
                });
            }
        }
    }
}

/// Restores a backup into an empty store, raises its epoch, brings its schema up to this program and checks its
/// record. All rows come in one transaction: a restore that fails leaves the store empty. Blocking: may be called
/// anywhere, it uses a thread of its own.
///
/// # Errors
/// [`StoreError::Backup`] when the file is damaged or the store is not empty; [`StoreError::TooNew`] when a newer
/// program took it. A record that does not agree is no error: it is told in the report.
pub fn restore(path: &Path, url: &str) -> Result<Restored, StoreError> {
    let address = Address::parse(url)?;
    crate::store::on_own_thread(move || restore_here(path, address))
}

fn restore_here(path: &Path, address: Address) -> Result<Restored, StoreError> {
    let summary = verify(path)?;
    let version = summary.header.schema_version;
    if version > migrate::newest() {
        return Err(StoreError::TooNew {
            found: version,
            known: migrate::newest(),
        });
    }
    let mut tx = match address {
        Address::Sqlite(file) => Tx::new(
            Conn::Sqlite(engine::sqlite::open_writer(&file, true)?),
            &Arc::default(),
        ),
        Address::Postgres { mut config, roots } => {
            let tls = engine::tls::Tls::choose(&mut config, roots.as_deref())?;
            engine::postgres::Pool::new(*config, tls, 0, &Arc::default()).connect()?
        }
    };
    // Emptiness is judged before the schema is touched: a wrong address must not even migrate somebody's store.
    refuse_unless_empty(&mut tx)?;
    migrate::bring_up(&mut tx, migrate::Target::Apply(version))?;
    if migrate::version(&mut tx)? != version {
        return Err(StoreError::Backup(format!(
            "it has schema version {version}, the empty store already has a newer one: restore into a fresh database"
        )));
    }
    let epoch = in_transaction(&mut tx, |tx| {
        refuse_unless_empty(tx)?;
        let rows = load(tx, path)?;
        if rows != summary.rows {
            return Err(StoreError::Backup(
                "it changed while it was restored".to_owned(),
            ));
        }
        restart_numbers(tx)?;
        meta::raise_epoch(tx)
    })?;
    migrate::bring_up(&mut tx, migrate::target(true))?;
    let report = in_transaction(&mut tx, |tx| log::check(tx, None))?;
    Ok(Restored {
        summary,
        epoch,
        report,
    })
}

/// Rows came with their numbers, of which PostgreSQL's own counters know nothing.
fn restart_numbers(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.engine() == Engine::Sqlite {
        return Ok(());
    }
    for (table, column) in catalogue::numbered(tx)? {
        engine::bulk::restart_numbers(tx, &table, &column)?;
    }
    Ok(())
}

fn in_transaction<T>(
    tx: &mut Tx,
    work: impl FnOnce(&mut Tx) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    migrate::control(tx, "BEGIN")?;
    let done = work(tx);
    tx.failed = None;
    match done {
        Ok(value) => {
            migrate::control(tx, "COMMIT")?;
            Ok(value)
        }
        Err(error) => {
            // The connection ends with the restore, and an open transaction with it.
            let _ = migrate::control(tx, "ROLLBACK");
            Err(error)
        }
    }
}

fn refuse_unless_empty(tx: &mut Tx) -> Result<(), StoreError> {
    for table in catalogue::tables(tx)? {
        if !engine::bulk::is_empty(tx, &table.name)? {
            return Err(StoreError::Backup(format!(
                "the store is not empty (table {}): restore into a fresh database",
                table.name
            )));
        }
    }
    Ok(())
}

fn dump(tx: &mut Tx, path: &Path) -> Result<Summary, StoreError> {
    let header = Header {
        schema_version: migrate::version(tx)?,
        created_at_ms: chasqui_base::clock::now_ms(),
        engine: match tx.engine() {
            Engine::Sqlite => "sqlite".to_owned(),
            Engine::Postgres => "postgres".to_owned(),
        },
        epoch: meta::epoch(tx)?,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let mut out = FrameWriter::new(create_private(path)?, &header)?;
    let (mut tables, mut rows) = (0, 0);
    for table in catalogue::tables(tx)? {
        out.table(&table.name, &table.columns)?;
        tables += 1;
        engine::bulk::read_table(tx, &table.name, &table.columns, |row| {
            rows += 1;
            out.row(&row)
        })?;
    }
    let (bytes, digest) = out.finish()?;
    Ok(Summary {
        header,
        tables,
        rows,
        bytes,
        digest,
    })
}

fn load(tx: &mut Tx, path: &Path) -> Result<u64, StoreError> {
    let known = catalogue::tables(tx)?;
    let mut reader = FrameReader::new(open(path)?)?;
    let mut rows = 0;
    let mut part = reader.next()?;
    loop {
        part = match part {
            Part::End { .. } => return Ok(rows),
            Part::Row(_) => {
                return Err(StoreError::Backup(
                    "a row stands before any table".to_owned(),
                ));
            }
            Part::Table { name, columns } => {
                let fits = known.iter().any(|table| {
                    table.name == name
                        && table.columns.len() == columns.len()
                        && columns.iter().all(|column| table.columns.contains(column))
                });
                if !fits {
                    return Err(StoreError::Backup(format!(
                        "table {name} is not the one of this schema version"
                    )));
                }
                let mut after = None;
                rows +=
                    engine::bulk::load_table(tx, &name, &columns, &mut || match reader.next()? {
                        Part::Row(row) => Ok(Some(row)),
                        other => {
                            after = Some(other);
                            Ok(None)
                        }
                    })?;
                after.ok_or_else(|| StoreError::Backup(format!("table {name} has no end")))?
            }
        };
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    File::open(path).map_err(|error| read_failed(&error))
}

fn create_private(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path).map_err(|error| write_failed(&error))
}

fn beside(path: &Path) -> Result<PathBuf, StoreError> {
    let name = path
        .file_name()
        .ok_or_else(|| StoreError::Backup(format!("{} names no file", path.display())))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.new", std::process::id()));
    Ok(path.with_file_name(beside))
}
