//! Streams: sequences of bytes stored as chunks. Spec: `format-spec/40-folder.md`, "Stream".

use serde::Serialize;

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_uvarint},
    },
    id::ChunkId,
    limits::{CHUNK_BYTES_MAX, STREAM_DEPTH_MAX, STREAM_INLINE_IDS_MAX},
};

/// A sequence of bytes that is stored as chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// 0: `ids` are the data; d: the chunks hold the ids of depth d - 1.
    pub depth: u8,
    /// Length of the whole sequence.
    pub bytes: u64,
    pub ids: Vec<ChunkId>,
}

impl Stream {
    /// Appends the stream; the owner checks it before with [`Stream::broken_rule`].
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_uvarint(out, u64::from(self.depth));
        put_uvarint(out, self.bytes);
        put_uvarint(out, self.ids.len() as u64);
        self.ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
    }

    /// Reads a stream.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let depth = cursor.uvarint_to(u64::from(STREAM_DEPTH_MAX), "a stream is too deep")? as u8;
        let bytes = cursor.uvarint()?;
        let count = cursor.uvarint_to(STREAM_INLINE_IDS_MAX as u64, "a stream has too many ids")?;
        let count = cursor.claim(count, 32)?;
        let ids = (0..count).map(|_| cursor.array().map(ChunkId)).collect::<Result<_, _>>()?;
        let stream = Self { depth, bytes, ids };
        match stream.broken_rule() {
            Some(rule) => Err(cursor.corrupt(rule)),
            None => Ok(stream),
        }
    }

    /// Says which rule of the format the stream breaks, if any.
    pub(crate) fn broken_rule(&self) -> Option<&'static str> {
        let count = self.ids.len() as u64;
        if self.depth > STREAM_DEPTH_MAX {
            Some("a stream is too deep")
        } else if self.ids.len() > STREAM_INLINE_IDS_MAX {
            Some("a stream has too many ids")
        } else if (self.bytes == 0) != self.ids.is_empty() || self.bytes == 0 && self.depth > 0 {
            Some("a stream is empty and is not")
        } else if self.bytes < count {
            Some("a stream has more chunks than bytes")
        } else if self.depth == 0 && self.bytes > count * CHUNK_BYTES_MAX as u64 {
            Some("a stream is longer than its chunks can be")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::samples::{
        any_stream, breaks, chunk_id, every_truncation_fails, hex, stream,
    };

    fn encode(stream: &Stream) -> Vec<u8> {
        let mut out = Vec::new();
        stream.encode(&mut out);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Stream, Error> {
        let mut cursor = Cursor::new("stream", bytes);
        let stream = Stream::decode(&mut cursor)?;
        cursor.finish().map(|()| stream)
    }

    #[test]
    fn a_stream_has_the_bytes_of_the_spec() {
        let expected = format!("00c0843d02{}{}", "11".repeat(32), "22".repeat(32));

        assert_eq!(hex(&encode(&stream())), expected);
        assert_eq!(decode(&encode(&stream())), Ok(stream()));
        assert_eq!(hex(&encode(&Stream::default())), "000000");
        assert_eq!(decode(&[0, 0, 0]), Ok(Stream::default()));
        every_truncation_fails(&encode(&stream()), decode);
    }

    #[test]
    fn every_rule_of_streams_is_enforced() {
        let decoded = |depth, bytes, ids| decode(&encode(&Stream { depth, bytes, ids }));
        let ids = |count| vec![chunk_id(1); count];

        assert!(decoded(4, 128, ids(128)).is_ok());
        assert!(breaks(decoded(5, 1, ids(1)), "too deep"));
        assert!(breaks(decoded(0, 129, ids(129)), "too many ids"));
        assert!(breaks(decoded(0, 0, ids(1)), "empty and is not"));
        assert!(breaks(decoded(0, 1, ids(0)), "empty and is not"));
        assert!(breaks(decoded(1, 0, ids(0)), "empty and is not"));
        assert!(breaks(decoded(0, 1, ids(2)), "more chunks than bytes"));
        let most = 2 * CHUNK_BYTES_MAX as u64;
        assert!(decoded(0, most, ids(2)).is_ok());
        assert!(breaks(decoded(0, most + 1, ids(2)), "longer than its chunks"));
        assert!(decoded(1, u64::MAX, ids(2)).is_ok());
    }

    proptest! {
        #[test]
        fn every_stream_survives(stream in any_stream()) {
            prop_assert_eq!(decode(&encode(&stream)), Ok(stream));
        }
    }
}
