//! What works without a coordinator: evidence, completions, help, and the demo's refusal of other people's folders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::fs;

use common::{error, json, run};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/trust/vectors");

#[test]
fn published_evidence_is_verified_with_the_root_alone() {
    let config = tempfile::tempdir().unwrap();
    let evidence = format!("{VECTORS}/evidence.json");
    let root = format!("{VECTORS}/root.json");
    let report = json(
        config.path(),
        &["evidence", "verify", &evidence, "--root", &root],
    );
    assert_eq!(report["holds"], true);
    assert_eq!(report["authorised"], true);
    for field in [
        "org",
        "order_id",
        "order_digest",
        "ticket",
        "requester",
        "host_name",
        "outcome",
    ] {
        assert!(report[field].is_string(), "{field}: {report}");
    }
    assert!(report["approvers"].is_array() && report["steps"].as_array().unwrap().len() > 3);
    for (lang, words) in [
        ("en", "the evidence holds"),
        ("es", "la evidencia se sostiene"),
    ] {
        let (code, out, _) = run(
            config.path(),
            &[
                "--lang", lang, "evidence", "verify", &evidence, "--root", &root,
            ],
        );
        assert_eq!(code, 0);
        assert!(out.contains(words), "{out}");
    }
}

#[test]
fn altered_evidence_or_another_root_is_exit_7() {
    let config = tempfile::tempdir().unwrap();
    let root = format!("{VECTORS}/root.json");
    let text = fs::read_to_string(format!("{VECTORS}/evidence.json")).unwrap();
    // One character of the first payload.
    let at = text.find("\"payload\":\"").unwrap() + 40;
    let other = if text.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    let mut altered = text.clone();
    altered.replace_range(at..=at, other);
    let file = config.path().join("altered.json");
    fs::write(&file, altered).unwrap();
    let file = file.display().to_string();
    assert_eq!(
        error(
            config.path(),
            &["evidence", "verify", &file, "--root", &root]
        )
        .0,
        7
    );
    fs::write(&file, b"not evidence").unwrap();
    assert_eq!(
        error(
            config.path(),
            &["evidence", "verify", &file, "--root", &root]
        )
        .0,
        7
    );
}

#[test]
fn without_a_root_nothing_is_believed() {
    let config = tempfile::tempdir().unwrap();
    let evidence = format!("{VECTORS}/evidence.json");
    let (code, error) = error(config.path(), &["evidence", "verify", &evidence]);
    assert_eq!((code, error["code"].as_str()), (4, Some("ROOT_NOT_PINNED")));
}

#[test]
fn completions_know_the_commands() {
    let config = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = run(config.path(), &["completions", shell]);
        assert_eq!(code, 0);
        for word in ["ticket", "order", "evidence", "quarantine", "chasqui"] {
            assert!(out.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn help_is_in_both_languages() {
    let config = tempfile::tempdir().unwrap();
    for lang in ["en", "es"] {
        let (code, out, _) = run(config.path(), &["--lang", lang, "order", "--help"]);
        assert_eq!(code, 0);
        insta::assert_snapshot!(format!("help_order_{lang}"), out);
    }
}

#[cfg(unix)]
#[test]
fn the_demo_leaves_other_peoples_folders_alone() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis.odt"), b"years of work").unwrap();
    let data = place.path().display().to_string();
    let config = tempfile::tempdir().unwrap();
    let (code, error) = error(config.path(), &["demo", "--once", "--data", &data]);
    assert_eq!(
        (code, error["code"].as_str()),
        (3, Some("DEMO_FOLDER_NOT_OURS"))
    );
    assert_eq!(error["details"]["step"], "setup");
    assert_eq!(
        fs::read(place.path().join("thesis.odt")).unwrap(),
        b"years of work"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_confined_child_of_the_demo_sees_its_own_folder_alone() {
    use landlock::{
        ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    };
    let place = tempfile::tempdir().unwrap();
    let (own, ceremony) = (place.path().join("own"), place.path().join("ceremony"));
    for folder in [&own, &ceremony] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("key.pem"), b"words").unwrap();
    }
    let me = std::process::id().to_string();
    let config = place.path().join("config");
    let cat = |folder: &std::path::Path| {
        let (only, file) = (
            own.display().to_string(),
            folder.join("key.pem").display().to_string(),
        );
        run(
            &config,
            &[
                "demo-child",
                "--parent",
                &me,
                "--only",
                &only,
                "--",
                "/bin/cat",
                &file,
            ],
        )
    };
    assert_eq!(cat(&own).1, "words");
    let supported = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok();
    let (code, out, _) = cat(&ceremony);
    // A kernel without Landlock lets it read; the demo then says that the passphrase alone protects the keys.
    assert_eq!((code == 0, out == "words"), (!supported, !supported));
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_whose_demo_is_gone_does_not_start() {
    let config = tempfile::tempdir().unwrap();
    let (code, _, err) = run(
        config.path(),
        &["demo-child", "--parent", "1", "--", "/bin/true"],
    );
    assert_eq!(code, 1);
    assert!(err.contains("DEMO_GONE"), "{err}");
}
