//! All tests that need more than one module, in one binary: each further one would link RocksDB
//! again.
//!
//! The modules are marked as tests, so that lints take what helps a test for one.

#[cfg(test)]
mod checks;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod crashes;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod damage;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod drive;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod export;
#[cfg(test)]
mod fake_drive;
#[cfg(test)]
mod faults;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod files_round_trip;
#[cfg(test)]
mod forget;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod full_disk;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod harness;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod honesty;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod hostile_restore;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod keys;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod live;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod live_faults;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod live_restore;
#[cfg(test)]
mod marks;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod mirror_faults;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set with plain files")]
mod mirror_pushes;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set with plain files")]
mod mirror_retention;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod mirrors;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set with plain files")]
mod moto;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod parts;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod past;
#[cfg(test)]
mod power_cuts;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod proof;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod prune;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod real_power_cuts;
#[cfg(test)]
mod repair_from_mirror;
#[cfg(test)]
mod repairs;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod restore_again;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod scene;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod shop;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod sqlite_kills;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod time;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod vectors;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the scene is set, and looked at, with plain files")]
mod vectors_repository;
