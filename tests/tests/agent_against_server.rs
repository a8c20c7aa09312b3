//! A machine with a good certificate that misbehaves: whatever it sends, it harms nobody but itself, the coordinator stays
//! up, and what it says properly is still taken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::agent_message::Message as Said;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_proto::v1::{
    AgentMessage, CpuFacts, GetInventoryRequest, MemoryFacts, OfferInventoryRequest, OrderProgress,
    OrderState, OutputChunk, ProgressState, Provenance, ReportInventoryRequest, Section,
    SectionFacts, SectionKind, SectionOffer, SubmitResultRequest, SubmitResultResponse,
};
use chasqui_tests::orders::code;
use chasqui_tests::programs::wait_until;
use chasqui_tests::simulated::Stream;
use chasqui_tests::{Simulated, TestFleet};
use chasqui_trust::dsse::Envelope;
use chasqui_trust::result::Outcome;
use chasqui_trust::{ActionResult, Digest, Document, SigningKey};
use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

const PATIENCE: Duration = Duration::from_secs(30);

/// Two machines; one of them has an order.
struct World {
    fleet: TestFleet,
    mine: Simulated,
    stream: Stream,
    other: Simulated,
    order_id: String,
    digest: Digest,
}

impl World {
    async fn new() -> Self {
        let fleet = TestFleet::start().await.unwrap();
        let token = fleet.token(2).await.unwrap();
        let mine = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
        let other = Simulated::enrol(&fleet, &token, "pc-2").await.unwrap();
        let mut stream = mine.connect("boot-1").await.unwrap();
        let (order_id, digest) = ordered(&fleet, &mine, &mut stream).await;
        Self {
            fleet,
            mine,
            stream,
            other,
            order_id,
            digest,
        }
    }

    async fn submit(
        &self,
        from: &Simulated,
        request: SubmitResultRequest,
    ) -> Result<SubmitResultResponse, Status> {
        let mut link = from.link().await.unwrap();
        Ok(link.submit_result(request).await?.into_inner())
    }

    fn results(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM results")
    }

    fn count(&self, text: &str) -> i64 {
        let database = self.fleet.server.behind().unwrap();
        database.query_row(text, [], |row| row.get(0)).unwrap()
    }
}

/// A new order for this machine, as it arrives there.
async fn ordered(fleet: &TestFleet, device: &Simulated, stream: &mut Stream) -> (String, Digest) {
    let ticket = fleet.ticket(&device.device_id).await.unwrap();
    let parameters = [("older_than_days", 30)];
    let draft = fleet
        .draft("disk.clean.temp", &parameters, &device.device_id, &ticket)
        .await
        .unwrap();
    let order = fleet.order(&draft).await.unwrap();
    let heard = async {
        loop {
            if let Some(Heard::Order(order)) = stream.next_alive().await.unwrap() {
                return order;
            }
        }
    };
    let delivery = tokio::time::timeout(PATIENCE, heard).await.unwrap();
    assert_eq!(delivery.order_id, order.id);
    let digest = chasqui_trust::OrderBundle::decode(&delivery.bundle)
        .unwrap()
        .order_digest();
    assert_eq!(digest.0.to_vec(), order.digest);
    (order.id, digest)
}

/// Signs whatever it is given, also what no honest program would encode.
fn sign_raw(payload: String, key: &SigningKey) -> Vec<u8> {
    let mut envelope = Envelope {
        payload: payload.into_bytes(),
        payload_type: ActionResult::PAYLOAD_TYPE.to_owned(),
        signatures: Vec::new(),
    };
    envelope.add_signature(key);
    envelope.to_json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_counts_once_from_its_machine_about_its_order() {
    let world = World::new().await;
    let (mine, other) = (&world.mine, &world.other);
    let honest = mine.result(world.digest, Outcome::Succeeded);
    let good = Simulated::submission(&world.order_id, &honest, &mine.key).unwrap();
    let with = |envelope: Vec<u8>| SubmitResultRequest {
        envelope: envelope.into(),
        ..good.clone()
    };

    let mut of_another_device = honest.clone();
    of_another_device.device_fingerprint = other.key.public_key().fingerprint();
    let mut of_another_order = honest.clone();
    of_another_order.order_digest = Digest::of(b"another order");
    let text = String::from_utf8(honest.encode().unwrap()).unwrap();
    assert!(text.contains("\"holds\":true") && text.contains("\"outcome\":\"succeeded\""));
    let impossible = text.replace("\"holds\":true", "\"holds\":false");
    let invented = text.replace("\"outcome\":\"succeeded\"", "\"outcome\":\"excellent\"");
    let extended = text.replace("\"critical\":[]", "\"critical\":[\"undo\"]");
    let spaced = text.replacen(':', ": ", 1);
    let submission = |result: &ActionResult, key: &SigningKey| {
        Simulated::submission(&world.order_id, result, key).unwrap()
    };
    let rows: Vec<(&str, &Simulated, SubmitResultRequest, &str)> = vec![
        (
            "by another machine about this order",
            other,
            submission(&other.result(world.digest, Outcome::Succeeded), &other.key),
            "ORDER_OTHER_DEVICE",
        ),
        (
            "signed by another key",
            mine,
            submission(&honest, &other.key),
            "RESULT_SIGNATURE_INVALID",
        ),
        (
            "naming another machine",
            mine,
            submission(&of_another_device, &mine.key),
            "RESULT_DEVICE_MISMATCH",
        ),
        (
            "about another order",
            mine,
            submission(&of_another_order, &mine.key),
            "RESULT_ORDER_MISMATCH",
        ),
        (
            "success although the check does not hold",
            mine,
            with(sign_raw(impossible, &mine.key)),
            "PAPER_INVALID",
        ),
        (
            "an outcome that does not exist",
            mine,
            with(sign_raw(invented, &mine.key)),
            "PAPER_UNREADABLE",
        ),
        (
            "needing what the coordinator does not know",
            mine,
            with(sign_raw(extended, &mine.key)),
            "UNKNOWN_CRITICAL",
        ),
        (
            "not in the one form",
            mine,
            with(sign_raw(spaced, &mine.key)),
            "PAPER_NOT_CANONICAL",
        ),
        (
            "no envelope at all",
            mine,
            with(b"{}".to_vec()),
            "PAPER_UNREADABLE",
        ),
        (
            "too long",
            mine,
            with(vec![b' '; (1 << 20) + 1]),
            "INVALID_FIELD",
        ),
        (
            "about an order that does not exist",
            mine,
            SubmitResultRequest {
                order_id: clock::new_id().to_string(),
                ..good.clone()
            },
            "ORDER_UNKNOWN",
        ),
        (
            "without a request id",
            mine,
            SubmitResultRequest {
                request_id: String::new(),
                ..good.clone()
            },
            "INVALID_FIELD",
        ),
    ];
    for (what, from, request, reason) in rows {
        let status = world.submit(from, request).await.expect_err(what);
        assert_eq!(code(&status), reason, "{what}: {}", status.message());
        assert_eq!(world.results(), 0, "{what}");
        let order = world.fleet.shown(&world.order_id).await.unwrap();
        assert_eq!(order.state(), OrderState::Sent, "{what}");
    }

    // The one without a defect is taken, and is the same however often it comes.
    let answer = world.submit(mine, good.clone()).await.unwrap();
    assert!(!answer.already_stored);
    let answer = world.submit(mine, good.clone()).await.unwrap();
    assert!(answer.already_stored);
    let again = SubmitResultRequest {
        request_id: clock::new_id().to_string(),
        ..good.clone()
    };
    assert!(world.submit(mine, again).await.unwrap().already_stored);

    // A machine that changes its mind is not believed.
    for outcome in [Outcome::Failed, Outcome::Unknown, Outcome::Refused] {
        let other = mine.result(world.digest, outcome);
        let status = world
            .submit(mine, submission(&other, &mine.key))
            .await
            .unwrap_err();
        assert_eq!(code(&status), "ORDER_RESULT_CONFLICT", "{outcome:?}");
    }
    let mut later = honest.clone();
    later.finished_at_ms += 1;
    let status = world
        .submit(mine, submission(&later, &mine.key))
        .await
        .unwrap_err();
    assert_eq!(code(&status), "ORDER_RESULT_CONFLICT");
    assert_eq!(world.results(), 1);
    let (target, stored) = world.fleet.result(&world.order_id).await.unwrap();
    assert_eq!(stored, honest);
    assert_eq!(target.state(), OrderState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_output_is_kept_within_its_bound() {
    let world = World::new().await;
    let kept =
        "SELECT COALESCE(SUM(LENGTH(bytes)), 0) FROM order_output WHERE order_id IS NOT NULL";
    let print = async |from: &Simulated, order_id: &str, sizes: Vec<usize>| {
        let mut link = from.link().await.unwrap();
        let (say, chunks) = tokio::sync::mpsc::channel(4);
        let order_id = order_id.to_owned();
        let sender = tokio::spawn(async move {
            let mut offset = 0;
            for size in sizes {
                let chunk = OutputChunk {
                    order_id: order_id.clone(),
                    offset,
                    data: vec![b'x'; size].into(),
                    last: false,
                };
                offset += size as u64;
                // The call may have been refused already.
                if say.send(chunk).await.is_err() {
                    return;
                }
            }
        });
        let answer = link.send_output(ReceiverStream::new(chunks)).await;
        sender.await.unwrap();
        answer.map(|answer| answer.into_inner().kept_bytes)
    };

    let status = print(&world.other, &world.order_id, vec![10])
        .await
        .unwrap_err();
    assert_eq!(code(&status), "ORDER_OTHER_DEVICE");
    let status = print(&world.mine, &world.order_id, vec![(256 << 10) + 1])
        .await
        .unwrap_err();
    assert_eq!(code(&status), "INVALID_FIELD");
    assert_eq!(world.count(kept), 0);

    // 16 MiB, of which one is kept.
    let all = print(&world.mine, &world.order_id, vec![256 << 10; 64])
        .await
        .unwrap();
    assert_eq!(all, 1 << 20);
    assert_eq!(world.count(kept), 1 << 20);
    // From the beginning once more: nothing is stored twice.
    let all = print(&world.mine, &world.order_id, vec![100 << 10; 5])
        .await
        .unwrap();
    assert_eq!(all, 1 << 20);
    assert_eq!(world.count(kept), 1 << 20);
    // A great many empty chunks are no work for the store.
    print(&world.mine, &world.order_id, vec![0; 1_000])
        .await
        .unwrap();
    assert_eq!(world.count(kept), 1 << 20);
    // And the result is taken as ever.
    let result = world.mine.result(world.digest, Outcome::Failed);
    let request = Simulated::submission(&world.order_id, &result, &world.mine.key).unwrap();
    let answer = world.submit(&world.mine, request).await.unwrap();
    assert!(!answer.already_stored);
}

fn section(kind: SectionKind, facts: Facts) -> Section {
    let facts = SectionFacts {
        facts: Some(facts),
        unread: Vec::new(),
    }
    .encode_to_vec();
    section_of(kind, facts)
}

fn section_of(kind: SectionKind, facts: Vec<u8>) -> Section {
    Section {
        kind: kind.into(),
        digest: Digest::of(&facts).0.to_vec().into(),
        facts: facts.into(),
        provenance: vec![Provenance {
            group: "memory".to_owned(),
            source: "/proc/meminfo".to_owned(),
        }],
        observed_at_ms: clock::now_ms(),
        collector_version: 1,
        changed_at_ms: 0,
    }
}

fn memory(visible_bytes: u64) -> Facts {
    Facts::Memory(MemoryFacts {
        visible_bytes: Some(visible_bytes),
        ..MemoryFacts::default()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inventory_that_is_none_is_not_stored() {
    let world = World::new().await;
    let report = async |sections: Vec<Section>| {
        let mut link = world.mine.link().await.unwrap();
        link.report_inventory(ReportInventoryRequest {
            request_id: clock::new_id().to_string(),
            sections,
            differences: vec![],
        })
        .await
        .map(|_| ())
    };
    let stored = async || {
        world
            .fleet
            .technician
            .inventory()
            .get_inventory(GetInventoryRequest {
                device_id: world.mine.device_id.clone(),
                kinds: Vec::new(),
                at_ms: None,
            })
            .await
            .unwrap()
            .into_inner()
            .sections
    };
    let good = section(SectionKind::Memory, memory(8 << 30));
    let mut wrong_digest = good.clone();
    wrong_digest.digest = Digest::of(b"other").0.to_vec().into();
    let mut short_digest = good.clone();
    short_digest.digest = vec![1; 31].into();
    let mut no_kind = good.clone();
    no_kind.kind = 0;
    let mut new_kind = good.clone();
    new_kind.kind = 99;
    let many = vec![good.clone(); 65];
    let other_kind = section(SectionKind::Memory, Facts::Cpu(CpuFacts::default()));
    let malformed = section_of(SectionKind::Memory, vec![0xff; 64]);
    let oversized = section_of(SectionKind::Memory, vec![b'x'; (8 << 20) + 1]);
    let rows: Vec<(&str, Vec<Section>)> = vec![
        ("a digest of something else", vec![wrong_digest]),
        ("half a digest", vec![short_digest]),
        ("of no kind", vec![no_kind]),
        ("of a kind nobody knows", vec![new_kind]),
        ("too many", many),
        ("facts of another kind", vec![other_kind]),
        ("no facts at all", vec![malformed]),
        ("too large", vec![oversized]),
    ];
    for (what, mut sections) in rows {
        let status = report(sections.clone()).await.expect_err(what);
        assert_eq!(
            status.code(),
            tonic::Code::InvalidArgument,
            "{what}: {status:?}"
        );
        assert!(
            chasqui_proto::error::reason_of(&status).is_some(),
            "{what} has no code"
        );
        assert!(stored().await.is_empty(), "{what}");
        // A good section beside a bad one does not make it better.
        sections.push(section(SectionKind::Cpu, Facts::Cpu(CpuFacts::default())));
        report(sections).await.expect_err(what);
        assert!(stored().await.is_empty(), "{what}");
    }
    report(vec![good.clone()]).await.unwrap();
    let sections = stored().await;
    assert_eq!(sections.len(), 1);
    assert_eq!(sections[0].facts, good.facts);

    // Offered again, it is not wanted again; what is new, is.
    let new = section(SectionKind::Memory, memory(16 << 30));
    let offer = async |section: &Section| {
        let mut link = world.mine.link().await.unwrap();
        link.offer_inventory(OfferInventoryRequest {
            sections: vec![SectionOffer {
                kind: section.kind,
                digest: section.digest.clone(),
                observed_at_ms: section.observed_at_ms,
            }],
            volatile: None,
        })
        .await
        .unwrap()
        .into_inner()
        .wanted
    };
    assert!(offer(&good).await.is_empty());
    assert_eq!(offer(&new).await, [i32::from(SectionKind::Memory)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_on_the_stream_ends_that_stream_alone() {
    let mut world = World::new().await;
    let mut bystander = world.other.connect("boot-1").await.unwrap();

    // Progress of another machine's order changes nothing.
    for state in [ProgressState::Running, ProgressState::Checking] {
        bystander
            .tell(Said::Progress(OrderProgress {
                order_id: world.order_id.clone(),
                state: state.into(),
                at_ms: clock::now_ms(),
            }))
            .await;
    }
    // Its own order moves; by then the other's word was heard, too, and brought nothing.
    let (order_id, _) = ordered(&world.fleet, &world.other, &mut bystander).await;
    bystander
        .tell(Said::Progress(OrderProgress {
            order_id: order_id.clone(),
            state: ProgressState::Accepted.into(),
            at_ms: clock::now_ms(),
        }))
        .await;
    world
        .fleet
        .until(&order_id, OrderState::Accepted)
        .await
        .unwrap();
    let shown = world.fleet.shown(&world.order_id).await.unwrap();
    assert_eq!(shown.state(), OrderState::Sent);

    // A stream must begin with a Hello that can be one.
    let first = async |message: Option<Said>| -> Status {
        let mut link = world.mine.link().await.unwrap();
        let (say, queue) = tokio::sync::mpsc::channel(1);
        say.send(AgentMessage { message }).await.unwrap();
        let answer = link.connect(ReceiverStream::new(queue)).await;
        let refused = match answer {
            Err(status) => status,
            Ok(answer) => {
                let mut hear = answer.into_inner();
                loop {
                    match hear.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("the stream ended without a word"),
                        Err(status) => break status,
                    }
                }
            }
        };
        drop(say);
        refused
    };
    let mut long = world.mine.hello("boot-1");
    long.host_name = "x".repeat(300);
    let mut many = world.mine.hello("boot-1");
    many.capabilities = vec!["x".to_owned(); 65];
    let mut bootless = world.mine.hello("");
    bootless.boot_id = String::new();
    for (what, message) in [
        ("nothing", None),
        ("progress", Some(Said::Progress(OrderProgress::default()))),
        ("a long name", Some(Said::Hello(long))),
        ("many capabilities", Some(Said::Hello(many))),
        ("no start of the machine", Some(Said::Hello(bootless))),
    ] {
        let status = first(message).await;
        assert_eq!(
            status.code(),
            tonic::Code::InvalidArgument,
            "{what}: {status:?}"
        );
    }
    // The stream that was there all the time still is.
    let shown = world.fleet.device(&world.mine.device_id).await.unwrap();
    assert!(shown.connected);
    let (order_id, _) = ordered(&world.fleet, &world.mine, &mut world.stream).await;
    assert!(!order_id.is_empty());

    // A second Hello is a defect of the agent and ends its stream.
    let hello = Said::Hello(world.mine.hello("boot-1"));
    world.stream.tell(hello).await;
    let ended = async {
        loop {
            match world.stream.next_alive().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the stream ends")
        .expect("with a status");
    assert_eq!(status.code(), tonic::Code::InvalidArgument, "{status:?}");
    wait_until("the stream is gone", PATIENCE, async || {
        let shown = world.fleet.device(&world.mine.device_id).await?;
        Ok((!shown.connected).then_some(()))
    })
    .await
    .unwrap();
    assert!(
        world
            .fleet
            .device(&world.other.device_id)
            .await
            .unwrap()
            .connected
    );
    world.mine.connect("boot-1").await.unwrap();
}
