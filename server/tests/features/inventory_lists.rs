use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, SectionKind};
use chasqui_server::jobs::sweep;
use chasqui_server::rpc::inventory;
use chasqui_store::{StoreError, inventory as store, params, sql};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::inventory::{offer, report, section};
use crate::world::{Machine, World, fresh, reason};

both_engines!(
    lists_of_programs_come_back_byte_for_byte_and_cost_only_their_difference,
    a_list_out_of_order_comes_back_as_it_was,
    a_list_that_does_not_come_together_is_never_served,
    a_difference_is_small_and_gives_the_whole_list,
    a_difference_never_takes_the_place_of_a_later_list,
    a_difference_that_cannot_be_used_asks_for_the_whole_and_changes_nothing,
    what_nothing_refers_to_is_swept_and_the_rest_stays,
    a_report_that_races_with_the_sweep_keeps_its_content,
    history_past_its_time_is_cut,
);

const DAY_MS: i64 = 86_400_000;

fn program(name: &str, version: &str) -> v1::Software {
    v1::Software {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: Some("amd64".to_owned()),
        source: "dpkg".to_owned(),
        publisher: Some("Mantenedores de Ñandú <n@example.org>".to_owned()),
        size_bytes: Some(123_456),
        ..Default::default()
    }
}

/// A list of `count` programs; every one of `newer` has another version.
fn programs(count: usize, newer: &[usize]) -> v1::Section {
    let items = (0..count)
        .map(|n| {
            let version = if newer.contains(&n) { "2.0-1" } else { "1.0-1" };
            program(&format!("program-{n:05}"), version)
        })
        .collect();
    section(
        SectionKind::Software,
        Facts::Software(v1::SoftwareFacts { items }),
    )
}

async fn count(world: &World, table: &'static str) -> i64 {
    let statement = match table {
        "programs" => sql!("SELECT COUNT(*) FROM programs"),
        "members" => sql!("SELECT COUNT(*) FROM software_list_programs"),
        "lists" => sql!("SELECT COUNT(*) FROM software_lists"),
        "whole" => sql!("SELECT COUNT(*) FROM software_lists WHERE base_id IS NULL"),
        "history" => sql!("SELECT COUNT(*) FROM device_section_history"),
        "contents" => sql!("SELECT COUNT(*) FROM section_contents"),
        other => panic!("{other}"),
    };
    world
        .read(move |tx| tx.query_one(statement, params![], |row| row.get(0)))
        .await
}

async fn shown(world: &World, machine: &Machine) -> Vec<u8> {
    let id = machine.id.to_string();
    let sections = world.read(move |tx| store::sections(tx, &id)).await;
    let found = sections.into_iter().find(|one| one.kind == "software");
    found.unwrap().facts
}

async fn lists_of_programs_come_back_byte_for_byte_and_cost_only_their_difference(world: World) {
    let machines = [
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
        world.machine("pc-3", 62).await,
        world.machine("pc-4", 63).await,
    ];
    let lists = [
        programs(400, &[]),
        // Near the first: a difference to it, though another machine shows it.
        programs(400, &[3, 200]),
        // The same as the first: nothing more.
        programs(400, &[]),
        // Far from all: whole.
        programs(400, &(0..200).collect::<Vec<_>>()),
    ];
    for (machine, list) in machines.iter().zip(&lists) {
        report(&world, machine, vec![list.clone()]).await.unwrap();
    }
    for (machine, list) in machines.iter().zip(&lists) {
        assert_eq!(shown(&world, machine).await, list.facts);
    }
    assert_eq!(count(&world, "lists").await, 3);
    assert_eq!(count(&world, "whole").await, 2);
    assert_eq!(count(&world, "programs").await, 400 + 200 + 1);
    assert_eq!(count(&world, "members").await, 400 + 2 * 2 + 400);
    // A machine goes on from its own list, and a difference is to a whole one, never to a difference.
    report(&world, &machines[1], vec![programs(401, &[3, 200])])
        .await
        .unwrap();
    assert_eq!(
        shown(&world, &machines[1]).await,
        programs(401, &[3, 200]).facts
    );
    assert_eq!(count(&world, "whole").await, 2);
    assert_eq!(
        offer(&world, &machines[0], &[programs(401, &[3, 200])]).await,
        Vec::<i32>::new(),
        "a list that another machine showed is linked"
    );
    assert_eq!(
        shown(&world, &machines[0]).await,
        programs(401, &[3, 200]).facts
    );
}

async fn a_list_out_of_order_comes_back_as_it_was(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let items = vec![program("b", "1"), program("a", "1"), program("a", "1")];
    let list = section(
        SectionKind::Software,
        Facts::Software(v1::SoftwareFacts { items }),
    );
    report(&world, &machine, vec![list.clone()]).await.unwrap();
    assert_eq!(shown(&world, &machine).await, list.facts);
    assert_eq!(
        count(&world, "programs").await,
        2,
        "and is found all the same"
    );
}

async fn a_list_that_does_not_come_together_is_never_served(world: World) {
    let machine = world.machine("pc-1", 60).await;
    report(&world, &machine, vec![programs(30, &[])])
        .await
        .unwrap();
    world
        .raw("DELETE FROM software_list_programs WHERE program_id = (SELECT MAX(program_id) FROM software_list_programs)")
        .await;
    let id = machine.id.to_string();
    let read = world
        .ctx
        .store
        .read(move |tx| store::sections(tx, &id))
        .await;
    assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
}

async fn bases(world: &World, machine: &Machine, list: &v1::Section) -> v1::OfferInventoryResponse {
    let message = v1::OfferInventoryRequest {
        sections: vec![v1::SectionOffer {
            kind: list.kind,
            digest: list.digest.clone(),
            observed_at_ms: 5,
        }],
        volatile: None,
    };
    inventory::offer(&world.ctx, &machine.caller(), message)
        .await
        .unwrap()
}

fn difference(old: &v1::Section, new: &v1::Section) -> v1::SectionDifference {
    let (one, two) = (
        chasqui_base::item_list::split(&old.facts, 8).unwrap(),
        chasqui_base::item_list::split(&new.facts, 8).unwrap(),
    );
    let found = chasqui_base::item_list::difference(&one.items, &two.items).unwrap();
    v1::SectionDifference {
        section: Some(v1::Section {
            facts: Default::default(),
            ..new.clone()
        }),
        base_digest: old.digest.clone(),
        shell: two.shell.into(),
        removed: found.removed,
        added_at: found.added_at,
        added: found.added.into_iter().map(Into::into).collect(),
    }
}

async fn send(
    world: &World,
    machine: &Machine,
    difference: v1::SectionDifference,
) -> Result<usize, Status> {
    let message = v1::ReportInventoryRequest {
        request_id: fresh(),
        sections: vec![],
        differences: vec![difference],
    };
    let size = message.encoded_len();
    inventory::report(&world.ctx, &machine.caller(), message)
        .await
        .map(|_| size)
}

async fn a_difference_is_small_and_gives_the_whole_list(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let old = programs(2_000, &[]);
    // One in a hundred.
    let new = programs(2_000, &(0..2_000).step_by(100).collect::<Vec<_>>());
    assert!(bases(&world, &machine, &old).await.bases.is_empty());
    report(&world, &machine, vec![old.clone()]).await.unwrap();
    let told = bases(&world, &machine, &new).await;
    assert_eq!(told.wanted, [i32::from(SectionKind::Software)]);
    assert_eq!(told.bases.len(), 1);
    assert_eq!(told.bases[0].digest, old.digest);
    let size = send(&world, &machine, difference(&old, &new))
        .await
        .unwrap();
    assert!(
        size * 20 < new.facts.len(),
        "{size} of {} bytes",
        new.facts.len()
    );
    assert_eq!(shown(&world, &machine).await, new.facts);
}

async fn a_difference_never_takes_the_place_of_a_later_list(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let first = programs(400, &[]);
    for round in 0..30 {
        report(&world, &machine, vec![first.clone()]).await.unwrap();
        let (one, two) = (programs(400, &[round]), programs(400, &[round + 200]));
        let (crossing, whole) = tokio::join!(
            send(&world, &machine, difference(&first, &one)),
            report(&world, &machine, vec![two.clone()])
        );
        whole.unwrap();
        match crossing {
            // It came first: the whole list stands.
            Ok(_) => assert_eq!(shown(&world, &machine).await, two.facts),
            refused => assert_eq!(reason(refused), "SECTION_BASE_UNKNOWN"),
        }
    }
}

async fn a_difference_that_cannot_be_used_asks_for_the_whole_and_changes_nothing(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let other = world.machine("pc-2", 61).await;
    let (old, new) = (programs(100, &[]), programs(100, &[7]));
    let good = difference(&old, &new);
    assert_eq!(
        reason(send(&world, &machine, good.clone()).await),
        "SECTION_BASE_UNKNOWN"
    );
    report(&world, &other, vec![old.clone()]).await.unwrap();
    assert_eq!(
        reason(send(&world, &machine, good.clone()).await),
        "SECTION_BASE_UNKNOWN",
        "another machine's list is no base"
    );
    report(&world, &machine, vec![old.clone()]).await.unwrap();
    let events = world.events().await;
    let mut lying = good.clone();
    lying.removed = vec![8];
    let mut outside = good.clone();
    outside.added_at = vec![u32::MAX];
    let mut shell = good.clone();
    shell.shell = vec![1, 2, 3].into();
    let mut kind = good.clone();
    kind.section.as_mut().unwrap().kind = SectionKind::Memory.into();
    for wrong in [lying, outside, shell, kind] {
        assert_eq!(
            reason(send(&world, &machine, wrong).await),
            "SECTION_DIFFERENCE_MISMATCH"
        );
    }
    assert_eq!(world.events().await, events);
    assert_eq!(shown(&world, &machine).await, old.facts);
    send(&world, &machine, good).await.unwrap();
    assert_eq!(shown(&world, &machine).await, new.facts);
}

fn now() -> i64 {
    chasqui_base::clock::now_ms()
}

async fn what_nothing_refers_to_is_swept_and_the_rest_stays(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let lists = [programs(40, &[]), programs(40, &[1]), programs(40, &[1, 2])];
    for list in &lists {
        report(&world, &machine, vec![list.clone()]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    assert_eq!(
        (count(&world, "lists").await, count(&world, "whole").await),
        (3, 1)
    );
    // Everything is shown or was.
    sweep::round(&world.ctx, now() + 10 * DAY_MS, 700 * DAY_MS)
        .await
        .unwrap();
    assert_eq!(count(&world, "contents").await, 3);
    // The history is over: the one in the middle goes; the first stays while the last is a difference to it.
    sweep::round(&world.ctx, now() + 10 * DAY_MS, DAY_MS)
        .await
        .unwrap();
    assert_eq!(
        (
            count(&world, "contents").await,
            count(&world, "lists").await
        ),
        (2, 2)
    );
    assert_eq!(shown(&world, &machine).await, lists[2].facts);
    assert_eq!(count(&world, "programs").await, 42);
    // Another list far from it: nothing refers to those any more.
    report(&world, &machine, vec![programs(10, &[])])
        .await
        .unwrap();
    sweep::round(&world.ctx, now() + 10 * DAY_MS, DAY_MS)
        .await
        .unwrap();
    sweep::round(&world.ctx, now() + 10 * DAY_MS, DAY_MS)
        .await
        .unwrap();
    assert_eq!(
        (
            count(&world, "contents").await,
            count(&world, "lists").await
        ),
        (1, 1)
    );
    assert_eq!(count(&world, "programs").await, 10);
    assert_eq!(shown(&world, &machine).await, programs(10, &[]).facts);
}

async fn a_report_that_races_with_the_sweep_keeps_its_content(world: World) {
    // A content that nothing refers to, as between two calls of a report; first seen now, it is left alone.
    let list = programs(40, &[]);
    let digest = hex::encode(Sha256::digest(&list.facts));
    let known = digest.clone();
    world
        .write(move |tx| store::insert_content(tx, "memory", &known, b"x", now()))
        .await;
    sweep::round(&world.ctx, now(), DAY_MS).await.unwrap();
    assert_eq!(count(&world, "contents").await, 1);
    // Past the grace it goes; but while a machine links it at the same time, one of both comes first and all holds.
    for round in 0..20 {
        let machine = world.machine(&format!("pc-{round}"), 100 + round).await;
        let digest = format!("{round:064}");
        let old = digest.clone();
        world
            .write(move |tx| store::insert_content(tx, "memory", &old, b"x", 1))
            .await;
        let id = machine.id.to_string();
        let linked = world
            .ctx
            .store
            .write(move |tx| -> Result<bool, StoreError> {
                if !store::is_known(tx, "memory", &digest)? {
                    return Ok(false);
                }
                store::show(tx, (&id, "memory"), &digest, b"", (1, 1))?;
                Ok(true)
            });
        let swept = sweep::round(&world.ctx, now(), 700 * DAY_MS);
        let (linked, swept) = tokio::join!(linked, swept);
        swept.unwrap();
        let id = machine.id.to_string();
        let sections = world.read(move |tx| store::sections(tx, &id)).await;
        assert_eq!(sections.len(), usize::from(linked.unwrap()));
    }
}

async fn history_past_its_time_is_cut(world: World) {
    let machine = world.machine("pc-1", 60).await;
    for bytes in [8, 16, 32] {
        let list = crate::inventory::memory(bytes);
        report(&world, &machine, vec![list]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    }
    sweep::round(&world.ctx, now() + 729 * DAY_MS, 730 * DAY_MS)
        .await
        .unwrap();
    assert_eq!(count(&world, "history").await, 3);
    sweep::round(&world.ctx, now() + 731 * DAY_MS, 730 * DAY_MS)
        .await
        .unwrap();
    assert_eq!(count(&world, "history").await, 1, "what stands now stays");
    assert_eq!(count(&world, "contents").await, 1);
}
