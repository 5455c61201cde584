//! Which of several patches a page is stored as: what is near, what others start from too, and what
//! leaves room for the changes to come.

use std::collections::HashMap;

use crate::{format::page_chunk::Older, id::ChunkId, limits::PATCH_DEPTH_MAX};

/// What it costs to name the chunk of an older version, in bytes of patches: its 32 bytes do not
/// compress, patches lose a third. The base needs no name.
const REFERENCE_BYTES: usize = 48;
/// How many versions, about, one version carries before the next one takes its place.
///
/// A version at the full depth carries none. Always made from the nearest that can carry it, the
/// patches of a page that changes every hour would hold all that it has seen. So the versions of
/// each depth stand this many times as far apart as those of the next one, like the hands of a
/// clock: five, of 1.8 to 3.5, cost about the same on a shop's stock, and 3 the least.
const CARRIES: usize = 3;
/// Rounds in which the patches of a chunk agree on what they start from.
const ROUNDS: usize = 4;

/// A way to store a page.
pub struct Patch {
    pub older: Older,
    pub ops: Vec<u8>,
    /// Chunks that the older version is made from, itself included.
    pub needs: Vec<ChunkId>,
}

/// How long a patch may be that starts from a version with so many patches below it, where
/// `change_bytes` is the length of one against the newest version. 0: such a version carries none.
pub fn patch_bytes_max(depth: usize, change_bytes: usize) -> usize {
    let Some(below) = PATCH_DEPTH_MAX.checked_sub(depth + 1) else { return 0 };
    if depth == 0 {
        return usize::MAX;
    }
    // Half a change more than the last version that it carries is away.
    change_bytes * CARRIES.pow(below as u32) * (2 * CARRIES - 1) / 2
}

/// Chooses one of the ways for each page of a chunk, by its place among them.
///
/// A chunk names another one once, however many of its pages start from there: the more do, the
/// less it costs each.
pub fn choose(pages: &[(u32, Vec<Patch>)]) -> Vec<usize> {
    let mut chosen = vec![0; pages.len()];
    let mut users = count_users(pages.iter().flat_map(|(_, ways)| ways));
    for round in 0..ROUNDS {
        for ((_, ways), chosen) in pages.iter().zip(&mut chosen) {
            let cost = |at: usize| {
                let Some(id) = ways[at].older.chunk() else { return ways[at].ops.len() };
                let is_counted = round == 0 || at == *chosen;
                let users = users.get(&id).copied().unwrap_or(0) + usize::from(!is_counted);
                ways[at].ops.len() + REFERENCE_BYTES / users.max(1)
            };
            *chosen = (0..ways.len()).min_by_key(|at| cost(*at)).expect("a page has a way");
        }
        users = count_users(pages.iter().zip(&chosen).map(|((_, ways), at)| &ways[*at]));
    }
    chosen
}

fn count_users<'a>(patches: impl Iterator<Item = &'a Patch>) -> HashMap<ChunkId, usize> {
    let mut users = HashMap::new();
    for id in patches.filter_map(|patch| patch.older.chunk()) {
        *users.entry(id).or_default() += 1;
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::chunk_id;

    fn patch(older: Older, bytes: usize) -> Patch {
        Patch { older, ops: vec![0; bytes], needs: Vec::new() }
    }

    fn in_chunk(byte: u8) -> Older {
        Older::Chunk { id: chunk_id(byte), slot: 0 }
    }

    #[test]
    fn a_name_is_paid_for_once_by_all_who_use_it() {
        let page = |byte| vec![patch(in_chunk(byte), 20), patch(Older::Base, 50)];
        let alone = [(1, page(7))];
        let together: Vec<_> = (1..=10).map(|number| (number, page(7))).collect();
        let apart: Vec<_> = (1..=10).map(|number| (u32::from(number), page(number))).collect();

        assert_eq!(choose(&alone), [1]);
        assert_eq!(choose(&together), [0; 10]);
        assert_eq!(choose(&apart), [1; 10]);
    }

    #[test]
    fn the_higher_up_a_version_the_longer_the_patches_that_start_from_it() {
        let lengths = [1, 2, 3].map(|depth| patch_bytes_max(depth, 100));

        assert_eq!(lengths, [2250, 750, 250]);
        assert_eq!(patch_bytes_max(0, 100), usize::MAX);
        assert_eq!(patch_bytes_max(PATCH_DEPTH_MAX, 100), 0);
    }
}
