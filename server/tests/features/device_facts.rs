use chasqui_proto::v1::device_service_server::DeviceService as _;
use chasqui_proto::v1::section_facts::Facts;
use chasqui_proto::v1::{self, AdministrativeFacts, SectionKind};
use chasqui_server::rpc::device;
use chasqui_store::{device as store, event};
use tonic::{Code, Status};

use crate::inventory::{report, section};
use crate::world::{Machine, World, fresh, ok, reason, refused};

both_engines!(
    inventory_arrives_and_what_people_typed_stays,
    an_old_client_does_not_clear_facts_it_does_not_know,
    a_stale_change_is_refused_with_what_changed,
    a_plate_stands_on_one_device_in_use,
    a_change_is_recorded_with_before_and_after,
    a_preview_shows_everything_and_writes_nothing,
    an_import_is_whole_or_nothing,
    plates_may_change_places_within_one_import,
);

fn service(world: &World) -> device::Service {
    device::Service(world.ctx.clone())
}

async fn set(
    world: &World,
    machine: &Machine,
    facts: AdministrativeFacts,
    fields: &[&str],
    expected_version: Option<i64>,
) -> Result<v1::Device, Status> {
    let request = v1::SetAdministrativeFactsRequest {
        device_id: machine.id.to_string(),
        facts: Some(facts),
        fields: fields.iter().map(|name| (*name).to_owned()).collect(),
        expected_version,
    };
    let answer = service(world)
        .set_administrative_facts(world.by(&world.technician, request))
        .await?;
    Ok(answer.into_inner().device.unwrap())
}

async fn show(world: &World, machine: &Machine) -> v1::Device {
    let request = v1::GetDeviceRequest {
        device: machine.id.to_string(),
    };
    ok(service(world)
        .get_device(world.by(&world.lead, request))
        .await)
    .device
    .unwrap()
}

fn plate(text: &str) -> AdministrativeFacts {
    AdministrativeFacts {
        plate: text.to_owned(),
        ..Default::default()
    }
}

fn serial(text: &str) -> v1::Section {
    section(
        SectionKind::Identity,
        Facts::Identity(v1::IdentityFacts {
            system_serial: Some(text.to_owned()),
            asset_tag: Some("FROM-THE-FIRMWARE".to_owned()),
            ..Default::default()
        }),
    )
}

async fn inventory_arrives_and_what_people_typed_stays(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let facts = AdministrativeFacts {
        plate: "100-7".into(),
        purchase_date: "2021-02-28".into(),
        dependency: "Jurídica".into(),
        responsible: "A. Pérez".into(),
        seat: "Piso 3".into(),
        contract: "C-12".into(),
        warranty_end: "31/03/2028".into(),
        supplier: "Proveedor".into(),
        invoice: "F-9".into(),
        note: "una\ndos".into(),
        cost: "$ 3.450.000,50".into(),
        currency: String::new(),
    };
    let all = [
        "plate",
        "purchase_date",
        "dependency",
        "responsible",
        "seat",
        "contract",
        "warranty_end",
        "supplier",
        "invoice",
        "note",
        "cost",
    ];
    let typed = set(&world, &machine, facts, &all, None).await.unwrap();
    let known = typed.administrative.clone().unwrap();
    assert_eq!(
        (
            known.cost.as_str(),
            known.currency.as_str(),
            known.warranty_end.as_str()
        ),
        ("3450000.50", "COP", "2028-03-31")
    );
    report(&world, &machine, vec![serial("SER-0001")])
        .await
        .unwrap();
    let after = show(&world, &machine).await;
    assert_eq!(after.administrative, Some(known));
    assert_eq!(after.facts_version, typed.facts_version);
    world.check().await;
}

async fn an_old_client_does_not_clear_facts_it_does_not_know(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let facts = AdministrativeFacts {
        seat: "Piso 3".into(),
        cost: "10".into(),
        ..plate("7")
    };
    set(&world, &machine, facts, &["plate", "seat", "cost"], None)
        .await
        .unwrap();
    // As it was released first: four fields, no mask.
    let device = set(&world, &machine, plate("8"), &[], None).await.unwrap();
    let known = device.administrative.unwrap();
    assert_eq!(
        (
            known.plate.as_str(),
            known.seat.as_str(),
            known.cost.as_str()
        ),
        ("8", "Piso 3", "10")
    );
    let unknown = set(&world, &machine, plate("9"), &["colour"], None).await;
    assert_eq!(refused(unknown).0, Code::InvalidArgument);
}

async fn a_stale_change_is_refused_with_what_changed(world: World) {
    let machine = world.machine("pc-1", 60).await;
    let seen = show(&world, &machine).await.facts_version;
    set(&world, &machine, plate("7"), &["plate"], Some(seen))
        .await
        .unwrap();
    let late = AdministrativeFacts {
        supplier: "Otro".into(),
        ..Default::default()
    };
    let status = set(&world, &machine, late.clone(), &["supplier"], Some(seen))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("(plate)"), "{}", status.message());
    assert_eq!(reason(Err::<(), _>(status)), "FACTS_STALE");
    assert_eq!(
        show(&world, &machine)
            .await
            .administrative
            .unwrap()
            .supplier,
        ""
    );
    set(&world, &machine, late, &["supplier"], Some(seen + 1))
        .await
        .unwrap();
}

async fn a_plate_stands_on_one_device_in_use(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    set(&world, &one, plate("A-7"), &["plate"], None)
        .await
        .unwrap();
    let events = world.events().await;
    let status = set(&world, &two, plate("á-7 "), &["plate"], None)
        .await
        .unwrap_err();
    assert!(
        status.message().contains("pc-1") && status.message().contains(&one.id.to_string()),
        "{}",
        status.message()
    );
    assert_eq!(reason(Err::<(), _>(status)), "PLATE_TAKEN");
    assert_eq!(world.events().await, events);
    // Empty is on as many as like; a revoked device's plate is free.
    set(&world, &two, plate(""), &["plate"], None)
        .await
        .unwrap();
    world.set_device_state(&one, store::State::Revoked).await;
    set(&world, &two, plate("a-7"), &["plate"], None)
        .await
        .unwrap();
}

async fn a_change_is_recorded_with_before_and_after(world: World) {
    let machine = world.machine("pc-1", 60).await;
    for (text, person) in [("7", "A. Pérez"), ("8", "B. Ruiz")] {
        let facts = AdministrativeFacts {
            responsible: person.into(),
            ..plate(text)
        };
        set(&world, &machine, facts, &["plate", "responsible"], None)
            .await
            .unwrap();
    }
    let id = machine.id.to_string();
    let events = world
        .read(move |tx| event::list(tx, "device", &id, 0, 100))
        .await;
    let last = events.last().unwrap();
    assert_eq!(last.kind, "device.facts_set");
    let data: serde_json::Value = serde_json::from_str(&last.data).unwrap();
    assert_eq!(
        data["fields"]["plate"],
        serde_json::json!({"before": "7", "after": "8"})
    );
    assert!(
        !last.data.contains("Ruiz"),
        "a person's name is not sealed: {}",
        last.data
    );
    assert!(last.personal.as_deref().unwrap().contains("B. Ruiz"));
}

fn sheet(headings: &[&str], rows: &[&[&str]]) -> v1::ImportAdministrativeFactsRequest {
    let texts = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    v1::ImportAdministrativeFactsRequest {
        request_id: fresh(),
        headings: texts(headings),
        rows: rows
            .iter()
            .zip(2..)
            .map(|(cells, line)| v1::ImportRow {
                line,
                cells: texts(cells),
            })
            .collect(),
        ..Default::default()
    }
}

async fn import(
    world: &World,
    request: v1::ImportAdministrativeFactsRequest,
) -> Result<v1::ImportAdministrativeFactsResponse, Status> {
    service(world)
        .import_administrative_facts(world.by(&world.coordinator, request))
        .await
        .map(tonic::Response::into_inner)
}

async fn a_preview_shows_everything_and_writes_nothing(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let twin = world.machine("pc-2", 62).await;
    report(&world, &one, vec![serial("SER-0001")])
        .await
        .unwrap();
    let events = world.events().await;
    let mut request = sheet(
        &[
            "Serial",
            "Equipo",
            "Placa",
            "Valor",
            "Fecha de compra",
            "Marca",
        ],
        &[
            &["ser-0001", "", "7", "$ 1.234,50", "28/02/2021", "Dell"],
            &["", "PC-1", "9", "", "", ""],
            &["", "pc-2", "8", "", "", ""],
            &["NOBODY-1", "", "8", "", "", ""],
            &["SER-0001", "pc-2", "", "1", "", ""],
            &["", "", "", "1", "", ""],
            &["", "", "", "", "", ""],
        ],
    );
    request.preview = true;
    request.request_id = String::new();
    let answer = import(&world, request.clone()).await.unwrap();
    let columns: Vec<_> = answer
        .columns
        .iter()
        .map(|column| column.field.as_str())
        .collect();
    assert_eq!(
        columns,
        ["serial", "host_name", "plate", "cost", "purchase_date", "-"]
    );
    assert_eq!(answer.rows.len(), 1);
    assert_eq!(
        (answer.rows[0].line, answer.rows[0].device_id.clone()),
        (2, one.id.to_string())
    );
    let changes: Vec<_> = answer.rows[0]
        .changes
        .iter()
        .map(|change| {
            (
                change.field.as_str(),
                change.before.as_str(),
                change.after.as_str(),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            ("plate", "", "7"),
            ("purchase_date", "", "2021-02-28"),
            ("cost", "", "1234.50"),
            ("currency", "", "COP")
        ]
    );
    let errors: Vec<_> = answer
        .errors
        .iter()
        .map(|error| (error.line, error.code.as_str()))
        .collect();
    assert_eq!(
        errors,
        [
            (3, "ROW_TWICE"),
            (4, "DEVICE_AMBIGUOUS"),
            (5, "DEVICE_UNKNOWN"),
            (6, "DEVICE_CONTRADICTION"),
            (7, "ROW_WITHOUT_KEY"),
        ]
    );
    let mut candidates = vec![two.id.to_string(), twin.id.to_string()];
    candidates.sort();
    assert_eq!(answer.errors[1].candidates, candidates);
    assert_eq!(
        (answer.changed, answer.refused, answer.applied),
        (1, 5, false)
    );
    assert_eq!(world.events().await, events);
}

async fn an_import_is_whole_or_nothing(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    let mut request = sheet(
        &["Equipo", "Sede", "Valor"],
        &[&["pc-1", "Piso 1", "10"], &["pc-2", "Piso 2", "mucho"]],
    );
    let events = world.events().await;
    assert_eq!(
        reason(import(&world, request.clone()).await),
        "IMPORT_HAS_ERRORS"
    );
    assert_eq!(world.events().await, events, "nothing half done");
    assert_eq!(show(&world, &one).await.administrative.unwrap().seat, "");

    request.skip_errors = true;
    let answer = import(&world, request.clone()).await.unwrap();
    assert_eq!(
        (answer.changed, answer.refused, answer.applied),
        (1, 1, true)
    );
    assert_eq!(
        show(&world, &one).await.administrative.unwrap().seat,
        "Piso 1"
    );
    assert_eq!(show(&world, &two).await.administrative.unwrap().seat, "");
    // The same call again is the same answer and no second change.
    let events = world.events().await;
    assert_eq!(import(&world, request.clone()).await.unwrap(), answer);
    assert_eq!(world.events().await, events);

    request.request_id = fresh();
    let again = import(&world, request.clone()).await.unwrap();
    assert_eq!((again.changed, again.unchanged), (0, 1));
    request.request_id = String::new();
    assert_eq!(
        refused(import(&world, request).await).0,
        Code::InvalidArgument
    );
    let many = sheet(&["Equipo"], &vec![&["x"] as &[&str]; 10_001]);
    assert_eq!(refused(import(&world, many).await).0, Code::InvalidArgument);
    world.check().await;
}

async fn plates_may_change_places_within_one_import(world: World) {
    let (one, two) = (
        world.machine("pc-1", 60).await,
        world.machine("pc-2", 61).await,
    );
    set(&world, &one, plate("1"), &["plate"], None)
        .await
        .unwrap();
    set(&world, &two, plate("2"), &["plate"], None)
        .await
        .unwrap();
    import(
        &world,
        sheet(&["Equipo", "Placa"], &[&["pc-1", "2"], &["pc-2", "1"]]),
    )
    .await
    .unwrap();
    assert_eq!(show(&world, &one).await.administrative.unwrap().plate, "2");
    assert_eq!(show(&world, &two).await.administrative.unwrap().plate, "1");
    // One of the two rows is wrong: then the other has no place either.
    let mut request = sheet(
        &["Equipo", "Placa", "Valor"],
        &[&["pc-1", "1", ""], &["pc-2", "2", "mucho"]],
    );
    request.preview = true;
    let answer = import(&world, request).await.unwrap();
    let codes: Vec<_> = answer
        .errors
        .iter()
        .map(|error| error.code.as_str())
        .collect();
    assert_eq!(codes, ["PLATE_TAKEN", "VALUE_INVALID"]);
}
