//! Between the API's ticket and the rules' and the store's.

use chasqui_domain::ticket::{Kind, Level, State};
use chasqui_proto::error::bad_field;
use chasqui_proto::v1::{self, TicketKind, TicketState};
use chasqui_store::ticket::Ticket;
use tonic::Status;

/// A stored ticket as the API shows it.
pub fn ticket(ticket: &Ticket) -> v1::Ticket {
    v1::Ticket {
        id: ticket.id.clone(),
        number: ticket.number.clone(),
        title: ticket.title.clone(),
        description: ticket.description.clone(),
        state: shown_state(ticket.state).into(),
        kind: ticket
            .kind
            .map_or(TicketKind::Unspecified, shown_kind)
            .into(),
        service: ticket.service.clone(),
        urgency: ticket.urgency.unwrap_or(0),
        impact: ticket.impact.unwrap_or(0),
        priority: ticket.priority.unwrap_or(0),
        requester_id: ticket.requester_id.clone(),
        requester_name: ticket.requester_name.clone(),
        assignee_id: ticket.assignee_id.clone().unwrap_or_default(),
        assignee_name: ticket.assignee_name.clone(),
        device_id: ticket.device_id.clone().unwrap_or_default(),
        device_host_name: ticket.device_host_name.clone(),
        solution: ticket.solution.clone(),
        close_reason: ticket.close_reason.clone(),
        created_at_ms: ticket.created_at_ms,
        updated_at_ms: ticket.updated_at_ms,
        solved_at_ms: ticket.solved_at_ms.unwrap_or(0),
        closed_at_ms: ticket.closed_at_ms.unwrap_or(0),
        version: ticket.version,
    }
}

fn shown_state(state: State) -> TicketState {
    match state {
        State::Registered => TicketState::Registered,
        State::Classified => TicketState::Classified,
        State::Assigned => TicketState::Assigned,
        State::InProgress => TicketState::InProgress,
        State::OnHold => TicketState::OnHold,
        State::Solved => TicketState::Solved,
        State::Closed => TicketState::Closed,
        State::Cancelled => TicketState::Cancelled,
    }
}

fn shown_kind(kind: Kind) -> TicketKind {
    match kind {
        Kind::Incident => TicketKind::Incident,
        Kind::Request => TicketKind::Request,
        Kind::Maintenance => TicketKind::Maintenance,
    }
}

/// A state out of a request.
pub fn state(state: i32) -> Option<State> {
    let shown = TicketState::try_from(state).ok()?;
    State::ALL
        .into_iter()
        .find(|state| shown_state(*state) == shown)
}

/// A kind out of a request.
pub fn kind(kind: i32) -> Option<Kind> {
    let shown = TicketKind::try_from(kind).ok()?;
    Kind::ALL
        .into_iter()
        .find(|kind| shown_kind(*kind) == shown)
}

/// A level out of a request.
pub fn level(field: &str, level: u32) -> Result<Level, Status> {
    u8::try_from(level)
        .ok()
        .and_then(|level| Level::new(level).ok())
        .ok_or_else(|| bad_field(field, "use 1 (very low) to 5 (very high)"))
}

/// A service of the catalogue: a short lower-case name.
pub fn service(service: &str) -> Result<String, Status> {
    let good = (1..=64).contains(&service.len())
        && service
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if good {
        Ok(service.to_owned())
    } else {
        Err(bad_field(
            "service",
            "use the name of a service, 1 to 64 of a-z, 0-9 and _, for example computer_equipment",
        ))
    }
}
