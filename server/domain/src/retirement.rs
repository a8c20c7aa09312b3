//! Whether a computer still serves: age, memory, kind of disk and end of support, each with its evidence.
//!
//! A pure function of what was observed, of the [`Knowledge`] tables and of `now`; the same inputs give the same
//! assessment byte for byte, because papers are made of it. Three rules hold everywhere:
//!
//! - **Not observed is not absent.** A fact is known with its source and time, or unknown with the reason. An unknown
//!   criterion is never counted as good.
//! - An estimate says so, and never acquits.
//! - The class is a recommendation; the technical concept is signed by people.
//!
//! ## Classes, first row that fits
//! | class | when |
//! |---|---|
//! | `baja` (retire) | past its useful life, system without updates, and memory or disk would have to be replaced too |
//! | `reasignar` (lighter work) | past its useful life, system supported, memory or disk short |
//! | `repotenciar` (upgrade) | anything else that parts or a supported system would mend: memory below 8 GiB, a hard disk, a system without updates |
//! | `vigilar` (watch) | past or near its useful life, or updates near their end, nothing to mend |
//! | `vigente` (in service) | every criterion known and good |
//! | `sin_datos` (not enough data) | nothing found against it, and not everything known |

mod age;
mod class;
mod disk;
mod facts;
mod memory;
mod support;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

pub use class::Class;
pub use facts::{DeviceFacts, DiskKind, Fact, OperatingSystem, WhyUnknown};

use crate::knowledge::Knowledge;
use crate::{Text, calendar};

/// Version of the rules as a whole. Any change that can change an assessment raises it.
pub const RULE_VERSION: u32 = 1;

/// What was asked about the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CriterionId {
    /// Years against a useful life of five.
    Age,
    /// Installed memory.
    Memory,
    /// What the system disk is.
    DiskKind,
    /// Security updates of the operating system.
    OsSupport,
}

impl CriterionId {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Memory => "memory",
            Self::DiskKind => "disk_kind",
            Self::OsSupport => "os_support",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Age => Text::new("antigüedad", "age"),
            Self::Memory => Text::new("memoria", "memory"),
            Self::DiskKind => Text::new("tipo de disco", "kind of disk"),
            Self::OsSupport => {
                Text::new("soporte del sistema operativo", "operating system support")
            }
        }
    }
}

/// What a rule says about one criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Known and good.
    Ok,
    /// Serves, but not for long or not well.
    Watch,
    /// Does not serve.
    Fails,
    /// Not known; never good.
    Unknown,
}

impl Verdict {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Watch => "watch",
            Self::Fails => "fails",
            Self::Unknown => "unknown",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Ok => Text::new("cumple", "ok"),
            Self::Watch => Text::new("vigilar", "watch"),
            Self::Fails => Text::new("no cumple", "fails"),
            Self::Unknown => Text::new("desconocido", "unknown"),
        }
    }
}

/// One observed or published value that a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Name of the fact, dotted (`memory.modules`).
    pub fact: String,
    /// The value as text; integers in decimal, days as `YYYY-MM-DD`.
    pub value: String,
    /// `bytes`, `day`, `modules`, or empty.
    pub unit: String,
    /// Where it was read, or who published it.
    pub source: String,
    /// When it was observed or, for published facts, last checked. UTC milliseconds.
    pub observed_at_ms: i64,
}

/// One criterion with its verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Criterion {
    /// Which.
    pub id: CriterionId,
    /// What the rule says.
    pub verdict: Verdict,
    /// The rule that spoke (`age.purchase`, `memory.modules`).
    pub rule: String,
    /// Its version.
    pub rule_version: u32,
    /// Why, with the numbers, in both languages.
    pub explanation: Text,
    /// What it rests on; for an unknown, what was there.
    pub evidence: Vec<Evidence>,
}

/// What the rules say about one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// The recommendation.
    pub class: Class,
    /// Why this class.
    pub reason: Text,
    /// Age, memory, disk_kind, os_support; always all four, in this order.
    pub criteria: Vec<Criterion>,
    /// [`RULE_VERSION`].
    pub rule_version: u32,
    /// [`Knowledge::version`].
    pub knowledge_version: String,
    /// The `now` of the question, UTC milliseconds.
    pub assessed_at_ms: i64,
}

impl Assessment {
    /// One criterion.
    pub fn criterion(&self, id: CriterionId) -> Option<&Criterion> {
        self.criteria.iter().find(|criterion| criterion.id == id)
    }
}

/// Assesses a machine by what is known of it. Days are days in Bogotá.
pub fn assess(facts: &DeviceFacts, knowledge: &Knowledge, now_ms: i64) -> Assessment {
    let today = calendar::date_of(now_ms);
    let criteria = vec![
        age::assess(facts, today),
        memory::assess(facts),
        disk::assess(facts),
        support::assess(facts, knowledge, today),
    ];
    let (class, reason) = class::classify(&criteria);
    Assessment {
        class,
        reason,
        criteria,
        rule_version: RULE_VERSION,
        knowledge_version: knowledge.version.clone(),
        assessed_at_ms: now_ms,
    }
}

/// A rule at work: its name and version, and the evidence gathered on the way to a verdict.
struct Rule {
    id: CriterionId,
    name: &'static str,
    version: u32,
    evidence: Vec<Evidence>,
}

impl Rule {
    fn new(id: CriterionId, name: &'static str, version: u32) -> Self {
        Self {
            id,
            name,
            version,
            evidence: Vec::new(),
        }
    }

    /// Adds an observed fact to the evidence.
    fn observed<T>(&mut self, name: &str, value: String, unit: &str, fact: &Fact<T>) {
        if let Fact::Known {
            source,
            observed_at_ms,
            ..
        } = fact
        {
            self.evidence.push(Evidence {
                fact: name.into(),
                value,
                unit: unit.into(),
                source: source.clone(),
                observed_at_ms: *observed_at_ms,
            });
        }
    }

    fn verdict(self, verdict: Verdict, es: impl Into<String>, en: impl Into<String>) -> Criterion {
        Criterion {
            id: self.id,
            verdict,
            rule: self.name.into(),
            rule_version: self.version,
            explanation: Text::new(es, en),
            evidence: self.evidence,
        }
    }

    fn unknown(self, why: &Text) -> Criterion {
        self.verdict(Verdict::Unknown, why.es.clone(), why.en.clone())
    }
}

/// What every dated rule says when `now` is no date.
fn no_today() -> Text {
    Text::new(
        "La hora de la evaluación está fuera del calendario: revise el reloj.",
        "The time of the assessment lies outside the calendar: look at the clock.",
    )
}

/// A day as people of each language write it.
fn day(date: Date) -> Text {
    Text::new(
        date.strftime("%d/%m/%Y").to_string(),
        date.strftime("%Y-%m-%d").to_string(),
    )
}

#[cfg(test)]
mod tests;
