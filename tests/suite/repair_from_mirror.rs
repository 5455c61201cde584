//! A repair beside a mirror: what is damaged here comes back bit for bit, nothing is taken from
//! there that is not whole, and the mirror's damage is mended from here.

use std::sync::Arc;

use stillpoint::{
    backend::{Backend, Folder, ObjectName, memory::MemoryBackend},
    ops::{
        event::Silent,
        repair::{Mirror, Outcome, Plan, Scope, Step, execute, plan},
    },
    repo::{Repository, check::Depth},
};

use crate::{
    cli::shop::{Ran, Shop},
    damage::{Damage, Scene, copy_folder},
    harness::{Tally, in_parallel},
    shop,
};

/// What a push would have sent.
fn mirror_of(backend: &MemoryBackend) -> MemoryBackend {
    let mirror = backend.copied();
    for name in mirror.names() {
        if name.folder() == Folder::Pending {
            mirror.delete(&name).unwrap();
        }
    }
    mirror
}

fn mirrors(backend: &MemoryBackend) -> [Mirror; 1] {
    [Mirror { name: "away".to_owned(), backend: Arc::new(backend.clone()) }]
}

fn plan_with(repo: &Repository, mirrors: &[Mirror]) -> Plan {
    let mut plan = plan(repo, (Scope::All, Depth::Data), &Silent).unwrap().plan;
    plan.use_mirrors(mirrors);
    plan
}

fn heal(repo: &Repository, mirrors: &[Mirror]) -> Outcome {
    execute(repo, (&plan_with(repo, mirrors), mirrors), &Silent).unwrap().0
}

fn affected(repo: &Repository) -> u64 {
    plan(repo, (Scope::All, Depth::Data), &Silent).unwrap().found.affected
}

/// A copy of the scene's repository, harmed, on a machine that knew it before.
fn open_harmed(scene: &Scene, harm: impl Fn(&MemoryBackend)) -> (Repository, MemoryBackend) {
    let backend = scene.copied();
    harm(&backend);
    let state = tempfile::tempdir_in(shop::scratch()).unwrap().keep();
    copy_folder(scene.state.path(), &state);
    // Whatever was run first has made the local index forget what is gone.
    let _ = scene.open(&backend, &state).unwrap().catalogue();
    (scene.open(&backend, &state).unwrap(), backend)
}

fn damages(backend: &MemoryBackend, name: &ObjectName) -> Vec<Damage> {
    let bytes = backend.get(name, u64::MAX).unwrap().len();
    let mut all = Damage::all(backend, name, bytes);
    all.extend([20, bytes / 3, bytes / 2, bytes - 10].map(Damage::Flip));
    all
}

#[test]
fn whatever_is_damaged_comes_back_from_a_mirror_bit_for_bit() {
    let scene = Scene::new();
    let mirror = mirror_of(&scene.backend);
    let is_covered = |name: &ObjectName| {
        matches!(name, ObjectName::Pack(_) | ObjectName::Index { .. } | ObjectName::Snapshot(_))
    };
    let names = scene.backend.names().into_iter().filter(is_covered);
    let cases: Vec<_> = names
        .flat_map(|name| damages(&scene.backend, &name).into_iter().map(move |d| (name.clone(), d)))
        .collect();
    let tally = Tally::default();

    in_parallel(cases.len(), |at| {
        let (name, damage) = &cases[at];
        let case = format!("{damage:?} of {name}");
        // Nobody can know that these were there.
        let is_unknown = !matches!(name, ObjectName::Pack(_))
            && matches!(damage, Damage::Delete | Damage::Truncate(0));
        let (repo, backend) = open_harmed(&scene, |backend| {
            damage.inflict(backend, name);
            if let ObjectName::Snapshot(id) = name
                && !is_unknown
            {
                // The second copy would do, and so would those in the index.
                Damage::Zero.inflict(backend, &ObjectName::Pending(*id));
                for listed in backend.list(Folder::Index).unwrap().objects {
                    Damage::Zero.inflict(backend, &listed.name);
                }
            }
        });

        let outcome = heal(&repo, &mirrors(&mirror));

        assert_eq!(outcome.left, [], "{case}");
        if !is_unknown {
            let original = scene.backend.get(name, u64::MAX).unwrap();
            assert_eq!(backend.get(name, u64::MAX).unwrap(), original, "{case}");
            assert!(outcome.fetched.contains(&(name.clone(), "away".to_owned())), "{case}");
        }
        assert_eq!(affected(&repo), 0, "{case}");
        assert_eq!(plan_with(&repo, &mirrors(&mirror)).steps, [], "{case}: not repaired at once");
        tally.add("objects fetched", outcome.fetched.len() as u64);
    });

    tally.print(&format!("{} damaged repositories repaired from a mirror:", cases.len()));
}

/// Both sides are damaged, each in another place of the same pack.
#[test]
fn nothing_is_taken_from_a_mirror_that_is_not_whole_there() {
    let scene = Scene::new();
    let mirror = mirror_of(&scene.backend);
    for name in mirror.names() {
        let bytes = mirror.size(&name).unwrap() as usize;
        Damage::Flip(bytes / 2).inflict(&mirror, &name);
    }
    let harm = |backend: &MemoryBackend| {
        for listed in backend.list(Folder::Packs).unwrap().objects {
            Damage::Flip(listed.bytes as usize / 3).inflict(backend, &listed.name);
        }
    };
    let (alone, _) = open_harmed(&scene, harm);
    let _ = heal(&alone, &[]);
    let (repo, _) = open_harmed(&scene, harm);

    let outcome = heal(&repo, &mirrors(&mirror));

    assert_eq!(outcome.fetched, []);
    assert_eq!(outcome.left.len(), 3, "{:?}", outcome.left);
    assert!(outcome.chunks_saved > 0);
    assert_eq!(affected(&repo), affected(&alone));
}

#[test]
fn what_was_set_aside_before_the_mirror_could_be_asked_comes_back_in_new_packs() {
    let scene = Scene::new();
    let mirror = mirrors(&mirror_of(&scene.backend));
    let (repo, backend) = open_harmed(&scene, |backend| {
        for listed in backend.list(Folder::Packs).unwrap().objects {
            Damage::Flip(listed.bytes as usize / 2).inflict(backend, &listed.name);
        }
    });
    assert_eq!(heal(&repo, &[]).set_aside.len(), 3);
    assert!(affected(&repo) > 0);

    let outcome = heal(&repo, &mirror);

    assert_eq!(outcome.left, []);
    assert!(outcome.chunks_saved > 0);
    assert_eq!(affected(&repo), 0);
    let condemned: Vec<_> = scene.backend.list(Folder::Packs).unwrap().objects;
    assert!(condemned.iter().all(|pack| backend.get(&pack.name, u64::MAX).is_err()), "came back");
    for snapshot in repo.snapshots().unwrap().snapshots {
        let expected = &scene.contents[snapshot.record.counter as usize - 1];
        assert_eq!(shop::restore(&repo, &snapshot).unwrap(), (expected.clone(), true));
    }
    assert_eq!(plan_with(&repo, &mirror).steps, []);
}

#[test]
fn a_plan_names_the_mirror_and_changes_nothing() {
    let scene = Scene::new();
    let mirror = mirror_of(&scene.backend);
    let (repo, backend) = open_harmed(&scene, |backend| {
        let pack = &backend.list(Folder::Packs).unwrap().objects[0];
        Damage::Flip(100).inflict(backend, &pack.name);
    });
    let before = (backend.names(), mirror.names());

    let planned = plan_with(&repo, &mirrors(&mirror)).steps;

    let [Step::Fetch { from, otherwise: Some(otherwise), .. }] = &planned[..] else {
        panic!("{planned:?}");
    };
    assert!(from == "away" && matches!(**otherwise, Step::Salvage { .. }), "{planned:?}");
    assert_eq!((backend.names(), mirror.names()), before);
}

/// A shop with a folder mirror, and one backup in both.
fn shop_with_mirror() -> Shop {
    let shop = Shop::open();
    let disk = shop.path("disk");
    let path = disk.to_str().unwrap();
    done(&shop.run(["mirror", "add", "disk", "--kind", "local", "--path", path]));
    done(&shop.back_up(&[]));
    shop
}

fn done(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
}

#[test]
fn the_program_says_which_mirror_it_takes_from() {
    let shop = shop_with_mirror();
    shop.flip_all("repository/packs");

    let planned = shop.run(["repair", "--read-data", "--dry-run"]);
    let repaired = shop.run(["repair", "--read-data", "--yes", "--json"]);
    let check = shop.run(["check", "--read-data"]);

    assert!(planned.out.contains("take it from the mirror disk"), "{}", planned.out);
    done(&repaired);
    assert!(repaired.summary()["fetched"].as_u64() > Some(0), "{}", repaired.summary());
    assert_eq!(repaired.summary()["plan"][0]["from"], "disk");
    done(&check);
}

#[test]
fn a_mirror_that_rots_is_told_and_mended_from_here() {
    let shop = shop_with_mirror();
    for folder in ["disk/packs", "disk/index", "disk/snapshots"] {
        shop.flip_all(folder);
    }

    let by_listing = shop.run(["mirror", "sync", "disk", "--check"]);
    let by_content = shop.run(["mirror", "sync", "disk", "--check", "--read-data"]);
    let again = shop.run(["mirror", "sync", "disk", "--check", "--read-data"]);

    assert!(!by_listing.out.contains("another content"), "{}", by_listing.out);
    done(&by_content);
    let told = format!("{}{}", by_content.out, by_content.err);
    assert!(told.contains("has another content there"), "{told}");
    assert!(told.contains("put right there"), "{told}");
    assert!(again.out.contains("0 differences"), "{}{}", again.out, again.err);
    let disk = shop.path("disk");
    let mut command = shop.command(["check", "--read-data"]);
    let check: Ran = command
        .env("STILLPOINT_REPO", &disk)
        .env("STILLPOINT_STATE_DIR", shop.path("elsewhere"))
        .env("HOME", shop.path("elsewhere-home"))
        .output()
        .unwrap()
        .into();
    done(&check);
}
