//! Whole tables in and out, for backup and restore. The SQL here is built from names that the database's own catalogue
//! gave, so it is not in the registry; nothing else may do so.

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};

use super::{postgres as pg, sqlite};
use crate::tx::{Conn, Tx};
use crate::{StoreError, Value};

/// Hands every row of a table to `visit`.
pub(crate) fn read_table(
    tx: &mut Tx,
    table: &str,
    columns: &[String],
    mut visit: impl FnMut(Vec<Value>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let text = format!("SELECT {} FROM {}", list(columns), quoted(table));
    let damaged = |detail: String| StoreError::Corrupt(format!("table {table}: {detail}"));
    match &mut tx.conn {
        Conn::Sqlite(conn) => {
            let fail = |error: rusqlite::Error| sqlite::failure(&error, None).error;
            let mut prepared = conn.prepare(&text).map_err(fail)?;
            let mut rows = prepared.raw_query();
            while let Some(row) = rows.next().map_err(fail)? {
                let values = (0..columns.len())
                    .map(|index| sqlite::column(row, index))
                    .collect::<Result<_, _>>()
                    .map_err(damaged)?;
                visit(values)?;
            }
        }
        Conn::Postgres(conn) => {
            let fail = |error: postgres::Error| pg::failure(&error, None).error;
            let mut rows = conn
                .client
                .query_raw(&text, std::iter::empty::<&Value>())
                .map_err(fail)?;
            while let Some(row) = rows.next().map_err(fail)? {
                let values = (0..columns.len())
                    .map(|index| pg::column(&row, index))
                    .collect::<Result<_, _>>()
                    .map_err(damaged)?;
                visit(values)?;
            }
        }
    }
    Ok(())
}

/// Inserts the rows that `next` gives until it gives none.
///
/// # Returns
/// Their number.
pub(crate) fn load_table(
    tx: &mut Tx,
    table: &str,
    columns: &[String],
    next: &mut dyn FnMut() -> Result<Option<Vec<Value>>, StoreError>,
) -> Result<u64, StoreError> {
    let mut count = 0;
    match &mut tx.conn {
        Conn::Sqlite(conn) => {
            let fail = |error: rusqlite::Error| sqlite::failure(&error, None).error;
            let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
            let text = format!(
                "INSERT INTO {} ({}) VALUES ({})",
                quoted(table),
                list(columns),
                places.join(", ")
            );
            let mut prepared = conn.prepare(&text).map_err(fail)?;
            while let Some(row) = next()? {
                sqlite::bind(&mut prepared, &row).map_err(fail)?;
                prepared.raw_execute().map_err(fail)?;
                count += 1;
            }
        }
        Conn::Postgres(conn) => {
            let fail = |error: postgres::Error| pg::failure(&error, None).error;
            let shape = format!("SELECT {} FROM {}", list(columns), quoted(table));
            let shape = conn.client.prepare(&shape).map_err(fail)?;
            let types: Vec<Type> = shape
                .columns()
                .iter()
                .map(|column| column.type_().clone())
                .collect();
            let copy = format!(
                "COPY {} ({}) FROM STDIN BINARY",
                quoted(table),
                list(columns)
            );
            let mut writer =
                BinaryCopyInWriter::new(conn.client.copy_in(&copy).map_err(fail)?, &types);
            while let Some(row) = next()? {
                let row: Vec<&(dyn ToSql + Sync)> = row.iter().map(|value| value as _).collect();
                writer.write(&row).map_err(fail)?;
                count += 1;
            }
            writer.finish().map_err(fail)?;
        }
    }
    Ok(count)
}

/// Lets a column's counter go on after the highest number that is there. PostgreSQL alone has such counters.
pub(crate) fn restart_numbers(tx: &mut Tx, table: &str, column: &str) -> Result<(), StoreError> {
    if let Conn::Postgres(conn) = &mut tx.conn {
        let text = format!(
            "SELECT setval(pg_get_serial_sequence($1, $2), (SELECT COALESCE(MAX({}), 0) + 1 FROM {}), false)",
            quoted(column),
            quoted(table)
        );
        conn.client
            .query(&text, &[&quoted(table), &column])
            .map_err(|error| pg::failure(&error, None).error)?;
    }
    Ok(())
}

/// Whether a table holds any row.
pub(crate) fn is_empty(tx: &mut Tx, table: &str) -> Result<bool, StoreError> {
    let text = format!("SELECT 1 FROM {} LIMIT 1", quoted(table));
    match &mut tx.conn {
        Conn::Sqlite(conn) => conn
            .prepare(&text)
            .and_then(|mut prepared| prepared.exists([]))
            .map(|found| !found)
            .map_err(|error| sqlite::failure(&error, None).error),
        Conn::Postgres(conn) => conn
            .client
            .query(&text, &[])
            .map(|rows| rows.is_empty())
            .map_err(|error| pg::failure(&error, None).error),
    }
}

fn list(columns: &[String]) -> String {
    let quoted: Vec<String> = columns.iter().map(|name| quoted(name)).collect();
    quoted.join(", ")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
