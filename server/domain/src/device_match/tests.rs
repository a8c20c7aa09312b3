use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const U1: &str = "4c4c4544-0031-3210-8050-b4c04f564433";
const U2: &str = "4c4c4544-0032-3210-8050-b4c04f564433";
const NIC1: &str = "18:66:da:10:20:30";
const NIC2: &str = "18:66:da:10:20:31";

fn nic(mac: &str) -> Address {
    Address {
        mac: mac.to_owned(),
        borrowed: false,
        devices: 2,
    }
}

/// A machine known for a year and silent for a day.
fn old() -> Machine {
    Machine {
        id: "old".to_owned(),
        host_name: "pc-juridica-07".to_owned(),
        smbios_uuid: Some(U1.to_owned()),
        system_serial: Some("BTQ4D33".to_owned()),
        board_serial: Some("/BTQ4D33/CN1296369S0147/".to_owned()),
        chassis_serial: Some("BTQ4D33".to_owned()),
        disk_serials: vec!["S3Z9NB0K123456".to_owned()],
        addresses: vec![nic(NIC1)],
        machine_id: Some("aa11".to_owned()),
        model: Some("Dell Inc. OptiPlex 7050".to_owned()),
        is_virtual: Some(false),
        enrolled_at_ms: 0,
        last_seen_at_ms: Some(364 * DAY),
        connected: false,
    }
}

/// The same, installed anew today.
fn again() -> Machine {
    Machine {
        id: "new".to_owned(),
        host_name: "pc-nuevo".to_owned(),
        machine_id: Some("bb22".to_owned()),
        enrolled_at_ms: 365 * DAY,
        last_seen_at_ms: Some(365 * DAY + HOUR),
        connected: true,
        ..old()
    }
}

/// Another machine of the same model.
fn other() -> Machine {
    Machine {
        smbios_uuid: Some(U2.to_owned()),
        system_serial: Some("CTQ4D34".to_owned()),
        board_serial: Some("/CTQ4D34/CN1296369S0148/".to_owned()),
        chassis_serial: Some("CTQ4D34".to_owned()),
        disk_serials: vec!["S3Z9NB0K999999".to_owned()],
        addresses: vec![nic(NIC2)],
        ..again()
    }
}

fn guest(uuid: &str, disk: &str) -> Machine {
    Machine {
        smbios_uuid: Some(uuid.to_owned()),
        system_serial: None,
        board_serial: None,
        chassis_serial: None,
        disk_serials: vec![disk.to_owned()],
        addresses: vec![nic("52:54:00:aa:bb:cc")],
        model: Some("QEMU Standard PC".to_owned()),
        is_virtual: Some(true),
        ..again()
    }
}

fn as_old(machine: Machine) -> Machine {
    Machine {
        id: "old".to_owned(),
        enrolled_at_ms: 0,
        last_seen_at_ms: Some(364 * DAY),
        connected: false,
        ..machine
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_table_of_cases() {
    use Outcome::{Ambiguous, Different, Same};
    let junk = |machine: Machine| Machine {
        smbios_uuid: text("03000200-0400-0500-0006-000700080009"),
        system_serial: text("To be filled by O.E.M."),
        board_serial: text("Default string"),
        chassis_serial: text("System Serial Number"),
        ..machine
    };
    let bare = |machine: Machine| Machine {
        smbios_uuid: None,
        system_serial: None,
        board_serial: None,
        chassis_serial: None,
        disk_serials: Vec::new(),
        addresses: Vec::new(),
        ..machine
    };
    let borrowed = |machine: Machine, mac: &str| Machine {
        addresses: vec![Address {
            mac: mac.to_owned(),
            borrowed: true,
            devices: 2,
        }],
        ..machine
    };
    let cases: Vec<(&str, Machine, Machine, Outcome, Kind)> = vec![
        ("reimaged", again(), old(), Same, Kind::Reimaged),
        (
            "reimaged with a new disk",
            Machine {
                disk_serials: vec!["WD-NEW001".into()],
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "reimaged, disk and Wi-Fi card new",
            Machine {
                disk_serials: vec!["WD-NEW001".into()],
                addresses: vec![nic(NIC2)],
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "reimaged, uuid in the other byte order after a firmware update",
            Machine {
                smbios_uuid: text("44454c4c-3100-1032-8050-b4c04f564433"),
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "reimaged, uuid in capitals",
            Machine {
                smbios_uuid: text(&U1.to_uppercase()),
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "reimaged without serial numbers",
            Machine {
                system_serial: None,
                chassis_serial: None,
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "reimaged, root took nothing but serial and disks",
            Machine {
                smbios_uuid: None,
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "board replaced, serial number typed in again",
            Machine {
                smbios_uuid: text(U2),
                board_serial: text("/BTQ4D33/OTHER/"),
                addresses: vec![nic(NIC2)],
                ..again()
            },
            old(),
            Same,
            Kind::BoardReplaced,
        ),
        (
            "board replaced, serial in the chassis field alone",
            Machine {
                smbios_uuid: text(U2),
                system_serial: None,
                board_serial: text("/X/NEW/"),
                addresses: vec![nic(NIC2)],
                ..again()
            },
            old(),
            Same,
            Kind::BoardReplaced,
        ),
        (
            "board replaced, no serial number, same disk, model and name",
            Machine {
                smbios_uuid: text(U2),
                system_serial: None,
                chassis_serial: None,
                board_serial: text("/X/NEW/"),
                addresses: vec![nic(NIC2)],
                host_name: old().host_name,
                ..again()
            },
            old(),
            Same,
            Kind::BoardReplaced,
        ),
        (
            "board replaced or disk moved, nothing tells",
            Machine {
                smbios_uuid: text(U2),
                system_serial: None,
                chassis_serial: None,
                board_serial: text("/X/NEW/"),
                addresses: vec![nic(NIC2)],
                ..again()
            },
            old(),
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "firmware rewrote the uuid",
            Machine {
                smbios_uuid: text(U2),
                ..again()
            },
            old(),
            Same,
            Kind::Reimaged,
        ),
        (
            "cloned uuid, other serial number",
            Machine {
                smbios_uuid: text(U1),
                ..other()
            },
            old(),
            Different,
            Kind::ClonedUuid,
        ),
        (
            "cloned uuid without serial numbers, other parts",
            Machine {
                smbios_uuid: text(U1),
                system_serial: None,
                chassis_serial: None,
                ..other()
            },
            old(),
            Different,
            Kind::ClonedUuid,
        ),
        (
            "uuid equal and nothing else known",
            Machine {
                smbios_uuid: text(U1),
                ..bare(again())
            },
            Machine {
                smbios_uuid: text(U1),
                ..bare(old())
            },
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "uuid and disk equal, serial number rewritten in service",
            Machine {
                system_serial: text("SERVICE1"),
                chassis_serial: text("SERVICE1"),
                ..again()
            },
            old(),
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "identity cloned onto another model",
            Machine {
                model: text("HP EliteDesk 800"),
                ..again()
            },
            old(),
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "identity equal and every part other",
            Machine {
                board_serial: text("/X/NEW/"),
                disk_serials: vec!["WD-NEW001".into()],
                addresses: vec![nic(NIC2)],
                ..again()
            },
            old(),
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "serial number repeated on another model",
            Machine {
                system_serial: text("BTQ4D33"),
                model: text("HP EliteDesk 800"),
                ..other()
            },
            old(),
            Different,
            Kind::SerialRepeated,
        ),
        (
            "serial number alone",
            Machine {
                system_serial: text("BTQ4D33"),
                board_serial: None,
                chassis_serial: None,
                smbios_uuid: None,
                ..other()
            },
            old(),
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "another machine of the model",
            other(),
            old(),
            Different,
            Kind::Unrelated,
        ),
        (
            "disk moved to another chassis",
            Machine {
                disk_serials: old().disk_serials,
                ..other()
            },
            old(),
            Different,
            Kind::DiskMoved,
        ),
        (
            "disk moved with its system and name",
            Machine {
                disk_serials: old().disk_serials,
                machine_id: old().machine_id,
                host_name: old().host_name,
                ..other()
            },
            old(),
            Different,
            Kind::DiskMoved,
        ),
        (
            "disk moved into a machine without serial numbers, other model",
            Machine {
                disk_serials: old().disk_serials,
                system_serial: None,
                chassis_serial: None,
                model: text("Clon"),
                ..other()
            },
            old(),
            Different,
            Kind::DiskMoved,
        ),
        (
            "one dock on two machines",
            borrowed(other(), "00:50:b6:01:02:03"),
            borrowed(old(), "00:50:b6:01:02:03"),
            Different,
            Kind::AdapterShared,
        ),
        (
            "dock chip not marked as USB",
            Machine {
                addresses: vec![nic("00:50:b6:01:02:03")],
                ..other()
            },
            Machine {
                addresses: vec![nic("00:50:b6:01:02:03")],
                ..old()
            },
            Different,
            Kind::AdapterShared,
        ),
        (
            "VPN adapter of one vendor",
            Machine {
                addresses: vec![nic("00:05:9a:3c:7a:00")],
                ..other()
            },
            Machine {
                addresses: vec![nic("00:05:9a:3c:7a:00")],
                ..old()
            },
            Different,
            Kind::AdapterShared,
        ),
        (
            "PPP adapter",
            Machine {
                addresses: vec![nic("33:50:6f:45:30:30")],
                ..bare(again())
            },
            Machine {
                addresses: vec![nic("33:50:6f:45:30:30")],
                ..bare(old())
            },
            Different,
            Kind::AdapterShared,
        ),
        (
            "host-only adapter of VMware",
            Machine {
                addresses: vec![nic("00:50:56:c0:00:01")],
                ..other()
            },
            Machine {
                addresses: vec![nic("00:50:56:c0:00:01")],
                ..old()
            },
            Different,
            Kind::AdapterShared,
        ),
        (
            "address that many devices showed",
            Machine {
                addresses: vec![Address {
                    devices: 9,
                    ..nic(NIC1)
                }],
                ..bare(again())
            },
            Machine {
                addresses: vec![Address {
                    devices: 9,
                    ..nic(NIC1)
                }],
                ..bare(old())
            },
            Different,
            Kind::AdapterShared,
        ),
        (
            "random Wi-Fi address",
            Machine {
                addresses: vec![nic("da:a1:19:01:02:03")],
                ..bare(again())
            },
            Machine {
                addresses: vec![nic("da:a1:19:01:02:03")],
                ..bare(old())
            },
            Different,
            Kind::AdapterShared,
        ),
        (
            "network card moved",
            Machine {
                addresses: vec![nic(NIC1)],
                ..other()
            },
            old(),
            Different,
            Kind::AdapterShared,
        ),
        (
            "built-in network hardware alone",
            Machine {
                addresses: vec![nic(NIC1)],
                ..bare(again())
            },
            Machine {
                addresses: vec![nic(NIC1)],
                ..bare(old())
            },
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "placeholders alone",
            junk(bare(again())),
            junk(bare(old())),
            Different,
            Kind::Unrelated,
        ),
        (
            "placeholders, but disk and network hardware agree",
            junk(again()),
            junk(old()),
            Same,
            Kind::Reimaged,
        ),
        (
            "zero uuid and serial number 0",
            Machine {
                smbios_uuid: text("00000000-0000-0000-0000-000000000000"),
                system_serial: text("0"),
                ..bare(again())
            },
            Machine {
                smbios_uuid: text("00000000-0000-0000-0000-000000000000"),
                system_serial: text("0"),
                ..bare(old())
            },
            Different,
            Kind::Unrelated,
        ),
        (
            "one image on two machines",
            Machine {
                machine_id: text("aa11"),
                host_name: old().host_name,
                ..other()
            },
            old(),
            Different,
            Kind::ClonedImage,
        ),
        (
            "nothing observed",
            bare(again()),
            bare(old()),
            Different,
            Kind::Unrelated,
        ),
        (
            "virtual machine enrolled anew",
            guest(U1, "QM00001"),
            as_old(guest(U1, "QM00001")),
            Same,
            Kind::VirtualAgain,
        ),
        (
            "virtual machine rebuilt with a new disk",
            guest(U1, "QM00002"),
            as_old(guest(U1, "QM00001")),
            Same,
            Kind::VirtualAgain,
        ),
        (
            "clone of a virtual machine",
            guest(U2, "QM00001"),
            as_old(guest(U1, "QM00001")),
            Different,
            Kind::VirtualClone,
        ),
        (
            "virtual machines of one hypervisor, disk serial repeated",
            Machine {
                machine_id: text("cc"),
                host_name: "x".into(),
                ..guest(U2, "QM00001")
            },
            as_old(guest(U1, "QM00001")),
            Different,
            Kind::VirtualClone,
        ),
        (
            "virtual machine without uuid",
            Machine {
                smbios_uuid: None,
                ..guest(U1, "QM00001")
            },
            as_old(guest(U1, "QM00001")),
            Ambiguous,
            Kind::Unclear,
        ),
        (
            "machine turned into a virtual one",
            Machine {
                is_virtual: Some(true),
                ..again()
            },
            old(),
            Different,
            Kind::Unrelated,
        ),
        (
            "both connected",
            again(),
            Machine {
                connected: true,
                ..old()
            },
            Different,
            Kind::AliveAtOnce,
        ),
        (
            "virtual twins both connected",
            guest(U1, "QM00001"),
            Machine {
                connected: true,
                ..as_old(guest(U1, "QM00001"))
            },
            Different,
            Kind::AliveAtOnce,
        ),
        (
            "two systems on one machine, in turns",
            again(),
            Machine {
                last_seen_at_ms: Some(366 * DAY),
                ..old()
            },
            Ambiguous,
            Kind::AliveInTurns,
        ),
        (
            "known one still marked as seen just after",
            again(),
            Machine {
                last_seen_at_ms: Some(365 * DAY + 60_000),
                ..old()
            },
            Same,
            Kind::Reimaged,
        ),
        (
            "known one never connected",
            again(),
            Machine {
                last_seen_at_ms: None,
                ..old()
            },
            Same,
            Kind::Reimaged,
        ),
    ];
    assert!(cases.len() >= 25);
    for (name, new, known, outcome, kind) in cases {
        let got = compare(&new, &known);
        assert_eq!(
            (got.outcome, got.kind),
            (outcome, kind),
            "{name}: {:#?}",
            got.findings
        );
        let last = got.findings.last().unwrap();
        assert!(last.code.starts_with("rule_"), "{name} names no rule");
        assert!(
            got.findings
                .iter()
                .all(|finding| !finding.text.es.is_empty() && finding.code != "fact"),
            "{name}"
        );
    }
}

#[test]
fn one_clear_machine_is_the_same_and_two_are_for_a_person() {
    let second = Machine {
        id: "second".into(),
        ..old()
    };
    match decide(
        &again(),
        &[
            old(),
            again(),
            Machine {
                id: "far".into(),
                ..as_old(other())
            },
        ],
    ) {
        Verdict::Same(candidate) => assert_eq!(candidate.id, "old"),
        verdict => panic!("{verdict:?}"),
    }
    match decide(&again(), &[old(), second]) {
        Verdict::Ambiguous { candidates } => {
            assert_eq!(
                candidates
                    .iter()
                    .map(|one| one.id.as_str())
                    .collect::<Vec<_>>(),
                ["old", "second"]
            );
        }
        verdict => panic!("{verdict:?}"),
    }
    assert!(
        matches!(decide(&other(), &[old()]), Verdict::Different { candidates } if candidates.len() == 1)
    );
    assert!(matches!(decide(&again(), &[]), Verdict::Different { .. }));
}

#[test]
fn lookups_leave_out_what_never_identifies() {
    let machine = Machine {
        smbios_uuid: text("00000000-0000-0000-0000-000000000000"),
        system_serial: text("Default string"),
        chassis_serial: text("BTQ4D33"),
        addresses: vec![nic("52:54:00:aa:bb:cc"), nic(NIC1)],
        ..again()
    };
    let kinds: Vec<_> = lookups(&machine)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "board_serial",
            "chassis_serial",
            "disk_serial",
            "mac",
            "system_serial"
        ]
    );
}

fn any_machine() -> impl Strategy<Value = Machine> {
    let maybe = |options: &'static [&'static str]| {
        proptest::option::of(proptest::sample::select(options))
            .prop_map(|one| one.map(str::to_owned))
    };
    let some = |options: &'static [&'static str]| {
        proptest::collection::vec(proptest::sample::select(options), 0..3)
            .prop_map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    (
        (
            maybe(&[U1, U2, "03000200-0400-0500-0006-000700080009"]),
            maybe(&["SER1", "SER2", "None"]),
            maybe(&["BRD1", "BRD2"]),
            maybe(&["SER1", "CHS2"]),
        ),
        some(&["DSK1", "DSK2", "0"]),
        some(&[NIC1, NIC2, "52:54:00:aa:bb:cc"]),
        (
            maybe(&["aa", "bb"]),
            maybe(&["one", "two"]),
            proptest::option::of(any::<bool>()),
        ),
        (
            0i64..1_000_000_000,
            proptest::option::of(0i64..2_000_000_000),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(
                (uuid, system, board, chassis),
                disks,
                macs,
                (image, model, is_virtual),
                (enrolled, seen, connected),
            )| Machine {
                id: String::new(),
                host_name: "pc".to_owned(),
                smbios_uuid: uuid,
                system_serial: system,
                board_serial: board,
                chassis_serial: chassis,
                disk_serials: disks,
                addresses: macs.iter().map(|mac| nic(mac)).collect(),
                machine_id: image,
                model,
                is_virtual,
                enrolled_at_ms: enrolled,
                last_seen_at_ms: seen,
                connected,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn who_enrolled_first_changes_nothing_but_the_times(one in any_machine(), two in any_machine()) {
        let mut two = two;
        if two.enrolled_at_ms == one.enrolled_at_ms {
            two.enrolled_at_ms += 1;
        }
        prop_assert_eq!(compare(&one, &two), compare(&two, &one));
    }

    #[test]
    fn two_alive_at_once_are_never_one(one in any_machine(), two in any_machine()) {
        let (one, two) = (Machine { connected: true, ..one }, Machine { connected: true, ..two });
        prop_assert_eq!(compare(&one, &two).outcome, Outcome::Different);
    }

    #[test]
    fn without_anything_that_identifies_nobody_is_the_same(one in any_machine(), two in any_machine()) {
        let strip = |machine: Machine| Machine {
            smbios_uuid: Some("ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned()),
            system_serial: Some("System Serial Number".to_owned()),
            board_serial: Some("xxxxxxxx".to_owned()),
            chassis_serial: Some("Not Specified".to_owned()),
            disk_serials: vec!["00000000".to_owned()],
            addresses: vec![nic("00:00:00:00:00:00"), nic("0a:00:27:00:00:00")],
            ..machine
        };
        prop_assert_eq!(compare(&strip(one), &strip(two)).outcome, Outcome::Different);
    }

    #[test]
    fn a_silent_machine_against_itself_is_the_same_or_unknown(machine in any_machine()) {
        let known = Machine { connected: false, last_seen_at_ms: None, ..machine.clone() };
        let new = Machine { enrolled_at_ms: known.enrolled_at_ms + 1, ..machine };
        let outcome = compare(&new, &known).outcome;
        let identified = !lookups(&known).is_empty();
        prop_assert!(outcome != Outcome::Different || !identified, "{outcome:?}");
    }
}
