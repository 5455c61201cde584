//! What every backend must pass: the contract of [`Backend`], spoken as tests.
//!
//! Not a test itself, so that backends whose counterpart is another program can be put to it too.

#![expect(clippy::unwrap_used, reason = "what breaks the contract ends the test that asks")]

use std::thread;

use super::{Backend, Error, Folder, Listed, ObjectName, name::Copy};
use crate::id::{ObjectId, PackId, SnapshotId};

/// Checks the whole contract on an empty backend.
pub fn check(backend: &dyn Backend) {
    an_empty_backend_lists_nothing(backend);
    every_kind_of_object_comes_back_whole(backend);
    ranges_are_exact_or_an_error(backend);
    a_taken_name_is_refused_and_left_alone(backend);
    an_object_without_bytes_is_refused(backend);
    pieces_join_whatever_their_sizes(backend);
    an_absent_object_is_missing(backend);
    deleting_is_final_and_may_be_repeated(backend);
    what_is_set_aside_is_kept_under_its_former_name(backend);
    the_right_bytes_take_the_place_of_damaged_ones(backend);
    of_many_writers_of_one_name_one_wins(backend);
}

fn pack(seed: u8) -> ObjectName {
    ObjectName::Pack(PackId([seed; 32]))
}

fn one_of_each_kind() -> Vec<ObjectName> {
    let id = ObjectId([0xb7; 32]);
    let snapshot = SnapshotId([0xc1; 32]);
    let mut names = vec![
        ObjectName::Pack(PackId([0xd2; 32])),
        ObjectName::Index { sequence: 7, id },
        ObjectName::Pending(snapshot),
        ObjectName::Snapshot(snapshot),
        ObjectName::Tombstone(id),
        ObjectName::Forgotten(id),
        ObjectName::Pinned(id),
        ObjectName::Parity(id),
    ];
    for copy in Copy::BOTH {
        names.push(ObjectName::Descriptor { generation: 1, copy });
        names.push(ObjectName::Slot { id, copy });
        names.push(ObjectName::Ring { generation: 1, id, copy });
    }
    names
}

fn an_empty_backend_lists_nothing(backend: &dyn Backend) {
    for folder in Folder::ALL {
        let listing = backend.list(folder).unwrap();
        assert!(listing.objects.is_empty() && listing.foreign.is_empty(), "{folder:?}");
    }
}

fn every_kind_of_object_comes_back_whole(backend: &dyn Backend) {
    for name in one_of_each_kind() {
        let content = name.to_string().into_bytes();
        let bytes = content.len() as u64;

        backend.put_new(&name, &[&content]).unwrap();

        assert_eq!(backend.get(&name, bytes).unwrap(), content);
        assert_eq!(backend.size(&name).unwrap(), bytes);
        let listed = Listed { name: name.clone(), bytes };
        assert!(backend.list(name.folder()).unwrap().objects.contains(&listed));
    }
    let listed: usize =
        Folder::ALL.iter().map(|folder| backend.list(*folder).unwrap().objects.len()).sum();
    assert_eq!(listed, one_of_each_kind().len());
}

fn ranges_are_exact_or_an_error(backend: &dyn Backend) {
    let name = pack(1);
    backend.put_new(&name, &[b"0123456789"]).unwrap();

    assert_eq!(backend.get_range(&name, 0..10).unwrap(), b"0123456789");
    assert_eq!(backend.get_range(&name, 3..5).unwrap(), b"34");
    assert_eq!(backend.get_range(&name, 10..10).unwrap(), b"");
    for range in [5..11, 10..11, 100..101, 0..1 << 20] {
        let error = backend.get_range(&name, range).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { bytes: 10, .. }), "{error:?}");
    }
    let error = backend.get(&name, 9).unwrap_err();
    assert!(matches!(error, Error::OutOfRange { bytes: 10, wanted: 9, .. }), "{error:?}");
}

fn a_taken_name_is_refused_and_left_alone(backend: &dyn Backend) {
    let name = pack(2);
    backend.put_new(&name, &[b"first"]).unwrap();

    for content in [b"first".as_slice(), b"second"] {
        let error = backend.put_new(&name, &[content]).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    }

    assert_eq!(backend.get(&name, 100).unwrap(), b"first");
}

fn an_object_without_bytes_is_refused(backend: &dyn Backend) {
    let name = pack(3);

    assert!(backend.put_new(&name, &[]).is_err());
    assert!(backend.put_new(&name, &[b"", b""]).is_err());

    let error = backend.get(&name, 100).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error:?}");
}

fn pieces_join_whatever_their_sizes(backend: &dyn Backend) {
    let name = pack(4);
    let large: Vec<u8> = (0..5_000_000u32).map(|i| (i % 251) as u8).collect();
    let pieces: [&[u8]; 6] = [b"head", &large, b"", &large[..70_000], &large[..1], b"tail"];

    backend.put_new(&name, &pieces).unwrap();

    let whole = pieces.concat();
    assert_eq!(backend.get(&name, u64::MAX).unwrap(), whole);
    let at = 4_999_990..5_000_010;
    assert_eq!(
        backend.get_range(&name, at.clone()).unwrap(),
        whole[at.start as usize..at.end as usize]
    );
}

fn an_absent_object_is_missing(backend: &dyn Backend) {
    let name = pack(5);

    for error in [
        backend.get(&name, 100).unwrap_err(),
        backend.get_range(&name, 0..1).unwrap_err(),
        backend.size(&name).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Missing { .. }), "{error:?}");
        assert!(!error.is_retryable());
    }
}

fn deleting_is_final_and_may_be_repeated(backend: &dyn Backend) {
    let (name, other) = (pack(6), pack(7));
    backend.put_new(&name, &[b"gone"]).unwrap();
    backend.put_new(&other, &[b"kept"]).unwrap();
    assert_eq!(backend.get_range(&name, 0..4).unwrap(), b"gone");

    backend.delete(&name).unwrap();
    backend.delete_all(&[name.clone(), name.clone()]).unwrap();

    assert!(matches!(backend.get_range(&name, 0..4), Err(Error::Missing { .. })));
    assert!(backend.list(Folder::Packs).unwrap().objects.iter().all(|listed| listed.name != name));
    assert_eq!(backend.get(&other, 4).unwrap(), b"kept");
    backend.put_new(&name, &[b"back"]).unwrap();
    assert_eq!(backend.get_range(&name, 0..4).unwrap(), b"back");
}

fn what_is_set_aside_is_kept_under_its_former_name(backend: &dyn Backend) {
    let name = pack(8);
    let aside = |turn| ObjectName::Quarantined { former: Box::new(name.clone()), turn };
    for (turn, content) in [(1, b"first"), (2, b"other")] {
        backend.put_new(&name, &[content]).unwrap();

        assert_eq!(backend.set_aside(&name).unwrap(), Some(aside(turn)));

        assert!(matches!(backend.get(&name, 5), Err(Error::Missing { .. })));
        assert_eq!(backend.get(&aside(turn), 5).unwrap(), content);
        let listed = Listed { name: aside(turn), bytes: 5 };
        assert!(backend.list(Folder::Quarantine).unwrap().objects.contains(&listed));
    }
    assert_eq!(backend.set_aside(&name).unwrap(), None);
}

fn the_right_bytes_take_the_place_of_damaged_ones(backend: &dyn Backend) {
    let name = pack(9);
    let aside = |turn| ObjectName::Quarantined { former: Box::new(name.clone()), turn };
    assert_eq!(backend.replace(&name, b"right").unwrap(), None);
    for (turn, damaged) in [(1, b"wrong"), (2, b"other")] {
        backend.delete(&name).unwrap();
        backend.put_new(&name, &[damaged]).unwrap();

        assert_eq!(backend.replace(&name, b"right").unwrap(), Some(aside(turn)));

        assert_eq!(backend.get(&name, 5).unwrap(), b"right");
        assert_eq!(backend.get(&aside(turn), 5).unwrap(), damaged);
    }
    backend.delete(&name).unwrap();
}

fn of_many_writers_of_one_name_one_wins(backend: &dyn Backend) {
    let name = pack(8);
    let contents: Vec<Vec<u8>> = (0..8u8).map(|writer| vec![writer; 100_000]).collect();

    let won: Vec<bool> = thread::scope(|scope| {
        let writers: Vec<_> = contents
            .iter()
            .map(|content| scope.spawn(|| backend.put_new(&name, &[content]).is_ok()))
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });

    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let winner = won.iter().position(|won| *won).unwrap();
    assert_eq!(backend.get(&name, 100_000).unwrap(), contents[winner]);
}
