//! Days of the calendar out of seconds since 1970, without a time zone database.

use chasqui_proto::facts::dates;

/// `YYYY-MM-DD` of a moment in UTC milliseconds; `None` outside the years 1 to 9999.
pub fn day_of(at_ms: i64) -> Option<String> {
    let days = at_ms.div_euclid(86_400_000);
    i32::try_from(days).ok().and_then(dates::day_text)
}

/// `YYYY-MM-DD` of the firmware's `MM/DD/YYYY` or `MM/DD/YY`; `None` when that is no day.
pub fn day_of_firmware(text: &str) -> Option<String> {
    let mut parts = text.trim().split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    let long_enough = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if parts.next().is_some() || ![month, day, year].into_iter().all(long_enough) {
        return None;
    }
    let (month, day): (u32, u32) = (month.parse().ok()?, day.parse().ok()?);
    let year: u32 = match (year.len(), year.parse().ok()?) {
        (4, year) => year,
        // Two digits stand for 19xx in the standard; firmware of this century uses them as well.
        (2, year @ 80..) => 1_900 + year,
        (2, year) => 2_000 + year,
        _ => return None,
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    ((1980..=9999).contains(&year) && (1..=last).contains(&day))
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_moments() {
        assert_eq!(day_of(0).as_deref(), Some("1970-01-01"));
        assert_eq!(day_of(951_782_400_000).as_deref(), Some("2000-02-29"));
        assert_eq!(day_of(1_735_689_599_999).as_deref(), Some("2024-12-31"));
        assert_eq!(day_of(-1).as_deref(), Some("1969-12-31"));
        assert_eq!(day_of(i64::MAX), None);
    }

    #[test]
    fn days_of_firmware() {
        assert_eq!(day_of_firmware("07/15/2013").as_deref(), Some("2013-07-15"));
        assert_eq!(day_of_firmware("02/29/08").as_deref(), Some("2008-02-29"));
        assert_eq!(day_of_firmware("12/01/99").as_deref(), Some("1999-12-01"));
        for bad in [
            "",
            "15/07/2013",
            "02/30/2020",
            "2013-07-15",
            "1/2/3/4",
            "01/01/+999",
        ] {
            assert_eq!(day_of_firmware(bad), None, "{bad}");
        }
    }
}
