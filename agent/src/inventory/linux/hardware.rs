//! Which make and model this machine is, its firmware, and whether it is a machine at all.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, date};
use super::firmware::{DMI, Firmware};
use super::smbios::{self, kind};
use super::{placeholder, virtualization};

const EFI: &str = "/sys/firmware/efi";

/// Chassis types of the standard from 1 on, as the API names them. Empty: "other" and "unknown".
const CHASSIS: &[&str] = &[
    "",
    "",
    "desktop",
    "low_profile_desktop",
    "pizza_box",
    "mini_tower",
    "tower",
    "portable",
    "laptop",
    "notebook",
    "hand_held",
    "docking_station",
    "all_in_one",
    "sub_notebook",
    "space_saving",
    "lunch_box",
    "main_server_chassis",
    "expansion_chassis",
    "sub_chassis",
    "bus_expansion_chassis",
    "peripheral_chassis",
    "raid_chassis",
    "rack_mount_chassis",
    "sealed_case_pc",
    "multi_system_chassis",
    "compact_pci",
    "advanced_tca",
    "blade",
    "blade_enclosure",
    "tablet",
    "convertible",
    "detachable",
    "iot_gateway",
    "embedded_pc",
    "mini_pc",
    "stick_pc",
];

/// Makes the hardware section.
#[derive(Clone, Copy, Debug)]
pub struct Hardware;

impl Collector for Hardware {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Hardware
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let firmware = Firmware::read(source);
        let text = |kind, offset, copy| firmware.text(kind, offset, copy);
        let manufacturer = text(kind::SYSTEM, 0x04, "sys_vendor")
            .into_iter()
            .chain([firmware.tree_maker()]);
        let (tree, model) = firmware.tree("model");
        let model = text(kind::SYSTEM, 0x05, "product_name")
            .into_iter()
            .chain([(tree, placeholder::refuse(model))]);
        let facts = v1::HardwareFacts {
            manufacturer: notes.first("manufacturer", manufacturer),
            model: notes.first("model", model),
            product_version: notes.first(
                "product_version",
                text(kind::SYSTEM, 0x06, "product_version"),
            ),
            product_family: notes
                .first("product_family", text(kind::SYSTEM, 0x1a, "product_family")),
            sku: notes.first("sku", text(kind::SYSTEM, 0x19, "product_sku")),
            board_manufacturer: notes.first(
                "board_manufacturer",
                text(kind::BOARD, 0x04, "board_vendor"),
            ),
            board_model: notes.first("board_model", text(kind::BOARD, 0x05, "board_name")),
            chassis_type: notes.first("chassis_type", chassis_type(&firmware)),
            firmware_vendor: notes
                .first("firmware_vendor", text(kind::FIRMWARE, 0x04, "bios_vendor")),
            firmware_version: notes.first(
                "firmware_version",
                text(kind::FIRMWARE, 0x05, "bios_version"),
            ),
            firmware_date: notes.first(
                "firmware_date",
                text(kind::FIRMWARE, 0x08, "bios_date").map(|(source, read)| (source, day(read))),
            ),
            uefi: notes.take("uefi", EFI, uefi(source)),
            virtualization: virtualization::read(source, &firmware, &mut notes),
        };
        if let Some(fault) = firmware.table.ok().and_then(|table| table.fault()) {
            notes.unread("smbios", fault);
        }
        Observation::new(Facts::Hardware(facts), notes)
    }
}

/// The chassis type by its ways to be read.
pub fn chassis_type(firmware: &Firmware<'_>) -> [(&'static str, Result<String, Unreadable>); 2] {
    let table = match &firmware.table {
        Ok(table) => table.first(kind::CHASSIS).and_then(|chassis| {
            // The top bit says that the chassis has a lock.
            let number = chassis.byte(5).map(|byte| byte & 0x7f);
            number.ok_or_else(|| {
                Unreadable::no_source(format!("{}: type 3 is too short", smbios::TABLE))
            })
        }),
        Err(why) => Err(why.clone()),
    };
    let copy = firmware.copy("chassis_type").and_then(|text| {
        text.parse::<u8>()
            .map_err(|_| Unreadable::malformed(format!("{DMI}/chassis_type: {text:.40}")))
    });
    [
        (smbios::TABLE, table.and_then(chassis_name)),
        (DMI, copy.and_then(chassis_name)),
    ]
}

fn chassis_name(number: u8) -> Result<String, Unreadable> {
    let name = usize::from(number)
        .checked_sub(1)
        .and_then(|index| CHASSIS.get(index))
        .ok_or_else(|| Unreadable::malformed(format!("chassis type {number}")))?;
    if name.is_empty() {
        return Err(Unreadable::placeholder(format!(
            "chassis type {number}: other or unknown"
        )));
    }
    Ok((*name).to_owned())
}

fn day(read: Result<String, Unreadable>) -> Result<String, Unreadable> {
    let text = read?;
    date::day_of_firmware(&text)
        .ok_or_else(|| Unreadable::malformed(format!("firmware date {text:.40}")))
}

fn uefi(source: &Source) -> Result<bool, Unreadable> {
    if source.exists(EFI)? {
        return Ok(true);
    }
    // Only a kernel that shows its firmware can say that this one is not UEFI.
    if source.exists("/sys/firmware")? {
        Ok(false)
    } else {
        Err(Unreadable::no_source("/sys/firmware: not there"))
    }
}
