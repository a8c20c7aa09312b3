//! `order request`: build the order, show it from its bytes, sign, judge, send.

use chasqui_base::clock;
use chasqui_proto::v1;
use chasqui_trust::definition::{Consent, ParameterKind};
use chasqui_trust::order::{DefinitionRef, Parameter, ParameterValue, Start, Targets, TicketRef};
use chasqui_trust::{
    Definition, Digest, Envelope, Leaf, Order, People, Refusal, SigningKey, Text, VerifiedRequest,
    describe_order, sign, verify_approvals, verify_request,
};
use serde_json::{Value, json};

use crate::args::{ConsentName, RequestArgs};
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::order::when::{self, Span, When};
use crate::output::Screen;
use crate::papers::{self, Papers};
use crate::session_file::SessionFile;
use crate::{device, key, order, ticket};

/// What a person wants, before it is an order.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Definition id.
    pub definition: String,
    /// `name=value`.
    pub parameters: Vec<String>,
    /// Ticket it serves.
    pub ticket: v1::Ticket,
    /// Machines.
    pub devices: Vec<v1::Device>,
    /// Why.
    pub reason: String,
    /// Person who signs.
    pub requester: String,
    /// When it counts: one order for each.
    pub spans: Vec<Span>,
    /// Waits for the next start of the machine.
    pub next_boot: bool,
    /// Why it claims the emergency rule, when it does.
    pub break_glass: Option<String>,
    /// More than the definition asks.
    pub consent: Option<ConsentName>,
}

/// An order ready to be shown and signed.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What will be signed.
    pub order: Order,
    /// What it orders.
    pub definition: Definition,
    /// Its canonical bytes.
    pub definition_bytes: Vec<u8>,
    /// The machines, in order.
    pub leaves: Vec<Leaf>,
}

pub async fn run(
    context: &Context,
    client: &Client,
    session: &SessionFile,
    args: RequestArgs,
) -> Outcome {
    let screen = &context.screen;
    let pinned = papers::pinned_root(context, args.sign.root.as_ref())?;
    let papers = papers::fetch(client, &pinned).await?;
    papers.warn(screen);
    let ticket = ticket::get(client, &args.ticket).await?;
    let mut devices = Vec::new();
    for name in &args.devices {
        devices.push(device::get(client, name).await?);
    }
    if devices.is_empty() {
        if ticket.device_id.is_empty() {
            return Err(Failure::usage(
                "el tiquete no tiene equipo: indíquelo con --device",
                "the ticket has no device: name it with --device",
            ));
        }
        devices.push(device::get(client, &ticket.device_id).await?);
    }
    let spans = when::spans(
        clock::now_ms(),
        &When {
            from: args.from.as_deref(),
            until: args.until.as_deref(),
            window: args.window.as_deref(),
            weekly: args.weekly,
            zone: &args.zone,
            valid_for_ms: args.valid_for,
        },
    )?;
    if args
        .break_glass
        .as_ref()
        .is_some_and(|why| why.trim().is_empty())
    {
        return Err(Failure::usage(
            "una emergencia dice por qué no puede esperar: --break-glass MOTIVO",
            "an emergency says why it cannot wait: --break-glass WHY",
        ));
    }
    let wish = Wish {
        definition: args.definition,
        parameters: args.parameters,
        ticket,
        devices,
        reason: args.reason,
        requester: session.person_id.clone(),
        spans,
        next_boot: args.next_boot,
        break_glass: args.break_glass,
        consent: args.consent,
    };
    let drafts = drafts(client, &papers, wish).await?;
    let text = shown(screen, &drafts, papers.people()?)?;
    if args.dry_run {
        screen.show(&dry(&drafts, papers.people()?)?, |s| {
            format!(
                "{text}{}",
                s.say("no se firmó ni se envió nada", "nothing was signed or sent")
            )
        });
        return Ok(());
    }
    if screen.json {
        screen.note(text);
    } else {
        screen.line(text);
    }
    let risk = drafts.iter().map(|d| d.definition.risk).max().unwrap_or(4);
    if drafts.len() == 1 {
        screen.confirm(
            "¿Firmar y enviar esta orden?",
            "Sign and send this order?",
            args.sign.yes,
        )?;
    } else {
        screen.confirm(
            &format!("¿Firmar y enviar estas {} órdenes?", drafts.len()),
            &format!("Sign and send these {} orders?", drafts.len()),
            args.sign.yes,
        )?;
    }
    let key = key::for_signing(context, &args.sign, risk)?;
    // All are signed and judged before the first is sent: a series is not left half done by a rule.
    let mut signed = Vec::new();
    for draft in &drafts {
        signed.push((draft, draft.sign(&papers, &key)?));
    }
    let mut all = Vec::new();
    for (draft, envelope) in &signed {
        match send(client, draft, envelope).await {
            Ok(order) => all.push(order),
            Err(mut failure) => {
                failure.details.extend(
                    all.iter()
                        .map(|o: &v1::Order| ("sent".to_owned(), o.id.clone())),
                );
                return Err(failure);
            }
        }
    }
    let sent = match all.as_slice() {
        [one] => one.clone(),
        _ => {
            let value = json!({ "orders": all.iter().map(order::order_json).collect::<Vec<_>>() });
            screen.show(&value, |s| {
                let lines: Vec<String> = all.iter().map(|o| order::line(s, o)).collect();
                lines.join("\n")
            });
            return Ok(());
        }
    };
    if !args.watch {
        screen.show(&order::order_json(&sent), |s| order::line(s, &sent));
        return Ok(());
    }
    if !screen.json {
        screen.line(order::line(screen, &sent));
    }
    order::watch::run(context, client, &sent.id).await
}

/// What the signer reads: the first order whole, and of a series the times and id of each.
fn shown(screen: &Screen, drafts: &[Draft], people: &People) -> Outcome<String> {
    let mut out = String::new();
    if let Some(first) = drafts.first() {
        out.push_str(&order::emergency(screen, &first.order));
        let text = first.describe(people)?;
        out.push_str(screen.lang.pick(&text.es, &text.en));
    }
    if drafts.len() > 1 {
        out.push_str(&format!(
            "{} {}\n",
            drafts.len(),
            screen.say(
                "órdenes iguales, cada una con su firma y su tiempo:",
                "like orders, each with its own signature and time:"
            )
        ));
        for draft in drafts {
            out.push_str(&format!(
                "  {} — {}  {}\n",
                screen.time(draft.order.not_before_ms),
                screen.time(draft.order.not_after_ms),
                draft.order.id
            ));
        }
    }
    Ok(out)
}

fn dry(drafts: &[Draft], people: &People) -> Outcome<Value> {
    let mut orders = Vec::new();
    for draft in drafts {
        let text = draft.describe(people)?;
        orders.push(json!({
            "id": draft.order.id,
            "definition": { "id": draft.definition.id, "version": draft.definition.version },
            "risk": draft.definition.risk,
            "break_glass": draft.order.break_glass,
            "next_boot": draft.order.start == Start::NextBoot,
            "not_before_ms": draft.order.not_before_ms,
            "not_after_ms": draft.order.not_after_ms,
            "targets": draft.leaves.len(),
            "text": { "es": text.es, "en": text.en },
        }));
    }
    Ok(json!({ "dry_run": true, "orders": orders }))
}

/// Builds the orders under the papers in force, one for each time asked for.
pub async fn drafts(client: &Client, papers: &Papers, wish: Wish) -> Outcome<Vec<Draft>> {
    let (definition, definition_bytes) =
        papers::definition(client, papers, &wish.definition).await?;
    let parameters = parameters(&definition, &wish.parameters)?;
    definition
        .check_parameters(&parameters)
        .map_err(|error| papers::refusal(&Refusal::ParameterInvalid(error)))?;
    wish.spans
        .iter()
        .map(|span| {
            build(
                papers,
                &wish,
                *span,
                (&definition, &definition_bytes),
                &parameters,
            )
        })
        .collect()
}

fn build(
    papers: &Papers,
    wish: &Wish,
    span: Span,
    (definition, definition_bytes): (&Definition, &[u8]),
    parameters: &[Parameter],
) -> Outcome<Draft> {
    let now = clock::now_ms();
    let leaves = wish
        .devices
        .iter()
        .map(|device| leaf(device, span.not_before_ms))
        .collect::<Outcome<Vec<_>>>()?;
    let consent = match wish.consent {
        None => definition.consent,
        Some(ConsentName::None) => definition.consent.max(Consent::None),
        Some(ConsentName::Notify) => definition.consent.max(Consent::Notify),
        Some(ConsentName::Ask) => definition.consent.max(Consent::Ask),
        Some(ConsentName::AskAlways) => definition.consent.max(Consent::AskAlways),
    };
    let order = Order {
        critical: Vec::new(),
        org: papers.state.org().to_owned(),
        id: clock::new_id().to_string(),
        definition: DefinitionRef {
            id: definition.id.clone(),
            version: definition.version,
            digest: Digest::of(definition_bytes),
        },
        parameters: parameters.to_vec(),
        ticket: TicketRef {
            id: wish.ticket.id.clone(),
            number: wish.ticket.number.clone(),
        },
        reason: match &wish.break_glass {
            // Signed with the rest, so that the reason for the haste stays as long as the order.
            Some(why) => format!("{}\nEMERGENCIA: {}", wish.reason, why.trim()),
            None => wish.reason.clone(),
        },
        requester: wish.requester.clone(),
        created_at_ms: now,
        not_before_ms: span.not_before_ms,
        not_after_ms: span.not_after_ms,
        min_people_version: papers.people_version(),
        min_catalogue_version: papers.catalogue.version(),
        consent,
        start: if wish.next_boot {
            Start::NextBoot
        } else {
            Start::Now
        },
        break_glass: wish.break_glass.is_some(),
        targets: Targets::of(&leaves)?,
    };
    if !order.check_validity_cap() {
        return Err(papers::refusal(&Refusal::ValidityTooLong));
    }
    Ok(Draft {
        order,
        definition: definition.clone(),
        definition_bytes: definition_bytes.to_vec(),
        leaves,
    })
}

impl Draft {
    /// What is signed, in words, from the papers themselves.
    pub fn describe(&self, people: &People) -> Outcome<Text> {
        Ok(describe_order(
            &self.order,
            &self.definition,
            &self.leaves,
            Some(people),
        )?)
    }

    /// Signs, then judges the result as the machine will: only missing approvals may still stand against it.
    pub fn sign(&self, papers: &Papers, key: &SigningKey) -> Outcome<Envelope> {
        let holder = papers.people()?.holder(&key.key_id());
        if holder.is_none_or(|(person, _)| person.id != self.order.requester) {
            return Err(Failure::new(
                Exit::Refused,
                "ORDER_KEY_UNKNOWN",
                "el documento de personas no conoce esta clave como suya",
                "the people document does not know this key as yours",
            )
            .hint(
                "quien administra la confianza la agrega con: chasqui trust add person",
                "a trust administrator adds it with: chasqui trust add person",
            ));
        }
        let envelope = sign(&self.order, &[key])?;
        judge(papers, &envelope, &[], &self.definition_bytes, &self.leaves)?;
        Ok(envelope)
    }
}

/// Judges an order as its machines will, short of approvals that are still to come.
pub fn judge(
    papers: &Papers,
    envelope: &Envelope,
    statements: &[Envelope],
    definition: &[u8],
    leaves: &[Leaf],
) -> Outcome<VerifiedRequest> {
    let now = clock::now_ms();
    let request = verify_request(
        &envelope.to_json(),
        definition,
        leaves,
        &papers.state,
        &papers.catalogue,
        now,
    )
    .map_err(|refusal| papers::refusal(&refusal))?;
    match verify_approvals(&request, statements, &papers.state, now) {
        Ok(_) | Err(Refusal::ApprovalsMissing { .. }) => Ok(request),
        Err(refusal) => Err(papers::refusal(&refusal)),
    }
}

/// Registers a signed order.
pub async fn send(client: &Client, draft: &Draft, envelope: &Envelope) -> Outcome<v1::Order> {
    let request = v1::CreateOrderRequest {
        // The order's own id, made once: whoever sends the same order again makes no second one.
        request_id: draft.order.id.clone(),
        envelope: envelope.to_json().into(),
        leaves: draft
            .leaves
            .iter()
            .map(|leaf| leaf.encode().map(Into::into))
            .collect::<Result<_, _>>()?,
    };
    let answer = call(|| {
        let (mut orders, request) = (client.orders(), request.clone());
        async move { orders.create_order(request).await }
    })
    .await?;
    Ok(answer.order.unwrap_or_default())
}

fn leaf(device: &v1::Device, not_before_ms: i64) -> Outcome<Leaf> {
    let fingerprint = Digest::from_slice(&device.fingerprint).ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            "DEVICE_FINGERPRINT",
            "el coordinador no dio la huella de la clave del equipo",
            "the coordinator gave no fingerprint of the device's key",
        )
    })?;
    let plate = device
        .administrative
        .as_ref()
        .map(|facts| facts.plate.clone())
        .filter(|plate| !plate.is_empty());
    Ok(Leaf {
        device_fingerprint: fingerprint,
        host_name: device.host_name.clone(),
        plate,
        not_before_ms,
    })
}

/// Typed parameters in the definition's order, from `name=value`.
pub fn parameters(definition: &Definition, given: &[String]) -> Outcome<Vec<Parameter>> {
    let mut pairs = Vec::new();
    for text in given {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Failure::usage(
                format!("{text:?} no tiene la forma nombre=valor"),
                format!("{text:?} is not name=value"),
            )
        })?;
        if pairs.iter().any(|(n, _)| *n == name) {
            return Err(Failure::usage(
                format!("el parámetro {name:?} se dio dos veces"),
                format!("the parameter {name:?} was given twice"),
            ));
        }
        pairs.push((name, value));
    }
    let known = |name: &str| definition.parameters.iter().any(|spec| spec.name == name);
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !known(name)) {
        let names: Vec<&str> = definition
            .parameters
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        return Err(Failure::usage(
            format!("{} no tiene el parámetro {name:?}", definition.id),
            format!("{} has no parameter {name:?}", definition.id),
        )
        .hint(
            format!("parámetros: {}", names.join(", ")),
            format!("parameters: {}", names.join(", ")),
        ));
    }
    let mut parameters = Vec::new();
    for spec in &definition.parameters {
        let Some((name, value)) = pairs.iter().find(|(name, _)| *name == spec.name) else {
            return Err(Failure::usage(
                format!("falta el parámetro {} ({})", spec.name, spec.title.es),
                format!("the parameter {} ({}) is missing", spec.name, spec.title.en),
            )
            .hint(
                format!("agregue --set {}=VALOR", spec.name),
                format!("add --set {}=VALUE", spec.name),
            ));
        };
        let value = match &spec.kind {
            ParameterKind::Integer { min, max } => {
                ParameterValue::Integer(value.parse().map_err(|_| {
                    Failure::usage(
                        format!("{name} es un número entero de {min} a {max}"),
                        format!("{name} is a whole number from {min} to {max}"),
                    )
                })?)
            }
            ParameterKind::List { .. } => {
                ParameterValue::List(value.split(',').map(str::to_owned).collect())
            }
            ParameterKind::Choice { .. }
            | ParameterKind::Text { .. }
            | ParameterKind::Inventory { .. } => ParameterValue::Text((*value).to_owned()),
        };
        parameters.push(Parameter {
            name: spec.name.clone(),
            value,
        });
    }
    Ok(parameters)
}
