//! Reading and writing index segments and summaries. Spec: `format-spec/35-index.md`.

use crate::{
    backend::{Backend, ObjectName},
    chunk::compress::{self, Effort},
    crypto::{
        keys::Keys,
        seal::{ObjectKey, Role},
    },
    format::{
        self,
        envelope::{HEADER_BYTES, Header, Kind},
        segment::{self, Item, Items, SegmentWriter},
    },
    id::{ObjectId, SnapshotId},
    limits::{BLOB_SHARED_BYTES, INDEX_FRAME_BYTES_MAX},
    location::PackEntry,
    repo::Error,
};

/// What stands before the packs: enough to weigh an index object without reading it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub name: ObjectName,
    pub id: ObjectId,
    pub bytes: u64,
    pub is_summary: bool,
    pub sequence: u64,
    pub runs: u32,
    pub covers: Vec<ObjectId>,
    /// Folded tombstones: id and plaintext.
    pub tombstones: Vec<(ObjectId, Vec<u8>)>,
}

/// The packs and records of one or more index objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    pub packs: Vec<(PackEntry, Vec<u8>)>,
    pub records: Vec<(SnapshotId, Vec<u8>)>,
}

impl Contents {
    /// Plaintext bytes that the contents take in an index object, nearly.
    pub fn bytes(&self) -> usize {
        let packs: usize = self.packs.iter().map(|(_, table)| table.len() + 50).sum();
        let records: usize = self.records.iter().map(|(_, record)| record.len() + 40).sum();
        packs + records
    }
}

/// An index object that is being read, frame after frame.
pub struct IndexObjectReader<'a> {
    backend: &'a dyn Backend,
    name: ObjectName,
    bytes: u64,
    header: [u8; HEADER_BYTES],
    key: ObjectKey,
    is_summary: bool,
    next_frame: u64,
    next_offset: u64,
}

impl<'a> IndexObjectReader<'a> {
    /// Reads and checks the header.
    pub fn open(
        backend: &'a dyn Backend,
        keys: &Keys,
        name: ObjectName,
        bytes: u64,
    ) -> Result<Self, Error> {
        let ObjectName::Index { id, .. } = name else {
            unreachable!("the listing of the index folder holds index objects only")
        };
        let head = backend.get_range(&name, 0..HEADER_BYTES as u64)?;
        let header = Header::decode(&head)?;
        let is_summary = header.kind == Kind::Summary;
        let kind = if is_summary { Kind::Summary } else { Kind::Segment };
        header.expect(kind, &keys.repository, &id.0)?;
        let key = ObjectKey::for_epoch(keys, header.epoch, kind, &id.0)?;
        let next_offset = HEADER_BYTES as u64;
        Ok(Self {
            backend,
            name,
            bytes,
            header: header.encode(),
            key,
            is_summary,
            next_frame: 0,
            next_offset,
        })
    }

    /// Returns the plaintext of the next frame, or nothing after the last one.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.next_offset == u64::MAX {
            return Ok(None);
        }
        let offset = self.next_offset;
        let start = offset.checked_add(4).filter(|start| *start < self.bytes);
        let start = start.ok_or_else(|| self.corrupt(offset, "ends before its last frame"))?;
        let prefix = self.backend.get_range(&self.name, offset..start)?;
        let prefix = prefix.try_into().expect("a range of 4 bytes");
        let end = start + segment::sealed_frame_bytes(prefix)? as u64;
        if end > self.bytes {
            return Err(self.corrupt(offset, "a frame is longer than the object"));
        }
        let sealed = self.backend.get_range(&self.name, start..end)?;
        let is_last = end == self.bytes;
        let role = if is_last { Role::LastFrame } else { Role::Frame };
        let frame = self.key.open(self.next_frame, role, &self.header, sealed)?;
        self.next_frame += 1;
        self.next_offset = if is_last { u64::MAX } else { end };
        Ok(Some(compress::decode_frame(frame, INDEX_FRAME_BYTES_MAX)?))
    }

    /// Reads the head, and the contents that follow it in the same frame.
    pub fn head(&mut self) -> Result<(Head, Contents), Error> {
        let ObjectName::Index { id, .. } = self.name else { unreachable!("checked by open") };
        let mut head = Head {
            name: self.name.clone(),
            id,
            bytes: self.bytes,
            is_summary: self.is_summary,
            sequence: 0,
            runs: 0,
            covers: Vec::new(),
            tombstones: Vec::new(),
        };
        let mut contents = Contents::default();
        let frame = self.next_frame()?.ok_or_else(|| self.corrupt(0, "has no frame"))?;
        for item in Items::of_first_frame(&frame) {
            let item = item?;
            head.take(&item);
            contents.take(item);
        }
        Ok((head, contents))
    }

    /// Reads the contents of the next frame, or nothing after the last one.
    pub fn contents(&mut self) -> Result<Option<Contents>, Error> {
        let Some(frame) = self.next_frame()? else { return Ok(None) };
        let mut contents = Contents::default();
        for item in Items::of_later_frame(&frame) {
            contents.take(item?);
        }
        Ok(Some(contents))
    }

    fn corrupt(&self, at: u64, why: &'static str) -> Error {
        format::Error::Corrupt { object: "index object", at, why }.into()
    }
}

impl Head {
    fn take(&mut self, item: &Item<'_>) {
        match item {
            Item::Begin { sequence, runs } => (self.sequence, self.runs) = (*sequence, *runs),
            Item::Covers(id) => self.covers.push(*id),
            Item::Tombstone { id, bytes } => self.tombstones.push((*id, bytes.to_vec())),
            _ => {}
        }
    }
}

impl Contents {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Pack { entry, table } => self.packs.push((entry, table.to_vec())),
            Item::Record { id, bytes } => self.records.push((id, bytes.to_vec())),
            _ => {}
        }
    }
}

/// What a new index object says.
pub struct Draft<'a> {
    pub is_summary: bool,
    pub sequence: u64,
    pub runs: u32,
    pub covers: Vec<ObjectId>,
    pub tombstones: &'a [(ObjectId, Vec<u8>)],
    pub contents: &'a Contents,
}

/// Seals an index object.
pub fn seal(keys: &Keys, id: ObjectId, draft: &Draft<'_>) -> Result<Vec<u8>, Error> {
    let kind = if draft.is_summary { Kind::Summary } else { Kind::Segment };
    let epoch = keys.epoch_now();
    let header = Header::streamed(kind, epoch, keys.repository, id.0).encode();
    let key = ObjectKey::for_epoch(keys, epoch, kind, &id.0)?;
    let frames = frames(draft)?;
    let mut object = header.to_vec();
    for (number, frame) in frames.iter().enumerate() {
        let role = if number + 1 == frames.len() { Role::LastFrame } else { Role::Frame };
        let sealed = key.seal(number as u64, role, &header, pack(frame));
        let length = u32::try_from(sealed.len()).expect("a frame is at most 4 MiB");
        object.extend(length.to_le_bytes());
        object.extend(sealed);
    }
    Ok(object)
}

/// What the contents take in an index object, sealed, nearly.
pub fn packed_bytes(contents: &Contents) -> Result<u64, Error> {
    let (is_summary, sequence, runs) = (true, 0, 0);
    let draft = Draft { is_summary, sequence, runs, covers: Vec::new(), tombstones: &[], contents };
    let packed = frames(&draft)?.into_iter().map(|frame| pack(&frame).len() as u64);
    Ok(HEADER_BYTES as u64 + packed.sum::<u64>())
}

/// Compresses a frame: what one run has to say with more effort, a large summary in less time.
fn pack(frame: &[u8]) -> Vec<u8> {
    let is_short = frame.len() <= BLOB_SHARED_BYTES;
    let effort = if is_short { Effort::Thorough } else { Effort::Usual };
    compress::encode_frame_with(frame, effort)
}

fn frames(draft: &Draft<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let mut writer = SegmentWriter::begin(draft.sequence, draft.runs);
    let mut frames = Vec::new();
    for id in &draft.covers {
        frames.extend(writer.push(&Item::Covers(*id))?);
    }
    for (id, bytes) in draft.tombstones {
        frames.extend(writer.push(&Item::Tombstone { id: *id, bytes })?);
    }
    if draft.is_summary {
        frames.extend(writer.end_frame());
    }
    for (entry, table) in &draft.contents.packs {
        frames.extend(writer.push(&Item::Pack { entry: *entry, table })?);
    }
    for (id, bytes) in &draft.contents.records {
        frames.extend(writer.push(&Item::Record { id: *id, bytes })?);
    }
    frames.push(writer.finish());
    Ok(frames)
}
