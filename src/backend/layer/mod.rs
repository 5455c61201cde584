//! Layers around a backend that are backends themselves.

pub mod fault;
