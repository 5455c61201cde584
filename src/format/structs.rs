//! Structs as bincode writes them: the one module that names the crate. Spec:
//! `format-spec/00-terms.md`, "Structs".
//!
//! Fixed-width integers make the encoding canonical. What bincode alone does not promise is added
//! here: a bound on what hostile lengths may allocate, no trailing bytes, and a comparison with
//! what we would have written.

use bincode::{Decode, Encode, config};

use crate::limits::OBJECT_PLAIN_BYTES_MAX;

/// Memory that decoding one value may claim. An item of a list takes at most three times its
/// encoding in memory, so every value that fits an object stays below this.
const CLAIM_BYTES_MAX: usize = 4 * OBJECT_PLAIN_BYTES_MAX;

type Config =
    config::Configuration<config::LittleEndian, config::Fixint, config::Limit<CLAIM_BYTES_MAX>>;

const CONFIG: Config = config::legacy().with_limit::<CLAIM_BYTES_MAX>();

/// Returns the bytes of a struct.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, CONFIG).expect("writing plain structs to memory does not fail")
}

/// Returns the struct, or nothing if the bytes are not exactly its encoding.
pub fn decode<T: Encode + Decode<()>>(bytes: &[u8]) -> Option<T> {
    let (value, read) = bincode::decode_from_slice(bytes, CONFIG).ok()?;
    (read == bytes.len() && encode(&value) == bytes).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{record::SchemaObject, samples::hex};

    #[test]
    fn structs_have_the_bytes_of_the_spec() {
        assert_eq!(hex(&encode(&-2i64)), "feffffffffffffff");
        assert_eq!(hex(&encode(&[1u8, 2])), "0102");
        assert_eq!(hex(&encode(&(true, Some(7u16), None::<u8>))), "0101070000");
        let list = vec![("a".to_owned(), 1u32)];
        assert_eq!(
            hex(&encode(&list)),
            "0100000000000000010000000000000061".to_owned() + "01000000"
        );
        assert_eq!(decode(&encode(&list)), Some(list));
    }

    #[test]
    fn trailing_bytes_and_odd_booleans_are_refused() {
        assert_eq!(decode::<u16>(&[1, 0]), Some(1));
        assert_eq!(decode::<u16>(&[1, 0, 0]), None);
        assert_eq!(decode::<u16>(&[1]), None);
        assert_eq!(decode::<bool>(&[2]), None);
        assert_eq!(decode::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), None);
    }

    #[test]
    fn hostile_lengths_allocate_nothing_to_speak_of() {
        for length in [1 << 24, 1 << 32, 1 << 62, u64::MAX] {
            let bytes = u64::to_le_bytes(length);
            assert_eq!(decode::<Vec<u8>>(&bytes), None);
            assert_eq!(decode::<Vec<u64>>(&bytes), None);
            assert_eq!(decode::<String>(&bytes), None);
            assert_eq!(decode::<Vec<(String, String)>>(&bytes), None);
        }
    }

    #[test]
    fn a_list_of_the_smallest_items_that_fills_an_object_decodes() {
        let blank = || SchemaObject {
            kind: String::new(),
            name: String::new(),
            table: String::new(),
            sql: String::new(),
        };
        let schema: Vec<SchemaObject> =
            (0..OBJECT_PLAIN_BYTES_MAX / 32 - 1).map(|_| blank()).collect();
        let paths = vec![Vec::<u8>::new(); OBJECT_PLAIN_BYTES_MAX / 8 - 1];

        assert!(decode::<Vec<SchemaObject>>(&encode(&schema)).is_some());
        assert!(decode::<Vec<Vec<u8>>>(&encode(&paths)).is_some());
    }
}
