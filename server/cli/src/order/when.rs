//! When orders count: from and until, windows, and a window every week. Pure: `now` and the zone come in, moments go out.
//! A series is as many orders as it has windows, each with its own times, since what is signed names its times.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};

use crate::failure::{Failure, Outcome};

/// Most orders of a series.
pub const MAX_SERIES: usize = 60;
/// How far ahead a window is looked for, days.
const LOOK_AHEAD_DAYS: i64 = 8;

/// From and until, UTC milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Not before.
    pub not_before_ms: i64,
    /// Not after.
    pub not_after_ms: i64,
}

impl Span {
    /// From now on for so long.
    pub fn from_now(now_ms: i64, for_ms: i64) -> Self {
        Self {
            not_before_ms: now_ms,
            not_after_ms: now_ms.saturating_add(for_ms),
        }
    }
}

/// What was asked for, as typed.
#[derive(Clone, Copy, Debug, Default)]
pub struct When<'a> {
    /// `--from`.
    pub from: Option<&'a str>,
    /// `--until`.
    pub until: Option<&'a str>,
    /// `--window`.
    pub window: Option<&'a str>,
    /// `--weekly`.
    pub weekly: bool,
    /// `--zone`.
    pub zone: &'a str,
    /// `--valid-for`, milliseconds.
    pub valid_for_ms: i64,
}

/// The times of each order that is asked for, at least one.
pub fn spans(now_ms: i64, when: &When) -> Outcome<Vec<Span>> {
    let zone = TimeZone::get(when.zone).map_err(|_| {
        Failure::usage(
            format!("no existe la zona horaria {:?}", when.zone),
            format!("there is no time zone {:?}", when.zone),
        )
        .hint(
            "por ejemplo: America/Bogota, UTC",
            "for example: America/Bogota, UTC",
        )
    })?;
    let now = Timestamp::from_millisecond(now_ms)
        .map_err(|_| out_of_range())?
        .to_zoned_datetime(zone);
    let from = when
        .from
        .map(|text| moment(text, &now, false))
        .transpose()?;
    let until = when
        .until
        .map(|text| moment(text, from.as_ref().unwrap_or(&now), true))
        .transpose()?;
    let begin = from.clone().unwrap_or_else(|| now.clone());
    let found = match when.window {
        None => {
            let not_before_ms = ms(&begin).max(now_ms);
            let not_after_ms = match &until {
                Some(until) => ms(until),
                None => not_before_ms.saturating_add(when.valid_for_ms),
            };
            vec![Span {
                not_before_ms,
                not_after_ms,
            }]
        }
        Some(text) => windows(&Window::parse(text)?, &begin, until.as_ref(), when.weekly)?,
    };
    if found.is_empty() {
        return Err(Failure::usage(
            "no hay ninguna ventana en ese tiempo",
            "there is no window in that time",
        ));
    }
    if found
        .iter()
        .any(|span| span.not_after_ms <= span.not_before_ms || span.not_after_ms <= now_ms)
    {
        return Err(Failure::usage(
            "el fin no es después del comienzo, o ya pasó",
            "the end is not after the beginning, or is over",
        ));
    }
    Ok(found)
}

/// A time of day span, on one day of the week or on any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    day: Option<Weekday>,
    start: Time,
    end: Time,
}

impl Window {
    fn parse(text: &str) -> Outcome<Self> {
        let wrong = || {
            Failure::usage(
                format!("{text:?} no es una ventana como \"sáb 22:00-02:00\""),
                format!("{text:?} is not a window like \"sat 22:00-02:00\""),
            )
        };
        let mut words = text.split_whitespace();
        let (day, hours) = match (words.next(), words.next(), words.next()) {
            (Some(hours), None, _) => (None, hours),
            (Some(day), Some(hours), None) => (Some(weekday(day).ok_or_else(wrong)?), hours),
            _ => return Err(wrong()),
        };
        let (start, end) = hours.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| text.parse::<Time>().map_err(|_| wrong());
        let (start, end) = (time(start)?, time(end)?);
        if start == end {
            return Err(wrong());
        }
        Ok(Self { day, start, end })
    }
}

fn weekday(text: &str) -> Option<Weekday> {
    let folded = text
        .to_lowercase()
        .replace(['á', 'é'], "_")
        .chars()
        .take(3)
        .collect::<String>();
    Some(match folded.as_str() {
        "mon" | "lun" => Weekday::Monday,
        "tue" | "mar" => Weekday::Tuesday,
        "wed" | "mie" | "mi_" => Weekday::Wednesday,
        "thu" | "jue" => Weekday::Thursday,
        "fri" | "vie" => Weekday::Friday,
        "sat" | "sab" | "s_b" => Weekday::Saturday,
        "sun" | "dom" => Weekday::Sunday,
        _ => return None,
    })
}

/// The next window that is not over at `begin`, and with `weekly` those after it that begin by `until`. One that is open
/// already counts from `begin` on.
fn windows(
    window: &Window,
    begin: &ZonedDateTime,
    until: Option<&ZonedDateTime>,
    weekly: bool,
) -> Outcome<Vec<Span>> {
    let mut out = Vec::new();
    let mut date = begin.date().yesterday().map_err(|_| out_of_range())?;
    let mut left = LOOK_AHEAD_DAYS + 1;
    while left > 0 {
        left -= 1;
        let this = date;
        date = date.tomorrow().map_err(|_| out_of_range())?;
        if window.day.is_some_and(|day| day != this.weekday()) {
            continue;
        }
        let span = on(window, this, begin)?;
        if span.not_after_ms <= ms(begin) {
            continue;
        }
        if until.is_some_and(|until| span.not_before_ms > ms(until)) {
            break;
        }
        out.push(Span {
            not_before_ms: span.not_before_ms.max(ms(begin)),
            ..span
        });
        if !weekly {
            break;
        }
        if out.len() > MAX_SERIES {
            return Err(Failure::usage(
                format!("más de {MAX_SERIES} órdenes: acerque --until"),
                format!("more than {MAX_SERIES} orders: bring --until nearer"),
            ));
        }
        date = this.checked_add(7.days()).map_err(|_| out_of_range())?;
        left = LOOK_AHEAD_DAYS;
    }
    Ok(out)
}

fn on(window: &Window, date: Date, begin: &ZonedDateTime) -> Outcome<Span> {
    let end_date = if window.end > window.start {
        date
    } else {
        date.tomorrow().map_err(|_| out_of_range())?
    };
    let at = |date: Date, time: Time| {
        date.to_datetime(time)
            .to_zoned_datetime(begin.time_zone().clone())
            .map(|zoned| ms(&zoned))
            .map_err(|_| out_of_range())
    };
    Ok(Span {
        not_before_ms: at(date, window.start)?,
        not_after_ms: at(end_date, window.end)?,
    })
}

/// `YYYY-MM-DD` (its first moment, or its last when `end`), `YYYY-MM-DDTHH:MM`, or the next `HH:MM`.
fn moment(text: &str, now: &ZonedDateTime, end: bool) -> Outcome<ZonedDateTime> {
    let wrong = || {
        Failure::usage(
            format!("{text:?} no es una hora como 2026-11-28T22:00, 2026-11-28 o 22:00"),
            format!("{text:?} is not a time like 2026-11-28T22:00, 2026-11-28 or 22:00"),
        )
    };
    let zone = now.time_zone().clone();
    let text = text.trim();
    if text.len() == 10
        && let Ok(date) = text.parse::<Date>()
    {
        let date = if end {
            date.tomorrow().map_err(|_| wrong())?
        } else {
            date
        };
        return date.to_zoned_datetime(zone).map_err(|_| wrong());
    }
    if let Ok(at) = text.parse::<DateTime>() {
        return at.to_zoned_datetime(zone).map_err(|_| wrong());
    }
    let time: Time = text.parse().map_err(|_| wrong())?;
    let today = now
        .date()
        .to_datetime(time)
        .to_zoned_datetime(zone.clone())
        .map_err(|_| wrong())?;
    if today > *now {
        return Ok(today);
    }
    now.date()
        .tomorrow()
        .and_then(|date| date.to_datetime(time).to_zoned_datetime(zone))
        .map_err(|_| wrong())
}

fn ms(at: &ZonedDateTime) -> i64 {
    at.timestamp().as_millisecond()
}

fn out_of_range() -> Failure {
    Failure::usage(
        "esa hora está fuera del calendario",
        "that time is outside the calendar",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Friday 2026-11-27, 10:00 in Bogotá.
    const NOW: &str = "2026-11-27T10:00-05[America/Bogota]";

    fn at(text: &str) -> i64 {
        ms(&text.parse::<ZonedDateTime>().unwrap())
    }

    fn bogota(text: &str) -> i64 {
        at(&format!("{text}-05[America/Bogota]"))
    }

    fn asked<'a>() -> When<'a> {
        When {
            zone: "America/Bogota",
            valid_for_ms: 3_600_000,
            ..When::default()
        }
    }

    fn span(from: &str, until: &str) -> Span {
        Span {
            not_before_ms: bogota(from),
            not_after_ms: bogota(until),
        }
    }

    #[test]
    fn without_a_word_it_is_from_now_on() {
        let now = at(NOW);
        assert_eq!(
            spans(now, &asked()).unwrap(),
            [Span::from_now(now, 3_600_000)]
        );
    }

    #[test]
    fn from_and_until_are_read_in_the_zone() {
        let when = When {
            from: Some("2026-11-28T22:00"),
            until: Some("2026-11-29"),
            ..asked()
        };
        assert_eq!(
            spans(at(NOW), &when).unwrap(),
            [span("2026-11-28T22:00", "2026-11-30T00:00")]
        );
        // A time alone is the next such time; until counts from there.
        let when = When {
            from: Some("09:00"),
            until: Some("08:00"),
            ..asked()
        };
        assert_eq!(
            spans(at(NOW), &when).unwrap(),
            [span("2026-11-28T09:00", "2026-11-29T08:00")]
        );
        let when = When {
            from: Some("2026-11-28"),
            zone: "UTC",
            ..asked()
        };
        let found = spans(at(NOW), &when).unwrap();
        assert_eq!(found[0].not_before_ms, at("2026-11-28T00:00Z[UTC]"));
    }

    #[test]
    fn a_window_over_midnight_ends_on_the_next_day() {
        for words in ["sat 22:00-02:00", "sáb 22:00-02:00", "sabado 22:00-02:00"] {
            let when = When {
                window: Some(words),
                ..asked()
            };
            assert_eq!(
                spans(at(NOW), &when).unwrap(),
                [span("2026-11-28T22:00", "2026-11-29T02:00")]
            );
        }
    }

    #[test]
    fn a_window_that_is_open_counts_from_now() {
        let when = When {
            window: Some("fri 08:00-12:00"),
            ..asked()
        };
        assert_eq!(
            spans(at(NOW), &when).unwrap(),
            [span("2026-11-27T10:00", "2026-11-27T12:00")]
        );
        // Also one that began yesterday.
        let when = When {
            window: Some("22:00-11:00"),
            ..asked()
        };
        assert_eq!(
            spans(at(NOW), &when).unwrap(),
            [span("2026-11-27T10:00", "2026-11-27T11:00")]
        );
    }

    #[test]
    fn every_week_is_one_order_for_each_window() {
        let when = When {
            window: Some("sat 22:00-02:00"),
            until: Some("2026-12-19"),
            weekly: true,
            ..asked()
        };
        assert_eq!(
            spans(at(NOW), &when).unwrap(),
            [
                span("2026-11-28T22:00", "2026-11-29T02:00"),
                span("2026-12-05T22:00", "2026-12-06T02:00"),
                span("2026-12-12T22:00", "2026-12-13T02:00"),
                span("2026-12-19T22:00", "2026-12-20T02:00"),
            ]
        );
        let when = When {
            until: Some("2030-01-01"),
            ..when
        };
        assert!(spans(at(NOW), &when).is_err());
    }

    #[test]
    fn a_window_keeps_its_local_hours_when_clocks_change() {
        // New York goes back on 2026-11-01 at 02:00.
        let when = When {
            window: Some("sun 01:30-03:00"),
            until: Some("2026-11-08"),
            weekly: true,
            zone: "America/New_York",
            ..asked()
        };
        let found = spans(at("2026-10-30T12:00-04[America/New_York]"), &when).unwrap();
        let hours: Vec<i64> = found
            .iter()
            .map(|s| (s.not_after_ms - s.not_before_ms) / 60_000)
            .collect();
        assert_eq!(hours, [150, 90]);
    }

    #[test]
    fn what_cannot_be_is_said() {
        for when in [
            When {
                zone: "America/Macondo",
                ..asked()
            },
            When {
                window: Some("someday 22:00-02:00"),
                ..asked()
            },
            When {
                window: Some("22:00-22:00"),
                ..asked()
            },
            When {
                until: Some("2026-11-01"),
                ..asked()
            },
            When {
                from: Some("tomorrow"),
                ..asked()
            },
        ] {
            assert!(spans(at(NOW), &when).is_err(), "{when:?}");
        }
    }
}
