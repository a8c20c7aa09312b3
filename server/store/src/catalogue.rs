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
