//! Structs as bincode writes them: the one module that names the crate. Spec: `format-spec/00-terms.md`, "Structs".
//!
//! Fixed-width integers make the encoding canonical. What bincode alone does not promise is added here: a bound on
//! what hostile lengths may allocate, no trailing bytes, and a comparison with what we would have written.

use bincode::{Decode, Encode, config};

use crate::limits::OBJECT_PLAIN_BYTES_MAX;

/// Memory that decoding one value may claim. An item of a list takes at most three times its encoding in memory, so
/// every value that fits an object stays below this.
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
