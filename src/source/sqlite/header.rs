//! The first 100 bytes of a SQLite file: whether it is one, and what it says of itself.

/// Length of the header at the beginning of page 1.
pub const HEADER_BYTES: usize = 100;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The newest form of schemas that SQLite knows; a file that claims a newer one is refused.
const SCHEMA_FORMAT_MAX: i32 = 4;

/// What the header of a database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub page_bytes: u32,
    pub encoding: Encoding,
    pub journal: Journal,
    pub user_version: i32,
    pub application_id: i32,
}

/// How text is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    /// A database without tables has not chosen yet.
    Undecided,
}

impl Encoding {
    /// SQLite's own name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 | Self::Undecided => "UTF-8",
            Self::Utf16Le => "UTF-16le",
            Self::Utf16Be => "UTF-16be",
        }
    }
}

/// How commits become durable, as far as the file tells: the kinds of rollback journal look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journal {
    Rollback,
    Wal,
}

impl Journal {
    /// SQLite's own name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "delete",
            Self::Wal => "wal",
        }
    }
}

impl Header {
    /// Reads the header from the beginning of a file; nothing if SQLite would refuse the file.
    pub fn parse(head: &[u8]) -> Option<Self> {
        let head: &[u8; HEADER_BYTES] = head.first_chunk()?;
        let page_bytes = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65_536,
            bytes @ 512.. if bytes.is_power_of_two() => u32::from(bytes),
            _ => return None,
        };
        let usable_bytes = page_bytes - u32::from(head[20]);
        let fractions = [head[21], head[22], head[23]];
        let read_version = head[19];
        let is_database = head.starts_with(MAGIC)
            && usable_bytes >= 480
            && fractions == [64, 32, 32]
            && read_version <= 2
            && (0..=SCHEMA_FORMAT_MAX).contains(&be_i32(head, 44));
        is_database.then(|| Self {
            page_bytes,
            encoding: match be_i32(head, 56) {
                1 => Encoding::Utf8,
                2 => Encoding::Utf16Le,
                3 => Encoding::Utf16Be,
                _ => Encoding::Undecided,
            },
            journal: if read_version == 2 { Journal::Wal } else { Journal::Rollback },
            user_version: be_i32(head, 60),
            application_id: be_i32(head, 68),
        })
    }
}

/// Whether a file that begins like this is a SQLite database, to be captured and never copied.
///
/// Wants the first [`HEADER_BYTES`]. A file with the magic that SQLite would refuse is like any
/// other file.
pub fn is_database(head: &[u8]) -> bool {
    Header::parse(head).is_some()
}

fn be_i32(head: &[u8; HEADER_BYTES], at: usize) -> i32 {
    i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Vec<u8> {
        let mut head = vec![0; HEADER_BYTES];
        head[..16].copy_from_slice(MAGIC);
        head[16..24].copy_from_slice(&[16, 0, 2, 2, 0, 64, 32, 32]);
        head[59] = 1;
        head[60..64].copy_from_slice(&7i32.to_be_bytes());
        head[68..72].copy_from_slice(&(-9i32).to_be_bytes());
        head
    }

    #[test]
    fn a_header_tells_what_the_database_is() {
        assert_eq!(
            Header::parse(&head()),
            Some(Header {
                page_bytes: 4096,
                encoding: Encoding::Utf8,
                journal: Journal::Wal,
                user_version: 7,
                application_id: -9,
            })
        );
    }

    #[test]
    fn what_sqlite_would_refuse_is_no_database() {
        let whole = head();
        assert!(is_database(&whole));
        assert!(!is_database(&whole[..99]));
        for (at, value) in
            [(0, b's'), (15, 1), (16, 3), (16, 0), (19, 3), (21, 63), (23, 0), (44, 1)]
        {
            let mut other = whole.clone();
            other[at] = value;
            assert!(!is_database(&other), "byte {at} is {value}");
        }
    }

    #[test]
    fn the_largest_page_size_is_written_as_one() {
        let mut largest = head();
        largest[16..18].copy_from_slice(&[0, 1]);

        assert_eq!(Header::parse(&largest).unwrap().page_bytes, 65_536);
    }
}
