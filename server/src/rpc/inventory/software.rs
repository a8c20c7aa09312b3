//! Lists of programs between the wire and the store: taken apart into programs stored once, and put together from a
//! difference that an agent sends.

use chasqui_base::item_list;
use chasqui_proto::error::status;
use chasqui_proto::v1::{self, SectionKind};
use chasqui_store::inventory as store;
use chasqui_store::software::{self, List, Program};
use chasqui_store::{StoreError, Tx};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Code;

use crate::error::Failure;

/// Number of the software facts in `SectionFacts`.
const FIELD: u8 = 8;
/// Most characters that are searched of a program's texts.
const MAX_CHARS: usize = 500;

/// Stores a section by its digest, programs apart. `before` is the list that the device showed until now.
pub fn insert_content(
    tx: &mut Tx,
    (kind, digest): (&str, &str),
    (facts, list): (&[u8], Option<&List>),
    before: Option<&str>,
    now_ms: i64,
) -> Result<(), StoreError> {
    let Some(list) = list else {
        return store::insert_content(tx, kind, digest, facts, now_ms);
    };
    let from_rows = software::insert(tx, digest, list, before)?;
    let kept: &[u8] = if from_rows { &[] } else { facts };
    store::insert_content(tx, kind, digest, kept, now_ms)
}

/// The programs of an encoded section and what is around them; nothing when there are none or it cannot be taken apart.
pub fn list(kind: &str, facts: &[u8]) -> Option<List> {
    if kind != "software" {
        return None;
    }
    let parts = item_list::split(facts, FIELD)?;
    let mut programs = Vec::with_capacity(parts.items.len());
    for item in parts.items {
        let program = v1::Software::decode(item).ok()?;
        programs.push(Program {
            source: column(&program.source),
            name: column(&program.name),
            architecture: column(program.architecture.as_deref().unwrap_or_default()),
            version: column(&program.version),
            publisher: column(program.publisher.as_deref().unwrap_or_default()),
            facts: item.to_vec(),
        });
    }
    (!programs.is_empty()).then(|| List::new(parts.shell, programs))
}

fn column(text: &str) -> String {
    text.chars()
        .filter(|ch| *ch != '\0')
        .take(MAX_CHARS)
        .collect()
}

fn refuse(code: Code, reason: &str, problem: &str) -> Failure {
    let said = format!("section software: {problem}: send it whole");
    Failure::from(status(code, reason, said, &[("section", "software")]))
}

/// The device shows another list than the one a difference starts from.
pub fn base_unknown() -> Failure {
    refuse(
        Code::FailedPrecondition,
        "SECTION_BASE_UNKNOWN",
        "it is the difference to a list that this device does not show here",
    )
}

/// The whole section of a difference.
///
/// # Errors
/// SECTION_BASE_UNKNOWN when the device does not show the list it is the difference to; SECTION_DIFFERENCE_MISMATCH when
/// it does not apply or gives other bytes. Both ask for the section whole.
pub fn apply(
    tx: &mut Tx,
    device_id: &str,
    difference: v1::SectionDifference,
) -> Result<v1::Section, Failure> {
    let mut section = difference.section.unwrap_or_default();
    let mismatch = |problem| {
        refuse(
            Code::InvalidArgument,
            "SECTION_DIFFERENCE_MISMATCH",
            problem,
        )
    };
    if section.kind() != SectionKind::Software {
        return Err(mismatch("only lists of programs travel as a difference"));
    }
    let base = hex::encode(&difference.base_digest);
    let shown = store::current(tx, device_id)?
        .into_iter()
        .any(|(kind, digest)| kind == "software" && digest == base);
    let old = match shown {
        true => store::content(tx, "software", &base)?,
        false => None,
    };
    let Some(old) = old else {
        return Err(base_unknown());
    };
    let old = item_list::split(&old, FIELD)
        .ok_or_else(|| mismatch("the list held cannot be taken apart"))?;
    let items = item_list::apply(
        &old.items,
        &difference.removed,
        &difference.added_at,
        &difference.added,
    )
    .map_err(|_| mismatch("the difference does not fit the list held"))?;
    let facts = item_list::join(&difference.shell, &items)
        .filter(|facts| facts.len() <= super::MAX_FACTS_BYTES)
        .filter(|facts| Sha256::digest(facts).as_slice() == &section.digest[..])
        .ok_or_else(|| mismatch("the difference gives another list than its digest says"))?;
    section.facts = facts.into();
    Ok(section)
}
