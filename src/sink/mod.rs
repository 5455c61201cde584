//! What a restore fills. Sinks know no repository: they take chunks from a
//! [`Fetch`](crate::chunk::Fetch).

pub mod files;
pub mod sqlite;
