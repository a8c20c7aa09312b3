//! Queries saved under a name.

use chasqui_base::clock;
use chasqui_domain::device_search::expand;
use chasqui_domain::role::Role;
use chasqui_domain::search::fold;
use chasqui_proto::v1;
use chasqui_store::device_list::{self, DeviceList};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::request::idempotent;
use prost::Message;
use serde_json::json;
use tonic::{Code, Request, Response, Status};

use super::search::{list_text, read, trouble};
use super::{check, page};
use crate::auth;
use crate::context::Context;
use crate::error::{Failure, denied, internal, not_found};

pub(super) async fn create(
    ctx: &Context,
    request: Request<v1::CreateDeviceListRequest>,
) -> Result<Response<v1::CreateDeviceListResponse>, Status> {
    let now_ms = clock::now_ms();
    let person = auth::person(&request)?.id;
    let request = request.into_inner();
    let request_key = check::request_key(
        &person.to_string(),
        "DeviceService/CreateDeviceList",
        &request,
        |request| &mut request.request_id,
        now_ms,
    )?;
    check::line("name", &request.name, 1, 100)?;
    let query = read(&request.query)?;
    let list = DeviceList {
        id: clock::new_id().to_string(),
        name: request.name.trim().to_owned(),
        query: query.to_string(),
        owner_id: person.to_string(),
        shared: request.shared,
        created_at_ms: now_ms,
    };
    let key = fold(&list.name);
    if key.is_empty() {
        return Err(chasqui_proto::error::bad_field("name", "shows nothing"));
    }
    let answer = ctx
        .store
        .write(move |tx| {
            idempotent(tx, &request_key, |tx| {
                // With its own name in it, so that a ring is seen before it is made.
                let expanded = expand(&query, &mut |name| {
                    if fold(name) == key {
                        return Ok::<_, Failure>(Some(list.query.clone()));
                    }
                    list_text(tx, name, person)
                })?;
                expanded.map_err(|it| trouble(&it))?;
                if !device_list::insert(tx, &list, &key)? {
                    return Err(Failure::from(chasqui_proto::error::status(
                        Code::AlreadyExists,
                        "DEVICE_LIST_EXISTS",
                        "there is a list of this name: choose another, or delete that one first",
                        &[
                            ("name", &list.name),
                            (
                                "es",
                                "ya hay una lista con ese nombre: elija otro o bórrela primero",
                            ),
                        ],
                    )));
                }
                append(tx, &list, "device_list.created", &list.owner_id, now_ms)?;
                Ok(v1::CreateDeviceListResponse {
                    list: Some(encode(list.clone())),
                }
                .encode_to_vec())
            })
        })
        .await?;
    let answer = v1::CreateDeviceListResponse::decode(answer.response.as_slice())
        .map_err(|cause| internal("kept answer", &cause))?;
    Ok(Response::new(answer))
}

pub(super) async fn visible(
    ctx: &Context,
    request: Request<v1::ListDeviceListsRequest>,
) -> Result<Response<v1::ListDeviceListsResponse>, Status> {
    let person = auth::person(&request)?.id.to_string();
    let page = page(&request.into_inner().page, "ListDeviceLists", "")?;
    let after = page
        .after_parts::<1>()?
        .map_or_else(String::new, |[key]| key.to_owned());
    let limit = page.limit();
    let mut lists = ctx
        .store
        .read(move |tx| Ok::<_, Failure>(device_list::visible(tx, &person, &after, limit)?))
        .await?;
    let info = page.cut(&mut lists, |list| vec![fold(&list.name)]);
    Ok(Response::new(v1::ListDeviceListsResponse {
        lists: lists.into_iter().map(encode).collect(),
        page: Some(info),
    }))
}

pub(super) async fn get(
    ctx: &Context,
    request: Request<v1::GetDeviceListRequest>,
) -> Result<Response<v1::GetDeviceListResponse>, Status> {
    let person = auth::person(&request)?.id.to_string();
    let name = request.into_inner().name;
    check::line("name", &name, 1, 100)?;
    let list = ctx
        .store
        .read(move |tx| {
            device_list::get(tx, &fold(&name))?
                .filter(|list| list.shared || list.owner_id == person)
                .ok_or_else(|| Failure::from(not_found("device_list", &name)))
        })
        .await?;
    Ok(Response::new(v1::GetDeviceListResponse {
        list: Some(encode(list)),
    }))
}

pub(super) async fn delete(
    ctx: &Context,
    request: Request<v1::DeleteDeviceListRequest>,
) -> Result<Response<v1::DeleteDeviceListResponse>, Status> {
    let now_ms = clock::now_ms();
    let person = auth::person(&request)?;
    let keeper = person
        .roles
        .has_any(&[Role::Coordinator, Role::Administrator]);
    let person = person.id.to_string();
    let name = request.into_inner().name;
    check::line("name", &name, 1, 100)?;
    ctx.store
        .write(move |tx| {
            let key = fold(&name);
            let list = device_list::get(tx, &key)?
                .filter(|list| keeper || list.shared || list.owner_id == person)
                .ok_or_else(|| Failure::from(not_found("device_list", &name)))?;
            if list.owner_id != person && !keeper {
                return Err(denied(
                    "DEVICE_LIST_PERMISSION",
                    "only its owner, a coordinator or an administrator deletes a list",
                )
                .into());
            }
            device_list::delete(tx, &key)?;
            append(tx, &list, "device_list.deleted", &person, now_ms)
        })
        .await?;
    Ok(Response::new(v1::DeleteDeviceListResponse {}))
}

/// Name and query may speak of persons: they are held apart, where they can be erased.
fn append(
    tx: &mut chasqui_store::Tx,
    list: &DeviceList,
    kind: &str,
    actor: &str,
    now_ms: i64,
) -> Result<(), Failure> {
    event::append(
        tx,
        NewEvent {
            subject_kind: "device_list",
            subject_id: &list.id,
            part: None,
            kind,
            actor,
            at_ms: now_ms,
            state: None,
            data: json!({ "shared": list.shared }),
            personal: Some(&format!("{}: {}", list.name, list.query)),
        },
    )?;
    Ok(())
}

fn encode(list: DeviceList) -> v1::DeviceList {
    v1::DeviceList {
        id: list.id,
        name: list.name,
        query: list.query,
        owner_id: list.owner_id,
        shared: list.shared,
        created_at_ms: list.created_at_ms,
    }
}
