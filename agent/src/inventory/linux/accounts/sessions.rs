//! Who is logged in and who was last: systemd-logind's files, and the records of utmp(5), whose size differs between
//! processors with a 32-bit past and others.

use std::io::{Read as _, Seek as _, SeekFrom};

use chasqui_proto::v1;

use super::super::super::{Source, Unreadable, bounds};

const SESSIONS: &str = "/run/systemd/sessions";
const UTMP: &str = "/run/utmp";
const WTMP: &str = "/var/log/wtmp";
const MAX_SESSIONS: usize = 1_000;
/// Of utmp, and of the end of wtmp: some hundreds of records.
const MAX_RECORDS_BYTES: u64 = 256 << 10;
/// USER_PROCESS of utmp(5).
const USER_PROCESS: u16 = 7;

/// Both, as far as they can be read.
pub fn read(source: &Source) -> v1::VolatileFacts {
    let form = Form::of(source);
    let mut logged_in = match by_logind(source) {
        Ok(sessions) => sessions,
        // Machines without systemd keep utmp alone.
        Err(_) => records_of(source, UTMP, form)
            .map(|records| records.iter().filter_map(Record::session).collect())
            .unwrap_or_default(),
    };
    logged_in
        .sort_by(|a, b| (&a.login, &a.place, a.since_ms).cmp(&(&b.login, &b.place, b.since_ms)));
    logged_in.dedup();
    let last_log_on = records_of(source, WTMP, form)
        .ok()
        .and_then(|records| last(&records));
    v1::VolatileFacts {
        logged_in,
        last_log_on,
        ..v1::VolatileFacts::default()
    }
}

fn by_logind(source: &Source) -> Result<Vec<v1::LoggedIn>, Unreadable> {
    let names = source.list(SESSIONS)?;
    Ok(names
        .iter()
        .filter(|name| !name.contains('.'))
        .take(MAX_SESSIONS)
        .filter_map(|name| source.text(&format!("{SESSIONS}/{name}"), 1 << 16).ok())
        .filter_map(|text| session(&text))
        .collect())
}

/// One file of logind: assignments. Greeters, lock screens and background services are nobody's log-on.
fn session(text: &str) -> Option<v1::LoggedIn> {
    let field = |name: &str| super::super::ini::value(text, "", name).and_then(bounds::some_text);
    let class = field("CLASS");
    if !matches!(
        class.as_deref(),
        None | Some("user" | "user-early" | "user-light")
    ) {
        return None;
    }
    if field("STATE").as_deref() == Some("closing") {
        return None;
    }
    let since_us: Option<i64> = field("REALTIME").and_then(|text| text.parse().ok());
    Some(v1::LoggedIn {
        login: field("USER")?,
        place: field("REMOTE_HOST")
            .or_else(|| field("SEAT"))
            .or_else(|| field("TTY")),
        since_ms: since_us.map(|us| us / 1_000),
    })
}

/// Where the fields of a record lie.
#[derive(Clone, Copy, Debug)]
struct Form {
    size: usize,
    /// Time is 64 bits wide.
    wide: bool,
}

impl Form {
    fn of(source: &Source) -> Self {
        let narrow = Self {
            size: 384,
            wide: false,
        };
        match source.machine().as_deref() {
            // glibc's machines without a 32-bit predecessor.
            Ok("aarch64" | "riscv64" | "loongarch64" | "ia64" | "alpha") => Self {
                size: 400,
                wide: true,
            },
            _ => narrow,
        }
    }
}

#[derive(Debug, PartialEq)]
struct Record {
    kind: u16,
    line: String,
    user: String,
    host: String,
    at_s: i64,
}

impl Record {
    fn parse(bytes: &[u8], form: Form) -> Option<Self> {
        let text = |from: usize, to: usize| {
            let field = bytes.get(from..to)?;
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            Some(bounds::clean_bytes(field.get(..end)?))
        };
        let at_s = if form.wide {
            i64::from_le_bytes(bytes.get(344..352)?.try_into().ok()?)
        } else {
            // Unsigned, as newer systems read it past 2038.
            i64::from(u32::from_le_bytes(bytes.get(340..344)?.try_into().ok()?))
        };
        Some(Self {
            kind: u16::from_le_bytes(bytes.get(0..2)?.try_into().ok()?),
            line: text(8, 40)?,
            user: text(44, 76)?,
            host: text(76, 332)?,
            at_s,
        })
    }

    fn place(&self) -> Option<String> {
        bounds::some_text(&self.host)
            .filter(|host| !host.starts_with(':'))
            .or_else(|| bounds::some_text(&self.line))
    }

    fn session(&self) -> Option<v1::LoggedIn> {
        (self.kind == USER_PROCESS && !self.user.is_empty()).then(|| v1::LoggedIn {
            login: self.user.clone(),
            place: self.place(),
            since_ms: self.at_s.checked_mul(1_000),
        })
    }
}

fn last(records: &[Record]) -> Option<v1::LastLogOn> {
    let record = records
        .iter()
        .rev()
        .find(|record| record.kind == USER_PROCESS && !record.user.is_empty())?;
    Some(v1::LastLogOn {
        login: record.user.clone(),
        at_ms: record.at_s.checked_mul(1_000)?,
        place: record.place(),
    })
}

/// The records at the end of a file.
fn records_of(source: &Source, path: &str, form: Form) -> Result<Vec<Record>, Unreadable> {
    let fail = |error: std::io::Error| Unreadable::of_error(path, &error);
    let mut file = source.file(path)?;
    let length = file.metadata().map_err(fail)?.len();
    let size = form.size as u64;
    let whole = length / size * size;
    let from = whole.saturating_sub(MAX_RECORDS_BYTES / size * size);
    file.seek(SeekFrom::Start(from)).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_RECORDS_BYTES)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    Ok(records(&bytes, form))
}

fn records(bytes: &[u8], form: Form) -> Vec<Record> {
    bytes
        .chunks_exact(form.size)
        .filter_map(|record| Record::parse(record, form))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Form = Form {
        size: 384,
        wide: false,
    };

    fn record(kind: u16, user: &str, line: &str, at_s: u32) -> Vec<u8> {
        let mut bytes = vec![0; 384];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[8..8 + line.len()].copy_from_slice(line.as_bytes());
        bytes[44..44 + user.len()].copy_from_slice(user.as_bytes());
        bytes[340..344].copy_from_slice(&at_s.to_le_bytes());
        bytes
    }

    #[test]
    fn the_last_log_on_is_the_last_record_of_a_person() {
        let mut bytes = record(2, "reboot", "~", 1);
        bytes.extend(record(7, "ana", "tty2", 1_700_000_000));
        bytes.extend(record(8, "", "tty2", 1_700_000_100));
        let found = last(&records(&bytes, NARROW)).unwrap();
        assert_eq!(
            (found.login.as_str(), found.at_ms),
            ("ana", 1_700_000_000_000)
        );
        assert_eq!(found.place.as_deref(), Some("tty2"));
        for cut in 0..bytes.len() {
            assert_eq!(records(&bytes[..cut], NARROW).len(), cut / 384);
        }
        let _ = records(&vec![0xff; 4_000], NARROW);
        let wide = Form {
            size: 400,
            wide: true,
        };
        assert_eq!(records(&vec![0xff; 4_000], wide).len(), 10);
    }

    #[test]
    fn sessions_of_people_alone() {
        let text = "# private\nUID=1000\nUSER=ana\nCLASS=user\nSEAT=seat0\nTTY=tty2\nSTATE=active\nREALTIME=1700000000123456\n";
        let found = session(text).unwrap();
        assert_eq!(found.place.as_deref(), Some("seat0"));
        assert_eq!(found.since_ms, Some(1_700_000_000_123));
        assert_eq!(session(&text.replace("CLASS=user", "CLASS=greeter")), None);
        assert_eq!(session(""), None);
    }
}
