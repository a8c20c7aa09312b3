//! The first bytes of a device, which are never read of a disk that sleeps.

use std::io::Read;
use std::time::Duration;

use super::super::super::{Source, Unreadable, patience};
use super::super::smart::ask::{Ask, Page};
use super::super::smart::ata;
use super::super::superblock::HEAD_BYTES;
use super::super::{block, disk_health, disks};

const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// The first bytes of a device, at most [`HEAD_BYTES`], unless a disk under it sleeps.
pub fn head(source: &Source, device: &str) -> Result<Vec<u8>, Unreadable> {
    if !source.is_live() {
        return source.bytes(&format!("/head/{device}"), HEAD_BYTES);
    }
    let (source, device) = (source.clone(), device.to_owned());
    patience::within("head of a disk", HEAD_LIMIT, move || {
        live_head(&source, &device)
    })
    .and_then(|read| read)
}

fn live_head(source: &Source, device: &str) -> Result<Vec<u8>, Unreadable> {
    for disk in block::disks_under(source, device) {
        let asleep = || Unreadable::io(format!("{disk} sleeps and is not woken"));
        if disk_health::suspended(source, &disk) {
            return Err(asleep());
        }
        if matches!(disks::bus(source, &disk), Some("sata" | "usb")) {
            let mode = source.page(&disk, Page::PowerMode)?;
            if mode.first().is_none_or(|count| ata::sleeps(*count)) {
                return Err(asleep());
            }
        }
    }
    let path = format!("/dev/{device}");
    let fail = |error: std::io::Error| Unreadable::of_error(&path, &error);
    let file = std::fs::File::open(&path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(HEAD_BYTES as u64)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(bytes)
}
