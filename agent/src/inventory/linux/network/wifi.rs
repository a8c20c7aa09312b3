//! Wi-Fi networks that the machine knows, as NetworkManager, wpa_supplicant, iwd and netplan keep them. Their files hold the
//! passwords beside the names: what is read here is the name and the kind of protection, nothing else leaves the parser.

use std::collections::BTreeSet;

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds};
use super::super::ini;

const KEYFILES: &[&str] = &[
    "/etc/NetworkManager/system-connections",
    "/run/NetworkManager/system-connections",
];
const SUPPLICANT: &str = "/etc/wpa_supplicant";
const IWD: &str = "/var/lib/iwd";
const NETPLAN: &str = "/etc/netplan";
const MAX_BYTES: usize = 1 << 20;
const MAX_NETWORKS: usize = 200;
const MAX_FILES: usize = 1_000;

type Networks = BTreeSet<(String, &'static str)>;

/// Sorted by name.
pub(super) fn known(source: &Source, notes: &mut Notes) -> Vec<v1::WifiNetwork> {
    let mut found = Networks::new();
    for folder in KEYFILES {
        each(
            source,
            folder,
            notes,
            |_, text| keyfile(text).into_iter().collect(),
            &mut found,
        );
    }
    let conf = |name: &str, text: &str| {
        if name.ends_with(".conf") {
            supplicant(text)
        } else {
            Networks::new()
        }
    };
    each(source, SUPPLICANT, notes, conf, &mut found);
    match source.list(IWD) {
        Ok(names) => {
            notes.from("wifi_networks", IWD);
            found.extend(names.iter().take(MAX_FILES).filter_map(|name| iwd(name)));
        }
        Err(why) if why.is_no_source() => {}
        Err(why) => notes.unread("wifi_networks", why),
    }
    let yaml = |name: &str, text: &str| {
        if name.ends_with(".yaml") {
            netplan(text)
        } else {
            Networks::new()
        }
    };
    each(source, NETPLAN, notes, yaml, &mut found);
    if found.len() > MAX_NETWORKS {
        let why = format!("{} networks, at most {MAX_NETWORKS} are kept", found.len());
        notes.unread("wifi_networks", Unreadable::too_large(why));
    }
    if found.is_empty() {
        let why = "no profile of a Wi-Fi network is kept where it would be";
        notes.unread("wifi_networks", Unreadable::no_source(why));
    }
    found
        .into_iter()
        .take(MAX_NETWORKS)
        .map(|(ssid, security)| v1::WifiNetwork {
            ssid,
            security: Some(security.to_owned()),
        })
        .collect()
}

fn each(
    source: &Source,
    folder: &str,
    notes: &mut Notes,
    parse: impl Fn(&str, &str) -> Networks,
    found: &mut Networks,
) {
    let names = match source.list(folder) {
        Ok(names) => names,
        Err(why) if why.is_no_source() => return,
        Err(why) => return notes.unread("wifi_networks", why),
    };
    for name in names.iter().take(MAX_FILES) {
        match source.text(&format!("{folder}/{name}"), MAX_BYTES) {
            // Every profile of NetworkManager has this section.
            Ok(text) if KEYFILES.contains(&folder) && !text.contains("[connection]") => {
                let why = format!("{folder}: a profile makes no sense");
                notes.unread("wifi_networks", Unreadable::malformed(why));
            }
            Ok(text) => {
                let networks = parse(name, &text);
                if !networks.is_empty() {
                    notes.from("wifi_networks", folder);
                }
                found.extend(networks);
            }
            // Folders and scripts' leavings are no profiles.
            Err(why) if why.reason == v1::UnreadReason::Malformed => {}
            Err(why) => {
                // A connection's name may be a person's or a place's: the folder is said, not the file.
                let why = Unreadable {
                    detail: format!("{folder}: a file could not be read"),
                    ..why
                };
                notes.unread("wifi_networks", why);
            }
        }
    }
}

/// nm-settings-keyfile(5).
fn keyfile(text: &str) -> Option<(String, &'static str)> {
    let field = |section: &str, key: &str| ini::value(text, section, key);
    let ssid = field("wifi", "ssid").or_else(|| field("802-11-wireless", "ssid"))?;
    let management = field("wifi-security", "key-mgmt")
        .or_else(|| field("802-11-wireless-security", "key-mgmt"));
    let security = match management {
        None => "none",
        Some("none") => "wep",
        Some(word) => protection(word),
    };
    Some((bounds::some_text(&of_bytes(ssid))?, security))
}

/// Names that are no plain text stand as numbers: `67;97;102;195;169;`.
fn of_bytes(text: &str) -> String {
    let parts: Vec<&str> = text.trim_end_matches(';').split(';').collect();
    let bytes: Option<Vec<u8>> = parts.iter().map(|part| part.parse().ok()).collect();
    match bytes {
        Some(bytes) if text.contains(';') => String::from_utf8_lossy(&bytes).into_owned(),
        _ => text.to_owned(),
    }
}

fn protection(word: &str) -> &'static str {
    let word = word.to_ascii_lowercase();
    // The strongest that is allowed names the network.
    [
        ("suite-b", "wpa_eap"),
        ("eap", "wpa_eap"),
        ("sae", "sae"),
        ("psk", "wpa_psk"),
        ("owe", "owe"),
        ("8021x", "wep"),
        ("802.1x", "wpa_eap"),
        ("none", "none"),
    ]
    .iter()
    .find(|(part, _)| word.contains(part))
    .map_or("other", |(_, name)| *name)
}

/// Blocks `network={...}` of wpa_supplicant.conf(5).
fn supplicant(text: &str) -> Networks {
    let mut found = Networks::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line.replace(' ', "").starts_with("network={")) {
        let (mut ssid, mut management, mut secret) = (None, None, false);
        for line in lines.by_ref().take_while(|line| !line.starts_with('}')) {
            match line
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
            {
                Some(("ssid", value)) => ssid = name_of(value),
                Some(("key_mgmt", value)) => management = Some(protection(value)),
                Some(("psk" | "sae_password", _)) => secret = true,
                Some((key, _)) if key.starts_with("wep_key") => management = Some("wep"),
                _ => {}
            }
        }
        // WPA-PSK and WPA-EAP are allowed where nothing is said.
        let security = management.unwrap_or(if secret { "wpa_psk" } else { "other" });
        found.extend(ssid.map(|ssid| (ssid, security)));
    }
    found
}

/// A name in quotes, or in hex digits.
fn name_of(value: &str) -> Option<String> {
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.rsplit_once('"'))
        .map(|(name, _)| name.to_owned());
    let name = quoted.or_else(|| {
        let bytes = hex::decode(value).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    });
    bounds::some_text(&name?)
}

/// iwd names its files by the network: `NAME.psk`, or `=HEX.psk`; the content is never opened.
fn iwd(file: &str) -> Option<(String, &'static str)> {
    let (name, ending) = file.rsplit_once('.')?;
    let security = match ending {
        "psk" => "wpa_psk",
        "8021x" => "wpa_eap",
        "open" => "none",
        _ => return None,
    };
    let name = match name.strip_prefix('=') {
        Some(digits) => String::from_utf8_lossy(&hex::decode(digits).ok()?).into_owned(),
        None => name.to_owned(),
    };
    Some((bounds::some_text(&name)?, security))
}

/// Keys below `access-points:` in netplan's YAML, by their indentation: netplan itself writes no other form.
fn netplan(text: &str) -> Networks {
    let mut found = Networks::new();
    let indent = |line: &str| line.len().saturating_sub(line.trim_start().len());
    let mut lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
        .peekable();
    while let Some(line) = lines.next() {
        if line.trim() != "access-points:" {
            continue;
        }
        let outer = indent(line);
        let Some(inner) = lines.peek().map(|line| indent(line)) else {
            break;
        };
        let mut last: Option<(String, &'static str)> = None;
        while let Some(line) = lines.next_if(|line| indent(line) > outer) {
            let text = line.trim();
            if indent(line) == inner {
                found.extend(last.take());
                let name = text.split_once(':').map(|(name, _)| ini::bare(name));
                let security = if text.contains("password") {
                    "wpa_psk"
                } else {
                    "none"
                };
                last = name
                    .and_then(bounds::some_text)
                    .map(|name| (name, security));
            } else if let (Some((_, security)), Some((key, value))) =
                (&mut last, text.split_once(':'))
            {
                match key {
                    "password" if *security == "none" => *security = "wpa_psk",
                    "key-management" => *security = protection(value),
                    _ => {}
                }
            }
        }
        found.extend(last);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(networks: &Networks) -> Vec<String> {
        networks
            .iter()
            .map(|(name, kind)| format!("{name}/{kind}"))
            .collect()
    }

    #[test]
    fn names_and_protection_and_never_a_password() {
        let text = "[connection]\nid=x\n[wifi]\nssid=Oficina\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=s3cr3t\n";
        assert_eq!(keyfile(text), Some(("Oficina".into(), "wpa_psk")));
        let open = "[wifi]\nssid=67;97;102;195;169;\n";
        assert_eq!(keyfile(open), Some(("Café".into(), "none")));
        let text = "ctrl_interface=/x\nnetwork={\n ssid=\"A=\\\"b\"\n psk=\"s3cr3t\"\n}\nnetwork = {\n ssid=c3b1\n key_mgmt=WPA-EAP\n password=\"s3cr3t\"\n}\n";
        assert_eq!(shown(&supplicant(text)), ["A=\\\"b/wpa_psk", "ñ/wpa_eap"]);
        for cut in 0..text.len() {
            assert!(!shown(&supplicant(&text[..cut])).concat().contains("s3cr3t"));
        }
        let text = "network:\n  wifis:\n    wlan0:\n      access-points:\n        \"Sala 1\":\n          password: s3cr3t\n        libre: {}\n      dhcp4: true\n";
        assert_eq!(shown(&netplan(text)), ["Sala 1/wpa_psk", "libre/none"]);
        for cut in 0..text.len() {
            assert!(!shown(&netplan(&text[..cut])).concat().contains("s3cr3t"));
        }
        assert_eq!(iwd("=c3b1.psk"), Some(("ñ".into(), "wpa_psk")));
        assert_eq!(iwd("Casa.open"), Some(("Casa".into(), "none")));
        assert_eq!(iwd("main.conf"), None);
    }
}
