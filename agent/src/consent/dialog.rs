//! The window in the person's session: a program of its own (`chasqui-consent`), started as that person, which gets one
//! question on its input and gives one answer on its output. What it says is believed only in the form agreed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use chasqui_base::fault::test_value;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::seat::Session;
use crate::action::program;

const VERSION: u32 = 1;
const MAX_ANSWER: u64 = 4 * 1024;
/// A window that was up for less was not read.
const MIN_SHOWN_MS: u64 = 700;
/// A notice whose program still runs after this long is on the screen.
const UP_AFTER: Duration = Duration::from_millis(1_500);
/// Besides what the program waits by itself.
const SLACK: Duration = Duration::from_secs(10);

/// What is shown.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Request {
    version: u32,
    lang: &'static str,
    kind: &'static str,
    title: String,
    rows: Vec<Row>,
    may_defer: bool,
    defers_left: u32,
    wait_ms: u64,
    answers: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Row {
    label: String,
    text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    version: u32,
    answer: Word,
    shown_ms: u64,
    input: Option<Input>,
}

/// The person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    Accepted,
    Denied,
    Later,
    TimedOut,
    Seen,
    Closed,
    Yes,
    No,
}

/// How it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Input {
    Pointer,
    Keyboard,
}

impl Request {
    /// From words of one `label: text` a line; lines without a label go on with the one before.
    pub(super) fn new(spanish: bool, kind: &'static str, title: &str, body: &str) -> Self {
        let mut rows: Vec<Row> = Vec::new();
        for line in body.lines().take(64) {
            match line.split_once(": ") {
                Some((label, text)) if label.len() <= 40 && rows.len() < 16 => rows.push(Row {
                    label: label.to_owned(),
                    text: text.to_owned(),
                }),
                _ => match rows.last_mut() {
                    Some(row) => {
                        row.text.push('\n');
                        row.text.push_str(line);
                    }
                    None => rows.push(Row {
                        label: String::new(),
                        text: line.to_owned(),
                    }),
                },
            }
        }
        Self {
            version: VERSION,
            lang: if spanish { "es" } else { "en" },
            kind,
            title: title.chars().take(200).collect(),
            rows,
            may_defer: false,
            defers_left: 0,
            wait_ms: 0,
            answers: "ok",
        }
    }

    pub(super) fn asking(mut self, defers_left: u32, wait: Duration) -> Self {
        self.may_defer = defers_left > 0;
        self.defers_left = defers_left;
        self.answers = "accept";
        self.waiting(wait)
    }

    pub(super) fn answers(mut self, answers: &'static str) -> Self {
        self.answers = answers;
        self
    }

    pub(super) fn waiting(mut self, wait: Duration) -> Self {
        self.wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self
    }
}

/// Shows it and waits for the answer. Dropping the future takes the window away.
///
/// # Errors
/// Why it could not be shown, for the log.
pub(super) async fn ask(
    session: &Session,
    request: &Request,
) -> Result<(Word, Option<Input>), String> {
    let mut child = start(session, request).await?;
    let wait = Duration::from_millis(request.wait_ms).saturating_add(SLACK);
    let answer = tokio::time::timeout(wait, read(&mut child)).await;
    let _ = child.start_kill();
    let answer = match answer {
        Ok(answer) => answer?,
        // A program that hangs is no answer, and no answer is no.
        Err(_) => return Ok((Word::TimedOut, None)),
    };
    let word = match answer.answer {
        // A click that cannot have been a decision.
        Word::Accepted | Word::Yes if answer.shown_ms < MIN_SHOWN_MS || answer.input.is_none() => {
            Word::Closed
        }
        word => word,
    };
    Ok((word, answer.input))
}

/// Shows a notice that goes by itself. True when it is on the screen.
pub(super) async fn tell(session: &Session, request: &Request) -> bool {
    let mut child = match start(session, request).await {
        Ok(child) => child,
        Err(why) => {
            tracing::info!(why, "no window could be shown");
            return false;
        }
    };
    if let Ok(ended) = tokio::time::timeout(UP_AFTER, child.wait()).await {
        return ended.is_ok_and(|status| status.success());
    }
    let limit = Duration::from_millis(request.wait_ms).saturating_add(SLACK);
    tokio::spawn(async move {
        // Ended with this handle when the person does not close it.
        let _ = tokio::time::timeout(limit, child.wait()).await;
    });
    true
}

async fn start(session: &Session, request: &Request) -> Result<Child, String> {
    let path = find().ok_or("the program chasqui-consent is not installed")?;
    let home = session
        .home()
        .ok_or("the session shows no display to programs")?;
    let own = rustix::process::geteuid().as_raw();
    if own != 0 && own != session.uid {
        return Err(format!(
            "an agent of user {own} may not show windows to user {}",
            session.uid
        ));
    }
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(&home.env)
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if own != session.uid {
        // Without groups of its own the library drops those of root.
        command.uid(session.uid).gid(home.gid);
    }
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let words = serde_json::to_vec(request).map_err(|error| error.to_string())?;
    let mut input = child.stdin.take().ok_or("no input")?;
    input
        .write_all(&words)
        .await
        .map_err(|error| error.to_string())?;
    // Its end is the end of the question.
    drop(input);
    Ok(child)
}

async fn read(child: &mut Child) -> Result<Answer, String> {
    let mut words = Vec::new();
    child
        .stdout
        .take()
        .ok_or("no output")?
        .take(MAX_ANSWER)
        .read_to_end(&mut words)
        .await
        .map_err(|error| error.to_string())?;
    let answer: Answer = serde_json::from_slice(&words)
        .map_err(|error| format!("the window gave no answer: {error}"))?;
    if answer.version != VERSION {
        return Err("the window speaks another version".to_owned());
    }
    Ok(answer)
}

/// Beside this program, or where packages put it.
fn find() -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("chasqui-consent")));
    test_value("CHASQUI_CONSENT_PROGRAM")
        .map(PathBuf::from)
        .into_iter()
        .chain(beside)
        .chain([PathBuf::from("/usr/lib/chasqui/chasqui-consent")])
        .find(|path| {
            path.to_str()
                .is_some_and(|path| program::check_file(path).is_ok())
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Both ends of the wire are written by hand: each must take what the other gives.
    #[test]
    fn the_window_understands_the_agent_and_the_agent_the_window() {
        use chasqui_consent::request as window;
        let long = format!("Motivo: {}\n", "¿uno? ".repeat(600)).repeat(1);
        let request =
            Request::new(true, "ask", &"x".repeat(500), &long).asking(3, Duration::from_secs(300));
        let bytes = serde_json::to_vec(&request).unwrap();
        let read = window::Request::read(&bytes).unwrap();
        assert_eq!(read.defers_left, 3);
        for kind in ["notify", "message"] {
            for answers in ["ok", "yes_no", "accept"] {
                let request = Request::new(false, kind, "t", "a: b").answers(answers);
                window::Request::read(&serde_json::to_vec(&request).unwrap()).unwrap();
            }
        }
        for (theirs, ours) in [
            (window::Word::Accepted, Word::Accepted),
            (window::Word::Denied, Word::Denied),
            (window::Word::Later, Word::Later),
            (window::Word::TimedOut, Word::TimedOut),
            (window::Word::Seen, Word::Seen),
            (window::Word::Closed, Word::Closed),
            (window::Word::Yes, Word::Yes),
            (window::Word::No, Word::No),
        ] {
            let answer = window::Answer {
                version: window::VERSION,
                answer: theirs,
                shown_ms: 900,
                input: Some(window::Input::Keyboard),
            };
            let bytes = serde_json::to_vec(&answer).unwrap();
            let read: Answer = serde_json::from_slice(&bytes).unwrap();
            assert_eq!((read.answer, read.input), (ours, Some(Input::Keyboard)));
        }
        assert_eq!(MIN_SHOWN_MS, chasqui_consent::MIN_SHOWN_MS);
    }

    #[test]
    fn words_become_rows_and_keep_their_lines() {
        let request = Request::new(
            true,
            "ask",
            "Reiniciar",
            "Se reinicia\nSolicita: Ana\nMotivo: uno\n  dos",
        );
        let rows: Vec<_> = request
            .rows
            .iter()
            .map(|row| (row.label.as_str(), row.text.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                ("", "Se reinicia"),
                ("Solicita", "Ana"),
                ("Motivo", "uno\n  dos")
            ]
        );
        let asked = request.asking(2, Duration::from_secs(300));
        assert!(asked.may_defer && asked.defers_left == 2 && asked.wait_ms == 300_000);
    }
}
