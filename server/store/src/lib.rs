//! The store: SQL on SQLite and PostgreSQL, with one text for both.
//!
//! Callers write [`Store::write`] and [`Store::read`] with synchronous, repeatable closures; SQL exists only through
//! [`sql!`]. The crate knows rows and transactions. It must never know the API (proto), the network, or who may do
//! what; rules come from the domain crate and time comes in as a parameter.

pub mod attempt;
pub mod backup;
mod catalogue;
pub mod device;
pub mod device_list;
pub mod device_match;
pub mod device_search;
pub mod device_term;
mod engine;
pub mod enrolment_token;
mod error;
pub mod event;
pub mod inventory;
pub mod inventory_alarm;
pub mod inventory_source;
pub mod lease;
pub mod log;
pub mod merkle;
pub mod meta;
pub mod migrate;
pub mod order;
pub mod person;
pub mod request;
pub mod session;
pub mod software;
mod statement;
mod store;
mod text;
pub mod ticket;
pub mod trust_document;
mod tx;
mod value;

#[doc(hidden)]
pub use linkme;

pub use error::StoreError;
pub use statement::{STATEMENTS, Statement, registry};
pub use store::{Options, Stats, Store, sqlite_path};
pub(crate) use text::{choice, contains};
pub use tx::{MAX_ROWS, Tx};
pub use value::{FromValue, Row, Value};

/// The two database engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// One file, one coordinator.
    Sqlite,
    /// One server, any number of coordinators.
    Postgres,
}
