//! SQLite: opening, running statements, and what its errors mean.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use crate::software::Bases;
use crate::tx::{Conn, Failure, Trouble, Tx};
use crate::{Engine, Statement, StoreError, Value};

/// How long another process (a backup, a second server) may hold the file before we give up.
const BUSY: Duration = Duration::from_secs(10);

/// Pages in the log before it is folded back: fewer, larger folds write scattered rows half again as fast.
const CHECKPOINT_PAGES: i64 = 20_000;

/// Reader connections. None of them ever waits for the writer: WAL gives each its own snapshot.
pub(crate) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Tx>>,
    keep: usize,
    bases: Arc<Bases>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, keep: usize, bases: &Arc<Bases>) -> Self {
        Self {
            path,
            idle: Mutex::new(Vec::new()),
            keep,
            bases: Arc::clone(bases),
        }
    }

    /// Runs one closure in its own snapshot.
    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        work: &dyn Fn(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = lock(&self.idle).pop();
        let mut tx = match idle {
            Some(tx) => tx,
            None => Tx::new(Conn::Sqlite(open_reader(&self.path)?), &self.bases),
        };
        control(&tx, "BEGIN DEFERRED").map_err(E::from)?;
        tx.failed = None;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut tx)));
        // Nothing was written; a failed rollback costs this connection and nothing else.
        if control(&tx, "ROLLBACK").is_ok() {
            let mut idle = lock(&self.idle);
            if idle.len() < self.keep {
                idle.push(tx);
            }
        }
        match outcome {
            Ok(outcome) => outcome,
            Err(panic) => Err(E::from(super::panic_text(panic.as_ref()))),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // The guarded lists are whole between any two operations, so a panic elsewhere leaves them usable.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Opens the writer's connection, making the file (0600: it holds personal data) when `create` is set.
pub(crate) fn open_writer(path: &Path, create: bool) -> Result<Connection, StoreError> {
    if !path.exists() {
        if !create {
            return Err(StoreError::Config(format!(
                "there is no database {}: check the path, or start the server once to make it",
                path.display()
            )));
        }
        make_private(path)?;
    }
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let pragmas = format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -32000;
         PRAGMA temp_store = MEMORY;"
    );
    conn.execute_batch(&pragmas)
        .map_err(|error| opening(path, &error))?;
    Ok(conn)
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    // Read-write, because a reader of a WAL database takes part in its shared memory; query_only keeps it from writing.
    let conn = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8000;")
        .map_err(|error| opening(path, &error))?;
    Ok(conn)
}

fn open(path: &Path, mode: OpenFlags) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| opening(path, &error))?;
    conn.busy_timeout(BUSY)
        .map_err(|error| opening(path, &error))?;
    conn.set_prepared_statement_cache_capacity(512);
    Ok(conn)
}

fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Config(format!(
            "cannot create the database {}: {error}; make the folder and let the server's user write there",
            path.display()
        ))),
    }
}

fn opening(path: &Path, error: &rusqlite::Error) -> StoreError {
    match failure(error, None).error {
        StoreError::Corrupt(detail) => StoreError::Corrupt(format!("{}: {detail}", path.display())),
        StoreError::Full(detail) => StoreError::Full(format!("{}: {detail}", path.display())),
        other => StoreError::Unavailable(format!("{}: {other}", path.display())),
    }
}

/// BEGIN, COMMIT, SAVEPOINT and their like: no parameters, no rows.
pub(crate) fn control(tx: &Tx, text: &'static str) -> Result<(), StoreError> {
    let Conn::Sqlite(conn) = &tx.conn else {
        return Err(StoreError::Closed);
    };
    conn.prepare_cached(text)
        .and_then(|mut prepared| prepared.raw_execute())
        .map(|_| ())
        .map_err(|error| failure(&error, None).error)
}

/// Whether the engine itself gave the transaction up (disk full, I/O error).
pub(crate) fn transaction_lost(tx: &Tx) -> bool {
    match &tx.conn {
        Conn::Sqlite(conn) => conn.is_autocommit(),
        Conn::Postgres(_) => true,
    }
}

pub(crate) fn execute(
    conn: &Connection,
    statement: &'static Statement,
    params: &[Value],
) -> Result<u64, Trouble> {
    let mut prepared = prepare(conn, statement, params)?;
    if prepared.column_count() > 0 {
        // RETURNING: run to the end as PostgreSQL does, the rows are not wanted.
        let mut rows = prepared.raw_query();
        let mut count = 0;
        while rows
            .next()
            .map_err(|error| failure(&error, Some(statement)))?
            .is_some()
        {
            count += 1;
        }
        return Ok(count);
    }
    let rows = prepared
        .raw_execute()
        .map_err(|error| failure(&error, Some(statement)))?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}

pub(crate) fn each(
    conn: &Connection,
    statement: &'static Statement,
    params: &[Value],
    mut visit: impl FnMut(&rusqlite::Row<'_>) -> Result<(), StoreError>,
) -> Result<(), Trouble> {
    let mut prepared = prepare(conn, statement, params)?;
    let mut rows = prepared.raw_query();
    while let Some(row) = rows
        .next()
        .map_err(|error| failure(&error, Some(statement)))?
    {
        visit(row).map_err(Trouble::Visit)?;
    }
    Ok(())
}

fn prepare<'a>(
    conn: &'a Connection,
    statement: &'static Statement,
    params: &[Value],
) -> Result<rusqlite::CachedStatement<'a>, Failure> {
    let mut prepared = conn
        .prepare_cached(statement.text(Engine::Sqlite))
        .map_err(|error| failure(&error, Some(statement)))?;
    if prepared.parameter_count() != params.len() {
        return Err(wrong_count(
            statement,
            prepared.parameter_count(),
            params.len(),
        ));
    }
    bind(&mut prepared, params).map_err(|error| failure(&error, Some(statement)))?;
    Ok(prepared)
}

pub(crate) fn wrong_count(statement: &Statement, wants: usize, got: usize) -> Failure {
    Failure {
        error: StoreError::Statement {
            statement: statement.full_name(),
            detail: format!("wants {wants} parameters, got {got}"),
        },
        retry: false,
    }
}

pub(crate) fn bind(
    prepared: &mut rusqlite::Statement<'_>,
    params: &[Value],
) -> rusqlite::Result<()> {
    for (index, value) in params.iter().enumerate() {
        let number = index + 1;
        match value {
            Value::Null => prepared.raw_bind_parameter(number, rusqlite::types::Null)?,
            Value::Int(int) => prepared.raw_bind_parameter(number, int)?,
            Value::Real(real) => prepared.raw_bind_parameter(number, real)?,
            Value::Text(text) => prepared.raw_bind_parameter(number, text)?,
            Value::Blob(bytes) => prepared.raw_bind_parameter(number, bytes)?,
        }
    }
    Ok(())
}

/// Prepares a statement without running it, for the test over the registry.
pub(crate) fn check(conn: &Connection, statement: &'static Statement) -> Result<usize, StoreError> {
    conn.prepare(statement.text(Engine::Sqlite))
        .map(|prepared| prepared.parameter_count())
        .map_err(|error| failure(&error, Some(statement)).error)
}

/// Reads one column; the error is text that says why it cannot be read.
pub(crate) fn column(row: &rusqlite::Row<'_>, index: usize) -> Result<Value, String> {
    match row.get_ref(index).map_err(|error| error.to_string())? {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(int) => Ok(Value::Int(int)),
        ValueRef::Real(real) => Ok(Value::Real(real)),
        ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec())
            .map(Value::Text)
            .map_err(|_| "text that is not UTF-8".to_owned()),
        ValueRef::Blob(bytes) => Ok(Value::Blob(bytes.to_vec())),
    }
}

/// What an error of SQLite means. None of them is cured by repeating the closure: the writer is alone.
pub(crate) fn failure(error: &rusqlite::Error, statement: Option<&Statement>) -> Failure {
    Failure {
        error: translate(error, statement),
        retry: false,
    }
}

fn translate(error: &rusqlite::Error, statement: Option<&Statement>) -> StoreError {
    let name = || statement.map_or_else(|| "of the engine".to_owned(), Statement::full_name);
    let rusqlite::Error::SqliteFailure(code, text) = error else {
        return StoreError::Statement {
            statement: name(),
            detail: error.to_string(),
        };
    };
    let detail = text.clone().unwrap_or_else(|| code.to_string());
    match code.code {
        ErrorCode::DiskFull => StoreError::Full(detail),
        // A limit on file size (EFBIG) or a quota comes as a failed write, not as "full".
        ErrorCode::SystemIoFailure
            if matches!(
                code.extended_code,
                ffi::SQLITE_IOERR_WRITE
                    | ffi::SQLITE_IOERR_FSYNC
                    | ffi::SQLITE_IOERR_TRUNCATE
                    | ffi::SQLITE_IOERR_SHMSIZE
            ) =>
        {
            StoreError::Full(detail)
        }
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed => StoreError::Unavailable(detail),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Unavailable(format!("another process holds the file: {detail}"))
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(detail),
        ErrorCode::ConstraintViolation => match code.extended_code {
            ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_ROWID => StoreError::Duplicate(detail),
            _ => StoreError::Constraint(detail),
        },
        _ => StoreError::Statement {
            statement: name(),
            detail,
        },
    }
}
