//! Installed software, from the databases of the package managers, without running any. A manager whose folder is not
//! there has installed nothing; one whose database cannot be read is said to be unread.

pub(crate) mod dpkg;
pub(crate) mod flatpak;
pub(crate) mod pacman;
pub(crate) mod rpm;
pub(crate) mod snap;

use chasqui_proto::facts::dates;
use chasqui_proto::v1;
use prost::Message;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};

/// Most programs in the section.
pub const MAX_ITEMS: usize = 20_000;

/// Most bytes of the programs, so that the section as a whole stays below its own bound whatever a list holds.
const MAX_ITEM_BYTES: usize = 7 << 20;

/// Makes the software section, and the one with the days on which the programs were installed.
#[derive(Clone, Copy, Debug)]
pub struct Software;

/// What one manager has installed: where that was read, and what was found. `None` when the manager is not there.
type Listed = Option<(String, Result<Found, Unreadable>)>;

/// Programs, and what of the list could not be read: one broken entry does not hide the others.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Found {
    items: Vec<v1::Software>,
    faults: Vec<Unreadable>,
    /// Where the days of installation come from, when not from the database itself.
    dates_from: Option<&'static str>,
    /// Why programs in the homes of users may be missing.
    home_fault: Option<Unreadable>,
    /// What of those sources could not be read.
    date_faults: Vec<Unreadable>,
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
        2
    }

    fn also(&self) -> &'static [v1::SectionKind] {
        &[v1::SectionKind::SoftwareDates]
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut date_notes = Notes::new(v1::SectionKind::SoftwareDates);
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
                if let Err(why) = &read {
                    date_notes.unread(name, why.clone());
                }
                let found = notes.take(name, &path, read).unwrap_or_default();
                for fault in found.faults {
                    notes.unread(name, fault);
                }
                if let Some(why) = found.home_fault {
                    notes.unread(&format!("{name}.homes"), why);
                }
                note_untold(name, &found.items, &mut notes);
                for fault in found.date_faults {
                    date_notes.unread(name, fault);
                }
                note_dates(
                    name,
                    &found.items,
                    found.dates_from.unwrap_or(&path),
                    &mut date_notes,
                );
                items.extend(found.items);
            }
        }
        if managers == 0 {
            let why = "none of dpkg, rpm, pacman, flatpak and snap keeps a database here";
            notes.unread("items", Unreadable::no_source(why));
            date_notes.unread("days", Unreadable::no_source(why));
        }
        items.sort_by(|a, b| key(a).cmp(&key(b)));
        let listed = items.len();
        items.dedup_by(|a, b| same(a, b));
        let kept = fitting(&items);
        if kept < items.len() {
            let why = format!("{listed} programs, of which {kept} are kept");
            notes.unread("items", Unreadable::too_large(why));
            items.truncate(kept);
        }
        let days: Vec<Option<i32>> = items
            .iter_mut()
            .map(|item| day_of(item.installed_at_ms.take()?))
            .collect();
        let list = Observation::new(Facts::Software(v1::SoftwareFacts { items }), notes);
        let dates = v1::SoftwareDatesFacts {
            software_digest: list.digest().into(),
            days: dates::encode(days.into_iter()),
        };
        let dates = Observation::new(Facts::SoftwareDates(dates), date_notes);
        Observation {
            also: vec![dates],
            ..list
        }
    }
}

/// How many of the programs the section takes.
fn fitting(items: &[v1::Software]) -> usize {
    let mut bytes = 0_usize;
    items
        .iter()
        .take(MAX_ITEMS)
        .take_while(|item| {
            // Field number and length of the item in the list.
            bytes = bytes.saturating_add(item.encoded_len()).saturating_add(8);
            bytes <= MAX_ITEM_BYTES
        })
        .count()
}

fn day_of(at_ms: i64) -> Option<i32> {
    i32::try_from(at_ms.div_euclid(86_400_000)).ok()
}

/// Fields that no item of a manager has are ones it does not record.
fn note_untold(manager: &str, items: &[v1::Software], notes: &mut Notes) {
    let told = |has: fn(&v1::Software) -> bool| items.iter().any(has);
    for (field, told) in [
        ("architecture", told(|item| item.architecture.is_some())),
        ("publisher", told(|item| item.publisher.is_some())),
        ("size_bytes", told(|item| item.size_bytes.is_some())),
        ("category", told(|item| item.category.is_some())),
    ] {
        if !told && !items.is_empty() {
            let why = format!("{manager} does not record it where it is read");
            notes.unread(&format!("{manager}.{field}"), Unreadable::no_source(why));
        }
    }
}

fn note_dates(manager: &str, items: &[v1::Software], from: &str, notes: &mut Notes) {
    let dated = items.iter().filter(|item| item.installed_at_ms.is_some());
    match (dated.count(), items.len()) {
        (_, 0) => {}
        (0, _) => {
            let why = format!("{manager} does not record it where it is read");
            notes.unread(manager, Unreadable::no_source(why));
        }
        (dated, all) => {
            notes.from(manager, from);
            if dated < all {
                let why = format!("{} of {all} programs", all - dated);
                notes.unread(manager, Unreadable::no_source(why));
            }
        }
    }
}

type Key<'a> = (
    &'a str,
    &'a str,
    &'a Option<String>,
    &'a str,
    &'a Option<String>,
    Option<u64>,
    &'a Option<String>,
    i64,
);

/// The whole item, so that one list has one order; of the same program twice, the one with the earlier date leads.
fn key(item: &v1::Software) -> Key<'_> {
    (
        &item.source,
        &item.name,
        &item.architecture,
        &item.version,
        &item.publisher,
        item.size_bytes,
        &item.category,
        item.installed_at_ms.unwrap_or(i64::MAX),
    )
}

/// Equal in what the section holds: the dates are none of it.
fn same(a: &v1::Software, b: &v1::Software) -> bool {
    let undated = |item: &v1::Software| v1::Software {
        installed_at_ms: None,
        ..item.clone()
    };
    a.source == b.source && a.name == b.name && undated(a) == undated(b)
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
