//! The second shipped definition, from the request to the evidence, with a real coordinator and a real agent: a program
//! step whose success is what it left behind and not its exit code. As root the machine's library cache is renewed; as an
//! ordinary user nothing can be written and the machine has to say so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chasqui_proto::v1::{
    ExportEvidenceRequest, ListTimelineRequest, OrderState, Ticket, TimelineEntry,
};
use chasqui_tests::orders::signed;
use chasqui_tests::{Agent, TestFleet};
use chasqui_trust::result::{CheckResult, Outcome};
use chasqui_trust::text::Text;
use chasqui_trust::{Digest, PublicKey, verify_evidence, verify_result};

const CACHE: &str = "/etc/ld.so.cache";

/// The cache as this test sees it, in the words of the check's facts.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    modified_at: String,
    inode: String,
    size: String,
}

fn look() -> Option<Seen> {
    let stat = fs::symlink_metadata(CACHE).ok()?;
    Some(Seen {
        modified_at: format!("{}.{:09}", stat.mtime(), stat.mtime_nsec()),
        inode: stat.ino().to_string(),
        size: stat.size().to_string(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_cache_is_rebuilt_or_the_machine_says_that_it_was_not() {
    if !Path::new("/sbin/ldconfig").exists() {
        panic!("this test needs glibc's /sbin/ldconfig (Debian package libc-bin)");
    }
    let root = rustix::process::geteuid().is_root();
    let (state, outcome) = if root {
        (OrderState::Succeeded, Outcome::Succeeded)
    } else {
        (OrderState::Failed, Outcome::Failed)
    };
    let fleet = TestFleet::start().await.unwrap();
    let agent = Agent::start(&fleet, "equipo").await.unwrap();
    let device = fleet.device(&agent.device_id).await.unwrap();
    let ticket = fleet.ticket(&agent.device_id).await.unwrap();

    let before = look();
    let draft = fleet
        .draft(
            "system.library-cache.rebuild",
            &[],
            &agent.device_id,
            &ticket,
        )
        .await
        .unwrap();
    // The technician's word is enough at this risk.
    let envelope = signed(&draft.order, &fleet.cast.technician.key).unwrap();
    let order = fleet
        .submit(&fleet.technician, &envelope, &draft.leaves)
        .await
        .unwrap();
    assert_eq!(order.required_approvals, 0);
    assert_ne!(order.state(), OrderState::AwaitingApproval);
    let shown = fleet.until(&order.id, state).await.unwrap();
    let after = look();

    let (target, result) = fleet.result(&order.id).await.unwrap();
    let key = PublicKey::from_slice(&device.public_key).unwrap();
    let digest = Digest::from_slice(&shown.digest).unwrap();
    assert_eq!(
        verify_result(&target.result, &digest, &key).unwrap(),
        result
    );
    assert_eq!(result.outcome, outcome);
    let steps: Vec<_> = result.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["ldconfig"]);
    let exit_code = result.steps[0].exit_code.unwrap();
    let check = result.check.as_ref().unwrap();
    assert_eq!(check.holds, root, "{:?}", check.explanation);
    if root {
        assert_eq!(exit_code, 0);
        assert_ne!(before, after, "{CACHE} is the one from before");
        let text = fs::read(CACHE).unwrap();
        assert!(
            text.starts_with(b"glibc-ld.so.cache") || text.starts_with(b"ld.so-"),
            "{CACHE} is no library cache"
        );
    } else {
        assert_ne!(exit_code, 0);
        assert_eq!(before, after, "{CACHE} changed without root");
    }
    check_facts(check, before.as_ref(), after.as_ref());

    check_timeline(&fleet, &ticket, &order.id, &check.explanation).await;
    check_evidence(&fleet, &ticket, &order.id, &device.host_name, outcome).await;
}

/// The machine's signed facts are the file as this test saw it.
fn check_facts(check: &CheckResult, before: Option<&Seen>, after: Option<&Seen>) {
    let names: Vec<_> = check.facts.iter().map(|fact| fact.name.as_str()).collect();
    assert_eq!(names, ["modified_at", "inode", "size"]);
    for fact in &check.facts {
        let value = |seen: &Seen| match fact.name.as_str() {
            "modified_at" => seen.modified_at.clone(),
            "inode" => seen.inode.clone(),
            _ => seen.size.clone(),
        };
        assert_eq!(fact.before, before.map(value), "{} before", fact.name);
        assert_eq!(fact.after, after.map(value), "{} after", fact.name);
    }
}

/// The ticket tells of the request and of what the check found, in both languages.
async fn check_timeline(fleet: &TestFleet, ticket: &Ticket, order_id: &str, explanation: &Text) {
    let entries = fleet
        .requester
        .tickets()
        .list_timeline(ListTimelineRequest {
            ticket_id: ticket.id.clone(),
            page: None,
        })
        .await
        .unwrap()
        .into_inner()
        .entries;
    let of_order: Vec<&TimelineEntry> = entries
        .iter()
        .filter(|entry| entry.order_id == order_id)
        .collect();
    let kinds: Vec<_> = of_order.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds.first(), Some(&"order.requested"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"order.result"), "{kinds:?}");
    assert!(!kinds.contains(&"order.approved"), "{kinds:?}");
    let told = of_order[of_order.len() - 1].text.as_ref().unwrap();
    assert!(told.es.contains(&explanation.es), "{told:?}");
    assert!(told.en.contains(&explanation.en), "{told:?}");
    // The figures of the check too, so that nobody needs the evidence file to see what changed.
    if let Some(now) = look() {
        assert!(told.es.contains(&now.modified_at), "{told:?}");
        assert!(told.en.contains(&now.inode), "{told:?}");
    }
}

/// Proved with the root brought by hand and with nothing of the coordinator's.
async fn check_evidence(
    fleet: &TestFleet,
    ticket: &Ticket,
    order_id: &str,
    host_name: &str,
    outcome: Outcome,
) {
    let evidence = fleet
        .auditor
        .orders()
        .export_evidence(ExportEvidenceRequest {
            order_id: order_id.to_owned(),
            device_id: String::new(),
        })
        .await
        .unwrap()
        .into_inner()
        .evidence;
    let root = fs::read(fleet.root_file()).unwrap();
    let report = verify_evidence(&evidence, &root).unwrap();
    assert_eq!(report.order_id, order_id);
    assert_eq!(report.ticket, ticket.number);
    assert_eq!(report.requester, fleet.technician.id);
    assert!(report.approvers.is_empty(), "{:?}", report.approvers);
    assert_eq!(report.host_name, host_name);
    assert_eq!(report.outcome, Some(outcome));
    assert_eq!(report.check_holds, Some(outcome == Outcome::Succeeded));
    assert!(report.authorised);
    // Another organisation's root proves nothing.
    let mut other = fleet.cast.root.clone();
    other.org = "otra".to_owned();
    let other = signed(&other, &fleet.cast.root_key).unwrap().to_json();
    verify_evidence(&evidence, &other).unwrap_err();
}
