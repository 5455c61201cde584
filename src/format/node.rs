//! Folder nodes. Spec: `format-spec/40-folder.md`, "Node".
//!
//! A node is read in pieces as its chunks arrive; nobody needs a whole folder in memory. What an
//! entry looks like is in
//! `entry.rs`.

use serde::Serialize;

use crate::{
    format::{Error, cursor::Cursor, image::Image, show, stream::Stream},
    limits::{ENTRY_BYTES_MAX, NODE_BYTES_MAX},
};

/// First byte of every node.
pub const NODE_VERSION: u8 = 1;

const OBJECT: &str = "folder node";

/// One name in a folder, with all that a restore puts back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// 1 to 255 bytes, never `.` or `..`, no `/`, no zero byte.
    #[serde(serialize_with = "show::text")]
    pub name: Vec<u8>,
    pub content: Content,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970 UTC.
    pub modified: (i64, u32),
    pub changed: (i64, u32),
    pub device: u64,
    pub inode: u64,
    pub links: u64,
    /// Ascending by name.
    #[serde(serialize_with = "show::text_pairs")]
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Problem met while reading; what is stored may be incomplete.
    pub problem: Option<String>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    File {
        bytes: u64,
        stream: Stream,
        /// Data extents (offset, length) of a sparse file, ascending; the stream holds only these.
        extents: Option<Vec<(u64, u64)>>,
    },
    Folder {
        node: Stream,
    },
    Link {
        #[serde(serialize_with = "show::text")]
        target: Vec<u8>,
    },
    Fifo,
    Socket,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Database(Box<Image>),
}

/// Walks the entries of a node whose bytes are all there. Ends after the first error.
#[derive(Debug)]
pub struct NodeReader<'a> {
    cursor: Cursor<'a>,
    order: Order,
    failed: bool,
}

impl<'a> NodeReader<'a> {
    /// Begins at the first byte of the node.
    pub fn new(node: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(OBJECT, node), order: Order::default(), failed: false }
    }

    fn read(&mut self) -> Result<Option<Entry>, Error> {
        if self.cursor.position() == 0 {
            read_version(&mut self.cursor)?;
        }
        match self.cursor.remaining() {
            0 => Ok(None),
            _ => self.order.read_entry(&mut self.cursor).map(Some),
        }
    }
}

impl Iterator for NodeReader<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.read();
        self.failed = entry.is_err();
        entry.transpose()
    }
}

/// Decodes a node piece by piece.
#[derive(Debug, Default)]
#[must_use = "a node that was cut short shows only in `finish`"]
pub struct NodeDecoder {
    /// The beginning of an entry whose end is in the next piece.
    carry: Vec<u8>,
    /// Offset of the next undecoded byte in the node.
    at: u64,
    order: Order,
}

impl NodeDecoder {
    /// Takes the next bytes of the node and returns the entries that they complete.
    pub fn decode(&mut self, piece: &[u8]) -> Result<Vec<Entry>, Error> {
        let joined;
        let bytes = if self.carry.is_empty() {
            piece
        } else {
            self.carry.extend_from_slice(piece);
            joined = std::mem::take(&mut self.carry);
            &joined[..]
        };
        let mut cursor = Cursor::at_offset(OBJECT, bytes, self.at);
        if self.at == 0 && cursor.remaining() > 0 {
            read_version(&mut cursor)?;
        }
        let mut entries = Vec::new();
        let mut done = cursor.position();
        while cursor.remaining() > 0 {
            match self.order.read_entry(&mut cursor) {
                Ok(entry) => entries.push(entry),
                Err(_) if cursor.ran_out() && bytes.len() - done < ENTRY_BYTES_MAX => break,
                Err(error) => return Err(error),
            }
            done = cursor.position();
        }
        self.at += done as u64;
        self.carry.extend_from_slice(&bytes[done..]);
        if self.at > NODE_BYTES_MAX {
            return Err(cursor.corrupt("it is too long"));
        }
        Ok(entries)
    }

    /// Fails unless the node ended with a whole entry.
    pub fn finish(self) -> Result<(), Error> {
        let end = Cursor::at_offset(OBJECT, &[], self.at);
        if self.at == 0 || !self.carry.is_empty() {
            return Err(end.corrupt("ends too early"));
        }
        Ok(())
    }
}

/// Keeps the names of a node in order.
#[derive(Debug, Default)]
struct Order {
    last_name: Vec<u8>,
}

impl Order {
    fn read_entry(&mut self, cursor: &mut Cursor<'_>) -> Result<Entry, Error> {
        let start = cursor.position();
        let entry = Entry::decode_from(cursor)?;
        if cursor.position() - start > ENTRY_BYTES_MAX {
            return Err(cursor.corrupt("an entry is too long"));
        }
        if entry.name <= self.last_name {
            return Err(cursor.corrupt("its names do not ascend"));
        }
        self.last_name.clone_from(&entry.name);
        Ok(entry)
    }
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<(), Error> {
    match cursor.u8()? {
        NODE_VERSION => Ok(()),
        unknown => Err(cursor.newer(format!("node version {unknown}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::format::samples::{any_entry, breaks, file};

    fn node(names: &[&str]) -> Vec<u8> {
        let mut bytes = vec![NODE_VERSION];
        names.iter().for_each(|name| file(name).encode_into(&mut bytes).unwrap());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Entry>, Error> {
        NodeReader::new(bytes).collect()
    }

    fn decode_in_pieces(bytes: &[u8], piece_bytes: usize) -> Result<Vec<Entry>, Error> {
        let mut decoder = NodeDecoder::default();
        let mut entries = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            entries.extend(decoder.decode(piece)?);
        }
        decoder.finish().map(|()| entries)
    }

    #[test]
    fn a_node_is_its_version_and_its_entries() {
        let bytes = node(&["a", "b"]);

        assert_eq!(read(&bytes), Ok(vec![file("a"), file("b")]));
        assert_eq!(read(&[1]), Ok(vec![]));
        assert!(breaks(read(&[]), "ends too early"));
        assert!(matches!(read(&[2]), Err(Error::Newer { .. })));
    }

    #[test]
    fn names_that_do_not_ascend_are_corrupt() {
        for names in [["b", "a"], ["a", "a"], ["ab", "a"]] {
            assert!(breaks(read(&node(&names)), "do not ascend"));
            assert!(breaks(decode_in_pieces(&node(&names), 7), "do not ascend"));
        }
        assert!(read(&node(&["a", "a\u{1}", "aa"])).is_ok());
    }

    #[test]
    fn a_node_that_is_cut_short_shows_at_its_end() {
        let bytes = node(&["a", "b"]);
        let second = node(&["a"]).len();

        for length in (0..bytes.len()).filter(|length| ![1, second].contains(length)) {
            assert!(read(&bytes[..length]).is_err(), "{length}");
            assert!(decode_in_pieces(&bytes[..length], 50).is_err(), "{length}");
        }
    }

    #[test]
    fn damage_in_a_piece_is_told_from_a_piece_that_ends_too_early() {
        let mut bytes = node(&["a", "b"]);
        bytes[2] = b'/';

        let mut decoder = NodeDecoder::default();
        assert!(breaks(decoder.decode(&bytes[..200]), "a folder can have"));
    }

    #[test]
    fn an_entry_that_never_ends_is_given_up() {
        let mut decoder = NodeDecoder::default();
        let start = node(&["a"]);
        let _ = decoder.decode(&start[..start.len() - 1]).unwrap();
        let endless = [&[0x01, 0xc8][..], &put_length(ENTRY_BYTES_MAX as u64)].concat();
        let _ = decoder.decode(&endless).unwrap();

        let given_up =
            (0..ENTRY_BYTES_MAX / 4096 + 1).find_map(|_| decoder.decode(&[0; 4096]).err());
        assert!(given_up.is_some());
    }

    fn put_length(length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        crate::format::cursor::put_uvarint(&mut out, length);
        out
    }

    proptest! {
        #[test]
        fn every_node_survives_in_pieces_of_any_size(
            mut entries in vec(any_entry(), 0..8),
            piece_bytes in 1..3000usize,
        ) {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.dedup_by(|a, b| a.name == b.name);
            let mut bytes = vec![NODE_VERSION];
            entries.iter().for_each(|entry| entry.encode_into(&mut bytes).unwrap());

            prop_assert_eq!(read(&bytes), Ok(entries.clone()));
            prop_assert_eq!(decode_in_pieces(&bytes, piece_bytes), Ok(entries));
        }
    }
}
