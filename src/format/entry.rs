//! Entries of folder nodes, and root entries of parts. Spec: `format-spec/40-folder.md`, "Node".

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_bytes, put_moment, put_uvarint, uvarint_bytes},
        image::Image,
        node::{Content, Entry},
        stream::Stream,
    },
    limits::{
        ENTRY_BYTES_MAX, EXTENTS_MAX, LINK_TARGET_BYTES_MAX, NAME_BYTES_MAX, PROBLEM_BYTES_MAX,
        XATTR_BYTES_MAX,
    },
};

const OBJECT: &str = "folder entry";

const FILE: u8 = 1;
const FOLDER: u8 = 2;
const LINK: u8 = 3;
const FIFO: u8 = 4;
const SOCKET: u8 = 5;
const CHAR_DEVICE: u8 = 6;
const BLOCK_DEVICE: u8 = 7;
const DATABASE: u8 = 8;

const XATTR: u8 = 1;
const EXTENTS: u8 = 2;
const PROBLEM: u8 = 3;

impl Entry {
    /// Returns the entry's bytes, as the record holds them for the root of a part.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the entry breaks a rule of the format.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out).map(|()| out)
    }

    /// Reads an entry that fills the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, bytes);
        let entry = Self::decode_from(&mut cursor)?;
        cursor.finish().map(|()| entry)
    }

    /// Appends the entry's bytes, as they stand in a node; appends nothing if it fails.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the entry breaks a rule of the format.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(why) = self.broken_rule() {
            return Err(unstorable(why));
        }
        let start = out.len();
        put_bytes(out, &self.name);
        out.push(self.content.kind());
        put_uvarint(out, u64::from(self.mode));
        put_uvarint(out, u64::from(self.uid));
        put_uvarint(out, u64::from(self.gid));
        put_moment(out, self.modified);
        put_moment(out, self.changed);
        put_uvarint(out, self.device);
        put_uvarint(out, self.inode);
        put_uvarint(out, self.links);
        let content = self.content.encode_into(out);
        self.put_extras(out);
        if content.is_err() || out.len() - start > ENTRY_BYTES_MAX {
            out.truncate(start);
        }
        match content {
            Ok(()) if out.len() == start => Err(unstorable("it is too long")),
            other => other,
        }
    }

    pub(crate) fn decode_from(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let name = cursor.bytes(NAME_BYTES_MAX, "a name is too long")?.to_vec();
        let kind = cursor.u8()?;
        let mode = cursor.uvarint_to(0o7777, "a mode has unknown bits")? as u32;
        let mut entry = Self {
            name,
            mode,
            uid: cursor.uvarint32()?,
            gid: cursor.uvarint32()?,
            modified: cursor.moment()?,
            changed: cursor.moment()?,
            device: cursor.uvarint()?,
            inode: cursor.uvarint()?,
            links: cursor.uvarint()?,
            content: Content::decode_from(cursor, kind)?,
            xattrs: Vec::new(),
            problem: None,
        };
        entry.read_extras(cursor)?;
        match entry.broken_rule() {
            Some(rule) => Err(cursor.corrupt(rule)),
            None => Ok(entry),
        }
    }

    fn put_extras(&self, out: &mut Vec<u8>) {
        let extents = self.content.extents();
        let count = self.xattrs.len()
            + usize::from(extents.is_some())
            + usize::from(self.problem.is_some());
        put_uvarint(out, count as u64);
        for (name, value) in &self.xattrs {
            out.push(XATTR);
            put_uvarint(out, (bytes_bytes(name) + bytes_bytes(value)) as u64);
            put_bytes(out, name);
            put_bytes(out, value);
        }
        if let Some(extents) = extents {
            out.push(EXTENTS);
            put_bytes(out, &encode_extents(extents));
        }
        if let Some(problem) = &self.problem {
            out.push(PROBLEM);
            put_bytes(out, problem.as_bytes());
        }
    }

    fn read_extras(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Error> {
        let count = cursor.uvarint()?;
        let count = cursor.claim(count, 2)?;
        let mut last = 0;
        for _ in 0..count {
            let tag = cursor.u8()?;
            if tag < last || tag == last && tag != XATTR {
                return Err(cursor.corrupt("the tags of its extras do not ascend"));
            }
            last = tag;
            let length = cursor.uvarint_to(ENTRY_BYTES_MAX as u64, "an extra is too long")?;
            self.read_extra(tag, cursor.nested(length as usize)?)?;
        }
        Ok(())
    }

    fn read_extra(&mut self, tag: u8, mut value: Cursor<'_>) -> Result<(), Error> {
        match (tag, &mut self.content) {
            (XATTR, _) => {
                let name = value.bytes(XATTR_BYTES_MAX, "extended attributes are too long")?;
                let content = value.bytes(XATTR_BYTES_MAX, "extended attributes are too long")?;
                self.xattrs.push((name.to_vec(), content.to_vec()));
            }
            (EXTENTS, Content::File { extents, .. }) => {
                *extents = Some(decode_extents(&mut value)?);
            }
            (EXTENTS, _) => return Err(value.corrupt("only files have extents")),
            (PROBLEM, _) => {
                let text = value.clone();
                match str::from_utf8(value.rest()) {
                    Ok(problem) => self.problem = Some(problem.to_owned()),
                    Err(_) => return Err(text.corrupt("a problem is not UTF-8")),
                }
            }
            _ => return Ok(()),
        }
        value.finish()
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let xattr_bytes: usize =
            self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if !is_entry_name(&self.name) {
            Some("a name is not one that a folder can have")
        } else if self.mode > 0o7777 {
            Some("a mode has unknown bits")
        } else if [self.modified.1, self.changed.1].into_iter().any(|nanos| nanos > 999_999_999) {
            Some("nanoseconds make more than a second")
        } else if !self.xattrs.is_sorted_by(|a, b| a.0 < b.0) {
            Some("the names of extended attributes do not ascend")
        } else if self.xattrs.first().is_some_and(|(name, _)| name.is_empty()) {
            Some("an extended attribute has no name")
        } else if xattr_bytes > XATTR_BYTES_MAX {
            Some("extended attributes are too long")
        } else if self.problem.as_ref().is_some_and(|text| text.len() > PROBLEM_BYTES_MAX) {
            Some("a problem is too long")
        } else {
            self.content.broken_rule()
        }
    }
}

impl Content {
    const fn kind(&self) -> u8 {
        match self {
            Self::File { .. } => FILE,
            Self::Folder { .. } => FOLDER,
            Self::Link { .. } => LINK,
            Self::Fifo => FIFO,
            Self::Socket => SOCKET,
            Self::CharDevice { .. } => CHAR_DEVICE,
            Self::BlockDevice { .. } => BLOCK_DEVICE,
            Self::Database(_) => DATABASE,
        }
    }

    fn extents(&self) -> Option<&[(u64, u64)]> {
        match self {
            Self::File { extents, .. } => extents.as_deref(),
            _ => None,
        }
    }

    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::File { bytes, stream, .. } => {
                put_uvarint(out, *bytes);
                stream.encode(out);
            }
            Self::Folder { node } => node.encode(out),
            Self::Link { target } => put_bytes(out, target),
            Self::Fifo | Self::Socket => {}
            Self::CharDevice { major, minor } | Self::BlockDevice { major, minor } => {
                put_uvarint(out, u64::from(*major));
                put_uvarint(out, u64::from(*minor));
            }
            Self::Database(image) => image.encode_into(out)?,
        }
        Ok(())
    }

    fn decode_from(cursor: &mut Cursor<'_>, kind: u8) -> Result<Self, Error> {
        Ok(match kind {
            FILE => Self::File {
                bytes: cursor.uvarint()?,
                stream: Stream::decode(cursor)?,
                extents: None,
            },
            FOLDER => Self::Folder { node: Stream::decode(cursor)? },
            LINK => {
                let target = cursor.bytes(LINK_TARGET_BYTES_MAX, "a link target is too long")?;
                Self::Link { target: target.to_vec() }
            }
            FIFO => Self::Fifo,
            SOCKET => Self::Socket,
            CHAR_DEVICE => {
                Self::CharDevice { major: cursor.uvarint32()?, minor: cursor.uvarint32()? }
            }
            BLOCK_DEVICE => {
                Self::BlockDevice { major: cursor.uvarint32()?, minor: cursor.uvarint32()? }
            }
            DATABASE => Self::Database(Box::new(Image::decode_from(cursor)?)),
            unknown => return Err(cursor.newer(format!("entry kind {unknown}"))),
        })
    }

    fn broken_rule(&self) -> Option<&'static str> {
        match self {
            Self::File { bytes, stream, extents: None } if stream.bytes != *bytes => {
                Some("size and stream differ")
            }
            Self::File { bytes, stream, extents: Some(extents) } => {
                extents_broken_rule(extents, *bytes, stream.bytes).or_else(|| stream.broken_rule())
            }
            Self::File { stream, .. } => stream.broken_rule(),
            Self::Folder { node } => node.broken_rule(),
            Self::Link { target } if target.is_empty() => Some("a link has no target"),
            Self::Link { target } if target.len() > LINK_TARGET_BYTES_MAX => {
                Some("a link target is too long")
            }
            _ => None,
        }
    }
}

/// Whether a folder can have an entry of this name.
pub fn is_entry_name(name: &[u8]) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn encode_extents(extents: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(extents.len() * 6 + 3);
    put_uvarint(&mut out, extents.len() as u64);
    let mut end = 0;
    for (offset, length) in extents {
        put_uvarint(&mut out, offset - end);
        put_uvarint(&mut out, *length);
        end = offset + length;
    }
    out
}

fn decode_extents(cursor: &mut Cursor<'_>) -> Result<Vec<(u64, u64)>, Error> {
    let count = cursor.uvarint_to(EXTENTS_MAX as u64, "a file has too many extents")?;
    let count = cursor.claim(count, 2)?;
    let mut extents = Vec::with_capacity(count);
    let mut end: u64 = 0;
    for _ in 0..count {
        let gap = cursor.uvarint()?;
        let length = cursor.uvarint()?;
        let offset = end.checked_add(gap);
        match offset.and_then(|offset| Some((offset, offset.checked_add(length)?))) {
            Some((offset, next_end)) => {
                extents.push((offset, length));
                end = next_end;
            }
            None => return Err(cursor.corrupt("an extent ends beyond all files")),
        }
    }
    Ok(extents)
}

fn extents_broken_rule(
    extents: &[(u64, u64)],
    file_bytes: u64,
    stream_bytes: u64,
) -> Option<&'static str> {
    let mut end = 0;
    let mut data_bytes = 0;
    for (offset, length) in extents {
        let within = offset.checked_add(*length).filter(|next| *next <= file_bytes);
        match within {
            Some(next) if *length > 0 && *offset >= end => end = next,
            _ => return Some("an extent is empty, out of order, or beyond the file"),
        }
        data_bytes += length;
    }
    if extents.len() > EXTENTS_MAX {
        Some("a file has too many extents")
    } else if data_bytes != stream_bytes {
        Some("extents and stream differ")
    } else {
        None
    }
}

const fn bytes_bytes(bytes: &[u8]) -> usize {
    uvarint_bytes(bytes.len() as u64) + bytes.len()
}

const fn unstorable(why: &'static str) -> Error {
    Error::Unstorable { object: OBJECT, why }
}

#[cfg(test)]
mod tests;
