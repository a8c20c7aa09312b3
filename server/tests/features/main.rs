//! The features of the coordinator, called as the listeners call them, on both engines: what the rules allow, every
//! refusal by its code, and that a refusal leaves nothing behind. PostgreSQL takes part when `CHASQUI_TEST_POSTGRES`
//! names a server, and stays out only when it says `skip`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[macro_use]
mod world;

#[path = "../../../tests/fuzz/change.rs"]
mod change;

mod decision;
mod device_facts;
mod device_match;
mod device_search;
mod fuzz;
mod glpi;
mod glpi_endpoint;
mod inventory;
mod inventory_history;
mod inventory_lists;
mod inventory_versions;
mod log;
mod order;
mod papers;
mod result;
mod retirement;
mod ticket;
mod trust;
mod watch;
