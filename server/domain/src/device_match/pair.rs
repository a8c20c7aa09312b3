//! Two devices compared. First the facts, each one equal, different or not known; then the rules over them, in order; the
//! first that fits gives the outcome, and every fact goes into the explanation.

mod explain;
mod facts;
mod rules;

use super::{Kind, Machine, Outcome};
use crate::Text;

/// A fact or rule that led to the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code.
    pub code: &'static str,
    /// For one machine, against it, or 0.
    pub weight: i32,
    /// For people.
    pub text: Text,
}

/// How two devices compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The outcome.
    pub outcome: Outcome,
    /// What most likely happened.
    pub kind: Kind,
    /// What led to it, in the order it was looked at; the last is the rule.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// For and against together: puts candidates in order, decides nothing.
    pub fn weight(&self) -> i32 {
        self.findings.iter().map(|finding| finding.weight).sum()
    }
}

/// Compares a device that enrolled with one known before. But for the times of sight the order of the two means nothing.
pub fn compare(new: &Machine, known: &Machine) -> Comparison {
    let facts = facts::gather(new, known);
    let (outcome, kind, rule) = rules::judge(&facts);
    let mut findings = explain::explain(&facts);
    findings.push(Finding {
        code: rule.0,
        weight: 0,
        text: Text::new(rule.1, rule.2),
    });
    Comparison {
        outcome,
        kind,
        findings,
    }
}
