//! What a parameter's value may be. The grammar is narrow on purpose: values become arguments of programs, names of
//! files and words on screens, and each of those has characters that mean more than they show.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{InventoryKind, ParameterKind, ParameterSpec};
use crate::canonical::{FormatError, check_distinct};
use crate::order::{MAX_VALUE_CHARS, Parameter, ParameterValue};
use crate::text::{Text, check_identifier, is_deceptive};

/// Which characters a text may have. No class has `& | ; $ < > ( ) { } [ ] * % " ' # =`, a backslash or backquote; `~` and `^`
/// only inside versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CharClass {
    /// `0-9`.
    Digits,
    /// `A-Z a-z 0-9`.
    Alphanumeric,
    /// `A-Z a-z 0-9 . _ - : @ +`: units, packages, services.
    Identifier,
    /// A host name or IPv4 address: labels of `A-Z a-z 0-9 -`, joined by dots, none beginning or ending in a dash.
    Host,
    /// `A-Z a-z 0-9 . + - : ~ ^ _`, beginning with a letter or digit: versions of deb and rpm packages.
    Version,
    /// One file name: letters, digits, space and `. _ -`; no leading or trailing dot or space, no device name of Windows.
    FileName,
    /// Words for people: letters and digits of any script, space and `. , : - _ @ + / ? ! ¿ ¡`; no leading `/`.
    Prose,
}

/// Longest name of something the machine has.
const MAX_INVENTORY_NAME: u32 = 256;

/// Why parameters do not fit a definition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrammarError {
    /// A parameter the definition has and the order lacks.
    #[error("parameter {0:?} is missing")]
    Missing(String),
    /// A parameter the definition does not have, or out of its order.
    #[error("parameter {0:?} is not defined here")]
    Undefined(String),
    /// A value outside its grammar.
    #[error("parameter {name:?} {why}")]
    Value {
        /// Which.
        name: String,
        /// What it must be.
        why: &'static str,
    },
}

impl GrammarError {
    /// The same in both languages.
    pub fn text(&self) -> Text {
        let es = match self {
            Self::Missing(name) => format!("falta el parámetro {name:?}"),
            Self::Undefined(name) => format!("el parámetro {name:?} no está definido aquí"),
            Self::Value { name, why } => {
                format!("el valor del parámetro {name:?} no cumple su gramática ({why})")
            }
        };
        Text::new(es, self.to_string())
    }
}

pub(super) fn check_kind(name: &str, kind: &ParameterKind) -> Result<(), FormatError> {
    let bad = |why: &str| {
        Err(FormatError::invalid(
            "definition",
            format!("parameters.{name}"),
            why,
        ))
    };
    let length_fits = |n: u32| n >= 1 && n as usize <= MAX_VALUE_CHARS;
    match kind {
        ParameterKind::Integer { min, max } if min > max => bad("has min above max"),
        ParameterKind::Integer { .. } => Ok(()),
        ParameterKind::Choice { options } => {
            if options.is_empty() {
                return bad("offers no choice");
            }
            check_distinct("definition", "parameters.options", options, 64, |o| {
                o.as_str()
            })?;
            options
                .iter()
                .try_for_each(|o| check_identifier("definition", "parameters.options", o, 128))
        }
        ParameterKind::Text { max_length, .. } if !length_fits(*max_length) => {
            bad("has a max_length outside 1 to 4096")
        }
        ParameterKind::Text { .. } | ParameterKind::Inventory { .. } => Ok(()),
        ParameterKind::List {
            max_items,
            max_length,
            ..
        } => {
            if !(1..=256).contains(max_items) {
                return bad("has max_items outside 1 to 256");
            }
            if !length_fits(*max_length) {
                return bad("has a max_length outside 1 to 4096");
            }
            Ok(())
        }
    }
}

pub(super) fn check(specs: &[ParameterSpec], given: &[Parameter]) -> Result<(), GrammarError> {
    if let Some(missing) = specs
        .iter()
        .find(|s| !given.iter().any(|g| g.name == s.name))
    {
        return Err(GrammarError::Missing(missing.name.clone()));
    }
    for (at, parameter) in given.iter().enumerate() {
        let spec = specs
            .get(at)
            .filter(|s| s.name == parameter.name)
            .ok_or_else(|| GrammarError::Undefined(parameter.name.clone()))?;
        check_value(&spec.kind, &parameter.value).map_err(|why| GrammarError::Value {
            name: spec.name.clone(),
            why,
        })?;
    }
    Ok(())
}

fn check_value(kind: &ParameterKind, value: &ParameterValue) -> Result<(), &'static str> {
    match (kind, value) {
        (ParameterKind::Integer { min, max }, ParameterValue::Integer(n)) => {
            if (min..=max).contains(&n) {
                Ok(())
            } else {
                Err("is out of range")
            }
        }
        (ParameterKind::Choice { options }, ParameterValue::Text(text)) => {
            if options.contains(text) {
                Ok(())
            } else {
                Err("is not one of the choices")
            }
        }
        (
            ParameterKind::Text {
                max_length,
                class,
                leading_dash,
            },
            ParameterValue::Text(text),
        ) => check_chars(text, *max_length, *class, *leading_dash),
        (
            ParameterKind::List {
                max_items,
                max_length,
                class,
            },
            ParameterValue::List(items),
        ) => {
            if items.is_empty() || items.len() > *max_items as usize {
                return Err("has too few or too many items");
            }
            items
                .iter()
                .try_for_each(|item| check_chars(item, *max_length, *class, false))
        }
        (ParameterKind::Inventory { of }, ParameterValue::Text(text)) => {
            check_chars(text, MAX_INVENTORY_NAME, of.class(), false)
        }
        _ => Err("is of another type"),
    }
}

impl InventoryKind {
    /// How such names are written.
    fn class(self) -> CharClass {
        match self {
            Self::Service | Self::Package | Self::Disk | Self::Interface => CharClass::Identifier,
            Self::Printer => CharClass::FileName,
        }
    }
}

fn check_chars(
    text: &str,
    max_length: u32,
    class: CharClass,
    leading_dash: bool,
) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.chars().count() > max_length as usize {
        return Err("is too long");
    }
    if text.starts_with('-') && !leading_dash {
        return Err("begins with a dash");
    }
    if text.chars().all(|c| class.allows(c)) && class.fits(text) {
        Ok(())
    } else {
        Err("has characters that are not allowed")
    }
}

impl CharClass {
    fn allows(self, c: char) -> bool {
        match self {
            Self::Digits => c.is_ascii_digit(),
            Self::Alphanumeric => c.is_ascii_alphanumeric(),
            Self::Identifier => {
                c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | '+')
            }
            Self::Version => {
                c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | ':' | '~' | '^' | '_')
            }
            Self::Host => c.is_ascii_alphanumeric() || matches!(c, '.' | '-'),
            Self::FileName => {
                (c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-')) && !is_deceptive(c)
            }
            Self::Prose => {
                (c.is_alphanumeric()
                    || matches!(
                        c,
                        ' ' | '.' | ',' | ':' | '-' | '_' | '@' | '+' | '/' | '?' | '!' | '¿' | '¡'
                    ))
                    && !is_deceptive(c)
            }
        }
    }

    /// Rules over the whole text, beyond its characters.
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Digits | Self::Alphanumeric | Self::Identifier => true,
            Self::Version => text.starts_with(|c: char| c.is_ascii_alphanumeric()),
            Self::Host => {
                text.len() <= 253
                    && text.split('.').all(|label| {
                        (1..=63).contains(&label.len())
                            && !label.starts_with('-')
                            && !label.ends_with('-')
                    })
            }
            Self::FileName => {
                !text.starts_with(['.', ' ']) && !text.ends_with(['.', ' ']) && !is_device(text)
            }
            Self::Prose => {
                !text.starts_with([' ', '/']) && !text.ends_with(' ') && !text.contains("//")
            }
        }
    }
}

/// Names Windows takes for devices, with any extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN" | "CONOUT"
    ) || ["COM", "LPT"].iter().any(|prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            let mut chars = rest.chars();
            chars
                .next()
                .is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'))
                && chars.next().is_none()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CharClass; 7] = [
        CharClass::Digits,
        CharClass::Alphanumeric,
        CharClass::Identifier,
        CharClass::Version,
        CharClass::Host,
        CharClass::FileName,
        CharClass::Prose,
    ];

    #[test]
    fn no_class_lets_a_metacharacter_or_control_character_through() {
        for class in ALL {
            for c in "&|;$<>(){}[]*%^\"'#~=\\`\n\r\t\0\u{1b}\u{202e}\u{200b}".chars() {
                // Versions of packages have them; nothing here ever reaches a shell.
                if class == CharClass::Version && matches!(c, '~' | '^') {
                    continue;
                }
                let text = format!("a{c}b");
                assert!(
                    check_chars(&text, 10, class, true).is_err(),
                    "{class:?} lets {c:?} through"
                );
            }
        }
    }

    #[test]
    fn option_injection_traversal_and_devices_are_refused() {
        for class in ALL {
            assert!(check_chars("-rf", 10, class, false).is_err(), "{class:?}");
        }
        let refused = [
            (CharClass::FileName, ".."),
            (CharClass::FileName, "a/b"),
            (CharClass::FileName, "NUL"),
            (CharClass::FileName, "com1.txt"),
            (CharClass::Prose, "/s /q"),
            (CharClass::Prose, "//host/share"),
            (CharClass::Host, "a..b"),
            (CharClass::Host, "-a.b"),
            (CharClass::Identifier, ""),
            (CharClass::Version, "~root"),
            (CharClass::Version, "+1"),
        ];
        for (class, text) in refused {
            assert!(
                check_chars(text, 64, class, true).is_err(),
                "{class:?} {text:?}"
            );
        }
        let allowed = [
            (CharClass::FileName, "informe final.txt"),
            (
                CharClass::Prose,
                "¿Puede guardar su trabajo? Reinicio a las 12:30",
            ),
            (CharClass::Host, "srv-01.example.org"),
            (CharClass::Identifier, "getty@tty1.service"),
            (CharClass::Version, "1:2.4.6-1~bpo12+1"),
        ];
        for (class, text) in allowed {
            assert!(
                check_chars(text, 64, class, false).is_ok(),
                "{class:?} {text:?}"
            );
        }
    }

    #[test]
    fn length_counts_characters() {
        assert!(check_chars("ñandú", 5, CharClass::Prose, false).is_ok());
        assert!(check_chars("ñandúe", 5, CharClass::Prose, false).is_err());
    }
}
