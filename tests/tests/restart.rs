//! The coordinator ends, in order or not, under a thousand machines: everybody comes back, spread in time, and nothing that
//! was promised is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_proto::v1::{GoodbyeReason, OrderState};
use chasqui_tests::programs::{raise_open_files, wait_until};
use chasqui_tests::simulated::{Stream, seed};
use chasqui_tests::{Options, Simulated, TestFleet};
use chasqui_trust::result::Outcome;
use chasqui_trust::{Leaf, OrderBundle};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const MACHINES: usize = 1_000;
/// Most machines of one order under the test's root.
const WAVE: usize = 100;
/// Longest wait before a reconnect, as configured for this coordinator.
const CAP: Duration = Duration::from_secs(4);
/// Generous: what is asserted is that it ends, not how fast.
const PATIENCE: Duration = Duration::from_secs(240);

/// A machine and its stream, if it has one.
struct Machine {
    device: Simulated,
    stream: Option<Stream>,
}

/// Does something for every machine at once, some at a time: one small machine is coordinator and thousand clients.
async fn each<F>(machines: Vec<Machine>, at_once: usize, work: F) -> Vec<Machine>
where
    F: AsyncMachine,
{
    let places = Arc::new(Semaphore::new(at_once));
    let mut tasks = JoinSet::new();
    for (number, machine) in machines.into_iter().enumerate() {
        let (places, work) = (places.clone(), work.clone());
        tasks.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            work.call(number, machine).await
        });
    }
    let done = async {
        let mut machines = Vec::new();
        while let Some(machine) = tasks.join_next().await {
            machines.push(machine.unwrap());
        }
        machines
    };
    tokio::time::timeout(PATIENCE, done)
        .await
        .expect("everybody is done")
}

/// What one machine does.
trait AsyncMachine: Clone + Send + Sync + 'static {
    fn call(&self, number: usize, machine: Machine) -> impl Future<Output = Machine> + Send;
}

/// Comes back as an agent does: full jitter below a growing span, until it is welcome.
#[derive(Clone)]
struct ComeBack;

impl AsyncMachine for ComeBack {
    async fn call(&self, _: usize, mut machine: Machine) -> Machine {
        let mut span = Duration::from_millis(500);
        loop {
            let wait = random_below(span);
            assert!(wait <= CAP);
            tokio::time::sleep(wait).await;
            match machine.device.connect("boot-1").await {
                Ok(stream) => {
                    machine.stream = Some(stream);
                    return machine;
                }
                Err(_) => span = (span * 2).min(CAP),
            }
        }
    }
}

fn random_below(span: Duration) -> Duration {
    let bytes = seed().unwrap();
    let part = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    span.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

/// Waits for its order and leaves it unanswered.
#[derive(Clone)]
struct HearOrder(Arc<BTreeMap<String, String>>);

impl AsyncMachine for HearOrder {
    async fn call(&self, _: usize, mut machine: Machine) -> Machine {
        hear(&mut machine, &self.0).await;
        machine
    }
}

async fn hear(machine: &mut Machine, expected: &BTreeMap<String, String>) -> OrderBundle {
    let stream = machine.stream.as_mut().unwrap();
    loop {
        match stream.next_alive().await.unwrap() {
            Some(Heard::Order(order)) => {
                assert_eq!(order.order_id, expected[&machine.device.device_id]);
                return OrderBundle::decode(&order.bundle).unwrap();
            }
            Some(_) => {}
            None => panic!("the stream ended before the order came"),
        }
    }
}

/// Waits for its order and answers it.
#[derive(Clone)]
struct AnswerOrder(Arc<BTreeMap<String, String>>);

impl AsyncMachine for AnswerOrder {
    async fn call(&self, _: usize, mut machine: Machine) -> Machine {
        let bundle = hear(&mut machine, &self.0).await;
        let device = &machine.device;
        let result = device.result(bundle.order_digest(), Outcome::Succeeded);
        let order_id = &self.0[&device.device_id];
        let request = Simulated::submission(order_id, &result, &device.key).unwrap();
        let stream = machine.stream.as_mut().unwrap();
        let answer = stream.link.submit_result(request).await.unwrap();
        assert!(!answer.into_inner().already_stored);
        machine
    }
}

/// Listens until its stream is over. Ended in order, it was told when to come back.
#[derive(Clone)]
struct HearEnd {
    in_order: bool,
    told: Arc<std::sync::Mutex<Vec<i64>>>,
}

impl AsyncMachine for HearEnd {
    async fn call(&self, _: usize, mut machine: Machine) -> Machine {
        let mut stream = machine.stream.take().unwrap();
        let mut goodbye = None;
        while let Ok(Some(heard)) = stream.next_alive().await {
            if let Heard::Goodbye(said) = heard {
                goodbye = Some(said);
            }
        }
        if self.in_order {
            let goodbye = goodbye.expect("a Goodbye before the end");
            assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
            self.told.lock().unwrap().push(goodbye.retry_after_ms);
        }
        machine
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_machines_outlive_their_coordinator() {
    raise_open_files().unwrap();
    let cap = CAP.as_secs().to_string();
    let mut fleet = TestFleet::start_with(Options {
        server_env: vec![
            ("CHASQUI_SERVER_DEVICES_RECONNECT_CAP_SECONDS".into(), cap),
            ("CHASQUI_SERVER_LOG_LEVEL".into(), "warn".into()),
        ],
        ..Options::default()
    })
    .await
    .unwrap();
    let machines = enrolled(&fleet).await;
    let expected = Arc::new(ordered(&fleet, &machines).await);
    let count = |fleet: &TestFleet, text: &str| -> i64 {
        let database = fleet.server.behind().unwrap();
        database.query_row(text, [], |row| row.get(0)).unwrap()
    };

    // A power cut before anybody had an order.
    fleet.server.process().unwrap().kill().unwrap();
    fleet.server.run(&[]).unwrap();
    let machines = each(machines, 200, ComeBack).await;
    let machines = each(machines, MACHINES, HearOrder(expected.clone())).await;

    // A power cut with everybody connected and every order on its way: nobody knows whether it arrived, so it comes again.
    fleet.server.process().unwrap().kill().unwrap();
    let told = Arc::default();
    let end = HearEnd {
        in_order: false,
        told: Arc::clone(&told),
    };
    let machines = each(machines, MACHINES, end).await;
    fleet.server.run(&[]).unwrap();
    let machines = each(machines, 200, ComeBack).await;
    let machines = each(machines, MACHINES, AnswerOrder(expected.clone())).await;
    assert_eq!(
        count(&fleet, "SELECT COUNT(*) FROM results"),
        i64::try_from(MACHINES).unwrap()
    );

    // Stopped in order: everybody is told, each its own time.
    fleet
        .server
        .process()
        .unwrap()
        .signal(rustix::process::Signal::TERM)
        .unwrap();
    let end = HearEnd {
        in_order: true,
        told: Arc::clone(&told),
    };
    let machines = each(machines, MACHINES, end).await;
    let status = fleet.server.process().unwrap().wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
    check_spread(&told.lock().unwrap());
    fleet.server.run(&[]).unwrap();
    let machines = each(machines, 200, ComeBack).await;

    // Nothing is lost, nothing is there twice, and answered orders do not come again.
    assert_eq!(
        count(&fleet, "SELECT COUNT(*) FROM results"),
        i64::try_from(MACHINES).unwrap()
    );
    let open = "SELECT COUNT(*) FROM order_targets WHERE state <> 'succeeded'";
    assert_eq!(count(&fleet, open), 0);
    for order_id in expected.values().collect::<std::collections::BTreeSet<_>>() {
        let order = fleet.shown(order_id).await.unwrap();
        assert_eq!(order.state(), OrderState::Succeeded);
    }
    wait_until("everybody is connected", PATIENCE, async || {
        for machine in [&machines[0], &machines[MACHINES - 1]] {
            if !fleet.device(&machine.device.device_id).await?.connected {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
    for mut machine in machines {
        let stream = machine.stream.as_mut().unwrap();
        let answer = stream
            .link
            .fetch_orders(chasqui_proto::v1::FetchOrdersRequest {})
            .await
            .unwrap();
        assert!(answer.into_inner().orders.is_empty());
    }
    // Up to the end it was one process.
    assert!(fleet.server.process().unwrap().ended().unwrap().is_none());
}

/// Times told at the end are spread over the configured span: no tenth of it is told to more than a quarter of all.
fn check_spread(told: &[i64]) {
    assert_eq!(told.len(), MACHINES);
    let (least, most) = (*told.iter().min().unwrap(), *told.iter().max().unwrap());
    let span = i64::try_from(CAP.as_millis()).unwrap();
    assert!(
        least >= 0 && most <= 2 * span,
        "told {least} to {most} ms, configured {span}"
    );
    let mut tenths = [0; 10];
    for after_ms in told {
        let tenth = (after_ms - least) * 10 / (most - least + 1);
        tenths[usize::try_from(tenth).unwrap()] += 1;
    }
    assert!(
        tenths.iter().all(|tenth| *tenth <= MACHINES / 4),
        "not spread: {tenths:?}"
    );
}

async fn enrolled(fleet: &TestFleet) -> Vec<Machine> {
    let token = fleet.token(u32::try_from(MACHINES).unwrap()).await.unwrap();
    let devices = Simulated::enrol_many(fleet, &token, MACHINES, "pc")
        .await
        .unwrap();
    devices
        .into_iter()
        .map(|device| Machine {
            device,
            stream: None,
        })
        .collect()
}

/// One order for every hundred machines, approved and waiting. Answers which machine has which.
async fn ordered(fleet: &TestFleet, machines: &[Machine]) -> BTreeMap<String, String> {
    let ticket = fleet.ticket("").await.unwrap();
    let names = (ticket.id.as_str(), ticket.number.as_str());
    let mut orders = BTreeMap::new();
    for wave in machines.chunks(WAVE) {
        let leaves: Vec<_> = wave
            .iter()
            .map(|machine| Leaf {
                device_fingerprint: machine.device.key.public_key().fingerprint(),
                host_name: machine.device.host_name.clone(),
                plate: None,
                not_before_ms: clock::now_ms() - 1,
            })
            .collect();
        let parameters = [("older_than_days", 30)];
        let order = fleet
            .cast
            .order("disk.clean.temp", &parameters, names, &leaves)
            .unwrap();
        let draft = chasqui_tests::orders::Draft { order, leaves };
        let order = fleet.order(&draft).await.unwrap();
        assert_eq!(order.state(), OrderState::Queued);
        for machine in wave {
            orders.insert(machine.device.device_id.clone(), order.id.clone());
        }
    }
    orders
}
