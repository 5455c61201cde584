//! What lies in the target and not in the snapshot.

use std::{collections::HashSet, ffi::OsString, io, os::unix::ffi::OsStrExt};

use crate::{
    disk::{FileKind, tree::remove_tree},
    sink::files::{
        Change, ChangeKind, Error, Event, Extra,
        choice::Choice,
        failure::Trouble,
        folder::{Level, path_of},
        restore::{Acts, Restore},
        target::is_temporary,
    },
};

impl Restore<'_> {
    /// Lists an existing folder, if what the snapshot lacks is to be deleted from it.
    pub fn list_extra(&self, level: Level<'_>) -> Result<HashSet<OsString>, Trouble> {
        let deletes = matches!(self.options.extra, Extra::Delete { .. });
        if !deletes || level.choice != Choice::Take || !level.is_complete {
            return Ok(HashSet::new());
        }
        let opened = level.target.open(self)?;
        match opened.dir.as_ref().filter(|_| !opened.is_new) {
            None => Ok(HashSet::new()),
            Some(dir) => {
                let names = self.sink.disk.list(dir);
                Ok(names.map_err(|error| Trouble::io("list it", &error))?.into_iter().collect())
            }
        }
    }

    /// Deletes these names from a folder whose entries are restored.
    pub fn delete_extra(&self, level: Level<'_>, extra: HashSet<OsString>) -> Result<(), Error> {
        let mut extra: Vec<OsString> = extra.into_iter().collect();
        extra.sort_unstable();
        for name in extra.iter().filter(|name| !is_temporary(name)) {
            let path = path_of(level.path, name.as_bytes());
            match self.delete(level, &path, name) {
                Ok(false) => {}
                Ok(true) => self.tally.deleted(),
                Err(error) => self.tally.problem(&path, Trouble::io("delete it", &error)),
            }
        }
        Ok(())
    }

    fn delete(&self, level: Level<'_>, path: &[u8], name: &OsString) -> io::Result<bool> {
        let Some(dir) = level.target.opened().and_then(|opened| opened.dir.as_ref()) else {
            return Ok(false);
        };
        let is_dir = self.sink.disk.stat(dir, name)?.kind == FileKind::Dir;
        let is_left = self.chooser.choose(level.choice, path, is_dir) == Choice::Leave;
        if is_left || self.is_spared(path) {
            return Ok(false);
        }
        match self.acts {
            Acts::Write => remove_tree(self.sink.disk, dir, name)?,
            Acts::Plan => self.would_delete(path),
        }
        Ok(true)
    }

    /// Tells what a restore would delete.
    pub fn would_delete(&self, path: &[u8]) {
        self.tally.tell(Event::Would(Change { path, kind: ChangeKind::Delete }));
    }

    /// Whether the path, or one below it, is missing from the snapshot only because it could not be
    /// read.
    pub fn is_spared(&self, path: &[u8]) -> bool {
        let Extra::Delete { except } = &self.options.extra else { return true };
        except.iter().any(|spared| {
            let rest = spared.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        })
    }
}
