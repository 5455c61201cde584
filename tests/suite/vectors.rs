//! The test vectors of the format: `format-spec/vectors/vectors.json`.
//!
//! Everything is computed from fixed keys, ids and values, so that the file is the same wherever it
//! is made. What the spec derives is derived here a second time from the primitives alone, which
//! keeps the program and its own vectors from being wrong together.

mod derivations;
mod encodings;
mod objects;
mod samples;

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness;

/// Where the vectors lie.
pub fn path() -> PathBuf {
    harness::source("format-spec/vectors/vectors.json")
}

/// Reads the vectors.
#[expect(clippy::disallowed_methods, reason = "a file of the source tree")]
pub fn read() -> Value {
    let text = std::fs::read(path()).expect("the vectors are part of the source tree");
    serde_json::from_slice(&text).expect("the vectors are JSON")
}

/// Shows bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads hexadecimal digits.
pub fn unhex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("bytes are written as a string of digits").as_bytes();
    assert!(digits.len().is_multiple_of(2));
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hexadecimal digit") as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn vectors() -> Value {
    json!({
        "about": "Test vectors of the Stillpoint repository format, version 1. All bytes are \
            hexadecimal digits. What each list means is in README.md.",
        "derivations": derivations::all(),
        "encodings": encodings::all(),
        "refused": encodings::refused(),
        "frames": encodings::frames(),
        "patches": encodings::patches(),
        "objects": objects::all(),
    })
}

#[test]
#[ignore = "writes format-spec/vectors/vectors.json"]
#[expect(clippy::disallowed_methods, reason = "a file of the source tree")]
fn make_vectors() {
    let text = serde_json::to_string_pretty(&vectors()).unwrap() + "\n";

    std::fs::write(path(), text).unwrap();
}

#[test]
fn the_vectors_in_the_spec_are_what_the_program_computes() {
    let (written, computed) = (read(), vectors());

    assert_alike(&written, &computed, "vectors");
}

/// Compares piece by piece, since nobody reads two whole files in a message.
pub fn assert_alike(written: &Value, computed: &Value, at: &str) {
    match (written, computed) {
        (Value::Object(written), Value::Object(computed)) => {
            for (name, value) in computed {
                let there = written.get(name).unwrap_or_else(|| panic!("{at} lacks {name}"));
                assert_alike(there, value, &format!("{at}, {name}"));
            }
            assert_eq!(written.len(), computed.len(), "{at}");
        }
        (Value::Array(written), Value::Array(computed)) => {
            for (number, (written, computed)) in written.iter().zip(computed).enumerate() {
                assert_alike(written, computed, &format!("{at} {number}"));
            }
            assert_eq!(written.len(), computed.len(), "{at}");
        }
        _ => assert_eq!(written, computed, "{at}"),
    }
}

#[test]
fn every_encoding_in_the_spec_decodes_to_its_value() {
    let vectors = read();

    for case in vectors["encodings"].as_array().unwrap() {
        let shown = encodings::decode(&case["decoder"], &unhex(&case["bytes"])).unwrap();
        assert_eq!(shown, case["value"], "{}", case["name"]);
    }
}

#[test]
fn every_encoding_that_the_spec_forbids_is_refused() {
    let vectors = read();

    for case in vectors["refused"].as_array().unwrap() {
        let outcome = encodings::decode(&case["decoder"], &unhex(&case["bytes"]));
        assert!(outcome.is_err(), "{case}: {outcome:?}");
    }
}

#[test]
fn every_object_in_the_spec_opens_with_its_key() {
    let vectors = read();

    for case in vectors["objects"].as_array().unwrap() {
        objects::check(case);
    }
}
