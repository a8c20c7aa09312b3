//! Every parser that takes bytes somebody else wrote, by name, for the fuzzers: the bounded run of every build and
//! cargo-fuzz under `tests/fuzz` both walk this one table. A parser passes when it neither panics nor hangs.

use super::linux::{smbios, software};
use super::wire;

/// A parser under test.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Names it to the fuzzer.
    pub name: &'static str,
    /// Ends of paths in captured trees whose files are its seeds.
    pub seeds: &'static [&'static str],
    /// Reads the bytes.
    pub run: fn(&[u8]),
}

/// All of them, sorted by name.
pub static TARGETS: &[Target] = &[
    Target {
        name: "dpkg_log",
        seeds: &["/var/log/dpkg.log"],
        run: |bytes| software::dpkg::unpackings(bytes).for_each(drop),
    },
    Target {
        name: "dpkg_log_gz",
        seeds: &["/var/log/dpkg.log.2.gz"],
        run: |bytes| drop(software::dpkg::unpack(bytes)),
    },
    Target {
        name: "dpkg_status",
        seeds: &["/var/lib/dpkg/status"],
        run: |bytes| drop(software::dpkg::parse(bytes, false)),
    },
    Target {
        name: "flatpak_deploy",
        seeds: &["/deploy"],
        run: |bytes| drop(software::flatpak::Deploy::parse(bytes)),
    },
    Target {
        name: "flatpak_metainfo",
        seeds: &[".metainfo.xml"],
        run: |bytes| {
            drop(software::flatpak::Metainfo::parse(
                &String::from_utf8_lossy(bytes),
            ))
        },
    },
    Target {
        name: "pacman_desc",
        seeds: &["/desc"],
        run: |bytes| drop(software::pacman::parse(&String::from_utf8_lossy(bytes))),
    },
    Target {
        name: "report",
        seeds: &["report"],
        run: |bytes| drop(wire::decode(bytes)),
    },
    Target {
        name: "rpm_bdb",
        seeds: &["/var/lib/rpm/Packages"],
        run: |bytes| drop(software::rpm::bdb::read("fuzz", &bytes)),
    },
    Target {
        name: "rpm_header",
        seeds: &["rpm-header"],
        run: |bytes| drop(software::rpm::header::package(bytes)),
    },
    Target {
        name: "rpm_ndb",
        seeds: &["/rpm/Packages.db"],
        run: |bytes| drop(software::rpm::ndb::read("fuzz", &bytes)),
    },
    Target {
        name: "smbios",
        seeds: &["/sys/firmware/dmi/tables/DMI"],
        run: |bytes| {
            let table = smbios::Smbios::parse(bytes);
            for number in 0..=u8::MAX {
                for structure in table.all(number) {
                    drop(structure.text(4));
                }
            }
            drop((table.uuid(), table.fault().is_some()));
        },
    },
    Target {
        name: "snap_yaml",
        seeds: &["/meta/snap.yaml"],
        run: |bytes| {
            drop(software::snap::parse(
                "fuzz",
                &String::from_utf8_lossy(bytes),
            ))
        },
    },
];
