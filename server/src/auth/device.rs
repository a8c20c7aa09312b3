//! Which machine stands behind a client certificate. TLS has proved that the certificate is from the private authority
//! and that the other end holds its key; here it is held against the device's row. Standings are remembered, so that a
//! message costs no database read.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chasqui_base::clock;
use chasqui_domain::ids::DeviceId;
use chasqui_proto::error::status;
use chasqui_store::Store;
use chasqui_store::device::{self, Standing};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tonic::{Code, Status};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Device;
use crate::error::Failure;

/// How long a standing is believed. A change made by this process is seen at once; this bounds how late it sees another
/// replica's.
const BELIEVED: Duration = Duration::from_secs(30);
/// Standings remembered at most; only holders of a certificate can fill it.
const MOST: usize = 200_000;

/// What a client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The device it was made for.
    pub device: DeviceId,
    /// SHA-256 over the 32 bytes of its key.
    pub fingerprint: [u8; 32],
    /// End of its validity, UTC milliseconds.
    pub not_after_ms: i64,
}

/// Why a client certificate says nothing to us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not readable as a certificate.
    #[error("the client certificate cannot be read")]
    Unreadable,
    /// Not a device certificate of this organisation.
    #[error("the client certificate names no device of this organisation")]
    NoDevice,
    /// Not an Ed25519 key.
    #[error("the client certificate has no Ed25519 key")]
    Key,
}

impl PeerCertificate {
    /// Reads a certificate that the handshake verified.
    ///
    /// # Errors
    /// [`PeerError`] when it is not a device certificate of this organisation.
    pub fn read(der: &[u8], organisation: &str) -> Result<Self, PeerError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| PeerError::Unreadable)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| PeerError::Unreadable)?
            .ok_or(PeerError::NoDevice)?;
        let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
            return Err(PeerError::NoDevice);
        };
        let device = uri
            .strip_prefix("spiffe://")
            .and_then(|rest| rest.strip_prefix(organisation))
            .and_then(|rest| rest.strip_prefix("/device/"))
            .and_then(|id| id.parse().ok())
            .ok_or(PeerError::NoDevice)?;
        let key = certificate.public_key();
        if key.algorithm.algorithm != x509_parser::oid_registry::OID_SIG_ED25519 {
            return Err(PeerError::Key);
        }
        let raw: &[u8] = &key.subject_public_key.data;
        if raw.len() != 32 {
            return Err(PeerError::Key);
        }
        Ok(Self {
            device,
            fingerprint: Sha256::digest(raw).into(),
            not_after_ms: certificate
                .validity()
                .not_after
                .timestamp()
                .saturating_mul(1000),
        })
    }
}

/// Remembered standings of devices.
#[derive(Default)]
pub struct Standings {
    known: RwLock<HashMap<DeviceId, (Standing, Instant)>>,
    /// Grows with every change, so that a read begun before a change does not overwrite what came after it.
    changes: AtomicU64,
}

impl Standings {
    /// The device behind a certificate, when both are in force.
    ///
    /// # Errors
    /// UNAUTHENTICATED with CERTIFICATE_EXPIRED, DEVICE_UNKNOWN or CERTIFICATE_KEY_UNKNOWN; PERMISSION_DENIED with
    /// DEVICE_REVOKED or DEVICE_QUARANTINED.
    pub async fn admit(
        &self,
        store: &Store,
        certificate: &PeerCertificate,
        now_ms: i64,
    ) -> Result<Device, Status> {
        if certificate.not_after_ms < now_ms {
            // The handshake was earlier; the connection outlived the certificate.
            return Err(status(
                Code::Unauthenticated,
                "CERTIFICATE_EXPIRED",
                "the device certificate has ended: renew it and connect anew",
                &[],
            ));
        }
        let standing = self.standing(store, certificate.device).await?;
        check(certificate.device, &standing, &certificate.fingerprint)?;
        Ok(Device {
            id: certificate.device,
            fingerprint: certificate.fingerprint,
        })
    }

    /// Forgets a device's standing after its row changed.
    pub fn changed(&self, device: DeviceId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        if let Ok(mut known) = self.known.write() {
            known.remove(&device);
        }
    }

    async fn standing(&self, store: &Store, device: DeviceId) -> Result<Standing, Status> {
        let now = clock::monotonic();
        if let Ok(known) = self.known.read()
            && let Some((standing, since)) = known.get(&device)
            && now.saturating_duration_since(*since) < BELIEVED
        {
            return Ok(standing.clone());
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let id = device.to_string();
        let found = store
            .read(move |tx| Ok::<_, Failure>(device::standing(tx, &id)?))
            .await?;
        let standing = found.ok_or_else(|| unknown(device))?;
        if let Ok(mut known) = self.known.write()
            && self.changes.load(Ordering::SeqCst) == changes
        {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(device, (standing.clone(), now));
        }
        Ok(standing)
    }
}

/// Whether a row lets its machine in. Also used by renewal, where no certificate may be left.
pub(crate) fn check(
    device: DeviceId,
    standing: &Standing,
    fingerprint: &[u8; 32],
) -> Result<(), Status> {
    let id = device.to_string();
    let same: bool = hex::encode(fingerprint)
        .as_bytes()
        .ct_eq(standing.fingerprint.as_bytes())
        .into();
    if !same {
        return Err(status(
            Code::Unauthenticated,
            "CERTIFICATE_KEY_UNKNOWN",
            "this key is not the device's: enrol the machine anew",
            &[("device", &id)],
        ));
    }
    match standing.state {
        device::State::Active => Ok(()),
        device::State::Revoked | device::State::Retired => Err(revoked(device)),
        device::State::Quarantined => Err(quarantined(device)),
    }
}

pub(crate) fn unknown(device: DeviceId) -> Status {
    status(
        Code::Unauthenticated,
        "DEVICE_UNKNOWN",
        "this coordinator knows no such device: enrol the machine",
        &[("device", &device.to_string())],
    )
}

pub(crate) fn revoked(device: DeviceId) -> Status {
    status(
        Code::PermissionDenied,
        "DEVICE_REVOKED",
        "this device was revoked: an administrator must let it enrol anew",
        &[("device", &device.to_string())],
    )
}

pub(crate) fn quarantined(device: DeviceId) -> Status {
    status(
        Code::PermissionDenied,
        "DEVICE_QUARANTINED",
        "two machines answered with this identity: a person must decide (chasqui device quarantine)",
        &[("device", &device.to_string())],
    )
}
