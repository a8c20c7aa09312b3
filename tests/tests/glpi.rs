//! Other programs' inventories at a running coordinator: Debian's FusionInventory agent reports with its own client, and
//! documents that hold every field which is kept come out again as the facts that went in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use chasqui_base::clock;
use chasqui_proto::facts;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{
    CreateInventorySourceRequest, GetInventoryRequest, ListDevicesRequest, SectionFacts,
    SectionKind,
};
use chasqui_server::glpi::{self, Action};
use chasqui_tests::TestFleet;
use chasqui_tests::round_trip::{self, Place};
use prost::Message;
use serde_json::{Map, Value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fusioninventory_reports_to_a_running_coordinator() {
    let fleet = TestFleet::start().await.unwrap();
    let secret = source(&fleet, "fusion").await;
    let url = format!("{}/front/inventory.php", fleet.server.people_url);
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("fusioninventory-agent")
            .args(["--server", &url, "--user", "fusion", "--password", &secret])
            .args(["--force", "--no-httpd", "--logger", "stderr"])
            .args(["--no-task", "wmi,maintenance"])
            .output()
            .expect("fusioninventory-agent is missing: install the package fusioninventory-agent")
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let mut devices = fleet.technician.devices();
    let listed = devices.list_devices(ListDevicesRequest::default());
    let devices = listed.await.unwrap().into_inner().devices;
    let device = devices
        .iter()
        .find(|device| device.origin == "fusioninventory")
        .unwrap_or_else(|| panic!("no device was reported: {said}"));
    assert!(device.public_key.is_empty() && device.fingerprint.is_empty());
    let request = GetInventoryRequest {
        device_id: device.id.clone(),
        kinds: vec![
            SectionKind::Software.into(),
            SectionKind::OperatingSystem.into(),
        ],
        ..GetInventoryRequest::default()
    };
    let shown = fleet
        .technician
        .inventory()
        .get_inventory(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.sections.len(), 2, "{said}");
    for section in shown.sections {
        assert!(section.provenance[0].source.contains("(source fusion)"));
        match SectionFacts::decode(section.facts).unwrap().facts.unwrap() {
            Facts::Software(software) => assert!(software.items.len() > 50),
            Facts::OperatingSystem(system) => assert_eq!(system.family.as_deref(), Some("linux")),
            other => panic!("{other:?}"),
        }
    }
}

/// A new source's secret.
async fn source(fleet: &TestFleet, name: &str) -> String {
    let request = CreateInventorySourceRequest {
        request_id: clock::new_id().to_string(),
        name: name.to_owned(),
    };
    let made = fleet.admin.sources().create_inventory_source(request).await;
    made.unwrap().into_inner().secret
}

/// A document of the project.
fn document(name: &str) -> Value {
    let path = format!("{}/documents/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The official schema and examples, where they lie beside the project.
fn official(below: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/domain/inventory_format");
    path.exists().then(|| path.join(below))
}

fn content(message: &Value) -> Map<String, Value> {
    message["content"].as_object().unwrap().clone()
}

/// Sends a message with a plain connection; answers status and text.
async fn post(fleet: &TestFleet, secret: &str, body: Vec<u8>) -> (u16, String) {
    let address = fleet
        .server
        .people_url
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let secret = secret.to_owned();
    let sent = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /front/inventory.php HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\n\
             Pragma: no-cache\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = sent.await.unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ").unwrap()[..3]
        .parse()
        .unwrap();
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    (status, text.to_owned())
}

async fn device_ids(fleet: &TestFleet) -> BTreeSet<String> {
    let mut devices = fleet.technician.devices();
    let listed = devices.list_devices(ListDevicesRequest::default()).await;
    let listed = listed.unwrap().into_inner().devices;
    listed.into_iter().map(|device| device.id).collect()
}

/// A device's facts as people get them: sections by name, and what changes by itself.
async fn shown(fleet: &TestFleet, device_id: &str) -> Value {
    let request = GetInventoryRequest {
        device_id: device_id.to_owned(),
        ..GetInventoryRequest::default()
    };
    let answer = fleet.technician.inventory().get_inventory(request).await;
    let answer = answer.unwrap().into_inner();
    let decoded: Vec<SectionFacts> = answer
        .sections
        .iter()
        .map(|section| SectionFacts::decode(section.facts.clone()).unwrap())
        .collect();
    let pairs: Vec<_> = answer.sections.iter().zip(&decoded).collect();
    let mut all = Map::new();
    for section in facts::dates::sections_json(&pairs) {
        let kind = section["kind"].as_str().unwrap().to_owned();
        all.insert(kind, section["facts"].clone());
    }
    if let Some(volatile) = &answer.volatile {
        all.insert("volatile".to_owned(), facts::volatile_json(volatile));
    }
    all.into()
}

/// Sends a full message and answers the device that it made.
async fn made_by(fleet: &TestFleet, secret: &str, body: Vec<u8>) -> String {
    let before = device_ids(fleet).await;
    let (status, answer) = post(fleet, secret, body).await;
    assert_eq!(status, 200, "{answer}");
    let now = device_ids(fleet).await;
    now.difference(&before)
        .next()
        .expect("a new device")
        .clone()
}

/// The same inventory as FusionInventory would write it: names in capitals, the older ones where there are two.
fn as_xml(message: &Value) -> String {
    fn element(out: &mut String, section: &str, name: &str, value: &Value) {
        let old = match (section, name) {
            ("", "firewalls") => "firewall",
            ("networks", "mac") => "macaddr",
            ("storages", "serial") => "serialnumber",
            ("softwares", "install_date") => "installdate",
            ("local_groups", "members") => "member",
            ("antivirus", "base_creation") => "datfilecreation",
            ("antivirus", "base_version") => "datfileversion",
            _ => name,
        };
        let tag = old.to_uppercase();
        match value {
            Value::Array(list) => list
                .iter()
                .for_each(|value| element(out, section, name, value)),
            Value::Object(fields) => {
                let section = if section.is_empty() { name } else { section };
                out.push_str(&format!("<{tag}>"));
                for (name, value) in fields {
                    element(out, section, name, value);
                }
                out.push_str(&format!("</{tag}>"));
            }
            one => {
                let text = match one {
                    Value::String(text) => text.clone(),
                    Value::Bool(flag) => u8::from(*flag).to_string(),
                    other => other.to_string(),
                };
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                out.push_str(&format!("<{tag}>{text}</{tag}>"));
            }
        }
    }
    let mut sections = String::new();
    for (name, value) in message["content"].as_object().unwrap() {
        element(&mut sections, "", name, value);
    }
    let device_id = message["deviceid"].as_str().unwrap();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<REQUEST><CONTENT>{sections}</CONTENT><DEVICEID>{device_id}</DEVICEID>\
         <QUERY>INVENTORY</QUERY></REQUEST>\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_in_comes_out_as_facts() {
    let fleet = TestFleet::start().await.unwrap();
    let json = source(&fleet, "json").await;
    let xml = source(&fleet, "xml").await;
    let mut out = BTreeSet::new();
    let mut wrong = Vec::new();
    for name in ["computer", "computer_without_domain"] {
        let message = document(name);
        for (form, secret, body) in [
            ("JSON", &json, message.to_string()),
            ("XML", &xml, as_xml(&message)),
        ] {
            let id = made_by(&fleet, secret, body.into_bytes()).await;
            let outcome = round_trip::check(&content(&message), &shown(&fleet, &id).await);
            assert!(outcome.compared > 20);
            wrong.extend(
                outcome
                    .wrong
                    .iter()
                    .map(|line| format!("{name} as {form}: {line}")),
            );
            out.extend(outcome.out);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The documents hold every field that the table says is kept, with a value that was compared.
    let never: Vec<_> = round_trip::kept_fields()
        .into_iter()
        .filter(|(section, field)| !out.contains(&((*section).to_owned(), (*field).to_owned())))
        .collect();
    assert!(never.is_empty(), "kept, and in no document: {never:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_partial_inventory_leaves_out_stays_as_it_went_in() {
    let fleet = TestFleet::start().await.unwrap();
    let secret = source(&fleet, "json").await;
    let (full, part) = (document("computer"), document("computer_partial"));
    let id = made_by(&fleet, &secret, full.to_string().into_bytes()).await;
    let (status, answer) = post(&fleet, &secret, part.to_string().into_bytes()).await;
    assert_eq!(status, 200, "{answer}");
    let mut both = content(&full);
    both.extend(content(&part));
    // A partial inventory without users may say nothing of who was there last: that stays too.
    let last = content(&full)["hardware"].clone();
    for name in ["lastloggeduser", "datelastloggeduser"] {
        both["hardware"][name] = last[name].clone();
    }
    let facts = shown(&fleet, &id).await;
    let wrong = round_trip::check(&both, &facts).wrong;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And what it says is there instead of what was.
    let before = round_trip::check(&content(&full), &facts).wrong;
    for field in [
        "batteries.real_capacity",
        "bios.bversion",
        "hardware.memory",
        "drives.free",
        "remote_mgmt.type",
    ] {
        assert!(
            before.iter().any(|line| line.starts_with(field)),
            "{field}: {before:?}"
        );
    }
}

/// What the official examples say twice, and each time otherwise: file, field, why.
const DOUBTFUL: &[(&str, &str, &str)] = &[
    (
        "1.xml",
        "networks.mac",
        "one interface with two hardware addresses: the first is kept",
    ),
    (
        "2.xml",
        "networks.mac",
        "one interface with two hardware addresses: the first is kept",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_examples_come_out_as_facts() {
    let Some(folder) = official("examples") else {
        eprintln!("SKIPPED: the official examples do not lie beside the project");
        return;
    };
    let fleet = TestFleet::start().await.unwrap();
    let secret = source(&fleet, "official").await;
    let mut wrong = Vec::new();
    let mut compared = 0;
    let mut doubtful = BTreeSet::new();
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    names.extend(
        fs::read_dir(official("xml").unwrap())
            .unwrap()
            .map(|it| it.unwrap().path()),
    );
    // A partial one comes after its full one.
    names.sort();
    let mut last = (String::new(), Map::new());
    for path in &names {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(path).unwrap();
        let message = match glpi::decode(&bytes) {
            Ok(message) => message,
            Err(refusal) => {
                let (status, _) = post(&fleet, &secret, bytes).await;
                assert_eq!(status, 501, "{name}: {refusal}");
                assert!(!name.starts_with("computer"), "{name}: {refusal}");
                continue;
            }
        };
        let Action::Inventory(inventory) = message.action else {
            panic!("{name}")
        };
        let mut all = inventory.content;
        if inventory.partial {
            let (status, answer) = post(&fleet, &secret, bytes).await;
            assert_eq!(status, 200, "{name}: {answer}");
            let mut both = last.1.clone();
            both.extend(all);
            all = both;
        } else {
            last.0 = made_by(&fleet, &secret, bytes).await;
        }
        let outcome = round_trip::check(&all, &shown(&fleet, &last.0).await);
        compared += outcome.compared;
        for line in outcome.wrong {
            let known = DOUBTFUL
                .iter()
                .position(|(file, begins, _)| *file == name && line.starts_with(begins));
            match known {
                Some(at) => drop(doubtful.insert(at)),
                None => wrong.push(format!("{name}: {line}")),
            }
        }
        last.1 = all;
    }
    assert_eq!(
        doubtful.len(),
        DOUBTFUL.len(),
        "not so any more: {DOUBTFUL:?}"
    );
    println!("{} files, {compared} values", names.len());
    assert!(compared > 20_000, "{compared}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_field_of_the_official_schema_has_its_place() {
    let mut fields: BTreeSet<(String, String)> = BTreeSet::new();
    for name in ["computer", "computer_partial", "computer_without_domain"] {
        for (section, value) in content(&document(name)) {
            let items = value.as_array().cloned().unwrap_or_else(|| vec![value]);
            for item in items.iter().filter_map(Value::as_object) {
                fields.extend(item.keys().map(|field| (section.clone(), field.clone())));
            }
        }
    }
    match official("inventory.schema.json") {
        Some(path) => {
            let schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
            let sections = schema["properties"]["content"]["properties"]
                .as_object()
                .unwrap();
            for (section, rule) in sections {
                let rule = match rule["$ref"].as_str() {
                    Some(name) => &schema["definitions"][name.rsplit('/').next().unwrap()],
                    None => rule,
                };
                let rule = if rule["items"].is_object() {
                    &rule["items"]
                } else {
                    rule
                };
                match rule["properties"].as_object() {
                    Some(named) => {
                        fields.extend(named.keys().map(|field| (section.clone(), field.clone())))
                    }
                    None => drop(fields.insert((section.clone(), "*".to_owned()))),
                }
            }
            assert!(fields.len() > 400, "{}", fields.len());
        }
        None => eprintln!("SKIPPED: the official schema does not lie beside the project"),
    }
    fields.remove(&("operatingsystem".to_owned(), "timezone".to_owned()));
    fields.extend(
        ["timezone.name", "timezone.offset"]
            .map(|field| ("operatingsystem".to_owned(), field.to_owned())),
    );
    let unplaced: Vec<String> = fields
        .iter()
        .filter(|(section, field)| {
            !matches!(round_trip::place(section, field), Place::Kept | Place::Lost)
        })
        .map(|(section, field)| format!("{section}.{field}"))
        .collect();
    assert!(unplaced.is_empty(), "{unplaced:?}");
}
