//! Partitions, encryption, volume groups and arrays. From sysfs and the device manager's database; the first bytes of a
//! device are read only for what neither tells (a cipher, a machine without udev), and never of a disk that sleeps. In a
//! captured tree the first bytes of a device are the file `/head/DEVICE`.

mod encryption;
mod head;
mod partition;
mod volume;

use std::collections::BTreeMap;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable};

pub use head::head;

const BLOCK: &str = "/sys/block";
const SECTOR: u64 = 512;
const MAX_ITEMS: usize = 2_000;

/// Makes the storage section.
#[derive(Clone, Copy, Debug)]
pub struct Storage;

impl Collector for Storage {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Storage
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut reader = Reader {
            source,
            notes: Notes::new(self.kind()),
            gaps: BTreeMap::new(),
            heads: BTreeMap::new(),
        };
        let mut facts = v1::StorageFacts::default();
        let listed = reader.source.list(BLOCK);
        if let Some(devices) = reader.notes.take("partitions", BLOCK, listed) {
            let layers = reader.layers(&devices);
            facts.partitions = reader.partitions(&devices);
            facts.encryptions = reader.encryptions(&devices, &facts.partitions, &layers);
            facts.volume_groups = reader.volume_groups(&layers);
            facts.arrays = reader.arrays(&devices);
        }
        let mut notes = reader.notes;
        for ((field, _), why) in reader.gaps {
            notes.unread(&field, why);
        }
        Observation::new(Facts::Storage(facts), notes)
    }
}

/// A device of the device mapper.
struct Layer {
    /// `dm-0`.
    name: String,
    /// What made it, with its own id: `CRYPT-LUKS2-...`, `LVM-...`.
    uuid: String,
    /// The mapper's name for it.
    label: Option<String>,
    below: Vec<String>,
    size_bytes: Option<u64>,
}

struct Reader<'a> {
    source: &'a Source,
    notes: Notes,
    /// One word for each field and reason: partitions are many, and most lack the same things.
    gaps: BTreeMap<(String, i32), Unreadable>,
    /// First bytes that were read, by device.
    heads: BTreeMap<String, Result<Vec<u8>, Unreadable>>,
}

impl Reader<'_> {
    fn gap(&mut self, field: &str, why: Unreadable) {
        let key = (field.to_owned(), why.reason.into());
        self.gaps.entry(key).or_insert(why);
    }

    fn part<T>(&mut self, field: &str, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|why| self.gap(field, why)).ok()
    }

    fn layers(&mut self, devices: &[String]) -> Vec<Layer> {
        let mut layers = Vec::new();
        for name in devices.iter().filter(|name| name.starts_with("dm-")) {
            let path = format!("{BLOCK}/{name}");
            match self.source.line(&format!("{path}/dm/uuid")) {
                Ok(uuid) => layers.push(Layer {
                    name: name.clone(),
                    uuid,
                    label: self.source.line(&format!("{path}/dm/name")).ok(),
                    below: self
                        .source
                        .list(&format!("{path}/slaves"))
                        .unwrap_or_default(),
                    size_bytes: self.sectors(&format!("{path}/size")).ok(),
                }),
                Err(why) => {
                    for field in ["encryptions", "volume_groups"] {
                        let detail = format!("what {name} is: {}", why.detail);
                        self.gap(
                            field,
                            Unreadable {
                                detail,
                                ..why.clone()
                            },
                        );
                    }
                }
            }
        }
        layers
    }

    fn sectors(&self, path: &str) -> Result<u64, Unreadable> {
        let sectors: u64 = self.source.number(path)?;
        sectors
            .checked_mul(SECTOR)
            .ok_or_else(|| Unreadable::malformed(format!("{path}: {sectors} sectors")))
    }

    fn head(&mut self, device: &str) -> Result<Vec<u8>, Unreadable> {
        if let Some(read) = self.heads.get(device) {
            return read.clone();
        }
        let read = head::head(self.source, device);
        self.heads.insert(device.to_owned(), read.clone());
        read
    }
}
