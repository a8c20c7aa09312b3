//! One fuzzer for the agent's whole table of parsers: CHASQUI_FUZZ_TARGET names the one to run; without it their names are
//! printed and nothing runs. Files of a machine are written below TMPDIR, one folder for each process.
#![no_main]

use std::sync::OnceLock;

use chasqui_agent::inventory::fuzz::{Bench, targets};
use libfuzzer_sys::fuzz_target;

static BENCH: OnceLock<Bench> = OnceLock::new();

fn choose() -> Bench {
    let wanted = std::env::var("CHASQUI_FUZZ_TARGET").unwrap_or_default();
    let targets = targets();
    let Some(target) = targets.iter().find(|target| target.name == wanted) else {
        for target in targets {
            println!("{}", target.name);
        }
        std::process::exit(i32::from(!wanted.is_empty()))
    };
    let folder = std::env::temp_dir().join(format!("chasqui-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder of one's own");
    target.bench(&folder).expect("a machine to read")
}

fuzz_target!(
    init: {
        BENCH.get_or_init(choose);
    },
    |data: &[u8]| {
        BENCH.get_or_init(choose).run(data).expect("a file that can be written");
    }
);
