//! The peer: Debian's FusionInventory agent reports to a running coordinator over HTTP with its own client, and the
//! coordinator shows the facts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::process::Command;

use chasqui_base::clock;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{
    CreateInventorySourceRequest, GetInventoryRequest, ListDevicesRequest, SectionFacts,
    SectionKind,
};
use chasqui_tests::TestFleet;
use prost::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fusioninventory_reports_to_a_running_coordinator() {
    let fleet = TestFleet::start().await.unwrap();
    let request = CreateInventorySourceRequest {
        request_id: clock::new_id().to_string(),
        name: "fusion".to_owned(),
    };
    let made = fleet
        .admin
        .sources()
        .create_inventory_source(request)
        .await
        .unwrap();
    let secret = made.into_inner().secret;
    let url = format!("{}/front/inventory.php", fleet.server.people_url);
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("fusioninventory-agent")
            .args(["--server", &url, "--user", "fusion", "--password", &secret])
            .args(["--force", "--no-httpd", "--logger", "stderr"])
            .args(["--no-task", "wmi,maintenance"])
            .output()
            .expect("fusioninventory-agent is missing: install the package fusioninventory-agent")
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let mut devices = fleet.technician.devices();
    let listed = devices.list_devices(ListDevicesRequest::default());
    let devices = listed.await.unwrap().into_inner().devices;
    let device = devices
        .iter()
        .find(|device| device.origin == "fusioninventory")
        .unwrap_or_else(|| panic!("no device was reported: {said}"));
    assert!(device.public_key.is_empty() && device.fingerprint.is_empty());
    let request = GetInventoryRequest {
        device_id: device.id.clone(),
        kinds: vec![
            SectionKind::Software.into(),
            SectionKind::OperatingSystem.into(),
        ],
        ..GetInventoryRequest::default()
    };
    let shown = fleet
        .technician
        .inventory()
        .get_inventory(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.sections.len(), 2, "{said}");
    for section in shown.sections {
        assert!(section.provenance[0].source.contains("(source fusion)"));
        match SectionFacts::decode(section.facts).unwrap().facts.unwrap() {
            Facts::Software(software) => assert!(software.items.len() > 50),
            Facts::OperatingSystem(system) => assert_eq!(system.family.as_deref(), Some("linux")),
            other => panic!("{other:?}"),
        }
    }
}
