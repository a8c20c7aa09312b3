//! Agents of other versions: one of the first, whose sections lack every field and kind that came later, and one that knows
//! more than the coordinator. Both are taken and kept, and a new agent on an unchanged machine changes nothing.

use chasqui_proto::v1::inventory_service_server::InventoryService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, InventoryChangeKind as Kind, SectionKind};
use chasqui_server::rpc::inventory;
use prost::Message;
use prost::encoding::{encode_key, encode_varint};
use sha2::{Digest, Sha256};

use crate::inventory::{memory, offer, report, section};
use crate::world::{Machine, World, ok};

both_engines!(
    a_report_of_the_first_agents_is_taken_and_kept,
    a_newer_collector_on_an_unchanged_machine_sends_nothing,
    a_newer_agent_that_reads_more_changes_no_machine,
    what_a_newer_agent_knows_besides_is_kept_byte_for_byte,
);

/// Kinds that the first agents knew, with their numbers of then.
const FIRST_KINDS: [(SectionKind, i32); 8] = [
    (SectionKind::Identity, 1),
    (SectionKind::Hardware, 2),
    (SectionKind::Cpu, 3),
    (SectionKind::Memory, 4),
    (SectionKind::Disks, 5),
    (SectionKind::Network, 6),
    (SectionKind::OperatingSystem, 7),
    (SectionKind::Software, 8),
];

/// A field of a message on the wire, written here and by no library, as an agent of then wrote it.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(
        number,
        prost::encoding::WireType::LengthDelimited,
        &mut bytes,
    );
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn number(number: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, prost::encoding::WireType::Varint, &mut bytes);
    encode_varint(value, &mut bytes);
    bytes
}

fn raw(kind: i32, facts: Vec<u8>, collector_version: u32) -> v1::Section {
    v1::Section {
        kind,
        digest: Sha256::digest(&facts).to_vec().into(),
        facts: facts.into(),
        observed_at_ms: 1_000,
        collector_version,
        ..v1::Section::default()
    }
}

/// The memory of a machine whose BIOS was not read, and one program: what the first agents said of them.
fn first_agent() -> Vec<v1::Section> {
    let visible = number(1, 8 << 30);
    let unread = [
        field(1, b"memory.modules"),
        number(2, 1),
        field(3, b"no DMI"),
    ]
    .concat();
    let memory = [field(4, &visible), field(20, &unread)].concat();
    let program = [field(1, b"bash"), field(2, b"5.0-4"), field(4, b"dpkg")].concat();
    let software = field(8, &field(1, &program));
    vec![raw(4, memory, 0), raw(8, software, 0)]
}

async fn kept(world: &World, machine: &Machine) -> v1::GetInventoryResponse {
    let message = v1::GetInventoryRequest {
        device_id: machine.id.to_string(),
        kinds: vec![],
        at_ms: None,
    };
    ok(inventory::Service(world.ctx.clone())
        .get_inventory(world.by(&world.lead, message))
        .await)
}

async fn changes(world: &World, machine: &Machine) -> Vec<v1::InventoryChange> {
    let message = v1::ListInventoryChangesRequest {
        device_id: machine.id.to_string(),
        ..v1::ListInventoryChangesRequest::default()
    };
    ok(inventory::Service(world.ctx.clone())
        .list_inventory_changes(world.by(&world.lead, message))
        .await)
    .changes
}

async fn a_report_of_the_first_agents_is_taken_and_kept(world: World) {
    let machine = world.machine("pc-1", 60).await;
    for (kind, then) in FIRST_KINDS {
        assert_eq!(i32::from(kind), then, "a kind's number was given away");
    }
    let sections = first_agent();
    assert_eq!(offer(&world, &machine, &sections).await, [4, 8]);
    report(&world, &machine, sections.clone()).await.unwrap();
    let kept = kept(&world, &machine).await;
    for (kept, sent) in kept.sections.iter().zip(&sections) {
        assert_eq!((kept.kind, &kept.facts), (sent.kind, &sent.facts));
    }
    // And it is understood.
    let of = |at: usize| v1::SectionFacts::decode(kept.sections[at].facts.clone()).unwrap();
    let Some(Facts::Memory(memory)) = of(0).facts else {
        panic!("no memory: {:?}", of(0));
    };
    assert_eq!(
        (memory.visible_bytes, memory.installed_bytes),
        (Some(8 << 30), None)
    );
    assert_eq!(of(0).unread[0].group, "memory.modules");
    let Some(Facts::Software(software)) = of(1).facts else {
        panic!("no programs: {:?}", of(1));
    };
    assert_eq!(software.items[0].name, "bash");
    assert_eq!(offer(&world, &machine, &sections).await, [0; 0]);
}

async fn a_newer_collector_on_an_unchanged_machine_sends_nothing(world: World) {
    let mut machines = Vec::new();
    for number in 0..3 {
        machines.push(world.machine(&format!("pc-{number}"), 60 + number).await);
    }
    let mut section = memory(8);
    for machine in &machines {
        report(&world, machine, vec![section.clone()])
            .await
            .unwrap();
    }
    let events = world.events().await;
    // The version is no part of the digest: nothing is wanted, and whoever sends all the same changes nothing.
    section.collector_version = 2;
    for machine in &machines {
        assert_eq!(
            offer(&world, machine, std::slice::from_ref(&section)).await,
            [0; 0]
        );
        report(&world, machine, vec![section.clone()])
            .await
            .unwrap();
        assert_eq!(kept(&world, machine).await.sections[0].collector_version, 2);
        let seen: Vec<Kind> = changes(&world, machine)
            .await
            .iter()
            .map(v1::InventoryChange::kind)
            .collect();
        assert_eq!(seen, [Kind::FirstObserved]);
    }
    assert_eq!(world.events().await, events, "a changed fleet was recorded");
}

async fn a_newer_agent_that_reads_more_changes_no_machine(world: World) {
    let machine = world.machine("pc-1", 60).await;
    report(&world, &machine, first_agent()).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    let facts = v1::MemoryFacts {
        visible_bytes: Some(8 << 30),
        installed_bytes: Some(8 << 30),
        modules: vec![v1::MemoryModule {
            slot: Some("A1".to_owned()),
            ..v1::MemoryModule::default()
        }],
        ..v1::MemoryFacts::default()
    };
    let newer = section(SectionKind::Memory, Facts::Memory(facts));
    report(&world, &machine, vec![newer]).await.unwrap();
    let told: Vec<(Kind, String)> = changes(&world, &machine)
        .await
        .into_iter()
        .filter(|change| change.section() == SectionKind::Memory)
        .map(|change| (change.kind(), change.path))
        .collect();
    // The modules were unread, the installed bytes unheard of: neither was put in since.
    let again = |path: &str| (Kind::ReadableAgain, path.to_owned());
    assert_eq!(
        told,
        [
            again("installed_bytes"),
            again("modules"),
            (Kind::FirstObserved, String::new()),
        ]
    );
}

async fn what_a_newer_agent_knows_besides_is_kept_byte_for_byte(world: World) {
    let machine = world.machine("pc-1", 60).await;
    // A field of the future inside the facts, one beside them, and a kind that no coordinator of today knows.
    let memory = [number(1, 8 << 30), field(900, b"cxl")].concat();
    let known = raw(4, [field(4, &memory), field(901, b"more")].concat(), 9);
    let unknown = raw(4_000, field(4_010, &number(1, 1)), 9);
    let both = [known.clone(), unknown];
    assert_eq!(
        offer(&world, &machine, &both).await,
        [4],
        "the known one alone is asked for"
    );
    report(&world, &machine, vec![known.clone()]).await.unwrap();
    let kept = kept(&world, &machine).await;
    assert_eq!(kept.sections.len(), 1);
    assert_eq!(kept.sections[0].facts, known.facts);
    assert_eq!(kept.sections[0].digest, known.digest);
    // The machine stays as it is from then on.
    assert_eq!(offer(&world, &machine, &both).await, [0; 0]);
}
