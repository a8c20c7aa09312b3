//! A disk's own words on its health: the pages it hands out, how they are asked for, and what they say. The parsers are
//! functions of bytes; only `ask` speaks to a disk or reads a capture.

pub mod ask;
pub mod ata;
pub mod nvme;
pub mod smartctl;
