//! Generates the API's Rust code from `chasqui/v1/*.proto` with a compiler written in Rust, so that nobody has to
//! install protoc, and keeps the descriptor set for the tests that enumerate it.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

/// The facts of an inventory and what they refer to.
const FACTS: [&str; 2] = ["chasqui/v1/common.proto", "chasqui/v1/inventory.proto"];

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
    let mut bare = descriptors.clone();
    // Comments are for the generated code; programs need not carry them twice.
    bare.file
        .iter_mut()
        .for_each(|file| file.source_code_info = None);
    fs::write(out.join("chasqui.v1.bin"), bare.encode_to_vec())?;
    // What an agent reads its own facts with: every short-lived process that shows them pays for what stands here.
    bare.file.retain(|file| FACTS.contains(&file.name()));
    fs::write(out.join("facts.bin"), bare.encode_to_vec())?;
    tonic_prost_build::configure()
        // Clients are made from channels; the generated `connect` would clash with the RPC of that name.
        .build_transport(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
