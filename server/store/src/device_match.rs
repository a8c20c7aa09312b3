//! Devices that may be one machine, as rows: when to look, what was proposed, what people decided, and the merges with
//! what is needed to undo them.

use std::str::FromStr;

use chasqui_domain::device_facts::Facts;

use crate::device::State as DeviceState;
use crate::{Row, StoreError, Tx, params, sql};

/// Where a proposal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for a person.
    Open,
    /// Merged.
    Merged,
    /// Two machines, said a person.
    Apart,
    /// What was observed since speaks no more for it.
    Withdrawn,
}

impl State {
    /// The name in the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Apart => "apart",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl FromStr for State {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        [Self::Open, Self::Merged, Self::Apart, Self::Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                StoreError::Corrupt(format!("device_matches.state {text:?} is no state"))
            })
    }
}

/// Two devices that may be one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// UUIDv7.
    pub id: String,
    /// The one that enrolled later and goes on after a merge.
    pub device_id: String,
    /// The one known before.
    pub other_id: String,
    /// The evidence leaves no doubt.
    pub certain: bool,
    /// `reimaged`, `board_replaced`, ...
    pub kind: String,
    /// JSON list of what led to it.
    pub findings: String,
    /// Where it stands.
    pub state: State,
    /// UTC milliseconds.
    pub proposed_at_ms: i64,
    /// UTC milliseconds.
    pub resolved_at_ms: Option<i64>,
    /// Person id.
    pub resolved_by: Option<String>,
    /// In their words.
    pub reason: String,
}

sql!(
    DUE_SET,
    "UPDATE devices SET match_due_ms = $2 WHERE id = $1"
);
sql!(
    DUE,
    "SELECT id FROM devices WHERE match_due_ms <= $1 AND match_due_ms IS NOT NULL ORDER BY match_due_ms, id LIMIT $2"
);

/// When to look next whether a device is a known machine; nothing: not again.
///
/// # Errors
/// As [`Tx::execute`].
pub fn set_due(tx: &mut Tx, device_id: &str, at_ms: Option<i64>) -> Result<(), StoreError> {
    tx.execute(&DUE_SET, params![device_id, at_ms]).map(|_| ())
}

/// Devices to look at by now, longest due first; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn due(tx: &mut Tx, now_ms: i64, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(&DUE, params![now_ms, limit], |row| row.get(0))
}

sql!(
    INSERT,
    "INSERT INTO device_matches (id, device_id, other_id, verdict, kind, findings, state, proposed_at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, 'open', $7)"
);
sql!(
    UPDATE,
    "UPDATE device_matches SET verdict = $2, kind = $3, findings = $4, state = $5 WHERE id = $1"
);
sql!(
    GET,
    "SELECT id, device_id, other_id, verdict, kind, findings, state, proposed_at_ms, resolved_at_ms, resolved_by, reason
     FROM device_matches WHERE id = $1"
);
sql!(
    OF_PAIR,
    "SELECT id, device_id, other_id, verdict, kind, findings, state, proposed_at_ms, resolved_at_ms, resolved_by, reason
     FROM device_matches WHERE device_id = $1 AND other_id = $2"
);
sql!(
    LIST,
    "SELECT id, device_id, other_id, verdict, kind, findings, state, proposed_at_ms, resolved_at_ms, resolved_by, reason
     FROM device_matches WHERE state = $1 AND (proposed_at_ms, id) > ($2, $3) ORDER BY proposed_at_ms, id LIMIT $4"
);
sql!(
    OPEN_OF,
    "SELECT id, device_id, other_id, verdict, kind, findings, state, proposed_at_ms, resolved_at_ms, resolved_by, reason
     FROM device_matches WHERE state = 'open' AND (device_id = $1 OR other_id = $1) ORDER BY proposed_at_ms, id"
);
sql!(
    RESOLVE,
    "UPDATE device_matches SET state = $2, resolved_at_ms = $3, resolved_by = $4, reason = $5 WHERE id = $1"
);

/// Stores a proposal.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(tx: &mut Tx, new: &Match) -> Result<(), StoreError> {
    tx.execute(
        &INSERT,
        params![
            &new.id,
            &new.device_id,
            &new.other_id,
            verdict(new.certain),
            &new.kind,
            &new.findings,
            new.proposed_at_ms
        ],
    )
    .map(|_| ())
}

/// Writes what the evidence says now, and where the proposal stands by it.
///
/// # Errors
/// As [`Tx::execute`].
pub fn update(tx: &mut Tx, found: &Match) -> Result<(), StoreError> {
    tx.execute(
        &UPDATE,
        params![
            &found.id,
            verdict(found.certain),
            &found.kind,
            &found.findings,
            found.state.as_str()
        ],
    )
    .map(|_| ())
}

/// A proposal by id.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Match>, StoreError> {
    tx.query_opt(&GET, params![id], read)
}

/// The proposal for a pair.
///
/// # Errors
/// As [`Tx::query`].
pub fn of_pair(tx: &mut Tx, device_id: &str, other_id: &str) -> Result<Option<Match>, StoreError> {
    tx.query_opt(&OF_PAIR, params![device_id, other_id], read)
}

/// Proposals in a state, oldest first, after (`proposed_at_ms`, `id`), at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(
    tx: &mut Tx,
    state: State,
    after: (i64, &str),
    limit: u32,
) -> Result<Vec<Match>, StoreError> {
    tx.query(
        &LIST,
        params![state.as_str(), after.0, after.1, limit],
        read,
    )
}

/// Open proposals that a device is part of.
///
/// # Errors
/// As [`Tx::query`].
pub fn open_of(tx: &mut Tx, device_id: &str) -> Result<Vec<Match>, StoreError> {
    tx.query(&OPEN_OF, params![device_id], read)
}

/// Writes a person's decision.
///
/// # Errors
/// As [`Tx::execute`].
pub fn resolve(
    tx: &mut Tx,
    id: &str,
    state: State,
    by: &str,
    reason: &str,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(&RESOLVE, params![id, state.as_str(), now_ms, by, reason])
        .map(|_| ())
}

fn verdict(certain: bool) -> &'static str {
    if certain { "same" } else { "ambiguous" }
}

fn read(row: &Row<'_>) -> Result<Match, StoreError> {
    Ok(Match {
        id: row.get(0)?,
        device_id: row.get(1)?,
        other_id: row.get(2)?,
        certain: row.get::<String>(3)? == "same",
        kind: row.get(4)?,
        findings: row.get(5)?,
        state: row.get::<String>(6)?.parse()?,
        proposed_at_ms: row.get(7)?,
        resolved_at_ms: row.get(8)?,
        resolved_by: row.get(9)?,
        reason: row.get(10)?,
    })
}

/// A merge, with what undoes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// UUIDv7.
    pub id: String,
    /// The proposal it came from.
    pub match_id: String,
    /// The device that goes on.
    pub device_id: String,
    /// The device that was retired.
    pub retired_id: String,
    /// Where that one stood.
    pub state_before: DeviceState,
    /// What people had typed of the device that goes on.
    pub facts_before: Facts,
    /// What stood there after.
    pub facts_after: Facts,
    /// UTC milliseconds.
    pub at_ms: i64,
}

sql!(
    MERGE_INSERT,
    "INSERT INTO device_merges (id, match_id, device_id, retired_id, state_before, facts_before, facts_after, at_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
);
sql!(
    MERGE_IN_FORCE,
    "SELECT id, match_id, device_id, retired_id, state_before, facts_before, facts_after, at_ms FROM device_merges
     WHERE retired_id = $1 AND split_at_ms IS NULL"
);
sql!(
    MERGE_SPLIT,
    "UPDATE device_merges SET split_at_ms = $2 WHERE id = $1"
);
sql!(
    MERGED_INTO,
    "UPDATE devices SET merged_into = $2 WHERE id = $1"
);
sql!(
    CONTINUED,
    "SELECT m.retired_id, d.host_name, m.at_ms FROM device_merges m JOIN devices d ON d.id = m.retired_id
     WHERE m.device_id = $1 AND m.split_at_ms IS NULL ORDER BY m.at_ms DESC, m.retired_id LIMIT $2"
);

/// Stores a merge and points the retired device to the one that goes on.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert_merge(tx: &mut Tx, merge: &Merge) -> Result<(), StoreError> {
    let json = |facts: &Facts| {
        serde_json::to_string(facts).map_err(|error| StoreError::Invalid(error.to_string()))
    };
    tx.execute(
        &MERGE_INSERT,
        params![
            &merge.id,
            &merge.match_id,
            &merge.device_id,
            &merge.retired_id,
            merge.state_before.as_str(),
            json(&merge.facts_before)?,
            json(&merge.facts_after)?,
            merge.at_ms
        ],
    )?;
    tx.execute(
        &MERGED_INTO,
        params![&merge.retired_id, merge.device_id.as_str()],
    )
    .map(|_| ())
}

/// The merge by which a device is retired now.
///
/// # Errors
/// As [`Tx::query`]; [`StoreError::Corrupt`] when the facts cannot be read.
pub fn merge_of(tx: &mut Tx, retired_id: &str) -> Result<Option<Merge>, StoreError> {
    tx.query_opt(&MERGE_IN_FORCE, params![retired_id], |row| {
        let facts = |column| -> Result<Facts, StoreError> {
            serde_json::from_str(&row.get::<String>(column)?)
                .map_err(|error| StoreError::Corrupt(format!("device_merges: {error}")))
        };
        Ok(Merge {
            id: row.get(0)?,
            match_id: row.get(1)?,
            device_id: row.get(2)?,
            retired_id: row.get(3)?,
            state_before: row.get::<String>(4)?.parse()?,
            facts_before: facts(5)?,
            facts_after: facts(6)?,
            at_ms: row.get(7)?,
        })
    })
}

/// Ends a merge; the retired device points nowhere.
///
/// # Errors
/// As [`Tx::execute`].
pub fn split(tx: &mut Tx, merge: &Merge, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&MERGE_SPLIT, params![&merge.id, now_ms])?;
    tx.execute(
        &MERGED_INTO,
        params![&merge.retired_id, Option::<&str>::None],
    )
    .map(|_| ())
}

/// Devices merged into this one, newest first: id, host name, when; at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn continued(
    tx: &mut Tx,
    device_id: &str,
    limit: u32,
) -> Result<Vec<(String, String, i64)>, StoreError> {
    tx.query(&CONTINUED, params![device_id, limit], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}
