//! Printers as CUPS keeps them. Whether one prints just now is no fact; whether it is stopped or refuses jobs is one.

use std::collections::BTreeMap;

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};

const FOLDER: &str = "/etc/cups";
const QUEUES: &str = "/etc/cups/printers.conf";
const PPD: &str = "/etc/cups/ppd";
const USERS_DEFAULT: &str = "/etc/cups/lpoptions";
const MAX_BYTES: usize = 4 << 20;
const MAX_PRINTERS: usize = 500;

/// Makes the printers section.
#[derive(Clone, Copy, Debug)]
pub struct Printers;

impl Collector for Printers {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Printers
    }

    fn version(&self) -> u32 {
        1
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let mut facts = v1::PrintersFacts::default();
        match source.exists(FOLDER) {
            Ok(true) => read(source, &mut facts, &mut notes),
            Ok(false) => {
                let why = format!("{FOLDER}: no printing system keeps its settings here");
                for group in ["printers", "default_printer", "system"] {
                    notes.unread(group, Unreadable::no_source(why.clone()));
                }
            }
            Err(why) => {
                for group in ["printers", "default_printer", "system"] {
                    notes.unread(group, why.clone());
                }
            }
        }
        Observation::new(Facts::Printers(facts), notes)
    }
}

fn read(source: &Source, facts: &mut v1::PrintersFacts, notes: &mut Notes) {
    // The version is nowhere in its files; the software section has the package.
    facts.system = Some("cups".to_owned());
    notes.from("system", FOLDER);
    let queues = match source
        .text(QUEUES, MAX_BYTES)
        .and_then(|text| queues(&text))
    {
        Ok((queues, fault)) => {
            notes.from("printers", QUEUES);
            if let Some(why) = fault {
                notes.unread("printers", why);
            }
            queues
        }
        Err(why) => {
            notes.unread("printers", why);
            Vec::new()
        }
    };
    let ppds = ppds(source, notes);
    let by_file = queues.iter().find(|queue| queue.default);
    facts.default_printer = by_file.map(|queue| queue.name.clone());
    if facts.default_printer.is_none() {
        let text = source.text(USERS_DEFAULT, 1 << 16);
        let read = text.and_then(|text| {
            default_of(&text)
                .ok_or_else(|| Unreadable::no_source("no queue is marked as the default one"))
        });
        facts.default_printer = notes.take("default_printer", USERS_DEFAULT, read);
    }
    facts.printers = queues
        .into_iter()
        .map(|queue| queue.printer(&ppds))
        .collect();
    facts.printers.sort_by(|a, b| a.name.cmp(&b.name));
    explain(&facts.printers, notes);
}

/// One `<Printer>` block of printers.conf(5).
#[derive(Debug, Default, PartialEq)]
struct Queue {
    name: String,
    default: bool,
    fields: BTreeMap<String, String>,
}

fn queues(text: &str) -> Result<(Vec<Queue>, Option<Unreadable>), Unreadable> {
    let mut found = Vec::new();
    let mut open: Option<Queue> = None;
    let mut fault = None;
    for line in text.lines().map(str::trim) {
        let block = line
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'));
        match block {
            Some("/Printer" | "/DefaultPrinter") => found.extend(open.take()),
            Some(heading) => {
                let (kind, name) = heading.split_once(' ').unwrap_or((heading, ""));
                let name = bounds::some_text(name);
                match (kind, name, &open) {
                    ("Printer" | "DefaultPrinter", Some(name), None) => {
                        open = Some(Queue {
                            name,
                            default: kind == "DefaultPrinter",
                            ..Queue::default()
                        });
                    }
                    _ => {
                        let why = format!("{QUEUES}: {}", bounds::clip(line, 80));
                        fault.get_or_insert(Unreadable::malformed(why));
                        open = None;
                    }
                }
            }
            None if line.is_empty() || line.starts_with('#') => {}
            None => match (&mut open, line.split_once(' ')) {
                (Some(queue), Some((name, value))) if queue.fields.len() < 200 => {
                    queue
                        .fields
                        .insert(name.to_owned(), value.trim().to_owned());
                }
                (Some(_), _) => {}
                // Settings before the first block, such as NextPrinterId.
                (None, Some((name, _))) if name.bytes().all(|b| b.is_ascii_alphanumeric()) => {}
                (None, _) => {
                    fault.get_or_insert(Unreadable::malformed(format!("{QUEUES}: no queues")));
                }
            },
        }
        if found.len() >= MAX_PRINTERS {
            let why = format!("{QUEUES}: over {MAX_PRINTERS} queues");
            return Ok((found, Some(Unreadable::too_large(why))));
        }
    }
    if open.is_some() {
        fault = Some(Unreadable::malformed(format!("{QUEUES}: cut short")));
    }
    if found.is_empty() && fault.is_none() {
        // CUPS keeps the file with its heading also when there is no queue left.
        let heading = text
            .lines()
            .any(|line| line.starts_with("# Printer configuration"));
        fault = Some(if heading {
            Unreadable::no_source(format!("{QUEUES}: no queue is set up"))
        } else {
            Unreadable::malformed(format!("{QUEUES}: no queues"))
        });
    }
    Ok((found, fault))
}

impl Queue {
    fn field(&self, name: &str) -> Option<String> {
        self.fields
            .get(name)
            .and_then(|text| bounds::some_text(text))
    }

    fn truth(&self, name: &str) -> Option<bool> {
        self.fields
            .get(name)
            .and_then(|text| super::ini::truth(text))
    }

    fn printer(self, ppds: &BTreeMap<String, String>) -> v1::Printer {
        let uri = self.field("DeviceURI").map(|uri| without_password(&uri));
        let state = self.field("State").map(|state| {
            // `Idle` and `Processing` follow each other all day.
            if state.eq_ignore_ascii_case("stopped") {
                "stopped"
            } else {
                "idle"
            }
        });
        v1::Printer {
            description: self.field("Info"),
            location: self.field("Location"),
            driver: ppds
                .get(&self.name)
                .cloned()
                .or_else(|| self.field("MakeModel")),
            shared: self.truth("Shared"),
            network: uri.as_deref().and_then(is_network),
            serial: uri.as_deref().and_then(serial),
            state: state.map(str::to_owned),
            accepting: self.truth("Accepting"),
            uri,
            name: self.name,
        }
    }
}

/// `smb://ana:secret@server/queue` without what stands between the name and the `@`.
fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return uri.to_owned();
    };
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    // A password may hold an `@` of its own: the last one ends it.
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let name = user.split(':').next().unwrap_or_default();
            format!("{name}@{host}")
        }
        None => authority.to_owned(),
    };
    // Some back ends take the password as an option.
    let path = match path.split_once('?') {
        Some((path, options)) => {
            let kept: Vec<&str> = options
                .split('&')
                .filter(|option| !option.to_ascii_lowercase().starts_with("pass"))
                .collect();
            if kept.is_empty() {
                path.to_owned()
            } else {
                format!("{path}?{}", kept.join("&"))
            }
        }
        None => path.to_owned(),
    };
    format!("{scheme}://{host}{path}")
}

fn is_network(uri: &str) -> Option<bool> {
    match uri.split(':').next()? {
        "ipp" | "ipps" | "http" | "https" | "socket" | "lpd" | "smb" | "dnssd" | "snmp"
        | "implicitclass" | "mdns" => Some(true),
        "usb" | "parallel" | "serial" | "file" | "cups-pdf" | "bluetooth" | "gutenprint53+usb" => {
            Some(false)
        }
        "hp" if uri.starts_with("hp:/net/") => Some(true),
        "hp" => Some(false),
        _ => None,
    }
}

/// USB queues carry the serial of the device: `usb://HP/LaserJet?serial=VND3`.
fn serial(uri: &str) -> Option<String> {
    let (_, options) = uri.split_once('?')?;
    options
        .split('&')
        .find_map(|option| option.strip_prefix("serial="))
        .and_then(bounds::some_text)
}

/// Names of models by queue, from the files that describe them.
fn ppds(source: &Source, notes: &mut Notes) -> BTreeMap<String, String> {
    let names = match source.list(PPD) {
        Ok(names) => names,
        Err(why) if why.is_no_source() => return BTreeMap::new(),
        Err(why) => {
            notes.unread("printers.ppd", why);
            return BTreeMap::new();
        }
    };
    let mut models = BTreeMap::new();
    for name in names.iter().take(MAX_PRINTERS) {
        let Some(queue) = name.strip_suffix(".ppd") else {
            continue;
        };
        let path = format!("{PPD}/{name}");
        match source.text(&path, MAX_BYTES) {
            Ok(text) => match nick_name(&text) {
                Some(model) => {
                    models.insert(queue.to_owned(), model);
                }
                None => {
                    let why = Unreadable::malformed(format!("{path}: no NickName"));
                    notes.unread("printers.ppd", why);
                }
            },
            Err(why) => notes.unread("printers.ppd", why),
        }
    }
    models
}

/// `*NickName: "HP LaserJet 400 M401n Postscript"`.
fn nick_name(text: &str) -> Option<String> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("*NickName:"))?;
    bounds::some_text(super::ini::bare(line))
}

/// lpoptions: `Default queue option=value ...`.
fn default_of(text: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix("Default "))
        .and_then(|rest| rest.split([' ', '/']).next())
        .and_then(bounds::some_text)
}

fn explain(printers: &[v1::Printer], notes: &mut Notes) {
    let lacks = |field: fn(&v1::Printer) -> bool| printers.iter().any(field);
    for (field, lacking, why) in [
        (
            "description",
            lacks(|p| p.description.is_none()),
            "the queue has no description",
        ),
        (
            "location",
            lacks(|p| p.location.is_none()),
            "the queue names no place",
        ),
        ("uri", lacks(|p| p.uri.is_none()), "the queue has no device"),
        (
            "driver",
            lacks(|p| p.driver.is_none()),
            "neither a PPD nor the queue names a model",
        ),
        (
            "shared",
            lacks(|p| p.shared.is_none()),
            "the queue does not say",
        ),
        (
            "network",
            lacks(|p| p.network.is_none()),
            "the kind of device is unknown",
        ),
        (
            "state",
            lacks(|p| p.state.is_none()),
            "the queue does not say",
        ),
        (
            "accepting",
            lacks(|p| p.accepting.is_none()),
            "the queue does not say",
        ),
        (
            "serial",
            lacks(|p| p.serial.is_none()),
            "only USB devices tell it in their address",
        ),
    ] {
        if lacking {
            let why = Unreadable::no_source(format!("{QUEUES}: {why}"));
            notes.unread(&format!("printers.{field}"), why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_leave_addresses() {
        for (uri, shown) in [
            ("smb://ana:s3@c@srv/q", "smb://ana@srv/q"),
            (
                "ipp://u:p@host:631/x?a=1&password=z",
                "ipp://u@host:631/x?a=1",
            ),
            ("lpd://h/q?password=z", "lpd://h/q"),
            ("usb://HP/L?serial=1", "usb://HP/L?serial=1"),
            ("file:/dev/null", "file:/dev/null"),
        ] {
            assert_eq!(without_password(uri), shown, "{uri}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_says_so() {
        let text = "# Printer configuration file for CUPS v2.4\nNextPrinterId 3\n<DefaultPrinter A>\nInfo x\nState Idle\n</DefaultPrinter>\n<Printer B>\nShared Yes\n</Printer>\n";
        let (found, fault) = queues(text).unwrap();
        assert_eq!((found.len(), fault), (2, None));
        assert!(found[0].default && !found[1].default);
        for cut in 0..text.len() - 1 {
            let (found, fault) = queues(&text[..cut]).unwrap();
            assert!(fault.is_some() || !found.is_empty(), "{cut}");
        }
    }
}
