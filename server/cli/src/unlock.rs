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
    store_in(&folder()?, key, now_ms, valid_for_ms)
}

fn store_in(folder: &Path, key: &SigningKey, now_ms: i64, valid_for_ms: i64) -> Outcome<i64> {
    let path = folder.join(file_name(&key.public_key()));
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
    load_from(&folder().ok()?, public, now_ms)
}

fn load_from(folder: &Path, public: &PublicKey, now_ms: i64) -> Option<SigningKey> {
    let path = folder.join(file_name(public));
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn an_open_key_ends_by_itself_and_its_file_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate([7; 32]);
        let public = key.public_key();
        let file = folder.path().join(file_name(&public));
        let until = store_in(folder.path(), &key, NOW_MS, 60_000).unwrap();
        assert_eq!(until, NOW_MS + 60_000);
        let open = load_from(folder.path(), &public, until - 1).unwrap();
        assert_eq!(open.key_id(), key.key_id());
        assert!(load_from(folder.path(), &public, until).is_none());
        assert!(!file.exists());
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_key_open() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate([8; 32]);
        store_in(folder.path(), &key, NOW_MS, 60_000).unwrap();
        assert!(load_from(folder.path(), &key.public_key(), NOW_MS - 1).is_none());
    }

    #[test]
    fn a_file_others_may_read_or_of_another_key_opens_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::generate([9; 32]);
        let file = folder.path().join(file_name(&key.public_key()));
        store_in(folder.path(), &key, NOW_MS, 60_000).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load_from(folder.path(), &key.public_key(), NOW_MS).is_none());

        let other = SigningKey::generate([10; 32]);
        store_in(folder.path(), &other, NOW_MS, 60_000).unwrap();
        std::fs::rename(folder.path().join(file_name(&other.public_key())), &file).unwrap();
        assert!(load_from(folder.path(), &key.public_key(), NOW_MS).is_none());
    }
}
