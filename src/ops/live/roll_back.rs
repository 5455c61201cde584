//! Taking a live restore back, or finishing one that only had to start the application: by the
//! run itself, or by whoever finds the journal after it died.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{
    ops::{
        self,
        event::{Event, Observer},
        live::{
            Error, Occupants,
            hook::{Runner, Stops},
            journal::{Journal, Step},
            plan::io_error,
            prove::Proof,
            stage::{Made, clear_ground, open_ground},
        },
    },
    repo::Repository,
};

/// Ends a live restore that cannot go on.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    pub repo: &'a Repository,
    pub observer: &'a dyn Observer,
}

/// How a live restore ended that was found unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    Finished,
    TakenBack,
}

impl Back<'_> {
    /// Ends what the journal says, whatever step it was killed in.
    pub fn recover(&self, journal: &Journal) -> Result<Recovered, ops::Error> {
        if journal.step < Step::Starting {
            self.roll_back(journal)?;
            return Ok(Recovered::TakenBack);
        }
        if journal.step == Step::Starting {
            self.start_application(journal);
        }
        self.clear(journal, Made::Stay)?;
        let finished = journal.finish(self.disk(), self.repo.state_dir());
        finished.map_err(|source| io_error("write", self.repo.state_path(), source))?;
        Ok(Recovered::Finished)
    }

    /// Puts everything back as it was; may be done again at any time until it has succeeded.
    pub fn roll_back(&self, journal: &Journal) -> Result<(), ops::Error> {
        if journal.step >= Step::Swapping {
            self.nobody_has_any(journal)?;
            for number in (0..journal.sites.len()).rev() {
                self.unmake(journal, number)?;
            }
        }
        if journal.step >= Step::Stopping {
            self.start_application(journal);
        }
        self.clear(journal, Made::Go)?;
        let removed = journal.remove(self.disk(), self.repo.state_dir());
        removed.map_err(|source| io_error("write", self.repo.state_path(), source))
    }

    /// Removes what was staged, and what was replaced.
    pub fn clear(&self, journal: &Journal, made: Made) -> Result<(), ops::Error> {
        for site in &journal.sites {
            let cleared = clear_ground(self.disk(), site, made);
            cleared.map_err(|source| io_error("clear", &site.staging_path(), source))?;
        }
        Ok(())
    }

    fn unmake(&self, journal: &Journal, number: usize) -> Result<(), ops::Error> {
        let site = &journal.sites[number];
        let (disk, state) = (self.disk(), self.repo.state_dir());
        let moves = journal.read_moves(disk, state, number);
        let moves = moves.map_err(|source| io_error("read", self.repo.state_path(), source))?;
        let failed = |source| io_error("put back what was in", &site.root, source);
        let Some(ground) = open_ground(disk, site).map_err(failed)? else { return Ok(()) };
        for (number, one) in moves.iter().enumerate().rev() {
            ground.unmake(number, one).map_err(|source| {
                io_error("put back", &site.root.join(OsStr::from_bytes(&one.path)), source)
            })?;
        }
        for one in moves.iter().rev() {
            ground.put_back_metadata(one).map_err(failed)?;
        }
        ground.sync(&moves).map_err(failed)
    }

    /// An application that was started meanwhile must not lose its database under its feet.
    fn nobody_has_any(&self, journal: &Journal) -> Result<(), ops::Error> {
        let env = self.repo.environment();
        let proof = Proof {
            disk: env.disk.as_ref(),
            clock: env.clock.as_ref(),
            stop: env.stop.as_ref(),
            occupants: Occupants::Assumed,
        };
        let paths = journal.sites.iter().flat_map(|site| {
            site.databases.iter().map(|path| site.root.join(OsStr::from_bytes(path)))
        });
        let witness = proof.witness_of(paths)?;
        match proof.nobody_has(&witness) {
            Err(ops::Error::Live(Error::InUse { path, by })) => {
                let why = format!("{} is in use by {by}; stop it first", path.display());
                Err(Error::Unfinished { why }.into())
            }
            other => other,
        }
    }

    /// The application runs again, or its owner is told.
    fn start_application(&self, journal: &Journal) {
        let env = self.repo.environment();
        let runner = Runner {
            disk: env.disk.as_ref(),
            scratch: self.repo.state_dir(),
            clock: env.clock.as_ref(),
            timeout: journal.hook_timeout,
            observer: self.observer,
        };
        if let Err(why) = runner.run("after_restore", &journal.after, Stops::Never) {
            let message = format!("the application was not started: {why}");
            self.observer.observe(&Event::Warning { item: "after_restore".to_owned(), message });
        }
    }

    fn disk(&self) -> &dyn crate::disk::Disk {
        self.repo.environment().disk.as_ref()
    }
}
