//! Antivirus programs by the places where they install themselves, ClamAV's databases by their headers.

use std::io::Read as _;

use chasqui_proto::v1;

use super::super::super::{Notes, Source, Unreadable, bounds, date};
use super::super::{ini, packages};
use super::Units;

const DATABASES: &str = "/var/lib/clamav";
/// The part of ClamAV's database that changes every day; the others change by the year.
const DAILY: &[&str] = &["daily.cld", "daily.cvd"];
const MAIN: &[&str] = &["main.cvd", "main.cld"];

/// A program with marks in the file system.
struct Known {
    name: &'static str,
    publisher: &'static str,
    /// Any of these shows that it is installed.
    places: &'static [&'static str],
    /// Its service; any of them.
    units: &'static [&'static str],
    /// Its package, where dpkg would know the version.
    packages: &'static [&'static str],
    /// A file with `KEY=version` or the version alone.
    version: Option<(&'static str, &'static str)>,
}

const KNOWN: &[Known] = &[
    Known {
        name: "ClamAV",
        publisher: "Cisco Talos",
        places: &["/usr/bin/clamscan", "/usr/sbin/clamd", "/usr/bin/freshclam"],
        units: &[
            "clamav-daemon.service",
            "clamd@scan.service",
            "clamd.service",
        ],
        packages: &["clamav", "clamav-daemon", "clamav-base"],
        version: None,
    },
    Known {
        name: "Microsoft Defender for Endpoint",
        publisher: "Microsoft",
        places: &["/opt/microsoft/mdatp/sbin/wdavdaemon"],
        units: &["mdatp.service"],
        packages: &["mdatp"],
        version: None,
    },
    Known {
        name: "CrowdStrike Falcon",
        publisher: "CrowdStrike",
        places: &["/opt/CrowdStrike/falconctl", "/opt/CrowdStrike/falcond"],
        units: &["falcon-sensor.service"],
        packages: &["falcon-sensor"],
        version: None,
    },
    Known {
        name: "SentinelOne",
        publisher: "SentinelOne",
        places: &["/opt/sentinelone/bin/sentinelctl"],
        units: &["sentinelone.service"],
        packages: &["sentinelagent"],
        version: None,
    },
    Known {
        name: "Sophos Anti-Virus",
        publisher: "Sophos",
        places: &["/opt/sophos-spl/base/bin", "/opt/sophos-av/bin/savscan"],
        units: &["sophos-spl.service", "sav-protect.service"],
        packages: &[],
        version: Some(("/opt/sophos-spl/base/VERSION.ini", "PRODUCT_VERSION")),
    },
    Known {
        name: "ESET Endpoint Antivirus",
        publisher: "ESET",
        places: &[
            "/opt/eset/eea/bin",
            "/opt/eset/efs/bin",
            "/opt/eset/esets/bin",
        ],
        units: &["eea.service", "efs.service", "esets.service"],
        packages: &["eea", "efs", "esets"],
        version: None,
    },
    Known {
        name: "Kaspersky Endpoint Security",
        publisher: "Kaspersky",
        places: &["/opt/kaspersky/kesl/bin"],
        units: &["kesl.service"],
        packages: &["kesl"],
        version: None,
    },
    Known {
        name: "Trend Micro Deep Security Agent",
        publisher: "Trend Micro",
        places: &["/opt/ds_agent/ds_agent"],
        units: &["ds_agent.service"],
        packages: &["ds-agent"],
        version: None,
    },
    Known {
        name: "Bitdefender Endpoint Security",
        publisher: "Bitdefender",
        places: &["/opt/bitdefender-security-tools/bin"],
        units: &["bdsec.service"],
        packages: &["bitdefender-security-tools"],
        version: None,
    },
];

/// The programs that are here, sorted by name.
pub fn read(source: &Source, units: Units<'_>, notes: &mut Notes) -> Vec<v1::Antivirus> {
    let mut here: Vec<&Known> = Vec::new();
    for known in KNOWN {
        for place in known.places {
            match source.exists(place) {
                Ok(true) => {
                    notes.from(&format!("antivirus.{}", known.name), place);
                    here.push(known);
                    break;
                }
                Ok(false) => {}
                Err(why) => notes.unread(&format!("antivirus.{}", known.name), why),
            }
        }
    }
    if here.is_empty() {
        return Vec::new();
    }
    let names: Vec<&str> = here
        .iter()
        .flat_map(|known| known.packages)
        .copied()
        .collect();
    let versions = packages::versions(source, &names);
    let mut found: Vec<_> = here
        .into_iter()
        .map(|known| {
            let group = |field: &str| format!("antivirus.{}.{field}", known.name);
            let version = version(source, known, &versions);
            let enabled = enabled(known, units);
            let database = if known.name == "ClamAV" {
                clamav(source)
            } else {
                let why = "the program keeps it in a form of its own";
                Err(Unreadable::no_source(why))
            };
            let (day, number) = match database {
                Ok((path, header)) => {
                    notes.from("antivirus.ClamAV.definitions_date", &path);
                    (Some(header.day), Some(header.version))
                }
                Err(why) => {
                    notes.unread(&group("definitions_date"), why.clone());
                    notes.unread(&group("definitions_version"), why);
                    (None, None)
                }
            };
            v1::Antivirus {
                name: known.name.to_owned(),
                publisher: Some(known.publisher.to_owned()),
                version: notes.part(&group("version"), version),
                enabled: notes.part(&group("enabled"), enabled),
                definitions_date: day,
                definitions_version: number,
            }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn version(
    source: &Source,
    known: &Known,
    versions: &Result<std::collections::BTreeMap<String, String>, Unreadable>,
) -> Result<String, Unreadable> {
    if let Some((path, key)) = known.version {
        let text = source.text(path, 1 << 16)?;
        return ini::value(&text, "", key)
            .and_then(|value| bounds::some_text(ini::bare(value)))
            .ok_or_else(|| Unreadable::malformed(format!("{path}: no {key}")));
    }
    let versions = versions.as_ref().map_err(Clone::clone)?;
    known
        .packages
        .iter()
        .find_map(|name| versions.get(*name).cloned())
        .ok_or_else(|| Unreadable::no_source("dpkg knows no package of it"))
}

/// Whether its service starts with the machine.
fn enabled(known: &Known, units: Units<'_>) -> Result<bool, Unreadable> {
    let units = units.map_err(Clone::clone)?;
    Ok(known.units.iter().any(|unit| units.is_enabled(unit)))
}

/// What the 512 bytes before a database say.
#[derive(Debug, PartialEq)]
struct Header {
    day: String,
    version: String,
}

fn clamav(source: &Source) -> Result<(String, Header), Unreadable> {
    let mut newest: Option<(String, Header)> = None;
    let mut failure = None;
    for name in DAILY.iter().chain(MAIN) {
        let path = format!("{DATABASES}/{name}");
        match header(source, &path) {
            Ok(header) => {
                if newest.as_ref().is_none_or(|(_, old)| old.day < header.day) {
                    newest = Some((path, header));
                }
            }
            Err(why) if why.is_no_source() => {}
            Err(why) => {
                failure.get_or_insert(why);
            }
        }
    }
    // A daily database that makes no sense must not pass the older main one off as what is known.
    match (newest, failure) {
        (_, Some(why)) => Err(why),
        (Some(found), None) => Ok(found),
        (None, None) => Err(Unreadable::no_source(format!(
            "{DATABASES}: no database was fetched"
        ))),
    }
}

fn header(source: &Source, path: &str) -> Result<Header, Unreadable> {
    let mut bytes = Vec::with_capacity(512);
    source
        .file(path)?
        .take(512)
        .read_to_end(&mut bytes)
        .map_err(|error| Unreadable::of_error(path, &error))?;
    parse(&bytes).ok_or_else(|| Unreadable::malformed(format!("{path}: no header of ClamAV")))
}

/// `ClamAV-VDB:16 Sep 2021 08-32 -0400:26295:1971232:90:DIGEST:SIGNATURE:builder:1631795562`: the last number is the time of
/// building in seconds; old databases end before it.
fn parse(bytes: &[u8]) -> Option<Header> {
    if bytes.len() < 512 {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let fields: Vec<&str> = text.split(':').collect();
    if *fields.first()? != "ClamAV-VDB" {
        return None;
    }
    let version = fields.get(2)?;
    let built_s: Option<i64> = fields.get(8).and_then(|text| text.parse().ok());
    let day = match built_s {
        Some(seconds) => date::day_of(seconds.checked_mul(1_000)?)?,
        None => day_of_words(fields.get(1)?)?,
    };
    (!version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())).then(|| Header {
        day,
        version: (*version).to_owned(),
    })
}

/// The day of `16 Sep 2021 08-32 -0400`.
fn day_of_words(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_whitespace();
    let day: u32 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS
        .iter()
        .position(|name| *name == month)?
        .checked_add(1)?;
    let year: u32 = words.next()?.parse().ok()?;
    ((1990..=9999).contains(&year) && (1..=31).contains(&day))
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(512, b' ');
        bytes
    }

    #[test]
    fn the_header_of_a_database() {
        let text = "ClamAV-VDB:16 Sep 2021 08-32 -0400:26295:1971232:90:d1:s1:builder:1631795562";
        let found = parse(&block(text)).unwrap();
        assert_eq!(
            (found.day.as_str(), found.version.as_str()),
            ("2021-09-16", "26295")
        );
        let old = "ClamAV-VDB:9 Mar 2004 21-00 +0100:200:1:1:d:s:b";
        assert_eq!(parse(&block(old)).unwrap().day, "2004-03-09");
        for cut in 0..512 {
            assert_eq!(parse(&block(text)[..cut]), None, "{cut}");
        }
        assert_eq!(parse(&block("ClamAV-VDB:x:y")), None);
        assert_eq!(parse(&[0xff; 512]), None);
        let far = "ClamAV-VDB:1 Jan 2020:1:1:1:d:s:b:9223372036854775807";
        assert_eq!(parse(&block(far)), None);
    }
}
