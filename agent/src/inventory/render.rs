//! The inventory as JSON: field names as in the API, with where each group came from and what could not be read. A
//! missing field was not observed; `unread` says why.

use chasqui_proto::{facts, v1};
use serde_json::{Value, json};

use super::Inventory;

/// The whole inventory.
pub fn render_json(inventory: &Inventory) -> Value {
    let sections: Vec<Value> = inventory.sections.iter().map(section).collect();
    json!({"sections": sections, "volatile": facts::volatile_json(&inventory.volatile)})
}

/// The facts and gaps of one section, without digest, provenance and times.
pub fn render_facts(section: &v1::SectionFacts) -> Value {
    json!({"facts": facts::facts_json(section), "unread": facts::unread_json(section)})
}

fn section(section: &v1::Section) -> Value {
    // Bytes that are no facts are shown as no facts: the collecting process checked its own.
    let decoded = <v1::SectionFacts as prost::Message>::decode(section.facts.clone());
    facts::section_json(section, &decoded.unwrap_or_default())
}
