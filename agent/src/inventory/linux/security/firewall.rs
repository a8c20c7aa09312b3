//! Firewalls as they are set up: what would stand after the next start of the machine. The rules in the kernel need a right
//! that reading files does not.

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::super::ini;
use super::Units;

const UFW: &str = "/etc/ufw/ufw.conf";
const UFW_POLICY: &str = "/etc/default/ufw";
const FIREWALLD: &str = "/etc/firewalld/firewalld.conf";
const ZONES: &[&str] = &["/etc/firewalld/zones", "/usr/lib/firewalld/zones"];
const NFTABLES: &[&str] = &["/etc/nftables.conf", "/etc/sysconfig/nftables.conf"];
const IPTABLES: &[(&str, &str)] = &[
    ("/etc/iptables/rules.v4", "netfilter-persistent.service"),
    ("/etc/iptables/iptables.rules", "iptables.service"),
    ("/etc/sysconfig/iptables", "iptables.service"),
];
const MAX_BYTES: usize = 4 << 20;

type Part<T> = Result<T, Unreadable>;

/// Those with settings, sorted by name.
pub fn read(source: &Source, units: Units<'_>, notes: &mut Notes) -> Vec<v1::Firewall> {
    let mut found = Vec::new();
    let mut add = |name: &str, path: &str, enabled: Part<bool>, inbound: Part<String>| {
        notes.from(&format!("firewalls.{name}"), path);
        found.push(v1::Firewall {
            enabled: notes.part(&format!("firewalls.{name}.enabled"), enabled),
            inbound: notes.part(&format!("firewalls.{name}.inbound"), inbound),
            name: name.to_owned(),
        });
    };
    let starts = |unit: &str| {
        units
            .map(|units| units.is_enabled(unit))
            .map_err(Clone::clone)
    };
    if source.exists(FIREWALLD) == Ok(true) {
        add(
            "firewalld",
            FIREWALLD,
            starts("firewalld.service"),
            firewalld(source),
        );
    }
    for (path, unit) in IPTABLES {
        if source.exists(path) == Ok(true) {
            let inbound = source.text(path, MAX_BYTES).and_then(|text| {
                iptables(&text)
                    .ok_or_else(|| Unreadable::malformed(format!("{path}: no policy of INPUT")))
            });
            add("iptables", path, starts(unit), inbound);
            break;
        }
    }
    for path in NFTABLES {
        if source.exists(path) == Ok(true) {
            let inbound = source
                .text(path, MAX_BYTES)
                .and_then(|text| nftables(path, &text));
            add("nftables", path, starts("nftables.service"), inbound);
            break;
        }
    }
    if source.exists(UFW) == Ok(true) {
        let enabled = source.text(UFW, 1 << 16).and_then(|text| {
            ini::value(&text, "", "ENABLED")
                .and_then(ini::truth)
                .ok_or_else(|| Unreadable::malformed(format!("{UFW}: no ENABLED")))
        });
        let inbound = source.text(UFW_POLICY, 1 << 16).and_then(|text| {
            ini::value(&text, "", "DEFAULT_INPUT_POLICY")
                .and_then(|policy| verdict(ini::bare(policy)))
                .ok_or_else(|| Unreadable::malformed(format!("{UFW_POLICY}: no input policy")))
        });
        add("ufw", UFW, enabled, inbound);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn verdict(word: &str) -> Option<String> {
    let word = match word.to_ascii_lowercase().as_str() {
        "drop" | "deny" => "deny",
        "reject" | "%%reject%%" => "reject",
        "accept" | "allow" => "allow",
        _ => return None,
    };
    Some(word.to_owned())
}

/// What the default zone does with what no rule of it names.
fn firewalld(source: &Source) -> Part<String> {
    let text = source.text(FIREWALLD, 1 << 18)?;
    let zone = ini::value(&text, "", "DefaultZone")
        .map(bounds::clean)
        .filter(|zone| !zone.contains('/'))
        .ok_or_else(|| Unreadable::malformed(format!("{FIREWALLD}: no DefaultZone")))?;
    let mut failure = None;
    for folder in ZONES {
        let path = format!("{folder}/{zone}.xml");
        match source.text(&path, 1 << 18) {
            Ok(text) => {
                return target(&text)
                    .ok_or_else(|| Unreadable::malformed(format!("{path}: no zone")));
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => {
                failure.get_or_insert(why);
            }
        }
    }
    let none = || Unreadable::no_source(format!("no file of the zone {zone}"));
    Err(failure.unwrap_or_else(none))
}

/// `<zone target="DROP">`; a zone without a target rejects (firewalld.zone(5)).
fn target(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<zone")?;
    let (attributes, _) = rest.split_once('>')?;
    match attributes.split_once("target=\"") {
        None => Some("reject".to_owned()),
        Some((_, value)) => match value.split('"').next()? {
            "default" => Some("reject".to_owned()),
            word => verdict(word),
        },
    }
}

/// `:INPUT DROP [0:0]` of iptables-save(8), in the table of filters.
fn iptables(text: &str) -> Option<String> {
    text.lines()
        .skip_while(|line| line.trim() != "*filter")
        .find_map(|line| line.trim().strip_prefix(":INPUT "))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(verdict)
}

/// The policy of the chain on the input hook: `type filter hook input priority 0; policy drop;`. A chain that names none
/// accepts, and so does a set of rules without such a chain (nft(8)).
fn nftables(path: &str, text: &str) -> Part<String> {
    if !text.contains("table") && !text.contains("include") && !text.contains("flush") {
        return Err(Unreadable::malformed(format!("{path}: no rules")));
    }
    let plain: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut strictest: Option<String> = None;
    for (at, _) in plain.match_indices("hook input").take(100) {
        let chain = plain.get(at..).unwrap_or_default();
        let chain = chain.split('}').next().unwrap_or_default();
        let policy = chain
            .split_once("policy ")
            .and_then(|(_, rest)| rest.split([';', ' ', '\n']).next())
            .and_then(verdict)
            .unwrap_or_else(|| "allow".to_owned());
        if policy != "allow" || strictest.is_none() {
            strictest = Some(policy);
        }
    }
    match strictest {
        Some(policy) => Ok(policy),
        None if plain.contains("include") => {
            let why = format!("{path}: rules of other files, which are not read");
            Err(Unreadable::no_source(why))
        }
        None => Ok("allow".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_for_what_comes_in() {
        let filter = "*nat\n:INPUT ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n";
        assert_eq!(iptables(filter).as_deref(), Some("deny"));
        assert_eq!(iptables(""), None);
        let rules = "flush ruleset\ntable inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n }\n chain forward { type filter hook forward priority 0; policy accept; }\n}\n";
        assert_eq!(nftables("p", rules), Ok("deny".to_owned()));
        let open = rules.replace(" policy drop;", "");
        assert_eq!(nftables("p", &open), Ok("allow".to_owned()));
        assert!(nftables("p", "").is_err());
        assert!(nftables("p", "include \"/etc/x\"").is_err());
        assert_eq!(target("<zone>").as_deref(), Some("reject"));
        assert_eq!(
            target("<?xml?><zone target=\"%%REJECT%%\" x=\"\">").as_deref(),
            Some("reject")
        );
        assert_eq!(target("<zone target=\"ACCEPT\"").as_deref(), None);
        for cut in 0..rules.len() {
            let _ = nftables("p", &rules[..cut]);
        }
    }
}
