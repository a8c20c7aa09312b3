//! Installed software, from the databases of the package managers, without running any. A manager whose folder is not
//! there has installed nothing; one whose database cannot be read is said to be unread.

mod dpkg;
mod flatpak;
mod pacman;
mod rpm;
mod snap;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};

/// Most programs in the section.
pub const MAX_ITEMS: usize = 20_000;

/// Makes the software section.
#[derive(Clone, Copy, Debug)]
pub struct Software;

/// What one manager has installed: where that was read, and what was found. `None` when the manager is not there.
type Listed = Option<(String, Result<Found, Unreadable>)>;

/// Programs, and what of the list could not be read: one broken entry does not hide the others.
#[derive(Debug, Default, PartialEq)]
struct Found {
    items: Vec<v1::Software>,
    faults: Vec<Unreadable>,
}

impl Found {
    /// Faults that are told one by one; a list with more is broken as a whole.
    const MAX_FAULTS: usize = 10;

    fn add(&mut self, read: Result<v1::Software, Unreadable>) {
        match read {
            Ok(item) => self.items.push(item),
            Err(why) if self.faults.len() < Self::MAX_FAULTS => self.faults.push(why),
            Err(_) => {}
        }
    }

    /// True when there are more items than the section takes.
    fn is_full(&self) -> bool {
        self.items.len() > MAX_ITEMS
    }
}

impl Collector for Software {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Software
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut items = Vec::new();
        let mut managers = 0;
        for (name, listed) in [
            ("dpkg", dpkg::list(source)),
            ("rpm", rpm::list(source)),
            ("pacman", pacman::list(source)),
            ("flatpak", flatpak::list(source)),
            ("snap", snap::list(source)),
        ] {
            if let Some((path, read)) = listed {
                managers += 1;
                let found = notes.take(name, &path, read).unwrap_or_default();
                for fault in found.faults {
                    notes.unread(name, fault);
                }
                note_untold(name, &found.items, &mut notes);
                items.extend(found.items);
            }
        }
        if managers == 0 {
            let why = "none of dpkg, rpm, pacman, flatpak and snap keeps a database here";
            notes.unread("items", Unreadable::no_source(why));
        }
        items.sort_by(|a, b| key(a).cmp(&key(b)));
        items.dedup();
        if items.len() > MAX_ITEMS {
            let why = format!("{} programs, at most {MAX_ITEMS} are kept", items.len());
            notes.unread("items", Unreadable::too_large(why));
            items.truncate(MAX_ITEMS);
        }
        Observation::new(Facts::Software(v1::SoftwareFacts { items }), notes)
    }
}

/// Fields that no item of a manager has are ones it does not record.
fn note_untold(manager: &str, items: &[v1::Software], notes: &mut Notes) {
    let told = |has: fn(&v1::Software) -> bool| items.iter().any(has);
    for (field, told) in [
        ("architecture", told(|item| item.architecture.is_some())),
        ("publisher", told(|item| item.publisher.is_some())),
        ("size_bytes", told(|item| item.size_bytes.is_some())),
        (
            "installed_at_ms",
            told(|item| item.installed_at_ms.is_some()),
        ),
    ] {
        if !told && !items.is_empty() {
            let why = format!("{manager} does not record it where it is read");
            notes.unread(&format!("{manager}.{field}"), Unreadable::no_source(why));
        }
    }
}

type Key<'a> = (&'a str, &'a str, &'a Option<String>, &'a str, Option<i64>);

fn key(item: &v1::Software) -> Key<'_> {
    (
        &item.source,
        &item.name,
        &item.architecture,
        &item.version,
        item.installed_at_ms,
    )
}

/// A cleaned item; `None` without a name or a version, for an item without them says nothing.
fn item(source: &str, name: &str, version: &str) -> Option<v1::Software> {
    Some(v1::Software {
        name: bounds::some_text(name)?,
        version: bounds::some_text(version)?,
        source: source.to_owned(),
        ..v1::Software::default()
    })
}
