"""What is to be reached, and by how much it was. Each goal is a ratio or a figure with a limit."""

import statistics
from dataclasses import dataclass

from bench_parts import past, prunes, remote, scale

OURS = "stillpoint"
MEMORY_BYTES_MAX = 256 * 2**20


@dataclass(frozen=True)
class Verdict:
    work: str
    ours: str
    against: str
    reached: float
    limit: float
    unit: str = "x"

    @property
    def passed(self):
        return self.reached <= self.limit

    def text(self):
        if self.passed:
            return "reached"
        return f"**missed** by {(self.reached / self.limit - 1) * 100:.0f} %"


def judge(results, peers):
    """Every goal whose rows were measured, in the order of the table in the README of the bench."""
    verdicts = []
    for tree in ("uploads", "texts"):
        verdicts += [
            against_peers(results, peers, f"{tree} first", "wall", 0.75),
            against_peers(results, peers, f"{tree} first", "stored", 1.0),
            against_peers(results, peers, f"{tree} again", "wall", 0.8),
            against_peers(results, peers, f"{tree} restore", "wall", 0.75),
        ]
    verdicts += [
        against_peers(results, peers, "shop first", "wall", 0.6),
        against_peers(results, peers, "shop first", "stored", 1.0),
        *judge_hours(results, "hour of 60"),
        against_peers(results, peers, "hour of 60", "wall", 0.35),
        against_peers(results, peers, "shop restore", "wall", 1.0),
        restore_of_last(results),
        memory(results),
        *judge_past(results),
        *judge_prunes(results, peers),
        *judge_remote(results, peers),
        *judge_scale(results),
    ]
    return [verdict for verdict in verdicts if verdict]


def against_peers(results, peers, row, fact, limit):
    ours = results.median(row, OURS, fact)
    peer, best = results.best_peer(row, fact, peers)
    if ours is None or best is None:
        return None
    work = f"{row}, {'time' if fact == 'wall' else 'bytes stored'}"
    return Verdict(work, show(fact, ours), f"{peer} {show(fact, best)}", ours / best, limit)


def judge_hours(results, row):
    """Stored bytes against zstd -3 of the changed pages, and whether they or the time grow."""
    stored, walls = results.runs(row, OURS, "stored"), results.runs(row, OURS, "wall")
    plain = results.runs(row, "zstd -3", "stored")
    if len(stored) < 12:
        return
    mean = statistics.mean
    ratio = mean(ours / least for ours, least in zip(stored, plain, strict=True))
    count = len(stored)
    yield Verdict(
        f"{row} sales, bytes stored, mean of {count}",
        show("stored", mean(stored)),
        f"zstd -3 {show('stored', mean(plain))}",
        ratio,
        0.15,
    )
    yield growth(f"{row} sales, bytes stored, last ten", "stored", stored, 1.5)
    yield growth(f"{row} sales, time, last ten", "wall", walls, 1.2)


def growth(work, fact, figures, limit):
    last, second = statistics.mean(figures[-10:]), figures[1]
    against = f"second hour {show(fact, second)}"
    return Verdict(work, show(fact, last), against, last / second, limit)


def restore_of_last(results):
    last = results.median("shop restore", OURS, "wall")
    first = results.median("shop restore of the first", OURS, "wall")
    if last is None or first is None:
        return None
    against = f"restore of the first {show('wall', first)}"
    return Verdict("shop restore of the last, time", show("wall", last), against, last / first, 1.2)


def memory(results):
    """The most that any measured command of ours took."""
    peaks = [
        (run["peak_bytes"], row)
        for row, contestants in results.rows.items()
        for run in contestants.get(OURS, [])
        if "peak_bytes" in run
    ]
    if not peaks:
        return None
    peak_bytes, row = max(peaks)
    ours = f"{peak_bytes / 2**20:.0f} MiB ({row})"
    reached, limit = peak_bytes / 2**20, MEMORY_BYTES_MAX / 2**20
    return Verdict("peak memory, any command", ours, "", reached, limit, "MiB")


def judge_past(results):
    """Seconds of the whole process, and ratios to how it was done before."""
    goals = (
        (past.FIRST_ROW, 0.05, past.RESTORED, 0.1),
        (past.DIFFERENCE, 0.5, past.SQLDIFF, 0.1),
    )
    for row, seconds_max, other, ratio_max in goals:
        ours, theirs = (results.median(row, name, "wall") for name in (OURS, other))
        if ours and theirs:
            against = f"{other} {show('wall', theirs)}"
            yield Verdict(f"{row}, time", show("wall", ours), "", ours, seconds_max, "s")
            yield Verdict(f"{row}, time", show("wall", ours), against, ours / theirs, ratio_max)


def judge_prunes(results, peers):
    """The history beside the peers."""
    seconds = results.median(prunes.JUDGE, OURS, "wall")
    if seconds:
        yield Verdict(prunes.JUDGE, show("wall", seconds), "", seconds, 1, "s")
    yield against_peers(results, peers, prunes.PRUNE, "wall", 0.5)
    yield from judge_rest(results, prunes.LEFT, prunes.NEVER)
    yield from judge_next(results, prunes.NEXT, (prunes.HOUR, OURS), OURS)


def judge_rest(results, row, never):
    """What is left of a prune, beside what never had the forgotten ones."""
    left, least = (results.median(row, name, "stored") for name in (OURS, never))
    if left and least:
        against = f"{never} {show('stored', least)}"
        yield Verdict(f"{row}, bytes", show("stored", left), against, left / least, 1.3)


def judge_next(results, row, before, after):
    """Whether an hour takes what it took before the prune."""
    earlier, seconds = results.median(*before, "wall"), results.median(row, after, "wall")
    if earlier and seconds:
        against = f"before it {show('wall', earlier)}"
        yield Verdict(f"{row}, time", show("wall", seconds), against, seconds / earlier, 1.2)


def judge_remote(results, peers):
    """Against the line itself, and against the peers on the same line."""
    for row in (remote.PUSH, remote.PUSH_DRIVE):
        wall, sent = (results.median(row, OURS, fact) for fact in ("wall", "sent"))
        if wall:
            pure = remote.link_seconds(sent)
            against = f"the line itself {show('wall', pure)}"
            yield Verdict(f"{row}, time", show("wall", wall), against, wall / pure, 1.2)
    received, stored = (results.median(remote.ONE, OURS, fact) for fact in ("received", "stored"))
    if received:
        against = f"it has stored {show('stored', stored)}"
        work = f"{remote.ONE}, received"
        yield Verdict(work, show("stored", received), against, received / stored, 1.3)
    for row in (row for row in results.rows if row.startswith("remote: first look")):
        requests, wall = (results.median(row, OURS, fact) for fact in ("requests", "wall"))
        yield Verdict(row, f"{requests:g} requests", "", requests, 10, "requests")
        yield Verdict(f"{row}, time", show("wall", wall), "", wall, 2, "s")
    for row in (remote.FIRST, remote.HOUR, remote.RESTORE):
        yield against_peers(results, peers, row, "wall", 0.7)


def judge_scale(results):
    """Lookups from the smallest to the largest index, and a fresh machine's rebuild."""
    small, large = (scale.ROW.format(f"{count:,}") for count in (10**5, 10**7))
    for fact, limit in (("miss_us", 1.5), ("hit_us", 4.0)):
        few, many = (results.median(row, OURS, fact) for row in (small, large))
        if few and many:
            work = f"{large}, a {fact[:-3]}"
            yield Verdict(work, f"{many:.2f} us", f"of 100,000: {few:.2f} us", many / few, limit)
    hit = results.median(large, OURS, "hit_us")
    if hit:
        yield Verdict(f"{large}, a hit", f"{hit:.2f} us", "", hit, 10, "us")
    row = scale.REBUILD_ROW.format(f"{10**6:,}")
    seconds = results.median(row, OURS, "wall")
    if seconds:
        yield Verdict(row, show("wall", seconds), "", seconds, 60, "s")
    row = scale.JUDGE_ROW.format(f"{scale.HISTORY:,}")
    seconds = results.median(row, OURS, "wall")
    if seconds:
        yield Verdict(row, show("wall", seconds), "", seconds, 1, "s")
    row = scale.PRUNE_ROW.format(f"{scale.HISTORY:,}")
    yield from judge_rest(results, row, scale.NEVER)
    row = scale.HOUR_ROW.format(f"{scale.HISTORY:,}")
    yield from judge_next(results, row, (row, OURS), scale.AFTER_PRUNE)


def show(fact, figure):
    if fact == "stored":
        return f"{figure / 1e6:,.2f} MB"
    return f"{figure:.3f} s" if figure < 1 else f"{figure:.2f} s"
