//! What lets an action do more, ask fewer people or run under fewer conditions than before. Where that cannot be judged
//! (other arguments of a program) it counts as wider: somebody must read it.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_trust::Text;
use chasqui_trust::definition::{
    CharClass, Consent, Definition, Interruption, ParameterKind, Precondition, Priority, Run,
    StopPolicy, WhenAbsent,
};

use crate::catalogue::facets::{kind_text, lock_text, platform, precondition};

/// Reasons by the path of the member that widens.
pub fn widenings(before: &Definition, after: &Definition) -> BTreeMap<String, Vec<Text>> {
    let mut out = Wider(BTreeMap::new());
    people(&mut out, before, after);
    grammars(&mut out, before, after);
    conditions(&mut out, before, after);
    bounds(&mut out, before, after);
    programs(&mut out, before, after);
    out.0
}

struct Wider(BTreeMap<String, Vec<Text>>);

impl Wider {
    fn say(&mut self, path: impl Into<String>, es: &str, en: &str) {
        self.0
            .entry(path.into())
            .or_default()
            .push(Text::new(es, en));
    }

    fn when(&mut self, is: bool, path: &str, es: &str, en: &str) {
        if is {
            self.say(path, es, en);
        }
    }
}

fn people(out: &mut Wider, before: &Definition, after: &Definition) {
    out.when(
        after.risk > before.risk,
        "risk",
        "el riesgo sube",
        "the risk goes up",
    );
    out.when(
        after.risk < before.risk,
        "risk",
        "con menos riesgo declarado bastan menos aprobaciones y claves menos fuertes",
        "with less risk declared fewer approvals and weaker keys suffice",
    );
    out.when(
        after.consent < before.consent,
        "consent",
        "se pide menos a la persona del equipo",
        "less is asked of the person at the machine",
    );
    let bold = |rule: WhenAbsent| match rule {
        WhenAbsent::Refuse => 0,
        WhenAbsent::Wait => 1,
        WhenAbsent::Proceed => 2,
    };
    out.when(
        bold(after.when_absent) > bold(before.when_absent)
            && (after.consent >= Consent::Notify || after.when_absent == WhenAbsent::Proceed),
        "when_absent",
        "se hace aunque no haya nadie, o espera en vez de negarse",
        "it is done although nobody is there, or waits instead of refusing",
    );
    out.when(
        after.approvals < before.approvals,
        "approvals",
        "bastan menos aprobaciones",
        "fewer approvals suffice",
    );
    for one in &after.platforms {
        if !before.platforms.contains(one) {
            out.say(
                "platforms",
                &format!("corre también en {}", platform(*one)),
                &format!("runs on {} too", platform(*one)),
            );
        }
    }
    for item in &after.evidence {
        if !before.evidence.iter().any(|held| held.fact == item.fact) {
            out.say(
                format!("evidence.{}.kind", item.fact),
                "un hecho más sale del equipo",
                "one more fact leaves the machine",
            );
        }
    }
}

fn grammars(out: &mut Wider, before: &Definition, after: &Definition) {
    for spec in &after.parameters {
        let path = format!("parameters.{}.kind", spec.name);
        match before.parameters.iter().find(|p| p.name == spec.name) {
            None => out.say(path, "un parámetro nuevo", "a new parameter"),
            Some(held) if !within(&spec.kind, &held.kind) => out.say(
                path,
                &format!("admite valores que antes no ({})", kind_text(&held.kind)),
                &format!(
                    "admits values it did not before ({})",
                    kind_text(&held.kind)
                ),
            ),
            Some(_) => {}
        }
    }
}

/// True when every value of `new` is one of `old`.
fn within(new: &ParameterKind, old: &ParameterKind) -> bool {
    use ParameterKind as K;
    match (new, old) {
        (
            K::Integer { min, max },
            K::Integer {
                min: least,
                max: most,
            },
        ) => min >= least && max <= most,
        (K::Choice { options }, K::Choice { options: held }) => {
            options.iter().all(|option| held.contains(option))
        }
        (
            K::Text {
                max_length,
                class,
                leading_dash,
            },
            K::Text {
                max_length: length,
                class: held,
                leading_dash: dash,
            },
        ) => max_length <= length && narrower(*class, *held) && (*dash || !*leading_dash),
        (
            K::List {
                max_items,
                max_length,
                class,
            },
            K::List {
                max_items: items,
                max_length: length,
                class: held,
            },
        ) => max_items <= items && max_length <= length && narrower(*class, *held),
        (K::Inventory { of }, K::Inventory { of: held }) => of == held,
        _ => false,
    }
}

/// True when every text of class `new` is one of class `old`.
fn narrower(new: CharClass, old: CharClass) -> bool {
    use CharClass as C;
    new == old
        || match new {
            C::Digits => true,
            // A file name may not be a device name of Windows, which has letters and digits alone.
            C::Alphanumeric => old != C::Digits && old != C::FileName,
            C::Host => matches!(old, C::Identifier | C::Prose),
            C::Identifier | C::FileName => old == C::Prose,
            C::Version | C::Prose => false,
        }
}

fn conditions(out: &mut Wider, before: &Definition, after: &Definition) {
    for held in &before.preconditions {
        let (key, _) = precondition(held);
        let path = format!("preconditions.{key}");
        let kept = after
            .preconditions
            .iter()
            .find(|new| precondition(new).0 == key);
        match (held, kept) {
            (_, None) => out.say(path, "una condición menos", "one condition less"),
            (
                Precondition::BatteryAtLeast { percent: was },
                Some(Precondition::BatteryAtLeast { percent }),
            ) => out.when(
                percent < was,
                &path,
                "la condición pide menos",
                "the condition asks for less",
            ),
            (
                Precondition::FreeDisk { bytes: was, .. },
                Some(Precondition::FreeDisk { bytes, .. }),
            ) => out.when(
                bytes < was,
                &path,
                "la condición pide menos",
                "the condition asks for less",
            ),
            _ => {}
        }
    }
    for held in &before.locks {
        let covered = after.locks.iter().any(|new| {
            new.resource == held.resource
                && (new.parameter.is_none() || new.parameter == held.parameter)
        });
        out.when(
            !covered,
            &format!("locks.{}", lock_text(held)),
            "deja de excluir a otras órdenes",
            "no longer keeps other orders out",
        );
    }
    for interruption in &after.interrupts {
        if !before.interrupts.contains(interruption) {
            let key = match interruption {
                Interruption::Network => "network",
                Interruption::Reboot => "reboot",
            };
            out.say(
                format!("interrupts.{key}"),
                "corta algo que antes no",
                "interrupts what it did not before",
            );
        }
    }
}

fn bounds(out: &mut Wider, before: &Definition, after: &Definition) {
    let longer = ("dura más", "lasts longer");
    let looser = |new: Option<u64>, old: Option<u64>| match (new, old) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(new), Some(old)) => new > old,
    };
    out.when(
        after.time_limit_ms > before.time_limit_ms,
        "time_limit_ms",
        longer.0,
        longer.1,
    );
    out.when(
        after.check_time_limit_ms > before.check_time_limit_ms,
        "check_time_limit_ms",
        longer.0,
        longer.1,
    );
    let (new, old) = (&after.limits, &before.limits);
    for (path, wider) in [
        (
            "limits.memory_bytes",
            looser(new.memory_bytes, old.memory_bytes),
        ),
        (
            "limits.cpu_percent",
            looser(
                new.cpu_percent.map(u64::from),
                old.cpu_percent.map(u64::from),
            ),
        ),
        (
            "limits.processes",
            looser(new.processes.map(u64::from), old.processes.map(u64::from)),
        ),
        (
            "limits.priority",
            new.priority == Priority::Normal && old.priority == Priority::Low,
        ),
    ] {
        out.when(
            wider,
            path,
            "toma más del equipo",
            "takes more of the machine",
        );
    }
    let slower = match (&before.stop, &after.stop) {
        (StopPolicy::EndTree { .. }, StopPolicy::LetFinish) => true,
        (StopPolicy::EndTree { grace_ms: was }, StopPolicy::EndTree { grace_ms }) => grace_ms > was,
        (StopPolicy::LetFinish, _) => false,
    };
    out.when(
        slower,
        "stop",
        "tarda más en detenerse, o no se detiene",
        "takes longer to stop, or does not stop",
    );
}

fn programs(out: &mut Wider, before: &Definition, after: &Definition) {
    let known: BTreeSet<String> = runs(before).map(|(_, run)| what(run)).collect();
    let held: BTreeMap<String, &Run> = runs(before).collect();
    for (path, run) in runs(after) {
        if !known.contains(&what(run)) {
            out.say(
                path,
                &format!("ejecuta un programa nuevo: {}", what(run)),
                &format!("runs a new program: {}", what(run)),
            );
            continue;
        }
        // What other arguments do cannot be judged here: somebody must read them.
        match held.get(&path) {
            Some(was) if *was == run => {}
            Some(_) => out.say(
                path,
                "lo que ejecuta es otro: léalo entero",
                "what it runs is different: read all of it",
            ),
            None => out.say(path, "un paso nuevo", "a new step"),
        }
    }
    let ids = |d: &Definition| d.steps.iter().map(|s| s.id.clone()).collect::<Vec<_>>();
    let (was, is) = (ids(before), ids(after));
    let kept = |list: &[String], other: &[String]| {
        list.iter()
            .filter(|id| other.contains(id))
            .cloned()
            .collect::<Vec<_>>()
    };
    out.when(
        kept(&was, &is) != kept(&is, &was),
        "steps",
        "los pasos van en otro orden",
        "the steps go in another order",
    );
    match (&before.undo, &after.undo) {
        (Some(_), None) => out.say(
            "undo",
            "ya no se puede devolver",
            "can no longer be taken back",
        ),
        (Some(was), Some(is)) => {
            out.when(
                was.when_check_fails && !is.when_check_fails,
                "undo.when_check_fails",
                "ya no se devuelve cuando la comprobación no se cumple",
                "is no longer taken back when the check does not hold",
            );
            let later = match (was.when_unreachable_ms, is.when_unreachable_ms) {
                (Some(_), None) => true,
                (Some(was), Some(is)) => is > was,
                (None, _) => false,
            };
            out.when(
                later,
                "undo.when_unreachable_ms",
                "sin coordinador se devuelve más tarde, o nunca",
                "without the coordinator it is taken back later, or never",
            );
            for step in &was.steps {
                if !is.steps.iter().any(|kept| kept.id == step.id) {
                    out.say(
                        format!("undo.steps.{}.run", step.id),
                        "se devuelve menos",
                        "less is taken back",
                    );
                }
            }
        }
        (None, _) => {}
    }
}

/// Everything that runs, by the path of its line.
fn runs(definition: &Definition) -> impl Iterator<Item = (String, &Run)> {
    let steps = definition
        .steps
        .iter()
        .map(|step| (format!("steps.{}.run", step.id), &step.run));
    let undo = definition
        .undo
        .iter()
        .flat_map(|undo| &undo.steps)
        .map(|step| (format!("undo.steps.{}.run", step.id), &step.run));
    let check = ("check.run".to_owned(), &definition.check.run);
    steps.chain(undo).chain(std::iter::once(check))
}

/// The program, the function, or the script by its digest.
fn what(run: &Run) -> String {
    match run {
        Run::Program {
            path,
            script_digest: Some(digest),
            ..
        } => format!("{path} script {digest}"),
        Run::Program { path, .. } => path.clone(),
        Run::Builtin { name, .. } => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_characters_are_compared_by_what_they_admit() {
        use CharClass as C;
        assert!(narrower(C::Digits, C::Version));
        assert!(narrower(C::Host, C::Identifier));
        for (new, old) in [
            (C::Prose, C::Identifier),
            (C::Version, C::Identifier),
            (C::Alphanumeric, C::Digits),
            (C::Alphanumeric, C::FileName),
            (C::FileName, C::Identifier),
        ] {
            assert!(!narrower(new, old), "{new:?} {old:?}");
        }
    }
}
