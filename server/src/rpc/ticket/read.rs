//! Shows tickets and what happened to them, to those who may see them.

use chasqui_domain::ids::{DeviceId, PersonId, TicketId};
use chasqui_domain::search::fold;
use chasqui_domain::ticket::{Actor, TicketNumber, may_view};
use chasqui_proto::error::bad_field;
use chasqui_proto::v1;
use chasqui_store::Tx;
use chasqui_store::ticket::{self as store, TicketQuery};
use tonic::{Request, Response, Status};

use super::change::{actor, visible};
use super::{SYSTEM, Service, convert, record, timeline as words};
use crate::auth::{Person, person};
use crate::error::{Failure, denied, not_found};
use crate::rpc::check::id;
use crate::rpc::wire::optional_id;
use crate::rpc::{keyset, page};

/// One ticket, by id or number.
pub async fn get(
    service: &Service,
    request: Request<v1::GetTicketRequest>,
) -> Result<Response<v1::GetTicketResponse>, Status> {
    let who = person(&request)?;
    let name = request.into_inner().ticket;
    let ticket = service
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

/// A page of tickets; a requester sees their own.
pub async fn list(
    service: &Service,
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
            convert::state(*state).ok_or_else(|| bad_field("states", "names no state of a ticket"))
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
    let mut tickets = service
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

/// A page of what happened, with the orders made for the ticket.
pub async fn timeline(
    service: &Service,
    request: Request<v1::ListTimelineRequest>,
) -> Result<Response<v1::ListTimelineResponse>, Status> {
    let who = person(&request)?;
    let body = request.into_inner();
    let ticket_id: TicketId = id("ticket_id", &body.ticket_id)?;
    let page = page(&body.page, "ListTimeline", &ticket_id.to_string())?;
    let (after, limit) = (keyset::after(&page)?, page.limit());
    let mut entries = service
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
    let text = words::text(&row.kind, &data, personal.as_ref(), &named);
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

/// True for those who see tickets of others.
fn sees_all(who: &Person) -> bool {
    may_view(Actor::Person {
        roles: who.roles,
        is_requester: false,
        is_assignee: false,
    })
}

fn text_of<T: ToString>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
