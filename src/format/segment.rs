//! Index segments and summaries: frames of items. Spec: `format-spec/35-index.md`.
//!
//! Both ends stream: a writer hands out each frame as it fills, a reader walks one frame at a time,
//! so that an index object of any size needs the memory of one frame.

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_uvarint, uvarint_bytes},
        frame::FRAME_HEADER_BYTES,
    },
    id::{ObjectId, PackId, SnapshotId},
    limits::{INDEX_FRAME_BYTES_MAX, OBJECT_PLAIN_BYTES_MAX, PACK_BYTES_MAX, PACK_TABLE_BYTES_MAX},
    location::PackEntry,
};

/// Length of the integer before each sealed frame.
pub const FRAME_LENGTH_BYTES: usize = 4;
/// The longest sealed frame: stored, with its frame header and tag.
pub const FRAME_SEALED_BYTES_MAX: usize = INDEX_FRAME_BYTES_MAX + FRAME_HEADER_BYTES + TAG_BYTES;

const TAG_BYTES: usize = 16;
/// From this tag on, items that a reader does not know are skipped.
const SKIPPABLE: u8 = 128;
const OBJECT: &str = "index frame";

const ITEM_OVERHEAD_BYTES: usize = 1 + 5 + 44;
const _: () = assert!(PACK_TABLE_BYTES_MAX + ITEM_OVERHEAD_BYTES <= INDEX_FRAME_BYTES_MAX);
const _: () = assert!(OBJECT_PLAIN_BYTES_MAX + ITEM_OVERHEAD_BYTES <= INDEX_FRAME_BYTES_MAX);

/// One thing that an index object says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// The first item of every index object.
    Begin {
        sequence: u64,
        /// Runs since the last summary that this object repeats, its own included; 0 in a summary.
        runs: u32,
    },
    /// Everything that this other index object says is repeated here, or is of no use any more.
    Covers(ObjectId),
    /// A pack and the plaintext of its table of contents, not yet parsed.
    Pack { entry: PackEntry, table: &'a [u8] },
    /// The plaintext of a record, not yet decoded.
    Record { id: SnapshotId, bytes: &'a [u8] },
    /// The plaintext of a folded tombstone, not yet decoded.
    Tombstone { id: ObjectId, bytes: &'a [u8] },
}

impl Item<'_> {
    const fn tag(&self) -> u8 {
        match self {
            Self::Begin { .. } => 1,
            Self::Covers(_) => 2,
            Self::Pack { .. } => 3,
            Self::Record { .. } => 4,
            Self::Tombstone { .. } => 5,
        }
    }

    const fn value_bytes(&self) -> usize {
        match self {
            Self::Begin { .. } => 12,
            Self::Covers(_) => 32,
            Self::Pack { table, .. } => 44 + table.len(),
            Self::Record { bytes, .. } | Self::Tombstone { bytes, .. } => 32 + bytes.len(),
        }
    }

    /// Length of the item in a frame.
    pub const fn encoded_bytes(&self) -> usize {
        1 + uvarint_bytes(self.value_bytes() as u64) + self.value_bytes()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        put_uvarint(out, self.value_bytes() as u64);
        match self {
            Self::Begin { sequence, runs } => {
                out.extend_from_slice(&sequence.to_le_bytes());
                out.extend_from_slice(&runs.to_le_bytes());
            }
            Self::Covers(id) => out.extend_from_slice(id.as_bytes()),
            Self::Pack { entry, table } => {
                out.extend_from_slice(entry.pack.as_bytes());
                out.extend_from_slice(&entry.bytes.to_le_bytes());
                out.extend_from_slice(&entry.epoch.to_le_bytes());
                out.extend_from_slice(table);
            }
            Self::Record { id, bytes } => {
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(bytes);
            }
            Self::Tombstone { id, bytes } => {
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Fills frames with items.
#[derive(Debug)]
#[must_use = "an index object ends with the frame that `finish` returns"]
pub struct SegmentWriter {
    frame: Vec<u8>,
}

impl SegmentWriter {
    /// Begins an index object.
    pub fn begin(sequence: u64, runs: u32) -> Self {
        let mut frame = Vec::new();
        Item::Begin { sequence, runs }.encode(&mut frame);
        Self { frame }
    }

    /// Adds an item. Returns the plaintext of the frame before it if the item did not fit there:
    /// the next frame to seal, and not the last one.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the item fits no frame.
    pub fn push(&mut self, item: &Item<'_>) -> Result<Option<Vec<u8>>, Error> {
        let item_bytes = item.encoded_bytes();
        if item_bytes > INDEX_FRAME_BYTES_MAX {
            return Err(Error::Unstorable { object: "index item", why: "it fits no frame" });
        }
        let full = self.frame.len() + item_bytes > INDEX_FRAME_BYTES_MAX;
        let finished = full.then(|| std::mem::take(&mut self.frame));
        item.encode(&mut self.frame);
        Ok(finished)
    }

    /// Ends the frame at hand and returns its plaintext: not the last one.
    pub fn end_frame(&mut self) -> Option<Vec<u8>> {
        (!self.frame.is_empty()).then(|| std::mem::take(&mut self.frame))
    }

    /// Returns the plaintext of the last frame.
    pub fn finish(self) -> Vec<u8> {
        self.frame
    }
}

/// Walks the items of one frame's plaintext. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    cursor: Cursor<'a>,
    begun: bool,
    failed: bool,
}

impl<'a> Items<'a> {
    /// Walks the first frame of an index object, whose first item must be [`Item::Begin`].
    pub const fn of_first_frame(plain: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(OBJECT, plain), begun: false, failed: false }
    }

    /// Walks a later frame.
    pub const fn of_later_frame(plain: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(OBJECT, plain), begun: true, failed: false }
    }

    fn read(&mut self) -> Result<Option<Item<'a>>, Error> {
        while self.cursor.remaining() > 0 || !self.begun {
            let tag = self.cursor.u8()?;
            if (tag == 1) == self.begun {
                return Err(self.cursor.corrupt("it begins twice, or not at all"));
            }
            self.begun = true;
            let length = self.cursor.uvarint()?;
            let length = self.cursor.claim(length, 1)?;
            let value = self.cursor.nested(length)?;
            match tag {
                SKIPPABLE.. => {}
                _ => return read_item(tag, value).map(Some),
            }
        }
        Ok(None)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.read();
        self.failed = item.is_err();
        item.transpose()
    }
}

fn read_item<'a>(tag: u8, mut value: Cursor<'a>) -> Result<Item<'a>, Error> {
    let item = match tag {
        1 => Item::Begin { sequence: value.u64()?, runs: value.u32()? },
        2 => Item::Covers(ObjectId(value.array()?)),
        3 => {
            let pack = PackId(value.array()?);
            let entry = PackEntry { pack, bytes: value.u64()?, epoch: value.u32()? };
            if entry.bytes > PACK_BYTES_MAX || value.remaining() > PACK_TABLE_BYTES_MAX {
                return Err(value.corrupt("a pack or its table is too long"));
            }
            Item::Pack { entry, table: value.rest() }
        }
        4 => Item::Record { id: SnapshotId(value.array()?), bytes: value.rest() },
        5 => Item::Tombstone { id: ObjectId(value.array()?), bytes: value.rest() },
        unknown => return Err(value.newer(format!("item {unknown}"))),
    };
    value.finish().map(|()| item)
}

/// Checks the integer before a sealed frame and returns how many bytes of frame follow it.
pub fn sealed_frame_bytes(prefix: [u8; FRAME_LENGTH_BYTES]) -> Result<usize, Error> {
    let length = u32::from_le_bytes(prefix) as usize;
    if !(FRAME_HEADER_BYTES + TAG_BYTES..=FRAME_SEALED_BYTES_MAX).contains(&length) {
        let why = "a frame has an impossible length";
        return Err(Error::Corrupt { object: "index object", at: 0, why });
    }
    Ok(length)
}

/// One sealed frame of an index object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFrame<'a> {
    pub number: u64,
    pub bytes: &'a [u8],
    /// Whether the object ends here, which the seal must confirm.
    pub is_last: bool,
}

/// Splits what follows the header of a whole index object into its sealed frames.
pub fn split_frames(body: &[u8]) -> Result<Vec<SealedFrame<'_>>, Error> {
    let mut cursor = Cursor::new("index object", body);
    let mut frames = Vec::new();
    loop {
        let length = sealed_frame_bytes(cursor.array()?)?;
        let bytes = cursor.take(length)?;
        let is_last = cursor.remaining() == 0;
        frames.push(SealedFrame { number: frames.len() as u64, bytes, is_last });
        if is_last {
            return Ok(frames);
        }
    }
}

#[cfg(test)]
mod tests;
