//! What the programs of Chasqui share besides the wire: the clock and fresh ids, durable files, named crash points
//! for tests, the language of a text, and the order of package versions. It knows nothing of the API, of trust or of any feature.

pub mod clock;
pub mod durable;
pub mod fault;
pub mod item_list;
pub mod text;
pub mod version;

#[doc(hidden)]
pub use linkme;
