//! Small readers shared by handlers: ids that may be empty, and answers kept under a request_id.

use std::str::FromStr;

use chasqui_domain::Invalid;
use prost::Message;
use tonic::Status;

use super::check;

/// An id in a field that may be empty.
///
/// # Errors
/// INVALID_ARGUMENT naming the field.
pub fn optional_id<T: FromStr<Err = Invalid>>(
    field: &str,
    text: &str,
) -> Result<Option<T>, Status> {
    if text.is_empty() {
        Ok(None)
    } else {
        check::id(field, text).map(Some)
    }
}

/// Reads an answer that was kept under its request_id.
///
/// # Errors
/// INTERNAL when it cannot be read: damage.
pub fn answer<T: Message + Default>(bytes: &[u8]) -> Result<T, Status> {
    T::decode(bytes).map_err(|error| crate::error::internal("a kept answer", &error))
}

/// One text of the rules as the API has it.
pub fn text(text: &chasqui_domain::Text) -> chasqui_proto::v1::Text {
    chasqui_proto::v1::Text {
        es: text.es.clone(),
        en: text.en.clone(),
    }
}

/// A judgement of chasqui-trust as a status: its own code, its own words in both languages.
pub fn trust_refusal(code: tonic::Code, reason: &str, text: &chasqui_trust::Text) -> Status {
    chasqui_proto::error::status(code, reason, text.en.clone(), &[("es", &text.es)])
}

/// Bytes that are not the paper they should be.
pub fn malformed(error: &chasqui_trust::FormatError) -> Status {
    trust_refusal(tonic::Code::InvalidArgument, error.code(), &error.text())
}
