//! Keys that stay open for a while, for risk 0 and 1 only. They lie in the user's runtime folder (in memory on Linux,
//! gone at log-out), readable by their owner alone, and end by themselves. Where there is no such folder, nothing is kept.

use std::path::{Path, PathBuf};

use chasqui_trust::{PublicKey, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::{Exit, Failure, Outcome};

/// Longest time a key stays open: a working day.
pub const MAX_OPEN_MS: i64 = 8 * 60 * 60 * 1000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenKey {
    opened_at_ms: i64,
    expires_at_ms: i64,
    key: String,
}

impl Drop for OpenKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// The folder for open keys, made when needed.
pub fn folder() -> Outcome<PathBuf> {
    let none = || {
        Failure::new(
            Exit::Refused,
            "NO_RUNTIME_FOLDER",
            "este sistema no tiene una carpeta de ejecución privada (XDG_RUNTIME_DIR): la clave no puede quedar abierta",
            "this system has no private runtime folder (XDG_RUNTIME_DIR): the key cannot stay open",
        )
        .hint(
            "escriba la frase de paso en cada firma",
            "type the passphrase at each signature",
        )
    };
    if !cfg!(unix) {
        return Err(none());
    }
    let base = std::env::var_os("XDG_RUNTIME_DIR")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute() && dir.is_dir())
        .ok_or_else(none)?;
    if !is_private(&base) {
        return Err(none());
    }
    let folder = base.join("chasqui");
    chasqui_base::durable::create_private_dir(&folder)
        .map_err(|error| Failure::file(&folder, &error))?;
    if is_private(&folder) {
        Ok(folder)
    } else {
        Err(none())
    }
}

/// Keeps a key open; gives back until when, UTC milliseconds.
pub fn store(key: &SigningKey, now_ms: i64, valid_for_ms: i64) -> Outcome<i64> {
    if valid_for_ms > MAX_OPEN_MS {
        return Err(Failure::usage(
            "una clave queda abierta 8 h como máximo",
            "a key stays open for 8 h at most",
        ));
    }
    let path = folder()?.join(file_name(&key.public_key()));
    let open = OpenKey {
        opened_at_ms: now_ms,
        expires_at_ms: now_ms + valid_for_ms,
        key: key.to_pkcs8_pem()?.to_string(),
    };
    let bytes =
        Zeroizing::new(serde_json::to_vec(&open).map_err(|error| {
            Failure::new(Exit::Failed, "IO", error.to_string(), error.to_string())
        })?);
    crate::input::write_file(&path, &bytes, 0o600)?;
    Ok(open.expires_at_ms)
}

/// The key, if it is open now. An expired one is removed on the way; so is one from the future, since a clock was set
/// back.
pub fn load(public: &PublicKey, now_ms: i64) -> Option<SigningKey> {
    let path = folder().ok()?.join(file_name(public));
    let bytes = Zeroizing::new(crate::input::read_file(&path).ok()?);
    let open: Option<OpenKey> = serde_json::from_slice(&bytes).ok();
    let key = open
        .filter(|open| open.opened_at_ms <= now_ms && now_ms < open.expires_at_ms)
        .filter(|_| is_private(&path))
        .and_then(|open| SigningKey::from_pkcs8_pem(&open.key).ok())
        .filter(|key| key.public_key() == *public);
    if key.is_none() {
        // Nothing usable: whatever it is, it should not lie there.
        let _ = std::fs::remove_file(&path);
    }
    key
}

/// Closes every open key; gives back how many there were.
pub fn lock() -> Outcome<usize> {
    let Ok(folder) = folder() else {
        return Ok(0);
    };
    let mut removed = 0;
    let entries = std::fs::read_dir(&folder).map_err(|error| Failure::file(&folder, &error))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "open") {
            std::fs::remove_file(&path).map_err(|error| Failure::file(&path, &error))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn file_name(public: &PublicKey) -> String {
    format!("{}.open", public.id())
}

/// Nobody else may read it.
#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(_path: &Path) -> bool {
    false
}
