//! What lies under an interface: its driver and slot, the interfaces below a bond or a bridge, its permanent address.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};

const MAX_MEMBERS: usize = 64;

/// Name of the kernel's driver.
pub(super) fn driver(source: &Source, path: &str) -> Option<String> {
    let target = source.link(&format!("{path}/device/driver")).ok()?;
    bounds::some_text(target.rsplit('/').next()?)
}

/// The nearest PCI function above the interface: `0000:02:00.0`.
pub(super) fn pci_slot(source: &Source, path: &str) -> Option<String> {
    let target = source.link(path).ok()?;
    target
        .rsplit('/')
        .skip_while(|part| *part != "net")
        .find(|part| is_slot(part))
        .map(str::to_owned)
}

fn is_slot(part: &str) -> bool {
    let mut parts = part.split([':', '.']);
    let mut hex = |digits: std::ops::RangeInclusive<usize>| {
        parts.next().is_some_and(|text| {
            digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
        })
    };
    hex(4..=8) && hex(2..=2) && hex(2..=2) && hex(1..=1) && parts.next().is_none()
}

/// Whether the kernel keeps it among the devices without hardware.
pub(super) fn is_virtual(source: &Source, path: &str) -> Option<bool> {
    source
        .link(path)
        .ok()
        .map(|target| target.contains("/virtual/"))
}

/// The address burnt into the hardware, where a file tells: of members of a bond and of Wi-Fi adapters.
pub(super) fn permanent_mac(source: &Source, path: &str) -> Option<String> {
    ["bonding_slave/perm_hwaddr", "phy80211/macaddress"]
        .iter()
        .find_map(|file| source.line(&format!("{path}/{file}")).ok())
        .map(|mac| mac.to_lowercase())
        .filter(|mac| mac.len() == 17 && mac.bytes().all(|b| b == b':' || b.is_ascii_hexdigit()))
}

/// Ports of a bridge without passing ones, or members of a bond.
pub(super) fn members(source: &Source, path: &str) -> Vec<String> {
    let of_bridge = source.list(&format!("{path}/brif")).unwrap_or_default();
    let of_bond = source
        .line(&format!("{path}/bonding/slaves"))
        .unwrap_or_default();
    let mut members: Vec<String> = of_bridge
        .into_iter()
        .chain(of_bond.split_whitespace().map(str::to_owned))
        .filter(|name| !super::is_passing(source, name))
        .take(MAX_MEMBERS)
        .map(|name| bounds::clean(&name))
        .collect();
    members.sort();
    members
}

/// One reason for all interfaces where a fact is missing.
pub(super) fn explain(interfaces: &[v1::NetworkInterface], notes: &mut Notes) {
    let lacks = |field: fn(&v1::NetworkInterface) -> bool| interfaces.iter().any(field);
    for (field, lacking, why) in [
        (
            "driver",
            lacks(|i| i.driver.is_none()),
            "no driver is bound to the interface",
        ),
        (
            "pci_slot",
            lacks(|i| i.pci_slot.is_none()),
            "not on a PCI bus",
        ),
        (
            "manufacturer",
            lacks(|i| i.manufacturer.is_none()),
            "the devices section names the hardware",
        ),
        (
            "model",
            lacks(|i| i.model.is_none()),
            "the devices section names the hardware",
        ),
        (
            "virtual",
            lacks(|i| i.r#virtual.is_none()),
            "/sys/class/net has no link to the device",
        ),
        (
            "permanent_mac",
            lacks(|i| i.permanent_mac.is_none()),
            "the one in use is the permanent one, or only the driver knows it",
        ),
        (
            "dhcp",
            lacks(|i| i.dhcp.is_none()),
            "no lease that can be read names an address in use",
        ),
        (
            "dhcp_server",
            lacks(|i| i.dhcp_server.is_none()),
            "no lease that can be read names the server",
        ),
        (
            "ssid",
            lacks(|i| i.ssid.is_none()),
            "no file tells the network in use",
        ),
    ] {
        if lacking {
            notes.unread(&format!("interfaces.{field}"), Unreadable::no_source(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_slot;

    #[test]
    fn slots_of_pci() {
        assert!(is_slot("0000:02:00.0") && is_slot("10000:e1:00.0"));
        for no in [
            "pci0000:00",
            "0000:02:00",
            "usb1",
            "1-2:1.0",
            "0000:02:00.0.1",
            "",
        ] {
            assert!(!is_slot(no), "{no}");
        }
    }
}
