//! `login`, `logout`, `whoami`, `info`.

use chasqui_proto::v1;
use serde_json::{Value, json};

use crate::args::LoginArgs;
use crate::client::{Client, call};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{Screen, clean, enum_name};
use crate::session_file::SessionFile;

/// Trades a password for a session and stores it.
pub async fn login(context: &Context, args: LoginArgs) -> Outcome {
    let screen = &context.screen;
    let client = Client::anonymous(context)?;
    let login = match args.login {
        Some(login) => login,
        None if screen.interactive => ask_line(screen.say("usuario", "log-in"))?,
        None => {
            return Err(Failure::usage(
                "falta el nombre de usuario",
                "the log-in name is missing",
            ));
        }
    };
    let password = input::secret(
        screen,
        args.password_file.as_ref(),
        "contraseña",
        "password",
    )?;
    let answer = sign_in(&client, &login, &password).await?;
    let person = answer.person.unwrap_or_default();
    let ca = match &context.ca {
        Some(path) => Some(std::path::absolute(path)?),
        None => SessionFile::load(context)
            .unwrap_or_default()
            .filter(|old| old.server == client.server)
            .and_then(|old| old.ca),
    };
    SessionFile {
        server: client.server.clone(),
        ca,
        token: answer.token,
        login: person.login.clone(),
        person_id: person.id.clone(),
        expires_at_ms: answer.expires_at_ms,
    }
    .save(context)?;
    let value = json!({
        "server": client.server,
        "person": person_json(&person),
        "expires_at_ms": answer.expires_at_ms,
    });
    screen.show(&value, |s| {
        format!(
            "{} {} ({}) — {} {}",
            s.say("sesión iniciada como", "logged in as"),
            clean(&person.name),
            roles_text(s, &person),
            s.say("hasta", "until"),
            s.time(answer.expires_at_ms)
        )
    });
    Ok(())
}

/// The call itself. Not repeated: each try counts against the limit of attempts.
pub async fn sign_in(client: &Client, login: &str, password: &str) -> Outcome<v1::LoginResponse> {
    let request = v1::LoginRequest {
        login: login.to_owned(),
        password: password.to_owned(),
    };
    Ok(client.sessions().login(request).await?.into_inner())
}

/// Ends the session at the coordinator and forgets it here, even if the coordinator is away.
pub async fn logout(context: &Context) -> Outcome {
    let ended = match Client::of_session(context) {
        Ok((client, _)) => call(|| {
            let mut sessions = client.sessions();
            async move { sessions.logout(v1::LogoutRequest {}).await }
        })
        .await
        .map(|_| ()),
        Err(failure) => Err(failure),
    };
    SessionFile::remove(context)?;
    if let Err(failure) = ended
        && failure.exit != crate::failure::Exit::LoginNeeded
    {
        context.screen.warn(
            "la sesión se olvidó aquí, pero el coordinador no lo supo y la termina a su hora",
            "the session is forgotten here, but the coordinator was not told and ends it in time",
        );
    }
    context.screen.show(&json!({"logged_out": true}), |s| {
        s.say("sesión terminada", "logged out").to_owned()
    });
    Ok(())
}

/// Who is logged in, as the coordinator sees it.
pub async fn whoami(context: &Context) -> Outcome {
    let (client, _) = Client::of_session(context)?;
    let answer = who(&client).await?;
    let person = answer.person.unwrap_or_default();
    let value = json!({
        "server": client.server,
        "person": person_json(&person),
        "session_expires_at_ms": answer.session_expires_at_ms,
    });
    context.screen.show(&value, |s| {
        s.fields(&[
            (
                s.say("persona", "person"),
                format!("{} ({})", person.name, person.login),
            ),
            (s.say("roles", "roles"), roles_text(s, &person)),
            ("id", person.id.clone()),
            (s.say("coordinador", "coordinator"), client.server.clone()),
            (
                s.say("sesión hasta", "session until"),
                s.time(answer.session_expires_at_ms),
            ),
        ])
    });
    Ok(())
}

/// The person behind the token.
pub async fn who(client: &Client) -> Outcome<v1::WhoAmIResponse> {
    call(|| {
        let mut sessions = client.sessions();
        async move { sessions.who_am_i(v1::WhoAmIRequest {}).await }
    })
    .await
}

/// What the coordinator is. Needs no session.
pub async fn info(context: &Context) -> Outcome {
    let client = Client::anonymous(context)?;
    let info = server_info(&client).await?;
    let value = json!({
        "server": client.server,
        "version": info.version,
        "organisation": info.organisation,
        "now_ms": info.now_ms,
        "root_version": info.root_version,
        "people_version": info.people_version,
        "people_expires_at_ms": info.people_expires_at_ms,
        "catalogue_version": info.catalogue_version,
        "catalogue_expires_at_ms": info.catalogue_expires_at_ms,
        "device_ca_sha256": hex::encode(&info.device_ca_sha256),
        "agents_url": info.agents_url,
    });
    context.screen.show(&value, |s| {
        let document = |version: u64, expires: i64| {
            if version == 0 {
                s.say("sin publicar", "not published").to_owned()
            } else if expires == 0 {
                format!("v{version}")
            } else {
                format!(
                    "v{version}, {} {}",
                    s.say("vence", "expires"),
                    s.time(expires)
                )
            }
        };
        s.fields(&[
            (s.say("coordinador", "coordinator"), client.server.clone()),
            (s.say("versión", "version"), info.version.clone()),
            (
                s.say("organización", "organisation"),
                info.organisation.clone(),
            ),
            (s.say("raíz", "root"), document(info.root_version, 0)),
            (
                s.say("personas", "people"),
                document(info.people_version, info.people_expires_at_ms),
            ),
            (
                s.say("catálogo", "catalogue"),
                document(info.catalogue_version, info.catalogue_expires_at_ms),
            ),
            (s.say("agentes", "agents"), info.agents_url.clone()),
            (
                s.say("autoridad de equipos", "device authority"),
                hex::encode(&info.device_ca_sha256),
            ),
        ])
    });
    Ok(())
}

/// The call behind [`info`].
pub async fn server_info(client: &Client) -> Outcome<v1::GetServerInfoResponse> {
    call(|| {
        let mut sessions = client.sessions();
        async move { sessions.get_server_info(v1::GetServerInfoRequest {}).await }
    })
    .await
}

/// `administrator`, `lead`, ...
pub fn role_name(role: v1::Role) -> String {
    enum_name(role.as_str_name(), "ROLE_")
}

fn role_text(screen: &Screen, role: v1::Role) -> &'static str {
    let (es, en) = match role {
        v1::Role::Unspecified => ("sin rol", "no role"),
        v1::Role::Requester => ("solicitante", "requester"),
        v1::Role::Technician => ("técnico", "technician"),
        v1::Role::Lead => ("líder", "lead"),
        v1::Role::Coordinator => ("coordinación", "coordinator"),
        v1::Role::Administrator => ("administración", "administrator"),
        v1::Role::Auditor => ("auditoría", "auditor"),
    };
    screen.lang.pick(es, en)
}

/// The roles of a person in words.
pub fn roles_text(screen: &Screen, person: &v1::Person) -> String {
    person
        .roles()
        .map(|role| role_text(screen, role))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The stable JSON of a person.
pub fn person_json(person: &v1::Person) -> Value {
    json!({
        "id": person.id,
        "login": person.login,
        "name": person.name,
        "roles": person.roles().map(role_name).collect::<Vec<_>>(),
        "disabled": person.disabled,
        "created_at_ms": person.created_at_ms,
    })
}

fn ask_line(label: &str) -> Outcome<String> {
    use std::io::Write as _;
    let mut out = std::io::stderr().lock();
    let _ = write!(out, "{label}: ");
    let _ = out.flush();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
