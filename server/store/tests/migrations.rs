//! The schema: applied once and in order, refused when it is newer or other than the program's, the same on both engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::str::FromStr;

use chasqui_store::{Options, Store, StoreError, migrate};
use common::{Db, count_tickets};

both_engines!(
    opening_twice_applies_once,
    a_newer_schema_is_refused_with_both_versions,
    an_applied_migration_whose_text_changed_is_refused,
    a_tool_that_only_looks_does_not_migrate,
    several_coordinators_may_start_at_once,
    a_migration_that_fails_leaves_nothing_behind,
);

fn opening_twice_applies_once(db: &Db) {
    drop(db.open());
    let store = db.open();
    assert_eq!(count_tickets(&store), 0);
    drop(store);
    Store::open(&db.url, &Options::existing()).unwrap();
}

fn a_newer_schema_is_refused_with_both_versions(db: &Db) {
    drop(db.open());
    db.raw("INSERT INTO schema_migrations (version, name, checksum, applied_at_ms) VALUES (9000, '9000_later', 'x', 1)");
    let error = Store::open(&db.url, &Options::default()).err().unwrap();
    assert_eq!(
        error,
        StoreError::TooNew {
            found: 9000,
            known: migrate::newest()
        }
    );
    let text = error.to_string();
    assert!(
        text.contains("9000") && text.contains("run a program at least as new"),
        "{text}"
    );
}

fn an_applied_migration_whose_text_changed_is_refused(db: &Db) {
    drop(db.open());
    db.raw("UPDATE schema_migrations SET checksum = 'ffff' WHERE version = 1");
    let error = Store::open(&db.url, &Options::default()).err().unwrap();
    assert!(
        matches!(error, StoreError::Migration { version: 1, .. }),
        "{error}"
    );
}

fn a_tool_that_only_looks_does_not_migrate(db: &Db) {
    let error = Store::open(&db.url, &Options::existing()).err().unwrap();
    let told = matches!(
        error,
        StoreError::Migration { version: 1, .. } | StoreError::Config(_)
    );
    assert!(told, "{error}");
    // It left the database as it was: a server still makes it from nothing.
    assert_eq!(count_tickets(&db.open()), 0);
}

fn several_coordinators_may_start_at_once(db: &Db) {
    std::thread::scope(|scope| {
        let opened: Vec<_> = (0..4).map(|_| scope.spawn(|| db.open())).collect();
        for store in opened {
            assert_eq!(count_tickets(&store.join().unwrap()), 0);
        }
    });
}

fn a_migration_that_fails_leaves_nothing_behind(db: &Db) {
    // Somebody's table is in the way of ours.
    if db.is_postgres() {
        db.raw("CREATE TABLE tickets (x BIGINT)");
    } else {
        let path = chasqui_store::sqlite_path(&db.url).unwrap();
        rusqlite::Connection::open(path)
            .unwrap()
            .execute_batch("CREATE TABLE tickets (x INTEGER)")
            .unwrap();
    }
    let error = Store::open(&db.url, &Options::default()).err().unwrap();
    assert!(
        matches!(error, StoreError::Migration { version: 1, .. }),
        "{error}"
    );
    db.raw("DROP TABLE tickets");
    assert_eq!(count_tickets(&db.open()), 0);
}

#[test]
fn wrong_addresses_are_told_with_the_remedy() {
    for (url, part) in [
        ("mysql://x", "must begin with sqlite: or postgresql:"),
        ("sqlite:", "wants a file path"),
        ("sqlite::memory:", "wants a file path"),
        (
            "postgresql://u@h:notaport/d",
            "write postgresql://user@host:5432/database",
        ),
        (
            "sqlite:/nowhere/at/all/chasqui.db",
            "/nowhere/at/all/chasqui.db",
        ),
    ] {
        let error = Store::open(url, &Options::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains(part), "{url}: {error}");
    }
    let error = Store::open(
        "postgresql://u:hidden-word@h:notaport/d",
        &Options::default(),
    )
    .err()
    .unwrap();
    assert!(!error.to_string().contains("hidden-word"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("photo.jpg");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let error = Store::open(&format!("sqlite:{}", path.display()), &Options::default())
        .err()
        .unwrap();
    assert!(
        matches!(&error, StoreError::Corrupt(text) if text.contains("photo.jpg")),
        "{error}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), vec![7; 8192]);
}

#[cfg(unix)]
#[test]
fn a_new_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let db = Db::sqlite();
    drop(db.open());
    let path = chasqui_store::sqlite_path(&db.url).unwrap();
    assert_eq!(
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

/// One schema, written twice: the files differ in type names and nothing else.
#[test]
fn both_engines_have_the_same_schema() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let list = |engine: &str| {
        let mut names: Vec<_> = std::fs::read_dir(folder.join(engine))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(list("sqlite"), list("postgres"));
    let newest = usize::try_from(migrate::newest()).unwrap();
    assert_eq!(list("sqlite").len(), newest);

    let Some(db) = Db::postgres() else { return };
    let (lite, post) = (Db::sqlite(), db);
    drop((lite.open(), post.open()));
    let path = chasqui_store::sqlite_path(&lite.url).unwrap();
    let conn = rusqlite::Connection::open(path).unwrap();
    let mut prepared = conn
        .prepare(
            "SELECT t.name, c.name, c.type, c.\"notnull\" FROM pragma_table_list t JOIN pragma_table_info(t.name) c
             WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
        )
        .unwrap();
    let ours: Vec<(String, String, String, bool)> = prepared
        .query_map([], |row| {
            let kind: String = row.get(2)?;
            let kind = match kind.as_str() {
                "INTEGER" => "bigint",
                "TEXT" => "text",
                "BLOB" => "bytea",
                "REAL" => "double precision",
                other => panic!("type {other}"),
            };
            Ok((row.get(0)?, row.get(1)?, kind.to_owned(), row.get(3)?))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut client = ::postgres::Config::from_str(&post.url)
        .unwrap()
        .connect(::postgres::NoTls)
        .unwrap();
    let mut theirs: Vec<(String, String, String, bool)> = client
        .query(
            "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO', collation_name::text
             FROM information_schema.columns WHERE table_schema = current_schema()",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| {
            let (table, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let collation: Option<String> = row.get(4);
            if kind == "text" && table != "schema_migrations" {
                assert_eq!(collation.as_deref(), Some("C"), "{table}.{column} must sort by bytes");
            }
            (table, column, kind, row.get(3))
        })
        .collect();
    theirs.sort();
    assert!(ours.len() > 100);
    assert_eq!(ours, theirs);
}
