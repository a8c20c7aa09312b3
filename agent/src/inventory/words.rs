//! The inventory in words, for a person at the machine. Programs are counted here; the JSON form lists them.

use std::collections::BTreeMap;
use std::fmt::Write;

use chasqui_base::text::Lang;
use chasqui_proto::facts::{self, words as names};
use chasqui_proto::v1;
use serde_json::Value;
use v1::section_facts::Facts;

use super::{Inventory, bounds, kind_name};

const LABEL_WIDTH: usize = 26;

/// A page of text. What was not observed is said with its reason; a list at the end has every gap.
pub fn render_text(inventory: &Inventory, lang: Lang) -> String {
    let mut page = Page {
        lang,
        out: String::new(),
        section: "",
        unread: BTreeMap::new(),
    };
    let mut gaps = Vec::new();
    for section in &inventory.sections {
        let kind = section.kind();
        let Some(decoded) = inventory.facts(kind) else {
            continue;
        };
        page.section = kind_name(kind);
        page.unread = decoded
            .unread
            .iter()
            .map(|unread| (unread.group.clone(), unread.reason()))
            .collect();
        page.heading(names::section(kind, lang));
        if let Some(facts) = &decoded.facts {
            page.facts(facts, &decoded);
        }
        gaps.extend(decoded.unread);
    }
    page.volatile(&inventory.volatile);
    page.gaps(&gaps);
    page.out
}

struct Page {
    lang: Lang,
    out: String,
    section: &'static str,
    unread: BTreeMap<String, v1::UnreadReason>,
}

impl Page {
    fn heading(&mut self, title: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.line(title);
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A label with its value, or with why there is none.
    fn row(&mut self, (es, en): (&str, &str), field: &str, value: Option<String>) {
        let value = value.unwrap_or_else(|| {
            let reason = self
                .unread
                .get(&format!("{}.{field}", self.section))
                .copied()
                .unwrap_or_default();
            let unknown = self.lang.pick("no observado", "not observed");
            format!("{unknown} ({})", names::reason(reason, self.lang))
        });
        let label = self.lang.pick(es, en);
        let _ = writeln!(self.out, "  {label:<LABEL_WIDTH$}{value}");
    }

    fn facts(&mut self, facts: &Facts, section: &v1::SectionFacts) {
        match facts {
            Facts::Identity(facts) => self.identity(facts),
            Facts::Hardware(facts) => self.hardware(facts),
            Facts::Cpu(facts) => self.cpu(facts),
            Facts::Memory(facts) => self.memory(facts),
            Facts::Disks(facts) => self.disks(facts),
            Facts::Network(facts) => self.network(facts),
            Facts::OperatingSystem(facts) => self.operating_system(facts),
            Facts::Software(facts) => self.software(facts),
            // Of use to the list of programs alone.
            Facts::SoftwareDates(facts) => {
                self.row(
                    ("Días distintos", "Distinct days"),
                    "days",
                    Some(facts.days.len().to_string()),
                );
            }
            _ => self.named(&facts::facts_json(section)),
        }
    }

    /// A section by the names of its fields: one line for each fact and for each thing of a list.
    fn named(&mut self, facts: &Value) {
        let Some(map) = facts.as_object() else {
            return;
        };
        for (name, value) in map {
            let label = names::field(name, self.lang).to_owned();
            match value {
                Value::Array(items) if items.is_empty() => {
                    let group = format!("{}.{name}", self.section);
                    let why = self
                        .unread
                        .get(&group)
                        .or_else(|| self.unread.get(self.section));
                    let text = match why {
                        Some(reason) => {
                            let unknown = self.lang.pick("no observado", "not observed");
                            format!("{unknown} ({})", names::reason(*reason, self.lang))
                        }
                        None => self.lang.pick("ninguno", "none").to_owned(),
                    };
                    let _ = writeln!(self.out, "  {label:<LABEL_WIDTH$}{text}");
                }
                Value::Array(items) if items.iter().all(Value::is_object) => {
                    self.line(&format!("  {label}"));
                    for item in items {
                        let text = self.described(item);
                        self.line(&format!("    {text}"));
                    }
                }
                Value::Null => {}
                value => {
                    let text = self.described(value);
                    let _ = writeln!(self.out, "  {label:<LABEL_WIDTH$}{text}");
                }
            }
        }
    }

    /// A value in one line: a thing begins with its name, its other facts follow with theirs.
    fn described(&self, value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::Bool(yes) => self.yes_no(*yes),
            Value::String(text) => bounds::clip(text, 120),
            Value::Number(number) => number.to_string(),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.described(item)).collect();
                items.join(", ")
            }
            Value::Object(map) => {
                const TITLES: &[&str] = &["name", "connector", "login", "device", "path", "slot"];
                let title = TITLES.iter().find(|title| map.contains_key(**title));
                let mut parts = Vec::new();
                if let Some(value) = title.and_then(|title| map.get(*title)) {
                    parts.push(self.described(value));
                }
                for (name, value) in map {
                    // The bytes of an EDID tell a person nothing.
                    let empty = value.as_array().is_some_and(Vec::is_empty);
                    if title.is_some_and(|title| title == name) || name == "edid" || empty {
                        continue;
                    }
                    let label = names::field(name, self.lang);
                    parts.push(match value {
                        Value::Object(_) => format!("{label} ({})", self.described(value)),
                        Value::Number(bytes) if name.ends_with("_bytes") => {
                            format!("{label} {}", binary(bytes.as_u64().unwrap_or_default()))
                        }
                        value => format!("{label} {}", self.described(value)),
                    });
                }
                parts.join("; ")
            }
        }
    }

    fn identity(&mut self, f: &v1::IdentityFacts) {
        self.row(("Nombre", "Host name"), "host_name", f.host_name.clone());
        self.row(("Dominio", "Domain"), "domain_name", f.domain_name.clone());
        self.row(
            ("Serie", "Serial"),
            "system_serial",
            f.system_serial.clone(),
        );
        self.row(
            ("Serie de la tarjeta", "Board serial"),
            "board_serial",
            f.board_serial.clone(),
        );
        self.row(
            ("Serie del chasis", "Chassis serial"),
            "chassis_serial",
            f.chassis_serial.clone(),
        );
        self.row(
            ("Placa de activo", "Asset tag"),
            "asset_tag",
            f.asset_tag.clone(),
        );
        self.row(("UUID", "UUID"), "smbios_uuid", f.smbios_uuid.clone());
    }

    fn hardware(&mut self, f: &v1::HardwareFacts) {
        self.row(
            ("Fabricante", "Manufacturer"),
            "manufacturer",
            f.manufacturer.clone(),
        );
        self.row(("Modelo", "Model"), "model", f.model.clone());
        let chassis = f.chassis_type.as_deref().map(|name| self.chassis(name));
        self.row(("Tipo", "Chassis"), "chassis_type", chassis);
        self.row(
            ("Versión del firmware", "Firmware version"),
            "firmware_version",
            f.firmware_version.clone(),
        );
        self.row(
            ("Fecha del firmware", "Firmware date"),
            "firmware_date",
            f.firmware_date.clone(),
        );
        let uefi = f.uefi.map(|uefi| self.yes_no(uefi));
        self.row(("UEFI", "UEFI"), "uefi", uefi);
        let virtualization = f.virtualization.as_deref().map(|name| match name {
            "none" => self.lang.pick("ninguna", "none").to_owned(),
            name => name.to_owned(),
        });
        self.row(
            ("Virtualización", "Virtualisation"),
            "virtualization",
            virtualization,
        );
    }

    fn cpu(&mut self, f: &v1::CpuFacts) {
        let count = |number: Option<u32>| number.map(|number| number.to_string());
        self.row(
            ("Arquitectura", "Architecture"),
            "architecture",
            f.architecture.clone(),
        );
        for (number, cpu) in f.cpus.iter().enumerate() {
            self.row(
                ("Modelo", "Model"),
                &format!("cpus.{number}.model_name"),
                cpu.model_name.clone(),
            );
        }
        self.row(("Zócalos", "Sockets"), "sockets", count(f.sockets));
        self.row(("Núcleos", "Cores"), "cores", count(f.cores));
        self.row(("Hilos", "Threads"), "threads", count(f.threads));
    }

    fn memory(&mut self, f: &v1::MemoryFacts) {
        self.row(
            ("Instalada", "Installed"),
            "installed_bytes",
            f.installed_bytes.map(binary),
        );
        self.row(
            ("Visible al sistema", "Visible to the system"),
            "visible_bytes",
            f.visible_bytes.map(binary),
        );
        let slots = f.slots.map(|slots| slots.to_string());
        self.row(("Ranuras", "Slots"), "slots", slots);
        for module in &f.modules {
            let parts = [
                module.slot.clone(),
                module.size_bytes.map(binary),
                module.r#type.clone(),
                module.speed_mts.map(|speed| format!("{speed} MT/s")),
                module.manufacturer.clone(),
                module.part_number.clone(),
            ];
            self.entry(&parts);
        }
        self.row(
            ("Intercambio", "Swap"),
            "swap_bytes",
            f.swap_bytes.map(binary),
        );
    }

    fn disks(&mut self, f: &v1::DisksFacts) {
        for disk in &f.disks {
            let kind = match disk.kind() {
                v1::DiskKind::Unspecified => {
                    self.lang.pick("tipo no observado", "kind not observed")
                }
                v1::DiskKind::Hdd => "HDD",
                v1::DiskKind::Ssd => "SSD",
                v1::DiskKind::Nvme => "NVMe",
                v1::DiskKind::Emmc => "eMMC",
                v1::DiskKind::Virtual => "virtual",
            };
            let system = self.lang.pick("disco del sistema", "system disk");
            let parts = [
                Some(disk.name.clone()),
                Some(kind.to_owned()),
                disk.size_bytes.map(decimal),
                disk.bus.clone(),
                disk.model.clone(),
                disk.serial.clone(),
                (disk.system == Some(true)).then(|| system.to_owned()),
            ];
            self.entry(&parts);
        }
        for mounted in &f.file_systems {
            let parts = [
                Some(mounted.mount_point.clone()),
                Some(mounted.r#type.clone()),
                mounted.size_bytes.map(binary),
                Some(mounted.device.clone()),
            ];
            self.entry(&parts);
        }
    }

    fn network(&mut self, f: &v1::NetworkFacts) {
        for interface in &f.interfaces {
            let state = match interface.up {
                Some(true) => Some(self.lang.pick("activa", "up").to_owned()),
                Some(false) => Some(self.lang.pick("inactiva", "down").to_owned()),
                None => None,
            };
            let mut parts = vec![
                Some(interface.name.clone()),
                interface.r#type.clone(),
                state,
                interface.mac.clone(),
                interface.speed_mbps.map(|speed| format!("{speed} Mb/s")),
            ];
            parts.extend(interface.addresses.iter().cloned().map(Some));
            self.entry(&parts);
        }
        let listed = |list: &[String]| (!list.is_empty()).then(|| list.join(", "));
        self.row(("DNS", "DNS"), "dns_servers", listed(&f.dns_servers));
        self.row(
            ("Puerta de enlace", "Gateway"),
            "default_gateways",
            listed(&f.default_gateways),
        );
    }

    fn operating_system(&mut self, f: &v1::OperatingSystemFacts) {
        self.row(("Nombre", "Name"), "name", f.name.clone());
        self.row(("Versión", "Version"), "version", f.version.clone());
        self.row(("Núcleo", "Kernel"), "kernel", f.kernel.clone());
        self.row(
            ("Instalado el", "Installed on"),
            "installed_on",
            f.installed_on.clone(),
        );
    }

    fn software(&mut self, f: &v1::SoftwareFacts) {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in &f.items {
            *counts.entry(item.source.as_str()).or_default() += 1;
        }
        for (manager, count) in counts {
            self.row((manager, manager), "items", Some(count.to_string()));
        }
        if f.items.is_empty() {
            self.row(("Programas", "Programs"), "items", None);
        }
    }

    fn volatile(&mut self, v: &v1::VolatileFacts) {
        self.heading(
            self.lang
                .pick("Al momento de leer", "At the time of reading"),
        );
        self.section = "volatile";
        let minutes = v.uptime_s.map(|seconds| {
            let minutes = seconds / 60;
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        });
        self.row(("Encendido hace", "Up for"), "uptime_s", minutes);
        self.row(
            ("Memoria disponible", "Memory available"),
            "memory_available_bytes",
            v.memory_available_bytes.map(binary),
        );
        for space in &v.free_space {
            let free = self.lang.pick("libres en", "free on");
            let text = format!(
                "  {} {free} {}",
                binary(space.free_bytes),
                space.mount_point
            );
            self.line(&text);
        }
    }

    fn gaps(&mut self, gaps: &[v1::Unread]) {
        if gaps.is_empty() {
            return;
        }
        self.heading(self.lang.pick("No se pudo leer", "Could not be read"));
        for gap in gaps {
            let text = format!(
                "  {}: {} ({})",
                gap.group,
                names::reason(gap.reason(), self.lang),
                gap.detail
            );
            self.line(&text);
        }
    }

    fn entry(&mut self, parts: &[Option<String>]) {
        let text: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        self.line(&format!("  {}", text.join("  ")));
    }

    fn chassis(&self, name: &str) -> String {
        const SPANISH: &[(&str, &str)] = &[
            ("all_in_one", "todo en uno"),
            ("convertible", "convertible"),
            ("desktop", "escritorio"),
            ("detachable", "desmontable"),
            ("laptop", "portátil"),
            ("low_profile_desktop", "escritorio de bajo perfil"),
            ("main_server_chassis", "servidor"),
            ("mini_pc", "mini PC"),
            ("mini_tower", "minitorre"),
            ("notebook", "portátil"),
            ("portable", "portátil"),
            ("rack_mount_chassis", "servidor de bastidor"),
            ("space_saving", "escritorio compacto"),
            ("sub_notebook", "portátil pequeño"),
            ("tablet", "tableta"),
            ("tower", "torre"),
        ];
        let english = name.replace('_', " ");
        match SPANISH.iter().find(|(known, _)| *known == name) {
            Some((_, spanish)) => self.lang.pick(spanish, &english).to_owned(),
            None => english,
        }
    }

    fn yes_no(&self, yes: bool) -> String {
        let word = if yes {
            self.lang.pick("sí", "yes")
        } else {
            self.lang.pick("no", "no")
        };
        word.to_owned()
    }
}

/// Memory and file systems, in GiB with one place.
fn binary(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 30;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Disks, as they are sold: in decimal GB.
fn decimal(bytes: u64) -> String {
    format!("{} GB", bytes / 1_000_000_000)
}
