//! What differs between two definitions, member by member, and which of it lets an action do more, ask fewer people or
//! run under fewer conditions: that is what somebody who signs must not overlook.

use std::collections::{BTreeMap, BTreeSet};

use chasqui_trust::Text;
use chasqui_trust::definition::{
    CharClass, Consent, Definition, ParameterKind, Precondition, Priority, Run, StopPolicy,
    WhenAbsent,
};
use serde_json::{Value, json};

use crate::catalogue::facets::{Facet, facets, kind_text, lock_text, platform, precondition};
use crate::output::{Screen, Tone, clean};

/// One member that differs.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its path.
    pub path: String,
    /// What people call it.
    pub name: Text,
    /// None where it was not there.
    pub before: Option<Text>,
    /// None where it is gone.
    pub after: Option<Text>,
    /// Why this lets the action do more than before; empty where it does not.
    pub widens: Vec<Text>,
}

/// Every member that differs, in the order of the newer document, what is gone at the end.
pub fn changes(before: &Definition, after: &Definition) -> Vec<Change> {
    let (old, new) = (facets(before), facets(after));
    let find = |list: &[Facet], path: &str| {
        list.iter()
            .find(|facet| facet.path == path)
            .map(|facet| facet.value.clone())
    };
    let mut widened = widenings(before, after);
    let mut out = Vec::new();
    for facet in &new {
        let was = find(&old, &facet.path);
        let widens = widened.remove(&facet.path).unwrap_or_default();
        if was.as_ref() != Some(&facet.value) || !widens.is_empty() {
            out.push(Change {
                path: facet.path.clone(),
                name: facet.name.clone(),
                before: was,
                after: Some(facet.value.clone()),
                widens,
            });
        }
    }
    for facet in &old {
        if find(&new, &facet.path).is_none() {
            out.push(Change {
                path: facet.path.clone(),
                name: facet.name.clone(),
                before: Some(facet.value.clone()),
                after: None,
                widens: widened.remove(&facet.path).unwrap_or_default(),
            });
        }
    }
    // A widening that no line above carries is still said.
    for (path, widens) in widened {
        out.push(Change {
            name: Text::same(path.clone()),
            path,
            before: None,
            after: None,
            widens,
        });
    }
    out
}

/// The changes for people; the widening ones marked.
pub fn render(screen: &Screen, changes: &[Change]) -> String {
    let none = screen.say("(nada)", "(nothing)");
    let mut out = String::new();
    for change in changes {
        let pick = |text: &Option<Text>| match text {
            Some(text) => clean(screen.lang.pick(&text.es, &text.en)),
            None => none.to_owned(),
        };
        let mark = if change.widens.is_empty() {
            "·"
        } else {
            "▲"
        };
        out.push_str(&format!(
            "  {mark} {}\n      - {}\n      + {}\n",
            clean(screen.lang.pick(&change.name.es, &change.name.en)),
            pick(&change.before),
            pick(&change.after)
        ));
        for why in &change.widens {
            let text = format!(
                "      ▲ {}: {}",
                screen.say("AMPLÍA", "WIDENS"),
                clean(screen.lang.pick(&why.es, &why.en))
            );
            out.push_str(&format!("{}\n", screen.tone(Tone::Bad, &text)));
        }
    }
    let wide = changes.iter().filter(|c| !c.widens.is_empty()).count();
    if changes.is_empty() {
        out.push_str(screen.say("  nada cambia\n", "  nothing changes\n"));
    } else if wide == 0 {
        out.push_str(screen.say(
            "  ningún cambio amplía lo que la acción puede hacer\n",
            "  no change widens what the action may do\n",
        ));
    }
    out
}

/// The changes for scripts.
pub fn to_json(changes: &[Change]) -> Value {
    let text = |t: &Text| json!({ "es": t.es, "en": t.en });
    changes
        .iter()
        .map(|change| {
            json!({
                "path": change.path,
                "name": text(&change.name),
                "before": change.before.as_ref().map(text),
                "after": change.after.as_ref().map(text),
                "widens": change.widens.iter().map(text).collect::<Vec<_>>(),
            })
        })
        .collect()
}

/// Reasons by the path of the member that widens.
fn widenings(before: &Definition, after: &Definition) -> BTreeMap<String, Vec<Text>> {
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
                chasqui_trust::definition::Interruption::Network => "network",
                chasqui_trust::definition::Interruption::Reboot => "reboot",
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
    use chasqui_base::text::Lang;
    use chasqui_trust::definition::{Arg, EvidenceSpec, FactKind, Interruption, Lock, Platform};

    fn shipped() -> Definition {
        serde_json::from_str(include_str!("../../../catalogue/disk.clean.temp.json")).unwrap()
    }

    /// Paths that widen when `change` is made to a shipped definition.
    fn wider(change: impl FnOnce(&mut Definition)) -> Vec<String> {
        let before = shipped();
        let mut after = before.clone();
        change(&mut after);
        changes(&before, &after)
            .into_iter()
            .filter(|change| !change.widens.is_empty())
            .map(|change| change.path)
            .collect()
    }

    #[test]
    fn nothing_differs_from_itself() {
        assert!(changes(&shipped(), &shipped()).is_empty());
    }

    #[test]
    fn every_widening_is_marked_where_it_stands() {
        let table: Vec<(&str, Box<dyn FnOnce(&mut Definition)>)> = vec![
            ("risk", Box::new(|d| d.risk += 1)),
            ("risk", Box::new(|d| d.risk = 0)),
            ("consent", Box::new(|d| d.consent = Consent::None)),
            (
                "platforms",
                Box::new(|d| d.platforms = vec![Platform::Linux, Platform::Windows]),
            ),
            ("locks.temp-files", Box::new(|d| d.locks.clear())),
            (
                "interrupts.reboot",
                Box::new(|d| d.interrupts.push(Interruption::Reboot)),
            ),
            ("time_limit_ms", Box::new(|d| d.time_limit_ms += 1)),
            (
                "check_time_limit_ms",
                Box::new(|d| d.check_time_limit_ms += 1),
            ),
            (
                "limits.priority",
                Box::new(|d| d.limits.priority = Priority::Normal),
            ),
            ("stop", Box::new(|d| d.stop = StopPolicy::LetFinish)),
            (
                "steps.clean.run",
                Box::new(|d| {
                    d.steps[0].run = Run::Program {
                        path: "/usr/bin/shred".to_owned(),
                        args: vec![Arg::Literal("/tmp".to_owned())],
                        success_codes: vec![0],
                        script_digest: None,
                    };
                }),
            ),
            (
                "evidence.user_name.kind",
                Box::new(|d| {
                    d.evidence.push(EvidenceSpec {
                        fact: "user_name".to_owned(),
                        title: Text::new("Quién", "Who"),
                        unit: String::new(),
                        kind: FactKind::Text,
                    });
                }),
            ),
            (
                "parameters.older_than_days.kind",
                Box::new(|d| {
                    d.parameters[0].kind = ParameterKind::Integer { min: 0, max: 9_999 };
                }),
            ),
        ];
        for (path, change) in table {
            assert_eq!(wider(change), [path]);
        }
    }

    #[test]
    fn what_narrows_is_a_change_and_no_widening() {
        let narrow: Vec<Box<dyn FnOnce(&mut Definition)>> = vec![
            Box::new(|d| d.consent = Consent::AskAlways),
            Box::new(|d| d.approvals += 1),
            Box::new(|d| d.time_limit_ms -= 1),
            Box::new(|d| d.preconditions.push(Precondition::NobodyLoggedIn)),
            Box::new(|d| {
                d.locks.push(Lock {
                    resource: "disk".to_owned(),
                    parameter: None,
                });
            }),
            Box::new(|d| d.limits.memory_bytes = Some(64 << 20)),
            Box::new(|d| d.summary.en.push_str(" More words.")),
        ];
        for change in narrow {
            let before = shipped();
            let mut after = before.clone();
            change(&mut after);
            let found = changes(&before, &after);
            assert!(!found.is_empty());
            assert!(found.iter().all(|c| c.widens.is_empty()), "{found:?}");
        }
    }

    #[test]
    fn a_condition_that_goes_or_asks_less_widens() {
        let mut before = shipped();
        before.preconditions = vec![
            Precondition::BatteryAtLeast { percent: 50 },
            Precondition::NoPendingReboot,
        ];
        let mut after = before.clone();
        after.preconditions = vec![Precondition::BatteryAtLeast { percent: 20 }];
        let wide: Vec<String> = changes(&before, &after)
            .into_iter()
            .filter(|c| !c.widens.is_empty())
            .map(|c| c.path)
            .collect();
        assert_eq!(
            wide,
            [
                "preconditions.battery_at_least",
                "preconditions.no_pending_reboot"
            ]
        );
    }

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

    #[test]
    fn a_diff_reads_well_in_both_languages() {
        let before = shipped();
        let mut after = before.clone();
        after.version = 2;
        after.consent = Consent::None;
        after.summary.es = "Borra archivos viejos.".to_owned();
        after.locks.clear();
        let found = changes(&before, &after);
        for lang in [Lang::Es, Lang::En] {
            insta::assert_snapshot!(
                format!("diff_{lang:?}"),
                render(&Screen::plain(lang), &found)
            );
        }
    }
}
