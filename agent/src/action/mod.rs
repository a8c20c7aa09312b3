//! From an authorised order to a plan: programs and built-in functions with their arguments filled in and narrowed by the
//! machine's policy. Everything that this agent cannot do or does not know is refused here, before anything begins.

pub mod builtin;
pub mod cgroup;
pub mod conditions;
mod dns;
pub mod file_renewed;
mod files;
pub mod files_clean;
mod inventory;
mod message;
mod packages;
mod process;
pub mod program;
pub mod protected;
mod reboot;
pub mod runner;
mod service;
mod time;
pub(crate) mod tool;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use chasqui_trust::Authorised;
use chasqui_trust::definition::{self, Interruption, Run, resolve_args};

use crate::agent::Agent;
use crate::policy::{Policy, Refused, TEMP_ROOTS};
use builtin::{Check, Making, Step};
use program::{Bounds, Program};

/// What of the machine a plan depends on.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The local policy.
    pub policy: &'a Policy,
    /// The clock, UTC milliseconds; where it may be ahead, the earlier time.
    pub now_ms: i64,
    /// The agent's own folders, out of reach of any action.
    pub own_paths: Vec<PathBuf>,
    /// What a cleaning may touch; [`TEMP_ROOTS`] but in tests of this crate.
    pub clean_roots: Vec<PathBuf>,
    /// Where the system's files and programs are looked for; `/` but in tests.
    pub root: PathBuf,
    /// The running agent, for builtins that need its link; None in tests of single plans.
    pub agent: Option<Arc<Agent>>,
}

impl<'a> Setting<'a> {
    /// The setting of a real machine.
    pub fn new(policy: &'a Policy, now_ms: i64, own_paths: Vec<PathBuf>) -> Self {
        Self {
            policy,
            now_ms,
            own_paths,
            clean_roots: TEMP_ROOTS.iter().map(PathBuf::from).collect(),
            root: PathBuf::from("/"),
            agent: None,
        }
    }
}

/// An authorised order, ready to run. Only [`plan`] makes one, and only from what people signed for this machine.
#[derive(Debug)]
pub struct Plan {
    authorised: Authorised,
    steps: Vec<PlannedStep>,
    check: Box<dyn Check>,
    undo: Vec<PlannedStep>,
    bounds: Bounds,
    time_limit: Duration,
    check_time_limit: Duration,
}

/// A step, ready to run.
#[derive(Debug)]
pub struct PlannedStep {
    id: String,
    title: Text,
    job: Box<dyn Step>,
}

/// Makes the plan, or says why this machine will not run it.
///
/// # Errors
/// The rule, in words: of the policy, of what is out of reach, or of what this agent does not know.
pub fn plan(authorised: Authorised, setting: &Setting<'_>) -> Result<Plan, Refused> {
    let definition = authorised.definition();
    setting
        .policy
        .allows(&definition.id, definition.risk, setting.now_ms)?;
    let making = Making {
        setting,
        authorised: &authorised,
    };
    let steps = plan_steps(&definition.steps, &making)?;
    let undo = match &definition.undo {
        Some(undo) => plan_steps(&undo.steps, &making)?,
        None => Vec::new(),
    };
    let check = match &definition.check.run {
        Run::Program { .. } => Box::new(plan_program(&definition.check.run, &making)?),
        Run::Builtin { name, args } => builtin::make_check(name, args, &making)?,
    };
    let bounds = Bounds {
        limits: definition.limits.clone(),
        stop: definition.stop.clone(),
    };
    let time_limit = clock::duration_ms(definition.time_limit_ms);
    let check_time_limit = clock::duration_ms(definition.check_time_limit_ms);
    Ok(Plan {
        authorised,
        steps,
        check,
        undo,
        bounds,
        time_limit,
        check_time_limit,
    })
}

impl Plan {
    /// What people signed.
    pub fn authorised(&self) -> &Authorised {
        &self.authorised
    }

    /// What its programs may take of the machine.
    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Longest time of the check.
    pub fn check_time_limit(&self) -> Duration {
        self.check_time_limit
    }

    /// True if the steps take this away for a while.
    pub fn interrupts(&self, what: Interruption) -> bool {
        self.authorised.definition().interrupts.contains(&what)
    }
}

fn plan_steps(
    steps: &[definition::Step],
    making: &Making<'_>,
) -> Result<Vec<PlannedStep>, Refused> {
    steps
        .iter()
        .map(|step| {
            let job: Box<dyn Step> = match &step.run {
                Run::Program { .. } => Box::new(plan_program(&step.run, making)?),
                Run::Builtin { name, args } => builtin::make_step(name, args, making)?,
            };
            Ok(PlannedStep {
                id: step.id.clone(),
                title: Text::new(step.title.es.clone(), step.title.en.clone()),
                job,
            })
        })
        .collect()
}

fn plan_program(run: &Run, making: &Making<'_>) -> Result<Program, Refused> {
    let Run::Program {
        path,
        args,
        script_digest: None,
        success_codes,
    } = run
    else {
        return Err(Refused::new(
            "DEFINITION_UNSUPPORTED",
            "este agente no ejecuta guiones fijados por digesto; actualícelo",
            "this agent runs no scripts pinned by digest; update it",
        ));
    };
    let args = resolve_args(args, making.authorised.parameters(), None).ok_or_else(|| {
        Refused::new(
            "DEFINITION_UNSUPPORTED",
            format!("{path}: un argumento nombra un parámetro que la orden no trae"),
            format!("{path}: an argument names a parameter that the order does not bring"),
        )
    })?;
    program::check_file(path).map_err(|why| {
        Refused::new(
            "PROGRAM_UNFIT",
            format!("el programa del paso no se puede usar en este equipo: {why}"),
            format!("the step's program cannot be used on this machine: {why}"),
        )
    })?;
    if let Some(what) = protected::find_in_args(&args, &making.setting.own_paths) {
        return Err(protected::refuse(what));
    }
    Ok(Program {
        path: path.clone(),
        args,
        success_codes: success_codes.clone(),
    })
}
