//! Layers around a backend that are backends themselves.
//!
//! From the outside in, a place elsewhere wears: [`cache`], [`retry`], [`pace`], and in tests
//! [`record`] and [`fault`]. Only [`retry`] tries again. The repository of a backup that has
//! mirrors wears [`tell`].

pub mod cache;
pub mod fault;
pub mod pace;
pub mod record;
pub mod retry;
pub mod tell;
