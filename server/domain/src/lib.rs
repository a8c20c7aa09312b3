//! The rules of the help desk: tickets, orders and retirement, as functions of data and `now`.
//!
//! Nothing here reads a clock, a file, a database or the network, and nothing here knows the API's or the store's
//! types: conversions live where the boundary is. Every refusal and every verdict explains itself in both languages.

pub mod calendar;
pub mod device_facts;
pub mod device_import;
pub mod device_match;
pub mod device_search;
pub mod ids;
pub mod inventory_change;
pub mod inventory_swap;
pub mod knowledge;
pub mod order;
pub mod refusal;
pub mod retirement;
pub mod role;
pub mod search;
pub mod text;
pub mod ticket;

/// The order of versions.
pub use chasqui_version as version;
pub use refusal::{Invalid, Refused};
pub use text::Text;
