//! Hostile bytes for every decoder: mutations of the encodings in the spec, and noise.
//!
//! The promises are those of the fuzz targets; this runs them where no fuzzer is at hand.

#[path = "../../fuzz/src/lib.rs"]
mod decoders;

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index, test_runner::TestRunner};

use crate::vectors::{read, unhex};

/// Repositories with a mutated object under a right seal; each costs a check and a prune.
const RESEALED: u32 = 100;

/// One thing that happens to bytes on their way.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Truncate(Index),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return bytes.push(0);
        }
        match self {
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << bit,
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Insert(at, inserted) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, inserted.iter().copied()).for_each(drop);
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len())).for_each(drop);
            }
            Self::Repeat(at, count) => {
                let at = at.index(bytes.len());
                bytes.extend_from_within(at..(at + count).min(bytes.len()));
            }
            Self::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let extreme = prop_oneof![Just(0), Just(1), Just(0x7f), Just(0x80), Just(0xff), any::<u8>()];
    let at = || any::<Index>();
    prop_oneof![
        3 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        3 => (at(), extreme.clone()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (at(), vec(extreme, 1..12)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at(), 1..40usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (at(), 1..400usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        1 => at().prop_map(Mutation::Truncate),
    ]
}

/// The corpora of the fuzzer, a line of hexadecimal digits for each input, and all encodings in the
/// spec; each with the name of its decoder.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let vectors = read();
    let list = |name: &str| vectors[name].as_array().expect("a list of cases").clone();
    let mut seeds = corpora();
    for case in list("encodings").iter().chain(&list("refused")) {
        let decoder = case["decoder"].as_str().expect("the name of a decoder");
        seeds.push((decoder.to_owned(), unhex(&case["bytes"])));
    }
    for case in list("frames") {
        seeds.push(("frame".to_owned(), unhex(&case["bytes"])));
    }
    for case in list("patches") {
        seeds.push(("patch".to_owned(), unhex(&case["patch"])));
    }
    for case in list("objects") {
        let name = case["name"].as_str().expect("the name of an object");
        let body = unhex(&case["bytes"]).split_off(88);
        if name.starts_with("key slot") {
            seeds.push(("slot".to_owned(), body));
        } else if name.starts_with("index") {
            seeds.push(("index_object".to_owned(), body));
        } else if name == "key ring" {
            let framed = unhex(&case["sealed"][0]["plain"]);
            seeds.push(("ring".to_owned(), framed[5..].to_vec()));
        }
    }
    seeds
}

fn corpora() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpora");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let inputs = files.flat_map(|file| {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let lines = fs::read_to_string(&file).unwrap();
        let inputs: Vec<_> = lines.lines().map(|line| (name.clone(), bytes_of(line))).collect();
        inputs
    });
    inputs.collect()
}

fn bytes_of(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[test]
fn every_decoder_has_encodings_to_start_from() {
    let seeds = seeds();

    for (decoder, _) in decoders::DECODERS {
        assert!(seeds.iter().any(|(name, _)| name == decoder), "{decoder}");
    }
}

#[test]
fn decoders_keep_their_promises_for_mutated_encodings() {
    let seeds = seeds();
    for (decoder, promise) in decoders::DECODERS {
        let seeds: Vec<_> = seeds.iter().filter(|(name, _)| name == decoder).collect();
        let strategy = (any::<Index>(), vec(any_mutation(), 0..6));
        let mut runner = TestRunner::new(ProptestConfig::with_cases(4000));
        let outcome = runner.run(&strategy, |(seed, mutations)| {
            let mut bytes = seed.get(&seeds).1.clone();
            mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
            promise(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{decoder}: {failure}"));
    }
}

#[test]
fn decoders_keep_their_promises_for_every_beginning_and_every_flipped_bit() {
    for (decoder, bytes) in seeds() {
        let promise = decoders::DECODERS.iter().find(|(name, _)| *name == decoder);
        let Some((_, promise)) = promise else { continue };
        (0..=bytes.len()).for_each(|length| promise(&bytes[..length]));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            promise(&flipped);
        }
    }
}

#[test]
fn what_was_sealed_with_the_key_does_no_harm_either() {
    let seeds: Vec<_> = seeds().into_iter().filter(|(name, _)| name == "resealed").collect();
    seeds.iter().for_each(|(_, bytes)| decoders::resealed(bytes));
    let strategy = (any::<Index>(), vec(any_mutation(), 1..4));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(RESEALED));
    let outcome = runner.run(&strategy, |(seed, mutations)| {
        let mut bytes = seed.get(&seeds).1.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
        decoders::resealed(&bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    println!(
        "{} repositories with hostile objects under the right seal",
        seeds.len() + RESEALED as usize
    );
}

proptest! {
    #[test]
    fn decoders_keep_their_promises_for_noise(bytes in vec(any::<u8>(), 0..400)) {
        decoders::DECODERS.iter().for_each(|(_, promise)| promise(&bytes));
    }
}
