//! DSSE envelopes (<https://github.com/secure-systems-lab/dsse>): payload bytes, their type, and signatures over the
//! pre-authentication encoding of both. An envelope proves nothing by itself: who may sign what is decided in
//! [`crate::state`] and [`crate::verify`].

use serde::{Deserialize, Serialize};

use crate::canonical::{FormatError, decode_json, encode_json};
use crate::digest::Digest;
use crate::key::{KeyId, PublicKey, SigningKey};

/// Most payload bytes.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;
/// Most signatures.
pub const MAX_SIGNATURES: usize = 16;
/// Most bytes of the JSON form.
pub const MAX_ENVELOPE_BYTES: usize = MAX_PAYLOAD_BYTES / 3 * 4 + 16 * 1024;

const NAME: &str = "envelope";

/// Payload, its type and signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The payload, in JSON as base64.
    #[serde(with = "base64_bytes")]
    pub payload: Vec<u8>,
    /// For example `application/vnd.chasqui.order.v1+json`.
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// Signatures over [`pae`].
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which key, as a hint: it chooses among the keys allowed, it allows none.
    #[serde(rename = "keyid")]
    pub key_id: KeyId,
    /// The 64 bytes of Ed25519, in JSON as base64.
    #[serde(rename = "sig", with = "base64_bytes")]
    pub signature: Vec<u8>,
}

impl Envelope {
    /// Reads the JSON form. Bounds sizes and insists on canonical bytes; verifies no signature.
    pub fn from_json(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > MAX_ENVELOPE_BYTES {
            return Err(FormatError::TooLarge {
                what: NAME,
                limit: MAX_ENVELOPE_BYTES,
            });
        }
        let envelope: Self = decode_json(NAME, bytes)?;
        envelope.check()?;
        Ok(envelope)
    }

    /// The JSON form, always the same bytes for the same envelope.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, bytes and lists alone cannot fail to encode; an empty answer would be refused by every reader.
        encode_json(NAME, self).unwrap_or_default()
    }

    /// SHA-256 of the payload bytes: the name of this paper in others (an order's digest in a statement).
    pub fn payload_digest(&self) -> Digest {
        Digest::of(&self.payload)
    }

    /// Adds the signature of one more key, or replaces that key's earlier one. Order of signatures is by key id.
    pub fn add_signature(&mut self, key: &SigningKey) {
        let signature = key.sign(&self.payload_type, &self.payload);
        self.signatures.retain(|s| s.key_id != signature.key_id);
        self.signatures.push(signature);
        self.signatures.sort_by_key(|s| s.key_id);
    }

    /// True if this key signed these bytes.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let id = key.id();
        self.signatures
            .iter()
            .filter(|s| s.key_id == id)
            .any(|s| key.verify(&self.payload_type, &self.payload, &s.signature))
    }

    /// How many distinct keys of `keys` signed these bytes. A key listed twice, or signing twice, counts once.
    pub fn count_signers<'a>(&self, keys: impl IntoIterator<Item = &'a PublicKey>) -> usize {
        let mut ids: Vec<KeyId> = keys
            .into_iter()
            .filter(|key| self.is_signed_by(key))
            .map(PublicKey::id)
            .collect();
        ids.sort();
        ids.dedup();
        ids.len()
    }

    pub(crate) fn check(&self) -> Result<(), FormatError> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(FormatError::TooLarge {
                what: "payload",
                limit: MAX_PAYLOAD_BYTES,
            });
        }
        if self.payload_type.len() > 128 {
            return Err(FormatError::TooLarge {
                what: "payloadType",
                limit: 128,
            });
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(FormatError::invalid(
                NAME,
                "signatures",
                format!("has more than {MAX_SIGNATURES} entries"),
            ));
        }
        if self.signatures.iter().any(|s| s.signature.len() != 64) {
            return Err(FormatError::invalid(
                NAME,
                "signatures.sig",
                "must have 64 bytes",
            ));
        }
        // One order of signatures, so equal envelopes have equal bytes.
        if !self.signatures.is_sorted_by(|a, b| a.key_id < b.key_id) {
            return Err(FormatError::invalid(
                NAME,
                "signatures",
                "must be sorted by keyid, each once",
            ));
        }
        Ok(())
    }
}

/// DSSE pre-authentication encoding, version 1: what a key signs.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "DSSEv1 {} {} {} ",
        payload_type.len(),
        payload_type,
        payload.len()
    )
    .into_bytes();
    out.extend_from_slice(payload);
    out
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pae_is_the_example_of_the_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn one_key_signing_twice_counts_once() {
        let key = SigningKey::generate([7; 32]);
        let other = SigningKey::generate([8; 32]);
        let mut envelope = Envelope {
            payload: b"{}".to_vec(),
            payload_type: "text/plain".into(),
            signatures: Vec::new(),
        };
        envelope.add_signature(&key);
        envelope.add_signature(&key);
        let (a, b) = (key.public_key(), other.public_key());
        assert_eq!(envelope.count_signers([&a, &a, &b]), 1);
        envelope.add_signature(&other);
        assert_eq!(envelope.count_signers([&a, &a, &b]), 2);
        let bytes = envelope.to_json();
        assert_eq!(Envelope::from_json(&bytes).unwrap(), envelope);
    }

    #[test]
    fn a_second_signature_of_one_key_and_spare_space_are_refused() {
        let key = SigningKey::generate([7; 32]);
        let mut envelope = Envelope {
            payload: b"{}".to_vec(),
            payload_type: "text/plain".into(),
            signatures: vec![key.sign("text/plain", b"{}"), key.sign("text/plain", b"{}")],
        };
        assert!(Envelope::from_json(&envelope.to_json()).is_err());
        envelope.signatures.pop();
        let mut bytes = envelope.to_json();
        assert!(Envelope::from_json(&bytes).is_ok());
        bytes.push(b' ');
        assert_eq!(
            Envelope::from_json(&bytes).unwrap_err().code(),
            "PAPER_NOT_CANONICAL"
        );
    }
}
