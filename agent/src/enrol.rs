//! Becoming a device and staying one: the token is traded for a certificate once, the certificate is renewed for as long
//! as the device key is not revoked. Neither brings a root of trust: that one reaches the machine by another way.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chasqui_base::text::Text;
use chasqui_base::{clock, durable, fault_point};
use chasqui_proto::error::reason_of;
use chasqui_proto::v1;
use chasqui_proto::v1::enrolment_service_client::EnrolmentServiceClient;
use chasqui_trust::Digest;
use serde::{Deserialize, Serialize};
use tonic::Code;

use crate::config::Config;
use crate::failure::Failure;
use crate::identity::{self, Identity, Paths};
use crate::tls::{self, Dial};
use crate::trust::TrustStore;

/// Tries of one `enrol` while the coordinator cannot be reached or says that it is busy.
const TRIES: u32 = 4;
const MAX_TOKEN: usize = 128;

/// The request as it was first made, so that every repetition is the same one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    request_id: String,
    token_sha256: String,
    host_name: String,
    agent_version: String,
    certificate_request: String,
}

/// Enrols this machine. Answers the new identity; an identity that is there already is an error, unless `replace`, which
/// puts the old one and its key aside for good.
pub async fn enrol(
    config: &Config,
    token: &str,
    host_name: &str,
    replace: bool,
) -> Result<Identity, Failure> {
    let token = token.trim();
    if token.is_empty() || token.len() > MAX_TOKEN || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::usage(
            "TOKEN_MALFORMED",
            Text::new(
                "esto no es un token de inscripción: cópielo entero, sin espacios",
                "this is not an enrolment token: copy all of it, without spaces",
            ),
        ));
    }
    let server = config.need_server()?;
    let trust = open_trust(config)?;
    prepare_state_dir(&config.state_dir)?;
    if replace {
        remove_identity(&config.state_dir)?;
    } else if let Some(identity) = Identity::load(&config.state_dir)? {
        return Err(Failure::needs_action(
            "ALREADY_ENROLLED",
            Text::new(
                format!(
                    "este equipo ya está inscrito como {}. Para darle una identidad nueva: chasqui-agent enrol --replace",
                    identity.device_id
                ),
                format!(
                    "this machine is already enrolled as {}. To give it a new identity: chasqui-agent enrol --replace",
                    identity.device_id
                ),
            ),
        ));
    }
    let key = Arc::new(identity::load_or_make_key(&config.state_dir)?);
    fault_point!("agent.enrol.key.written");
    let request = pending_request(config, token, host_name, &key)?;
    fault_point!("agent.enrol.request.written");
    let dial = Dial {
        address: server.clone(),
        proxy: config.proxy.clone(),
        tls: tls::client_config(
            trust.authorities(),
            None,
            None,
            trust.state().floor().at_ms(),
        )
        .map_err(internal)?,
    };
    let answer = call(&dial, &request).await?;
    fault_point!("agent.enrol.answered");
    let identity = accept_answer(&answer, &trust, key)?;
    identity
        .store(&config.state_dir)
        .map_err(|error| unwritable(&config.state_dir, &error))?;
    fault_point!("agent.enrol.stored");
    durable::remove(&Paths::of(&config.state_dir).pending)
        .map_err(|error| unwritable(&config.state_dir, &error))?;
    Ok(identity)
}

/// The documents of trust as configured.
pub fn open_trust(config: &Config) -> Result<TrustStore, Failure> {
    Ok(TrustStore::load(
        &config.root,
        &config.state_dir.join("trust"),
        config.organisation.as_deref(),
    )?)
}

/// Makes the state folder (readable, so that people can ask for status and history) and its private parts.
pub fn prepare_state_dir(state_dir: &Path) -> Result<(), Failure> {
    let make = || {
        fs::create_dir_all(state_dir)?;
        for private in ["trust", "journal", "outbox"] {
            durable::create_private_dir(&state_dir.join(private))?;
        }
        durable::sync_dir(state_dir)
    };
    make().map_err(|error| unwritable(state_dir, &error))
}

fn pending_request(
    config: &Config,
    token: &str,
    host_name: &str,
    key: &chasqui_trust::SigningKey,
) -> Result<v1::EnrolRequest, Failure> {
    let path = Paths::of(&config.state_dir).pending;
    let token_sha256 = Digest::of(token.as_bytes()).to_hex();
    let kept = fs::read_to_string(&path)
        .ok()
        .and_then(|text| toml::from_str::<Pending>(&text).ok())
        .filter(|pending| pending.token_sha256 == token_sha256);
    let pending = match kept {
        Some(pending) => pending,
        None => {
            let certificate_request = identity::certificate_request(key).map_err(internal)?;
            let pending = Pending {
                request_id: clock::new_id().to_string(),
                token_sha256,
                host_name: host_name.to_owned(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                certificate_request: hex::encode(certificate_request),
            };
            let text = toml::to_string(&pending).map_err(internal)?;
            durable::write(&path, text.as_bytes(), 0o600)
                .map_err(|error| unwritable(&path, &error))?;
            pending
        }
    };
    Ok(v1::EnrolRequest {
        request_id: pending.request_id,
        token: token.to_owned(),
        certificate_request: hex::decode(&pending.certificate_request)
            .map_err(internal)?
            .into(),
        host_name: pending.host_name,
        agent_version: pending.agent_version,
    })
}

async fn call(dial: &Dial, request: &v1::EnrolRequest) -> Result<v1::EnrolResponse, Failure> {
    let mut wait = Duration::from_millis(500);
    for attempt in 1.. {
        let failure = match tls::channel(dial).await {
            Err(failure) => failure,
            Ok(channel) => match EnrolmentServiceClient::new(channel)
                .enrol(request.clone())
                .await
            {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if is_busy(&status) => refused(&status),
                Err(status) => return Err(refused(&status)),
            },
        };
        if attempt >= TRIES || failure.exit == crate::failure::Exit::NeedsAction {
            return Err(failure);
        }
        tracing::debug!(attempt, %failure, "enrolment not answered, trying again");
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
    Err(internal("no try left"))
}

/// Worth another try: it is busy, or was lost before it answered. What it answers itself carries a reason.
fn is_busy(status: &tonic::Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted => {
            true
        }
        Code::Unknown | Code::Internal | Code::Cancelled => reason_of(status).is_none(),
        _ => false,
    }
}

/// What the coordinator said, with what to do about it.
pub(crate) fn refused(status: &tonic::Status) -> Failure {
    let reason = reason_of(status).unwrap_or_default();
    let said = status.message();
    let (code, es) = match reason.as_str() {
        "TOKEN_UNKNOWN" | "TOKEN_INVALID" => (
            "TOKEN_UNKNOWN",
            "el coordinador no conoce este token: pida uno nuevo a quien administra".to_owned(),
        ),
        "TOKEN_EXPIRED" => (
            "TOKEN_EXPIRED",
            "el token venció: pida uno nuevo a quien administra".to_owned(),
        ),
        "TOKEN_USED_UP" => (
            "TOKEN_USED_UP",
            "el token ya se usó todas las veces que podía: pida uno nuevo a quien administra"
                .to_owned(),
        ),
        "TOKEN_REVOKED" => (
            "TOKEN_REVOKED",
            "el token fue revocado: pida uno nuevo a quien administra".to_owned(),
        ),
        "DEVICE_REVOKED" => (
            "DEVICE_REVOKED",
            "este equipo fue dado de baja en el coordinador".to_owned(),
        ),
        _ => (
            "COORDINATOR_REFUSED",
            format!("el coordinador respondió: {said}"),
        ),
    };
    let en = if reason.is_empty() {
        format!("the coordinator answered: {said}")
    } else {
        format!("{said} ({reason})")
    };
    if is_busy(status) {
        Failure::failed("COORDINATOR_BUSY", Text::new(es, en))
    } else {
        Failure::needs_action(code, Text::new(es, en))
    }
}

fn accept_answer(
    answer: &v1::EnrolResponse,
    trust: &TrustStore,
    key: Arc<chasqui_trust::SigningKey>,
) -> Result<Identity, Failure> {
    let wrong = |why: String| {
        Failure::needs_action(
            "ENROLMENT_ANSWER_WRONG",
            Text::new(
                format!("la respuesta del coordinador no se acepta: {why}"),
                format!("the coordinator's answer is not accepted: {why}"),
            ),
        )
    };
    if answer.organisation != trust.state().org() {
        return Err(wrong(format!(
            "organisation {:?}, root.json says {:?}",
            answer.organisation,
            trust.state().org()
        )));
    }
    if !trust
        .authorities()
        .contains(&Digest::of(&answer.ca_certificate))
    {
        return Err(wrong("its authority is not named in root.json".to_owned()));
    }
    if uuid::Uuid::parse_str(&answer.device_id).is_err() {
        return Err(wrong("the device id is not a UUID".to_owned()));
    }
    Identity::from_answer(
        &answer.device_id,
        &answer.organisation,
        key,
        &answer.certificate,
        &answer.ca_certificate,
    )
    .map_err(wrong)
}

/// A new certificate for the same key, stored. The channel carries no client certificate: the old one may be long over.
pub async fn renew(
    config: &Config,
    dial: &Dial,
    trust: &std::sync::Mutex<TrustStore>,
    identity: &Identity,
) -> Result<Identity, Failure> {
    let certificate_request = identity::certificate_request(&identity.key).map_err(internal)?;
    let mut nonce = [0u8; 16];
    getrandom::fill(&mut nonce).map_err(internal)?;
    let made_at_ms = clock::now_ms();
    let payload = identity::renewal_payload(
        &identity.device_id,
        made_at_ms,
        &nonce,
        &certificate_request,
    );
    let signature = identity.key.sign(identity::RENEWAL_TYPE, &payload);
    let request = v1::RenewCertificateRequest {
        device_id: identity.device_id.clone(),
        certificate_request: certificate_request.into(),
        made_at_ms,
        nonce: nonce.to_vec().into(),
        signature: signature.signature.into(),
    };
    let channel = tls::channel(dial).await?;
    let answer = EnrolmentServiceClient::new(channel)
        .renew_certificate(request)
        .await
        .map_err(|status| refused(&status))?
        .into_inner();
    let answer = v1::EnrolResponse {
        device_id: identity.device_id.clone(),
        certificate: answer.certificate,
        ca_certificate: answer.ca_certificate,
        not_after_ms: answer.not_after_ms,
        organisation: identity.organisation.clone(),
    };
    let renewed = {
        let trust = crate::lock(trust);
        accept_answer(&answer, &trust, identity.key.clone())?
    };
    renewed
        .store(&config.state_dir)
        .map_err(|error| unwritable(&config.state_dir, &error))?;
    fault_point!("agent.renewal.stored");
    Ok(renewed)
}

/// Takes the old identity away. Journal and outbox stay: what was done on this machine was done.
fn remove_identity(state_dir: &Path) -> Result<(), Failure> {
    let paths = Paths::of(state_dir);
    // The identity first: without it a half-removed rest counts as never enrolled.
    for path in [
        &paths.identity,
        &paths.certificate,
        &paths.authority,
        &paths.pending,
        &paths.key,
    ] {
        durable::remove(path).map_err(|error| unwritable(path, &error))?;
    }
    Ok(())
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(
        "STATE_UNWRITABLE",
        Text::new(
            format!(
                "no se puede escribir en {}: {error}. El agente se inscribe y corre como root, o como el dueño de esa carpeta",
                path.display()
            ),
            format!(
                "{} cannot be written: {error}. The agent enrols and runs as root, or as the owner of that folder",
                path.display()
            ),
        ),
    )
}

fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::failed(
        "INTERNAL",
        Text::new(
            format!("falla interna del agente: {error}"),
            format!("internal fault of the agent: {error}"),
        ),
    )
}
