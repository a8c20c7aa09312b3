//! Identity over the real listeners: people and their sessions, machines and their certificates, and who may call what.
//! The coordinator runs in this process on free ports; what talks to it comes over TCP and TLS like everything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod devices;
mod enrolment;
mod link;
mod people;
mod process;
mod rig;
mod roles;
