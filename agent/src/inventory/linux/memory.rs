//! Memory: what the system can use, and the modules in their slots, which the firmware's table lists for root and the
//! device manager's database for everybody.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds, first_of};
use super::placeholder;
use super::smbios::{self, Smbios, Structure, kind};
use super::udev::{self, Properties};

const MEMINFO: &str = "/proc/meminfo";
const MIB: u64 = 1 << 20;
const MAX_SLOTS: u32 = 1_024;
/// Stands for the slot of a module that names none.
const UNNAMED: &str = "unnamed";

/// Memory types of the standard, by number.
const TYPES: &[(u8, &str)] = &[
    (0x03, "dram"),
    (0x0f, "sdram"),
    (0x12, "ddr"),
    (0x13, "ddr2"),
    (0x14, "ddr2"),
    (0x18, "ddr3"),
    (0x1a, "ddr4"),
    (0x1b, "lpddr"),
    (0x1c, "lpddr2"),
    (0x1d, "lpddr3"),
    (0x1e, "lpddr4"),
    (0x20, "hbm"),
    (0x21, "hbm2"),
    (0x22, "ddr5"),
    (0x23, "lpddr5"),
    (0x24, "hbm3"),
];

/// Forms of modules of the standard, by number.
const FORM_FACTORS: &[(u8, &str)] = &[
    (0x03, "simm"),
    (0x04, "sip"),
    (0x05, "chip"),
    (0x06, "dip"),
    (0x07, "zip"),
    (0x08, "proprietary_card"),
    (0x09, "dimm"),
    (0x0a, "tsop"),
    (0x0b, "row_of_chips"),
    (0x0c, "rimm"),
    (0x0d, "sodimm"),
    (0x0e, "srimm"),
    (0x0f, "fb_dimm"),
    (0x10, "die"),
    (0x11, "camm"),
];

/// Error correction of the standard, by number: as the API names it and as udev does.
const ERROR_CORRECTIONS: &[(u8, &str, &str)] = &[
    (0x03, "none", "None"),
    (0x04, "parity", "Parity"),
    (0x05, "single_bit_ecc", "Single-bit ECC"),
    (0x06, "multi_bit_ecc", "Multi-bit ECC"),
    (0x07, "crc", "CRC"),
];

/// Makes the memory section.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

/// Slots with what sits in them.
struct Modules {
    slots: u32,
    modules: Vec<v1::MemoryModule>,
    /// What single modules do not tell: slot, field, reason.
    gaps: Vec<(String, &'static str, Unreadable)>,
    max_bytes: Result<u64, Unreadable>,
    error_correction: Result<String, Unreadable>,
}

impl Modules {
    fn of(slots: u32) -> Self {
        Self {
            slots,
            modules: Vec::new(),
            gaps: Vec::new(),
            max_bytes: Err(Unreadable::no_source("the array does not tell")),
            error_correction: Err(Unreadable::no_source("the array does not tell")),
        }
    }

    /// The board's limit; one below what is in it is a mistake of its firmware.
    fn max_bytes(&self) -> Result<u64, Unreadable> {
        let max = self.max_bytes.clone()?;
        match self.installed_bytes() {
            Ok(installed) if max < installed => Err(Unreadable::malformed(format!(
                "at most {max} bytes, and {installed} in the slots"
            ))),
            _ => Ok(max),
        }
    }

    /// The sum of the modules, when each tells its size.
    fn installed_bytes(&self) -> Result<u64, Unreadable> {
        self.modules.iter().try_fold(0_u64, |sum, module| {
            let size = module
                .size_bytes
                .ok_or_else(|| Unreadable::no_source("a module does not tell its size"))?;
            Ok(sum.saturating_add(size))
        })
    }

    /// Takes a field of the module in `slot`, or remembers why it is missing.
    fn part<T>(
        &mut self,
        slot: &Option<String>,
        field: &'static str,
        read: Result<T, Unreadable>,
    ) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(why) => {
                let name = slot.clone().unwrap_or_else(|| UNNAMED.to_owned());
                self.gaps.push((name, field, why));
                None
            }
        }
    }

    fn sort(&mut self) {
        self.modules
            .sort_by(|a, b| (&a.slot, &a.serial).cmp(&(&b.slot, &b.serial)));
    }
}

impl Collector for Memory {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Memory
    }

    fn version(&self) -> u32 {
        2
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let meminfo = source.text(MEMINFO, 1 << 16);
        let field = |name: &str| {
            meminfo
                .as_ref()
                .map_err(Clone::clone)
                .and_then(|text| meminfo_bytes(text, name))
        };
        let mut facts = v1::MemoryFacts {
            // Whole MiB: kernels of one machine differ by some KiB from start to start, which is no change of memory.
            visible_bytes: notes.take(
                "visible_bytes",
                MEMINFO,
                field("MemTotal").map(|bytes| bytes / MIB * MIB),
            ),
            swap_bytes: notes.take("swap_bytes", MEMINFO, field("SwapTotal")),
            ..v1::MemoryFacts::default()
        };
        let attempts = [
            (smbios::TABLE, from_table(source)),
            (udev::DMI_ENTRY, from_udev(source)),
        ];
        match first_of(attempts) {
            Ok((origin, found)) => {
                notes.from("modules", origin);
                facts.slots = Some(found.slots);
                facts.installed_bytes = notes.part("installed_bytes", found.installed_bytes());
                facts.max_bytes = notes.part("max_bytes", found.max_bytes());
                facts.error_correction = notes.part("error_correction", found.error_correction);
                let taken = u32::try_from(found.modules.len()).unwrap_or(u32::MAX);
                facts.free_slots = Some(found.slots.saturating_sub(taken));
                facts.modules = found.modules;
                for (slot, field, why) in found.gaps {
                    notes.unread(&format!("modules.{slot}.{field}"), why);
                }
            }
            Err(why) => {
                for group in [
                    "installed_bytes",
                    "modules",
                    "slots",
                    "free_slots",
                    "max_bytes",
                    "error_correction",
                ] {
                    notes.unread(group, why.clone());
                }
            }
        }
        Observation::new(Facts::Memory(facts), notes)
    }
}

/// A field of meminfo, in bytes.
pub fn meminfo_bytes(text: &str, name: &str) -> Result<u64, Unreadable> {
    let value = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(field, _)| *field == name)
        .map(|(_, value)| value.trim())
        .ok_or_else(|| Unreadable::malformed(format!("{MEMINFO}: no {name}")))?;
    value
        .strip_suffix(" kB")
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1_024))
        .ok_or_else(|| Unreadable::malformed(format!("{MEMINFO}: {name} {value:.40}")))
}

fn from_table(source: &Source) -> Result<Modules, Unreadable> {
    let table = Smbios::read(source)?;
    // A table cut short would list some modules as if they were all.
    if let Some(fault) = table.fault() {
        return Err(fault);
    }
    let system_memory = |array: &&Structure| array.byte(5) == Some(0x03);
    let arrays: Vec<u16> = table
        .all(kind::MEMORY_ARRAY)
        .filter(system_memory)
        .map(|array| array.handle)
        .collect();
    let devices: Vec<&Structure> = table
        .all(kind::MEMORY_DEVICE)
        // Slots for firmware chips belong to other arrays.
        .filter(|device| {
            let array = device.word(4);
            arrays.is_empty() || array.is_none_or(|array| arrays.contains(&array))
        })
        .collect();
    if devices.is_empty() {
        return Err(Unreadable::no_source(format!(
            "{}: no memory devices",
            smbios::TABLE
        )));
    }
    let listed = u32::try_from(devices.len()).unwrap_or(u32::MAX);
    let promised: u32 = table
        .all(kind::MEMORY_ARRAY)
        .filter(system_memory)
        .filter_map(|array| array.word(0x0d))
        .map(u32::from)
        .fold(0, u32::saturating_add);
    // Some firmware promises more slots than the board has structures for, but never the other way round.
    let slots = if promised == 0 {
        listed
    } else {
        promised.max(listed)
    };
    if slots > MAX_SLOTS {
        return Err(Unreadable::malformed(format!(
            "{}: {slots} memory slots",
            smbios::TABLE
        )));
    }
    let mut found = Modules::of(slots);
    let arrays: Vec<&Structure> = table
        .all(kind::MEMORY_ARRAY)
        .filter(system_memory)
        .collect();
    found.max_bytes = max_bytes(&arrays);
    found.error_correction = error_correction(&arrays);
    // A slot whose size is zero is empty.
    for device in devices
        .into_iter()
        .filter(|device| device.word(0x0c) != Some(0))
    {
        add_module(&mut found, device);
    }
    found.sort();
    Ok(found)
}

/// The sum over the arrays; each must tell, or the sum would be too low.
fn max_bytes(arrays: &[&Structure]) -> Result<u64, Unreadable> {
    let silent = || Unreadable::no_source(format!("{}: type 16 tells no limit", smbios::TABLE));
    if arrays.is_empty() {
        return Err(silent());
    }
    arrays.iter().try_fold(0_u64, |sum, array| {
        let bytes = match array.dword(0x07) {
            // Too much for this field: the later one has it in bytes.
            Some(0x8000_0000) => array.qword(0x0f),
            kib => kib.map(|kib| u64::from(kib) * 1_024),
        };
        let bytes = bytes.filter(|bytes| *bytes > 0).ok_or_else(silent)?;
        Ok(sum.saturating_add(bytes))
    })
}

/// What all arrays have.
fn error_correction(arrays: &[&Structure]) -> Result<String, Unreadable> {
    let name = |array: &&Structure| {
        let number = array.byte(0x06)?;
        let known = ERROR_CORRECTIONS
            .iter()
            .find(|(known, ..)| *known == number);
        known.map(|(_, name, _)| *name)
    };
    let first = arrays.first().and_then(name);
    match first {
        Some(first) if arrays.iter().all(|array| name(array) == Some(first)) => {
            Ok(first.to_owned())
        }
        _ => Err(Unreadable::no_source(format!(
            "{}: type 16 does not tell the error correction",
            smbios::TABLE
        ))),
    }
}

fn add_module(found: &mut Modules, device: &Structure) {
    let text = |offset| placeholder::refuse(device.text(offset));
    let silent = |what: &str| {
        Unreadable::no_source(format!(
            "{}: type 17 does not tell the {what}",
            smbios::TABLE
        ))
    };
    let size = match device.word(0x0c) {
        None | Some(0xffff) => None,
        Some(0x7fff) => device
            .dword(0x1c)
            .map(|mib| u64::from(mib & 0x7fff_ffff).saturating_mul(MIB)),
        Some(kib) if kib & 0x8000 != 0 => Some(u64::from(kib & 0x7fff) * 1_024),
        Some(mib) => Some(u64::from(mib) * MIB),
    };
    let speed = match device.word(0x15) {
        None | Some(0) => None,
        Some(0xffff) => device.dword(0x54).filter(|speed| *speed != 0),
        Some(speed) => Some(u32::from(speed)),
    };
    let kind = device.byte(0x12).and_then(|number| {
        let known = TYPES.iter().find(|(known, _)| *known == number);
        known.map(|(_, name)| (*name).to_owned())
    });
    let form_factor = device.byte(0x0e).and_then(|number| {
        let known = FORM_FACTORS.iter().find(|(known, _)| *known == number);
        known.map(|(_, name)| (*name).to_owned())
    });
    let slot = slot(text(0x10).ok(), text(0x11).ok());
    let module = v1::MemoryModule {
        form_factor: found.part(
            &slot,
            "form_factor",
            form_factor.ok_or_else(|| silent("form factor")),
        ),
        size_bytes: found.part(&slot, "size_bytes", size.ok_or_else(|| silent("size"))),
        r#type: found.part(&slot, "type", kind.ok_or_else(|| silent("type"))),
        speed_mts: found.part(&slot, "speed_mts", speed.ok_or_else(|| silent("speed"))),
        manufacturer: found.part(&slot, "manufacturer", text(0x17)),
        part_number: found.part(&slot, "part_number", text(0x1a)),
        serial: found.part(&slot, "serial", text(0x18)),
        slot: found.part(&None, "slot", slot.clone().ok_or_else(|| silent("slot"))),
    };
    found.modules.push(module);
}

/// The locator; with the bank's name in front, since boards exist whose locators repeat from bank to bank.
fn slot(locator: Option<String>, bank: Option<String>) -> Option<String> {
    match (bank, locator) {
        (Some(bank), Some(locator)) if bank != locator => Some(format!("{bank} / {locator}")),
        (bank, locator) => locator.or(bank),
    }
}

fn from_udev(source: &Source) -> Result<Modules, Unreadable> {
    let properties = Properties::read(source, udev::DMI_ENTRY)?;
    let slots: u32 = properties
        .get("MEMORY_ARRAY_NUM_DEVICES")
        .and_then(|text| text.parse().ok())
        .filter(|slots| *slots <= MAX_SLOTS)
        .ok_or_else(|| {
            Unreadable::no_source(format!("{}: no memory modules in it", udev::DMI_ENTRY))
        })?;
    let mut found = Modules::of(slots);
    let array = |name: &str| {
        properties
            .get(name)
            .ok_or_else(|| Unreadable::no_source(format!("{}: no {name}", udev::DMI_ENTRY)))
    };
    found.max_bytes = array("MEMORY_ARRAY_MAX_CAPACITY").and_then(parsed);
    found.error_correction = array("MEMORY_ARRAY_EC_TYPE").and_then(|text| {
        let known = ERROR_CORRECTIONS.iter().find(|(.., name)| *name == text);
        known
            .map(|(_, name, _)| (*name).to_owned())
            .ok_or_else(|| Unreadable::no_source(format!("{}: {text:.40}", udev::DMI_ENTRY)))
    });
    for number in 0..slots {
        let raw = |name: &str| properties.get(&format!("MEMORY_DEVICE_{number}_{name}"));
        let text = |name: &str| {
            let text = raw(name).and_then(bounds::some_text).ok_or_else(|| {
                let path = udev::DMI_ENTRY;
                Unreadable::no_source(format!("{path}: no MEMORY_DEVICE_{number}_{name}"))
            });
            placeholder::refuse(text)
        };
        // An empty slot, or one that udev learnt nothing about.
        if raw("PRESENT") == Some("0") || (raw("SIZE").is_none() && raw("LOCATOR").is_none()) {
            continue;
        }
        let size = text("SIZE").and_then(|text| parsed(&text));
        let speed = text("SPEED_MTS").and_then(|text| parsed(&text));
        let slot = slot(text("LOCATOR").ok(), text("BANK_LOCATOR").ok());
        let form_factor = text("FORM_FACTOR").and_then(|text| form_factor(&text));
        let module = v1::MemoryModule {
            form_factor: found.part(&slot, "form_factor", form_factor),
            size_bytes: found.part(&slot, "size_bytes", size),
            r#type: found.part(&slot, "type", text("TYPE").map(|name| name.to_lowercase())),
            speed_mts: found.part(&slot, "speed_mts", speed),
            manufacturer: found.part(&slot, "manufacturer", text("MANUFACTURER")),
            part_number: found.part(&slot, "part_number", text("PART_NUMBER")),
            serial: found.part(&slot, "serial", text("SERIAL_NUMBER")),
            slot: found.part(
                &None,
                "slot",
                slot.clone().ok_or_else(|| {
                    Unreadable::no_source(format!("{}: no locator", udev::DMI_ENTRY))
                }),
            ),
        };
        found.modules.push(module);
    }
    found.sort();
    Ok(found)
}

/// udev's spelling (`Row Of Chips`, `FB-DIMM`) as the API has it.
fn form_factor(text: &str) -> Result<String, Unreadable> {
    let name = text.to_lowercase().replace([' ', '-'], "_");
    let known = FORM_FACTORS.iter().any(|(_, known)| *known == name);
    known.then_some(name).ok_or_else(|| {
        Unreadable::no_source(format!("{}: form factor {text:.40}", udev::DMI_ENTRY))
    })
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|_| {
        Unreadable::malformed(format!("{}: not a number: {text:.40}", udev::DMI_ENTRY))
    })
}
