//! Texts people read, and what a signed text may hold. A signed paper is shown on terminals, in pages and on print: a
//! control character or a right-to-left mark in it could make a signer read something else than what is signed.

use serde::{Deserialize, Serialize};

use crate::canonical::FormatError;

/// One text in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Spanish.
    pub es: String,
    /// English.
    pub en: String,
}

impl Text {
    /// Both texts at once.
    pub fn new(es: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            es: es.into(),
            en: en.into(),
        }
    }

    /// The same words in both languages: names, numbers, digests.
    pub fn same(words: impl Into<String>) -> Self {
        let words = words.into();
        Self {
            es: words.clone(),
            en: words,
        }
    }

    /// Spanish when `spanish`, else English.
    pub fn pick(&self, spanish: bool) -> &str {
        if spanish { &self.es } else { &self.en }
    }
}

/// True for characters that may not stand in a line of a signed paper: control characters, line and paragraph
/// separators, bidirectional marks, zero-width and other invisible format characters.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00AD}'
                | '\u{034F}'
                | '\u{061C}'
                | '\u{115F}'..='\u{1160}'
                | '\u{17B4}'..='\u{17B5}'
                | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{3164}'
                | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}'
                | '\u{FFA0}'
                | '\u{FFF0}'..='\u{FFFB}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E0FFF}'
        )
}

/// Makes a text safe for terminal and page alike: deceptive characters become `U+XXXX` in brackets, and the five
/// characters HTML gives a meaning become look-alikes that mean nothing there.
pub fn neutralise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push('‹'),
            '>' => out.push('›'),
            '&' => out.push('＆'),
            '"' => out.push('”'),
            '\'' => out.push('’'),
            c if is_deceptive(c) => {
                out.push_str(&format!("[U+{:04X}]", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// Checks one line: not empty, at most `max` characters, nothing deceptive.
pub(crate) fn check_line(
    what: &'static str,
    field: &str,
    value: &str,
    max: usize,
) -> Result<(), FormatError> {
    if value.is_empty() {
        return Err(FormatError::invalid(what, field, "is empty"));
    }
    check_optional_line(what, field, value, max)
}

/// Like [`check_line`], but may be empty.
pub(crate) fn check_optional_line(
    what: &'static str,
    field: &str,
    value: &str,
    max: usize,
) -> Result<(), FormatError> {
    if value.chars().count() > max {
        return Err(FormatError::invalid(
            what,
            field,
            format!("is longer than {max} characters"),
        ));
    }
    if value.chars().any(is_deceptive) {
        return Err(FormatError::invalid(
            what,
            field,
            "holds control or invisible characters",
        ));
    }
    Ok(())
}

/// Like [`check_optional_line`], but line feeds are allowed.
pub(crate) fn check_prose(
    what: &'static str,
    field: &str,
    value: &str,
    max: usize,
) -> Result<(), FormatError> {
    if value.chars().count() > max {
        return Err(FormatError::invalid(
            what,
            field,
            format!("is longer than {max} characters"),
        ));
    }
    if value.chars().any(|c| c != '\n' && is_deceptive(c)) {
        return Err(FormatError::invalid(
            what,
            field,
            "holds control or invisible characters",
        ));
    }
    Ok(())
}

/// Checks both languages of a text, each a non-empty line.
pub(crate) fn check_text(
    what: &'static str,
    field: &str,
    value: &Text,
    max: usize,
) -> Result<(), FormatError> {
    check_line(what, &format!("{field}.es"), &value.es, max)?;
    check_line(what, &format!("{field}.en"), &value.en, max)
}

/// Checks an identifier: 1 to `max` of `a-z A-Z 0-9 . _ - : @`, beginning with a letter or digit.
pub(crate) fn check_identifier(
    what: &'static str,
    field: &str,
    value: &str,
    max: usize,
) -> Result<(), FormatError> {
    check_line(what, field, value, max)?;
    let first_ok = value
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    let rest_ok = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@'));
    if first_ok && rest_ok {
        Ok(())
    } else {
        Err(FormatError::invalid(
            what,
            field,
            "must be letters, digits and . _ - : @, beginning with a letter or digit",
        ))
    }
}

/// Checks a UUID in text: lower case with dashes.
pub(crate) fn check_uuid(what: &'static str, field: &str, value: &str) -> Result<(), FormatError> {
    let ok = value.len() == 36
        && value.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        });
    if ok {
        Ok(())
    } else {
        Err(FormatError::invalid(
            what,
            field,
            "must be a UUID in lower case with dashes",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_and_terminal_sequences_lose_their_meaning() {
        let text = neutralise("<b>\u{1b}[31m\u{202e}&\"'");
        assert_eq!(text, "‹b›[U+001B][31m[U+202E]＆”’");
    }

    #[test]
    fn a_uuid_is_lower_case_with_dashes() {
        assert!(check_uuid("x", "id", "0192f0c1-0000-7000-8000-000000000001").is_ok());
        assert!(check_uuid("x", "id", "0192F0C1-0000-7000-8000-000000000001").is_err());
        assert!(check_uuid("x", "id", "0192f0c1000070008000000000000001").is_err());
    }
}
