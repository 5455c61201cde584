//! What a backup reads. Sources know no repository: they hand chunks to a
//! [`Store`](crate::chunk::Store).

pub mod files;
pub mod sqlite;
pub mod sqlite_check;
