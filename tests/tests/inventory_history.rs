//! A machine that changes between two observations, with a real coordinator and a real agent: what changed is told before
//! and after, the list of programs travels as a difference, and a machine that stays as it is sends nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use chasqui_proto::v1::{
    InventoryChange, InventoryChangeKind, ListInventoryChangesRequest, SectionKind,
};
use chasqui_tests::programs::wait_until;
use chasqui_tests::{Agent, TestFleet};

/// A captured machine with so many programs; the first `newer` of them have another version.
fn capture(root: &Path, count: usize, newer: usize) {
    let status: String = (0..count)
        .map(|n| {
            let version = if n < newer { "2.0-1" } else { "1.0-1" };
            format!(
                "Package: program-{n:04}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
            )
        })
        .collect();
    let folder = root.join("var/lib/dpkg");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("status.new"), status).unwrap();
    fs::rename(folder.join("status.new"), folder.join("status")).unwrap();
}

async fn changes(fleet: &TestFleet, device_id: &str) -> Vec<InventoryChange> {
    let request = ListInventoryChangesRequest {
        device_id: device_id.to_owned(),
        kinds: vec![SectionKind::Software.into()],
        ..Default::default()
    };
    let answer = fleet
        .technician
        .inventory()
        .list_inventory_changes(request)
        .await
        .unwrap();
    answer.into_inner().changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_on_a_machine_is_told_before_and_after() {
    let fleet = TestFleet::start().await.unwrap();
    let mut agent = Agent::configure(&fleet, "equipo").unwrap();
    let root = agent.folder.join("captured");
    capture(&root, 300, 0);
    let token = fleet.token(1).await.unwrap();
    agent.enrol(&token).unwrap();
    agent
        .run(&[
            ("CHASQUI_AGENT_FACTS_ROOT", root.to_str().unwrap()),
            ("CHASQUI_AGENT_INVENTORY_EVERY_MS", "300"),
        ])
        .unwrap();
    agent.connected(&fleet).await.unwrap();
    let wait = async |least: usize| {
        wait_until("changes of programs", Duration::from_secs(60), async || {
            let found = changes(&fleet, &agent.device_id).await;
            Ok((found.len() >= least).then_some(found))
        })
        .await
        .unwrap()
    };
    let first = wait(1).await;
    assert_eq!(first[0].kind(), InventoryChangeKind::FirstObserved);
    capture(&root, 301, 2);
    let found = wait(4).await;
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
    assert_eq!(
        told,
        [
            (InventoryChangeKind::Added, "items", "program-0300", ""),
            (
                InventoryChangeKind::Changed,
                "items.version",
                "program-0000",
                "\"1.0-1\""
            ),
            (
                InventoryChangeKind::Changed,
                "items.version",
                "program-0001",
                "\"1.0-1\""
            ),
            (InventoryChangeKind::FirstObserved, "", "", ""),
        ]
    );
    assert_eq!(found[1].after, "\"2.0-1\"");
    // The second list is a difference to the first in the store as it was on the wire.
    let lists: (i64, i64) = fleet
        .server
        .behind()
        .unwrap()
        .query_row(
            "SELECT COUNT(*), COUNT(base_id) FROM software_lists",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(lists, (2, 1));
    // It stays as it is now: observed again and again, nothing changes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(changes(&fleet, &agent.device_id).await, found);
}
