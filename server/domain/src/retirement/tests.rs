//! Made machines, and the tests over them: whole assessments, single criteria, and what must hold for all.

mod criteria;
mod machines;
mod properties;

use super::*;

const SEEN: i64 = 1_790_000_000_000; // 2026-09-21 in Bogotá

fn ms(date: &str) -> i64 {
    calendar::start_of(calendar::parse_date(date).unwrap()).unwrap() + 12 * 3_600_000
}

fn knowledge() -> &'static Knowledge {
    Knowledge::builtin().unwrap()
}

fn known<T>(value: T, source: &str) -> Fact<T> {
    Fact::known(value, source, SEEN)
}

fn dmi(date: &str) -> Fact<String> {
    known(date.to_owned(), "/sys/class/dmi/id/bios_date")
}

fn bought(date: &str) -> Fact<String> {
    known(date.to_owned(), "typed by almacén")
}

fn windows(name: &str, build: u32, edition: &str) -> Fact<OperatingSystem> {
    known(
        OperatingSystem::from_windows(name, Some(build), edition, "Client"),
        "registry CurrentVersion",
    )
}

fn linux(id: &str, version: &str, pretty: &str) -> Fact<OperatingSystem> {
    known(
        OperatingSystem::from_os_release(id, version, pretty, pretty),
        "/etc/os-release",
    )
}

const GIB: u64 = 1 << 30;

fn old_desktop() -> DeviceFacts {
    DeviceFacts {
        virtual_machine: known(false, "cpuid"),
        purchase_date: Fact::unknown(WhyUnknown::NotRecorded, ""),
        firmware_date: dmi("03/12/2012"),
        memory_modules_bytes: known(vec![2 * GIB, GIB], "SMBIOS type 17"),
        memory_visible_bytes: known(3_100_000_000, "GlobalMemoryStatusEx"),
        system_disk: known(DiskKind::Hdd, "MSFT_PhysicalDisk.MediaType"),
        operating_system: windows("Windows 7 Professional", 7601, "Professional"),
    }
}

fn modern_laptop() -> DeviceFacts {
    DeviceFacts {
        virtual_machine: known(false, "cpuid"),
        purchase_date: bought("2025-03-10"),
        firmware_date: dmi("11/20/2024"),
        memory_modules_bytes: known(vec![8 * GIB, 8 * GIB], "SMBIOS type 17"),
        memory_visible_bytes: known(16_500_000_000, "GlobalMemoryStatusEx"),
        system_disk: known(DiskKind::Nvme, "MSFT_PhysicalDisk.BusType"),
        operating_system: windows("Windows 10 Pro", 26200, "Professional"),
    }
}

fn virtual_machine() -> DeviceFacts {
    DeviceFacts {
        virtual_machine: known(true, "/proc/cpuinfo flags: hypervisor"),
        purchase_date: Fact::unknown(WhyUnknown::NotRecorded, ""),
        firmware_date: Fact::unknown(WhyUnknown::NotAvailable, "/sys/class/dmi/id does not exist"),
        memory_modules_bytes: Fact::unknown(WhyUnknown::NotAvailable, "no SMBIOS"),
        memory_visible_bytes: known(8_323_276_800, "/proc/meminfo MemTotal"),
        system_disk: known(DiskKind::Virtual, "/sys/block/vda"),
        operating_system: linux("debian", "12", "Debian GNU/Linux 12 (bookworm)"),
    }
}

fn office_desktop() -> DeviceFacts {
    DeviceFacts {
        purchase_date: bought("2020-02-29"),
        firmware_date: dmi("06/01/2019"),
        memory_modules_bytes: known(vec![8 * GIB], "SMBIOS type 17"),
        memory_visible_bytes: known(8_300_000_000, "/proc/meminfo MemTotal"),
        system_disk: known(DiskKind::Hdd, "/sys/block/sda/queue/rotational"),
        operating_system: linux("ubuntu", "24.04", "Ubuntu 24.04.2 LTS"),
        ..modern_laptop()
    }
}

fn verdicts(assessment: &Assessment) -> [Verdict; 4] {
    let all: Vec<Verdict> = assessment.criteria.iter().map(|one| one.verdict).collect();
    all.try_into().unwrap()
}

fn paper(assessment: &Assessment) -> String {
    let mut lines = format!(
        "{} / {}\n  {}\n  {}\n",
        assessment.class.name().es,
        assessment.class.name().en,
        assessment.reason.es,
        assessment.reason.en
    );
    for one in &assessment.criteria {
        lines.push_str(&format!(
            "{} [{}] {} v{}\n  {}\n  {}\n",
            one.id.as_str(),
            one.verdict.as_str(),
            one.rule,
            one.rule_version,
            one.explanation.es,
            one.explanation.en
        ));
        for proof in &one.evidence {
            let Evidence {
                fact,
                value,
                unit,
                source,
                observed_at_ms,
            } = proof;
            lines.push_str(&format!(
                "    {fact} = {value} {unit} ({source}; {observed_at_ms})\n"
            ));
        }
    }
    lines
}

const NOW: &str = "2026-11-23";

fn at(facts: &DeviceFacts, date: &str) -> Assessment {
    assess(facts, knowledge(), ms(date))
}

fn verdict(facts: &DeviceFacts, id: CriterionId, date: &str) -> Verdict {
    at(facts, date).criterion(id).unwrap().verdict
}
