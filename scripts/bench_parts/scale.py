"""Ten million chunks, without the terabytes: synthetic indexes, measured by two programs of ours.

`benches/index_scale.rs` fills an index and looks ids up in sorted batches.
`benches/rebuild_scale.rs` writes the segments of a million chunks and lets a fresh machine build
its index from them.
"""

import re
import subprocess

LOOKUPS = re.compile(r"a miss ([\d.]+) us .*a hit ([\d.]+) us ")
PEAK = re.compile(r"peak (\d+) MB")
REBUILD = re.compile(r"rebuilt in ([\d.]+) s")

ROW = "index of {} chunks"
REBUILD_ROW = "rebuild from {} chunks"


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
