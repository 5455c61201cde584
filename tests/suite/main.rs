//! All tests that need more than one module, in one binary: each further one would link RocksDB
//! again.
//!
//! The modules are marked as tests, so that lints take what helps a test for one.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod files_round_trip;
#[cfg(test)]
mod honesty;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_restore;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod shop;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod vectors_repository;
