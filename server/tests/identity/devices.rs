//! Devices as people handle them.

use chasqui_proto::v1::device_service_client::DeviceServiceClient;
use chasqui_proto::v1::{
    AdministrativeFacts, GetDeviceRequest, ListDevicesRequest, PageRequest, Role,
    SetAdministrativeFactsRequest,
};
use tonic::Code;

use crate::rig::{Coordinator, Machine, reason};

async fn a_device_is_found_by_id_name_and_plate() {
    let coordinator = Coordinator::start().await;
    let mut ids = Vec::new();
    for host in ["pc-ñandú", "pc-2", "PC-2", "pc-3"] {
        ids.push(coordinator.enrol(&Machine::new(host)).await.device_id);
    }
    let mut devices = coordinator.devices().await;
    let facts = AdministrativeFacts {
        plate: "Á-0042".to_owned(),
        purchase_date: "2021-02-28".to_owned(),
        dependency: "Hacienda".to_owned(),
        responsible: "A. Pérez".to_owned(),
        ..AdministrativeFacts::default()
    };
    let request = SetAdministrativeFactsRequest {
        device_id: ids[3].clone(),
        facts: Some(facts.clone()),
        ..Default::default()
    };
    let set = devices
        .set_administrative_facts(request)
        .await
        .unwrap()
        .into_inner()
        .device
        .unwrap();
    assert_eq!(set.administrative, Some(facts.clone()));

    for (name, expected) in [
        (ids[0].as_str(), 0),
        ("PC-NANDU", 0),
        ("a-0042", 3),
        ("pc-2", 1),
        ("PC-2", 2),
    ] {
        let found = devices
            .get_device(GetDeviceRequest {
                device: name.to_owned(),
            })
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.device.unwrap().id, ids[expected], "{name}");
    }
    let refused = devices
        .get_device(GetDeviceRequest {
            device: "Pc-2".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "DEVICE_AMBIGUOUS");
    assert!(
        refused.message().contains(&ids[1]) && refused.message().contains(&ids[2]),
        "{}",
        refused.message()
    );
    let refused = devices
        .get_device(GetDeviceRequest {
            device: "pc-77".to_owned(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "DEVICE_UNKNOWN")
    );

    let mut bad = facts;
    bad.purchase_date = "2021-02-30".to_owned();
    let request = SetAdministrativeFactsRequest {
        device_id: ids[3].clone(),
        facts: Some(bad),
        ..Default::default()
    };
    let refused = devices.set_administrative_facts(request).await.unwrap_err();
    assert!(
        refused.message().contains("purchase_date"),
        "{}",
        refused.message()
    );

    // A requester finds the machine a ticket is about, and learns no more of it than its names.
    let session = coordinator.person("rita", &[Role::Requester]).await;
    let mut theirs = DeviceServiceClient::new(coordinator.with_token(&session.token).await);
    let seen = theirs
        .get_device(GetDeviceRequest {
            device: "a-0042".to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    let seen = seen.device.unwrap();
    assert_eq!(
        (seen.id.as_str(), seen.host_name.as_str()),
        (ids[3].as_str(), "pc-3")
    );
    let administrative = seen.administrative.unwrap();
    assert_eq!(
        (
            administrative.plate.as_str(),
            administrative.responsible.as_str()
        ),
        ("Á-0042", "")
    );
    assert_eq!(
        (seen.fingerprint.len(), seen.agent_version.as_str()),
        (0, "")
    );
}

async fn a_list_goes_on_page_by_page() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token(10).await;
    for number in 0..5 {
        coordinator
            .try_enrol(&Machine::new(&format!("pc-{number}")).request(&token))
            .await
            .unwrap();
    }
    coordinator
        .try_enrol(&Machine::new("server-1").request(&token))
        .await
        .unwrap();
    let mut devices = coordinator.devices().await;
    let mut request = ListDevicesRequest {
        page: Some(PageRequest {
            page_size: 2,
            page_token: String::new(),
        }),
        text: "PC-".to_owned(),
        state: 0,
    };
    let mut names = Vec::new();
    let mut last_token = String::new();
    loop {
        let answer = devices
            .list_devices(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert!(answer.devices.len() <= 2);
        names.extend(answer.devices.into_iter().map(|device| device.host_name));
        let token = answer.page.unwrap().next_page_token;
        if token.is_empty() {
            break;
        }
        last_token.clone_from(&token);
        request.page = Some(PageRequest {
            page_size: 2,
            page_token: token,
        });
    }
    assert_eq!(names, ["pc-0", "pc-1", "pc-2", "pc-3", "pc-4"]);
    request.text = "server".to_owned();
    request.page = Some(PageRequest {
        page_size: 2,
        page_token: last_token,
    });
    assert_eq!(
        reason(&devices.list_devices(request).await.unwrap_err()),
        "PAGE_TOKEN_INVALID"
    );
}

on_both!(
    a_device_is_found_by_id_name_and_plate,
    a_list_goes_on_page_by_page,
);
