//! The evidence file: every paper of one order on one machine, verified offline with the pinned root alone, as of the
//! time the papers themselves carry.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::bundle::OrderBundle;
use crate::canonical::{Document, FormatError, check_len, decode_json, encode_json};
use crate::catalogue::Catalogue;
use crate::digest::{Digest, hex_bytes};
use crate::dsse::Envelope;
use crate::key::PublicKey;
use crate::merkle;
use crate::order::Order;
use crate::people::People;
use crate::refusal::Refusal;
use crate::result::{
    ActionResult, ConsentReceipt, Outcome, ResultError, consent_suffices, verify_consent,
    verify_result,
};
use crate::root::{Root, check_org};
use crate::state::{TrustError, TrustState, VerifiedCatalogue};
use crate::statement::Statement;
use crate::text::Text;
use crate::verify::{Authorised, DeviceIdentity, judge_order};

mod report;

use report::{Findings, report};

/// Most bytes of an evidence file.
pub const MAX_EVIDENCE_BYTES: usize = 16 * 1024 * 1024;
/// Most roots in the chain.
pub const MAX_ROOTS: usize = 64;
/// Most bytes of a log entry.
pub const MAX_LOG_ENTRY_BYTES: usize = 64 * 1024;

const NAME: &str = "evidence file";

/// Every paper of one order on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The roots after the pinned one, oldest first; may include the pinned one and others.
    pub roots: Vec<Envelope>,
    /// The people document the machine held.
    pub people: Envelope,
    /// The catalogue the machine held.
    pub catalogue: Envelope,
    /// Order, statements, definition, leaf and proof.
    pub bundle: OrderBundle,
    /// The device's public key.
    pub device_key: PublicKey,
    /// The answer of the person there, when somebody was told or asked.
    pub consent: Option<Envelope>,
    /// The machine's result; absent when it never came.
    pub result: Option<Envelope>,
    /// The coordinator's event log.
    pub log: Option<LogEvidence>,
}

/// An entry of the coordinator's sealed log and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEvidence {
    /// The signed head of the log.
    pub checkpoint: Envelope,
    /// The coordinator's log key. The root does not vouch for it.
    pub log_key: PublicKey,
    /// The entry's bytes, in JSON as hex.
    #[serde(with = "hex_bytes")]
    pub entry: Vec<u8>,
    /// Its place in the log.
    pub index: u64,
    /// Its inclusion proof under the checkpoint.
    pub proof: Vec<Digest>,
}

/// The signed head of a coordinator's event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// How many entries.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Digest,
    /// UTC milliseconds.
    pub at_ms: i64,
}

impl Document for Checkpoint {
    const NAME: &'static str = "checkpoint";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.checkpoint.v1+json";
    const MAX_BYTES: usize = 4096;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        check_org(Self::NAME, &self.org)?;
        if self.at_ms < 0 {
            return Err(FormatError::invalid(Self::NAME, "at_ms", "is before 1970"));
        }
        Ok(())
    }
}

/// What an evidence file proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceReport {
    /// The organisation.
    pub org: String,
    /// True when one key alone could replace the root: less to rely on.
    pub single_signer: bool,
    /// Version of the root the papers were verified under.
    pub root_version: u64,
    /// SHA-256 of the order's payload.
    pub order_digest: Digest,
    /// Order id.
    pub order_id: String,
    /// Ticket number.
    pub ticket: String,
    /// Requester's id.
    pub requester: String,
    /// Approvers' ids.
    pub approvers: Vec<String>,
    /// Name of the machine.
    pub host_name: String,
    /// Fingerprint of its key.
    pub device_fingerprint: Digest,
    /// How it ended; None without a result.
    pub outcome: Option<Outcome>,
    /// Whether the check held; None when it did not run.
    pub check_holds: Option<bool>,
    /// True when the order was authorised at `judged_at_ms`. False only where the machine refused it.
    pub authorised: bool,
    /// The time of the judgement, out of the papers, UTC milliseconds.
    pub judged_at_ms: i64,
    /// Each step, in the order of events, in both languages.
    pub steps: Vec<ReportStep>,
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportStep {
    /// What was verified.
    pub title: Text,
    /// Who, what, which.
    pub detail: Text,
    /// When, by the paper, UTC milliseconds.
    pub at_ms: Option<i64>,
}

/// Why an evidence file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvidenceError {
    /// Not an evidence file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Root, people document or catalogue.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The order was not authorised, yet the machine ran it.
    #[error("the order was not authorised: {0}")]
    Order(Refusal),
    /// The result does not verify.
    #[error("the result: {0}")]
    Result(ResultError),
    /// The consent receipt does not verify.
    #[error("the consent receipt: {0}")]
    Consent(ResultError),
    /// The result names another consent receipt, or one is missing.
    #[error("the consent receipt is not the one the result names, or is missing")]
    ConsentMismatch,
    /// The machine ran although the answer was no.
    #[error("the machine ran the order although consent was not given")]
    ConsentNotGiven,
    /// The device key is not the one the order was signed for.
    #[error("the device's key is not the one the order was signed for")]
    DeviceKey,
    /// A signature in the file that is none, or that nobody needs.
    #[error("{0} carries a signature that does not count")]
    SpareSignature(&'static str),
    /// Checkpoint or inclusion proof.
    #[error("the log's checkpoint or proof does not verify")]
    Log,
}

impl EvidenceError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(inner) => inner.code(),
            Self::Trust(inner) => inner.code(),
            Self::Order(inner) => inner.code(),
            Self::Result(inner) => inner.code(),
            Self::Consent(_) => "CONSENT_INVALID",
            Self::ConsentMismatch => "CONSENT_MISMATCH",
            Self::ConsentNotGiven => "CONSENT_NOT_GIVEN",
            Self::DeviceKey => "EVIDENCE_DEVICE_KEY",
            Self::SpareSignature(_) => "EVIDENCE_SPARE_SIGNATURE",
            Self::Log => "LOG_PROOF_INVALID",
        }
    }

    /// The same in both languages.
    pub fn text(&self) -> Text {
        let es = match self {
            Self::Format(inner) => return inner.text(),
            Self::Trust(inner) => return inner.text(),
            Self::Order(inner) => format!("la orden no estaba autorizada: {}", inner.text().es),
            Self::Result(inner) => format!("el resultado: {}", inner.text().es),
            Self::Consent(inner) => format!("el recibo de consentimiento: {}", inner.text().es),
            Self::ConsentMismatch => {
                "el recibo de consentimiento no es el que nombra el resultado, o falta".into()
            }
            Self::ConsentNotGiven => {
                "el equipo ejecutó la orden sin que se diera el consentimiento".into()
            }
            Self::DeviceKey => {
                "la clave del equipo no es aquella para la que se firmó la orden".into()
            }
            Self::SpareSignature(what) => format!("{what} lleva una firma que no cuenta"),
            Self::Log => "el punto de control del registro o su prueba no se verifica".into(),
        };
        Text::new(es, self.to_string())
    }
}

impl Evidence {
    /// Canonical JSON.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.check()?;
        let bytes = encode_json(NAME, self)?;
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(FormatError::TooLarge {
                what: NAME,
                limit: MAX_EVIDENCE_BYTES,
            });
        }
        Ok(bytes)
    }

    /// Reads canonical JSON. Bounds sizes; verifies no signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() > MAX_EVIDENCE_BYTES {
            return Err(FormatError::TooLarge {
                what: NAME,
                limit: MAX_EVIDENCE_BYTES,
            });
        }
        let evidence: Self = decode_json(NAME, bytes)?;
        evidence.check()?;
        Ok(evidence)
    }

    fn check(&self) -> Result<(), FormatError> {
        check_len(NAME, "roots", &self.roots, MAX_ROOTS)?;
        self.bundle.check()?;
        let log = self.log.as_ref().map(|log| &log.checkpoint);
        let single = [&self.people, &self.catalogue];
        for envelope in self
            .roots
            .iter()
            .chain(single)
            .chain(&self.consent)
            .chain(&self.result)
            .chain(log)
        {
            envelope.check()?;
        }
        if let Some(log) = &self.log {
            check_len(NAME, "log.proof", &log.proof, merkle::MAX_PROOF)?;
            check_len(NAME, "log.entry", &log.entry, MAX_LOG_ENTRY_BYTES)?;
        }
        Ok(())
    }
}

/// Verifies an evidence file (canonical JSON) against the pinned root (envelope JSON) and nothing else. The order is
/// judged as of the time its machine says it began, or refused; when nothing began, as of the latest time its papers
/// carry; never before its people document and catalogue were issued. A root renewed since changes nothing of that, also
/// one that asks for more than the papers needed in their day.
pub fn verify_evidence(bytes: &[u8], pinned_root: &[u8]) -> Result<EvidenceReport, EvidenceError> {
    let evidence = Evidence::decode(bytes)?;
    let established = establish(&evidence, pinned_root)?;
    let bundle = &evidence.bundle;
    let digest = bundle.order_digest();
    let key = &evidence.device_key;
    if bundle.leaf.device_fingerprint != key.fingerprint() {
        return Err(EvidenceError::DeviceKey);
    }
    let result = match &evidence.result {
        Some(envelope) => {
            Some(verify_result(&envelope.to_json(), &digest, key).map_err(EvidenceError::Result)?)
        }
        None => None,
    };
    let consent = match &evidence.consent {
        Some(envelope) => Some(
            verify_consent(&envelope.to_json(), &digest, key).map_err(EvidenceError::Consent)?,
        ),
        None => None,
    };
    let order = bundle.read_order()?;
    if result
        .as_ref()
        .is_some_and(|result| result.org != order.org)
    {
        return Err(EvidenceError::Result(ResultError::Organisation));
    }
    if consent.as_ref().is_some_and(|paper| paper.org != order.org) {
        return Err(EvidenceError::Consent(ResultError::Organisation));
    }
    check_consent(&evidence, &order, result.as_ref(), consent.as_ref())?;
    let at_ms = match &result {
        Some(result) if result.outcome == Outcome::Refused => result.finished_at_ms,
        Some(ActionResult {
            started_at_ms: Some(at_ms),
            ..
        }) => *at_ms,
        _ => latest_time(&evidence, &order),
    };
    let device = DeviceIdentity::of(key, None);
    let refused = result
        .as_ref()
        .is_some_and(|r| r.outcome == Outcome::Refused);
    let (trust, judged) = judge(&bundle.encode()?, established, &device, at_ms)?;
    let authorised = match judged {
        Ok(authorised) => Some(authorised),
        Err(_) if refused => None,
        Err(refusal) => return Err(EvidenceError::Order(refusal)),
    };
    let in_log = evidence
        .log
        .as_ref()
        .map(|log| check_log(log, &trust))
        .transpose()?;

    Ok(report(
        &evidence,
        &trust,
        &order,
        at_ms,
        Findings {
            authorised: authorised.as_ref(),
            result: result.as_ref(),
            consent: consent.as_ref(),
            checkpoint: in_log.as_ref(),
        },
    ))
}

/// Judges the order under the newest root that was in force at its time, or under one that came after: whichever
/// authorises it. A root that a newer one had replaced by then is not asked, or an order with too few approvals could be
/// proved by the thresholds of the past. Answers the judgement of the newest root when none authorises.
fn judge(
    bundle: &[u8],
    established: Vec<(TrustState, VerifiedCatalogue)>,
    device: &DeviceIdentity,
    at_ms: i64,
) -> Result<(TrustState, Result<Authorised, Refusal>), EvidenceError> {
    let mut newest = None;
    for (trust, catalogue) in established {
        // Not the floor of the trust state: a root renewed since raises it past the end of every older order. The two
        // documents the machine held did bound its time.
        let at_ms = at_ms
            .max(trust.people().map_or(at_ms, |held| held.issued_at_ms))
            .max(catalogue.catalogue().issued_at_ms);
        let in_force_then = trust.root().issued_at_ms <= at_ms;
        let judged = judge_order(bundle, &trust, &catalogue, device, at_ms);
        if judged.is_ok() {
            return Ok((trust, judged));
        }
        newest.get_or_insert((trust, judged));
        if in_force_then {
            break;
        }
    }
    newest.ok_or_else(no_roots)
}

/// Walks the chain of roots from the pinned one and finds the roots that the people document and catalogue verify under,
/// newest first; at least one.
fn establish(
    evidence: &Evidence,
    pinned_root: &[u8],
) -> Result<Vec<(TrustState, VerifiedCatalogue)>, EvidenceError> {
    let mut state = TrustState::from_root(pinned_root)?;
    let mut states = vec![state.clone()];
    // A root may be signed by keys of the one before; of the first in the file that may be any older one, or the pinned.
    let mut keys: Vec<PublicKey> = state.root().keys.clone();
    for envelope in &evidence.roots {
        let root = Root::decode(envelope)?;
        keys.extend(&root.keys);
        if root.version > state.root().version {
            state.accept_root(&envelope.to_json())?;
            states.push(state.clone());
        }
        // An older root than the pinned one proves nothing; the same version must be the same root.
        if root.version == state.root().version && envelope.payload_digest() != state.root_digest()
        {
            return Err(EvidenceError::Trust(TrustError::Fork {
                what: Root::NAME,
                version: root.version,
            }));
        }
        all_count(Root::NAME, envelope, &keys)?;
        keys = root.keys.clone();
        keys.extend(&state.root().keys);
    }
    let mut established = Vec::new();
    let mut first_error = None;
    let mut spare = None;
    for mut state in states.into_iter().rev() {
        let tried = state
            .restore_people(&evidence.people.to_json())
            .and_then(|()| state.restore_catalogue(&evidence.catalogue.to_json()));
        let strict = all_count(People::NAME, &evidence.people, &state.root().keys)
            .and_then(|()| all_count(Catalogue::NAME, &evidence.catalogue, &state.root().keys));
        match tried {
            Ok(_) if strict.is_err() => spare = spare.or(strict.err()),
            Ok(catalogue) => established.push((state, catalogue)),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    if let Some(spare) = spare.filter(|_| established.is_empty()) {
        return Err(spare);
    }
    if established.is_empty() {
        return Err(first_error.map_or_else(no_roots, EvidenceError::Trust));
    }
    Ok(established)
}

/// Every signature is of one of these keys and verifies: then no byte of the envelope can change unseen.
fn all_count(
    what: &'static str,
    envelope: &Envelope,
    keys: &[PublicKey],
) -> Result<(), EvidenceError> {
    if envelope.count_signers(keys) == envelope.signatures.len() {
        Ok(())
    } else {
        Err(EvidenceError::SpareSignature(what))
    }
}

fn no_roots() -> EvidenceError {
    EvidenceError::Format(FormatError::invalid(NAME, "roots", "is empty"))
}

fn check_consent(
    evidence: &Evidence,
    order: &Order,
    result: Option<&ActionResult>,
    consent: Option<&ConsentReceipt>,
) -> Result<(), EvidenceError> {
    let Some(result) = result else { return Ok(()) };
    let present = evidence.consent.as_ref().map(Envelope::payload_digest);
    if result.consent_digest != present {
        return Err(EvidenceError::ConsentMismatch);
    }
    let ran = result.started_at_ms.is_some();
    if ran && !consent_suffices(order.consent, consent.map(|c| c.answer)) {
        return Err(EvidenceError::ConsentNotGiven);
    }
    Ok(())
}

/// The earliest moment at which all papers can have been there.
fn latest_time(evidence: &Evidence, order: &Order) -> i64 {
    evidence
        .bundle
        .statements
        .iter()
        .filter_map(|envelope| Statement::decode(envelope).ok())
        .map(|statement| statement.at_ms)
        .chain([
            order.created_at_ms,
            order.not_before_ms,
            evidence.bundle.leaf.not_before_ms,
        ])
        .max()
        .unwrap_or(order.created_at_ms)
}

fn check_log(log: &LogEvidence, trust: &TrustState) -> Result<Checkpoint, EvidenceError> {
    let checkpoint = Checkpoint::decode(&log.checkpoint)?;
    let leaf = merkle::leaf_hash(&log.entry);
    let holds = log.checkpoint.is_signed_by(&log.log_key)
        && checkpoint.org == trust.org()
        && merkle::verify(
            &leaf,
            log.index,
            checkpoint.size,
            &log.proof,
            &checkpoint.root,
        );
    if holds {
        Ok(checkpoint)
    } else {
        Err(EvidenceError::Log)
    }
}
