//! The command `run`: opens everything, recovers, serves until a signal, and ends in order: no new action, the running one
//! finished or journaled, results handed over, the link closed.

use std::time::Duration;

use chasqui_base::text::Text;
use tokio::signal::unix::{SignalKind, signal};

use crate::agent::Agent;
use crate::config::Config;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::link;

/// How long results may take to reach the coordinator at the end; after that the outbox keeps them.
const HAND_OVER: Duration = Duration::from_secs(3);
/// SIGXFSZ: a file grew over the limit of the process. The write then fails with EFBIG, which is handled like a full disk.
const SIGXFSZ: i32 = 25;

/// Serves until SIGTERM or SIGINT.
pub async fn run(config: Config) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(
            "INTERNAL",
            Text::new(
                format!("no se pueden recibir señales: {error}"),
                format!("signals cannot be received: {error}"),
            ),
        )
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let _file_too_large = signal(SignalKind::from_raw(SIGXFSZ)).map_err(failed)?;

    let (agent, deliveries) = Agent::open(config)?;
    let (engine, queued) = Engine::new(agent.clone());
    engine.recover();
    let judging = tokio::spawn(engine.clone().judge(deliveries));
    let working = tokio::spawn(engine.clone().work(queued));
    let linking = tokio::spawn(link::run(agent.clone(), engine.clone()));
    let watchdog = tokio::spawn(watchdog());
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        device_id = agent.identity().device_id,
        "agent runs"
    );

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("agent stops");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    agent.stopping.cancel();
    let _ = judging.await;
    // A running action ends by itself or is ended after its grace; either way its result is in the journal.
    let _ = working.await;
    let _ = tokio::time::timeout(HAND_OVER, handed_over(&agent)).await;
    agent.closing.cancel();
    let _ = linking.await;
    watchdog.abort();
    Ok(())
}

async fn handed_over(agent: &Agent) {
    while crate::lock(&agent.client).is_some() && agent.board.status().results_waiting > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Tells systemd that the runtime still turns, if it wants to know.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        tokio::time::sleep(limit / 2).await;
    }
}
