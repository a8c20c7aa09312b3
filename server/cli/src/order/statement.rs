//! `order approve|reject|withdraw`: verify what was signed under the pinned root, show it, then sign one word on it.

use chasqui_base::clock;
use chasqui_proto::v1;
use chasqui_trust::{
    Decision, Definition, Digest, Document as _, Envelope, Leaf, Order, People, SigningKey,
    Statement, Text, describe_order, sign,
};

use serde_json::{Value, json};

use crate::args::SignArgs;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::order::request::judge;
use crate::order::used;
use crate::output::{Screen, clean};
use crate::papers::{self, Papers};
use crate::session_file::SessionFile;
use crate::{input, key, order};

/// How long an approval counts, unless the order ends before.
const APPROVAL_VALID_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// An order as its papers say, verified as far as one without approvals can be.
#[derive(Clone, Debug)]
pub struct Examined {
    /// As the coordinator tells it.
    pub told: v1::Order,
    /// As signed.
    pub envelope: Envelope,
    /// As signed.
    pub order: Order,
    /// The definition its digest names.
    pub definition: Definition,
    /// The machines its Merkle root names.
    pub leaves: Vec<Leaf>,
    /// Statements so far.
    pub statements: Vec<Envelope>,
    /// What it says, in words.
    pub text: Text,
}

/// Fetches an order and checks it: bytes against digests, requester's signature, statements, catalogue.
pub async fn examine(client: &Client, papers: &Papers, order_id: &str) -> Outcome<Examined> {
    let (examined, definition) = read(client, order_id, Some(papers.people()?)).await?;
    judge(
        papers,
        &examined.envelope,
        &examined.statements,
        &definition,
        &examined.leaves,
    )?;
    Ok(examined)
}

/// Fetches an order and binds its parts to each other, without judging who signed.
pub async fn read(
    client: &Client,
    order_id: &str,
    people: Option<&People>,
) -> Outcome<(Examined, Vec<u8>)> {
    let (told, definition_bytes) = order::get(client, order_id).await?;
    let envelope = Envelope::from_json(&told.envelope)?;
    let order = Order::decode(&envelope)?;
    if order.id != told.id {
        return Err(Failure::new(
            Exit::Invalid,
            "ORDER_OTHER",
            "el coordinador dio otra orden que la pedida",
            "the coordinator gave another order than the one asked for",
        ));
    }
    let definition = Definition::decode_payload(&definition_bytes)?;
    let mut targets: Vec<&v1::OrderTarget> = told.targets.iter().collect();
    targets.sort_by_key(|target| target.leaf_index);
    let leaves = targets
        .iter()
        .map(|target| Leaf::decode(&target.leaf))
        .collect::<Result<Vec<_>, _>>()?;
    let statements = told
        .statements
        .iter()
        .map(|statement| Envelope::from_json(&statement.envelope))
        .collect::<Result<Vec<_>, _>>()?;
    // Refuses a definition or machines that are not those the signed bytes name.
    let text = describe_order(&order, &definition, &leaves, people)?;
    let examined = Examined {
        told,
        envelope,
        order,
        definition,
        leaves,
        statements,
        text,
    };
    Ok((examined, definition_bytes))
}

/// Most orders that one command signs.
const MAX_AT_ONCE: usize = 50;

pub async fn run(
    context: &Context,
    client: &Client,
    session: &SessionFile,
    order_ids: &[String],
    decision: Decision,
    comment: &str,
    args: &SignArgs,
) -> Outcome {
    let screen = &context.screen;
    if order_ids.len() > MAX_AT_ONCE {
        return Err(Failure::usage(
            format!("más de {MAX_AT_ONCE} órdenes no se leen de una vez"),
            format!("more than {MAX_AT_ONCE} orders are not read at once"),
        ));
    }
    let pinned = papers::pinned_root(context, args.root.as_ref())?;
    let papers = papers::fetch(client, &pinned).await?;
    papers.warn(screen);
    let mut all: Vec<Examined> = Vec::new();
    let mut before: Vec<Value> = Vec::new();
    for order_id in order_ids {
        if all.iter().any(|known| known.order.id == *order_id) {
            continue;
        }
        let examined = if decision == Decision::Approve {
            examine(client, &papers, order_id).await
        } else {
            // A refusal is welcome even of an order whose papers do not hold.
            let found = read(client, order_id, papers.state.people()).await;
            found.map(|(examined, _)| examined)
        };
        let examined = examined.map_err(|mut failure| {
            // Of several, which one.
            failure.details.push(("order".to_owned(), order_id.clone()));
            failure
        })?;
        let mut text = shown(screen, &papers, &examined);
        if decision == Decision::Approve {
            let used = used::before(client, &papers, &examined).await?;
            text.push_str(&format!(
                "\n{}",
                used::render(screen, &examined.definition, used.as_ref())
            ));
            before.push(used::to_json(&examined.definition, used.as_ref()));
        }
        if screen.json {
            screen.note(text.trim_end());
        } else {
            screen.line(text);
        }
        all.push(examined);
    }
    ask(screen, decision, all.len(), args.yes)?;
    let risk = all.iter().map(|one| one.definition.risk).max().unwrap_or(4);
    let key = key::for_signing(context, args, risk)?;
    // All are signed before the first is sent: what a rule forbids leaves nothing half done.
    let mut signed = Vec::new();
    for examined in &all {
        let person = &session.person_id;
        let envelope = sign_statement(&papers, examined, person, decision, comment, &key)?;
        signed.push((examined.order.id.clone(), envelope));
    }
    let mut orders: Vec<v1::Order> = Vec::new();
    for (order_id, envelope) in &signed {
        match send(client, order_id, envelope).await {
            Ok(order) => orders.push(order),
            Err(mut failure) => {
                let done = orders.iter().map(|o| ("sent".to_owned(), o.id.clone()));
                failure.details.extend(done);
                return Err(failure);
            }
        }
    }
    // One order is one object, as it always was; several are a list.
    let mut values: Vec<Value> = orders.iter().map(order::order_json).collect();
    for (value, before) in values.iter_mut().zip(before) {
        if let Some(object) = value.as_object_mut() {
            object.insert("definition_used_before".to_owned(), before);
        }
    }
    let value = match values.len() {
        1 => values.pop().unwrap_or_default(),
        _ => json!({ "orders": values }),
    };
    screen.show(&value, |s| {
        let lines: Vec<String> = orders.iter().map(|o| order::line(s, o)).collect();
        lines.join("\n")
    });
    Ok(())
}

fn ask(screen: &Screen, decision: Decision, count: usize, yes: bool) -> Outcome {
    let (es, en) = match decision {
        Decision::Approve => ("Aprobar y firmar", "Approve and sign"),
        Decision::Reject => ("Rechazar y firmar", "Reject and sign"),
        Decision::Withdraw => ("Retirar y firmar", "Withdraw and sign"),
    };
    if count == 1 {
        return screen.confirm(&format!("¿{es}?"), &format!("{en}?"), yes);
    }
    screen.confirm(
        &format!("¿{es} las {count} órdenes?"),
        &format!("{en} these {count} orders?"),
        yes,
    )
}

/// What the signer reads.
pub fn shown(screen: &Screen, papers: &Papers, examined: &Examined) -> String {
    let requester = papers.name(&examined.order.requester);
    format!(
        "{}{}  {} {}",
        order::emergency(screen, &examined.order),
        screen.lang.pick(&examined.text.es, &examined.text.en),
        screen.say(
            "firma del solicitante verificada:",
            "requester's signature verified:"
        ),
        clean(&requester)
    )
}

/// Signs a statement; an approval is judged together with the order as the machine will.
pub fn sign_statement(
    papers: &Papers,
    examined: &Examined,
    person: &str,
    decision: Decision,
    comment: &str,
    key: &SigningKey,
) -> Outcome<Envelope> {
    let now = clock::now_ms();
    let expires_at_ms = match decision {
        Decision::Approve => (now + APPROVAL_VALID_MS)
            .min(examined.order.not_after_ms)
            .max(now + 1),
        Decision::Reject | Decision::Withdraw => now + APPROVAL_VALID_MS,
    };
    let statement = Statement {
        critical: Vec::new(),
        org: examined.order.org.clone(),
        order_digest: Digest::of(&examined.envelope.payload),
        person: person.to_owned(),
        decision,
        comment: comment.to_owned(),
        at_ms: now,
        expires_at_ms,
    };
    let envelope = sign(&statement, &[key])?;
    if decision == Decision::Approve {
        let mut statements = examined.statements.clone();
        statements.push(envelope.clone());
        judge(
            papers,
            &examined.envelope,
            &statements,
            &examined.definition.encode()?,
            &examined.leaves,
        )?;
    }
    Ok(envelope)
}

/// Adds a signed statement to an order.
pub async fn send(client: &Client, order_id: &str, envelope: &Envelope) -> Outcome<v1::Order> {
    let request = v1::AddStatementRequest {
        request_id: input::request_id(),
        order_id: order_id.to_owned(),
        envelope: envelope.to_json().into(),
    };
    let answer = call(|| {
        let (mut orders, request) = (client.orders(), request.clone());
        async move { orders.add_statement(request).await }
    })
    .await?;
    Ok(answer.order.unwrap_or_default())
}
