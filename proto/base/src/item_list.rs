//! A long list inside an encoded message, without knowing what the items are: the list taken apart into the message
//! around it and its items, byte for byte, put together again, and the difference of two lists by position.
//!
//! The message is one of the shape `outer { inner (field OUTER) { items (field 1, repeated) } ... }` in protobuf's wire
//! form, with the inner message first and nothing but items in it, as encoders write it. What has another shape is not
//! taken apart: [`split`] answers nothing and the bytes go whole.

use std::collections::HashMap;
use std::fmt;

/// Key of a repeated message in field 1.
const ITEM: u8 = 0x0a;
/// Most items that are put together.
const MAX_ITEMS: usize = 1_000_000;

/// A list taken apart: joining it gives the bytes it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The message with an empty list in it.
    pub shell: Vec<u8>,
    /// The encoded items in their order.
    pub items: Vec<&'a [u8]>,
}

/// Takes a list apart. `outer` is the number of the field that holds it, at most 15. Nothing when the bytes are not of
/// that shape, or not as an encoder would write them.
pub fn split(bytes: &[u8], outer: u8) -> Option<Parts<'_>> {
    let key = key(outer)?;
    let mut rest = bytes.strip_prefix(&[key])?;
    let mut inner = take(&mut rest)?;
    let mut items = Vec::new();
    while let Some(after) = inner.strip_prefix(&[ITEM]) {
        inner = after;
        items.push(take(&mut inner)?);
    }
    if !inner.is_empty() {
        return None;
    }
    let mut shell = vec![key, 0];
    shell.extend_from_slice(rest);
    let same = join(&shell, &items).is_some_and(|joined| joined == bytes);
    same.then_some(Parts { shell, items })
}

/// Puts a list together. Nothing when the shell is not one of [`split`].
pub fn join<T: AsRef<[u8]>>(shell: &[u8], items: &[T]) -> Option<Vec<u8>> {
    let (key, rest) = match shell {
        [key, 0, rest @ ..] => (*key, rest),
        _ => return None,
    };
    let size: usize = items
        .iter()
        .map(|item| 1 + varint_len(item.as_ref().len()) + item.as_ref().len())
        .sum();
    let mut bytes = Vec::with_capacity(size + rest.len() + 6);
    bytes.push(key);
    put(&mut bytes, size);
    for item in items {
        bytes.push(ITEM);
        put(&mut bytes, item.as_ref().len());
        bytes.extend_from_slice(item.as_ref());
    }
    bytes.extend_from_slice(rest);
    Some(bytes)
}

/// What to do to one list to have another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Positions in the old list, rising.
    pub removed: Vec<u32>,
    /// Positions in the new list, rising.
    pub added_at: Vec<u32>,
    /// The items at those positions.
    pub added: Vec<Vec<u8>>,
}

/// Why a difference cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoesNotFit;

impl fmt::Display for DoesNotFit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the difference does not fit the list it is to change")
    }
}

impl std::error::Error for DoesNotFit {}

/// The difference of two lists. Nothing when items that both have stand in another order: then one is sent whole.
pub fn difference(old: &[&[u8]], new: &[&[u8]]) -> Option<Difference> {
    let mut places: HashMap<&[u8], u32> = HashMap::with_capacity(old.len());
    for (at, item) in old.iter().enumerate() {
        if places.insert(item, u32::try_from(at).ok()?).is_some() {
            return None;
        }
    }
    let mut kept = vec![false; old.len()];
    let mut difference = Difference::default();
    let mut last = None;
    for (at, item) in new.iter().enumerate() {
        match places.get(item) {
            Some(&place) => {
                if last.is_some_and(|last| place <= last) {
                    return None;
                }
                last = Some(place);
                *kept.get_mut(usize::try_from(place).ok()?)? = true;
            }
            None => {
                difference.added_at.push(u32::try_from(at).ok()?);
                difference.added.push(item.to_vec());
            }
        }
    }
    for (at, kept) in kept.iter().enumerate() {
        if !kept {
            difference.removed.push(u32::try_from(at).ok()?);
        }
    }
    Some(difference)
}

/// Applies a difference.
///
/// # Errors
/// [`DoesNotFit`] when positions do not rise or lie outside, or items and positions differ in number.
pub fn apply<'a, T: AsRef<[u8]>>(
    old: &[&'a [u8]],
    removed: &[u32],
    added_at: &[u32],
    added: &'a [T],
) -> Result<Vec<&'a [u8]>, DoesNotFit> {
    let rising = |list: &[u32]| list.windows(2).all(|pair| pair.first() < pair.get(1));
    if added_at.len() != added.len() || !rising(removed) || !rising(added_at) {
        return Err(DoesNotFit);
    }
    let total = (old.len() + added.len())
        .checked_sub(removed.len())
        .filter(|total| *total <= MAX_ITEMS)
        .ok_or(DoesNotFit)?;
    let mut gone = removed.iter().copied().peekable();
    let mut kept = Vec::with_capacity(old.len());
    for (at, item) in (0u32..).zip(old) {
        if gone.next_if_eq(&at).is_none() {
            kept.push(*item);
        }
    }
    if gone.peek().is_some() {
        return Err(DoesNotFit);
    }
    let mut kept = kept.into_iter();
    let mut news = added_at.iter().copied().zip(added).peekable();
    let mut out = Vec::with_capacity(total);
    for at in 0..u32::try_from(total).map_err(|_| DoesNotFit)? {
        match news.next_if(|(place, _)| *place == at) {
            Some((_, item)) => out.push(item.as_ref()),
            None => out.push(kept.next().ok_or(DoesNotFit)?),
        }
    }
    if news.peek().is_some() || kept.next().is_some() {
        return Err(DoesNotFit);
    }
    Ok(out)
}

fn key(outer: u8) -> Option<u8> {
    (1..=15).contains(&outer).then_some(outer << 3 | 2)
}

/// Takes a length and that many bytes off the front.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0usize;
    for shift in 0..5 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            let (taken, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            return Some(taken);
        }
    }
    None
}

fn put(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        // The low seven bits always fit.
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

fn varint_len(mut length: usize) -> usize {
    let mut count = 1;
    while length >= 0x80 {
        length >>= 7;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(items: &[&str], rest: &[u8]) -> Vec<u8> {
        let mut shell = vec![0x42, 0];
        shell.extend_from_slice(rest);
        join(&shell, items).unwrap()
    }

    #[test]
    fn a_list_comes_apart_and_together_byte_for_byte() {
        let long = "x".repeat(300);
        let bytes = message(&["a", &long, ""], &[0xa2, 0x01, 0x00]);
        let parts = split(&bytes, 8).unwrap();
        assert_eq!(parts.items, [b"a".as_slice(), long.as_bytes(), b""]);
        assert_eq!(join(&parts.shell, &parts.items).unwrap(), bytes);
        assert_eq!(split(&bytes, 7), None, "another field");
    }

    #[test]
    fn cut_or_padded_lists_are_left_whole_or_come_together_as_they_were() {
        let bytes = message(&["alpha", "beta", "gamma"], &[0xa2, 0x01, 0x00]);
        for end in 0..bytes.len() {
            if let Some(parts) = split(&bytes[..end], 8) {
                assert_eq!(join(&parts.shell, &parts.items).unwrap(), bytes[..end]);
            }
        }
        // A length written longer than needed would come back shorter.
        assert_eq!(split(&[0x42, 0x83, 0x00, 0x0a, 0x01, b'a'], 8), None);
        assert_eq!(split(&[0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 8), None);
        assert_eq!(split(&[0x42, 0xff, 0xff, 0xff, 0xff, 0x0f], 8), None);
        assert_eq!(split(&[0x42, 3, 0x12, 1, b'a'], 8), None, "not an item");
    }

    #[test]
    fn a_difference_applied_gives_the_other_list() {
        let lists: [&[&str]; 6] = [
            &[],
            &["a"],
            &["a", "b", "c", "d"],
            &["b", "b2", "d", "e"],
            &["0", "a", "c", "z"],
            &["x", "y"],
        ];
        for old in lists {
            for new in lists {
                let (o, n): (Vec<&[u8]>, Vec<&[u8]>) = (
                    old.iter().map(|i| i.as_bytes()).collect(),
                    new.iter().map(|i| i.as_bytes()).collect(),
                );
                let d = difference(&o, &n).unwrap();
                assert_eq!(apply(&o, &d.removed, &d.added_at, &d.added).unwrap(), n);
                assert_eq!(old == new, d == Difference::default());
            }
        }
        assert_eq!(difference(&[b"a", b"b"], &[b"b", b"a"]), None);
    }

    #[test]
    fn a_lying_difference_does_not_fit() {
        let old: [&[u8]; 2] = [b"a", b"b"];
        let none: [&[u8]; 0] = [];
        for (removed, at, added) in [
            (vec![2], vec![], vec![]),
            (vec![1, 0], vec![], vec![]),
            (vec![0, 0], vec![], vec![]),
            (vec![], vec![3], vec![b"x".to_vec()]),
            (vec![], vec![u32::MAX], vec![b"x".to_vec()]),
            (vec![], vec![0], vec![]),
            (vec![], vec![1, 1], vec![b"x".to_vec(), b"y".to_vec()]),
        ] {
            assert_eq!(apply(&old, &removed, &at, &added), Err(DoesNotFit));
        }
        assert_eq!(apply(&old, &[0, 1], &[], &none), Ok(vec![]));
    }
}
