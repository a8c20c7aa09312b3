//! Versions of a few packages out of dpkg's status, for what tells its version nowhere else.

use std::collections::BTreeMap;

use super::super::{Source, Unreadable, bounds};
use super::updates::paragraphs;

const STATUS: &str = "/var/lib/dpkg/status";
const MAX_BYTES: u64 = 128 << 20;

/// The installed versions of those of the named packages that dpkg knows.
pub fn versions(source: &Source, names: &[&str]) -> Result<BTreeMap<String, String>, Unreadable> {
    let mut found = BTreeMap::new();
    paragraphs::each(source.file(STATUS)?, MAX_BYTES, |paragraph| {
        let field = |name| paragraphs::field(paragraph, name);
        let Some(name) = field("Package").filter(|name| names.contains(name)) else {
            return;
        };
        let there = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if let Some(version) = field("Version")
            .and_then(bounds::some_text)
            .filter(|_| there)
        {
            found.insert(name.to_owned(), version);
        }
    })
    .map_err(|_| Unreadable::malformed(format!("{STATUS}: not read to its end")))?;
    Ok(found)
}
