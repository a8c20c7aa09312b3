//! A machine that was installed anew, from its enrolment to the person who merges it with the device it was, over real TLS:
//! nothing is merged by itself, the retired device's certificate is refused, and a split lets it in again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{
    AdministrativeFacts, DeviceMatch, DeviceMatchDecision, DeviceMatchSide, DeviceState,
    IdentityFacts, ListDeviceMatchesRequest, Provenance, ReportInventoryRequest,
    ResolveDeviceMatchRequest, Section, SectionFacts, SectionKind, SetAdministrativeFactsRequest,
    SplitDeviceRequest,
};
use chasqui_tests::programs::wait_until;
use chasqui_tests::simulated::{self, Stream};
use chasqui_tests::{Simulated, TestFleet};
use chasqui_trust::Digest;
use prost::Message;

const PATIENCE: Duration = Duration::from_secs(60);

/// What a machine of this serial number says of itself.
async fn report(stream: &mut Stream, serial: &str) {
    let facts = SectionFacts {
        facts: Some(Facts::Identity(IdentityFacts {
            smbios_uuid: Some("4c4c4544-0031-3210-8050-b4c04f564433".to_owned()),
            system_serial: Some(serial.to_owned()),
            ..Default::default()
        })),
        unread: Vec::new(),
    }
    .encode_to_vec();
    stream
        .link
        .report_inventory(ReportInventoryRequest {
            request_id: clock::new_id().to_string(),
            sections: vec![Section {
                kind: SectionKind::Identity.into(),
                digest: Digest::of(&facts).0.to_vec().into(),
                facts: facts.into(),
                provenance: vec![Provenance {
                    group: "identity".to_owned(),
                    source: "test".to_owned(),
                }],
                observed_at_ms: clock::now_ms(),
                collector_version: 1,
                changed_at_ms: 0,
            }],
            differences: Vec::new(),
        })
        .await
        .unwrap();
}

async fn matches(fleet: &TestFleet) -> Vec<DeviceMatch> {
    fleet
        .admin
        .devices()
        .list_device_matches(ListDeviceMatchesRequest::default())
        .await
        .unwrap()
        .into_inner()
        .matches
}

/// Until the coordinator has looked at everybody who reported.
async fn looked_at(fleet: &TestFleet) {
    wait_until("every device to be looked at", PATIENCE, async || {
        let waiting: i64 = fleet.server.behind()?.query_row(
            "SELECT COUNT(*) FROM devices WHERE match_due_ms <= ?1",
            [clock::now_ms()],
            |row| row.get(0),
        )?;
        Ok((waiting == 0).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_installed_anew_is_merged_by_a_person_and_split_again() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(4).await.unwrap();
    let old = Simulated::enrol(&fleet, &token, "pc-07").await.unwrap();
    let mut stream = old.connect("boot-1").await.unwrap();
    report(&mut stream, "BTQ4D33").await;
    fleet
        .admin
        .devices()
        .set_administrative_facts(SetAdministrativeFactsRequest {
            device_id: old.device_id.clone(),
            facts: Some(AdministrativeFacts {
                plate: "100-7".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        })
        .await
        .unwrap();
    drop(stream);
    wait_until("the old machine to be silent", PATIENCE, async || {
        let device = fleet.device(&old.device_id).await?;
        Ok((!device.connected).then_some(()))
    })
    .await
    .unwrap();

    // Installed anew: another key. And two that are others: a copied identity, alive beside it, and a repeated UUID.
    let new = Simulated::enrol(&fleet, &token, "pc-nuevo").await.unwrap();
    let mut of_new = new.connect("boot-2").await.unwrap();
    let twin = Simulated::enrol(&fleet, &token, "pc-copia").await.unwrap();
    let mut of_twin = twin.connect("boot-3").await.unwrap();
    let other = Simulated::enrol(&fleet, &token, "pc-otro").await.unwrap();
    let mut of_other = other.connect("boot-4").await.unwrap();
    report(&mut of_new, "BTQ4D33").await;
    report(&mut of_twin, "BTQ4D33").await;
    report(&mut of_other, "ZZZ9999").await;
    looked_at(&fleet).await;

    let found = matches(&fleet).await;
    let mut pairs: Vec<(String, String)> = found
        .iter()
        .map(|one| {
            let name = |device: &Option<chasqui_proto::v1::Device>| {
                device.as_ref().unwrap().host_name.clone()
            };
            (name(&one.a), name(&one.b))
        })
        .collect();
    pairs.sort();
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        pairs,
        [pair("pc-copia", "pc-07"), pair("pc-nuevo", "pc-07")]
    );
    let untouched = fleet.device(&old.device_id).await.unwrap();
    assert_eq!(untouched.state(), DeviceState::Active);

    let id = found
        .iter()
        .find(|one| one.a.as_ref().unwrap().id == new.device_id)
        .unwrap()
        .id
        .clone();
    fleet
        .admin
        .devices()
        .resolve_device_match(ResolveDeviceMatchRequest {
            match_id: id,
            decision: DeviceMatchDecision::Merge.into(),
            reason: "reinstalado ayer".to_owned(),
            keep_facts_of: DeviceMatchSide::Unspecified.into(),
        })
        .await
        .unwrap();
    let goes_on = fleet.device(&new.device_id).await.unwrap();
    assert!(goes_on.connected, "the one that goes on was not disturbed");
    assert_eq!(goes_on.administrative.unwrap().plate, "100-7");
    assert_eq!(goes_on.continues[0].id, old.device_id);
    assert!(matches(&fleet).await.is_empty());
    let refused = old.connect("boot-1").await.unwrap_err();
    assert_eq!(
        simulated::refusal(&refused).as_deref(),
        Some("DEVICE_REVOKED")
    );

    fleet
        .admin
        .devices()
        .split_device(SplitDeviceRequest {
            device_id: old.device_id.clone(),
            reason: "era otro".to_owned(),
        })
        .await
        .unwrap();
    old.connect("boot-1").await.unwrap();
    let goes_on = fleet.device(&new.device_id).await.unwrap();
    assert_eq!(goes_on.administrative.unwrap().plate, "");
}
