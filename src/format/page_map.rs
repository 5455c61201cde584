//! Page maps: page number to chunk and slot. Spec: `format-spec/50-page-map.md`, "Page map".

use serde::Serialize;

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_uvarint},
    },
    id::ChunkId,
    limits::{PAGE_COUNT_MAX, PAGE_MAP_BYTES_MAX, PAGE_SLOTS_MAX},
};

const OBJECT: &str = "page map";
const VERSION: u8 = 1;

/// Where the changed pages of an image lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PageMap {
    /// Every chunk other than base groups that any page of this map needs, older versions included.
    pub chunks: Vec<ChunkId>,
    /// Ascending by page.
    pub entries: Vec<PageEntry>,
}

/// Where one page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PageEntry {
    pub page: u32,
    /// Index into [`PageMap::chunks`].
    pub chunk: u32,
    pub slot: u8,
}

impl PageMap {
    /// Returns the map's bytes.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the map breaks a rule of the format.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let unstorable = |why| Err(Error::Unstorable { object: OBJECT, why });
        if let Some(why) = self.broken_rule() {
            return unstorable(why);
        }
        let mut out = Vec::with_capacity(32 * self.chunks.len() + 4 * self.entries.len() + 16);
        out.push(VERSION);
        put_uvarint(&mut out, self.chunks.len() as u64);
        self.chunks.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
        put_uvarint(&mut out, self.entries.len() as u64);
        let mut previous = 0;
        for entry in &self.entries {
            put_uvarint(&mut out, u64::from(entry.page - previous));
            previous = entry.page;
        }
        self.entries.iter().for_each(|entry| put_uvarint(&mut out, u64::from(entry.chunk)));
        self.entries.iter().for_each(|entry| put_uvarint(&mut out, u64::from(entry.slot)));
        if out.len() as u64 > PAGE_MAP_BYTES_MAX {
            return unstorable("it is too long");
        }
        Ok(out)
    }

    /// Reads a page map that fills the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, bytes);
        if bytes.len() as u64 > PAGE_MAP_BYTES_MAX {
            return Err(cursor.corrupt("it is too long"));
        }
        match cursor.u8()? {
            VERSION => {}
            unknown => return Err(cursor.newer(format!("page map version {unknown}"))),
        }
        let chunk_count = cursor.uvarint32()?;
        let chunk_count = cursor.claim(u64::from(chunk_count), 32)?;
        let chunks =
            (0..chunk_count).map(|_| cursor.array().map(ChunkId)).collect::<Result<Vec<_>, _>>()?;
        let entry_count = cursor.uvarint()?;
        let entry_count = cursor.claim(entry_count, 3)?;
        let mut entries = read_pages(&mut cursor, entry_count)?;
        for entry in &mut entries {
            entry.chunk = cursor.uvarint32()?;
            if entry.chunk as usize >= chunks.len() {
                return Err(cursor.corrupt("an entry names a chunk beyond the table"));
            }
        }
        for entry in &mut entries {
            entry.slot = cursor.uvarint_to(PAGE_SLOTS_MAX as u64 - 1, "a slot is too high")? as u8;
        }
        cursor.finish()?;
        Ok(Self { chunks, entries })
    }

    /// Returns the entry for a page.
    pub fn get(&self, page: u32) -> Option<&PageEntry> {
        let found = self.entries.binary_search_by_key(&page, |entry| entry.page);
        found.ok().map(|at| &self.entries[at])
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let slots_max = PAGE_SLOTS_MAX as u8;
        if !self.entries.is_sorted_by(|a, b| a.page < b.page) {
            Some("its pages do not ascend")
        } else if self.entries.first().is_some_and(|first| first.page == 0) {
            Some("there is no page 0")
        } else if self.entries.last().is_some_and(|last| last.page > PAGE_COUNT_MAX) {
            Some("there are more pages than a database can have")
        } else if self.entries.iter().any(|entry| entry.chunk as usize >= self.chunks.len()) {
            Some("an entry names a chunk beyond the table")
        } else if self.entries.iter().any(|entry| entry.slot >= slots_max) {
            Some("a slot is too high")
        } else {
            None
        }
    }
}

fn read_pages(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<PageEntry>, Error> {
    let mut entries = Vec::with_capacity(count);
    let mut page = 0;
    for _ in 0..count {
        page = read_next_page(cursor, page)?;
        entries.push(PageEntry { page, chunk: 0, slot: 0 });
    }
    Ok(entries)
}

/// Reads the number of the page after `previous`, which is 0 before the first.
pub(crate) fn read_next_page(cursor: &mut Cursor<'_>, previous: u32) -> Result<u32, Error> {
    let step = cursor.uvarint_to(
        u64::from(PAGE_COUNT_MAX - previous),
        "there are more pages than a database can have",
    )?;
    if step == 0 {
        return Err(cursor.corrupt("its pages do not ascend"));
    }
    Ok(previous + step as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::samples::{any_page_map, breaks, chunk_id, every_truncation_fails, hex};

    fn map() -> PageMap {
        PageMap {
            chunks: vec![chunk_id(0xc0), chunk_id(0xc1)],
            entries: vec![
                PageEntry { page: 1, chunk: 1, slot: 0 },
                PageEntry { page: 300, chunk: 0, slot: 63 },
            ],
        }
    }

    #[test]
    fn a_page_map_has_the_bytes_of_the_spec() {
        let expected = format!("0102{}{}0201ab020100003f", "c0".repeat(32), "c1".repeat(32));

        let bytes = map().encode().unwrap();
        assert_eq!(hex(&bytes), expected);
        assert_eq!(PageMap::decode(&bytes), Ok(map()));
        every_truncation_fails(&bytes, PageMap::decode);
    }

    #[test]
    fn a_page_is_found_by_its_number() {
        assert_eq!(map().get(300).map(|entry| entry.slot), Some(63));
        assert_eq!(map().get(2), None);
    }

    #[test]
    fn every_rule_of_page_maps_is_enforced_on_both_sides() {
        let written = |page, chunk, slot| {
            let mut map = map();
            map.entries[1] = PageEntry { page, chunk, slot };
            map.encode()
        };
        assert!(written(PAGE_COUNT_MAX, 1, 63).is_ok());
        assert!(breaks(written(1, 0, 0), "do not ascend"));
        assert!(breaks(written(u32::MAX, 0, 0), "more pages"));
        assert!(breaks(written(2, 2, 0), "beyond the table"));
        assert!(breaks(written(2, 0, 64), "too high"));

        let read = |tail: &[u8]| PageMap::decode(&[&[1, 1][..], &[7; 32], tail].concat());
        assert!(read(&[1, 1, 0, 0]).is_ok());
        assert!(breaks(read(&[1, 0, 0, 0]), "do not ascend"));
        assert!(breaks(read(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]), "more pages"));
        assert!(breaks(read(&[1, 1, 1, 0]), "beyond the table"));
        assert!(breaks(read(&[1, 1, 0, 64]), "too high"));
        assert!(breaks(read(&[1, 1, 0, 0, 0]), "follow the end"));
        assert!(breaks(read(&[0xff, 0xff, 0xff, 0x7f, 1, 0, 0]), "ends too early"));
        assert!(matches!(PageMap::decode(&[2, 0, 0]), Err(Error::Newer { .. })));
    }

    proptest! {
        #[test]
        fn every_page_map_survives(map in any_page_map()) {
            prop_assert_eq!(PageMap::decode(&map.encode().unwrap()), Ok(map));
        }
    }
}
