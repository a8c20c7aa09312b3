//! What a verifier holds: the root it was given, the people document and the catalogue under it, and the floor of time
//! they set. Documents never go back; an expired document stays held (so that an older one cannot come in its place) but
//! nothing runs under it.

use thiserror::Error;

use crate::canonical::{Document, FormatError};
use crate::catalogue::Catalogue;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::people::People;
use crate::render::utc;
use crate::root::{Role, Root};
use crate::text::Text;

/// Longest validity of an order and of an approval: 30 days. Compiled in, so no signed paper can lengthen it.
pub const MAX_ORDER_VALIDITY_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Longest validity of a people document: 30 days.
pub const MAX_PEOPLE_VALIDITY_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The latest time signed documents vouch for. A clock set back cannot make an expired order valid beyond it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeFloor(i64);

impl TimeFloor {
    /// From a stored value, UTC milliseconds.
    pub fn new(at_ms: i64) -> Self {
        Self(at_ms)
    }

    /// UTC milliseconds.
    pub fn at_ms(self) -> i64 {
        self.0
    }

    /// Raises the floor to the time of a verified document; never lowers it.
    pub fn raise(&mut self, issued_at_ms: i64) {
        self.0 = self.0.max(issued_at_ms);
    }
}

/// The time to judge by: the clock's, but not before the floor.
pub fn effective_now(now_ms: i64, floor: TimeFloor) -> i64 {
    now_ms.max(floor.0)
}

/// Why a root, people document or catalogue is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// Not one of our papers.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Of another organisation.
    #[error("the {what} is of organisation {found}, not {expected}")]
    Org {
        /// The paper.
        what: &'static str,
        /// Ours.
        expected: String,
        /// Theirs.
        found: String,
    },
    /// Fewer distinct keys of the role signed than its threshold.
    #[error("the {what} has {found} of the {needed} signatures it needs from {role}")]
    Signatures {
        /// The paper.
        what: &'static str,
        /// Whose signatures.
        role: &'static str,
        /// Distinct keys that signed.
        found: usize,
        /// The threshold.
        needed: u32,
    },
    /// Older than the one held.
    #[error("the {what} has version {found}, but version {held} is already held")]
    Rollback {
        /// The paper.
        what: &'static str,
        /// The version held.
        held: u64,
        /// The version offered.
        found: u64,
    },
    /// The version held, with other content.
    #[error("the {what} of version {version} differs from the one already held")]
    Fork {
        /// The paper.
        what: &'static str,
        /// The version of both.
        version: u64,
    },
    /// Past its time.
    #[error("the {what} expired at {}", utc(*expired_at_ms))]
    Expired {
        /// The paper.
        what: &'static str,
        /// UTC milliseconds.
        expired_at_ms: i64,
    },
}

impl TrustError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(inner) => inner.code(),
            Self::Org { .. } => "TRUST_ORG_MISMATCH",
            Self::Signatures { .. } => "TRUST_SIGNATURES_MISSING",
            Self::Rollback { .. } => "TRUST_ROLLBACK",
            Self::Fork { .. } => "TRUST_FORK",
            Self::Expired { .. } => "TRUST_EXPIRED",
        }
    }

    /// The same in both languages.
    pub fn text(&self) -> Text {
        let es = match self {
            Self::Format(inner) => return inner.text(),
            Self::Org {
                what,
                expected,
                found,
            } => format!(
                "el documento ({}) es de la organización {found}, no de {expected}",
                spanish(what)
            ),
            Self::Signatures {
                what,
                role,
                found,
                needed,
            } => format!(
                "el documento ({}) tiene {found} de las {needed} firmas que necesita de {}",
                spanish(what),
                spanish(role)
            ),
            Self::Rollback { what, held, found } => format!(
                "el documento ({}) tiene la versión {found}, pero ya se tiene la versión {held}",
                spanish(what)
            ),
            Self::Fork { what, version } => format!(
                "el documento ({}) de la versión {version} difiere del que ya se tiene",
                spanish(what)
            ),
            Self::Expired {
                what,
                expired_at_ms,
            } => format!(
                "el documento ({}) venció en {}",
                spanish(what),
                utc(*expired_at_ms)
            ),
        };
        Text::new(es, self.to_string())
    }
}

fn spanish(name: &'static str) -> &'static str {
    match name {
        Root::NAME => "raíz",
        People::NAME => "personas",
        Catalogue::NAME => "catálogo",
        "the root keys held" => "las claves raíz que se tienen",
        "its own root keys" => "sus propias claves raíz",
        "the trust administrators" => "los administradores de confianza",
        "the publishers" => "los publicadores",
        other => other,
    }
}

/// A verified document with the digest of its payload.
#[derive(Clone, Debug)]
struct Held<T> {
    document: T,
    digest: Digest,
}

/// The version and digest of a document seen before, kept when the document itself no longer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    version: u64,
    digest: Digest,
}

/// The verified root and people document, the marks below which nothing is accepted, and the floor of time.
#[derive(Clone, Debug)]
pub struct TrustState {
    root: Held<Root>,
    people: Option<Held<People>>,
    people_envelope: Option<Envelope>,
    people_mark: Option<Mark>,
    catalogue_mark: Option<Mark>,
    floor: TimeFloor,
}

/// A catalogue signed by the publishers of a root. Only [`TrustState`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedCatalogue {
    catalogue: Catalogue,
    digest: Digest,
    root_digest: Digest,
    publishers: usize,
}

impl VerifiedCatalogue {
    /// How many distinct publishers signed it.
    pub fn publishers(&self) -> usize {
        self.publishers
    }

    /// The document.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Its version.
    pub fn version(&self) -> u64 {
        self.catalogue.version
    }

    /// SHA-256 of its payload.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// SHA-256 of the payload of the root it was verified under.
    pub fn root_digest(&self) -> Digest {
        self.root_digest
    }
}

impl TrustState {
    /// Trusts a root that came with the installer, by group policy or by hand: envelope JSON, signed by its own
    /// threshold. Says nothing about expiry, since an expired root still verifies its successor.
    pub fn from_root(pinned: &[u8]) -> Result<Self, TrustError> {
        let envelope = Envelope::from_json(pinned)?;
        let root = Root::decode(&envelope)?;
        check_signatures(
            &envelope,
            &root,
            &root.root,
            Root::NAME,
            "its own root keys",
        )?;
        let mut floor = TimeFloor::default();
        floor.raise(root.issued_at_ms);
        Ok(Self {
            root: Held {
                digest: envelope.payload_digest(),
                document: root,
            },
            people: None,
            people_envelope: None,
            people_mark: None,
            catalogue_mark: None,
            floor,
        })
    }

    /// Replaces the root by a later one, signed by the threshold of the root held and by its own. The people document
    /// is judged again under the new root and dropped if it does not count there; its version stays a mark. A
    /// [`VerifiedCatalogue`] made under the old root must be offered again ([`Self::accept_catalogue`]).
    pub fn accept_root(&mut self, next: &[u8]) -> Result<(), TrustError> {
        let envelope = Envelope::from_json(next)?;
        let root = Root::decode(&envelope)?;
        self.check_org(Root::NAME, &root.org)?;
        let held = &self.root.document;
        let mark = Mark {
            version: held.version,
            digest: self.root.digest,
        };
        check_version(
            Root::NAME,
            Some(mark),
            root.version,
            envelope.payload_digest(),
        )?;
        check_signatures(
            &envelope,
            held,
            &held.root,
            Root::NAME,
            "the root keys held",
        )?;
        check_signatures(
            &envelope,
            &root,
            &root.root,
            Root::NAME,
            "its own root keys",
        )?;
        self.floor.raise(root.issued_at_ms);
        self.root = Held {
            digest: envelope.payload_digest(),
            document: root,
        };
        if let Some(people) = self.people_envelope.take() {
            self.people = None;
            if self.check_people(&people).is_ok() {
                self.hold_people(people)?;
            }
        }
        Ok(())
    }

    /// Accepts a people document (envelope JSON) signed by the trust administrators: of this organisation, not expired,
    /// not older than any seen. Offering the one held again is no error.
    pub fn accept_people(&mut self, bytes: &[u8], now_ms: i64) -> Result<(), TrustError> {
        let envelope = Envelope::from_json(bytes)?;
        let people = self.check_people(&envelope)?;
        self.check_fresh(
            People::NAME,
            people.issued_at_ms,
            people.expires_at_ms,
            now_ms,
        )?;
        self.hold_people(envelope)
    }

    /// Takes back a people document this verifier had accepted before (from its own disk), even if it has expired
    /// since: it must keep its version as a mark. Orders are still refused once it has expired.
    pub fn restore_people(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        let envelope = Envelope::from_json(bytes)?;
        self.check_people(&envelope)?;
        self.hold_people(envelope)
    }

    /// Accepts a catalogue (envelope JSON) signed by the publishers, under the same rules.
    pub fn accept_catalogue(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
    ) -> Result<VerifiedCatalogue, TrustError> {
        let (catalogue, digest, publishers) = self.check_catalogue(bytes)?;
        self.check_fresh(
            Catalogue::NAME,
            catalogue.issued_at_ms,
            catalogue.expires_at_ms,
            now_ms,
        )?;
        Ok(self.hold_catalogue(catalogue, digest, publishers))
    }

    /// Takes back a catalogue this verifier had accepted before, even if it has expired since.
    pub fn restore_catalogue(&mut self, bytes: &[u8]) -> Result<VerifiedCatalogue, TrustError> {
        let (catalogue, digest, publishers) = self.check_catalogue(bytes)?;
        Ok(self.hold_catalogue(catalogue, digest, publishers))
    }

    /// Raises the floor of time to a stored value; never lowers it.
    pub fn raise_floor(&mut self, floor: TimeFloor) {
        self.floor.raise(floor.0);
    }

    /// The organisation.
    pub fn org(&self) -> &str {
        &self.root.document.org
    }

    /// The root held.
    pub fn root(&self) -> &Root {
        &self.root.document
    }

    /// SHA-256 of the payload of the root held.
    pub fn root_digest(&self) -> Digest {
        self.root.digest
    }

    /// The people document held, expired or not.
    pub fn people(&self) -> Option<&People> {
        self.people.as_ref().map(|held| &held.document)
    }

    /// The highest catalogue version seen.
    pub fn catalogue_version(&self) -> Option<u64> {
        self.catalogue_mark.map(|mark| mark.version)
    }

    /// The floor of time, to be stored.
    pub fn floor(&self) -> TimeFloor {
        self.floor
    }

    /// True when one key alone can replace the root.
    pub fn single_signer(&self) -> bool {
        self.root.document.single_signer()
    }

    fn check_org(&self, what: &'static str, found: &str) -> Result<(), TrustError> {
        if found == self.org() {
            Ok(())
        } else {
            Err(TrustError::Org {
                what,
                expected: self.org().to_owned(),
                found: found.to_owned(),
            })
        }
    }

    /// A document newer than the clock is no reason to refuse it: the clock may be wrong, and the document raises the
    /// floor. So its own time of issue counts as now when the clock is behind it.
    fn check_fresh(
        &self,
        what: &'static str,
        issued_at_ms: i64,
        expires_at_ms: i64,
        now_ms: i64,
    ) -> Result<(), TrustError> {
        let now = effective_now(now_ms, self.floor).max(issued_at_ms);
        if now < expires_at_ms {
            Ok(())
        } else {
            Err(TrustError::Expired {
                what,
                expired_at_ms: expires_at_ms,
            })
        }
    }

    fn check_people(&self, envelope: &Envelope) -> Result<People, TrustError> {
        let people = People::decode(envelope)?;
        self.check_org(People::NAME, &people.org)?;
        let root = &self.root.document;
        check_signatures(
            envelope,
            root,
            &root.trust_admins,
            People::NAME,
            "the trust administrators",
        )?;
        check_version(
            People::NAME,
            self.people_mark,
            people.version,
            envelope.payload_digest(),
        )?;
        Ok(people)
    }

    fn hold_people(&mut self, envelope: Envelope) -> Result<(), TrustError> {
        let people = People::decode(&envelope)?;
        let digest = envelope.payload_digest();
        self.floor.raise(people.issued_at_ms);
        self.people_mark = Some(Mark {
            version: people.version,
            digest,
        });
        self.people = Some(Held {
            document: people,
            digest,
        });
        self.people_envelope = Some(envelope);
        Ok(())
    }

    fn check_catalogue(&self, bytes: &[u8]) -> Result<(Catalogue, Digest, usize), TrustError> {
        let envelope = Envelope::from_json(bytes)?;
        let catalogue = Catalogue::decode(&envelope)?;
        self.check_org(Catalogue::NAME, &catalogue.org)?;
        let root = &self.root.document;
        check_signatures(
            &envelope,
            root,
            &root.publishers,
            Catalogue::NAME,
            "the publishers",
        )?;
        let digest = envelope.payload_digest();
        check_version(
            Catalogue::NAME,
            self.catalogue_mark,
            catalogue.version,
            digest,
        )?;
        let publishers = envelope.count_signers(root.role_keys(&root.publishers));
        Ok((catalogue, digest, publishers))
    }

    fn hold_catalogue(
        &mut self,
        catalogue: Catalogue,
        digest: Digest,
        publishers: usize,
    ) -> VerifiedCatalogue {
        self.floor.raise(catalogue.issued_at_ms);
        self.catalogue_mark = Some(Mark {
            version: catalogue.version,
            digest,
        });
        VerifiedCatalogue {
            catalogue,
            digest,
            root_digest: self.root.digest,
            publishers,
        }
    }

    /// SHA-256 of the payload of the people document held.
    pub fn people_digest(&self) -> Option<Digest> {
        self.people.as_ref().map(|held| held.digest)
    }
}

fn check_signatures(
    envelope: &Envelope,
    root: &Root,
    role: &Role,
    what: &'static str,
    name: &'static str,
) -> Result<(), TrustError> {
    let found = envelope.count_signers(root.role_keys(role));
    if found >= role.threshold as usize && found > 0 {
        Ok(())
    } else {
        Err(TrustError::Signatures {
            what,
            role: name,
            found,
            needed: role.threshold,
        })
    }
}

fn check_version(
    what: &'static str,
    held: Option<Mark>,
    version: u64,
    digest: Digest,
) -> Result<(), TrustError> {
    match held {
        Some(mark) if version < mark.version => Err(TrustError::Rollback {
            what,
            held: mark.version,
            found: version,
        }),
        Some(mark) if version == mark.version && digest != mark.digest => {
            Err(TrustError::Fork { what, version })
        }
        _ => Ok(()),
    }
}
