//! Other places of the same repository, its mirrors: opened with the keys at hand, and asked what
//! was removed there.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use crate::{
    backend::{Backend, Folder, ObjectName},
    format::tombstone::Tombstone,
    id::{ChunkId, PackId},
    repo::{
        Environment, Error, Repository,
        index_publication::{self, News},
        keyring, object,
        state::State,
        tombstones,
    },
};

impl Repository {
    /// Opens another place of this repository. Its state lies below a root of its own: what is
    /// missing there is not missing here.
    pub fn at(&self, backend: Arc<dyn Backend>, state_root: PathBuf) -> Result<Self, Error> {
        let env = Environment { backend, state_root, ..self.env.clone() };
        keyring::expect_known(&env, self.id())?;
        self.opened.refresh(env.backend.as_ref())?;
        let (keys, opened) = (Arc::clone(&self.keys), self.opened.clone());
        let state = State::open(&env, keys.repository)?;
        Ok(Self { env, keys, state, opened, catalogue: Mutex::default() })
    }

    /// Packs that deleters of another place of this repository have condemned there, by tombstone;
    /// those that are known are not read again.
    pub fn condemned_in(
        &self,
        place: &dyn Backend,
        is_known: impl Fn(&ObjectName) -> bool,
    ) -> Result<HashMap<ObjectName, Vec<PackId>>, Error> {
        let standing = tombstones::standing(place, &self.keys, |name| !is_known(name))?;
        let of = |(id, tombstone): (_, Tombstone)| (ObjectName::Tombstone(id), tombstone.packs);
        Ok(standing.into_iter().map(of).collect())
    }

    /// What must not be sent to another place, because it was removed there on purpose or is about
    /// to be: packs, whose names never come back; snapshots that were forgotten there; index
    /// objects that another one there repeats.
    pub fn removed_in(&self, place: &dyn Backend) -> Result<HashSet<ObjectName>, Error> {
        let catalogue = self.catalogue()?;
        let look = tombstones::look(place, &self.keys, catalogue.known_index())?.for_writer()?;
        let shown: HashSet<_> = object::names(place, Folder::Snapshots)?.into_iter().collect();
        let snapshots = look.snapshots().into_iter().map(ObjectName::Snapshot);
        let covered = catalogue.live().iter().filter(|head| look.covered.contains(&head.id));
        let covered = covered.map(|head| head.name.clone());
        let mut removed: HashSet<_> = snapshots.filter(|name| !shown.contains(name)).collect();
        removed.extend(look.packs().into_iter().map(ObjectName::Pack));
        removed.extend(covered);
        Ok(removed)
    }

    /// Stores another copy of these chunks in packs of their own; durable and indexed on return.
    pub fn store_again(&self, chunks: &[ChunkId]) -> Result<(), Error> {
        let writer = self.writer()?;
        let reader = self.fetcher_of(&writer);
        let mut lane = writer.lane();
        for id in chunks {
            lane.copy(*id, &reader.get(id)?)?;
        }
        lane.finish()?;
        writer.flush()?;
        let news = News { packs: writer.packs(), record: None };
        let _ = index_publication::publish(self, writer.catalogue(), news)?;
        self.forget_catalogue();
        Ok(())
    }
}
