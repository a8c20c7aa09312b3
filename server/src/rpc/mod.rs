//! The services of the API, one file a feature: decode, decide by the rules of `chasqui-domain`, store, encode. Who may
//! call at all was decided before ([`crate::auth`]); SQL is the store's.

pub mod check;
pub mod inventory;
pub mod keyset;
pub mod order;
pub mod page;
pub mod ticket;
pub mod trust;
pub mod wire;

pub use check::request_key;
pub use page::{Page, page};
