//! Every distinct database image once: rebuilt from the repository, and checked by SQLite.

use std::{
    collections::HashSet,
    convert::Infallible,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    chunk::Fetch,
    format::{
        image::Image,
        node::Content,
        record::{Part, PartContent},
    },
    id::{ChunkId, ImageIdentity},
    ops::{
        Error,
        check::Report,
        event::{Event, Meter, Observer, Phase},
        proof::{self, Proof},
    },
    repo::{
        Repository, Snapshot,
        tree::{Met, Step, walk},
    },
    source::sqlite_check::{CheckProgram, Verdict},
};

/// What has been looked at already.
#[derive(Default)]
struct Seen {
    images: HashSet<ImageIdentity>,
    /// First chunks of folder nodes: what is below the same node is the same.
    nodes: HashSet<ChunkId>,
}

/// Checks the images of all snapshots, the newest first.
pub fn check(
    repo: &Repository,
    snapshots: &[Snapshot],
    program: &Path,
    report: &mut Report,
    observer: &dyn Observer,
) -> Result<(), Error> {
    let env = repo.environment();
    let fetch = repo.fetcher()?;
    let program = CheckProgram { path: program.to_owned(), arguments: vec!["check-child".into()] };
    let mut seen = Seen::default();
    observer.observe(&Event::Phase { phase: Phase::Verify, item: "databases".to_owned() });
    let meter = Meter::new(observer, &*env.clock);
    for snapshot in snapshots.iter().rev() {
        for part in &snapshot.record.parts {
            for (path, image) in new_images(&*fetch, part, &mut seen) {
                if env.stop.load(Ordering::Relaxed) {
                    return Err(Error::Stopped);
                }
                let bytes = u64::from(image.page_bytes) * u64::from(image.page_count);
                let proof = proof::prove(repo, &image, Arc::clone(&fetch), &program)?;
                meter.add(bytes, 1, &path);
                report.images += 1;
                let part = format!("{}:{}", &snapshot.id.to_string()[..8], part.name);
                tell(&proof, &image, (part, path), report, observer);
            }
        }
    }
    Ok(())
}

/// The images of a part that no newer snapshot has, with their paths. A folder that cannot be read
/// was told of when the chunks were checked.
fn new_images(fetch: &dyn Fetch, part: &Part, seen: &mut Seen) -> Vec<(Vec<u8>, Image)> {
    let mut found = Vec::new();
    match &part.content {
        PartContent::Database { image, .. } => {
            if seen.images.insert(image.identity) {
                found.push((Vec::new(), (**image).clone()));
            }
        }
        PartContent::Tree { root, .. } => {
            let Content::Folder { node } = &root.content else { return found };
            let walked: Result<(), Infallible> = walk(fetch, node, &mut |path, met| {
                let Met::Entry(entry) = met else { return Ok(Step::Over) };
                Ok(match &entry.content {
                    Content::Database(image) => {
                        if seen.images.insert(image.identity) {
                            found.push((path.to_vec(), (**image).clone()));
                        }
                        Step::Over
                    }
                    Content::Folder { node } => match node.ids.first() {
                        Some(first) if seen.nodes.insert(*first) => Step::Into,
                        _ => Step::Over,
                    },
                    _ => Step::Over,
                })
            });
            let Ok(()) = walked;
        }
    }
    found
}

fn tell(
    proof: &Proof,
    image: &Image,
    (part, path): (String, Vec<u8>),
    report: &mut Report,
    observer: &dyn Observer,
) {
    let (code, message) = match proof {
        Proof::Verdict(Verdict::Sound) => return,
        Proof::Verdict(Verdict::NotChecked(why)) => {
            let message = format!("rebuilt; SQLite could not check it: {why}");
            observer.observe(&Event::Warning { item: part, message });
            return;
        }
        Proof::Verdict(Verdict::Damaged(said)) if image.damaged => {
            let message =
                format!("was damaged when it was captured, and is kept as it was: {said}");
            observer.observe(&Event::Warning { item: part, message });
            return;
        }
        Proof::Verdict(Verdict::Damaged(said)) => {
            report.images_unsound += 1;
            ("unsound", format!("is as it was captured, but SQLite finds fault with it: {said}"))
        }
        Proof::Lost(why) => {
            report.images_lost += 1;
            ("image-lost", format!("cannot be rebuilt: {why}"))
        }
    };
    observer.observe(&Event::Problem { part, path, code: code.to_owned(), message });
}
