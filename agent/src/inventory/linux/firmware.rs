//! The makers' texts about a machine, by the ways they can be read: the raw SMBIOS table (root alone), the kernel's
//! copies under `/sys/class/dmi/id` (serials for root alone), the device tree of boards without SMBIOS.

use super::super::{Attempt, Source, Unreadable};
use super::placeholder;
use super::smbios::{self, Smbios};

/// Folder of the kernel's copies.
pub const DMI: &str = "/sys/class/dmi/id";
/// Folder of the device tree.
pub const DEVICE_TREE: &str = "/sys/firmware/devicetree/base";

/// Ways to one machine's firmware texts.
#[derive(Debug)]
pub struct Firmware<'a> {
    source: &'a Source,
    /// The table, or why it could not be read.
    pub table: Result<Smbios, Unreadable>,
}

impl<'a> Firmware<'a> {
    /// Opens what there is.
    pub fn read(source: &'a Source) -> Self {
        Self {
            source,
            table: Smbios::read(source),
        }
    }

    /// A text field, first from the table and then from the kernel's copy; fillers refused.
    pub fn text(&self, kind: u8, offset: usize, copy: &str) -> [Attempt<String>; 2] {
        [
            (smbios::TABLE, placeholder::refuse(self.raw(kind, offset))),
            (DMI, placeholder::refuse(self.copy(copy))),
        ]
    }

    /// The system's UUID.
    pub fn uuid(&self) -> [Attempt<String>; 2] {
        let table = match &self.table {
            Ok(table) => table.uuid(),
            Err(why) => Err(why.clone()),
        };
        [
            (smbios::TABLE, placeholder::refuse_uuid(table)),
            (DMI, placeholder::refuse_uuid(self.copy("product_uuid"))),
        ]
    }

    /// A field as it stands, fillers included: what virtual machines are told by.
    pub fn plain(&self, kind: u8, offset: usize, copy: &str) -> Option<String> {
        self.raw(kind, offset).or_else(|_| self.copy(copy)).ok()
    }

    /// One of the kernel's copies.
    pub fn copy(&self, name: &str) -> Result<String, Unreadable> {
        self.source.line(&format!("{DMI}/{name}"))
    }

    /// A text of the device tree.
    pub fn tree(&self, name: &str) -> Attempt<String> {
        (
            DEVICE_TREE,
            self.source.line(&format!("{DEVICE_TREE}/{name}")),
        )
    }

    /// The maker's name before the comma of the device tree's first `compatible` entry: `raspberrypi`.
    pub fn tree_maker(&self) -> Attempt<String> {
        let path = format!("{DEVICE_TREE}/compatible");
        let read = self.source.bytes(&path, 4_096).and_then(|bytes| {
            bytes
                .split(|byte| *byte == 0)
                .next()
                .and_then(|first| std::str::from_utf8(first).ok())
                .and_then(|first| first.split_once(','))
                .and_then(|(maker, _)| super::super::bounds::some_text(maker))
                .ok_or_else(|| Unreadable::malformed(format!("{path}: no maker")))
        });
        (DEVICE_TREE, read)
    }

    fn raw(&self, kind: u8, offset: usize) -> Result<String, Unreadable> {
        match &self.table {
            Ok(table) => table.text(kind, offset),
            Err(why) => Err(why.clone()),
        }
    }
}
