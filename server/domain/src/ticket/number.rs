//! The number people say on the telephone: `MA-2026-000123`. Numbers may have gaps; they never repeat, which is the
//! store's part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Invalid, calendar};

/// "Mesa de ayuda".
const PREFIX: &str = "MA";

/// Year (by the date in Bogotá) and serial within it, written with at least six digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TicketNumber {
    year: i16,
    serial: u32,
}

impl TicketNumber {
    /// Most serials of one year.
    pub const SERIAL_MAX: u32 = 999_999_999;

    /// Year 2000 to 9999, serial 1 to 999,999,999.
    pub fn new(year: i16, serial: u32) -> Result<Self, Invalid> {
        if (2000..=9999).contains(&year) && (1..=Self::SERIAL_MAX).contains(&serial) {
            Ok(Self { year, serial })
        } else {
            Err(bad())
        }
    }

    /// The number of a ticket registered at `registered_at_ms` (UTC milliseconds).
    pub fn at(registered_at_ms: i64, serial: u32) -> Result<Self, Invalid> {
        Self::new(calendar::year_of(registered_at_ms).ok_or_else(bad)?, serial)
    }

    /// The year of the series.
    pub fn year(self) -> i16 {
        self.year
    }

    /// The place within the year.
    pub fn serial(self) -> u32 {
        self.serial
    }
}

fn bad() -> Invalid {
    Invalid::new(
        "number",
        "no es un número de tiquete: se espera la forma MA-2026-000123",
        "not a ticket number: expected the form MA-2026-000123",
    )
}

impl fmt::Display for TicketNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}-{:04}-{:06}", self.year, self.serial)
    }
}

/// Case and leading zeros may differ: people type these. What is printed is always the one form.
impl FromStr for TicketNumber {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = |part: &str| {
            !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit())
        };
        let mut parts = text.trim().split('-');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(prefix), Some(year), Some(serial), None)
                if prefix.eq_ignore_ascii_case(PREFIX)
                    && year.len() == 4
                    && digits(year)
                    && digits(serial) =>
            {
                Self::new(
                    year.parse().map_err(|_| bad())?,
                    serial.parse().map_err(|_| bad())?,
                )
            }
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for TicketNumber {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<TicketNumber> for String {
    fn from(number: TicketNumber) -> Self {
        number.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_year_is_bogotas() {
        let turn = 1_767_243_600_000;
        assert_eq!(
            TicketNumber::at(turn - 1, 7).unwrap().to_string(),
            "MA-2025-000007"
        );
        assert_eq!(
            TicketNumber::at(turn, 7).unwrap().to_string(),
            "MA-2026-000007"
        );
        assert_eq!(
            TicketNumber::new(2026, 1_234_567).unwrap().to_string(),
            "MA-2026-1234567"
        );
        assert!(TicketNumber::new(2026, 0).is_err());
        assert!(TicketNumber::new(2026, 1_000_000_000).is_err());
        assert!(TicketNumber::at(-1, 1).is_err());
    }

    #[test]
    fn people_type_it_loosely() {
        let number = TicketNumber::new(2026, 123).unwrap();
        for good in ["MA-2026-000123", "ma-2026-123", " MA-2026-0123 "] {
            assert_eq!(good.parse::<TicketNumber>().unwrap(), number, "{good}");
        }
        for bad in [
            "",
            "MA",
            "MA-2026",
            "MA-26-1",
            "XX-2026-1",
            "MA-2026-1-1",
            "MA-2026-+1",
            "MA-2026-1234567890",
            "MA-2026-000000",
        ] {
            assert!(bad.parse::<TicketNumber>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_reading_agree(year in 2000i16..=9999, serial in 1u32..=TicketNumber::SERIAL_MAX) {
            let number = TicketNumber::new(year, serial).unwrap();
            prop_assert_eq!(number.to_string().parse::<TicketNumber>().unwrap(), number);
        }
    }
}
