//! A value of a database that owns its bytes. Text need not be UTF-8: SQLite does not see to it.

use rusqlite::{
    ToSql,
    types::{ToSqlOutput, ValueRef},
};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl Value {
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }

    /// What it takes in memory, about.
    pub const fn bytes(&self) -> usize {
        let held = match self {
            Self::Text(bytes) | Self::Blob(bytes) => bytes.len(),
            _ => 0,
        };
        held + size_of::<Self>()
    }

    /// Text that cannot be anything else.
    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(number) => Self::Integer(number),
            ValueRef::Real(number) => Self::Real(number),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_ref()))
    }
}
