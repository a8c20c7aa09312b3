//! Why the peer and we differ: the tables of the differential test.

use chasqui_tests::peer::{Alias, Difference, On, Rule, What};

/// The same fact under the peer's name of a field and ours.
pub const ALIASES: &[Alias] = &[
    // The form of a module; the official format has a field for it.
    ("memories", "description", "formfactor"),
];

const fn every(section: &'static str, what: What, why: &'static str) -> Rule {
    Rule {
        section,
        what,
        on: On::Every,
        why,
    }
}

const fn some(
    section: &'static str,
    what: What,
    machines: &'static str,
    why: &'static str,
) -> Rule {
    Rule {
        section,
        what,
        on: On::Only(machines),
        why,
    }
}

fn begins_with_ours(it: &Difference) -> bool {
    it.our_value().is_some_and(|ours| {
        it.value()
            .strip_prefix(ours)
            .is_some_and(|rest| rest.starts_with([',', '.', ' ']))
    })
}

/// What makers leave where a value belongs, as far as the captured machines have it.
fn filler(it: &Difference) -> bool {
    let known = [
        "Default string",
        "System Serial Number",
        "0",
        "SKU",
        "........",
        "00000000",
    ];
    it.our_value().is_none() && known.contains(&it.value())
}

/// A part of ours, which SCSI cuts to its own length.
fn cut(it: &Difference) -> bool {
    it.our_value().is_some_and(|ours| {
        it.value() != ours && (ours.starts_with(it.value()) || ours.ends_with(it.value()))
    })
}

/// What the peer alone sees, or otherwise than we do.
#[rustfmt::skip]
pub const ONLY_THEIRS: &[Rule] = &[
    every("accesslog", What::Section, "it is the peer's log of itself"),
    every("versionprovider", What::Section, "it describes the peer's own program"),
    every("versionclient", What::Both("value"), "each names itself"),
    some("envs", What::Section, "wherever it was not left out", "environments hold secrets: they are never read"),
    some("processes", What::Section, "wherever it was not left out",
        "command lines hold secrets and change every moment: their number is kept (chasqui_volatile)"),
    every("hardware", What::Field("checksum"), "it is the peer's own bookkeeping"),
    some("hardware", What::Field("etime"), "runs of a second or more",
        "it is the peer's own bookkeeping"),
    every("hardware", What::Field("ipaddr"), "the official format dropped it: it repeats the networks"),
    every("hardware", What::Field("oscomments"), "the official format dropped it: it is the build of the kernel"),
    every("hardware", What::Field("osname"), "the official format dropped it: it repeats the operating system"),
    every("hardware", What::Field("osversion"), "the official format dropped it: it repeats the operating system"),
    every("hardware", What::Field("processorn"), "the official format dropped it: it repeats the processors"),
    some("hardware", What::Field("processors"), "processors whose name has a speed", "the official format dropped it: it repeats the processors"),
    every("hardware", What::Field("processort"), "the official format dropped it: it repeats the processors"),
    some("hardware", What::Field("userid"), "somebody is logged in", "the official format dropped it: it repeats the users"),
    some("hardware", What::Value("vmsystem", |it| it.value() == "Docker" && it.our_value().is_some()),
        "a virtual machine made of a container's image", "the peer takes /.dockerenv for a container: the kernel says otherwise"),
    some("hardware", What::Value("lastloggeduser", |it| it.value() == "wtmp"), "nobody ever logged on",
        "the peer takes the last line of last(1), `wtmp begins`, for a person"),
    some("hardware", What::Value("datelastloggeduser", |it| it.their("lastloggeduser") == "wtmp" && it.value().len() > 6),
        "nobody ever logged on", "the peer takes the last line of last(1), `wtmp begins`, for a person"),
    some("hardware", What::Value("datelastloggeduser", |it| it.our_value().is_some_and(|ours| ours.ends_with('Z'))),
        "somebody logged on", "the peer's has no year and no time zone: ours is in UTC and says so"),
    some("cpus", What::Value("arch", |it| it.value() == "i386" && it.our_value() == Some("x86_64")),
        "machines with processors of Intel or AMD",
        "the peer calls all of Intel's and AMD's processors i386"),
    some("controllers", What::Value("driver", |it| {
        it.our_value().is_some_and(|ours| ours.split('-').next() == Some(it.value()) && ours != it.value())
    }), "drivers with a hyphen", "the peer cuts the driver's name at the hyphen"),
    some("controllers", What::Value("name", |it| it.our_value().is_none() && it.value() == it.their("type") && it.their("pcislot").starts_with("0000:")),
        "devices that are in no list", "the peer puts the name of the class where a device's name is not known"),
    some("cpus", What::Field("external_clock"), "machines with SMBIOS", "it is a fixed clock that processors no longer run by"),
    some("cpus", What::Field("familyname"), "machines with SMBIOS", "family, model and stepping are kept as numbers"),
    some("cpus", What::Field("id"), "machines with SMBIOS", "family, model and stepping are kept as numbers"),
    some("cpus", What::Field("serial"), "machines with SMBIOS", "processors have had no serial numbers since 2000"),
    some("cpus", What::Field("corecount"), "machines with SMBIOS", "the cores that the system sees are kept"),
    some("batteries", What::Value("real_capacity", |it| {
        let number = |text: &str| text.parse::<f64>().ok();
        match (number(it.value()), it.our_value().and_then(number)) {
            (Some(theirs), Some(ours)) => (theirs - ours).abs() <= theirs / 100.0,
            _ => false,
        }
    }), "machines with a battery", "ours is in steps of a hundredth of the design: the last digits move with every charge"),
    some("monitors", What::Value("caption", |it| {
        it.our_value().is_some_and(|ours| it.value().ends_with(ours) && it.value() != ours)
    }), "monitors with a second text", "the peer joins all texts of the EDID: ours is the one that is the name"),
    some("monitors", What::Value("description", |it| it.value().strip_prefix("0/").is_some_and(|year| it.our_value() == Some(year))),
        "monitors without a week", "the week 0 says that there is none"),
    some("monitors", What::Value("serial", |it| it.value().chars().all(|c| c == '0')), "monitors without a serial number",
        "zeros are no serial number"),
    some("bios", What::Value("assettag", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("bios", What::Value("skunumber", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("bios", What::Value("mmanufacturer", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("bios", What::Value("mmodel", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("bios", What::Value("msn", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("bios", What::Value("ssn", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("memories", What::Value("serialnumber", filler), "makers who fill nothing in", "a filler says nothing: `unread` keeps it"),
    some("memories", What::Item(|it| it.their("capacity").is_empty() && it.their("numslots").parse::<u32>().is_ok()),
        "machines with free slots", "the format has modules: free slots are counted in chasqui_memory"),
    some("memories", What::Both("numslots"), "machines with SMBIOS",
        "the peer counts the firmware's memory chips among the slots: ours are the modules that are there"),
    some("memories", What::Value("capacity", |it| it.value().parse::<u64>().is_ok_and(|size| size % 256 != 0)),
        "captured machines", "the peer takes all of the memory for its one module where it takes the machine for a virtual one"),
    some("memories", What::Value("type", |it| it.our_value().is_none() && it.value() == "ram"), "virtual machines", "RAM says nothing of the kind"),
    some("controllers", What::Value("name", |it| it.our_value() == Some(it.their("caption"))), "devices in the list of a maker",
        "the peer names the maker's board, ours is the device: the board is in `pcisubsystemid`"),
    some("controllers", What::Value("pcisubsystemid", |it| it.our_value().is_none() && it.value().ends_with(":ffff")),
        "makers who fill nothing in", "all ones say that there is none"),
    some("controllers", What::Value("manufacturer", |it| it.our_value().is_none() && it.value() == "Device"),
        "devices that are in no list", "the peer takes lspci's word for what it does not know for a maker"),
    some("monitors", What::Field("altserial"), "makers of whom the peer knows a formula", "the EDID itself is kept"),
    some("monitors", What::Value("manufacturer", |it| {
        [("Goldstar Company Ltd", "LG"), ("Hewlett Packard", "HP")].contains(&(it.value(), it.our_value().unwrap_or_default()))
    }), "monitors of makers with another name today", "the same maker under its present name"),
    some("monitors", What::Value("manufacturer", begins_with_ours), "monitors of makers in the list of EDID",
        "the same maker with another legal form"),
    some("ports", What::Both("name"), "machines with SMBIOS", "the peer gives the board's mark, ours is the one on the panel"),
    some("ports", What::Field("description"), "machines with SMBIOS", "it is the plug inside the machine: ours is the one outside"),
    some("ports", What::Value("type", |it| it.our_value().is_some_and(|ours| it.value().starts_with(ours))),
        "machines with SMBIOS", "the same kind in a shorter word"),
    some("ports", What::Value("type", |it| it.value() == "other" && it.our_value() == Some("none")),
        "machines with SMBIOS", "`other` says nothing, and the format asks for a word"),
    some("ports", What::Value("caption", |it| it.our_value().is_some_and(|ours| it.value().contains(ours))),
        "machines with SMBIOS", "the same plug in a shorter word"),
    some("ports", What::Value("caption", |it| it.value() == "other" && it.our_value().is_none()),
        "machines with SMBIOS", "`other` says nothing"),
    some("slots", What::Item(|it| it.their("name").is_empty() && it.their("designation").parse::<u32>().is_ok()),
        "slots that the firmware leaves without a name", "ours has a name of its number"),
    some("slots", What::Both("designation"), "machines with SMBIOS", "the peer gives the slot's number, ours is its name"),
    some("slots", What::Value("description", |it| {
        it.value().starts_with('x') && it.our_value().is_some_and(|ours| it.value().ends_with(ours))
    }), "machines with SMBIOS", "the peer puts the width before the kind"),
    some("sounds", What::Both("name"), "machines with sound", "the peer gives the class on the bus, ours is the card's name"),
    some("sounds", What::Field("manufacturer"), "machines with sound", "it is the device on the bus, which stands in the controllers"),
    some("sounds", What::Field("description"), "machines with sound", "it is the revision on the bus, which stands in the controllers"),
    some("firewalls", What::Item(|it| it.their("status") == "off"), "no firewall known",
        "the peer says off where it finds no firewall: what was not found is not off"),
    some("local_users", What::Value("name", begins_with_ours), "accounts with a room or a number",
        "the peer takes room and telephone numbers for the name"),
    some("networks", What::Item(|it| {
        let passing = ["ifb", "veth", "dummy", "tap", "vnet", "docker", "br-", "cali", "lxc"];
        it.their("virtualdev") == "1" && passing.iter().any(|name| it.their("description").starts_with(name))
    }), "containers, virtual machines or traffic shaping",
        "ports of containers and of traffic shaping come and go: they are left out, so that an unchanged machine is unchanged"),
    some("networks", What::Value("speed", |it| ["-1", "0"].contains(&it.value())), "links that have no speed",
        "the kernel says with it that there is none"),
    some("networks", What::Value("mac", |it| it.value() == "00:00:00:00:00:00"), "machines whose loopback is up",
        "the loopback has none"),
    some("networks", What::Value("ipmask6", |it| it.value() == "fff0::" && it.their("ipaddress6") == "::1"),
        "machines with IPv6",
        "the peer's mask of ::1 is wrong: its width is 128"),
    some("networks", What::Value("ipsubnet6", |it| it.value() == "::" && it.their("ipaddress6") == "::1"),
        "machines with IPv6",
        "it follows from the peer's wrong mask of ::1"),
    every("operatingsystem", What::Value("boot_time", |it| {
        it.our_value().is_some_and(|ours| ours.len() == 20 && ours.ends_with('Z')) && it.value().len() == 19
    }), "the peer's has no time zone: ours is in UTC and says so"),
    every("operatingsystem", What::Field("hostid"), "it is made of an address: it names no machine"),
    every("operatingsystem", What::Field("timezone.name"),
        "the format takes a zone only with its offset, which moves with the season: the zone's name stands in chasqui_operating_system"),
    every("operatingsystem", What::Field("timezone.offset"), "it moves with the season"),
    some("operatingsystem", What::Field("ssh_key"), "a machine with an SSH server",
        "the digest of the key is kept (chasqui_operating_system)"),
    some("operatingsystem", What::Value("version", begins_with_ours), "Debian",
        "the peer reads the point release of /etc/debian_version: life cycles go by that of os-release"),
    some("softwares", What::Value("publisher", |it| {
        ["Debian", "Ubuntu"].contains(&it.value()) && it.our_value().is_some()
    }), "machines with lsb_release",
        "the peer names the distribution as the publisher of every package: ours is the maintainer that the package names"),
    some("physical_volumes", What::Section, "machines with LVM",
        "the format asks for counts of extents, which nobody needs: the volumes stand in chasqui_storage"),
    some("usbdevices", What::Field("subclass"), "machines with USB devices", "the class says what a device is"),
    some("usbdevices", What::Both("class"), "devices with several classes", "the peer gives the last class of a device, ours is the first"),
    some("videos", What::Field("chipset"), "machines with a graphics card", "it is the device on the bus, which stands in the controllers"),
    some("videos", What::Field("resolution"), "machines with a graphics card", "it is the monitor's"),
    some("drives", What::Both("free"), "machines at work", "it moves between two readings"),
    some("storages", What::Value("manufacturer", |it| !it.their("model").is_empty() && it.value() == it.their("model")
        && it.our_value().is_none() && it.their("disksize").parse::<u64>().is_ok()),
        "disks of makers that the peer does not know", "the peer puts the model where it does not know the maker"),
    some("storages", What::Value("type", |it| {
        ["disk", "removable"].contains(&it.value()) && ["hdd", "ssd", "nvme", "emmc", ""].contains(&it.our_value().unwrap_or_default())
    }), "machines with disks of their own", "ours says what the disk is made of, where that is known"),
    some("storages", What::Value("model", cut), "disks behind SCSI", "the peer's is cut to sixteen characters"),
    some("storages", What::Value("firmware", cut), "disks behind SCSI", "the peer's is cut to four characters"),
    some("storages", What::Value("disksize", |it| it.our_value().is_none() && it.value() == "1073" && it.their("name").starts_with("sr")),
        "machines with an optical drive", "it is the drive's greatest size, without a disc in it"),
    some("storages", What::Field("description"), "machines with disks",
        "it is the bus, which stands in `interface`"),
    some("storages", What::Value("manufacturer", |it| it.value() == "Red Hat, Inc." && it.our_value().is_none()),
        "a virtual machine", "it is the maker of the virtual bus, not of a disk"),
];

/// What we alone see.
#[rustfmt::skip]
pub const ONLY_OURS: &[Rule] = &[
    some("bios", What::Item(|it| it.theirs.len() == 1 && ["enabled", "disabled", "unsupported"].contains(&it.their("secure_boot"))),
        "machines without SMBIOS", "the peer knows nothing of Secure Boot"),
    some("bios", What::Field("secure_boot"), "machines with SMBIOS", "the peer knows nothing of Secure Boot"),
    some("bios", What::Field("enclosureserial"), "machines with SMBIOS", "the peer does not read the enclosure's serial number"),
    some("bios", What::Value("ssn", |it| it.value() == it.their("enclosureserial")), "captured machines",
        "the peer loses it where /sys/class/dmi is missing"),
    some("controllers", What::Value("rev", |it| {
        it.value() == "00" || it.value().len() == 2 && it.value().contains(|c: char| c.is_ascii_lowercase())
    }), "every machine with a PCI bus", "the peer reads decimal digits alone, and not the revision 0"),
    some("cpus", What::Value("speed", |it| it.value().parse::<u32>().is_ok()), "processors without a speed in their name",
        "the peer takes it from the name: ours is the kernel's"),
    some("hardware", What::Value("swap", |it| it.value() == "0"), "machines without swap", "none is a fact: the peer leaves zeros out"),
    some("local_groups", What::Item(|it| it.their("members").is_empty() && it.their("id").parse::<u32>().is_ok()),
        "every machine", "the peer leaves groups without members out"),
    some("memories", What::Value("memorycorrection", |it| it.value() == "none"), "machines without ECC", "none is a fact: the peer leaves it out"),
    some("monitors", What::Item(|it| it.their("base64").is_empty() && it.their("port").starts_with("card")),
        "monitors whose EDID is broken", "something is plugged in: the peer shows nothing of it"),
    some("monitors", What::Field("name"), "machines with a monitor", "the peer has it as `caption` alone"),
    some("monitors", What::Field("port"), "machines with a monitor", "the peer does not say where a monitor is plugged in"),
    some("networks", What::Field("mtu"), "every machine", "the peer does not read it"),
    some("networks", What::Value("pcislot", |it| it.value().starts_with("0000:")), "a virtual machine",
        "the peer does not look behind the virtual bus"),
    some("ports", What::Value("caption", |it| {
        let inside = it.ours.as_ref().and_then(|ours| ours.get("description"));
        inside.is_some_and(|inside| inside.contains(it.value()))
    }), "machines with SMBIOS", "the plug inside, where there is none outside"),
    some("ports", What::Value("type", |it| it.value() == "thunderbolt"), "machines with a Thunderbolt port", "dmidecode does not know it yet"),
    some("slots", What::Item(|it| it.their("name").starts_with("slot ")), "slots that the firmware leaves without a name",
        "the number stands in for the name"),
    some("slots", What::Value("designation", |it| it.value() == it.their("name")), "machines with SMBIOS",
        "it is the name once more"),
    some("sounds", What::Item(|it| !it.their("name").is_empty() && it.their("name") == it.their("caption")), "machines with sound",
        "the peer knows devices alone whose class is called audio"),
    some("sounds", What::Field("caption"), "machines with sound", "it is the name once more"),
    some("softwares", What::Field("install_date"), "every machine", "the peer knows it of rpm alone"),
    some("softwares", What::Item(|it| ["flatpak", "snap"].contains(&it.their("from"))), "machines with such programs",
        "the peer does not know them, or asks a program that is not there"),
    some("storages", What::Field("interface"), "every machine with a disk", "the peer has it as `description`"),
];
