//! Key files and keys that stay open for a while.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{chasqui, error, json, read};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_key_is_encrypted_private_and_never_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config");
    let phrase = place.path().join("phrase");
    fs::write(&phrase, "correct horse\n").unwrap();
    let phrase = phrase.display().to_string();
    let made = json(&config, &["key", "new", "--passphrase-file", &phrase]);
    let file = config.join("key.pem");
    assert_eq!((mode(&file), mode(&config)), (0o600, 0o700));
    let pem = fs::read_to_string(&file).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(json(&config, &["key", "show"])["key_id"], made["key_id"]);
    let (code, again) = error(&config, &["key", "new", "--passphrase-file", &phrase]);
    assert_eq!((code, again["code"].as_str()), (3, Some("FILE_EXISTS")));
}

#[test]
fn an_open_key_is_private_bounded_in_time_and_locked_away() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config");
    let runtime = place.path().join("run");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    let phrase = place.path().join("phrase");
    fs::write(&phrase, "correct horse\n").unwrap();
    let phrase = phrase.display().to_string();
    json(&config, &["key", "new", "--passphrase-file", &phrase]);
    let with_runtime = |words: &[&str]| {
        let mut command = chasqui(&config);
        read(
            command
                .env("XDG_RUNTIME_DIR", &runtime)
                .args(words)
                .output()
                .unwrap(),
        )
    };

    let (code, _, err) =
        with_runtime(&["key", "unlock", "--passphrase-file", &phrase, "--for", "9h"]);
    assert_eq!(code, 2, "{err}");
    let (code, out, err) = with_runtime(&["key", "unlock", "--passphrase-file", &phrase, "--json"]);
    assert_eq!(code, 0, "{err}");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["max_risk"], 1);
    let folder = runtime.join("chasqui");
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!((mode(&files[0]), mode(&folder)), (0o600, 0o700));
    assert_eq!(with_runtime(&["key", "lock"]).0, 0);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn where_there_is_no_private_place_a_key_does_not_stay_open() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config");
    let phrase = place.path().join("phrase");
    fs::write(&phrase, "correct horse\n").unwrap();
    let phrase = phrase.display().to_string();
    json(&config, &["key", "new", "--passphrase-file", &phrase]);
    let (code, none) = error(&config, &["key", "unlock", "--passphrase-file", &phrase]);
    assert_eq!(
        (code, none["code"].as_str()),
        (3, Some("NO_RUNTIME_FOLDER"))
    );
    // A folder everybody may look into is none.
    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = chasqui(&config);
    let command =
        command
            .env("XDG_RUNTIME_DIR", &open)
            .args(["key", "unlock", "--passphrase-file", &phrase]);
    assert_eq!(read(command.output().unwrap()).0, 3);
}
