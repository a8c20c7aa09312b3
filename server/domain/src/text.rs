//! One text in the two languages people read here. Which one is shown is decided where it is shown.

use serde::{Deserialize, Serialize};

/// The same sentence in Spanish and English.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Spanish (es-CO).
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

    /// A text that reads the same in both languages (a name, a number).
    pub fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            es: text.clone(),
            en: text,
        }
    }

    /// Adds another sentence, with a space between.
    pub fn push(&mut self, more: &Text) {
        for (to, from) in [(&mut self.es, &more.es), (&mut self.en, &more.en)] {
            if !to.is_empty() && !from.is_empty() {
                to.push(' ');
            }
            to.push_str(from);
        }
    }

    /// This text followed by another.
    #[must_use]
    pub fn and(mut self, more: &Text) -> Self {
        self.push(more);
        self
    }
}
