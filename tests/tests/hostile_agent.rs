//! A machine is the enemy: it holds its own key and certificate and says whatever it likes. Nothing false about others is
//! stored, what it says is refused by name, and the others go on. And a file of evidence in which one bit was turned
//! proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use chasqui_base::clock;
use chasqui_proto::v1::agent_message::Message as Said;
use chasqui_proto::v1::{
    ExportEvidenceRequest, OrderProgress, OrderState, OutputChunk, ProgressState,
    RevokeDeviceRequest, SubmitResultRequest,
};
use chasqui_tests::fleet::shipped_definitions;
use chasqui_tests::orders::{code, signed};
use chasqui_tests::{Options, Simulated, TestFleet};
use chasqui_trust::result::Outcome;
use chasqui_trust::{ActionResult, Digest, Document, Envelope, verify_evidence};

const ACTION: &str = "disk.clean.temp";
/// The same action, which two people must approve.
const STRICT: &str = "disk.clean.temp.strict";
const PARAMETERS: [(&str, i64); 1] = [("older_than_days", 30)];

struct World {
    fleet: TestFleet,
    /// The enemy.
    enemy: Simulated,
    honest: Simulated,
}

struct Issued {
    id: String,
    digest: Digest,
}

impl World {
    async fn start() -> Self {
        let mut definitions = shipped_definitions().unwrap();
        let mut strict = definitions
            .iter()
            .find(|definition| definition.id == ACTION)
            .unwrap()
            .clone();
        strict.id = STRICT.into();
        strict.approvals = 2;
        definitions.push(strict);
        let options = Options {
            definitions,
            ..Options::default()
        };
        let fleet = TestFleet::start_with(options).await.unwrap();
        let token = fleet.token(10).await.unwrap();
        let enrol = async |name: &str| Simulated::enrol(&fleet, &token, name).await.unwrap();
        let (enemy, honest) = (enrol("enemigo").await, enrol("honesto").await);
        Self {
            fleet,
            enemy,
            honest,
        }
    }

    /// An order that people released for this machine.
    async fn order(&self, device: &Simulated) -> Issued {
        let ticket = self.fleet.ticket(&device.device_id).await.unwrap();
        let draft = self
            .fleet
            .draft(ACTION, &PARAMETERS, &device.device_id, &ticket)
            .await
            .unwrap();
        let order = self.fleet.order(&draft).await.unwrap();
        assert_eq!(order.state(), OrderState::Queued);
        Issued {
            id: order.id,
            digest: draft.order.digest().unwrap(),
        }
    }

    /// An order that waits for people.
    async fn undecided(&self, device: &Simulated) -> Issued {
        let ticket = self.fleet.ticket(&device.device_id).await.unwrap();
        let draft = self
            .fleet
            .draft(STRICT, &PARAMETERS, &device.device_id, &ticket)
            .await
            .unwrap();
        let envelope = signed(&draft.order, &self.fleet.cast.technician.key).unwrap();
        let order = self
            .fleet
            .submit(&self.fleet.technician, &envelope, &draft.leaves)
            .await
            .unwrap();
        assert_eq!(order.state(), OrderState::AwaitingApproval);
        Issued {
            id: order.id,
            digest: draft.order.digest().unwrap(),
        }
    }

    /// State and stored result of an order.
    async fn stored(&self, order: &Issued) -> (OrderState, Vec<u8>) {
        let shown = self.fleet.shown(&order.id).await.unwrap();
        (shown.state(), shown.targets[0].result.to_vec())
    }
}

async fn submit(device: &Simulated, request: SubmitResultRequest) -> Result<bool, tonic::Status> {
    let mut link = device.link().await.unwrap();
    let answer = link.submit_result(request).await?;
    Ok(answer.into_inner().already_stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_false_is_stored_of_any_order() {
    let world = World::start().await;
    let (enemy, honest) = (&world.enemy, &world.honest);
    let mine = world.order(enemy).await;
    let also_mine = world.order(enemy).await;
    let theirs = world.order(honest).await;
    let undecided = world.undecided(enemy).await;
    let truth = enemy.result(mine.digest, Outcome::Succeeded);
    let lie = |order: &Issued| enemy.result(order.digest, Outcome::Succeeded);
    let by_me = |order: &Issued, result: &ActionResult| {
        Simulated::submission(&order.id, result, &enemy.key)
    };
    let mut cases: Vec<(&str, SubmitResultRequest, &str)> = Vec::new();

    cases.push((
        "another machine's order, as myself",
        by_me(&theirs, &lie(&theirs)).unwrap(),
        "ORDER_OTHER_DEVICE",
    ));
    let mut posing = honest.result(theirs.digest, Outcome::Succeeded);
    cases.push((
        "another machine's order, in its name",
        by_me(&theirs, &posing).unwrap(),
        "ORDER_OTHER_DEVICE",
    ));
    cases.push((
        "another machine's genuine result, handed in by me",
        Simulated::submission(&theirs.id, &posing, &honest.key).unwrap(),
        "ORDER_OTHER_DEVICE",
    ));
    posing.order_digest = mine.digest;
    cases.push((
        "my order, in another machine's name",
        by_me(&mine, &posing).unwrap(),
        "RESULT_DEVICE_MISMATCH",
    ));
    cases.push((
        "my order, signed by another machine",
        Simulated::submission(&mine.id, &truth, &honest.key).unwrap(),
        "RESULT_SIGNATURE_INVALID",
    ));
    cases.push((
        "the result of one of my orders for another",
        by_me(&also_mine, &truth).unwrap(),
        "RESULT_ORDER_MISMATCH",
    ));
    cases.push((
        "an order people have not released",
        by_me(&undecided, &lie(&undecided)).unwrap(),
        "ORDER_STATE",
    ));
    let nowhere = Issued {
        id: clock::new_id().to_string(),
        digest: Digest::of(b"x"),
    };
    cases.push((
        "an order that does not exist",
        by_me(&nowhere, &lie(&nowhere)).unwrap(),
        "ORDER_UNKNOWN",
    ));

    // What its form forbids, properly signed all the same.
    let attempt = "\"attempt\":1";
    let forms = [
        (
            "succeeded, and the check does not hold",
            "\"holds\":true",
            "\"holds\":false",
            "PAPER_INVALID",
        ),
        (
            "refused, and it ran",
            "\"outcome\":\"succeeded\"",
            "\"outcome\":\"refused\"",
            "PAPER_INVALID",
        ),
        (
            "an attempt that is none",
            attempt,
            "\"attempt\":0",
            "PAPER_INVALID",
        ),
        (
            "an outcome nobody knows",
            "\"succeeded\"",
            "\"splendid\"",
            "PAPER_UNREADABLE",
        ),
        (
            "a member nobody knows",
            attempt,
            "\"zz\":1,\"attempt\":1",
            "PAPER_UNREADABLE",
        ),
        (
            "another spelling",
            attempt,
            "\"attempt\": 1",
            "PAPER_NOT_CANONICAL",
        ),
    ];
    for (what, from, to, expected) in forms {
        let mut envelope = signed(&truth, &enemy.key).unwrap();
        let text = String::from_utf8(envelope.payload.clone()).unwrap();
        assert!(text.contains(from), "{what}: {text}");
        envelope.payload = text.replace(from, to).into_bytes();
        envelope.signatures.clear();
        envelope.add_signature(&enemy.key);
        let mut request = by_me(&mine, &truth).unwrap();
        request.envelope = envelope.to_json().into();
        cases.push((what, request, expected));
    }
    let good = || by_me(&mine, &truth).unwrap();
    let with = |change: &dyn Fn(&mut SubmitResultRequest)| {
        let mut request = good();
        change(&mut request);
        request
    };
    let order = Envelope::from_json(&good().envelope).unwrap();
    let unsigned = Envelope {
        signatures: vec![],
        ..order
    };
    cases.extend([
        (
            "nothing",
            with(&|it| it.envelope.clear()),
            "PAPER_UNREADABLE",
        ),
        (
            "noise",
            with(&|it| it.envelope = vec![0xff; 900_000].into()),
            "PAPER_UNREADABLE",
        ),
        (
            "no signature",
            with(&|it| it.envelope = unsigned.to_json().into()),
            "RESULT_SIGNATURE_INVALID",
        ),
        (
            "too long",
            with(&|it| it.envelope = vec![b' '; (1 << 20) + 1].into()),
            "INVALID_FIELD",
        ),
        (
            "a receipt that is none",
            with(&|it| it.consent = b"{}".to_vec().into()),
            "PAPER_UNREADABLE",
        ),
        (
            "a result as a receipt",
            with(&|it| it.consent = it.envelope.clone()),
            "PAPER_WRONG_TYPE",
        ),
        (
            "a receipt too long",
            with(&|it| it.consent = vec![b' '; 65 * 1024].into()),
            "INVALID_FIELD",
        ),
        (
            "an id that is none",
            with(&|it| it.order_id = "../1".into()),
            "INVALID_FIELD",
        ),
        (
            "no request id",
            with(&|it| it.request_id.clear()),
            "INVALID_FIELD",
        ),
    ]);

    let mut wrong = Vec::new();
    for (what, request, expected) in cases {
        let found = match submit(enemy, request).await {
            Ok(_) => "taken".to_owned(),
            Err(status) => code(&status),
        };
        if found != expected {
            wrong.push(format!("{what}: {found} instead of {expected}"));
        }
        for order in [&mine, &also_mine, &theirs] {
            let stored = world.stored(order).await;
            assert_eq!(stored, (OrderState::Queued, vec![]), "{what}");
        }
        let stored = world.stored(&undecided).await;
        assert_eq!(stored, (OrderState::AwaitingApproval, vec![]), "{what}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // The truth is taken, once; what comes after it changes nothing.
    let first = good();
    assert!(!submit(enemy, first.clone()).await.unwrap());
    let kept = world.stored(&mine).await;
    assert_eq!(kept, (OrderState::Succeeded, first.envelope.to_vec()));
    for outcome in [
        Outcome::Failed,
        Outcome::Succeeded,
        Outcome::Partly,
        Outcome::Refused,
        Outcome::Cancelled,
        Outcome::Unknown,
    ] {
        let mut other = enemy.result(mine.digest, outcome);
        other.finished_at_ms += 1;
        let refused = submit(enemy, by_me(&mine, &other).unwrap()).await;
        let found = refused.map_err(|status| code(&status));
        assert_eq!(
            found,
            Err("ORDER_RESULT_CONFLICT".to_owned()),
            "{outcome:?}"
        );
        assert_eq!(world.stored(&mine).await, kept, "{outcome:?}");
    }
    assert!(submit(enemy, first).await.unwrap(), "already there");
    // The other machine is hindered in nothing.
    let other = honest.result(theirs.digest, Outcome::Failed);
    let request = Simulated::submission(&theirs.id, &other, &honest.key).unwrap();
    assert!(!submit(honest, request).await.unwrap());
    assert_eq!(world.stored(&theirs).await.0, OrderState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_another_organisation_is_refused() {
    let world = World::start().await;
    let mine = world.order(&world.enemy).await;
    let mut elsewhere = world.enemy.result(mine.digest, Outcome::Succeeded);
    elsewhere.org = "otra".into();
    let request = Simulated::submission(&mine.id, &elsewhere, &world.enemy.key).unwrap();
    submit(&world.enemy, request).await.unwrap_err();
    assert_eq!(world.stored(&mine).await, (OrderState::Queued, vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_machine_is_heard_no_more() {
    let world = World::start().await;
    let (gone, honest) = (&world.enemy, &world.honest);
    let order = world.order(gone).await;
    let theirs = world.order(honest).await;
    // The connection was made while the machine was still one of ours.
    let mut link = gone.link().await.unwrap();
    link.fetch_orders(chasqui_proto::v1::FetchOrdersRequest {})
        .await
        .unwrap();
    world
        .fleet
        .admin
        .devices()
        .revoke_device(RevokeDeviceRequest {
            device_id: gone.device_id.clone(),
            reason: "robado".into(),
        })
        .await
        .unwrap();
    let before = world.stored(&order).await;
    let result = gone.result(order.digest, Outcome::Succeeded);
    let request = Simulated::submission(&order.id, &result, &gone.key).unwrap();
    let refused = link.submit_result(request.clone()).await.unwrap_err();
    assert_eq!(code(&refused), "DEVICE_REVOKED");
    // Through a machine that is still trusted it counts no more either.
    let refused = submit(honest, request).await.unwrap_err();
    assert_eq!(code(&refused), "ORDER_OTHER_DEVICE");
    let signed_by_it = honest.result(theirs.digest, Outcome::Succeeded);
    let request = Simulated::submission(&theirs.id, &signed_by_it, &gone.key).unwrap();
    let refused = submit(honest, request).await.unwrap_err();
    assert_eq!(code(&refused), "RESULT_SIGNATURE_INVALID");
    assert_eq!(world.stored(&order).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_output_and_progress_stay_with_their_machine() {
    let world = World::start().await;
    let (enemy, honest) = (&world.enemy, &world.honest);
    let mine = world.order(enemy).await;
    let theirs = world.order(honest).await;
    let chunk = |order: &Issued, offset, bytes: usize| OutputChunk {
        order_id: order.id.clone(),
        offset,
        data: vec![b'x'; bytes].into(),
        last: false,
    };
    let send = async |chunks: Vec<OutputChunk>| {
        let mut link = enemy.link().await.unwrap();
        let sent = link.send_output(tokio_stream::iter(chunks)).await;
        sent.map(|answer| answer.into_inner().kept_bytes)
    };
    let refused = send(vec![chunk(&theirs, 0, 10)]).await.unwrap_err();
    assert_eq!(code(&refused), "ORDER_OTHER_DEVICE");
    send(vec![chunk(&mine, 0, (256 << 10) + 1)])
        .await
        .expect_err("a chunk over the bound");

    // Every state there is, and some there are not, for an order that is not its own.
    let stream = enemy.connect("boot-1").await.unwrap();
    let progress = |order: &Issued, state: i32, at_ms| {
        Said::Progress(OrderProgress {
            order_id: order.id.clone(),
            state,
            at_ms,
        })
    };
    for state in -1..12 {
        for at_ms in [i64::MIN, -1, 0, clock::now_ms(), i64::MAX] {
            stream.tell(progress(&theirs, state, at_ms)).await;
        }
    }
    stream
        .tell(progress(&mine, ProgressState::Running.into(), 0))
        .await;
    world
        .fleet
        .until(&mine.id, OrderState::Running)
        .await
        .unwrap();
    assert_eq!(world.stored(&theirs).await, (OrderState::Queued, vec![]));
    // Endless output of an order that runs: kept up to its bound, wherever the machine says it stands.
    let mut endless: Vec<_> = (0..40u64)
        .map(|n| chunk(&mine, n * (256 << 10), 256 << 10))
        .collect();
    endless.push(chunk(&mine, u64::MAX, 10));
    endless.push(chunk(&mine, u64::MAX - 5, 256 << 10));
    assert_eq!(send(endless).await.unwrap(), 1 << 20);

    // A flood from one, while the other works.
    let flood = tokio::spawn(async move {
        for n in 0..5_000 {
            stream
                .tell(Said::Progress(OrderProgress {
                    order_id: clock::new_id().to_string(),
                    state: n % 7,
                    at_ms: i64::from(n),
                }))
                .await;
            if n % 500 == 0 {
                // Whether the coordinator hangs up is its own affair.
                tokio::task::yield_now().await;
            }
        }
        stream
    });
    let result = honest.result(theirs.digest, Outcome::Succeeded);
    let request = Simulated::submission(&theirs.id, &result, &honest.key).unwrap();
    assert!(!submit(honest, request).await.unwrap());
    let _stream = flood.await.unwrap();
    assert_eq!(world.stored(&theirs).await.0, OrderState::Succeeded);
    // What ended has ended, whatever is told late.
    let result = enemy.result(mine.digest, Outcome::Failed);
    let request = Simulated::submission(&mine.id, &result, &enemy.key).unwrap();
    assert!(!submit(enemy, request).await.unwrap());
    assert_eq!(world.stored(&mine).await.0, OrderState::Failed);
}

/// Every byte of a file the coordinator really wrote, each with one bit turned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_with_a_turned_bit_proves_nothing() {
    let world = World::start().await;
    let device = &world.enemy;
    let order = world.order(device).await;
    let result = device.result(order.digest, Outcome::Succeeded);
    let request = Simulated::submission(&order.id, &result, &device.key).unwrap();
    assert!(!submit(device, request).await.unwrap());
    let evidence = world
        .fleet
        .auditor
        .orders()
        .export_evidence(ExportEvidenceRequest {
            order_id: order.id.clone(),
            device_id: String::new(),
        })
        .await
        .unwrap()
        .into_inner()
        .evidence
        .to_vec();
    let root = std::fs::read(world.fleet.root_file()).unwrap();
    let expected = format!("{:?}", verify_evidence(&evidence, &root).unwrap());

    let lanes = 2;
    let unseen: Vec<(usize, bool)> = std::thread::scope(|scope| {
        let (evidence, root, expected) = (&evidence, &root, &expected);
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| {
                scope.spawn(move || {
                    let mut changed = evidence.clone();
                    let mut unseen = Vec::new();
                    for at in (lane..changed.len()).step_by(lanes) {
                        // A low bit: most of the file is hex and base64, where it gives another digit.
                        let bit = 1u8 << (at % 3);
                        changed[at] ^= bit;
                        if let Ok(report) = verify_evidence(&changed, root) {
                            unseen.push((at, format!("{report:?}") == *expected));
                        }
                        changed[at] ^= bit;
                    }
                    unseen
                })
            })
            .collect();
        lanes
            .into_iter()
            .flat_map(|lane| lane.join().unwrap())
            .collect()
    });
    let text = String::from_utf8(evidence.clone()).unwrap();
    if let Some((at, same)) = unseen.first() {
        let context = &text[at.saturating_sub(80)..=*at];
        panic!(
            "{} of {} bytes can change unseen, the first at {at} (the same report: {same}): {context}",
            unseen.len(),
            text.len()
        );
    }
}
