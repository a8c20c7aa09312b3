//! What of an inventory in GLPI's official format must come out again as facts, and where. Two tables, [`KEPT`] and
//! [`LOST`], hold every field of the official schema for computers, each in one of them alone. Pure: it asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

type Object = Map<String, Value>;
/// What a value becomes; nothing where it says nothing.
type Turn = fn(&Value) -> Option<Value>;

/// Fields of one section that come out in one place.
#[derive(Debug)]
struct Kept {
    section: &'static str,
    /// Path of a list (`devices.pci`) of which one item has all of them; of a section (`hardware`) that has them itself.
    base: &'static str,
    /// Of which items, looking at the whole inventory.
    of: fn(&Object, &Object) -> bool,
    /// The protocol's field, ours below the base, what becomes of the value.
    fields: &'static [(&'static str, &'static str, Turn)],
}

fn any(_: &Object, _: &Object) -> bool {
    true
}

fn has(item: &Object, name: &str) -> bool {
    item.get(name).and_then(text).is_some()
}

fn within<'a>(content: &'a Object, section: &str) -> Option<&'a Object> {
    content.get(section)?.as_object()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        other => other.to_string(),
    }
}

fn text(value: &Value) -> Option<Value> {
    let text = plain(value);
    (!text.is_empty() && text != "n/a").then(|| text.into())
}

/// Serial numbers: what a maker left unfilled is none.
fn serial(value: &Value) -> Option<Value> {
    let text = plain(value);
    let first = text.chars().next()?;
    let filler = text.chars().all(|c| c == first) || text.starts_with("To Be Filled");
    (!filler).then(|| text.into())
}

fn lower(value: &Value) -> Option<Value> {
    text(value).map(|text| plain(&text).to_lowercase().into())
}

fn lower_serial(value: &Value) -> Option<Value> {
    serial(value).map(|text| plain(&text).to_lowercase().into())
}

/// `Mini Tower` is `mini_tower`.
fn words(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase().replace([' ', '-', '/'], "_");
    (!text.is_empty() && text != "none").then(|| text.into())
}

/// The same where `none` is a value.
fn words_or_none(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase().replace([' ', '-'], "_");
    Some(text.into())
}

fn virtualization(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "Physical" => Some("none".into()),
        _ => words(value),
    }
}

fn number(value: &Value) -> Option<Value> {
    plain(value).parse::<u64>().ok().map(Value::from)
}

fn positive(value: &Value) -> Option<Value> {
    number(value).filter(|value| *value != json!(0))
}

fn leading(value: &Value) -> Option<Value> {
    let text = plain(value);
    let digits = text.split(' ').next()?.to_owned();
    positive(&digits.into())
}

fn times(value: &Value, unit: u64) -> Option<Value> {
    Some(plain(value).parse::<u64>().ok()?.checked_mul(unit)?.into())
}

fn mebibytes(value: &Value) -> Option<Value> {
    times(value, 1 << 20).filter(|value| *value != json!(0))
}

fn mebibytes_or_none(value: &Value) -> Option<Value> {
    times(value, 1 << 20)
}

fn megabytes(value: &Value) -> Option<Value> {
    times(value, 1_000_000).filter(|value| *value != json!(0))
}

fn megabytes_or_none(value: &Value) -> Option<Value> {
    times(value, 1_000_000)
}

/// `4.19` megabytes.
fn decimal_megabytes(value: &Value) -> Option<Value> {
    let text = plain(value);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{part:0<6}");
    Some(digits.parse::<u64>().ok()?.into())
}

fn flag(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "1" | "yes" | "on" => Some(true.into()),
        "0" | "no" | "off" => Some(false.into()),
        _ => None,
    }
}

fn up(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "up" => Some(true.into()),
        "down" => Some(false.into()),
        _ => None,
    }
}

fn used(value: &Value) -> Option<Value> {
    Some((plain(value) == "used").into())
}

/// The first ten characters, in the order of ISO 8601.
fn day(value: &Value) -> Option<Value> {
    let text = plain(value);
    let day = text.get(..10)?;
    match day.split('/').collect::<Vec<_>>().as_slice() {
        // A firmware's month comes first; a program's day does, where it can.
        [date, month, year] if *date > "12" => Some(format!("{year}-{month}-{date}").into()),
        [month, date, year] => Some(format!("{year}-{month}-{date}").into()),
        _ => Some(day.into()),
    }
}

fn list(value: &Value) -> Option<Value> {
    let text = plain(value);
    let parts: Vec<&str> = text.split(['/', ',']).filter(|it| !it.is_empty()).collect();
    (!parts.is_empty()).then(|| json!(parts))
}

fn members(value: &Value) -> Option<Value> {
    match value {
        Value::Array(_) => Some(value.clone()),
        one => Some(json!([plain(one)])),
    }
}

fn family(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "mswin32" | "mswin64" => Some("windows".into()),
        other => Some(other.into()),
    }
}

/// The name that os-release gives a system.
fn product(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    Some(text.split(' ').next()?.into())
}

/// `31 (Workstation Edition)`: the version.
fn version(value: &Value) -> Option<Value> {
    let text = plain(value);
    Some(text.split(' ').next()?.into())
}

/// Digest of a public key, as ssh-keygen shows it. The key of the project's own document, worked out with that program.
fn ssh_key(value: &Value) -> Option<Value> {
    (plain(value) == SSH_KEY).then(|| SSH_DIGEST.into())
}

/// A key that was made for this table alone, and what `ssh-keygen -lf` says of it.
const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTZoLTT3FLaHefvK+5AfTHgr1gWEaRE1qoZXEdVg3b5";
const SSH_DIGEST: &str = "SHA256:2pJpXptXu18aXyM5a3MeiSH82eKAvzYBp9+6lB9AiYo";

fn slot(value: &Value) -> Option<Value> {
    let text = plain(value);
    Some(if text.matches(':').count() == 1 {
        format!("0000:{text}").into()
    } else {
        text.into()
    })
}

fn before_colon(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    Some(text.split(':').next()?.into())
}

fn after_colon(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    Some(text.split_once(':')?.1.into())
}

fn hexadecimal(value: &Value) -> Option<Value> {
    u32::from_str_radix(&plain(value), 16).ok().map(Value::from)
}

/// Numbers of the USB's standard, decimal as `lsusb` writes them.
fn usb_classes(value: &Value) -> Option<Value> {
    let name = match plain(value).as_str() {
        "1" => "audio",
        "2" => "communications",
        "3" => "hid",
        "7" => "printer",
        "8" => "mass_storage",
        "9" => "hub",
        "10" => "cdc_data",
        "11" => "smart_card",
        "14" => "video",
        "224" => "wireless_controller",
        "255" => "vendor_specific",
        _ => return None,
    };
    Some(json!([name]))
}

fn disk_kind(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    ["hdd", "ssd", "nvme", "emmc"]
        .contains(&text.as_str())
        .then(|| text.into())
}

fn bus(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "serial-ata" => Some("sata".into()),
        other => Some(other.into()),
    }
}

fn mac(value: &Value) -> Option<Value> {
    lower(value).filter(|mac| mac != "00:00:00:00:00:00")
}

fn interface_kind(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "aggregate" => Some("bond".into()),
        "local" => Some("loopback".into()),
        _ => text(value),
    }
}

fn is_there(_: &Value) -> Option<Value> {
    Some(true.into())
}

fn week(value: &Value) -> Option<Value> {
    let text = plain(value);
    positive(&text.split_once('/')?.0.into()).filter(|week| week.as_u64() <= Some(54))
}

fn year(value: &Value) -> Option<Value> {
    let text = plain(value);
    positive(&text.rsplit('/').next()?.into()).filter(|year| year.as_u64() >= Some(1990))
}

/// The bytes in hexadecimal.
fn edid(value: &Value) -> Option<Value> {
    let text: String = plain(value).split_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    // Shorter than an EDID is none.
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes.len() >= 128).then(|| text.into())
}

fn small(value: &Value) -> Option<Value> {
    plain(value).parse::<u32>().ok().map(Value::from)
}

macro_rules! kept {
    ($section:literal => $base:literal, $of:expr, [$($field:literal => $sub:literal $turn:expr,)*]) => {
        Kept { section: $section, base: $base, of: $of, fields: &[$(($field, $sub, $turn),)*] }
    };
}

const KEPT: &[Kept] = &[
    kept!("antivirus" => "security.antivirus", any, [
        "name" => "name" text,
        "company" => "publisher" text,
        "version" => "version" text,
        "enabled" => "enabled" flag,
        "base_creation" => "definitions_date" day,
        "base_version" => "definitions_version" text,
    ]),
    kept!("antivirus" => "security.antivirus", |it, _| !has(it, "name"), ["guid" => "name" text,]),
    kept!("batteries" => "batteries.batteries", any, [
        "name" => "name" text,
        "manufacturer" => "manufacturer" text,
        "serial" => "serial" serial,
        "chemistry" => "technology" lower,
        "capacity" => "design_mwh" positive,
        "real_capacity" => "full_mwh" positive,
        "voltage" => "design_mv" positive,
    ]),
    kept!("bios" => "identity", any, [
        "ssn" => "system_serial" serial,
        "msn" => "board_serial" serial,
        "enclosureserial" => "chassis_serial" serial,
        "assettag" => "asset_tag" serial,
    ]),
    kept!("bios" => "hardware", any, [
        "smanufacturer" => "manufacturer" text,
        "smodel" => "model" text,
        "skunumber" => "sku" text,
        "mmanufacturer" => "board_manufacturer" text,
        "mmodel" => "board_model" text,
        "bmanufacturer" => "firmware_vendor" text,
        "bversion" => "firmware_version" text,
        "bdate" => "firmware_date" day,
    ]),
    kept!("bios" => "firmware", any, ["secure_boot" => "secure_boot" text,]),
    kept!("cameras" => "devices.cameras", any, ["designation" => "name" text,]),
    kept!("cameras" => "devices.cameras", |it, _| !has(it, "designation"), ["model" => "name" text,]),
    kept!("controllers" => "devices.pci", any, [
        "pcislot" => "slot" slot,
        "vendorid" => "vendor_id" lower,
        "productid" => "device_id" lower,
        "pcisubsystemid" => "subsystem_vendor_id" before_colon,
        "pcisubsystemid" => "subsystem_device_id" after_colon,
        "pciclass" => "class_code" lower,
        "type" => "class_name" text,
        "manufacturer" => "vendor" text,
        "name" => "device" text,
        "driver" => "driver" text,
        "rev" => "revision" hexadecimal,
    ]),
    kept!("controllers" => "devices.pci", |it, _| !has(it, "name"), ["caption" => "device" text,]),
    kept!("cpus" => "cpu.cpus", any, [
        "manufacturer" => "vendor" text,
        "name" => "model_name" text,
        "familynumber" => "family" small,
        "model" => "model" small,
        "stepping" => "stepping" small,
        "core" => "cores" small,
        "thread" => "threads" small,
        "speed" => "max_mhz" positive,
    ]),
    kept!("cpus" => "cpu", any, ["arch" => "architecture" text,]),
    kept!("cpus" => "cpu.cpus", |it, _| !has(it, "core"), ["corecount" => "cores" small,]),
    kept!("drives" => "disks.file_systems", any, [
        "type" => "mount_point" text,
        "volumn" => "device" text,
        "filesystem" => "type" text,
        "total" => "size_bytes" mebibytes,
        "label" => "label" text,
        "serial" => "uuid" text,
    ]),
    kept!("drives" => "disks.file_systems", |it, _| !has(it, "type"), ["letter" => "mount_point" text,]),
    kept!("drives" => "volatile.free_space", any, [
        "type" => "mount_point" text,
        "free" => "free_bytes" mebibytes_or_none,
    ]),
    kept!("drives" => "storage.encryptions", |it, _| has(it, "encrypt_name"), [
        "volumn" => "device" text,
        "encrypt_name" => "type" lower,
        "encrypt_algo" => "cipher" text,
        "encrypt_status" => "unlocked" flag,
    ]),
    kept!("drives" => "storage.encryptions", |it, _| !has(it, "encrypt_name"), [
        "encrypt_type" => "type" lower,
    ]),
    kept!("firewalls" => "security.firewalls", any, ["status" => "enabled" flag,]),
    kept!("firewalls" => "security.firewalls", |it, _| has(it, "profile"), ["profile" => "name" text,]),
    kept!("firewalls" => "security.firewalls", |it, _| !has(it, "profile"), [
        "description" => "name" text,
    ]),
    kept!("firmwares" => "firmware.components", any, [
        "name" => "name" text,
        "version" => "version" text,
        "type" => "type" text,
    ]),
    kept!("firmwares" => "firmware.components", |it, _| !has(it, "name"), [
        "description" => "name" text,
    ]),
    kept!("hardware" => "identity", any, [
        "name" => "host_name" text,
        "uuid" => "smbios_uuid" lower_serial,
    ]),
    kept!("hardware" => "identity", |_, all| {
        !within(all, "operatingsystem").is_some_and(|it| has(it, "dns_domain"))
    }, ["workgroup" => "domain_name" text,]),
    kept!("hardware" => "hardware", any, [
        "chassis_type" => "chassis_type" words,
        "vmsystem" => "virtualization" virtualization,
    ]),
    kept!("hardware" => "memory", any, [
        "memory" => "visible_bytes" mebibytes,
        "swap" => "swap_bytes" mebibytes_or_none,
    ]),
    kept!("hardware" => "network", any, [
        "defaultgateway" => "default_gateways" list,
        "dns" => "dns_servers" list,
    ]),
    kept!("hardware" => "volatile.last_log_on", |it, _| has(it, "datelastloggeduser"), [
        "lastloggeduser" => "login" text,
        "datelastloggeduser" => "at_ms" log_on,
    ]),
    kept!("inputs" => "devices.inputs", |it, _| has(it, "name"), ["name" => "name" text,]),
    kept!("inputs" => "devices.inputs", |it, _| !has(it, "name"), ["caption" => "name" text,]),
    kept!("inputs" => "devices.inputs", |it, _| !has(it, "name") && !has(it, "caption"), [
        "description" => "name" text,
    ]),
    kept!("inputs" => "devices.inputs", any, [
        "type" => "type" words,
        "interface" => "bus" words,
    ]),
    kept!("inputs" => "devices.inputs", |it, _| !has(it, "type"), ["pointingtype" => "type" words,]),
    kept!("local_groups" => "accounts.groups", any, [
        "id" => "gid" account,
        "name" => "name" text,
        "members" => "members" members,
    ]),
    kept!("local_users" => "accounts.accounts", any, [
        "id" => "uid" account,
        "login" => "login" text,
        "name" => "full_name" text,
        "home" => "home" text,
        "shell" => "shell" text,
    ]),
    kept!("local_users" => "accounts.accounts", |it, _| !has(it, "login"), ["name" => "login" text,]),
    kept!("logical_volumes" => "storage.volume_groups[].logical_volumes", any, [
        "lv_name" => "name" text,
        "lv_uuid" => "uuid" text,
        "size" => "size_bytes" megabytes,
        "seg_count" => "segments" small,
    ]),
    kept!("memories" => "memory.modules", |it, _| it.get("capacity").and_then(positive).is_some(), [
        "capacity" => "size_bytes" mebibytes,
        "type" => "type" words,
        "speed" => "speed_mts" leading,
        "manufacturer" => "manufacturer" serial,
        "model" => "part_number" text,
        "serialnumber" => "serial" serial,
        "formfactor" => "form_factor" words,
        "numslots" => "slot" text,
    ]),
    kept!("memories" => "memory.modules", |it, _| {
        !has(it, "numslots") && it.get("capacity").and_then(positive).is_some()
    }, ["caption" => "slot" text,]),
    kept!("memories" => "memory", any, ["memorycorrection" => "error_correction" words_or_none,]),
    kept!("modems" => "devices.modems", any, [
        "name" => "name" text,
        "manufacturer" => "manufacturer" text,
    ]),
    kept!("modems" => "devices.modems", |it, _| !has(it, "name"), ["model" => "name" text,]),
    kept!("modems" => "devices.modems", |it, _| !has(it, "name") && !has(it, "model"), [
        "description" => "name" text,
    ]),
    kept!("monitors" => "displays.displays", any, [
        "port" => "connector" text,
        "manufacturer" => "manufacturer" text,
        "name" => "model" text,
        "serial" => "serial" serial,
        "description" => "week" week,
        "description" => "year" year,
        "base64" => "edid" edid,
    ]),
    kept!("monitors" => "displays.displays", |it, _| !has(it, "name"), ["caption" => "model" text,]),
    kept!("networks" => "network.interfaces", any, [
        "description" => "name" text,
        "mac" => "mac" mac,
        "type" => "type" interface_kind,
        "mtu" => "mtu" small,
        "status" => "up" up,
        "speed" => "speed_mbps" leading,
        "driver" => "driver" text,
        "pcislot" => "pci_slot" slot,
        "manufacturer" => "manufacturer" text,
        "model" => "model" text,
        "virtualdev" => "virtual" flag,
        "ipdhcp" => "dhcp_server" text,
        "ipdhcp" => "dhcp" is_there,
        "wifi_ssid" => "ssid" text,
        "slaves" => "members" list,
    ]),
    kept!("operatingsystem" => "operating_system", any, [
        "name" => "product" product,
        "full_name" => "name" text,
        "version" => "version" version,
        "kernel_name" => "family" family,
        "kernel_version" => "kernel" text,
        "arch" => "architecture" text,
        "install_date" => "installed_on" day,
        "ssh_key" => "ssh_host_key" ssh_key,
        "timezone.name" => "time_zone" text,
    ]),
    kept!("operatingsystem" => "identity", any, ["dns_domain" => "domain_name" text,]),
    kept!("operatingsystem" => "volatile", any, ["boot_time" => "booted_at_ms" boot,]),
    kept!("physical_volumes" => "storage.volume_groups[].physical_volumes", any, [
        "device" => "device" text,
        "pv_uuid" => "uuid" text,
        "size" => "size_bytes" megabytes,
    ]),
    kept!("ports" => "slots.ports", any, [
        "name" => "name" text,
        "type" => "type" words_or_none,
        "caption" => "connector" words,
    ]),
    kept!("ports" => "slots.ports", |it, _| !it.get("caption").is_some_and(|it| words(it).is_some()), [
        "description" => "connector" words_or_none,
    ]),
    kept!("ports" => "slots.ports", |it, _| !has(it, "name"), ["caption" => "name" text,]),
    kept!("printers" => "printers.printers", any, [
        "name" => "name" text,
        "description" => "description" text,
        "port" => "uri" text,
        "driver" => "driver" text,
        "shared" => "shared" flag,
        "network" => "network" flag,
        "status" => "state" words,
        "serial" => "serial" serial,
    ]),
    kept!("printers" => "printers.printers", |it, _| !has(it, "description"), [
        "comment" => "description" text,
    ]),
    kept!("remote_mgmt" => "guests.remote_tools", any, [
        "type" => "name" text,
        "id" => "id" text,
        "version" => "version" text,
    ]),
    kept!("slots" => "slots.slots", |it, _| has(it, "status"), [
        "description" => "type" words,
        "status" => "used" used,
    ]),
    kept!("slots" => "slots.slots", |it, _| has(it, "status") && has(it, "designation"), [
        "designation" => "name" text,
    ]),
    kept!("slots" => "slots.slots", |it, _| has(it, "status") && !has(it, "designation"), [
        "name" => "name" text,
    ]),
    kept!("softwares" => "software.items", any, [
        "name" => "name" text,
        "version" => "version" text,
        "arch" => "architecture" text,
        "from" => "source" package_source,
        "publisher" => "publisher" text,
        "filesize" => "size_bytes" positive,
        "system_category" => "category" category,
        "install_date" => "installed_on" day,
    ]),
    kept!("sounds" => "devices.sounds", any, ["manufacturer" => "name" text,]),
    kept!("sounds" => "devices.sounds", |it, _| !has(it, "manufacturer"), ["name" => "name" text,]),
    kept!("storages" => "disks.disks", not_optical, [
        "name" => "name" text,
        "model" => "model" text,
        "serial" => "serial" serial,
        "firmware" => "firmware" text,
        "disksize" => "size_bytes" megabytes,
        "type" => "kind" disk_kind,
        "interface" => "bus" bus,
        "wwn" => "wwn" text,
        "manufacturer" => "manufacturer" text,
    ]),
    kept!("usbdevices" => "devices.usb", any, [
        "vendorid" => "vendor_id" lower,
        "productid" => "product_id" lower,
        "manufacturer" => "vendor" text,
        "serial" => "serial" text,
        "class" => "classes" usb_classes,
    ]),
    kept!("usbdevices" => "devices.usb", |it, _| has(it, "name"), ["name" => "product" text,]),
    kept!("usbdevices" => "devices.usb", |it, _| !has(it, "name"), ["caption" => "product" text,]),
    kept!("users" => "volatile.logged_in", any, [
        "login" => "login" text,
        "domain" => "place" text,
    ]),
    kept!("videos" => "devices.gpus", any, [
        "name" => "model" text,
        "memory" => "memory_bytes" mebibytes,
        "pcislot" => "pci_slot" slot,
    ]),
    kept!("videos" => "devices.gpus", |it, _| !has(it, "name"), ["chipset" => "model" text,]),
    kept!("virtualmachines" => "guests.guests", any, [
        "name" => "name" text,
        "vmtype" => "type" lower,
        "uuid" => "uuid" text,
        "memory" => "memory_bytes" mebibytes,
        "vcpu" => "cpus" positive,
        "image" => "image" text,
    ]),
    kept!("virtualmachines" => "guests.guests", |it, _| !has(it, "vmtype"), [
        "subsystem" => "type" lower,
    ]),
    kept!("volume_groups" => "storage.volume_groups", any, [
        "vg_name" => "name" text,
        "vg_uuid" => "uuid" text,
        "size" => "size_bytes" megabytes,
        "free" => "free_bytes" megabytes_or_none,
        "vg_extent_size" => "extent_bytes" decimal_megabytes,
    ]),
];

/// A number, or the last one of a SID.
fn account(value: &Value) -> Option<Value> {
    small(&plain(value).rsplit('-').next()?.into())
}

fn package_source(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "deb" => Some("dpkg".into()),
        _ => text(value),
    }
}

fn category(value: &Value) -> Option<Value> {
    text(value).filter(|text| text != "Unspecified")
}

fn not_optical(item: &Object, _: &Object) -> bool {
    let text = |name: &str| item.get(name).map(plain).unwrap_or_default();
    let kind = format!("{} {}", text("type"), text("description")).to_lowercase();
    !["cd", "dvd", "floppy"]
        .iter()
        .any(|word| kind.contains(word))
}

/// A start of the machine in local time: compared where the document is our own, whose time zone is known.
fn boot(value: &Value) -> Option<Value> {
    (plain(value) == "2026-03-04 05:06:07").then(|| json!(1_772_618_767_000_i64))
}

/// The last log-on of the project's own documents, at -0500.
fn log_on(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "Tue Mar 3 17:45" => Some(json!(1_772_577_900_000_i64)),
        "2026-03-03 22:45:00Z" => Some(json!(1_772_577_900_000_i64)),
        _ => None,
    }
}

/// Section, fields (`*`: the whole section), why nothing becomes of them.
#[rustfmt::skip]
const LOST: &[(&str, &[&str], &str)] = &[
    ("accesslog", &["*"], "it is the log of the agent itself"),
    ("databases_services", &["*"], "no fact of ours holds databases"),
    ("envs", &["*"], "environments hold secrets"),
    ("error", &["*"], "it belongs to other item types"),
    ("licenseinfos", &["*"], "licence keys are secrets"),
    ("processes", &["*"], "command lines hold secrets: their number is kept"),
    ("versionprovider", &["*"], "it describes the agent's own program"),
    ("versionclient", &["*"], "it is the source of every fact and the agent's version, not a fact"),
    ("powersupplies", &["*"], "no fact of ours holds power supplies"),
    ("sensors", &["*"], "no fact of ours holds the sensors of phones"),
    ("simcards", &["*"], "they belong to phones"),
    ("network_ports", &["*"], "they belong to network equipment"),
    ("network_components", &["*"], "they belong to network equipment"),
    ("network_device", &["*"], "it belongs to network equipment"),
    ("pagecounters", &["*"], "they belong to printers"),
    ("cartridges", &["*"], "they belong to printers"),
    ("consumables", &["*"], "they belong to printers"),
    ("jobid", &["*"], "it names a task of the server"),
    ("antivirus", &["uptodate", "expiration"], "the date and version of the definitions say it"),
    ("batteries", &["date"], "no fact of ours holds a battery's day of manufacture"),
    ("bios", &["biosserial"], "it repeats the system's serial number"),
    ("cameras", &["resolution", "lensfacing", "flashunit", "imageformats", "orientation", "focallength", "sensorsize",
        "manufacturer", "resolutionvideo", "supports"], "cameras are a name here"),
    ("controllers", &["model", "serial"], "neither stands on the bus: only some servers' cards have them"),
    ("cpus", &["description", "external_clock", "familyname", "id", "serial", "cache"],
        "family, model and stepping are kept as numbers; processors have no serial numbers"),
    ("drives", &["description", "systemdrive", "createdate"], "no fact of ours holds it"),
    ("firewalls", &["ipaddress", "ipaddress6"], "addresses are the network's"),
    ("firmwares", &["date", "manufacturer"], "no fact of ours holds it"),
    ("hardware", &["type", "description", "winprodid", "winowner", "winprodkey", "wincompany", "winlang"],
        "keys are secrets, the rest repeats other fields"),
    ("inputs", &["manufacturer", "layout"], "no fact of ours holds it"),
    ("logical_volumes", &["attr", "vg_uuid", "vg_name"], "the volume stands in its group"),
    ("memories", &["description", "purpose", "removable"], "no fact of ours holds it"),
    ("modems", &["type", "serial", "imei"], "modems are a name here"),
    ("monitors", &["altserial", "uuencode", "type"], "the EDID itself is kept"),
    ("networks", &["management", "ipgateway", "pciid", "pnpdeviceid", "wwn", "firmware", "base", "wifi_bssid",
        "wifi_mode", "wifi_version"], "the gateway is the machine's; the rest no fact of ours holds"),
    ("networks", &["ipsubnet", "ipsubnet6"], "they follow from address and mask"),
    ("operatingsystem", &["fqdn"], "it is host name and domain"),
    ("operatingsystem", &["hostid"], "it is made of an address or random: it names no machine"),
    ("operatingsystem", &["service_pack"], "systems that have one are no longer supported"),
    ("operatingsystem", &["timezone.offset"], "it moves with the season: the zone's name is kept"),
    ("physical_volumes", &["attr", "format", "free", "pe_size", "pv_pe_count", "vg_uuid"],
        "the volume stands in its group, which has free space and extent"),
    ("printers", &["printprocessor", "resolution", "errstatus", "servername", "sharename"], "no fact of ours holds it"),
    ("softwares", &["guid"], "it is the name where there is none, and the schema asks for a name"),
    ("softwares", &["comments", "uninstall_string", "url_info_about", "folder", "helplink", "no_remove", "release_type",
        "version_minor", "version_major", "username", "userid"], "programs are known by name, version and publisher"),
    ("sounds", &["caption", "description"], "sound cards are a name here"),
    ("storages", &["description"], "it is the bus where `interface` is missing"),
    ("storages", &["scsi_coid", "scsi_lun", "scsi_unid", "scsi_chid"], "the place on the bus changes from start to start"),
    ("storages", &["encrypt_name", "encrypt_algo", "encrypt_status", "encrypt_type"], "encryption stands at the file system"),
    ("usbdevices", &["subclass"], "the class says what it is"),
    ("videos", &["resolution"], "it is the monitor's"),
    ("virtualmachines", &["ipaddress", "operatingsystem", "status", "mac", "comment", "owner", "serial"],
        "the guest tells its own facts when it has an agent"),
    ("volume_groups", &["attr", "lv_count", "pv_count"], "the volumes are listed"),
];

/// What older agents send beside the official format, which knows no such field.
#[rustfmt::skip]
const LEGACY: &[(&str, &[&str], &str)] = &[
    ("accountinfo", &["*"], "its tag is the device's, not a fact"),
    ("registry", &["*"], "values of a person's choice"),
    ("rudder", &["*"], "it belongs to another program"),
    ("userslist", &["*"], "it repeats the users"),
    ("hardware", &["archname", "checksum", "etime", "ipaddr", "lastdate", "oscomments", "osname", "osversion", "processorn",
        "processors", "processort", "userdomain", "userid", "versionclient"], "it repeats other sections"),
    ("bios", &["type"], "it repeats the hardware's"),
    ("controllers", &["description", "version"], "the official format dropped it"),
    ("cpus", &["type"], "the official format dropped it"),
    ("drives", &["numfiles"], "the official format dropped it"),
    ("storages", &["serialnumber"], "an older name, beside the present one"),
    ("operatingsystem", &["boot_date"], "an older name of no format's: nobody sends it now"),
    ("softwares", &["filename", "source", "language", "is64bit", "releasetype"], "the official format dropped it"),
    ("virtualmachines", &["vmid"], "the official format dropped it"),
    ("videos", &["pciid"], "the official format dropped it"),
];

/// Fields that are compared by a rule of their own: addresses with their masks ([`addresses`]).
const ADDRESSES: &[&str] = &["ipaddress", "ipmask", "ipaddress6", "ipmask6"];

/// Where a field of the schema stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It comes out as a fact.
    Kept,
    /// It does not, and there is a reason.
    Lost,
    /// Nobody thought of it.
    Nowhere,
    /// In both tables.
    Both,
}

/// Where `section.field` stands.
pub fn place(section: &str, field: &str) -> Place {
    let kept = section == "networks" && ADDRESSES.contains(&field)
        || KEPT.iter().any(|kept| {
            kept.section == section && kept.fields.iter().any(|(name, ..)| *name == field)
        });
    let lost = LOST.iter().chain(LEGACY).any(|(of, fields, _)| {
        *of == section && fields.iter().any(|name| *name == field || *name == "*")
    });
    match (kept, lost) {
        (true, true) => Place::Both,
        (true, false) => Place::Kept,
        (false, true) => Place::Lost,
        (false, false) => Place::Nowhere,
    }
}

/// Every field that [`KEPT`] names: a document of our own has each of them.
pub fn kept_fields() -> BTreeSet<(&'static str, &'static str)> {
    let named = KEPT
        .iter()
        .flat_map(|kept| kept.fields.iter().map(|(name, ..)| (kept.section, *name)));
    named
        .chain(ADDRESSES.iter().map(|name| ("networks", *name)))
        .collect()
}

/// What came of a document.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Fields that went in and did not come out as they should, or that stand in no table.
    pub wrong: Vec<String>,
    /// Fields that came out.
    pub out: BTreeSet<(String, String)>,
    /// Values compared.
    pub compared: usize,
}

/// Holds an inventory's content against the facts that are shown: sections by name, and `volatile`.
pub fn check(content: &Object, shown: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    for (section, value) in content {
        let items: Vec<&Object> = match value {
            Value::Array(list) => list.iter().filter_map(Value::as_object).collect(),
            Value::Object(one) => vec![one],
            _ => Vec::new(),
        };
        for item in items {
            item_out(section, item, content, shown, &mut outcome);
        }
    }
    addresses(content, shown, &mut outcome);
    outcome
}

fn item_out(section: &str, item: &Object, content: &Object, shown: &Value, outcome: &mut Outcome) {
    for field in names(item) {
        match place(section, &field) {
            Place::Nowhere => outcome
                .wrong
                .push(format!("{section}.{field} stands in no table")),
            Place::Both => outcome
                .wrong
                .push(format!("{section}.{field} stands in both tables")),
            Place::Kept | Place::Lost => {}
        }
    }
    // All fields that come out in one place do so in one item of it.
    let mut wanted: BTreeMap<&str, Vec<(&str, &str, Value)>> = BTreeMap::new();
    for kept in KEPT {
        if kept.section != section || !(kept.of)(item, content) {
            continue;
        }
        for (field, sub, turn) in kept.fields {
            if let Some(value) = at(item, field).and_then(turn) {
                wanted
                    .entry(kept.base)
                    .or_default()
                    .push((field, sub, value));
            }
        }
    }
    for (base, fields) in wanted {
        outcome.compared += fields.len();
        let candidates = walk(shown, base);
        let missing = |candidate: &&Value| {
            let differs = fields
                .iter()
                .filter(|(_, sub, value)| candidate.get(sub) != Some(value));
            differs.collect::<Vec<_>>()
        };
        let best = candidates
            .iter()
            .min_by_key(|candidate| missing(candidate).len());
        let left = best.map_or_else(|| fields.iter().collect(), missing);
        for (field, sub, value) in &left {
            let there = best.and_then(|best| best.get(sub));
            outcome.wrong.push(format!(
                "{section}.{field}: {value} is not {base}.{sub}, where {} is",
                there.map_or("nothing".to_owned(), ToString::to_string)
            ));
        }
        for (field, ..) in fields.iter().filter(|it| !left.contains(it)) {
            outcome
                .out
                .insert((section.to_owned(), (*field).to_owned()));
        }
    }
}

/// Names of an object's fields, with those below as `timezone.name`.
fn names(item: &Object) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in item {
        match value {
            Value::Object(inner) if name == "timezone" => {
                names.extend(inner.keys().map(|inner| format!("{name}.{inner}")));
            }
            _ => names.push(name.clone()),
        }
    }
    names
}

fn at<'a>(item: &'a Object, field: &str) -> Option<&'a Value> {
    match field.split_once('.') {
        Some((outer, inner)) => item.get(outer)?.get(inner),
        None => item.get(field),
    }
}

/// The items below a path: of a list each, of an object itself.
fn walk<'a>(shown: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![shown];
    for name in path.split('.') {
        let name = name.trim_end_matches("[]");
        found = found
            .into_iter()
            .filter_map(|value| value.get(name))
            .flat_map(|value| match value {
                Value::Array(list) => list.iter().collect(),
                one => vec![one],
            })
            .collect();
    }
    found
}

/// Each address stands at its interface, with the width that its mask says.
fn addresses(content: &Object, shown: &Value, outcome: &mut Outcome) {
    let list = content.get("networks").and_then(Value::as_array);
    for item in list.into_iter().flatten().filter_map(Value::as_object) {
        let text = |name: &str| item.get(name).map(plain).unwrap_or_default();
        for (address, mask) in [("ipaddress", "ipmask"), ("ipaddress6", "ipmask6")] {
            if text(address).is_empty() {
                continue;
            }
            let wanted = match width(&text(mask)) {
                Some(width) => format!("{}/{width}", text(address)),
                None => text(address),
            };
            outcome.compared += 1;
            let there = walk(shown, "network.interfaces").into_iter().any(|it| {
                let addresses = it["addresses"].as_array();
                it["name"] == json!(text("description"))
                    && addresses.is_some_and(|all| all.contains(&json!(wanted)))
            });
            if there {
                outcome
                    .out
                    .insert(("networks".to_owned(), address.to_owned()));
                if wanted.contains('/') {
                    outcome.out.insert(("networks".to_owned(), mask.to_owned()));
                }
            } else {
                let name = text("description");
                outcome
                    .wrong
                    .push(format!("networks.{address}: {wanted} is not at {name}"));
            }
        }
    }
}

/// Number of ones of a mask that has no holes.
fn width(mask: &str) -> Option<u32> {
    let bytes = match mask.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(four) => four.octets().to_vec(),
        std::net::IpAddr::V6(six) => six.octets().to_vec(),
    };
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let ones = bits.trim_end_matches('0');
    (!ones.contains('0')).then(|| u32::try_from(ones.len()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn went_in() -> Object {
        let content = json!({
            "bios": {"ssn": "7XK2P13", "smodel": "Latitude"},
            "memories": [
                {"capacity": 4096, "numslots": 1, "serialnumber": "A1"},
                {"capacity": 8192, "numslots": 2, "serialnumber": "0000"},
            ],
            "networks": [{"description": "eth0", "ipaddress": "192.0.2.4", "ipmask": "255.255.255.0"}],
        });
        content.as_object().unwrap().clone()
    }

    fn came_out() -> Value {
        json!({
            "identity": {"system_serial": "7XK2P13"},
            "hardware": {"model": "Latitude"},
            "memory": {"modules": [
                {"slot": "1", "size_bytes": 4_294_967_296_u64, "serial": "A1"},
                {"slot": "2", "size_bytes": 8_589_934_592_u64},
            ]},
            "network": {"interfaces": [{"name": "eth0", "addresses": ["192.0.2.4/24"]}]},
        })
    }

    #[test]
    fn what_came_out_as_it_went_in_is_right() {
        let outcome = check(&went_in(), &came_out());
        assert!(outcome.wrong.is_empty(), "{:?}", outcome.wrong);
        assert_eq!(outcome.compared, 9);
        assert!(
            outcome
                .out
                .contains(&("bios".to_owned(), "smodel".to_owned()))
        );
        // A filler is no serial number: nothing of it is asked for, nor counted as kept.
        let mut alone = went_in();
        alone["memories"].as_array_mut().unwrap().remove(0);
        let outcome = check(&alone, &came_out());
        let serial = ("memories".to_owned(), "serialnumber".to_owned());
        assert!(outcome.wrong.is_empty() && !outcome.out.contains(&serial));
    }

    #[test]
    fn what_was_lost_altered_or_mixed_up_is_found() {
        let wrong = |change: fn(&mut Value)| {
            let mut shown = came_out();
            change(&mut shown);
            check(&went_in(), &shown).wrong
        };
        let cases: [(fn(&mut Value), &str); 6] = [
            (|it| it["hardware"] = json!({}), "bios.smodel"),
            (
                |it| it["identity"]["system_serial"] = "7XK2P14".into(),
                "bios.ssn",
            ),
            (|it| it["identity"] = Value::Null, "bios.ssn"),
            (
                |it| it["memory"]["modules"][0]["size_bytes"] = 1.into(),
                "memories.capacity",
            ),
            (
                |it| it["network"]["interfaces"][0]["name"] = "eth1".into(),
                "networks.description",
            ),
            (
                |it| it["network"]["interfaces"][0]["addresses"] = json!(["192.0.2.4/8"]),
                "networks.ipaddress",
            ),
        ];
        for (change, wanted) in cases {
            let wrong = wrong(change);
            assert!(
                wrong.iter().any(|line| line.starts_with(wanted)),
                "{wanted}: {wrong:?}"
            );
        }
        // Each value is there, but not in one module.
        let mixed = wrong(|it| {
            it["memory"]["modules"][0]["slot"] = "2".into();
            it["memory"]["modules"][1]["slot"] = "1".into();
        });
        assert!(!mixed.is_empty());
    }

    #[test]
    fn a_field_that_stands_in_no_table_is_found() {
        let mut content = went_in();
        content["bios"]["colour"] = "black".into();
        let wrong = check(&content, &came_out()).wrong;
        assert_eq!(wrong, ["bios.colour stands in no table"]);
    }

    #[test]
    fn no_field_stands_in_both_tables() {
        for (section, field) in kept_fields() {
            assert_eq!(place(section, field), Place::Kept, "{section}.{field}");
        }
    }
}
