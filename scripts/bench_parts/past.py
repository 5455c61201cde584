"""Looking into the past, beside the ways that there were before: one row of a past database beside
restoring it and asking the copy, and the rows that differ between two moments beside SQLite's own
`sqldiff` on two copies, which somebody has restored before and untimed.
"""

import shutil

import shop
from bench_parts.measure import Command, run

FIRST_ROW = "past: first row"
DIFFERENCE = "past: which rows differ"
RESTORED = "restore, then query"
SQLDIFF = "sqldiff"
QUESTION = "SELECT * FROM invoices WHERE id = 4711"


def measure(scenarios, source, sales):
    """Two moments, an hour of sales apart."""
    ours = scenarios.stillpoint
    ours.create()
    run(*ours.backup(source))
    older = scenarios.scratch / "older.db"
    shutil.copyfile(source.path, older)
    shop.sell(source.path, sales, seed=1)
    run(*ours.backup(source))
    first_row(scenarios, source)
    difference(scenarios, source, older)


def first_row(scenarios, source):
    ours = scenarios.stillpoint
    target = scenarios.scratch / "restored"
    for _ in scenarios.rounds(FIRST_ROW, [ours]):
        asked = ours.stillpoint(*ours.credential(), "sql", "latest", QUESTION)
        scenarios.measure(FIRST_ROW, ours, [asked])
        target.mkdir(parents=True)
        copy = Command(["sqlite3", ours.restored(source, target), QUESTION])
        scenarios.measure_as(FIRST_ROW, RESTORED, [*ours.restore(source, target), copy])
        shutil.rmtree(target)


def difference(scenarios, source, older):
    ours = scenarios.stillpoint
    # What sqldiff reads is a file at rest.
    run(Command(["sqlite3", source.path, "PRAGMA wal_checkpoint(TRUNCATE)"]))
    for _ in scenarios.rounds(DIFFERENCE, [ours]):
        told = ours.stillpoint(*ours.credential(), "diff", "latest~1", "latest")
        scenarios.measure(DIFFERENCE, ours, [told])
        scenarios.measure_as(
            DIFFERENCE, SQLDIFF, [Command(["sqldiff", "--summary", older, source.path])]
        )
