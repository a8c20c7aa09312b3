//! The trust ceremony through the real program, without any network: several machines are several folders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{error, json, run};
use serde_json::Value;

/// A self-signed certificate of the form an authority has; only its digest counts.
const CA_PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), CA_PEM).unwrap();
        fs::write(folder.path().join("phrase"), "correct horse battery\n").unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn config(&self) -> PathBuf {
        self.path("config")
    }

    fn json(&self, words: &[&str]) -> Value {
        json(&self.config(), words)
    }

    fn error(&self, words: &[&str]) -> (i32, Value) {
        error(&self.config(), words)
    }

    /// `trust init` in folder `trust` with more words.
    fn init(&self, more: &[&str]) -> Value {
        let (dir, ca, phrase) = (self.text("trust"), self.text("ca.pem"), self.text("phrase"));
        let words = [
            &[
                "trust",
                "init",
                "--dir",
                &dir,
                "--org",
                "example.org",
                "--agents-url",
                "https://help.example.org:7443",
                "--people-url",
                "https://help.example.org:443",
                "--ca-file",
                &ca,
                "--passphrase-file",
                &phrase,
            ],
            more,
        ]
        .concat();
        self.json(&words)
    }

    fn key(&self, name: &str) -> String {
        let (file, phrase) = (self.text(name), self.text("phrase"));
        self.json(&["key", "new", "--out", &file, "--passphrase-file", &phrase]);
        file
    }

    fn renew(&self) -> Value {
        let (dir, phrase) = (self.text("trust"), self.text("phrase"));
        self.json(&[
            "trust",
            "renew",
            "--dir",
            &dir,
            "--passphrase-file",
            &phrase,
        ])
    }

    fn add_person(&self, id: &str, key: &str, more: &[&str]) -> (i32, String) {
        let dir = self.text("trust");
        let words = [
            &[
                "trust",
                "add",
                "person",
                "--dir",
                &dir,
                "--id",
                id,
                "--name",
                "Luis Mora",
                "--key",
                key,
            ],
            more,
        ]
        .concat();
        let (code, _, err) = run(&self.config(), &words);
        (code, err)
    }

    fn show(&self, name: &str) -> Value {
        let file = self.text(name);
        self.json(&["trust", "show", &file])
    }

    fn sign(&self, file: &Path, keys: &[&str]) -> Value {
        let (file, phrase) = (file.display().to_string(), self.text("phrase"));
        let mut words = vec![
            "trust",
            "sign",
            &file,
            "--passphrase-file",
            &phrase,
            "--yes",
        ];
        for key in keys {
            words.extend(["--key", key]);
        }
        self.json(&words)
    }
}

const PERSON: &str = "01976000-0000-7000-8000-000000000001";

#[test]
fn a_root_of_two_of_three_is_made_renewed_and_shrunk_offline() {
    let place = Place::new();
    let made = place.init(&[
        "--root-keys",
        "3",
        "--root-threshold",
        "2",
        "--publisher-keys",
        "2",
    ]);
    assert_eq!(made["documents"][0]["complete"], true);
    let root = place.show("trust/root.json");
    assert_eq!(
        (&root["verified"], &root["version"]),
        (&Value::Bool(true), &Value::from(1))
    );
    assert_eq!(root["content"]["root"]["threshold"], 2);
    assert_eq!(
        root["content"]["root"]["key_ids"].as_array().unwrap().len(),
        3
    );
    let digest = root["content"]["coordinators"][0]["ca_sha256"][0]
        .as_str()
        .unwrap();
    assert_eq!(digest.len(), 64);

    // A person, and the catalogue, which two publishers sign for what has risk 3.
    let luis = place.key("luis.pem");
    let (code, err) = place.add_person(
        PERSON,
        &luis,
        &["--max-risk", "2", "--duty", "request,approve"],
    );
    assert_eq!(code, 0, "{err}");
    let definitions = concat!(env!("CARGO_MANIFEST_DIR"), "/../catalogue");
    let dir = place.text("trust");
    let phrase = place.text("phrase");
    let words = ["catalogue", "sign", definitions, "--dir", &dir, "--yes"];
    let signed = place.json(&[&words[..], &["--passphrase-file", &phrase]].concat());
    assert_eq!(signed["documents"][0]["complete"], true, "{signed}");
    assert_eq!(place.renew()["documents"][0]["complete"], true);
    let people = place.show("trust/people.json");
    assert_eq!(
        (&people["verified"], &people["version"]),
        (&Value::Bool(true), &Value::from(1))
    );
    assert_eq!(people["content"]["persons"][0]["keys"][0]["max_risk"], 2);
    assert_eq!(
        place.show("trust/catalogue.json")["content"]["definitions"][0]["id"],
        "disk.clean.temp"
    );

    // A second key for the same person, then the first revoked: one is left, in the next version.
    let second = place.key("luis-2.pem");
    place.add_person(PERSON, &second, &["--max-risk", "3", "--duty", "request"]);
    let id = people["content"]["persons"][0]["keys"][0]["key"].clone();
    let shown = place.json(&["key", "show", "--key", &luis]);
    assert_eq!(
        format!("ed25519:{}", id["public"].as_str().unwrap()),
        shown["public"]
    );
    let short = &shown["key_id"].as_str().unwrap()[..12];
    place.json(&["trust", "revoke", "key", "--dir", &dir, short]);
    place.renew();
    let people = place.show("trust/people.json");
    assert_eq!(people["version"], 2);
    let keys = people["content"]["persons"][0]["keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["max_risk"]), (1, &Value::from(3)));
    // Renewing alone keeps the persons and counts on.
    place.renew();
    assert_eq!(place.show("trust/people.json")["version"], 3);
    place.json(&["trust", "revoke", "person", "--dir", &dir, PERSON]);
    place.renew();
    assert_eq!(
        place.show("trust/people.json")["content"]["persons"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn a_root_gathers_its_signatures_on_several_machines() {
    let place = Place::new();
    let keys: Vec<String> = (1..=3)
        .map(|n| place.key(&format!("holder-{n}.pem")))
        .collect();
    let public: Vec<String> = keys.iter().map(|k| k.replace(".pem", ".pub")).collect();
    let mut words = vec!["--root-threshold", "2"];
    for key in &public {
        words.extend(["--root-key", key]);
    }
    let made = place.init(&words);
    assert_eq!(made["documents"][0]["complete"], false);
    let draft = place.path("trust/root.draft.json");
    assert!(draft.exists() && !place.path("trust/root.json").exists());

    // Two copies travel; each holder signs one alone.
    for n in 1..=2 {
        fs::create_dir(place.path(&format!("usb-{n}"))).unwrap();
        fs::copy(&draft, place.path(&format!("usb-{n}/root.draft.json"))).unwrap();
    }
    let one = place.path("usb-1/root.draft.json");
    let two = place.path("usb-2/root.draft.json");
    assert_eq!(
        place.sign(&one, &[&keys[0]])["documents"][0]["complete"],
        false
    );
    // The same holder twice is one signature.
    assert_eq!(
        place.sign(&one, &[&keys[0]])["documents"][0]["signatures"],
        1
    );
    assert_eq!(
        place.sign(&two, &[&keys[2]])["documents"][0]["complete"],
        false
    );

    let (draft, one, two) = (
        draft.display().to_string(),
        one.display().to_string(),
        two.display().to_string(),
    );
    let merged = place.json(&["trust", "sign", &draft, "--merge", &one, "--merge", &two]);
    assert_eq!(merged["documents"][0]["complete"], true);
    let root = place.show("trust/root.json");
    assert_eq!(root["signed_by"].as_array().unwrap().len(), 2);
    assert!(!Path::new(&draft).exists());
}

#[test]
fn a_copy_of_another_draft_is_not_merged() {
    let (a, b) = (Place::new(), Place::new());
    for place in [&a, &b] {
        place.init(&["--root-keys", "2", "--draft"]);
    }
    let draft = a.text("trust/root.draft.json");
    let other = b.text("trust/root.draft.json");
    let (code, error) = a.error(&["trust", "sign", &draft, "--merge", &other]);
    assert_eq!((code, error["code"].as_str()), (7, Some("DRAFT_DIFFERS")));
}

#[test]
fn a_new_root_needs_the_old_threshold_and_its_own() {
    let place = Place::new();
    place.init(&["--root-keys", "3", "--root-threshold", "2"]);
    let dir = place.text("trust");
    let fourth = place.key("fourth.pem");
    let fifth = place.key("fifth.pem");
    // Two keys leave, two come, three must sign from now on. A role is never left with too few keys on the way.
    let roots = place.show("trust/root.json")["content"]["root"]["key_ids"].clone();
    let revoke = |n: usize| {
        let id = roots[n].as_str().unwrap();
        ["trust", "revoke", "key", "--dir", &dir, id]
    };
    place.json(&revoke(1));
    let (code, error) = place.error(&revoke(2));
    assert_eq!((code, error["code"].as_str()), (7, Some("PAPER_INVALID")));
    assert!(error["hint"].as_str().unwrap().contains("trust add"));
    place.json(&["trust", "add", "root-key", "--dir", &dir, "--key", &fourth]);
    place.json(&revoke(2));
    place.json(&[
        "trust",
        "add",
        "root-key",
        "--dir",
        &dir,
        "--key",
        &fifth,
        "--threshold",
        "3",
    ]);
    let draft = place.path("trust/root.draft.json");
    let k = |n: u32| place.text(&format!("trust/keys/root-{n}.pem"));
    // Its own three keys are not enough while only one key of the old root signed.
    let standing = place.sign(&draft, &[&k(1), &fourth, &fifth]);
    assert_eq!(standing["documents"][0]["complete"], false, "{standing}");
    let standing = place.sign(&draft, &[&k(2)]);
    assert_eq!(standing["documents"][0]["complete"], true, "{standing}");
    let root = place.show("trust/root.json");
    assert_eq!(
        (&root["version"], &root["content"]["root"]["threshold"]),
        (&Value::from(2), &Value::from(3))
    );
    assert!(place.path("trust/roots/1.json").exists() && place.path("trust/roots/2.json").exists());

    // A machine that pinned the first root follows to the second, and to no stranger's.
    let first = place.text("trust/roots/1.json");
    place.json(&["trust", "pin", &first, "--yes"]);
    let second = place.text("trust/roots/2.json");
    assert_eq!(
        place.json(&["trust", "pin", &second, "--yes"])["version"],
        2
    );
    let stranger = Place::new();
    stranger.init(&["--root-keys", "1", "--root-threshold", "1"]);
    let strange = stranger.text("trust/root.json");
    assert_eq!(place.error(&["trust", "pin", &strange, "--yes"]).0, 7);
    assert_eq!(place.error(&["trust", "pin", &first, "--yes"]).0, 7);
}

#[test]
fn a_root_one_key_can_change_says_so() {
    let place = Place::new();
    place.init(&["--root-keys", "1", "--root-threshold", "1"]);
    let file = place.text("trust/root.json");
    let (_, out, _) = run(&place.config(), &["trust", "show", &file]);
    assert!(out.contains("one key alone can change the root"), "{out}");
    let (_, out, _) = run(&place.config(), &["--lang", "es", "trust", "show", &file]);
    assert!(
        out.contains("una sola clave puede cambiar la raíz"),
        "{out}"
    );
}

#[test]
fn a_browser_key_above_risk_1_is_not_written_down() {
    let place = Place::new();
    place.init(&["--root-keys", "1", "--root-threshold", "1"]);
    let key = place.key("web.pem");
    let more = [
        "--custody",
        "browser",
        "--max-risk",
        "2",
        "--duty",
        "request",
    ];
    let (code, err) = place.add_person(PERSON, &key, &more);
    assert_eq!(code, 7, "{err}");
    assert!(!place.path("trust/people.draft.json").exists());
}

#[test]
fn with_two_administrators_renewing_leaves_a_draft_for_the_other() {
    let place = Place::new();
    place.init(&[
        "--root-keys",
        "1",
        "--root-threshold",
        "1",
        "--admin-keys",
        "2",
        "--admin-threshold",
        "2",
    ]);
    let (dir, phrase) = (place.text("trust"), place.text("phrase"));
    let (one, two) = (
        place.text("trust/keys/admin-1.pem"),
        place.text("trust/keys/admin-2.pem"),
    );
    let words = [
        "trust",
        "renew",
        "--dir",
        &dir,
        "--admin-key",
        &one,
        "--passphrase-file",
        &phrase,
    ];
    let renewed = place.json(&words);
    assert_eq!(renewed["documents"][0]["complete"], false);
    let standing = place.sign(&place.path("trust/people.draft.json"), &[&two]);
    assert_eq!(standing["documents"][0]["complete"], true);
}

#[test]
fn a_wrong_passphrase_signs_nothing() {
    let place = Place::new();
    place.init(&["--root-keys", "1", "--root-threshold", "1"]);
    fs::write(place.path("wrong"), "other\n").unwrap();
    let (dir, wrong) = (place.text("trust"), place.text("wrong"));
    let (code, error) =
        place.error(&["trust", "renew", "--dir", &dir, "--passphrase-file", &wrong]);
    assert_eq!(
        (code, error["code"].as_str()),
        (7, Some("KEY_PASSPHRASE_WRONG"))
    );
    assert!(!place.path("trust/people.json").exists());
}

#[test]
fn without_a_terminal_nothing_is_signed_unasked() {
    let place = Place::new();
    place.init(&["--root-keys", "1", "--root-threshold", "1", "--draft"]);
    let (draft, phrase) = (place.text("trust/root.draft.json"), place.text("phrase"));
    let key = place.text("trust/keys/root-1.pem");
    let words = [
        "trust",
        "sign",
        &draft,
        "--key",
        &key,
        "--passphrase-file",
        &phrase,
    ];
    let (code, error) = place.error(&words);
    assert_eq!(
        (code, error["code"].as_str()),
        (3, Some("CONFIRMATION_NEEDED"))
    );
}
