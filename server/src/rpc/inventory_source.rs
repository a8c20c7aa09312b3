//! Inventory sources as people handle them: who may send inventories of other programs' agents. The secret leaves once, in
//! the answer that made it.

use chasqui_base::clock;
use chasqui_proto::error::bad_field;
use chasqui_proto::v1::inventory_source_service_server::InventorySourceService;
use chasqui_proto::v1::{
    CreateInventorySourceRequest, CreateInventorySourceResponse, InventorySource,
    ListInventorySourcesRequest, ListInventorySourcesResponse, RevokeInventorySourceRequest,
    RevokeInventorySourceResponse,
};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::{Tx, inventory_source as store, request};
use prost::Message;
use serde_json::json;
use tonic::{Request, Response, Status};

use super::{check, page, request_key};
use crate::auth::{self, Secret};
use crate::context::Context;
use crate::error::{Failure, not_found, precondition};

/// Inventory sources.
pub struct Service(pub Context);

#[tonic::async_trait]
impl InventorySourceService for Service {
    async fn create_inventory_source(
        &self,
        request: Request<CreateInventorySourceRequest>,
    ) -> Result<Response<CreateInventorySourceResponse>, Status> {
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let request = request.into_inner();
        let key = request_key(
            &actor,
            "InventorySourceService/CreateInventorySource",
            &request,
            |m| &mut m.request_id,
            now_ms,
        )?;
        check::line("name", &request.name, 1, 64)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !request.name.chars().all(plain) {
            return Err(bad_field(
                "name",
                "holds other characters than letters, digits, `.`, `_` and `-`",
            ));
        }
        let secret = Secret::fresh("chi")?;
        let source = store::InventorySource {
            id: clock::new_id().to_string(),
            name: request.name,
            secret_digest: secret.digest.clone(),
            created_by: actor.clone(),
            created_at_ms: now_ms,
            last_used_at_ms: None,
            revoked_at_ms: None,
        };
        let answer = self
            .0
            .store
            .write(move |tx| {
                request::idempotent(tx, &key, |tx| {
                    if !store::insert(tx, &source)? {
                        return Err(Failure::from(precondition(
                            "SOURCE_NAME_TAKEN",
                            format!(
                                "there is a source {} already: choose another name",
                                source.name
                            ),
                        )));
                    }
                    record(
                        tx,
                        &source.id,
                        "source.created",
                        &actor,
                        now_ms,
                        json!({"name": source.name}),
                    )?;
                    let kept = CreateInventorySourceResponse {
                        source: Some(encode(&source)),
                        secret: String::new(),
                    };
                    Ok(kept.encode_to_vec())
                })
            })
            .await?;
        let mut response: CreateInventorySourceResponse = super::wire::answer(&answer.response)?;
        if !answer.replayed {
            response.secret = secret.text.to_string();
        }
        Ok(Response::new(response))
    }

    async fn list_inventory_sources(
        &self,
        request: Request<ListInventorySourcesRequest>,
    ) -> Result<Response<ListInventorySourcesResponse>, Status> {
        let page = page(&request.into_inner().page, "ListInventorySources", "")?;
        let before = page.after_parts::<1>()?.map(|[id]| id.to_owned());
        let limit = i64::from(page.limit());
        let mut rows = self
            .0
            .store
            .read(move |tx| Ok::<_, Failure>(store::list(tx, before.as_deref(), limit)?))
            .await?;
        let info = page.cut(&mut rows, |row| vec![row.id.clone()]);
        Ok(Response::new(ListInventorySourcesResponse {
            sources: rows.iter().map(encode).collect(),
            page: Some(info),
        }))
    }

    async fn revoke_inventory_source(
        &self,
        request: Request<RevokeInventorySourceRequest>,
    ) -> Result<Response<RevokeInventorySourceResponse>, Status> {
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let named = request.into_inner().source_id;
        check::line("source_id", &named, 1, 64)?;
        let source = self
            .0
            .store
            .write(move |tx| {
                let missing = || Failure::from(not_found("inventory source", &named));
                let found = store::get(tx, &named)?.ok_or_else(missing)?;
                if store::revoke(tx, &found.id, now_ms)? {
                    record(tx, &found.id, "source.revoked", &actor, now_ms, json!({}))?;
                }
                store::get(tx, &found.id)?.ok_or_else(missing)
            })
            .await?;
        Ok(Response::new(RevokeInventorySourceResponse {
            source: Some(encode(&source)),
        }))
    }
}

fn record(
    tx: &mut Tx,
    id: &str,
    kind: &str,
    actor: &str,
    at_ms: i64,
    data: serde_json::Value,
) -> Result<(), Failure> {
    event::append(
        tx,
        NewEvent {
            subject_kind: "source",
            subject_id: id,
            part: None,
            kind,
            actor,
            at_ms,
            state: None,
            data,
            personal: None,
        },
    )?;
    Ok(())
}

fn encode(source: &store::InventorySource) -> InventorySource {
    InventorySource {
        id: source.id.clone(),
        name: source.name.clone(),
        created_by: source.created_by.clone(),
        created_at_ms: source.created_at_ms,
        last_used_at_ms: source.last_used_at_ms.unwrap_or(0),
        revoked: source.revoked_at_ms.is_some(),
    }
}
