//! Whether the record still tells the tickets: every one is replayed from its events by the rules and compared with its
//! row. For `chasqui-server check` and the tests.

use chasqui_domain::ticket::{Event, replay};
use chasqui_store::{StoreError, Tx, ticket as store};

use super::record;

/// Whether the record of every ticket leads to its row: for `check`.
///
/// # Errors
/// When the store cannot be read.
pub fn check_replay(tx: &mut Tx, findings: &mut Vec<String>) -> Result<u64, StoreError> {
    let (mut after, mut checked) = (String::new(), 0);
    loop {
        let ids = store::ids_after(tx, &after, 500)?;
        let Some(last) = ids.last() else {
            return Ok(checked);
        };
        after.clone_from(last);
        for id in &ids {
            checked += 1;
            if let Some(finding) = finding(tx, id)? {
                findings.push(finding);
            }
        }
    }
}

fn finding(tx: &mut Tx, id: &str) -> Result<Option<String>, StoreError> {
    let Some(ticket) = store::by_id(tx, id)? else {
        return Ok(None);
    };
    let recorded = store::own_events(tx, id)?;
    let erased = recorded.iter().any(|(_, personal)| personal.is_none());
    let events: Option<Vec<Event>> = recorded
        .iter()
        .map(|(data, personal)| record::read(data, personal.as_deref()))
        .collect();
    let Some(events) = events else {
        return Ok(Some(format!(
            "ticket {}: an event cannot be read",
            ticket.number
        )));
    };
    let replayed = match replay(&events) {
        Ok(replayed) => replayed,
        Err(error) => return Ok(Some(format!("ticket {}: {error}", ticket.number))),
    };
    let mut stored = record::state_of(&ticket)?;
    stored.reopened = replayed.reopened;
    stored.orders.clone_from(&replayed.orders);
    if erased {
        // What people wrote cannot be told from the record any more; the facts still must.
        stored.title.clone_from(&replayed.title);
        stored.description.clone_from(&replayed.description);
        stored.hold_reason.clone_from(&replayed.hold_reason);
        stored.solution.clone_from(&replayed.solution);
        stored.end_reason.clone_from(&replayed.end_reason);
    }
    Ok((stored != replayed).then(|| {
        format!(
            "ticket {}: the row is not what its events lead to",
            ticket.number
        )
    }))
}
