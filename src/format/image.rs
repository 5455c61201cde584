//! The description of one database image. Spec: `format-spec/50-page-map.md`, "Image".

use serde::Serialize;

use crate::{
    format::{
        Error,
        cursor::{Cursor, put_moment, put_uvarint},
        stream::Stream,
    },
    id::ImageIdentity,
    limits::{CHUNK_BYTES_MAX, PAGE_BYTES_MAX, PAGE_BYTES_MIN, PAGE_COUNT_MAX, PAGE_MAP_BYTES_MAX},
};

const OBJECT: &str = "database image";
const VERSION: u8 = 1;
const DAMAGED: u8 = 1 << 0;
const UNCHECKED: u8 = 1 << 1;
const WITNESSES_MAX: usize = 2;

/// A consistent database image and where its pages lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// 0 for an empty database.
    pub page_bytes: u32,
    pub page_count: u32,
    pub identity: ImageIdentity,
    /// Pages in a base group.
    pub group_pages: u32,
    pub base_pages: u32,
    /// The 32-byte ids of the base groups.
    pub base: Stream,
    pub folded: Stream,
    pub recent: Stream,
    /// Bytes of recent maps written since the last fold.
    pub recent_bytes_written: u64,
    pub method: Method,
    pub damaged: bool,
    pub unchecked: bool,
    /// When the witnesses were taken, before the read transaction began.
    pub begun: (i64, u32),
    /// What `stat` said of the database file and, if it existed, of its `-wal`.
    pub witnesses: Vec<Witness>,
}

/// How an image was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Page by page through `sqlite_dbpage`.
    Pages,
    /// SQLite's backup API; page 1 differs from the file's in two counters.
    BackupApi,
}

/// What `stat` said of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Witness {
    pub device: u64,
    pub inode: u64,
    pub bytes: u64,
    pub modified: (i64, u32),
    pub changed: (i64, u32),
}

impl Image {
    /// Length of the whole image.
    pub const fn bytes(&self) -> u64 {
        self.page_bytes as u64 * self.page_count as u64
    }

    /// Returns the image's bytes.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the image breaks a rule of the format.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::with_capacity(256);
        self.encode_into(&mut out).map(|()| out)
    }

    /// Reads an image that fills the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(OBJECT, bytes);
        let image = Self::decode_from(&mut cursor)?;
        cursor.finish().map(|()| image)
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(why) = self.broken_rule() {
            return Err(Error::Unstorable { object: OBJECT, why });
        }
        out.push(VERSION);
        put_uvarint(out, u64::from(self.page_bytes));
        put_uvarint(out, u64::from(self.page_count));
        out.extend_from_slice(self.identity.as_bytes());
        put_uvarint(out, u64::from(self.group_pages));
        put_uvarint(out, u64::from(self.base_pages));
        [&self.base, &self.folded, &self.recent].into_iter().for_each(|stream| stream.encode(out));
        put_uvarint(out, self.recent_bytes_written);
        out.push(match self.method {
            Method::Pages => 1,
            Method::BackupApi => 2,
        });
        let damaged = if self.damaged { DAMAGED } else { 0 };
        let unchecked = if self.unchecked { UNCHECKED } else { 0 };
        out.push(damaged | unchecked);
        put_moment(out, self.begun);
        put_uvarint(out, self.witnesses.len() as u64);
        self.witnesses.iter().for_each(|witness| witness.encode(out));
        Ok(())
    }

    pub(crate) fn decode_from(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        match cursor.u8()? {
            VERSION => {}
            unknown => return Err(cursor.newer(format!("image version {unknown}"))),
        }
        let page_bytes = cursor.uvarint32()?;
        let page_count = cursor.uvarint32()?;
        let identity = ImageIdentity(cursor.array()?);
        let group_pages = cursor.uvarint32()?;
        let base_pages = cursor.uvarint32()?;
        let base = Stream::decode(cursor)?;
        let folded = Stream::decode(cursor)?;
        let recent = Stream::decode(cursor)?;
        let recent_bytes_written = cursor.uvarint()?;
        let method = match cursor.u8()? {
            1 => Method::Pages,
            2 => Method::BackupApi,
            unknown => return Err(cursor.newer(format!("capture method {unknown}"))),
        };
        let flags = cursor.u8()?;
        if flags & !(DAMAGED | UNCHECKED) != 0 {
            return Err(cursor.newer(format!("image flags {flags:#04x}")));
        }
        let begun = cursor.moment()?;
        let count = cursor.uvarint_to(WITNESSES_MAX as u64, "an image has too many witnesses")?;
        let witnesses = (0..count).map(|_| Witness::decode(cursor)).collect::<Result<_, _>>()?;
        let image = Self {
            page_bytes,
            page_count,
            identity,
            group_pages,
            base_pages,
            base,
            folded,
            recent,
            recent_bytes_written,
            method,
            damaged: flags & DAMAGED != 0,
            unchecked: flags & UNCHECKED != 0,
            begun,
            witnesses,
        };
        match image.broken_rule() {
            Some(rule) => Err(cursor.corrupt(rule)),
            None => Ok(image),
        }
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let streams = [&self.base, &self.folded, &self.recent];
        let groups = match self.group_pages {
            0 => 0,
            pages => u64::from(self.base_pages.div_ceil(pages)),
        };
        let page_bytes_valid = self.page_bytes == 0 || is_page_size(self.page_bytes);
        if !page_bytes_valid {
            Some("the page size is not a power of two from 512 to 65,536")
        } else if self.page_bytes == 0 && (self.page_count > 0 || self.base_pages > 0) {
            Some("an empty database has pages")
        } else if self.page_count > PAGE_COUNT_MAX || self.base_pages > PAGE_COUNT_MAX {
            Some("there are more pages than a database can have")
        } else if self.group_pages == 0 && self.base_pages > 0 {
            Some("base groups hold no pages")
        } else if u64::from(self.group_pages) * u64::from(self.page_bytes) > CHUNK_BYTES_MAX as u64
        {
            Some("a base group is longer than a chunk")
        } else if self.base.bytes != groups * 32 {
            Some("base pages and base groups do not go together")
        } else if self.folded.bytes.max(self.recent.bytes) > PAGE_MAP_BYTES_MAX {
            Some("a page map is too long")
        } else if self.witnesses.len() > WITNESSES_MAX {
            Some("an image has too many witnesses")
        } else {
            streams.into_iter().find_map(Stream::broken_rule)
        }
    }
}

impl Witness {
    fn encode(&self, out: &mut Vec<u8>) {
        put_uvarint(out, self.device);
        put_uvarint(out, self.inode);
        put_uvarint(out, self.bytes);
        put_moment(out, self.modified);
        put_moment(out, self.changed);
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        Ok(Self {
            device: cursor.uvarint()?,
            inode: cursor.uvarint()?,
            bytes: cursor.uvarint()?,
            modified: cursor.moment()?,
            changed: cursor.moment()?,
        })
    }
}

/// Whether SQLite has pages of this size.
pub const fn is_page_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && PAGE_BYTES_MIN <= bytes && bytes <= PAGE_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::samples::{any_image, breaks, chunk_id, every_truncation_fails, hex, image};

    #[test]
    fn an_image_has_the_bytes_of_the_spec() {
        let expected = [
            format!("018020ac02{}40fa01", "77".repeat(32)),
            format!("00800101{}", "b0".repeat(32)),
            "000000".to_owned(),
            format!("00f40301{}", "b1".repeat(32)),
            "dc0b0102".to_owned(),
            "809af3910d05".to_owned(),
            "01811082800880804b".to_owned(),
            "b08af3910dff93ebdc0301".to_owned() + "00",
        ];

        let bytes = image().encode().unwrap();
        assert_eq!(hex(&bytes), expected.concat());
        assert_eq!(Image::decode(&bytes), Ok(image()));
        every_truncation_fails(&bytes, Image::decode);
    }

    #[test]
    fn an_empty_database_is_an_image_without_pages() {
        let empty = Image {
            page_bytes: 0,
            page_count: 0,
            group_pages: 0,
            base_pages: 0,
            base: Stream::default(),
            recent: Stream::default(),
            witnesses: Vec::new(),
            ..image()
        };

        assert_eq!(Image::decode(&empty.encode().unwrap()), Ok(empty));
    }

    #[test]
    fn every_rule_of_images_is_enforced() {
        let refused = |change: fn(&mut Image), words| {
            let mut image = image();
            change(&mut image);
            breaks(image.encode(), words)
        };

        assert!(refused(|image| image.page_bytes = 256, "power of two"));
        assert!(refused(|image| image.page_bytes = 5000, "power of two"));
        assert!(refused(|image| image.page_bytes = 131_072, "power of two"));
        assert!(refused(|image| image.page_bytes = 0, "empty database has pages"));
        let empty = "empty database has pages";
        assert!(refused(|image| (image.page_bytes, image.page_count) = (0, 0), empty));
        assert!(refused(|image| (image.page_bytes, image.base_pages) = (0, 0), empty));
        assert!(refused(|image| image.page_count = PAGE_COUNT_MAX + 1, "more pages"));
        assert!(refused(|image| image.base_pages = PAGE_COUNT_MAX + 1, "more pages"));
        assert!(Image { page_count: PAGE_COUNT_MAX, ..image() }.encode().is_ok());
        assert!(refused(|image| image.group_pages = 0, "hold no pages"));
        assert!(refused(|image| image.group_pages = 1025, "longer than a chunk"));
        assert!(refused(|image| image.base_pages = 257, "do not go together"));
        assert!(refused(|image| image.base.bytes = 96, "do not go together"));
        assert!(refused(|image| image.recent.bytes = (1 << 30) + 1, "page map is too long"));
        assert!(refused(|image| image.recent.ids = vec![chunk_id(9); 501], "too many ids"));
        assert!(refused(|image| image.recent.ids.clear(), "empty and is not"));
        assert!(refused(|image| image.witnesses = vec![image.witnesses[0]; 3], "witnesses"));
    }

    #[test]
    fn what_only_a_newer_program_knows_is_refused_by_name() {
        let newer = |at: usize, byte: u8| {
            let mut bytes = image().encode().unwrap();
            bytes[at] = byte;
            matches!(Image::decode(&bytes), Err(Error::Newer { .. }))
        };
        let method = image().encode().unwrap().len() - 29;

        assert!(newer(0, 2));
        assert!(newer(method, 3));
        assert!(newer(method + 1, 4));
    }

    proptest! {
        #[test]
        fn every_image_survives(image in any_image()) {
            prop_assert_eq!(Image::decode(&image.encode().unwrap()), Ok(image));
        }
    }
}
