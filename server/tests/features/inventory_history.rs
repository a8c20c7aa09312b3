use chasqui_proto::v1::inventory_service_server::InventoryService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, InventoryChangeKind as Kind, SectionKind};
use chasqui_server::rpc::inventory;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::inventory::{report, section};
use crate::world::{Machine, World, ok, reason};

both_engines!(
    history_tells_what_changed_before_and_after,
    history_goes_on_page_by_page,
    what_could_not_be_read_is_not_removed,
    moments_and_devices_are_compared,
    a_module_that_turns_up_elsewhere_alarms_both_machines,
    a_first_inventory_and_an_unread_one_raise_nothing,
    an_alarm_is_explained_once,
);

fn modules(list: &[(&str, &str)]) -> v1::Section {
    let modules = list
        .iter()
        .map(|(slot, serial)| v1::MemoryModule {
            slot: Some((*slot).to_owned()),
            serial: Some((*serial).to_owned()),
            ..Default::default()
        })
        .collect();
    section(
        SectionKind::Memory,
        Facts::Memory(v1::MemoryFacts {
            modules,
            ..Default::default()
        }),
    )
}

/// The memory section with nothing of it read.
fn unread() -> v1::Section {
    let facts = v1::SectionFacts {
        facts: None,
        unread: vec![v1::Unread {
            group: "memory".to_owned(),
            reason: v1::UnreadReason::Permission.into(),
            detail: "/sys/firmware/dmi/tables/DMI".to_owned(),
        }],
    }
    .encode_to_vec();
    v1::Section {
        kind: SectionKind::Memory.into(),
        digest: Sha256::digest(&facts).to_vec().into(),
        facts: facts.into(),
        collector_version: 1,
        ..Default::default()
    }
}

fn service(world: &World) -> inventory::Service {
    inventory::Service(world.ctx.clone())
}

async fn step(world: &World, machine: &Machine, section: v1::Section) -> i64 {
    report(world, machine, vec![section]).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    // Before whatever is reported next, also within this millisecond.
    chasqui_base::clock::now_ms() - 1
}

async fn changes(
    world: &World,
    machine: &Machine,
    page_size: u32,
    page_token: &str,
) -> (Vec<v1::InventoryChange>, String) {
    let message = v1::ListInventoryChangesRequest {
        device_id: machine.id.to_string(),
        page: Some(v1::PageRequest {
            page_size,
            page_token: page_token.to_owned(),
        }),
        ..Default::default()
    };
    let answer = ok(service(world)
        .list_inventory_changes(world.by(&world.auditor, message))
        .await);
    assert_eq!(answer.left_out, 0);
    (answer.changes, answer.page.unwrap().next_page_token)
}

async fn history_tells_what_changed_before_and_after(world: World) {
    let machine = world.machine("pc-1", 60).await;
    step(&world, &machine, modules(&[("A1", "111"), ("A2", "222")])).await;
    let between = step(&world, &machine, modules(&[("A1", "111"), ("A2", "333")])).await;
    step(&world, &machine, modules(&[("A1", "111")])).await;
    let (found, next) = changes(&world, &machine, 0, "").await;
    assert_eq!(next, "");
    let told: Vec<_> = found
        .iter()
        .map(|c| {
            (
                c.kind(),
                c.path.as_str(),
                c.item.as_str(),
                c.before.as_str(),
            )
        })
        .collect();
    assert_eq!(told[1], (Kind::Changed, "modules.serial", "A2", "\"222\""));
    assert_eq!(
        (told[0].0, told[0].1, told[0].2),
        (Kind::Removed, "modules", "A2")
    );
    assert_eq!(told[2].0, Kind::FirstObserved);
    assert_eq!(told.len(), 3);
    assert_eq!(found[1].after, "\"333\"");
    assert!(found[0].at_ms > found[1].at_ms && found[1].at_ms > found[2].at_ms);
    let span = v1::ListInventoryChangesRequest {
        device_id: machine.id.to_string(),
        since_ms: between,
        kinds: vec![SectionKind::Memory.into()],
        ..Default::default()
    };
    let message = world.by(&world.lead, span.clone());
    assert_eq!(
        ok(service(&world).list_inventory_changes(message).await)
            .changes
            .len(),
        1
    );
    let other = v1::ListInventoryChangesRequest {
        kinds: vec![SectionKind::Disks.into()],
        ..span
    };
    let message = world.by(&world.lead, other);
    assert!(
        ok(service(&world).list_inventory_changes(message).await)
            .changes
            .is_empty()
    );
}

async fn history_goes_on_page_by_page(world: World) {
    let machine = world.machine("pc-1", 60).await;
    for serial in ["1", "2", "3", "4", "5"] {
        step(&world, &machine, modules(&[("A1", serial)])).await;
    }
    let all = changes(&world, &machine, 0, "").await.0;
    assert_eq!(all.len(), 5);
    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let (part, next) = changes(&world, &machine, 2, &token).await;
        assert!(part.len() <= 2);
        paged.extend(part);
        if next.is_empty() {
            break;
        }
        token = next;
    }
    assert_eq!(paged, all);
}

async fn what_could_not_be_read_is_not_removed(world: World) {
    let machine = world.machine("pc-1", 60).await;
    for section in [modules(&[("A1", "1")]), unread(), modules(&[("A1", "1")])] {
        step(&world, &machine, section).await;
    }
    let kinds: Vec<Kind> = changes(&world, &machine, 0, "")
        .await
        .0
        .iter()
        .map(v1::InventoryChange::kind)
        .collect();
    assert_eq!(
        kinds,
        [Kind::ReadableAgain, Kind::Unreadable, Kind::FirstObserved]
    );
}

async fn moments_and_devices_are_compared(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let then = step(&world, &one, modules(&[("A1", "1")])).await;
    step(&world, &one, modules(&[("A1", "2")])).await;
    step(&world, &two, modules(&[("A1", "2"), ("A2", "3")])).await;
    let moment = |machine: &Machine, at_ms| {
        Some(v1::InventoryMoment {
            device_id: machine.id.to_string(),
            at_ms,
        })
    };
    let compare = async |from, to| {
        let message = v1::CompareInventoryRequest {
            from,
            to,
            kinds: vec![],
        };
        let message = world.by(&world.technician, message);
        let answer = ok(service(&world).compare_inventory(message).await);
        let told = |c: &v1::InventoryChange| (c.kind(), c.path.clone(), c.item.clone());
        answer.changes.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(
        compare(moment(&one, Some(then)), moment(&one, None)).await,
        [(Kind::Changed, "modules.serial".to_owned(), "A1".to_owned())]
    );
    assert_eq!(
        compare(moment(&one, None), moment(&two, None)).await,
        [(Kind::Added, "modules".to_owned(), "A2".to_owned())]
    );
    assert!(
        compare(moment(&one, None), moment(&one, None))
            .await
            .is_empty()
    );
    let message = v1::GetInventoryRequest {
        device_id: one.id.to_string(),
        kinds: vec![],
        at_ms: Some(then),
    };
    let was = ok(service(&world)
        .get_inventory(world.by(&world.lead, message))
        .await);
    assert_eq!(was.sections[0].facts, modules(&[("A1", "1")]).facts);
    assert!(was.volatile.is_none());
}

async fn alarms(world: &World, machine: Option<&Machine>, too: bool) -> Vec<v1::InventoryAlarm> {
    let message = v1::ListInventoryAlarmsRequest {
        device_id: machine.map(|m| m.id.to_string()).unwrap_or_default(),
        acknowledged_too: too,
        page: None,
    };
    ok(service(world)
        .list_inventory_alarms(world.by(&world.auditor, message))
        .await)
    .alarms
}

async fn a_module_that_turns_up_elsewhere_alarms_both_machines(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    step(&world, &one, modules(&[("A1", "111"), ("A2", "222")])).await;
    step(&world, &two, modules(&[("A1", "333")])).await;
    assert!(alarms(&world, None, true).await.is_empty());
    step(&world, &one, modules(&[("A1", "111")])).await;
    step(&world, &two, modules(&[("A1", "333"), ("A2", "222")])).await;
    let found = alarms(&world, None, false).await;
    let told: Vec<_> = found
        .iter()
        .map(|a| {
            (
                a.happened.as_str(),
                a.device_id.as_str(),
                a.serial.as_str(),
                a.level(),
            )
        })
        .collect();
    let (first, second) = (one.id.to_string(), two.id.to_string());
    let high = v1::InventoryAlarmLevel::High;
    assert_eq!(
        told,
        [
            ("turned_up", second.as_str(), "222", high),
            ("left", first.as_str(), "222", high)
        ]
    );
    assert_eq!(found[0].other_device_id, first, "it left there before");
    assert_eq!(alarms(&world, Some(&one), false).await.len(), 1);
    // Both machines have it in their record.
    for id in [first, second] {
        let events: i64 = world
            .read(move |tx| {
                tx.query_one(
                    chasqui_store::sql!("SELECT COUNT(*) FROM events WHERE subject_id = $1 AND kind = 'device.inventory_alarm'"),
                    chasqui_store::params![&id],
                    |row| row.get(0),
                )
            })
            .await;
        assert!(events >= 1);
    }
    // The module in both machines at once: the serial was copied, or one report is late.
    step(&world, &one, modules(&[("A1", "111"), ("A2", "222")])).await;
    let both = alarms(&world, Some(&one), false).await;
    assert_eq!(both[0].happened, "turned_up");
    assert_eq!(both[0].other_device_id, two.id.to_string());
}

async fn a_first_inventory_and_an_unread_one_raise_nothing(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    step(&world, &one, modules(&[("A1", "111")])).await;
    step(&world, &two, modules(&[("A1", "111")])).await;
    step(&world, &one, unread()).await;
    step(&world, &one, modules(&[("A1", "111")])).await;
    assert!(alarms(&world, None, true).await.is_empty());
}

async fn an_alarm_is_explained_once(world: World) {
    let machine = world.machine("pc-1", 60).await;
    step(&world, &machine, modules(&[("A1", "111")])).await;
    step(&world, &machine, modules(&[])).await;
    let alarm = alarms(&world, None, false).await.remove(0);
    let say = async |who, reason: &str| {
        let message = v1::AcknowledgeInventoryAlarmRequest {
            alarm_id: alarm.id.clone(),
            reason: reason.to_owned(),
        };
        service(&world)
            .acknowledge_inventory_alarm(world.by(who, message))
            .await
    };
    let said = ok(say(&world.technician, "Se llevó a garantía").await)
        .alarm
        .unwrap();
    assert_eq!(said.acknowledged_by, world.technician.id.to_string());
    let events = world.events().await;
    ok(say(&world.technician, "Se llevó a garantía").await);
    assert_eq!(
        world.events().await,
        events,
        "said again, nothing is recorded"
    );
    assert_eq!(
        reason(say(&world.lead, "Otra cosa").await),
        "ALARM_ALREADY_ACKNOWLEDGED"
    );
    assert!(alarms(&world, None, false).await.is_empty());
    assert_eq!(
        alarms(&world, None, true).await[0].reason,
        "Se llevó a garantía"
    );
}
