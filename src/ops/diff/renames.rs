//! Files that went and came under another name: what was removed here and added there with the same
//! bytes.

use std::collections::HashMap;

use crate::{
    format::node::{Content, Entry},
    id::ChunkId,
    ops::diff::{Change, Difference},
};

/// Files that are kept to be matched; what comes after them is told as it is.
const KEPT_MAX: usize = 50_000;

/// Files that only one side has, so far.
#[derive(Default)]
pub struct Renames {
    removed: Vec<(Vec<u8>, Entry)>,
    added: Vec<(Vec<u8>, Entry)>,
}

impl Renames {
    /// Keeps a difference that may be half of a renaming.
    pub fn keeps(&mut self, difference: &Difference<'_>) -> bool {
        let (kept, entry) = match (difference.change, difference.from, difference.to) {
            (Change::Removed, Some(entry), _) => (&mut self.removed, entry),
            (Change::Added, _, Some(entry)) => (&mut self.added, entry),
            _ => return false,
        };
        let has_content = content(entry).is_some();
        if has_content && kept.len() < KEPT_MAX {
            kept.push((difference.path.to_vec(), entry.clone()));
            return true;
        }
        false
    }

    /// Tells what was kept: pairs as renamed, the rest as it was.
    pub fn tell(self, visit: &mut dyn FnMut(Difference<'_>)) {
        let mut by_content: HashMap<Bytes<'_>, Vec<usize>> = HashMap::new();
        // Of several with the same content, the first in order is taken first.
        for (at, (_, entry)) in self.removed.iter().enumerate().rev() {
            by_content.entry(content(entry).expect("only those are kept")).or_default().push(at);
        }
        let mut is_matched = vec![false; self.removed.len()];
        for (path, to) in &self.added {
            let same = content(to).and_then(|content| by_content.get_mut(&content));
            let difference = match same.and_then(Vec::pop) {
                Some(at) => {
                    is_matched[at] = true;
                    let (path_from, from) = &self.removed[at];
                    let (path_from, from) = (Some(&path_from[..]), Some(from));
                    Difference { path, path_from, change: Change::Renamed, from, to: Some(to) }
                }
                None => {
                    let change = Change::Added;
                    Difference { path, path_from: None, change, from: None, to: Some(to) }
                }
            };
            visit(difference);
        }
        for ((path, from), _) in self.removed.iter().zip(is_matched).filter(|(_, matched)| !matched)
        {
            let change = Change::Removed;
            visit(Difference { path, path_from: None, change, from: Some(from), to: None });
        }
    }
}

/// Length and chunks, which are alike for the same bytes.
type Bytes<'a> = (u64, &'a [ChunkId]);

/// What a file holds; empty ones are all alike.
fn content(entry: &Entry) -> Option<Bytes<'_>> {
    match &entry.content {
        Content::File { bytes: bytes @ 1.., stream, .. } => Some((*bytes, &stream.ids)),
        _ => None,
    }
}
