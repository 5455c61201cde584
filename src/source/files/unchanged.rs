//! Whether something looks as it did when the parent snapshot was made, so that it need not be
//! read.
//!
//! A file system may give two writes within one tick of its clock the same times. So what the
//! parent saw is trusted only if nothing had touched it in the two seconds before the parent
//! looked.

use crate::{
    clock::UnixNanos,
    disk::{FileKind, Stat},
    format::{
        image::{Image, Witness},
        node::{Content, Entry},
    },
};

/// How long something must have rested before it was looked at.
const REST_NANOS: i128 = 2_000_000_000;

/// Whether the file looks as the parent's entry says, and had rested when the parent looked.
pub fn is_unchanged(stat: &Stat, older: &Entry, parent_began: UnixNanos) -> bool {
    let bytes_equal = match &older.content {
        Content::File { bytes, .. } => *bytes == stat.bytes,
        _ => true,
    };
    // What is stored of an entry with a problem may be incomplete.
    older.problem.is_none()
        && bytes_equal
        && is_kind_of(stat.kind, &older.content)
        && older.device == stat.device
        && older.inode == stat.inode
        && older.modified == stat.modified
        && older.changed == stat.changed
        && rested(stat.modified, stat.changed, i128::from(parent_began))
}

/// Whether a database and its `-wal`, or the absence of it, look as they did before the image was
/// read.
pub fn is_database_unchanged(file: &Stat, wal: Option<&Stat>, image: &Image) -> bool {
    let seen: Vec<Witness> = [Some(file), wal].into_iter().flatten().map(witness).collect();
    let begun = nanos(image.begun);
    let all_rested = seen.iter().all(|seen| rested(seen.modified, seen.changed, begun));
    seen == image.witnesses && all_rested
}

fn is_kind_of(kind: FileKind, content: &Content) -> bool {
    match content {
        Content::File { .. } => kind == FileKind::File,
        Content::Folder { .. } => kind == FileKind::Dir,
        Content::Link { .. } => kind == FileKind::Link,
        Content::Fifo => kind == FileKind::Fifo,
        Content::Socket => kind == FileKind::Socket,
        Content::CharDevice { .. } => kind == FileKind::CharDevice,
        Content::BlockDevice { .. } => kind == FileKind::BlockDevice,
        // Has witnesses of its own.
        Content::Database(_) => false,
    }
}

fn witness(stat: &Stat) -> Witness {
    Witness {
        device: stat.device,
        inode: stat.inode,
        bytes: stat.bytes,
        modified: stat.modified,
        changed: stat.changed,
    }
}

fn rested(modified: (i64, u32), changed: (i64, u32), began: i128) -> bool {
    nanos(modified).max(nanos(changed)) + REST_NANOS <= began
}

fn nanos((seconds, nanos): (i64, u32)) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}
