//! Too much of everything: bytes that are nothing, deliveries without end, and what they may cost the machine.

use chasqui_base::clock;
use chasqui_proto::v1;
use chasqui_proto::v1::server_message::Message as FromServer;
use chasqui_trust::Envelope;

use crate::draft::Draft;
use crate::stage::{Attack, Stage};
use crate::support::until;

/// Peak of the agent's memory, KiB.
pub fn peak_kib(stage: &Stage) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", stage.pid())).unwrap();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// Bytes without pattern, the same at every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

fn order(bytes: Vec<u8>) -> FromServer {
    FromServer::Order(v1::OrderDelivery {
        order_id: clock::new_id().to_string(),
        bundle: bytes.into(),
    })
}

#[test]
fn bytes_that_are_no_order_do_nothing() {
    let stage = Stage::new();
    stage.good("before");
    let mut attacks = Vec::new();
    for n in 0..60u64 {
        let length = usize::try_from(n * n * 7).unwrap();
        attacks.push(Attack::new(
            format!("{length} bytes of noise"),
            noise(n, length),
        ));
    }
    let good = || Draft::new(&stage).bundle().encode().unwrap();
    let length = good().len();
    for at in (0..length).step_by(length / 150 + 1) {
        let mut cut = good();
        cut.truncate(at);
        attacks.push(Attack::new(format!("cut at {at}"), cut));
    }
    for at in (0..length).step_by(length / 400 + 1) {
        let mut turned = good();
        let Some(byte) = turned.get_mut(at) else {
            continue;
        };
        *byte ^= 1 << (at % 7);
        attacks.push(Attack::new(format!("a bit turned at {at}"), turned));
    }
    let mut twice = good();
    twice.extend(good());
    attacks.push(Attack::new("two orders in one", twice));
    let mut spare = good();
    spare.push(b' ');
    attacks.push(Attack::new("an order and a space", spare));
    for (what, bytes) in [
        ("deep lists", vec![b'['; 1 << 20]),
        ("deep objects", b"{\"order\":".repeat(100_000)),
        ("a long number", vec![b'9'; 1 << 20]),
        (
            "a long string",
            [b"\"".to_vec(), vec![b'a'; 2 << 20]].concat(),
        ),
        ("zeros", vec![0; 3 << 20]),
        ("all that a message holds", vec![b' '; 15 << 20]),
    ] {
        attacks.push(Attack::new(what, bytes));
    }
    let count = attacks.len();
    assert!(count > 500, "only {count}");
    stage.attack(attacks);
    // More than a message may hold ends the stream; the machine comes back.
    let hellos = stage.coordinator.book().hellos.len();
    stage.coordinator.push_all([order(vec![b' '; 17 << 20])]);
    until("a new link", || {
        (stage.coordinator.book().hellos.len() > hellos).then_some(())
    });
    until("connected", || {
        (stage.machine.status().link == chasqui_agent::status::Link::Connected).then_some(())
    });
    // An order's id that is none, and one that is too much.
    for id in [
        "",
        "../../etc/passwd",
        "\u{202e}x\n\u{1b}[31m",
        &"a".repeat(1 << 20),
    ] {
        let draft = Draft::new(&stage);
        let mut bundle = draft.bundle();
        bundle.statements.clear();
        stage.coordinator.book().results.clear();
        stage.push(id, bundle.encode().unwrap());
        // It is answered under the id that people signed.
        let result = until("an answer", || {
            stage.result_of(&draft.order.id, &bundle.order_digest())
        });
        assert_eq!(result.refusal.unwrap().rule, "APPROVALS_MISSING");
    }
    stage.good("after");
    stage.print_codes("bytes", count);
}

#[test]
fn a_flood_of_deliveries_passes() {
    let stage = Stage::new();
    stage.good("before");
    let before = peak_kib(&stage);
    let forged = |n: u64| {
        let mut bundle = Draft::new(&stage).bundle();
        bundle.order.payload = noise(n, 200);
        bundle.encode().unwrap()
    };
    let mut pushed = 0;
    for n in 0..10_000u64 {
        let bytes = if n % 50 == 0 {
            forged(n)
        } else {
            noise(n, 4096)
        };
        stage.coordinator.push_all([order(bytes)]);
        pushed += 1;
    }
    for n in 0..2_000u64 {
        stage.coordinator.push_all([
            FromServer::Stop(v1::OrderStop {
                order_id: "x".into(),
                order_digest: noise(n, 32).into(),
                reason: "x".into(),
            }),
            FromServer::Probe(v1::Probe {
                nonce: noise(n, 16).into(),
            }),
            FromServer::InventoryRequested(v1::InventoryRequested::default()),
        ]);
    }
    eprintln!(
        "{pushed} deliveries, {before} KiB before, {} KiB after",
        peak_kib(&stage)
    );
    // What came while the machine was busy it left at the coordinator, so the good one is offered until it is taken.
    let draft = Draft::new(&stage);
    let bundle = draft.bundle();
    until("the good order", || {
        stage.push(&draft.order.id, bundle.encode().unwrap());
        stage.result_of(&draft.order.id, &bundle.order_digest())
    });
    stage.expect_mark();
    stage.good("after");
    assert!(
        peak_kib(&stage) < before + 40_000,
        "{} KiB after {before}",
        peak_kib(&stage)
    );
}

/// Deliveries wait to be judged while papers are fetched, which the coordinator can draw out: what waits has a bound in
/// number, and needs one in bytes.
#[test]
fn deliveries_that_wait_to_be_judged_hold_little_memory() {
    let stage = Stage::new();
    stage.good("before");
    let before = peak_kib(&stage);
    stage.coordinator.book().papers_stall = true;
    let mut draft = Draft::new(&stage);
    draft.order.min_people_version = 9;
    stage.push(&draft.order.id, draft.bundle().encode().unwrap());
    for n in 0..60 {
        stage
            .coordinator
            .push_all([order(vec![b' '; (4 << 20) + n])]);
    }
    // The stream keeps its order: what came before an answered probe has been taken in or left.
    stage.coordinator.push_all([FromServer::Probe(v1::Probe {
        nonce: vec![1; 16].into(),
    })]);
    until("the probe's answer", || {
        (stage.coordinator.book().probes > 0).then_some(())
    });
    let peak = peak_kib(&stage);
    stage.coordinator.book().papers_stall = false;
    eprintln!("{before} KiB before, {peak} KiB with 60 deliveries of 4 MiB waiting");
    stage.good("after");
    assert!(peak < before + 100_000, "{peak} KiB after {before}");
}

/// An order whose time has not come is kept, under each id it is delivered with, and with whatever papers hang on it.
#[test]
fn orders_kept_for_later_hold_little_memory() {
    let stage = Stage::new();
    stage.good("before");
    let before = peak_kib(&stage);
    let mut draft = Draft::new(&stage);
    draft.order.not_before_ms = clock::now_ms() + 3_000_000;
    let mut bundle = draft.bundle();
    // Statements nobody has looked at yet, as many and as long as a bundle takes.
    let mut junk: Envelope = bundle.statements[0].clone();
    for n in 0..31 {
        junk.payload = noise(n, 16_000);
        bundle.statements.push(junk.clone());
    }
    let bytes = bundle.encode().unwrap();
    for _ in 0..60 {
        stage.push(&clock::new_id().to_string(), bytes.clone());
    }
    stage.good("after");
    let peak = peak_kib(&stage);
    eprintln!(
        "{before} KiB before, {peak} KiB with 60 kept orders of {} bytes",
        bytes.len()
    );
    assert!(peak < before + 60_000, "{peak} KiB after {before}");
}

/// The machine keeps each refusal until it was taken. A coordinator that takes none must not fill the disk.
#[test]
fn refusals_nobody_takes_do_not_fill_the_disk() {
    let stage = Stage::new();
    stage.good("before");
    stage.coordinator.book().results_refused = true;
    let outbox = stage.machine.state().join("outbox");
    let kept = || std::fs::read_dir(&outbox).unwrap().count();
    for _ in 0..52 {
        let orders: Vec<_> = (0..50)
            .map(|_| {
                let mut bundle = Draft::new(&stage).bundle();
                bundle.order.signatures.clear();
                bundle.order.add_signature(&stage.stolen.fresh);
                order(bundle.encode().unwrap())
            })
            .collect();
        stage.coordinator.push_all(orders);
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    let kept = kept();
    eprintln!("{kept} results kept of 2600 orders");
    stage.coordinator.book().results_refused = false;
    stage.coordinator.hang_up();
    assert!(kept <= 2_100, "{kept} results kept");
}
