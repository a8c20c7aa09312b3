//! A coordinator in this process with people, keys, trust documents and machines.

use std::str::FromStr;

use chasqui_base::clock::{DAY_MS, HOUR_MS, new_id, now_ms};
use chasqui_domain::ids::{DeviceId, PersonId, SessionId};
use chasqui_domain::role::{Role, Roles};
use chasqui_proto::error::reason_of;
use chasqui_proto::v1::order_service_server::OrderService as _;
use chasqui_proto::v1::ticket_service_server::TicketService as _;
use chasqui_proto::v1::trust_service_server::TrustService as _;
use chasqui_proto::v1::{self, TrustDocumentKind};
use chasqui_server::auth::{Caller, Device, Person};
use chasqui_server::ca::Authority;
use chasqui_server::config::Config;
use chasqui_server::context::Context;
use chasqui_server::rpc::{order, ticket, trust};
use chasqui_store::event::{self, NewEvent};
use chasqui_store::{Options, Store, StoreError, device, person};
use chasqui_trust::catalogue::{Catalogue, CatalogueEntry};
use chasqui_trust::definition::Consent;
use chasqui_trust::order::{
    DefinitionRef, Leaf, Order, Parameter, ParameterValue, Start, Targets, TicketRef,
};
use chasqui_trust::people::{Custody, Duty, People, PersonKey};
use chasqui_trust::result::ActionResult;
use chasqui_trust::{Decision, Digest, Document, Envelope, SigningKey, Statement, sign};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status};

use crate::papers::{definition, root, root_key, start_ms};

/// Makes one test of each function for each engine.
macro_rules! both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::world::World::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(world) = $crate::world::World::postgres().await {
                    super::$name(world).await;
                }
            })*
        }
    };
}

/// A person of the organisation with the key they sign with.
#[derive(Clone)]
pub struct Someone {
    pub id: PersonId,
    pub name: String,
    pub roles: Roles,
    pub seed: u8,
}

impl Someone {
    fn new(name: &str, role: Role, seed: u8) -> Self {
        Self {
            id: PersonId(new_id()),
            name: name.to_owned(),
            roles: role.into(),
            seed,
        }
    }

    pub fn key(&self) -> SigningKey {
        SigningKey::generate([self.seed; 32])
    }
}

/// A machine with its key.
#[derive(Clone)]
pub struct Machine {
    pub id: DeviceId,
    pub host_name: String,
    pub seed: u8,
}

impl Machine {
    pub fn key(&self) -> SigningKey {
        SigningKey::generate([self.seed; 32])
    }

    pub fn caller(&self) -> Device {
        Device {
            id: self.id,
            fingerprint: self.key().public_key().fingerprint().0,
        }
    }

    pub fn leaf(&self) -> Leaf {
        Leaf {
            device_fingerprint: self.key().public_key().fingerprint(),
            host_name: self.host_name.clone(),
            plate: None,
            not_before_ms: 0,
        }
    }
}

pub struct World {
    pub ctx: Context,
    pub url: String,
    pub folder: TempDir,
    server: Option<(String, String)>,
    pub requester: Someone,
    pub technician: Someone,
    pub lead: Someone,
    pub coordinator: Someone,
    pub administrator: Someone,
    pub auditor: Someone,
}

pub const ORG: &str = "alcaldia-de-prueba";

impl World {
    pub async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("chasqui.db").display());
        Self::new(url, folder, None).await
    }

    /// Nothing when PostgreSQL is to be skipped. Without a word about it the test fails: half of the suite would be
    /// silently missing.
    pub async fn postgres() -> Option<Self> {
        let server = match std::env::var("CHASQUI_TEST_POSTGRES") {
            Ok(url) if url == "skip" => return None,
            Ok(url) if !url.is_empty() => url,
            _ => panic!(
                "CHASQUI_TEST_POSTGRES is not set: start a server with `tests/postgres.sh start DIR` and set it to the \
                 address printed, or set it to skip"
            ),
        };
        let name = format!("chasqui_{}", new_id().simple());
        raw_postgres(&server, &format!("CREATE DATABASE {name}"));
        let (start, _) = server.rsplit_once('/').unwrap();
        let url = format!("{start}/{name}");
        Some(Self::new(url, TempDir::new().unwrap(), Some((server, name))).await)
    }

    async fn new(url: String, folder: TempDir, server: Option<(String, String)>) -> Self {
        let store = Store::open(&url, &Options::default()).unwrap();
        let text = format!(
            "organisation = \"{ORG}\"\ndata = \".\"\n[store]\nurl = \"{url}\"\n\
             [agents]\nlisten = \"127.0.0.1:0\"\nnames = [\"localhost\"]\n[people]\nlisten = \"127.0.0.1:0\"\n"
        );
        let config = Config::parse(
            &folder.path().join("server.toml"),
            &text,
            std::iter::empty(),
        )
        .unwrap();
        let ca = Authority::create(folder.path(), ORG, now_ms()).unwrap();
        let ctx = Context::new(store, config, ca, SigningKey::generate([250; 32]));
        let world = Self {
            ctx,
            url,
            folder,
            server,
            requester: Someone::new("Rosa Solicita", Role::Requester, 11),
            technician: Someone::new("Tomás Técnico", Role::Technician, 12),
            lead: Someone::new("Lía Líder", Role::Lead, 13),
            coordinator: Someone::new("Camilo Coordina", Role::Coordinator, 14),
            administrator: Someone::new("Ada Administra", Role::Administrator, 15),
            auditor: Someone::new("Aura Audita", Role::Auditor, 16),
        };
        for (someone, login) in world
            .everybody()
            .into_iter()
            .zip(["r", "t", "l", "c", "ad", "au"])
        {
            let row = person::Person {
                id: someone.id.to_string(),
                login: login.to_owned(),
                name: someone.name.clone(),
                roles: someone.roles,
                password_hash: "none".to_owned(),
                disabled: false,
                created_at_ms: now_ms(),
            };
            assert!(world.write(move |tx| person::insert(tx, &row)).await);
        }
        world
    }

    pub fn everybody(&self) -> Vec<Someone> {
        [
            &self.requester,
            &self.technician,
            &self.lead,
            &self.coordinator,
            &self.administrator,
            &self.auditor,
        ]
        .into_iter()
        .cloned()
        .collect()
    }

    pub async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut chasqui_store::Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.ctx.store.write(work).await.unwrap()
    }

    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&mut chasqui_store::Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.ctx.store.read(work).await.unwrap()
    }

    /// Runs SQL beside the store, as a person with a database shell would.
    pub async fn raw(&self, sql: &str) {
        let (url, sql) = (self.url.clone(), sql.to_owned());
        tokio::task::spawn_blocking(move || match chasqui_store::sqlite_path(&url) {
            Some(path) => rusqlite::Connection::open(path)
                .unwrap()
                .execute_batch(&sql)
                .unwrap(),
            None => raw_postgres(&url, &sql),
        })
        .await
        .unwrap();
    }

    /// How many events there are: a refusal must not add one.
    pub async fn events(&self) -> usize {
        self.read(|tx| event::latest(tx, i64::MAX, "", event::MAX_PAGE))
            .await
            .len()
    }

    /// A request of a person.
    pub fn by<T>(&self, who: &Someone, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(Caller::Person(Person {
            id: who.id,
            login: "login".to_owned(),
            name: who.name.clone(),
            roles: who.roles,
            session: SessionId(new_id()),
            session_expires_at_ms: i64::MAX,
        }));
        request
    }

    pub fn tickets(&self) -> ticket::Service {
        ticket::Service(self.ctx.clone())
    }

    pub fn orders(&self) -> order::Service {
        order::Service(self.ctx.clone())
    }

    pub fn trust(&self) -> trust::Service {
        trust::Service(self.ctx.clone())
    }

    pub async fn ticket(&self, who: &Someone, title: &str, device: Option<&Machine>) -> v1::Ticket {
        let message = v1::CreateTicketRequest {
            request_id: fresh(),
            title: title.to_owned(),
            description: "Desde ayer en la mañana".to_owned(),
            device_id: device
                .map(|device| device.id.to_string())
                .unwrap_or_default(),
            requester_id: String::new(),
        };
        ok(self.tickets().create_ticket(self.by(who, message)).await)
            .ticket
            .unwrap()
    }

    /// A machine, enrolled.
    pub async fn machine(&self, host_name: &str, seed: u8) -> Machine {
        let machine = Machine {
            id: DeviceId(new_id()),
            host_name: host_name.to_owned(),
            seed,
        };
        let stored = machine.clone();
        self.write(move |tx| {
            let key = stored.key().public_key();
            let id = stored.id.to_string();
            let new = device::NewDevice {
                id: &id,
                fingerprint: &key.fingerprint().to_hex(),
                public_key: key.as_bytes(),
                host_name: &stored.host_name,
                token_id: "",
                agent_version: "1.0.0",
            };
            device::insert(tx, &new, now_ms())?;
            event::append(
                tx,
                NewEvent {
                    subject_kind: "device",
                    subject_id: &id,
                    part: None,
                    kind: "device.enrolled",
                    actor: &id,
                    at_ms: now_ms(),
                    state: Some("active"),
                    data: serde_json::json!({}),
                    personal: None,
                },
            )
        })
        .await;
        machine
    }

    pub async fn set_device_state(&self, machine: &Machine, state: device::State) {
        let id = machine.id.to_string();
        self.write(move |tx| device::set_state(tx, &id, state, "test", now_ms()))
            .await;
    }

    /// Publishes root, people document, definition and catalogue.
    pub async fn publish_trust(&self) {
        self.publish(TrustDocumentKind::Root, self.root(1))
            .await
            .unwrap();
        self.publish(TrustDocumentKind::People, self.people(1))
            .await
            .unwrap();
        let definition = definition().encode().unwrap();
        let message = v1::PublishDefinitionRequest {
            request_id: fresh(),
            definition: definition.into(),
        };
        ok(self
            .trust()
            .publish_definition(self.by(&self.administrator, message))
            .await);
        self.publish(TrustDocumentKind::Catalogue, self.catalogue(1))
            .await
            .unwrap();
    }

    pub async fn publish(
        &self,
        kind: TrustDocumentKind,
        envelope: Envelope,
    ) -> Result<u64, Status> {
        self.publish_as(&self.administrator, kind, &envelope.to_json())
            .await
    }

    pub async fn publish_as(
        &self,
        who: &Someone,
        kind: TrustDocumentKind,
        bytes: &[u8],
    ) -> Result<u64, Status> {
        let message = v1::PublishTrustDocumentRequest {
            request_id: fresh(),
            kind: kind.into(),
            envelope: bytes.to_vec().into(),
        };
        let answer = self
            .trust()
            .publish_trust_document(self.by(who, message))
            .await?;
        Ok(answer.into_inner().version)
    }

    pub fn root(&self, version: u64) -> Envelope {
        sign(&root(version), &[&root_key()]).unwrap()
    }

    pub fn people(&self, version: u64) -> Envelope {
        let now = start_ms();
        let person = |someone: &Someone, duties: &[Duty]| chasqui_trust::people::Person {
            id: someone.id.to_string(),
            name: someone.name.clone(),
            keys: vec![PersonKey {
                key: someone.key().public_key(),
                custody: Custody::File,
                max_risk: 4,
                not_before_ms: 0,
                not_after_ms: now + 365 * DAY_MS,
            }],
            duties: duties.to_vec(),
        };
        let people = People {
            critical: vec![],
            org: ORG.to_owned(),
            version,
            issued_at_ms: now - HOUR_MS,
            expires_at_ms: now + 20 * DAY_MS,
            persons: vec![
                person(&self.technician, &[Duty::Request, Duty::Approve]),
                person(&self.lead, &[Duty::Approve]),
                person(&self.coordinator, &[Duty::Approve]),
            ],
        };
        sign(&people, &[&root_key()]).unwrap()
    }

    pub fn catalogue(&self, version: u64) -> Envelope {
        let definition = definition();
        let catalogue = Catalogue {
            critical: vec![],
            org: ORG.to_owned(),
            version,
            issued_at_ms: start_ms() - HOUR_MS,
            expires_at_ms: start_ms() + 30 * DAY_MS,
            definitions: vec![CatalogueEntry {
                id: definition.id.clone(),
                version: definition.version,
                digest: definition.digest().unwrap(),
            }],
        };
        sign(&catalogue, &[&root_key()]).unwrap()
    }

    /// An order of the technician for these machines, not signed yet.
    pub fn order(&self, ticket: &v1::Ticket, leaves: &[Leaf]) -> Order {
        let definition = definition();
        Order {
            critical: vec![],
            org: ORG.to_owned(),
            id: fresh(),
            definition: DefinitionRef {
                id: definition.id.clone(),
                version: definition.version,
                digest: definition.digest().unwrap(),
            },
            parameters: vec![Parameter {
                name: "days".to_owned(),
                value: ParameterValue::Integer(7),
            }],
            ticket: TicketRef {
                id: ticket.id.clone(),
                number: ticket.number.clone(),
            },
            reason: "liberar espacio".to_owned(),
            requester: self.technician.id.to_string(),
            created_at_ms: now_ms(),
            not_before_ms: now_ms() - 1_000,
            not_after_ms: now_ms() + HOUR_MS,
            min_people_version: 1,
            min_catalogue_version: 1,
            consent: Consent::None,
            start: Start::Now,
            break_glass: false,
            targets: Targets::of(leaves).unwrap(),
        }
    }

    pub async fn create(
        &self,
        who: &Someone,
        envelope: &Envelope,
        leaves: &[Leaf],
    ) -> Result<v1::Order, Status> {
        let message = v1::CreateOrderRequest {
            request_id: fresh(),
            envelope: envelope.to_json().into(),
            leaves: leaves
                .iter()
                .map(|leaf| leaf.encode().unwrap().into())
                .collect(),
        };
        let answer = self.orders().create_order(self.by(who, message)).await?;
        Ok(answer.into_inner().order.unwrap())
    }

    /// An order of the technician for these machines, registered.
    pub async fn ordered(&self, machines: &[&Machine]) -> v1::Order {
        let ticket = self
            .ticket(&self.requester, "Disco lleno", machines.first().copied())
            .await;
        let leaves: Vec<Leaf> = machines.iter().map(|machine| machine.leaf()).collect();
        let envelope = sign(&self.order(&ticket, &leaves), &[&self.technician.key()]).unwrap();
        self.create(&self.technician, &envelope, &leaves)
            .await
            .unwrap()
    }

    pub fn statement(&self, order: &v1::Order, who: &Someone, decision: Decision) -> Statement {
        Statement {
            critical: vec![],
            org: ORG.to_owned(),
            order_digest: Digest::from_slice(&order.digest).unwrap(),
            person: who.id.to_string(),
            decision,
            comment: String::new(),
            at_ms: now_ms(),
            expires_at_ms: now_ms() + DAY_MS,
        }
    }

    pub async fn say(
        &self,
        order: &v1::Order,
        who: &Someone,
        decision: Decision,
    ) -> Result<v1::Order, Status> {
        let envelope = sign(&self.statement(order, who, decision), &[&who.key()]).unwrap();
        self.hand_in(order, who, &envelope).await
    }

    pub async fn hand_in(
        &self,
        order: &v1::Order,
        who: &Someone,
        envelope: &Envelope,
    ) -> Result<v1::Order, Status> {
        let message = v1::AddStatementRequest {
            request_id: fresh(),
            order_id: order.id.clone(),
            envelope: envelope.to_json().into(),
        };
        let answer = self.orders().add_statement(self.by(who, message)).await?;
        Ok(answer.into_inner().order.unwrap())
    }

    /// An approved order, as its first machine got it.
    pub async fn sent(&self, machine: &Machine) -> v1::Order {
        let order = self.ordered(&[machine]).await;
        self.say(&order, &self.lead, Decision::Approve)
            .await
            .unwrap();
        let delivered = order::pending(&self.ctx, machine.id).await.unwrap();
        assert!(
            delivered
                .iter()
                .any(|delivery| delivery.order_id == order.id)
        );
        self.look(&order.id).await
    }

    pub async fn look(&self, order_id: &str) -> v1::Order {
        let message = v1::GetOrderRequest {
            order_id: order_id.to_owned(),
        };
        ok(self
            .orders()
            .get_order(self.by(&self.auditor, message))
            .await)
        .order
        .unwrap()
    }

    pub async fn submit(
        &self,
        machine: &Machine,
        order: &v1::Order,
        result: &ActionResult,
    ) -> Result<bool, Status> {
        let envelope = sign(result, &[&machine.key()]).unwrap();
        self.submit_bytes(machine, &order.id, envelope.to_json())
            .await
    }

    pub async fn submit_bytes(
        &self,
        machine: &Machine,
        order_id: &str,
        bytes: Vec<u8>,
    ) -> Result<bool, Status> {
        let message = v1::SubmitResultRequest {
            request_id: fresh(),
            order_id: order_id.to_owned(),
            envelope: bytes.into(),
            store_epoch: 1,
            consent: Vec::new().into(),
        };
        Ok(order::submit_result(&self.ctx, &machine.caller(), message)
            .await?
            .already_stored)
    }

    pub async fn timeline(&self, who: &Someone, ticket: &str) -> Vec<v1::TimelineEntry> {
        let message = v1::ListTimelineRequest {
            ticket_id: ticket.to_owned(),
            page: None,
        };
        ok(self.tickets().list_timeline(self.by(who, message)).await).entries
    }

    /// Record, log and tables agree.
    pub async fn check(&self) {
        chasqui_server::jobs::once(&self.ctx)
            .await
            .map_err(Status::from)
            .unwrap();
        let (store, key) = (self.ctx.store.clone(), self.ctx.log_key.public_key());
        let checked = tokio::task::spawn_blocking(move || {
            chasqui_server::check::check_store(&store, ORG, &key)
        })
        .await
        .unwrap()
        .unwrap();
        assert!(checked.holds(), "{checked:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((server, name)) = self.server.take() {
            // The store still holds connections: they are ended with their database.
            std::thread::spawn(move || {
                raw_postgres(
                    &server,
                    &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                )
            })
            .join()
            .ok();
        }
    }
}

fn raw_postgres(url: &str, sql: &str) {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    std::thread::spawn(move || {
        let mut client = postgres::Config::from_str(&url)
            .unwrap()
            .connect(postgres::NoTls)
            .unwrap();
        client.batch_execute(&sql).unwrap();
    })
    .join()
    .unwrap();
}

pub fn fresh() -> String {
    new_id().to_string()
}

pub fn ok<T>(answer: Result<Response<T>, Status>) -> T {
    match answer {
        Ok(answer) => answer.into_inner(),
        Err(status) => panic!(
            "{:?} {:?}: {}",
            status.code(),
            reason_of(&status),
            status.message()
        ),
    }
}

/// The refusal's code and reason.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("this must be refused");
    (
        status.code(),
        reason_of(&status).unwrap_or_else(|| panic!("a refusal without a reason: {status:?}")),
    )
}

/// Only the reason.
pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    refused(answer).1
}
