#![expect(clippy::disallowed_methods, reason = "does harm to the files of an index")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use super::*;
use crate::index::conformance::{self, added, chunk};

fn scratch() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    (folder, path)
}

/// All that an index says.
#[derive(Debug, PartialEq, Eq)]
struct Answers {
    located: BTreeMap<ChunkId, Vec<Location>>,
    packs: Vec<PackEntry>,
    applied: Vec<ObjectId>,
}

fn answers(index: &dyn Index) -> Result<Answers, Error> {
    let mut ids = Vec::new();
    index.for_each(&mut |id, _| {
        ids.push(*id);
        true
    })?;
    let mut located = BTreeMap::new();
    for (id, location) in ids.iter().zip(index.locate(&ids)?) {
        let mut copies = index.copies(id)?;
        copies.sort();
        assert!(copies.contains(&location.unwrap()));
        let _ = located.insert(*id, copies);
    }
    assert_eq!(index.locate(&[chunk(u32::MAX)])?, [None]);
    Ok(Answers { located, packs: index.packs()?, applied: index.applied()? })
}

#[test]
fn the_files_are_for_their_owner_alone() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, path) = scratch();
    for round in 0..2 {
        let mut writer = RocksWriter::open(&path).unwrap();
        writer.apply(&added(&[(round, &[1, 2])])).unwrap();
        drop(writer);

        let files = fs::read_dir(&path).unwrap().map(Result::unwrap);
        let mode = |file: &fs::DirEntry| file.metadata().unwrap().mode() & 0o777;
        let shared: Vec<_> = files.filter(|file| mode(file) != 0o600).collect();
        assert!(shared.is_empty(), "{shared:?}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_writer_keeps_the_contract() {
    let (_folder, path) = scratch();
    conformance::check(&mut RocksWriter::open(&path).unwrap());
}

#[test]
fn what_was_written_is_read_by_the_next_to_open() {
    let (_folder, path) = scratch();
    let mut writer = RocksWriter::open(&path).unwrap();
    conformance::check(&mut writer);
    let written = answers(&writer).unwrap();
    drop(writer);

    assert_eq!(answers(&RocksReader::open(&path).unwrap()).unwrap(), written);
    assert_eq!(answers(&RocksWriter::open(&path).unwrap()).unwrap(), written);
}

#[test]
fn a_reader_keeps_its_state_while_writers_change_and_tidy_up() {
    let (_folder, path) = scratch();
    RocksWriter::open(&path).unwrap().apply(&added(&[(1, &[1, 2, 3])])).unwrap();
    let reader = RocksReader::open(&path).unwrap();
    let before = answers(&reader).unwrap();

    for number in 2..40 {
        let mut writer = RocksWriter::open(&path).unwrap();
        writer.apply(&added(&[(number, &[u32::from(number) * 10, 1])])).unwrap();
    }

    assert_eq!(answers(&reader).unwrap(), before);
    let now = answers(&RocksReader::open(&path).unwrap()).unwrap();
    assert_eq!((now.packs.len(), now.located.len(), now.located[&chunk(1)].len()), (39, 41, 39));
    let tables = fs::read_dir(&path).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "sst")
    });
    assert!(tables.count() <= 10, "small runs are merged");
}

#[test]
fn a_reader_that_opens_while_a_writer_tidies_up_sees_no_damage() {
    let (_folder, path) = scratch();
    drop(RocksWriter::open(&path).unwrap());
    let writing = std::sync::atomic::AtomicBool::new(true);

    std::thread::scope(|scope| {
        let _writer = scope.spawn(|| {
            for number in 0..60 {
                let mut writer = RocksWriter::open(&path);
                while matches!(writer, Err(Error::Locked)) {
                    writer = RocksWriter::open(&path);
                }
                writer.unwrap().apply(&added(&[(number, &[u32::from(number)])])).unwrap();
            }
            writing.store(false, std::sync::atomic::Ordering::SeqCst);
        });
        let mut packs = 0;
        while writing.load(std::sync::atomic::Ordering::SeqCst) {
            match RocksReader::open(&path) {
                Ok(reader) => {
                    let seen = answers(&reader).unwrap().packs.len();
                    assert!(seen >= packs, "time went back");
                    packs = seen;
                }
                Err(Error::Locked) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });

    assert_eq!(RocksReader::open(&path).unwrap().packs().unwrap().len(), 60);
}

#[test]
fn a_second_writer_is_locked_out_and_readers_are_not() {
    let (_folder, path) = scratch();
    let mut writer = RocksWriter::open(&path).unwrap();
    writer.apply(&added(&[(1, &[1])])).unwrap();

    assert!(matches!(RocksWriter::open(&path), Err(Error::Locked)));
    assert_eq!(RocksReader::open(&path).unwrap().packs().unwrap().len(), 1);

    drop(writer);
    let _writer = RocksWriter::open(&path).unwrap();
}

#[test]
fn the_ordinal_of_a_forgotten_pack_is_not_used_again() {
    let (_folder, path) = scratch();
    let packs: Vec<(u8, &[u32])> = (1..=20).map(|number| (number, [7].as_slice())).collect();
    RocksWriter::open(&path).unwrap().apply(&added(&packs)).unwrap();
    let remove = Batch { remove: vec![PackId([20; 32])], ..Batch::default() };
    RocksWriter::open(&path).unwrap().apply(&remove).unwrap();

    RocksWriter::open(&path).unwrap().apply(&added(&[(30, &[8])])).unwrap();

    let reader = RocksReader::open(&path).unwrap();
    assert_eq!(reader.0.state.unswept, 1);
    assert_eq!(reader.copies(&chunk(7)).unwrap().len(), 19);
    assert!(reader.copies(&chunk(7)).unwrap().iter().all(|copy| copy.pack.0[0] < 20));
}

#[test]
fn what_points_to_many_forgotten_packs_is_swept() {
    let (_folder, path) = scratch();
    let mut writer = RocksWriter::open(&path).unwrap();
    writer.apply(&added(&[(1, &[1, 2]), (2, &[2, 3]), (3, &[4])])).unwrap();

    writer
        .apply(&Batch { remove: vec![PackId([1; 32]), PackId([3; 32])], ..Batch::default() })
        .unwrap();

    assert_eq!(writer.contents.state.unswept, 0);
    let value = |number| writer.contents.values(&[entry::id_key(CHUNK, &chunk(number).0)]).unwrap();
    assert_eq!(value(1), [None]);
    assert_eq!(value(2)[0].as_ref().unwrap().len(), entry::PLACE_BYTES);
    assert_eq!(writer.copies(&chunk(3)).unwrap().len(), 1);
}

#[test]
fn an_index_of_another_layout_is_damaged() {
    let (_folder, path) = scratch();
    drop(RocksWriter::open(&path).unwrap());
    let db = options::open_exclusive(&path).unwrap();
    db.put(STATE_KEY, [9; 12]).unwrap();
    drop(db);

    assert!(matches!(RocksReader::open(&path), Err(Error::Damaged { .. })));
    assert!(matches!(RocksWriter::open(&path), Err(Error::Damaged { .. })));
}

#[test]
fn no_index_is_damaged_for_a_reader() {
    let (_folder, path) = scratch();

    assert!(matches!(RocksReader::open(&path), Err(Error::Damaged { .. })));
    assert!(!path.exists());
}

/// An index of a few runs in files, and what it said after each of them.
fn sample() -> (tempfile::TempDir, PathBuf, Vec<Answers>) {
    let (folder, path) = scratch();
    let mut states = Vec::new();
    for number in 1..=5u8 {
        let chunks: Vec<u32> = (0..300).map(|at| at * u32::from(number)).collect();
        let mut batch = added(&[(number, &chunks)]);
        batch.applied.push(ObjectId([number; 32]));
        let mut writer = RocksWriter::open(&path).unwrap();
        writer.apply(&batch).unwrap();
        states.push(answers(&writer).unwrap());
    }
    (folder, path, states)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let _ = fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Does harm to one file in every way, and returns how often and how often it was noticed.
fn harm(pristine: &Path, file: &std::ffi::OsStr, states: &[Answers]) -> (usize, usize) {
    let content = fs::read(pristine.join(file)).unwrap();
    let mut harms: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new())];
    for cut in [1, content.len() / 2, content.len().saturating_sub(1)] {
        harms.push(Some(content[..cut.min(content.len())].to_vec()));
    }
    for at in (0..content.len()).step_by((content.len() / 50).max(1)) {
        let mut flipped = content.clone();
        flipped[at] ^= 1 << (at % 8);
        harms.push(Some(flipped));
    }
    let mut noticed = 0;
    for harmed in &harms {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("index");
        copy_folder(pristine, &path);
        match harmed {
            None => fs::remove_file(path.join(file)).unwrap(),
            Some(bytes) => fs::write(path.join(file), bytes).unwrap(),
        }
        let opened: [Box<dyn Fn() -> Result<Answers, Error>>; 2] = [
            Box::new(|| answers(&RocksReader::open(&path)?)),
            Box::new(|| answers(&RocksWriter::open(&path)?)),
        ];
        for open in opened {
            match open() {
                Ok(answers) => assert!(states.contains(&answers), "{file:?} misleads"),
                Err(Error::Damaged { .. }) => noticed += 1,
                Err(Error::Locked) => panic!("nobody else is there"),
            }
        }
    }
    (harms.len(), noticed)
}

#[test]
fn no_harm_to_any_file_leads_to_a_wrong_answer() {
    let (_folder, path, states) = sample();
    let mut total = (0, 0);
    for entry in fs::read_dir(&path).unwrap() {
        let file = entry.unwrap().file_name();
        let (harms, noticed) = harm(&path, &file, &states);
        total = (total.0 + harms, total.1 + noticed);
        println!("{}: {harms} harms, noticed {noticed} times of {}", file.display(), 2 * harms);
    }
    println!("in all: {} harms, noticed {} times of {}", total.0, total.1, 2 * total.0);
    assert!(total.1 > 300, "the harm is real");
}
