//! Recognises SQLite databases, and the files that SQLite keeps beside them.

use crate::source::sqlite;

/// The smallest page there is, and no database is smaller than a page.
pub const DATABASE_BYTES_MIN: usize = 512;

/// Ends of the names of files that belong to a database.
const BESIDE: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// Whether a file that begins with these bytes is a database that SQLite would open; one whose
/// beginning is broken is saved like any other file.
pub fn is_database(start: &[u8]) -> bool {
    start.len() >= DATABASE_BYTES_MIN && sqlite::is_database(start)
}

/// The database that a file of this name would belong to.
pub fn database_beside(name: &[u8]) -> Option<&[u8]> {
    BESIDE.iter().find_map(|end| name.strip_suffix(*end)).filter(|database| !database.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_known_by_its_first_bytes() {
        let mut page = vec![0; 512];
        page[..16].copy_from_slice(b"SQLite format 3\0");
        page[16..24].copy_from_slice(&[2, 0, 1, 1, 0, 64, 32, 32]);

        assert!(is_database(&page));
        page[21] = 0;
        assert!(!is_database(&page), "SQLite would refuse it");
        page[21] = 64;
        assert!(!is_database(&page[..511]));
        assert!(!is_database(&[0; 512]));
    }

    #[test]
    fn what_lies_beside_a_database_is_known_by_its_name() {
        assert_eq!(database_beside(b"shop.db-wal"), Some(&b"shop.db"[..]));
        assert_eq!(database_beside(b"shop.db-shm"), Some(&b"shop.db"[..]));
        assert_eq!(database_beside(b"shop-journal"), Some(&b"shop"[..]));
        assert_eq!(database_beside(b"shop.db"), None);
        assert_eq!(database_beside(b"-wal"), None);
    }
}
