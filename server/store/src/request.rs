//! Creates that may be sent twice: the answer to a `request_id` is kept with the change it answered.

use crate::{StoreError, Tx, params, sql};

/// Longest answer that is kept, in bytes: answers are API messages, not documents.
const MAX_RESPONSE: usize = 1024 * 1024;

/// What identifies a create.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asked: person or device id. The same `request_id` of two actors are two requests.
    pub actor: String,
    /// UUIDv7 made by the client.
    pub request_id: String,
    /// Name of the call, for example `TicketService/CreateTicket`.
    pub method: String,
    /// SHA-256 over the request message without its `request_id`, lower-case hex.
    pub body_digest: String,
    /// When it came, UTC milliseconds.
    pub at_ms: i64,
}

/// The answer and whether it is the one given before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The encoded response message.
    pub response: Vec<u8>,
    /// True when nothing was done now: the answer is the one kept from the first time.
    pub replayed: bool,
}

sql!(
    REQUEST_FIND,
    "SELECT method, body_digest, response FROM requests WHERE actor = $1 AND request_id = $2"
);
sql!(
    REQUEST_KEEP,
    "INSERT INTO requests (actor, request_id, method, body_digest, response, at_ms) VALUES ($1, $2, $3, $4, $5, $6)"
);
sql!(REQUEST_PRUNE, "DELETE FROM requests WHERE at_ms < $1");

/// Does the work of a create once: the first time `work` runs and its answer is kept in the same transaction; again
/// with the same body, the kept answer comes back and nothing is done.
///
/// # Errors
/// [`StoreError::RequestIdReused`] when the id came before with another method or body; the error of `work`, and then
/// nothing is kept, so a refused request may be sent again.
pub fn idempotent<E: From<StoreError>>(
    tx: &mut Tx,
    request: &Request,
    work: impl FnOnce(&mut Tx) -> Result<Vec<u8>, E>,
) -> Result<Answer, E> {
    let kept: Option<(String, String, Vec<u8>)> = tx.query_opt(
        &REQUEST_FIND,
        params![&request.actor, &request.request_id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if let Some((method, body_digest, response)) = kept {
        if method != request.method || body_digest != request.body_digest {
            return Err(StoreError::RequestIdReused(request.request_id.clone()).into());
        }
        return Ok(Answer {
            response,
            replayed: true,
        });
    }
    let response = work(tx)?;
    if response.len() > MAX_RESPONSE {
        return Err(StoreError::Invalid(format!(
            "the answer of {} is larger than {MAX_RESPONSE} bytes",
            request.method
        ))
        .into());
    }
    tx.execute(
        &REQUEST_KEEP,
        params![
            &request.actor,
            &request.request_id,
            &request.method,
            &request.body_digest,
            &response,
            request.at_ms
        ],
    )?;
    Ok(Answer {
        response,
        replayed: false,
    })
}

/// Forgets answers given before a moment. Clients repeat within minutes; the server keeps them for weeks.
///
/// # Errors
/// As [`Tx::execute`].
pub fn prune(tx: &mut Tx, before_ms: i64) -> Result<u64, StoreError> {
    tx.execute(&REQUEST_PRUNE, params![before_ms])
}
