//! Security updates of the operating system, by the knowledge table: fails after the last day, watched in its last six
//! months and during a free long-term phase.
//!
//! What comes after general support is shown apart. It counts only where it is free and for everybody without
//! subscription (Debian LTS), and then as "watch": fewer packages, fewer architectures, time to move. What takes a
//! contract (ESU, Ubuntu Pro, ELS, LTSS) never counts, because no fact tells us that this machine has it.
//! The last day is a day of support, to its end in Bogotá.

use jiff::ToSpan;
use jiff::civil::Date;

use super::{
    Criterion, CriterionId, DeviceFacts, Evidence, Fact, OperatingSystem, Rule, Verdict, day,
    no_today,
};
use crate::knowledge::{Found, Knowledge, Release};
use crate::{Text, calendar};

const WATCH_MONTHS: i32 = 6;
/// "No end announced" holds as long as somebody looked lately.
const OPEN_HOLDS_MONTHS: i32 = 3;

pub(super) fn assess(facts: &DeviceFacts, knowledge: &Knowledge, today: Option<Date>) -> Criterion {
    let mut rule = Rule::new(CriterionId::OsSupport, "os.support", 1);
    let os = match &facts.operating_system {
        Fact::Known { value, .. } => value,
        unknown @ Fact::Unknown { .. } => {
            let why = unknown.why();
            return rule.unknown(&Text::new(
                format!("Sistema operativo desconocido: {}.", why.es),
                format!("Operating system unknown: {}.", why.en),
            ));
        }
    };
    gather(&mut rule, facts, os);
    let Some(today) = today else {
        return rule.unknown(&no_today());
    };
    let releases = match knowledge.find(os) {
        Found::Releases(releases) => releases,
        not_found => return rule.unknown(&not_in_table(os, knowledge, &not_found)),
    };
    for release in &releases {
        cite(&mut rule, knowledge, release);
    }
    let judged: Vec<(Verdict, Text)> = releases
        .iter()
        .map(|release| judge(release, knowledge, today))
        .collect();
    let Some((verdict, text)) = judged.first().cloned() else {
        return rule.unknown(&Text::default());
    };
    let [_] = judged.as_slice() else {
        return several(rule, os, &releases, &judged);
    };
    rule.verdict(verdict, text.es, text.en)
}

/// The edition is needed and not known: if the answer is the same for all, that is the answer.
fn several(
    rule: Rule,
    os: &OperatingSystem,
    releases: &[&Release],
    judged: &[(Verdict, Text)],
) -> Criterion {
    let edition = os.edition.as_deref().map(|edition| quoted(edition, 60));
    let lead = match edition {
        None => Text::new("Edición no informada.", "The edition was not reported."),
        Some(edition) => Text::new(
            format!("Edición {edition} no reconocida."),
            format!("The edition {edition} is not one we know."),
        ),
    };
    let mut all = lead;
    for (_, text) in judged {
        all.push(text);
    }
    let first = judged.first().map(|(verdict, _)| *verdict);
    match first {
        Some(verdict) if judged.iter().all(|(other, _)| *other == verdict) => {
            rule.verdict(verdict, all.es, all.en)
        }
        _ => {
            let names: Vec<&str> = releases
                .iter()
                .map(|release| release.label.as_str())
                .collect();
            let names = names.join(", ");
            all.push(&Text::new(
                format!("La respuesta depende de la edición ({names})."),
                format!("The answer depends on the edition ({names})."),
            ));
            rule.unknown(&all)
        }
    }
}

fn judge(release: &Release, knowledge: &Knowledge, today: Date) -> (Verdict, Text) {
    let label = &release.label;
    let Some(end) = release.supported_until else {
        let checked = day(knowledge.checked_on);
        let fresh = knowledge
            .checked_on
            .checked_add(OPEN_HOLDS_MONTHS.months())
            .is_ok_and(|last| today <= last);
        return if fresh {
            let text = Text::new(
                format!(
                    "{label} tenía soporte y ningún fin anunciado el {}.",
                    checked.es
                ),
                format!(
                    "{label} was supported with no end announced on {}.",
                    checked.en
                ),
            );
            (Verdict::Ok, text)
        } else {
            let text = Text::new(
                format!(
                    "{label} no tenía fin anunciado el {}, pero esa consulta ya es vieja: actualice la tabla.",
                    checked.es
                ),
                format!(
                    "{label} had no end announced on {}, but that was long ago: update the table.",
                    checked.en
                ),
            );
            (Verdict::Unknown, text)
        };
    };
    let on = day(end);
    let near = end
        .checked_sub(WATCH_MONTHS.months())
        .is_ok_and(|from| today >= from);
    let free = release.longer.as_ref().filter(|longer| longer.free);
    let (verdict, mut text) = match free {
        _ if today <= end && !near => (
            Verdict::Ok,
            Text::new(
                format!(
                    "{label} recibe actualizaciones de seguridad hasta el {}.",
                    on.es
                ),
                format!("{label} gets security updates until {}.", on.en),
            ),
        ),
        _ if today <= end => (
            Verdict::Watch,
            Text::new(
                format!(
                    "A {label} le quedan menos de {WATCH_MONTHS} meses de actualizaciones de seguridad: hasta el {}.",
                    on.es
                ),
                format!(
                    "{label} has less than {WATCH_MONTHS} months of security updates left: until {}.",
                    on.en
                ),
            ),
        ),
        Some(longer) if today <= longer.until => {
            let until = day(longer.until);
            let text = Text::new(
                format!(
                    "El soporte general de {label} terminó el {}; {}, gratuito y público, lo cubre hasta el {}.",
                    on.es, longer.name, until.es
                ),
                format!(
                    "General support of {label} ended on {}; {}, free and public, covers it until {}.",
                    on.en, longer.name, until.en
                ),
            );
            return (Verdict::Watch, text);
        }
        Some(longer) => {
            let until = day(longer.until);
            let text = Text::new(
                format!(
                    "{label} dejó de recibir actualizaciones de seguridad el {}, con el fin de {}; su soporte general terminó el {}.",
                    until.es, longer.name, on.es
                ),
                format!(
                    "{label} stopped getting security updates on {}, with the end of {}; its general support ended on {}.",
                    until.en, longer.name, on.en
                ),
            );
            return (Verdict::Fails, text);
        }
        None => (
            Verdict::Fails,
            Text::new(
                format!(
                    "{label} dejó de recibir actualizaciones de seguridad el {}.",
                    on.es
                ),
                format!("{label} stopped getting security updates on {}.", on.en),
            ),
        ),
    };
    if let Some(longer) = &release.longer {
        let until = day(longer.until);
        let name = &longer.name;
        text.push(&match (longer.free, today <= longer.until) {
            // Only before the end of general support: what is free and over has been said.
            (true, _) => Text::new(
                format!("Después lo cubre {name}, gratuito y público, hasta el {}.", until.es),
                format!("After that {name}, free and public, covers it until {}.", until.en),
            ),
            (false, true) => Text::new(
                format!("Con contrato o suscripción {name} lo cubre hasta el {}; aquí no cuenta.", until.es),
                format!("With a contract or subscription {name} covers it until {}; it does not count here.", until.en),
            ),
            (false, false) => Text::new(
                format!("También {name}, con contrato o suscripción, terminó el {}.", until.es),
                format!("{name}, with a contract or subscription, ended on {} too.", until.en),
            ),
        });
    }
    (verdict, text)
}

fn not_in_table(os: &OperatingSystem, knowledge: &Knowledge, found: &Found<'_>) -> Text {
    let version = quoted(&knowledge.version, 40);
    let name = quoted(
        if os.name.is_empty() {
            &os.system
        } else {
            &os.name
        },
        100,
    );
    match found {
        Found::NoSystem => Text::new(
            format!("{name} no está en la tabla de fin de soporte (versión {version})."),
            format!("{name} is not in the table of end of support (version {version})."),
        ),
        _ if os.build.is_none() && os.release.is_empty() => Text::new(
            format!("{name} no dice su versión, así que no se sabe hasta cuándo tiene soporte."),
            format!(
                "{name} does not tell its version, so until when it is supported is not known."
            ),
        ),
        _ => {
            let release = os
                .build
                .map_or_else(|| quoted(&os.release, 40), |build| build.to_string());
            Text::new(
                format!(
                    "La versión {release} de {name} no está en la tabla de fin de soporte (versión {version})."
                ),
                format!(
                    "Version {release} of {name} is not in the table of end of support (version {version})."
                ),
            )
        }
    }
}

fn gather(rule: &mut Rule, facts: &DeviceFacts, os: &OperatingSystem) {
    let fact = &facts.operating_system;
    rule.observed("os.name", quoted(&os.name, 100), "", fact);
    if !os.release.is_empty() {
        rule.observed("os.release", quoted(&os.release, 40), "", fact);
    }
    if let Some(build) = os.build {
        rule.observed("os.build", build.to_string(), "", fact);
    }
    if let Some(edition) = &os.edition {
        rule.observed("os.edition", quoted(edition, 60), "", fact);
    }
}

/// The table's word as evidence: the day, who published it, when it was last checked.
fn cite(rule: &mut Rule, knowledge: &Knowledge, release: &Release) {
    let source = format!(
        "{}: {}; {}",
        knowledge.version, release.label, knowledge.source
    );
    let observed_at_ms = calendar::start_of(knowledge.checked_on).unwrap_or_default();
    let mut add = |fact: &str, value: String| {
        rule.evidence.push(Evidence {
            fact: fact.into(),
            value,
            unit: "day".into(),
            source: source.clone(),
            observed_at_ms,
        });
    };
    add(
        "knowledge.supported_until",
        release
            .supported_until
            .map_or_else(|| "open".into(), |end| end.to_string()),
    );
    if let Some(longer) = &release.longer {
        let fact = if longer.free {
            "knowledge.longer_free_until"
        } else {
            "knowledge.longer_paid_until"
        };
        add(fact, longer.until.to_string());
    }
}

fn quoted(text: &str, most: usize) -> String {
    text.chars()
        .filter(|ch| !ch.is_control())
        .take(most)
        .collect()
}
