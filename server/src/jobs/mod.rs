//! What happens by time: the record is sealed, orders and approvals expire, old answers are forgotten. Each job takes a
//! lease, so that of several coordinators one does the work; that a thing happens once comes from the transaction it
//! happens in, never from the lease.

mod expire;
mod match_devices;
mod prune;
mod seal;
mod search;
pub mod sweep;

use std::future::Future;
use std::time::Duration;

use chasqui_base::clock::new_id;
use chasqui_store::lease;

use crate::context::Context;
use crate::error::Failure;

/// Seals what waits now, for whoever needs a proof of what just happened.
pub(crate) use seal::run as seal_now;

/// How often the record is sealed.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// How often is looked for what is over.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// How often is looked whether devices that reported are machines known before.
const MATCH_EVERY: Duration = Duration::from_secs(5);
/// How often is looked for devices whose search row is missing or of an older make.
const SEARCH_EVERY: Duration = Duration::from_secs(10);
/// How often old answers are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(3_600);

/// How often inventory that nothing refers to is swept.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// Starts every job. They end when the coordinator stops, after what they hold.
pub fn start(ctx: &Context) {
    spawn(ctx, "seal", SEAL_EVERY, seal::run);
    spawn(ctx, "expire", EXPIRE_EVERY, expire::run);
    spawn(ctx, "match_devices", MATCH_EVERY, match_devices::run);
    spawn(ctx, "search", SEARCH_EVERY, search::run);
    spawn(ctx, "prune", PRUNE_EVERY, prune::run);
    spawn(ctx, "sweep", SWEEP_EVERY, sweep::run);
}

/// One round of every job, without a lease, for tests and for the last seal before stopping.
///
/// # Errors
/// The first job's that fails.
pub async fn once(ctx: &Context) -> Result<(), Failure> {
    expire::run(ctx.clone()).await?;
    match_devices::run(ctx.clone()).await?;
    search::run(ctx.clone()).await?;
    prune::run(ctx.clone()).await?;
    sweep::run(ctx.clone()).await?;
    seal::run(ctx.clone()).await
}

fn spawn<F, R>(ctx: &Context, name: &'static str, every: Duration, run: F)
where
    F: Fn(Context) -> R + Send + 'static,
    R: Future<Output = Result<(), Failure>> + Send,
{
    let ctx = ctx.clone();
    let tasks = ctx.tasks.clone();
    // Who holds the lease: this process, this start.
    let holder = new_id().to_string();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = ctx.stop.cancelled() => break,
                () = tokio::time::sleep(every) => {}
            }
            match take(&ctx, name, &holder, every).await {
                Ok(true) => {
                    if let Err(failure) = run(ctx.clone()).await {
                        tracing::warn!(job = name, cause = %failure.status(), "a job failed; it runs again");
                    }
                }
                Ok(false) => {}
                Err(failure) => tracing::warn!(job = name, cause = %failure.status(), "no lease; it is tried again"),
            }
        }
        let gone = give_back(&ctx, name, &holder).await;
        if let Err(failure) = gone {
            tracing::debug!(job = name, cause = %failure.status(), "the lease runs out by itself");
        }
    });
}

async fn take(
    ctx: &Context,
    name: &'static str,
    holder: &str,
    every: Duration,
) -> Result<bool, Failure> {
    let holder = holder.to_owned();
    // Three rounds: a coordinator that died is replaced soon, a slow round does not lose its lease.
    let length_ms = i64::try_from(every.as_millis())
        .unwrap_or(i64::MAX)
        .saturating_mul(3);
    ctx.store
        .write(move |tx| Ok(lease::take(tx, name, &holder, length_ms)?))
        .await
}

async fn give_back(ctx: &Context, name: &'static str, holder: &str) -> Result<(), Failure> {
    let holder = holder.to_owned();
    ctx.store
        .write(move |tx| Ok(lease::give_back(tx, name, &holder)?))
        .await
}
