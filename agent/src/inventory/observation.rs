//! What a collector hands back: facts, where each group came from, and why a group is missing.

use std::io;

use chasqui_proto::v1;

use super::{MAX_UNREAD, bounds, kind_name};

/// The facts of one section with their notes.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The section's facts.
    pub facts: v1::section_facts::Facts,
    /// Provenance and what could not be read.
    pub notes: Notes,
    /// What changes by itself and was read on the way (a disk's hours, a battery's charge), so that nothing is read
    /// twice. Joined with what the others read.
    pub volatile: v1::VolatileFacts,
    /// Other sections that the same reading made: those that [`super::Collector::also`] names.
    pub also: Vec<Observation>,
}

impl Observation {
    /// Facts with their notes, and nothing that changes by itself.
    pub fn new(facts: v1::section_facts::Facts, notes: Notes) -> Self {
        Self {
            facts,
            notes,
            volatile: v1::VolatileFacts::default(),
            also: Vec::new(),
        }
    }

    /// The digest that the section of these facts will have.
    pub fn digest(&self) -> Vec<u8> {
        let kind = chasqui_proto::facts::kind_of(&self.facts);
        let (unread, _) = self.notes.clone().finish();
        super::encoded(kind, Some(self.facts.clone()), unread).0
    }
}

/// Why something could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The reason, as the API names it.
    pub reason: v1::UnreadReason,
    /// What the system said, naming the source.
    pub detail: String,
}

impl Unreadable {
    /// The machine has no such source.
    pub fn no_source(detail: impl Into<String>) -> Self {
        Self::new(v1::UnreadReason::NoSource, detail)
    }

    /// The source is there but makes no sense.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(v1::UnreadReason::Malformed, detail)
    }

    /// The source holds a maker's filler.
    pub fn placeholder(detail: impl Into<String>) -> Self {
        Self::new(v1::UnreadReason::Placeholder, detail)
    }

    /// More than a bound allows.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(v1::UnreadReason::TooLarge, detail)
    }

    /// No answer in time.
    pub fn time_limit(detail: impl Into<String>) -> Self {
        Self::new(v1::UnreadReason::TimeLimit, detail)
    }

    /// The system failed while reading.
    pub fn io(detail: impl Into<String>) -> Self {
        Self::new(v1::UnreadReason::Io, detail)
    }

    /// The reason behind a system error while reading `path`.
    pub fn of_error(path: &str, error: &io::Error) -> Self {
        use rustix::io::Errno;
        let errno = error.raw_os_error().map(Errno::from_raw_os_error);
        let reason = match errno {
            Some(
                // Attributes of devices that are gone or have no such property answer the later ones.
                Errno::NOENT
                | Errno::NOTDIR
                | Errno::NODEV
                | Errno::NXIO
                | Errno::INVAL
                | Errno::OPNOTSUPP
                | Errno::NODATA,
            ) => v1::UnreadReason::NoSource,
            Some(Errno::ACCESS | Errno::PERM) => v1::UnreadReason::Permission,
            Some(Errno::LOOP | Errno::XDEV | Errno::NAMETOOLONG) => v1::UnreadReason::Malformed,
            Some(Errno::TIMEDOUT) => v1::UnreadReason::TimeLimit,
            _ => match error.kind() {
                io::ErrorKind::NotFound => v1::UnreadReason::NoSource,
                io::ErrorKind::PermissionDenied => v1::UnreadReason::Permission,
                io::ErrorKind::InvalidData => v1::UnreadReason::Malformed,
                _ => v1::UnreadReason::Io,
            },
        };
        Self::new(reason, format!("{path}: {error}"))
    }

    /// True when the source simply is not there.
    pub fn is_no_source(&self) -> bool {
        self.reason == v1::UnreadReason::NoSource
    }

    fn new(reason: v1::UnreadReason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// Of two failures for one fact, the one that tells a person more.
    pub(super) fn weight(&self) -> u8 {
        match self.reason {
            v1::UnreadReason::Unspecified => 0,
            v1::UnreadReason::NoSource => 1,
            v1::UnreadReason::Io => 2,
            v1::UnreadReason::TimeLimit => 3,
            v1::UnreadReason::TooLarge => 4,
            v1::UnreadReason::Permission => 5,
            v1::UnreadReason::Malformed => 6,
            v1::UnreadReason::Placeholder => 7,
        }
    }
}

/// The first value of several ways to learn it with its source, or the failure that tells most.
pub fn first_of<T>(
    attempts: impl IntoIterator<Item = Attempt<T>>,
) -> Result<(&'static str, T), Unreadable> {
    let mut failure: Option<Unreadable> = None;
    for (source, read) in attempts {
        match read {
            Ok(value) => return Ok((source, value)),
            Err(why) => {
                if failure
                    .as_ref()
                    .is_none_or(|old| old.weight() < why.weight())
                {
                    failure = Some(why);
                }
            }
        }
    }
    Err(failure.unwrap_or_else(|| Unreadable::no_source("no way to learn it")))
}

/// Gathers provenance and gaps while a collector reads. Group names are given without the section's own name.
#[derive(Clone, Debug, PartialEq)]
pub struct Notes {
    section: &'static str,
    unread: Vec<v1::Unread>,
    provenance: Vec<v1::Provenance>,
}

/// One way to learn a fact: where it would come from and what that gave.
pub type Attempt<T> = (&'static str, Result<T, Unreadable>);

impl Notes {
    /// Notes for one section.
    pub fn new(kind: v1::SectionKind) -> Self {
        Self {
            section: kind_name(kind),
            unread: Vec::new(),
            provenance: Vec::new(),
        }
    }

    /// Says where a group came from.
    pub fn from(&mut self, group: &str, source: &str) {
        let entry = v1::Provenance {
            group: self.name(group),
            source: bounds::clip(source, 300),
        };
        self.provenance.push(entry);
    }

    /// Says why a group is missing.
    pub fn unread(&mut self, group: &str, why: Unreadable) {
        let entry = v1::Unread {
            group: self.name(group),
            reason: why.reason.into(),
            detail: bounds::clip(&why.detail, 500),
        };
        self.unread.push(entry);
    }

    /// Takes a value with its source, or notes why there is none.
    pub fn take<T>(&mut self, group: &str, source: &str, read: Result<T, Unreadable>) -> Option<T> {
        match read {
            Ok(value) => {
                self.from(group, source);
                Some(value)
            }
            Err(why) => {
                self.unread(group, why);
                None
            }
        }
    }

    /// Takes a value whose source is noted with the whole it belongs to, or notes why there is none.
    pub fn part<T>(&mut self, group: &str, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|why| self.unread(group, why)).ok()
    }

    /// Takes the first value of several ways to learn it, or notes the failure that tells most.
    pub fn first<T>(
        &mut self,
        group: &str,
        attempts: impl IntoIterator<Item = Attempt<T>>,
    ) -> Option<T> {
        match first_of(attempts) {
            Ok((source, value)) => {
                self.from(group, source);
                Some(value)
            }
            Err(why) => {
                self.unread(group, why);
                None
            }
        }
    }

    /// Takes over what other notes of the same section ended with.
    pub(super) fn join(&mut self, unread: Vec<v1::Unread>, provenance: Vec<v1::Provenance>) {
        self.unread.extend(unread);
        self.provenance.extend(provenance);
    }

    /// Both lists, sorted and bounded.
    pub(super) fn finish(mut self) -> (Vec<v1::Unread>, Vec<v1::Provenance>) {
        self.unread
            .sort_by(|a, b| (&a.group, a.reason, &a.detail).cmp(&(&b.group, b.reason, &b.detail)));
        self.unread.dedup();
        if self.unread.len() > MAX_UNREAD {
            let more = self.unread.len() - MAX_UNREAD + 1;
            self.unread.truncate(MAX_UNREAD - 1);
            self.unread.push(v1::Unread {
                group: self.section.to_owned(),
                reason: v1::UnreadReason::TooLarge.into(),
                detail: format!("{more} more groups that could not be read"),
            });
            // The last entry belongs where its name sorts, for the order is part of the bytes.
            self.unread.sort_by(|a, b| {
                (&a.group, a.reason, &a.detail).cmp(&(&b.group, b.reason, &b.detail))
            });
        }
        self.provenance
            .sort_by(|a, b| (&a.group, &a.source).cmp(&(&b.group, &b.source)));
        self.provenance.dedup();
        self.provenance.truncate(MAX_UNREAD);
        (self.unread, self.provenance)
    }

    fn name(&self, group: &str) -> String {
        if group.is_empty() {
            self.section.to_owned()
        } else {
            bounds::clip(&format!("{}.{group}", self.section), 100)
        }
    }
}
