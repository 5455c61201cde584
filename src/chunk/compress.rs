//! Whether compressing is worth trying. Spec: `format-spec/20-envelope.md`, "Frame".
//!
//! The compressor itself gives up on random bytes at 4 GB/s; a look at one byte in sixteen does so at 30 GB/s, and
//! costs text nothing, since the first few windows settle it. The bytes of a frame are the business of `format::frame`.

use crate::format::{Error, frame};

/// Shorter plaintexts are compressed without a look.
const PROBED_BYTES_MIN: usize = 32 * 1024;
const WINDOW_BYTES: usize = 512;
const WINDOW_EVERY_BYTES: usize = 8 * 1024;
/// With fewer windows in order than one in so many, compressing cannot save 3 %.
const ORDERED_ONE_IN: usize = 50;

/// Pairs of equal bytes in a window of random ones: 511 on average, within 5 standard deviations of 22.6.
const RANDOM_PAIRS: std::ops::RangeInclusive<u32> = 398..=624;

/// Returns the frame of a plaintext, compressed where that saves 3 % or more, with room for the tag of its seal.
pub fn encode_frame(plain: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    put_frame(&mut frame, plain);
    frame
}

/// Appends the frame of a plaintext.
pub fn put_frame(out: &mut Vec<u8>, plain: &[u8]) {
    if plain.len() >= PROBED_BYTES_MIN && looks_random(plain) {
        frame::put_stored(out, plain);
    } else {
        frame::put_compressed(out, plain);
    }
}

/// Returns the plaintext of a frame, at most `plain_bytes_max` of it.
pub fn decode_frame(frame: Vec<u8>, plain_bytes_max: usize) -> Result<Vec<u8>, Error> {
    frame::decode(frame, plain_bytes_max)
}

/// Whether nearly all windows look like random bytes. Headers and the like, here and there, do not count.
fn looks_random(plain: &[u8]) -> bool {
    let ordered_max = plain.len() / WINDOW_EVERY_BYTES / ORDERED_ONE_IN;
    plain
        .chunks_exact(WINDOW_EVERY_BYTES)
        .filter(|stretch| !RANDOM_PAIRS.contains(&equal_pairs(&stretch[..WINDOW_BYTES])))
        .nth(ordered_max)
        .is_none()
}

/// Counts the pairs of equal bytes, which order of any kind raises and mere counting lowers.
fn equal_pairs(window: &[u8]) -> u32 {
    let mut counts = [0u16; 256];
    for byte in window {
        let count = &mut counts[usize::from(*byte)];
        *count = count.wrapping_add(1);
    }
    counts.iter().map(|count| u32::from(*count) * u32::from(count.saturating_sub(1)) / 2).sum()
}
