//! What was observed of a machine, for people and scripts. A fact that is missing is shown as not observed with its
//! reason, never as absent.

use chasqui_proto::facts::{self, words};
use chasqui_proto::v1;
use chasqui_proto::v1::section_facts::Facts;
use prost::Message as _;
use serde_json::{Value, json};

use crate::client::{Client, call};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{Screen, Tone, bytes_text, clean};

/// Decoded sections of one device.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// With what surrounds the facts.
    pub sections: Vec<(v1::Section, v1::SectionFacts)>,
    /// What changes by itself.
    pub volatile: Option<v1::VolatileFacts>,
}

/// The latest sections of a device.
pub async fn fetch(client: &Client, device_id: &str) -> Outcome<Inventory> {
    let request = v1::GetInventoryRequest {
        device_id: device_id.to_owned(),
        kinds: Vec::new(),
        at_ms: None,
    };
    let answer = call(|| {
        let (mut inventory, request) = (client.inventory(), request.clone());
        async move { inventory.get_inventory(request).await }
    })
    .await?;
    let mut sections = Vec::new();
    for section in answer.sections {
        let facts = v1::SectionFacts::decode(section.facts.clone()).map_err(|_| {
            Failure::new(
                Exit::Failed,
                "INVENTORY_UNREADABLE",
                "una sección del inventario no se puede leer; actualice este programa",
                "a section of the inventory cannot be read; update this program",
            )
        })?;
        sections.push((section, facts));
    }
    sections.sort_by_key(|(section, _)| section.kind);
    Ok(Inventory {
        sections,
        volatile: answer.volatile,
    })
}

impl Inventory {
    fn pairs(&self) -> Vec<(&v1::Section, &v1::SectionFacts)> {
        let sections = self.sections.iter();
        sections.map(|(section, facts)| (section, facts)).collect()
    }

    fn facts(&self, kind: v1::SectionKind) -> Option<&v1::SectionFacts> {
        self.sections
            .iter()
            .find(|(section, _)| section.kind() == kind)
            .map(|(_, facts)| facts)
    }

    /// True when every first section has arrived.
    pub fn is_complete(&self) -> bool {
        use v1::SectionKind as K;
        [
            K::Identity,
            K::Hardware,
            K::Cpu,
            K::Memory,
            K::Disks,
            K::Network,
            K::OperatingSystem,
            K::Software,
        ]
        .into_iter()
        .all(|kind| self.facts(kind).is_some())
    }

    /// Why facts of a section are missing: the first unread group that covers this name, in words.
    fn why(&self, screen: &Screen, kind: v1::SectionKind, name: &str) -> String {
        let unread = self.facts(kind).and_then(|facts| {
            facts
                .unread
                .iter()
                .find(|u| name.starts_with(u.group.as_str()) || u.group.starts_with(name))
        });
        let not_observed = screen.say("no observado", "not observed");
        match unread {
            Some(unread) => {
                let reason = words::reason(unread.reason(), screen.lang);
                if unread.detail.is_empty() {
                    format!("{not_observed}: {reason}")
                } else {
                    format!("{not_observed}: {reason} ({})", clean(&unread.detail))
                }
            }
            None => not_observed.to_owned(),
        }
    }

    /// Maker and model, or why not.
    pub fn model(&self, screen: &Screen) -> String {
        if let Some(Facts::Hardware(h)) = self
            .facts(v1::SectionKind::Hardware)
            .and_then(|f| f.facts.as_ref())
        {
            let words: Vec<&str> = [h.manufacturer.as_deref(), h.model.as_deref()]
                .into_iter()
                .flatten()
                .collect();
            if !words.is_empty() {
                return clean(&words.join(" "));
            }
        }
        self.why(screen, v1::SectionKind::Hardware, "hardware.model")
    }

    /// Memory, or why not.
    pub fn memory(&self, screen: &Screen) -> String {
        if let Some(Facts::Memory(m)) = self
            .facts(v1::SectionKind::Memory)
            .and_then(|f| f.facts.as_ref())
        {
            match (m.installed_bytes, m.visible_bytes) {
                (Some(installed), _) => {
                    return format!(
                        "{} {}",
                        bytes_text(installed),
                        screen.say("instalada", "installed")
                    );
                }
                (None, Some(visible)) => {
                    return format!(
                        "{} {}",
                        bytes_text(visible),
                        screen.say("visible para el sistema", "visible to the system")
                    );
                }
                (None, None) => {}
            }
        }
        self.why(screen, v1::SectionKind::Memory, "memory")
    }

    /// Disks in one line, or why not.
    pub fn disks(&self, screen: &Screen) -> String {
        if let Some(Facts::Disks(d)) = self
            .facts(v1::SectionKind::Disks)
            .and_then(|f| f.facts.as_ref())
            && !d.disks.is_empty()
        {
            return d
                .disks
                .iter()
                .map(|disk| disk_text(screen, disk))
                .collect::<Vec<_>>()
                .join(", ");
        }
        self.why(screen, v1::SectionKind::Disks, "disks")
    }

    /// Operating system, or why not.
    pub fn operating_system(&self, screen: &Screen) -> String {
        if let Some(Facts::OperatingSystem(os)) = self
            .facts(v1::SectionKind::OperatingSystem)
            .and_then(|f| f.facts.as_ref())
        {
            let name = os.name.as_deref().or(os.product.as_deref());
            if let Some(name) = name {
                return clean(name);
            }
        }
        self.why(screen, v1::SectionKind::OperatingSystem, "operating_system")
    }

    /// Number of installed programs; none when the list was not read.
    pub fn programs(&self) -> Option<usize> {
        match self.facts(v1::SectionKind::Software)?.facts.as_ref()? {
            Facts::Software(software) => Some(software.items.len()),
            _ => None,
        }
    }

    /// Number of installed programs in words, or why not.
    pub fn programs_text(&self, screen: &Screen) -> String {
        let unread = self
            .facts(v1::SectionKind::Software)
            .is_none_or(|facts| !facts.unread.is_empty());
        match self.programs() {
            Some(0) | None if unread => self.why(screen, v1::SectionKind::Software, "software"),
            Some(count) => count.to_string(),
            None => self.why(screen, v1::SectionKind::Software, "software"),
        }
    }
}

fn disk_text(screen: &Screen, disk: &v1::Disk) -> String {
    let size = disk.size_bytes.map_or_else(
        || {
            screen
                .say("tamaño no observado", "size not observed")
                .to_owned()
        },
        bytes_text,
    );
    let kind = match disk.kind() {
        v1::DiskKind::Unspecified => screen.say("clase no observada", "kind not observed"),
        v1::DiskKind::Hdd => "HDD",
        v1::DiskKind::Ssd => "SSD",
        v1::DiskKind::Nvme => "NVMe",
        v1::DiskKind::Emmc => "eMMC",
        v1::DiskKind::Virtual => screen.say("virtual", "virtual"),
    };
    format!("{} {size} {kind}", clean(&disk.name))
}

/// The inventory for people.
pub fn render(screen: &Screen, inventory: &Inventory, software: bool) -> String {
    let mut out = format!(
        "{}\n",
        screen.tone(Tone::Strong, screen.say("Inventario", "Inventory"))
    );
    if inventory.sections.is_empty() {
        out.push_str(screen.say(
            "  todavía no llegó ningún inventario\n",
            "  no inventory has arrived yet\n",
        ));
        return out;
    }
    out.push_str(&screen.fields(&[
        (screen.say("modelo", "model"), inventory.model(screen)),
        (
            screen.say("procesador", "processor"),
            processor(screen, inventory),
        ),
        (screen.say("memoria", "memory"), inventory.memory(screen)),
        (screen.say("discos", "disks"), inventory.disks(screen)),
        (
            screen.say("sistema", "system"),
            inventory.operating_system(screen),
        ),
        (screen.say("red", "network"), network(screen, inventory)),
        (
            screen.say("programas", "programs"),
            inventory.programs_text(screen),
        ),
    ]));
    let rows = inventory
        .sections
        .iter()
        .map(|(section, facts)| {
            vec![
                words::section(section.kind(), screen.lang).to_owned(),
                screen.time(section.observed_at_ms),
                hex::encode(&section.digest).chars().take(12).collect(),
                facts.unread.len().to_string(),
            ]
        })
        .collect();
    out.push('\n');
    out.push_str(&screen.table(
        &[
            screen.say("SECCIÓN", "SECTION"),
            screen.say("OBSERVADA", "OBSERVED"),
            screen.say("RESUMEN", "DIGEST"),
            screen.say("SIN LEER", "UNREAD"),
        ],
        rows,
    ));
    out.push('\n');
    for (section, facts) in &inventory.sections {
        for unread in &facts.unread {
            out.push_str(&format!(
                "  {} — {} ({}): {}\n",
                clean(&unread.group),
                words::reason(unread.reason(), screen.lang),
                words::section(section.kind(), screen.lang),
                clean(&unread.detail)
            ));
        }
    }
    if software
        && let Some(Facts::Software(list)) = inventory
            .facts(v1::SectionKind::Software)
            .and_then(|f| f.facts.as_ref())
    {
        let dates = facts::dates::of_sections(inventory.pairs());
        let rows = list
            .items
            .iter()
            .zip(dates)
            .map(|(item, day)| {
                vec![
                    item.name.clone(),
                    item.version.clone(),
                    item.source.clone(),
                    day.and_then(facts::dates::day_text).unwrap_or_default(),
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&screen.table(
            &[
                screen.say("PROGRAMA", "PROGRAM"),
                screen.say("VERSIÓN", "VERSION"),
                screen.say("FUENTE", "SOURCE"),
                screen.say("INSTALADO", "INSTALLED"),
            ],
            rows,
        ));
        out.push('\n');
    }
    out
}

fn processor(screen: &Screen, inventory: &Inventory) -> String {
    if let Some(Facts::Cpu(cpu)) = inventory
        .facts(v1::SectionKind::Cpu)
        .and_then(|f| f.facts.as_ref())
        && let Some(name) = cpu.cpus.first().and_then(|c| c.model_name.as_deref())
    {
        let threads = cpu
            .threads
            .map(|n| format!(", {n} {}", screen.say("hilos", "threads")))
            .unwrap_or_default();
        return format!("{}{threads}", clean(name.trim()));
    }
    inventory.why(screen, v1::SectionKind::Cpu, "cpu")
}

fn network(screen: &Screen, inventory: &Inventory) -> String {
    if let Some(Facts::Network(network)) = inventory
        .facts(v1::SectionKind::Network)
        .and_then(|f| f.facts.as_ref())
    {
        let lines: Vec<String> = network
            .interfaces
            .iter()
            .filter(|i| i.r#type.as_deref() != Some("loopback") && !i.addresses.is_empty())
            .map(|i| format!("{} {}", clean(&i.name), clean(&i.addresses.join(" "))))
            .collect();
        if !lines.is_empty() {
            return lines.join(", ");
        }
    }
    inventory.why(screen, v1::SectionKind::Network, "network")
}

/// The inventory for scripts: sections with their facts, provenance and what was not read. Programs are only counted
/// unless they are asked for.
pub fn to_json(inventory: &Inventory, software: bool) -> Value {
    let mut sections = facts::dates::sections_json(&inventory.pairs());
    for (value, (_, decoded)) in sections.iter_mut().zip(&inventory.sections) {
        if let (Some(Facts::Software(list)), false) = (&decoded.facts, software)
            && let Some(map) = value.as_object_mut()
        {
            map.insert("facts".to_owned(), json!({ "count": list.items.len() }));
        }
    }
    let volatile = inventory.volatile.as_ref().map(facts::volatile_json);
    json!({ "sections": sections, "volatile": volatile })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;

    fn sample() -> Inventory {
        let section = |kind: v1::SectionKind| v1::Section {
            kind: kind as i32,
            digest: vec![1; 32].into(),
            observed_at_ms: 1_767_330_000_000,
            ..Default::default()
        };
        let hardware = v1::SectionFacts {
            facts: Some(Facts::Hardware(v1::HardwareFacts::default())),
            unread: vec![v1::Unread {
                group: "hardware".into(),
                reason: v1::UnreadReason::NoSource as i32,
                detail: "/sys/firmware/dmi/tables/DMI".into(),
            }],
        };
        let memory = v1::SectionFacts {
            facts: Some(Facts::Memory(v1::MemoryFacts {
                visible_bytes: Some(8 * 1024 * 1024 * 1024),
                ..Default::default()
            })),
            unread: Vec::new(),
        };
        Inventory {
            sections: vec![
                (section(v1::SectionKind::Hardware), hardware),
                (section(v1::SectionKind::Memory), memory),
            ],
            volatile: None,
        }
    }

    #[test]
    fn what_was_not_observed_says_why_in_both_languages() {
        insta::assert_snapshot!(
            "inventory_es",
            render(&Screen::plain(Lang::Es), &sample(), false)
        );
        insta::assert_snapshot!(
            "inventory_en",
            render(&Screen::plain(Lang::En), &sample(), false)
        );
        insta::assert_json_snapshot!("inventory_json", to_json(&sample(), false));
    }
}
