//! `device list save` and its kin: queries saved under a name.

use chasqui_proto::v1;
use serde_json::{Value, json};

use super::search::{PAGE, pointed};
use crate::client::{Client, call};
use crate::failure::Outcome;
use crate::output::{Screen, clean};

pub async fn save(
    client: &Client,
    screen: &Screen,
    name: String,
    query: String,
    shared: bool,
) -> Outcome {
    let request = v1::CreateDeviceListRequest {
        request_id: crate::input::request_id(),
        name,
        query,
        shared,
    };
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.create_device_list(request).await }
    })
    .await
    .map_err(|failure| pointed(screen, failure, &request.query))?;
    let list = answer.list.unwrap_or_default();
    screen.show(&list_json(&list), |s| {
        lists_table(s, std::slice::from_ref(&list))
    });
    Ok(())
}

pub async fn all(client: &Client, screen: &Screen) -> Outcome {
    let mut lists = Vec::new();
    let mut token = String::new();
    loop {
        let request = v1::ListDeviceListsRequest {
            page: Some(v1::PageRequest {
                page_size: PAGE,
                page_token: token,
            }),
        };
        let answer = call(|| {
            let (mut devices, request) = (client.devices(), request.clone());
            async move { devices.list_device_lists(request).await }
        })
        .await?;
        lists.extend(answer.lists);
        token = answer.page.unwrap_or_default().next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let value = json!({ "lists": lists.iter().map(list_json).collect::<Vec<_>>() });
    screen.show(&value, |s| lists_table(s, &lists));
    Ok(())
}

pub async fn show(client: &Client, screen: &Screen, name: String) -> Outcome {
    let request = v1::GetDeviceListRequest { name };
    let answer = call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.get_device_list(request).await }
    })
    .await?;
    let list = answer.list.unwrap_or_default();
    screen.show(&list_json(&list), |s| {
        lists_table(s, std::slice::from_ref(&list))
    });
    Ok(())
}

pub async fn delete(client: &Client, screen: &Screen, name: String) -> Outcome {
    let request = v1::DeleteDeviceListRequest { name };
    call(|| {
        let (mut devices, request) = (client.devices(), request.clone());
        async move { devices.delete_device_list(request).await }
    })
    .await?;
    screen.show(&json!({ "deleted": request.name }), |s| {
        format!("{} {}", s.say("borrada:", "deleted:"), clean(&request.name))
    });
    Ok(())
}

fn list_json(list: &v1::DeviceList) -> Value {
    json!({
        "id": list.id,
        "name": list.name,
        "query": list.query,
        "owner_id": list.owner_id,
        "shared": list.shared,
        "created_at_ms": list.created_at_ms,
    })
}

fn lists_table(screen: &Screen, lists: &[v1::DeviceList]) -> String {
    let heading = [
        screen.say("LISTA", "LIST"),
        screen.say("COMPARTIDA", "SHARED"),
        screen.say("CREADA", "CREATED"),
        screen.say("CONSULTA", "QUERY"),
    ];
    let rows = lists
        .iter()
        .map(|list| {
            let shared = if list.shared {
                screen.say("sí", "yes")
            } else {
                "no"
            };
            vec![
                list.name.clone(),
                shared.to_owned(),
                screen.time(list.created_at_ms),
                list.query.clone(),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}
