//! The firmware's SMBIOS table (DMTF DSP0134), walked with bounds. It says where the walk had to stop: a table cut
//! short must not read as a machine without the structures that followed.

use super::super::{Source, Unreadable, bounds};

/// The raw table; readable by root alone.
pub const TABLE: &str = "/sys/firmware/dmi/tables/DMI";
const ENTRY_POINT: &str = "/sys/firmware/dmi/tables/smbios_entry_point";

const MAX_TABLE_BYTES: usize = 1 << 20;
const MAX_STRUCTURES: usize = 4_096;
const HEADER: usize = 4;
const END_OF_TABLE: u8 = 127;

/// Structure types that are read here.
pub mod kind {
    /// Firmware.
    pub const FIRMWARE: u8 = 0;
    /// System.
    pub const SYSTEM: u8 = 1;
    /// Base board.
    pub const BOARD: u8 = 2;
    /// Chassis.
    pub const CHASSIS: u8 = 3;
    /// Processor.
    pub const PROCESSOR: u8 = 4;
    /// Connector.
    pub const PORT: u8 = 8;
    /// Expansion slot.
    pub const SLOT: u8 = 9;
    /// Array of memory slots.
    pub const MEMORY_ARRAY: u8 = 16;
    /// One memory slot.
    pub const MEMORY_DEVICE: u8 = 17;
}

/// A walked table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Smbios {
    structures: Vec<Structure>,
    version: Option<(u8, u8)>,
    fault: Option<String>,
}

/// One structure: its formatted bytes, header included, and its strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structure {
    /// Type number.
    pub kind: u8,
    /// Handle other structures refer to.
    pub handle: u16,
    bytes: Vec<u8>,
    strings: Vec<String>,
}

impl Smbios {
    /// Reads the machine's table.
    pub fn read(source: &Source) -> Result<Self, Unreadable> {
        let bytes = source.bytes(TABLE, MAX_TABLE_BYTES)?;
        if bytes.is_empty() {
            return Err(Unreadable::malformed(format!("{TABLE}: empty")));
        }
        let mut table = Self::parse(&bytes);
        table.version = source
            .bytes(ENTRY_POINT, 256)
            .ok()
            .and_then(|bytes| version_of(&bytes));
        Ok(table)
    }

    /// Walks the bytes of a table. Never fails: what follows a fault is missing, and [`Self::fault`] says so.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut table = Self::default();
        let mut at = 0_usize;
        loop {
            let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
                // Older firmware ends without an end-of-table structure; the length alone then ends it.
                return table;
            };
            // Some firmware pads the table with zeroes.
            if !table.structures.is_empty() && rest.iter().all(|byte| *byte == 0) {
                return table;
            }
            if table.structures.len() >= MAX_STRUCTURES {
                table.fault = Some(format!("more than {MAX_STRUCTURES} structures"));
                return table;
            }
            match next_structure(rest) {
                Ok((structure, length)) => {
                    let end = structure.kind == END_OF_TABLE;
                    table.structures.push(structure);
                    if end {
                        return table;
                    }
                    at = at.saturating_add(length);
                }
                Err(fault) => {
                    table.fault = Some(format!("byte {at}: {fault}"));
                    return table;
                }
            }
        }
    }

    /// Where and why the walk stopped early.
    pub fn fault(&self) -> Option<Unreadable> {
        self.fault
            .as_ref()
            .map(|fault| Unreadable::malformed(format!("{TABLE}: {fault}")))
    }

    /// The standard's version, where the entry point could be read.
    pub fn version(&self) -> Option<(u8, u8)> {
        self.version
    }

    /// Structures of a type, in table order.
    pub fn all(&self, kind: u8) -> impl Iterator<Item = &Structure> {
        self.structures
            .iter()
            .filter(move |structure| structure.kind == kind)
    }

    /// The first structure of a type.
    pub fn first(&self, kind: u8) -> Result<&Structure, Unreadable> {
        self.all(kind).next().ok_or_else(|| {
            self.fault()
                .unwrap_or_else(|| Unreadable::no_source(format!("{TABLE}: no type {kind}")))
        })
    }

    /// A text field of the first structure of a type.
    pub fn text(&self, kind: u8, offset: usize) -> Result<String, Unreadable> {
        self.first(kind)?.text(offset)
    }

    /// The system's UUID, lower case with dashes.
    pub fn uuid(&self) -> Result<String, Unreadable> {
        let system = self.first(kind::SYSTEM)?;
        let raw: [u8; 16] = system
            .bytes
            .get(8..24)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Unreadable::no_source(format!("{TABLE}: type 1 has no UUID")))?;
        // Since version 2.6 the first three fields are little-endian; older tables have them as they are read.
        let uuid = match self.version {
            Some(version) if version < (2, 6) => uuid::Uuid::from_bytes(raw),
            _ => uuid::Uuid::from_bytes_le(raw),
        };
        Ok(uuid.to_string())
    }
}

impl Structure {
    /// A byte of the formatted area, by the standard's offset.
    pub fn byte(&self, offset: usize) -> Option<u8> {
        self.bytes.get(offset).copied()
    }

    /// A little-endian word.
    pub fn word(&self, offset: usize) -> Option<u16> {
        let bytes = self.bytes.get(offset..offset.checked_add(2)?)?;
        bytes.try_into().ok().map(u16::from_le_bytes)
    }

    /// A little-endian double word.
    pub fn dword(&self, offset: usize) -> Option<u32> {
        let bytes = self.bytes.get(offset..offset.checked_add(4)?)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    }

    /// A little-endian quad word.
    pub fn qword(&self, offset: usize) -> Option<u64> {
        let bytes = self.bytes.get(offset..offset.checked_add(8)?)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }

    /// The string that the byte at an offset refers to.
    pub fn text(&self, offset: usize) -> Result<String, Unreadable> {
        let kind = self.kind;
        let index = self.byte(offset).ok_or_else(|| {
            Unreadable::no_source(format!("{TABLE}: type {kind} is too short for {offset}"))
        })?;
        let Some(index) = usize::from(index).checked_sub(1) else {
            return Err(Unreadable::no_source(format!(
                "{TABLE}: type {kind} leaves the text at {offset} empty"
            )));
        };
        let text = self.strings.get(index).ok_or_else(|| {
            Unreadable::malformed(format!(
                "{TABLE}: type {kind} has no string {}",
                index.saturating_add(1)
            ))
        })?;
        bounds::some_text(text).ok_or_else(|| {
            Unreadable::no_source(format!(
                "{TABLE}: type {kind} leaves the text at {offset} blank"
            ))
        })
    }
}

fn next_structure(rest: &[u8]) -> Result<(Structure, usize), String> {
    let (Some(&kind), Some(&length), Some(handle)) = (rest.first(), rest.get(1), rest.get(2..4))
    else {
        return Err("cut inside a header".to_owned());
    };
    let length = usize::from(length);
    if length < HEADER {
        return Err(format!("type {kind} claims {length} bytes"));
    }
    let (Some(bytes), Some(area)) = (rest.get(..length), rest.get(length..)) else {
        return Err(format!("type {kind} is cut"));
    };
    // The strings end with an empty one: two zeroes in a row.
    let end = area
        .windows(2)
        .position(|pair| pair == [0, 0])
        .ok_or_else(|| format!("the strings of type {kind} do not end"))?;
    let strings = match area.get(..end) {
        Some(text) if !text.is_empty() => text
            .split(|byte| *byte == 0)
            .map(bounds::clean_bytes)
            .collect(),
        _ => Vec::new(),
    };
    let handle = <[u8; 2]>::try_from(handle).map_or(0, u16::from_le_bytes);
    let structure = Structure {
        kind,
        handle,
        bytes: bytes.to_vec(),
        strings,
    };
    Ok((structure, length + end + 2))
}

/// The version in an entry point: `_SM_` (2.x) or `_SM3_` (3.x).
fn version_of(bytes: &[u8]) -> Option<(u8, u8)> {
    let at = if bytes.starts_with(b"_SM3_") {
        7
    } else if bytes.starts_with(b"_SM_") {
        6
    } else {
        return None;
    };
    Some((*bytes.get(at)?, *bytes.get(at + 1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_cut_short_says_so() {
        let whole = b"\x01\x05\x01\x00\x01Maker\0\0\x7f\x04\x02\x00\0\0";
        let table = Smbios::parse(whole);
        assert_eq!(table.fault(), None);
        assert_eq!(table.text(kind::SYSTEM, 4).unwrap(), "Maker");
        for cut in 1..whole.len() {
            let table = Smbios::parse(&whole[..cut]);
            // Cut exactly between structures it is a table of an older kind, which ends by its length.
            assert_eq!(table.fault().is_none(), cut == 12, "{cut}");
        }
    }

    #[test]
    fn the_uuid_depends_on_the_version() {
        let mut bytes = vec![1, 24, 1, 0, 0, 0, 0, 0];
        bytes.extend(0..16_u8);
        bytes.extend([0, 0]);
        let mut table = Smbios::parse(&bytes);
        assert_eq!(
            table.uuid().unwrap(),
            "03020100-0504-0706-0809-0a0b0c0d0e0f"
        );
        table.version = Some((2, 5));
        assert_eq!(
            table.uuid().unwrap(),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
    }
}
