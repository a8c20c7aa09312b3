//! TLS of both listeners. Agents: 1.3 alone, the private authority, a client certificate wherever one is shown. People:
//! the organisation's certificate. No session resumption for agents: it would carry an identity past its end and costs
//! memory for each of them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, RwLock};

use chasqui_base::clock;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::ca::{Authority, CaError};

/// The agents' listener shows a certificate no older than this.
const LISTENER_FRESH_MS: i64 = 30 * clock::DAY_MS;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the organisation's certificate.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Certificate and key do not fit, or cannot be used.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    /// The private authority.
    #[error(transparent)]
    Authority(#[from] CaError),
    /// The verifier of client certificates.
    #[error("TLS: client certificates: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// TLS for agents: who shows a certificate must show one of the authority, in force; who shows none gets to the calls
/// that need none.
///
/// # Errors
/// [`TlsError`].
pub fn agents(authority: &Authority, names: &[String]) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
    let certificate = Listener::new(authority.clone(), names.to_vec())?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(OurClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// TLS for people, with the organisation's certificate chain and key.
///
/// # Errors
/// [`TlsError`] naming the file.
pub fn people(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |path: &Path, cause: String| TlsError::File {
        path: path.display().to_string(),
        cause,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|cause| {
            failed(
                certificate,
                format!("{cause}: write the certificate chain as PEM, leaf first"),
            )
        })?;
    if chain.is_empty() {
        return Err(failed(
            certificate,
            "holds no certificate: write the chain as PEM, leaf first".to_owned(),
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|cause| {
        failed(
            key,
            format!("{cause}: write the private key as PEM, without a passphrase"),
        )
    })?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificate of the agents' listener: signed by the authority in this process, made anew before it grows old, and
/// never on disk.
struct Listener {
    authority: Authority,
    names: Vec<String>,
    now: RwLock<(Arc<CertifiedKey>, i64)>,
}

impl Listener {
    fn new(authority: Authority, names: Vec<String>) -> Result<Self, TlsError> {
        let made_at_ms = clock::now_ms();
        let first = make(&authority, &names, made_at_ms)?;
        Ok(Self {
            authority,
            names,
            now: RwLock::new((first, made_at_ms)),
        })
    }
}

fn make(
    authority: &Authority,
    names: &[String],
    now_ms: i64,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key) = authority.listener(names, now_ms)?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&key)?;
    Ok(Arc::new(CertifiedKey::new(chain, signing)))
}

impl ResolvesServerCert for Listener {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now_ms = clock::now_ms();
        let (current, made_at_ms) = self.now.read().map(|now| now.clone()).ok()?;
        if now_ms.saturating_sub(made_at_ms) < LISTENER_FRESH_MS {
            return Some(current);
        }
        match make(&self.authority, &self.names, now_ms) {
            Ok(fresh) => {
                if let Ok(mut now) = self.now.write() {
                    *now = (Arc::clone(&fresh), now_ms);
                }
                Some(fresh)
            }
            Err(cause) => {
                tracing::error!(%cause, "the listener's certificate was not renewed");
                Some(current)
            }
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The one clock, so that the end of a certificate is the same moment in the handshake and in the gate.
#[derive(Debug)]
struct OurClock;

impl TimeProvider for OurClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(clock::duration_ms(
            clock::now_ms(),
        )))
    }
}
