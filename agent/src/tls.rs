//! The way to the coordinator: TCP (or a proxy's tunnel), TLS 1.3, HTTP/2. The coordinator is believed when the chain it
//! presents ends in an authority whose digest people signed into `root.json`; there is no trust on first use. Simulated
//! agents of tests come through here too.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_base::text::Text;
use chasqui_trust::Digest;
use hyper_util::rt::TokioIo;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::failure::Failure;
use crate::proxy::{Proxy, split_host_port};

/// How far the machine's clock may stand beside the coordinator's certificate. Wrong clocks are common, and a machine
/// that could not connect could not be told; orders are judged by their own rules of time, not by this.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2 * 24 * 3600);
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// Where the agents' listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP address, without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl Address {
    /// Reads `https://host:port`; 443 when no port is given.
    pub fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("https://")?.trim_end_matches('/');
        let (host, port) =
            split_host_port(rest).or_else(|| split_host_port(&format!("{rest}:443")))?;
        Some(Self { host, port })
    }
}

/// Proves who the agent is.
#[derive(Clone)]
pub struct ClientCertificate {
    /// Device certificate and its authority, DER.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 DER of the device key.
    pub key: zeroize::Zeroizing<Vec<u8>>,
}

/// Everything needed to open a channel.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Where to.
    pub address: Address,
    /// Through what.
    pub proxy: Option<Proxy>,
    /// With which TLS rules.
    pub tls: Arc<ClientConfig>,
}

/// TLS rules of an agent: 1.3 only, the authority must be one of `authorities` (SHA-256 of its DER). `known_authority` is
/// the stored certificate, used when the coordinator does not send it. `floor_ms` is the earliest time it can be.
pub fn client_config(
    authorities: Vec<Digest>,
    known_authority: Option<Vec<u8>>,
    certificate: Option<ClientCertificate>,
    floor_ms: i64,
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinnedAuthority {
        authorities,
        known: known_authority.map(CertificateDer::from),
        provider: provider.clone(),
    });
    let builder = ClientConfig::builder_with_details(provider, Arc::new(OwnClock { floor_ms }))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match certificate {
        Some(certificate) => builder.with_client_auth_cert(
            certificate
                .chain
                .iter()
                .map(|der| CertificateDer::from(der.clone()))
                .collect(),
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.key.to_vec())),
        )?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the look at this machine's certificate, and with it a renewal or revocation.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// An open channel. It never reconnects by itself: a new connection is a new decision of the caller.
pub async fn channel(dial: &Dial) -> Result<Channel, Failure> {
    let stream = tokio::time::timeout(CONNECT_LIMIT, connect(dial))
        .await
        .map_err(|_| unreachable(dial, &format!("no answer in {} s", CONNECT_LIMIT.as_secs())))??;
    let mut stream = Some(stream);
    // The scheme is only text here: TLS is already spoken by the stream.
    let endpoint = Endpoint::from_static("http://agents.chasqui")
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15))
        .keep_alive_while_idle(true)
        .connect_timeout(CONNECT_LIMIT);
    endpoint
        .connect_with_connector(tower::service_fn(move |_| {
            let stream = stream.take();
            async move {
                stream
                    .map(TokioIo::new)
                    .ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))
            }
        }))
        .await
        .map_err(|error| unreachable(dial, &chain_of(&error)))
}

async fn connect(dial: &Dial) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let Address { host, port } = &dial.address;
    let tcp = match &dial.proxy {
        Some(proxy) => proxy.connect(host, *port).await,
        None => TcpStream::connect((host.as_str(), *port)).await,
    }
    .map_err(|error| unreachable(dial, &error.to_string()))?;
    // Small messages both ways; a delay only adds up.
    let _ = tcp.set_nodelay(true);
    let name = ServerName::try_from(host.clone())
        .map_err(|error| unreachable(dial, &error.to_string()))?;
    tokio_rustls::TlsConnector::from(dial.tls.clone())
        .connect(name, tcp)
        .await
        .map_err(|error| tls_failure(dial, &error))
}

fn unreachable(dial: &Dial, why: &str) -> Failure {
    let Address { host, port } = &dial.address;
    let (es, en) = match &dial.proxy {
        Some(proxy) => (
            format!(" por el proxy {proxy:?}"),
            format!(" through the proxy {proxy:?}"),
        ),
        None => (String::new(), String::new()),
    };
    Failure::failed(
        "COORDINATOR_UNREACHABLE",
        Text::new(
            format!("no se pudo llegar al coordinador {host}:{port}{es}: {why}"),
            format!("the coordinator {host}:{port} could not be reached{en}: {why}"),
        ),
    )
}

fn tls_failure(dial: &Dial, error: &io::Error) -> Failure {
    let Address { host, port } = &dial.address;
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(problem)) if is_time(problem) => Failure::failed(
            "COORDINATOR_CERTIFICATE_TIME",
            Text::new(
                format!(
                    "el certificado de {host}:{port} no vale a la hora de este equipo ({problem}): revise el reloj del equipo y el certificado del coordinador"
                ),
                format!(
                    "the certificate of {host}:{port} is not valid at this machine's time ({problem}): check this machine's clock and the coordinator's certificate"
                ),
            ),
        ),
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Failure::needs_action(
                "COORDINATOR_NOT_IN_ROOT",
                Text::new(
                    format!(
                        "{host}:{port} no presentó ninguna autoridad de las que nombra root.json: no es el coordinador de esta organización, o falta traer el root.json nuevo"
                    ),
                    format!(
                        "{host}:{port} presented no authority that root.json names: it is not this organisation's coordinator, or a newer root.json has to be brought"
                    ),
                ),
            )
        }
        Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForName))
        | Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            ..
        })) => Failure::needs_action(
            "COORDINATOR_NAME_WRONG",
            Text::new(
                format!(
                    "el certificado presentado no es para {host}: corrija `server` en la configuración"
                ),
                format!(
                    "the certificate presented is not for {host}: correct `server` in the configuration"
                ),
            ),
        ),
        _ => unreachable(dial, &format!("TLS: {error}")),
    }
}

fn is_time(problem: &CertificateError) -> bool {
    matches!(
        problem,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

/// An error with its causes, which carry what people need.
pub(crate) fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Time for certificates: this machine's clock, never before the floor of the signed documents.
#[derive(Debug)]
struct OwnClock {
    floor_ms: i64,
}

impl rustls::time_provider::TimeProvider for OwnClock {
    fn current_time(&self) -> Option<UnixTime> {
        let now = clock::now_ms().max(self.floor_ms);
        Some(UnixTime::since_unix_epoch(clock::duration_ms(now)))
    }
}

#[derive(Debug)]
struct PinnedAuthority {
    authorities: Vec<Digest>,
    known: Option<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl PinnedAuthority {
    fn is_listed(&self, certificate: &CertificateDer<'_>) -> bool {
        self.authorities.contains(&Digest::of(certificate))
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for authority in intermediates.iter().chain(&self.known) {
            if self.is_listed(authority) {
                roots.add(authority.clone().into_owned())?;
            }
        }
        if roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
        let at = |time| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, time)
        };
        let seconds = now.as_secs();
        let shifted = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        match at(now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => at(shifted(seconds.saturating_sub(CLOCK_TOLERANCE.as_secs()))),
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            )) => at(shifted(seconds.saturating_add(CLOCK_TOLERANCE.as_secs()))),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        let address = Address::parse("https://help.example:7443/").unwrap();
        assert_eq!(
            (address.host.as_str(), address.port),
            ("help.example", 7443)
        );
        assert_eq!(Address::parse("https://help.example").unwrap().port, 443);
        assert_eq!(Address::parse("https://[::1]:9").unwrap().host, "::1");
        for bad in [
            "http://help.example:1",
            "help.example:1",
            "https://",
            "https://a b:1",
            "https://a:0",
            "https://a:1/path",
        ] {
            assert!(Address::parse(bad).is_none(), "{bad}");
        }
    }
}
