//! Layers around a backend that are backends themselves.
//!
//! From the outside in, a place elsewhere wears: [`retry`], [`pace`], and in tests
//! [`record`] and [`fault`]. Only [`retry`] tries again.

pub mod fault;
pub mod pace;
pub mod record;
pub mod retry;
