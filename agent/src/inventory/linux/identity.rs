//! Who this machine is: firmware serials and UUID, the installation's id, the host's name.

use chasqui_proto::v1;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use super::firmware::Firmware;
use super::placeholder;
use super::smbios::kind;

/// Names this use of the machine id, so that its hash is of no use to anybody else.
const MACHINE_ID_USE: &[u8] = b"chasqui inventory machine id v1";
const MACHINE_ID: &str = "/etc/machine-id";
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
const HOSTS: &str = "/etc/hosts";

/// Makes the identity section.
#[derive(Clone, Copy, Debug)]
pub struct Identity;

impl Collector for Identity {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Identity
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let firmware = Firmware::read(source);
        let serial = firmware.text(kind::SYSTEM, 0x07, "product_serial");
        let (tree, tree_serial) = firmware.tree("serial-number");
        let serials = serial
            .into_iter()
            .chain([(tree, placeholder::refuse(tree_serial))]);
        let host_name = host_name(source, &mut notes);
        let facts = v1::IdentityFacts {
            smbios_uuid: notes.first("smbios_uuid", firmware.uuid()),
            system_serial: notes.first("system_serial", serials),
            board_serial: notes.first(
                "board_serial",
                firmware.text(kind::BOARD, 0x07, "board_serial"),
            ),
            chassis_serial: notes.first(
                "chassis_serial",
                firmware.text(kind::CHASSIS, 0x07, "chassis_serial"),
            ),
            asset_tag: notes.first(
                "asset_tag",
                firmware.text(kind::CHASSIS, 0x08, "chassis_asset_tag"),
            ),
            machine_id_sha256: notes.take("machine_id_sha256", MACHINE_ID, machine_id(source)),
            domain_name: domain_name(source, host_name.as_deref(), &mut notes),
            host_name: host_name.map(|name| first_label(&name).to_owned()),
        };
        if let Some(fault) = firmware.table.ok().and_then(|table| table.fault()) {
            notes.unread("smbios", fault);
        }
        Observation::new(Facts::Identity(facts), notes)
    }
}

/// The machine id under a key of our own, as machine-id(5) asks: HMAC-SHA-256 with the id as the key.
fn machine_id(source: &Source) -> Result<String, Unreadable> {
    let text = source.line(MACHINE_ID)?;
    if text == "uninitialized" {
        return Err(Unreadable::placeholder(format!("{MACHINE_ID}: {text}")));
    }
    let id = uuid::Uuid::try_parse(&text)
        .ok()
        .filter(|_| text.len() == 32)
        .ok_or_else(|| Unreadable::malformed(format!("{MACHINE_ID}: not 32 hex digits")))?;
    if id.is_nil() {
        return Err(Unreadable::placeholder(format!("{MACHINE_ID}: all zeroes")));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(id.as_bytes())
        .map_err(|_| Unreadable::malformed(format!("{MACHINE_ID}: no key")))?;
    mac.update(MACHINE_ID_USE);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

fn host_name(source: &Source, notes: &mut Notes) -> Option<String> {
    let named = |path: &'static str| {
        let read = source.line(path).and_then(|name| {
            if matches!(
                name.as_str(),
                "localhost" | "(none)" | "localhost.localdomain"
            ) {
                Err(Unreadable::placeholder(format!("{path}: {name}")))
            } else {
                Ok(name)
            }
        });
        (path, read)
    };
    notes.first("host_name", [named(HOST_NAME), named("/etc/hostname")])
}

/// The DNS domain: the rest of the host's own name, or of its full name in the hosts file. The resolver's search list is
/// no source, for it comes with whatever network the machine is in.
fn domain_name(source: &Source, host_name: Option<&str>, notes: &mut Notes) -> Option<String> {
    let Some(host) = host_name else {
        notes.unread("domain_name", Unreadable::no_source("no host name"));
        return None;
    };
    if let Some((_, domain)) = host.split_once('.') {
        notes.from("domain_name", HOST_NAME);
        return bounds::some_text(domain);
    }
    let read = source.text(HOSTS, 1 << 20).and_then(|text| {
        let full = format!("{host}.");
        text.lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(|line| line.split_whitespace().skip(1))
            .find_map(|name| name.strip_prefix(&full).and_then(bounds::some_text))
            .filter(|domain| domain != "localdomain")
            .ok_or_else(|| Unreadable::no_source(format!("{HOSTS}: no full name of {host}")))
    });
    notes.take("domain_name", HOSTS, read)
}

fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
