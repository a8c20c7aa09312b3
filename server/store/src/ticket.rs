//! Tickets as rows. It stores what the rules decided and refuses a change made against an older version; which change
//! is allowed, and who may make it, is not known here.

use std::str::FromStr;

use chasqui_domain::role::Roles;
use chasqui_domain::ticket::{Kind, State};

use crate::{Row, Statement, StoreError, Tx, params, sql};

/// One ticket with the names people read beside its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// UUIDv7.
    pub id: String,
    /// `MA-2026-000123`.
    pub number: String,
    /// One line.
    pub title: String,
    /// The requester's words.
    pub description: String,
    /// Where it stands.
    pub state: State,
    /// Nothing until classified.
    pub kind: Option<Kind>,
    /// Service of the catalogue; empty until classified.
    pub service: String,
    /// 1 to 5; nothing until classified.
    pub urgency: Option<u32>,
    /// 1 to 5; nothing until classified.
    pub impact: Option<u32>,
    /// 1 to 5; nothing until classified.
    pub priority: Option<u32>,
    /// Who is to be helped.
    pub requester_id: String,
    /// Their name; empty when the account is not known.
    pub requester_name: String,
    /// In whose hands.
    pub assignee_id: Option<String>,
    /// Their name.
    pub assignee_name: String,
    /// What it is about.
    pub device_id: Option<String>,
    /// The device's name.
    pub device_host_name: String,
    /// Why it waits, while it waits.
    pub hold_reason: String,
    /// The solution proposed last.
    pub solution: String,
    /// Why it was closed by the lead, or cancelled.
    pub close_reason: String,
    /// Grows with each change.
    pub version: u64,
    /// UTC milliseconds.
    pub created_at_ms: i64,
    /// UTC milliseconds.
    pub updated_at_ms: i64,
    /// UTC milliseconds.
    pub solved_at_ms: Option<i64>,
    /// UTC milliseconds.
    pub closed_at_ms: Option<i64>,
}

/// What of a ticket a change may write. The search key is made by the domain's folding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketChange {
    /// Where it stands now.
    pub state: State,
    /// As classified.
    pub kind: Option<Kind>,
    /// As classified.
    pub service: String,
    /// As classified.
    pub urgency: Option<u32>,
    /// As classified.
    pub impact: Option<u32>,
    /// As classified.
    pub priority: Option<u32>,
    /// In whose hands.
    pub assignee_id: Option<String>,
    /// Why it waits.
    pub hold_reason: String,
    /// Proposed solution.
    pub solution: String,
    /// Why it ended.
    pub close_reason: String,
    /// UTC milliseconds.
    pub solved_at_ms: Option<i64>,
    /// UTC milliseconds.
    pub closed_at_ms: Option<i64>,
}

/// Which tickets, newest first. Empty texts and lists choose everything.
#[derive(Clone, Debug, Default)]
pub struct TicketQuery {
    /// Any of these.
    pub states: Vec<State>,
    /// In these hands.
    pub assignee_id: String,
    /// Asked for by.
    pub requester_id: String,
    /// About this device.
    pub device_id: String,
    /// Part of the search key, already folded.
    pub text: String,
    /// The last ticket of the page before.
    pub after: Option<(i64, String)>,
    /// At most so many.
    pub limit: u32,
}

sql!(
    NEXT_NUMBER,
    "INSERT INTO ticket_numbers (year, last) VALUES ($1, 1) \
    ON CONFLICT (year) DO UPDATE SET last = ticket_numbers.last + 1 RETURNING last"
);

/// The next serial of a year, from 1. Taken in the transaction that makes the ticket.
pub fn next_serial(tx: &mut Tx, year: i16) -> Result<u32, StoreError> {
    tx.query_one(&NEXT_NUMBER, params![i64::from(year)], |row| row.get(0))
}

sql!(
    INSERT,
    "INSERT INTO tickets (id, number, year, seq, title, description, state, requester_id, device_id, \
    created_at_ms, updated_at_ms, search_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)"
);

/// A ticket about to be stored, registered and nothing else.
#[derive(Clone, Debug)]
pub struct NewTicket<'a> {
    /// UUIDv7.
    pub id: &'a str,
    /// `MA-2026-000123`.
    pub number: &'a str,
    /// By the date in Bogotá.
    pub year: i16,
    /// Within the year.
    pub serial: u32,
    /// One line.
    pub title: &'a str,
    /// Any number of lines.
    pub description: &'a str,
    /// Who is to be helped.
    pub requester_id: &'a str,
    /// What it is about.
    pub device_id: Option<&'a str>,
    /// UTC milliseconds.
    pub now_ms: i64,
    /// Folded title and number.
    pub search_key: &'a str,
}

/// Stores a new ticket, version 1.
pub fn insert(tx: &mut Tx, ticket: &NewTicket<'_>) -> Result<(), StoreError> {
    tx.execute(
        &INSERT,
        params![
            ticket.id,
            ticket.number,
            i64::from(ticket.year),
            ticket.serial,
            ticket.title,
            ticket.description,
            State::Registered.as_str(),
            ticket.requester_id,
            ticket.device_id,
            ticket.now_ms,
            ticket.search_key,
        ],
    )?;
    Ok(())
}

sql!(
    UPDATE,
    "UPDATE tickets SET state = $3, kind = $4, service = $5, urgency = $6, impact = $7, priority = $8, \
    assignee_id = $9, hold_reason = $10, solution = $11, close_reason = $12, solved_at_ms = $13, closed_at_ms = $14, \
    updated_at_ms = $15, version = version + 1 WHERE id = $1 AND version = $2"
);

/// Writes a change made against `version`. False when the ticket has another version by now; nothing is changed then.
pub fn update(
    tx: &mut Tx,
    id: &str,
    version: u64,
    change: &TicketChange,
    now_ms: i64,
) -> Result<bool, StoreError> {
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let changed = tx.execute(
        &UPDATE,
        params![
            id,
            version,
            change.state.as_str(),
            change.kind.map_or("", Kind::as_str),
            change.service.as_str(),
            change.urgency,
            change.impact,
            change.priority,
            change.assignee_id.as_deref(),
            change.hold_reason.as_str(),
            change.solution.as_str(),
            change.close_reason.as_str(),
            change.solved_at_ms,
            change.closed_at_ms,
            now_ms,
        ],
    )?;
    Ok(changed == 1)
}

sql!(
    BY_ID,
    "SELECT t.id, t.number, t.title, t.description, t.state, t.kind, t.service, t.urgency, t.impact, t.priority, \
    t.requester_id, COALESCE(r.name, ''), t.assignee_id, COALESCE(a.name, ''), t.device_id, COALESCE(d.host_name, ''), \
    t.hold_reason, t.solution, t.close_reason, t.version, t.created_at_ms, t.updated_at_ms, t.solved_at_ms, t.closed_at_ms \
    FROM tickets t LEFT JOIN persons r ON r.id = t.requester_id LEFT JOIN persons a ON a.id = t.assignee_id \
    LEFT JOIN devices d ON d.id = t.device_id WHERE t.id = $1"
);

sql!(BY_NUMBER, "SELECT id FROM tickets WHERE number = $1");

sql!(
    LIST,
    "SELECT t.id, t.number, t.title, t.description, t.state, t.kind, t.service, t.urgency, t.impact, t.priority, \
    t.requester_id, COALESCE(r.name, ''), t.assignee_id, COALESCE(a.name, ''), t.device_id, COALESCE(d.host_name, ''), \
    t.hold_reason, t.solution, t.close_reason, t.version, t.created_at_ms, t.updated_at_ms, t.solved_at_ms, t.closed_at_ms \
    FROM tickets t LEFT JOIN persons r ON r.id = t.requester_id LEFT JOIN persons a ON a.id = t.assignee_id \
    LEFT JOIN devices d ON d.id = t.device_id \
    WHERE (t.created_at_ms, t.id) < ($1, $2) \
    AND (CAST($3 AS TEXT) = '' OR CAST($3 AS TEXT) LIKE '%,' || t.state || ',%') \
    AND (CAST($4 AS TEXT) = '' OR t.assignee_id = $4) AND (CAST($5 AS TEXT) = '' OR t.requester_id = $5) \
    AND (CAST($6 AS TEXT) = '' OR t.device_id = $6) \
    AND (CAST($7 AS TEXT) = '' OR t.search_key LIKE $7 ESCAPE '!') \
    ORDER BY t.created_at_ms DESC, t.id DESC LIMIT $8"
);

/// The ticket with this id.
pub fn by_id(tx: &mut Tx, id: &str) -> Result<Option<Ticket>, StoreError> {
    tx.query_opt(&BY_ID, params![id], |row| read(&BY_ID, row))
}

/// The ticket with this number, in its one form.
pub fn by_number(tx: &mut Tx, number: &str) -> Result<Option<Ticket>, StoreError> {
    let id: Option<String> = tx.query_opt(&BY_NUMBER, params![number], |row| row.get(0))?;
    match id {
        Some(id) => by_id(tx, &id),
        None => Ok(None),
    }
}

/// One page, newest first.
pub fn list(tx: &mut Tx, query: &TicketQuery) -> Result<Vec<Ticket>, StoreError> {
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
            query.assignee_id.as_str(),
            query.requester_id.as_str(),
            query.device_id.as_str(),
            crate::contains(&query.text),
            query.limit,
        ],
        |row| read(&LIST, row),
    )
}

fn read(statement: &'static Statement, row: &Row<'_>) -> Result<Ticket, StoreError> {
    let kind: String = row.get(5)?;
    Ok(Ticket {
        id: row.get(0)?,
        number: row.get(1)?,
        title: row.get(2)?,
        description: row.get(3)?,
        state: named(statement, row, 4)?,
        kind: if kind.is_empty() {
            None
        } else {
            Some(named(statement, row, 5)?)
        },
        service: row.get(6)?,
        urgency: row.get(7)?,
        impact: row.get(8)?,
        priority: row.get(9)?,
        requester_id: row.get(10)?,
        requester_name: row.get(11)?,
        assignee_id: row.get(12)?,
        assignee_name: row.get(13)?,
        device_id: row.get(14)?,
        device_host_name: row.get(15)?,
        hold_reason: row.get(16)?,
        solution: row.get(17)?,
        close_reason: row.get(18)?,
        version: row.get(19)?,
        created_at_ms: row.get(20)?,
        updated_at_ms: row.get(21)?,
        solved_at_ms: row.get(22)?,
        closed_at_ms: row.get(23)?,
    })
}

/// A column that holds the name of a state or kind.
pub(crate) fn named<T: FromStr>(
    statement: &'static Statement,
    row: &Row<'_>,
    column: usize,
) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| {
        StoreError::Corrupt(format!(
            "statement {}, column {column}: unknown name {text:?}",
            statement.full_name()
        ))
    })
}

sql!(
    TIMELINE,
    "SELECT e.id, e.subject_kind, e.subject_id, e.kind, e.actor, e.at_ms, e.data, p.body, \
    COALESCE(w.name, d.host_name, '') \
    FROM events e LEFT JOIN event_personal p ON p.event_id = e.id LEFT JOIN persons w ON w.id = e.actor \
    LEFT JOIN devices d ON d.id = e.actor \
    WHERE ((e.subject_kind = 'ticket' AND e.subject_id = $1) \
        OR (e.subject_kind = 'order' AND e.subject_id IN (SELECT o.id FROM orders o WHERE o.ticket_id = $1))) \
    AND e.kind NOT IN ('order.state', 'order.target') AND (e.at_ms, e.id) > ($2, $3) ORDER BY e.at_ms, e.id LIMIT $4"
);

/// One event of a ticket or of an order made for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineRow {
    /// UUIDv7.
    pub id: String,
    /// `ticket` or `order`.
    pub subject_kind: String,
    /// Which.
    pub subject_id: String,
    /// `ticket.classified`, `order.result`.
    pub kind: String,
    /// Who, as recorded.
    pub actor: String,
    /// UTC milliseconds.
    pub at_ms: i64,
    /// The record, JSON.
    pub data: String,
    /// What people wrote, JSON; nothing when nobody wrote or it was erased.
    pub personal: Option<String>,
    /// Person's name or device's host name; empty for the system.
    pub actor_name: String,
}

/// The timeline of a ticket, oldest first, after the given entry. `order.state` and `order.target` only repeat, for the
/// replay, what another event tells people.
pub fn timeline(
    tx: &mut Tx,
    ticket_id: &str,
    after: Option<(i64, String)>,
    limit: u32,
) -> Result<Vec<TimelineRow>, StoreError> {
    let (at_ms, id) = after.unwrap_or((i64::MIN, String::new()));
    tx.query(&TIMELINE, params![ticket_id, at_ms, id, limit], |row| {
        Ok(TimelineRow {
            id: row.get(0)?,
            subject_kind: row.get(1)?,
            subject_id: row.get(2)?,
            kind: row.get(3)?,
            actor: row.get(4)?,
            at_ms: row.get(5)?,
            data: row.get(6)?,
            personal: row.get(7)?,
            actor_name: row.get(8)?,
        })
    })
}

sql!(
    PERSON,
    "SELECT name, roles, disabled FROM persons WHERE id = $1"
);

/// A person as tickets need them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketPerson {
    /// Full name.
    pub name: String,
    /// What they may do.
    pub roles: Roles,
    /// The account is closed.
    pub disabled: bool,
}

/// Name and roles of a person.
pub fn person(tx: &mut Tx, id: &str) -> Result<Option<TicketPerson>, StoreError> {
    tx.query_opt(&PERSON, params![id], |row| {
        Ok(TicketPerson {
            name: row.get(0)?,
            roles: named(&PERSON, row, 1)?,
            disabled: row.get(2)?,
        })
    })
}

sql!(
    DEVICE_IS_THERE,
    "SELECT host_name FROM devices WHERE id = $1"
);

/// Host name of a device; nothing when there is none.
pub fn device(tx: &mut Tx, id: &str) -> Result<Option<String>, StoreError> {
    tx.query_opt(&DEVICE_IS_THERE, params![id], |row| row.get(0))
}

sql!(
    OWN_EVENTS,
    "SELECT e.data, p.body FROM events e LEFT JOIN event_personal p ON p.event_id = e.id \
    WHERE e.subject_kind = 'ticket' AND e.subject_id = $1 ORDER BY e.seq"
);

/// Every event of a ticket, oldest first, as recorded: data and what people wrote. For the replay.
pub fn own_events(tx: &mut Tx, id: &str) -> Result<Vec<(String, Option<String>)>, StoreError> {
    tx.query(&OWN_EVENTS, params![id], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

sql!(
    IDS_AFTER,
    "SELECT id FROM tickets WHERE id > $1 ORDER BY id LIMIT $2"
);

/// Ids of tickets after one, for walks over all.
pub fn ids_after(tx: &mut Tx, after: &str, limit: u32) -> Result<Vec<String>, StoreError> {
    tx.query(&IDS_AFTER, params![after, limit], |row| row.get(0))
}
