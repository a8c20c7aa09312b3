//! The one place where the wall clock is read and ids are made. Everywhere else `now` is a parameter, so rules can be
//! replayed and tested.
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Milliseconds in one second, minute, hour and day, for validity windows.
pub const SECOND_MS: i64 = 1_000;
/// One minute in milliseconds.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// One hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// Now, in UTC milliseconds since 1970. In debug builds `CHASQUI_CLOCK_OFFSET_MS` is added, so that a test can run a
/// program whose clock is wrong; release builds never read it.
pub fn now_ms() -> i64 {
    let real = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        // A machine whose clock stands before 1970: a negative time is true and orders refuse it.
        Err(before) => i64::try_from(before.duration().as_millis())
            .map(|ms| -ms)
            .unwrap_or(i64::MIN),
    };
    real.saturating_add(test_offset_ms())
}

#[cfg(debug_assertions)]
fn test_offset_ms() -> i64 {
    std::env::var("CHASQUI_CLOCK_OFFSET_MS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(not(debug_assertions))]
fn test_offset_ms() -> i64 {
    0
}

/// A moment of the monotonic clock, for time limits. Never compared across processes.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A fresh UUIDv7: ordered by time, so rows made together lie together.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// Sleeping length of a time span given in milliseconds; negative spans are zero.
pub fn duration_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_after_the_day_this_was_written() {
        assert!(now_ms() > 1_790_000_000_000);
    }

    #[test]
    fn ids_made_later_sort_later() {
        let first = new_id();
        std::thread::sleep(Duration::from_millis(2));
        assert!(first < new_id());
    }
}
