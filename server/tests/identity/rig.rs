//! A coordinator in this process, people who log in, and machines that enrol and connect.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chasqui_base::clock;
use chasqui_proto::error::reason_of;
use chasqui_proto::v1::device_service_client::DeviceServiceClient;
use chasqui_proto::v1::enrolment_service_client::EnrolmentServiceClient;
use chasqui_proto::v1::enrolment_token_service_client::EnrolmentTokenServiceClient;
use chasqui_proto::v1::link_service_client::LinkServiceClient;
use chasqui_proto::v1::person_service_client::PersonServiceClient;
use chasqui_proto::v1::session_service_client::SessionServiceClient;
use chasqui_proto::v1::{
    AgentMessage, CreateEnrolmentTokenRequest, CreatePersonRequest, EnrolRequest, EnrolResponse,
    Hello, LoginRequest, LoginResponse, Role, ServerMessage, agent_message, server_message,
};
use chasqui_server::config::Config;
use chasqui_server::context::Context;
use chasqui_server::{init, serve};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status, Streaming};

pub const PASSWORD: &str = "a password for tests";

tokio::task_local! {
    /// The server on which this test's coordinators make their databases; SQLite without one.
    static POSTGRES: String;
}

/// Runs a test whose coordinators store on PostgreSQL; skips it when told so. Without a word about it the test fails: half
/// of the suite would be silently missing.
pub async fn on_postgres(test: impl Future<Output = ()>) {
    match std::env::var("CHASQUI_TEST_POSTGRES") {
        Ok(server) if server == "skip" => eprintln!("skipped: CHASQUI_TEST_POSTGRES is skip"),
        Ok(server) if !server.is_empty() => POSTGRES.scope(server, test).await,
        _ => panic!(
            "CHASQUI_TEST_POSTGRES is not set: start a server with `tests/postgres.sh start DIR` and set it to the \
             address printed, or set it to skip"
        ),
    }
}

/// A new database of the test's server.
fn new_database() -> Option<String> {
    let server = POSTGRES.try_with(Clone::clone).ok()?;
    let name = format!("identity_{}", clock::new_id().simple());
    let base = server
        .rsplit_once('/')
        .map_or(server.as_str(), |(base, _)| base);
    let url = format!("{base}/{name}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = postgres::Client::connect(&server, postgres::NoTls).unwrap();
            client
                .batch_execute(&format!("CREATE DATABASE {name}"))
                .unwrap();
        });
    });
    Some(url)
}

/// A coordinator that serves.
pub struct Coordinator {
    pub ctx: Context,
    pub addresses: serve::Addresses,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
    pub folder: Arc<tempfile::TempDir>,
}

/// A channel that sends a session's token.
pub type AsPerson = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
pub struct Bearer(pub String);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if !self.0.is_empty() {
            let value: MetadataValue<_> = format!("Bearer {}", self.0).parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

impl Coordinator {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A new coordinator with a changed configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let data = folder.path().join("data");
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let plan = init::Plan {
            data,
            config: None,
            organisation: "example".to_owned(),
            store_url: new_database(),
            agents_listen: loopback,
            agents_names: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
            people_listen: loopback,
            people_tls: None,
            admin: "admin".to_owned(),
            password: PASSWORD.to_owned().into(),
        };
        let made = tokio::task::spawn_blocking(move || init::init(plan))
            .await
            .unwrap()
            .unwrap();
        let mut config = Config::load(&made.config).unwrap();
        change(&mut config);
        Self::serve(config, folder).await
    }

    /// Stops and starts again over the same data folder.
    pub async fn restart(mut self) -> Self {
        let config = self.ctx.config.clone();
        let folder = Arc::clone(&self.folder);
        self.stop().await;
        drop(self);
        Self::serve(config, folder).await
    }

    async fn serve(config: Config, folder: Arc<tempfile::TempDir>) -> Self {
        let bound = serve::bind(serve::open(config).unwrap()).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ctx, addresses) = (bound.context().clone(), bound.addresses.clone());
        let served = tokio::spawn(bound.serve(async {
            let _ = stopped.await;
        }));
        Self {
            ctx,
            addresses,
            stop: Some(stop),
            served: Some(served),
            folder,
        }
    }

    pub async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.served.take().unwrap().await.unwrap().unwrap();
    }

    /// A channel of the people's listener.
    pub async fn people(&self) -> Channel {
        Endpoint::from_shared(self.addresses.people_url.clone())
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    pub async fn login(&self, login: &str, password: &str) -> Result<LoginResponse, Status> {
        let request = LoginRequest {
            login: login.to_owned(),
            password: password.to_owned(),
        };
        Ok(SessionServiceClient::new(self.people().await)
            .login(request)
            .await?
            .into_inner())
    }

    /// A channel with the session of the first administrator.
    pub async fn admin(&self) -> AsPerson {
        let token = self.login("admin", PASSWORD).await.unwrap().token;
        InterceptedService::new(self.people().await, Bearer(token))
    }

    /// A channel with a session's token.
    pub async fn with_token(&self, token: &str) -> AsPerson {
        InterceptedService::new(self.people().await, Bearer(token.to_owned()))
    }

    /// Makes an account with these roles and logs in.
    pub async fn person(&self, login: &str, roles: &[Role]) -> LoginResponse {
        PersonServiceClient::new(self.admin().await)
            .create_person(new_person(login, roles))
            .await
            .unwrap();
        self.login(login, PASSWORD).await.unwrap()
    }

    /// An enrolment token for so many machines.
    pub async fn token(&self, max_uses: u32) -> String {
        EnrolmentTokenServiceClient::new(self.admin().await)
            .create_enrolment_token(CreateEnrolmentTokenRequest {
                request_id: fresh(),
                note: "tests".to_owned(),
                valid_for_ms: clock::HOUR_MS,
                max_uses,
            })
            .await
            .unwrap()
            .into_inner()
            .secret
    }

    pub async fn devices(&self) -> DeviceServiceClient<AsPerson> {
        DeviceServiceClient::new(self.admin().await)
    }

    /// How many devices the store has.
    pub async fn device_count(&self) -> usize {
        self.ctx
            .store
            .read(|tx| chasqui_store::device::list(tx, None, "", None, 1_000))
            .await
            .unwrap()
            .len()
    }

    /// A channel of the agents' listener, with or without a certificate.
    pub async fn agents(
        &self,
        identity: Option<(&Machine, &[u8])>,
    ) -> Result<Channel, tonic::transport::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ctx.ca.certificate().clone()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((machine, certificate)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from(certificate.to_vec())],
                    PrivateKeyDer::try_from(machine.key.serialize_der()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let address = self
            .addresses
            .agents_url
            .trim_start_matches("https://")
            .to_owned();
        Endpoint::from_static("http://agents")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let (connector, address) = (connector.clone(), address.clone());
                async move {
                    let tcp = tokio::net::TcpStream::connect(&address).await?;
                    let name = ServerName::try_from("localhost").unwrap();
                    Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, tcp).await?))
                }
            }))
            .await
    }

    /// Enrols a machine with a fresh token.
    pub async fn enrol(&self, machine: &Machine) -> EnrolResponse {
        let token = self.token(1).await;
        self.try_enrol(&machine.request(&token)).await.unwrap()
    }

    pub async fn try_enrol(&self, request: &EnrolRequest) -> Result<EnrolResponse, Status> {
        let channel = self.agents(None).await.unwrap();
        Ok(EnrolmentServiceClient::new(channel)
            .enrol(request.clone())
            .await?
            .into_inner())
    }

    /// An enrolled machine with an open channel.
    pub async fn device(&self) -> Connected<'_> {
        let machine = Machine::new("pc-1");
        let answer = self.enrol(&machine).await;
        let channel = self
            .agents(Some((&machine, &answer.certificate)))
            .await
            .unwrap();
        Connected {
            coordinator: self,
            id: answer.device_id.parse().unwrap(),
            certificate: answer.certificate.to_vec(),
            machine,
            channel,
        }
    }
}

pub fn fresh() -> String {
    clock::new_id().to_string()
}

pub fn new_person(login: &str, roles: &[Role]) -> CreatePersonRequest {
    CreatePersonRequest {
        request_id: fresh(),
        login: login.to_owned(),
        name: format!("Person {login}"),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        password: PASSWORD.to_owned(),
    }
}

pub fn reason(status: &Status) -> String {
    reason_of(status).unwrap_or_else(|| panic!("a status without a reason: {status:?}"))
}

/// A machine with its key.
pub struct Machine {
    pub key: KeyPair,
    pub host_name: String,
}

impl Machine {
    pub fn new(host_name: &str) -> Self {
        Self {
            key: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
            host_name: host_name.to_owned(),
        }
    }

    pub fn csr(&self) -> Vec<u8> {
        CertificateParams::default()
            .serialize_request(&self.key)
            .unwrap()
            .der()
            .to_vec()
    }

    pub fn request(&self, token: &str) -> EnrolRequest {
        EnrolRequest {
            request_id: fresh(),
            token: token.to_owned(),
            certificate_request: self.csr().into(),
            host_name: self.host_name.clone(),
            agent_version: "0.1.0".to_owned(),
        }
    }

    pub fn signer(&self) -> chasqui_trust::SigningKey {
        chasqui_trust::SigningKey::from_pkcs8_der(&self.key.serialize_der()).unwrap()
    }
}

/// An enrolled machine.
pub struct Connected<'a> {
    pub coordinator: &'a Coordinator,
    pub id: chasqui_domain::ids::DeviceId,
    pub certificate: Vec<u8>,
    pub machine: Machine,
    pub channel: Channel,
}

impl Connected<'_> {
    /// Opens a stream on a connection of its own and says Hello.
    pub async fn open(&self, boot_id: &str) -> Result<Stream, Status> {
        let channel = self
            .coordinator
            .agents(Some((&self.machine, &self.certificate)))
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut stream = Stream::begin(channel).await?;
        stream
            .say(agent_message::Message::Hello(hello(
                boot_id,
                &self.machine.host_name,
            )))
            .await;
        Ok(stream)
    }

    /// [`open`](Self::open) and the Welcome taken.
    pub async fn welcomed(&self, boot_id: &str) -> Stream {
        let mut stream = self.open(boot_id).await.unwrap();
        match stream.next().await.unwrap() {
            Some(server_message::Message::Welcome(_)) => stream,
            other => panic!("no welcome: {other:?}"),
        }
    }
}

pub fn hello(boot_id: &str, host_name: &str) -> Hello {
    Hello {
        agent_version: "0.1.0".to_owned(),
        boot_id: boot_id.to_owned(),
        host_name: host_name.to_owned(),
        now_ms: clock::now_ms(),
        ..Hello::default()
    }
}

/// One open stream.
pub struct Stream {
    pub out: mpsc::Sender<AgentMessage>,
    pub inbound: Streaming<ServerMessage>,
}

impl Stream {
    pub async fn begin(channel: Channel) -> Result<Self, Status> {
        let (out, messages) = mpsc::channel(8);
        let inbound = LinkServiceClient::new(channel)
            .connect(ReceiverStream::new(messages))
            .await?
            .into_inner();
        Ok(Self { out, inbound })
    }

    pub async fn say(&mut self, message: agent_message::Message) {
        // The other end may be gone; what it answered is read next.
        let _ = self
            .out
            .send(AgentMessage {
                message: Some(message),
            })
            .await;
    }

    /// The next message; nothing at a good end, the status at a bad one.
    pub async fn next(&mut self) -> Result<Option<server_message::Message>, Status> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.inbound.message()).await;
        Ok(next
            .expect("nothing came for half a minute")?
            .and_then(|message| message.message))
    }
}
