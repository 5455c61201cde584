//! Which image a person means: a database of a moment, or a database file found in its folders.

use std::sync::Arc;

use jiff::tz::TimeZone;

use crate::{
    chunk::Fetch,
    clock::UnixNanos,
    format::{
        image::Image,
        node::Content,
        record::{DatabaseFacts, PartContent},
    },
    ops::{
        self,
        list::find,
        moment::{Compose, Item, Moment, Selector},
        past::{Error, PastDatabase, names},
    },
    repo::Snapshot,
};

/// Shorter names are those of tables, never of snapshots.
const SNAPSHOT_NAME_BYTES_MIN: usize = 4;

/// An image, and where it was found.
#[derive(Debug, Clone)]
pub struct ChosenImage {
    pub item: Item,
    pub image: Image,
    /// What SQLite said of it when it was captured; nothing of a file found in a folder.
    pub facts: Option<DatabaseFacts>,
}

/// Finds the database that a selector names; one without a name means the only database there is.
pub fn choose(
    fetch: &dyn Fetch,
    moment: &Moment<'_>,
    selector: &Selector,
) -> Result<ChosenImage, ops::Error> {
    let item = match &selector.item {
        Some(item) => item.clone(),
        None => the_only_database(moment, &selector.text)?,
    };
    let at = moment.part(&item.part, &selector.text)?;
    let path = item.path.join(&b'/');
    match &at.part.content {
        PartContent::Database { image, facts } if path.is_empty() => {
            let facts = Some((**facts).clone());
            Ok(ChosenImage { item, image: (**image).clone(), facts })
        }
        PartContent::Database { .. } => Err(ops::list::unknown_path(at.part, &path)),
        PartContent::Tree { root, .. } => match find(fetch, at.part, root, &path)?.content {
            Content::Database(image) => Ok(ChosenImage { item, image: *image, facts: None }),
            _ => {
                let what = format!("{}/{}", item.part, String::from_utf8_lossy(&path));
                Err(Error::NotADatabase { what }.into())
            }
        },
    }
}

fn the_only_database(moment: &Moment<'_>, text: &str) -> Result<Item, Error> {
    let databases = moment
        .parts
        .iter()
        .filter(|at| matches!(at.part.content, PartContent::Database { .. }))
        .map(|at| at.part.name.clone());
    let known: Vec<String> = databases.collect();
    match &known[..] {
        [part] => Ok(Item { part: part.clone(), path: Vec::new() }),
        _ => Err(Error::WhichDatabase { text: text.to_owned(), known }),
    }
}

/// The history from which a statement may name snapshots.
pub struct Moments<'a> {
    pub snapshots: &'a [Snapshot],
    pub fetch: Arc<dyn Fetch>,
    pub now: UnixNanos,
    pub zone: &'a TimeZone,
    /// Which database a snapshot's name stands for, unless it says so itself.
    pub item: Item,
}

impl Moments<'_> {
    /// Opens every snapshot that the statement names beside the database: `"latest~24".orders`.
    ///
    /// Returns why names could not be found that look as if they were meant as snapshots; only
    /// SQLite can tell whether they were.
    pub fn attach(
        &self,
        database: &PastDatabase,
        sql: &str,
    ) -> Result<Vec<(String, ops::Error)>, ops::Error> {
        let mut unknown = Vec::new();
        for name in names::qualifiers(sql) {
            if name.len() < SNAPSHOT_NAME_BYTES_MIN || database.has(&name) {
                continue;
            }
            match self.image(&name) {
                Ok(image) => database.attach(&name, &image)?,
                Err(ops::Error::Moment(ops::moment::Error::NotASelector { .. })) => {}
                Err(error) => unknown.push((name, error)),
            }
        }
        Ok(unknown)
    }

    fn image(&self, name: &str) -> Result<Image, ops::Error> {
        let mut selector = Selector::parse(name.as_bytes(), self.now, self.zone)?;
        let moment = selector.choose(self.snapshots, Compose::Allow)?;
        let _ = selector.item.get_or_insert_with(|| self.item.clone());
        Ok(choose(&*self.fetch, &moment, &selector)?.image)
    }
}
