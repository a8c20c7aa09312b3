//! Connections: accepted under caps, their handshakes bounded in time, each served by one task until it ends or the
//! coordinator stops.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service as _;

use crate::auth::roles::Listener;
use crate::auth::{Gate, Peer, PeerCertificate};
use crate::context::Context;
use crate::web;

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

/// One listener's way in.
pub(super) struct Door {
    pub(super) ctx: Context,
    pub(super) gate: Gate,
    pub(super) caps: Arc<Caps>,
    /// Every open connection, so that stopping can wait for them.
    pub(super) connections: TaskTracker,
}

impl Door {
    /// Accepts agents until the coordinator stops.
    pub(super) async fn serve_agents(self, listener: TcpListener, acceptor: TlsAcceptor) {
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
                let Some(tls) = handshake(&acceptor, stream, address, &stop).await else {
                    return;
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
                // What is under way ends; the time for that is bounded here for strangers, by the stop for the rest.
                let _ = tokio::time::timeout(STRANGER_WITHIN, connection).await;
            });
        }
    }

    /// Accepts people until the coordinator stops.
    pub(super) async fn serve_people(self, listener: TcpListener, acceptor: Option<TlsAcceptor>) {
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
                let peer = Arc::new(Peer {
                    listener: Listener::People,
                    address,
                    certificate: None,
                });
                match acceptor {
                    None => people(&builder, stream, gate, web, peer, &stop).await,
                    Some(acceptor) => {
                        if let Some(tls) = handshake(&acceptor, stream, address, &stop).await {
                            people(&builder, tls, gate, web, peer, &stop).await;
                        }
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

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    stop: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let done = tokio::select! {
        done = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)) => done,
        () = stop.cancelled() => return None,
    };
    match done {
        Ok(Ok(tls)) => return Some(tls),
        Ok(Err(cause)) => tracing::info!(source = %address.ip(), %cause, "handshake refused"),
        Err(_) => tracing::info!(source = %address.ip(), "handshake took too long"),
    }
    None
}

async fn people<I>(
    builder: &auto::Builder<TokioExecutor>,
    io: I,
    gate: Gate,
    web: axum::Router,
    peer: Arc<Peer>,
    stop: &CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (gate, peer, web) = (gate.clone(), Arc::clone(&peer), web.clone());
        Box::pin(async move { Ok::<_, Infallible>(answer_people(gate, web, peer, request).await) })
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
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
    let mut request = request.map(axum::body::Body::new);
    request.extensions_mut().insert(peer);
    match web.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

/// How many connections are open, in all and from one address.
pub(super) struct Caps {
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
    /// With these bounds.
    pub(super) fn new(all: usize, per_source: usize) -> Arc<Self> {
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
