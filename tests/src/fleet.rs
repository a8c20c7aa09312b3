//! A whole organisation for one test: coordinator, accounts, published trust, and clients for each role.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chasqui_base::clock;
use chasqui_proto::v1::device_service_client::DeviceServiceClient;
use chasqui_proto::v1::enrolment_token_service_client::EnrolmentTokenServiceClient;
use chasqui_proto::v1::inventory_service_client::InventoryServiceClient;
use chasqui_proto::v1::inventory_source_service_client::InventorySourceServiceClient;
use chasqui_proto::v1::log_service_client::LogServiceClient;
use chasqui_proto::v1::order_service_client::OrderServiceClient;
use chasqui_proto::v1::person_service_client::PersonServiceClient;
use chasqui_proto::v1::retirement_service_client::RetirementServiceClient;
use chasqui_proto::v1::session_service_client::SessionServiceClient;
use chasqui_proto::v1::ticket_service_client::TicketServiceClient;
use chasqui_proto::v1::trust_service_client::TrustServiceClient;
use chasqui_proto::v1::{
    CreateEnrolmentTokenRequest, CreatePersonRequest, CreateTicketRequest, Device,
    GetDeviceRequest, LoginRequest, PublishDefinitionRequest, PublishTrustDocumentRequest, Role,
    Ticket, TrustDocumentKind,
};
use chasqui_trust::definition::Definition;
use chasqui_trust::{Digest, Document, Leaf};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::cast::{Cast, ORG};
use crate::programs::{self, Running, wait_for};

/// Every test password: long enough for the rule.
pub const PASSWORD: &str = "clave-de-prueba-123";

/// Adds a session token to each call.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(
        &mut self,
        mut request: tonic::Request<()>,
    ) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A channel that speaks as one person.
pub type PersonChannel = InterceptedService<Channel, Bearer>;

/// One person's clients.
#[derive(Clone, Debug)]
pub struct Client {
    bare: Channel,
    channel: PersonChannel,
    /// The account's id; empty for nobody.
    pub id: String,
}

macro_rules! clients {
    ($($name:ident: $client:ident,)*) => {
        impl Client {
            $(
                /// Client of this service.
                pub fn $name(&self) -> $client<PersonChannel> {
                    $client::new(self.channel.clone()).max_decoding_message_size(16 * 1024 * 1024)
                }
            )*
        }
    };
}
clients! {
    sessions: SessionServiceClient,
    persons: PersonServiceClient,
    tokens: EnrolmentTokenServiceClient,
    devices: DeviceServiceClient,
    inventory: InventoryServiceClient,
    sources: InventorySourceServiceClient,
    tickets: TicketServiceClient,
    orders: OrderServiceClient,
    trust: TrustServiceClient,
    retirement: RetirementServiceClient,
    log: LogServiceClient,
}

impl Client {
    /// Someone without a session.
    ///
    /// # Errors
    /// When the address is none.
    pub async fn anonymous(people_url: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(people_url.to_owned())?.connect_lazy();
        Ok(Self::with(channel, None, String::new()))
    }

    /// Logs in.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn login(people_url: &str, login: &str, password: &str) -> Result<Self> {
        let nobody = Self::anonymous(people_url).await?;
        let answer = nobody
            .sessions()
            .login(LoginRequest {
                login: login.to_owned(),
                password: password.to_owned(),
            })
            .await?
            .into_inner();
        let channel = Endpoint::from_shared(people_url.to_owned())?.connect_lazy();
        let id = answer.person.context("no person in the answer")?.id;
        Ok(Self::with(channel, Some(&answer.token), id))
    }

    fn with(channel: Channel, token: Option<&str>, id: String) -> Self {
        let bearer = Bearer(token.and_then(|token| format!("Bearer {token}").parse().ok()));
        Self {
            bare: channel.clone(),
            channel: InterceptedService::new(channel, bearer),
            id,
        }
    }

    /// The channel itself, for calls that no client makes.
    pub fn channel(&self) -> PersonChannel {
        self.channel.clone()
    }

    /// The same address with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self::with(self.bare.clone(), Some(token), String::new())
    }
}

/// How a coordinator is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Database; its own SQLite file when empty.
    pub store_url: String,
    /// Definitions of the catalogue; the shipped ones when empty.
    pub definitions: Vec<Definition>,
    /// More environment for the server, `CHASQUI_SERVER_*` say.
    pub server_env: Vec<(String, String)>,
}

/// A real coordinator. Ends with the test.
#[derive(Debug)]
pub struct Server {
    /// Its data folder.
    pub data: PathBuf,
    /// `https://127.0.0.1:port` of the agents' listener.
    pub agents_url: String,
    /// `http://127.0.0.1:port` of the people's listener.
    pub people_url: String,
    /// A program that starts it from now on, with its first arguments; none when empty.
    pub within: Vec<String>,
    env: Vec<(String, String)>,
    running: Option<Running>,
}

impl Server {
    /// `chasqui-server init`, then `run`.
    ///
    /// # Errors
    /// What the program says.
    pub fn start(folder: &Path, options: &Options) -> Result<Self> {
        let data = folder.join("server");
        let password = folder.join("admin-password");
        fs::write(&password, PASSWORD)?;
        let mut init = programs::command("chasqui-server")?;
        init.arg("init")
            .arg("--data")
            .arg(&data)
            .args(["--org", ORG, "--admin", "admin"])
            .args([
                "--agents-listen",
                "127.0.0.1:0",
                "--people-listen",
                "127.0.0.1:0",
            ])
            .args(["--agents-name", "127.0.0.1"])
            .arg("--admin-password-file")
            .arg(&password)
            .envs(options.server_env.iter().cloned());
        if !options.store_url.is_empty() {
            init.args(["--store-url", &options.store_url]);
        }
        let done = init.output()?;
        if !done.status.success() {
            bail!(
                "chasqui-server init ended with {}: {}{}",
                done.status,
                String::from_utf8_lossy(&done.stdout),
                String::from_utf8_lossy(&done.stderr)
            );
        }
        let mut server = Self {
            data,
            agents_url: String::new(),
            people_url: String::new(),
            within: Vec::new(),
            env: options.server_env.clone(),
            running: None,
        };
        server.run(&[])?;
        // Restarts keep the ports, as a real coordinator does, so that agents find it again.
        let keep = |url: &str| url.rsplit_once("//").map(|(_, address)| address.to_owned());
        for (name, url) in [
            ("CHASQUI_SERVER_AGENTS_LISTEN", server.agents_url.clone()),
            ("CHASQUI_SERVER_PEOPLE_LISTEN", server.people_url.clone()),
        ] {
            let address = keep(&url).with_context(|| format!("{url} is no address"))?;
            server.env.push((name.to_owned(), address));
        }
        Ok(server)
    }

    /// Starts the initialised coordinator, with more environment (`CHASQUI_FAULT` say), and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready after 30 seconds.
    pub fn run(&mut self, env: &[(&str, &str)]) -> Result<()> {
        let addresses = self.data.join("addresses.json");
        let _ = fs::remove_file(&addresses);
        let mut command = programs::command("chasqui-server")?;
        command
            .args(["run", "--config"])
            .arg(self.data.join("server.toml"))
            .envs(self.env.iter().cloned())
            .envs(env.iter().copied());
        let command = programs::within(command, &self.within);
        let mut running = Running::start(command, &self.data.join("server.log"))?;
        let found = wait_for(
            "the coordinator's addresses",
            Duration::from_secs(30),
            || {
                if let Some(status) = running.ended()? {
                    bail!("chasqui-server ended with {status}:\n{}", running.log());
                }
                Ok(programs::read_if_there(&addresses)?)
            },
        )?;
        let found: serde_json::Value = serde_json::from_slice(&found)?;
        let url = |name: &str| -> Result<String> {
            Ok(found
                .get(name)
                .and_then(serde_json::Value::as_str)
                .with_context(|| format!("addresses.json has no {name}"))?
                .to_owned())
        };
        self.agents_url = url("agents_url")?;
        self.people_url = url("people_url")?;
        self.running = Some(running);
        Ok(())
    }

    /// More environment from the next start on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// A command of `chasqui-server` with this coordinator's configuration.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Result<std::process::Output> {
        let mut command = programs::command("chasqui-server")?;
        command
            .args(arguments)
            .arg("--config")
            .arg(self.data.join("server.toml"))
            .envs(self.env.iter().cloned());
        Ok(command.output()?)
    }

    /// The process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn process(&mut self) -> Result<&mut Running> {
        self.running
            .as_mut()
            .context("the coordinator does not run")
    }

    /// The device authority's certificate, DER.
    ///
    /// # Errors
    /// When there is none.
    pub fn authority(&self) -> Result<Vec<u8>> {
        let pem = self.file("device-ca.pem")?;
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject;
        Ok(CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| anyhow::anyhow!("device-ca.pem: {error:?}"))?
            .to_vec())
    }

    /// A text file of its data folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.data.join(name)).with_context(|| name.to_owned())
    }

    /// The file of its own SQLite database.
    pub fn database(&self) -> PathBuf {
        self.data.join("chasqui.db")
    }

    /// The database behind the coordinator's back, as somebody who broke in has it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn behind(&self) -> Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open_with_flags(
            self.database(),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?;
        connection.busy_timeout(Duration::from_secs(10))?;
        Ok(connection)
    }
}

/// Coordinator, accounts and published trust.
#[derive(Debug)]
pub struct TestFleet {
    /// The coordinator.
    pub server: Server,
    /// Everything the test writes; removed at its end, after whoever writes there has ended.
    pub folder: tempfile::TempDir,
    /// Who signs.
    pub cast: Cast,
    /// Administrator `admin`.
    pub admin: Client,
    /// Requester `solicitante`.
    pub requester: Client,
    /// Technician `tecnico`.
    pub technician: Client,
    /// Lead `lider`.
    pub lead: Client,
    /// Coordinator `coordinadora`.
    pub coordinator: Client,
    /// Auditor `auditor`.
    pub auditor: Client,
}

impl TestFleet {
    /// The usual organisation.
    ///
    /// # Errors
    /// What a program or the coordinator says.
    pub async fn start() -> Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// An organisation made in another way.
    ///
    /// # Errors
    /// What a program or the coordinator says.
    pub async fn start_with(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("chasqui-fleet-")
            .tempdir()?;
        let server = Server::start(folder.path(), &options)?;
        let admin = Client::login(&server.people_url, "admin", PASSWORD).await?;
        let url = server.people_url.as_str();
        let (requester, technician, lead, coordinator, auditor) = tokio::try_join!(
            person(&admin, url, "solicitante", Role::Requester),
            person(&admin, url, "tecnico", Role::Technician),
            person(&admin, url, "lider", Role::Lead),
            person(&admin, url, "coordinadora", Role::Coordinator),
            person(&admin, url, "auditor", Role::Auditor),
        )?;
        let definitions = if options.definitions.is_empty() {
            shipped_definitions()?
        } else {
            options.definitions
        };
        let cast = Cast::new(
            [&technician.id, &lead.id, &coordinator.id],
            &server.agents_url,
            &server.people_url,
            Digest::of(&server.authority()?),
            definitions,
        )?;
        fs::write(folder.path().join("root.json"), cast.root_envelope()?)?;
        let fleet = Self {
            folder,
            server,
            cast,
            admin,
            requester,
            technician,
            lead,
            coordinator,
            auditor,
        };
        fleet.publish_all().await?;
        Ok(fleet)
    }

    async fn publish_all(&self) -> Result<()> {
        self.publish(TrustDocumentKind::Root, self.cast.root_envelope()?)
            .await?;
        self.publish(TrustDocumentKind::People, self.cast.people_envelope()?)
            .await?;
        for definition in &self.cast.definitions {
            self.admin
                .trust()
                .publish_definition(PublishDefinitionRequest {
                    request_id: clock::new_id().to_string(),
                    definition: definition.encode()?.into(),
                })
                .await?;
        }
        self.publish(
            TrustDocumentKind::Catalogue,
            self.cast.catalogue_envelope()?,
        )
        .await
    }

    /// Publishes a signed document as administrator.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn publish(&self, kind: TrustDocumentKind, envelope: Vec<u8>) -> Result<()> {
        self.admin
            .trust()
            .publish_trust_document(PublishTrustDocumentRequest {
                request_id: clock::new_id().to_string(),
                kind: kind.into(),
                envelope: envelope.into(),
            })
            .await?;
        Ok(())
    }

    /// The pinned root, as it is brought to machines by hand.
    pub fn root_file(&self) -> PathBuf {
        self.folder.path().join("root.json")
    }

    /// A new enrolment token.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn token(&self, max_uses: u32) -> Result<String> {
        Ok(self
            .admin
            .tokens()
            .create_enrolment_token(CreateEnrolmentTokenRequest {
                request_id: clock::new_id().to_string(),
                note: "prueba".to_owned(),
                valid_for_ms: clock::HOUR_MS,
                max_uses,
            })
            .await?
            .into_inner()
            .secret)
    }

    /// A device as the coordinator shows it.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn device(&self, id: &str) -> Result<Device> {
        self.admin
            .devices()
            .get_device(GetDeviceRequest {
                device: id.to_owned(),
            })
            .await?
            .into_inner()
            .device
            .context("no device in the answer")
    }

    /// What a signer signs for a machine, running from now on.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn leaf(&self, device_id: &str) -> Result<Leaf> {
        let device = self.device(device_id).await?;
        Ok(Leaf {
            device_fingerprint: Digest::from_slice(&device.fingerprint)
                .context("a fingerprint has 32 bytes")?,
            host_name: device.host_name,
            plate: device
                .administrative
                .map(|facts| facts.plate)
                .filter(|plate| !plate.is_empty()),
            not_before_ms: clock::now_ms() - 1,
        })
    }

    /// A ticket of the requester about a device.
    ///
    /// # Errors
    /// What the coordinator answers.
    pub async fn ticket(&self, device_id: &str) -> Result<Ticket> {
        self.requester
            .tickets()
            .create_ticket(CreateTicketRequest {
                request_id: clock::new_id().to_string(),
                title: "El disco está lleno".to_owned(),
                description: "No puedo guardar documentos.".to_owned(),
                device_id: device_id.to_owned(),
                requester_id: String::new(),
            })
            .await?
            .into_inner()
            .ticket
            .context("no ticket in the answer")
    }
}

async fn person(admin: &Client, people_url: &str, login: &str, role: Role) -> Result<Client> {
    admin
        .persons()
        .create_person(CreatePersonRequest {
            request_id: clock::new_id().to_string(),
            login: login.to_owned(),
            name: format!("Persona {login}"),
            roles: vec![role.into()],
            password: PASSWORD.to_owned(),
        })
        .await?;
    Client::login(people_url, login, PASSWORD).await
}

/// The definitions of `server/catalogue`.
///
/// # Errors
/// When a file is no definition.
pub fn shipped_definitions() -> Result<Vec<Definition>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/catalogue");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    // The schema of the format lies beside what it describes.
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.retain(|path| path.file_name().is_some_and(|name| name != "schema.json"));
    paths.sort();
    let mut definitions = Vec::new();
    for path in paths {
        let bytes = fs::read(&path)?;
        // Files are laid out for people; what is signed is the canonical form.
        let definition: Definition =
            serde_json::from_slice(&bytes).with_context(|| path.display().to_string())?;
        definitions.push(definition);
    }
    if definitions.is_empty() {
        bail!("no definition in {}", folder.display());
    }
    Ok(definitions)
}
