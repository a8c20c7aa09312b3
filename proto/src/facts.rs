//! Facts of an inventory section without knowing which one: names of kinds, and one neutral form (JSON, field names as in
//! the API) made by the API's own descriptors, so that a new field shows up in every program without a line of code.
//!
//! In that form an optional field that was not observed is missing, a list is always there, an enumeration's value is its
//! short name (`nvme`; `unspecified` when not observed), and bytes are lower-case hex.

pub mod dates;
pub mod words;

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind};
use prost_reflect::{MessageDescriptor, ReflectMessage, Value as Field};
use serde_json::{Map, Value};

use crate::v1::section_facts::Facts;
use crate::v1::{Section, SectionFacts, SectionKind, UnreadReason, VolatileFacts};

/// Every kind of section, in the order in which inventories list them.
pub const KINDS: [SectionKind; 24] = [
    SectionKind::Identity,
    SectionKind::Hardware,
    SectionKind::Cpu,
    SectionKind::Memory,
    SectionKind::Disks,
    SectionKind::Network,
    SectionKind::OperatingSystem,
    SectionKind::Software,
    SectionKind::Firmware,
    SectionKind::Slots,
    SectionKind::DiskHealth,
    SectionKind::Storage,
    SectionKind::Devices,
    SectionKind::Displays,
    SectionKind::Batteries,
    SectionKind::Printers,
    SectionKind::Security,
    SectionKind::Updates,
    SectionKind::Accounts,
    SectionKind::Services,
    SectionKind::Certificates,
    SectionKind::Directory,
    SectionKind::Guests,
    SectionKind::SoftwareDates,
];

/// The name of a kind in the store, in group names and in JSON: `operating_system`.
pub fn kind_name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Unspecified => "unspecified",
        SectionKind::Identity => "identity",
        SectionKind::Hardware => "hardware",
        SectionKind::Cpu => "cpu",
        SectionKind::Memory => "memory",
        SectionKind::Disks => "disks",
        SectionKind::Network => "network",
        SectionKind::OperatingSystem => "operating_system",
        SectionKind::Software => "software",
        SectionKind::Firmware => "firmware",
        SectionKind::Slots => "slots",
        SectionKind::DiskHealth => "disk_health",
        SectionKind::Storage => "storage",
        SectionKind::Devices => "devices",
        SectionKind::Displays => "displays",
        SectionKind::Batteries => "batteries",
        SectionKind::Printers => "printers",
        SectionKind::Security => "security",
        SectionKind::Updates => "updates",
        SectionKind::Accounts => "accounts",
        SectionKind::Services => "services",
        SectionKind::Certificates => "certificates",
        SectionKind::Directory => "directory",
        SectionKind::Guests => "guests",
        SectionKind::SoftwareDates => "software_dates",
    }
}

/// The kind of a name; `None` for a name of none.
pub fn kind_of_name(name: &str) -> Option<SectionKind> {
    KINDS.into_iter().find(|kind| kind_name(*kind) == name)
}

/// The kind whose facts these are.
pub fn kind_of(facts: &Facts) -> SectionKind {
    match facts {
        Facts::Identity(_) => SectionKind::Identity,
        Facts::Hardware(_) => SectionKind::Hardware,
        Facts::Cpu(_) => SectionKind::Cpu,
        Facts::Memory(_) => SectionKind::Memory,
        Facts::Disks(_) => SectionKind::Disks,
        Facts::Network(_) => SectionKind::Network,
        Facts::OperatingSystem(_) => SectionKind::OperatingSystem,
        Facts::Software(_) => SectionKind::Software,
        Facts::Firmware(_) => SectionKind::Firmware,
        Facts::Slots(_) => SectionKind::Slots,
        Facts::DiskHealth(_) => SectionKind::DiskHealth,
        Facts::Storage(_) => SectionKind::Storage,
        Facts::Devices(_) => SectionKind::Devices,
        Facts::Displays(_) => SectionKind::Displays,
        Facts::Batteries(_) => SectionKind::Batteries,
        Facts::Printers(_) => SectionKind::Printers,
        Facts::Security(_) => SectionKind::Security,
        Facts::Updates(_) => SectionKind::Updates,
        Facts::Accounts(_) => SectionKind::Accounts,
        Facts::Services(_) => SectionKind::Services,
        Facts::Certificates(_) => SectionKind::Certificates,
        Facts::Directory(_) => SectionKind::Directory,
        Facts::Guests(_) => SectionKind::Guests,
        Facts::SoftwareDates(_) => SectionKind::SoftwareDates,
    }
}

/// `permission`: the reason as the API names it, without its prefix.
pub fn reason_name(reason: UnreadReason) -> String {
    short(reason.as_str_name(), "UNREAD_REASON_")
}

/// The facts alone; null when none could be read.
pub fn facts_json(section: &SectionFacts) -> Value {
    let whole = message_json("SectionFacts", &section.encode_to_vec());
    let name = section
        .facts
        .as_ref()
        .map(|facts| kind_name(kind_of(facts)));
    match (whole, name) {
        (Value::Object(mut map), Some(name)) => map.remove(name).unwrap_or_default(),
        _ => Value::Null,
    }
}

/// What could not be read, with the reasons.
pub fn unread_json(section: &SectionFacts) -> Value {
    let unread = section.unread.iter().map(|unread| {
        made([
            ("group", unread.group.as_str().into()),
            ("reason", reason_name(unread.reason()).into()),
            ("detail", unread.detail.as_str().into()),
        ])
    });
    unread.collect()
}

/// A section with everything around its facts. `changed_at_ms` is there only where the coordinator told it.
pub fn section_json(section: &Section, facts: &SectionFacts) -> Value {
    let provenance = section.provenance.iter().map(|entry| {
        made([
            ("group", entry.group.as_str().into()),
            ("source", entry.source.as_str().into()),
        ])
    });
    let mut value = made([
        ("kind", kind_name(section.kind()).into()),
        ("digest", hex(&section.digest).into()),
        ("observed_at_ms", section.observed_at_ms.into()),
        ("collector_version", section.collector_version.into()),
        ("facts", facts_json(facts)),
        ("unread", unread_json(facts)),
        ("provenance", provenance.collect()),
    ]);
    if let (Some(map), true) = (value.as_object_mut(), section.changed_at_ms > 0) {
        map.insert("changed_at_ms".to_owned(), section.changed_at_ms.into());
    }
    value
}

/// An object of values that are taken as they are: the `json!` macro would copy each of them whole.
pub fn made<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields = fields.into_iter();
    Value::Object(
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// What changes by itself.
pub fn volatile_json(volatile: &VolatileFacts) -> Value {
    message_json("VolatileFacts", &volatile.encode_to_vec())
}

/// The descriptor of a message of an inventory, by its short name.
pub fn descriptor(name: &str) -> Option<MessageDescriptor> {
    const FACTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/facts.bin"));
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(FACTS).unwrap_or_default());
    POOL.get_message_by_name(&format!("chasqui.v1.{name}"))
}

fn message_json(name: &str, bytes: &[u8]) -> Value {
    // Both can only fail when the program was built wrong; a test holds them.
    descriptor(name)
        .and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok())
        .map_or(Value::Null, |message| object(&message))
}

fn object(message: &DynamicMessage) -> Value {
    let mut map = Map::new();
    for field in message.descriptor().fields() {
        // Members of a oneof and optional fields are there when they were set; the others always.
        if field.supports_presence() && !message.has_field(&field) {
            continue;
        }
        map.insert(
            field.name().to_owned(),
            value(&field, &message.get_field(&field)),
        );
    }
    Value::Object(map)
}

fn value(of: &FieldDescriptor, field: &Field) -> Value {
    match field {
        Field::Bool(it) => (*it).into(),
        Field::I32(it) => (*it).into(),
        Field::I64(it) => (*it).into(),
        Field::U32(it) => (*it).into(),
        Field::U64(it) => (*it).into(),
        Field::F32(it) => (*it).into(),
        Field::F64(it) => (*it).into(),
        Field::String(it) => it.as_str().into(),
        Field::Bytes(it) => hex(it).into(),
        Field::EnumNumber(number) => match of.kind() {
            Kind::Enum(descriptor) => enum_value(&descriptor, *number),
            _ => (*number).into(),
        },
        Field::Message(message) => object(message),
        Field::List(items) => items.iter().map(|item| value(of, item)).collect(),
        // The facts have no maps: their order would not be stable.
        Field::Map(_) => Value::Null,
    }
}

fn enum_value(descriptor: &EnumDescriptor, number: i32) -> Value {
    match descriptor.get_value(number) {
        Some(known) => short(known.name(), &enum_prefix(descriptor.name())).into(),
        // A newer program's value: said as it came.
        None => number.into(),
    }
}

/// `DISK_KIND_` of `DiskKind`, as the API's style asks.
fn enum_prefix(name: &str) -> String {
    let mut prefix = String::with_capacity(name.len() + 4);
    for (at, ch) in name.chars().enumerate() {
        if ch.is_ascii_uppercase() && at > 0 {
            prefix.push('_');
        }
        prefix.push(ch.to_ascii_uppercase());
    }
    prefix.push('_');
    prefix
}

fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
