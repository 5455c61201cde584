//! Single objects of the repository, for those who want to look inside.

use serde_json::Value;

use crate::{
    backend::{Folder, ObjectName},
    format::{
        envelope::Kind,
        show::{self, ChunkUse},
    },
    id::ChunkId,
    ops::Error,
    repo::Repository,
};

/// Something that can be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    Named(ObjectName),
    Chunk(ChunkId),
}

/// Finds an object by `FOLDER/NAME`, where the name may be shortened; without a folder, a snapshot
/// is meant.
pub fn find(repository: &Repository, text: &str) -> Result<Object, Error> {
    let (folder, name) = text.split_once('/').unwrap_or(("snapshots", text));
    if folder == "chunks" {
        let id = name.parse().map_err(|_| Error::UnknownObject { text: text.to_owned() })?;
        return Ok(Object::Chunk(id));
    }
    let folder = Folder::ALL.into_iter().find(|known| known.as_str() == folder);
    let folder = folder.ok_or_else(|| Error::UnknownObject { text: text.to_owned() })?;
    let listing = repository.environment().backend.list(folder)?;
    let names: Vec<ObjectName> = listing.objects.into_iter().map(|object| object.name).collect();
    choose(names, name, text).map(Object::Named)
}

/// A whole name wins over others that begin with it.
fn choose(mut names: Vec<ObjectName>, name: &str, text: &str) -> Result<ObjectName, Error> {
    if let Some(at) = names.iter().position(|known| known.file_name() == name) {
        return Ok(names.swap_remove(at));
    }
    names.retain(|known| short(known).starts_with(name) || known.file_name().starts_with(name));
    names.sort();
    // Both copies of one object are the same to a reader.
    names.dedup_by(|second, first| short(second) == short(first));
    match names.len() {
        0 => Err(Error::UnknownObject { text: text.to_owned() }),
        1 => Ok(names.remove(0)),
        _ => Err(Error::AmbiguousObject {
            text: text.to_owned(),
            names: names.iter().map(ToString::to_string).collect(),
        }),
    }
}

/// The name from its id on, which is what people copy; without the number of the copy.
fn short(name: &ObjectName) -> String {
    match name {
        ObjectName::Slot { id, .. }
        | ObjectName::Ring { id, .. }
        | ObjectName::Index { id, .. } => id.to_string(),
        ObjectName::Descriptor { generation, .. } => format!("{generation:08x}"),
        other => other.file_name(),
    }
}

/// Returns the authenticated plaintext.
pub fn open(repository: &Repository, object: &Object) -> Result<Vec<u8>, Error> {
    match object {
        Object::Named(name) => Ok(repository.open_object(name)?),
        Object::Chunk(id) => Ok(repository.fetcher()?.get(id)?.to_vec()),
    }
}

/// Shows what an object or chunk holds. A chunk says nothing of its use; without one, it is shown
/// as bytes.
pub fn describe(
    object: &Object,
    plain: &[u8],
    chunk_use: Option<ChunkUse>,
) -> Result<Value, Error> {
    Ok(match (object, chunk_use) {
        // Set aside because it is not what it should be: shown as the bytes that are there.
        (Object::Named(ObjectName::Quarantined { .. }), _) => Value::from(hex_lines(plain)),
        (Object::Named(name), _) => show::object(kind(name), plain)?,
        (Object::Chunk(_), Some(chunk_use)) => show::chunk(chunk_use, plain)?,
        (Object::Chunk(_), None) => Value::from(hex_lines(plain)),
    })
}

fn kind(name: &ObjectName) -> Kind {
    match name {
        ObjectName::Descriptor { .. } => Kind::Descriptor,
        ObjectName::Slot { .. } => Kind::Slot,
        ObjectName::Ring { .. } => Kind::Ring,
        ObjectName::Pack(_) => Kind::Pack,
        // Summaries look like segments once they are open.
        ObjectName::Index { .. } => Kind::Segment,
        ObjectName::Pending(_) => Kind::Pending,
        ObjectName::Snapshot(_) => Kind::Snapshot,
        ObjectName::Tombstone(_) => Kind::Tombstone,
        ObjectName::Forgotten(_) => Kind::Forgotten,
        ObjectName::Pinned(_) => Kind::Pinned,
        ObjectName::Parity(_) => Kind::Parity,
        ObjectName::Quarantined { former, .. } => kind(former),
    }
}

/// Sixteen bytes a line, as digits and as text.
fn hex_lines(plain: &[u8]) -> Vec<String> {
    let text = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
    let lines = plain.chunks(16).enumerate();
    let lines = lines.map(|(at, bytes)| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = bytes.iter().map(text).collect();
        format!("{:08x}  {:<47}  {text}", at * 16, hex.join(" "))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::name::Copy,
        id::{ObjectId, SnapshotId},
    };

    fn chosen(names: &[ObjectName], name: &str) -> Result<ObjectName, Error> {
        choose(names.to_vec(), name, name)
    }

    #[test]
    fn a_beginning_that_only_one_object_has_is_enough() {
        let snapshots = [
            ObjectName::Snapshot(SnapshotId([0xa1; 32])),
            ObjectName::Snapshot(SnapshotId([0xa2; 32])),
        ];

        assert_eq!(chosen(&snapshots, "a2").unwrap(), snapshots[1]);
        let ambiguous = chosen(&snapshots, "a");
        assert!(matches!(ambiguous, Err(Error::AmbiguousObject { names, .. }) if names.len() == 2));
        assert!(matches!(chosen(&snapshots, "b"), Err(Error::UnknownObject { .. })));
    }

    #[test]
    fn two_copies_of_one_object_are_one() {
        let id = ObjectId([0xc0; 32]);
        let copies = Copy::BOTH.map(|copy| ObjectName::Slot { id, copy });

        assert_eq!(chosen(&copies, "c0c0").unwrap(), copies[0]);
        assert_eq!(chosen(&copies, "slot-c0").unwrap(), copies[0]);
        assert_eq!(chosen(&copies, &copies[1].file_name()).unwrap(), copies[1]);
    }
}
