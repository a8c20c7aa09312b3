use proptest::prelude::*;

use super::*;

/// Every combination of the four verdicts, against the table in the module's documentation read the other way round.
#[test]
fn every_class_by_every_combination() {
    use Verdict as V;
    let all = [V::Ok, V::Watch, V::Fails, V::Unknown];
    let criterion = |id, verdict| Criterion {
        id,
        verdict,
        rule: String::new(),
        rule_version: 1,
        explanation: Text::default(),
        evidence: Vec::new(),
    };
    let mut counts = std::collections::BTreeMap::new();
    for age in all {
        for memory in all {
            for disk in all {
                for support in all {
                    let criteria = [
                        criterion(CriterionId::Age, age),
                        criterion(CriterionId::Memory, memory),
                        criterion(CriterionId::DiskKind, disk),
                        criterion(CriterionId::OsSupport, support),
                    ];
                    let (class, reason) = class::classify(&criteria);
                    let four = [age, memory, disk, support];
                    let case = format!("{four:?}: {class:?}");
                    *counts.entry(class).or_insert(0) += 1;
                    assert_eq!(class == Class::Vigente, four == [V::Ok; 4], "{case}");
                    assert_eq!(
                        reason.en.contains("Still unknown"),
                        four.contains(&V::Unknown),
                        "{case}"
                    );
                    let short = [V::Watch, V::Fails];
                    let parts = short.contains(&memory) || short.contains(&disk);
                    if class == Class::Baja {
                        assert!(age == V::Fails && support == V::Fails && parts, "{case}");
                    }
                    if class == Class::Reasignar {
                        assert!(
                            age == V::Fails && parts && [V::Ok, V::Watch].contains(&support),
                            "{case}"
                        );
                    }
                    if class == Class::SinDatos {
                        assert!(
                            !four.iter().any(|verdict| short.contains(verdict)),
                            "{case}"
                        );
                    }
                    if class == Class::Vigilar {
                        assert!(!parts && support != V::Fails, "{case}");
                    }
                }
            }
        }
    }
    insta::assert_snapshot!(format!("{counts:?}"));
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unknown => 0,
        Verdict::Ok => 1,
        Verdict::Watch => 2,
        Verdict::Fails => 3,
    }
}

proptest! {
    /// Time heals nothing: of a release with known dates, every later day is the same or worse.
    #[test]
    fn support_never_gets_better(row in 0usize..10_000, from in 0i64..15_000, later in 0i64..8_000) {
        let rows = knowledge().releases();
        let row = &rows[row % rows.len()];
        let edition = match row.edition.as_str() {
            "home_pro" => "Core", "enterprise" => "Education", "ltsc" => "EnterpriseS", "iot_ltsc" => "IoTEnterpriseS",
            "server_annual" => "ServerStandardACor", _ if row.system == "windows-server" => "ServerStandard", _ => "Professional",
        };
        let os = OperatingSystem {
            system: row.system.clone(), release: row.release.clone(), build: row.builds.first().copied(),
            edition: Some(edition.into()), name: row.label.clone(),
        };
        let facts = DeviceFacts { operating_system: known(os, "x"), ..DeviceFacts::default() };
        let day = 86_400_000;
        let at = |days: i64| assess(&facts, knowledge(), ms("2000-01-01") + days * day).criteria[3].verdict;
        let (before, after) = (at(from), at(from + later));
        if row.supported_until.is_some() {
            prop_assert!(before != Verdict::Unknown);
            prop_assert!(rank(before) <= rank(after), "{}: {:?} then {:?}", row.label, before, after);
        }
        prop_assert!(before != Verdict::Fails || after == Verdict::Fails);
    }

    /// Nor does age get better, by whichever date.
    #[test]
    fn age_never_gets_better(built in 0i64..9_000, typed: bool, from in 0i64..9_000, later in 0i64..8_000) {
        let day = 86_400_000;
        let date = calendar::date_of(ms("2000-01-01") + built * day).unwrap().to_string();
        let facts = DeviceFacts {
            virtual_machine: known(false, "cpuid"),
            purchase_date: if typed { bought(&date) } else { Fact::default() },
            firmware_date: dmi(&date),
            ..DeviceFacts::default()
        };
        let at = |days: i64| assess(&facts, knowledge(), ms("2000-01-01") + days * day).criteria[0].verdict;
        prop_assert!(rank(at(from)) <= rank(at(from + later)));
        prop_assert!(typed || at(from) != Verdict::Ok);
    }

    /// Taking a fact away never improves a verdict to ok that was not, except by falling back to the next best source.
    #[test]
    fn an_unknown_is_never_ok(text in "\\PC{0,30}", bytes: u64) {
        let facts = DeviceFacts {
            purchase_date: known(text.clone(), "x"), firmware_date: known(text.clone(), "x"),
            memory_visible_bytes: known(bytes, "x"), memory_modules_bytes: known(vec![bytes, bytes], "x"),
            operating_system: linux(&text, &text, &text), ..DeviceFacts::default()
        };
        let got = at(&facts, NOW);
        prop_assert_ne!(got.class, Class::Vigente);
        for one in &got.criteria {
            prop_assert!(!one.explanation.es.is_empty() && !one.explanation.en.is_empty());
            prop_assert!(one.verdict == Verdict::Unknown || !one.evidence.is_empty());
        }
        let json = serde_json::to_string(&got).unwrap();
        prop_assert_eq!(serde_json::from_str::<Assessment>(&json).unwrap(), got);
    }
}
