//! What no action may touch, whatever people signed: this agent with its files and keys, and what guards the machine. A
//! signed action could otherwise be used to blind the machine before the next one.

use std::path::{Component, Path, PathBuf};

use crate::policy::Refused;

/// Of this project.
const OWN_UNITS: [&str; 2] = ["chasqui-agent", "chasqui-server"];

/// Guards of the machine and what they and the log-in depend on, by the unit's name without its type.
const GUARDS: [&str; 38] = [
    "apparmor",
    "auditd",
    "auoms",
    "avast",
    "bdsec",
    "cbagentd",
    "cbdaemon",
    "clamav-clamonacc",
    "clamav-daemon",
    "clamav-freshclam",
    "crowdsec",
    "cybereason-sensor",
    "dbus",
    "dbus-broker",
    "ds_agent",
    "eea",
    "efs",
    "elastic-agent",
    "elastic-endpoint",
    "falcon-sensor",
    "fail2ban",
    "firewalld",
    "kesl",
    "mdatp",
    "nessusagent",
    "nftables",
    "osqueryd",
    "ossec",
    "polkit",
    "qualys-cloud-agent",
    "rsyslog",
    "sav-protect",
    "sentinelone",
    "sophos-spl",
    "systemd-journald",
    "systemd-logind",
    "ufw",
    "wazuh-agent",
];

/// Programs that are not ended: the system's own, the session's frame, and the guards'.
const PROGRAMS: [&str; 22] = [
    "systemd",
    "init",
    "dbus-daemon",
    "dbus-broker",
    "polkitd",
    "sshd",
    "agetty",
    "login",
    "gdm",
    "gdm3",
    "sddm",
    "lightdm",
    "Xorg",
    "auditd",
    "clamd",
    "freshclam",
    "falcon-sensor",
    "wdavdaemon",
    "wazuh-agentd",
    "ossec-agentd",
    "osqueryd",
    "sentinelone-agent",
];

/// Packages that are neither removed nor replaced by an action.
const PACKAGES: [&str; 16] = [
    "apparmor",
    "apt",
    "auditd",
    "base-files",
    "bash",
    "clamav-daemon",
    "dnf",
    "dpkg",
    "falcon-sensor",
    "libc6",
    "mdatp",
    "rpm",
    "systemd",
    "sudo",
    "wazuh-agent",
    "glibc",
];

/// Folders of this project outside the state folder.
const OWN_PATHS: [&str; 5] = [
    "/etc/chasqui",
    "/var/lib/chasqui",
    "/var/lib/chasqui-agent",
    "/usr/lib/chasqui",
    "/usr/bin/chasqui-agent",
];

/// True for units out of reach, in any case, with or without type and instance.
pub fn is_unit(name: &str) -> bool {
    let name = name.to_lowercase();
    let bare = name
        .rsplit_once('.')
        .map_or(name.as_str(), |(bare, _)| bare);
    let template = bare.split_once('@').map_or(bare, |(template, _)| template);
    [name.as_str(), bare, template].iter().any(|name| {
        OWN_UNITS.contains(name) || GUARDS.contains(name) || name.starts_with("chasqui")
    })
}

/// True for programs out of reach.
pub fn is_program(name: &str) -> bool {
    PROGRAMS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
        || name.to_lowercase().starts_with("chasqui")
        || name.starts_with("systemd-")
}

/// True for packages out of reach.
pub fn is_package(name: &str) -> bool {
    let name = name.to_lowercase();
    // An architecture may be named after the package.
    let name = name.split_once(':').map_or(name.as_str(), |(name, _)| name);
    PACKAGES.contains(&name) || GUARDS.contains(&name) || name.starts_with("chasqui")
}

/// The refusal that names what is out of reach.
pub fn refuse(what: &str) -> Refused {
    Refused::new(
        "PROTECTED",
        format!("{what} protege este equipo o es parte de Chasqui: ninguna acción lo toca"),
        format!("{what} guards this machine or is part of Chasqui: no action touches it"),
    )
}

/// The first argument of a program that leads to something out of reach.
pub fn find_in_args<'a>(args: &'a [String], own_paths: &[PathBuf]) -> Option<&'a str> {
    args.iter()
        .map(String::as_str)
        .find(|arg| pieces(arg).any(|piece| leads_to_own(piece, own_paths) || is_unit(piece)))
}

/// An argument and its parts: `if=/etc/x`, `a:/etc/x`, `--file=/x,/y`.
fn pieces(arg: &str) -> impl Iterator<Item = &str> {
    std::iter::once(arg).chain(arg.split(['=', ':', ',', ' ']))
}

fn leads_to_own(text: &str, own_paths: &[PathBuf]) -> bool {
    let Some(start) = text.find('/') else {
        return false;
    };
    let Some(path) = text.get(start..) else {
        return false;
    };
    let plain = resolved(Path::new(path));
    // Where it really leads, if it is there: a link must not hide it.
    let real = std::fs::canonicalize(&plain).unwrap_or_else(|_| plain.clone());
    let own = OWN_PATHS
        .iter()
        .map(Path::new)
        .chain(own_paths.iter().map(PathBuf::as_path));
    own.into_iter().any(|own| {
        [&plain, &real]
            .iter()
            // Also a folder that holds it: what is done to the whole is done to it.
            .any(|path| {
                path.starts_with(own) || (own.starts_with(path) && path.components().count() > 1)
            })
    })
}

/// Without `.` and `..`, by words alone.
fn resolved(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn guards_are_known_under_any_spelling() {
        for name in [
            "chasqui-agent",
            "chasqui-agent.service",
            "CHASQUI-AGENT.service",
            "Falcon-Sensor.service",
            "auditd",
            "dbus.socket",
            "chasqui-anything@1.timer",
        ] {
            assert!(is_unit(name), "{name}");
        }
        for name in ["cups.service", "ssh", "NetworkManager.service"] {
            assert!(!is_unit(name), "{name}");
        }
        assert!(
            is_program("Systemd") && is_program("systemd-logind") && is_program("chasqui-agent")
        );
        assert!(!is_program("firefox-esr"));
        assert!(is_package("libc6:amd64") && is_package("chasqui-agent") && is_package("SUDO"));
        assert!(!is_package("libreoffice"));
    }

    #[test]
    fn arguments_that_lead_to_the_agents_own_are_found() {
        let state = tempfile::tempdir().unwrap();
        let own = vec![state.path().to_owned()];
        let inside = state.path().join("identity/key.pem").display().to_string();
        let link = tempfile::tempdir().unwrap();
        let hidden = link.path().join("x");
        std::os::unix::fs::symlink(state.path(), &hidden).unwrap();
        for arg in [
            inside.clone(),
            format!("of={inside}"),
            format!("--output={inside},append"),
            "/etc/chasqui/policy.toml".to_owned(),
            "/usr/../etc/./chasqui/agent.toml".to_owned(),
            "--target=/etc/chasqui".to_owned(),
            "/var/lib".to_owned(),
            hidden.display().to_string(),
            "chasqui-agent.service".to_owned(),
            "--unit=auditd".to_owned(),
        ] {
            let args = [arg.clone()];
            assert!(find_in_args(&args, &own).is_some(), "{arg}");
        }
        for arg in [
            "-v",
            "/tmp/x",
            "of=/tmp/chasqui-marker-1/first",
            "/",
            "cups",
        ] {
            assert!(find_in_args(&[arg.to_owned()], &own).is_none(), "{arg}");
        }
    }
}
