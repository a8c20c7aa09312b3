//! Looks whether a device that reported is a machine known before, and keeps the proposals for people up to date. The rule
//! is [`chasqui_domain::device_match`]; nothing is merged here.

use std::collections::BTreeSet;

use chasqui_base::clock::{DAY_MS, MINUTE_MS, new_id};
use chasqui_domain::device_match::{
    Address, Candidate, Kind, Machine, Outcome, Verdict, compare, decide, lookups,
};
use chasqui_domain::ids::DeviceId;
use chasqui_domain::search::fold;
use chasqui_proto::v1::{self, section_facts::Facts};
use chasqui_store::device::{self, State as DeviceState};
use chasqui_store::device_match::{self as store, Match, State};
use chasqui_store::{StoreError, Tx, device_term, inventory};
use prost::Message;
use serde_json::json;

use super::append;
use crate::context::Context;
use crate::error::Failure;
use crate::rpc::check;
use crate::rpc::ticket::SYSTEM;

/// Devices looked up by one term, and compared in all: a placeholder nobody knows yet is on every machine.
const MOST_BY_TERM: u32 = 20;
const MOST_COMPARED: usize = 50;
/// When to look again at a pair that is told apart only by being alive: a stream that broke off looks alive for a while.
const AGAIN_AFTER_MS: i64 = 15 * MINUTE_MS;
const AGAIN_FOR_MS: i64 = DAY_MS;
/// Drivers of network adapters on USB.
const USB_DRIVERS: &[&str] = &[
    "r8152",
    "r8153_ecm",
    "ax88179_178a",
    "asix",
    "cdc_ether",
    "cdc_ncm",
    "cdc_mbim",
    "smsc75xx",
    "smsc95xx",
    "rndis_host",
    "usbnet",
    "aqc111",
    "dm9601",
    "lan78xx",
    "ipheth",
    "qmi_wwan",
];

/// Notes that a device showed something that may identify it.
pub fn look_again(tx: &mut Tx, device_id: &str, now_ms: i64) -> Result<(), Failure> {
    Ok(store::set_due(tx, device_id, Some(now_ms))?)
}

/// Compares a device with those that share something with it, and writes the proposals.
pub fn look_at_due(
    ctx: &Context,
    tx: &mut Tx,
    device_id: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    store::set_due(tx, device_id, None)?;
    let Some(row) = device::get(tx, device_id)? else {
        return Ok(());
    };
    if row.state == DeviceState::Retired {
        return Ok(());
    }
    let machine = machine(ctx, tx, &row)?;
    let known = candidates(ctx, tx, &machine)?;
    let verdict = decide(&machine, &known);
    let only = matches!(verdict, Verdict::Same(_));
    let possible = match verdict {
        Verdict::Different { candidates } => {
            if candidates.iter().any(told_apart_by_life)
                && now_ms.saturating_sub(row.enrolled_at_ms) < AGAIN_FOR_MS
            {
                store::set_due(tx, device_id, Some(now_ms.saturating_add(AGAIN_AFTER_MS)))?;
            }
            Vec::new()
        }
        Verdict::Same(candidate) => vec![candidate],
        Verdict::Ambiguous { candidates } => candidates,
    };
    for candidate in &possible {
        let Some(other) = known.iter().find(|one| one.id == candidate.id) else {
            continue;
        };
        propose(tx, &machine, other, candidate, only, now_ms)?;
    }
    withdraw(ctx, tx, &machine, &possible, now_ms)
}

fn told_apart_by_life(candidate: &Candidate) -> bool {
    candidate.comparison.kind == Kind::AliveAtOnce
}

/// Later enrolled first: that one goes on after a merge.
fn in_order<'a>(one: &'a Machine, two: &'a Machine) -> (&'a Machine, &'a Machine) {
    if (one.enrolled_at_ms, &one.id) > (two.enrolled_at_ms, &two.id) {
        (one, two)
    } else {
        (two, one)
    }
}

fn propose(
    tx: &mut Tx,
    one: &Machine,
    two: &Machine,
    candidate: &Candidate,
    only: bool,
    now_ms: i64,
) -> Result<(), Failure> {
    let (later, earlier) = in_order(one, two);
    let findings: Vec<_> = candidate
        .comparison
        .findings
        .iter()
        .map(|finding| {
            json!({
                "code": finding.code,
                "weight": finding.weight,
                "es": finding.text.es,
                "en": finding.text.en,
            })
        })
        .collect();
    let new = Match {
        id: new_id().to_string(),
        device_id: later.id.clone(),
        other_id: earlier.id.clone(),
        certain: only && candidate.comparison.outcome == Outcome::Same,
        kind: candidate.comparison.kind.as_str().to_owned(),
        findings: serde_json::Value::from(findings).to_string(),
        state: State::Open,
        proposed_at_ms: now_ms,
        resolved_at_ms: None,
        resolved_by: None,
        reason: String::new(),
    };
    let id = match store::of_pair(tx, &later.id, &earlier.id)? {
        // People have decided.
        Some(known) if matches!(known.state, State::Merged | State::Apart) => return Ok(()),
        Some(known) => {
            let open = known.state == State::Open;
            store::update(
                tx,
                &Match {
                    id: known.id.clone(),
                    ..new.clone()
                },
            )?;
            if open {
                return Ok(());
            }
            known.id
        }
        None => {
            store::insert(tx, &new)?;
            new.id.clone()
        }
    };
    let verdict = if new.certain { "same" } else { "ambiguous" };
    let data = json!({"match": id, "other": new.other_id, "verdict": verdict, "kind": new.kind});
    happened(tx, &later.id, "device.match_proposed", data, now_ms)
}

/// Ends open proposals that the evidence no longer bears.
fn withdraw(
    ctx: &Context,
    tx: &mut Tx,
    machine: &Machine,
    possible: &[Candidate],
    now_ms: i64,
) -> Result<(), Failure> {
    for open in store::open_of(tx, &machine.id)? {
        let other_id = if open.device_id == machine.id {
            &open.other_id
        } else {
            &open.device_id
        };
        if possible.iter().any(|candidate| candidate.id == *other_id) {
            continue;
        }
        let other = match device::get(tx, other_id)? {
            Some(row) if row.state != DeviceState::Retired => self::machine(ctx, tx, &row)?,
            _ => Machine::default(),
        };
        // Not among the candidates for want of room is no evidence.
        if compare(machine, &other).outcome != Outcome::Different {
            continue;
        }
        store::update(
            tx,
            &Match {
                state: State::Withdrawn,
                ..open.clone()
            },
        )?;
        let data = json!({"match": open.id, "other": open.other_id});
        happened(tx, &open.device_id, "device.match_withdrawn", data, now_ms)?;
    }
    Ok(())
}

fn happened(
    tx: &mut Tx,
    device_id: &str,
    kind: &str,
    data: serde_json::Value,
    now_ms: i64,
) -> Result<(), Failure> {
    let id: DeviceId = check::id("device_id", device_id)?;
    append(tx, id, kind, SYSTEM, now_ms, None, data, None)
}

fn candidates(ctx: &Context, tx: &mut Tx, machine: &Machine) -> Result<Vec<Machine>, Failure> {
    let mut ids = BTreeSet::new();
    for (kind, term) in lookups(machine) {
        for id in device_term::devices(tx, kind, &fold(&term), MOST_BY_TERM)? {
            if id != machine.id && ids.len() < MOST_COMPARED {
                ids.insert(id);
            }
        }
    }
    let mut known = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(row) = device::get(tx, &id)?.filter(|row| row.state != DeviceState::Retired) {
            known.push(self::machine(ctx, tx, &row)?);
        }
    }
    Ok(known)
}

/// What is known of a device, for the comparison.
pub fn machine(ctx: &Context, tx: &mut Tx, row: &device::Device) -> Result<Machine, StoreError> {
    let id: Option<DeviceId> = row.id.parse().ok();
    let heard_at_ms = id.and_then(|id| ctx.fleet.last_seen_ms(id));
    let mut machine = Machine {
        id: row.id.clone(),
        host_name: row.host_name.clone(),
        enrolled_at_ms: row.enrolled_at_ms,
        last_seen_at_ms: row.last_seen_at_ms.max(heard_at_ms),
        connected: id.is_some_and(|id| ctx.fleet.is_connected(id)),
        ..Machine::default()
    };
    for (kind, digest) in inventory::current(tx, &row.id)? {
        if !matches!(kind.as_str(), "identity" | "hardware" | "disks" | "network") {
            continue;
        }
        let content = inventory::content(tx, &kind, &digest)?;
        let facts = content.and_then(|bytes| v1::SectionFacts::decode(bytes.as_slice()).ok());
        match facts.and_then(|facts| facts.facts) {
            Some(Facts::Identity(it)) => {
                machine.smbios_uuid = it.smbios_uuid;
                machine.system_serial = it.system_serial;
                machine.board_serial = it.board_serial;
                machine.chassis_serial = it.chassis_serial;
                machine.machine_id = it.machine_id_sha256;
            }
            Some(Facts::Hardware(it)) => {
                machine.is_virtual = it.virtualization.map(|kind| kind != "none");
                machine.model = match (it.manufacturer, it.model) {
                    (Some(maker), Some(model)) => Some(format!("{maker} {model}")),
                    (maker, model) => model.or(maker),
                };
            }
            Some(Facts::Disks(it)) => machine.disk_serials = fixed_disks(it),
            Some(Facts::Network(it)) => machine.addresses = addresses(tx, it)?,
            _ => {}
        }
    }
    Ok(machine)
}

fn fixed_disks(facts: v1::DisksFacts) -> Vec<String> {
    facts
        .disks
        .into_iter()
        .filter(|disk| disk.removable != Some(true) && disk.bus.as_deref() != Some("usb"))
        .filter_map(|disk| disk.serial)
        .collect()
}

fn addresses(tx: &mut Tx, facts: v1::NetworkFacts) -> Result<Vec<Address>, StoreError> {
    let mut addresses = Vec::new();
    for interface in facts.interfaces {
        if interface.r#type.as_deref() == Some("loopback") {
            continue;
        }
        // A bond or a random Wi-Fi address hides the hardware's own.
        let Some(mac) = interface.permanent_mac.or(interface.mac) else {
            continue;
        };
        let on_usb = interface
            .driver
            .as_deref()
            .is_some_and(|driver| USB_DRIVERS.contains(&driver));
        let made_up = interface.r#virtual == Some(true)
            || matches!(
                interface.r#type.as_deref(),
                Some("bridge" | "tunnel" | "virtual" | "bond")
            );
        let borrowed = on_usb || made_up;
        let devices = if borrowed {
            0
        } else {
            let ids = device_term::devices(tx, "mac", &fold(&mac), 10)?;
            u32::try_from(ids.len()).unwrap_or(u32::MAX)
        };
        addresses.push(Address {
            mac,
            borrowed,
            devices,
        });
    }
    Ok(addresses)
}
