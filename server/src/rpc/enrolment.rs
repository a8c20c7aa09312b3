//! How a machine becomes a device and stays one: enrolment with a token, renewal by the device's key. Both are repeated
//! without harm: a lost answer spends no second use and makes no second device. Neither ever hands out a root of trust.

use chasqui_base::{clock, fault_point};
use chasqui_domain::ids::DeviceId;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::enrolment_service_server::EnrolmentService;
use chasqui_proto::v1::{
    EnrolRequest, EnrolResponse, RenewCertificateRequest, RenewCertificateResponse,
};
use chasqui_store::Tx;
use chasqui_store::device::{self, NewDevice, State};
use chasqui_store::enrolment_token;
use chasqui_store::event::{self, NewEvent};
use chasqui_store::request::{self, Request as Once};
use prost::Message;
use serde_json::json;
use sha2::{Digest, Sha256};
use tonic::{Code, Request, Response, Status};

use super::check;
use crate::auth::{self, Scope};
use crate::ca::{Issued, RequestedKey};
use crate::context::Context;
use crate::error::{self, Failure};

/// Enrolment and renewal; the only calls of the agents' listener without a certificate.
pub struct Service(pub Context);

/// Longest certificate request, bytes.
const MAX_REQUEST: usize = 4 * 1024;
/// Longest token, bytes.
const MAX_TOKEN: usize = 128;
/// DSSE payload type of a renewal.
const RENEWAL_TYPE: &str = "application/vnd.chasqui.renewal.v1";
/// How far the agent's clock may be off in a renewal. Wide, because a machine whose clock is wrong must be able to stay
/// and be told; a repeated request gets the answer it got before, so the window guards nothing but the memory of those.
const RENEWAL_WINDOW_MS: i64 = 2 * clock::DAY_MS;

#[tonic::async_trait]
impl EnrolmentService for Service {
    async fn enrol(
        &self,
        request: Request<EnrolRequest>,
    ) -> Result<Response<EnrolResponse>, Status> {
        let ctx = self.0.clone();
        let now_ms = clock::now_ms();
        let source = (Scope::EnrolSource, auth::peer(&request)?.source());
        ctx.auth.limits.check(&source, now_ms)?;
        let request = request.into_inner();
        if request.token.is_empty() || request.token.len() > MAX_TOKEN {
            return Err(bad_field(
                "token",
                format!("1 to {MAX_TOKEN} bytes: copy the whole token"),
            ));
        }
        check_host_name(&request.host_name)?;
        check::line("agent_version", &request.agent_version, 1, 64)?;
        let key = read_request(&request.certificate_request)?;
        let token_digest = auth::digest(&request.token);
        let fingerprint = key.fingerprint();
        // The key and the token make the request; the certificate request itself may have been written anew.
        let once = Once {
            actor: fingerprint.clone(),
            request_id: check::request_id(&request.request_id)?,
            method: "EnrolmentService/Enrol".to_owned(),
            body_digest: auth::digest(&format!("{token_digest} {fingerprint}")),
            at_ms: now_ms,
        };
        let attempt = Attempt {
            token_digest,
            fingerprint,
            key,
            host_name: request.host_name,
            agent_version: request.agent_version,
            fresh_id: DeviceId(clock::new_id()),
            now_ms,
        };
        let inner = ctx.clone();
        let answer = ctx
            .store
            .write(move |tx| {
                let answer = request::idempotent(tx, &once, |tx| attempt.run(tx, &inner))?;
                // A kept answer is for the key that asked, and only while the device is let in.
                let kept = EnrolResponse::decode(answer.response.as_slice())
                    .map_err(|cause| error::internal("a kept answer", &cause))?;
                let id: DeviceId = check::id("device_id", &kept.device_id)?;
                refuse_unless_active(tx, id)?;
                Ok::<_, Failure>(kept)
            })
            .await;
        fault_point!("server.enrol.stored");
        match answer {
            Ok(answer) => {
                tracing::info!(device = %answer.device_id, "enrolled");
                Ok(Response::new(answer))
            }
            Err(failure) => {
                let status = Status::from(failure);
                if chasqui_proto::error::reason_of(&status).as_deref() == Some("TOKEN_UNKNOWN") {
                    ctx.auth.limits.take(&ctx.store, &[source], now_ms).await?;
                }
                Err(status)
            }
        }
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let ctx = self.0.clone();
        let now_ms = clock::now_ms();
        let request = request.into_inner();
        let id: DeviceId = check::id("device_id", &request.device_id)?;
        if request.nonce.len() != 16 {
            return Err(bad_field("nonce", "must have 16 bytes"));
        }
        if request.signature.len() != 64 {
            return Err(bad_field("signature", "must have 64 bytes"));
        }
        let key = read_request(&request.certificate_request)?;
        let public = chasqui_trust::PublicKey::from_ed25519(key.public_key)
            .map_err(|cause| bad_field("certificate_request", cause.to_string()))?;
        let payload = renewal_payload(&request);
        if !public.verify(RENEWAL_TYPE, &payload, &request.signature) {
            return Err(status(
                Code::Unauthenticated,
                "RENEWAL_SIGNATURE_INVALID",
                "the renewal is not signed by the key of its certificate request",
                &[("device", &request.device_id)],
            ));
        }
        if now_ms.saturating_sub(request.made_at_ms).saturating_abs() > RENEWAL_WINDOW_MS {
            let now = now_ms.to_string();
            return Err(status(
                Code::FailedPrecondition,
                "RENEWAL_TIME_INVALID",
                "the machine's clock is more than two days off: set it right and renew again",
                &[("server_now_ms", &now)],
            ));
        }
        let once = Once {
            actor: request.device_id.clone(),
            request_id: format!("renewal-{}", hex::encode(&request.nonce)),
            method: "EnrolmentService/RenewCertificate".to_owned(),
            body_digest: hex::encode(Sha256::digest(&payload)),
            at_ms: now_ms,
        };
        let fingerprint: [u8; 32] = Sha256::digest(key.public_key).into();
        let days = ctx.config.devices.certificate_days;
        let inner = ctx.clone();
        let answer = ctx
            .store
            .write(move |tx| {
                let standing = device::standing(tx, &id.to_string())?
                    .ok_or_else(|| auth::device_unknown(id))?;
                auth::check_standing(id, &standing, &fingerprint)?;
                request::idempotent(tx, &once, |tx| {
                    let issued = issue(tx, &inner, id, &key, now_ms, days)?;
                    record(tx, id, "device.certificate_renewed", None, &issued, now_ms)?;
                    let response = RenewCertificateResponse {
                        certificate: issued.der.into(),
                        ca_certificate: inner.ca.certificate().to_vec().into(),
                        not_after_ms: issued.not_after_ms,
                    };
                    Ok::<_, Failure>(response.encode_to_vec())
                })
            })
            .await?;
        fault_point!("server.renewal.stored");
        tracing::info!(device = %id, replayed = answer.replayed, "certificate renewed");
        Ok(Response::new(super::wire::answer(&answer.response)?))
    }
}

/// One enrolment, ready to be decided in a transaction.
struct Attempt {
    token_digest: String,
    fingerprint: String,
    key: RequestedKey,
    host_name: String,
    agent_version: String,
    fresh_id: DeviceId,
    now_ms: i64,
}

impl Attempt {
    fn run(&self, tx: &mut Tx, ctx: &Context) -> Result<Vec<u8>, Failure> {
        let token_id = self.spend(tx)?;
        let fresh_id = self.fresh_id.to_string();
        let new = NewDevice {
            id: &fresh_id,
            fingerprint: &self.fingerprint,
            public_key: &self.key.public_key,
            host_name: &self.host_name,
            token_id: &token_id,
            agent_version: &self.agent_version,
        };
        let known = device::by_fingerprint(tx, &self.fingerprint)?;
        let (id, kind) = match &known {
            Some(known) => {
                let id = check::id("device_id", &known.id)?;
                refuse_unless_active(tx, id)?;
                device::enrolled_again(tx, known, &new, self.now_ms)?;
                (id, "device.enrolled_again")
            }
            None => {
                device::insert(tx, &new, self.now_ms)?;
                (self.fresh_id, "device.enrolled")
            }
        };
        super::inventory::search_row::refresh(tx, &id.to_string())?;
        let issued = issue(
            tx,
            ctx,
            id,
            &self.key,
            self.now_ms,
            ctx.config.devices.certificate_days,
        )?;
        record(tx, id, kind, Some(&token_id), &issued, self.now_ms)?;
        let response = EnrolResponse {
            device_id: id.to_string(),
            certificate: issued.der.into(),
            ca_certificate: ctx.ca.certificate().to_vec().into(),
            not_after_ms: issued.not_after_ms,
            organisation: ctx.config.organisation.clone(),
        };
        Ok(response.encode_to_vec())
    }

    /// Spends one use of the token, or says which of its ends was reached.
    fn spend(&self, tx: &mut Tx) -> Result<String, Failure> {
        let refuse = |reason: &str, message: &str| {
            Failure::from(status(
                Code::PermissionDenied,
                reason,
                message.to_owned(),
                &[],
            ))
        };
        let Some(token) = enrolment_token::by_digest(tx, &self.token_digest)? else {
            return Err(refuse(
                "TOKEN_UNKNOWN",
                "no such enrolment token: copy it whole, or ask for a new one",
            ));
        };
        if token.revoked_at_ms.is_some() {
            return Err(refuse(
                "TOKEN_REVOKED",
                "this enrolment token was revoked: ask for a new one",
            ));
        }
        if token.expires_at_ms <= self.now_ms {
            return Err(refuse(
                "TOKEN_EXPIRED",
                "this enrolment token has ended: ask for a new one",
            ));
        }
        if !enrolment_token::spend(tx, &token.id, self.now_ms)? {
            return Err(refuse(
                "TOKEN_USED_UP",
                "this enrolment token was used as often as it may be: ask for a new one",
            ));
        }
        Ok(token.id)
    }
}

fn issue(
    tx: &mut Tx,
    ctx: &Context,
    id: DeviceId,
    key: &RequestedKey,
    now_ms: i64,
    days: u32,
) -> Result<Issued, Failure> {
    let issued = ctx
        .ca
        .issue(id, key, now_ms, days)
        .map_err(|cause| error::internal("device authority", &cause))?;
    device::insert_certificate(
        tx,
        &id.to_string(),
        &issued.serial,
        &key.fingerprint(),
        (issued.not_before_ms, issued.not_after_ms),
    )?;
    Ok(issued)
}

fn record(
    tx: &mut Tx,
    id: DeviceId,
    kind: &str,
    token_id: Option<&str>,
    issued: &Issued,
    now_ms: i64,
) -> Result<(), Failure> {
    let id = id.to_string();
    event::append(
        tx,
        NewEvent {
            subject_kind: "device",
            subject_id: &id,
            part: None,
            kind,
            actor: &id,
            at_ms: now_ms,
            state: (kind == "device.enrolled").then_some(State::Active.as_str()),
            data: json!({
                "token": token_id,
                "certificate": issued.serial,
                "not_after_ms": issued.not_after_ms,
            }),
            personal: None,
        },
    )?;
    Ok(())
}

fn refuse_unless_active(tx: &mut Tx, id: DeviceId) -> Result<(), Failure> {
    let standing =
        device::standing(tx, &id.to_string())?.ok_or_else(|| auth::device_unknown(id))?;
    match standing.state {
        State::Active => Ok(()),
        State::Quarantined => Err(auth::quarantined(id).into()),
        State::Revoked | State::Retired => Err(auth::revoked(id).into()),
    }
}

fn read_request(der: &[u8]) -> Result<RequestedKey, Status> {
    if der.len() > MAX_REQUEST {
        return Err(bad_field(
            "certificate_request",
            format!("has {} bytes, at most {MAX_REQUEST} are allowed", der.len()),
        ));
    }
    RequestedKey::read(der).map_err(|cause| bad_field("certificate_request", cause.to_string()))
}

/// A host name: 1 to 253 characters without white space and control characters. Machines name themselves in many ways;
/// what they say is shown, never resolved.
pub(crate) fn check_host_name(name: &str) -> Result<(), Status> {
    check::line("host_name", name, 1, 253)?;
    if name.chars().any(char::is_whitespace) {
        return Err(bad_field("host_name", "holds white space"));
    }
    Ok(())
}

/// What the device's key signs in a renewal; see `enrolment.proto`.
fn renewal_payload(request: &RenewCertificateRequest) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend_from_slice(request.device_id.as_bytes());
    payload.push(0);
    payload.extend_from_slice(request.made_at_ms.to_string().as_bytes());
    payload.push(0);
    payload.extend_from_slice(&request.nonce);
    payload.extend_from_slice(&Sha256::digest(&request.certificate_request));
    payload
}
