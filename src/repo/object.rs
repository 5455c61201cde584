//! Single objects: sealed, written, read back; two copies where the format says so. Spec:
//! `format-spec/20-envelope.md`.

use crate::{
    backend::{self, Backend, Folder, ObjectName, name::Copy},
    format::envelope::Header,
    id::RepositoryId,
    limits::OBJECT_PLAIN_BYTES_MAX,
    repo::Error,
};

/// Sealed form of the largest single object.
pub const OBJECT_BYTES_MAX: u64 = OBJECT_PLAIN_BYTES_MAX as u64 + 1024;

/// Writes an object, reads it back and compares.
///
/// # Errors
/// The object may exist if reading it back failed.
pub fn put_proven(backend: &dyn Backend, name: &ObjectName, bytes: &[u8]) -> Result<(), Error> {
    backend.put_new(name, &[bytes])?;
    let read = backend.get(name, bytes.len() as u64)?;
    if read != bytes {
        let why = "what was read back differs from what was written".to_owned();
        return Err(Error::Corrupt { name: name.to_string(), why });
    }
    Ok(())
}

/// Puts an object that may be there already with the very same bytes, as after a crash between
/// write and report.
pub fn put_same(backend: &dyn Backend, name: &ObjectName, bytes: &[u8]) -> Result<(), Error> {
    match put_proven(backend, name, bytes) {
        Err(Error::Backend(backend::Error::Exists { .. }))
            if backend.get(name, OBJECT_BYTES_MAX)? == bytes =>
        {
            Ok(())
        }
        other => other,
    }
}

/// The first copy of an object that satisfies the reader.
pub struct FirstCopy<T> {
    pub value: T,
    pub bytes: Vec<u8>,
}

/// Reads the copies of an object in turn until one opens.
pub fn first_copy<T>(
    backend: &dyn Backend,
    name: impl Fn(Copy) -> ObjectName,
    open: impl Fn(&[u8]) -> Result<T, Error>,
) -> Result<FirstCopy<T>, Error> {
    let mut first_error = None;
    for copy in Copy::BOTH {
        let name = name(copy);
        let opened = backend
            .get(&name, OBJECT_BYTES_MAX)
            .map_err(Error::from)
            .and_then(|bytes| open(&bytes).map(|value| (value, bytes)));
        match opened {
            Ok((value, bytes)) => return Ok(FirstCopy { value, bytes }),
            Err(error) => drop(first_error.get_or_insert(error)),
        }
    }
    Err(first_error.expect("both copies failed"))
}

/// Reads the header of an object that belongs to whichever repository this is.
pub fn repository_of(bytes: &[u8]) -> Result<RepositoryId, Error> {
    Ok(Header::decode(bytes)?.repository)
}

/// Lists the names of a folder.
pub fn names(backend: &dyn Backend, folder: Folder) -> Result<Vec<ObjectName>, Error> {
    Ok(backend.list(folder)?.objects.into_iter().map(|listed| listed.name).collect())
}
