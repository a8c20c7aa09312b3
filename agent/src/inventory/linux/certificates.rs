//! The machine's own certificates, so that somebody sees in time that one ends. Authorities of the shipped bundle are not the
//! machine's, and private keys are never opened.

use chasqui_proto::v1;
use sha2::{Digest as _, Sha256};
use v1::section_facts::Facts;
use x509_parser::prelude::{FromDer as _, GeneralName, Pem, X509Certificate};

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds, date};

/// Folders, with how deep below them certificates lie.
const FOLDERS: &[(&str, u32)] = &[
    ("/etc/ssl/certs", 0),
    ("/etc/pki/tls/certs", 0),
    ("/etc/letsencrypt/live", 1),
    ("/etc/nginx/ssl", 0),
    ("/etc/nginx/certs", 0),
    ("/etc/apache2/ssl", 0),
    ("/etc/httpd/ssl", 0),
    ("/etc/cups/ssl", 0),
    ("/etc/openvpn", 1),
    ("/etc/ipsec.d/certs", 0),
    ("/etc/swanctl/x509", 0),
    ("/var/lib/libvirt/pki", 0),
    ("/etc/pki/libvirt", 0),
];
/// What ca-certificates and its like write: links into these, and whole bundles.
const SHIPPED: &[&str] = &[
    "/usr/share/ca-certificates/",
    "/usr/local/share/ca-certificates/",
    "/etc/ca-certificates/",
    "/etc/pki/ca-trust/",
];
const BUNDLES: &[&str] = &[
    "ca-certificates.crt",
    "ca-bundle.crt",
    "ca-bundle.trust.crt",
    "ca-certificates.bundle",
    "tls-ca-bundle.pem",
];
const MAX_FILES: usize = 500;
const MAX_BYTES: usize = 1 << 20;
const MAX_IN_FILE: usize = 20;
const MAX_CERTIFICATES: usize = 500;
const MAX_NAMES: usize = 100;

/// Makes the certificates section.
#[derive(Clone, Copy, Debug)]
pub struct Certificates;

impl Collector for Certificates {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Certificates
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut certificates = Vec::new();
        let mut left = MAX_FILES;
        for (folder, depth) in FOLDERS {
            read_folder(
                source,
                folder,
                *depth,
                &mut left,
                &mut certificates,
                &mut notes,
            );
        }
        certificates.sort_by(|a, b| a.path.cmp(&b.path));
        if certificates.len() > MAX_CERTIFICATES || left == 0 {
            let why = "more files or certificates than are kept";
            notes.unread("certificates", Unreadable::too_large(why));
            certificates.truncate(MAX_CERTIFICATES);
        }
        if certificates.is_empty() {
            let why = "no certificate of its own in the usual places";
            notes.unread("certificates", Unreadable::no_source(why));
        }
        for (field, lacking) in [
            (
                "subject",
                certificates.iter().any(|one| one.subject.is_none()),
            ),
            (
                "issuer",
                certificates.iter().any(|one| one.issuer.is_none()),
            ),
        ] {
            if lacking {
                let why = Unreadable::no_source("the certificate leaves the name empty");
                notes.unread(&format!("certificates.{field}"), why);
            }
        }
        let facts = v1::CertificatesFacts { certificates };
        Observation::new(Facts::Certificates(facts), notes)
    }
}

fn read_folder(
    source: &Source,
    folder: &str,
    depth: u32,
    left: &mut usize,
    found: &mut Vec<v1::Certificate>,
    notes: &mut Notes,
) {
    let names = match source.list(folder) {
        Ok(names) => names,
        Err(why) if why.is_no_source() => return,
        Err(why) => return notes.unread("certificates", why),
    };
    for name in names {
        let path = format!("{folder}/{name}");
        if depth > 0 && source.list(&path).is_ok() {
            read_folder(source, &path, depth.saturating_sub(1), left, found, notes);
            continue;
        }
        if !is_candidate(source, &path, &name) {
            continue;
        }
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None => return,
        }
        match source
            .bytes(&path, MAX_BYTES)
            .and_then(|bytes| parse(&path, &bytes))
        {
            Ok(several) => {
                notes.from("certificates", folder);
                found.extend(several);
            }
            // A link whose target went away.
            Err(why) if why.is_no_source() => {}
            Err(why) => notes.unread("certificates", why),
        }
    }
}

fn is_candidate(source: &Source, path: &str, name: &str) -> bool {
    let named = [".pem", ".crt", ".cer", ".der"]
        .iter()
        .any(|ending| name.ends_with(ending));
    // The chain and the full chain repeat what stands in cert.pem.
    let repeated = path.starts_with("/etc/letsencrypt/") && name != "cert.pem";
    let key = name.contains("key") || name.starts_with("dhparam");
    if !named || repeated || key || BUNDLES.contains(&name) {
        return false;
    }
    match source.link(path) {
        // In the folder of the bundle a link beside is a second name, by the authority's digest.
        Ok(target) => {
            let whole = if target.starts_with('/') {
                target.clone()
            } else {
                format!("/etc/{}", target.trim_start_matches("../"))
            };
            !SHIPPED.iter().any(|place| whole.starts_with(place))
                && (target.contains('/') || !path.starts_with("/etc/ssl/certs/"))
        }
        Err(_) => true,
    }
}

/// The certificates of one file, in its order; of a file with keys beside them, the certificates alone.
fn parse(path: &str, bytes: &[u8]) -> Result<Vec<v1::Certificate>, Unreadable> {
    let bad = |what: &str| Unreadable::malformed(format!("{path}: {what}"));
    if bytes.starts_with(&[0x30]) {
        return one(path, bytes)
            .map(|certificate| vec![certificate])
            .ok_or_else(|| bad("no certificate"));
    }
    let mut found = Vec::new();
    for pem in Pem::iter_from_buffer(bytes).take(MAX_IN_FILE) {
        let pem = pem.map_err(|_| bad("a block of PEM makes no sense"))?;
        match pem.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => {
                found.push(
                    one(path, &pem.contents).ok_or_else(|| bad("no certificate in a block"))?,
                );
            }
            // Authorities in openssl's form carry trust settings behind them.
            _ => {}
        }
    }
    if found.is_empty() {
        return Err(bad("no certificates"));
    }
    Ok(found)
}

fn one(path: &str, der: &[u8]) -> Option<v1::Certificate> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    let der = der.get(..der.len().checked_sub(rest.len())?)?;
    let day = |seconds: i64| date::day_of(seconds.checked_mul(1_000)?);
    let validity = certificate.validity();
    let (subject, issuer) = (certificate.subject(), certificate.issuer());
    let mut names: Vec<String> = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .take(MAX_NAMES)
        .filter_map(name)
        .collect();
    names.sort();
    names.dedup();
    Some(v1::Certificate {
        path: bounds::clip(path, 512),
        subject: bounds::some_text(&subject.to_string()),
        issuer: bounds::some_text(&issuer.to_string()),
        serial: Some(bounds::clean(&hex::encode_upper(certificate.raw_serial()))),
        not_before: Some(day(validity.not_before.timestamp())?),
        not_after: Some(day(validity.not_after.timestamp())?),
        self_signed: Some(subject == issuer),
        fingerprint: Some(hex::encode(Sha256::digest(der))),
        names,
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            bounds::some_text(text)
        }
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|b| std::net::Ipv4Addr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|b| std::net::Ipv6Addr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["estacion-1.example".to_owned(), "10.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        certificate.der().to_vec()
    }

    #[test]
    fn both_forms_give_the_same_and_a_cut_one_nothing() {
        let der = der();
        let found = parse("/c.der", &der).unwrap();
        assert_eq!(found[0].names, ["10.0.0.1", "estacion-1.example"]);
        assert_eq!(found[0].self_signed, Some(true));
        assert_eq!(found[0].not_before.as_deref(), Some("1975-01-01"));
        let body = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der);
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
        );
        assert_eq!(parse("/c.der", pem.as_bytes()).unwrap(), found);
        for cut in 0..der.len() {
            assert!(parse("/c", &der[..cut]).is_err(), "{cut}");
            let _ = parse("/c", &pem.as_bytes()[..cut]);
        }
        let mut lying = der.clone();
        lying[1] = 0x84;
        assert!(parse("/c", &lying).is_err());
        for at in 0..der.len() {
            let mut changed = der.clone();
            changed[at] ^= 0xff;
            let _ = parse("/c", &changed);
        }
    }
}
