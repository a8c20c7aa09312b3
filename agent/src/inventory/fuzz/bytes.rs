//! Parsers that stand alone.

use std::collections::BTreeSet;

use super::super::linux::smart::{ata, nvme, smartctl};
use super::super::linux::{
    devices, edid, firmware_security, ids, inputs, lvm, memory, pci, smbios, software, superblock,
    table,
};
use super::super::wire;
use super::{Reads, Target};

const fn target(
    name: &'static str,
    sample: &'static [u8],
    seeds: &'static [&'static str],
    run: fn(&[u8]),
) -> Target {
    Target {
        name,
        sample,
        seeds,
        reads: Reads::Bytes(run),
    }
}

/// As the source hands text out.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Numbers that the samples and many true lists have.
fn some_ids() -> BTreeSet<(u16, u16)> {
    [
        (0, 0),
        (0x03f0, 0x0324),
        (0x1002, 0x67df),
        (0x8086, 0x0412),
        (0x8086, 0xffff),
        (0xffff, 1),
    ]
    .into()
}

pub(super) static TARGETS: &[Target] = &[
    target(
        "asound_cards",
        b" 0 [PCH            ]: HDA-Intel - HDA Intel PCH\n                      HDA Intel PCH \
at 0xf7d10000 irq 32\n",
        &["/proc/asound/cards"],
        |bytes| {
            drop(devices::sound_cards(&text(bytes)));
        },
    ),
    target("ata_attributes", b"", &["/smart_data"], |bytes| {
        for attribute in ata::attributes(bytes).unwrap_or_default() {
            let _ = (attribute.moves(), attribute.prefailure());
        }
    }),
    target("ata_error_log", b"", &["/error_log"], |bytes| {
        drop(ata::error_count(bytes))
    }),
    target("ata_identify", b"", &["/identify"], |bytes| {
        drop(ata::Identify::parse(bytes))
    }),
    target("ata_self_tests", b"", &["/self_test_log"], |bytes| {
        drop(ata::failed_self_tests(bytes));
    }),
    target(
        "ata_sense",
        b"\x72\x01\0\x1d\0\0\0\x0e\x09\x0c\0\0\0\xff\0\0\0\x4f\0\xc2\0\x50",
        &[],
        |bytes| {
            if let Some(registers) = ata::registers(bytes) {
                drop(ata::verdict(registers.lba_mid, registers.lba_high));
                let _ = ata::sleeps(registers.count);
            }
        },
    ),
    target("ata_thresholds", b"", &["/smart_thresholds"], |bytes| {
        drop(ata::thresholds(bytes))
    }),
    target(
        "device_classes",
        b"C 0c  Serial bus controller\n\t03  USB controller\n\t\t30  XHCI\n",
        &["/pci.ids", "/usb.ids"],
        |bytes| {
            drop(ids::look_up_classes(
                bytes,
                &[0x0c03, 0x0300, 0xffff, 0].into(),
            ));
        },
    ),
    target(
        "device_ids",
        b"8086  Intel Corporation\n\t0412  Xeon E3 Graphics\n\t\t103c 1998  EliteDesk\n",
        &["/pci.ids", "/usb.ids"],
        |bytes| {
            drop(ids::look_up(bytes, &some_ids()));
        },
    ),
    target(
        "dpkg_log",
        b"2019-08-20 10:00:00 install bash:amd64 <none> 5.0-4\n",
        &["/var/log/dpkg.log"],
        |bytes| {
            software::dpkg::unpackings(bytes).for_each(drop);
        },
    ),
    target("dpkg_log_gz", b"", &["/var/log/dpkg.log.2.gz"], |bytes| {
        drop(software::dpkg::unpack(bytes));
    }),
    target(
        "dpkg_status",
        b"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.0-4\n\n",
        &["/var/lib/dpkg/status"],
        |bytes| {
            drop(software::dpkg::parse(bytes, false));
            drop(software::dpkg::parse(bytes, true));
        },
    ),
    target("edid", b"", &["/edid"], |bytes| drop(edid::parse(bytes))),
    target("flatpak_deploy", b"", &["/deploy"], |bytes| {
        drop(software::flatpak::Deploy::parse(bytes));
    }),
    target(
        "flatpak_metainfo",
        b"<component><name>GIMP</name><developer_name>The GIMP team</developer_name></componen\
t>",
        &[".metainfo.xml"],
        |bytes| {
            drop(software::flatpak::Metainfo::parse(&text(bytes)));
        },
    ),
    target(
        "input_devices",
        b"",
        &["/proc/bus/input/devices"],
        |bytes| {
            for wide in [false, true] {
                drop(inputs::parse(&text(bytes), wide));
            }
        },
    ),
    target("luks", b"", &["/luks1", "/luks2"], |bytes| {
        drop(superblock::luks(bytes))
    }),
    target("lvm", b"", &["/etc/lvm/backup/ubuntu-vg"], |bytes| {
        drop(lvm::parse(&text(bytes)))
    }),
    target(
        "meminfo",
        b"MemTotal:       16326656 kB\n",
        &["/proc/meminfo"],
        |bytes| {
            drop(memory::meminfo_bytes(&text(bytes), "MemTotal"));
        },
    ),
    target(
        "monitor_makers",
        b"HWP HP\nGSM LG Electronics\n",
        &[],
        |bytes| {
            drop(ids::look_up_monitor_maker(bytes, "HWP"));
        },
    ),
    target("nvme_health", b"", &["/nvme_health"], |bytes| {
        drop(nvme::Health::parse(bytes))
    }),
    target(
        "pacman_desc",
        b"%NAME%\nbash\n\n%VERSION%\n5.2.026-2\n",
        &["/desc"],
        |bytes| {
            drop(software::pacman::parse(&text(bytes)));
        },
    ),
    target("partition_table", b"", &["/gpt", "/mbr"], |bytes| {
        for number in [0, 1, 2, 4, 5, 128, 129, u32::MAX] {
            drop(table::entry(bytes, number));
        }
    }),
    target(
        "pci_windows",
        b"0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n",
        &["/resource"],
        |bytes| {
            drop(pci::largest_window(&text(bytes)));
        },
    ),
    target("report", b"", &["report"], |bytes| {
        drop(wire::decode(bytes))
    }),
    target("rpm_bdb", b"", &["/var/lib/rpm/Packages"], |bytes| {
        drop(software::rpm::bdb::read("fuzz", &bytes));
    }),
    target("rpm_header", b"", &["rpm-header"], |bytes| {
        drop(software::rpm::header::package(bytes))
    }),
    target("rpm_ndb", b"", &["/rpm/Packages.db"], |bytes| {
        drop(software::rpm::ndb::read("fuzz", &bytes));
    }),
    target("smartctl", b"", &["/smartctl.json"], |bytes| {
        drop(smartctl::parse(bytes))
    }),
    target(
        "smartctl_scan",
        br#"{"devices":[{"name":"/dev/bus/0","type":"megaraid,0"}]}"#,
        &[],
        |bytes| {
            drop(smartctl::members(bytes));
        },
    ),
    target("smbios", b"", &["/sys/firmware/dmi/tables/DMI"], |bytes| {
        let table = smbios::Smbios::parse(bytes);
        for number in 0..=u8::MAX {
            for structure in table.all(number) {
                drop(structure.text(4));
            }
        }
        drop((table.uuid(), table.fault().is_some()));
    }),
    target(
        "snap_yaml",
        b"name: firefox\nversion: '127.0'\narchitectures:\n- amd64\n",
        &["/meta/snap.yaml"],
        |bytes| {
            drop(software::snap::parse("fuzz", &text(bytes)));
        },
    ),
    target(
        "superblock",
        b"",
        &[
            "/luks1", "/luks2", "/ext4", "/gpt", "/xfs", "/btrfs", "/swap", "/vfat", "/lvm2", "/md",
        ],
        |bytes| {
            drop(superblock::content(bytes));
            drop(superblock::lvm_id(&text(bytes)));
        },
    ),
    target(
        "tpm_capability",
        b"0x00010102 (version)\nTCG version: 1.2\nFirmware version: 7.40\n",
        &[],
        |bytes| {
            drop(firmware_security::capability(&text(bytes), "TCG version"));
        },
    ),
];
