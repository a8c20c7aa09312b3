//! Waiting with a limit for what may never answer: a disk that hangs, a file system of a server that is gone, a command. The
//! work runs in a thread of its own; one that does not answer is left behind, for the collecting process is short-lived.

use std::cell::Cell;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Unreadable;

/// Work that was begun.
#[derive(Debug)]
pub struct Begun<T> {
    what: String,
    answer: Receiver<T>,
}

/// A thread that does one piece of work after another, for as long as each answers. One that does not is left behind with it.
#[derive(Debug)]
pub struct Worker(Sender<Work>);

type Work = Box<dyn FnOnce() + Send>;

impl Worker {
    /// Starts the thread.
    pub fn start(name: &str) -> Self {
        let (give, work) = channel::<Work>();
        let thread = thread::Builder::new().name(name.chars().take(15).collect());
        // A thread that cannot be had drops its receiver, which reads as a failure below.
        let _ = thread.spawn(move || work.iter().for_each(|work| work()));
        Self(give)
    }

    /// Begins a piece of work. `what` names it in the error.
    pub fn begin<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Begun<T> {
        let (send, answer) = channel();
        // Work that nobody took drops its sender, which reads as a failure too.
        let _ = self.0.send(Box::new(move || {
            // Nobody waits any more when the limit has passed.
            let _ = send.send(work());
        }));
        Begun {
            what: what.to_owned(),
            answer,
        }
    }
}

/// Begins work in a thread of its own. `what` names it in the error.
pub fn begin<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
    Worker::start(what).begin(what, work)
}

impl<T> Begun<T> {
    /// The answer if it comes within `wait`, else the work that still goes on.
    pub fn soon(self, wait: Duration) -> Result<Result<T, Unreadable>, Self> {
        match self.answer.recv_timeout(wait) {
            Ok(answer) => Ok(Ok(answer)),
            Err(RecvTimeoutError::Timeout) => Err(self),
            Err(RecvTimeoutError::Disconnected) => Ok(Err(Unreadable::io(format!(
                "{}: the reader failed; please report it",
                self.what
            )))),
        }
    }

    /// The answer, if it comes before `limit` has passed since `since`.
    pub fn end(self, since: Instant, limit: Duration) -> Result<T, Unreadable> {
        let left = limit.saturating_sub(since.elapsed());
        match self.soon(left) {
            Ok(answer) => answer,
            Err(hanging) => Err(Unreadable::time_limit(format!(
                "{}: no answer in {} s",
                hanging.what,
                limit.as_secs_f32()
            ))),
        }
    }
}

thread_local! {
    /// The worker that answered last, kept for the next work of this thread: to end a thread makes the kernel interrupt every
    /// processor that runs another of the process, which took a seventh of a whole inventory.
    static IDLE: Cell<Option<Worker>> = const { Cell::new(None) };
}

/// Does work with a limit.
pub fn within<T: Send + 'static>(
    what: &str,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unreadable> {
    let since = chasqui_base::clock::monotonic();
    let worker = IDLE.take().unwrap_or_else(|| Worker::start("with a limit"));
    let answer = worker.begin(what, work).end(since, limit);
    if answer.is_ok() {
        IDLE.set(Some(worker));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_proto::v1::UnreadReason;

    #[test]
    fn what_answers_is_taken_and_what_hangs_is_left_behind() {
        assert_eq!(within("quick", Duration::from_secs(60), || 7), Ok(7));
        let (hold, held) = channel::<()>();
        let slow = within("slow disk", Duration::from_millis(20), move || {
            held.recv().is_ok()
        });
        assert_eq!(slow.unwrap_err().reason, UnreadReason::TimeLimit);
        drop(hold);
    }

    #[test]
    fn a_worker_goes_on_after_work_that_answered() {
        let worker = Worker::start("worker");
        let own = || thread::current().id();
        let minute = Duration::from_secs(60);
        let first = worker.begin("one", own).soon(minute).unwrap();
        assert_eq!(worker.begin("two", own).soon(minute).unwrap(), first);
        // One that failed is no worker any more.
        let broken = worker.begin("broken", || {
            if std::hint::black_box(true) {
                std::panic::resume_unwind(Box::new("broken"));
            }
        });
        assert!(broken.soon(minute).unwrap().is_err());
        assert!(worker.begin("three", own).soon(minute).unwrap().is_err());
    }

    #[test]
    fn work_with_a_limit_takes_the_thread_that_answered_and_never_one_that_hangs() {
        let (minute, moment) = (Duration::from_secs(60), Duration::from_millis(20));
        let own = || thread::current().id();
        let first = within("one", minute, own).unwrap();
        assert_eq!(within("two", minute, own), Ok(first));
        let (hold, held) = channel::<()>();
        within("hangs", moment, move || held.recv().is_ok()).unwrap_err();
        let another = within("three", minute, own).unwrap();
        assert_ne!(another, first);
        assert_eq!(within("four", minute, own), Ok(another));
        drop(hold);
    }

    #[test]
    fn a_reader_that_fails_is_no_answer() {
        let failed = within("broken", Duration::from_secs(60), || {
            if std::hint::black_box(true) {
                std::panic::resume_unwind(Box::new("broken"));
            }
        });
        assert_eq!(failed.unwrap_err().reason, UnreadReason::Io);
    }
}
