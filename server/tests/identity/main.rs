//! Identity over the real listeners: people and their sessions, machines and their certificates, and who may call what.
//! The coordinator runs in this process on free ports; what talks to it comes over TCP and TLS like everything else.
//! PostgreSQL takes part when `CHASQUI_TEST_POSTGRES` names a server where databases may be made,
//! and stays out only when it says `skip`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

/// Each test on both engines.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name().await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                crate::rig::on_postgres(super::$name()).await;
            })*
        }
    };
}

mod devices;
mod enrolment;
mod link;
mod people;
mod process;
mod rig;
mod roles;
