//! Whether the machine is virtual, and under what: container marks first, then the firmware's names, then what the
//! processor and the kernel's clocks say. `none` is said only when a source speaks for real hardware.

use super::super::{Notes, Source, Unreadable};
use super::firmware::{DEVICE_TREE, DMI, Firmware};
use super::smbios::kind;

const GROUP: &str = "virtualization";
const CPUINFO: &str = "/proc/cpuinfo";
const CLOCKS: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
const ACPI: &str = "/sys/firmware/acpi/tables";

/// Texts in the makers' fields that give a hypervisor away.
const MAKERS: &[(&str, &str)] = &[
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "virtualbox"),
    ("VirtualBox", "virtualbox"),
    ("VBOX", "virtualbox"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Amazon EC2", "kvm"),
    ("Google Compute Engine", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("KVM", "kvm"),
    ("QEMU", "qemu"),
];

/// Finds the answer, with its source.
pub fn read(source: &Source, firmware: &Firmware<'_>, notes: &mut Notes) -> Option<String> {
    let found = container(source)
        .or_else(|| wsl(source))
        .or_else(|| control_domain(source))
        .or_else(|| by_firmware(source, firmware))
        .or_else(|| by_kernel(source))
        .or_else(|| physical(source, firmware));
    let read = found.ok_or_else(|| {
        Unreadable::no_source("neither firmware nor processor says what this machine is")
    });
    match read {
        Ok((name, from)) => {
            notes.from(GROUP, from);
            Some(name.to_owned())
        }
        Err(why) => {
            notes.unread(GROUP, why);
            None
        }
    }
}

type Found = (&'static str, &'static str);

fn container(source: &Source) -> Option<Found> {
    const CGROUP: &str = "/proc/1/cgroup";
    const ENVIRON: &str = "/proc/1/environ";
    for path in ["/run/systemd/container", "/run/.containerenv"] {
        if source.exists(path) == Ok(true) {
            return Some(("container", path));
        }
    }
    if source.bytes(ENVIRON, 1 << 20).is_ok_and(|bytes| {
        bytes
            .split(|b| *b == 0)
            .any(|v| v.starts_with(b"container="))
    }) {
        return Some(("container", ENVIRON));
    }
    if source.text(CGROUP, 1 << 16).is_ok_and(|text| {
        ["/docker", "/lxc", "/kubepods", "/libpod", "/machine.slice/"]
            .iter()
            .any(|mark| text.contains(mark))
    }) {
        return Some(("container", CGROUP));
    }
    // An image unpacked onto a disk keeps Docker's mark; in a container the root is no disk.
    let marked = source.exists("/.dockerenv") == Ok(true);
    (marked && !super::block::root_is_on_a_device(source)).then_some(("container", "/.dockerenv"))
}

fn wsl(source: &Source) -> Option<Found> {
    const RELEASE: &str = "/proc/sys/kernel/osrelease";
    let release = source.line(RELEASE).ok()?.to_lowercase();
    release.contains("microsoft").then_some(("wsl", RELEASE))
}

/// The first domain of Xen has the real hardware.
fn control_domain(source: &Source) -> Option<Found> {
    const CAPABILITIES: &str = "/proc/xen/capabilities";
    let text = source.line(CAPABILITIES).ok()?;
    text.contains("control_d").then_some(("none", CAPABILITIES))
}

fn by_firmware(source: &Source, firmware: &Firmware<'_>) -> Option<Found> {
    let fields = [
        firmware.plain(kind::SYSTEM, 0x05, "product_name"),
        firmware.plain(kind::SYSTEM, 0x04, "sys_vendor"),
        firmware.plain(kind::BOARD, 0x04, "board_vendor"),
        firmware.plain(kind::FIRMWARE, 0x04, "bios_vendor"),
    ];
    let [model, maker, ..] = &fields;
    // Microsoft makes laptops too: only its virtual machines bear this model.
    if model.as_deref() == Some("Virtual Machine")
        && maker
            .as_deref()
            .is_some_and(|maker| maker.starts_with("Microsoft"))
    {
        return Some(("hyperv", DMI));
    }
    let name = MAKERS.iter().find_map(|(text, name)| {
        fields
            .iter()
            .flatten()
            .any(|field| field.starts_with(text))
            .then_some(*name)
    })?;
    // QEMU's machine under the kernel's hypervisor is known by the latter's name.
    if name == "qemu" && clocks(source).is_some_and(|clocks| clocks.contains("kvm-clock")) {
        return Some(("kvm", CLOCKS));
    }
    Some((name, DMI))
}

fn by_kernel(source: &Source) -> Option<Found> {
    const XEN: &str = "/sys/hypervisor/type";
    const TREE: &str = "/sys/firmware/devicetree/base/hypervisor/compatible";
    if source.line(XEN).is_ok_and(|text| text == "xen") {
        return Some(("xen", XEN));
    }
    if let Ok(text) = source.line(TREE) {
        return Some((if text.contains("xen") { "xen" } else { "kvm" }, TREE));
    }
    if !hypervisor_flag(source)? {
        return None;
    }
    if acpi_maker(source).is_some_and(|maker| maker == *b"FIRECK") {
        return Some(("firecracker", ACPI));
    }
    match clocks(source) {
        Some(clocks) if clocks.contains("kvm-clock") => Some(("kvm", CLOCKS)),
        Some(clocks) if clocks.contains("hyperv") => Some(("hyperv", CLOCKS)),
        Some(clocks) if clocks.contains("xen") => Some(("xen", CLOCKS)),
        // Under a hypervisor, but nothing names it.
        _ => Some(("virtual", CPUINFO)),
    }
}

fn physical(source: &Source, firmware: &Firmware<'_>) -> Option<Found> {
    if hypervisor_flag(source) == Some(false) {
        return Some(("none", CPUINFO));
    }
    // Other processors have no such flag: there the firmware's own name of a model speaks for real hardware.
    if firmware.plain(kind::SYSTEM, 0x05, "product_name").is_some() {
        return Some(("none", DMI));
    }
    let (_, model) = firmware.tree("model");
    match model.ok()?.as_str() {
        "linux,dummy-virt" => Some(("qemu", DEVICE_TREE)),
        _ => Some(("none", DEVICE_TREE)),
    }
}

/// The processor's own word; `None` where processors have no such flag.
fn hypervisor_flag(source: &Source) -> Option<bool> {
    let text = source.text(CPUINFO, super::cpu::MAX_CPUINFO_BYTES).ok()?;
    let flags = text.lines().find(|line| line.starts_with("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

fn clocks(source: &Source) -> Option<String> {
    source.line(CLOCKS).ok()
}

/// The six letters of the maker in the header of an ACPI table; readable by root alone.
fn acpi_maker(source: &Source) -> Option<[u8; 6]> {
    let table = source.bytes(&format!("{ACPI}/DSDT"), 4 << 20).ok()?;
    table.get(10..16)?.try_into().ok()
}
