//! Enrolment tokens as rows: a digest with an end and a number of uses.

use crate::{Row, StoreError, Tx, params, sql};

/// A token without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// UUIDv7.
    pub id: String,
    /// What it is for.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    /// UTC milliseconds.
    pub created_at_ms: i64,
    /// UTC milliseconds.
    pub expires_at_ms: i64,
    /// Enrolments it allows.
    pub max_uses: u32,
    /// Enrolments it was spent on.
    pub uses: u32,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

sql!(
    TOKEN_INSERT,
    "INSERT INTO enrolment_tokens (id, token_digest, note, created_by, created_at_ms, expires_at_ms, max_uses)
     VALUES ($1, $2, $3, $4, $5, $6, $7)"
);
sql!(
    TOKEN_GET,
    "SELECT id, note, created_by, created_at_ms, expires_at_ms, max_uses, uses, revoked_at_ms
     FROM enrolment_tokens WHERE id = $1"
);
sql!(
    TOKEN_BY_DIGEST,
    "SELECT id, note, created_by, created_at_ms, expires_at_ms, max_uses, uses, revoked_at_ms
     FROM enrolment_tokens WHERE token_digest = $1"
);
sql!(
    TOKEN_LIST,
    "SELECT id, note, created_by, created_at_ms, expires_at_ms, max_uses, uses, revoked_at_ms
     FROM enrolment_tokens WHERE id < $1 ORDER BY id DESC LIMIT $2"
);
sql!(
    TOKEN_SPEND,
    "UPDATE enrolment_tokens SET uses = uses + 1
     WHERE id = $1 AND uses < max_uses AND expires_at_ms > $2 AND revoked_at_ms IS NULL"
);
sql!(
    TOKEN_REVOKE,
    "UPDATE enrolment_tokens SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL"
);

/// Stores a token by the digest of its secret.
///
/// # Errors
/// As [`Tx::execute`].
pub fn insert(tx: &mut Tx, token: &EnrolmentToken, digest: &str) -> Result<(), StoreError> {
    tx.execute(
        &TOKEN_INSERT,
        params![
            &token.id,
            digest,
            &token.note,
            &token.created_by,
            token.created_at_ms,
            token.expires_at_ms,
            token.max_uses
        ],
    )
    .map(|_| ())
}

/// A token by id.
///
/// # Errors
/// As [`Tx::query`].
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<EnrolmentToken>, StoreError> {
    tx.query_opt(&TOKEN_GET, params![id], read)
}

/// A token by the digest of its secret.
///
/// # Errors
/// As [`Tx::query`].
pub fn by_digest(tx: &mut Tx, digest: &str) -> Result<Option<EnrolmentToken>, StoreError> {
    tx.query_opt(&TOKEN_BY_DIGEST, params![digest], read)
}

/// Tokens, newest first, before one of these ids (nothing: from the newest), at most `limit`.
///
/// # Errors
/// As [`Tx::query`].
pub fn list(
    tx: &mut Tx,
    before_id: Option<&str>,
    limit: i64,
) -> Result<Vec<EnrolmentToken>, StoreError> {
    // Ids are hex digits and dashes: everything sorts before a tilde.
    tx.query(&TOKEN_LIST, params![before_id.unwrap_or("~"), limit], read)
}

/// Spends one use.
///
/// # Returns
/// False when none is left, or the token has ended or was revoked.
///
/// # Errors
/// As [`Tx::execute`].
pub fn spend(tx: &mut Tx, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(&TOKEN_SPEND, params![id, now_ms])? > 0)
}

/// Revokes a token.
///
/// # Returns
/// False when it was revoked before.
///
/// # Errors
/// As [`Tx::execute`].
pub fn revoke(tx: &mut Tx, id: &str, now_ms: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(&TOKEN_REVOKE, params![id, now_ms])? > 0)
}

fn read(row: &Row<'_>) -> Result<EnrolmentToken, StoreError> {
    Ok(EnrolmentToken {
        id: row.get(0)?,
        note: row.get(1)?,
        created_by: row.get(2)?,
        created_at_ms: row.get(3)?,
        expires_at_ms: row.get(4)?,
        max_uses: row.get(5)?,
        uses: row.get(6)?,
        revoked_at_ms: row.get(7)?,
    })
}
