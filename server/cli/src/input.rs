//! Values people type: time spans, days, passwords, names of things that the coordinator knows by id.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure, Outcome};
use crate::output::Screen;

/// Most bytes of a file that people name: a definition, a trust document, a key.
pub const MAX_FILE_BYTES: u64 = 8 * 1024 * 1024;
/// Most bytes of a secret.
const MAX_SECRET_BYTES: u64 = 4096;

/// `90s`, `30m`, `12h`, `7d` as milliseconds.
pub fn span(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a time like 30m, 12h or 7d");
    let (number, unit) = text
        .char_indices()
        .last()
        .and_then(|(at, _)| text.split_at_checked(at))
        .ok_or_else(wrong)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: i64 = number.parse().map_err(|_| wrong())?;
    if number <= 0 {
        return Err(wrong());
    }
    number.checked_mul(unit_ms).ok_or_else(wrong)
}

/// `YYYY-MM-DD` as the last millisecond of that day in Bogotá.
pub fn day(text: &str) -> Result<i64, String> {
    let wrong = |_| format!("{text:?} is not a day like 2026-11-23");
    let date: Date = text.parse().map_err(wrong)?;
    let zone = TimeZone::get("America/Bogota").unwrap_or(TimeZone::UTC);
    let end = date
        .tomorrow()
        .and_then(|next| next.to_zoned_datetime(zone))
        .map_err(wrong)?;
    Ok(end.timestamp().as_millisecond() - 1)
}

/// Reads a file of bounded size.
pub fn read_file(path: &Path) -> Outcome<Vec<u8>> {
    let file = std::fs::File::open(path).map_err(|error| Failure::file(path, &error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::file(path, &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let path = path.display();
        return Err(Failure::new(
            Exit::Failed,
            "FILE_TOO_LARGE",
            format!("el archivo {path} es demasiado grande"),
            format!("the file {path} is too large"),
        ));
    }
    Ok(bytes)
}

/// Files of a folder that end in `.json`, in order of name.
pub fn json_files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::file(folder, &error))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files.sort();
    Ok(files)
}

/// Writes a file durably; `mode` as on Unix.
pub fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Outcome {
    chasqui_base::durable::write(path, bytes, mode).map_err(|error| Failure::file(path, &error))
}

/// The first line of a file: a password or passphrase.
pub fn secret_from_file(path: &Path) -> Outcome<Zeroizing<String>> {
    let file = std::fs::File::open(path).map_err(|error| Failure::file(path, &error))?;
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_SECRET_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::file(path, &error))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        let path = path.display();
        return Err(Failure::usage(
            format!("la primera línea de {path} está vacía"),
            format!("the first line of {path} is empty"),
        ));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// A secret from a file, else typed without echo. `es` and `en` are the question.
pub fn secret(
    screen: &Screen,
    file: Option<&PathBuf>,
    es: &str,
    en: &str,
) -> Outcome<Zeroizing<String>> {
    if let Some(file) = file {
        return secret_from_file(file);
    }
    if !screen.interactive {
        return Err(Failure::usage(
            format!("hay que dar un secreto y no hay terminal donde preguntar: {es}"),
            format!("a secret is needed and there is no terminal to ask at: {en}"),
        )
        .hint(
            "indique un archivo con --password-file o --passphrase-file",
            "name a file with --password-file or --passphrase-file",
        ));
    }
    let typed = rpassword::prompt_password(format!("{}: ", screen.say(es, en)))?;
    Ok(Zeroizing::new(typed))
}

/// A new secret: typed twice, or from a file.
pub fn new_secret(
    screen: &Screen,
    file: Option<&PathBuf>,
    es: &str,
    en: &str,
) -> Outcome<Zeroizing<String>> {
    let first = secret(screen, file, es, en)?;
    if file.is_none() {
        let again = secret(
            screen,
            None,
            &format!("{es} (otra vez)"),
            &format!("{en} (again)"),
        )?;
        if *first != *again {
            return Err(Failure::usage(
                "las dos veces no coinciden",
                "the two do not match",
            ));
        }
    }
    Ok(first)
}

/// True for a UUID in text.
pub fn is_id(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::parse_str(text).is_ok()
}

/// A fresh request id.
pub fn request_id() -> String {
    chasqui_base::clock::new_id().to_string()
}

/// Random bytes of the operating system.
pub fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "RANDOM",
            format!("el sistema no dio números aleatorios: {error}"),
            format!("the system gave no random numbers: {error}"),
        )
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit_and_are_positive() {
        assert_eq!(span("30m"), Ok(1_800_000));
        assert_eq!(span("7d"), Ok(604_800_000));
        for wrong in ["", "m", "0h", "-1h", "5", "5w", "9999999999999999d", "5µ"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_day_ends_at_midnight_in_bogota() {
        assert_eq!(day("2026-01-01"), Ok(1_767_329_999_999));
        assert!(day("2026-13-01").is_err());
    }
}
