//! What is asked and answered.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The only version there is.
pub const VERSION: u32 = 1;
/// Most bytes of a request.
pub const MAX_REQUEST: u64 = 64 * 1024;
const MAX_TITLE: usize = 200;
const MAX_ROWS: usize = 16;
const MAX_LABEL: usize = 80;
const MAX_TEXT: usize = 4_000;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// 1.
    pub version: u32,
    /// In which language the buttons speak.
    pub lang: Lang,
    /// Why the window is there.
    pub kind: Kind,
    /// Headline, up to 200 characters.
    pub title: String,
    /// Up to 16.
    pub rows: Vec<Row>,
    /// Whether it may be put off.
    pub may_defer: bool,
    /// How often still.
    pub defers_left: u32,
    /// How long it waits, milliseconds.
    pub wait_ms: u64,
    /// Which buttons.
    pub answers: Answers,
}

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lang {
    /// Spanish.
    Es,
    /// English.
    En,
}

/// Why the window is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An action wants a yes.
    Ask,
    /// An action is told.
    Notify,
    /// Somebody has something to say.
    Message,
}

/// Which buttons there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// Accept, perhaps not now, no.
    Accept,
    /// Understood.
    Ok,
    /// Yes and no.
    YesNo,
}

/// A line of the question.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What it is, up to 80 characters; may be empty.
    pub label: String,
    /// Up to 4,000 characters.
    pub text: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// 1.
    pub version: u32,
    /// The word.
    pub answer: Word,
    /// How long the window was in sight, milliseconds.
    pub shown_ms: u64,
    /// By what; None when nobody answered.
    pub input: Option<Input>,
}

/// The person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Yes to an action.
    Accepted,
    /// No to an action.
    Denied,
    /// Not now.
    Later,
    /// Nobody answered in time.
    TimedOut,
    /// Understood.
    Seen,
    /// The window was closed without a word.
    Closed,
    /// Yes to a question.
    Yes,
    /// No to a question.
    No,
}

impl Word {
    /// True for what must be a decision.
    pub fn is_yes(self) -> bool {
        matches!(self, Self::Accepted | Self::Yes)
    }
}

/// By what an answer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A mouse or the like.
    Pointer,
    /// Keys.
    Keyboard,
}

/// Why a request is none.
#[derive(Debug, Error)]
pub enum RequestError {
    /// Not in the form agreed.
    #[error("the request cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// Another version.
    #[error("version {0} is not known here; 1 is")]
    Version(u32),
    /// Beyond a bound.
    #[error("{0} is longer than {1}")]
    TooLong(&'static str, usize),
    /// A character that could show something else than there is.
    #[error("{0} holds a control or invisible character")]
    Deceptive(&'static str),
}

impl Request {
    /// Reads and checks a request.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn read(bytes: &[u8]) -> Result<Self, RequestError> {
        let request: Self = serde_json::from_slice(bytes)?;
        if request.version != VERSION {
            return Err(RequestError::Version(request.version));
        }
        check("title", &request.title, MAX_TITLE)?;
        if request.rows.len() > MAX_ROWS {
            return Err(RequestError::TooLong("rows", MAX_ROWS));
        }
        for row in &request.rows {
            check("label", &row.label, MAX_LABEL)?;
            check("text", &row.text, MAX_TEXT)?;
        }
        Ok(request)
    }
}

fn check(what: &'static str, text: &str, most: usize) -> Result<(), RequestError> {
    if text.chars().count() > most {
        return Err(RequestError::TooLong(what, most));
    }
    let deceptive = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.chars().any(deceptive) {
        return Err(RequestError::Deceptive(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const GOOD: &str = r#"{"version":1,"lang":"es","kind":"ask","title":"Reiniciar","rows":[{"label":"Motivo","text":"uno\ndos"}],"may_defer":true,"defers_left":3,"wait_ms":1000,"answers":"accept"}"#;

    #[test]
    fn a_request_is_read_strictly() {
        assert_eq!(
            Request::read(GOOD.as_bytes()).unwrap().rows[0].text,
            "uno\ndos"
        );
        let long = "x".repeat(MAX_TITLE + 1);
        for (from, to, why) in [
            ("\"version\":1", "\"version\":2", "version 2"),
            ("\"lang\":\"es\"", "\"lang\":\"fr\"", "cannot be read"),
            (
                "\"version\":1",
                "\"version\":1,\"more\":0",
                "cannot be read",
            ),
            ("Reiniciar", long.as_str(), "title is longer"),
            ("uno", "\\u202euno", "invisible character"),
            ("Motivo", "\\u0007", "invisible character"),
        ] {
            let error = Request::read(GOOD.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
