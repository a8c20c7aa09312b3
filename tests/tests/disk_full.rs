//! A disk without room, on either side, by real limits: the limit of a process on the size of its files, set and lifted
//! while it runs, and (as root, who may mount) a file system of a few MiB. Nothing is begun that could not be written
//! down, what cannot be kept is refused with a code, the processes stay up, and all is well once there is room.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use chasqui_base::clock;
use chasqui_proto::v1::{
    CreateTicketRequest, GetTicketRequest, ListTicketsRequest, OrderState, Ticket,
};
use chasqui_tests::Options;
use chasqui_tests::case::{Crash, World};
use chasqui_tests::marker::{HELD, MARK};
use chasqui_tests::orders::code;
use chasqui_tests::programs::{Running, http_status, wait_until};
use chasqui_trust::result::Outcome;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tonic::Status;
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(60);
/// Tickets tried before the disk must be full.
const MOST: usize = 2_000;

/// A disk that can be filled and emptied under a running program.
enum Disk {
    /// The process may make no file larger than this many bytes.
    FileSize(u64),
    /// This folder of the process is a small file system.
    Small(PathBuf),
}

impl Disk {
    fn fill(&self, process: &Running) -> Result<()> {
        match self {
            Self::FileSize(most) => limit(process, Some(*most)),
            Self::Small(folder) => {
                let mut filler = File::create(inside(process, folder).join("filler"))?;
                // In ever smaller pieces: not one byte is left.
                for size in [1 << 20, 1 << 12, 1] {
                    let piece = vec![0_u8; size];
                    until_full(&mut filler, &piece)?;
                }
                Ok(())
            }
        }
    }

    fn empty(&self, process: &Running) -> Result<()> {
        match self {
            Self::FileSize(_) => limit(process, None),
            Self::Small(folder) => Ok(fs::remove_file(inside(process, folder).join("filler"))?),
        }
    }
}

/// Writes pieces until there is no room for one.
fn until_full(file: &mut File, piece: &[u8]) -> std::io::Result<()> {
    loop {
        match file.write_all(piece) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A path as the process sees it, whatever is mounted there for it alone.
fn inside(process: &Running, folder: &Path) -> PathBuf {
    let below = folder.strip_prefix("/").unwrap();
    PathBuf::from(format!("/proc/{}/root", process.pid())).join(below)
}

/// The soft limit alone, so that it can be lifted again.
fn limit(process: &Running, most: Option<u64>) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(process.pid())?).context("no process")?;
    let limit = Rlimit {
        current: most,
        maximum: None,
    };
    prlimit(Some(pid), Resource::Fsize, limit)?;
    Ok(())
}

/// A command that starts another in a mount namespace of its own, with `folder` (and what is in it) on a file system of
/// this size. None for who may not mount.
fn small_disk(folder: &Path, size: &str) -> Option<Vec<String>> {
    let may_mount = rustix::process::geteuid().is_root()
        && Command::new("unshare")
            .args(["-m", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    if !may_mount {
        eprintln!("not allowed to mount: the limit on file sizes alone is tested");
        return None;
    }
    let script = "set -e; beside=$(mktemp -d); cp -a \"$1/.\" \"$beside\"; \
                  mount -t tmpfs -o size=$2,mode=755 chasqui \"$1\"; \
                  cp -a \"$beside/.\" \"$1\"; rm -rf \"$beside\"; shift 2; exec \"$@\"";
    let folder = folder.display().to_string();
    let words = [
        "unshare",
        "-m",
        "sh",
        "-c",
        script,
        "small-disk",
        &folder,
        size,
    ];
    Some(words.map(str::to_owned).to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_under_a_limit_on_file_sizes() {
    let mut world = World::start(Options::default()).await.unwrap();
    // Enough for the marks of the action's programs, which inherit the limit, and for no record of the journal.
    agent_on_a_full_disk(&mut world, Disk::FileSize(256)).await;
    // Nothing of it begins after a restart either, and what is offered once more is stored once.
    world.notes_may_be_lost = false;
    let lines = world.marker.lines().unwrap();
    world.agent.process().unwrap().kill().unwrap();
    world.agent.run(&[]).unwrap();
    world.handed_over().await.unwrap();
    let ended = world.case(&mut Crash::none()).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    assert_eq!(lines, [1, 1]);
    world.check_record().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_on_a_small_file_system() {
    let mut world = World::start(Options::default()).await.unwrap();
    let state = world.agent.folder.join("state");
    let Some(within) = small_disk(&state, "4m") else {
        return;
    };
    world.agent.process().unwrap().kill().unwrap();
    world.agent.within = within;
    world.agent.run(&[]).unwrap();
    agent_on_a_full_disk(&mut world, Disk::Small(state)).await;
    world.check_record().unwrap();
}

async fn agent_on_a_full_disk(world: &mut World, disk: Disk) {
    let mut nothing = Crash::none();
    world.notes_may_be_lost = true;
    let ticket = world.fleet.ticket(&world.agent.device_id).await.unwrap();
    // One action stands at its gate, another is accepted behind it.
    let (held, _) = world.order(&mut nothing, HELD, &ticket).await.unwrap();
    wait_until("the first mark", PATIENCE, async || {
        Ok((world.marker.lines()? == [1, 0]).then_some(()))
    })
    .await
    .unwrap();
    let (behind, _) = world.order(&mut nothing, MARK, &ticket).await.unwrap();
    world
        .fleet
        .until(&behind, OrderState::Accepted)
        .await
        .unwrap();
    let pid = world.agent.process().unwrap().pid();
    disk.fill(world.agent.process().unwrap()).unwrap();

    // A new one cannot be written down, so it is not accepted.
    let (new, _) = world.order(&mut nothing, MARK, &ticket).await.unwrap();
    let (target, refused) = world.result(&mut nothing, &new).await.unwrap();
    assert_eq!(target.state(), OrderState::Refused);
    assert_eq!(target.refusal_code, "JOURNAL_UNAVAILABLE");
    assert_eq!(refused.outcome, Outcome::Refused);
    assert_eq!(refused.started_at_ms, None);
    // The one under way ends as it would have; its result is told even if it cannot be kept.
    world.marker.open_gate().unwrap();
    let (_, result) = world.result(&mut nothing, &held).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    // The one behind it was accepted and cannot be begun.
    let (target, refused) = world.result(&mut nothing, &behind).await.unwrap();
    assert_eq!(target.refusal_code, "JOURNAL_UNAVAILABLE");
    assert_eq!(refused.started_at_ms, None);
    assert_eq!(world.marker.lines().unwrap(), [1, 1]);
    assert!(world.agent.process().unwrap().ended().unwrap().is_none());

    disk.empty(world.agent.process().unwrap()).unwrap();
    let ended = world.case(&mut nothing).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    assert_eq!(world.agent.process().unwrap().pid(), pid);
    assert!(world.agent.process().unwrap().ended().unwrap().is_none());
    for (order_id, state) in [
        (&held, OrderState::Succeeded),
        (&behind, OrderState::Refused),
        (&new, OrderState::Refused),
    ] {
        let shown = world.fleet.shown(order_id).await.unwrap();
        assert_eq!(shown.state(), state);
    }
    let timeline = world.timeline(&ticket.id).await.unwrap();
    let results = timeline.iter().filter(|entry| entry.kind == "order.result");
    assert_eq!(results.count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_under_a_limit_on_file_sizes() {
    let mut world = World::start(Options::default()).await.unwrap();
    let most = fs::metadata(world.fleet.server.database()).unwrap().len();
    coordinator_on_a_full_disk(&mut world, Disk::FileSize(most)).await;
    // What was answered is there for the next start too.
    world.fleet.server.process().unwrap().kill().unwrap();
    world.fleet.server.run(&[]).unwrap();
    world.handed_over().await.unwrap();
    let ended = world.case(&mut Crash::none()).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    world.check_record().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_on_a_small_file_system() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().join("small");
    fs::create_dir(&small).unwrap();
    let mut world = World::start(Options {
        store_url: format!("sqlite:{}", small.join("chasqui.db").display()),
        ..Options::default()
    })
    .await
    .unwrap();
    let Some(within) = small_disk(&small, "48m") else {
        return;
    };
    world.fleet.server.process().unwrap().stop().unwrap();
    world.fleet.server.within = within;
    world.fleet.server.run(&[]).unwrap();
    coordinator_on_a_full_disk(&mut world, Disk::Small(small)).await;
}

fn ticket_request(title: &str) -> CreateTicketRequest {
    CreateTicketRequest {
        request_id: clock::new_id().to_string(),
        title: title.to_owned(),
        // Long, so that the room left over is soon gone.
        description: "El disco está lleno. ".repeat(150),
        ..CreateTicketRequest::default()
    }
}

async fn create(world: &World, request: &CreateTicketRequest) -> Result<Ticket, Status> {
    let tickets = world.fleet.requester.tickets();
    let answer = { tickets }.create_ticket(request.clone()).await?;
    Ok(answer.into_inner().ticket.unwrap())
}

async fn coordinator_on_a_full_disk(world: &mut World, disk: Disk) {
    let mut nothing = Crash::none();
    let url = world.fleet.server.people_url.clone();
    let pid = world.fleet.server.process().unwrap().pid();
    let ticket = world.fleet.ticket(&world.agent.device_id).await.unwrap();
    let (held, _) = world.order(&mut nothing, HELD, &ticket).await.unwrap();
    world.fleet.until(&held, OrderState::Running).await.unwrap();

    disk.fill(world.fleet.server.process().unwrap()).unwrap();
    // Blocks that the database has already may still be written; then there is no more room.
    let mut answered = Vec::new();
    let (refused, status) = loop {
        let request = ticket_request("Escrito mientras cabe");
        match create(world, &request).await {
            Ok(ticket) => answered.push(ticket),
            Err(status) => break (request, status),
        }
        assert!(answered.len() < MOST, "the disk is never full");
    };
    assert_eq!(code(&status), "STORE_FULL", "{status:?}");
    assert!(
        status
            .get_details_retry_info()
            .and_then(|info| info.retry_delay)
            .is_some_and(|wait| !wait.is_zero()),
        "{status:?}"
    );
    // Reads go on, for everything that was answered.
    for kept in answered.iter().chain([&ticket]) {
        assert_eq!(number_of(world, &kept.id).await, kept.number);
    }
    assert_eq!(http_status(&url, "/healthz").unwrap(), 200);
    // A machine's result cannot be stored now. It is not lost.
    world.marker.open_gate().unwrap();
    let outbox = world.agent.folder.join("state/outbox");
    wait_until("the result in the outbox", PATIENCE, async || {
        Ok((fs::read_dir(&outbox)?.count() > 0).then_some(()))
    })
    .await
    .unwrap();
    let again = create(world, &refused).await.unwrap_err();
    assert_eq!(code(&again), "STORE_FULL", "{again:?}");
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

    disk.empty(world.fleet.server.process().unwrap()).unwrap();
    let made = create(world, &refused).await.unwrap();
    assert_eq!(create(world, &refused).await.unwrap().id, made.id);
    let (_, result) = world.result(&mut nothing, &held).await.unwrap();
    assert_eq!(result.outcome, Outcome::Succeeded);
    world.handed_over().await.unwrap();
    for kept in answered.iter().chain([&ticket, &made]) {
        assert_eq!(number_of(world, &kept.id).await, kept.number);
    }
    let listed = world.fleet.lead.tickets();
    let listed = { listed }
        .list_tickets(ListTicketsRequest {
            text: refused.title.clone(),
            ..ListTicketsRequest::default()
        })
        .await
        .unwrap()
        .into_inner()
        .tickets;
    // As many as were answered (or a page of them), and none that was refused.
    assert_eq!(listed.len(), (answered.len() + 1).min(50));
    let timeline = world.timeline(&ticket.id).await.unwrap();
    let results = timeline.iter().filter(|entry| entry.kind == "order.result");
    assert_eq!(results.count(), 1);
    assert_eq!(world.marker.lines().unwrap(), [1, 1]);
    let ended = world.case(&mut nothing).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
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
}

async fn number_of(world: &World, ticket_id: &str) -> String {
    let tickets = world.fleet.requester.tickets();
    let answer = { tickets }
        .get_ticket(GetTicketRequest {
            ticket: ticket_id.to_owned(),
        })
        .await
        .unwrap();
    answer.into_inner().ticket.unwrap().number
}
