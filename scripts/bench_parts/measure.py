"""Times one command: wall clock, CPU, and peak memory of the process tree."""

import os
import shlex
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SAMPLE_SECONDS = 0.1


@dataclass(frozen=True)
class Command:
    """What to run. `stdout` names a file for the output of programs that write there."""

    argv: list
    cwd: Path | None = None
    env: dict = field(default_factory=dict)
    stdout: Path | None = None

    def text(self):
        """As one would type it."""
        words = shlex.join(str(word) for word in self.argv)
        return f"(cd {shlex.quote(str(self.cwd))}; {words})" if self.cwd else words


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float
    peak_bytes: int

    def __add__(self, other):
        """One after the other."""
        peak_bytes = max(self.peak_bytes, other.peak_bytes)
        return Cost(self.wall + other.wall, self.cpu + other.cpu, peak_bytes)


class CommandFailed(Exception):
    pass


def run_timed(*commands):
    """Runs the commands one after the other and returns their cost in all.

    Dirty pages of earlier work are written out first, so that nobody pays for what others wrote.
    """
    os.sync()
    total = Cost(0, 0, 0)
    for command in commands:
        total += time_one(command)
    return total


def run(*commands):
    """Runs what is not measured."""
    for command in commands:
        time_one(command)


def time_one(command):
    with (
        open(command.stdout or os.devnull, "wb") as output,
        tempfile.NamedTemporaryFile("r") as largest,
    ):
        start = time.perf_counter()
        process = subprocess.Popen(
            [*under_time(largest.name), *(str(word) for word in command.argv)],
            cwd=command.cwd,
            env={**os.environ, **{name: str(value) for name, value in command.env.items()}},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
        )
        messages = Drain(process.stderr)
        memory = MemoryWatch(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        largest_kib = int(largest.read().split()[-1])
    process.returncode = os.waitstatus_to_exitcode(status)
    sampled_bytes = memory.stop()
    if process.returncode != 0:
        said = messages.text()[-2000:]
        raise CommandFailed(f"{command.text()}\nended with {process.returncode}:\n{said}")
    # `time` knows the largest single process exactly, the samples know processes together.
    peak_bytes = max(largest_kib * 1024, sampled_bytes)
    return Cost(wall, usage.ru_utime + usage.ru_stime, peak_bytes)


def under_time(report):
    """Linux counts what a parent held at the fork as its child's peak, so a small one must fork."""
    return ["/usr/bin/time", "--format=%M", f"--output={report}"]


class Drain:
    """Reads what a program says, so that it never waits for us."""

    def __init__(self, pipe):
        self.said = b""
        self.thread = threading.Thread(target=self.read, args=[pipe], daemon=True)
        self.thread.start()

    def read(self, pipe):
        self.said = pipe.read()

    def text(self):
        self.thread.join()
        return self.said.decode(errors="replace")


class MemoryWatch:
    """Samples the resident memory of a process and its descendants, added up."""

    def __init__(self, pid):
        self.pid, self.peak_bytes = pid, 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.done.wait(SAMPLE_SECONDS):
            resident = sum(resident_bytes(pid) for pid in tree_of(self.pid))
            self.peak_bytes = max(self.peak_bytes, resident)

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.peak_bytes


def tree_of(pid):
    yield pid
    for children in Path("/proc", str(pid), "task").glob("*/children"):
        try:
            pids = children.read_text().split()
        except OSError:  # the thread has ended meanwhile
            continue
        for child in pids:
            yield from tree_of(int(child))


def resident_bytes(pid):
    try:
        return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):  # the process has ended meanwhile
        return 0
