//! Parity of packs: what is lost of them within a budget is computed again, bit for bit. Spec:
//! `format-spec/75-parity.md`.
//!
//! Optional; nothing that is restored is ever read from here. Memory is bounded by one stripe, the
//! recovery shards of one group, and one pack.

mod encode;
mod object;
mod rebuild;

use std::collections::HashSet;

use crate::{
    backend::{Folder, ObjectName},
    id::PackId,
    repo::{Error, Repository, catalogue::Catalogue},
};

pub use encode::protect;
pub use object::{ParityObject, verify};
pub use rebuild::rebuild;

/// What the descriptor says of a repository with parity; the percentage follows.
const FEATURE: &str = "parity ";

/// The optional feature of a repository whose packs have so many percent of parity.
pub fn feature(percent: u8) -> String {
    format!("{FEATURE}{percent}")
}

/// The percentage that the features of a descriptor name.
pub fn percent(features: &[String]) -> Option<u8> {
    let percents = features.iter().filter_map(|feature| feature.strip_prefix(FEATURE));
    percents.filter_map(|percent| percent.parse().ok()).find(|percent| (1..=100).contains(percent))
}

/// Every parity object whose table can be read.
pub fn objects(repo: &Repository) -> Result<Vec<ParityObject>, Error> {
    let mut objects = Vec::new();
    for listed in repo.env.backend.list(Folder::Parity)?.objects {
        let ObjectName::Parity(id) = listed.name else { continue };
        objects.extend(ParityObject::read(repo, id, listed.bytes).ok());
    }
    Ok(objects)
}

/// The packs that parity covers, that are not there, and that no prune took away.
pub fn lost_packs(catalogue: &Catalogue, objects: &[ParityObject]) -> Vec<PackId> {
    let covered = objects.iter().flat_map(|object| &object.table.packs).map(|(pack, _)| *pack);
    let mut lost: Vec<_> = covered.filter(|pack| is_lost(catalogue, pack)).collect();
    lost.sort_unstable();
    lost.dedup();
    lost
}

fn is_there(catalogue: &Catalogue, pack: &PackId) -> bool {
    catalogue.packs().contains_key(pack) || catalogue.resized().contains_key(pack)
}

fn is_lost(catalogue: &Catalogue, pack: &PackId) -> bool {
    !is_there(catalogue, pack) && !catalogue.condemned().contains(pack)
}

/// Deletes parity that lost a member for good, and protects every pack that has none. Does nothing
/// in a repository without parity.
pub fn tidy(repo: &Repository) -> Result<(), Error> {
    let Some(percent) = repo.parity_percent() else { return Ok(()) };
    repo.forget_catalogue();
    let catalogue = repo.catalogue()?;
    let mut covered = HashSet::new();
    for object in objects(repo)? {
        let members = || object.table.packs.iter().map(|(pack, _)| *pack);
        let is_gone =
            |pack: PackId| !is_there(&catalogue, &pack) && catalogue.condemned().contains(&pack);
        if members().any(is_gone) {
            repo.env.backend.delete(&ObjectName::Parity(object.id))?;
        } else {
            covered.extend(members());
        }
    }
    let damaged = catalogue.damaged();
    let is_bare = |pack: &PackId| {
        !covered.contains(pack) && !damaged.contains(pack) && !catalogue.condemned().contains(pack)
    };
    let bare = catalogue.packs().iter().filter(|(pack, _)| is_bare(pack));
    let mut bare: Vec<_> = bare.map(|(pack, bytes)| (*pack, *bytes)).collect();
    bare.sort_unstable();
    protect(repo, percent, &bare)
}

#[cfg(test)]
mod tests;
