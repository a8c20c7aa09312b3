use proptest::prelude::*;

use super::*;

const HEAD: &str = "@version t\n@checked_on 2026-08-22\n@source somebody\nsystem;release;also;edition;builds;label;released;supported_until;longer_until;longer_kind;source\n";

fn error(row: &str) -> KnowledgeError {
    Knowledge::parse(&format!("{HEAD}{row}\n")).unwrap_err()
}

#[test]
fn the_builtin_table_reads_and_is_consistent() {
    let table = Knowledge::builtin().unwrap();
    assert!(table.releases().len() > 200);
    for row in table.releases() {
        let windows = row.system.starts_with("windows");
        assert_eq!(
            !row.builds.is_empty(),
            windows,
            "{}: builds are for Windows, and all of it",
            row.label
        );
        assert!(
            row.released <= table.checked_on,
            "{} is not out yet",
            row.label
        );
        if row.system == "debian" && row.released.year() > 2010 {
            assert!(
                row.longer.as_ref().is_some_and(|longer| longer.free),
                "{}",
                row.label
            );
        }
        if row.system != "debian" {
            assert!(
                row.longer.as_ref().is_none_or(|longer| !longer.free),
                "{} is not free and public",
                row.label
            );
        }
    }
    for system in [
        "windows",
        "windows-server",
        "debian",
        "ubuntu",
        "rhel",
        "centos",
        "centos-stream",
        "fedora",
        "rocky",
        "almalinux",
        "opensuse-leap",
        "sles",
        "linuxmint",
        "lmde",
        "macos",
        "ol",
    ] {
        assert!(
            table.releases().iter().any(|row| row.system == system),
            "{system} is missing"
        );
    }
}

#[test]
fn a_build_and_an_edition_never_find_two_rows() {
    let table = Knowledge::builtin().unwrap();
    let editions = [
        "Professional",
        "Enterprise",
        "EnterpriseS",
        "IoTEnterpriseS",
        "ServerStandard",
        "ServerStandardACor",
    ];
    for build in table.releases().iter().flat_map(|row| &row.builds) {
        for edition in editions {
            let os = OperatingSystem::from_windows("Windows", Some(*build), edition, "");
            if let Found::Releases(rows) = table.find(&os) {
                assert_eq!(rows.len(), 1, "{build} {edition}: {rows:?}");
            }
        }
    }
}

fn label(os: &OperatingSystem) -> String {
    match Knowledge::builtin().unwrap().find(os) {
        Found::Releases(rows) => rows
            .iter()
            .map(|row| row.label.as_str())
            .collect::<Vec<_>>()
            .join(" | "),
        Found::NoRelease => "no release".into(),
        Found::NoSystem => "no system".into(),
    }
}

#[test]
fn systems_are_found_as_they_name_themselves() {
    let linux = |id: &str, version: &str, name: &str| {
        label(&OperatingSystem::from_os_release(id, version, name, ""))
    };
    assert_eq!(
        linux("debian", "12", "Debian GNU/Linux"),
        "Debian 12 Bookworm"
    );
    assert_eq!(linux("debian", "12.5", ""), "Debian 12 Bookworm");
    assert_eq!(linux("debian", "", "Debian GNU/Linux"), "no release");
    assert_eq!(linux("ubuntu", "22.04", "Ubuntu"), "Ubuntu 22.04 LTS");
    assert_eq!(linux("ubuntu", "22", "Ubuntu"), "no release");
    assert_eq!(linux("rhel", "9.4", ""), "Red Hat Enterprise Linux 9");
    assert_eq!(linux("centos", "8", "CentOS Linux"), "CentOS Linux 8");
    assert_eq!(linux("centos", "8", "CentOS Stream"), "CentOS Stream 8");
    assert_eq!(linux("linuxmint", "6", "LMDE"), "LMDE 6 Faye");
    assert_eq!(
        linux("linuxmint", "21.3", "Linux Mint"),
        "Linux Mint 21.3 Virginia"
    );
    assert_eq!(
        linux("sles", "15", "SLES"),
        "SUSE Linux Enterprise Server 15.0"
    );
    assert_eq!(
        linux("sles", "15.9", "SLES"),
        "no release",
        "a later service pack is not the first release"
    );
    assert_eq!(linux("opensuse-leap", "15.6", ""), "openSUSE Leap 15.6");
    assert_eq!(linux("macos", "10.15.7", ""), "macOS 10.15 Catalina");
    assert_eq!(linux("macos", "14.6.1", ""), "macOS 14 Sonoma");
    assert_eq!(linux("arch", "", "Arch Linux"), "no system");
    assert_eq!(linux("debian", "1..2..", ""), "no release");
}

#[test]
fn windows_is_found_by_build_and_edition() {
    let windows = |build, edition| {
        label(&OperatingSystem::from_windows(
            "Windows 10 Pro",
            build,
            edition,
            "Client",
        ))
    };
    assert_eq!(
        windows(Some(22631), "Professional"),
        "Windows 11 23H2 Home/Pro",
        "whatever the product name says"
    );
    assert_eq!(
        windows(Some(22631), "Enterprise"),
        "Windows 11 23H2 Enterprise/Education"
    );
    assert_eq!(
        windows(Some(19044), "EnterpriseS"),
        "Windows 10 21H2 Enterprise LTSC"
    );
    assert_eq!(
        windows(Some(19044), "IoTEnterpriseS"),
        "Windows 10 21H2 IoT Enterprise LTSC"
    );
    assert_eq!(
        windows(Some(17763), "IoTEnterpriseS"),
        "Windows 10 1809 Enterprise LTSC"
    );
    assert_eq!(windows(Some(19045), "Professional"), "Windows 10 22H2");
    assert_eq!(windows(Some(7601), "Professional"), "Windows 7 SP1");
    assert_eq!(
        windows(Some(22631), ""),
        "Windows 11 23H2 Enterprise/Education | Windows 11 23H2 Home/Pro"
    );
    assert_eq!(windows(Some(99999), "Professional"), "no release");
    assert_eq!(windows(None, "Professional"), "no release");
    let server = |build, edition| {
        label(&OperatingSystem::from_windows(
            "",
            build,
            edition,
            "Server Core",
        ))
    };
    assert_eq!(server(Some(17763), "ServerStandard"), "Windows Server 2019");
    assert_eq!(
        server(Some(17763), "ServerDatacenterACor"),
        "Windows Server 1809"
    );
    assert_eq!(
        server(Some(26100), "ServerDatacenter"),
        "Windows Server 2025"
    );
}

#[test]
fn errors_name_the_line_and_what_is_expected() {
    let lines: Vec<String> = [
        "debian;12",
        ";12;;any;;Debian 12;2023-06-10;2026-07-11;;;",
        "debian;12;;some;;Debian 12;2023-06-10;2026-07-11;;;",
        "debian;12;;any;x;Debian 12;2023-06-10;2026-07-11;;;",
        "debian;12;;any;;Debian 12;2023-06-31;2026-07-11;;;",
        "debian;12;;any;;Debian 12;2023-06-10;11/07/2026;;;",
        "debian;12;;any;;Debian 12;2023-06-10;2020-07-11;;;",
        "debian;12;;any;;Debian 12;2023-06-10;2026-07-11;2026-07-11;free LTS;",
        "debian;12;;any;;Debian 12;2023-06-10;2026-07-11;2028-06-30;LTS;",
        "debian;12;;any;;Debian 12;2023-06-10;2026-07-11;;free LTS;",
        "debian;12;;any;;Debian 12;2023-06-10;open;2028-06-30;free LTS;",
        "@version again",
        "debian;12;;any;;Debian 12;2023-06-10;2026-07-11;;;\ndebian;13;12;any;;Debian 13;2023-06-10;2026-07-11;;;",
        "debian;12;;any;;Debian\u{7} 12;2023-06-10;2026-07-11;;;",
        "debian;12;1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17;any;;Debian 12;2023-06-10;2026-07-11;;;",
        "debian;12; x;any;;Debian 12;2023-06-10;2026-07-11;;;",
        "# nothing",
    ]
    .iter()
    .map(|row| error(row).to_string())
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn heads_are_needed_and_bounds_hold() {
    let row = "debian;12;;any;;Debian 12;2023-06-10;2026-07-11;;;\n";
    assert!(Knowledge::parse(&format!("{HEAD}{row}")).is_ok());
    assert!(Knowledge::parse("").is_err());
    for head in [
        "@version t\n",
        "@checked_on 2026-08-22\n",
        "@source somebody\n",
    ] {
        let name = head.split(' ').next().unwrap();
        let failed = Knowledge::parse(&format!("{}{row}", HEAD.replace(head, ""))).unwrap_err();
        assert!(failed.what.contains(name), "{failed}");
    }
    assert!(Knowledge::parse(&format!("{HEAD}{}", "#\n".repeat(600_000))).is_err());
    let many: String = (0..5_001)
        .map(|n| row.replace(";12;", &format!(";{n};")))
        .collect();
    assert!(
        Knowledge::parse(&format!("{HEAD}{many}"))
            .unwrap_err()
            .what
            .contains("5000")
    );
    let long = row.replace("Debian 12", &"x".repeat(201));
    assert!(Knowledge::parse(&format!("{HEAD}{long}")).is_err());
}

proptest! {
    #[test]
    fn no_text_brings_the_reader_down(text in "(?s).{0,200}", rows in proptest::collection::vec("[a-z0-9;,.@ -]{0,80}", 0..5)) {
        let _ = Knowledge::parse(&text);
        let _ = Knowledge::parse(&format!("{HEAD}{}", rows.join("\n")));
    }
}
