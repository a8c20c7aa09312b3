//! Routes: IPv4's main table, and of IPv6's the ones that somebody set or a router announced. Local and multicast ones follow
//! from the addresses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::MAX_TABLE_BYTES;

const ROUTES: &str = "/proc/net/route";
const ROUTES6: &str = "/proc/net/ipv6_route";
const MAX_ROUTES: usize = 500;

/// Every route over an interface that the section has, sorted by destination.
pub(super) fn facts(
    source: &Source,
    interfaces: &[v1::NetworkInterface],
    notes: &mut Notes,
) -> Vec<v1::Route> {
    // Without the interfaces nobody knows which of them pass.
    let known: BTreeSet<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
    let stays = |name: &str| known.is_empty() || known.contains(name);
    let mut found = BTreeSet::new();
    if let Some(routes) = notes.take("routes.ipv4", ROUTES, main(source)) {
        for route in routes.iter().filter(|route| stays(&route.interface)) {
            let gateway = (!route.gateway.is_unspecified()).then(|| route.gateway.to_string());
            found.insert((
                (
                    false,
                    u128::from(u32::from(route.destination)),
                    route.prefix,
                ),
                route.metric,
                gateway,
                route.interface.clone(),
            ));
        }
    }
    match main6(source) {
        Ok(routes) => {
            notes.from("routes.ipv6", ROUTES6);
            for route in routes.iter().filter(|route| stays(&route.interface)) {
                let gateway = (!route.gateway.is_unspecified()).then(|| route.gateway.to_string());
                found.insert((
                    (true, u128::from(route.destination), route.prefix),
                    route.metric,
                    gateway,
                    route.interface.clone(),
                ));
            }
        }
        // Without the file the kernel speaks no IPv6.
        Err(why) if why.is_no_source() => {}
        Err(why) => notes.unread("routes.ipv6", why),
    }
    if found.len() > MAX_ROUTES {
        let why = format!("{} routes, at most {MAX_ROUTES} are kept", found.len());
        notes.unread("routes", Unreadable::too_large(why));
    }
    if found.iter().any(|(_, _, gateway, _)| gateway.is_none()) {
        let why = "the network is on the interface itself";
        notes.unread("routes.gateway", Unreadable::no_source(why));
    }
    found
        .into_iter()
        .take(MAX_ROUTES)
        .map(|((six, destination, prefix), metric, gateway, interface)| {
            let destination = if six {
                Ipv6Addr::from(destination).to_string()
            } else {
                let low = u32::try_from(destination).unwrap_or_default();
                Ipv4Addr::from(low).to_string()
            };
            v1::Route {
                destination: format!("{destination}/{prefix}"),
                gateway,
                interface: Some(bounds::clean(&interface)),
                metric: Some(metric),
            }
        })
        .collect()
}

/// Addresses of the default routers, IPv4 then IPv6, the most preferred first.
pub(super) fn gateways(source: &Source, notes: &mut Notes) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(routes) = notes.take("default_gateways.ipv4", ROUTES, main(source)) {
        let mut gateways: Vec<(u32, Ipv4Addr)> = routes
            .into_iter()
            .filter(|route| route.prefix == 0 && !route.gateway.is_unspecified())
            .map(|route| (route.metric, route.gateway))
            .collect();
        gateways.sort_unstable();
        found.extend(gateways.into_iter().map(|(_, gateway)| gateway.to_string()));
    }
    match main6(source) {
        Ok(gateways) => {
            notes.from("default_gateways.ipv6", ROUTES6);
            let mut gateways: Vec<_> = gateways
                .iter()
                .filter(|route| route.is_default())
                .map(|route| (route.metric, route.gateway))
                .collect();
            gateways.sort_unstable();
            found.extend(gateways.iter().map(|(_, gateway)| gateway.to_string()));
        }
        Err(why) if why.is_no_source() => {}
        Err(why) => notes.unread("default_gateways.ipv6", why),
    }
    super::resolver::distinct(found)
}

pub(super) struct Route {
    pub interface: String,
    pub destination: Ipv4Addr,
    pub gateway: Ipv4Addr,
    pub prefix: u8,
    pub metric: u32,
}

impl Route {
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0);
        u32::from(address) & mask == u32::from(self.destination) & mask
    }
}

/// The main table of IPv4.
pub(super) fn main(source: &Source) -> Result<Vec<Route>, Unreadable> {
    let text = source.text(ROUTES, MAX_TABLE_BYTES)?;
    if !text.starts_with("Iface") {
        return Err(Unreadable::malformed(format!("{ROUTES}: no heading")));
    }
    let bad = |line: &str| Unreadable::malformed(format!("{ROUTES}: {}", bounds::clip(line, 80)));
    text.lines()
        .skip(1)
        .filter(|line| !line.trim().is_empty())
        .map(|line| route(line).ok_or_else(|| bad(line)))
        .collect()
}

fn route(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // The kernel prints addresses as numbers of its own byte order.
    let address = |index: usize| {
        let number = u32::from_str_radix(fields.get(index)?, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    Some(Route {
        interface: (*fields.first()?).to_owned(),
        destination: address(1)?,
        gateway: address(2)?,
        prefix: prefix_of(address(7)?),
        metric: fields.get(6)?.parse().ok()?,
    })
}

pub(super) fn prefix_of(mask: Ipv4Addr) -> u8 {
    u8::try_from(u32::from(mask).leading_ones()).unwrap_or(32)
}

struct Route6 {
    interface: String,
    destination: Ipv6Addr,
    prefix: u8,
    gateway: Ipv6Addr,
    metric: u32,
}

impl Route6 {
    fn is_default(&self) -> bool {
        self.prefix == 0 && self.destination.is_unspecified() && !self.gateway.is_unspecified()
    }
}

/// Routes of IPv6 without local, multicast, cached and refusing ones.
fn main6(source: &Source) -> Result<Vec<Route6>, Unreadable> {
    /// RTF_LOCAL, RTF_ANYCAST, RTF_CACHE and RTF_REJECT of the kernel's ipv6_route.h and route.h.
    const LEFT_OUT: u32 = 0x8000_0000 | 0x0010_0000 | 0x0100_0000 | 0x0200;
    let text = source.text(ROUTES6, MAX_TABLE_BYTES)?;
    let mut routes = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (route, flags) = route6(line).ok_or_else(|| {
            Unreadable::malformed(format!("{ROUTES6}: {}", bounds::clip(line, 80)))
        })?;
        let link_local = route.destination.is_unicast_link_local();
        if flags & LEFT_OUT == 0 && !route.destination.is_multicast() && !link_local {
            routes.push(route);
        }
    }
    Ok(routes)
}

fn route6(line: &str) -> Option<(Route6, u32)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
    let address = |index: usize| {
        let digits = fields.get(index)?;
        let number = u128::from_str_radix(digits, 16).ok()?;
        (digits.len() == 32).then(|| Ipv6Addr::from(number))
    };
    let route = Route6 {
        destination: address(0)?,
        prefix: u8::try_from(number(1)?)
            .ok()
            .filter(|prefix| *prefix <= 128)?,
        gateway: address(4)?,
        metric: number(5)?,
        interface: (*fields.get(9)?).to_owned(),
    };
    Some((route, number(8)?))
}
