//! The signed documents this machine holds: the root brought by hand, the roots that followed it, the people document
//! and the catalogue. Everything is verified at each load and at each acceptance; nothing goes back. Believes only
//! signatures: the coordinator merely carries these bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chasqui_base::durable;
use chasqui_base::fault_point;
use chasqui_base::text::Text;
use chasqui_trust::{Digest, TimeFloor, TrustError, TrustState, VerifiedCatalogue, effective_now};

use crate::failure::Failure;

const MAX_DOCUMENT: u64 = 2 * 1024 * 1024;
/// Most roots after the one brought by hand.
const MAX_CHAIN: u64 = 1_000;

/// The documents held, and where they lie.
#[derive(Debug)]
pub struct TrustStore {
    folder: PathBuf,
    state: TrustState,
    catalogue: Option<VerifiedCatalogue>,
    catalogue_bytes: Option<Vec<u8>>,
}

/// What a set of documents changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Roots accepted.
    pub roots: u32,
    /// A newer people document.
    pub people: bool,
    /// A newer catalogue.
    pub catalogue: bool,
}

/// Why the documents on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustStoreError {
    /// The root is not there.
    #[error("{path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A document does not verify.
    #[error("{path}: {error}")]
    Document {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: TrustError,
    },
    /// Of another organisation than the configuration says.
    #[error("{path} is of organisation {found}, the configuration says {expected}")]
    Organisation {
        /// The root.
        path: PathBuf,
        /// As configured.
        expected: String,
        /// As signed.
        found: String,
    },
}

impl From<TrustStoreError> for Failure {
    fn from(error: TrustStoreError) -> Self {
        let text = match &error {
            TrustStoreError::Read { path, error } => Text::new(
                format!(
                    "no se puede leer {}: {error}. La raíz de confianza la trae una persona: copie root.json allí, o indique su ruta con la clave `root`",
                    path.display()
                ),
                format!(
                    "{} cannot be read: {error}. The root of trust is brought by a person: copy root.json there, or name its path with the key `root`",
                    path.display()
                ),
            ),
            TrustStoreError::Document { path, error } => {
                let inner = error.text();
                Text::new(
                    format!("{} no se acepta: {}", path.display(), inner.es),
                    format!("{} is not accepted: {}", path.display(), inner.en),
                )
            }
            TrustStoreError::Organisation {
                path,
                expected,
                found,
            } => Text::new(
                format!(
                    "{} es de la organización {found}, pero la configuración dice {expected}: corrija una de las dos",
                    path.display()
                ),
                format!(
                    "{} is of organisation {found}, but the configuration says {expected}: correct one of them",
                    path.display()
                ),
            ),
        };
        Self::needs_action("TRUST_DOCUMENTS", text)
    }
}

impl TrustStore {
    /// Loads the pinned root, the chain after it, and the documents under it. Expired documents are kept (they hold back
    /// older ones); damaged ones are set aside, since the coordinator brings them again.
    pub fn load(
        pinned: &Path,
        folder: &Path,
        organisation: Option<&str>,
    ) -> Result<Self, TrustStoreError> {
        let bytes = read(pinned).map_err(|error| TrustStoreError::Read {
            path: pinned.to_owned(),
            error,
        })?;
        let mut state =
            TrustState::from_root(&bytes).map_err(|error| TrustStoreError::Document {
                path: pinned.to_owned(),
                error,
            })?;
        if let Some(expected) = organisation
            && expected != state.org()
        {
            return Err(TrustStoreError::Organisation {
                path: pinned.to_owned(),
                expected: expected.to_owned(),
                found: state.org().to_owned(),
            });
        }
        for _ in 0..MAX_CHAIN {
            let path = root_path(folder, state.root().version.saturating_add(1));
            match read(&path) {
                Ok(bytes) => state
                    .accept_root(&bytes)
                    .map_err(|error| TrustStoreError::Document { path, error })?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(TrustStoreError::Read { path, error }),
            }
        }
        let mut store = Self {
            folder: folder.to_owned(),
            state,
            catalogue: None,
            catalogue_bytes: None,
        };
        store.load_floor();
        store.load_people();
        store.load_catalogue();
        Ok(store)
    }

    fn load_floor(&mut self) {
        // Not signed, so it may only raise the floor; a damaged file costs nothing but that.
        if let Ok(text) = fs::read_to_string(self.folder.join("floor"))
            && let Ok(at_ms) = text.trim().parse()
        {
            self.state.raise_floor(TimeFloor::new(at_ms));
        }
    }

    fn load_people(&mut self) {
        let path = self.folder.join("people.json");
        if let Ok(bytes) = read(&path)
            && let Err(error) = self.state.restore_people(&bytes)
        {
            tracing::warn!(path = %path.display(), code = error.code(), %error, "people document on disk not used");
        }
    }

    fn load_catalogue(&mut self) {
        let path = self.folder.join("catalogue.json");
        if let Ok(bytes) = read(&path) {
            match self.state.restore_catalogue(&bytes) {
                Ok(catalogue) => {
                    self.catalogue = Some(catalogue);
                    self.catalogue_bytes = Some(bytes);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), code = error.code(), %error, "catalogue on disk not used");
                }
            }
        }
    }

    /// What the coordinator sent: roots in order, then people document and catalogue (empty when not newer). Stops at the
    /// first that is not accepted; what was accepted before it stays.
    pub fn accept(
        &mut self,
        roots: &[impl AsRef<[u8]>],
        people: &[u8],
        catalogue: &[u8],
        now_ms: i64,
    ) -> Result<Accepted, AcceptError> {
        let mut accepted = Accepted::default();
        for root in roots {
            if self.accept_root(root.as_ref())? {
                accepted.roots += 1;
            }
        }
        if !people.is_empty() {
            accepted.people = self.accept_people(people, now_ms)?;
        }
        if !catalogue.is_empty() {
            accepted.catalogue = self.accept_catalogue(catalogue, now_ms)?;
        }
        self.save_floor()?;
        Ok(accepted)
    }

    fn accept_root(&mut self, bytes: &[u8]) -> Result<bool, AcceptError> {
        let mut next = self.state.clone();
        next.accept_root(bytes)?;
        if next.root_digest() == self.state.root_digest() {
            return Ok(false);
        }
        // Each root follows the one before it, so that the chain can be walked again from the root brought by hand.
        let path = root_path(&self.folder, self.state.root().version.saturating_add(1));
        if next.root().version != self.state.root().version.saturating_add(1) {
            return Err(AcceptError::Gap {
                held: self.state.root().version,
                found: next.root().version,
            });
        }
        durable::write(&path, bytes, 0o644)?;
        fault_point!("agent.trust.root.written");
        self.state = next;
        // A catalogue counts under the root it was verified with.
        self.catalogue = self
            .catalogue_bytes
            .as_deref()
            .and_then(|bytes| self.state.restore_catalogue(bytes).ok());
        Ok(true)
    }

    fn accept_people(&mut self, bytes: &[u8], now_ms: i64) -> Result<bool, AcceptError> {
        let mut next = self.state.clone();
        next.accept_people(bytes, now_ms)?;
        let changed = next.people_digest() != self.state.people_digest();
        if changed {
            durable::write(&self.folder.join("people.json"), bytes, 0o644)?;
            fault_point!("agent.trust.people.written");
        }
        self.state = next;
        Ok(changed)
    }

    fn accept_catalogue(&mut self, bytes: &[u8], now_ms: i64) -> Result<bool, AcceptError> {
        let mut next = self.state.clone();
        let catalogue = next.accept_catalogue(bytes, now_ms)?;
        let held = self.catalogue.as_ref();
        let changed = held.map(VerifiedCatalogue::digest) != Some(catalogue.digest());
        // The same paper with fewer signatures takes none away; with more it is worth keeping.
        if !changed && held.is_some_and(|held| held.publishers() >= catalogue.publishers()) {
            self.state = next;
            return Ok(false);
        }
        {
            durable::write(&self.folder.join("catalogue.json"), bytes, 0o644)?;
            fault_point!("agent.trust.catalogue.written");
        }
        self.state = next;
        self.catalogue = Some(catalogue);
        self.catalogue_bytes = Some(bytes.to_vec());
        Ok(changed)
    }

    fn save_floor(&self) -> io::Result<()> {
        let text = self.state.floor().at_ms().to_string();
        let path = self.folder.join("floor");
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        durable::write(&path, text.as_bytes(), 0o644)
    }

    /// The verified root and people document.
    pub fn state(&self) -> &TrustState {
        &self.state
    }

    /// The verified catalogue, expired or not.
    pub fn catalogue(&self) -> Option<&VerifiedCatalogue> {
        self.catalogue.as_ref()
    }

    /// Every authority that people named for a coordinator.
    pub fn authorities(&self) -> Vec<Digest> {
        self.state
            .root()
            .coordinators
            .iter()
            .flat_map(|coordinator| coordinator.ca_sha256.iter().copied())
            .collect()
    }

    /// The time to judge by.
    pub fn effective_now(&self, now_ms: i64) -> i64 {
        effective_now(now_ms, self.state.floor())
    }

    /// Versions held of root, people document and catalogue; 0 for none.
    pub fn versions(&self) -> (u64, u64, u64) {
        (
            self.state.root().version,
            self.state.people().map_or(0, |people| people.version),
            self.catalogue
                .as_ref()
                .map_or(0, VerifiedCatalogue::version),
        )
    }
}

/// Why a document from the coordinator was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It does not verify, or goes back.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A root in between is missing.
    #[error("root {found} does not follow root {held}: the roots in between are missing")]
    Gap {
        /// Version held.
        held: u64,
        /// Version offered.
        found: u64,
    },
    /// It could not be kept.
    #[error("the document could not be written: {0}")]
    Io(#[from] io::Error),
}

impl AcceptError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trust(error) => error.code(),
            Self::Gap { .. } => "TRUST_ROOT_GAP",
            Self::Io(_) => "STATE_UNWRITABLE",
        }
    }
}

fn root_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("root.{version}.json"))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > MAX_DOCUMENT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes are too many for a signed document"),
        ));
    }
    fs::read(path)
}
