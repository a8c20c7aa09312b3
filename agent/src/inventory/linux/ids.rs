//! Names of devices out of the system's lists of ids (`pci.ids`, `usb.ids`): more than a megabyte of text that is gone
//! through once, without a map of it.

use std::collections::{BTreeMap, BTreeSet};

use memchr::{memchr, memmem};

use super::super::{Source, Unreadable, bounds};

const MAX_BYTES: usize = 8 << 20;
/// Where distributions keep the lists.
const FOLDERS: &[&str] = &["/usr/share/misc", "/usr/share/hwdata"];

/// Names found, by numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Makers.
    pub vendors: BTreeMap<u16, String>,
    /// Devices, by maker and device.
    pub devices: BTreeMap<(u16, u16), String>,
}

/// A list's path and bytes.
pub fn read(source: &Source, name: &str) -> Result<(String, Vec<u8>), Unreadable> {
    let mut failure = None;
    for folder in FOLDERS {
        let path = format!("{folder}/{name}");
        match source.bytes(&path, MAX_BYTES) {
            Ok(bytes) => return Ok((path, bytes)),
            // A list that is there and cannot be read tells more than one that is not.
            Err(why) if failure.is_none() || !why.is_no_source() => failure = Some(why),
            Err(_) => {}
        }
    }
    Err(failure.unwrap_or_else(|| Unreadable::no_source(name)))
}

/// Names of pairs of maker and device. What the list lacks is missing in the answer.
pub fn look_up(text: &[u8], wanted: &BTreeSet<(u16, u16)>) -> Names {
    let mut names = Names::default();
    let mut rest = text;
    let mut makers: Vec<u16> = wanted.iter().map(|(vendor, _)| *vendor).collect();
    makers.dedup();
    for vendor in makers {
        let key = format!("{vendor:04x}  ");
        // The list is sorted, so each search goes on where the last one ended; the whole text is asked again only for a
        // maker that did not follow.
        let Some(block) = after_line(rest, "", &key).or_else(|| after_line(text, "", &key)) else {
            continue;
        };
        rest = block;
        let (name, below) = split_line(block);
        if let Some(name) = some_name(name) {
            names.vendors.insert(vendor, name);
        }
        let devices = indented(below);
        for pair @ (_, device) in wanted.range((vendor, 0)..=(vendor, u16::MAX)) {
            let found = after_line(devices, "\t", &format!("{device:04x}  "));
            if let Some(name) = found.and_then(|line| some_name(split_line(line).0)) {
                names.devices.insert(*pair, name);
            }
        }
    }
    names
}

/// What follows `indent` and `key` at the beginning of a line.
fn after_line<'a>(text: &'a [u8], indent: &str, key: &str) -> Option<&'a [u8]> {
    let first = format!("{indent}{key}");
    if let Some(rest) = text.strip_prefix(first.as_bytes()) {
        return Some(rest);
    }
    let key = format!("\n{first}");
    let at = memmem::find(text, key.as_bytes())?;
    text.get(at.checked_add(key.len())?..)
}

/// Lines of devices and of what is below them, up to the next maker.
fn indented(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while matches!(rest.first(), Some(b'\t' | b'#')) {
        rest = split_line(rest).1;
    }
    let length = text.len().saturating_sub(rest.len());
    text.get(..length).unwrap_or_default()
}

fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'\n', text).and_then(|at| text.split_at_checked(at)) {
        Some((line, rest)) => (line, rest.get(1..).unwrap_or_default()),
        None => (text, &[]),
    }
}

/// Names of classes with their subclasses (`0x0300`), from the end of `pci.ids`.
pub fn look_up_classes(text: &[u8], wanted: &BTreeSet<u16>) -> BTreeMap<u16, String> {
    let mut found = BTreeMap::new();
    let Some(start) = memmem::rfind(text, b"\nC 00  ") else {
        return found;
    };
    let lines = text.get(start..).unwrap_or_default();
    let mut class = None;
    for line in lines.split(|byte| *byte == b'\n') {
        if let Some(line) = line.strip_prefix(b"C ") {
            class = short_entry(line);
            // A class stands for its subclasses without a name of their own.
            if let Some((class, name)) = &class {
                let of_class = wanted.range(class << 8..=(class << 8 | 0xff));
                found.extend(of_class.map(|code| (*code, name.clone())));
            }
        } else if let Some((class, _)) = &class
            && let Some((subclass, name)) = line.strip_prefix(b"\t").and_then(short_entry)
            && wanted.contains(&(class << 8 | subclass))
        {
            found.insert(class << 8 | subclass, name);
        }
    }
    found
}

/// A maker of monitors by three letters, from `pnp.ids` (`DEL<TAB>Dell Inc.`).
pub fn look_up_monitor_maker(text: &[u8], letters: &str) -> Option<String> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(letters.as_bytes())?.strip_prefix(b"\t"))
        .map(bounds::clean_bytes)
        .filter(|name| !name.is_empty())
}

/// `03  Display controller`.
fn short_entry(line: &[u8]) -> Option<(u16, String)> {
    let (digits, name) = (line.get(..2)?, line.get(2..)?.strip_prefix(b"  ")?);
    Some((hex(digits)?, some_name(name)?))
}

fn some_name(name: &[u8]) -> Option<String> {
    let name = bounds::clean_bytes(name);
    (!name.is_empty()).then_some(name)
}

fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0_u16, |number, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(number << 4 | u16::try_from(value).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &[u8] = b"# head\n\n0001  Twice\n\t0002  Two\n8086  Intel Corporation\n\t1237  440FX\n\
        \t\t1af4 1100  Virtual Machine\n\t9a49  Iris Xe\n8087  Caf\xe9\n\t0aaa  Bluetooth\n\
        C 00  Unclassified\n\t00  Non-VGA\nC 03  Display controller\n\t00  VGA compatible controller\n\t\t01  8514\n";

    #[test]
    fn names_are_found_once_and_what_is_missing_stays_missing() {
        let wanted = BTreeSet::from([(0x8086, 0x9a49), (0x8086, 0x0002), (0x8087, 0x0aaa), (9, 9)]);
        let names = look_up(LIST, &wanted);
        assert_eq!(names.vendors[&0x8086], "Intel Corporation");
        assert_eq!(names.vendors[&0x8087], "Caf\u{fffd}");
        assert_eq!(names.vendors.get(&9), None);
        assert_eq!(names.devices[&(0x8086, 0x9a49)], "Iris Xe");
        assert_eq!(names.devices[&(0x8087, 0x0aaa)], "Bluetooth");
        assert_eq!(names.devices.len(), 2);
    }

    #[test]
    fn a_list_out_of_order_is_searched_as_well() {
        let list = b"8086  Intel\n\t0001  One\n1022  AMD\n\t0002  Two\n";
        let names = look_up(
            list,
            &BTreeSet::from([(0x1022, 2), (0x8086, 1), (0x8086, 2)]),
        );
        assert_eq!(names.vendors.len(), 2);
        assert_eq!(names.devices[&(0x8086, 1)], "One");
        // Another maker's device of the same number is not this one's.
        assert_eq!(names.devices.get(&(0x8086, 2)), None);
    }

    #[test]
    fn classes_are_found_and_unnamed_subclasses_bear_the_class() {
        let found = look_up_classes(LIST, &BTreeSet::from([0x0300, 0x0380, 0x0c03]));
        assert_eq!(found[&0x0300], "VGA compatible controller");
        assert_eq!(found[&0x0380], "Display controller");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_list_cut_anywhere_gives_what_is_whole() {
        let wanted = BTreeSet::from([(0x8086, 0x9a49), (0x8087, 0x0aaa)]);
        for cut in 0..=LIST.len() {
            let names = look_up(&LIST[..cut], &wanted);
            assert!(names.vendors.len() <= 2 && names.devices.len() <= 2);
            look_up_classes(&LIST[..cut], &BTreeSet::from([0x0300]));
        }
        assert_eq!(
            look_up_monitor_maker(b"DEL\tDell\nXX", "DEL").as_deref(),
            Some("Dell")
        );
        assert_eq!(look_up_monitor_maker(b"DEL", "DEL"), None);
    }
}
