//! `ticket …`: what people ask of the help desk. The coordinator decides what is allowed; this only asks and shows.

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::{TicketCommand, TicketKindName, TicketStateName};
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Screen, Tone, clean, clean_block, enum_name};
use crate::{device, input, person};

/// Pages of a timeline read at most.
const MAX_PAGES: usize = 200;

/// One change of a ticket: the request with its id made once, the same on every try.
macro_rules! change {
    ($client:expr, $method:ident, $request:expr) => {{
        let request = $request;
        let answer = call(|| {
            let (mut tickets, request) = ($client.tickets(), request.clone());
            async move { tickets.$method(request).await }
        })
        .await?;
        answer.ticket.unwrap_or_default()
    }};
}

pub async fn run(context: &Context, command: TicketCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let screen = &context.screen;
    let ticket = match command {
        TicketCommand::New {
            title,
            description,
            device,
            requester,
        } => {
            let device_id = match device {
                Some(device) => device::get(&client, &device).await?.id,
                None => String::new(),
            };
            let requester_id = match requester {
                Some(requester) => person::resolve(&client, &requester).await?,
                None => String::new(),
            };
            create(&client, &title, &description, &device_id, &requester_id).await?
        }
        TicketCommand::List {
            states,
            assignee,
            requester,
            device,
            text,
            page,
        } => {
            let who = async |name: Option<String>| match name {
                Some(name) => person::resolve(&client, &name).await,
                None => Ok(String::new()),
            };
            let request = v1::ListTicketsRequest {
                page: Some(v1::PageRequest {
                    page_size: page.limit,
                    page_token: page.page,
                }),
                states: states.into_iter().map(|s| state_of(s) as i32).collect(),
                assignee_id: who(assignee).await?,
                requester_id: who(requester).await?,
                device_id: match device {
                    Some(device) => device::get(&client, &device).await?.id,
                    None => String::new(),
                },
                text,
            };
            let answer = call(|| {
                let (mut tickets, request) = (client.tickets(), request.clone());
                async move { tickets.list_tickets(request).await }
            })
            .await?;
            let next = answer.page.unwrap_or_default().next_page_token;
            let value = json!({
                "tickets": answer.tickets.iter().map(ticket_json).collect::<Vec<_>>(),
                "next_page": next,
            });
            screen.show(&value, |s| {
                format!("{}{}", table(s, &answer.tickets), more(s, &next))
            });
            return Ok(());
        }
        TicketCommand::Show { ticket } => {
            let ticket = get(&client, &ticket).await?;
            let entries = timeline(&client, &ticket.id).await?;
            let mut value = ticket_json(&ticket);
            if let Some(object) = value.as_object_mut() {
                let entries = entries.iter().map(entry_json).collect();
                object.insert("timeline".to_owned(), Value::Array(entries));
            }
            screen.show(&value, |s| render(s, &ticket, &entries));
            return Ok(());
        }
        TicketCommand::Comment { ticket, text } => {
            let request = v1::CommentTicketRequest {
                request_id: input::request_id(),
                ticket_id: get(&client, &ticket).await?.id,
                text,
            };
            let answer = call(|| {
                let (mut tickets, request) = (client.tickets(), request.clone());
                async move { tickets.comment_ticket(request).await }
            })
            .await?;
            let entry = answer.entry.unwrap_or_default();
            screen.show(&entry_json(&entry), |s| entry_text(s, &entry));
            return Ok(());
        }
        TicketCommand::Classify {
            ticket,
            kind,
            service,
            urgency,
            impact,
        } => {
            let id = get(&client, &ticket).await?.id;
            classify(&client, &id, kind, &service, urgency, impact).await?
        }
        TicketCommand::Assign { ticket, to } => {
            let id = get(&client, &ticket).await?.id;
            let assignee = person::resolve(&client, &to).await?;
            assign(&client, &id, &assignee).await?
        }
        TicketCommand::Start { ticket } => {
            let id = get(&client, &ticket).await?.id;
            start(&client, &id).await?
        }
        TicketCommand::Hold { ticket, reason } => change!(
            client,
            hold_ticket,
            v1::HoldTicketRequest {
                request_id: input::request_id(),
                ticket_id: get(&client, &ticket).await?.id,
                expected_version: 0,
                reason,
            }
        ),
        TicketCommand::Resume { ticket } => change!(
            client,
            resume_ticket,
            v1::ResumeTicketRequest {
                request_id: input::request_id(),
                ticket_id: get(&client, &ticket).await?.id,
                expected_version: 0,
            }
        ),
        TicketCommand::Solve { ticket, solution } => {
            let id = get(&client, &ticket).await?.id;
            solve(&client, &id, &solution).await?
        }
        TicketCommand::Approve { ticket, comment } => {
            let id = get(&client, &ticket).await?.id;
            approve(&client, &id, &comment).await?
        }
        TicketCommand::Reject { ticket, reason } => change!(
            client,
            reject_solution,
            v1::RejectSolutionRequest {
                request_id: input::request_id(),
                ticket_id: get(&client, &ticket).await?.id,
                expected_version: 0,
                reason,
            }
        ),
        TicketCommand::Close { ticket, reason } => change!(
            client,
            close_ticket,
            v1::CloseTicketRequest {
                request_id: input::request_id(),
                ticket_id: get(&client, &ticket).await?.id,
                expected_version: 0,
                reason,
            }
        ),
        TicketCommand::Cancel { ticket, reason } => change!(
            client,
            cancel_ticket,
            v1::CancelTicketRequest {
                request_id: input::request_id(),
                ticket_id: get(&client, &ticket).await?.id,
                expected_version: 0,
                reason,
            }
        ),
    };
    screen.show(&ticket_json(&ticket), |s| line(s, &ticket));
    Ok(())
}

/// By id or number.
pub async fn get(client: &Client, ticket: &str) -> Outcome<v1::Ticket> {
    let request = v1::GetTicketRequest {
        ticket: ticket.to_owned(),
    };
    let answer = call(|| {
        let (mut tickets, request) = (client.tickets(), request.clone());
        async move { tickets.get_ticket(request).await }
    })
    .await?;
    Ok(answer.ticket.unwrap_or_default())
}

/// Registers a ticket; empty ids mean no device and oneself.
pub async fn create(
    client: &Client,
    title: &str,
    description: &str,
    device_id: &str,
    requester_id: &str,
) -> Outcome<v1::Ticket> {
    Ok(change!(
        client,
        create_ticket,
        v1::CreateTicketRequest {
            request_id: input::request_id(),
            title: title.to_owned(),
            description: description.to_owned(),
            device_id: device_id.to_owned(),
            requester_id: requester_id.to_owned(),
        }
    ))
}

/// By the lead.
pub async fn classify(
    client: &Client,
    ticket_id: &str,
    kind: TicketKindName,
    service: &str,
    urgency: u32,
    impact: u32,
) -> Outcome<v1::Ticket> {
    let kind = match kind {
        TicketKindName::Incident => v1::TicketKind::Incident,
        TicketKindName::Request => v1::TicketKind::Request,
        TicketKindName::Maintenance => v1::TicketKind::Maintenance,
    };
    Ok(change!(
        client,
        classify_ticket,
        v1::ClassifyTicketRequest {
            request_id: input::request_id(),
            ticket_id: ticket_id.to_owned(),
            expected_version: 0,
            kind: kind as i32,
            service: service.to_owned(),
            urgency,
            impact,
        }
    ))
}

pub async fn assign(client: &Client, ticket_id: &str, assignee_id: &str) -> Outcome<v1::Ticket> {
    Ok(change!(
        client,
        assign_ticket,
        v1::AssignTicketRequest {
            request_id: input::request_id(),
            ticket_id: ticket_id.to_owned(),
            expected_version: 0,
            assignee_id: assignee_id.to_owned(),
        }
    ))
}

pub async fn start(client: &Client, ticket_id: &str) -> Outcome<v1::Ticket> {
    Ok(change!(
        client,
        start_ticket,
        v1::StartTicketRequest {
            request_id: input::request_id(),
            ticket_id: ticket_id.to_owned(),
            expected_version: 0,
        }
    ))
}

pub async fn solve(client: &Client, ticket_id: &str, solution: &str) -> Outcome<v1::Ticket> {
    Ok(change!(
        client,
        solve_ticket,
        v1::SolveTicketRequest {
            request_id: input::request_id(),
            ticket_id: ticket_id.to_owned(),
            expected_version: 0,
            solution: solution.to_owned(),
        }
    ))
}

pub async fn approve(client: &Client, ticket_id: &str, comment: &str) -> Outcome<v1::Ticket> {
    Ok(change!(
        client,
        approve_solution,
        v1::ApproveSolutionRequest {
            request_id: input::request_id(),
            ticket_id: ticket_id.to_owned(),
            expected_version: 0,
            comment: comment.to_owned(),
        }
    ))
}

/// The whole timeline, oldest first.
pub async fn timeline(client: &Client, ticket_id: &str) -> Outcome<Vec<v1::TimelineEntry>> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        let request = v1::ListTimelineRequest {
            ticket_id: ticket_id.to_owned(),
            page: Some(v1::PageRequest {
                page_size: 500,
                page_token,
            }),
        };
        let answer = call(|| {
            let (mut tickets, request) = (client.tickets(), request.clone());
            async move { tickets.list_timeline(request).await }
        })
        .await?;
        found.extend(answer.entries);
        page_token = answer.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// A line that says how to go on with a list; empty at its end.
pub fn more(screen: &Screen, next: &str) -> String {
    if next.is_empty() {
        String::new()
    } else {
        format!(
            "\n{} --page {next}",
            screen.say("hay más:", "there is more:")
        )
    }
}

fn state_of(state: TicketStateName) -> v1::TicketState {
    match state {
        TicketStateName::Registered => v1::TicketState::Registered,
        TicketStateName::Classified => v1::TicketState::Classified,
        TicketStateName::Assigned => v1::TicketState::Assigned,
        TicketStateName::InProgress => v1::TicketState::InProgress,
        TicketStateName::OnHold => v1::TicketState::OnHold,
        TicketStateName::Solved => v1::TicketState::Solved,
        TicketStateName::Closed => v1::TicketState::Closed,
        TicketStateName::Cancelled => v1::TicketState::Cancelled,
    }
}

/// A state in words.
pub fn state_text(screen: &Screen, state: v1::TicketState) -> &'static str {
    let (es, en) = match state {
        v1::TicketState::Unspecified => ("sin estado", "no state"),
        v1::TicketState::Registered => ("registrado", "registered"),
        v1::TicketState::Classified => ("clasificado", "classified"),
        v1::TicketState::Assigned => ("asignado", "assigned"),
        v1::TicketState::InProgress => ("en curso", "in progress"),
        v1::TicketState::OnHold => ("en espera", "on hold"),
        v1::TicketState::Solved => ("solucionado", "solved"),
        v1::TicketState::Closed => ("cerrado", "closed"),
        v1::TicketState::Cancelled => ("cancelado", "cancelled"),
    };
    screen.lang.pick(es, en)
}

fn kind_text(screen: &Screen, kind: v1::TicketKind) -> &'static str {
    let (es, en) = match kind {
        v1::TicketKind::Unspecified => ("", ""),
        v1::TicketKind::Incident => ("incidente", "incident"),
        v1::TicketKind::Request => ("solicitud", "request"),
        v1::TicketKind::Maintenance => ("mantenimiento", "maintenance"),
    };
    screen.lang.pick(es, en)
}

/// The stable JSON of a ticket.
pub fn ticket_json(ticket: &v1::Ticket) -> Value {
    let kind = match ticket.kind() {
        v1::TicketKind::Unspecified => Value::Null,
        kind => json!(enum_name(kind.as_str_name(), "TICKET_KIND_")),
    };
    json!({
        "id": ticket.id,
        "number": ticket.number,
        "title": ticket.title,
        "description": ticket.description,
        "state": enum_name(ticket.state().as_str_name(), "TICKET_STATE_"),
        "kind": kind,
        "service": ticket.service,
        "urgency": ticket.urgency,
        "impact": ticket.impact,
        "priority": ticket.priority,
        "requester": { "id": ticket.requester_id, "name": ticket.requester_name },
        "assignee": { "id": ticket.assignee_id, "name": ticket.assignee_name },
        "device": { "id": ticket.device_id, "host_name": ticket.device_host_name },
        "solution": ticket.solution,
        "close_reason": ticket.close_reason,
        "created_at_ms": ticket.created_at_ms,
        "updated_at_ms": ticket.updated_at_ms,
        "solved_at_ms": ticket.solved_at_ms,
        "closed_at_ms": ticket.closed_at_ms,
        "version": ticket.version,
    })
}

fn entry_json(entry: &v1::TimelineEntry) -> Value {
    let text = entry.text.clone().unwrap_or_default();
    json!({
        "id": entry.id,
        "at_ms": entry.at_ms,
        "kind": entry.kind,
        "actor": { "id": entry.actor_id, "name": entry.actor_name },
        "text": { "es": text.es, "en": text.en },
        "order_id": entry.order_id,
        "body": entry.body,
    })
}

/// One line about a ticket.
pub fn line(screen: &Screen, ticket: &v1::Ticket) -> String {
    format!(
        "{} {} — {}",
        screen.tone(Tone::Strong, &clean(&ticket.number)),
        state_text(screen, ticket.state()),
        clean(&ticket.title)
    )
}

/// One entry of the timeline.
pub fn entry_text(screen: &Screen, entry: &v1::TimelineEntry) -> String {
    let text = entry.text.clone().unwrap_or_default();
    let mut out = format!(
        "{}  {} — {}",
        screen.tone(Tone::Dim, &screen.time(entry.at_ms)),
        clean(&entry.actor_name),
        clean(screen.lang.pick(&text.es, &text.en))
    );
    if !entry.body.is_empty() {
        for line in clean_block(&entry.body).lines() {
            out.push_str(&format!("\n      {line}"));
        }
    }
    out
}

fn table(screen: &Screen, tickets: &[v1::Ticket]) -> String {
    let heading = [
        screen.say("NÚMERO", "NUMBER"),
        screen.say("ESTADO", "STATE"),
        screen.say("PRIORIDAD", "PRIORITY"),
        screen.say("TÍTULO", "TITLE"),
        screen.say("SOLICITA", "REQUESTER"),
        screen.say("ATIENDE", "ASSIGNEE"),
        screen.say("EQUIPO", "DEVICE"),
    ];
    let rows = tickets
        .iter()
        .map(|t| {
            vec![
                t.number.clone(),
                state_text(screen, t.state()).to_owned(),
                if t.priority == 0 {
                    String::new()
                } else {
                    t.priority.to_string()
                },
                t.title.clone(),
                t.requester_name.clone(),
                t.assignee_name.clone(),
                t.device_host_name.clone(),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}

/// A ticket with its timeline.
pub fn render(screen: &Screen, ticket: &v1::Ticket, entries: &[v1::TimelineEntry]) -> String {
    let level = |n: u32| if n == 0 { String::new() } else { n.to_string() };
    let moment = |at: i64| {
        if at == 0 {
            String::new()
        } else {
            screen.time(at)
        }
    };
    let mut out = line(screen, ticket);
    out.push('\n');
    out.push_str(&screen.fields(&[
        (
            screen.say("tipo", "kind"),
            kind_text(screen, ticket.kind()).to_owned(),
        ),
        (screen.say("servicio", "service"), ticket.service.clone()),
        (screen.say("urgencia", "urgency"), level(ticket.urgency)),
        (screen.say("impacto", "impact"), level(ticket.impact)),
        (screen.say("prioridad", "priority"), level(ticket.priority)),
        (
            screen.say("solicita", "requester"),
            ticket.requester_name.clone(),
        ),
        (
            screen.say("atiende", "assignee"),
            ticket.assignee_name.clone(),
        ),
        (
            screen.say("equipo", "device"),
            ticket.device_host_name.clone(),
        ),
        (
            screen.say("registrado", "registered"),
            moment(ticket.created_at_ms),
        ),
        (
            screen.say("solucionado", "solved"),
            moment(ticket.solved_at_ms),
        ),
        (screen.say("cerrado", "closed"), moment(ticket.closed_at_ms)),
        (
            screen.say("descripción", "description"),
            ticket.description.clone(),
        ),
        (screen.say("solución", "solution"), ticket.solution.clone()),
        (
            screen.say("motivo de cierre", "closing reason"),
            ticket.close_reason.clone(),
        ),
        ("id", ticket.id.clone()),
    ]));
    if !entries.is_empty() {
        out.push_str(&format!(
            "\n{}\n",
            screen.tone(Tone::Strong, screen.say("Historia", "Timeline"))
        ));
        for entry in entries {
            out.push_str(&format!("  {}\n", entry_text(screen, entry)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    fn sample() -> (v1::Ticket, Vec<v1::TimelineEntry>) {
        let ticket = v1::Ticket {
            id: "01976000-0000-7000-8000-000000000001".into(),
            number: "MA-2026-000007".into(),
            title: "El equipo está lento \u{1b}[31m".into(),
            state: v1::TicketState::InProgress as i32,
            kind: v1::TicketKind::Incident as i32,
            service: "computer_equipment".into(),
            urgency: 3,
            impact: 2,
            priority: 3,
            requester_name: "Ana Ríos".into(),
            assignee_name: "Luis Mora".into(),
            device_host_name: "pc-07".into(),
            created_at_ms: 1_767_330_000_000,
            ..Default::default()
        };
        let entry = v1::TimelineEntry {
            id: "01976000-0000-7000-8000-000000000002".into(),
            at_ms: 1_767_330_000_000,
            kind: "ticket.registered".into(),
            actor_name: "Ana Ríos".into(),
            text: Some(v1::Text {
                es: "Registró el tiquete".into(),
                en: "Registered the ticket".into(),
            }),
            body: "No abre nada\nni el correo".into(),
            ..Default::default()
        };
        (ticket, vec![entry])
    }

    #[test]
    fn a_ticket_reads_well_in_both_languages() {
        let (ticket, entries) = sample();
        insta::assert_snapshot!(
            "ticket_es",
            render(&Screen::plain(Lang::Es), &ticket, &entries)
        );
        insta::assert_snapshot!(
            "ticket_en",
            render(&Screen::plain(Lang::En), &ticket, &entries)
        );
    }

    #[test]
    fn the_json_of_a_ticket_is_stable() {
        let (ticket, _) = sample();
        insta::assert_json_snapshot!("ticket_json", ticket_json(&ticket));
    }
}
