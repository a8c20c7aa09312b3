//! The agent of a workstation: it tells the coordinator what the machine is, and does what people signed for exactly this
//! machine, at most once. It dials out and listens on nothing; the coordinator can bring it papers but cannot command it.
//!
//! `main` is a thin shell over this library. Tests and simulated agents use [`identity`], [`tls`] and [`journal`].

pub mod action;
pub mod agent;
pub mod config;
pub mod consent;
pub mod engine;
pub mod enrol;
pub mod failure;
pub mod identity;
pub mod inventory;
pub mod journal;
pub mod link;
pub mod observe;
pub mod outbox;
pub mod output;
pub mod policy;
pub mod proxy;
pub mod run;
pub mod section_base;
pub mod status;
pub mod text;
pub mod tls;
pub mod trust;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever a thread that failed left behind: each value here is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
