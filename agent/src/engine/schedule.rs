//! Which orders may work at once. Two that lock the same thing never do; one that restarts the machine works alone; at
//! most [`MAX_AT_ONCE`] work. Who came first goes first: an order waits for every earlier one that it cannot share with, so
//! none waits for ever.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

/// Most orders at work at once: a workstation is somebody's.
pub const MAX_AT_ONCE: usize = 4;

/// What an order holds while it works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Keys of its locks, sorted.
    pub locks: Vec<String>,
    /// It works alone.
    pub alone: bool,
}

impl Hold {
    fn excludes(&self, other: &Self) -> bool {
        self.alone || other.alone || self.locks.iter().any(|key| other.locks.contains(key))
    }
}

/// The orders at work and those that wait, in the order in which they came.
#[derive(Debug, Default)]
pub struct Schedule {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    places: VecDeque<Place>,
}

#[derive(Debug)]
struct Place {
    number: u64,
    hold: Hold,
    working: bool,
}

/// A place in the schedule; leaving it lets others begin.
#[derive(Debug)]
pub struct Turn<'a> {
    schedule: &'a Schedule,
    number: u64,
}

impl Schedule {
    /// Waits for the turn of an order that holds this. Dropping the wait gives the place up.
    pub async fn turn(&self, hold: Hold) -> Turn<'_> {
        let turn = {
            let mut queue = crate::lock(&self.queue);
            let number = queue.next;
            queue.next += 1;
            queue.places.push_back(Place {
                number,
                hold,
                working: false,
            });
            Turn {
                schedule: self,
                number,
            }
        };
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that a change in between is not missed.
            changed.as_mut().enable();
            if crate::lock(&self.queue).begin(turn.number) {
                return turn;
            }
            changed.await;
        }
    }
}

impl Queue {
    fn begin(&mut self, number: u64) -> bool {
        let Some(at) = self.places.iter().position(|place| place.number == number) else {
            return false;
        };
        let working = self.places.iter().filter(|place| place.working).count();
        let Some(mine) = self.places.get(at) else {
            return false;
        };
        let free = self
            .places
            .iter()
            .enumerate()
            // A later one that already works counts as much as an earlier one that waits.
            .filter(|(other, place)| *other < at || place.working)
            .all(|(_, place)| place.number == number || !mine.hold.excludes(&place.hold));
        if !free || working >= MAX_AT_ONCE {
            return false;
        }
        if let Some(mine) = self.places.get_mut(at) {
            mine.working = true;
        }
        true
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        crate::lock(&self.schedule.queue)
            .places
            .retain(|place| place.number != self.number);
        self.schedule.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn hold(locks: &[&str]) -> Hold {
        Hold {
            locks: locks.iter().map(|key| (*key).to_owned()).collect(),
            alone: false,
        }
    }

    fn alone() -> Hold {
        Hold {
            alone: true,
            ..Hold::default()
        }
    }

    async fn waits(schedule: &Schedule, hold: Hold) -> bool {
        tokio::time::timeout(Duration::from_millis(20), schedule.turn(hold))
            .await
            .is_err()
    }

    #[tokio::test]
    async fn what_locks_the_same_waits_and_the_rest_goes_on() {
        let schedule = Schedule::default();
        let first = schedule.turn(hold(&["service:cups"])).await;
        assert!(waits(&schedule, hold(&["dns", "service:cups"])).await);
        let other = schedule.turn(hold(&["service:ssh"])).await;
        assert!(waits(&schedule, alone()).await);
        drop(first);
        let again = schedule.turn(hold(&["service:cups"])).await;
        drop((other, again));
        let only = schedule.turn(alone()).await;
        assert!(waits(&schedule, hold(&[])).await);
        drop(only);
        drop(schedule.turn(hold(&[])).await);
    }

    #[tokio::test]
    async fn no_more_than_the_bound_work_at_once() {
        let schedule = Schedule::default();
        let mut working = Vec::new();
        for _ in 0..MAX_AT_ONCE {
            working.push(schedule.turn(hold(&[])).await);
        }
        assert!(waits(&schedule, hold(&[])).await);
        working.pop();
        drop(schedule.turn(hold(&[])).await);
    }

    #[tokio::test]
    async fn one_that_waits_is_not_overtaken_by_what_it_excludes() {
        let schedule = Arc::new(Schedule::default());
        let first = schedule.turn(hold(&["a"])).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, what) in [("alone", alone()), ("late", hold(&["b"]))] {
            let (theirs, log) = (schedule.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let _turn = theirs.turn(what).await;
                log.lock().unwrap().push(name);
            }));
            // Its place is taken before the next comes.
            let places = tasks.len() + 1;
            while crate::lock(&schedule.queue).places.len() < places {
                tokio::task::yield_now().await;
            }
        }
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["alone", "late"]);
    }
}
