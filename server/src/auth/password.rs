//! Passwords as argon2id hashes. Computed off the async threads, a few at once, because each takes memory and a tenth
//! of a second on purpose; who comes when too many wait is told to come later.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use chasqui_proto::error::{bad_field, retry_after};
use tokio::sync::{Semaphore, oneshot};
use tonic::{Code, Status};
use zeroize::Zeroizing;

/// Fewest bytes of a password.
pub const MIN_BYTES: usize = 12;
/// Most bytes.
pub const MAX_BYTES: usize = 1_024;

/// Callers that may wait for a place; more are refused.
const MOST_WAITING: usize = 256;

/// Memory in KiB, passes and lanes: the first choice of the OWASP password storage cheat sheet for argon2id.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Computes hashes, a bounded number at once.
pub struct Hasher {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Checks the rule on new passwords: [`MIN_BYTES`] to [`MAX_BYTES`].
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub fn check(field: &str, password: &str) -> Result<(), Status> {
    if (MIN_BYTES..=MAX_BYTES).contains(&password.len()) {
        Ok(())
    } else {
        Err(bad_field(
            field,
            format!(
                "has {} bytes, {MIN_BYTES} to {MAX_BYTES} are allowed",
                password.len()
            ),
        ))
    }
}

impl Hasher {
    /// With this many places.
    pub fn new(at_once: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        }
    }

    /// The hash of a new password, in PHC form with a fresh salt.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED when too many wait.
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<String, Status> {
        self.run(move || hash(&password)).await?
    }

    /// Whether the password is the one behind the hash. Without a hash (no such account) it takes the same time and
    /// answers no.
    ///
    /// # Errors
    /// As [`hash`](Self::hash).
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        kept: Option<String>,
    ) -> Result<bool, Status> {
        self.run(move || {
            let decoy = decoy();
            let known = kept.is_some();
            let text = kept.unwrap_or_else(|| decoy.to_owned());
            let matches = PasswordHash::new(&text)
                .is_ok_and(|kept| engine().verify_password(password.as_bytes(), &kept).is_ok());
            known && matches
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let _waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            retry_after(
                Code::ResourceExhausted,
                "LOGIN_OVERLOADED",
                "too many log-ins at once: try again in a moment",
                Duration::from_secs(5),
            )
        })?;
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|error| crate::error::internal("password", &error))?;
        let (done, answer) = oneshot::channel();
        // A thread of its own each time: the allocator keeps a hash's 19 MiB for whichever thread asked, and the runtime's
        // threads for blocking work would each come to hold as much.
        std::thread::Builder::new()
            .name("password".to_owned())
            .spawn(move || {
                // Nobody waits any more when the caller hung up.
                let _ = done.send(work());
                drop(place);
            })
            .map_err(|error| crate::error::internal("password", &error))?;
        answer
            .await
            .map_err(|error| crate::error::internal("password", &error))
    }
}

/// [`Hasher::hash`] on this thread, for `init`.
///
/// # Errors
/// INTERNAL when the system gives no random numbers.
pub fn hash(password: &str) -> Result<String, Status> {
    engine()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| crate::error::internal("password", &error))
}

fn engine() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// A hash nobody knows the password of.
fn decoy() -> &'static str {
    static DECOY: OnceLock<String> = OnceLock::new();
    DECOY.get_or_init(|| hash(&chasqui_base::clock::new_id().to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn a_hash_opens_with_its_password_alone() {
        let hasher = Hasher::new(1);
        let kept = hasher.hash(secret("correct horse battery")).await.unwrap();
        assert!(
            kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{kept}"
        );
        assert_ne!(
            kept,
            hasher.hash(secret("correct horse battery")).await.unwrap()
        );
        assert!(
            hasher
                .verify(secret("correct horse battery"), Some(kept.clone()))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(secret("correct horse batterz"), Some(kept))
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(secret("correct horse battery"), None)
                .await
                .unwrap()
        );
        assert!(
            !hasher
                .verify(secret(""), Some("damaged".to_owned()))
                .await
                .unwrap()
        );
    }

    #[test]
    fn the_rule_on_length() {
        assert!(check("password", "12 bytes ok.").is_ok());
        assert!(check("password", "11 bytes no").is_err());
        assert!(check("password", &"x".repeat(1_025)).is_err());
    }
}
