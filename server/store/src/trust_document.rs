//! Roots, people documents, catalogues and action definitions as published. They are kept as the bytes people signed;
//! whether they may be believed is decided by who verifies them.

use crate::{StoreError, Tx, params, sql};

/// One published document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDocument {
    /// Counts up from 1.
    pub version: u64,
    /// SHA-256 of the signed payload, lower-case hex.
    pub digest: String,
    /// The DSSE envelope, byte for byte.
    pub envelope: Vec<u8>,
    /// UTC milliseconds.
    pub not_after_ms: i64,
}

sql!(
    INSERT,
    "INSERT INTO trust_documents (kind, version, digest, envelope, not_after_ms, at_ms) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
);

/// Stores a document of a kind (`root`, `people`, `catalogue`). False when that version is there already.
pub fn insert(
    tx: &mut Tx,
    kind: &str,
    document: &TrustDocument,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let version = i64::try_from(document.version)
        .map_err(|_| StoreError::Invalid("version of a document".to_owned()))?;
    let inserted = tx.execute(
        &INSERT,
        params![
            kind,
            version,
            document.digest.as_str(),
            document.envelope.as_slice(),
            document.not_after_ms,
            now_ms
        ],
    )?;
    Ok(inserted == 1)
}

sql!(
    NEWEST,
    "SELECT version, digest, envelope, not_after_ms FROM trust_documents WHERE kind = $1 \
    ORDER BY version DESC LIMIT 1"
);

sql!(
    ABOVE,
    "SELECT version, digest, envelope, not_after_ms FROM trust_documents WHERE kind = $1 AND version > $2 \
    ORDER BY version LIMIT $3"
);

/// The newest document of a kind.
pub fn newest(tx: &mut Tx, kind: &str) -> Result<Option<TrustDocument>, StoreError> {
    tx.query_opt(&NEWEST, params![kind], read)
}

/// Documents of a kind with versions above the given one, oldest first.
pub fn above(
    tx: &mut Tx,
    kind: &str,
    version: u64,
    limit: u32,
) -> Result<Vec<TrustDocument>, StoreError> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    tx.query(&ABOVE, params![kind, version, limit], read)
}

sql!(
    PUBLISHED_BY,
    "SELECT version, digest, envelope, not_after_ms FROM trust_documents WHERE kind = $1 AND version >= $2 \
    AND at_ms <= $3 ORDER BY version DESC LIMIT $4"
);

sql!(
    PUBLISHED_AFTER,
    "SELECT version, digest, envelope, not_after_ms FROM trust_documents WHERE kind = $1 AND version >= $2 \
    AND at_ms > $3 ORDER BY version LIMIT $4"
);

/// Documents of a kind from a version on, the likeliest to have been held at a time (UTC milliseconds) first: those
/// published by then, newest first, then those published after, oldest first.
pub fn around(
    tx: &mut Tx,
    kind: &str,
    from_version: u64,
    at_ms: i64,
    limit: usize,
) -> Result<Vec<TrustDocument>, StoreError> {
    let version = i64::try_from(from_version).unwrap_or(i64::MAX);
    let count = |left: usize| i64::try_from(left).unwrap_or(i64::MAX);
    let mut found = tx.query(
        &PUBLISHED_BY,
        params![kind, version, at_ms, count(limit)],
        read,
    )?;
    let left = count(limit.saturating_sub(found.len()));
    found.extend(tx.query(&PUBLISHED_AFTER, params![kind, version, at_ms, left], read)?);
    Ok(found)
}

fn read(row: &crate::Row<'_>) -> Result<TrustDocument, StoreError> {
    Ok(TrustDocument {
        version: row.get(0)?,
        digest: row.get(1)?,
        envelope: row.get(2)?,
        not_after_ms: row.get(3)?,
    })
}

sql!(
    INSERT_DEFINITION,
    "INSERT INTO definitions (digest, id, version, bytes, at_ms) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT DO NOTHING"
);

/// Stores a definition by digest; false when it is there already.
pub fn insert_definition(
    tx: &mut Tx,
    digest: &str,
    (id, version): (&str, u32),
    bytes: &[u8],
    now_ms: i64,
) -> Result<bool, StoreError> {
    Ok(tx.execute(
        &INSERT_DEFINITION,
        params![digest, id, version, bytes, now_ms],
    )? == 1)
}

sql!(
    DEFINITION,
    "SELECT bytes FROM definitions WHERE digest = $1"
);

/// The bytes of a definition.
pub fn definition(tx: &mut Tx, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
    tx.query_opt(&DEFINITION, params![digest], |row| row.get(0))
}
