//! The writer's side of the deletion protocol: what has been condemned. Spec:
//! `format-spec/70-write-order.md`.

use std::collections::HashSet;

use crate::{
    backend::{Backend, Folder, ObjectName},
    crypto::{keys::Keys, object::open_object},
    format::{envelope::Kind, tombstone::Tombstone},
    id::PackId,
    repo::{
        Error,
        index_object::Head,
        object::{self, OBJECT_BYTES_MAX},
    },
};

/// Returns every pack that any tombstone condemns, those folded into index objects included.
///
/// # Errors
/// A tombstone that cannot be read is an error, not an absent one: what it condemns is unknown.
pub fn condemned(
    backend: &dyn Backend,
    keys: &Keys,
    live: &[Head],
) -> Result<HashSet<PackId>, Error> {
    let mut packs = HashSet::new();
    for name in object::names(backend, Folder::Tombstones)? {
        let ObjectName::Tombstone(id) = name else { continue };
        let bytes = match backend.get(&name, OBJECT_BYTES_MAX) {
            // Rescinded between listing and reading.
            Err(crate::backend::Error::Missing { .. }) => continue,
            other => other?,
        };
        let plain = open_object(keys, Kind::Tombstone, &id.0, bytes)?;
        packs.extend(Tombstone::decode(&plain)?.packs);
    }
    for (_, plain) in live.iter().flat_map(|head| &head.tombstones) {
        packs.extend(Tombstone::decode(plain)?.packs);
    }
    Ok(packs)
}
