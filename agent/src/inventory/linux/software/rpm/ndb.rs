//! The rpm database in its ndb form (openSUSE): a file of blocks of 16 bytes, numbers little-endian. A table of slots at its
//! front says which package lies at which blocks; each header stands between a head and a tail that repeat its length. As
//! rpm does on reading, the tail's checksum is not computed. Layout: lib/backend/ndb/rpmpkg.c of rpm.

use super::super::super::super::Unreadable;
use super::super::Found;
use super::{ReadAt, header};

const PAGE: usize = 4_096;
const BLOCK: u64 = 16;
const FILE_HEAD: usize = 32;
const HEAD: usize = 16;
const TAIL: usize = 12;
/// A slot takes 16 bytes, so this many pages hold far more packages than are kept.
const MAX_SLOT_PAGES: usize = 1_024;

/// The packages of a database.
pub fn read(path: &str, file: &impl ReadAt) -> Result<Found, Unreadable> {
    let malformed = |what: &str| Unreadable::malformed(format!("{path}: {what}"));
    let head = file
        .bytes(0, FILE_HEAD)
        .ok_or_else(|| malformed("no head of an ndb database"))?;
    if head.get(..4) != Some(b"RpmP") || number(&head, 4) != Some(0) {
        return Err(malformed("no ndb database of the known version"));
    }
    let pages = number(&head, 12).unwrap_or_default();
    let mut found = Found::default();
    let pages = match usize::try_from(pages) {
        Ok(pages) if pages <= MAX_SLOT_PAGES => pages,
        _ => {
            let why =
                format!("{path}: a table of {pages} pages, of which {MAX_SLOT_PAGES} are read");
            found.faults.push(Unreadable::too_large(why));
            MAX_SLOT_PAGES
        }
    };
    // Packages lie apart from each other: what slots claim in sum is no more than the file.
    let mut left = file
        .length()
        .map_err(|error| Unreadable::of_error(path, &error))?;
    for page in 0..pages {
        let at = u64::try_from(page * PAGE).unwrap_or(u64::MAX);
        let Some(slots) = file.bytes(at, PAGE) else {
            found.add(Err(malformed("its table of packages is cut")));
            break;
        };
        let skip = if page == 0 { FILE_HEAD } else { 0 };
        for slot in slots.get(skip..).unwrap_or_default().chunks_exact(16) {
            let (Some(b"Slot"), Some(package), Some(block), Some(blocks)) = (
                slot.get(..4),
                number(slot, 4),
                number(slot, 8),
                number(slot, 12),
            ) else {
                found.add(Err(malformed("a slot of its table makes no sense")));
                continue;
            };
            if block == 0 {
                continue;
            }
            if found.is_full() {
                return Ok(found);
            }
            let size = u64::from(blocks) * BLOCK;
            if size > left {
                found.add(Err(malformed("its packages claim more than the file")));
                return Ok(found);
            }
            left -= size;
            match blob(file, package, block, size) {
                Some(blob) => super::add(&mut found, path, &blob),
                None => found.add(Err(malformed(&format!(
                    "package {package} is not where it should be"
                )))),
            }
        }
    }
    Ok(found)
}

fn blob(file: &impl ReadAt, package: u32, block: u32, size: u64) -> Option<Vec<u8>> {
    let size = usize::try_from(size).ok()?;
    if size > header::MAX_BYTES {
        return None;
    }
    let mut whole = file.bytes(u64::from(block) * BLOCK, size)?;
    let length = usize::try_from(number(&whole, 12)?).ok()?;
    let tail = size.checked_sub(TAIL)?;
    let fits = whole.get(..4)? == b"BlbS"
        && number(&whole, 4)? == package
        && length <= tail.checked_sub(HEAD)?
        && usize::try_from(number(&whole, tail.checked_add(4)?)?).ok()? == length
        && whole.get(tail.checked_add(8)?..)? == b"BlbE";
    if !fits {
        return None;
    }
    whole.truncate(HEAD.checked_add(length)?);
    whole.drain(..HEAD);
    Some(whole)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}
