//! `person new|list|disable|password`: accounts. What a person may sign is in the people document (`trust add person`).

use chasqui_proto::v1;
use serde_json::json;

use crate::args::{PersonCommand, RoleName};
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{Screen, clean};
use crate::session::{person_json, roles_text, who};

/// Pages read at most when a name is looked up.
const MAX_PAGES: usize = 200;

pub async fn run(context: &Context, command: PersonCommand) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let screen = &context.screen;
    match command {
        PersonCommand::New {
            login,
            name,
            roles,
            password_file,
        } => {
            let password = input::new_secret(
                screen,
                password_file.as_ref(),
                "contraseña nueva",
                "new password",
            )?;
            let person = create(&client, &login, &name, &roles, &password).await?;
            screen.show(&person_json(&person), |s| {
                format!(
                    "{} {} ({}) — id {}",
                    s.say("cuenta creada:", "account made:"),
                    clean(&person.name),
                    roles_text(s, &person),
                    person.id
                )
            });
        }
        PersonCommand::List => {
            let persons = all(&client).await?;
            let value = json!({ "persons": persons.iter().map(person_json).collect::<Vec<_>>() });
            screen.show(&value, |s| table(s, &persons));
        }
        PersonCommand::Disable { person, undo } => {
            let request = v1::SetPersonDisabledRequest {
                person_id: resolve(&client, &person).await?,
                disabled: !undo,
            };
            let answer = call(|| {
                let (mut persons, request) = (client.persons(), request.clone());
                async move { persons.set_person_disabled(request).await }
            })
            .await?;
            let person = answer.person.unwrap_or_default();
            screen.show(&person_json(&person), |s| {
                let word = if person.disabled {
                    s.say("cuenta cerrada:", "account closed:")
                } else {
                    s.say("cuenta abierta:", "account open:")
                };
                format!("{word} {}", clean(&person.name))
            });
        }
        PersonCommand::Password {
            person,
            old_password_file,
            password_file,
        } => {
            let me = who(&client).await?.person.unwrap_or_default();
            let person_id = match &person {
                Some(person) => resolve(&client, person).await?,
                None => me.id.clone(),
            };
            let old_password = if person_id == me.id {
                input::secret(
                    screen,
                    old_password_file.as_ref(),
                    "contraseña actual",
                    "present password",
                )?
                .to_string()
            } else {
                String::new()
            };
            let new_password = input::new_secret(
                screen,
                password_file.as_ref(),
                "contraseña nueva",
                "new password",
            )?;
            let request = v1::SetPasswordRequest {
                person_id: person_id.clone(),
                old_password,
                new_password: new_password.to_string(),
            };
            client.persons().set_password(request).await?;
            screen.show(&json!({"person_id": person_id, "changed": true}), |s| {
                s.say(
                    "contraseña cambiada; sus sesiones terminaron",
                    "password changed; its sessions ended",
                )
                .to_owned()
            });
        }
    }
    Ok(())
}

/// Makes an account.
pub async fn create(
    client: &Client,
    login: &str,
    name: &str,
    roles: &[RoleName],
    password: &str,
) -> Outcome<v1::Person> {
    let request = v1::CreatePersonRequest {
        request_id: input::request_id(),
        login: login.to_owned(),
        name: name.to_owned(),
        roles: roles.iter().map(|role| role_of(*role) as i32).collect(),
        password: password.to_owned(),
    };
    let answer = call(|| {
        let (mut persons, request) = (client.persons(), request.clone());
        async move { persons.create_person(request).await }
    })
    .await?;
    Ok(answer.person.unwrap_or_default())
}

/// Every account, page by page.
pub async fn all(client: &Client) -> Outcome<Vec<v1::Person>> {
    let mut found = Vec::new();
    let mut token = String::new();
    for _ in 0..MAX_PAGES {
        let request = v1::ListPersonsRequest {
            page: Some(v1::PageRequest {
                page_size: 500,
                page_token: token,
            }),
        };
        let answer = call(|| {
            let (mut persons, request) = (client.persons(), request.clone());
            async move { persons.list_persons(request).await }
        })
        .await?;
        found.extend(answer.persons);
        token = answer.page.unwrap_or_default().next_page_token;
        if token.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The id behind `me`, an id or a log-in name.
pub async fn resolve(client: &Client, person: &str) -> Outcome<String> {
    if person == "me" {
        return Ok(who(client).await?.person.unwrap_or_default().id);
    }
    if input::is_id(person) {
        return Ok(person.to_owned());
    }
    all(client)
        .await?
        .into_iter()
        .find(|p| p.login.to_lowercase() == person.to_lowercase())
        .map(|p| p.id)
        .ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                "PERSON_NOT_FOUND",
                format!("no hay una persona con usuario {person:?}"),
                format!("nobody has the log-in name {person:?}"),
            )
        })
}

fn role_of(role: RoleName) -> v1::Role {
    match role {
        RoleName::Requester => v1::Role::Requester,
        RoleName::Technician => v1::Role::Technician,
        RoleName::Lead => v1::Role::Lead,
        RoleName::Coordinator => v1::Role::Coordinator,
        RoleName::Administrator => v1::Role::Administrator,
        RoleName::Auditor => v1::Role::Auditor,
    }
}

fn table(screen: &Screen, persons: &[v1::Person]) -> String {
    let heading = [
        screen.say("USUARIO", "LOG-IN"),
        screen.say("NOMBRE", "NAME"),
        "ROLES",
        screen.say("ESTADO", "STATE"),
        "ID",
    ];
    let rows = persons
        .iter()
        .map(|p| {
            let state = if p.disabled {
                screen.say("cerrada", "closed")
            } else {
                screen.say("abierta", "open")
            };
            vec![
                p.login.clone(),
                p.name.clone(),
                roles_text(screen, p),
                state.to_owned(),
                p.id.clone(),
            ]
        })
        .collect();
    screen.table(&heading, rows)
}
