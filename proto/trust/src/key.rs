//! Keys and the files that hold them. Ed25519 now; the scheme is named with every key, so another can join later.
//! Verification is strict (RFC 8032 with small-order points refused). Randomness is a parameter.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::KeypairBytes;
use pkcs8::der::pem::PemLabel as _;
use pkcs8::pkcs5::pbes2;
use pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, LineEnding,
    PrivateKeyInfoRef, SecretDocument,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::digest::{Digest, decode_hex_exact};
use crate::dsse::{Signature, pae};

/// The only scheme of version 1.
pub const ED25519: &str = "ed25519";

/// scrypt cost of new key files: N = 2^16, r = 8, p = 1 (64 MiB).
const SCRYPT_N: u64 = 1 << 16;
/// A key file asking for more is refused: it would only exhaust the machine.
const SCRYPT_MAX_N: u64 = 1 << 20;
const SCRYPT_MAX_R: u16 = 16;
const SCRYPT_MAX_P: u16 = 4;
const PBKDF2_MAX_ITERATIONS: u32 = 10_000_000;
const MAX_PEM_BYTES: usize = 16 * 1024;

/// The name of a public key: SHA-256 over the scheme's name, a zero byte and the raw public key; 64 hex characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Digest);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A public key with its scheme. A value of this type holds a valid point that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey {
    bytes: [u8; 32],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKeyForm {
    scheme: String,
    public: String,
}

impl PublicKey {
    /// From the 32 raw bytes of an Ed25519 key.
    pub fn from_ed25519(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::BadPublicKey)?;
        // One point, one spelling: a second encoding of a key would have a second key id.
        let canonical = key.to_edwards().compress().to_bytes() == bytes;
        if key.is_weak() || !canonical {
            return Err(KeyError::BadPublicKey);
        }
        Ok(Self { bytes })
    }

    /// From raw bytes of any length, as they come out of certificates.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| KeyError::BadPublicKey)?;
        Self::from_ed25519(bytes)
    }

    /// The scheme's name.
    pub fn scheme(&self) -> &'static str {
        ED25519
    }

    /// The raw public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The name of this key in signatures and roles.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of_parts(&[ED25519.as_bytes(), &[0], &self.bytes]))
    }

    /// The fingerprint by which a device is known: SHA-256 over the 32 raw bytes.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// True if `signature` is this key's over the payload with its type.
    pub fn verify(&self, payload_type: &str, payload: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else {
            return false;
        };
        let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(&self.bytes) else {
            return false;
        };
        key.verify_strict(&pae(payload_type, payload), &signature)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({ED25519}:{})", hex::encode(self.bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PublicKeyForm {
            scheme: ED25519.to_owned(),
            public: hex::encode(self.bytes),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let form = PublicKeyForm::deserialize(deserializer)?;
        if form.scheme != ED25519 {
            return Err(D::Error::custom(format!(
                "unknown key scheme {:?}; this program knows {ED25519}",
                form.scheme.chars().take(32).collect::<String>()
            )));
        }
        let bytes = decode_hex_exact::<32>(&form.public).map_err(D::Error::custom)?;
        Self::from_ed25519(bytes).map_err(D::Error::custom)
    }
}

/// What can be wrong with a key or its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a point of the curve, or one of small order.
    #[error("this is not a usable Ed25519 public key")]
    BadPublicKey,
    /// Not a PKCS#8 key file of an Ed25519 key.
    #[error("this is not a PKCS#8 file of an Ed25519 private key")]
    BadKeyFile,
    /// An encrypted file, opened as a plain one.
    #[error("this key file is protected by a passphrase")]
    Encrypted,
    /// The file cannot be opened with this passphrase.
    #[error("the passphrase does not open this key file, or the file is damaged")]
    WrongPassphrase,
    /// The key stretching this file asks for is not scrypt or PBKDF2 within bounds.
    #[error("this key file asks for key stretching beyond what this program allows")]
    CostTooHigh,
    /// No passphrase given for a new file.
    #[error("a passphrase must not be empty")]
    EmptyPassphrase,
}

impl KeyError {
    /// A stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadPublicKey => "KEY_PUBLIC_INVALID",
            Self::BadKeyFile => "KEY_FILE_INVALID",
            Self::Encrypted => "KEY_FILE_ENCRYPTED",
            Self::WrongPassphrase => "KEY_PASSPHRASE_WRONG",
            Self::CostTooHigh => "KEY_COST_TOO_HIGH",
            Self::EmptyPassphrase => "KEY_PASSPHRASE_EMPTY",
        }
    }

    /// The same in both languages.
    pub fn text(&self) -> crate::text::Text {
        let es = match self {
            Self::BadPublicKey => "esta no es una clave pública Ed25519 utilizable",
            Self::BadKeyFile => "este no es un archivo PKCS#8 de una clave privada Ed25519",
            Self::Encrypted => "este archivo de clave está protegido con una frase de paso",
            Self::WrongPassphrase => {
                "la frase de paso no abre este archivo de clave, o el archivo está dañado"
            }
            Self::CostTooHigh => {
                "este archivo de clave exige un estiramiento mayor que el que este programa permite"
            }
            Self::EmptyPassphrase => "la frase de paso no puede estar vacía",
        };
        crate::text::Text::new(es, self.to_string())
    }
}

/// A private key. Wiped from memory when dropped; never printed.
pub struct SigningKey {
    inner: ed25519_dalek::SigningKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.key_id())
    }
}

impl SigningKey {
    /// A key from 32 random bytes of the operating system, which the caller wipes.
    pub fn generate(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self {
            inner: ed25519_dalek::SigningKey::from_bytes(&seed),
        }
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey {
            bytes: self.inner.verifying_key().to_bytes(),
        }
    }

    /// The name of the public half.
    pub fn key_id(&self) -> KeyId {
        self.public_key().id()
    }

    /// Signs a payload with its type.
    pub fn sign(&self, payload_type: &str, payload: &[u8]) -> Signature {
        Signature {
            key_id: self.key_id(),
            signature: self
                .inner
                .sign(&pae(payload_type, payload))
                .to_bytes()
                .to_vec(),
        }
    }

    /// PKCS#8 DER without a passphrase: for device keys, in a file only the agent may read.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(Zeroizing::new(self.document()?.as_bytes().to_vec()))
    }

    /// PKCS#8 PEM without a passphrase: for device keys, in a file only the agent may read.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.document()?
            .to_pem("PRIVATE KEY", LineEnding::LF)
            .map_err(|_| KeyError::BadKeyFile)
    }

    /// Reads PKCS#8 PEM without a passphrase.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyError> {
        if pem.len() > MAX_PEM_BYTES {
            return Err(KeyError::BadKeyFile);
        }
        if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") {
            return Err(KeyError::Encrypted);
        }
        let pair = KeypairBytes::from_pkcs8_pem(pem).map_err(|_| KeyError::BadKeyFile)?;
        Self::from_pair(&pair)
    }

    /// Reads PKCS#8 DER without a passphrase.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = KeypairBytes::from_pkcs8_der(der).map_err(|_| KeyError::BadKeyFile)?;
        Self::from_pair(&pair)
    }

    /// Encrypted PKCS#8 PEM (PBES2: scrypt and AES-256-CBC). `salt` and `iv` are fresh random bytes.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &[u8],
        salt: [u8; 16],
        iv: [u8; 16],
    ) -> Result<Zeroizing<String>, KeyError> {
        if passphrase.is_empty() {
            return Err(KeyError::EmptyPassphrase);
        }
        let params = pbes2::Parameters {
            kdf: pbes2::ScryptParams {
                salt: pbes2::Salt::new(salt).map_err(|_| KeyError::BadKeyFile)?,
                cost_parameter: SCRYPT_N,
                block_size: 8,
                parallelization: 1,
                key_length: None,
            }
            .into(),
            encryption: pbes2::EncryptionScheme::Aes256Cbc { iv },
        };
        let plain = self.document()?;
        let encrypted = PrivateKeyInfoRef::try_from(plain.as_bytes())
            .and_then(|info| info.encrypt_with_params(params, passphrase))
            .map_err(|_| KeyError::BadKeyFile)?;
        encrypted
            .to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)
            .map_err(|_| KeyError::BadKeyFile)
    }

    /// Opens an encrypted PKCS#8 PEM file.
    pub fn from_encrypted_pem(pem: &str, passphrase: &[u8]) -> Result<Self, KeyError> {
        if pem.len() > MAX_PEM_BYTES {
            return Err(KeyError::BadKeyFile);
        }
        let (label, der) = SecretDocument::from_pem(pem).map_err(|_| KeyError::BadKeyFile)?;
        if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
            return Err(KeyError::BadKeyFile);
        }
        let info = EncryptedPrivateKeyInfoRef::try_from(der.as_bytes())
            .map_err(|_| KeyError::BadKeyFile)?;
        check_cost(&info.encryption_algorithm)?;
        let plain = info
            .decrypt(passphrase)
            .map_err(|_| KeyError::WrongPassphrase)?;
        let pair = KeypairBytes::from_pkcs8_der(plain.as_bytes())
            .map_err(|_| KeyError::WrongPassphrase)?;
        Self::from_pair(&pair)
    }

    fn from_pair(pair: &KeypairBytes) -> Result<Self, KeyError> {
        let inner = ed25519_dalek::SigningKey::from_bytes(&pair.secret_key);
        if let Some(public) = &pair.public_key {
            // A file whose halves disagree would sign with one key under another's name.
            if public.to_bytes() != inner.verifying_key().to_bytes() {
                return Err(KeyError::BadKeyFile);
            }
        }
        Ok(Self { inner })
    }

    fn document(&self) -> Result<SecretDocument, KeyError> {
        // Version 1 of PKCS#8, without the public half: every reader knows it.
        KeypairBytes {
            secret_key: self.inner.to_bytes(),
            public_key: None,
        }
        .to_pkcs8_der()
        .map_err(|_| KeyError::BadKeyFile)
    }
}

fn check_cost(scheme: &pkcs8::pkcs5::EncryptionScheme) -> Result<(), KeyError> {
    let params = scheme.pbes2().ok_or(KeyError::CostTooHigh)?;
    let fits = match &params.kdf {
        pbes2::Kdf::Scrypt(s) => {
            s.cost_parameter <= SCRYPT_MAX_N
                && s.block_size <= SCRYPT_MAX_R
                && s.parallelization <= SCRYPT_MAX_P
        }
        pbes2::Kdf::Pbkdf2(p) => p.iteration_count <= PBKDF2_MAX_ITERATIONS,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(KeyError::CostTooHigh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_opens_with_its_passphrase_alone() {
        let key = SigningKey::generate([3; 32]);
        let pem = key
            .to_encrypted_pem(b"correct horse", [1; 16], [2; 16])
            .unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        let back = SigningKey::from_encrypted_pem(&pem, b"correct horse").unwrap();
        assert_eq!(back.key_id(), key.key_id());
        assert_eq!(
            SigningKey::from_encrypted_pem(&pem, b"wrong").unwrap_err(),
            KeyError::WrongPassphrase
        );
        assert_eq!(
            SigningKey::from_pkcs8_pem(&pem).unwrap_err(),
            KeyError::Encrypted
        );
        assert_eq!(
            key.to_encrypted_pem(b"", [1; 16], [2; 16]).unwrap_err(),
            KeyError::EmptyPassphrase
        );
    }

    #[test]
    fn a_device_key_survives_its_file() {
        let key = SigningKey::generate([4; 32]);
        let pem = key.to_pkcs8_pem().unwrap();
        assert_eq!(
            SigningKey::from_pkcs8_pem(&pem).unwrap().key_id(),
            key.key_id()
        );
        let der = key.to_pkcs8_der().unwrap();
        assert_eq!(
            SigningKey::from_pkcs8_der(&der).unwrap().key_id(),
            key.key_id()
        );
    }

    #[test]
    fn a_small_order_key_is_refused() {
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert_eq!(
            PublicKey::from_ed25519(identity).unwrap_err(),
            KeyError::BadPublicKey
        );
    }

    #[test]
    fn a_second_spelling_of_a_point_is_refused() {
        // y = p + 3, which decompresses to the point with y = 3.
        let mut long = [0xff; 32];
        long[0] = 0xf0;
        long[31] = 0x7f;
        let mut short = [0u8; 32];
        short[0] = 3;
        assert!(PublicKey::from_ed25519(short).is_ok());
        assert_eq!(
            PublicKey::from_ed25519(long).unwrap_err(),
            KeyError::BadPublicKey
        );
    }

    #[test]
    fn an_unknown_scheme_is_refused_by_name() {
        let key = SigningKey::generate([4; 32]).public_key();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
        let other = json.replace("ed25519", "rsa");
        let error = serde_json::from_str::<PublicKey>(&other).unwrap_err();
        assert!(error.to_string().contains("rsa"), "{error}");
    }
}
