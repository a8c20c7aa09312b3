use chasqui_proto::v1::device_service_server::DeviceService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{
    self, AdministrativeFacts, DeviceMatchDecision, DeviceMatchSide, DeviceMatchVerdict,
    DeviceState, OrderState, SectionKind,
};
use chasqui_server::jobs;
use chasqui_server::rpc::{device, order};
use chasqui_trust::Decision;
use tonic::Status;

use crate::inventory::{report, section};
use crate::world::{Machine, World, ok, reason};

both_engines!(
    a_reimaged_machine_is_proposed_and_merged_by_a_person,
    a_split_undoes_the_merge_and_keeps_the_trail,
    devices_kept_apart_are_not_proposed_again,
    conflicting_facts_need_a_side,
    an_order_that_waits_for_a_merged_device_is_called_off,
    a_cloned_uuid_is_no_proposal,
    a_proposal_is_withdrawn_when_the_evidence_goes,
);

fn service(world: &World) -> device::Service {
    device::Service(world.ctx.clone())
}

fn identity(uuid: &str, serial: &str) -> v1::Section {
    section(
        SectionKind::Identity,
        Facts::Identity(v1::IdentityFacts {
            smbios_uuid: Some(uuid.to_owned()),
            system_serial: Some(serial.to_owned()),
            ..Default::default()
        }),
    )
}

const UUID: &str = "4c4c4544-0031-3210-8050-b4c04f564433";

/// A machine known before and the same one installed anew: the proposal's id.
async fn reimaged(world: &World) -> (Machine, Machine, String) {
    let old = world.machine("pc-viejo", 60).await;
    report(world, &old, vec![identity(UUID, "BTQ4D33")])
        .await
        .unwrap();
    jobs::once(&world.ctx).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let new = world.machine("pc-nuevo", 61).await;
    report(world, &new, vec![identity(UUID, "BTQ4D33")])
        .await
        .unwrap();
    jobs::once(&world.ctx).await.unwrap();
    let matches = list(world).await;
    assert_eq!(matches.len(), 1);
    (old, new, matches[0].id.clone())
}

async fn list(world: &World) -> Vec<v1::DeviceMatch> {
    let request = world.by(&world.auditor, v1::ListDeviceMatchesRequest::default());
    ok(service(world).list_device_matches(request).await).matches
}

async fn show(world: &World, machine: &Machine) -> v1::Device {
    let request = v1::GetDeviceRequest {
        device: machine.id.to_string(),
    };
    ok(service(world)
        .get_device(world.by(&world.lead, request))
        .await)
    .device
    .unwrap()
}

async fn decide(
    world: &World,
    match_id: &str,
    decision: DeviceMatchDecision,
    side: DeviceMatchSide,
) -> Result<v1::ResolveDeviceMatchResponse, Status> {
    let request = v1::ResolveDeviceMatchRequest {
        match_id: match_id.to_owned(),
        decision: decision.into(),
        reason: "lo reinstalamos ayer".to_owned(),
        keep_facts_of: side.into(),
    };
    service(world)
        .resolve_device_match(world.by(&world.coordinator, request))
        .await
        .map(tonic::Response::into_inner)
}

async fn merge(world: &World, match_id: &str) -> Result<v1::ResolveDeviceMatchResponse, Status> {
    decide(
        world,
        match_id,
        DeviceMatchDecision::Merge,
        DeviceMatchSide::Unspecified,
    )
    .await
}

async fn split(world: &World, machine: &Machine) -> Result<v1::SplitDeviceResponse, Status> {
    let request = v1::SplitDeviceRequest {
        device_id: machine.id.to_string(),
        reason: "era otro equipo".to_owned(),
    };
    service(world)
        .split_device(world.by(&world.administrator, request))
        .await
        .map(tonic::Response::into_inner)
}

async fn set(world: &World, machine: &Machine, facts: AdministrativeFacts, fields: &[&str]) {
    let request = v1::SetAdministrativeFactsRequest {
        device_id: machine.id.to_string(),
        facts: Some(facts),
        fields: fields.iter().map(|name| (*name).to_owned()).collect(),
        expected_version: None,
    };
    ok(service(world)
        .set_administrative_facts(world.by(&world.lead, request))
        .await);
}

fn plate(text: &str) -> AdministrativeFacts {
    AdministrativeFacts {
        plate: text.to_owned(),
        ..Default::default()
    }
}

async fn a_reimaged_machine_is_proposed_and_merged_by_a_person(world: World) {
    let (old, new, id) = reimaged(&world).await;
    set(&world, &old, plate("100-7"), &["plate"]).await;
    let found = list(&world).await.remove(0);
    assert_eq!(
        (found.verdict(), found.kind.as_str()),
        (DeviceMatchVerdict::Same, "reimaged")
    );
    assert_eq!(
        (found.a.unwrap().id, found.b.unwrap().id),
        (new.id.to_string(), old.id.to_string())
    );
    assert_eq!(found.findings.last().unwrap().code, "rule_uuid_and_serial");
    let serial = found
        .rows
        .iter()
        .find(|row| row.name == "system_serial")
        .unwrap();
    assert_eq!(
        (serial.a.as_str(), serial.b.as_str()),
        ("BTQ4D33", "BTQ4D33")
    );
    // A proposal changes nothing by itself.
    assert_eq!(show(&world, &old).await.state(), DeviceState::Active);

    merge(&world, &id).await.unwrap();
    let (gone, goes_on) = (show(&world, &old).await, show(&world, &new).await);
    assert_eq!(
        (gone.state(), gone.merged_into),
        (DeviceState::Retired, new.id.to_string())
    );
    assert_eq!(goes_on.administrative.unwrap().plate, "100-7");
    assert_eq!(goes_on.continues.len(), 1);
    assert_eq!(goes_on.continues[0].id, old.id.to_string());
    assert!(list(&world).await.is_empty());
    assert_eq!(reason(merge(&world, &id).await), "DEVICE_MATCH_RESOLVED");
    // Its certificate is held against this row; over TLS the end-to-end test sees it refused.
    let of = old.id.to_string();
    let standing = world
        .read(move |tx| chasqui_store::device::standing(tx, &of))
        .await;
    assert_eq!(
        standing.unwrap().state,
        chasqui_store::device::State::Retired
    );
    world.check().await;
}

async fn a_split_undoes_the_merge_and_keeps_the_trail(world: World) {
    let (old, new, id) = reimaged(&world).await;
    let facts = AdministrativeFacts {
        supplier: "Proveedor".into(),
        ..plate("100-7")
    };
    set(&world, &old, facts, &["plate", "supplier"]).await;
    assert_eq!(reason(split(&world, &old).await), "DEVICE_NOT_MERGED");
    merge(&world, &id).await.unwrap();
    let later = AdministrativeFacts {
        supplier: "Otro".into(),
        ..Default::default()
    };
    set(&world, &new, later, &["supplier"]).await;
    let answer = split(&world, &old).await.unwrap();
    assert_eq!(answer.kept_fields, ["supplier"]);
    let (back, other) = (show(&world, &old).await, show(&world, &new).await);
    assert_eq!(
        (back.state(), back.merged_into.as_str()),
        (DeviceState::Active, "")
    );
    assert_eq!(back.administrative.unwrap().plate, "100-7");
    let facts = other.administrative.unwrap();
    assert_eq!(
        (facts.plate.as_str(), facts.supplier.as_str()),
        ("", "Otro")
    );
    assert!(other.continues.is_empty());
    let of = new.id.to_string();
    let events = world
        .read(move |tx| chasqui_store::event::list(tx, "device", &of, 0, 100))
        .await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    for kind in ["device.match_proposed", "device.continues", "device.split"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    world.check().await;
}

async fn devices_kept_apart_are_not_proposed_again(world: World) {
    let (old, new, id) = reimaged(&world).await;
    decide(
        &world,
        &id,
        DeviceMatchDecision::KeepApart,
        DeviceMatchSide::Unspecified,
    )
    .await
    .unwrap();
    report(&world, &new, vec![identity(UUID, "BTQ4D34")])
        .await
        .unwrap();
    report(&world, &new, vec![identity(UUID, "BTQ4D33")])
        .await
        .unwrap();
    jobs::once(&world.ctx).await.unwrap();
    assert!(list(&world).await.is_empty());
    assert_eq!(show(&world, &old).await.state(), DeviceState::Active);
}

async fn conflicting_facts_need_a_side(world: World) {
    let (old, new, id) = reimaged(&world).await;
    let of_old = AdministrativeFacts {
        seat: "Piso 1".into(),
        ..plate("100-7")
    };
    set(&world, &old, of_old, &["plate", "seat"]).await;
    set(&world, &new, plate("100-8"), &["plate"]).await;
    let rows = list(&world).await.remove(0).rows;
    let conflicts: Vec<_> = rows
        .iter()
        .filter(|row| row.conflict)
        .map(|row| row.name.as_str())
        .collect();
    assert_eq!(conflicts, ["plate"]);
    let events = world.events().await;
    let status = merge(&world, &id).await.unwrap_err();
    assert!(status.message().contains("(plate)"), "{}", status.message());
    assert_eq!(reason(Err::<(), _>(status)), "DEVICE_MATCH_CONFLICT");
    assert_eq!(
        (world.events().await, show(&world, &old).await.state()),
        (events, DeviceState::Active)
    );
    decide(&world, &id, DeviceMatchDecision::Merge, DeviceMatchSide::B)
        .await
        .unwrap();
    let facts = show(&world, &new).await.administrative.unwrap();
    assert_eq!(
        (facts.plate.as_str(), facts.seat.as_str()),
        ("100-7", "Piso 1")
    );
    world.check().await;
}

async fn an_order_that_waits_for_a_merged_device_is_called_off(world: World) {
    world.publish_trust().await;
    let (old, _, id) = reimaged(&world).await;
    let undecided = world.ordered(&[&old]).await;
    let queued = world.ordered(&[&old]).await;
    world
        .say(&queued, &world.lead, Decision::Approve)
        .await
        .unwrap();
    let answer = merge(&world, &id).await.unwrap();
    let mut cancelled = answer.cancelled_order_ids;
    cancelled.sort();
    let mut expected = vec![undecided.id.clone(), queued.id.clone()];
    expected.sort();
    assert_eq!(cancelled, expected);
    for order in [&undecided, &queued] {
        assert_eq!(world.look(&order.id).await.state(), OrderState::Cancelled);
    }
    assert!(order::pending(&world.ctx, old.id).await.unwrap().is_empty());
    world.check().await;
}

async fn a_cloned_uuid_is_no_proposal(world: World) {
    for (name, seed, serial) in [("pc-1", 60, "SER-0001"), ("pc-2", 61, "SER-0002")] {
        let machine = world.machine(name, seed).await;
        report(&world, &machine, vec![identity(UUID, serial)])
            .await
            .unwrap();
    }
    let placeholder = "To be filled by O.E.M.";
    for (name, seed) in [("pc-3", 62), ("pc-4", 63)] {
        let machine = world.machine(name, seed).await;
        let junk = identity("03000200-0400-0500-0006-000700080009", placeholder);
        report(&world, &machine, vec![junk]).await.unwrap();
    }
    jobs::once(&world.ctx).await.unwrap();
    assert!(list(&world).await.is_empty());
}

async fn a_proposal_is_withdrawn_when_the_evidence_goes(world: World) {
    let (_, new, id) = reimaged(&world).await;
    report(&world, &new, vec![identity(UUID, "OTHER-01")])
        .await
        .unwrap();
    jobs::once(&world.ctx).await.unwrap();
    assert!(list(&world).await.is_empty());
    assert_eq!(reason(merge(&world, &id).await), "DEVICE_MATCH_RESOLVED");
    report(&world, &new, vec![identity(UUID, "BTQ4D33")])
        .await
        .unwrap();
    jobs::once(&world.ctx).await.unwrap();
    assert_eq!(list(&world).await[0].id, id, "and comes back with it");
}
