//! When a definition was used before, and what differs since: an approver reads with care what is new, and need not read
//! again what is not. The coordinator names the order; what it says is believed only as far as a signature of a person of
//! the people document goes. A coordinator can hide an earlier use: then the whole definition is shown.

use chasqui_proto::v1;
use chasqui_trust::{Definition, Digest, Document as _};
use serde_json::{Value, json};

use crate::catalogue::{diff, facets};
use crate::client::{Client, call};
use crate::failure::Outcome;
use crate::order::statement::{Examined, read};
use crate::output::{Screen, Tone, clean};
use crate::papers::Papers;

/// How many orders are looked through, in pages.
const PAGES: usize = 10;
const PAGE: u32 = 200;
/// How many earlier orders are read when their signatures do not hold.
const TRIES: usize = 5;

/// An earlier use.
#[derive(Clone, Debug)]
pub struct Used {
    /// The order.
    pub order_id: String,
    /// When it was made, UTC milliseconds.
    pub at_ms: i64,
    /// Its definition.
    pub definition: Definition,
    /// True when it is the very same.
    pub same: bool,
}

/// The last approved order of this action before this one.
pub async fn before(
    client: &Client,
    papers: &Papers,
    examined: &Examined,
) -> Outcome<Option<Used>> {
    let mut tries = 0;
    let mut page_token = String::new();
    for _ in 0..PAGES {
        let request = v1::ListOrdersRequest {
            page: Some(v1::PageRequest {
                page_size: PAGE,
                page_token,
            }),
            states: approved().iter().map(|state| *state as i32).collect(),
            ..v1::ListOrdersRequest::default()
        };
        let answer = call(|| {
            let (mut orders, request) = (client.orders(), request.clone());
            async move { orders.list_orders(request).await }
        })
        .await?;
        let mut found: Vec<&v1::Order> = answer
            .orders
            .iter()
            .filter(|o| o.definition_id == examined.order.definition.id)
            .filter(|o| o.id != examined.order.id)
            .collect();
        found.sort_by_key(|o| std::cmp::Reverse(o.created_at_ms));
        for order in found {
            if tries == TRIES {
                return Ok(None);
            }
            tries += 1;
            if let Some(used) = signed_use(client, papers, examined, &order.id).await {
                return Ok(Some(used));
            }
        }
        page_token = answer.page.unwrap_or_default().next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// An order whose definition is the one its bytes name, and which its requester signed.
async fn signed_use(
    client: &Client,
    papers: &Papers,
    examined: &Examined,
    order_id: &str,
) -> Option<Used> {
    let (earlier, definition) = read(client, order_id, None).await.ok()?;
    let people = papers.state.people()?;
    let signed = people
        .person(&earlier.order.requester)?
        .keys
        .iter()
        .any(|key| earlier.envelope.is_signed_by(&key.key));
    if !signed || earlier.order.definition.id != examined.order.definition.id {
        return None;
    }
    let now = Digest::of(&examined.definition.encode().ok()?);
    Some(Used {
        order_id: earlier.order.id,
        at_ms: earlier.order.created_at_ms,
        same: Digest::of(&definition) == now,
        definition: earlier.definition,
    })
}

/// States that only an approved order reaches.
fn approved() -> [v1::OrderState; 11] {
    use v1::OrderState as S;
    [
        S::Approved,
        S::Queued,
        S::Sent,
        S::Accepted,
        S::AwaitingConsent,
        S::Running,
        S::Checking,
        S::Succeeded,
        S::Failed,
        S::Partly,
        S::Unknown,
    ]
}

/// What the approver reads about the definition.
pub fn render(screen: &Screen, definition: &Definition, used: Option<&Used>) -> String {
    let Some(used) = used else {
        let text = screen.say(
            "Esta definición no se ha usado antes: léala entera",
            "This definition was not used before: read all of it",
        );
        return format!(
            "{}\n{}",
            screen.tone(Tone::Warn, text),
            facets::render(screen, definition)
        );
    };
    let order = format!("{} ({})", clean(&used.order_id), screen.time(used.at_ms));
    if used.same {
        return format!(
            "{} {order}\n",
            screen.say(
                "La misma definición que en la orden",
                "The same definition as in order"
            )
        );
    }
    format!(
        "{}\n{}",
        screen.tone(
            Tone::Warn,
            &format!(
                "{} v{}, {} {order}:",
                screen.say(
                    "La definición cambió desde la",
                    "The definition changed since"
                ),
                used.definition.version,
                screen.say("de la orden", "of order")
            )
        ),
        diff::render(screen, &diff::changes(&used.definition, definition))
    )
}

/// The same for scripts.
pub fn to_json(definition: &Definition, used: Option<&Used>) -> Value {
    match used {
        None => Value::Null,
        Some(used) => json!({
            "order_id": used.order_id,
            "at_ms": used.at_ms,
            "version": used.definition.version,
            "same": used.same,
            "changes": diff::to_json(&diff::changes(&used.definition, definition)),
        }),
    }
}
