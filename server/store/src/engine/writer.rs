//! The one writer of a SQLite store: a thread that takes every waiting closure up to a bound, runs each in its own
//! savepoint of one transaction, commits once, and only then answers. So a hundred callers share one fsync, and one
//! caller's error undoes that caller's changes alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use chasqui_base::fault_point;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::sqlite::{control, transaction_lost};
use crate::StoreError;
use crate::software::Bases;
use crate::tx::{Conn, Tx};

/// Closures that share one commit, at most.
const GROUP: usize = 256;

/// Closures that wait, at most; callers beyond that wait for a place without blocking a thread.
const QUEUE: usize = 1_024;

/// What the writer did since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) closures: AtomicU64,
    pub(crate) retries: AtomicU64,
}

/// One waiting closure with the way back to its caller.
pub(crate) trait Job: Send {
    /// Runs the closure and keeps its answer. True when its changes should stay.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Replaces the kept answer by an error.
    fn fail(&mut self, error: &StoreError);
    /// Hands the kept answer to the caller.
    fn answer(self: Box<Self>);
}

pub(crate) struct Task<F, T, E> {
    work: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Task<F, T, E> {
    pub(crate) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let task = Self {
            work,
            outcome: None,
            reply,
        };
        (task, answer)
    }
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: Fn(&mut Tx) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx) -> bool {
        let work = &self.work;
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(tx)))
            .unwrap_or_else(|panic| Err(E::from(super::panic_text(panic.as_ref()))));
        // A closure that swallowed an engine's error must not commit half of its work.
        let outcome = match (outcome, &tx.failed) {
            (Ok(_), Some(failure)) => Err(E::from(StoreError::Aborted(failure.error.to_string()))),
            (outcome, _) => outcome,
        };
        let stays = outcome.is_ok();
        self.outcome = Some(outcome);
        stays
    }

    fn fail(&mut self, error: &StoreError) {
        self.outcome = Some(Err(E::from(error.clone())));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller that went away wants no answer; what it asked for is done all the same.
            let _ = self.reply.send(outcome);
        }
    }
}

/// The writer's thread and the way to it.
pub(crate) struct Writer {
    sender: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    pub(crate) counters: Arc<Counters>,
}

impl Writer {
    pub(crate) fn start(conn: Connection, bases: &Arc<Bases>) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let theirs = Arc::clone(&counters);
        let bases = Arc::clone(bases);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                write_until_closed(Tx::new(Conn::Sqlite(conn), &bases), receiver, &theirs)
            })
            .map_err(|error| {
                StoreError::Config(format!("cannot start the writer's thread: {error}"))
            })?;
        Ok(Self {
            sender: Some(sender),
            thread: Some(thread),
            counters,
        })
    }

    pub(crate) fn sender(&self) -> Result<mpsc::Sender<Box<dyn Job>>, StoreError> {
        self.sender.clone().ok_or(StoreError::Closed)
    }
}

impl Drop for Writer {
    /// Whoever was answered is durable already; whoever waits is still served before the file is let go.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer ended by panic");
        }
    }
}

fn write_until_closed(mut tx: Tx, mut receiver: mpsc::Receiver<Box<dyn Job>>, counters: &Counters) {
    while let Some(first) = receiver.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = receiver.try_recv()
        {
            group.push(next);
        }
        let served = u64::try_from(group.len()).unwrap_or(u64::MAX);
        counters.closures.fetch_add(served, Ordering::Relaxed);
        match run_group(&mut tx, &mut group, counters) {
            Ok(()) => group.into_iter().for_each(|job| job.answer()),
            Err(error) if group.len() == 1 => fail_all(group, &error),
            // The disk may have room for some of them: each gets its own transaction and its own verdict.
            Err(_) => {
                for job in group {
                    let mut alone = vec![job];
                    match run_group(&mut tx, &mut alone, counters) {
                        Ok(()) => alone.into_iter().for_each(|job| job.answer()),
                        Err(error) => fail_all(alone, &error),
                    }
                }
            }
        }
    }
}

fn fail_all(group: Vec<Box<dyn Job>>, error: &StoreError) {
    for mut job in group {
        job.fail(error);
        job.answer();
    }
}

/// Runs the closures in one transaction. `Err`: nothing of the group is stored.
fn run_group(
    tx: &mut Tx,
    group: &mut [Box<dyn Job>],
    counters: &Counters,
) -> Result<(), StoreError> {
    control(tx, "BEGIN IMMEDIATE")?;
    let done = run_savepoints(tx, group).and_then(|changed| {
        if !changed {
            return Ok(());
        }
        fault_point!("store.commit.before");
        control(tx, "COMMIT")?;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        fault_point!("store.commit.after");
        Ok(())
    });
    if !transaction_lost(tx)
        && let Err(error) = control(tx, "ROLLBACK")
    {
        tracing::error!(%error, "the store's writer could not roll back");
    }
    done
}

/// True when at least one closure's changes should stay.
fn run_savepoints(tx: &mut Tx, group: &mut [Box<dyn Job>]) -> Result<bool, StoreError> {
    let mut changed = false;
    for job in group {
        control(tx, "SAVEPOINT closure")?;
        tx.failed = None;
        let stays = job.run(tx);
        let lost = transaction_lost(tx);
        if let Some(failure) = tx.failed.take()
            && lost
        {
            return Err(failure.error);
        }
        if lost {
            return Err(StoreError::Unavailable(
                "the engine ended the transaction".to_owned(),
            ));
        }
        if stays {
            changed = true;
        } else {
            control(tx, "ROLLBACK TO closure")?;
        }
        control(tx, "RELEASE closure")?;
    }
    Ok(changed)
}
