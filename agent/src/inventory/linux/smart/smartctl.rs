//! smartctl's JSON, for disks that no command of ours reaches: members behind a RAID controller, SAS disks. The one place
//! of the inventory that may run a program: by absolute path, with an argument vector, a time limit and a bounded output.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::Deserialize;

use super::super::super::{Source, Unreadable, bounds, patience};
use super::ata::Attribute;

/// Largest output that is read.
pub const MAX_BYTES: usize = 1 << 20;
const PATHS: &[&str] = &[
    "/usr/sbin/smartctl",
    "/sbin/smartctl",
    "/usr/local/sbin/smartctl",
    "/usr/bin/smartctl",
];
const LIMIT: Duration = Duration::from_secs(10);
const MAX_MEMBERS: usize = 128;
const MAX_ATTRIBUTES: usize = 255;

/// What smartctl told of a disk; what it left out stays `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// It found the disk asleep and left it so.
    pub asleep: bool,
    /// Serial.
    pub serial: Option<String>,
    /// Keeps SMART data, and is told to.
    pub supported: Option<bool>,
    /// Is told to.
    pub enabled: Option<bool>,
    /// The disk's own verdict.
    pub passed: Option<bool>,
    /// Turns a minute.
    pub rotation_rpm: Option<u32>,
    /// Attributes with thresholds, sorted by id.
    pub attributes: Option<Vec<(Attribute, u8)>>,
    /// Errors counted (ATA).
    pub error_log_entries: Option<u64>,
    /// Self-tests that failed, of the rows that are kept.
    pub failed_self_tests: Option<u32>,
    /// Hours.
    pub power_on_hours: Option<u64>,
    /// Degrees.
    pub temperature_celsius: Option<i32>,
    /// Starts.
    pub power_cycles: Option<u64>,
}

#[derive(Deserialize)]
struct Root {
    smartctl: Option<Run>,
    serial_number: Option<String>,
    smart_support: Option<Support>,
    smart_status: Option<Passed>,
    rotation_rate: Option<u32>,
    ata_smart_attributes: Option<Table<Row>>,
    ata_smart_error_log: Option<ErrorLog>,
    ata_smart_self_test_log: Option<SelfTestLog>,
    power_on_time: Option<Hours>,
    temperature: Option<Current>,
    power_cycle_count: Option<u64>,
    #[serde(default)]
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Run {
    exit_status: Option<u32>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    string: String,
}

#[derive(Deserialize)]
struct Support {
    available: Option<bool>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
struct Passed {
    passed: Option<bool>,
}

#[derive(Deserialize)]
struct Table<T> {
    #[serde(default = "Vec::new")]
    table: Vec<T>,
}

#[derive(Deserialize)]
struct Row {
    id: u8,
    value: u8,
    worst: u8,
    #[serde(default)]
    thresh: u8,
    flags: Option<Flags>,
    raw: Option<Raw>,
}

#[derive(Deserialize)]
struct Flags {
    value: u16,
}

#[derive(Deserialize)]
struct Raw {
    value: u64,
}

#[derive(Deserialize)]
struct ErrorLog {
    summary: Option<Count>,
    extended: Option<Count>,
}

#[derive(Deserialize)]
struct Count {
    count: Option<u64>,
}

#[derive(Deserialize)]
struct SelfTestLog {
    standard: Option<Table<SelfTest>>,
    extended: Option<Table<SelfTest>>,
}

#[derive(Deserialize)]
struct SelfTest {
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    value: Option<u32>,
}

#[derive(Deserialize)]
struct Hours {
    hours: Option<u64>,
}

#[derive(Deserialize)]
struct Current {
    current: Option<i32>,
}

#[derive(Deserialize)]
struct Device {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Reads the report on one disk. The exit status within is a bit mask: bits 0 to 2 are about the run, the rest about the
/// disk.
pub fn parse(json: &[u8]) -> Result<Told, Unreadable> {
    let root = root(json)?;
    let run = root.smartctl.as_ref();
    let said = |text: &str| {
        run.is_some_and(|run| {
            run.messages
                .iter()
                .any(|message| message.string.contains(text))
        })
    };
    if root.smart_status.is_none() && (said("STANDBY mode") || said("SLEEP mode")) {
        return Ok(Told {
            asleep: true,
            ..Told::default()
        });
    }
    let status = run.and_then(|run| run.exit_status).unwrap_or(0);
    if status & 0b11 != 0 {
        let message = run.and_then(|run| run.messages.first());
        let message = message.map_or("", |message| &message.string);
        return Err(Unreadable::no_source(format!(
            "smartctl: exit status {status}: {}",
            bounds::clip(message, 200)
        )));
    }
    let attributes = root.ata_smart_attributes.map(|table| {
        let mut rows: Vec<(Attribute, u8)> = table
            .table
            .into_iter()
            .take(MAX_ATTRIBUTES)
            .filter(|row| row.id != 0)
            .map(|row| {
                let attribute = Attribute {
                    id: row.id,
                    flags: row.flags.map_or(0, |flags| flags.value),
                    value: row.value,
                    worst: row.worst,
                    raw: row.raw.map_or(0, |raw| raw.value & 0xffff_ffff_ffff),
                };
                (attribute, row.thresh)
            })
            .collect();
        rows.sort_by_key(|(attribute, _)| attribute.id);
        rows.dedup_by_key(|(attribute, _)| attribute.id);
        rows
    });
    let self_tests = root
        .ata_smart_self_test_log
        .and_then(|log| log.standard.or(log.extended));
    let has_data = attributes.is_some() || root.smart_status.is_some();
    let support = root.smart_support;
    Ok(Told {
        asleep: false,
        serial: root.serial_number.as_deref().and_then(bounds::some_text),
        // Older versions leave the words out; what is reported is kept.
        supported: support
            .as_ref()
            .and_then(|support| support.available)
            .or(has_data.then_some(true)),
        enabled: support
            .and_then(|support| support.enabled)
            .or(has_data.then_some(true)),
        passed: root.smart_status.and_then(|status| status.passed),
        rotation_rpm: root.rotation_rate,
        attributes,
        error_log_entries: root
            .ata_smart_error_log
            .and_then(|log| log.summary.or(log.extended))
            .and_then(|log| log.count),
        failed_self_tests: self_tests.map(|log| {
            let failed = log.table.iter().filter(|test| {
                let value = test.status.as_ref().and_then(|status| status.value);
                value.is_some_and(|value| matches!(value >> 4, 3..=8))
            });
            u32::try_from(failed.count()).unwrap_or(u32::MAX)
        }),
        power_on_hours: root.power_on_time.and_then(|time| time.hours),
        temperature_celsius: root.temperature.and_then(|now| now.current),
        power_cycles: root.power_cycle_count,
    })
}

/// Members behind RAID controllers, of `smartctl --scan-open`: `bus/0/megaraid,0`, sorted.
pub fn members(json: &[u8]) -> Result<Vec<String>, Unreadable> {
    const KINDS: &[&str] = &[
        "megaraid,",
        "cciss,",
        "aacraid,",
        "3ware,",
        "areca,",
        "hpt,",
    ];
    let mut members: Vec<String> = root(json)?
        .devices
        .into_iter()
        .filter(|device| KINDS.iter().any(|kind| device.kind.contains(kind)))
        .filter_map(|device| {
            let name = device.name.strip_prefix("/dev/")?.to_owned();
            // Both become arguments and part of a path.
            let plain = |text: &str| {
                !text.is_empty()
                    && text.len() <= 60
                    && !text.contains("..")
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b",+/._-".contains(&b))
            };
            let kind_is_plain = plain(&device.kind) && !device.kind.contains('/');
            (plain(&name) && kind_is_plain).then(|| format!("{name}/{}", device.kind))
        })
        .take(MAX_MEMBERS)
        .collect();
    members.sort();
    members.dedup();
    Ok(members)
}

/// Asks smartctl for a disk (`sda`) or a member (`bus/0/megaraid,0`).
pub fn run(source: &Source, disk: &str) -> Result<Vec<u8>, Unreadable> {
    let (device, kind) = match disk.rsplit_once('/') {
        Some((device, kind)) => (device, Some(kind)),
        None => (disk, None),
    };
    let mut arguments = vec!["--json", "--all", "--nocheck=standby"];
    if let Some(kind) = kind {
        arguments.extend(["--device", kind]);
    }
    let device = format!("/dev/{device}");
    arguments.push(&device);
    command(source, &arguments)
}

/// Asks smartctl which disks it finds.
pub fn scan(source: &Source) -> Result<Vec<u8>, Unreadable> {
    command(source, &["--json", "--scan-open"])
}

fn command(source: &Source, arguments: &[&str]) -> Result<Vec<u8>, Unreadable> {
    let program = PATHS
        .iter()
        .find(|path| source.exists(path) == Ok(true))
        .ok_or_else(|| Unreadable::no_source("smartctl is not installed"))?;
    answer_of(program, arguments, LIMIT)
}

/// What a program prints within a time limit and a bound. It gets no environment of ours; when it hangs, it is ended with all
/// that it started.
pub fn answer_of(
    program: &str,
    arguments: &[&str],
    limit: Duration,
) -> Result<Vec<u8>, Unreadable> {
    let mut child = Command::new(program)
        .args(arguments)
        .process_group(0)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Unreadable::of_error(program, &error))?;
    let Some(output) = child.stdout.take() else {
        return Err(Unreadable::io(format!("{program}: no pipe")));
    };
    let read = patience::within("smartctl", limit, move || {
        let mut bytes = Vec::new();
        let bound = u64::try_from(MAX_BYTES)
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        output.take(bound).read_to_end(&mut bytes).map(|_| bytes)
    });
    // Whatever came: it has said all it had to, or is not listened to any more. Its exit code is in the JSON too.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    // One that a disk holds in the kernel cannot be ended, and would hold this thread too.
    if read.is_ok() {
        let _ = child.wait();
    }
    let bytes = read?.map_err(|error| Unreadable::of_error(program, &error))?;
    if bytes.len() > MAX_BYTES {
        return Err(Unreadable::too_large(format!(
            "{program}: over {MAX_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

fn root(json: &[u8]) -> Result<Root, Unreadable> {
    serde_json::from_slice(json)
        .map_err(|error| Unreadable::malformed(format!("smartctl's JSON: {error}")))
}
