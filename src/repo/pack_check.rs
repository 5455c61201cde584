//! Proving packs: header, trailer and table; with data, every blob, every chunk, and the padding.

use std::collections::{HashMap, HashSet};

use crossbeam_channel::bounded;

use crate::{
    backend::{Backend, ObjectName},
    chunk::{self, compress},
    crypto::{keys::Keys, seal::Role},
    format::table::{Blob, TRAILER_SEALED_BYTES, Table},
    id::{ChunkId, PackId},
    limits::BLOB_PLAIN_BYTES_MAX,
    repo::{
        Environment, Error,
        catalogue::Catalogue,
        check::Depth,
        pack_table::{self, PackKey},
    },
};

/// What came out of one pack.
pub struct PackReport {
    pub pack: PackId,
    pub bytes: u64,
    /// Why it is damaged, if it is.
    pub why: Option<String>,
    /// Chunks that this pack does not give back.
    pub bad: Vec<ChunkId>,
}

/// Checks packs on all processors; reports come in no particular order, on the calling thread.
pub fn run(
    env: &Environment,
    keys: &Keys,
    packs: &[(PackId, u64)],
    depth: Depth,
    report: &mut dyn FnMut(PackReport),
) -> Result<(), Error> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let (reports, queue) = bounded(workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (reports, next) = (reports.clone(), &next);
            let _ = scope.spawn(move || {
                while !env.stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some((pack, bytes)) = packs.get(at) else { break };
                    let one = check(env.backend.as_ref(), keys, *pack, *bytes, depth);
                    if reports.send(one).is_err() {
                        break;
                    }
                }
            });
        }
        drop(reports);
        queue.iter().for_each(report);
    });
    if env.stop.load(std::sync::atomic::Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
}

/// Proves one pack with all that is in it.
pub fn verify(backend: &dyn Backend, keys: &Keys, pack: PackId, bytes: u64) -> Result<(), Error> {
    match check(backend, keys, pack, bytes, Depth::Data).why {
        Some(why) => Err(Error::Corrupt { name: ObjectName::Pack(pack).to_string(), why }),
        None => Ok(()),
    }
}

fn check(backend: &dyn Backend, keys: &Keys, pack: PackId, bytes: u64, depth: Depth) -> PackReport {
    let mut report = PackReport { pack, bytes, why: None, bad: Vec::new() };
    match pack_table::read(backend, keys, pack, bytes) {
        Err(error) => report.why = Some(error.to_string()),
        Ok((entry, table)) if depth == Depth::Data => {
            let data = PackKey::new(keys, pack, entry.epoch).and_then(|key| {
                check_data(&Opened { backend, keys, pack, bytes, key }, &table, &mut report)
            });
            if let Err(error) = data {
                let _ = report.why.get_or_insert(error.to_string());
            }
        }
        Ok(_) => {}
    }
    report
}

/// A pack whose key is known.
struct Opened<'a> {
    backend: &'a dyn Backend,
    keys: &'a Keys,
    pack: PackId,
    bytes: u64,
    key: PackKey,
}

fn check_data(pack: &Opened<'_>, table: &[u8], report: &mut PackReport) -> Result<(), Error> {
    for blob in Table::parse(table)?.blobs() {
        if let Err(error) = check_blob(pack, &blob) {
            report.bad.extend(blob.chunks().map(|chunk| chunk.id));
            let _ = report.why.get_or_insert(format!("blob {}: {error}", blob.number));
        }
    }
    check_padding(pack)
}

fn check_blob(pack: &Opened<'_>, blob: &Blob<'_>) -> Result<(), Error> {
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
    if end == plain.len() { Ok(()) } else { Err(corrupt("is longer than its chunks")) }
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

/// Chunks that some pack does not give back.
#[derive(Default)]
pub struct BadChunks(HashMap<ChunkId, HashSet<PackId>>);

impl BadChunks {
    /// Adds what a pack does not give back.
    pub fn add(&mut self, pack: PackId, chunks: Vec<ChunkId>) {
        for id in chunks {
            let _ = self.0.entry(id).or_default().insert(pack);
        }
    }

    /// Returns those of which no other pack has a copy.
    pub fn lost(&self, catalogue: &Catalogue) -> Result<HashSet<ChunkId>, chunk::Error> {
        let mut lost = HashSet::new();
        for (id, bad) in &self.0 {
            if catalogue.copies(id)?.iter().all(|copy| bad.contains(&copy.pack)) {
                let _ = lost.insert(*id);
            }
        }
        Ok(lost)
    }
}
