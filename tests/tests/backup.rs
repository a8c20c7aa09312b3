//! A backup taken while people write and a machine works, and the coordinator that is made from it: everything answered
//! before the backup began is there, the record agrees, and machines offer again what the new one does not have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::v1::{CommentTicketRequest, CreateTicketRequest, GetTicketRequest, OrderState};
use chasqui_tests::case::{Crash, World};
use chasqui_tests::marker::{HELD, MARK};
use chasqui_tests::postgres::Database;
use chasqui_tests::programs::{self, wait_until};
use chasqui_tests::{Options, Simulated};
use chasqui_trust::result::Outcome;

const PATIENCE: Duration = Duration::from_secs(60);
/// People who write at once.
const WRITERS: usize = 4;
/// Tickets answered before the backup begins.
const BEFORE: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let new = format!("sqlite:{}", folder.path().join("restored.db").display());
    backup_and_restore(Options::default(), &new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_on_postgresql() {
    let (Some(old), Some(new)) = (Database::fresh().unwrap(), Database::fresh().unwrap()) else {
        return;
    };
    let options = Options {
        store_url: old.url.clone(),
        ..Options::default()
    };
    backup_and_restore(options, &new.url).await;
}

/// A ticket as it was answered, and the comment on it.
#[derive(Clone, Debug)]
struct Answered {
    ticket_id: String,
    number: String,
    comment_id: String,
}

async fn backup_and_restore(options: Options, new_url: &str) {
    let mut world = World::start(options).await.unwrap();
    let mut nothing = Crash::none();
    let device_id = world.agent.device_id.clone();
    // One order whose result is in the backup, one whose result comes after it.
    let ticket = world.fleet.ticket(&device_id).await.unwrap();
    let (done, _) = world.order(&mut nothing, MARK, &ticket).await.unwrap();
    world.result(&mut nothing, &done).await.unwrap();
    let (running, _) = world.order(&mut nothing, HELD, &ticket).await.unwrap();
    world
        .fleet
        .until(&running, OrderState::Running)
        .await
        .unwrap();
    let token = world.fleet.token(1).await.unwrap();
    let witness = Simulated::enrol(&world.fleet, &token, "testigo")
        .await
        .unwrap();
    let epoch = witness.connect("arranque-1").await.unwrap().store_epoch;

    let answered = Arc::new(Mutex::new(Vec::<Answered>::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (client, answered, stop) = (
                world.fleet.requester.clone(),
                answered.clone(),
                stop.clone(),
            );
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let request = CreateTicketRequest {
                        request_id: clock::new_id().to_string(),
                        title: "Bajo carga".to_owned(),
                        description: "Se escribe mientras se copia.".to_owned(),
                        ..CreateTicketRequest::default()
                    };
                    let ticket = client.tickets().create_ticket(request).await.unwrap();
                    let ticket = ticket.into_inner().ticket.unwrap();
                    let request = CommentTicketRequest {
                        request_id: clock::new_id().to_string(),
                        ticket_id: ticket.id.clone(),
                        text: "y se comenta".to_owned(),
                    };
                    let entry = client.tickets().comment_ticket(request).await.unwrap();
                    answered.lock().unwrap().push(Answered {
                        ticket_id: ticket.id,
                        number: ticket.number,
                        comment_id: entry.into_inner().entry.unwrap().id,
                    });
                }
            })
        })
        .collect();
    let count = || answered.lock().unwrap().len();
    wait_until("enough answered", PATIENCE, async || {
        Ok((count() >= BEFORE).then_some(()))
    })
    .await
    .unwrap();

    let before = answered.lock().unwrap().clone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copia").display().to_string();
    let made = tokio::task::block_in_place(|| world.fleet.server.command(&["backup", &file]));
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
    // The load went on all the while.
    let during = count();
    assert!(during > before.len(), "nobody wrote during the backup");
    wait_until("more after the backup", PATIENCE, async || {
        Ok((count() > during).then_some(()))
    })
    .await
    .unwrap();
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    // After the backup the machine ends its work, and this coordinator confirms it.
    world.marker.open_gate().unwrap();
    let (_, result) = world.result(&mut nothing, &running).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    world.handed_over().await.unwrap();
    world.fleet.server.process().unwrap().kill().unwrap();

    let restored = programs::command("chasqui-server")
        .unwrap()
        .args(["restore", &file, "--into", new_url])
        .output()
        .unwrap();
    assert!(restored.status.success(), "{restored:?}");
    world
        .fleet
        .server
        .set_env("CHASQUI_SERVER_STORE_URL", new_url);
    world.check_record().unwrap();
    world.fleet.server.run(&[]).unwrap();
    for kept in &before {
        let found = world.fleet.requester.tickets();
        let found = { found }
            .get_ticket(GetTicketRequest {
                ticket: kept.ticket_id.clone(),
            })
            .await
            .unwrap();
        assert_eq!(found.into_inner().ticket.unwrap().number, kept.number);
        let timeline = world.timeline(&kept.ticket_id).await.unwrap();
        assert!(
            timeline.iter().any(|entry| entry.id == kept.comment_id),
            "{kept:?} in {timeline:?}"
        );
    }
    // The result that this one never had is offered again, and stored once; nothing runs again.
    let (_, again) = world.result(&mut nothing, &running).await.unwrap();
    assert_eq!(again, result);
    world.handed_over().await.unwrap();
    let raised = witness.connect("arranque-1").await.unwrap().store_epoch;
    assert!(raised > epoch, "epoch {raised} after {epoch}");
    let timeline = world.timeline(&ticket.id).await.unwrap();
    let results = timeline.iter().filter(|entry| entry.kind == "order.result");
    assert_eq!(results.count(), 2);
    for order_id in [&done, &running] {
        let shown = world.fleet.shown(order_id).await.unwrap();
        assert_eq!(shown.state(), OrderState::Succeeded);
    }
    assert_eq!(world.marker.lines().unwrap(), [2, 2]);
    let ended = world.case(&mut nothing).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    world.check_record().unwrap();
}
