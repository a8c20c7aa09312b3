//! How an error of a lower layer becomes a gRPC status, in exactly one place. Handlers use `?` on store, domain and
//! trust results; what is said to the caller, and what is only logged, is decided here.
//!
//! The rule: a refusal names the thing and what to do next; a defect or damage of ours says only that it was logged,
//! because its text may hold what the caller must not see.

use std::time::Duration;

use chasqui_domain::{Invalid, Refused};
use chasqui_proto::error::{bad_field, retry_after, status};
use chasqui_store::StoreError;
use tonic::{Code, Status};

/// What the closures of `store.read` and `store.write` return: a status on its way out. It exists because `Status` and
/// `StoreError` are both foreign here; `?` turns it into a `Status` in handlers.
#[derive(Clone, Debug)]
pub struct Failure(Status);

/// Result of everything between a handler and the store.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The status as the caller will see it.
    pub fn status(&self) -> &Status {
        &self.0
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(from_store(&error))
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self(from_refused(&refused))
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self(bad_field(invalid.field, invalid.why.en))
    }
}

/// FAILED_PRECONDITION with a reason: the thing is not in a state that allows this.
pub fn precondition(reason: &str, message: impl Into<String>) -> Status {
    status(Code::FailedPrecondition, reason, message, &[])
}

/// NOT_FOUND for a thing of a kind (`device`, `ticket`) under the name the caller used.
pub fn not_found(kind: &str, name: &str) -> Status {
    let reason = format!("{}_UNKNOWN", kind.to_ascii_uppercase());
    let shown: String = name.chars().take(64).collect();
    status(
        Code::NotFound,
        &reason,
        format!("no {kind} {shown:?}: check the id"),
        &[(kind, &shown)],
    )
}

/// PERMISSION_DENIED with a reason.
pub fn denied(reason: &str, message: impl Into<String>) -> Status {
    status(Code::PermissionDenied, reason, message, &[])
}

/// INTERNAL: logged with its cause, told without it.
pub fn internal(what: &str, cause: &dyn std::fmt::Display) -> Status {
    tracing::error!(what, %cause, "defect or damage");
    status(
        Code::Internal,
        "INTERNAL",
        "the coordinator failed inside; the cause is in its log",
        &[],
    )
}

fn from_store(error: &StoreError) -> Status {
    let text = error.to_string();
    match error {
        StoreError::Full(_) => {
            tracing::error!(cause = %error, "the store is full");
            retry_after(
                Code::ResourceExhausted,
                "STORE_FULL",
                text,
                Duration::from_secs(30),
            )
        }
        StoreError::Unavailable(cause) => {
            tracing::warn!(%cause, "the store is not available");
            retry_after(
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                "the database cannot be reached: try again with the same request_id",
                Duration::from_secs(2),
            )
        }
        StoreError::Conflict(_) => retry_after(
            Code::Aborted,
            "STORE_CONFLICT",
            "too many changes to the same thing at once: try again",
            Duration::from_millis(200),
        ),
        StoreError::RequestIdReused(id) => status(
            Code::AlreadyExists,
            "REQUEST_ID_REUSED",
            text,
            &[("request_id", id)],
        ),
        StoreError::TooMany { .. } => status(
            Code::ResourceExhausted,
            "TOO_MANY_ROWS",
            "the answer is too long: ask for less at once",
            &[],
        ),
        StoreError::Invalid(_) => status(Code::InvalidArgument, "INVALID_TEXT", text, &[]),
        StoreError::Closed => retry_after(
            Code::Unavailable,
            "SHUTTING_DOWN",
            "the coordinator is stopping: try again soon",
            Duration::from_secs(5),
        ),
        other => internal("store", other),
    }
}

fn from_refused(refused: &Refused) -> Status {
    let code = match refused.code {
        code if code.ends_with("_PERMISSION") => Code::PermissionDenied,
        code if code.ends_with("_STALE") || code.ends_with("_VERSION") => Code::Aborted,
        _ => Code::FailedPrecondition,
    };
    // The command line shows Spanish without having to know every code.
    status(
        code,
        refused.code,
        refused.why.en.clone(),
        &[("es", &refused.why.es)],
    )
}

#[cfg(test)]
mod tests {
    use chasqui_proto::error::reason_of;

    use super::*;

    fn of(error: StoreError) -> (Code, String) {
        let status = Status::from(Failure::from(error));
        (status.code(), reason_of(&status).unwrap())
    }

    #[test]
    fn a_store_error_says_whether_to_try_again() {
        assert_eq!(
            of(StoreError::Unavailable("host db, user x".into())),
            (Code::Unavailable, "STORE_UNAVAILABLE".into())
        );
        assert_eq!(
            of(StoreError::RequestIdReused("r".into())),
            (Code::AlreadyExists, "REQUEST_ID_REUSED".into())
        );
    }

    #[test]
    fn damage_is_told_without_its_cause() {
        let status = Status::from(Failure::from(StoreError::Corrupt("secret row".into())));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret row"));
    }
}
