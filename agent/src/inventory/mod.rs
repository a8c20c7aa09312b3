//! What this machine is: collectors that read files and system calls, and the sections they make. Knows nothing of the
//! link, of the coordinator or of what a section is used for.
//!
//! Three rules hold for every collector. What could not be read is said (`unread`, with the reason) and never looks like
//! an absent thing. A section holds stable facts alone, in a fixed order, so an unchanged machine gives the same bytes;
//! what changes by itself (free space, uptime) travels as volatile facts. And everything read is bounded: files, lists
//! and strings, for the machine may lie.

pub mod archive;
pub mod bounds;
mod date;
#[doc(hidden)]
pub mod fuzz;
mod gaps;
pub mod glpi;
pub mod linux;
mod observation;
pub mod patience;
mod render;
mod source;
mod summary;
mod wire;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chasqui_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};

use patience::Worker;

pub use chasqui_proto::facts::kind_name;
pub use observation::{Attempt, Notes, Observation, Unreadable, first_of};
pub use render::{render_facts, render_json};
pub use source::{CAPTURE_NOTES, Source, Space, Times};
pub use summary::{Summary, SystemDisk, summary};
pub use wire::{WireError, decode, encode};
pub use words::render_text;

/// Largest encoding of one section's facts, in bytes.
pub const MAX_FACTS_BYTES: usize = 8 << 20;
/// Most `unread` entries of a section.
pub const MAX_UNREAD: usize = 500;

/// One observation of a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// One per kind, in the order of [`v1::SectionKind`].
    pub sections: Vec<v1::Section>,
    /// What changes by itself.
    pub volatile: v1::VolatileFacts,
}

impl Inventory {
    /// The section of one kind.
    pub fn section(&self, kind: v1::SectionKind) -> Option<&v1::Section> {
        self.sections
            .iter()
            .find(|section| section.kind == i32::from(kind))
    }

    /// The decoded facts of one kind; `None` when the section is missing or its bytes are not facts.
    pub fn facts(&self, kind: v1::SectionKind) -> Option<v1::SectionFacts> {
        let section = self.section(kind)?;
        v1::SectionFacts::decode(section.facts.clone()).ok()
    }
}

/// Reads one section. A collector is a value without state: the same source gives the same observation.
pub trait Collector: Sync {
    /// The section it makes.
    fn kind(&self) -> v1::SectionKind;
    /// Rises when the collector reads more or better; not part of the digest.
    fn version(&self) -> u32;
    /// Sections that the same reading makes besides, so that nothing is read twice.
    fn also(&self) -> &'static [v1::SectionKind] {
        &[]
    }
    /// Reads the section. Never fails as a whole: what could not be read is noted.
    fn collect(&self, source: &Source) -> Observation;
}

/// Longest time that one section may take. What hangs (a dying disk, a file server that is gone) costs its own section.
const SECTION_LIMIT: Duration = Duration::from_secs(30);

/// How long the next section waits for the one before. Side by side they would be no sooner done: nearly all of the work is
/// short, and threads that allocate at once queue at the allocator of the static build.
const NEXT_AFTER: Duration = Duration::from_millis(300);

/// Reads every section and the volatile facts in a thread that is left behind with a section that hangs, so that it holds up
/// the next for a moment only. `now_ms` is the time of the observation.
pub fn collect(source: &Source, now_ms: i64) -> Inventory {
    let since = chasqui_base::clock::monotonic();
    let mut volatile = linux::volatile::read(source, now_ms);
    let mut sections = Vec::with_capacity(linux::COLLECTORS.len() + 1);
    let mut take = |(made, moving): Observed| {
        sections.extend(made);
        // Lists grow, single values are set by one collector alone.
        if volatile.merge(&*moving.encode_to_vec()).is_err() {
            debug_assert!(false, "an encoded message decodes");
        }
    };
    let mut slow = Vec::new();
    let mut idle = None;
    for collector in linux::COLLECTORS {
        let mut kinds = kinds_of(*collector);
        if !kinds.any(|kind| source.with_section(kind)) {
            continue;
        }
        let source = source.clone();
        let work = move || observe(*collector, &source, now_ms);
        let reader = idle.take().unwrap_or_else(|| Worker::start("inventory"));
        match reader
            .begin(kind_name(collector.kind()), work)
            .soon(NEXT_AFTER)
        {
            Ok(Ok(made)) => {
                take(made);
                idle = Some(reader);
            }
            Ok(Err(why)) => take(unread(*collector, &why, now_ms)),
            Err(begun) => slow.push((collector, begun)),
        }
    }
    for (collector, begun) in slow {
        let made = begun.end(since, SECTION_LIMIT);
        take(made.unwrap_or_else(|why| unread(*collector, &why, now_ms)));
    }
    sections.retain(|section: &v1::Section| source.with_section(section.kind()));
    sections.sort_by_key(|section| section.kind);
    volatile.disks.sort_by(|a, b| a.name.cmp(&b.name));
    volatile.batteries.sort_by(|a, b| a.name.cmp(&b.name));
    Inventory { sections, volatile }
}

/// Every section that a collector makes.
fn kinds_of(collector: &dyn Collector) -> impl Iterator<Item = v1::SectionKind> {
    std::iter::once(collector.kind()).chain(collector.also().iter().copied())
}

fn observe(collector: &dyn Collector, source: &Source, now_ms: i64) -> Observed {
    // A defect in one collector must cost its own sections, not the machine's whole inventory.
    let observed = catch_unwind(AssertUnwindSafe(|| collector.collect(source)));
    let Ok(seen) = observed else {
        let why = Unreadable::io("the collector failed; please report it");
        return unread(collector, &why, now_ms);
    };
    let version = collector.version();
    let mut sections = vec![section(
        (collector.kind(), version),
        Some(seen.facts),
        seen.notes,
        now_ms,
    )];
    for other in seen.also {
        let kind = chasqui_proto::facts::kind_of(&other.facts);
        sections.push(section(
            (kind, version),
            Some(other.facts),
            other.notes,
            now_ms,
        ));
    }
    (sections, seen.volatile)
}

/// What one collector makes.
type Observed = (Vec<v1::Section>, v1::VolatileFacts);

/// Every section of a collector as one that could not be read.
fn unread(collector: &dyn Collector, why: &Unreadable, now_ms: i64) -> Observed {
    let sections = kinds_of(collector).map(|kind| {
        let mut notes = Notes::new(kind);
        notes.unread("", why.clone());
        section((kind, collector.version()), None, notes, now_ms)
    });
    (sections.collect(), v1::VolatileFacts::default())
}

fn section(
    (kind, collector_version): (v1::SectionKind, u32),
    facts: Option<v1::section_facts::Facts>,
    notes: Notes,
    now_ms: i64,
) -> v1::Section {
    let (unread, provenance) = notes.finish();
    let (digest, encoded) = encoded(kind, facts, unread);
    v1::Section {
        kind: kind.into(),
        digest: digest.into(),
        facts: encoded.into(),
        provenance,
        observed_at_ms: now_ms,
        collector_version,
        changed_at_ms: 0,
    }
}

/// The bytes of a section's facts with their digest, which comes first.
fn encoded(
    kind: v1::SectionKind,
    facts: Option<v1::section_facts::Facts>,
    unread: Vec<v1::Unread>,
) -> (Vec<u8>, Vec<u8>) {
    let mut section = v1::SectionFacts { facts, unread };
    let mut encoded = section.encode_to_vec();
    if encoded.len() > MAX_FACTS_BYTES {
        section.facts = None;
        section.unread.push(v1::Unread {
            group: kind_name(kind).to_owned(),
            reason: v1::UnreadReason::TooLarge.into(),
            detail: format!(
                "{} bytes of facts, at most {MAX_FACTS_BYTES}",
                encoded.len()
            ),
        });
        encoded = section.encode_to_vec();
    }
    (Sha256::digest(&encoded).to_vec(), encoded)
}
