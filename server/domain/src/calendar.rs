//! Civil dates in Bogotá, the place whose calendar the papers follow. Working time and holidays are not here.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The zone of the papers. UTC-5 all year today, yet read from the zone database: 1992 had summer time.
const ZONE: &str = "America/Bogota";

fn zone() -> TimeZone {
    // The database is compiled in. Were it not, the offset in force since 1993 is the same answer.
    TimeZone::get(ZONE).unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(-5)))
}

/// The date in Bogotá at `at_ms` (UTC milliseconds). `None` when the moment lies outside the years -9999 to 9999.
pub fn date_of(at_ms: i64) -> Option<Date> {
    Timestamp::from_millisecond(at_ms)
        .ok()
        .map(|at| at.to_zoned_datetime(zone()).date())
}

/// The first moment of a date in Bogotá, UTC milliseconds.
pub fn start_of(date: Date) -> Option<i64> {
    date.to_zoned_datetime(zone())
        .ok()
        .map(|at| at.timestamp().as_millisecond())
}

/// The year in Bogotá at `at_ms`: the year of ticket numbers and papers.
pub fn year_of(at_ms: i64) -> Option<i16> {
    date_of(at_ms).map(Date::year)
}

/// Reads `YYYY-MM-DD`, and nothing else. Real dates only: 2023-02-29 is none.
pub fn parse_date(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| {
            if i == 4 || i == 7 {
                b == b'-'
            } else {
                b.is_ascii_digit()
            }
        });
    if !shape {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_turns_at_midnight_in_bogota() {
        // 2026-01-01T04:59:59.999Z is still New Year's Eve there.
        let turn = 1_767_243_600_000;
        assert_eq!(year_of(turn - 1), Some(2025));
        assert_eq!(year_of(turn), Some(2026));
        assert_eq!(start_of(parse_date("2026-01-01").unwrap()), Some(turn));
        assert_eq!(year_of(i64::MAX), None);
        assert_eq!(year_of(i64::MIN), None);
    }

    #[test]
    fn summer_time_of_1992_counts() {
        // 1993-01-01T04:30:00Z: at UTC-4 already New Year.
        assert_eq!(year_of(725_862_600_000), Some(1993));
    }

    #[test]
    fn only_real_dates_in_one_form() {
        assert!(parse_date("2024-02-29").is_some());
        for bad in [
            "2023-02-29",
            "2024-2-9",
            "24-02-09",
            "2024/02/09",
            "2024-02-09T00:00",
            "",
            "２024-02-09",
            "2024-13-01",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
