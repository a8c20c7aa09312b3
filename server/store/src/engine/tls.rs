//! How PostgreSQL is reached: unencrypted on this machine (loopback, unix socket), TLS with a verified certificate
//! everywhere else.

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};

use super::postgres::with_source;
use crate::StoreError;

/// The way to one database server.
pub(crate) enum Tls {
    /// The server is on this machine and the address does not ask for TLS.
    None,
}

impl Tls {
    /// Decides by the hosts of the address.
    pub(crate) fn choose(config: &mut Config) -> Result<Self, StoreError> {
        let local = config.get_hosts().iter().all(is_local) && config.get_hostaddrs().iter().all(|ip| ip.is_loopback());
        if local && config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
            return Ok(Self::None);
        }
        Err(StoreError::Config(
            "the database is on another machine and this build has no TLS to PostgreSQL: use a local socket or a TLS tunnel on loopback".to_owned(),
        ))
    }

    pub(crate) fn connect(&self, config: &Config) -> Result<Client, StoreError> {
        match self {
            Self::None => config.connect(NoTls),
        }
        .map_err(|error| StoreError::Unavailable(with_source(&error)))
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}
