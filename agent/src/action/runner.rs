//! Runs a plan: observe, steps in order, check. A plan exists only for what `chasqui_trust::verify_order` authorised. It
//! reports what the machine shows: success is the check alone.

use std::sync::Arc;
use std::time::Duration;

use chasqui_base::text::Text;
use chasqui_base::{clock, fault_point};
use chasqui_trust::result::{CheckResult, StepResult};
use tokio_util::sync::CancellationToken;

use super::check::{FileState, Finding, fact};
use super::disk_clean_temp::{Cleaner, Pass, Tally};
use super::program::{self, Limits};
use super::{Check, Job, Plan};
use crate::output::Output;

/// What the check saw before the first step.
#[derive(Clone, Debug)]
pub struct Before(State);

#[derive(Clone, Debug)]
enum State {
    Nothing,
    Cleaned { tally: Tally, free: Option<u64> },
    File(Option<FileState>),
}

/// What running came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Steps that began.
    pub steps: Vec<StepResult>,
    /// The check; absent only when it could not run at all.
    pub check: Option<CheckResult>,
    /// True when a person called it off.
    pub cancelled: bool,
}

/// How a run is watched and ended.
#[derive(Clone, Debug)]
pub struct Control {
    /// Everything printed.
    pub output: Arc<Output>,
    /// Calls the steps off.
    pub cancel: CancellationToken,
}

/// Looks at what the check will compare. Has no effects.
pub async fn observe(plan: &Plan, control: &Control) -> Before {
    Before(match &plan.check {
        Check::Program { .. } => State::Nothing,
        Check::Cleaned { cleaner, .. } => {
            let tally = walk(cleaner, Pass::Look, plan.check_time_limit, control).await;
            State::Cleaned {
                tally,
                free: cleaner.free_bytes(),
            }
        }
        Check::Renewed(file) => State::File(file.observe()),
    })
}

/// Runs the steps and the check. `on_step` hears of each step that ended, `on_check` that the check begins.
pub async fn run(
    plan: &Plan,
    before: Before,
    control: &Control,
    on_step: &mut (dyn FnMut(&StepResult) + Send),
    on_check: &mut (dyn FnMut() + Send),
) -> Ran {
    let began = clock::monotonic();
    let mut steps = Vec::with_capacity(plan.steps.len());
    let mut cleaned = Tally::default();
    for step in &plan.steps {
        let left = plan.time_limit.saturating_sub(began.elapsed());
        control.output.line(&format!(
            "== {}: {} / {}",
            step.id, step.title.es, step.title.en
        ));
        let step_began = clock::monotonic();
        let (exit_code, note, worked) = match &step.job {
            Job::Program {
                path,
                args,
                success_codes,
            } => {
                let limits = Limits {
                    time: left,
                    cancel: control.cancel.clone(),
                };
                let ended = program::run(path, args, &limits, &control.output).await;
                let worked = ended
                    .exit_code
                    .is_some_and(|code| success_codes.contains(&code));
                (ended.exit_code, ended.note, worked)
            }
            Job::Clean(cleaner) => {
                let tally = walk(cleaner, Pass::Remove, left, control).await;
                let stopped = tally.stopped;
                cleaned = tally;
                let note = match (stopped, control.cancel.is_cancelled()) {
                    (false, _) => "",
                    (true, true) => "cancelled",
                    (true, false) => "time limit",
                };
                ((!stopped).then_some(0), note.to_owned(), !stopped)
            }
        };
        let result = StepResult {
            id: step.id.clone(),
            exit_code,
            duration_ms: i64::try_from(step_began.elapsed().as_millis()).unwrap_or(i64::MAX),
            note: note
                .chars()
                .map(|c| {
                    if chasqui_trust::text::is_deceptive(c) {
                        ' '
                    } else {
                        c
                    }
                })
                .take(500)
                .collect(),
        };
        fault_point!("agent.action.step.done");
        on_step(&result);
        steps.push(result);
        if !worked || control.cancel.is_cancelled() {
            break;
        }
    }
    let cancelled = control.cancel.is_cancelled();
    on_check();
    let check = check(plan, before, &cleaned, control).await;
    fault_point!("agent.check.done");
    Ran {
        steps,
        check: Some(check),
        cancelled,
    }
}

async fn check(plan: &Plan, before: Before, cleaned: &Tally, control: &Control) -> CheckResult {
    // What was called off is still looked at: people want to know what it did until then.
    let control = Control {
        output: control.output.clone(),
        cancel: CancellationToken::new(),
    };
    let finding = match (&plan.check, before.0) {
        (Check::Cleaned { cleaner, at_least }, State::Cleaned { tally, free }) => {
            let after = walk(cleaner, Pass::Look, plan.check_time_limit, &control).await;
            let free = (free, cleaner.free_bytes());
            cleaner.judge(&tally, cleaned, &after, free, *at_least)
        }
        (Check::Renewed(file), State::File(state)) => file.judge(state.as_ref()),
        (
            Check::Program {
                path,
                args,
                success_codes,
            },
            _,
        ) => {
            let limits = Limits {
                time: plan.check_time_limit,
                cancel: control.cancel.clone(),
            };
            let ended = program::run(path, args, &limits, &control.output).await;
            let holds = ended
                .exit_code
                .is_some_and(|code| success_codes.contains(&code));
            let none: Option<i64> = None;
            let said = match ended.exit_code {
                Some(code) => code.to_string(),
                None => ended.note,
            };
            Finding {
                holds,
                facts: vec![fact("exit_code", none, ended.exit_code, "")],
                explanation: Text::new(
                    format!("la comprobación respondió {said}"),
                    format!("the check answered {said}"),
                ),
            }
        }
        _ => Finding {
            holds: false,
            facts: Vec::new(),
            explanation: Text::new(
                "la comprobación no tiene con qué comparar",
                "the check has nothing to compare with",
            ),
        },
    };
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
    CheckResult {
        holds: finding.holds,
        facts: finding.facts,
        explanation: chasqui_trust::Text::new(finding.explanation.es, finding.explanation.en),
    }
}

/// A walk on a thread of its own, so that beats and cancels go on meanwhile.
async fn walk(cleaner: &Cleaner, pass: Pass, limit: Duration, control: &Control) -> Tally {
    let cleaner = cleaner.clone();
    let output = control.output.clone();
    let cancel = control.cancel.clone();
    let began = clock::monotonic();
    tokio::task::spawn_blocking(move || {
        let stop = || cancel.is_cancelled() || began.elapsed() >= limit;
        cleaner.walk(pass, &stop, &output)
    })
    .await
    // A walk that failed inside says nothing of what it did, so nothing is claimed.
    .unwrap_or_else(|_| Tally {
        stopped: true,
        ..Tally::default()
    })
}
