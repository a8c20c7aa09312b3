//! What the machine signs: the result of an order and the answer of the person there. Both with the device's key, whose
//! fingerprint is in the order's leaf.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::canonical::{Document, FormatError, check_distinct, check_len};
use crate::definition::Consent;
use crate::digest::Digest;
use crate::dsse::Envelope;
use crate::key::PublicKey;
use crate::root::check_org;
use crate::text::{Text, check_identifier, check_line, check_optional_line, check_prose};

/// How often a person may put an order off.
pub const MAX_DEFERRALS: u32 = 3;

/// The result document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionResult {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// SHA-256 of the order's payload.
    pub order_digest: Digest,
    /// The machine that signs.
    pub device_fingerprint: Digest,
    /// Counts from 1; an order runs at most once, so a second attempt exists only for an order refused before.
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Why the machine refused; present exactly when `outcome` is `refused`.
    pub refusal: Option<RefusalNote>,
    /// When the first step began, UTC milliseconds by this machine's clock; absent when nothing began.
    pub started_at_ms: Option<i64>,
    /// When the outcome was known, UTC milliseconds by this machine's clock.
    pub finished_at_ms: i64,
    /// Steps that began.
    pub steps: Vec<StepResult>,
    /// What the steps wrote.
    pub output: Output,
    /// The check afterwards; absent when it did not run.
    pub check: Option<CheckResult>,
    /// SHA-256 of the consent receipt's payload, when somebody was told or asked.
    pub consent_digest: Option<Digest>,
    /// How the effects were taken back, when they were.
    pub undo: Option<UndoResult>,
    /// Changes with every start of the machine; the one when the first step began.
    pub started_boot_id: Option<String>,
    /// The one when the outcome was known: another one proves a restart.
    pub boot_id: String,
    /// Version of the agent.
    pub agent_version: String,
    /// This machine's clock minus the coordinator's, milliseconds, when known.
    pub clock_offset_ms: Option<i64>,
}

/// How an order ended on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The check afterwards holds.
    Succeeded,
    /// It does not.
    Failed,
    /// Some of it.
    Partly,
    /// The machine did not begin.
    Refused,
    /// It may have begun and the journal cannot say how it ended.
    Unknown,
    /// Stopped by a person.
    Cancelled,
}

/// Why a machine refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalNote {
    /// A code, for example of [`crate::Refusal::code`].
    pub rule: String,
    /// In words.
    pub detail: Text,
}

/// One step that began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepResult {
    /// The step's id in the definition.
    pub id: String,
    /// None when it did not exit by itself.
    pub exit_code: Option<i64>,
    /// Milliseconds.
    pub duration_ms: i64,
    /// For example `time limit`, `signal 9`; empty when there is nothing to say.
    pub note: String,
}

/// Captured output, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// SHA-256 of the bytes kept.
    pub sha256: Digest,
    /// How many were kept.
    pub bytes: u64,
    /// True when more were written than kept.
    pub truncated: bool,
}

impl Output {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8], truncated: bool) -> Self {
        Self {
            sha256: Digest::of(bytes),
            bytes: bytes.len() as u64,
            truncated,
        }
    }
}

/// The check afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// True is success.
    pub holds: bool,
    /// What was measured.
    pub facts: Vec<CheckFact>,
    /// In words.
    pub explanation: Text,
}

/// How the effects were taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoResult {
    /// Why.
    pub cause: UndoCause,
    /// Its steps.
    pub steps: Vec<StepResult>,
    /// True when every step worked.
    pub complete: bool,
}

/// Why effects were taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoCause {
    /// The check did not hold.
    CheckFailed,
    /// The coordinator could not be reached.
    Unreachable,
}

/// One measured fact, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckFact {
    /// As in the definition's evidence.
    pub name: String,
    /// None when it could not be observed.
    pub before: Option<String>,
    /// None when it could not be observed.
    pub after: Option<String>,
    /// For example `bytes`; empty for none.
    pub unit: String,
}

/// The answer of the person at the workstation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentReceipt {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// The organisation.
    pub org: String,
    /// SHA-256 of the order's payload.
    pub order_digest: Digest,
    /// The machine that signs.
    pub device_fingerprint: Digest,
    /// What was answered.
    pub answer: ConsentAnswer,
    /// Log-in name of who answered; absent when nobody did.
    pub user: Option<String>,
    /// How the answer was given; absent when there was none.
    pub by: Option<AnsweredBy>,
    /// How often the person put it off before, 0 to 3.
    pub deferred: u32,
    /// The words shown, in the language shown.
    pub shown: String,
    /// UTC milliseconds.
    pub asked_at_ms: i64,
    /// UTC milliseconds.
    pub answered_at_ms: i64,
}

/// How an answer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// In a window, with the pointer.
    Pointer,
    /// In a window, with the keyboard or a program that helps to use it.
    Keyboard,
    /// In a terminal.
    Terminal,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentAnswer {
    /// Told; no answer was asked for.
    Notified,
    /// Yes.
    Granted,
    /// No.
    Denied,
    /// No answer in time, which is a no.
    TimedOut,
    /// Nobody was there.
    NobodyPresent,
    /// Somebody has a session and its screen is locked.
    Locked,
}

impl ConsentAnswer {
    /// True if an action that only tells may go on after this answer.
    pub fn permits(self) -> bool {
        matches!(
            self,
            Self::Notified | Self::Granted | Self::NobodyPresent | Self::Locked
        )
    }
}

/// True if an order that asks for this consent may run after this answer. Only a yes satisfies an order that must ask:
/// neither being told, nor silence, nor a locked screen, nor an empty chair.
pub fn consent_suffices(asked: Consent, answer: Option<ConsentAnswer>) -> bool {
    match asked {
        Consent::None | Consent::Notify => answer.is_none_or(ConsentAnswer::permits),
        Consent::Ask | Consent::AskAlways => answer == Some(ConsentAnswer::Granted),
    }
}

/// Why a machine's paper does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResultError {
    /// Not one of our papers.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Not signed by this device.
    #[error("the signature is not of this device's key")]
    Signature,
    /// Names another machine than its key's.
    #[error("the paper names another machine than the one that signed it")]
    Device,
    /// Names another order.
    #[error("the paper is about another order")]
    Order,
    /// Names another organisation.
    #[error("the paper is of another organisation than the order")]
    Organisation,
}

impl ResultError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Format(inner) => inner.code(),
            Self::Signature => "RESULT_SIGNATURE_INVALID",
            Self::Device => "RESULT_DEVICE_MISMATCH",
            Self::Order => "RESULT_ORDER_MISMATCH",
            Self::Organisation => "RESULT_ORG_MISMATCH",
        }
    }

    /// The same in both languages.
    pub fn text(&self) -> Text {
        let es = match self {
            Self::Format(inner) => return inner.text(),
            Self::Signature => "la firma no es de la clave de este equipo",
            Self::Device => "el documento nombra un equipo distinto del que lo firmó",
            Self::Order => "el documento trata de otra orden",
            Self::Organisation => "el documento es de otra organización que la orden",
        };
        Text::new(es, self.to_string())
    }
}

/// Verifies a result: envelope JSON signed by `device_key` alone, about this order, naming that key's fingerprint.
pub fn verify_result(
    bytes: &[u8],
    order_digest: &Digest,
    device_key: &PublicKey,
) -> Result<ActionResult, ResultError> {
    let envelope = Envelope::from_json(bytes)?;
    let result = ActionResult::decode(&envelope)?;
    check_device_paper(
        &envelope,
        device_key,
        order_digest,
        (&result.order_digest, &result.device_fingerprint),
    )?;
    Ok(result)
}

/// Verifies a consent receipt in the same way.
pub fn verify_consent(
    bytes: &[u8],
    order_digest: &Digest,
    device_key: &PublicKey,
) -> Result<ConsentReceipt, ResultError> {
    let envelope = Envelope::from_json(bytes)?;
    let receipt = ConsentReceipt::decode(&envelope)?;
    check_device_paper(
        &envelope,
        device_key,
        order_digest,
        (&receipt.order_digest, &receipt.device_fingerprint),
    )?;
    Ok(receipt)
}

fn check_device_paper(
    envelope: &Envelope,
    device_key: &PublicKey,
    order_digest: &Digest,
    (order, device): (&Digest, &Digest),
) -> Result<(), ResultError> {
    if envelope.signatures.len() != 1 || !envelope.is_signed_by(device_key) {
        return Err(ResultError::Signature);
    }
    if *device != device_key.fingerprint() {
        return Err(ResultError::Device);
    }
    if order != order_digest {
        return Err(ResultError::Order);
    }
    Ok(())
}

impl Document for ActionResult {
    const NAME: &'static str = "result";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.result.v1+json";
    const MAX_BYTES: usize = 256 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        let bad = |field: &str, why: &str| Err(FormatError::invalid(Self::NAME, field, why));
        check_org(Self::NAME, &self.org)?;
        if self.attempt == 0 {
            return bad("attempt", "begins at 1");
        }
        if self.refusal.is_some() != (self.outcome == Outcome::Refused) {
            return bad("refusal", "is present exactly when the outcome is refused");
        }
        if let Some(note) = &self.refusal {
            check_identifier(Self::NAME, "refusal.rule", &note.rule, 64)?;
            check_prose(Self::NAME, "refusal.detail.es", &note.detail.es, 2000)?;
            check_prose(Self::NAME, "refusal.detail.en", &note.detail.en, 2000)?;
            if self.started_at_ms.is_some() || !self.steps.is_empty() {
                return bad("started_at_ms", "is absent when the machine refused");
            }
        }
        if self.outcome == Outcome::Succeeded && !self.check.as_ref().is_some_and(|c| c.holds) {
            return bad("outcome", "is succeeded only when the check holds");
        }
        if self.finished_at_ms < 0 || self.started_at_ms.is_some_and(|s| s < 0) {
            return bad("finished_at_ms", "is before 1970");
        }
        check_steps("steps", &self.steps)?;
        if let Some(check) = &self.check {
            check_prose(
                Self::NAME,
                "check.explanation.es",
                &check.explanation.es,
                2000,
            )?;
            check_prose(
                Self::NAME,
                "check.explanation.en",
                &check.explanation.en,
                2000,
            )?;
            check_distinct(
                Self::NAME,
                "check.facts",
                &check.facts,
                64,
                |f: &CheckFact| f.name.as_str(),
            )?;
            for fact in &check.facts {
                check_identifier(Self::NAME, "check.facts.name", &fact.name, 64)?;
                check_optional_line(Self::NAME, "check.facts.unit", &fact.unit, 32)?;
                for value in fact.before.iter().chain(&fact.after) {
                    check_optional_line(Self::NAME, "check.facts", value, 500)?;
                }
            }
        }
        if let Some(undo) = &self.undo {
            if self.started_at_ms.is_none() {
                return bad("undo", "is absent when nothing began");
            }
            check_steps("undo.steps", &undo.steps)?;
        }
        if self.outcome == Outcome::Succeeded && self.undo.is_some() {
            return bad("undo", "is absent when the outcome is succeeded");
        }
        if let Some(boot_id) = &self.started_boot_id {
            check_line(Self::NAME, "started_boot_id", boot_id, 64)?;
        }
        if self.started_boot_id.is_some() != self.started_at_ms.is_some() {
            return bad("started_boot_id", "is present exactly when something began");
        }
        check_line(Self::NAME, "boot_id", &self.boot_id, 64)?;
        check_line(Self::NAME, "agent_version", &self.agent_version, 64)
    }
}

fn check_steps(field: &str, steps: &[StepResult]) -> Result<(), FormatError> {
    let what = ActionResult::NAME;
    check_len(what, field, steps, 32)?;
    for step in steps {
        check_identifier(what, &format!("{field}.id"), &step.id, 64)?;
        check_optional_line(what, &format!("{field}.note"), &step.note, 500)?;
        if step.duration_ms < 0 {
            return Err(FormatError::invalid(
                what,
                format!("{field}.duration_ms"),
                "is negative",
            ));
        }
    }
    Ok(())
}

impl Document for ConsentReceipt {
    const NAME: &'static str = "consent receipt";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.consent.v1+json";
    const MAX_BYTES: usize = 32 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        check_org(Self::NAME, &self.org)?;
        if let Some(user) = &self.user {
            check_line(Self::NAME, "user", user, 256)?;
        }
        let answered = matches!(self.answer, ConsentAnswer::Granted | ConsentAnswer::Denied);
        if self.by.is_some() && !answered {
            return Err(FormatError::invalid(
                Self::NAME,
                "by",
                "is absent when nobody answered",
            ));
        }
        if self.deferred > MAX_DEFERRALS {
            return Err(FormatError::invalid(Self::NAME, "deferred", "is at most 3"));
        }
        check_prose(Self::NAME, "shown", &self.shown, 4000)?;
        if self.asked_at_ms < 0 || self.answered_at_ms < self.asked_at_ms {
            return Err(FormatError::invalid(
                Self::NAME,
                "answered_at_ms",
                "is before asked_at_ms",
            ));
        }
        Ok(())
    }
}
