"""The command line of the bench; see scripts/bench."""

import argparse
import dataclasses
import os
import shutil
import sys
from pathlib import Path

from bench_parts import contestants, report
from bench_parts.measure import CommandFailed
from bench_parts.results import Results
from bench_parts.scenarios import Scenarios, say
from bench_parts.workloads import FULL, QUICK, Workloads

SCENARIOS = ("uploads", "texts", "database", "past", "prune", "remote", "scale")
# Outside the checkout, and on one disk with the repositories, which lie beside the workloads.
CACHE = Path(os.environ.get("STILLPOINT_BENCH") or Path.home() / ".cache/stillpoint/bench")
RESULTS_PAGE = Path("benches/RESULTS.md")


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small workloads, one run, print only")
    parser.add_argument(
        "--only", action="append", choices=SCENARIOS, help="measure this again, keep the rest"
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=contestants.PEER_NAMES,
        metavar="PEER",
        help="leave this peer out, and say so in the result",
    )
    parser.add_argument(
        "--snapshots", type=int, metavar="N", help="length of the history that is pruned"
    )
    parser.add_argument(
        "--report", action="store_true", help="measure nothing, write the page anew"
    )
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    size = QUICK if arguments.quick else FULL
    if arguments.snapshots:
        size = dataclasses.replace(size, prune_snapshots=arguments.snapshots)
    scratch = CACHE / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    everyone = [kind(scratch) for kind in contestants.ALL if kind.name not in arguments.without]
    missing = [one.name for one in everyone if not one.is_installed()]
    if missing:
        sys.exit(f"error: not installed: {', '.join(missing)}\n  help  scripts/bench --setup")

    results = Results(CACHE / f"results-{size.name}.json")
    if not arguments.report:
        measure(Scenarios(everyone, Workloads(CACHE, size), scratch, results), arguments.only)
    page = report.render(results, size, everyone, arguments.without)
    say(page)
    if size is FULL:
        RESULTS_PAGE.write_text(page)
        say(f"written to {RESULTS_PAGE}")


def measure(scenarios, only):
    say(f"load before: {os.getloadavg()[0]:.2f} (it should be near 0)")
    try:
        for name in only or SCENARIOS:
            getattr(scenarios, name)()
    except CommandFailed as failure:
        sys.exit(f"error: {failure}")
    finally:
        shutil.rmtree(scenarios.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
