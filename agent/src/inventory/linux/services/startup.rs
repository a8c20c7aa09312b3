//! Programs that start with everybody's graphical session.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, bounds};
use super::super::ini;

/// Folders for all accounts; the entry of the first one with a name stands.
const FOLDERS: &[&str] = &["/etc/xdg/autostart", "/usr/share/gnome/autostart"];
const MAX_ENTRIES: usize = 500;
const SECTION: &str = "Desktop Entry";

/// The entries.
pub fn programs(source: &Source, notes: &mut Notes) -> Vec<v1::StartupProgram> {
    let mut programs: Vec<v1::StartupProgram> = Vec::new();
    for folder in FOLDERS {
        let names = match source.list(folder) {
            Ok(names) => names,
            Err(why) if why.is_no_source() => continue,
            Err(why) => {
                notes.unread("startup", why);
                continue;
            }
        };
        notes.from("startup", folder);
        for name in names
            .iter()
            .filter(|name| name.ends_with(".desktop"))
            .take(MAX_ENTRIES)
        {
            let path = format!("{folder}/{name}");
            match source.text(&path, 1 << 18) {
                Ok(text) => programs.push(program(name, path, &text)),
                Err(why) => notes.unread("startup", why),
            }
        }
    }
    programs
}

fn program(name: &str, path: String, text: &str) -> v1::StartupProgram {
    let field = |key: &str| ini::value(text, SECTION, key);
    let off = field("Hidden").and_then(ini::truth) == Some(true)
        || field("X-GNOME-Autostart-enabled").and_then(ini::truth) == Some(false);
    let stem = name.strip_suffix(".desktop").unwrap_or(name);
    v1::StartupProgram {
        name: field("Name")
            .and_then(bounds::some_text)
            .unwrap_or_else(|| bounds::clean(stem)),
        program: field("Exec").and_then(super::program),
        hidden: text.contains(SECTION).then_some(off),
        path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_are_off_are_told() {
        let text = "[Desktop Entry]\nName=Nube\nName[es]=Otra\nExec=/usr/bin/nube --secret x\nHidden=true\n";
        let found = program("nube.desktop", "/p".into(), text);
        assert_eq!(found.name, "Nube");
        assert_eq!(found.program.as_deref(), Some("/usr/bin/nube"));
        assert_eq!(found.hidden, Some(true));
        assert_eq!(program("nube.desktop", "/p".into(), "").hidden, None);
    }
}
