//! Bounds on what comes in: every text has a least and a greatest length, ids have one form, and the answer names the
//! field.

use std::str::FromStr;

use chasqui_domain::Invalid;
use chasqui_proto::error::bad_field;
use prost::Message;
use sha2::{Digest, Sha256};
use tonic::Status;

use chasqui_store::request::Request;

/// A text of some lines: `min` to `max` characters, no NUL.
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub fn text(field: &str, value: &str, min: usize, max: usize) -> Result<(), Status> {
    let count = value.chars().count();
    if !(min..=max).contains(&count) {
        return Err(bad_field(
            field,
            format!("has {count} characters, {min} to {max} are allowed"),
        ));
    }
    if value.contains('\0') {
        return Err(bad_field(field, "holds a NUL character: remove it"));
    }
    Ok(())
}

/// A text of one line: as [`text`], and no control characters.
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub fn line(field: &str, value: &str, min: usize, max: usize) -> Result<(), Status> {
    text(field, value, min, max)?;
    if value.chars().any(char::is_control) {
        return Err(bad_field(field, "holds control characters: write one line"));
    }
    Ok(())
}

/// An id.
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub fn id<T: FromStr<Err = Invalid>>(field: &str, value: &str) -> Result<T, Status> {
    value
        .parse()
        .map_err(|invalid: Invalid| bad_field(field, invalid.why.en))
}

/// A `request_id`: a UUIDv7, as the API promises, so that kept answers lie in the order of time.
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub fn request_id(value: &str) -> Result<String, Status> {
    let id: chasqui_domain::ids::RequestId = id("request_id", value)?;
    if id.0.get_version_num() != 7 {
        return Err(bad_field(
            "request_id",
            "is not a UUID of version 7: make a fresh one for each new request",
        ));
    }
    Ok(id.to_string())
}

/// What makes a create one and the same: actor, method, id, and everything else in the message. `id_of` shows where the
/// message keeps its `request_id`.
///
/// # Errors
/// INVALID_ARGUMENT naming `request_id`.
pub fn request_key<M: Message + Clone>(
    actor: &str,
    method: &str,
    message: &M,
    id_of: impl Fn(&mut M) -> &mut String,
    now_ms: i64,
) -> Result<Request, Status> {
    let mut body = message.clone();
    let id = std::mem::take(id_of(&mut body));
    Ok(Request {
        actor: actor.to_owned(),
        request_id: request_id(&id)?,
        method: method.to_owned(),
        body_digest: hex::encode(Sha256::digest(body.encode_to_vec())),
        at_ms: now_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_count_characters() {
        assert!(line("title", "ñandú", 5, 5).is_ok());
        assert!(line("title", "", 1, 5).is_err());
        assert!(line("title", "a\nb", 1, 5).is_err());
        assert!(text("body", "a\nb", 1, 5).is_ok());
        assert!(text("body", "a\0b", 1, 5).is_err());
    }

    #[test]
    fn a_request_id_is_of_version_7() {
        assert!(request_id(&chasqui_base::clock::new_id().to_string()).is_ok());
        assert!(request_id("550e8400-e29b-41d4-a716-446655440000").is_err());
        assert!(request_id("").is_err());
    }
}
