//! The long list that the coordinator took last, kept so that the next one can travel as a difference. One file, the last
//! list alone. It only saves bytes: without it, or when it is damaged, the list goes whole.

use std::io;
use std::path::{Path, PathBuf};

use chasqui_base::{durable, item_list};
use chasqui_proto::v1;
use sha2::{Digest, Sha256};

/// Number of the software facts in `SectionFacts`.
const FIELD: u8 = 8;
/// Most bytes of a section.
const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The section as the difference to a list with this digest; nothing when it would not be smaller by half.
pub fn difference(
    base: &[u8],
    held: &[u8],
    section: &v1::Section,
) -> Option<v1::SectionDifference> {
    let old = item_list::split(base, FIELD)?;
    let new = item_list::split(&section.facts, FIELD)?;
    let difference = item_list::difference(&old.items, &new.items)?;
    let bytes: usize = difference.added.iter().map(Vec::len).sum();
    let places = difference.removed.len() + difference.added_at.len();
    if (bytes + 5 * places) * 2 > section.facts.len() {
        return None;
    }
    Some(v1::SectionDifference {
        section: Some(v1::Section {
            facts: Default::default(),
            ..section.clone()
        }),
        base_digest: held.to_vec().into(),
        shell: new.shell.into(),
        removed: difference.removed,
        added_at: difference.added_at,
        added: difference.added.into_iter().map(Into::into).collect(),
    })
}

/// Where the last list lies.
#[derive(Clone, Debug)]
pub struct SectionBase {
    path: PathBuf,
}

impl SectionBase {
    /// In the agent's state folder.
    pub fn of(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("software.base"),
        }
    }

    /// The section as the difference to the list with this digest; nothing when that is not the one kept, or when the
    /// difference would not be smaller by half.
    pub fn difference(&self, section: &v1::Section, held: &[u8]) -> Option<v1::SectionDifference> {
        difference(&self.read(held)?, held, section)
    }

    fn read(&self, digest: &[u8]) -> Option<Vec<u8>> {
        let length = std::fs::metadata(&self.path).ok()?.len();
        if length > MAX_BYTES {
            return None;
        }
        let bytes = std::fs::read(&self.path).ok()?;
        (Sha256::digest(&bytes).as_slice() == digest).then_some(bytes)
    }

    /// Keeps what the coordinator took.
    pub fn keep(&self, section: &v1::Section) {
        let kept = if section.facts.len() as u64 > MAX_BYTES {
            Err(io::Error::other("larger than a section may be"))
        } else {
            durable::write(&self.path, &section.facts, 0o600)
        };
        if let Err(error) = kept {
            tracing::debug!(%error, "the list was not kept: the next one goes whole");
            self.forget();
        }
    }

    /// Forgets it.
    pub fn forget(&self) {
        if let Err(error) = durable::remove(&self.path) {
            tracing::debug!(%error, "the kept list was not removed; its digest tells that it is old");
        }
    }
}
