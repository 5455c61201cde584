use std::sync::Arc;

use super::content::FileContent;
use crate::{
    chunk::{Fetch, Store},
    format::stream::Stream,
    ops::past::sample::Archive,
};

/// A file of three chunks, whose middle is a hole.
fn sparse() -> (Archive, Stream, Vec<(u64, u64)>, Vec<u8>) {
    let mut archive = Archive::new();
    let pieces: [Vec<u8>; 3] = [vec![1; 700], vec![2; 500], vec![3; 300]];
    let ids = pieces.iter().map(|piece| archive.store.put(piece).unwrap()).collect();
    let stream = Stream { depth: 0, bytes: 1500, ids };
    let mut file = pieces.concat();
    // 1,000 bytes from the beginning, 500 behind a hole of 4,000, and a hole at the end.
    let _ = file.splice(1000..1000, vec![0; 4000]).count();
    file.extend([0; 250]);
    (archive, stream, vec![(0, 1000), (5000, 500)], file)
}

#[test]
fn any_range_of_a_sparse_file_is_what_it_was() {
    let (archive, stream, extents, file) = sparse();
    let fetch: Arc<dyn Fetch> = archive.fetch();
    let length = |id: &_| Ok(Some(archive.store.get(id)?.len() as u32));
    let described = (file.len() as u64, &stream, Some(&extents[..]));
    let content =
        super::content::Opened::File(FileContent::open(fetch, described, &length).unwrap());

    for offset in (0..=file.len() + 10).step_by(97) {
        for bytes in [1, 300, 999, 9000] {
            let read = content.read(offset as u64, bytes).unwrap();
            let end = file.len().min(offset + bytes);
            assert_eq!(read, file.get(offset..end).unwrap_or_default(), "{offset} {bytes}");
        }
    }
}

#[test]
fn a_chunk_that_is_gone_is_an_error_of_reading() {
    let (archive, stream, extents, file) = sparse();
    let fetch: Arc<dyn Fetch> = archive.fetch();
    let described = (file.len() as u64, &stream, Some(&extents[..]));

    let opened = FileContent::open(fetch, described, &|_| Ok(None));

    assert!(opened.is_err());
}
