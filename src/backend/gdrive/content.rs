//! The content of one object: pieces in order, and what the store will say of them.

use std::{ops::Range, sync::OnceLock};

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::{journal::Entry, remote::Remote};

/// Borrowed content with its size and checksums.
#[derive(Debug)]
pub struct Content<'a> {
    pieces: &'a [&'a [u8]],
    bytes: u64,
    checksums: OnceLock<Checksums>,
}

/// What the store says of content, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksums {
    pub md5: String,
    pub sha256: String,
}

impl<'a> Content<'a> {
    pub fn new(pieces: &'a [&'a [u8]]) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, bytes, checksums: OnceLock::new() }
    }

    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn checksums(&self) -> &Checksums {
        self.checksums.get_or_init(|| {
            let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
            for piece in self.pieces {
                md5.update(piece);
                sha256.update(piece);
            }
            Checksums { md5: hex(&md5.finalize()), sha256: hex(&sha256.finalize()) }
        })
    }

    /// Copies a range of the content.
    pub fn piece(&self, range: Range<u64>) -> Bytes {
        let mut copied = BytesMut::with_capacity((range.end - range.start) as usize);
        let mut start = 0;
        for piece in self.pieces {
            let end = start + piece.len() as u64;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                copied.extend_from_slice(&piece[(from - start) as usize..(to - start) as usize]);
            }
            start = end;
        }
        copied.freeze()
    }

    /// Whether an earlier upload was of the same content.
    pub fn is_of(&self, entry: &Entry) -> bool {
        let sums = self.checksums();
        entry.bytes == self.bytes && entry.sums == *sums
    }
}

/// What is wrong with a file that should hold so many bytes with these checksums, if anything is.
pub fn difference(bytes: u64, sums: &Checksums, remote: &Remote) -> Option<&'static str> {
    let differs = |told: &Option<String>, sum: &str| {
        told.as_ref().is_some_and(|told| !told.eq_ignore_ascii_case(sum))
    };
    if remote.trashed {
        return Some("it is in the trash");
    }
    if remote.size != Some(bytes) {
        return Some("its size is another one");
    }
    if remote.md5_checksum.is_none() || differs(&remote.md5_checksum, &sums.md5) {
        return Some("its MD5 is another one");
    }
    // The store leaves it out now and then.
    differs(&remote.sha256_checksum, &sums.sha256).then_some("its SHA-256 is another one")
}

/// The MD5 of bytes that came back, in hexadecimal digits.
pub fn md5_of(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_across_pieces() {
        let pieces: [&[u8]; 4] = [b"abc", b"", b"defg", b"h"];
        let content = Content::new(&pieces);

        assert_eq!(content.bytes(), 8);
        for from in 0..8 {
            for to in from..=8 {
                assert_eq!(content.piece(from as u64..to as u64), b"abcdefgh"[from..to]);
            }
        }
        assert_eq!(content.checksums().md5, "e8dc4081b13434b45189a720b77b6818");
    }
}
