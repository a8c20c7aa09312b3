//! Devices on the USB, with the classes of their interfaces. A root hub stands for its controller.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_proto::v1;

use super::super::gaps::Gaps;
use super::super::{Notes, Source, Unreadable};
use super::{ids, pci, placeholder};

/// The kernel's list of devices and interfaces.
pub const DEVICES: &str = "/sys/bus/usb/devices";
const MAX_DEVICES: usize = 512;
/// The kernel itself, as the maker of root hubs.
const KERNEL: &str = "1d6b";

/// Classes of the standard by number.
const CLASSES: &[(u8, &str)] = &[
    (0x01, "audio"),
    (0x02, "communications"),
    (0x03, "hid"),
    (0x05, "physical"),
    (0x06, "image"),
    (0x07, "printer"),
    (0x08, "mass_storage"),
    (0x09, "hub"),
    (0x0a, "cdc_data"),
    (0x0b, "smart_card"),
    (0x0d, "content_security"),
    (0x0e, "video"),
    (0x0f, "personal_healthcare"),
    (0x10, "audio_video"),
    (0x11, "billboard"),
    (0x12, "usb_type_c_bridge"),
    (0xdc, "diagnostic"),
    (0xe0, "wireless_controller"),
    (0xef, "miscellaneous"),
    (0xfe, "application_specific"),
    (0xff, "vendor_specific"),
];

/// Reads the bus; sorted by path.
pub fn read(source: &Source, notes: &mut Notes) -> Vec<v1::UsbDevice> {
    let Some(names) = notes.take("usb", DEVICES, source.list(DEVICES)) else {
        return Vec::new();
    };
    // `1-6` is a device, `1-6:1.0` an interface of it.
    let mut interfaces: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut paths = Vec::new();
    for name in &names {
        match name.split_once(':') {
            Some((device, _)) => interfaces.entry(device).or_default().push(name),
            None => paths.push(name.as_str()),
        }
    }
    if paths.len() > MAX_DEVICES {
        let why = Unreadable::too_large(format!("{DEVICES}: over {MAX_DEVICES} devices"));
        notes.unread("usb", why);
        paths.truncate(MAX_DEVICES);
    }
    let (mut gaps, mut devices) = (Gaps::default(), Vec::new());
    for path in paths {
        let interfaces = interfaces.remove(path).unwrap_or_default();
        match device(source, path, &interfaces, &mut gaps) {
            Ok(device) => devices.push(device),
            Err(why) => gaps.add("unknown", path, why),
        }
    }
    name(source, &mut devices, &mut gaps, notes);
    gaps.tell("usb", notes);
    devices
}

fn device(
    source: &Source,
    path: &str,
    interfaces: &[&str],
    gaps: &mut Gaps,
) -> Result<v1::UsbDevice, Unreadable> {
    let id = |name: &str| hex(source, path, name, 4);
    let (vendor_id, product_id) = (id("idVendor")?, id("idProduct")?);
    let text = |name: &str| {
        let text = source.line(&format!("{DEVICES}/{path}/{name}"));
        // The kernel's own hubs bear its version and the controller's slot in place of names.
        if vendor_id == KERNEL && path.starts_with("usb") && name != "product" {
            return Err(Unreadable::no_source(format!("{path}: a root hub")));
        }
        placeholder::refuse(text)
    };
    let classes = classes(source, path, interfaces, gaps);
    Ok(v1::UsbDevice {
        path: path.to_owned(),
        vendor: text("manufacturer").ok(),
        product: text("product").ok(),
        serial: gaps.part("serial", path, text("serial")),
        classes,
        speed_mbps: gaps.part("speed_mbps", path, speed(source, path)),
        vendor_id,
        product_id,
    })
}

fn hex(source: &Source, folder: &str, name: &str, digits: usize) -> Result<String, Unreadable> {
    let path = format!("{DEVICES}/{folder}/{name}");
    let line = source.line(&path)?;
    let fits = line.len() == digits && line.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then(|| line.to_ascii_lowercase())
        .ok_or_else(|| Unreadable::malformed(format!("{path}: {line:.40}")))
}

fn classes(source: &Source, path: &str, interfaces: &[&str], gaps: &mut Gaps) -> Vec<String> {
    let mut found = BTreeSet::new();
    let own = [(path, "bDeviceClass")].into_iter();
    let of_interfaces = interfaces.iter().map(|name| (*name, "bInterfaceClass"));
    for (folder, file) in own.chain(of_interfaces) {
        if let Some(code) = gaps.part("classes", folder, hex(source, folder, file, 2))
            && let Ok(code) = u8::from_str_radix(&code, 16)
        {
            let known = CLASSES.iter().find(|(known, _)| *known == code);
            found.extend(known.map(|(_, name)| *name));
        }
    }
    // Says "see the interfaces", as does the class of zero.
    if found.len() > 1 {
        found.remove("miscellaneous");
    }
    found.into_iter().map(str::to_owned).collect()
}

/// The number of a class by its name, in decimal, as GLPI's protocol has it.
pub fn number(class: &str) -> Option<String> {
    let known = CLASSES.iter().find(|(_, name)| *name == class);
    known.map(|(number, _)| number.to_string())
}

/// Whole megabits: 1 for the 1.5 of a slow mouse.
fn speed(source: &Source, path: &str) -> Result<u32, Unreadable> {
    let path = format!("{DEVICES}/{path}/speed");
    let line = source.line(&path)?;
    let whole = line.split('.').next().unwrap_or_default();
    match whole.parse::<u32>() {
        Ok(speed @ 1..) => Ok(speed),
        // The kernel does not know.
        Err(_) if line == "unknown" => Err(Unreadable::no_source(format!("{path}: unknown"))),
        _ => Err(Unreadable::malformed(format!("{path}: {line:.40}"))),
    }
}

/// The list's name for the maker, whose own spelling varies; the device's own name for itself, which is the closer one.
fn name(source: &Source, devices: &mut [v1::UsbDevice], gaps: &mut Gaps, notes: &mut Notes) {
    if devices.is_empty() {
        return;
    }
    let wanted: BTreeSet<(u16, u16)> = devices
        .iter()
        .filter_map(|device| pci::numbers(&device.vendor_id, &device.product_id))
        .collect();
    let found = ids::read(source, "usb.ids").map(|(path, text)| {
        notes.from("usb.vendor", &path);
        notes.from("usb.product", &path);
        let names = ids::look_up(&text, &wanted);
        (path, names)
    });
    for device in devices {
        let pair = pci::numbers(&device.vendor_id, &device.product_id);
        let missing = |what: &str| match &found {
            Ok((path, _)) => Unreadable::no_source(format!("{path}: no {what}")),
            Err(why) => why.clone(),
        };
        let names = found.as_ref().ok().map(|(_, names)| names);
        let listed = names.and_then(|names| names.vendors.get(&pair?.0));
        let vendor = listed.cloned().or_else(|| device.vendor.take());
        let listed = names.and_then(|names| names.devices.get(&pair?));
        let product = device.product.take().or_else(|| listed.cloned());
        let ids = format!("{}:{}", device.vendor_id, device.product_id);
        let (path, vendor_id) = (device.path.as_str(), device.vendor_id.as_str());
        device.vendor = gaps.part("vendor", path, vendor.ok_or_else(|| missing(vendor_id)));
        device.product = gaps.part("product", path, product.ok_or_else(|| missing(&ids)));
    }
}

/// The device's folder in a path of the kernel's tree, for example `1-6` in `.../usb1/1-6/1-6:1.0/tty/ttyACM0`.
pub fn device_in(path: &str) -> Option<&str> {
    path.split('/').rev().find(|part| {
        part.split_once('-').is_some_and(|(bus, ports)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits(bus) && ports.split('.').all(digits)
        })
    })
}

/// The interface's folder in a path of the kernel's tree, for example `1-6:1.0`.
pub fn interface_in(path: &str) -> Option<&str> {
    let device = device_in(path)?;
    path.split('/').rev().find(|part| {
        part.strip_prefix(device)
            .is_some_and(|rest| rest.starts_with(':'))
    })
}
