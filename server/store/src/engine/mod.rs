//! The two engines. Only here are connections opened and raw SQL handed to a driver; features go through [`Tx`](crate::Tx).

pub(crate) mod bulk;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod tls;
pub(crate) mod writer;

use std::any::Any;

use crate::StoreError;

/// What a panic said, for the error that replaces it.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    tracing::error!(panic = %text, "a store closure panicked");
    StoreError::Panicked(text)
}
