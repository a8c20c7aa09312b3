//! The root: which keys may change the root, name people, publish the catalogue, and how many approvals an order needs.
//! Signed offline; reaches a machine with the installer and is replaced only by a root its own keys signed.

use serde::{Deserialize, Serialize};

use crate::canonical::{Document, FormatError, check_distinct, check_len};
use crate::digest::Digest;
use crate::key::{KeyId, PublicKey};
use crate::text::{check_identifier, check_line};

/// Most keys in a root.
pub const MAX_ROOT_KEYS: usize = 32;

/// The root document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation, as in `spiffe://<org>/...`.
    pub org: String,
    /// Counts up from 1.
    pub version: u64,
    /// UTC milliseconds.
    pub issued_at_ms: i64,
    /// UTC milliseconds. An expired root runs nothing, but still verifies its successor.
    pub expires_at_ms: i64,
    /// Every key a role names.
    pub keys: Vec<PublicKey>,
    /// Who may replace the root. 2 of 3 is recommended; 1 of 1 is allowed and stamped on all evidence.
    pub root: Role,
    /// Who signs the people document.
    pub trust_admins: Role,
    /// Who signs the catalogue.
    pub publishers: Role,
    /// Who signs releases of the agent.
    pub release: Option<Role>,
    /// Where agents and people find their coordinator.
    pub coordinators: Vec<Coordinator>,
    /// Approvals by risk and number of targets: the first row that fits applies; when none fits the order is refused.
    pub thresholds: Vec<Threshold>,
    /// What two people may do in an emergency without the approvals above; nothing when absent.
    pub break_glass: Option<Threshold>,
}

/// Keys and how many distinct ones of them must sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Names of keys in `keys`.
    pub key_ids: Vec<KeyId>,
    /// At least 1, at most the number of keys.
    pub threshold: u32,
}

/// One coordinator and the authorities of its agents' listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coordinator {
    /// Host name or other short name.
    pub name: String,
    /// `https://host:port` of the agents' listener.
    pub agents_url: String,
    /// `https://host:port` of the people's listener (`http://` on loopback).
    pub people_url: String,
    /// SHA-256 of the DER of each accepted authority certificate.
    pub ca_sha256: Vec<Digest>,
}

/// One row: orders up to this risk and this many machines need this many approvals besides the requester's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// 0 to 4.
    pub max_risk: u8,
    /// At least 1.
    pub max_targets: u32,
    /// Distinct persons other than the requester.
    pub approvals: u32,
}

impl Root {
    /// True when one key alone can replace the root: evidence says so.
    pub fn single_signer(&self) -> bool {
        self.root.threshold == 1
    }

    /// Approvals for an order of this risk on this many machines; None when no row fits.
    pub fn approvals_for(&self, risk: u8, targets: u32) -> Option<u32> {
        self.thresholds
            .iter()
            .find(|row| risk <= row.max_risk && targets <= row.max_targets)
            .map(|row| row.approvals)
    }

    /// Approvals for such an order in an emergency; None when the root allows none.
    pub fn break_glass_approvals(&self, risk: u8, targets: u32) -> Option<u32> {
        self.break_glass
            .filter(|row| risk <= row.max_risk && targets <= row.max_targets)
            .map(|row| row.approvals)
    }

    /// The keys of a role.
    pub fn role_keys<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = &'a PublicKey> + 'a {
        self.keys
            .iter()
            .filter(|key| role.key_ids.contains(&key.id()))
    }
}

impl Document for Root {
    const NAME: &'static str = "root";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.root.v1+json";
    const MAX_BYTES: usize = 256 * 1024;

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
        check_distinct(Self::NAME, "keys", &self.keys, MAX_ROOT_KEYS, PublicKey::id)?;
        self.check_role("root", &self.root)?;
        self.check_role("trust_admins", &self.trust_admins)?;
        self.check_role("publishers", &self.publishers)?;
        if let Some(release) = &self.release {
            self.check_role("release", release)?;
        }
        check_distinct(
            Self::NAME,
            "coordinators",
            &self.coordinators,
            32,
            |c: &Coordinator| c.name.as_str(),
        )?;
        for coordinator in &self.coordinators {
            check_identifier(Self::NAME, "coordinators.name", &coordinator.name, 253)?;
            check_url("coordinators.agents_url", &coordinator.agents_url, false)?;
            check_url("coordinators.people_url", &coordinator.people_url, true)?;
            check_len(
                Self::NAME,
                "coordinators.ca_sha256",
                &coordinator.ca_sha256,
                16,
            )?;
        }
        check_len(Self::NAME, "thresholds", &self.thresholds, 64)?;
        if self.break_glass.is_some_and(|row| row.approvals == 0) {
            return bad("break_glass.approvals", "is at least 1: two people in all");
        }
        for row in self.thresholds.iter().chain(&self.break_glass) {
            if row.max_risk > 4 {
                return bad("thresholds.max_risk", "is 0 to 4");
            }
            if row.max_targets == 0 {
                return bad("thresholds.max_targets", "is at least 1");
            }
            if row.approvals > 16 {
                return bad("thresholds.approvals", "is at most 16");
            }
        }
        Ok(())
    }
}

impl Root {
    fn check_role(&self, name: &str, role: &Role) -> Result<(), FormatError> {
        let bad = |why: &str| {
            Err(FormatError::invalid(
                Self::NAME,
                format!("{name} role"),
                why,
            ))
        };
        check_distinct(Self::NAME, name, &role.key_ids, MAX_ROOT_KEYS, |id| *id)?;
        if role.threshold == 0 {
            return bad("needs a threshold of at least 1");
        }
        if role.key_ids.len() < role.threshold as usize {
            return bad("has fewer keys than its threshold");
        }
        let known: Vec<KeyId> = self.keys.iter().map(PublicKey::id).collect();
        if role.key_ids.iter().any(|id| !known.contains(id)) {
            return bad("names a key that is not in keys");
        }
        Ok(())
    }
}

/// The organisation's name: lower-case letters, digits, dots and dashes, as in the trust domain of a SPIFFE id.
pub(crate) fn check_org(what: &'static str, org: &str) -> Result<(), FormatError> {
    let ok = !org.is_empty()
        && org.len() <= 128
        && org
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
        && !org.starts_with(['.', '-'])
        && !org.ends_with(['.', '-']);
    if ok {
        Ok(())
    } else {
        Err(FormatError::invalid(
            what,
            "org",
            "must be 1 to 128 lower-case letters, digits, dots and dashes",
        ))
    }
}

fn check_url(field: &str, url: &str, http_allowed: bool) -> Result<(), FormatError> {
    check_line(Root::NAME, field, url, 512)?;
    let ok = url.starts_with("https://") || (http_allowed && url.starts_with("http://"));
    if ok && url.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(FormatError::invalid(
            Root::NAME,
            field,
            "must be an https:// address",
        ))
    }
}
