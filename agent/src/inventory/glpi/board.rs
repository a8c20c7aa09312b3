//! Processors, memory, slots, batteries and the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chasqui_proto::v1;

use super::{Content, Fields, Seen, mebibytes};

pub(super) fn fill(content: &mut Content, seen: &Seen) {
    if let Some(cpu) = seen.cpu() {
        let arch = cpu.architecture.as_deref().filter(|arch| known_arch(arch));
        let arch = arch.map(str::to_owned);
        content.list("cpus", cpu.cpus.iter().map(|one| self::cpu(one, &arch)));
    }
    if let Some(memory) = seen.memory() {
        content.list(
            "memories",
            memory.modules.iter().zip(1_u64..).map(|(one, number)| {
                Fields::default()
                    .number("numslots", Some(number))
                    .text("caption", &one.slot)
                    .number("capacity", mebibytes(one.size_bytes))
                    .text("type", one.r#type.as_ref().map(|text| text.to_uppercase()))
                    .text("speed", one.speed_mts.map(|speed| speed.to_string()))
                    .text("manufacturer", &one.manufacturer)
                    .text("model", &one.part_number)
                    .text("serialnumber", &one.serial)
                    .text("formfactor", &one.form_factor)
                    .text("memorycorrection", &memory.error_correction)
            }),
        );
    }
    if let Some(slots) = seen.slots() {
        content.list(
            "slots",
            slots.slots.iter().map(|one| {
                let status = one.used.map(|used| if used { "used" } else { "free" });
                Fields::default()
                    .text("name", &one.name)
                    .text("designation", &one.name)
                    .text("description", &one.r#type)
                    .text("status", status)
            }),
        );
        content.list(
            "ports",
            slots.ports.iter().map(|one| {
                Fields::default()
                    .text("name", &one.name)
                    .text(
                        "type",
                        one.r#type
                            .clone()
                            .unwrap_or_else(|| "None".to_owned())
                            .as_str(),
                    )
                    .text("caption", &one.connector)
            }),
        );
    }
    if let Some(batteries) = seen.batteries() {
        content.list(
            "batteries",
            batteries.batteries.iter().map(|one| {
                Fields::default()
                    .text(
                        "name",
                        one.model
                            .clone()
                            .unwrap_or_else(|| one.name.clone())
                            .as_str(),
                    )
                    .text("manufacturer", &one.manufacturer)
                    .text("serial", &one.serial)
                    .text("chemistry", &one.technology)
                    .number("capacity", one.design_mwh)
                    .number("real_capacity", one.full_mwh)
                    .number("voltage", one.design_mv)
            }),
        );
    }
    if let Some(network) = seen.network() {
        let gateways: Vec<Ipv4Addr> = network
            .default_gateways
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        let all = network.interfaces.iter();
        content.list("networks", all.flat_map(|one| interface(one, &gateways)));
    }
}

/// Names of architectures that the official schema takes.
fn known_arch(arch: &str) -> bool {
    let names = [
        "mips",
        "mips64",
        "alpha",
        "sparc",
        "sparc64",
        "m68k",
        "x86_64",
        "powerpc",
        "powerpc64",
        "aarch64",
    ];
    let old = arch
        .strip_prefix('i')
        .and_then(|rest| rest.strip_suffix("86"));
    names.contains(&arch)
        || arch.starts_with("arm")
        || old.is_some_and(|digit| digit.len() == 1 && digit.bytes().all(|b| b.is_ascii_digit()))
}

/// A processor's maker as people call it, which is what the protocol has.
fn maker(id: &str) -> String {
    let known = match id {
        "GenuineIntel" => "Intel",
        "AuthenticAMD" => "AMD",
        "HygonGenuine" => "Hygon",
        "CentaurHauls" => "VIA",
        other => other,
    };
    known.to_owned()
}

fn cpu(one: &v1::Cpu, arch: &Option<String>) -> Fields {
    let number = |value: Option<u32>| value.map(u64::from);
    let text = |value: Option<u32>| value.map(|value| value.to_string());
    Fields::default()
        .text("manufacturer", one.vendor.as_deref().map(maker))
        .text("name", &one.model_name)
        .text("arch", arch)
        .text("familynumber", text(one.family))
        .text("model", text(one.model))
        .number("stepping", number(one.stepping))
        .number("core", number(one.cores))
        .number("thread", number(one.threads))
        .number("speed", number(one.max_mhz))
}

/// One entry for each address, or one for an interface without. The gateway is that of the address's own network.
fn interface(one: &v1::NetworkInterface, gateways: &[Ipv4Addr]) -> Vec<Fields> {
    let addresses: Vec<Option<&String>> = if one.addresses.is_empty() {
        vec![None]
    } else {
        one.addresses.iter().map(Some).collect()
    };
    addresses
        .into_iter()
        .map(|address| {
            let status = one.up.map(|up| if up { "up" } else { "down" });
            let fields = Fields::default()
                .text("description", &one.name)
                .text("mac", &one.mac)
                .text("type", one.r#type.as_deref().and_then(kind))
                .text("status", status)
                .number("mtu", one.mtu.map(u64::from))
                .text("speed", one.speed_mbps.map(|speed| speed.to_string()))
                .text("driver", &one.driver)
                .text("pcislot", &one.pci_slot)
                .text("manufacturer", &one.manufacturer)
                .text("model", &one.model)
                .flag("virtualdev", one.r#virtual)
                .text("slaves", &one.members.join(","))
                .text("ipdhcp", &one.dhcp_server)
                .text("wifi_ssid", &one.ssid);
            match address.and_then(|text| parts(text)) {
                Some((IpAddr::V4(address), width)) => fields
                    .text("ipaddress", Some(address.to_string()))
                    .text(
                        "ipgateway",
                        width.and_then(|width| gateway(address, width, gateways)),
                    )
                    .text("ipmask", width.map(|width| mask4(width).to_string()))
                    .text(
                        "ipsubnet",
                        width.map(|width| (address & mask4(width)).to_string()),
                    ),
                Some((IpAddr::V6(address), width)) => fields
                    .text("ipaddress6", Some(address.to_string()))
                    .text("ipmask6", width.map(|width| mask6(width).to_string()))
                    .text(
                        "ipsubnet6",
                        width.map(|width| (address & mask6(width)).to_string()),
                    ),
                None => fields,
            }
        })
        .collect()
}

fn gateway(address: Ipv4Addr, width: u32, gateways: &[Ipv4Addr]) -> Option<String> {
    let mask = mask4(width);
    let near = gateways
        .iter()
        .find(|gateway| **gateway & mask == address & mask);
    near.map(ToString::to_string)
}

fn parts(text: &str) -> Option<(IpAddr, Option<u32>)> {
    match text.split_once('/') {
        Some((address, width)) => Some((address.parse().ok()?, width.parse().ok())),
        None => Some((text.parse().ok()?, None)),
    }
}

fn mask4(width: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(
        u32::MAX
            .checked_shl(32_u32.saturating_sub(width))
            .unwrap_or(0),
    )
}

fn mask6(width: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(
        u128::MAX
            .checked_shl(128_u32.saturating_sub(width))
            .unwrap_or(0),
    )
}

/// The protocol's name of a kind of interface; none where it has no such kind.
fn kind(name: &str) -> Option<&'static str> {
    Some(match name {
        "ethernet" => "ethernet",
        "wifi" => "wifi",
        "infiniband" => "infiniband",
        "bond" | "team" => "aggregate",
        "ppp" | "wwan" => "dialup",
        "loopback" => "loopback",
        "bridge" => "bridge",
        "bluetooth" => "bluetooth",
        _ => return None,
    })
}
