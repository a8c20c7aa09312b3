use super::*;

#[test]
fn the_edition_changes_the_date() {
    let with = |edition: &str| DeviceFacts {
        operating_system: windows("Windows 10", 19044, edition),
        ..modern_laptop()
    };
    let os = |edition: &str| verdict(&with(edition), CriterionId::OsSupport, NOW);
    assert_eq!(os("Professional"), Verdict::Fails);
    assert_eq!(os("Enterprise"), Verdict::Fails);
    assert_eq!(os("EnterpriseS"), Verdict::Watch, "until 2027-01-12");
    assert_eq!(os("IoTEnterpriseS"), Verdict::Ok, "until 2032-01-13");
    assert_eq!(
        os(""),
        Verdict::Unknown,
        "the answer depends on the edition"
    );
    assert_eq!(os("EnterpriseG"), Verdict::Unknown);
    assert_eq!(
        verdict(&with(""), CriterionId::OsSupport, "2033-01-01"),
        Verdict::Fails,
        "ended for every edition"
    );
    assert_eq!(
        verdict(&with(""), CriterionId::OsSupport, "2022-01-01"),
        Verdict::Ok,
        "supported for every edition"
    );
    let mut text = String::new();
    for edition in ["Professional", "EnterpriseS", "", "EnterpriseG"] {
        let why = at(&with(edition), NOW)
            .criterion(CriterionId::OsSupport)
            .unwrap()
            .explanation
            .clone();
        text.push_str(&format!("{edition:?}\n  {}\n  {}\n", why.es, why.en));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn support_ends_after_its_last_day_in_bogota() {
    let facts = DeviceFacts {
        operating_system: windows("Windows 10 Pro", 19045, "Professional"),
        ..modern_laptop()
    };
    let last = calendar::start_of(calendar::parse_date("2025-10-14").unwrap()).unwrap();
    let at = |now| {
        assess(&facts, knowledge(), now)
            .criterion(CriterionId::OsSupport)
            .unwrap()
            .verdict
    };
    let day = 86_400_000;
    assert_eq!(at(last), Verdict::Watch);
    assert_eq!(at(last + day - 1), Verdict::Watch);
    assert_eq!(at(last + day), Verdict::Fails, "paid updates do not count");
    assert_eq!(
        verdict(&facts, CriterionId::OsSupport, "2025-04-13"),
        Verdict::Ok
    );
    assert_eq!(
        verdict(&facts, CriterionId::OsSupport, "2025-04-14"),
        Verdict::Watch
    );
}

#[test]
fn what_is_free_and_public_counts_as_watch_and_what_is_paid_not_at_all() {
    let with = |os| DeviceFacts {
        operating_system: os,
        ..modern_laptop()
    };
    let mut text = String::new();
    for (os, date, expected) in [
        (
            linux("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
            "2025-01-01",
            Verdict::Ok,
        ),
        (
            linux("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
            "2026-03-01",
            Verdict::Watch,
        ),
        (
            linux("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
            NOW,
            Verdict::Watch,
        ),
        (
            linux("debian", "11", "Debian GNU/Linux 11 (bullseye)"),
            "2026-08-31",
            Verdict::Watch,
        ),
        (
            linux("debian", "11", "Debian GNU/Linux 11 (bullseye)"),
            NOW,
            Verdict::Fails,
        ),
        (
            linux("ubuntu", "20.04", "Ubuntu 20.04.6 LTS"),
            NOW,
            Verdict::Fails,
        ),
        (
            linux("rhel", "7.9", "Red Hat Enterprise Linux Server 7.9"),
            NOW,
            Verdict::Fails,
        ),
        (
            windows("Windows 10 Pro", 19045, "Professional"),
            NOW,
            Verdict::Fails,
        ),
        (
            windows("Windows 10 Pro", 19045, "Professional"),
            "2029-01-01",
            Verdict::Fails,
        ),
        (
            linux("fedora", "43", "Fedora Linux 43"),
            NOW,
            Verdict::Watch,
        ),
        (
            linux("macos", "15.1", "macOS 15.1"),
            "2026-11-22",
            Verdict::Ok,
        ),
        (linux("macos", "15.1", "macOS 15.1"), NOW, Verdict::Unknown),
        (
            linux("debian", "", "Debian GNU/Linux forky/sid"),
            NOW,
            Verdict::Unknown,
        ),
        (linux("arch", "", "Arch Linux"), NOW, Verdict::Unknown),
        (
            windows("Windows 11 Pro", 27999, "Professional"),
            NOW,
            Verdict::Unknown,
        ),
    ] {
        let got = at(&with(os.clone()), date);
        let one = got.criterion(CriterionId::OsSupport).unwrap();
        assert_eq!(one.verdict, expected, "{os:?} {date}");
        text.push_str(&format!(
            "{date} [{}]\n  {}\n  {}\n",
            one.verdict.as_str(),
            one.explanation.es,
            one.explanation.en
        ));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_paper_names_the_date_its_source_and_the_day_it_was_checked() {
    let got = at(&virtual_machine(), NOW);
    let os = got.criterion(CriterionId::OsSupport).unwrap();
    let end = os
        .evidence
        .iter()
        .find(|one| one.fact == "knowledge.supported_until")
        .unwrap();
    assert_eq!(
        (end.value.as_str(), end.unit.as_str()),
        ("2026-07-11", "day")
    );
    assert!(end.source.contains("endoflife.date") && end.source.contains(&got.knowledge_version));
    assert_eq!(
        calendar::date_of(end.observed_at_ms),
        Some(knowledge().checked_on)
    );
    assert!(
        os.evidence
            .iter()
            .any(|one| one.fact == "knowledge.longer_free_until" && one.value == "2028-06-30")
    );
}

#[test]
fn age_by_purchase_turns_on_the_anniversary() {
    let age = |date| verdict(&office_desktop(), CriterionId::Age, date);
    assert_eq!(age("2024-02-28"), Verdict::Ok);
    assert_eq!(age("2024-02-29"), Verdict::Watch);
    assert_eq!(age("2025-02-27"), Verdict::Watch);
    assert_eq!(
        age("2025-02-28"),
        Verdict::Fails,
        "bought on a 29th of February"
    );
}

#[test]
fn a_firmware_date_accuses_when_old_and_never_acquits() {
    let with = |date: &str| DeviceFacts {
        purchase_date: Fact::unknown(WhyUnknown::NotRecorded, ""),
        firmware_date: dmi(date),
        ..modern_laptop()
    };
    let age = |date| verdict(&with(date), CriterionId::Age, NOW);
    assert_eq!(age("11/23/2019"), Verdict::Fails);
    assert_eq!(age("11/24/2019"), Verdict::Watch);
    assert_eq!(age("11/23/2021"), Verdict::Watch);
    assert_eq!(age("11/24/2021"), Verdict::Unknown);
    assert_eq!(age("10/01/2026"), Verdict::Unknown);
    assert_eq!(age("2015-03-04"), Verdict::Fails);
    assert_eq!(age("3/4/2015"), Verdict::Fails);
    assert_eq!(age("03/04/98"), Verdict::Fails, "1998");
    for bad in [
        "11/24/2026",
        "01/01/1980",
        "13/01/2015",
        "01/01/22222",
        "",
        "yesterday",
        "//",
        "04/2014",
    ] {
        assert_eq!(age(bad), Verdict::Unknown, "{bad}");
    }
    let guest = DeviceFacts {
        virtual_machine: known(true, "cpuid"),
        ..with("04/01/2014")
    };
    assert_eq!(
        verdict(&guest, CriterionId::Age, NOW),
        Verdict::Unknown,
        "a hypervisor's firmware"
    );
    let perhaps = DeviceFacts {
        virtual_machine: Fact::default(),
        ..with("04/01/2014")
    };
    assert_eq!(
        verdict(&perhaps, CriterionId::Age, NOW),
        Verdict::Unknown,
        "perhaps a hypervisor's firmware"
    );
}

#[test]
fn impossible_purchase_dates_are_said_and_not_used() {
    let with = |date: &str| DeviceFacts {
        purchase_date: bought(date),
        ..modern_laptop()
    };
    let mut text = String::new();
    for date in [
        "2026-11-24",
        "1970-01-01",
        "2023-02-29",
        "10/03/2025",
        "ayer\u{1b}[0m",
    ] {
        let got = at(&with(date), NOW);
        let age = got.criterion(CriterionId::Age).unwrap();
        assert_eq!(age.verdict, Verdict::Unknown, "{date}");
        assert_ne!(got.class, Class::Vigente);
        assert!(!age.evidence[0].value.contains('\u{1b}'));
        text.push_str(&format!(
            "{}\n  {}\n",
            age.explanation.es, age.explanation.en
        ));
    }
    let used = DeviceFacts {
        firmware_date: dmi("05/02/2013"),
        ..modern_laptop()
    };
    let age = at(&used, NOW).criterion(CriterionId::Age).unwrap().clone();
    assert_eq!(age.verdict, Verdict::Ok);
    text.push_str(&format!(
        "{}\n  {}\n",
        age.explanation.es, age.explanation.en
    ));
    insta::assert_snapshot!(text);
}

#[test]
fn memory_limits_and_the_4_gb_that_show_as_3_9() {
    let modules = |sizes: &[u64], visible: Option<u64>| {
        let facts = DeviceFacts {
            memory_modules_bytes: known(sizes.to_vec(), "SMBIOS type 17"),
            memory_visible_bytes: visible
                .map_or_else(Fact::default, |bytes| known(bytes, "/proc/meminfo")),
            ..modern_laptop()
        };
        verdict(&facts, CriterionId::Memory, NOW)
    };
    let visible = |bytes| {
        let facts = DeviceFacts {
            memory_modules_bytes: Fact::unknown(WhyUnknown::NotPermitted, ""),
            memory_visible_bytes: known(bytes, "/proc/meminfo"),
            ..modern_laptop()
        };
        verdict(&facts, CriterionId::Memory, NOW)
    };
    assert_eq!(
        modules(&[4 * GIB], Some(4_180_000_000)),
        Verdict::Watch,
        "4 GB that show as 3.9 GiB"
    );
    assert_eq!(
        modules(&[2 * GIB, GIB], Some(3_100_000_000)),
        Verdict::Fails
    );
    assert_eq!(
        modules(&[4 * GIB, 4 * GIB], Some(7_200_000_000)),
        Verdict::Ok,
        "graphics keep the rest"
    );
    assert_eq!(modules(&[8 * GIB - 1], None), Verdict::Watch);
    assert_eq!(
        modules(&[2 * GIB], Some(16_500_000_000)),
        Verdict::Ok,
        "not every module was read"
    );
    assert_eq!(modules(&[], None), Verdict::Unknown);
    assert_eq!(modules(&[0, 0], None), Verdict::Unknown);
    assert_eq!(modules(&[u64::MAX, u64::MAX], None), Verdict::Unknown);
    assert_eq!(modules(&[], Some(16_500_000_000)), Verdict::Ok);
    assert_eq!(visible(4_180_000_000), Verdict::Watch, "3.9 GiB are 4 GB");
    assert_eq!(visible(3_500_000_000), Verdict::Fails, "3.3 GiB are not");
    assert_eq!(visible(7_800_000_000), Verdict::Ok, "7.3 GiB are 8 GB");
    assert_eq!(visible(6_200_000_000), Verdict::Watch, "6 GB are not");
    assert_eq!(visible(0), Verdict::Unknown);
}

#[test]
fn disks_are_what_they_are_and_virtual_ones_unknown() {
    let disk = |kind, guest| {
        let facts = DeviceFacts {
            system_disk: known(kind, "x"),
            virtual_machine: known(guest, "cpuid"),
            ..modern_laptop()
        };
        verdict(&facts, CriterionId::DiskKind, NOW)
    };
    assert_eq!(disk(DiskKind::Hdd, false), Verdict::Watch);
    for good in [DiskKind::Ssd, DiskKind::Nvme, DiskKind::Emmc] {
        assert_eq!(disk(good, false), Verdict::Ok);
        assert_eq!(disk(good, true), Verdict::Unknown);
    }
    assert_eq!(
        disk(DiskKind::Hdd, true),
        Verdict::Unknown,
        "virtio calls itself rotational"
    );
    assert_eq!(disk(DiskKind::Virtual, false), Verdict::Unknown);
}
