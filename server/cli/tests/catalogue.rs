//! Definitions from the draft to the signed list, through the real program and without any network.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{error, json, run};
use serde_json::Value;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../catalogue");

/// A folder with a trust folder of two publishers, made offline.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pem = "-----BEGIN CERTIFICATE-----\nMIIBAA==\n-----END CERTIFICATE-----\n";
        fs::write(folder.path().join("ca.pem"), pem).unwrap();
        fs::write(folder.path().join("phrase"), "correct horse battery\n").unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::create_dir(folder.path().join("catalogue")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn config(&self) -> PathBuf {
        self.path("config")
    }

    fn init(&self, publishers: &str) {
        let (dir, ca, phrase) = (self.text("trust"), self.text("ca.pem"), self.text("phrase"));
        self.json(&[
            "trust",
            "init",
            "--dir",
            &dir,
            "--org",
            "example.org",
            "--agents-url",
            "https://help.example.org:7443",
            "--people-url",
            "https://help.example.org:443",
            "--ca-file",
            &ca,
            "--passphrase-file",
            &phrase,
            "--root-keys",
            "1",
            "--root-threshold",
            "1",
            "--publisher-keys",
            publishers,
        ]);
    }

    fn json(&self, words: &[&str]) -> Value {
        json(&self.config(), words)
    }

    fn error(&self, words: &[&str]) -> (i32, Value) {
        error(&self.config(), words)
    }

    /// Copies a shipped definition into the folder of definitions, changed.
    fn definition(&self, shipped: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let text = fs::read(Path::new(SHIPPED).join(format!("{shipped}.json"))).unwrap();
        let mut value: Value = serde_json::from_slice(&text).unwrap();
        change(&mut value);
        let (id, version) = (value["id"].as_str().unwrap(), &value["version"]);
        let path = self.path(&format!("catalogue/{id}-{version}.json"));
        // Member order is the document's: serde_json sorts, so the text is made from the struct.
        let definition: Result<chasqui_trust::Definition, _> =
            serde_json::from_value(value.clone());
        let text = match definition {
            Ok(definition) => serde_json::to_vec_pretty(&definition).unwrap(),
            Err(_) => serde_json::to_vec_pretty(&value).unwrap(),
        };
        fs::write(&path, text).unwrap();
        path
    }

    fn sign_words(&self, more: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = ["catalogue", "sign", "--dir"]
            .iter()
            .map(ToString::to_string)
            .collect();
        words.push(self.text("trust"));
        words.extend(["--yes".to_owned(), "--passphrase-file".to_owned()]);
        words.push(self.text("phrase"));
        words.extend(more.iter().map(ToString::to_string));
        words
    }

    fn sign(&self, more: &[&str]) -> Value {
        let words = self.sign_words(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.json(&words)["documents"][0].clone()
    }

    fn sign_error(&self, more: &[&str]) -> (i32, Value) {
        let words = self.sign_words(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.error(&words)
    }

    fn publisher(&self, n: u32) -> String {
        self.text(&format!("trust/keys/publisher-{n}.pem"))
    }
}

fn finding<'a>(report: &'a Value, code: &str) -> &'a Value {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["code"] == code)
        .unwrap_or_else(|| panic!("no {code} in {report}"))
}

#[test]
fn what_is_shipped_has_nothing_to_be_said_against() {
    let place = Place::new();
    let report = place.json(&["catalogue", "check", SHIPPED]);
    assert_eq!(report["errors"], 0, "{report}");
    assert!(report["files"].as_array().unwrap().len() >= 11);
    // What is said is known and meant: the root decides how many approve, and installing tells without asking.
    let meant = [
        ("power.reboot", "RISK_APPROVALS"),
        ("power.reboot", "UNDO_UNREACHABLE"),
        ("process.kill", "RISK_APPROVALS"),
        ("software.install", "RISK_CONSENT"),
    ];
    for finding in report["findings"].as_array().unwrap() {
        let file = Path::new(finding["file"].as_str().unwrap());
        let id = file.file_stem().unwrap().to_str().unwrap();
        let code = finding["code"].as_str().unwrap();
        assert!(
            code == "TWO_PUBLISHERS" || meant.contains(&(id, code)),
            "{finding}"
        );
    }
}

#[test]
fn a_new_definition_says_what_is_missing_and_is_never_overwritten() {
    let place = Place::new();
    let out = place.text("catalogue/printer.queue.clear.json");
    let words = ["catalogue", "new", "printer.queue.clear", "--out", &out];
    let (code, said, guidance) = run(&place.config(), &words);
    assert_eq!(code, 0, "{guidance}");
    assert!(said.contains("chasqui catalogue check"), "{said}");
    assert!(
        guidance.contains("if_it_fails") && guidance.contains("check"),
        "{guidance}"
    );
    let value: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    assert_eq!(
        (&value["risk"], &value["consent"]),
        (&4.into(), &"ask".into())
    );

    let (code, report, _) = run(&place.config(), &["catalogue", "check", &out, "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(code, 7);
    assert_eq!(finding(&report, "TEXT_MISSING")["at"], "title.es");
    assert_eq!(place.error(&words).1["code"], "FILE_EXISTS");
}

#[test]
fn a_copy_is_the_next_version() {
    let place = Place::new();
    let from = format!("{SHIPPED}/disk.clean.temp.json");
    let out = place.text("next.json");
    let words = [
        "catalogue",
        "new",
        "disk.clean.temp",
        "--from",
        &from,
        "--out",
        &out,
    ];
    assert_eq!(place.json(&words)["version"], 2);
    // Under another name it is another action.
    let out = place.text("other.json");
    let words = [
        "catalogue",
        "new",
        "disk.clean.other",
        "--from",
        &from,
        "--out",
        &out,
    ];
    assert_eq!(place.json(&words)["version"], 1);
}

#[test]
fn a_mistake_is_told_with_file_place_and_remedy() {
    let place = Place::new();
    place.definition("disk.clean.temp", |v| v["steps"][0]["shell"] = true.into());
    place.definition("system.library-cache.rebuild", |_| {});
    fs::copy(
        place.path("catalogue/system.library-cache.rebuild-1.json"),
        place.path("catalogue/zz.json"),
    )
    .unwrap();
    let folder = place.text("catalogue");
    let (code, out, err) = run(&place.config(), &["catalogue", "check", &folder, "--json"]);
    assert_eq!(code, 7, "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let unknown = finding(&report, "FIELD_UNKNOWN");
    assert!(
        unknown["file"]
            .as_str()
            .unwrap()
            .ends_with("disk.clean.temp-1.json")
    );
    assert!(
        unknown["at"].as_str().unwrap().starts_with("steps[0]"),
        "{unknown}"
    );
    assert!(unknown["line"].as_u64().unwrap() > 1);
    assert!(
        unknown["remedy"]["es"]
            .as_str()
            .unwrap()
            .contains("quítelo")
    );
    assert!(
        finding(&report, "DEFINITION_TWICE")["file"]
            .as_str()
            .unwrap()
            .ends_with("zz.json")
    );
    assert_eq!(finding(&report, "FILE_NAME")["level"], "warning");
    let (_, out, _) = run(
        &place.config(),
        &["--lang", "es", "catalogue", "check", &folder],
    );
    assert!(out.contains("miembro desconocido"), "{out}");
}

#[test]
fn a_diff_marks_what_widens() {
    let place = Place::new();
    let old = place.definition("disk.clean.temp", |_| {});
    let new = place.definition("disk.clean.temp", |v| {
        v["version"] = 2.into();
        v["time_limit_ms"] = 86_400_000.into();
        v["title"]["en"] = "Clean up".into();
    });
    let (old, new) = (old.display().to_string(), new.display().to_string());
    let diff = place.json(&["catalogue", "diff", &old, &new]);
    assert_eq!(diff["widens"], true);
    let paths: Vec<(&str, bool)> = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            let widens = !c["widens"].as_array().unwrap().is_empty();
            (c["path"].as_str().unwrap(), widens)
        })
        .collect();
    assert_eq!(
        paths,
        [
            ("version", false),
            ("title.en", false),
            ("time_limit_ms", true)
        ]
    );
    // The other way round nothing is widened.
    assert_eq!(
        place.json(&["catalogue", "diff", &new, &old])["widens"],
        false
    );
}

#[test]
fn a_catalogue_of_risk_3_gathers_two_publishers() {
    let place = Place::new();
    place.init("2");
    let folder = place.text("catalogue");
    place.definition("disk.clean.temp", |v| {
        v["risk"] = 3.into();
        v["approvals"] = 1.into();
    });
    let one = place.sign(&[&folder, "--key", &place.publisher(1)]);
    assert_eq!(
        (&one["complete"], &one["signatures"], &one["missing_code"]),
        (&false.into(), &1.into(), &"DEFINITION_PUBLISHERS".into())
    );
    // The same publisher again is one signature.
    let again = place.sign(&[&folder, "--key", &place.publisher(1)]);
    assert_eq!(
        (&again["complete"], &again["signatures"]),
        (&false.into(), &1.into())
    );
    // The words say what to do.
    let words = place.sign_words(&["--key", &place.publisher(1)]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (_, out, _) = run(&place.config(), &words);
    assert!(out.contains("two publishers sign"), "{out}");
    assert!(out.contains("chasqui catalogue sign --dir"), "{out}");
    // The other signs the very same document with the same command.
    let two = place.sign(&[&folder, "--key", &place.publisher(2)]);
    assert_eq!(
        (&two["complete"], &two["signatures"], &two["version"]),
        (&true.into(), &2.into(), &1.into())
    );
    // With new dates alone it is the next version.
    assert_eq!(place.sign(&[])["version"], 2);
}

#[test]
fn copies_of_a_draft_are_signed_apart_and_merged() {
    let place = Place::new();
    place.init("2");
    place.definition("disk.clean.temp", |v| v["risk"] = 3.into());
    let folder = place.text("catalogue");
    place.sign(&[&folder, "--key", &place.publisher(1)]);
    let draft = place.path("trust/catalogue.draft.json");
    let copy = place.text("copy.json");
    fs::copy(&draft, &copy).unwrap();
    // The draft goes on with the other's signature alone; the copy has the first.
    let mut value: Value = serde_json::from_slice(&fs::read(&draft).unwrap()).unwrap();
    value["signatures"] = Value::Array(Vec::new());
    fs::write(&draft, serde_json::to_vec(&value).unwrap()).unwrap();
    let other = place.sign(&["--key", &place.publisher(2)]);
    assert_eq!(
        (&other["complete"], &other["signatures"]),
        (&false.into(), &1.into())
    );
    let merged = place.sign(&["--merge", &copy]);
    assert_eq!(
        (&merged["complete"], &merged["signatures"]),
        (&true.into(), &2.into())
    );
}

#[test]
fn with_a_single_publisher_risk_3_says_how_to_go_on() {
    let place = Place::new();
    place.init("1");
    place.definition("disk.clean.temp", |v| v["risk"] = 3.into());
    let folder = place.text("catalogue");
    let words = place.sign_words(&[&folder]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (code, out, err) = run(&place.config(), &words);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("trust add publisher-key"), "{out}");
    assert!(!place.path("trust/catalogue.json").exists());
}

#[test]
fn what_is_signed_once_keeps_its_content() {
    let place = Place::new();
    place.init("1");
    let folder = place.text("catalogue");
    place.definition("disk.clean.temp", |_| {});
    assert_eq!(place.sign(&[&folder])["complete"], true);
    place.definition("disk.clean.temp", |v| v["title"]["en"] = "Other".into());
    let (code, failure) = place.sign_error(&[&folder]);
    assert_eq!(
        (code, failure["code"].as_str()),
        (3, Some("DEFINITION_VERSION_USED"))
    );
    place.definition("disk.clean.temp", |v| v["version"] = 2.into());
    fs::remove_file(place.path("catalogue/disk.clean.temp-1.json")).unwrap();
    let next = place.sign(&[&folder]);
    assert_eq!(
        (&next["complete"], &next["version"]),
        (&true.into(), &2.into())
    );
    let file = place.text("trust/catalogue.json");
    let shown = place.json(&["trust", "show", &file]);
    assert_eq!(shown["content"]["definitions"].as_array().unwrap().len(), 2);
}

#[test]
fn unreadable_doubled_and_altered_definitions_are_not_signed() {
    let place = Place::new();
    place.init("2");
    let folder = place.text("catalogue");
    let file = place.definition("disk.clean.temp", |v| v["shell"] = true.into());
    let (code, failure) = place.sign_error(&[&folder]);
    assert_eq!(
        (code, failure["code"].as_str()),
        (7, Some("PAPER_UNREADABLE"))
    );
    assert!(
        failure["details"]["file"]
            .as_str()
            .unwrap()
            .ends_with("disk.clean.temp-1.json")
    );
    fs::remove_file(file).unwrap();

    place.definition("disk.clean.temp", |v| v["title"]["en"] = "Other".into());
    let shipped = format!("{SHIPPED}/disk.clean.temp.json");
    let (code, failure) = place.sign_error(&[&folder, &shipped]);
    assert_eq!(
        (code, failure["code"].as_str()),
        (7, Some("DEFINITION_TWICE"))
    );

    // The second publisher refuses bytes that are not those of the list.
    place.definition("disk.clean.temp", |v| v["risk"] = 3.into());
    place.sign(&[&folder, "--key", &place.publisher(1)]);
    let kept = place.path("trust/definitions/disk.clean.temp-1.json");
    let text = fs::read_to_string(&kept)
        .unwrap()
        .replace("\"risk\":3", "\"risk\":1");
    fs::write(&kept, text).unwrap();
    let (code, failure) = place.sign_error(&["--key", &place.publisher(2)]);
    assert_eq!(
        (code, failure["code"].as_str()),
        (7, Some("DEFINITION_DIGEST"))
    );
}

#[test]
fn a_stranger_is_no_publisher_and_trust_sign_is_no_way_round() {
    let place = Place::new();
    place.init("2");
    let folder = place.text("catalogue");
    place.definition("disk.clean.temp", |v| v["risk"] = 3.into());
    let admin = place.text("trust/keys/admin-1.pem");
    let (code, failure) = place.sign_error(&[&folder, "--key", &admin]);
    assert_eq!(
        (code, failure["code"].as_str()),
        (3, Some("KEY_NOT_PUBLISHER"))
    );
    place.sign(&[&folder, "--key", &place.publisher(1)]);
    let draft = place.text("trust/catalogue.draft.json");
    let (key, phrase) = (place.publisher(2), place.text("phrase"));
    let words = [
        "trust",
        "sign",
        &draft,
        "--key",
        &key,
        "--passphrase-file",
        &phrase,
        "--yes",
    ];
    let (code, failure) = place.error(&words);
    assert_eq!(code, 2);
    assert!(failure["hint"].as_str().unwrap().contains("catalogue sign"));
}

/// A definition with every member and every form of each, so that what the schema leaves out is noticed.
fn everything() -> chasqui_trust::Definition {
    use chasqui_trust::Text;
    use chasqui_trust::definition::*;
    use chasqui_trust::order::ParameterValue;
    let text = || Text::new("palabras", "words");
    let spec = |name: &str, kind| ParameterSpec {
        name: name.to_owned(),
        title: text(),
        kind,
    };
    let program = |script| Run::Program {
        path: "/usr/bin/tool".to_owned(),
        args: vec![
            Arg::Literal("--now".to_owned()),
            Arg::Parameter("count".to_owned()),
            Arg::Script,
        ],
        success_codes: vec![0, 3],
        script_digest: script,
    };
    let builtin = Run::Builtin {
        name: "files.clean".to_owned(),
        args: [
            ArgValue::Literal(ParameterValue::Integer(1)),
            ArgValue::Literal(ParameterValue::Text("a".to_owned())),
            ArgValue::Literal(ParameterValue::List(vec!["a".to_owned()])),
            ArgValue::Parameter("count".to_owned()),
        ]
        .into_iter()
        .enumerate()
        .map(|(n, value)| NamedArg {
            name: format!("arg{n}"),
            value,
        })
        .collect(),
    };
    let step = |id: &str, run| Step {
        id: id.to_owned(),
        title: text(),
        run,
    };
    let classes = [
        CharClass::Digits,
        CharClass::Alphanumeric,
        CharClass::Identifier,
        CharClass::Host,
        CharClass::Version,
        CharClass::FileName,
        CharClass::Prose,
    ];
    let things = [
        InventoryKind::Service,
        InventoryKind::Package,
        InventoryKind::Printer,
        InventoryKind::Disk,
        InventoryKind::Interface,
    ];
    let mut parameters = vec![
        spec("count", ParameterKind::Integer { min: 1, max: 9 }),
        spec(
            "mode",
            ParameterKind::Choice {
                options: vec!["fast".to_owned()],
            },
        ),
        spec(
            "list",
            ParameterKind::List {
                max_items: 3,
                max_length: 10,
                class: CharClass::Host,
            },
        ),
    ];
    parameters.extend(classes.into_iter().enumerate().map(|(n, class)| {
        let kind = ParameterKind::Text {
            max_length: 10,
            class,
            leading_dash: n == 0,
        };
        spec(&format!("text{n}"), kind)
    }));
    parameters.extend(
        things
            .into_iter()
            .enumerate()
            .map(|(n, of)| spec(&format!("thing{n}"), ParameterKind::Inventory { of })),
    );
    let kinds = [
        FactKind::Number,
        FactKind::Flag,
        FactKind::Text,
        FactKind::Time,
        FactKind::Digest,
    ];
    Definition {
        title: text(),
        summary: text(),
        plan: text(),
        if_it_fails: text(),
        platforms: vec![Platform::Linux, Platform::Windows],
        parameters,
        preconditions: vec![
            Precondition::BatteryAtLeast { percent: 50 },
            Precondition::FreeDisk {
                path: "/var".to_owned(),
                bytes: 1,
            },
            Precondition::NoPendingReboot,
            Precondition::NobodyLoggedIn,
            Precondition::SomebodyLoggedIn,
        ],
        locks: vec![Lock {
            resource: "disk".to_owned(),
            parameter: Some("count".to_owned()),
        }],
        interrupts: vec![Interruption::Network, Interruption::Reboot],
        limits: Limits {
            memory_bytes: Some(1 << 30),
            cpu_percent: Some(50),
            processes: Some(10),
            priority: Priority::Normal,
        },
        stop: StopPolicy::LetFinish,
        steps: vec![
            step("one", program(Some(chasqui_trust::Digest::of(b"script")))),
            step("two", program(None)),
            step("three", builtin.clone()),
        ],
        check: Check {
            summary: text(),
            run: builtin,
        },
        undo: Some(Undo {
            summary: text(),
            steps: vec![step("back", program(None))],
            when_check_fails: true,
            when_unreachable_ms: Some(60_000),
        }),
        evidence: kinds
            .into_iter()
            .enumerate()
            .map(|(n, kind)| EvidenceSpec {
                fact: format!("fact{n}"),
                title: text(),
                unit: String::new(),
                kind,
            })
            .collect(),
        ..Definition::draft("every.thing")
    }
}

fn schema() -> Value {
    let text = fs::read(Path::new(SHIPPED).join("schema.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[test]
fn the_schema_holds_for_what_is_shipped_and_for_every_form() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut shipped = 0;
    for entry in fs::read_dir(SHIPPED).unwrap() {
        let path = entry.unwrap().path();
        let is_schema = path.file_name().is_some_and(|name| name == "schema.json");
        if is_schema || path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|e| e.to_string())
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
        shipped += 1;
    }
    assert!(shipped >= 2);
    let value = serde_json::to_value(everything()).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(&value)
        .map(|e| format!("{} {e}", e.instance_path()))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_schema_and_the_format_have_the_same_members() {
    let schema = schema();
    let names = |value: &Value| -> Vec<String> {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let whole = serde_json::to_value(everything()).unwrap();
    assert_eq!(names(&schema["properties"]), names(&whole));
    let limits = &schema["properties"]["limits"]["properties"];
    assert_eq!(names(limits), names(&whole["limits"]));
    let undo = &schema["properties"]["undo"]["anyOf"][0]["properties"];
    assert_eq!(names(undo), names(&whole["undo"]));
    // Every member is required, and no other is allowed: the program reads as strictly.
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in names(&whole) {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(&name);
        assert!(!validator.is_valid(&without), "{name}");
    }
    let mut more = whole.clone();
    more["steps"][0]["shell"] = true.into();
    assert!(!validator.is_valid(&more));
}

#[test]
fn the_example_of_the_page_is_a_definition() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/definitions.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let place = Place::new();
    let file = place.path("catalogue/service.restart.json");
    fs::write(&file, example).unwrap();
    let report = place.json(&["catalogue", "check", &file.display().to_string()]);
    assert_eq!(
        (&report["errors"], &report["warnings"]),
        (&0.into(), &0.into()),
        "{report}"
    );
    // Each member has its row.
    let value: Value = serde_json::from_str(example).unwrap();
    for name in value.as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not explained"
        );
    }
}
