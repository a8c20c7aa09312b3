//! The path of an order through this machine: delivered, judged, kept, begun at most once, answered at least once. The
//! order of the durable steps is the point of this file and of `engine/carry`; what a step does is in `action`.

mod carry;
mod schedule;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use chasqui_base::text::Text;
use chasqui_base::{clock, fault_point};
use chasqui_proto::v1;
use chasqui_trust::definition::Platform;
use chasqui_trust::result::{Outcome, RefusalNote, StepResult, UndoResult};
use chasqui_trust::{
    ActionResult, Authorised, DeviceIdentity, Digest, Envelope, OrderBundle, Refusal, verify_order,
    verify_result,
};
use tokio::sync::mpsc;

use crate::agent::Agent;
use crate::journal::{Accepted, Done, Started, State};
use crate::outbox::Item;
use crate::policy::Refused;
use schedule::Schedule;

/// Orders whose time has not come, kept until it does.
const MAX_HELD: usize = 64;
/// Results that no coordinator has taken; beyond them refusals of what was never accepted are not kept.
const MAX_UNCONFIRMED: usize = 1_000;
/// Orders called off before they came.
const MAX_STOPPED: usize = 256;

/// Judges deliveries and runs orders, those together that do not get in each other's way.
#[derive(Debug)]
pub struct Engine {
    agent: Arc<Agent>,
    stopped: Mutex<VecDeque<Digest>>,
    schedule: Schedule,
    queue: mpsc::UnboundedSender<Digest>,
}

/// How an order is answered.
struct Answer {
    outcome: Outcome,
    refused: Option<Refused>,
    started: Option<Started>,
    steps: Vec<StepResult>,
    output: chasqui_trust::result::Output,
    check: Option<chasqui_trust::result::CheckResult>,
    consent: Option<Envelope>,
    undo: Option<UndoResult>,
}

impl Answer {
    fn without_effect(outcome: Outcome, refused: Option<Refused>) -> Self {
        Self {
            outcome,
            refused,
            started: None,
            steps: Vec::new(),
            output: chasqui_trust::result::Output::of(b"", false),
            check: None,
            consent: None,
            undo: None,
        }
    }
}

impl Engine {
    /// An engine for this agent and the orders it is to run.
    pub fn new(agent: Arc<Agent>) -> (Arc<Self>, mpsc::UnboundedReceiver<Digest>) {
        // Unbounded is bounded here: an order is queued only after the journal took it, and the journal has a bound.
        let (queue, queued) = mpsc::unbounded_channel();
        let engine = Arc::new(Self {
            agent,
            stopped: Mutex::new(VecDeque::new()),
            schedule: Schedule::default(),
            queue,
        });
        (engine, queued)
    }

    /// After a start: what was begun is answered `unknown`, what was only accepted is judged again, what was done and not
    /// handed over is put into the outbox.
    pub fn recover(&self) {
        let entries: Vec<_> = crate::lock(&self.agent.journal)
            .entries()
            .into_iter()
            .cloned()
            .collect();
        for entry in entries {
            match entry.state {
                State::Accepted => {
                    let _ = self.queue.send(entry.digest);
                }
                State::Started if self.finish_from_outbox(&entry.digest) => {}
                State::Started if self.goes_on(&entry.digest) => {
                    let _ = self.queue.send(entry.digest);
                }
                State::Started => {
                    tracing::warn!(
                        order_id = entry.order_id,
                        "an action was interrupted; its result is unknown"
                    );
                    let answer = self.unknown(&entry.digest, entry.started);
                    self.answer(&entry.order_id, entry.digest, answer, true);
                }
                State::Done if !entry.delivered && !self.agent.outbox.contains(&entry.digest) => {
                    self.put_from_journal(&entry.order_id, &entry.digest);
                }
                State::Done => {}
            }
        }
        self.agent.show_history();
    }

    /// Nobody can say how it ended; what the journal knows of it is said.
    fn unknown(&self, digest: &Digest, started: Option<Started>) -> Answer {
        let progress = crate::lock(&self.agent.journal).progress(digest);
        Answer {
            started,
            steps: progress.steps,
            output: chasqui_trust::result::Output::of(b"", true),
            consent: progress.consent.as_deref().and_then(envelope_of),
            ..Answer::without_effect(Outcome::Unknown, None)
        }
    }

    /// A result that the journal could not take, but the outbox did, is still the result.
    fn finish_from_outbox(&self, digest: &Digest) -> bool {
        let Some(item) = self.agent.outbox.item(digest) else {
            return false;
        };
        let key = self.agent.identity().key.public_key();
        let Ok(result) = verify_result(item.envelope.as_bytes(), digest, &key) else {
            return false;
        };
        let done = Done {
            at_ms: item.made_at_ms,
            request_id: item.request_id,
            outcome: outcome_name(result.outcome).to_owned(),
            explanation: result
                .check
                .as_ref()
                .map(|check| text_of(&check.explanation))
                .unwrap_or_default(),
            envelope: item.envelope,
            consent: item.consent,
        };
        crate::lock(&self.agent.journal)
            .finish(digest, &done)
            .is_ok()
    }

    /// Judges deliveries until the agent stops.
    pub async fn judge(self: Arc<Self>, mut deliveries: mpsc::Receiver<v1::OrderDelivery>) {
        let mut held: Vec<(i64, v1::OrderDelivery)> = Vec::new();
        loop {
            let now = clock::now_ms();
            let next = held.iter().map(|(at, _)| *at).min();
            let wait = next.map_or(Duration::from_secs(3600), |at| {
                clock::duration_ms(at.saturating_sub(now)).min(Duration::from_secs(60))
            });
            let delivery = tokio::select! {
                () = self.agent.stopping.cancelled() => return,
                delivery = deliveries.recv() => match delivery {
                    Some(delivery) => Some(delivery),
                    None => return,
                },
                () = tokio::time::sleep(wait) => None,
            };
            let due = match delivery {
                Some(delivery) => vec![delivery],
                None => {
                    let now = clock::now_ms();
                    let (due, later): (Vec<_>, Vec<_>) =
                        held.into_iter().partition(|(at, _)| *at <= now);
                    held = later;
                    due.into_iter().map(|(_, delivery)| delivery).collect()
                }
            };
            for delivery in due {
                if let Some(not_before_ms) = self.take(&delivery).await {
                    held.retain(|(_, other)| other.order_id != delivery.order_id);
                    // Beyond the bound the coordinator brings it again.
                    if held.len() < MAX_HELD {
                        held.push((not_before_ms, delivery));
                    }
                }
            }
        }
    }

    /// Judges one delivery. Answers a time when it is to be judged again then.
    async fn take(&self, delivery: &v1::OrderDelivery) -> Option<i64> {
        fault_point!("agent.order.received");
        let bundle = match OrderBundle::decode(&delivery.bundle) {
            Ok(bundle) => bundle,
            Err(error) => {
                // Without an order there is nothing a result could name.
                tracing::warn!(order_id = %printable(&delivery.order_id), code = error.code(), %error, "delivery is no order");
                return None;
            }
        };
        let digest = bundle.order_digest();
        // As the coordinator knows it: a refusal of altered bytes must still find its order there.
        let order_id = match uuid::Uuid::parse_str(&delivery.order_id) {
            Ok(id) => id.to_string(),
            Err(_) => bundle
                .read_order()
                .map(|order| order.id)
                .unwrap_or_default(),
        };
        if self.is_known(&order_id, &digest) {
            return None;
        }
        let authorised = match self.verify_fresh(&delivery.bundle).await {
            Verdict::Authorised(authorised) => authorised,
            Verdict::Later(at_ms) => return Some(at_ms),
            Verdict::Held => return None,
            Verdict::Refused(refused) => {
                self.refuse_unkept(&order_id, digest, refused);
                return None;
            }
        };
        let reused = crate::lock(&self.agent.journal)
            .entry_of_id(&authorised.order().id)
            .is_some();
        if reused {
            let refused = Refused::new(
                "ORDER_ID_REUSED",
                "otra orden con el mismo número ya pasó por este equipo; solicítela de nuevo",
                "another order of the same id already passed through this machine; request it again",
            );
            self.refuse_unkept(&order_id, digest, refused);
            return None;
        }
        self.accept(&authorised, &delivery.bundle);
        None
    }

    /// A repeated delivery never runs again: it gets its result once more, or waits for it.
    fn is_known(&self, order_id: &str, digest: &Digest) -> bool {
        if self.agent.outbox.contains(digest) {
            self.agent.outbox.offer_again(digest);
            return true;
        }
        let state = crate::lock(&self.agent.journal)
            .entry(digest)
            .map(|entry| entry.state);
        match state {
            Some(State::Done) => {
                self.put_from_journal(order_id, digest);
                true
            }
            Some(State::Accepted | State::Started) => true,
            None => false,
        }
    }

    fn put_from_journal(&self, order_id: &str, digest: &Digest) {
        let done = crate::lock(&self.agent.journal).done(digest);
        if let Some(done) = done {
            self.put(order_id, *digest, &done);
        }
    }

    fn accept(&self, authorised: &Authorised, bundle: &[u8]) {
        let order = authorised.order();
        let definition = authorised.definition();
        let digest = authorised.digest();
        let accepted = Accepted {
            at_ms: clock::now_ms(),
            definition_id: definition.id.clone(),
            definition_version: definition.version,
            title: text_of(&definition.title),
            risk: definition.risk,
            ticket: order.ticket.number.clone(),
            requester: authorised.requester().name.clone(),
            reason: order.reason.clone(),
            not_after_ms: order.not_after_ms,
            boot_id: self.agent.boot_id.clone(),
            bundle: base64::engine::general_purpose::STANDARD.encode(bundle),
        };
        let kept = crate::lock(&self.agent.journal).accept(&order.id, digest, accepted);
        match kept {
            Ok(()) => {
                tracing::info!(
                    order_id = order.id,
                    action = definition.id,
                    "order accepted"
                );
                if order.break_glass {
                    tracing::warn!(
                        order_id = order.id,
                        action = definition.id,
                        requester = order.requester,
                        ticket = order.ticket.number,
                        "BREAK GLASS: an order under the emergency rule was accepted"
                    );
                }
                self.agent.progress(&order.id, v1::ProgressState::Accepted);
                self.agent.show_history();
                let _ = self.queue.send(digest);
            }
            Err(error) => {
                tracing::error!(order_id = order.id, %error, "journal not writable, order refused");
                self.refuse_unkept(&order.id, digest, journal_unavailable(&error));
            }
        }
    }

    /// Stopping is always allowed and needs no signature.
    pub fn stop(&self, digest: Digest) {
        {
            let mut stopped = crate::lock(&self.stopped);
            if !stopped.contains(&digest) {
                if stopped.len() >= MAX_STOPPED {
                    stopped.pop_front();
                }
                stopped.push_back(digest);
            }
        }
        if let Some(running) = crate::lock(&self.agent.running).get(&digest) {
            running.cancel.cancel();
        }
    }

    fn was_stopped(&self, digest: &Digest) -> bool {
        crate::lock(&self.stopped).contains(digest)
    }

    fn verify(&self, bundle: &[u8]) -> Result<Authorised, Refusal> {
        self.verify_at(bundle, clock::now_ms())
    }

    fn verify_at(&self, bundle: &[u8], now_ms: i64) -> Result<Authorised, Refusal> {
        let device = DeviceIdentity {
            fingerprint: self.agent.identity().fingerprint(),
            platform: Some(if cfg!(windows) {
                Platform::Windows
            } else {
                Platform::Linux
            }),
        };
        let trust = crate::lock(&self.agent.trust);
        match trust.catalogue() {
            Some(catalogue) => verify_order(bundle, trust.state(), catalogue, &device, now_ms),
            None => Err(Refusal::CatalogueNotTrusted),
        }
    }

    /// Judges, and where fresher papers could change the judgement, fetches them and judges once more.
    async fn verify_fresh(&self, bundle: &[u8]) -> Verdict {
        let mut refusal = match self.verify(bundle) {
            Ok(authorised) => return Verdict::Authorised(Box::new(authorised)),
            Err(refusal) => refusal,
        };
        if refusal.is_transient() && not_before(&refusal).is_none() {
            if !self.agent.refresh_trust().await {
                tracing::info!(
                    code = refusal.code(),
                    "order kept until signed documents can be fetched"
                );
                return Verdict::Held;
            }
            refusal = match self.verify(bundle) {
                Ok(authorised) => return Verdict::Authorised(Box::new(authorised)),
                Err(refusal) => refusal,
            };
        }
        match not_before(&refusal) {
            // With a wrong clock its time may never come: then people must hear of it.
            Some(at_ms) if self.agent.clock_wrong_by_ms().is_none() => {
                tracing::info!(
                    code = refusal.code(),
                    not_before_ms = at_ms,
                    "order waits for its time"
                );
                Verdict::Later(at_ms)
            }
            _ => Verdict::Refused(self.refused_of(&refusal)),
        }
    }

    /// The refusal with its reason, and with the clock where that may be the reason.
    fn refused_of(&self, refusal: &Refusal) -> Refused {
        let text = refusal.text();
        let mut text = Text::new(text.es, text.en);
        if let Some(offset_ms) = self.agent.clock_wrong_by_ms()
            && depends_on_time(refusal)
        {
            let seconds = offset_ms / 1000;
            text.es.push_str(&format!(
                "; puede ser el reloj de este equipo, que difiere {seconds} s del coordinador: revíselo"
            ));
            text.en.push_str(&format!(
                "; it may be this machine's clock, which differs from the coordinator's by {seconds} s: check it"
            ));
        }
        Refused {
            rule: refusal.code(),
            text,
        }
    }

    /// Answers an order that the journal did not take. The outbox alone remembers: the same bytes get the same answer.
    fn refuse_unkept(&self, order_id: &str, digest: Digest, refused: Refused) {
        tracing::warn!(order_id, rule = refused.rule, "order refused");
        if self.agent.outbox.unconfirmed() >= MAX_UNCONFIRMED {
            // Nothing was done and nothing is lost: brought again, it is refused again.
            tracing::warn!(
                order_id,
                "too many results wait for the coordinator; this refusal is not kept"
            );
            return;
        }
        let answer = Answer::without_effect(Outcome::Refused, Some(refused));
        self.answer(order_id, digest, answer, false);
    }

    /// Signs the result, keeps it, and puts it on its way.
    fn answer(&self, order_id: &str, digest: Digest, answer: Answer, journaled: bool) {
        let done = match self.sign(digest, answer) {
            Ok(done) => done,
            Err(error) => {
                // Our own result breaks a rule of its format: nothing can be sent, and the defect must be seen.
                tracing::error!(order_id, %error, "the result could not be made");
                return;
            }
        };
        tracing::info!(order_id, outcome = done.outcome, "order answered");
        if journaled {
            let mut journal = crate::lock(&self.agent.journal);
            if let Err(error) = journal.finish(&digest, &done) {
                tracing::error!(order_id, %error, "result not journaled; it is kept in memory and sent");
                // What was answered without having begun must not begin after a restart.
                if let Err(error) = journal.forget(&digest)
                    && journal
                        .entry(&digest)
                        .is_some_and(|entry| entry.state == State::Accepted)
                {
                    tracing::error!(order_id, %error, "the journal can neither be written nor cleared");
                }
            }
        }
        self.put(order_id, digest, &done);
    }

    fn put(&self, order_id: &str, digest: Digest, done: &Done) {
        let item = Item {
            request_id: done.request_id.clone(),
            order_id: order_id.to_owned(),
            envelope: done.envelope.clone(),
            consent: done.consent.clone(),
            made_at_ms: done.at_ms,
            confirmed: None,
        };
        if let Err(error) = self.agent.outbox.put(digest, item) {
            tracing::error!(order_id, %error, "outbox not writable; the result is kept in memory and sent");
        }
    }

    fn sign(
        &self,
        order_digest: Digest,
        answer: Answer,
    ) -> Result<Done, chasqui_trust::FormatError> {
        let identity = self.agent.identity();
        let finished_at_ms = clock::now_ms().max(0);
        let explanation = match (&answer.refused, &answer.check) {
            (Some(refused), _) => refused.text.clone(),
            (None, Some(check)) => text_of(&check.explanation),
            (None, None) => Text::default(),
        };
        let result = ActionResult {
            critical: Vec::new(),
            org: identity.organisation.clone(),
            order_digest,
            device_fingerprint: identity.fingerprint(),
            attempt: 1,
            outcome: answer.outcome,
            refusal: answer.refused.map(|refused| RefusalNote {
                rule: refused.rule.to_owned(),
                detail: chasqui_trust::Text::new(
                    printable(&refused.text.es),
                    printable(&refused.text.en),
                ),
            }),
            started_at_ms: answer.started.as_ref().map(|begin| begin.at_ms.max(0)),
            finished_at_ms,
            steps: answer.steps,
            output: answer.output,
            check: answer.check,
            consent_digest: answer.consent.as_ref().map(Envelope::payload_digest),
            undo: answer.undo,
            started_boot_id: answer.started.map(|begin| begin.boot_id),
            boot_id: self.agent.boot_id.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            clock_offset_ms: *crate::lock(&self.agent.clock_offset_ms),
        };
        let envelope = chasqui_trust::sign(&result, &[&identity.key])?;
        Ok(Done {
            at_ms: finished_at_ms,
            request_id: clock::new_id().to_string(),
            outcome: outcome_name(result.outcome).to_owned(),
            explanation,
            envelope: json_of(&envelope),
            consent: answer.consent.as_ref().map(json_of),
        })
    }
}

enum Verdict {
    Authorised(Box<Authorised>),
    /// Its time comes then.
    Later(i64),
    /// Cannot be judged with the papers at hand; the coordinator brings it again.
    Held,
    Refused(Refused),
}

/// The name of an outcome in journal, history and output.
pub fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Partly => "partly",
        Outcome::Refused => "refused",
        Outcome::Unknown => "unknown",
        Outcome::Cancelled => "cancelled",
    }
}

fn not_before(refusal: &Refusal) -> Option<i64> {
    match refusal {
        Refusal::NotYetValid { not_before_ms } | Refusal::WaveNotYet { not_before_ms } => {
            Some(*not_before_ms)
        }
        _ => None,
    }
}

fn depends_on_time(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::NotYetValid { .. }
            | Refusal::WaveNotYet { .. }
            | Refusal::Expired { .. }
            | Refusal::PeopleExpired
            | Refusal::CatalogueExpired
            | Refusal::RootExpired
            | Refusal::OrderKeyNotValid
            | Refusal::ApprovalExpired(_)
            | Refusal::ApprovalKeyNotValid(_)
    )
}

fn journal_unavailable(error: &std::io::Error) -> Refused {
    Refused::new(
        "JOURNAL_UNAVAILABLE",
        format!(
            "el equipo no puede escribir su diario ({error}), y sin diario no se ejecuta nada: libere espacio y solicítela de nuevo"
        ),
        format!(
            "the machine cannot write its journal ({error}), and without it nothing runs: free some space and request it again"
        ),
    )
}

fn json_of(envelope: &Envelope) -> String {
    String::from_utf8_lossy(&envelope.to_json()).into_owned()
}

fn envelope_of(json: &str) -> Option<Envelope> {
    Envelope::from_json(json.as_bytes()).ok()
}

fn text_of(text: &chasqui_trust::Text) -> Text {
    Text::new(text.es.clone(), text.en.clone())
}

/// One line, bounded, without characters that a signed paper may not hold.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if chasqui_trust::text::is_deceptive(c) {
                ' '
            } else {
                c
            }
        })
        .take(1_900)
        .collect()
}
