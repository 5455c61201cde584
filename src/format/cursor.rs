//! Reads byte strings from front to back, and writes the small encodings. Spec:
//! `format-spec/00-terms.md`.
//!
//! A cursor never reads beyond its bytes and never trusts a count: [`Cursor::claim`] comes before
//! every loop and every allocation that a number from outside decides.

use crate::format::Error;

const ENDS_TOO_EARLY: &str = "ends too early";

/// A place in the bytes of one object.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    object: &'static str,
    /// Where `bytes` begin in the object, for messages.
    base: u64,
    bytes: &'a [u8],
    at: usize,
    ran_out: bool,
}

impl<'a> Cursor<'a> {
    /// Begins at the first byte; `object` is the word for it in error messages.
    pub const fn new(object: &'static str, bytes: &'a [u8]) -> Self {
        Self::at_offset(object, bytes, 0)
    }

    /// Begins at the first byte of a piece that lies `base` bytes into the object.
    pub const fn at_offset(object: &'static str, bytes: &'a [u8], base: u64) -> Self {
        Self { object, base, bytes, at: 0, ran_out: false }
    }

    /// Bytes read so far.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Bytes that are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether the last error was for want of bytes: more of them might have made sense.
    pub const fn ran_out(&self) -> bool {
        self.ran_out
    }

    /// Makes an error that points here.
    pub const fn corrupt(&self, why: &'static str) -> Error {
        Error::Corrupt { object: self.object, at: self.base + self.at as u64, why }
    }

    /// Makes a refusal of something that only a newer program knows.
    pub fn newer(&self, what: impl Into<String>) -> Error {
        Error::Newer { object: self.object, what: what.into() }
    }

    /// Fails unless `count` items of at least `bytes_each` can still follow. Call before looping or
    /// allocating.
    pub fn claim(&mut self, count: u64, bytes_each: usize) -> Result<usize, Error> {
        let fits = (self.remaining() / bytes_each) as u64;
        if count > fits {
            self.ran_out = true;
            return Err(self.corrupt(ENDS_TOO_EARLY));
        }
        Ok(count as usize)
    }

    /// Takes the next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let _ = self.claim(count as u64, 1)?;
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    /// Takes the next `count` bytes as a cursor of their own, which still reports offsets in the
    /// whole object.
    pub fn nested(&mut self, count: usize) -> Result<Self, Error> {
        let base = self.base + self.at as u64;
        Ok(Self::at_offset(self.object, self.take(count)?, base))
    }

    /// Takes a fixed number of bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads a minimal LEB128 integer.
    pub fn uvarint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                break;
            }
            value |= group << shift;
            if byte & 0x80 == 0 {
                return match byte {
                    0 if shift > 0 => Err(self.corrupt("an integer is not minimal")),
                    _ => Ok(value),
                };
            }
        }
        Err(self.corrupt("an integer does not fit 64 bits"))
    }

    /// Reads a `uvarint` of at most `max`; `why` says which rule a larger one breaks.
    pub fn uvarint_to(&mut self, max: u64, why: &'static str) -> Result<u64, Error> {
        match self.uvarint()? {
            value if value > max => Err(self.corrupt(why)),
            value => Ok(value),
        }
    }

    /// Reads a `uvarint` that fits 32 bits.
    pub fn uvarint32(&mut self) -> Result<u32, Error> {
        let value = self.uvarint_to(u64::from(u32::MAX), "an integer does not fit 32 bits")?;
        Ok(value as u32)
    }

    /// Reads a zigzag LEB128 integer.
    pub fn svarint(&mut self) -> Result<i64, Error> {
        self.uvarint().map(unzigzag)
    }

    /// Reads a `uvarint` length of at most `bytes_max`, then that many bytes.
    pub fn bytes(&mut self, bytes_max: usize, why: &'static str) -> Result<&'a [u8], Error> {
        let length = self.uvarint_to(bytes_max as u64, why)?;
        self.take(length as usize)
    }

    /// Reads a moment: seconds since 1970 UTC, and nanoseconds below 10^9.
    pub fn moment(&mut self) -> Result<(i64, u32), Error> {
        let seconds = self.svarint()?;
        let nanoseconds = self.uvarint_to(999_999_999, "nanoseconds make more than a second")?;
        Ok((seconds, nanoseconds as u32))
    }

    /// Fails if bytes are left.
    pub const fn finish(&self) -> Result<(), Error> {
        if self.remaining() > 0 {
            return Err(self.corrupt("bytes follow the end"));
        }
        Ok(())
    }
}

/// Number of bytes that [`put_uvarint`] writes.
pub const fn uvarint_bytes(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Writes a minimal LEB128 integer.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a zigzag LEB128 integer.
pub fn put_svarint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1 ^ value >> 63) as u64);
}

/// Writes a `uvarint` length, then the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a moment: seconds since 1970 UTC, and nanoseconds.
pub fn put_moment(out: &mut Vec<u8>, (seconds, nanoseconds): (i64, u32)) {
    put_svarint(out, seconds);
    put_uvarint(out, u64::from(nanoseconds));
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn uvarint_of(bytes: &[u8]) -> Result<u64, Error> {
        let mut cursor = Cursor::new("test", bytes);
        let value = cursor.uvarint()?;
        cursor.finish().map(|()| value)
    }

    fn corrupt(at: u64, why: &'static str) -> Error {
        Error::Corrupt { object: "test", at, why }
    }

    #[test]
    fn integers_have_the_bytes_of_the_spec() {
        let golden: [(u64, &[u8]); 6] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 0x01]),
            (300, &[0xac, 0x02]),
            (1 << 63, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ];
        for (value, bytes) in golden {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(uvarint_bytes(value), bytes.len());
            assert_eq!(uvarint_of(bytes), Ok(value));
        }
    }

    #[test]
    fn signed_integers_are_zigzag() {
        for (value, byte) in [(0, 0), (-1, 1), (1, 2), (-64, 127)] {
            let mut out = Vec::new();
            put_svarint(&mut out, value);
            assert_eq!(out, [byte]);
        }
    }

    #[test]
    fn integers_that_are_not_minimal_are_refused() {
        let why = "an integer is not minimal";
        assert_eq!(uvarint_of(&[0x80, 0x00]), Err(corrupt(2, why)));
        assert_eq!(uvarint_of(&[0xff, 0x80, 0x00]), Err(corrupt(3, why)));
    }

    #[test]
    fn integers_beyond_64_bits_are_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(uvarint_of(&bytes), Err(corrupt(10, "an integer does not fit 64 bits")));
        assert!(uvarint_of(&[0x80; 11]).is_err());
    }

    #[test]
    fn a_count_of_more_items_than_bytes_is_refused_before_the_first_is_read() {
        let mut cursor = Cursor::new("test", &[0; 64]);

        assert_eq!(cursor.claim(2, 32), Ok(2));
        assert_eq!(cursor.claim(3, 32), Err(corrupt(0, ENDS_TOO_EARLY)));
        assert_eq!(cursor.claim(u64::MAX, 1), Err(corrupt(0, ENDS_TOO_EARLY)));
        assert!(cursor.ran_out());
    }

    #[test]
    fn errors_of_nested_bytes_point_into_the_whole_object() {
        let mut outer = Cursor::new("test", &[0, 1, 2, 3, 4]);
        let _ = outer.take(2).unwrap();
        let mut inner = outer.nested(2).unwrap();
        let _ = inner.u8().unwrap();

        assert_eq!(inner.u16(), Err(corrupt(3, ENDS_TOO_EARLY)));
    }

    proptest! {
        #[test]
        fn every_integer_survives(value: u64, signed: i64) {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            prop_assert_eq!(out.len(), uvarint_bytes(value));
            put_svarint(&mut out, signed);
            let mut cursor = Cursor::new("test", &out);
            prop_assert_eq!(cursor.uvarint(), Ok(value));
            prop_assert_eq!(cursor.svarint(), Ok(signed));
            prop_assert_eq!(cursor.finish(), Ok(()));
        }

        #[test]
        fn what_decodes_is_what_would_be_written(bytes in vec(any::<u8>(), 0..12)) {
            if let Ok(value) = uvarint_of(&bytes) {
                let mut out = Vec::new();
                put_uvarint(&mut out, value);
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
