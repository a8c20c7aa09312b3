//! The file of a backup: a magic line, frames, and a digest over all of them. It knows values and names, no database.
//!
//! ```text
//! "CHASQUI BACKUP 1\n"
//! frame = kind (1 byte), length (4 bytes, big endian), payload
//!   H  JSON header                      once, first
//!   T  JSON {table, columns}            begins a table
//!   R  rows: each column a tag byte (0 NULL, 1 integer, 2 real: 8 bytes big endian; 3 text, 4 bytes: 4-byte length)
//!   S  SHA-256 over everything before   once, last
//! ```

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{StoreError, Value};

const MAGIC: &[u8] = b"CHASQUI BACKUP 1\n";

/// Rows are gathered into frames of about this size.
const FRAME: usize = 256 * 1024;

/// Largest frame that is read: a damaged length must not ask for all memory.
const MAX_FRAME: usize = 512 * 1024 * 1024;

/// What a backup says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Schema version of the store it was taken from.
    pub schema_version: i64,
    /// When it was taken, UTC milliseconds.
    pub created_at_ms: i64,
    /// `sqlite` or `postgres`; it restores into either.
    pub engine: String,
    /// The store's epoch then.
    pub epoch: i64,
    /// Version of the program that wrote it.
    pub program: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TableHead {
    table: String,
    columns: Vec<String>,
}

/// Writes frames.
pub(crate) struct FrameWriter {
    out: BufWriter<File>,
    hash: Sha256,
    rows: Vec<u8>,
    bytes: u64,
}

impl FrameWriter {
    pub(crate) fn new(file: File, header: &Header) -> Result<Self, StoreError> {
        let mut writer = Self {
            out: BufWriter::new(file),
            hash: Sha256::new(),
            rows: Vec::new(),
            bytes: 0,
        };
        writer.put(MAGIC)?;
        let header = serde_json::to_vec(header).map_err(|error| bad(error.to_string()))?;
        writer.frame(b'H', &header)?;
        Ok(writer)
    }

    pub(crate) fn table(&mut self, table: &str, columns: &[String]) -> Result<(), StoreError> {
        self.flush_rows()?;
        let head = TableHead {
            table: table.to_owned(),
            columns: columns.to_vec(),
        };
        let head = serde_json::to_vec(&head).map_err(|error| bad(error.to_string()))?;
        self.frame(b'T', &head)
    }

    pub(crate) fn row(&mut self, values: &[Value]) -> Result<(), StoreError> {
        for value in values {
            match value {
                Value::Null => self.rows.push(0),
                Value::Int(int) => {
                    self.rows.push(1);
                    self.rows.extend(int.to_be_bytes());
                }
                Value::Real(real) => {
                    self.rows.push(2);
                    self.rows.extend(real.to_be_bytes());
                }
                Value::Text(text) => self.long(3, text.as_bytes())?,
                Value::Blob(bytes) => self.long(4, bytes)?,
            }
        }
        if self.rows.len() >= FRAME {
            self.flush_rows()?;
        }
        Ok(())
    }

    /// Ends the file and makes it durable.
    ///
    /// # Returns
    /// Its size and its digest in hex.
    pub(crate) fn finish(mut self) -> Result<(u64, String), StoreError> {
        self.flush_rows()?;
        let digest = self.hash.clone().finalize();
        self.frame(b'S', &digest)?;
        let file = self
            .out
            .into_inner()
            .map_err(|error| write_failed(error.error()))?;
        file.sync_all().map_err(|error| write_failed(&error))?;
        Ok((self.bytes, hex::encode(digest)))
    }

    fn long(&mut self, tag: u8, bytes: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(bytes.len())
            .map_err(|_| bad("a value is larger than 4 GiB".to_owned()))?;
        self.rows.push(tag);
        self.rows.extend(length.to_be_bytes());
        self.rows.extend(bytes);
        Ok(())
    }

    fn flush_rows(&mut self) -> Result<(), StoreError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.frame(b'R', &rows)
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) -> Result<(), StoreError> {
        if payload.len() > MAX_FRAME {
            return Err(bad(format!("one row has {} bytes", payload.len())));
        }
        let length =
            u32::try_from(payload.len()).map_err(|_| bad("a frame is too long".to_owned()))?;
        self.put(&[kind])?;
        self.put(&length.to_be_bytes())?;
        self.put(payload)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.out
            .write_all(bytes)
            .map_err(|error| write_failed(&error))
    }
}

/// What stands next in a backup.
#[derive(Debug)]
pub(crate) enum Part {
    Table { name: String, columns: Vec<String> },
    Row(Vec<Value>),
    End { digest: String },
}

/// Reads frames.
pub(crate) struct FrameReader {
    input: BufReader<File>,
    hash: Sha256,
    rows: VecDeque<Vec<Value>>,
    columns: usize,
    pub(crate) header: Header,
    pub(crate) bytes: u64,
}

impl FrameReader {
    pub(crate) fn new(file: File) -> Result<Self, StoreError> {
        let mut reader = Self {
            input: BufReader::new(file),
            hash: Sha256::new(),
            rows: VecDeque::new(),
            columns: 0,
            header: Header {
                schema_version: 0,
                created_at_ms: 0,
                engine: String::new(),
                epoch: 0,
                program: String::new(),
            },
            bytes: 0,
        };
        let magic = reader.take(MAGIC.len())?;
        if magic != MAGIC {
            return Err(bad(
                "this is no backup, or one of another format version".to_owned()
            ));
        }
        let (kind, payload) = reader.frame()?;
        if kind != b'H' {
            return Err(damaged("it does not begin with its header"));
        }
        reader.header = serde_json::from_slice(&payload)
            .map_err(|error| bad(format!("its header: {error}")))?;
        Ok(reader)
    }

    pub(crate) fn next(&mut self) -> Result<Part, StoreError> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Part::Row(row));
            }
            let so_far = self.hash.clone();
            let (kind, payload) = self.frame()?;
            match kind {
                b'T' => {
                    let head: TableHead = serde_json::from_slice(&payload)
                        .map_err(|error| bad(format!("a table's head: {error}")))?;
                    self.columns = head.columns.len();
                    return Ok(Part::Table {
                        name: head.table,
                        columns: head.columns,
                    });
                }
                b'R' if self.columns > 0 => self.rows = rows(&payload, self.columns)?,
                b'S' => {
                    let digest = so_far.finalize();
                    if payload != digest.as_slice() {
                        return Err(damaged("its digest is not that of its content"));
                    }
                    let mut rest = [0];
                    if self
                        .input
                        .read(&mut rest)
                        .map_err(|error| read_failed(&error))?
                        != 0
                    {
                        return Err(damaged("something follows its end"));
                    }
                    return Ok(Part::End {
                        digest: hex::encode(digest),
                    });
                }
                _ => return Err(damaged("a frame is of no known kind or out of place")),
            }
        }
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), StoreError> {
        let head = self.take(5)?;
        let (Some(kind), Some(length)) = (head.first(), head.last_chunk::<4>()) else {
            return Err(damaged("a frame is cut off"));
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(damaged("a frame is longer than any that is written"));
        }
        let payload = self.take(length)?;
        Ok((*kind, payload))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, StoreError> {
        let wanted = u64::try_from(length).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        (&mut self.input)
            .take(wanted)
            .read_to_end(&mut bytes)
            .map_err(|error| read_failed(&error))?;
        if bytes.len() != length {
            return Err(damaged("it ends too early"));
        }
        self.hash.update(&bytes);
        self.bytes += wanted;
        Ok(bytes)
    }
}

fn rows(mut rest: &[u8], columns: usize) -> Result<VecDeque<Vec<Value>>, StoreError> {
    let mut rows = VecDeque::new();
    while !rest.is_empty() {
        let mut row = Vec::with_capacity(columns);
        for _ in 0..columns {
            row.push(
                value(&mut rest)
                    .ok_or_else(|| damaged("a row is cut off or not text where it says so"))?,
            );
        }
        rows.push_back(row);
    }
    Ok(rows)
}

fn value(rest: &mut &[u8]) -> Option<Value> {
    let (tag, after) = rest.split_first()?;
    *rest = after;
    match tag {
        0 => Some(Value::Null),
        1 => Some(Value::Int(i64::from_be_bytes(chunk(rest)?))),
        2 => Some(Value::Real(f64::from_be_bytes(chunk(rest)?))),
        3 => Some(Value::Text(String::from_utf8(long(rest)?.to_vec()).ok()?)),
        4 => Some(Value::Blob(long(rest)?.to_vec())),
        _ => None,
    }
}

fn chunk<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*chunk)
}

fn long<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(u32::from_be_bytes(chunk(rest)?)).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn bad(detail: String) -> StoreError {
    StoreError::Backup(detail)
}

fn damaged(detail: &str) -> StoreError {
    StoreError::Backup(format!(
        "{detail}: the file is damaged or incomplete, use another backup"
    ))
}

pub(crate) fn write_failed(error: &std::io::Error) -> StoreError {
    StoreError::Backup(format!("cannot be written: {error}"))
}

pub(crate) fn read_failed(error: &std::io::Error) -> StoreError {
    StoreError::Backup(format!("cannot be read: {error}"))
}
