//! Who calls, and whether the role table lets them: sessions of people, certificates of devices, limits on tries. A
//! boundary: directory, OIDC and passkeys will join behind [`Caller`] without a handler noticing. It decides nothing
//! about tickets, orders or any other feature.

mod device;
mod gate;
mod limit;
pub mod password;
pub mod roles;
mod session;

use std::sync::Arc;

use chasqui_domain::ids::{DeviceId, PersonId, SessionId};
use chasqui_domain::role::Roles;
use chasqui_proto::error::status;
use tonic::{Code, Request, Status};

pub use device::{PeerCertificate, PeerError};
pub(crate) use device::{check as check_standing, quarantined, revoked, unknown as device_unknown};
pub use gate::{Gate, Peer};
pub use limit::Scope;
pub use session::{Secret, digest};

use crate::config::SessionsConfig;

/// Whose call it is. In the extensions of every request that passed the [`Gate`].
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// A machine, by its certificate.
    Device(Device),
    /// A person, by their session.
    Person(Person),
}

/// A machine with a certificate in force that is neither revoked nor quarantined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// SHA-256 over the 32 bytes of its Ed25519 key.
    pub fingerprint: [u8; 32],
}

/// A person with a session in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their id, also in the people document.
    pub id: PersonId,
    /// Log-in name.
    pub login: String,
    /// Full name.
    pub name: String,
    /// What they may call.
    pub roles: Roles,
    /// The session they call with.
    pub session: SessionId,
    /// When it ends at the latest, UTC milliseconds.
    pub session_expires_at_ms: i64,
}

impl Caller {
    /// Name of the caller in events and in the requests table: an id, or `anonymous`.
    pub fn actor(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Device(device) => device.id.to_string(),
            Self::Person(person) => person.id.to_string(),
        }
    }
}

/// Whose call this is.
///
/// # Errors
/// INTERNAL when the request did not pass the gate: a defect of the wiring.
pub fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| {
            crate::error::internal("auth", &"a request without a caller reached a handler")
        })
}

/// The person who calls.
///
/// # Errors
/// UNAUTHENTICATED / SESSION_REQUIRED for anybody else.
pub fn person<T>(request: &Request<T>) -> Result<Person, Status> {
    match caller(request)? {
        Caller::Person(person) => Ok(person),
        _ => Err(session_required()),
    }
}

/// The machine that calls.
///
/// # Errors
/// UNAUTHENTICATED / CERTIFICATE_REQUIRED for anybody else.
pub fn device<T>(request: &Request<T>) -> Result<Device, Status> {
    match caller(request)? {
        Caller::Device(device) => Ok(device),
        _ => Err(certificate_required()),
    }
}

/// The other end of the connection this request came on.
///
/// # Errors
/// As [`caller`].
pub fn peer<T>(request: &Request<T>) -> Result<Arc<Peer>, Status> {
    request
        .extensions()
        .get::<Arc<Peer>>()
        .cloned()
        .ok_or_else(|| {
            crate::error::internal("auth", &"a request without a peer reached a handler")
        })
}

fn session_required() -> Status {
    status(
        Code::Unauthenticated,
        "SESSION_REQUIRED",
        "log in first and send the session's token as `authorization: Bearer <token>`",
        &[],
    )
}

fn certificate_required() -> Status {
    status(
        Code::Unauthenticated,
        "CERTIFICATE_REQUIRED",
        "this call needs the device's certificate: enrol first, or renew it",
        &[],
    )
}

/// The state behind the gate: what is remembered of sessions, devices and tries.
pub struct Auth {
    pub(crate) sessions: session::Sessions,
    pub(crate) devices: device::Standings,
    pub(crate) hasher: password::Hasher,
    pub(crate) limits: limit::Limits,
}

impl Auth {
    /// Empty memories.
    pub fn new(config: &SessionsConfig) -> Self {
        Self {
            sessions: session::Sessions::new(config),
            devices: device::Standings::default(),
            hasher: password::Hasher::new(config.hashes_at_once),
            limits: limit::Limits::new(config),
        }
    }
}
