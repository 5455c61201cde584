//! Whose repository a mirror holds: asked before anything is sent there.

use crate::{
    backend::{Folder, ObjectName},
    format::descriptor::Descriptor,
    limits::OBJECT_PLAIN_BYTES_MAX,
    ops::{
        self,
        mirror::{Error, Target, is_missing},
    },
    repo::Repository,
};

const DESCRIPTOR_BYTES_MAX: u64 = OBJECT_PLAIN_BYTES_MAX as u64;

/// What is at the place of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Nothing,
    ThisRepository,
}

/// Finds out what the place holds.
///
/// # Errors
/// [`Error::OtherRepository`]; or that what it holds is newer than this program.
pub fn holds(repo: &Repository, target: &Target) -> Result<Holds, ops::Error> {
    let backend = &target.backend;
    let mut names: Vec<_> =
        backend.list(Folder::Descriptor)?.objects.into_iter().map(|listed| listed.name).collect();
    names.sort_unstable();
    let Some(newest) = names.pop() else {
        // Keys without a descriptor are no empty place: somebody's repository is damaged.
        return match backend.list(Folder::Keys)?.objects.first() {
            None => Ok(Holds::Nothing),
            Some(key) => Err(damaged(&key.name)),
        };
    };
    let bytes = match backend.get(&newest, DESCRIPTOR_BYTES_MAX) {
        Err(error) if is_missing(&error) => return Err(damaged(&newest)),
        other => other?,
    };
    let descriptor = Descriptor::decode(&bytes)?;
    if descriptor.repository != repo.id() {
        let id = descriptor.repository.to_string()[..8].to_owned();
        return Err(Error::OtherRepository { place: backend.place(), id }.into());
    }
    Ok(Holds::ThisRepository)
}

fn damaged(name: &ObjectName) -> ops::Error {
    let why = "the place holds keys, but no descriptor that can be read".to_owned();
    crate::repo::Error::Corrupt { name: name.to_string(), why }.into()
}
