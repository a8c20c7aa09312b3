//! A trust folder: complete documents, drafts that gather signatures, definitions and (where they were made here) keys.
//! It needs no network and never leaves the ceremony's machine as a whole.

use std::path::{Path, PathBuf};

use chasqui_base::durable;
use chasqui_trust::{Catalogue, Document, Envelope, People, Root, SigningKey, TrustState, sign};

use crate::catalogue::sign::enough_publishers;
use crate::failure::{Exit, Failure, Outcome};
use crate::input;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// The three documents of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `root.json`.
    Root,
    /// `people.json`.
    People,
    /// `catalogue.json`.
    Catalogue,
}

impl Kind {
    /// The stem of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::People => "people",
            Self::Catalogue => "catalogue",
        }
    }

    /// By the payload type of an envelope.
    pub fn of(envelope: &Envelope) -> Outcome<Self> {
        match envelope.payload_type.as_str() {
            Root::PAYLOAD_TYPE => Ok(Self::Root),
            People::PAYLOAD_TYPE => Ok(Self::People),
            Catalogue::PAYLOAD_TYPE => Ok(Self::Catalogue),
            other => Err(Failure::new(
                Exit::Invalid,
                "PAPER_WRONG_TYPE",
                format!("esto no es raíz, personas ni catálogo: {other}"),
                format!("this is no root, people document or catalogue: {other}"),
            )),
        }
    }
}

/// How a draft stands after a signature.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which document.
    pub kind: Kind,
    /// Its version.
    pub version: u64,
    /// Where it lies now.
    pub file: PathBuf,
    /// True when every signature it needs is there.
    pub complete: bool,
    /// What is missing, when not.
    pub missing: Option<Failure>,
    /// Signatures it carries.
    pub signatures: usize,
}

/// A folder of trust documents.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A folder that exists or will be made at the first write.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The complete document's file.
    pub fn complete(&self, kind: Kind) -> PathBuf {
        self.file(&format!("{}.json", kind.name()))
    }

    /// The draft's file.
    pub fn draft(&self, kind: Kind) -> PathBuf {
        self.file(&format!("{}.draft.json", kind.name()))
    }

    /// Makes the folder, closed to others.
    pub fn create(&self) -> Outcome {
        for folder in [&self.path, &self.file("keys"), &self.file("roots")] {
            durable::create_private_dir(folder).map_err(|error| Failure::file(folder, &error))?;
        }
        Ok(())
    }

    /// The newest complete root's bytes.
    pub fn root_bytes(&self) -> Outcome<Vec<u8>> {
        let path = self.complete(Kind::Root);
        if !path.exists() {
            let shown = path.display();
            return Err(Failure::new(
                Exit::NotFound,
                "ROOT_MISSING",
                format!("no hay una raíz firmada en {shown}"),
                format!("there is no signed root at {shown}"),
            )
            .hint(
                "hágala con: chasqui trust init (y complete las firmas con: chasqui trust sign)",
                "make it with: chasqui trust init (and complete the signatures with: chasqui trust sign)",
            ));
        }
        input::read_file(&path)
    }

    /// The newest complete root.
    pub fn root(&self) -> Outcome<Root> {
        Ok(TrustState::from_root(&self.root_bytes()?)?.root().clone())
    }

    /// Root, and the people document and catalogue when they are there: what marks their versions.
    pub fn state(&self) -> Outcome<TrustState> {
        let mut state = TrustState::from_root(&self.root_bytes()?)?;
        // A document signed by keys the newest root no longer names does not count; its successor starts after it.
        if let Some(bytes) = self.read_optional(&self.complete(Kind::People))? {
            let _ = state.restore_people(&bytes);
        }
        if let Some(bytes) = self.read_optional(&self.complete(Kind::Catalogue))? {
            let _ = state.restore_catalogue(&bytes);
        }
        Ok(state)
    }

    /// An envelope of the folder, when it is there.
    pub fn envelope(&self, path: &Path) -> Outcome<Option<Envelope>> {
        match self.read_optional(path)? {
            Some(bytes) => Ok(Some(Envelope::from_json(&bytes)?)),
            None => Ok(None),
        }
    }

    /// The draft of a document, else the last complete one.
    pub fn latest<T: Document>(&self, kind: Kind) -> Outcome<Option<T>> {
        let envelope = match self.envelope(&self.draft(kind))? {
            Some(envelope) => Some(envelope),
            None => self.envelope(&self.complete(kind))?,
        };
        Ok(envelope.map(|envelope| T::decode(&envelope)).transpose()?)
    }

    /// The last complete document.
    pub fn last<T: Document>(&self, kind: Kind) -> Outcome<Option<T>> {
        Ok(self
            .envelope(&self.complete(kind))?
            .map(|envelope| T::decode(&envelope))
            .transpose()?)
    }

    /// Writes an unsigned draft in place of an older one.
    pub fn write_draft<T: Document>(&self, kind: Kind, document: &T) -> Outcome<PathBuf> {
        self.create()?;
        let path = self.draft(kind);
        input::write_file(&path, &sign(document, &[])?.to_json(), 0o644)?;
        Ok(path)
    }

    /// Key files made here for a role, in order.
    pub fn role_keys(&self, role: &str) -> Vec<PathBuf> {
        (1..=64)
            .map(|n| self.file("keys").join(format!("{role}-{n}.pem")))
            .take_while(|path| path.exists())
            .collect()
    }

    fn read_optional(&self, path: &Path) -> Outcome<Option<Vec<u8>>> {
        if path.exists() {
            Ok(Some(input::read_file(path)?))
        } else {
            Ok(None)
        }
    }
}

/// Adds signatures to a draft, and puts it in the place of the complete document when it has all it needs.
pub fn sign_draft(path: &Path, keys: &[&SigningKey], now_ms: i64) -> Outcome<Standing> {
    let mut envelope = Envelope::from_json(&input::read_file(path)?)?;
    for key in keys {
        envelope.add_signature(key);
    }
    settle(path, &envelope, now_ms)
}

/// Writes a draft and promotes it when it is complete.
pub fn settle(path: &Path, envelope: &Envelope, now_ms: i64) -> Outcome<Standing> {
    let kind = Kind::of(envelope)?;
    input::write_file(path, &envelope.to_json(), 0o644)?;
    let folder = Folder::at(path.parent().unwrap_or(Path::new(".")));
    let version = version_of(envelope)?;
    let mut standing = Standing {
        kind,
        version,
        file: path.to_owned(),
        complete: false,
        missing: None,
        signatures: envelope.signatures.len(),
    };
    match judge(&folder, kind, envelope, now_ms) {
        Err(failure) => standing.missing = Some(failure),
        Ok(()) => {
            standing.complete = true;
            // A draft carried alone to another machine stays what it is there.
            if path == folder.draft(kind) {
                let complete = folder.complete(kind);
                if kind == Kind::Root {
                    folder.create()?;
                    let numbered = folder.file("roots").join(format!("{version}.json"));
                    input::write_file(&numbered, &envelope.to_json(), 0o644)?;
                }
                input::write_file(&complete, &envelope.to_json(), 0o644)?;
                durable::remove(path).map_err(|error| Failure::file(path, &error))?;
                standing.file = complete;
            }
        }
    }
    Ok(standing)
}

/// The version a document says it has.
pub fn version_of(envelope: &Envelope) -> Outcome<u64> {
    Ok(match Kind::of(envelope)? {
        Kind::Root => Root::decode(envelope)?.version,
        Kind::People => People::decode(envelope)?.version,
        Kind::Catalogue => Catalogue::decode(envelope)?.version,
    })
}

/// Whether a document would be accepted after what the folder holds.
fn judge(folder: &Folder, kind: Kind, envelope: &Envelope, now_ms: i64) -> Outcome {
    let bytes = envelope.to_json();
    match kind {
        Kind::Root if version_of(envelope)? == 1 => {
            TrustState::from_root(&bytes)?;
        }
        Kind::Root => TrustState::from_root(&folder.root_bytes()?)?.accept_root(&bytes)?,
        Kind::People => folder.state()?.accept_people(&bytes, now_ms)?,
        Kind::Catalogue => {
            let mut state = folder.state()?;
            state.accept_catalogue(&bytes, now_ms)?;
            enough_publishers(folder, state.root(), envelope)?;
        }
    }
    Ok(())
}

/// Days as milliseconds.
pub fn days_ms(days: u32) -> i64 {
    i64::from(days) * DAY_MS
}
