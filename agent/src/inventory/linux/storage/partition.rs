//! Partitions, with what the table and the first bytes say of them.

use chasqui_proto::v1;

use super::super::super::{Unreadable, bounds};
use super::super::udev::Properties;
use super::super::{superblock, table};
use super::{BLOCK, MAX_ITEMS, Reader};

/// What has no partitions worth a word.
const PASSING: &[&str] = &["loop", "ram", "zram", "dm-", "fd", "sr", "nbd"];

impl Reader<'_> {
    pub(super) fn partitions(&mut self, devices: &[String]) -> Vec<v1::Partition> {
        let mut partitions = Vec::new();
        for disk in devices {
            if PASSING.iter().any(|prefix| disk.starts_with(prefix)) {
                continue;
            }
            let names = match self.source.list(&format!("{BLOCK}/{disk}")) {
                Ok(names) => names,
                Err(why) => {
                    self.gap("partitions", why);
                    continue;
                }
            };
            for name in names
                .into_iter()
                .filter(|name| name.starts_with(disk.as_str()))
            {
                let path = format!("{BLOCK}/{disk}/{name}");
                if self.source.exists(&format!("{path}/partition")) != Ok(true) {
                    continue;
                }
                if partitions.len() >= MAX_ITEMS {
                    self.gap(
                        "partitions",
                        Unreadable::too_large(format!("over {MAX_ITEMS} partitions")),
                    );
                    return partitions;
                }
                partitions.push(self.partition(disk, name, &path));
            }
        }
        partitions.sort_by(|a, b| a.name.cmp(&b.name));
        partitions
    }

    fn partition(&mut self, disk: &str, name: String, path: &str) -> v1::Partition {
        let number: Result<u32, _> = self.source.number(&format!("{path}/partition"));
        let (size, start) = (
            self.sectors(&format!("{path}/size")),
            self.sectors(&format!("{path}/start")),
        );
        let read_only: Result<u8, _> = self.source.number(&format!("{path}/ro"));
        let number = self.part("partitions.number", number);
        let mut partition = v1::Partition {
            name: name.clone(),
            disk: disk.to_owned(),
            number,
            size_bytes: self.part("partitions.size_bytes", size),
            start_bytes: self.part("partitions.start_bytes", start),
            read_only: self
                .part("partitions.read_only", read_only)
                .map(|flag| flag != 0),
            ..v1::Partition::default()
        };
        let udev = Properties::of_block(self.source, path);
        // The loader of udev's rules has not looked at a device whose entry has no partition.
        let told = udev
            .as_ref()
            .is_ok_and(|udev| udev.get("ID_PART_ENTRY_NUMBER").is_some());
        if let (true, Ok(udev)) = (told, &udev) {
            self.notes
                .from(&format!("partitions.{name}"), "/run/udev/data");
            let get = |key: &str| udev.get(key).and_then(bounds::some_text);
            partition.r#type = get("ID_PART_ENTRY_TYPE");
            partition.uuid = get("ID_PART_ENTRY_UUID");
            partition.label = udev.unescaped("ID_PART_ENTRY_NAME");
            partition.content = get("ID_FS_TYPE");
        } else {
            let entry = self.head(disk).map(|head| {
                number
                    .and_then(|number| table::entry(&head, number))
                    .unwrap_or_default()
            });
            match entry {
                Ok(entry) => {
                    partition.r#type = entry.kind;
                    partition.uuid = entry.uuid;
                    partition.label = entry.label;
                }
                Err(why) => {
                    for field in ["type", "uuid", "label"] {
                        self.gap(&format!("partitions.{field}"), why.clone());
                    }
                }
            }
            match self.head(&name) {
                Ok(head) => {
                    partition.content =
                        superblock::content(&head).map(|found| found.kind.to_owned());
                }
                Err(why) => {
                    self.gap("partitions.content", why.clone());
                    let detail = format!("what is on {name}: {}", why.detail);
                    self.gap("encryptions", Unreadable { detail, ..why });
                }
            }
        }
        for (field, absent, what) in [
            ("partitions.type", partition.r#type.is_none(), "a type"),
            ("partitions.uuid", partition.uuid.is_none(), "a UUID"),
            ("partitions.label", partition.label.is_none(), "a name"),
            (
                "partitions.content",
                partition.content.is_none(),
                "known content",
            ),
        ] {
            if absent {
                let why = format!("partitions without {what} in the table or on them");
                self.gap(field, Unreadable::no_source(why));
            }
        }
        partition
    }
}
