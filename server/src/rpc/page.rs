//! Pages of lists: a bounded size and an opaque token that says where the page before ended. A token belongs to one
//! query: with another it is refused, where a wrong page would go unseen.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chasqui_proto::error::{bad_field, status};
use chasqui_proto::v1::{PageInfo, PageRequest};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

/// Items of a page when nobody says.
const DEFAULT_SIZE: i64 = 50;
/// Items of a page at most.
const MAX_SIZE: i64 = 500;
/// Longest token, as the API promises.
const MAX_TOKEN: usize = 512;
/// Bytes of the digest that ties a token to its query.
const TIE: usize = 8;
/// Between the parts of a key; no part holds it.
const SEPARATOR: char = '\u{1f}';

/// One page of one query.
#[derive(Clone, Debug)]
pub struct Page {
    /// Items to answer at most. Ask the store for one more: it tells whether the list goes on.
    pub size: i64,
    /// The key of the last item of the page before; empty for the first page.
    pub after: Vec<String>,
    tie: [u8; TIE],
}

/// Reads the page of a request. `filter` is everything else the answer depends on, as text.
///
/// # Errors
/// INVALID_ARGUMENT / PAGE_TOKEN_INVALID when the token is not one of this query.
pub fn page(request: &Option<PageRequest>, query: &str, filter: &str) -> Result<Page, Status> {
    let (size, token) = request
        .as_ref()
        .map_or((0, ""), |page| (page.page_size, page.page_token.as_str()));
    let size = match i64::from(size) {
        0 => DEFAULT_SIZE,
        size => size.min(MAX_SIZE),
    };
    let tie = tie(query, filter);
    let after = if token.is_empty() {
        Vec::new()
    } else {
        read(token, tie).ok_or_else(|| {
            status(
                Code::InvalidArgument,
                "PAGE_TOKEN_INVALID",
                "this page token belongs to another query or is damaged: begin again without one",
                &[("field", "page.page_token")],
            )
        })?
    };
    Ok(Page { size, after, tie })
}

impl Page {
    /// How the list goes on after the item with this key.
    pub fn next(&self, key: &[&str]) -> PageInfo {
        let mut bytes = self.tie.to_vec();
        bytes.extend_from_slice(key.join(&SEPARATOR.to_string()).as_bytes());
        PageInfo {
            next_page_token: URL_SAFE_NO_PAD.encode(bytes),
        }
    }

    /// Cuts rows, asked for one more than [`size`](Self::size), to the page, and says how it goes on. `key` gives the
    /// parts of an item's place in the list.
    pub fn cut<T>(&self, rows: &mut Vec<T>, key: impl Fn(&T) -> Vec<String>) -> PageInfo {
        let size = usize::try_from(self.size).unwrap_or(0);
        let more = rows.len() > size;
        rows.truncate(size);
        match rows.last() {
            Some(last) if more => {
                let key = key(last);
                self.next(&key.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ => PageInfo::default(),
        }
    }

    /// How many rows to ask the store for.
    pub fn limit(&self) -> u32 {
        u32::try_from(self.size).unwrap_or(0).saturating_add(1)
    }

    /// The key of the page before in its `N` parts, if there is one.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when it has another number of parts.
    pub fn after_parts<const N: usize>(&self) -> Result<Option<[&str; N]>, Status> {
        if self.after.is_empty() {
            return Ok(None);
        }
        let parts: Vec<&str> = self.after.iter().map(String::as_str).collect();
        parts
            .try_into()
            .map(Some)
            .map_err(|_| bad_field("page.page_token", "is damaged: begin again without one"))
    }
}

fn tie(query: &str, filter: &str) -> [u8; TIE] {
    let mut hash = Sha256::new();
    hash.update(query.as_bytes());
    hash.update([0]);
    hash.update(filter.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let mut tie = [0; TIE];
    for (to, from) in tie.iter_mut().zip(digest) {
        *to = from;
    }
    tie
}

fn read(token: &str, tie: [u8; TIE]) -> Option<Vec<String>> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (given, key) = bytes.split_first_chunk::<TIE>()?;
    if *given != tie {
        return None;
    }
    let key = std::str::from_utf8(key)
        .ok()
        .filter(|key| !key.contains('\0'))?;
    Some(key.split(SEPARATOR).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use chasqui_proto::error::reason_of;

    use super::*;

    fn ask(size: u32, token: &str) -> Option<PageRequest> {
        Some(PageRequest {
            page_size: size,
            page_token: token.to_owned(),
        })
    }

    #[test]
    fn a_token_leads_on_in_its_own_query_alone() {
        let first = page(&ask(2, ""), "ListThings", "state=open").unwrap();
        assert_eq!(
            (first.size, first.limit(), first.after_parts::<2>().unwrap()),
            (2, 3, None)
        );
        let mut rows = vec!["a", "b", "c"];
        let info = first.cut(&mut rows, |row| vec!["7".to_owned(), (*row).to_owned()]);
        assert_eq!(rows, ["a", "b"]);
        let token = info.next_page_token;
        let second = page(&ask(2, &token), "ListThings", "state=open").unwrap();
        assert_eq!(second.after_parts().unwrap(), Some(["7", "b"]));
        for (query, filter) in [("ListThings", "state=closed"), ("ListOthers", "state=open")] {
            let refused = page(&ask(2, &token), query, filter).unwrap_err();
            assert_eq!(reason_of(&refused).as_deref(), Some("PAGE_TOKEN_INVALID"));
        }
        for damaged in ["x", "!!", &token[1..], &"A".repeat(600)] {
            assert!(
                page(&ask(2, damaged), "ListThings", "state=open").is_err(),
                "{damaged}"
            );
        }
    }

    #[test]
    fn the_last_page_leads_nowhere() {
        let page = page(&None, "ListThings", "").unwrap();
        let mut rows = vec!["a"];
        assert_eq!(page.cut(&mut rows, |_| vec![]).next_page_token, "");
        assert_eq!(page.size, 50);
        assert_eq!(super::page(&ask(9_999, ""), "q", "").unwrap().size, 500);
    }
}
