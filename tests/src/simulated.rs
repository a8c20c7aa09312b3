//! Simulated agents: the real API over real mTLS with a real device key, and nothing of a machine behind it. Cheap enough
//! for thousands, and free to misbehave.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use chasqui_agent::identity::certificate_request;
use chasqui_agent::tls::{self, Address, ClientCertificate, Dial};
use chasqui_base::clock;
use chasqui_proto::v1::agent_message::Message as Said;
use chasqui_proto::v1::enrolment_service_client::EnrolmentServiceClient;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_proto::v1::{AgentMessage, EnrolRequest, EnrolResponse, Hello, ServerMessage};
use chasqui_trust::{Digest, SigningKey};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

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
}

/// The coordinator's refusal inside an error of these helpers.
pub fn refusal(error: &anyhow::Error) -> Option<String> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Status>())
        .and_then(chasqui_proto::error::reason_of)
}
