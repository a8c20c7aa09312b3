//! A coordinator of paper and string for the tests of the agent: the real API over the real TLS, with its answers in the
//! test's hands, and an organisation that can sign everything.
#![allow(dead_code)]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use chasqui_base::clock::{self, DAY_MS, HOUR_MS};
use chasqui_proto::error::status;
use chasqui_proto::v1::enrolment_service_server::{EnrolmentService, EnrolmentServiceServer};
use chasqui_proto::v1::link_service_server::{LinkService, LinkServiceServer};
use chasqui_proto::v1::server_message::Message as FromServer;
use chasqui_proto::v1::{self, agent_message};
use chasqui_trust::definition::*;
use chasqui_trust::order::{DefinitionRef, Parameter, Start, TicketRef};
use chasqui_trust::people::{Custody, Duty, Person, PersonKey};
use chasqui_trust::root::{Coordinator as RootCoordinator, Role, Threshold};
use chasqui_trust::{
    ActionResult, Catalogue, CatalogueEntry, Decision, Digest, Document, Envelope, Leaf, Order,
    OrderBundle, People, PublicKey, Root, SigningKey, Statement, Text, sign,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

pub const ORG: &str = "alcaldia.example";
pub const TOKEN: &str = "token-for-tests";

/// Keys and documents of an organisation.
pub struct Organisation {
    pub root_key: SigningKey,
    pub admin_key: SigningKey,
    pub publisher_key: SigningKey,
    pub second_publisher_key: SigningKey,
    pub requester_key: SigningKey,
    pub approver_key: SigningKey,
    pub ca: Authority,
    pub root: Envelope,
    pub issued_at_ms: i64,
}

pub struct Authority {
    pub der: Vec<u8>,
    params: CertificateParams,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, params, key }
    }

    /// Its key, as whoever took over the coordinator would use it to sign something else.
    pub fn signing_key(&self) -> SigningKey {
        let der = self.key.serialize_der();
        // PKCS#8 of Ed25519: the seed is an octet string of 32 in an octet string of 34.
        let at = der.windows(4).position(|w| w == [4, 34, 4, 32]).unwrap() + 4;
        let key = SigningKey::generate(der[at..at + 32].try_into().unwrap());
        assert_eq!(
            key.public_key().as_bytes().as_slice(),
            self.key.public_key_raw()
        );
        key
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn server_config(&self) -> rustls::ServerConfig {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.issuer()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone().into()).unwrap();
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        )
        .allow_unauthenticated()
        .build()
        .unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![leaf.der().clone(), self.der.clone().into()],
                rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }

    /// A device certificate for the key of a request, valid from `-before` to `+after` milliseconds from now.
    fn device(&self, request: &[u8], device_id: &str, before: i64, after: i64) -> Vec<u8> {
        let mut request =
            rcgen::CertificateSigningRequestParams::from_der(&request.to_vec().into()).unwrap();
        let at = |ms: i64| {
            rcgen::date_time_ymd(1970, 1, 1)
                + Duration::from_millis(u64::try_from(clock::now_ms() + ms).unwrap())
        };
        request.params.not_before = at(-before);
        request.params.not_after = at(after);
        request.params.subject_alt_names = vec![SanType::URI(
            format!("spiffe://{ORG}/device/{device_id}")
                .try_into()
                .unwrap(),
        )];
        request.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32])
}

impl Organisation {
    pub fn new() -> Self {
        let issued_at_ms = clock::now_ms() - HOUR_MS;
        let (root_key, admin_key, publisher_key) = (key(1), key(2), key(3));
        let second_publisher_key = key(6);
        let ca = Authority::new();
        let role = |key: &SigningKey| Role {
            key_ids: vec![key.key_id()],
            threshold: 1,
        };
        let root = Root {
            critical: vec![],
            org: ORG.into(),
            version: 1,
            issued_at_ms,
            expires_at_ms: issued_at_ms + 300 * DAY_MS,
            keys: vec![
                root_key.public_key(),
                admin_key.public_key(),
                publisher_key.public_key(),
                second_publisher_key.public_key(),
            ],
            root: role(&root_key),
            trust_admins: role(&admin_key),
            publishers: Role {
                key_ids: vec![publisher_key.key_id(), second_publisher_key.key_id()],
                threshold: 1,
            },
            release: None,
            coordinators: vec![RootCoordinator {
                name: "one".into(),
                agents_url: "https://localhost:1".into(),
                people_url: "https://localhost:2".into(),
                ca_sha256: vec![Digest::of(&ca.der)],
            }],
            thresholds: vec![Threshold {
                max_risk: 4,
                max_targets: 100,
                approvals: 1,
            }],
            break_glass: None,
        };
        Self {
            root: sign(&root, &[&root_key]).unwrap(),
            root_key,
            admin_key,
            publisher_key,
            second_publisher_key,
            requester_key: key(4),
            approver_key: key(5),
            ca,
            issued_at_ms,
        }
    }

    pub fn root_document(&self) -> Root {
        Root::decode(&self.root).unwrap()
    }

    pub fn people(&self, version: u64) -> Envelope {
        let person = |id: &str, key: &SigningKey, duty: Duty| Person {
            id: id.into(),
            name: format!("Persona {id}"),
            keys: vec![PersonKey {
                key: key.public_key(),
                custody: Custody::File,
                max_risk: 4,
                not_before_ms: self.issued_at_ms,
                not_after_ms: self.issued_at_ms + 300 * DAY_MS,
            }],
            duties: vec![duty],
        };
        let people = People {
            critical: vec![],
            org: ORG.into(),
            version,
            issued_at_ms: self.issued_at_ms,
            expires_at_ms: self.issued_at_ms + 20 * DAY_MS,
            persons: vec![
                person("ana", &self.requester_key, Duty::Request),
                person("beto", &self.approver_key, Duty::Approve),
            ],
        };
        sign(&people, &[&self.admin_key]).unwrap()
    }

    pub fn catalogue(&self, version: u64, definitions: &[Definition]) -> Envelope {
        let catalogue = Catalogue {
            critical: vec![],
            org: ORG.into(),
            version,
            issued_at_ms: self.issued_at_ms,
            expires_at_ms: self.issued_at_ms + 90 * DAY_MS,
            definitions: definitions
                .iter()
                .map(|definition| CatalogueEntry {
                    id: definition.id.clone(),
                    version: definition.version,
                    digest: definition.digest().unwrap(),
                })
                .collect(),
        };
        sign(
            &catalogue,
            &[&self.publisher_key, &self.second_publisher_key],
        )
        .unwrap()
    }

    /// A signed and approved order for one machine.
    pub fn order(
        &self,
        definition: &Definition,
        parameters: Vec<Parameter>,
        device: &PublicKey,
    ) -> (String, OrderBundle) {
        let now = clock::now_ms();
        self.order_valid(definition, parameters, device, now - 1000, now + HOUR_MS)
    }

    pub fn order_valid(
        &self,
        definition: &Definition,
        parameters: Vec<Parameter>,
        device: &PublicKey,
        not_before_ms: i64,
        not_after_ms: i64,
    ) -> (String, OrderBundle) {
        let now = clock::now_ms();
        let id = clock::new_id().to_string();
        let leaf = Leaf {
            device_fingerprint: device.fingerprint(),
            host_name: "pc-1".into(),
            plate: None,
            not_before_ms,
        };
        let order = Order {
            critical: vec![],
            org: ORG.into(),
            id: id.clone(),
            definition: DefinitionRef {
                id: definition.id.clone(),
                version: definition.version,
                digest: definition.digest().unwrap(),
            },
            parameters,
            ticket: TicketRef {
                id: clock::new_id().to_string(),
                number: "MA-2026-000001".into(),
            },
            reason: "prueba".into(),
            requester: "ana".into(),
            created_at_ms: not_before_ms,
            not_before_ms,
            not_after_ms,
            min_people_version: 1,
            min_catalogue_version: 1,
            consent: definition.consent,
            start: Start::Now,
            break_glass: false,
            targets: chasqui_trust::order::Targets::of(std::slice::from_ref(&leaf)).unwrap(),
        };
        let order = sign(&order, &[&self.requester_key]).unwrap();
        let statement = Statement {
            critical: vec![],
            org: ORG.into(),
            order_digest: order.payload_digest(),
            person: "beto".into(),
            decision: Decision::Approve,
            comment: String::new(),
            at_ms: now.min(not_before_ms),
            expires_at_ms: now.max(not_before_ms) + HOUR_MS,
        };
        let bundle = OrderBundle {
            order,
            statements: vec![sign(&statement, &[&self.approver_key]).unwrap()],
            definition: definition.encode().unwrap(),
            leaf,
            leaf_index: 0,
            proof: vec![],
        };
        (id, bundle)
    }
}

/// A definition of one program step and a check.
pub fn definition(id: &str, run: Run, check: Run) -> Definition {
    let text = |words: &str| Text::same(words);
    Definition {
        title: text("Una acción"),
        summary: text("Hace algo"),
        plan: text("Hará algo"),
        if_it_fails: text("Queda como estaba"),
        risk: 1,
        consent: Consent::Notify,
        when_absent: WhenAbsent::Proceed,
        approvals: 0,
        // One after the other, as if all worked on the same thing.
        locks: vec![Lock {
            resource: "test".into(),
            parameter: None,
        }],
        check_time_limit_ms: 10_000,
        steps: vec![Step {
            id: "step".into(),
            title: text("Paso"),
            run,
        }],
        check: Check {
            summary: text("Se comprueba"),
            run: check,
        },
        evidence: vec![EvidenceSpec {
            fact: "exit_code".into(),
            title: text("Código"),
            unit: String::new(),
            kind: FactKind::Number,
        }],
        ..Definition::draft(id)
    }
}

pub fn program(path: &str, args: &[&str]) -> Run {
    Run::Program {
        path: path.into(),
        args: args
            .iter()
            .map(|arg| Arg::Literal((*arg).to_owned()))
            .collect(),
        success_codes: vec![0],
        script_digest: None,
    }
}

/// A step that leaves one more line in a file each time it runs, and a check that there is one.
pub fn marking(id: &str, marker: &Path) -> Definition {
    let line = marker.with_extension("line");
    std::fs::write(&line, "ran\n").unwrap();
    let of = format!("of={}", marker.display());
    definition(
        id,
        program(
            "/usr/bin/dd",
            &[
                &format!("if={}", line.display()),
                &of,
                "oflag=append",
                "conv=notrunc",
            ],
        ),
        program("/usr/bin/test", &["-s", &marker.display().to_string()]),
    )
}

pub fn marks(marker: &Path) -> usize {
    std::fs::read_to_string(marker)
        .unwrap_or_default()
        .lines()
        .count()
}

/// What the coordinator is told to answer, and what it was told.
#[derive(Default)]
pub struct Book {
    pub roots: Vec<Vec<u8>>,
    pub people: Vec<u8>,
    pub catalogue: Vec<u8>,
    pub waiting: Vec<v1::OrderDelivery>,
    pub results: Vec<v1::SubmitResultRequest>,
    pub progress: Vec<v1::OrderProgress>,
    pub output: BTreeMap<String, Vec<u8>>,
    pub store_epoch: u64,
    pub hellos: Vec<v1::Hello>,
    pub offers: usize,
    pub sections: Vec<v1::Section>,
    pub wants: Vec<i32>,
    pub bases: Vec<v1::SectionBase>,
    pub differences: Vec<v1::SectionDifference>,
    /// With this reason a difference is refused.
    pub refuse_differences: Option<&'static str>,
    pub enrolments: BTreeMap<String, String>,
    pub device_keys: Vec<Vec<u8>>,
    pub renewals: usize,
    pub revoked: bool,
    /// Life of the certificates given out: from before now, to after now.
    pub certificate: (i64, i64),
    /// Papers given out before the ordinary ones, whatever they are: one answer for each time the machine asks.
    pub papers: VecDeque<v1::FetchTrustDocumentsResponse>,
    /// The machine gets no answer when it asks for papers.
    pub papers_stall: bool,
    /// How often papers were asked for.
    pub fetches: usize,
    /// Said instead of the ordinary welcome.
    pub welcome: Option<v1::Welcome>,
    /// No result is taken.
    pub results_refused: bool,
    /// Probes answered.
    pub probes: usize,
    streams: Vec<mpsc::Sender<Result<v1::ServerMessage, Status>>>,
}

#[derive(Clone)]
pub struct Coordinator {
    pub book: Arc<Mutex<Book>>,
    pub address: SocketAddr,
    pub organisation: Arc<Organisation>,
    reachable: Arc<AtomicBool>,
}

impl Coordinator {
    /// Serves on a free port until the test ends.
    pub fn start(organisation: Organisation) -> Self {
        let organisation = Arc::new(organisation);
        let book = Arc::new(Mutex::new(Book {
            people: organisation.people(1).to_json(),
            store_epoch: 7,
            certificate: (DAY_MS, 30 * DAY_MS),
            ..Book::default()
        }));
        let (address_of, address) = std::sync::mpsc::channel();
        let reachable = Arc::new(AtomicBool::new(true));
        let cable = reachable.clone();
        let service = Service {
            book: book.clone(),
            organisation: organisation.clone(),
        };
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(organisation.ca.server_config()));
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(async move {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    address_of.send(listener.local_addr().unwrap()).unwrap();
                    let (accepted, incoming) = mpsc::channel(16);
                    tokio::spawn(async move {
                        loop {
                            let (tcp, _) = listener.accept().await.unwrap();
                            let (tls, accepted) = (tls.clone(), accepted.clone());
                            let cable = cable.clone();
                            if !cable.load(Ordering::SeqCst) {
                                continue;
                            }
                            tokio::spawn(async move {
                                if let Ok(stream) = tls.accept(tcp).await {
                                    let _ = accepted
                                        .send(Ok::<_, std::io::Error>(Io(stream, cable)))
                                        .await;
                                }
                            });
                        }
                    });
                    tonic::transport::Server::builder()
                        .add_service(EnrolmentServiceServer::new(service.clone()))
                        .add_service(
                            LinkServiceServer::new(service).max_decoding_message_size(32 << 20),
                        )
                        .serve_with_incoming(ReceiverStream::new(incoming))
                        .await
                        .unwrap();
                });
        });
        Self {
            book,
            address: address.recv().unwrap(),
            organisation,
            reachable,
        }
    }

    /// Pulls the cable, or puts it back.
    pub fn set_reachable(&self, reachable: bool) {
        self.reachable.store(reachable, Ordering::SeqCst);
    }

    pub fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }

    pub fn publish(&self, definitions: &[Definition]) {
        self.book().catalogue = self.organisation.catalogue(1, definitions).to_json();
    }

    /// Puts an order where the machine fetches it, and pushes it to those connected.
    pub fn deliver(&self, id: &str, bundle: &OrderBundle) {
        self.deliver_bytes(id, bundle.encode().unwrap());
    }

    pub fn deliver_bytes(&self, id: &str, bundle: Vec<u8>) {
        let delivery = v1::OrderDelivery {
            order_id: id.to_owned(),
            bundle: bundle.into(),
        };
        self.book().waiting.push(delivery.clone());
        self.push(FromServer::Order(delivery));
    }

    pub fn push(&self, message: FromServer) {
        let message = v1::ServerMessage {
            message: Some(message),
        };
        for stream in &self.book().streams {
            let _ = stream.try_send(Ok(message.clone()));
        }
    }

    /// Pushes all of these, however long it takes until the streams have room.
    pub fn push_all(&self, messages: impl IntoIterator<Item = FromServer>) {
        for message in messages {
            let message = v1::ServerMessage {
                message: Some(message),
            };
            let streams = self.book().streams.clone();
            for stream in streams {
                while let Err(mpsc::error::TrySendError::Full(_)) =
                    stream.try_send(Ok(message.clone()))
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// Ends every open stream.
    pub fn hang_up(&self) {
        self.book().streams.clear();
    }

    /// The results for an order, each different one once, signature checked.
    pub fn results(&self, id: &str, bundle: &OrderBundle) -> Vec<ActionResult> {
        let book = self.book();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for result in book.results.iter().filter(|r| r.order_id == id) {
            if !seen.contains(&result.envelope.to_vec()) {
                seen.push(result.envelope.to_vec());
            }
        }
        let key = PublicKey::from_slice(book.device_keys.last().unwrap()).unwrap();
        seen.iter()
            .map(|bytes| chasqui_trust::verify_result(bytes, &bundle.order_digest(), &key).unwrap())
            .collect()
    }
}

#[derive(Clone)]
struct Service {
    book: Arc<Mutex<Book>>,
    organisation: Arc<Organisation>,
}

impl Service {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

#[tonic::async_trait]
impl EnrolmentService for Service {
    async fn enrol(
        &self,
        request: Request<v1::EnrolRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let request = request.into_inner();
        if request.token != TOKEN {
            return Err(status(
                Code::PermissionDenied,
                "TOKEN_UNKNOWN",
                "no such token",
                &[],
            ));
        }
        let mut book = self.book();
        let device_id = book
            .enrolments
            .entry(request.request_id.clone())
            .or_insert_with(|| clock::new_id().to_string())
            .clone();
        let csr = rcgen::CertificateSigningRequestParams::from_der(
            &request.certificate_request.to_vec().into(),
        )
        .unwrap();
        book.device_keys
            .push(rcgen::PublicKeyData::der_bytes(&csr.public_key).to_vec());
        let (before, after) = book.certificate;
        let ca = &self.organisation.ca;
        Ok(Response::new(v1::EnrolResponse {
            certificate: ca
                .device(&request.certificate_request, &device_id, before, after)
                .into(),
            ca_certificate: ca.der.clone().into(),
            not_after_ms: clock::now_ms() + after,
            organisation: ORG.into(),
            device_id,
        }))
    }

    async fn renew_certificate(
        &self,
        request: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        let request = request.into_inner();
        let mut book = self.book();
        if book.revoked {
            return Err(revoked());
        }
        let payload = chasqui_agent::identity::renewal_payload(
            &request.device_id,
            request.made_at_ms,
            &request.nonce,
            &request.certificate_request,
        );
        let key = PublicKey::from_slice(book.device_keys.last().unwrap()).unwrap();
        assert!(key.verify(
            "application/vnd.chasqui.renewal.v1",
            &payload,
            &request.signature
        ));
        book.renewals += 1;
        let ca = &self.organisation.ca;
        Ok(Response::new(v1::RenewCertificateResponse {
            certificate: ca
                .device(
                    &request.certificate_request,
                    &request.device_id,
                    DAY_MS,
                    30 * DAY_MS,
                )
                .into(),
            ca_certificate: ca.der.clone().into(),
            not_after_ms: clock::now_ms() + 30 * DAY_MS,
        }))
    }
}

fn revoked() -> Status {
    status(
        Code::PermissionDenied,
        "DEVICE_REVOKED",
        "this device was revoked",
        &[],
    )
}

#[tonic::async_trait]
impl LinkService for Service {
    type ConnectStream = ReceiverStream<Result<v1::ServerMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<v1::AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let mut incoming = request.into_inner();
        let Some(agent_message::Message::Hello(hello)) =
            incoming.message().await?.and_then(|m| m.message)
        else {
            return Err(Status::invalid_argument("hello first"));
        };
        let (sender, stream) = mpsc::channel(64);
        {
            let mut book = self.book();
            if book.revoked {
                return Err(revoked());
            }
            book.hellos.push(hello);
            let ordinary = welcome_at(clock::now_ms(), book.store_epoch);
            let welcome = book.welcome.clone().unwrap_or(ordinary);
            let _ = sender.try_send(Ok(v1::ServerMessage {
                message: Some(FromServer::Welcome(welcome)),
            }));
            book.streams.push(sender);
        }
        let book = self.book.clone();
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                match message.message {
                    Some(agent_message::Message::Progress(progress)) => {
                        book.lock().unwrap().progress.push(progress);
                    }
                    Some(agent_message::Message::ProbeAnswer(_)) => {
                        book.lock().unwrap().probes += 1;
                    }
                    _ => {}
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn send_output(
        &self,
        request: Request<Streaming<v1::OutputChunk>>,
    ) -> Result<Response<v1::SendOutputResponse>, Status> {
        let mut chunks = request.into_inner();
        while let Some(chunk) = chunks.message().await? {
            let mut book = self.book();
            let kept = book.output.entry(chunk.order_id).or_default();
            kept.truncate(usize::try_from(chunk.offset).unwrap());
            assert_eq!(kept.len() as u64, chunk.offset);
            kept.extend_from_slice(&chunk.data);
        }
        Ok(Response::new(v1::SendOutputResponse { kept_bytes: 0 }))
    }

    async fn offer_inventory(
        &self,
        _request: Request<v1::OfferInventoryRequest>,
    ) -> Result<Response<v1::OfferInventoryResponse>, Status> {
        let mut book = self.book();
        book.offers += 1;
        Ok(Response::new(v1::OfferInventoryResponse {
            wanted: book.wants.clone(),
            bases: book.bases.clone(),
        }))
    }

    async fn report_inventory(
        &self,
        request: Request<v1::ReportInventoryRequest>,
    ) -> Result<Response<v1::ReportInventoryResponse>, Status> {
        let request = request.into_inner();
        let mut book = self.book();
        book.differences.extend(request.differences.clone());
        if let (Some(reason), false) = (&book.refuse_differences, request.differences.is_empty()) {
            return Err(chasqui_proto::error::status(
                tonic::Code::FailedPrecondition,
                reason,
                "send it whole",
                &[],
            ));
        }
        book.sections.extend(request.sections);
        drop(book);
        Ok(Response::new(v1::ReportInventoryResponse {}))
    }

    async fn submit_result(
        &self,
        request: Request<v1::SubmitResultRequest>,
    ) -> Result<Response<v1::SubmitResultResponse>, Status> {
        let request = request.into_inner();
        let mut book = self.book();
        if book.results_refused {
            return Err(status(Code::FailedPrecondition, "NOT_NOW", "no", &[]));
        }
        book.waiting
            .retain(|order| order.order_id != request.order_id);
        let already_stored = book
            .results
            .iter()
            .any(|stored| stored.request_id == request.request_id);
        book.results.push(request);
        Ok(Response::new(v1::SubmitResultResponse { already_stored }))
    }

    async fn fetch_trust_documents(
        &self,
        request: Request<v1::FetchTrustDocumentsRequest>,
    ) -> Result<Response<v1::FetchTrustDocumentsResponse>, Status> {
        let held = request.into_inner();
        while self.book().papers_stall {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut book = self.book();
        book.fetches += 1;
        if let Some(papers) = book.papers.pop_front() {
            return Ok(Response::new(papers));
        }
        let roots = book
            .roots
            .iter()
            .filter(|root| {
                let root = Root::decode(&Envelope::from_json(root).unwrap()).unwrap();
                root.version > held.root_version
            })
            .map(|root| root.clone().into())
            .collect();
        Ok(Response::new(v1::FetchTrustDocumentsResponse {
            roots,
            people: book.people.clone().into(),
            catalogue: book.catalogue.clone().into(),
        }))
    }

    async fn fetch_orders(
        &self,
        _request: Request<v1::FetchOrdersRequest>,
    ) -> Result<Response<v1::FetchOrdersResponse>, Status> {
        Ok(Response::new(v1::FetchOrdersResponse {
            orders: self.book().waiting.clone(),
        }))
    }
}

/// The ordinary welcome, at this time.
pub fn welcome_at(now_ms: i64, store_epoch: u64) -> v1::Welcome {
    v1::Welcome {
        now_ms,
        store_epoch,
        beat_every_ms: 1000,
        inventory_every_ms: 3_600_000,
        reconnect_cap_ms: 500,
        server_version: "0.0.0".into(),
    }
}

struct Io(TlsStream<TcpStream>, Arc<AtomicBool>);

impl Io {
    /// As a cable that was pulled, seen at the next byte.
    fn cut(&self) -> std::io::Result<()> {
        if self.1.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
}

impl tonic::transport::server::Connected for Io {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let polled = Pin::new(&mut self.0).poll_read(cx, buffer);
        self.cut()?;
        polled
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.cut()?;
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The agent's own tests know it from cargo; the suites of the whole find it where `tests/run` built it.
fn program_of_the_agent() -> PathBuf {
    if let Some(path) = option_env!("CARGO_BIN_EXE_chasqui-agent") {
        return path.into();
    }
    if let Some(path) = std::env::var_os("CHASQUI_PROGRAM_AGENT") {
        return PathBuf::from(path).canonicalize().unwrap();
    }
    // target/<profile>/deps/<test> -> target/<profile>/chasqui-agent
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("chasqui-agent")
}

/// A machine: its folders and the agent's program.
pub struct Machine {
    pub folder: tempfile::TempDir,
    pub server: String,
    pub env: Vec<(String, String)>,
}

impl Machine {
    pub fn new(coordinator: &Coordinator) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("root.json"),
            coordinator.organisation.root.to_json(),
        )
        .unwrap();
        Self {
            folder,
            server: format!("https://127.0.0.1:{}", coordinator.address.port()),
            env: Vec::new(),
        }
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program_of_the_agent());
        self.dress(&mut command);
        command.args(args);
        command
    }

    pub fn dress(&self, command: &mut Command) {
        command
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .env("CHASQUI_AGENT_SERVER", &self.server)
            .env("CHASQUI_AGENT_STATE_DIR", self.state())
            .env("CHASQUI_AGENT_ROOT", self.folder.path().join("root.json"))
            .env(
                "CHASQUI_AGENT_POLICY",
                self.folder.path().join("policy.toml"),
            )
            .env("CHASQUI_AGENT_LOG", "info")
            .env("LANG", "en_US.UTF-8")
            .env_remove("LC_ALL");
        for (name, value) in &self.env {
            command.env(name, value);
        }
    }

    pub fn enrol(&self) {
        let output = self.command(&["enrol", "--token", TOKEN]).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn public_key(&self) -> PublicKey {
        let pem = std::fs::read_to_string(self.state().join("device.key")).unwrap();
        SigningKey::from_pkcs8_pem(&pem).unwrap().public_key()
    }

    pub fn run(&self) -> Running {
        self.run_with(&[])
    }

    pub fn run_with(&self, env: &[(&str, &str)]) -> Running {
        let mut command = self.command(&["run"]);
        command.envs(env.iter().copied());
        Running::spawn(&mut command, self.folder.path().join("agent.log"))
    }

    pub fn status(&self) -> chasqui_agent::status::Status {
        chasqui_agent::status::read_status(&self.state()).unwrap_or_default()
    }
}

/// A running agent, ended with the test.
pub struct Running {
    pub child: Child,
    log: PathBuf,
}

impl Running {
    pub fn spawn(command: &mut Command, log: PathBuf) -> Self {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop and waits.
    pub fn stop(mut self) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- agent's log\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds; long enough for a busy machine.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited in vain: {what}");
}
