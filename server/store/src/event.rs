//! The record of what happened. Every change appends an event in its own transaction; timelines are views of it. Events
//! are not chained while written: [`log::seal`](crate::log::seal) batches them into the Merkle log afterwards.
//!
//! Personal text is never part of what is sealed: the event holds its salted digest, the text and the salt lie apart
//! and can be erased.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Row, StoreError, Tx, params, sql};

/// Longest `data` and longest personal text, in bytes.
pub const MAX_TEXT: usize = 128 * 1024;

/// Most events one page holds.
pub const MAX_PAGE: i64 = 1_000;

/// An event to append.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// What it is about: `ticket`, `order`, `device`, `person`, `token`, ...
    pub subject_kind: &'a str,
    /// Its id.
    pub subject_id: &'a str,
    /// The part of the subject that `state` speaks of: for an order the device id of a target; else nothing.
    pub part: Option<&'a str>,
    /// What happened, noun first: `ticket.created`, `order.approved`.
    pub kind: &'a str,
    /// Who did it: person or device id, or `system`.
    pub actor: &'a str,
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// The state of the subject (or part) from now on, where the event changes it. [`log::check`](crate::log::check)
    /// replays these against `tickets`, `orders`, `order_targets` and `devices`.
    pub state: Option<&'a str>,
    /// Facts without personal text: ids, numbers, digests, codes. At most [`MAX_TEXT`] bytes as JSON.
    pub data: serde_json::Value,
    /// What a person wrote, or other text that may have to be erased. At most [`MAX_TEXT`] bytes.
    pub personal: Option<&'a str>,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// UUIDv7.
    pub id: String,
    /// What it is about.
    pub subject_kind: String,
    /// Id of that.
    pub subject_id: String,
    /// 1, 2, 3, ... within the subject.
    pub seq: i64,
    /// Part of the subject the state speaks of.
    pub part: Option<String>,
    /// What happened.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// State from then on.
    pub state: Option<String>,
    /// JSON text exactly as sealed.
    pub data: String,
    /// SHA-256 over salt and personal text, lower-case hex; stays when the text is erased.
    pub personal_digest: Option<String>,
    /// The personal text; nothing when there was none or it was erased (then the digest is still there).
    pub personal: Option<String>,
    /// The salt of the personal text, lower-case hex; for evidence files.
    pub personal_salt: Option<String>,
    /// Place in the Merkle log; nothing while not yet sealed.
    pub leaf_index: Option<i64>,
}

sql!(
    EVENT_NEXT_SEQ,
    "SELECT COALESCE(MAX(seq), 0) + 1 FROM events WHERE subject_kind = $1 AND subject_id = $2"
);
sql!(
    EVENT_INSERT,
    "INSERT INTO events (id, subject_kind, subject_id, seq, part, kind, actor, at_ms, state, data, personal_digest)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
);
sql!(
    EVENT_PERSONAL_INSERT,
    "INSERT INTO event_personal (event_id, salt, body) VALUES ($1, $2, $3)"
);
sql!(
    EVENT_LIST,
    "SELECT e.id, e.subject_kind, e.subject_id, e.seq, e.part, e.kind, e.actor, e.at_ms, e.state, e.data,
            e.personal_digest, e.leaf_index, p.salt, p.body
     FROM events e LEFT JOIN event_personal p ON p.event_id = e.id
     WHERE e.subject_kind = $1 AND e.subject_id = $2 AND e.seq > $3
     ORDER BY e.seq LIMIT $4"
);
sql!(
    EVENT_LATEST,
    "SELECT e.id, e.subject_kind, e.subject_id, e.seq, e.part, e.kind, e.actor, e.at_ms, e.state, e.data,
            e.personal_digest, e.leaf_index, p.salt, p.body
     FROM events e LEFT JOIN event_personal p ON p.event_id = e.id
     WHERE e.at_ms < $1 OR (e.at_ms = $1 AND e.id < $2)
     ORDER BY e.at_ms DESC, e.id DESC LIMIT $3"
);
sql!(
    EVENT_GET,
    "SELECT e.id, e.subject_kind, e.subject_id, e.seq, e.part, e.kind, e.actor, e.at_ms, e.state, e.data,
            e.personal_digest, e.leaf_index, p.salt, p.body
     FROM events e LEFT JOIN event_personal p ON p.event_id = e.id WHERE e.id = $1"
);
sql!(
    EVENT_ERASE,
    "DELETE FROM event_personal WHERE event_id = $1"
);

/// Appends an event, in the transaction of the change it records.
///
/// # Returns
/// The event as stored.
///
/// # Errors
/// [`StoreError::Invalid`] when `data` or `personal` is longer than [`MAX_TEXT`]; else as [`Tx::execute`].
pub fn append(tx: &mut Tx, new: NewEvent<'_>) -> Result<Event, StoreError> {
    let data = new.data.to_string();
    for (name, length) in [
        ("data", data.len()),
        ("personal text", new.personal.map_or(0, str::len)),
    ] {
        if length > MAX_TEXT {
            return Err(StoreError::Invalid(format!(
                "the {name} of event {} has {length} bytes, at most {MAX_TEXT} fit",
                new.kind
            )));
        }
    }
    let seq: i64 = tx.query_one(
        &EVENT_NEXT_SEQ,
        params![new.subject_kind, new.subject_id],
        |row| row.get(0),
    )?;
    let id = chasqui_base::clock::new_id().to_string();
    let salt = match new.personal {
        Some(_) => Some(fresh_salt()?),
        None => None,
    };
    let personal_digest = match (&salt, new.personal) {
        (Some(salt), Some(text)) => Some(personal_digest(salt, text)),
        _ => None,
    };
    tx.execute(
        &EVENT_INSERT,
        params![
            &id,
            new.subject_kind,
            new.subject_id,
            seq,
            new.part,
            new.kind,
            new.actor,
            new.at_ms,
            new.state,
            &data,
            personal_digest.clone()
        ],
    )?;
    if let (Some(salt), Some(text)) = (&salt, new.personal) {
        tx.execute(&EVENT_PERSONAL_INSERT, params![&id, salt.as_slice(), text])?;
    }
    Ok(Event {
        id,
        subject_kind: new.subject_kind.to_owned(),
        subject_id: new.subject_id.to_owned(),
        seq,
        part: new.part.map(str::to_owned),
        kind: new.kind.to_owned(),
        actor: new.actor.to_owned(),
        at_ms: new.at_ms,
        state: new.state.map(str::to_owned),
        data,
        personal_digest,
        personal: new.personal.map(str::to_owned),
        personal_salt: salt.map(hex::encode),
        leaf_index: None,
    })
}

/// One event.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Event>, StoreError> {
    tx.query_opt(&EVENT_GET, params![id], read)
}

/// The events of one subject after `after_seq` (0 for the first page), oldest first, at most `limit`
/// (bounded by [`MAX_PAGE`]). The next page begins after the last `seq`.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(
    tx: &mut Tx,
    subject_kind: &str,
    subject_id: &str,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    tx.query(
        &EVENT_LIST,
        params![
            subject_kind,
            subject_id,
            after_seq,
            limit.clamp(1, MAX_PAGE)
        ],
        read,
    )
}

/// The latest events of everything before (`before_ms`, `before_id`), newest first: `(i64::MAX, "")` for the first
/// page. For auditors.
///
/// # Errors
/// As [`Tx::query`].
pub fn latest(
    tx: &mut Tx,
    before_ms: i64,
    before_id: &str,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    tx.query(
        &EVENT_LATEST,
        params![before_ms, before_id, limit.clamp(1, MAX_PAGE)],
        read,
    )
}

/// Erases the personal text and its salt. The event, its digest and the log stand; whoever lacks the salt cannot even
/// test a guess against the digest.
///
/// # Returns
/// Whether there was something to erase.
///
/// # Errors
/// As [`Tx::execute`].
pub fn erase_personal(tx: &mut Tx, event_id: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(&EVENT_ERASE, params![event_id])? > 0)
}

/// The bytes that are sealed for an event: JSON with these fields in this order. `data` is a string holding JSON, so
/// nobody has to agree on how to print JSON again. Personal text is present by its digest alone.
pub fn leaf_bytes(event: &Event) -> Vec<u8> {
    #[derive(Serialize)]
    struct Leaf<'a> {
        v: u32,
        id: &'a str,
        subject_kind: &'a str,
        subject_id: &'a str,
        seq: i64,
        part: Option<&'a str>,
        kind: &'a str,
        actor: &'a str,
        at_ms: i64,
        state: Option<&'a str>,
        data: &'a str,
        personal_digest: Option<&'a str>,
    }
    let leaf = Leaf {
        v: 1,
        id: &event.id,
        subject_kind: &event.subject_kind,
        subject_id: &event.subject_id,
        seq: event.seq,
        part: event.part.as_deref(),
        kind: &event.kind,
        actor: &event.actor,
        at_ms: event.at_ms,
        state: event.state.as_deref(),
        data: &event.data,
        personal_digest: event.personal_digest.as_deref(),
    };
    // Strings and integers alone: this cannot fail, and an empty leaf would not verify.
    serde_json::to_vec(&leaf).unwrap_or_default()
}

/// Digest of a personal text: SHA-256 over the salt and the UTF-8 text, lower-case hex.
pub fn personal_digest(salt: &[u8], text: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(text.as_bytes());
    hex::encode(hash.finalize())
}

/// Reads the columns of [`EVENT_LIST`].
pub(crate) fn read(row: &Row<'_>) -> Result<Event, StoreError> {
    let salt: Option<Vec<u8>> = row.get(12)?;
    Ok(Event {
        id: row.get(0)?,
        subject_kind: row.get(1)?,
        subject_id: row.get(2)?,
        seq: row.get(3)?,
        part: row.get(4)?,
        kind: row.get(5)?,
        actor: row.get(6)?,
        at_ms: row.get(7)?,
        state: row.get(8)?,
        data: row.get(9)?,
        personal_digest: row.get(10)?,
        leaf_index: row.get(11)?,
        personal_salt: salt.map(hex::encode),
        personal: row.get(13)?,
    })
}

fn fresh_salt() -> Result<[u8; 16], StoreError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| {
        StoreError::Unavailable(format!("the system gives no random numbers: {error}"))
    })?;
    Ok(salt)
}
