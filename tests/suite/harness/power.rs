//! What a power cut leaves: of every change that nothing made durable, all, nothing, a piece or
//! zeros, each by chance.
//!
//! The model of a file system is the weakest that POSIX allows: a sync of a file keeps its content
//! and not its name, a sync of a folder its names, and nothing else is ordered. Only a rename is
//! whole, as journals have it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    time::{Duration, SystemTime},
};

use stillpoint::disk::Disk;
use stillpoint::disk::RealDisk;

use super::recording_disk::{Made, Node, RecordingDisk, Step};

/// Disks write whole sectors.
const SECTOR: u64 = 512;

/// A file system: what is durable, and what is not yet.
#[derive(Debug, Clone, Default)]
pub struct Media {
    nodes: BTreeMap<Node, Inode>,
    root: Node,
}

#[derive(Debug, Clone)]
struct Inode {
    made: Made,
    durable: State,
    /// Changes since, in order.
    pending: Vec<Step>,
    /// Hash of the durable state, for as long as nothing is pending.
    hash: Option<blake3::Hash>,
}

#[derive(Debug, Clone, Default)]
struct State {
    mode: u32,
    modified: Option<(i64, u32)>,
    content: Vec<u8>,
    entries: BTreeMap<OsString, Node>,
}

/// What becomes of one pending change.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Kept,
    Lost,
    /// Sectors that reached the disk before the power went.
    Torn(u64),
    /// The size is there, the bytes are not.
    Zeroed,
}

impl Media {
    /// What is in the folder now, all of it durable; its nodes become known to the disk.
    pub fn of(path: &Path, disk: &RecordingDisk) -> Self {
        let root = RealDisk.open_root(path).unwrap();
        let mut media = Self { nodes: BTreeMap::new(), root: disk.node_of(&root) };
        media.take_in(media.root, path, disk);
        media
    }

    fn take_in(&mut self, node: Node, path: &Path, disk: &RecordingDisk) {
        let dir = RealDisk.open_root(path).unwrap();
        let mut state = State { mode: mode_of(path), ..State::default() };
        for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
            let child = disk.node_at(&dir, &entry.file_name());
            let _ = state.entries.insert(entry.file_name(), child);
            if entry.file_type().unwrap().is_dir() {
                self.take_in(child, &entry.path(), disk);
            } else {
                let content = fs::read(entry.path()).unwrap();
                let state = State { mode: mode_of(&entry.path()), content, ..State::default() };
                let _ = self.nodes.insert(child, Inode::new(Made::File, state));
            }
        }
        let _ = self.nodes.insert(node, Inode::new(Made::Folder, state));
    }

    /// Goes one step on.
    pub fn take(&mut self, step: &Step) {
        match step {
            Step::Made { node, what } => {
                let _ = self.nodes.insert(*node, Inode::new(what.clone(), State::default()));
            }
            Step::Synced { node } => self.settle(*node),
            Step::SyncedAll => {
                let nodes: Vec<Node> = self.nodes.keys().copied().collect();
                nodes.into_iter().for_each(|node| self.settle(node));
            }
            Step::Wrote { node, .. }
            | Step::Cut { node, .. }
            | Step::Mode { node, .. }
            | Step::Modified { node, .. }
            | Step::Entry { dir: node, .. }
            | Step::Gone { dir: node, .. }
            | Step::Renamed { to: (node, _), .. } => {
                if let Some(inode) = self.nodes.get_mut(node) {
                    inode.pending.push(step.clone());
                    inode.hash = None;
                }
            }
        }
    }

    /// Everything so far is durable in this file or folder. A rename out of another folder is
    /// whole at once, and stands with the folder that it leads to.
    fn settle(&mut self, node: Node) {
        let Some(inode) = self.nodes.get_mut(&node) else { return };
        for step in std::mem::take(&mut inode.pending) {
            self.apply(&step, Fate::Kept);
        }
        let inode = self.inode(node);
        inode.hash = Some(inode.durable.hash());
    }

    /// What the next start finds.
    pub fn after_a_cut(&self, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut after = self.clone();
        let unsettled: Vec<Node> = after
            .nodes
            .iter()
            .filter(|(_, inode)| !inode.pending.is_empty())
            .map(|(node, _)| *node)
            .collect();
        for node in unsettled {
            let pending = std::mem::take(&mut after.inode(node).pending);
            for step in pending {
                let fate = chance.fate(&step);
                after.apply(&step, fate);
            }
        }
        after
    }

    fn inode(&mut self, node: Node) -> &mut Inode {
        self.nodes.get_mut(&node).expect("a node that was made")
    }

    fn apply(&mut self, step: &Step, fate: Fate) {
        if matches!(fate, Fate::Lost) {
            return;
        }
        if let Step::Renamed { from: (from, old), to: (to, new), node } = step {
            let left = self.inode(*from);
            let _ = left.durable.entries.remove(old);
            left.hash = None;
            let _ = self.inode(*to).durable.entries.insert(new.clone(), *node);
            return;
        }
        let node = match step {
            Step::Wrote { node, .. }
            | Step::Cut { node, .. }
            | Step::Mode { node, .. }
            | Step::Modified { node, .. }
            | Step::Entry { dir: node, .. }
            | Step::Gone { dir: node, .. } => *node,
            _ => return,
        };
        self.inode(node).durable.apply(step, fate);
    }

    /// One value for each content that a start could find.
    pub fn fingerprint(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        self.visit(self.root, &mut |inode, names| {
            let hash = inode.hash.unwrap_or_else(|| inode.durable.hash());
            let _ = hasher.update(hash.as_bytes());
            for name in names {
                let _ = hasher.update(name.as_encoded_bytes()).update(&[0]);
            }
        });
        hasher.finalize()
    }

    fn visit(&self, node: Node, visit: &mut dyn FnMut(&Inode, &[&OsString])) {
        let inode = &self.nodes[&node];
        let names: Vec<&OsString> = inode.durable.entries.keys().collect();
        visit(inode, &names);
        for child in inode.durable.entries.values() {
            self.visit(*child, visit);
        }
    }

    /// Makes it real, in an empty folder.
    pub fn write_to(&self, path: &Path) {
        self.write_node(self.root, path);
    }

    fn write_node(&self, node: Node, path: &Path) {
        let inode = &self.nodes[&node];
        match &inode.made {
            Made::Folder => {
                if !path.exists() {
                    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
                }
                for (name, child) in &inode.durable.entries {
                    self.write_node(*child, &path.join(name));
                }
            }
            Made::Link(target) => return std::os::unix::fs::symlink(target, path).unwrap(),
            Made::File => fs::write(path, &inode.durable.content).unwrap(),
        }
        let mode = fs::Permissions::from_mode(inode.durable.mode & 0o7777);
        fs::set_permissions(path, mode).unwrap();
        if let Some((seconds, nanos)) = inode.durable.modified {
            let since = Duration::new(u64::try_from(seconds).unwrap(), nanos);
            let opened = fs::File::open(path).unwrap();
            opened.set_modified(SystemTime::UNIX_EPOCH + since).unwrap();
        }
    }
}

impl Inode {
    fn new(made: Made, durable: State) -> Self {
        let hash = Some(durable.hash());
        Self { made, durable, pending: Vec::new(), hash }
    }
}

impl State {
    fn apply(&mut self, step: &Step, fate: Fate) {
        match step {
            Step::Wrote { offset, bytes, .. } => self.write(*offset, bytes, fate),
            Step::Cut { bytes, .. } => self.content.resize(usize::try_from(*bytes).unwrap(), 0),
            Step::Mode { mode, .. } => self.mode = *mode,
            Step::Modified { modified, .. } => self.modified = Some(*modified),
            Step::Entry { name, node, .. } => {
                let _ = self.entries.insert(name.clone(), *node);
            }
            Step::Gone { name, .. } => {
                let _ = self.entries.remove(name);
            }
            Step::Made { .. } | Step::Renamed { .. } | Step::Synced { .. } | Step::SyncedAll => {}
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8], fate: Fate) {
        let bytes = match fate {
            Fate::Torn(sectors) => &bytes[..bytes.len().min((sectors * SECTOR) as usize)],
            _ => bytes,
        };
        let start = usize::try_from(offset).unwrap();
        let end = start + bytes.len();
        if self.content.len() < end {
            self.content.resize(end, 0);
        }
        if !matches!(fate, Fate::Zeroed) {
            self.content[start..end].copy_from_slice(bytes);
        }
    }

    fn hash(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let _ = hasher.update(&self.mode.to_le_bytes()).update(&self.content);
        let _ = hasher.update(format!("{:?}", self.modified).as_bytes());
        hasher.finalize()
    }
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode()
}

/// Numbers that look drawn and come again for the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // SplitMix64, Steele, Lea and Flood, 2014.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fate(&mut self, step: &Step) -> Fate {
        let drawn = self.next();
        match (step, drawn % 4) {
            (_, 0) => Fate::Lost,
            (Step::Wrote { bytes, .. }, 1) => {
                Fate::Torn((drawn >> 2) % (bytes.len() as u64 / SECTOR + 1))
            }
            (Step::Wrote { .. }, 2) => Fate::Zeroed,
            _ => Fate::Kept,
        }
    }
}
