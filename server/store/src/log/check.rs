//! Recomputes the whole record: every leaf, node and checkpoint, every personal digest, the numbering within subjects,
//! and whether the states in the tables are those the last events say.

use super::{SignedCheckpoint, hash_of, read_checkpoint, to_i64};
use crate::event::{self, Event};
use crate::merkle::{self, Frontier, Hash};
use crate::{Statement, StoreError, Tx, params, sql};

/// Findings a report lists; the rest is counted.
pub const MAX_FINDINGS: usize = 100;

const PAGE: i64 = 1_000;

/// What the check saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events in all.
    pub events: i64,
    /// Those in the Merkle log.
    pub sealed: i64,
    /// Checkpoints recomputed.
    pub checkpoints: i64,
    /// Rows whose state was replayed from events.
    pub states: i64,
    /// What does not agree, at most [`MAX_FINDINGS`].
    pub findings: Vec<String>,
    /// Findings beyond the bound.
    pub more: u64,
}

impl Report {
    /// Whether everything agrees.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }
}

sql!(
    CHECK_SEALED,
    "SELECT e.id, e.subject_kind, e.subject_id, e.seq, e.part, e.kind, e.actor, e.at_ms, e.state, e.data,
            e.personal_digest, e.leaf_index, p.salt, p.body
     FROM events e LEFT JOIN event_personal p ON p.event_id = e.id
     WHERE e.leaf_index >= $1 ORDER BY e.leaf_index LIMIT $2"
);
sql!(
    CHECK_NODES,
    "SELECT idx, hash FROM log_nodes WHERE level = $1 AND idx >= $2 AND idx < $3 ORDER BY idx"
);
sql!(CHECK_NODE_COUNT, "SELECT COUNT(*) FROM log_nodes");
sql!(
    CHECK_CHECKPOINTS,
    "SELECT size, root_hash, at_ms, signature, key_id FROM log_checkpoints WHERE size > $1 ORDER BY size LIMIT $2"
);
sql!(
    CHECK_NUMBERING,
    "SELECT subject_kind, subject_id, COUNT(*), MAX(seq) FROM events
     GROUP BY subject_kind, subject_id HAVING COUNT(*) <> MAX(seq) OR MIN(seq) <> 1
     ORDER BY subject_kind, subject_id LIMIT 200"
);

/// Checks the record in the snapshot of `tx`. `verify` judges a checkpoint's signature; without it signatures are not
/// looked at (the keys may be elsewhere).
///
/// # Returns
/// A report; disagreements are findings, not errors.
///
/// # Errors
/// When the database itself cannot be read.
pub fn check(
    tx: &mut Tx,
    verify: Option<&dyn Fn(&SignedCheckpoint) -> bool>,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    check_tree(tx, verify, &mut report)?;
    check_waiting(tx, &mut report)?;
    for (kind, id, count, last) in tx.query(&CHECK_NUMBERING, &[], |row| {
        Ok((
            row.get::<String>(0)?,
            row.get::<String>(1)?,
            row.get::<i64>(2)?,
            row.get::<i64>(3)?,
        ))
    })? {
        report.find(format!(
            "{kind} {id}: {count} events, but the last is number {last}"
        ));
    }
    for replay in REPLAYS {
        check_states(tx, replay, &mut report)?;
    }
    Ok(report)
}

fn check_tree(
    tx: &mut Tx,
    verify: Option<&dyn Fn(&SignedCheckpoint) -> bool>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut tree = Frontier::default();
    let mut checkpoints = checkpoints_after(tx, 0)?;
    let mut nodes = 0_i64;
    let mut last_size = 0;
    loop {
        let from = to_i64(tree.size())?;
        let page = tx.query(&CHECK_SEALED, params![from, PAGE], event::read)?;
        if page.is_empty() {
            break;
        }
        let mut complete = Vec::new();
        for event in &page {
            report.events += 1;
            report.sealed += 1;
            let index = to_i64(tree.size())?;
            if event.leaf_index != Some(index) {
                report.find(format!(
                    "the log has no leaf {index}; the next is {:?}",
                    event.leaf_index
                ));
                return Ok(());
            }
            check_personal(event, report);
            complete.extend(tree.push(merkle::leaf_hash(&event::leaf_bytes(event))));
            while let Some(next) = checkpoints.front().cloned() {
                if next.checkpoint.size != index + 1 {
                    break;
                }
                check_checkpoint(&next, tree.root(), verify, report);
                last_size = next.checkpoint.size;
                checkpoints.pop_front();
                if checkpoints.is_empty() {
                    checkpoints = checkpoints_after(tx, last_size)?;
                }
            }
        }
        nodes += to_i64(u64::try_from(complete.len()).unwrap_or(u64::MAX))?;
        check_nodes(tx, &complete, report)?;
    }
    let size = to_i64(tree.size())?;
    if last_size != size {
        report.find(format!(
            "{size} events are sealed, but the last good checkpoint covers {last_size}"
        ));
    }
    for left in checkpoints {
        report.find(format!(
            "checkpoint of {} leaves: the log has {size}",
            left.checkpoint.size
        ));
    }
    let stored: i64 = tx.query_one(&CHECK_NODE_COUNT, &[], |row| row.get(0))?;
    if stored != nodes {
        report.find(format!(
            "{stored} nodes are stored, {nodes} follow from the leaves"
        ));
    }
    Ok(())
}

fn checkpoints_after(
    tx: &mut Tx,
    size: i64,
) -> Result<std::collections::VecDeque<SignedCheckpoint>, StoreError> {
    Ok(tx
        .query(&CHECK_CHECKPOINTS, params![size, PAGE], read_checkpoint)?
        .into())
}

fn check_checkpoint(
    signed: &SignedCheckpoint,
    root: Hash,
    verify: Option<&dyn Fn(&SignedCheckpoint) -> bool>,
    report: &mut Report,
) {
    report.checkpoints += 1;
    let size = signed.checkpoint.size;
    if signed.checkpoint.root_hash != root {
        report.find(format!(
            "checkpoint of {size} leaves: its root is {}, the leaves give {}",
            hex::encode(signed.checkpoint.root_hash),
            hex::encode(root)
        ));
    }
    if let Some(verify) = verify
        && !verify(signed)
    {
        report.find(format!(
            "checkpoint of {size} leaves: the signature of key {} is not valid",
            signed.signature.key_id
        ));
    }
}

/// Compares the stored nodes with those that follow from one page of leaves.
fn check_nodes(
    tx: &mut Tx,
    complete: &[(u32, u64, Hash)],
    report: &mut Report,
) -> Result<(), StoreError> {
    let top = complete
        .iter()
        .map(|(level, _, _)| *level)
        .max()
        .unwrap_or(0);
    for level in 0..=top {
        let wanted: Vec<(i64, Hash)> = complete
            .iter()
            .filter(|(of, _, _)| *of == level)
            .map(|(_, index, hash)| Ok((to_i64(*index)?, *hash)))
            .collect::<Result<_, StoreError>>()?;
        let (Some((first, _)), Some((last, _))) = (wanted.first(), wanted.last()) else {
            continue;
        };
        let stored = tx.query(&CHECK_NODES, params![level, *first, *last + 1], |row| {
            Ok((row.get::<i64>(0)?, row.get::<String>(1)?))
        })?;
        let mut stored = stored.into_iter().peekable();
        for (index, hash) in wanted {
            let found = stored.next_if(|(at, _)| *at == index);
            match found.map(|(_, text)| hash_of(&text)) {
                Some(Ok(found)) if found == hash => {}
                Some(_) => report.find(format!(
                    "node {index} of level {level} is not what its leaves give"
                )),
                None => report.find(format!("node {index} of level {level} is missing")),
            }
        }
    }
    Ok(())
}

fn check_waiting(tx: &mut Tx, report: &mut Report) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let page = tx.query(&super::LOG_UNSEALED, params![&after, PAGE], event::read)?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after.clone_from(&last.id);
        for event in &page {
            report.events += 1;
            check_personal(event, report);
        }
    }
}

fn check_personal(event: &Event, report: &mut Report) {
    let (Some(text), Some(salt)) = (&event.personal, &event.personal_salt) else {
        // None was given, or it was erased: the digest alone is not checkable, by design.
        return;
    };
    let digest = hex::decode(salt)
        .map(|salt| event::personal_digest(&salt, text))
        .ok();
    if digest != event.personal_digest {
        report.find(format!(
            "event {}: the personal text is not the one recorded",
            event.id
        ));
    }
}

/// A table whose state column must be what the last event with a state says.
struct Replay {
    table: &'static str,
    /// Rows after a key: (key, state, state of the last event).
    rows: &'static Statement,
    /// Subjects whose events speak of a state, but which have no row.
    missing: &'static Statement,
}

sql!(
    REPLAY_TICKETS,
    "SELECT t.id, t.state,
            (SELECT e.state FROM events e WHERE e.subject_kind = 'ticket' AND e.subject_id = t.id
               AND e.part IS NULL AND e.state IS NOT NULL ORDER BY e.seq DESC LIMIT 1)
     FROM tickets t ORDER BY t.id"
);
sql!(
    MISSING_TICKETS,
    "SELECT DISTINCT e.subject_id FROM events e WHERE e.subject_kind = 'ticket' AND e.state IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM tickets t WHERE t.id = e.subject_id) ORDER BY e.subject_id LIMIT 100"
);
sql!(
    REPLAY_ORDERS,
    "SELECT o.id, o.state,
            (SELECT e.state FROM events e WHERE e.subject_kind = 'order' AND e.subject_id = o.id
               AND e.part IS NULL AND e.state IS NOT NULL ORDER BY e.seq DESC LIMIT 1)
     FROM orders o ORDER BY o.id"
);
sql!(
    MISSING_ORDERS,
    "SELECT DISTINCT e.subject_id FROM events e WHERE e.subject_kind = 'order' AND e.state IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = e.subject_id) ORDER BY e.subject_id LIMIT 100"
);
sql!(
    REPLAY_TARGETS,
    "SELECT o.order_id || '/' || o.device_id, o.state,
            (SELECT e.state FROM events e WHERE e.subject_kind = 'order' AND e.subject_id = o.order_id
               AND e.part = o.device_id AND e.state IS NOT NULL ORDER BY e.seq DESC LIMIT 1)
     FROM order_targets o ORDER BY o.order_id, o.device_id"
);
sql!(
    MISSING_TARGETS,
    "SELECT DISTINCT e.subject_id FROM events e
     WHERE e.subject_kind = 'order' AND e.state IS NOT NULL AND e.part IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM order_targets o WHERE o.order_id = e.subject_id AND o.device_id = e.part)
     ORDER BY e.subject_id LIMIT 100"
);
sql!(
    REPLAY_DEVICES,
    "SELECT d.id, d.state,
            (SELECT e.state FROM events e WHERE e.subject_kind = 'device' AND e.subject_id = d.id
               AND e.part IS NULL AND e.state IS NOT NULL ORDER BY e.seq DESC LIMIT 1)
     FROM devices d ORDER BY d.id"
);
sql!(
    MISSING_DEVICES,
    "SELECT DISTINCT e.subject_id FROM events e WHERE e.subject_kind = 'device' AND e.state IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.id = e.subject_id) ORDER BY e.subject_id LIMIT 100"
);

static REPLAYS: &[Replay] = &[
    Replay {
        table: "tickets",
        rows: &REPLAY_TICKETS,
        missing: &MISSING_TICKETS,
    },
    Replay {
        table: "orders",
        rows: &REPLAY_ORDERS,
        missing: &MISSING_ORDERS,
    },
    Replay {
        table: "order_targets",
        rows: &REPLAY_TARGETS,
        missing: &MISSING_TARGETS,
    },
    Replay {
        table: "devices",
        rows: &REPLAY_DEVICES,
        missing: &MISSING_DEVICES,
    },
];

fn check_states(tx: &mut Tx, replay: &Replay, report: &mut Report) -> Result<(), StoreError> {
    let table = replay.table;
    tx.each(replay.rows, &[], |row| {
        let (id, state): (String, String) = (row.get(0)?, row.get(1)?);
        let replayed: Option<String> = row.get(2)?;
        report.states += 1;
        match replayed {
            Some(replayed) if replayed == state => {}
            Some(replayed) => report.find(format!(
                "{table} {id}: state {state}, the events say {replayed}"
            )),
            None => report.find(format!("{table} {id}: state {state}, but no event says so")),
        }
        Ok(())
    })?;
    for id in tx.query(replay.missing, &[], |row| row.get::<String>(0))? {
        report.find(format!("{table}: events tell of {id}, which has no row"));
    }
    Ok(())
}
