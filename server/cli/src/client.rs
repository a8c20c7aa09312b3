//! The way to the coordinator: a channel over plain HTTP on loopback or TLS with public authorities or `--ca`, the session
//! token on every call, and a few more tries when the coordinator is away. A retry is harmless: reads change nothing, and
//! every create carries a request id made before the first try.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chasqui_proto::v1;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::session_file::SessionFile;

/// Tries of one call when the coordinator is away.
const TRIES: u32 = 4;
/// Longest wait the coordinator may ask of a retry that nobody sees.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const CONNECT_TIME_LIMIT: Duration = Duration::from_secs(10);
const CALL_TIME_LIMIT: Duration = Duration::from_secs(60);
/// Most bytes of an answer: an inventory with 20,000 programs.
const MAX_ANSWER_BYTES: usize = 20 * 1024 * 1024;

/// Puts the session token on each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// The transport of every generated client.
pub type Transport = InterceptedService<Channel, Bearer>;

/// A connection to one coordinator as one person.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    token: Bearer,
    /// The address as given.
    pub server: String,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $module:ident :: $client:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> v1::$module::$client<Transport> {
            v1::$module::$client::with_interceptor(self.channel.clone(), self.token.clone())
                .max_decoding_message_size(MAX_ANSWER_BYTES)
        }
    )*};
}

impl Client {
    /// As the person whose session is stored; fails when there is none for this coordinator.
    pub fn of_session(context: &Context) -> Outcome<(Self, SessionFile)> {
        let session = SessionFile::load(context)?.ok_or_else(|| {
            Failure::new(
                Exit::LoginNeeded,
                "SESSION_MISSING",
                "no hay una sesión iniciada",
                "nobody is logged in",
            )
            .hint(
                "inicie sesión con: chasqui login --server URL",
                "log in with: chasqui login --server URL",
            )
        })?;
        if let Some(server) = &context.server
            && server.trim_end_matches('/') != session.server
        {
            return Err(Failure::new(
                Exit::LoginNeeded,
                "SESSION_OTHER_SERVER",
                format!("la sesión es de {}, no de {server}", session.server),
                format!("the session is with {}, not with {server}", session.server),
            )
            .hint(
                "inicie sesión con: chasqui login",
                "log in with: chasqui login",
            ));
        }
        let ca = context.ca.as_deref().or(session.ca.as_deref());
        let client = Self::connect(&session.server, ca, Some(&session.token))?;
        Ok((client, session))
    }

    /// Without a session: for log-in and what needs none.
    pub fn anonymous(context: &Context) -> Outcome<Self> {
        let session = SessionFile::load(context).unwrap_or_default();
        let (server, ca) = match (&context.server, session) {
            (Some(server), _) => (server.clone(), context.ca.clone()),
            (None, Some(session)) => (session.server, context.ca.clone().or(session.ca)),
            (None, None) => {
                return Err(Failure::usage(
                    "falta la dirección del coordinador",
                    "the coordinator's address is missing",
                )
                .hint(
                    "indíquela con --server https://anfitrión:puerto",
                    "give it with --server https://host:port",
                ));
            }
        };
        Self::connect(&server, ca.as_deref(), None)
    }

    /// A channel that connects at its first call.
    pub fn connect(server: &str, ca: Option<&Path>, token: Option<&str>) -> Outcome<Self> {
        let server = server.trim_end_matches('/').to_owned();
        let wrong = || {
            Failure::usage(
                format!("la dirección {server:?} no es http:// o https:// con anfitrión y puerto"),
                format!("the address {server:?} is not http:// or https:// with host and port"),
            )
        };
        let uri: Uri = server.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?.to_owned();
        let authority = uri.authority().ok_or_else(wrong)?.as_str().to_owned();
        // The generic endpoint knows no TLS: this module's connector does, so the inner address is always plain.
        let endpoint = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|_| wrong())?
            .connect_timeout(CONNECT_TIME_LIMIT)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20))
            .user_agent(concat!("chasqui/", env!("CARGO_PKG_VERSION")))
            .map_err(|_| wrong())?;
        let channel = match uri.scheme_str() {
            Some("http") => {
                if !is_loopback(&host) {
                    return Err(Failure::new(
                        Exit::Refused,
                        "PLAIN_HTTP",
                        format!("http:// sin cifrar solo se permite en esta misma máquina, no con {host}"),
                        format!("plain http:// is allowed on this machine only, not with {host}"),
                    )
                    .hint("use https://", "use https://"));
                }
                endpoint.connect_lazy()
            }
            Some("https") => {
                let origin: Uri = format!("https://{authority}")
                    .parse()
                    .map_err(|_| wrong())?;
                let port = uri.port_u16().unwrap_or(443);
                let tls = Tls::new(&host, port, ca)?;
                endpoint
                    .origin(origin)
                    .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                        tls.clone().dial()
                    }))
            }
            _ => return Err(wrong()),
        };
        let token = match token {
            Some(token) => {
                let mut value: MetadataValue<Ascii> =
                    format!("Bearer {token}").parse().map_err(|_| {
                        Failure::new(
                            Exit::LoginNeeded,
                            "SESSION_INVALID",
                            "el archivo de sesión está dañado",
                            "the session file is damaged",
                        )
                        .hint(
                            "inicie sesión con: chasqui login",
                            "log in with: chasqui login",
                        )
                    })?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            channel,
            token: Bearer(token),
            server,
        })
    }

    services! {
        /// Log-in and who one is.
        sessions: session_service_client::SessionServiceClient;
        /// Accounts.
        persons: person_service_client::PersonServiceClient;
        /// Enrolment tokens.
        tokens: enrolment_token_service_client::EnrolmentTokenServiceClient;
        /// Devices.
        devices: device_service_client::DeviceServiceClient;
        /// Inventory.
        inventory: inventory_service_client::InventoryServiceClient;
        /// Sources of inventories of other programs.
        sources: inventory_source_service_client::InventorySourceServiceClient;
        /// Tickets.
        tickets: ticket_service_client::TicketServiceClient;
        /// Orders.
        orders: order_service_client::OrderServiceClient;
        /// Trust documents.
        trust: trust_service_client::TrustServiceClient;
        /// Retirement.
        retirement: retirement_service_client::RetirementServiceClient;
    }
}

/// One call with a time limit, tried again while the coordinator is away. `once` must make the same request each time.
pub async fn call<T, F, Fut>(mut once: F) -> Outcome<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<tonic::Response<T>, Status>>,
{
    let mut wait = Duration::from_millis(150);
    let mut tried = 1;
    loop {
        let status = match tokio::time::timeout(CALL_TIME_LIMIT, once()).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer within 60 s"),
        };
        let asked = status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay);
        let away = status.code() == Code::Unavailable;
        if !away || tried >= TRIES || asked.is_some_and(|wait| wait > LONGEST_WAIT) {
            return Err(status.into());
        }
        tokio::time::sleep(asked.unwrap_or(wait)).await;
        wait *= 2;
        tried += 1;
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[derive(Clone)]
struct Tls {
    config: Arc<rustls::ClientConfig>,
    name: ServerName<'static>,
    host: String,
    port: u16,
}

impl Tls {
    fn new(host: &str, port: u16, ca: Option<&Path>) -> Outcome<Self> {
        let mut roots = rustls::RootCertStore::empty();
        match ca {
            Some(path) => {
                let bytes = crate::input::read_file(path)?;
                for certificate in CertificateDer::pem_slice_iter(&bytes) {
                    let certificate = certificate.map_err(|_| bad_ca(path))?;
                    roots.add(certificate).map_err(|_| bad_ca(path))?;
                }
                if roots.is_empty() {
                    return Err(bad_ca(path));
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_failure(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(bare.clone()).map_err(|_| {
            Failure::usage(
                format!("{host:?} no es un nombre de anfitrión"),
                format!("{host:?} is no host name"),
            )
        })?;
        Ok(Self {
            config: Arc::new(config),
            name,
            host: bare,
            port,
        })
    }

    async fn dial(self) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await?;
        tcp.set_nodelay(true)?;
        let tls = tokio_rustls::TlsConnector::from(self.config)
            .connect(self.name, tcp)
            .await?;
        Ok(TokioIo::new(tls))
    }
}

fn bad_ca(path: &Path) -> Failure {
    let path = path.display();
    Failure::usage(
        format!("{path} no contiene un certificado PEM utilizable"),
        format!("{path} holds no usable PEM certificate"),
    )
}

fn tls_failure(error: &rustls::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        "TLS",
        format!("no se pudo preparar TLS: {error}"),
        format!("TLS could not be prepared: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_goes_to_this_machine_only() {
        assert!(Client::connect("http://127.0.0.1:1", None, None).is_ok());
        assert!(Client::connect("http://[::1]:1", None, None).is_ok());
        let refused = Client::connect("http://example.org:80", None, None)
            .err()
            .unwrap();
        assert_eq!(refused.code, "PLAIN_HTTP");
        for wrong in ["", "ftp://x", "127.0.0.1:80", "https://"] {
            assert!(Client::connect(wrong, None, None).is_err(), "{wrong}");
        }
    }
}
