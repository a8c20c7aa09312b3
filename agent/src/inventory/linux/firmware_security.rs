//! The firmware's part in a trusted start: Secure Boot, the TPM, and the firmware of other parts that can be renewed.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::gaps::Gaps;
use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};

const EFI: &str = "/sys/firmware/efi";
const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The namespace of UEFI's own variables.
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const ESRT: &str = "/sys/firmware/efi/esrt/entries";
const MAX_COMPONENTS: usize = 256;
const TPM: &str = "/sys/class/tpm";

/// Makers of TPMs by the letters they are registered with (TCG Vendor ID Registry).
const TPM_MAKERS: &[&str] = &[
    "AMD", "ANT", "ATML", "BRCM", "CSCO", "FLYS", "GOOG", "HISI", "HPE", "HPI", "IBM", "IFX",
    "INTC", "LEN", "NSG", "NSM", "NTC", "NTZ", "QCOM", "ROCC", "SMSC", "SMSN", "SNS", "STM", "TXN",
    "WEC",
];

/// Makes the firmware section.
#[derive(Clone, Copy, Debug)]
pub struct FirmwareSecurity;

impl Collector for FirmwareSecurity {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Firmware
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let secure_boot = notes.take("secure_boot", EFI, secure_boot(source));
        let facts = v1::FirmwareFacts {
            secure_boot: secure_boot.unwrap_or_default().into(),
            tpm: tpm(source, &mut notes),
            components: components(source, &mut notes),
        };
        Observation::new(Facts::Firmware(facts), notes)
    }
}

fn secure_boot(source: &Source) -> Result<v1::SecureBoot, Unreadable> {
    if !source.exists(EFI)? {
        // Only a kernel that shows its firmware can say that this one is not UEFI.
        return if source.exists("/sys/firmware")? {
            Ok(v1::SecureBoot::Unsupported)
        } else {
            Err(Unreadable::no_source("/sys/firmware: not there"))
        };
    }
    let variables = source.list(VARIABLES)?;
    if variables.is_empty() {
        return Err(Unreadable::no_source(format!("{VARIABLES}: not mounted")));
    }
    let flag = |name: &str| {
        let path = format!("{VARIABLES}/{name}-{GLOBAL}");
        let bytes = source.bytes(&path, 64)?;
        // Four bytes of attributes, then the value.
        match bytes.as_slice() {
            [_, _, _, _, value @ (0 | 1)] => Ok(*value == 1),
            _ => Err(Unreadable::malformed(format!(
                "{path}: {} bytes",
                bytes.len()
            ))),
        }
    };
    match flag("SecureBoot") {
        Ok(true) => return Ok(v1::SecureBoot::Enabled),
        Ok(false) => {}
        // Firmware without the feature has none of its variables.
        Err(why) if why.is_no_source() => return Ok(v1::SecureBoot::Unsupported),
        Err(why) => return Err(why),
    }
    match flag("SetupMode") {
        Ok(true) => Ok(v1::SecureBoot::SetupMode),
        Ok(false) => Ok(v1::SecureBoot::Disabled),
        Err(why) => Err(why),
    }
}

fn tpm(source: &Source, notes: &mut Notes) -> Option<v1::Tpm> {
    let names = notes.take("tpm", TPM, source.list(TPM))?;
    // `tpmrm0` is another way to the same chip.
    let Some(name) = names
        .into_iter()
        .find(|name| name.strip_prefix("tpm").is_some_and(is_number))
    else {
        for field in [
            "version",
            "enabled",
            "active",
            "owned",
            "manufacturer",
            "firmware_version",
        ] {
            let why = Unreadable::no_source(format!("{TPM}: no TPM"));
            notes.unread(&format!("tpm.{field}"), why);
        }
        return Some(v1::Tpm {
            present: Some(false),
            ..v1::Tpm::default()
        });
    };
    let folder = format!("{TPM}/{name}");
    // Attributes are with the chip or with its device, by the kernel's age.
    let either = |file: &str| match source.text(&format!("{folder}/{file}"), 4_096) {
        Err(why) if why.is_no_source() => source.text(&format!("{folder}/device/{file}"), 4_096),
        read => read,
    };
    let flag = |file: &str| {
        either(file).and_then(|text| match text.trim() {
            "1" => Ok(true),
            "0" => Ok(false),
            other => Err(Unreadable::malformed(format!(
                "{folder}/{file}: {other:.40}"
            ))),
        })
    };
    let caps = either("caps");
    let capability = |name: &str| {
        let text = caps.as_ref().map_err(Clone::clone)?;
        capability(text, name)
            .ok_or_else(|| Unreadable::malformed(format!("{folder}/caps: no {name}")))
    };
    let version = match either("tpm_version_major") {
        Ok(text) => match text.trim() {
            "1" => Ok("1.2".to_owned()),
            "2" => Ok("2.0".to_owned()),
            other => Err(Unreadable::malformed(format!(
                "{folder}: version {other:.40}"
            ))),
        },
        // Kernels before 5.6 do not say, but only chips of the older kind have a list of capabilities.
        Err(why) if why.is_no_source() => capability("TCG version").map_err(|_| why),
        Err(why) => Err(why),
    };
    let manufacturer = capability("Manufacturer")
        .and_then(|text| letters(&text))
        .or_else(|why| maker_in_acpi(source, &folder).ok_or(why));
    Some(v1::Tpm {
        present: Some(true),
        version: notes.part("tpm.version", version),
        enabled: notes.part("tpm.enabled", flag("enabled")),
        active: notes.part("tpm.active", flag("active")),
        owned: notes.part("tpm.owned", flag("owned")),
        manufacturer: notes.part("tpm.manufacturer", manufacturer),
        firmware_version: notes.part("tpm.firmware_version", capability("Firmware version")),
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A line of `caps`: `Firmware version: 4.32`.
pub fn capability(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| known.trim() == name)?;
    bounds::some_text(value)
}

/// Up to four letters packed in a number: `0x49465800` is `IFX`.
fn letters(hex: &str) -> Result<String, Unreadable> {
    let bytes = hex
        .strip_prefix("0x")
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .map(u32::to_be_bytes)
        .ok_or_else(|| Unreadable::malformed(format!("TPM manufacturer {hex:.40}")))?;
    let text = bounds::clean_bytes(&bytes);
    let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ');
    fits.then_some(text)
        .ok_or_else(|| Unreadable::malformed(format!("TPM manufacturer {hex:.40}")))
}

/// The device's id in the firmware's tables begins with its maker's letters, where it is not the common one.
fn maker_in_acpi(source: &Source, folder: &str) -> Option<String> {
    let device = source.link(&format!("{folder}/device")).ok()?;
    let id = source
        .line(&format!("{folder}/device/firmware_node/hid"))
        .ok();
    let id = id.unwrap_or_else(|| device.rsplit('/').next().unwrap_or_default().to_owned());
    let letters: String = id.chars().take_while(char::is_ascii_uppercase).collect();
    TPM_MAKERS.contains(&letters.as_str()).then_some(letters)
}

fn components(source: &Source, notes: &mut Notes) -> Vec<v1::FirmwareComponent> {
    let names = source.list(ESRT);
    let names = notes.take("components", ESRT, names).unwrap_or_default();
    if names.len() > MAX_COMPONENTS {
        let why = Unreadable::too_large(format!("{ESRT}: over {MAX_COMPONENTS} entries"));
        notes.unread("components", why);
    }
    let mut gaps = Gaps::default();
    let mut components = Vec::new();
    for entry in names.into_iter().take(MAX_COMPONENTS) {
        let folder = format!("{ESRT}/{entry}");
        let class = source.line(&format!("{folder}/fw_class")).and_then(|text| {
            let class = uuid::Uuid::parse_str(&text);
            class.map_err(|_| Unreadable::malformed(format!("{folder}/fw_class: {text:.60}")))
        });
        let name = match class {
            Ok(class) => class.to_string(),
            Err(why) => {
                notes.unread("components", why);
                continue;
            }
        };
        let version = source.number::<u32>(&format!("{folder}/fw_version"));
        let path = format!("{folder}/fw_type");
        let kind = source.number::<u32>(&path).and_then(|kind| match kind {
            1 => Ok("system".to_owned()),
            2 => Ok("device".to_owned()),
            3 => Ok("uefi_driver".to_owned()),
            other => Err(Unreadable::no_source(format!("{path}: {other}"))),
        });
        components.push(v1::FirmwareComponent {
            version: gaps.part("version", &name, version.map(|version| version.to_string())),
            r#type: gaps.part("type", &name, kind),
            name,
        });
    }
    gaps.tell("components", notes);
    components.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_an_older_tpm() {
        let caps = "Manufacturer: 0x49465800\nTCG version: 1.2\nFirmware version: 4.32\n";
        assert_eq!(capability(caps, "TCG version").as_deref(), Some("1.2"));
        assert_eq!(
            letters(&capability(caps, "Manufacturer").unwrap()).unwrap(),
            "IFX"
        );
        for bad in [
            "",
            "0x",
            "0x00000000",
            "0xffffffff",
            "49465800",
            "0x4946580000",
        ] {
            assert!(letters(bad).is_err(), "{bad}");
        }
        for cut in 0..caps.len() {
            capability(&caps[..cut], "Firmware version");
        }
    }
}
