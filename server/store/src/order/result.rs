//! What machines report of orders: their signed result, stored once, and what they printed.

use crate::{StoreError, Tx, params, sql};

/// A machine's signed result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderResult {
    /// SHA-256 of its payload, lower-case hex.
    pub digest: String,
    /// The DSSE envelope, byte for byte.
    pub envelope: Vec<u8>,
    /// The envelope of the consent receipt, when somebody was told or asked.
    pub consent: Option<Vec<u8>>,
    /// `succeeded`, `failed`, ...
    pub outcome: String,
}

sql!(
    RESULT,
    "SELECT digest, envelope, consent, outcome FROM results WHERE order_id = $1 AND device_id = $2"
);

/// The stored result of one machine.
pub fn result(
    tx: &mut Tx,
    order_id: &str,
    device_id: &str,
) -> Result<Option<OrderResult>, StoreError> {
    tx.query_opt(&RESULT, params![order_id, device_id], |row| {
        Ok(OrderResult {
            digest: row.get(0)?,
            envelope: row.get(1)?,
            consent: row.get(2)?,
            outcome: row.get(3)?,
        })
    })
}

sql!(
    INSERT_RESULT,
    "INSERT INTO results (order_id, device_id, attempt, digest, envelope, outcome, received_at_ms, consent) \
    VALUES ($1, $2, 1, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
);

sql!(
    REPLACE_UNKNOWN,
    "UPDATE results SET attempt = attempt + 1, digest = $3, envelope = $4, outcome = $5, \
    received_at_ms = $6, consent = $7 WHERE order_id = $1 AND device_id = $2 AND outcome = 'unknown'"
);

sql!(
    RESULT_DIGEST,
    "UPDATE order_targets SET result_digest = $3 WHERE order_id = $1 AND device_id = $2"
);

/// Stores a machine's result, the only one there can be; the one exception is an `unknown` that the machine's journal
/// answers later. False when another result stands.
pub fn store_result(
    tx: &mut Tx,
    (order_id, device_id): (&str, &str),
    result: &OrderResult,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let row = params![
        order_id,
        device_id,
        result.digest.as_str(),
        result.envelope.as_slice(),
        result.outcome.as_str(),
        now_ms,
        result.consent.clone()
    ];
    if tx.execute(&INSERT_RESULT, row)? == 0 && tx.execute(&REPLACE_UNKNOWN, row)? == 0 {
        return Ok(false);
    }
    tx.execute(
        &RESULT_DIGEST,
        params![order_id, device_id, result.digest.as_str()],
    )?;
    Ok(true)
}

sql!(
    OUTPUT_SIZE,
    "SELECT COALESCE(MAX(start_offset + LENGTH(bytes)), 0) FROM order_output \
    WHERE order_id = $1 AND device_id = $2 AND stream = 'out'"
);

/// Where the stored output of one machine ends, in bytes.
pub fn output_end(tx: &mut Tx, order_id: &str, device_id: &str) -> Result<u64, StoreError> {
    tx.query_one(&OUTPUT_SIZE, params![order_id, device_id], |row| row.get(0))
}

sql!(
    APPEND_OUTPUT,
    "INSERT INTO order_output (order_id, device_id, stream, start_offset, bytes, at_ms) \
    VALUES ($1, $2, 'out', $3, $4, $5) ON CONFLICT DO NOTHING"
);

/// Appends output at an offset; the same offset again changes nothing.
pub fn append_output(
    tx: &mut Tx,
    (order_id, device_id): (&str, &str),
    offset: u64,
    bytes: &[u8],
    now_ms: i64,
) -> Result<(), StoreError> {
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    tx.execute(
        &APPEND_OUTPUT,
        params![order_id, device_id, offset, bytes, now_ms],
    )
    .map(|_| ())
}

sql!(
    OUTPUT,
    "SELECT device_id, start_offset, bytes FROM order_output \
    WHERE order_id = $1 AND stream = 'out' ORDER BY device_id, start_offset"
);

/// The stored output of an order: device, offset, bytes.
pub fn output(tx: &mut Tx, order_id: &str) -> Result<Vec<(String, u64, Vec<u8>)>, StoreError> {
    tx.query(&OUTPUT, params![order_id], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
}
