//! One support case from beginning to end, with a real coordinator and a real agent on this very machine: what every
//! other suite takes for granted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::watch_order_response::Event;
use chasqui_proto::v1::{
    ApproveSolutionRequest, AssessRetirementRequest, AssessRetirementResponse, AssignTicketRequest,
    ClassifyTicketRequest, CriterionVerdict, ExportEvidenceRequest, GetCheckpointRequest,
    GetEventProofRequest, GetInventoryRequest, GetInventoryResponse, GetTicketRequest,
    ListTimelineRequest, OrderState, SectionFacts, SectionKind, SolveTicketRequest,
    StartTicketRequest, Ticket, TicketKind, TicketState, TimelineEntry, WatchOrderRequest,
};
use chasqui_tests::orders::{Draft, signed};
use chasqui_tests::postgres::Database;
use chasqui_tests::programs::wait_until;
use chasqui_tests::{Agent, Options, TestFleet};
use chasqui_trust::result::Outcome;
use chasqui_trust::{Digest, PublicKey, merkle, verify_evidence, verify_result};
use prost::Message;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_inventory_to_evidence_on_sqlite() {
    one_case(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_inventory_to_evidence_on_postgresql() {
    if let Some(database) = Database::fresh().unwrap() {
        one_case(Options {
            store_url: database.url.clone(),
            ..Options::default()
        })
        .await;
    }
}

async fn one_case(options: Options) {
    let fleet = TestFleet::start_with(options).await.unwrap();
    let agent = Agent::start(&fleet, "equipo").await.unwrap();
    let device = fleet.device(&agent.device_id).await.unwrap();
    let inventory = inventory(&fleet, &agent.device_id).await;
    check_inventory(&inventory);

    let ticket = worked_on(&fleet, &agent.device_id).await;

    let old: Vec<_> = (0..3)
        .map(|n| agent.old_file(&format!("viejo-{n}"), 10_000, 40).unwrap())
        .collect();
    let young = agent.old_file("reciente", 10_000, 5).unwrap();
    let parameters = [("older_than_days", 30)];
    let draft = fleet
        .draft("disk.clean.temp", &parameters, &agent.device_id, &ticket)
        .await
        .unwrap();
    let order_id = approved_by_another(&fleet, &draft).await;
    let shown = fleet.until(&order_id, OrderState::Succeeded).await.unwrap();

    let (target, result) = fleet.result(&order_id).await.unwrap();
    let key = PublicKey::from_slice(&device.public_key).unwrap();
    let digest = Digest::from_slice(&shown.digest).unwrap();
    assert_eq!(
        verify_result(&target.result, &digest, &key).unwrap(),
        result
    );
    assert_eq!(result.outcome, Outcome::Succeeded);
    let check = result.check.as_ref().unwrap();
    assert!(check.holds);
    assert!(
        check
            .facts
            .iter()
            .any(|fact| fact.before.is_some() && fact.after.is_some() && fact.before != fact.after),
        "no fact changed: {:?}",
        check.facts
    );
    for path in &old {
        assert!(!path.exists(), "{} is still there", path.display());
    }
    assert_eq!(fs::metadata(&young).unwrap().len(), 10_000);

    let ticket = solved_and_approved(&fleet, &ticket).await;
    let timeline = timeline(&fleet, &ticket).await;
    check_timeline(&timeline, &order_id);

    assess(&fleet, &agent.device_id).await;
    check_log(&fleet, &timeline).await;
    check_evidence(&fleet, &order_id, &ticket, &device.host_name).await;

    // The record replays to the tables, under every signed checkpoint.
    let done = fleet.server.command(&["check"]).unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
}

async fn inventory(fleet: &TestFleet, device_id: &str) -> GetInventoryResponse {
    wait_until("the inventory", PATIENCE, async || {
        let answer = fleet
            .technician
            .inventory()
            .get_inventory(GetInventoryRequest {
                device_id: device_id.to_owned(),
                kinds: Vec::new(),
                at_ms: None,
            })
            .await?
            .into_inner();
        Ok((answer.sections.len() >= 8).then_some(answer))
    })
    .await
    .unwrap()
}

fn check_inventory(inventory: &GetInventoryResponse) {
    let mut kinds = BTreeSet::new();
    for section in &inventory.sections {
        assert!(
            kinds.insert(section.kind),
            "{:?} stands twice",
            section.kind()
        );
        assert_eq!(section.digest, Digest::of(&section.facts).0.to_vec());
        let read = SectionFacts::decode(section.facts.clone()).unwrap();
        // What this machine has no source for says so instead.
        assert!(
            !section.provenance.is_empty() || !read.unread.is_empty(),
            "{:?} has neither source nor reason",
            section.kind()
        );
        let facts = read.facts.unwrap();
        match (section.kind(), facts) {
            (SectionKind::OperatingSystem, Facts::OperatingSystem(facts)) => {
                let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
                assert_eq!(facts.kernel.as_deref(), Some(kernel.trim()));
            }
            (SectionKind::Memory, Facts::Memory(facts)) => {
                let text = fs::read_to_string("/proc/meminfo").unwrap();
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("MemTotal:"))
                    .unwrap();
                let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
                // Whole MiB: the kernel's own share varies a little from start to start.
                assert_eq!(facts.visible_bytes, Some(kib / 1024 * 1024 * 1024));
            }
            (SectionKind::Cpu, Facts::Cpu(facts)) => {
                assert_eq!(facts.architecture.as_deref(), Some(std::env::consts::ARCH));
                assert!(facts.threads.unwrap() > 0);
            }
            _ => {}
        }
    }
}

/// A ticket of the requester: classified and assigned by the lead, begun by the technician.
async fn worked_on(fleet: &TestFleet, device_id: &str) -> Ticket {
    let ticket = fleet.ticket(device_id).await.unwrap();
    assert_eq!(ticket.state(), TicketState::Registered);
    assert_eq!(ticket.device_id, device_id);
    let ticket = fleet
        .lead
        .tickets()
        .classify_ticket(ClassifyTicketRequest {
            request_id: clock::new_id().to_string(),
            ticket_id: ticket.id,
            expected_version: ticket.version,
            kind: TicketKind::Incident.into(),
            service: "computer_equipment".to_owned(),
            urgency: 3,
            impact: 2,
        })
        .await
        .unwrap()
        .into_inner()
        .ticket
        .unwrap();
    assert_eq!(ticket.state(), TicketState::Classified);
    let ticket = fleet
        .lead
        .tickets()
        .assign_ticket(AssignTicketRequest {
            request_id: clock::new_id().to_string(),
            ticket_id: ticket.id,
            expected_version: ticket.version,
            assignee_id: fleet.technician.id.clone(),
        })
        .await
        .unwrap()
        .into_inner()
        .ticket
        .unwrap();
    assert_eq!(ticket.state(), TicketState::Assigned);
    let ticket = fleet
        .technician
        .tickets()
        .start_ticket(StartTicketRequest {
            request_id: clock::new_id().to_string(),
            ticket_id: ticket.id,
            expected_version: ticket.version,
        })
        .await
        .unwrap()
        .into_inner()
        .ticket
        .unwrap();
    assert_eq!(ticket.state(), TicketState::InProgress);
    ticket
}

/// Signed by the technician and waiting; a watcher is there before the lead approves and sees it through to its end.
async fn approved_by_another(fleet: &TestFleet, draft: &Draft) -> String {
    let envelope = signed(&draft.order, &fleet.cast.technician.key).unwrap();
    let order = fleet
        .submit(&fleet.technician, &envelope, &draft.leaves)
        .await
        .unwrap();
    assert_eq!(order.state(), OrderState::AwaitingApproval);
    assert_eq!(order.required_approvals, 1);
    let mut watch = fleet
        .technician
        .orders()
        .watch_order(WatchOrderRequest {
            order_id: order.id.clone(),
        })
        .await
        .unwrap()
        .into_inner();
    // As it stands when the watch begins; what follows is seen live.
    let mut states = Vec::new();
    match watch.message().await.unwrap().and_then(|said| said.event) {
        Some(Event::Order(order)) => states.push(order.state()),
        other => panic!("expected the order, heard {other:?}"),
    }
    let approval = fleet.approval(&envelope, &fleet.cast.lead).unwrap();
    fleet.say(&fleet.lead, &order.id, &approval).await.unwrap();
    let watched = async {
        while let Some(said) = watch.message().await.unwrap() {
            if let Some(Event::Order(order)) = said.event {
                states.push(order.state());
            }
        }
    };
    tokio::time::timeout(PATIENCE, watched)
        .await
        .expect("the watch ends with the order");
    assert_eq!(states.first(), Some(&OrderState::AwaitingApproval));
    assert_eq!(states.last(), Some(&OrderState::Succeeded), "{states:?}");
    order.id
}

async fn solved_and_approved(fleet: &TestFleet, ticket: &Ticket) -> Ticket {
    let solved = fleet
        .technician
        .tickets()
        .solve_ticket(SolveTicketRequest {
            request_id: clock::new_id().to_string(),
            ticket_id: ticket.id.clone(),
            expected_version: 0,
            solution: "Se borraron los archivos temporales viejos.".to_owned(),
        })
        .await
        .unwrap()
        .into_inner()
        .ticket
        .unwrap();
    assert_eq!(solved.state(), TicketState::Solved);
    fleet
        .requester
        .tickets()
        .approve_solution(ApproveSolutionRequest {
            request_id: clock::new_id().to_string(),
            ticket_id: ticket.id.clone(),
            expected_version: solved.version,
            comment: "Gracias.".to_owned(),
        })
        .await
        .unwrap();
    // By number, as people name it.
    let closed = fleet
        .requester
        .tickets()
        .get_ticket(GetTicketRequest {
            ticket: ticket.number.clone(),
        })
        .await
        .unwrap()
        .into_inner()
        .ticket
        .unwrap();
    assert_eq!(closed.state(), TicketState::Closed);
    assert!(closed.closed_at_ms >= closed.solved_at_ms && closed.solved_at_ms > 0);
    closed
}

async fn timeline(fleet: &TestFleet, ticket: &Ticket) -> Vec<TimelineEntry> {
    fleet
        .requester
        .tickets()
        .list_timeline(ListTimelineRequest {
            ticket_id: ticket.id.clone(),
            page: None,
        })
        .await
        .unwrap()
        .into_inner()
        .entries
}

fn check_timeline(timeline: &[TimelineEntry], order_id: &str) {
    let kinds: Vec<_> = timeline.iter().map(|entry| entry.kind.as_str()).collect();
    let mut rest = kinds.iter();
    for kind in [
        "ticket.registered",
        "ticket.classified",
        "ticket.assigned",
        "ticket.started",
        "order.requested",
        "order.approved",
        "order.result",
        "ticket.solution_proposed",
        "ticket.solution_approved",
    ] {
        assert!(
            rest.any(|found| *found == kind),
            "{kind} is not in its place: {kinds:?}"
        );
    }
    for entry in timeline {
        let text = entry.text.as_ref().unwrap();
        assert!(!text.es.is_empty() && !text.en.is_empty(), "{entry:?}");
        assert!(!entry.actor_name.is_empty(), "{entry:?}");
        assert_eq!(
            entry.kind.starts_with("order."),
            entry.order_id == order_id,
            "{entry:?}"
        );
    }
}

async fn assess(fleet: &TestFleet, device_id: &str) {
    let ask = async |as_of_ms| -> AssessRetirementResponse {
        fleet
            .technician
            .retirement()
            .assess_retirement(AssessRetirementRequest {
                device_id: device_id.to_owned(),
                as_of_ms,
            })
            .await
            .unwrap()
            .into_inner()
    };
    let now = ask(0).await;
    let ids: Vec<_> = now
        .criteria
        .iter()
        .map(|criterion| criterion.id.as_str())
        .collect();
    assert_eq!(ids, ["age", "memory", "disk_kind", "os_support"]);
    for criterion in &now.criteria {
        let text = criterion.explanation.as_ref().unwrap();
        assert!(!text.es.is_empty() && !text.en.is_empty(), "{criterion:?}");
        assert!(
            criterion.verdict() == CriterionVerdict::Unknown || !criterion.evidence.is_empty(),
            "a verdict without evidence: {criterion:?}"
        );
    }
    assert_eq!(now.digest.len(), 32);
    let again = ask(now.as_of_ms).await;
    assert_eq!(
        again.digest, now.digest,
        "the same inputs give another paper"
    );
}

/// Every entry of the timeline is in the sealed log under the newest checkpoint.
async fn check_log(fleet: &TestFleet, timeline: &[TimelineEntry]) {
    for entry in timeline {
        let proved = wait_until("the event is sealed", PATIENCE, async || {
            let answer = fleet
                .auditor
                .log()
                .get_event_proof(GetEventProofRequest {
                    event_id: entry.id.clone(),
                })
                .await;
            match answer {
                Ok(answer) => Ok(Some(answer.into_inner())),
                // Sealed in batches, a moment later.
                Err(status) if status.code() == tonic::Code::Unavailable => Ok(None),
                Err(status) => Err(status.into()),
            }
        })
        .await
        .unwrap();
        let checkpoint = proved.checkpoint.unwrap();
        let path: Vec<_> = proved
            .proof
            .iter()
            .map(|hash| Digest::from_slice(hash).unwrap())
            .collect();
        assert!(
            merkle::verify(
                &merkle::leaf_hash(&proved.leaf),
                proved.leaf_index,
                checkpoint.size,
                &path,
                &Digest::from_slice(&checkpoint.root_hash).unwrap(),
            ),
            "{} is not proved",
            entry.kind
        );
        // What people wrote is in the log as a digest alone.
        if !entry.body.is_empty() {
            let leaf = String::from_utf8_lossy(&proved.leaf).into_owned();
            assert!(!leaf.contains(&entry.body), "{leaf}");
        }
    }
    let checkpoint = fleet
        .auditor
        .log()
        .get_checkpoint(GetCheckpointRequest {})
        .await
        .unwrap()
        .into_inner()
        .checkpoint
        .unwrap();
    assert!(checkpoint.size >= timeline.len() as u64);
}

/// The evidence is proved with the root that was brought by hand, and with nothing of the coordinator's.
async fn check_evidence(fleet: &TestFleet, order_id: &str, ticket: &Ticket, host_name: &str) {
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
    assert_eq!(report.approvers, std::slice::from_ref(&fleet.lead.id));
    assert_eq!(report.host_name, host_name);
    assert_eq!(report.outcome, Some(Outcome::Succeeded));
    assert_eq!(report.check_holds, Some(true));
    assert!(report.authorised && report.single_signer);
    // Another organisation's root proves nothing.
    let mut cast = fleet.cast.root.clone();
    cast.org = "otra".to_owned();
    let other = signed(&cast, &fleet.cast.root_key).unwrap().to_json();
    verify_evidence(&evidence, &other).unwrap_err();
}
