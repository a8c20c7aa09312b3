//! What the programs of Chasqui share besides the wire: the clock and fresh ids, durable files, named crash points
//! for tests, the language of a text. It knows nothing of the API, of trust or of any feature.

pub mod clock;
pub mod durable;
pub mod fault;
pub mod item_list;
pub mod text;

#[doc(hidden)]
pub use linkme;
