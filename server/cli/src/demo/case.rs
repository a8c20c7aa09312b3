//! The case, from the inventory to the evidence. Each step checks what it shows: a value that is not there, a signature
//! that does not hold or a file that should be gone ends the demo at that step.

use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::{self, OrderState};
use chasqui_trust::{ActionResult, Decision, Definition};
use serde_json::json;

use crate::args::{Step, TicketKindName};
use crate::demo::cast;
use crate::demo::setup::Play;
use crate::demo::stage::{Cast, Stage};
use crate::demo::watch::Watch;
use crate::failure::{Exit, Failure, Outcome};
use crate::order::request::{self, Wish};
use crate::order::when::Span;
use crate::order::{show, statement};
use crate::output::{Tone, bytes_text, clean};
use crate::papers::{self, Papers};
use crate::{device, evidence, inventory, order, retirement, ticket};

/// The action of the case and its parameter.
const ACTION: &str = "disk.clean.temp";
const PARAMETER: &str = "older_than_days=30";
/// How long the first inventory may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ORDER_VALID_MS: i64 = 60 * 60 * 1000;
/// Entries of the timeline shown.
const SHOWN_ENTRIES: usize = 12;
/// Characters of an entry shown.
const SHOWN_CHARS: usize = 200;
/// Facts of the check shown.
const SHOWN_FACTS: usize = 7;

pub async fn run(stage: &mut Stage, cast: &mut Cast, play: &Play) -> Outcome {
    inventory_received(stage, cast, play).await?;
    let ticket = registered(stage, play).await?;
    classified(stage, play, &ticket).await?;
    let (papers, order) = requested(stage, play, &ticket).await?;
    let mut watch = approved(stage, cast, play, &papers, &order).await?;
    verified(stage, cast, play, &mut watch).await?;
    let order = ran(stage, play, &mut watch).await?;
    checked(stage, play, &papers, &order).await?;
    in_timeline(stage, play, &ticket, &order).await?;
    solved(stage, play, &ticket).await?;
    closed(stage, play, &ticket).await?;
    assessed(stage, play).await?;
    proved(stage, play, &order).await
}

async fn inventory_received(stage: &mut Stage, cast: &mut Cast, play: &Play) -> Outcome {
    stage.begin(Step::Inventory).await?;
    let screen = stage.screen.clone();
    let client = &play.actor(cast::TECHNICIAN)?.client;
    let deadline = clock::monotonic() + PATIENCE;
    let found = loop {
        if let Some(agent) = &mut cast.agent {
            agent.check()?;
        }
        let found = inventory::fetch(client, &play.device.id).await?;
        if found.is_complete() {
            break found;
        }
        if clock::monotonic() > deadline {
            let mut failure = Failure::new(
                Exit::Failed,
                "DEMO_NO_INVENTORY",
                "el inventario no llegó completo a tiempo",
                "the inventory did not arrive whole in time",
            );
            failure.details = cast
                .agent
                .as_ref()
                .map(|a| a.last_lines())
                .unwrap_or_default();
            return Err(failure);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let line = |es: &str, en: &str, value: String| format!("{}: {value}", screen.say(es, en));
    stage.done(
        screen.say("Inventario recibido", "Inventory received"),
        &[
            line("modelo", "model", found.model(&screen)),
            line("memoria", "memory", found.memory(&screen)),
            line("discos", "disks", found.disks(&screen)),
            line("sistema", "system", found.operating_system(&screen)),
            line("programas", "programs", found.programs_text(&screen)),
        ],
        json!({
            "model": found.model(&screen),
            "memory": found.memory(&screen),
            "disks": found.disks(&screen),
            "operating_system": found.operating_system(&screen),
            "programs": found.programs(),
            "sections": found.sections.len(),
        }),
    );
    Ok(())
}

async fn registered(stage: &mut Stage, play: &Play) -> Outcome<v1::Ticket> {
    stage.begin(Step::Ticket).await?;
    let screen = stage.screen.clone();
    let ana = play.actor(cast::REQUESTER)?;
    let ticket = ticket::create(
        &ana.client,
        screen.say(
            "El equipo dice que no hay espacio",
            "My computer says that there is no space",
        ),
        screen.say(
            "Desde ayer no puedo guardar archivos: el sistema avisa que el disco está lleno.",
            "Since yesterday I cannot save files: the system says that the disk is full.",
        ),
        &play.device.id,
        "",
    )
    .await?;
    stage.done(
        screen.say(
            "Tiquete registrado por la solicitante",
            "Ticket registered by the requester",
        ),
        &[
            format!(
                "{} {} — {}",
                screen.tone(Tone::Strong, &ticket.number),
                clean(&ticket.title),
                clean(&ticket.requester_name)
            ),
            format!(
                "{} {}",
                screen.say("equipo:", "device:"),
                clean(&ticket.device_host_name)
            ),
        ],
        ticket::ticket_json(&ticket),
    );
    Ok(ticket)
}

async fn classified(stage: &mut Stage, play: &Play, ticket: &v1::Ticket) -> Outcome {
    stage.begin(Step::Classify).await?;
    let screen = stage.screen.clone();
    let marta = play.actor(cast::LEAD)?;
    let luis = play.actor(cast::TECHNICIAN)?;
    ticket::classify(
        &marta.client,
        &ticket.id,
        TicketKindName::Incident,
        "computer_equipment",
        3,
        2,
    )
    .await?;
    ticket::assign(&marta.client, &ticket.id, &luis.id).await?;
    let ticket = ticket::start(&luis.client, &ticket.id).await?;
    stage.done(
        screen.say(
            "Clasificado por la líder, asignado y comenzado",
            "Classified by the lead, assigned and started",
        ),
        &[format!(
            "{} · {} {} · {} {} · {} {}",
            ticket::state_text(&screen, ticket.state()),
            screen.say("servicio", "service"),
            clean(&ticket.service),
            screen.say("prioridad", "priority"),
            ticket.priority,
            screen.say("atiende", "assigned to"),
            clean(&ticket.assignee_name)
        )],
        ticket::ticket_json(&ticket),
    );
    Ok(())
}

async fn requested(
    stage: &mut Stage,
    play: &Play,
    ticket: &v1::Ticket,
) -> Outcome<(Papers, v1::Order)> {
    stage.begin(Step::Request).await?;
    let screen = stage.screen.clone();
    let luis = play.actor(cast::TECHNICIAN)?;
    let pinned = crate::input::read_file(&play.root)?;
    let papers = papers::fetch(&luis.client, &pinned).await?;
    let wish = Wish {
        definition: ACTION.to_owned(),
        parameters: vec![PARAMETER.to_owned()],
        ticket: ticket.clone(),
        devices: vec![device::get(&luis.client, &play.device.id).await?],
        reason: screen
            .say(
                "El disco está lleno; los archivos temporales viejos se pueden borrar.",
                "The disk is full; old temporary files can go.",
            )
            .to_owned(),
        requester: luis.id.clone(),
        spans: vec![Span::from_now(
            chasqui_base::clock::now_ms(),
            ORDER_VALID_MS,
        )],
        next_boot: false,
        break_glass: None,
        consent: None,
    };
    let mut drafts = request::drafts(&luis.client, &papers, wish).await?;
    let draft = drafts
        .pop()
        .ok_or_else(|| Failure::usage("no hay orden que firmar", "there is no order to sign"))?;
    let text = draft.describe(papers.people()?)?;
    let envelope = draft.sign(&papers, luis.signing_key()?)?;
    let order = request::send(&luis.client, &draft, &envelope).await?;
    stage.done(
        screen.say(
            "Acción solicitada y firmada por el técnico; esto es lo firmado:",
            "Action requested and signed by the technician; this is what was signed:",
        ),
        &[framed(&screen, screen.lang.pick(&text.es, &text.en))],
        order::order_json(&order),
    );
    Ok((papers, order))
}

async fn approved(
    stage: &mut Stage,
    cast: &mut Cast,
    play: &Play,
    papers: &Papers,
    order: &v1::Order,
) -> Outcome<Watch> {
    stage.begin(Step::Approve).await?;
    let screen = stage.screen.clone();
    let marta = play.actor(cast::LEAD)?;
    let luis = play.actor(cast::TECHNICIAN)?;
    let examined = statement::examine(&marta.client, papers, &order.id).await?;
    let comment = screen.say("De acuerdo.", "Agreed.");
    let envelope = statement::sign_statement(
        papers,
        &examined,
        &marta.id,
        Decision::Approve,
        comment,
        marta.signing_key()?,
    )?;
    // An approved order is delivered at once: to pause before the machine sees it, the machine is away meanwhile.
    if stage.pause_before == Some(Step::Verify)
        && let Some(mut agent) = cast.agent.take()
    {
        agent.stop().await;
    }
    let watch = Watch::start(&luis.client, &order.id);
    let approved = statement::send(&marta.client, &order.id, &envelope).await?;
    stage.done(
        screen.say(
            "Aprobada y firmada por otra persona, que antes verificó lo firmado",
            "Approved and signed by another person, who first verified what was signed",
        ),
        &[format!(
            "{} · {} {}/{}",
            clean(marta.part.name),
            screen.say("aprobaciones", "approvals"),
            approved.statements.len(),
            approved.required_approvals
        )],
        json!({
            "order_id": order.id,
            "approver": marta.part.login,
            "required_approvals": approved.required_approvals,
        }),
    );
    Ok(watch)
}

async fn verified(stage: &mut Stage, cast: &mut Cast, play: &Play, watch: &mut Watch) -> Outcome {
    stage.begin(Step::Verify).await?;
    let screen = stage.screen.clone();
    if cast.agent.is_none() {
        cast.agent = Some(play.start_agent()?);
    }
    let order = watch
        .until(|order| is_past_verification(order.state()), |_| {})
        .await?;
    if let Some(target) = order
        .targets
        .iter()
        .find(|t| t.state() == OrderState::Refused)
    {
        let why = target.refusal.clone().unwrap_or_default();
        let host = clean(&target.host_name);
        return Err(Failure::new(
            Exit::ActionFailed,
            &target.refusal_code,
            format!("{host} rechazó la orden: {}", why.es),
            format!("{host} refused the order: {}", why.en),
        ));
    }
    if !is_past_verification(order.state()) {
        order::watch::ended(&order)?;
    }
    stage.done(
        screen.say(
            "Verificada por el propio equipo: firmas, personas, catálogo, vigencia y destino",
            "Verified by the machine itself: signatures, people, catalogue, validity and target",
        ),
        &[],
        json!({ "order_id": order.id }),
    );
    Ok(())
}

fn is_past_verification(state: OrderState) -> bool {
    use OrderState as S;
    matches!(
        state,
        S::Accepted
            | S::AwaitingConsent
            | S::Running
            | S::Checking
            | S::Succeeded
            | S::Failed
            | S::Partly
            | S::Unknown
    )
}

async fn ran(stage: &mut Stage, play: &Play, watch: &mut Watch) -> Outcome<v1::Order> {
    stage.begin(Step::Run).await?;
    let screen = stage.screen.clone();
    let show_live = |lines: &[String]| {
        if !screen.json {
            for line in lines {
                screen.line(format!("        {} {line}", screen.tone(Tone::Dim, "│")));
            }
        }
    };
    // What came while the machine verified.
    show_live(&watch.output);
    let order = watch.until(|_| false, show_live).await?;
    let (result, _) = result_of(play, &order).await?;
    let begun = result.started_at_ms.is_some();
    let broken = result
        .steps
        .iter()
        .find(|step| step.exit_code.is_some_and(|code| code != 0));
    if !begun || broken.is_some() || result.check.is_none() {
        order::watch::ended(&order)?;
        return Err(Failure::new(
            Exit::ActionFailed,
            "DEMO_NOT_RUN",
            "la acción no llegó a su fin",
            "the action did not come to its end",
        ));
    }
    let took: i64 = result.steps.iter().map(|step| step.duration_ms).sum();
    stage.done(
        screen.say(
            "Ejecutada por el agente, con salida en vivo",
            "Run by the agent, with live output",
        ),
        &[format!(
            "{} {} · {took} ms · {} {}",
            screen.say("pasos:", "steps:"),
            result.steps.len(),
            screen.say("salida:", "output:"),
            bytes_text(result.output.bytes)
        )],
        json!({
            "steps": result.steps.len(),
            "output_bytes": result.output.bytes,
            "live_output_bytes": watch.output_bytes,
        }),
    );
    Ok(order)
}

async fn checked(stage: &mut Stage, play: &Play, papers: &Papers, order: &v1::Order) -> Outcome {
    stage.begin(Step::Check).await?;
    let screen = stage.screen.clone();
    let (result, definition) = result_of(play, order).await?;
    let Some(check) = &result.check else {
        return order::watch::ended(order);
    };
    if !check.holds || order.state() != OrderState::Succeeded {
        return Err(Failure::new(
            Exit::ActionFailed,
            "CHECK_DOES_NOT_HOLD",
            format!("la comprobación no se cumple: {}", check.explanation.es),
            format!("the check does not hold: {}", check.explanation.en),
        ));
    }
    // What this machine says of itself is compared with what the demo put there.
    let (left, new_is_there) = play.folder.look_at_work();
    if left != 0 || !new_is_there {
        return Err(Failure::new(
            Exit::ActionFailed,
            "DEMO_WORK_FOLDER",
            format!(
                "en la carpeta de ensayo quedan {left} archivos viejos; el de hoy está: {new_is_there}"
            ),
            format!(
                "{left} old files are left in the rehearsal folder; the one of today is there: {new_is_there}"
            ),
        ));
    }
    let mut lines = vec![clean(
        screen
            .lang
            .pick(&check.explanation.es, &check.explanation.en),
    )];
    lines.extend(
        show::fact_lines(&screen, &result, &definition)
            .into_iter()
            .take(SHOWN_FACTS),
    );
    lines.push(format!(
        "{} {} ({}), {}",
        screen.say("archivos viejos borrados:", "old files removed:"),
        play.old_files.0,
        bytes_text(play.old_files.1),
        screen.say("el de hoy sigue ahí", "the one of today is still there")
    ));
    lines.push(format!(
        "{} {}",
        screen.say(
            "resultado firmado por la clave del equipo; orden de",
            "result signed by the machine's key; order by"
        ),
        clean(&papers.name(&order.requester_id))
    ));
    stage.done(
        screen.say(
            "Comprobada después: la comprobación se cumple",
            "Checked afterwards: the check holds",
        ),
        &lines,
        show::result_json(&result),
    );
    Ok(())
}

async fn result_of(play: &Play, order: &v1::Order) -> Outcome<(ActionResult, Definition)> {
    let client = &play.actor(cast::TECHNICIAN)?.client;
    let (examined, _) = statement::read(client, &order.id, None).await?;
    let target = examined
        .told
        .targets
        .first()
        .filter(|target| !target.result.is_empty());
    match target {
        Some(target) => {
            let result = show::result_of(client, &examined, target).await?;
            Ok((result, examined.definition))
        }
        None => {
            order::watch::ended(order)?;
            Err(Failure::new(
                Exit::ActionFailed,
                "DEMO_NO_RESULT",
                "la orden no tiene resultado firmado",
                "the order has no signed result",
            ))
        }
    }
}

async fn in_timeline(
    stage: &mut Stage,
    play: &Play,
    ticket: &v1::Ticket,
    order: &v1::Order,
) -> Outcome {
    stage.begin(Step::Timeline).await?;
    let screen = stage.screen.clone();
    let luis = play.actor(cast::TECHNICIAN)?;
    let entries = ticket::timeline(&luis.client, &ticket.id).await?;
    let result = entries
        .iter()
        .find(|entry| entry.order_id == order.id && entry.kind == "order.result")
        .ok_or_else(|| {
            Failure::new(
                Exit::Failed,
                "DEMO_TIMELINE",
                "el resultado no está en la historia del tiquete",
                "the result is not in the ticket's timeline",
            )
        })?;
    let from = entries.len().saturating_sub(SHOWN_ENTRIES);
    let lines: Vec<String> = entries
        .iter()
        .skip(from)
        .map(|entry| shortened(&ticket::entry_text(&screen, entry)))
        .collect();
    stage.done(
        screen.say(
            "El resultado está en la historia del tiquete",
            "The result is in the ticket's timeline",
        ),
        &lines,
        json!({ "entries": entries.len(), "result_entry": result.id }),
    );
    Ok(())
}

async fn solved(stage: &mut Stage, play: &Play, ticket: &v1::Ticket) -> Outcome {
    stage.begin(Step::Solve).await?;
    let screen = stage.screen.clone();
    let luis = play.actor(cast::TECHNICIAN)?;
    let ticket = ticket::solve(
        &luis.client,
        &ticket.id,
        screen.say(
            "Se borraron archivos temporales viejos; ya hay espacio para guardar.",
            "Old temporary files were removed; there is space to save again.",
        ),
    )
    .await?;
    stage.done(
        screen.say("Solución propuesta", "Solution proposed"),
        &[ticket::line(&screen, &ticket), clean(&ticket.solution)],
        ticket::ticket_json(&ticket),
    );
    Ok(())
}

async fn closed(stage: &mut Stage, play: &Play, ticket: &v1::Ticket) -> Outcome {
    stage.begin(Step::Close).await?;
    let screen = stage.screen.clone();
    let ana = play.actor(cast::REQUESTER)?;
    let ticket = ticket::approve(
        &ana.client,
        &ticket.id,
        screen.say("Ya puedo guardar.", "I can save again."),
    )
    .await?;
    if ticket.state() != v1::TicketState::Closed {
        return Err(Failure::new(
            Exit::Failed,
            "DEMO_NOT_CLOSED",
            "la aprobación de la solicitante no cerró el tiquete",
            "the requester's approval did not close the ticket",
        ));
    }
    stage.done(
        screen.say(
            "Aprobada por la solicitante y cerrado",
            "Approved by the requester and closed",
        ),
        &[ticket::line(&screen, &ticket)],
        ticket::ticket_json(&ticket),
    );
    Ok(())
}

async fn assessed(stage: &mut Stage, play: &Play) -> Outcome {
    stage.begin(Step::Retirement).await?;
    let screen = stage.screen.clone();
    let luis = play.actor(cast::TECHNICIAN)?;
    let answer = retirement::assess(&luis.client, &play.device.id, 0).await?;
    let mut lines = vec![retirement::headline(&screen, &answer)];
    for criterion in &answer.criteria {
        lines.extend(retirement::criterion_lines(&screen, criterion));
    }
    stage.done(
        screen.say(
            "Evaluación de baja de este equipo",
            "Retirement assessment of this machine",
        ),
        &lines,
        retirement::to_json(&answer),
    );
    Ok(())
}

async fn proved(stage: &mut Stage, play: &Play, order: &v1::Order) -> Outcome {
    stage.begin(Step::Evidence).await?;
    let screen = stage.screen.clone();
    let luis = play.actor(cast::TECHNICIAN)?;
    let exported = evidence::export(&luis.client, &order.id, "").await?;
    let file = play.folder.join("evidence.json");
    crate::input::write_file(&file, &exported.evidence, 0o644)?;
    // Offline: two files and nothing else.
    let report = evidence::verify(
        &crate::input::read_file(&file)?,
        &crate::input::read_file(&play.root)?,
    )?;
    let mut lines = vec![format!(
        "{} ({})",
        file.display(),
        bytes_text(exported.evidence.len() as u64)
    )];
    lines.extend(
        evidence::render(&screen, &report)
            .lines()
            .skip(1)
            .map(|line| line.trim().to_owned()),
    );
    stage.done(
        screen.say(
            "Evidencia exportada y verificada sin red, solo con la raíz",
            "Evidence exported and verified offline, with the root alone",
        ),
        &lines,
        json!({
            "file": file.display().to_string(),
            "root": play.root.display().to_string(),
            "report": evidence::to_json(&report),
        }),
    );
    Ok(())
}

/// A text with a line at its left: somebody else's words, not the demo's.
fn framed(screen: &crate::output::Screen, text: &str) -> String {
    text.trim_end()
        .lines()
        .map(|line| format!("{} {line}", screen.tone(Tone::Dim, "┃")))
        .collect::<Vec<_>>()
        .join("\n")
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{kept}…")
}
