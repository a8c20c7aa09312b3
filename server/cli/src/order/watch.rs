//! `order watch`: an order as it goes, with the machine's live output, until nothing more will happen. The exit code says
//! how it ended.

use std::time::Duration;

use chasqui_proto::v1;
use chasqui_proto::v1::watch_order_response::Event;
use serde_json::json;
use tonic::{Code, Status};

use crate::client::Client;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::order::{is_final, order_json, state_name, state_text};
use crate::output::{Screen, Tone, clean, clean_block};

/// Reconnects in a row without news before giving up.
const MAX_RECONNECTS: u32 = 8;

/// What a watcher sees.
#[derive(Clone, Debug)]
pub enum Seen {
    /// The order changed.
    Order(Box<v1::Order>),
    /// A machine wrote something.
    Output(v1::OrderOutput),
}

pub async fn run(context: &Context, client: &Client, order_id: &str) -> Outcome {
    let screen = context.screen.clone();
    let mut last = None;
    let order = follow(client, order_id, |seen| {
        report(&screen, &mut last, seen);
        false
    })
    .await?;
    ended(&order)
}

/// Follows an order, through reconnects, until it is final or `done` says so; gives back its last state.
pub async fn follow(
    client: &Client,
    order_id: &str,
    mut done: impl FnMut(&Seen) -> bool,
) -> Outcome<v1::Order> {
    let mut reconnects = 0;
    let mut latest: Option<v1::Order> = None;
    loop {
        let request = v1::WatchOrderRequest {
            order_id: order_id.to_owned(),
        };
        let broke = match client.orders().watch_order(request).await {
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            reconnects = 0;
                            let seen = match message.event {
                                Some(Event::Order(order)) => {
                                    latest = Some(order.clone());
                                    Seen::Order(Box::new(order))
                                }
                                Some(Event::Output(output)) => Seen::Output(output),
                                None => continue,
                            };
                            let stop = done(&seen);
                            if let Some(order) = &latest
                                && (stop || is_final(order.state()))
                            {
                                return Ok(order.clone());
                            }
                        }
                        Ok(None) => break Status::unavailable("the watch ended"),
                        Err(status) => break status,
                    }
                }
            }
            Err(status) => status,
        };
        let away = matches!(
            broke.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled
        );
        if !away || reconnects >= MAX_RECONNECTS {
            return Err(broke.into());
        }
        reconnects += 1;
        let wait = Duration::from_millis(100 * u64::from(reconnects) * u64::from(reconnects));
        tokio::time::sleep(wait).await;
    }
}

/// Success only when every machine's check holds.
pub fn ended(order: &v1::Order) -> Outcome {
    if order.state() == v1::OrderState::Succeeded {
        return Ok(());
    }
    let code = format!("ORDER_{}", state_name(order.state()).to_uppercase());
    let es = state_text(&Screen::plain(chasqui_base::text::Lang::Es), order.state());
    let en = state_text(&Screen::plain(chasqui_base::text::Lang::En), order.state());
    let mut failure = Failure::new(
        Exit::ActionFailed,
        &code,
        format!("la orden terminó: {es}"),
        format!("the order ended: {en}"),
    );
    for target in &order.targets {
        if !target.refusal_code.is_empty() {
            failure
                .details
                .push((target.host_name.clone(), target.refusal_code.clone()));
        }
    }
    Err(failure)
}

fn report(screen: &Screen, last: &mut Option<v1::OrderState>, seen: &Seen) {
    match seen {
        Seen::Order(order) => {
            if screen.json {
                screen.json_line(&json!({ "order": order_json(order) }));
            } else if *last != Some(order.state()) {
                if last.is_none() && order.break_glass {
                    let text = screen.say("EMERGENCIA", "EMERGENCY");
                    screen.line(screen.tone(Tone::Bad, text));
                }
                screen.line(format!("• {}", state_text(screen, order.state())));
                for target in &order.targets {
                    if order.targets.len() > 1 {
                        screen.line(format!(
                            "  {}: {}",
                            clean(&target.host_name),
                            state_text(screen, target.state())
                        ));
                    }
                }
                for target in &order.targets {
                    if !target.refusal_code.is_empty() {
                        let refusal = target.refusal.clone().unwrap_or_default();
                        screen.line(format!(
                            "  {}: {} — {}",
                            clean(&target.host_name),
                            clean(&target.refusal_code),
                            clean(screen.lang.pick(&refusal.es, &refusal.en))
                        ));
                    }
                }
            }
            *last = Some(order.state());
        }
        Seen::Output(output) => {
            let text = String::from_utf8_lossy(&output.data);
            if screen.json {
                screen.json_line(&json!({ "output": {
                    "device_id": output.device_id,
                    "offset": output.offset,
                    "text": text,
                    "truncated": output.truncated,
                }}));
                return;
            }
            if output.truncated {
                screen.line(screen.tone(
                    Tone::Dim,
                    screen.say("  │ … (salida omitida)", "  │ … (output left out)"),
                ));
            }
            for line in output_lines(&text) {
                screen.line(format!("{} {line}", screen.tone(Tone::Dim, "  │")));
            }
        }
    }
}

/// Output of a machine as safe lines.
pub fn output_lines(text: &str) -> Vec<String> {
    clean_block(text).lines().map(str::to_owned).collect()
}
