//! From an authorised order to a plan: programs and built-in functions with their arguments filled in and narrowed by the
//! machine's policy. Everything that this agent cannot do or does not know is refused here, before anything begins.

pub mod check;
pub mod disk_clean_temp;
pub mod program;
pub mod runner;

use std::path::{Path, PathBuf};
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use chasqui_trust::Authorised;
use chasqui_trust::definition::{NamedArg, Run, resolve_args, resolve_named_args};
use chasqui_trust::order::{Parameter, ParameterValue};

use crate::policy::{Policy, Refused, TEMP_ROOTS};
use check::FileRenewed;
use disk_clean_temp::Cleaner;

/// Built-in steps this agent knows.
pub const BUILTIN_STEPS: [&str; 1] = ["files.clean"];
/// Built-in checks this agent knows.
pub const BUILTIN_CHECKS: [&str; 2] = ["files.cleaned", "file.renewed"];

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
}

impl<'a> Setting<'a> {
    /// The setting of a real machine.
    pub fn new(policy: &'a Policy, now_ms: i64, own_paths: Vec<PathBuf>) -> Self {
        Self {
            policy,
            now_ms,
            own_paths,
            clean_roots: TEMP_ROOTS.iter().map(PathBuf::from).collect(),
        }
    }
}

/// An authorised order, ready to run. Only [`plan`] makes one, and only from what people signed for this machine.
#[derive(Debug)]
pub struct Plan {
    authorised: Authorised,
    steps: Vec<PlannedStep>,
    check: Check,
    time_limit: Duration,
    check_time_limit: Duration,
}

#[derive(Clone, Debug)]
struct PlannedStep {
    id: String,
    title: Text,
    job: Job,
}

#[derive(Clone, Debug)]
enum Job {
    Program {
        path: String,
        args: Vec<String>,
        success_codes: Vec<i64>,
    },
    Clean(Cleaner),
}

#[derive(Clone, Debug)]
enum Check {
    Program {
        path: String,
        args: Vec<String>,
        success_codes: Vec<i64>,
    },
    Cleaned {
        cleaner: Cleaner,
        at_least: Option<u64>,
    },
    Renewed(FileRenewed),
}

/// Makes the plan, or says why this machine will not run it.
pub fn plan(authorised: Authorised, setting: &Setting<'_>) -> Result<Plan, Refused> {
    let definition = authorised.definition();
    setting
        .policy
        .allows(&definition.id, definition.risk, setting.now_ms)?;
    let steps = definition
        .steps
        .iter()
        .map(|step| {
            Ok(PlannedStep {
                id: step.id.clone(),
                title: Text::new(step.title.es.clone(), step.title.en.clone()),
                job: plan_step(&step.run, authorised.parameters(), setting)?,
            })
        })
        .collect::<Result<_, Refused>>()?;
    let check = plan_check(&definition.check.run, authorised.parameters(), setting)?;
    let time_limit = clock::duration_ms(definition.time_limit_ms);
    let check_time_limit = clock::duration_ms(definition.check_time_limit_ms);
    Ok(Plan {
        authorised,
        steps,
        check,
        time_limit,
        check_time_limit,
    })
}

impl Plan {
    /// What people signed.
    pub fn authorised(&self) -> &Authorised {
        &self.authorised
    }
}

fn plan_step(run: &Run, parameters: &[Parameter], setting: &Setting<'_>) -> Result<Job, Refused> {
    match run {
        Run::Program { success_codes, .. } => {
            let (path, args) = plan_program(run, parameters)?;
            Ok(Job::Program {
                path,
                args,
                success_codes: success_codes.clone(),
            })
        }
        Run::Builtin { name, args } if name == "files.clean" => {
            let mut args = Args::resolve(name, args, parameters)?;
            let cleaner = plan_cleaner(&mut args, setting)?;
            args.end()?;
            Ok(Job::Clean(cleaner))
        }
        Run::Builtin { name, .. } => Err(unknown_builtin(name)),
    }
}

fn plan_check(
    run: &Run,
    parameters: &[Parameter],
    setting: &Setting<'_>,
) -> Result<Check, Refused> {
    match run {
        Run::Program { success_codes, .. } => {
            let (path, args) = plan_program(run, parameters)?;
            Ok(Check::Program {
                path,
                args,
                success_codes: success_codes.clone(),
            })
        }
        Run::Builtin { name, args } if name == "files.cleaned" => {
            let mut args = Args::resolve(name, args, parameters)?;
            let cleaner = plan_cleaner(&mut args, setting)?;
            let at_least = args
                .integer("freed_at_least_bytes")?
                .map(|bytes| u64::try_from(bytes).unwrap_or(0));
            args.end()?;
            Ok(Check::Cleaned { cleaner, at_least })
        }
        Run::Builtin { name, args } if name == "file.renewed" => {
            let mut args = Args::resolve(name, args, parameters)?;
            let path = PathBuf::from(args.text("path")?.ok_or_else(|| args.wrong("path"))?);
            let begins_with = args.list("begins_with")?.unwrap_or_default();
            if !path.is_absolute() {
                return Err(args.wrong("path"));
            }
            args.end()?;
            Ok(Check::Renewed(FileRenewed { path, begins_with }))
        }
        Run::Builtin { name, .. } => Err(unknown_builtin(name)),
    }
}

fn plan_program(run: &Run, parameters: &[Parameter]) -> Result<(String, Vec<String>), Refused> {
    let Run::Program {
        path,
        args,
        script_digest,
        ..
    } = run
    else {
        return Err(unknown_builtin("program"));
    };
    if script_digest.is_some() {
        return Err(Refused::new(
            "DEFINITION_UNSUPPORTED",
            "este agente no ejecuta guiones fijados por digesto; actualícelo",
            "this agent runs no scripts pinned by digest; update it",
        ));
    }
    let args = resolve_args(args, parameters, None).ok_or_else(|| {
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
    Ok((path.clone(), args))
}

fn plan_cleaner(args: &mut Args, setting: &Setting<'_>) -> Result<Cleaner, Refused> {
    let wanted: Vec<PathBuf> = args
        .list("folders")?
        .ok_or_else(|| args.wrong("folders"))?
        .into_iter()
        .map(PathBuf::from)
        .collect();
    let days = args
        .integer("older_than_days")?
        .filter(|days| (1..=3650).contains(days))
        .ok_or_else(|| args.wrong("older_than_days"))?;
    let untouched = match args.text("age_by")?.as_deref() {
        None | Some("modified") => setting.policy.untouched_only(),
        Some("untouched") => true,
        Some(_) => return Err(args.wrong("age_by")),
    };
    if let Some(outside) = wanted
        .iter()
        .find(|folder| !is_within(folder, &setting.clean_roots))
    {
        return Err(Refused::new(
            "FOLDER_OUT_OF_REACH",
            format!(
                "{} no es una carpeta temporal: no se limpia",
                outside.display()
            ),
            format!(
                "{} is no temporary folder: it is not cleaned",
                outside.display()
            ),
        ));
    }
    let folders = setting.policy.narrow_folders(&wanted);
    if folders.is_empty() {
        return Err(Refused::new(
            "POLICY_FOLDERS",
            "la política de este equipo no deja ninguna de las carpetas de la acción",
            "this machine's policy leaves none of the action's folders",
        ));
    }
    let mut cleaner = Cleaner::new(folders, days, setting.now_ms, untouched);
    for path in &setting.own_paths {
        cleaner.protect(path);
    }
    Ok(cleaner)
}

fn is_within(folder: &Path, roots: &[PathBuf]) -> bool {
    let plain = folder.components().all(|part| {
        matches!(
            part,
            std::path::Component::RootDir | std::path::Component::Normal(_)
        )
    });
    plain && roots.iter().any(|root| folder.starts_with(root))
}

fn unknown_builtin(name: &str) -> Refused {
    Refused::new(
        "DEFINITION_UNSUPPORTED",
        format!("este agente no conoce la función {name}; actualícelo"),
        format!("this agent does not know the function {name}; update it"),
    )
}

/// The arguments of a builtin, taken one by one; what is left over is a mistake or something this agent is too old for.
struct Args {
    builtin: String,
    given: Vec<Parameter>,
}

impl Args {
    fn resolve(
        builtin: &str,
        args: &[NamedArg],
        parameters: &[Parameter],
    ) -> Result<Self, Refused> {
        let given = resolve_named_args(args, parameters).ok_or_else(|| unknown_builtin(builtin))?;
        Ok(Self {
            builtin: builtin.to_owned(),
            given,
        })
    }

    fn take(&mut self, name: &str) -> Option<ParameterValue> {
        let at = self.given.iter().position(|arg| arg.name == name)?;
        Some(self.given.remove(at).value)
    }

    fn integer(&mut self, name: &str) -> Result<Option<i64>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(ParameterValue::Integer(number)) => Ok(Some(number)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(ParameterValue::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, Refused> {
        match self.take(name) {
            None => Ok(None),
            Some(ParameterValue::List(items)) => Ok(Some(items)),
            Some(_) => Err(self.wrong(name)),
        }
    }

    fn end(&self) -> Result<(), Refused> {
        match self.given.first() {
            None => Ok(()),
            Some(arg) => Err(self.wrong(&arg.name)),
        }
    }

    fn wrong(&self, name: &str) -> Refused {
        let builtin = &self.builtin;
        Refused::new(
            "DEFINITION_UNSUPPORTED",
            format!(
                "{builtin}: el argumento {name} falta, sobra o no es como este agente lo conoce"
            ),
            format!(
                "{builtin}: the argument {name} is missing, unknown to this agent or not of its kind"
            ),
        )
    }
}
