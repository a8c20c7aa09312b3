//! The running agent: what the link and the engine share. One process at a time per state folder, held by a lock.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use chasqui_base::clock;
use chasqui_base::text::Text;
use chasqui_proto::v1;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use chasqui_trust::Digest;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::config::Config;
use crate::enrol;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::journal::Journal;
use crate::outbox::Outbox;
use crate::output::Output;
use crate::status::{Board, Problem, Status};
use crate::tls::{self, Dial};
use crate::trust::TrustStore;

/// From this difference on a clock is called wrong, milliseconds.
pub const CLOCK_TOLERANCE_MS: i64 = 5 * clock::MINUTE_MS;
/// Most deliveries that wait to be judged.
const MAX_INTAKE: usize = 128;

/// What watchers may hear. Lost events are no error: the signed result is what counts.
#[derive(Clone, Debug)]
pub enum Event {
    /// An order came a step further.
    Progress(v1::OrderProgress),
    /// An order began to print.
    Output {
        /// Order id.
        order_id: String,
        /// To follow.
        output: Arc<Output>,
    },
}

/// An order under way.
#[derive(Clone, Debug)]
pub struct Running {
    /// Order id.
    pub order_id: String,
    /// Calls it off.
    pub cancel: CancellationToken,
    /// What it prints.
    pub output: Arc<Output>,
}

/// What link and engine share.
#[derive(Debug)]
pub struct Agent {
    /// As checked at start.
    pub config: Config,
    /// Changes at renewal.
    pub identity: Mutex<Arc<Identity>>,
    /// Signed documents.
    pub trust: Mutex<TrustStore>,
    /// What was done.
    pub journal: Mutex<Journal>,
    /// What is to be told.
    pub outbox: Outbox,
    /// What people here may read.
    pub board: Board,
    /// This machine's clock minus the coordinator's, when measured.
    pub clock_offset_ms: Mutex<Option<i64>>,
    /// Orders under way, by digest.
    pub running: Mutex<BTreeMap<Digest, Running>>,
    /// Events for the link.
    pub events: broadcast::Sender<Event>,
    /// Deliveries to be judged.
    pub intake: mpsc::Sender<v1::OrderDelivery>,
    /// The open link, if any.
    pub client: Mutex<Option<LinkServiceClient<Channel>>>,
    /// An inventory is wanted now.
    pub observe_now: Arc<Notify>,
    /// Nothing new is begun.
    pub stopping: CancellationToken,
    /// The link closes.
    pub closing: CancellationToken,
    /// New at every start of the machine.
    pub boot_id: String,
    /// As the machine knows itself.
    pub host_name: String,
    /// Random, of this process.
    pub process_nonce: [u8; 16],
    _lock: StateLock,
}

impl Agent {
    /// Opens everything in the state folder. The second value receives what [`Agent::intake`] sends.
    pub fn open(config: Config) -> Result<(Arc<Self>, mpsc::Receiver<v1::OrderDelivery>), Failure> {
        config.need_server()?;
        let lock = StateLock::take(&config.state_dir)?;
        enrol::prepare_state_dir(&config.state_dir)?;
        let trust = enrol::open_trust(&config)?;
        let identity = Identity::load(&config.state_dir)?.ok_or_else(not_enrolled)?;
        if identity.organisation != trust.state().org() {
            return Err(Failure::needs_action(
                "ORGANISATION_CHANGED",
                Text::new(
                    format!(
                        "este equipo está inscrito en {}, pero root.json es de {}: inscríbalo de nuevo con: chasqui-agent enrol --replace",
                        identity.organisation,
                        trust.state().org()
                    ),
                    format!(
                        "this machine is enrolled at {}, but root.json is of {}: enrol it anew with: chasqui-agent enrol --replace",
                        identity.organisation,
                        trust.state().org()
                    ),
                ),
            ));
        }
        let io = |what: &'static str| {
            let folder = config.state_dir.join(what);
            move |error: std::io::Error| {
                Failure::failed(
                    "STATE_UNREADABLE",
                    Text::new(
                        format!("no se puede leer {}: {error}", folder.display()),
                        format!("{} cannot be read: {error}", folder.display()),
                    ),
                )
            }
        };
        let journal = Journal::open(&config.state_dir.join("journal")).map_err(io("journal"))?;
        let outbox = Outbox::open(&config.state_dir.join("outbox")).map_err(io("outbox"))?;
        let board = Board::new(&config.state_dir, Status::default());
        let mut process_nonce = [0u8; 16];
        getrandom::fill(&mut process_nonce).map_err(|error| {
            Failure::failed(
                "INTERNAL",
                Text::new(
                    format!("el sistema no da números al azar: {error}"),
                    format!("the system gives no random numbers: {error}"),
                ),
            )
        })?;
        let (intake, deliveries) = mpsc::channel(MAX_INTAKE);
        let agent = Arc::new(Self {
            identity: Mutex::new(Arc::new(identity)),
            trust: Mutex::new(trust),
            journal: Mutex::new(journal),
            outbox,
            board,
            clock_offset_ms: Mutex::new(None),
            running: Mutex::new(BTreeMap::new()),
            events: broadcast::channel(256).0,
            intake,
            client: Mutex::new(None),
            observe_now: Arc::new(Notify::new()),
            stopping: CancellationToken::new(),
            closing: CancellationToken::new(),
            boot_id: boot_id(),
            host_name: host_name(),
            process_nonce,
            config,
            _lock: lock,
        });
        agent.show_state();
        agent.show_history();
        Ok((agent, deliveries))
    }

    /// The identity now.
    pub fn identity(&self) -> Arc<Identity> {
        crate::lock(&self.identity).clone()
    }

    /// How to reach the coordinator; as this device, or as nobody (for renewal).
    pub fn dial(&self, as_device: bool) -> Result<Dial, Failure> {
        let identity = self.identity();
        let internal = |error: &dyn std::fmt::Display| {
            Failure::failed(
                "INTERNAL",
                Text::new(
                    format!("la identidad no sirve para TLS: {error}"),
                    format!("the identity does not serve for TLS: {error}"),
                ),
            )
        };
        let certificate = if as_device {
            Some(
                identity
                    .client_certificate()
                    .map_err(|error| internal(&error))?,
            )
        } else {
            None
        };
        let (authorities, floor_ms) = {
            let trust = crate::lock(&self.trust);
            (trust.authorities(), trust.state().floor().at_ms())
        };
        Ok(Dial {
            address: self.config.need_server()?.clone(),
            proxy: self.config.proxy.clone(),
            tls: tls::client_config(
                authorities,
                Some(identity.authority.clone()),
                certificate,
                floor_ms,
            )
            .map_err(|error| internal(&error))?,
        })
    }

    /// Keeps what the coordinator's clock showed. Nothing is judged by it: a wrong clock is only said.
    pub fn measure_clock(&self, coordinator_now_ms: i64) {
        let offset = clock::now_ms().saturating_sub(coordinator_now_ms);
        *crate::lock(&self.clock_offset_ms) = Some(offset);
        let wrong = offset.saturating_abs() > CLOCK_TOLERANCE_MS;
        if wrong {
            tracing::warn!(
                clock_offset_ms = offset,
                "this machine's clock differs from the coordinator's; orders are judged by this machine's clock and may be refused"
            );
        }
        self.board.update(|status| {
            status.clock_offset_ms = Some(offset);
            status.clock_wrong = wrong;
        });
    }

    /// The measured difference, when it is more than the tolerance.
    pub fn clock_wrong_by_ms(&self) -> Option<i64> {
        crate::lock(&self.clock_offset_ms)
            .filter(|offset| offset.saturating_abs() > CLOCK_TOLERANCE_MS)
    }

    /// Fetches signed documents over the open link. False when there is none or the call did not go through.
    pub async fn refresh_trust(&self) -> bool {
        let client = crate::lock(&self.client).clone();
        let Some(mut client) = client else {
            return false;
        };
        // Each call brings at most 16 roots.
        for _ in 0..64 {
            let (root_version, people_version, catalogue_version) =
                crate::lock(&self.trust).versions();
            let request = v1::FetchTrustDocumentsRequest {
                root_version,
                people_version,
                catalogue_version,
            };
            let call = client.fetch_trust_documents(request);
            let answer = match tokio::time::timeout(std::time::Duration::from_secs(20), call).await
            {
                Ok(Ok(answer)) => answer.into_inner(),
                Ok(Err(status)) => {
                    tracing::info!(%status, "signed documents not fetched");
                    return false;
                }
                Err(_) => return false,
            };
            let more = !answer.roots.is_empty();
            let accepted = crate::lock(&self.trust).accept(
                &answer.roots,
                &answer.people,
                &answer.catalogue,
                clock::now_ms(),
            );
            self.show_state();
            match accepted {
                Ok(accepted) => {
                    if accepted != crate::trust::Accepted::default() {
                        tracing::info!(?accepted, "signed documents accepted");
                    }
                    self.board.update(|status| status.trust_problem = None);
                    if !more {
                        return true;
                    }
                }
                Err(error) => {
                    let code = error.code();
                    tracing::warn!(code, %error, "signed document not accepted");
                    let text = match &error {
                        crate::trust::AcceptError::Trust(inner) => {
                            let text = inner.text();
                            Text::new(text.es, text.en)
                        }
                        other => Text::new(other.to_string(), other.to_string()),
                    };
                    self.board
                        .update(|status| status.trust_problem = Some(Problem::new(code, text)));
                    return true;
                }
            }
        }
        true
    }

    /// Tells watchers how far an order is.
    pub fn progress(&self, order_id: &str, state: v1::ProgressState) {
        let progress = v1::OrderProgress {
            order_id: order_id.to_owned(),
            state: state.into(),
            at_ms: clock::now_ms(),
        };
        // Nobody listens while the link is down.
        let _ = self.events.send(Event::Progress(progress));
    }

    /// Brings status.json up to what is held.
    pub fn show_state(&self) {
        let identity = self.identity();
        let (versions, people_expires, catalogue_expires, organisation) = {
            let trust = crate::lock(&self.trust);
            (
                trust.versions(),
                trust
                    .state()
                    .people()
                    .map_or(0, |people| people.expires_at_ms),
                trust
                    .catalogue()
                    .map_or(0, |catalogue| catalogue.catalogue().expires_at_ms),
                trust.state().org().to_owned(),
            )
        };
        let server = self
            .config
            .server
            .as_ref()
            .map(|address| format!("{}:{}", address.host, address.port))
            .unwrap_or_default();
        self.board.update(|status| {
            status.agent_version = env!("CARGO_PKG_VERSION").to_owned();
            status.pid = std::process::id();
            status.device_id = identity.device_id.clone();
            status.fingerprint = identity.fingerprint().to_hex();
            status.organisation = organisation;
            status.server = server;
            status.certificate_not_after_ms = identity.not_after_ms;
            (
                status.root_version,
                status.people_version,
                status.catalogue_version,
            ) = versions;
            status.people_expires_at_ms = people_expires;
            status.catalogue_expires_at_ms = catalogue_expires;
        });
    }

    /// Brings history.json up to the journal.
    pub fn show_history(&self) {
        self.board.history(&crate::lock(&self.journal));
    }
}

/// What to do on a machine that is no device yet.
pub fn not_enrolled() -> Failure {
    Failure::needs_action(
        "NOT_ENROLLED",
        Text::new(
            "este equipo no está inscrito: pida un token y ejecute chasqui-agent enrol --token-file ARCHIVO",
            "this machine is not enrolled: ask for a token and run chasqui-agent enrol --token-file FILE",
        ),
    )
}

/// Keeps a second agent off the same state folder: two journals would be none.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock or says who holds it.
    pub fn take(state_dir: &Path) -> Result<Self, Failure> {
        let io = |error: std::io::Error| {
            Failure::failed(
                "STATE_UNWRITABLE",
                Text::new(
                    format!("no se puede escribir en {}: {error}", state_dir.display()),
                    format!("{} cannot be written: {error}", state_dir.display()),
                ),
            )
        };
        std::fs::create_dir_all(state_dir).map_err(io)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(state_dir.join("lock"))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(_) => Err(Failure::failed(
                "AGENT_RUNNING",
                Text::new(
                    format!(
                        "otro agente usa {}: deténgalo primero (systemctl stop chasqui-agent)",
                        state_dir.display()
                    ),
                    format!(
                        "another agent uses {}: stop it first (systemctl stop chasqui-agent)",
                        state_dir.display()
                    ),
                ),
            )),
        }
    }

    /// True if some agent holds the lock.
    pub fn is_held(state_dir: &Path) -> bool {
        File::open(state_dir.join("lock")).is_ok_and(|file| {
            matches!(
                file.try_lock_shared(),
                Err(std::fs::TryLockError::WouldBlock)
            )
        })
    }
}

/// The kernel's boot id; a fixed word where there is none.
pub fn boot_id() -> String {
    let path = chasqui_base::fault::system_root().join("proc/sys/kernel/random/boot_id");
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && text.len() <= 64)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The host name; never empty.
pub fn host_name() -> String {
    let name = rustix::system::uname();
    let name: String = name
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(|c| !chasqui_trust::text::is_deceptive(*c))
        .take(253)
        .collect();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}
