//! Keyboards, mice and other things under people's hands, from the input layer's list. What it also lists (power buttons,
//! lid switches, jacks) is told apart by what each can send.

use chasqui_proto::v1;

use super::super::{Notes, Source, Unreadable, bounds};

/// The input layer's list.
pub const DEVICES: &str = "/proc/bus/input/devices";
const MAX_BYTES: usize = 1 << 20;
const MAX_DEVICES: usize = 512;

/// Buses by number, as `linux/input.h` has them.
const BUSES: &[(u16, &str)] = &[
    (0x01, "pci"),
    (0x03, "usb"),
    (0x05, "bluetooth"),
    (0x06, "virtual"),
    (0x10, "isa"),
    (0x11, "ps2"),
    (0x18, "i2c"),
    (0x19, "host"),
    (0x1c, "spi"),
    (0x1d, "rmi"),
    (0x1f, "ishtp"),
];

/// Reads the list; sorted by name.
pub fn read(source: &Source, notes: &mut Notes) -> Vec<v1::InputDevice> {
    let text = source.text(DEVICES, MAX_BYTES);
    let Some(text) = notes.take("inputs", DEVICES, text) else {
        return Vec::new();
    };
    let wide = source.machine().is_ok_and(|machine| machine.contains("64"));
    let (devices, fault) = parse(&text, wide);
    if let Some(why) = fault {
        notes.unread("inputs", why);
    }
    if devices.iter().any(|device| device.bus.is_none()) {
        let why = Unreadable::no_source(format!("{DEVICES}: a bus without a name"));
        notes.unread("inputs.bus", why);
    }
    devices
}

/// What a device can send, by the bitmaps' names.
#[derive(Default)]
struct Bits {
    ev: Vec<u64>,
    key: Vec<u64>,
    rel: Vec<u64>,
    abs: Vec<u64>,
    prop: Vec<u64>,
}

/// Devices for people in the list's text, and what is wrong with it. `wide` says that the kernel's words have 64 bits
/// where the text does not.
pub fn parse(text: &str, wide: bool) -> (Vec<v1::InputDevice>, Option<Unreadable>) {
    let bitmaps = || text.lines().filter_map(|line| line.strip_prefix("B: "));
    let word_bits = if wide || bitmaps().any(has_wide_word) {
        64
    } else {
        32
    };
    let mut devices = Vec::new();
    let mut fault = None;
    let mut bad = |what: &str| {
        if fault.is_none() {
            fault = Some(Unreadable::malformed(format!("{DEVICES}: {what:.80}")));
        }
    };
    for (number, block) in text.split("\n\n").enumerate() {
        let block = block.trim();
        if block.is_empty() {
            continue;
        }
        if number >= MAX_DEVICES {
            let why = Unreadable::too_large(format!("{DEVICES}: over {MAX_DEVICES} devices"));
            return (sorted(devices), Some(why));
        }
        let (mut name, mut bus, mut bits) = (None, None, Bits::default());
        for line in block.lines() {
            if let Some(text) = line.strip_prefix("N: Name=") {
                name = bounds::some_text(text.trim_matches('"'));
            } else if let Some(text) = line.strip_prefix("I: Bus=") {
                bus = text
                    .get(..4)
                    .and_then(|hex| u16::from_str_radix(hex, 16).ok());
            } else if let Some((field, words)) = line
                .strip_prefix("B: ")
                .and_then(|line| line.split_once('='))
            {
                let Some(words) = bitmap(words, word_bits) else {
                    bad(line);
                    continue;
                };
                match field {
                    "EV" => bits.ev = words,
                    "KEY" => bits.key = words,
                    "REL" => bits.rel = words,
                    "ABS" => bits.abs = words,
                    "PROP" => bits.prop = words,
                    _ => {}
                }
            }
        }
        // Every device has a bus and sends something; a block without is cut.
        let (Some(bus), false) = (bus, bits.ev.is_empty()) else {
            bad(block);
            continue;
        };
        let (Some(kind), Some(name)) = (kind(&bits), name) else {
            continue;
        };
        let known = BUSES.iter().find(|(known, _)| *known == bus);
        devices.push(v1::InputDevice {
            name,
            r#type: Some(kind.to_owned()),
            bus: known.map(|(_, name)| (*name).to_owned()),
        });
    }
    (sorted(devices), fault)
}

fn sorted(mut devices: Vec<v1::InputDevice>) -> Vec<v1::InputDevice> {
    devices.sort_by(|a, b| (&a.name, &a.r#type, &a.bus).cmp(&(&b.name, &b.r#type, &b.bus)));
    // One thing on the desk may show itself as several alike.
    devices.dedup();
    devices
}

fn has_wide_word(line: &str) -> bool {
    let words = line.split_once('=').map_or("", |(_, words)| words);
    words.split(' ').any(|word| word.len() > 8)
}

/// Words of a bitmap, the highest first, as 64-bit words from the lowest.
fn bitmap(text: &str, word_bits: u32) -> Option<Vec<u64>> {
    let words: Option<Vec<u64>> = text
        .split_whitespace()
        .rev()
        .take(64)
        .map(|word| u64::from_str_radix(word, 16).ok())
        .collect();
    let words = words?;
    if word_bits == 64 {
        return Some(words);
    }
    let pairs = words.chunks(2).map(|pair| {
        let word = |at| pair.get(at).copied().unwrap_or_default();
        word(0) | word(1) << 32
    });
    Some(pairs.collect())
}

fn has(words: &[u64], bit: usize) -> bool {
    words
        .get(bit / 64)
        .is_some_and(|word| word >> (bit % 64) & 1 == 1)
}

/// The rules by which systemd's `input_id` sorts devices, in short; codes of `input-event-codes.h`.
fn kind(bits: &Bits) -> Option<&'static str> {
    let key = |code| has(&bits.key, code);
    let axes = has(&bits.abs, 0) && has(&bits.abs, 1);
    let moves = has(&bits.rel, 0) && has(&bits.rel, 1);
    let direct = has(&bits.prop, 1);
    let (pen, finger, touch) = (key(0x140) || key(0x14b), key(0x145), key(0x14a));
    let touches = has(&bits.abs, 0x35) && has(&bits.abs, 0x36);
    if axes && pen {
        return Some("tablet");
    }
    if (axes || touches) && finger && !direct {
        return Some("touchpad");
    }
    if (axes || touches) && (touch || direct) {
        return Some("touchscreen");
    }
    if (0x120..0x140).any(key) && axes {
        return Some("joystick");
    }
    // A virtual machine's pointer has absolute places and a mouse's buttons.
    if key(0x110) && (moves || axes) {
        return Some("mouse");
    }
    // Escape, the digits, Q to D: none missing.
    let letters = bits.key.first().copied().unwrap_or_default();
    (letters & 0xffff_fffe == 0xffff_fffe).then_some("keyboard")
}
