//! Which network addresses identify a machine: those of hardware that is built in, that no hypervisor made up and that
//! few devices show.

/// A network address and what it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Lower case with colons.
    pub mac: String,
    /// No hardware of its own, or hardware that goes from machine to machine: USB adapters, docks, VPN adapters.
    pub borrowed: bool,
    /// How many devices ever showed it, this one among them; 0 when not counted.
    pub devices: u32,
}

/// An address that more devices than this have shown identifies none: a machine, and itself before it was re-imaged or
/// repaired, are a few rows.
const MOST_DEVICES: u32 = 3;

/// First three octets that hypervisors give out: VMware, VirtualBox, Xen, Hyper-V, Parallels, QEMU, Docker.
const VIRTUAL: &[[u8; 3]] = &[
    [0x00, 0x05, 0x69],
    [0x00, 0x0c, 0x29],
    [0x00, 0x1c, 0x14],
    [0x00, 0x50, 0x56],
    [0x08, 0x00, 0x27],
    [0x0a, 0x00, 0x27],
    [0x00, 0x16, 0x3e],
    [0x00, 0x15, 0x5d],
    [0x00, 0x03, 0xff],
    [0x00, 0x1c, 0x42],
    [0x52, 0x54, 0x00],
    [0x02, 0x42, 0x00],
];

/// First three octets of chips that sit in USB adapters and docks: ASIX, DisplayLink. Realtek's are in boards too, so they
/// count as borrowed only when the adapter hangs on USB.
const DOCKS: &[[u8; 3]] = &[
    [0x00, 0x0e, 0xc6],
    [0x00, 0x50, 0xb6],
    [0x00, 0x24, 0x9b],
    [0xf8, 0xe4, 0x3b],
    [0x00, 0x60, 0x6e],
    [0x8c, 0xae, 0x4c],
];

/// Whole addresses that drivers make up: PPP adapters, VPN clients.
const MADE_UP: &[[u8; 6]] = &[
    [0x33, 0x50, 0x6f, 0x45, 0x30, 0x30],
    [0x50, 0x50, 0x54, 0x50, 0x30, 0x30],
    [0x02, 0x00, 0x4c, 0x4f, 0x4f, 0x50],
    [0x00, 0x05, 0x9a, 0x3c, 0x7a, 0x00],
    [0x00, 0x05, 0x9a, 0x3c, 0x78, 0x00],
];

/// Whether an address says which machine it is.
pub fn identifies(address: &Address) -> bool {
    let Some(octets) = octets(&address.mac) else {
        return false;
    };
    let [first, second, third, ..] = octets;
    let vendor = [first, second, third];
    // Bit 0: a group address. Bit 1: made up locally, as random Wi-Fi addresses are.
    let real = first & 0b11 == 0 && octets.iter().any(|octet| *octet != octets[0]);
    real && !address.borrowed
        && address.devices <= MOST_DEVICES
        && !VIRTUAL.contains(&vendor)
        && !DOCKS.contains(&vendor)
        && !MADE_UP.contains(&octets)
}

fn octets(mac: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = mac.split([':', '-']);
    for octet in &mut octets {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}
