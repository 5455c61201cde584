//! What happens when objects of a repository, or files of the local index, are damaged.
//!
//! The oracle after every damage: what is not affected restores bit for bit, what is affected is
//! told, nothing panics, and the next backup works with no manual step and restores whole.

use std::{fs, path::Path, sync::Arc};

use stillpoint::{
    backend::{Backend, ObjectName, memory::MemoryBackend},
    disk::RealDisk,
    repo::{
        self, Repository,
        check::{self, Depth, verify_object},
    },
};

use crate::{
    harness::in_parallel,
    shop::{self, Content, KEY, Shop, open},
};

/// A repository with three snapshots, and what each must restore to.
pub struct Scene {
    pub shop: Shop,
    pub backend: MemoryBackend,
    pub state: tempfile::TempDir,
    pub contents: Vec<Content>,
}

impl Scene {
    pub fn new() -> Self {
        let shop = Shop::open();
        let backend = MemoryBackend::new();
        let state = tempfile::tempdir_in(shop::scratch()).unwrap();
        let env = shop::environment(Arc::new(backend.clone()), Arc::new(RealDisk), state.path());
        let repo = Repository::create(env, &[(KEY, "key".to_owned())]).unwrap();
        let mut contents = Vec::new();
        for round in 0..3 {
            shop.sell(round * 3);
            contents.push(shop.content());
            assert!(shop.back_up(&repo).unwrap().is_complete());
        }
        Self { shop, backend, state, contents }
    }

    /// The same repository in other hands, which may do harm to it.
    pub fn copied(&self) -> MemoryBackend {
        self.backend.copied()
    }

    /// Opens a repository with a state folder of its own, or with that of the scene.
    pub fn open(&self, backend: &MemoryBackend, state: &Path) -> Result<Repository, repo::Error> {
        open(Arc::new(backend.clone()), state)
    }
}

#[test]
fn every_flipped_bit_of_every_object_is_noticed() {
    let scene = Scene::new();
    let backend = scene.copied();
    let repo = scene.open(&backend, scene.state.path()).unwrap();
    let mut flips = 0_u64;

    for name in backend.names() {
        let whole = backend.get(&name, u64::MAX).unwrap();
        verify_object(&repo, &name).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            backend.tamper(&name, flipped);
            assert!(verify_object(&repo, &name).is_err(), "bit {bit} of {name} went unnoticed");
            flips += 1;
        }
        backend.tamper(&name, whole);
    }

    println!("{flips} bits flipped, all noticed");
    assert!(flips > 100_000, "{flips}");
}

/// Places of an object that are harmed one by one, and the length of the piece there.
const PLACES: usize = 16;
const PIECE_BYTES: usize = 16;

/// What may befall an object.
#[derive(Debug, Clone)]
pub enum Damage {
    Delete,
    Flip(usize),
    Truncate(usize),
    Zero,
    /// Zeros from here on, as many as one write was long.
    Unwritten(usize),
    /// These two pieces, of one length, in each other's place.
    Exchanged(usize, usize),
    Extend,
    ReplaceBy(ObjectName),
}

impl Damage {
    pub fn all(backend: &MemoryBackend, name: &ObjectName, bytes: usize) -> Vec<Self> {
        let mut all = vec![Self::Delete, Self::Zero, Self::Extend];
        all.extend([0, 1, 87, 88, bytes / 2, bytes - 1].map(Self::Truncate));
        // The two copies of an object are the same bytes.
        let whole = backend.get(name, u64::MAX).unwrap();
        let mut names = backend.names();
        names.retain(|other| backend.get(other, u64::MAX).unwrap() != whole);
        let same_kind = names.iter().find(|n| n.folder() == name.folder());
        let other_kind = names.iter().find(|n| n.folder() != name.folder());
        all.extend(same_kind.into_iter().chain(other_kind).cloned().map(Self::ReplaceBy));
        all
    }

    /// Pieces that were cut off, never written, or written to each other's place.
    fn of_pieces(whole: &[u8]) -> Vec<Self> {
        let places = (0..PLACES).map(|place| place * whole.len() / PLACES);
        let mut all: Vec<Self> = places.clone().map(Self::Truncate).collect();
        all.extend(places.clone().map(Self::Unwritten));
        let pieces: Vec<usize> = places.filter(|at| at + PIECE_BYTES <= whole.len()).collect();
        let pairs = pieces.windows(2).filter(|pair| pair[0] + PIECE_BYTES <= pair[1]);
        all.extend(pairs.map(|pair| Self::Exchanged(pair[0], pair[1])));
        // Zeros in the place of zeros are no damage.
        all.retain(|damage| !damage.changes_nothing(whole));
        all
    }

    fn changes_nothing(&self, whole: &[u8]) -> bool {
        let piece = |at: usize| &whole[at..(at + PIECE_BYTES).min(whole.len())];
        match self {
            Self::Unwritten(from) => piece(*from).iter().all(|byte| *byte == 0),
            Self::Exchanged(first, second) => piece(*first) == piece(*second),
            _ => false,
        }
    }

    pub fn inflict(&self, backend: &MemoryBackend, name: &ObjectName) {
        let bytes = backend.get(name, u64::MAX).unwrap();
        let damaged = match self {
            Self::Delete => return backend.delete(name).unwrap(),
            Self::Truncate(bytes_left) => bytes[..*bytes_left].to_vec(),
            Self::Flip(at) => {
                let mut flipped = bytes;
                flipped[*at] ^= 0x10;
                flipped
            }
            Self::Zero => vec![0; bytes.len()],
            Self::Unwritten(from) => {
                let mut unwritten = bytes;
                let end = (from + PIECE_BYTES).min(unwritten.len());
                unwritten[*from..end].fill(0);
                unwritten
            }
            Self::Exchanged(first, second) => {
                let mut exchanged = bytes;
                for at in 0..PIECE_BYTES {
                    exchanged.swap(first + at, second + at);
                }
                exchanged
            }
            Self::Extend => [bytes, vec![0; 7]].concat(),
            Self::ReplaceBy(other) => backend.get(other, u64::MAX).unwrap(),
        };
        backend.tamper(name, damaged);
    }
}

#[test]
fn every_damaged_object_is_told_and_the_next_backup_heals() {
    let scene = Scene::new();
    let mut cases = Vec::new();
    for name in scene.backend.names() {
        let whole = scene.backend.get(&name, u64::MAX).unwrap();
        let mut damages = Damage::all(&scene.backend, &name, whole.len());
        damages.extend(Damage::of_pieces(&whole));
        cases.extend(damages.into_iter().map(|damage| (name.clone(), damage)));
    }

    in_parallel(cases.len(), |at| {
        let (name, damage) = &cases[at];
        // With the state that was there before, and on a machine that never saw the repository.
        for is_fresh in [false, true] {
            let backend = scene.copied();
            damage.inflict(&backend, name);
            let fresh = tempfile::tempdir_in(shop::scratch()).unwrap();
            if !is_fresh {
                copy_folder(scene.state.path(), fresh.path());
            }
            // That a cache is gone harms nobody, and nobody can know that it was there.
            let is_harmless = matches!((damage, name), (Damage::Delete, ObjectName::Index { .. }));
            let case = format!("{damage:?} of {name}, fresh state: {is_fresh}");
            survive(&scene, &backend, fresh.path(), (&case, is_harmless));
        }
    });

    println!("{} damaged repositories, all told and healed", 2 * cases.len());
}

fn survive(
    scene: &Scene,
    backend: &MemoryBackend,
    state: &Path,
    (case, is_harmless): (&str, bool),
) {
    let repo = scene.open(backend, state).unwrap_or_else(|error| panic!("{case}: {error}"));
    let mut told = 0;
    check::run(&repo, Depth::Data, &mut |event| {
        told += usize::from(!event.is_progress());
    })
    .unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(told > 0 || is_harmless, "{case}: the check says nothing");
    for snapshot in repo.snapshots().unwrap().snapshots {
        let expected = &scene.contents[snapshot.record.counter as usize - 1];
        let (content, is_complete) = shop::restore(&repo, &snapshot).unwrap();
        if is_complete {
            assert_eq!(content, *expected, "{case}");
        }
        // What did come back is right, whatever is missing.
        for (name, value) in &content {
            assert_eq!(expected.get(name), Some(value), "{case}: {name}");
        }
    }
    let report = scene.shop.back_up(&repo).unwrap_or_else(|error| panic!("{case}: {error}"));
    let snapshot = report.snapshot.unwrap_or_else(|| panic!("{case}: nothing was saved"));
    let (content, is_complete) = shop::restore(&repo, &snapshot).unwrap();
    assert!(is_complete, "{case}: the backup after it does not restore");
    assert_eq!(content, scene.shop.content(), "{case}");
}

#[test]
#[cfg(feature = "rocks")]
fn every_damaged_file_of_the_local_index_is_made_up_for() {
    let scene = Scene::new();
    let index = index_folder(scene.state.path());
    let names: Vec<_> =
        fs::read_dir(&index).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let mut cases = 0;

    for name in &names {
        for damage in ["delete", "truncate", "flip", "zero"] {
            let state = tempfile::tempdir_in(shop::scratch()).unwrap();
            copy_folder(scene.state.path(), state.path());
            let path = index_folder(state.path()).join(name);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "delete" => fs::remove_file(&path).unwrap(),
                "truncate" => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                "zero" => fs::write(&path, vec![0; bytes.len()]).unwrap(),
                _ => {
                    let middle = bytes.len() / 2;
                    bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 0x10);
                    fs::write(&path, &bytes).unwrap();
                }
            }
            let case = format!("{damage} of {}", name.display());
            let backend = scene.copied();
            let repo = scene.open(&backend, state.path()).unwrap();
            for snapshot in repo.snapshots().unwrap().snapshots {
                let (content, is_complete) = shop::restore(&repo, &snapshot).unwrap();
                let expected = &scene.contents[snapshot.record.counter as usize - 1];
                assert!(is_complete && content == *expected, "{case}");
            }
            assert!(scene.shop.back_up(&repo).unwrap().is_complete(), "{case}");
            assert_eq!(repo.snapshots().unwrap().snapshots.len(), 4, "{case}");
            cases += 1;
        }
    }

    println!("{cases} damaged local indexes, none of them mattered");
}

#[cfg(feature = "rocks")]
fn index_folder(state: &Path) -> std::path::PathBuf {
    let repository = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().path());
    repository.map(|path| path.join("index")).find(|path| path.is_dir()).unwrap()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            let _ = fs::copy(entry.path(), target).unwrap();
        }
    }
}
