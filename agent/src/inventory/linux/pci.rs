//! Devices on the PCI bus, by what the kernel keeps of each. The configuration space itself is left alone: in a virtual
//! machine each read of it costs a way out to the host.

use std::collections::BTreeSet;

use chasqui_proto::v1;

use super::super::gaps::Gaps;
use super::super::{Notes, Source, Unreadable};
use super::ids;
use super::udev::Properties;

/// The kernel's list.
pub const DEVICES: &str = "/sys/bus/pci/devices";
const MAX_DEVICES: usize = 1_024;
/// Display controllers.
const DISPLAY: &str = "03";
const INTEL: &str = "8086";
/// Flags of a resource: memory, and memory that may be read ahead.
const PREFETCHABLE_MEMORY: u64 = 0x2200;

/// The devices, and the graphics among them.
#[derive(Debug, Default)]
pub struct Pci {
    /// Sorted by slot.
    pub devices: Vec<v1::PciDevice>,
    /// Sorted by slot.
    pub gpus: Vec<v1::Gpu>,
}

/// Reads the bus.
pub fn read(source: &Source, notes: &mut Notes) -> Pci {
    let mut slots = match source.list(DEVICES) {
        Ok(slots) => slots,
        Err(why) => {
            notes.unread("pci", why.clone());
            notes.unread("gpus", why);
            return Pci::default();
        }
    };
    notes.from("pci", DEVICES);
    if slots.len() > MAX_DEVICES {
        let why = Unreadable::too_large(format!("{DEVICES}: over {MAX_DEVICES} devices"));
        notes.unread("pci", why.clone());
        notes.unread("gpus", why);
        slots.truncate(MAX_DEVICES);
    }
    let (mut gaps, mut whole, mut graphics) = <(Gaps, Gaps, Gaps)>::default();
    let mut devices = Vec::with_capacity(slots.len());
    for slot in slots {
        match device(source, &slot, &mut gaps) {
            Ok(device) => devices.push(device),
            // Without its number a device could be anything, a graphics card as well.
            Err(why) => {
                whole.add("unknown", &slot, why.clone());
                graphics.add("unknown", &slot, why);
            }
        }
    }
    whole.tell("pci", notes);
    name(source, &mut devices, &mut gaps, notes);
    gaps.tell("pci", notes);
    let gpus = gpus(source, &devices, graphics, notes);
    Pci { devices, gpus }
}

fn device(source: &Source, slot: &str, gaps: &mut Gaps) -> Result<v1::PciDevice, Unreadable> {
    let hex = |name: &str, digits: usize| {
        let path = format!("{DEVICES}/{slot}/{name}");
        let line = source.line(&path)?;
        line.strip_prefix("0x")
            .filter(|hex| hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .map(str::to_ascii_lowercase)
            .ok_or_else(|| Unreadable::malformed(format!("{path}: {line:.40}")))
    };
    let subsystem = |name: &str| {
        hex(name, 4).and_then(|id| match id.as_str() {
            // Bridges have none.
            "0000" | "ffff" => Err(Unreadable::no_source(format!("{slot}: no subsystem"))),
            _ => Ok(id),
        })
    };
    let revision = hex("revision", 2).and_then(|hex| {
        u32::from_str_radix(&hex, 16).map_err(|_| Unreadable::malformed(format!("{slot}: {hex}")))
    });
    Ok(v1::PciDevice {
        slot: slot.to_owned(),
        vendor_id: hex("vendor", 4)?,
        device_id: hex("device", 4)?,
        subsystem_vendor_id: gaps.part("subsystem_vendor_id", slot, subsystem("subsystem_vendor")),
        subsystem_device_id: gaps.part("subsystem_device_id", slot, subsystem("subsystem_device")),
        class_code: gaps.part("class_code", slot, hex("class", 6)),
        driver: gaps.part("driver", slot, driver(source, &format!("{DEVICES}/{slot}"))),
        revision: gaps.part("revision", slot, revision),
        ..v1::PciDevice::default()
    })
}

/// The driver bound to a device, by its folder.
pub fn driver(source: &Source, folder: &str) -> Result<String, Unreadable> {
    let path = format!("{folder}/driver");
    let target = source.link(&path).map_err(|why| {
        if why.is_no_source() {
            Unreadable::no_source(format!("{folder}: no driver bound"))
        } else {
            why
        }
    })?;
    let name = target.rsplit('/').next().unwrap_or_default();
    super::super::bounds::some_text(name)
        .ok_or_else(|| Unreadable::malformed(format!("{path}: {target:.100}")))
}

/// A pair of numbers out of their hex digits.
pub fn numbers(vendor: &str, device: &str) -> Option<(u16, u16)> {
    let number = |hex| u16::from_str_radix(hex, 16).ok();
    Some((number(vendor)?, number(device)?))
}

fn name(source: &Source, devices: &mut [v1::PciDevice], gaps: &mut Gaps, notes: &mut Notes) {
    let wanted: BTreeSet<(u16, u16)> = devices
        .iter()
        .filter_map(|device| numbers(&device.vendor_id, &device.device_id))
        .collect();
    let class_of = |device: &v1::PciDevice| {
        let code = device.class_code.as_deref()?.get(..4)?;
        u16::from_str_radix(code, 16).ok()
    };
    let classes: BTreeSet<u16> = devices.iter().filter_map(class_of).collect();
    if devices.is_empty() {
        return;
    }
    let list = ids::read(source, "pci.ids");
    let found = list.as_ref().map(|(path, text)| {
        for group in ["pci.vendor", "pci.device", "pci.class_name"] {
            notes.from(group, path);
        }
        let names = ids::look_up(text, &wanted);
        (path, names, ids::look_up_classes(text, &classes))
    });
    for device in devices {
        let slot = device.slot.clone();
        let pair = numbers(&device.vendor_id, &device.device_id);
        let class = class_of(device);
        // The device manager keeps the names it looked up in lists of its own.
        let kept = Properties::read(source, &format!("/run/udev/data/+pci:{slot}"));
        let known = |named: Option<&String>, what: &str, property: &str| {
            if let Some(name) = named {
                return Ok(name.clone());
            }
            if let Some(name) = kept.as_ref().ok().and_then(|kept| kept.get(property)) {
                return Ok(super::super::bounds::clean(name));
            }
            match &found {
                Ok((path, ..)) => Err(Unreadable::no_source(format!("{path}: no {what}"))),
                Err(why) => Err((*why).clone()),
            }
        };
        let names = found.as_ref().ok();
        let vendor = names.and_then(|(_, names, _)| names.vendors.get(&pair?.0));
        let model = names.and_then(|(_, names, _)| names.devices.get(&pair?));
        let class = names.and_then(|(_, _, classes)| classes.get(&class?));
        let vendor = known(vendor, &device.vendor_id, "ID_VENDOR_FROM_DATABASE");
        let ids = format!("{}:{}", device.vendor_id, device.device_id);
        let model = known(model, &ids, "ID_MODEL_FROM_DATABASE");
        let code = device.class_code.as_deref().unwrap_or("class");
        let class = known(class, code, "ID_PCI_SUBCLASS_FROM_DATABASE");
        device.vendor = gaps.part("vendor", &slot, vendor);
        device.device = gaps.part("device", &slot, model);
        device.class_name = gaps.part("class_name", &slot, class);
    }
}

fn gpus(
    source: &Source,
    devices: &[v1::PciDevice],
    mut gaps: Gaps,
    notes: &mut Notes,
) -> Vec<v1::Gpu> {
    notes.from("gpus", DEVICES);
    let mut gpus = Vec::new();
    for device in devices {
        let slot = device.slot.as_str();
        match &device.class_code {
            None => {
                let why = Unreadable::malformed(format!("{DEVICES}/{slot}: no class"));
                gaps.add("unknown", slot, why);
            }
            Some(code) if code.starts_with(DISPLAY) => {
                let unnamed = || {
                    let why = format!("no name of {}:{}", device.vendor_id, device.device_id);
                    Unreadable::no_source(why)
                };
                gpus.push(v1::Gpu {
                    pci_slot: Some(slot.to_owned()),
                    vendor: gaps.part("vendor", slot, device.vendor.clone().ok_or_else(unnamed)),
                    model: gaps.part("model", slot, device.device.clone().ok_or_else(unnamed)),
                    driver: gaps.part("driver", slot, driver(source, &format!("{DEVICES}/{slot}"))),
                    memory_bytes: gaps.part("memory_bytes", slot, memory_bytes(source, device)),
                });
            }
            Some(_) => {}
        }
    }
    gaps.tell("gpus", notes);
    gpus
}

/// A graphics card's own memory: what its driver tells, else the largest window into it, which older boards keep
/// smaller than the memory.
fn memory_bytes(source: &Source, device: &v1::PciDevice) -> Result<u64, Unreadable> {
    let folder = format!("{DEVICES}/{}", device.slot);
    match source.number::<u64>(&format!("{folder}/mem_info_vram_total")) {
        Ok(bytes) if bytes > 0 => return Ok(bytes),
        Err(why) if !why.is_no_source() => return Err(why),
        Ok(_) | Err(_) => {}
    }
    // Graphics of the processor itself: the window leads into the machine's memory.
    if device.vendor_id == INTEL && device.slot.split(':').nth(1) == Some("00") {
        return Err(Unreadable::no_source(format!(
            "{}: shares the machine's memory",
            device.slot
        )));
    }
    let path = format!("{folder}/resource");
    largest_window(&source.text(&path, 1 << 14)?)
        .map_err(|why| Unreadable::malformed(format!("{path}: {why}")))?
        .ok_or_else(|| Unreadable::no_source(format!("{path}: no window into memory")))
}

/// The largest prefetchable memory of a `resource` file, in bytes: lines of start, end and flags.
pub fn largest_window(text: &str) -> Result<Option<u64>, String> {
    let mut largest = None;
    let mut lines = 0_usize;
    for line in text.lines().take(64) {
        let mut numbers = line
            .split_whitespace()
            .map(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok());
        let (Some(Some(start)), Some(Some(end)), Some(Some(flags)), None) = (
            numbers.next(),
            numbers.next(),
            numbers.next(),
            numbers.next(),
        ) else {
            return Err(format!("{line:.60}"));
        };
        lines = lines.saturating_add(1);
        if flags & PREFETCHABLE_MEMORY == PREFETCHABLE_MEMORY && end > start {
            largest = largest.max(end.saturating_sub(start).checked_add(1));
        }
    }
    if lines == 0 {
        return Err("empty".to_owned());
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_largest_that_may_be_read_ahead() {
        let text = "0x00000000fd000000 0x00000000fdffffff 0x0000000000040200\n\
                    0x000000e000000000 0x000000e00fffffff 0x000000000014220c\n\
                    0x000000e010000000 0x000000e011ffffff 0x000000000014220c\n\
                    0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        assert_eq!(largest_window(text), Ok(Some(256 << 20)));
        assert_eq!(largest_window("0x0 0x0 0x0\n"), Ok(None));
        // All of the address space would be one more than fits.
        assert_eq!(largest_window("0x0 0xffffffffffffffff 0x2200\n"), Ok(None));
        for bad in ["", "0x1\n", "1 2 3\n", "0x0 0x1 0x2 0x3\n"] {
            assert!(largest_window(bad).is_err(), "{bad:?}");
        }
    }
}
