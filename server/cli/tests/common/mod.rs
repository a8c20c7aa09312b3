//! Runs the real program in folders of its own.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The program with settings in `config`, no language and no settings from outside.
pub fn chasqui(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chasqui"));
    for name in [
        "CHASQUI_SERVER",
        "CHASQUI_CA",
        "CHASQUI_LANG",
        "CHASQUI_KEY",
        "CHASQUI_ROOT",
        "CHASQUI_PASSPHRASE_FILE",
        "XDG_RUNTIME_DIR",
        "LC_ALL",
        "LC_MESSAGES",
        "TZ",
        "COLUMNS",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command
        .env("LANG", "en_US.UTF-8")
        .env("CHASQUI_CONFIG_DIR", config)
        .stdin(std::process::Stdio::null());
    command
}

/// Runs with these words; gives back exit code, standard output and standard error.
pub fn run(config: &Path, words: &[&str]) -> (i32, String, String) {
    read(chasqui(config).args(words).output().unwrap())
}

pub fn read(output: Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Runs with `--json`, insists on success, and reads the one value.
pub fn json(config: &Path, words: &[&str]) -> Value {
    let (code, out, err) = run(config, &[words, &["--json"]].concat());
    assert_eq!(code, 0, "{words:?}\n{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
}

/// The error object of a run with `--json` that fails.
pub fn error(config: &Path, words: &[&str]) -> (i32, Value) {
    let (code, out, err) = run(config, &[words, &["--json"]].concat());
    assert_ne!(code, 0, "{words:?} succeeded: {out}");
    let last = err.lines().last().unwrap_or_default();
    let value: Value = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {err}"));
    assert_eq!(value["error"]["exit"], code);
    (code, value["error"].clone())
}
