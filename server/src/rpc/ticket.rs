//! Tickets: reads the request, asks the rules, stores what they say together with its event, answers. Which change is
//! possible is `chasqui_domain::ticket`'s; who may call at all is the role table's.

mod convert;
mod record;
mod replay;
mod timeline;

use chasqui_base::clock::{new_id, now_ms};
use chasqui_base::fault_point;
use chasqui_domain::ids::{DeviceId, PersonId, TicketId};
use chasqui_domain::role::Role;
use chasqui_domain::search::fold;
use chasqui_domain::ticket::{
    Actor, Body, Event, Kind, Level, Reason, TicketNumber, Title, apply, may, may_view,
};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1;
use chasqui_store::event::{self, NewEvent};
use chasqui_store::request::{Request as Once, idempotent};
use chasqui_store::ticket::{NewTicket, Ticket, TicketQuery};
use chasqui_store::{Tx, ticket as store};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::check::id;
use super::wire::{answer, optional_id};
use super::{keyset, page, request_key};
use crate::auth::{Person, person};
use crate::context::Context;
use crate::error::{Failure, denied, not_found};

pub use replay::check_replay;

/// Those who work on tickets.
const STAFF: [Role; 3] = [Role::Technician, Role::Lead, Role::Coordinator];

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

impl Service {
    /// One change: the same way for all of them. `decide` makes the events out of the ticket as it stands.
    async fn change(
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
struct Decided {
    event: Event,
    service: Option<String>,
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
    store::by_id(tx, &ticket.id)?.ok_or_else(|| not_found("ticket", &ticket.id).into())
}

fn append(
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
fn visible(tx: &mut Tx, who: &Person, ticket_id: &str) -> Result<Ticket, Failure> {
    let ticket = store::by_id(tx, ticket_id)?.ok_or_else(|| not_found("ticket", ticket_id))?;
    if may_view(actor(who, &ticket)) {
        Ok(ticket)
    } else {
        Err(not_found("ticket", ticket_id).into())
    }
}

fn actor(who: &Person, ticket: &Ticket) -> Actor {
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

/// True for those who see tickets of others.
fn sees_all(who: &Person) -> bool {
    may_view(Actor::Person {
        roles: who.roles,
        is_requester: false,
        is_assignee: false,
    })
}

#[tonic::async_trait]
impl v1::ticket_service_server::TicketService for Service {
    async fn create_ticket(
        &self,
        request: Request<v1::CreateTicketRequest>,
    ) -> Result<Response<v1::CreateTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let now_ms = now_ms();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/CreateTicket",
            &body,
            |body| &mut body.request_id,
            now_ms,
        )?;
        let title = Title::parse(&body.title).map_err(Failure::from)?;
        let description = Body::parse("description", &body.description).map_err(Failure::from)?;
        let device: Option<DeviceId> = optional_id("device_id", &body.device_id)?;
        let requester: PersonId =
            optional_id("requester_id", &body.requester_id)?.unwrap_or(who.id);
        if requester != who.id && !who.roles.has_any(&STAFF) {
            return Err(denied(
                "TICKET_PERMISSION",
                "only the help desk's staff registers tickets for others: leave requester_id empty",
            ));
        }
        let registered = Event::Registered {
            kind: Kind::Incident,
            title: title.clone(),
            description: description.clone(),
            requester,
            urgency: Level::MEDIUM,
            device,
        };
        let own = Actor::Person {
            roles: who.roles,
            is_requester: requester == who.id,
            is_assignee: false,
        };
        may(registered.action(Some(who.id)), own).map_err(Failure::from)?;
        let ticket_id = new_id().to_string();
        let kept = self
            .0
            .store
            .write(move |tx| {
                idempotent(tx, &once, |tx| {
                    if requester != who.id {
                        known_person(tx, "requester_id", requester)?;
                    }
                    if let Some(device) = device {
                        let device = device.to_string();
                        store::device(tx, &device)?.ok_or_else(|| not_found("device", &device))?;
                    }
                    let year = chasqui_domain::calendar::year_of(now_ms)
                        .ok_or_else(|| crate::error::internal("clock", &"outside the calendar"))?;
                    let serial = store::next_serial(tx, year)?;
                    let number = TicketNumber::new(year, serial)?.to_string();
                    store::insert(
                        tx,
                        &NewTicket {
                            id: &ticket_id,
                            number: &number,
                            year,
                            serial,
                            title: title.as_str(),
                            description: description.as_str(),
                            requester_id: &requester.to_string(),
                            device_id: device.map(|device| device.to_string()).as_deref(),
                            now_ms,
                            search_key: &fold(title.as_str()),
                        },
                    )?;
                    let decided = Decided::from(registered.clone());
                    let more = [("number", number.as_str().into())];
                    append(
                        tx,
                        &ticket_id,
                        &who.id.to_string(),
                        &decided,
                        &more,
                        "registered",
                        now_ms,
                    )?;
                    let ticket = store::by_id(tx, &ticket_id)?
                        .ok_or_else(|| not_found("ticket", &ticket_id))?;
                    Ok::<_, Failure>(convert::ticket(&ticket).encode_to_vec())
                })
            })
            .await?;
        fault_point!("server.ticket.created");
        Ok(Response::new(v1::CreateTicketResponse {
            ticket: Some(answer(&kept.response)?),
        }))
    }

    async fn get_ticket(
        &self,
        request: Request<v1::GetTicketRequest>,
    ) -> Result<Response<v1::GetTicketResponse>, Status> {
        let who = person(&request)?;
        let name = request.into_inner().ticket;
        let ticket = self
            .0
            .store
            .read(move |tx| {
                let found = match (name.parse::<TicketId>(), name.parse::<TicketNumber>()) {
                    (Ok(id), _) => store::by_id(tx, &id.to_string())?,
                    (_, Ok(number)) => store::by_number(tx, &number.to_string())?,
                    _ => None,
                };
                found
                    .filter(|ticket| may_view(actor(&who, ticket)))
                    .ok_or_else(|| Failure::from(not_found("ticket", &name)))
            })
            .await?;
        Ok(Response::new(v1::GetTicketResponse {
            ticket: Some(convert::ticket(&ticket)),
        }))
    }

    async fn list_tickets(
        &self,
        request: Request<v1::ListTicketsRequest>,
    ) -> Result<Response<v1::ListTicketsResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let mut requester_id = optional_id::<PersonId>("requester_id", &body.requester_id)?;
        if !sees_all(&who) {
            if requester_id.is_some_and(|asked| asked != who.id) {
                return Err(denied(
                    "TICKET_PERMISSION",
                    "you see your own tickets: leave requester_id empty",
                ));
            }
            requester_id = Some(who.id);
        }
        if body.text.chars().count() > 200 {
            return Err(bad_field("text", "is over 200 characters: shorten it"));
        }
        let states = body
            .states
            .iter()
            .map(|state| {
                convert::state(*state)
                    .ok_or_else(|| bad_field("states", "names no state of a ticket"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut query = TicketQuery {
            states,
            assignee_id: text_of(optional_id::<PersonId>("assignee_id", &body.assignee_id)?),
            requester_id: text_of(requester_id),
            device_id: text_of(optional_id::<DeviceId>("device_id", &body.device_id)?),
            text: fold(&body.text),
            after: None,
            limit: 0,
        };
        let page = page(&body.page, "ListTickets", &format!("{query:?}"))?;
        query.limit = page.limit();
        query.after = keyset::after(&page)?;
        let mut tickets = self
            .0
            .store
            .read(move |tx| store::list(tx, &query).map_err(Failure::from))
            .await?;
        let info = page.cut(&mut tickets, |ticket| {
            keyset::key(ticket.created_at_ms, &ticket.id)
        });
        Ok(Response::new(v1::ListTicketsResponse {
            tickets: tickets.iter().map(convert::ticket).collect(),
            page: Some(info),
        }))
    }

    async fn classify_ticket(
        &self,
        request: Request<v1::ClassifyTicketRequest>,
    ) -> Result<Response<v1::ClassifyTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/ClassifyTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let kind = convert::kind(body.kind)
            .ok_or_else(|| bad_field("kind", "use incident, request or maintenance"))?;
        let urgency = convert::level("urgency", body.urgency)?;
        let impact = convert::level("impact", body.impact)?;
        let service = convert::service(&body.service)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    let event = Event::Classified {
                        kind,
                        category: None,
                        urgency,
                        impact,
                    };
                    Ok(vec![Decided {
                        event,
                        service: Some(service.clone()),
                    }])
                },
            )
            .await?;
        Ok(Response::new(v1::ClassifyTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn assign_ticket(
        &self,
        request: Request<v1::AssignTicketRequest>,
    ) -> Result<Response<v1::AssignTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/AssignTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let assignee: PersonId = id("assignee_id", &body.assignee_id)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |tx, _| {
                    let person = known_person(tx, "assignee_id", assignee)?;
                    if person.disabled || !person.roles.has_any(&STAFF) {
                        return Err(bad_field(
                            "assignee_id",
                            "is nobody who attends tickets: choose a technician",
                        )
                        .into());
                    }
                    Ok(vec![
                        Event::Assigned {
                            assignee,
                            group: None,
                        }
                        .into(),
                    ])
                },
            )
            .await?;
        Ok(Response::new(v1::AssignTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn start_ticket(
        &self,
        request: Request<v1::StartTicketRequest>,
    ) -> Result<Response<v1::StartTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/StartTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                |_, _| Ok(vec![Event::Started.into()]),
            )
            .await?;
        Ok(Response::new(v1::StartTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn hold_ticket(
        &self,
        request: Request<v1::HoldTicketRequest>,
    ) -> Result<Response<v1::HoldTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/HoldTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let reason = Reason::parse(&body.reason).map_err(Failure::from)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    Ok(vec![
                        Event::Held {
                            reason: reason.clone(),
                        }
                        .into(),
                    ])
                },
            )
            .await?;
        Ok(Response::new(v1::HoldTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn resume_ticket(
        &self,
        request: Request<v1::ResumeTicketRequest>,
    ) -> Result<Response<v1::ResumeTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/ResumeTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                |_, _| Ok(vec![Event::Resumed.into()]),
            )
            .await?;
        Ok(Response::new(v1::ResumeTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn solve_ticket(
        &self,
        request: Request<v1::SolveTicketRequest>,
    ) -> Result<Response<v1::SolveTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/SolveTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let solution = Body::parse_required("solution", &body.solution).map_err(Failure::from)?;
        if solution.as_str().chars().count() < 3 {
            return Err(bad_field(
                "solution",
                "says too little: at least 3 characters",
            ));
        }
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    Ok(vec![
                        Event::SolutionProposed {
                            solution: solution.clone(),
                        }
                        .into(),
                    ])
                },
            )
            .await?;
        Ok(Response::new(v1::SolveTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn approve_solution(
        &self,
        request: Request<v1::ApproveSolutionRequest>,
    ) -> Result<Response<v1::ApproveSolutionResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/ApproveSolution",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let comment = Body::parse("comment", &body.comment).map_err(Failure::from)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    let mut events = Vec::new();
                    if !comment.as_str().is_empty() {
                        events.push(
                            Event::Commented {
                                text: comment.clone(),
                                internal: false,
                            }
                            .into(),
                        );
                    }
                    events.push(Event::SolutionApproved.into());
                    Ok(events)
                },
            )
            .await?;
        Ok(Response::new(v1::ApproveSolutionResponse {
            ticket: Some(ticket),
        }))
    }

    async fn reject_solution(
        &self,
        request: Request<v1::RejectSolutionRequest>,
    ) -> Result<Response<v1::RejectSolutionResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/RejectSolution",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let reason = Reason::parse(&body.reason).map_err(Failure::from)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    Ok(vec![
                        Event::SolutionRejected {
                            reason: reason.clone(),
                        }
                        .into(),
                    ])
                },
            )
            .await?;
        Ok(Response::new(v1::RejectSolutionResponse {
            ticket: Some(ticket),
        }))
    }

    async fn close_ticket(
        &self,
        request: Request<v1::CloseTicketRequest>,
    ) -> Result<Response<v1::CloseTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/CloseTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let reason = Reason::parse(&body.reason).map_err(Failure::from)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    Ok(vec![
                        Event::ClosedByLead {
                            reason: reason.clone(),
                        }
                        .into(),
                    ])
                },
            )
            .await?;
        Ok(Response::new(v1::CloseTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn cancel_ticket(
        &self,
        request: Request<v1::CancelTicketRequest>,
    ) -> Result<Response<v1::CancelTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/CancelTicket",
            &body,
            |body| &mut body.request_id,
            now_ms(),
        )?;
        let reason = Reason::parse(&body.reason).map_err(Failure::from)?;
        let ticket = self
            .change(
                who,
                once,
                (body.ticket_id, body.expected_version),
                move |_, _| {
                    Ok(vec![
                        Event::Cancelled {
                            reason: reason.clone(),
                        }
                        .into(),
                    ])
                },
            )
            .await?;
        Ok(Response::new(v1::CancelTicketResponse {
            ticket: Some(ticket),
        }))
    }

    async fn comment_ticket(
        &self,
        request: Request<v1::CommentTicketRequest>,
    ) -> Result<Response<v1::CommentTicketResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let now_ms = now_ms();
        let once = request_key(
            &who.id.to_string(),
            "TicketService/CommentTicket",
            &body,
            |body| &mut body.request_id,
            now_ms,
        )?;
        let ticket_id: TicketId = id("ticket_id", &body.ticket_id)?;
        let text = Body::parse_required("text", &body.text).map_err(Failure::from)?;
        let kept = self
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

    async fn list_timeline(
        &self,
        request: Request<v1::ListTimelineRequest>,
    ) -> Result<Response<v1::ListTimelineResponse>, Status> {
        let who = person(&request)?;
        let body = request.into_inner();
        let ticket_id: TicketId = id("ticket_id", &body.ticket_id)?;
        let page = page(&body.page, "ListTimeline", &ticket_id.to_string())?;
        let (after, limit) = (keyset::after(&page)?, page.limit());
        let mut entries = self
            .0
            .store
            .read(move |tx| {
                let ticket = visible(tx, &who, &ticket_id.to_string())?;
                let rows = store::timeline(tx, &ticket.id, after.clone(), limit)?;
                rows.into_iter()
                    .map(|row| entry(tx, row))
                    .collect::<Result<Vec<_>, Failure>>()
            })
            .await?;
        let info = page.cut(&mut entries, |entry: &v1::TimelineEntry| {
            keyset::key(entry.at_ms, &entry.id)
        });
        Ok(Response::new(v1::ListTimelineResponse {
            entries,
            page: Some(info),
        }))
    }
}

fn entry(tx: &mut Tx, row: store::TimelineRow) -> Result<v1::TimelineEntry, Failure> {
    let data: serde_json::Value = serde_json::from_str(&row.data).unwrap_or_default();
    let personal: Option<serde_json::Value> = row
        .personal
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    let named = match data.get("assignee").and_then(serde_json::Value::as_str) {
        Some(id) => store::person(tx, id)?.map_or_else(|| id.to_owned(), |person| person.name),
        None => String::new(),
    };
    let text = timeline::text(&row.kind, &data, personal.as_ref(), &named);
    Ok(v1::TimelineEntry {
        id: row.id,
        at_ms: row.at_ms,
        kind: row.kind,
        actor_name: if row.actor == SYSTEM {
            "chasqui".to_owned()
        } else {
            row.actor_name
        },
        actor_id: if row.actor == SYSTEM {
            String::new()
        } else {
            row.actor
        },
        text: Some(v1::Text {
            es: text.es,
            en: text.en,
        }),
        order_id: if row.subject_kind == "order" {
            row.subject_id
        } else {
            String::new()
        },
        body: record::body(row.personal.as_deref()),
    })
}

/// The actor of what happens by itself.
pub const SYSTEM: &str = "system";

fn known_person(tx: &mut Tx, field: &str, id: PersonId) -> Result<store::TicketPerson, Failure> {
    store::person(tx, &id.to_string())?
        .ok_or_else(|| bad_field(field, format!("no person {id}: check the id")).into())
}

fn text_of<T: ToString>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
