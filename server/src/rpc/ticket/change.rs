//! How a ticket changes: read, may it, can it, write, record; the same way for every change and in one transaction.

use chasqui_base::fault_point;
use chasqui_domain::ids::{PersonId, TicketId};
use chasqui_domain::ticket::{Actor, Body, Event, apply, may, may_view};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1;
use chasqui_store::Tx;
use chasqui_store::event::{self, NewEvent};
use chasqui_store::request::{Request as Once, idempotent};
use chasqui_store::ticket::{self as store, Ticket};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::{Service, begin, convert, record};
use crate::auth::Person;
use crate::error::{Failure, not_found};
use crate::rpc::check::id;
use crate::rpc::order;
use crate::rpc::wire::answer;

impl Service {
    /// One change: the same way for all of them. `decide` makes the events out of the ticket as it stands.
    pub(super) async fn change(
        &self,
        who: Person,
        once: Once,
        (ticket_id, expected_version): (String, u64),
        decide: impl Fn(&mut Tx, &Ticket) -> Result<Vec<Decided>, Failure> + Send + 'static,
    ) -> Result<v1::Ticket, Status> {
        let ticket_id: TicketId = id("ticket_id", &ticket_id)?;
        let now_ms = once.at_ms;
        let kept = self
            .0
            .store
            .write(move |tx| {
                idempotent(tx, &once, |tx| {
                    let ticket = visible(tx, &who, &ticket_id.to_string())?;
                    if expected_version != 0 && expected_version != ticket.version {
                        return Err(Failure::from(changed(&ticket)));
                    }
                    let events = decide(tx, &ticket)?;
                    let changed = store_change(tx, &who, ticket, &events, now_ms)?;
                    Ok::<_, Failure>(convert::ticket(&changed).encode_to_vec())
                })
            })
            .await?;
        fault_point!("server.ticket.changed");
        answer(&kept.response)
    }
}

/// What was decided: an event of the rules and, beside it, the service a ticket was put under.
pub struct Decided {
    /// What happened, for the rules.
    pub event: Event,
    /// Only with a classification.
    pub service: Option<String>,
}

impl From<Event> for Decided {
    fn from(event: Event) -> Self {
        Self {
            event,
            service: None,
        }
    }
}

/// Applies events to a ticket by the rules, writes the row and the record.
fn store_change(
    tx: &mut Tx,
    who: &Person,
    ticket: Ticket,
    events: &[Decided],
    now_ms: i64,
) -> Result<Ticket, Failure> {
    let mut state = record::state_of(&ticket)?;
    let mut service = None;
    for decided in events {
        may(decided.event.action(Some(who.id)), actor(who, &ticket))?;
        state = apply(state, &decided.event)?;
        service = decided.service.clone().or(service);
    }
    let change = record::change_of(&ticket, &state, service.as_deref(), now_ms);
    if !store::update(tx, &ticket.id, ticket.version, &change, now_ms)? {
        return Err(changed(&ticket).into());
    }
    // Each event tells the state it led to, so the last one tells the row's.
    let mut replayed = record::state_of(&ticket)?;
    for decided in events {
        replayed = apply(replayed, &decided.event)?;
        let more: Vec<_> = decided
            .service
            .iter()
            .map(|service| ("service", service.as_str().into()))
            .collect();
        append(
            tx,
            &ticket.id,
            &who.id.to_string(),
            decided,
            &more,
            replayed.state.as_str(),
            now_ms,
        )?;
    }
    let after = store::by_id(tx, &ticket.id)?.ok_or_else(|| not_found("ticket", &ticket.id))?;
    if ticket.state.is_open() && !after.state.is_open() {
        order::ticket_over(tx, &ticket.id, &who.id.to_string(), now_ms)?;
    }
    Ok(after)
}

/// Appends an event of a ticket; `more` are facts the domain's event has no place for.
pub fn append(
    tx: &mut Tx,
    ticket_id: &str,
    actor: &str,
    decided: &Decided,
    more: &[(&str, serde_json::Value)],
    state: &str,
    now_ms: i64,
) -> Result<event::Event, Failure> {
    let recorded = record::write(&decided.event, more)?;
    Ok(event::append(
        tx,
        NewEvent {
            subject_kind: "ticket",
            subject_id: ticket_id,
            part: None,
            kind: &recorded.kind,
            actor,
            at_ms: now_ms,
            state: Some(state),
            data: recorded.data,
            personal: recorded.personal.as_deref(),
        },
    )?)
}

/// The ticket by id, if this person may see it; one they may not see does not exist for them.
pub fn visible(tx: &mut Tx, who: &Person, ticket_id: &str) -> Result<Ticket, Failure> {
    let ticket = store::by_id(tx, ticket_id)?.ok_or_else(|| not_found("ticket", ticket_id))?;
    if may_view(actor(who, &ticket)) {
        Ok(ticket)
    } else {
        Err(not_found("ticket", ticket_id).into())
    }
}

/// Who acts, seen from this ticket.
pub fn actor(who: &Person, ticket: &Ticket) -> Actor {
    let me = who.id.to_string();
    Actor::Person {
        roles: who.roles,
        is_requester: ticket.requester_id == me,
        is_assignee: ticket.assignee_id.as_deref() == Some(me.as_str()),
    }
}

/// ABORTED: the ticket is not what the caller saw.
fn changed(ticket: &Ticket) -> Status {
    let version = ticket.version.to_string();
    status(
        Code::Aborted,
        "TICKET_CHANGED",
        format!(
            "ticket {} was changed meanwhile (version {version}): look at it again",
            ticket.number
        ),
        &[("ticket", &ticket.id), ("version", &version)],
    )
}

/// A person a request names.
pub fn known_person(
    tx: &mut Tx,
    field: &str,
    id: PersonId,
) -> Result<store::TicketPerson, Failure> {
    store::person(tx, &id.to_string())?
        .ok_or_else(|| bad_field(field, format!("no person {id}: check the id")).into())
}

/// Says something on a ticket. It changes nothing, so two people may comment at once.
pub async fn comment(
    service: &Service,
    request: Request<v1::CommentTicketRequest>,
) -> Result<Response<v1::CommentTicketResponse>, Status> {
    let (who, body, once) = begin(request, "TicketService/CommentTicket", |body| {
        &mut body.request_id
    })?;
    let now_ms = once.at_ms;
    let ticket_id: TicketId = id("ticket_id", &body.ticket_id)?;
    let text = Body::parse_required("text", &body.text).map_err(Failure::from)?;
    let kept = service
        .0
        .store
        .write(move |tx| {
            idempotent(tx, &once, |tx| {
                let ticket = visible(tx, &who, &ticket_id.to_string())?;
                let event = Event::Commented {
                    text: text.clone(),
                    internal: false,
                };
                may(event.action(Some(who.id)), actor(&who, &ticket))?;
                // A comment changes nothing, so it makes no new version: two people may comment at once.
                let me = who.id.to_string();
                let stored = append(
                    tx,
                    &ticket.id,
                    &me,
                    &event.into(),
                    &[],
                    ticket.state.as_str(),
                    now_ms,
                )?;
                let entry = v1::TimelineEntry {
                    id: stored.id,
                    at_ms: stored.at_ms,
                    kind: stored.kind,
                    actor_id: me,
                    actor_name: who.name.clone(),
                    text: Some(v1::Text {
                        es: "Comentario".to_owned(),
                        en: "Comment".to_owned(),
                    }),
                    order_id: String::new(),
                    body: text.as_str().to_owned(),
                };
                Ok::<_, Failure>(entry.encode_to_vec())
            })
        })
        .await?;
    fault_point!("server.ticket.commented");
    Ok(Response::new(v1::CommentTicketResponse {
        entry: Some(answer(&kept.response)?),
    }))
}
