"""Ten million chunks, without the terabytes: synthetic indexes, measured by two programs of ours.

`benches/index_scale.rs` fills an index and looks ids up in sorted batches.
`benches/rebuild_scale.rs` writes the segments of a million chunks and lets a fresh machine build
its index from them.
`benches/forget_scale.rs` commits three months of hourly increments of a gigabyte, judges them by
the shop's policies, prunes the older half, and goes on; and commits the newer half alone.
"""

import re
import subprocess

LOOKUPS = re.compile(r"a miss ([\d.]+) us .*a hit ([\d.]+) us ")
PEAK = re.compile(r"peak (\d+) MB")
REBUILD = re.compile(r"rebuilt in ([\d.]+) s")
JUDGED = re.compile(r"judged in ([\d.]+) s.*peak (\d+) MB")
WROTE = re.compile(
    r"first (\d+) bytes, beyond it (\d+) bytes; the last took ([\d.]+) ms each, peak (\d+) MB"
)
PRUNED = re.compile(r"pruned in ([\d.]+) s.* now (\d+) bytes in all, peak (\d+) MB")
NEXT = re.compile(r"the next took ([\d.]+) ms each, peak (\d+) MB")

ROW = "index of {} chunks"
REBUILD_ROW = "rebuild from {} chunks"
JUDGE_ROW = "forget --policy --dry-run of {} snapshots"
PRUNE_ROW = "prune of the older half of {} snapshots"
HOUR_ROW = "an hour of 1 GB after {} snapshots"
AFTER_PRUNE = "stillpoint, older half pruned"
NEVER = "stillpoint, never had it"
HISTORY = 2_000


def measure(results, counts):
    """Adds a row for each number of chunks, and one for the rebuild."""
    for count in counts:
        row = ROW.format(f"{count:,}")
        results.begin(row)
        results.add(row, "stillpoint", lookup_facts(program_output("index_scale", count)))
    rebuilt = min(counts[-1], 10**6)
    row = REBUILD_ROW.format(f"{rebuilt:,}")
    results.begin(row)
    results.add(row, "stillpoint", rebuild_facts(program_output("rebuild_scale", rebuilt)))
    history(results, HISTORY if counts[-1] >= 10**6 else HISTORY // 10)


def history(results, count):
    """Adds rows for judging so many snapshots, for pruning half of them, and for the hours around
    that; `stored` is what a repository holds beyond its first snapshot.
    """
    output = program_output("forget_scale", count)
    judge, prune, hour = (row.format(f"{count:,}") for row in (JUDGE_ROW, PRUNE_ROW, HOUR_ROW))
    for row in (judge, prune, hour):
        results.begin(row)
    seconds, megabytes = JUDGED.search(output).groups()
    results.add(judge, "stillpoint", cost(seconds, megabytes))
    (first, _, before, peak), (_, never, hour_never, peak_never) = WROTE.findall(output)
    seconds, left, megabytes = PRUNED.search(output).groups()
    stored = {"stored": int(left) - int(first)}
    results.add(prune, "stillpoint", cost(seconds, megabytes) | stored)
    results.add(prune, NEVER, {"stored": int(never)})
    after, peak_after = NEXT.search(output).groups()
    for name, milliseconds, megabytes in (
        ("stillpoint", before, peak),
        (AFTER_PRUNE, after, peak_after),
        (NEVER, hour_never, peak_never),
    ):
        results.add(hour, name, cost(float(milliseconds) / 1e3, megabytes))


def cost(seconds, megabytes):
    return {"wall": float(seconds), "peak_bytes": int(megabytes) * 10**6}


def program_output(bench, count):
    argv = ["cargo", "bench", "--locked", "--quiet", "--bench", bench, "--", str(count)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, flush=True)
    return done.stdout


def lookup_facts(text):
    """The last lookups are those after a change, as in real life."""
    miss, hit = LOOKUPS.findall(text)[-1]
    return {"miss_us": float(miss), "hit_us": float(hit), "peak_bytes": peak_bytes(text)}


def rebuild_facts(text):
    (seconds,) = REBUILD.findall(text)
    return {"wall": float(seconds), "peak_bytes": peak_bytes(text)}


def peak_bytes(text):
    return max(int(megabytes) for megabytes in PEAK.findall(text)) * 10**6
