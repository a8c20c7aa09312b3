//! The database goes away under a running coordinator and comes back: callers hear "not now" with a time to try again, the
//! process stays up, a machine's result waits in its outbox, and everything goes on by itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::{CreateTicketRequest, GetTicketRequest, ListTicketsRequest, OrderState};
use chasqui_tests::Options;
use chasqui_tests::case::{Crash, World};
use chasqui_tests::marker::HELD;
use chasqui_tests::orders::code;
use chasqui_tests::postgres::PrivateServer;
use chasqui_tests::programs::{http_status, wait_until};
use chasqui_trust::result::Outcome;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(60);

/// Not answered, and said so: with our reason and a time to come back.
fn assert_not_now(status: &Status) {
    assert_eq!(code(status), "STORE_UNAVAILABLE", "{status:?}");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let wait = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_and_comes_back() {
    let Some(database) = PrivateServer::start().unwrap() else {
        return;
    };
    let mut world = World::start(Options {
        store_url: database.url.clone(),
        ..Options::default()
    })
    .await
    .unwrap();
    let url = world.fleet.server.people_url.clone();
    let pid = world.fleet.server.process().unwrap().pid();
    let device_id = world.agent.device_id.clone();
    let ticket = world.fleet.ticket(&device_id).await.unwrap();
    let mut nothing = Crash::none();
    let (order_id, _) = world.order(&mut nothing, HELD, &ticket).await.unwrap();
    world
        .fleet
        .until(&order_id, OrderState::Running)
        .await
        .unwrap();
    assert_eq!(http_status(&url, "/readyz").unwrap(), 200);

    database.pause().unwrap();
    let request = CreateTicketRequest {
        request_id: clock::new_id().to_string(),
        title: "Sin base de datos".to_owned(),
        description: "No abre.".to_owned(),
        device_id,
        requester_id: String::new(),
    };
    for _ in 0..3 {
        let written = world.fleet.requester.tickets();
        let written = { written }.create_ticket(request.clone()).await;
        assert_not_now(&written.unwrap_err());
        let read = world.fleet.technician.tickets();
        let read = { read }
            .get_ticket(GetTicketRequest {
                ticket: ticket.id.clone(),
            })
            .await;
        assert_not_now(&read.unwrap_err());
    }
    assert_eq!(http_status(&url, "/healthz").unwrap(), 200);
    assert_eq!(http_status(&url, "/readyz").unwrap(), 503);
    // The machine ends its work and keeps the result.
    world.marker.open_gate().unwrap();
    let outbox = world.agent.folder.join("state/outbox");
    wait_until("the result in the outbox", PATIENCE, async || {
        Ok((std::fs::read_dir(&outbox)?.count() > 0).then_some(()))
    })
    .await
    .unwrap();

    database.resume().unwrap();
    wait_until("the coordinator is ready again", PATIENCE, async || {
        Ok((http_status(&url, "/readyz")? == 200).then_some(()))
    })
    .await
    .unwrap();
    let mut made = Vec::new();
    for _ in 0..2 {
        let again = world.fleet.requester.tickets();
        let again = { again }.create_ticket(request.clone()).await.unwrap();
        made.push(again.into_inner().ticket.unwrap().id);
    }
    assert_eq!(made[0], made[1]);
    let listed = world.fleet.lead.tickets();
    let listed = { listed }
        .list_tickets(ListTicketsRequest {
            text: request.title.clone(),
            ..ListTicketsRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(listed.into_inner().tickets.len(), 1);
    let (_, result) = world.result(&mut nothing, &order_id).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    world.handed_over().await.unwrap();
    let timeline = world.timeline(&ticket.id).await.unwrap();
    let results = timeline.iter().filter(|entry| entry.kind == "order.result");
    assert_eq!(results.count(), 1);
    assert_eq!(world.marker.lines().unwrap(), [1, 1]);
    assert_eq!(world.fleet.server.process().unwrap().pid(), pid);
    assert!(
        world
            .fleet
            .server
            .process()
            .unwrap()
            .ended()
            .unwrap()
            .is_none()
    );
    // And everything works as before.
    let ended = world.case(&mut nothing).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    world.check_record().unwrap();
}
