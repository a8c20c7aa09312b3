//! Runs the parts of a plan: observe, steps in order, check, and the steps that take them back. A plan exists only for what
//! `chasqui_trust::verify_order` authorised. It reports what the machine shows: success is the check alone.

use std::sync::Arc;
use std::time::Duration;

use chasqui_base::{clock, fault_point};
use chasqui_trust::result::{CheckResult, StepResult};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::builtin::Work;
use super::program::{Bounds, LEFT, Limits};
use super::{Plan, PlannedStep};
use crate::output::Output;

/// Most bytes of what a check keeps in the journal.
const MAX_SEEN: usize = 64 * 1024;

/// How a run is watched, bounded and ended.
#[derive(Clone, Debug)]
pub struct Control {
    /// Everything printed.
    pub output: Arc<Output>,
    /// Calls the steps off.
    pub cancel: CancellationToken,
    /// Leaves what must be let finish to itself: this agent ends.
    pub leave: CancellationToken,
    /// What programs may take of the machine.
    pub bounds: Bounds,
}

impl Control {
    /// A control that nobody has called off yet.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            output: Arc::new(Output::default()),
            cancel: CancellationToken::new(),
            leave: CancellationToken::new(),
            bounds,
        }
    }

    /// For a program that may run this long.
    pub fn limits(&self, time: Duration) -> Limits {
        Limits {
            time,
            cancel: self.cancel.clone(),
            leave: self.leave.clone(),
            bounds: self.bounds.clone(),
            env: &[],
        }
    }

    /// For what is done after the steps: nobody's calling off ends it.
    fn for_afterwards(&self) -> Self {
        Self {
            cancel: CancellationToken::new(),
            ..self.clone()
        }
    }
}

/// What the steps came to.
#[derive(Clone, Debug, Default)]
pub struct Stepped {
    /// Those that began.
    pub steps: Vec<StepResult>,
    /// The last words of one that said something.
    pub said: Value,
    /// True when all of them worked.
    pub worked: bool,
    /// True when a program goes on without this agent: nothing is known of its end.
    pub left: bool,
}

/// Looks at what the check will compare. Has no effects.
pub async fn observe(plan: &Plan, control: &Control) -> Value {
    let work = Work {
        control,
        limit: plan.check_time_limit,
    };
    let seen = plan.check.observe(&work).await;
    // A check that keeps more than the journal takes has nothing to compare with afterwards, and does not hold.
    match serde_json::to_vec(&seen) {
        Ok(bytes) if bytes.len() <= MAX_SEEN => seen,
        _ => Value::Null,
    }
}

/// Runs the steps. `on_step` hears of each that ended.
pub async fn run(
    plan: &Plan,
    control: &Control,
    on_step: &mut (dyn FnMut(&StepResult) + Send),
) -> Stepped {
    let began = clock::monotonic();
    let mut stepped = Stepped::default();
    for step in &plan.steps {
        let left = plan.time_limit.saturating_sub(began.elapsed());
        let (result, ended) = run_step(step, left, control).await;
        fault_point!("agent.action.step.done");
        if result.note == LEFT {
            stepped.left = true;
            return stepped;
        }
        on_step(&result);
        stepped.steps.push(result);
        if !ended.said.is_null() {
            stepped.said = ended.said;
        }
        if !ended.worked || control.cancel.is_cancelled() {
            return stepped;
        }
    }
    stepped.worked = true;
    stepped
}

async fn run_step(
    step: &PlannedStep,
    limit: Duration,
    control: &Control,
) -> (StepResult, super::builtin::Ended) {
    control.output.line(&format!(
        "== {}: {} / {}",
        step.id, step.title.es, step.title.en
    ));
    let began = clock::monotonic();
    let ended = step.job.run(&Work { control, limit }).await;
    let result = StepResult {
        id: step.id.clone(),
        exit_code: ended.exit_code,
        duration_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
        note: one_line(&ended.note),
    };
    (result, ended)
}

/// Makes the check. What was called off is still looked at: people want to know what it did until then. Facts that the
/// definition does not name do not leave the machine.
pub async fn check(plan: &Plan, before: &Value, said: &Value, control: &Control) -> CheckResult {
    let control = control.for_afterwards();
    let work = Work {
        control: &control,
        limit: plan.check_time_limit,
    };
    let finding = plan.check.judge(before, said, &work).await;
    fault_point!("agent.check.done");
    control.output.line(&format!(
        "== {}: {} / {}",
        if finding.holds {
            "check holds"
        } else {
            "check does not hold"
        },
        finding.explanation.es,
        finding.explanation.en
    ));
    let evidence = &plan.authorised.definition().evidence;
    let facts = finding
        .facts
        .into_iter()
        .filter_map(|mut fact| {
            let spec = evidence.iter().find(|spec| spec.fact == fact.name)?;
            let admitted = |value: Option<String>| value.filter(|value| spec.kind.admits(value));
            fact.before = admitted(fact.before);
            fact.after = admitted(fact.after);
            fact.unit.clone_from(&spec.unit);
            Some(fact)
        })
        .collect();
    CheckResult {
        holds: finding.holds,
        facts,
        explanation: chasqui_trust::Text::new(
            one_line(&finding.explanation.es),
            one_line(&finding.explanation.en),
        ),
    }
}

/// Takes the effects back: every step is tried, whatever became of the one before. True when all worked.
pub async fn undo(plan: &Plan, control: &Control) -> (Vec<StepResult>, bool) {
    let control = control.for_afterwards();
    let began = clock::monotonic();
    let mut steps = Vec::with_capacity(plan.undo.len());
    let mut complete = true;
    for step in &plan.undo {
        let left = plan.time_limit.saturating_sub(began.elapsed());
        let (result, ended) = run_step(step, left, &control).await;
        complete &= ended.worked;
        steps.push(result);
    }
    (steps, complete)
}

/// Bounded, and without characters that a signed paper may not hold.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if chasqui_trust::text::is_deceptive(c) {
                ' '
            } else {
                c
            }
        })
        .take(500)
        .collect()
}
