//! The inventory in the official JSON of GLPI's native protocol, out of the sections alone. What its schema cannot hold
//! (health of disks, TPM, gaps with their reasons, provenance, digests) travels under `content` in keys that begin with
//! `chasqui_`, which GLPI drops and other readers may use.

mod board;
mod machine;
mod parts;

use chasqui_proto::v1::{self, SectionKind, section_facts::Facts};
use chasqui_proto::{facts, v1::Section};
use prost::Message;
use serde_json::{Map, Value};

use super::{Inventory, kind_name};

/// Begins the keys of what the official schema does not hold.
pub const PREFIX: &str = "chasqui_";

/// What `--partial` names: the protocol's category, its sections, and ours that they are made of.
pub struct Category {
    /// As the protocol calls it.
    pub name: &'static str,
    sections: &'static [&'static str],
    kinds: &'static [SectionKind],
}

use SectionKind as Kind;

const fn category(
    name: &'static str,
    sections: &'static [&'static str],
    kinds: &'static [SectionKind],
) -> Category {
    Category {
        name,
        sections,
        kinds,
    }
}

/// Every category that this agent can send.
#[rustfmt::skip]
pub const CATEGORIES: &[Category] = &[
    category("hardware", &["hardware"], &[Kind::Identity, Kind::Hardware]),
    category("bios", &["bios", "firmwares"], &[Kind::Identity, Kind::Hardware, Kind::Firmware]),
    category("os", &["operatingsystem"], &[Kind::OperatingSystem, Kind::Updates]),
    category("cpu", &["cpus"], &[Kind::Cpu]),
    category("memory", &["memories"], &[Kind::Memory]),
    category("network", &["networks"], &[Kind::Network]),
    category("storage", &["storages"], &[Kind::Disks, Kind::DiskHealth]),
    category("drive", &["drives"], &[Kind::Disks, Kind::Storage]),
    category("lvm", &["volume_groups", "physical_volumes", "logical_volumes"], &[Kind::Storage]),
    // The protocol asks for the operating system wherever programs are sent.
    category("software", &["softwares", "operatingsystem"], &[Kind::Software, Kind::OperatingSystem]),
    category("video", &["videos"], &[Kind::Devices]),
    category("controller", &["controllers"], &[Kind::Devices]),
    category("usb", &["usbdevices"], &[Kind::Devices]),
    category("sound", &["sounds"], &[Kind::Devices]),
    category("modem", &["modems"], &[Kind::Devices]),
    category("input", &["inputs"], &[Kind::Devices]),
    category("slot", &["slots"], &[Kind::Slots]),
    category("port", &["ports"], &[Kind::Slots]),
    category("monitor", &["monitors"], &[Kind::Displays]),
    category("battery", &["batteries"], &[Kind::Batteries]),
    category("printer", &["printers"], &[Kind::Printers]),
    category("antivirus", &["antivirus"], &[Kind::Security]),
    category("firewall", &["firewalls"], &[Kind::Security]),
    category("user", &["users", "local_users", "local_groups"], &[Kind::Accounts, Kind::Directory]),
    category("virtualmachine", &["virtualmachines"], &[Kind::Guests]),
    category("remote_mgmt", &["remote_mgmt"], &[Kind::Guests]),
];

/// A category by its name.
pub fn find(name: &str) -> Option<&'static Category> {
    CATEGORIES.iter().find(|category| category.name == name)
}

/// The decoded sections of one inventory.
struct Seen(Vec<Facts>);

macro_rules! sections {
    ($($name:ident: $variant:ident = $facts:ident,)*) => {
        impl Seen {
            $(
                fn $name(&self) -> Option<&v1::$facts> {
                    self.0.iter().find_map(|facts| match facts {
                        Facts::$variant(facts) => Some(facts),
                        _ => None,
                    })
                }
            )*
        }
    };
}
sections! {
    identity: Identity = IdentityFacts,
    hardware: Hardware = HardwareFacts,
    cpu: Cpu = CpuFacts,
    memory: Memory = MemoryFacts,
    disks: Disks = DisksFacts,
    network: Network = NetworkFacts,
    system: OperatingSystem = OperatingSystemFacts,
    software: Software = SoftwareFacts,
    dates: SoftwareDates = SoftwareDatesFacts,
    firmware: Firmware = FirmwareFacts,
    slots: Slots = SlotsFacts,
    storage: Storage = StorageFacts,
    devices: Devices = DevicesFacts,
    displays: Displays = DisplaysFacts,
    batteries: Batteries = BatteriesFacts,
    printers: Printers = PrintersFacts,
    security: Security = SecurityFacts,
    accounts: Accounts = AccountsFacts,
    guests: Guests = GuestsFacts,
    directory: Directory = DirectoryFacts,
}

/// The whole message. `device_id` is the machine's name in the protocol; with categories the message is partial and holds
/// those, and the identity of the machine.
pub fn render_glpi(inventory: &Inventory, device_id: &str, partial: &[&Category]) -> Value {
    // Decoded once: the list of programs alone is most of an inventory.
    let mut seen = Seen(Vec::with_capacity(inventory.sections.len()));
    let mut extensions = Vec::with_capacity(inventory.sections.len());
    for section in &inventory.sections {
        let decoded = v1::SectionFacts::decode(section.facts.clone()).unwrap_or_default();
        extensions.push((section.kind(), extension(section, &decoded)));
        seen.0.extend(decoded.facts);
    }
    let mut content = Content::default();
    machine::fill(&mut content, &seen, &inventory.volatile);
    board::fill(&mut content, &seen);
    parts::fill(&mut content, &seen, &inventory.volatile);
    let mut content = content.0;
    let wanted = |kind: SectionKind| {
        partial.is_empty()
            || matches!(kind, Kind::Identity | Kind::Hardware)
            || partial
                .iter()
                .any(|category| category.kinds.contains(&kind))
    };
    if !partial.is_empty() {
        let always = ["bios", "hardware"];
        content.retain(|key, _| {
            always.contains(&key.as_str())
                || partial
                    .iter()
                    .any(|category| category.sections.contains(&key.as_str()))
        });
        if !content.contains_key("users")
            && let Some(Value::Object(hardware)) = content.get_mut("hardware")
        {
            hardware.remove("lastloggeduser");
            hardware.remove("datelastloggeduser");
        }
    }
    for (kind, shown) in extensions {
        if wanted(kind) {
            content.insert(format!("{PREFIX}{}", kind_name(kind)), shown);
        }
    }
    if partial.is_empty() {
        content.insert(
            format!("{PREFIX}volatile"),
            facts::volatile_json(&inventory.volatile),
        );
    }
    let version = format!("Chasqui-Agent_v{}", env!("CARGO_PKG_VERSION"));
    content.insert("versionclient".to_owned(), version.into());
    let mut message = facts::made([
        ("action", "inventory".into()),
        ("deviceid", device_id.into()),
        ("itemtype", "Computer".into()),
        ("content", content.into()),
    ]);
    if let (Some(message), false) = (message.as_object_mut(), partial.is_empty()) {
        message.insert("partial".to_owned(), true.into());
    }
    message
}

/// A section as our own JSON shows it: facts, gaps, provenance, digest. Programs stand in `softwares` already.
fn extension(section: &Section, facts: &v1::SectionFacts) -> Value {
    let mut shown = match section.kind() {
        Kind::Software => facts::section_json(
            section,
            &v1::SectionFacts {
                facts: None,
                unread: facts.unread.clone(),
            },
        ),
        _ => facts::section_json(section, facts),
    };
    if section.kind() == Kind::Software
        && let Some(shown) = shown.as_object_mut()
    {
        shown.remove("facts");
    }
    shown
}

/// Sections by the protocol's names.
#[derive(Default)]
struct Content(Map<String, Value>);

impl Content {
    /// A list, unless it holds nothing.
    fn list(&mut self, key: &str, items: impl IntoIterator<Item = Fields>) {
        let items: Vec<Value> = items.into_iter().map(|fields| fields.0.into()).collect();
        if !items.is_empty() {
            self.0.insert(key.to_owned(), items.into());
        }
    }

    /// An object, unless it holds nothing.
    fn object(&mut self, key: &str, fields: Fields) {
        if !fields.0.is_empty() {
            self.0.insert(key.to_owned(), fields.0.into());
        }
    }
}

/// Fields of one object: what is not known is not there, for the schema knows no null.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn text(mut self, key: &str, value: impl AsText) -> Self {
        if let Some(text) = value.into_text().filter(|text| !text.is_empty()) {
            self.0.insert(key.to_owned(), text.into());
        }
        self
    }

    fn number(mut self, key: &str, value: Option<u64>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    fn flag(mut self, key: &str, value: Option<bool>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
        self
    }

    fn value(mut self, key: &str, value: Value) -> Self {
        self.0.insert(key.to_owned(), value);
        self
    }
}

trait AsText {
    fn into_text(self) -> Option<String>;
}

impl AsText for &str {
    fn into_text(self) -> Option<String> {
        Some(self.to_owned())
    }
}

impl AsText for &String {
    fn into_text(self) -> Option<String> {
        Some(self.clone())
    }
}

impl AsText for &Option<String> {
    fn into_text(self) -> Option<String> {
        self.clone()
    }
}

impl AsText for Option<String> {
    fn into_text(self) -> Option<String> {
        self
    }
}

impl AsText for Option<&'static str> {
    fn into_text(self) -> Option<String> {
        self.map(str::to_owned)
    }
}

/// Whole mebibytes.
fn mebibytes(bytes: Option<u64>) -> Option<u64> {
    bytes.map(|bytes| bytes >> 20)
}

/// Whole millions of bytes.
fn megabytes(bytes: Option<u64>) -> Option<u64> {
    bytes.map(|bytes| bytes / 1_000_000)
}

/// `YYYY-MM-DD-hh-mm-ss` of a moment, in UTC: this agent carries no time zones, and the text is a name alone.
pub fn stamp(now_ms: i64) -> String {
    machine::moment(now_ms)
        .unwrap_or_default()
        .trim_end_matches('Z')
        .replace([' ', ':'], "-")
}
