//! A generated fleet of office machines that share software as real fleets do: a few system images, the programs of each
//! dependency, and a little that is each machine's own. The same number gives the same machine, always.

use chasqui_base::clock;
use chasqui_proto::v1;
use prost::Message;
use sha2::{Digest, Sha256};
use v1::section_facts::Facts;

/// Programs of a machine.
pub const PROGRAMS: usize = 2_000;
/// System images in the fleet.
const IMAGES: u64 = 4;
/// Dependencies (organisational units), each with programs of its own.
const DEPENDENCIES: u64 = 24;
/// Programs that a dependency adds to its image.
const OF_DEPENDENCY: u64 = 40;
/// Programs in another version than the image's: updates reach machines on different days.
const OWN: u64 = 12;

const MODELS: &[(&str, &str, &str, u64, u64)] = &[
    (
        "HP",
        "ProDesk 600 G3",
        "Intel(R) Core(TM) i5-7500 CPU @ 3.40GHz",
        8,
        500,
    ),
    (
        "HP",
        "EliteDesk 800 G5",
        "Intel(R) Core(TM) i5-9500 CPU @ 3.00GHz",
        16,
        256,
    ),
    (
        "Dell Inc.",
        "OptiPlex 7010",
        "Intel(R) Core(TM) i5-3470 CPU @ 3.20GHz",
        4,
        500,
    ),
    (
        "Dell Inc.",
        "Latitude 5440",
        "13th Gen Intel(R) Core(TM) i5-1345U",
        16,
        512,
    ),
    (
        "LENOVO",
        "ThinkCentre M720s",
        "Intel(R) Core(TM) i3-8100 CPU @ 3.60GHz",
        8,
        1_000,
    ),
    (
        "LENOVO",
        "ThinkPad T14 Gen 3",
        "AMD Ryzen 5 PRO 6650U with Radeon Graphics",
        16,
        512,
    ),
];
const SYSTEMS: &[(&str, &str, &str)] = &[
    ("debian", "Debian GNU/Linux 12 (bookworm)", "12"),
    ("ubuntu", "Ubuntu 22.04.5 LTS", "22.04"),
    ("ubuntu", "Ubuntu 24.04.1 LTS", "24.04"),
    ("debian", "Debian GNU/Linux 11 (bullseye)", "11"),
];

/// One machine of the fleet, at a stage of its life.
#[derive(Clone, Copy, Debug)]
pub struct Office {
    /// Which machine.
    pub number: u64,
    /// How many times one per cent of its programs was updated.
    pub stage: u64,
}

impl Office {
    /// Its sections as an agent reports them now.
    pub fn sections(self) -> Vec<v1::Section> {
        let observed_at_ms = clock::now_ms();
        self.facts()
            .into_iter()
            .map(|(kind, facts)| {
                let facts = v1::SectionFacts {
                    facts: Some(facts),
                    unread: Vec::new(),
                }
                .encode_to_vec();
                v1::Section {
                    kind: kind.into(),
                    digest: Sha256::digest(&facts).to_vec().into(),
                    facts: facts.into(),
                    provenance: Vec::new(),
                    observed_at_ms,
                    collector_version: 1,
                    changed_at_ms: 0,
                }
            })
            .collect()
    }

    /// What the agent offers of such sections.
    pub fn offer(sections: &[v1::Section]) -> v1::OfferInventoryRequest {
        v1::OfferInventoryRequest {
            sections: sections
                .iter()
                .map(|section| v1::SectionOffer {
                    kind: section.kind,
                    digest: section.digest.clone(),
                    observed_at_ms: section.observed_at_ms,
                })
                .collect(),
            volatile: Some(v1::VolatileFacts {
                observed_at_ms: clock::now_ms(),
                uptime_s: Some(3_600),
                free_space: vec![v1::FreeSpace {
                    mount_point: "/".to_owned(),
                    free_bytes: 100 << 30,
                }],
                ..v1::VolatileFacts::default()
            }),
        }
    }

    /// Its host name.
    pub fn host_name(self) -> String {
        format!("ofi-{:06}", self.number)
    }

    /// Its dependency.
    pub fn dependency(self) -> String {
        format!("Dependencia {:02}", self.number % DEPENDENCIES)
    }

    fn facts(self) -> Vec<(v1::SectionKind, Facts)> {
        use v1::SectionKind as K;
        let draw = |what: u64, below: u64| hash(self.number, what) % below;
        let (maker, model, cpu, memory_gib, disk_gb) = pick(MODELS, draw(1, MODELS.len() as u64));
        let (product, system, version) = pick(SYSTEMS, self.number % IMAGES);
        let serial = format!("MX{:08X}", hash(self.number, 2) as u32);
        let identity = v1::IdentityFacts {
            smbios_uuid: Some(
                uuid::Uuid::from_u64_pair(hash(self.number, 3), hash(self.number, 4)).to_string(),
            ),
            system_serial: Some(serial.clone()),
            board_serial: Some(format!("B{serial}")),
            chassis_serial: Some(serial.clone()),
            machine_id_sha256: Some(format!("{:016x}", hash(self.number, 5))),
            host_name: Some(self.host_name()),
            ..v1::IdentityFacts::default()
        };
        let hardware = v1::HardwareFacts {
            manufacturer: Some(maker.to_owned()),
            model: Some(model.to_owned()),
            chassis_type: Some("desktop".to_owned()),
            virtualization: Some("none".to_owned()),
            ..v1::HardwareFacts::default()
        };
        let cpus = v1::CpuFacts {
            sockets: Some(1),
            cores: Some(4),
            threads: Some(4),
            architecture: Some("x86_64".to_owned()),
            cpus: vec![v1::Cpu {
                model_name: Some(cpu.to_owned()),
                ..v1::Cpu::default()
            }],
        };
        let module = |slot: u64| v1::MemoryModule {
            slot: Some(format!("DIMM{slot}")),
            size_bytes: Some((memory_gib / 2) << 30),
            r#type: Some("ddr4".to_owned()),
            serial: Some(format!("{:08X}", hash(self.number, 10 + slot) as u32)),
            ..v1::MemoryModule::default()
        };
        let memory = v1::MemoryFacts {
            visible_bytes: Some((memory_gib << 30) - (300 << 20)),
            installed_bytes: Some(memory_gib << 30),
            slots: Some(4),
            modules: vec![module(1), module(2)],
            ..v1::MemoryFacts::default()
        };
        let disks = v1::DisksFacts {
            disks: vec![v1::Disk {
                name: "sda".to_owned(),
                model: Some("Samsung SSD 860 EVO".to_owned()),
                serial: Some(format!("S3Z{:012X}", hash(self.number, 20) >> 16)),
                size_bytes: Some(disk_gb * 1_000_000_000),
                bus: Some("sata".to_owned()),
                kind: if disk_gb == 1_000 {
                    v1::DiskKind::Hdd
                } else {
                    v1::DiskKind::Ssd
                }
                .into(),
                removable: Some(false),
                system: Some(true),
                ..v1::Disk::default()
            }],
            file_systems: vec![v1::FileSystem {
                mount_point: "/".to_owned(),
                device: "/dev/sda2".to_owned(),
                r#type: "ext4".to_owned(),
                size_bytes: Some(disk_gb * 900_000_000),
                ..v1::FileSystem::default()
            }],
        };
        let network = v1::NetworkFacts {
            interfaces: vec![v1::NetworkInterface {
                name: "enp1s0".to_owned(),
                mac: Some(mac(hash(self.number, 30))),
                r#type: Some("ethernet".to_owned()),
                addresses: vec![format!(
                    "10.{}.{}.{}/16",
                    self.number >> 16 & 255,
                    self.number >> 8 & 255,
                    self.number & 255
                )],
                up: Some(true),
                ..v1::NetworkInterface::default()
            }],
            dns_servers: vec!["10.0.0.2".to_owned()],
            default_gateways: vec!["10.0.0.1".to_owned()],
            ..v1::NetworkFacts::default()
        };
        let operating_system = v1::OperatingSystemFacts {
            family: Some("linux".to_owned()),
            product: Some(product.to_owned()),
            name: Some(system.to_owned()),
            version: Some(version.to_owned()),
            architecture: Some("x86_64".to_owned()),
            ..v1::OperatingSystemFacts::default()
        };
        vec![
            (K::Identity, Facts::Identity(identity)),
            (K::Hardware, Facts::Hardware(hardware)),
            (K::Cpu, Facts::Cpu(cpus)),
            (K::Memory, Facts::Memory(memory)),
            (K::Disks, Facts::Disks(disks)),
            (K::Network, Facts::Network(network)),
            (K::OperatingSystem, Facts::OperatingSystem(operating_system)),
            (K::Software, Facts::Software(self.software())),
        ]
    }

    fn software(self) -> v1::SoftwareFacts {
        let (image, dependency) = (self.number % IMAGES, self.number % DEPENDENCIES);
        let of_image = PROGRAMS as u64 - OF_DEPENDENCY;
        let mut items: Vec<v1::Software> = (0..of_image)
            .map(|number| program("lib", number, hash(image, number) % 40))
            .chain(
                (0..OF_DEPENDENCY)
                    .map(|number| program("ofimatica", dependency * 1_000 + number, 1)),
            )
            .collect();
        // What this machine has in another version than the others.
        for own in 0..OWN {
            self.update(&mut items, hash(self.number, 1_000 + own));
        }
        for stage in 0..self.stage {
            for which in 0..PROGRAMS as u64 / 100 {
                self.update(
                    &mut items,
                    hash(self.number, 10_000 + stage * 1_000 + which),
                );
            }
        }
        items.sort_by(|a, b| {
            (&a.source, &a.name, &a.architecture, &a.version).cmp(&(
                &b.source,
                &b.name,
                &b.architecture,
                &b.version,
            ))
        });
        v1::SoftwareFacts { items }
    }

    fn update(self, items: &mut [v1::Software], draw: u64) {
        let at = usize::try_from(draw % items.len() as u64).unwrap_or_default();
        if let Some(item) = items.get_mut(at) {
            // Versions that others have too: a fleet takes them from one archive.
            item.version = format!(
                "{}+u{}",
                item.version.split('+').next().unwrap_or_default(),
                draw >> 40 & 7
            );
        }
    }
}

fn pick<T: Copy + Default>(list: &[T], at: u64) -> T {
    let at = usize::try_from(at).unwrap_or_default();
    list.get(at).copied().unwrap_or_default()
}

fn program(family: &str, number: u64, version: u64) -> v1::Software {
    v1::Software {
        name: format!("{family}-{number:05}"),
        version: format!("{}.{}.{}-1", number % 7, version, number % 13),
        architecture: Some("amd64".to_owned()),
        source: "dpkg".to_owned(),
        publisher: Some(format!(
            "Maintainers of group {} <group{}@example.org>",
            number % 60,
            number % 60
        )),
        size_bytes: Some((number % 5_000 + 20) * 1_024),
        ..v1::Software::default()
    }
}

fn mac(draw: u64) -> String {
    let [a, b, c, ..] = draw.to_be_bytes();
    format!("00:1b:21:{a:02x}:{b:02x}:{c:02x}")
}

/// SplitMix64 over two numbers: spread well enough, and the same on every machine.
fn hash(one: u64, two: u64) -> u64 {
    let mut z = one
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(two.wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
