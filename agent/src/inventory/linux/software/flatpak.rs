//! Flatpak's installations, of the system and of its users: `app/<id>/<architecture>/<branch>/active`. Each deployment keeps
//! a `deploy` file (a GVariant of flatpak's own) with where it came from, its size and the version its metadata told; an
//! older flatpak left the version out, then the program's metainfo file tells it, else the branch, which is what names it.
//! Whose a user's program is stays out of the inventory.

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const SYSTEM: &str = "/var/lib/flatpak/app";
const HOMES: &str = "/home";
/// Homes that are looked into.
const MAX_HOMES: usize = 200;
const MAX_BYTES: usize = 1 << 20;

/// The installed programs; run-times are left out.
pub fn list(source: &Source) -> Listed {
    let mut folders = vec![SYSTEM.to_owned()];
    let homes = source.list(HOMES).unwrap_or_default();
    for home in homes.iter().take(MAX_HOMES) {
        folders.push(format!("{HOMES}/{home}/.local/share/flatpak/app"));
    }
    let mut found = Found {
        dates_from: Some("last change of flatpak's deploy files"),
        ..Found::default()
    };
    let mut there = false;
    for folder in &folders {
        let read = match source.list(folder) {
            Ok(ids) => read(source, folder, &ids, &mut found),
            Err(why) if why.is_no_source() => continue,
            Err(why) if folder == SYSTEM => return Some((SYSTEM.to_owned(), Err(why))),
            // Whether this home holds programs stays unknown; whose it is does as well.
            Err(why) => {
                found.home_fault.get_or_insert(Unreadable {
                    detail: "the homes of some users".to_owned(),
                    ..why
                });
                continue;
            }
        };
        there = true;
        if let Err(why) = read {
            found.add(Err(why));
        }
    }
    match (there, &found.home_fault) {
        (true, _) => Some((SYSTEM.to_owned(), Ok(found))),
        // Homes that may not be read may hold programs.
        (false, Some(_)) => Some((format!("{HOMES}/*/.local/share/flatpak/app"), Ok(found))),
        (false, None) => None,
    }
}

fn read(source: &Source, apps: &str, ids: &[String], found: &mut Found) -> Result<(), Unreadable> {
    for id in ids {
        for architecture in folders(source, &format!("{apps}/{id}"))? {
            for branch in folders(source, &format!("{apps}/{id}/{architecture}"))? {
                let active = format!("{apps}/{id}/{architecture}/{branch}/active");
                // Without a deployment only the data of a removed program is left.
                if !source.exists(&active)? {
                    continue;
                }
                if found.is_full() {
                    return Ok(());
                }
                let place = format!("{active}/deploy");
                let deploy = source.bytes(&place, MAX_BYTES);
                let deploy = deploy
                    .map(|bytes| Deploy::parse(&bytes))
                    .unwrap_or_default();
                let metainfo = metainfo(source, &active, id);
                let version = deploy.version.or_else(|| metainfo.version.clone());
                let version = version.unwrap_or_else(|| branch.clone());
                if let Some(mut item) = super::item("flatpak", id, &version) {
                    item.architecture = bounds::some_text(&architecture);
                    // The maker where it is told, else who hands the program out.
                    item.publisher = metainfo.developer.or(deploy.origin);
                    item.size_bytes = deploy.size_bytes;
                    item.installed_at_ms = source
                        .times(&place)
                        .ok()
                        .and_then(|times| times.modified_ms);
                    found.items.push(item);
                }
            }
        }
    }
    Ok(())
}

/// Names in a folder but for `current` and the like, which are links; what is no folder has none.
fn folders(source: &Source, path: &str) -> Result<Vec<String>, Unreadable> {
    match source.list(path) {
        Ok(names) => Ok(names
            .into_iter()
            .filter(|name| source.link(&format!("{path}/{name}")).is_err())
            .collect()),
        Err(why) if why.is_no_source() => Ok(Vec::new()),
        Err(why) => Err(why),
    }
}

/// What a `deploy` file tells.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Deploy {
    origin: Option<String>,
    size_bytes: Option<u64>,
    version: Option<String>,
}

impl Deploy {
    /// A GVariant tuple: origin, commit, list of parts, size (big-endian whatever the machine), dictionary. The ends of the
    /// first three stand at the very end of the file, the last one first, in as many bytes as the file's length needs.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let (origin, size_bytes) = Self::framed(bytes).unzip();
        Self {
            origin: origin.flatten(),
            size_bytes,
            version: version_of(bytes),
        }
    }

    fn framed(bytes: &[u8]) -> Option<(Option<String>, u64)> {
        let width = match bytes.len() {
            0..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 4,
        };
        let end_of = |member: usize| {
            let from = bytes.len().checked_sub(width * (member + 1))?;
            let number = bytes.get(from..from.checked_add(width)?)?;
            let little = number.iter().rev();
            Some(little.fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte)))
        };
        let (origin_end, commit_end) = (end_of(0)?, end_of(1)?);
        // The commit is a digest in hex, which shows that the ends are ends.
        let commit = bytes.get(origin_end..commit_end)?.strip_suffix(b"\0")?;
        if commit.len() != 64 || !commit.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let origin = bytes.get(..origin_end)?.strip_suffix(b"\0")?;
        let at = end_of(2)?.checked_next_multiple_of(8)?;
        let size = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        let origin = std::str::from_utf8(origin).ok();
        Some((origin.and_then(bounds::some_text), u64::from_be_bytes(size)))
    }
}

/// The text after the key `appdata-version` in the deployment's dictionary.
fn version_of(deploy: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"appdata-version\0";
    let at = deploy.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = deploy.get(at.checked_add(KEY.len())?..)?;
    let start = rest.iter().position(|byte| *byte != 0)?;
    let text = rest.get(start..)?.split(|byte| *byte == 0).next()?;
    bounds::some_text(std::str::from_utf8(text).ok()?)
}

/// What a metainfo (AppStream) file tells.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Metainfo {
    developer: Option<String>,
    version: Option<String>,
}

fn metainfo(source: &Source, active: &str, id: &str) -> Metainfo {
    let share = format!("{active}/files/share");
    let places = [
        format!("{share}/metainfo/{id}.metainfo.xml"),
        format!("{share}/metainfo/{id}.appdata.xml"),
        format!("{share}/appdata/{id}.appdata.xml"),
    ];
    places
        .iter()
        .find_map(|place| source.text(place, MAX_BYTES).ok())
        .map(|text| Metainfo::parse(&text))
        .unwrap_or_default()
}

impl Metainfo {
    /// The maker's name in its first language, and the version of the first release, which is the newest. Only these two are
    /// looked for, by their tags: the file is the program's, and no reader of XML is worth having for it.
    pub(crate) fn parse(text: &str) -> Self {
        let within = |text: &str, open: &str, close: &str| {
            let (_, rest) = text.split_once(open)?;
            let (_, rest) = rest.split_once('>')?;
            let (inner, _) = rest.split_once(close)?;
            Some(inner.to_owned())
        };
        let developer = within(text, "<developer ", "</developer>")
            .or_else(|| within(text, "<developer", "</developer>"))
            .and_then(|inner| within(&inner, "<name", "</name>"))
            .or_else(|| within(text, "<developer_name", "</developer_name>"));
        let version = text
            .split_once("<release ")
            .and_then(|(_, rest)| rest.split_once('>'))
            .and_then(|(attributes, _)| attributes.split_once("version="))
            .and_then(|(_, value)| {
                let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
                Some(value.get(1..)?.split_once(quote)?.0)
            });
        let plain = |text: &str| {
            // A text with tags or references of its own would need a reader of XML.
            bounds::some_text(text).filter(|text| !text.contains(['<', '&']))
        };
        Self {
            developer: developer.as_deref().and_then(plain),
            version: version.and_then(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metainfo_file_tells_maker_and_newest_release() {
        for text in [
            "<component><developer id=\"x\"><name>Ñandú</name></developer><releases><release date='1' version='4.2'/><release version='4.1'/>",
            "<developer_name>Ñandú</developer_name><release version=\"4.2\" date=\"1\">",
        ] {
            let told = Metainfo::parse(text);
            assert_eq!(told.developer.as_deref(), Some("Ñandú"), "{text}");
            assert_eq!(told.version.as_deref(), Some("4.2"), "{text}");
            for (cut, _) in text.char_indices() {
                let _ = Metainfo::parse(&text[..cut]);
            }
        }
        assert_eq!(
            Metainfo::parse("<developer><name>A &amp; B</name></developer>"),
            Metainfo::default()
        );
    }

    #[test]
    fn any_deploy_file_is_read() {
        assert_eq!(Deploy::parse(b""), Deploy::default());
        for length in [1, 200, 300, 70_000] {
            let _ = Deploy::parse(&vec![0xff; length]);
            assert_eq!(Deploy::parse(&vec![0; length]).origin, None);
        }
    }
}
