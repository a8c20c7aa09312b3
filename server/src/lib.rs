//! The coordinator: two listeners, the services behind them, and what happens by time. The binary is thin; everything
//! that tests want to start in their own process is here.
//!
//! The way of a request: [`serve`] accepts it, [`auth`] says whose it is and whether the role table lets it in,
//! [`rpc`] decodes and decides by the rules of `chasqui-domain`, `chasqui-store` makes it durable, [`fleet`] carries
//! what a machine should hear of it, and [`error`] gives every failure its one form.

pub mod auth;
pub mod backup;
pub mod ca;
pub mod check;
pub mod config;
pub mod context;
pub mod error;
pub mod fleet;
#[doc(hidden)]
pub mod fuzz;
pub mod glpi;
pub mod init;
pub mod jobs;
pub mod rpc;
pub mod serve;
pub mod telemetry;
pub mod tls;
pub mod web;

/// The program's version, `1.2.3`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
