//! Name servers and search domains.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::super::{Notes, Source, bounds};

const RESOLVER: &str = "/etc/resolv.conf";
/// What systemd-resolved asks in truth, where the resolver file names its stub.
const RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
const MAX_SERVERS: usize = 16;

/// Both, in the order of asking.
pub(super) fn read(source: &Source, notes: &mut Notes) -> (Vec<String>, Vec<String>) {
    let of = |path: &str| {
        source
            .text(path, 1 << 20)
            .map(|text| (name_servers(&text), search_domains(&text)))
    };
    let (path, read) = match of(RESOLVER) {
        Ok(own) if own.0.iter().all(|server| server == "127.0.0.53") => match of(RESOLVED) {
            // The stub's own file carries the search line too, and some write it there alone.
            Ok((servers, domains)) => {
                let domains = if domains.is_empty() { own.1 } else { domains };
                (RESOLVED, Ok((servers, domains)))
            }
            Err(_) => (RESOLVER, Ok(own)),
        },
        other => (RESOLVER, other),
    };
    if let Err(why) = &read {
        notes.unread("search_domains", why.clone());
    } else if read.as_ref().is_ok_and(|(_, domains)| domains.is_empty()) {
        let why = format!("{path}: no search line");
        notes.unread("search_domains", super::Unreadable::no_source(why));
    }
    notes.take("dns_servers", path, read).unwrap_or_default()
}

/// The last `search` or `domain` line counts (resolv.conf(5)).
fn search_domains(text: &str) -> Vec<String> {
    let last = text
        .lines()
        .map(str::trim)
        .filter_map(|line| {
            line.strip_prefix("search")
                .or_else(|| line.strip_prefix("domain"))
        })
        .rfind(|rest| rest.starts_with([' ', '\t']));
    let domains = last
        .unwrap_or_default()
        .split_whitespace()
        .filter(|domain| *domain != ".")
        .map(bounds::clean)
        .collect();
    distinct(domains)
}

/// In the file's order, which is the order of asking.
fn name_servers(text: &str) -> Vec<String> {
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter(|rest| rest.starts_with([' ', '\t']))
        .filter_map(|rest| rest.split_whitespace().next())
        // Link-local servers carry their interface: `fe80::1%eth0`.
        .filter(|server| {
            server
                .split('%')
                .next()
                .is_some_and(|address| address.parse::<IpAddr>().is_ok())
        })
        .map(bounds::clean)
        .collect();
    distinct(servers)
}

/// Without repetitions, bounded.
pub(super) fn distinct(list: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    list.into_iter()
        .filter(|entry| seen.insert(entry.clone()))
        .take(MAX_SERVERS)
        .collect()
}
