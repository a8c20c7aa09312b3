//! Builds an rpm database in its SQLite form: header blobs by rpm's own layout, in the table rpm makes.

use std::path::Path;

/// A value of a header.
#[derive(Clone)]
pub enum Value {
    Text(&'static str),
    Number(u32),
    Long(u64),
}

pub type Package = Vec<(u32, Value)>;

/// A header blob: counts, index entries of 16 bytes, store; big-endian, numbers aligned.
pub fn header(fields: &[(u32, Value)]) -> Vec<u8> {
    let mut index = Vec::new();
    let mut store: Vec<u8> = Vec::new();
    for (tag, value) in fields {
        let (kind, align) = match value {
            Value::Text(_) => (6_u32, 1),
            Value::Number(_) => (4, 4),
            Value::Long(_) => (5, 8),
        };
        while !store.len().is_multiple_of(align) {
            store.push(0);
        }
        index.extend(tag.to_be_bytes());
        index.extend(kind.to_be_bytes());
        index.extend(u32::try_from(store.len()).unwrap().to_be_bytes());
        index.extend(1_u32.to_be_bytes());
        match value {
            Value::Text(text) => {
                store.extend(text.as_bytes());
                store.push(0);
            }
            Value::Number(number) => store.extend(number.to_be_bytes()),
            Value::Long(number) => store.extend(number.to_be_bytes()),
        }
    }
    let mut blob = Vec::new();
    blob.extend(u32::try_from(fields.len()).unwrap().to_be_bytes());
    blob.extend(u32::try_from(store.len()).unwrap().to_be_bytes());
    blob.extend(index);
    blob.extend(store);
    blob
}

/// A few packages of Fedora 40, and a signing key, which rpm keeps among them.
pub fn fedora() -> Vec<Vec<u8>> {
    use Value::{Long, Number, Text};
    let package = |name, version, release, arch, size| {
        vec![
            (1_000, Text(name)),
            (1_001, Text(version)),
            (1_002, Text(release)),
            (1_008, Number(1_714_565_000)),
            (1_009, Number(size)),
            (1_011, Text("Fedora Project")),
            (1_022, Text(arch)),
        ]
    };
    let mut shadow: Package = package("shadow-utils", "4.15.1", "4.fc40", "x86_64", 7_000_000);
    shadow.push((1_003, Number(2)));
    let mut games: Package = package("0ad-data", "0.0.26", "6.fc40", "noarch", 0);
    games.push((5_009, Long(5_368_709_120)));
    vec![
        header(&package("bash", "5.2.26", "3.fc40", "x86_64", 8_337_417)),
        header(&shadow),
        header(&games),
        header(&package("gpg-pubkey", "a15b79cc", "63d04c2c", "(none)", 0)),
    ]
}

/// Writes the database, in write-ahead mode as rpm leaves it, with everything checkpointed.
pub fn write(path: &Path, headers: &[Vec<u8>]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL);
             CREATE TABLE Name (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL);",
        )
        .unwrap();
    for header in headers {
        connection
            .execute("INSERT INTO Packages (blob) VALUES (?1)", [header])
            .unwrap();
    }
    connection.close().unwrap();
}
