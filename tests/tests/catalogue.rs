//! A definition from its first draft to a machine that obeys it, typed as people type it: `chasqui` with files and key
//! files, against a real coordinator and a real agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::path::{Path, PathBuf};

use chasqui_base::clock;
use chasqui_proto::v1::{PublishDefinitionRequest, TrustDocumentKind};
use chasqui_tests::fleet::PASSWORD;
use chasqui_tests::{Agent, TestFleet, programs};
use chasqui_trust::{CatalogueEntry, Definition, Digest, Document as _, SigningKey, sign as seal};
use serde_json::Value;

const PHRASE: &str = "correct horse battery";
const ACTION: &str = "disk.clean.temp";

/// The desk of everybody: a settings folder per person, one trust folder, one folder of definitions.
struct Desk {
    fleet: TestFleet,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let fleet = TestFleet::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { fleet, folder };
        for name in [
            "trust",
            "trust/definitions",
            "trust/roots",
            "trust/keys",
            "catalogue",
        ] {
            fs::create_dir(desk.path(name)).unwrap();
        }
        fs::write(desk.path("phrase"), PHRASE).unwrap();
        fs::write(desk.path("password"), PASSWORD).unwrap();
        // A root that names a second publisher.
        let second = SigningKey::generate([33; 32]);
        let cast = &desk.fleet.cast;
        let mut root = cast.root.clone();
        root.version = 2;
        root.keys.push(second.public_key());
        root.publishers.key_ids.push(second.key_id());
        let root = seal(&root, &[&cast.root_key]).unwrap().to_json();
        desk.fleet
            .publish(TrustDocumentKind::Root, root.clone())
            .await
            .unwrap();
        fs::write(desk.path("trust/root.json"), &root).unwrap();
        fs::write(
            desk.path("trust/people.json"),
            cast.people_envelope().unwrap(),
        )
        .unwrap();
        let catalogue = cast.catalogue_envelope().unwrap();
        fs::write(desk.path("trust/catalogue.json"), catalogue).unwrap();
        for definition in &cast.definitions {
            let name = format!(
                "trust/definitions/{}-{}.json",
                definition.id, definition.version
            );
            fs::write(desk.path(&name), definition.encode().unwrap()).unwrap();
        }
        key_file(&desk.path("one.pem"), &cast.publisher_key);
        key_file(&desk.path("two.pem"), &second);
        for (login, key) in [
            ("admin", None),
            ("tecnico", Some(&cast.technician.key)),
            ("lider", Some(&cast.lead.key)),
            ("coordinadora", Some(&cast.coordinator.key)),
        ] {
            fs::create_dir(desk.path(login)).unwrap();
            fs::write(desk.path(login).join("root.json"), &root).unwrap();
            if let Some(key) = key {
                key_file(&desk.path(login).join("key.pem"), key);
            }
            let password = desk.text("password");
            let url = desk.fleet.server.people_url.clone();
            desk.ok(
                login,
                &[
                    "login",
                    login,
                    "--server",
                    &url,
                    "--password-file",
                    &password,
                ],
            );
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Runs as this person; gives back code, standard output and standard error.
    fn run(&self, login: &str, words: &[&str]) -> (i32, String, String) {
        let output = programs::command("chasqui")
            .unwrap()
            .args(words)
            .env("CHASQUI_CONFIG_DIR", self.path(login))
            .env("CHASQUI_PASSPHRASE_FILE", self.path("phrase"))
            .env("CHASQUI_LANG", "en")
            .output()
            .unwrap();
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// Insists on success; what a person reads.
    fn ok(&self, login: &str, words: &[&str]) -> String {
        let (code, out, err) = self.run(login, words);
        assert_eq!(code, 0, "{words:?}\n{out}{err}");
        out
    }

    /// Insists on success; what a script reads.
    fn json(&self, login: &str, words: &[&str]) -> Value {
        let out = self.ok(login, &[words, &["--json"]].concat());
        serde_json::from_str(&out).unwrap()
    }

    /// Insists on failure; the exit code and the error.
    fn error(&self, login: &str, words: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(login, &[words, &["--json"]].concat());
        assert_ne!(code, 0, "{words:?}\n{out}");
        let value: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
        (code, value["error"].clone())
    }

    fn sign(&self, paths: &[&str], key: &str) -> Value {
        let (dir, key) = (self.text("trust"), self.text(key));
        let words = ["catalogue", "sign", "--dir", &dir, "--key", &key, "--yes"];
        self.json("admin", &[&words, paths].concat())["documents"][0].clone()
    }
}

/// A key file as `chasqui key new` leaves it.
fn key_file(path: &Path, key: &SigningKey) {
    let pem = key
        .to_encrypted_pem(PHRASE.as_bytes(), [1; 16], [2; 16])
        .unwrap();
    fs::write(path, pem.as_bytes()).unwrap();
    let public = serde_json::to_vec(&key.public_key()).unwrap();
    fs::write(path.with_extension("pub"), public).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_goes_from_draft_to_machine() {
    let desk = Desk::new().await;
    let agent = Agent::start(&desk.fleet, "equipo").await.unwrap();
    let ticket = desk.fleet.ticket(&agent.device_id).await.unwrap();
    let order = |more: &[&str]| -> Vec<String> {
        let words = [
            "order",
            "request",
            ACTION,
            "--ticket",
            &ticket.id,
            "--device",
            &agent.device_id,
            "--set",
            "older_than_days=30",
            "--reason",
            "disco lleno",
            "--yes",
        ];
        [&words[..], more]
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let request = |more: &[&str]| -> Value {
        let words = order(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        desk.json("tecnico", &words)
    };

    // Version 1 is used once.
    let first = request(&[]);
    let first = first["id"].as_str().unwrap();
    let read = desk.ok("lider", &["order", "approve", first, "--yes"]);
    assert!(read.contains("was not used before"), "{read}");
    assert!(read.contains("files.clean"), "{read}");
    desk.ok("tecnico", &["order", "watch", first]);

    // Version 2 is begun from it, and is of risk 3.
    let file = desk.text("catalogue/disk.clean.temp.json");
    let from = format!("{ACTION}@1");
    let made = desk.json(
        "admin",
        &["catalogue", "new", ACTION, "--from", &from, "--out", &file],
    );
    assert_eq!(made["version"], 2);
    let mut definition: Definition = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    definition.risk = 3;
    definition.approvals = 2;
    definition.time_limit_ms += 60_000;
    fs::write(&file, serde_json::to_vec_pretty(&definition).unwrap()).unwrap();
    let report = desk.json("admin", &["catalogue", "check", &file]);
    assert_eq!(report["errors"], 0, "{report}");
    let diff = desk.json("admin", &["catalogue", "diff", &from, &file]);
    assert_eq!(diff["widens"], true);

    // One publisher is not enough, and the words say what to do.
    let folder = desk.text("catalogue");
    let one = desk.sign(&[&folder], "one.pem");
    assert_eq!(one["missing_code"], "DEFINITION_PUBLISHERS", "{one}");
    let trust = desk.text("trust");
    let publish = ["catalogue", "publish", "--dir", &trust];
    let (code, error) = desk.error("admin", &publish);
    assert_eq!(
        (code, error["code"].as_str()),
        (3, Some("DEFINITION_PUBLISHERS"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("two publishers")
    );
    assert!(
        error["hint"]
            .as_str()
            .unwrap()
            .contains("chasqui catalogue sign")
    );
    let listed = desk.json("admin", &["catalogue", "list"]);
    assert!(!listed.to_string().contains("\"version\":2"), "{listed}");

    // The second signs with the same command; a definition altered since is not published.
    assert_eq!(desk.sign(&[&folder], "two.pem")["complete"], true);
    let kept = desk.path("trust/definitions/disk.clean.temp-2.json");
    let bytes = fs::read(&kept).unwrap();
    let altered = String::from_utf8(bytes.clone())
        .unwrap()
        .replace("\"risk\":3", "\"risk\":1");
    fs::write(&kept, altered).unwrap();
    let (code, error) = desk.error("admin", &publish);
    assert_eq!(
        (code, error["code"].as_str()),
        (7, Some("DEFINITION_DIGEST"))
    );
    fs::write(&kept, bytes).unwrap();
    assert_eq!(desk.json("admin", &publish)["catalogue"], 2);
    let listed = desk.json("tecnico", &["catalogue", "list"]);
    assert!(listed.to_string().contains("\"version\":2"), "{listed}");

    // Nothing is sent by a dry run; then two orders are approved with one command by each approver.
    let dry = request(&["--dry-run"]);
    assert_eq!(
        (&dry["dry_run"], &dry["orders"][0]["risk"]),
        (&true.into(), &3.into())
    );
    let ids: Vec<String> = (0..2)
        .map(|_| request(&[])["id"].as_str().unwrap().to_owned())
        .collect();
    let listed = desk.json("tecnico", &["order", "list"]);
    assert_eq!(listed["orders"].as_array().unwrap().len(), 3);
    let approve = ["order", "approve", &ids[0], &ids[1], "--yes"];
    // One that cannot be read leaves all unsigned, and is named.
    let nobody = clock::new_id().to_string();
    let (code, error) = desk.error("lider", &["order", "approve", &ids[0], &nobody, "--yes"]);
    assert_eq!(
        (code, error["details"]["order"].as_str()),
        (4, Some(nobody.as_str()))
    );
    let shown = desk.json("lider", &["order", "show", &ids[0]]);
    assert_eq!(shown["statements"].as_array().unwrap().len(), 0, "{shown}");
    let read = desk.ok("lider", &approve);
    assert!(read.contains("The definition changed since v1"), "{read}");
    assert!(read.contains("WIDENS: lasts longer"), "{read}");
    assert_eq!(
        read.matches("requester's signature verified").count(),
        2,
        "{read}"
    );
    let approved = desk.json("coordinadora", &approve);
    assert_eq!(approved["orders"].as_array().unwrap().len(), 2);
    let before = &approved["orders"][0]["definition_used_before"];
    assert_eq!(
        (&before["order_id"], &before["same"]),
        (&first.into(), &false.into())
    );
    for id in &ids {
        desk.ok("tecnico", &["order", "watch", id]);
        let shown = desk.json("tecnico", &["order", "show", id]);
        assert_eq!(shown["verified"], true, "{shown}");
        assert_eq!(shown["results"][0]["outcome"], "succeeded");
        assert!(shown["results"][0]["undo"].is_null());
        assert_eq!(shown["break_glass"], false);
    }

    windows_and_emergencies(&desk, &request);
    one_publisher_is_refused_again(&desk, &order(&[])).await;
}

/// A series is as many orders; an emergency is marked wherever it is shown.
fn windows_and_emergencies(desk: &Desk, request: &dyn Fn(&[&str]) -> Value) {
    let until = clock::now_ms() + 20 * clock::DAY_MS;
    let until = chasqui_trust::render::utc(until);
    let day = &until[..10];
    let series = request(&["--window", "22:00-02:00", "--weekly", "--until", day]);
    let orders = series["orders"].as_array().unwrap();
    assert!(orders.len() >= 2, "{series}");
    let mut times: Vec<i64> = orders
        .iter()
        .map(|o| o["not_before_ms"].as_i64().unwrap())
        .collect();
    times.dedup();
    assert_eq!(times.len(), orders.len());
    assert!(times.is_sorted());

    let why = "the server room floods";
    let emergency = request(&["--break-glass", why, "--next-boot"]);
    assert_eq!(emergency["break_glass"], true);
    let id = emergency["id"].as_str().unwrap();
    let listed = desk.json("lider", &["order", "list"]);
    let marked: Vec<&Value> = listed["orders"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|o| o["break_glass"] == true)
        .collect();
    assert_eq!((marked.len(), marked[0]["id"].as_str()), (1, Some(id)));
    assert!(desk.ok("lider", &["order", "list"]).contains("EMERGENCY"));
    let shown = desk.ok("lider", &["order", "show", id]);
    assert!(shown.contains("!!!!") && shown.contains(why), "{shown}");
    let shown = desk.json("lider", &["order", "show", id]);
    assert_eq!(shown["next_boot"], true);
}

/// What a coordinator carries all the same is refused where people sign, in words that say what to do; and it keeps no
/// definition that it cannot read.
async fn one_publisher_is_refused_again(desk: &Desk, order: &[String]) {
    let cast = &desk.fleet.cast;
    let mut definition = cast.definition(ACTION).unwrap().clone();
    definition.version = 3;
    definition.risk = 3;
    let bytes = definition.encode().unwrap();
    let mut catalogue = cast.catalogue.clone();
    catalogue.version = 3;
    catalogue.definitions.push(CatalogueEntry {
        id: definition.id.clone(),
        version: 3,
        digest: Digest::of(&bytes),
    });
    let publish = async |definition: Vec<u8>| {
        desk.fleet
            .admin
            .trust()
            .publish_definition(PublishDefinitionRequest {
                request_id: clock::new_id().to_string(),
                definition: definition.into(),
            })
            .await
    };
    let mut unknown: Value = serde_json::from_slice(&bytes).unwrap();
    unknown["shell"] = true.into();
    let refused = publish(serde_json::to_vec(&unknown).unwrap())
        .await
        .unwrap_err();
    assert_eq!(chasqui_tests::orders::code(&refused), "PAPER_UNREADABLE");
    publish(bytes).await.unwrap();
    // The same id and version twice, whatever publisher signs it.
    let mut doubled = catalogue.clone();
    doubled.definitions.push(doubled.definitions[0].clone());
    let mut envelope = seal(&catalogue, &[]).unwrap();
    envelope.payload = serde_json::to_vec(&doubled).unwrap();
    envelope.add_signature(&cast.publisher_key);
    let refused = desk
        .fleet
        .publish(TrustDocumentKind::Catalogue, envelope.to_json())
        .await
        .unwrap_err();
    let status = refused.downcast_ref::<tonic::Status>().unwrap();
    assert_eq!(chasqui_tests::orders::code(status), "PAPER_INVALID");
    let signed = seal(&catalogue, &[&cast.publisher_key]).unwrap().to_json();
    desk.fleet
        .publish(TrustDocumentKind::Catalogue, signed)
        .await
        .unwrap();
    let words: Vec<&str> = order.iter().map(String::as_str).collect();
    let (code, error) = desk.error("tecnico", &words);
    assert_eq!(
        (code, error["code"].as_str()),
        (3, Some("DEFINITION_PUBLISHERS"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("let another sign it too")
    );
}
