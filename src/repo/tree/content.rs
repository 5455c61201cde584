//! What is in a file: cut into chunks on the way in, laid out again on the way back.
//! Spec: `format-spec/40-folder.md`, "Cutting" and extra tag 2.

use crate::{
    chunk::{
        self, Store,
        cut::{FileCutter, Rest},
    },
    format::{self, stream::Stream},
    limits::{FILE_CUT_BYTES_MAX, MIB},
    repo::{stream::StreamWriter, tree::Error},
};

/// Size of the buffer for [`store_content`]: some chunks fit, so that little is moved to make room.
pub const CONTENT_BUFFER_BYTES: usize = 4 * MIB;
const _: () = assert!(CONTENT_BUFFER_BYTES >= 2 * FILE_CUT_BYTES_MAX);

/// Stores the sequence that `read` delivers until it returns 0. The first `filled` bytes are in the
/// buffer already.
pub fn store_content<E: From<chunk::Error>>(
    store: &mut dyn Store,
    mut cutter: FileCutter<'_>,
    buffer: &mut [u8],
    mut filled: usize,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<Stream, E> {
    let mut stream = StreamWriter::new();
    loop {
        let rest = fill(buffer, &mut filled, read)?;
        let mut start = 0;
        while let Some(bytes) = cutter.next_chunk(&buffer[start..filled], rest) {
            stream.put(store, &buffer[start..start + bytes])?;
            start += bytes;
        }
        if rest == Rest::Ended {
            return Ok(stream.finish(store)?);
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

/// Fills the buffer; returns whether the sequence has ended with it.
fn fill<E>(
    buffer: &mut [u8],
    filled: &mut usize,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<Rest, E> {
    while *filled < buffer.len() {
        match read(&mut buffer[*filled..])? {
            0 => return Ok(Rest::Ended),
            bytes => *filled += bytes,
        }
    }
    Ok(Rest::MoreFollows)
}

/// Is given a stretch of bytes and where in the file they belong.
pub type Stretches<'v, E> = dyn FnMut(u64, &[u8]) -> Result<(), E> + 'v;

/// Says where in a file the bytes of its stream belong, one stretch after another.
#[derive(Debug)]
pub struct Layout<'a> {
    extents: std::slice::Iter<'a, (u64, u64)>,
    /// Where the next byte belongs, and how many more belong behind it.
    next: u64,
    room: u64,
}

impl<'a> Layout<'a> {
    /// Begins at the first byte of the stream. Without extents the stream is the file.
    pub fn new(file_bytes: u64, extents: Option<&'a [(u64, u64)]>) -> Self {
        match extents {
            None => Self { extents: [].iter(), next: 0, room: file_bytes },
            Some(extents) => Self { extents: extents.iter(), next: 0, room: 0 },
        }
    }

    /// Calls back with each stretch of the next bytes and its offset in the file.
    ///
    /// # Errors
    /// When the stream has more bytes than the file has room for.
    pub fn place<E: From<Error>>(
        &mut self,
        mut bytes: &[u8],
        visit: &mut Stretches<'_, E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            while self.room == 0 {
                let too_long = || corrupt("its stream is longer than it has room for");
                (self.next, self.room) = *self.extents.next().ok_or_else(too_long)?;
            }
            let count = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
            visit(self.next, &bytes[..count])?;
            bytes = &bytes[count..];
            self.next += count as u64;
            self.room -= count as u64;
        }
        Ok(())
    }

    /// Fails if the stream ended before the file was full.
    pub fn finish(&self) -> Result<(), Error> {
        match self.room == 0 && self.extents.clone().all(|(_, bytes)| *bytes == 0) {
            true => Ok(()),
            false => Err(corrupt("its stream is shorter than its data")),
        }
    }
}

fn corrupt(why: &'static str) -> Error {
    Error::Format(format::Error::Corrupt { object: "file", at: 0, why })
}
