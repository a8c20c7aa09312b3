//! Generates the API's Rust code from `chasqui/v1/*.proto` with a compiler written in Rust, so that nobody has to
//! install protoc, and keeps the descriptor set for the tests that enumerate it.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("chasqui/v1"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "proto"));
    // The folder's own order differs between file systems; the descriptor set must not.
    files.sort();
    println!("cargo:rerun-if-changed=chasqui/v1");

    let descriptors = protox::compile(&files, [&root])?;
    fs::write(out.join("chasqui.v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Clients are made from channels; the generated `connect` would clash with the RPC of that name.
        .build_transport(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
