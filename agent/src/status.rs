//! What the agent says of itself and what was done on this machine, in two small files that anybody at the machine may
//! read: `status.json` and `history.json`. Derived from the rest; losing them loses nothing.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chasqui_base::clock;
use chasqui_base::text::Text;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, State};

/// Most orders shown by `history`.
pub const MAX_HISTORY: usize = 500;

/// How the link stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// Not tried yet, or trying.
    #[default]
    Connecting,
    /// The stream is open.
    Connected,
    /// Lost or refused; tried again.
    Disconnected,
    /// The coordinator revoked this device. Tried again seldom.
    Revoked,
    /// Two machines had this identity; a person must decide.
    Quarantined,
    /// The program ended on purpose.
    Stopped,
}

/// Content of `status.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `1.2.3`.
    pub agent_version: String,
    /// Process id of the agent that wrote this.
    pub pid: u32,
    /// UTC milliseconds.
    pub updated_at_ms: i64,
    /// Device id.
    pub device_id: String,
    /// Hex.
    pub fingerprint: String,
    /// Organisation of the root.
    pub organisation: String,
    /// `host:port`.
    pub server: String,
    /// How the link stands.
    pub link: Link,
    /// Since when, UTC milliseconds.
    pub link_since_ms: i64,
    /// What went wrong last, if the link is not up.
    pub problem: Option<Problem>,
    /// This machine's clock minus the coordinator's, when measured.
    pub clock_offset_ms: Option<i64>,
    /// True when that is more than 5 minutes.
    pub clock_wrong: bool,
    /// The certificate ends, UTC milliseconds.
    pub certificate_not_after_ms: i64,
    /// Versions held; 0 for none.
    pub root_version: u64,
    /// As above.
    pub people_version: u64,
    /// UTC milliseconds; 0 when none is held.
    pub people_expires_at_ms: i64,
    /// As above.
    pub catalogue_version: u64,
    /// UTC milliseconds; 0 when none is held.
    pub catalogue_expires_at_ms: i64,
    /// A document that was not accepted, last.
    pub trust_problem: Option<Problem>,
    /// Order under way.
    pub running: Option<String>,
    /// Results the coordinator has not confirmed.
    pub results_waiting: usize,
    /// The last inventory that the coordinator has, UTC milliseconds; 0 for never.
    pub inventory_at_ms: i64,
    /// Why the last inventory did not go through.
    pub inventory_problem: Option<Problem>,
}

/// A problem with its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// SCREAMING_SNAKE.
    pub code: String,
    /// In both languages.
    pub text: Text,
    /// UTC milliseconds.
    pub at_ms: i64,
}

impl Problem {
    /// A problem of now.
    pub fn new(code: impl Into<String>, text: Text) -> Self {
        Self {
            code: code.into(),
            text,
            at_ms: clock::now_ms(),
        }
    }
}

/// One thing done on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// Order id.
    pub order_id: String,
    /// Action.
    pub action: String,
    /// Its name for people.
    pub title: Text,
    /// Ticket number.
    pub ticket: String,
    /// Who asked.
    pub requester: String,
    /// Why.
    pub reason: String,
    /// When it was accepted, UTC milliseconds.
    pub accepted_at_ms: i64,
    /// When it began; absent when it did not.
    pub started_at_ms: Option<i64>,
    /// When its result was known.
    pub done_at_ms: Option<i64>,
    /// `accepted`, `started`, or the outcome.
    pub state: String,
    /// Why it was refused, or what the check said.
    pub explanation: Text,
}

/// Keeps `status.json` and `history.json`.
#[derive(Debug)]
pub struct Board {
    state_dir: PathBuf,
    status: Mutex<Status>,
}

impl Board {
    /// A board that writes below this state folder.
    pub fn new(state_dir: &Path, status: Status) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
            status: Mutex::new(status),
        }
    }

    /// Changes the status and writes it when it differs.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = crate::lock(&self.status);
        let before = status.clone();
        change(&mut status);
        if *status == before {
            return;
        }
        status.updated_at_ms = clock::now_ms();
        let written = serde_json::to_vec_pretty(&*status)
            .map_err(io::Error::from)
            .and_then(|bytes| write_public(&self.state_dir.join("status.json"), &bytes));
        if let Err(error) = written {
            tracing::debug!(%error, "status.json not written");
        }
    }

    /// The link changed.
    pub fn link(&self, link: Link, problem: Option<Problem>) {
        self.update(|status| {
            if status.link != link {
                status.link_since_ms = clock::now_ms();
            }
            status.link = link;
            status.problem = problem;
        });
    }

    /// The status now.
    pub fn status(&self) -> Status {
        crate::lock(&self.status).clone()
    }

    /// Writes the history anew from the journal.
    pub fn history(&self, journal: &Journal) {
        let items = history_of(journal);
        let written = serde_json::to_vec(&items)
            .map_err(io::Error::from)
            .and_then(|bytes| write_public(&self.state_dir.join("history.json"), &bytes));
        if let Err(error) = written {
            tracing::debug!(%error, "history.json not written");
        }
    }
}

/// The newest orders of a journal, newest first.
pub fn history_of(journal: &Journal) -> Vec<HistoryItem> {
    journal
        .entries()
        .into_iter()
        .rev()
        .take(MAX_HISTORY)
        .map(|entry| {
            let accepted = entry.accepted.as_ref();
            let text = |pick: fn(&crate::journal::Accepted) -> &String| {
                accepted.map(pick).cloned().unwrap_or_default()
            };
            HistoryItem {
                order_id: entry.order_id.clone(),
                action: text(|accepted| &accepted.definition_id),
                title: accepted
                    .map(|accepted| accepted.title.clone())
                    .unwrap_or_default(),
                ticket: text(|accepted| &accepted.ticket),
                requester: text(|accepted| &accepted.requester),
                reason: text(|accepted| &accepted.reason),
                accepted_at_ms: accepted.map_or(0, |accepted| accepted.at_ms),
                started_at_ms: entry.started.as_ref().map(|begin| begin.at_ms),
                done_at_ms: entry.done_at_ms,
                state: match entry.state {
                    State::Accepted => "accepted".to_owned(),
                    State::Started => "started".to_owned(),
                    State::Done => entry.outcome.clone().unwrap_or_default(),
                },
                explanation: entry.explanation.clone(),
            }
        })
        .collect()
}

/// The status as last written.
pub fn read_status(state_dir: &Path) -> io::Result<Status> {
    Ok(serde_json::from_slice(&fs::read(
        state_dir.join("status.json"),
    )?)?)
}

/// The history as last written, newest first.
pub fn read_history(state_dir: &Path) -> io::Result<Vec<HistoryItem>> {
    match fs::read(state_dir.join("history.json")) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        // An agent that never took an order has no history.
        Err(error) if error.kind() == io::ErrorKind::NotFound && state_dir.is_dir() => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// Replaced whole, readable by all whatever the umask. Not synced: it can be made again.
fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file = fs::File::create(&beside)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    file.write_all(bytes)?;
    drop(file);
    fs::rename(&beside, path)
}
