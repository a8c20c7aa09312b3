//! A machine whose clock is a day off: it says so, the coordinator shows it, and orders that are valid now are refused with
//! the reason and the difference, neither run nor silently lost. With the clock mended they run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chasqui_base::clock::{DAY_MS, MINUTE_MS};
use chasqui_proto::v1::OrderState;
use chasqui_tests::Options;
use chasqui_tests::case::{Crash, World};
use chasqui_tests::marker::MARK;
use chasqui_tests::programs::wait_until;
use chasqui_trust::result::Outcome;

const PATIENCE: Duration = Duration::from_secs(60);

/// A day, give or take what a call takes.
fn is_about(offset_ms: i64, expected_ms: i64) -> bool {
    (offset_ms - expected_ms).abs() < MINUTE_MS
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_one_day_ahead() {
    clock_off_by(DAY_MS, "ORDER_EXPIRED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_one_day_behind() {
    clock_off_by(-DAY_MS, "ORDER_NOT_YET_VALID").await;
}

async fn clock_off_by(offset_ms: i64, rule: &str) {
    let mut world = World::start_alone(Options::default()).await.unwrap();
    let offset = offset_ms.to_string();
    let wrong = [("CHASQUI_CLOCK_OFFSET_MS", offset.as_str())];
    let token = world.fleet.token(1).await.unwrap();
    let mut enrolling = world.agent.start_enrol(&token, &wrong).unwrap();
    let status = enrolling.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", enrolling.log());
    world.agent.know_itself().unwrap();
    world.agent.run(&wrong).unwrap();
    world.agent.connected(&world.fleet).await.unwrap();

    let device_id = world.agent.device_id.clone();
    measured_by_coordinator(&world, offset_ms).await;
    let said = said(&world).await;
    assert!(said["clock_wrong"].as_bool().unwrap(), "{said}");
    let measured = said["clock_offset_ms"].as_i64().unwrap();
    assert!(is_about(measured, offset_ms), "the agent: {measured}");
    let status = world.agent.command(&["status"], &[]).unwrap();
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(text.contains("the clock is wrong"), "{text}");

    let mut nothing = Crash::none();
    let ticket = world.fleet.ticket(&device_id).await.unwrap();
    let (order_id, _) = world.order(&mut nothing, MARK, &ticket).await.unwrap();
    let (target, result) = world.result(&mut nothing, &order_id).await.unwrap();
    assert_eq!(target.state(), OrderState::Refused);
    assert_eq!(target.refusal_code, rule);
    assert_eq!(result.outcome, Outcome::Refused);
    assert_eq!(result.started_at_ms, None);
    let measured = result.clock_offset_ms.unwrap();
    assert!(is_about(measured, offset_ms), "the result: {measured}");
    let refusal = target.refusal.unwrap();
    assert!(refusal.en.contains("clock"), "{refusal:?}");
    assert!(refusal.es.contains("reloj"), "{refusal:?}");
    assert_eq!(world.marker.lines().unwrap(), [0, 0]);

    // Mended, the same machine does the same kind of order, and nothing of the refused one.
    world.agent.process().unwrap().kill().unwrap();
    world.agent.run(&[]).unwrap();
    let ended = world.case(&mut nothing).await.unwrap();
    assert_eq!(ended.result.outcome, Outcome::Succeeded);
    let measured = ended.result.clock_offset_ms.unwrap();
    assert!(is_about(measured, 0), "the result: {measured}");
    measured_by_coordinator(&world, 0).await;
    let shown = world.fleet.shown(&order_id).await.unwrap();
    assert_eq!(shown.state(), OrderState::Refused);
    world.check_record().unwrap();
}

/// Waits until the coordinator shows about this difference.
async fn measured_by_coordinator(world: &World, expected_ms: i64) {
    let mut last = None;
    let found = wait_until("the device's clock", PATIENCE, async || {
        let device = world.fleet.device(&world.agent.device_id).await?;
        last = device.clock_offset_ms;
        Ok(last.filter(|offset_ms| is_about(*offset_ms, expected_ms)))
    })
    .await;
    found.unwrap_or_else(|error| panic!("{error}: {last:?}"));
}

/// `chasqui-agent status --json`, once it is connected.
async fn said(world: &World) -> serde_json::Value {
    wait_until("the agent's status", PATIENCE, async || {
        let status = world.agent.command(&["status", "--json"], &[])?;
        let status: serde_json::Value = serde_json::from_slice(&status.stdout)?;
        Ok((status["link"] == "connected").then_some(status))
    })
    .await
    .unwrap()
}
