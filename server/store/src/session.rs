//! Sessions as rows: the digest of a token, whose it is, and until when.

use chasqui_domain::role::Roles;

use crate::{Row, StoreError, Tx, params, sql};

/// A session with what is needed of its person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// UUIDv7.
    pub id: String,
    /// SHA-256 of the token, lower-case hex.
    pub token_digest: String,
    /// Whose.
    pub person_id: String,
    /// Log-in name.
    pub login: String,
    /// Full name.
    pub name: String,
    /// What they may call now.
    pub roles: Roles,
    /// The account is closed.
    pub disabled: bool,
    /// Ends then whatever happens, UTC milliseconds.
    pub expires_at_ms: i64,
    /// Last sign of life, written now and then.
    pub last_seen_at_ms: i64,
}

sql!(
    SESSION_INSERT,
    "INSERT INTO sessions (token_digest, id, person_id, created_at_ms, expires_at_ms, last_seen_at_ms, client)
     VALUES ($1, $2, $3, $4, $5, $4, $6)"
);
sql!(
    SESSION_FIND,
    "SELECT s.id, s.token_digest, s.person_id, p.login, p.name, p.roles, p.disabled, s.expires_at_ms, s.last_seen_at_ms
     FROM sessions s JOIN persons p ON p.id = s.person_id WHERE s.token_digest = $1"
);
sql!(
    SESSION_TOUCH,
    "UPDATE sessions SET last_seen_at_ms = $2 WHERE token_digest = $1"
);
sql!(SESSION_END, "DELETE FROM sessions WHERE id = $1");
sql!(
    SESSION_END_OF_PERSON,
    "DELETE FROM sessions WHERE person_id = $1"
);
sql!(
    SESSION_TRIM,
    "DELETE FROM sessions WHERE person_id = $1 AND id NOT IN
        (SELECT id FROM sessions WHERE person_id = $1 ORDER BY created_at_ms DESC, id DESC LIMIT $2)"
);
sql!(
    SESSION_PRUNE,
    "DELETE FROM sessions WHERE expires_at_ms < $1"
);

/// Sessions one person may have at once; the oldest ends when another begins.
pub const MOST_PER_PERSON: i64 = 50;

/// Begins a session.
///
/// # Errors
/// As [`Tx::execute`].
pub fn begin(
    tx: &mut Tx,
    id: &str,
    token_digest: &str,
    person_id: &str,
    client: &str,
    now_ms: i64,
    expires_at_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &SESSION_INSERT,
        params![token_digest, id, person_id, now_ms, expires_at_ms, client],
    )?;
    tx.execute(&SESSION_TRIM, params![person_id, MOST_PER_PERSON])?;
    Ok(())
}

/// The session of a token's digest.
///
/// # Errors
/// As [`Tx::query`].
pub fn find(tx: &mut Tx, token_digest: &str) -> Result<Option<Session>, StoreError> {
    tx.query_opt(&SESSION_FIND, params![token_digest], read)
}

/// Writes a sign of life.
///
/// # Errors
/// As [`Tx::execute`].
pub fn touch(tx: &mut Tx, token_digest: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&SESSION_TOUCH, params![token_digest, now_ms])
        .map(|_| ())
}

/// Ends one session.
///
/// # Errors
/// As [`Tx::execute`].
pub fn end(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    Ok(tx.execute(&SESSION_END, params![id])? > 0)
}

/// Ends every session of a person.
///
/// # Errors
/// As [`Tx::execute`].
pub fn end_of_person(tx: &mut Tx, person_id: &str) -> Result<u64, StoreError> {
    tx.execute(&SESSION_END_OF_PERSON, params![person_id])
}

/// Forgets sessions that ended before a moment.
///
/// # Errors
/// As [`Tx::execute`].
pub fn prune(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    tx.execute(&SESSION_PRUNE, params![before_ms])
}

fn read(row: &Row<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.get(0)?,
        token_digest: row.get(1)?,
        person_id: row.get(2)?,
        login: row.get(3)?,
        name: row.get(4)?,
        roles: crate::person::roles(&row.get::<String>(5)?)?,
        disabled: row.get(6)?,
        expires_at_ms: row.get(7)?,
        last_seen_at_ms: row.get(8)?,
    })
}
