//! What tables and columns a database has, asked of the engine itself: for migrations, backup and restore.

use crate::tx::Tx;
use crate::{StoreError, params, sql_engines};

/// Whether a table is there.
pub(crate) fn has_table(tx: &mut Tx, table: &str) -> Result<bool, StoreError> {
    let found: i64 = tx.query_one(
        sql_engines!(
            sqlite: "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = $1",
            postgres: "SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND CAST(tablename AS TEXT) = $1"
        ),
        params![table],
        |row| row.get(0),
    )?;
    Ok(found > 0)
}

/// A table with the columns that hold data (generated ones do not).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

sql_engines!(
    CATALOGUE_TABLES,
    sqlite: "SELECT name FROM pragma_table_list
             WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    postgres: "SELECT CAST(tablename AS TEXT) FROM pg_catalog.pg_tables
               WHERE schemaname = current_schema() ORDER BY 1"
);
sql_engines!(
    CATALOGUE_COLUMNS,
    sqlite: "SELECT name FROM pragma_table_xinfo($1) WHERE hidden = 0 ORDER BY cid",
    postgres: "SELECT CAST(column_name AS TEXT) FROM information_schema.columns
               WHERE table_schema = current_schema() AND CAST(table_name AS TEXT) = $1 AND is_generated = 'NEVER'
               ORDER BY ordinal_position"
);
sql_engines!(
    CATALOGUE_REFERENCES,
    sqlite: "SELECT DISTINCT t.name, f.\"table\" FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) f
             WHERE t.schema = 'main' AND t.type = 'table' ORDER BY 1, 2",
    postgres: "SELECT DISTINCT CAST(child.relname AS TEXT), CAST(parent.relname AS TEXT) FROM pg_catalog.pg_constraint k
               JOIN pg_catalog.pg_class child ON child.oid = k.conrelid
               JOIN pg_catalog.pg_class parent ON parent.oid = k.confrelid
               JOIN pg_catalog.pg_namespace space ON space.oid = k.connamespace
               WHERE k.contype = 'f' AND space.nspname = current_schema() ORDER BY 1, 2"
);

sql_engines!(
    CATALOGUE_NUMBERED,
    sqlite: "SELECT name, name FROM sqlite_schema WHERE 1 = 0",
    postgres: "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns
               WHERE table_schema = current_schema() AND is_identity = 'YES' ORDER BY 1, 2"
);

/// Columns that the database numbers by a counter of its own: none in SQLite, which looks for the highest.
pub(crate) fn numbered(tx: &mut Tx) -> Result<Vec<(String, String)>, StoreError> {
    tx.query(&CATALOGUE_NUMBERED, &[], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// Every table of the store but its migration history, each after the tables it refers to (one that refers to itself has to
/// be checked at the commit). Virtual tables (full-text
/// search) are made from others and are no data.
///
/// # Errors
/// [`StoreError::Backup`] when tables refer to each other in a ring: such a schema cannot be loaded in any order.
pub(crate) fn tables(tx: &mut Tx) -> Result<Vec<Table>, StoreError> {
    let mut names: Vec<String> = tx.query(&CATALOGUE_TABLES, &[], |row| row.get(0))?;
    names.retain(|name| name != "schema_migrations");
    let references: Vec<(String, String)> = tx.query(&CATALOGUE_REFERENCES, &[], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut ordered: Vec<String> = Vec::new();
    while !names.is_empty() {
        let (ready, waiting): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| {
            references
                .iter()
                .filter(|(child, parent)| child == name && parent != name)
                .all(|(_, parent)| ordered.contains(parent))
        });
        if ready.is_empty() {
            return Err(StoreError::Backup(format!(
                "tables refer to each other in a ring: {}",
                waiting.join(", ")
            )));
        }
        ordered.extend(ready);
        names = waiting;
    }
    ordered
        .into_iter()
        .map(|name| {
            let columns = tx.query(&CATALOGUE_COLUMNS, params![&name], |row| row.get(0))?;
            Ok(Table { name, columns })
        })
        .collect()
}
