//! The folders of a repository on Drive: a root, below it one shelf for each [`Folder`], and
//! further shelves when one is full. Drive takes half a million children in a folder; we stop
//! earlier, so that most shops have one shelf of each kind and list it with one query.
//!
//! Folders are known by their properties and remembered by their ids; people may rename and move
//! them. The id of a folder is written down before the folder is made, so that an answer that got
//! lost does not make two.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    account::Account,
    drive::{Drive, is_id},
    journal::Journal,
    local::Local,
    remote::{self, PROJECT, ROLE_ROOT, Remote, root_metadata, shelf_metadata},
};
use crate::{
    backend::{Error, Folder, SetUp},
    clock::Clock,
};

const FILE: &str = "shelves";
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Shelves of other machines are looked for again after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// How many objects a shelf takes before the next one is made.
pub const SHELF_OBJECTS_MAX: usize = 100_000;

/// All folders of a repository, as far as is known.
#[derive(Debug)]
pub struct Shelves {
    state: Mutex<State>,
    objects_max: usize,
}

#[derive(Debug, Default)]
struct State {
    kept: Kept,
    looked: Option<Duration>,
}

/// What is kept between runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// What the folder was called when it was opened; people may have renamed it since.
    name: String,
    root: String,
    root_made: bool,
    project: String,
    shelves: Vec<Shelf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Shelf {
    folder: String,
    id: String,
    made: bool,
    full: bool,
}

impl Shelves {
    pub fn new(objects_max: usize) -> Self {
        Self { state: Mutex::default(), objects_max }
    }

    /// Takes what this machine remembers, without a request; whether there was anything.
    ///
    /// # Errors
    /// [`SetUp::OtherClient`] if the account came through a client that cannot see the objects.
    pub fn recall(&self, local: &Local, account: &Account, name: &str) -> Result<bool, Error> {
        let bytes = local.read(&local.dir, FILE, FILE_BYTES_MAX)?;
        let kept = bytes.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        let is_sound = |kept: &Kept| {
            let ids = kept.shelves.iter().map(|shelf| &shelf.id).chain([&kept.root]);
            (kept.name == name || kept.root == name) && ids.into_iter().all(|id| is_id(id))
        };
        let Some(kept) = kept.filter(is_sound) else { return Ok(false) };
        same_project(&kept.project, account, name)?;
        let is_whole = kept.root_made;
        self.lock().kept = kept;
        Ok(is_whole)
    }

    /// Looks for the folder in the account, by name or id.
    ///
    /// # Errors
    /// [`Error::WrongPlace`], [`SetUp::SeveralFolders`], [`SetUp::OtherClient`]
    pub fn find(&self, drive: &Drive, account: &Account, name: &str) -> Result<(), Error> {
        self.choose(drive.place(), (account, name), &drive.folders()?)
    }

    /// Finds the folder and the shelves below it in a listing of everything.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_among(
        &self,
        (place, clock): (&str, &dyn Clock),
        (account, name): (&Account, &str),
        everything: &[Remote],
    ) -> Result<(), Error> {
        let is_folder = |one: &&Remote| one.mime_type == remote::FOLDER_TYPE && !one.trashed;
        let folders: Vec<_> = everything.iter().filter(is_folder).cloned().collect();
        self.choose(place, (account, name), &folders)?;
        let mut state = self.lock();
        let root = state.kept.root.clone();
        let is_below = |one: &&Remote| one.parents.contains(&root);
        everything.iter().filter(is_below).for_each(|child| state.kept.adopt(child));
        state.looked = Some(clock.elapsed());
        Ok(())
    }

    fn choose(
        &self,
        place: &str,
        (account, name): (&Account, &str),
        folders: &[Remote],
    ) -> Result<(), Error> {
        let place = || place.to_owned();
        let is_meant = |folder: &&Remote| {
            folder.role() == Some(ROLE_ROOT) && (folder.name == name || folder.id == name)
        };
        let mut roots = folders.iter().filter(is_meant);
        let Some(root) = roots.next() else {
            let why = "this account and client see no such folder of ours".to_owned();
            return Err(Error::WrongPlace { place: place(), why });
        };
        let others: Vec<String> = roots.map(|root| root.id.clone()).collect();
        if !others.is_empty() {
            let ids = [vec![root.id.clone()], others].concat();
            return Err(Error::SetUp { place: place(), why: SetUp::SeveralFolders { ids } });
        }
        let project = root.app_properties.get(PROJECT).cloned().unwrap_or_default();
        same_project(&project, account, &place())?;
        let mut state = self.lock();
        state.kept = Kept {
            name: name.to_owned(),
            root: root.id.clone(),
            root_made: true,
            project,
            shelves: Vec::new(),
        };
        state.looked = None;
        Ok(())
    }

    /// Makes the root and one shelf of each kind; what was made before is gone on with.
    pub fn make(
        &self,
        local: &Local,
        (drive, journal): (&Drive, &Journal),
        account: &Account,
        name: &str,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        if state.kept.root.is_empty() || state.kept.name != name {
            let root = journal.take_id(local, drive)?;
            let project = account.client.project().to_owned();
            state.kept = Kept { name: name.to_owned(), root, project, ..Kept::default() };
            save(local, &state.kept)?;
        }
        if !state.kept.root_made {
            let kept = &state.kept;
            drive.create_folder(&root_metadata(&kept.root, name, &kept.project))?;
            state.kept.root_made = true;
            save(local, &state.kept)?;
        }
        for folder in Folder::ALL {
            let has_one = state.kept.shelves.iter().any(|shelf| shelf.is_ready(folder));
            if !has_one {
                let _ = add_shelf(&mut state.kept, local, (drive, journal), folder)?;
            }
        }
        Ok(())
    }

    /// Returns the shelf that the next object goes to, making one if none has room.
    pub fn for_next(
        &self,
        local: &Local,
        (drive, journal): (&Drive, &Journal),
        folder: Folder,
        count: usize,
    ) -> Result<String, Error> {
        let mut state = self.lock();
        let of_folder = || state.kept.shelves.iter().filter(|shelf| shelf.is_ready(folder));
        let room = of_folder().count().saturating_mul(self.objects_max);
        if count < room
            && let Some(shelf) = of_folder().rev().find(|shelf| !shelf.full)
        {
            return Ok(shelf.id.clone());
        }
        add_shelf(&mut state.kept, local, (drive, journal), folder)
    }

    /// Notes that the store takes no more into the shelf.
    pub fn is_full(&self, local: &Local, id: &str) -> Result<(), Error> {
        let mut state = self.lock();
        state.kept.shelves.iter_mut().filter(|shelf| shelf.id == id).for_each(|s| s.full = true);
        save(local, &state.kept)
    }

    /// Notes that the shelf is gone, deleted by someone.
    ///
    /// # Errors
    /// [`Error::WrongPlace`] if the root is gone too.
    pub fn is_gone(&self, local: &Local, drive: &Drive, id: &str) -> Result<(), Error> {
        let mut state = self.lock();
        if drive.file(&state.kept.root)?.is_none() {
            let why = "the folder was deleted".to_owned();
            return Err(Error::WrongPlace { place: drive.place().to_owned(), why });
        }
        state.kept.shelves.retain(|shelf| shelf.id != id);
        save(local, &state.kept)
    }

    /// Returns the shelves of a folder, those of other machines too.
    ///
    /// Only packs are ever so many that a further shelf is made; so only for them the store is
    /// asked again, and a run that looks for tombstones pays one request, not two.
    pub fn of_folder(
        &self,
        drive: &Drive,
        clock: &dyn Clock,
        folder: Folder,
    ) -> Result<Vec<String>, Error> {
        let mut state = self.lock();
        let now = clock.elapsed();
        let is_old = state.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_AGAIN);
        let has_none = !state.kept.shelves.iter().any(|shelf| shelf.is_ready(folder));
        if is_old && (has_none || folder == Folder::Packs) {
            for child in drive.children(&state.kept.root)? {
                state.kept.adopt(&child);
            }
            state.looked = Some(now);
        }
        let ready = state.kept.shelves.iter().filter(|shelf| shelf.is_ready(folder));
        Ok(ready.map(|shelf| shelf.id.clone()).collect())
    }

    /// The id of the folder itself.
    pub fn root(&self) -> String {
        self.lock().kept.root.clone()
    }

    /// Keeps what is known between runs.
    pub fn save(&self, local: &Local) -> Result<(), Error> {
        save(local, &self.lock().kept)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Takes note of a shelf that the store has.
    fn adopt(&mut self, child: &Remote) {
        let Some(role) = child.role().filter(|_| child.mime_type == remote::FOLDER_TYPE) else {
            return;
        };
        match self.shelves.iter_mut().find(|shelf| shelf.id == child.id) {
            Some(shelf) => shelf.made = true,
            None => self.shelves.push(Shelf {
                folder: role.to_owned(),
                id: child.id.clone(),
                made: true,
                // Nothing new goes where people have thrown things away, but it is still listed.
                full: child.trashed,
            }),
        }
    }
}

impl Shelf {
    fn is_ready(&self, folder: Folder) -> bool {
        self.made && self.folder == folder.as_str()
    }
}

/// Makes a shelf, or ends the making of one that was begun.
fn add_shelf(
    kept: &mut Kept,
    local: &Local,
    (drive, journal): (&Drive, &Journal),
    folder: Folder,
) -> Result<String, Error> {
    let begun = |shelf: &&mut Shelf| !shelf.made && shelf.folder == folder.as_str();
    if kept.shelves.iter_mut().find(begun).is_none() {
        let id = journal.take_id(local, drive)?;
        let folder = folder.as_str().to_owned();
        kept.shelves.push(Shelf { folder, id, made: false, full: false });
        save(local, kept)?;
    }
    let earlier = kept.shelves.iter().filter(|shelf| shelf.is_ready(folder)).count();
    let name = match earlier {
        0 => folder.as_str().to_owned(),
        _ => format!("{}-{}", folder.as_str(), earlier + 1),
    };
    let shelf = kept.shelves.iter_mut().find(begun).expect("one was begun just above");
    drive.create_folder(&shelf_metadata(&shelf.id, &kept.root, &name, folder))?;
    shelf.made = true;
    let id = shelf.id.clone();
    save(local, kept)?;
    Ok(id)
}

fn save(local: &Local, kept: &Kept) -> Result<(), Error> {
    let bytes = serde_json::to_vec_pretty(kept).expect("strings always become JSON");
    local.write(&local.dir, FILE, &bytes)
}

fn same_project(remembered: &str, account: &Account, place: &str) -> Result<(), Error> {
    let given = account.client.project();
    if remembered.is_empty() || remembered == given {
        return Ok(());
    }
    let (remembered, given) = (remembered.to_owned(), given.to_owned());
    let why = SetUp::OtherClient { remembered, given };
    Err(Error::SetUp { place: place.to_owned(), why })
}
