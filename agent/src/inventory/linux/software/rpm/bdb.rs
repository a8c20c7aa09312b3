//! The rpm database as a Berkeley DB hash (rpm before 4.16), in either byte order. Every page is visited once, in order of
//! its number: that finds each pair of the hash without following a chain of buckets, which could loop. A value that fills
//! pages of its own is followed page by page, for as many bytes as it claims and no more than the file has in all. Layout:
//! src/dbinc/db_page.h of Berkeley DB.

use super::super::super::super::Unreadable;
use super::super::Found;
use super::{ReadAt, header};

const META: usize = 72;
const PAGE_HEAD: usize = 26;
const HASH_MAGIC: u32 = 0x0006_1561;
/// Versions that rpm wrote; the pages' form is the same in all.
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;

/// Page types.
mod page {
    pub const HASH_UNSORTED: u8 = 2;
    pub const OVERFLOW: u8 = 7;
    pub const HASH_META: u8 = 8;
    pub const HASH: u8 = 13;
}

/// Types of an item on a hash page.
mod item {
    pub const INLINE: u8 = 1;
    pub const OFF_PAGE: u8 = 3;
}

/// The packages of a database.
pub fn read(path: &str, file: &impl ReadAt) -> Result<Found, Unreadable> {
    let malformed = |what: &str| Unreadable::malformed(format!("{path}: {what}"));
    let length = file
        .length()
        .map_err(|error| Unreadable::of_error(path, &error))?;
    let meta = file
        .bytes(0, META)
        .ok_or_else(|| malformed("no head of a Berkeley database"))?;
    let order = [Order::Little, Order::Big]
        .into_iter()
        .find(|order| order.long(&meta, 12) == Some(HASH_MAGIC))
        .ok_or_else(|| malformed("no Berkeley database of the hash form"))?;
    if meta.get(25) != Some(&page::HASH_META)
        || !order
            .long(&meta, 16)
            .is_some_and(|version| VERSIONS.contains(&version))
    {
        return Err(malformed("a Berkeley database of an unknown version"));
    }
    // Encrypted, or with a checksum in each page's head: rpm makes neither.
    if meta.get(24) != Some(&0) || meta.get(26).is_none_or(|flags| flags & 1 != 0) {
        return Err(malformed(
            "a Berkeley database of a form that rpm does not make",
        ));
    }
    let size = order.long(&meta, 20).unwrap_or_default();
    if !(512..=65_536).contains(&size) || !size.is_power_of_two() {
        return Err(malformed("pages of an impossible size"));
    }
    let database = Database {
        file,
        order,
        size: usize::try_from(size).unwrap_or_default(),
    };
    let mut found = Found::default();
    let last = order.long(&meta, 32).unwrap_or_default();
    let there = length / u64::from(size);
    if u64::from(last) >= there {
        found.add(Err(malformed("cut: its last pages are missing")));
    }
    let mut left = length;
    for number in 1..=last {
        if u64::from(number) >= there {
            break;
        }
        let Some(page) = database.page(number) else {
            found.add(Err(malformed(&format!("page {number} cannot be read"))));
            continue;
        };
        if !matches!(page.get(25), Some(&(page::HASH | page::HASH_UNSORTED))) {
            continue;
        }
        for value in database.values(&page) {
            if found.is_full() {
                return Ok(found);
            }
            match value.and_then(|value| database.whole(value, &mut left)) {
                // The number of the last package, under key 0.
                Some(blob) if blob.len() == 4 => {}
                Some(blob) => super::add(&mut found, path, &blob),
                None => found.add(Err(malformed(&format!(
                    "a package of page {number} is not where it should be"
                )))),
            }
        }
    }
    Ok(found)
}

struct Database<'a, R> {
    file: &'a R,
    order: Order,
    size: usize,
}

/// A value of the hash: on the page itself, or on pages of its own.
enum Value<'a> {
    Inline(&'a [u8]),
    OffPage { first: u32, length: usize },
}

impl<R: ReadAt> Database<'_, R> {
    fn page(&self, number: u32) -> Option<Vec<u8>> {
        let at = u64::from(number).checked_mul(u64::try_from(self.size).ok()?)?;
        self.file.bytes(at, self.size)
    }

    /// The values of a hash page. Items are pairs of key and value; their offsets follow the page's head, and each item ends
    /// where the one before it begins, for the page is filled from its end.
    fn values<'p>(&self, page: &'p [u8]) -> impl Iterator<Item = Option<Value<'p>>> {
        let order = self.order;
        let offset = move |index: usize| {
            let at = index.checked_mul(2)?.checked_add(PAGE_HEAD)?;
            order.short(page, at).map(usize::from)
        };
        let count = order.short(page, 20).map_or(0, usize::from);
        // No more offsets than the page has room for; a page that claims more is told once.
        let room = page.len().saturating_sub(PAGE_HEAD) / 2;
        let beyond = (count > room).then_some(None);
        let values = (1..count.min(room)).step_by(2).map(move |index| {
            let start = offset(index)?;
            let item = page.get(start..offset(index.checked_sub(1)?)?)?;
            match *item.first()? {
                item::INLINE => Some(Value::Inline(item.get(1..)?)),
                item::OFF_PAGE => Some(Value::OffPage {
                    first: order.long(item, 4)?,
                    length: usize::try_from(order.long(item, 8)?).ok()?,
                }),
                _ => None,
            }
        });
        values.chain(beyond)
    }

    /// The bytes of a value. Each page of a chain costs its size out of `left`, so that a loop, or many values on one chain,
    /// end.
    fn whole(&self, value: Value<'_>, left: &mut u64) -> Option<Vec<u8>> {
        let (mut next, length) = match value {
            Value::Inline(bytes) => return Some(bytes.to_vec()),
            Value::OffPage { first, length } => (first, length),
        };
        if length > header::MAX_BYTES || u64::try_from(length).ok()? > *left {
            return None;
        }
        let mut bytes = Vec::new();
        while bytes.len() < length {
            *left = left.checked_sub(u64::try_from(self.size).ok()?)?;
            let page = self.page(next).filter(|_| next != 0)?;
            if page.get(25) != Some(&page::OVERFLOW) || self.order.long(&page, 8)? != next {
                return None;
            }
            let used = usize::from(self.order.short(&page, 22)?);
            bytes.extend(page.get(PAGE_HEAD..PAGE_HEAD.checked_add(used)?)?);
            next = self.order.long(&page, 16)?;
        }
        (bytes.len() == length).then_some(bytes)
    }
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn long(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        })
    }

    fn short(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        })
    }
}
