//! Firmware, slots, devices, monitors and batteries: what captured machines show, and what spoiled sources do not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod inventory_support;

use chasqui_agent::inventory::linux::smbios::Smbios;
use chasqui_agent::inventory::linux::{devices, edid, inputs, smbios};
use chasqui_agent::inventory::{Inventory, linux};
use chasqui_proto::v1::{self, SecureBoot, UnreadReason};
use inventory_support::edid::{Monitor, close};
use inventory_support::smbios::Table;
use inventory_support::{self as support, Machine, reason};
use proptest::prelude::*;

fn text(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("-")
}

fn display(inventory: &Inventory, connector: &str) -> v1::Display {
    let displays = support::displays(inventory).displays;
    let found = displays
        .into_iter()
        .find(|display| display.connector == connector);
    found.unwrap()
}

#[test]
fn secure_boot_is_told_in_all_its_states() {
    for (name, state) in [
        ("dell-latitude-5440", SecureBoot::Enabled),
        ("lenovo-without-root", SecureBoot::Disabled),
        ("fedora-raid", SecureBoot::SetupMode),
        ("hp-compaq-6300", SecureBoot::Unsupported),
    ] {
        let firmware = support::firmware(&Machine::new(name).collect());
        assert_eq!(firmware.secure_boot(), state, "{name}");
    }
    // UEFI without the feature has variables, but none of these; unmounted variables tell nothing.
    let machine = Machine::new("dell-latitude-5440");
    let folder = machine.path("/sys/firmware/efi/efivars");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let inventory = machine.collect();
    assert_eq!(
        support::firmware(&inventory).secure_boot(),
        SecureBoot::Unspecified
    );
    assert_eq!(
        reason(&inventory, "firmware.secure_boot"),
        Some(UnreadReason::NoSource)
    );
    machine.write(
        "/sys/firmware/efi/efivars/Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        b"\x07\0\0\0x",
    );
    let firmware = support::firmware(&machine.collect());
    assert_eq!(firmware.secure_boot(), SecureBoot::Unsupported);
}

#[test]
fn an_unreadable_setup_mode_is_not_a_disabled_secure_boot() {
    let machine = Machine::new("lenovo-without-root");
    machine.write(
        "/sys/firmware/efi/efivars/SetupMode-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        b"\x06\0\0\0\x07",
    );
    let inventory = machine.collect();
    let firmware = support::firmware(&inventory);
    assert_eq!(firmware.secure_boot(), SecureBoot::Unspecified);
    assert_eq!(
        reason(&inventory, "firmware.secure_boot"),
        Some(UnreadReason::Malformed)
    );
}

#[test]
fn a_tpm_is_told_from_none_and_from_nobody_looked() {
    let tpm = |name: &str| support::firmware(&Machine::new(name).collect()).tpm;
    let old = tpm("hp-compaq-6300").unwrap();
    assert_eq!(
        (text(&old.version), text(&old.manufacturer)),
        ("1.2", "IFX")
    );
    assert_eq!((old.enabled, old.owned), (Some(true), Some(false)));
    assert_eq!(text(&old.firmware_version), "4.32");
    let new = tpm("dell-latitude-5440").unwrap();
    assert_eq!(
        (text(&new.version), text(&new.manufacturer)),
        ("2.0", "STM")
    );
    // An empty class folder is a machine without one.
    assert_eq!(tpm("fedora-raid").unwrap().present, Some(false));
    // A kernel without the class has not looked.
    let inventory = Machine::new("qemu-placeholders").collect();
    assert_eq!(support::firmware(&inventory).tpm, None);
    assert_eq!(
        reason(&inventory, "firmware.tpm"),
        Some(UnreadReason::NoSource)
    );
}

#[test]
fn firmware_components_come_from_the_resource_table() {
    let components = support::firmware(&Machine::new("dell-latitude-5440").collect()).components;
    assert_eq!(components.len(), 2);
    assert_eq!(components[0].name, "2b1f6a2c-90aa-4d4f-8a4f-b1c2d3e4f506");
    assert_eq!(text(&components[0].r#type), "device");
    assert_eq!(text(&components[1].version), "67305472");
    let inventory = Machine::new("lenovo-without-root").collect();
    assert_eq!(
        reason(&inventory, "firmware.components"),
        Some(UnreadReason::Permission)
    );
}

#[test]
fn slots_and_ports_are_those_of_the_table() {
    let slots = support::slots(&Machine::new("hp-compaq-6300").collect());
    let used: Vec<_> = slots
        .slots
        .iter()
        .map(|slot| (slot.name.as_str(), text(&slot.r#type), slot.used))
        .collect();
    assert_eq!(
        used,
        [
            ("PCI1", "pci", Some(false)),
            ("PCIEX16", "pci_express_x16", Some(false)),
            ("PCIEX1_1", "pci_express_x1", Some(true)),
            ("PCIEX1_2", "pci_express_x1", None),
        ]
    );
    assert_eq!(text(&slots.slots[1].pci_slot), "0000:00:01.0");
    assert_eq!(slots.slots[0].pci_slot, None);
    let ports: Vec<_> = slots
        .ports
        .iter()
        .map(|port| {
            (
                port.name.as_str(),
                text(&port.r#type),
                text(&port.connector),
            )
        })
        .collect();
    assert_eq!(ports[0], ("KYBD", "keyboard", "ps2"));
    // What is not led outside bears the board's name and connector.
    assert_eq!(ports[4], ("SATA0", "sata", "sas_sata"));
    assert_eq!(ports[6], ("SPARE", "-", "-"));
}

#[test]
fn the_board_names_its_sockets_and_limits() {
    let inventory = Machine::new("hp-compaq-6300").collect();
    assert_eq!(
        text(&support::cpu(&inventory).cpus[0].socket),
        "XU1 PROCESSOR"
    );
    let memory = support::memory(&inventory);
    assert_eq!((memory.slots, memory.free_slots), (Some(4), Some(3)));
    assert_eq!(memory.max_bytes, Some(32 << 30));
    assert_eq!(text(&memory.error_correction), "none");
    assert_eq!(text(&memory.modules[0].form_factor), "dimm");
    // Without root the device manager tells what it learnt as root.
    let memory = support::memory(&Machine::new("lenovo-without-root").collect());
    assert_eq!(
        (memory.free_slots, memory.max_bytes),
        (Some(1), Some(32 << 30))
    );
    assert_eq!(text(&memory.modules[0].form_factor), "sodimm");
}

#[test]
fn a_board_for_terabytes_and_one_that_lies_about_its_limit() {
    let machine = Machine::empty();
    for (max, installed_mib, expected) in [
        (4_u64 << 40, 16_384_u16, Ok(4_u64 << 40)),
        (8 << 30, 16_384, Err(UnreadReason::Malformed)),
    ] {
        let mut table = Table::default();
        let array = table.memory_array(3, 1, 6, max);
        table.memory_device(array, installed_mib, 0, 0x1a, 3_200, ["A", "", "", "", ""]);
        machine.write(smbios::TABLE, table.end());
        let inventory = machine.collect();
        let told = support::memory(&inventory).max_bytes;
        let why = reason(&inventory, "memory.max_bytes");
        assert_eq!(told.ok_or(why), expected.map_err(Some));
        assert_eq!(
            text(&support::memory(&inventory).error_correction),
            "multi_bit_ecc"
        );
    }
}

#[test]
fn sockets_that_do_not_match_the_processors_are_not_guessed() {
    let machine = Machine::new("hp-compaq-6300");
    let mut table = Table::default();
    table.processor("CPU 1", 0x41);
    table.processor("CPU 2", 0x41);
    table.processor("CPU 3", 0);
    machine.write(smbios::TABLE, table.end());
    let inventory = machine.collect();
    assert_eq!(support::cpu(&inventory).cpus[0].socket, None);
    assert_eq!(
        reason(&inventory, "cpu.cpus.socket"),
        Some(UnreadReason::NoSource)
    );
}

#[test]
fn devices_bear_names_from_the_lists_or_from_udev() {
    let dell = support::devices(&Machine::new("dell-latitude-5440").collect());
    assert_eq!(dell.pci.len(), 5);
    let disk = &dell.pci[4];
    assert_eq!(disk.slot, "0000:01:00.0");
    assert_eq!(text(&disk.vendor), "Samsung Electronics Co Ltd");
    assert_eq!(text(&disk.class_name), "Non-Volatile memory controller");
    assert_eq!((text(&disk.driver), disk.revision), ("nvme", Some(0)));
    assert_eq!(text(&disk.subsystem_device_id), "a801");
    let lenovo = support::devices(&Machine::new("lenovo-without-root").collect());
    assert_eq!(text(&lenovo.gpus[0].model), "HD Graphics 620");
    assert_eq!(lenovo.pci[1].vendor, None);
    assert_eq!(lenovo.pci[1].vendor_id, "10ec");
}

#[test]
fn usb_devices_show_what_they_are() {
    let dell = support::devices(&Machine::new("dell-latitude-5440").collect());
    let seen: Vec<_> = dell
        .usb
        .iter()
        .map(|device| {
            let classes = device.classes.join(" ");
            (
                device.path.as_str(),
                text(&device.vendor),
                text(&device.product),
                classes,
            )
        })
        .collect();
    let one = |path, vendor, product, classes: &str| (path, vendor, product, classes.to_owned());
    assert_eq!(
        seen,
        [
            one(
                "3-10",
                "Intel Corp.",
                "AX211 Bluetooth",
                "wireless_controller"
            ),
            one(
                "3-6",
                "Realtek Semiconductor Corp.",
                "Integrated_Webcam_HD",
                "video"
            ),
            one(
                "3-7",
                "Dell Computer Corp.",
                "DW5829e Snapdragon X20 LTE",
                "communications vendor_specific"
            ),
            one("usb3", "Linux Foundation", "xHCI Host Controller", "hub"),
        ]
    );
    // A root hub's serial is its controller's slot, and a modem's may be a filler.
    assert_eq!((&dell.usb[2].serial, &dell.usb[3].serial), (&None, &None));
    let hp = support::devices(&Machine::new("hp-compaq-6300").collect());
    assert_eq!(
        (hp.usb[1].path.as_str(), hp.usb[1].speed_mbps),
        ("3-3", Some(1))
    );
    assert_eq!(text(&hp.usb[0].serial), "E0D55EA573E5F3B0D9A20123");
}

#[test]
fn a_kernel_update_changes_no_usb_device() {
    let machine = Machine::new("hp-compaq-6300");
    std::fs::remove_file(machine.path("/usr/share/misc/usb.ids")).unwrap();
    let before = machine.collect();
    machine.write(
        "/sys/devices/pci0000:00/0000:00:14.0/usb3/manufacturer",
        "Linux 5.10.0-30-amd64 xhci-hcd\n",
    );
    assert_eq!(
        support::devices(&before),
        support::devices(&machine.collect())
    );
}

#[test]
fn memory_of_graphics_is_their_own() {
    let memory = |name: &str| support::devices(&Machine::new(name).collect()).gpus[0].memory_bytes;
    assert_eq!(memory("fedora-raid"), Some(8_573_157_376));
    assert_eq!(memory("qemu-placeholders"), Some(16 << 20));
    // Part of the processor: the machine's memory is listed elsewhere.
    assert_eq!(memory("dell-latitude-5440"), None);
}

#[test]
fn things_under_peoples_hands_are_told_from_buttons_and_jacks() {
    let inputs = |name: &str| -> Vec<String> {
        support::devices(&Machine::new(name).collect())
            .inputs
            .iter()
            .map(|input| {
                format!(
                    "{} {} {}",
                    input.name,
                    text(&input.r#type),
                    text(&input.bus)
                )
            })
            .collect()
    };
    assert_eq!(
        inputs("dell-latitude-5440"),
        [
            "AT Translated Set 2 keyboard keyboard ps2",
            "MX Anywhere 3 mouse bluetooth",
            "VEN_06CB:00 06CB:CE7E Touchpad touchpad i2c",
        ]
    );
    assert_eq!(
        inputs("hp-compaq-6300"),
        [
            "Logitech USB Keyboard keyboard usb",
            "PS/2 Generic Mouse mouse ps2"
        ]
    );
    assert_eq!(
        inputs("qemu-placeholders")[1],
        "QEMU QEMU USB Tablet mouse usb"
    );
    // Two of one name are one thing; a remote control is no keyboard.
    assert_eq!(inputs("fedora-raid").len(), 2);
    assert_eq!(inputs("raspberry-cm4"), [""; 0]);
}

#[test]
fn sounds_modems_cameras_and_bluetooth() {
    let dell = support::devices(&Machine::new("dell-latitude-5440").collect());
    assert_eq!(dell.sounds[0].name, "sof-hda-dsp");
    assert_eq!(text(&dell.sounds[0].pci_slot), "0000:00:1f.3");
    assert_eq!(dell.modems[0].name, "DW5829e Snapdragon X20 LTE");
    assert_eq!(dell.modems[0].ports, ["cdc-wdm0", "ttyUSB0", "ttyUSB1"]);
    // Two nodes of one camera.
    assert_eq!(dell.cameras.len(), 1);
    assert_eq!(text(&dell.bluetooth[0].address), "f0:20:ff:ab:cd:ef");
    let fedora = support::devices(&Machine::new("fedora-raid").collect());
    let slots: Vec<_> = fedora
        .sounds
        .iter()
        .map(|card| text(&card.pci_slot))
        .collect();
    assert_eq!(slots, ["0000:07:00.1", "-"]);
    // A chip's decoder sees nothing, and a board with a serial port is listed by its ports.
    let raspberry = support::devices(&Machine::new("raspberry-cm4").collect());
    assert_eq!(raspberry.cameras, []);
    assert_eq!(raspberry.modems[0].ports, ["ttyACM0"]);
    // No card is a known absence.
    let inventory = Machine::new("qemu-placeholders").collect();
    assert_eq!(support::devices(&inventory).sounds, []);
    assert_eq!(reason(&inventory, "devices.sounds"), None);
    assert_eq!(
        reason(&inventory, "devices.bluetooth"),
        Some(UnreadReason::NoSource)
    );
}

#[test]
fn monitors_tell_make_model_size_and_age() {
    let inventory = Machine::new("dell-latitude-5440").collect();
    let desk = display(&inventory, "card1-DP-3");
    assert_eq!(
        (text(&desk.manufacturer_id), text(&desk.manufacturer)),
        ("DEL", "Dell")
    );
    assert_eq!(
        (text(&desk.model), text(&desk.serial)),
        ("DELL P2422H", "8JM2X63")
    );
    assert_eq!((desk.year, desk.week), (Some(2021), Some(12)));
    assert_eq!(
        (desk.width_mm, desk.diagonal_tenths_inch),
        (Some(527), Some(238))
    );
    assert_eq!((desk.width_px, desk.height_px), (Some(1_920), Some(1_080)));
    assert_eq!(desk.built_in, Some(false));
    assert_eq!(desk.edid.unwrap().len(), 256);
    let panel = display(&inventory, "card1-eDP-1");
    assert_eq!(
        (text(&panel.model), panel.built_in),
        ("B140HAN04.0", Some(true))
    );
    assert_eq!((panel.serial, panel.week), (None, None));
    // A shape in place of the size, a week that says "model year", a filler for a serial.
    let big = display(&Machine::new("fedora-raid").collect(), "card0-HDMI-A-1");
    assert_eq!((big.width_mm, big.height_mm), (Some(600), Some(340)));
    assert_eq!((big.week, text(&big.serial)), (None, "194123"));
}

#[test]
fn a_screen_without_edid_is_there_and_a_port_that_cannot_tell_is_said_so() {
    let inventory = Machine::new("qemu-placeholders").collect();
    let screen = display(&inventory, "card0-Virtual-1");
    assert_eq!((screen.model, screen.built_in), (None, Some(false)));
    assert_eq!(
        reason(&inventory, "displays.displays.model"),
        Some(UnreadReason::NoSource)
    );
    let inventory = Machine::new("fedora-raid").collect();
    assert_eq!(support::displays(&inventory).displays.len(), 1);
    assert!(reason(&inventory, "displays.displays").is_some());
    // No monitor is a known absence.
    let machine = Machine::empty();
    std::fs::create_dir_all(machine.path("/sys/class/drm")).unwrap();
    assert_eq!(reason(&machine.collect(), "displays.displays"), None);
}

#[test]
fn a_wrong_checksum_is_said_and_the_words_are_kept() {
    let machine = Machine::new("hp-compaq-6300");
    let path = machine.path("/sys/class/drm/card0-DP-1/edid");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[127] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let inventory = machine.collect();
    assert_eq!(text(&display(&inventory, "card0-DP-1").model), "HP LV2011");
    assert_eq!(
        reason(&inventory, "displays.displays.checksum"),
        Some(UnreadReason::Malformed)
    );
}

#[test]
fn an_edid_cut_at_any_byte_is_survived_and_said() {
    for (_, _, bytes) in support::edid::all() {
        let whole = edid::parse(&bytes).unwrap();
        assert_eq!(whole.faults, [""; 0]);
        for cut in 0..bytes.len() {
            match edid::parse(&bytes[..cut]) {
                Err(_) => assert!(cut < edid::BLOCK),
                Ok(edid) => {
                    assert!(!edid.faults.is_empty(), "{cut}");
                    assert_eq!((&edid.name, edid.mode), (&whole.name, whole.mode));
                }
            }
        }
    }
}

#[test]
fn texts_of_monitors_that_are_not_ascii_are_shown_and_not_lost() {
    let monitor = Monitor {
        maker: "AAA",
        product: 1,
        number: 0,
        week: 60,
        year: 1_990,
        cm: (0, 0),
        mode: (0, 0),
        mm: (160, 90),
        texts: &[],
        extensions: &[],
    };
    let mut bytes = monitor.bytes();
    bytes.truncate(127);
    bytes[72..90].copy_from_slice(b"\0\0\0\xfc\0Caf\xe9 27\n     ");
    bytes[90..108].copy_from_slice(b"\0\0\0\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    close(&mut bytes);
    let edid = edid::parse(&bytes).unwrap();
    assert_eq!(text(&edid.name), "Caf\u{fffd} 27");
    assert_eq!((edid.serial, edid.week, edid.year), (None, None, None));
    assert_eq!((edid.size_mm, edid.mode), (None, None));
    assert_eq!(edid.faults, [""; 0]);
    // The other version of the format has all of it elsewhere.
    bytes[18] = 2;
    assert!(edid::parse(&bytes).unwrap_err().contains("version 2"));
}

#[test]
fn batteries_tell_what_they_hold_and_move_no_digest() {
    let machine = Machine::new("dell-latitude-5440");
    let before = machine.collect();
    let facts = support::batteries(&before);
    // The mouse's own battery is not the machine's.
    assert_eq!(facts.batteries.len(), 1);
    assert_eq!(facts.none_expected, Some(false));
    let battery = &facts.batteries[0];
    assert_eq!(
        (text(&battery.manufacturer), text(&battery.technology)),
        ("SMP", "li-poly")
    );
    // 4,736 mAh and 4,210 mAh at 11.4 V.
    assert_eq!(
        (battery.design_mwh, battery.full_mwh),
        (Some(53_990), Some(48_051))
    );
    let moving = &before.volatile.batteries[0];
    assert_eq!((moving.charge_percent, moving.cycles), (Some(71), None));
    assert_eq!(text(&moving.state), "discharging");
    let folder = "/sys/class/power_supply/BAT0";
    machine.write(&format!("{folder}/charge_full"), "4208000\n");
    machine.write(&format!("{folder}/capacity"), "70\n");
    machine.write(&format!("{folder}/status"), "Not charging\n");
    machine.write(&format!("{folder}/cycle_count"), "7\n");
    let after = machine.collect();
    for (a, b) in before.sections.iter().zip(&after.sections) {
        assert_eq!(a.digest, b.digest, "{:?}", a.kind());
    }
    assert_eq!(text(&after.volatile.batteries[0].state), "not_charging");
    assert_eq!(after.volatile.batteries[0].cycles, Some(7));
}

#[test]
fn a_battery_that_says_zero_is_unknown_and_not_dead() {
    let machine = Machine::new("lenovo-without-root");
    let folder = "/sys/class/power_supply/BAT1";
    for nonsense in ["0\n", "-1\n", "99999999999999\n", "full\n"] {
        machine.write(&format!("{folder}/energy_full"), nonsense);
        let inventory = machine.collect();
        let battery = &support::batteries(&inventory).batteries[0];
        assert_eq!((battery.design_mwh, battery.full_mwh), (Some(30_000), None));
        assert!(reason(&inventory, "batteries.batteries.full_mwh").is_some());
    }
}

#[test]
fn no_battery_is_expected_in_a_desktop_and_missed_in_a_notebook() {
    let expected = |name: &str| support::batteries(&Machine::new(name).collect()).none_expected;
    assert_eq!(expected("hp-compaq-6300"), Some(true));
    assert_eq!(expected("raspberry-cm4"), None);
    let machine = Machine::new("dell-latitude-5440");
    for supply in ["BAT0", "hidpp_battery_0"] {
        std::fs::remove_file(machine.path(&format!("/sys/class/power_supply/{supply}"))).unwrap();
    }
    let facts = support::batteries(&machine.collect());
    assert_eq!(
        (facts.batteries.len(), facts.none_expected),
        (0, Some(false))
    );
}

#[test]
fn a_list_of_sound_cards_that_is_cut_says_so() {
    let text =
        " 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      at 0xf7 irq 27\n";
    assert_eq!(devices::sound_cards(text).unwrap().len(), 1);
    let head = text.find(" - ").unwrap() + 4;
    for cut in 0..head {
        assert!(devices::sound_cards(&text[..cut]).is_err(), "{cut}");
    }
    assert_eq!(devices::sound_cards("--- no soundcards ---\n").unwrap(), []);
}

#[test]
fn words_of_32_and_64_bits_show_the_same_keyboard() {
    let wide = "I: Bus=0003 Vendor=1 Product=1 Version=1\nN: Name=\"K\"\nB: EV=120013\n\
        B: KEY=402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n\n";
    let narrow = "I: Bus=0003 Vendor=1 Product=1 Version=1\nN: Name=\"K\"\nB: EV=120013\n\
        B: KEY=4 2000000 3803078 f800d001 feffffdf ffefffff ffffffff fffffffe\n\n";
    let (one, fault) = inputs::parse(wide, false);
    assert_eq!((one.len(), fault), (1, None));
    assert_eq!(inputs::parse(narrow, false).0, one);
}

#[test]
fn many_devices_are_cut_at_the_bound_and_said_to_be() {
    let machine = Machine::empty();
    for number in 0..1_030 {
        let folder = format!(
            "/sys/bus/pci/devices/0000:{:02x}:{:02x}.0",
            number / 32,
            number % 32
        );
        machine.write(&format!("{folder}/vendor"), "0x8086\n");
        machine.write(&format!("{folder}/device"), "0x1234\n");
    }
    let inventory = machine.collect();
    assert_eq!(support::devices(&inventory).pci.len(), 1_024);
    assert_eq!(
        reason(&inventory, "devices.pci"),
        Some(UnreadReason::TooLarge)
    );
    // Hundreds of devices without a driver are one gap.
    let unread = inventory.facts(v1::SectionKind::Devices).unwrap().unread;
    assert!(unread.len() < 30, "{}", unread.len());
}

proptest! {
    #[test]
    fn any_bytes_are_an_edid_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = edid::parse(&bytes);
        let mut headed = vec![0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
        headed.extend(&bytes);
        if let Some(version) = headed.get_mut(18) {
            *version = 1;
        }
        if let Ok(edid) = edid::parse(&headed) {
            prop_assert!(edid.faults.len() <= 8);
            prop_assert!(edid.size_mm.is_none_or(|(width, height)| width > 0 && height > 0));
        }
    }

    /// A table with slots and ports, changed and cut: whatever is read stays within its bounds.
    #[test]
    fn slots_of_a_lying_table(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = support::smbios::of("hp-compaq-6300").unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let table = Smbios::parse(&bytes);
        let mut notes = chasqui_agent::inventory::Notes::new(v1::SectionKind::Slots);
        for slot in linux::slots::slots(&table, &mut notes) {
            prop_assert!(!slot.name.is_empty());
        }
        for port in linux::slots::ports(&table, &mut notes) {
            prop_assert!(!port.name.is_empty());
        }
    }

    #[test]
    fn any_text_is_a_list_of_inputs(text in "(I: Bus=[0-9a-f]{0,5}\n|N: Name=\"?[a-z]{0,3}\"?\n|B: (KEY|EV|ABS|REL)=[0-9a-fx ]{0,40}\n|\n){0,12}") {
        let (devices, _) = inputs::parse(&text, true);
        for device in devices {
            prop_assert!(!device.name.is_empty() && device.r#type.is_some());
        }
        let _ = devices::sound_cards(&text);
    }
}
