//! What a running agent costs its workstation: a measurement, not a test. Build the agent as people install it, name it, and
//! wait ten minutes:
//!
//! ```sh
//! cargo build --profile lean -p chasqui-agent --target x86_64-unknown-linux-musl
//! CHASQUI_PROGRAM_AGENT=target/x86_64-unknown-linux-musl/lean/chasqui-agent \
//!     cargo nextest run -p chasqui-tests --run-ignored only -E 'test(measure_idle_agent)' --no-capture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chasqui_tests::{Agent, TestFleet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Inventories a day when the coordinator asks for the default of every four hours.
const INVENTORIES_A_DAY: f64 = 6.0;

/// Passes bytes on and counts them, both ways.
async fn counted(coordinator: SocketAddr) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU64::new(0));
    let counting = count.clone();
    tokio::spawn(async move {
        while let Ok((agent, _)) = listener.accept().await {
            let Ok(other) = TcpStream::connect(coordinator).await else {
                continue;
            };
            let (mut from_agent, mut to_agent) = agent.into_split();
            let (mut from_other, mut to_other) = other.into_split();
            let (up, down) = (counting.clone(), counting.clone());
            tokio::spawn(async move { pass(&mut from_agent, &mut to_other, &up).await });
            tokio::spawn(async move { pass(&mut from_other, &mut to_agent, &down).await });
        }
    });
    (port, count)
}

async fn pass(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    count: &AtomicU64,
) {
    let mut buffer = vec![0_u8; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(read as u64, Ordering::Relaxed);
        let got = buffer.get(..read).unwrap();
        if to.write_all(got).await.is_err() {
            break;
        }
    }
    // The other side learns that there is no more.
    let _ = to.shutdown().await;
}

/// A line of `/proc/PID/status` in KiB.
fn kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time of the threads that the process has now, its children apart; of the whole process the kernel tells only
/// hundredths of a second, more than ten idle minutes take. A thread that ended in between is not counted.
fn busy(pid: u32) -> Duration {
    let mut sum = 0_u64;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let path = task.unwrap().path().join("schedstat");
        let text = fs::read_to_string(path).unwrap();
        sum += text.split(' ').next().unwrap().parse::<u64>().unwrap();
    }
    Duration::from_nanos(sum)
}

async fn settled(count: &AtomicU64) -> u64 {
    let mut before = u64::MAX;
    loop {
        let now = count.load(Ordering::Relaxed);
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of ten minutes"]
async fn measure_idle_agent() {
    let minutes: u64 =
        std::env::var("CHASQUI_MEASURE_MINUTES").map_or(10, |it| it.parse().unwrap());
    let fleet = TestFleet::start().await.unwrap();
    let coordinator = fleet
        .server
        .agents_url
        .trim_start_matches("https://")
        .parse()
        .unwrap();
    let (port, count) = counted(coordinator).await;
    let mut agent = Agent::configure(&fleet, "idle").unwrap();
    let file = agent.folder.join("agent.toml");
    let direct = fs::read_to_string(&file).unwrap();
    let through = direct.replace(
        &fleet.server.agents_url,
        &format!("https://127.0.0.1:{port}"),
    );
    assert_ne!(direct, through);
    fs::write(&file, &through).unwrap();

    agent.enrol(&fleet.token(1).await.unwrap()).unwrap();
    agent.run(&[]).unwrap();
    agent.connected(&fleet).await.unwrap();
    let first = settled(&count).await;
    println!(
        "enrolled, connected, one full inventory: {:.1} KiB on the wire",
        first as f64 / 1024.0
    );
    let pid = agent.process().unwrap().pid();
    let (begun, spent) = (tokio::time::Instant::now(), busy(pid));
    tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
    let spent = busy(pid).checked_sub(spent).unwrap();
    let idle = count.load(Ordering::Relaxed) - first;
    let per_second = idle as f64 / begun.elapsed().as_secs_f64();
    println!(
        "after {minutes} idle minutes: resident {} KiB (its own {}, of files {}), processor {:.4} %, keep-alive {:.0} bytes a day",
        kib(pid, "VmRSS:"),
        kib(pid, "RssAnon:"),
        kib(pid, "RssFile:"),
        100.0 * spent.as_secs_f64() / begun.elapsed().as_secs_f64(),
        per_second * 86_400.0
    );

    // The same machine again and again: what remains above keep-alive is what its inventories take.
    agent.process().unwrap().stop().unwrap();
    fs::write(&file, format!("{through}inventory_every_ms = 10000\n")).unwrap();
    agent.run(&[]).unwrap();
    agent.connected(&fleet).await.unwrap();
    tokio::time::sleep(Duration::from_secs(25)).await;
    let before = count.load(Ordering::Relaxed);
    let seconds = 100;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let sent = count.load(Ordering::Relaxed) - before;
    let each = (sent as f64 - per_second * seconds as f64) / (seconds as f64 / 10.0);
    println!(
        "an inventory of an unchanged machine: about {each:.0} bytes both ways, {:.1} KiB a day at one every four hours",
        each * INVENTORIES_A_DAY / 1024.0
    );
    println!("log of the agent:\n{}", agent.process().unwrap().log());
}
