//! Every bound of the format and of our own queues, in one place. Spec: `format-spec/00-terms.md`,
//! "Limits".
//!
//! A number that came from outside is compared with its limit here before it is added, allocated or
//! indexed with.

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

pub const CHUNK_BYTES_MAX: usize = 4 * MIB;
pub const BLOB_PLAIN_BYTES_MAX: usize = 4 * MIB;
pub const BLOB_CHUNKS_MAX: usize = 65_536;
/// Sealed blob: frame header, worst case of compression (stored), tag.
pub const BLOB_SEALED_BYTES_MAX: usize = BLOB_PLAIN_BYTES_MAX + 64;
/// Small neighbouring chunks share a blob up to this plain size.
pub const BLOB_SHARED_BYTES: usize = 512 * KIB;
pub const PACK_BYTES_MAX: u64 = 64 * MIB as u64;
/// Writers close a pack when the next blob would take it beyond this.
pub const PACK_BYTES_TARGET: u64 = 32 * MIB as u64;
pub const PACK_TABLE_BYTES_MAX: usize = 2 * MIB;
/// Packs that one parity object covers.
pub const PARITY_PACKS_MAX: usize = 256;
pub const PARITY_SHARD_BYTES_MAX: usize = 64 * KIB;
/// An index frame holds whole items, the longest of which is a record with its id.
pub const INDEX_FRAME_BYTES_MAX: usize = OBJECT_PLAIN_BYTES_MAX + 64;
/// A segment repeats its predecessors up to this much plaintext and this many runs.
pub const INDEX_TAIL_BYTES_MAX: usize = 32 * KIB;
pub const INDEX_TAIL_RUNS_MAX: u32 = 6;
pub const INDEX_SUMMARIES_MAX: usize = 4;
/// Plaintext of a record, ring, descriptor or tombstone.
pub const OBJECT_PLAIN_BYTES_MAX: usize = 4 * MIB;
/// One entry of a folder node; a chunk of a node holds whole entries.
pub const ENTRY_BYTES_MAX: usize = 3 * MIB;
/// Data extents of one sparse file; a writer that meets more closes the smallest holes.
pub const EXTENTS_MAX: usize = 65_536;
/// Text of a problem that stands in an entry.
pub const PROBLEM_BYTES_MAX: usize = 4096;
pub const NAME_BYTES_MAX: usize = 255;
pub const LINK_TARGET_BYTES_MAX: usize = 4095;
pub const XATTR_BYTES_MAX: usize = MIB;
pub const NODE_BYTES_MAX: u64 = 1 << 30;
pub const FOLDER_DEPTH_MAX: usize = 1024;
pub const STREAM_INLINE_IDS_MAX: usize = 128;
pub const STREAM_DEPTH_MAX: u8 = 4;
/// Ids in one list chunk of a stream.
pub const STREAM_LIST_IDS_MAX: usize = 8192;
pub const PAGE_MAP_BYTES_MAX: u64 = 1 << 30;
pub const PAGE_SLOTS_MAX: usize = 64;
pub const PATCH_DEPTH_MAX: usize = 4;
pub const PAGE_BYTES_MIN: u32 = 512;
pub const PAGE_BYTES_MAX: u32 = 65_536;
pub const PAGE_COUNT_MAX: u32 = 4_294_967_294;
pub const PAGE_GROUP_BYTES: u32 = 256 * KIB as u32;
/// A recent page map is folded when it grows beyond this.
pub const RECENT_MAP_BYTES_MAX: u64 = 64 * KIB as u64;
pub const PROBLEMS_KEPT_MAX: usize = 1000;
pub const PART_NAME_BYTES_MAX: usize = 64;
/// Records of former runs in the state folder.
pub const RUNS_KEPT_MAX: usize = 1000;
pub const RUN_LOG_LINES_MAX: usize = 10_000;
/// What a reader takes of one run record.
pub const RUN_RECORD_BYTES_MAX: u64 = 64 * MIB as u64;

/// Cutting of files.
pub const FILE_WHOLE_BYTES_MAX: usize = 512 * KIB;
pub const FILE_CUT_BYTES_MIN: usize = 256 * KIB;
pub const FILE_CUT_BYTES_AVERAGE: usize = 512 * KIB;
pub const FILE_CUT_BYTES_MAX: usize = 2 * MIB;
/// Cutting of large nodes, at entry boundaries.
pub const NODE_WHOLE_BYTES_MAX: usize = 64 * KIB;
pub const NODE_CUT_BYTES_MIN: usize = 16 * KIB;
pub const NODE_CUT_BYTES_MAX: usize = 256 * KIB;
pub const NODE_CUT_ONE_IN: u32 = 256;

pub const KDF_MEMORY_KIB: u32 = 64 * 1024;
pub const KDF_MEMORY_KIB_MAX: u32 = 128 * 1024;
pub const KDF_PASSES: u32 = 3;
pub const KDF_PASSES_MAX: u32 = 16;
pub const KDF_LANES_MAX: u32 = 4;

const _: () = assert!(FILE_CUT_BYTES_MAX <= CHUNK_BYTES_MAX);
const _: () = assert!(FILE_WHOLE_BYTES_MAX <= CHUNK_BYTES_MAX);
const _: () = assert!(BLOB_SHARED_BYTES <= BLOB_PLAIN_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MAX <= BLOB_PLAIN_BYTES_MAX);
const _: () = assert!(
    PACK_BYTES_TARGET + (BLOB_SEALED_BYTES_MAX + PACK_TABLE_BYTES_MAX) as u64 * 2 <= PACK_BYTES_MAX
);
const _: () = assert!(PACK_TABLE_BYTES_MAX + 64 <= INDEX_FRAME_BYTES_MAX);
const _: () = assert!(ENTRY_BYTES_MAX < CHUNK_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX <= PAGE_GROUP_BYTES);
const _: () = assert!(PAGE_BYTES_MAX as usize * 16 <= CHUNK_BYTES_MAX);
