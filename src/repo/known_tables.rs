//! The tables of contents that index objects repeat: what a damaged or lost pack held.

use crate::{
    backend::Backend,
    location::PackEntry,
    repo::{Error, catalogue::Catalogue, index_object::IndexObjectReader},
};

/// Calls back with every pack that a live index object names, those that are gone included, and
/// the plaintext of its table. A pack may come twice. An index object that cannot be read is
/// passed over.
pub fn for_each(
    backend: &dyn Backend,
    catalogue: &Catalogue,
    visit: &mut dyn FnMut(&PackEntry, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    for head in catalogue.live() {
        let reader =
            IndexObjectReader::open(backend, catalogue.keys(), head.name.clone(), head.bytes);
        let Ok(mut reader) = reader else { continue };
        let mut next = reader.head().map(|(_, contents)| Some(contents));
        while let Ok(Some(contents)) = next {
            for (entry, table) in &contents.packs {
                visit(entry, table)?;
            }
            next = reader.contents();
        }
    }
    Ok(())
}
