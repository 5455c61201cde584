//! The tables of contents that index objects repeat: what a damaged or lost pack held.

use crate::{
    backend::Backend,
    location::PackEntry,
    repo::{Error, catalogue::Catalogue, index_object::IndexObjectReader},
};

/// Calls back with every pack that a live index object names, those that are gone included, and
/// the plaintext of its table. A pack may come twice.
///
/// An index object that cannot be read is passed over. Returns why, for the first of those that may
/// be whole and only out of reach.
pub fn for_each(
    backend: &dyn Backend,
    catalogue: &Catalogue,
    visit: &mut dyn FnMut(&PackEntry, &[u8]) -> Result<(), Error>,
) -> Result<Option<Error>, Error> {
    let mut out_of_reach = None;
    for head in catalogue.live() {
        let reader =
            IndexObjectReader::open(backend, catalogue.keys(), head.name.clone(), head.bytes);
        let unread = match reader {
            Ok(mut reader) => visit_all(&mut reader, visit)?.err(),
            Err(unread) => Some(unread),
        };
        if let Some(unread) = unread.filter(|unread| !unread.is_damage()) {
            let _ = out_of_reach.get_or_insert(unread);
        }
    }
    Ok(out_of_reach)
}

/// The inner result tells how the reading went, the outer one the visit.
fn visit_all(
    reader: &mut IndexObjectReader<'_>,
    visit: &mut dyn FnMut(&PackEntry, &[u8]) -> Result<(), Error>,
) -> Result<Result<(), Error>, Error> {
    let mut next = reader.head().map(|(_, contents)| Some(contents));
    loop {
        match next {
            Ok(Some(contents)) => {
                for (entry, table) in &contents.packs {
                    visit(entry, table)?;
                }
            }
            Ok(None) => return Ok(Ok(())),
            Err(unread) => return Ok(Err(unread)),
        }
        next = reader.contents();
    }
}
