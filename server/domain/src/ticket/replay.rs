//! From events back to the ticket: what the record says must be what the tables hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Body, Event, Kind, Level, Reason, State, Title, priority, transition};
use crate::Refused;
use crate::ids::{CategoryId, DeviceId, GroupId, OrderId, PersonId};
use crate::order::OrderState;

/// A ticket as its events tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketState {
    /// Where it stands.
    pub state: State,
    /// What it is.
    pub kind: Kind,
    /// One line.
    pub title: Title,
    /// The requester's words.
    pub description: Body,
    /// Who is to be helped.
    pub requester: PersonId,
    /// Entry of the service catalogue, once classified.
    pub category: Option<CategoryId>,
    /// The requester's until classified, then the classifier's.
    pub urgency: Level,
    /// Set by classifying.
    pub impact: Option<Level>,
    /// From the matrix, once there is an impact.
    pub priority: Option<Level>,
    /// In whose hands.
    pub assignee: Option<PersonId>,
    /// For which group.
    pub group: Option<GroupId>,
    /// In order of attaching, each once.
    pub devices: Vec<DeviceId>,
    /// In order of first mention, with the last state told.
    pub orders: Vec<(OrderId, OrderState)>,
    /// Why it waits, while it waits.
    pub hold_reason: Option<Reason>,
    /// The last solution proposed; gone when rejected or reopened.
    pub solution: Option<Body>,
    /// The motive of closing by the lead, or of cancelling.
    pub end_reason: Option<Reason>,
    /// How often a solution was rejected or the ticket reopened.
    pub reopened: u32,
}

/// Why a list of events tells no ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// No events.
    Empty,
    /// The first event is not the registration.
    NotRegistered,
    /// This event cannot follow those before it.
    Refused {
        /// Position in the list, from 0.
        at: usize,
        /// The rule.
        refused: Refused,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no events"),
            Self::NotRegistered => f.write_str("the first event is not the registration"),
            Self::Refused { at, refused } => write!(f, "event {at}: {refused}"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// The ticket these events tell, oldest first.
pub fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<TicketState, ReplayError> {
    let mut events = events.into_iter().enumerate();
    let (_, first) = events.next().ok_or(ReplayError::Empty)?;
    let mut ticket = register(first).ok_or(ReplayError::NotRegistered)?;
    for (at, event) in events {
        ticket = apply(ticket, event).map_err(|refused| ReplayError::Refused { at, refused })?;
    }
    Ok(ticket)
}

fn register(event: &Event) -> Option<TicketState> {
    let Event::Registered {
        kind,
        title,
        description,
        requester,
        urgency,
        device,
    } = event
    else {
        return None;
    };
    Some(TicketState {
        state: State::Registered,
        kind: *kind,
        title: title.clone(),
        description: description.clone(),
        requester: *requester,
        category: None,
        urgency: *urgency,
        impact: None,
        priority: None,
        assignee: None,
        group: None,
        devices: device.iter().copied().collect(),
        orders: Vec::new(),
        hold_reason: None,
        solution: None,
        end_reason: None,
        reopened: 0,
    })
}

/// The ticket after one more event.
pub fn apply(mut ticket: TicketState, event: &Event) -> Result<TicketState, Refused> {
    let state = transition(ticket.state, event)?;
    match event {
        // `transition` refuses a second registration.
        Event::Registered { .. } | Event::Commented { .. } | Event::Started => {}
        Event::Classified {
            kind,
            category,
            urgency,
            impact,
        } => {
            ticket.kind = *kind;
            ticket.category = *category;
            ticket.urgency = *urgency;
            ticket.impact = Some(*impact);
            ticket.priority = Some(priority(*urgency, *impact));
        }
        Event::Assigned { assignee, group } => {
            ticket.assignee = Some(*assignee);
            ticket.group = *group;
        }
        Event::Held { reason } => ticket.hold_reason = Some(reason.clone()),
        Event::Resumed => ticket.hold_reason = None,
        Event::SolutionProposed { solution } => ticket.solution = Some(solution.clone()),
        Event::SolutionApproved | Event::ClosedBySilence => {}
        Event::SolutionRejected { .. } | Event::Reopened { .. } => {
            ticket.solution = None;
            ticket.end_reason = None;
            ticket.reopened = ticket.reopened.saturating_add(1);
        }
        Event::ClosedByLead { reason } => ticket.end_reason = Some(reason.clone()),
        Event::Cancelled { reason } => {
            ticket.hold_reason = None;
            ticket.end_reason = Some(reason.clone());
        }
        Event::DeviceAttached { device } => {
            if !ticket.devices.contains(device) {
                ticket.devices.push(*device);
            }
        }
        Event::DeviceDetached { device } => ticket.devices.retain(|one| one != device),
        Event::OrderMoved { order, state } => {
            match ticket.orders.iter_mut().find(|(id, _)| id == order) {
                Some((_, last)) => *last = *state,
                None => ticket.orders.push((*order, *state)),
            }
        }
    }
    ticket.state = state;
    Ok(ticket)
}
