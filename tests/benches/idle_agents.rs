//! What an idle machine costs the coordinator. `cargo build --release -p chasqui-server`, then
//! `cargo bench -p chasqui-tests --bench idle_agents -- 1000` with 1 to 19,000 machines (each end of a connection is a file,
//! and 20,000 are a usual limit of one process). Client and coordinator share the machine, so rates are lower bounds.
#![allow(clippy::print_stdout)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chasqui_base::clock;
use chasqui_proto::v1::TrustDocumentKind;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_tests::programs::{self, raise_open_files};
use chasqui_tests::simulated::Stream;
use chasqui_tests::{Options, Simulated, TestFleet};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Handshakes under way at once.
const AT_ONCE: usize = 64;
/// Files a process needs besides its connections.
const OTHER_FILES: u64 = 200;

fn main() -> Result<()> {
    // `cargo bench` adds its own `--bench`.
    let count = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or(Ok(1_000), |argument| {
            argument.parse().context("a number of machines")
        })?;
    let files = raise_open_files()?;
    if count == 0 || count > 50_000 || u64::try_from(count)? + OTHER_FILES > files {
        bail!(
            "1 to {} machines can be simulated here: a process may open {files} files",
            files.saturating_sub(OTHER_FILES).min(50_000)
        );
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(count))
}

async fn measure(count: usize) -> Result<()> {
    let mut fleet = TestFleet::start_with(Options {
        server_env: vec![("CHASQUI_SERVER_LOG_LEVEL".into(), "warn".into())],
        ..Options::default()
    })
    .await?;
    println!(
        "coordinator: {}",
        programs::path("chasqui-server")?.display()
    );
    let pid = fleet.server.process()?.pid();
    let alone = memory(pid)?;

    let token = fleet.token(u32::try_from(count)?).await?;
    let begun = clock::monotonic();
    let devices = Simulated::enrol_many(&fleet, &token, count, "pc").await?;
    rate("enrolled", count, begun);

    let before = memory(pid)?;
    let begun = clock::monotonic();
    let streams = connect(devices).await?;
    rate(
        "connected (TLS 1.3 both sides, Hello, Welcome)",
        count,
        begun,
    );
    // The allocator gives back what the handshakes needed; the last answers are still on their way out.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = memory(pid)?;

    let mut listening = JoinSet::new();
    for stream in streams {
        listening.spawn(heard_of_trust(stream));
    }
    fleet.cast.people.version += 1;
    let envelope = fleet.cast.people_envelope()?;
    let begun = clock::monotonic();
    fleet.publish(TrustDocumentKind::People, envelope).await?;
    let mut kept = Vec::with_capacity(count);
    while let Some(stream) = listening.join_next().await {
        kept.push(stream??);
    }
    rate("one message pushed to all", count, begun);

    let per_agent = |before: u64, after: u64| after.saturating_sub(before) as f64 / count as f64;
    println!(
        "memory of the coordinator: {:.1} MiB alone, {:.1} MiB with {count} enrolled, {:.1} MiB with {count} connected (PSS)",
        alone.pss as f64 / 1024.0,
        before.pss as f64 / 1024.0,
        after.pss as f64 / 1024.0
    );
    println!(
        "per idle machine: {:.1} KiB (PSS), {:.1} KiB (RSS)",
        per_agent(before.pss, after.pss),
        per_agent(before.rss, after.rss)
    );
    if fleet.server.process()?.ended()?.is_some() {
        bail!("the coordinator ended");
    }
    Ok(())
}

async fn connect(devices: Vec<Simulated>) -> Result<Vec<Stream>> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for device in devices {
        let places = places.clone();
        tasks.spawn(async move {
            let _place = places.acquire_owned().await?;
            device.connect("boot-1").await
        });
    }
    let mut streams = Vec::new();
    while let Some(stream) = tasks.join_next().await {
        streams.push(stream??);
    }
    Ok(streams)
}

/// Waits until this machine hears of the new trust document; the stream stays open.
async fn heard_of_trust(mut stream: Stream) -> Result<Stream> {
    loop {
        match stream.next_alive().await? {
            Some(Heard::TrustChanged(_)) => return Ok(stream),
            Some(_) => {}
            None => bail!("a stream ended"),
        }
    }
}

fn rate(what: &str, count: usize, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{count} {what}: {seconds:.2} s, {:.0}/s",
        count as f64 / seconds
    );
}

/// Memory of a process, KiB.
#[derive(Clone, Copy)]
struct Memory {
    /// Shared pages counted by their share.
    pss: u64,
    /// Resident.
    rss: u64,
}

fn memory(pid: u32) -> Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim_start_matches(':').trim().split(' ').next())
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("no {name} in smaps_rollup"))
    };
    Ok(Memory {
        pss: field("Pss")?,
        rss: field("Rss")?,
    })
}
