//! Flatpak's system-wide installations: `app/<id>/<architecture>/<branch>/active`. The version is the one the `deploy`
//! file keeps from the program's metadata, else the branch, which is what names it to flatpak.

use super::super::super::{Source, Unreadable, bounds};
use super::{Found, Listed};

const APPS: &str = "/var/lib/flatpak/app";

/// The installed programs; run-times are left out.
pub fn list(source: &Source) -> Listed {
    match source.list(APPS) {
        Ok(ids) => Some((APPS.to_owned(), read(source, &ids))),
        Err(why) if why.is_no_source() => None,
        Err(why) => Some((APPS.to_owned(), Err(why))),
    }
}

fn read(source: &Source, ids: &[String]) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    for id in ids {
        for architecture in folders(source, &format!("{APPS}/{id}"))? {
            for branch in folders(source, &format!("{APPS}/{id}/{architecture}"))? {
                let active = format!("{APPS}/{id}/{architecture}/{branch}/active");
                // Without a deployment only the data of a removed program is left.
                if !source.exists(&active)? {
                    continue;
                }
                if found.is_full() {
                    return Ok(found);
                }
                let version = source
                    .bytes(&format!("{active}/deploy"), 1 << 20)
                    .ok()
                    .and_then(|deploy| version_of(&deploy))
                    .unwrap_or_else(|| branch.clone());
                if let Some(mut item) = super::item("flatpak", id, &version) {
                    item.architecture = bounds::some_text(&architecture);
                    found.items.push(item);
                }
            }
        }
    }
    Ok(found)
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

/// The text after the key `appdata-version` in the deployment's GVariant dictionary.
fn version_of(deploy: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"appdata-version\0";
    let at = deploy.windows(KEY.len()).position(|window| window == KEY)?;
    let rest = deploy.get(at.checked_add(KEY.len())?..)?;
    let start = rest.iter().position(|byte| *byte != 0)?;
    let text = rest.get(start..)?.split(|byte| *byte == 0).next()?;
    bounds::some_text(std::str::from_utf8(text).ok()?)
}
