//! Stillpoint keeps every hour of a small business's application, and brings any of them back.
//!
//! # The map
//!
//! Imports point down only; a test sees to it.
//!
//! | layer | modules | knows |
//! |---|---|---|
//! | 6 | [`cli`], [`setup`], [`config`] | people, the environment, which backends there are |
//! | 4 | [`ops`] | one use case per file |
//! | 3 | [`source`], [`sink`] | what a backup reads and a restore fills; no repository |
//! | 2 | [`repo`] | where the five below meet: packs, index objects, records, the order of writes |
//! | 1 | [`mod@format`], [`crypto`], [`chunk`], [`backend`], [`index`] | bytes, keys, objects |
//! | 0 | [`id`], [`location`], [`limits`], [`clock`], [`disk`] | names, bounds, time, disk |
//!
//! # What always holds
//!
//! - Objects are written once and never again. What makes data reachable is written last, by
//!   `repo/commit.rs` alone, and success is reported when it is durable.
//! - A blob is opened again from its sealed bytes before it is published; a chunk is compared with
//!   its id whenever it is read; an image with its identity before it gets its name.
//! - Whatever came from outside is compared with [`limits`] before it is used.
//! - The local index and all other local state are caches: dropped when in doubt, and never the
//!   cause of a deletion.
//! - All durable I/O goes through [`disk::Disk`], which is how the tests reach every step of it.
//!
//! # One backup, walked through
//!
//! [`cli`] parses the command and [`setup`] puts an [`repo::Environment`] together. [`ops::backup`]
//! takes the locks of the parts and begins a [`repo::Writer`], which loads the
//! [catalogue](repo::catalogue): what is listed, and where chunks lie. Children of
//! [`source::sqlite`] capture all databases at one moment; [`repo::image`] stores what changed.
//! [`source::files`] walks the folders and stores what is new, node by node ([`repo::tree`]). All
//! of it goes through lanes into packs. At last the record of the run is published.
//!
//! A restore goes the other way: [`ops::moment`] chooses, [`sink`] writes, and every chunk that it
//! is given has been verified.

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
