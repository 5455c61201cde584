//! Whether compressing is worth trying. Spec: `format-spec/20-envelope.md`, "Frame".
//!
//! The compressor itself gives up on random bytes at 4 GB/s; a look at one byte in sixteen does so
//! at 30 GB/s, and costs text nothing, since the first few windows settle it. The bytes of a frame
//! are the business of `format::frame`.

pub use crate::format::frame::{Effort, Pieces};
use crate::format::{Error, frame};

/// Shorter plaintexts are compressed without a look.
const PROBED_BYTES_MIN: usize = 32 * 1024;
const WINDOW_BYTES: usize = 512;
const WINDOW_EVERY_BYTES: usize = 8 * 1024;
/// With fewer windows in order than one in so many, compressing can save next to nothing.
const ORDERED_ONE_IN: usize = 400;

/// Pairs of equal bytes in a window of random ones: 511 on average, within 5 standard deviations of
/// 22.6.
const RANDOM_PAIRS: std::ops::RangeInclusive<u32> = 398..=624;

/// Returns the frame of a plaintext, compressed where that saves 0.5 % or more, with room for the
/// tag of its seal.
pub fn encode_frame(plain: &[u8]) -> Vec<u8> {
    encode_frame_with(plain, Effort::Usual)
}

/// As [`encode_frame`], with as much effort as the plaintext is worth.
pub fn encode_frame_with(plain: &[u8], effort: Effort) -> Vec<u8> {
    let mut frame = Vec::new();
    with_frame(plain, effort, |pieces| pieces.append_to(&mut frame));
    frame
}

/// Calls back with the frame of a plaintext, made with as much effort as that is worth.
pub fn with_frame<T>(plain: &[u8], effort: Effort, take: impl FnOnce(Pieces<'_>) -> T) -> T {
    if is_worth_a_try(plain) {
        frame::with_packed(plain, effort, take)
    } else {
        take(Pieces::stored(plain))
    }
}

fn is_worth_a_try(plain: &[u8]) -> bool {
    plain.len() < PROBED_BYTES_MIN || !looks_random(plain)
}

/// Returns the plaintext of a frame, at most `plain_bytes_max` of it.
pub fn decode_frame(frame: Vec<u8>, plain_bytes_max: usize) -> Result<Vec<u8>, Error> {
    frame::decode(frame, plain_bytes_max)
}

/// Whether nearly all windows look like random bytes. Headers and the like, here and there, do not
/// count.
fn looks_random(plain: &[u8]) -> bool {
    let ordered_max = plain.len() / WINDOW_EVERY_BYTES / ORDERED_ONE_IN;
    plain
        .chunks_exact(WINDOW_EVERY_BYTES)
        .filter(|stretch| !RANDOM_PAIRS.contains(&equal_pairs(&stretch[..WINDOW_BYTES])))
        .nth(ordered_max)
        .is_none()
}

/// Whether most of a chunk looks like random bytes, whatever its header looks like: photographs and
/// archives, which are best kept apart from what compresses. A short one never does.
pub fn is_mostly_random(plain: &[u8]) -> bool {
    let windows = plain.len() / WINDOW_EVERY_BYTES;
    let ordered = plain
        .chunks_exact(WINDOW_EVERY_BYTES)
        .filter(|stretch| !RANDOM_PAIRS.contains(&equal_pairs(&stretch[..WINDOW_BYTES])))
        .count();
    windows > 0 && ordered * 2 <= windows
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }

    #[test]
    fn random_bytes_are_stored_without_a_try() {
        let plain = noise(512 * 1024);

        assert!(looks_random(&plain));
        assert_eq!(encode_frame(&plain).len(), plain.len() + 5);
    }

    #[test]
    fn files_with_headers_of_order_are_random_all_the_same() {
        let mut plain = noise(40 * 1024);
        plain[..4096].fill(b' ');

        assert!(is_mostly_random(&plain));
        assert!(!is_mostly_random(&[b' '; 40 * 1024]) && !is_mostly_random(&noise(4000)));
    }

    #[test]
    fn one_part_in_twenty_of_text_calls_for_a_try_wherever_it_lies() {
        for start in (0..480 * 1024).step_by(13_000) {
            let mut plain = noise(512 * 1024);
            plain[start..][..26 * 1024].fill(b' ');
            assert!(!looks_random(&plain), "{start}");
        }
    }

    #[test]
    fn bytes_that_are_too_even_are_not_taken_for_random() {
        let ramp: Vec<u8> = (0..512 * 1024).map(|at| at as u8).collect();

        assert!(!looks_random(&ramp));
        assert!(encode_frame(&ramp).len() < ramp.len() / 100);
    }

    #[test]
    fn base64_and_small_numbers_are_not_taken_for_random() {
        let base64: Vec<u8> = noise(512 * 1024).iter().map(|byte| b'0' + byte % 64).collect();
        let numbers: Vec<u8> = noise(512 * 1024)
            .as_chunks()
            .0
            .iter()
            .flat_map(|[a, b, c, _]| [*a, *b, *c, 0])
            .collect();

        assert!(!looks_random(&base64));
        assert!(!looks_random(&numbers));
    }

    proptest! {
        #[test]
        fn every_plaintext_survives(plain in vec(any::<u8>(), 0..70_000)) {
            prop_assert_eq!(decode_frame(encode_frame(&plain), 70_000), Ok(plain));
        }
    }
}
