//! The catalogue: which action definitions the publishers stand for, by digest. A definition's text travels with the
//! order; the catalogue only says that these bytes are the ones published.

use serde::{Deserialize, Serialize};

use crate::canonical::{Document, FormatError, check_distinct};
use crate::digest::Digest;
use crate::root::check_org;
use crate::text::check_identifier;

/// The catalogue document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// Counts up from 1, never back.
    pub version: u64,
    /// UTC milliseconds.
    pub issued_at_ms: i64,
    /// UTC milliseconds.
    pub expires_at_ms: i64,
    /// At most 2,000.
    pub definitions: Vec<CatalogueEntry>,
}

/// One published definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// For example `dns.flush`.
    pub id: String,
    /// The definition's version.
    pub version: u32,
    /// SHA-256 of the definition's canonical bytes.
    pub digest: Digest,
}

impl Catalogue {
    /// The entry of this id and version.
    pub fn entry(&self, id: &str, version: u32) -> Option<&CatalogueEntry> {
        self.definitions
            .iter()
            .find(|e| e.id == id && e.version == version)
    }

    /// The highest version of this id.
    pub fn latest(&self, id: &str) -> Option<&CatalogueEntry> {
        self.definitions
            .iter()
            .filter(|e| e.id == id)
            .max_by_key(|e| e.version)
    }
}

impl Document for Catalogue {
    const NAME: &'static str = "catalogue";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.catalogue.v1+json";
    const MAX_BYTES: usize = 1024 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        let bad = |field: &str, why: &str| Err(FormatError::invalid(Self::NAME, field, why));
        check_org(Self::NAME, &self.org)?;
        if self.version == 0 {
            return bad("version", "begins at 1");
        }
        if self.issued_at_ms < 0 || self.expires_at_ms <= self.issued_at_ms {
            return bad("expires_at_ms", "must be after issued_at_ms");
        }
        check_distinct(
            Self::NAME,
            "definitions",
            &self.definitions,
            2000,
            |e: &CatalogueEntry| (e.id.as_str(), e.version),
        )?;
        for entry in &self.definitions {
            check_identifier(Self::NAME, "definitions.id", &entry.id, 64)?;
            if entry.version == 0 {
                return bad("definitions.version", "begins at 1");
            }
        }
        Ok(())
    }
}
