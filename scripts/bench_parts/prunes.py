"""What it costs to forget: a history of hours, of which the older half goes, beside the peers on
the same history, and beside a repository that never had that half: it made the same first backup,
and then nothing until the hours that stay.

A history of 200 hours of a small database: of 2,000 the peers would take most of a day to make it.
What 2,000 hours of a gigabyte cost us is under "Ten million chunks".
"""

import shutil

import shop
from bench_parts.measure import run

HOUR = "an hour of the history"
JUDGE = "forget --policy --dry-run"
# What forgets is not timed for those that remove data in a step of its own.
PRUNE = "prune of the older half"
LEFT = "held beyond the first backup, after the prune"
NEXT = "the hour after the prune"
NEVER = "stillpoint, never had that half"
SALES = 60
# Of the hours before the prune and after it, so many are measured.
HOURS_MEASURED = 5
FORGETTERS = ("stillpoint", "restic", "rustic", "borg")


def measure(scenarios, source, snapshots):
    """Every contestant backs up every hour; then all forget the older half."""
    for row in (HOUR, JUDGE, PRUNE, LEFT, NEXT):
        scenarios.begin(row)
    everyone = [one for one in scenarios.contestants if one.name in FORGETTERS]
    never = type(scenarios.stillpoint)(scenarios.scratch / "never")
    first = make_history(scenarios, source, (everyone, never), snapshots)
    ours, kept = scenarios.stillpoint, snapshots - snapshots // 2
    for _ in range(scenarios.workloads.size.runs):
        scenarios.measure(JUDGE, ours, ours.judge(kept))
    prune(scenarios, everyone, kept)
    for contestant, name in ((ours, ours.name), (never, NEVER)):
        beyond = contestant.stored_bytes() - first[contestant]
        scenarios.results.add(LEFT, name, {"stored": beyond})
    for hour in range(HOURS_MEASURED):
        shop.sell(source.path, SALES, seed=-hour - 1)
        for contestant, name in ((ours, ours.name), (never, NEVER)):
            scenarios.measure_as(NEXT, name, contestant.backup(source), contestant)
    restore(scenarios, source)


def make_history(scenarios, source, contestants, snapshots):
    """Returns how many bytes each repository of ours held after its first backup."""
    everyone, never = contestants
    for contestant in (*everyone, never):
        contestant.create()
    ours, first = scenarios.stillpoint, {}
    for hour in range(snapshots):
        shop.sell(source.path, SALES, seed=hour + 1)
        is_for_all = hour == 0 or hour >= snapshots // 2
        for contestant in (*everyone, *([never] if is_for_all else [])):
            commands = contestant.backup(source)
            if contestant is ours and hour >= snapshots - HOURS_MEASURED:
                scenarios.measure(HOUR, contestant, commands)
            else:
                run(*commands)
            if contestant in (ours, never):
                first.setdefault(contestant, contestant.stored_bytes())
        scenarios.say(f"history: hour {hour + 1} of {snapshots}")
    return first


def prune(scenarios, everyone, kept):
    """As often as the size asks for, each time from the same history."""
    for contestant in everyone:
        run(*contestant.forget(kept))
        shutil.copytree(contestant.folder, as_forgotten(contestant), symlinks=True)
    for number in range(scenarios.workloads.size.runs):
        for contestant in everyone:
            if number > 0:
                shutil.rmtree(contestant.folder)
                shutil.copytree(as_forgotten(contestant), contestant.folder, symlinks=True)
            scenarios.measure(PRUNE, contestant, contestant.prune(kept))
            scenarios.note_stored(PRUNE, contestant, contestant.stored_bytes())
    for contestant in everyone:
        shutil.rmtree(as_forgotten(contestant))


def as_forgotten(contestant):
    return contestant.folder.with_name(f"{contestant.folder.name}-forgotten")


def restore(scenarios, source):
    """A prune that is fast and loses something must not enter the table."""
    target = scenarios.scratch / "restored"
    target.mkdir(parents=True)
    run(*scenarios.stillpoint.check(), *scenarios.stillpoint.restore(source, target))
    shutil.rmtree(target)
