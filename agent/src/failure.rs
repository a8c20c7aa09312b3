//! What ends a command of this program: a code for programs, a text for people in both languages, and the exit code.

use std::fmt;

use chasqui_base::text::{Lang, Text};

/// Exit codes of `chasqui-agent`. Usage errors found by the command line parser end with 2 as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did not work this time; trying again may help.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// Refused, or somebody must do something first (enrol, bring the root, ask for a new token).
    NeedsAction = 3,
}

/// A failure that people read.
#[derive(Clone, Debug)]
pub struct Failure {
    /// SCREAMING_SNAKE, never changes its meaning.
    pub code: &'static str,
    /// How the program ends.
    pub exit: Exit,
    /// What is wrong and what to do next.
    pub text: Text,
}

impl Failure {
    /// A failure that may pass by itself.
    pub fn failed(code: &'static str, text: Text) -> Self {
        Self {
            code,
            exit: Exit::Failed,
            text,
        }
    }

    /// A mistake in the command line or the configuration.
    pub fn usage(code: &'static str, text: Text) -> Self {
        Self {
            code,
            exit: Exit::Usage,
            text,
        }
    }

    /// Somebody must act first.
    pub fn needs_action(code: &'static str, text: Text) -> Self {
        Self {
            code,
            exit: Exit::NeedsAction,
            text,
        }
    }

    /// The line shown to a person.
    pub fn line(&self, lang: Lang) -> String {
        format!("{} [{}]", self.text.get(lang), self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(Lang::En))
    }
}

impl std::error::Error for Failure {}
