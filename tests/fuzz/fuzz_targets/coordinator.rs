//! The same for the coordinator's table of readers.
#![no_main]

use std::sync::OnceLock;

use chasqui_server::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&Target> = OnceLock::new();

fn choose() -> &'static Target {
    let wanted = std::env::var("CHASQUI_FUZZ_TARGET").unwrap_or_default();
    TARGETS
        .iter()
        .find(|target| target.name == wanted)
        .unwrap_or_else(|| {
            for target in TARGETS {
                println!("{}", target.name);
            }
            std::process::exit(i32::from(!wanted.is_empty()))
        })
}

fuzz_target!(
    init: {
        TARGET.get_or_init(choose);
    },
    |data: &[u8]| (TARGET.get_or_init(choose).run)(data)
);
