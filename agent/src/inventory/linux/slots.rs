//! Slots and connectors of the board, which only the firmware's table lists, in the order of the table.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::gaps::Gaps;
use super::super::{Collector, Notes, Observation, Source, Unreadable};
use super::placeholder;
use super::smbios::{self, Smbios, Structure, kind};

const MAX_ENTRIES: usize = 512;

/// Slot types of the standard (DSP0134, 7.10.1) without PCI Express and its lanes.
const SLOT_TYPES: &[(u8, &str)] = &[
    (0x03, "isa"),
    (0x04, "mca"),
    (0x05, "eisa"),
    (0x06, "pci"),
    (0x07, "pcmcia"),
    (0x08, "vl_vesa"),
    (0x09, "proprietary"),
    (0x0a, "processor_card"),
    (0x0b, "proprietary_memory_card"),
    (0x0c, "io_riser_card"),
    (0x0d, "nubus"),
    (0x0e, "pci_66mhz"),
    (0x0f, "agp"),
    (0x10, "agp_2x"),
    (0x11, "agp_4x"),
    (0x12, "pci_x"),
    (0x13, "agp_8x"),
    (0x14, "m2_socket_1_dp"),
    (0x15, "m2_socket_1_sd"),
    (0x16, "m2_socket_2"),
    (0x17, "m2_socket_3"),
    (0x18, "mxm_type_1"),
    (0x19, "mxm_type_2"),
    (0x1a, "mxm_type_3"),
    (0x1b, "mxm_type_3_he"),
    (0x1c, "mxm_type_4"),
    (0x1d, "mxm_3_type_a"),
    (0x1e, "mxm_3_type_b"),
    (0x1f, "pci_express_2_sff_8639"),
    (0x20, "pci_express_3_sff_8639"),
    (0x21, "pci_express_mini_52"),
    (0x22, "pci_express_mini_52"),
    (0x23, "pci_express_mini_76"),
    (0x24, "pci_express_4_sff_8639"),
    (0x25, "pci_express_5_sff_8639"),
    (0x26, "ocp_nic_3_small"),
    (0x27, "ocp_nic_3_large"),
    (0x28, "ocp_nic"),
    (0x30, "cxl_flexbus_1"),
    (0xc4, "pci_express_6"),
    (0xc5, "edsff_e1"),
    (0xc6, "edsff_e3"),
];

/// First numbers of PCI Express by generation; the lanes follow in steps of one.
const EXPRESS: &[(u8, &str)] = &[
    (0xa5, "pci_express"),
    (0xab, "pci_express_2"),
    (0xb1, "pci_express_3"),
    (0xb8, "pci_express_4"),
    (0xbe, "pci_express_5"),
];
const LANES: [&str; 6] = ["", "_x1", "_x2", "_x4", "_x8", "_x16"];

/// Port types (7.9.3).
const PORT_TYPES: &[(u8, &str)] = &[
    (0x01, "parallel"),
    (0x02, "parallel"),
    (0x03, "parallel"),
    (0x04, "parallel"),
    (0x05, "parallel"),
    (0x06, "serial"),
    (0x07, "serial"),
    (0x08, "serial"),
    (0x09, "serial"),
    (0x0a, "scsi"),
    (0x0b, "midi"),
    (0x0c, "joystick"),
    (0x0d, "keyboard"),
    (0x0e, "mouse"),
    (0x0f, "ssa_scsi"),
    (0x10, "usb"),
    (0x11, "firewire"),
    (0x12, "pcmcia"),
    (0x13, "pcmcia"),
    (0x14, "pcmcia"),
    (0x15, "cardbus"),
    (0x16, "access_bus"),
    (0x17, "scsi"),
    (0x18, "scsi_wide"),
    (0x1c, "video"),
    (0x1d, "audio"),
    (0x1e, "modem"),
    (0x1f, "network"),
    (0x20, "sata"),
    (0x21, "sas"),
    (0x22, "display_port"),
    (0x23, "thunderbolt"),
];

/// Connector types (7.9.2).
const CONNECTORS: &[(u8, &str)] = &[
    (0x01, "centronics"),
    (0x02, "mini_centronics"),
    (0x03, "proprietary"),
    (0x04, "db25_male"),
    (0x05, "db25_female"),
    (0x06, "db15_male"),
    (0x07, "db15_female"),
    (0x08, "db9_male"),
    (0x09, "db9_female"),
    (0x0a, "rj11"),
    (0x0b, "rj45"),
    (0x0c, "mini_scsi_50"),
    (0x0d, "mini_din"),
    (0x0e, "micro_din"),
    (0x0f, "ps2"),
    (0x10, "infrared"),
    (0x11, "hp_hil"),
    (0x12, "usb"),
    (0x13, "ssa_scsi"),
    (0x14, "din8_male"),
    (0x15, "din8_female"),
    (0x16, "onboard_ide"),
    (0x17, "onboard_floppy"),
    (0x18, "pin_header_9"),
    (0x19, "pin_header_25"),
    (0x1a, "pin_header_50"),
    (0x1b, "pin_header_68"),
    (0x1c, "onboard_cd_sound"),
    (0x1d, "mini_centronics_14"),
    (0x1e, "mini_centronics_26"),
    (0x1f, "mini_jack"),
    (0x20, "bnc"),
    (0x21, "firewire"),
    (0x22, "sas_sata"),
    (0x23, "usb_type_c"),
];

/// Makes the slots section.
#[derive(Clone, Copy, Debug)]
pub struct Slots;

impl Collector for Slots {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Slots
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut facts = v1::SlotsFacts::default();
        match Smbios::read(source) {
            Ok(table) => {
                if let Some(fault) = table.fault() {
                    notes.unread("slots", fault.clone());
                    notes.unread("ports", fault);
                }
                facts.slots = slots(&table, &mut notes);
                facts.ports = ports(&table, &mut notes);
            }
            Err(why) => {
                notes.unread("slots", why.clone());
                notes.unread("ports", why);
            }
        }
        Observation::new(Facts::Slots(facts), notes)
    }
}

/// The slots of a table.
pub fn slots(table: &Smbios, notes: &mut Notes) -> Vec<v1::Slot> {
    let mut gaps = Gaps::default();
    let mut slots = Vec::new();
    for (number, one) in entries(table, kind::SLOT, "slots", notes).enumerate() {
        let name = name_of(one, &[0x04], "slot", number);
        let used = match one.byte(0x07) {
            Some(3) => Ok(false),
            Some(4) => Ok(true),
            other => Err(silent(&name, "use", other)),
        };
        slots.push(v1::Slot {
            r#type: gaps.part(
                "type",
                &name,
                slot_type(one.byte(0x05)).ok_or_else(|| silent(&name, "type", one.byte(0x05))),
            ),
            used: gaps.part("used", &name, used),
            pci_slot: gaps.part(
                "pci_slot",
                &name,
                address(one).ok_or_else(|| {
                    Unreadable::no_source(format!("{}: {name} has no bus address", smbios::TABLE))
                }),
            ),
            name,
        });
    }
    gaps.tell("slots", notes);
    slots
}

/// The connectors of a table.
pub fn ports(table: &Smbios, notes: &mut Notes) -> Vec<v1::Port> {
    let mut gaps = Gaps::default();
    let mut ports = Vec::new();
    for (number, one) in entries(table, kind::PORT, "ports", notes).enumerate() {
        // What is printed on the outside, else on the board.
        let name = name_of(one, &[0x06, 0x04], "port", number);
        let outside = named(CONNECTORS, one.byte(0x07));
        let connector = outside.or_else(|| named(CONNECTORS, one.byte(0x05)));
        let kind = named(PORT_TYPES, one.byte(0x08));
        ports.push(v1::Port {
            r#type: gaps.part(
                "type",
                &name,
                kind.ok_or_else(|| silent(&name, "type", one.byte(0x08))),
            ),
            connector: gaps.part(
                "connector",
                &name,
                connector.ok_or_else(|| silent(&name, "connector", one.byte(0x07))),
            ),
            name,
        });
    }
    gaps.tell("ports", notes);
    ports
}

fn entries<'a>(
    table: &'a Smbios,
    kind: u8,
    group: &str,
    notes: &mut Notes,
) -> impl Iterator<Item = &'a Structure> {
    notes.from(group, smbios::TABLE);
    if table.all(kind).nth(MAX_ENTRIES).is_some() {
        let why = format!("{}: over {MAX_ENTRIES} of type {kind}", smbios::TABLE);
        notes.unread(group, Unreadable::too_large(why));
    }
    table.all(kind).take(MAX_ENTRIES)
}

/// The first designation that says something; boards without any are counted.
fn name_of(one: &Structure, offsets: &[usize], what: &str, number: usize) -> String {
    offsets
        .iter()
        .find_map(|offset| placeholder::refuse(one.text(*offset)).ok())
        .unwrap_or_else(|| format!("{what} {number}"))
}

fn silent(name: &str, what: &str, number: Option<u8>) -> Unreadable {
    let table = smbios::TABLE;
    Unreadable::no_source(match number {
        Some(number) => format!("{table}: {name} does not tell its {what} ({number:#04x})"),
        None => format!("{table}: {name} does not tell its {what}"),
    })
}

fn slot_type(number: Option<u8>) -> Option<String> {
    let number = number?;
    let express = EXPRESS.iter().find_map(|(first, name)| {
        let lanes = LANES.get(usize::from(number.checked_sub(*first)?))?;
        Some(format!("{name}{lanes}"))
    });
    express.or_else(|| named(SLOT_TYPES, Some(number)))
}

fn named(table: &[(u8, &str)], number: Option<u8>) -> Option<String> {
    let known = table.iter().find(|(known, _)| Some(*known) == number);
    known.map(|(_, name)| (*name).to_owned())
}

/// Segment, bus, device and function (since 2.6); all ones where the slot is on no bus.
fn address(one: &Structure) -> Option<String> {
    let (segment, bus, place) = (one.word(0x0d)?, one.byte(0x0f)?, one.byte(0x10)?);
    if segment == 0xffff || (bus, place) == (0xff, 0xff) {
        return None;
    }
    let (device, function) = (place >> 3, place & 7);
    Some(format!("{segment:04x}:{bus:02x}:{device:02x}.{function}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_follow_the_generation() {
        let name = |number| slot_type(Some(number));
        assert_eq!(name(0xaa).as_deref(), Some("pci_express_x16"));
        assert_eq!(name(0xb0).as_deref(), Some("pci_express_2_x16"));
        assert_eq!(name(0xb6).as_deref(), Some("pci_express_3_x16"));
        assert_eq!(name(0xbd).as_deref(), Some("pci_express_4_x16"));
        assert_eq!(name(0xc3).as_deref(), Some("pci_express_5_x16"));
        assert_eq!(name(0x17).as_deref(), Some("m2_socket_3"));
        for unknown in [0, 1, 2, 0xb7, 0xff] {
            assert_eq!(name(unknown), None, "{unknown:#x}");
        }
    }
}
