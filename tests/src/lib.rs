//! What every suite stands on: a real coordinator on free loopback ports, real agents as processes, simulated agents that
//! speak the real API over mTLS, and a cast of people who sign. Everything ends with the test.

pub mod agent;
pub mod case;
pub mod cast;
pub mod fleet;
pub mod marker;
pub mod office;
pub mod orders;
pub mod peer;
pub mod postgres;
pub mod programs;
pub mod round_trip;
pub mod simulated;

pub use agent::Agent;
pub use cast::Cast;
pub use fleet::{Client, Options, TestFleet};
pub use simulated::Simulated;
