//! `POST /front/inventory.php`: the GLPI native inventory protocol. What arrives becomes ordinary sections of a device that
//! is read only, stored by the function that stores our own agents' reports. The protocol's shape is here, what its values
//! mean in [`crate::glpi`].

pub(crate) mod body;
mod store;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chasqui_base::clock;
use chasqui_store::inventory_source::{self, InventorySource};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::auth::{Peer, Scope, digest};
use crate::context::Context;
use crate::error::Failure;
use crate::glpi::{self, Action, Form, Message, Refusal};
use body::Compression;

/// Where agents of both kinds are pointed.
pub const PATH: &str = "/front/inventory.php";
/// Hours until an agent comes again.
const EXPIRATION_HOURS: u32 = 24;
/// Most characters of an error's text.
const MAX_ERROR: usize = 250;
/// Most proxies on the way.
const MAX_PROXIES: usize = 5;
/// Inventories that are read at once: each may be large.
const AT_ONCE: usize = 3;
/// How long one waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(60);
/// What agents look for before they use the protocol: its level, by GLPI's own name and version.
const PROTOCOL: (&str, &str) = ("glpi", "10.0.0");

const AGENT_ID: HeaderName = HeaderName::from_static("glpi-agent-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("glpi-request-id");
const PROXY_ID: HeaderName = HeaderName::from_static("glpi-proxy-id");

#[derive(Clone)]
struct Endpoint {
    ctx: Context,
    turns: Arc<Semaphore>,
}

/// The endpoint's route.
pub fn routes(ctx: Context) -> Router {
    let endpoint = Endpoint {
        ctx,
        turns: Arc::new(Semaphore::new(AT_ONCE)),
    };
    Router::new()
        .route(PATH, axum::routing::get(poll).post(take))
        .with_state(endpoint)
}

/// An answer that is no success: status, text for the agent.
pub(crate) struct Problem {
    status: StatusCode,
    text: String,
    retry_after_s: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            retry_after_s: None,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
            Refusal::Unsupported(_) => StatusCode::NOT_IMPLEMENTED,
        };
        Self::new(status, refusal.to_string())
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::from(failure.status().clone())
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        let code = match status.code() {
            Code::InvalidArgument => StatusCode::BAD_REQUEST,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::FailedPrecondition => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(code, status.message())
    }
}

/// How an answer is written: as the request was.
#[derive(Clone, Copy)]
struct Style {
    form: Form,
    compression: Compression,
}

async fn poll(
    State(endpoint): State<Endpoint>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request<Body>,
) -> Response {
    let style = Style {
        form: Form::Json,
        compression: Compression::None,
    };
    let headers = request.headers();
    let answer = match admit(&endpoint.ctx, &peer, headers).await {
        // Nothing is ever left to be polled for: an inventory is answered when it is stored.
        Ok(_) => Ok(json!({"status": "ok", "expiration": EXPIRATION_HOURS})),
        Err(problem) => Err(problem),
    };
    respond(style, headers, answer.map(|answer| answer.to_string()))
}

async fn take(
    State(endpoint): State<Endpoint>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    let mut style = Style {
        form: Form::Json,
        compression: Compression::None,
    };
    let answer = handle(&endpoint, &peer, &head.headers, body, &mut style).await;
    if let Err(problem) = &answer {
        tracing::info!(
            source = %peer.source(),
            status = problem.status.as_u16(),
            "an inventory of a third party was refused"
        );
    }
    respond(style, &head.headers, answer)
}

async fn handle(
    endpoint: &Endpoint,
    peer: &Peer,
    headers: &HeaderMap,
    body: Body,
    style: &mut Style,
) -> Result<String, Problem> {
    let ctx = &endpoint.ctx;
    let source = admit(ctx, peer, headers).await?;
    check_proxies(headers)?;
    let declared = body::declared(headers)?;
    let turn = tokio::time::timeout(TURN_WITHIN, endpoint.turns.clone().acquire_owned());
    let Ok(Ok(turn)) = turn.await else {
        return Err(Problem {
            retry_after_s: Some(60),
            ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy server")
        });
    };
    let bytes = body::read(body, headers).await?;
    let read = move || {
        let compression = declared.unwrap_or_else(|| Compression::of(&bytes));
        let plain = body::inflate(compression, &bytes).map_err(|problem| (compression, problem));
        let plain = plain?;
        let form = glpi::form_of(&plain);
        let message = glpi::decode(&plain);
        Ok((compression, form, message))
    };
    let read = tokio::task::spawn_blocking(read)
        .await
        .map_err(|cause| Problem::from(crate::error::internal("glpi", &cause)))?;
    let (compression, form, message) = match read {
        Ok(read) => read,
        Err((compression, problem)) => {
            style.compression = compression;
            return Err(problem);
        }
    };
    *style = Style { form, compression };
    let message = message?;
    let agent_id = agent_id(headers)?;
    let answered = answer(ctx, &source, message, &agent_id, style).await;
    drop(turn);
    answered
}

async fn answer(
    ctx: &Context,
    source: &InventorySource,
    message: Message,
    agent_id: &str,
    style: &mut Style,
) -> Result<String, Problem> {
    match message.action {
        Action::Contact { tasks } => Ok(contact(&tasks)),
        // An agent that knows the newer protocol learns from a JSON answer that it is spoken here.
        Action::Prolog if !agent_id.is_empty() => {
            style.form = Form::Json;
            Ok(contact(&[]))
        }
        Action::Prolog => Ok(format!(
            "{XML}<REPLY><PROLOG_FREQ>{EXPIRATION_HOURS}</PROLOG_FREQ><RESPONSE>SEND</RESPONSE></REPLY>\n"
        )),
        Action::Inventory(inventory) => {
            store::store(ctx, source, &message.device_id, agent_id, inventory).await?;
            Ok(match message.form {
                Form::Json => json!({"status": "ok", "expiration": EXPIRATION_HOURS}).to_string(),
                Form::Xml => format!("{XML}<REPLY><RESPONSE>SEND</RESPONSE></REPLY>\n"),
            })
        }
    }
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn contact(tasks: &[String]) -> String {
    let (server, version) = PROTOCOL;
    let others: Vec<&String> = tasks.iter().filter(|task| *task != "inventory").collect();
    let mut answer = json!({
        "status": "ok",
        "expiration": EXPIRATION_HOURS,
        "tasks": {"inventory": {"server": server, "version": version}},
    });
    if let (Some(answer), false) = (answer.as_object_mut(), others.is_empty()) {
        let said: Vec<String> = others
            .iter()
            .map(|task| format!("{task} task not supported"))
            .collect();
        answer.insert("disabled".to_owned(), json!(others));
        answer.insert(
            "message".to_owned(),
            Value::String(bounded(&said.join("; "))),
        );
    }
    answer.to_string()
}

/// The source whose credential came, Basic (name and secret) or Bearer (the secret alone).
async fn admit(
    ctx: &Context,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<InventorySource, Problem> {
    let now_ms = clock::now_ms();
    let subject = (Scope::InventorySource, peer.source());
    ctx.auth.limits.check(&subject, now_ms).map_err(too_many)?;
    let refused = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "send the credential of an inventory source, Basic or Bearer",
        )
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refused());
    };
    let credential = value.to_str().ok().and_then(credential);
    let found = match &credential {
        Some((name, secret)) => {
            let digest = digest(secret);
            let (name, by) = (name.clone(), digest.clone());
            let found = ctx
                .store
                .read(move |tx| {
                    Ok::<_, Failure>(match &name {
                        Some(name) => inventory_source::by_name(tx, name)?,
                        None => inventory_source::by_digest(tx, &by)?,
                    })
                })
                .await?;
            found.filter(|source| {
                let same = source.secret_digest.as_bytes().ct_eq(digest.as_bytes());
                bool::from(same) && source.revoked_at_ms.is_none()
            })
        }
        None => None,
    };
    match found {
        Some(source) => Ok(source),
        None => {
            let counted = ctx.auth.limits.take(&ctx.store, &[subject], now_ms).await;
            counted.map_err(too_many)?;
            Err(refused())
        }
    }
}

fn too_many(status: tonic::Status) -> Problem {
    Problem {
        retry_after_s: Some(900),
        ..Problem::from(status)
    }
}

/// Name (Basic alone) and secret of an `Authorization` value.
fn credential(value: &str) -> Option<(Option<String>, String)> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if rest.len() > 512 {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((None, rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (name, secret) = text.split_once(':')?;
    Some((Some(name.to_owned()), secret.to_owned()))
}

/// `GLPI-Agent-ID`; empty for agents that have none.
fn agent_id(headers: &HeaderMap) -> Result<String, Problem> {
    let Some(value) = headers.get(AGENT_ID) else {
        return Ok(String::new());
    };
    let text = value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let uuid = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if uuid {
        Ok(text)
    } else {
        Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "GLPI-Agent-ID is no UUID",
        ))
    }
}

fn check_proxies(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(PROXY_ID) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut seen: Vec<&str> = text.split(',').map(str::trim).collect();
    let named = seen.len();
    let own = headers.get(AGENT_ID).and_then(|id| id.to_str().ok());
    let own = own.is_some_and(|own| seen.contains(&own.trim().to_ascii_lowercase().as_str()));
    seen.sort_unstable();
    seen.dedup();
    if own || seen.len() < named {
        return Err(Problem::new(StatusCode::NOT_FOUND, "proxy-loop-detected"));
    }
    if named > MAX_PROXIES {
        return Err(Problem::new(StatusCode::NOT_FOUND, "too-many-proxy"));
    }
    Ok(())
}

fn bounded(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_ERROR)
        .collect()
}

fn respond(style: Style, asked: &HeaderMap, answer: Result<String, Problem>) -> Response {
    let (status, text, retry_after_s) = match answer {
        Ok(text) => (StatusCode::OK, text, None),
        Err(problem) => {
            let message = bounded(&problem.text);
            let text = match style.form {
                Form::Json => json!({
                    "status": "error", "message": message, "expiration": EXPIRATION_HOURS,
                })
                .to_string(),
                Form::Xml => {
                    let message = quick_xml::escape::escape(message.as_str());
                    format!("{XML}<REPLY><ERROR>{message}</ERROR></REPLY>\n")
                }
            };
            (problem.status, text, problem.retry_after_s)
        }
    };
    // What cannot be deflated in memory is sent plain; agents tell by the content type.
    let (bytes, kind) = match style.compression.deflate(text.as_bytes()) {
        Some(bytes) => (bytes, style.compression.content_type(style.form)),
        None => (
            text.into_bytes(),
            Compression::None.content_type(style.form),
        ),
    };
    let mut response = (status, bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for name in [AGENT_ID, REQUEST_ID] {
        if let Some(value) = asked.get(&name).filter(|value| value.len() <= 64) {
            headers.insert(name, value.clone());
        }
    }
    if status == StatusCode::UNAUTHORIZED {
        // Nothing after the realm: FusionInventory takes the rest of the line for a part of it.
        let ask = HeaderValue::from_static("Basic realm=\"Chasqui inventory\"");
        headers.insert(header::WWW_AUTHENTICATE, ask);
    }
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
