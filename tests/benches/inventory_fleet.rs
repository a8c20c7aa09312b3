//! What the inventories of a fleet cost the coordinator: first ones, unchanged check-ins, and machines where one per cent of
//! 2,000 programs changed, sent whole and as the difference that agents send; and what a machine takes on disk.
//! `cargo build --release -p chasqui-server`, then `cargo bench -p chasqui-tests --bench inventory_fleet -- 10000` with SQLite, or with `postgres` behind the number and
//! `CHASQUI_TEST_POSTGRES` set. Client and coordinator share the machine, so rates are lower bounds.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use chasqui_agent::section_base;
use chasqui_base::clock;
use chasqui_proto::v1;
use chasqui_tests::office::Office;
use chasqui_tests::postgres::Database;
use chasqui_tests::{Options, Simulated, TestFleet};
use prost::Message;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Machines that speak at once.
const AT_ONCE: usize = 32;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let count = match words.first() {
        Some(word) => word.parse().context("a number of machines")?,
        None => 1_000,
    };
    if !(1..=200_000).contains(&count) {
        bail!("1 to 200,000 machines");
    }
    let postgres = words.get(1).is_some_and(|word| word == "postgres");
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(count, postgres))
}

async fn measure(count: usize, postgres: bool) -> Result<()> {
    let database = match postgres {
        true => Some(Database::fresh()?.context("PostgreSQL is to be skipped")?),
        false => None,
    };
    let fleet = TestFleet::start_with(Options {
        store_url: database
            .as_ref()
            .map(|it| it.url.clone())
            .unwrap_or_default(),
        server_env: vec![("CHASQUI_SERVER_LOG_LEVEL".into(), "warn".into())],
        ..Options::default()
    })
    .await?;
    println!("engine: {}", if postgres { "PostgreSQL" } else { "SQLite" });
    let token = fleet.token(u32::try_from(count)?).await?;
    let devices = Arc::new(Simulated::enrol_many(&fleet, &token, count, "ofi").await?);
    let before = bytes(&fleet, database.as_ref())?;

    let first = round(&devices, 0, Form::Whole).await?;
    println!("first inventories: {first}");
    let after = bytes(&fleet, database.as_ref())?;
    println!(
        "on disk per machine: {:.1} KiB",
        after.saturating_sub(before) as f64 / 1024.0 / count as f64
    );
    println!("unchanged: {}", round(&devices, 0, Form::Whole).await?);
    println!(
        "1 % of 2,000 programs changed, sent whole: {}",
        round(&devices, 1, Form::Whole).await?
    );
    let changed = bytes(&fleet, database.as_ref())?;
    println!(
        "each such change on disk: {:.1} KiB",
        changed.saturating_sub(after) as f64 / 1024.0 / count as f64
    );
    println!(
        "1 % of 2,000 programs changed, sent as difference: {}",
        round(&devices, 2, Form::Difference).await?
    );
    Ok(())
}

/// How a changed list of programs travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Whole,
    /// To the list of the stage before, as an agent does that still has it.
    Difference,
}

/// The list as the difference to the one that the coordinator named, as an agent makes it.
fn difference(
    old: &v1::Section,
    new: &v1::Section,
    bases: &[v1::SectionBase],
) -> Result<v1::SectionDifference> {
    let named = bases.iter().any(|base| base.digest == old.digest);
    if !named {
        bail!("the coordinator named another list than the machine's");
    }
    section_base::difference(&old.facts, &old.digest, new).context("the difference is no smaller")
}

/// The list of programs among sections.
fn software(sections: &[v1::Section]) -> Option<&v1::Section> {
    (sections.iter()).find(|section| section.kind() == v1::SectionKind::Software)
}

/// What one round cost.
struct Round {
    machines: usize,
    sections: usize,
    sent_bytes: usize,
    /// Time in calls, as if the machines had been connected all along.
    busy: Duration,
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let machines = self.machines as f64;
        write!(
            f,
            "{:.0} machines/s; a machine sent {:.1} sections, {:.1} KiB",
            machines / self.busy.as_secs_f64(),
            self.sections as f64 / machines,
            self.sent_bytes as f64 / 1024.0 / machines
        )
    }
}

/// All machines observe and report once, some at a time. Connecting is not counted: agents stay connected.
async fn round(devices: &Arc<Vec<Simulated>>, stage: u64, form: Form) -> Result<Round> {
    let mut round = Round {
        machines: devices.len(),
        sections: 0,
        sent_bytes: 0,
        busy: Duration::ZERO,
    };
    for (lot, chunk) in devices.chunks(500).enumerate() {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut connecting = JoinSet::new();
        for (at, device) in chunk.iter().cloned().enumerate() {
            let places = places.clone();
            connecting.spawn(async move {
                let _place = places.acquire_owned().await?;
                let machine = Office {
                    number: (lot * 500 + at) as u64,
                    stage,
                };
                // A call that is refused, so that the connection stands before the clock runs.
                let mut link = device.link().await?;
                let _ = link.fetch_orders(v1::FetchOrdersRequest {}).await;
                let before = match form {
                    Form::Whole => Vec::new(),
                    Form::Difference => Office {
                        stage: stage.saturating_sub(1),
                        ..machine
                    }
                    .sections(),
                };
                Ok::<_, anyhow::Error>((link, machine.sections(), before))
            });
        }
        let mut ready = Vec::with_capacity(chunk.len());
        while let Some(one) = connecting.join_next().await {
            ready.push(one??);
        }
        let begun: Instant = clock::monotonic();
        let mut tasks = JoinSet::new();
        for (mut link, sections, before) in ready {
            let places = places.clone();
            tasks.spawn(async move {
                let _place = places.acquire_owned().await?;
                let offer = Office::offer(&sections);
                let mut bytes = offer.encoded_len();
                let answer = link.offer_inventory(offer).await?.into_inner();
                let mut sections: Vec<_> = sections
                    .into_iter()
                    .filter(|section| answer.wanted.contains(&section.kind))
                    .collect();
                let count = sections.len();
                let mut differences = Vec::new();
                if let (Some(old), Some(new)) = (software(&before), software(&sections)) {
                    differences.push(difference(old, new, &answer.bases)?);
                    sections.retain(|section| section.kind() != v1::SectionKind::Software);
                }
                if count > 0 {
                    let request = v1::ReportInventoryRequest {
                        request_id: clock::new_id().to_string(),
                        sections,
                        differences,
                    };
                    bytes += request.encoded_len();
                    link.report_inventory(request).await?;
                }
                Ok::<_, anyhow::Error>((count, bytes))
            });
        }
        while let Some(sent) = tasks.join_next().await {
            let (sections, bytes) = sent??;
            round.sections += sections;
            round.sent_bytes += bytes;
        }
        round.busy += begun.elapsed();
    }
    Ok(round)
}

/// Size of the database.
fn bytes(fleet: &TestFleet, database: Option<&Database>) -> Result<u64> {
    match database {
        Some(database) => database.bytes(),
        None => {
            let file = fleet.server.database();
            let log = file.with_extension("db-wal");
            let size =
                |path: &std::path::Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
            Ok(size(&file) + size(&log))
        }
    }
}
