//! Orders as rows: the envelope as signed, the machines, the statements, results and output. What is signed is never
//! made anew from columns: the columns beside the envelope are for lists alone.

mod result;

use chasqui_domain::order::{OrderState, TargetState};

use crate::ticket::named;
use crate::{Row, StoreError, Tx, params, sql};

pub use result::{OrderResult, append_output, output, output_end, result, store_result};

/// One order without its targets and statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// UUIDv7, as signed.
    pub id: String,
    /// SHA-256 of the signed payload, lower-case hex.
    pub digest: String,
    /// The DSSE envelope, byte for byte.
    pub envelope: Vec<u8>,
    /// For lists: `dns.flush`.
    pub definition_id: String,
    /// For lists.
    pub definition_version: u32,
    /// Lower-case hex.
    pub definition_digest: String,
    /// 0 to 4.
    pub risk: u32,
    /// In the requester's words.
    pub reason: String,
    /// The ticket it serves.
    pub ticket_id: Option<String>,
    /// Its number.
    pub ticket_number: String,
    /// Who signed it.
    pub requester_id: String,
    /// Their name; empty when there is no such account.
    pub requester_name: String,
    /// What its machines make of it.
    pub state: OrderState,
    /// As the root says.
    pub required_approvals: u32,
    /// How many machines.
    pub target_count: u32,
    /// UTC milliseconds.
    pub not_before_ms: i64,
    /// UTC milliseconds.
    pub not_after_ms: i64,
    /// When it was stored, UTC milliseconds.
    pub created_at_ms: i64,
    /// UTC milliseconds.
    pub updated_at_ms: i64,
    /// Grows with each change.
    pub version: u64,
    /// Since when the machines are asked to stop, UTC milliseconds.
    pub cancel_asked_at_ms: Option<i64>,
}

/// One machine of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub device_id: String,
    /// Its name today.
    pub host_name: String,
    /// Place of its leaf.
    pub leaf_index: u32,
    /// Canonical JSON of the signed leaf.
    pub leaf: Vec<u8>,
    /// Nothing before the order is queued: then the order's own state counts.
    pub state: Option<TargetState>,
    /// Code of the machine's refusal.
    pub refusal: String,
    /// What the machine said with it, JSON of both languages.
    pub detail: String,
    /// First sent, UTC milliseconds.
    pub sent_at_ms: Option<i64>,
    /// The machine's signed result.
    pub result: Option<Vec<u8>>,
    /// When it came, UTC milliseconds.
    pub result_at_ms: Option<i64>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// UUIDv7.
    pub id: String,
    /// Who signed.
    pub person_id: String,
    /// Their name; empty when there is no such account.
    pub person_name: String,
    /// Name of the key that signed, lower-case hex.
    pub key_id: String,
    /// `approve`, `reject`, `withdraw`.
    pub decision: String,
    /// SHA-256 of the payload, lower-case hex.
    pub digest: String,
    /// The DSSE envelope, byte for byte.
    pub envelope: Vec<u8>,
    /// When it was signed, UTC milliseconds.
    pub at_ms: i64,
    /// Until when an approval counts, UTC milliseconds.
    pub expires_at_ms: Option<i64>,
}

/// An order about to be stored.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The row; names are ignored.
    pub order: Order,
    /// Device id and leaf of each machine, in the order of the tree.
    pub targets: Vec<(String, Vec<u8>)>,
}

/// The state of a machine's row while people still decide: the order's own state counts then.
pub const WAITING: &str = "requested";

sql!(
    INSERT,
    "INSERT INTO orders (id, digest, envelope, definition_id, definition_version, definition_digest, risk, reason, \
    ticket_id, requester_id, state, required_approvals, target_count, not_before_ms, not_after_ms, created_at_ms, \
    updated_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)"
);

sql!(
    INSERT_TARGET,
    "INSERT INTO order_targets (order_id, device_id, leaf_index, leaf, state, updated_at_ms) \
    VALUES ($1, $2, $3, $4, $5, $6)"
);

/// Stores a new order with its machines.
pub fn insert(tx: &mut Tx, new: &NewOrder) -> Result<(), StoreError> {
    let order = &new.order;
    tx.execute(
        &INSERT,
        params![
            order.id.as_str(),
            order.digest.as_str(),
            order.envelope.as_slice(),
            order.definition_id.as_str(),
            order.definition_version,
            order.definition_digest.as_str(),
            order.risk,
            order.reason.as_str(),
            order.ticket_id.as_deref(),
            order.requester_id.as_str(),
            order.state.as_str(),
            order.required_approvals,
            order.target_count,
            order.not_before_ms,
            order.not_after_ms,
            order.created_at_ms,
        ],
    )?;
    for (index, (device_id, leaf)) in new.targets.iter().enumerate() {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        tx.execute(
            &INSERT_TARGET,
            params![
                order.id.as_str(),
                device_id.as_str(),
                index,
                leaf.as_slice(),
                WAITING,
                order.created_at_ms
            ],
        )?;
    }
    Ok(())
}

sql!(
    BY_ID,
    "SELECT o.id, o.digest, o.envelope, o.definition_id, o.definition_version, o.definition_digest, o.risk, \
    o.reason, o.ticket_id, COALESCE(t.number, ''), o.requester_id, COALESCE(p.name, ''), o.state, o.required_approvals, \
    o.target_count, o.not_before_ms, o.not_after_ms, o.created_at_ms, o.updated_at_ms, o.version, o.cancel_asked_at_ms \
    FROM orders o LEFT JOIN tickets t ON t.id = o.ticket_id LEFT JOIN persons p ON p.id = o.requester_id \
    WHERE o.id = $1"
);

sql!(
    LIST,
    "SELECT o.id, o.digest, o.envelope, o.definition_id, o.definition_version, o.definition_digest, o.risk, \
    o.reason, o.ticket_id, COALESCE(t.number, ''), o.requester_id, COALESCE(p.name, ''), o.state, o.required_approvals, \
    o.target_count, o.not_before_ms, o.not_after_ms, o.created_at_ms, o.updated_at_ms, o.version, o.cancel_asked_at_ms \
    FROM orders o LEFT JOIN tickets t ON t.id = o.ticket_id LEFT JOIN persons p ON p.id = o.requester_id \
    WHERE (o.created_at_ms, o.id) < ($1, $2) \
    AND (CAST($3 AS TEXT) = '' OR CAST($3 AS TEXT) LIKE '%,' || o.state || ',%') \
    AND (CAST($4 AS TEXT) = '' OR o.ticket_id = $4) \
    AND (CAST($5 AS TEXT) = '' OR EXISTS \
        (SELECT 1 FROM order_targets x WHERE x.order_id = o.id AND x.device_id = $5)) \
    AND (CAST($6 AS TEXT) = '' OR o.requester_id = $6 \
        OR EXISTS (SELECT 1 FROM tickets own WHERE own.id = o.ticket_id AND own.requester_id = $6)) \
    ORDER BY o.created_at_ms DESC, o.id DESC LIMIT $7"
);

/// Which orders, newest first. Empty texts and lists choose everything.
#[derive(Clone, Debug, Default)]
pub struct OrderQuery {
    /// Any of these.
    pub states: Vec<OrderState>,
    /// Made for this ticket.
    pub ticket_id: String,
    /// For this machine, among others.
    pub device_id: String,
    /// Requested by this person, or made for a ticket of theirs.
    pub concerning: String,
    /// The last order of the page before.
    pub after: Option<(i64, String)>,
    /// At most so many.
    pub limit: u32,
}

/// The order with this id.
pub fn by_id(tx: &mut Tx, id: &str) -> Result<Option<Order>, StoreError> {
    tx.query_opt(&BY_ID, params![id], |row| read(&BY_ID, row))
}

/// One page, newest first.
pub fn list(tx: &mut Tx, query: &OrderQuery) -> Result<Vec<Order>, StoreError> {
    let (at_ms, id) = match &query.after {
        Some((at_ms, id)) => (*at_ms, id.as_str()),
        None => (i64::MAX, ""),
    };
    let states = crate::choice(query.states.iter().map(|state| state.as_str()));
    tx.query(
        &LIST,
        params![
            at_ms,
            id,
            states,
            query.ticket_id.as_str(),
            query.device_id.as_str(),
            query.concerning.as_str(),
            query.limit
        ],
        |row| read(&LIST, row),
    )
}

fn read(statement: &'static crate::Statement, row: &Row<'_>) -> Result<Order, StoreError> {
    Ok(Order {
        id: row.get(0)?,
        digest: row.get(1)?,
        envelope: row.get(2)?,
        definition_id: row.get(3)?,
        definition_version: row.get(4)?,
        definition_digest: row.get(5)?,
        risk: row.get(6)?,
        reason: row.get(7)?,
        ticket_id: row.get(8)?,
        ticket_number: row.get(9)?,
        requester_id: row.get(10)?,
        requester_name: row.get(11)?,
        state: named(statement, row, 12)?,
        required_approvals: row.get(13)?,
        target_count: row.get(14)?,
        not_before_ms: row.get(15)?,
        not_after_ms: row.get(16)?,
        created_at_ms: row.get(17)?,
        updated_at_ms: row.get(18)?,
        version: row.get(19)?,
        cancel_asked_at_ms: row.get(20)?,
    })
}

sql!(
    TARGETS,
    "SELECT t.device_id, d.host_name, t.leaf_index, t.leaf, t.state, t.refusal, t.detail, t.sent_at_ms, \
    r.envelope, r.received_at_ms FROM order_targets t JOIN devices d ON d.id = t.device_id \
    LEFT JOIN results r ON r.order_id = t.order_id AND r.device_id = t.device_id \
    WHERE t.order_id = $1 AND t.leaf_index > $2 ORDER BY t.leaf_index LIMIT $3"
);

sql!(
    TARGET,
    "SELECT t.device_id, d.host_name, t.leaf_index, t.leaf, t.state, t.refusal, t.detail, t.sent_at_ms, \
    r.envelope, r.received_at_ms FROM order_targets t JOIN devices d ON d.id = t.device_id \
    LEFT JOIN results r ON r.order_id = t.order_id AND r.device_id = t.device_id \
    WHERE t.order_id = $1 AND t.device_id = $2"
);

/// Machines of an order in the order of its tree, at most `limit`.
pub fn targets(tx: &mut Tx, order_id: &str, limit: u32) -> Result<Vec<Target>, StoreError> {
    tx.query(&TARGETS, params![order_id, -1, limit], |row| {
        read_target(&TARGETS, row)
    })
}

/// One machine of an order.
pub fn target(tx: &mut Tx, order_id: &str, device_id: &str) -> Result<Option<Target>, StoreError> {
    tx.query_opt(&TARGET, params![order_id, device_id], |row| {
        read_target(&TARGET, row)
    })
}

fn read_target(statement: &'static crate::Statement, row: &Row<'_>) -> Result<Target, StoreError> {
    let state: String = row.get(4)?;
    Ok(Target {
        device_id: row.get(0)?,
        host_name: row.get(1)?,
        leaf_index: row.get(2)?,
        leaf: row.get(3)?,
        state: if state == WAITING {
            None
        } else {
            Some(named(statement, row, 4)?)
        },
        refusal: row.get(5)?,
        detail: row.get(6)?,
        sent_at_ms: row.get(7)?,
        result: row.get(8)?,
        result_at_ms: row.get(9)?,
    })
}

sql!(
    TARGET_STATES,
    "SELECT state, COUNT(*) FROM order_targets WHERE order_id = $1 GROUP BY state ORDER BY state"
);

/// Which states the machines of an order are in, each once; empty before it is queued.
pub fn target_states(tx: &mut Tx, order_id: &str) -> Result<Vec<TargetState>, StoreError> {
    let states = tx.query(&TARGET_STATES, params![order_id], |row| {
        let state: String = row.get(0)?;
        if state == WAITING {
            Ok(None)
        } else {
            named(&TARGET_STATES, row, 0).map(Some)
        }
    })?;
    Ok(states.into_iter().flatten().collect())
}

sql!(
    LEAVES,
    "SELECT leaf FROM order_targets WHERE order_id = $1 ORDER BY leaf_index"
);

/// Every leaf in the order of the tree.
pub fn leaves(tx: &mut Tx, order_id: &str) -> Result<Vec<Vec<u8>>, StoreError> {
    tx.query(&LEAVES, params![order_id], |row| row.get(0))
}

sql!(
    SET_STATE,
    "UPDATE orders SET state = $2, updated_at_ms = $3, version = version + 1 WHERE id = $1"
);

/// Writes the state of the order as a whole.
pub fn set_state(
    tx: &mut Tx,
    order_id: &str,
    state: OrderState,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(&SET_STATE, params![order_id, state.as_str(), now_ms])
        .map(|_| ())
}

sql!(
    TOUCH,
    "UPDATE orders SET updated_at_ms = $2, version = version + 1 WHERE id = $1"
);

/// Notes a change that leaves the order's state as it is, and keeps others from changing the order meanwhile.
pub fn touch(tx: &mut Tx, order_id: &str, now_ms: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(&TOUCH, params![order_id, now_ms])? == 1)
}

sql!(
    QUEUE_TARGETS,
    "UPDATE order_targets SET state = 'queued', updated_at_ms = $2 WHERE order_id = $1 AND state = 'requested'"
);

/// Puts every machine of an approved order into the queue.
pub fn queue_targets(tx: &mut Tx, order_id: &str, now_ms: i64) -> Result<(), StoreError> {
    tx.execute(&QUEUE_TARGETS, params![order_id, now_ms])
        .map(|_| ())
}

sql!(
    SET_TARGET,
    "UPDATE order_targets SET state = $3, refusal = $4, detail = $5, updated_at_ms = $6, \
    sent_at_ms = CASE WHEN $3 = 'sent' AND sent_at_ms IS NULL THEN $6 ELSE sent_at_ms END \
    WHERE order_id = $1 AND device_id = $2"
);

/// Writes one machine's state, with the refusal where it refused.
pub fn set_target(
    tx: &mut Tx,
    (order_id, device_id): (&str, &str),
    state: TargetState,
    (refusal, detail): (&str, &str),
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.execute(
        &SET_TARGET,
        params![order_id, device_id, state.as_str(), refusal, detail, now_ms],
    )
    .map(|_| ())
}

sql!(
    STATEMENTS,
    "SELECT s.id, s.person_id, COALESCE(p.name, ''), s.key_id, s.decision, s.digest, s.envelope, s.at_ms, \
    s.expires_at_ms FROM order_statements s LEFT JOIN persons p ON p.id = s.person_id \
    WHERE s.order_id = $1 ORDER BY s.at_ms, s.id"
);

/// What people said of an order, oldest first.
pub fn statements(tx: &mut Tx, order_id: &str) -> Result<Vec<Statement>, StoreError> {
    tx.query(&STATEMENTS, params![order_id], |row| {
        Ok(Statement {
            id: row.get(0)?,
            person_id: row.get(1)?,
            person_name: row.get(2)?,
            key_id: row.get(3)?,
            decision: row.get(4)?,
            digest: row.get(5)?,
            envelope: row.get(6)?,
            at_ms: row.get(7)?,
            expires_at_ms: row.get(8)?,
        })
    })
}

sql!(
    INSERT_STATEMENT,
    "INSERT INTO order_statements (id, order_id, person_id, key_id, decision, digest, envelope, at_ms, \
    expires_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING"
);

/// Stores a statement. False when this person has said the same of this order before.
pub fn insert_statement(tx: &mut Tx, order_id: &str, new: &Statement) -> Result<bool, StoreError> {
    let inserted = tx.execute(
        &INSERT_STATEMENT,
        params![
            new.id.as_str(),
            order_id,
            new.person_id.as_str(),
            new.key_id.as_str(),
            new.decision.as_str(),
            new.digest.as_str(),
            new.envelope.as_slice(),
            new.at_ms,
            new.expires_at_ms,
        ],
    )?;
    Ok(inserted == 1)
}

sql!(
    DUE,
    "SELECT o.id FROM order_targets t JOIN orders o ON o.id = t.order_id \
    WHERE t.device_id = $1 AND t.state IN ('queued', 'sent') AND o.not_after_ms > $2 AND o.not_before_ms <= $2 \
    AND o.cancel_asked_at_ms IS NULL ORDER BY o.created_at_ms, o.id LIMIT $3"
);

/// Orders that wait to be delivered to a machine and whose validity includes `now_ms`, oldest first.
pub fn due(
    tx: &mut Tx,
    device_id: &str,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    tx.query(&DUE, params![device_id, now_ms, limit], |row| row.get(0))
}

sql!(
    ASK_CANCEL,
    "UPDATE orders SET cancel_asked_at_ms = $2, updated_at_ms = $2, version = version + 1 \
    WHERE id = $1 AND cancel_asked_at_ms IS NULL"
);

/// Notes that the machines are asked to stop. False when they were asked before.
pub fn ask_cancel(tx: &mut Tx, order_id: &str, now_ms: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(&ASK_CANCEL, params![order_id, now_ms])? == 1)
}

sql!(
    TO_STOP,
    "SELECT o.id, o.digest FROM order_targets t JOIN orders o ON o.id = t.order_id \
    WHERE t.device_id = $1 AND t.state IN ('sent', 'accepted', 'awaiting_consent', 'running', 'checking') \
    AND o.cancel_asked_at_ms IS NOT NULL ORDER BY o.id LIMIT $2"
);

/// Orders that a machine may hold and is to stop: id and digest.
pub fn to_stop(
    tx: &mut Tx,
    device_id: &str,
    limit: u32,
) -> Result<Vec<(String, String)>, StoreError> {
    tx.query(&TO_STOP, params![device_id, limit], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

sql!(
    DIGEST_KNOWN,
    "SELECT id FROM orders WHERE id = $1 OR digest = $2"
);

/// Whether an order with this id or this digest is stored.
pub fn is_known(tx: &mut Tx, id: &str, digest: &str) -> Result<bool, StoreError> {
    Ok(!tx
        .query(&DIGEST_KNOWN, params![id, digest], |row| {
            row.get::<String>(0)
        })?
        .is_empty())
}

/// A device as an order needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderDevice {
    /// Its id.
    pub id: String,
    /// Its name.
    pub host_name: String,
    /// Inventory plate, empty when it has none.
    pub plate: String,
    /// `active`, `quarantined`, `revoked`, `retired`.
    pub state: String,
    /// Ed25519, 32 bytes.
    pub public_key: Vec<u8>,
    /// As in [`crate::device::Device`].
    pub origin: String,
}

sql!(
    DEVICE_BY_FINGERPRINT,
    "SELECT id, host_name, plate, state, public_key, origin FROM devices WHERE fingerprint = $1"
);
sql!(
    DEVICE_BY_ID,
    "SELECT id, host_name, plate, state, public_key, origin FROM devices WHERE id = $1"
);

/// The device with this key fingerprint (lower-case hex).
pub fn device_by_fingerprint(
    tx: &mut Tx,
    fingerprint: &str,
) -> Result<Option<OrderDevice>, StoreError> {
    tx.query_opt(&DEVICE_BY_FINGERPRINT, params![fingerprint], read_device)
}

/// The device with this id.
pub fn device(tx: &mut Tx, id: &str) -> Result<Option<OrderDevice>, StoreError> {
    tx.query_opt(&DEVICE_BY_ID, params![id], read_device)
}

fn read_device(row: &Row<'_>) -> Result<OrderDevice, StoreError> {
    Ok(OrderDevice {
        id: row.get(0)?,
        host_name: row.get(1)?,
        plate: row.get(2)?,
        state: row.get(3)?,
        public_key: row.get(4)?,
        origin: row.get(5)?,
    })
}

sql!(
    WAITING_DEVICES,
    "SELECT DISTINCT t.device_id FROM order_targets t JOIN orders o ON o.id = t.order_id \
    WHERE t.state IN ('queued', 'sent') AND o.not_after_ms > $1 AND t.device_id > $2 ORDER BY t.device_id LIMIT $3"
);

/// Machines for which some order waits, by id after `after`.
pub fn waiting_devices(
    tx: &mut Tx,
    now_ms: i64,
    after: &str,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    tx.query(&WAITING_DEVICES, params![now_ms, after, limit], |row| {
        row.get(0)
    })
}

sql!(
    OVERDUE,
    "SELECT id FROM orders WHERE not_after_ms <= $1 AND state IN \
    ('requested', 'awaiting_approval', 'approved', 'queued', 'sent', 'accepted', 'awaiting_consent', 'running', 'checking') \
    ORDER BY not_after_ms, id LIMIT $2"
);

/// Orders whose validity ended before `now_ms` and that nobody has closed.
pub fn overdue(tx: &mut Tx, now_ms: i64, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(&OVERDUE, params![now_ms, limit], |row| row.get(0))
}

sql!(
    LAPSED_APPROVALS,
    "SELECT DISTINCT o.id FROM orders o JOIN order_statements s ON s.order_id = o.id \
    WHERE o.state = 'queued' AND s.decision = 'approve' AND s.expires_at_ms <= $1 LIMIT $2"
);

/// Queued orders with an approval that counts no more.
pub fn with_lapsed_approvals(
    tx: &mut Tx,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    tx.query(&LAPSED_APPROVALS, params![now_ms, limit], |row| row.get(0))
}

sql!(
    DEVICE_IDS,
    "SELECT device_id FROM order_targets WHERE order_id = $1 ORDER BY leaf_index"
);

/// Ids of the machines of an order in the order of its tree.
pub fn device_ids(tx: &mut Tx, order_id: &str) -> Result<Vec<String>, StoreError> {
    tx.query(&DEVICE_IDS, params![order_id], |row| row.get(0))
}
