//! Uploads: whole, or in parts that a later process can go on with; compared with what was sent.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use md5::{Digest, Md5};
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutPayload, multipart::PartId, path::Path,
};

use super::{Creating, Failure, StoreBackend, answer, empty_is_refused, journal::Session};
use crate::{
    backend::{Backend, Error, ObjectName, Receipt, verify_by_reading},
    limits::MIB,
};

/// Size of a part. What a cut makes us send again is at most the parts that were under way.
pub const PART_BYTES: u64 = 8 * MIB as u64;
/// Parts of one object under way: while the store thinks about one, the line carries the other.
const PARTS_AT_ONCE: usize = 2;

/// What is to be stored, and under which name.
#[derive(Clone, Copy)]
struct Content<'a> {
    name: &'a ObjectName,
    pieces: &'a [&'a [u8]],
    bytes: u64,
}

impl<'a> Content<'a> {
    fn new(name: &'a ObjectName, pieces: &'a [&'a [u8]]) -> Self {
        Self { name, pieces, bytes: pieces.iter().map(|piece| piece.len() as u64).sum() }
    }

    const fn parts(&self) -> u64 {
        self.bytes.div_ceil(PART_BYTES)
    }

    /// Copies one part out of the pieces.
    fn part(&self, number: u64) -> PutPayload {
        let (mut skip, mut left) = (number * PART_BYTES, PART_BYTES);
        let mut part = Vec::new();
        for piece in self.pieces {
            let bytes = piece.len() as u64;
            let start = skip.min(bytes);
            let end = (start + left).min(bytes);
            if start < end {
                part.push(Bytes::copy_from_slice(&piece[start as usize..end as usize]));
            }
            skip -= start;
            left -= end - start;
        }
        part.into_iter().collect()
    }

    /// The entity tag that S3 gives an object: of a whole one the MD5 of its content, of one in
    /// parts the MD5 of theirs.
    fn tag(&self) -> String {
        let digests: Vec<_> = (0..self.parts()).map(|number| digest(&self.part(number))).collect();
        match digests.as_slice() {
            [digest] => hex(digest),
            digests => format!("{}-{}", hex(&Md5::digest(digests.concat())), digests.len()),
        }
    }
}

fn digest(part: &PutPayload) -> [u8; 16] {
    let mut hasher = Md5::new();
    for piece in part {
        hasher.update(piece);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stores the object under a name that is free.
pub fn upload(
    backend: &StoreBackend,
    name: &ObjectName,
    pieces: &[&[u8]],
) -> Result<Receipt, Error> {
    let content = Content::new(name, pieces);
    let tag = match content.parts() {
        0 => return Err(empty_is_refused(name, &backend.place)),
        1 => put_whole(backend, content)?,
        _ => put_parts(backend, content)?,
    };
    confirm(backend, content, tag)
}

/// Compares a stored object with the pieces, by its tag if that can prove it.
pub fn verify(
    backend: &StoreBackend,
    name: &ObjectName,
    pieces: &[&[u8]],
) -> Result<Receipt, Error> {
    let content = Content::new(name, pieces);
    let meta = backend.head(name)?;
    if meta.size != content.bytes {
        let why = format!("it has {} bytes, {} were sent", meta.size, content.bytes);
        return Err(not_as_sent(backend, name, why));
    }
    let tag = trimmed(meta.e_tag);
    if tag == content.tag() {
        return Ok(Receipt { remote_id: tag, bytes: content.bytes });
    }
    // A store with tags of its own kind.
    let receipt = verify_by_reading(backend, name, pieces)?;
    Ok(if tag.is_empty() { receipt } else { Receipt { remote_id: tag, ..receipt } })
}

/// Compares what was just stored, and takes it away again if it is not what was sent.
fn confirm(
    backend: &StoreBackend,
    content: Content<'_>,
    tag: Option<String>,
) -> Result<Receipt, Error> {
    let tag = trimmed(tag);
    if tag == content.tag() {
        return Ok(Receipt { remote_id: tag, bytes: content.bytes });
    }
    match verify(backend, content.name, content.pieces) {
        Err(error @ Error::NotAsSent { .. }) => {
            backend.delete(content.name)?;
            Err(error)
        }
        other => other,
    }
}

fn trimmed(tag: Option<String>) -> String {
    tag.unwrap_or_default().trim_matches('"').to_owned()
}

fn not_as_sent(backend: &StoreBackend, name: &ObjectName, why: String) -> Error {
    Error::NotAsSent { name: name.clone(), place: backend.place.clone(), why }
}

fn exists(backend: &StoreBackend, name: &ObjectName) -> Error {
    Error::Exists { name: name.clone(), place: backend.place.clone() }
}

/// Refuses a name that is taken, by a look.
fn refuse_taken(backend: &StoreBackend, key: &Path, name: &ObjectName) -> Result<(), Error> {
    match backend.call("look at", name, backend.store.head(key)) {
        Ok(_) => Err(exists(backend, name)),
        Err(failure) if failure.is_absent() => Ok(()),
        Err(failure) => Err(backend.explain(failure)),
    }
}

fn put_whole(backend: &StoreBackend, content: Content<'_>) -> Result<Option<String>, Error> {
    let key = backend.key(content.name);
    let creating = backend.creating();
    let mode = match creating {
        Creating::Conditional => PutMode::Create,
        Creating::Looking => {
            refuse_taken(backend, &key, content.name)?;
            PutMode::Overwrite
        }
    };
    backend.pay(content.bytes);
    let put = backend.store.put_opts(&key, content.part(0), mode.into());
    match backend.call("write", content.name, put) {
        Ok(stored) => Ok(stored.e_tag),
        Err(failure) if answer::is_taken(&failure) => Err(exists(backend, content.name)),
        Err(failure)
            if creating == Creating::Conditional && answer::is_not_implemented(&failure) =>
        {
            backend.look_before_writing();
            put_whole(backend, content)
        }
        Err(failure) => Err(backend.explain_listing(failure)),
    }
}

/// Goes on with the upload that was begun, or begins one.
///
/// Parts cannot be refused by name. Two writers of one name would both succeed, with the same
/// bytes, since only packs are this large and their names are random.
fn put_parts(backend: &StoreBackend, content: Content<'_>) -> Result<Option<String>, Error> {
    let key = backend.key(content.name);
    refuse_taken(backend, &key, content.name)?;
    if let Some(session) = begun(backend, content) {
        match send_parts(backend, content, &key, session) {
            // The store has forgotten the upload; if it refuses more than that, the next call says.
            Err(failure) if answer::is_refusal(&failure) => backend.journal.forget(content.name),
            sent => return sent.map_err(|failure| backend.explain(failure)),
        }
    }
    let upload = backend
        .call("write", content.name, backend.store.create_multipart(&key))
        .map_err(|failure| backend.explain_listing(failure))?;
    let session = Session { upload, part_bytes: PART_BYTES, parts: Vec::new() };
    backend.journal.keep(content.name, &session);
    send_parts(backend, content, &key, session).map_err(|failure| backend.explain(failure))
}

/// An earlier upload of this object that can be gone on with.
fn begun(backend: &StoreBackend, content: Content<'_>) -> Option<Session> {
    let session = backend.journal.load(content.name)?;
    let fits = session.part_bytes == PART_BYTES && session.parts.len() as u64 <= content.parts();
    fits.then_some(session)
}

fn send_parts(
    backend: &StoreBackend,
    content: Content<'_>,
    key: &Path,
    mut session: Session,
) -> Result<Option<String>, Failure> {
    let upload = session.upload.clone();
    let send = |number: u64| {
        let payload = content.part(number);
        backend.pay(payload.content_length() as u64);
        let put = backend.store.put_part(key, &upload, number as usize, payload);
        backend.called("write", content.name, put)
    };
    // A limit makes us wait here, and nobody waits with a part under way.
    let at_once = if backend.upload_limit.is_some() { 1 } else { PARTS_AT_ONCE };
    let numbers = session.parts.len() as u64..content.parts();
    let mut sent = stream::iter(numbers.map(send)).buffered(at_once);
    while let Some(part) = backend.runtime.block_on(sent.next()) {
        session.parts.push(part?.content_id);
        backend.journal.keep(content.name, &session);
    }
    let parts = session.parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
    let complete = backend.store.complete_multipart(key, &session.upload, parts);
    let stored = backend.call("write", content.name, complete)?;
    backend.journal.forget(content.name);
    Ok(stored.e_tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PackId;

    const NAME: ObjectName = ObjectName::Pack(PackId([1; 32]));

    #[test]
    fn parts_cut_the_pieces_wherever_their_borders_lie() {
        let all: Vec<u8> = (0..PART_BYTES + 1000).map(|at| (at % 251) as u8).collect();
        let (head, rest) = all.split_at(777);
        let (middle, tail) = rest.split_at(PART_BYTES as usize - 700);
        let pieces = [head, middle, tail];
        let content = Content::new(&NAME, &pieces);

        let parts: Vec<_> = (0..2).map(|number| Bytes::from(content.part(number))).collect();

        assert_eq!(content.parts(), 2);
        assert_eq!(parts.concat(), all);
        assert_eq!(parts[0].len() as u64, PART_BYTES);
    }

    #[test]
    fn a_tag_is_the_digest_that_s3_gives() {
        let small = Content::new(&NAME, &[b"ab", b"c"]);
        assert_eq!(small.tag(), "900150983cd24fb0d6963f7d28e17f72");

        let large = vec![7; PART_BYTES as usize + 1];
        assert!(Content::new(&NAME, &[&large]).tag().ends_with("-2"));
    }
}
