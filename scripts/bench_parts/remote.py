"""What it takes over a line of 200 Mbit/s and 50 ms: pushes, restores, the first look of a machine
that has nothing. The pure transfer time is what was sent, at the rate of the line.
"""

import shutil

import shop
from bench_parts.contestants import Source
from bench_parts.elsewhere import (
    BYTES_PER_SECOND,
    Elsewhere,
    ResticThere,
    RusticThere,
    StillpointThere,
    catch_up,
)
from bench_parts.measure import run

PUSH = "remote: push of the uploads"
PUSH_DRIVE = "remote: push of the uploads to Drive"
ONE = "remote: restore of one database of many"
FIRST = "remote: first push of the shop"
HOUR = "remote: an hour of 60 pushed"
RESTORE = "remote: restore of the shop"
OPEN = "remote: first look at {} snapshots"
OPEN_DRIVE = "remote: first look at {} snapshots on Drive"
SALES = 60
HOURS = 3
# A database whose stored bytes are a twentieth of those of the uploads.
UPLOADS_TO_DATABASE = 11


def link_seconds(stored_bytes):
    """How long the line needs for so much, at least."""
    return stored_bytes / BYTES_PER_SECOND


def measure(scenarios):
    with Elsewhere() as elsewhere:
        ours = StillpointThere(scenarios.scratch, elsewhere)
        peers = [ResticThere(scenarios.scratch, elsewhere), RusticThere(scenarios.scratch, elsewhere)]
        peers = [peer for peer in peers if peer.name in names(scenarios.contestants)]
        uploads(scenarios, ours, peers)
        one_of_many(scenarios, ours)
        drive(scenarios, StillpointThere(scenarios.scratch, elsewhere, "gdrive"))
        the_shop(scenarios, [ours, *peers])
        first_look(scenarios, elsewhere)


def names(contestants):
    return {one.name for one in contestants}


def counted(scenarios, row, contestant, commands):
    """Measures commands, and what they cost on the line."""
    _ = contestant.elsewhere.take_counts()
    scenarios.measure(row, contestant, commands)
    for fact, figure in contestant.elsewhere.take_counts().items():
        scenarios.results.note(row, contestant.name, fact, figure)


def uploads(scenarios, ours, peers):
    """Ours as often as the size asks for; the others once: the line bounds them all."""
    source = Source("uploads", scenarios.workloads.uploads())
    scenarios.begin(PUSH)
    for contestant in [*peers, *[ours] * scenarios.workloads.size.runs]:
        scenarios.say(f"{PUSH}: {contestant.name}")
        contestant.create()
        counted(scenarios, PUSH, contestant, contestant.backup(source))


def drive(scenarios, ours):
    source = Source("uploads", scenarios.workloads.uploads())
    scenarios.begin(PUSH_DRIVE)
    scenarios.say(PUSH_DRIVE)
    ours.create()
    counted(scenarios, PUSH_DRIVE, ours, ours.backup(source))


def one_of_many(scenarios, ours):
    """Into the repository of the uploads goes one database, and comes back alone."""
    path = scenarios.scratch / "one" / "one.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    shop.make(path, scenarios.workloads.size.upload_bytes // UPLOADS_TO_DATABASE)
    source = Source("one", path)
    before = ours.stored_bytes()
    catch_up(ours, ours.backup(source))
    stored = ours.stored_bytes() - before
    for contestant in scenarios.rounds(ONE, [ours]):
        restore(scenarios, ONE, contestant, source)
        scenarios.note_stored(ONE, contestant, stored)


def restore(scenarios, row, contestant, source):
    target = scenarios.scratch / "restored"
    target.mkdir(parents=True)
    contestant.become_fresh()
    counted(scenarios, row, contestant, contestant.restore(source, target))
    original, restored = contestant.original(source), contestant.restored(source, target)
    scenarios.require_same(original, restored, contestant)
    shutil.rmtree(target)


def the_shop(scenarios, everyone):
    """A first push, some hours, and the way back to an empty machine."""
    live = scenarios.scratch / "live" / "shop.db"
    live.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(scenarios.workloads.database(), live)
    source = Source("shop", live)
    for contestant in scenarios.rounds(FIRST, everyone):
        contestant.create()
        counted(scenarios, FIRST, contestant, contestant.backup(source))
    scenarios.begin(HOUR)
    for hour in range(1, HOURS + 1):
        shop.sell(live, SALES, seed=hour)
        for contestant in everyone:
            scenarios.say(f"{HOUR}: {hour}, {contestant.name}")
            counted(scenarios, HOUR, contestant, contestant.backup(source))
    for contestant in scenarios.rounds(RESTORE, everyone):
        restore(scenarios, RESTORE, contestant, source)


def first_look(scenarios, elsewhere):
    """A long history that nobody ever pruned, listed by a machine that has only the key."""
    count = scenarios.workloads.size.open_snapshots
    folder = scenarios.scratch / "small"
    folder.mkdir(parents=True, exist_ok=True)
    source = Source("small", folder)
    store, drive = (
        StillpointThere(scenarios.scratch, elsewhere, kind, by="straight")
        for kind in ("s3", "gdrive")
    )
    store.create()
    for number in range(count):
        scenarios.say(f"first look: snapshot {number + 1}")
        (folder / "log").write_text(f"sale {number}\n")
        run(*store.backup_here(source))
    for ours, row in ((store, OPEN), (drive, OPEN_DRIVE)):
        row = row.format(f"{count:,}")
        # The same history goes to both.
        ours.settle()
        catch_up(ours, ours.sync())
        for contestant in scenarios.rounds(row, [ours]):
            contestant.become_fresh()
            counted(scenarios, row, contestant, [contestant.there("snapshots", "--json")])
