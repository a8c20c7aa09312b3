//! The Merkle log over the events: sealing, proofs, and the check that everything still agrees. One leased sealer
//! numbers what is not yet sealed, adds it to the tree and signs the root; the key and its format are the caller's.

use crate::event::{self, Event};
use crate::merkle::{self, Frontier, Hash};
use crate::{StoreError, Tx, params, sql};

pub use check::{MAX_FINDINGS, Report, check};

mod check;

/// Events one sealing takes at most; call again while it takes that many.
pub const MAX_BATCH: i64 = 10_000;

/// What a checkpoint says, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of leaves.
    pub size: i64,
    /// Root over them (RFC 6962).
    pub root_hash: Hash,
    /// When it was made, UTC milliseconds.
    pub at_ms: i64,
}

/// A checkpoint's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// In the caller's own format.
    pub bytes: Vec<u8>,
    /// Which key made it.
    pub key_id: String,
}

/// A checkpoint as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// By whom.
    pub signature: Signature,
}

sql!(
    LOG_LATEST,
    "SELECT size, root_hash, at_ms, signature, key_id FROM log_checkpoints ORDER BY size DESC LIMIT 1"
);
sql!(
    LOG_AT,
    "SELECT size, root_hash, at_ms, signature, key_id FROM log_checkpoints WHERE size = $1"
);
sql!(
    LOG_UNSEALED,
    "SELECT e.id, e.subject_kind, e.subject_id, e.seq, e.part, e.kind, e.actor, e.at_ms, e.state, e.data,
            e.personal_digest, e.leaf_index, p.salt, p.body
     FROM events e LEFT JOIN event_personal p ON p.event_id = e.id
     WHERE e.leaf_index IS NULL AND e.id > $1
     ORDER BY e.id LIMIT $2"
);
sql!(
    LOG_WAITING,
    "SELECT COUNT(*) FROM (SELECT id FROM events WHERE leaf_index IS NULL LIMIT 1000) waiting"
);
sql!(
    LOG_PLACE,
    "UPDATE events SET leaf_index = $2 WHERE id = $1 AND leaf_index IS NULL"
);
sql!(
    LOG_NODE_ADD,
    "INSERT INTO log_nodes (level, idx, hash) VALUES ($1, $2, $3)"
);
sql!(
    LOG_NODE,
    "SELECT hash FROM log_nodes WHERE level = $1 AND idx = $2"
);
sql!(
    LOG_CHECKPOINT_ADD,
    "INSERT INTO log_checkpoints (size, root_hash, at_ms, signature, key_id) VALUES ($1, $2, $3, $4, $5)"
);

/// Seals waiting events, at most `limit` of them (bounded by [`MAX_BATCH`]), into the tree and stores the signed
/// checkpoint, all in the caller's transaction. Call it in [`Store::write_snapshot`](crate::Store::write_snapshot):
/// events arrive while it runs, and two sealers exclude each other by the rows they number. `sign` may run again when
/// the transaction is repeated.
///
/// # Returns
/// The new checkpoint; nothing when no event waits.
///
/// # Errors
/// As [`Tx::execute`]; that of `sign`; [`StoreError::Log`] when the stored tree is incomplete.
pub fn seal(
    tx: &mut Tx,
    now_ms: i64,
    limit: i64,
    sign: impl Fn(&Checkpoint) -> Result<Signature, StoreError>,
) -> Result<Option<SignedCheckpoint>, StoreError> {
    let waiting = tx.query(
        &LOG_UNSEALED,
        params!["", limit.clamp(1, MAX_BATCH)],
        event::read,
    )?;
    if waiting.is_empty() {
        return Ok(None);
    }
    let mut tree = frontier(tx)?;
    for event in &waiting {
        let index = to_i64(tree.size())?;
        if tx.execute(&LOG_PLACE, params![&event.id, index])? != 1 {
            return Err(StoreError::Log(format!(
                "event {} was sealed by somebody else",
                event.id
            )));
        }
        for (level, index, hash) in tree.push(merkle::leaf_hash(&event::leaf_bytes(event))) {
            tx.execute(
                &LOG_NODE_ADD,
                params![level, to_i64(index)?, hex::encode(hash)],
            )?;
        }
    }
    let checkpoint = Checkpoint {
        size: to_i64(tree.size())?,
        root_hash: tree.root(),
        at_ms: now_ms,
    };
    let signature = sign(&checkpoint)?;
    tx.execute(
        &LOG_CHECKPOINT_ADD,
        params![
            checkpoint.size,
            hex::encode(checkpoint.root_hash),
            checkpoint.at_ms,
            &signature.bytes,
            &signature.key_id
        ],
    )?;
    Ok(Some(SignedCheckpoint {
        checkpoint,
        signature,
    }))
}

/// How many events wait to be sealed; counts no further than 1,000.
///
/// # Errors
/// As [`Tx::query`].
pub fn unsealed(tx: &mut Tx) -> Result<i64, StoreError> {
    tx.query_one(&LOG_WAITING, &[], |row| row.get(0))
}

/// The last checkpoint.
///
/// # Errors
/// As [`Tx::query`].
pub fn latest(tx: &mut Tx) -> Result<Option<SignedCheckpoint>, StoreError> {
    tx.query_opt(&LOG_LATEST, &[], read_checkpoint)
}

/// The checkpoint of one size.
///
/// # Errors
/// As [`Tx::query`].
pub fn at(tx: &mut Tx, size: i64) -> Result<Option<SignedCheckpoint>, StoreError> {
    tx.query_opt(&LOG_AT, params![size], read_checkpoint)
}

/// The inclusion proof of a sealed event in the checkpoint of `size`: sibling hashes from the leaf upwards.
///
/// # Errors
/// [`StoreError::Log`] when the event is not in that tree; else as [`Tx::query`].
pub fn prove(tx: &mut Tx, event: &Event, size: i64) -> Result<Vec<Hash>, StoreError> {
    let index = event
        .leaf_index
        .filter(|index| (0..size).contains(index))
        .ok_or_else(|| {
            StoreError::Log(format!(
                "event {} is not in the first {size} leaves",
                event.id
            ))
        })?;
    merkle::inclusion(to_u64(index)?, to_u64(size)?, &mut |level, index| {
        node(tx, level, index)
    })
}

/// The tree as sealed so far.
fn frontier(tx: &mut Tx) -> Result<Frontier, StoreError> {
    let size = latest(tx)?.map_or(0, |last| last.checkpoint.size);
    let size = to_u64(size)?;
    let mut hashes = Vec::new();
    for (level, index) in merkle::peak_places(size) {
        hashes.push(node(tx, level, index)?);
    }
    Frontier::from_peaks(size, hashes)
        .ok_or_else(|| StoreError::Log("the stored tree has no peaks".to_owned()))
}

fn node(tx: &mut Tx, level: u32, index: u64) -> Result<Hash, StoreError> {
    let text: Option<String> =
        tx.query_opt(&LOG_NODE, params![level, to_i64(index)?], |row| row.get(0))?;
    let text =
        text.ok_or_else(|| StoreError::Log(format!("node {index} of level {level} is missing")))?;
    hash_of(&text)
}

fn read_checkpoint(row: &crate::Row<'_>) -> Result<SignedCheckpoint, StoreError> {
    let root: String = row.get(1)?;
    Ok(SignedCheckpoint {
        checkpoint: Checkpoint {
            size: row.get(0)?,
            root_hash: hash_of(&root)?,
            at_ms: row.get(2)?,
        },
        signature: Signature {
            bytes: row.get(3)?,
            key_id: row.get(4)?,
        },
    })
}

fn hash_of(text: &str) -> Result<Hash, StoreError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| StoreError::Log(format!("{text:?} is no SHA-256 hash")))?;
    Ok(hash)
}

fn to_i64(size: u64) -> Result<i64, StoreError> {
    i64::try_from(size).map_err(|_| StoreError::Log("the log is larger than an integer".to_owned()))
}

fn to_u64(size: i64) -> Result<u64, StoreError> {
    u64::try_from(size).map_err(|_| StoreError::Log(format!("{size} is no size of a log")))
}
