//! The inventory as JSON: field names as in the API, with where each group came from and what could not be read. A
//! missing field was not observed; `unread` says why.

use chasqui_proto::{facts, v1};
use prost::Message;
use serde_json::Value;

use super::Inventory;

/// The whole inventory.
pub fn render_json(inventory: &Inventory) -> Value {
    let sections = inventory.sections.iter();
    // Bytes that are no facts are shown as no facts: the collecting process checked its own.
    let decode = |section: &v1::Section| v1::SectionFacts::decode(section.facts.clone());
    let decoded: Vec<v1::SectionFacts> = sections
        .clone()
        .map(|section| decode(section).unwrap_or_default())
        .collect();
    let pairs: Vec<_> = sections.zip(&decoded).collect();
    let sections = facts::dates::sections_json(&pairs);
    facts::made([
        ("sections", sections.into()),
        ("volatile", facts::volatile_json(&inventory.volatile)),
    ])
}

/// The facts and gaps of one section, without digest, provenance and times.
pub fn render_facts(section: &v1::SectionFacts) -> Value {
    facts::made([
        ("facts", facts::facts_json(section)),
        ("unread", facts::unread_json(section)),
    ])
}
