//! Proving packs: header, trailer and table; with data, every blob, every chunk, and the padding.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use crossbeam_channel::bounded;

use crate::{
    backend::{Backend, ObjectName},
    chunk::compress,
    crypto::{keys::Keys, seal::Role},
    format::table::{Blob, TRAILER_SEALED_BYTES, Table},
    id::PackId,
    limits::BLOB_PLAIN_BYTES_MAX,
    repo::{
        Environment, Error,
        bad_blobs::Bad,
        catalogue::Catalogue,
        known_tables,
        pack_table::{self, PackKey},
    },
};

/// What came out of one pack.
pub struct PackReport {
    pub pack: PackId,
    pub bytes: u64,
    /// Why it is damaged, if it is.
    pub why: Option<String>,
    pub bad: Bad,
    /// Chunks in the bad blobs.
    pub chunks_bad: usize,
    /// Whether all of it was read.
    pub was_read: bool,
}

/// Checks packs on all processors, and those in full that `is_read` chooses or whose end is
/// damaged. Reports come in no particular order, on the calling thread.
///
/// Of a pack whose own table does not open, or whose size is not that of the index, the table in
/// an index object says where its blobs are.
pub fn run(
    repo: (&Environment, &Catalogue),
    packs: &[(PackId, u64)],
    is_read: &(dyn Fn(&PackId) -> bool + Sync),
    report: &mut dyn FnMut(PackReport),
) -> Result<(), Error> {
    let (env, catalogue) = repo;
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let next = AtomicUsize::new(0);
    let (reports, queue) = bounded(workers);
    let mut without_table = HashMap::new();
    let check_one = |pack: &PackId, bytes: u64| {
        let known = catalogue.packs().get(pack);
        match check(env.backend.as_ref(), catalogue.keys(), (*pack, bytes), is_read(pack)) {
            Ok(report) if known == Some(&bytes) => Ok(report),
            Ok(_) => {
                Err((*pack, bytes, format!("has {bytes} bytes, the index knows another size")))
            }
            Err(error) => Err((*pack, bytes, error.to_string())),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (reports, next, check_one) = (reports.clone(), &next, &check_one);
            let _ = scope.spawn(move || {
                while !env.stop.load(Relaxed) {
                    let at = next.fetch_add(1, Relaxed);
                    let Some((pack, bytes)) = packs.get(at) else { break };
                    if reports.send(check_one(pack, *bytes)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(reports);
        for checked in &queue {
            match checked {
                Ok(checked) => report(checked),
                Err((pack, bytes, why)) => drop(without_table.insert(pack, (bytes, why))),
            }
        }
    });
    by_index_tables(env, catalogue, without_table, report)
}

/// Checks packs whose own table cannot be used by the tables that index objects repeat.
fn by_index_tables(
    env: &Environment,
    catalogue: &Catalogue,
    mut packs: HashMap<PackId, (u64, String)>,
    report: &mut dyn FnMut(PackReport),
) -> Result<(), Error> {
    let (backend, keys) = (env.backend.as_ref(), catalogue.keys());
    let mut out_of_reach = None;
    if !packs.is_empty() {
        out_of_reach = known_tables::for_each(backend, catalogue, &mut |entry, table| {
            stop_if_asked(env)?;
            let Some((bytes, why)) = packs.remove(&entry.pack) else { return Ok(()) };
            let mut checked = PackReport::damaged(entry.pack, bytes, why);
            let key = PackKey::new(keys, entry.pack, entry.epoch)?;
            let opened = Opened { backend, keys, pack: entry.pack, bytes, key };
            check_blobs(&opened, table, &mut checked)?;
            report(checked);
            Ok(())
        })?;
    }
    stop_if_asked(env)?;
    for (pack, (bytes, why)) in packs {
        let why = match &out_of_reach {
            None => format!("{why}; no index says what is in it"),
            Some(error) => format!("{why}; what says what is in it cannot be read: {error}"),
        };
        report(PackReport { bad: Bad::All, ..PackReport::damaged(pack, bytes, why) });
    }
    Ok(())
}

fn stop_if_asked(env: &Environment) -> Result<(), Error> {
    if env.stop.load(Relaxed) { Err(Error::Stopped) } else { Ok(()) }
}

/// Proves one pack with all that is in it.
pub fn verify(backend: &dyn Backend, keys: &Keys, pack: PackId, bytes: u64) -> Result<(), Error> {
    match check(backend, keys, (pack, bytes), true)?.why {
        Some(why) => Err(Error::Corrupt { name: ObjectName::Pack(pack).to_string(), why }),
        None => Ok(()),
    }
}

/// # Errors
/// If the pack's own table cannot be used.
fn check(
    backend: &dyn Backend,
    keys: &Keys,
    (pack, bytes): (PackId, u64),
    is_read: bool,
) -> Result<PackReport, Error> {
    let (entry, table) = pack_table::read(backend, keys, pack, bytes)?;
    let mut report = PackReport { why: None, ..PackReport::damaged(pack, bytes, String::new()) };
    report.was_read = is_read;
    if is_read {
        let key = PackKey::new(keys, pack, entry.epoch)?;
        let opened = Opened { backend, keys, pack, bytes, key };
        check_blobs(&opened, &table, &mut report)?;
        if let Err(error) = check_padding(&opened) {
            let _ = report.why.get_or_insert(error.to_string());
        }
    }
    Ok(report)
}

impl PackReport {
    fn damaged(pack: PackId, bytes: u64, why: String) -> Self {
        Self { pack, bytes, why: Some(why), bad: Bad::default(), chunks_bad: 0, was_read: true }
    }
}

/// A pack whose key is known.
pub struct Opened<'a> {
    pub backend: &'a dyn Backend,
    pub keys: &'a Keys,
    pub pack: PackId,
    pub bytes: u64,
    pub key: PackKey,
}

fn check_blobs(pack: &Opened<'_>, table: &[u8], report: &mut PackReport) -> Result<(), Error> {
    for blob in Table::parse(table)?.blobs() {
        if let Err(error) = open_blob(pack, &blob) {
            report.bad.add(blob.number);
            report.chunks_bad += blob.chunk_count();
            let _ = report.why.get_or_insert(format!("blob {}: {error}", blob.number));
        }
    }
    Ok(())
}

/// Returns the plaintext of a blob, each of whose chunks was compared with its id.
pub fn open_blob(pack: &Opened<'_>, blob: &Blob<'_>) -> Result<Vec<u8>, Error> {
    let corrupt = |why: &str| Error::Corrupt {
        name: format!("blob {} of pack {}", blob.number, pack.pack),
        why: why.to_owned(),
    };
    let range = blob.offset..blob.offset + u64::from(blob.stored_bytes);
    let sealed = pack.backend.get_range(&ObjectName::Pack(pack.pack), range)?;
    let frame = pack.key.open(u64::from(blob.number), Role::Blob, sealed)?;
    let plain = compress::decode_frame(frame, BLOB_PLAIN_BYTES_MAX)?;
    let mut end = 0;
    for chunk in blob.chunks() {
        let start = chunk.start as usize;
        end = start + chunk.bytes as usize;
        if plain.get(start..end).map(|bytes| pack.keys.chunk_id(bytes)) != Some(chunk.id) {
            return Err(corrupt("a chunk differs from its id"));
        }
    }
    if end == plain.len() { Ok(plain) } else { Err(corrupt("is longer than its chunks")) }
}

fn check_padding(pack: &Opened<'_>) -> Result<(), Error> {
    let name = ObjectName::Pack(pack.pack);
    let trailer_start = pack.bytes.saturating_sub(TRAILER_SEALED_BYTES);
    let sealed = pack.backend.get_range(&name, trailer_start..pack.bytes)?;
    let trailer = pack.key.open(0, Role::Trailer, sealed)?;
    let trailer = crate::format::table::Trailer::decode(&trailer, pack.bytes)?;
    if trailer.padding_bytes == 0 {
        return Ok(());
    }
    let start = trailer.table_offset + trailer.table_bytes;
    let padding = pack.backend.get_range(&name, start..start + trailer.padding_bytes)?;
    let plain = pack.key.open(0, Role::Padding, padding)?;
    if plain.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(Error::Corrupt { name: name.to_string(), why: "its padding is not zero".to_owned() })
}
