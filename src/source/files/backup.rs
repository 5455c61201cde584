//! Stores one tree: finds its root, walks it on all lanes, and returns its root entry.

use std::sync::Mutex;

use crate::{
    chunk::{Store, cut::CutTable},
    disk::Handle,
    format::node::{Content, Entry},
    limits::MIB,
    repo::tree::content::CONTENT_BUFFER_BYTES,
    source::files::{
        Error, Event, Lanes, Mounts, Parent, Selection, Source, StoredTree,
        failure::Failure,
        filter::Filter,
        linked::Linked,
        names::Names,
        read_disk::uninterrupted,
        roots::{self, Chosen, Roots},
        tally::Tally,
        walk::{Folder, Walk, Worker, entry_of, node_of},
    },
};

/// Stack of one thread. Folders lie in each other up to a thousand deep, and a thread that waits
/// for a sub-folder may take up another one meanwhile. Only what is used takes memory.
const STACK_BYTES: usize = 256 * MIB;

/// Stores a tree. What is stored becomes durable, and part of a snapshot, by what the owner of the
/// lanes does next.
///
/// Costs one `stat` for each entry, one open folder for each level, and the reading of what has
/// changed since the parent snapshot. A folder in which nothing changed stores nothing.
///
/// # Errors
/// [`Error::Root`] if there is nothing to save at all; all lesser trouble is in
/// [`StoredTree::problems`].
pub fn back_up_tree<L: Store + Send>(
    source: &Source<'_>,
    selection: &Selection,
    parent: Option<&Parent<'_>>,
    lanes: Lanes<'_, L>,
) -> Result<StoredTree, Error> {
    let roots = roots::resolve(source.disk, &selection.paths)?;
    let threads = lanes.files.len();
    let new_worker = |lane| Mutex::new(Worker { lane, buffer: vec![0; CONTENT_BUFFER_BYTES] });
    let walk = Walk {
        source,
        cut_table: CutTable::new(source.keys),
        root: &roots.path,
        filter: Filter::new(source.disk, selection)?,
        mounts: selection.mounts,
        parent_began: parent.map(|parent| parent.began),
        workers: lanes.files.iter_mut().map(new_worker).collect(),
        nodes: Mutex::new(lanes.nodes),
        linked: Linked::default(),
        tally: Tally::new(source.observe),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
    let pool = pool.build().map_err(|error| Error::Threads { why: error.to_string() })?;
    let root = pool.install(|| save_root(&walk, &roots, parent))?;
    walk.tally.entry(b"", &root);
    Ok(report(&walk.tally, parent, root, &roots))
}

fn save_root<L: Store + Send>(
    walk: &Walk<'_, L>,
    roots: &Roots,
    parent: Option<&Parent<'_>>,
) -> Result<Entry, Error> {
    let disk = walk.source.disk;
    let unreadable = |source| Error::Root { path: roots.path.clone(), source };
    let dir = uninterrupted(|| disk.open_root(&roots.path)).map_err(unreadable)?;
    let stat = uninterrupted(|| disk.stat_open(Handle::Dir(&dir))).map_err(unreadable)?;
    let names = Names::of(disk, &dir, &roots.chosen).map_err(unreadable)?;
    let (xattrs, problem) = walk.read_xattrs(b"", Handle::Dir(&dir));
    let is_whole = matches!(roots.chosen, Chosen::Whole);
    let folder = Folder {
        dir,
        path: b"",
        depth: 0,
        device: (is_whole && walk.mounts == Mounts::Skip).then_some(stat.device),
        chosen: &roots.chosen,
        names,
        older: parent.and_then(|parent| node_of(parent.root)),
    };
    let node = walk.node(&folder).map_err(|failure| match failure {
        Failure::Run(error) => error,
        Failure::Entry { message, .. } => unreadable(std::io::Error::other(message)),
    })?;
    let name = roots::root_name(&roots.path);
    Ok(Entry { xattrs, problem, ..entry_of(&name, &stat, Content::Folder { node }) })
}

fn report(
    tally: &Tally<'_>,
    parent: Option<&Parent<'_>>,
    root: Entry,
    roots: &Roots,
) -> StoredTree {
    let totals = tally.totals();
    let files_before = parent.map_or(0, |parent| parent.files);
    if files_before > 0 && totals.files == 0 {
        tally.tell(Event::Emptied { files_before });
    }
    let (problems, problem_count) = tally.problems();
    let (gone, gone_count) = tally.all_gone();
    let path = roots.path.clone();
    StoredTree { root, path, totals, problems, problem_count, gone, gone_count }
}
