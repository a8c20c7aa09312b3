//! What hangs on the machine's buses: the devices themselves, and what people know some of them as.

use std::collections::BTreeMap;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::gaps::Gaps;
use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use super::{inputs, pci, placeholder, usb};

const SOUND_CARDS: &str = "/proc/asound/cards";
const SOUND: &str = "/sys/class/sound";
const TTY: &str = "/sys/class/tty";
/// Classes with ports of modems, which the kernel makes with the first modem.
const MODEM_CLASSES: &[&str] = &["/sys/class/usbmisc", "/sys/class/wwan"];
/// Drivers of serial ports that are modems'; other serial ports are cables and boards.
const MODEM_DRIVERS: &[&str] = &["option", "qcserial", "sierra", "hso"];
const VIDEO: &str = "/sys/class/video4linux";
/// Parts of a chip that make and read pictures but see nothing.
const NO_CAMERAS: &[&str] = &[
    "codec", "decode", "encode", "-isp", "rpivid", "-dec", "-enc",
];
const BLUETOOTH: &str = "/sys/class/bluetooth";
const BLUETOOTH_STATE: &str = "/var/lib/bluetooth";
const MAX_THINGS: usize = 256;

/// Makes the devices section.
#[derive(Clone, Copy, Debug)]
pub struct Devices;

impl Collector for Devices {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Devices
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let pci = pci::read(source, &mut notes);
        let usb = usb::read(source, &mut notes);
        let facts = v1::DevicesFacts {
            inputs: inputs::read(source, &mut notes),
            sounds: sounds(source, &mut notes),
            modems: modems(source, &usb, &mut notes),
            cameras: cameras(source, &mut notes),
            bluetooth: bluetooth(source, &mut notes),
            pci: pci.devices,
            gpus: pci.gpus,
            usb,
        };
        Observation::new(Facts::Devices(facts), notes)
    }
}

fn sounds(source: &Source, notes: &mut Notes) -> Vec<v1::SoundCard> {
    let cards = source
        .text(SOUND_CARDS, 1 << 16)
        .and_then(|text| sound_cards(&text));
    let Some(cards) = notes.take("sounds", SOUND_CARDS, cards) else {
        return Vec::new();
    };
    let mut gaps = Gaps::default();
    let mut sounds: Vec<v1::SoundCard> = cards
        .into_iter()
        .map(|(number, driver, name)| {
            let slot = source
                .link(&format!("{SOUND}/card{number}"))
                .and_then(|target| {
                    let slot = pci_slot_in(&target).filter(|_| usb::device_in(&target).is_none());
                    slot.map(str::to_owned)
                        .ok_or_else(|| Unreadable::no_source(format!("{name}: no PCI device")))
                });
            v1::SoundCard {
                pci_slot: gaps.part("pci_slot", &name, slot),
                driver: Some(driver),
                name,
            }
        })
        .collect();
    gaps.tell("sounds", notes);
    sounds.sort_by(|a, b| (&a.name, &a.pci_slot).cmp(&(&b.name, &b.pci_slot)));
    sounds
}

/// Number, driver and name of each card: ` 0 [PCH            ]: HDA-Intel - HDA Intel PCH`, then a line of details.
pub fn sound_cards(text: &str) -> Result<Vec<(u32, String, String)>, Unreadable> {
    let mut cards = Vec::new();
    let malformed =
        |line: &str| Unreadable::malformed(format!("{SOUND_CARDS}: {:.80}", line.trim()));
    if text.contains("no soundcards") {
        return Ok(cards);
    }
    for line in text.lines() {
        let Some((head, rest)) = line.split_once("]: ") else {
            // The details of a card begin far to the right.
            if cards.is_empty() || !line.starts_with("      ") {
                return Err(malformed(line));
            }
            continue;
        };
        let number = head.split('[').next().and_then(|n| n.trim().parse().ok());
        let (driver, name) = rest.split_once(" - ").ok_or_else(|| malformed(line))?;
        let (Some(number), Some(driver), Some(name)) =
            (number, bounds::some_text(driver), bounds::some_text(name))
        else {
            return Err(malformed(line));
        };
        if cards.len() < MAX_THINGS {
            cards.push((number, driver, name));
        }
    }
    if cards.is_empty() {
        return Err(malformed("empty"));
    }
    Ok(cards)
}

/// The device nearest to the end in a path of the kernel's tree.
fn pci_slot_in(path: &str) -> Option<&str> {
    path.split('/').rev().find(|part| {
        let shape = part.len() == 12 && part.get(4..5) == Some(":") && part.get(7..8) == Some(":");
        shape && part.get(10..11) == Some(".")
    })
}

fn modems(source: &Source, devices: &[v1::UsbDevice], notes: &mut Notes) -> Vec<v1::Modem> {
    let Some(ttys) = notes.take("modems", TTY, source.list(TTY)) else {
        return Vec::new();
    };
    let mut ports: Vec<(&str, String)> = ttys
        .into_iter()
        .filter(|name| name.starts_with("ttyACM") || name.starts_with("ttyUSB"))
        .map(|name| (TTY, name))
        .collect();
    for class in MODEM_CLASSES {
        match source.list(class) {
            Ok(names) => {
                let kinds = |name: &String| name.starts_with("cdc-wdm") || name.contains("wwan");
                ports.extend(names.into_iter().filter(kinds).map(|name| (*class, name)));
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("modems", why),
        }
    }
    // One modem has several ports; its place on the bus tells which are its own.
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (class, name) in ports.into_iter().take(MAX_THINGS) {
        let target = match source.link(&format!("{class}/{name}")) {
            Ok(target) => target,
            Err(why) => {
                notes.unread("modems", why);
                continue;
            }
        };
        if name.starts_with("ttyUSB") {
            let folder = usb::interface_in(&target).unwrap_or(&name);
            match pci::driver(source, &format!("{}/{folder}", usb::DEVICES)) {
                Ok(driver) if MODEM_DRIVERS.contains(&driver.as_str()) => {}
                Ok(_) => continue,
                Err(why) => {
                    notes.unread("modems", why);
                    continue;
                }
            }
        }
        let place = usb::device_in(&target).or_else(|| pci_slot_in(&target));
        let place = place.unwrap_or(&name).to_owned();
        places.entry(place).or_default().push(name);
    }
    let mut gaps = Gaps::default();
    let mut modems: Vec<v1::Modem> = places
        .into_iter()
        .map(|(place, mut ports)| {
            ports.sort();
            let device = devices.iter().find(|device| device.path == place);
            let name = device.and_then(|device| device.product.clone());
            let name = name.unwrap_or_else(|| ports.first().cloned().unwrap_or_default());
            let maker = device.and_then(|device| device.vendor.clone());
            let maker = maker
                .ok_or_else(|| Unreadable::no_source(format!("{place}: no maker in devices.usb")));
            v1::Modem {
                manufacturer: gaps.part("manufacturer", &place, maker),
                name,
                ports,
            }
        })
        .collect();
    gaps.tell("modems", notes);
    modems.sort_by(|a, b| (&a.name, &a.ports).cmp(&(&b.name, &b.ports)));
    modems
}

fn cameras(source: &Source, notes: &mut Notes) -> Vec<v1::Camera> {
    let Some(nodes) = notes.take("cameras", VIDEO, source.list(VIDEO)) else {
        return Vec::new();
    };
    // A camera has a node for pictures and another for their descriptions.
    let mut names = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.starts_with("video")) {
        if names.len() >= MAX_THINGS {
            notes.unread(
                "cameras",
                Unreadable::too_large(format!("{VIDEO}: over {MAX_THINGS} cameras")),
            );
            break;
        }
        let folder = format!("{VIDEO}/{node}");
        match source.line(&format!("{folder}/name")) {
            Ok(name) => {
                let target = source.link(&folder).unwrap_or_default();
                let place = target.split("/video4linux/").next().unwrap_or_default();
                let place = usb::device_in(place).unwrap_or(place).to_owned();
                names.insert((name, place), ());
            }
            Err(why) => notes.unread("cameras", why),
        }
    }
    names
        .into_keys()
        .filter(|(name, _)| !NO_CAMERAS.iter().any(|part| name.contains(part)))
        .map(|(name, _)| v1::Camera { name })
        .collect()
}

fn bluetooth(source: &Source, notes: &mut Notes) -> Vec<v1::BluetoothAdapter> {
    let Some(names) = notes.take("bluetooth", BLUETOOTH, source.list(BLUETOOTH)) else {
        return Vec::new();
    };
    // `hci0:11` is a connection.
    let adapters: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with("hci") && !name.contains(':'))
        .take(MAX_THINGS)
        .collect();
    let alone = adapters.len() == 1;
    let mut gaps = Gaps::default();
    let adapters = adapters
        .into_iter()
        .map(|name| {
            let address = address(source, &name, alone);
            v1::BluetoothAdapter {
                address: gaps.part("address", &name, address),
                name,
            }
        })
        .collect();
    gaps.tell("bluetooth", notes);
    adapters
}

/// Newer kernels keep the address to themselves; the service names its folder of state by it, for root.
fn address(source: &Source, name: &str, alone: bool) -> Result<String, Unreadable> {
    let is_address = |text: &str| {
        let parts: Vec<&str> = text.split(':').collect();
        let hex = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
        parts.len() == 6 && parts.iter().all(hex)
    };
    let path = format!("{BLUETOOTH}/{name}/address");
    let text = match source.line(&path) {
        Err(why) if why.is_no_source() && alone => {
            let mut folders = source.list(BLUETOOTH_STATE)?;
            folders.retain(|folder| is_address(folder));
            match folders.as_slice() {
                [one] => one.clone(),
                _ => return Err(why),
            }
        }
        read => read?,
    };
    if !is_address(&text) {
        return Err(Unreadable::malformed(format!("{path}: {text:.40}")));
    }
    placeholder::refuse(Ok(text.to_ascii_lowercase()))
}
