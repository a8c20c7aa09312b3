//! Both programs asked to stop, as a service manager asks: streams are told when to come back, what runs is finished or
//! written down, nothing new begins, and the programs end by themselves with 0.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_proto::v1::{
    CreateTicketRequest, GetTicketRequest, GoodbyeReason, OrderState, Ticket, WatchOrderRequest,
};
use chasqui_tests::case::{Crash, World};
use chasqui_tests::marker::{HELD, MARK};
use chasqui_tests::orders::code;
use chasqui_tests::programs::wait_until;
use chasqui_tests::{Options, Simulated};
use chasqui_trust::result::Outcome;
use rustix::process::Signal;
use tonic::Code;

const PATIENCE: Duration = Duration::from_secs(60);

async fn world() -> World {
    let bound = ("CHASQUI_SERVER_STOP_SECONDS", "10");
    World::start(Options {
        server_env: vec![(bound.0.to_owned(), bound.1.to_owned())],
        ..Options::default()
    })
    .await
    .unwrap()
}

/// An order whose action stands at the gate, between its two marks.
async fn held_action(world: &mut World) -> (Ticket, String) {
    let ticket = world.fleet.ticket(&world.agent.device_id).await.unwrap();
    let (order_id, _) = world
        .order(&mut Crash::none(), HELD, &ticket)
        .await
        .unwrap();
    wait_until("the first mark", PATIENCE, async || {
        Ok((world.marker.lines()? == [1, 0]).then_some(()))
    })
    .await
    .unwrap();
    (ticket, order_id)
}

async fn results(world: &World, ticket: &Ticket) -> usize {
    let timeline = world.timeline(&ticket.id).await.unwrap();
    timeline
        .iter()
        .filter(|entry| entry.kind == "order.result")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_stops_says_goodbye_and_loses_nothing() {
    let mut world = world().await;
    let token = world.fleet.token(1).await.unwrap();
    let simulated = Simulated::enrol(&world.fleet, &token, "simulado")
        .await
        .unwrap();
    let mut stream = simulated.connect("arranque-1").await.unwrap();
    let (ticket, order_id) = held_action(&mut world).await;
    let watch = world.fleet.technician.orders();
    let mut watch = { watch }
        .watch_order(WatchOrderRequest {
            order_id: order_id.clone(),
        })
        .await
        .unwrap()
        .into_inner();

    // Somebody writes all the time; what was answered must be there afterwards.
    let requester = world.fleet.requester.clone();
    let (first_answered, one) = tokio::sync::oneshot::channel();
    let writing = tokio::spawn(async move {
        let mut answered = Vec::new();
        let mut first_answered = Some(first_answered);
        loop {
            let request = CreateTicketRequest {
                request_id: clock::new_id().to_string(),
                title: format!("Mientras se detiene {}", answered.len()),
                description: "Sigo escribiendo.".to_owned(),
                ..CreateTicketRequest::default()
            };
            match requester.tickets().create_ticket(request).await {
                Ok(answer) => answered.push(answer.into_inner().ticket.unwrap()),
                Err(status) => return (answered, status),
            }
            if let Some(first) = first_answered.take() {
                first.send(()).unwrap();
            }
        }
    });
    one.await.unwrap();

    let server = world.fleet.server.process().unwrap();
    server.signal(Signal::TERM).unwrap();
    let goodbye = loop {
        match stream.next_alive().await.unwrap() {
            Some(Heard::Goodbye(goodbye)) => break goodbye,
            Some(_) => {}
            None => panic!("the stream ended without a goodbye"),
        }
    };
    assert_eq!(goodbye.reason(), GoodbyeReason::Shutdown);
    assert!(goodbye.retry_after_ms > 0, "{goodbye:?}");
    assert!(stream.next().await.is_ok_and(|message| message.is_none()));
    // A watcher's stream ends too, whatever it has to say last.
    while let Ok(Some(_)) = watch.message().await {}
    let status = server.wait(Duration::from_secs(20)).unwrap();
    assert!(status.success(), "{status}");
    let (answered, refusal) = writing.await.unwrap();
    assert!(
        matches!(
            refusal.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal
        ),
        "{refusal:?}"
    );
    assert_ne!(code(&refusal), "INTERNAL", "{refusal:?}");

    // Its work goes on without a coordinator; the result waits for it.
    world.marker.open_gate().unwrap();
    wait_until("the second mark", PATIENCE, async || {
        Ok((world.marker.lines()? == [1, 1]).then_some(()))
    })
    .await
    .unwrap();
    world.fleet.server.run(&[]).unwrap();
    for ticket in answered {
        let kept = world.fleet.requester.tickets();
        let kept = { kept }
            .get_ticket(GetTicketRequest { ticket: ticket.id })
            .await
            .unwrap();
        assert_eq!(kept.into_inner().ticket.unwrap().number, ticket.number);
    }
    let (_, result) = world.result(&mut Crash::none(), &order_id).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    world.handed_over().await.unwrap();
    assert_eq!(results(&world, &ticket).await, 1);
    assert_eq!(world.marker.lines().unwrap(), [1, 1]);
    world.check_record().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_stops_finishes_its_action_and_begins_no_other() {
    let mut world = world().await;
    let (ticket, order_id) = held_action(&mut world).await;
    let agent = world.agent.process().unwrap();
    agent.signal(Signal::TERM).unwrap();
    wait_until("the agent hears the signal", PATIENCE, async || {
        Ok(agent.log().contains("agent stops").then_some(()))
    })
    .await
    .unwrap();
    // What is approved from here on waits for the next start.
    let later = world.fleet.ticket(&world.agent.device_id).await.unwrap();
    let draft = world
        .fleet
        .draft(MARK, &[], &world.agent.device_id, &later)
        .await
        .unwrap();
    let second = world.fleet.order(&draft).await.unwrap().id;
    assert!(world.agent.process().unwrap().ended().unwrap().is_none());
    world.marker.open_gate().unwrap();
    let status = world.agent.process().unwrap().wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
    // The result was handed over before the end, or lies on disk; here the coordinator was there.
    let shown = world.fleet.shown(&order_id).await.unwrap();
    assert_eq!(shown.state(), OrderState::Succeeded);
    assert_eq!(world.marker.lines().unwrap(), [1, 1]);

    world.agent.run(&[]).unwrap();
    let (_, result) = world.result(&mut Crash::none(), &second).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    world.handed_over().await.unwrap();
    assert_eq!(world.marker.lines().unwrap(), [2, 2]);
    assert_eq!(results(&world, &ticket).await, 1);
    assert_eq!(results(&world, &later).await, 1);
    world.check_record().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_killed_while_it_stops_does_not_know_and_does_not_repeat() {
    let mut world = world().await;
    let (ticket, order_id) = held_action(&mut world).await;
    let agent = world.agent.process().unwrap();
    agent.signal(Signal::TERM).unwrap();
    wait_until("the agent hears the signal", PATIENCE, async || {
        Ok(agent.log().contains("agent stops").then_some(()))
    })
    .await
    .unwrap();
    agent.kill().unwrap();
    // Two starts: neither begins it again, and the second has nothing new to say.
    for _ in 0..2 {
        world.agent.run(&[]).unwrap();
        let (target, result) = world.result(&mut Crash::none(), &order_id).await.unwrap();
        assert_eq!(result.outcome, Outcome::Unknown);
        assert_eq!(result.steps.len(), 1, "{:?}", result.steps);
        assert_eq!(target.state(), OrderState::Unknown);
        world.handed_over().await.unwrap();
        assert_eq!(results(&world, &ticket).await, 1);
        assert_eq!(world.marker.lines().unwrap(), [1, 0]);
        world.agent.process().unwrap().kill().unwrap();
    }
    world.check_record().unwrap();
}
