//! No room: limits on file sizes, and file systems that are full. The real program ends with a
//! clear error, what was there before is as it was, and the next run works.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cli::shop::{Ran, Shop},
    scene::{is_root, noise, write},
};

const DONE: Option<i32> = Some(0);
/// Longer than any limit that is tried.
const LARGE_BYTES: usize = 300_000;

/// A shop with one snapshot, and much that is new since.
fn shop() -> Shop {
    let shop = Shop::open();
    assert_eq!(shop.back_up(&[]).code, DONE);
    change_much(&shop);
    shop
}

fn change_much(shop: &Shop) {
    write(shop.path("uploads/large"), noise(1, LARGE_BYTES));
    shop.on_pos(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
         INSERT INTO sales (what) SELECT 'paint ' || i FROM n",
    );
}

fn backup_words(shop: &Shop) -> Vec<String> {
    let path = |name: &str| shop.path(name).display().to_string();
    let sets = [format!("pos={}", path("pos.db")), format!("uploads={}", path("uploads"))];
    ["backup", "--sqlite", &sets[0], "--files", &sets[1]].map(str::to_owned).to_vec()
}

/// Runs the program where no file can grow beyond so many blocks of 512 bytes.
fn limited(shop: &Shop, blocks: u32, words: &[String]) -> Ran {
    let plain = shop.command(words);
    let mut limited = Command::new("/bin/sh");
    let _ = limited
        .args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null());
    limited.output().unwrap().into()
}

fn snapshot_count(shop: &Shop) -> usize {
    shop.data(&["snapshots"]).as_array().unwrap().len()
}

/// Restores the newest snapshot and returns the files of the part.
fn restored(shop: &Shop, target: &str) -> PathBuf {
    let target = shop.path(target);
    let ran = shop.run(["restore", "latest", "--target", target.to_str().unwrap()]);
    assert_eq!(ran.code, DONE, "{}", ran.err);
    target.join("uploads")
}

fn assert_large_is_there(files: &Path) {
    assert!(fs::read(files.join("large")).unwrap() == noise(1, LARGE_BYTES));
}

#[test]
fn a_backup_that_may_write_no_large_file_says_so_and_the_next_one_works() {
    let shop = shop();
    let words = backup_words(&shop);
    for blocks in [0, 1, 2, 8, 32, 128, 300, 500] {
        let ran = limited(&shop, blocks, &words);

        assert_eq!(ran.code, Some(13), "{blocks} blocks: {}", ran.err);
        assert!(ran.err.contains("no space left on the disk"), "{blocks} blocks: {}", ran.err);
    }

    let before = snapshot_count(&shop);
    assert_eq!(shop.back_up(&[]).code, DONE);
    assert_eq!(snapshot_count(&shop), before + 1);
    assert_large_is_there(&restored(&shop, "restored"));
    let check = shop.run(["check", "--read-data"]);
    assert_eq!(check.code, DONE, "{}", check.err);
}

#[test]
fn a_restore_that_may_write_no_large_file_says_so_and_the_next_one_completes_it() {
    let shop = shop();
    assert_eq!(shop.back_up(&[]).code, DONE);
    let target = shop.path("restored").display().to_string();
    let words = ["restore", "latest", "--target", &target].map(str::to_owned);
    for blocks in [8, 128] {
        let ran = limited(&shop, blocks, &words);

        // What has room is restored, what has none is named.
        assert_eq!(ran.code, Some(3), "{blocks} blocks: {}", ran.err);
        assert!(ran.err.contains("uploads/large: cannot write it"), "{blocks}: {}", ran.err);
    }

    let files = restored(&shop, "restored");
    assert_large_is_there(&files);
    let names = fs::read_dir(shop.path("restored")).unwrap().count();
    assert_eq!(names, 2, "something is left beside");
}

/// A file system in memory of a bounded size, where the test has the rights for it.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&at).unwrap();
        let small = Self(at);
        (is_root() && small.run("mount", &["-t", "tmpfs", "-o", size, "tmpfs"])).then_some(small)
    }

    /// Fills it to the last byte, until the ballast is taken away.
    fn fill(&self) -> PathBuf {
        let ballast = self.0.join(".tmp-ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        let piece = vec![0; 1 << 20];
        while file.write_all(&piece).is_ok() {}
        ballast
    }

    fn run(&self, program: &str, words: &[&str]) -> bool {
        let ran = Command::new(program).args(words).arg(&self.0).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = self.run("umount", &[]);
    }
}

#[test]
fn a_full_disk_below_the_repository_or_the_state_is_an_error_until_there_is_room() {
    for folder in ["repository", "state"] {
        let shop = Shop::closed();
        let Some(small) = Small::mount(shop.path(folder), "size=80m") else {
            println!("not tried: it takes the right to mount");
            return;
        };
        let ran = shop.run(["init", "--new-key-file", shop.path("key").to_str().unwrap()]);
        assert_eq!(ran.code, DONE, "{}", ran.err);
        assert_eq!(shop.back_up(&[]).code, DONE);
        change_much(&shop);
        let ballast = small.fill();

        let full = shop.back_up(&[]);

        assert_eq!(full.code, Some(13), "{folder}: {}", full.err);
        assert!(full.err.contains("space"), "{folder}: {}", full.err);
        fs::remove_file(ballast).unwrap();
        assert_eq!(snapshot_count(&shop), 1);
        let next = shop.back_up(&[]);
        assert_eq!(next.code, DONE, "{folder}: {}", next.err);
        assert_large_is_there(&restored(&shop, "restored"));
    }
}
