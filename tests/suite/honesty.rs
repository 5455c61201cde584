//! A backup says what it could not save, and saves the rest. (RELIABILITY T17)

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use stillpoint::{
    disk::{Dir, FileKind, Handle, Stat},
    sink::files::{Extra, Options},
    source::files::{
        RealReadDisk, Selection,
        read_disk::{ReadDisk, Xattrs},
    },
};

use crate::scene::{Scene, listing, noise, set_modified, write};

/// What the walk asks of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    OpenDir,
    OpenFile,
    List,
    Stat,
    Read,
    Xattrs,
    ReadLink,
}

/// Decides about one call, and may do something first.
type Hook<'a> = Box<dyn Fn(Call, &[u8]) -> io::Result<()> + Sync + 'a>;

/// The real disk, with a hook before each call on a name.
struct Hooked<'a> {
    hook: Hook<'a>,
    /// The names that open things were opened by.
    names: Mutex<HashMap<i32, Vec<u8>>>,
    stat: fn(Stat) -> Stat,
}

impl<'a> Hooked<'a> {
    fn new(hook: impl Fn(Call, &[u8]) -> io::Result<()> + Sync + 'a) -> Self {
        Self { hook: Box::new(hook), names: Mutex::default(), stat: |stat| stat }
    }

    fn opened(&self, descriptor: i32, name: &[u8]) {
        let _ = self.names.lock().unwrap().insert(descriptor, name.to_vec());
    }

    fn on(&self, call: Call, descriptor: i32) -> io::Result<()> {
        let name = self.names.lock().unwrap().get(&descriptor).cloned().unwrap_or_default();
        (self.hook)(call, &name)
    }
}

impl ReadDisk for Hooked<'_> {
    fn resolve(&self, path: &Path) -> io::Result<(PathBuf, FileKind)> {
        RealReadDisk.resolve(path)
    }

    fn open_root(&self, path: &Path) -> io::Result<Dir> {
        RealReadDisk.open_root(path)
    }

    fn open_dir(&self, at: &Dir, name: &[u8]) -> io::Result<Dir> {
        (self.hook)(Call::OpenDir, name)?;
        let dir = RealReadDisk.open_dir(at, name)?;
        self.opened(number(Handle::Dir(&dir)), name);
        Ok(dir)
    }

    fn open_file(&self, at: &Dir, name: &[u8]) -> io::Result<File> {
        (self.hook)(Call::OpenFile, name)?;
        let file = RealReadDisk.open_file(at, name)?;
        self.opened(number(Handle::File(&file)), name);
        Ok(file)
    }

    fn list(&self, dir: &Dir, visit: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.on(Call::List, number(Handle::Dir(dir)))?;
        RealReadDisk.list(dir, visit)
    }

    fn stat(&self, at: &Dir, name: &[u8]) -> io::Result<Stat> {
        (self.hook)(Call::Stat, name)?;
        RealReadDisk.stat(at, name).map(self.stat)
    }

    fn stat_open(&self, of: Handle<'_>) -> io::Result<Stat> {
        RealReadDisk.stat_open(of).map(self.stat)
    }

    fn read_link(&self, at: &Dir, name: &[u8]) -> io::Result<Vec<u8>> {
        (self.hook)(Call::ReadLink, name)?;
        RealReadDisk.read_link(at, name)
    }

    fn xattrs(&self, of: Handle<'_>) -> io::Result<Xattrs> {
        self.on(Call::Xattrs, number(of))?;
        RealReadDisk.xattrs(of)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.on(Call::Read, number(Handle::File(file)))?;
        RealReadDisk.read_at(file, buffer, offset)
    }

    fn next_data(&self, file: &File, offset: u64) -> io::Result<Option<u64>> {
        RealReadDisk.next_data(file, offset)
    }

    fn next_hole(&self, file: &File, offset: u64) -> io::Result<u64> {
        RealReadDisk.next_hole(file, offset)
    }
}

fn number(of: Handle<'_>) -> i32 {
    use std::os::fd::AsRawFd;
    match of {
        Handle::File(file) => file.as_raw_fd(),
        Handle::Dir(dir) => dir.0.as_raw_fd(),
    }
}

/// A source with three files and a folder of three.
fn scene() -> Scene {
    let scene = Scene::new();
    for path in ["a", "b", "c", "folder/x", "folder/y", "folder/z"] {
        write(scene.source().join(path), noise(path.len() as u64, 2000));
    }
    scene
}

/// Backs up through the hook, and returns what was saved and each problem's path and code.
fn problems(
    scene: &Scene,
    hook: impl Fn(Call, &[u8]) -> io::Result<()> + Sync,
) -> (u64, Vec<(String, String)>) {
    let tree = scene.back_up_as(&Hooked::new(hook), &scene.selection(), None).unwrap();
    assert_eq!(tree.problem_count as usize, tree.problems.len());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let each = tree.problems.iter().map(|problem| (text(&problem.path), problem.code.clone()));
    (tree.totals.files, each.collect())
}

fn one(path: &str, code: &str) -> Vec<(String, String)> {
    vec![(path.to_owned(), code.to_owned())]
}

fn fails_with(error: rustix::io::Errno) -> io::Result<()> {
    Err(error.into())
}

#[test]
fn a_file_that_cannot_be_opened_or_read_is_named_and_the_rest_is_saved() {
    for failing in [Call::OpenFile, Call::Read, Call::Stat] {
        for error in [rustix::io::Errno::ACCESS, rustix::io::Errno::IO] {
            let (files, problems) = problems(&scene(), |call, name| match name {
                b"b" if call == failing => fails_with(error),
                _ => Ok(()),
            });

            assert_eq!((files, problems), (5, one("b", "unreadable")), "{failing:?} {error}");
        }
    }
}

#[test]
fn a_file_that_vanishes_between_list_and_open_is_named() {
    let scene = scene();
    let (files, problems) = problems(&scene, |call, name| {
        if (call, name) == (Call::OpenFile, b"y") {
            fs::remove_file(scene.source().join("folder/y")).unwrap();
        }
        Ok(())
    });

    assert_eq!((files, problems), (5, one("folder/y", "vanished")));
}

#[test]
fn a_folder_that_cannot_be_listed_is_named_and_nothing_in_it_counts_as_gone() {
    for failing in [Call::OpenDir, Call::List] {
        let scene = scene();
        let sound = scene.back_up();
        let disk = Hooked::new(|call, name| match name {
            b"folder" if call == failing => fails_with(rustix::io::Errno::IO),
            _ => Ok(()),
        });

        let tree = scene
            .back_up_as(&disk, &scene.selection(), Some((&sound, crate::scene::RESTED)))
            .unwrap();

        assert_eq!((tree.totals.files, tree.gone_count), (3, 0), "{failing:?}");
        assert_eq!(
            (&tree.problems[0].path[..], &tree.problems[0].code[..]),
            (&b"folder"[..], "unlisted")
        );
        // A restore that deletes what the snapshot lacks must not take that for an empty folder.
        let options = Options { extra: Extra::Delete { except: Vec::new() }, ..Options::default() };
        let _ = scene.restore(&sound.root, &options).unwrap();
        let report = scene.restore(&tree.root, &options).unwrap();
        assert_eq!(report.deleted, 0);
        assert!(scene.restored().join("folder/x").exists());
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_saved_as_far_as_it_was_read_and_named() {
    let scene = scene();
    write(scene.source().join("log"), noise(1, 6_000_000));
    let grow = |call, name: &[u8]| {
        if (call, name) == (Call::Read, b"log") {
            use std::io::Write;
            let log = File::options().append(true).open(scene.source().join("log"));
            log.unwrap().write_all(b"one more line\n").unwrap();
        }
        Ok(())
    };

    let tree = scene.back_up_as(&Hooked::new(grow), &scene.selection(), None).unwrap();

    assert_eq!((tree.totals.files, tree.problem_count), (7, 1));
    assert_eq!((&tree.problems[0].path[..], &tree.problems[0].code[..]), (&b"log"[..], "changed"));
    let _ = scene.restore(&tree.root, &Options::default()).unwrap();
    let saved = fs::read(scene.restored().join("log")).unwrap();
    assert!(
        saved.len() == 6_000_000
            && fs::read(scene.source().join("log")).unwrap().starts_with(&saved)
    );
    // What may be torn is not trusted the next time, however it looks.
    assert!(scene.back_up_again(&tree).totals.bytes_read >= 6_000_000);
}

#[test]
fn a_file_that_is_cut_while_it_is_read_is_named() {
    for is_sparse in [false, true] {
        let scene = scene();
        let path = scene.source().join("cut");
        write(&path, noise(1, 6_000_000));
        if is_sparse {
            File::options().write(true).open(&path).unwrap().set_len(9_000_000).unwrap();
        }
        let calls = AtomicUsize::new(0);
        let (files, problems) = problems(&scene, |call, name| {
            let is_second =
                (call, name) == (Call::Read, b"cut") && calls.fetch_add(1, Ordering::Relaxed) == 1;
            if is_second {
                File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
            }
            Ok(())
        });

        assert_eq!((files, problems), (7, one("cut", "changed")), "sparse: {is_sparse}");
    }
}

#[test]
fn a_file_that_becomes_a_fifo_is_named_and_nobody_waits_for_its_writer() {
    let scene = scene();
    let (files, problems) = problems(&scene, |call, name| {
        if (call, name) == (Call::OpenFile, b"b") {
            use rustix::fs::{CWD, FileType, Mode};
            let path = scene.source().join("b");
            fs::remove_file(&path).unwrap();
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }
        Ok(())
    });

    assert_eq!((files, problems), (5, one("b", "changed")));
}

#[test]
fn a_folder_that_becomes_a_link_is_not_followed() {
    let scene = scene();
    write(scene.folder.path().join("outside/secret"), "not asked for");
    let (files, problems) = problems(&scene, |call, name| {
        if (call, name) == (Call::OpenDir, b"folder") {
            fs::remove_dir_all(scene.source().join("folder")).unwrap();
            crate::scene::link(scene.folder.path().join("outside"), scene.source().join("folder"));
        }
        Ok(())
    });

    assert_eq!((files, problems), (3, one("folder", "unlisted")));
}

#[test]
fn attributes_that_cannot_be_read_are_named_and_the_content_is_saved() {
    let (files, problems) = problems(&scene(), |call, name| match (call, name) {
        (Call::Xattrs, b"c") => fails_with(rustix::io::Errno::IO),
        _ => Ok(()),
    });

    assert_eq!((files, problems), (6, one("c", "xattrs")));
}

#[test]
fn a_signal_during_any_call_changes_nothing() {
    let scene = scene();
    crate::scene::link("a", scene.source().join("link"));
    let calls = AtomicUsize::new(0);
    let (files, problems) = problems(&scene, |_, _| {
        // Every second call is interrupted.
        match calls.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => fails_with(rustix::io::Errno::INTR),
            _ => Ok(()),
        }
    });

    assert_eq!((files, problems), (6, Vec::new()));
    assert!(calls.load(Ordering::Relaxed) > 40);
}

#[test]
fn a_change_that_puts_size_and_time_back_is_saved() {
    let scene = scene();
    set_modified(scene.source().join("a"), 1_000_000_000, 5);
    let first = scene.back_up();
    write(scene.source().join("a"), noise(99, 2000));
    set_modified(scene.source().join("a"), 1_000_000_000, 5);

    let second = scene.back_up_again(&first);

    assert_eq!(second.totals.bytes_read, 2000);
    let _ = scene.restore(&second.root, &Options::default()).unwrap();
    let content = |listing: crate::scene::Listing| listing["a"].clone();
    assert_eq!(content(listing(&scene.restored())), content(listing(&scene.source())));
}

#[test]
fn a_write_within_one_tick_of_the_clock_is_saved() {
    let scene = scene();
    // A file system whose clock stands still: nothing but the content tells the two apart.
    let still = |stat| Stat { modified: (1_000_000_000, 0), changed: (1_000_000_000, 0), ..stat };
    let disk = Hooked { stat: still, ..Hooked::new(|_, _| Ok(())) };
    let began = |seconds: i64| seconds * 1_000_000_000;
    let first = scene.back_up_as(&disk, &scene.selection(), None).unwrap();
    write(scene.source().join("a"), noise(99, 2000));

    let soon = Some((&first, began(1_000_000_001)));
    let careful = scene.back_up_as(&disk, &scene.selection(), soon).unwrap();
    let late = Some((&first, began(1_000_000_002)));
    let trusting = scene.back_up_as(&disk, &scene.selection(), late).unwrap();

    assert_eq!(careful.totals.bytes_read, 6 * 2000);
    assert_ne!(careful.root, first.root);
    assert_eq!(trusting.totals.bytes_read, 0, "two seconds of rest are the promise");
}

#[test]
fn one_missing_path_of_several_is_named_and_the_root_stays_where_it_was() {
    let scene = scene();
    let paths = vec![scene.source().join("folder"), scene.source().join("gone")];
    let selection = Selection { paths, ..Selection::default() };

    let tree = scene.back_up_as(&RealReadDisk, &selection, None).unwrap();

    assert_eq!(tree.path, scene.source());
    assert_eq!((tree.totals.files, tree.problem_count), (3, 1));
    assert_eq!((&tree.problems[0].path[..], &tree.problems[0].code[..]), (&b"gone"[..], "missing"));
}

#[test]
fn a_source_that_has_become_empty_is_remarked() {
    let scene = scene();
    let first = scene.back_up();
    fs::remove_dir_all(scene.source()).unwrap();
    fs::create_dir(scene.source()).unwrap();

    let second = scene.back_up_again(&first);

    assert_eq!((second.totals.files, second.gone_count), (0, 7));
    assert_eq!(*scene.events.lock().unwrap(), ["Emptied { files_before: 6 }"]);
}

#[test]
fn a_parent_that_cannot_be_read_costs_time_and_no_data() {
    let scene = scene();
    let first = scene.back_up();
    let folder = stillpoint::repo::tree::find(&scene.chunks, &first.root, b"folder");
    let stillpoint::format::node::Content::Folder { node } = folder.unwrap().unwrap().content
    else {
        panic!("it is a folder")
    };
    scene.chunks.lose(&node.ids[0]);

    let second = scene.back_up_again(&first);

    assert_eq!((second.totals.bytes_read, second.problem_count), (3 * 2000, 0));
    assert!(scene.events.lock().unwrap()[0].starts_with("ParentUnreadable"));
    let report = scene.restore(&second.root, &Options::default()).unwrap();
    assert_eq!((report.files, report.problem_count), (6, 0));
}

#[test]
fn other_file_systems_are_left_out_where_that_is_asked_for() {
    let scene = scene();
    let elsewhere = |stat: Stat| match stat.kind {
        // The inode tells the folder from the root, which it is below.
        FileKind::Dir if stat.links == 2 => Stat { device: stat.device + 1, ..stat },
        _ => stat,
    };
    let disk = Hooked { stat: elsewhere, ..Hooked::new(|_, _| Ok(())) };
    let mounts = stillpoint::source::files::Mounts::Skip;
    let selection = Selection { mounts, ..scene.selection() };

    let tree = scene.back_up_as(&disk, &selection, None).unwrap();
    let _ = scene.restore(&tree.root, &Options::default()).unwrap();

    let restored: Vec<_> = listing(&scene.restored()).into_keys().collect();
    assert_eq!(restored, ["", "a", "b", "c", "folder"]);
}
