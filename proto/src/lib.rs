//! The API of Chasqui, package `chasqui.v1`: messages, clients and servers generated from `chasqui/v1/*.proto`, and the
//! codes that errors carry. It knows nothing of storage or rules.

pub mod error;
pub mod facts;

/// The package `chasqui.v1`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod v1 {
    tonic::include_proto!("chasqui.v1");
}

/// The encoded `FileDescriptorSet` of the API, without source comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/chasqui.v1.bin"));
