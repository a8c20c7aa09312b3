//! Registers a ticket.

use chasqui_base::clock::new_id;
use chasqui_base::fault_point;
use chasqui_domain::ids::{DeviceId, PersonId};
use chasqui_domain::search::fold;
use chasqui_domain::ticket::{Actor, Body, Event, Kind, Level, TicketNumber, Title, may};
use chasqui_proto::v1;
use chasqui_store::request::idempotent;
use chasqui_store::ticket::{self as store, NewTicket};
use prost::Message;
use tonic::{Request, Response, Status};

use super::change::{Decided, append, known_person};
use super::{STAFF, Service, begin, convert};
use crate::error::{Failure, denied, not_found};
use crate::rpc::wire::{answer, optional_id};

/// Registers a ticket, for oneself or, by the help desk, for another.
pub async fn create(
    service: &Service,
    request: Request<v1::CreateTicketRequest>,
) -> Result<Response<v1::CreateTicketResponse>, Status> {
    let (who, body, once) = begin(request, "TicketService/CreateTicket", |body| {
        &mut body.request_id
    })?;
    let now_ms = once.at_ms;
    let title = Title::parse(&body.title).map_err(Failure::from)?;
    let description = Body::parse("description", &body.description).map_err(Failure::from)?;
    let device: Option<DeviceId> = optional_id("device_id", &body.device_id)?;
    let requester: PersonId = optional_id("requester_id", &body.requester_id)?.unwrap_or(who.id);
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
    let kept = service
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
                let ticket =
                    store::by_id(tx, &ticket_id)?.ok_or_else(|| not_found("ticket", &ticket_id))?;
                Ok::<_, Failure>(convert::ticket(&ticket).encode_to_vec())
            })
        })
        .await?;
    fault_point!("server.ticket.created");
    Ok(Response::new(v1::CreateTicketResponse {
        ticket: Some(answer(&kept.response)?),
    }))
}
