//! Tokens, enrolment and renewal.

use chasqui_base::clock;
use chasqui_proto::v1::enrolment_service_client::EnrolmentServiceClient;
use chasqui_proto::v1::enrolment_token_service_client::EnrolmentTokenServiceClient;
use chasqui_proto::v1::{
    ListEnrolmentTokensRequest, RenewCertificateRequest, RenewCertificateResponse,
    RevokeDeviceRequest, RevokeEnrolmentTokenRequest,
};
use chasqui_server::auth::{PeerCertificate, Secret};
use chasqui_store::enrolment_token::{self, EnrolmentToken};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

use crate::rig::{Connected, Coordinator, Machine, fresh, reason};

async fn a_lost_answer_spends_no_second_use() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token(2).await;
    let machine = Machine::new("pc-1");
    let request = machine.request(&token);
    let first = coordinator.try_enrol(&request).await.unwrap();
    let again = coordinator.try_enrol(&request).await.unwrap();
    assert_eq!(first, again, "the same request has the same answer");
    assert_eq!(first.organisation, "example");
    assert_eq!(uses(&coordinator).await, 1);
    // A fresh request of the same key is the same machine with a new certificate.
    let anew = coordinator
        .try_enrol(&machine.request(&token))
        .await
        .unwrap();
    assert_eq!(anew.device_id, first.device_id);
    assert_ne!(anew.certificate, first.certificate);
    assert_eq!(
        (uses(&coordinator).await, coordinator.device_count().await),
        (2, 1)
    );
    // And the first request, repeated when the token is spent, still has its answer.
    assert_eq!(coordinator.try_enrol(&request).await.unwrap(), first);
    let mut other = request.clone();
    other.token = coordinator.token(1).await;
    let refused = coordinator.try_enrol(&other).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED")
    );
}

async fn a_token_has_four_ends() {
    let coordinator = Coordinator::start().await;
    let used_up = coordinator.token(1).await;
    coordinator
        .try_enrol(&Machine::new("pc-1").request(&used_up))
        .await
        .unwrap();

    let revoked = coordinator.token(1).await;
    let mut tokens = EnrolmentTokenServiceClient::new(coordinator.admin().await);
    let newest = tokens
        .list_enrolment_tokens(ListEnrolmentTokensRequest::default())
        .await
        .unwrap()
        .into_inner();
    let answer = tokens
        .revoke_enrolment_token(RevokeEnrolmentTokenRequest {
            token_id: newest.tokens[0].id.clone(),
        })
        .await
        .unwrap();
    assert!(answer.into_inner().token.unwrap().revoked);

    let expired = store_token(&coordinator, clock::now_ms() - 1).await;
    // The same token with its end in the future works: nothing but the end refused it.
    let alive = store_token(&coordinator, clock::now_ms() + clock::HOUR_MS).await;

    for (token, expected) in [
        (used_up.as_str(), "TOKEN_USED_UP"),
        (revoked.as_str(), "TOKEN_REVOKED"),
        (expired.as_str(), "TOKEN_EXPIRED"),
        ("che_wrong", "TOKEN_UNKNOWN"),
    ] {
        let refused = coordinator
            .try_enrol(&Machine::new("pc-2").request(token))
            .await
            .unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::PermissionDenied, expected)
        );
    }
    assert_eq!(
        coordinator.device_count().await,
        1,
        "a refused machine left a device"
    );
    coordinator
        .try_enrol(&Machine::new("pc-2").request(&alive))
        .await
        .unwrap();
}

async fn a_request_must_be_whole() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token(1).await;
    let good = Machine::new("pc-1").request(&token);
    let mut flipped = good.certificate_request.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let bad = [
        ("request_id", {
            let mut r = good.clone();
            r.request_id = "7".into();
            r
        }),
        ("certificate_request", {
            let mut r = good.clone();
            r.certificate_request = flipped.into();
            r
        }),
        ("certificate_request", {
            let mut r = good.clone();
            r.certificate_request = vec![0; 5_000].into();
            r
        }),
        ("host_name", {
            let mut r = good.clone();
            r.host_name = String::new();
            r
        }),
        ("host_name", {
            let mut r = good.clone();
            r.host_name = "a b".into();
            r
        }),
        ("token", {
            let mut r = good.clone();
            r.token = "x".repeat(129);
            r
        }),
    ];
    for (field, request) in bad {
        let refused = coordinator.try_enrol(&request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert!(
            refused.message().contains(field),
            "{field}: {}",
            refused.message()
        );
    }
    assert_eq!(
        (uses(&coordinator).await, coordinator.device_count().await),
        (0, 0)
    );
    coordinator.try_enrol(&good).await.unwrap();
}

async fn who_tries_tokens_is_slowed_down() {
    let coordinator =
        Coordinator::start_with(|config| config.sessions.failures_per_source = 3).await;
    let mut last = String::new();
    for _ in 0..5 {
        let refused = coordinator
            .try_enrol(&Machine::new("pc").request("che_guess"))
            .await
            .unwrap_err();
        last = reason(&refused);
    }
    assert_eq!(last, "TOO_MANY_TRIES");
}

async fn a_certificate_is_renewed_long_after_its_end() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let request = renewal(&device, clock::now_ms());
    let answer = renew(&coordinator, &request).await.unwrap();
    let read = PeerCertificate::read(&answer.certificate, "example").unwrap();
    assert_eq!(read.device, device.id);
    assert_ne!(answer.certificate, device.certificate);
    // Replayed, it brings nothing new.
    assert_eq!(renew(&coordinator, &request).await.unwrap(), answer);
    // The connection of `renew` shows no certificate, so an ended one makes no difference; the new one opens a stream.
    let renewed = Connected {
        certificate: answer.certificate.to_vec(),
        ..coordinator.device().await
    };
    drop(renewed);
    let channel = coordinator
        .agents(Some((&device.machine, &answer.certificate)))
        .await
        .unwrap();
    crate::rig::Stream::begin(channel).await.unwrap();
}

async fn a_renewal_is_refused_without_its_key_its_time_or_its_device() {
    let coordinator = Coordinator::start().await;
    let device = coordinator.device().await;
    let now_ms = clock::now_ms();
    let good = renewal(&device, now_ms);

    let mut unsigned = good.clone();
    let mut signature = unsigned.signature.to_vec();
    signature[0] ^= 1;
    unsigned.signature = signature.into();
    // Another machine's own key, rightly signed, for this device's id.
    let stranger = Machine::new("pc-9");
    let other_key = sign(&stranger, &device.id.to_string(), now_ms, stranger.csr());
    let unknown = sign(&device.machine, &fresh(), now_ms, device.machine.csr());
    for (request, expected) in [
        (unsigned, "RENEWAL_SIGNATURE_INVALID"),
        (
            renewal(&device, now_ms - 3 * clock::DAY_MS),
            "RENEWAL_TIME_INVALID",
        ),
        (
            renewal(&device, now_ms + 3 * clock::DAY_MS),
            "RENEWAL_TIME_INVALID",
        ),
        (other_key, "CERTIFICATE_KEY_UNKNOWN"),
        (unknown, "DEVICE_UNKNOWN"),
    ] {
        assert_eq!(
            reason(&renew(&coordinator, &request).await.unwrap_err()),
            expected
        );
    }
    // A clock one day off is said, not punished.
    renew(&coordinator, &renewal(&device, now_ms - clock::DAY_MS))
        .await
        .unwrap();
    renew(&coordinator, &good).await.unwrap();

    coordinator
        .devices()
        .await
        .revoke_device(RevokeDeviceRequest {
            device_id: device.id.to_string(),
            reason: "lost".into(),
        })
        .await
        .unwrap();
    for request in [renewal(&device, clock::now_ms()), good] {
        assert_eq!(
            reason(&renew(&coordinator, &request).await.unwrap_err()),
            "DEVICE_REVOKED"
        );
    }
    // Nor does its key come back with a token, and the token stays unspent.
    let token = coordinator.token(1).await;
    let refused = coordinator
        .try_enrol(&device.machine.request(&token))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "DEVICE_REVOKED");
    coordinator
        .try_enrol(&Machine::new("pc-2").request(&token))
        .await
        .unwrap();
}

async fn renew(
    coordinator: &Coordinator,
    request: &RenewCertificateRequest,
) -> Result<RenewCertificateResponse, Status> {
    let channel = coordinator.agents(None).await.unwrap();
    Ok(EnrolmentServiceClient::new(channel)
        .renew_certificate(request.clone())
        .await?
        .into_inner())
}

fn renewal(device: &Connected<'_>, made_at_ms: i64) -> RenewCertificateRequest {
    sign(
        &device.machine,
        &device.id.to_string(),
        made_at_ms,
        device.machine.csr(),
    )
}

/// As `enrolment.proto` says, written out here a second time.
fn sign(
    machine: &Machine,
    device_id: &str,
    made_at_ms: i64,
    csr: Vec<u8>,
) -> RenewCertificateRequest {
    let nonce = *clock::new_id().as_bytes();
    let mut payload = format!("{device_id}\0{made_at_ms}\0").into_bytes();
    payload.extend_from_slice(&nonce);
    payload.extend_from_slice(&Sha256::digest(&csr));
    let signature = machine
        .signer()
        .sign("application/vnd.chasqui.renewal.v1", &payload);
    RenewCertificateRequest {
        device_id: device_id.to_owned(),
        certificate_request: csr.into(),
        made_at_ms,
        nonce: nonce.to_vec().into(),
        signature: signature.signature.into(),
    }
}

async fn uses(coordinator: &Coordinator) -> u32 {
    let mut tokens = EnrolmentTokenServiceClient::new(coordinator.admin().await);
    let list = tokens
        .list_enrolment_tokens(ListEnrolmentTokensRequest::default())
        .await
        .unwrap()
        .into_inner();
    list.tokens.iter().map(|token| token.uses).sum()
}

/// A token whose end is not the API's to give.
async fn store_token(coordinator: &Coordinator, expires_at_ms: i64) -> String {
    let secret = Secret::fresh("che").unwrap();
    let digest = secret.digest.clone();
    let token = EnrolmentToken {
        id: fresh(),
        note: String::new(),
        created_by: "tests".to_owned(),
        created_at_ms: 1,
        expires_at_ms,
        max_uses: 1,
        uses: 0,
        revoked_at_ms: None,
    };
    coordinator
        .ctx
        .store
        .write(move |tx| enrolment_token::insert(tx, &token, &digest))
        .await
        .unwrap();
    secret.text.to_string()
}

on_both!(
    a_lost_answer_spends_no_second_use,
    a_token_has_four_ends,
    a_request_must_be_whole,
    who_tries_tokens_is_slowed_down,
    a_certificate_is_renewed_long_after_its_end,
    a_renewal_is_refused_without_its_key_its_time_or_its_device,
);
