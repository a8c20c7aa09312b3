//! Accounts: making them, their passwords, closing them. Somebody who can administrate is always left.

use chasqui_base::clock;
use chasqui_domain::ids::PersonId;
use chasqui_domain::role::{Role, Roles};
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::person_service_server::PersonService;
use chasqui_proto::v1::{
    CreatePersonRequest, CreatePersonResponse, ListPersonsRequest, ListPersonsResponse,
    SetPasswordRequest, SetPasswordResponse, SetPersonDisabledRequest, SetPersonDisabledResponse,
};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::{Tx, person, request, session};
use prost::Message;
use serde_json::json;
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use super::session::{decode_role, encode};
use super::{check, page, request_key};
use crate::auth::{self, Scope, password};
use crate::context::Context;
use crate::error::{self, Failure, denied, not_found};

/// Accounts of people.
pub struct Service(pub Context);

#[tonic::async_trait]
impl PersonService for Service {
    async fn create_person(
        &self,
        request: Request<CreatePersonRequest>,
    ) -> Result<Response<CreatePersonResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let request = request.into_inner();
        check_login(&request.login)?;
        check::line("name", &request.name, 1, 200)?;
        password::check("password", &request.password)?;
        let roles = decode_roles(&request.roles)?;
        // The password stands in the key by a slow hash's stead: not at all. Two requests that differ in it alone are
        // one, and the first one's password holds; a fast digest of it must not lie in a table.
        let mut keyed = request.clone();
        keyed.password = String::new();
        let key = request_key(
            &actor,
            "PersonService/CreatePerson",
            &keyed,
            |m| &mut m.request_id,
            now_ms,
        )?;
        let password_hash = ctx
            .auth
            .hasher
            .hash(Zeroizing::new(request.password))
            .await?;
        let new = person::Person {
            id: clock::new_id().to_string(),
            login: request.login,
            name: request.name,
            roles,
            password_hash,
            disabled: false,
            created_at_ms: now_ms,
        };
        let answer = ctx
            .store
            .write(move |tx| {
                request::idempotent(tx, &key, |tx| {
                    create(tx, &new, &actor)?;
                    let response = CreatePersonResponse {
                        person: Some(encode(&new)),
                    };
                    Ok::<_, Failure>(response.encode_to_vec())
                })
            })
            .await?;
        Ok(Response::new(super::wire::answer(&answer.response)?))
    }

    async fn list_persons(
        &self,
        request: Request<ListPersonsRequest>,
    ) -> Result<Response<ListPersonsResponse>, Status> {
        let page = page(&request.into_inner().page, "ListPersons", "")?;
        let after = page
            .after_parts::<1>()?
            .map(|[key]| key.to_owned())
            .unwrap_or_default();
        let limit = i64::from(page.limit());
        let mut rows = self
            .0
            .store
            .read(move |tx| Ok::<_, Failure>(person::list(tx, &after, limit)?))
            .await?;
        let info = page.cut(&mut rows, |row| vec![person::login_key(&row.login)]);
        Ok(Response::new(ListPersonsResponse {
            persons: rows.iter().map(encode).collect(),
            page: Some(info),
        }))
    }

    async fn set_password(
        &self,
        request: Request<SetPasswordRequest>,
    ) -> Result<Response<SetPasswordResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let caller = auth::person(&request)?;
        let SetPasswordRequest {
            person_id,
            old_password,
            new_password,
        } = request.into_inner();
        let (old_password, new_password) =
            (Zeroizing::new(old_password), Zeroizing::new(new_password));
        let id: PersonId = check::id("person_id", &person_id)?;
        password::check("new_password", &new_password)?;
        let own = id == caller.id;
        if !own && !caller.roles.has(Role::Administrator) {
            return Err(denied(
                "PASSWORD_OF_ANOTHER",
                "only an administrator sets another person's password",
            ));
        }
        let wanted = person_id.clone();
        let found = ctx
            .store
            .read(move |tx| Ok::<_, Failure>(person::get(tx, &wanted)?))
            .await?
            .ok_or_else(|| not_found("person", &person_id))?;
        if own {
            // A session left open on a desk must not become a way to guess the password.
            let account = (
                Scope::LoginAccount,
                auth::digest(&person::login_key(&found.login)),
            );
            ctx.auth
                .limits
                .take(&ctx.store, std::slice::from_ref(&account), now_ms)
                .await?;
            if !ctx
                .auth
                .hasher
                .verify(old_password, Some(found.password_hash))
                .await?
            {
                return Err(status(
                    Code::PermissionDenied,
                    "OLD_PASSWORD_WRONG",
                    "the old password is wrong",
                    &[("field", "old_password")],
                ));
            }
            ctx.auth.limits.forget(&ctx.store, account).await;
        }
        let hash = ctx.auth.hasher.hash(new_password).await?;
        let actor = caller.id.to_string();
        ctx.store
            .write(move |tx| {
                person::set_password(tx, &person_id, &hash, now_ms)?;
                let ended = session::end_of_person(tx, &person_id)?;
                changed(
                    tx,
                    &person_id,
                    "person.password_set",
                    &actor,
                    now_ms,
                    json!({"sessions_ended": ended}),
                )
            })
            .await?;
        ctx.auth.sessions.changed(id);
        Ok(Response::new(SetPasswordResponse {}))
    }

    async fn set_person_disabled(
        &self,
        request: Request<SetPersonDisabledRequest>,
    ) -> Result<Response<SetPersonDisabledResponse>, Status> {
        let ctx = &self.0;
        let now_ms = clock::now_ms();
        let actor = auth::person(&request)?.id.to_string();
        let SetPersonDisabledRequest {
            person_id,
            disabled,
        } = request.into_inner();
        let id: PersonId = check::id("person_id", &person_id)?;
        let after = ctx
            .store
            .write(move |tx| {
                let mut found =
                    person::get(tx, &person_id)?.ok_or_else(|| not_found("person", &person_id))?;
                if found.disabled == disabled {
                    return Ok::<_, Failure>(found);
                }
                if disabled && found.roles.has(Role::Administrator) {
                    let others = person::roles_of_others(tx, &person_id)?;
                    if !others.iter().any(|roles| roles.has(Role::Administrator)) {
                        return Err(error::precondition(
                            "LAST_ADMINISTRATOR",
                            "this is the last open account of an administrator: make another first",
                        )
                        .into());
                    }
                }
                person::set_disabled(tx, &person_id, disabled, now_ms)?;
                let kind = if disabled {
                    "person.disabled"
                } else {
                    "person.enabled"
                };
                let ended = if disabled {
                    session::end_of_person(tx, &person_id)?
                } else {
                    0
                };
                changed(
                    tx,
                    &person_id,
                    kind,
                    &actor,
                    now_ms,
                    json!({"sessions_ended": ended}),
                )?;
                found.disabled = disabled;
                Ok(found)
            })
            .await?;
        ctx.auth.sessions.changed(id);
        Ok(Response::new(SetPersonDisabledResponse {
            person: Some(encode(&after)),
        }))
    }
}

/// Stores a new account with its event. Also used by `init` for the first administrator.
///
/// # Errors
/// ALREADY_EXISTS / LOGIN_TAKEN.
pub(crate) fn create(tx: &mut Tx, new: &person::Person, actor: &str) -> Result<(), Failure> {
    if !person::insert(tx, new)? {
        return Err(status(
            Code::AlreadyExists,
            "LOGIN_TAKEN",
            "another account has this log-in name (case and accents do not count): choose another",
            &[("field", "login")],
        )
        .into());
    }
    event::append(
        tx,
        NewEvent {
            subject_kind: "person",
            subject_id: &new.id,
            part: None,
            kind: "person.created",
            actor,
            at_ms: new.created_at_ms,
            state: None,
            data: json!({"roles": new.roles}),
            personal: Some(&format!("{}\n{}", new.login, new.name)),
        },
    )?;
    Ok(())
}

/// Checks a new log-in name: 1 to 64 of letters, digits, `.`, `_`, `-`, `@`.
///
/// # Errors
/// INVALID_ARGUMENT naming `login`.
pub(crate) fn check_login(login: &str) -> Result<(), Status> {
    check::line("login", login, 1, 64)?;
    if login
        .chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@'))
    {
        Ok(())
    } else {
        Err(bad_field(
            "login",
            "write letters, digits, '.', '_', '-' and '@' only",
        ))
    }
}

fn decode_roles(roles: &[i32]) -> Result<Roles, Status> {
    if roles.is_empty() || roles.len() > Role::ALL.len() {
        return Err(bad_field(
            "roles",
            format!("name 1 to {} roles", Role::ALL.len()),
        ));
    }
    roles
        .iter()
        .map(|role| decode_role(*role))
        .collect::<Option<Roles>>()
        .ok_or_else(|| bad_field("roles", "holds a role this coordinator does not know"))
}

fn changed(
    tx: &mut Tx,
    person_id: &str,
    kind: &str,
    actor: &str,
    now_ms: i64,
    data: serde_json::Value,
) -> Result<(), Failure> {
    event::append(
        tx,
        NewEvent {
            subject_kind: "person",
            subject_id: person_id,
            part: None,
            kind,
            actor,
            at_ms: now_ms,
            state: None,
            data,
            personal: None,
        },
    )?;
    Ok(())
}
