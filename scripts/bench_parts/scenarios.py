"""The order of things measured. Contestants take turns, so that a noisy minute hits all of them."""

import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import shop
from bench_parts import past, prunes, remote, scale
from bench_parts.baseline import ChangedPages, compressed_bytes
from bench_parts.contestants import Source
from bench_parts.measure import run, run_timed
from bench_parts.workloads import read_all

# Peers take part in so many of the hours, from the second on: their costs do not change much.
HOURS_OF_PEERS = range(2, 5)
SALES_OF_A_QUIET_HOUR = 60
SALES_OF_A_BUSY_HOUR = 1000
BUSY_HOURS = 3


class Scenarios:
    def __init__(self, contestants, workloads, scratch, results):
        self.everyone, self.workloads = contestants, workloads
        self.scratch, self.results = Path(scratch), results
        self.contestants = [one for one in contestants if one.keeps_history]
        self.stillpoint = contestants[0]

    def uploads(self):
        self.tree("uploads", self.workloads.uploads())

    def texts(self):
        self.tree("texts", self.workloads.texts())

    def tree(self, name, path):
        """First backup, again without a change, restore."""
        source = Source(name, path)
        read_all(path)
        self.first_backups(source, self.everyone)
        for contestant in self.rounds(f"{name} again", self.contestants):
            self.measure(f"{name} again", contestant, contestant.backup(source))
        self.restores(f"{name} restore", source, self.everyone)
        self.clean()

    def database(self):
        """First backup, hours of 60 sales, restore of the last and the first, busy hours."""
        live = self.scratch / "live" / "shop.db"
        live.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.workloads.database(), live)
        source = Source("shop", live)
        self.first_backups(source, self.contestants)
        self.quiet_hours(source)
        self.restores("shop restore", source, self.contestants)
        self.restore_of_the_first(source)
        self.busy_hours(source)
        self.clean()

    def past(self):
        """Questions to a past database, and what differs between two moments of it."""
        live = self.scratch / "live" / "shop.db"
        live.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.workloads.database(), live)
        past.measure(self, Source("shop", live), SALES_OF_A_QUIET_HOUR)
        self.clean()

    def prune(self):
        """A history of which the older half is forgotten and removed."""
        live = self.scratch / "live" / "shop.db"
        live.parent.mkdir(parents=True, exist_ok=True)
        size = self.workloads.size
        shop.make(live, size.prune_database_bytes)
        prunes.measure(self, Source("shop", live), size.prune_snapshots)
        self.clean()

    def remote(self):
        """Places elsewhere, behind a slow line."""
        remote.measure(self)
        self.clean()

    def say(self, text):
        say(text, end="\r")

    def require_same(self, original, restored, contestant):
        require_same(original, restored, contestant)

    def scale(self):
        """Indexes larger than any workload here."""
        scale.measure(self.results, self.workloads.size.index_chunks)
        self.clean()

    def first_backups(self, source, contestants):
        row = f"{source.name} first"
        for contestant in self.rounds(row, contestants):
            contestant.create()
            self.measure(row, contestant, contestant.backup(source))
            self.note_stored(row, contestant, contestant.stored_bytes())

    def restores(self, row, source, contestants):
        for contestant in self.rounds(row, contestants):
            self.one_restore(row, contestant, source, contestant.original(source))

    def restore_of_the_first(self, source):
        """Does a long history make the present expensive? The first snapshot has none."""
        row = "shop restore of the first"
        for contestant in self.rounds(row, [self.stillpoint]):
            hours = self.workloads.size.hours
            self.one_restore(row, contestant, source, self.workloads.database(), ago=hours)

    def one_restore(self, row, contestant, source, original, ago=0):
        target = self.scratch / "restored"
        target.mkdir(parents=True)
        self.measure(row, contestant, contestant.restore(source, target, ago))
        require_same(original, contestant.restored(source, target), contestant)
        shutil.rmtree(target)

    def quiet_hours(self, source):
        """Stillpoint backs up every hour, the others a few: their repositories grow too fast."""
        row = f"hour of {SALES_OF_A_QUIET_HOUR}"
        self.begin(row)
        pages = ChangedPages(source.path, self.scratch / "before.db")
        for hour in range(1, self.workloads.size.hours + 1):
            shop.sell(source.path, SALES_OF_A_QUIET_HOUR, seed=hour)
            self.add_baseline(row, pages.look())
            for contestant in self.contestants:
                if contestant is self.stillpoint or hour in HOURS_OF_PEERS:
                    self.one_hour(row, contestant, source)
            say(f"{row}: {hour}", end="\r")
        say(f"{row}: the others catch up, untimed")
        for contestant in self.contestants:
            if contestant is not self.stillpoint:
                run(*contestant.backup(source))

    def busy_hours(self, source):
        row = f"hour of {SALES_OF_A_BUSY_HOUR}"
        self.begin(row)
        pages = ChangedPages(source.path, self.scratch / "before.db")
        for hour in range(1, BUSY_HOURS + 1):
            shop.sell(source.path, SALES_OF_A_BUSY_HOUR, seed=-hour)
            self.add_baseline(row, pages.look())
            for contestant in self.contestants:
                self.one_hour(row, contestant, source)
            say(f"{row}: {hour}")

    def one_hour(self, row, contestant, source):
        before = contestant.stored_bytes()
        self.measure(row, contestant, contestant.backup(source))
        self.note_stored(row, contestant, contestant.stored_bytes() - before)

    def add_baseline(self, row, changed):
        facts = {"stored": compressed_bytes(changed), "pages": len(changed)}
        self.results.add(row, "zstd -3", facts)

    def rounds(self, row, contestants):
        """Every contestant once, then every one again, as often as the size asks for."""
        self.begin(row)
        for number in range(1, self.workloads.size.runs + 1):
            for contestant in contestants:
                say(f"{row}: run {number}, {contestant.name}")
                yield contestant

    def begin(self, row):
        self.results.begin(row)

    def measure(self, row, contestant, commands):
        self.measure_as(row, contestant.name, commands, contestant)

    def measure_as(self, row, name, commands, contestant=None):
        """Measures under a name that need not be a contestant's."""
        contestant = contestant or self.stillpoint
        text = "; ".join(command.text() for command in commands)
        # The results should read as if all of it happened in one folder.
        text = text.replace(str(contestant.program), contestant.program_name)
        for folder, short in (
            (contestant.folder, ""),
            (self.scratch, "../"),
            (self.workloads.folder, "../"),
        ):
            text = text.replace(f"{folder}/", short)
        self.results.add(row, name, asdict(run_timed(*commands)) | {"commands": text})

    def note_stored(self, row, contestant, stored_bytes):
        self.results.note(row, contestant.name, "stored", stored_bytes)

    def clean(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.results.save()


def require_same(original, restored, contestant):
    """A restore that is fast and wrong must not enter the table."""
    same = ["cmp"] if original.is_file() else ["diff", "-r", "--no-dereference"]
    done = subprocess.run([*same, original, restored], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{contestant.name} restored something else:\n{done.stdout[:2000]}{done.stderr}")


def say(text, end="\n"):
    print(text, end=end, flush=True)
