//! Leases of DHCP: whose server gave an address. Times of renewal are no facts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::super::super::{Notes, Source};
use super::super::ini;

const NETWORKD: &str = "/run/systemd/netif/leases";
/// Folders with one file per lease.
const FOLDERS: &[&str] = &[
    "/var/lib/NetworkManager",
    "/var/lib/dhcp",
    "/var/lib/dhclient",
];
const MAX_BYTES: usize = 4 << 20;
const MAX_FILES: usize = 500;

#[derive(Clone, Debug, PartialEq)]
struct Lease {
    address: IpAddr,
    server: Option<IpAddr>,
    /// Absent where the lease's file does not name it.
    interface: Option<String>,
}

/// The leases of all clients.
#[derive(Debug, Default)]
pub(super) struct Leases {
    all: Vec<Lease>,
    /// networkd names its files by the interface's number.
    by_index: Vec<(String, Lease)>,
}

impl Leases {
    /// Reads them; clients that are not there have none.
    pub(super) fn read(source: &Source, notes: &mut Notes) -> Self {
        let mut leases = Self::default();
        for name in list(source, NETWORKD, notes) {
            match source.text(&format!("{NETWORKD}/{name}"), MAX_BYTES) {
                Ok(text) => leases
                    .by_index
                    .extend(assigned(&text).map(|lease| (name, lease))),
                Err(why) => notes.unread("interfaces.dhcp", why),
            }
        }
        for folder in FOLDERS {
            for name in list(source, folder, notes) {
                if !(name.ends_with(".lease") || name.ends_with(".leases")) {
                    continue;
                }
                let path = format!("{folder}/{name}");
                match source.text(&path, MAX_BYTES) {
                    Ok(text) if name.starts_with("internal-") => leases.all.extend(assigned(&text)),
                    Ok(text) => leases.all.extend(dhclient(&text)),
                    Err(why) => notes.unread("interfaces.dhcp", why),
                }
            }
        }
        leases
    }

    /// Whether an address of the interface is leased, and by which server.
    pub(super) fn of(
        &self,
        source: &Source,
        name: &str,
        addresses: &BTreeSet<(IpAddr, u8)>,
    ) -> Option<Option<String>> {
        let index = source
            .line(&format!("{}/{name}/ifindex", super::CLASS))
            .unwrap_or_default();
        let has = |lease: &Lease| {
            addresses
                .iter()
                .any(|(address, _)| *address == lease.address)
        };
        let mine = |lease: &&Lease| lease.interface.as_deref().is_none_or(|own| own == name);
        self.by_index
            .iter()
            .filter(|(number, _)| *number == index)
            .map(|(_, lease)| lease)
            // The last one in a file is the newest.
            .chain(self.all.iter().rev().filter(mine))
            .find(|lease| has(lease))
            .map(|lease| lease.server.map(|server| server.to_string()))
    }
}

fn list(source: &Source, folder: &str, notes: &mut Notes) -> Vec<String> {
    match source.list(folder) {
        Ok(mut names) => {
            names.truncate(MAX_FILES);
            names
        }
        Err(why) if why.is_no_source() => Vec::new(),
        Err(why) => {
            notes.unread("interfaces.dhcp", why);
            Vec::new()
        }
    }
}

/// Files of systemd's client, also inside NetworkManager: assignments.
fn assigned(text: &str) -> Option<Lease> {
    let address = |key: &str| ini::value(text, "", key).and_then(|value| value.parse().ok());
    Some(Lease {
        address: address("ADDRESS")?,
        server: address("SERVER_ADDRESS"),
        interface: None,
    })
}

/// dhclient.leases(5): blocks of statements, the newest last.
fn dhclient(text: &str) -> Vec<Lease> {
    let mut leases = Vec::new();
    for block in text.split("lease {").skip(1).take(10_000) {
        let statement = |name: &str| {
            block
                .lines()
                .find_map(|line| line.trim().strip_prefix(name))
                .map(|value| ini::bare(value.trim().trim_end_matches(';')))
        };
        let address = statement("fixed-address").and_then(|value| value.parse().ok());
        if let Some(address) = address {
            leases.push(Lease {
                address,
                server: statement("option dhcp-server-identifier")
                    .and_then(|value| value.parse().ok()),
                interface: statement("interface").map(str::to_owned),
            });
        }
    }
    leases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_of_both_clients() {
        let text =
            "# private\nADDRESS=10.1.2.3\nNETMASK=255.255.255.0\nSERVER_ADDRESS=10.1.2.1\nT1=100\n";
        let lease = assigned(text).unwrap();
        assert_eq!(lease.server.unwrap().to_string(), "10.1.2.1");
        for cut in 0..text.len() {
            let _ = assigned(&text[..cut]);
        }
        let text = "lease {\n  interface \"eth0\";\n  fixed-address 10.0.0.5;\n  option dhcp-server-identifier 10.0.0.1;\n  renew 4 2024/01/01 00:00:00;\n}\nlease {\n  fixed-address x;\n}\n";
        let found = dhclient(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].interface.as_deref(), Some("eth0"));
        for cut in 0..text.len() {
            assert!(dhclient(&text[..cut]).len() <= 1);
        }
    }
}
