//! Processors: what `/proc/cpuinfo` says of each, with the layout from `/sys/devices/system/cpu`. The current clock is
//! no fact of the machine and is left out.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_proto::v1;
use v1::section_facts::Facts;

use super::super::gaps::Gaps;
use super::super::{Collector, Notes, Observation, Source, Unreadable, bounds};
use super::placeholder;
use super::smbios::{self, Smbios, kind};

/// Bound of `/proc/cpuinfo`; some 1,500 bytes a thread.
pub const MAX_CPUINFO_BYTES: usize = 16 << 20;

const CPUINFO: &str = "/proc/cpuinfo";
const CPUS: &str = "/sys/devices/system/cpu";
const MAX_THREADS: usize = 8_192;
const MAX_SOCKETS: usize = 256;

/// Features that decide which operating system and which programs can run, by the kernel's names.
const FEATURES: &[&str] = &[
    "3dnowprefetch",
    "abm",
    "aes",
    "asimd",
    "atomics",
    "avx",
    "avx2",
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512f",
    "avx512vl",
    "bmi1",
    "bmi2",
    "crc32",
    "cx16",
    "cx8",
    "ept",
    "f16c",
    "fma",
    "fp",
    "lahf_lm",
    "lm",
    "movbe",
    "nx",
    "pae",
    "pni",
    "popcnt",
    "sha2",
    "sha_ni",
    "smap",
    "smep",
    "sse",
    "sse2",
    "sse4_1",
    "sse4_2",
    "ssse3",
    "sve",
    "svm",
    "umip",
    "vmx",
    "xsave",
];

/// Designers of ARM cores by the implementer's number.
const ARM_VENDORS: &[(u32, &str)] = &[
    (0x41, "ARM"),
    (0x42, "Broadcom"),
    (0x43, "Cavium"),
    (0x46, "Fujitsu"),
    (0x48, "HiSilicon"),
    (0x4e, "NVIDIA"),
    (0x50, "Applied Micro"),
    (0x51, "Qualcomm"),
    (0x53, "Samsung"),
    (0x56, "Marvell"),
    (0x61, "Apple"),
    (0x6d, "Microsoft"),
    (0xc0, "Ampere"),
];

/// ARM's own cores by part number.
const ARM_PARTS: &[(u32, &str)] = &[
    (0xd03, "Cortex-A53"),
    (0xd04, "Cortex-A35"),
    (0xd05, "Cortex-A55"),
    (0xd07, "Cortex-A57"),
    (0xd08, "Cortex-A72"),
    (0xd09, "Cortex-A73"),
    (0xd0a, "Cortex-A75"),
    (0xd0b, "Cortex-A76"),
    (0xd0c, "Neoverse-N1"),
    (0xd0d, "Cortex-A77"),
    (0xd40, "Neoverse-V1"),
    (0xd41, "Cortex-A78"),
    (0xd44, "Cortex-X1"),
    (0xd46, "Cortex-A510"),
    (0xd47, "Cortex-A710"),
    (0xd48, "Cortex-X2"),
    (0xd49, "Neoverse-N2"),
    (0xd4d, "Cortex-A715"),
    (0xd4e, "Cortex-X3"),
    (0xd4f, "Neoverse-V2"),
];

/// Makes the CPU section.
#[derive(Clone, Copy, Debug)]
pub struct Cpu;

impl Collector for Cpu {
    fn kind(&self) -> v1::SectionKind {
        v1::SectionKind::Cpu
    }

    fn version(&self) -> u32 {
        2
    }

    fn collect(&self, source: &Source) -> Observation {
        let mut notes = Notes::new(self.kind());
        let architecture = notes.take("architecture", "uname(2)", source.machine());
        let mut facts = v1::CpuFacts {
            architecture,
            ..v1::CpuFacts::default()
        };
        match read_threads(source) {
            Ok(threads) => {
                notes.from("threads", CPUINFO);
                facts.threads = u32::try_from(threads.len()).ok();
                fill(&mut facts, source, &threads, &mut notes);
                name_sockets(&mut facts.cpus, source, &mut notes);
            }
            Err(why) => {
                for group in ["sockets", "cores", "threads", "cpus"] {
                    notes.unread(group, why.clone());
                }
            }
        }
        Observation::new(Facts::Cpu(facts), notes)
    }
}

/// One processor entry of cpuinfo: its number and its lines.
struct Thread {
    number: u32,
    lines: BTreeMap<String, String>,
}

impl Thread {
    fn number_of(&self, name: &str) -> Option<u32> {
        let text = self.lines.get(name)?;
        match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        }
    }

    fn text_of(&self, name: &str) -> Option<String> {
        let text = self
            .lines
            .get(name)
            .and_then(|text| bounds::some_text(text))?;
        (text != "unknown").then(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn read_threads(source: &Source) -> Result<Vec<Thread>, Unreadable> {
    let text = source.text(CPUINFO, MAX_CPUINFO_BYTES)?;
    let mut threads: Vec<Thread> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name == "processor" {
            // Old ARM kernels name the model in a line that begins alike ("Processor"), with a capital letter.
            let number = value
                .parse()
                .map_err(|_| Unreadable::malformed(format!("{CPUINFO}: processor {value:.40}")))?;
            if threads.len() >= MAX_THREADS {
                return Err(Unreadable::too_large(format!(
                    "{CPUINFO}: over {MAX_THREADS} processors"
                )));
            }
            threads.push(Thread {
                number,
                lines: BTreeMap::new(),
            });
        } else if let Some(thread) = threads.last_mut()
            && thread.lines.len() < 100
        {
            thread.lines.insert(name.to_owned(), value.to_owned());
        }
    }
    if threads.is_empty() {
        return Err(Unreadable::malformed(format!("{CPUINFO}: no processor")));
    }
    Ok(threads)
}

/// Where a thread sits: its socket and its core.
fn place(source: &Source, thread: &Thread) -> Option<(u32, u32)> {
    let topology = format!("{CPUS}/cpu{}/topology", thread.number);
    let listed = || {
        // -1 means that the kernel does not know.
        let socket = source.number::<u32>(&format!("{topology}/physical_package_id"));
        let core = source.number::<u32>(&format!("{topology}/core_id"));
        Some((socket.ok()?, core.ok()?))
    };
    thread
        .number_of("physical id")
        .zip(thread.number_of("core id"))
        .or_else(listed)
}

fn fill(facts: &mut v1::CpuFacts, source: &Source, threads: &[Thread], notes: &mut Notes) {
    let places: Option<Vec<(u32, u32)>> =
        threads.iter().map(|thread| place(source, thread)).collect();
    let Some(places) = places else {
        let why = Unreadable::no_source(format!("{CPUINFO} and {CPUS} do not say which socket"));
        for group in ["sockets", "cores", "cpus"] {
            notes.unread(group, why.clone());
        }
        return;
    };
    let mut sockets: BTreeMap<u32, Vec<(&Thread, u32)>> = BTreeMap::new();
    for (thread, (socket, core)) in threads.iter().zip(places) {
        sockets.entry(socket).or_default().push((thread, core));
    }
    if sockets.len() > MAX_SOCKETS {
        let why = Unreadable::too_large(format!("over {MAX_SOCKETS} sockets"));
        for group in ["sockets", "cores", "cpus"] {
            notes.unread(group, why.clone());
        }
        return;
    }
    for group in ["sockets", "cores", "cpus"] {
        notes.from(group, CPUINFO);
        notes.from(group, CPUS);
    }
    facts.sockets = u32::try_from(sockets.len()).ok();
    let mut all_cores = 0_usize;
    for (number, members) in &sockets {
        let cores = members
            .iter()
            .map(|(_, core)| core)
            .collect::<BTreeSet<_>>()
            .len();
        all_cores += cores;
        let mut cpu = describe(members);
        cpu.cores = u32::try_from(cores).ok();
        cpu.threads = u32::try_from(members.len()).ok();
        cpu.max_mhz = max_mhz(source, *number, members, notes);
        for (name, missing) in [
            ("vendor", cpu.vendor.is_none()),
            ("model_name", cpu.model_name.is_none()),
            ("family", cpu.family.is_none()),
            ("model", cpu.model.is_none()),
            ("stepping", cpu.stepping.is_none()),
            ("features", cpu.features.is_empty()),
        ] {
            if missing {
                notes.unread(
                    &format!("cpus.{number}.{name}"),
                    Unreadable::no_source(format!("{CPUINFO} does not say")),
                );
            }
        }
        facts.cpus.push(cpu);
    }
    facts.cores = u32::try_from(all_cores).ok();
}

/// Names of the sockets on the board. The firmware lists them in the order in which the kernel counts them; where it lists
/// another number of processors than the kernel, nobody knows which is which.
fn name_sockets(cpus: &mut [v1::Cpu], source: &Source, notes: &mut Notes) {
    let mut gaps = Gaps::default();
    match socket_names(source, cpus.len()) {
        Ok(names) => {
            notes.from("cpus.socket", smbios::TABLE);
            for (number, (cpu, name)) in cpus.iter_mut().zip(names).enumerate() {
                cpu.socket = gaps.part("socket", &format!("processor {number}"), name);
            }
        }
        Err(why) => {
            if !cpus.is_empty() {
                notes.unread("cpus.socket", why);
            }
        }
    }
    gaps.tell("cpus", notes);
}

fn socket_names(
    source: &Source,
    wanted: usize,
) -> Result<Vec<Result<String, Unreadable>>, Unreadable> {
    let table = Smbios::read(source)?;
    let processors: Vec<_> = table
        .all(kind::PROCESSOR)
        // Central processors (not a coprocessor or a sound chip) in sockets that are not empty.
        .filter(|one| one.byte(0x05) == Some(3) && one.byte(0x18).is_some_and(|b| b & 0x40 != 0))
        .collect();
    if processors.len() == wanted {
        let name = |one: &&smbios::Structure| placeholder::refuse(one.text(0x04));
        return Ok(processors.iter().map(name).collect());
    }
    // A table cut short lists too few.
    let listed = processors.len();
    Err(table.fault().unwrap_or_else(|| {
        Unreadable::no_source(format!(
            "{}: {listed} processors in type 4, the kernel has {wanted}",
            smbios::TABLE
        ))
    }))
}

fn describe(members: &[(&Thread, u32)]) -> v1::Cpu {
    let Some((first, _)) = members.first() else {
        return v1::Cpu::default();
    };
    let features = first
        .lines
        .get("flags")
        .or_else(|| first.lines.get("Features"))
        .map(|flags| {
            let flags: BTreeSet<&str> = flags.split_whitespace().collect();
            FEATURES
                .iter()
                .filter(|feature| flags.contains(*feature))
                .map(|feature| (*feature).to_owned())
                .collect()
        })
        .unwrap_or_default();
    let mut cpu = v1::Cpu {
        vendor: first.text_of("vendor_id"),
        model_name: first.text_of("model name"),
        family: first.number_of("cpu family"),
        model: first.number_of("model"),
        stepping: first.number_of("stepping"),
        features,
        ..v1::Cpu::default()
    };
    if let Some(implementer) = first.number_of("CPU implementer") {
        cpu.vendor = named(ARM_VENDORS, implementer);
        cpu.model_name = cpu.model_name.or_else(|| arm_cores(members));
        // ARM has no family; the part is what tells models apart, the variant and revision what tells steppings.
        cpu.model = first.number_of("CPU part");
        cpu.stepping = first.number_of("CPU revision");
    }
    cpu
}

/// Names of the cores in one chip, big and little: `Cortex-A53 + Cortex-A72`.
fn arm_cores(members: &[(&Thread, u32)]) -> Option<String> {
    let names: BTreeSet<String> = members
        .iter()
        .filter(|(thread, _)| thread.number_of("CPU implementer") == Some(0x41))
        .filter_map(|(thread, _)| named(ARM_PARTS, thread.number_of("CPU part")?))
        .collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(" + "))
}

fn named(table: &[(u32, &str)], number: u32) -> Option<String> {
    table
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, name)| (*name).to_owned())
}

/// The highest clock of any core in a socket, where the frequency driver tells it.
fn max_mhz(
    source: &Source,
    socket: u32,
    members: &[(&Thread, u32)],
    notes: &mut Notes,
) -> Option<u32> {
    let group = format!("cpus.{socket}.max_mhz");
    let mut highest: Option<u32> = None;
    let mut failure = None;
    for (thread, _) in members {
        let path = format!("{CPUS}/cpu{}/cpufreq/cpuinfo_max_freq", thread.number);
        match source.number::<u32>(&path) {
            Ok(khz) => highest = highest.max(Some(khz / 1_000)),
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    let read = highest.ok_or_else(|| {
        failure.unwrap_or_else(|| Unreadable::no_source(format!("{CPUS}: no cpufreq")))
    });
    notes.take(&group, CPUS, read)
}
