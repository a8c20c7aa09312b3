//! Bodies: read within a bound and a time, inflated within a bound, answered alike.

use std::io::{Read, Write};
use std::time::Duration;

use axum::body::{Body, Bytes};
use flate2::Compression as Level;
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode, header};

use super::Problem;
use crate::glpi::{Form, MAX_MESSAGE_BYTES};

/// Most bytes of a body as it comes. Inventories of some 20 MB are known.
const MAX_BODY_BYTES: usize = 32 << 20;
/// The next bytes must come within this time, and all within [`BODY_WITHIN`].
const CHUNK_WITHIN: Duration = Duration::from_secs(15);
const BODY_WITHIN: Duration = Duration::from_secs(90);

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    /// RFC 1950.
    Zlib,
    Gzip,
    /// RFC 1951.
    Deflate,
}

impl Compression {
    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // Method 8 with a header that is a multiple of 31.
            [first, second, ..]
                if first & 0x0f == 8
                    && (u16::from(*first) << 8 | u16::from(*second)) % 31 == 0
                    && !first.is_ascii_whitespace() =>
            {
                Self::Zlib
            }
            _ => Self::None,
        }
    }

    /// Content type of an answer.
    pub fn content_type(self, form: Form) -> &'static str {
        match (self, form) {
            (Self::None, Form::Json) => "application/json",
            (Self::None, Form::Xml) => "application/xml",
            (Self::Zlib, _) => "application/x-compress-zlib",
            (Self::Gzip, _) => "application/x-compress-gzip",
            (Self::Deflate, _) => "application/x-compress-deflate",
        }
    }

    /// Compressed bytes; nothing when that fails.
    pub fn deflate(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let level = Level::default();
        match self {
            Self::None => Some(bytes.to_vec()),
            Self::Zlib => {
                let mut writer = ZlibEncoder::new(Vec::new(), level);
                writer.write_all(bytes).ok()?;
                writer.finish().ok()
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), level);
                writer.write_all(bytes).ok()?;
                writer.finish().ok()
            }
            Self::Deflate => {
                let mut writer = DeflateEncoder::new(Vec::new(), level);
                writer.write_all(bytes).ok()?;
                writer.finish().ok()
            }
        }
    }
}

/// What the content type says; nothing when the bytes have to tell.
pub fn declared(headers: &HeaderMap) -> Result<Option<Compression>, Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    Ok(match kind.as_str() {
        "application/x-compress-zlib" | "application/x-zlib" => Some(Compression::Zlib),
        "application/x-compress-gzip" | "application/x-gzip" => Some(Compression::Gzip),
        "application/x-compress-deflate" | "application/x-deflate" => Some(Compression::Deflate),
        "application/x-compress-br" | "application/x-br" => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "brotli is not supported: use zlib or gzip",
            ));
        }
        _ => None,
    })
}

/// All bytes of a body, within the time that a body has.
pub async fn read(body: Body, headers: &HeaderMap) -> Result<Vec<u8>, Problem> {
    read_within(body, headers, CHUNK_WITHIN, BODY_WITHIN).await
}

async fn read_within(
    body: Body,
    headers: &HeaderMap,
    chunk_within: Duration,
    body_within: Duration,
) -> Result<Vec<u8>, Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if length.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(too_large());
    }
    let collect = async {
        let mut bytes = Vec::new();
        let mut chunks = body.into_data_stream();
        loop {
            let chunk: Option<Result<Bytes, _>> = tokio::time::timeout(chunk_within, chunks.next())
                .await
                .map_err(|_| too_slow())?;
            let Some(chunk) = chunk else {
                return Ok(bytes);
            };
            let chunk = chunk.map_err(|_| {
                Problem::new(StatusCode::BAD_REQUEST, "the body ended before its length")
            })?;
            if bytes.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
    };
    tokio::time::timeout(body_within, collect)
        .await
        .map_err(|_| too_slow())?
}

/// The plain bytes, unless they are more than a message may have: then nothing more is inflated.
pub fn inflate(compression: Compression, bytes: &[u8]) -> Result<Vec<u8>, Problem> {
    match compression {
        Compression::None => bounded(bytes),
        Compression::Zlib => bounded(ZlibDecoder::new(bytes)),
        Compression::Gzip => bounded(GzDecoder::new(bytes)),
        Compression::Deflate => bounded(DeflateDecoder::new(bytes)),
    }
}

fn bounded(reader: impl Read) -> Result<Vec<u8>, Problem> {
    let most = u64::try_from(MAX_MESSAGE_BYTES).unwrap_or(u64::MAX);
    let mut plain = Vec::new();
    reader
        .take(most.saturating_add(1))
        .read_to_end(&mut plain)
        .map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "the body is not compressed as it says, or is cut off",
            )
        })?;
    if plain.len() > MAX_MESSAGE_BYTES {
        return Err(too_large());
    }
    Ok(plain)
}

fn too_large() -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "the inventory is too large: 32 MiB as sent, 48 MiB inflated",
    )
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_millis(20);

    async fn status(body: Body, chunk_within: Duration, body_within: Duration) -> u16 {
        let read = read_within(body, &HeaderMap::new(), chunk_within, body_within).await;
        read.map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    fn some() -> Result<Bytes, Infallible> {
        Ok(Bytes::from_static(b"{"))
    }

    #[tokio::test]
    async fn who_sends_a_part_and_then_nothing_is_not_waited_for() {
        let stalled = || Body::from_stream(stream::iter([some()]).chain(stream::pending()));
        assert_eq!(status(stalled(), SOON, NEVER).await, 408);
        assert_eq!(status(stalled(), NEVER, SOON).await, 408);
    }

    #[tokio::test]
    async fn who_sends_a_byte_now_and_then_is_not_waited_for() {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((some(), ()))
        });
        // Each byte comes in time, the body never ends.
        assert_eq!(status(Body::from_stream(drops), NEVER, SOON).await, 408);
    }

    #[tokio::test]
    async fn a_body_without_a_length_ends_at_the_bound() {
        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        let endless = stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone()));
        assert_eq!(status(Body::from_stream(endless), NEVER, NEVER).await, 413);
    }
}
