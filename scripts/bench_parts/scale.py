"""Ten million chunks, without the terabytes: synthetic indexes, measured by two programs of ours.

`benches/index_scale.rs` fills an index and looks ids up in sorted batches.
`benches/rebuild_scale.rs` writes the segments of a million chunks and lets a fresh machine build
its index from them.
`benches/forget_scale.rs` commits three months of hourly increments of a gigabyte, judges them by
the shop's policies, forgets what those do not keep, and prunes.
"""

import re
import subprocess

LOOKUPS = re.compile(r"a miss ([\d.]+) us .*a hit ([\d.]+) us ")
PEAK = re.compile(r"peak (\d+) MB")
REBUILD = re.compile(r"rebuilt in ([\d.]+) s")
JUDGED = re.compile(r"judged in ([\d.]+) s.*peak (\d+) MB")
PRUNED = re.compile(r"pruned in ([\d.]+) s.*peak (\d+) MB")

ROW = "index of {} chunks"
REBUILD_ROW = "rebuild from {} chunks"
JUDGE_ROW = "forget --policy --dry-run of {} snapshots"
PRUNE_ROW = "prune of most of {} snapshots"
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
    """Adds a row for judging so many snapshots, and one for pruning what goes."""
    output = program_output("forget_scale", count)
    for row, pattern in ((JUDGE_ROW, JUDGED), (PRUNE_ROW, PRUNED)):
        seconds, megabytes = pattern.search(output).groups()
        row = row.format(f"{count:,}")
        results.begin(row)
        facts = {"wall": float(seconds), "peak_bytes": int(megabytes) * 10**6}
        results.add(row, "stillpoint", facts)


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
