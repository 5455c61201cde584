use std::sync::Arc;

use super::*;
use crate::{
    backend::{Backend, memory::MemoryBackend},
    limits::MIB,
    repo::{
        Environment,
        check::{self, CheckEvent, Depth},
        repair::{Outcome, Planner, Scope, execute},
        tests::{Fixture, KEY, commit_chunks, plain},
    },
};

/// A repository with parity of so many percent; the fixture keeps its state folder.
fn with_parity(percent: u8) -> (Repository, Fixture) {
    let fixture = Fixture::new();
    let env = Environment { backend: Arc::new(MemoryBackend::new()), ..fixture.env.clone() };
    let credentials = [(KEY, "key".to_owned())];
    (Repository::create_with_parity(env, &credentials, percent).unwrap(), fixture)
}

fn backend(repo: &Repository) -> &dyn Backend {
    repo.environment().backend.as_ref()
}

fn packs(repo: &Repository) -> Vec<(PackId, u64)> {
    let mut packs: Vec<_> = backend(repo)
        .list(Folder::Packs)
        .unwrap()
        .objects
        .into_iter()
        .filter_map(|listed| match listed.name {
            ObjectName::Pack(pack) => Some((pack, listed.bytes)),
            _ => None,
        })
        .collect();
    packs.sort();
    packs
}

fn bytes_of(repo: &Repository, name: &ObjectName) -> Vec<u8> {
    backend(repo).get(name, u64::MAX).unwrap()
}

fn put_instead(repo: &Repository, name: &ObjectName, bytes: &[u8]) {
    backend(repo).delete(name).unwrap();
    backend(repo).put_new(name, &[bytes]).unwrap();
}

fn repair(repo: &Repository) -> Outcome {
    let mut planner = Planner::new(Scope::All);
    check::run(repo, Depth::Data, &mut |event| planner.hear(&event)).unwrap();
    let plan = planner.finish(repo).unwrap();
    execute(repo, (&plan, &[]), &mut |_| {}).unwrap()
}

/// Numbers that differ for each seed and are the same in every run.
fn numbers(seed: u64) -> impl Iterator<Item = usize> {
    let bytes = plain(seed, 4096);
    let numbers: Vec<_> = bytes
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()) as usize)
        .collect();
    numbers.into_iter()
}

/// Twelve packs of different sizes in one group.
fn one_group(percent: u8) -> (Repository, Fixture, ParityObject) {
    let (repo, fixture) = with_parity(percent);
    for run in 0..12 {
        let _ = commit_chunks(&repo, &[plain(run, 20_000 + 3_000 * run as usize)]).unwrap();
    }
    for object in objects(&repo).unwrap() {
        backend(&repo).delete(&ObjectName::Parity(object.id)).unwrap();
    }
    protect(&repo, percent, &packs(&repo)).unwrap();
    let object = objects(&repo).unwrap().remove(0);
    (repo, fixture, object)
}

#[test]
fn any_one_lost_pack_of_a_group_comes_back_bit_for_bit() {
    let (repo, _fixture, object) = one_group(10);
    for (pack, _) in packs(&repo) {
        let name = ObjectName::Pack(pack);
        let whole = bytes_of(&repo, &name);
        backend(&repo).delete(&name).unwrap();

        assert_eq!(rebuild(&repo, &object, pack).unwrap().as_ref(), Some(&whole));

        backend(&repo).put_new(&name, &[&whole]).unwrap();
    }
}

#[test]
fn flipped_bytes_come_back_as_long_as_the_budget_lasts() {
    let (repo, _fixture, object) = one_group(10);
    let packs = packs(&repo);
    let budget = object.table.recovery[0] as usize;
    let (mut rebuilt, mut refused) = (0, 0);
    for seed in 100..160 {
        let mut harmed = std::collections::BTreeMap::new();
        let mut shards = std::collections::BTreeSet::new();
        let count = 1 + seed as usize % (budget + 12);
        for number in numbers(seed).take(count) {
            let at = number % packs.len();
            let place = (number / packs.len()) % packs[at].1 as usize;
            let _ = shards.insert((at, place / object.table.shard_bytes as usize));
            let _ = harmed.entry(at).or_insert_with(Vec::new);
            harmed.get_mut(&at).unwrap().push(place);
        }
        let names: Vec<_> = packs.iter().map(|(pack, _)| ObjectName::Pack(*pack)).collect();
        let whole: Vec<_> = names.iter().map(|name| bytes_of(&repo, name)).collect();
        for (at, places) in &harmed {
            let mut bytes = whole[*at].clone();
            places.iter().for_each(|place| bytes[*place] ^= 0x55);
            // The same place twice is whole again, and no harm.
            put_instead(&repo, &names[*at], &bytes);
        }
        for at in harmed.keys() {
            match rebuild(&repo, &object, packs[*at].0).unwrap() {
                Some(bytes) => {
                    assert!(bytes == whole[*at], "seed {seed}: rebuilt differently");
                    rebuilt += 1;
                }
                None => {
                    assert!(shards.len() > budget, "seed {seed}: {} shards", shards.len());
                    refused += 1;
                }
            }
        }
        harmed.keys().for_each(|at| put_instead(&repo, &names[*at], &whole[*at]));
    }
    println!("{rebuilt} packs rebuilt, {refused} beyond the budget");
    assert!(rebuilt > 100 && refused > 10);
}

#[test]
fn parity_that_is_damaged_itself_helps_as_far_as_it_goes() {
    let (repo, _fixture, object) = one_group(10);
    let name = ObjectName::Parity(object.id);
    let mut bytes = bytes_of(&repo, &name);
    // The first table, and one recovery shard.
    bytes[100] ^= 1;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put_instead(&repo, &name, &bytes);
    // Not the largest, so that the budget has a shard to spare.
    let (pack, _) = *object.table.packs.iter().min_by_key(|(_, bytes)| *bytes).unwrap();
    let whole = bytes_of(&repo, &ObjectName::Pack(pack));
    backend(&repo).delete(&ObjectName::Pack(pack)).unwrap();

    let object = objects(&repo).unwrap().remove(0);

    assert_eq!(rebuild(&repo, &object, pack).unwrap(), Some(whole));
    let size = backend(&repo).size(&name).unwrap();
    assert!(verify(&repo, object.id, size, Depth::Structure).is_err());
}

#[test]
fn every_flipped_byte_of_parity_is_noticed() {
    let (repo, _fixture) = with_parity(10);
    let _ = commit_chunks(&repo, &[plain(1, 5_000)]).unwrap();
    let object = objects(&repo).unwrap().remove(0);
    let name = ObjectName::Parity(object.id);
    let whole = bytes_of(&repo, &name);
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        put_instead(&repo, &name, &bytes);
        let verified = verify(&repo, object.id, bytes.len() as u64, Depth::Data);
        assert!(verified.is_err(), "byte {at} of {}", whole.len());
    }
}

#[test]
fn a_repository_with_parity_repairs_itself_bit_for_bit() {
    // Three packs, of which two are full: more than one stripe.
    let (repo, _fixture) = with_parity(50);
    let chunks: Vec<_> = (0..80).map(|n| plain(n, MIB)).collect();
    let _ = commit_chunks(&repo, &chunks).unwrap();
    let object = objects(&repo).unwrap().remove(0);
    assert!(object.table.recovery.len() > 1);
    let names: Vec<_> = packs(&repo).into_iter().map(|(pack, _)| ObjectName::Pack(pack)).collect();
    let whole: Vec<_> = names.iter().map(|name| bytes_of(&repo, name)).collect();
    let mut flipped = whole[0].clone();
    flipped[1000] ^= 1;
    put_instead(&repo, &names[0], &flipped);
    backend(&repo).delete(&names[1]).unwrap();

    let outcome = repair(&repo);

    assert_eq!((outcome.packs_rebuilt, outcome.chunks_saved), (2, 0), "{outcome:?}");
    assert!(names.iter().zip(&whole).all(|(name, whole)| bytes_of(&repo, name) == *whole));
    let mut found = Vec::new();
    check::run(&repo, Depth::Data, &mut |event| found.push(event)).unwrap();
    found.retain(|event: &CheckEvent| !event.is_progress());
    assert_eq!(found, []);
    assert_eq!(repair(&repo), Outcome::default());
}

#[test]
fn packs_without_parity_get_it_and_a_group_that_lost_a_member_for_good_goes() {
    let (repo, _fixture) = with_parity(10);
    for run in 0..3 {
        let _ = commit_chunks(&repo, &[plain(run, 9_000)]).unwrap();
    }
    let first = objects(&repo).unwrap();
    assert_eq!(first.len(), 3);
    backend(&repo).delete(&ObjectName::Parity(first[0].id)).unwrap();

    tidy(&repo).unwrap();

    let covered: HashSet<_> = objects(&repo)
        .unwrap()
        .iter()
        .flat_map(|object| object.table.packs.clone())
        .map(|(pack, _)| pack)
        .collect();
    assert_eq!(covered.len(), 3);
}

#[test]
fn only_a_percentage_from_one_to_a_hundred_is_parity() {
    assert_eq!(percent(&["colour".to_owned(), feature(10)]), Some(10));
    for none in ["parity", "parity 0", "parity 101", "parity ten", "parity  1"] {
        assert_eq!(percent(&[none.to_owned()]), None, "{none}");
    }
}
