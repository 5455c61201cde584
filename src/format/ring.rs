//! The plaintext of a key ring. Spec: `format-spec/25-keys.md`, "Key ring".

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::format::{
    Error,
    fields::{FieldsReader, FieldsWriter},
};

const OBJECT: &str = "key ring";

/// Every key of a repository, in the clear: wipes itself and prints none of them.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Ring {
    pub generation: u32,
    pub chunk: [u8; 32],
    pub cut: [u8; 32],
    pub page: [u8; 32],
    pub identity: [u8; 32],
    /// Number and key, ascending, from 1; new objects use the last.
    pub epochs: Vec<(u32, [u8; 32])>,
    /// BLAKE3 of the descriptor in force.
    pub descriptor_hash: [u8; 32],
}

impl Ring {
    /// Returns the ring's plaintext.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it from the start, so that no half-written copy stays behind.
        let mut fields = FieldsWriter::with_capacity(512 + 36 * self.epochs.len());
        fields.put(1, &self.generation);
        fields.put(2, &self.chunk);
        fields.put(3, &self.cut);
        fields.put(4, &self.page);
        fields.put(5, &self.identity);
        fields.put(6, &self.epochs);
        fields.put(7, &self.descriptor_hash);
        Zeroizing::new(fields.finish())
    }

    /// Reads a ring's plaintext, all keys of which must be there.
    pub fn decode(plain: &[u8]) -> Result<Self, Error> {
        let mut fields = FieldsReader::of_object(OBJECT, plain)?;
        let mut ring = Self {
            generation: 0,
            chunk: [0; 32],
            cut: [0; 32],
            page: [0; 32],
            identity: [0; 32],
            epochs: Vec::new(),
            descriptor_hash: [0; 32],
        };
        let mut known = 0;
        while let Some(field) = fields.read()? {
            known += u32::from((1..=7).contains(&field.tag));
            match field.tag {
                1 => ring.generation = field.decode()?,
                2 => ring.chunk = field.decode()?,
                3 => ring.cut = field.decode()?,
                4 => ring.page = field.decode()?,
                5 => ring.identity = field.decode()?,
                6 => ring.epochs = field.decode()?,
                7 => ring.descriptor_hash = field.decode()?,
                _ => field.skip_unknown()?,
            }
        }
        if known < 7 {
            return Err(fields.corrupt("a key is absent"));
        }
        if ring.epochs.is_empty() || ring.epochs[0].0 == 0 {
            return Err(fields.corrupt("it has no epoch, or epoch 0"));
        }
        if !ring.epochs.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(fields.corrupt("its epochs do not ascend"));
        }
        Ok(ring)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs: Vec<u32> = self.epochs.iter().map(|(number, _)| *number).collect();
        f.debug_struct("Ring")
            .field("generation", &self.generation)
            .field("epochs", &epochs)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::breaks;

    fn ring() -> Ring {
        Ring {
            generation: 2,
            chunk: [1; 32],
            cut: [2; 32],
            page: [3; 32],
            identity: [4; 32],
            epochs: vec![(1, [5; 32]), (3, [6; 32])],
            descriptor_hash: [7; 32],
        }
    }

    fn decoded(epochs: Vec<(u32, [u8; 32])>) -> Result<Ring, Error> {
        Ring::decode(&Ring { epochs, ..ring() }.encode())
    }

    #[test]
    fn a_ring_survives_whole_or_not_at_all() {
        let plain = ring().encode();

        assert_eq!(Ring::decode(&plain), Ok(ring()));
        for length in 0..plain.len() {
            assert!(Ring::decode(&plain[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn epochs_ascend_from_one() {
        assert!(decoded(vec![(1, [5; 32])]).is_ok());
        assert!(breaks(decoded(vec![]), "no epoch"));
        assert!(breaks(decoded(vec![(0, [5; 32])]), "epoch 0"));
        assert!(breaks(decoded(vec![(2, [5; 32]), (2, [6; 32])]), "do not ascend"));
    }

    #[test]
    fn a_ring_prints_no_key() {
        assert_eq!(format!("{:?}", ring()), "Ring { generation: 2, epochs: [1, 3], .. }");
    }

    #[test]
    fn encoding_never_moves_the_keys() {
        let room = 512 + 36 * ring().epochs.len();

        assert!(ring().encode().len() <= room);
    }
}
