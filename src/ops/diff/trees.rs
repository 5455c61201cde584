//! Two trees side by side. Folders with the same node are alike with all that is below, and are not
//! read.

use std::cmp::Ordering;

use crate::{
    chunk::Fetch,
    format::{
        node::{Content, Entry},
        stream::Stream,
    },
    limits::FOLDER_DEPTH_MAX,
    repo::tree::{Error, Met, NodeEntries, Step, walk},
    sink::files::OwnerMap,
};

/// How something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Added,
    Removed,
    /// The same bytes under another name.
    Renamed,
    /// Other bytes.
    Content,
    /// The same bytes under another mode, owner, time or attribute.
    Metadata,
    /// A file became a folder, or the like.
    Kind,
}

/// An entry that differs.
#[derive(Debug)]
pub struct Difference<'a> {
    pub path: &'a [u8],
    /// The older path of what was renamed.
    pub path_from: Option<&'a [u8]>,
    pub change: Change,
    pub from: Option<&'a Entry>,
    pub to: Option<&'a Entry>,
}

/// Is told what differs, and which folder cannot be read to its end.
pub type Visit<'a> = &'a mut dyn FnMut(Result<Difference<'_>, (&[u8], Error)>);

/// Two folders under comparison: what is left of each, and how long the path to them is.
struct Pair<'a> {
    from: Side<'a>,
    to: Side<'a>,
    path_bytes: usize,
}

/// The entries of one folder, the next one looked at already.
struct Side<'a> {
    entries: NodeEntries<'a>,
    next: Option<Result<Entry, Error>>,
}

impl<'a> Side<'a> {
    fn new(fetch: &'a dyn Fetch, node: &Stream) -> Self {
        let mut entries = NodeEntries::new(fetch, node);
        let next = entries.next();
        Self { entries, next }
    }

    fn take(&mut self) -> Option<Result<Entry, Error>> {
        std::mem::replace(&mut self.next, self.entries.next())
    }

    /// The name of the next entry; a folder that cannot be read on sorts first, to be told of at
    /// once.
    fn name(&self) -> Option<&[u8]> {
        self.next.as_ref().map(|next| next.as_ref().map_or(&b""[..], |entry| &entry.name))
    }
}

/// What reads the trees, and the numbers that the older one's owners have in the newer one.
type Look<'a> = (&'a dyn Fetch, &'a OwnerMap);

/// Compares two entries, and all that is below them.
pub fn diff(look: Look<'_>, (from, to): (&Entry, &Entry), at: &[u8], visit: Visit<'_>) {
    let mut path = at.to_vec();
    let mut open = Vec::new();
    compare(look, (from, to), &path, &mut open, visit);
    // No recursion on input.
    while let Some(pair) = open.last_mut() {
        path.truncate(pair.path_bytes);
        let order = match (pair.from.name(), pair.to.name()) {
            (None, None) => {
                let _ = open.pop();
                continue;
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(from), Some(to)) => from.cmp(to),
        };
        let from = if order.is_le() { pair.from.take() } else { None };
        let to = if order.is_ge() { pair.to.take() } else { None };
        match (from.transpose(), to.transpose()) {
            (Ok(from), Ok(to)) => {
                let name = from.as_ref().or(to.as_ref()).map(|entry| entry.name.clone());
                walk::join(&mut path, &name.unwrap_or_default());
                meet(look, (from.as_ref(), to.as_ref()), &path, &mut open, visit);
            }
            (Err(error), other) | (other, Err(error)) => {
                visit(Err((&path, error)));
                if let Err(error) = other {
                    visit(Err((&path, error)));
                }
            }
        }
    }
}

fn meet<'a>(
    look: Look<'a>,
    entries: (Option<&Entry>, Option<&Entry>),
    path: &[u8],
    open: &mut Vec<Pair<'a>>,
    visit: Visit<'_>,
) {
    match entries {
        (Some(from), Some(to)) => compare(look, (from, to), path, open, visit),
        (Some(from), None) => tell_whole(look.0, from, path, Change::Removed, visit),
        (None, Some(to)) => tell_whole(look.0, to, path, Change::Added, visit),
        (None, None) => {}
    }
}

fn compare<'a>(
    (fetch, owners): Look<'a>,
    (from, to): (&Entry, &Entry),
    path: &[u8],
    open: &mut Vec<Pair<'a>>,
    visit: Visit<'_>,
) {
    if let Some(change) = change(from, to, owners) {
        let (from, to) = (Some(from), Some(to));
        visit(Ok(Difference { path, path_from: None, change, from, to }));
    }
    let (Content::Folder { node: older }, Content::Folder { node: newer }) =
        (&from.content, &to.content)
    else {
        return;
    };
    if older != newer && open.len() <= FOLDER_DEPTH_MAX {
        let (from, to) = (Side::new(fetch, older), Side::new(fetch, newer));
        open.push(Pair { from, to, path_bytes: path.len() });
    }
}

/// An entry that only one side has, with all that is below it.
fn tell_whole(fetch: &dyn Fetch, entry: &Entry, path: &[u8], change: Change, visit: Visit<'_>) {
    visit(Ok(one_sided(path, entry, change)));
    let Content::Folder { node } = &entry.content else { return };
    let told: Result<(), std::convert::Infallible> = walk(fetch, node, &mut |below, met| {
        let mut whole = path.to_vec();
        walk::join(&mut whole, below);
        match met {
            Met::Entry(entry) => visit(Ok(one_sided(&whole, entry, change))),
            Met::Unreadable(error) => visit(Err((&whole, error))),
        }
        Ok(Step::Into)
    });
    let Ok(()) = told;
}

fn one_sided<'a>(path: &'a [u8], entry: &'a Entry, change: Change) -> Difference<'a> {
    match change {
        Change::Removed => {
            Difference { path, path_from: None, change, from: Some(entry), to: None }
        }
        _ => Difference { path, path_from: None, change, from: None, to: Some(entry) },
    }
}

/// How two entries of one name differ, whatever is below them.
fn change(from: &Entry, to: &Entry, owners: &OwnerMap) -> Option<Change> {
    let same_content = match (&from.content, &to.content) {
        (Content::Folder { .. }, Content::Folder { .. }) => true,
        (Content::Database(older), Content::Database(newer)) => older.identity == newer.identity,
        (older, newer) if std::mem::discriminant(older) == std::mem::discriminant(newer) => {
            older == newer
        }
        _ => return Some(Change::Kind),
    };
    if !same_content {
        return Some(Change::Content);
    }
    // Device, inode, link count and change time are the source's own business: a restore does not
    // bring them back. The time of a folder only says that something in it came or went, which is
    // told anyway.
    let modified = |entry: &Entry| match entry.content {
        Content::Folder { .. } => None,
        _ => Some(entry.modified),
    };
    let metadata = |entry: &Entry| (entry.mode, modified(entry), entry.xattrs.clone());
    let is_other = owners.of(from) != (to.uid, to.gid) || metadata(from) != metadata(to);
    is_other.then_some(Change::Metadata)
}

#[cfg(test)]
mod tests;
