//! The two listeners and the life of the process: accept, hand to the gate, and at the end tell everybody to come back,
//! wait for what is under way, and stop in bounded time. Nothing here knows what a call does.

mod door;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chasqui_base::{clock, durable};
use chasqui_proto::v1::GoodbyeReason;
use chasqui_store::{Options, Store};
use chasqui_trust::SigningKey;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::auth::Gate;
use crate::ca::Authority;
use crate::config::Config;
use crate::context::Context;
use crate::{fleet, init, jobs, rpc, tls};
use door::{Caps, Door};

/// Where the addresses in use are written once both listeners are up.
pub const ADDRESSES: &str = "addresses.json";

/// SIGXFSZ: a file grew over the limit set for this process.
const SIGXFSZ: i32 = 25;
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
    // Heard, it no longer ends the process: the write fails and is told like a full disk.
    let _file_too_large =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ))
            .context("the signal SIGXFSZ")?;
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
        let door = |routes, (all, per_source)| Door {
            gate: Gate::new(ctx.clone(), routes),
            caps: Caps::new(all, per_source),
            connections: connections.clone(),
            ctx: ctx.clone(),
        };
        let config = &ctx.config;
        let caps = (
            config.agents.max_connections,
            config.agents.max_connections_per_source,
        );
        let agents = door(rpc::agents(&ctx), caps);
        let caps = (config.people.max_connections, config.people.max_connections);
        let people = door(rpc::people(&ctx), caps);
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
