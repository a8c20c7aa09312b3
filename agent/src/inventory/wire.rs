//! The inventory as bytes, between the short-lived process that collects and the agent that started it. The reader
//! trusts no length: the collecting process parsed what the machine told it.

use std::collections::BTreeSet;

use chasqui_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};

use super::{Inventory, MAX_FACTS_BYTES};

/// Largest encoded inventory that is decoded, in bytes.
pub const MAX_REPORT_BYTES: usize = 32 << 20;
const MAX_SECTIONS: usize = 64;

/// Why bytes are no inventory.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Longer than [`MAX_REPORT_BYTES`].
    #[error("an inventory of {0} bytes; at most {MAX_REPORT_BYTES} are read")]
    TooLarge(usize),
    /// No report at all, or one that was cut.
    #[error("not an inventory report: {0}; the collecting process may have been stopped")]
    Malformed(#[from] prost::DecodeError),
    /// A section that breaks a rule.
    #[error("section {kind} of the inventory report: {rule}")]
    Section {
        /// Number of the section's kind.
        kind: i32,
        /// What does not hold.
        rule: &'static str,
    },
    /// More sections than there are kinds.
    #[error("an inventory of {0} sections; at most {MAX_SECTIONS} are read")]
    TooManySections(usize),
}

/// The bytes of an inventory.
pub fn encode(inventory: &Inventory) -> Vec<u8> {
    v1::InventoryReport {
        sections: inventory.sections.clone(),
        volatile: Some(inventory.volatile.clone()),
    }
    .encode_to_vec()
}

/// The inventory of such bytes, with its rules checked: known sizes, one section a kind, digests that fit.
pub fn decode(bytes: &[u8]) -> Result<Inventory, WireError> {
    if bytes.len() > MAX_REPORT_BYTES {
        return Err(WireError::TooLarge(bytes.len()));
    }
    let report = v1::InventoryReport::decode(bytes)?;
    if report.sections.len() > MAX_SECTIONS {
        return Err(WireError::TooManySections(report.sections.len()));
    }
    let mut kinds = BTreeSet::new();
    for section in &report.sections {
        let refuse = |rule| {
            Err(WireError::Section {
                kind: section.kind,
                rule,
            })
        };
        if !kinds.insert(section.kind) {
            return refuse("appears twice");
        }
        if section.facts.len() > MAX_FACTS_BYTES {
            return refuse("is too large");
        }
        if Sha256::digest(&section.facts).as_slice() != &section.digest[..] {
            return refuse("does not fit its digest");
        }
    }
    Ok(Inventory {
        sections: report.sections,
        volatile: report.volatile.unwrap_or_default(),
    })
}
