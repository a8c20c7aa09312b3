//! One whole case (ticket, order, approval, action, result) that survives the end of a program on its way: every call is
//! repeated with the same `request_id` until it is answered, and a program that a crash point ended is started again.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chasqui_agent::status;
use chasqui_base::clock;
use chasqui_proto::v1::{
    AddStatementRequest, ClassifyTicketRequest, CommentTicketRequest, CreateOrderRequest,
    CreateTicketRequest, GetTicketRequest, ListOrdersRequest, ListTicketsRequest,
    ListTimelineRequest, OrderState, OrderTarget, PageRequest, Ticket, TicketKind, TicketState,
    TimelineEntry,
};
use chasqui_trust::result::Outcome;
use chasqui_trust::{ActionResult, Document, Envelope, Leaf};
use tonic::{Code, Status};

use crate::agent::Agent;
use crate::fleet::{Options, TestFleet};
use crate::marker::{MARK, Marker};
use crate::orders::{Draft, signed};
use crate::programs::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Which program a crash point is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `chasqui-agent`.
    Agent,
    /// `chasqui-server`.
    Server,
}

impl Program {
    /// Its file name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "chasqui-agent",
            Self::Server => "chasqui-server",
        }
    }
}

/// A crash that is to happen once.
#[derive(Clone, Debug)]
pub struct Crash {
    /// Where.
    pub program: Program,
    /// `name` or `name@n`.
    pub point: String,
    /// It has happened, and the program runs again.
    pub reached: bool,
    /// The agent's journal, as the crash left it, held an action that was begun and had no end.
    pub mid_action: bool,
}

impl Crash {
    /// None at all: what follows is an ordinary case.
    pub fn none() -> Self {
        Self {
            reached: true,
            ..Self::new(Program::Agent, "no crash")
        }
    }

    /// Not yet happened.
    pub fn new(program: Program, point: &str) -> Self {
        Self {
            program,
            point: point.to_owned(),
            reached: false,
            mid_action: false,
        }
    }
}

/// How a case ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The ticket.
    pub ticket: Ticket,
    /// The order.
    pub order_id: String,
    /// Its machine.
    pub target: OrderTarget,
    /// What the machine signed.
    pub result: ActionResult,
}

/// A fleet with one agent whose action leaves a mark.
#[derive(Debug)]
pub struct World {
    /// Coordinator and people.
    pub fleet: TestFleet,
    /// The machine.
    pub agent: Agent,
    /// What its action leaves.
    pub marker: Marker,
    /// Set where the agent's disk was full: a confirmation may not be written down then, so what the agent itself counts
    /// as waiting decides.
    pub notes_may_be_lost: bool,
    cases: u32,
}

/// Makes the call again and again until it is answered, and puts a crashed program back on its feet meanwhile. The call
/// must be the same each time.
#[macro_export]
macro_rules! answered {
    ($world:expr, $crash:expr, $call:expr) => {{
        let begun = chasqui_base::clock::monotonic();
        loop {
            match $call.await {
                Ok(answer) => break answer,
                Err(status) => {
                    $crate::case::repeatable(&status, begun)?;
                    $world.revive($crash).await?;
                }
            }
        }
    }};
}

/// Whether a call may be made again: it was not answered by the coordinator, or with "not now".
///
/// # Errors
/// When it was answered with a refusal, or a minute is over.
pub fn repeatable(status: &Status, begun: std::time::Instant) -> Result<()> {
    let unanswered = chasqui_proto::error::reason_of(status).is_none();
    if (unanswered || status.code() == Code::Unavailable) && begun.elapsed() < PATIENCE {
        return Ok(());
    }
    bail!("refused, or not answered in time: {status:?}")
}

fn id() -> String {
    clock::new_id().to_string()
}

impl World {
    /// A fleet and an agent that is connected.
    ///
    /// # Errors
    /// What a program or the coordinator says.
    pub async fn start(options: Options) -> Result<Self> {
        let mut world = Self::start_alone(options).await?;
        world.agent = Agent::start(&world.fleet, "equipo").await?;
        Ok(world)
    }

    /// The same with an agent that is configured and not enrolled.
    ///
    /// # Errors
    /// What a program or the coordinator says.
    pub async fn start_alone(mut options: Options) -> Result<Self> {
        // Aborting is what these suites do all day: no core files.
        rustix::process::setrlimit(
            rustix::process::Resource::Core,
            rustix::process::Rlimit {
                current: Some(0),
                maximum: rustix::process::getrlimit(rustix::process::Resource::Core).maximum,
            },
        )?;
        let marker = Marker::new()?;
        options.definitions = crate::fleet::shipped_definitions()?;
        options.definitions.extend(marker.definitions());
        // Agents come back at once, however often they lose their coordinator.
        for (name, value) in [("RECONNECT_CAP_SECONDS", "1"), ("SWEEP_SECONDS", "1")] {
            let name = format!("CHASQUI_SERVER_DEVICES_{name}");
            options.server_env.push((name, value.to_owned()));
        }
        let fleet = TestFleet::start_with(options).await?;
        let agent = Agent::configure(&fleet, "equipo")?;
        Ok(Self {
            fleet,
            agent,
            marker,
            notes_may_be_lost: false,
            cases: 0,
        })
    }

    /// Ends the program as a power cut would, and starts it so that it crashes at the point.
    ///
    /// # Errors
    /// When it does not start for another reason than the crash.
    pub async fn arm(&mut self, crash: &mut Crash) -> Result<()> {
        let fault = [("CHASQUI_FAULT", crash.point.as_str())];
        match crash.program {
            Program::Agent => {
                if let Ok(process) = self.agent.process() {
                    process.kill()?;
                }
                self.agent.run(&fault)
            }
            Program::Server => {
                self.fleet.server.process()?.kill()?;
                let Err(error) = self.fleet.server.run(&fault) else {
                    return Ok(());
                };
                // Some points are passed before anybody is served.
                ensure!(
                    error.to_string().contains("signal: 6"),
                    "{}: {error:#}",
                    crash.point
                );
                crash.reached = true;
                self.fleet.server.run(&[])
            }
        }
    }

    /// Starts a program again that has crashed where it should; waits a moment otherwise.
    ///
    /// # Errors
    /// When it ended in another way, or twice.
    pub async fn revive(&mut self, crash: &mut Crash) -> Result<()> {
        let ended = match crash.program {
            Program::Agent => self.agent.process()?.ended()?,
            Program::Server => self.fleet.server.process()?.ended()?,
        };
        let Some(status) = ended else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok(());
        };
        ensure!(!crash.reached, "{}: ended twice, {status}", crash.point);
        aborted(status).with_context(|| crash.point.clone())?;
        crash.reached = true;
        match crash.program {
            Program::Agent => {
                crash.mid_action = self.mid_action()?;
                self.agent.run(&[])
            }
            Program::Server => self.fleet.server.run(&[]),
        }
    }

    /// Whether a journal file on disk has a beginning and no end.
    fn mid_action(&self) -> Result<bool> {
        for file in fs::read_dir(self.agent.folder.join("state/journal"))? {
            let text = fs::read_to_string(file?.path())?;
            if text.contains("{\"started\":") && !text.contains("{\"done\":") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The whole case, through the crash, to the end of everything it set going. Everything that was answered is asked
    /// for again afterwards.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub async fn case(&mut self, crash: &mut Crash) -> Result<Ended> {
        self.cases += 1;
        self.marker.clear()?;
        let title = format!("Caso {} con caída", self.cases);
        let request = CreateTicketRequest {
            request_id: id(),
            title: title.clone(),
            description: "No puedo guardar documentos.".to_owned(),
            device_id: self.agent.device_id.clone(),
            requester_id: String::new(),
        };
        let ticket = answered!(
            self,
            crash,
            self.fleet
                .requester
                .tickets()
                .create_ticket(request.clone())
        );
        let ticket = ticket.into_inner().ticket.context("no ticket")?;
        let request = ClassifyTicketRequest {
            request_id: id(),
            ticket_id: ticket.id.clone(),
            expected_version: ticket.version,
            kind: TicketKind::Incident.into(),
            service: "correo".to_owned(),
            urgency: 2,
            impact: 2,
        };
        answered!(
            self,
            crash,
            self.fleet.lead.tickets().classify_ticket(request.clone())
        );
        let request = CommentTicketRequest {
            request_id: id(),
            ticket_id: ticket.id.clone(),
            text: "Lo estoy mirando".to_owned(),
        };
        answered!(
            self,
            crash,
            self.fleet
                .technician
                .tickets()
                .comment_ticket(request.clone())
        );
        let (order_id, leaf_digest) = self.order(crash, MARK, &ticket).await?;
        let (target, result) = self.result(crash, &order_id).await?;
        ensure!(
            result.order_digest == leaf_digest,
            "a result of another order"
        );

        let point = crash.point.clone();
        let begun = clock::monotonic();
        while !crash.reached {
            ensure!(
                begun.elapsed() < PATIENCE,
                "{point}: the case never passes this point"
            );
            self.revive(crash).await?;
        }
        self.handed_over().await?;
        let ended = Ended {
            ticket: ticket.clone(),
            order_id,
            target,
            result,
        };
        self.look_back(&ended, &title).await?;
        Ok(ended)
    }

    /// Requests an action on the machine and approves it.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn order(
        &mut self,
        crash: &mut Crash,
        definition: &str,
        ticket: &Ticket,
    ) -> Result<(String, chasqui_trust::Digest)> {
        let device_id = self.agent.device_id.clone();
        let draft = answered_any(self, crash, async |world| {
            world.fleet.draft(definition, &[], &device_id, ticket).await
        })
        .await?;
        self.hand_in(crash, &draft).await
    }

    /// Signs a draft, hands it in and approves it.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn hand_in(
        &mut self,
        crash: &mut Crash,
        draft: &Draft,
    ) -> Result<(String, chasqui_trust::Digest)> {
        let envelope = signed(&draft.order, &self.fleet.cast.technician.key)?;
        let leaves: Result<Vec<_>, _> = draft.leaves.iter().map(Leaf::encode).collect();
        let request = CreateOrderRequest {
            request_id: id(),
            envelope: envelope.to_json().into(),
            leaves: leaves?.into_iter().map(Into::into).collect(),
        };
        let order = answered!(
            self,
            crash,
            self.fleet.technician.orders().create_order(request.clone())
        );
        let order = order.into_inner().order.context("no order")?;
        let approval = self.fleet.approval(&envelope, &self.fleet.cast.lead)?;
        let request = AddStatementRequest {
            request_id: id(),
            order_id: order.id.clone(),
            envelope: approval.to_json().into(),
        };
        answered!(
            self,
            crash,
            self.fleet.lead.orders().add_statement(request.clone())
        );
        Ok((order.id, envelope.payload_digest()))
    }

    /// Waits until the machine's result is there.
    ///
    /// # Errors
    /// When there is none after a minute.
    pub async fn result(
        &mut self,
        crash: &mut Crash,
        order_id: &str,
    ) -> Result<(OrderTarget, ActionResult)> {
        let begun = clock::monotonic();
        let mut last = String::new();
        while begun.elapsed() < PATIENCE {
            if let Ok(order) = self.fleet.shown(order_id).await {
                last = format!("{:?}", order.state());
                if let Some(target) = order.targets.into_iter().find(|t| !t.result.is_empty()) {
                    let envelope = Envelope::from_json(&target.result)?;
                    let result = ActionResult::decode(&envelope)?;
                    return Ok((target, result));
                }
            }
            self.revive(crash).await?;
        }
        bail!("order {order_id}: no result, state {last}")
    }

    /// Waits until the agent that runs now has its stream and the coordinator's word for every result.
    ///
    /// # Errors
    /// When it has not after a minute.
    pub async fn handed_over(&mut self) -> Result<()> {
        let pid = self.agent.process()?.pid();
        let mut state = self.agent.folder.join("state");
        if !self.agent.within.is_empty() {
            // As the agent sees it, whatever is mounted there for it alone.
            state = PathBuf::from(format!("/proc/{pid}/root")).join(state.strip_prefix("/")?);
        }
        let mut missing = String::new();
        wait_until("the agent's outbox handed over", PATIENCE, async || {
            missing = not_handed_over(pid, &state, self.notes_may_be_lost)?;
            Ok(missing.is_empty().then_some(()))
        })
        .await
        .with_context(|| match self.agent.process() {
            Ok(process) => format!("{missing}\n{}", process.log()),
            Err(error) => error.to_string(),
        })
    }

    /// Every entry of a ticket's timeline.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn timeline(&self, ticket_id: &str) -> Result<Vec<TimelineEntry>> {
        Ok(self
            .fleet
            .technician
            .tickets()
            .list_timeline(ListTimelineRequest {
                ticket_id: ticket_id.to_owned(),
                page: Some(PageRequest {
                    page_size: 200,
                    ..PageRequest::default()
                }),
            })
            .await?
            .into_inner()
            .entries)
    }

    /// Everything answered is there, once, and the action ran at most once.
    async fn look_back(&self, ended: &Ended, title: &str) -> Result<()> {
        let ticket = self
            .fleet
            .requester
            .tickets()
            .get_ticket(GetTicketRequest {
                ticket: ended.ticket.id.clone(),
            })
            .await?
            .into_inner()
            .ticket
            .context("no ticket")?;
        ensure!(
            ticket.state() == TicketState::Classified && ticket.number == ended.ticket.number,
            "the ticket is {ticket:?}"
        );
        let tickets = self
            .fleet
            .lead
            .tickets()
            .list_tickets(ListTicketsRequest {
                text: title.to_owned(),
                ..ListTicketsRequest::default()
            })
            .await?
            .into_inner()
            .tickets;
        ensure!(tickets.len() == 1, "{} tickets {title:?}", tickets.len());
        let orders = self
            .fleet
            .lead
            .orders()
            .list_orders(ListOrdersRequest {
                ticket_id: ticket.id.clone(),
                ..ListOrdersRequest::default()
            })
            .await?
            .into_inner()
            .orders;
        ensure!(orders.len() == 1, "{} orders instead of one", orders.len());
        let order = self.fleet.shown(&ended.order_id).await?;
        ensure!(order.statements.len() == 1, "{:?}", order.statements);
        ensure!(order.targets.len() == 1, "{:?}", order.targets);
        let state = match ended.result.outcome {
            Outcome::Succeeded => OrderState::Succeeded,
            Outcome::Unknown => OrderState::Unknown,
            other => bail!("outcome {other:?}"),
        };
        ensure!(
            order.state() == state && order.targets.iter().all(|t| t.state() == state),
            "order {:?}, result {:?}",
            order.state(),
            ended.result.outcome
        );
        ensure!(
            order.targets.first().map(|t| &t.result) == Some(&ended.target.result),
            "the stored result changed"
        );
        let timeline = self.timeline(&ticket.id).await?;
        for kind in [
            "ticket.registered",
            "ticket.classified",
            "ticket.commented",
            "order.requested",
            "order.result",
        ] {
            let count = timeline.iter().filter(|entry| entry.kind == kind).count();
            let kinds: Vec<_> = timeline.iter().map(|entry| &entry.kind).collect();
            ensure!(count == 1, "{count} times {kind} in {kinds:?}");
        }
        let lines = self.marker.lines()?;
        let ran = match ended.result.outcome {
            Outcome::Succeeded => lines == [1, 1],
            // What was begun and not known may have left anything, once.
            _ => lines.iter().all(|lines| *lines <= 1),
        };
        ensure!(ran, "{:?} with lines {lines:?}", ended.result.outcome);
        Ok(())
    }

    /// `chasqui-server check`: the sealed record and the tables agree.
    ///
    /// # Errors
    /// What the program says.
    pub fn check_record(&self) -> Result<()> {
        let done = self.fleet.server.command(&["check"])?;
        ensure!(
            done.status.success(),
            "check: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}

/// What an agent has still to do before everything is handed over; nothing when it is.
fn not_handed_over(pid: u32, state: &Path, by_its_count: bool) -> Result<String> {
    let status = match status::read_status(state) {
        Ok(status) => status,
        Err(error) => return Ok(format!("no status: {error}")),
    };
    if status.pid != pid || status.link != status::Link::Connected {
        return Ok(format!("not connected: {status:?}"));
    }
    if by_its_count {
        return Ok(match status.results_waiting {
            0 => String::new(),
            waiting => format!("{waiting} results wait"),
        });
    }
    for file in fs::read_dir(state.join("outbox"))? {
        let path = file?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let item: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
        if item.get("confirmed").is_none_or(serde_json::Value::is_null) {
            return Ok(format!("not confirmed: {item}"));
        }
    }
    Ok(String::new())
}

/// A composed call without effects, made until it is answered.
async fn answered_any<T>(
    world: &mut World,
    crash: &mut Crash,
    call: impl AsyncFn(&World) -> Result<T>,
) -> Result<T> {
    let begun = clock::monotonic();
    loop {
        match call(world).await {
            Ok(answer) => return Ok(answer),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => world.revive(crash).await?,
        }
    }
}

/// Says whether a program ended by `abort`, as crash points do.
///
/// # Errors
/// When it ended otherwise.
pub fn aborted(status: ExitStatus) -> Result<()> {
    ensure!(
        status.signal() == Some(rustix::process::Signal::ABORT.as_raw()),
        "ended with {status} instead of at the crash point"
    );
    Ok(())
}
