"""Turns results into text: the goals first, then a table for each row, then how it was done."""

import datetime
import os
import platform
import statistics
from pathlib import Path

from bench_parts import (
    baseline,
    contestants,
    elsewhere,
    past,
    prunes,
    remote,
    scale,
    workloads,
)
from bench_parts.goals import OURS, judge, show


def render(results, size, present, absent):
    lines = [
        "# Measured side by side",
        "",
        "Written by `scripts/bench`; do not edit. " + machine(),
        "",
        "One run, contestants taking turns, warm page cache, median of "
        f"{size.runs} runs; the lowest figure of the peers is the one to beat.",
        "",
    ]
    if absent:
        lines += [f"**Without {', '.join(absent)}**, by `--without`.", ""]
    lines += goals_table(results, [one.name for one in present if one.is_peer])
    lines += ["## All rows", ""]
    for row in results.rows:
        lines += row_table(results, row)
    lines += ["## How", "", *howto(), *commands(results, present)]
    return "\n".join(lines) + "\n"


def goals_table(results, peers):
    lines = [
        "## Goals",
        "",
        "| work | ours | against | reached | goal | |",
        "|---|---|---|---|---|---|",
    ]
    for verdict in judge(results, peers):
        reached = f"{verdict.reached:.2f} {verdict.unit}"
        goal = f"≤ {verdict.limit:g} {verdict.unit}"
        cells = (verdict.work, verdict.ours, verdict.against, reached, goal, verdict.text())
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def row_table(results, row):
    """Medians of each contestant, and its time as a multiple of ours."""
    lines = [
        f"### {row}",
        "",
        "| | wall | x ours | CPU | peak memory | stored | runs |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    ours = results.median(row, OURS, "wall")
    for name in results.rows[row]:
        lines.append(row_line(results, row, name, ours))
    return [*lines, ""]


def row_line(results, row, name, ours):
    wall, cpu = (results.median(row, name, fact) for fact in ("wall", "cpu"))
    peaks, stored = results.runs(row, name, "peak_bytes"), results.runs(row, name, "stored")
    walls = results.runs(row, name, "wall")
    cells = [
        name,
        show("wall", wall) if wall else "",
        f"{wall / ours:.2f}" if wall and ours else "",
        show("wall", cpu) if cpu else "",
        f"{max(peaks) / 2**20:.0f} MiB" if peaks else "",
        show("stored", statistics.mean(stored)) if stored else "",
        lookups(results, row, name) or spread(walls) + on_the_line(results, row, name),
    ]
    return f"| {' | '.join(cells)} |"


def lookups(results, row, name):
    miss, hit = (results.median(row, name, fact) for fact in ("miss_us", "hit_us"))
    return f"a miss {miss:.2f} us, a hit {hit:.2f} us" if hit else ""


def on_the_line(results, row, name):
    """What the last run sent, received and asked, where that was counted."""
    sent, received, requests = (
        results.runs(row, name, fact) for fact in ("sent", "received", "requests")
    )
    if not requests:
        return ""
    bytes_told = f"{sent[-1] / 1e6:,.1f} MB up, {received[-1] / 1e6:,.1f} MB down"
    return f"; {bytes_told}, {requests[-1]:,} requests"


def spread(walls):
    """Each run when they are few, else their range: noise must stay visible."""
    if len(walls) <= 3:
        return ", ".join(f"{wall:.2f}" for wall in walls)
    return f"{len(walls)} of {min(walls):.2f} to {max(walls):.2f}"


def howto():
    """The documentation of the parts is the documentation of the bench."""
    parts = (workloads, contestants, baseline, past, elsewhere, remote, prunes, scale)
    texts = [part.__doc__ for part in parts]
    return ["```text", *(f"{text.strip()}\n" for text in texts), "```", ""]


def commands(results, present):
    """Versions, and what was typed for a tree and for the database."""
    lines = ["```text"]
    for one in present:
        lines.append(f"{one.name}: {one.version()}")
        for row in ("uploads first", "uploads restore", "shop first", "shop restore"):
            typed = results.runs(row, one.name, "commands")
            lines += [f"    {row:16}  {typed[-1]}"] if typed else []
    return [*lines, "```"]


def machine():
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores, today = os.cpu_count(), datetime.date.today()
    kernel = platform.release().split("-")[0]
    return f"{today}, {model}, {cores} cores, {memory_gb:.0f} GB, Linux {kernel}."
