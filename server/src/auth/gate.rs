//! The door of both listeners: finds the row of the called path, finds out who calls, and lets the request in or
//! answers the refusal, before a byte of the body is decoded. Unknown paths have no row and go no further.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chasqui_base::clock;
use chasqui_proto::error::status;
use http::{Request, Response, header};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use super::roles::{self, Listener, Who};
use super::{Caller, PeerCertificate, certificate_required, session_required};
use crate::context::Context;

/// A call that is no stream is given up after this: nobody waits longer, and a body that trickles in holds memory.
const CALL_WITHIN: Duration = Duration::from_secs(120);
/// Its request is a stream that lasts as long as what it reports.
const LASTING: &[&str] = &["/chasqui.v1.LinkService/SendOutput"];

/// The other end of a connection. In the extensions of every request, as `Arc<Peer>`.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Which listener accepted it.
    pub listener: Listener,
    /// Where it comes from.
    pub address: SocketAddr,
    /// The certificate it showed in the handshake, verified against the private authority.
    pub certificate: Option<PeerCertificate>,
}

impl Peer {
    /// What limits on tries count by: the address, or its /64 in IPv6, which one machine commands whole.
    pub fn source(&self) -> String {
        source(self.address.ip())
    }
}

fn source(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// The gate before the services of one listener. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    ctx: Context,
    routes: axum::Router,
}

impl Gate {
    /// A gate before these services.
    pub fn new(ctx: Context, routes: tonic::service::Routes) -> Self {
        Self {
            ctx,
            routes: routes.prepare().into_axum_router(),
        }
    }

    /// Answers one request.
    pub async fn call<B>(mut self, peer: Arc<Peer>, mut request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let caller = match self.admit(&peer, &request).await {
            Ok(caller) => caller,
            Err(refusal) => {
                tracing::info!(
                    path = %shown(request.uri().path()),
                    source = %peer.source(),
                    reason = chasqui_proto::error::reason_of(&refusal).unwrap_or_default(),
                    "refused"
                );
                return refusal.into_http();
            }
        };
        let extensions = request.extensions_mut();
        extensions.insert(caller);
        extensions.insert(peer);
        let lasting = LASTING.contains(&request.uri().path());
        let answer = self.routes.call(request.map(axum::body::Body::new));
        let answered = if lasting {
            answer.await
        } else {
            match tokio::time::timeout(CALL_WITHIN, answer).await {
                Ok(answered) => answered,
                Err(_) => return too_long().into_http(),
            }
        };
        match answered {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    async fn admit<B>(&self, peer: &Peer, request: &Request<B>) -> Result<Caller, Status> {
        let path = request.uri().path();
        let row = roles::row(path)
            .filter(|row| row.listener == peer.listener)
            .ok_or_else(|| {
                status(
                    Code::Unimplemented,
                    "METHOD_UNKNOWN",
                    "no such call on this listener: check the program's version, and that machines and people use their own address",
                    &[],
                )
            })?;
        let now_ms = clock::now_ms();
        let caller = match row.who {
            Who::Anyone => Caller::Anonymous,
            Who::Device => {
                let certificate = peer.certificate.as_ref().ok_or_else(certificate_required)?;
                Caller::Device(
                    self.ctx
                        .auth
                        .devices
                        .admit(&self.ctx.store, certificate, now_ms)
                        .await?,
                )
            }
            Who::People(_) => {
                let token = bearer(request).ok_or_else(session_required)?;
                Caller::Person(
                    self.ctx
                        .auth
                        .sessions
                        .admit(&self.ctx.store, token, now_ms)
                        .await?,
                )
            }
        };
        if row.who.includes(&caller) {
            return Ok(caller);
        }
        let needed = match row.who {
            Who::People(roles) => roles
                .iter()
                .map(|role| role.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            _ => String::new(),
        };
        Err(status(
            Code::PermissionDenied,
            "ROLE_REQUIRED",
            format!("this call needs one of these roles: {needed}; ask an administrator"),
            &[("roles", &needed)],
        ))
    }
}

fn too_long() -> Status {
    status(
        Code::DeadlineExceeded,
        "CALL_TOO_LONG",
        "the call was not done within two minutes: try again with the same request_id",
        &[],
    )
}

/// The token of `authorization: Bearer <token>`; the scheme's name is compared without case (RFC 9110, 11.1).
fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A path as it may stand in a log: bounded, without control characters.
fn shown(path: &str) -> String {
    path.chars().filter(|c| !c.is_control()).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_address_or_its_network() {
        assert_eq!(source("192.0.2.7".parse().unwrap()), "192.0.2.7");
        assert_eq!(source("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.7");
        assert_eq!(
            source("2001:db8:1:2:3:4:5:6".parse().unwrap()),
            source("2001:db8:1:2::9".parse().unwrap())
        );
    }
}
