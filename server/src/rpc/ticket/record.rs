//! How a ticket's event is written into the record and read back. What people wrote goes apart, where it can be erased;
//! the rest is facts. Reading back gives the domain's events, so that the ticket can be replayed from the record alone.

use chasqui_domain::ticket::{Event, Kind, TicketState};
use chasqui_store::StoreError;
use chasqui_store::ticket::{Ticket, TicketChange};
use serde_json::{Map, Value};

/// Fields of an event that people wrote.
const WRITTEN: [&str; 5] = ["title", "description", "reason", "solution", "text"];

/// Facts beside the domain's event.
const MORE: [&str; 2] = ["number", "service"];

/// What stands in for a text that was erased.
const ERASED: &str = "(erased)";

/// An event as the store appends it.
pub struct Recorded {
    /// `ticket.classified`.
    pub kind: String,
    /// Facts.
    pub data: Value,
    /// What people wrote, JSON; nothing when nobody wrote.
    pub personal: Option<String>,
}

/// Takes an event apart. `more` are facts the domain's event has no place for.
pub fn write(event: &Event, more: &[(&str, Value)]) -> Result<Recorded, StoreError> {
    let Ok(Value::Object(mut data)) = serde_json::to_value(event) else {
        return Err(StoreError::Invalid(
            "an event of a ticket that is no JSON object".to_owned(),
        ));
    };
    let name = match data.get("event") {
        Some(Value::String(name)) => name.clone(),
        _ => {
            return Err(StoreError::Invalid(
                "an event of a ticket without a name".to_owned(),
            ));
        }
    };
    let mut written = Map::new();
    for field in WRITTEN {
        if let Some(text) = data.remove(field) {
            written.insert(field.to_owned(), text);
        }
    }
    for (name, value) in more {
        data.insert((*name).to_owned(), value.clone());
    }
    Ok(Recorded {
        kind: format!("ticket.{name}"),
        data: Value::Object(data),
        personal: (!written.is_empty()).then(|| Value::Object(written).to_string()),
    })
}

/// Reads an event back. Nothing when it is not one of a ticket's own.
pub fn read(data: &str, personal: Option<&str>) -> Option<Event> {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(data) else {
        return None;
    };
    for more in MORE {
        fields.remove(more);
    }
    match personal.map(serde_json::from_str) {
        Some(Ok(Value::Object(written))) => fields.extend(written),
        Some(_) => return None,
        None => {
            let needed: &[&str] = match fields.get("event").and_then(Value::as_str)? {
                "registered" => &["title", "description"],
                "held" | "solution_rejected" | "closed_by_lead" | "cancelled" | "reopened" => {
                    &["reason"]
                }
                "solution_proposed" => &["solution"],
                "commented" => &["text"],
                _ => &[],
            };
            fields.extend(
                needed
                    .iter()
                    .map(|field| ((*field).to_owned(), Value::from(ERASED))),
            );
        }
    }
    serde_json::from_value(Value::Object(fields)).ok()
}

/// What a person wrote in an event, for the timeline.
pub fn body(personal: Option<&str>) -> String {
    let Some(Ok(Value::Object(written))) = personal.map(serde_json::from_str::<Value>) else {
        return String::new();
    };
    // A registration's title is in its text already.
    ["description", "reason", "solution", "text", "comment"]
        .iter()
        .find_map(|field| written.get(*field).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

/// The stored ticket as the rules see it. Before it is classified the rules take what the registration assumed.
pub fn state_of(ticket: &Ticket) -> Result<TicketState, StoreError> {
    let damaged =
        |field: &str| StoreError::Corrupt(format!("ticket {}: {field} cannot be read", ticket.id));
    let level = |value: Option<u32>, field: &str| match value {
        None => Ok(None),
        Some(value) => u8::try_from(value)
            .ok()
            .and_then(|value| value.try_into().ok())
            .map(Some)
            .ok_or_else(|| damaged(field)),
    };
    let text = |text: &str, field: &str| -> Result<Option<_>, StoreError> {
        if text.is_empty() {
            return Ok(None);
        }
        chasqui_domain::ticket::Reason::parse(text)
            .map(Some)
            .map_err(|_| damaged(field))
    };
    Ok(TicketState {
        state: ticket.state,
        kind: ticket.kind.unwrap_or(Kind::Incident),
        title: ticket
            .title
            .clone()
            .try_into()
            .map_err(|_| damaged("title"))?,
        description: ticket
            .description
            .clone()
            .try_into()
            .map_err(|_| damaged("description"))?,
        requester: ticket
            .requester_id
            .parse()
            .map_err(|_| damaged("requester_id"))?,
        category: None,
        urgency: level(ticket.urgency, "urgency")?.unwrap_or(chasqui_domain::ticket::Level::MEDIUM),
        impact: level(ticket.impact, "impact")?,
        priority: level(ticket.priority, "priority")?,
        assignee: match &ticket.assignee_id {
            Some(id) => Some(id.parse().map_err(|_| damaged("assignee_id"))?),
            None => None,
        },
        group: None,
        devices: match &ticket.device_id {
            Some(id) => vec![id.parse().map_err(|_| damaged("device_id"))?],
            None => Vec::new(),
        },
        orders: Vec::new(),
        hold_reason: text(&ticket.hold_reason, "hold_reason")?,
        solution: if ticket.solution.is_empty() {
            None
        } else {
            Some(
                ticket
                    .solution
                    .clone()
                    .try_into()
                    .map_err(|_| damaged("solution"))?,
            )
        },
        end_reason: text(&ticket.close_reason, "close_reason")?,
        reopened: 0,
    })
}

/// What the rules made of a ticket, as the store writes it.
pub fn change_of(
    before: &Ticket,
    after: &TicketState,
    service: Option<&str>,
    now_ms: i64,
) -> TicketChange {
    use chasqui_domain::ticket::State;
    let level = |level: chasqui_domain::ticket::Level| u32::from(level.get());
    let classified = after.impact.is_some();
    let keep_or_now =
        |stood: Option<i64>, stays: bool| if stays { stood.or(Some(now_ms)) } else { None };
    TicketChange {
        state: after.state,
        kind: classified.then_some(after.kind),
        service: service.map_or_else(|| before.service.clone(), str::to_owned),
        urgency: classified.then(|| level(after.urgency)),
        impact: after.impact.map(level),
        priority: after.priority.map(level),
        assignee_id: after.assignee.map(|id| id.to_string()),
        hold_reason: after
            .hold_reason
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        solution: after
            .solution
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        close_reason: after
            .end_reason
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        solved_at_ms: keep_or_now(
            before.solved_at_ms,
            matches!(after.state, State::Solved | State::Closed),
        ),
        closed_at_ms: keep_or_now(
            before.closed_at_ms,
            matches!(after.state, State::Closed | State::Cancelled),
        ),
    }
}

#[cfg(test)]
mod tests {
    use chasqui_domain::ticket::{Body, Reason, Title, replay};

    use super::*;

    fn id(n: u32) -> String {
        format!("0192f0c1-0000-7000-8000-{n:012}")
    }

    #[test]
    fn every_event_survives_the_record_and_texts_lie_apart() {
        let body = |text: &str| Body::parse("text", text).unwrap();
        let reason = || Reason::parse("espera un repuesto").unwrap();
        let level = chasqui_domain::ticket::Level::new(4).unwrap();
        let events = [
            Event::Registered {
                kind: Kind::Incident,
                title: Title::parse("No imprime").unwrap(),
                description: body("Desde ayer"),
                requester: id(1).parse().unwrap(),
                urgency: level,
                device: Some(id(2).parse().unwrap()),
            },
            Event::Classified {
                kind: Kind::Request,
                category: None,
                urgency: level,
                impact: level,
            },
            Event::Assigned {
                assignee: id(3).parse().unwrap(),
                group: None,
            },
            Event::Started,
            Event::Held { reason: reason() },
            Event::Resumed,
            Event::Commented {
                text: body("hola"),
                internal: false,
            },
            Event::SolutionProposed {
                solution: body("cambiado"),
            },
            Event::SolutionRejected { reason: reason() },
            Event::SolutionProposed {
                solution: body("cambiado otra vez"),
            },
            Event::SolutionApproved,
        ];
        let mut back = Vec::new();
        for event in &events {
            let recorded = write(
                event,
                &[
                    ("service", "equipment".into()),
                    ("number", "MA-2026-000001".into()),
                ],
            )
            .unwrap();
            assert!(recorded.kind.starts_with("ticket."));
            for text in ["imprime", "ayer", "repuesto", "hola", "cambiado"] {
                assert!(
                    !recorded.data.to_string().contains(text),
                    "{}",
                    recorded.data
                );
            }
            let read_back = read(&recorded.data.to_string(), recorded.personal.as_deref()).unwrap();
            assert_eq!(&read_back, event);
            back.push(read_back);
            // Erased texts do not keep the ticket from being replayed.
            assert!(read(&recorded.data.to_string(), None).is_some());
        }
        assert_eq!(replay(&back), replay(&events));
    }
}
