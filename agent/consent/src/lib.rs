//! The window in which the person at a workstation is told and asked: a program of its own, in their session, with nothing
//! of the agent's rights. One JSON request on the standard input, one JSON answer on the standard output.
//!
//! A yes is a click that began and ended on the button, or a key on the button that holds the focus, which it never does at
//! first; by the person's own devices and not by another program's events; and only when the window has been in sight for
//! [`MIN_SHOWN_MS`].

pub mod layout;
pub mod paint;
pub mod request;
pub mod window;

/// A window that was in sight for less was not read.
pub const MIN_SHOWN_MS: u64 = 700;
