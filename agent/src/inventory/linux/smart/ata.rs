//! ATA pages: IDENTIFY DEVICE (ACS-3), SMART data, thresholds and logs (ATA8-ACS, SMART feature set), and the registers
//! that a translator hands back in sense data (SAT-3).

use super::super::super::{Unreadable, bounds};

/// Bytes of every page here.
pub const PAGE: usize = 512;

/// Raw values that count faults alone and so stand still on a healthy disk.
pub const FAULT_COUNTERS: &[u8] = &[5, 10, 184, 187, 188, 196, 197, 198, 199, 201];
/// Measures whose normalised value goes up and down by itself though no flag says so: temperatures and corrected reads.
const MEASURES: &[u8] = &[190, 194, 195];

/// What IDENTIFY DEVICE says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identify {
    /// Model, serial and firmware revision.
    pub model: Option<String>,
    /// Serial.
    pub serial: Option<String>,
    /// Firmware revision.
    pub firmware: Option<String>,
    /// Turns a minute, 0 for none.
    pub rotation_rpm: Option<u32>,
    /// `0x5000c500a1b2c3d4`.
    pub wwn: Option<String>,
    /// Keeps SMART data.
    pub smart_supported: bool,
    /// Is told to.
    pub smart_enabled: bool,
    /// Keeps an error log.
    pub error_log: bool,
    /// Keeps a self-test log.
    pub self_tests: bool,
}

impl Identify {
    /// Reads the 512 bytes of a page.
    pub fn parse(page: &[u8]) -> Result<Self, Unreadable> {
        let page = whole(page, "IDENTIFY DEVICE")?;
        // Word 255 holds a checksum where its low byte is A5h.
        if page.get(510) == Some(&0xa5) && sum(page) != 0 {
            return Err(Unreadable::malformed("IDENTIFY DEVICE: wrong checksum"));
        }
        let word = |at: usize| word(page, at * 2);
        let valid = |word: u16| word & 0xc000 == 0x4000;
        if page.iter().all(|byte| *byte == 0) || page.iter().all(|byte| *byte == 0xff) {
            return Err(Unreadable::malformed("IDENTIFY DEVICE: an empty page"));
        }
        let (supported, enabled) = (word(82), word(85));
        let logs = if valid(word(84)) { word(84) } else { 0 };
        let has_wwn = valid(word(87)) && word(87) & 0x100 != 0;
        Ok(Self {
            serial: swapped(page, 10..20),
            firmware: swapped(page, 23..27),
            model: swapped(page, 27..47),
            rotation_rpm: match word(217) {
                1 => Some(0),
                turns @ 0x0401..=0xfffe => Some(u32::from(turns)),
                _ => None,
            },
            wwn: has_wwn
                .then(|| (108..112).fold(0_u64, |name, at| name << 16 | u64::from(word(at))))
                .filter(|name| *name != 0 && *name != u64::MAX)
                .map(|name| format!("{name:#018x}")),
            smart_supported: supported != 0xffff && supported & 1 != 0,
            smart_enabled: enabled != 0xffff && enabled & 1 != 0,
            error_log: logs & 1 != 0,
            self_tests: logs & 2 != 0,
        })
    }
}

/// One row of the SMART data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// 1 to 255.
    pub id: u8,
    /// As the maker set them.
    pub flags: u16,
    /// Normalised.
    pub value: u8,
    /// Lowest value so far.
    pub worst: u8,
    /// 48 bits.
    pub raw: u64,
}

impl Attribute {
    /// Falls before a failure, by the maker's word.
    pub fn prefailure(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The value goes up and down by itself: a rate of errors, a speed, a temperature.
    pub fn moves(&self) -> bool {
        // Makers set the rate's flag on fault counters too (199, say), whose value only falls with them.
        let rate = self.flags & 0x0c != 0 && !FAULT_COUNTERS.contains(&self.id);
        rate || MEASURES.contains(&self.id)
    }
}

/// Attributes of SMART READ DATA, sorted by id; of an id that comes twice the first.
pub fn attributes(page: &[u8]) -> Result<Vec<Attribute>, Unreadable> {
    let mut found: Vec<Attribute> = rows(checked(page, "SMART data")?)
        .map(|row| Attribute {
            id: byte(row, 0),
            flags: word(row, 1),
            value: byte(row, 3),
            worst: byte(row, 4),
            raw: (5..11)
                .rev()
                .fold(0, |raw, at| raw << 8 | u64::from(byte(row, at))),
        })
        .filter(|attribute| attribute.id != 0)
        .collect();
    found.sort_by_key(|attribute| attribute.id);
    found.dedup_by_key(|attribute| attribute.id);
    Ok(found)
}

/// Thresholds by attribute id.
pub fn thresholds(page: &[u8]) -> Result<Vec<(u8, u8)>, Unreadable> {
    Ok(rows(checked(page, "SMART thresholds")?)
        .map(|row| (byte(row, 0), byte(row, 1)))
        .filter(|(id, _)| *id != 0)
        .collect())
}

/// Errors that the disk counted over its life, of the summary error log (01h).
pub fn error_count(page: &[u8]) -> Result<u64, Unreadable> {
    Ok(u64::from(word(checked(page, "SMART error log")?, 452)))
}

/// Rows of the self-test log (06h) that say "failed".
pub fn failed_self_tests(page: &[u8]) -> Result<u32, Unreadable> {
    let page = checked(page, "SMART self-test log")?;
    let rows = page.get(2..2 + 21 * 24).unwrap_or_default();
    // 3 to 8: fatal, unknown, electrical, servo, read, handling. The others were cut off or are under way.
    let failed = rows
        .chunks_exact(24)
        .filter(|row| matches!(byte(row, 1) >> 4, 3..=8))
        .count();
    Ok(u32::try_from(failed).unwrap_or(u32::MAX))
}

/// The registers after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Bit 2 set: the disk refused the command.
    pub error: u8,
    /// Sector count, low byte.
    pub count: u8,
    /// LBA bits 8 to 15.
    pub lba_mid: u8,
    /// LBA bits 16 to 23.
    pub lba_high: u8,
    /// Bit 0 set: the command failed.
    pub status: u8,
}

/// The registers in sense data, in descriptor or fixed form; `None` where there are none.
pub fn registers(sense: &[u8]) -> Option<Registers> {
    const RETURN: u8 = 0x09;
    match sense.first()? & 0x7f {
        0x72 | 0x73 => {
            let length = usize::from(*sense.get(7)?);
            let mut rest = sense.get(8..)?;
            rest = rest.get(..length.min(rest.len()))?;
            while let [kind, length, ..] = *rest {
                let whole = usize::from(length).saturating_add(2);
                if kind == RETURN {
                    let found = rest.get(..14)?;
                    return Some(Registers {
                        error: byte(found, 3),
                        count: byte(found, 5),
                        lba_mid: byte(found, 9),
                        lba_high: byte(found, 11),
                        status: byte(found, 13),
                    });
                }
                rest = rest.get(whole..)?;
            }
            None
        }
        // The fixed form has them where 00/1D says that they are.
        0x70 | 0x71 if (sense.get(12), sense.get(13)) == (Some(&0), Some(&0x1d)) => {
            Some(Registers {
                error: *sense.get(3)?,
                status: *sense.get(4)?,
                count: *sense.get(6)?,
                lba_mid: *sense.get(10)?,
                lba_high: *sense.get(11)?,
            })
        }
        _ => None,
    }
}

/// The verdict behind SMART RETURN STATUS: LBA 4Fh/C2h stays when all is well, F4h/2Ch says that a threshold is crossed.
pub fn verdict(lba_mid: u8, lba_high: u8) -> Result<bool, Unreadable> {
    match (lba_mid, lba_high) {
        (0x4f, 0xc2) => Ok(true),
        (0xf4, 0x2c) => Ok(false),
        _ => Err(Unreadable::malformed(format!(
            "SMART RETURN STATUS: {lba_mid:02x}h {lba_high:02x}h"
        ))),
    }
}

/// Whether the answer of CHECK POWER MODE means that the disk would have to spin up.
pub fn sleeps(count: u8) -> bool {
    // Standby, and the spun-down states of a disk with a flash cache.
    matches!(count, 0x00 | 0x01 | 0x40)
}

fn whole<'a>(page: &'a [u8], what: &str) -> Result<&'a [u8], Unreadable> {
    page.get(..PAGE)
        .ok_or_else(|| Unreadable::malformed(format!("{what}: {} bytes of 512", page.len())))
}

fn checked<'a>(page: &'a [u8], what: &str) -> Result<&'a [u8], Unreadable> {
    let page = whole(page, what)?;
    if sum(page) != 0 {
        return Err(Unreadable::malformed(format!("{what}: wrong checksum")));
    }
    // Nothing but zeroes sums up, and is what a bridge hands out that did not ask.
    if page.iter().all(|byte| *byte == 0) {
        return Err(Unreadable::malformed(format!("{what}: an empty page")));
    }
    Ok(page)
}

fn sum(page: &[u8]) -> u8 {
    page.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

fn rows(page: &[u8]) -> impl Iterator<Item = &[u8]> {
    page.get(2..2 + 30 * 12)
        .unwrap_or_default()
        .chunks_exact(12)
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([byte(bytes, at), byte(bytes, at + 1)])
}

/// Text with the bytes of each word swapped.
fn swapped(page: &[u8], words: std::ops::Range<usize>) -> Option<String> {
    let bytes: Vec<u8> = page
        .get(words.start * 2..words.end * 2)?
        .chunks_exact(2)
        .flat_map(|word| word.iter().rev().copied())
        .collect();
    bounds::some_text(&String::from_utf8_lossy(&bytes).replace('\0', " "))
}
