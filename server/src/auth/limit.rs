//! Limits on tries at secrets: failures of an account or a source within a window. A try is counted before it is made,
//! so that many at once cannot slip under the limit, and taken back when it succeeded. Counts are stored, so that a
//! restart forgives nothing; who is already blocked is also remembered here, so that it costs no write to refuse them.

use std::collections::HashMap;
use std::sync::Mutex;

use chasqui_base::clock;
use chasqui_proto::error::retry_after;
use chasqui_store::{Store, attempt};
use tonic::{Code, Status};

use crate::config::SessionsConfig;
use crate::error::Failure;

/// Length of the window in which failures count, and of the wait after too many.
const WINDOW_MS: i64 = 15 * clock::MINUTE_MS;
/// Blocked subjects remembered at most; the rest are found in the store.
const MOST: usize = 20_000;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Log-ins of one account. The subject is a digest: people type passwords into the wrong field.
    LoginAccount,
    /// Log-ins from one source.
    LoginSource,
    /// Unknown enrolment tokens from one source.
    EnrolSource,
    /// Unknown credentials of inventory sources from one address.
    InventorySource,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::LoginAccount => "login.account",
            Self::LoginSource => "login.source",
            Self::EnrolSource => "enrol.source",
            Self::InventorySource => "inventory.source",
        }
    }
}

/// The limits and who is known to be over one.
pub struct Limits {
    per_account: u32,
    per_source: u32,
    blocked: Mutex<HashMap<(Scope, String), i64>>,
}

impl Limits {
    /// With the configured limits.
    pub fn new(config: &SessionsConfig) -> Self {
        Self {
            per_account: config.failures_per_account,
            per_source: config.failures_per_source,
            blocked: Mutex::default(),
        }
    }

    /// Counts one try in each of these, or refuses it.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED / TOO_MANY_TRIES with a RetryInfo when one of them is over its limit.
    pub async fn take(
        &self,
        store: &Store,
        subjects: &[(Scope, String)],
        now_ms: i64,
    ) -> Result<(), Status> {
        for subject in subjects {
            self.check(subject, now_ms)?;
        }
        let tries: Vec<_> = subjects
            .iter()
            .map(|(scope, subject)| (*scope, subject.clone(), self.most(*scope)))
            .collect();
        let over = store
            .write(move |tx| {
                let mut over = None;
                for (scope, subject, most) in &tries {
                    let blocked_until_ms = attempt::count(
                        tx,
                        scope.name(),
                        subject,
                        i64::from(*most),
                        now_ms,
                        WINDOW_MS,
                    )?;
                    if let Some(until_ms) = blocked_until_ms {
                        over = Some(((*scope, subject.clone()), until_ms));
                    }
                }
                Ok::<_, Failure>(over)
            })
            .await?;
        let Some((subject, until_ms)) = over else {
            return Ok(());
        };
        if let Ok(mut blocked) = self.blocked.lock() {
            if blocked.len() >= MOST {
                blocked.retain(|_, until| *until > now_ms);
            }
            if blocked.len() < MOST {
                blocked.insert(subject, until_ms);
            }
        }
        Err(refuse(until_ms, now_ms))
    }

    /// Refuses when one of these is known to be over its limit; counts nothing.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn check(&self, subject: &(Scope, String), now_ms: i64) -> Result<(), Status> {
        let until_ms = self
            .blocked
            .lock()
            .ok()
            .and_then(|blocked| blocked.get(subject).copied())
            .unwrap_or(0);
        if until_ms > now_ms {
            Err(refuse(until_ms, now_ms))
        } else {
            Ok(())
        }
    }

    /// The try succeeded: the account's count begins anew, the source's loses this one.
    pub async fn succeeded(
        &self,
        store: &Store,
        account: (Scope, String),
        source: (Scope, String),
    ) {
        let done: Result<(), Failure> = store
            .write(move |tx| {
                attempt::clear(tx, account.0.name(), &account.1)?;
                attempt::take_back(tx, source.0.name(), &source.1)?;
                Ok(())
            })
            .await;
        if let Err(failure) = done {
            // The person is in; a count too many only means an earlier wait.
            tracing::warn!(
                cause = failure.status().message(),
                "tries were not taken back"
            );
        }
    }

    /// The try succeeded and counts no more.
    pub async fn forget(&self, store: &Store, subject: (Scope, String)) {
        let done: Result<(), Failure> = store
            .write(move |tx| Ok(attempt::clear(tx, subject.0.name(), &subject.1)?))
            .await;
        if let Err(failure) = done {
            tracing::warn!(
                cause = failure.status().message(),
                "tries were not taken back"
            );
        }
    }

    fn most(&self, scope: Scope) -> u32 {
        match scope {
            Scope::LoginAccount => self.per_account,
            Scope::LoginSource | Scope::EnrolSource | Scope::InventorySource => self.per_source,
        }
    }
}

fn refuse(until_ms: i64, now_ms: i64) -> Status {
    let wait = clock::duration_ms(until_ms.saturating_sub(now_ms).max(1_000));
    retry_after(
        Code::ResourceExhausted,
        "TOO_MANY_TRIES",
        format!("too many failed tries: wait {} seconds", wait.as_secs()),
        wait,
    )
}
