//! Partition tables in a disk's first bytes: GPT (UEFI specification, chapter 5) and MBR. Read only where no device manager
//! tells.

use super::super::bounds;

const SECTOR: usize = 512;
const MAX_ENTRIES: u32 = 512;

/// What a table says of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// GPT type GUID, or MBR type byte as `0x83`.
    pub kind: Option<String>,
    /// GPT GUID, or `SIGNATURE-NN` of an MBR.
    pub uuid: Option<String>,
    /// GPT name.
    pub label: Option<String>,
}

/// The entry of a partition by its number, counted from 1; `None` where the bytes do not tell.
pub fn entry(head: &[u8], number: u32) -> Option<Entry> {
    if head.get(SECTOR..SECTOR + 8) == Some(b"EFI PART") {
        return gpt(head, number);
    }
    if head.get(510..512) != Some(&[0x55, 0xaa]) || !(1..=4).contains(&number) {
        return None;
    }
    let at = 446 + 16 * (usize::try_from(number).ok()? - 1);
    let kind = *head.get(at + 4)?;
    let signature = le32(head, 440)?;
    (kind != 0).then(|| Entry {
        kind: Some(format!("{kind:#x}")),
        uuid: (signature != 0).then(|| format!("{signature:08x}-{number:02x}")),
        label: None,
    })
}

fn gpt(head: &[u8], number: u32) -> Option<Entry> {
    let start: [u8; 8] = head.get(SECTOR + 72..SECTOR + 80)?.try_into().ok()?;
    let start = usize::try_from(u64::from_le_bytes(start)).ok()?;
    let (count, size) = (le32(head, SECTOR + 80)?, le32(head, SECTOR + 84)?);
    if number == 0 || number > count.min(MAX_ENTRIES) || !(128..=4_096).contains(&size) {
        return None;
    }
    let index = usize::try_from((number - 1).checked_mul(size)?).ok()?;
    let at = start.checked_mul(SECTOR)?.checked_add(index)?;
    let entry = head.get(at..at.checked_add(128)?)?;
    let guid = |at: usize| {
        let bytes: [u8; 16] = entry.get(at..at + 16)?.try_into().ok()?;
        (bytes != [0; 16]).then(|| uuid::Uuid::from_bytes_le(bytes).to_string())
    };
    let letters: Vec<u16> = entry
        .get(56..128)?
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes))
        .take_while(|letter| *letter != 0)
        .collect();
    Some(Entry {
        kind: Some(guid(0)?),
        uuid: guid(16),
        label: bounds::some_text(&String::from_utf16_lossy(&letters)),
    })
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}
