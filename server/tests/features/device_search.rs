use chasqui_proto::v1::device_service_server::DeviceService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, SectionKind};
use chasqui_server::rpc::device;
use chasqui_store::{device as device_store, params, sql};
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::inventory::{offer, report, section};
use crate::world::{Machine, Someone, World, fresh, ok};

both_engines!(
    facts_are_found_and_what_was_not_observed_is_not,
    programs_are_found_through_their_lists,
    pages_follow_each_other_and_the_total_is_the_whole,
    a_wrong_query_is_refused_at_its_place,
    lists_are_saved_once_used_in_queries_and_never_made_of_themselves,
    a_list_that_is_not_shared_is_its_owners_alone,
    silent_devices_are_told_with_user_and_place_and_never_seen_ones_apart,
    rows_that_are_missing_or_old_are_made_by_the_job,
);

async fn search(
    world: &World,
    who: &Someone,
    query: &str,
) -> Result<v1::SearchDevicesResponse, Status> {
    let request = v1::SearchDevicesRequest {
        query: query.to_owned(),
        columns: ["ram", "cpu", "dependency", "purchase"]
            .map(str::to_owned)
            .into(),
        page: None,
    };
    device::Service(world.ctx.clone())
        .search_devices(world.by(who, request))
        .await
        .map(tonic::Response::into_inner)
}

fn why(status: &Status) -> String {
    chasqui_proto::error::reason_of(status).unwrap()
}

fn hosts(answer: &v1::SearchDevicesResponse) -> Vec<&str> {
    answer
        .devices
        .iter()
        .map(|found| found.device.as_ref().unwrap().host_name.as_str())
        .collect()
}

#[track_caller]
fn check(answer: Result<v1::SearchDevicesResponse, Status>, query: &str, expected: &[&str]) {
    let answer = answer.unwrap();
    assert_eq!(hosts(&answer), expected, "{query}");
    assert_eq!(answer.total, expected.len() as u64, "{query}");
}

async fn expect(world: &World, query: &str, expected: &[&str]) {
    check(search(world, &world.auditor, query).await, query, expected);
}

const GIB: u64 = 1 << 30;

async fn facts(world: &World, machine: &Machine, cpu: &str, gib: u64, system: &str) {
    let sections = vec![
        section(
            SectionKind::Cpu,
            Facts::Cpu(v1::CpuFacts {
                cores: Some(4),
                cpus: vec![v1::Cpu {
                    model_name: Some(cpu.to_owned()),
                    ..Default::default()
                }],
                ..Default::default()
            }),
        ),
        section(
            SectionKind::Memory,
            Facts::Memory(v1::MemoryFacts {
                installed_bytes: Some(gib * GIB),
                visible_bytes: Some(gib * GIB - 300_000_000),
                modules: vec![v1::MemoryModule {
                    serial: Some(format!("MEM-{gib}")),
                    ..Default::default()
                }],
                ..Default::default()
            }),
        ),
        section(
            SectionKind::OperatingSystem,
            Facts::OperatingSystem(v1::OperatingSystemFacts {
                name: Some(system.to_owned()),
                version: Some("10.0.19045".to_owned()),
                ..Default::default()
            }),
        ),
        section(
            SectionKind::Network,
            Facts::Network(v1::NetworkFacts {
                interfaces: vec![v1::NetworkInterface {
                    name: "eth0".to_owned(),
                    mac: Some(format!("52:54:00:00:00:{gib:02x}")),
                    addresses: vec![format!("10.1.2.{gib}/24"), "fe80::1/64".to_owned()],
                    ..Default::default()
                }],
                ..Default::default()
            }),
        ),
    ];
    report(world, machine, sections).await.unwrap();
}

async fn administrative(world: &World, machine: &Machine, plate: &str, dependency: &str) {
    let request = v1::SetAdministrativeFactsRequest {
        device_id: machine.id.to_string(),
        facts: Some(v1::AdministrativeFacts {
            plate: plate.to_owned(),
            dependency: dependency.to_owned(),
            purchase_date: "2019-05-06".to_owned(),
            seat: "Sede Chapinero, piso 3".to_owned(),
            contract: "CT-77 de 2019".to_owned(),
            supplier: "Compañía Andina".to_owned(),
            warranty_end: "2022-05-06".to_owned(),
            ..v1::AdministrativeFacts::default()
        }),
        fields: [
            "plate",
            "dependency",
            "purchase_date",
            "seat",
            "contract",
            "supplier",
            "warranty_end",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..v1::SetAdministrativeFactsRequest::default()
    };
    let service = device::Service(world.ctx.clone());
    ok(service
        .set_administrative_facts(world.by(&world.technician, request))
        .await);
}

async fn three(world: &World) -> [Machine; 3] {
    let [a, b, c] = [
        world.machine("pc-a", 31).await,
        world.machine("pc-b", 32).await,
        world.machine("pc-c", 33).await,
    ];
    facts(
        world,
        &a,
        "Intel(R) Core(TM) i5-3470 CPU",
        4,
        "Microsoft Windows 10 Pro",
    )
    .await;
    facts(
        world,
        &b,
        "Intel(R) Core(TM) i7-9700 CPU",
        16,
        "Debian GNU/Linux 12 (bookworm)",
    )
    .await;
    administrative(world, &a, "100-7", "Oficina Jurídica").await;
    // What connects is filled by the job; `pc-c` said nothing yet.
    chasqui_server::jobs::once(&world.ctx)
        .await
        .map_err(Status::from)
        .unwrap();
    [a, b, c]
}

async fn facts_are_found_and_what_was_not_observed_is_not(world: World) {
    three(&world).await;
    for (query, expected) in [
        ("", &["pc-a", "pc-b", "pc-c"][..]),
        (
            "cpu:i5 ram<8G os:\"Windows 10\" dependency:juridica",
            &["pc-a"],
        ),
        ("memoria>=8G", &["pc-b"]),
        ("ram:16G", &["pc-b"]),
        ("ram:4G..16G", &["pc-a", "pc-b"]),
        ("-cpu:i5", &["pc-b"]),
        ("-ram<8G", &["pc-b"]),
        ("ram:?", &["pc-c"]),
        ("-ram:?", &["pc-a", "pc-b"]),
        ("ram<8G o ram:?", &["pc-a", "pc-c"]),
        ("-(cpu:i5 ram<8G)", &["pc-b"]),
        ("cpu:i5 OR (cpu:i7 cores=4)", &["pc-a", "pc-b"]),
        (
            "os=\"debian gnu/linux 12 (bookworm) 10.0.19045\"",
            &["pc-b"],
        ),
        ("os_version:10", &["pc-a", "pc-b"]),
        ("os_version=10", &[]),
        ("os_version<10.0.20000", &["pc-a", "pc-b"]),
        ("compra<2020", &["pc-a"]),
        ("compra:2019-05", &["pc-a"]),
        ("purchase:?", &["pc-b", "pc-c"]),
        ("garantia<2023", &["pc-a"]),
        ("warranty>2023", &[]),
        ("puesto:chapinero", &["pc-a"]),
        ("piso", &["pc-a"]),
        ("proveedor:COMPANIA", &["pc-a"]),
        ("contract=\"ct-77 de 2019\"", &["pc-a"]),
        ("contrato:?", &["pc-b", "pc-c"]),
        ("ip:10.1.2.", &["pc-a", "pc-b"]),
        ("ip=10.1.2.4", &["pc-a"]),
        ("-ip:10.1.2.4", &["pc-b"]),
        ("serial:mem-16", &["pc-b"]),
        ("52:54:00:00:00:04", &["pc-a"]),
        ("100-7", &["pc-a"]),
        ("Jurídica", &["pc-a"]),
        ("-pc-a", &["pc-b", "pc-c"]),
        ("host:PC-C", &["pc-c"]),
        ("state:active seen:?", &["pc-a", "pc-b", "pc-c"]),
        ("dependency:100%", &[]),
    ] {
        expect(&world, query, expected).await;
    }
    let answer = search(&world, &world.auditor, "cpu:i5").await.unwrap();
    let columns: Vec<_> = answer
        .columns
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(columns, ["ram", "cpu", "dependency", "purchase"]);
    let cells = &answer.devices[0].cells;
    assert_eq!(cells[0].number, Some(4 << 30));
    assert_eq!(
        cells[1].text.as_deref(),
        Some("intel(r) core(tm) i5-3470 cpu")
    );
    assert_eq!(cells[2].text.as_deref(), Some("Oficina Jurídica"));
    assert_eq!(cells[3].text.as_deref(), Some("2019-05-06"));
    let answer = search(&world, &world.auditor, "host=pc-c").await.unwrap();
    assert!(
        answer.devices[0]
            .cells
            .iter()
            .all(|cell| *cell == v1::SearchCell::default())
    );
}

async fn programs_are_found_through_their_lists(world: World) {
    let [a, b, c] = three(&world).await;
    let program = |source: &str, name: &str, version: &str| v1::Software {
        source: source.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        ..Default::default()
    };
    let firefox = program("dpkg", "firefox-esr", "115.0-2");
    let old = program(
        "registry",
        "Microsoft Office Professional Plus 2016",
        "16.0.4266.1001",
    );
    let new = program("registry", "Microsoft Office 2021", "16.0.14332");
    // What all have, so that a list is kept as its difference to another.
    let common: Vec<_> = (0..30)
        .map(|number| program("dpkg", &format!("common-{number:02}"), "1"))
        .collect();
    for (machine, own, unread) in [
        (&a, vec![firefox.clone(), old], vec![]),
        (&b, vec![firefox, new], vec![]),
        (&c, vec![], vec!["software.rpm"]),
    ] {
        let facts = v1::SectionFacts {
            facts: Some(Facts::Software(v1::SoftwareFacts {
                items: common.iter().cloned().chain(own).collect(),
            })),
            unread: unread
                .into_iter()
                .map(|group| v1::Unread {
                    group: group.to_owned(),
                    ..Default::default()
                })
                .collect(),
        }
        .encode_to_vec();
        let whole = v1::Section {
            digest: Sha256::digest(&facts).to_vec().into(),
            facts: facts.into(),
            ..section(SectionKind::Software, Facts::Software(Default::default()))
        };
        report(&world, machine, vec![whole]).await.unwrap();
    }
    let differences: i64 = world
        .read(|tx| {
            tx.query_one(
                sql!("SELECT COUNT(*) FROM software_lists WHERE base_id IS NOT NULL"),
                params![],
                |row| row.get(0),
            )
        })
        .await;
    assert_ne!(differences, 0, "no list leans on another");
    for (query, expected) in [
        ("software:office", &["pc-a", "pc-b"][..]),
        ("software:\"office<2019\"", &["pc-a"]),
        ("software:\"office>=2019\"", &["pc-b"]),
        ("programa:firefox", &["pc-a", "pc-b"]),
        ("software:\"firefox<=115.0\"", &["pc-a", "pc-b"]),
        ("software:\"firefox<115\"", &[]),
        // The list of `pc-c` is not whole: that it lacks a program is not known.
        ("-software:\"office<2019\"", &["pc-b"]),
        ("-software:nada", &["pc-a", "pc-b"]),
        ("software:?", &["pc-c"]),
        ("programs:32", &["pc-a", "pc-b"]),
        ("software:common-07", &["pc-a", "pc-b", "pc-c"]),
    ] {
        expect(&world, query, expected).await;
    }
}

async fn pages_follow_each_other_and_the_total_is_the_whole(world: World) {
    let mut names = Vec::new();
    for number in 0..5_u8 {
        names.push(format!("pc-{number}"));
        world.machine(&format!("pc-{number}"), 40 + number).await;
    }
    chasqui_server::jobs::once(&world.ctx)
        .await
        .map_err(Status::from)
        .unwrap();
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let request = v1::SearchDevicesRequest {
            page: Some(v1::PageRequest {
                page_size: 2,
                page_token: token.clone(),
            }),
            query: "pc".to_owned(),
            columns: vec![],
        };
        let service = device::Service(world.ctx.clone());
        let answer = ok(service.search_devices(world.by(&world.lead, request)).await);
        assert_eq!(answer.total, 5);
        seen.extend(hosts(&answer).into_iter().map(str::to_owned));
        token = answer.page.unwrap().next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, names);
}

async fn a_wrong_query_is_refused_at_its_place(world: World) {
    let refused = search(&world, &world.auditor, "cpu:i5 memria<8G")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "QUERY_FIELD_UNKNOWN");
    let place =
        ["start", "end", "column_start", "column_end"].map(|name| info.metadata[name].clone());
    assert_eq!(place, ["7", "13", "7", "13"]);
    assert!(info.metadata["es"].contains("¿quiso decir `memoria`?"));
    assert_eq!(
        refused.get_details_bad_request().unwrap().field_violations[0].field,
        "query"
    );
    let request = v1::SearchDevicesRequest {
        columns: vec!["rma".to_owned()],
        ..Default::default()
    };
    let refused = device::Service(world.ctx.clone())
        .search_devices(world.by(&world.lead, request))
        .await;
    assert!(
        refused
            .unwrap_err()
            .message()
            .contains("did you mean \"ram\"")
    );
}

async fn save(
    world: &World,
    who: &Someone,
    name: &str,
    query: &str,
    shared: bool,
) -> Result<v1::DeviceList, Status> {
    let request = v1::CreateDeviceListRequest {
        request_id: fresh(),
        name: name.to_owned(),
        query: query.to_owned(),
        shared,
    };
    let answer = device::Service(world.ctx.clone())
        .create_device_list(world.by(who, request))
        .await;
    answer.map(|answer| answer.into_inner().list.unwrap())
}

async fn delete(world: &World, who: &Someone, name: &str) -> Result<(), Status> {
    let request = v1::DeleteDeviceListRequest {
        name: name.to_owned(),
    };
    device::Service(world.ctx.clone())
        .delete_device_list(world.by(who, request))
        .await
        .map(|_| ())
}

async fn lists_are_saved_once_used_in_queries_and_never_made_of_themselves(world: World) {
    three(&world).await;
    let owner = &world.technician;
    let service = device::Service(world.ctx.clone());
    let request = v1::CreateDeviceListRequest {
        request_id: fresh(),
        name: "Poca memoria".to_owned(),
        query: "memoria<8G".to_owned(),
        shared: true,
    };
    let first = ok(service
        .create_device_list(world.by(owner, request.clone()))
        .await);
    let again = ok(service.create_device_list(world.by(owner, request)).await);
    assert_eq!(first, again);
    assert_eq!(first.list.unwrap().query, "ram<8G");
    check(
        search(&world, &world.auditor, "list:\"poca memoria\"").await,
        "list",
        &["pc-a"],
    );
    check(
        search(&world, owner, "-lista:\"POCA MEMORIA\"").await,
        "not",
        &["pc-b"],
    );
    let taken = save(&world, owner, "poca MEMORIA", "cpu:i5", true)
        .await
        .unwrap_err();
    assert_eq!(why(&taken), "DEVICE_LIST_EXISTS");
    let ring = save(&world, owner, "anillo", "list:anillo", true)
        .await
        .unwrap_err();
    assert_eq!(why(&ring), "DEVICE_LIST_CYCLE");
    save(&world, owner, "dos", "list:\"poca memoria\" cpu:i5", true)
        .await
        .unwrap();
    delete(&world, owner, "poca memoria").await.unwrap();
    let ring = save(&world, owner, "poca memoria", "list:dos", true)
        .await
        .unwrap_err();
    assert_eq!(why(&ring), "DEVICE_LIST_CYCLE");
    let gone = search(&world, owner, "list:dos").await.unwrap_err();
    assert_eq!(why(&gone), "DEVICE_LIST_UNKNOWN");
    let request = v1::ListDeviceListsRequest { page: None };
    let lists = ok(service
        .list_device_lists(world.by(&world.lead, request))
        .await);
    assert_eq!(
        lists
            .lists
            .iter()
            .map(|list| list.name.as_str())
            .collect::<Vec<_>>(),
        ["dos"]
    );
}

async fn a_list_that_is_not_shared_is_its_owners_alone(world: World) {
    save(&world, &world.technician, "mía", "ram:?", false)
        .await
        .unwrap();
    save(&world, &world.technician, "nuestra", "ram:?", true)
        .await
        .unwrap();
    let service = device::Service(world.ctx.clone());
    let request = v1::GetDeviceListRequest {
        name: "MIA".to_owned(),
    };
    ok(service
        .get_device_list(world.by(&world.technician, request.clone()))
        .await);
    let refused = service
        .get_device_list(world.by(&world.lead, request))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(search(&world, &world.technician, "list:mía").await.is_ok());
    let refused = search(&world, &world.lead, "list:mía").await.unwrap_err();
    assert_eq!(why(&refused), "DEVICE_LIST_UNKNOWN");
    assert_eq!(
        delete(&world, &world.lead, "mía").await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        delete(&world, &world.lead, "nuestra")
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    delete(&world, &world.coordinator, "mía").await.unwrap();
}

async fn silent(world: &World, days: u32, never_seen: bool) -> v1::ListSilentDevicesResponse {
    let request = v1::ListSilentDevicesRequest {
        page: None,
        days,
        never_seen,
    };
    ok(device::Service(world.ctx.clone())
        .list_silent_devices(world.by(&world.auditor, request))
        .await)
}

async fn silent_devices_are_told_with_user_and_place_and_never_seen_ones_apart(world: World) {
    let [a, b, _] = three(&world).await;
    offer(&world, &a, &[]).await;
    let now_ms = chasqui_base::clock::now_ms();
    const DAY: i64 = 86_400_000;
    let volatile = v1::VolatileFacts {
        last_log_on: Some(v1::LastLogOn {
            login: "ana".to_owned(),
            at_ms: 7,
            place: Some("tty2".to_owned()),
        }),
        logged_in: vec![v1::LoggedIn::default()],
        ..Default::default()
    };
    let (a_id, b_id) = (a.id.to_string(), b.id.to_string());
    world
        .ctx
        .store
        .write(move |tx| {
            chasqui_store::inventory::set_volatile(tx, &a_id, &volatile.encode_to_vec(), now_ms)?;
            device_store::seen(
                tx,
                &[
                    (a_id.clone(), now_ms - 40 * DAY),
                    (b_id.clone(), now_ms - 5 * DAY),
                ],
            )?;
            Ok::<_, chasqui_server::error::Failure>(())
        })
        .await
        .unwrap();
    let answer = silent(&world, 0, false).await;
    assert_eq!((answer.silent_total, answer.never_seen_total), (1, 1));
    let one = &answer.devices[0];
    let device = one.device.as_ref().unwrap();
    assert_eq!(device.host_name, "pc-a");
    assert_eq!(
        device.administrative.as_ref().unwrap().dependency,
        "Oficina Jurídica"
    );
    assert_eq!(one.last_log_on.as_ref().unwrap().login, "ana");
    // A name that was left out is no user.
    assert!(one.logged_in.is_empty());
    assert_eq!(one.last_address, "10.1.2.4");
    assert_eq!(one.silent_ms.map(|ms| ms / DAY), Some(40));
    assert_eq!(silent(&world, 4, false).await.devices.len(), 2);
    let never = silent(&world, 30, true).await;
    assert_eq!(never.devices.len(), 1);
    assert_eq!(never.devices[0].silent_ms, None);
    expect(&world, "seen>30d", &["pc-a"]).await;
    expect(&world, "visto:30d", &["pc-b"]).await;
    expect(&world, "seen:?", &["pc-c"]).await;
}

async fn rows_that_are_missing_or_old_are_made_by_the_job(world: World) {
    three(&world).await;
    world
        .ctx
        .store
        .write(|tx| {
            tx.execute(
                sql!("UPDATE devices SET search_ordinal = NULL WHERE host_name = 'pc-a'"),
                &[],
            )?;
            tx.execute(
                sql!("DELETE FROM device_search WHERE host_name = 'pc-a'"),
                &[],
            )?;
            tx.execute(
                sql!(
                    "UPDATE device_search SET extractor = 0, cpu_key = 'x' WHERE host_name = 'pc-b'"
                ),
                &[],
            )?;
            Ok::<_, chasqui_server::error::Failure>(())
        })
        .await
        .unwrap();
    expect(&world, "cpu:*", &["pc-b"]).await;
    chasqui_server::jobs::once(&world.ctx)
        .await
        .map_err(Status::from)
        .unwrap();
    expect(&world, "cpu:i5", &["pc-a"]).await;
    expect(&world, "cpu:i7", &["pc-b"]).await;
}
