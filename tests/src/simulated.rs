//! Simulated agents: the real API over real mTLS with a real device key, and nothing of a machine behind it. Cheap enough
//! for thousands, and free to misbehave.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use chasqui_agent::identity::{RENEWAL_TYPE, certificate_request, renewal_payload};
use chasqui_agent::tls::{self, Address, ClientCertificate, Dial};
use chasqui_base::clock;
use chasqui_proto::v1::agent_message::Message as Said;
use chasqui_proto::v1::enrolment_service_client::EnrolmentServiceClient;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_proto::v1::{
    AgentMessage, EnrolRequest, EnrolResponse, Hello, ProbeAnswer, RenewCertificateRequest,
    RenewCertificateResponse, ServerMessage, SubmitResultRequest,
};
use chasqui_trust::result::{CheckResult, Outcome, Output, RefusalNote};
use chasqui_trust::{ActionResult, Digest, SigningKey, Text, sign};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::cast::ORG;
use crate::fleet::TestFleet;

/// A device that is only a key and a certificate.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Its id.
    pub device_id: String,
    /// Its host name.
    pub host_name: String,
    /// Its key.
    pub key: Arc<SigningKey>,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The authority, DER.
    pub authority: Vec<u8>,
    /// Where it dials.
    pub agents_url: String,
}

/// Connections over which many machines enrol.
const ENROL_AT_ONCE: usize = 16;
/// The coordinator ends connections without a certificate after a while.
const ENROL_PER_CONNECTION: usize = 100;

/// Random bytes for a key.
///
/// # Errors
/// When the system has none.
pub fn seed() -> Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(seed)
}

/// A channel to the agents' listener, with or without a client certificate.
///
/// # Errors
/// What TLS or the network says.
pub async fn channel(
    agents_url: &str,
    authority: &[u8],
    certificate: Option<ClientCertificate>,
) -> Result<Channel> {
    let tls = tls::client_config(vec![Digest::of(authority)], None, certificate, 0)?;
    let dial = Dial {
        address: Address::parse(agents_url).context("no address")?,
        proxy: None,
        tls,
    };
    tls::channel(&dial)
        .await
        .map_err(|failure| anyhow!("{}: {}", failure.code, failure.text.en))
}

/// The enrolment call by itself, so that tests see its refusals.
///
/// # Errors
/// What TLS or the network says; the coordinator's refusal is the inner status.
pub async fn enrol_call(
    agents_url: &str,
    authority: &[u8],
    key: &SigningKey,
    token: &str,
    request_id: &str,
    host_name: &str,
) -> Result<Result<EnrolResponse, Status>> {
    let channel = channel(agents_url, authority, None).await?;
    let request = EnrolRequest {
        request_id: request_id.to_owned(),
        token: token.to_owned(),
        certificate_request: certificate_request(key)
            .map_err(|error| anyhow!(error))?
            .into(),
        host_name: host_name.to_owned(),
        agent_version: "0.1.0".to_owned(),
    };
    Ok(EnrolmentServiceClient::new(channel)
        .enrol(request)
        .await
        .map(tonic::Response::into_inner))
}

/// An open stream of a simulated agent.
#[derive(Debug)]
pub struct Stream {
    /// Messages to the coordinator.
    pub say: mpsc::Sender<AgentMessage>,
    /// Messages from it, after the Welcome.
    pub hear: Streaming<ServerMessage>,
    /// For the calls beside the stream.
    pub link: LinkServiceClient<Channel>,
    /// The coordinator's epoch.
    pub store_epoch: u64,
}

impl Simulated {
    /// Makes a key and enrols.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn enrol(fleet: &TestFleet, token: &str, host_name: &str) -> Result<Self> {
        let key = SigningKey::generate(seed()?);
        let authority = fleet.server.authority()?;
        let answer = enrol_call(
            &fleet.server.agents_url,
            &authority,
            &key,
            token,
            &clock::new_id().to_string(),
            host_name,
        )
        .await??;
        Ok(Self {
            device_id: answer.device_id,
            host_name: host_name.to_owned(),
            key: Arc::new(key),
            certificate: answer.certificate.to_vec(),
            authority: answer.ca_certificate.to_vec(),
            agents_url: fleet.server.agents_url.clone(),
        })
    }

    /// Makes keys and enrols `count` machines named `name-1` and so on, several at a time.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn enrol_many(
        fleet: &TestFleet,
        token: &str,
        count: usize,
        name: &str,
    ) -> Result<Vec<Self>> {
        let authority = fleet.server.authority()?;
        let mut tasks = tokio::task::JoinSet::new();
        for lane in 0..ENROL_AT_ONCE {
            let (url, token, name) = (
                fleet.server.agents_url.clone(),
                token.to_owned(),
                name.to_owned(),
            );
            let authority = authority.clone();
            tasks.spawn(async move {
                let mut link = channel(&url, &authority, None).await?;
                let mut enrolled = Vec::new();
                for number in (lane..count).step_by(ENROL_AT_ONCE) {
                    if enrolled.len() % ENROL_PER_CONNECTION == ENROL_PER_CONNECTION - 1 {
                        link = channel(&url, &authority, None).await?;
                    }
                    let key = SigningKey::generate(seed()?);
                    let host_name = format!("{name}-{number}");
                    let answer = EnrolmentServiceClient::new(link.clone())
                        .enrol(EnrolRequest {
                            request_id: clock::new_id().to_string(),
                            token: token.clone(),
                            certificate_request: certificate_request(&key)
                                .map_err(|error| anyhow!(error))?
                                .into(),
                            host_name: host_name.clone(),
                            agent_version: "0.1.0".to_owned(),
                        })
                        .await?
                        .into_inner();
                    enrolled.push(Self {
                        device_id: answer.device_id,
                        host_name,
                        key: Arc::new(key),
                        certificate: answer.certificate.to_vec(),
                        authority: answer.ca_certificate.to_vec(),
                        agents_url: url.clone(),
                    });
                }
                Ok::<_, anyhow::Error>(enrolled)
            });
        }
        let mut all = Vec::with_capacity(count);
        while let Some(lane) = tasks.join_next().await {
            all.extend(lane??);
        }
        Ok(all)
    }

    /// What it shows in TLS.
    ///
    /// # Errors
    /// When the key cannot be encoded.
    pub fn client_certificate(&self) -> Result<ClientCertificate> {
        Ok(ClientCertificate {
            chain: vec![self.certificate.clone(), self.authority.clone()],
            key: self.key.to_pkcs8_der()?,
        })
    }

    /// Its link, without a stream.
    ///
    /// # Errors
    /// What TLS or the network says.
    pub async fn link(&self) -> Result<LinkServiceClient<Channel>> {
        let certificate = self.client_certificate()?;
        let channel = channel(&self.agents_url, &self.authority, Some(certificate)).await?;
        Ok(LinkServiceClient::new(channel)
            .max_decoding_message_size(16 * 1024 * 1024)
            .max_encoding_message_size(64 * 1024 * 1024))
    }

    /// A renewal made at this time with this nonce, signed by this device.
    ///
    /// # Errors
    /// When the certificate request cannot be made.
    pub fn renewal(&self, made_at_ms: i64, nonce: [u8; 16]) -> Result<RenewCertificateRequest> {
        let request = certificate_request(&self.key).map_err(|error| anyhow!(error))?;
        let payload = renewal_payload(&self.device_id, made_at_ms, &nonce, &request);
        Ok(RenewCertificateRequest {
            device_id: self.device_id.clone(),
            certificate_request: request.into(),
            made_at_ms,
            nonce: nonce.to_vec().into(),
            signature: self.key.sign(RENEWAL_TYPE, &payload).signature.into(),
        })
    }

    /// The renewal call, made without a client certificate as the agent does.
    ///
    /// # Errors
    /// What TLS or the network says; the coordinator's refusal is the inner status.
    pub async fn renew(
        &self,
        request: RenewCertificateRequest,
    ) -> Result<Result<RenewCertificateResponse, Status>> {
        let channel = channel(&self.agents_url, &self.authority, None).await?;
        Ok(EnrolmentServiceClient::new(channel)
            .renew_certificate(request)
            .await
            .map(tonic::Response::into_inner))
    }

    /// A result of this device for an order, as an honest agent would write it.
    pub fn result(&self, order_digest: Digest, outcome: Outcome) -> ActionResult {
        let now_ms = clock::now_ms();
        let began = !matches!(outcome, Outcome::Refused | Outcome::Cancelled);
        ActionResult {
            critical: Vec::new(),
            org: ORG.to_owned(),
            order_digest,
            device_fingerprint: self.key.public_key().fingerprint(),
            attempt: 1,
            outcome,
            refusal: (outcome == Outcome::Refused).then(|| RefusalNote {
                rule: "POLICY_DENIED".to_owned(),
                detail: Text::new("no se permite aquí", "not allowed here"),
            }),
            started_at_ms: began.then_some(now_ms - 1),
            finished_at_ms: now_ms,
            steps: Vec::new(),
            output: Output::of(b"", false),
            check: began.then(|| CheckResult {
                holds: outcome == Outcome::Succeeded,
                facts: Vec::new(),
                explanation: Text::new("comprobado", "checked"),
            }),
            consent_digest: None,
            undo: None,
            started_boot_id: began.then(|| "boot-1".to_owned()),
            boot_id: "boot-1".to_owned(),
            agent_version: "0.1.0".to_owned(),
            clock_offset_ms: None,
        }
    }

    /// The call that stores a result, signed by `key`.
    ///
    /// # Errors
    /// When the result breaks a rule of its form.
    pub fn submission(
        order_id: &str,
        result: &ActionResult,
        key: &SigningKey,
    ) -> Result<SubmitResultRequest> {
        Ok(SubmitResultRequest {
            request_id: clock::new_id().to_string(),
            order_id: order_id.to_owned(),
            envelope: sign(result, &[key])?.to_json().into(),
            store_epoch: 0,
            consent: Vec::new().into(),
        })
    }

    /// A Hello of this device after this start of its machine.
    pub fn hello(&self, boot_id: &str) -> Hello {
        Hello {
            agent_version: "0.1.0".to_owned(),
            capabilities: Vec::new(),
            boot_id: boot_id.to_owned(),
            host_name: self.host_name.clone(),
            now_ms: clock::now_ms(),
            root_version: 1,
            people_version: 1,
            catalogue_version: 1,
            store_epoch: 0,
            process_nonce: clock::new_id().as_bytes().to_vec().into(),
        }
    }

    /// Opens the stream and waits for the Welcome.
    ///
    /// # Errors
    /// The coordinator's refusal as a [`Status`], or what TLS or the network says.
    pub async fn connect(&self, boot_id: &str) -> Result<Stream> {
        self.connect_with(self.hello(boot_id)).await
    }

    /// The same with a Hello of the test's own.
    ///
    /// # Errors
    /// As [`Simulated::connect`].
    pub async fn connect_with(&self, hello: Hello) -> Result<Stream> {
        let mut link = self.link().await?;
        let (say, queue) = mpsc::channel(16);
        say.send(AgentMessage {
            message: Some(Said::Hello(hello)),
        })
        .await?;
        let mut hear = link.connect(ReceiverStream::new(queue)).await?.into_inner();
        let first = hear.message().await?.context("the stream ended at once")?;
        let Some(Heard::Welcome(welcome)) = first.message else {
            return Err(anyhow!("expected a welcome, heard {first:?}"));
        };
        Ok(Stream {
            say,
            hear,
            link,
            store_epoch: welcome.store_epoch,
        })
    }
}

impl Stream {
    /// The next message, whatever it is; none when the stream ended in order.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn next(&mut self) -> Result<Option<Heard>, Status> {
        Ok(self
            .hear
            .message()
            .await?
            .and_then(|message| message.message))
    }

    /// The same, answering questions whether this machine lives on the way.
    ///
    /// # Errors
    /// The coordinator's refusal.
    pub async fn next_alive(&mut self) -> Result<Option<Heard>, Status> {
        loop {
            match self.next().await? {
                Some(Heard::Probe(probe)) => {
                    let answer = Said::ProbeAnswer(ProbeAnswer { nonce: probe.nonce });
                    self.tell(answer).await;
                }
                other => return Ok(other),
            }
        }
    }

    /// Says something; nothing happens when the stream has ended.
    pub async fn tell(&self, message: Said) {
        let message = AgentMessage {
            message: Some(message),
        };
        // A closed stream shows itself to whoever listens.
        let _ = self.say.send(message).await;
    }
}

/// The coordinator's refusal inside an error of these helpers.
pub fn refusal(error: &anyhow::Error) -> Option<String> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Status>())
        .and_then(chasqui_proto::error::reason_of)
}
