//! The schema's history: numbered files per engine, applied in order, each with a checksum. A schema newer than the
//! program is refused, and so is an applied migration whose text has changed since.

use sha2::{Digest, Sha256};

use crate::tx::{Conn, Tx};
use crate::{Engine, StoreError, params};

/// One step of the schema. The same number and name on both engines.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
        }
    };
}

/// In order. To change the schema add a file per engine and a line here; never edit a file that was released.
const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_foundation"),
    migration!(2, "0002_device_terms"),
    migration!(3, "0003_software_lists"),
    migration!(4, "0004_device_search"),
    migration!(5, "0005_device_administration"),
    migration!(6, "0006_third_party_devices"),
];

impl Migration {
    fn text(&self, engine: Engine) -> &'static str {
        match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        }
    }

    fn checksum(&self, engine: Engine) -> String {
        hex::encode(Sha256::digest(self.text(engine).as_bytes()))
    }
}

/// Newest schema version this program knows.
pub fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// How far `bring_up` goes.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// Apply what is missing, up to this version.
    Apply(i64),
    /// Apply nothing; the schema must be this program's.
    Exactly,
}

pub(crate) fn target(apply: bool) -> Target {
    if apply {
        Target::Apply(newest())
    } else {
        Target::Exactly
    }
}

/// Checks what was applied and applies what is missing. Every migration is a transaction of its own.
pub(crate) fn bring_up(tx: &mut Tx, target: Target) -> Result<(), StoreError> {
    loop {
        if applied_step(tx, target)? {
            return Ok(());
        }
    }
}

/// One locked look: true when nothing is left to do, false after one migration was applied.
fn applied_step(tx: &mut Tx, target: Target) -> Result<bool, StoreError> {
    begin(tx, matches!(target, Target::Apply(_)))?;
    let step = locked_step(tx, target);
    let ended = match &step {
        Ok(_) => control(tx, "COMMIT"),
        Err(_) => control(tx, "ROLLBACK"),
    };
    tx.failed = None;
    let done = step?;
    ended?;
    Ok(done)
}

fn locked_step(tx: &mut Tx, target: Target) -> Result<bool, StoreError> {
    let applied = applied(tx)?;
    for (version, name, checksum) in &applied {
        let known = MIGRATIONS
            .iter()
            .find(|migration| migration.version == *version);
        match known {
            None => {
                let found = applied.last().map_or(*version, |last| last.0);
                return Err(StoreError::TooNew {
                    found,
                    known: newest(),
                });
            }
            Some(known) if known.checksum(tx.engine()) != *checksum => {
                return Err(StoreError::Migration {
                    version: *version,
                    name: name.clone(),
                    detail: "the text applied to this database is not the text in this program: run the program that made the database, or restore a backup".to_owned(),
                });
            }
            Some(_) => {}
        }
    }
    let reached = applied.last().map_or(0, |last| last.0);
    let wanted = match target {
        Target::Apply(wanted) => wanted,
        Target::Exactly => newest(),
    };
    let Some(next) = MIGRATIONS
        .iter()
        .find(|migration| migration.version > reached && migration.version <= wanted)
    else {
        return Ok(true);
    };
    if matches!(target, Target::Exactly) {
        return Err(StoreError::Migration {
            version: next.version,
            name: next.name.to_owned(),
            detail: "not applied to this database yet: start the server once, it applies what is missing".to_owned(),
        });
    }
    batch(tx, next.text(tx.engine())).map_err(|error| match error {
        StoreError::Statement { detail, .. } => StoreError::Migration {
            version: next.version,
            name: next.name.to_owned(),
            detail,
        },
        other => other,
    })?;
    let checksum = next.checksum(tx.engine());
    tx.execute(
        crate::sql!(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at_ms) VALUES ($1, $2, $3, $4)"
        ),
        params![next.version, next.name, checksum, chasqui_base::clock::now_ms()],
    )?;
    tracing::info!(version = next.version, name = next.name, "schema migrated");
    Ok(false)
}

/// Applied migrations in order; none when the table is not there yet.
fn applied(tx: &mut Tx) -> Result<Vec<(i64, String, String)>, StoreError> {
    if !crate::catalogue::has_table(tx, "schema_migrations")? {
        return Ok(Vec::new());
    }
    tx.query(
        crate::sql!("SELECT version, name, checksum FROM schema_migrations ORDER BY version"),
        &[],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )
}

/// The schema version of an open database.
pub(crate) fn version(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(applied(tx)?.last().map_or(0, |last| last.0))
}

fn begin(tx: &mut Tx, lock: bool) -> Result<(), StoreError> {
    match tx.engine() {
        Engine::Sqlite if lock => {
            control(tx, "BEGIN IMMEDIATE")?;
            batch(tx, HISTORY_SQLITE)
        }
        Engine::Sqlite => control(tx, "BEGIN"),
        Engine::Postgres => {
            control(tx, "BEGIN")?;
            if lock {
                // One replica migrates, the others wait here and then find nothing left to do.
                batch(tx, "SELECT pg_advisory_xact_lock(7161772269)")?;
                batch(tx, HISTORY_POSTGRES)?;
            }
            Ok(())
        }
    }
}

const HISTORY_SQLITE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL
) STRICT";

const HISTORY_POSTGRES: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms BIGINT NOT NULL
)";

pub(crate) fn control(tx: &mut Tx, text: &'static str) -> Result<(), StoreError> {
    match tx.engine() {
        Engine::Sqlite => crate::engine::sqlite::control(tx, text),
        Engine::Postgres => {
            crate::engine::postgres::control(tx, text).map_err(|failure| failure.error)
        }
    }
}

/// Runs DDL: several statements, no parameters.
pub(crate) fn batch(tx: &mut Tx, text: &str) -> Result<(), StoreError> {
    match &mut tx.conn {
        Conn::Sqlite(conn) => conn
            .execute_batch(text)
            .map_err(|error| crate::engine::sqlite::failure(&error, None).error),
        Conn::Postgres(conn) => conn
            .client
            .batch_execute(text)
            .map_err(|error| crate::engine::postgres::failure(&error, None).error),
    }
}
