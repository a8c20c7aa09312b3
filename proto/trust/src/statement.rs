//! A statement: one person's approval, rejection or withdrawal of one order, named by digest.

use serde::{Deserialize, Serialize};

use crate::canonical::{Document, FormatError};
use crate::digest::Digest;
use crate::root::check_org;
use crate::state::MAX_ORDER_VALIDITY_MS;
use crate::text::{check_identifier, check_prose};

/// The statement document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// SHA-256 of the order's payload bytes.
    pub order_digest: Digest,
    /// Id of the person who signs.
    pub person: String,
    /// What the person says.
    pub decision: Decision,
    /// Up to 2,000 characters, may be empty.
    pub comment: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// An approval counts before this time only, UTC milliseconds; at most 30 days after `at_ms`. A rejection or
    /// withdrawal never lapses.
    pub expires_at_ms: i64,
}

/// What a person says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run.
    Approve,
    /// It may not run.
    Reject,
    /// The requester or an approver takes their word back.
    Withdraw,
}

impl Document for Statement {
    const NAME: &'static str = "statement";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.statement.v1+json";
    const MAX_BYTES: usize = 16 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        check_org(Self::NAME, &self.org)?;
        check_identifier(Self::NAME, "person", &self.person, 64)?;
        check_prose(Self::NAME, "comment", &self.comment, 2000)?;
        if self.at_ms < 0 || self.expires_at_ms <= self.at_ms {
            return Err(FormatError::invalid(
                Self::NAME,
                "expires_at_ms",
                "must be after at_ms",
            ));
        }
        if self.expires_at_ms - self.at_ms > MAX_ORDER_VALIDITY_MS {
            return Err(FormatError::invalid(
                Self::NAME,
                "expires_at_ms",
                "is more than 30 days after at_ms",
            ));
        }
        Ok(())
    }
}
