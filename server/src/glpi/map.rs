//! From the protocol's sections to v1 sections. Each field of ours comes from one section of theirs; what theirs does not
//! hold stays unread, with the reason. In a partial inventory a section that is absent is unchanged: its fields stay as
//! they were before. In a full one it is gone.

mod board;
mod machine;
mod parts;

use std::collections::BTreeMap;

use chasqui_proto::facts::{KINDS, kind_name, kind_of};
use chasqui_proto::v1::{self, SectionKind, section_facts::Facts};
use prost::Message;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::values::{self, Item};

pub use machine::still;

/// Most items of a list of ours.
const MAX_ITEMS: usize = 5_000;

/// What a device shows so far, by kind; empty for a full inventory.
pub type Before = BTreeMap<SectionKind, v1::SectionFacts>;

/// An inventory as sections.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// As the machine calls itself; empty when it does not say.
    pub host_name: String,
    /// One per kind, in the order of kinds.
    pub sections: Vec<v1::Section>,
    /// What changes by itself; nothing when the inventory says nothing of it.
    pub volatile: Option<v1::VolatileFacts>,
    /// Kinds that a full inventory does not hold.
    pub gone: Vec<&'static str>,
}

/// Maps an inventory. `source` is how the facts are marked, `now_ms` when they came.
pub fn report(
    content: &Map<String, Value>,
    partial: bool,
    before: &Before,
    source: &str,
    now_ms: i64,
) -> Report {
    let mut maker = Maker {
        content,
        before: if partial { Some(before) } else { None },
        sections: Vec::new(),
        source,
        now_ms,
    };
    machine::map(&mut maker);
    board::map(&mut maker);
    parts::map(&mut maker);
    let mut sections = maker.sections;
    sections.sort_by_key(|section| section.kind);
    let gone = if partial {
        Vec::new()
    } else {
        KINDS
            .iter()
            .filter(|kind| !sections.iter().any(|section| section.kind() == **kind))
            .map(|kind| kind_name(*kind))
            .collect()
    };
    let hardware = content.get("hardware").and_then(Value::as_object).map(Item);
    Report {
        host_name: hardware
            .and_then(|item| item.text("name"))
            .unwrap_or_default(),
        sections,
        volatile: machine::volatile(content, now_ms),
        gone,
    }
}

struct Maker<'a> {
    content: &'a Map<String, Value>,
    before: Option<&'a Before>,
    sections: Vec<v1::Section>,
    source: &'a str,
    now_ms: i64,
}

/// What a builder notes while it fills a section.
#[derive(Default)]
struct Notes(Vec<v1::Unread>);

impl Notes {
    fn unread(&mut self, group: &str, reason: v1::UnreadReason, detail: impl Into<String>) {
        self.0.push(v1::Unread {
            group: group.to_owned(),
            reason: reason.into(),
            detail: detail.into(),
        });
    }

    /// A serial number or the like that may be a maker's filler.
    fn serial(&mut self, group: &str, text: Option<String>) -> Option<String> {
        let text = text?;
        if values::is_filler(&text) {
            self.unread(group, v1::UnreadReason::Placeholder, text);
            return None;
        }
        Some(text)
    }

    /// A list within its bound.
    fn bounded<T>(&mut self, group: &str, mut items: Vec<T>, most: usize) -> Vec<T> {
        if items.len() > most {
            let detail = format!("{} items, at most {most}", items.len());
            self.unread(group, v1::UnreadReason::TooLarge, detail);
            items.truncate(most);
        }
        items
    }
}

impl<'a> Maker<'a> {
    fn list(&self, key: &str) -> Option<Vec<Item<'a>>> {
        values::list(self.content, key)
    }

    fn object(&self, key: &str) -> Option<Item<'a>> {
        match self.content.get(key)? {
            Value::Object(object) => Some(Item(object)),
            // Old agents may repeat an object: the first one counts.
            Value::Array(list) => list.first()?.as_object().map(Item),
            _ => None,
        }
    }

    fn has(&self, key: &str) -> bool {
        self.content.contains_key(key)
    }

    /// What the device showed of this kind, where an absent section means that nothing changed.
    fn before(&self, kind: SectionKind) -> Option<Facts> {
        self.before?.get(&kind)?.facts.clone()
    }

    /// Adds a section, unless none of the keys it is made of is there. `keys`: their section and our group of facts.
    fn add(&mut self, keys: &[(&str, &str)], facts: Facts, notes: Notes) -> Vec<u8> {
        if !keys.iter().any(|(key, _)| self.has(key)) {
            return Vec::new();
        }
        let kind = kind_of(&facts);
        let name = kind_name(kind);
        let known = self.before.and_then(|before| before.get(&kind));
        let mut unread = notes.0;
        for (key, group) in keys {
            let group = if group.is_empty() { name } else { group };
            if self.has(key) {
                continue;
            }
            match known {
                // As it was before, its gaps as well.
                Some(known) => unread.extend(
                    known
                        .unread
                        .iter()
                        .filter(|one| one.group.starts_with(group))
                        .cloned(),
                ),
                None => unread.push(v1::Unread {
                    group: group.to_owned(),
                    reason: v1::UnreadReason::NoSource.into(),
                    detail: format!("the third-party agent sent no section {key}"),
                }),
            }
        }
        unread.push(v1::Unread {
            group: name.to_owned(),
            reason: v1::UnreadReason::NoSource.into(),
            detail: "what is missing here was not sent by the third-party agent".to_owned(),
        });
        unread
            .sort_by(|a, b| (&a.group, a.reason, &a.detail).cmp(&(&b.group, b.reason, &b.detail)));
        unread.dedup();
        unread.truncate(500);
        let bytes = v1::SectionFacts {
            facts: Some(facts),
            unread,
        }
        .encode_to_vec();
        let digest = Sha256::digest(&bytes).to_vec();
        self.sections.push(v1::Section {
            kind: kind.into(),
            digest: digest.clone().into(),
            facts: bytes.into(),
            provenance: vec![v1::Provenance {
                group: name.to_owned(),
                source: self.source.to_owned(),
            }],
            observed_at_ms: self.now_ms,
            collector_version: 1,
            changed_at_ms: 0,
        });
        digest
    }
}
