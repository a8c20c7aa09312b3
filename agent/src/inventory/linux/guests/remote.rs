//! Programs of remote control, with the id under which others find the machine. Passwords in the same files are not kept.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::super::{ini, packages};

/// A tool with marks in the file system.
struct Known {
    name: &'static str,
    places: &'static [&'static str],
    packages: &'static [&'static str],
    id: fn(&Source) -> Option<Result<String, Unreadable>>,
}

const KNOWN: &[Known] = &[
    Known {
        name: "AnyDesk",
        places: &["/usr/bin/anydesk", "/etc/anydesk/system.conf"],
        packages: &["anydesk"],
        id: anydesk,
    },
    Known {
        name: "RustDesk",
        places: &["/usr/bin/rustdesk", "/usr/share/rustdesk"],
        packages: &["rustdesk"],
        // It is sealed with a key of the machine.
        id: no_id,
    },
    Known {
        name: "TeamViewer",
        places: &["/opt/teamviewer/tv_bin"],
        packages: &["teamviewer", "teamviewer-host"],
        id: teamviewer,
    },
    Known {
        name: "TigerVNC",
        places: &[
            "/usr/bin/tigervncserver",
            "/usr/bin/x0vncserver",
            "/usr/bin/x0tigervncserver",
        ],
        packages: &["tigervnc-standalone-server", "tigervnc-scraping-server"],
        id: no_id,
    },
    Known {
        name: "x11vnc",
        places: &["/usr/bin/x11vnc"],
        packages: &["x11vnc"],
        id: no_id,
    },
    Known {
        name: "GNOME Remote Desktop",
        places: &["/usr/libexec/gnome-remote-desktop-daemon"],
        packages: &["gnome-remote-desktop"],
        id: no_id,
    },
    Known {
        name: "xrdp",
        places: &["/usr/sbin/xrdp"],
        packages: &["xrdp"],
        id: no_id,
    },
    Known {
        name: "Splashtop Streamer",
        places: &["/opt/splashtop-streamer"],
        packages: &["splashtop-streamer"],
        id: no_id,
    },
    Known {
        name: "DWAgent",
        places: &["/usr/share/dwagent"],
        packages: &[],
        id: no_id,
    },
    Known {
        name: "MeshAgent",
        places: &["/usr/local/mesh_services/meshagent"],
        packages: &[],
        id: no_id,
    },
];

/// The tools that are here, sorted by name.
pub fn tools(source: &Source, notes: &mut Notes) -> Vec<v1::RemoteTool> {
    let mut here = Vec::new();
    for known in KNOWN {
        for place in known.places {
            match source.exists(place) {
                Ok(true) => {
                    notes.from(&format!("remote_tools.{}", known.name), place);
                    here.push(known);
                    break;
                }
                Ok(false) => {}
                Err(why) => notes.unread("remote_tools", why),
            }
        }
    }
    if here.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = here
        .iter()
        .flat_map(|known| known.packages)
        .copied()
        .collect();
    let versions = packages::versions(source, &names).unwrap_or_default();
    let mut found: Vec<v1::RemoteTool> = here
        .into_iter()
        .map(|known| v1::RemoteTool {
            name: known.name.to_owned(),
            id: (known.id)(source)
                .and_then(|read| notes.part(&format!("remote_tools.{}.id", known.name), read)),
            version: known
                .packages
                .iter()
                .find_map(|package| versions.get(*package).cloned()),
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn no_id(_: &Source) -> Option<Result<String, Unreadable>> {
    None
}

fn of_file(
    source: &Source,
    path: &str,
    parse: impl Fn(&str) -> Option<String>,
) -> Option<Result<String, Unreadable>> {
    let read = source.text(path, 1 << 18).and_then(|text| {
        parse(&text).ok_or_else(|| Unreadable::no_source(format!("{path}: no id")))
    });
    Some(read)
}

fn anydesk(source: &Source) -> Option<Result<String, Unreadable>> {
    of_file(source, "/etc/anydesk/system.conf", anydesk_id)
}

/// `ad.anynet.id=123456789`.
fn anydesk_id(text: &str) -> Option<String> {
    let id = ini::value(text, "", "ad.anynet.id")?;
    digits(id)
}

fn teamviewer(source: &Source) -> Option<Result<String, Unreadable>> {
    of_file(source, "/etc/teamviewer/global.conf", teamviewer_id)
}

/// `[int32] ClientID = 123456789`: the type stands in the brackets before the name.
fn teamviewer_id(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        let name = key.trim().rsplit(' ').next()?;
        (name == "ClientID").then(|| digits(value.trim()))?
    })
}

fn digits(text: &str) -> Option<String> {
    bounds::some_text(text)
        .filter(|id| id.len() <= 20 && id.bytes().all(|b| b.is_ascii_digit()))
        .filter(|id| id != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_ids() {
        let text = "ad.anynet.pwd_hash=s3\nad.anynet.id=123456789\n";
        assert_eq!(anydesk_id(text).as_deref(), Some("123456789"));
        let text = "[strng] OwningManagerAccountName = \"x\"\n[int32] ClientID = 987654321\n";
        assert_eq!(teamviewer_id(text).as_deref(), Some("987654321"));
        assert_eq!(teamviewer_id("[int32] ClientID = 0\n"), None);
        assert_eq!(anydesk_id("ad.anynet.id=x\n"), None);
    }
}
