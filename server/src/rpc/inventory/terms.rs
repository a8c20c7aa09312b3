//! What a device can be found by, taken out of its sections: serial numbers of parts, addresses, users, printers. What was
//! not observed gives no term.

use std::collections::BTreeSet;

use chasqui_domain::search::fold;
use chasqui_proto::facts::kind_name;
use chasqui_proto::v1::{self, section_facts::Facts};
use chasqui_store::device_term::{self, Term};
use chasqui_store::{StoreError, Tx};

/// Most terms of one section, and most characters of one: a lying machine fills no index.
const MAX_TERMS: usize = 2_000;
const MAX_CHARS: usize = 200;

/// Brings the terms of a device up to date with one of its sections.
pub fn refresh(
    tx: &mut Tx,
    device_id: &str,
    kind: v1::SectionKind,
    facts: Option<&Facts>,
) -> Result<(), StoreError> {
    if !has_terms(kind) {
        return Ok(());
    }
    let mut terms = BTreeSet::new();
    if let Some(facts) = facts {
        gather(facts, &mut |kind, text| {
            let term: String = fold(text).chars().take(MAX_CHARS).collect();
            if !term.is_empty() && terms.len() < MAX_TERMS {
                terms.insert(Term { kind, term });
            }
        });
    }
    let terms: Vec<Term> = terms.into_iter().collect();
    device_term::replace(tx, device_id, kind_name(kind), &terms)
}

/// Sections that have something to be found by.
pub fn has_terms(kind: v1::SectionKind) -> bool {
    use v1::SectionKind as K;
    matches!(
        kind,
        K::Identity
            | K::Memory
            | K::Disks
            | K::Network
            | K::Displays
            | K::Batteries
            | K::Printers
            | K::Accounts
    )
}

fn gather(facts: &Facts, add: &mut dyn FnMut(&'static str, &str)) {
    let mut maybe = |kind: &'static str, text: &Option<String>| {
        if let Some(text) = text {
            add(kind, text);
        }
    };
    match facts {
        Facts::Identity(it) => {
            maybe("smbios_uuid", &it.smbios_uuid);
            maybe("system_serial", &it.system_serial);
            maybe("board_serial", &it.board_serial);
            maybe("chassis_serial", &it.chassis_serial);
            maybe("asset_tag", &it.asset_tag);
            maybe("machine_id", &it.machine_id_sha256);
            maybe("host_name", &it.host_name);
        }
        Facts::Memory(it) => {
            for module in &it.modules {
                maybe("memory_serial", &module.serial);
            }
        }
        Facts::Disks(it) => {
            for disk in &it.disks {
                maybe("disk_serial", &disk.serial);
            }
        }
        Facts::Network(it) => {
            for interface in &it.interfaces {
                // Bridges and tunnels come and go, and many machines share their addresses.
                if interface.r#virtual != Some(true)
                    && interface.r#type.as_deref() != Some("loopback")
                {
                    maybe("mac", &interface.mac);
                    maybe("mac", &interface.permanent_mac);
                }
            }
            for interface in &it.interfaces {
                if interface.r#type.as_deref() == Some("loopback") {
                    continue;
                }
                for address in &interface.addresses {
                    let bare = address.split('/').next().unwrap_or(address);
                    add("ip", bare);
                }
            }
        }
        Facts::Displays(it) => {
            for display in &it.displays {
                maybe("monitor_serial", &display.serial);
            }
        }
        Facts::Batteries(it) => {
            for battery in &it.batteries {
                maybe("battery_serial", &battery.serial);
            }
        }
        Facts::Printers(it) => {
            for printer in &it.printers {
                add("printer", &printer.name);
            }
        }
        Facts::Accounts(it) => {
            for account in &it.accounts {
                // Accounts of people, not of services.
                if account.can_log_in != Some(false) && account.uid >= 1_000 {
                    add("user", &account.login);
                }
            }
        }
        _ => {}
    }
}
