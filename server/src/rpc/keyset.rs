//! Lists ordered by a time and an id: where a page begins.

use chasqui_proto::error::bad_field;
use tonic::Status;

use super::Page;

/// Where the page before ended.
///
/// # Errors
/// INVALID_ARGUMENT when the token holds another key than such a list's.
pub fn after(page: &Page) -> Result<Option<(i64, String)>, Status> {
    match page.after_parts::<2>()? {
        None => Ok(None),
        Some([at, id]) => match at.parse() {
            Ok(at) => Ok(Some((at, id.to_owned()))),
            Err(_) => Err(bad_field(
                "page.page_token",
                "is damaged: begin again without one",
            )),
        },
    }
}

/// The place of an item in such a list.
pub fn key(at: i64, id: &str) -> Vec<String> {
    vec![at.to_string(), id.to_owned()]
}
