"""The side-by-side measurement behind scripts/bench.

workloads    what is backed up                contestants  who backs it up, with which commands
measure      one timed command                baseline     what a changed page costs without us
scenarios    the order of things measured     scale        indexes of ten million chunks
results      what was measured                goals        what is to be reached
report       the tables of benches/RESULTS.md
"""
