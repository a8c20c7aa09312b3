//! From four verdicts to one recommendation. The table is in the [module above](super).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Criterion, CriterionId, Verdict};
use crate::{Invalid, Text};

/// The recommendation. The names are those of the Spanish papers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// In service.
    Vigente,
    /// To be watched.
    Vigilar,
    /// To be upgraded: memory, disk or system.
    Repotenciar,
    /// To be given lighter work.
    Reasignar,
    /// To be retired.
    Baja,
    /// Not enough is known.
    SinDatos,
}

impl Class {
    /// Every class, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::Vigente,
        Self::Vigilar,
        Self::Repotenciar,
        Self::Reasignar,
        Self::Baja,
        Self::SinDatos,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vigente => "vigente",
            Self::Vigilar => "vigilar",
            Self::Repotenciar => "repotenciar",
            Self::Reasignar => "reasignar",
            Self::Baja => "baja",
            Self::SinDatos => "sin_datos",
        }
    }

    /// The name people read.
    pub fn name(self) -> Text {
        match self {
            Self::Vigente => Text::new("vigente", "in service"),
            Self::Vigilar => Text::new("vigilar", "watch"),
            Self::Repotenciar => Text::new("repotenciar", "upgrade"),
            Self::Reasignar => Text::new("reasignar", "reassign"),
            Self::Baja => Text::new("dar de baja", "retire"),
            Self::SinDatos => Text::new("sin datos suficientes", "not enough data"),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| {
                let all = Self::ALL.map(Self::as_str).join(", ");
                Invalid::new(
                    "class",
                    format!("desconocida: use una de {all}"),
                    format!("unknown: use one of {all}"),
                )
            })
    }
}

pub(super) fn classify(criteria: &[Criterion]) -> (Class, Text) {
    use Verdict as V;
    let of = |id| {
        criteria
            .iter()
            .find(|one| one.id == id)
            .map_or(V::Unknown, |one| one.verdict)
    };
    let (age, memory, disk, support) = (
        of(CriterionId::Age),
        of(CriterionId::Memory),
        of(CriterionId::DiskKind),
        of(CriterionId::OsSupport),
    );
    let bad = |verdict| matches!(verdict, V::Watch | V::Fails);
    let parts = bad(memory) || bad(disk);
    let unknown: Vec<Text> = criteria
        .iter()
        .filter(|one| one.verdict == V::Unknown)
        .map(|one| one.id.name())
        .collect();

    let (class, mut reason) = if age == V::Fails && support == V::Fails && parts {
        let text = Text::new(
            "Cumplió su vida útil, su sistema ya no recibe actualizaciones y además habría que cambiarle piezas.",
            "It is past its useful life, its system gets no updates, and parts would have to be replaced too.",
        );
        (Class::Baja, text)
    } else if age == V::Fails && parts && matches!(support, V::Ok | V::Watch) {
        let text = Text::new(
            "Cumplió su vida útil y se queda corto, pero su sistema tiene soporte: sirve para un trabajo más liviano.",
            "It is past its useful life and falls short, but its system is supported: it serves for lighter work.",
        );
        (Class::Reasignar, text)
    } else if parts || support == V::Fails {
        (
            Class::Repotenciar,
            upgrade(bad(memory), bad(disk), support == V::Fails),
        )
    } else if bad(age) || bad(support) {
        let text = match (bad(age), bad(support)) {
            (true, true) => Text::new(
                "Nada que cambiar hoy, pero su vida útil y el soporte de su sistema terminan o terminaron.",
                "Nothing to replace today, but its useful life and its system's support are ending or over.",
            ),
            (true, false) => Text::new(
                "Nada que cambiar hoy, pero su vida útil termina o terminó.",
                "Nothing to replace today, but its useful life is ending or over.",
            ),
            _ => Text::new(
                "Nada que cambiar hoy, pero se acerca el fin del soporte de su sistema.",
                "Nothing to replace today, but the end of its system's support is near.",
            ),
        };
        (Class::Vigilar, text)
    } else if unknown.is_empty() {
        (
            Class::Vigente,
            Text::new("Cumple todos los criterios.", "It meets every criterion."),
        )
    } else {
        let text = Text::new(
            "Nada en su contra, pero no se sabe lo suficiente para darlo por vigente.",
            "Nothing against it, but not enough is known to call it in service.",
        );
        (Class::SinDatos, text)
    };
    if !unknown.is_empty() {
        let es: Vec<&str> = unknown.iter().map(|name| name.es.as_str()).collect();
        let en: Vec<&str> = unknown.iter().map(|name| name.en.as_str()).collect();
        let mut missing = Text::new(
            format!("Falta saber: {}.", es.join(", ")),
            format!("Still unknown: {}.", en.join(", ")),
        );
        if class == Class::Repotenciar && age == V::Unknown && support == V::Fails && parts {
            missing.push(&Text::new(
                "Con la fecha de compra podría ser una baja.",
                "With the day of purchase it might have to be retired.",
            ));
        }
        reason.push(&missing);
    }
    (class, reason)
}

fn upgrade(memory: bool, disk: bool, system: bool) -> Text {
    let mut es = Vec::new();
    let mut en = Vec::new();
    if memory {
        es.push("más memoria");
        en.push("more memory");
    }
    if disk {
        es.push("un disco de estado sólido");
        en.push("a solid-state disk");
    }
    if system {
        es.push("un sistema con soporte");
        en.push("a supported system");
    }
    Text::new(
        format!("Se repotencia con {}.", list(&es, "y")),
        format!("It can be upgraded with {}.", list(&en, "and")),
    )
}

fn list(items: &[&str], and: &str) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} {and} {last}", first.join(", ")),
    }
}
