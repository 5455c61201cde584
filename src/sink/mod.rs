//! What a restore fills. Sinks know no repository: they take chunks from a
//! [`Fetch`](crate::chunk::Fetch).

mod early_sync;
pub mod files;
pub mod sqlite;
