//! One of the two moments that are compared.

use std::sync::Arc;

use crate::{
    chunk::Fetch,
    format::image::Image,
    ops::{
        diff::rows::Schema,
        past::{Error, PastDatabase, Terms, btree::Pages},
    },
    source::sqlite::header::{Encoding, HEADER_BYTES, Header},
};

/// A past database with its schema and its pages.
pub struct Side {
    pub database: PastDatabase,
    pub schema: Schema,
    /// An empty database has none.
    pub pages: Option<Pages>,
    pub encoding: Encoding,
    /// `PRAGMA user_version` and `application_id`.
    pub numbers: (i32, i32),
}

impl Side {
    pub fn open(terms: &Terms, fetch: Arc<dyn Fetch>, image: &Image) -> Result<Self, Error> {
        let database = PastDatabase::open(terms, fetch, image)?;
        let schema = Schema::read(&database)?;
        if image.page_count == 0 {
            let encoding = Encoding::Utf8;
            return Ok(Self { database, schema, pages: None, encoding, numbers: (0, 0) });
        }
        let pages = Pages::open(Arc::clone(database.pages()))?;
        let first = pages.bytes(1)?;
        let header = Header::parse(&first[..HEADER_BYTES]);
        let encoding = header.map_or(Encoding::Utf8, |header| header.encoding);
        let numbers = header.map_or((0, 0), |head| (head.user_version, head.application_id));
        Ok(Self { database, schema, pages: Some(pages), encoding, numbers })
    }
}
