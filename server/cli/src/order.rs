//! `order …`: actions that people sign. What is signed is rendered from the bytes that are signed, on this machine, and
//! judged by the same function the workstation uses before anything is sent.

pub mod consent;
pub mod request;
pub mod show;
pub mod statement;
pub mod used;
pub mod watch;
pub mod when;

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::{OrderCommand, OrderStateName};
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{Screen, Tone, clean, enum_name};
use crate::ticket::more;
use crate::{device, ticket};

pub async fn run(context: &Context, command: OrderCommand) -> Outcome {
    let (client, session) = Client::of_session(context)?;
    let screen = &context.screen;
    match command {
        OrderCommand::Request(args) => request::run(context, &client, &session, *args).await,
        OrderCommand::Show { order, root } => {
            show::run(context, &client, &order, root.as_ref()).await
        }
        OrderCommand::List {
            ticket,
            device,
            states,
            page,
        } => {
            let request = v1::ListOrdersRequest {
                page: Some(v1::PageRequest {
                    page_size: page.limit,
                    page_token: page.page,
                }),
                ticket_id: match ticket {
                    Some(name) => ticket::get(&client, &name).await?.id,
                    None => String::new(),
                },
                device_id: match device {
                    Some(name) => device::get(&client, &name).await?.id,
                    None => String::new(),
                },
                states: states.into_iter().map(|s| state_of(s) as i32).collect(),
            };
            let answer = call(|| {
                let (mut orders, request) = (client.orders(), request.clone());
                async move { orders.list_orders(request).await }
            })
            .await?;
            let next = answer.page.unwrap_or_default().next_page_token;
            let value = json!({
                "orders": answer.orders.iter().map(order_json).collect::<Vec<_>>(),
                "next_page": next,
            });
            screen.show(&value, |s| {
                format!("{}{}", table(s, &answer.orders), more(s, &next))
            });
            Ok(())
        }
        OrderCommand::Approve {
            orders,
            comment,
            sign,
        } => {
            let decision = chasqui_trust::Decision::Approve;
            statement::run(
                context, &client, &session, &orders, decision, &comment, &sign,
            )
            .await
        }
        OrderCommand::Reject {
            order,
            comment,
            sign,
        } => {
            let decision = chasqui_trust::Decision::Reject;
            let orders = [order];
            statement::run(
                context, &client, &session, &orders, decision, &comment, &sign,
            )
            .await
        }
        OrderCommand::Withdraw {
            order,
            comment,
            sign,
        } => {
            let decision = chasqui_trust::Decision::Withdraw;
            let orders = [order];
            statement::run(
                context, &client, &session, &orders, decision, &comment, &sign,
            )
            .await
        }
        OrderCommand::Cancel { order, reason } => {
            let request = v1::CancelOrderRequest {
                order_id: order,
                reason,
            };
            let answer = call(|| {
                let (mut orders, request) = (client.orders(), request.clone());
                async move { orders.cancel_order(request).await }
            })
            .await?;
            let order = answer.order.unwrap_or_default();
            screen.show(&order_json(&order), |s| line(s, &order));
            Ok(())
        }
        OrderCommand::Watch { order } => watch::run(context, &client, &order).await,
    }
}

/// An order with its definition's bytes, unverified.
pub async fn get(client: &Client, order_id: &str) -> Outcome<(v1::Order, Vec<u8>)> {
    let request = v1::GetOrderRequest {
        order_id: order_id.to_owned(),
    };
    let answer = call(|| {
        let (mut orders, request) = (client.orders(), request.clone());
        async move { orders.get_order(request).await }
    })
    .await?;
    Ok((answer.order.unwrap_or_default(), answer.definition.to_vec()))
}

/// True when nothing more will happen.
pub fn is_final(state: v1::OrderState) -> bool {
    use v1::OrderState as S;
    matches!(
        state,
        S::Rejected
            | S::Expired
            | S::Cancelled
            | S::Succeeded
            | S::Failed
            | S::Partly
            | S::Refused
            | S::Unknown
    )
}

fn state_of(state: OrderStateName) -> v1::OrderState {
    use v1::OrderState as S;
    match state {
        OrderStateName::Requested => S::Requested,
        OrderStateName::AwaitingApproval => S::AwaitingApproval,
        OrderStateName::Approved => S::Approved,
        OrderStateName::Rejected => S::Rejected,
        OrderStateName::Expired => S::Expired,
        OrderStateName::Cancelled => S::Cancelled,
        OrderStateName::Queued => S::Queued,
        OrderStateName::Sent => S::Sent,
        OrderStateName::Accepted => S::Accepted,
        OrderStateName::AwaitingConsent => S::AwaitingConsent,
        OrderStateName::Running => S::Running,
        OrderStateName::Checking => S::Checking,
        OrderStateName::Succeeded => S::Succeeded,
        OrderStateName::Failed => S::Failed,
        OrderStateName::Partly => S::Partly,
        OrderStateName::Refused => S::Refused,
        OrderStateName::Unknown => S::Unknown,
    }
}

/// `awaiting_approval`, ...
pub fn state_name(state: v1::OrderState) -> String {
    enum_name(state.as_str_name(), "ORDER_STATE_")
}

/// A state in words, with its colour.
pub fn state_text(screen: &Screen, state: v1::OrderState) -> String {
    use v1::OrderState as S;
    let (tone, es, en) = match state {
        S::Unspecified => (Tone::Dim, "sin estado", "no state"),
        S::Requested => (Tone::Dim, "solicitada", "requested"),
        S::AwaitingApproval => (Tone::Warn, "espera aprobación", "awaiting approval"),
        S::Approved => (Tone::Good, "aprobada", "approved"),
        S::Rejected => (Tone::Bad, "rechazada", "rejected"),
        S::Expired => (Tone::Bad, "vencida", "expired"),
        S::Cancelled => (Tone::Bad, "cancelada", "cancelled"),
        S::Queued => (
            Tone::Dim,
            "en cola: espera al equipo",
            "queued: waits for the machine",
        ),
        S::Sent => (Tone::Dim, "enviada", "sent"),
        S::Accepted => (
            Tone::Dim,
            "verificada y aceptada por el equipo",
            "verified and accepted by the machine",
        ),
        S::AwaitingConsent => (
            Tone::Warn,
            "espera a la persona del equipo",
            "waits for the person there",
        ),
        S::Running => (Tone::Dim, "en ejecución", "running"),
        S::Checking => (Tone::Dim, "comprobando", "checking"),
        S::Succeeded => (
            Tone::Good,
            "lograda: la comprobación se cumple",
            "succeeded: the check holds",
        ),
        S::Failed => (
            Tone::Bad,
            "fallida: la comprobación no se cumple",
            "failed: the check does not hold",
        ),
        S::Partly => (Tone::Warn, "lograda en parte", "partly succeeded"),
        S::Refused => (
            Tone::Bad,
            "rechazada por el equipo",
            "refused by the machine",
        ),
        S::Unknown => (
            Tone::Warn,
            "desconocida: no se ejecuta de nuevo",
            "unknown: never run again",
        ),
    };
    screen.tone(tone, screen.lang.pick(es, en))
}

/// One line about an order.
pub fn line(screen: &Screen, order: &v1::Order) -> String {
    format!(
        "{}{} {} v{} — {}",
        emergency_mark(screen, order),
        screen.say("orden", "order"),
        clean(&order.definition_id),
        order.definition_version,
        state_text(screen, order.state())
    ) + &format!("\n  id: {}", clean(&order.id))
}

fn emergency_mark(screen: &Screen, order: &v1::Order) -> String {
    if order.break_glass {
        let text = screen.say("EMERGENCIA ", "EMERGENCY ");
        screen.tone(Tone::Bad, text)
    } else {
        String::new()
    }
}

/// What stands above an order that claims the emergency rule; empty for any other.
pub fn emergency(screen: &Screen, order: &chasqui_trust::Order) -> String {
    if !order.break_glass {
        return String::new();
    }
    let bar = "!".repeat(72);
    let text = screen.say(
        "EMERGENCIA: esta orden no espera las aprobaciones usuales.\n\
         Todos la verán marcada, y quien firma responde por el motivo.",
        "EMERGENCY: this order does not wait for the usual approvals.\n\
         Everybody will see it marked, and whoever signs answers for the reason.",
    );
    format!(
        "{}\n",
        screen.tone(Tone::Bad, &format!("{bar}\n{text}\n{bar}"))
    )
}

/// The stable JSON of an order, as the coordinator tells it.
pub fn order_json(order: &v1::Order) -> Value {
    json!({
        "id": order.id,
        "digest": hex::encode(&order.digest),
        "state": state_name(order.state()),
        "definition": {
            "id": order.definition_id,
            "version": order.definition_version,
            "digest": hex::encode(&order.definition_digest),
        },
        "risk": order.risk,
        "ticket": { "id": order.ticket_id, "number": order.ticket_number },
        "requester": { "id": order.requester_id, "name": order.requester_name },
        "reason": order.reason,
        "break_glass": order.break_glass,
        "created_at_ms": order.created_at_ms,
        "not_before_ms": order.not_before_ms,
        "not_after_ms": order.not_after_ms,
        "required_approvals": order.required_approvals,
        "targets": order.targets.iter().map(target_json).collect::<Vec<_>>(),
        "statements": order.statements.iter().map(|s| json!({
            "id": s.id,
            "person": { "id": s.person_id, "name": s.person_name },
            "decision": s.decision,
            "at_ms": s.at_ms,
        })).collect::<Vec<_>>(),
        "version": order.version,
    })
}

fn target_json(target: &v1::OrderTarget) -> Value {
    let refusal = target.refusal.clone().unwrap_or_default();
    json!({
        "device_id": target.device_id,
        "host_name": target.host_name,
        "state": state_name(target.state()),
        "refusal": if target.refusal_code.is_empty() { Value::Null } else { json!({
            "code": target.refusal_code,
            "text": { "es": refusal.es, "en": refusal.en },
        }) },
        "sent_at_ms": target.sent_at_ms,
        "result_at_ms": target.result_at_ms,
    })
}

/// The order's state, and how many machines are in which where they differ.
fn states(screen: &Screen, order: &v1::Order) -> String {
    let mut counts: Vec<(v1::OrderState, usize)> = Vec::new();
    for target in &order.targets {
        match counts
            .iter_mut()
            .find(|(state, _)| *state == target.state())
        {
            Some((_, count)) => *count += 1,
            None => counts.push((target.state(), 1)),
        }
    }
    let whole = state_text(screen, order.state());
    if counts.len() < 2 {
        return whole;
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state_text(screen, *state)))
        .collect();
    format!("{whole} ({})", parts.join("; "))
}

fn table(screen: &Screen, orders: &[v1::Order]) -> String {
    let plain = Screen {
        color: false,
        ..screen.clone()
    };
    let heading = [
        screen.say("ACCIÓN", "ACTION"),
        screen.say("ESTADO", "STATE"),
        screen.say("RIESGO", "RISK"),
        screen.say("TIQUETE", "TICKET"),
        screen.say("EQUIPOS", "MACHINES"),
        screen.say("SOLICITA", "REQUESTER"),
        screen.say("APROBACIONES NECESARIAS", "APPROVALS NEEDED"),
        "ID",
    ];
    let rows = orders
        .iter()
        .map(|o| {
            let hosts: Vec<&str> = o
                .targets
                .iter()
                .map(|t| t.host_name.as_str())
                .take(3)
                .collect();
            let more = if o.targets.len() > 3 { ", …" } else { "" };
            vec![
                format!("{} v{}", o.definition_id, o.definition_version),
                format!("{}{}", emergency_mark(&plain, o), states(&plain, o)),
                o.risk.to_string(),
                o.ticket_number.clone(),
                format!("{}{more}", hosts.join(", ")),
                o.requester_name.clone(),
                o.required_approvals.to_string(),
                o.id.clone(),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    fn order(states: &[v1::OrderState]) -> v1::Order {
        v1::Order {
            id: "01976000-0000-7000-8000-000000000001".to_owned(),
            definition_id: "disk.clean.temp".to_owned(),
            definition_version: 1,
            state: v1::OrderState::Partly as i32,
            break_glass: true,
            targets: states
                .iter()
                .map(|state| v1::OrderTarget {
                    state: *state as i32,
                    ..v1::OrderTarget::default()
                })
                .collect(),
            ..v1::Order::default()
        }
    }

    #[test]
    fn a_list_tells_each_machine_and_the_emergency() {
        use v1::OrderState as S;
        let screen = Screen::plain(Lang::En);
        let several = order(&[S::Succeeded, S::Failed, S::Succeeded]);
        assert_eq!(
            states(&screen, &several),
            "partly succeeded (2 succeeded: the check holds; 1 failed: the check does not hold)"
        );
        assert!(!states(&screen, &order(&[S::Partly])).contains('('));
        assert!(line(&screen, &several).starts_with("EMERGENCY order disk.clean.temp v1"));
        assert!(line(&Screen::plain(Lang::Es), &several).starts_with("EMERGENCIA orden"));
        assert_eq!(order_json(&several)["break_glass"], true);
    }
}
