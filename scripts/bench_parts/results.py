"""What was measured, as {row: {contestant: [facts of a run]}}; JSON, so that rows can be redone."""

import json
import statistics
from pathlib import Path


class Results:
    def __init__(self, path):
        self.path = Path(path)
        self.rows = {}
        if self.path.exists():
            self.rows = json.loads(self.path.read_text())

    def begin(self, row):
        """Forgets what an earlier run said about the row."""
        self.rows[row] = {}

    def add(self, row, contestant, facts):
        """One more run."""
        self.rows[row].setdefault(contestant, []).append(facts)

    def note(self, row, contestant, fact, figure):
        """One more fact about the run that was added last."""
        self.rows[row][contestant][-1][fact] = figure

    def save(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rows, indent=1) + "\n")

    def runs(self, row, contestant, fact):
        """Every run's figure, in order; empty where it was not measured."""
        runs = self.rows.get(row, {}).get(contestant, [])
        return [run[fact] for run in runs if fact in run]

    def median(self, row, contestant, fact):
        runs = self.runs(row, contestant, fact)
        return statistics.median(runs) if runs else None

    def best_peer(self, row, fact, peers):
        """(name, figure) of the peer with the smallest median."""
        figures = [(self.median(row, peer, fact), peer) for peer in peers]
        figures = [pair for pair in figures if pair[0] is not None]
        return min(figures)[::-1] if figures else (None, None)
