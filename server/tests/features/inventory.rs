use chasqui_proto::v1::inventory_service_server::InventoryService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, SectionKind};
use chasqui_server::rpc::inventory;
use chasqui_store::{inventory as store, params, sql};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::world::{Machine, World, fresh, ok, reason, refused};

both_engines!(
    an_unchanged_machine_sends_nothing,
    equal_facts_are_stored_once_and_not_asked_for_again,
    what_was_before_stays_in_the_history,
    damaged_sections_are_named_and_nothing_is_stored,
);

pub fn section(kind: SectionKind, facts: Facts) -> v1::Section {
    let facts = v1::SectionFacts {
        facts: Some(facts),
        unread: vec![],
    }
    .encode_to_vec();
    v1::Section {
        kind: kind.into(),
        digest: Sha256::digest(&facts).to_vec().into(),
        facts: facts.into(),
        provenance: vec![v1::Provenance {
            group: "memory".to_owned(),
            source: "/proc/meminfo".to_owned(),
        }],
        observed_at_ms: 1_000,
        collector_version: 1,
        changed_at_ms: 0,
    }
}

pub fn memory(bytes: u64) -> v1::Section {
    section(
        SectionKind::Memory,
        Facts::Memory(v1::MemoryFacts {
            visible_bytes: Some(bytes),
            ..Default::default()
        }),
    )
}

fn hardware(model: &str) -> v1::Section {
    let facts = v1::HardwareFacts {
        manufacturer: Some("Maker".to_owned()),
        model: Some(model.to_owned()),
        ..Default::default()
    };
    section(SectionKind::Hardware, Facts::Hardware(facts))
}

pub async fn offer(world: &World, machine: &Machine, sections: &[v1::Section]) -> Vec<i32> {
    let sections = sections
        .iter()
        .map(|section| v1::SectionOffer {
            kind: section.kind,
            digest: section.digest.clone(),
            observed_at_ms: section.observed_at_ms,
        })
        .collect();
    let volatile = Some(v1::VolatileFacts {
        uptime_s: Some(5),
        ..Default::default()
    });
    let message = v1::OfferInventoryRequest { sections, volatile };
    inventory::offer(&world.ctx, &machine.caller(), message)
        .await
        .unwrap()
        .wanted
}

pub async fn report(
    world: &World,
    machine: &Machine,
    sections: Vec<v1::Section>,
) -> Result<(), Status> {
    let message = v1::ReportInventoryRequest {
        request_id: fresh(),
        sections,
        differences: vec![],
    };
    inventory::report(&world.ctx, &machine.caller(), message)
        .await
        .map(|_| ())
}

async fn contents(world: &World) -> i64 {
    world
        .read(|tx| {
            tx.query_one(
                sql!("SELECT COUNT(*) FROM section_contents"),
                params![],
                |row| row.get(0),
            )
        })
        .await
}

async fn get(world: &World, machine: &Machine) -> v1::GetInventoryResponse {
    let message = v1::GetInventoryRequest {
        device_id: machine.id.to_string(),
        kinds: vec![],
        at_ms: None,
    };
    ok(inventory::Service(world.ctx.clone())
        .get_inventory(world.by(&world.lead, message))
        .await)
}

async fn an_unchanged_machine_sends_nothing(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let sections = [memory(8), hardware("OptiPlex Ñandú")];
    let both = vec![
        i32::from(SectionKind::Hardware),
        i32::from(SectionKind::Memory),
    ];
    assert_eq!(offer(&world, &machine, &sections).await, both);
    report(&world, &machine, sections.to_vec()).await.unwrap();
    let events = world.events().await;
    assert_eq!(offer(&world, &machine, &sections).await, Vec::<i32>::new());
    assert_eq!(world.events().await, events, "and nothing is recorded");
    let got = get(&world, &machine).await;
    assert_eq!(
        got.sections
            .iter()
            .map(|section| section.kind())
            .collect::<Vec<_>>(),
        [SectionKind::Hardware, SectionKind::Memory]
    );
    assert_eq!(got.sections[1].facts, sections[0].facts);
    assert_eq!(got.sections[1].provenance[0].source, "/proc/meminfo");
    assert_eq!(got.volatile.unwrap().uptime_s, Some(5));
    let id = machine.id.to_string();
    let row = world
        .read(move |tx| chasqui_store::device::get(tx, &id))
        .await
        .unwrap();
    assert_eq!(
        (row.manufacturer.as_str(), row.model.as_str()),
        ("Maker", "OptiPlex Ñandú")
    );
}

async fn equal_facts_are_stored_once_and_not_asked_for_again(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    report(&world, &one, vec![memory(8)]).await.unwrap();
    assert_eq!(offer(&world, &two, &[memory(8)]).await, Vec::<i32>::new());
    assert_eq!(get(&world, &two).await.sections[0].facts, memory(8).facts);
    assert_eq!(contents(&world).await, 1);
    // Reported without being asked, it is stored no second time.
    let three = world.machine("pc-3", 62).await;
    report(&world, &three, vec![memory(8)]).await.unwrap();
    assert_eq!(contents(&world).await, 1);
}

async fn what_was_before_stays_in_the_history(world: World) {
    let machine = world.machine("pc-1", 60).await;
    for bytes in [8, 16, 8] {
        report(&world, &machine, vec![memory(bytes)]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    let id = machine.id.to_string();
    let history = world
        .read(move |tx| {
            tx.query(
                sql!("SELECT digest, from_ms, to_ms FROM device_section_history WHERE device_id = $1 ORDER BY from_ms"),
                params![&id],
                |row| Ok((row.get::<String>(0)?, row.get::<i64>(1)?, row.get::<Option<i64>>(2)?)),
            )
        })
        .await;
    assert_eq!(history.len(), 3);
    assert_eq!(history[0].0, history[2].0);
    assert_eq!(
        (history[0].2, history[1].2, history[2].2),
        (Some(history[1].1), Some(history[2].1), None)
    );
    let (id, at_ms) = (machine.id.to_string(), history[1].1);
    let then = world
        .read(move |tx| store::sections_at(tx, &id, at_ms))
        .await;
    assert_eq!(then[0].facts, memory(16).facts);
    assert_eq!(contents(&world).await, 2);
}

async fn damaged_sections_are_named_and_nothing_is_stored(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let events = world.events().await;
    let mut wrong_digest = memory(8);
    wrong_digest.digest = vec![0; 32].into();
    assert_eq!(
        reason(report(&world, &machine, vec![hardware("x"), wrong_digest]).await),
        "SECTION_DIGEST_MISMATCH"
    );
    let mut garbage = memory(8);
    garbage.facts = vec![0xff; 10].into();
    garbage.digest = Sha256::digest([0xff; 10]).to_vec().into();
    let status = report(&world, &machine, vec![garbage]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("memory"), "{}", status.message());
    let mut other = memory(8);
    other.kind = SectionKind::Cpu.into();
    assert_eq!(
        reason(report(&world, &machine, vec![other]).await),
        "SECTION_MALFORMED"
    );
    assert_eq!(
        reason(report(&world, &machine, vec![memory(8), memory(9)]).await),
        "INVALID_FIELD"
    );
    let mut unknown = memory(8);
    unknown.kind = 99;
    assert_eq!(
        refused(report(&world, &machine, vec![unknown]).await).0,
        Code::InvalidArgument
    );
    assert_eq!((contents(&world).await, world.events().await), (0, events));
}
