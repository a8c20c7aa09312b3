//! How a rule says no: a stable code for programs, a sentence with the remedy for people.

use std::fmt;

use serde::Serialize;

use crate::Text;

/// A rule refused what was asked. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Stable code, SCREAMING_SNAKE, fit for `google.rpc.ErrorInfo.reason`.
    pub code: &'static str,
    /// What was refused, why, and what can be done instead.
    pub why: Text,
}

impl Refused {
    pub(crate) fn new(code: &'static str, es: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            code,
            why: Text::new(es, en),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.why.en)
    }
}

impl std::error::Error for Refused {}

/// A field holds something it may not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// Name of the field as in the API.
    pub field: &'static str,
    /// What is wrong and what would be accepted.
    pub why: Text,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, es: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            field,
            why: Text::new(es, en),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why.en)
    }
}

impl std::error::Error for Invalid {}
