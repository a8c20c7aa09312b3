//! What differs between two definitions, member by member, and which of it lets an action do more, ask fewer people or
//! run under fewer conditions: that is what somebody who signs must not overlook.

use chasqui_trust::Text;
use chasqui_trust::definition::Definition;
use serde_json::{Value, json};

use crate::catalogue::facets::{Facet, facets};
use crate::catalogue::widening::widenings;
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

#[cfg(test)]
mod tests {
    use super::*;
    use chasqui_base::text::Lang;
    use chasqui_trust::definition::{Arg, EvidenceSpec, FactKind, Interruption, Lock, Platform};
    use chasqui_trust::definition::{
        Consent, ParameterKind, Precondition, Priority, Run, StopPolicy,
    };

    fn shipped() -> Definition {
        serde_json::from_str(include_str!("../../../catalogue/disk.clean.temp.json")).unwrap()
    }

    type Edit = Box<dyn FnOnce(&mut Definition)>;

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
        let table: Vec<(&str, Edit)> = vec![
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
        let narrow: Vec<Edit> = vec![
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
