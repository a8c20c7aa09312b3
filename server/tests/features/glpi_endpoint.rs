//! The endpoint for other programs' agents as HTTP: credentials, proxies, compressions, and bodies that would cost more than
//! they may. What is made of inventories is in `glpi`.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chasqui_proto::v1::inventory_source_service_server::InventorySourceService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, SectionKind};
use chasqui_server::auth::Peer;
use chasqui_server::auth::roles::Listener;
use chasqui_server::rpc::inventory_source;
use chasqui_server::web;
use chasqui_store::device;
use chasqui_trust::order::Leaf;
use chasqui_trust::{Digest, sign};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tonic::Code;
use tower::ServiceExt as _;

use crate::glpi::{PATH, devices, facts, full, source, zlib};
use crate::world::{World, ok, refused};

both_engines!(
    a_source_says_who_it_is_as_basic_or_as_bearer,
    a_revoked_source_is_a_stranger_and_a_revoked_device_takes_nothing_more,
    a_proxy_chain_that_turns_or_is_long_ends,
    a_get_has_nothing_to_wait_for,
    an_answer_is_compressed_as_the_question_was,
    twenty_megabytes_are_taken_within_the_bounds,
    a_bomb_costs_no_more_than_a_message_may,
    nesting_and_entities_end_at_the_bound,
    orders_do_not_reach_what_another_agent_reports,
);

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn kind(&self) -> &str {
        self.headers["content-type"].to_str().unwrap()
    }
}

async fn ask(
    world: &World,
    method: Method,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let peer = Arc::new(Peer {
        listener: Listener::People,
        address: "192.0.2.9:4711".parse().unwrap(),
        certificate: None,
    });
    let mut request = Request::builder().method(method).uri(PATH);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.extension(peer).body(body.into()).unwrap();
    let routes = web::routes(world.ctx.clone());
    let (head, body) = routes.oneshot(request).await.unwrap().into_parts();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec(),
    }
}

async fn post(world: &World, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    ask(world, Method::POST, headers, body).await
}

fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

fn contact() -> String {
    json!({
        "action": "contact", "deviceid": "pc-9-2026-01-02-03-04-05", "name": "GLPI-Agent", "version": "1.7",
        "installed-tasks": ["inventory", "deploy"],
    })
    .to_string()
}

async fn a_source_says_who_it_is_as_basic_or_as_bearer(world: World) {
    let (_, north) = source(&world, "sede-norte").await;
    let (_, south) = source(&world, "sede-sur").await;
    for (what, authorization, wanted) in [
        ("Basic", basic("sede-norte", &north), 200),
        ("Bearer", format!("Bearer {north}"), 200),
        ("in small letters", format!("bearer {south}"), 200),
        ("another's secret", basic("sede-norte", &south), 401),
        ("another's name", basic("sede-sur", &north), 401),
        ("no name", basic("", &north), 401),
        ("no secret", basic("sede-norte", ""), 401),
        (
            "no colon",
            format!("Basic {}", STANDARD.encode(&north)),
            401,
        ),
        ("no base64", "Basic ***".to_owned(), 401),
        ("another scheme", format!("Digest {north}"), 401),
        ("nothing", String::new(), 401),
        ("endless", format!("Bearer {}", "x".repeat(5_000)), 401),
    ] {
        let answer = post(&world, &[("authorization", &authorization)], contact()).await;
        assert_eq!(answer.status, wanted, "{what}");
        let asked = answer.headers.get("www-authenticate").is_some();
        assert_eq!(asked, wanted == 401, "{what}");
    }
    // Each sees its own devices: one name at two sources is two devices.
    for authorization in [basic("sede-norte", &north), format!("Bearer {south}")] {
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(post(&world, &headers, full().to_string()).await.status, 200);
    }
    assert_eq!(devices(&world).await.len(), 2);
}

async fn a_revoked_source_is_a_stranger_and_a_revoked_device_takes_nothing_more(world: World) {
    let (id, north) = source(&world, "sede-norte").await;
    let (_, south) = source(&world, "sede-sur").await;
    let body = full().to_string();
    for secret in [&north, &south] {
        let bearer = format!("Bearer {secret}");
        let sent = post(&world, &[("authorization", &bearer)], body.clone()).await;
        assert_eq!(sent.status, 200);
    }
    let request = world.by(
        &world.administrator,
        v1::RevokeInventorySourceRequest { source_id: id },
    );
    ok(inventory_source::Service(world.ctx.clone())
        .revoke_inventory_source(request)
        .await);
    let events = world.events().await;
    for authorization in [basic("sede-norte", &north), format!("Bearer {north}")] {
        let headers = [("authorization", authorization.as_str())];
        for message in [body.clone(), contact()] {
            assert_eq!(post(&world, &headers, message).await.status, 401);
        }
        assert_eq!(ask(&world, Method::GET, &headers, "").await.status, 401);
    }
    // The other source goes on, until its device is revoked.
    let bearer = format!("Bearer {south}");
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(post(&world, &headers, body.clone()).await.status, 200);
    let all: Vec<String> = devices(&world).await.into_iter().map(|it| it.id).collect();
    world
        .write(move |tx| {
            for id in &all {
                device::set_state(tx, id, device::State::Revoked, "test", 1)?;
            }
            Ok(())
        })
        .await;
    let mut next = full();
    next["content"]["bios"]["msn"] = "B-78".into();
    let answer = post(&world, &headers, next.to_string()).await;
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (403, json!("error"))
    );
    assert_eq!(world.events().await, events);
}

async fn a_proxy_chain_that_turns_or_is_long_ends(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    let id = |number: usize| format!("00000000-0000-4000-8000-00000000000{number}");
    let chain = |count: usize| (1..=count).map(id).collect::<Vec<_>>().join(",");
    let own = id(9);
    for (what, proxies, wanted) in [
        ("none", None, None),
        ("five", Some(chain(5)), None),
        ("six", Some(chain(6)), Some("too-many-proxy")),
        (
            "one twice",
            Some(format!("{}, {}", chain(2), id(1).to_uppercase())),
            Some("proxy-loop-detected"),
        ),
        (
            "the agent itself",
            Some(format!("{},{own}", chain(1))),
            Some("proxy-loop-detected"),
        ),
    ] {
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("glpi-agent-id", own.as_str()),
        ];
        headers.extend(proxies.as_deref().map(|value| ("glpi-proxy-id", value)));
        let answer = post(&world, &headers, full().to_string()).await;
        match wanted {
            None => assert_eq!(answer.status, 200, "{what}"),
            Some(why) => {
                assert_eq!(answer.status, 404, "{what}");
                assert_eq!(answer.json()["message"], why, "{what}");
            }
        }
        assert_eq!(answer.headers["glpi-agent-id"], own.as_str(), "{what}");
    }
}

async fn a_get_has_nothing_to_wait_for(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("glpi-request-id", "0A1B2C3D"),
    ];
    let answer = ask(&world, Method::GET, &headers, "").await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"status": "ok", "expiration": 24}))
    );
    assert_eq!(answer.headers["glpi-request-id"], "0A1B2C3D");
    assert_eq!(ask(&world, Method::GET, &[], "").await.status, 401);
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let refused = ask(&world, method, &headers, full().to_string()).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED.as_u16());
    }
    assert!(devices(&world).await.is_empty());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

async fn an_answer_is_compressed_as_the_question_was(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    type Unpack = fn(&[u8]) -> std::io::Result<String>;
    let plain: Unpack = |bytes| Ok(String::from_utf8_lossy(bytes).into_owned());
    let unzlib: Unpack = |bytes| std::io::read_to_string(flate2::read::ZlibDecoder::new(bytes));
    let ungzip: Unpack = |bytes| std::io::read_to_string(flate2::read::GzDecoder::new(bytes));
    let inflate: Unpack = |bytes| std::io::read_to_string(flate2::read::DeflateDecoder::new(bytes));
    type Pack = fn(&[u8]) -> Vec<u8>;
    // How it is packed, what the content type says, what the answer's says.
    let ways: [(Pack, &str, &str, Unpack); 9] = [
        (
            <[u8]>::to_vec,
            "application/json",
            "application/json",
            plain,
        ),
        (<[u8]>::to_vec, "", "application/json", plain),
        (
            zlib,
            "application/x-compress-zlib",
            "application/x-compress-zlib",
            unzlib,
        ),
        (
            zlib,
            "application/x-zlib",
            "application/x-compress-zlib",
            unzlib,
        ),
        (zlib, "text/plain", "application/x-compress-zlib", unzlib),
        (
            gzip,
            "application/x-compress-gzip; q=1",
            "application/x-compress-gzip",
            ungzip,
        ),
        (gzip, "", "application/x-compress-gzip", ungzip),
        (
            deflate,
            "application/x-compress-deflate",
            "application/x-compress-deflate",
            inflate,
        ),
        (
            deflate,
            "application/x-deflate",
            "application/x-compress-deflate",
            inflate,
        ),
    ];
    let wrong = json!({"action": "deploy", "deviceid": "pc"}).to_string();
    for (pack, kind, wanted, unpack) in ways {
        let mut headers = vec![("authorization", bearer.as_str())];
        if !kind.is_empty() {
            headers.push(("content-type", kind));
        }
        // Refusals are written like answers.
        for (message, status) in [(full().to_string(), 200), (wrong.clone(), 501)] {
            let answer = post(&world, &headers, pack(message.as_bytes())).await;
            assert_eq!((answer.status, answer.kind()), (status, wanted), "{kind}");
            let said: Value = serde_json::from_str(&unpack(&answer.body).unwrap()).unwrap();
            let word = if status == 200 { "ok" } else { "error" };
            assert_eq!(
                (&said["status"], &said["expiration"]),
                (&json!(word), &json!(24))
            );
        }
    }
    assert_eq!(devices(&world).await.len(), 1);
}

/// Most memory that this process ever held, in bytes. Each test runs in a process of its own.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() << 10
}

/// A full inventory with this many programs.
fn programs(count: usize) -> String {
    let items: Vec<Value> = (0..count)
        .map(|number| {
            json!({
                "name": format!("programme-{number:06}"), "version": "1.0", "arch": "x86_64", "from": "rpm",
                "comments": "x".repeat(350),
            })
        })
        .collect();
    let mut message = full();
    message["content"]["softwares"] = items.into();
    message.to_string()
}

async fn twenty_megabytes_are_taken_within_the_bounds(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str())];
    let body = programs(50_000);
    assert!((20 << 20..24 << 20).contains(&body.len()), "{}", body.len());
    let before = peak();
    let answer = post(&world, &headers, body).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    // The message, its values and the facts are in memory together.
    let grown = peak().saturating_sub(before);
    assert!(grown < 320 << 20, "{} MiB", grown >> 20);
    let id = devices(&world).await.remove(0).id;
    let shown = facts(&world, &id, SectionKind::Software).await.unwrap();
    let Some(Facts::Software(it)) = shown.facts else {
        panic!()
    };
    assert_eq!(it.items.len(), 20_000);
    assert!(shown.unread.iter().any(|one| {
        one.reason() == v1::UnreadReason::TooLarge && one.detail.contains("50000 items")
    }));
}

/// A stream that inflates to `mib` mebibytes of blanks, without holding them.
fn bomb(mib: usize) -> Vec<u8> {
    let blanks = vec![b' '; 1 << 20];
    let mut block = Vec::with_capacity(64 << 10);
    let mut packer = flate2::Compress::new(flate2::Compression::best(), false);
    packer
        .compress_vec(&blanks, &mut block, flate2::FlushCompress::Full)
        .unwrap();
    assert_eq!(packer.total_in(), 1 << 20);
    block.repeat(mib)
}

async fn a_bomb_costs_no_more_than_a_message_may(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    let raw = bomb(4_096);
    let with = |head: &[u8]| [head, &raw].concat();
    let gzip = with(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let zlib = with(&[0x78, 0x9c]);
    let mut first = vec![0_u8; 4 << 20];
    flate2::read::ZlibDecoder::new(&zlib[..])
        .read_exact(&mut first)
        .unwrap();
    assert!(first.iter().all(|byte| *byte == b' '));
    let before = peak();
    for (kind, body) in [
        ("application/x-compress-zlib", zlib),
        ("application/x-compress-gzip", gzip),
        ("application/x-compress-deflate", raw.clone()),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        assert_eq!(post(&world, &headers, body).await.status, 413, "{kind}");
    }
    let grown = peak().saturating_sub(before);
    assert!(grown < 160 << 20, "{} MiB", grown >> 20);
    assert!(devices(&world).await.is_empty());
}

async fn nesting_and_entities_end_at_the_bound(world: World) {
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", bearer.as_str())];
    let json = |depth: usize| {
        let mut message = full();
        let inner = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        message["content"]["other"] = serde_json::from_str(&inner).unwrap();
        message.to_string()
    };
    let xml = |inner: &str| {
        format!(
            "<?xml version=\"1.0\"?><REQUEST><DEVICEID>pc-8</DEVICEID><QUERY>INVENTORY</QUERY><CONTENT>\
             <HARDWARE><NAME>pc-8</NAME></HARDWARE>{inner}</CONTENT></REQUEST>"
        )
    };
    let deep = |depth: usize| xml(&format!("{}{}", "<A>".repeat(depth), "</A>".repeat(depth)));
    let laughs = {
        let mut entities = "<!ENTITY a0 \"ha\">".to_owned();
        for number in 1..30 {
            let twice = format!("&a{};", number - 1).repeat(10);
            entities.push_str(&format!("<!ENTITY a{number} \"{twice}\">"));
        }
        xml("<TAG>&a29;</TAG>").replacen("?>", &format!("?><!DOCTYPE REQUEST [{entities}]>"), 1)
    };
    for (what, body, wanted) in [
        ("JSON at the bound", json(30), 200),
        ("JSON beyond it", json(31), 400),
        ("JSON of a hundred thousand", "[".repeat(100_000), 400),
        ("XML at the bound", deep(30), 200),
        ("XML beyond it", deep(31), 400),
        ("XML of a hundred thousand", deep(100_000), 400),
        (
            "XML's own entities",
            xml("<TAG>&lt;&#x61;&#98;&amp;</TAG>"),
            200,
        ),
        ("entities of entities", laughs, 400),
        ("an entity nobody declared", xml("<TAG>&file;</TAG>"), 400),
        ("a character that is none", xml("<TAG>&#0;</TAG>"), 400),
    ] {
        let answer = post(&world, &headers, body).await;
        let said = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, wanted, "{what}: {said}");
    }
}

async fn orders_do_not_reach_what_another_agent_reports(world: World) {
    world.publish_trust().await;
    let (_, secret) = source(&world, "glpi").await;
    let bearer = format!("Bearer {secret}");
    let sent = post(&world, &[("authorization", &bearer)], full().to_string()).await;
    assert_eq!(sent.status, 200);
    let reported = devices(&world).await.remove(0);
    let machine = world.machine("pc-1", 60).await;
    let ticket = world.ticket(&world.requester, "Disco lleno", None).await;
    let foreign = Leaf {
        device_fingerprint: Digest::from_slice(&hex::decode(&reported.fingerprint).unwrap())
            .unwrap(),
        host_name: reported.host_name.clone(),
        plate: None,
        not_before_ms: 0,
    };
    let events = world.events().await;
    // Alone, and among machines of our own: then no machine gets it.
    for mut leaves in [vec![foreign.clone()], vec![machine.leaf(), foreign]] {
        leaves.sort_by_key(|leaf| leaf.device_fingerprint);
        let order = world.order(&ticket, &leaves);
        let envelope = sign(&order, &[&world.technician.key()]).unwrap();
        let answer = world.create(&world.technician, &envelope, &leaves).await;
        let wanted = (Code::FailedPrecondition, "DEVICE_READ_ONLY".to_owned());
        assert_eq!(refused(answer), wanted);
    }
    assert_eq!(world.events().await, events);
    world.check().await;
}
