//! The sources that the repository of the spec was made from: small, and with something of
//! everything that the format can hold.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::FileExt, net::UnixListener},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};
use serde_json::Value;

use super::content;
use crate::scene::{link, noise, set_mode, set_modified, write};

/// So long are targets of links that a few of them fill a node of several chunks.
const LONG_TARGET_BYTES: usize = 4000;

pub struct Sources {
    folder: PathBuf,
}

impl Sources {
    pub fn create(folder: PathBuf) -> Self {
        let sources = Self { folder };
        sources.make_databases();
        sources.make_files();
        sources
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The configuration that backs them up.
    pub fn config(&self) -> String {
        let mut config = "version = 1\n[retention]\nauto = false\ntrash_days = 0\n\
            [app]\nversion_command = \"echo 4.2\"\n"
            .to_owned();
        for name in ["pos", "stock", "empty"] {
            let path = self.path(&format!("{name}.db"));
            let path = path.display();
            config += &format!("[[database]]\nname = '{name}'\nkind = 'sqlite'\npath = '{path}'\n");
        }
        for (name, path) in [("files", "files"), ("links", "links"), ("config", "etc/app.env")] {
            let path = self.path(path);
            let kind = if name == "config" { "kind = 'config'\n" } else { "" };
            config +=
                &format!("[[files]]\nname = '{name}'\n{kind}paths = ['{}']\n", path.display());
        }
        config
    }

    /// Describes the sources as they are now. Nothing may be open.
    pub fn describe(&self, part: &str) -> Value {
        match part {
            "files" | "links" => content::tree(&self.path(part), |_| true),
            "config" => content::tree(&self.path("etc"), |name| name == "app.env"),
            _ => content::database(&self.path(&format!("{part}.db"))),
        }
    }

    fn make_databases(&self) {
        fs::create_dir_all(&self.folder).unwrap();
        self.on(
            "pos",
            "PRAGMA page_size = 512; PRAGMA journal_mode = wal;
             CREATE TABLE sale (id INTEGER PRIMARY KEY, item TEXT, paid INTEGER);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
             INSERT INTO sale SELECT i, 'item ' || i, i * 7 % 100 FROM n;",
        );
        self.on(
            "stock",
            "PRAGMA page_size = 4096; PRAGMA encoding = 'UTF-16le'; PRAGMA auto_vacuum = 1;
             PRAGMA user_version = 7; PRAGMA application_id = 77;
             CREATE TABLE paint (id INTEGER PRIMARY KEY, colour TEXT, can BLOB);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90)
             INSERT INTO paint SELECT i, 'Grün ' || i, zeroblob(3000) FROM n;",
        );
        write(self.path("empty.db"), "");
    }

    fn make_files(&self) {
        let files = self.path("files");
        write(files.join("a/text"), "the same line over and over\n".repeat(30));
        write(files.join("a/noise"), noise(1, 700));
        write(files.join("a/b/c/deep"), "deep");
        write(files.join("a/empty"), "");
        write(files.join("Grüße.txt"), "a name in UTF-8");
        write(files.join(OsStr::from_bytes(b"not \xff UTF-8")), "a name in no encoding");
        write(files.join("a line\nfeed"), "a name of two lines");
        // Larger than what is one chunk, and so regular that it takes no room.
        let lines = (0..50_000).map(|at| format!("line {}\n", at / 1000));
        write(files.join("long"), lines.collect::<String>().repeat(12));
        fs::create_dir(files.join("nothing inside")).unwrap();
        write(files.join("one file"), "with three names");
        fs::hard_link(files.join("one file"), files.join("a/second name")).unwrap();
        fs::hard_link(files.join("one file"), files.join("a/b/third name")).unwrap();
        link("one file", files.join("link"));
        link("../nowhere/at all", files.join("a/dangling"));
        mknodat(CWD, files.join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o620), 0).unwrap();
        drop(UnixListener::bind(files.join("socket")).unwrap());
        make_sparse(&files.join("sparse"));
        self.on(
            "files/ledger",
            "PRAGMA page_size = 1024; CREATE TABLE entry (id INTEGER PRIMARY KEY, text TEXT);
             INSERT INTO entry VALUES (1, 'in a folder');",
        );
        for (path, name, value) in [
            ("a/text", "user.colour", &b"blue"[..]),
            ("a/text", "user.raw", &[0xff, 0, 1]),
            ("a/b", "user.of a folder", b"yes"),
        ] {
            rustix::fs::setxattr(files.join(path), name, value, XattrFlags::empty()).unwrap();
        }
        for (path, mode) in [("a/text", 0o604), ("a/noise", 0o400), ("a/b", 0o1777), ("a", 0o750)] {
            set_mode(files.join(path), mode);
        }
        set_modified(files.join("a/empty"), -6, 500_000_000);
        set_modified(files.join("a/noise"), 1_000_000_000, 1);
        set_modified(files.join("link"), 1_111_111_111, 999_999_999);
        set_modified(files.join("nothing inside"), 0, 0);
        for number in 0..70 {
            let target = format!("{number}/").repeat(LONG_TARGET_BYTES / 3);
            fs::create_dir_all(self.path("links")).unwrap();
            link(target, self.path(&format!("links/{number}")));
        }
        write(self.path("etc/app.env"), "LANGUAGE=de\n");
        write(self.path("etc/not saved"), "beside it");
    }

    /// Changes a database, and leaves nothing beside its file.
    pub fn on(&self, name: &str, sql: &str) {
        let database = Connection::open(self.path(&format!("{name}.db"))).unwrap();
        database.execute_batch(sql).unwrap();
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    }

    /// An hour of sales: one row that changes each time, and a few new ones.
    pub fn sell(&self, hour: u32) {
        self.on(
            "pos",
            &format!(
                "UPDATE sale SET item = 'sold in hour {hour}' WHERE id IN (7, {});
                 INSERT INTO sale (item, paid) VALUES ('new in hour {hour}', {hour}), ('too', 1);",
                hour * 30
            ),
        );
    }

    /// A day later: much is different, and the stock is packed into pages of another size.
    pub fn tidy_up(&self) {
        let files = self.path("files");
        fs::remove_file(files.join("a/text")).unwrap();
        fs::rename(files.join("a/b/c/deep"), files.join("a/b/c/deeper")).unwrap();
        write(files.join("a/new"), noise(2, 100));
        fs::remove_file(files.join("a/second name")).unwrap();
        self.on("files/ledger", "INSERT INTO entry VALUES (2, 'a day later')");
        self.on("stock", "DELETE FROM paint WHERE id > 20; PRAGMA page_size = 65536; VACUUM;");
    }
}

/// Two pieces of bytes, and holes before, between and after them.
fn make_sparse(path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(3_000_000).unwrap();
    file.write_all_at(&noise(3, 5000), 65_536).unwrap();
    file.write_all_at(&noise(4, 3000), 2_097_152).unwrap();
}
