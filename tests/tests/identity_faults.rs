//! Who may be a device, and what becomes of those who may not, over real TLS: each refusal by its code, without its effect,
//! and gone when only its defect is mended.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use chasqui_agent::identity::certificate_request;
use chasqui_agent::tls;
use chasqui_base::clock;
use chasqui_proto::v1::agent_message::Message as Said;
use chasqui_proto::v1::server_message::Message as Heard;
use chasqui_proto::v1::{
    CreateEnrolmentTokenRequest, CreateTicketRequest, DeviceState, EnrolResponse, EnrolmentToken,
    FetchOrdersRequest, GoodbyeReason, ListDevicesRequest, ListEnrolmentTokensRequest,
    ListQuarantineRequest, ListTicketsRequest, OrderProgress, OrderState, QuarantineDecision,
    ResolveQuarantineRequest, RevokeDeviceRequest, RevokeEnrolmentTokenRequest,
};
use chasqui_tests::cast::{ORG, copy_of};
use chasqui_tests::orders::{code, signed};
use chasqui_tests::programs::wait_until;
use chasqui_tests::simulated::{self, Stream, seed};
use chasqui_tests::{Options, Simulated, TestFleet};
use chasqui_trust::{Digest, SigningKey};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::AlertDescription;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(30);

/// One enrolment that can be repeated with everything else unchanged.
struct Attempt {
    key: SigningKey,
    request_id: String,
}

impl Attempt {
    fn new() -> Self {
        Self {
            key: SigningKey::generate(seed().unwrap()),
            request_id: clock::new_id().to_string(),
        }
    }

    async fn enrol(&self, fleet: &TestFleet, token: &str) -> Result<EnrolResponse, String> {
        simulated::enrol_call(
            &fleet.server.agents_url,
            &fleet.server.authority().unwrap(),
            &self.key,
            token,
            &self.request_id,
            "pc-1",
        )
        .await
        .unwrap()
        .map_err(|status| code(&status))
    }
}

async fn devices(fleet: &TestFleet) -> usize {
    fleet
        .admin
        .devices()
        .list_devices(ListDevicesRequest::default())
        .await
        .unwrap()
        .into_inner()
        .devices
        .len()
}

async fn token(fleet: &TestFleet, max_uses: u32) -> (String, String) {
    let answer = fleet
        .admin
        .tokens()
        .create_enrolment_token(CreateEnrolmentTokenRequest {
            request_id: clock::new_id().to_string(),
            note: "prueba".to_owned(),
            valid_for_ms: clock::HOUR_MS,
            max_uses,
        })
        .await
        .unwrap()
        .into_inner();
    (answer.token.unwrap().id, answer.secret)
}

async fn token_now(fleet: &TestFleet, id: &str) -> EnrolmentToken {
    let tokens = fleet
        .admin
        .tokens()
        .list_enrolment_tokens(ListEnrolmentTokensRequest { page: None })
        .await
        .unwrap()
        .into_inner()
        .tokens;
    tokens.into_iter().find(|token| token.id == id).unwrap()
}

fn behind(fleet: &TestFleet, text: &str, id: &str) {
    let changed = fleet.server.behind().unwrap().execute(text, [id]).unwrap();
    assert_eq!(changed, 1, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_opens_the_door_only_while_it_is_good() {
    let fleet = TestFleet::start().await.unwrap();
    let (id, secret) = token(&fleet, 1).await;
    let attempt = Attempt::new();

    let mut wrong = secret.clone();
    let last = if wrong.pop() == Some('A') { 'B' } else { 'A' };
    wrong.push(last);
    assert_eq!(
        attempt.enrol(&fleet, &wrong).await.unwrap_err(),
        "TOKEN_UNKNOWN"
    );
    assert_eq!(
        attempt.enrol(&fleet, "").await.unwrap_err(),
        "INVALID_FIELD"
    );

    behind(
        &fleet,
        "UPDATE enrolment_tokens SET expires_at_ms = expires_at_ms - 3600000 WHERE id = ?1",
        &id,
    );
    assert_eq!(
        attempt.enrol(&fleet, &secret).await.unwrap_err(),
        "TOKEN_EXPIRED"
    );
    behind(
        &fleet,
        "UPDATE enrolment_tokens SET expires_at_ms = expires_at_ms + 3600000 WHERE id = ?1",
        &id,
    );

    fleet
        .admin
        .tokens()
        .revoke_enrolment_token(RevokeEnrolmentTokenRequest {
            token_id: id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(
        attempt.enrol(&fleet, &secret).await.unwrap_err(),
        "TOKEN_REVOKED"
    );
    behind(
        &fleet,
        "UPDATE enrolment_tokens SET revoked_at_ms = NULL WHERE id = ?1",
        &id,
    );
    assert_eq!(devices(&fleet).await, 0);
    assert_eq!(token_now(&fleet, &id).await.uses, 0);

    // Nothing is left to mend: the very same call passes.
    attempt.enrol(&fleet, &secret).await.unwrap();
    assert_eq!(devices(&fleet).await, 1);
    assert_eq!(token_now(&fleet, &id).await.uses, 1);

    let second = Attempt::new();
    assert_eq!(
        second.enrol(&fleet, &secret).await.unwrap_err(),
        "TOKEN_USED_UP"
    );
    assert_eq!(devices(&fleet).await, 1);
    behind(
        &fleet,
        "UPDATE enrolment_tokens SET max_uses = 2 WHERE id = ?1",
        &id,
    );
    second.enrol(&fleet, &secret).await.unwrap();
    assert_eq!(devices(&fleet).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_spends_no_second_use() {
    let fleet = TestFleet::start().await.unwrap();
    let (id, secret) = token(&fleet, 5).await;
    let attempt = Attempt::new();
    let first = attempt.enrol(&fleet, &secret).await.unwrap();
    let again = attempt.enrol(&fleet, &secret).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(token_now(&fleet, &id).await.uses, 1);
    assert_eq!(devices(&fleet).await, 1);
    // The same request id for something else is a defect of the caller, and is said.
    let (_, other) = token(&fleet, 5).await;
    assert_eq!(
        attempt.enrol(&fleet, &other).await.unwrap_err(),
        "REQUEST_ID_REUSED"
    );
    // Somebody else's key under that request id is another request.
    let stranger = Attempt {
        key: SigningKey::generate(seed().unwrap()),
        request_id: attempt.request_id.clone(),
    };
    let theirs = stranger.enrol(&fleet, &secret).await.unwrap();
    assert_ne!(theirs.device_id, first.device_id);
    assert_eq!(token_now(&fleet, &id).await.uses, 2);
}

/// The coordinator's own authority, with the key out of its data folder.
fn own_authority(fleet: &TestFleet) -> Issuer<'static, KeyPair> {
    let key = KeyPair::from_pem(&fleet.server.file("device-ca.key").unwrap()).unwrap();
    Issuer::from_ca_cert_pem(&fleet.server.file("device-ca.pem").unwrap(), key).unwrap()
}

/// Another authority that calls itself by the same name.
fn other_authority(fleet: &TestFleet) -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    Issuer::from_ca_cert_pem(&fleet.server.file("device-ca.pem").unwrap(), key).unwrap()
}

/// Another authority under a name of its own.
fn foreign_authority() -> Issuer<'static, KeyPair> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "another authority");
    Issuer::new(params, key)
}

/// Device certificates as anybody who holds an authority's key can make them.
struct Forger {
    organisation: String,
    device_id: String,
    key: SigningKey,
    not_before: (i32, u8, u8),
    not_after: (i32, u8, u8),
}

impl Forger {
    fn sign(&self, authority: &Issuer<'static, KeyPair>) -> Vec<u8> {
        let der = self.key.to_pkcs8_der().unwrap();
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(
            &rustls::pki_types::PrivatePkcs8KeyDer::from(der.as_slice()),
            &rcgen::PKCS_ED25519,
        )
        .unwrap();
        let mut params = CertificateParams::default();
        let name = format!("spiffe://{}/device/{}", self.organisation, self.device_id);
        params
            .subject_alt_names
            .push(SanType::URI(name.try_into().unwrap()));
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let date = |(year, month, day)| rcgen::date_time_ymd(year, month, day);
        params.not_before = date(self.not_before);
        params.not_after = date(self.not_after);
        params.signed_by(&pair, authority).unwrap().der().to_vec()
    }
}

/// What TLS itself says to this machine: a refusal in the handshake has no code of ours, it has an alert.
async fn alert(device: &Simulated) -> AlertDescription {
    let authorities = vec![Digest::of(&device.authority)];
    let certificate = device.client_certificate().unwrap();
    let config = tls::client_config(authorities, None, Some(certificate), 0).unwrap();
    let address = tls::Address::parse(&device.agents_url).unwrap();
    let tcp = TcpStream::connect((address.host.as_str(), address.port))
        .await
        .unwrap();
    let name = address.host.try_into().unwrap();
    // In TLS 1.3 the client is done before the server has seen its certificate: the alert is what it reads first.
    let error = match TlsConnector::from(config).connect(name, tcp).await {
        Ok(mut stream) => loop {
            match stream.read_u8().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        },
        Err(error) => error,
    };
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("no alert: {error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_counts_only_from_our_authority_in_its_time_for_its_key() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(1).await.unwrap();
    let device = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
    let ours = own_authority(&fleet);
    let good = || Forger {
        organisation: ORG.to_owned(),
        device_id: device.device_id.clone(),
        key: copy_of(&device.key),
        not_before: (2020, 1, 1),
        not_after: (2100, 1, 1),
    };
    let with = |certificate| Simulated {
        certificate,
        ..device.clone()
    };

    // In the handshake.
    let foreign = with(good().sign(&foreign_authority()));
    let other = with(good().sign(&other_authority(&fleet)));
    let expired = with(
        Forger {
            not_after: (2021, 1, 1),
            ..good()
        }
        .sign(&ours),
    );
    let early = with(
        Forger {
            not_before: (2099, 1, 1),
            ..good()
        }
        .sign(&ours),
    );
    for (what, bad, reason) in [
        ("another authority", &foreign, AlertDescription::UnknownCA),
        (
            "another authority of the same name",
            &other,
            AlertDescription::DecryptError,
        ),
        ("expired", &expired, AlertDescription::CertificateExpired),
        (
            "not valid yet",
            &early,
            AlertDescription::CertificateExpired,
        ),
    ] {
        assert_eq!(alert(bad).await, reason, "{what}");
        bad.connect("boot-1").await.expect_err(what);
        assert!(!fleet.device(&device.device_id).await.unwrap().connected);
    }

    // At the door.
    let stranger = SigningKey::generate(seed().unwrap());
    let mut of_stranger = with(
        Forger {
            key: copy_of(&stranger),
            ..good()
        }
        .sign(&ours),
    );
    of_stranger.key = stranger.into();
    let unknown = with(
        Forger {
            device_id: clock::new_id().to_string(),
            ..good()
        }
        .sign(&ours),
    );
    for (what, bad, reason) in [
        ("another key", &of_stranger, "CERTIFICATE_KEY_UNKNOWN"),
        ("unknown device", &unknown, "DEVICE_UNKNOWN"),
    ] {
        let error = bad.connect("boot-1").await.expect_err(what);
        assert_eq!(
            simulated::refusal(&error).as_deref(),
            Some(reason),
            "{what}: {error:?}"
        );
        assert!(!fleet.device(&device.device_id).await.unwrap().connected);
    }
    let abroad = with(
        Forger {
            organisation: "otra".to_owned(),
            ..good()
        }
        .sign(&ours),
    );
    abroad
        .connect("boot-1")
        .await
        .expect_err("of another organisation");
    assert!(!fleet.device(&device.device_id).await.unwrap().connected);

    // Made in the same way without a defect.
    let stream = with(good().sign(&ours)).connect("boot-1").await.unwrap();
    assert!(fleet.device(&device.device_id).await.unwrap().connected);
    drop(stream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_needs_the_key_and_the_hour_but_no_certificate() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(1).await.unwrap();
    let mut device = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
    let certificates = || -> i64 {
        fleet
            .server
            .behind()
            .unwrap()
            .query_row("SELECT COUNT(*) FROM device_certificates", [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    let before = certificates();
    let now_ms = clock::now_ms();
    let good = device.renewal(now_ms, [1; 16]).unwrap();

    let mut forged = good.clone();
    let mut signature = forged.signature.to_vec();
    signature[9] ^= 1;
    forged.signature = signature.into();
    let old = device.renewal(now_ms - 3 * clock::DAY_MS, [2; 16]).unwrap();
    let ahead = device.renewal(now_ms + 3 * clock::DAY_MS, [3; 16]).unwrap();
    let mut moved = good.clone();
    moved.made_at_ms += 1;
    let stranger = Simulated {
        key: SigningKey::generate(seed().unwrap()).into(),
        ..device.clone()
    };
    let other_key = stranger.renewal(now_ms, [4; 16]).unwrap();
    // The device's own signature, over a certificate request of another key.
    let mut swapped = good.clone();
    swapped.certificate_request = certificate_request(&stranger.key).unwrap().into();
    for (what, request, reason) in [
        ("forged", forged, "RENEWAL_SIGNATURE_INVALID"),
        (
            "another time than signed",
            moved,
            "RENEWAL_SIGNATURE_INVALID",
        ),
        (
            "another key's request",
            swapped,
            "RENEWAL_SIGNATURE_INVALID",
        ),
        ("too old", old, "RENEWAL_TIME_INVALID"),
        ("from the future", ahead, "RENEWAL_TIME_INVALID"),
        ("another key", other_key, "CERTIFICATE_KEY_UNKNOWN"),
    ] {
        let status = device.renew(request).await.unwrap().expect_err(what);
        assert_eq!(code(&status), reason, "{what}");
        assert_eq!(certificates(), before, "{what}");
    }

    // After the certificate has ended, by the key alone.
    let expired = Forger {
        organisation: ORG.to_owned(),
        device_id: device.device_id.clone(),
        key: copy_of(&device.key),
        not_before: (2020, 1, 1),
        not_after: (2021, 1, 1),
    };
    device.certificate = expired.sign(&own_authority(&fleet));
    device.connect("boot-1").await.unwrap_err();
    let renewed = device.renew(good.clone()).await.unwrap().unwrap();
    assert_eq!(certificates(), before + 1);
    assert!(renewed.not_after_ms > now_ms);

    // Replayed: the same certificate, for whoever holds its key, and no other.
    let replayed = device.renew(good).await.unwrap().unwrap();
    assert_eq!(replayed, renewed);
    assert_eq!(certificates(), before + 1);
    let same_nonce = device.renewal(now_ms + 1, [1; 16]).unwrap();
    let status = device.renew(same_nonce).await.unwrap().unwrap_err();
    assert_eq!(code(&status), "REQUEST_ID_REUSED");
    assert_eq!(certificates(), before + 1);

    device.certificate = renewed.certificate.to_vec();
    device.connect("boot-1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_is_out_at_once_and_for_good() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(2).await.unwrap();
    let lost = Simulated::enrol(&fleet, &token, "perdido").await.unwrap();
    let kept = Simulated::enrol(&fleet, &token, "guardado").await.unwrap();
    let mut streams = [
        lost.connect("boot-1").await.unwrap(),
        kept.connect("boot-1").await.unwrap(),
    ];
    // Everything that is refused below passes while the device is good, and goes on passing for the other one.
    let now_ms = clock::now_ms();
    lost.renew(lost.renewal(now_ms, [1; 16]).unwrap())
        .await
        .unwrap()
        .unwrap();
    let fetch = async |device: &Simulated| -> Result<(), Status> {
        let mut link = device.link().await.unwrap();
        link.fetch_orders(FetchOrdersRequest {}).await.map(|_| ())
    };
    fetch(&lost).await.unwrap();
    let mut waiting = Vec::new();
    for device in [&lost, &kept] {
        let ticket = fleet.ticket(&device.device_id).await.unwrap();
        let parameters = [("older_than_days", 30)];
        let draft = fleet
            .draft("disk.clean.temp", &parameters, &device.device_id, &ticket)
            .await
            .unwrap();
        let envelope = signed(&draft.order, &fleet.cast.technician.key).unwrap();
        let order = fleet
            .submit(&fleet.technician, &envelope, &draft.leaves)
            .await
            .unwrap();
        assert_eq!(order.state(), OrderState::AwaitingApproval);
        waiting.push((order.id, envelope));
    }

    fleet
        .admin
        .devices()
        .revoke_device(RevokeDeviceRequest {
            device_id: lost.device_id.clone(),
            reason: "equipo robado".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(
        until_goodbye(&mut streams[0]).await,
        GoodbyeReason::Revoked,
        "the stream ends at once"
    );
    for (id, envelope) in &waiting {
        let approval = fleet.approval(envelope, &fleet.cast.lead).unwrap();
        // Whether the approval is still taken is of no matter: nothing goes out.
        let _ = fleet.say(&fleet.lead, id, &approval).await;
    }
    let error = lost.connect("boot-1").await.unwrap_err();
    assert_eq!(
        simulated::refusal(&error).as_deref(),
        Some("DEVICE_REVOKED")
    );
    assert_eq!(code(&fetch(&lost).await.unwrap_err()), "DEVICE_REVOKED");
    for nonce in [[1; 16], [2; 16]] {
        let renewal = lost.renewal(now_ms, nonce).unwrap();
        let status = lost.renew(renewal).await.unwrap().unwrap_err();
        assert_eq!(code(&status), "DEVICE_REVOKED");
    }
    let shown = fleet.device(&lost.device_id).await.unwrap();
    assert_eq!(shown.state(), DeviceState::Revoked);
    assert!(!shown.connected);

    // The other one has its order, and by then the revoked one would have had its own.
    let heard = until_order(&mut streams[1]).await;
    assert_eq!(heard, waiting[1].0);
    fetch(&kept).await.unwrap();
    let order = fleet.shown(&waiting[0].0).await.unwrap();
    assert_eq!(order.targets[0].sent_at_ms, 0, "the order was sent");
}

async fn until_goodbye(stream: &mut Stream) -> GoodbyeReason {
    let ended = async {
        let mut reason = GoodbyeReason::Unspecified;
        // A Goodbye is the last thing said; then the stream is over, with or without a status.
        loop {
            match stream.next_alive().await {
                Ok(Some(Heard::Goodbye(goodbye))) => reason = goodbye.reason(),
                Ok(Some(Heard::Order(order))) => panic!("order {} was delivered", order.order_id),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return reason,
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the stream ends")
}

async fn until_order(stream: &mut Stream) -> String {
    let heard = async {
        loop {
            match stream.next_alive().await.unwrap() {
                Some(Heard::Order(order)) => return order.order_id,
                Some(_) => {}
                None => panic!("the stream ended without an order"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard)
        .await
        .expect("the order comes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_limit_is_refused_on_both_listeners() {
    let fleet = TestFleet::start().await.unwrap();
    // People.
    let ticket = |description: String| CreateTicketRequest {
        request_id: clock::new_id().to_string(),
        title: "El disco está lleno".to_owned(),
        description,
        ..CreateTicketRequest::default()
    };
    let status = fleet
        .requester
        .tickets()
        .create_ticket(ticket("x".repeat(8 << 20)))
        .await
        .unwrap_err();
    assert!(is_too_large(&status), "{status:?}");
    let tickets = fleet
        .requester
        .tickets()
        .list_tickets(ListTicketsRequest::default())
        .await
        .unwrap();
    assert!(tickets.into_inner().tickets.is_empty());
    fleet
        .requester
        .tickets()
        .create_ticket(ticket("x".repeat(8 << 10)))
        .await
        .unwrap();

    // Machines, before they are known.
    let secret = fleet.token(1).await.unwrap();
    let authority = fleet.server.authority().unwrap();
    let key = SigningKey::generate(seed().unwrap());
    let request_id = clock::new_id().to_string();
    let enrol = async |host_name: &str| {
        let url = &fleet.server.agents_url;
        simulated::enrol_call(url, &authority, &key, &secret, &request_id, host_name)
            .await
            .unwrap()
    };
    let status = enrol(&"x".repeat(8 << 20)).await.unwrap_err();
    assert!(is_too_large(&status), "{status:?}");
    assert_eq!(devices(&fleet).await, 0);
    let answer = enrol("pc-1").await.unwrap();

    // And on their stream.
    let device = Simulated {
        device_id: answer.device_id,
        host_name: "pc-1".to_owned(),
        key: key.into(),
        certificate: answer.certificate.to_vec(),
        authority: answer.ca_certificate.to_vec(),
        agents_url: fleet.server.agents_url.clone(),
    };
    let mut stream = device.connect("boot-1").await.unwrap();
    stream
        .tell(Said::Progress(OrderProgress {
            order_id: "x".repeat(8 << 20),
            ..OrderProgress::default()
        }))
        .await;
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            match stream.next_alive().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    })
    .await
    .expect("the stream ends");
    let status = ended.expect("it ends with a status");
    assert!(is_too_large(&status), "{status:?}");
    wait_until("the stream is gone", PATIENCE, async || {
        let connected = fleet.device(&device.device_id).await?.connected;
        Ok((!connected).then_some(()))
    })
    .await
    .unwrap();
    device.connect("boot-1").await.unwrap();
}

/// The limit of a message is the transport's: it has a code of gRPC and none of ours.
fn is_too_large(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted)
        || (status.code() == Code::InvalidArgument && code(status) == "MESSAGE_TOO_LARGE")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_comes_back_takes_its_own_place() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(1).await.unwrap();
    let device = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
    let mut first = device.connect("boot-1").await.unwrap();
    // The first connection is still open, as when a cable was pulled; nobody reads it.
    let mut second = device.connect("boot-1").await.unwrap();
    assert_eq!(until_goodbye(&mut first).await, GoodbyeReason::Superseded);
    let shown = fleet.device(&device.device_id).await.unwrap();
    assert_eq!(shown.state(), DeviceState::Active);
    assert!(shown.connected, "the newer stream lives");
    assert_eq!(quarantines(&fleet).await.len(), 0);
    assert_eq!(delivered(&fleet, &device, &mut second).await, "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_machine_takes_the_place_of_a_dead_stream() {
    let fleet = TestFleet::start().await.unwrap();
    let token = fleet.token(1).await.unwrap();
    let device = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
    // It does not answer: nobody reads it.
    let mut first = device.connect("boot-1").await.unwrap();
    let mut second = device.connect("boot-2").await.unwrap();
    assert_eq!(until_goodbye(&mut first).await, GoodbyeReason::Superseded);
    let shown = fleet.device(&device.device_id).await.unwrap();
    assert_eq!(shown.state(), DeviceState::Active);
    assert_eq!(quarantines(&fleet).await.len(), 0);
    assert_eq!(delivered(&fleet, &device, &mut second).await, "delivered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_living_machines_under_one_identity_wait_for_a_person() {
    let fleet = TestFleet::start_with(Options {
        server_env: vec![("CHASQUI_SERVER_DEVICES_SWEEP_SECONDS".into(), "1".into())],
        ..Options::default()
    })
    .await
    .unwrap();
    let token = fleet.token(2).await.unwrap();
    let device = Simulated::enrol(&fleet, &token, "pc-1").await.unwrap();
    let bystander = Simulated::enrol(&fleet, &token, "pc-2").await.unwrap();
    let mut first = device.connect("boot-1").await.unwrap();
    let alive = tokio::spawn(async move { until_goodbye(&mut first).await });
    let mut copy = device.hello("boot-2");
    copy.host_name = "copia".to_owned();
    let error = device.connect_with(copy).await.unwrap_err();
    assert_eq!(
        simulated::refusal(&error).as_deref(),
        Some("DEVICE_QUARANTINED"),
        "{error:?}"
    );
    assert_eq!(alive.await.unwrap(), GoodbyeReason::Quarantined);
    let shown = fleet.device(&device.device_id).await.unwrap();
    assert_eq!(shown.state(), DeviceState::Quarantined);
    assert!(!shown.connected);
    let sightings = quarantines(&fleet).await;
    assert_eq!(sightings.len(), 1);
    let sighting = &sightings[0];
    assert_eq!(sighting.device_id, device.device_id);
    assert_eq!(
        (
            sighting.first_boot_id.as_str(),
            sighting.second_boot_id.as_str()
        ),
        ("boot-1", "boot-2")
    );
    assert_eq!(
        (
            sighting.first_host_name.as_str(),
            sighting.second_host_name.as_str()
        ),
        ("pc-1", "copia")
    );
    for boot_id in ["boot-1", "boot-2"] {
        let error = device.connect(boot_id).await.unwrap_err();
        assert_eq!(
            simulated::refusal(&error).as_deref(),
            Some("DEVICE_QUARANTINED")
        );
    }
    // Nobody can even ask for an action on it, while others go on.
    let ticket = fleet.ticket(&device.device_id).await.unwrap();
    let parameters = [("older_than_days", 30)];
    let draft = fleet
        .draft("disk.clean.temp", &parameters, &device.device_id, &ticket)
        .await
        .unwrap();
    let error = fleet.order(&draft).await.unwrap_err();
    assert_eq!(
        simulated::refusal(&error).as_deref(),
        Some("DEVICE_QUARANTINED")
    );
    let mut other = bystander.connect("boot-1").await.unwrap();
    assert_eq!(delivered(&fleet, &bystander, &mut other).await, "delivered");

    let resolve = async |quarantine_id: &str| {
        fleet
            .admin
            .devices()
            .resolve_quarantine(ResolveQuarantineRequest {
                quarantine_id: quarantine_id.to_owned(),
                decision: QuarantineDecision::Release.into(),
                reason: "era la misma máquina virtual".to_owned(),
            })
            .await
    };
    resolve(&sighting.id).await.unwrap();
    let status = resolve(&sighting.id).await.unwrap_err();
    assert_eq!(code(&status), "QUARANTINE_RESOLVED");
    assert_eq!(quarantines(&fleet).await.len(), 0);
    let mut stream = device.connect("boot-2").await.unwrap();
    assert_eq!(delivered(&fleet, &device, &mut stream).await, "delivered");
}

async fn quarantines(fleet: &TestFleet) -> Vec<chasqui_proto::v1::Quarantine> {
    fleet
        .admin
        .devices()
        .list_quarantine(ListQuarantineRequest { page: None })
        .await
        .unwrap()
        .into_inner()
        .items
}

/// Whether an order reaches this stream.
async fn delivered(fleet: &TestFleet, device: &Simulated, stream: &mut Stream) -> &'static str {
    let ticket = fleet.ticket(&device.device_id).await.unwrap();
    let parameters = [("older_than_days", 30)];
    let draft = fleet
        .draft("disk.clean.temp", &parameters, &device.device_id, &ticket)
        .await
        .unwrap();
    let order = fleet.order(&draft).await.unwrap();
    assert_eq!(until_order(stream).await, order.id);
    "delivered"
}
