//! Waiting with a limit for what may never answer: a disk that hangs, a file system of a server that is gone, a command. The
//! work runs in a thread of its own; one that does not answer is left behind, for the collecting process is short-lived.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Unreadable;

/// Work that was begun.
#[derive(Debug)]
pub struct Begun<T> {
    what: String,
    answer: Receiver<T>,
}

/// Begins work in a thread of its own. `what` names it in the error.
pub fn begin<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Begun<T> {
    let (send, answer) = channel();
    let thread = thread::Builder::new().name(what.chars().take(15).collect());
    // A thread that cannot be had drops its sender, which reads as a failure below.
    let _ = thread.spawn(move || {
        // Nobody waits any more when the limit has passed.
        let _ = send.send(work());
    });
    Begun {
        what: what.to_owned(),
        answer,
    }
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

/// Does work with a limit.
pub fn within<T: Send + 'static>(
    what: &str,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unreadable> {
    begin(what, work).end(chasqui_base::clock::monotonic(), limit)
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
    fn a_reader_that_fails_is_no_answer() {
        let failed = within("broken", Duration::from_secs(60), || {
            if std::hint::black_box(true) {
                std::panic::resume_unwind(Box::new("broken"));
            }
        });
        assert_eq!(failed.unwrap_err().reason, UnreadReason::Io);
    }
}
