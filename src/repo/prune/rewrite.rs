//! Moving what is alive out of packs that are mostly dead: every chunk is opened and compared with
//! its id on the way, and the packs that it leaves are condemned only when it is durable elsewhere.

use std::sync::atomic::Ordering;

use crate::{
    backend::{self, ObjectName},
    chunk::compress,
    crypto::seal::Role,
    format::table::{Blob, Table},
    id::ChunkId,
    limits::BLOB_PLAIN_BYTES_MAX,
    location::PackEntry,
    repo::{
        Error, Repository,
        index_publication::{self, News},
        pack_table::{self, PackKey},
        prune::{PruneEvent, survey::Survey},
        writer::{Lane, Writer},
    },
};

/// What was moved.
#[derive(Debug, Default)]
pub struct Rewritten {
    /// Packs of which all that is alive has another copy now, by their place in the survey.
    pub packs: Vec<u32>,
    pub bytes_written: u64,
}

/// Moves the chosen chunks of these packs, in their order; durable and indexed on return.
pub fn rewrite(
    repo: &Repository,
    survey: &Survey,
    packs: &[u32],
    observe: &mut dyn FnMut(PruneEvent),
) -> Result<Rewritten, Error> {
    let mut rewritten = Rewritten::default();
    if packs.is_empty() {
        return Ok(rewritten);
    }
    let writer = Writer::start(repo.env.clone(), survey.catalogue.clone());
    let mut lane = writer.lane();
    for at in packs {
        if repo.env.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let entry = survey.packs[*at as usize].entry;
        match move_pack(repo, survey, *at, &mut lane) {
            Ok(bytes) => {
                rewritten.packs.push(*at);
                observe(PruneEvent::Progress { bytes });
            }
            // A pack that does not give back what it should stays where it is.
            Err(error @ (Error::Corrupt { .. } | Error::Format(_) | Error::Crypto(_))) => {
                let what = ObjectName::Pack(entry.pack).to_string();
                observe(PruneEvent::Left { what, why: error.to_string() });
                survey.catalogue.distrust(entry.pack);
            }
            // Another prune was faster.
            Err(Error::Backend(backend::Error::Missing { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    lane.finish()?;
    writer.flush()?;
    rewritten.bytes_written = writer.progress().bytes_written;
    let news = News { packs: writer.packs(), record: None };
    let _ = index_publication::publish(repo, &survey.catalogue, news)?;
    Ok(rewritten)
}

/// Returns the sealed bytes that were moved.
fn move_pack(repo: &Repository, survey: &Survey, at: u32, lane: &mut Lane) -> Result<u64, Error> {
    let PackEntry { pack, bytes, .. } = survey.packs[at as usize].entry;
    let backend = repo.env.backend.as_ref();
    let (entry, table) = pack_table::read(backend, &repo.keys, pack, bytes)?;
    let key = PackKey::new(&repo.keys, pack, entry.epoch)?;
    let mut moved = 0;
    for blob in Table::parse(&table)?.blobs() {
        let is_chosen = |id: &ChunkId| survey.occurrences.is_chosen(id, at);
        if !blob.chunks().any(|chunk| is_chosen(&chunk.id)) {
            continue;
        }
        let plain = open_blob(repo, entry, &key, &blob)?;
        for chunk in blob.chunks().filter(|chunk| is_chosen(&chunk.id)) {
            let (start, end) = (chunk.start as usize, (chunk.start + chunk.bytes) as usize);
            let is_whole = |bytes: &&[u8]| repo.keys.chunk_id(bytes) == chunk.id;
            let Some(bytes) = plain.get(start..end).filter(is_whole) else {
                let name = format!("blob {} of pack {pack}", blob.number);
                let why = "a chunk differs from its id".to_owned();
                return Err(Error::Corrupt { name, why });
            };
            lane.copy(chunk.id, bytes)?;
        }
        moved += u64::from(blob.stored_bytes);
    }
    Ok(moved)
}

fn open_blob(
    repo: &Repository,
    entry: PackEntry,
    key: &PackKey,
    blob: &Blob<'_>,
) -> Result<Vec<u8>, Error> {
    let range = blob.offset..blob.offset + u64::from(blob.stored_bytes);
    let sealed = repo.env.backend.get_range(&ObjectName::Pack(entry.pack), range)?;
    let frame = key.open(u64::from(blob.number), Role::Blob, sealed)?;
    Ok(compress::decode_frame(frame, BLOB_PLAIN_BYTES_MAX)?)
}
