//! All tests that need more than one module, in one binary: each further one would link RocksDB
//! again.
//!
//! The modules are marked as tests, so that lints take what helps a test for one.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod vectors;
