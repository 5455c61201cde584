//! How the index opens RocksDB: small, quiet, bounded, without a log.

use std::{
    io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompactionStyle, DBCompressionType,
    InfoLogger, LogLevel, Options, PrefixRange, ReadOptions, UniversalCompactOptions,
    WaitForCompactOptions, WriteOptions,
};

use super::super::Error;
use crate::limits::{KIB, MIB};

/// The one column family there is.
pub(super) const FAMILY: &str = "default";

const CACHE_BYTES: usize = 32 * MIB;
const WRITE_BUFFER_BYTES: usize = 16 * MIB;
const TABLE_FILE_BYTES: u64 = 64 * MIB as u64;
/// Sorted runs that a lookup may have to ask before some of them are merged.
const RUNS_MAX: i32 = 4;
/// The largest run is written anew when the others have grown to this part of it.
const MERGE_ALL_PERCENT: i32 = 25;
const FILTER_BITS: f64 = 10.0;
/// Sorted lookups go through a filter piece by piece; in larger pieces they find neighbours, in
/// smaller ones more of them fit the cache.
const FILTER_PIECE_BYTES: usize = 128 * KIB;

pub(super) fn open_read_only(path: &Path) -> Result<DB, Error> {
    must_exist(path)?;
    let options = options();
    DB::open_cf_with_opts_for_read_only(&options, path, [(FAMILY, options.clone())], false)
        .map_err(|error| Error::Damaged { why: error.into_string() })
}

/// Opens for writing, which only one can at a time.
pub(super) fn open_exclusive(path: &Path) -> Result<DB, Error> {
    must_exist(path)?;
    open(path, &options())
}

/// RocksDB leaves a folder behind even where it is told not to create anything.
fn must_exist(path: &Path) -> Result<(), Error> {
    if path.join("CURRENT").exists() {
        return Ok(());
    }
    Err(Error::Damaged { why: "it is not there".to_owned() })
}

pub(super) fn create(path: &Path) -> Result<DB, Error> {
    let mut options = options();
    options.create_if_missing(true);
    open(path, &options)
}

fn open(path: &Path, options: &Options) -> Result<DB, Error> {
    let opened = DB::open_cf_with_opts(options, path, [(FAMILY, options.clone())]);
    let db = opened.map_err(|error| {
        let why = error.into_string();
        // RocksDB has no error of its own for a lock that another process, or this one, holds.
        let is_locked = why.contains("While lock file") || why.contains("lock hold by");
        if is_locked { Error::Locked } else { Error::Damaged { why } }
    })?;
    make_private(path);
    Ok(db)
}

/// Writes what is still in memory to files, and merges files if there are many.
pub(super) fn make_durable(db: &DB) -> Result<(), rocksdb::Error> {
    db.flush()?;
    db.wait_for_compact(&WaitForCompactOptions::default())?;
    make_private(db.path());
    Ok(())
}

/// Takes from others the right to read the files of the index, which RocksDB makes as 0644.
///
/// What keeps others out at every moment is their folder, which is made as 0700; this is for
/// copies of the files, and for whoever looks at them. A umask would do it too, but it belongs to
/// the whole process, in which other threads make files that are to have the modes of a source.
/// So a file that cannot be changed is left as it is, and one that is gone was tidied up.
fn make_private(path: &Path) {
    let Ok(files) = std::fs::read_dir(path) else { return };
    for file in files.flatten() {
        let _ = take_rights(&file);
    }
}

#[expect(clippy::disallowed_methods, reason = "files that are RocksDB's, not the disk's")]
fn take_rights(file: &std::fs::DirEntry) -> io::Result<()> {
    let stat = file.metadata()?;
    if stat.is_file() && stat.mode() & 0o077 != 0 {
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// For writes that bypass the log; durable with [`make_durable`].
pub(super) fn without_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// For walking all keys that begin with a byte, without pushing everything else out of the cache.
pub(super) fn scan(first: u8) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_range(PrefixRange([first]));
    options.fill_cache(false);
    options
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_block_based_table_factory(&table_options());
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_target_file_size_base(TABLE_FILE_BYTES);
    options.set_max_background_jobs(2);
    // Runs of like size are merged, so that a small run after each backup never costs a rewrite
    // of all the others.
    options.set_compaction_style(DBCompactionStyle::Universal);
    let mut merging = UniversalCompactOptions::default();
    merging.set_max_size_amplification_percent(MERGE_ALL_PERCENT);
    options.set_universal_compaction_options(&merging);
    options.set_level_zero_file_num_compaction_trigger(RUNS_MAX);
    // All files stay open: a reader outlives the files that a writer removes.
    options.set_max_open_files(-1);
    options.set_max_file_opening_threads(1);
    options.set_skip_stats_update_on_db_open(true);
    // Neither log files nor threads that write statistics into them.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| {}));
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn table_options() -> BlockBasedOptions {
    let mut options = BlockBasedOptions::default();
    options.set_block_cache(&Cache::new_hyper_clock_cache(CACHE_BYTES, 0));
    // Filters and indexes live in the cache too and come in pieces: that bounds all memory.
    options.set_cache_index_and_filter_blocks(true);
    options.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    options.set_partition_filters(true);
    options.set_metadata_block_size(FILTER_PIECE_BYTES);
    options.set_bloom_filter(FILTER_BITS, false);
    options
}
