//! Stillpoint.

pub mod backend;
pub mod chunk;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod disk;
pub mod format;
pub mod id;
pub mod index;
pub mod limits;
pub mod location;
pub mod ops;
pub mod repo;
pub mod setup;
pub mod sink;
pub mod source;
