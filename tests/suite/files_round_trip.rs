//! Folders of files go into chunks and come back as they were.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
        net::UnixListener,
    },
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use stillpoint::{
    chunk::{self, Store},
    format::{
        image::{Image, Method, Witness},
        node::Content,
    },
    id::ImageIdentity,
    repo::tree,
    sink::{
        self,
        files::{Extra, Options, Overwrite, OwnerMap, Owners, plan_tree},
    },
    source::files::{Error, RealReadDisk, Selection},
};

use crate::scene::{
    NOT_RESTED, RESTED, Scene, is_root, link, listing, noise, set_mode, set_modified, write,
};

/// Restores everything, owners too where we may.
fn options() -> Options {
    let owners = if is_root() { Owners::Restored } else { Owners::Ours };
    Options { owners, ..Options::default() }
}

/// Makes one of each kind of file, with all that can be odd about it.
fn make_all_kinds(at: &Path) {
    write(at.join("empty"), "");
    write(at.join("small"), "small");
    for bytes in [512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 5_000_000] {
        write(at.join(format!("large/{bytes}")), noise(bytes as u64, bytes));
    }
    make_odd_names(at);
    make_links(at);
    make_special(at);
    make_sparse(at);
    make_metadata(at);
    for number in 0..1500 {
        write(at.join(format!("many/file {number:05}")), format!("{}", number % 100));
    }
    write(at.join(vec!["deep"; 100].join("/")).join("bottom"), "bottom");
    fs::create_dir(at.join("nothing")).unwrap();
}

fn make_odd_names(at: &Path) {
    for name in [
        &b"\xff\xfe not text"[..],
        b"two\nlines",
        b"-rf",
        b" ",
        b"\\..\\x",
        b"a:b*?\"<>|",
        "e\u{301}".as_bytes(),
        "\u{e9}".as_bytes(),
        &[b'n'; 255],
    ] {
        write(at.join("names").join(std::ffi::OsStr::from_bytes(name)), name);
    }
}

fn make_links(at: &Path) {
    write(at.join("linked/one"), "one file, three names");
    fs::create_dir(at.join("a")).unwrap();
    fs::hard_link(at.join("linked/one"), at.join("linked/two")).unwrap();
    fs::hard_link(at.join("linked/one"), at.join("a/three")).unwrap();
    link("small", at.join("link"));
    link("/nowhere/at/all", at.join("dangling"));
    link("..", at.join("linked/up"));
    link("x".repeat(4000), at.join("long"));
    set_modified(at.join("dangling"), 1_000_000_000, 1);
}

fn make_special(at: &Path) {
    let fifo = at.join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    set_mode(&fifo, 0o666);
    set_modified(&fifo, 1_234_567_890, 987_654_321);
}

fn make_sparse(at: &Path) {
    fs::create_dir(at.join("sparse")).unwrap();
    let hole = 1 << 20;
    for (name, bytes, data) in [
        ("all hole", 3 * hole, &[][..]),
        ("hole first", 3 * hole, &[2 * hole]),
        ("hole last", 3 * hole, &[0]),
        ("hole between", 4 * hole + 5, &[0, 2 * hole, 4 * hole]),
    ] {
        let file = fs::File::create(at.join("sparse").join(name)).unwrap();
        file.set_len(bytes).unwrap();
        for offset in data {
            file.write_all_at(b"data", *offset).unwrap();
        }
    }
}

fn make_metadata(at: &Path) {
    for mode in [0o000, 0o444, 0o755, 0o777] {
        let path = at.join(format!("modes/{mode:o}"));
        write(&path, "mode");
        set_mode(&path, mode);
    }
    fs::create_dir(at.join("modes/sticky")).unwrap();
    set_mode(at.join("modes/sticky"), 0o1777);
    for (number, seconds) in [-5, 0, 1, 4_000_000_000].into_iter().enumerate() {
        let path = at.join(format!("times/{seconds}"));
        write(&path, "time");
        set_modified(path, seconds, 123_456_789 + number as i64);
    }
    write(at.join("xattrs/file"), "with attributes");
    for (path, name) in [("xattrs/file", "user.a"), ("xattrs/file", "user.b"), ("xattrs", "user.c")]
    {
        let value = noise(1, 200);
        rustix::fs::setxattr(at.join(path), name, &value, XattrFlags::empty()).unwrap();
    }
    write(at.join("read-only/file"), "in a folder that cannot be written to");
    set_modified(at.join("read-only"), 1_111_111_111, 222_222_222);
    set_mode(at.join("read-only"), 0o555);
}

#[test]
fn every_kind_of_file_comes_back_as_it_was() {
    let scene = Scene::new();
    make_all_kinds(&scene.source());

    let tree = scene.back_up();
    let report = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(tree.problems, []);
    assert_eq!(report.problems, []);
    let (expected, restored) = (listing(&scene.source()), listing(&scene.restored()));
    for (path, text) in &expected {
        assert_eq!(restored.get(path), Some(text), "{path}");
    }
    assert_eq!(restored.len(), expected.len());
    assert_eq!(fs::read_dir(scene.target()).unwrap().count(), 1, "the marker is gone");
}

#[test]
fn owners_and_their_bits_come_back_where_root_restores_them() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let path = scene.source().join("program");
    write(&path, "with the rights of its owner");
    std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    set_mode(&path, 0o6755);
    let tree = scene.back_up();

    let _ = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(listing(&scene.restored()), listing(&scene.source()));
}

#[test]
fn a_second_backup_without_changes_stores_nothing() {
    let scene = Scene::new();
    make_all_kinds(&scene.source());
    let first = scene.back_up();

    let second = scene.back_up_again(&first);

    assert_eq!(scene.puts.load(std::sync::atomic::Ordering::Relaxed), 0);
    assert_eq!(second.root, first.root);
    assert_eq!(second.totals.bytes_read, 0);
    assert_eq!(second.totals.bytes, first.totals.bytes);
    assert_eq!((second.gone_count, second.problem_count), (0, 0));
}

#[test]
fn one_new_file_in_a_large_folder_costs_one_piece_of_its_node() {
    let scene = Scene::new();
    for number in 0..10_000 {
        write(scene.source().join(format!("many/{number:05}")), "");
    }
    let first = scene.back_up();
    write(scene.source().join("many/05000x"), "new");

    let second = scene.back_up_again(&first);

    // All pieces are handed over; what is new of them is the file, one piece, and the root.
    let before = scene.chunks.totals().0;
    let third = scene.back_up_again(&first);
    assert_eq!(third.root, second.root);
    assert_eq!(scene.chunks.totals().0, before);
    let Content::Folder { node } =
        &tree::find(&scene.chunks, &second.root, b"many").unwrap().unwrap().content.clone()
    else {
        panic!("it is a folder")
    };
    let Content::Folder { node: older } =
        &tree::find(&scene.chunks, &first.root, b"many").unwrap().unwrap().content.clone()
    else {
        panic!("it is a folder")
    };
    let new = node.ids.iter().filter(|id| !older.ids.contains(id)).count();
    assert!(older.ids.len() > 10, "{} pieces", older.ids.len());
    assert!(new <= 2, "{new} of {} pieces are new", node.ids.len());
}

#[test]
fn what_is_gone_is_named_with_all_that_was_in_it() {
    let scene = Scene::new();
    write(scene.source().join("kept"), "kept");
    write(scene.source().join("folder/a"), "a");
    write(scene.source().join("folder/b/c"), "c");
    write(scene.source().join("zzz"), "z");
    let first = scene.back_up();
    fs::remove_dir_all(scene.source().join("folder")).unwrap();
    fs::remove_file(scene.source().join("zzz")).unwrap();

    let second = scene.back_up_again(&first);

    let gone: Vec<_> = second.gone.iter().map(|path| String::from_utf8_lossy(path)).collect();
    assert_eq!(gone, ["folder", "folder/a", "folder/b", "folder/b/c", "zzz"]);
    assert_eq!(second.gone_count, 5);
    assert_eq!(second.totals.files, 1);
}

#[test]
fn a_changed_file_is_read_and_its_neighbours_are_not() {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        write(scene.source().join(name), noise(1, 1000));
    }
    let first = scene.back_up();
    write(scene.source().join("b"), noise(2, 500));

    let second = scene.back_up_again(&first);

    assert_eq!(second.totals.bytes_read, 500);
    let report = scene.restore(&second.root, &options()).unwrap();
    assert_eq!(report.problem_count, 0);
    assert_eq!(listing(&scene.restored()), listing(&scene.source()));
}

#[test]
fn what_had_not_rested_when_the_parent_looked_is_read_again() {
    let scene = Scene::new();
    write(scene.source().join("a"), "a");
    let first = scene.back_up();

    let parent = Some((&first, NOT_RESTED));
    let second = scene.back_up_as(&RealReadDisk, &scene.selection(), parent).unwrap();

    assert_eq!(second.totals.bytes_read, 1);
    assert_eq!(second.root, first.root);
}

#[test]
fn a_file_with_several_names_is_read_once() {
    let scene = Scene::new();
    write(scene.source().join("a"), noise(3, 10_000));
    for name in ["b", "c", "d"] {
        fs::hard_link(scene.source().join("a"), scene.source().join(name)).unwrap();
    }

    let tree = scene.back_up();

    assert!(tree.totals.bytes_read < 40_000, "{}", tree.totals.bytes_read);
    assert_eq!(tree.totals.bytes, 40_000);
}

#[test]
fn patterns_markers_and_our_own_folders_are_left_out() {
    let scene = Scene::new();
    for path in ["keep/a.txt", "keep/a.tmp", "paint-swatches/x", "cache/CACHEDIR.TAG", "own/y"] {
        write(scene.source().join(path), path);
    }
    link("own", scene.source().join("link to own"));
    let selection = Selection {
        exclude: vec!["*.tmp".to_owned(), "paint-swatches/".to_owned()],
        exclude_if_present: vec!["CACHEDIR.TAG".into()],
        own: vec![scene.source().join("link to own")],
        ..scene.selection()
    };

    let tree = scene.back_up_as(&RealReadDisk, &selection, None).unwrap();
    let _ = scene.restore(&tree.root, &options()).unwrap();

    let restored: Vec<_> = listing(&scene.restored()).into_keys().collect();
    assert_eq!(restored, ["", "keep", "keep/a.txt", "link to own"]);
    assert_eq!(tree.problem_count, 0);
}

#[test]
fn several_paths_share_their_deepest_common_folder() {
    let scene = Scene::new();
    for path in ["a/1", "a/2", "b/3", "c/d/4", "c/e/5"] {
        write(scene.source().join(path), path);
    }
    let paths = ["a", "b/3", "c/d"].map(|path| scene.source().join(path)).to_vec();
    let selection = Selection { paths, ..Selection::default() };

    let tree = scene.back_up_as(&RealReadDisk, &selection, None).unwrap();
    let _ = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(tree.path, scene.source());
    let restored: Vec<_> = listing(&scene.restored()).into_keys().collect();
    assert_eq!(restored, ["", "a", "a/1", "a/2", "b", "b/3", "c", "c/d", "c/d/4"]);
}

#[test]
fn a_single_file_is_saved_in_the_folder_that_contains_it() {
    let scene = Scene::new();
    write(scene.source().join(".env"), "SECRET=1");
    write(scene.source().join("other"), "other");
    let paths = vec![scene.source().join(".env")];

    let tree = scene
        .back_up_as(&RealReadDisk, &Selection { paths, ..Selection::default() }, None)
        .unwrap();
    let _ = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(tree.root.name, b"source");
    assert_eq!(listing(&scene.restored()).into_keys().collect::<Vec<_>>(), ["", ".env"]);
}

#[test]
fn a_second_restore_writes_nothing() {
    let scene = Scene::new();
    make_all_kinds(&scene.source());
    let tree = scene.back_up();
    let first = scene.restore(&tree.root, &options()).unwrap();

    let second = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(second.problems, []);
    assert_eq!((second.files, second.bytes_written), (0, 0));
    assert_eq!(second.kept, first.files + first.others);
    assert_eq!(listing(&scene.restored()), listing(&scene.source()));
}

#[test]
fn a_plan_counts_what_a_restore_does_and_writes_nothing() {
    let scene = Scene::new();
    make_all_kinds(&scene.source());
    let tree = scene.back_up();

    let plan = scene.restore_with(&tree.root, &options(), plan_tree).unwrap();
    assert_eq!(fs::read_dir(scene.target()).unwrap().count(), 0);
    let done = scene.restore(&tree.root, &options()).unwrap();

    // Names of one file are told apart only when they are made.
    assert_eq!(plan.files + plan.others, done.files + done.others);
    assert_eq!((plan.folders, plan.problem_count), (done.folders, 0));
    let again = scene.restore_with(&tree.root, &options(), plan_tree).unwrap();
    assert_eq!((again.files, again.others, again.bytes_written), (0, 0, 0));
}

#[test]
fn existing_files_are_replaced_kept_or_mended_as_the_policy_says() {
    let scene = Scene::new();
    for name in ["longer", "same time", "same content", "mode", "link", "gone"] {
        write(scene.source().join(name), "as it was then");
    }
    let tree = scene.back_up();
    let restored = scene.restored();
    let spoil = || {
        write(restored.join("longer"), "as it was then, and much more behind it");
        write(restored.join("same time"), "OTHER, but so long");
        write(restored.join("same content"), "as it was then");
        set_mode(restored.join("mode"), 0o777);
        fs::remove_file(restored.join("link")).unwrap();
        link("mode", restored.join("link"));
        fs::remove_file(restored.join("gone")).unwrap();
        write(restored.join("extra"), "not in the snapshot");
    };
    let _ = scene.restore(&tree.root, &options()).unwrap();
    let sound = listing(&restored);
    let with = |overwrite| Options { overwrite, ..options() };

    spoil();
    let report = scene.restore(&tree.root, &with(Overwrite::Never)).unwrap();
    assert_eq!((report.files, report.kept), (1, 5));
    assert!(fs::read_to_string(restored.join("longer")).unwrap().contains("more"));

    let report = scene.restore(&tree.root, &with(Overwrite::Changed)).unwrap();
    assert_eq!((report.files, report.kept), (3, 3));
    let mut now = listing(&restored);
    assert!(now.remove("extra").is_some(), "what the snapshot lacks is left alone");
    assert_eq!(now.keys().collect::<Vec<_>>(), sound.keys().collect::<Vec<_>>());
    assert!(now.iter().all(|(path, text)| path.is_empty() || sound[path] == *text));

    let report = scene.restore(&tree.root, &with(Overwrite::Always)).unwrap();
    assert_eq!((report.files, report.kept), (6, 0));
}

#[test]
fn deleting_spares_what_was_left_out_or_could_not_be_read() {
    let scene = Scene::new();
    write(scene.source().join("kept/a"), "a");
    let tree = scene.back_up();
    let _ = scene.restore(&tree.root, &options()).unwrap();
    let restored = scene.restored();
    for path in ["extra/deep/x", "kept/extra", "kept/unread/y", "spared.log", "kept/b.log"] {
        write(restored.join(path), "extra");
    }
    write(scene.target().join("beside/z"), "of somebody else");
    link(scene.target().join("beside"), restored.join("link out"));
    let options = Options {
        extra: Extra::Delete { except: vec![b"kept/unread/y".to_vec()] },
        exclude: vec!["*.log".to_owned()],
        ..options()
    };

    let plan = scene.restore_with(&tree.root, &options, plan_tree).unwrap();
    let report = scene.restore(&tree.root, &options).unwrap();

    assert_eq!((plan.deleted, report.deleted, report.problem_count), (3, 3, 0));
    let now: Vec<_> = listing(&restored).into_keys().collect();
    let expected =
        ["", "kept", "kept/a", "kept/b.log", "kept/unread", "kept/unread/y", "spared.log"];
    assert_eq!(now, expected);
    assert!(scene.target().join("beside/z").exists());
}

#[test]
fn owners_get_the_numbers_that_they_have_here() {
    if !is_root() {
        println!("skipped: only root gives things away");
        return;
    }
    let scene = Scene::new();
    write(scene.source().join("theirs"), "theirs");
    link("theirs", scene.source().join("link"));
    write(scene.source().join("others"), "others");
    for (name, uid, gid) in [("theirs", 61_001, 61_002), ("link", 61_001, 61_002)] {
        std::os::unix::fs::lchown(scene.source().join(name), Some(uid), Some(gid)).unwrap();
    }
    let tree = scene.back_up();
    let owner_map = OwnerMap {
        users: BTreeMap::from([(61_001, 62_001)]),
        groups: BTreeMap::from([(61_002, 62_002)]),
    };
    let options = Options { owner_map, ..options() };

    let first = scene.restore(&tree.root, &options).unwrap();
    let again = scene.restore(&tree.root, &options).unwrap();

    let owner = |name: &str| {
        let stat = fs::symlink_metadata(scene.restored().join(name)).unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!((first.problem_count, again.files), (0, 0), "nothing is left to do");
    assert_eq!((owner("theirs"), owner("link")), ((62_001, 62_002), (62_001, 62_002)));
    assert_eq!(owner("others"), (0, 0));
}

#[test]
fn only_what_is_included_is_restored_and_no_folder_for_nothing() {
    let scene = Scene::new();
    for path in ["2025/a.jpg", "2026/b.jpg", "2026/b.txt", "x/2026/c.txt", "y/z/d.txt"] {
        write(scene.source().join(path), path);
    }
    let tree = scene.back_up();
    let include = vec!["/2026/".to_owned(), "c.txt".to_owned()];
    let options = Options { include, exclude: vec!["*.jpg".to_owned()], ..options() };

    let report = scene.restore(&tree.root, &options).unwrap();

    let restored: Vec<_> = listing(&scene.restored()).into_keys().collect();
    assert_eq!(restored, ["", "2026", "2026/b.txt", "x", "x/2026", "x/2026/c.txt"]);
    assert_eq!((report.files, report.problem_count), (2, 0));
}

#[test]
fn a_folder_that_nobody_may_write_to_keeps_its_mode_when_it_is_not_ours_to_change() {
    let scene = Scene::new();
    write(scene.source().join("folder/a"), "a");
    let tree = scene.back_up();
    fs::create_dir_all(scene.restored().join("folder")).unwrap();
    set_mode(scene.restored().join("folder"), 0o555);
    let never = Options { overwrite: Overwrite::Never, ..options() };

    let report = scene.restore(&tree.root, &never).unwrap();

    assert_eq!((report.files, report.problem_count), (1, 0));
    let mode = fs::metadata(scene.restored().join("folder")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o7777, 0o555);
}

#[test]
fn a_damaged_chunk_costs_its_file_and_no_other() {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        write(scene.source().join(name), noise(u64::from(name.as_bytes()[0]), 3_000_000));
    }
    let tree = scene.back_up();
    let lost = tree::find(&scene.chunks, &tree.root, b"b").unwrap().unwrap();
    let Content::File { stream, .. } = &lost.content else { panic!("it is a file") };
    scene.chunks.lose(&stream.ids[stream.ids.len() - 1]);

    let report = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!((report.files, report.problem_count), (2, 1));
    assert_eq!(
        (&report.problems[0].path[..], &report.problems[0].code[..]),
        (&b"b"[..], "damaged")
    );
    assert_eq!(listing(&scene.restored()).into_keys().collect::<Vec<_>>(), ["", "a", "c"]);
}

#[test]
fn a_damaged_node_costs_its_folder_and_deletes_nothing() {
    let scene = Scene::new();
    write(scene.source().join("a/lost"), "lost");
    write(scene.source().join("b/kept"), "kept");
    let tree = scene.back_up();
    let _ = scene.restore(&tree.root, &options()).unwrap();
    let lost = tree::find(&scene.chunks, &tree.root, b"a").unwrap().unwrap();
    let Content::Folder { node } = &lost.content else { panic!("it is a folder") };
    scene.chunks.lose(&node.ids[0]);
    let delete = Options { extra: Extra::Delete { except: Vec::new() }, ..options() };

    let report = scene.restore(&tree.root, &delete).unwrap();

    assert_eq!((report.problem_count, report.deleted), (1, 0));
    assert!(scene.restored().join("a/lost").exists());
}

#[test]
fn a_restore_after_one_that_was_killed_cleans_up_behind_it() {
    let scene = Scene::new();
    write(scene.source().join("folder/a"), "a");
    let tree = scene.back_up();
    let _ = scene.restore(&tree.root, &options()).unwrap();
    write(scene.target().join(".stillpoint-unfinished-tree"), "");
    write(scene.restored().join("folder/.stillpoint-unfinished-7"), "half a file");
    write(scene.restored().join("folder/a"), "half");

    let report = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(report.problem_count, 0);
    assert_eq!(listing(&scene.restored()), listing(&scene.source()));
    assert_eq!(fs::read_dir(scene.target()).unwrap().count(), 1, "the marker is gone");
}

#[test]
fn what_an_unfinished_restore_left_is_believed_only_after_its_content_was_compared() {
    let scene = Scene::new();
    write(scene.source().join("file"), "content");
    make_sparse(&scene.source());
    let tree = scene.back_up();
    let _ = scene.restore(&tree.root, &options()).unwrap();
    let sound = listing(&scene.restored());
    // What a power cut may leave of a file in place: its size and its time.
    let paths = sound.keys().map(|name| scene.restored().join(name));
    for path in paths.filter(|path| path.is_file()) {
        let stat = fs::metadata(&path).unwrap();
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"\0\0", 1).unwrap();
        let modified = stat.modified().unwrap();
        fs::File::open(&path).unwrap().set_modified(modified).unwrap();
    }
    assert_ne!(listing(&scene.restored()), sound);
    write(scene.target().join(".stillpoint-unfinished-tree"), "");

    let never = Options { overwrite: Overwrite::Never, ..options() };
    let refused = scene.restore(&tree.root, &never);
    assert!(matches!(refused, Err(sink::files::Error::Unfinished { .. })), "{refused:?}");
    let report = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!(report.problem_count, 0);
    assert_eq!(listing(&scene.restored()), sound);
}

/// Stores something in the shape of a database image.
pub fn image_of(path: &Path, plain: &[u8], store: &mut dyn Store) -> Result<Image, chunk::Error> {
    use std::os::unix::fs::MetadataExt;
    let _ = store.put(plain)?;
    let witness = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some(Witness {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec() as u32),
            changed: (meta.ctime(), meta.ctime_nsec() as u32),
        })
    };
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    Ok(Image {
        page_bytes: 512,
        page_count: (plain.len() / 512) as u32,
        identity: ImageIdentity([9; 32]),
        group_pages: 1,
        base_pages: 0,
        base: Default::default(),
        folded: Default::default(),
        recent: Default::default(),
        recent_bytes_written: 0,
        method: Method::Pages,
        damaged: false,
        unchecked: false,
        begun: (i64::from(u32::MAX), 0),
        witnesses: [Some(path), Some(Path::new(&wal))]
            .into_iter()
            .flatten()
            .filter_map(witness)
            .collect(),
    })
}

fn write_database(path: &Path, mark: u8) {
    let mut page = vec![mark; 1024];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[4, 0, 1, 1, 0, 64, 32, 32]);
    page[44..48].fill(0);
    write(path, page);
}

#[test]
fn databases_among_files_are_captured_and_what_lies_beside_them_is_not_copied() {
    let scene = Scene::new();
    write_database(&scene.source().join("shop.db"), 1);
    for name in ["shop.db-wal", "shop.db-shm", "shop.db-journal", "notes-wal", "notes"] {
        write(scene.source().join(name), name);
    }

    let first = scene.back_up();
    let second = scene.back_up_again(&first);
    write(scene.source().join("shop.db-wal"), "more");
    let third = scene.back_up_again(&second);

    assert_eq!((first.problem_count, first.totals.files), (0, 3));
    assert_eq!((second.totals.bytes_read, second.root == first.root), (0, true));
    assert_eq!(third.totals.bytes_read, 1024, "its -wal has changed");
    let report = scene.restore(&third.root, &options()).unwrap();
    assert_eq!((report.files, report.problem_count), (3, 0));
    let restored: Vec<_> = listing(&scene.restored()).into_keys().collect();
    assert_eq!(restored, ["", "notes", "notes-wal", "shop.db"]);
}

#[test]
fn a_database_that_cannot_be_captured_is_a_problem_and_the_rest_is_saved() {
    let scene = Scene::new();
    write_database(&scene.source().join("locked.db"), b'!');
    write(scene.source().join("file"), "file");

    let tree = scene.back_up();

    assert_eq!((tree.problem_count, tree.totals.files), (1, 1));
    assert_eq!(
        (&tree.problems[0].path[..], &tree.problems[0].code[..]),
        (&b"locked.db"[..], "locked")
    );
}

#[test]
fn sockets_are_saved_and_left_to_their_programs() {
    let scene = Scene::new();
    let _listener = UnixListener::bind(scene.source().join("socket")).unwrap();

    let tree = scene.back_up();
    let report = scene.restore(&tree.root, &options()).unwrap();

    assert_eq!((tree.totals.others, report.sockets_skipped, report.problem_count), (1, 1, 0));
}

#[test]
fn folders_too_deep_for_the_format_are_a_problem_and_no_crash() {
    let scene = Scene::new();
    let mut at =
        rustix::fs::open(scene.source(), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap();
    for _ in 0..1100 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
    }

    let tree = scene.back_up();

    assert_eq!(tree.problem_count, 1);
    assert!(["too-deep", "unlisted"].contains(&&tree.problems[0].code[..]), "{tree:?}");
    let _ = scene.restore(&tree.root, &options()).unwrap();
    // A recursive removal of so deep a tree is more than the standard library dares.
    let _ = std::process::Command::new("rm").arg("-rf").arg(scene.folder.path()).status();
}

#[test]
fn a_root_that_does_not_exist_is_an_error_and_no_empty_snapshot() {
    let scene = Scene::new();
    let selection = Selection { paths: vec!["/nowhere/at/all".into()], ..Selection::default() };

    let backup = scene.back_up_as(&RealReadDisk, &selection, None);

    assert!(matches!(backup, Err(Error::Root { .. })));
    let _ = RESTED;
}
