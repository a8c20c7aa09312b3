//! Membership in a domain: Active Directory, FreeIPA or plain LDAP, from the settings of the clients that would join.
//! `joined = false` is said only when every place that would tell was read.

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use super::ini;

const SSSD: &str = "/etc/sssd/sssd.conf";
const SSSD_PARTS: &str = "/etc/sssd/conf.d";
const SAMBA: &str = "/etc/samba/smb.conf";
const KERBEROS: &str = "/etc/krb5.conf";
const IPA: &str = "/etc/ipa/default.conf";
const LDAP: &str = "/etc/nslcd.conf";
const MAX_BYTES: usize = 1 << 20;
const MAX_SERVERS: usize = 50;

/// Makes the directory section.
#[derive(Clone, Copy, Debug)]
pub struct Directory;

impl Collector for Directory {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Directory
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let facts = read(source, &mut notes);
        Observation::new(Facts::Directory(facts), notes)
    }
}

/// What one client's settings say.
#[derive(Debug, Default, PartialEq)]
struct Membership {
    domain: Option<String>,
    realm: Option<String>,
    kind: Option<&'static str>,
    client: &'static str,
    servers: Vec<String>,
}

/// What a file says; `None` when it makes the machine no member, an error when it makes no sense.
type Read = Result<Option<Membership>, &'static str>;

/// A place that would tell: its path, its text, and how that is read.
type Place = (&'static str, Settings, fn(&str) -> Read);

type Settings = Result<Option<String>, Unreadable>;

/// A file's text; `None` when it is not there.
fn text(source: &Source, path: &str) -> Settings {
    match source.text(path, MAX_BYTES) {
        Ok(text) if text.trim().is_empty() => Err(Unreadable::malformed(format!("{path}: empty"))),
        Ok(text) => Ok(Some(text)),
        Err(why) if why.is_no_source() => Ok(None),
        Err(why) => Err(why),
    }
}

fn read(source: &Source, notes: &mut Notes) -> v1::DirectoryFacts {
    let samba = text(source, SAMBA);
    let kerberos = text(source, KERBEROS);
    let places: [Place; 4] = [
        (IPA, text(source, IPA), ipa),
        (SSSD, sssd_text(source), sssd),
        (SAMBA, samba.clone(), winbind),
        (LDAP, text(source, LDAP), nslcd),
    ];
    let mut found: Option<(&str, Membership)> = None;
    let mut failures = Vec::new();
    for (path, read, parse) in places {
        match read {
            Ok(Some(text)) if found.is_none() => match parse(&text) {
                Ok(membership) => found = membership.map(|membership| (path, membership)),
                Err(what) => failures.push(Unreadable::malformed(format!("{path}: {what}"))),
            },
            Ok(_) => {}
            Err(why) => failures.push(why),
        }
    }
    let mut membership = Membership::default();
    let joined = match (found, failures.first()) {
        (Some((path, read)), _) => {
            notes.from("joined", path);
            membership = read;
            Some(true)
        }
        (None, Some(why)) => {
            notes.unread("joined", why.clone());
            None
        }
        (None, None) if source.exists("/etc/passwd") == Ok(true) => Some(false),
        (None, None) => {
            let why = "no settings of a system that could be in a domain";
            notes.unread("joined", Unreadable::no_source(why));
            None
        }
    };
    if joined == Some(false) {
        notes.from("joined", "/etc");
    }
    // Kerberos alone is no membership, but it knows the realm of one.
    let realm_of_kerberos = match &kerberos {
        Ok(Some(text)) => {
            ini::value(text, "libdefaults", "default_realm").and_then(bounds::some_text)
        }
        _ => None,
    };
    let realm = membership
        .realm
        .or_else(|| realm_of_kerberos.filter(|_| joined == Some(true)));
    let workgroup = match &samba {
        Ok(Some(text)) => ini::value(text, "global", "workgroup")
            .and_then(bounds::some_text)
            .ok_or_else(|| Unreadable::no_source(format!("{SAMBA}: no workgroup"))),
        Ok(None) => Err(Unreadable::no_source(format!("{SAMBA}: not there"))),
        Err(why) => Err(why.clone()),
    };
    let why = match (joined, failures.into_iter().next()) {
        (Some(false), _) => Unreadable::no_source("in no domain"),
        (_, Some(why)) => why,
        (_, None) => Unreadable::no_source("the settings do not say"),
    };
    let mut told = |group: &str, value: Option<String>| {
        if value.is_none() {
            notes.unread(group, why.clone());
        }
        value
    };
    let mut servers = membership.servers;
    servers.truncate(MAX_SERVERS);
    told("servers", servers.first().cloned());
    let client = (!membership.client.is_empty()).then(|| membership.client.to_owned());
    v1::DirectoryFacts {
        joined,
        domain: told("domain", membership.domain),
        realm: told("realm", realm),
        r#type: told("type", membership.kind.map(str::to_owned)),
        client: told("client", client),
        workgroup: notes.take("workgroup", SAMBA, workgroup),
        servers,
    }
}

/// sssd reads its file and then the parts beside it; both belong to root.
fn sssd_text(source: &Source) -> Settings {
    let mut whole = text(source, SSSD)?;
    match source.list(SSSD_PARTS) {
        Ok(names) => {
            for name in names
                .iter()
                .filter(|name| name.ends_with(".conf") && !name.starts_with('.'))
                .take(50)
            {
                if let Some(part) = text(source, &format!("{SSSD_PARTS}/{name}"))? {
                    let all = whole.get_or_insert_default();
                    all.push('\n');
                    all.push_str(&part);
                }
            }
        }
        Err(why) if why.is_no_source() => {}
        Err(why) => return Err(why),
    }
    Ok(whole)
}

fn list(value: Option<&str>) -> Vec<String> {
    value
        .unwrap_or_default()
        .split([',', ' '])
        .filter(|server| *server != "_srv_")
        .filter_map(bounds::some_text)
        .collect()
}

/// The first enabled domain that is no domain of local files.
fn sssd(text: &str) -> Read {
    let section = |start: &str| ini::entries(text).any(|entry| entry.section.starts_with(start));
    if !section("sssd") && !section("domain/") {
        return Err("no settings of sssd");
    }
    for domain in list(ini::value(text, "sssd", "domains")) {
        let section = format!("domain/{domain}");
        let field = |key: &str| ini::value(text, &section, key);
        let provider = field("id_provider").ok_or("a domain without its provider")?;
        let (kind, servers) = match provider.to_ascii_lowercase().as_str() {
            "ad" => ("active_directory", "ad_server"),
            "ipa" => ("ipa", "ipa_server"),
            "ldap" => ("ldap", "ldap_uri"),
            _ => continue,
        };
        let named = field("ad_domain").or_else(|| field("ipa_domain"));
        return Ok(Some(Membership {
            domain: named.map_or_else(|| Some(domain.clone()), bounds::some_text),
            realm: field("krb5_realm").and_then(bounds::some_text),
            kind: Some(kind),
            client: "sssd",
            servers: list(field(servers)),
        }));
    }
    Ok(None)
}

fn ipa(text: &str) -> Read {
    let field = |key: &str| ini::value(text, "global", key).and_then(bounds::some_text);
    let domain = field("domain").ok_or("no domain")?;
    Ok(Some(Membership {
        domain: Some(domain),
        realm: field("realm"),
        kind: Some("ipa"),
        client: "sssd",
        servers: field("server").into_iter().collect(),
    }))
}

/// smb.conf(5): a member of Active Directory says `security = ads`, one of an older domain `domain`.
fn winbind(text: &str) -> Read {
    let field = |key: &str| ini::value(text, "global", key);
    if !ini::entries(text).any(|entry| entry.section.eq_ignore_ascii_case("global")) {
        return Err("no global section");
    }
    let security = field("security").unwrap_or_default().to_ascii_lowercase();
    let kind = match security.as_str() {
        "ads" => Some("active_directory"),
        "domain" => None,
        _ => return Ok(None),
    };
    let realm = field("realm").and_then(bounds::some_text);
    Ok(Some(Membership {
        domain: realm
            .as_ref()
            .map(|realm| realm.to_lowercase())
            .or_else(|| field("workgroup").and_then(bounds::some_text)),
        realm,
        kind,
        client: "winbind",
        servers: list(field("password server"))
            .into_iter()
            .filter(|server| server != "*")
            .collect(),
    }))
}

/// nslcd.conf(5): `uri ldap://...` and `base dc=...`; passwords stand on lines of their own.
fn nslcd(text: &str) -> Read {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.trim().split_once([' ', '\t'])?;
            (key == name).then(|| value.trim())
        })
    };
    let servers = list(field("uri"));
    if servers.is_empty() {
        return Err("no uri");
    }
    Ok(Some(Membership {
        domain: field("base").and_then(bounds::some_text),
        realm: None,
        kind: Some("ldap"),
        client: "nslcd",
        servers,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships() {
        let text = "[sssd]\ndomains = local, min.example\n[domain/min.example]\nid_provider = ad\nkrb5_realm = MIN.EXAMPLE\nad_server = _srv_, dc1.min.example\nldap_default_authtok = s3cr3t\n[domain/local]\nid_provider = files\n";
        let found = sssd(text).unwrap().unwrap();
        assert_eq!(found.domain.as_deref(), Some("min.example"));
        assert_eq!(found.kind, Some("active_directory"));
        assert_eq!(found.servers, ["dc1.min.example"]);
        for cut in 0..text.len() {
            let _ = sssd(&text[..cut]);
        }
        let samba = "[global]\nworkgroup = MIN\nsecurity = ADS\nrealm = MIN.EXAMPLE\n";
        assert_eq!(
            winbind(samba).unwrap().unwrap().domain.as_deref(),
            Some("min.example")
        );
        assert_eq!(winbind("[global]\nsecurity = user\n"), Ok(None));
        assert_eq!(
            nslcd("uri ldap://a ldap://b\nbase dc=x\nbindpw s3\n")
                .unwrap()
                .unwrap()
                .servers
                .len(),
            2
        );
        assert!(nslcd("# uri x\n").is_err());
    }
}
