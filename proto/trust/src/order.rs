//! The order: one action, its parameters and the machines it is for, signed by the requester. The machines are bound by
//! a Merkle root, so each agent gets its own leaf and proof and learns nothing of the others.

use serde::{Deserialize, Serialize};

use crate::canonical::{
    Document, FormatError, check_distinct, check_len, decode_json, encode_json,
};
use crate::definition::Consent;
use crate::digest::Digest;
use crate::merkle;
use crate::root::check_org;
use crate::state::MAX_ORDER_VALIDITY_MS;
use crate::text::{check_identifier, check_line, check_prose, check_uuid};

/// Most machines one order may name.
pub const MAX_TARGETS: u32 = 100_000;
/// Most characters of a text parameter.
pub const MAX_VALUE_CHARS: usize = 4096;

/// The order document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// UUIDv7.
    pub id: String,
    /// Which definition, to the byte.
    pub definition: DefinitionRef,
    /// In the order of the definition.
    pub parameters: Vec<Parameter>,
    /// The ticket it serves.
    pub ticket: TicketRef,
    /// Why, in the requester's words; 1 to 2,000 characters.
    pub reason: String,
    /// Id of the person who signs.
    pub requester: String,
    /// UTC milliseconds.
    pub created_at_ms: i64,
    /// Runs from, UTC milliseconds.
    pub not_before_ms: i64,
    /// Runs before, UTC milliseconds; at most 30 days after `created_at_ms`.
    pub not_after_ms: i64,
    /// A machine that holds an older people document refuses.
    pub min_people_version: u64,
    /// A machine that holds an older catalogue refuses.
    pub min_catalogue_version: u64,
    /// At least what the definition asks for.
    pub consent: Consent,
    /// When the machine begins, within the validity.
    pub start: Start,
    /// An emergency: the root's break-glass row applies instead of its thresholds, and everybody hears of it.
    pub break_glass: bool,
    /// The machines.
    pub targets: Targets,
}

/// When the machine begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At once.
    Now,
    /// After its next start.
    NextBoot,
}

/// A definition by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionRef {
    /// For example `dns.flush`.
    pub id: String,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its canonical bytes.
    pub digest: Digest,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// The name in the definition.
    pub name: String,
    /// Its value.
    pub value: ParameterValue,
}

/// A typed value: `{"integer":5}`, `{"text":"x"}` or `{"list":["x"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterValue {
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Texts.
    List(Vec<String>),
}

impl std::fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Text(text) => f.write_str(text),
            Self::List(items) => f.write_str(&items.join(", ")),
        }
    }
}

/// The ticket an order serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRef {
    /// UUIDv7.
    pub id: String,
    /// For example `MA-2026-000123`.
    pub number: String,
}

/// How many machines, and the Merkle root over their leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// At least 1.
    pub count: u32,
    /// RFC 6962 root over [`Leaf::hash`] of each leaf in order.
    pub merkle_root: Digest,
}

/// One machine of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// SHA-256 over the 32 raw bytes of the device's public key.
    pub device_fingerprint: Digest,
    /// The name the signer read.
    pub host_name: String,
    /// Inventory plate, when there is one.
    pub plate: Option<String>,
    /// When its wave begins, UTC milliseconds.
    pub not_before_ms: i64,
}

impl Targets {
    /// Count and root over these leaves. Refuses a bad leaf and a machine named twice.
    pub fn of(leaves: &[Leaf]) -> Result<Self, FormatError> {
        let hashes = leaf_hashes(leaves)?;
        let count = u32::try_from(leaves.len())
            .map_err(|_| FormatError::invalid("order", "targets", "are too many"))?;
        Ok(Self {
            count,
            merkle_root: merkle::root(&hashes),
        })
    }
}

/// Hashes of the leaves in order, for [`merkle::proof`]. Refuses a bad leaf and a machine named twice.
pub fn leaf_hashes(leaves: &[Leaf]) -> Result<Vec<Digest>, FormatError> {
    check_distinct(
        "order",
        "targets",
        leaves,
        MAX_TARGETS as usize,
        |l: &Leaf| l.device_fingerprint,
    )?;
    leaves.iter().map(Leaf::hash).collect()
}

impl Leaf {
    /// Canonical JSON.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        encode_json("leaf", self)
    }

    /// Reads canonical JSON.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let leaf: Self = decode_json("leaf", bytes)?;
        leaf.check()?;
        Ok(leaf)
    }

    /// RFC 6962 leaf hash over the canonical JSON.
    pub fn hash(&self) -> Result<Digest, FormatError> {
        Ok(merkle::leaf_hash(&self.encode()?))
    }

    pub(crate) fn check(&self) -> Result<(), FormatError> {
        check_line("leaf", "host_name", &self.host_name, 253)?;
        if let Some(plate) = &self.plate {
            check_line("leaf", "plate", plate, 64)?;
        }
        if self.not_before_ms < 0 {
            return Err(FormatError::invalid(
                "leaf",
                "not_before_ms",
                "is before 1970",
            ));
        }
        Ok(())
    }
}

impl Document for Order {
    const NAME: &'static str = "order";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.order.v1+json";
    const MAX_BYTES: usize = 256 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    /// The cap on validity is not checked here: the verifier gives it a refusal of its own
    /// ([`Order::check_validity_cap`]), and signing checks it too.
    fn validate(&self) -> Result<(), FormatError> {
        let bad = |field: &str, why: &str| Err(FormatError::invalid(Self::NAME, field, why));
        check_org(Self::NAME, &self.org)?;
        check_uuid(Self::NAME, "id", &self.id)?;
        check_identifier(Self::NAME, "definition.id", &self.definition.id, 64)?;
        check_uuid(Self::NAME, "ticket.id", &self.ticket.id)?;
        check_identifier(Self::NAME, "ticket.number", &self.ticket.number, 64)?;
        check_identifier(Self::NAME, "requester", &self.requester, 64)?;
        check_prose(Self::NAME, "reason", &self.reason, 2000)?;
        if self.reason.trim().is_empty() {
            return bad("reason", "is empty");
        }
        if self.created_at_ms < 0 || self.not_before_ms < 0 {
            return bad("not_before_ms", "is before 1970");
        }
        if self.not_after_ms <= self.not_before_ms || self.not_after_ms <= self.created_at_ms {
            return bad(
                "not_after_ms",
                "must be after not_before_ms and created_at_ms",
            );
        }
        if self.targets.count == 0 || self.targets.count > MAX_TARGETS {
            return bad("targets.count", "is 1 to 100000");
        }
        check_distinct(
            Self::NAME,
            "parameters",
            &self.parameters,
            64,
            |p: &Parameter| p.name.as_str(),
        )?;
        for parameter in &self.parameters {
            check_identifier(Self::NAME, "parameters.name", &parameter.name, 64)?;
            parameter.value.check(Self::NAME, "parameters.value")?;
        }
        Ok(())
    }
}

impl Order {
    /// True if the order is valid no longer than any machine accepts.
    pub fn check_validity_cap(&self) -> bool {
        let begins = self.created_at_ms.min(self.not_before_ms);
        self.not_after_ms.saturating_sub(begins) <= MAX_ORDER_VALIDITY_MS
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        self.parameters
            .iter()
            .find(|p| p.name == name)
            .map(|p| &p.value)
    }
}

impl ParameterValue {
    pub(crate) fn check(&self, what: &'static str, field: &str) -> Result<(), FormatError> {
        // Only bounds: what characters may stand in it is the definition's grammar, which has its own refusal.
        let too_long = |text: &str| text.chars().count() > MAX_VALUE_CHARS;
        let bad = match self {
            Self::Integer(_) => false,
            Self::Text(text) => too_long(text),
            Self::List(items) => {
                check_len(what, field, items, 256)?;
                items.iter().any(|t| too_long(t))
            }
        };
        if bad {
            Err(FormatError::invalid(
                what,
                field,
                format!("is longer than {MAX_VALUE_CHARS} characters"),
            ))
        } else {
            Ok(())
        }
    }
}
