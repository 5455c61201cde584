//! Exports that somebody changed: by accident, or with care.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{check, make, passphrase, restore, scene, steady_disk};
use crate::{
    harness::vault::{Vault, steady},
    shop::{self, Shop},
};

/// Every so many-th byte is flipped where each attempt ends in a whole restore.
const FLIP_STEP: usize = 5;
const COMMENT: &str = "Stillpoint export 1. The SHA-256 of all before these digits: ";

/// A small export, plain or encrypted, and what restores from it.
fn small(secret: Option<&str>) -> (Shop, Vault, Vec<u8>) {
    let (shop, vault) = (Shop::open(), Vault::absent());
    vault.init(steady()).unwrap();
    assert!(vault.back_up(steady(), &shop).unwrap().is_complete());
    let file = vault.target("small.zip");
    let _ = make(&vault.open(steady()).unwrap(), &file, secret).unwrap();
    let bytes = fs::read(&file).unwrap();
    (shop, vault, bytes)
}

#[test]
fn every_flipped_byte_and_every_cut_of_an_export_is_refused() {
    let mut flipped_count = 0;
    for secret in [None, Some("x")] {
        let (_shop, vault, bytes) = small(secret);
        let file = vault.target("flipped.zip");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&file, flipped).unwrap();
            assert!(check(&file, secret).is_err(), "byte {at}");
            flipped_count += 1;
        }
        for length in (0..bytes.len()).step_by(7).chain(bytes.len() - 130..bytes.len()) {
            fs::write(&file, &bytes[..length]).unwrap();
            assert!(check(&file, secret).is_err(), "{length} bytes");
            flipped_count += 1;
        }
        fs::write(&file, [&bytes[..], b"\n"].concat()).unwrap();
        assert!(check(&file, secret).is_err());
        fs::write(&file, [b"\n", &bytes[..]].concat()).unwrap();
        assert!(check(&file, secret).is_err());
    }
    println!("exports: {flipped_count} flipped or cut, all refused");
}

#[test]
fn a_flipped_byte_under_a_right_checksum_never_restores_something_else() {
    let (shop, vault, bytes) = small(None);
    let (file, target) = (vault.target("flipped.zip"), vault.target("back"));
    let content = shop.content();
    let mut harmless = 0;
    for at in (0..bytes.len() - 64).step_by(FLIP_STEP) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, summed(flipped)).unwrap();
        if restore(steady_disk(), (&file, None), &target).is_ok() {
            assert_eq!(shop::restored(&target), content, "byte {at}");
            fs::remove_dir_all(&target).unwrap();
            harmless += 1;
        }
        // What was refused left nothing behind.
        assert!(!target.exists(), "byte {at}");
    }
    // Times and versions that nobody needs, in two headers for each entry.
    println!("exports: {harmless} of {} bytes say nothing that matters", bytes.len() / FLIP_STEP);
}

/// Puts the right checksum at the end.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let digits = bytes.len() - 64;
    let sum = Sha256::digest(&bytes[..digits]);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[digits..].copy_from_slice(hex.as_bytes());
    bytes
}

/// An export taken apart: name and content of each entry, in order.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).unwrap();
            let mut content = Vec::new();
            let _ = entry.read_to_end(&mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

/// Puts an export together again, with manifest and checksums that fit whatever is in it.
fn packed(mut entries: Vec<(String, Vec<u8>)>, change: impl Fn(&mut Value)) -> Vec<u8> {
    let sums = entries.pop().unwrap().0;
    let (manifest_name, text) = entries.pop().unwrap();
    let mut manifest: Value = serde_json::from_slice(&text).unwrap();
    change(&mut manifest);
    let text = serde_json::to_vec(&manifest).unwrap();
    let mut lines = String::new();
    for entry in manifest["entries"].as_array().unwrap() {
        if entry["type"] != "folder" && entry["type"] != "link" {
            let [sum, path] = ["sha256", "path"].map(|key| entry[key].as_str().unwrap());
            lines += &format!("{sum}  {path}\n");
        }
    }
    lines += &format!("{}  {manifest_name}\n", sum_of(&text));
    entries.push((manifest_name, text));
    entries.push((sums, lines.into_bytes()));
    let mut zip = ZipWriter::new_stream(Vec::new());
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        match name.strip_suffix('/') {
            Some(folder) => zip.add_directory(folder, options).unwrap(),
            None => {
                zip.start_file(name, options).unwrap();
                zip.write_all(&content).unwrap();
            }
        }
    }
    zip.set_comment(format!("{COMMENT}{}", "0".repeat(64))).unwrap();
    summed(zip.finish().unwrap().into_inner())
}

fn sum_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refused(vault: &Vault, bytes: &[u8]) -> bool {
    let (file, target) = (vault.target("hostile.zip"), vault.target("hostile"));
    fs::write(&file, bytes).unwrap();
    let is_refused = restore(steady_disk(), (&file, None), &target).is_err();
    assert!(!is_refused || !target.exists(), "something was written before it was refused");
    is_refused
}

/// Adds an entry, and a fitting line of the manifest.
fn with_entry(bytes: &[u8], path: &str, kind: &str, content: &[u8]) -> Vec<u8> {
    let mut entries = entries(bytes);
    entries.insert(entries.len() - 2, (path.to_owned(), content.to_vec()));
    packed(entries, |manifest| {
        manifest["entries"].as_array_mut().unwrap().push(json!({
            "path": path, "type": kind, "size": content.len(), "sha256": sum_of(content),
            "mode": 0o644, "modified": [0, 0],
        }));
    })
}

#[test]
fn hostile_exports_are_refused_before_anything_is_written() {
    let (_shop, vault, bytes) = small(None);
    assert!(!refused(&vault, &packed(entries(&bytes), |_| {})), "the scene itself is sound");
    fs::remove_dir_all(vault.target("hostile")).unwrap();

    for (path, kind) in [
        ("files/files/../../../escaped", "file"),
        ("../escaped", "file"),
        ("/tmp/escaped", "file"),
        ("files/files/%2E%2E%2Fescaped", "file"),
        ("files/files/a\\..\\b", "file"),
        ("files/other/x", "file"),
        ("files/files/x", "database"),
        ("files/files/x/", "folder "),
        ("databases/other.db.gz", "database"),
    ] {
        assert!(refused(&vault, &with_entry(&bytes, path, kind, b"x")), "{path} {kind}");
    }
    let behind_link = with_entry(
        &with_entry(&bytes, "files/files/l", "link", b"/tmp"),
        "files/files/l/x",
        "file",
        b"x",
    );
    assert!(refused(&vault, &behind_link));
    let unnamed = {
        let mut entries = entries(&bytes);
        entries.insert(1, ("files/files/unnamed".to_owned(), b"x".to_vec()));
        packed(entries, |_| {})
    };
    assert!(refused(&vault, &unnamed));
    for change in [
        |manifest: &mut Value| manifest["format"] = "else".into(),
        |manifest: &mut Value| manifest["format_version"] = 2.into(),
        |manifest: &mut Value| manifest["parts"][0]["name"] = "../x".into(),
        |manifest: &mut Value| drop(manifest["entries"].as_array_mut().unwrap().pop()),
        |manifest: &mut Value| manifest["entries"][0]["size"] = 1.into(),
        |manifest: &mut Value| manifest["entries"][2]["mode"] = 0o4755.into(),
    ] {
        assert!(refused(&vault, &packed(entries(&bytes), change)));
    }
}

#[test]
fn bombs_end_where_the_manifest_says() {
    let (_shop, vault, bytes) = small(None);
    // Much longer than it claims to be, as an entry and inside a compressed database.
    let zeros = vec![0; 64 << 20];
    let mut long = entries(&bytes);
    let at =
        long.iter().position(|(name, _)| name.starts_with("files/files/") && !name.ends_with('/'));
    long[at.unwrap()].1.clone_from(&zeros);
    assert!(refused(&vault, &packed(long, |_| {})));

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&zeros).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut inner = entries(&bytes);
    let at = inner.iter().position(|(name, _)| name.ends_with(".db.gz")).unwrap();
    inner[at].1.clone_from(&gzip);
    let fits = packed(inner, |manifest| {
        manifest["entries"][at]["size"] = gzip.len().into();
        manifest["entries"][at]["sha256"] = sum_of(&gzip).into();
    });
    assert!(refused(&vault, &fits));
}

#[test]
fn a_wrong_passphrase_and_none_are_told_from_damage() {
    let (_world, vault, _) = scene();
    let file = vault.target("secret.zip");
    let _ = make(&vault.open(steady()).unwrap(), &file, Some("right")).unwrap();
    let why = |path: &Path, secret| stillpoint::ops::with_causes(&check(path, secret).unwrap_err());

    assert!(
        why(&file, Some("wrong")).contains("wrong passphrase"),
        "{}",
        why(&file, Some("wrong"))
    );
    assert!(check(&file, None).is_err());
    assert!(check(&file, Some("right")).is_ok());
    assert!(why(&vault.target("export.zip"), Some("x")).contains("not packed as ours"));
    assert!(!passphrase("x").is_empty());
}
