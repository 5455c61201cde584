//! Walks a stored tree, and finds one path in it.

use crate::{
    chunk::Fetch,
    format::{
        self,
        node::{Content, Entry},
        stream::Stream,
    },
    limits::FOLDER_DEPTH_MAX,
    repo::tree::{Error, NodeEntries},
};

/// What a walk meets.
#[derive(Debug)]
pub enum Met<'a> {
    Entry(&'a Entry),
    /// The rest of the folder at this path cannot be read; the walk goes on beside it.
    Unreadable(Error),
}

/// Where a walk goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Into the folder just met, if it is one.
    Into,
    /// Past it.
    Over,
    /// Nowhere: it ends.
    Stop,
}

/// Is told the path of what a walk meets, and says where it goes next.
pub type Visit<'v, E> = dyn FnMut(&[u8], Met<'_>) -> Result<Step, E> + 'v;

/// Calls back with every entry below the node and its path, each folder before what is in it, in
/// the order of names.
pub fn walk<E>(fetch: &dyn Fetch, node: &Stream, visit: &mut Visit<'_, E>) -> Result<(), E> {
    let mut path = Vec::new();
    // Each open folder, and how long the path to it is. No recursion on input.
    let mut open = vec![(NodeEntries::new(fetch, node), 0)];
    while let Some((entries, path_bytes)) = open.last_mut() {
        path.truncate(*path_bytes);
        let step = match entries.next() {
            None => {
                let _ = open.pop();
                continue;
            }
            Some(Err(error)) => visit(&path, Met::Unreadable(error))?,
            Some(Ok(entry)) => {
                join(&mut path, &entry.name);
                let step = visit(&path, Met::Entry(&entry))?;
                match (&entry.content, step) {
                    (Content::Folder { .. }, Step::Into) if open.len() > FOLDER_DEPTH_MAX => {
                        visit(&path, Met::Unreadable(too_deep()))?
                    }
                    (Content::Folder { node }, Step::Into) => {
                        open.push((NodeEntries::new(fetch, node), path.len()));
                        step
                    }
                    _ => step,
                }
            }
        };
        if step == Step::Stop {
            return Ok(());
        }
    }
    Ok(())
}

/// Finds the entry at a path below the root entry; an empty path is the root itself.
pub fn find(fetch: &dyn Fetch, root: &Entry, path: &[u8]) -> Result<Option<Entry>, Error> {
    let mut at = root.clone();
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        let Content::Folder { node } = &at.content else { return Ok(None) };
        match find_name(fetch, node, name)? {
            Some(entry) => at = entry,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

fn find_name(fetch: &dyn Fetch, node: &Stream, name: &[u8]) -> Result<Option<Entry>, Error> {
    for entry in NodeEntries::new(fetch, node) {
        let entry = entry?;
        match entry.name.as_slice().cmp(name) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Ok(Some(entry)),
            std::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// Appends a name to a path; the root's path is empty.
pub fn join(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn too_deep() -> Error {
    let why = "folders lie too deep in each other";
    Error::Format(format::Error::Corrupt { object: "folder node", at: 0, why })
}
