//! What is to be done about an entry, given what has its name already.

use std::{ffi::OsStr, io};

use crate::{
    disk::{Dir, FileKind, Stat, tree::remove_tree},
    format::node::{Content, Entry},
    sink::files::{
        Extra, Overwrite,
        failure::Trouble,
        restore::{Acts, Restore},
        target::Opened,
    },
    source::sqlite::is_overlaid,
};

/// What is to be done about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing has its name.
    Create,
    Replace,
    Keep,
    /// All is as it should be, apart from the metadata.
    Mend,
    /// Only a look at the content can tell.
    Compare,
}

impl Restore<'_> {
    /// Decides about an entry that is no folder.
    pub fn verdict(
        &self,
        opened: &Opened,
        path: &[u8],
        name: &OsStr,
        entry: &Entry,
    ) -> Result<Verdict, Trouble> {
        // A folder that this restore has made is empty; should a name be taken all the same,
        // creating it fails.
        let Some(dir) = opened.dir.as_ref().filter(|_| !opened.is_new) else {
            return Ok(Verdict::Create);
        };
        let stat = match self.sink.disk.stat(dir, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Create),
            stat => stat.map_err(|error| Trouble::io("look at what has its name", &error))?,
        };
        match self.options.overwrite {
            Overwrite::Never => Ok(Verdict::Keep),
            _ if stat.kind == FileKind::Dir => self.clear(dir, path, name),
            Overwrite::Always => Ok(Verdict::Replace),
            Overwrite::Changed if self.is_overlaid(dir, name, entry)? => Ok(Verdict::Replace),
            Overwrite::Changed => Ok(self.compare(&stat, entry)),
        }
    }

    /// Whether something lies beside a database that SQLite would play into it, whatever the file
    /// itself looks like.
    fn is_overlaid(&self, dir: &Dir, name: &OsStr, entry: &Entry) -> Result<bool, Trouble> {
        if !matches!(entry.content, Content::Database(_)) {
            return Ok(false);
        }
        let overlaid = is_overlaid(self.sink.disk, dir, name);
        overlaid.map_err(|error| Trouble::io("look at what lies beside", &error))
    }

    fn compare(&self, stat: &Stat, entry: &Entry) -> Verdict {
        let likeness = match likeness(stat, entry) {
            Likeness::Same if self.cleans => after_an_unfinished_restore(entry),
            likeness => likeness,
        };
        // Other names of the same file may lie outside: it may be replaced, but not changed.
        let is_alone = stat.links == 1;
        match likeness {
            Likeness::Same if !self.metadata_differs(stat, entry) => Verdict::Keep,
            Likeness::Same if is_alone => Verdict::Mend,
            Likeness::Perhaps if is_alone => Verdict::Compare,
            _ => Verdict::Replace,
        }
    }

    /// Removes a folder that stands where a file belongs, if deleting is allowed.
    fn clear(&self, dir: &Dir, path: &[u8], name: &OsStr) -> Result<Verdict, Trouble> {
        if self.options.extra == Extra::Keep || self.is_spared(path) {
            return Err(Trouble::new("in-the-way", "a folder has its name"));
        }
        match self.acts {
            Acts::Write => remove_tree(self.sink.disk, dir, name)
                .map_err(|error| Trouble::io("delete the folder that has its name", &error))?,
            Acts::Plan => self.would_delete(path),
        }
        self.tally.deleted();
        Ok(Verdict::Create)
    }
}

/// How far what exists looks like the entry, apart from owner and mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Likeness {
    Same,
    Perhaps,
    Other,
}

/// What a file is worth that looks as it should, but may be of a restore that did not finish: after
/// a power cut size and time can be there without the content.
const fn after_an_unfinished_restore(entry: &Entry) -> Likeness {
    match &entry.content {
        Content::File { extents: None, .. } => Likeness::Perhaps,
        Content::File { .. } | Content::Database(_) => Likeness::Other,
        _ => Likeness::Same,
    }
}

fn likeness(stat: &Stat, entry: &Entry) -> Likeness {
    let same_if = |is_same| if is_same { Likeness::Same } else { Likeness::Other };
    let is_device = |kind, major: u32, minor: u32| {
        same_if(stat.kind == kind && (stat.rdev_major, stat.rdev_minor) == (major, minor))
    };
    let has_time = stat.modified == entry.modified;
    match &entry.content {
        Content::File { bytes, extents, .. } => {
            match stat.kind == FileKind::File && stat.bytes == *bytes {
                true if has_time => Likeness::Same,
                // Holes would have to be compared with zeros.
                true if extents.is_none() => Likeness::Perhaps,
                _ => Likeness::Other,
            }
        }
        Content::Database(image) => {
            same_if(stat.kind == FileKind::File && stat.bytes == image.bytes() && has_time)
        }
        Content::Link { .. } if stat.kind == FileKind::Link => Likeness::Perhaps,
        Content::Fifo => same_if(stat.kind == FileKind::Fifo),
        Content::CharDevice { major, minor } => is_device(FileKind::CharDevice, *major, *minor),
        Content::BlockDevice { major, minor } => is_device(FileKind::BlockDevice, *major, *minor),
        Content::Link { .. } | Content::Socket | Content::Folder { .. } => Likeness::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{entry, file, image};

    /// Something of this kind and size, with the time of the samples.
    fn stat(kind: FileKind, bytes: u64) -> Stat {
        let (modified, changed) = (file("a").modified, (0, 0));
        let (mode, uid, gid, device, inode, links, blocks) = (0o644, 0, 0, 1, 1, 1, 8);
        let (rdev_major, rdev_minor) = (8, 1);
        Stat {
            kind,
            mode,
            uid,
            gid,
            device,
            inode,
            links,
            bytes,
            blocks,
            rdev_major,
            rdev_minor,
            modified,
            changed,
        }
    }

    fn likeness_of(kind: FileKind, content: Content) -> Likeness {
        likeness(&stat(kind, 1), &entry("x", content))
    }

    #[test]
    fn a_file_is_the_same_by_its_time_and_perhaps_by_its_size() {
        let there = stat(FileKind::File, 1_000_000);
        let later = Stat { modified: (1, 2), ..there };
        let mut file = file("a");

        assert_eq!(likeness(&there, &file), Likeness::Same);
        assert_eq!(likeness(&later, &file), Likeness::Perhaps);
        assert_eq!(likeness(&stat(FileKind::File, 999_999), &file), Likeness::Other);
        assert_eq!(likeness(&stat(FileKind::Fifo, 1_000_000), &file), Likeness::Other);
        if let Content::File { extents, .. } = &mut file.content {
            *extents = Some(Vec::new());
        }
        assert_eq!(likeness(&there, &file), Likeness::Same);
        assert_eq!(likeness(&later, &file), Likeness::Other);
    }

    #[test]
    fn a_database_is_the_same_by_size_and_time_together() {
        let database = entry("x", Content::Database(Box::new(image())));
        let there = stat(FileKind::File, image().bytes());

        assert_eq!(likeness(&there, &database), Likeness::Same);
        assert_eq!(likeness(&Stat { modified: (1, 2), ..there }, &database), Likeness::Other);
        assert_eq!(likeness(&Stat { bytes: 1, ..there }, &database), Likeness::Other);
        assert_eq!(likeness(&Stat { kind: FileKind::Link, ..there }, &database), Likeness::Other);
    }

    #[test]
    fn what_is_no_file_is_told_by_its_kind_and_a_device_by_its_numbers() {
        let (major, minor) = (8, 1);
        let link = || Content::Link { target: b"there".to_vec() };

        assert_eq!(likeness_of(FileKind::Link, link()), Likeness::Perhaps);
        assert_eq!(likeness_of(FileKind::File, link()), Likeness::Other);
        assert_eq!(likeness_of(FileKind::Fifo, Content::Fifo), Likeness::Same);
        assert_eq!(likeness_of(FileKind::File, Content::Fifo), Likeness::Other);
        assert_eq!(likeness_of(FileKind::Socket, Content::Socket), Likeness::Other);
        for (kind, device) in [
            (FileKind::CharDevice, Content::CharDevice { major, minor }),
            (FileKind::BlockDevice, Content::BlockDevice { major, minor }),
        ] {
            assert_eq!(likeness_of(kind, device.clone()), Likeness::Same);
            assert_eq!(likeness_of(FileKind::Fifo, device), Likeness::Other);
        }
        let other = Content::BlockDevice { major, minor: 2 };
        assert_eq!(likeness_of(FileKind::BlockDevice, other), Likeness::Other);
    }

    #[test]
    fn what_an_unfinished_restore_left_is_believed_only_where_there_is_no_content() {
        let mut file = file("a");
        assert_eq!(after_an_unfinished_restore(&file), Likeness::Perhaps);
        if let Content::File { extents, .. } = &mut file.content {
            *extents = Some(Vec::new());
        }
        assert_eq!(after_an_unfinished_restore(&file), Likeness::Other);
        let database = entry("x", Content::Database(Box::new(image())));
        assert_eq!(after_an_unfinished_restore(&database), Likeness::Other);
        assert_eq!(after_an_unfinished_restore(&entry("x", Content::Fifo)), Likeness::Same);
    }
}
