//! The device manager's database under `/run/udev/data`: what it learnt as root about disks and memory, readable by
//! every account. Absent where no udev runs.

use std::collections::BTreeMap;

use super::super::{Source, Unreadable};

const MAX_BYTES: usize = 1 << 20;
/// The entry of the firmware's table, with the memory modules (systemd 248 and later).
pub const DMI_ENTRY: &str = "/run/udev/data/+dmi:id";

/// Properties of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// Reads an entry, for example `/run/udev/data/b8:0`.
    pub fn read(source: &Source, path: &str) -> Result<Self, Unreadable> {
        let text = source.text(path, MAX_BYTES)?;
        let properties = text
            .lines()
            .filter_map(|line| line.strip_prefix("E:"))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Self(properties))
    }

    /// Reads the entry of a block device by its folder in sysfs, for example `/sys/class/block/sda1`.
    pub fn of_block(source: &Source, folder: &str) -> Result<Self, Unreadable> {
        let number = source.line(&format!("{folder}/dev"))?;
        Self::read(source, &format!("/run/udev/data/b{number}"))
    }

    /// A property as it stands.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A property in udev's escaped form (`\x20` for a blank), unescaped.
    pub fn unescaped(&self, name: &str) -> Option<String> {
        let text = self.get(name)?;
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            let escape = tail
                .strip_prefix(b"x")
                .and_then(|hex| hex.get(..2))
                .and_then(|hex| std::str::from_utf8(hex).ok())
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            match escape {
                Some(byte) if *first == b'\\' => {
                    bytes.push(byte);
                    rest = tail.get(3..).unwrap_or_default();
                }
                _ => {
                    bytes.push(*first);
                    rest = tail;
                }
            }
        }
        super::super::bounds::some_text(&String::from_utf8_lossy(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_broken_ones_stay() {
        let mut properties = Properties::default();
        properties
            .0
            .insert("M".into(), r"WDC\x20WD10EZEX\x20\x20\xzz\x4".into());
        assert_eq!(
            properties.unescaped("M").as_deref(),
            Some(r"WDC WD10EZEX  \xzz\x4")
        );
    }
}
