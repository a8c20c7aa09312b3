//! Canonical JSON and the rules all papers share: fields in the order of the struct, no maps, integers only, no unknown
//! field, no spare space. Decoding and encoding again must give the same bytes, so a verifier that does not know a field
//! can never drop it unseen. `critical` names the extension fields a verifier must understand; it is read first, so an
//! old program says "update me" and not "bad JSON".

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::key::SigningKey;
use crate::text::Text;

/// Why bytes are not one of our papers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// More bytes than this paper may have.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// The paper.
        what: &'static str,
        /// The most it may have.
        limit: usize,
    },
    /// Not the JSON of this paper: syntax, a missing or an unknown field.
    #[error("{what} cannot be read: {why}")]
    Unreadable {
        /// The paper.
        what: &'static str,
        /// What the reader met.
        why: String,
    },
    /// Readable, but encoding it again gives other bytes.
    #[error("{what} is not in canonical form")]
    NotCanonical {
        /// The paper.
        what: &'static str,
    },
    /// `critical` names a field this program does not know.
    #[error("{what} needs {name:?}, which this program does not know; update the program")]
    UnknownCritical {
        /// The paper.
        what: &'static str,
        /// The name in `critical`.
        name: String,
    },
    /// An envelope with another payload type.
    #[error("expected payload type {expected}, found {found}")]
    WrongType {
        /// The type asked for.
        expected: &'static str,
        /// The type met.
        found: String,
    },
    /// A field breaks a rule of the paper.
    #[error("{what}: {field} {why}")]
    Invalid {
        /// The paper.
        what: &'static str,
        /// The field, as a path.
        field: String,
        /// The rule.
        why: String,
    },
}

impl FormatError {
    pub(crate) fn invalid(
        what: &'static str,
        field: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            what,
            field: field.into(),
            why: why.into(),
        }
    }

    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "PAPER_TOO_LARGE",
            Self::Unreadable { .. } => "PAPER_UNREADABLE",
            Self::NotCanonical { .. } => "PAPER_NOT_CANONICAL",
            Self::UnknownCritical { .. } => "UNKNOWN_CRITICAL",
            Self::WrongType { .. } => "PAPER_WRONG_TYPE",
            Self::Invalid { .. } => "PAPER_INVALID",
        }
    }

    /// The same in both languages.
    pub fn text(&self) -> Text {
        let en = self.to_string();
        let es = match self {
            Self::TooLarge { what, limit } => format!("{what} tiene más de {limit} bytes"),
            Self::Unreadable { what, why } => format!("{what} no se puede leer: {why}"),
            Self::NotCanonical { what } => format!("{what} no está en forma canónica"),
            Self::UnknownCritical { what, name } => {
                format!("{what} exige {name:?}, que este programa no conoce; actualice el programa")
            }
            Self::WrongType { expected, found } => {
                format!("se esperaba el tipo {expected} y llegó {found}")
            }
            Self::Invalid { what, field, why } => format!("{what}: {field} {why}"),
        };
        Text { es, en }
    }
}

/// A paper that is signed (or, for a definition, named by digest in a signed paper).
pub trait Document: Serialize + DeserializeOwned + Sized {
    /// Short English name for messages.
    const NAME: &'static str;
    /// DSSE payload type.
    const PAYLOAD_TYPE: &'static str;
    /// Most payload bytes.
    const MAX_BYTES: usize;
    /// Names this program knows in `critical`. Version 1 has none; a later field that restricts goes here, is left out
    /// of the JSON when absent, and must be named in `critical` when present.
    const EXTENSIONS: &'static [&'static str] = &[];

    /// The `critical` list.
    fn critical(&self) -> &[String];

    /// The rules of this paper beyond its JSON shape.
    fn validate(&self) -> Result<(), FormatError>;

    /// The canonical payload bytes. Refuses a paper that breaks its own rules, so nothing unverifiable gets signed.
    fn encode(&self) -> Result<Vec<u8>, FormatError> {
        check_critical::<Self>(self.critical())?;
        self.validate()?;
        let bytes = encode_json(Self::NAME, self)?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(FormatError::TooLarge {
                what: Self::NAME,
                limit: Self::MAX_BYTES,
            });
        }
        Ok(bytes)
    }

    /// Reads payload bytes: size, `critical`, shape, canonical form, rules. Verifies no signature.
    fn decode_payload(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(FormatError::TooLarge {
                what: Self::NAME,
                limit: Self::MAX_BYTES,
            });
        }
        let peek: Peek = serde_json::from_slice(bytes).map_err(|e| unreadable(Self::NAME, &e))?;
        check_critical::<Self>(&peek.critical)?;
        let value: Self = decode_json(Self::NAME, bytes)?;
        value.validate()?;
        Ok(value)
    }

    /// Reads the payload of an envelope of this type. Verifies no signature.
    fn decode(envelope: &Envelope) -> Result<Self, FormatError> {
        if envelope.payload_type != Self::PAYLOAD_TYPE {
            return Err(FormatError::WrongType {
                expected: Self::PAYLOAD_TYPE,
                found: envelope.payload_type.clone(),
            });
        }
        Self::decode_payload(&envelope.payload)
    }

    /// SHA-256 over the canonical payload bytes.
    fn digest(&self) -> Result<Digest, FormatError> {
        Ok(Digest::of(&self.encode()?))
    }
}

/// Signs a paper with each key. With no keys the envelope carries no signature, to be added elsewhere
/// ([`Envelope::add_signature`]).
pub fn sign<T: Document>(document: &T, keys: &[&SigningKey]) -> Result<Envelope, FormatError> {
    let mut envelope = Envelope {
        payload_type: T::PAYLOAD_TYPE.to_owned(),
        payload: document.encode()?,
        signatures: Vec::new(),
    };
    for key in keys {
        envelope.add_signature(key);
    }
    Ok(envelope)
}

#[derive(Deserialize)]
struct Peek {
    critical: Vec<String>,
}

fn check_critical<T: Document>(critical: &[String]) -> Result<(), FormatError> {
    for name in critical {
        if !T::EXTENSIONS.contains(&name.as_str()) {
            return Err(FormatError::UnknownCritical {
                what: T::NAME,
                name: name.chars().take(64).collect(),
            });
        }
    }
    if !critical.is_sorted_by(|a, b| a < b) {
        return Err(FormatError::invalid(
            T::NAME,
            "critical",
            "must be sorted and without repetition",
        ));
    }
    Ok(())
}

fn unreadable(what: &'static str, error: &serde_json::Error) -> FormatError {
    FormatError::Unreadable {
        what,
        why: error.to_string().chars().take(200).collect(),
    }
}

/// JSON bytes of a value.
pub(crate) fn encode_json<T: Serialize>(
    what: &'static str,
    value: &T,
) -> Result<Vec<u8>, FormatError> {
    serde_json::to_vec(value).map_err(|e| unreadable(what, &e))
}

/// Reads JSON and insists that encoding it again gives the same bytes.
pub(crate) fn decode_json<T: Serialize + DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    let value: T = serde_json::from_slice(bytes).map_err(|e| unreadable(what, &e))?;
    if encode_json(what, &value)? == bytes {
        Ok(value)
    } else {
        Err(FormatError::NotCanonical { what })
    }
}

/// Checks that a list has at most `max` entries.
pub(crate) fn check_len<T>(
    what: &'static str,
    field: &str,
    list: &[T],
    max: usize,
) -> Result<(), FormatError> {
    if list.len() > max {
        Err(FormatError::invalid(
            what,
            field,
            format!("has more than {max} entries"),
        ))
    } else {
        Ok(())
    }
}

/// Checks that a list has at most `max` entries and repeats no key.
pub(crate) fn check_distinct<'a, T, K: Ord + 'a>(
    what: &'static str,
    field: &str,
    list: &'a [T],
    max: usize,
    key: impl Fn(&'a T) -> K,
) -> Result<(), FormatError> {
    check_len(what, field, list, max)?;
    let mut keys: Vec<K> = list.iter().map(key).collect();
    keys.sort();
    if keys.is_sorted_by(|a, b| a < b) {
        Ok(())
    } else {
        Err(FormatError::invalid(what, field, "repeats an entry"))
    }
}
