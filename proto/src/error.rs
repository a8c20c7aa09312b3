//! How an error travels: a gRPC status whose google.rpc details name the reason, the thing and what to do next. Programs
//! decide by [`reason_of`], never by the message.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every ErrorInfo of this API.
pub const DOMAIN: &str = "chasqui";

/// A status with an ErrorInfo. `reason` is a SCREAMING_SNAKE code that never changes its meaning; `metadata` names the
/// thing; `message` says in English what is wrong and what to do next.
pub fn status(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: &[(&str, &str)],
) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, to_map(metadata));
    Status::with_error_details(code, message, details)
}

/// INVALID_ARGUMENT for one field: `field` is its name in the request, `problem` says what is wrong and what is allowed.
pub fn bad_field(field: &str, problem: impl Into<String>) -> Status {
    let problem = problem.into();
    let mut details = ErrorDetails::with_bad_request_violation(field, problem.clone());
    details.set_error_info("INVALID_FIELD", DOMAIN, to_map(&[("field", field)]));
    Status::with_error_details(
        Code::InvalidArgument,
        format!("{field}: {problem}"),
        details,
    )
}

/// The same status with a RetryInfo: try again after this time.
pub fn retry_after(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    after: std::time::Duration,
) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(after));
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// The reason of a status made by [`status`], [`bad_field`] or [`retry_after`]; none for other statuses.
pub fn reason_of(status: &Status) -> Option<String> {
    status
        .get_details_error_info()
        .filter(|info| info.domain == DOMAIN)
        .map(|info| info.reason)
}

fn to_map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_survives_the_wire_form() {
        let status = status(
            Code::NotFound,
            "TOKEN_UNKNOWN",
            "no such token",
            &[("token", "x")],
        );
        let headers = status.into_http::<()>().headers().clone();
        let back = Status::from_header_map(&headers).unwrap();
        assert_eq!(reason_of(&back).as_deref(), Some("TOKEN_UNKNOWN"));
        assert_eq!(
            reason_of(&bad_field("title", "too long")).as_deref(),
            Some("INVALID_FIELD")
        );
    }
}
