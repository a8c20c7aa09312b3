//! Values that go into statements and rows that come out, the same on both engines: 64-bit integers, text, bytes,
//! reals and NULL. Booleans are integers 0 and 1; times are integers in UTC milliseconds.

use crate::error::StoreError;

/// One parameter or one column of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// BIGINT. Also booleans (0, 1) and times (UTC milliseconds).
    Int(i64),
    /// DOUBLE PRECISION. Rare: amounts and times are integers.
    Real(f64),
    /// Text without NUL.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// Name of the kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Int(_) => "an integer",
            Self::Real(_) => "a real",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<uuid::Uuid> for Value {
    fn from(value: uuid::Uuid) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}

impl From<&Vec<u8>> for Value {
    fn from(value: &Vec<u8>) -> Self {
        Self::Blob(value.clone())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Builds the parameter list: `params![id, now_ms, Option::<&str>::None]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::Value::from($value)),*] };
}

/// One row of an answer. Columns are counted from 0 in the order of the SELECT list.
pub struct Row<'a> {
    pub(crate) inner: RowRef<'a>,
    pub(crate) statement: &'a crate::Statement,
}

pub(crate) enum RowRef<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a postgres::Row),
}

impl Row<'_> {
    /// A column as the type the caller wants: `i64`, `i32`, `u32`, `bool`, `f64`, `String`, `Vec<u8>`, or an `Option`
    /// of one of them where NULL may stand.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] naming statement and column when the stored value is of another kind or out of range;
    /// [`StoreError::Statement`] when there is no such column.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, StoreError> {
        let value = self.value(column)?;
        let kind = value.kind();
        T::from_value(value).ok_or_else(|| {
            StoreError::Corrupt(format!(
                "statement {}, column {column}: {kind} where {} is expected",
                self.statement.full_name(),
                T::EXPECTED
            ))
        })
    }

    /// A column as it is.
    ///
    /// # Errors
    /// [`StoreError::Statement`] when there is no such column or its SQL type has no place here (NUMERIC from a SUM:
    /// `CAST(... AS BIGINT)`).
    pub fn value(&self, column: usize) -> Result<Value, StoreError> {
        let found = match &self.inner {
            RowRef::Sqlite(row) => crate::engine::sqlite::column(row, column),
            RowRef::Postgres(row) => crate::engine::postgres::column(row, column),
        };
        found.map_err(|detail| StoreError::Statement {
            statement: self.statement.full_name(),
            detail: format!("column {column}: {detail}"),
        })
    }
}

/// Types that a column can be read as.
pub trait FromValue: Sized {
    /// Said in the error.
    const EXPECTED: &'static str;
    /// The value, or nothing when it is of another kind.
    fn from_value(value: Value) -> Option<Self>;
}

impl FromValue for i64 {
    const EXPECTED: &'static str = "an integer";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(int) => Some(int),
            _ => None,
        }
    }
}

impl FromValue for i32 {
    const EXPECTED: &'static str = "a 32-bit integer";
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).and_then(|int| int.try_into().ok())
    }
}

impl FromValue for u32 {
    const EXPECTED: &'static str = "an unsigned 32-bit integer";
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).and_then(|int| int.try_into().ok())
    }
}

impl FromValue for u64 {
    const EXPECTED: &'static str = "an integer that is not negative";
    fn from_value(value: Value) -> Option<Self> {
        i64::from_value(value).and_then(|int| int.try_into().ok())
    }
}

impl FromValue for bool {
    const EXPECTED: &'static str = "0 or 1";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(0) => Some(false),
            Value::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    const EXPECTED: &'static str = "a real";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Real(real) => Some(real),
            _ => None,
        }
    }
}

impl FromValue for String {
    const EXPECTED: &'static str = "text";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const EXPECTED: &'static str = "bytes";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}
