//! Inventories of other programs' agents: who may send them, what is made of them, and what is refused whole.

use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use chasqui_proto::v1::inventory_service_server::InventoryService as _;
use chasqui_proto::v1::inventory_source_service_server::InventorySourceService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, SectionKind};
use chasqui_server::auth::Peer;
use chasqui_server::auth::roles::Listener;
use chasqui_server::rpc::{inventory, inventory_source};
use chasqui_server::web;
use chasqui_store::device;
use http::{Request, StatusCode};
use prost::Message;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::{World, fresh, ok};

both_engines!(
    what_an_agent_sends_is_shown_as_facts,
    a_partial_inventory_leaves_the_rest_as_it_was,
    a_full_inventory_without_a_section_ends_it,
    a_partial_inventory_makes_no_device,
    a_credential_is_needed_and_can_be_revoked,
    the_old_xml_is_understood_and_answered_alike,
    bad_bodies_are_refused_and_nothing_is_stored,
);

pub const PATH: &str = "/front/inventory.php";

/// Makes a source; answers its id and secret.
pub async fn source(world: &World, name: &str) -> (String, String) {
    let request = v1::CreateInventorySourceRequest {
        request_id: fresh(),
        name: name.to_owned(),
    };
    let service = inventory_source::Service(world.ctx.clone());
    let request = world.by(&world.administrator, request);
    let answer = ok(service.create_inventory_source(request).await);
    (answer.source.unwrap().id, answer.secret)
}

async fn send(
    world: &World,
    secret: &str,
    kind: &str,
    body: Vec<u8>,
) -> (StatusCode, http::HeaderMap, Vec<u8>) {
    let peer = Arc::new(Peer {
        listener: Listener::People,
        address: "192.0.2.9:4711".parse().unwrap(),
        certificate: None,
    });
    let mut request = Request::post(PATH).header("GLPI-Request-ID", "0A1B2C3D");
    if !secret.is_empty() {
        request = request.header("Authorization", format!("Bearer {secret}"));
    }
    if !kind.is_empty() {
        request = request.header("Content-Type", kind);
    }
    let request = request.extension(peer).body(Body::from(body)).unwrap();
    let response = web::routes(world.ctx.clone())
        .oneshot(request)
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
    (head.status, head.headers, body)
}

async fn send_json(world: &World, secret: &str, message: &Value) -> (StatusCode, Value) {
    let (status, _, body) = send(
        world,
        secret,
        "application/json",
        message.to_string().into(),
    )
    .await;
    (status, serde_json::from_slice(&body).unwrap())
}

pub fn full() -> Value {
    json!({
        "action": "inventory", "deviceid": "pc-9-2026-01-02-03-04-05", "tag": "sede-1",
        "content": {
            "versionclient": "GLPI-Agent_v1.7",
            "hardware": {"name": "pc-9", "uuid": "4C4C4544-0034-3010-8048-B6C04F503732", "memory": 7800, "swap": 0},
            "bios": {"ssn": "To be filled by O.E.M.", "msn": "B-77", "smanufacturer": "Maker", "smodel": "M 9", "bdate": "2016-02-06"},
            "memories": [
                {"capacity": 4096, "numslots": 1, "speed": "1867", "type": "LPDDR3", "serialnumber": "12161217"},
                {"capacity": 0, "numslots": 2}
            ],
            "batteries": [{"name": "BAT", "capacity": 57570, "real_capacity": 50570, "serial": "34605"}],
            "softwares": [
                {"name": "gitg", "version": "3.32.1", "arch": "x86_64", "from": "rpm", "install_date": "2019-12-19"},
                {"name": "expat", "version": "2.2.8", "arch": "x86_64", "from": "rpm"}
            ],
            "operatingsystem": {"name": "Fedora", "full_name": "Fedora 31", "version": "31", "kernel_name": "linux"}
        }
    })
}

pub async fn devices(world: &World) -> Vec<device::Device> {
    world.read(|tx| device::list(tx, None, "", None, 100)).await
}

async fn sections(world: &World, id: &str) -> Vec<v1::Section> {
    let request = v1::GetInventoryRequest {
        device_id: id.to_owned(),
        ..v1::GetInventoryRequest::default()
    };
    let service = inventory::Service(world.ctx.clone());
    ok(service
        .get_inventory(world.by(&world.technician, request))
        .await)
    .sections
}

pub async fn facts(world: &World, id: &str, kind: SectionKind) -> Option<v1::SectionFacts> {
    let sections = sections(world, id).await;
    let section = sections
        .into_iter()
        .find(|section| section.kind() == kind)?;
    Some(v1::SectionFacts::decode(section.facts).unwrap())
}

async fn what_an_agent_sends_is_shown_as_facts(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let (status, answer) = send_json(&world, &secret, &full()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer, json!({"status": "ok", "expiration": 24}));
    let devices = devices(&world).await;
    assert_eq!(devices.len(), 1);
    let device = &devices[0];
    assert_eq!(
        (device.host_name.as_str(), device.origin.as_str()),
        ("pc-9", "glpi_agent")
    );
    assert!(device.public_key.is_empty());
    let identity = facts(&world, &device.id, SectionKind::Identity)
        .await
        .unwrap();
    // A maker's filler is no serial number, and it is said.
    assert!(
        identity
            .unread
            .iter()
            .any(|one| one.group == "identity.system_serial"
                && one.reason() == v1::UnreadReason::Placeholder)
    );
    let Some(Facts::Identity(it)) = identity.facts else {
        panic!()
    };
    assert_eq!(
        (it.system_serial, it.board_serial.as_deref()),
        (None, Some("B-77"))
    );
    let Some(Facts::Memory(it)) = facts(&world, &device.id, SectionKind::Memory)
        .await
        .unwrap()
        .facts
    else {
        panic!()
    };
    assert_eq!(
        (it.visible_bytes, it.installed_bytes),
        (Some(7800 << 20), Some(4 << 30))
    );
    assert_eq!(
        (it.slots, it.free_slots, it.swap_bytes),
        (Some(2), Some(1), Some(0))
    );
    let section = sections(&world, &device.id).await.remove(0);
    assert_eq!(section.provenance[0].source, "GLPI Agent 1.7 (source glpi)");
    // The same once more changes nothing.
    let events = world.events().await;
    send_json(&world, &secret, &full()).await;
    assert_eq!(world.events().await, events);
}

async fn a_partial_inventory_leaves_the_rest_as_it_was(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    send_json(&world, &secret, &full()).await;
    let id = devices(&world).await.remove(0).id;
    let mut part = full();
    part["partial"] = true.into();
    let content = part["content"].as_object_mut().unwrap();
    content.retain(|key, _| ["versionclient", "hardware", "bios"].contains(&key.as_str()));
    content["hardware"]["memory"] = 15_600.into();
    let (status, answer) = send_json(&world, &secret, &part).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let Some(Facts::Memory(it)) = facts(&world, &id, SectionKind::Memory).await.unwrap().facts
    else {
        panic!()
    };
    assert_eq!(
        (it.visible_bytes, it.modules.len()),
        (Some(15_600 << 20), 1)
    );
    assert!(facts(&world, &id, SectionKind::Software).await.is_some());
}

async fn a_full_inventory_without_a_section_ends_it(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    send_json(&world, &secret, &full()).await;
    let id = devices(&world).await.remove(0).id;
    let mut next = full();
    next["content"].as_object_mut().unwrap().remove("batteries");
    send_json(&world, &secret, &next).await;
    assert!(facts(&world, &id, SectionKind::Batteries).await.is_none());
    let of = id.clone();
    let events = world
        .read(move |tx| chasqui_store::event::latest(tx, i64::MAX, "", 500))
        .await;
    assert!(events.iter().any(|event| {
        event.subject_id == of && event.data.to_string().contains("\"gone\":[\"batteries\"]")
            || event
                .data
                .to_string()
                .contains("\\\"gone\\\":[\\\"batteries\\\"]")
    }));
}

async fn a_partial_inventory_makes_no_device(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let mut part = full();
    part["partial"] = true.into();
    let (status, answer) = send_json(&world, &secret, &part).await;
    assert_eq!(
        (status, &answer["status"]),
        (StatusCode::CONFLICT, &json!("error"))
    );
    assert!(devices(&world).await.is_empty());
}

async fn a_credential_is_needed_and_can_be_revoked(world: World) {
    let (id, secret) = source(&world, "glpi").await;
    let (status, headers, _) = send(&world, "", "", full().to_string().into()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        headers["www-authenticate"],
        "Basic realm=\"Chasqui inventory\""
    );
    let request = v1::RevokeInventorySourceRequest { source_id: id };
    let service = inventory_source::Service(world.ctx.clone());
    let request = world.by(&world.administrator, request);
    ok(service.revoke_inventory_source(request).await);
    let (status, _) = send_json(&world, &secret, &full()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // Guessing ends.
    let mut last = StatusCode::OK;
    for _ in 0..200 {
        last = send_json(&world, "chi_wrong", &full()).await.0;
        if last == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    assert!(devices(&world).await.is_empty());
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

async fn the_old_xml_is_understood_and_answered_alike(world: World) {
    let (_, secret) = source(&world, "fusion").await;
    let prolog = "<REQUEST><DEVICEID>pc-8</DEVICEID><QUERY>PROLOG</QUERY></REQUEST>";
    let kind = "application/x-compress-zlib";
    let (status, headers, body) = send(&world, &secret, kind, zlib(prolog.as_bytes())).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (StatusCode::OK, kind)
    );
    assert_eq!(headers["glpi-request-id"], "0A1B2C3D");
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::ZlibDecoder::new(&body[..]), &mut plain)
        .unwrap();
    assert!(
        plain.contains("<PROLOG_FREQ>24</PROLOG_FREQ><RESPONSE>SEND</RESPONSE>"),
        "{plain}"
    );
    let mut inventory = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><REQUEST><DEVICEID>pc-8-2026-01-02-03-04-05\
        </DEVICEID><QUERY>INVENTORY</QUERY><CONTENT><HARDWARE><NAME>pc-8</NAME><MEMORY>2048</MEMORY></HARDWARE>\
        <VERSIONCLIENT>FusionInventory-Agent_v2.6</VERSIONCLIENT><PRINTERS><NAME>Jur"
        .to_vec();
    inventory.push(0xed);
    inventory.extend_from_slice(b"dica &amp; Cia</NAME></PRINTERS></CONTENT></REQUEST>");
    // The bytes tell how they are compressed where the content type does not.
    let (status, _, body) = send(&world, &secret, "", inventory).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let device = devices(&world).await.remove(0);
    assert_eq!(device.origin, "fusioninventory");
    let Some(Facts::Printers(it)) = facts(&world, &device.id, SectionKind::Printers)
        .await
        .unwrap()
        .facts
    else {
        panic!()
    };
    assert_eq!(it.printers[0].name, "Jurídica & Cia");
}

async fn bad_bodies_are_refused_and_nothing_is_stored(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bomb = zlib(&vec![b' '; 60 << 20]);
    let deep = format!(
        "{{\"deviceid\":\"x\",\"content\":{}{}}}",
        "[".repeat(60),
        "]".repeat(60)
    );
    let twice = r#"{"deviceid":"a","deviceid":"b","content":{}}"#.to_owned();
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><REQUEST><DEVICEID>&x;</DEVICEID></REQUEST>".to_owned();
    let attributes = format!(
        "<REQUEST {}><DEVICEID>x</DEVICEID></REQUEST>",
        "a=\"1\" ".repeat(5_000)
    );
    let lists = format!("<REQUEST>{}</REQUEST>", "<A>".repeat(100));
    let latin = b"<REQUEST><DEVICEID>\xed</DEVICEID></REQUEST>".to_vec();
    let zlib_type = "application/x-compress-zlib";
    for (what, kind, body, wanted) in [
        ("bomb", zlib_type, bomb, 413),
        (
            "cut off",
            zlib_type,
            zlib(full().to_string().as_bytes())[..60].to_vec(),
            400,
        ),
        ("brotli", "application/x-compress-br", vec![1], 415),
        ("deep", "", deep.into(), 400),
        ("twice", "", twice.into(), 400),
        ("entity", "", entity.into(), 400),
        ("attributes", "", attributes.into(), 400),
        ("deep XML", "", lists.into(), 400),
        ("undeclared encoding", "", latin, 400),
        ("empty", "", Vec::new(), 400),
        ("no content", "", br#"{"deviceid":"a"}"#.to_vec(), 400),
        (
            "another action",
            "",
            br#"{"action":"deploy","deviceid":"a"}"#.to_vec(),
            501,
        ),
        (
            "another kind",
            "",
            br#"{"itemtype":"Printer","deviceid":"a","content":{}}"#.to_vec(),
            501,
        ),
        ("too long", "", vec![b'x'; (32 << 20) + 1], 413),
    ] {
        let (status, _, answer) = send(&world, &secret, kind, body).await;
        assert_eq!(
            status.as_u16(),
            wanted,
            "{what}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    // Cut anywhere, it is refused or, whole, taken; never worse.
    let text = full().to_string();
    for end in (1..text.len()).step_by(37) {
        let (status, ..) = send(&world, &secret, "", text.as_bytes()[..end].to_vec()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "at {end}");
    }
    assert!(devices(&world).await.is_empty());
}
