//! Keys, ids, cut points: what the spec derives, from the primitives and from the program.

use serde_json::{Value, json};
use stillpoint::{
    chunk::cut::{CutTable, Rest},
    format::table::{padding_for, padme},
};

use super::{
    hex,
    samples::{
        CHUNK_KEY, CUT_KEY, EPOCH_KEY, IDENTITY_KEY, MASTER, PAGE_KEY, REPOSITORY, counting, keys,
    },
};

const CUT_INPUT_BYTES: usize = 6 << 20;

pub fn all() -> Value {
    let chunk_ids = [b"".as_slice(), b"hello", &[0; 1000]].map(chunk_id);
    let object_keys = [
        object_key("pack, epoch 1 key", &EPOCH_KEY, 4),
        object_key("snapshot record, epoch 1 key", &EPOCH_KEY, 8),
        object_key("key ring, master key", &MASTER, 3),
    ];
    let node_cuts = ["a", "IMG_0001.jpg", "ü"].map(node_cut);
    let padded = [0, 1, 2, 9, 100, 1000, 1_000_001, 33_554_433].map(|bytes| {
        json!({ "bytes": bytes, "padme": padme(bytes), "padding of a pack": padding_for(bytes) })
    });
    json!({
        "inputs": {
            "repository": REPOSITORY,
            "master key": hex(&MASTER),
            "epoch 1 key": hex(&EPOCH_KEY),
            "chunk key": hex(&CHUNK_KEY),
            "cut key": hex(&CUT_KEY),
            "page key": hex(&PAGE_KEY),
            "identity key": hex(&IDENTITY_KEY),
        },
        "chunk ids": chunk_ids,
        "image identity": image_identity(),
        "object keys": object_keys,
        "cutting of files": cutting(),
        "cutting of nodes": node_cuts,
        "padding": padded,
    })
}

fn chunk_id(plain: &[u8]) -> Value {
    let id = keys().chunk_id(plain);
    assert_eq!(id.0, *blake3::keyed_hash(&CHUNK_KEY, plain).as_bytes());
    json!({ "plain": hex(plain), "id": id })
}

fn image_identity() -> Value {
    let pages = [[1; 512], [2; 512]];
    let hashes = pages.map(|page| keys().page_hash(&page));
    let mut hasher = keys().image_identity(512, 2);
    hasher.update(&hashes.concat());
    let identity = hasher.finish();

    let input = [&[0, 2, 0, 0, 2, 0, 0, 0], &hashes.concat()[..]].concat();
    assert_eq!(identity.0, *blake3::keyed_hash(&IDENTITY_KEY, &input).as_bytes());
    for (page, hash) in pages.iter().zip(&hashes) {
        assert_eq!(hash[..], blake3::keyed_hash(&PAGE_KEY, page).as_bytes()[..16]);
    }
    json!({
        "pages": pages.map(|page| hex(&page)),
        "page hashes": hashes.map(|hash| hex(&hash)),
        "identity": identity,
    })
}

/// The program never shows an object key; that it derives the same one is proved by the objects.
fn object_key(name: &str, base: &[u8; 32], kind: u8) -> Value {
    let object = counting(0xd0);
    let key = derive_object_key(base, kind, &object);
    json!({
        "name": name,
        "base": hex(base),
        "kind": kind,
        "object": hex(&object),
        "key": hex(&key),
    })
}

pub fn derive_object_key(base: &[u8; 32], kind: u8, object: &[u8; 32]) -> [u8; 32] {
    let material = [base, &[kind][..], object].concat();
    blake3::derive_key("stillpoint 2026 v1 object key", &material)
}

fn cutting() -> Value {
    let mut input = vec![0; CUT_INPUT_BYTES];
    blake3::Hasher::new().update(b"cut").finalize_xof().fill(&mut input);
    let table = CutTable::new(&keys());
    let mut cutter = table.file();
    let mut lengths = Vec::new();
    let mut start = 0;
    while let Some(length) = cutter.next_chunk(&input[start..], Rest::Ended) {
        lengths.push(length);
        start += length;
    }
    let mut gear = [0; 2048];
    blake3::Hasher::new_keyed(&CUT_KEY).update(b"gear").finalize_xof().fill(&mut gear);
    assert_eq!(keys().gear_table().map(u64::to_le_bytes).concat(), gear);
    json!({
        "gear table, first four": &keys().gear_table()[..4],
        "gear table, BLAKE3 of its bytes": hex(blake3::hash(&gear).as_bytes()),
        "input": "the first 6,291,456 bytes of the extended output of BLAKE3 for the input `cut`",
        "lengths": lengths,
    })
}

fn node_cut(name: &str) -> Value {
    let hash = keys().node_cut_hash(name.as_bytes());
    let keyed = blake3::keyed_hash(&CUT_KEY, name.as_bytes());
    assert_eq!(hash.to_le_bytes(), keyed.as_bytes()[..4]);
    json!({ "name": name, "hash": hash })
}
