use super::*;

#[test]
fn an_old_desktop_is_to_be_retired() {
    let got = at(&old_desktop(), NOW);
    assert_eq!(
        verdicts(&got),
        [
            Verdict::Fails,
            Verdict::Fails,
            Verdict::Watch,
            Verdict::Fails
        ]
    );
    assert_eq!(got.class, Class::Baja);
    insta::assert_snapshot!(paper(&got));
}

#[test]
fn a_modern_laptop_is_in_service() {
    let got = at(&modern_laptop(), NOW);
    assert_eq!(verdicts(&got), [Verdict::Ok; 4]);
    assert_eq!(got.class, Class::Vigente);
    insta::assert_snapshot!(paper(&got));
}

#[test]
fn a_virtual_machine_without_smbios_stays_unknown_where_it_is() {
    let got = at(&virtual_machine(), NOW);
    assert_eq!(
        verdicts(&got),
        [
            Verdict::Unknown,
            Verdict::Ok,
            Verdict::Unknown,
            Verdict::Watch
        ]
    );
    assert_eq!(got.class, Class::Vigilar);
    insta::assert_snapshot!(paper(&got));
}

#[test]
fn a_five_year_old_desktop_with_a_supported_system_gets_lighter_work() {
    let got = at(&office_desktop(), NOW);
    assert_eq!(
        verdicts(&got),
        [Verdict::Fails, Verdict::Ok, Verdict::Watch, Verdict::Ok]
    );
    assert_eq!(got.class, Class::Reasignar);
    insta::assert_snapshot!(paper(&got));
}

#[test]
fn nothing_known_is_nothing_judged() {
    let got = at(&DeviceFacts::default(), NOW);
    assert_eq!(verdicts(&got), [Verdict::Unknown; 4]);
    assert_eq!(got.class, Class::SinDatos);
    assert!(got.criteria.iter().all(|one| one.evidence.is_empty()));
    insta::assert_snapshot!(paper(&got));
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let json = serde_json::to_string_pretty(&at(&office_desktop(), NOW)).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&at(&office_desktop(), NOW)).unwrap(),
        json
    );
    let read: Assessment = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string_pretty(&read).unwrap(), json);
    insta::assert_snapshot!(json);
}

#[test]
fn facts_survive_json() {
    for facts in [
        old_desktop(),
        modern_laptop(),
        virtual_machine(),
        DeviceFacts::default(),
    ] {
        let json = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<DeviceFacts>(&json).unwrap(), facts);
    }
    assert_eq!(
        serde_json::from_str::<DeviceFacts>("{}").unwrap(),
        DeviceFacts::default()
    );
}

#[test]
fn a_clock_out_of_the_calendar_brings_nothing_down() {
    for now in [i64::MIN, i64::MAX] {
        let got = assess(&modern_laptop(), knowledge(), now);
        assert_eq!(
            verdicts(&got),
            [Verdict::Unknown, Verdict::Ok, Verdict::Ok, Verdict::Unknown]
        );
        assert_eq!(got.class, Class::SinDatos);
    }
}
