//! Folder nodes in the making: entries in, chunks out. Spec: `format-spec/40-folder.md`.

use crate::{
    chunk::cut::{NodeCut, NodeCutter},
    crypto::keys::Keys,
    format::{
        Error,
        node::{Entry, NODE_VERSION},
    },
    limits::{NODE_BYTES_MAX, NODE_WHOLE_BYTES_MAX},
};

/// Gathers the entries of one folder.
#[derive(Debug)]
pub struct NodeBuilder<'k> {
    bytes: Vec<u8>,
    cutter: NodeCutter<'k>,
    /// Where chunks end, apart from the last, should the node be cut at all.
    cuts: Vec<usize>,
    last_name: Vec<u8>,
}

impl<'k> NodeBuilder<'k> {
    /// Begins a node.
    pub fn new(keys: &'k Keys) -> Self {
        Self {
            bytes: vec![NODE_VERSION],
            cutter: NodeCutter::new(keys, 1),
            cuts: Vec::new(),
            last_name: Vec::new(),
        }
    }

    /// Adds an entry, whose name must come after all names before it.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the entry breaks a rule of the format; the node is as before then.
    pub fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        let unstorable = |why| Err(Error::Unstorable { object: "folder node", why });
        if entry.name <= self.last_name {
            return unstorable("its names do not ascend");
        }
        let start = self.bytes.len();
        entry.encode_into(&mut self.bytes)?;
        let end = self.bytes.len();
        if end as u64 > NODE_BYTES_MAX {
            self.bytes.truncate(start);
            return unstorable("it is too long");
        }
        let cut = self.cutter.push(&entry.name, end - start);
        if matches!(cut, NodeCut::Before | NodeCut::BeforeAndAfter) {
            self.cuts.push(start);
        }
        if matches!(cut, NodeCut::After | NodeCut::BeforeAndAfter) {
            self.cuts.push(end);
        }
        self.last_name.clone_from(&entry.name);
        Ok(())
    }

    /// Length of the node as it stands.
    pub const fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the node, cut into chunks.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let cuts = match self.bytes.len() {
            ..=NODE_WHOLE_BYTES_MAX => &[],
            _ => &self.cuts[..],
        };
        let mut start = 0;
        cuts.iter().copied().chain([self.bytes.len()]).filter_map(move |end| {
            let chunk = &self.bytes[start..end];
            start = end;
            (!chunk.is_empty()).then_some(chunk)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::keys::tests::keys,
        format::{
            node::{Content, NodeReader},
            samples::{breaks, entry, file},
        },
        limits::{NODE_CUT_BYTES_MAX, NODE_CUT_BYTES_MIN},
    };

    fn chunks_of(names: &[String]) -> Vec<Vec<u8>> {
        let keys = keys();
        let mut node = NodeBuilder::new(&keys);
        names.iter().for_each(|name| node.push(&file(name)).unwrap());
        node.chunks().map(<[u8]>::to_vec).collect()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|at| format!("IMG_{at:06}.jpg")).collect()
    }

    #[test]
    fn an_empty_folder_is_one_byte() {
        assert_eq!(chunks_of(&[]), [[NODE_VERSION]]);
    }

    #[test]
    fn a_node_up_to_64_kib_is_one_chunk() {
        let small = chunks_of(&names(500));

        assert_eq!(small.len(), 1);
        assert!(small[0].len() <= NODE_WHOLE_BYTES_MAX && small[0].len() > 50_000);
    }

    #[test]
    fn a_large_node_is_cut_between_entries() {
        let chunks = chunks_of(&names(20_000));

        assert!(chunks.len() > 30, "{}", chunks.len());
        for chunk in &chunks[..chunks.len() - 1] {
            assert!((NODE_CUT_BYTES_MIN..=NODE_CUT_BYTES_MAX).contains(&chunk.len()));
        }
        let node = chunks.concat();
        assert_eq!(NodeReader::new(&node).map(Result::unwrap).count(), 20_000);
        let with_version = |chunk: &[u8]| [&[NODE_VERSION], chunk].concat();
        assert!(NodeReader::new(&with_version(&chunks[1])).all(|entry| entry.is_ok()));
    }

    #[test]
    fn one_new_name_in_a_large_folder_costs_one_chunk() {
        let names = names(20_000);
        let before = chunks_of(&names);
        for at in (0..20_000).step_by(1_999) {
            let mut more = names.clone();
            more.insert(at + 1, format!("{}-copy", names[at]));

            let new = chunks_of(&more).iter().filter(|chunk| !before.contains(chunk)).count();
            assert!(new <= 2, "{new} new chunks");
        }
    }

    #[test]
    fn an_entry_longer_than_a_chunk_gets_one_of_its_own() {
        let keys = keys();
        let mut node = NodeBuilder::new(&keys);
        node.push(&file("a")).unwrap();
        let mut long = file("b");
        long.xattrs = vec![(b"x".to_vec(), vec![0; 1 << 19])];
        node.push(&long).unwrap();
        node.push(&file("c")).unwrap();

        let lengths: Vec<usize> = node.chunks().map(<[u8]>::len).collect();
        assert_eq!(lengths.len(), 3);
        assert!(lengths[1] > 1 << 19);
    }

    #[test]
    fn an_entry_that_cannot_be_stored_leaves_the_node_as_it_was() {
        let keys = keys();
        let mut node = NodeBuilder::new(&keys);
        node.push(&file("b")).unwrap();
        let bytes = node.bytes();

        assert!(breaks(node.push(&file("a")), "do not ascend"));
        assert!(breaks(node.push(&file("b")), "do not ascend"));
        assert!(breaks(node.push(&file("c/d")), "a folder can have"));
        assert!(breaks(node.push(&entry("d", Content::Link { target: vec![] })), "no target"));
        assert_eq!(node.bytes(), bytes);
        node.push(&file("c")).unwrap();
    }
}
