//! Signed results on their way: kept on disk until the coordinator confirms, then some days more, so that a coordinator
//! restored from a backup gets them again. What cannot be written is kept in memory and still sent.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use chasqui_base::clock::DAY_MS;
use chasqui_base::{durable, fault_point};
use chasqui_trust::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// How long a confirmed result is kept.
pub const KEEP_CONFIRMED_MS: i64 = 7 * DAY_MS;
/// How long a result is offered that no coordinator takes; its order is long over by then.
pub const KEEP_UNCONFIRMED_MS: i64 = 90 * DAY_MS;
/// Most confirmed results kept, newest first.
const MAX_CONFIRMED: usize = 2_000;
/// Most results kept in memory because the disk took none.
const MAX_IN_MEMORY: usize = 256;
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A result as it is submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// UUIDv7, the same on every try.
    pub request_id: String,
    /// Order id.
    pub order_id: String,
    /// DSSE envelope, JSON text.
    pub envelope: String,
    /// DSSE envelope of the consent receipt, JSON text.
    pub consent: Option<String>,
    /// UTC milliseconds.
    pub made_at_ms: i64,
    /// When the coordinator had it.
    pub confirmed: Option<Confirmed>,
}

/// The coordinator's word that it stored a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    /// UTC milliseconds, this machine's clock.
    pub at_ms: i64,
    /// The epoch of the store that has it.
    pub store_epoch: u64,
}

#[derive(Debug)]
struct Held {
    made_at_ms: i64,
    confirmed: Option<Confirmed>,
    /// Present when the disk did not take it.
    in_memory: Option<Item>,
}

/// The outbox of a state folder.
#[derive(Debug)]
pub struct Outbox {
    folder: PathBuf,
    items: Mutex<BTreeMap<Digest, Held>>,
    changed: Notify,
}

impl Outbox {
    /// Reads what is there. A damaged file is left alone and said: the journal has the result too.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut items = BTreeMap::new();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            let digest = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".json"))
                .and_then(|name| name.parse::<Digest>().ok());
            let Some(digest) = digest else { continue };
            match read(&path) {
                Ok(item) => {
                    items.insert(
                        digest,
                        Held {
                            made_at_ms: item.made_at_ms,
                            confirmed: item.confirmed,
                            in_memory: None,
                        },
                    );
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "result in the outbox not readable");
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            items: Mutex::new(items),
            changed: Notify::new(),
        })
    }

    /// Puts a result in. Kept in memory when the disk does not take it, and the error says so.
    pub fn put(&self, digest: Digest, item: Item) -> io::Result<()> {
        let written = self.write(&digest, &item);
        let mut items = crate::lock(&self.items);
        let in_memory_now = items
            .values()
            .filter(|held| held.in_memory.is_some())
            .count();
        if written.is_ok() || in_memory_now < MAX_IN_MEMORY {
            items.insert(
                digest,
                Held {
                    made_at_ms: item.made_at_ms,
                    confirmed: item.confirmed,
                    in_memory: written.is_err().then_some(item),
                },
            );
        }
        drop(items);
        self.changed.notify_one();
        fault_point!("agent.outbox.written");
        written
    }

    /// How many results no coordinator has confirmed.
    pub fn unconfirmed(&self) -> usize {
        crate::lock(&self.items)
            .values()
            .filter(|held| held.confirmed.is_none())
            .count()
    }

    /// True if a result of this order is here.
    pub fn contains(&self, digest: &Digest) -> bool {
        crate::lock(&self.items).contains_key(digest)
    }

    /// Makes a confirmed result due again: the coordinator asked for the order once more, so it does not have it.
    pub fn offer_again(&self, digest: &Digest) {
        if let Some(held) = crate::lock(&self.items).get_mut(digest) {
            held.confirmed = None;
        }
        self.changed.notify_one();
    }

    /// How many results the coordinator of this epoch has not confirmed.
    pub fn due_count(&self, store_epoch: u64) -> usize {
        crate::lock(&self.items)
            .values()
            .filter(|held| is_due(held, store_epoch))
            .count()
    }

    /// The results due, oldest first, at most `limit`.
    pub fn due(&self, store_epoch: u64, limit: usize) -> Vec<(Digest, Item)> {
        let mut due: Vec<_> = crate::lock(&self.items)
            .iter()
            .filter(|(_, held)| is_due(held, store_epoch))
            .map(|(digest, held)| (held.made_at_ms, *digest))
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter()
            .filter_map(|(_, digest)| self.item(&digest).map(|item| (digest, item)))
            .collect()
    }

    /// A result.
    pub fn item(&self, digest: &Digest) -> Option<Item> {
        if let Some(item) = crate::lock(&self.items)
            .get(digest)
            .and_then(|held| held.in_memory.clone())
        {
            return Some(item);
        }
        read(&self.path(digest)).ok()
    }

    /// Notes that the coordinator has it.
    pub fn confirm(&self, digest: &Digest, confirmed: Confirmed) -> io::Result<()> {
        let item = self.item(digest);
        let written = match item {
            Some(mut item) => {
                item.confirmed = Some(confirmed);
                self.write(digest, &item)
            }
            None => Ok(()),
        };
        // Even where the note cannot be written the coordinator has it: after a restart it is offered once more.
        if let Some(held) = crate::lock(&self.items).get_mut(digest) {
            held.confirmed = Some(confirmed);
            if written.is_ok() {
                held.in_memory = None;
            }
        }
        fault_point!("agent.confirmed");
        written
    }

    /// Takes away confirmed results whose time is over, and those beyond the bound.
    pub fn prune(&self, now_ms: i64) {
        let mut confirmed: Vec<_> = crate::lock(&self.items)
            .iter()
            .filter_map(|(digest, held)| held.confirmed.map(|c| (c.at_ms, *digest)))
            .collect();
        confirmed.sort_unstable_by(|a, b| b.cmp(a));
        let mut gone: Vec<Digest> = confirmed
            .into_iter()
            .enumerate()
            // A clock that jumped back makes the age negative; such an item only stays longer.
            .filter(|(place, (at_ms, _))| {
                now_ms.saturating_sub(*at_ms) > KEEP_CONFIRMED_MS || *place >= MAX_CONFIRMED
            })
            .map(|(_, (_, digest))| digest)
            .collect();
        gone.extend(
            crate::lock(&self.items)
                .iter()
                .filter(|(_, held)| {
                    held.confirmed.is_none()
                        && now_ms.saturating_sub(held.made_at_ms) > KEEP_UNCONFIRMED_MS
                })
                .map(|(digest, _)| *digest),
        );
        for digest in gone {
            match durable::remove(&self.path(&digest)) {
                Ok(()) => {
                    crate::lock(&self.items).remove(&digest);
                }
                Err(error) => {
                    tracing::warn!(order_digest = %digest, %error, "old result not removed");
                }
            }
        }
    }

    /// Waits until something was put in or made due.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn write(&self, digest: &Digest, item: &Item) -> io::Result<()> {
        durable::write(&self.path(digest), &serde_json::to_vec(item)?, 0o600)
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}.json"))
    }
}

fn is_due(held: &Held, store_epoch: u64) -> bool {
    held.confirmed
        .is_none_or(|confirmed| confirmed.store_epoch != store_epoch)
}

fn read(path: &Path) -> io::Result<Item> {
    let length = fs::metadata(path)?.len();
    if length > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{length} bytes are too many for a result"),
        ));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(at: i64) -> Item {
        Item {
            request_id: "r".into(),
            order_id: "o".into(),
            envelope: "{}".into(),
            consent: None,
            made_at_ms: at,
            confirmed: None,
        }
    }

    #[test]
    fn a_result_is_due_until_the_epoch_at_hand_confirmed_it() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"order");
        let outbox = Outbox::open(folder.path()).unwrap();
        outbox.put(digest, item(5)).unwrap();
        assert_eq!(outbox.due(1, 10).len(), 1);
        let confirmed = Confirmed {
            at_ms: 1_000,
            store_epoch: 1,
        };
        outbox.confirm(&digest, confirmed).unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(outbox.due_count(1), 0);
        // A restored coordinator has another epoch and gets it again.
        assert_eq!(outbox.due_count(2), 1);
        outbox.prune(1_000 + KEEP_CONFIRMED_MS);
        assert!(outbox.contains(&digest));
        outbox.prune(1_001 + KEEP_CONFIRMED_MS);
        assert!(!outbox.contains(&digest));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_the_disk_does_not_take_is_still_offered() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(folder.path()).unwrap();
        // Gone under our feet: every write fails, for root too.
        fs::remove_dir(folder.path()).unwrap();
        let digest = Digest::of(b"order");
        assert!(outbox.put(digest, item(5)).is_err());
        assert_eq!(outbox.due(1, 10).len(), 1);
    }
}
