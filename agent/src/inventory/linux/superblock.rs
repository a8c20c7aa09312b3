//! What lies on a partition, from its first bytes: LUKS headers (on-disk formats 1 and 2), and the signatures of the common
//! file systems, swap and LVM2. For what no device manager tells: ciphers, and machines without udev.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::super::{Unreadable, bounds};

/// Bytes of a device that are looked at: past the second superblock of everything known here, and the JSON of most LUKS2
/// headers.
pub const HEAD_BYTES: usize = 128 << 10;

/// What is on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// `ext4`, `vfat`, `crypto_LUKS`, ... as blkid names them.
    pub kind: &'static str,
    /// UUID or serial.
    pub uuid: Option<String>,
    /// Label.
    pub label: Option<String>,
}

/// Looks for a known signature; `None` when there is none (which does not say that the device is empty).
pub fn content(head: &[u8]) -> Option<Content> {
    let at = |offset: usize, length: usize| head.get(offset..offset.checked_add(length)?);
    let is = |offset: usize, magic: &[u8]| at(offset, magic.len()) == Some(magic);
    let text = |offset: usize, length: usize| {
        let bytes = at(offset, length)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
        bounds::some_text(&String::from_utf8_lossy(bytes.get(..end)?))
    };
    let uuid = |offset: usize| {
        let bytes: [u8; 16] = at(offset, 16)?.try_into().ok()?;
        (bytes != [0; 16]).then(|| uuid::Uuid::from_bytes(bytes).to_string())
    };
    let found = |kind, uuid, label| Some(Content { kind, uuid, label });
    if is(0, b"LUKS\xba\xbe") {
        // Version 2 has a label where version 1 has the cipher.
        let label = if is(6, &[0, 2]) { text(24, 48) } else { None };
        return found("crypto_LUKS", text(168, 40), label);
    }
    if is(0, b"-FVE-FS-") {
        return found("BitLocker", None, None);
    }
    if is(0, b"XFSB") {
        return found("xfs", uuid(32), text(108, 12));
    }
    if is(3, b"NTFS    ") {
        let serial: Option<[u8; 8]> = at(72, 8).and_then(|bytes| bytes.try_into().ok());
        let serial = serial.map(|bytes| format!("{:016X}", u64::from_le_bytes(bytes)));
        return found("ntfs", serial, None);
    }
    for (mark, serial, label) in [(82, 67, 71), (54, 39, 43)] {
        if is(510, &[0x55, 0xaa])
            && (is(mark, b"FAT32   ") || is(mark, b"FAT16   ") || is(mark, b"FAT12   "))
        {
            let bytes: Option<[u8; 4]> = at(serial, 4).and_then(|bytes| bytes.try_into().ok());
            let serial = bytes.map(|[a, b, c, d]| format!("{d:02X}{c:02X}-{b:02X}{a:02X}"));
            let label = text(label, 11).filter(|label| label != "NO NAME");
            return found("vfat", serial, label);
        }
    }
    for sector in 0..4 {
        let start = sector * 512;
        if is(start, b"LABELONE") && is(start + 24, b"LVM2 001") {
            return found(
                "LVM2_member",
                text(start + 32, 32).and_then(|id| lvm_id(&id)),
                None,
            );
        }
    }
    if is(1080, &[0x53, 0xef]) {
        return found(
            ext(at(1024 + 92, 4), at(1024 + 96, 4)),
            uuid(1024 + 104),
            text(1024 + 120, 16),
        );
    }
    for page in [4_096, 8_192, 16_384, 65_536] {
        if is(page - 10, b"SWAPSPACE2") {
            return found("swap", uuid(1024 + 12), text(1024 + 28, 16));
        }
    }
    if is(65_536 + 64, b"_BHRfS_M") {
        return found("btrfs", uuid(65_536 + 32), text(65_536 + 299, 256));
    }
    if is(4_096, &[0xfc, 0x4e, 0x2b, 0xa9]) {
        return found("linux_raid_member", uuid(4_096 + 16), text(4_096 + 32, 32));
    }
    None
}

/// ext2 has no journal; ext4 has features that ext3 does not know.
fn ext(compatible: Option<&[u8]>, incompatible: Option<&[u8]>) -> &'static str {
    let bits = |bytes: Option<&[u8]>| {
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    };
    // Extents, 64 bits, flexible groups.
    if bits(incompatible) & (0x40 | 0x80 | 0x200) != 0 {
        "ext4"
    } else if bits(compatible) & 0x4 != 0 {
        "ext3"
    } else {
        "ext2"
    }
}

/// LVM's form of its 32 letters: groups of 6, 4, 4, 4, 4, 4, 6.
pub fn lvm_id(letters: &str) -> Option<String> {
    if letters.len() != 32 || !letters.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let mut parts = Vec::new();
    let mut rest = letters;
    for length in [6, 4, 4, 4, 4, 4, 6] {
        let (part, tail) = rest.split_at_checked(length)?;
        parts.push(part);
        rest = tail;
    }
    Some(parts.join("-"))
}

/// What a LUKS header says of the encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Luks {
    /// 1 or 2.
    pub version: u16,
    /// UUID.
    pub uuid: Option<String>,
    /// `aes-xts-plain64`.
    pub cipher: Option<String>,
    /// Length of the volume's key.
    pub key_bits: Option<u32>,
}

#[derive(Deserialize)]
struct Area {
    #[serde(default)]
    segments: BTreeMap<String, Segment>,
    #[serde(default)]
    keyslots: BTreeMap<String, Slot>,
}

#[derive(Deserialize)]
struct Segment {
    encryption: Option<String>,
}

#[derive(Deserialize)]
struct Slot {
    key_size: Option<u32>,
}

/// Reads a LUKS header.
pub fn luks(head: &[u8]) -> Result<Luks, Unreadable> {
    const TOP: usize = 4_096;
    let bad = |what: &str| Unreadable::malformed(format!("LUKS header: {what}"));
    let at = |offset: usize, length: usize| {
        offset
            .checked_add(length)
            .and_then(|end| head.get(offset..end))
            .ok_or_else(|| bad("it ends early"))
    };
    let number = |offset: usize, length: usize| {
        at(offset, length).map(|bytes| {
            bytes
                .iter()
                .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
        })
    };
    let text = |offset: usize, length: usize| {
        at(offset, length).map(|bytes| {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(length);
            bounds::some_text(&String::from_utf8_lossy(
                bytes.get(..end).unwrap_or_default(),
            ))
        })
    };
    if at(0, 6)? != b"LUKS\xba\xbe" {
        return Err(bad("no signature"));
    }
    match number(6, 2)? {
        1 => {
            let (cipher, mode) = (text(8, 32)?, text(40, 32)?);
            let bytes = number(108, 4)?;
            Ok(Luks {
                version: 1,
                uuid: text(168, 40)?,
                cipher: cipher
                    .zip(mode)
                    .map(|(cipher, mode)| format!("{cipher}-{mode}")),
                key_bits: key_bits(bytes),
            })
        }
        2 => {
            let size = usize::try_from(number(8, 8)?).unwrap_or(usize::MAX);
            // The sizes that the format allows: 16 KiB to 4 MiB, of which the first 4 KiB are binary.
            if !(16 << 10..=4 << 20).contains(&size) || !size.is_power_of_two() {
                return Err(bad("an impossible size"));
            }
            let room = at(TOP, size - TOP).map_err(|_| bad("longer than what was read"))?;
            let end = room
                .iter()
                .position(|byte| *byte == 0)
                .unwrap_or(room.len());
            let area: Area = serde_json::from_slice(room.get(..end).unwrap_or_default())
                .map_err(|error| bad(&format!("its JSON: {error}")))?;
            let cipher = area
                .segments
                .into_values()
                .find_map(|segment| segment.encryption);
            let bytes = area.keyslots.into_values().find_map(|slot| slot.key_size);
            Ok(Luks {
                version: 2,
                uuid: text(168, 40)?,
                cipher: cipher.as_deref().and_then(bounds::some_text),
                key_bits: bytes.and_then(|bytes| key_bits(u64::from(bytes))),
            })
        }
        version => Err(bad(&format!("version {version}"))),
    }
}

fn key_bits(bytes: u64) -> Option<u32> {
    let bits = u32::try_from(bytes.checked_mul(8)?).ok()?;
    (1..=8_192).contains(&bits).then_some(bits)
}
