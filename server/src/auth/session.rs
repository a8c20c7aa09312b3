//! Sessions of people: a random token the client keeps, of which only the digest is stored. What was looked up is
//! believed for some seconds, so that a call costs no database read; ending a session here is seen at once.

use std::collections::HashMap;
use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chasqui_base::clock;
use chasqui_domain::ids::PersonId;
use chasqui_proto::error::status;
use chasqui_store::Store;
use chasqui_store::session::{self, Session};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tonic::{Code, Status};
use zeroize::Zeroizing;

use super::Person;
use crate::config::SessionsConfig;
use crate::error::{self, Failure};

/// How long a looked-up session is believed: bounds how late another replica's log-out is seen.
const BELIEVED: Duration = Duration::from_secs(10);
/// Sessions remembered at most.
const MOST: usize = 50_000;
/// Longest token that is even looked at.
const MAX_TOKEN: usize = 128;

/// A secret given out once and kept by its digest: `<kind>_` and 43 characters of base64url over 32 random bytes. The
/// kind lets people and scanners tell what leaked.
pub struct Secret {
    /// To be given out.
    pub text: Zeroizing<String>,
    /// To be kept: SHA-256 over the text, lower-case hex.
    pub digest: String,
}

impl Secret {
    /// A fresh one.
    ///
    /// # Errors
    /// INTERNAL when the system gives no random numbers.
    pub fn fresh(kind: &str) -> Result<Self, Status> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut_slice()).map_err(|cause| error::internal("random", &cause))?;
        let text = Zeroizing::new(format!(
            "{kind}_{}",
            URL_SAFE_NO_PAD.encode(bytes.as_slice())
        ));
        Ok(Self {
            digest: digest(&text),
            text,
        })
    }
}

/// How a secret is looked up: by a digest that cannot be walked towards a match byte by byte.
pub fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

struct Remembered {
    session: Session,
    since: Instant,
    touched_at_ms: i64,
}

/// Remembered sessions and the rule of their ends.
pub struct Sessions {
    known: RwLock<HashMap<String, Remembered>>,
    /// As in [`super::device::Standings`].
    changes: AtomicU64,
    max_ms: i64,
    idle_ms: i64,
}

impl Sessions {
    /// With the configured ends.
    pub fn new(config: &SessionsConfig) -> Self {
        Self {
            known: RwLock::default(),
            changes: AtomicU64::new(0),
            max_ms: i64::from(config.max_hours) * clock::HOUR_MS,
            idle_ms: i64::from(config.idle_minutes) * clock::MINUTE_MS,
        }
    }

    /// When a session that begins now ends at the latest.
    pub fn expires_at_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_add(self.max_ms)
    }

    /// The person behind a token.
    ///
    /// # Errors
    /// UNAUTHENTICATED with SESSION_UNKNOWN (never given out, or ended) or SESSION_EXPIRED.
    pub async fn admit(&self, store: &Store, token: &str, now_ms: i64) -> Result<Person, Status> {
        if token.len() > MAX_TOKEN {
            return Err(unknown());
        }
        let digest = digest(token);
        let session = self.find(store, &digest).await?;
        let same: bool = session
            .token_digest
            .as_bytes()
            .ct_eq(digest.as_bytes())
            .into();
        if !same || session.disabled {
            return Err(unknown());
        }
        let last_seen_at_ms = self.last_seen(&digest).max(session.last_seen_at_ms);
        if now_ms >= session.expires_at_ms || now_ms.saturating_sub(last_seen_at_ms) >= self.idle_ms
        {
            return Err(expired());
        }
        self.touch(store, &digest, last_seen_at_ms, now_ms).await;
        let damaged =
            |what: &str| error::internal("sessions", &format!("session {}: {what}", session.id));
        Ok(Person {
            id: session
                .person_id
                .parse()
                .map_err(|_| damaged("person_id"))?,
            session: session.id.parse().map_err(|_| damaged("id"))?,
            roles: session.roles,
            login: session.login.clone(),
            name: session.name.clone(),
            session_expires_at_ms: session.expires_at_ms,
        })
    }

    /// Forgets what was remembered of one person's sessions after they or the person changed.
    pub fn changed(&self, person: PersonId) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        let id = person.to_string();
        if let Ok(mut known) = self.known.write() {
            known.retain(|_, entry| entry.session.person_id != id);
        }
    }

    async fn find(&self, store: &Store, digest: &str) -> Result<Session, Status> {
        let now = clock::monotonic();
        if let Ok(known) = self.known.read()
            && let Some(entry) = known.get(digest)
            && now.saturating_duration_since(entry.since) < BELIEVED
        {
            return Ok(entry.session.clone());
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let wanted = digest.to_owned();
        let found = store
            .read(move |tx| Ok::<_, Failure>(session::find(tx, &wanted)?))
            .await?
            .ok_or_else(unknown)?;
        if let Ok(mut known) = self.known.write()
            && self.changes.load(Ordering::SeqCst) == changes
        {
            if known.len() >= MOST {
                known.clear();
            }
            let touched_at_ms = known
                .get(digest)
                .map_or(0, |entry| entry.touched_at_ms)
                .max(found.last_seen_at_ms);
            known.insert(
                digest.to_owned(),
                Remembered {
                    session: found.clone(),
                    since: now,
                    touched_at_ms,
                },
            );
        }
        Ok(found)
    }

    fn last_seen(&self, digest: &str) -> i64 {
        self.known
            .read()
            .ok()
            .and_then(|known| known.get(digest).map(|entry| entry.touched_at_ms))
            .unwrap_or(0)
    }

    /// Writes the sign of life at most once in a quarter of the idle time and at most once a minute. That it could not
    /// be written refuses nobody.
    async fn touch(&self, store: &Store, digest: &str, last_seen_at_ms: i64, now_ms: i64) {
        let every = (self.idle_ms / 4).min(clock::MINUTE_MS);
        if now_ms.saturating_sub(last_seen_at_ms) < every {
            return;
        }
        if let Ok(mut known) = self.known.write()
            && let Some(entry) = known.get_mut(digest)
        {
            entry.touched_at_ms = now_ms;
        }
        let wanted = digest.to_owned();
        let written: Result<(), Failure> = store
            .write(move |tx| Ok(session::touch(tx, &wanted, now_ms)?))
            .await;
        if let Err(failure) = written {
            tracing::warn!(
                cause = failure.status().message(),
                "a session's sign of life was not written"
            );
        }
    }
}

fn unknown() -> Status {
    status(
        Code::Unauthenticated,
        "SESSION_UNKNOWN",
        "this session was ended or never began: log in again",
        &[],
    )
}

fn expired() -> Status {
    status(
        Code::Unauthenticated,
        "SESSION_EXPIRED",
        "the session has ended: log in again",
        &[],
    )
}
