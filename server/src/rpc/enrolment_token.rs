//! Enrolment tokens as people handle them. The secret leaves once, in the answer that made it.

use chasqui_base::clock;
use chasqui_domain::ids::TokenId;
use chasqui_proto::error::bad_field;
use chasqui_proto::v1::enrolment_token_service_server::EnrolmentTokenService;
use chasqui_proto::v1::{
    CreateEnrolmentTokenRequest, CreateEnrolmentTokenResponse, EnrolmentToken,
    ListEnrolmentTokensRequest, ListEnrolmentTokensResponse, RevokeEnrolmentTokenRequest,
    RevokeEnrolmentTokenResponse,
};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::{enrolment_token, request};
use prost::Message;
use serde_json::json;
use tonic::{Request, Response, Status};

use super::{check, page, request_key};
use crate::auth::{self, Secret};
use crate::context::Context;
use crate::error::{Failure, not_found};

/// Enrolment tokens.
pub struct Service(pub Context);

const MIN_VALID_MS: i64 = clock::MINUTE_MS;
const MAX_VALID_MS: i64 = 90 * clock::DAY_MS;
const MAX_USES: u32 = 100_000;

#[tonic::async_trait]
impl EnrolmentTokenService for Service {
    async fn create_enrolment_token(
        &self,
        request: Request<CreateEnrolmentTokenRequest>,
    ) -> Result<Response<CreateEnrolmentTokenResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let request = request.into_inner();
        let key = request_key(
            &actor,
            "EnrolmentTokenService/CreateEnrolmentToken",
            &request,
            |m| &mut m.request_id,
            now_ms,
        )?;
        check::line("note", &request.note, 0, 200)?;
        if !(MIN_VALID_MS..=MAX_VALID_MS).contains(&request.valid_for_ms) {
            return Err(bad_field("valid_for_ms", "1 minute to 90 days are allowed"));
        }
        if !(1..=MAX_USES).contains(&request.max_uses) {
            return Err(bad_field(
                "max_uses",
                format!("1 to {MAX_USES} are allowed"),
            ));
        }
        let secret = Secret::fresh("che")?;
        let digest = secret.digest.clone();
        let token = enrolment_token::EnrolmentToken {
            id: clock::new_id().to_string(),
            note: request.note,
            created_by: actor.clone(),
            created_at_ms: now_ms,
            expires_at_ms: now_ms.saturating_add(request.valid_for_ms),
            max_uses: request.max_uses,
            uses: 0,
            revoked_at_ms: None,
        };
        let answer = ctx
            .store
            .write(move |tx| {
                request::idempotent(tx, &key, |tx| {
                    enrolment_token::insert(tx, &token, &digest)?;
                    event::append(
                        tx,
                        NewEvent {
                            subject_kind: "token",
                            subject_id: &token.id,
                            part: None,
                            kind: "token.created",
                            actor: &actor,
                            at_ms: now_ms,
                            state: None,
                            data: json!({"expires_at_ms": token.expires_at_ms, "max_uses": token.max_uses}),
                            personal: None,
                        },
                    )?;
                    let kept = CreateEnrolmentTokenResponse {
                        token: Some(encode(&token)),
                        secret: String::new(),
                    };
                    Ok::<_, Failure>(kept.encode_to_vec())
                })
            })
            .await?;
        let mut response: CreateEnrolmentTokenResponse = super::wire::answer(&answer.response)?;
        if !answer.replayed {
            response.secret = secret.text.to_string();
        }
        Ok(Response::new(response))
    }

    async fn list_enrolment_tokens(
        &self,
        request: Request<ListEnrolmentTokensRequest>,
    ) -> Result<Response<ListEnrolmentTokensResponse>, Status> {
        let page = page(&request.into_inner().page, "ListEnrolmentTokens", "")?;
        let before = page.after_parts::<1>()?.map(|[id]| id.to_owned());
        let limit = i64::from(page.limit());
        let mut rows = self
            .0
            .store
            .read(move |tx| Ok::<_, Failure>(enrolment_token::list(tx, before.as_deref(), limit)?))
            .await?;
        let info = page.cut(&mut rows, |row| vec![row.id.clone()]);
        Ok(Response::new(ListEnrolmentTokensResponse {
            tokens: rows.iter().map(encode).collect(),
            page: Some(info),
        }))
    }

    async fn revoke_enrolment_token(
        &self,
        request: Request<RevokeEnrolmentTokenRequest>,
    ) -> Result<Response<RevokeEnrolmentTokenResponse>, Status> {
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let id = check::id::<TokenId>("token_id", &request.into_inner().token_id)?.to_string();
        let token = self
            .0
            .store
            .write(move |tx| {
                if enrolment_token::revoke(tx, &id, now_ms)? {
                    event::append(
                        tx,
                        NewEvent {
                            subject_kind: "token",
                            subject_id: &id,
                            part: None,
                            kind: "token.revoked",
                            actor: &actor,
                            at_ms: now_ms,
                            state: None,
                            data: json!({}),
                            personal: None,
                        },
                    )?;
                }
                enrolment_token::get(tx, &id)?.ok_or_else(|| Failure::from(not_found("token", &id)))
            })
            .await?;
        Ok(Response::new(RevokeEnrolmentTokenResponse {
            token: Some(encode(&token)),
        }))
    }
}

fn encode(token: &enrolment_token::EnrolmentToken) -> EnrolmentToken {
    EnrolmentToken {
        id: token.id.clone(),
        note: token.note.clone(),
        created_by: token.created_by.clone(),
        created_at_ms: token.created_at_ms,
        expires_at_ms: token.expires_at_ms,
        max_uses: token.max_uses,
        uses: token.uses,
        revoked: token.revoked_at_ms.is_some(),
    }
}
