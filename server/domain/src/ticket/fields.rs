//! The texts of a ticket: bounded, without control characters, and so made that a checked text cannot be mistaken for
//! an unchecked one. Lengths are counted in characters (Unicode scalar values), not bytes.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Characters of a title after trimming.
pub const TITLE_CHARS: RangeInclusive<usize> = 3..=200;
/// Most characters of a description, a solution or a comment.
pub const DESCRIPTION_MAX_CHARS: usize = 20_000;
/// Most characters of a reason.
pub const REASON_MAX_CHARS: usize = 2_000;

/// One line, 3 to 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Title(String);

/// Any number of lines, at most 20,000 characters; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Body(String);

/// Why something is done: 1 to 2,000 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Title {
    /// Checks and trims.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean("title", text, false)?;
        bounded("title", &text, *TITLE_CHARS.start(), *TITLE_CHARS.end())?;
        Ok(Self(text))
    }
}

impl Body {
    /// Checks and trims. `field` is named in the refusal: `description`, `solution`, `text`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Invalid> {
        let text = clean(field, text, true)?;
        bounded(field, &text, 0, DESCRIPTION_MAX_CHARS)?;
        Ok(Self(text))
    }

    /// The same for texts that must say something: a solution, a comment.
    pub fn parse_required(field: &'static str, text: &str) -> Result<Self, Invalid> {
        let text = clean(field, text, true)?;
        bounded(field, &text, 1, DESCRIPTION_MAX_CHARS)?;
        Ok(Self(text))
    }
}

impl Reason {
    /// Checks and trims.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = clean("reason", text, true)?;
        bounded("reason", &text, 1, REASON_MAX_CHARS)?;
        Ok(Self(text))
    }
}

/// Line ends become `\n`, the ends are trimmed, and what would be shown as nothing or as something else is refused:
/// control characters, and the marks that reorder the text around them (a title could show another file's ending).
fn clean(field: &'static str, text: &str, lines: bool) -> Result<String, Invalid> {
    // A refusal before the copy: a message at the transport's limit is not worth normalising.
    if text.len() > 4 * (DESCRIPTION_MAX_CHARS + 1_000) {
        return Err(too_long(field, DESCRIPTION_MAX_CHARS));
    }
    let text = text.replace("\r\n", "\n");
    let text = text.trim();
    for (at, ch) in text.chars().enumerate() {
        let allowed_control = lines && matches!(ch, '\n' | '\t');
        let reorders = matches!(ch, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let breaks = matches!(ch, '\u{2028}' | '\u{2029}') && !lines;
        if (ch.is_control() && !allowed_control) || reorders || breaks {
            let code = format!("U+{:04X}", ch as u32);
            let at = at + 1;
            return Err(Invalid::new(
                field,
                format!("contiene un carácter de control ({code}, posición {at}): retírelo"),
                format!("holds a control character ({code}, position {at}): remove it"),
            ));
        }
    }
    Ok(text.to_owned())
}

fn bounded(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), Invalid> {
    let chars = text.chars().count();
    if chars > most {
        return Err(too_long(field, most));
    }
    if chars < least {
        return Err(Invalid::new(
            field,
            format!("tiene {chars} caracteres: se necesitan al menos {least}"),
            format!("has {chars} characters: at least {least} are needed"),
        ));
    }
    Ok(())
}

fn too_long(field: &'static str, most: usize) -> Invalid {
    Invalid::new(
        field,
        format!("pasa de {most} caracteres: acórtelo"),
        format!("is over {most} characters: shorten it"),
    )
}

macro_rules! text_newtype {
    ($($type:ident by $parse:expr;)*) => {$(
        impl $type {
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                $parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.0
            }
        }
    )*};
}

text_newtype! {
    Title by Title::parse;
    Body by |text: &str| Body::parse("text", text);
    Reason by Reason::parse;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_one_line_of_3_to_200() {
        assert_eq!(
            Title::parse("  No imprime \n").unwrap().as_str(),
            "No imprime"
        );
        assert!(Title::parse("abc").is_ok());
        assert!(Title::parse(" ab ").is_err());
        assert!(Title::parse(&"ñ".repeat(200)).is_ok());
        assert!(Title::parse(&"ñ".repeat(201)).is_err());
        for bad in [
            "a\nb c",
            "a\tb c",
            "abc\0",
            "abc\u{1b}[31m",
            "factura\u{202e}fdp.exe",
            "uno\u{2028}dos",
            "abc\u{85}d",
        ] {
            let refused = Title::parse(bad).unwrap_err();
            assert_eq!(refused.field, "title");
            assert!(refused.why.en.contains("U+"), "{refused}");
        }
    }

    #[test]
    fn bodies_keep_their_lines_and_end_at_20000() {
        assert_eq!(
            Body::parse("description", "uno\r\n\tdos\n")
                .unwrap()
                .as_str(),
            "uno\n\tdos"
        );
        assert_eq!(Body::parse("description", " ").unwrap().as_str(), "");
        assert_eq!(
            Body::parse_required("solution", " ").unwrap_err().field,
            "solution"
        );
        assert!(Body::parse("description", &"😀".repeat(20_000)).is_ok());
        assert!(Body::parse("description", &"a".repeat(20_001)).is_err());
        assert!(Body::parse("description", &"a".repeat(10_000_000)).is_err());
        assert!(Body::parse("description", "a\rb").is_err());
        assert!(Body::parse("description", "a\0b").is_err());
    }

    #[test]
    fn reasons_say_something() {
        assert!(Reason::parse("").is_err());
        assert!(Reason::parse(&"x".repeat(2_000)).is_ok());
        assert!(Reason::parse(&"x".repeat(2_001)).is_err());
    }

    #[test]
    fn stored_texts_are_checked_when_read_back() {
        assert!(serde_json::from_str::<Title>("\"ab\"").is_err());
        assert!(serde_json::from_str::<Reason>("\"\"").is_err());
        assert!(serde_json::from_str::<Body>("\"a\\u0000b\"").is_err());
        assert_eq!(
            serde_json::to_string(&Title::parse("abc").unwrap()).unwrap(),
            "\"abc\""
        );
    }
}
