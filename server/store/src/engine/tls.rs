//! How PostgreSQL is reached: unencrypted on this machine (loopback, unix socket), TLS with a verified certificate and
//! host name everywhere else. There is no third way: an address that asks for one is refused with the remedy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::postgres::with_source;
use crate::StoreError;

/// The way to one database server.
pub(crate) enum Tls {
    /// The server is on this machine and the address does not ask for TLS.
    None,
    /// Everything else.
    Verified(MakeRustlsConnect),
}

impl Tls {
    /// Decides by the hosts of the address. `roots` is the file of authorities the address names; without it the
    /// system's are trusted.
    pub(crate) fn choose(config: &mut Config, roots: Option<&Path>) -> Result<Self, StoreError> {
        let local = config.get_hosts().iter().all(is_local)
            && config.get_hostaddrs().iter().all(|ip| ip.is_loopback());
        let wanted = config.get_ssl_mode() == SslMode::Require || roots.is_some();
        if local && !wanted {
            config.ssl_mode(SslMode::Disable);
            return Ok(Self::None);
        }
        if config.get_ssl_mode() == SslMode::Disable {
            return Err(StoreError::Config(
                "the database is on another machine and the address says sslmode=disable: remove that, and name the \
                 authority of its certificate with sslrootcert=FILE if the system does not know it"
                    .to_owned(),
            ));
        }
        config.ssl_mode(SslMode::Require);
        let roots = match roots {
            Some(file) => roots_of(file)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Config(format!("TLS to the database: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::Verified(MakeRustlsConnect::new(client)))
    }

    pub(crate) fn connect(&self, config: &Config) -> Result<Client, StoreError> {
        match self {
            Self::None => config.connect(NoTls),
            Self::Verified(tls) => config.connect(tls.clone()),
        }
        .map_err(|error| match super::postgres::failure(&error, None).error {
            unavailable @ StoreError::Unavailable(_) => unavailable,
            _ => StoreError::Unavailable(with_source(&error)),
        })
    }
}

/// Takes `sslrootcert=FILE` out of an address (the client does not know it) and reads libpq's stricter words for
/// `sslmode` as what they mean here: TLS is always verified in full.
pub(crate) fn split_address(url: &str) -> (String, Option<PathBuf>) {
    let Some((start, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let mut roots = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => roots = Some(PathBuf::from(file)),
            Some(("sslmode", "verify-full" | "verify-ca")) => kept.push("sslmode=require"),
            _ => kept.push(pair),
        }
    }
    if kept.is_empty() {
        return (start.to_owned(), roots);
    }
    (format!("{start}?{}", kept.join("&")), roots)
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, StoreError> {
    let wrong = |detail: String| {
        StoreError::Config(format!(
            "sslrootcert {}: {detail}; it must be a PEM file with the authority of the database's certificate",
            file.display()
        ))
    };
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, StoreError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(StoreError::Config(
            "this system has no certificate authorities to verify the database's certificate with: name one with \
             sslrootcert=FILE in the address"
                .to_owned(),
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(url: &str) -> Result<Tls, StoreError> {
        let (url, roots) = split_address(url);
        Tls::choose(&mut url.parse().unwrap(), roots.as_deref())
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for url in [
            "postgresql://u@localhost/d",
            "postgresql://u@127.0.0.1:1/d",
            "postgresql://u@[::1]/d",
            "postgresql:///d?host=/run/postgresql",
        ] {
            assert!(matches!(choose(url), Ok(Tls::None)), "{url}");
        }
        let refused = choose("postgresql://u@db.example.org/d?sslmode=disable").err();
        assert!(
            matches!(&refused, Some(StoreError::Config(text)) if text.contains("sslmode=disable")),
            "{refused:?}"
        );
        for url in [
            "postgresql://u@db.example.org/d",
            "postgresql://u@localhost,10.0.0.1/d",
        ] {
            assert!(!matches!(choose(url), Ok(Tls::None)), "{url}");
        }
    }

    #[test]
    fn a_file_of_authorities_is_taken_out_of_the_address() {
        let (url, roots) = split_address(
            "postgresql://h/d?sslmode=verify-full&sslrootcert=/a/ca.pem&connect_timeout=3",
        );
        assert_eq!(url, "postgresql://h/d?sslmode=require&connect_timeout=3");
        assert_eq!(roots, Some(PathBuf::from("/a/ca.pem")));
        let missing = choose("postgresql://h/d?sslrootcert=/nowhere/ca.pem").err();
        assert!(
            matches!(&missing, Some(StoreError::Config(text)) if text.contains("/nowhere/ca.pem")),
            "{missing:?}"
        );
    }
}
