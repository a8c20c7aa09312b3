//! The link to the coordinator: one stream for control, calls beside it for everything long. It carries papers and
//! results; it decides nothing. A lost link is normal: it is opened again after a random, growing wait.
//!
//! ```text
//!   connecting --welcome--> connected --end, goodbye--> disconnected --wait--> connecting
//!       |                       |
//!       +------ DEVICE_REVOKED, DEVICE_QUARANTINED: long waits, said in the status
//! ```

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::fault_point;
use chasqui_base::text::Text;
use chasqui_proto::error::reason_of;
use chasqui_proto::v1;
use chasqui_proto::v1::agent_message::Message as FromAgent;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use chasqui_proto::v1::server_message::Message as FromServer;
use chasqui_trust::Digest;
use chasqui_trust::bundle::MAX_BUNDLE_BYTES;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::agent::{Agent, Event};
use crate::engine::Engine;
use crate::enrol;
use crate::failure::Failure;
use crate::outbox::Confirmed;
use crate::output::Output;
use crate::status::{Link, Problem};
use crate::tls;

/// Optional parts of the protocol this agent speaks.
pub const CAPABILITIES: [&str; 4] = [
    "orders.v1",
    "inventory.v1",
    "inventory.difference.v1",
    "output.v1",
];

const DEFAULT_CAP: Duration = Duration::from_secs(60);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const REVOKED_WAIT: Duration = Duration::from_secs(30 * 60);
/// A stream that stood this long was a good one: the next wait begins small again.
const GOOD_AFTER: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Wait after a first inventory that did not go through.
const INVENTORY_AGAIN: Duration = Duration::from_secs(30);
const RENEWAL_EVERY: Duration = Duration::from_secs(3600);
const MAX_DECODE: usize = 16 * 1024 * 1024;
const MAX_ENCODE: usize = 20 * 1024 * 1024;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Why a stream ended and when to come back.
#[derive(Debug)]
struct Ended {
    link: Link,
    problem: Option<Problem>,
    /// Not before this.
    at_least: Duration,
    /// The coordinator's bound for the random wait, once it said one.
    cap: Option<Duration>,
    renew: bool,
    at_once: bool,
}

impl Ended {
    fn lost(problem: Option<Problem>) -> Self {
        Self {
            link: Link::Disconnected,
            problem,
            at_least: Duration::ZERO,
            cap: None,
            renew: false,
            at_once: false,
        }
    }
}

/// Keeps the link until `closing`.
pub async fn run(agent: Arc<Agent>, engine: Arc<Engine>) {
    let mut attempt = 0u32;
    let mut cap = DEFAULT_CAP;
    let mut renewed_at: Option<std::time::Instant> = None;
    let mut last_inventory = LastInventory::default();
    loop {
        agent.board.update(|status| {
            if status.link == Link::Disconnected {
                status.link = Link::Connecting;
            }
        });
        let began = clock::monotonic();
        let closing = agent.closing.clone();
        let mut ended = tokio::select! {
            () = closing.cancelled() => {
                *crate::lock(&agent.client) = None;
                agent.board.link(Link::Stopped, None);
                return;
            }
            ended = once(&agent, &engine, &mut renewed_at, &mut last_inventory) => ended,
        };
        *crate::lock(&agent.client) = None;
        cap = ended.cap.take().unwrap_or(cap);
        if began.elapsed() >= GOOD_AFTER {
            attempt = 0;
        }
        if let Some(problem) = &ended.problem {
            tracing::info!(code = problem.code, problem = problem.text.en, "link ended");
        }
        agent.board.link(ended.link, ended.problem.take());
        if ended.renew {
            renewed_at = None;
            force_renewal(&agent, &mut renewed_at).await;
        }
        let wait = if ended.at_once {
            Duration::ZERO
        } else {
            // Full jitter: many agents that lost the same coordinator spread over the whole span.
            let span = FIRST_WAIT
                .saturating_mul(2u32.saturating_pow(attempt.min(16)))
                .min(cap);
            ended.at_least + random_below(span.max(ended.at_least / 2))
        };
        attempt = attempt.saturating_add(1);
        tokio::select! {
            () = agent.closing.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// One stream from dialling to its end.
async fn once(
    agent: &Arc<Agent>,
    engine: &Arc<Engine>,
    renewed_at: &mut Option<std::time::Instant>,
    last_inventory: &mut LastInventory,
) -> Ended {
    if agent.identity().needs_renewal(now(agent))
        && let Some(ended) = force_renewal(agent, renewed_at).await
    {
        return ended;
    }
    let opened = async {
        let channel = tls::channel(&agent.dial(true)?).await?;
        let client = LinkServiceClient::new(channel)
            .max_decoding_message_size(MAX_DECODE)
            .max_encoding_message_size(MAX_ENCODE);
        Ok::<_, Failure>(client)
    };
    match opened.await {
        Ok(client) => Session::open(agent, engine, client, renewed_at, last_inventory).await,
        Err(failure) => {
            let renew = failure.text.en.contains("CertificateExpired");
            Ended {
                renew,
                ..Ended::lost(Some(Problem::new(failure.code, failure.text)))
            }
        }
    }
}

fn now(agent: &Agent) -> i64 {
    crate::lock(&agent.trust).effective_now(clock::now_ms())
}

/// Renews, at most once in a while. Answers how the link stands when the device is not wanted any more.
async fn force_renewal(
    agent: &Arc<Agent>,
    renewed_at: &mut Option<std::time::Instant>,
) -> Option<Ended> {
    if renewed_at.is_some_and(|at| at.elapsed() < RENEWAL_EVERY) {
        return None;
    }
    *renewed_at = Some(clock::monotonic());
    let renewed = match agent.dial(false) {
        Ok(dial) => enrol::renew(&agent.config, &dial, &agent.trust, &agent.identity()).await,
        Err(failure) => Err(failure),
    };
    match renewed {
        Ok(identity) => {
            tracing::info!(not_after_ms = identity.not_after_ms, "certificate renewed");
            *crate::lock(&agent.identity) = Arc::new(identity);
            agent.show_state();
            None
        }
        Err(failure) => {
            tracing::warn!(code = failure.code, %failure, "certificate not renewed");
            if failure.code == "DEVICE_REVOKED" {
                return Some(revoked(Problem::new(failure.code, failure.text)));
            }
            // It could not be asked for: soon again.
            if failure.exit == crate::failure::Exit::Failed {
                *renewed_at = None;
            }
            None
        }
    }
}

fn revoked(problem: Problem) -> Ended {
    Ended {
        link: Link::Revoked,
        at_least: REVOKED_WAIT,
        ..Ended::lost(Some(problem))
    }
}

/// When the machine was last observed, across streams: a reconnect is no reason to observe again.
#[derive(Debug, Default)]
struct LastInventory {
    /// When the coordinator last took one whole; a report that was cut off does not count.
    reported_at: Arc<Mutex<Option<std::time::Instant>>>,
    store_epoch: u64,
}

struct Session<'a> {
    agent: &'a Arc<Agent>,
    engine: &'a Arc<Engine>,
    client: LinkServiceClient<Channel>,
    sender: mpsc::Sender<v1::AgentMessage>,
    stream: tonic::Streaming<v1::ServerMessage>,
    welcome: v1::Welcome,
    /// Ended with the session.
    tasks: JoinSet<()>,
}

impl<'a> Session<'a> {
    async fn open(
        agent: &'a Arc<Agent>,
        engine: &'a Arc<Engine>,
        mut client: LinkServiceClient<Channel>,
        renewed_at: &mut Option<std::time::Instant>,
        last_inventory: &mut LastInventory,
    ) -> Ended {
        let (sender, messages) = mpsc::channel(64);
        let (root_version, people_version, catalogue_version) =
            crate::lock(&agent.trust).versions();
        let hello = v1::Hello {
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: CAPABILITIES.iter().map(|&name| name.to_owned()).collect(),
            boot_id: agent.boot_id.clone(),
            host_name: agent.host_name.clone(),
            now_ms: clock::now_ms(),
            root_version,
            people_version,
            catalogue_version,
            store_epoch: last_inventory.store_epoch,
            process_nonce: agent.process_nonce.to_vec().into(),
        };
        // The channel is new and has room.
        let _ = sender.try_send(message(FromAgent::Hello(hello)));
        let opened = async {
            let mut stream = client
                .connect(ReceiverStream::new(messages))
                .await?
                .into_inner();
            let first = stream.message().await?;
            Ok::<_, tonic::Status>((stream, first.and_then(|first| first.message)))
        };
        let (stream, first) = match tokio::time::timeout(ANSWER_LIMIT, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(status)) => return ended_by(&status),
            Err(_) => {
                return Ended::lost(Some(Problem::new(
                    "COORDINATOR_SLOW",
                    Text::new(
                        "el coordinador no saludó a tiempo",
                        "the coordinator did not greet in time",
                    ),
                )));
            }
        };
        let welcome = match first {
            Some(FromServer::Welcome(welcome)) => welcome,
            Some(FromServer::Goodbye(goodbye)) => return ended_on_purpose(&goodbye),
            _ => return Ended::lost(Some(unexpected())),
        };
        let mut session = Session {
            agent,
            engine,
            client,
            sender,
            stream,
            welcome,
            tasks: JoinSet::new(),
        };
        session.begin(last_inventory);
        let cap = clock::duration_ms(session.welcome.reconnect_cap_ms);
        let ended = session.serve(renewed_at).await;
        Ended {
            cap: (!cap.is_zero()).then_some(cap.clamp(FIRST_WAIT, DAY)),
            ..ended
        }
    }

    fn begin(&mut self, last_inventory: &mut LastInventory) {
        let agent = self.agent.clone();
        tracing::info!(
            server_version = self.welcome.server_version,
            store_epoch = self.welcome.store_epoch,
            "connected"
        );
        agent.measure_clock(self.welcome.now_ms);
        agent.board.link(Link::Connected, None);
        *crate::lock(&agent.client) = Some(self.client.clone());
        let restored = last_inventory.store_epoch != self.welcome.store_epoch;
        last_inventory.store_epoch = self.welcome.store_epoch;

        // Papers first: an order judged without them would only be judged twice.
        let mut client = self.client.clone();
        self.tasks.spawn({
            let agent = agent.clone();
            async move {
                agent.refresh_trust().await;
                fetch_orders(&agent, &mut client).await;
            }
        });
        self.tasks.spawn(submit_results(
            agent.clone(),
            self.client.clone(),
            self.welcome.store_epoch,
        ));
        let every = clock::duration_ms(
            agent
                .config
                .inventory_every_ms
                .unwrap_or_else(|| self.welcome.inventory_every_ms.max(clock::MINUTE_MS)),
        )
        .clamp(Duration::from_millis(100), 7 * DAY);
        if restored {
            *crate::lock(&last_inventory.reported_at) = None;
        }
        let reported_at = last_inventory.reported_at.clone();
        let first = crate::lock(&reported_at)
            .map_or(Duration::ZERO, |at| every.saturating_sub(at.elapsed()));
        self.tasks.spawn(observe_regularly(
            agent.clone(),
            self.client.clone(),
            self.agent.observe_now.clone(),
            reported_at,
            first,
            every,
        ));
        let running: Vec<_> = crate::lock(&agent.running).values().cloned().collect();
        for running in running {
            self.follow(running.order_id, running.output);
        }
    }

    async fn serve(&mut self, renewed_at: &mut Option<std::time::Instant>) -> Ended {
        let mut events = self.agent.events.subscribe();
        let beat = clock::duration_ms(self.welcome.beat_every_ms)
            .clamp(Duration::from_secs(1), Duration::from_secs(600));
        let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + beat, beat);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut renewals =
            tokio::time::interval_at(tokio::time::Instant::now() + RENEWAL_EVERY, RENEWAL_EVERY);
        loop {
            tokio::select! {
                incoming = self.stream.message() => match incoming {
                    Ok(Some(incoming)) => {
                        if let Some(ended) = self.handle(incoming) {
                            return ended;
                        }
                    }
                    Ok(None) => return Ended::lost(None),
                    Err(status) => return ended_by(&status),
                },
                event = events.recv() => match event {
                    Ok(Event::Progress(progress)) => {
                        self.send(FromAgent::Progress(progress));
                        beats.reset();
                    }
                    Ok(Event::Output { order_id, output }) => self.follow(order_id, output),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        tracing::debug!(missed, "events for watchers dropped");
                    }
                    Err(broadcast::error::RecvError::Closed) => {}
                },
                _ = beats.tick() => {
                    let _ = self.sender.try_send(v1::AgentMessage { message: None });
                }
                // Finished helpers are taken off the list.
                Some(_) = self.tasks.join_next() => {}
                _ = renewals.tick() => {
                    if self.agent.identity().needs_renewal(now(self.agent)) {
                        match force_renewal(self.agent, renewed_at).await {
                            Some(ended) => return ended,
                            // With the new certificate.
                            None => return Ended { at_once: true, ..Ended::lost(None) },
                        }
                    }
                }
            }
        }
    }

    fn handle(&mut self, incoming: v1::ServerMessage) -> Option<Ended> {
        match incoming.message? {
            FromServer::Order(delivery) if delivery.bundle.len() > MAX_BUNDLE_BYTES => {
                // No order is that large; what waits to be judged is bounded in number, so here in bytes.
                tracing::warn!(
                    bytes = delivery.bundle.len(),
                    "a delivery that is too large to be an order"
                );
            }
            FromServer::Order(delivery) => {
                if self.agent.intake.try_send(delivery).is_err() {
                    // It stays at the coordinator and is fetched or pushed again.
                    tracing::warn!(
                        "more orders at once than can be judged; one left at the coordinator"
                    );
                }
            }
            FromServer::Stop(stop) => match Digest::from_slice(&stop.order_digest) {
                Some(digest) => self.engine.stop(digest),
                None => tracing::warn!("a stop that names no order"),
            },
            FromServer::TrustChanged(changed) => {
                let held = crate::lock(&self.agent.trust).versions();
                let told = (
                    changed.root_version,
                    changed.people_version,
                    changed.catalogue_version,
                );
                if told.0 > held.0 || told.1 > held.1 || told.2 > held.2 {
                    let agent = self.agent.clone();
                    self.tasks.spawn(async move {
                        agent.refresh_trust().await;
                    });
                }
            }
            FromServer::InventoryRequested(_) => self.agent.observe_now.notify_one(),
            FromServer::Probe(probe) => {
                self.send(FromAgent::ProbeAnswer(v1::ProbeAnswer {
                    nonce: probe.nonce,
                }));
            }
            FromServer::Goodbye(goodbye) => return Some(ended_on_purpose(&goodbye)),
            FromServer::Welcome(_) => return Some(Ended::lost(Some(unexpected()))),
        }
        None
    }

    fn send(&self, content: FromAgent) {
        if self.sender.try_send(message(content)).is_err() {
            tracing::debug!("the stream takes nothing just now; a hint was dropped");
        }
    }

    fn follow(&mut self, order_id: String, output: Arc<Output>) {
        self.tasks
            .spawn(send_output(self.client.clone(), order_id, output));
    }
}

fn message(content: FromAgent) -> v1::AgentMessage {
    v1::AgentMessage {
        message: Some(content),
    }
}

async fn fetch_orders(agent: &Agent, client: &mut LinkServiceClient<Channel>) {
    match client.fetch_orders(v1::FetchOrdersRequest {}).await {
        Ok(answer) => {
            for delivery in answer.into_inner().orders {
                if agent.intake.send(delivery).await.is_err() {
                    return;
                }
            }
        }
        Err(status) => tracing::info!(%status, "waiting orders not fetched"),
    }
}

/// Hands over results until the session ends. A result the coordinator will not have is kept and does not hold back the
/// others.
async fn submit_results(
    agent: Arc<Agent>,
    mut client: LinkServiceClient<Channel>,
    store_epoch: u64,
) {
    let mut rejected: HashSet<Digest> = HashSet::new();
    loop {
        let waiting = agent.outbox.due_count(store_epoch);
        agent
            .board
            .update(|status| status.results_waiting = waiting);
        let due = agent.outbox.due(store_epoch, 64 + rejected.len());
        let mut any = false;
        for (digest, item) in due {
            if rejected.contains(&digest) {
                continue;
            }
            any = true;
            let request = v1::SubmitResultRequest {
                request_id: item.request_id.clone(),
                order_id: item.order_id.clone(),
                envelope: item.envelope.into_bytes().into(),
                store_epoch,
                consent: item.consent.unwrap_or_default().into_bytes().into(),
            };
            let call = client.submit_result(request);
            match tokio::time::timeout(ANSWER_LIMIT, call).await {
                Ok(Ok(_)) => {
                    fault_point!("agent.submit.sent");
                    confirm(&agent, &digest, store_epoch);
                }
                // Another result of this machine is there, and the first stays: this one has done its part.
                Ok(Err(status))
                    if reason_of(&status).as_deref() == Some("ORDER_RESULT_CONFLICT") =>
                {
                    tracing::warn!(
                        order_id = item.order_id,
                        "the coordinator has another result of this order"
                    );
                    confirm(&agent, &digest, store_epoch);
                }
                Ok(Err(status)) if is_final(&status) => {
                    tracing::warn!(
                        order_id = item.order_id,
                        reason = reason_of(&status).unwrap_or_default(),
                        "the coordinator does not take this result; it is kept"
                    );
                    rejected.insert(digest);
                }
                Ok(Err(_)) | Err(_) => {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        }
        if !any {
            agent.outbox.prune(clock::now_ms());
            let floor_ms = crate::lock(&agent.trust).state().floor().at_ms();
            crate::lock(&agent.journal).prune(floor_ms, |digest| agent.outbox.contains(digest));
            agent.outbox.changed().await;
        }
    }
}

fn confirm(agent: &Agent, digest: &Digest, store_epoch: u64) {
    let at_ms = clock::now_ms();
    let confirmed = Confirmed { at_ms, store_epoch };
    if let Err(error) = agent.outbox.confirm(digest, confirmed) {
        tracing::warn!(order_digest = %digest, %error, "confirmation not noted; the result may be offered once more");
    }
    // Refusals of unjudged orders are in the outbox alone.
    let mut journal = crate::lock(&agent.journal);
    if journal.entry(digest).is_some()
        && let Err(error) = journal.delivered(digest, at_ms)
    {
        tracing::debug!(order_digest = %digest, %error, "delivery not noted");
    }
}

fn is_final(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
    )
}

async fn send_output(
    mut client: LinkServiceClient<Channel>,
    order_id: String,
    output: Arc<Output>,
) {
    let chunks = futures_util::stream::unfold(Some(0u64), move |offset| {
        let output = output.clone();
        let order_id = order_id.clone();
        async move {
            let chunk = output.next(offset?).await;
            let next = (!chunk.last).then_some(chunk.offset + chunk.data.len() as u64);
            let chunk = v1::OutputChunk {
                order_id,
                offset: chunk.offset,
                data: chunk.data.into(),
                last: chunk.last,
            };
            Some((chunk, next))
        }
    });
    // Live output may be lost: the result carries its digest and size.
    if let Err(status) = client.send_output(chunks).await {
        tracing::debug!(%status, "live output not taken");
    }
}

async fn observe_regularly(
    agent: Arc<Agent>,
    mut client: LinkServiceClient<Channel>,
    now: Arc<Notify>,
    reported_at: Arc<Mutex<Option<std::time::Instant>>>,
    first: Duration,
    every: Duration,
) {
    let mut wait = first;
    let mut again = INVENTORY_AGAIN;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = now.notified() => {}
        }
        match crate::observe::report(&agent, &mut client).await {
            Ok(sections) => {
                tracing::info!(sections, "inventory reported");
                *crate::lock(&reported_at) = Some(clock::monotonic());
                wait = every;
                again = INVENTORY_AGAIN;
                agent.board.update(|status| {
                    status.inventory_at_ms = clock::now_ms();
                    status.inventory_problem = None;
                });
            }
            Err(problem) => {
                tracing::warn!(
                    code = problem.code,
                    problem = problem.text.en,
                    "inventory not reported"
                );
                agent
                    .board
                    .update(|status| status.inventory_problem = Some(problem));
                // Soon, and less and less often: observing costs the machine something.
                wait = again.min(every);
                again = again.saturating_mul(2);
            }
        }
    }
}

fn ended_on_purpose(goodbye: &v1::Goodbye) -> Ended {
    let at_least = clock::duration_ms(goodbye.retry_after_ms).min(DAY);
    let (link, code, es, en) = match goodbye.reason() {
        v1::GoodbyeReason::Revoked => {
            return revoked(Problem::new(
                "DEVICE_REVOKED",
                Text::new(
                    "este equipo fue dado de baja en el coordinador",
                    "this device was revoked at the coordinator",
                ),
            ));
        }
        v1::GoodbyeReason::Quarantined => (
            Link::Quarantined,
            "DEVICE_QUARANTINED",
            "dos equipos usan esta identidad; alguien debe decidir en el coordinador",
            "two machines use this identity; somebody must decide at the coordinator",
        ),
        v1::GoodbyeReason::Superseded => (
            Link::Disconnected,
            "SUPERSEDED",
            "otra conexión de este equipo tomó el lugar",
            "a newer connection of this machine took over",
        ),
        v1::GoodbyeReason::Overloaded => (
            Link::Disconnected,
            "COORDINATOR_BUSY",
            "el coordinador está sobrecargado",
            "the coordinator is overloaded",
        ),
        v1::GoodbyeReason::Shutdown | v1::GoodbyeReason::Unspecified => (
            Link::Disconnected,
            "COORDINATOR_STOPPED",
            "el coordinador se detuvo o reinicia",
            "the coordinator stopped or restarts",
        ),
    };
    Ended {
        link,
        at_least,
        ..Ended::lost(Some(Problem::new(code, Text::new(es, en))))
    }
}

fn ended_by(status: &tonic::Status) -> Ended {
    let reason = reason_of(status).unwrap_or_default();
    let failure = enrol::refused(status);
    let said = tls::chain_of(status);
    let code = if reason.is_empty() {
        "LINK_LOST".to_owned()
    } else {
        reason.clone()
    };
    let problem = Problem::new(
        code,
        Text::new(failure.text.es, format!("{}: {said}", failure.text.en)),
    );
    match reason.as_str() {
        "DEVICE_REVOKED" => return revoked(problem),
        "DEVICE_QUARANTINED" => {
            return Ended {
                link: Link::Quarantined,
                ..Ended::lost(Some(problem))
            };
        }
        _ => {}
    }
    let at_least = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay)
        .unwrap_or_default()
        .min(DAY);
    Ended {
        at_least,
        renew: reason == "CERTIFICATE_EXPIRED" || said.contains("CertificateExpired"),
        ..Ended::lost(Some(problem))
    }
}

fn unexpected() -> Problem {
    Problem::new(
        "PROTOCOL",
        Text::new(
            "el coordinador respondió algo que este agente no esperaba",
            "the coordinator answered something this agent did not expect",
        ),
    )
}

/// A random span below `span`. Without randomness the whole span: slower, never sooner.
fn random_below(span: Duration) -> Duration {
    let mut bytes = [0u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        return span;
    }
    let part = (u64::from_le_bytes(bytes) >> 11) as f64 / (1u64 << 53) as f64;
    span.mul_f64(part)
}
