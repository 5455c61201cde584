"""What it costs to forget: a history of hours, of which the older half goes, beside the peers on
the same history, and beside a repository that never had that half.
"""

import shutil

import shop
from bench_parts.measure import run

# What forgets is not timed for those that remove data in a step of its own.
PRUNE = "prune of the older half"
LEFT = "left after the prune"
NEXT = "the hour after the prune"
NEVER = "stillpoint without that half"
SALES = 60
FORGETTERS = ("stillpoint", "restic", "rustic", "borg")


def measure(scenarios, source, snapshots):
    """Every contestant backs up every hour; then all forget the older half."""
    everyone = [one for one in scenarios.contestants if one.name in FORGETTERS]
    never = type(scenarios.stillpoint)(scenarios.scratch / "never")
    for contestant in [*everyone, never]:
        contestant.create()
    for hour in range(snapshots):
        shop.sell(source.path, SALES, seed=hour + 1)
        kept = [never] if hour >= snapshots // 2 else []
        for contestant in [*everyone, *kept]:
            run(*contestant.backup(source))
        scenarios.say(f"history: hour {hour + 1} of {snapshots}")
    for row in (PRUNE, LEFT, NEXT):
        scenarios.begin(row)
    kept = snapshots - snapshots // 2
    for contestant in everyone:
        run(*contestant.forget(kept))
        scenarios.measure(PRUNE, contestant, contestant.prune(kept))
        scenarios.note_stored(PRUNE, contestant, contestant.stored_bytes())
    scenarios.results.add(LEFT, NEVER, {"stored": never.stored_bytes()})
    ours = scenarios.stillpoint
    scenarios.results.add(LEFT, ours.name, {"stored": ours.stored_bytes()})
    shop.sell(source.path, SALES, seed=0)
    for contestant, name in ((ours, ours.name), (never, NEVER)):
        scenarios.measure_as(NEXT, name, contestant.backup(source), contestant)
    target = scenarios.scratch / "restored"
    target.mkdir(parents=True)
    run(*ours.restore(source, target))
    shutil.rmtree(target)
