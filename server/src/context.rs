//! What every handler and every job is given: the store, the configuration, the authority for devices, who is
//! connected, and the bus. Cheap to clone. It holds no request: whose call it is comes from [`crate::auth`].

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use chasqui_store::Store;
use chasqui_trust::SigningKey;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::ca::Authority;
use crate::config::Config;
use crate::fleet::{Bus, Fleet};

/// The coordinator's parts. See the module.
#[derive(Clone)]
pub struct Context(Arc<Parts>);

/// What a [`Context`] dereferences to.
pub struct Parts {
    /// Rows and transactions.
    pub store: Store,
    /// As read at the start.
    pub config: Config,
    /// Signs device certificates.
    pub ca: Authority,
    /// Signs checkpoints of the event log. Trusted for nothing but the log.
    pub log_key: SigningKey,
    /// Sessions, device standings and the limits on tries.
    pub auth: Auth,
    /// Which machines are connected, and the way to them.
    pub fleet: Fleet,
    /// The nudge and the live output between whoever does something and whoever watches.
    pub bus: Bus,
    /// Cancelled when the coordinator stops: long calls end, jobs finish what they hold.
    pub stop: CancellationToken,
    /// Work that goes on behind a finished call; waited for when stopping. Spawn here, never with `tokio::spawn`.
    pub tasks: TaskTracker,
    /// Address of the agents' listener as agents dial it; known once it listens.
    pub agents_url: OnceLock<String>,
}

impl Context {
    /// Puts the parts together. `store` is open and `config` checked.
    pub fn new(store: Store, config: Config, ca: Authority, log_key: SigningKey) -> Self {
        Self(Arc::new(Parts {
            auth: Auth::new(&config.sessions),
            store,
            config,
            ca,
            log_key,
            fleet: Fleet::default(),
            bus: Bus::local(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            agents_url: OnceLock::new(),
        }))
    }
}

impl Deref for Context {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
