//! The installer below a folder of the test's own: what it puts where, what it refuses before it writes anything, and that
//! running it again leaves configuration and keys as they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use chasqui_tests::programs;

fn install(prefix: &Path, arguments: &[&str]) -> Output {
    let programs = programs::path("chasqui-server").unwrap();
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../installer/install.sh"))
        .args(arguments)
        .arg("--prefix")
        .arg(prefix)
        .arg("--bin")
        .arg(programs.parent().unwrap())
        .output()
        .unwrap()
}

fn show(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_agent_is_installed_upgraded_and_removed_without_touching_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("machine");
    let (root, token) = (folder.path().join("root.json"), folder.path().join("token"));
    fs::write(&root, "{}").unwrap();
    fs::write(&token, "secret").unwrap();
    let arguments = [
        "agent",
        "--server",
        "https://support.example.org:7443",
        "--root",
        root.to_str().unwrap(),
        "--token",
        token.to_str().unwrap(),
    ];
    let done = install(&prefix, &arguments);
    assert!(done.status.success(), "{}", show(&done));
    let config = prefix.join("etc/chasqui/agent.toml");
    assert_eq!(mode(&config), 0o600);
    assert_eq!(mode(&prefix.join("var/lib/chasqui-agent")), 0o755);
    assert!(prefix.join("usr/bin/chasqui-agent").is_file());
    assert!(prefix.join("usr/lib/chasqui/chasqui-consent").is_file());
    assert!(!show(&done).contains("secret"));

    // The program itself accepts what the installer wrote: it goes on to say that it is not enrolled.
    let status = Command::new(prefix.join("usr/bin/chasqui-agent"))
        .args(["status", "--json", "--config"])
        .arg(&config)
        .env(
            "CHASQUI_AGENT_STATE_DIR",
            prefix.join("var/lib/chasqui-agent"),
        )
        .output()
        .unwrap();
    assert!(!show(&status).contains("CONFIG_"), "{}", show(&status));

    fs::write(&config, "# changed by hand\n").unwrap();
    let key = prefix.join("var/lib/chasqui-agent/device.key");
    fs::write(&key, "key").unwrap();
    let again = install(&prefix, &["agent"]);
    assert!(again.status.success(), "{}", show(&again));
    assert_eq!(fs::read_to_string(&config).unwrap(), "# changed by hand\n");

    let removed = install(&prefix, &["remove", "agent"]);
    assert!(removed.status.success(), "{}", show(&removed));
    assert!(!prefix.join("usr/bin/chasqui-agent").exists());
    assert!(!prefix.join("usr/lib/chasqui/chasqui-consent").exists());
    assert_eq!(fs::read_to_string(&key).unwrap(), "key");
}

#[test]
fn what_is_missing_is_said_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("machine");
    for (arguments, said) in [
        (vec!["agent"], "--server"),
        (
            vec!["agent", "--server", "http://plain.example.org:1"],
            "https://",
        ),
        (
            vec!["agent", "--server", "https://a.example.org:1"],
            "--root",
        ),
        (vec!["printer"], "agent or server"),
    ] {
        let refused = install(&prefix, &arguments);
        assert!(!refused.status.success());
        assert!(show(&refused).contains(said), "{said}: {}", show(&refused));
        assert!(!prefix.exists());
    }
}
