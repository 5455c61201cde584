//! What two trees do not have in common: two versions of one table, walked side by side.
//!
//! Interior pages are few, and all are read; pages below them that lie in both trees and are alike
//! are not. So the walk costs what changed, and one page in some hundred of the rest.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::ops::past::btree::{Error, PageSet, Pages, TREE_DEPTH_MAX, malformed};

/// Pages read together.
const WINDOW_PAGES: usize = 4096;
/// Neighbours are read by one thread: they lie in one base group.
const NEIGHBOURS: u32 = 64;
/// So many pages stand for a level when pages are counted.
const SAMPLE_PAGES: usize = 32;

/// Which pages of two images are alike.
pub struct Alike {
    /// Pages that may differ. Nothing: all may.
    pub may_differ: Option<PageSet>,
    /// Pages that both have.
    pub common: u32,
}

/// Pages that hold rows, and that only one of two trees has just so.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differing {
    /// Of a table the leaves, in the order of its rows; of an index interior pages too.
    pub older: Vec<u32>,
    pub newer: Vec<u32>,
}

/// One tree, some levels above its leaves.
struct Front<'a> {
    pages: &'a Pages,
    /// Pages of this level, in order.
    level: Vec<u32>,
    height: usize,
    entered: PageSet,
    holds_rows: Vec<u32>,
    is_table: bool,
}

impl Alike {
    /// Whether a page is the same in both images.
    pub fn has(&self, page: u32) -> bool {
        page <= self.common && self.may_differ.as_ref().is_some_and(|pages| !pages.contains(page))
    }
}

/// Walks two trees down to the leaves; each is given with the page of its root.
pub fn differing_pages(
    (older, older_root): (&Pages, u32),
    (newer, newer_root): (&Pages, u32),
    alike: &Alike,
) -> Result<Differing, Error> {
    let mut older = Front::new(older, older_root)?;
    let mut newer = Front::new(newer, newer_root)?;
    loop {
        let shared = match older.height == newer.height {
            true => older.shared_with(&newer, alike),
            false => PageSet::new(0),
        };
        if older.height == 0 && newer.height == 0 {
            return Ok(Differing { older: older.finish(&shared), newer: newer.finish(&shared) });
        }
        let (above, below) = (older.height >= newer.height, newer.height >= older.height);
        // What both have is read once.
        let mut known = HashMap::new();
        if above {
            older.descend(&shared, alike, &mut known)?;
        }
        if below {
            newer.descend(&shared, alike, &mut known)?;
        }
    }
}

/// All pages of one tree that hold rows.
pub fn all_pages(pages: &Pages, root: u32) -> Result<Vec<u32>, Error> {
    let nothing = Alike { may_differ: None, common: 0 };
    let mut front = Front::new(pages, root)?;
    let shared = PageSet::new(0);
    while front.height > 0 {
        front.descend(&shared, &nothing, &mut HashMap::new())?;
    }
    Ok(front.finish(&shared))
}

/// How many pages a tree has, without the overflow pages of its rows, and whether that is exact:
/// of a level with many pages only some are read, and the others taken to be like them.
pub fn tree_pages(pages: &Pages, root: u32) -> Result<(u64, bool), Error> {
    let mut front = Front::new(pages, root)?;
    let (mut total, mut level_pages, mut is_exact) = (1, 1.0, true);
    while front.height > 0 {
        let step = front.level.len().div_ceil(SAMPLE_PAGES).max(1);
        let sample: Vec<u32> = front.level.iter().copied().step_by(step).collect();
        is_exact &= step == 1;
        let children = front.read_children(&sample)?;
        front.level = children.into_iter().flatten().collect();
        level_pages *= front.level.len() as f64 / sample.len() as f64;
        total += level_pages.round() as u64;
        front.height -= 1;
    }
    Ok((total, is_exact))
}

impl<'a> Front<'a> {
    fn new(pages: &'a Pages, root: u32) -> Result<Self, Error> {
        let first = pages.page(root)?;
        let is_table = first.kind().is_table();
        let mut entered = PageSet::new(pages.page_count());
        let _ = entered.insert(root);
        let mut height = 0;
        let mut page = first;
        while let Some(child) = page.children()?.first() {
            height += 1;
            if height > TREE_DEPTH_MAX {
                return Err(malformed(root, "the tree is too deep"));
            }
            page = pages.page(*child)?;
        }
        Ok(Self { pages, level: vec![root], height, entered, holds_rows: Vec::new(), is_table })
    }

    /// The pages of this level that the other tree has too, and that are alike.
    fn shared_with(&self, other: &Self, alike: &Alike) -> PageSet {
        let theirs = PageSet::of(other.pages.page_count(), &other.level);
        let mut shared = PageSet::new(self.pages.page_count());
        for page in &self.level {
            if theirs.contains(*page) && alike.has(*page) {
                let _ = shared.insert(*page);
            }
        }
        shared
    }

    /// Goes down one level. Below a shared page, leaves that are alike are left out.
    fn descend(
        &mut self,
        shared: &PageSet,
        alike: &Alike,
        known: &mut HashMap<u32, Vec<u32>>,
    ) -> Result<(), Error> {
        let level = std::mem::take(&mut self.level);
        self.height -= 1;
        for window in level.chunks(WINDOW_PAGES) {
            let unknown: Vec<u32> =
                window.iter().filter(|page| !known.contains_key(page)).copied().collect();
            let mut read: HashMap<u32, Vec<u32>> =
                unknown.iter().copied().zip(self.read_children(&unknown)?).collect();
            for page in window {
                let is_shared = shared.contains(*page);
                let children = read.remove(page).or_else(|| known.remove(page));
                let mut children = children.unwrap_or_default();
                if is_shared && self.height == 0 {
                    children.retain(|child| !alike.has(*child));
                }
                if is_shared {
                    let _ = known.insert(*page, children.clone());
                }
                if !is_shared && !self.is_table {
                    self.holds_rows.push(*page);
                }
                for child in children {
                    if !self.entered.insert(child) {
                        return Err(malformed(
                            *page,
                            "leads to a page that is not there, or twice",
                        ));
                    }
                    self.level.push(child);
                }
            }
        }
        Ok(())
    }

    fn read_children(&self, window: &[u32]) -> Result<Vec<Vec<u32>>, Error> {
        let mut order: Vec<usize> = (0..window.len()).collect();
        order.sort_unstable_by_key(|at| window[*at]);
        let read = |at: &usize| -> Result<(usize, Vec<u32>), Error> {
            let page = self.pages.page(window[*at])?;
            if page.kind().is_leaf() || page.kind().is_table() != self.is_table {
                return Err(malformed(page.number(), "the tree is not even"));
            }
            Ok((*at, page.children()?))
        };
        let neighbours = |a: &usize, b: &usize| window[*a] / NEIGHBOURS == window[*b] / NEIGHBOURS;
        let found = order
            .par_chunk_by(neighbours)
            .map(|run| run.iter().map(read).collect::<Result<Vec<_>, _>>())
            .collect::<Result<Vec<_>, _>>()?;
        let mut children = vec![Vec::new(); window.len()];
        for (at, of) in found.into_iter().flatten() {
            children[at] = of;
        }
        Ok(children)
    }

    fn finish(mut self, shared: &PageSet) -> Vec<u32> {
        self.holds_rows.extend(self.level.iter().filter(|page| !shared.contains(**page)));
        self.holds_rows
    }
}
