//! What people sign and how a machine, a command line or an auditor verifies it.
//!
//! The papers are [`Root`], [`People`], [`Catalogue`], [`Definition`], [`Order`], [`Statement`], [`ConsentReceipt`],
//! [`ActionResult`] and [`Checkpoint`]. Each travels as canonical JSON inside a DSSE envelope ([`dsse::Envelope`]);
//! `docs/trust-formats.md` describes the bytes for other implementations.
//!
//! The one way to run something is [`verify_order`], which yields [`Authorised`]; nothing else can make that value.
//!
//! This crate must never know the clock, the network, files or the other crates of the workspace: `now`, random bytes
//! and documents are parameters.

pub mod bundle;
pub mod canonical;
pub mod catalogue;
pub mod definition;
pub mod digest;
pub mod dsse;
pub mod evidence;
pub mod key;
pub mod merkle;
pub mod order;
pub mod people;
pub mod refusal;
pub mod render;
pub mod result;
pub mod root;
pub mod state;
pub mod statement;
pub mod text;
pub mod verify;

pub use bundle::OrderBundle;
pub use canonical::{Document, FormatError, sign};
pub use catalogue::{Catalogue, CatalogueEntry};
pub use definition::Definition;
pub use digest::Digest;
pub use dsse::Envelope;
pub use evidence::{Evidence, EvidenceError, EvidenceReport, verify_evidence};
pub use key::{KeyId, PublicKey, SigningKey};
pub use order::{Leaf, Order};
pub use people::People;
pub use refusal::Refusal;
pub use render::describe_order;
pub use result::{
    ActionResult, ConsentReceipt, ResultError, consent_suffices, verify_consent, verify_result,
};
pub use root::Root;
pub use state::{
    MAX_ORDER_VALIDITY_MS, MAX_PEOPLE_VALIDITY_MS, TimeFloor, TrustError, TrustState,
    VerifiedCatalogue, effective_now,
};
pub use statement::{Decision, Statement};
pub use text::Text;
pub use verify::{
    Authorised, DeviceIdentity, SignedBy, VerifiedRequest, judge_statement, verify_approvals,
    verify_order, verify_request,
};
