//! What becomes of a value: each function takes the protocol's and answers ours, or nothing where the value says nothing.
//! None of them is the coordinator's own: what it does is held against these.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Object;

pub(super) fn any(_: &Object, _: &Object) -> bool {
    true
}

pub(super) fn has(item: &Object, name: &str) -> bool {
    item.get(name).and_then(text).is_some()
}

pub(super) fn within<'a>(content: &'a Object, section: &str) -> Option<&'a Object> {
    content.get(section)?.as_object()
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        other => other.to_string(),
    }
}

pub(super) fn text(value: &Value) -> Option<Value> {
    let text = plain(value);
    (!text.is_empty() && text != "n/a").then(|| text.into())
}

/// Serial numbers: what a maker left unfilled is none.
pub(super) fn serial(value: &Value) -> Option<Value> {
    let text = plain(value);
    let first = text.chars().next()?;
    let filler = text.chars().all(|c| c == first) || text.starts_with("To Be Filled");
    (!filler).then(|| text.into())
}

pub(super) fn lower(value: &Value) -> Option<Value> {
    text(value).map(|text| plain(&text).to_lowercase().into())
}

pub(super) fn lower_serial(value: &Value) -> Option<Value> {
    serial(value).map(|text| plain(&text).to_lowercase().into())
}

/// `Mini Tower` is `mini_tower`: words alone, without the signs between them.
pub(super) fn words_or_none(value: &Value) -> Option<Value> {
    let plain: String = plain(value)
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '.' {
                c
            } else {
                ' '
            }
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join("_").into())
}

/// The same where `none` says nothing.
pub(super) fn words(value: &Value) -> Option<Value> {
    words_or_none(value).filter(|words| *words != json!("none"))
}

pub(super) fn virtualization(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "Physical" => Some("none".into()),
        _ => words(value),
    }
}

pub(super) fn number(value: &Value) -> Option<Value> {
    plain(value).parse::<u64>().ok().map(Value::from)
}

pub(super) fn positive(value: &Value) -> Option<Value> {
    number(value).filter(|value| *value != json!(0))
}

pub(super) fn leading(value: &Value) -> Option<Value> {
    let text = plain(value);
    let digits = text.split(' ').next()?.to_owned();
    positive(&digits.into())
}

pub(super) fn times(value: &Value, unit: u64) -> Option<Value> {
    Some(plain(value).parse::<u64>().ok()?.checked_mul(unit)?.into())
}

pub(super) fn mebibytes(value: &Value) -> Option<Value> {
    times(value, 1 << 20).filter(|value| *value != json!(0))
}

pub(super) fn mebibytes_or_none(value: &Value) -> Option<Value> {
    times(value, 1 << 20)
}

pub(super) fn megabytes(value: &Value) -> Option<Value> {
    times(value, 1_000_000).filter(|value| *value != json!(0))
}

pub(super) fn megabytes_or_none(value: &Value) -> Option<Value> {
    times(value, 1_000_000)
}

/// `4.19` megabytes.
pub(super) fn decimal_megabytes(value: &Value) -> Option<Value> {
    let text = plain(value);
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{part:0<6}");
    Some(digits.parse::<u64>().ok()?.into())
}

pub(super) fn flag(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "1" | "yes" | "on" => Some(true.into()),
        "0" | "no" | "off" => Some(false.into()),
        _ => None,
    }
}

pub(super) fn up(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "up" => Some(true.into()),
        "down" => Some(false.into()),
        _ => None,
    }
}

pub(super) fn used(value: &Value) -> Option<Value> {
    Some((plain(value) == "used").into())
}

/// The first ten characters, in the order of ISO 8601.
pub(super) fn day(value: &Value) -> Option<Value> {
    let text = plain(value);
    let day = text.get(..10)?;
    match day.split('/').collect::<Vec<_>>().as_slice() {
        // A firmware's month comes first; a program's day does, where it can.
        [date, month, year] if *date > "12" => Some(format!("{year}-{month}-{date}").into()),
        [month, date, year] => Some(format!("{year}-{month}-{date}").into()),
        _ => Some(day.into()),
    }
}

pub(super) fn list(value: &Value) -> Option<Value> {
    let text = plain(value);
    let parts: Vec<&str> = text.split(['/', ',']).filter(|it| !it.is_empty()).collect();
    (!parts.is_empty()).then(|| json!(parts))
}

pub(super) fn members(value: &Value) -> Option<Value> {
    match value {
        Value::Array(_) => Some(value.clone()),
        one => Some(json!([plain(one)])),
    }
}

pub(super) fn family(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "mswin32" | "mswin64" => Some("windows".into()),
        other => Some(other.into()),
    }
}

/// The name that os-release gives a system.
pub(super) fn product(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    Some(text.split(' ').next()?.into())
}

/// `31 (Workstation Edition)`: the version.
pub(super) fn version(value: &Value) -> Option<Value> {
    let text = plain(value);
    Some(text.split(' ').next()?.into())
}

/// Digest of a public key, as ssh-keygen shows it. The key of the project's own document, worked out with that program.
pub(super) fn ssh_key(value: &Value) -> Option<Value> {
    (plain(value) == SSH_KEY).then(|| SSH_DIGEST.into())
}

/// A key that was made for this table alone, and what `ssh-keygen -lf` says of it.
pub(super) const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBTZoLTT3FLaHefvK+5AfTHgr1gWEaRE1qoZXEdVg3b5";
pub(super) const SSH_DIGEST: &str = "SHA256:2pJpXptXu18aXyM5a3MeiSH82eKAvzYBp9+6lB9AiYo";

pub(super) fn slot(value: &Value) -> Option<Value> {
    let text = plain(value);
    Some(if text.matches(':').count() == 1 {
        format!("0000:{text}").into()
    } else {
        text.into()
    })
}

pub(super) fn before_colon(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    Some(text.split(':').next()?.into())
}

pub(super) fn after_colon(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    Some(text.split_once(':')?.1.into())
}

pub(super) fn hexadecimal(value: &Value) -> Option<Value> {
    u32::from_str_radix(&plain(value), 16).ok().map(Value::from)
}

/// Numbers of the USB's standard, decimal as `lsusb` writes them.
pub(super) fn usb_classes(value: &Value) -> Option<Value> {
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

pub(super) fn disk_kind(value: &Value) -> Option<Value> {
    let text = plain(value).to_lowercase();
    ["hdd", "ssd", "nvme", "emmc"]
        .contains(&text.as_str())
        .then(|| text.into())
}

pub(super) fn bus(value: &Value) -> Option<Value> {
    match plain(value).to_lowercase().as_str() {
        "serial-ata" => Some("sata".into()),
        other => Some(other.into()),
    }
}

pub(super) fn mac(value: &Value) -> Option<Value> {
    lower(value).filter(|mac| mac != "00:00:00:00:00:00")
}

pub(super) fn interface_kind(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "aggregate" => Some("bond".into()),
        "local" => Some("loopback".into()),
        _ => text(value),
    }
}

pub(super) fn is_there(_: &Value) -> Option<Value> {
    Some(true.into())
}

pub(super) fn week(value: &Value) -> Option<Value> {
    let text = plain(value);
    positive(&text.split_once('/')?.0.into()).filter(|week| week.as_u64() <= Some(54))
}

pub(super) fn year(value: &Value) -> Option<Value> {
    let text = plain(value);
    positive(&text.rsplit('/').next()?.into()).filter(|year| year.as_u64() >= Some(1990))
}

/// The bytes in hexadecimal.
pub(super) fn edid(value: &Value) -> Option<Value> {
    let text: String = plain(value).split_whitespace().collect();
    let bytes = STANDARD.decode(text).ok()?;
    // Shorter than an EDID is none.
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    (bytes.len() >= 128).then(|| text.into())
}

pub(super) fn small(value: &Value) -> Option<Value> {
    plain(value).parse::<u32>().ok().map(Value::from)
}

/// A number, or the last one of a SID.
pub(super) fn account(value: &Value) -> Option<Value> {
    small(&plain(value).rsplit('-').next()?.into())
}

pub(super) fn package_source(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "deb" => Some("dpkg".into()),
        _ => text(value),
    }
}

pub(super) fn category(value: &Value) -> Option<Value> {
    text(value).filter(|text| text != "Unspecified")
}

pub(super) fn not_optical(item: &Object, _: &Object) -> bool {
    let text = |name: &str| item.get(name).map(plain).unwrap_or_default();
    let kind = format!("{} {}", text("type"), text("description")).to_lowercase();
    !["cd", "dvd", "floppy"]
        .iter()
        .any(|word| kind.contains(word))
}

/// A start of the machine in local time: compared where the document is our own, whose time zone is known.
pub(super) fn boot(value: &Value) -> Option<Value> {
    (plain(value) == "2026-03-04 05:06:07").then(|| json!(1_772_618_767_000_i64))
}

/// The last log-on of the project's own documents, at -0500.
pub(super) fn log_on(value: &Value) -> Option<Value> {
    match plain(value).as_str() {
        "Tue Mar 3 17:45" => Some(json!(1_772_577_900_000_i64)),
        "2026-03-03 22:45:00Z" => Some(json!(1_772_577_900_000_i64)),
        _ => None,
    }
}
