//! Frames: plaintexts that may be compressed. Spec: `format-spec/20-envelope.md`, "Frame".
//!
//! Whether compressing is worth trying is decided by `chunk::compress`; here are the bytes.
//! Contexts of zstd are kept per thread, because making one costs more than compressing a small
//! record.

use std::cell::RefCell;

use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::{self, CParameter, Strategy},
};

use crate::format::{Error, cursor::Cursor};

/// Codec and plain length.
pub const FRAME_HEADER_BYTES: usize = 5;
/// Room for the tag that sealing appends, so that it does not reallocate.
const SEAL_ROOM_BYTES: usize = 16;
const LEVEL: i32 = 3;
const THOROUGH_LEVEL: i32 = 15;
const OBJECT: &str = "frame";

/// Plaintexts from this length on are searched near or far, whichever does better.
const JUDGED_BYTES_MIN: usize = 256 * 1024;
/// One plaintext in so many is searched in all ways that may pay; more at the beginning.
const JUDGED_ONE_IN: u32 = 64;
/// So many plaintexts are packed between the first two judgements, then twice as many, and so on.
const JUDGED_FIRST: u32 = 4;
/// Where the reach is near, one such judgement in so many looks far too.
const FAR_ONE_IN: u32 = 4;

/// Where the compressor looks for what it has seen before.
///
/// Records with random parts, such as signatures, tokens and random keys, fill its tables with what
/// never comes again. Small ones hold the last few kilobytes, where the fields of the neighbouring
/// records are, and stay in the first cache: a database of a shop takes 3 % less room and a sixth
/// less time. Texts and logs repeat what is further away, and take 2 to 4 % more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Level 3 as it is.
    Far,
    /// Level 3 with small tables, for what repeats in four bytes or more.
    Near,
    /// For what repeats in five bytes or more: lists with numbers in them take 1.6 % less room than
    /// when every four bytes count.
    NearLong,
    /// Level 1 with one small table: rows whose repetitions are long are found at the first look.
    /// Those of a shop take 2 % more room than when searched near, and two thirds of the time; its
    /// indexes would take 6 to 11 % more.
    Quick,
}

/// What the ways to search near came to of late.
#[derive(Debug, Default)]
struct Balance {
    near: usize,
    near_long: usize,
    quick: usize,
}

impl Balance {
    /// A quick search may take this much of the room that the best one takes. All of a shop's
    /// database takes 1.3 % more so, and is still 1 % below what other tools make of it.
    const QUICK_PERCENT_MAX: usize = 104;

    /// Adds one plaintext, packed in each way; older ones count less and less. Rows of several
    /// tables lie between each other, and one plaintext alone says little: 4 % less to 10 % more.
    const fn add(&mut self, near: usize, near_long: usize, quick: usize) {
        self.near = self.near / 4 * 3 + near;
        self.near_long = self.near_long / 4 * 3 + near_long;
        self.quick = self.quick / 4 * 3 + quick;
    }

    fn reach(&self) -> Reach {
        let least = self.near.min(self.near_long);
        if self.quick * 100 <= least * Self::QUICK_PERCENT_MAX {
            Reach::Quick
        } else if self.near_long < self.near {
            Reach::NearLong
        } else {
            Reach::Near
        }
    }
}

/// How much time a frame is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effort {
    /// 4 ms for each megabyte.
    #[default]
    Usual,
    /// 90 ms for each megabyte: for what is little and comes once in a run, such as all that an
    /// hour of a shop has changed, which takes 10 to 18 % less room.
    Thorough,
}

/// What a thread keeps between frames.
struct Packer {
    far: Compressor<'static>,
    near: Compressor<'static>,
    near_long: Compressor<'static>,
    quick: Compressor<'static>,
    /// Made when it is first asked for: few threads are.
    thorough: Option<Compressor<'static>>,
    /// What paid when it was last judged.
    reach: Reach,
    /// How many plaintexts are still packed before that is judged again.
    trusted: u32,
    judgements: u32,
    balance: Balance,
    /// Where a frame is packed, and where the other ways to pack it are tried.
    scratch: [Vec<u8>; 2],
}

impl Packer {
    fn new() -> Self {
        let near = |min_match| {
            let small = [CParameter::ChainLog(10), CParameter::HashLog(16)];
            compressor_with(LEVEL, Strategy::ZSTD_dfast, min_match, &small)
        };
        Self {
            far: compressor(LEVEL),
            near: near(4),
            near_long: near(5),
            quick: compressor_with(1, Strategy::ZSTD_fast, 5, &[CParameter::HashLog(12)]),
            thorough: None,
            reach: Reach::Far,
            trusted: 0,
            judgements: 0,
            balance: Balance::default(),
            scratch: Default::default(),
        }
    }

    /// Returns the plaintext packed; nothing if that takes more than `room`.
    fn pack(&mut self, plain: &[u8], room: usize, effort: Effort) -> Option<&[u8]> {
        if effort == Effort::Thorough {
            let thorough = self.thorough.get_or_insert_with(|| compressor(THOROUGH_LEVEL));
            return pack(thorough, plain, room, &mut self.scratch[0]);
        }
        if plain.len() < JUDGED_BYTES_MIN {
            return pack(&mut self.far, plain, room, &mut self.scratch[0]);
        }
        if self.trusted == 0 {
            self.trusted = JUDGED_ONE_IN.min(JUDGED_FIRST << self.judgements.min(8)) - 1;
            return self.judge(plain, room);
        }
        self.trusted -= 1;
        let compressor = match self.reach {
            Reach::Far => &mut self.far,
            Reach::Near => &mut self.near,
            Reach::NearLong => &mut self.near_long,
            Reach::Quick => &mut self.quick,
        };
        pack(compressor, plain, room, &mut self.scratch[0])
    }

    /// Packs the plaintext in all ways that may pay, and notes which did.
    fn judge(&mut self, plain: &[u8], room: usize) -> Option<&[u8]> {
        let [best, other] = &mut self.scratch;
        let mut least = room + 1;
        let mut try_with = |compressor: &mut Compressor<'static>| {
            let bytes = pack(compressor, plain, room, other).map_or(room + 1, <[u8]>::len);
            if bytes < least {
                least = bytes;
                std::mem::swap(best, other);
            }
            bytes
        };
        let is_far = self.reach == Reach::Far;
        let looks_far = is_far || self.judgements.is_multiple_of(FAR_ONE_IN);
        self.judgements = self.judgements.wrapping_add(1);
        let far = looks_far.then(|| try_with(&mut self.far));
        let (near, near_long) = (try_with(&mut self.near), try_with(&mut self.near_long));
        let quick = try_with(&mut self.quick);
        self.balance.add(near, near_long, quick);
        self.reach = match far {
            Some(far) if far <= near.min(near_long) => Reach::Far,
            _ => self.balance.reach(),
        };
        (least <= room).then(|| &best[..least])
    }
}

fn compressor(level: i32) -> Compressor<'static> {
    Compressor::new(level).expect("zstd has this level")
}

fn compressor_with(
    level: i32,
    strategy: Strategy,
    min_match: u32,
    tables: &[CParameter],
) -> Compressor<'static> {
    let mut compressor = compressor(level);
    let search = [CParameter::Strategy(strategy), CParameter::MinMatch(min_match)];
    for parameter in search.iter().chain(tables) {
        compressor.set_parameter(*parameter).expect("zstd has had these since 1.4");
    }
    compressor
}

/// Packs a plaintext at the beginning of the scratch; nothing if that takes more than `room`: the
/// compressor gives up as soon as it is used up.
fn pack<'a>(
    compressor: &mut Compressor<'static>,
    plain: &[u8],
    room: usize,
    scratch: &'a mut Vec<u8>,
) -> Option<&'a [u8]> {
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    let packed_bytes = compressor.compress_to_buffer(plain, &mut scratch[..room]).ok()?;
    Some(&scratch[..packed_bytes])
}

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::new(Packer::new());
    static DECOMPRESSOR: RefCell<Decompressor<'static>> =
        RefCell::new(Decompressor::new().expect("zstd needs no dictionary"));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Codec {
    Stored = 0,
    Zstd = 1,
}

/// A frame in two pieces, each where it lies: the second is as long as a blob.
#[derive(Debug, Clone, Copy)]
pub struct Pieces<'a> {
    header: [u8; FRAME_HEADER_BYTES],
    body: &'a [u8],
}

impl<'a> Pieces<'a> {
    /// The plaintext as it is.
    pub fn stored(plain: &'a [u8]) -> Self {
        Self::new(Codec::Stored, plain.len(), plain)
    }

    fn new(codec: Codec, plain_bytes: usize, body: &'a [u8]) -> Self {
        let plain_bytes = u32::try_from(plain_bytes).expect("plaintexts are bounded by limits.rs");
        let [a, b, c, d] = plain_bytes.to_le_bytes();
        Self { header: [codec as u8, a, b, c, d], body }
    }

    /// Length of the frame.
    pub const fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body.len()
    }

    /// Puts the frame together.
    ///
    /// # Panics
    /// If the room is not just as long.
    pub fn copy_to(&self, room: &mut [u8]) {
        let (header, body) = room.split_at_mut(FRAME_HEADER_BYTES);
        header.copy_from_slice(&self.header);
        body.copy_from_slice(self.body);
    }

    /// Appends the frame, with room for the tag of its seal.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.reserve(self.bytes() + SEAL_ROOM_BYTES);
        out.extend_from_slice(&self.header);
        out.extend_from_slice(self.body);
    }
}

/// Appends the plaintext as it is.
pub fn put_stored(out: &mut Vec<u8>, plain: &[u8]) {
    Pieces::stored(plain).append_to(out);
}

/// Appends the plaintext compressed, or as it is if that saves less than 0.5 %.
pub fn put_compressed(out: &mut Vec<u8>, plain: &[u8]) {
    with_packed(plain, Effort::Usual, |frame| frame.append_to(out));
}

/// Calls back with the plaintext compressed, or as it is if that saves less than 0.5 %.
///
/// The compressor writes where this thread's last frame was, so that no page of memory is touched
/// for the first time.
pub fn with_packed<T>(plain: &[u8], effort: Effort, take: impl FnOnce(Pieces<'_>) -> T) -> T {
    // No more room than saves 0.5 %.
    let room = plain.len() - plain.len() / 200;
    PACKER.with_borrow_mut(|packer| {
        take(match packer.pack(plain, room, effort) {
            Some(packed) => Pieces::new(Codec::Zstd, plain.len(), packed),
            None => Pieces::stored(plain),
        })
    })
}

/// A frame whose header was read.
pub struct Frame<'a> {
    codec: Codec,
    plain_bytes: usize,
    body: Cursor<'a>,
}

impl<'a> Frame<'a> {
    /// Reads the header of a frame that holds at most `plain_bytes_max` of plaintext.
    pub fn parse(frame: &'a [u8], plain_bytes_max: usize) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, frame);
        let codec = match cursor.u8()? {
            0 => Codec::Stored,
            1 => Codec::Zstd,
            unknown => return Err(cursor.newer(format!("codec {unknown}"))),
        };
        let plain_bytes = cursor.u32()? as usize;
        if plain_bytes > plain_bytes_max {
            return Err(cursor.corrupt("it claims more plaintext than is allowed here"));
        }
        if codec == Codec::Stored && cursor.remaining() != plain_bytes {
            return Err(cursor.corrupt("stored bytes and plain length differ"));
        }
        Ok(Self { codec, plain_bytes, body: cursor })
    }

    /// How much plaintext there is, if the frame keeps its word.
    pub const fn plain_bytes(&self) -> usize {
        self.plain_bytes
    }

    /// Returns the plaintext: of a stored frame where it lies, of a compressed one in the scratch,
    /// whose memory is used again.
    pub fn plain_in(mut self, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Error> {
        match self.codec {
            Codec::Stored => Ok(self.body.rest()),
            Codec::Zstd => self.decompress(scratch).map(|()| scratch.as_slice()),
        }
    }

    /// Makes the buffer the plaintext; its memory is used again.
    pub fn decode_into(mut self, plain: &mut Vec<u8>) -> Result<(), Error> {
        match self.codec {
            Codec::Stored => {
                plain.clear();
                plain.extend_from_slice(self.body.rest());
                Ok(())
            }
            Codec::Zstd => self.decompress(plain),
        }
    }

    fn decompress(&self, plain: &mut Vec<u8>) -> Result<(), Error> {
        let packed = self.body.clone().rest();
        // The decoder would go on with whatever frames follow; the spec has exactly one.
        if zstd_safe::find_frame_compressed_size(packed) != Ok(packed.len()) {
            return Err(self.body.corrupt("it is not one whole zstd frame"));
        }
        plain.clear();
        plain.reserve_exact(self.plain_bytes);
        let written = DECOMPRESSOR
            .with_borrow_mut(|decompressor| decompressor.decompress_to_buffer(packed, plain));
        match written {
            Ok(written) if written == self.plain_bytes && written > 0 => Ok(()),
            _ => Err(self.body.corrupt("it does not decompress to its plain length")),
        }
    }
}

/// Returns the plaintext of a frame that holds at most `plain_bytes_max` of it. A stored frame
/// keeps its allocation.
pub fn decode(mut frame: Vec<u8>, plain_bytes_max: usize) -> Result<Vec<u8>, Error> {
    let parsed = Frame::parse(&frame, plain_bytes_max)?;
    if parsed.codec == Codec::Stored {
        drop(frame.drain(..FRAME_HEADER_BYTES));
        return Ok(frame);
    }
    let mut plain = Vec::new();
    parsed.decompress(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::format::samples::{breaks, every_truncation_fails, hex};

    fn compressed(plain: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        put_compressed(&mut frame, plain);
        frame
    }

    /// Bytes that no compressor sees through.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut noise = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    }

    #[test]
    fn a_stored_frame_has_the_bytes_of_the_spec() {
        let mut frame = b"before".to_vec();
        put_stored(&mut frame, b"abc");

        assert_eq!(hex(&frame[6..]), "0003000000616263");
        assert_eq!(decode(frame.split_off(6), 3), Ok(b"abc".to_vec()));
        every_truncation_fails(&[0, 3, 0, 0, 0, 1, 2, 3], |bytes| decode(bytes.to_vec(), 3));
        assert!(breaks(decode(vec![0, 3, 0, 0, 0, 1, 2, 3, 4], 9), "differ"));
    }

    #[test]
    fn what_saves_too_little_is_stored() {
        let plain = noise(100_000);
        let ordered = [&plain[..], &[7; 10_000]].concat();

        assert_eq!(compressed(&plain)[0], Codec::Stored as u8);
        assert_eq!(compressed(&plain).len(), 100_005);
        assert_eq!(compressed(&ordered)[0], Codec::Zstd as u8);
        assert_eq!(decode(compressed(&ordered), 200_000), Ok(ordered));
    }

    /// Rows of a table: names that come again, and a signature of each that does not.
    fn rows(bytes: usize) -> Vec<u8> {
        let random = noise(bytes);
        let row = |random: &[u8]| {
            let name = ["coral brick", "sand amber", "mint moss olive"][usize::from(random[0] % 3)];
            format!("{name} {} {}\n", u16::from(random[1]) * 7, hex(&random[2..14]))
        };
        let mut rows: Vec<u8> =
            random.chunks_exact(14).flat_map(|at| row(at).into_bytes()).collect();
        rows.truncate(bytes);
        rows
    }

    /// Packs, and returns with which reach the next plaintexts will be packed.
    fn reach_after(packer: &mut Packer, plain: &[u8]) -> Reach {
        let packed = packer.pack(plain, plain.len(), Effort::Usual).map(<[u8]>::to_vec);
        let mut frame = vec![Codec::Zstd as u8];
        frame.extend((plain.len() as u32).to_le_bytes());
        frame.extend(packed.expect("it saves something"));
        assert_eq!(decode(frame, plain.len()).unwrap(), plain);
        packer.reach
    }

    #[test]
    fn the_reach_that_pays_is_kept_for_a_while_and_then_judged_again() {
        let (near, far) = (rows(JUDGED_BYTES_MIN), noise(JUDGED_BYTES_MIN / 2).repeat(2));
        let mut packer = Packer::new();

        let reach = reach_after(&mut packer, &near);
        assert_ne!(reach, Reach::Far);
        for _ in 1..JUDGED_FIRST {
            assert_eq!(reach_after(&mut packer, &near), reach);
        }
        assert_eq!(packer.trusted, 0);
        packer.judgements = FAR_ONE_IN;
        assert_eq!(reach_after(&mut packer, &far), Reach::Far);
    }

    #[test]
    fn judgements_become_rare() {
        let near = rows(JUDGED_BYTES_MIN);
        let mut packer = Packer::new();

        let judged = (0..500).filter(|_| {
            let is_judged = packer.trusted == 0;
            let _ = packer.pack(&near, near.len(), Effort::Usual);
            is_judged
        });

        assert_eq!(judged.collect::<Vec<_>>(), [0, 4, 12, 28, 60, 124, 188, 252, 316, 380, 444]);
    }

    #[test]
    fn a_quick_search_is_for_what_takes_little_more_room_so() {
        let mut balance = Balance::default();
        for (near, near_long, quick, reach) in [
            (1000, 1010, 1030, Reach::Quick),
            // One that does much worse does not outweigh those before it for ever.
            (1000, 1010, 1090, Reach::Near),
            (1000, 1010, 960, Reach::Quick),
            (1000, 1010, 1200, Reach::Near),
            (1000, 900, 1200, Reach::NearLong),
        ] {
            balance.add(near, near_long, quick);
            assert_eq!(balance.reach(), reach, "{balance:?}");
        }
    }

    #[test]
    fn more_effort_saves_more() {
        let plain = rows(100_000);
        let mut thorough = Vec::new();

        with_packed(&plain, Effort::Thorough, |frame| frame.append_to(&mut thorough));

        assert!(thorough.len() < compressed(&plain).len());
        assert_eq!(decode(thorough, plain.len()), Ok(plain));
    }

    #[test]
    fn a_frame_takes_the_room_of_its_tag_and_little_more() {
        for plain in [vec![7; 100_000], noise(100_000), Vec::new()] {
            let frame = compressed(&plain);
            let spare = frame.capacity() - frame.len();
            assert!((SEAL_ROOM_BYTES..100).contains(&spare), "{spare}");
        }
    }

    #[test]
    fn more_plaintext_than_allowed_is_refused_before_it_is_decompressed() {
        let frame = compressed(&[7; 100_000]);

        assert_eq!(decode(frame.clone(), 100_000).map(|plain| plain.len()), Ok(100_000));
        assert!(breaks(decode(frame, 99_999), "more plaintext than is allowed"));
    }

    #[test]
    fn a_plain_length_that_lies_is_corrupt() {
        for claimed in [0u32, 99_999, 100_001] {
            let mut frame = compressed(&[7; 100_000]);
            frame[1..5].copy_from_slice(&claimed.to_le_bytes());
            assert!(breaks(decode(frame, 200_000), "to its plain length"), "{claimed}");
        }
    }

    #[test]
    fn a_frame_is_exactly_one_zstd_frame() {
        let frame = compressed(&[7; 1000]);
        every_truncation_fails(&frame, |bytes| decode(bytes.to_vec(), 1000));
        let doubled = [&frame[..], &frame[5..]].concat();
        assert!(breaks(decode(doubled, 4000), "one whole zstd frame"));
        let skippable = [&[1, 0, 0, 0, 0][..], &[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]].concat();
        assert!(decode(skippable, 4000).is_err());
        assert!(matches!(decode(vec![2, 0, 0, 0, 0], 9), Err(Error::Newer { .. })));
    }

    proptest! {
        #[test]
        fn every_plaintext_survives(plain in vec(0..4u8, 0..3000)) {
            prop_assert_eq!(decode(compressed(&plain), 3000), Ok(plain));
        }

        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200), codec in 0..2u8) {
            if let Some(first) = bytes.first_mut() {
                *first = codec;
            }
            let _ = decode(bytes, 1000);
        }
    }
}
