//! Frames: plaintexts that may be compressed. Spec: `format-spec/20-envelope.md`, "Frame".
//!
//! Whether compressing is worth trying is decided by `chunk::compress`; here are the bytes. Contexts of zstd are kept
//! per thread, because making one costs more than compressing a small record.

use std::{cell::RefCell, io};

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe,
};

use crate::format::{Error, cursor::Cursor};

/// Codec and plain length.
pub const FRAME_HEADER_BYTES: usize = 5;
/// Room for the tag that sealing appends, so that it does not reallocate.
const SEAL_ROOM_BYTES: usize = 16;
const LEVEL: i32 = 3;
const OBJECT: &str = "frame";

thread_local! {
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(LEVEL).expect("zstd has this level"));
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("zstd needs no dictionary"));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Codec {
    Stored = 0,
    Zstd = 1,
}

/// Appends the plaintext as it is.
pub fn put_stored(out: &mut Vec<u8>, plain: &[u8]) {
    out.reserve(FRAME_HEADER_BYTES + plain.len() + SEAL_ROOM_BYTES);
    put_header(out, Codec::Stored, plain.len());
    out.extend_from_slice(plain);
}

/// Appends the plaintext compressed, or as it is if that saves less than 3 %.
pub fn put_compressed(out: &mut Vec<u8>, plain: &[u8]) {
    let start = out.len();
    let body = start + FRAME_HEADER_BYTES;
    out.reserve(FRAME_HEADER_BYTES + zstd_safe::compress_bound(plain.len()) + SEAL_ROOM_BYTES);
    put_header(out, Codec::Zstd, plain.len());
    let mut room = io::Cursor::new(&mut *out);
    room.set_position(body as u64);
    let packed_bytes = COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress_to_buffer(plain, &mut room))
        .expect("the room that was reserved is enough for the worst case");
    if packed_bytes * 100 > plain.len() * 97 {
        out.truncate(start);
        put_stored(out, plain);
    }
}

/// Returns the plaintext of a frame that holds at most `plain_bytes_max` of it. A stored frame keeps its allocation.
pub fn decode(mut frame: Vec<u8>, plain_bytes_max: usize) -> Result<Vec<u8>, Error> {
    let mut cursor = Cursor::new(OBJECT, &frame);
    let codec = match cursor.u8()? {
        0 => Codec::Stored,
        1 => Codec::Zstd,
        unknown => return Err(cursor.newer(format!("codec {unknown}"))),
    };
    let plain_bytes = cursor.u32()? as usize;
    if plain_bytes > plain_bytes_max {
        return Err(cursor.corrupt("it claims more plaintext than is allowed here"));
    }
    match codec {
        Codec::Stored if cursor.remaining() == plain_bytes => {
            drop(frame.drain(..FRAME_HEADER_BYTES));
            Ok(frame)
        }
        Codec::Stored => Err(cursor.corrupt("stored bytes and plain length differ")),
        Codec::Zstd => decompress(cursor, plain_bytes),
    }
}

fn decompress(mut cursor: Cursor<'_>, plain_bytes: usize) -> Result<Vec<u8>, Error> {
    let packed = cursor.clone().rest();
    // The decoder would go on with whatever frames follow; the spec has exactly one.
    if zstd_safe::find_frame_compressed_size(packed) != Ok(packed.len()) {
        return Err(cursor.corrupt("it is not one whole zstd frame"));
    }
    let mut plain = Vec::with_capacity(plain_bytes);
    let written = DECOMPRESSOR
        .with_borrow_mut(|decompressor| decompressor.decompress_to_buffer(packed, &mut plain));
    let _ = cursor.rest();
    match written {
        Ok(written) if written == plain_bytes && written > 0 => Ok(plain),
        _ => Err(cursor.corrupt("it does not decompress to its plain length")),
    }
}

fn put_header(out: &mut Vec<u8>, codec: Codec, plain_bytes: usize) {
    let plain_bytes = u32::try_from(plain_bytes).expect("plaintexts are bounded by limits.rs");
    out.push(codec as u8);
    out.extend_from_slice(&plain_bytes.to_le_bytes());
}
