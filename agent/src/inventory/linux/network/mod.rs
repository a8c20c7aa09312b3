//! Network interfaces with their addresses, routes, name servers and known Wi-Fi networks. Left out because they come and go without
//! the machine having changed: containers' and virtual machines' ports, temporary IPv6 addresses, counters, leases.

mod hardware;
mod leases;
mod resolver;
mod routes;
mod wifi;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use routes::prefix_of;

const CLASS: &str = "/sys/class/net";
const IPV6: &str = "/proc/net/if_inet6";
const TRIE: &str = "/proc/net/fib_trie";

const MAX_TABLE_BYTES: usize = 8 << 20;
const MAX_INTERFACES: usize = 256;
const MAX_ADDRESSES: usize = 64;

/// Virtual ports that a container engine or a hypervisor makes and removes.
const PASSING: &[&str] = &[
    "veth", "cali", "lxc", "lxd", "vnet", "tap", "fwpr", "fwln", "flannel", "cni", "vmnet", "ifb",
    "dummy",
];

type Addresses = BTreeMap<String, BTreeSet<(IpAddr, u8)>>;

/// Makes the network section.
#[derive(Clone, Copy, Debug)]
pub struct Network;

impl Collector for Network {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Network
    }

    fn version(&self) -> u32 {
        2
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut addresses = Addresses::new();
        let (origin, ipv4) = ipv4(source);
        if let Some(ipv4) = notes.take("addresses.ipv4", origin, ipv4) {
            merge(&mut addresses, ipv4);
        }
        match ipv6(source) {
            Ok(ipv6) => {
                notes.from("addresses.ipv6", IPV6);
                merge(&mut addresses, ipv6);
            }
            // Without the file the kernel speaks no IPv6, so there are no such addresses.
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("addresses.ipv6", why),
        }
        let (dns_servers, search_domains) = resolver::read(source, &mut notes);
        let interfaces = interfaces(source, &mut addresses, &mut notes);
        hardware::explain(&interfaces, &mut notes);
        let facts = v1::NetworkFacts {
            dns_servers,
            default_gateways: routes::gateways(source, &mut notes),
            routes: routes::facts(source, &interfaces, &mut notes),
            search_domains,
            wifi_networks: wifi::known(source, &mut notes),
            interfaces,
        };
        Observation::new(Facts::Network(facts), notes)
    }
}

fn merge(into: &mut Addresses, from: Addresses) {
    for (name, addresses) in from {
        into.entry(name).or_default().extend(addresses);
    }
}

fn interfaces(
    source: &Source,
    addresses: &mut Addresses,
    notes: &mut Notes,
) -> Vec<v1::NetworkInterface> {
    let Some(names) = notes.take("interfaces", CLASS, source.list(CLASS)) else {
        return Vec::new();
    };
    let names: Vec<String> = names
        .into_iter()
        .filter(|name| source.exists(&format!("{CLASS}/{name}/type")) == Ok(true))
        .filter(|name| !is_passing(source, name))
        .collect();
    if names.len() > MAX_INTERFACES {
        let why = Unreadable::too_large(format!("{} interfaces", names.len()));
        notes.unread("interfaces", why);
    }
    let leases = leases::Leases::read(source, notes);
    names
        .into_iter()
        .take(MAX_INTERFACES)
        .map(|name| {
            let own = addresses.remove(&name).unwrap_or_default();
            let lease = leases.of(source, &name, &own);
            let found = interface(source, name, own, notes);
            v1::NetworkInterface {
                dhcp: lease.is_some().then_some(true),
                dhcp_server: lease.flatten(),
                ..found
            }
        })
        .collect()
}

fn is_passing(source: &Source, name: &str) -> bool {
    let is_virtual = source
        .link(&format!("{CLASS}/{name}"))
        .is_ok_and(|target| target.contains("/virtual/"));
    // Docker names the bridge of each of its networks by twelve digits of its id.
    let docker_network = name
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    is_virtual && (docker_network || PASSING.iter().any(|prefix| name.starts_with(prefix)))
}

fn interface(
    source: &Source,
    name: String,
    addresses: BTreeSet<(IpAddr, u8)>,
    notes: &mut Notes,
) -> v1::NetworkInterface {
    let path = format!("{CLASS}/{name}");
    let kind = kind(source, &path);
    let up = source.line(&format!("{path}/operstate")).and_then(|state| {
        match state.as_str() {
            "up" => Ok(true),
            // Loopback and tunnels report no state; the interface's own flag then says whether it is in use.
            "unknown" => source
                .line(&format!("{path}/flags"))
                .and_then(|flags| flag(&path, &flags)),
            _ => Ok(false),
        }
    });
    let up = notes.part(&format!("interfaces.{name}.up"), up);
    let mtu = source.number(&format!("{path}/mtu"));
    let mtu = notes.part(&format!("interfaces.{name}.mtu"), mtu);
    let permanent_mac = hardware::permanent_mac(source, &path);
    // The address that a Wi-Fi adapter invents for a network changes with the network, and is no fact of the machine.
    let mac = match (mac(source, &path), &permanent_mac) {
        (Ok(mac), Some(own)) if kind == Ok("wifi") && mac != *own => Err(Unreadable::no_source(
            "a private address in the place of the permanent one",
        )),
        (mac, _) => mac,
    };
    let mac = notes.part(&format!("interfaces.{name}.mac"), mac);
    let permanent_mac = permanent_mac.filter(|own| mac.as_ref() != Some(own));
    // The rate of a radio link changes by the minute; that of a cable only with the cable.
    let speed = if kind == Ok("wifi") {
        Err(Unreadable::no_source("the rate of a radio link is no fact"))
    } else {
        speed(source, &path)
    };
    let speed = notes.part(&format!("interfaces.{name}.speed_mbps"), speed);
    let kind = notes.part(&format!("interfaces.{name}.type"), kind);
    if addresses.len() > MAX_ADDRESSES {
        let why = Unreadable::too_large(format!("{} addresses", addresses.len()));
        notes.unread(&format!("interfaces.{name}.addresses"), why);
    }
    v1::NetworkInterface {
        mac,
        speed_mbps: speed,
        r#type: kind.map(str::to_owned),
        addresses: addresses
            .into_iter()
            .take(MAX_ADDRESSES)
            .map(|(address, prefix)| format!("{address}/{prefix}"))
            .collect(),
        mtu,
        up,
        driver: hardware::driver(source, &path),
        pci_slot: hardware::pci_slot(source, &path),
        r#virtual: hardware::is_virtual(source, &path),
        permanent_mac,
        members: hardware::members(source, &path),
        name: bounds::clean(&name),
        ..v1::NetworkInterface::default()
    }
}

fn flag(path: &str, flags: &str) -> Result<bool, Unreadable> {
    let digits = flags.strip_prefix("0x").unwrap_or(flags);
    u32::from_str_radix(digits, 16)
        .map(|flags| flags & 1 != 0)
        .map_err(|_| Unreadable::malformed(format!("{path}/flags: {flags:.40}")))
}

/// The link's speed; links that are down or virtual have none.
fn speed(source: &Source, path: &str) -> Result<u32, Unreadable> {
    let speed: i64 = source.number(&format!("{path}/speed"))?;
    u32::try_from(speed)
        .ok()
        .filter(|speed| *speed > 0 && *speed != u32::MAX)
        .ok_or_else(|| Unreadable::no_source(format!("{path}/speed: {speed}")))
}

/// The hardware address; loopback and tunnels have none, or zeroes.
fn mac(source: &Source, path: &str) -> Result<String, Unreadable> {
    let text = source.line(&format!("{path}/address"))?.to_lowercase();
    let well_formed = text.len() == 17
        && text
            .split(':')
            .all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()));
    if text.bytes().all(|b| matches!(b, b'0' | b':')) {
        Err(Unreadable::no_source(format!("{path}/address: {text}")))
    } else if well_formed {
        Ok(text)
    } else {
        // Hardware addresses of other lengths (tunnels, InfiniBand) are no MAC.
        Err(Unreadable::no_source(format!("{path}/address: {text:.60}")))
    }
}

fn kind(source: &Source, path: &str) -> Result<&'static str, Unreadable> {
    let number: u32 = source.number(&format!("{path}/type"))?;
    let here = |name: &str| source.exists(&format!("{path}/{name}")) == Ok(true);
    let uevent = source
        .text(&format!("{path}/uevent"), 4_096)
        .unwrap_or_default();
    let device_type = uevent
        .lines()
        .find_map(|line| line.strip_prefix("DEVTYPE="));
    let is_virtual = source
        .link(path)
        .is_ok_and(|target| target.contains("/virtual/"));
    // Numbers are ARPHRD_* of the kernel's if_arp.h.
    Ok(match (number, device_type) {
        (772, _) => "loopback",
        (_, Some("wlan")) => "wifi",
        _ if here("wireless") || here("phy80211") => "wifi",
        (801..=803, _) => "wifi",
        (_, Some("wwan")) => "mobile",
        (_, Some("bridge")) => "bridge",
        _ if here("bridge") => "bridge",
        (_, Some("bond")) => "aggregate",
        _ if here("bonding") => "aggregate",
        (_, Some("vlan")) => "vlan",
        (_, Some("wireguard")) => "tunnel",
        (512 | 768 | 769 | 776 | 778 | 823 | 65_534, _) => "tunnel",
        _ if here("tun_flags") => "tunnel",
        (32, _) => "infiniband",
        (1, _) if is_virtual => "virtual",
        (1, _) => "ethernet",
        _ => "other",
    })
}

/// IPv4 addresses: of this machine by getifaddrs(3), of a captured one from the kernel's route tables.
fn ipv4(source: &Source) -> (&'static str, Result<Addresses, Unreadable>) {
    if source.is_live() {
        ("getifaddrs(3)", ipv4_of_system())
    } else {
        (TRIE, ipv4_of_tables(source))
    }
}

fn ipv4_of_system() -> Result<Addresses, Unreadable> {
    let list = nix::ifaddrs::getifaddrs()
        .map_err(|errno| Unreadable::of_error("getifaddrs(3)", &errno.into()))?;
    let mut addresses = Addresses::new();
    for entry in list {
        let ip = |address: Option<nix::sys::socket::SockaddrStorage>| {
            address.and_then(|address| address.as_sockaddr_in().map(|v4| v4.ip()))
        };
        let (Some(address), Some(mask)) = (ip(entry.address), ip(entry.netmask)) else {
            continue;
        };
        // Labels of addresses ("eth0:1") name the interface before the colon.
        let name = entry.interface_name.split(':').next().unwrap_or_default();
        addresses
            .entry(name.to_owned())
            .or_default()
            .insert((address.into(), prefix_of(mask)));
    }
    Ok(addresses)
}

/// The local addresses of the route trie, each on the interface of the narrowest connected route that holds it.
pub fn ipv4_of_tables(source: &Source) -> Result<Addresses, Unreadable> {
    let trie = source.text(TRIE, MAX_TABLE_BYTES)?;
    if !trie.contains("+--") {
        return Err(Unreadable::malformed(format!("{TRIE}: no trie")));
    }
    let mut local = BTreeSet::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse().ok();
        } else if line.contains("/32 host LOCAL") {
            local.extend(last);
        }
    }
    let routes = routes::main(source)?;
    let mut addresses = Addresses::new();
    for address in local {
        let (name, prefix) = if address.is_loopback() {
            ("lo".to_owned(), 8)
        } else {
            let narrowest = routes
                .iter()
                .filter(|route| route.gateway.is_unspecified() && route.prefix > 0)
                .filter(|route| route.holds(address))
                .max_by_key(|route| route.prefix);
            match narrowest {
                Some(route) => (route.interface.clone(), route.prefix),
                None => continue,
            }
        };
        addresses
            .entry(name)
            .or_default()
            .insert((address.into(), prefix));
    }
    Ok(addresses)
}

fn ipv6(source: &Source) -> Result<Addresses, Unreadable> {
    /// IFA_F_TEMPORARY and IFA_F_TENTATIVE of the kernel's if_addr.h.
    const PASSING_FLAGS: u32 = 0x01 | 0x40;
    let text = source.text(IPV6, MAX_TABLE_BYTES)?;
    let mut addresses = Addresses::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let parsed = (|| {
            let address = u128::from_str_radix(fields.first()?, 16).ok()?;
            let prefix = u8::from_str_radix(fields.get(2)?, 16).ok()?;
            let flags = u32::from_str_radix(fields.get(4)?, 16).ok()?;
            Some((Ipv6Addr::from(address), prefix, flags, *fields.get(5)?))
        })();
        let (address, prefix, flags, name) = parsed
            .ok_or_else(|| Unreadable::malformed(format!("{IPV6}: {}", bounds::clip(line, 80))))?;
        // The loopback address bears the bit of temporary ones for another reason.
        let loopback = address.is_loopback();
        if !loopback && flags & PASSING_FLAGS != 0 {
            continue;
        }
        addresses
            .entry(name.to_owned())
            .or_default()
            .insert((address.into(), prefix));
    }
    Ok(addresses)
}
