//! Whether everything is in its place, and is what it should be.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use crate::{
    ops::{
        self,
        event::{Event, Phase},
        live::{
            Error,
            moves::Ground,
            plan::{Planner, Site, open, split},
            work::Work,
        },
        with_causes,
    },
    sink::sqlite::{self, Present},
    source::sqlite_check::{CheckProgram, Depth, Verdict},
};

/// Looks at all that was put in place: databases page by page, and by SQLite; files by planning
/// once more, which must find nothing left to do.
pub fn all(work: &Work<'_>, grounds: &[Ground<'_>]) -> Result<(), ops::Error> {
    work.observer.observe(&Event::Phase { phase: Phase::Verify, item: String::new() });
    for (site, _) in work.sites.iter().zip(grounds) {
        databases(work, site)?;
    }
    let planner = Planner { repo: work.repo, request: work.request };
    for site in planner.sites(work.goal)? {
        let mut paths =
            site.changes.iter().map(|change| site.root.join(OsStr::from_bytes(&change.path)));
        // What holds rows of two moments looks like neither, and was compared above.
        let is_mixed = |path: &PathBuf| work.mixed.iter().any(|mixed| mixed.place == *path);
        if let Some(path) = paths.find(|path| !is_mixed(path)) {
            let why = "it does not look as it was saved".to_owned();
            return Err(Error::NotVerified { place: path.display().to_string(), why }.into());
        }
    }
    Ok(())
}

fn databases(work: &Work<'_>, site: &Site) -> Result<(), ops::Error> {
    let env = work.repo.environment();
    for change in &site.changes {
        let Some(image) = change.kind.image() else { continue };
        let path = site.root.join(OsStr::from_bytes(&change.path));
        let wrong = |why: String| Error::NotVerified { place: path.display().to_string(), why };
        let (parent, name) = split(&path)?;
        let at = open(work.disk(), parent)?;
        let present =
            Present { disk: work.disk(), keys: work.repo.keys(), stop: env.stop.as_ref() };
        let mixed = work.mixed.iter().find(|mixed| mixed.place == path);
        let is_right = match mixed {
            None => present.is_image(image, &at, name),
            Some(mixed) => mixed
                .is_in_place(work.disk())
                .map_err(|source| sqlite::Error::Io { action: "read", source }),
        };
        match is_right {
            Ok(true) => {}
            Ok(false) => return Err(wrong("it is not the image that was saved".to_owned()).into()),
            Err(error) => return Err(wrong(with_causes(&error)).into()),
        }
        let program = CheckProgram {
            path: work.request.program.clone(),
            arguments: vec!["check-child".into()],
        };
        let checked = program.check(&path, Depth::Quick, (&*env.clock, &env.stop));
        let message = match checked {
            Ok(Verdict::Sound) => continue,
            Ok(Verdict::NotChecked(why)) => format!("SQLite alone cannot check it: {why}"),
            // As it was captured: the record says so, and so does whoever asks for it.
            Ok(Verdict::Damaged(said)) if image.damaged => format!("damaged as it was: {said}"),
            Ok(Verdict::Damaged(said)) => return Err(wrong(said).into()),
            Err(error) => return Err(wrong(error.to_string()).into()),
        };
        work.observer.observe(&Event::Warning { item: site.part.clone(), message });
    }
    Ok(())
}
