//! Days and amounts as people in Colombia write them.

use jiff::civil::Date;

use crate::{Text, calendar};

/// Greatest amount, in hundredths: a thousand million millions, far above any machine, far below the end of 64 bits.
const MOST_MINOR: i64 = 100_000_000_000_000_000;

/// One line of at most `most` characters.
pub fn line(text: &str, most: usize) -> Result<String, Text> {
    if text.chars().any(char::is_control) {
        return Err(Text::new(
            "tiene saltos de línea o caracteres de control: escriba una sola línea",
            "holds line ends or control characters: write one line",
        ));
    }
    bounded(text, most)
}

/// Several lines, at most 2,000 characters.
pub fn note(text: &str) -> Result<String, Text> {
    if text
        .chars()
        .any(|ch| ch.is_control() && !matches!(ch, '\n' | '\t' | '\r'))
    {
        return Err(Text::new(
            "tiene caracteres de control: quítelos",
            "holds control characters: remove them",
        ));
    }
    bounded(text, 2_000)
}

fn bounded(text: &str, most: usize) -> Result<String, Text> {
    let count = text.chars().count();
    if count > most {
        return Err(Text::new(
            format!("tiene {count} caracteres y se permiten {most}: acórtelo"),
            format!("has {count} characters, {most} are allowed: shorten it"),
        ));
    }
    Ok(text.to_owned())
}

/// A calendar day: `YYYY-MM-DD`, or day first as `dd/mm/yyyy` with slash, dash or dot. A time of midnight after it, which
/// spreadsheets add, is left out.
///
/// # Errors
/// What would be accepted.
pub fn day(text: &str) -> Result<Date, Text> {
    let wrong = || {
        Text::new(
            format!(
                "{:?} no es una fecha: escriba AAAA-MM-DD o dd/mm/aaaa",
                short(text)
            ),
            format!(
                "{:?} is no calendar day: write YYYY-MM-DD or dd/mm/yyyy",
                short(text)
            ),
        )
    };
    let text = text.trim();
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let midnight = time.chars().all(|ch| matches!(ch, '0' | ':' | '.' | ' '));
    if !midnight {
        return Err(wrong());
    }
    if let Some(date) = calendar::parse_date(date) {
        return Ok(date);
    }
    let parts: Vec<&str> = date.split(['/', '-', '.']).collect();
    let [day, month, year] = parts.as_slice() else {
        return Err(wrong());
    };
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(day, 2) || !digits(month, 2) || !digits(year, 4) || year.len() != 4 {
        return Err(wrong());
    }
    match (day.parse(), month.parse(), year.parse()) {
        (Ok(day), Ok(month), Ok(year)) => Date::new(year, month, day).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// A day between 1980 and today in Bogotá.
pub fn past_day(text: &str, now_ms: i64) -> Result<String, Text> {
    let date = day(text)?;
    let today = calendar::date_of(now_ms);
    if date.year() < 1980 || today.is_some_and(|today| date > today) {
        return Err(Text::new(
            "debe estar entre 1980 y hoy",
            "must lie between 1980 and today",
        ));
    }
    Ok(date.to_string())
}

/// A day between 1980 and 2100.
pub fn warranty_day(text: &str) -> Result<String, Text> {
    let date = day(text)?;
    if !(1980..=2100).contains(&date.year()) {
        return Err(Text::new(
            "debe estar entre 1980 y 2100",
            "must lie between 1980 and 2100",
        ));
    }
    Ok(date.to_string())
}

/// An ISO 4217 code, or empty.
pub fn currency(text: &str) -> Result<String, Text> {
    let code = text.to_ascii_uppercase();
    if code.is_empty() || (code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())) {
        return Ok(code);
    }
    Err(Text::new(
        "no es una moneda: escriba tres letras, como COP o USD",
        "is no currency: write three letters, as COP or USD",
    ))
}

/// An amount of money, with the currency where the text names one: `1234567.89`, `1.234.567,89`, `$ 1.234.567`,
/// `US$ 300`, `COP 1.200.000`, `1,234,567.89`. A point or comma before exactly three last digits parts thousands.
///
/// # Returns
/// Hundredths, and an ISO 4217 code.
///
/// # Errors
/// What would be accepted.
pub fn money(text: &str) -> Result<(i64, Option<String>), Text> {
    let wrong = || {
        Text::new(
            format!(
                "{:?} no es un valor: escriba 1234567.89 o $ 1.234.567,89",
                short(text)
            ),
            format!(
                "{:?} is no amount: write 1234567.89 or $ 1.234.567,89",
                short(text)
            ),
        )
    };
    if text.len() > 100 {
        return Err(wrong());
    }
    let squeezed: String = text.chars().filter(|ch| !ch.is_whitespace()).collect();
    let mut rest = squeezed.as_str();
    let mut code = None;
    let upper = squeezed.to_ascii_uppercase();
    for (sign, named) in [
        ("US$", Some("USD")),
        ("COL$", Some("COP")),
        ("€", Some("EUR")),
        ("$", None),
    ] {
        if upper.starts_with(sign) {
            rest = squeezed.get(sign.len()..).unwrap_or("");
            code = named.map(str::to_owned);
            break;
        }
    }
    let letters =
        |part: &str| part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    if code.is_none() {
        if let Some((first, after)) = rest.split_at_checked(3)
            && letters(first)
        {
            code = Some(first.to_ascii_uppercase());
            rest = after.strip_prefix('$').unwrap_or(after);
        } else if let Some((before, last)) = rest
            .len()
            .checked_sub(3)
            .and_then(|at| rest.split_at_checked(at))
            && letters(last)
        {
            code = Some(last.to_ascii_uppercase());
            rest = before;
        }
    }
    let minor = amount(rest).ok_or_else(wrong)?;
    if minor > MOST_MINOR {
        return Err(wrong());
    }
    Ok((minor, code))
}

/// Digits with marks as hundredths.
fn amount(text: &str) -> Option<i64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let last_mark = text.rfind(['.', ',']);
    let (whole, cents) = match last_mark {
        None => (text, ""),
        Some(at) => {
            let mark = text.get(at..=at)?;
            let (before, after) = (text.get(..at)?, text.get(at + 1..)?);
            let alone = before.rfind(['.', ',']).is_none();
            let same_before = before.contains(mark);
            if after.len() == 3 || same_before {
                // `1.234` and `1.234.567`: thousands alone. `1,234.567` is none: what would it be?
                let other = if mark == "." { ',' } else { '.' };
                if before.contains(other) || (alone && before.trim_start_matches('0').is_empty()) {
                    return None;
                }
                (text, "")
            } else if (1..=2).contains(&after.len()) && digits(after) {
                (before, after)
            } else {
                return None;
            }
        }
    };
    let whole = thousands(whole)?;
    let cents: i64 = match cents.len() {
        0 => 0,
        1 => cents.parse::<i64>().ok()?.checked_mul(10)?,
        _ => cents.parse().ok()?,
    };
    whole.checked_mul(100)?.checked_add(cents)
}

/// Digits, plain or in groups of three parted by one and the same mark.
fn thousands(text: &str) -> Option<i64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(text) {
        return text.parse().ok();
    }
    let mark = text.chars().find(|ch| matches!(ch, '.' | ',' | '\''))?;
    let mut groups = text.split(mark);
    let first = groups.next()?;
    if !digits(first) || first.len() > 3 {
        return None;
    }
    let mut joined = first.to_owned();
    for group in groups {
        if group.len() != 3 || !digits(group) {
            return None;
        }
        joined.push_str(group);
    }
    joined.parse().ok()
}

/// Hundredths as `1234567.89`; whole amounts without decimals.
pub fn money_text(minor: i64) -> String {
    let (whole, cents) = (minor / 100, minor % 100);
    if cents == 0 {
        whole.to_string()
    } else {
        format!("{whole}.{cents:02}")
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
