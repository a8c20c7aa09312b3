//! Values as people type them: sizes with units, days, ages, yes and no.

use jiff::civil::Date;

use super::{Field, Kind, Op, program};
use crate::Text;
use crate::search::fold;

/// Colombia has kept UTC-5 all year since 1993: a day of the calendar begins five hours after UTC's.
const DAY_BEGINS_MS: i64 = 5 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// What is asked of a field, with `now` put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Nothing is known.
    Unobserved,
    /// Something is known.
    Observed,
    /// A number between two, both included.
    Within(i64, i64),
    /// A known number outside of them.
    Outside(i64, i64),
    /// Folded text that has this part.
    Contains(String),
    /// Folded text that is this.
    Is(String),
    /// Folded text that is known and not this.
    IsNot(String),
    /// A version.
    Version(Op, String),
    /// A program.
    Program(program::Wanted),
}

/// A number with the width that the typed text leaves open: a year is 365 days wide.
type Span = (i64, i64);

/// Reads what was typed for a field.
///
/// # Errors
/// What is wrong with it and what would be understood.
pub fn read(field: &Field, op: Op, value: &str, quoted: bool, now_ms: i64) -> Result<Test, Text> {
    if !quoted && value == "?" && op == Op::Has {
        return Ok(Test::Unobserved);
    }
    if !quoted && value == "*" && op == Op::Has {
        return Ok(Test::Observed);
    }
    if value.is_empty() && !quoted {
        return Err(Text::new(
            "falta el valor: escriba por ejemplo `:?` para lo no observado, o un texto",
            "the value is missing: write a text, or `:?` for what was not observed",
        ));
    }
    let range = if quoted { None } else { value.split_once("..") };
    match field.kind {
        Kind::Text | Kind::Terms(_) | Kind::List => {
            let folded = fold(value);
            match op {
                Op::Has if folded.is_empty() => Ok(Test::Is(folded)),
                Op::Has => Ok(Test::Contains(folded)),
                Op::Is => Ok(Test::Is(folded)),
                Op::IsNot => Ok(Test::IsNot(folded)),
                _ => Err(Text::new(
                    format!("`{}` es un texto: use `:`, `=` o `!=`", field.name),
                    format!("`{}` is a text: use `:`, `=` or `!=`", field.name),
                )),
            }
        }
        Kind::Version => {
            if !value.bytes().any(|byte| byte.is_ascii_digit()) {
                return Err(Text::new(
                    "se espera una versión, por ejemplo 22.04 o 10.0.19045",
                    "a version is expected, for example 22.04 or 10.0.19045",
                ));
            }
            Ok(Test::Version(op, value.to_owned()))
        }
        Kind::Program => {
            if op != Op::Has {
                return Err(Text::new(
                    "la versión va con el nombre: software:\"office<2019\"",
                    "the version goes with the name: software:\"office<2019\"",
                ));
            }
            program::read(value).map(Test::Program).ok_or_else(|| {
                Text::new(
                    "se espera un programa: software:firefox o software:\"office<2019\"",
                    "a program is expected: software:firefox or software:\"office<2019\"",
                )
            })
        }
        Kind::Flag => {
            let yes = match fold(value).as_str() {
                "si" | "yes" | "true" | "1" => 1,
                "no" | "false" | "0" => 0,
                _ => return Err(Text::new("se espera sí o no", "yes or no is expected")),
            };
            match op {
                Op::Has | Op::Is => Ok(Test::Within(yes, yes)),
                Op::IsNot => Ok(Test::Outside(yes, yes)),
                _ => Err(Text::new("use `:` con sí o no", "use `:` with yes or no")),
            }
        }
        Kind::Number | Kind::Bytes | Kind::Day | Kind::Moment => {
            if let Some((from, to)) = range {
                return between(field.kind, op, from, to, now_ms);
            }
            let age = matches!(field.kind, Kind::Day | Kind::Moment)
                .then(|| age_ms(value))
                .flatten();
            if let Some(age) = age {
                let moment = units(field.kind, now_ms.saturating_sub(age));
                return Ok(match op {
                    // "Thirty days" of something that lies back: within them.
                    Op::Has | Op::Is => Test::Within(moment, i64::MAX),
                    Op::IsNot => Test::Outside(moment, i64::MAX),
                    // An age above thirty days is a moment before.
                    Op::Greater => Test::Within(i64::MIN, moment.saturating_sub(1)),
                    Op::AtLeast => Test::Within(i64::MIN, moment),
                    Op::Less => Test::Within(moment.saturating_add(1), i64::MAX),
                    Op::AtMost => Test::Within(moment, i64::MAX),
                });
            }
            let (from, to) = span(field.kind, value)?;
            Ok(match op {
                // Firmware keeps some memory to itself, and makers count disks in another thousand: "8G" is about 8 GiB.
                Op::Has if field.kind == Kind::Bytes => {
                    Test::Within(from - from / 14, to + to / 14)
                }
                Op::Has | Op::Is => Test::Within(from, to),
                Op::IsNot => Test::Outside(from, to),
                Op::Less => Test::Within(i64::MIN, from.saturating_sub(1)),
                Op::AtMost => Test::Within(i64::MIN, to),
                Op::Greater => Test::Within(to.saturating_add(1), i64::MAX),
                Op::AtLeast => Test::Within(from, i64::MAX),
            })
        }
    }
}

fn between(kind: Kind, op: Op, from: &str, to: &str, now_ms: i64) -> Result<Test, Text> {
    let end = |text: &str| -> Result<Span, Text> {
        match age_ms(text).filter(|_| matches!(kind, Kind::Day | Kind::Moment)) {
            Some(age) => {
                let moment = units(kind, now_ms.saturating_sub(age));
                Ok((moment, moment))
            }
            None => span(kind, text),
        }
    };
    let low = if from.is_empty() {
        i64::MIN
    } else {
        end(from)?.0
    };
    let high = if to.is_empty() { i64::MAX } else { end(to)?.1 };
    // Ages grow backwards: `10d..30d` runs from thirty days ago to ten days ago.
    let (low, high) = if low > high && age_ms(from).is_some() && age_ms(to).is_some() {
        (high, low)
    } else {
        (low, high)
    };
    if low > high || (from.is_empty() && to.is_empty()) {
        return Err(Text::new(
            "el rango va de menor a mayor, por ejemplo 4G..8G",
            "a range goes from low to high, for example 4G..8G",
        ));
    }
    match op {
        Op::Has | Op::Is => Ok(Test::Within(low, high)),
        Op::IsNot => Ok(Test::Outside(low, high)),
        _ => Err(Text::new(
            "un rango va con `:` o `!=`",
            "a range goes with `:` or `!=`",
        )),
    }
}

/// Milliseconds in what a kind counts in.
fn units(kind: Kind, ms: i64) -> i64 {
    if kind == Kind::Day {
        ms.saturating_sub(DAY_BEGINS_MS).div_euclid(DAY_MS)
    } else {
        ms
    }
}

fn span(kind: Kind, text: &str) -> Result<Span, Text> {
    match kind {
        Kind::Bytes => scaled(text, byte_unit).map(|n| (n, n)).ok_or_else(|| {
            Text::new(
                "se espera un tamaño, por ejemplo 8G, 512M, 1.5T o 256GB",
                "a size is expected, for example 8G, 512M, 1.5T or 256GB",
            )
        }),
        Kind::Day | Kind::Moment => days(text)
            .map(|(from, to)| {
                if kind == Kind::Day {
                    (from, to)
                } else {
                    let begins = |day: i64| day * DAY_MS + DAY_BEGINS_MS;
                    (begins(from), begins(to + 1) - 1)
                }
            })
            .ok_or_else(|| {
                Text::new(
                    "se espera un día (2026-01-31, 2026-01, 2026) o un tiempo (30d, 12h, 8w, 1y)",
                    "a day (2026-01-31, 2026-01, 2026) or an age (30d, 12h, 8w, 1y) is expected",
                )
            }),
        _ => scaled(text, |unit| matches!(unit, "" | "%").then_some(1))
            .map(|n| (n, n))
            .ok_or_else(|| Text::new("se espera un número", "a number is expected")),
    }
}

fn byte_unit(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    })
}

/// A whole or decimal number with a unit behind.
fn scaled(text: &str, unit: impl Fn(&str) -> Option<u64>) -> Option<i64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .unwrap_or(text.len());
    let (number, name) = text.split_at_checked(end)?;
    let unit = u128::from(unit(name.trim())?);
    let (whole, rest) = number.split_once(['.', ',']).unwrap_or((number, ""));
    if whole.is_empty() || whole.len() > 18 || rest.len() > 9 || rest.contains(['.', ',']) {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let part: u128 = if rest.is_empty() {
        0
    } else {
        rest.parse().ok()?
    };
    let tens = 10u128.checked_pow(u32::try_from(rest.len()).ok()?)?;
    let value = whole.checked_mul(unit)?.checked_add(part * unit / tens)?;
    i64::try_from(value).ok()
}

/// `30d`, `12h`, `8w`, `90min`, `1y` (365 days).
fn age_ms(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        "w" | "s" => 7 * DAY_MS,
        "y" | "a" => 365 * DAY_MS,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

/// First and last day of `2026-01-31`, `2026-01` or `2026`, since 1970-01-01.
fn days(text: &str) -> Option<Span> {
    let number = |part: &str, digits: usize| {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<i16>().ok())
            .flatten()
    };
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next();
    let day = parts.next();
    if parts.next().is_some() {
        return None;
    }
    let date = |month: i16, day: i16| {
        Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    };
    let (from, to) = match (month, day) {
        (None, _) => (date(1, 1)?, date(12, 31)?),
        (Some(month), None) => {
            let first = date(number(month, 2)?, 1)?;
            (first, first.last_of_month())
        }
        (Some(month), Some(day)) => {
            let day = date(number(month, 2)?, number(day, 2)?)?;
            (day, day)
        }
    };
    Some((day_number(from), day_number(to)))
}

fn day_number(date: Date) -> i64 {
    let epoch = jiff::civil::date(1970, 1, 1);
    i64::from(date.duration_since(epoch).as_hours() as i32 / 24)
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub fn day(text: &str) -> Option<i64> {
    (text.len() == 10)
        .then(|| days(text))
        .flatten()
        .map(|(from, _)| from)
}
