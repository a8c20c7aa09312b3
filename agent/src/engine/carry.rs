//! Carrying an accepted order out: its time, the person's answer, its turn, the machine's own conditions, "started" on disk,
//! the steps, what takes them back, the check. And going on after a restart where the journal says that only what has no
//! effects is left.

use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::fault::system_root;
use chasqui_proto::v1;
use chasqui_trust::definition::{Consent, Definition, Interruption, WhenAbsent};
use chasqui_trust::order::Start;
use chasqui_trust::result::{CheckResult, Outcome, StepResult, UndoCause, UndoResult};
use chasqui_trust::{Authorised, Digest, Document as _, Envelope, OrderBundle};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::schedule::Hold;
use super::{Answer, Engine, Verdict, envelope_of, journal_unavailable, json_of};
use crate::action::runner::{self, Control, Stepped};
use crate::action::{self, Plan, Setting, conditions};
use crate::agent::{Event, Running};
use crate::consent::{self, Ask, Obtained};
use crate::journal::{Started, State};
use crate::policy::{Policy, Refused};

/// How long a running action may go on after the agent was asked to stop.
const STOP_GRACE: Duration = Duration::from_secs(60);
/// How long a machine that was told to restart may still be up.
const RESTART_WAIT: Duration = Duration::from_secs(120);
/// Between two looks whether the coordinator can be reached.
const REACH_AGAIN: Duration = Duration::from_secs(2);

/// What is known when the steps are over.
struct Over<'a> {
    order_id: &'a str,
    digest: Digest,
    plan: &'a Plan,
    control: &'a Control,
    started: Started,
    before: Value,
    consent: Option<Envelope>,
    steps: Vec<StepResult>,
    said: Value,
    /// False when the steps were interrupted: then success cannot be claimed.
    known: bool,
}

impl Engine {
    /// Carries queued orders out until the agent stops, and waits for those under way.
    pub async fn work(self: Arc<Self>, mut queued: mpsc::UnboundedReceiver<Digest>) {
        let mut tasks = JoinSet::new();
        loop {
            let digest = tokio::select! {
                biased;
                () = self.agent.stopping.cancelled() => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                    report(ended);
                    continue;
                }
                digest = queued.recv() => match digest {
                    Some(digest) => digest,
                    None => break,
                },
            };
            let engine = self.clone();
            tasks.spawn(async move { engine.carry(digest).await });
        }
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    }

    async fn carry(&self, digest: Digest) {
        let entry = crate::lock(&self.agent.journal).entry(&digest).cloned();
        let Some(entry) = entry else { return };
        let answer = match entry.state {
            State::Accepted => self.begin(&entry.order_id, digest).await,
            State::Started => {
                let Some(started) = entry.started else { return };
                self.go_on(&entry.order_id, digest, started).await
            }
            State::Done => return,
        };
        if let Some(answer) = answer {
            self.answer(&entry.order_id, digest, answer, true);
        }
        self.show_running();
        self.agent.show_history();
    }

    /// Judges an accepted order once more, at the moment it would begin, and runs it. None leaves it as it is.
    async fn begin(&self, order_id: &str, digest: Digest) -> Option<Answer> {
        if self.was_stopped(&digest) {
            return Some(Answer::without_effect(Outcome::Cancelled, None));
        }
        let bundle = crate::lock(&self.agent.journal).bundle(&digest);
        let Some(bundle) = bundle else {
            return refuse(Refused::new(
                "JOURNAL_DAMAGED",
                "la copia de la orden en el diario no se puede leer; solicítela de nuevo",
                "the journal's copy of the order cannot be read; request it again",
            ));
        };
        let plan = match self.prepare(&bundle).await {
            Ok(plan) => plan,
            Err(refused) => return refuse(refused),
        };
        let control = self.begin_watch(order_id, digest, &plan);
        let answer = self
            .begin_watched(order_id, digest, &bundle, plan, &control)
            .await;
        self.end_watch(&digest, &control);
        answer
    }

    async fn begin_watched(
        &self,
        order_id: &str,
        digest: Digest,
        bundle: &[u8],
        plan: Plan,
        control: &Control,
    ) -> Option<Answer> {
        if plan.authorised().order().start == Start::NextBoot {
            match self.await_next_boot(digest, &plan, control).await {
                Waited::Over => {}
                Waited::Called => return called_off(None),
                Waited::Stopping => return None,
            }
        }
        let consent = match self.consent(order_id, &plan, control).await {
            Obtained::Yes(consent) => consent,
            Obtained::No(refused, consent) => return refuse_with(refused, consent),
            Obtained::CalledOff if control.cancel.is_cancelled() => return called_off(None),
            Obtained::CalledOff => return None,
        };
        let hold = Hold {
            locks: plan
                .authorised()
                .definition()
                .lock_keys(plan.authorised().parameters()),
            alone: plan.interrupts(Interruption::Reboot),
        };
        let _turn = tokio::select! {
            turn = self.schedule.turn(hold) => turn,
            () = control.cancel.cancelled() => return called_off(consent),
            () = self.agent.stopping.cancelled() => return None,
        };
        // Time has passed: the order may have ended, been withdrawn by newer papers, or met a narrower policy.
        let plan = match self.prepare(bundle).await {
            Ok(plan) => plan,
            Err(refused) => return refuse_with(refused, consent),
        };
        if let Err(refused) = conditions::check(plan.authorised(), &system_root()).await {
            return refuse_with(refused, consent);
        }
        let before = runner::observe(&plan, control).await;
        if control.cancel.is_cancelled() {
            return called_off(consent);
        }
        if self.agent.stopping.is_cancelled() {
            // Nothing was done: left for the next start.
            return None;
        }
        let started = Started {
            at_ms: clock::now_ms(),
            boot_id: self.agent.boot_id.clone(),
        };
        let receipt = consent.as_ref().map(json_of);
        let kept =
            crate::lock(&self.agent.journal).start(&digest, &started, &before, receipt.as_deref());
        if let Err(error) = kept {
            tracing::error!(order_id, %error, "journal not writable, order not begun");
            return refuse_with(journal_unavailable(&error), consent);
        }
        self.agent.progress(order_id, v1::ProgressState::Running);
        self.show_running();
        self.agent.show_history();
        let stepped = self.step(digest, &plan, control).await;
        if stepped.left {
            tracing::warn!(
                order_id,
                "the agent ends before the action, which is let finish"
            );
            return None;
        }
        if goes_on_after_restart(plan.authorised().definition()) {
            let kept =
                crate::lock(&self.agent.journal).stepped(&digest, clock::now_ms(), &stepped.said);
            if let Err(error) = kept {
                tracing::error!(order_id, %error, "the end of the steps could not be journaled");
            }
        }
        if plan.interrupts(Interruption::Reboot)
            && stepped.worked
            && self.restarts(RESTART_WAIT).await
        {
            return None;
        }
        let over = Over {
            order_id,
            digest,
            plan: &plan,
            control,
            started,
            before,
            consent,
            steps: stepped.steps,
            said: stepped.said,
            known: true,
        };
        self.end(over).await
    }

    /// Runs the steps. While they run the agent may be asked to stop: then they get their grace.
    async fn step(&self, digest: Digest, plan: &Plan, control: &Control) -> Stepped {
        let stopping = self.agent.stopping.clone();
        let (cancel, leave) = (control.cancel.clone(), control.leave.clone());
        let guard = tokio::spawn(async move {
            stopping.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
            leave.cancel();
            cancel.cancel();
        });
        let mut on_step = |step: &StepResult| {
            let noted = crate::lock(&self.agent.journal).step(&digest, clock::now_ms(), step);
            if let Err(error) = noted {
                tracing::debug!(%error, "step not noted");
            }
        };
        let stepped = runner::run(plan, control, &mut on_step).await;
        guard.abort();
        stepped
    }

    /// After the steps: takes them back where they cut this machine off or did not help, and makes the check. None when the
    /// agent is to stop before that is known; it goes on with the next start.
    async fn end(&self, over: Over<'_>) -> Option<Answer> {
        let by_person = self.was_stopped(&over.digest);
        let rule = over.plan.authorised().definition().undo.clone();
        let mut undo = None;
        let unreachable = rule.as_ref().and_then(|undo| undo.when_unreachable_ms);
        if let Some(limit_ms) = unreachable {
            match self.reaches(clock::duration_ms(limit_ms)).await {
                Reach::Reached => {}
                Reach::Stopping => return None,
                Reach::Not => {
                    tracing::warn!(
                        order_id = over.order_id,
                        "the coordinator cannot be reached: the effects are taken back"
                    );
                    undo = Some(self.undo(&over, UndoCause::Unreachable).await);
                }
            }
        }
        self.agent
            .progress(over.order_id, v1::ProgressState::Checking);
        let check = runner::check(over.plan, &over.before, &over.said, over.control).await;
        let fails = rule.is_some_and(|undo| undo.when_check_fails);
        if !check.holds && fails && undo.is_none() {
            undo = Some(self.undo(&over, UndoCause::CheckFailed).await);
        }
        let outcome = outcome_of(by_person, over.known, &check, undo.is_some());
        Some(Answer {
            outcome,
            refused: None,
            started: Some(over.started),
            steps: over.steps,
            output: over.control.output.summary(),
            check: Some(check),
            consent: over.consent,
            undo,
        })
    }

    async fn undo(&self, over: &Over<'_>, cause: UndoCause) -> UndoResult {
        let kept = crate::lock(&self.agent.journal).undoing(&over.digest, clock::now_ms(), cause);
        if let Err(error) = kept {
            // Not taking back is the greater harm; a second taking back after a crash is the lesser.
            tracing::error!(order_id = over.order_id, %error, "taking back could not be journaled");
        }
        let (steps, complete) = runner::undo(over.plan, over.control).await;
        UndoResult {
            cause,
            steps,
            complete,
        }
    }

    /// True if an order that was begun may be gone on with: what is left of it has no effects but taking back.
    pub(super) fn goes_on(&self, digest: &Digest) -> bool {
        let bundle = crate::lock(&self.agent.journal).bundle(digest);
        bundle
            .and_then(|bytes| OrderBundle::decode(&bytes).ok())
            .and_then(|bundle| Definition::decode_payload(&bundle.definition).ok())
            .is_some_and(|definition| goes_on_after_restart(&definition))
            && crate::lock(&self.agent.journal)
                .entry(digest)
                .is_some_and(|entry| entry.started.is_some())
    }

    /// After a restart of the agent or of the machine: the steps are never begun again.
    async fn go_on(&self, order_id: &str, digest: Digest, started: Started) -> Option<Answer> {
        let progress = crate::lock(&self.agent.journal).progress(&digest);
        let bundle = crate::lock(&self.agent.journal).bundle(&digest);
        // By the time at which it began: it may have ended since.
        let plan = bundle
            .and_then(|bundle| self.verify_at(&bundle, started.at_ms).ok())
            .and_then(|authorised| self.plan_at(authorised, started.at_ms).ok());
        let Some(plan) = plan else {
            return Some(self.unknown(&digest, Some(started)));
        };
        if let Some(cause) = progress.undoing {
            // Some of it may have been taken back and some not.
            return Some(Answer {
                outcome: Outcome::Failed,
                undo: Some(UndoResult {
                    cause,
                    steps: Vec::new(),
                    complete: false,
                }),
                ..self.unknown(&digest, Some(started))
            });
        }
        let restarted = started.boot_id != self.agent.boot_id;
        let reboots = plan.interrupts(Interruption::Reboot);
        if reboots && !restarted && self.restarts(RESTART_WAIT).await {
            return None;
        }
        let control = self.begin_watch(order_id, digest, &plan);
        let over = Over {
            order_id,
            digest,
            plan: &plan,
            control: &control,
            // The restart is the end of the step that asked for it.
            known: progress.stepped.is_some() || (reboots && restarted),
            started,
            before: progress.before,
            consent: progress.consent.as_deref().and_then(envelope_of),
            steps: progress.steps,
            said: progress.stepped.unwrap_or(Value::Null),
        };
        let answer = self.end(over).await;
        self.end_watch(&digest, &control);
        answer
    }

    /// The plan as it would run now.
    async fn prepare(&self, bundle: &[u8]) -> Result<Plan, Refused> {
        let authorised = match self.verify_fresh(bundle).await {
            Verdict::Authorised(authorised) => authorised,
            Verdict::Refused(refused) => return Err(refused),
            // It was acceptable a moment ago; the clock went back or the documents ended.
            Verdict::Later(_) | Verdict::Held => match self.verify(bundle) {
                Ok(authorised) => Box::new(authorised),
                Err(refusal) => return Err(self.refused_of(&refusal)),
            },
        };
        // A clock that is ahead would make young files old.
        let ahead_ms = crate::lock(&self.agent.clock_offset_ms).unwrap_or(0).max(0);
        self.plan_at(*authorised, clock::now_ms().saturating_sub(ahead_ms))
    }

    fn plan_at(&self, authorised: Authorised, now_ms: i64) -> Result<Plan, Refused> {
        let policy = Policy::load(&self.agent.config.policy)?;
        let own_paths = vec![
            self.agent.config.state_dir.clone(),
            self.agent.config.root.clone(),
            self.agent.config.policy.clone(),
        ];
        let setting = Setting {
            root: system_root(),
            agent: Some(self.agent.clone()),
            ..Setting::new(&policy, now_ms, own_paths)
        };
        action::plan(authorised, &setting)
    }

    async fn consent(&self, order_id: &str, plan: &Plan, control: &Control) -> Obtained {
        let (order, definition) = (plan.authorised().order(), plan.authorised().definition());
        let asks = match Policy::load(&self.agent.config.policy) {
            Ok(policy) => policy.asks(definition.risk),
            Err(refused) => return Obtained::No(refused, None),
        };
        let consent = if asks {
            order.consent.max(Consent::Ask)
        } else {
            order.consent
        };
        let when_absent = match definition.when_absent {
            // Nobody there never means yes where somebody must be asked.
            WhenAbsent::Proceed if consent >= Consent::Ask => WhenAbsent::Wait,
            other => other,
        };
        if consent >= Consent::Ask {
            self.agent
                .progress(order_id, v1::ProgressState::AwaitingConsent);
        }
        let identity = self.agent.identity();
        let token = CancellationToken::new();
        let ask = Ask {
            authorised: plan.authorised(),
            consent,
            when_absent,
            device_fingerprint: identity.fingerprint(),
            key: &identity.key,
            folder: &self.agent.config.state_dir.join("consent"),
            not_after_ms: order.not_after_ms,
            cancel: &token,
        };
        let asking = consent::obtain(&ask);
        tokio::pin!(asking);
        tokio::select! {
            obtained = &mut asking => return obtained,
            () = control.cancel.cancelled() => {}
            () = self.agent.stopping.cancelled() => {}
        }
        token.cancel();
        asking.await
    }

    /// Waits for another start of the machine than the one in which the order came. It may end before that.
    async fn await_next_boot(&self, digest: Digest, plan: &Plan, control: &Control) -> Waited {
        let came_in = crate::lock(&self.agent.journal)
            .entry(&digest)
            .and_then(|entry| entry.accepted.as_ref().map(|order| order.boot_id.clone()));
        if came_in.is_some_and(|boot_id| boot_id != self.agent.boot_id) {
            return Waited::Over;
        }
        loop {
            let left = plan
                .authorised()
                .order()
                .not_after_ms
                .saturating_sub(clock::now_ms());
            if left <= 0 {
                // What follows judges it again, and finds that it has ended.
                return Waited::Over;
            }
            // By the wall clock, which may be put right meanwhile.
            let wait = clock::duration_ms(left).min(Duration::from_secs(60));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = control.cancel.cancelled() => return Waited::Called,
                () = self.agent.stopping.cancelled() => return Waited::Stopping,
            }
        }
    }

    /// True when the agent was asked to stop within this time, as it is when the machine goes down.
    async fn restarts(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.agent.stopping.cancelled())
            .await
            .is_ok()
    }

    async fn reaches(&self, limit: Duration) -> Reach {
        let began = clock::monotonic();
        loop {
            if self.agent.stopping.is_cancelled() {
                return Reach::Stopping;
            }
            // A call that goes through, and not a connection that only seems to be there.
            if self.agent.refresh_trust().await {
                return Reach::Reached;
            }
            if began.elapsed() >= limit {
                return Reach::Not;
            }
            tokio::time::sleep(REACH_AGAIN.min(limit.saturating_sub(began.elapsed()))).await;
        }
    }

    fn begin_watch(&self, order_id: &str, digest: Digest, plan: &Plan) -> Control {
        let control = Control::new(plan.bounds().clone());
        crate::lock(&self.agent.running).insert(
            digest,
            Running {
                order_id: order_id.to_owned(),
                cancel: control.cancel.clone(),
                output: control.output.clone(),
            },
        );
        // A stop that came in between finds the order running from here on.
        if self.was_stopped(&digest) {
            control.cancel.cancel();
        }
        let _ = self.agent.events.send(Event::Output {
            order_id: order_id.to_owned(),
            output: control.output.clone(),
        });
        self.show_running();
        control
    }

    fn end_watch(&self, digest: &Digest, control: &Control) {
        control.output.close();
        crate::lock(&self.agent.running).remove(digest);
    }

    fn show_running(&self) {
        let running = crate::lock(&self.agent.running)
            .values()
            .next()
            .map(|running| running.order_id.clone());
        self.agent.board.update(|status| status.running = running);
    }
}

/// What came of waiting.
enum Waited {
    Over,
    Called,
    Stopping,
}

/// Whether the coordinator answers.
enum Reach {
    Reached,
    Not,
    Stopping,
}

/// Such an order leaves a note of the end of its steps, and is gone on with after a restart.
fn goes_on_after_restart(definition: &Definition) -> bool {
    definition.interrupts.contains(&Interruption::Reboot)
        || definition
            .undo
            .as_ref()
            .is_some_and(|undo| undo.when_unreachable_ms.is_some())
}

fn outcome_of(by_person: bool, known: bool, check: &CheckResult, undone: bool) -> Outcome {
    match (by_person, known, check.holds, undone) {
        (true, _, _, _) => Outcome::Cancelled,
        (false, _, _, true) => Outcome::Failed,
        (false, false, _, false) => Outcome::Unknown,
        (false, true, true, false) => Outcome::Succeeded,
        (false, true, false, false) => Outcome::Failed,
    }
}

fn refuse(refused: Refused) -> Option<Answer> {
    refuse_with(refused, None)
}

fn refuse_with(refused: Refused, consent: Option<Envelope>) -> Option<Answer> {
    Some(Answer {
        consent,
        ..Answer::without_effect(Outcome::Refused, Some(refused))
    })
}

fn called_off(consent: Option<Envelope>) -> Option<Answer> {
    Some(Answer {
        consent,
        ..Answer::without_effect(Outcome::Cancelled, None)
    })
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // What it did is in the journal: after a restart it is answered as unknown.
        tracing::error!(%error, "an order's task failed");
    }
}
