//! Every crash point of both programs, listed by the programs themselves: the real process is aborted there in the middle
//! of a real case, started again, and the case must end as if nothing had been: the action ran at most once, its result is
//! stored exactly once, nothing that was answered is lost, and the record agrees with the tables.
//!
//! A new point needs no line here as long as the case passes it; one that no test covers fails
//! `every_point_is_covered`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "crash/devices.rs"]
mod devices;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chasqui_agent::status;
use chasqui_base::clock::{self, HOUR_MS};
use chasqui_proto::v1::{
    CancelOrderRequest, GetInventoryRequest, GetTrustDocumentsRequest, ListDefinitionsRequest,
    ListDevicesRequest, ListEnrolmentTokensRequest, OrderState, PublishDefinitionRequest,
    PublishTrustDocumentRequest, TrustDocumentKind,
};
use chasqui_tests::case::{Crash, Program, World, aborted};
use chasqui_tests::postgres::Database;
use chasqui_tests::programs::{self, wait_until};
use chasqui_tests::{Agent, Options, answered};
use chasqui_trust::catalogue::CatalogueEntry;
use chasqui_trust::result::Outcome;
use chasqui_trust::{Digest, Document};

const PATIENCE: Duration = Duration::from_secs(60);

/// Which test takes a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Enrolment,
    Renewal,
    Papers,
    Cleaning,
    AgentCase,
    ServerCase,
    EndOfOrders,
    Inventory,
    Devices,
    Commit,
}

/// By the longest prefix; none for a point that nobody thought of.
fn group(point: &str) -> Option<Group> {
    let table = [
        ("agent.enrol.", Group::Enrolment),
        ("server.enrol.", Group::Enrolment),
        ("agent.renewal.", Group::Renewal),
        ("server.renewal.", Group::Renewal),
        ("agent.trust.", Group::Papers),
        ("server.trust.", Group::Papers),
        ("server.definition.", Group::Papers),
        ("agent.action.file.", Group::Cleaning),
        ("agent.action.step.", Group::AgentCase),
        ("agent.check.", Group::AgentCase),
        ("agent.confirmed", Group::AgentCase),
        ("agent.journal.", Group::AgentCase),
        ("agent.order.", Group::AgentCase),
        ("agent.outbox.", Group::AgentCase),
        ("agent.result.", Group::AgentCase),
        ("agent.submit.", Group::AgentCase),
        ("server.log.", Group::ServerCase),
        ("server.order.", Group::ServerCase),
        ("server.order.cancelled", Group::EndOfOrders),
        ("server.order.expired", Group::EndOfOrders),
        ("server.result.", Group::ServerCase),
        ("server.statement.", Group::ServerCase),
        ("server.ticket.", Group::ServerCase),
        ("server.inventory.", Group::Inventory),
        ("server.device.", Group::Devices),
        ("store.commit.", Group::Commit),
    ];
    table
        .into_iter()
        .filter(|(prefix, _)| point.starts_with(prefix))
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, group)| group)
}

/// The points linked into a program, as it lists them.
fn points(program: Program) -> Vec<String> {
    let output = programs::command(program.name())
        .unwrap()
        .arg("fault-points")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let points: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(!points.is_empty(), "{} lists none", program.name());
    points
}

fn points_of(wanted: Group) -> Vec<(Program, String)> {
    let found: Vec<_> = [Program::Agent, Program::Server]
        .into_iter()
        .flat_map(|program| {
            points(program)
                .into_iter()
                .map(move |point| (program, point))
        })
        .filter(|(_, point)| group(point) == Some(wanted))
        .collect();
    assert!(!found.is_empty(), "no point is left in {wanted:?}");
    found
}

fn crashes(wanted: Group) -> Vec<Crash> {
    points_of(wanted)
        .into_iter()
        .map(|(program, point)| Crash::new(program, &point))
        .collect()
}

fn id() -> String {
    clock::new_id().to_string()
}

/// A crash that has happened: what follows is an ordinary case.
fn over(crash: &Crash) -> Crash {
    let mut over = crash.clone();
    over.reached = true;
    over
}

#[test]
fn every_point_is_covered() {
    for program in [Program::Agent, Program::Server] {
        for point in points(program) {
            assert!(
                group(&point).is_some(),
                "no test aborts {} at {point}: give it a group here",
                program.name()
            );
        }
    }
}

/// The whole case through each of these crashes, in one fleet.
async fn cases(options: Options, crashes: Vec<Crash>) -> Result<()> {
    let mut world = World::start(options).await?;
    world.handed_over().await?;
    for mut crash in crashes {
        let begun = clock::monotonic();
        world.arm(&mut crash).await?;
        let ended = world
            .case(&mut crash)
            .await
            .with_context(|| crash.point.clone())?;
        let expected = if crash.mid_action {
            Outcome::Unknown
        } else {
            Outcome::Succeeded
        };
        ensure!(
            ended.result.outcome == expected,
            "{}: {:?} instead of {expected:?}",
            crash.point,
            ended.result.outcome
        );
        eprintln!(
            "{}: {:?} after {:?}",
            crash.point,
            ended.result.outcome,
            begun.elapsed()
        );
    }
    world.check_record()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_crashes_during_an_action() {
    let mut crashes = crashes(Group::AgentCase);
    // The action has two steps.
    crashes.push(Crash::new(Program::Agent, "agent.action.step.done@2"));
    cases(Options::default(), crashes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_crashes_during_a_case() {
    cases(Options::default(), crashes(Group::ServerCase))
        .await
        .unwrap();
}

fn commits() -> Vec<Crash> {
    points_of(Group::Commit)
        .into_iter()
        .flat_map(|(program, point)| {
            [1, 2, 3, 4, 5, 6, 8, 10, 12]
                .into_iter()
                .map(move |pass| Crash::new(program, &format!("{point}@{pass}")))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_crashes_around_a_commit_on_sqlite() {
    cases(Options::default(), commits()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_crashes_around_a_commit_on_postgresql() {
    if let Some(database) = Database::fresh().unwrap() {
        let options = Options {
            store_url: database.url.clone(),
            ..Options::default()
        };
        cases(options, commits()).await.unwrap();
    }
}

/// A new machine in the world's place, configured and not enrolled.
async fn new_machine(world: &mut World, number: usize) -> Result<String> {
    if let Ok(process) = world.agent.process() {
        process.kill()?;
    }
    world.agent = Agent::configure(&world.fleet, &format!("equipo-{number}"))?;
    world.fleet.token(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enrolment_that_crashes_makes_one_device() {
    let mut world = World::start_alone(Options::default()).await.unwrap();
    for (number, mut crash) in (1..).zip(crashes(Group::Enrolment)) {
        let token = new_machine(&mut world, number).await.unwrap();
        enrol_through(&mut world, &token, &mut crash)
            .await
            .with_context(|| crash.point.clone())
            .unwrap();
        let devices = world.fleet.admin.devices();
        let devices = { devices }
            .list_devices(ListDevicesRequest::default())
            .await
            .unwrap()
            .into_inner()
            .devices;
        assert_eq!(devices.len(), number, "{}: {devices:?}", crash.point);
        let tokens = world.fleet.admin.tokens();
        let tokens = { tokens }
            .list_enrolment_tokens(ListEnrolmentTokensRequest::default())
            .await
            .unwrap()
            .into_inner()
            .tokens;
        assert!(tokens.iter().all(|token| token.uses == 1), "{tokens:?}");
        // The identity is a good one.
        world.agent.run(&[]).unwrap();
        let ended = world.case(&mut over(&crash)).await.unwrap();
        assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", crash.point);
    }
    world.check_record().unwrap();
}

async fn enrol_through(world: &mut World, token: &str, crash: &mut Crash) -> Result<()> {
    match crash.program {
        Program::Agent => {
            let fault = [("CHASQUI_FAULT", crash.point.as_str())];
            aborted(world.agent.start_enrol(token, &fault)?.wait(PATIENCE)?)?;
            let mut again = world.agent.start_enrol(token, &[])?;
            let status = again.wait(PATIENCE)?;
            ensure!(
                status.success() || again.log().contains("ALREADY_ENROLLED"),
                "{status}: {}",
                again.log()
            );
        }
        Program::Server => {
            world.arm(crash).await?;
            let mut enrolling = world.agent.start_enrol(token, &[])?;
            let status = loop {
                world.revive(crash).await?;
                if let Some(status) = enrolling.ended()? {
                    break status;
                }
            };
            ensure!(status.success(), "{status}: {}", enrolling.log());
            ensure!(crash.reached, "enrolment never passes this point");
        }
    }
    world.agent.know_itself()
}

/// Waits until the crash has happened.
async fn until_reached(world: &mut World, crash: &mut Crash) -> Result<()> {
    let begun = clock::monotonic();
    while !crash.reached {
        ensure!(
            begun.elapsed() < PATIENCE,
            "{}: this scenario never passes this point",
            crash.point
        );
        world.revive(crash).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_crashes_is_made_good() {
    let one_day = ("CHASQUI_SERVER_DEVICES_CERTIFICATE_DAYS", "1");
    let mut world = World::start(Options {
        server_env: vec![(one_day.0.to_owned(), one_day.1.to_owned())],
        ..Options::default()
    })
    .await
    .unwrap();
    let certificate = world.agent.folder.join("state/device.crt");
    // By this clock two thirds of the certificate's day are over.
    let late = (20 * HOUR_MS).to_string();
    let late = ("CHASQUI_CLOCK_OFFSET_MS", late.as_str());
    for mut crash in crashes(Group::Renewal) {
        let before = std::fs::read(&certificate).unwrap();
        world.agent.process().unwrap().kill().unwrap();
        match crash.program {
            Program::Agent => {
                let fault = ("CHASQUI_FAULT", crash.point.as_str());
                world.agent.run(&[late, fault]).unwrap();
            }
            Program::Server => {
                world.arm(&mut crash).await.unwrap();
                world.agent.run(&[late]).unwrap();
            }
        }
        until_reached(&mut world, &mut crash).await.unwrap();
        wait_until("the new certificate", PATIENCE, async || {
            Ok((std::fs::read(&certificate)? != before).then_some(()))
        })
        .await
        .context(crash.point.clone())
        .unwrap();
        world.agent.process().unwrap().kill().unwrap();
        world.agent.run(&[]).unwrap();
        let ended = world.case(&mut over(&crash)).await.unwrap();
        assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", crash.point);
    }
    world.check_record().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_signed_documents_loses_none() {
    let mut world = World::start_alone(Options::default()).await.unwrap();
    for (number, mut crash) in (1..).zip(crashes(Group::Papers)) {
        let token = new_machine(&mut world, number).await.unwrap();
        world.agent.enrol(&token).unwrap();
        papers_through(&mut world, &mut crash)
            .await
            .with_context(|| crash.point.clone())
            .unwrap();
        let ended = world.case(&mut over(&crash)).await.unwrap();
        assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", crash.point);
        let held = status::read_status(&world.agent.folder.join("state")).unwrap();
        let cast = &world.fleet.cast;
        assert_eq!(
            (
                held.root_version,
                held.people_version,
                held.catalogue_version
            ),
            (
                cast.root.version,
                cast.people.version,
                cast.catalogue.version
            ),
            "{}",
            crash.point
        );
    }
    world.check_record().unwrap();
}

/// A new root for a machine that is about to crash; new documents of every other kind for a coordinator that is.
async fn papers_through(world: &mut World, crash: &mut Crash) -> Result<()> {
    match crash.program {
        Program::Agent => {
            let fault = [("CHASQUI_FAULT", crash.point.as_str())];
            world.agent.run(&fault)?;
            if crash.point.contains("root") {
                // The others come with the first connection; a root only when there is a newer one than brought by hand.
                world.agent.connected(&world.fleet).await?;
                world.fleet.cast.root.version += 1;
                let root = world.fleet.cast.root_envelope()?;
                world.fleet.publish(TrustDocumentKind::Root, root).await?;
            }
        }
        Program::Server => {
            world.arm(crash).await?;
            world.agent.run(&[])?;
            world.fleet.cast.people.version += 1;
            let people = world.fleet.cast.people_envelope()?;
            let request = PublishTrustDocumentRequest {
                request_id: id(),
                kind: TrustDocumentKind::People.into(),
                envelope: people.clone().into(),
            };
            answered!(
                world,
                crash,
                world
                    .fleet
                    .admin
                    .trust()
                    .publish_trust_document(request.clone())
            );
            let mut definition = world.fleet.cast.definitions[0].clone();
            definition.id = format!("prueba.nueva-{}", world.fleet.cast.people.version);
            let request = PublishDefinitionRequest {
                request_id: id(),
                definition: definition.encode()?.into(),
            };
            let published = answered!(
                world,
                crash,
                world
                    .fleet
                    .admin
                    .trust()
                    .publish_definition(request.clone())
            );
            let digest = published.into_inner().digest;
            let catalogue = &mut world.fleet.cast.catalogue;
            catalogue.version += 1;
            catalogue.definitions.push(CatalogueEntry {
                id: definition.id,
                version: definition.version,
                digest: Digest::from_slice(&digest).context("no digest")?,
            });
            let request = PublishTrustDocumentRequest {
                request_id: id(),
                kind: TrustDocumentKind::Catalogue.into(),
                envelope: world.fleet.cast.catalogue_envelope()?.into(),
            };
            answered!(
                world,
                crash,
                world
                    .fleet
                    .admin
                    .trust()
                    .publish_trust_document(request.clone())
            );
            let held = world
                .fleet
                .admin
                .trust()
                .get_trust_documents(GetTrustDocumentsRequest::default())
                .await?
                .into_inner();
            ensure!(held.people == people, "the people document was lost");
            let held = world
                .fleet
                .admin
                .trust()
                .list_definitions(ListDefinitionsRequest::default())
                .await?
                .into_inner()
                .definitions;
            let times = held.iter().filter(|held| held.digest == digest).count();
            ensure!(times == 1, "the definition stands {times} times");
        }
    }
    until_reached(world, crash).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cleaning_that_crashes_is_never_begun_again() {
    let mut world = World::start(Options::default()).await.unwrap();
    for (program, point) in points_of(Group::Cleaning) {
        for pass in [1, 2] {
            let mut crash = Crash::new(program, &format!("{point}@{pass}"));
            cleaning_through(&mut world, &mut crash, 3 - pass)
                .await
                .with_context(|| crash.point.clone())
                .unwrap();
        }
    }
    world.check_record().unwrap();
}

async fn cleaning_through(world: &mut World, crash: &mut Crash, left: usize) -> Result<()> {
    let temp = world.agent.temp();
    std::fs::remove_dir_all(&temp)?;
    std::fs::create_dir(&temp)?;
    for name in ["uno", "dos", "tres"] {
        world.agent.old_file(name, 1_000, 40)?;
    }
    let count = || -> Result<usize> { Ok(std::fs::read_dir(&temp)?.count()) };
    world.arm(crash).await?;
    let ticket = world.fleet.ticket(&world.agent.device_id).await?;
    let parameters = [("older_than_days", 30)];
    let device_id = world.agent.device_id.clone();
    let draft = world
        .fleet
        .draft("disk.clean.temp", &parameters, &device_id, &ticket)
        .await?;
    let (order_id, _) = world.hand_in(crash, &draft).await?;
    let (_, result) = world.result(crash, &order_id).await?;
    ensure!(crash.reached && crash.mid_action, "{crash:?}");
    ensure!(result.outcome == Outcome::Unknown, "{:?}", result.outcome);
    ensure!(count()? == left, "{} files instead of {left}", count()?);
    // Neither the coordinator's sweep nor another start begins it again.
    world.handed_over().await?;
    world.agent.process()?.kill()?;
    world.agent.run(&[])?;
    world.handed_over().await?;
    ensure!(count()? == left, "{} files instead of {left}", count()?);
    let shown = world.fleet.shown(&order_id).await?;
    ensure!(shown.state() == OrderState::Unknown, "{:?}", shown.state());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_ended_before_a_crash_stays_ended() {
    let mut world = World::start(Options::default()).await.unwrap();
    for mut crash in crashes(Group::EndOfOrders) {
        ended_through(&mut world, &mut crash)
            .await
            .with_context(|| crash.point.clone())
            .unwrap();
    }
    world.check_record().unwrap();
}

/// An approved order waits for a machine that is off, and ends: called off by a person, or by time.
async fn ended_through(world: &mut World, crash: &mut Crash) -> Result<()> {
    world.marker.clear()?;
    world.agent.process()?.kill()?;
    world.arm(crash).await?;
    let ticket = world.fleet.ticket(&world.agent.device_id).await?;
    let device_id = world.agent.device_id.clone();
    let mut draft = world
        .fleet
        .draft(chasqui_tests::marker::MARK, &[], &device_id, &ticket)
        .await?;
    let by_person = crash.point.contains("cancelled");
    if !by_person {
        draft.order.not_after_ms = clock::now_ms() + 2_000;
    }
    let (order_id, _) = world.hand_in(crash, &draft).await?;
    if by_person {
        let request = CancelOrderRequest {
            order_id: order_id.clone(),
            reason: "ya no hace falta".to_owned(),
        };
        answered!(
            world,
            crash,
            world
                .fleet
                .technician
                .orders()
                .cancel_order(request.clone())
        );
    }
    until_reached(world, crash).await?;
    let state = if by_person {
        OrderState::Cancelled
    } else {
        OrderState::Expired
    };
    world.fleet.until(&order_id, state).await?;
    world.agent.run(&[])?;
    world.handed_over().await?;
    // An order of now runs, so the one before would have run too.
    let ended = world.case(&mut over(crash)).await?;
    ensure!(ended.result.outcome == Outcome::Succeeded, "{ended:?}");
    let shown = world.fleet.shown(&order_id).await?;
    ensure!(
        shown.state() == state && shown.targets.iter().all(|target| target.result.is_empty()),
        "{shown:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inventory_that_a_crash_interrupts_comes_again() {
    for mut crash in crashes(Group::Inventory) {
        // Facts are stored once for all machines: each crash needs a coordinator that knows none.
        let mut world = World::start_alone(Options::default()).await.unwrap();
        let token = world.fleet.token(1).await.unwrap();
        world.agent.enrol(&token).unwrap();
        world.arm(&mut crash).await.unwrap();
        world.agent.run(&[]).unwrap();
        until_reached(&mut world, &mut crash).await.unwrap();
        let request = GetInventoryRequest {
            device_id: world.agent.device_id.clone(),
            kinds: Vec::new(),
            at_ms: None,
        };
        wait_until("the inventory", PATIENCE, async || {
            let answer = world.fleet.technician.inventory();
            let answer = { answer }.get_inventory(request.clone()).await?;
            Ok((answer.into_inner().sections.len() >= 8).then_some(()))
        })
        .await
        .context(crash.point.clone())
        .unwrap();
        let ended = world.case(&mut over(&crash)).await.unwrap();
        assert_eq!(ended.result.outcome, Outcome::Succeeded, "{}", crash.point);
        world.check_record().unwrap();
    }
}
