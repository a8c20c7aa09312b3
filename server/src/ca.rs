//! The private authority for devices: made once by `init`, it signs device certificates and the agents' listener. It is
//! no root of trust: it says who is connected, never what may run.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use chasqui_base::{clock, durable};
use chasqui_domain::ids::DeviceId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// File names in the data folder.
pub const CA_CERTIFICATE: &str = "device-ca.pem";
/// The authority's key, readable by its owner alone.
pub const CA_KEY: &str = "device-ca.key";

/// Validity of the authority.
const CA_YEARS: i64 = 20;
/// Validity of the agents' listener. Made anew at every start, so it only has to outlast one run.
const LISTENER_DAYS: i64 = 397;
/// Certificates begin a little earlier: clocks differ.
const BACKDATE_MS: i64 = 5 * clock::MINUTE_MS;

/// What can go wrong with the authority.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file of it.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// What the system or the parser says.
        cause: String,
    },
    /// A certificate request that cannot be served.
    #[error("{0}")]
    Request(&'static str),
    /// Making or signing.
    #[error("certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The authority with its key. Cheap to clone.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    organisation: String,
}

/// A device's certificate as it was made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// DER.
    pub der: Vec<u8>,
    /// Lower-case hex.
    pub serial: String,
    /// UTC milliseconds.
    pub not_before_ms: i64,
    /// UTC milliseconds.
    pub not_after_ms: i64,
}

/// The key of a certificate request whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedKey {
    /// 32 bytes of Ed25519.
    pub public_key: [u8; 32],
    /// The same as SubjectPublicKeyInfo, DER.
    spki: Vec<u8>,
}

impl RequestedKey {
    /// Reads a PKCS#10 request: the key and the proof that the asker holds it. Nothing else in it is looked at.
    ///
    /// # Errors
    /// [`CaError::Request`] with what is wrong.
    pub fn read(der: &[u8]) -> Result<Self, CaError> {
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| CaError::Request("is not a PKCS#10 certificate request in DER"))?;
        if !rest.is_empty() {
            return Err(CaError::Request("has bytes after the certificate request"));
        }
        let spki = &request.certification_request_info.subject_pki;
        if spki.algorithm.algorithm != x509_parser::oid_registry::OID_SIG_ED25519 {
            return Err(CaError::Request("has a key of another kind than Ed25519"));
        }
        let public_key: [u8; 32] = spki
            .subject_public_key
            .data
            .as_ref()
            .try_into()
            .map_err(|_| CaError::Request("has no key of 32 bytes"))?;
        chasqui_trust::PublicKey::from_ed25519(public_key)
            .map_err(|_| CaError::Request("has an unusable key"))?;
        request
            .verify_signature()
            .map_err(|_| CaError::Request("is not signed by its own key"))?;
        Ok(Self {
            public_key,
            spki: spki.raw.to_vec(),
        })
    }

    /// SHA-256 over the 32 bytes, lower-case hex.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.public_key))
    }
}

impl Authority {
    /// Makes a new authority and writes it into the data folder.
    ///
    /// # Errors
    /// [`CaError`]; nothing is overwritten by the caller's care.
    pub fn create(data: &Path, organisation: &str, now_ms: i64) -> Result<Self, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = named(&format!("{organisation} device authority"), organisation);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date(now_ms - BACKDATE_MS);
        params.not_after = date(now_ms + CA_YEARS * 365 * clock::DAY_MS);
        params.serial_number = Some(serial()?);
        let certificate = params.self_signed(&key)?;
        write(&data.join(CA_KEY), key.serialize_pem().as_bytes(), 0o600)?;
        write(
            &data.join(CA_CERTIFICATE),
            certificate.pem().as_bytes(),
            0o644,
        )?;
        Self::new(certificate.der().clone(), key, organisation)
    }

    /// Reads the authority of a data folder.
    ///
    /// # Errors
    /// [`CaError::File`] naming the file.
    pub fn load(data: &Path, organisation: &str) -> Result<Self, CaError> {
        let failed = |path: &Path, cause: String| CaError::File {
            path: path.display().to_string(),
            cause: format!(
                "{cause}; `chasqui-server init` makes it, a backup of the data folder brings it back"
            ),
        };
        let key_path = data.join(CA_KEY);
        let pem =
            std::fs::read_to_string(&key_path).map_err(|e| failed(&key_path, e.to_string()))?;
        let key = KeyPair::from_pem(&pem).map_err(|e| failed(&key_path, e.to_string()))?;
        let path = data.join(CA_CERTIFICATE);
        let certificate =
            CertificateDer::from_pem_file(&path).map_err(|e| failed(&path, e.to_string()))?;
        Self::new(certificate, key, organisation)
    }

    fn new(
        certificate: CertificateDer<'static>,
        key: KeyPair,
        organisation: &str,
    ) -> Result<Self, CaError> {
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self(Arc::new(Inner {
            issuer,
            certificate,
            organisation: organisation.to_owned(),
        })))
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.certificate
    }

    /// SHA-256 of the certificate: what `root.json` names, so that agents know it without having met it.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.certificate()).into()
    }

    /// Signs a device certificate.
    ///
    /// # Errors
    /// [`CaError::Make`].
    pub fn issue(
        &self,
        device: DeviceId,
        key: &RequestedKey,
        now_ms: i64,
        days: u32,
    ) -> Result<Issued, CaError> {
        let public = SubjectPublicKeyInfo::from_der(&key.spki)?;
        let not_before_ms = whole_seconds(now_ms - BACKDATE_MS);
        let not_after_ms = whole_seconds(now_ms + i64::from(days) * clock::DAY_MS);
        let serial = serial()?;
        let mut params = named(&device.to_string(), &self.0.organisation);
        let uri = format!("spiffe://{}/device/{device}", self.0.organisation);
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = date(not_before_ms);
        params.not_after = date(not_after_ms);
        params.serial_number = Some(serial.clone());
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&public, &self.0.issuer)?;
        Ok(Issued {
            der: certificate.der().to_vec(),
            serial: hex::encode(serial.to_bytes()),
            not_before_ms,
            not_after_ms,
        })
    }

    /// A fresh key and certificate for the agents' listener, and the chain to show: leaf, then the authority, because
    /// agents pin the authority's digest and have never seen its certificate.
    ///
    /// # Errors
    /// [`CaError::Make`], also for a name that cannot stand in a certificate.
    pub fn listener(
        &self,
        names: &[String],
        now_ms: i64,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = named("chasqui-server", &self.0.organisation);
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date(now_ms - BACKDATE_MS);
        params.not_after = date(now_ms + LISTENER_DAYS * clock::DAY_MS);
        params.serial_number = Some(serial()?);
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.0.issuer)?;
        let private =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(|cause| CaError::File {
                path: "listener key".to_owned(),
                cause: cause.to_owned(),
            })?;
        Ok((
            vec![certificate.der().clone(), self.0.certificate.clone()],
            private,
        ))
    }
}

fn named(name: &str, organisation: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, organisation);
    distinguished.push(DnType::CommonName, name);
    params.distinguished_name = distinguished;
    params
}

/// 16 random bytes, positive (RFC 5280, 4.1.2.2).
fn serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(CaError::Random)?;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}

/// Certificates count whole seconds.
fn whole_seconds(ms: i64) -> i64 {
    ms - ms.rem_euclid(1000)
}

fn date(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CaError> {
    durable::write(path, bytes, mode).map_err(|cause| CaError::File {
        path: path.display().to_string(),
        cause: cause.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::PeerCertificate;

    fn authority() -> (tempfile::TempDir, Authority) {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path(), "example", clock::now_ms()).unwrap();
        (folder, authority)
    }

    fn request(alg: &'static rcgen::SignatureAlgorithm) -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate_for(alg).unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        (key, csr.der().to_vec())
    }

    #[test]
    fn a_certificate_says_which_device_and_key() {
        let (folder, authority) = authority();
        let (key, csr) = request(&rcgen::PKCS_ED25519);
        let requested = RequestedKey::read(&csr).unwrap();
        assert_eq!(requested.public_key.as_slice(), key.public_key_raw());
        let device = DeviceId(clock::new_id());
        let now_ms = clock::now_ms();
        // Read back from disk: what init writes is what run uses.
        let again = Authority::load(folder.path(), "example").unwrap();
        assert_eq!(again.sha256(), authority.sha256());
        let issued = again.issue(device, &requested, now_ms, 30).unwrap();
        let read = PeerCertificate::read(&issued.der, "example").unwrap();
        assert_eq!(read.device, device);
        assert_eq!(hex::encode(read.fingerprint), requested.fingerprint());
        assert_eq!(read.not_after_ms, issued.not_after_ms);
        assert!(issued.not_after_ms - now_ms <= 30 * clock::DAY_MS);
        assert!(PeerCertificate::read(&issued.der, "other").is_err());
        assert!(PeerCertificate::read(authority.certificate(), "example").is_err());
    }

    #[test]
    fn the_key_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, _authority) = authority();
        let mode = std::fs::metadata(folder.path().join(CA_KEY))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_request_must_be_signed_by_its_ed25519_key() {
        let (_, ecdsa) = request(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert!(
            RequestedKey::read(&ecdsa)
                .unwrap_err()
                .to_string()
                .contains("Ed25519")
        );
        let (_, mut csr) = request(&rcgen::PKCS_ED25519);
        let last = csr.len() - 1;
        csr[last] ^= 1;
        assert!(
            RequestedKey::read(&csr)
                .unwrap_err()
                .to_string()
                .contains("not signed")
        );
        csr[last] ^= 1;
        csr.push(0);
        assert!(RequestedKey::read(&csr).is_err());
        assert!(RequestedKey::read(b"").is_err());
    }
}
