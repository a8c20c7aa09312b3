//! One harness for both engines: every test of the store is written once, as a function of a fresh database, and
//! `both_engines!` makes two tests of it. PostgreSQL is the server that `CHASQUI_TEST_POSTGRES` names (an address of a
//! user who may create databases; `tests/postgres.sh` starts one); without it the PostgreSQL half fails, unless the
//! variable says `skip`.
#![allow(dead_code)]

use std::future::Future;
use std::str::FromStr;

use chasqui_store::event::{self, NewEvent};
use chasqui_store::{Options, Store, StoreError, Tx, params, sql};
use tempfile::TempDir;

#[macro_export]
macro_rules! both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&$crate::common::Db::sqlite());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(db) = $crate::common::Db::postgres() {
                    super::$name(&db);
                }
            })*
        }
    };
}

/// A fresh, empty database that ends with the test.
pub struct Db {
    pub url: String,
    pub folder: TempDir,
    server: Option<(String, String)>,
}

impl Db {
    pub fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("chasqui.db").display());
        Self {
            url,
            folder,
            server: None,
        }
    }

    /// Nothing when PostgreSQL is to be skipped.
    pub fn postgres() -> Option<Self> {
        let server = server_url()?;
        let name = format!("chasqui_{}", chasqui_base::clock::new_id().simple());
        admin(&server)
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        let (start, _) = server.rsplit_once('/').unwrap();
        Some(Self {
            url: format!("{start}/{name}"),
            folder: TempDir::new().unwrap(),
            server: Some((server, name)),
        })
    }

    /// Another fresh database on the same engine.
    pub fn another(&self) -> Self {
        match self.server {
            None => Self::sqlite(),
            Some(_) => Self::postgres().unwrap(),
        }
    }

    pub fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    pub fn open(&self) -> Store {
        Store::open(&self.url, &Options::default()).unwrap()
    }

    /// A connection of the server's administrator, and the name of this database.
    pub fn admin(&self) -> (postgres::Client, &str) {
        let (server, name) = self.server.as_ref().unwrap();
        (admin(server), name)
    }

    /// Runs SQL beside the store, as a person with a database shell would.
    pub fn raw(&self, text: &str) {
        if self.is_postgres() {
            let mut client = admin(&self.url);
            client.batch_execute(text).unwrap();
        } else {
            let path = chasqui_store::sqlite_path(&self.url).unwrap();
            rusqlite::Connection::open(path)
                .unwrap()
                .execute_batch(text)
                .unwrap();
        }
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.server {
            let dropped =
                admin(server).batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
            if let Err(error) = dropped
                && !std::thread::panicking()
            {
                panic!("{error}");
            }
        }
    }
}

/// The server for tests; nothing when PostgreSQL is to be skipped.
pub fn server_url() -> Option<String> {
    match std::env::var("CHASQUI_TEST_POSTGRES") {
        Ok(url) if url == "skip" => None,
        Ok(url) => Some(url),
        Err(_) => panic!(
            "CHASQUI_TEST_POSTGRES is not set: start a server with `tests/postgres.sh start DIR` and set it to the \
             address printed, or set it to skip"
        ),
    }
}

fn admin(url: &str) -> postgres::Client {
    postgres::Config::from_str(url)
        .unwrap()
        .connect(postgres::NoTls)
        .unwrap()
}

/// Runs a future on a fresh runtime, as the server would.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

pub fn id() -> String {
    chasqui_base::clock::new_id().to_string()
}

/// A ticket row with its event, as the smallest real change.
pub fn add_ticket(tx: &mut Tx, id: &str, number: i64, text: &str) -> Result<(), StoreError> {
    tx.execute(
        sql!(
            "INSERT INTO tickets (id, number, year, seq, title, description, state, requester_id, created_at_ms, updated_at_ms)
             VALUES ($1, 'MA-2026-' || CAST($2 AS TEXT), 2026, $3, 't', $4, 'registered', 'person-1', 1000, 1000)"
        ),
        params![id, number.to_string(), number, text],
    )?;
    event::append(
        tx,
        NewEvent {
            subject_kind: "ticket",
            subject_id: id,
            part: None,
            kind: "ticket.created",
            actor: "person-1",
            at_ms: 1000,
            state: Some("registered"),
            data: serde_json::json!({ "number": number }),
            personal: Some(text),
        },
    )?;
    Ok(())
}

pub fn count_tickets(store: &Store) -> i64 {
    store
        .read_blocking(|tx| {
            tx.query_one(sql!("SELECT COUNT(*) FROM tickets"), &[], |row| row.get(0))
        })
        .map_err(|error: StoreError| error)
        .unwrap()
}
