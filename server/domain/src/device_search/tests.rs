use proptest::prelude::*;

use super::value::Test;
use super::*;

const NOW: i64 = 1_780_000_000_000;
const DAY: i64 = 86_400_000;

fn test_of(text: &str) -> Test {
    match parse(text) {
        Ok(Query::Term(Term::Field {
            field,
            op,
            value,
            quoted,
        })) => value::read(field, op, &value, quoted, NOW).unwrap(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_example_of_the_issue() {
    let text =
        "cpu:i5 ram<8G os:\"Windows 10\" software:\"office<2019\" seen>30d dependency:Jurídica";
    let query = parse(text).unwrap();
    assert_eq!(
        query.to_string(),
        "cpu:i5 ram<8G os:\"Windows 10\" software:\"office<2019\" seen>30d dependency:Jurídica"
    );
    let Query::All(parts) = query else { panic!() };
    assert_eq!(parts.len(), 6);
}

#[test]
fn values() {
    const G: i64 = 1 << 30;
    for (text, expected) in [
        ("ram<8G", Test::Within(i64::MIN, 8 * G - 1)),
        ("memoria>=8GiB", Test::Within(8 * G, i64::MAX)),
        ("ram=1.5T", Test::Within(1536 * G, 1536 * G)),
        (
            "disco:256GB",
            Test::Within(
                256_000_000_000 - 18_285_714_285,
                256_000_000_000 + 18_285_714_285,
            ),
        ),
        ("ram:4G..8G", Test::Within(4 * G, 8 * G)),
        ("ram:..8G", Test::Within(i64::MIN, 8 * G)),
        ("ram!=8G", Test::Outside(8 * G, 8 * G)),
        ("cores>4", Test::Within(5, i64::MAX)),
        ("bateria<60%", Test::Within(i64::MIN, 59)),
        ("seen>30d", Test::Within(i64::MIN, NOW - 30 * DAY - 1)),
        (
            "visto<12h",
            Test::Within(NOW - 12 * 3_600_000 + 1, i64::MAX),
        ),
        ("seen:2w", Test::Within(NOW - 14 * DAY, i64::MAX)),
        (
            "seen:10d..30d",
            Test::Within(NOW - 30 * DAY, NOW - 10 * DAY),
        ),
        // A day of Bogotá begins at 05:00 UTC.
        (
            "seen<2026-01-01",
            Test::Within(i64::MIN, 1_767_243_600_000 - 1),
        ),
        ("compra<2020", Test::Within(i64::MIN, 18_261)),
        ("purchase:2020-02", Test::Within(18_293, 18_321)),
        ("purchase=2020-02-29", Test::Within(18_321, 18_321)),
        ("reinicio:sí", Test::Within(1, 1)),
        ("reboot!=yes", Test::Outside(1, 1)),
        ("cpu:?", Test::Unobserved),
        ("cpu:*", Test::Observed),
        ("cpu:\"?\"", Test::Contains("?".into())),
        ("cpu=\"\"", Test::Is(String::new())),
        ("dependencia:JURÍDICA", Test::Contains("juridica".into())),
        ("kernel<6.1", Test::Version(Op::Less, "6.1".into())),
        ("os!=\"Windows 10\"", Test::IsNot("windows 10".into())),
    ] {
        assert_eq!(test_of(text), expected, "{text}");
    }
}

#[test]
fn forms() {
    for (text, printed) in [
        ("", ""),
        ("  pc-07 ", "\"pc-07\""),
        ("a o b c", "\"a\" OR (\"b\" \"c\")"),
        ("a OR b AND c", "\"a\" OR (\"b\" \"c\")"),
        ("(a o b) c", "(\"a\" OR \"b\") \"c\""),
        ("-cpu:i5", "-cpu:i5"),
        ("NOT (a b)", "-(\"a\" \"b\")"),
        ("- - a", "\"a\""),
        ("NO -(a)", "\"a\""),
        ("\"o\"", "\"o\""),
        ("pc\"-0 7\"", "\"pc-0 7\""),
        ("aa:bb:cc:dd:ee:ff", "\"aa:bb:cc:dd:ee:ff\""),
        ("fe80::1", "\"fe80::1\""),
        ("lista:\"Mi lista\"", "list:\"Mi lista\""),
        ("programa:office<2019", "software:office<2019"),
        ("\"a \\\"b\\\" \\\\ c\"", "\"a \\\"b\\\" \\\\ c\""),
    ] {
        let query = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(query.to_string(), printed, "{text}");
    }
}

#[test]
fn errors_point_at_the_place_and_name_the_remedy() {
    let mut out = String::new();
    for text in [
        "rma<8G",
        "cpu:i5 memria<8G",
        "ram<8X",
        "ram<",
        "ram:8G..4G",
        "dependencia>Jurídica",
        "(cpu:i5",
        "cpu:i5)",
        "cpu:i5 OR",
        "OR cpu:i5",
        "\"abc",
        "año:2020",
        "seen>30x",
        "software>2019",
        "software:\"office<\"",
        "<8G",
        "reboot:quizás",
        "os_version<moderna",
        "http://x",
        "\"\"",
        "()",
        "ñandú:1",
        "list<x",
        "ram<8G..9G",
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(
            text.get(error.bytes.clone())
                .map(|part| part.chars().count()),
            Some(error.columns.len())
        );
        out.push_str(&format!(
            "{}\n  {}\n  {}\n\n",
            error.caret(text),
            error.why.es,
            error.why.en
        ));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn bounds() {
    assert_eq!(
        parse(&"a".repeat(2_001)).unwrap_err().code,
        "QUERY_TOO_LONG"
    );
    assert_eq!(
        parse(&"a ".repeat(65)).unwrap_err().code,
        "QUERY_TOO_MANY_TERMS"
    );
    assert_eq!(parse(&"(".repeat(500)).unwrap_err().code, "QUERY_TOO_DEEP");
    assert_eq!(
        parse(&"-".repeat(1_999)).unwrap_err().code,
        "QUERY_TOO_DEEP"
    );
}

#[test]
fn every_field_has_names_of_its_own() {
    let mut names = std::collections::BTreeSet::new();
    for field in FIELDS {
        for name in std::iter::once(&field.name).chain(field.aliases) {
            assert!(names.insert(*name), "{name} twice");
            assert_eq!(crate::search::fold(name), **name);
            assert_eq!(
                field::find(&name.to_uppercase()).map(|field| field.name),
                Some(field.name)
            );
        }
        assert_eq!(
            field::of_column(field.column).map(|field| field.name),
            Some(field.name)
        );
    }
}

#[test]
fn programs_by_version_and_year() {
    for (wanted, name, version, source, fits) in [
        (
            "office<2019",
            "microsoft office professional plus 2016",
            "16.0.4266.1001",
            "registry",
            true,
        ),
        (
            "office<2019",
            "microsoft office professional plus 2019",
            "16.0.10396",
            "registry",
            false,
        ),
        (
            "office<2019",
            "microsoft office 2021",
            "16.0.14332",
            "registry",
            false,
        ),
        // Its version says nothing about a year.
        ("office<2019", "libreoffice", "7.4.7", "dpkg", false),
        (
            "office>=7.4",
            "libreoffice",
            "1:7.4.7-1+deb12u1",
            "dpkg",
            true,
        ),
        (
            "office<16.0.5000",
            "microsoft office professional plus 2016",
            "16.0.4266.1001",
            "registry",
            true,
        ),
        ("autocad<2020", "autocad", "2018.1", "registry", true),
        ("firefox<=115.0", "firefox-esr", "115.0-2", "dpkg", true),
        ("firefox<115.0~rc1", "firefox-esr", "115.0-2", "dpkg", false),
        ("openssl=3.0.7", "openssl", "1:3.0.7-24.el9", "rpm", true),
        ("openssl!=3.0.7", "openssl", "1:3.0.7-24.el9", "rpm", false),
        ("gimp", "gimp", "", "flatpak", true),
        ("gimp<3", "gimp", "", "flatpak", false),
        ("gimp", "inkscape", "1", "flatpak", false),
    ] {
        let read = program::read(wanted).unwrap();
        assert_eq!(
            program::fits(&read, name, version, source),
            fits,
            "{wanted} {name} {version}"
        );
    }
    for wrong in ["", "<2019", "a<", "a<>1", "a<1=2", "a!1", "  "] {
        assert_eq!(program::read(wrong), None, "{wrong}");
    }
}

#[test]
fn lists_within_lists_and_a_ring() {
    let known = |name: &str| -> Result<Option<String>, ()> {
        Ok(match name {
            "old" => Some("ram<4G OR list:tiny".to_owned()),
            "tiny" => Some("disk<100GB".to_owned()),
            "ring" => Some("list:Ring2".to_owned()),
            "Ring2" => Some("a list:ring".to_owned()),
            "broken" => Some("gone:1".to_owned()),
            _ => None,
        })
    };
    let go = |text: &str| expand(&parse(text).unwrap(), &mut { known }).unwrap();
    assert_eq!(
        go("list:old -list:tiny").unwrap().to_string(),
        "(ram<4G OR disk<100GB) -disk<100GB"
    );
    assert_eq!(
        go("list:ring"),
        Err(ListTrouble::Cycle(vec![
            "ring".into(),
            "ring2".into(),
            "ring".into()
        ]))
    );
    assert_eq!(go("list:nope"), Err(ListTrouble::Unknown("nope".into())));
    assert_eq!(go("list:broken"), Err(ListTrouble::Broken("broken".into())));
    assert_eq!(lists(&parse("a (b list:x) -list:y").unwrap()), ["x", "y"]);
}

/// Facts of a few devices; nothing is not observed. Text matches by containing, as for every text field.
struct Facts(Vec<(Option<i64>, Option<&'static str>)>);

impl Source for Facts {
    type Error = ();
    fn all(&mut self) -> Result<Set, ()> {
        Ok((0..).take(self.0.len()).collect())
    }
    fn known(&mut self, field: &'static Field) -> Result<Set, ()> {
        Ok((0..)
            .zip(&self.0)
            .filter(|(_, (n, t))| {
                if field.kind == Kind::Number {
                    n.is_some()
                } else {
                    t.is_some()
                }
            })
            .map(|(i, _)| i)
            .collect())
    }
    fn matching(&mut self, _: &'static Field, test: &Test) -> Result<Set, ()> {
        Ok((0..)
            .zip(&self.0)
            .filter(|(_, (n, t))| match test {
                Test::Within(low, high) => n.is_some_and(|n| (*low..=*high).contains(&n)),
                Test::Contains(part) => t.is_some_and(|t| t.contains(part.as_str())),
                Test::Is(text) => *t == Some(text.as_str()),
                _ => panic!(),
            })
            .map(|(i, _)| i)
            .collect())
    }
    fn word(&mut self, word: &str) -> Result<Set, ()> {
        Ok((0..)
            .zip(&self.0)
            .filter(|(_, (_, t))| t.is_some_and(|t| t.contains(word)))
            .map(|(i, _)| i)
            .collect())
    }
}

#[test]
fn what_was_not_observed_matches_neither_way() {
    let mut facts = Facts(vec![
        (Some(2), Some("i5")),
        (None, None),
        (Some(8), Some("i7")),
    ]);
    for (text, found) in [
        ("", vec![0, 1, 2]),
        ("cores<4", vec![0]),
        ("-cores<4", vec![2]),
        ("cores!=2", vec![2]),
        ("-cores!=2", vec![0]),
        ("cores:?", vec![1]),
        ("-cores:?", vec![0, 2]),
        ("cores:*", vec![0, 2]),
        ("-cpu:i5", vec![2]),
        ("-(cpu:i5 cores<4)", vec![2]),
        ("-(cpu:i5 o cores:?)", vec![2]),
        ("cores<4 o cores:?", vec![0, 1]),
        ("i7", vec![2]),
        ("-i7", vec![0, 1]),
    ] {
        let set = evaluate(&parse(text).unwrap(), NOW, &mut facts).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), found, "{text}");
    }
}

/// Three-valued logic worked out device by device, another way than sets.
fn judge(query: &Query, (cores, cpu): (Option<i64>, Option<&str>)) -> Option<bool> {
    match query {
        Query::All(parts) => {
            let all: Vec<_> = parts.iter().map(|part| judge(part, (cores, cpu))).collect();
            if all.contains(&Some(false)) {
                Some(false)
            } else if all.contains(&None) {
                None
            } else {
                Some(true)
            }
        }
        Query::Any(parts) => {
            let all: Vec<_> = parts.iter().map(|part| judge(part, (cores, cpu))).collect();
            if all.contains(&Some(true)) {
                Some(true)
            } else if all.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        Query::Not(part) => judge(part, (cores, cpu)).map(|yes| !yes),
        Query::Term(Term::Word(word)) => {
            Some(cpu.is_some_and(|cpu| cpu.contains(&crate::search::fold(word))))
        }
        Query::Term(Term::Field {
            field, op, value, ..
        }) => {
            let known = if field.kind == Kind::Number {
                cores.is_some()
            } else {
                cpu.is_some()
            };
            match value.as_str() {
                "?" => return Some(!known),
                "*" => return Some(known),
                _ => {}
            }
            if field.kind == Kind::Number {
                let typed: i64 = value.parse().unwrap();
                cores.map(|cores| op.holds(cores.cmp(&typed)))
            } else {
                cpu.map(|cpu| match op {
                    Op::Has => cpu.contains(value.as_str()),
                    Op::Is => cpu == value,
                    _ => cpu != value,
                })
            }
        }
    }
}

fn query_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (
            prop::sample::select(vec![":", "=", "!=", "<", "<=", ">", ">="]),
            0..6u8
        )
            .prop_map(|(op, n)| format!("cores{op}{n}")),
        (
            prop::sample::select(vec![":", "=", "!="]),
            prop::sample::select(vec!["i5", "i7", "i", "zz"])
        )
            .prop_map(|(op, text)| format!("cpu{op}{text}")),
        prop::sample::select(vec!["cores:?", "cores:*", "cpu:?", "cpu:*", "i5", "\"i7\""])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("-{part}")),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_soup_of_signs_panics_and_what_is_read_prints_to_the_same(
        text in "[a-c :=<>!()\"\\\\.?*0-9GoñI-]{0,40}|((cpu|ram|os|seen|software|o|y|-|\\(|\\)|:|<|8G|\"|i5| ){0,16})"
    ) {
        if let Ok(query) = parse(&text) {
            let printed = query.to_string();
            prop_assert_eq!(parse(&printed).map(|again| again.to_string()), Ok(printed.clone()));
            prop_assert_eq!(parse(&printed), Ok(query));
        }
    }

    #[test]
    fn sets_agree_with_three_valued_logic(
        text in query_text(),
        facts in prop::collection::vec(
            (prop::option::of(0..6i64), prop::option::of(prop::sample::select(vec!["i5", "i7", "i", "x i5 z"]))), 1..8)
    ) {
        let query = parse(&text).unwrap();
        let found = evaluate(&query, NOW, &mut Facts(facts.clone())).unwrap();
        for (index, one) in (0..).zip(&facts) {
            prop_assert_eq!(found.contains(index), judge(&query, *one) == Some(true), "{} {:?}", text, one);
        }
    }
}
