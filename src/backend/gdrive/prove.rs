//! The test of a new place: something of our own goes there and comes back, is compared and
//! deleted.

use super::{
    GDriveBackend,
    content::{Content, difference},
    drive::success,
    remote,
    upload::send_whole,
};
use crate::backend::Error;

const CANARY_BYTES: usize = 300 * 1024;
/// A range in the middle of it.
const RANGE: std::ops::Range<u64> = 100_000..101_000;

/// Writes, reads back, compares and deletes; no listing of objects shows what it writes.
pub fn prove(backend: &GDriveBackend) -> Result<(), Error> {
    backend.take()?;
    let id = backend.journal.take_id(&backend.local, &backend.drive)?;
    let mut content = vec![0; CANARY_BYTES];
    // Different each time, so that no cache can answer.
    blake3::Hasher::new().update(id.as_bytes()).finalize_xof().fill(&mut content);
    let metadata = remote::canary_metadata(&id, &backend.shelves.root());
    let answer = send_whole(&backend.drive, &metadata, &content)?;
    let place = backend.drive.place();
    let _made = success(answer).map_err(|no| no.into_error("write", "a canary", place))?;
    let proven = compare(backend, &id, &content);
    // Even a place that failed is left as it was found.
    backend.drive.delete(&id)?;
    proven?;
    match backend.drive.file(&id)? {
        None => Ok(()),
        Some(_) => Err(unproven(backend, "what was deleted is still there")),
    }
}

fn compare(backend: &GDriveBackend, id: &str, content: &[u8]) -> Result<(), Error> {
    let drive = &backend.drive;
    let remote = drive.file(id)?.ok_or_else(|| unproven(backend, "what was written is absent"))?;
    let pieces = [content];
    let sent = Content::new(&pieces);
    if let Some(why) = difference(sent.bytes(), sent.checksums(), &remote) {
        return Err(unproven(backend, why));
    }
    let read = |range: Option<&std::ops::Range<u64>>| {
        drive
            .content(id, range, sent.bytes())?
            .map_err(|no| no.into_error("read", "a canary", drive.place()))
    };
    if read(None)?.body != content {
        return Err(unproven(backend, "what was read back is not what was written"));
    }
    let part = read(Some(&RANGE))?;
    let is_part = part.body == content[RANGE.start as usize..RANGE.end as usize];
    // One that does not know ranges is slow, not wrong.
    match (part.status == 206 && is_part) || part.body == content {
        true => Ok(()),
        false => Err(unproven(backend, "a part that was read is not the part asked for")),
    }
}

fn unproven(backend: &GDriveBackend, why: &str) -> Error {
    Error::Unproven { place: backend.drive.place().to_owned(), why: why.to_owned() }
}
