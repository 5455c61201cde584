//! The bytes of one file or of one database image, in order.

use std::{ops::ControlFlow, sync::Arc};

use crate::{
    chunk::Fetch,
    format::{
        image::Image,
        node::{Content, Entry},
        record::{Part, PartContent},
        stream::Stream,
    },
    ops::{Error, list::find},
    repo::{
        image::ImageReader,
        stream::{Chunks, Holds},
        tree::content::Layout,
    },
};

/// Takes the next bytes; breaks when nobody wants more.
pub type Take<'a> = &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>;

/// Hands over what is at a path of a part: the database itself, or the file there.
pub fn dump(
    fetch: Arc<dyn Fetch>,
    part: &Part,
    path: &[Vec<u8>],
    take: Take<'_>,
) -> Result<(), Error> {
    match &part.content {
        PartContent::Database { image, .. } if path.is_empty() => dump_image(fetch, image, take),
        PartContent::Database { .. } => {
            Err(Error::NotAFile { path: path.join(&b'/'), what: "inside a database" })
        }
        PartContent::Tree { root, .. } => {
            let path = path.join(&b'/');
            let entry = find(&*fetch, part, root, &path)?;
            dump_entry(fetch, &entry, path, take)
        }
    }
}

/// Hands over the content of one entry.
pub fn dump_entry(
    fetch: Arc<dyn Fetch>,
    entry: &Entry,
    path: Vec<u8>,
    take: Take<'_>,
) -> Result<(), Error> {
    let what = match &entry.content {
        Content::File { bytes, stream, extents } => {
            return dump_file(&*fetch, *bytes, stream, extents.as_deref(), take);
        }
        Content::Database(image) => return dump_image(fetch, image, take),
        Content::Folder { .. } => "a folder",
        Content::Link { .. } => "a symbolic link",
        Content::Fifo | Content::Socket => "a pipe or socket",
        Content::CharDevice { .. } | Content::BlockDevice { .. } => "a device",
    };
    Err(Error::NotAFile { path, what })
}

pub(super) fn dump_file(
    fetch: &dyn Fetch,
    file_bytes: u64,
    stream: &Stream,
    extents: Option<&[(u64, u64)]>,
    take: Take<'_>,
) -> Result<(), Error> {
    let mut layout = Layout::new(file_bytes, extents);
    let mut written = 0;
    let mut flow = ControlFlow::Continue(());
    for chunk in Chunks::new(fetch, stream) {
        let (Holds::Data, id) = chunk? else { continue };
        layout.place::<Error>(&fetch.get(&id)?, &mut |offset, bytes| {
            if flow.is_continue() {
                flow = zeros(offset - written, take);
            }
            if flow.is_continue() {
                flow = take(bytes);
            }
            written = offset + bytes.len() as u64;
            Ok(())
        })?;
        if flow.is_break() {
            return Ok(());
        }
    }
    layout.finish()?;
    let _ = zeros(file_bytes.saturating_sub(written), take);
    Ok(())
}

/// Holes of a sparse file are zeros to a reader.
fn zeros(mut bytes: u64, take: Take<'_>) -> ControlFlow<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    while bytes > 0 {
        let piece = bytes.min(ZEROS.len() as u64);
        take(&ZEROS[..piece as usize])?;
        bytes -= piece;
    }
    ControlFlow::Continue(())
}

fn dump_image(fetch: Arc<dyn Fetch>, image: &Image, take: Take<'_>) -> Result<(), Error> {
    let reader = ImageReader::open(image, fetch)?;
    for page in 1..=image.page_count {
        if take(&reader.page(page)?).is_break() {
            break;
        }
    }
    Ok(())
}
