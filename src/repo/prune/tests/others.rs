//! What other writers and deleters left behind, or do while a prune works.

use super::*;
use crate::{
    crypto::object::seal_object,
    format::{envelope::Kind, tombstone::Tombstone},
    id::{ObjectId, PackId},
    repo::Snapshot,
};

/// Publishes what a snapshot holds once more, as a record of this kind.
fn publish_again(repo: &Repository, snapshot: &Snapshot, kind: Kind) -> ObjectName {
    let id = SnapshotId([7; 32]);
    let name = match kind {
        Kind::Pending => ObjectName::Pending(id),
        _ => ObjectName::Snapshot(id),
    };
    let sealed = seal_object(repo.keys(), kind, &id.0, &snapshot.record.encode().unwrap());
    repo.env.backend.put_new(&name, &[&sealed]).unwrap();
    name
}

/// The tombstone of a deleter that died, which names these.
fn condemn_and_die(fixture: &Fixture, packs: Vec<PackId>, snapshots: Vec<SnapshotId>) -> ObjectId {
    let (dead, _state) = fixture.open_elsewhere();
    let naming = explain::naming(&dead, snapshots).unwrap();
    condemn::put(&dead, &Tombstone { packs, ..naming }).unwrap()
}

fn all_packs(repo: &Repository) -> Vec<PackId> {
    repo.catalogue().unwrap().packs().keys().copied().collect()
}

#[test]
fn what_a_record_reaches_that_appears_before_the_second_look_stays() {
    for kind in [Kind::Pending, Kind::Snapshot] {
        let fixture = Fixture::new();
        let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
        let _ = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
        forget(&fixture.open(), first.id);
        let repo = fixture.open();

        let report = prune(&repo, &AT_ONCE, &mut |event| {
            if matches!(event, PruneEvent::Step { step: PruneStep::Delete, .. }) {
                let _ = publish_again(&repo, &first, kind);
            }
        })
        .unwrap();

        assert_eq!((report.packs_deleted, report.rescinded), (0, 1), "{kind:?}");
        assert_eq!(fixture.count(Folder::Packs), 2);
        read_all(&fixture.open(), &chunks(0..20));
    }
}

#[test]
fn a_pending_record_that_lacks_data_or_is_withdrawn_meanwhile_stops_no_prune() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let second = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    forget(&fixture.open(), first.id);
    assert_eq!(prune_now(&fixture.open(), &AT_ONCE).packs_deleted, 1);
    let backend = fixture.env.backend.as_ref();

    // Its packs are gone: its run was told so by their tombstone, and will withdraw it.
    let pending = publish_again(&fixture.open(), &first, Kind::Pending);
    let (elsewhere, _state) = fixture.open_elsewhere();
    let _ = prune_now(&elsewhere, &AT_ONCE);
    assert!(backend.size(&pending).is_ok());
    let _ = prune(&elsewhere, &AT_ONCE, &mut |event| {
        if matches!(event, PruneEvent::Step { step: PruneStep::Mark, .. }) {
            backend.delete(&pending).unwrap();
        }
    })
    .unwrap();

    assert_eq!(fixture.open().snapshots().unwrap().snapshots, [second]);
    read_all(&fixture.open(), &chunks(10..20));
}

#[test]
fn a_pending_record_that_is_there_and_cannot_be_read_ends_a_prune() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let _ = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    forget(&fixture.open(), first.id);
    let pending = publish_again(&fixture.open(), &first, Kind::Pending);
    damage(fixture.env.backend.as_ref(), &pending);

    let refused = prune(&fixture.open(), &AT_ONCE, &mut |_| ());

    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert_eq!(fixture.count(Folder::Packs), 2);
}

#[test]
fn what_lives_in_a_pack_that_a_dead_deleter_condemned_moves_out_of_it() {
    let fixture = Fixture::new();
    let _ = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let condemned = all_packs(&fixture.open());
    let _ = condemn_and_die(&fixture, condemned.clone(), Vec::new());

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!((report.packs_rewritten, report.packs_deleted), (1, 1));
    assert!(!fixture.open().catalogue().unwrap().packs().contains_key(&condemned[0]));
    assert_eq!(fixture.count(Folder::Tombstones), 0);
    read_all(&fixture.open(), &chunks(0..10));
    assert_sound(&fixture.open());
}

#[test]
fn a_snapshot_that_a_dead_deleter_took_away_in_part_goes_with_what_is_left_of_it() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let packs = all_packs(&fixture.open());
    let second = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    let _ = condemn_and_die(&fixture, packs.clone(), vec![first.id]);
    fixture.env.backend.delete(&ObjectName::Pack(packs[0])).unwrap();

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!(report.snapshots_removed, 1);
    assert_eq!(fixture.open().snapshots().unwrap().snapshots, [second]);
    read_all(&fixture.open(), &chunks(10..20));
    assert_sound(&fixture.open());
}

#[test]
fn tombstones_that_still_name_something_or_tell_of_others_stand_after_a_prune() {
    let fixture = Fixture::new();
    let first = commit_chunks(&fixture.open(), &chunks(0..10)).unwrap();
    let gone = commit_chunks(&fixture.open(), &chunks(10..20)).unwrap();
    forget(&fixture.open(), gone.id);
    let of_a_snapshot = condemn_and_die(&fixture, Vec::new(), vec![first.id]);
    let horizon = condemn_and_die(&fixture, Vec::new(), Vec::new());

    let report = prune_now(&fixture.open(), &AT_ONCE);

    assert_eq!(report.packs_deleted, 1);
    for id in [of_a_snapshot, horizon] {
        assert!(fixture.env.backend.size(&ObjectName::Tombstone(id)).is_ok());
    }
    assert_eq!(fixture.count(Folder::Tombstones), 2);
    read_all(&fixture.open(), &chunks(0..10));
}
