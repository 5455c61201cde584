//! Power cuts on a real file system: the program dies in the middle of its work on an ext4 of its
//! own, and what the disk held at that moment is mounted and looked at. RELIABILITY.md T2.
//!
//! The image below a loop device has what the kernel wrote so far, and nothing of what it only
//! remembers: a copy of the image is the disk after a cut. This needs root, loop devices and
//! mke2fs; elsewhere it says so and does nothing. `STILLPOINT_TEST_CUTS` makes more of them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    crashes::durable_steps,
    harness::{
        Tally, Trying,
        crash::{self, End},
        faulty_disk::Kind,
        in_parallel,
        vault::{Vault, copy_tree},
        work::{Scrutiny, Whole, Work, World},
    },
    shop::scratch,
};

/// Cuts of each work in a run of all tests, and when somebody asks for more.
const CUTS_OF_A_WORK: usize = 6;
const CUTS_OF_A_WORK_ASKED: usize = 40;
/// A step that no work has: it is cut when it has reported its end.
const NEVER: u64 = u64::MAX;

/// An ext4 in a file.
struct Image(PathBuf);

impl Image {
    /// An empty one.
    fn make(path: PathBuf) -> Result<Self, String> {
        let (mut truncate, mut format) = (Command::new("truncate"), Command::new("mkfs.ext4"));
        run(truncate.args(["-s", "64M"]).arg(&path))?;
        run(format.args(["-q", "-F"]).arg(&path))?;
        Ok(Self(path))
    }

    /// What the disk holds now.
    fn copied(&self, to: PathBuf) -> Self {
        run(Command::new("cp").arg("--sparse=always").arg(&self.0).arg(&to)).unwrap();
        Self(to)
    }

    fn mount(&self, at: PathBuf) -> Result<Mounted, String> {
        std::fs::create_dir(&at).unwrap();
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.0).arg(&at))?;
        Ok(Mounted(at))
    }
}

/// Mounted until it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn vault(&self) -> Vault {
        Vault::at(&self.0.join("vault"))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.0));
        if unmounted.is_err() {
            // A test that failed may have left something open.
            let _ = run(Command::new("umount").arg("-l").arg(&self.0));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

#[test]
fn a_power_cut_on_a_real_file_system_loses_nothing() {
    let tally = Tally::default();
    tally.add("skipped cuts", 0);
    let folder = tempfile::tempdir_in(scratch()).unwrap();
    let tried = Image::make(folder.path().join("tried"))
        .and_then(|image| image.mount(folder.path().join("mounted")));
    match tried {
        Err(why) => println!("no power cuts on a real file system here: {why}"),
        Ok(mounted) => {
            drop(mounted);
            let world = World::new();
            for work in Work::ALL {
                cut_all_over(&world, work, &tally);
            }
        }
    }
    tally.print("power cuts on ext4:");
}

fn cut_all_over(world: &World, work: Work, tally: &Tally) {
    let folder = tempfile::tempdir_in(scratch()).unwrap();
    let before = Image::make(folder.path().join("before")).unwrap();
    let mounted = before.mount(folder.path().join("mounted")).unwrap();
    copy_tree(world.vault_for(work).path(), &mounted.0.join("vault"));
    drop(mounted);
    let (steps, cuts) = (durable_steps(world, work), how_many());
    in_parallel(cuts, |cut| {
        let step = match cut {
            0 => NEVER,
            _ => 1 + steps * (cut as u64 - 1) / (cuts as u64 - 1),
        };
        let kind = if cut % 3 == 2 { Kind::Tear } else { Kind::Kill };
        let _trying = Trying(format!("{work:?} cut at step {step}, {kind:?}"));
        let of_this = folder.path().join(cut.to_string());
        std::fs::create_dir(&of_this).unwrap();
        let was_cut = cut_once(world, work, (&before, &of_this), (step, kind));
        tally.add(format!("{work:?} cuts"), u64::from(was_cut));
    });
}

/// How many cuts each work gets.
#[expect(clippy::disallowed_methods, reason = "how a person asks for more")]
fn how_many() -> usize {
    match std::env::var_os("STILLPOINT_TEST_CUTS") {
        Some(_) => CUTS_OF_A_WORK_ASKED,
        None => CUTS_OF_A_WORK,
    }
}

/// Returns whether the power was cut at all.
fn cut_once(
    world: &World,
    work: Work,
    (before, folder): (&Image, &Path),
    death: (u64, Kind),
) -> bool {
    let disk = before.copied(folder.join("disk"));
    let live = disk.mount(folder.join("live")).unwrap();
    let end = crash::run(work, &live.vault(), &world.shop, death);
    let left = disk.copied(folder.join("left"));
    drop(live);
    let ended = match end {
        End::Killed => None,
        End::Finished(Ok(())) if death.0 == NEVER => Some(Ok(Whole::Yes)),
        End::NothingToTear | End::Finished(Ok(())) => return false,
        End::Finished(Err(why)) => panic!("failed without a fault: {why}"),
    };
    let after = left.mount(folder.join("after")).unwrap();
    world.assert_survived(work, &after.vault(), ended.as_ref(), Scrutiny::Restore);
    drop(after);
    std::fs::remove_dir_all(folder).unwrap();
    true
}
