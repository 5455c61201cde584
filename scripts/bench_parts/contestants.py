"""Who backs up, and with which commands. Each contestant has a folder for its repository and home.

All encrypt. Those that can, open their repository with a key file, so that no key derivation is
timed: Stillpoint, rustic, bupstash. restic and borg always derive a key from a passphrase; borg's
is empty. borg compresses with zstd,3 in place of its default lz4, which the others do by default.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench_parts.measure import Command, run
from bench_parts.workloads import bytes_in

TOOLS = Path(os.environ["STILLPOINT_TOOLS"])
STILLPOINT = Path(os.environ["CARGO_TARGET_DIR"], "release", "stillpoint")


@dataclass(frozen=True)
class Source:
    """A workload as contestants see it. The name is one word; it becomes the name of a part."""

    name: str
    path: Path

    @property
    def is_database(self):
        return self.path.is_file()


class Contestant:
    """One program. Its commands are lists, because some need a first step, which is timed too."""

    name = ""
    program = ""
    # A reference is printed, but no goal is measured against it.
    is_peer = True
    keeps_history = True

    def __init__(self, scratch):
        self.folder = Path(scratch, self.name.replace(" ", "-"))
        self.repository = self.folder / "repository"
        self.home = self.folder / "home"
        self.env = {"HOME": self.home}

    def create(self):
        """A new, empty repository, without a trace of an older one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.home.mkdir(parents=True)
        run(*self.init())

    @property
    def program_name(self):
        return Path(self.program).name

    def command(self, *words, cwd=None):
        return Command([self.program, *words], cwd=cwd, env=self.env)

    def stored_bytes(self):
        return bytes_in(self.repository)

    def is_installed(self):
        return shutil.which(self.program) is not None

    def version(self):
        done = subprocess.run([self.program, *self.version_words], capture_output=True, text=True)
        return (done.stdout or done.stderr).splitlines()[0]

    version_words = ("--version",)

    def init(self):
        return []

    def backup(self, source):
        raise NotImplementedError

    def restore(self, source, target, ago=0):
        """Commands that restore the newest backup, or one that is `ago` backups older."""
        raise NotImplementedError

    def forget(self, kept):
        """Commands that forget all but the newest, as far as that is a step of its own."""
        return []

    def prune(self, kept):
        """Commands that remove what only forgotten backups need, at once."""
        raise NotImplementedError

    def restored(self, source, target):
        """Where `restore` has put it."""
        raise NotImplementedError

    def original(self, source):
        """What the newest backup has read."""
        return source.path


class Stillpoint(Contestant):
    name = "stillpoint"
    program = STILLPOINT
    version_words = ("version",)
    is_peer = False

    def credential(self):
        return ["--key-file", self.folder / "key"]

    def init(self):
        return [self.stillpoint("init", "--new-key-file", self.folder / "key")]

    def stillpoint(self, *words):
        return self.command("--repo", self.repository, "--state-dir", self.folder / "state", *words)

    def backup(self, source):
        kind = "--sqlite" if source.is_database else "--files"
        part = f"{source.name}={source.path}"
        return [self.stillpoint(*self.credential(), "backup", "--quiet", kind, part)]

    def restore(self, source, target, ago=0):
        words = ["restore", f"latest~{ago}", "--quiet", "--target", target]
        return [self.stillpoint(*self.credential(), *words)]

    def judge(self, kept):
        """What `forget` would do."""
        words = ["forget", "--policy", "--keep-last", str(kept), "--dry-run"]
        return [self.stillpoint(*self.credential(), *words)]

    def forget(self, kept):
        words = ["forget", "--policy", "--keep-last", str(kept), "--allow-most", "--quiet"]
        return [self.stillpoint(*self.credential(), *words)]

    def prune(self, kept):
        config = self.folder / "no-trash.toml"
        config.write_text("[retention]\nauto = false\ntrash_days = 0\n")
        return [self.stillpoint(*self.credential(), "--config", config, "prune", "--quiet")]

    def check(self):
        return [self.stillpoint(*self.credential(), "check", "--quiet")]

    def restored(self, source, target):
        return target / (f"{source.name}.db" if source.is_database else source.name)


class StillpointWithPassphrase(Stillpoint):
    """Beside the other, to show what Argon2id with 64 MiB adds to every command."""

    name = "stillpoint passphrase"

    def credential(self):
        return ["--password-file", self.folder / "passphrase"]

    def init(self):
        (self.folder / "passphrase").write_text("correct horse battery staple\n")
        return [self.stillpoint(*self.credential(), "init")]


class Peer(Contestant):
    """Knows folders of files only: of a database it needs a consistent copy first."""

    def backup(self, source):
        if not source.is_database:
            return self.backup_folder(source.path)
        copy = self.original(source)
        copy.parent.mkdir(exist_ok=True)
        copy.unlink(missing_ok=True)
        take_copy = Command(["sqlite3", source.path, f".backup {copy}"])
        return [take_copy, *self.backup_folder(copy.parent)]

    def backup_folder(self, folder):
        raise NotImplementedError

    def restore(self, source, target, ago=0):
        assert ago == 0
        return self.restore_folder(target)

    def restored(self, source, target):
        return target / source.path.name if source.is_database else target

    def original(self, source):
        return self.folder / "copy" / source.path.name if source.is_database else source.path


class Restic(Peer):
    name = program = "restic"
    version_words = ("version",)

    def __init__(self, scratch):
        super().__init__(scratch)
        self.env |= {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": "passphrase"}

    def init(self):
        return [self.command("init", "--quiet")]

    def backup_folder(self, folder):
        return [self.command("backup", "--quiet", ".", cwd=folder)]

    def forget(self, kept):
        return [self.command("forget", "--quiet", "--group-by", "", "--keep-last", str(kept))]

    def prune(self, kept):
        return [self.command("prune", "--quiet")]

    def restore_folder(self, target):
        return [self.command("restore", "--quiet", "latest", "--target", target)]


class Rustic(Peer):
    name = "rustic"
    program = TOOLS / "bin" / "rustic"

    def __init__(self, scratch):
        super().__init__(scratch)
        self.env |= {
            "RUSTIC_REPOSITORY": self.repository,
            "RUSTIC_KEY_FILE": self.folder / "key",
            "RUSTIC_NO_PROGRESS": "true",
            "RUSTIC_LOG_LEVEL": "warn",
        }

    def init(self):
        return [self.command("key", "create", self.folder / "key"), self.command("init")]

    def backup_folder(self, folder):
        return [self.command("backup", ".", cwd=folder)]

    def forget(self, kept):
        return [self.command("forget", "--group-by", "", "--keep-last", str(kept))]

    def prune(self, kept):
        return [self.command("prune", "--instant-delete", "--keep-pack", "0s")]

    def restore_folder(self, target):
        return [self.command("restore", "latest", target)]


class Borg(Peer):
    name = "borg"
    program = TOOLS / "python" / "bin" / "borg"

    def __init__(self, scratch):
        super().__init__(scratch)
        self.env |= {"BORG_REPO": self.repository, "BORG_PASSPHRASE": ""}
        self.archives = 0

    def init(self):
        return [self.command("init", "--encryption", "repokey-blake2")]

    def backup_folder(self, folder):
        self.archives += 1
        return [
            self.command("create", "--compression", "zstd,3", f"::{self.archives}", ".", cwd=folder)
        ]

    def prune(self, kept):
        return [self.command("prune", "--keep-last", str(kept)), self.command("compact")]

    def restore_folder(self, target):
        return [self.command("extract", f"::{self.archives}", cwd=target)]


class Bupstash(Peer):
    name = "bupstash"
    program = TOOLS / "bin" / "bupstash"
    version_words = ("version",)

    def __init__(self, scratch):
        super().__init__(scratch)
        self.env |= {
            "BUPSTASH_REPOSITORY": self.repository,
            "BUPSTASH_KEY": self.folder / "key",
        }
        self.items = 0

    def init(self):
        return [self.command("new-key", "-o", self.folder / "key"), self.command("init")]

    def backup_folder(self, folder):
        self.items += 1
        log = ["--send-log", self.folder / "send-log"]
        return [self.command("put", "--quiet", *log, f"name={self.items}", folder)]

    def restore_folder(self, target):
        metadata = ["--ownership", "--xattrs"]
        return [
            self.command("restore", "--quiet", *metadata, "--into", target, f"name={self.items}")
        ]


class Copy(Peer):
    """No backup at all: what the file system itself needs for a copy there and back."""

    name = "cp -a"
    program = "cp"
    is_peer = False
    keeps_history = False

    def backup_folder(self, folder):
        shutil.rmtree(self.repository, ignore_errors=True)
        return [self.command("-a", folder, self.repository)]

    def restore_folder(self, target):
        return [self.command("-a", f"{self.repository}/.", target)]


ALL = (Stillpoint, StillpointWithPassphrase, Restic, Rustic, Borg, Bupstash, Copy)
PEER_NAMES = [kind.name for kind in ALL if kind.is_peer]
