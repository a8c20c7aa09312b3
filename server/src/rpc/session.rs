//! Log-in, log-out, and what this coordinator is. A wrong password and an unknown account take the same time and read
//! the same.

use chasqui_base::clock;
use chasqui_domain::role::Role as DomainRole;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::session_service_server::SessionService;
use chasqui_proto::v1::{
    GetServerInfoRequest, GetServerInfoResponse, LoginRequest, LoginResponse, LogoutRequest,
    LogoutResponse, Person, Role, WhoAmIRequest, WhoAmIResponse,
};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::{person, session};
use serde_json::json;
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use super::check;
use crate::auth::{self, Scope, Secret};
use crate::context::Context;
use crate::error::Failure;

/// Log-in, log-out, who am I, what is this.
pub struct Service(pub Context);

/// Longest log-in name.
const MAX_LOGIN: usize = 64;

#[tonic::async_trait]
impl SessionService for Service {
    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let peer = auth::peer(&request)?;
        let LoginRequest { login, password } = request.into_inner();
        let password = Zeroizing::new(password);
        check::line("login", &login, 1, MAX_LOGIN)?;
        if password.is_empty() || password.len() > auth::password::MAX_BYTES {
            return Err(bad_field(
                "password",
                format!("1 to {} bytes", auth::password::MAX_BYTES),
            ));
        }
        let account = (
            Scope::LoginAccount,
            auth::digest(&person::login_key(&login)),
        );
        let source = (Scope::LoginSource, peer.source());
        ctx.auth
            .limits
            .take(&ctx.store, &[account.clone(), source.clone()], now_ms)
            .await?;

        let wanted = login.clone();
        let found = ctx
            .store
            .read(move |tx| Ok::<_, Failure>(person::by_login(tx, &wanted)?))
            .await?
            .filter(|person| !person.disabled);
        let kept = found.as_ref().map(|person| person.password_hash.clone());
        let matches = ctx.auth.hasher.verify(password, kept).await?;
        let Some(person) = found.filter(|_| matches) else {
            return Err(refused());
        };

        let secret = Secret::fresh("chs")?;
        let id = clock::new_id().to_string();
        let expires_at_ms = ctx.auth.sessions.expires_at_ms(now_ms);
        let (person_id, hash, digest, client) = (
            person.id.clone(),
            person.password_hash.clone(),
            secret.digest.clone(),
            peer.source(),
        );
        let begun = ctx
            .store
            .write(move |tx| {
                // The account as it is now: closed or with another password while the hash was computed, it stays out.
                let now = person::get(tx, &person_id)?;
                if !now.is_some_and(|now| !now.disabled && now.password_hash == hash) {
                    return Ok::<_, Failure>(false);
                }
                session::begin(tx, &id, &digest, &person_id, &client, now_ms, expires_at_ms)?;
                event::append(
                    tx,
                    NewEvent {
                        subject_kind: "person",
                        subject_id: &person_id,
                        part: None,
                        kind: "session.begun",
                        actor: &person_id,
                        at_ms: now_ms,
                        state: None,
                        data: json!({"session": id}),
                        personal: Some(&client),
                    },
                )?;
                Ok(true)
            })
            .await?;
        if !begun {
            return Err(refused());
        }
        ctx.auth.limits.succeeded(&ctx.store, account, source).await;
        Ok(Response::new(LoginResponse {
            token: secret.text.to_string(),
            expires_at_ms,
            person: Some(encode(&person)),
        }))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let caller = auth::person(&request)?;
        let (person_id, id) = (caller.id.to_string(), caller.session.to_string());
        ctx.store
            .write(move |tx| {
                if session::end(tx, &id)? {
                    event::append(
                        tx,
                        NewEvent {
                            subject_kind: "person",
                            subject_id: &person_id,
                            part: None,
                            kind: "session.ended",
                            actor: &person_id,
                            at_ms: now_ms,
                            state: None,
                            data: json!({"session": id}),
                            personal: None,
                        },
                    )?;
                }
                Ok::<_, Failure>(())
            })
            .await?;
        ctx.auth.sessions.changed(caller.id);
        Ok(Response::new(LogoutResponse {}))
    }

    async fn who_am_i(
        &self,
        request: Request<WhoAmIRequest>,
    ) -> Result<Response<WhoAmIResponse>, Status> {
        let caller = auth::person(&request)?;
        let id = caller.id.to_string();
        let found = self
            .0
            .store
            .read(move |tx| Ok::<_, Failure>(person::get(tx, &id)?))
            .await?
            .ok_or_else(|| crate::error::not_found("person", &caller.login))?;
        Ok(Response::new(WhoAmIResponse {
            person: Some(encode(&found)),
            session_expires_at_ms: caller.session_expires_at_ms,
        }))
    }

    async fn get_server_info(
        &self,
        _request: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let ctx = &self.0;
        let versions = super::trust::versions(ctx).await?;
        Ok(Response::new(GetServerInfoResponse {
            version: crate::VERSION.to_owned(),
            organisation: ctx.config.organisation.clone(),
            now_ms: clock::now_ms(),
            root_version: versions.root,
            people_version: versions.people,
            people_expires_at_ms: versions.people_expires_at_ms,
            catalogue_version: versions.catalogue,
            catalogue_expires_at_ms: versions.catalogue_expires_at_ms,
            device_ca_sha256: ctx.ca.sha256().to_vec().into(),
            agents_url: ctx.agents_url.get().cloned().unwrap_or_default(),
        }))
    }
}

/// An account as the API has it.
pub fn encode(person: &person::Person) -> Person {
    Person {
        id: person.id.clone(),
        login: person.login.clone(),
        name: person.name.clone(),
        roles: person
            .roles
            .iter()
            .map(|role| encode_role(role).into())
            .collect(),
        disabled: person.disabled,
        created_at_ms: person.created_at_ms,
    }
}

fn encode_role(role: DomainRole) -> Role {
    match role {
        DomainRole::Requester => Role::Requester,
        DomainRole::Technician => Role::Technician,
        DomainRole::Lead => Role::Lead,
        DomainRole::Coordinator => Role::Coordinator,
        DomainRole::Administrator => Role::Administrator,
        DomainRole::Auditor => Role::Auditor,
    }
}

/// A role out of the API; nothing for one this program does not know.
pub fn decode_role(role: i32) -> Option<DomainRole> {
    match Role::try_from(role).ok()? {
        Role::Unspecified => None,
        Role::Requester => Some(DomainRole::Requester),
        Role::Technician => Some(DomainRole::Technician),
        Role::Lead => Some(DomainRole::Lead),
        Role::Coordinator => Some(DomainRole::Coordinator),
        Role::Administrator => Some(DomainRole::Administrator),
        Role::Auditor => Some(DomainRole::Auditor),
    }
}

fn refused() -> Status {
    status(
        Code::Unauthenticated,
        "LOGIN_REFUSED",
        "the log-in name or the password is wrong, or the account is closed",
        &[],
    )
}
