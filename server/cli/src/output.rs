//! What people and scripts see. Text that came from elsewhere loses its control characters before it reaches a terminal;
//! colours appear only there, and never when `NO_COLOR` is set.

use std::io::{IsTerminal as _, Write as _};

use chasqui_base::text::Lang;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::failure::{Exit, Failure, Outcome};

/// Where and how results are shown.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Language of texts.
    pub lang: Lang,
    /// One JSON value instead of text for people.
    pub json: bool,
    /// Colours and emphasis.
    pub color: bool,
    /// Somebody can answer questions.
    pub interactive: bool,
    /// Columns, when the output is a terminal.
    pub width: Option<u16>,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It went well.
    Good,
    /// It wants attention.
    Warn,
    /// It went wrong.
    Bad,
    /// A heading.
    Strong,
    /// Less important.
    Dim,
}

impl Screen {
    /// For this process's output.
    pub fn new(lang: Lang, json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        Self {
            lang,
            json,
            color: terminal && !no_color && !dumb && !json,
            interactive: std::io::stdin().is_terminal(),
            width: None,
        }
    }

    /// For tests and texts kept in files: no terminal.
    pub fn plain(lang: Lang) -> Self {
        Self {
            lang,
            json: false,
            color: false,
            interactive: false,
            width: Some(100),
        }
    }

    /// Chooses between two texts.
    pub fn say<'a>(&self, es: &'a str, en: &'a str) -> &'a str {
        self.lang.pick(es, en)
    }

    /// A text in a colour, where colours are wanted.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
            Tone::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Writes text and a line end to standard output. A reader that went away (`| head`) is no error.
    pub fn line(&self, text: impl AsRef<str>) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}", text.as_ref());
        let _ = out.flush();
    }

    /// Writes to standard error: questions, warnings.
    pub fn note(&self, text: impl AsRef<str>) {
        let mut out = std::io::stderr().lock();
        let _ = writeln!(out, "{}", text.as_ref());
    }

    /// A warning for people, on standard error.
    pub fn warn(&self, es: &str, en: &str) {
        let word = self.say("aviso", "warning");
        self.note(format!("{word}: {}", self.say(es, en)));
    }

    /// The result of a command: `value` with `--json`, else what `text` makes.
    pub fn show(&self, value: &Value, text: impl FnOnce(&Self) -> String) {
        if self.json {
            self.json_line(value);
        } else {
            self.line(text(self).trim_end());
        }
    }

    /// One JSON value on one line: for streams.
    pub fn json_line(&self, value: &Value) {
        self.line(value.to_string());
    }

    /// Shows a failure on standard error, as text or JSON.
    pub fn fail(&self, failure: &Failure) {
        if self.json {
            self.note(failure.to_json(self.lang).to_string());
            return;
        }
        let color = self.color && std::io::stderr().is_terminal();
        let word = if color {
            self.tone(Tone::Bad, "error")
        } else {
            "error".to_owned()
        };
        self.note(format!(
            "{word}: {} [{}]",
            clean(failure.text.get(self.lang)),
            failure.code
        ));
        for (name, value) in &failure.details {
            self.note(format!("  {}: {}", clean(name), clean(value)));
        }
        if let Some(hint) = &failure.hint {
            self.note(format!("  → {}", clean(hint.get(self.lang))));
        }
    }

    /// A table with a heading row. Cells are neutralised.
    pub fn table(&self, heading: &[&str], rows: Vec<Vec<String>>) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        match self.width {
            Some(width) => {
                table.set_width(width);
            }
            None if !self.color => {
                // Not a terminal: scripts that cut columns want whole cells.
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
            None => {}
        }
        table.set_header(heading.iter().map(|title| {
            let cell = Cell::new(title);
            if self.color {
                cell.add_attribute(comfy_table::Attribute::Bold)
            } else {
                cell
            }
        }));
        for row in rows {
            table.add_row(row.into_iter().map(|cell| Cell::new(clean(&cell))));
        }
        if self.color {
            table.enforce_styling();
        }
        table
            .to_string()
            .lines()
            .map(str::trim_end)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Lines of `name: value`, aligned; empty values are left out.
    pub fn fields(&self, fields: &[(&str, String)]) -> String {
        let widest = fields
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        let mut out = String::new();
        for (name, value) in fields {
            if value.is_empty() {
                continue;
            }
            let pad = " ".repeat(widest.saturating_sub(name.chars().count()));
            let name = self.tone(Tone::Dim, &format!("{name}:"));
            let value = clean_block(value).replace('\n', &format!("\n{}", " ".repeat(widest + 4)));
            out.push_str(&format!("  {name}{pad} {value}\n"));
        }
        out
    }

    /// Asks for a yes. Without a person at the terminal the answer is an error that names `--yes`.
    pub fn confirm(&self, es: &str, en: &str, yes: bool) -> Outcome {
        if yes {
            return Ok(());
        }
        if !self.interactive {
            return Err(Failure::new(
                Exit::Refused,
                "CONFIRMATION_NEEDED",
                "nadie confirmó: no hay una terminal donde preguntar",
                "nobody confirmed: there is no terminal to ask at",
            )
            .hint(
                "agregue --yes si ya leyó lo que se firma o se cambia",
                "add --yes if what is signed or changed has been read",
            ));
        }
        let question = self.say(es, en);
        let keys = self.say("[s/N]", "[y/N]");
        {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "{question} {keys} ");
            let _ = out.flush();
        }
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        let answer = answer.trim().to_lowercase();
        if matches!(answer.as_str(), "s" | "si" | "sí" | "y" | "yes") {
            Ok(())
        } else {
            Err(Failure::new(
                Exit::Refused,
                "NOT_CONFIRMED",
                "no se confirmó; nada cambió",
                "not confirmed; nothing changed",
            ))
        }
    }

    /// A moment for people, in the time zone of `TZ`, else Bogotá. Zero is "never".
    pub fn time(&self, at_ms: i64) -> String {
        if at_ms == 0 {
            return self.say("nunca", "never").to_owned();
        }
        time_text(at_ms)
    }
}

/// `2026-11-23 13:05:09 -05`.
pub fn time_text(at_ms: i64) -> String {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else {
        return at_ms.to_string();
    };
    at.to_zoned_datetime(zone())
        .strftime("%Y-%m-%d %H:%M:%S %:::z")
        .to_string()
}

fn zone() -> TimeZone {
    std::env::var("TZ")
        .ok()
        .filter(|name| !name.is_empty())
        .and_then(|name| TimeZone::get(name.trim_start_matches(':')).ok())
        .or_else(|| TimeZone::get("America/Bogota").ok())
        .unwrap_or(TimeZone::UTC)
}

/// Bytes for people, binary units with one decimal.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = bytes;
    let mut rest = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        rest = whole % 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    if unit == 0 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{} {name}", rest * 10 / 1024)
    }
}

/// One line of remote text, safe on a terminal: what could move the cursor or reverse the reading becomes visible.
pub fn clean(text: &str) -> String {
    clean_but(text, |_| false)
}

/// Several lines of remote text: line ends and tabs stay.
pub fn clean_block(text: &str) -> String {
    clean_but(text, |c| matches!(c, '\n' | '\t'))
}

fn clean_but(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if chasqui_trust::text::is_deceptive(c) && !keep(c) {
            out.push_str(&format!("[U+{:04X}]", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// The part of a protobuf enum name that says something: `TICKET_STATE_IN_PROGRESS` is `in_progress`.
pub fn enum_name(full: &str, prefix: &str) -> String {
    full.strip_prefix(prefix).unwrap_or(full).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_text_cannot_move_the_cursor() {
        assert_eq!(
            clean("a\u{1b}[2Jb\u{202e}c\n"),
            "a[U+001B][2Jb[U+202E]c[U+000A]"
        );
        assert_eq!(clean_block("a\n\tb\r"), "a\n\tb[U+000D]");
    }

    #[test]
    fn bytes_are_read_in_binary_units() {
        assert_eq!(bytes_text(0), "0 B");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(8 * 1024 * 1024 * 1024), "8.0 GiB");
    }

    #[test]
    fn a_table_carries_no_escape_sequences_off_a_terminal() {
        let table =
            Screen::plain(Lang::En).table(&["A", "B"], vec![vec!["1".into(), "\u{1b}[0m".into()]]);
        assert!(!table.contains('\u{1b}'));
        assert!(table.contains("[U+001B][0m"));
    }
}
