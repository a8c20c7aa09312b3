//! The definition of an action: what runs, with which parameters, how it is checked and what evidence stays. It is not
//! signed itself; the catalogue names its digest. No interpreter is ever a step's program, except to run a script whose
//! digest the definition pins.

use serde::{Deserialize, Serialize};

use crate::canonical::{Document, FormatError, check_distinct, check_len};
use crate::digest::Digest;
use crate::order::{Parameter, ParameterValue};
use crate::text::{Text, check_identifier, check_line, check_optional_line, check_text};

mod conditions;
mod grammar;
mod program;

pub use conditions::{Interruption, Limits, Lock, Precondition, Priority, StopPolicy, Undo};
pub use grammar::{CharClass, GrammarError};
pub use program::is_interpreter;

/// Longest time limit: one day.
pub const MAX_TIME_LIMIT_MS: i64 = 24 * 60 * 60 * 1000;

/// The definition document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Extension fields a verifier must know.
    pub critical: Vec<String>,
    /// For example `dns.flush`.
    pub id: String,
    /// Counts up from 1.
    pub version: u32,
    /// What people call it.
    pub title: Text,
    /// What it does to the machine and what the person there will notice.
    pub summary: Text,
    /// What will happen, for the ticket and whoever approves, before it does; `{name}` stands for a parameter's value.
    pub plan: Text,
    /// What is left when it goes wrong and what to do then; `{name}` as in `plan`.
    pub if_it_fails: Text,
    /// Where it can run.
    pub platforms: Vec<Platform>,
    /// 0 read-only, 1 harmless, 2 short interruption, 3 loss of unsaved work or network, 4 destructive or security
    /// relevant.
    pub risk: u8,
    /// What the person at the workstation is asked at least.
    pub consent: Consent,
    /// What happens when nobody is there, or the screen is locked, to be told or asked.
    pub when_absent: WhenAbsent,
    /// At least this many approvals, whatever the root asks for.
    pub approvals: u32,
    /// What the requester fills in.
    pub parameters: Vec<ParameterSpec>,
    /// All must hold before the first step.
    pub preconditions: Vec<Precondition>,
    /// What no other order may work on meanwhile.
    pub locks: Vec<Lock>,
    /// What the steps take away for a while.
    pub interrupts: Vec<Interruption>,
    /// Bounds on its programs.
    pub limits: Limits,
    /// How a running step ends early.
    pub stop: StopPolicy,
    /// All steps together, milliseconds.
    pub time_limit_ms: i64,
    /// The check afterwards, milliseconds.
    pub check_time_limit_ms: i64,
    /// In this order; the first that fails ends the action.
    pub steps: Vec<Step>,
    /// Holds or does not hold afterwards: that alone is success.
    pub check: Check,
    /// How the effects are taken back, where they can be.
    pub undo: Option<Undo>,
    /// Facts kept with the result, and of which kind: no other fact leaves the machine.
    pub evidence: Vec<EvidenceSpec>,
}

/// An operating system family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

/// What the person at the workstation is asked, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// Nothing.
    None,
    /// Told.
    Notify,
    /// Asked, in the session on the seat or on a terminal; only a yes is a yes.
    Ask,
    /// Asked in the session on the seat alone: what touches what the person sees or types.
    AskAlways,
}

/// What happens when nobody can be told or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAbsent {
    /// It runs: only where nobody had to be asked.
    Proceed,
    /// It waits for somebody, within the order's validity.
    Wait,
    /// It is refused.
    Refuse,
}

/// A parameter and its grammar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterSpec {
    /// Its name in orders.
    pub name: String,
    /// What people call it.
    pub title: Text,
    /// What it may be.
    pub kind: ParameterKind,
}

/// The grammar of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ParameterKind {
    /// A whole number from `min` to `max`, both included.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// One of these.
    Choice {
        /// 1 to 64, each an identifier.
        options: Vec<String>,
    },
    /// A text.
    Text {
        /// 1 to 4,096 characters.
        max_length: u32,
        /// Which characters.
        class: CharClass,
        /// True where a leading `-` cannot be read as an option.
        leading_dash: bool,
    },
    /// Several texts.
    List {
        /// 1 to 256.
        max_items: u32,
        /// 1 to 4,096 characters each.
        max_length: u32,
        /// Which characters.
        class: CharClass,
    },
    /// Something that the machine itself has: the agent looks whether it is there.
    Inventory {
        /// What kind of thing.
        of: InventoryKind,
    },
}

/// What a parameter may name on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InventoryKind {
    /// A service: a systemd unit.
    Service,
    /// An installed package.
    Package,
    /// A printer queue.
    Printer,
    /// A disk, by kernel name.
    Disk,
    /// A network interface.
    Interface,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name in results.
    pub id: String,
    /// What people read.
    pub title: Text,
    /// What runs.
    pub run: Run,
}

/// What a step or check runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Run {
    /// A program, without a shell.
    Program {
        /// Absolute.
        path: String,
        /// One argument each; a list parameter becomes one argument per item.
        args: Vec<Arg>,
        /// Exit codes that mean the step worked.
        success_codes: Vec<i64>,
        /// SHA-256 of the script that [`Arg::Script`] stands for; only then may `path` be an interpreter.
        script_digest: Option<Digest>,
    },
    /// A function of the agent.
    Builtin {
        /// For example `files.clean`.
        name: String,
        /// Its arguments.
        args: Vec<NamedArg>,
    },
}

/// An argument of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arg {
    /// These characters.
    Literal(String),
    /// The value of this parameter.
    Parameter(String),
    /// The path of the pinned script, after the agent has checked its digest.
    Script,
}

/// An argument of a builtin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedArg {
    /// The builtin's name for it.
    pub name: String,
    /// Where its value comes from.
    pub value: ArgValue,
}

/// A value for a builtin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgValue {
    /// This value.
    Literal(ParameterValue),
    /// The value of this parameter.
    Parameter(String),
}

/// The check afterwards. A builtin answers with facts and whether it holds; a program holds on a success code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What is checked, in words.
    pub summary: Text,
    /// What runs.
    pub run: Run,
}

/// A fact kept with the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceSpec {
    /// Name of the fact in [`crate::result::CheckFact`].
    pub fact: String,
    /// What people call it.
    pub title: Text,
    /// For example `bytes`; empty for none.
    pub unit: String,
    /// What its values are.
    pub kind: FactKind,
}

/// What a fact's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// Decimal digits with an optional sign and fraction.
    Number,
    /// `true` or `false`.
    Flag,
    /// A line.
    Text,
    /// UTC milliseconds, decimal.
    Time,
    /// 64 hexadecimal digits.
    Digest,
}

impl FactKind {
    /// True if this value is of the kind.
    pub fn admits(self, value: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match self {
            Self::Number => {
                let (whole, fraction) = match value.split_once('.') {
                    Some((whole, fraction)) => (whole, Some(fraction)),
                    None => (value, None),
                };
                digits(whole.strip_prefix('-').unwrap_or(whole)) && fraction.is_none_or(digits)
            }
            Self::Flag => matches!(value, "true" | "false"),
            Self::Text => !value.chars().any(crate::text::is_deceptive),
            Self::Time => digits(value),
            Self::Digest => value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()),
        }
    }
}

impl Definition {
    /// A definition with nothing in it but a name and the safe choice everywhere, to begin from. It is not valid yet: it
    /// has no step and no words.
    pub fn draft(id: &str) -> Self {
        Self {
            critical: Vec::new(),
            id: id.to_owned(),
            version: 1,
            title: Text::default(),
            summary: Text::default(),
            plan: Text::default(),
            if_it_fails: Text::default(),
            platforms: vec![Platform::Linux],
            risk: 4,
            consent: Consent::Ask,
            when_absent: WhenAbsent::Refuse,
            approvals: 1,
            parameters: Vec::new(),
            preconditions: Vec::new(),
            locks: Vec::new(),
            interrupts: Vec::new(),
            limits: Limits::default(),
            stop: StopPolicy::EndTree { grace_ms: 5_000 },
            time_limit_ms: 60_000,
            check_time_limit_ms: 30_000,
            steps: Vec::new(),
            check: Check {
                summary: Text::default(),
                run: Run::Builtin {
                    name: String::new(),
                    args: Vec::new(),
                },
            },
            undo: None,
            evidence: Vec::new(),
        }
    }

    /// What will happen, with these parameters.
    pub fn plan_of(&self, parameters: &[Parameter]) -> Text {
        self.filled(&self.plan, parameters)
    }

    /// What is left when it goes wrong, with these parameters.
    pub fn failure_of(&self, parameters: &[Parameter]) -> Text {
        self.filled(&self.if_it_fails, parameters)
    }

    fn filled(&self, text: &Text, parameters: &[Parameter]) -> Text {
        Text::new(
            conditions::fill(&text.es, parameters),
            conditions::fill(&text.en, parameters),
        )
    }

    /// The keys of its locks with these parameters, sorted and each once.
    pub fn lock_keys(&self, parameters: &[Parameter]) -> Vec<String> {
        let mut keys: Vec<String> = self.locks.iter().map(|l| l.key(parameters)).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// True if it can run there.
    pub fn runs_on(&self, platform: Platform) -> bool {
        self.platforms.contains(&platform)
    }

    /// Checks an order's parameters: exactly those defined, in this order, each in its grammar.
    pub fn check_parameters(&self, given: &[Parameter]) -> Result<(), GrammarError> {
        grammar::check(&self.parameters, given)
    }
}

/// The arguments of a program with parameters filled in. `script` is the path of the checked script. None when an
/// argument names a parameter that is not there, or a script none was given for.
pub fn resolve_args(
    args: &[Arg],
    parameters: &[Parameter],
    script: Option<&str>,
) -> Option<Vec<String>> {
    let mut out = Vec::with_capacity(args.len());
    for arg in args {
        match arg {
            Arg::Literal(text) => out.push(text.clone()),
            Arg::Script => out.push(script?.to_owned()),
            Arg::Parameter(name) => match &parameters.iter().find(|p| p.name == *name)?.value {
                ParameterValue::List(items) => out.extend(items.iter().cloned()),
                value => out.push(value.to_string()),
            },
        }
    }
    Some(out)
}

/// The arguments of a builtin with parameters filled in. None when one names a parameter that is not there.
pub fn resolve_named_args(args: &[NamedArg], parameters: &[Parameter]) -> Option<Vec<Parameter>> {
    args.iter()
        .map(|arg| {
            let value = match &arg.value {
                ArgValue::Literal(value) => value.clone(),
                ArgValue::Parameter(name) => {
                    parameters.iter().find(|p| p.name == *name)?.value.clone()
                }
            };
            Some(Parameter {
                name: arg.name.clone(),
                value,
            })
        })
        .collect()
}

impl Document for Definition {
    const NAME: &'static str = "definition";
    const PAYLOAD_TYPE: &'static str = "application/vnd.chasqui.definition.v1+json";
    const MAX_BYTES: usize = 256 * 1024;

    fn critical(&self) -> &[String] {
        &self.critical
    }

    fn validate(&self) -> Result<(), FormatError> {
        let bad = |field: &str, why: &str| Err(FormatError::invalid(Self::NAME, field, why));
        check_identifier(Self::NAME, "id", &self.id, 64)?;
        if self.version == 0 {
            return bad("version", "begins at 1");
        }
        check_text(Self::NAME, "title", &self.title, 200)?;
        check_text(Self::NAME, "summary", &self.summary, 2000)?;
        check_distinct(Self::NAME, "platforms", &self.platforms, 2, |p| *p)?;
        if self.platforms.is_empty() {
            return bad("platforms", "is empty");
        }
        if self.risk > 4 {
            return bad("risk", "is 0 to 4");
        }
        if self.consent >= Consent::Ask && self.when_absent == WhenAbsent::Proceed {
            return bad(
                "when_absent",
                "is wait or refuse where somebody must be asked",
            );
        }
        check_distinct(
            Self::NAME,
            "parameters",
            &self.parameters,
            64,
            |p: &ParameterSpec| p.name.as_str(),
        )?;
        for spec in &self.parameters {
            check_identifier(Self::NAME, "parameters.name", &spec.name, 64)?;
            check_text(Self::NAME, "parameters.title", &spec.title, 200)?;
            grammar::check_kind(&spec.name, &spec.kind)?;
        }
        conditions::check(self)?;
        if self.time_limit_ms <= 0 || self.time_limit_ms > MAX_TIME_LIMIT_MS {
            return bad("time_limit_ms", "is 1 to 86400000");
        }
        if self.check_time_limit_ms <= 0 || self.check_time_limit_ms > MAX_TIME_LIMIT_MS {
            return bad("check_time_limit_ms", "is 1 to 86400000");
        }
        if self.steps.is_empty() {
            return bad("steps", "is empty");
        }
        self.check_steps("steps", &self.steps)?;
        if let Some(undo) = &self.undo {
            self.check_steps("undo.steps", &undo.steps)?;
        }
        check_text(Self::NAME, "check.summary", &self.check.summary, 2000)?;
        self.check_run("check", &self.check.run)?;
        check_distinct(
            Self::NAME,
            "evidence",
            &self.evidence,
            64,
            |e: &EvidenceSpec| e.fact.as_str(),
        )?;
        for item in &self.evidence {
            check_identifier(Self::NAME, "evidence.fact", &item.fact, 64)?;
            check_text(Self::NAME, "evidence.title", &item.title, 200)?;
            check_optional_line(Self::NAME, "evidence.unit", &item.unit, 32)?;
        }
        Ok(())
    }
}

impl Definition {
    fn check_steps(&self, field: &str, steps: &[Step]) -> Result<(), FormatError> {
        check_distinct(Self::NAME, field, steps, 32, |s: &Step| s.id.as_str())?;
        for step in steps {
            check_identifier(Self::NAME, &format!("{field}.id"), &step.id, 64)?;
            check_text(Self::NAME, &format!("{field}.title"), &step.title, 200)?;
            self.check_run(&format!("{field}.{}", step.id), &step.run)?;
        }
        Ok(())
    }

    fn check_run(&self, field: &str, run: &Run) -> Result<(), FormatError> {
        let bad = |why: String| Err(FormatError::invalid(Self::NAME, field, why));
        let unknown = |name: &str| !self.parameters.iter().any(|p| p.name == name);
        match run {
            Run::Program {
                path,
                args,
                success_codes,
                script_digest,
            } => {
                check_len(Self::NAME, field, args, 64)?;
                check_distinct(Self::NAME, field, success_codes, 64, |c| *c)?;
                if success_codes.is_empty() {
                    return bad("names no success code".into());
                }
                for arg in args {
                    match arg {
                        Arg::Parameter(name) if unknown(name) => {
                            return bad(format!("uses the undefined parameter {name:?}"));
                        }
                        Arg::Literal(text) => {
                            check_optional_line(Self::NAME, field, text, 4096)?;
                        }
                        Arg::Parameter(_) | Arg::Script => {}
                    }
                }
                program::check(path, args, script_digest.is_some())
                    .or_else(|why| bad(why.to_owned()))
            }
            Run::Builtin { name, args } => {
                check_identifier(Self::NAME, field, name, 64)?;
                check_distinct(Self::NAME, field, args, 64, |a: &NamedArg| a.name.as_str())?;
                for arg in args {
                    check_line(Self::NAME, field, &arg.name, 64)?;
                    match &arg.value {
                        ArgValue::Parameter(name) if unknown(name) => {
                            return bad(format!("uses the undefined parameter {name:?}"));
                        }
                        ArgValue::Literal(value) => value.check(Self::NAME, field)?,
                        ArgValue::Parameter(_) => {}
                    }
                }
                Ok(())
            }
        }
    }
}
