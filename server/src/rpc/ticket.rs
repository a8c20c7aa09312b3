//! Tickets: reads the request, asks the rules, stores what they say together with its event, answers. Which change is
//! possible is `chasqui_domain::ticket`'s; who may call at all is the role table's.

mod change;
mod convert;
mod create;
mod read;
mod record;
mod replay;
mod timeline;

use chasqui_base::clock::now_ms;
use chasqui_domain::ids::PersonId;
use chasqui_domain::role::Role;
use chasqui_domain::ticket::{Body, Event, Reason};
use chasqui_proto::error::bad_field;
use chasqui_proto::v1;
use chasqui_store::request::Request as Once;
use prost::Message;
use tonic::{Request, Response, Status};

use self::change::{Decided, known_person};
use super::check::id;
use super::request_key;
use crate::auth::{Person, person};
use crate::context::Context;
use crate::error::Failure;

pub use replay::check_replay;

/// Those who work on tickets.
const STAFF: [Role; 3] = [Role::Technician, Role::Lead, Role::Coordinator];

/// The actor of what happens by itself.
pub const SYSTEM: &str = "system";

/// The service.
#[derive(Clone)]
pub struct Service(pub Context);

/// What every change begins with: who calls, what they say, and what makes it one and the same when repeated.
fn begin<M: Message + Clone>(
    request: Request<M>,
    method: &str,
    id_of: impl Fn(&mut M) -> &mut String,
) -> Result<(Person, M, Once), Status> {
    let who = person(&request)?;
    let body = request.into_inner();
    let once = request_key(&who.id.to_string(), method, &body, id_of, now_ms())?;
    Ok((who, body, once))
}

#[tonic::async_trait]
impl v1::ticket_service_server::TicketService for Service {
    async fn create_ticket(
        &self,
        request: Request<v1::CreateTicketRequest>,
    ) -> Result<Response<v1::CreateTicketResponse>, Status> {
        create::create(self, request).await
    }

    async fn get_ticket(
        &self,
        request: Request<v1::GetTicketRequest>,
    ) -> Result<Response<v1::GetTicketResponse>, Status> {
        read::get(self, request).await
    }

    async fn list_tickets(
        &self,
        request: Request<v1::ListTicketsRequest>,
    ) -> Result<Response<v1::ListTicketsResponse>, Status> {
        read::list(self, request).await
    }

    async fn classify_ticket(
        &self,
        request: Request<v1::ClassifyTicketRequest>,
    ) -> Result<Response<v1::ClassifyTicketResponse>, Status> {
        let (who, body, once) = begin(request, "TicketService/ClassifyTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/AssignTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/StartTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/HoldTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/ResumeTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/SolveTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/ApproveSolution", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/RejectSolution", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/CloseTicket", |body| {
            &mut body.request_id
        })?;
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
        let (who, body, once) = begin(request, "TicketService/CancelTicket", |body| {
            &mut body.request_id
        })?;
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
        change::comment(self, request).await
    }

    async fn list_timeline(
        &self,
        request: Request<v1::ListTimelineRequest>,
    ) -> Result<Response<v1::ListTimelineResponse>, Status> {
        read::timeline(self, request).await
    }
}
