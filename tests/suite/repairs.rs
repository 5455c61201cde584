//! What a repair does to every damage: nothing that could be restored before is lost by it, a
//! second one has nothing to do, and the next backup heals what the sources still have.

use std::{collections::BTreeMap, convert::Infallible, path::Path};

use stillpoint::{
    backend::{Backend, Folder, ObjectName, memory::MemoryBackend},
    format::{
        node::{Content, Entry},
        page_map::PageMap,
        record::PartContent,
    },
    id::ChunkId,
    limits::PAGE_MAP_BYTES_MAX,
    ops::{
        event::Silent,
        repair::{Outcome, Plan, Scope, execute, plan},
    },
    repo::{
        Repository,
        check::Depth,
        stream,
        tree::{Met, Step, walk},
    },
};

use crate::{
    damage::{Damage, Scene, copy_folder},
    harness::{Tally, in_parallel},
    shop,
};

/// What each snapshot gives back, by the number of its record.
type Restored = BTreeMap<u64, shop::Content>;

fn restore_all(repo: &Repository) -> Restored {
    let snapshots = repo.snapshots().unwrap().snapshots;
    let restored = snapshots.iter().map(|snapshot| {
        // Only what comes back right counts as restored: a restore never gives anything else.
        (snapshot.record.counter, shop::restore(repo, snapshot).unwrap().0)
    });
    restored.collect()
}

fn plan_all(repo: &Repository) -> Plan {
    plan(repo, (Scope::All, Depth::Data), &Silent).unwrap().plan
}

fn repair(repo: &Repository) -> Outcome {
    execute(repo, (&plan_all(repo), &[]), &Silent).unwrap().0
}

/// The damages that are repaired, fewer than those that must be noticed: each costs many restores.
fn damages(backend: &MemoryBackend, name: &ObjectName) -> Vec<Damage> {
    let bytes = backend.get(name, u64::MAX).unwrap().len();
    let mut all = Damage::all(backend, name, bytes);
    all.retain(|damage| {
        matches!(damage, Damage::Delete | Damage::Zero | Damage::ReplaceBy(_) | Damage::Extend)
    });
    all.extend([0, bytes / 2, bytes - 1].map(Damage::Truncate));
    all.extend([20, bytes / 3, bytes / 2, bytes - 10].map(Damage::Flip));
    all
}

#[test]
fn no_repair_loses_anything_and_the_next_backup_heals() {
    let scene = Scene::new();
    let names = scene.backend.names();
    let cases: Vec<_> = names
        .iter()
        .flat_map(|name| damages(&scene.backend, name).into_iter().map(move |d| (name, d)))
        .collect();
    let tally = Tally::default();

    in_parallel(cases.len(), |at| {
        let (name, damage) = &cases[at];
        let backend = scene.copied();
        damage.inflict(&backend, name);
        let state = tempfile::tempdir_in(shop::scratch()).unwrap();
        // Every other one on a machine that never saw the repository.
        if at % 2 == 0 {
            copy_folder(scene.state.path(), state.path());
        }
        let case = format!("{damage:?} of {name}");
        repair_one(&scene, &backend, state.path(), (&case, &tally));
    });

    tally.print(&format!("{} damaged repositories repaired:", cases.len()));
}

fn repair_one(scene: &Scene, backend: &MemoryBackend, state: &Path, case: (&str, &Tally)) {
    let (case, tally) = case;
    let repo = scene.open(backend, state).unwrap_or_else(|error| panic!("{case}: {error}"));
    let before = restore_all(&repo);
    let names = backend.names();

    let outcome = repair(&repo);

    assert!(outcome.left.is_empty(), "{case}: {:?}", outcome.left);
    let after = restore_all(&repo);
    assert_nothing_less(&before, &after, case);
    assert_nothing_gone(&names, backend, case);
    assert_eq!(plan_all(&repo).steps, [], "{case}: the second repair has something to do");

    let report = scene.shop.back_up(&repo).unwrap_or_else(|error| panic!("{case}: {error}"));
    let newest = report.snapshot.unwrap();
    let (content, is_complete) = shop::restore(&repo, &newest).unwrap();
    assert!(is_complete && content == scene.shop.content(), "{case}: not healed");
    assert_healed(scene, &restore_all(&repo), case);
    assert_eq!(plan_all(&repo).steps, [], "{case}: a repair after the healing");
    tally.add("chunks saved", outcome.chunks_saved);
    tally.add("copies restored", outcome.copies_restored);
    tally.add("objects set aside", outcome.set_aside.len() as u64);
}

fn assert_nothing_less(before: &Restored, after: &Restored, case: &str) {
    for (counter, content) in before {
        let now =
            after.get(counter).unwrap_or_else(|| panic!("{case}: snapshot {counter} is gone"));
        for (name, value) in content {
            assert_eq!(now.get(name), Some(value), "{case}: {name} of snapshot {counter}");
        }
    }
}

/// Whatever is no longer where it was lies in quarantine, unless it had no byte.
fn assert_nothing_gone(names: &[ObjectName], backend: &MemoryBackend, case: &str) {
    let now = backend.names();
    for name in names {
        let former_of = |aside: &ObjectName| match aside {
            ObjectName::Quarantined { former, .. } => Some((**former).clone()),
            _ => None,
        };
        let mut set_aside = now.iter().filter_map(former_of);
        let is_there = now.contains(name) || set_aside.any(|former| former == *name);
        let was_empty = case.starts_with("Truncate(0)");
        assert!(is_there || was_empty, "{case}: {name} was deleted");
    }
}

/// The files of the newest snapshot are those that the source still has: all of them are back.
fn assert_healed(scene: &Scene, restored: &Restored, case: &str) {
    let newest = scene.contents.len() as u64;
    let Some(content) = restored.get(&newest) else { return };
    for (name, value) in shop::tree(&scene.shop.files()) {
        assert_eq!(content.get(&name), Some(&value), "{case}: {name} of snapshot {newest}");
    }
}

/// One chunk of each kind that the newest snapshot needs.
fn chunks_by_kind(repo: &Repository) -> Vec<(&'static str, ChunkId)> {
    let fetch = repo.fetcher().unwrap();
    let mut found = Vec::new();
    let newest = repo.snapshots().unwrap().snapshots.pop().unwrap();
    for part in newest.record.parts {
        match part.content {
            PartContent::Database { image, .. } => {
                let base = stream::read(&*fetch, &image.base, PAGE_MAP_BYTES_MAX).unwrap();
                let recent = stream::read(&*fetch, &image.recent, PAGE_MAP_BYTES_MAX).unwrap();
                found.extend([
                    ("list of base groups", image.base.ids[0]),
                    ("base group", ChunkId(base[..32].try_into().unwrap())),
                    ("recent map", image.recent.ids[0]),
                    ("page chunk", PageMap::decode(&recent).unwrap().chunks[0]),
                ]);
            }
            PartContent::Tree { root, .. } => {
                let Content::Folder { node } = &root.content else { continue };
                found.push(("node", node.ids[0]));
                let walked: Result<(), Infallible> = walk(&*fetch, node, &mut |_, met| {
                    if let Met::Entry(Entry { content: Content::File { stream, .. }, .. }) = met {
                        found.push(("file chunk", stream.ids[0]));
                    }
                    Ok(Step::Into)
                });
                walked.unwrap();
            }
        }
    }
    found.sort();
    found.dedup_by_key(|(kind, _)| *kind);
    found
}

#[test]
fn a_damaged_chunk_of_any_kind_is_healed_by_the_next_backup() {
    let scene = Scene::new();
    let repo = scene.open(&scene.backend, scene.state.path()).unwrap();
    let kinds = chunks_by_kind(&repo);
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    for (kind, id) in kinds {
        let copies = repo.catalogue().unwrap().copies(&id).unwrap();
        for is_repaired in [false, true] {
            let backend = scene.copied();
            for copy in &copies {
                let at = copy.blob_offset + u64::from(copy.blob_bytes / 2);
                Damage::Flip(at as usize).inflict(&backend, &ObjectName::Pack(copy.pack));
            }
            let state = tempfile::tempdir_in(shop::scratch()).unwrap();
            copy_folder(scene.state.path(), state.path());
            let repo = scene.open(&backend, state.path()).unwrap();
            let diagnosis = plan(&repo, (Scope::All, Depth::Data), &Silent).unwrap();
            assert!(diagnosis.found.affected > 0, "the loss of a {kind} is not told");
            if is_repaired {
                let _ = execute(&repo, (&diagnosis.plan, &[]), &Silent).unwrap();
            }

            let report = scene.shop.back_up(&repo).unwrap();

            let (content, is_complete) = shop::restore(&repo, &report.snapshot.unwrap()).unwrap();
            assert!(is_complete && content == scene.shop.content(), "{kind}: not healed");
        }
    }
}

#[test]
fn a_repair_of_what_is_whole_changes_nothing() {
    let scene = Scene::new();
    let repo = scene.open(&scene.backend, scene.state.path()).unwrap();
    let before = scene.backend.names();

    assert_eq!(repair(&repo), Outcome::default());

    assert_eq!(scene.backend.names(), before);
}

#[test]
fn a_plan_changes_nothing_in_the_repository() {
    let scene = Scene::new();
    for listed in scene.backend.list(Folder::Packs).unwrap().objects {
        Damage::Flip(100).inflict(&scene.backend, &listed.name);
    }
    let repo = scene.open(&scene.backend, scene.state.path()).unwrap();
    let before = scene.backend.names();

    assert_eq!(plan_all(&repo).steps.len(), 3);

    assert_eq!(scene.backend.names(), before);
}

#[test]
fn a_machine_that_was_not_told_of_a_repair_heals_what_it_lost() {
    let scene = Scene::new();
    let repo = scene.open(&scene.backend, scene.state.path()).unwrap();
    // Another machine, whose shortcuts rely on what will be lost.
    let elsewhere = tempfile::tempdir_in(shop::scratch()).unwrap();
    let other = scene.open(&scene.backend, elsewhere.path()).unwrap();
    assert!(scene.shop.back_up(&other).unwrap().is_complete());
    for listed in scene.backend.list(Folder::Packs).unwrap().objects {
        let bytes = scene.backend.size(&listed.name).unwrap() as usize;
        Damage::Flip(bytes / 2).inflict(&scene.backend, &listed.name);
    }

    assert_eq!(repair(&repo).set_aside.len(), 3);
    let again = scene.shop.back_up(&other).unwrap();

    let (content, is_complete) = shop::restore(&other, &again.snapshot.unwrap()).unwrap();
    assert!(is_complete && content == scene.shop.content());
}
