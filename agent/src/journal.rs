//! What this machine did with orders: one file per order, appended and synced before each thing it speaks of. With it an
//! action runs at most once: an order that was begun and has no end is answered `unknown`, never run again.
//!
//! ```text
//!   (delivered) --accept--> accepted --start--> started --finish--> done
//!                               |                  |
//!                               | restart          | restart, or a damaged file
//!                               v                  v
//!                         judged again        result `unknown` -> done
//! ```
//!
//! A file is `<order id>.<order digest>.log`; a line is a checksum, a blank, and one JSON record. A file that cannot be
//! read to its end counts as begun: it may have been.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chasqui_base::text::Text;
use chasqui_base::{durable, fault_point};
use chasqui_trust::Digest;
use chasqui_trust::result::{StepResult, UndoCause};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most orders remembered. An entry can only go once its order cannot be accepted any more.
pub const MAX_ENTRIES: usize = 10_000;
const MAX_FILE: u64 = 8 * 1024 * 1024;
/// Room kept for the result when an action begins, so that an action that fills the disk can still be reported.
const RESERVE: u64 = 256 * 1024;

/// What is known of an order when it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// UTC milliseconds.
    pub at_ms: i64,
    /// Action and its name for people.
    pub definition_id: String,
    /// Its version.
    pub definition_version: u32,
    /// What people call it.
    pub title: Text,
    /// 0 to 4.
    pub risk: u8,
    /// `MA-2026-000123`.
    pub ticket: String,
    /// Name of the person who asked.
    pub requester: String,
    /// In the requester's words.
    pub reason: String,
    /// The order cannot be accepted from here on, UTC milliseconds.
    pub not_after_ms: i64,
    /// Of the start of the machine in which it came.
    pub boot_id: String,
    /// The delivered bundle, base64, so that a restart can judge it again.
    pub bundle: String,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// UTC milliseconds.
    pub at_ms: i64,
    /// UUIDv7, the same on every submission.
    pub request_id: String,
    /// `succeeded`, `failed`, `refused`, `cancelled`, `unknown`.
    pub outcome: String,
    /// Why it was refused, or what the check said.
    pub explanation: Text,
    /// DSSE envelope of the result, JSON text.
    pub envelope: String,
    /// DSSE envelope of the consent receipt, JSON text.
    pub consent: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Accepted(Accepted),
    Started {
        at_ms: i64,
        boot_id: String,
        before: Value,
        consent: Option<String>,
    },
    Step {
        at_ms: i64,
        result: StepResult,
    },
    /// The steps are over; what remains has no effects, but for taking them back.
    Stepped {
        at_ms: i64,
        said: Value,
    },
    /// The steps that take the effects back may have begun.
    Undoing {
        at_ms: i64,
        cause: UndoCause,
    },
    Done(Done),
    Delivered {
        at_ms: i64,
    },
}

/// How far an order that was begun came, for who goes on after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// What the check saw before the first step; null when the file does not tell.
    pub before: Value,
    /// DSSE envelope of the consent receipt, JSON text.
    pub consent: Option<String>,
    /// Steps that ended.
    pub steps: Vec<StepResult>,
    /// Present when the steps are over: their last words.
    pub stepped: Option<Value>,
    /// Present when taking the effects back may have begun: why.
    pub undoing: Option<UndoCause>,
}

/// How far an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Verified and kept; nothing was done.
    Accepted,
    /// It may have had effects.
    Started,
    /// The result is here.
    Done,
}

/// The begin of an order's first step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// UTC milliseconds.
    pub at_ms: i64,
    /// Of the start of the machine in which it began.
    pub boot_id: String,
}

/// One order, without its bundle and result.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Order id.
    pub order_id: String,
    /// SHA-256 of the order's payload.
    pub digest: Digest,
    /// How far it is.
    pub state: State,
    /// Absent when the file is damaged from its first line on.
    pub accepted: Option<Accepted>,
    /// When it began; absent when nothing did, or when a damaged file does not tell.
    pub started: Option<Started>,
    /// When the result was known, UTC milliseconds.
    pub done_at_ms: Option<i64>,
    /// As in [`Done::outcome`].
    pub outcome: Option<String>,
    /// As in [`Done::explanation`].
    pub explanation: Text,
    /// The coordinator confirmed the result once.
    pub delivered: bool,
}

/// The journal of a state folder. One process at a time: the agent holds a lock on the folder.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    entries: BTreeMap<Digest, Entry>,
}

impl Journal {
    /// Reads every entry.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let Some((order_id, digest)) = name_of(&path) else {
                continue;
            };
            let read = read_file(&path);
            entries.insert(digest, summarise(order_id, digest, &read));
        }
        Ok(Self {
            folder: folder.to_owned(),
            entries,
        })
    }

    /// Every order, oldest first.
    pub fn entries(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.values().collect();
        entries.sort_by_key(|entry| {
            (
                entry.accepted.as_ref().map_or(0, |accepted| accepted.at_ms),
                entry.digest,
            )
        });
        entries
    }

    /// The order with this digest.
    pub fn entry(&self, digest: &Digest) -> Option<&Entry> {
        self.entries.get(digest)
    }

    /// The order with this id, whatever its digest.
    pub fn entry_of_id(&self, order_id: &str) -> Option<&Entry> {
        self.entries
            .values()
            .find(|entry| entry.order_id == order_id)
    }

    /// The bundle as it was delivered.
    pub fn bundle(&self, digest: &Digest) -> Option<Vec<u8>> {
        use base64::Engine as _;
        let entry = self.entries.get(digest)?;
        let read = read_file(&self.path(&entry.order_id, digest));
        read.records.into_iter().find_map(|record| match record {
            Record::Accepted(accepted) => base64::engine::general_purpose::STANDARD
                .decode(accepted.bundle)
                .ok(),
            _ => None,
        })
    }

    /// The result, when there is one.
    pub fn done(&self, digest: &Digest) -> Option<Done> {
        let entry = self.entries.get(digest)?;
        read_file(&self.path(&entry.order_id, digest))
            .records
            .into_iter()
            .rev()
            .find_map(|record| match record {
                Record::Done(done) => Some(done),
                _ => None,
            })
    }

    /// How far an order that was begun came.
    pub fn progress(&self, digest: &Digest) -> Progress {
        let mut progress = Progress::default();
        let Some(entry) = self.entries.get(digest) else {
            return progress;
        };
        for record in read_file(&self.path(&entry.order_id, digest)).records {
            match record {
                Record::Started {
                    before, consent, ..
                } => {
                    progress.before = before;
                    progress.consent = consent;
                }
                Record::Step { result, .. } => progress.steps.push(result),
                Record::Stepped { said, .. } => progress.stepped = Some(said),
                Record::Undoing { cause, .. } => progress.undoing = Some(cause),
                Record::Accepted(_) | Record::Done(_) | Record::Delivered { .. } => {}
            }
        }
        progress
    }

    /// Writes a new order down. On an error nothing was accepted.
    pub fn accept(&mut self, order_id: &str, digest: Digest, accepted: Accepted) -> io::Result<()> {
        if self.entries.contains_key(&digest) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("{MAX_ENTRIES} orders are remembered and none may be forgotten yet"),
            ));
        }
        let line = line(&Record::Accepted(accepted.clone()))?;
        durable::write(&self.path(order_id, &digest), &line, 0o600)?;
        fault_point!("agent.journal.accepted");
        self.entries.insert(
            digest,
            Entry {
                order_id: order_id.to_owned(),
                digest,
                state: State::Accepted,
                // The bundle stays on disk.
                accepted: Some(Accepted {
                    bundle: String::new(),
                    ..accepted
                }),
                started: None,
                done_at_ms: None,
                outcome: None,
                explanation: Text::default(),
                delivered: false,
            },
        );
        Ok(())
    }

    /// Durable before the first effect, with what the check saw and what the person answered. On an error nothing may be
    /// begun.
    pub fn start(
        &mut self,
        digest: &Digest,
        begin: &Started,
        before: &Value,
        consent: Option<&str>,
    ) -> io::Result<()> {
        let entry = self.must_be(digest, State::Accepted)?;
        let path = self.path(&entry.order_id, digest);
        fault_point!("agent.journal.start");
        let record = Record::Started {
            at_ms: begin.at_ms,
            boot_id: begin.boot_id.clone(),
            before: before.clone(),
            consent: consent.map(str::to_owned),
        };
        append(&path, &record, Sync::Yes, RESERVE)?;
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.state = State::Started;
            entry.started = Some(begin.clone());
        }
        fault_point!("agent.journal.started");
        Ok(())
    }

    /// Notes a step's end, for the person who later asks how far it came. Not synced: it decides nothing.
    pub fn step(&mut self, digest: &Digest, at_ms: i64, result: &StepResult) -> io::Result<()> {
        let entry = self.must_be(digest, State::Started)?;
        let record = Record::Step {
            at_ms,
            result: result.clone(),
        };
        append(&self.path(&entry.order_id, digest), &record, Sync::No, 0)
    }

    /// The steps are over. Durable: after a restart nothing but the check and the taking back remains.
    pub fn stepped(&mut self, digest: &Digest, at_ms: i64, said: &Value) -> io::Result<()> {
        let entry = self.must_be(digest, State::Started)?;
        let record = Record::Stepped {
            at_ms,
            said: said.clone(),
        };
        append(
            &self.path(&entry.order_id, digest),
            &record,
            Sync::Yes,
            RESERVE,
        )
    }

    /// Durable before the first step that takes effects back: it is not begun twice.
    pub fn undoing(&mut self, digest: &Digest, at_ms: i64, cause: UndoCause) -> io::Result<()> {
        let entry = self.must_be(digest, State::Started)?;
        let record = Record::Undoing { at_ms, cause };
        append(
            &self.path(&entry.order_id, digest),
            &record,
            Sync::Yes,
            RESERVE,
        )
    }

    /// Keeps the result. The entry answers every later delivery of the same order.
    pub fn finish(&mut self, digest: &Digest, done: &Done) -> io::Result<()> {
        let Some(entry) = self.entries.get(digest) else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        if entry.state == State::Done {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let path = self.path(&entry.order_id, digest);
        let read = read_file(&path);
        if read.damaged {
            // Behind a torn line nothing can be appended: what is whole is kept, and the result.
            let mut whole = Vec::new();
            for record in &read.records {
                whole.extend(line(record)?);
            }
            whole.extend(line(&Record::Done(done.clone()))?);
            durable::write(&path, &whole, 0o600)?;
        } else {
            append(&path, &Record::Done(done.clone()), Sync::Yes, 0)?;
        }
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.state = State::Done;
            entry.done_at_ms = Some(done.at_ms);
            entry.outcome = Some(done.outcome.clone());
            entry.explanation = done.explanation.clone();
        }
        fault_point!("agent.result.journaled");
        Ok(())
    }

    /// Takes an order back that was never begun and whose refusal could not be written down: a restart must not begin what
    /// was answered. Removing needs no room on the disk.
    pub fn forget(&mut self, digest: &Digest) -> io::Result<()> {
        let entry = self.must_be(digest, State::Accepted)?;
        durable::remove(&self.path(&entry.order_id, digest))?;
        self.entries.remove(digest);
        Ok(())
    }

    /// Notes that the coordinator has the result. Not synced: a lost note costs one more submission.
    pub fn delivered(&mut self, digest: &Digest, at_ms: i64) -> io::Result<()> {
        let entry = self.must_be(digest, State::Done)?;
        if entry.delivered {
            return Ok(());
        }
        let path = self.path(&entry.order_id, digest);
        append(&path, &Record::Delivered { at_ms }, Sync::No, 0)?;
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.delivered = true;
        }
        Ok(())
    }

    /// Forgets finished orders that no clock can make acceptable again: those that ended before the floor of the signed
    /// documents. `keep` says which results are still needed.
    pub fn prune(&mut self, floor_ms: i64, keep: impl Fn(&Digest) -> bool) {
        let gone: Vec<_> = self
            .entries
            .values()
            .filter(|entry| {
                entry.state == State::Done
                    && entry.delivered
                    && entry
                        .accepted
                        .as_ref()
                        .is_some_and(|accepted| accepted.not_after_ms < floor_ms)
                    && !keep(&entry.digest)
            })
            .map(|entry| (entry.order_id.clone(), entry.digest))
            .collect();
        for (order_id, digest) in gone {
            if durable::remove(&self.path(&order_id, &digest)).is_ok() {
                self.entries.remove(&digest);
            }
        }
    }

    fn must_be(&self, digest: &Digest, state: State) -> io::Result<&Entry> {
        self.entries
            .get(digest)
            .filter(|entry| entry.state == state)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("order {digest} is not {state:?}"),
                )
            })
    }

    fn path(&self, order_id: &str, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{order_id}.{digest}.log"))
    }
}

/// What could be read of a file.
#[derive(Debug, Default)]
struct Read {
    records: Vec<Record>,
    /// Something after the records could not be read, or the file could not.
    damaged: bool,
}

fn read_file(path: &Path) -> Read {
    let bytes = match fs::metadata(path).map(|meta| meta.len()) {
        Ok(length) if length <= MAX_FILE => fs::read(path).ok(),
        _ => None,
    };
    let Some(bytes) = bytes else {
        return Read {
            records: Vec::new(),
            damaged: true,
        };
    };
    let mut read = Read::default();
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse_line(piece) {
            Some(record) => read.records.push(record),
            None => {
                read.damaged = true;
                break;
            }
        }
    }
    read.damaged |= !matches!(read.records.first(), Some(Record::Accepted(_)));
    read
}

fn summarise(order_id: String, digest: Digest, read: &Read) -> Entry {
    let mut entry = Entry {
        order_id,
        digest,
        state: if read.damaged {
            State::Started
        } else {
            State::Accepted
        },
        accepted: None,
        started: None,
        done_at_ms: None,
        outcome: None,
        explanation: Text::default(),
        delivered: false,
    };
    for record in &read.records {
        match record {
            Record::Accepted(accepted) => {
                entry.accepted = Some(Accepted {
                    bundle: String::new(),
                    ..accepted.clone()
                });
            }
            Record::Started { at_ms, boot_id, .. } => {
                entry.state = State::Started;
                entry.started = Some(Started {
                    at_ms: *at_ms,
                    boot_id: boot_id.clone(),
                });
            }
            Record::Step { .. } | Record::Stepped { .. } | Record::Undoing { .. } => {}
            Record::Done(done) => {
                entry.state = State::Done;
                entry.done_at_ms = Some(done.at_ms);
                entry.outcome = Some(done.outcome.clone());
                entry.explanation = done.explanation.clone();
            }
            Record::Delivered { .. } => entry.delivered = true,
        }
    }
    entry
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    let sum = Digest::of(json.as_bytes()).to_hex();
    let sum = sum.get(..16).unwrap_or(&sum);
    Ok(format!("{sum} {json}\n").into_bytes())
}

fn parse_line(piece: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(piece).ok()?.strip_suffix('\n')?;
    let (sum, json) = text.split_once(' ')?;
    let expected = Digest::of(json.as_bytes()).to_hex();
    if expected.get(..16) != Some(sum) {
        return None;
    }
    serde_json::from_str(json).ok()
}

#[derive(PartialEq)]
enum Sync {
    Yes,
    No,
}

/// Appends one line whole, or leaves the file as it was.
fn append(path: &Path, record: &Record, sync: Sync, reserve: u64) -> io::Result<()> {
    let line = line(record)?;
    let mut file = OpenOptions::new().append(true).open(path)?;
    let before = file.metadata()?.len();
    let needed = before.saturating_add(line.len() as u64);
    #[cfg(target_os = "linux")]
    if reserve > 0 {
        use rustix::io::Errno;
        let flags = rustix::fs::FallocateFlags::KEEP_SIZE;
        // What could not be reported afterwards is not begun. Where the file system cannot reserve at all, the result is
        // kept in memory if it must.
        if let Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) =
            rustix::fs::fallocate(&file, flags, needed, reserve)
        {
            return Err(error.into());
        }
    }
    let _ = (needed, reserve);
    let written = file.write_all(&line).and_then(|()| match sync {
        Sync::Yes => file.sync_data(),
        Sync::No => Ok(()),
    });
    if let Err(error) = written {
        // A torn line would read as "may have begun" after a restart; it has not.
        let _ = file.set_len(before).and_then(|()| file.sync_data());
        return Err(error);
    }
    Ok(())
}

fn name_of(path: &Path) -> Option<(String, Digest)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".log")?;
    let (order_id, digest) = name.split_once('.')?;
    Some((order_id.to_owned(), digest.parse().ok()?))
}
