"""What is backed up. Made once from a seed, kept outside the checkout, and never changed.

uploads     52,000 files, 2.1 GB: 80 % of the bytes incompressible, the rest text; 5 % duplicates
texts       50,000 small texts, 180 MB
shop.db     a shop's database of 1 GB in WAL mode, 4 KiB pages (see scripts/shop.py)
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import shop
import trees

# Raised when a generator changes, so that no old workload is measured as a new one.
GENERATION = 1


@dataclass(frozen=True)
class Size:
    name: str
    upload_files: int
    upload_bytes: int
    text_files: int
    database_bytes: int
    hours: int
    runs: int
    index_chunks: tuple
    # All peers take part in all of it, and theirs grow fast: a smaller database, fewer hours.
    prune_database_bytes: int
    prune_snapshots: int
    open_snapshots: int


FULL = Size(
    name="full",
    upload_files=52_000,
    upload_bytes=2_140_000_000,
    text_files=50_000,
    database_bytes=1_000_000_000,
    hours=200,
    runs=3,
    index_chunks=(10**5, 10**6, 10**7),
    prune_database_bytes=20_000_000,
    prune_snapshots=200,
    open_snapshots=1_000,
)
QUICK = Size(
    name="quick",
    upload_files=2_600,
    upload_bytes=107_000_000,
    text_files=2_500,
    database_bytes=60_000_000,
    hours=12,
    runs=1,
    index_chunks=(10**5,),
    prune_database_bytes=10_000_000,
    prune_snapshots=60,
    open_snapshots=60,
)


class Workloads:
    def __init__(self, cache, size):
        self.size = size
        self.folder = Path(cache, "workloads", f"{size.name}-{GENERATION}")

    def uploads(self):
        size = self.size
        return self.made(
            "uploads", lambda path: trees.uploads(path, size.upload_files, size.upload_bytes)
        )

    def texts(self):
        return self.made("texts", lambda path: trees.texts(path, self.size.text_files))

    def database(self):
        return self.made("shop.db", lambda path: shop.make(path, self.size.database_bytes))

    def made(self, name, make):
        """The path of a workload, made now if it is not there yet."""
        path = self.folder / name
        if not path.exists():
            print(f"making {path}", flush=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_name(f"unfinished-{name}")
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            make(unfinished)
            unfinished.rename(path)
        return path


def read_all(path):
    """Brings a workload into the page cache: every run is a warm one."""
    files = [path] if path.is_file() else (entry for entry in path.rglob("*") if entry.is_file())
    for file in files:
        with open(file, "rb") as content:
            while content.read(1 << 20):
                pass


def bytes_in(path):
    """The size of all files below `path`, as their owners see it (no blocks, no folders)."""
    return sum(entry.lstat().st_size for entry in Path(path).rglob("*") if entry.is_file())
