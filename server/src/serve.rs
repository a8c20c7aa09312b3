//! The two listeners and the life of the process: accept, hand to the gate, and at the end tell everybody to come back,
//! wait for what is under way, and stop in bounded time. Nothing here knows what a call does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use chasqui_base::{clock, durable};
use chasqui_proto::v1::GoodbyeReason;
use chasqui_store::{Options, Store};
use chasqui_trust::SigningKey;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service as _;

use crate::auth::roles::Listener;
use crate::auth::{Gate, Peer, PeerCertificate};
use crate::ca::Authority;
use crate::config::Config;
use crate::context::Context;
use crate::{fleet, init, jobs, rpc, tls, web};

/// Where the addresses in use are written once both listeners are up.
pub const ADDRESSES: &str = "addresses.json";

/// A handshake that takes longer is given up.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// A connection of the agents' listener without a certificate may live this long: enough to enrol or renew.
const STRANGER_WITHIN: Duration = Duration::from_secs(60);
/// HTTP/2 pings on idle connections, and how long an answer may take.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_WITHIN: Duration = Duration::from_secs(20);
/// Calls at once on one connection.
const AGENT_CALLS: u32 = 16;
const PEOPLE_CALLS: u32 = 128;
/// Bytes of a request's headers.
const MAX_HEADERS: u32 = 16 * 1024;
/// How long accepting rests after an error of the system (no file descriptors left, say).
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// The first agents come back this long after a stop; the rest spread up to the configured cap.
const RETURN_AFTER_MS: i64 = clock::SECOND_MS;

/// The addresses in use: what tests and the demo read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    /// As agents dial it, `https://host:port`.
    pub agents_url: String,
    /// As people dial it, `http(s)://address:port`.
    pub people_url: String,
    /// Process id of the coordinator.
    pub pid: u32,
}

/// Opens what a configuration names.
///
/// # Errors
/// What cannot be opened, with its path and the remedy.
pub fn open(config: Config) -> anyhow::Result<Context> {
    let ca = Authority::load(&config.data, &config.organisation)?;
    let log_key_path = config.data_file(init::LOG_KEY);
    let pem = std::fs::read_to_string(&log_key_path).with_context(|| {
        format!(
            "{}: `chasqui-server init` makes it, a backup of the data folder brings it back",
            log_key_path.display()
        )
    })?;
    let log_key =
        SigningKey::from_pkcs8_pem(&pem).with_context(|| log_key_path.display().to_string())?;
    let store = Store::open(&config.store.url, &Options::default()).context("store.url")?;
    Ok(Context::new(store, config, ca, log_key))
}

/// A coordinator that listens and does not serve yet.
pub struct Bound {
    ctx: Context,
    agents: (TcpListener, TlsAcceptor),
    people: (TcpListener, Option<TlsAcceptor>),
    /// In use.
    pub addresses: Addresses,
}

/// Takes both ports.
///
/// # Errors
/// Which listener could not be had, and why.
pub async fn bind(ctx: Context) -> anyhow::Result<Bound> {
    let config = &ctx.config;
    let agents_tls = tls::agents(&ctx.ca, &config.agents.names).context("agents.names")?;
    let people_tls = match (&config.people.certificate, &config.people.key) {
        (Some(certificate), Some(key)) => Some(TlsAcceptor::from(tls::people(certificate, key)?)),
        _ => None,
    };
    let agents = TcpListener::bind(config.agents.listen)
        .await
        .with_context(|| {
            format!(
                "agents.listen: {} cannot be listened on",
                config.agents.listen
            )
        })?;
    let people = TcpListener::bind(config.people.listen)
        .await
        .with_context(|| {
            format!(
                "people.listen: {} cannot be listened on",
                config.people.listen
            )
        })?;
    let scheme = if people_tls.is_some() {
        "https"
    } else {
        "http"
    };
    let addresses = Addresses {
        agents_url: agents_url(config, agents.local_addr()?),
        people_url: format!("{scheme}://{}", reachable(people.local_addr()?)),
        pid: std::process::id(),
    };
    // Set once: a context serves once.
    let _ = ctx.agents_url.set(addresses.agents_url.clone());
    Ok(Bound {
        agents: (agents, TlsAcceptor::from(agents_tls)),
        people: (people, people_tls),
        addresses,
        ctx,
    })
}

/// Runs a coordinator until the process is told to stop.
///
/// # Errors
/// What kept it from starting.
pub async fn run(config: Config) -> anyhow::Result<()> {
    raise_file_limit();
    let bound = bind(open(config)?).await?;
    let file = bound.ctx.config.data_file(ADDRESSES);
    announce(&file, &bound.addresses)?;
    tracing::info!(
        agents = bound.addresses.agents_url,
        people = bound.addresses.people_url,
        version = crate::VERSION,
        "ready"
    );
    notify(&[sd_notify::NotifyState::Ready]);
    let stopped = bound.serve(told_to_stop()).await;
    if let Err(cause) = durable::remove(&file) {
        tracing::warn!(%cause, "the file of addresses stays behind");
    }
    stopped
}

impl Bound {
    /// The parts of this coordinator.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Serves until `stop` is there, then drains.
    ///
    /// # Errors
    /// None at present; what fails while serving is logged.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let ctx = self.ctx;
        let connections = TaskTracker::new();
        fleet::start(&ctx);
        jobs::start(&ctx);
        let agents = Door {
            ctx: ctx.clone(),
            gate: Gate::new(ctx.clone(), rpc::agents(&ctx)),
            caps: Caps::new(
                ctx.config.agents.max_connections,
                ctx.config.agents.max_connections_per_source,
            ),
            connections: connections.clone(),
        };
        let people = Door {
            ctx: ctx.clone(),
            gate: Gate::new(ctx.clone(), rpc::people(&ctx)),
            caps: Caps::new(
                ctx.config.people.max_connections,
                ctx.config.people.max_connections,
            ),
            connections: connections.clone(),
        };
        let (listener, acceptor) = self.agents;
        ctx.tasks
            .spawn(async move { agents.serve_agents(listener, acceptor).await });
        let (listener, acceptor) = self.people;
        ctx.tasks
            .spawn(async move { people.serve_people(listener, acceptor).await });

        stop.await;
        notify(&[sd_notify::NotifyState::Stopping]);
        drain(&ctx, &connections).await;
        Ok(())
    }
}

/// Tells every agent when to come back, lets calls end, stores what is in memory; all within the configured time.
async fn drain(ctx: &Context, connections: &TaskTracker) {
    let deadline = Duration::from_secs(ctx.config.stop_seconds);
    tracing::info!(
        streams = ctx.fleet.connected(),
        seconds = deadline.as_secs(),
        "stopping"
    );
    fleet::flush_seen(ctx).await;
    ctx.stop.cancel();
    let spread_ms = i64::from(ctx.config.devices.reconnect_cap_seconds) * clock::SECOND_MS;
    ctx.fleet
        .end_all(GoodbyeReason::Shutdown, RETURN_AFTER_MS, spread_ms);
    connections.close();
    ctx.tasks.close();
    let ended = async {
        connections.wait().await;
        ctx.tasks.wait().await;
    };
    if tokio::time::timeout(deadline, ended).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            tasks = ctx.tasks.len(),
            "time is up: what was answered is durable, what was not will be asked again"
        );
    }
    tracing::info!("stopped");
}

/// One listener's way in.
struct Door {
    ctx: Context,
    gate: Gate,
    caps: Arc<Caps>,
    connections: TaskTracker,
}

impl Door {
    async fn serve_agents(self, listener: TcpListener, acceptor: TlsAcceptor) {
        let organisation: Arc<str> = self.ctx.config.organisation.as_str().into();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .max_concurrent_streams(AGENT_CALLS)
            .max_header_list_size(MAX_HEADERS);
        while let Some((stream, address, place)) = self.accept(&listener).await {
            let (acceptor, organisation, builder) =
                (acceptor.clone(), Arc::clone(&organisation), builder.clone());
            let (gate, stop) = (self.gate.clone(), self.ctx.stop.clone());
            self.connections.spawn(async move {
                let _place = place;
                let tls = match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                    Ok(Ok(tls)) => tls,
                    Ok(Err(cause)) => return tracing::info!(source = %address.ip(), %cause, "handshake refused"),
                    Err(_) => return tracing::info!(source = %address.ip(), "handshake took too long"),
                };
                let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let certificate = match shown.map(|der| PeerCertificate::read(der, &organisation)).transpose() {
                    Ok(certificate) => certificate,
                    Err(cause) => return tracing::info!(source = %address.ip(), %cause, "certificate refused"),
                };
                let stranger = certificate.is_none();
                let peer = Arc::new(Peer { listener: Listener::Agents, address, certificate });
                let service = service_fn(move |request: Request<Incoming>| {
                    let (gate, peer) = (gate.clone(), Arc::clone(&peer));
                    // Boxed, so that what a call needed is freed while its answer streams.
                    Box::pin(async move { Ok::<_, Infallible>(gate.call(peer, request).await) })
                });
                let mut connection = pin!(builder.serve_connection(TokioIo::new(tls), service));
                tokio::select! {
                    // A broken connection is everyday; what it carried is asked again.
                    _ = connection.as_mut() => return,
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(STRANGER_WITHIN), if stranger => {}
                }
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(STRANGER_WITHIN, connection).await;
            });
        }
    }

    async fn serve_people(self, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
        let web = web::routes(self.ctx.clone());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HANDSHAKE_WITHIN);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN)
            .max_concurrent_streams(PEOPLE_CALLS)
            .max_header_list_size(MAX_HEADERS);
        while let Some((stream, address, place)) = self.accept(&listener).await {
            let (acceptor, builder, web) = (acceptor.clone(), builder.clone(), web.clone());
            let (gate, stop) = (self.gate.clone(), self.ctx.stop.clone());
            self.connections.spawn(async move {
                let _place = place;
                let peer = Arc::new(Peer { listener: Listener::People, address, certificate: None });
                let service = service_fn(move |request: Request<Incoming>| {
                    let (gate, peer, web) = (gate.clone(), Arc::clone(&peer), web.clone());
                    Box::pin(async move { Ok::<_, Infallible>(answer_people(gate, web, peer, request).await) })
                });
                let io = match acceptor {
                    None => People::Plain(stream),
                    Some(acceptor) => {
                        match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                            Ok(Ok(tls)) => People::Tls(Box::new(tls)),
                            Ok(Err(cause)) => {
                                return tracing::info!(source = %address.ip(), %cause, "handshake refused");
                            }
                            Err(_) => return tracing::info!(source = %address.ip(), "handshake took too long"),
                        }
                    }
                };
                match io {
                    People::Plain(stream) => {
                        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
                        tokio::select! {
                            _ = connection.as_mut() => return,
                            () = stop.cancelled() => {}
                        }
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                    People::Tls(stream) => {
                        let mut connection = pin!(builder.serve_connection(TokioIo::new(*stream), service));
                        tokio::select! {
                            _ = connection.as_mut() => return,
                            () = stop.cancelled() => {}
                        }
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
            });
        }
    }

    /// The next connection that has a place; nothing when the coordinator stops.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr, Place)> {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.ctx.stop.cancelled() => return None,
            };
            match accepted {
                Ok((stream, address)) => match self.caps.place(address.ip()) {
                    Some(place) => {
                        // Control messages are small and wait for nobody.
                        let _ = stream.set_nodelay(true);
                        return Some((stream, address, place));
                    }
                    None => tracing::warn!(source = %address.ip(), "too many connections: refused"),
                },
                Err(cause) => {
                    tracing::warn!(%cause, "accepting failed");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

enum People {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

/// gRPC goes through the gate, everything else is the web's.
async fn answer_people(
    gate: Gate,
    mut web: axum::Router,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return gate.call(peer, request).await;
    }
    match web.call(request.map(axum::body::Body::new)).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// How many connections are open, in all and from one address.
struct Caps {
    all: Arc<Semaphore>,
    per_source: usize,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place under the caps, given up when dropped.
struct Place {
    caps: Arc<Caps>,
    source: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Caps {
    fn new(all: usize, per_source: usize) -> Arc<Self> {
        Arc::new(Self {
            all: Arc::new(Semaphore::new(all)),
            per_source,
            sources: Mutex::default(),
        })
    }

    fn place(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut sources = self.sources.lock().ok()?;
        let count = sources.entry(source).or_insert(0);
        if *count >= self.per_source {
            return None;
        }
        *count += 1;
        Some(Place {
            caps: Arc::clone(self),
            source,
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Ok(mut sources) = self.caps.sources.lock()
            && let Some(count) = sources.get_mut(&self.source)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

fn agents_url(config: &Config, listening: SocketAddr) -> String {
    if !config.agents.url.is_empty() {
        return config.agents.url.clone();
    }
    let name = config
        .agents
        .names
        .first()
        .map_or("localhost", String::as_str);
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("https://[{address}]:{}", listening.port()),
        _ => format!("https://{name}:{}", listening.port()),
    }
}

/// An address somebody on this machine can dial: "any" is not one.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        });
    }
    address
}

fn announce(file: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let json = serde_json::to_vec_pretty(addresses)?;
    durable::write(file, &json, 0o644).with_context(|| file.display().to_string())
}

/// Says something to the service manager; without one, nobody listens.
fn notify(state: &[sd_notify::NotifyState]) {
    if let Err(cause) = sd_notify::notify(state) {
        tracing::debug!(%cause, "the service manager was not told");
    }
}

/// Every agent is an open file: takes as many as the system allows this process.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(cause) = setrlimit(Resource::Nofile, wanted) {
        tracing::info!(%cause, "the limit of open files stays as it is");
    }
}

/// SIGTERM or SIGINT; a second one ends the process at once.
async fn told_to_stop() {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(cause) => {
            tracing::error!(%cause, "signals are not heard: stop with SIGKILL");
            return std::future::pending().await;
        }
    };
    signals.next().await;
    tokio::spawn(async move {
        signals.next().await;
        tracing::warn!("told again to stop: ending at once");
        std::process::exit(130);
    });
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
