//! Whatever a repository says, and whatever lies in the target: a restore changes nothing outside
//! of it. (RELIABILITY T12)

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use rustix::fs::{CWD, FileType, Mode};
use stillpoint::{
    chunk::Store,
    format::{
        node::{Content, Entry, NODE_VERSION},
        stream::Stream,
    },
    id::ChunkId,
    sink::files::{Error, Extra, Options, Overwrite, Owners, Report},
};

use crate::scene::{
    Listing, Scene, is_root, link, listing, set_mode, set_modified, witness, write,
};

const MODIFIED: (i64, u32) = (1_500_000_000, 0);

/// A target to attack, and a folder beside it that must not change.
struct Attack {
    scene: Scene,
}

impl Attack {
    fn new() -> Self {
        let attack = Self { scene: Scene::in_memory() };
        write(attack.outside().join("file"), "outside");
        set_modified(attack.outside().join("file"), MODIFIED.0, 0);
        write(attack.outside().join("folder/deep"), "outside, deeper");
        attack
    }

    fn outside(&self) -> PathBuf {
        self.scene.folder.path().join("outside")
    }

    fn target(&self) -> PathBuf {
        self.scene.restored()
    }

    /// Makes a chunk of any bytes, and a stream of it.
    fn stream(&self, bytes: &[u8]) -> Stream {
        let ids = if bytes.is_empty() { Vec::new() } else { vec![self.chunk(bytes)] };
        Stream { depth: 0, bytes: bytes.len() as u64, ids }
    }

    fn chunk(&self, bytes: &[u8]) -> ChunkId {
        self.scene.chunks.clone().put(bytes).unwrap()
    }

    fn file(&self, content: &[u8]) -> Content {
        let stream = self.stream(content);
        Content::File { bytes: stream.bytes, stream, extents: None }
    }

    /// Makes the node of a folder from entries as they stand in it, whatever they are.
    fn node(&self, entries: &[Vec<u8>]) -> Stream {
        let bytes: Vec<u8> = [NODE_VERSION].into_iter().chain(entries.concat()).collect();
        self.stream(&bytes)
    }

    fn folder(&self, entries: &[Vec<u8>]) -> Content {
        Content::Folder { node: self.node(entries) }
    }

    fn restore_node(&self, node: Stream, options: &Options) -> Result<Report, Error> {
        self.scene.restore(&entry("root", Content::Folder { node }), options)
    }

    /// Restores a root folder of these entries.
    fn restore(&self, entries: &[Vec<u8>], options: &Options) -> Result<Report, Error> {
        self.restore_node(self.node(entries), options)
    }

    /// What nothing may change: all that is beside the target.
    fn witness(&self) -> Listing {
        witness(&self.outside())
    }
}

fn entry(name: &str, content: Content) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        content,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: MODIFIED,
        changed: MODIFIED,
        device: 1,
        inode: 1,
        links: 1,
        xattrs: Vec::new(),
        problem: None,
    }
}

/// Encodes an entry under any name at all.
fn named(name: &[u8], content: Content) -> Vec<u8> {
    with_name(name, &entry("n", content))
}

fn with_name(name: &[u8], entry: &Entry) -> Vec<u8> {
    let mut honest = Vec::new();
    entry.encode_into(&mut honest).unwrap();
    let rest = &honest[1 + entry.name.len()..];
    let mut bytes = Vec::new();
    let mut length = name.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(rest);
    bytes
}

fn plain(name: &str, content: Content) -> Vec<u8> {
    named(name.as_bytes(), content)
}

/// All that can be asked of a restore, so that no policy opens a door that others keep shut.
fn all_options() -> Vec<Options> {
    let mut all = Vec::new();
    for overwrite in [Overwrite::Never, Overwrite::Changed, Overwrite::Always] {
        for extra in [Extra::Keep, Extra::Delete { except: Vec::new() }] {
            for owners in [Owners::Ours, Owners::Restored] {
                if owners == Owners::Ours || is_root() {
                    let extra = extra.clone();
                    let entries_max = Some(50_000);
                    all.push(Options {
                        overwrite,
                        extra,
                        owners,
                        entries_max,
                        ..Options::default()
                    });
                }
            }
        }
    }
    all
}

/// Names that no entry may have.
fn hostile_names() -> Vec<Vec<u8>> {
    let fixed: [&[u8]; 18] = [
        b"",
        b".",
        b"..",
        b"/",
        b"//",
        b"../outside",
        b"../outside/file",
        b"../../x",
        b"a/../../outside/new",
        b"a/b",
        b"a/",
        b"/etc/passwd",
        b"\0",
        b"..\0",
        b"a\0b",
        b"./a",
        b"../target/tree/../../outside/new",
        b"tree/..",
    ];
    let long = [vec![b'n'; 256], vec![b'n'; 4096], b"../".repeat(1000)];
    fixed.into_iter().map(<[u8]>::to_vec).chain(long).collect()
}

#[test]
fn hostile_names_reach_nothing() {
    let mut tried = 0;
    for name in hostile_names() {
        let attack = Attack::new();
        let file = attack.file(b"hostile");
        let inner = named(b"file", attack.file(b"hostile"));
        let folder = attack.folder(&[inner]);
        let target = attack.outside().into_os_string().into_encoded_bytes();
        let before = attack.witness();
        for content in [file, folder, Content::Link { target }, Content::Fifo] {
            for options in all_options() {
                let report = attack.restore(&[named(&name, content.clone())], &options).unwrap();

                assert_eq!((report.files, report.others, report.folders), (0, 0, 0), "{name:?}");
                assert_eq!(report.problem_count, 1, "{name:?}");
                tried += 1;
            }
        }
        assert_eq!(attack.witness(), before, "{name:?}");
    }
    println!("{tried} restores of hostile names, nothing reached");
}

/// Makes what lies in the target before the restore.
type Plant = fn(&Attack);
/// Makes the entries of the root folder.
type Tree = fn(&Attack) -> Vec<Vec<u8>>;

fn file_tree(attack: &Attack) -> Vec<Vec<u8>> {
    vec![plain("x", attack.file(b"inside"))]
}

fn folder_tree(attack: &Attack) -> Vec<Vec<u8>> {
    let inner = [plain("deep", attack.file(b"inside")), plain("file", attack.file(b"inside"))];
    vec![plain("x", attack.folder(&inner))]
}

fn fifo(path: PathBuf) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// What somebody may have put into the target, and a tree to restore over it.
fn plants() -> Vec<(&'static str, Plant, Tree)> {
    vec![
        (
            "link to a file for a file",
            |a| link(a.outside().join("file"), a.target().join("x")),
            file_tree,
        ),
        (
            "link to nothing yet for a file",
            |a| link(a.outside().join("new"), a.target().join("x")),
            file_tree,
        ),
        ("link to a folder for a file", |a| link(a.outside(), a.target().join("x")), file_tree),
        ("link to a folder for a folder", |a| link(a.outside(), a.target().join("x")), folder_tree),
        (
            "relative link for a folder",
            |a| link("../../outside/folder", a.target().join("x")),
            folder_tree,
        ),
        (
            "link to a file for a folder",
            |a| link(a.outside().join("file"), a.target().join("x")),
            folder_tree,
        ),
        (
            "chain of links",
            |a| {
                link("y", a.target().join("x"));
                link("z", a.target().join("y"));
                link(a.outside(), a.target().join("z"));
            },
            folder_tree,
        ),
        (
            "link in a folder",
            |a| {
                fs::create_dir(a.target().join("x")).unwrap();
                link(a.outside().join("file"), a.target().join("x/file"));
                link(a.outside().join("folder"), a.target().join("x/deep"));
            },
            folder_tree,
        ),
        ("extra link to a folder", |a| link(a.outside(), a.target().join("extra")), file_tree),
        (
            "extra folder with a link out",
            |a| {
                fs::create_dir(a.target().join("extra")).unwrap();
                link(a.outside(), a.target().join("extra/out"));
            },
            file_tree,
        ),
        (
            "links under the names of unfinished files",
            |a| {
                write(a.target().join("x"), "something to replace");
                for number in 0..20 {
                    let name = format!(".stillpoint-unfinished-{number}");
                    link(a.outside().join("file"), a.target().join(name));
                }
            },
            file_tree,
        ),
        (
            "link instead of the marker",
            |a| link(a.outside().join("new"), a.scene.target().join(".stillpoint-unfinished-tree")),
            file_tree,
        ),
        (
            "link instead of the whole destination",
            |a| {
                fs::remove_dir(a.target()).unwrap();
                link(a.outside(), a.target());
            },
            file_tree,
        ),
        ("fifo for a file", |a| fifo(a.target().join("x")), file_tree),
        ("fifo for a folder", |a| fifo(a.target().join("x")), folder_tree),
        ("folder for a file", |a| write(a.target().join("x/y"), "inside"), file_tree),
        ("file for a folder", |a| write(a.target().join("x"), "inside"), folder_tree),
        (
            "longer read-only file",
            |a| {
                write(a.target().join("x"), "inside, and much more of it");
                set_mode(a.target().join("x"), 0o400);
            },
            file_tree,
        ),
        (
            "read-only folder",
            |a| {
                fs::create_dir(a.target().join("x")).unwrap();
                set_mode(a.target().join("x"), 0o500);
            },
            folder_tree,
        ),
    ]
}

#[test]
fn what_is_planted_in_the_target_leads_nowhere() {
    let mut tried = 0;
    for (what, plant, tree) in plants() {
        for options in all_options() {
            let attack = Attack::new();
            fs::create_dir(attack.target()).unwrap();
            plant(&attack);
            let before = attack.witness();
            let entries = tree(&attack);

            let restored = attack.restore(&entries, &options);

            assert_eq!(attack.witness(), before, "{what} {options:?}: {restored:?}");
            let is_complete = restored.is_ok_and(|report| report.problem_count == 0);
            if options.overwrite != Overwrite::Never && is_complete {
                let now = listing(&attack.target());
                let inside = blake3::hash(b"inside").to_string();
                let files = now.values().filter(|text| text.contains(&inside)).count();
                assert!(files >= entries.len(), "{what} {options:?}: {now:?}");
            }
            tried += 1;
        }
    }
    println!("{tried} restores over planted files, nothing reached");
}

fn encoded(entry: &Entry) -> Vec<u8> {
    with_name(&entry.name, entry)
}

/// What of the outside file could be changed through another name of it.
fn outside_file(attack: &Attack) -> (Vec<u8>, u32, u32, i64) {
    let path = attack.outside().join("file");
    let meta = fs::metadata(&path).unwrap();
    (fs::read(path).unwrap(), meta.mode(), meta.uid(), meta.mtime())
}

#[test]
fn a_file_that_has_another_name_outside_is_replaced_and_never_changed() {
    for (content, mode) in [("outside", 0o600), ("outside", 0o777), ("OUTSIDE", 0o644), ("", 0o644)]
    {
        for options in all_options() {
            let attack = Attack::new();
            fs::create_dir(attack.target()).unwrap();
            fs::hard_link(attack.outside().join("file"), attack.target().join("x")).unwrap();
            let before = outside_file(&attack);
            let file = attack.file(content.as_bytes());
            let hostile = Entry { mode, uid: 4242, ..entry("x", file) };

            let _ = attack.restore(&[encoded(&hostile)], &options).unwrap();

            assert_eq!(outside_file(&attack), before, "{content:?} {mode:o} {options:?}");
        }
    }
}

#[test]
fn no_name_is_linked_to_a_file_that_has_another_name_outside() {
    for options in all_options() {
        let attack = Attack::new();
        fs::create_dir(attack.target()).unwrap();
        let there = attack.target().join("a");
        fs::hard_link(attack.outside().join("file"), &there).unwrap();
        let meta = fs::metadata(&there).unwrap();
        let before = meta.nlink();
        let same = Entry {
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            links: 2,
            ..entry("a", attack.file(b"outside"))
        };
        let other = Entry { name: b"b".to_vec(), ..same.clone() };

        let _ = attack.restore(&[encoded(&same), encoded(&other)], &options).unwrap();

        let after = fs::metadata(attack.outside().join("file")).unwrap().nlink();
        assert!(after <= before, "{options:?}");
        assert_eq!(fs::read(attack.target().join("b")).unwrap(), b"outside");
    }
}

#[test]
fn names_of_one_file_that_disagree_become_files_of_their_own() {
    let attack = Attack::new();
    let linked =
        |name, content: &[u8]| encoded(&Entry { links: 3, ..entry(name, attack.file(content)) });
    let lost = Stream { depth: 0, bytes: 4, ids: vec![ChunkId([7; 32])] };
    let lost = Content::File { bytes: 4, stream: lost, extents: None };
    let lost = encoded(&Entry { links: 3, ..entry("0", lost) });
    let inner = attack.folder(&[linked("d", b"two")]);

    let entries = [lost, linked("a", b"one"), linked("b", b"two"), plain("c", inner)];
    let report = attack.restore(&entries, &Options::default()).unwrap();

    assert_eq!((report.problem_count, &report.problems[0].path[..]), (1, &b"0"[..]));
    for (name, content) in [("a", "one"), ("b", "two"), ("c/d", "two")] {
        assert_eq!(fs::read_to_string(attack.target().join(name)).unwrap(), content);
    }
}

/// Makes the node of a root folder.
type Broken = fn(&Attack) -> Stream;

/// Trees that break a rule of the format, or of common sense.
fn broken_trees() -> Vec<(&'static str, Broken)> {
    vec![
        ("no bytes at all", |_| Stream::default()),
        ("another version", |a| a.stream(&[9])),
        ("version only", |a| a.stream(&[NODE_VERSION])),
        ("two entries of one name", |a| {
            a.node(&[plain("a", a.file(b"1")), plain("a", a.file(b"2"))])
        }),
        ("a file, then a folder of its name", |a| {
            a.node(&[plain("a", a.file(b"1")), plain("a", a.folder(&[]))])
        }),
        ("a link, then a folder of its name", |a| {
            let target = a.outside().into_os_string().into_encoded_bytes();
            let inner = [plain("file", a.file(b"hostile"))];
            a.node(&[plain("a", Content::Link { target }), plain("a", a.folder(&inner))])
        }),
        ("names out of order", |a| a.node(&[plain("b", a.file(b"")), plain("a", a.file(b""))])),
        ("bytes behind the last entry", |a| a.node(&[plain("a", a.file(b"")), vec![1]])),
        ("an unknown kind", |a| {
            let mut unknown = plain("a", Content::Fifo);
            unknown[2] = 9;
            a.node(&[unknown])
        }),
        ("a mode with unknown bits", |a| {
            let mut unknown = plain("a", Content::Fifo);
            let _ = unknown.splice(3..5, [0xff, 0xff, 0x03]);
            a.node(&[unknown])
        }),
        ("a chunk that is not there", |_| Stream {
            depth: 0,
            bytes: 10,
            ids: vec![ChunkId([3; 32])],
        }),
        ("a list of half an id", |a| Stream { depth: 1, bytes: 10, ids: vec![a.chunk(&[1; 33])] }),
        ("lists deeper than any", |a| Stream {
            depth: 200,
            bytes: 10,
            ids: vec![a.chunk(&[1; 32])],
        }),
        ("a length that is a lie", |a| Stream {
            bytes: u64::MAX,
            ..a.node(&[plain("a", a.file(b""))])
        }),
        ("a length that is too short", |a| Stream {
            bytes: 3,
            ..a.node(&[plain("a", a.file(b""))])
        }),
        ("a file longer than its chunks", |a| {
            let stream = Stream { bytes: 100, ..a.stream(b"short") };
            a.node(&[plain("a", Content::File { bytes: 100, stream, extents: None })])
        }),
        ("a file shorter than its chunks", |a| {
            let stream = Stream { bytes: 2, ..a.stream(b"longer") };
            a.node(&[plain("a", Content::File { bytes: 2, stream, extents: None })])
        }),
        ("a file of 2^63 bytes", |a| {
            let (stream, extents) = (Stream::default(), Some(Vec::new()));
            a.node(&[plain("a", Content::File { bytes: 1 << 63, stream, extents })])
        }),
        ("data at the end of 8 EiB", |a| {
            let bytes = i64::MAX as u64;
            let (stream, extents) = (a.stream(b"end"), Some(vec![(bytes - 3, 3)]));
            a.node(&[plain("a", Content::File { bytes, stream, extents })])
        }),
        ("four TiB of one chunk", |a| {
            let chunk = a.chunk(&vec![7; 4 << 20]);
            let list = a.chunk(&chunk.0.repeat(8192));
            let bytes = (128 * 8192) << 22;
            let stream = Stream { depth: 1, bytes, ids: vec![list; 128] };
            a.node(&[plain("a", Content::File { bytes, stream, extents: None })])
        }),
        ("times beyond all calendars", |a| {
            let timed = |name, seconds| {
                let file = entry(name, a.file(b"time"));
                encoded(&Entry { modified: (seconds, 999_999_999), ..file })
            };
            a.node(&[timed("a", i64::MIN), timed("b", i64::MAX)])
        }),
        ("owners that nobody can have", |a| {
            let file = entry("a", a.file(b"owner"));
            a.node(&[encoded(&Entry { uid: u32::MAX, gid: u32::MAX, ..file })])
        }),
        ("attributes that none should set", |a| {
            let names = ["", "no namespace", "security.capability", "system.x", "trusted.x"];
            let xattrs = names[1..].iter().map(|name| (name.as_bytes().to_vec(), vec![1; 70_000]));
            let file = entry("a", a.file(b"attributes"));
            a.node(&[encoded(&Entry { xattrs: xattrs.collect(), ..file })])
        }),
        ("devices and a program with root's rights", |a| {
            let device = Content::CharDevice { major: 1, minor: 3 };
            let program = entry("p", a.file(b"#!/bin/sh"));
            let device_entry = plain("d", device);
            a.node(&[device_entry, encoded(&Entry { mode: 0o6777, ..program })])
        }),
        ("names that differ in case and in form only", |a| {
            let names = ["A", "a", "e\u{301}", "\u{e9}"];
            a.node(&names.map(|name| plain(name, a.file(name.as_bytes()))))
        }),
        ("folders too deep in each other", |a| {
            let bottom = a.node(&[plain("bottom", a.file(b"bottom"))]);
            (0..1100).fold(bottom, |node, _| a.node(&[plain("d", Content::Folder { node })]))
        }),
    ]
}

#[test]
fn broken_trees_end_in_a_report_and_touch_nothing() {
    let trees = broken_trees();
    for (what, tree) in &trees {
        for options in all_options() {
            let attack = Attack::new();
            let before = attack.witness();
            let node = tree(&attack);

            let restored = attack.restore_node(node, &options);

            assert_eq!(attack.witness(), before, "{what} {options:?}: {restored:?}");
            let report = restored.unwrap();
            let is_sound = ["version only", "names that differ in case and in form only"];
            let is_listed = report.problem_count > 0;
            let may_be_whole = ["devices", "times", "owners", "data at the end"];
            if !may_be_whole.iter().any(|start| what.starts_with(start)) {
                assert_eq!(is_listed, !is_sound.contains(what), "{what} {options:?}: {report:?}");
            }
            // A tree this deep is more than the standard library removes.
            let folder = attack.scene.folder.path();
            let _ = std::process::Command::new("rm").arg("-rf").arg(folder).status();
        }
    }
    println!("{} broken trees", trees.len());
}

#[test]
fn nodes_cut_at_any_byte_are_reported() {
    let attack = Attack::new();
    let entries = [plain("a", attack.file(b"1")), plain("b", attack.folder(&[]))];
    let node: Vec<u8> = [NODE_VERSION].into_iter().chain(entries.concat()).collect();
    let before = attack.witness();

    for bytes in 0..node.len() {
        let cut = attack.stream(&node[..bytes]);
        let report = attack.restore_node(cut, &Options::default()).unwrap();

        let is_whole = bytes == 1 || bytes == 1 + entries[0].len();
        assert_eq!(report.problem_count == 0, is_whole, "{bytes} of {}", node.len());
    }
    assert_eq!(attack.witness(), before);
}

#[test]
fn rights_of_others_are_not_handed_out_when_all_belongs_to_us() {
    let attack = Attack::new();
    let program = Entry { mode: 0o6755, ..entry("p", attack.file(b"#!/bin/sh")) };
    let device = plain("d", Content::BlockDevice { major: 8, minor: 0 });

    let report = attack.restore(&[device, encoded(&program)], &Options::default()).unwrap();

    assert_eq!((report.problem_count, &report.problems[0].code[..]), (1, "needs-root"));
    assert_eq!(fs::metadata(attack.target().join("p")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_tree_that_folds_into_itself_ends_where_its_record_says() {
    let attack = Attack::new();
    let bottom = attack.node(&[]);
    // Each level holds the one below it twice: 2^40 folders from forty nodes.
    let node = (0..40).fold(bottom, |node, _| {
        let twice = ["a", "b"].map(|name| plain(name, Content::Folder { node: node.clone() }));
        attack.node(&twice)
    });
    let options = Options { entries_max: Some(2000), ..Options::default() };

    let ended = attack.restore_node(node, &options);

    assert!(matches!(ended, Err(Error::TooManyEntries { entries_max: 2000 })), "{ended:?}");
}

#[test]
fn a_link_of_an_older_snapshot_is_not_followed_by_a_newer_one() {
    let attack = Attack::new();
    let target = attack.outside().into_os_string().into_encoded_bytes();
    let older = [plain("d", Content::Link { target })];
    let newer = [plain("d", attack.folder(&[plain("file", attack.file(b"inside"))]))];
    let before = attack.witness();

    let _ = attack.restore(&older, &Options::default()).unwrap();
    let report = attack.restore(&newer, &Options::default()).unwrap();

    assert_eq!((attack.witness(), report.problem_count), (before, 0));
    assert_eq!(fs::read(attack.target().join("d/file")).unwrap(), b"inside");
}

/// Somebody who may write to the target exchanges folders and files for links to the outside, again
/// and again, while restore after restore runs over them.
#[test]
fn links_swapped_in_during_a_restore_lead_nowhere() {
    let attack = Attack::new();
    let inner: Vec<_> =
        (0..50).map(|n| plain(&format!("{n:02}"), attack.file(b"inside"))).collect();
    let folders = ["a", "b", "c", "d"].map(|name| plain(name, attack.folder(&inner)));
    let node = attack.node(&folders);
    let before = attack.witness();
    let is_over = AtomicBool::new(false);
    let mut problems = 0;

    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0_u64;
            while !is_over.load(Relaxed) {
                for name in ["a", "b/07", "c", "d/33"] {
                    swaps += u64::from(swap(&attack, name));
                }
            }
            swaps
        });
        for round in 0..150 {
            let options = &all_options()[round % all_options().len()];
            if let Ok(report) = attack.restore_node(node.clone(), options) {
                problems += report.problem_count;
            }
        }
        is_over.store(true, Relaxed);
        println!("{} swaps, {problems} problems listed", swapping.join().unwrap());
    });

    assert_eq!(attack.witness(), before);
}

/// Puts a link to the outside in place of a name, and back; returns whether it was quick enough.
fn swap(attack: &Attack, name: &str) -> bool {
    let (path, aside) = (attack.target().join(name), attack.scene.target().join("aside"));
    let outside = if name.contains('/') { "file" } else { "folder" };
    if fs::rename(&path, &aside).is_err() {
        return false;
    }
    let is_swapped = std::os::unix::fs::symlink(attack.outside().join(outside), &path).is_ok();
    std::thread::yield_now();
    if is_swapped {
        let _ = fs::remove_file(&path);
    }
    if fs::rename(&aside, &path).is_err() {
        let _ = fs::remove_dir_all(&aside);
        let _ = fs::remove_file(&aside);
    }
    is_swapped
}

#[test]
fn a_folder_of_very_many_entries_is_planned_within_bounds() {
    let attack = Attack::new();
    let mut writer = stillpoint::repo::tree::NodeWriter::new(&attack.scene.keys);
    let mut chunks = attack.scene.chunks.clone();
    for number in 0..300_000 {
        let empty = entry(&format!("{number:07}"), attack.file(b""));
        writer.push(&mut chunks, &empty).unwrap();
    }
    let node = writer.finish(&mut chunks).unwrap();
    let root = entry("root", Content::Folder { node });

    let plan = stillpoint::sink::files::plan_tree;
    let report = attack.scene.restore_with(&root, &Options::default(), plan).unwrap();

    assert_eq!((report.files, report.problem_count), (300_000, 0));
}
