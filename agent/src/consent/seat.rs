//! Whose session is on the screen of this machine: as logind's session files show it, with what a program needs to show
//! itself there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chasqui_base::fault::system_root;

use crate::action::tool;

const MAX_SESSIONS: usize = 4_096;
const MAX_BYTES: u64 = 64 * 1024;
const MAX_PROCESSES: usize = 100_000;
/// Variables of the session that a program with a window needs.
const WANTED: [&str; 6] = [
    "DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "WAYLAND_DISPLAY",
    "HOME",
    "LANG",
];

/// The session on the seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) uid: u32,
    pub(super) user: String,
    /// True for a desktop, false for a text console.
    pub(super) graphical: bool,
    display: Option<String>,
}

/// The account and environment for a program in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) gid: u32,
    pub(super) env: BTreeMap<String, String>,
}

/// The active session of a person on a seat. None when there is none, or when more than one claims to be it: then nobody is
/// asked for another.
pub(super) fn active(folder: &Path) -> Option<Session> {
    let mut found = None;
    for entry in fs::read_dir(folder).ok()?.take(MAX_SESSIONS).flatten() {
        let path = entry.path();
        // Beside each session may lie a FIFO that logind holds open.
        if !fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        let id = entry.file_name().to_string_lossy().into_owned();
        if let Some(session) = bounded(&path).and_then(|text| read(&id, &text))
            && found.replace(session).is_some()
        {
            return None;
        }
    }
    found
}

fn read(id: &str, text: &str) -> Option<Session> {
    let value = |key: &str| {
        tool::value_of(text, key)
            .map(str::to_owned)
            .filter(|value| !value.is_empty())
    };
    let is = |key: &str, wanted: &str| value(key).as_deref() == Some(wanted);
    let person = value("CLASS").is_some_and(|class| class.starts_with("user"));
    let here = value("SEAT").is_some() && !is("REMOTE", "1");
    if !person || !here || !is("ACTIVE", "1") || is("STATE", "closing") {
        return None;
    }
    Some(Session {
        id: id.to_owned(),
        uid: value("UID")?.parse().ok()?,
        user: value("USER").unwrap_or_default(),
        graphical: is("TYPE", "x11") || is("TYPE", "wayland") || is("TYPE", "mir"),
        display: value("DISPLAY"),
    })
}

impl Session {
    /// True when its screen is locked, as far as the session says.
    pub(super) async fn locked(&self) -> bool {
        let Some(loginctl) = tool::find(&system_root(), &["/usr/bin/loginctl", "/bin/loginctl"])
        else {
            return false;
        };
        let args = ["show-session", "--property=LockedHint", "--", &self.id];
        tool::words(&loginctl, &args)
            .await
            .is_some_and(|text| tool::value_of(&text, "LockedHint") == Some("yes"))
    }

    /// What a program needs to show itself in the session: as some program of the same user already there has it.
    pub(super) fn home(&self) -> Option<Home> {
        let mut best: Option<Home> = None;
        let proc = fs::read_dir("/proc").ok()?;
        for entry in proc.take(MAX_PROCESSES).flatten() {
            let path = entry.path();
            let is_theirs = fs::metadata(&path).is_ok_and(|meta| meta.uid() == self.uid);
            let is_process = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
            if !is_theirs || !is_process {
                continue;
            }
            let Some(env) = bounded(&path.join("environ")).map(|text| environment(&text)) else {
                continue;
            };
            let Some(display) = env.get("DISPLAY") else {
                continue;
            };
            if self
                .display
                .as_ref()
                .is_some_and(|wanted| wanted != display)
            {
                continue;
            }
            let Ok(meta) = fs::metadata(&path) else {
                continue;
            };
            let better = env.contains_key("XAUTHORITY");
            if better || best.is_none() {
                best = Some(Home {
                    gid: meta.gid(),
                    env,
                });
            }
            if better {
                break;
            }
        }
        best.or_else(|| {
            let display = self.display.clone()?;
            Some(Home {
                gid: gid_of(self.uid)?,
                env: [("DISPLAY".to_owned(), display)].into(),
            })
        })
    }
}

fn environment(text: &str) -> BTreeMap<String, String> {
    text.split('\0')
        .filter_map(|variable| variable.split_once('='))
        .filter(|(name, value)| WANTED.contains(name) && value.len() <= 4_096)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The log-in name of an account; its number where it has none.
pub(super) fn name_of(uid: u32) -> String {
    passwd(uid).map_or_else(|| uid.to_string(), |(name, _)| name)
}

fn gid_of(uid: u32) -> Option<u32> {
    passwd(uid).map(|(_, gid)| gid)
}

fn passwd(uid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        let gid: u32 = fields.next()?.parse().ok()?;
        (number == uid).then(|| (name.to_owned(), gid))
    })
}

fn bounded(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .ok()?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DESKTOP: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=mrojas\nACTIVE=1\nIS_DISPLAY=1\nSTATE=active\nREMOTE=0\nTYPE=x11\nCLASS=user\nSEAT=seat0\nTTY=tty2\nDISPLAY=:0\nLEADER=1203\n";

    fn active_of(files: &[(&str, String)]) -> Option<Session> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        active(folder.path())
    }

    #[test]
    fn the_person_on_the_seat_is_found_and_no_other() {
        let desktop = DESKTOP.to_owned();
        let session = active_of(&[("2", desktop.clone())]).unwrap();
        assert_eq!((session.uid, session.user.as_str()), (1000, "mrojas"));
        assert!(session.graphical);
        let wayland = desktop.replace("x11", "wayland");
        assert!(active_of(&[("2", wayland)]).unwrap().graphical);
        let console = desktop.replace("x11", "tty");
        assert!(!active_of(&[("2", console)]).unwrap().graphical);
        for (from, to) in [
            ("CLASS=user", "CLASS=greeter"),
            ("CLASS=user", "CLASS=manager"),
            ("ACTIVE=1", "ACTIVE=0"),
            ("STATE=active", "STATE=closing"),
            ("SEAT=seat0\n", ""),
            ("REMOTE=0", "REMOTE=1"),
            ("UID=1000", "UID=x"),
        ] {
            assert_eq!(active_of(&[("2", desktop.replace(from, to))]), None, "{to}");
        }
    }

    #[test]
    fn two_who_claim_the_seat_are_none() {
        let other = DESKTOP.replace("1000", "1001");
        assert_eq!(active_of(&[("2", DESKTOP.to_owned()), ("3", other)]), None);
    }

    #[test]
    fn only_what_a_window_needs_is_taken_from_an_environment() {
        let env = environment(
            "DISPLAY=:0\0SECRET=x\0XAUTHORITY=/home/m/.Xauthority\0LD_PRELOAD=/tmp/x\0",
        );
        assert_eq!(env.len(), 2);
        assert_eq!(env["DISPLAY"], ":0");
    }
}
