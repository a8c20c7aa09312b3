//! Virtual machines of libvirt and VirtualBox, from their settings.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::MAX_GUESTS;
use super::xml::{self, Element};

const LIBVIRT: &[&str] = &["/etc/libvirt/qemu", "/etc/libvirt/lxc"];
const MAX_BYTES: usize = 1 << 20;
const MAX_ELEMENTS: usize = 5_000;
/// Deepest folder that VirtualBox puts a machine in: group, machine.
const BOX_DEPTH: u32 = 2;

/// Machines that libvirt keeps for the whole system.
pub fn libvirt(source: &Source, notes: &mut Notes) -> Vec<v1::Guest> {
    let mut found = Vec::new();
    for folder in LIBVIRT {
        for name in list(source, folder, notes) {
            let path = format!("{folder}/{name}");
            if !name.ends_with(".xml") || found.len() >= MAX_GUESTS {
                continue;
            }
            let read = source.text(&path, MAX_BYTES).and_then(|text| {
                domain(&text).ok_or_else(|| Unreadable::malformed(format!("{path}: no domain")))
            });
            if let Some(guest) = notes.take("guests.libvirt", folder, read) {
                found.push(guest);
            }
        }
    }
    found
}

fn list(source: &Source, folder: &str, notes: &mut Notes) -> Vec<String> {
    match source.list(folder) {
        Ok(names) => names,
        Err(why) if why.is_no_source() => Vec::new(),
        Err(why) => {
            notes.unread("guests", why);
            Vec::new()
        }
    }
}

/// libvirt's `<domain>`.
fn domain(text: &str) -> Option<v1::Guest> {
    let elements = xml::elements(text, MAX_ELEMENTS);
    let root = elements.first().filter(|root| root.name == "domain")?;
    root.attribute("type")?;
    let child = |name: &str| elements.iter().find(|e| e.depth == 1 && e.name == name);
    let text_of = |name: &str| child(name).and_then(|e| bounds::some_text(&e.text()));
    let memory = child("memory").and_then(|element| {
        let unit = element.attribute("unit");
        bytes(&element.text(), unit.as_deref().unwrap_or("KiB"))
    });
    let disk = elements
        .iter()
        .filter(|element| element.name == "source")
        .find_map(|element| {
            element
                .attribute("file")
                .or_else(|| element.attribute("dev"))
        });
    Some(v1::Guest {
        name: text_of("name")?,
        r#type: "libvirt".to_owned(),
        uuid: text_of("uuid"),
        memory_bytes: memory,
        cpus: text_of("vcpu").and_then(|text| text.parse().ok()),
        image: disk.and_then(|path| bounds::some_text(&path)),
    })
}

/// Units of libvirt's memory elements.
fn bytes(number: &str, unit: &str) -> Option<u64> {
    let factor: u64 = match unit {
        "b" | "bytes" => 1,
        "KB" => 1_000,
        "k" | "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "M" | "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Machines of VirtualBox below the homes, in its usual folder. Whose home it is, is not kept.
pub fn virtualbox(source: &Source, notes: &mut Notes) -> Vec<v1::Guest> {
    let mut found = Vec::new();
    for home in list(source, "/home", notes).iter().take(200) {
        let folder = format!("/home/{home}/VirtualBox VMs");
        walk(source, &folder, BOX_DEPTH, &mut found, notes);
    }
    found
}

fn walk(source: &Source, folder: &str, depth: u32, found: &mut Vec<v1::Guest>, notes: &mut Notes) {
    // Other people's homes are closed to ordinary accounts.
    let Ok(names) = source.list(folder) else {
        return;
    };
    for name in names.iter().take(MAX_GUESTS) {
        let path = format!("{folder}/{name}");
        if name.ends_with(".vbox") && found.len() < MAX_GUESTS {
            let read = source.text(&path, MAX_BYTES).and_then(|text| {
                let why = "a .vbox file without a machine";
                machine(&text).ok_or_else(|| Unreadable::malformed(why))
            });
            if let Some(guest) = notes.part("guests.virtualbox", read) {
                found.push(guest);
            }
        } else if let Some(less) = depth.checked_sub(1) {
            walk(source, &path, less, found, notes);
        }
    }
}

/// VirtualBox's `<Machine uuid="{...}" name="..." OSType="...">`.
fn machine(text: &str) -> Option<v1::Guest> {
    let elements = xml::elements(text, MAX_ELEMENTS);
    let machine = elements.iter().find(|element| element.name == "Machine")?;
    let number = |name: &str, attribute: &str| {
        let element: &Element<'_> = elements.iter().find(|element| element.name == name)?;
        element.attribute(attribute)?.parse::<u64>().ok()
    };
    let uuid = machine.attribute("uuid")?;
    let image = elements
        .iter()
        .find(|element| element.name == "HardDisk")
        .and_then(|disk| disk.attribute("location"));
    Some(v1::Guest {
        name: bounds::some_text(&machine.attribute("name")?)?,
        r#type: "virtualbox".to_owned(),
        uuid: bounds::some_text(uuid.trim_matches(['{', '}'])),
        memory_bytes: number("Memory", "RAMSize").and_then(|mib| mib.checked_mul(1 << 20)),
        cpus: number("CPU", "count").and_then(|count| u32::try_from(count).ok()),
        // A path in somebody's home would bear the name.
        image: image
            .filter(|path| !path.starts_with("/home/"))
            .and_then(|path| bounds::some_text(&path)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_machines() {
        let xml = "<domain type='kvm'><name>pruebas</name><uuid>u-1</uuid><memory unit='MiB'>2</memory><vcpu>3</vcpu><devices><disk><source file='/v/p.qcow2'/></disk></devices></domain>";
        let found = domain(xml).unwrap();
        assert_eq!(found.memory_bytes, Some(2 << 20));
        assert_eq!(
            (found.cpus, found.image.as_deref()),
            (Some(3), Some("/v/p.qcow2"))
        );
        assert_eq!(domain("<network/>"), None);
        let text = "<VirtualBox><Machine uuid=\"{a}\" name=\"W\"><MediaRegistry><HardDisks><HardDisk uuid=\"x\" location=\"W.vdi\"/></HardDisks></MediaRegistry><Hardware><CPU count=\"2\"/><Memory RAMSize=\"1024\"/></Hardware></Machine></VirtualBox>";
        let found = machine(text).unwrap();
        assert_eq!((found.memory_bytes, found.cpus), (Some(1 << 30), Some(2)));
        for cut in 0..text.len() {
            let _ = machine(&text[..cut]);
        }
        for cut in 0..xml.len() {
            let _ = domain(&xml[..cut]);
        }
        assert_eq!(bytes("99999999999999999999", "KiB"), None);
        assert_eq!(bytes("18446744073709551615", "GiB"), None);
    }
}
