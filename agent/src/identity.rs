//! Who this machine is: the device key, made here and never leaving, the certificate the coordinator gave for it, and the
//! papers both are needed for (certificate request, renewal).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chasqui_base::durable;
use chasqui_base::text::Text;
use chasqui_trust::{Digest, PublicKey, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::tls::ClientCertificate;

/// DSSE payload type of a renewal request's signature.
pub const RENEWAL_TYPE: &str = "application/vnd.chasqui.renewal.v1";

/// An enrolled machine.
#[derive(Clone, Debug)]
pub struct Identity {
    /// UUIDv7 given by the coordinator.
    pub device_id: String,
    /// The organisation, as in the root.
    pub organisation: String,
    /// The device key.
    pub key: Arc<SigningKey>,
    /// Device certificate, DER.
    pub certificate: Vec<u8>,
    /// Its authority, DER.
    pub authority: Vec<u8>,
    /// Certificate valid from, UTC milliseconds.
    pub not_before_ms: i64,
    /// Certificate valid until, UTC milliseconds.
    pub not_after_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    device_id: String,
    organisation: String,
    fingerprint: String,
}

/// Where the pieces are inside the state folder.
#[derive(Clone, Debug)]
pub struct Paths {
    /// PKCS#8 PEM, 0600.
    pub key: PathBuf,
    /// PEM.
    pub certificate: PathBuf,
    /// PEM.
    pub authority: PathBuf,
    /// Written last: with it the machine is enrolled.
    pub identity: PathBuf,
    /// An enrolment that was begun and not answered.
    pub pending: PathBuf,
}

impl Paths {
    /// The paths below a state folder.
    pub fn of(state_dir: &Path) -> Self {
        Self {
            key: state_dir.join("device.key"),
            certificate: state_dir.join("device.crt"),
            authority: state_dir.join("ca.pem"),
            identity: state_dir.join("identity.toml"),
            pending: state_dir.join("enrolment.toml"),
        }
    }
}

impl Identity {
    /// The stored identity; none when this machine never finished an enrolment.
    pub fn load(state_dir: &Path) -> Result<Option<Self>, Failure> {
        let paths = Paths::of(state_dir);
        let text = match fs::read_to_string(&paths.identity) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(damaged(&paths.identity, &error.to_string())),
        };
        let file: IdentityFile =
            toml::from_str(&text).map_err(|error| damaged(&paths.identity, error.message()))?;
        let key =
            load_key(&paths.key)?.ok_or_else(|| damaged(&paths.key, "the file is missing"))?;
        if key.public_key().fingerprint().to_hex() != file.fingerprint {
            return Err(damaged(&paths.key, "it is not the key that was enrolled"));
        }
        let certificate = read_pem(&paths.certificate)?;
        let authority = read_pem(&paths.authority)?;
        let (not_before_ms, not_after_ms) = check_certificate(
            &certificate,
            &key.public_key(),
            &file.organisation,
            &file.device_id,
        )
        .map_err(|why| damaged(&paths.certificate, &why))?;
        Ok(Some(Self {
            device_id: file.device_id,
            organisation: file.organisation,
            key: Arc::new(key),
            certificate,
            authority,
            not_before_ms,
            not_after_ms,
        }))
    }

    /// An identity from what the coordinator answered, checked against the key; nothing is written.
    pub fn from_answer(
        device_id: &str,
        organisation: &str,
        key: Arc<SigningKey>,
        certificate: &[u8],
        authority: &[u8],
    ) -> Result<Self, String> {
        let (not_before_ms, not_after_ms) =
            check_certificate(certificate, &key.public_key(), organisation, device_id)?;
        check_issuer(certificate, authority)?;
        Ok(Self {
            device_id: device_id.to_owned(),
            organisation: organisation.to_owned(),
            key,
            certificate: certificate.to_vec(),
            authority: authority.to_vec(),
            not_before_ms,
            not_after_ms,
        })
    }

    /// Writes certificate, authority and, last, the identity itself.
    pub fn store(&self, state_dir: &Path) -> io::Result<()> {
        let paths = Paths::of(state_dir);
        durable::write(
            &paths.authority,
            pem("CERTIFICATE", &self.authority).as_bytes(),
            0o644,
        )?;
        durable::write(
            &paths.certificate,
            pem("CERTIFICATE", &self.certificate).as_bytes(),
            0o644,
        )?;
        let file = IdentityFile {
            device_id: self.device_id.clone(),
            organisation: self.organisation.clone(),
            fingerprint: self.fingerprint().to_hex(),
        };
        let text = toml::to_string(&file).map_err(io::Error::other)?;
        durable::write(&paths.identity, text.as_bytes(), 0o644)
    }

    /// SHA-256 over the 32 bytes of the public key: what people sign.
    pub fn fingerprint(&self) -> Digest {
        self.key.public_key().fingerprint()
    }

    /// For [`crate::tls::client_config`].
    pub fn client_certificate(&self) -> Result<ClientCertificate, chasqui_trust::key::KeyError> {
        Ok(ClientCertificate {
            chain: vec![self.certificate.clone(), self.authority.clone()],
            key: self.key.to_pkcs8_der()?,
        })
    }

    /// True when two thirds of the certificate's life are over, or its time has not come by this machine's clock.
    pub fn needs_renewal(&self, now_ms: i64) -> bool {
        let life = self.not_after_ms.saturating_sub(self.not_before_ms);
        now_ms >= self.not_before_ms.saturating_add(life / 3 * 2)
    }
}

/// The device key of this state folder; made and stored (0600) when there is none.
pub fn load_or_make_key(state_dir: &Path) -> Result<SigningKey, Failure> {
    let path = Paths::of(state_dir).key;
    if let Some(key) = load_key(&path)? {
        return Ok(key);
    }
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|error| unwritable(&path, &error.to_string()))?;
    let key = SigningKey::generate(seed);
    zeroize::Zeroize::zeroize(&mut seed);
    let pem = key
        .to_pkcs8_pem()
        .map_err(|error| unwritable(&path, &error.to_string()))?;
    durable::write(&path, pem.as_bytes(), 0o600)
        .map_err(|error| unwritable(&path, &error.to_string()))?;
    Ok(key)
}

fn load_key(path: &Path) -> Result<Option<SigningKey>, Failure> {
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(pem) => SigningKey::from_pkcs8_pem(&pem)
            .map(Some)
            .map_err(|error| damaged(path, &error.to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(damaged(path, &error.to_string())),
    }
}

/// PKCS#10, DER, signed by the device key. The same key gives the same bytes, so a repeated enrolment is the same request.
pub fn certificate_request(key: &SigningKey) -> Result<Vec<u8>, String> {
    let der = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
        &rustls::pki_types::PrivatePkcs8KeyDer::from(der.as_slice()),
        &rcgen::PKCS_ED25519,
    )
    .map_err(|error| error.to_string())?;
    let mut params = rcgen::CertificateParams::default();
    // The coordinator decides what the certificate says; a subject here would only be ignored.
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params
        .serialize_request(&pair)
        .map_err(|error| error.to_string())?;
    Ok(request.der().to_vec())
}

/// The signed payload of a renewal: see `RenewCertificateRequest.signature` in `enrolment.proto`.
pub fn renewal_payload(
    device_id: &str,
    made_at_ms: i64,
    nonce: &[u8],
    certificate_request: &[u8],
) -> Vec<u8> {
    let mut payload = Vec::with_capacity(128);
    payload.extend_from_slice(device_id.as_bytes());
    payload.push(0);
    payload.extend_from_slice(made_at_ms.to_string().as_bytes());
    payload.push(0);
    payload.extend_from_slice(nonce);
    payload.extend_from_slice(&sha2::Sha256::digest(certificate_request));
    payload
}

/// Checks a device certificate: our key, our SPIFFE id. Answers its validity in UTC milliseconds.
fn check_certificate(
    der: &[u8],
    key: &PublicKey,
    organisation: &str,
    device_id: &str,
) -> Result<(i64, i64), String> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| "not a certificate".to_owned())?;
    if !rest.is_empty() {
        return Err("bytes after the certificate".to_owned());
    }
    if certificate.public_key().subject_public_key.data.as_ref() != key.as_bytes().as_slice() {
        return Err("the certificate is for another key".to_owned());
    }
    let wanted = format!("spiffe://{organisation}/device/{device_id}");
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| "unreadable names".to_owned())?;
    let named = names.is_some_and(|names| {
        names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::URI(uri) if *uri == wanted))
    });
    if !named {
        return Err(format!("the certificate is not for {wanted}"));
    }
    let validity = certificate.validity();
    Ok((
        validity.not_before.timestamp().saturating_mul(1000),
        validity.not_after.timestamp().saturating_mul(1000),
    ))
}

/// Checks that the authority names itself the issuer. The signature is proved in every handshake by the coordinator.
fn check_issuer(certificate: &[u8], authority: &[u8]) -> Result<(), String> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| "not a certificate".to_owned())?;
    let (_, authority) = X509Certificate::from_der(authority)
        .map_err(|_| "the authority is not a certificate".to_owned())?;
    if certificate.issuer().as_raw() != authority.subject().as_raw() {
        return Err("the certificate names another issuer than the authority sent".to_owned());
    }
    Ok(())
}

/// PEM text of some DER.
pub fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

fn read_pem(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| damaged(path, &error.to_string()))?;
    let body: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    STANDARD
        .decode(body)
        .ok()
        .filter(|der| !der.is_empty())
        .ok_or_else(|| damaged(path, "not PEM"))
}

fn damaged(path: &Path, why: &str) -> Failure {
    Failure::needs_action(
        "IDENTITY_DAMAGED",
        Text::new(
            format!(
                "no se puede usar la identidad de este equipo, {}: {why}. Restaure el archivo o inscriba de nuevo con: chasqui-agent enrol --replace",
                path.display()
            ),
            format!(
                "this machine's identity cannot be used, {}: {why}. Restore the file or enrol anew with: chasqui-agent enrol --replace",
                path.display()
            ),
        ),
    )
}

fn unwritable(path: &Path, why: &str) -> Failure {
    Failure::failed(
        "STATE_UNWRITABLE",
        Text::new(
            format!("no se puede escribir {}: {why}", path.display()),
            format!("{} cannot be written: {why}", path.display()),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_makes_the_same_request() {
        let key = SigningKey::generate([5; 32]);
        let one = certificate_request(&key).unwrap();
        assert_eq!(one, certificate_request(&key).unwrap());
        let parsed = rcgen::CertificateSigningRequestParams::from_der(&one.into()).unwrap();
        assert_eq!(
            rcgen::PublicKeyData::der_bytes(&parsed.public_key),
            key.public_key().as_bytes()
        );
    }

    #[test]
    fn pem_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pem");
        let der: Vec<u8> = (0..200).collect();
        fs::write(&path, pem("CERTIFICATE", &der)).unwrap();
        assert_eq!(read_pem(&path).unwrap(), der);
    }

    #[test]
    fn a_key_is_made_once_and_kept_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let one = load_or_make_key(folder.path()).unwrap();
        let two = load_or_make_key(folder.path()).unwrap();
        assert_eq!(one.key_id(), two.key_id());
        let mode = fs::metadata(folder.path().join("device.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
