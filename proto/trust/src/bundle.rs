//! The order bundle: everything one machine needs to judge one order. A coordinator delivers it, evidence contains it.
//! It is canonical JSON but not signed itself: every part is signed or bound by a digest in a signed part.

use serde::{Deserialize, Serialize};

use crate::canonical::{FormatError, check_len, decode_json, encode_json};
use crate::definition::Definition;
use crate::digest::{Digest, hex_bytes};
use crate::dsse::Envelope;
use crate::merkle::MAX_PROOF;
use crate::order::{Leaf, Order};
use crate::{Document as _, statement::Statement};

/// Most bytes of a bundle.
pub const MAX_BUNDLE_BYTES: usize = 2 * 1024 * 1024;
/// Most statements in a bundle.
pub const MAX_STATEMENTS: usize = 32;

const NAME: &str = "order bundle";

/// Order, statements, definition and this machine's place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBundle {
    /// Signed by the requester.
    pub order: Envelope,
    /// Each signed by one person; at most 32.
    pub statements: Vec<Envelope>,
    /// Canonical bytes of the definition, in JSON as hex.
    #[serde(with = "hex_bytes")]
    pub definition: Vec<u8>,
    /// This machine.
    pub leaf: Leaf,
    /// Its place among the leaves, from 0.
    pub leaf_index: u32,
    /// Its inclusion proof.
    pub proof: Vec<Digest>,
}

impl OrderBundle {
    /// Canonical JSON.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        let bytes = encode_json(NAME, self)?;
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(FormatError::TooLarge {
                what: NAME,
                limit: MAX_BUNDLE_BYTES,
            });
        }
        Ok(bytes)
    }

    /// Reads canonical JSON. Bounds sizes; verifies no signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > MAX_BUNDLE_BYTES {
            return Err(FormatError::TooLarge {
                what: NAME,
                limit: MAX_BUNDLE_BYTES,
            });
        }
        let bundle: Self = decode_json(NAME, bytes)?;
        bundle.check()?;
        Ok(bundle)
    }

    /// SHA-256 of the order's payload.
    pub fn order_digest(&self) -> Digest {
        self.order.payload_digest()
    }

    /// The order, unverified.
    pub fn read_order(&self) -> Result<Order, FormatError> {
        Order::decode(&self.order)
    }

    /// The definition, unverified.
    pub fn read_definition(&self) -> Result<Definition, FormatError> {
        Definition::decode_payload(&self.definition)
    }

    pub(crate) fn check(&self) -> Result<(), FormatError> {
        check_len(NAME, "statements", &self.statements, MAX_STATEMENTS)?;
        check_len(NAME, "proof", &self.proof, MAX_PROOF)?;
        self.leaf.check()?;
        self.order.check()?;
        for statement in &self.statements {
            statement.check()?;
            if statement.payload.len() > Statement::MAX_BYTES {
                return Err(FormatError::TooLarge {
                    what: Statement::NAME,
                    limit: Statement::MAX_BYTES,
                });
            }
        }
        if self.definition.len() > Definition::MAX_BYTES {
            return Err(FormatError::TooLarge {
                what: Definition::NAME,
                limit: Definition::MAX_BYTES,
            });
        }
        Ok(())
    }
}
