//! The people document: persons, their keys and what each key may do. Signed by the trust administrators for at most 30
//! days, so that a lost key stops working even where a coordinator hides its revocation.

use serde::{Deserialize, Serialize};

use crate::canonical::{Document, FormatError, check_distinct, check_len};
use crate::key::{KeyId, PublicKey};
use crate::root::check_org;
use crate::state::MAX_PEOPLE_VALIDITY_MS;
use crate::text::{check_identifier, check_line};

/// Most risk a key held by a browser may sign for: a page of a broken coordinator can make a browser sign anything.
pub const BROWSER_MAX_RISK: u8 = 1;

/// The people document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// Counts up from 1, never back.
    pub version: u64,
    /// UTC milliseconds.
    pub issued_at_ms: i64,
    /// UTC milliseconds, at most 30 days after `issued_at_ms`.
    pub expires_at_ms: i64,
    /// At most 1,000.
    pub persons: Vec<Person>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The person's id, as orders and statements name it.
    pub id: String,
    /// The name a signer reads.
    pub name: String,
    /// At most 8.
    pub keys: Vec<PersonKey>,
    /// What the person may sign.
    pub duties: Vec<Duty>,
}

/// One key of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonKey {
    /// The public key.
    pub key: PublicKey,
    /// Where the private half lives.
    pub custody: Custody,
    /// The highest risk it may sign for, 0 to 4.
    pub max_risk: u8,
    /// Valid from, UTC milliseconds.
    pub not_before_ms: i64,
    /// Valid before, UTC milliseconds.
    pub not_after_ms: i64,
}

/// Where a private key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Custody {
    /// An encrypted key file.
    File,
    /// A token or secure element.
    Hardware,
    /// A browser, at most risk 1.
    Browser,
}

/// What a person may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Orders.
    Request,
    /// Approvals.
    Approve,
}

impl People {
    /// The person with this id.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.persons.iter().find(|p| p.id == id)
    }

    /// The person who holds this key.
    pub fn holder(&self, key: &KeyId) -> Option<(&Person, &PersonKey)> {
        self.persons
            .iter()
            .find_map(|p| p.key(key).map(|held| (p, held)))
    }
}

impl Person {
    /// This person's key of that name.
    pub fn key(&self, id: &KeyId) -> Option<&PersonKey> {
        self.keys.iter().find(|k| k.key.id() == *id)
    }

    /// True if the person has this duty.
    pub fn may(&self, duty: Duty) -> bool {
        self.duties.contains(&duty)
    }
}

impl PersonKey {
    /// True while the key is valid.
    pub fn is_valid_at(&self, now_ms: i64) -> bool {
        self.not_before_ms <= now_ms && now_ms < self.not_after_ms
    }
}

impl Document for People {
    const NAME: &'static str = "people document";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.people.v1+json";
    const MAX_BYTES: usize = 1024 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        let bad = |field: String, why: &str| Err(FormatError::invalid(Self::NAME, field, why));
        check_org(Self::NAME, &self.org)?;
        if self.version == 0 {
            return bad("version".into(), "begins at 1");
        }
        if self.issued_at_ms < 0 || self.expires_at_ms <= self.issued_at_ms {
            return bad("expires_at_ms".into(), "must be after issued_at_ms");
        }
        if self.expires_at_ms - self.issued_at_ms > MAX_PEOPLE_VALIDITY_MS {
            return bad(
                "expires_at_ms".into(),
                "is more than 30 days after issued_at_ms",
            );
        }
        check_distinct(
            Self::NAME,
            "persons.id",
            &self.persons,
            1000,
            |p: &Person| p.id.as_str(),
        )?;
        let mut keys: Vec<KeyId> = Vec::new();
        for person in &self.persons {
            check_identifier(Self::NAME, "persons.id", &person.id, 64)?;
            check_line(Self::NAME, "persons.name", &person.name, 200)?;
            check_len(Self::NAME, "persons.keys", &person.keys, 8)?;
            check_distinct(Self::NAME, "persons.duties", &person.duties, 2, |d| *d)?;
            for key in &person.keys {
                if key.max_risk > 4 {
                    return bad(format!("{}: keys.max_risk", person.id), "is 0 to 4");
                }
                if key.custody == Custody::Browser && key.max_risk > BROWSER_MAX_RISK {
                    return bad(
                        format!("{}: keys.max_risk", person.id),
                        "is at most 1 for a key held by a browser",
                    );
                }
                if key.not_after_ms <= key.not_before_ms {
                    return bad(
                        format!("{}: keys.not_after_ms", person.id),
                        "must be after not_before_ms",
                    );
                }
                keys.push(key.key.id());
            }
        }
        // A key with two holders would let one person sign as two.
        check_distinct(Self::NAME, "persons.keys", &keys, 8000, |k| *k)
    }
}
